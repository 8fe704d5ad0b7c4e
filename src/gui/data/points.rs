//! What the chart shows: the placement on screen, kept placements, published figures.

use crate::chart::{Chart, Mark, Point};
use crate::gui::data::judgement::Judgement;
use crate::gui::data::search::Find;
use crate::history::Kept;
use crate::model::Model;
use crate::placement::{EngineConfig, Placement};
use crate::platform::Target;
use crate::tasks::compare::Judged;

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
    /// Estimated beside what was published of engines at the same time.
    BesideReference,
    /// An engine of a deployment that a search has found.
    Found,
    /// What the placement on screen is compared with.
    Other,
}

/// The chart and where each of its points comes from.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// What is drawn.
    pub chart: Chart,
    /// Per point.
    pub origins: Vec<Origin>,
    /// The point that the placement on screen is compared with.
    pub other: Option<usize>,
    /// The front a search has found, drawn in the scatter only.
    pub front: Chart,
}

/// Everything the chart depends on.
#[derive(Clone, Copy)]
pub struct PointsInput<'a> {
    /// The network.
    pub model: &'a Model,
    /// Where it would run.
    pub target: &'a Target,
    /// How it would be built.
    pub config: &'a EngineConfig,
    /// The placement on screen.
    pub placement: &'a Placement,
    /// What it means and costs.
    pub judged: &'a Judgement,
    /// Kept placements, oldest first.
    pub kept: &'a [Kept],
    /// The same as points, estimated for the target.
    pub kept_points: &'a [Point],
    /// The user's own runs and published figures.
    pub others: &'a [(Origin, Point)],
    /// What a search has found.
    pub find: &'a Find,
    /// What the placement on screen is compared with.
    pub other: Option<&'a Judged>,
}

impl Points {
    /// Collects the points of the chart.
    pub fn of(input: &PointsInput<'_>) -> Self {
        let PointsInput {
            model,
            target,
            config,
            placement,
            judged,
            kept: all_kept,
            kept_points,
            others,
            find,
            other,
        } = *input;
        let mut points = Self {
            chart: Chart::new(model, target),
            origins: Vec::new(),
            other: None,
            front: find.front_points(config.dla_core, target),
        };
        points.add(
            Origin::Current,
            Point {
                label: "this placement".into(),
                fps: judged.estimate.fps.clone(),
                mj_per_image: None,
                mark: Mark::Estimated,
                place: (*target).into(),
                dla_mac_share: judged.summary.dla_mac_share,
                precision: config.precision,
                batch: config.batch,
                deployment: None,
                current: true,
                mode_assumed: false,
                load: None,
            },
        );
        for (kept, point) in all_kept.iter().zip(kept_points) {
            points.add(Origin::Kept(kept.id), point.clone());
        }
        for point in find.deployment_points(config, target) {
            points.add(Origin::Found, point);
        }
        for (origin, point) in others {
            let mut point = point.clone();
            let load = point.load.as_ref();
            let same = |(p, c): &(_, _)| p == placement && c == config;
            if *origin == Origin::Run && point.place.is(target) {
                if load.is_some_and(same) {
                    point.current = true;
                    point.label = "this placement, measured".into();
                } else if let Some((p, c)) = load
                    && let Some(kept) = all_kept.iter().find(|k| same_as(k, p, c))
                {
                    point.label = format!("{}, measured", kept.kept.name);
                }
            }
            points.add(*origin, point);
        }
        points.lift_current();
        points.compare(other, target);
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

    /// Marks what the placement on screen is compared with, shown even where it is not kept.
    fn compare(&mut self, other: Option<&Judged>, target: &Target) {
        let Some(other) = other else { return };
        let same = |p: &Point| {
            let load = p.load.as_ref();
            p.mark == Mark::Estimated
                && load.is_some_and(|(p, c)| *p == other.placement && *c == other.config)
        };
        if let Some(at) = self.chart.points.iter().position(same) {
            self.other = Some(at);
            return;
        }
        self.other = Some(self.chart.points.len());
        self.add(
            Origin::Other,
            Point {
                label: other.name.clone(),
                fps: other.estimate.fps.clone(),
                mj_per_image: None,
                mark: Mark::Estimated,
                place: (*target).into(),
                dla_mac_share: other.summary.dla_mac_share,
                precision: other.config.precision,
                batch: other.config.batch,
                deployment: None,
                current: false,
                mode_assumed: false,
                load: Some((other.placement.clone(), other.config.clone())),
            },
        );
    }

    fn add(&mut self, origin: Origin, point: Point) {
        self.chart.points.push(point);
        self.origins.push(origin);
    }
}

fn same_as(kept: &Kept, placement: &Placement, config: &EngineConfig) -> bool {
    kept.kept.placement == *placement && kept.kept.config == *config
}
