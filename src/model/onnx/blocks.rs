//! Blocks for models whose names tell nothing: the network is cut where a single tensor is live,
//! and each block starts with an op that holds the work.

use crate::model::{Op, Tensor, TensorRole};

/// Block number per op, counted from 0 without gaps.
pub(super) fn cut(ops: &[Op], tensors: &[Tensor], heavy: &[bool]) -> Vec<usize> {
    // live[i]: tensors made before op i and read by it or later, as a running sum of changes.
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
    let mut block = 0;
    let mut blocks = Vec::with_capacity(ops.len());
    let mut live = 0;
    let mut starts = Vec::new();
    let mut worked = false;
    for (i, c) in change.iter().take(ops.len()).enumerate() {
        live += c;
        if live == 1 || i == 0 {
            starts.push(i);
        }
    }
    for (n, &start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(ops.len());
        let works = heavy.get(start..end).is_some_and(|h| h.iter().any(|h| *h));
        // Light ops before the first block's work, a preprocessing, belong to it.
        if works && worked {
            block += 1;
        }
        worked |= works;
        blocks.extend(std::iter::repeat_n(block, end - start));
    }
    blocks
}
