//! Blocks for ops whose names tell no module: the network is cut where few tensors are live, and
//! each block starts with an op that holds the work.

use std::collections::BTreeMap;
use std::ops::Range;

use hashbrown::{HashMap, HashSet};

use crate::model::{Op, Tensor, TensorRole};

/// Block number per op, counted from 0 without gaps. A block with more than half of the ops is cut
/// again where more tensors are live: as few as leave no such block, or else wherever it can be cut.
fn cut(ops: &[Op], tensors: &[Tensor], heavy: &[bool]) -> Vec<usize> {
    let live = live(ops, tensors);
    let mut blocks = Vec::with_capacity(ops.len());
    let mut count = 0;
    for part in parts(0..ops.len(), &live, heavy, 1) {
        let large = 2 * part.len() > ops.len();
        let finer = if large {
            finer(part.clone(), &live, heavy, ops.len() / 2)
        } else {
            vec![part]
        };
        for part in finer {
            blocks.extend(std::iter::repeat_n(count, part.len()));
            count += 1;
        }
    }
    blocks
}

fn finer(part: Range<usize>, live: &[i64], heavy: &[bool], most: usize) -> Vec<Range<usize>> {
    let mut levels: Vec<i64> = live.get(part.clone()).unwrap_or_default().to_vec();
    levels.sort_unstable();
    levels.dedup();
    let at = |level: usize| {
        let level = levels.get(level).copied().unwrap_or(i64::MAX);
        parts(part.clone(), live, heavy, level)
    };
    // The more tensors may be live, the smaller the parts.
    let small = |level: usize| at(level).iter().all(|p| p.len() <= most);
    let all: Vec<usize> = (0..levels.len()).collect();
    at(all.partition_point(|level| !small(*level)))
}

/// Per op, how many tensors made before it are read by it or later.
fn live(ops: &[Op], tensors: &[Tensor]) -> Vec<i64> {
    let mut change = vec![0i64; ops.len() + 1];
    for tensor in tensors.iter().filter(|t| t.role != TensorRole::Weight) {
        let Some(last) = tensor.consumers.iter().map(|o| o.index()).max() else {
            continue;
        };
        let born = tensor.producer.map_or(0, |p| p.index() + 1);
        if born <= last {
            if let Some(c) = change.get_mut(born) {
                *c += 1;
            }
            if let Some(c) = change.get_mut(last + 1) {
                *c -= 1;
            }
        }
    }
    change.pop();
    let mut live = 0;
    for c in &mut change {
        live += *c;
        *c = live;
    }
    change
}

/// Cuts a range where no more than this many tensors are live.
fn parts(range: Range<usize>, live: &[i64], heavy: &[bool], most: i64) -> Vec<Range<usize>> {
    let few = |i: &usize| *i == range.start || live.get(*i).is_some_and(|l| *l <= most);
    let starts: Vec<usize> = range.clone().filter(few).collect();
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut worked = false;
    for (n, &start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(range.end);
        let works = heavy.get(start..end).is_some_and(|h| h.iter().any(|h| *h));
        match parts.last_mut() {
            // Light ops before the first block's work, a preprocessing, belong to it.
            Some(last) if !(works && worked) => last.end = end,
            _ => parts.push(start..end),
        }
        worked |= works;
    }
    parts
}

/// Gives the ops that no name puts into a module blocks, where all of them together are all ops or
/// more than half of them in one module. Returns the blocks' paths.
pub(super) fn divide(
    paths: &mut [String],
    owned: &[bool],
    ops: &[Op],
    tensors: &[Tensor],
    heavy: &[bool],
) -> HashSet<String> {
    let nameless = !owned.contains(&true);
    let large = {
        let mut held: HashMap<&str, usize> = HashMap::new();
        for path in paths.iter() {
            *held.entry(path).or_default() += 1;
        }
        let mut large = held.iter().filter(|(_, n)| nameless || 2 * **n > ops.len());
        large.next().map(|(path, _)| (*path).to_owned())
    };
    let Some(module) = large else {
        return HashSet::new();
    };
    let open: Vec<bool> = paths
        .iter()
        .zip(owned)
        .map(|(path, owned)| *path == module && !owned)
        .collect();
    // Blocks start with work: light ops between modules that hold the work are the module's own.
    let works = open.iter().zip(heavy).any(|(open, heavy)| *open && *heavy);
    let many = 2 * open.iter().filter(|o| **o).count() > ops.len();
    if !(nameless || works && many) {
        return HashSet::new();
    }
    // A name that no module beside the blocks has.
    let before = if module.is_empty() {
        String::new()
    } else {
        format!("{module}.")
    };
    let mut label = format!("{before}block");
    while paths.iter().any(|p| p.starts_with(&label)) {
        label.push('_');
    }
    let mut made = HashSet::new();
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    for ((path, open), block) in paths.iter_mut().zip(open).zip(cut(ops, tensors, heavy)) {
        if open {
            let next = numbers.len() + 1;
            let number = *numbers.entry(block).or_insert(next);
            *path = format!("{label}{number}");
            made.insert(path.clone());
        }
    }
    made
}
