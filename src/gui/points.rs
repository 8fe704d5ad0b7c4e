//! What the chart shows: the placement on screen, kept placements, published figures.

use crate::chart::{Chart, Mark, Point};
use crate::history::Kept;
use crate::model::Model;

use super::judge::Judgement;
use super::state::State;

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
        for (origin, point) in &state.others {
            points.add(*origin, point.clone());
        }
        points
    }

    fn add(&mut self, origin: Origin, point: Point) {
        self.chart.points.push(point);
        self.origins.push(origin);
    }
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
        deployment: None,
        current: false,
        load: Some((kept.placement.clone(), kept.config.clone())),
    }
}
