//! Fusion: which ops TensorRT runs as one kernel, and what such a kernel has to do. Depends on the
//! graph only; a placement at most cuts a unit.
//!
//! Rules after TensorRT's documented fusions and the layer names of published profiles: a
//! convolution or matrix product takes its scale, bias, one residual addition and one activation;
//! chains of pointwise ops are one kernel; equal convolutions of one tensor run as one kernel on
//! the GPU; a concatenation is free where its producers can write in place.

use std::collections::{HashMap, HashSet};

use crate::model::{
    Activation, BinaryOp, Conv, Model, NormKind, OpId, OpKind, ShuffleKind, Tensor, TensorId,
    TensorRole,
};

/// A first layer has at most this many channels.
const FIRST_CHANNELS: u64 = 4;

/// Dims of an image: batch, channels, height, width.
const IMAGE_RANK: usize = 4;

/// The convolution-like part of a kernel. Sizes are those of one image, `batch` images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ConvDims {
    /// Input channels, all groups.
    pub c: f64,
    /// Input height.
    pub h: f64,
    /// Input width.
    pub w: f64,
    /// Output channels, all groups.
    pub k: f64,
    /// Kernel height.
    pub r: f64,
    /// Kernel width.
    pub s: f64,
    /// Output height.
    pub p: f64,
    /// Output width.
    pub q: f64,
    /// Vertical stride.
    pub stride_h: f64,
    /// Horizontal stride.
    pub stride_w: f64,
    /// Groups.
    pub groups: f64,
    /// Images.
    pub batch: f64,
}

/// What a kernel's main op does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Main {
    /// Convolution, or a fully connected layer as a 1x1 convolution of one pixel per row.
    Conv(ConvDims),
    /// Transposed convolution; dims are those of the op itself.
    Deconv(ConvDims),
    /// Matrix product of two activations.
    MatMul {
        /// Rows of one product.
        m: f64,
        /// Columns of one product.
        n: f64,
        /// Summed length.
        k: f64,
        /// Products.
        count: f64,
    },
    /// Windowed or global pooling; elements per window.
    Pool {
        /// Positions per window.
        window: f64,
    },
    /// Local response normalisation.
    Lrn,
    /// Element-wise arithmetic.
    Pointwise,
    /// Softmax, reductions and normalisations with statistics: several passes over the data.
    Reduction,
    /// Moves data: transpose, slice, concatenation copies, resize, gather.
    Copy {
        /// Kernels it takes.
        kernels: f64,
    },
    /// Costs nothing: a view, or a concatenation its producers write in place.
    Free,
}

/// Work and traffic of a kernel at the engine's batch, in elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Work {
    pub main: Main,
    /// Multiply-accumulates.
    pub macs: f64,
    /// Activation elements read by the main op.
    pub input: f64,
    /// Activation elements read by fused ops (the residual).
    pub residual: f64,
    /// Constant elements.
    pub weights: f64,
    /// Elements written.
    pub output: f64,
    /// Elements of images that enter the engine here.
    pub image: f64,
    /// Identity nodes that hand stored weights to its ops ([`Op::weight_copies`]).
    ///
    /// [`Op::weight_copies`]: crate::model::Op::weight_copies
    pub weight_copies: f64,
    /// A gated activation of a convolution's output, which the convolution's kernel may compute.
    pub gate: bool,
    /// Whether INT8 kernels exist for all its ops.
    pub int8: bool,
}

impl Work {
    /// Of ops whose sizes only the data tell ([`data_dependent`]).
    const UNPRICED: Self = Self {
        main: Main::Free,
        macs: 0.0,
        input: 0.0,
        residual: 0.0,
        weights: 0.0,
        output: 0.0,
        image: 0.0,
        weight_copies: 0.0,
        gate: false,
        int8: false,
    };
}

/// Ops that run as one kernel when they are on one device. The first is the main op.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub ops: Vec<OpId>,
    pub work: Work,
}

/// One kernel of the GPU; several parts where equal convolutions are merged.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub parts: Vec<Part>,
}

impl Unit {
    pub fn ops(&self) -> impl Iterator<Item = OpId> + '_ {
        self.parts.iter().flat_map(|p| p.ops.iter().copied())
    }
}

/// Why a model cannot be costed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoCost(pub String);

/// Cuts a model into units, in execution order of their first op. Linear in ops and edges.
pub(crate) fn units(model: &Model, batch: u32) -> Result<Vec<Unit>, NoCost> {
    let scale = scale(model, batch);
    let parts = vertical(model);
    let in_place = InPlace::new(model, &parts);
    let unpriced: HashSet<OpId> = data_dependent(model).into_iter().collect();
    let mut units: Vec<Unit> = Vec::with_capacity(parts.len());
    // Equal convolutions of one tensor: input, then everything that must agree.
    let mut mergeable: HashMap<MergeKey, usize> = HashMap::new();
    for ops in parts {
        let work = match work(model, &ops, scale, &in_place) {
            Err(_) if ops.iter().any(|op| unpriced.contains(op)) => Work::UNPRICED,
            work => work?,
        };
        let key = merge_key(model, &ops);
        let part = Part { ops, work };
        if let Some(at) = key.as_ref().and_then(|k| mergeable.get(k)) {
            units[*at].parts.push(part);
        } else {
            if let Some(key) = key {
                mergeable.insert(key, units.len());
            }
            units.push(Unit { parts: vec![part] });
        }
    }
    Ok(units)
}

/// Ops without a cost because only the data tell their sizes: NonMaxSuppression and its like, and
/// what reads them. An estimate leaves their time out and says so.
pub(crate) fn data_dependent(model: &Model) -> Vec<OpId> {
    let root = |op: &str| matches!(op, "NonMaxSuppression" | "NonZero" | "Compress" | "Unique");
    let mut found: Vec<OpId> = Vec::new();
    let mut depends = vec![false; model.ops.len()];
    for id in model.op_ids() {
        let op = model.op(id);
        depends[id.index()] = root(&op.op_type) || model.producers(id).any(|p| depends[p.index()]);
        if depends[id.index()] && op.cost.is_none() {
            found.push(id);
        }
    }
    found
}

/// Factor from the model's own batch to the engine's.
pub(crate) fn scale(model: &Model, batch: u32) -> f64 {
    f64::from(batch) / model.batch().unwrap_or(1).max(1) as f64
}

type MergeKey = (TensorId, Vec<u64>, Vec<u64>, Vec<u64>, Vec<u64>, usize);

/// What two convolutions must share to run as one kernel; `None` where they never do.
fn merge_key(model: &Model, ops: &[OpId]) -> Option<MergeKey> {
    let main = model.op(*ops.first()?);
    let OpKind::Conv(conv) = &main.kind else {
        return None;
    };
    let residual = ops[1..]
        .iter()
        .any(|o| matches!(residual_operand(model, *o), Some(true)));
    (conv.groups == 1 && !residual).then(|| {
        (
            main.inputs[0],
            conv.kernel.clone(),
            conv.stride.clone(),
            conv.pads.clone(),
            conv.dilation.clone(),
            ops.len(),
        )
    })
}

/// Whether a binary op adds two activations; `None` for other ops.
fn residual_operand(model: &Model, op: OpId) -> Option<bool> {
    match &model.op(op).kind {
        OpKind::Binary { const_operand, .. } => Some(!const_operand),
        _ => None,
    }
}

/// How far a convolution's tail is: what may still join.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// A matrix kernel that takes scale, addition and activation.
    Matrix { added: bool },
    /// A pointwise chain.
    Pointwise,
    /// Nothing more joins.
    Closed,
}

/// Ops of one kernel at most. No network of the calibration comes near; it keeps the cost of an op
/// bounded in a hostile one.
const LONGEST_CHAIN: usize = 32;

/// Chains of ops that become one kernel, in execution order of their first op.
fn vertical(model: &Model) -> Vec<Vec<OpId>> {
    let mut chains: Vec<Vec<OpId>> = Vec::with_capacity(model.ops.len());
    let mut stage: Vec<Stage> = Vec::with_capacity(model.ops.len());
    let mut chain_of: Vec<usize> = vec![usize::MAX; model.ops.len()];
    for id in model.op_ids() {
        let op = model.op(id);
        let mut joined = None;
        // The producer that runs last is the one whose kernel can take this op.
        let tail = model.producers(id).max();
        if let Some(tail) = tail {
            let chain = chain_of[tail.index()];
            let sole = model.op(tail).outputs.iter().all(|t| {
                let t = model.tensor(*t);
                !t.is_output
                    && t.consumers
                        .iter()
                        .all(|c| *c == id || chain_of[c.index()] == chain)
            });
            if sole && chains[chain].len() < LONGEST_CHAIN && chains[chain].last() == Some(&tail) {
                joined = next_stage(stage[chain], &op.kind).map(|s| (chain, s));
            }
        }
        let chain = if let Some((chain, next)) = joined {
            chains[chain].push(id);
            stage[chain] = next;
            chain
        } else {
            chains.push(vec![id]);
            stage.push(match &op.kind {
                OpKind::Conv(_) | OpKind::Deconv(_) | OpKind::FullyConnected { .. } => {
                    Stage::Matrix { added: false }
                }
                kind if pointwise(kind) => Stage::Pointwise,
                _ => Stage::Closed,
            });
            chains.len() - 1
        };
        chain_of[id.index()] = chain;
    }
    chains
}

fn pointwise(kind: &OpKind) -> bool {
    kind.is_elementwise()
        || matches!(
            kind,
            OpKind::Where | OpKind::Cast | OpKind::Quantize | OpKind::Dequantize
        )
}

/// What a chain is after `kind` joins it; `None` where it cannot.
fn next_stage(stage: Stage, kind: &OpKind) -> Option<Stage> {
    match (stage, kind) {
        (
            Stage::Matrix { added },
            OpKind::Norm(NormKind::Batch)
            | OpKind::Binary {
                op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div,
                const_operand: true,
            },
        ) => Some(Stage::Matrix { added }),
        (
            Stage::Matrix { added: false },
            OpKind::Binary {
                op: BinaryOp::Add,
                const_operand: false,
            },
        ) => Some(Stage::Matrix { added: true }),
        (
            Stage::Matrix { .. },
            OpKind::Activation(
                Activation::Relu | Activation::LeakyRelu { .. } | Activation::Clip { .. },
            ),
        ) => Some(Stage::Closed),
        (Stage::Pointwise, kind) if pointwise(kind) => Some(Stage::Pointwise),
        _ => None,
    }
}

/// Which operands of a concatenation are written in place.
struct InPlace {
    /// Per tensor, the one concatenation that gets it without a copy.
    owner: HashMap<TensorId, OpId>,
}

impl InPlace {
    fn new(model: &Model, parts: &[Vec<OpId>]) -> Self {
        let mut merged: HashMap<MergeKey, usize> = HashMap::new();
        for ops in parts {
            if let Some(key) = merge_key(model, ops) {
                *merged.entry(key).or_default() += 1;
            }
        }
        let mut part_of: Vec<usize> = vec![0; model.ops.len()];
        for (i, ops) in parts.iter().enumerate() {
            for op in ops {
                part_of[op.index()] = i;
            }
        }
        let mut owner = HashMap::new();
        for id in model.op_ids() {
            if !matches!(model.op(id).kind, OpKind::Concat { .. }) {
                continue;
            }
            for t in &model.op(id).inputs {
                let Some(producer) = model.tensor(*t).producer else {
                    continue;
                };
                let ops = &parts[part_of[producer.index()]];
                let writable = !matches!(
                    model.op(producer).kind,
                    OpKind::Shuffle(_) | OpKind::Split { .. } | OpKind::Concat { .. }
                ) && merge_key(model, ops)
                    .and_then(|k| merged.get(&k).copied())
                    .unwrap_or(1)
                    == 1;
                if writable {
                    owner.entry(*t).or_insert(id);
                }
            }
        }
        Self { owner }
    }
}

/// What a chain of ops (or the part of it on one device) has to do.
fn work(model: &Model, ops: &[OpId], scale: f64, in_place: &InPlace) -> Result<Work, NoCost> {
    let mut work = work_of(model, ops, scale)?;
    if let (Main::Copy { kernels }, Some(first)) = (&mut work.main, ops.first())
        && matches!(model.op(*first).kind, OpKind::Concat { .. })
    {
        let copied: Vec<TensorId> = model
            .op(*first)
            .inputs
            .iter()
            .copied()
            .filter(|t| in_place.owner.get(t) != Some(first))
            .collect();
        if copied.is_empty() {
            work.main = Main::Free;
        } else {
            *kernels = copied.len() as f64;
            let elems: u64 = copied
                .iter()
                .filter_map(|t| model.tensor(*t).elements())
                .sum();
            work.input = elems as f64 * scale;
            work.output = work.input;
        }
    }
    Ok(work)
}

/// What some ops of one chain have to do as one kernel on one device.
pub(crate) fn work_of(model: &Model, ops: &[OpId], scale: f64) -> Result<Work, NoCost> {
    let none = || NoCost("no ops".into());
    let first = *ops.first().ok_or_else(none)?;
    let op = model.op(first);
    let unknown = |what: &str| NoCost(format!("{} ({}): {what}", op.name, op.op_type));
    let cost = op.cost.ok_or_else(|| {
        let known = |t: &TensorId| model.tensor(*t).shape.is_some();
        if op.inputs.iter().chain(&op.outputs).all(known) {
            unknown("how much it computes is unknown")
        } else {
            unknown("its shapes are unknown")
        }
    })?;
    let dims = |t: Option<&TensorId>| -> Vec<f64> {
        t.and_then(|t| model.tensor(*t).shape.as_ref())
            .map(|s| s.iter().map(|d| *d as f64).collect())
            .unwrap_or_default()
    };
    let input = dims(op.inputs.first());
    let output = dims(op.outputs.first());
    let main = match &op.kind {
        OpKind::Conv(c) => Main::Conv(conv_dims(c, &input, &output, scale)),
        OpKind::Deconv(c) => Main::Deconv(conv_dims(c, &input, &output, scale)),
        OpKind::FullyConnected {
            in_features,
            out_features,
            ..
        } => {
            let rows = cost.out_elems as f64 / (*out_features).max(1) as f64 * scale;
            Main::Conv(ConvDims {
                c: *in_features as f64,
                h: 1.0,
                w: 1.0,
                k: *out_features as f64,
                r: 1.0,
                s: 1.0,
                p: 1.0,
                q: 1.0,
                stride_h: 1.0,
                stride_w: 1.0,
                groups: 1.0,
                batch: rows,
            })
        }
        OpKind::MatMul => {
            let n = output.last().copied().unwrap_or(1.0);
            let m = output.iter().rev().nth(1).copied().unwrap_or(1.0);
            let out = cost.out_elems.max(1) as f64;
            Main::MatMul {
                m,
                n,
                k: cost.macs as f64 / out,
                count: out / (m * n) * scale,
            }
        }
        OpKind::Pool(p) => Main::Pool {
            window: p.window.iter().product::<u64>() as f64,
        },
        OpKind::GlobalPool(_) => Main::Pool {
            window: cost.in_elems as f64 / cost.out_elems.max(1) as f64,
        },
        OpKind::Lrn { .. } => Main::Lrn,
        kind if pointwise(kind) => Main::Pointwise,
        OpKind::Norm(_) | OpKind::Softmax { .. } | OpKind::Reduce { .. } | OpKind::TopK => {
            Main::Reduction
        }
        OpKind::Shuffle(
            ShuffleKind::Transpose(_) | ShuffleKind::DepthToSpace | ShuffleKind::SpaceToDepth,
        )
        | OpKind::Resize(_)
        | OpKind::Slice { .. }
        | OpKind::Pad
        | OpKind::Gather
        | OpKind::Scatter
        | OpKind::Expand => Main::Copy { kernels: 1.0 },
        OpKind::Split { .. } => Main::Copy {
            kernels: op.outputs.len() as f64,
        },
        OpKind::Concat { .. } => Main::Copy {
            kernels: op.inputs.len() as f64,
        },
        OpKind::Shuffle(_) | OpKind::Identity => Main::Free,
        _ => return Err(unknown("no cost model for this op")),
    };
    let mut read: Vec<TensorId> = op.inputs.clone();
    let mut residual = 0.0;
    let mut weights = cost.weight_elems as f64;
    let mut out = cost.out_elems as f64;
    let mut int8 = has_int8(&op.kind);
    for (at, id) in ops.iter().enumerate().skip(1) {
        let op = model.op(*id);
        let cost = op
            .cost
            .ok_or_else(|| NoCost(format!("{}: its shapes are unknown", op.name)))?;
        weights += cost.weight_elems as f64;
        out = cost.out_elems as f64;
        int8 &= has_int8(&op.kind);
        for t in &op.inputs {
            let made_here = model
                .tensor(*t)
                .producer
                .is_some_and(|p| ops[..at].contains(&p));
            if !made_here && !read.contains(t) {
                read.push(*t);
                residual += model.tensor(*t).elements().unwrap_or(0) as f64;
            }
        }
    }
    let image: f64 = read
        .iter()
        .map(|t| model.tensor(*t))
        .filter(|t| t.role == TensorRole::Input)
        .filter(|t| t.shape.as_ref().is_some_and(|s| s.len() == IMAGE_RANK))
        .filter_map(Tensor::elements)
        .map(|n| n as f64)
        .sum();
    Ok(Work {
        image: image * scale,
        weight_copies: ops
            .iter()
            .map(|op| f64::from(model.op(*op).weight_copies))
            .sum(),
        gate: gates_convolution(model, ops),
        main,
        macs: cost.macs as f64 * scale,
        input: cost.in_elems as f64 * scale,
        residual: residual * scale,
        weights,
        output: out * scale,
        int8,
    })
}

/// Whether ops are a gated activation of what a convolution makes, and nothing else, where TensorRT lets the
/// convolution's kernel compute it: profiles of TensorRT 8.5 show it do so, but for a first layer and for
/// convolutions that it merges.
fn gates_convolution(model: &Model, ops: &[OpId]) -> bool {
    let kind = |op: &OpId| &model.op(*op).kind;
    let first = match ops {
        [one] if matches!(kind(one), OpKind::Activation(Activation::HardSwish)) => one,
        [gate, times]
            if matches!(
                kind(gate),
                OpKind::Activation(Activation::Sigmoid | Activation::HardSigmoid)
            ) && matches!(
                kind(times),
                OpKind::Binary {
                    op: BinaryOp::Mul,
                    const_operand: false
                }
            ) && model
                .op(*gate)
                .inputs
                .first()
                .is_some_and(|t| model.op(*times).inputs.contains(t)) =>
        {
            gate
        }
        _ => return false,
    };
    let made = model.op(*first).inputs.first();
    let Some(producer) = made.and_then(|t| model.tensor(*t).producer) else {
        return false;
    };
    let OpKind::Conv(conv) = kind(&producer) else {
        return false;
    };
    let siblings = model.op(producer).inputs.first().map_or(0, |t| {
        let consumers = model.tensor(*t).consumers.iter().take(LONGEST_CHAIN);
        let equal = |op: &&OpId| match kind(op) {
            OpKind::Conv(c) => {
                (c.groups, &c.kernel, &c.stride) == (conv.groups, &conv.kernel, &conv.stride)
            }
            _ => false,
        };
        consumers.filter(equal).take(2).count()
    });
    conv.in_channels > FIRST_CHANNELS && siblings < 2
}

/// TensorRT has INT8 kernels for these; the rest of an INT8 engine runs in FP16 or FP32.
fn has_int8(kind: &OpKind) -> bool {
    matches!(
        kind,
        OpKind::Conv(_)
            | OpKind::Deconv(_)
            | OpKind::FullyConnected { .. }
            | OpKind::Pool(_)
            | OpKind::Activation(_)
            | OpKind::PRelu { .. }
            | OpKind::Binary { .. }
            | OpKind::Norm(NormKind::Batch)
            | OpKind::Concat { .. }
            | OpKind::Resize(_)
            | OpKind::Shuffle(_)
            | OpKind::Slice { .. }
            | OpKind::Split { .. }
            | OpKind::Quantize
            | OpKind::Dequantize
            | OpKind::Identity
    )
}

fn conv_dims(conv: &Conv, input: &[f64], output: &[f64], scale: f64) -> ConvDims {
    // 1-D: height 1. 3-D: the extra dim counts as images.
    let spatial = |dims: &[f64]| -> (f64, f64) {
        let len = dims.len();
        match len {
            0..=2 => (1.0, 1.0),
            3 => (1.0, dims[2]),
            _ => (dims[len - 2], dims[len - 1]),
        }
    };
    let last2 = |v: &[u64]| -> (f64, f64) {
        let len = v.len();
        match len {
            0 => (1.0, 1.0),
            1 => (1.0, v[0] as f64),
            _ => (v[len - 2] as f64, v[len - 1] as f64),
        }
    };
    let (h, w) = spatial(input);
    let (p, q) = spatial(output);
    let (r, s) = last2(&conv.kernel);
    let (stride_h, stride_w) = last2(&conv.stride);
    let depth: f64 = if output.len() > 4 {
        output[2..output.len() - 2].iter().product()
    } else {
        1.0
    };
    ConvDims {
        c: conv.in_channels as f64,
        h,
        w,
        k: conv.out_channels as f64,
        r,
        s,
        p,
        q,
        stride_h,
        stride_w,
        groups: conv.groups.max(1) as f64,
        batch: output.first().copied().unwrap_or(1.0) * depth * scale,
    }
}
