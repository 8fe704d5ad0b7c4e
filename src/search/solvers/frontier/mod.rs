//! Any DAG, atom by atom, remembering only what the frontier still needs.
//!
//! After each atom two partial placements are the same state when every tensor that is still to
//! be read lies on the same device, in the same DLA subgraph, at the same device-change level,
//! already copied to the same readers, and, where memory may run short, every open subgraph holds
//! as many bytes. Of one state only the labels no other label beats are
//! kept, so the search is exact and costs what the frontier is wide: two or three tensors in a
//! residual network, four or five in an inception block. Wider graphs are cut to the best
//! `width` labels per atom, and the bound of what was cut away is reported.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::placement::Device;

use crate::search::problem::{Allowed, Problem};

/// Positions in a criteria vector.
pub const LATENCY: usize = 0;
/// GPU work, ms.
pub const GPU: usize = 1;
/// Transitions between devices.
pub const TRANSITIONS: usize = 2;

/// Latency in ms, GPU work in ms, transitions.
pub type Criteria = [f64; 3];

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

/// Marks an ended flow that was made on the DLA.
const ON_DLA: u32 = 1 << 31;

#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // Multiplicative mixing; keys come from our own states, never from a file.
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

type States = HashMap<Box<[u8]>, u32, BuildHasherDefault<Mix>>;

#[derive(Clone, Copy, Debug)]
struct Label {
    at: Criteria,
    subgraphs: u16,
    /// Position in the trail.
    trail: u32,
}

/// What one atom does to the frontier, the same for every state.
#[derive(Debug, Default)]
struct Step {
    /// Positions, among the live flows before the atom, of those it reads.
    reads: Vec<u32>,
    /// Positions that stay live after it.
    keep: Vec<u32>,
    /// Positions that end here.
    end: Vec<u32>,
    /// Flows it makes that will be read.
    born: Vec<u32>,
    /// Flows it makes, read or not.
    makes: Vec<u32>,
    /// Live flows before the atom.
    live: Vec<u32>,
    /// It reads nothing another atom made.
    source: bool,
    /// Some later atom is a source, so that absolute levels matter.
    sources_follow: bool,
    /// Where its choice stands among the remembered ones, if an earlier atom took it.
    remembered: Option<u32>,
    /// Positions of remembered choices that are still needed afterwards.
    keep_choices: Vec<u32>,
    /// A later atom needs the choice taken here.
    remember: bool,
}

/// A flow in one state. Groups are numbered within the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Live {
    flow: u32,
    /// 0 is the GPU or the caller, else one more than the group.
    home: u8,
    level: i16,
    gpu_read: bool,
    /// Another group has read it, be it live or not, where bytes of tensors matter.
    left: bool,
    /// Groups that have a copy.
    readers: u64,
}

#[derive(Clone, Debug, Default)]
struct State {
    live: Vec<Live>,
    /// Ended flows of which several live groups hold a copy: joining them gives one back.
    /// [`ON_DLA`] is set where the flow was made on the DLA.
    shared: Vec<(u32, u64)>,
    chosen: Vec<u8>,
    /// Bytes of weights and of tensors that never leave, per live group, when they can matter.
    bytes: Vec<[u64; 2]>,
    /// Absolute level of relative level 0, while it can matter.
    base: i32,
}

/// The search over one problem; several asks may follow each other.
#[derive(Debug)]
pub struct Frontier<'p> {
    problem: &'p Problem,
    steps: Vec<Step>,
    /// Per atom, the least latency and GPU work of it and all later ones.
    rest: Vec<[f64; 2]>,
    track_weights: bool,
    track_tensors: bool,
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
        let (track_weights, track_tensors) = problem.may_overfill();
        let movable = problem.atoms.iter().filter(|a| a.choice.is_some()).count();
        Self {
            problem,
            steps,
            rest,
            track_weights,
            track_tensors,
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
        let mut index: States =
            HashMap::with_capacity_and_hasher(states.len() * 2, BuildHasherDefault::default());
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
                let Some(made) = self.step(i, state, device) else {
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
        if self.frontier.track_weights || self.frontier.track_tensors {
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

    fn step(&self, i: usize, state: &State, device: Device) -> Option<Made> {
        let problem = self.frontier.problem;
        let step = &self.frontier.steps[i];
        let atom = &problem.atoms[i];
        let dla = device == Device::Dla;
        let mut cost = [0.0; 3];
        let mut subgraphs = 0;
        cost[GPU] = if dla { atom.left_ms } else { atom.gpu_ms };
        cost[LATENCY] = cost[GPU] + if dla { atom.dla_ms } else { 0.0 };
        let mut live = state.live.clone();
        let mut shared = state.shared.clone();
        let mut bytes = state.bytes.clone();
        let level = if step.source {
            -state.base
        } else {
            step.reads
                .iter()
                .map(|at| &live[*at as usize])
                .filter(|l| problem.flows[l.flow as usize].producer.is_some())
                .map(|l| i32::from(l.level) + i32::from((l.home > 0) != dla))
                .max()
                .unwrap_or(0)
        };
        let level = i16::try_from(level).ok()?;
        // Group bit of this atom, where it is on the DLA.
        let mut own = 0u8;
        if dla {
            let mut joined = 0u64;
            for at in &step.reads {
                let l = live[*at as usize];
                if l.home > 0 && l.level == level {
                    joined |= 1 << (l.home - 1);
                }
            }
            subgraphs = 1 - joined.count_ones() as i32;
            cost[LATENCY] += f64::from(subgraphs) * problem.subgraph_ms;
            let fresh = live
                .iter()
                .map(|l| u64::from(l.home).max(u64::from(64 - l.readers.leading_zeros())))
                .max()
                .unwrap_or(0)
                .max(
                    shared
                        .iter()
                        .map(|(_, r)| u64::from(64 - r.leading_zeros()))
                        .max()
                        .unwrap_or(0),
                );
            if joined == 0 {
                // More groups than a mask holds: leave this way out rather than go wrong.
                own = u8::try_from(fresh).ok().filter(|g| *g < 64)?;
            } else {
                own = joined.trailing_zeros() as u8;
                if joined.count_ones() > 1 {
                    self.join(joined, own, &mut live, &mut shared, &mut cost);
                }
            }
            if self.frontier.track_weights || self.frontier.track_tensors {
                if bytes.len() <= own as usize {
                    bytes.resize(own as usize + 1, [0; 2]);
                }
                let mut sum = [0u64; 2];
                if self.frontier.track_weights {
                    sum[0] = atom.weight_bytes;
                }
                if self.frontier.track_tensors {
                    let unread = |f: &&u32| !step.born.contains(f);
                    let unread = step.makes.iter().filter(unread);
                    let inside = unread
                        .map(|f| &problem.flows[*f as usize])
                        .filter(|f| !f.is_output)
                        .fold(atom.tensor_bytes, |s, f| s.saturating_add(f.bytes));
                    sum[1] = inside;
                }
                for (g, b) in bytes.iter_mut().enumerate() {
                    if joined >> g & 1 == 1 {
                        let [weights, tensors] = std::mem::take(b);
                        sum = [
                            sum[0].saturating_add(weights),
                            sum[1].saturating_add(tensors),
                        ];
                    }
                }
                bytes[own as usize] = sum;
                if sum[0] > problem.max_subgraph_bytes || sum[1] > problem.max_subgraph_tensor_bytes
                {
                    return None;
                }
            }
        }
        for at in &step.reads {
            let l = &mut live[*at as usize];
            let f = &problem.flows[l.flow as usize];
            if dla {
                let bit = 1u64 << own;
                if l.home == own + 1 || l.readers & bit != 0 {
                    continue;
                }
                l.readers |= bit;
                l.left |= self.frontier.track_tensors && l.home > 0;
                cost[LATENCY] += if l.home == 0 {
                    f.to_dla_ms
                } else {
                    f.dla_to_dla_ms
                };
                cost[TRANSITIONS] += 1.0;
            } else if l.home > 0 && !l.gpu_read {
                l.gpu_read = true;
                cost[LATENCY] += f.to_gpu_ms;
                if f.is_output {
                    cost[LATENCY] -= f.to_caller_ms;
                } else {
                    cost[TRANSITIONS] += 1.0;
                }
            }
        }
        if dla {
            for f in &step.makes {
                let f = &problem.flows[*f as usize];
                if f.is_output {
                    cost[LATENCY] += f.to_caller_ms;
                    cost[TRANSITIONS] += 1.0;
                }
            }
        }
        for at in &step.end {
            let l = live[*at as usize];
            if l.readers.count_ones() > 1 {
                let home = if l.home > 0 { ON_DLA } else { 0 };
                shared.push((l.flow | home, l.readers));
            }
            // Read by its own subgraph alone: no later join can bring in another reader's, since
            // that is on another level.
            if self.frontier.track_tensors && l.home > 0 && !l.gpu_read && !l.left {
                let f = &problem.flows[l.flow as usize];
                if !f.is_output
                    && let Some([_, tensors]) = bytes.get_mut(usize::from(l.home - 1))
                {
                    *tensors = tensors.saturating_add(f.bytes);
                    if *tensors > problem.max_subgraph_tensor_bytes {
                        return None;
                    }
                }
            }
        }
        let mut next: Vec<Live> = step.keep.iter().map(|at| live[*at as usize]).collect();
        next.extend(step.born.iter().map(|f| Live {
            flow: *f,
            home: if dla { own + 1 } else { 0 },
            level,
            gpu_read: false,
            left: false,
            readers: 0,
        }));
        let mut chosen: Vec<u8> = step
            .keep_choices
            .iter()
            .map(|at| state.chosen[*at as usize])
            .collect();
        if step.remember {
            chosen.push(u8::from(dla));
        }
        let mut state = State {
            live: next,
            shared,
            chosen,
            bytes,
            base: state.base,
        };
        let groups = state.canonical(problem, step.sources_follow);
        Some(Made {
            state,
            cost,
            subgraphs,
            groups,
        })
    }

    /// Makes several groups one; copies that two of them paid for are given back.
    fn join(
        &self,
        joined: u64,
        own: u8,
        live: &mut [Live],
        shared: &mut [(u32, u64)],
        cost: &mut Criteria,
    ) {
        let problem = self.frontier.problem;
        let mut merge = |flow: u32, on_dla: bool, readers: &mut u64| {
            let hit = *readers & joined;
            if hit == 0 {
                return;
            }
            let f = &problem.flows[flow as usize];
            let extra = f64::from(hit.count_ones() - 1);
            cost[LATENCY] -= extra * if on_dla { f.dla_to_dla_ms } else { f.to_dla_ms };
            cost[TRANSITIONS] -= extra;
            *readers = *readers & !joined | 1 << own;
        };
        for l in live.iter_mut() {
            merge(l.flow, l.home > 0, &mut l.readers);
            if l.home > 0 && joined >> (l.home - 1) & 1 == 1 {
                l.home = own + 1;
            }
        }
        for (flow, readers) in shared.iter_mut() {
            merge(*flow & !ON_DLA, *flow & ON_DLA != 0, readers);
        }
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

struct Made {
    state: State,
    cost: Criteria,
    subgraphs: i32,
    groups: u32,
}

impl State {
    /// Renumbers groups by first use, forgets what nobody needs, sets levels relative. Returns
    /// how many groups are live.
    fn canonical(&mut self, problem: &Problem, keep_base: bool) -> u32 {
        let mut number = [u8::MAX; 64];
        let mut groups = 0u8;
        for l in &self.live {
            if l.home > 0 && number[usize::from(l.home - 1)] == u8::MAX {
                number[usize::from(l.home - 1)] = groups;
                groups += 1;
            }
        }
        let renumber = |mut mask: u64| {
            let mut out = 0u64;
            while mask != 0 {
                let g = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if number[g] != u8::MAX {
                    out |= 1 << number[g];
                }
            }
            out
        };
        let mut least = i16::MAX;
        for l in &mut self.live {
            if l.home > 0 {
                l.home = number[usize::from(l.home - 1)] + 1;
            }
            l.readers = renumber(l.readers);
            if problem.flows[l.flow as usize].producer.is_some() {
                least = least.min(l.level);
            }
        }
        self.shared.retain_mut(|(_, readers)| {
            *readers = renumber(*readers);
            readers.count_ones() > 1
        });
        self.shared.sort_unstable();
        if !self.bytes.is_empty() {
            let mut bytes = vec![[0; 2]; usize::from(groups)];
            for (g, b) in self.bytes.iter().enumerate() {
                if let Some(to) = number.get(g).filter(|n| **n != u8::MAX) {
                    bytes[usize::from(*to)] = *b;
                }
            }
            self.bytes = bytes;
        }
        if least != i16::MAX {
            for l in &mut self.live {
                if problem.flows[l.flow as usize].producer.is_some() {
                    l.level -= least;
                }
            }
            self.base += i32::from(least);
        }
        if !keep_base {
            self.base = 0;
        }
        u32::from(groups)
    }

    fn key(&self, key: &mut Vec<u8>) {
        self.shape(key);
        for b in self.bytes.iter().flatten() {
            key.extend(b.to_le_bytes());
        }
    }

    /// All of the state but the bytes of its groups.
    fn shape(&self, key: &mut Vec<u8>) {
        key.clear();
        for l in &self.live {
            key.push(l.home);
            key.push(u8::from(l.gpu_read) | u8::from(l.left) << 1);
            key.extend(l.level.to_le_bytes());
            key.extend(l.readers.to_le_bytes());
        }
        key.extend(&self.chosen);
        key.extend(self.base.to_le_bytes());
        for (f, readers) in &self.shared {
            key.extend(f.to_le_bytes());
            key.extend(readers.to_le_bytes());
        }
    }
}
