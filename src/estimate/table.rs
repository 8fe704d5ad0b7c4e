//! The same costs as a table, for whoever looks for the best placement.

use crate::model::{OpId, TensorId};
use crate::placement::Device;

use super::Estimator;

/// One fused kernel: its cost on either device when all its ops are there.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitCost {
    /// Its ops; the first is the main op.
    pub ops: Vec<OpId>,
    /// Time on the GPU, ms.
    pub gpu_ms: f64,
    /// Time on the DLA, ms; `None` where the rules refuse one of its ops.
    pub dla_ms: Option<f64>,
}

/// What a tensor costs when it crosses, ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransitionCost {
    /// From the GPU to a DLA subgraph, per subgraph.
    pub to_dla_ms: f64,
    /// From a DLA subgraph to the GPU, once.
    pub to_gpu_ms: f64,
    /// From one DLA subgraph to another, per reading subgraph.
    pub dla_to_dla_ms: f64,
    /// From the caller to a DLA subgraph, or from one to the caller.
    pub boundary_ms: f64,
}

/// Additive costs: the sum over units, transitions and subgraphs is
/// [`Estimator::estimate`]'s latency for every plan that separates no unit.
#[derive(Clone, Debug, PartialEq)]
pub struct CostTable {
    /// Kernels in execution order of their first op.
    pub units: Vec<UnitCost>,
    /// Per op, its unit.
    pub unit_of: Vec<u32>,
    /// Per tensor, by [`TensorId`].
    pub transitions: Vec<TransitionCost>,
    /// Submitting one DLA subgraph, ms.
    pub subgraph_ms: f64,
}

impl CostTable {
    /// What a tensor costs when it crosses.
    pub fn transition(&self, tensor: TensorId) -> &TransitionCost {
        &self.transitions[tensor.index()]
    }
}

impl Estimator<'_, '_> {
    /// The costs behind the estimates; `None` with no cost model for this model and target.
    pub fn cost_table(&self) -> Option<CostTable> {
        let ready = self.state.as_ref().ok()?;
        let units = ready
            .units
            .iter()
            .map(|c| {
                let ops: Vec<OpId> = c.unit.ops().collect();
                let allowed = ops.iter().all(|op| self.planner.may_run_on_dla(*op));
                UnitCost {
                    gpu_ms: c.gpu_ms,
                    dla_ms: allowed.then_some(c.dla_ms),
                    ops,
                }
            })
            .collect();
        let transitions = ready
            .elems
            .iter()
            .map(|elems| {
                let cost = |to, boundary| ready.costs.transition_ms(*elems, to, boundary);
                TransitionCost {
                    to_dla_ms: cost(Device::Dla, false),
                    to_gpu_ms: cost(Device::Gpu, false),
                    dla_to_dla_ms: cost(Device::Dla, false),
                    boundary_ms: cost(Device::Dla, true),
                }
            })
            .collect();
        Some(CostTable {
            units,
            unit_of: ready.unit_of.clone(),
            transitions,
            subgraph_ms: ready.costs.submit_ms(),
        })
    }
}
