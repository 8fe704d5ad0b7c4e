//! DLA subgraphs: which DLA ops TensorRT can compile into one loadable.

use crate::model::{Model, OpKind, TensorId};
use crate::placement::Device;

/// The activation edges of a model, flat, so that partitioning touches no other memory.
///
/// A node is an op, or one more output of a Split: TensorRT's parser makes a Slice layer for each
/// output, and slices that share nothing but a tensor from the GPU are loadables of their own (seen
/// in a build log of `TensorRT` 8.5.2 on Xavier NX, ultralytics/ultralytics#23488).
#[derive(Debug)]
pub(super) struct Edges {
    start: Vec<u32>,
    /// The nodes that each op reads.
    producers: Vec<u32>,
    /// The ops of the nodes after the last op, in execution order.
    slices: Vec<u32>,
    /// Per tensor, the node that makes it, or [`NONE`].
    makers: Vec<u32>,
}

/// No node.
const NONE: u32 = u32::MAX;

impl Edges {
    pub(super) fn new(model: &Model) -> Self {
        let ops = model.ops.len();
        let mut slices = Vec::new();
        let mut makers = vec![NONE; model.tensors.len()];
        for (op, id) in model.ops.iter().zip(0..) {
            let split = matches!(op.kind, OpKind::Split { .. });
            for (at, tensor) in op.outputs.iter().enumerate() {
                makers[tensor.index()] = if split && at > 0 {
                    slices.push(id);
                    (ops + slices.len() - 1) as u32
                } else {
                    id
                };
            }
        }
        let mut start = Vec::with_capacity(ops + 1);
        let mut producers = Vec::new();
        start.push(0);
        for op in &model.ops {
            let nodes = op.inputs.iter().map(|t| makers[t.index()]);
            producers.extend(nodes.filter(|node| *node != NONE));
            start.push(producers.len() as u32);
        }
        Self {
            start,
            producers,
            slices,
            makers,
        }
    }

    /// The node that makes a tensor.
    pub(super) fn maker(&self, tensor: TensorId) -> Option<u32> {
        let maker = self.makers[tensor.index()];
        (maker != NONE).then_some(maker)
    }

    /// Some op is several nodes.
    pub(super) fn has_slices(&self) -> bool {
        !self.slices.is_empty()
    }

    /// The nodes of an op of `ops`: the op, and the further slices of a Split. `SLICES` is
    /// [`Self::has_slices`], here and below: most models have none and shall not pay for them.
    pub(super) fn nodes<const SLICES: bool>(
        &self,
        op: u32,
        ops: usize,
    ) -> impl Iterator<Item = u32> + use<SLICES> {
        let mut more = 0..0;
        if SLICES {
            let begin = self.slices.partition_point(|o| *o < op);
            let end = begin + self.slices[begin..].partition_point(|o| *o == op);
            more = (begin + ops) as u32..(end + ops) as u32;
        }
        let mut first = Some(op);
        std::iter::from_fn(move || first.take().or_else(|| more.next().filter(|_| SLICES)))
    }

    /// The op of a node of `ops` ops.
    pub(super) fn op<const SLICES: bool>(&self, node: usize, ops: usize) -> usize {
        if !SLICES || node < ops {
            node
        } else {
            self.slices[node - ops] as usize
        }
    }

    /// All nodes in execution order, each with its op.
    pub(super) fn in_order<const SLICES: bool>(
        &self,
        ops: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let (mut op, mut slice) = (0, 0);
        std::iter::from_fn(move || {
            // The slices of the op before this one come first.
            if SLICES && slice < self.slices.len() && (self.slices[slice] as usize) < op {
                slice += 1;
                return Some((ops + slice - 1, op - 1));
            }
            (op < ops).then(|| {
                op += 1;
                (op - 1, op - 1)
            })
        })
    }

    fn producers(&self, op: usize) -> &[u32] {
        &self.producers[self.start[op] as usize..self.start[op + 1] as usize]
    }
}

/// Groups the DLA ops. Returns the group of each node, groups numbered by their first op in
/// execution order, and how many there are.
///
/// An op's level counts the device changes on the worst path to it. DLA ops joined by an edge on
/// the same level share a subgraph: no path can leave such a group and come back through the GPU,
/// since that would raise the level. Linear in ops and edges.
pub(super) fn partition<const SLICES: bool>(
    edges: &Edges,
    devices: &[Device],
) -> (Vec<Option<u32>>, u32) {
    let ops = devices.len();
    let n = ops + edges.slices.len();
    let device = |node: u32| devices[edges.op::<SLICES>(node as usize, ops)];
    let mut level = vec![0u32; n];
    let mut group: Vec<u32> = (0..n as u32).collect();
    for (node, op) in edges.in_order::<SLICES>(ops) {
        let producers = edges.producers(op);
        let own = devices[op];
        let here = producers
            .iter()
            .map(|p| level[*p as usize] + u32::from(device(*p) != own))
            .max()
            .unwrap_or(0);
        level[node] = here;
        if own == Device::Dla {
            for p in producers {
                if device(*p) == Device::Dla && level[*p as usize] == here {
                    let (a, b) = (find(&mut group, *p), find(&mut group, node as u32));
                    group[a.max(b) as usize] = a.min(b);
                }
            }
        }
    }
    // The levels have done their work; the numbers take their place.
    let mut number = level;
    number.fill(u32::MAX);
    let mut count = 0;
    let mut of = vec![None; n];
    for (node, op) in edges.in_order::<SLICES>(ops) {
        if devices[op] == Device::Dla {
            let root = find(&mut group, node as u32) as usize;
            if number[root] == u32::MAX {
                number[root] = count;
                count += 1;
            }
            of[node] = Some(number[root]);
        }
    }
    (of, count)
}

fn find(group: &mut [u32], mut op: u32) -> u32 {
    while group[op as usize] != op {
        let up = group[group[op as usize] as usize];
        group[op as usize] = up;
        op = up;
    }
    op
}

#[cfg(test)]
mod tests {
    use super::*;
    use Device::{Dla, Gpu};

    fn edges(list: &[&[u32]]) -> Edges {
        let mut e = Edges {
            start: vec![0],
            producers: Vec::new(),
            slices: Vec::new(),
            makers: Vec::new(),
        };
        for p in list {
            e.producers.extend_from_slice(p);
            e.start.push(e.producers.len() as u32);
        }
        e
    }

    #[test]
    fn a_chain_splits_at_the_gpu() {
        let e = edges(&[&[], &[0], &[1], &[2]]);
        assert_eq!(
            partition::<false>(&e, &[Dla, Dla, Gpu, Dla]).0,
            [Some(0), Some(0), None, Some(1)]
        );
    }

    #[test]
    fn a_detour_through_the_gpu_keeps_both_ends_apart() {
        // 0 feeds 1 (GPU) and 2; 1 feeds 2: one loadable holding 0 and 2 would wait for itself.
        let e = edges(&[&[], &[0], &[0, 1]]);
        assert_eq!(
            partition::<false>(&e, &[Dla, Gpu, Dla]).0,
            [Some(0), None, Some(1)]
        );
    }

    #[test]
    fn a_residual_block_is_one_group() {
        let e = edges(&[&[], &[0], &[1], &[2, 0]]);
        assert_eq!(partition::<false>(&e, &[Dla; 4]), (vec![Some(0); 4], 1));
    }
}
