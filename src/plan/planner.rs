//! From requested devices to a plan.

use std::sync::Arc;

use crate::model::{Model, OpId, TensorId, TensorRole};
use crate::placement::{Device, EngineConfig, Placement, Resolved, UnknownSite};
use crate::target::Target;
use crate::target::dla_rules::{self, Verdict};

use super::lint::lints;
use super::partition::{Edges, partition};
use super::{Buildable, Fallback, Plan, Subgraph, Transition};

/// What `placement` means for `model` on `target` under `config`.
///
/// # Errors
/// The placement names a module or op the model does not have.
pub fn plan(
    model: &Model,
    target: &Target,
    config: &EngineConfig,
    placement: &Placement,
) -> Result<Plan, UnknownSite> {
    Planner::new(model, target, config).plan_placement(placement)
}

/// Everything about a model on a target that no placement changes, worked out once.
#[derive(Debug)]
pub struct Planner<'m> {
    model: &'m Model,
    target: Target,
    config: EngineConfig,
    verdicts: Vec<Verdict>,
    refusals: Vec<Option<Fallback>>,
    engine_refusal: Option<Fallback>,
    edges: Edges,
    /// Bytes of each tensor on the DLA side, at the engine's batch.
    tensor_bytes: Vec<u64>,
    weight_bytes: Vec<u64>,
}

impl<'m> Planner<'m> {
    /// Judges every op of the model for the target and config.
    pub fn new(model: &'m Model, target: &Target, config: &EngineConfig) -> Self {
        let verdicts: Vec<Verdict> = model
            .op_ids()
            .map(|op| dla_rules::check(model, op, target, config))
            .collect();
        let refusals = verdicts
            .iter()
            .map(|v| match v {
                Verdict::Allowed => None,
                Verdict::Refused(r) => Some(Fallback::Rule(Arc::new(r.clone()))),
                Verdict::Unknown(why) => Some(Fallback::Unknown {
                    reason: why.as_ref().into(),
                }),
            })
            .collect();
        let engine_refusal = dla_rules::check_engine(model, target, config).map(|r| {
            let reason = match &r.fix {
                Some(fix) => format!("{}; {fix}", r.offending),
                None => r.offending.clone(),
            };
            Fallback::Engine {
                reason: reason.into(),
            }
        });
        let element = if config.precision.int8 { 1 } else { 2 };
        let scale = |elements: u64| {
            let batch = model.batch().unwrap_or(1).max(1);
            elements.saturating_mul(u64::from(config.batch)) / batch * element
        };
        Self {
            model,
            target: *target,
            config: config.clone(),
            verdicts,
            refusals,
            engine_refusal,
            edges: Edges::new(model),
            tensor_bytes: model
                .tensors
                .iter()
                .map(|t| t.elements().map_or(0, scale))
                .collect(),
            weight_bytes: model
                .ops
                .iter()
                .map(|o| o.cost.map_or(0, |c| c.weight_elems.saturating_mul(element)))
                .collect(),
        }
    }

    /// The model it was made for.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// The target it was made for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The engine config it was made for.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// What the DLA rules say of an op, whatever the placement.
    pub fn verdict(&self, op: OpId) -> &Verdict {
        &self.verdicts[op.index()]
    }

    /// Whether the op may run on the DLA of this target under this config.
    pub fn may_run_on_dla(&self, op: OpId) -> bool {
        self.engine_refusal.is_none() && self.refusals[op.index()].is_none()
    }

    /// Why no op at all may run on a DLA, if so.
    pub fn engine_refusal(&self) -> Option<&Fallback> {
        self.engine_refusal.as_ref()
    }

    /// Bytes of a tensor on the DLA side, at the engine's batch; 0 if the shape is unknown.
    pub fn tensor_bytes(&self, tensor: TensorId) -> u64 {
        self.tensor_bytes[tensor.index()]
    }

    /// Bytes of an op's weights on the DLA; 0 if the shape is unknown.
    pub fn weight_bytes(&self, op: OpId) -> u64 {
        self.weight_bytes[op.index()]
    }

    /// The plan of a placement, with lints.
    ///
    /// # Errors
    /// The placement names a module or op the model does not have.
    pub fn plan_placement(&self, placement: &Placement) -> Result<Plan, UnknownSite> {
        Ok(self.plan_resolved(placement, &placement.resolve(self.model)?))
    }

    /// The plan, with lints, of a placement already resolved on this model.
    pub fn plan_resolved(&self, placement: &Placement, resolved: &Resolved) -> Plan {
        let mut plan = self.plan(resolved.devices());
        plan.lints = lints(self, placement, resolved, &plan);
        plan
    }

    /// The plan of a requested device per op, without lints: the fast path of search.
    pub fn plan(&self, requested: Vec<Device>) -> Plan {
        let mut fallbacks: Vec<(OpId, Fallback)> = Vec::new();
        let mut predicted = requested.clone();
        for (i, device) in predicted.iter_mut().enumerate() {
            if *device == Device::Dla
                && let Some(why) = self.engine_refusal.as_ref().or(self.refusals[i].as_ref())
            {
                *device = Device::Gpu;
                fallbacks.push((OpId(i as u32), why.clone()));
            }
        }
        let (mut subgraph_of, count) = partition(&self.edges, &predicted);
        let mut subgraphs = vec![
            Subgraph {
                ops: Vec::new(),
                bytes_in: 0,
                bytes_out: 0,
                weight_bytes: 0
            };
            count as usize
        ];
        for (i, of) in subgraph_of.iter().enumerate() {
            if let Some(s) = of {
                let subgraph = &mut subgraphs[*s as usize];
                subgraph.ops.push(OpId(i as u32));
                subgraph.weight_bytes += self.weight_bytes[i];
            }
        }
        self.apply_limits(
            &mut subgraphs,
            &mut subgraph_of,
            &mut predicted,
            &mut fallbacks,
        );
        fallbacks.sort_by_key(|(op, _)| *op);
        let transitions = self.transitions(&predicted, &subgraph_of, &mut subgraphs);
        let buildable = self.buildable(&requested, &fallbacks);
        Plan {
            requested,
            predicted,
            fallbacks,
            subgraphs,
            subgraph_of,
            transitions,
            buildable,
            lints: Vec::new(),
        }
    }

    /// Sends what no loadable can hold back to the GPU: too many loadables, too large ones.
    fn apply_limits(
        &self,
        subgraphs: &mut Vec<Subgraph>,
        subgraph_of: &mut [Option<u32>],
        predicted: &mut [Device],
        fallbacks: &mut Vec<(OpId, Fallback)>,
    ) {
        let limit = self.target.tensorrt.max_loadables();
        let mut kept = 0;
        subgraphs.retain(|s| {
            let why = if kept >= limit {
                Some(Fallback::LoadableLimit { limit })
            } else {
                self.too_large(s)
            };
            if let Some(why) = &why {
                for op in &s.ops {
                    predicted[op.index()] = Device::Gpu;
                    subgraph_of[op.index()] = None;
                    fallbacks.push((*op, why.clone()));
                }
            } else {
                for op in &s.ops {
                    subgraph_of[op.index()] = Some(kept);
                }
                kept += 1;
            }
            why.is_none()
        });
    }

    fn too_large(&self, subgraph: &Subgraph) -> Option<Fallback> {
        let mb = |bytes: u64| bytes / 1_000_000;
        if subgraph.weight_bytes > dla_rules::MAX_LOADABLE_WEIGHT_BYTES {
            let reason = format!(
                "its subgraph has {} MB of weights and a loadable takes {} MB; split it",
                mb(subgraph.weight_bytes),
                mb(dla_rules::MAX_LOADABLE_WEIGHT_BYTES)
            );
            return Some(Fallback::LoadableSize {
                reason: reason.into(),
            });
        }
        let largest = subgraph
            .ops
            .iter()
            .flat_map(|op| &self.model.op(*op).outputs)
            .map(|t| self.tensor_bytes(*t))
            .max()?;
        (largest > dla_rules::MAX_LOADABLE_TENSOR_BYTES).then(|| {
            let reason = format!(
                "its subgraph has a tensor of {} MB and a loadable takes {} MB; lower the batch",
                mb(largest),
                mb(dla_rules::MAX_LOADABLE_TENSOR_BYTES)
            );
            Fallback::LoadableSize {
                reason: reason.into(),
            }
        })
    }

    fn transitions(
        &self,
        predicted: &[Device],
        subgraph_of: &[Option<u32>],
        subgraphs: &mut [Subgraph],
    ) -> Vec<Transition> {
        let mut transitions = Vec::new();
        if subgraphs.is_empty() {
            return transitions;
        }
        let mut readers: Vec<u32> = Vec::new();
        // Model inputs first, then what each op makes: execution order.
        let inputs = self.model.inputs.iter().map(|i| i.tensor);
        let made = self
            .model
            .ops
            .iter()
            .flat_map(|o| o.outputs.iter().copied());
        for tensor in inputs.chain(made) {
            let t = self.model.tensor(tensor);
            let home = t.producer.and_then(|p| subgraph_of[p.index()]);
            let bytes = self.tensor_bytes(tensor);
            let mut cross = |from, to, subgraph, boundary| {
                transitions.push(Transition {
                    tensor,
                    from,
                    to,
                    subgraph,
                    bytes,
                    boundary,
                });
            };
            readers.clear();
            let mut gpu_reads = false;
            for op in &t.consumers {
                match subgraph_of[op.index()] {
                    Some(s) if Some(s) != home && !readers.contains(&s) => readers.push(s),
                    Some(_) => {}
                    None => gpu_reads |= predicted[op.index()] == Device::Gpu,
                }
            }
            if let Some(s) = home {
                if gpu_reads || t.is_output {
                    cross(Device::Dla, Device::Gpu, s, !gpu_reads);
                }
                if gpu_reads || t.is_output || !readers.is_empty() {
                    subgraphs[s as usize].bytes_out += bytes;
                }
            }
            let from = if home.is_some() {
                Device::Dla
            } else {
                Device::Gpu
            };
            for s in &readers {
                cross(from, Device::Dla, *s, t.role == TensorRole::Input);
                subgraphs[*s as usize].bytes_in += bytes;
            }
        }
        transitions
    }

    fn buildable(&self, requested: &[Device], fallbacks: &[(OpId, Fallback)]) -> Buildable {
        let mut reasons = Vec::new();
        let wants_dla = requested.contains(&Device::Dla);
        if wants_dla && let Some(why) = &self.engine_refusal {
            reasons.push(why.sentence());
        } else if !self.config.gpu_fallback
            && let Some((op, why)) = fallbacks.first()
        {
            let more = match fallbacks.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            reasons.push(format!(
                "strict mode: {} cannot run on the DLA: {}{more}; assign it to the GPU or allow \
                 GPU fallback",
                self.model.op(*op).name,
                why.sentence()
            ));
        }
        for input in self.model.unresolved_inputs() {
            reasons.push(format!(
                "input {:?} has no fixed dims; give them (--input {}=1x3x224x224)",
                self.model.tensor(input.tensor).name,
                self.model.tensor(input.tensor).name
            ));
        }
        if reasons.is_empty() {
            Buildable::Yes
        } else {
            Buildable::No { reasons }
        }
    }
}
