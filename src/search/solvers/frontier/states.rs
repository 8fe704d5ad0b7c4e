//! Partial placements: what the search must remember of one after each atom.

use rustc_hash::FxHashMap;

use crate::search::problem::Problem;

/// Positions in a criteria vector.
pub const LATENCY: usize = 0;
/// GPU work, ms.
pub const GPU: usize = 1;
/// Transitions between devices.
pub const TRANSITIONS: usize = 2;

/// Latency in ms, GPU work in ms, transitions.
pub type Criteria = [f64; 3];

/// Marks an ended flow that was made on the DLA.
pub(super) const ON_DLA: u32 = 1 << 31;

/// States by key. Keys come from our own states, never from a file.
pub(super) type States = FxHashMap<Box<[u8]>, u32>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    pub(super) at: Criteria,
    pub(super) subgraphs: u16,
    /// Position in the trail.
    pub(super) trail: u32,
}

/// A flow in one state. Groups are numbered within the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) flow: u32,
    /// 0 is the GPU or the caller, else one more than the group.
    pub(super) home: u8,
    pub(super) level: i16,
    pub(super) gpu_read: bool,
    /// Another group has read it, be it live or not, where bytes of tensors matter.
    pub(super) left: bool,
    /// Groups that have a copy.
    pub(super) readers: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) live: Vec<Live>,
    /// Ended flows of which several live groups hold a copy: joining them gives one back.
    /// [`ON_DLA`] is set where the flow was made on the DLA.
    pub(super) shared: Vec<(u32, u64)>,
    pub(super) chosen: Vec<u8>,
    /// Bytes of weights and of tensors that never leave, per live group, when they can matter.
    pub(super) bytes: Vec<[u64; 2]>,
    /// Absolute level of relative level 0, while it can matter.
    pub(super) base: i32,
}

impl State {
    /// Renumbers groups by first use, forgets what nobody needs, sets levels relative. Returns
    /// how many groups are live.
    pub(super) fn canonical(&mut self, problem: &Problem, keep_base: bool) -> u32 {
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

    pub(super) fn key(&self, key: &mut Vec<u8>) {
        self.shape(key);
        for b in self.bytes.iter().flatten() {
            key.extend(b.to_le_bytes());
        }
    }

    /// All of the state but the bytes of its groups.
    pub(super) fn shape(&self, key: &mut Vec<u8>) {
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
