//! Why an op may not run on a DLA: every documented restriction as data, and the check.
//!
//! Three answers. *Allowed*: every documented rule is met; the DLA compiler may still refuse a
//! combination, so this is a prediction. *Refused*: a rule is broken. *Unknown*: the documents do
//! not decide, or a shape is not known; planned on the GPU.
//!
//! Not judged, because the model and the engine config do not tell: dynamic ranges (in INT8 the inputs
//! and outputs of element-wise, concatenation and pooling layers must have equal ones), and combinations
//! of layers that exceed the compiler's own state. Formats of the network's inputs and outputs are
//! judged by the plan.

mod conv;
mod engine;
mod layout;
mod pointwise;
mod pool;
pub mod rule;

use std::sync::LazyLock;

use crate::model::{Model, OpId, OpKind};
use crate::placement::EngineConfig;

use crate::platform::{DlaGeneration, Target};

pub use crate::platform::dla_rules::conv::{BANKS, buffer_banks};
pub(crate) use crate::platform::dla_rules::engine::DYNAMIC_SHAPES;
pub use crate::platform::dla_rules::engine::{
    MAX_LOADABLE_TENSOR_BYTES, MAX_LOADABLE_WEIGHT_BYTES, builds_on_gpu, check_engine,
    check_loadable, check_loadable_count,
};
use crate::platform::dla_rules::rule::{Check, Cx, No};
pub use crate::platform::dla_rules::rule::{Refusal, Rule, Verdict};

/// Every rule, those of the engine first.
pub fn all_rules() -> &'static [&'static Rule] {
    static ALL: LazyLock<Vec<&'static Rule>> = LazyLock::new(|| {
        [
            engine::RULES,
            conv::RULES,
            pool::RULES,
            pointwise::RULES,
            layout::RULES,
        ]
        .concat()
    });
    &ALL
}

/// Judges one op; independent of the placement. Does not allocate for an op that is allowed.
pub fn check(model: &Model, op: OpId, target: &Target, config: &EngineConfig) -> Verdict {
    match judge(model, op, target, config) {
        Ok(()) => Verdict::Allowed,
        Err(No::Refused(refusal)) => Verdict::Refused(*refusal),
        Err(No::Unknown(why)) => Verdict::Unknown(why),
    }
}

fn judge(model: &Model, op: OpId, target: &Target, config: &EngineConfig) -> Check {
    let Some(dla) = &target.board.dla else {
        return Err(engine::no_dla(target).into());
    };
    engine::supported(target, config)?;
    let op = model.op(op);
    let cx = Cx {
        model,
        op,
        tensorrt: target.tensorrt,
        xavier: dla.generation == DlaGeneration::V1,
        config,
        model_batch: model.batch().unwrap_or(0),
    };
    if model.is_quantised() {
        layout::explicit(&cx)?;
    }
    // A refusal beats a doubt, whichever of the two checks it comes from.
    match (layer(&cx), engine::tensors(&cx)) {
        (Err(No::Refused(r)), _) | (_, Err(No::Refused(r))) => Err(No::Refused(r)),
        (Err(doubt), _) | (Ok(()), Err(doubt)) => Err(doubt),
        (Ok(()), Ok(())) => Ok(()),
    }
}

fn layer(cx: &Cx<'_>) -> Check {
    match &cx.op.kind {
        OpKind::Conv(c) => conv::convolution(cx, c),
        OpKind::Deconv(c) => conv::deconvolution(cx, c),
        OpKind::FullyConnected {
            in_features,
            out_features,
            ..
        } => conv::fully_connected(cx, *in_features, *out_features),
        OpKind::MatMul => conv::matmul(),
        OpKind::Pool(p) => pool::pooling(cx, p),
        OpKind::GlobalPool(kind) => pool::global(cx, *kind),
        OpKind::Reduce {
            op,
            axes,
            keep_dims,
        } => pool::reduce(cx, *op, axes, *keep_dims),
        OpKind::Activation(a) => pointwise::activation(cx, *a),
        OpKind::PRelu { const_slope } => pointwise::prelu(cx, *const_slope),
        OpKind::Binary { op, const_operand } if op.is_comparison() => {
            pointwise::comparison(cx, *op, *const_operand)
        }
        OpKind::Binary { op, const_operand } => pointwise::binary(cx, *op, *const_operand),
        OpKind::Unary(op) => pointwise::unary(cx, *op),
        OpKind::Norm(kind) => pointwise::norm(cx, *kind),
        OpKind::Lrn { size } => pointwise::lrn(*size),
        OpKind::Concat { axis } => layout::concat(cx, *axis),
        OpKind::Resize(r) => layout::resize(cx, r),
        OpKind::Softmax { axis, log } => layout::softmax(cx, *axis, *log),
        OpKind::Shuffle(kind) => layout::shuffle(cx, kind),
        OpKind::Slice {
            axes,
            steps,
            static_params,
        } => layout::slice(cx, axes, steps, *static_params),
        OpKind::Split { axis } => layout::split(cx, *axis),
        OpKind::Pad => layout::pad(cx),
        OpKind::Quantize | OpKind::Dequantize => Ok(()),
        OpKind::Cast => layout::cast(cx),
        OpKind::Gather
        | OpKind::Scatter
        | OpKind::Where
        | OpKind::Expand
        | OpKind::TopK
        | OpKind::DataDependent
        | OpKind::Recurrent
        | OpKind::ControlFlow
        | OpKind::Identity
        | OpKind::Other => layout::unsupported(cx),
    }
}
