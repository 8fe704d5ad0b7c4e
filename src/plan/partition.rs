//! DLA subgraphs: which DLA ops TensorRT can compile into one loadable.

use crate::model::Model;
use crate::placement::Device;

/// The activation edges of a model, flat, so that partitioning touches no other memory.
#[derive(Debug)]
pub(super) struct Edges {
    start: Vec<u32>,
    producers: Vec<u32>,
}

impl Edges {
    pub(super) fn new(model: &Model) -> Self {
        let mut start = Vec::with_capacity(model.ops.len() + 1);
        let mut producers = Vec::new();
        start.push(0);
        for op in model.op_ids() {
            producers.extend(model.producers(op).map(|p| p.0));
            start.push(producers.len() as u32);
        }
        Self { start, producers }
    }

    pub(super) fn producers(&self, op: usize) -> &[u32] {
        &self.producers[self.start[op] as usize..self.start[op + 1] as usize]
    }
}

/// Groups the DLA ops. Returns the group of each op, groups numbered by their first op in
/// execution order, and how many there are.
///
/// An op's level counts the device changes on the worst path to it. DLA ops joined by an edge on
/// the same level share a subgraph: no path can leave such a group and come back through the GPU,
/// since that would raise the level. Linear in ops and edges.
pub(super) fn partition(edges: &Edges, devices: &[Device]) -> (Vec<Option<u32>>, u32) {
    let n = devices.len();
    let mut level = vec![0u32; n];
    let mut group: Vec<u32> = (0..n as u32).collect();
    for op in 0..n {
        let producers = edges.producers(op);
        let own = devices[op];
        level[op] = producers
            .iter()
            .map(|p| level[*p as usize] + u32::from(devices[*p as usize] != own))
            .max()
            .unwrap_or(0);
        if own == Device::Dla {
            for p in producers {
                if devices[*p as usize] == Device::Dla && level[*p as usize] == level[op] {
                    let (a, b) = (find(&mut group, *p), find(&mut group, op as u32));
                    group[a.max(b) as usize] = a.min(b);
                }
            }
        }
    }
    // The levels have done their work; the numbers take their place.
    let mut number = level;
    number.fill(u32::MAX);
    let mut count = 0;
    let of = (0..n)
        .map(|op| {
            (devices[op] == Device::Dla).then(|| {
                // The root is the group's smallest op, so numbers follow execution order.
                let root = find(&mut group, op as u32) as usize;
                if number[root] == u32::MAX {
                    number[root] = count;
                    count += 1;
                }
                number[root]
            })
        })
        .collect();
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
            partition(&e, &[Dla, Dla, Gpu, Dla]).0,
            [Some(0), Some(0), None, Some(1)]
        );
    }

    #[test]
    fn a_detour_through_the_gpu_keeps_both_ends_apart() {
        // 0 feeds 1 (GPU) and 2; 1 feeds 2: one loadable holding 0 and 2 would wait for itself.
        let e = edges(&[&[], &[0], &[0, 1]]);
        assert_eq!(partition(&e, &[Dla, Gpu, Dla]).0, [Some(0), None, Some(1)]);
    }

    #[test]
    fn a_residual_block_is_one_group() {
        let e = edges(&[&[], &[0], &[1], &[2, 0]]);
        assert_eq!(partition(&e, &[Dla; 4]), (vec![Some(0); 4], 1));
    }
}
