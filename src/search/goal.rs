//! What a search is asked for, and why it may have no answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::placement::IoFormats;
use crate::search::solvers::Unsolved;
use crate::search::space::{Constraints, SpaceError};

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "goal", rename_all = "snake_case")]
pub enum Goal {
    /// Least latency of one engine.
    Latency,
    /// Least energy at the wall per image of one engine.
    Energy,
    /// Least GPU work of one engine that still makes this many images per second.
    OffGpu {
        /// The floor.
        min_fps: f64,
    },
    /// Fewest transitions of one engine that is at most this much slower than the fastest.
    FewestTransitions {
        /// Fraction of the fastest engine's FPS, 0 to 1.
        max_loss: f64,
    },
    /// Most images per second of engines that run at the same time.
    Deployment {
        /// Most engines.
        most: u32,
        /// Fewest engines.
        least: u32,
    },
    /// Most images per second of one network cut into stages.
    Pipeline {
        /// Most stages.
        stages: u32,
    },
}

/// A search to carry out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What is wanted.
    pub goal: Goal,
    /// What must hold.
    #[serde(default)]
    pub constraints: Constraints,
    /// Ends with the best so far after this long.
    #[serde(default = "default_time_limit")]
    pub time_limit: Duration,
    /// Proposals wanted, the best one included, baselines not.
    #[serde(default = "default_proposals")]
    pub proposals: usize,
    /// Most power at the wall, of all engines together, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_watts: Option<f64>,
    /// Longest time of one inference, of the slowest engine, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
    /// A deployment is to take the least energy at the wall per image, rather than make the most
    /// images.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub least_energy: bool,
    /// Also finds the front of latency, GPU work and transitions.
    #[serde(default)]
    pub front: bool,
}

fn default_time_limit() -> Duration {
    Duration::from_secs(10)
}

fn default_proposals() -> usize {
    5
}

impl Request {
    /// A search for a goal, without constraints.
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            constraints: Constraints::default(),
            time_limit: default_time_limit(),
            proposals: default_proposals(),
            max_watts: None,
            max_latency_ms: None,
            least_energy: false,
            front: false,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// The constraints cannot hold.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// No solution.
    #[error(transparent)]
    Unsolved(#[from] Unsolved),
    /// The estimate has no figures for this model on this target.
    #[error("no estimate: {0}")]
    NoEstimate(String),
    /// There is no estimate of the power.
    #[error("no estimate of the power: {0}")]
    NoPower(String),
    /// Nothing that was found draws so little.
    #[error(
        "nothing found stays under {cap} W; the least is {least} W: allow more or choose a lower power mode"
    )]
    TooMuchPower {
        /// What was allowed.
        cap: String,
        /// What there is.
        least: String,
    },
    /// Nothing that was found is so fast.
    #[error(
        "nothing found stays under {cap} ms; the least is {least} ms: allow more, or choose a higher \
         power mode or a smaller batch"
    )]
    TooSlow {
        /// What was allowed.
        cap: String,
        /// What there is.
        least: String,
    },
    /// Formats of inputs and outputs that this goal does not know.
    #[error(
        "the stages of a pipeline hand each other FP32 tensors, and I/O {0} is asked for; leave \
         fp32:chw"
    )]
    Formats(IoFormats),
    /// A number that makes no sense.
    #[error("{what} is {value}; it must be {range}")]
    Range {
        /// Which.
        what: &'static str,
        /// As given.
        value: f64,
        /// What would do.
        range: &'static str,
    },
}

/// Refuses numbers that make no sense.
///
/// # Errors
/// Names the number and its range.
pub(super) fn check(request: &Request) -> Result<(), SearchError> {
    let (what, value, range, fine) = match request.goal {
        Goal::OffGpu { min_fps } => (
            "the FPS floor",
            min_fps,
            "a positive number",
            min_fps > 0.0 && min_fps.is_finite(),
        ),
        Goal::FewestTransitions { max_loss } => (
            "the loss",
            max_loss,
            "at least 0 and less than 1 (0.05 is five percent)",
            (0.0..1.0).contains(&max_loss),
        ),
        Goal::Deployment { most, least } => (
            "the number of engines",
            f64::from(most),
            "1 to 8 and not less than the fewest",
            (1..=8).contains(&most) && least <= most,
        ),
        Goal::Pipeline { stages } => (
            "the number of stages",
            f64::from(stages),
            "1 to 8",
            (1..=8).contains(&stages),
        ),
        Goal::Latency | Goal::Energy => return Ok(()),
    };
    if fine {
        Ok(())
    } else {
        Err(SearchError::Range { what, value, range })
    }
}
