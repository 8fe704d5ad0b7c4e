//! Exact where exact is possible, anytime with a proven gap elsewhere.

pub mod chain;
pub mod cut;
pub mod frontier;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::placement::Device;

use crate::search::problem::{Allowed, Problem, ProblemError, Score, Scorer};
use crate::search::solvers::chain::Chain;
use crate::search::solvers::cut::minimum_cut;
use crate::search::solvers::frontier::{
    Ask, Criteria, EPSILON, Frontier, GPU, LATENCY, TRANSITIONS,
};

/// What is made small, and what must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// Least latency.
    Latency,
    /// Least GPU work with a latency of at most this, ms.
    GpuWork {
        /// Most latency, ms.
        latency_ms: f64,
    },
    /// Fewest transitions with a latency of at most this, ms; of those, least latency.
    Transitions {
        /// Most latency, ms.
        latency_ms: f64,
    },
}

impl Aim {
    fn criterion(self) -> usize {
        match self {
            Self::Latency => LATENCY,
            Self::GpuWork { .. } => GPU,
            Self::Transitions { .. } => TRANSITIONS,
        }
    }

    fn latency_ms(self) -> f64 {
        match self {
            Self::Latency => f64::INFINITY,
            Self::GpuWork { latency_ms } | Self::Transitions { latency_ms } => latency_ms,
        }
    }

    /// The value to make small, and the tie-break.
    fn value(self, s: &Score) -> (f64, f64) {
        match self {
            Self::Latency => (s.latency_ms, f64::from(s.transitions)),
            Self::GpuWork { .. } => (s.gpu_ms, s.latency_ms),
            Self::Transitions { .. } => (f64::from(s.transitions), s.latency_ms),
        }
    }

    fn holds(self, s: &Score) -> bool {
        let most = self.latency_ms();
        s.feasible && s.latency_ms <= most + most.abs() * EPSILON
    }
}

/// The best choice of devices so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Solution {
    /// Per choice.
    pub chosen: Vec<Device>,
    /// What it comes to.
    pub score: Score,
    /// The aim's value: ms, or transitions.
    pub value: f64,
    /// No choice has a smaller value than this.
    pub bound: f64,
    /// How it was found and proven, in words.
    pub method: &'static str,
}

impl Solution {
    /// How far the value may be above the best there is, as a fraction; 0 when proven best.
    pub fn gap(&self) -> f64 {
        if self.bound >= self.value - self.value.abs() * 2.0 * EPSILON {
            0.0
        } else {
            (self.value - self.bound) / self.value
        }
    }

    /// Nothing better exists.
    pub fn is_exact(&self) -> bool {
        self.gap() == 0.0
    }
}

/// Why there is no solution.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unsolved {
    /// The problem is malformed.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// Proven: nothing meets the constraints.
    #[error(
        "nothing meets the constraints; raise the limit on subgraphs, unpin a module or lower the \
         FPS floor"
    )]
    Infeasible,
    /// Stopped before anything was found that meets the constraints.
    #[error("stopped before anything was found that meets the constraints")]
    Stopped,
}

/// Said to the caller as the search goes; `Break` ends it with the best so far.
pub type Report<'r> = dyn FnMut(Option<&Solution>) -> ControlFlow<()> + 'r;

/// Labels kept per atom, one try after another.
const WIDTHS: [usize; 5] = [24, 512, 8_192, 65_536, 524_288];

/// Finds the choice of devices with the smallest value of `aim`.
///
/// # Errors
/// The problem is malformed, nothing meets the constraints, or it was stopped too early.
pub fn minimise(
    problem: &Problem,
    aim: Aim,
    report: &mut Report<'_>,
) -> Result<Solution, Unsolved> {
    problem.check()?;
    let small = compressed(problem);
    if aim == Aim::Latency
        && let Some(chain) = Chain::of(&small)
    {
        let (_, chosen) = chain.solve().ok_or(Unsolved::Infeasible)?;
        let score = Scorer::new(problem).score(&chosen);
        let value = score.latency_ms;
        return Ok(Solution {
            chosen,
            score,
            value,
            bound: value,
            method: "dynamic program on a chain, exact",
        });
    }
    let mut search = Search {
        problem,
        aim,
        scorer: Scorer::new(problem),
        best: None,
        bound: 0.0,
        report,
        stopped: false,
    };
    search.run(&small);
    let stopped = search.stopped;
    let bound = search.bound;
    match search.best {
        Some(mut best) => {
            best.bound = bound.min(best.value);
            Ok(best)
        }
        None if stopped => Err(Unsolved::Stopped),
        None => Err(Unsolved::Infeasible),
    }
}

struct Search<'p, 'r, 'f> {
    problem: &'p Problem,
    aim: Aim,
    scorer: Scorer<'p>,
    best: Option<Solution>,
    bound: f64,
    report: &'f mut Report<'r>,
    stopped: bool,
}

impl Search<'_, '_, '_> {
    fn offer(&mut self, chosen: Vec<Device>, method: &'static str) {
        let score = self.scorer.score(&chosen);
        if !self.aim.holds(&score) {
            return;
        }
        let (value, tie) = self.aim.value(&score);
        let better = self.best.as_ref().is_none_or(|b| {
            let (v, t) = self.aim.value(&b.score);
            value < v - v.abs() * EPSILON || (value <= v && tie < t)
        });
        if better {
            self.best = Some(Solution {
                chosen,
                score,
                value,
                bound: self.bound.min(value),
                method,
            });
            self.tell();
        }
    }

    fn tell(&mut self) {
        if let Some(b) = &mut self.best {
            b.bound = self.bound.min(b.value);
        }
        if (self.report)(self.best.as_ref()).is_break() {
            self.stopped = true;
        }
    }

    fn done(&self) -> bool {
        // As few transitions as can be is not the end: the latency breaks the tie.
        let tie = matches!(self.aim, Aim::Transitions { .. });
        self.stopped
            || !tie
                && self
                    .best
                    .as_ref()
                    .is_some_and(|b| self.bound >= b.value - b.value.abs() * 2.0 * EPSILON)
    }

    fn run(&mut self, small: &Problem) {
        for device in [Device::Gpu, Device::Dla] {
            self.offer(self.problem.uniform(device), "one device for all");
        }
        if self.done() {
            return;
        }
        let mut frontier = Frontier::new(small);
        for (round, width) in WIDTHS.into_iter().enumerate() {
            match round {
                // After a narrow first round, which answers at once on any graph.
                1 => {
                    self.cuts(small);
                    if self.aim == Aim::Latency {
                        frontier.tighten(&suffix_bounds(small));
                    }
                }
                3 => self.price_subgraphs(small),
                _ => {}
            }
            if self.done() {
                return;
            }
            let criterion = self.aim.criterion();
            let mut most: Criteria = [f64::INFINITY; 3];
            most[LATENCY] = self.aim.latency_ms();
            if let Some(b) = &self.best {
                most[criterion] = most[criterion].min(b.value);
            }
            let mut active = [false; 3];
            active[LATENCY] = true;
            active[criterion] = true;
            let mut rank = [0.0; 3];
            rank[LATENCY] = 1.0;
            if criterion == GPU {
                rank[GPU] = 1.0;
            }
            let report = &mut *self.report;
            let best = self.best.as_ref();
            let found = frontier.search(
                &Ask {
                    active,
                    most,
                    rank,
                    width,
                },
                &mut || report(best).is_break(),
            );
            if found.stopped {
                self.stopped = true;
                return;
            }
            if !found.complete {
                let ceiling = self.best.as_ref().map_or(f64::INFINITY, |b| b.value);
                self.bound = self.bound.max(found.cut_away[criterion].min(ceiling));
            }
            let complete = found.complete;
            let least = found
                .front
                .iter()
                .map(|(at, _)| at[criterion])
                .fold(f64::INFINITY, f64::min);
            for (at, chosen) in found.front {
                if at[criterion] <= least + least.abs() * EPSILON {
                    self.offer(chosen, "frontier search");
                }
            }
            if complete {
                match &mut self.best {
                    Some(b) => {
                        self.bound = b.value;
                        b.method = "frontier search, exact";
                    }
                    None => self.bound = f64::INFINITY,
                }
                self.tell();
                return;
            }
        }
    }

    /// Bounds from minimum cuts, and the placements they suggest.
    fn cuts(&mut self, small: &Problem) {
        match self.aim {
            Aim::Latency => {
                let cut = minimum_cut(small, small.subgraph_ms);
                self.bound = self.bound.max(cut.bound_ms);
                self.offer(cut.chosen, "minimum cut");
            }
            Aim::GpuWork { latency_ms } => {
                // Lagrangian: least of GPU work + weight x (latency - floor), for any weight.
                let mut weight = 1.0;
                let (mut low, mut high) = (0.0, f64::INFINITY);
                for _ in 0..14 {
                    if self.stopped {
                        return;
                    }
                    let cut = minimum_cut(
                        &scaled(small, 1.0 + weight, weight),
                        small.subgraph_ms * weight,
                    );
                    self.bound = self.bound.max(cut.bound_ms - weight * latency_ms);
                    let score = self.scorer.score(&cut.chosen);
                    self.offer(cut.chosen, "minimum cut, latency priced");
                    if score.latency_ms > latency_ms {
                        low = weight;
                    } else {
                        high = weight;
                    }
                    weight = if high.is_finite() {
                        f64::midpoint(low, high)
                    } else {
                        weight * 2.0
                    };
                }
            }
            Aim::Transitions { .. } => {}
        }
    }

    /// Raises the price of a subgraph until the limit holds.
    fn price_subgraphs(&mut self, small: &Problem) {
        if self.aim != Aim::Latency {
            return;
        }
        let most = f64::from(small.max_subgraphs);
        let mut price = small.subgraph_ms.max(0.01);
        for _ in 0..8 {
            if self.done() {
                return;
            }
            let cut = minimum_cut(small, small.subgraph_ms + price);
            self.bound = self.bound.max(cut.bound_ms - price * most);
            let met = self.scorer.score(&cut.chosen).feasible;
            self.offer(cut.chosen, "minimum cut, subgraphs priced");
            if met {
                return;
            }
            price *= 2.0;
        }
    }
}

/// The same problem with GPU work and everything else weighted.
pub fn scaled(problem: &Problem, gpu: f64, rest: f64) -> Problem {
    let mut p = problem.clone();
    for a in &mut p.atoms {
        a.gpu_ms *= gpu;
        a.left_ms *= gpu;
        a.dla_ms *= rest;
    }
    for f in &mut p.flows {
        f.to_dla_ms *= rest;
        f.dla_to_dla_ms *= rest;
        f.to_gpu_ms *= rest;
        f.to_caller_ms *= rest;
    }
    p.subgraph_ms *= rest;
    p
}

/// Per atom, a bound on the latency of it and all later ones: minimum cuts of what follows at a
/// few places, the cheaper device of each atom in between.
fn suffix_bounds(problem: &Problem) -> Vec<f64> {
    const PLACES: usize = 6;
    let n = problem.atoms.len();
    let mut rest = vec![0.0; n + 1];
    // Small problems are solved before a better bound would pay; large ones cost too much.
    let places = if (24..2_000).contains(&n) { PLACES } else { 0 };
    for i in (0..n).rev() {
        let a = &problem.atoms[i];
        let least = match a
            .choice
            .map_or(Allowed::Gpu, |c| problem.choices[c as usize])
        {
            Allowed::Gpu => a.gpu_ms,
            Allowed::Dla => a.dla_ms + a.left_ms,
            Allowed::Both => a.gpu_ms.min(a.dla_ms + a.left_ms),
        };
        rest[i] = rest[i + 1] + least;
        if places > 0 && i > 0 && i % n.div_ceil(places) == 0 {
            rest[i] = rest[i].max(minimum_cut(&after(problem, i as u32), 0.0).bound_ms);
        }
    }
    rest
}

/// What follows an atom, as if all it reads were free.
fn after(problem: &Problem, from: u32) -> Problem {
    let mut p = problem.clone();
    p.atoms.drain(..from as usize);
    p.flows.retain_mut(|f| match f.producer {
        Some(q) if q >= from => {
            f.producer = Some(q - from);
            for c in &mut f.consumers {
                *c -= from;
            }
            true
        }
        _ => false,
    });
    p
}

/// The same problem in fewer atoms: one that reads from one atom only and always shares its
/// device is part of it. Choices and costs stay the same.
pub fn compressed(problem: &Problem) -> Problem {
    let n = problem.atoms.len();
    let class = |i: usize| {
        problem.atoms[i]
            .choice
            .filter(|c| problem.choices[*c as usize] != Allowed::Gpu)
    };
    // Per atom, the one atom it reads from; `Err` for none, `Ok(None)` for several.
    let mut target: Vec<u32> = (0..n as u32).collect();
    let mut reads: Vec<Vec<u32>> = vec![Vec::new(); n];
    for f in &problem.flows {
        if let Some(p) = f.producer {
            for c in &f.consumers {
                reads[*c as usize].push(p);
            }
        }
    }
    for i in 0..n {
        let mut from = reads[i].iter().map(|p| target[*p as usize]);
        if let Some(first) = from.next()
            && from.all(|p| p == first)
            && class(first as usize) == class(i)
        {
            target[i] = first;
        }
    }
    let mut number = vec![0u32; n];
    let mut atoms: Vec<crate::search::problem::Atom> = Vec::with_capacity(n);
    for i in 0..n {
        let a = &problem.atoms[i];
        if target[i] == i as u32 {
            number[i] = atoms.len() as u32;
            atoms.push(a.clone());
        } else {
            number[i] = number[target[i] as usize];
            let into = &mut atoms[number[i] as usize];
            into.gpu_ms += a.gpu_ms;
            into.dla_ms += a.dla_ms;
            into.left_ms += a.left_ms;
            into.macs += a.macs;
            into.weight_bytes = into.weight_bytes.saturating_add(a.weight_bytes);
            into.tensor_bytes = into.tensor_bytes.saturating_add(a.tensor_bytes);
        }
    }
    let flows = problem
        .flows
        .iter()
        .filter_map(|f| {
            let producer = f.producer.map(|p| number[p as usize]);
            let mut consumers: Vec<u32> = f
                .consumers
                .iter()
                .map(|c| number[*c as usize])
                .filter(|c| Some(*c) != producer)
                .collect();
            consumers.sort_unstable();
            consumers.dedup();
            if !f.is_output && consumers.is_empty() {
                if let Some(p) = producer {
                    let inside = &mut atoms[p as usize].tensor_bytes;
                    *inside = inside.saturating_add(f.bytes);
                }
                return None;
            }
            Some(crate::search::problem::Flow {
                producer,
                consumers,
                ..f.clone()
            })
        })
        .collect();
    Problem {
        atoms,
        flows,
        ..problem.clone()
    }
}
