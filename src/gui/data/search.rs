//! "Find best" as values: what is asked for, what was found, why it is as it is.

use crate::chart::{Chart, Mark, Point};
use crate::gui::data::confirming::Confirming;
use crate::model::Model;
use crate::placement::EngineConfig;
use crate::platform::Target;
use crate::search::confirm::Trial;
use crate::search::{Progress, Proposal, ProposedEngine};
use std::collections::BTreeMap;

use crate::chart::View;
use crate::figure::Figure;
use crate::placement::{Device, Placement, Site};
use crate::search::{Answer, Constraints, Goal, Granularity, Move, Request, SearchError};

use std::collections::HashMap;
use std::sync::Arc;

use std::time::Duration;

/// A search ends with the best so far after this long.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Proposals asked for.
pub(crate) const PROPOSALS: usize = 6;

/// Kinds of goals, without their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::VariantArray)]
#[expect(missing_docs, reason = "as `Goal`")]
pub enum GoalKind {
    #[default]
    Latency,
    Deployment,
    Pipeline,
    OffGpu,
    FewestTransitions,
}

impl GoalKind {
    /// In menu order.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// For menus.
    pub fn text(self) -> &'static str {
        match self {
            Self::Latency => "Lowest latency of one engine",
            Self::Deployment => "Highest total FPS of several engines",
            Self::Pipeline => "Highest FPS of a pipeline",
            Self::OffGpu => "Most work off the GPU",
            Self::FewestTransitions => "Fewest transitions",
        }
    }

    /// One sentence for a tooltip.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Latency => "The shortest time of one inference",
            Self::Deployment => {
                "Engines of this model that run at the same time, each with its own placement"
            }
            Self::Pipeline => {
                "The network cut into stages that work on successive images at the same time"
            }
            Self::OffGpu => "Least GPU work that still makes the FPS asked for",
            Self::FewestTransitions => {
                "Fewest tensors between devices, at most so much slower than the fastest"
            }
        }
    }

    /// The chart that shows its answers.
    pub(crate) fn view(self) -> View {
        match self {
            Self::Deployment => View::Deployments,
            Self::Latency | Self::Pipeline | Self::OffGpu | Self::FewestTransitions => {
                View::Scatter
            }
        }
    }
}

/// What is asked for, as the panel's fields have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// The goal.
    pub goal: GoalKind,
    /// Floor for [`GoalKind::OffGpu`], images per second.
    pub min_fps: f64,
    /// For [`GoalKind::FewestTransitions`]: percent slower than the fastest.
    pub max_loss: f64,
    /// Most engines of a deployment.
    pub engines: u32,
    /// Most stages of a pipeline.
    pub stages: u32,
    /// What is decided as one.
    pub granularity: Granularity,
    /// Most DLA subgraphs per engine.
    pub max_subgraphs: Option<u32>,
    /// Most DLA cores.
    pub dla_cores: Option<u32>,
    /// What stays where.
    pub pinned: Vec<(Site, Device)>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            goal: GoalKind::default(),
            min_fps: 30.0,
            max_loss: 5.0,
            engines: 2,
            stages: 3,
            granularity: Granularity::Modules,
            max_subgraphs: None,
            dla_cores: None,
            pinned: Vec::new(),
        }
    }
}

impl Form {
    /// As the search takes it.
    pub fn request(&self) -> Request {
        let goal = match self.goal {
            GoalKind::Latency => Goal::Latency,
            GoalKind::Deployment => Goal::Deployment {
                most: self.engines,
                least: 1,
            },
            GoalKind::Pipeline => Goal::Pipeline {
                stages: self.stages,
            },
            GoalKind::OffGpu => Goal::OffGpu {
                min_fps: self.min_fps,
            },
            GoalKind::FewestTransitions => Goal::FewestTransitions {
                max_loss: self.max_loss / 100.0,
            },
        };
        Request {
            constraints: Constraints {
                granularity: self.granularity,
                pinned: self.pinned.clone(),
                max_subgraphs: self.max_subgraphs,
                dla_cores: self.dla_cores,
                ..Constraints::default()
            },
            time_limit: TIME_LIMIT,
            proposals: PROPOSALS,
            front: self.one_engine(),
            ..Request::new(goal)
        }
    }

    /// The answers are placements of one engine, so that a front of them means something.
    pub fn one_engine(&self) -> bool {
        matches!(
            self.goal,
            GoalKind::Latency | GoalKind::OffGpu | GoalKind::FewestTransitions
        )
    }

    /// The device a site is pinned to.
    pub fn pin_of(&self, site: &Site) -> Option<Device> {
        let pin = self.pinned.iter().find(|(s, _)| s == site);
        pin.map(|(_, device)| *device)
    }

    /// Pins a site, or takes its pin away.
    pub fn pin(&mut self, site: Site, device: Option<Device>) {
        self.pinned.retain(|(s, _)| *s != site);
        self.pinned.extend(device.map(|d| (site, d)));
    }
}

/// Why one placement instead of another.
#[derive(Clone, Debug)]
pub struct Why {
    pub(crate) id: u64,
    /// What is explained.
    pub name: String,
    /// Against which placement.
    pub from: Placement,
    /// The placement explained.
    pub to: Placement,
    /// What leads there, once it is known.
    pub moves: Option<Vec<Move>>,
}

/// The panel's state.
#[derive(Default)]
pub struct Find {
    /// The panel is shown.
    pub open: bool,
    /// What is asked for.
    pub form: Form,
    pub(crate) asked: Option<Request>,
    /// Number of the newest search or explanation.
    pub(crate) last: u64,
    pub(crate) search: u64,
    pub(crate) searching: bool,
    /// How far the search is.
    pub progress: Option<Progress>,
    /// What it has come to so far.
    pub answer: Option<Result<Arc<Answer>, SearchError>>,
    pub(crate) names: Names,
    /// Why the placement that was loaded last, or the best.
    pub why: Option<Why>,
    /// Proposals being measured.
    pub confirming: Option<Confirming>,
    /// Trials of the proposals with an outcome.
    pub confirmed: Vec<Trial>,
    /// The model and target the trials are of.
    pub(crate) measured_on: Option<(Arc<Model>, Target)>,
    /// Counts answers.
    pub changes: u64,
}

impl Find {
    /// A search is under way.
    pub fn searching(&self) -> bool {
        self.searching
    }

    /// The answer so far, while the panel is open.
    pub fn shown(&self) -> Option<&Answer> {
        match &self.answer {
            Some(Ok(answer)) if self.open => Some(answer),
            _ => None,
        }
    }

    /// What a placement is called.
    pub fn name(&self, placement: &Placement) -> String {
        match self.names.get(placement) {
            Some(name) => name.clone(),
            None => placement.title(),
        }
    }

    /// What a proposal is called: its engines or stages, or its one placement.
    pub fn title(&self, proposal: &Proposal) -> String {
        match &proposal.engines[..] {
            [engine] if proposal.stages.is_empty() => self.name(&engine.placement),
            _ => proposal.name.clone(),
        }
    }

    /// Searches again even if nothing has changed.
    pub fn again(&mut self) {
        self.asked = None;
    }

    /// How an engine of a proposal is loaded: on the core in force where it is the only one.
    pub fn config_of(proposal: &Proposal, engine: &ProposedEngine, core: u32) -> EngineConfig {
        let dla_core = match &proposal.engines[..] {
            [_] => core,
            _ if engine.summary.dla_ops == 0 => core,
            _ => engine.config.dla_core,
        };
        EngineConfig {
            dla_core,
            ..engine.config.clone()
        }
    }

    /// The front as points of the scatter.
    pub(crate) fn front_points(&self, core: u32, target: &Target) -> Chart {
        let front = self.shown().map_or(&[][..], |a| &a.front);
        let points = front.iter().filter_map(|p| {
            let [engine] = &p.engines[..] else {
                return None;
            };
            Some(Point {
                label: self.title(p),
                fps: p.fps.clone(),
                mj_per_image: None,
                mark: Mark::Estimated,
                place: (*target).into(),
                dla_mac_share: p.dla_mac_share,
                precision: engine.config.precision,
                batch: engine.config.batch,
                deployment: None,
                current: false,
                mode_assumed: false,
                load: Some((engine.placement.clone(), Self::config_of(p, engine, core))),
            })
        });
        Chart {
            title: "Pareto front".into(),
            target: *target,
            points: points.collect(),
        }
    }

    /// Found deployments as points of the chart.
    pub(crate) fn deployment_points(&self, core: u32, target: &Target) -> Vec<Point> {
        let Some(answer) = self.shown() else {
            return Vec::new();
        };
        let all = answer.proposals.iter().chain(&answer.baselines);
        let mut points: Vec<Point> = Vec::new();
        let mut seen: Vec<Vec<&Placement>> = Vec::new();
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        for p in all.filter(|p| p.engines.len() > 1) {
            let placements: Vec<&Placement> = p.engines.iter().map(|e| &e.placement).collect();
            if seen.contains(&placements) {
                continue;
            }
            seen.push(placements);
            let same_name = names.entry(&p.name).or_default();
            *same_name += 1;
            let group = match same_name {
                1 => p.name.clone(),
                n => format!("{} ({n})", p.name),
            };
            for engine in &p.engines {
                points.push(Point {
                    label: self.name(&engine.placement),
                    fps: engine.fps.clone(),
                    mj_per_image: None,
                    mark: Mark::Estimated,
                    place: (*target).into(),
                    dla_mac_share: engine.summary.dla_mac_share,
                    precision: engine.config.precision,
                    batch: engine.config.batch,
                    deployment: Some(group.clone()),
                    current: false,
                    mode_assumed: false,
                    load: Some((engine.placement.clone(), Self::config_of(p, engine, core))),
                });
            }
        }
        points
    }

    /// What was measured of a proposal.
    pub fn trial(&self, proposal: &Proposal) -> Option<&Trial> {
        if self.confirmed.is_empty() {
            return None;
        }
        let setup = proposal.trial()?.setup;
        self.confirmed.iter().find(|t| t.setup == setup)
    }
}

/// How good the best is known to be, in words.
pub fn optimality(answer: &Answer) -> String {
    match answer.gap {
        Some(0.0) => "exact".into(),
        Some(gap) if gap < 0.0005 => "within 0.1 %".into(),
        Some(gap) => format!("within {:.1} %", gap * 100.0),
        None => "no bound".into(),
    }
}

/// Images per second with their band: `463 FPS ±13 %`.
pub fn fps(figure: &Figure) -> String {
    in_unit(figure, "FPS")
}

/// A figure with its unit and band: `2.13 ms ±13 %`.
pub fn in_unit(figure: &Figure, unit: &str) -> String {
    match figure {
        Figure::Estimated(e) => format!("{} {unit} {}", crate::figure::short(e.value), e.band),
        Figure::Measured(m) => format!("{} {unit} measured", crate::figure::short(m.value)),
        Figure::None { .. } => "no estimate".into(),
    }
}

/// What a search has come to.
#[derive(Clone, Debug)]
pub struct Found {
    /// The answer, or why there is none.
    pub answer: Result<Arc<Answer>, SearchError>,
    /// Names in module terms for placements that say too much to be named by it.
    pub names: Names,
    /// Nothing more will come.
    pub whole: bool,
}

/// Names of placements.
pub type Names = Arc<HashMap<Placement, String>>;

/// What leads from one placement to another; `None` where one of them does not fit the model.
pub type Moves = Option<Vec<Move>>;
