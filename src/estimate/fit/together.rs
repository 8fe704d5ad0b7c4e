//! Refitting what engines do to each other that run at the same time.

use crate::estimate::Estimator;
use crate::estimate::board::BoardFile;
use crate::estimate::deployment::{Load, contended_ms};
use crate::estimate::fit::own::OwnRun;
use crate::estimate::fit::solve;
use crate::estimate::fit::solve::SIGMA;
use crate::estimate::params::{ContentionParameters, Spec};
use crate::plan::Planner;

/// Deployments are few, and measured on the board itself: the priors hold them loosely.
const LOOSER: f64 = 3.0;

/// A measured deployment: what each engine asks of the board, and its time beside the others, ms.
struct Measured {
    loads: Vec<Load>,
    ms: Vec<f64>,
}

/// Fits contention to engines that were measured at the same time, one list a deployment. An engine
/// that was also measured alone counts with that time, not with its estimate. Without a deployment
/// the file stays as it is.
#[must_use]
pub fn refit_together(
    file: &BoardFile,
    alone: &[OwnRun<'_>],
    deployments: &[Vec<OwnRun<'_>>],
) -> BoardFile {
    let here = deployments.iter().filter(|members| {
        members.iter().all(|m| m.target.board.id == file.board) && members.len() > 1
    });
    let measured: Vec<Measured> = here
        .filter_map(|members| {
            let loads = members.iter().map(|m| load(file, alone, m));
            Some(Measured {
                loads: loads.collect::<Option<Vec<Load>>>()?,
                ms: members.iter().map(time).collect(),
            })
        })
        .collect();
    if measured.is_empty() {
        return file.clone();
    }
    let start = file.parameters.contention.to_vec();
    let specs: Vec<Spec> = ContentionParameters::SPECS
        .iter()
        .zip(&start)
        .map(|(spec, prior)| Spec {
            prior: *prior,
            spread: spec.spread * LOOSER,
            ..*spec
        })
        .collect();
    let errors = |contention: &ContentionParameters| -> Vec<f64> {
        let of = |m: &Measured| {
            let predicted = contended_ms(&m.loads, contention);
            let pairs = predicted.into_iter().zip(m.ms.clone());
            pairs.map(|(p, ms)| (p / ms).ln()).collect::<Vec<f64>>()
        };
        measured.iter().flat_map(of).collect()
    };
    let found = solve::fit(&specs, &start, &|values| {
        let errors = errors(&ContentionParameters::from_slice(values));
        errors.into_iter().map(|e| e / SIGMA).collect()
    });
    let mut out = file.clone();
    out.parameters.contention = ContentionParameters::from_slice(&found);
    let left = errors(&out.parameters.contention);
    let worst = left.iter().map(|e| e.abs()).fold(0.04, f64::max);
    // Few deployments say little of others.
    if measured.len() >= 3 {
        out.contention_band = ((worst * 100.0).ceil() / 100.0).min(file.contention_band);
    }
    out
}

/// Time of one inference, ms.
fn time(run: &OwnRun<'_>) -> f64 {
    1000.0 * f64::from(run.config.batch) / run.fps
}

fn load(file: &BoardFile, alone: &[OwnRun<'_>], member: &OwnRun<'_>) -> Option<Load> {
    let planner = Planner::new(member.model, &member.target, &member.config);
    let plan = planner.plan_placement(&member.placement).ok()?;
    let mut load = Estimator::with_board(&planner, file).load(&plan).ok()?;
    let same = |r: &&OwnRun<'_>| {
        r.model.source.structure_hash == member.model.source.structure_hash
            && (&r.config, &r.placement) == (&member.config, &member.placement)
    };
    if let Some(run) = alone.iter().rfind(same) {
        let scale = time(run) / load.alone_ms();
        if !(scale.is_finite() && scale > 0.0) {
            return None;
        }
        load.gpu_ms *= scale;
        load.dla_ms *= scale;
    }
    Some(load)
}
