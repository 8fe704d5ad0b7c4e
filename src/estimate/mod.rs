//! How fast a plan should be, with an honest error band. Knows nothing of measuring.

use serde::Serialize;

use crate::figure::Figure;
use crate::model::OpId;
use crate::placement::Device;
use crate::plan::{Plan, Planner};

/// Predicted figures of one engine running alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Time of one inference, ms.
    pub latency_ms: Figure,
    /// Images per second, back to back on one stream: batch / latency.
    pub fps: Figure,
    /// GPU work of one inference, ms, reformats excluded.
    pub gpu_ms: Figure,
    /// DLA work of one inference, ms.
    pub dla_ms: Figure,
    /// Transitions and reformats of one inference, ms.
    pub transition_ms: Figure,
    /// DLA time per subgraph, ms, in the plan's order.
    pub subgraph_ms: Vec<Figure>,
    /// Cost per transition, ms, in the plan's order.
    pub per_transition_ms: Vec<f64>,
}

/// Everything about the cost of a planner's model on its target that no placement changes.
#[derive(Debug)]
pub struct Estimator<'p, 'm> {
    planner: &'p Planner<'m>,
}

impl<'p, 'm> Estimator<'p, 'm> {
    /// Costs every op on both devices.
    pub fn new(planner: &'p Planner<'m>) -> Self {
        Self { planner }
    }

    /// Predicts a plan of the same planner.
    pub fn estimate(&self, plan: &Plan) -> Estimate {
        let none = || Figure::none("no cost model yet");
        Estimate {
            latency_ms: none(),
            fps: none(),
            gpu_ms: none(),
            dla_ms: none(),
            transition_ms: none(),
            subgraph_ms: plan.subgraphs.iter().map(|_| none()).collect(),
            per_transition_ms: vec![0.0; plan.transitions.len()],
        }
    }

    /// Time of one op alone on a device, ms, at the engine's batch and precision, its share of a
    /// fused kernel where it fuses. For the DLA even where the rules refuse it: no estimate.
    pub fn op_ms(&self, op: OpId, device: Device) -> Figure {
        let _ = (op, device, self.planner);
        Figure::none("no cost model yet")
    }
}
