//! The execution ribbon as a value: GPU stretches and DLA subgraphs in execution order.

use crate::estimate::Estimate;
use crate::model::{Model, OpId};
use crate::placement::Device;
use crate::plan::Plan;

/// A stretch of GPU ops, or one DLA subgraph.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Where it is expected to run.
    pub device: Device,
    /// The DLA subgraph.
    pub subgraph: Option<u32>,
    /// Its ops, in execution order.
    pub ops: Vec<OpId>,
    /// Estimated ms; `None` without an estimate.
    pub ms: Option<f64>,
    /// Where it begins on the ribbon, 0 to 1.
    pub start: f64,
    /// How wide it is, 0 to 1.
    pub width: f64,
    /// What connects it to what came before: transitions into it.
    pub entry: Crossing,
    /// Transitions out of it.
    pub exit: Crossing,
}

/// Transitions on one side of a DLA subgraph.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Crossing {
    /// How many tensors.
    pub tensors: usize,
    /// Bytes in all.
    pub bytes: u64,
    /// ms in all.
    pub ms: f64,
}

/// The ribbon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ribbon {
    /// In execution order of their first op.
    pub segments: Vec<Segment>,
    /// Widths follow the estimated time; else the number of ops.
    pub timed: bool,
    /// What all widths stand for: ms, or ops.
    pub total: f64,
}

impl Ribbon {
    /// Cuts a plan into segments; `gpu_ms` tells the time of an op on the GPU.
    pub fn of(
        model: &Model,
        plan: &Plan,
        estimate: &Estimate,
        gpu_ms: &dyn Fn(OpId) -> Option<f64>,
    ) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        let mut of_subgraph: Vec<Option<usize>> = vec![None; plan.subgraphs.len()];
        for op in model.op_ids() {
            let subgraph = plan.subgraph_of[op.index()];
            let at = match subgraph {
                Some(s) => of_subgraph[s as usize],
                None => segments
                    .last()
                    .filter(|s| s.subgraph.is_none())
                    .map(|_| segments.len() - 1),
            };
            if let Some(at) = at {
                segments[at].ops.push(op);
                continue;
            }
            if let Some(s) = subgraph {
                of_subgraph[s as usize] = Some(segments.len());
            }
            segments.push(Segment {
                device: plan.predicted[op.index()],
                subgraph,
                ops: vec![op],
                ms: None,
                start: 0.0,
                width: 0.0,
                entry: Crossing::default(),
                exit: Crossing::default(),
            });
        }
        for segment in &mut segments {
            segment.ms = match segment.subgraph {
                Some(s) => estimate
                    .subgraph_ms
                    .get(s as usize)
                    .and_then(crate::figure::Figure::value),
                None => segment.ops.iter().map(|op| gpu_ms(*op)).sum(),
            };
        }
        for (i, transition) in plan.transitions.iter().enumerate() {
            let Some(at) = of_subgraph[transition.subgraph as usize] else {
                continue;
            };
            let crossing = if transition.to == Device::Dla {
                &mut segments[at].entry
            } else {
                &mut segments[at].exit
            };
            crossing.tensors += 1;
            crossing.bytes += transition.bytes;
            crossing.ms += estimate.per_transition_ms.get(i).copied().unwrap_or(0.0);
        }
        Self::laid_out(segments)
    }

    fn laid_out(mut segments: Vec<Segment>) -> Self {
        let timed = segments.iter().all(|s| s.ms.is_some());
        let weight = |s: &Segment| {
            if timed {
                s.ms.unwrap_or(0.0)
            } else {
                s.ops.len() as f64
            }
        };
        let total: f64 = segments.iter().map(weight).sum();
        let mut start = 0.0;
        for segment in &mut segments {
            segment.start = start;
            segment.width = if total > 0.0 {
                weight(segment) / total
            } else {
                0.0
            };
            start += segment.width;
        }
        Self {
            segments,
            timed,
            total,
        }
    }
}
