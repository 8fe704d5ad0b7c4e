//! What a rule is, what it answers, and what a check looks at.

use crate::model::{DType, Model, Op, TensorId};
use crate::placement::EngineConfig;
use crate::platform::TensorRt;
use serde::Serialize;
use std::borrow::Cow;

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
    pub(crate) fn new(rule: &'static Rule, offending: impl Into<String>) -> Self {
        Self {
            rule,
            offending: offending.into(),
            fix: None,
        }
    }

    pub(crate) fn fix(mut self, fix: impl Into<Cow<'static, str>>) -> Self {
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

/// Anything but a plain yes.
pub(crate) enum No {
    Refused(Box<Refusal>),
    Unknown(Cow<'static, str>),
}

pub(crate) type Check = Result<(), No>;

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

pub(crate) fn unknown(why: impl Into<Cow<'static, str>>) -> No {
    No::Unknown(why.into())
}

/// What every check looks at.
pub(crate) struct Cx<'a> {
    pub(crate) model: &'a Model,
    pub(crate) op: &'a Op,
    pub(crate) tensorrt: TensorRt,
    pub(crate) xavier: bool,
    pub(crate) config: &'a EngineConfig,
    /// The batch the file was exported with; 0 if unknown.
    pub(crate) model_batch: u64,
}

impl<'a> Cx<'a> {
    /// A dim of the file at the engine's batch: the model's own batch gives way to the
    /// configured one, also where windows or heads are folded into the leading dim.
    pub(crate) fn at_batch(&self, leading: u64) -> u64 {
        if self.model_batch > 0 && leading.is_multiple_of(self.model_batch) {
            (leading / self.model_batch).saturating_mul(u64::from(self.config.batch))
        } else {
            leading
        }
    }

    /// Dims of a tensor as the file has them.
    pub(crate) fn dims(&self, tensor: TensorId) -> Result<&'a [u64], No> {
        let t = self.model.tensor(tensor);
        t.shape
            .as_deref()
            .ok_or_else(|| unknown(format!("the shape of {} is not known", t.name)))
    }

    /// Dims of the first activation input.
    pub(crate) fn input(&self) -> Result<&'a [u64], No> {
        match self.op.inputs.first() {
            Some(tensor) => self.dims(*tensor),
            None => Err(unknown("it reads no activation; TensorRT folds it")),
        }
    }

    pub(crate) fn dtype(&self, tensor: TensorId) -> DType {
        self.model.tensor(tensor).dtype
    }

    /// Bytes per element on the DLA.
    pub(crate) fn element_bytes(&self) -> u64 {
        if self.config.precision.int8 { 1 } else { 2 }
    }

    /// INT8 without FP16: what has no INT8 kernel would need FP32.
    pub(crate) fn int8_only(&self) -> bool {
        self.config.precision.int8 && !self.config.precision.fp16
    }

    /// Layers documented for images: undecided for a tensor of fewer than four dims.
    pub(crate) fn wants_image(&self) -> Check {
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
pub(crate) fn a(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O', 'U']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}

/// NVIDIA's "DLA supported layers and restrictions" of the 8.5 developer guide.
pub(crate) const GUIDE_8_5: &str =
    "TensorRT 8.5 developer guide, DLA supported layers and restrictions";

/// The 8.4 guide, the only one that prints the formula.
pub(crate) const GUIDE_8_4: &str =
    "TensorRT 8.4 developer guide, DLA supported layers and restrictions";

/// The page of TensorRT 11.
pub(crate) const GUIDE_11: &str =
    "TensorRT 11 documentation, DLA supported layers and restrictions";

/// Doc comments of the public header, 8.5.2 to 10.7.
pub(crate) const HEADER: &str = "NvInfer.h";

/// Doc comments of the headers before: 7.1.3, 8.0.1, 8.2.1 and 8.4.1, each against the next.
pub(crate) const HEADERS_BEFORE: &str = "NvInfer.h of TensorRT 7.1.3, 8.0.1, 8.2.1 and 8.4.1";

/// NVIDIA's matrix of ONNX ops on Orin's DLA.
pub(crate) const MATRIX: &str = "NVIDIA Deep-Learning-Accelerator-SW, operators/README.md";

/// Declares the rules of a file and lists them, one line each: its name here, its id
/// (`family.what`), the allowed range in words, and the document it is from:
/// `KERNEL = "conv.kernel": "a kernel of 1-32", GUIDE_8_5;`.
macro_rules! rules {
    ($($(#[$meta:meta])* $name:ident = $id:literal: $allowed:literal, $source:expr;)+) => {
        $(
            $(#[$meta])*
            pub(crate) static $name: crate::platform::dla_rules::rule::Rule = crate::platform::dla_rules::rule::Rule {
                id: $id,
                allowed: $allowed,
                source: $source,
            };
        )+
        pub(crate) static RULES: &[&crate::platform::dla_rules::rule::Rule] = &[$(&$name),+];
    };
}
pub(crate) use rules;
