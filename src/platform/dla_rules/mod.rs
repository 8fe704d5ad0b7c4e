//! Why an op may not run on a DLA: every documented restriction as data, and the check.
//!
//! Three answers. *Allowed*: every documented rule is met; the DLA compiler may still refuse a
//! combination, so this is a prediction. *Refused*: a rule is broken. *Unknown*: the documents do
//! not decide, or a shape is not known; planned on the GPU.
//!
//! Not judged, because the model and the engine config do not tell: I/O formats (groups 1-4 and
//! C in 1, 3, 4 hold for kDLA_HWC4 only), dynamic ranges (in INT8 the inputs and outputs of
//! element-wise, concatenation and pooling layers must have equal ones), and combinations of
//! layers that exceed the compiler's own state.

mod conv;
mod engine;
mod layout;
mod pointwise;
mod pool;

use std::borrow::Cow;
use std::sync::LazyLock;

use serde::Serialize;

use crate::model::{DType, Model, Op, OpId, OpKind, TensorId};
use crate::placement::EngineConfig;

use crate::platform::{DlaGeneration, Target, TensorRt};

pub use crate::platform::dla_rules::engine::{
    MAX_LOADABLE_TENSOR_BYTES, MAX_LOADABLE_WEIGHT_BYTES, check_engine, check_loadable,
    check_loadable_count,
};

/// One documented restriction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Stable id (`conv.kernel`), used in files and tests.
    pub id: &'static str,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// Document, header or log line it comes from.
    pub source: &'static str,
}

/// Why one op cannot run on the DLA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The rule it breaks.
    pub rule: &'static Rule,
    /// The value that breaks it ("kernel 33x33").
    pub offending: String,
    /// A change to the model or the configuration that would make it legal, where one is known.
    pub fix: Option<Cow<'static, str>>,
}

impl Refusal {
    fn new(rule: &'static Rule, offending: impl Into<String>) -> Self {
        Self {
            rule,
            offending: offending.into(),
            fix: None,
        }
    }

    fn fix(mut self, fix: impl Into<Cow<'static, str>>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// What the rules expect of one op on the DLA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Every documented rule is met.
    Allowed,
    /// A rule is broken.
    Refused(Refusal),
    /// The documents do not decide (unknown shape, undocumented combination), and why. Planned as
    /// GPU, and shown as uncertain.
    Unknown(Cow<'static, str>),
}

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

/// Anything but a plain yes.
enum No {
    Refused(Box<Refusal>),
    Unknown(Cow<'static, str>),
}

type Check = Result<(), No>;

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

fn unknown(why: impl Into<Cow<'static, str>>) -> No {
    No::Unknown(why.into())
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
        OpKind::Quantize | OpKind::Dequantize => layout::quantize(cx),
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

/// What every check looks at.
struct Cx<'a> {
    model: &'a Model,
    op: &'a Op,
    tensorrt: TensorRt,
    xavier: bool,
    config: &'a EngineConfig,
    /// The batch the file was exported with; 0 if unknown.
    model_batch: u64,
}

impl<'a> Cx<'a> {
    /// A dim of the file at the engine's batch: the model's own batch gives way to the
    /// configured one, also where windows or heads are folded into the leading dim.
    fn at_batch(&self, leading: u64) -> u64 {
        if self.model_batch > 0 && leading.is_multiple_of(self.model_batch) {
            (leading / self.model_batch).saturating_mul(u64::from(self.config.batch))
        } else {
            leading
        }
    }

    /// Dims of a tensor as the file has them.
    fn dims(&self, tensor: TensorId) -> Result<&'a [u64], No> {
        let t = self.model.tensor(tensor);
        t.shape
            .as_deref()
            .ok_or_else(|| unknown(format!("the shape of {} is not known", t.name)))
    }

    /// Dims of the first activation input.
    fn input(&self) -> Result<&'a [u64], No> {
        match self.op.inputs.first() {
            Some(tensor) => self.dims(*tensor),
            None => Err(unknown("it reads no activation; TensorRT folds it")),
        }
    }

    fn dtype(&self, tensor: TensorId) -> DType {
        self.model.tensor(tensor).dtype
    }

    /// Bytes per element on the DLA.
    fn element_bytes(&self) -> u64 {
        if self.config.precision.int8 { 1 } else { 2 }
    }

    /// INT8 without FP16: what has no INT8 kernel would need FP32.
    fn int8_only(&self) -> bool {
        self.config.precision.int8 && !self.config.precision.fp16
    }

    /// Layers documented for images: undecided for a tensor of fewer than four dims.
    fn wants_image(&self) -> Check {
        let rank = self.input()?.len();
        if rank < 4 {
            return Err(unknown(format!(
                "documented for NCHW tensors; this one has {rank} dims"
            )));
        }
        Ok(())
    }
}

/// `a Gather`, `an Erf`.
fn a(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O', 'U']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}

/// Declares the rules of a file and lists them.
macro_rules! rules {
    ($($(#[$meta:meta])* $name:ident = $id:literal: $allowed:literal, $source:expr;)+) => {
        $(
            $(#[$meta])*
            pub(crate) static $name: super::Rule = super::Rule {
                id: $id,
                allowed: $allowed,
                source: $source,
            };
        )+
        pub(crate) static RULES: &[&super::Rule] = &[$(&$name),+];
    };
}
use rules;

/// NVIDIA's "DLA supported layers and restrictions" of the 8.5 developer guide.
const GUIDE_8_5: &str = "TensorRT 8.5 developer guide, DLA supported layers and restrictions";
/// The 8.4 guide, the only one that prints the formula.
const GUIDE_8_4: &str = "TensorRT 8.4 developer guide, DLA supported layers and restrictions";
/// The page of TensorRT 11.
const GUIDE_11: &str = "TensorRT 11 documentation, DLA supported layers and restrictions";
/// Doc comments of the public header, 8.5.2 to 10.7.
const HEADER: &str = "NvInfer.h";
/// NVIDIA's matrix of ONNX ops on Orin's DLA.
const MATRIX: &str = "NVIDIA Deep-Learning-Accelerator-SW, operators/README.md";

#[cfg(test)]
mod tests;
