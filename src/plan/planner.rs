//! From requested devices to a plan.

use std::sync::Arc;

use crate::model::{Dim, Model, OpId, TensorId, give_dims};
use crate::placement::{Device, EngineConfig, Placement, Resolved, UnknownSite};
use crate::platform::dla_rules::rule::{Refusal, Verdict};
use crate::platform::{Target, dla_rules, parser};

use super::flow::Flows;
use super::io;
use super::lint::{Engine, lints};
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
    /// It refuses for dims that the file leaves open.
    lacks_dims: bool,
    /// Why TensorRT's ONNX parser refuses the file.
    parser_refusals: Vec<String>,
    /// Why no placement can have the inputs and outputs that the config asks for.
    io_refusals: Vec<String>,
    /// Nothing about the target and the config keeps an engine that asks for the DLA from being
    /// built, if only on the GPU.
    can_build: bool,
    edges: Edges,
    flows: Flows,
    /// Bytes of each tensor on the DLA side, at the engine's batch.
    tensor_bytes: Vec<u64>,
    weight_bytes: Vec<u64>,
    /// All tensors that ops make, and all weights: whatever the placement, no subgraph holds more.
    most_bytes: (u64, u64),
}

/// No subgraph, in a list of them.
const NOT_KEPT: u32 = u32::MAX;

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
        let refusal = dla_rules::check_engine(model, target, config);
        let can_build = refusal
            .as_ref()
            .is_none_or(|r| config.gpu_fallback && dla_rules::builds_on_gpu(r));
        let lacks_dims = refusal
            .as_ref()
            .is_some_and(|r| r.rule.id == dla_rules::DYNAMIC_SHAPES.id);
        let engine_refusal = refusal.map(|r| {
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
        let tensor_bytes: Vec<u64> = model
            .tensors
            .iter()
            .map(|t| t.elements().map_or(0, scale))
            .collect();
        let weight_bytes: Vec<u64> = model
            .ops
            .iter()
            .map(|o| o.cost.map_or(0, |c| c.weight_elems.saturating_mul(element)))
            .collect();
        let edges = Edges::new(model);
        let flows = Flows::new(model, &edges, &tensor_bytes);
        let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.fold(0, u64::saturating_add);
        let most_bytes = (
            sum(&mut weight_bytes.iter().copied()),
            sum(&mut flows.iter().map(|f| f.bytes)),
        );
        Self {
            model,
            target: *target,
            config: config.clone(),
            verdicts,
            refusals,
            engine_refusal,
            lacks_dims,
            parser_refusals: parser::refusals(model, target.tensorrt),
            io_refusals: io::refusals(model, target, config),
            can_build,
            edges,
            flows,
            tensor_bytes,
            weight_bytes,
            most_bytes,
        }
    }

    /// Why TensorRT's ONNX parser refuses the file, whatever the placement; empty where it does not.
    pub fn parser_refusals(&self) -> &[String] {
        &self.parser_refusals
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

    /// Ops that must be on the DLA, because only it takes the formats of the engine's inputs and
    /// outputs.
    pub fn io_needs_dla(&self) -> impl Iterator<Item = OpId> {
        io::needs_dla(self.model, self.config.io)
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
        let engine = Engine {
            model: self.model,
            target: &self.target,
            config: &self.config,
            refusal: self.engine_refusal.as_ref(),
        };
        plan.lints = lints(engine, placement, resolved, &plan);
        plan
    }

    /// The plan of a requested device per op, without lints: the fast path of search. Linear in
    /// ops and edges.
    pub fn plan(&self, requested: Vec<Device>) -> Plan {
        if self.edges.has_slices() {
            self.plan_nodes::<true>(requested)
        } else {
            self.plan_nodes::<false>(requested)
        }
    }

    fn plan_nodes<const SLICES: bool>(&self, requested: Vec<Device>) -> Plan {
        let mut predicted = requested.clone();
        let refused = |i: usize| self.engine_refusal.as_ref().or(self.refusals[i].as_ref());
        for (i, device) in predicted.iter_mut().enumerate() {
            if *device == Device::Dla && refused(i).is_some() {
                *device = Device::Gpu;
            }
        }
        let (mut group_of, count) = partition::<SLICES>(&self.edges, &predicted);
        let limits = self.limits::<SLICES>(&group_of, count as usize);
        let mut subgraphs: Vec<Subgraph> = limits
            .kept
            .iter()
            .map(|ops| Subgraph {
                ops: Vec::with_capacity(*ops as usize),
                bytes_in: 0,
                bytes_out: 0,
                weight_bytes: 0,
            })
            .collect();
        let ops = requested.len();
        let mut fallbacks: Vec<(OpId, Fallback)> = Vec::new();
        for (node, i) in self.edges.in_order::<SLICES>(ops) {
            let op = OpId(i as u32);
            let of = &mut group_of[node];
            if let Some(group) = of {
                let group = *group as usize;
                let kept = limits.number[group];
                if kept == NOT_KEPT {
                    *of = None;
                    predicted[i] = Device::Gpu;
                    fallbacks.push((op, limits.why(group)));
                } else {
                    *of = Some(kept);
                    let subgraph = &mut subgraphs[kept as usize];
                    if !SLICES || subgraph.ops.last() != Some(&op) {
                        subgraph.ops.push(op);
                        subgraph.weight_bytes += self.weight_bytes[i];
                    }
                }
            } else if requested[i] == Device::Dla
                && let Some(why) = refused(i)
            {
                fallbacks.push((op, why.clone()));
            }
        }
        let transitions = self.transitions::<SLICES>(&group_of, &mut subgraphs);
        let subgraph_of = if SLICES {
            let first = |op| {
                let mut nodes = self.edges.nodes::<SLICES>(op, ops);
                nodes.find_map(|node| group_of[node as usize])
            };
            let subgraph_of: Vec<Option<u32>> = (0..ops as u32).map(first).collect();
            // A Split of which some outputs found no loadable, or several the same reason.
            fallbacks.dedup_by_key(|(op, _)| *op);
            fallbacks.retain(|(op, _)| subgraph_of[op.index()].is_none());
            for (device, of) in predicted.iter_mut().zip(&subgraph_of) {
                if of.is_some() {
                    *device = Device::Dla;
                }
            }
            subgraph_of
        } else {
            group_of
        };
        let buildable = self.buildable(&requested, &predicted, &fallbacks);
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

    /// Which of `count` groups of DLA ops become subgraphs: not those too large for a loadable,
    /// nor any past the number a core holds.
    fn limits<const SLICES: bool>(&self, group_of: &[Option<u32>], count: usize) -> Limits {
        let limit = self.target.tensorrt.max_loadables();
        let mut limits = Limits {
            number: vec![NOT_KEPT; count],
            kept: Vec::new(),
            too_large: Vec::new(),
            limit,
        };
        if count == 0 {
            return limits;
        }
        let mut ops = vec![0u32; count];
        for group in group_of.iter().flatten() {
            ops[*group as usize] += 1;
        }
        // Each answer costs more than the one before and is asked for only where that one did not
        // do: no group can be too large; none holds too much if nothing were reused; the truth.
        let too_large =
            |(weights, tensors): (u64, u64)| dla_rules::check_loadable(weights, tensors).is_some();
        let inside = (too_large(self.most_bytes)
            && self.made_inside(group_of, count).into_iter().any(too_large))
        .then(|| self.inside::<SLICES>(group_of, count));
        for (group, number) in limits.number.iter_mut().enumerate() {
            if limits.kept.len() as u32 >= limit {
                break;
            }
            let refusal = inside.as_ref().and_then(|bytes| {
                let (weights, tensors) = bytes[group];
                dla_rules::check_loadable(weights, tensors)
            });
            if let Some(refusal) = refusal {
                limits.too_large.push((group, Arc::new(refusal)));
            } else {
                *number = limits.kept.len() as u32;
                limits.kept.push(ops[group]);
            }
        }
        limits
    }

    /// Bytes of weights, and of all tensors that its ops make, per group.
    fn made_inside(&self, group_of: &[Option<u32>], count: usize) -> Vec<(u64, u64)> {
        let mut bytes = vec![(0u64, 0u64); count];
        for (group, weights) in group_of.iter().zip(&self.weight_bytes) {
            if let Some(group) = group {
                let sum = &mut bytes[*group as usize].0;
                *sum = sum.saturating_add(*weights);
            }
        }
        for flow in self.flows.iter() {
            if let Some(group) = flow.maker.and_then(|maker| group_of[maker as usize]) {
                let sum = &mut bytes[group as usize].1;
                *sum = sum.saturating_add(flow.bytes);
            }
        }
        bytes
    }

    /// Bytes of weights, and the most bytes of tensors that never leave alive at once, per group.
    /// The compiler gives a dead tensor's memory to the next, and an element-wise op writes where
    /// it reads.
    fn inside<const SLICES: bool>(
        &self,
        group_of: &[Option<u32>],
        count: usize,
    ) -> Vec<(u64, u64)> {
        let mut bytes = vec![(0u64, 0u64); count];
        let ops = self.model.ops.len();
        // Per node: bytes that begin to live with it, and bytes it is the last to read.
        let mut born = vec![0u64; group_of.len()];
        let mut dead = vec![0u64; group_of.len()];
        for flow in self.flows.iter() {
            let Some(maker) = flow.maker else {
                continue;
            };
            let home = group_of[maker as usize];
            let stays = |op: &u32| {
                let mut nodes = self.edges.nodes::<SLICES>(*op, ops);
                nodes.all(|node| group_of[node as usize] == home)
            };
            if home.is_some() && !flow.is_output && flow.readers.iter().all(stays) {
                let last = flow.readers.iter().copied().max().unwrap_or(maker);
                let grow = |sum: &mut u64| *sum = sum.saturating_add(flow.bytes);
                grow(&mut born[maker as usize]);
                grow(&mut dead[last as usize]);
            }
        }
        let mut alive = vec![0u64; count];
        for (node, op) in self.edges.in_order::<SLICES>(ops) {
            let Some(group) = group_of[node].map(|g| g as usize) else {
                continue;
            };
            let (weights, most) = &mut bytes[group];
            if node == op {
                *weights = weights.saturating_add(self.weight_bytes[op]);
            }
            let before = if self.model.ops[op].kind.is_elementwise() {
                alive[group].saturating_sub(dead[node])
            } else {
                alive[group]
            };
            *most = (*most).max(before.saturating_add(born[node]));
            alive[group] = alive[group]
                .saturating_add(born[node])
                .saturating_sub(dead[node]);
        }
        bytes
    }

    fn transitions<const SLICES: bool>(
        &self,
        group_of: &[Option<u32>],
        subgraphs: &mut [Subgraph],
    ) -> Vec<Transition> {
        let mut transitions = Vec::new();
        if subgraphs.is_empty() {
            return transitions;
        }
        let ops = self.model.ops.len();
        let mut readers: Vec<u32> = Vec::new();
        for flow in self.flows.iter() {
            let home = flow.maker.and_then(|m| group_of[m as usize]);
            let mut cross = |from, to, subgraph, boundary| {
                if boundary && self.direct(flow.tensor, to) {
                    return;
                }
                transitions.push(Transition {
                    tensor: flow.tensor,
                    from,
                    to,
                    subgraph,
                    bytes: flow.bytes,
                    boundary,
                });
            };
            readers.clear();
            let mut gpu_reads = false;
            for op in flow.readers {
                for node in self.edges.nodes::<SLICES>(*op, ops) {
                    match group_of[node as usize] {
                        Some(s) if Some(s) != home && !readers.contains(&s) => readers.push(s),
                        Some(_) => {}
                        None => gpu_reads = true,
                    }
                }
            }
            if let Some(s) = home {
                if gpu_reads || flow.is_output {
                    cross(Device::Dla, Device::Gpu, s, !gpu_reads);
                }
                if gpu_reads || flow.is_output || !readers.is_empty() {
                    subgraphs[s as usize].bytes_out += flow.bytes;
                }
            }
            let from = if home.is_some() {
                Device::Dla
            } else {
                Device::Gpu
            };
            for s in &readers {
                cross(from, Device::Dla, *s, flow.is_input);
                subgraphs[*s as usize].bytes_in += flow.bytes;
            }
        }
        transitions
    }

    /// The DLA reads this model input, or writes this output, as the caller has it.
    fn direct(&self, tensor: TensorId, to: Device) -> bool {
        let io = self.config.io;
        let format = match to {
            Device::Dla => io.input,
            Device::Gpu => io.output,
        };
        format.is_dlas_own(self.config.precision) && self.model.tensor(tensor).dtype.is_float()
    }

    fn buildable(
        &self,
        requested: &[Device],
        predicted: &[Device],
        fallbacks: &[(OpId, Fallback)],
    ) -> Buildable {
        let mut reasons = self.parser_refusals.clone();
        reasons.extend(self.io_refusals.iter().cloned());
        if self.io_refusals.is_empty() {
            reasons.extend(io::gpu_end(self.model, self.config.io, predicted));
        }
        let wants_dla = requested.contains(&Device::Dla);
        if wants_dla
            && !self.can_build
            && let Some(why) = &self.engine_refusal
        {
            // Missing dims are told below, whatever device is asked for.
            reasons.extend((!self.lacks_dims).then(|| why.sentence()));
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
            let dims = input.declared.iter().enumerate();
            let dims: Vec<String> = dims
                .map(|(i, dim)| match dim {
                    Dim::Fixed(n) => n.to_string(),
                    // The batch is known; the rest is for the user to say.
                    Dim::Symbolic(_) if i == 0 => self.config.batch.to_string(),
                    Dim::Symbolic(name) if name.is_empty() => "?".to_owned(),
                    Dim::Symbolic(name) => format!("<{name}>"),
                })
                .collect();
            let name = &self.model.tensor(input.tensor).name;
            let example = match &dims[..] {
                [] => "1x3x224x224".to_owned(),
                dims => dims.join("x"),
            };
            reasons.push(format!(
                "input {name:?} has no fixed dims; {}",
                give_dims(name, &example)
            ));
        }
        if reasons.is_empty() {
            Buildable::Yes
        } else {
            Buildable::No { reasons }
        }
    }
}

/// What becomes of the groups of DLA ops.
struct Limits {
    /// Per group, its subgraph's number, or [`NOT_KEPT`].
    number: Vec<u32>,
    /// Ops per subgraph.
    kept: Vec<u32>,
    /// Groups no loadable holds, in order.
    too_large: Vec<(usize, Arc<Refusal>)>,
    /// Loadables a core holds.
    limit: u32,
}

impl Limits {
    /// Why a group is not kept.
    fn why(&self, group: usize) -> Fallback {
        match self.too_large.binary_search_by_key(&group, |(g, _)| *g) {
            Ok(at) => Fallback::LoadableSize(Arc::clone(&self.too_large[at].1)),
            Err(_) => Fallback::LoadableLimit { limit: self.limit },
        }
    }
}
