//! What the chart shows: the placement on screen, kept placements, published figures.

use crate::chart::{Chart, Mark, Point};
use crate::history::Kept;
use crate::model::Model;
use crate::placement::{EngineConfig, Placement};

use crate::gui::background::judge::Judgement;
use crate::gui::state::State;

/// Where a point comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The placement on screen.
    Current,
    /// Kept by the user.
    Kept(i64),
    /// Measured by the user.
    Run,
    /// Published.
    Reference,
    /// An engine of a deployment that a search has found.
    Found,
}

/// The chart and where each of its points comes from.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// What is drawn.
    pub chart: Chart,
    /// Per point.
    pub origins: Vec<Origin>,
    /// The front a search has found, drawn in the scatter only.
    pub front: Chart,
}

impl Points {
    /// Collects the points for a model.
    pub fn of(state: &State, model: &Model, judged: &Judgement) -> Self {
        let mut points = Self {
            chart: Chart {
                title: format!("{} on {}", model.name, state.target),
                points: Vec::new(),
            },
            origins: Vec::new(),
            front: state.front_points(),
        };
        points.add(
            Origin::Current,
            Point {
                label: "this placement".into(),
                fps: judged.estimate.fps.clone(),
                mark: Mark::Estimated,
                dla_mac_share: judged.summary.dla_mac_share,
                precision: state.config.precision,
                batch: state.config.batch,
                deployment: None,
                current: true,
                load: None,
            },
        );
        for kept in &state.kept {
            points.add(Origin::Kept(kept.id), kept_point(kept));
        }
        for (origin, point) in state.deployment_points() {
            points.add(origin, point);
        }
        let (config, placement) = (&state.config, state.doc.placement());
        for (origin, point) in &state.others {
            let mut point = point.clone();
            let load = point.load.as_ref();
            let same = |(p, c): &(_, _)| p == placement && c == config;
            if *origin == Origin::Run {
                if load.is_some_and(same) {
                    point.current = true;
                    point.label = "this placement, measured".into();
                } else if let Some((p, c)) = load
                    && let Some(kept) = state.kept.iter().find(|k| same_as(k, p, c))
                {
                    point.label = format!("{}, measured", kept.kept.name);
                }
            }
            points.add(*origin, point);
        }
        points.lift_current();
        points
    }

    /// Puts the measured figure of the placement on screen beside its estimate.
    fn lift_current(&mut self) {
        let measured = |p: &Point| p.current && p.mark == Mark::Measured;
        if let Some(at) = self.chart.points.iter().position(measured) {
            let point = self.chart.points.remove(at);
            let origin = self.origins.remove(at);
            self.chart.points.insert(1, point);
            self.origins.insert(1, origin);
        }
    }

    fn add(&mut self, origin: Origin, point: Point) {
        self.chart.points.push(point);
        self.origins.push(origin);
    }
}

fn same_as(kept: &Kept, placement: &Placement, config: &EngineConfig) -> bool {
    kept.kept.placement == *placement && kept.kept.config == *config
}

fn kept_point(kept: &Kept) -> Point {
    let kept = &kept.kept;
    Point {
        label: kept.name.clone(),
        fps: kept.fps.clone(),
        mark: if kept.fps.is_measured() {
            Mark::Measured
        } else {
            Mark::Estimated
        },
        dla_mac_share: kept.dla_mac_share,
        precision: kept.config.precision,
        batch: kept.config.batch,
        deployment: None,
        current: false,
        load: Some((kept.placement.clone(), kept.config.clone())),
    }
}
