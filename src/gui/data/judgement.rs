//! What the placement on screen means and costs.

use std::sync::{Arc, OnceLock};

use crate::estimate::power::PowerEstimate;
use crate::estimate::{Breakdown, Estimate, Waterfall};
use crate::export::Format;
use crate::figure::Figure;
use crate::model::OpId;
use crate::placement::{Device, Resolved};
use crate::plan::{Fallback, Plan, Summary};
use crate::platform::dla_rules::rule::Verdict;

/// What no placement changes: the rules' word and the cost of every op.
#[derive(Debug)]
pub struct Ground {
    /// Per op, what the DLA rules say.
    pub verdicts: Vec<Verdict>,
    /// Per op, ms on the GPU.
    pub gpu_ms: Vec<Figure>,
    /// Per op, ms on the DLA.
    pub dla_ms: Vec<Figure>,
    /// Per op, the op whose kernel it is part of, if that is another.
    pub fused_into: Vec<Option<OpId>>,
    /// Why no op at all may run on a DLA, if so.
    pub engine_refusal: Option<Fallback>,
}

impl Ground {
    /// ms of an op on a device.
    pub fn op_ms(&self, op: OpId, device: Device) -> &Figure {
        match device {
            Device::Gpu => &self.gpu_ms[op.index()],
            Device::Dla => &self.dla_ms[op.index()],
        }
    }
}

/// An engine of the same network that runs at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// All on the GPU.
    Gpu,
    /// All on a DLA core.
    Dla(u32),
}

impl Company {
    /// What it is called in lists.
    pub fn text(self) -> String {
        match self {
            Self::Gpu => "an engine all on the GPU".to_owned(),
            Self::Dla(core) => format!("an engine all on DLA core {core}"),
        }
    }
}

/// A placement beside another engine.
#[derive(Clone, Debug)]
pub struct Together {
    /// The other engine.
    pub company: Company,
    /// Where the time goes, contention too.
    pub waterfall: Waterfall,
    /// Images per second of this engine, of the other and of both.
    pub fps: [Figure; 3],
}

/// What one placement means.
#[derive(Debug)]
pub struct Judgement {
    /// The revision of the state it was asked for.
    pub revision: u64,
    /// Who said what, per module and op.
    pub resolved: Resolved,
    /// The plan.
    pub plan: Plan,
    /// How fast it should be.
    pub estimate: Estimate,
    /// What the board draws meanwhile.
    pub power: PowerEstimate,
    /// Where the time goes, or why nobody can say.
    pub breakdown: Result<Breakdown, Arc<str>>,
    /// The same beside another engine, where one is asked for.
    pub together: Option<Result<Together, Arc<str>>>,
    /// The counts for the status line.
    pub summary: Summary,
    /// The ops that fall back for the same reason, most frequent first.
    pub fallback_groups: Vec<(String, Vec<OpId>)>,
    /// The exports that refuse the placement, and why; found when first asked for.
    pub refusals: OnceLock<Vec<(Format, String)>>,
}

/// The figures of a placement that is only considered.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// Images per second.
    pub fps: Figure,
    /// Ops that would fall back.
    pub fallbacks: usize,
    /// DLA subgraphs.
    pub subgraphs: usize,
    /// Share of the multiply-accumulates on the DLA.
    pub dla_mac_share: Option<f64>,
}
