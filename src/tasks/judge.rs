//! Planning and estimating a placement.

use std::sync::Arc;

use crate::estimate::{Breakdown, Estimate, Estimator};
use crate::export::Subject;
use crate::figure::Figure;
use crate::history;
use crate::model::Model;
use crate::placement::{EngineConfig, Placement, Resolved, UnknownSite};
use crate::plan::{Plan, Planner};
use crate::platform::Target;

/// One engine: a placement of a model, how it is built, and where it would run.
#[derive(Debug)]
pub struct Setup {
    /// The network.
    pub model: Model,
    /// Where it would run.
    pub target: Target,
    /// How it would be built.
    pub config: EngineConfig,
    /// The devices asked for.
    pub placement: Placement,
}

/// A setup with its plan and estimate.
#[derive(Debug)]
pub struct Judged {
    /// The requested device of each op, and where it was set.
    pub resolved: Resolved,
    /// Predicted devices, subgraphs and transitions.
    pub plan: Plan,
    /// How fast it should be.
    pub estimate: Estimate,
    /// Where the time goes, or why nobody can say.
    pub breakdown: Result<Breakdown, Arc<str>>,
    /// Per op, ms where it is expected to run.
    pub op_ms: Vec<Figure>,
}

impl Setup {
    /// Plans and estimates with the user's own calibration where there is one.
    ///
    /// # Errors
    /// The placement names what the model does not have.
    pub fn judge(&self) -> Result<Judged, UnknownSite> {
        let planner = Planner::new(&self.model, &self.target, &self.config);
        judge(&history::estimator(&planner), &self.placement)
    }

    /// The setup as exports take it.
    pub fn subject<'a>(&'a self, judged: &'a Judged) -> Subject<'a> {
        Subject {
            model: &self.model,
            target: &self.target,
            config: &self.config,
            placement: &self.placement,
            resolved: &judged.resolved,
            plan: &judged.plan,
            estimate: &judged.estimate,
            op_ms: &judged.op_ms,
            breakdown: judged.breakdown.as_ref().ok(),
        }
    }
}

/// Plans and estimates a placement.
///
/// # Errors
/// The placement names what the model does not have.
pub fn judge(estimator: &Estimator<'_, '_>, placement: &Placement) -> Result<Judged, UnknownSite> {
    let planner = estimator.planner();
    let resolved = placement.resolve(planner.model())?;
    let plan = planner.plan_resolved(placement, &resolved);
    let estimate = estimator.estimate(&plan);
    let breakdown = estimator.breakdown(&plan, &estimate);
    let ops = planner.model().op_ids().zip(&plan.predicted);
    let op_ms = ops
        .map(|(op, device)| estimator.op_ms(op, *device))
        .collect();
    Ok(Judged {
        resolved,
        plan,
        estimate,
        breakdown,
        op_ms,
    })
}
