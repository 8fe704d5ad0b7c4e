//! "Find best" as values: what is asked for, what was found, why it is as it is.

use crate::chart::{Chart, Mark, Point};
use crate::gui::data::confirming::Confirming;
use crate::model::Model;
use crate::placement::EngineConfig;
use crate::platform::{PowerMode, Target};
use crate::search::confirm::Trial;
use crate::search::{Progress, Proposal, ProposedEngine};
use crate::tasks::modes::Chosen;
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

/// All searches of a choice of power mode and batch end after this long.
pub const CHOICE_LIMIT: Duration = Duration::from_secs(30);

/// Proposals asked for.
pub(crate) const PROPOSALS: usize = 6;

/// Kinds of goals, without their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::VariantArray)]
#[expect(missing_docs, reason = "as `Goal`")]
pub enum GoalKind {
    #[default]
    Latency,
    Energy,
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
            Self::Energy => "Least energy per image",
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
            Self::Energy => "The fewest millijoules at the wall for one image",
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
            Self::Latency
            | Self::Energy
            | Self::Pipeline
            | Self::OffGpu
            | Self::FewestTransitions => View::Scatter,
        }
    }

    /// Unit of a search's best so far.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Latency => "ms",
            Self::Energy => "mJ",
            Self::OffGpu => "ms on the GPU",
            Self::FewestTransitions => "transitions",
            Self::Deployment | Self::Pipeline => "FPS",
        }
    }
}

/// Why the power mode or the batch cannot be chosen too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// Nothing ranks different modes and batches for the goal.
    Goal,
    /// The board has one power mode.
    Board,
    /// The file has one batch.
    File,
}

impl NoChoice {
    /// In a few words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Goal => "not for this goal",
            Self::Board => "the board has one",
            Self::File => "the file fixes it",
        }
    }

    /// One sentence for a tooltip.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Goal => {
                "Power modes and batches are ranked only by latency, by energy or by total FPS"
            }
            Self::Board => "dlaplan knows one power mode of this board",
            Self::File => "Export the model with an open batch to have it chosen",
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
    /// Longest time of one inference, ms.
    pub max_latency_ms: Option<f64>,
    /// Most power at the wall, W.
    pub max_watts: Option<f64>,
    /// Every power mode of the board is tried, not only the one in force.
    pub every_mode: bool,
    /// Every batch that the file allows is tried, not only the engine's.
    pub every_batch: bool,
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
            max_latency_ms: None,
            max_watts: None,
            every_mode: false,
            every_batch: false,
        }
    }
}

impl Form {
    /// The goal with its numbers.
    pub fn whole_goal(&self) -> Goal {
        match self.goal {
            GoalKind::Latency => Goal::Latency,
            GoalKind::Energy => Goal::Energy,
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
        }
    }

    /// As the search takes it.
    pub fn request(&self) -> Request {
        // The stages of a pipeline are no whole engines, which the caps are about.
        let capped = self.goal != GoalKind::Pipeline;
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
            max_latency_ms: self.max_latency_ms.filter(|_| capped),
            max_watts: self.max_watts.filter(|_| capped),
            front: self.front(),
            ..Request::new(self.whole_goal())
        }
    }

    /// The answers are placements of one engine, ranked by time, so that a front of FPS, GPU work and
    /// transitions means something.
    fn front(&self) -> bool {
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

    /// Forgets pins of what a model does not have.
    pub(crate) fn keep_pins_of(&mut self, model: &Model) {
        self.pinned.retain(|(site, _)| match site {
            Site::Module(path) => path.is_empty() || model.modules.find(path).is_some(),
            Site::Op(name) => model.find_op(name).is_some(),
        });
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
    /// Power mode and batch are chosen too: what that has come to. There is no answer beside it.
    pub choice: Option<Choice>,
    /// Counts answers.
    pub changes: u64,
}

/// What is asked where power mode and batch are chosen too. The mode and the batch in force are no
/// part of it, so that a row that is loaded leaves the others standing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Board and TensorRT, in one of the modes.
    pub target: Target,
    /// How engines are built, with one of the batches.
    pub config: EngineConfig,
    pub modes: Vec<&'static PowerMode>,
    pub batches: Vec<u32>,
    pub request: Request,
    pub engines: u32,
}

/// Power mode, batch, placement and DLA cores chosen together, so far.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Which search is under way.
    pub at: Option<Searching>,
    /// Best first; those that are missing are still to come.
    pub found: Arc<Chosen>,
}

/// Which of many searches is under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Searching {
    /// The power mode.
    pub mode: &'static str,
    /// Images per inference.
    pub batch: u32,
    /// How far that search is.
    pub progress: Progress,
    /// Searches that are over, and how many there are.
    pub done: usize,
    /// See `done`.
    pub of: usize,
    /// Since the first began.
    pub elapsed: Duration,
}

impl Choice {
    /// How a row's engine is loaded. An engine that uses no DLA leaves the core in force.
    pub fn config_of(engine: &ProposedEngine, core: u32) -> EngineConfig {
        let config = engine.config.clone();
        match engine.summary.dla_ops {
            0 => EngineConfig {
                dla_core: core,
                ..config
            },
            _ => config,
        }
    }
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

    /// Found deployments as points of the chart: of a choice only those for this target and batch.
    pub(crate) fn deployment_points(&self, config: &EngineConfig, target: &Target) -> Vec<Point> {
        let core = config.dla_core;
        let rows = self.choice.iter().filter(|_| self.open);
        let rows = rows.flat_map(|c| &c.found.rows);
        let chosen = rows
            .filter(|row| row.target == *target && row.batch == config.batch)
            .map(|row| &row.proposal);
        let answer = self.shown().into_iter();
        let answer = answer.flat_map(|a| a.proposals.iter().chain(&a.baselines));
        let all = answer.chain(chosen);
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
