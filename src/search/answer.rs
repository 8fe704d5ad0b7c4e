//! What a search finds: progress, proposals with figures, and the trials that measure them.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::estimate::Estimate;
use crate::estimate::power::PowerEstimate;
use crate::figure::Figure;
use crate::model::OpId;
use crate::placement::{Device, EngineConfig, Placement};
use crate::plan::{Plan, Summary};
use crate::search::confirm::{Engine, Setup, Trial};

/// How far the search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it does now, in words.
    pub stage: &'static str,
    /// Since it began.
    pub elapsed: Duration,
    /// The best so far in the goal's own terms: ms, mJ, transitions or images per second;
    /// images per joule where several engines are chosen by energy. Costs that add up stand in for the
    /// estimate here; the answer is judged by the estimate.
    pub best: Option<f64>,
    /// Nothing better than this exists, where a bound is known.
    pub bound: Option<f64>,
}

/// One engine of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedEngine {
    /// How it is built.
    pub config: EngineConfig,
    /// What to ask, in the fewest words.
    pub placement: Placement,
    /// The one line.
    pub summary: Summary,
    /// Its figures alone.
    pub estimate: Estimate,
    /// Its power and energy alone, where they can be estimated.
    pub power: PowerEstimate,
    /// Its images per second beside the others; the same as alone for a single engine.
    pub fps: Figure,
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedStage {
    /// Modules, in words (`conv1..layer2`).
    pub what: String,
    /// First op.
    pub from: OpId,
    /// Last op.
    pub to: OpId,
    /// Where it runs.
    pub device: Device,
    /// DLA core.
    pub core: Option<u32>,
    /// Names of the tensors that come into it: where to cut the model for an engine of its own.
    pub inputs: Vec<Arc<str>>,
    /// Names of the tensors that leave it.
    pub outputs: Vec<Arc<str>>,
}

/// Something to load, build or compare with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// In a few words.
    pub name: String,
    /// Engines that run at the same time; mostly one.
    pub engines: Vec<ProposedEngine>,
    /// Stages, for a pipeline; empty otherwise.
    pub stages: Vec<ProposedStage>,
    /// Images per second in all.
    pub fps: Figure,
    /// Power and energy at the wall, all engines together.
    pub power: PowerEstimate,
    /// Tensors that cross between devices, all engines.
    pub transitions: usize,
    /// Share of multiply-accumulates on DLAs, 0 to 1.
    pub dla_mac_share: Option<f64>,
    /// Whole devices only: all GPU, all DLA, and such engines side by side.
    pub baseline: bool,
}

impl Answer {
    /// Proposals without baselines or a front yet.
    pub(super) fn new(proposals: Vec<Proposal>, gap: Option<f64>, method: &str) -> Self {
        Self {
            proposals,
            baselines: Vec::new(),
            front: Vec::new(),
            front_complete: false,
            gap,
            method: method.to_owned(),
            elapsed: Duration::ZERO,
            stopped: false,
        }
    }

    /// What there is to measure: baselines first, then proposals, each setup once.
    pub fn trials(&self) -> Vec<Trial> {
        let mut trials: Vec<Trial> = Vec::new();
        for p in self.baselines.iter().chain(&self.proposals) {
            if let Some(t) = p.trial()
                && trials.iter().all(|known| known.setup != t.setup)
            {
                trials.push(t);
            }
        }
        trials
    }
}

impl Proposal {
    /// GPU work per inference, ms, of all engines.
    pub fn gpu_ms(&self) -> Option<f64> {
        self.engines.iter().map(|e| e.estimate.gpu_ms.value()).sum()
    }

    /// Time of one inference of the slowest engine while all run, ms: each runs its inferences one
    /// after the other.
    pub fn latency_ms(&self) -> Figure {
        let times = self.engines.iter().map(|e| match &e.fps {
            Figure::Estimated(fps) if fps.value > 0.0 => {
                let ms = f64::from(e.config.batch) * 1000.0 / fps.value;
                Figure::estimated(ms, fps.band, Arc::clone(&fps.source))
            }
            Figure::None { reason } => Figure::none(Arc::clone(reason)),
            _ => Figure::none("the model has no work"),
        });
        let slower = |a: Figure, b: Figure| match (a.value(), b.value()) {
            (Some(x), Some(y)) if y > x => b,
            (Some(_), None) => b,
            _ => a,
        };
        let slowest = times.reduce(slower);
        slowest.unwrap_or_else(|| Figure::none("no engines"))
    }

    /// As the confirm loop takes it; `None` for a pipeline, whose stages no whole engine stands
    /// for.
    pub fn trial(&self) -> Option<Trial> {
        if !self.stages.is_empty() {
            return None;
        }
        let engines = self.engines.iter().map(|e| Engine {
            config: e.config.clone(),
            placement: e.placement.clone(),
        });
        let setup = Setup {
            engines: engines.collect(),
        };
        Some(Trial::new(self.name.clone(), setup, self.baseline))
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Best first, as the estimate ranks them.
    pub proposals: Vec<Proposal>,
    /// All GPU, all DLA; for a deployment also such engines side by side.
    pub baselines: Vec<Proposal>,
    /// None beats another in FPS, GPU work and transitions at once; by descending FPS.
    pub front: Vec<Proposal>,
    /// The front is all there is, not a sample.
    pub front_complete: bool,
    /// How far the best proposal may be from the best there is, as a fraction, for costs that add
    /// up; `None` where no bound is known.
    pub gap: Option<f64>,
    /// How it was found and proven, in words.
    pub method: String,
    /// How long it took.
    pub elapsed: Duration,
    /// The time limit or the caller ended it.
    pub stopped: bool,
}

/// Wraps one engine as a proposal.
pub(super) fn one(name: String) -> impl FnOnce((ProposedEngine, Plan)) -> Proposal {
    move |(engine, plan)| Proposal {
        name,
        fps: engine.fps.clone(),
        power: engine.power.clone(),
        transitions: plan.transitions.len(),
        dla_mac_share: engine.summary.dla_mac_share,
        engines: vec![engine],
        stages: Vec::new(),
        baseline: false,
    }
}

/// Sorts by descending FPS; proposals without a figure come last.
pub(super) fn by_fps(proposals: &mut [Proposal]) {
    let fps = |p: &Proposal| p.fps.value().unwrap_or(f64::NEG_INFINITY);
    proposals.sort_by(|a, b| fps(b).total_cmp(&fps(a)));
}
