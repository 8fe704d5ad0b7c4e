//! One network in stages that run at the same time, each image passing through all of them.
//!
//! Throughput is set by the busiest device: stages on one device share it. Stages are cut at
//! positions of the execution order, each is an engine of its own, and copies between them are
//! kernels of the GPU.

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
    /// Busy time per image, ms: the GPU, then each DLA core.
    pub load_ms: Vec<f64>,
    /// Every position and sequence of stages was weighed.
    pub exact: bool,
}

impl Pipeline {
    /// Busy time of the busiest device, ms: the time from one image to the next.
    pub fn period_ms(&self) -> f64 {
        self.load_ms.iter().copied().fold(0.0, f64::max)
    }
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
/// Ways kept per position.
const WAYS: usize = 4_000;

/// Devices a pipeline can load: the GPU and at most this many DLA cores (Orin and Xavier have 2).
const RESOURCES: usize = 3;

#[derive(Clone, Copy)]
struct Way {
    load: [f64; RESOURCES],
    stages: u32,
    last: usize,
    /// Position index and way there that this one goes on from.
    before: Option<(usize, usize)>,
}

/// The pipeline of the shortest period. `stop` ends the search early with `None`.
pub fn best_pipeline(
    problem: &Problem,
    limits: Limits,
    stop: &mut dyn FnMut() -> bool,
) -> Option<Pipeline> {
    let (positions, all) = positions(problem);
    let resources = (limits.cores as usize + 1).min(RESOURCES);
    let mut ways: Vec<Vec<Way>> = vec![Vec::new(); positions.len()];
    ways[0].push(Way {
        load: [0.0; RESOURCES],
        stages: 0,
        last: usize::MAX,
        before: None,
    });
    let mut exact = all;
    let last = positions.len() - 1;
    let mut best = f64::INFINITY;
    for at in 0..last {
        if stop() {
            return None;
        }
        exact &= thin(&mut ways[at]);
        let here = ways[at].clone();
        // The end first: its result prunes the others.
        for to in (at + 1..=last).rev() {
            let part = between(problem, positions[at], positions[to]);
            let mut scorer = Scorer::new(&part);
            for device in [Device::Gpu, Device::Dla] {
                if device == Device::Dla && resources < 2 {
                    continue;
                }
                let chosen = part.uniform(device);
                if !fits(&part, &chosen, device) {
                    continue;
                }
                let score = scorer.score(&chosen);
                if !score.feasible {
                    continue;
                }
                let targets = if device == Device::Gpu {
                    0..1
                } else {
                    1..resources
                };
                for target in targets {
                    for (w, way) in here.iter().enumerate() {
                        // Cores are alike: the second is used only after the first.
                        let idle = target > 1 && way.load[target - 1] == 0.0;
                        if way.last == target || way.stages >= limits.stages || idle {
                            continue;
                        }
                        let mut load = way.load;
                        load[0] += score.gpu_ms + score.transition_ms;
                        load[target.max(1)] += if target == 0 { 0.0 } else { score.dla_ms };
                        let period = load.iter().copied().fold(0.0, f64::max);
                        if period >= best {
                            continue;
                        }
                        if to == last {
                            best = period;
                        }
                        ways[to].push(Way {
                            load,
                            stages: way.stages + 1,
                            last: target,
                            before: Some((at, w)),
                        });
                    }
                }
            }
        }
    }
    let mut end = ways[last].iter().min_by(|a, b| {
        let period = |w: &Way| w.load.iter().copied().fold(0.0, f64::max);
        period(a)
            .total_cmp(&period(b))
            .then(a.stages.cmp(&b.stages))
    })?;
    let load_ms = end.load[..resources].to_vec();
    let mut stages = Vec::new();
    let mut to = positions[last];
    while let Some((at, w)) = end.before {
        stages.push(Stage {
            from: positions[at],
            to,
            device: if end.last == 0 {
                Device::Gpu
            } else {
                Device::Dla
            },
            core: end.last.saturating_sub(1) as u32,
        });
        to = positions[at];
        end = &ways[at][w];
    }
    stages.reverse();
    Some(Pipeline {
        stages,
        load_ms,
        exact,
    })
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

/// Keeps the ways no other beats; whether nothing else was dropped.
fn thin(ways: &mut Vec<Way>) -> bool {
    ways.sort_by(|a, b| {
        a.load
            .iter()
            .zip(&b.load)
            .map(|(x, y)| x.total_cmp(y))
            .find(|o| o.is_ne())
            .unwrap_or_else(|| a.stages.cmp(&b.stages))
    });
    let mut kept: Vec<Way> = Vec::new();
    for w in ways.iter() {
        let beaten = kept.iter().any(|k| {
            k.last == w.last
                && k.stages <= w.stages
                && k.load.iter().zip(&w.load).all(|(x, y)| x <= y)
        });
        if !beaten {
            kept.push(*w);
        }
    }
    let all = kept.len() <= WAYS;
    if !all {
        let period = |w: &Way| w.load.iter().copied().fold(0.0, f64::max);
        kept.sort_by(|a, b| period(a).total_cmp(&period(b)));
        kept.truncate(WAYS);
    }
    *ways = kept;
    all
}
