//! Any DAG, atom by atom, remembering only what the frontier still needs.
//!
//! After each atom two partial placements are the same state when every tensor that is still to
//! be read lies on the same device, in the same DLA subgraph, at the same device-change level,
//! already copied to the same readers, and, where memory may run short, every open subgraph holds
//! as many bytes. Of one state only the labels no other label beats are
//! kept, so the search is exact and costs what the frontier is wide: two or three tensors in a
//! residual network, four or five in an inception block. Wider graphs are cut to the best
//! `width` labels per atom, and the bound of what was cut away is reported.

mod states;
mod step;

use rustc_hash::FxBuildHasher;

use crate::placement::Device;
use crate::search::problem::{Allowed, Problem};

pub use states::{Criteria, GPU, LATENCY, TRANSITIONS};
use states::{Label, Live, ON_DLA, State, States};
use step::{Crossing, Step, Tracks};

/// Slack for sums made in different orders, as a fraction.
pub const EPSILON: f64 = 1e-9;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Criteria that count; the others are ignored.
    pub active: [bool; 3],
    /// Results must not exceed these (a slack of [`EPSILON`] is given).
    pub most: Criteria,
    /// Weights that rank labels when there are too many.
    pub rank: Criteria,
    /// Most labels kept per atom.
    pub width: usize,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Placements none of which beats another, by ascending latency.
    pub front: Vec<(Criteria, Vec<Device>)>,
    /// Nothing was cut away: the front is all there is.
    pub complete: bool,
    /// Per criterion, the least any placement that was cut away could reach.
    pub cut_away: Criteria,
    /// The caller stopped it before the end; the front is empty.
    pub stopped: bool,
}

/// The search over one problem; several asks may follow each other.
#[derive(Debug)]
pub struct Frontier<'p> {
    problem: &'p Problem,
    steps: Vec<Step>,
    /// Per atom, the least latency and GPU work of it and all later ones.
    rest: Vec<[f64; 2]>,
    tracks: Tracks,
    track_subgraphs: bool,
}

impl<'p> Frontier<'p> {
    /// For a problem that passed [`Problem::check`].
    pub fn new(problem: &'p Problem) -> Self {
        let n = problem.atoms.len();
        let mut reads: Vec<Vec<u32>> = vec![Vec::new(); n];
        let mut makes: Vec<Vec<u32>> = vec![Vec::new(); n];
        let mut ends: Vec<Option<u32>> = Vec::with_capacity(problem.flows.len());
        let mut live: Vec<u32> = Vec::new();
        let mut source = vec![true; n];
        for (f, id) in problem.flows.iter().zip(0u32..) {
            for c in &f.consumers {
                reads[*c as usize].push(id);
                source[*c as usize] &= f.producer.is_none();
            }
            match f.producer {
                Some(p) => makes[p as usize].push(id),
                None if !f.consumers.is_empty() => live.push(id),
                None => {}
            }
            ends.push(f.consumers.last().copied());
        }
        let mut last_use = vec![0; problem.choices.len()];
        for (i, a) in problem.atoms.iter().enumerate() {
            if let Some(c) = a.choice {
                last_use[c as usize] = i;
            }
        }
        let last_source = source.iter().rposition(|s| *s);
        let mut remembered: Vec<u32> = Vec::new();
        let mut steps = Vec::with_capacity(n);
        for i in 0..n {
            let mut step = Step {
                makes: std::mem::take(&mut makes[i]),
                source: source[i],
                sources_follow: last_source.is_some_and(|s| s > i),
                ..Step::default()
            };
            for (at, f) in live.iter().zip(0u32..).map(|(f, at)| (at, *f)) {
                if reads[i].contains(&f) {
                    step.reads.push(at);
                }
                if ends[f as usize] == Some(i as u32) {
                    step.end.push(at);
                } else {
                    step.keep.push(at);
                }
            }
            step.born = step
                .makes
                .iter()
                .copied()
                .filter(|f| ends[*f as usize].is_some())
                .collect();
            let next = step.keep.iter().map(|at| live[*at as usize]);
            let next: Vec<u32> = next.chain(step.born.iter().copied()).collect();
            step.live = std::mem::replace(&mut live, next);
            let choice = problem.atoms[i]
                .choice
                .filter(|c| problem.choices[*c as usize] == Allowed::Both);
            if let Some(c) = choice {
                step.remembered = remembered.iter().position(|r| *r == c).map(|at| at as u32);
                step.remember = step.remembered.is_none() && last_use[c as usize] > i;
            }
            let mut next = Vec::new();
            for (r, at) in remembered.iter().zip(0u32..) {
                if last_use[*r as usize] > i {
                    step.keep_choices.push(at);
                    next.push(*r);
                }
            }
            if step.remember {
                next.extend(choice);
            }
            remembered = next;
            steps.push(step);
        }
        let mut rest = vec![[0.0; 2]; n + 1];
        for i in (0..n).rev() {
            let a = &problem.atoms[i];
            let allowed = a
                .choice
                .map_or(Allowed::Gpu, |c| problem.choices[c as usize]);
            let (latency, gpu) = match allowed {
                Allowed::Gpu => (a.gpu_ms, a.gpu_ms),
                Allowed::Dla => (a.dla_ms + a.left_ms, a.left_ms),
                Allowed::Both => (a.gpu_ms.min(a.dla_ms + a.left_ms), a.gpu_ms.min(a.left_ms)),
            };
            rest[i] = [rest[i + 1][0] + latency, rest[i + 1][1] + gpu];
        }
        let (weights, tensors) = problem.may_overfill();
        let movable = problem.atoms.iter().filter(|a| a.choice.is_some()).count();
        Self {
            problem,
            steps,
            rest,
            tracks: Tracks { weights, tensors },
            track_subgraphs: movable > problem.max_subgraphs as usize,
        }
    }

    /// Raises the bound on what is left from each atom on; `rest` has one entry per atom.
    pub fn tighten(&mut self, rest: &[f64]) {
        for (own, better) in self.rest.iter_mut().zip(rest) {
            own[0] = own[0].max(*better);
        }
    }

    /// Searches. `stop` is asked now and then.
    pub fn search(&self, ask: &Ask, stop: &mut dyn FnMut() -> bool) -> Found {
        let mut run = Run {
            frontier: self,
            ask,
            trail: Vec::new(),
            cut_away: [f64::INFINITY; 3],
            complete: true,
        };
        let mut states: Vec<(State, Vec<Label>)> = Vec::new();
        let start = State {
            live: self
                .steps
                .first()
                .map(|s| {
                    s.live
                        .iter()
                        .map(|f| Live {
                            flow: *f,
                            ..Live::default()
                        })
                        .collect()
                })
                .unwrap_or_default(),
            ..State::default()
        };
        states.push((
            start,
            vec![Label {
                at: [0.0; 3],
                subgraphs: 0,
                trail: u32::MAX,
            }],
        ));
        let mut work = 0usize;
        for i in 0..self.steps.len() {
            states = run.advance(i, &states);
            work += states.len();
            // A state costs about a microsecond.
            if work > 2_000 {
                work = 0;
                if stop() {
                    return Found {
                        stopped: true,
                        cut_away: [0.0; 3],
                        ..Found::default()
                    };
                }
            }
        }
        run.finish(states)
    }
}

struct Run<'f, 'p> {
    frontier: &'f Frontier<'p>,
    ask: &'f Ask,
    /// Per label ever kept: the label before, and its device in the lowest bit.
    trail: Vec<u32>,
    cut_away: Criteria,
    complete: bool,
}

impl Run<'_, '_> {
    fn advance(&mut self, i: usize, states: &[(State, Vec<Label>)]) -> Vec<(State, Vec<Label>)> {
        let problem = self.frontier.problem;
        let step = &self.frontier.steps[i];
        let atom = &problem.atoms[i];
        let allowed = atom
            .choice
            .map_or(Allowed::Gpu, |c| problem.choices[c as usize]);
        let mut index: States = States::with_capacity_and_hasher(states.len() * 2, FxBuildHasher);
        let mut next: Vec<(State, Vec<Label>)> = Vec::with_capacity(states.len() * 2);
        let mut key = Vec::new();
        for (state, labels) in states {
            for device in [Device::Gpu, Device::Dla] {
                let open = match step.remembered {
                    Some(at) => state.chosen[at as usize] == u8::from(device == Device::Dla),
                    None => allowed.has(device),
                };
                if !open {
                    continue;
                }
                let Some(made) =
                    Crossing::new(problem, self.frontier.tracks, step, atom, state, device)
                        .and_then(Crossing::finish)
                else {
                    continue;
                };
                let slack = self.slack(&made.state);
                let bit = u32::from(device == Device::Dla);
                let mut target: Option<usize> = None;
                for l in labels {
                    let mut at = l.at;
                    for (v, (d, on)) in at.iter_mut().zip(made.cost.iter().zip(self.ask.active)) {
                        if on {
                            *v += d;
                        }
                    }
                    let subgraphs = i32::from(l.subgraphs) + made.subgraphs;
                    if !self.may_win(i + 1, at, slack, subgraphs, made.groups) {
                        continue;
                    }
                    let t = *target.get_or_insert_with(|| {
                        made.state.key(&mut key);
                        if let Some(t) = index.get(&key[..]) {
                            return *t as usize;
                        }
                        let t = next.len();
                        index.insert(key.as_slice().into(), t as u32);
                        next.push((made.state.clone(), Vec::new()));
                        t
                    });
                    next[t].1.push(Label {
                        at,
                        subgraphs: subgraphs.clamp(0, i32::from(u16::MAX)) as u16,
                        // Until it is kept: where it comes from.
                        trail: l.trail.wrapping_shl(1) | bit,
                    });
                }
            }
        }
        for (_, labels) in &mut next {
            self.undominated(labels);
        }
        if self.frontier.tracks.any() {
            self.lightest(&mut next);
        }
        let total = next.iter().map(|(_, labels)| labels.len()).sum();
        if total > self.ask.width {
            self.cut(i, &mut next, total);
        }
        for (_, labels) in &mut next {
            for l in labels {
                let from = l.trail;
                l.trail = self.trail.len() as u32;
                self.trail.push(from);
            }
        }
        next
    }

    /// What the later atoms may still give back: copies and subgraph prices paid twice.
    fn slack(&self, state: &State) -> [f64; 3] {
        let problem = self.frontier.problem;
        let mut groups = 0u64;
        let mut slack = [0.0; 3];
        let mut twice = |flow: u32, home: u8, readers: u64| {
            let f = &problem.flows[flow as usize];
            let extra = f64::from(readers.count_ones().saturating_sub(1));
            slack[LATENCY] += extra
                * if home == 0 {
                    f.to_dla_ms
                } else {
                    f.dla_to_dla_ms
                };
            slack[TRANSITIONS] += extra;
        };
        for l in &state.live {
            if l.home > 0 {
                groups |= 1 << (l.home - 1);
            }
            twice(l.flow, l.home, l.readers);
        }
        for (flow, readers) in &state.shared {
            twice(flow & !ON_DLA, u8::from(flow & ON_DLA != 0), *readers);
        }
        slack[LATENCY] += f64::from(groups.count_ones().saturating_sub(1)) * problem.subgraph_ms;
        for l in &state.live {
            let f = &problem.flows[l.flow as usize];
            if l.home > 0 && f.is_output && !l.gpu_read {
                slack[LATENCY] += (f.to_caller_ms - f.to_gpu_ms).max(0.0);
            }
        }
        slack
    }

    fn bound(&self, next: usize, at: Criteria, slack: [f64; 3]) -> Criteria {
        let rest = self.frontier.rest[next];
        [
            at[LATENCY] - slack[LATENCY] + rest[0],
            at[GPU] + rest[1],
            at[TRANSITIONS] - slack[TRANSITIONS],
        ]
    }

    fn may_win(
        &self,
        next: usize,
        at: Criteria,
        slack: [f64; 3],
        subgraphs: i32,
        groups: u32,
    ) -> bool {
        let limit = self.frontier.problem.max_subgraphs;
        if i64::from(subgraphs) - i64::from(groups.saturating_sub(1)) > i64::from(limit) {
            return false;
        }
        let bound = self.bound(next, at, slack);
        bound
            .iter()
            .zip(self.ask.most)
            .zip(self.ask.active)
            .all(|((b, most), on)| !on || *b <= most + most.abs() * EPSILON)
    }

    /// Drops labels another label of the same state beats in everything.
    fn undominated(&self, labels: &mut Vec<Label>) {
        if labels.len() < 2 {
            return;
        }
        let track = self.frontier.track_subgraphs;
        labels.sort_unstable_by(|a, b| {
            a.at.iter()
                .zip(&b.at)
                .map(|(x, y)| x.total_cmp(y))
                .find(|o| o.is_ne())
                .unwrap_or_else(|| a.subgraphs.cmp(&b.subgraphs))
        });
        // With two things to compare, the last one kept is the best in the second.
        let things = self.ask.active.iter().filter(|a| **a).count() + usize::from(track);
        let look = if things > 2 { usize::MAX } else { 1 };
        let mut kept = 0;
        for i in 0..labels.len() {
            let l = labels[i];
            let beaten = labels[..kept].iter().rev().take(look).any(|k| {
                (0..3).all(|c| k.at[c] <= l.at[c]) && (!track || k.subgraphs <= l.subgraphs)
            });
            if !beaten {
                labels[kept] = l;
                kept += 1;
            }
        }
        labels.truncate(kept);
    }

    /// Drops labels that one of a state with no more bytes anywhere, and else the same, beats in
    /// everything: whatever follows, that one has the room too.
    fn lightest(&self, next: &mut Vec<(State, Vec<Label>)>) {
        /// States compared with each; beyond that, some are kept that need not be.
        const LOOK: usize = 64;
        let mut order: Vec<(Vec<u8>, u128, usize)> = next
            .iter()
            .enumerate()
            .map(|(i, (state, _))| {
                let mut key = Vec::new();
                state.shape(&mut key);
                let sum = state.bytes.iter().flatten();
                (key, sum.map(|b| u128::from(*b)).sum(), i)
            })
            .collect();
        order.sort_unstable();
        let track = self.frontier.track_subgraphs;
        for alike in order.chunk_by(|a, b| a.0 == b.0) {
            for (at, (_, _, j)) in alike.iter().enumerate() {
                let mut labels = std::mem::take(&mut next[*j].1);
                for (_, _, i) in alike[..at].iter().rev().take(LOOK) {
                    let (lighter, theirs) = &next[*i];
                    let mut pairs = lighter.bytes.iter().flatten();
                    let own = &next[*j].0.bytes;
                    if own.iter().flatten().all(|b| pairs.next() <= Some(b)) {
                        labels.retain(|l| {
                            !theirs.iter().any(|k| {
                                (0..3).all(|c| k.at[c] <= l.at[c])
                                    && (!track || k.subgraphs <= l.subgraphs)
                            })
                        });
                    }
                    if labels.is_empty() {
                        break;
                    }
                }
                next[*j].1 = labels;
            }
        }
        next.retain(|(_, labels)| !labels.is_empty());
    }

    /// Keeps the best `width` labels and notes what the others could have reached.
    fn cut(&mut self, i: usize, next: &mut Vec<(State, Vec<Label>)>, total: usize) {
        let mut ranks: Vec<f64> = Vec::with_capacity(total);
        let rank = |at: Criteria, slack: [f64; 3], w: Criteria| {
            let rest = self.frontier.rest[i + 1];
            (at[0] - slack[0] + rest[0]) * w[0]
                + (at[1] + rest[1]) * w[1]
                + (at[2] - slack[2]) * w[2]
        };
        let slacks: Vec<[f64; 3]> = next.iter().map(|(s, _)| self.slack(s)).collect();
        for ((_, labels), slack) in next.iter().zip(&slacks) {
            ranks.extend(labels.iter().map(|l| rank(l.at, *slack, self.ask.rank)));
        }
        let nth = self.ask.width.clamp(1, total) - 1;
        let mut sorted = ranks.clone();
        let (_, limit, _) = sorted.select_nth_unstable_by(nth, f64::total_cmp);
        let limit = *limit;
        let mut seen = 0;
        let mut room = self.ask.width;
        let mut lost: Vec<(Criteria, [f64; 3])> = Vec::new();
        for ((_, labels), slack) in next.iter_mut().zip(&slacks) {
            labels.retain(|l| {
                let keep = ranks[seen] <= limit && room > 0;
                seen += 1;
                room -= usize::from(keep);
                if !keep {
                    lost.push((l.at, *slack));
                }
                keep
            });
        }
        for (at, slack) in lost {
            let bound = self.bound(i + 1, at, slack);
            for (least, b) in self.cut_away.iter_mut().zip(bound) {
                *least = least.min(b);
            }
            self.complete = false;
        }
        next.retain(|(_, labels)| !labels.is_empty());
    }

    fn finish(self, states: Vec<(State, Vec<Label>)>) -> Found {
        let problem = self.frontier.problem;
        let limit = problem.max_subgraphs;
        let mut labels: Vec<Label> = states
            .into_iter()
            .flat_map(|(_, labels)| labels)
            .filter(|l| u32::from(l.subgraphs) <= limit)
            .collect();
        for l in &mut labels {
            l.subgraphs = 0;
        }
        self.undominated(&mut labels);
        // Sums made in different orders differ in the last digits: those are one point.
        let near = |a: f64, b: f64| a <= b + b.abs() * EPSILON;
        let mut kept: Vec<Label> = Vec::new();
        for l in labels {
            kept.retain(|k| !(0..3).all(|c| near(l.at[c], k.at[c])));
            if !kept.iter().any(|k| (0..3).all(|c| near(k.at[c], l.at[c]))) {
                kept.push(l);
            }
        }
        let front = kept
            .iter()
            .map(|l| {
                let mut chosen = problem.uniform(Device::Gpu);
                let mut at = l.trail;
                for i in (0..problem.atoms.len()).rev() {
                    let Some(link) = self.trail.get(at as usize) else {
                        break;
                    };
                    if let Some(c) = problem.atoms[i].choice {
                        chosen[c as usize] = if link & 1 == 1 {
                            Device::Dla
                        } else {
                            Device::Gpu
                        };
                    }
                    at = link >> 1;
                }
                (l.at, chosen)
            })
            .collect();
        Found {
            front,
            complete: self.complete,
            cut_away: self.cut_away,
            stopped: false,
        }
    }
}
