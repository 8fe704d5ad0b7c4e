//! One atom on one device: what becomes of a state, and what that costs.

use crate::placement::Device;
use crate::search::problem::{Atom, Flow, Problem};

use super::states::{Criteria, GPU, LATENCY, Live, ON_DLA, State, TRANSITIONS};

/// What one atom does to the frontier, the same for every state.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Positions, among the live flows before the atom, of those it reads.
    pub(super) reads: Vec<u32>,
    /// Positions that stay live after it.
    pub(super) keep: Vec<u32>,
    /// Positions that end here.
    pub(super) end: Vec<u32>,
    /// Flows it makes that will be read.
    pub(super) born: Vec<u32>,
    /// Flows it makes, read or not.
    pub(super) makes: Vec<u32>,
    /// Live flows before the atom.
    pub(super) live: Vec<u32>,
    /// It reads nothing another atom made.
    pub(super) source: bool,
    /// Some later atom is a source, so that absolute levels matter.
    pub(super) sources_follow: bool,
    /// Where its choice stands among the remembered ones, if an earlier atom took it.
    pub(super) remembered: Option<u32>,
    /// Positions of remembered choices that are still needed afterwards.
    pub(super) keep_choices: Vec<u32>,
    /// A later atom needs the choice taken here.
    pub(super) remember: bool,
}

/// Which bytes of a subgraph can exceed what a loadable may hold, so that states count them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracks {
    /// Bytes of weights.
    pub(super) weights: bool,
    /// Bytes of tensors that never leave the subgraph.
    pub(super) tensors: bool,
}

impl Tracks {
    /// States count bytes at all.
    pub(super) fn any(self) -> bool {
        self.weights || self.tensors
    }
}

/// A state after an atom.
pub(super) struct Made {
    pub(super) state: State,
    /// What the atom adds to each criterion.
    pub(super) cost: Criteria,
    /// Subgraphs opened, less those joined.
    pub(super) subgraphs: i32,
    /// Groups that are live.
    pub(super) groups: u32,
}

/// A state on its way across one atom.
pub(super) struct Crossing<'a> {
    problem: &'a Problem,
    tracks: Tracks,
    step: &'a Step,
    atom: &'a Atom,
    before: &'a State,
    /// The atom runs on the DLA.
    dla: bool,
    /// Device changes on the worst path to the atom, relative to the state's base.
    level: i16,
    /// Group of the atom, where it is on the DLA.
    own: u8,
    live: Vec<Live>,
    shared: Vec<(u32, u64)>,
    bytes: Vec<[u64; 2]>,
    cost: Criteria,
    subgraphs: i32,
}

impl<'a> Crossing<'a> {
    /// Starts with the atom's own time; `None` where its level does not fit a state.
    pub(super) fn new(
        problem: &'a Problem,
        tracks: Tracks,
        step: &'a Step,
        atom: &'a Atom,
        before: &'a State,
        device: Device,
    ) -> Option<Self> {
        let dla = device == Device::Dla;
        let mut cost = [0.0; 3];
        cost[GPU] = if dla { atom.left_ms } else { atom.gpu_ms };
        cost[LATENCY] = cost[GPU] + if dla { atom.dla_ms } else { 0.0 };
        let level = if step.source {
            -before.base
        } else {
            step.reads
                .iter()
                .map(|at| &before.live[*at as usize])
                .filter(|l| problem.flows[l.flow as usize].producer.is_some())
                .map(|l| i32::from(l.level) + i32::from((l.home > 0) != dla))
                .max()
                .unwrap_or(0)
        };
        Some(Self {
            problem,
            tracks,
            step,
            atom,
            before,
            dla,
            level: i16::try_from(level).ok()?,
            own: 0,
            live: before.live.clone(),
            shared: before.shared.clone(),
            bytes: before.bytes.clone(),
            cost,
            subgraphs: 0,
        })
    }

    /// The state after the atom; `None` where a subgraph would hold too much, or where there are
    /// more groups than a mask holds.
    pub(super) fn finish(mut self) -> Option<Made> {
        if self.dla {
            let joined = self.enter_subgraph()?;
            if self.tracks.any() {
                self.fill(joined)?;
            }
        }
        self.read();
        if self.dla {
            self.return_outputs();
        }
        self.end_flows()?;
        Some(self.made())
    }

    fn flow(&self, id: u32) -> &'a Flow {
        &self.problem.flows[id as usize]
    }

    /// Opens a subgraph, or joins those that the atom reads from on its level. Returns the mask of
    /// the joined groups.
    fn enter_subgraph(&mut self) -> Option<u64> {
        let mut joined = 0u64;
        for at in &self.step.reads {
            let l = self.live[*at as usize];
            if l.home > 0 && l.level == self.level {
                joined |= 1 << (l.home - 1);
            }
        }
        self.subgraphs = 1 - joined.count_ones() as i32;
        self.cost[LATENCY] += f64::from(self.subgraphs) * self.problem.subgraph_ms;
        if joined == 0 {
            let highest = |readers: u64| (64 - readers.leading_zeros()) as u8;
            let live = self.live.iter().map(|l| l.home.max(highest(l.readers)));
            let shared = self.shared.iter().map(|(_, r)| highest(*r));
            // More groups than a mask holds: leave this way out rather than go wrong.
            let fresh = live.chain(shared).max().unwrap_or(0);
            self.own = Some(fresh).filter(|g| *g < 64)?;
        } else {
            self.own = joined.trailing_zeros() as u8;
            if joined.count_ones() > 1 {
                self.join(joined);
            }
        }
        Some(joined)
    }

    /// Adds the atom's bytes to its subgraph, with those of the groups it joins.
    fn fill(&mut self, joined: u64) -> Option<()> {
        let own = usize::from(self.own);
        if self.bytes.len() <= own {
            self.bytes.resize(own + 1, [0; 2]);
        }
        let mut sum = [0u64; 2];
        if self.tracks.weights {
            sum[0] = self.atom.weight_bytes;
        }
        if self.tracks.tensors {
            let unread = self
                .step
                .makes
                .iter()
                .filter(|f| !self.step.born.contains(f));
            sum[1] = unread
                .map(|f| self.flow(*f))
                .filter(|f| !f.is_output)
                .fold(self.atom.tensor_bytes, |s, f| s.saturating_add(f.bytes));
        }
        for (g, b) in self.bytes.iter_mut().enumerate() {
            if joined >> g & 1 == 1 {
                let [weights, tensors] = std::mem::take(b);
                sum = [
                    sum[0].saturating_add(weights),
                    sum[1].saturating_add(tensors),
                ];
            }
        }
        self.bytes[own] = sum;
        let fits = sum[0] <= self.problem.max_subgraph_bytes
            && sum[1] <= self.problem.max_subgraph_tensor_bytes;
        fits.then_some(())
    }

    /// Pays for the copies that the atom's reads need.
    fn read(&mut self) {
        for at in &self.step.reads {
            let l = &mut self.live[*at as usize];
            let f = &self.problem.flows[l.flow as usize];
            if self.dla {
                let bit = 1u64 << self.own;
                if l.home == self.own + 1 || l.readers & bit != 0 {
                    continue;
                }
                l.readers |= bit;
                l.left |= self.tracks.tensors && l.home > 0;
                self.cost[LATENCY] += if l.home == 0 {
                    f.to_dla_ms
                } else {
                    f.dla_to_dla_ms
                };
                self.cost[TRANSITIONS] += 1.0;
            } else if l.home > 0 && !l.gpu_read {
                l.gpu_read = true;
                self.cost[LATENCY] += f.to_gpu_ms;
                if f.is_output {
                    self.cost[LATENCY] -= f.to_caller_ms;
                } else {
                    self.cost[TRANSITIONS] += 1.0;
                }
            }
        }
    }

    /// Pays for the network's outputs that the atom makes on the DLA.
    fn return_outputs(&mut self) {
        for f in &self.step.makes {
            let f = self.flow(*f);
            if f.is_output {
                self.cost[LATENCY] += f.to_caller_ms;
                self.cost[TRANSITIONS] += 1.0;
            }
        }
    }

    /// Ends the flows that nothing reads any more.
    fn end_flows(&mut self) -> Option<()> {
        for at in &self.step.end {
            let l = self.live[*at as usize];
            if l.readers.count_ones() > 1 {
                let home = if l.home > 0 { ON_DLA } else { 0 };
                self.shared.push((l.flow | home, l.readers));
            }
            // Read by its own subgraph alone: no later join can bring in another reader's, since
            // that is on another level.
            if self.tracks.tensors && l.home > 0 && !l.gpu_read && !l.left {
                let f = self.flow(l.flow);
                if !f.is_output
                    && let Some([_, tensors]) = self.bytes.get_mut(usize::from(l.home - 1))
                {
                    *tensors = tensors.saturating_add(f.bytes);
                    if *tensors > self.problem.max_subgraph_tensor_bytes {
                        return None;
                    }
                }
            }
        }
        Some(())
    }

    fn made(self) -> Made {
        let step = self.step;
        let mut live: Vec<Live> = step.keep.iter().map(|at| self.live[*at as usize]).collect();
        live.extend(step.born.iter().map(|f| Live {
            flow: *f,
            home: if self.dla { self.own + 1 } else { 0 },
            level: self.level,
            gpu_read: false,
            left: false,
            readers: 0,
        }));
        let kept = step.keep_choices.iter();
        let mut chosen: Vec<u8> = kept.map(|at| self.before.chosen[*at as usize]).collect();
        if step.remember {
            chosen.push(u8::from(self.dla));
        }
        let mut state = State {
            live,
            shared: self.shared,
            chosen,
            bytes: self.bytes,
            base: self.before.base,
        };
        let groups = state.canonical(self.problem, step.sources_follow);
        Made {
            state,
            cost: self.cost,
            subgraphs: self.subgraphs,
            groups,
        }
    }

    /// Makes several groups one; copies that two of them paid for are given back.
    fn join(&mut self, joined: u64) {
        let (problem, own, cost) = (self.problem, self.own, &mut self.cost);
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
        for l in &mut self.live {
            merge(l.flow, l.home > 0, &mut l.readers);
            if l.home > 0 && joined >> (l.home - 1) & 1 == 1 {
                l.home = own + 1;
            }
        }
        for (flow, readers) in &mut self.shared {
            merge(*flow & !ON_DLA, *flow & ON_DLA != 0, readers);
        }
    }
}
