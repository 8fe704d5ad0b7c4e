//! One network in stages that run at the same time, each image passing through all of them.
//!
//! Throughput is set by the slowest stage, or by the busiest device where stages share one. Stages
//! are cut at positions of the execution order, each is an engine of its own, and copies between
//! them are kernels of the GPU.

use serde::{Deserialize, Serialize};

use crate::placement::Device;

use super::problem::{Allowed, Problem, Scorer};

/// One stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// First atom.
    pub from: u32,
    /// One past the last atom.
    pub to: u32,
    /// Where it runs; what the DLA refuses falls back to the GPU.
    pub device: Device,
    /// The DLA core; meaningless on the GPU.
    pub core: u32,
}

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pipeline {
    /// In execution order.
    pub stages: Vec<Stage>,
    /// Time from one image to the next, ms, were it not for contention.
    pub period_ms: f64,
}

/// What a pipeline may look like.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most stages.
    pub stages: u32,
    /// DLA cores.
    pub cores: u32,
}

/// Positions weighed at most; beyond that those with the cheapest copies are taken.
const POSITIONS: usize = 160;

/// Devices a pipeline can load: the GPU and at most this many DLA cores (Orin and Xavier have 2).
const RESOURCES: usize = 3;

/// Pipelines kept.
const KEPT: usize = 12;
/// A sequence of devices is followed while its period may come this close to the best: contention
/// may favour it.
const NEAR: f64 = 1.25;

/// The best pipeline of each sequence of devices, by ascending period, and true if all cuts and
/// sequences were tried, which proves that the first is the best. Empty if pins leave none. `stop`
/// ends the search with what was found so far.
///
/// Tries one stage, then two, and so on, cutting off what cannot come near the best: a device
/// over its period, or more work left than the devices have time for.
pub fn best_pipelines(
    problem: &Problem,
    limits: Limits,
    stop: &mut dyn FnMut() -> bool,
) -> (Vec<Pipeline>, bool) {
    let (positions, all) = positions(problem);
    let resources = (limits.cores as usize + 1).min(RESOURCES);
    let mut search = Search {
        problem,
        work: Work::new(problem),
        resources,
        loads: vec![None; positions.len() * positions.len() * 2],
        positions,
        best: f64::INFINITY,
        limit: f64::INFINITY,
        stages: Vec::new(),
        own: None,
        stop,
        stopped: false,
        nodes: 0,
    };
    let mut found = Vec::new();
    let mut sequences: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..limits.stages {
        sequences = sequences
            .iter()
            .flat_map(|s| longer(s, resources))
            .collect();
        for sequence in &sequences {
            search.limit = search.best * NEAR;
            search.extend(0, [0.0; RESOURCES], 0.0, sequence);
            found.extend(search.own.take());
        }
    }
    let exact = all && !search.stopped;
    found.sort_by(|a: &Pipeline, b| a.period_ms.total_cmp(&b.period_ms));
    let simplest = found.iter().position(|p| p.stages.len() == 1);
    if let Some(at) = simplest.filter(|at| *at >= KEPT) {
        // Whatever contention does to the others, one stage has none.
        found.swap(at, KEPT - 1);
    }
    found.truncate(KEPT);
    (found, exact)
}

/// The sequences one stage longer. Neighbours differ; cores are alike, so the second is used only
/// after the first.
fn longer(sequence: &[usize], resources: usize) -> Vec<Vec<usize>> {
    (0..resources)
        .filter(|t| sequence.last() != Some(t) && (*t < 2 || sequence.contains(&(t - 1))))
        .map(|t| {
            let mut next = sequence.to_vec();
            next.push(t);
            next
        })
        .collect()
}

type Load = [f64; RESOURCES];

struct Search<'p, 's> {
    problem: &'p Problem,
    work: Work,
    resources: usize,
    positions: Vec<u32>,
    /// Per pair of positions and device: GPU and DLA load as a stage, negative where it cannot
    /// be one; worked out when first needed.
    loads: Vec<Option<[f64; 2]>>,
    /// Shortest period of all.
    best: f64,
    /// Periods from here on are of no interest.
    limit: f64,
    stages: Vec<Stage>,
    /// Best of the sequence under search.
    own: Option<Pipeline>,
    stop: &'s mut dyn FnMut() -> bool,
    stopped: bool,
    nodes: u32,
}

impl Search<'_, '_> {
    /// Adds the stages of a sequence, from position `at` on.
    fn extend(&mut self, at: usize, load: Load, slowest: f64, sequence: &[usize]) {
        let end = self.positions.len() - 1;
        let Some((target, rest)) = sequence.split_first() else {
            return;
        };
        let target = *target;
        // Each later stage needs a position too.
        let tos = if rest.is_empty() {
            end..=end
        } else {
            at + 1..=end.saturating_sub(rest.len())
        };
        let device = if target == 0 {
            Device::Gpu
        } else {
            Device::Dla
        };
        for to in tos {
            self.nodes = self.nodes.wrapping_add(1);
            if self.nodes.is_multiple_of(1 << 12) {
                self.stopped |= (self.stop)();
            }
            if self.stopped {
                return;
            }
            let span = (self.positions[at], self.positions[to]);
            let least = if target == 0 {
                self.work.gpu(span)
            } else {
                self.work.dla(span)
            };
            if load[target] + least >= self.limit {
                // Longer spans only take longer.
                break;
            }
            let [gpu, dla] = self.stage_load(at, to, device);
            if gpu < 0.0 {
                continue;
            }
            let mut next = load;
            next[0] += gpu;
            next[target] += dla;
            let slowest = slowest.max(gpu + dla);
            let period = next.iter().copied().fold(slowest, f64::max);
            if period >= self.limit {
                continue;
            }
            let room: f64 = next[..self.resources].iter().map(|l| self.limit - l).sum();
            if self.work.least((span.1, self.problem.atoms.len() as u32)) > room {
                continue;
            }
            self.stages.push(Stage {
                from: span.0,
                to: span.1,
                device,
                core: target.saturating_sub(1) as u32,
            });
            if rest.is_empty() {
                self.limit = period;
                self.best = self.best.min(period);
                self.own = Some(Pipeline {
                    stages: self.stages.clone(),
                    period_ms: period,
                });
            } else {
                self.extend(to, next, slowest, rest);
            }
            self.stages.pop();
        }
    }

    fn stage_load(&mut self, at: usize, to: usize, device: Device) -> [f64; 2] {
        let slot = (at * self.positions.len() + to) * 2 + usize::from(device == Device::Dla);
        if let Some(load) = self.loads[slot] {
            return load;
        }
        let part = between(self.problem, self.positions[at], self.positions[to]);
        let chosen = part.uniform(device);
        let mut load = [-1.0, -1.0];
        if fits(&part, &chosen, device) {
            let score = Scorer::new(&part).score(&chosen);
            if score.feasible {
                load = [score.gpu_ms + score.transition_ms, score.dla_ms];
            }
        }
        self.loads[slot] = Some(load);
        load
    }
}

/// Work of spans, transitions and subgraph prices excluded: a lower bound on their load.
struct Work {
    gpu: Vec<f64>,
    dla: Vec<f64>,
    /// On the cheaper device of each atom.
    least: Vec<f64>,
}

impl Work {
    fn new(problem: &Problem) -> Self {
        let sums = |of: &dyn Fn(&super::problem::Atom) -> f64| {
            let mut sums = vec![0.0];
            let mut sum = 0.0;
            for a in &problem.atoms {
                sum += of(a);
                sums.push(sum);
            }
            sums
        };
        Self {
            gpu: sums(&|a| a.gpu_ms),
            dla: sums(&|a| if a.choice.is_some() { a.dla_ms } else { 0.0 }),
            least: sums(&|a| match a.choice {
                Some(_) => a.gpu_ms.min(a.dla_ms),
                None => a.gpu_ms,
            }),
        }
    }

    fn gpu(&self, (from, to): (u32, u32)) -> f64 {
        self.gpu[to as usize] - self.gpu[from as usize]
    }

    fn dla(&self, (from, to): (u32, u32)) -> f64 {
        self.dla[to as usize] - self.dla[from as usize]
    }

    fn least(&self, (from, to): (u32, u32)) -> f64 {
        (self.least[to as usize] - self.least[from as usize]) * (1.0 - 1e-9)
    }
}

/// A stage may run on a device when nothing in it is pinned to the other, and something gains.
fn fits(part: &Problem, chosen: &[Device], device: Device) -> bool {
    let used = part.atoms.iter().filter_map(|a| a.choice);
    match device {
        Device::Gpu => used.clone().all(|c| chosen[c as usize] == Device::Gpu),
        Device::Dla => {
            let mut any = false;
            for c in used {
                if part.choices[c as usize] == Allowed::Gpu {
                    return false;
                }
                any = true;
            }
            any
        }
    }
}

/// Where the execution order may be cut, both ends included, and whether that is everywhere.
fn positions(problem: &Problem) -> (Vec<u32>, bool) {
    let n = problem.atoms.len();
    let mut first = vec![u32::MAX; problem.choices.len()];
    // Positions inside the span of a choice are closed: one choice, one device.
    let mut closed = vec![0i64; n + 2];
    let mut last = vec![0u32; problem.choices.len()];
    for (a, i) in problem.atoms.iter().zip(0u32..) {
        if let Some(c) = a.choice {
            let c = c as usize;
            first[c] = first[c].min(i);
            last[c] = i;
        }
    }
    for (f, l) in first.iter().zip(&last) {
        if *f != u32::MAX {
            closed[*f as usize + 1] += 1;
            closed[*l as usize + 1] -= 1;
        }
    }
    // Copies at each position.
    let mut crossing = vec![0.0; n + 2];
    for f in &problem.flows {
        if let (Some(p), Some(l)) = (f.producer, f.consumers.last()) {
            let ms = f.to_dla_ms + f.to_gpu_ms;
            crossing[p as usize + 1] += ms;
            crossing[*l as usize + 1] -= ms;
        }
    }
    let mut open = Vec::new();
    let (mut inside, mut copies) = (0, 0.0);
    for at in 1..n {
        inside += closed[at];
        copies += crossing[at];
        if inside == 0 {
            open.push((copies, at as u32));
        }
    }
    let all = open.len() <= POSITIONS;
    if !all {
        open.sort_by(|a, b| a.0.total_cmp(&b.0));
        open.truncate(POSITIONS);
    }
    let mut at: Vec<u32> = open.into_iter().map(|(_, at)| at).collect();
    at.sort_unstable();
    at.insert(0, 0);
    at.push(n as u32);
    at.dedup();
    (at, all)
}

/// Part of a problem as an engine of its own: what comes from before is an input, what goes on
/// is an output.
pub fn between(problem: &Problem, from: u32, to: u32) -> Problem {
    let inside = |a: u32| (from..to).contains(&a);
    let flows = problem
        .flows
        .iter()
        .filter_map(|f| {
            let producer = f.producer.filter(|p| inside(*p));
            let consumers: Vec<u32> = f
                .consumers
                .iter()
                .filter(|c| inside(**c))
                .map(|c| c - from)
                .collect();
            if producer.is_none() && consumers.is_empty() {
                return None;
            }
            let goes_on = f.consumers.iter().any(|c| *c >= to);
            Some(super::problem::Flow {
                producer: producer.map(|p| p - from),
                consumers,
                is_output: producer.is_some() && (f.is_output || goes_on),
                ..f.clone()
            })
        })
        .collect();
    Problem {
        atoms: problem.atoms[from as usize..to as usize].to_vec(),
        flows,
        ..problem.clone()
    }
}
