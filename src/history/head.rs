//! The head of a run: what a list of many shows, read without its layers and samples.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::engine::{
    DeploymentShare, Environment, ErrorKind, Failure, Mark, ModelRef, Outcome, Run, Stage,
    not_sampled,
};
use crate::figure::{Figure, Measured};
use crate::placement::{EngineConfig, Placement};

/// What a list shows of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunHead {
    /// In this history.
    pub id: i64,
    /// When it began, ms since 1970 (UTC).
    pub started_ms: u64,
    /// How long all of it took, s.
    pub wall_s: f64,
    /// Of which model.
    pub model: ModelRef,
    /// What was asked.
    pub placement: Placement,
    /// How it was built.
    pub config: EngineConfig,
    /// Where it ran.
    pub environment: Environment,
    /// Its part in a deployment.
    pub deployment: Option<DeploymentShare>,
    /// Images per second, or why there are none.
    pub outcome: Result<Measured, Failure>,
    /// Energy per image, mJ.
    pub mj_per_image: Figure,
    /// What the samples of the machine say against the figures.
    pub marks: Vec<Mark>,
    /// The engine came from the cache.
    pub cached: bool,
    /// Why its outputs mean nothing, if so.
    pub timing_only: Option<String>,
    /// Ops that left the DLA without the plan having said so.
    pub silent_fallbacks: usize,
    /// Predictions the engine contradicts.
    pub contradictions: usize,
}

impl RunHead {
    /// The head of a run stored under an id.
    pub fn of(id: i64, run: &Run) -> Self {
        let comparison = run.comparison.as_ref();
        let measurement = run.measurement();
        Self {
            id,
            started_ms: run.started_ms,
            wall_s: run.wall_s,
            model: run.model.clone(),
            placement: run.request.placement.clone(),
            config: run.request.config.clone(),
            environment: run.environment.clone(),
            deployment: run.deployment.clone(),
            outcome: match &run.outcome {
                Outcome::Finished(m) => Ok(m.fps.clone()),
                Outcome::Failed(failure) => Err(failure.clone()),
            },
            mj_per_image: measurement.map_or_else(not_sampled, |m| m.mj_per_image.clone()),
            marks: run.marks.clone(),
            cached: measurement.is_some_and(|m| m.cached),
            timing_only: measurement.and_then(|m| m.timing_only.clone()),
            silent_fallbacks: comparison.map_or(0, |c| c.silent_fallbacks.len()),
            contradictions: comparison.map_or(0, |c| c.contradictions.len()),
        }
    }
}

/// The stored form with everything large skipped.
#[derive(Deserialize)]
pub(super) struct Slim {
    started_ms: u64,
    wall_s: f64,
    model: ModelRef,
    request: SlimRequest,
    environment: Environment,
    #[serde(default)]
    deployment: Option<DeploymentShare>,
    #[serde(default)]
    comparison: Option<SlimComparison>,
    #[serde(default)]
    marks: Vec<Mark>,
    outcome: SlimOutcome,
}

#[derive(Deserialize)]
struct SlimRequest {
    placement: Placement,
    config: EngineConfig,
}

#[derive(Deserialize)]
struct SlimComparison {
    silent_fallbacks: Vec<IgnoredAny>,
    contradictions: Vec<IgnoredAny>,
}

/// Success and failure in one struct: to read an enum, serde would hold the whole measurement in
/// memory first.
#[derive(Deserialize)]
#[serde(default)]
struct SlimOutcome {
    fps: Option<Measured>,
    mj_per_image: Figure,
    cached: bool,
    timing_only: Option<String>,
    kind: ErrorKind,
    stage: Stage,
    message: String,
}

impl Default for SlimOutcome {
    fn default() -> Self {
        Self {
            fps: None,
            mj_per_image: not_sampled(),
            cached: false,
            timing_only: None,
            kind: ErrorKind::Crashed,
            stage: Stage::Start,
            message: String::new(),
        }
    }
}

impl Slim {
    pub(super) fn head(self, id: i64) -> RunHead {
        let outcome = self.outcome;
        let comparison = self.comparison;
        RunHead {
            id,
            started_ms: self.started_ms,
            wall_s: self.wall_s,
            model: self.model,
            placement: self.request.placement,
            config: self.request.config,
            environment: self.environment,
            deployment: self.deployment,
            outcome: outcome.fps.ok_or(Failure {
                kind: outcome.kind,
                stage: outcome.stage,
                message: outcome.message,
            }),
            mj_per_image: outcome.mj_per_image,
            marks: self.marks,
            cached: outcome.cached,
            timing_only: outcome.timing_only,
            silent_fallbacks: comparison.as_ref().map_or(0, |c| c.silent_fallbacks.len()),
            contradictions: comparison.as_ref().map_or(0, |c| c.contradictions.len()),
        }
    }
}
