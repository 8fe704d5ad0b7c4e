//! Points from what was measured and published.

use std::sync::Arc;

use crate::engine::{Run, environment};
use crate::estimate::Estimator;
use crate::estimate::board::BoardFile;
use crate::figure::{Figure, Measured};
use crate::history::{Kept, Reference, ReferenceSet, StoredRun};
use crate::model::Model;
use crate::placement::{EngineConfig, IoFormats, Placement, Precision};
use crate::plan::{Buildable, Planner};
use crate::platform::{Place, Target};

use super::{Mark, Point};

/// Published figures that speak of this model on this board, each with the power mode and TensorRT
/// of its publication. The share on the DLA is what the rules of the target expect of the published
/// placement.
pub fn references(sets: &[ReferenceSet], model: &Model, target: &Target) -> Vec<Point> {
    let mine = sets
        .iter()
        .filter(|s| s.board == target.board.id && s.model == model.name);
    mine.flat_map(|set| {
        let place = set.place(target.board);
        set.rows
            .iter()
            .map(move |row| reference(set, place, row, model, target))
    })
    .collect()
}

fn reference(
    set: &ReferenceSet,
    place: Place,
    row: &Reference,
    model: &Model,
    target: &Target,
) -> Point {
    let config = EngineConfig {
        precision: row.precision,
        batch: row.batch,
        dla_core: row.dla_core,
        gpu_fallback: true,
        io: IoFormats::default(),
    };
    Point {
        label: row.config.clone(),
        fps: Figure::Measured(Measured {
            value: row.fps,
            min: row.fps,
            max: row.fps,
            repeats: 1,
            source: format!("{}; {}; {}", set.source, set.method, set.told()).into(),
        }),
        mj_per_image: None,
        mark: Mark::Published,
        place,
        dla_mac_share: share(model, target, &config, &row.placement),
        precision: row.precision,
        batch: row.batch,
        deployment: row.deployment.clone(),
        current: false,
        mode_assumed: set.mode.is_none() && place.mode.is_some(),
        load: Some((row.placement.clone(), config)),
    }
}

/// Estimates of the deployments among published points, for the target: each engine beside the
/// same others.
pub fn beside_published(
    published: &[Point],
    model: &Model,
    target: &Target,
    own: &BoardFile,
) -> Vec<Point> {
    type Key<'a> = (&'a str, Precision, u32);
    let mut groups: Vec<(Key<'_>, Vec<&Point>)> = Vec::new();
    for point in published {
        let Some(deployment) = point.deployment.as_deref() else {
            continue;
        };
        let key = (deployment, point.precision, point.batch);
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, engines)) => engines.push(point),
            None => groups.push((key, vec![point])),
        }
    }
    groups
        .into_iter()
        .flat_map(|(_, engines)| side_by_side(&engines, model, target, own))
        .collect()
}

/// Engines that run at the same time, as points with an estimate of each beside the others.
fn side_by_side(engines: &[&Point], model: &Model, target: &Target, own: &BoardFile) -> Vec<Point> {
    let cores = target.dla_support().cores();
    let setups: Vec<(Placement, EngineConfig)> = engines
        .iter()
        .filter_map(|p| p.load.clone())
        .map(|(placement, config)| (placement, config.on(cores)))
        .collect();
    if setups.len() != engines.len() {
        return Vec::new();
    }
    let planners: Vec<Planner<'_>> = setups
        .iter()
        .map(|(_, config)| Planner::new(model, target, config))
        .collect();
    let load = |planner: &Planner<'_>, placement: &Placement| {
        let plan = planner.plan_placement(placement);
        let plan = plan.map_err(|unknown| Arc::<str>::from(unknown.to_string()))?;
        Estimator::with_board(planner, own).load(&plan)
    };
    let loads: Result<Vec<_>, Arc<str>> = planners
        .iter()
        .zip(&setups)
        .map(|(planner, (placement, _))| load(planner, placement))
        .collect();
    let figures = match (planners.first(), loads) {
        (Some(first), Ok(loads)) => Estimator::with_board(first, own).deployment(&loads).fps,
        (_, Err(why)) => vec![Figure::none(why); engines.len()],
        (None, Ok(_)) => Vec::new(),
    };
    let points = engines.iter().zip(setups).zip(figures);
    points
        .map(|((engine, load), fps)| Point {
            fps,
            mark: Mark::Estimated,
            place: (*target).into(),
            load: Some(load),
            ..(*engine).clone()
        })
        .collect()
}

/// The user's own runs on this board in this power mode: the newest run of each engine with each
/// TensorRT, and every run of a deployment. A run that was not built as asked is labelled so, and a
/// click on it loads no placement. A run in an unknown power mode is left out.
pub fn runs(runs: &[StoredRun], model: &Model, target: &Target) -> Vec<Point> {
    let mut points = Vec::new();
    let mut seen: Vec<(&Placement, &EngineConfig, Place, bool)> = Vec::new();
    for stored in runs.iter().rev() {
        let run = &stored.run;
        let Some(fps) = run.fps() else { continue };
        // Runs on other machines have other scales.
        let Some(place) =
            environment::measured_at(&run.environment).filter(|p| p.same_mode(target))
        else {
            continue;
        };
        let (placement, config) = (&run.request.placement, &run.request.config);
        let as_asked = run.stands_for_placement();
        let key = (placement, config, place, as_asked);
        if run.deployment.is_none() {
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
        }
        let name = placement.title();
        points.push(Point {
            label: if as_asked {
                name
            } else {
                format!("not as asked: {name}")
            },
            fps: Figure::Measured(fps.clone()),
            mj_per_image: energy(run),
            mark: Mark::Measured,
            place,
            dla_mac_share: share(model, target, config, placement).filter(|_| as_asked),
            precision: config.precision,
            batch: config.batch,
            deployment: run.deployment.as_ref().map(|d| d.group.clone()),
            current: false,
            mode_assumed: false,
            load: as_asked.then(|| (placement.clone(), config.clone())),
        });
    }
    points.reverse();
    points
}

/// Energy per image of a run, where it was measured.
fn energy(run: &Run) -> Option<Measured> {
    match &run.measurement()?.mj_per_image {
        Figure::Measured(mj) => Some(mj.clone()),
        Figure::Estimated(_) | Figure::None { .. } => None,
    }
}

/// Kept placements, each estimated anew: whatever board it was kept for, the figure is of this
/// target, with the calibration in force.
pub fn kept(kept: &[Kept], model: &Model, target: &Target, own: &BoardFile) -> Vec<Point> {
    let cores = target.dla_support().cores();
    let entries = kept.iter().map(|k| {
        let config = k.kept.config.clone().on(cores);
        (k.kept.name.clone(), k.kept.placement.clone(), config)
    });
    estimated(entries.collect(), model, target, own)
}

/// Placements with their names and engine configs, each estimated for the target.
pub fn estimated(
    placements: Vec<(String, Placement, EngineConfig)>,
    model: &Model,
    target: &Target,
    own: &BoardFile,
) -> Vec<Point> {
    let mut figures: Vec<Option<(Figure, Option<f64>)>> = vec![None; placements.len()];
    // A planner serves all placements of one engine config.
    for first in 0..placements.len() {
        if figures[first].is_some() {
            continue;
        }
        let config = &placements[first].2;
        let planner = Planner::new(model, target, config);
        let estimator = Estimator::with_board(&planner, own);
        for at in (first..placements.len()).filter(|at| placements[*at].2 == *config) {
            figures[at] = Some(match planner.plan_placement(&placements[at].1) {
                Ok(plan) => {
                    // What does not build has no share of anything anywhere.
                    let builds = matches!(plan.buildable, Buildable::Yes);
                    let share = plan.dla_mac_share(model).filter(|_| builds);
                    (estimator.estimate(&plan).fps, share)
                }
                Err(unknown) => (Figure::none(unknown.to_string()), None),
            });
        }
    }
    let points = placements.into_iter().zip(figures.into_iter().flatten());
    points
        .map(|((label, placement, config), (fps, share))| Point {
            label,
            fps,
            mj_per_image: None,
            mark: Mark::Estimated,
            place: (*target).into(),
            dla_mac_share: share,
            precision: config.precision,
            batch: config.batch,
            deployment: None,
            current: false,
            mode_assumed: false,
            load: Some((placement, config)),
        })
        .collect()
}

/// Share of the multiply-accumulates the rules of the target expect on the DLA.
fn share(
    model: &Model,
    target: &Target,
    config: &EngineConfig,
    placement: &Placement,
) -> Option<f64> {
    let planner = Planner::new(model, target, config);
    planner.plan_placement(placement).ok()?.dla_mac_share(model)
}
