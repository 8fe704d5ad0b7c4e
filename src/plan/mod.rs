//! The heart: what a placement means on a target. A pure function of its arguments.

mod flow;
mod io;
mod lint;
mod partition;
mod planner;
mod summary;

use std::sync::Arc;

use serde::Serialize;

use crate::model::{OpId, TensorId};
use crate::placement::Device;
use crate::platform::dla_rules::rule::{Refusal, Rule};

pub use lint::{Lint, Severity};
pub use planner::{Planner, plan};
pub use summary::Summary;

/// Why an op asked onto the DLA is expected on the GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Fallback {
    /// A DLA rule refuses the op.
    Rule(Arc<Refusal>),
    /// The rules do not decide; planned on the GPU to be safe.
    Unknown {
        /// What is not known.
        reason: Arc<str>,
    },
    /// The whole target or engine config rules the DLA out.
    Engine {
        /// Why.
        reason: Arc<str>,
    },
    /// Its subgraph is past the number of loadables a core holds.
    LoadableLimit {
        /// How many the core holds.
        limit: u32,
    },
    /// Its subgraph needs more memory than one loadable may have.
    LoadableSize(Arc<Refusal>),
}

/// A DLA subgraph: what TensorRT compiles into one loadable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subgraph {
    /// Its ops in execution order.
    pub ops: Vec<OpId>,
    /// Bytes that enter it from the GPU (or from the caller).
    pub bytes_in: u64,
    /// Bytes that leave it.
    pub bytes_out: u64,
    /// Bytes of weights, at the DLA's precision.
    pub weight_bytes: u64,
}

/// A tensor that crosses devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The tensor.
    pub tensor: TensorId,
    /// The device it comes from. Model inputs and outputs count as GPU memory.
    pub from: Device,
    /// The device that reads it.
    pub to: Device,
    /// The DLA subgraph on the one side.
    pub subgraph: u32,
    /// Size at the engine's precision and batch; 0 if the shape is unknown.
    pub bytes: u64,
    /// It is an input or output of the model: a reformat at the ends, not between devices.
    pub boundary: bool,
}

/// Whether TensorRT is expected to build this at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Buildable {
    /// It builds.
    Yes,
    /// It would fail or be meaningless, and the remedy.
    No {
        /// Reasons, most important first.
        reasons: Vec<String>,
    },
}

/// What a placement means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What was asked, per op.
    pub requested: Vec<Device>,
    /// What the rules expect, per op.
    pub predicted: Vec<Device>,
    /// Ops that were asked onto the DLA and are expected on the GPU, in execution order.
    pub fallbacks: Vec<(OpId, Fallback)>,
    /// DLA subgraphs, in execution order of their first op.
    pub subgraphs: Vec<Subgraph>,
    /// Per op, its subgraph.
    pub subgraph_of: Vec<Option<u32>>,
    /// Tensors that cross devices, in execution order.
    pub transitions: Vec<Transition>,
    /// Whether it builds.
    pub buildable: Buildable,
    /// Hazards worth a word, with mitigation.
    pub lints: Vec<Lint>,
}

impl Plan {
    /// Why an op falls back, if it does.
    pub fn fallback(&self, op: OpId) -> Option<&Fallback> {
        self.fallbacks
            .binary_search_by_key(&op, |(o, _)| *o)
            .ok()
            .map(|i| &self.fallbacks[i].1)
    }

    /// Ops expected on the DLA.
    pub fn dla_ops(&self) -> usize {
        self.predicted.iter().filter(|d| **d == Device::Dla).count()
    }
}

impl Fallback {
    /// The rule behind it, if one is.
    pub fn rule(&self) -> Option<&'static Rule> {
        match self {
            Self::Rule(r) | Self::LoadableSize(r) => Some(r.rule),
            Self::Unknown { .. } | Self::Engine { .. } | Self::LoadableLimit { .. } => None,
        }
    }

    /// One sentence for a hover text or a log.
    pub fn sentence(&self) -> String {
        match self {
            Self::Rule(r) | Self::LoadableSize(r) => {
                format!("{}; the DLA takes {}", r.offending, r.rule.allowed)
            }
            Self::Unknown { reason } => format!("not decided by the documents: {reason}"),
            Self::Engine { reason } => reason.to_string(),
            Self::LoadableLimit { limit } => {
                format!("a DLA core holds {limit} subgraphs and this one comes after them")
            }
        }
    }
}
