//! Points from what was measured and published.

use crate::engine::environment;
use crate::figure::{Figure, Measured};
use crate::history::{Reference, ReferenceSet, StoredRun};
use crate::model::Model;
use crate::placement::{EngineConfig, Placement};
use crate::plan::Planner;
use crate::platform::Target;

use super::{Mark, Point};

/// Published figures that speak of this model on this board. The share on the DLA is what the
/// rules of the target expect of the published placement.
pub fn references(sets: &[ReferenceSet], model: &Model, target: &Target) -> Vec<Point> {
    let mine = sets
        .iter()
        .filter(|s| s.board == target.board.id && s.model == model.name);
    mine.flat_map(|set| {
        set.rows
            .iter()
            .map(move |row| reference(set, row, model, target))
    })
    .collect()
}

fn reference(set: &ReferenceSet, row: &Reference, model: &Model, target: &Target) -> Point {
    let config = EngineConfig {
        precision: row.precision,
        batch: row.batch,
        dla_core: row.dla_core,
        gpu_fallback: true,
    };
    Point {
        label: row.config.clone(),
        fps: Figure::Measured(Measured {
            value: row.fps,
            min: row.fps,
            max: row.fps,
            repeats: 1,
            source: format!("{}; {}", set.source, set.method).into(),
        }),
        mark: Mark::Published,
        dla_mac_share: share(model, target, &config, &row.placement),
        precision: row.precision,
        batch: row.batch,
        deployment: row.deployment.clone(),
        current: false,
        load: Some((row.placement.clone(), config)),
    }
}

/// The user's own runs on this board in this power mode, the newest of each engine. One that did
/// not run as asked says so and loads nothing.
pub fn runs(runs: &[StoredRun], model: &Model, target: &Target) -> Vec<Point> {
    let mut points = Vec::new();
    let mut seen: Vec<(&Placement, &EngineConfig, bool)> = Vec::new();
    for stored in runs.iter().rev() {
        let run = &stored.run;
        let Some(fps) = run.fps() else { continue };
        // Runs on other machines have other scales.
        if environment::place(&run.environment).map_or(true, |t| !t.same_place(target)) {
            continue;
        }
        let (placement, config) = (&run.request.placement, &run.request.config);
        let as_asked = run.stands_for_placement();
        let key = (placement, config, as_asked);
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
            mark: Mark::Measured,
            dla_mac_share: share(model, target, config, placement).filter(|_| as_asked),
            precision: config.precision,
            batch: config.batch,
            deployment: run.deployment.as_ref().map(|d| d.group.clone()),
            current: false,
            load: as_asked.then(|| (placement.clone(), config.clone())),
        });
    }
    points.reverse();
    points
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
