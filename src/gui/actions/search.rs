//! "Find best" as a value: what is asked for, what was found, why it is as it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chart::{Chart, Mark, Point, View};
use crate::figure::Figure;
use crate::model::Model;
use crate::placement::{Device, EngineConfig, Placement, Site};
use crate::platform::Target;
use crate::search::confirm::Trial;
use crate::search::{
    Answer, Constraints, Goal, Granularity, Move, Progress, Proposal, ProposedEngine, Request,
    SearchError,
};

use crate::gui::actions::confirm::Confirming;
use crate::gui::background::finder::{Finder, Found, Names};
use crate::gui::data::points::Origin;
use crate::gui::data::tree_view::Node;
use crate::gui::message::Message;
use crate::gui::state::State;

/// A search ends with the best so far after this long.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Proposals asked for.
const PROPOSALS: usize = 6;

/// Kinds of goals, without their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    pub const ALL: [Self; 5] = [
        Self::Latency,
        Self::Deployment,
        Self::Pipeline,
        Self::OffGpu,
        Self::FewestTransitions,
    ];

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
    fn view(self) -> View {
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
    id: u64,
    /// What is explained.
    pub name: String,
    /// Against which placement.
    pub from: Placement,
    /// The placement explained.
    pub to: Placement,
    /// What leads there, once it is known.
    pub moves: Option<Vec<Move>>,
}

/// What a search stands on.
struct Ground {
    model: Arc<Model>,
    target: Target,
    config: EngineConfig,
    finder: Finder,
}

/// The panel's state.
#[derive(Default)]
pub struct Find {
    /// The panel is shown.
    pub open: bool,
    /// What is asked for.
    pub form: Form,
    ground: Option<Ground>,
    asked: Option<Request>,
    /// Number of the newest search or explanation.
    last: u64,
    search: u64,
    searching: bool,
    /// How far the search is.
    pub progress: Option<Progress>,
    /// What it has come to so far.
    pub answer: Option<Result<Arc<Answer>, SearchError>>,
    names: Names,
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

    /// Ends the search with the best so far.
    pub fn stop(&mut self) {
        if let Some(ground) = self.ground.as_ref().filter(|_| self.searching) {
            ground.finder.stop();
        }
    }

    /// Estimates have changed: searches again on the new ones, unless proposals are being measured.
    pub(crate) fn renew(&mut self) {
        if self.confirming.is_none() {
            self.ground = None;
        }
    }

    /// Closes the panel; a search under way is given up.
    fn close(&mut self) {
        self.open = false;
        self.changes += 1;
        if self.searching {
            self.ground = None;
            self.asked = None;
            self.searching = false;
        }
    }

    /// Asks what leads from one placement to another.
    fn ask_why(&mut self, name: String, from: Placement, to: Placement) {
        let Some(ground) = &self.ground else { return };
        self.last += 1;
        ground.finder.explain(self.last, from.clone(), to.clone());
        self.why = Some(Why {
            id: self.last,
            name,
            from,
            to,
            moves: None,
        });
    }
}

impl State {
    /// Opens or closes the panel.
    pub(crate) fn toggle_find(&mut self) {
        if self.find.open {
            self.find.close();
        } else {
            self.find.open = true;
            self.find.changes += 1;
            self.view_of_chart = self.find.form.goal.view();
        }
    }

    /// Changes the goal and shows the chart it is about.
    pub(crate) fn find_goal(&mut self, goal: GoalKind) {
        if goal == GoalKind::OffGpu && self.find.form.goal != goal {
            // A floor worth starting from; the field changes it.
            let fps = self.judged.as_ref().and_then(|j| j.estimate.fps.value());
            if let Some(fps) = fps {
                self.find.form.min_fps = (fps * 0.8).round().max(1.0);
            }
        }
        self.find.form.goal = goal;
        self.find.open = true;
        self.view_of_chart = goal.view();
    }

    /// Changes what is asked for.
    pub(crate) fn find_form(&mut self, form: Form) {
        let before = &self.find.form;
        let (goal, other) = (form.goal, form.goal != before.goal);
        let same_floor = form.min_fps == before.min_fps;
        if other {
            self.find_goal(goal);
        }
        let min_fps = if same_floor {
            self.find.form.min_fps
        } else {
            form.min_fps
        };
        self.find.form = Form { min_fps, ..form };
    }

    /// Pins nodes to a device for searches, or unpins them.
    pub(crate) fn pin(&mut self, nodes: &[Node], device: Option<Device>) {
        let Some(open) = &self.open else { return };
        let sites: Vec<Site> = nodes.iter().map(|n| n.site(&open.model)).collect();
        for site in sites {
            self.find.form.pin(site, device);
        }
    }

    /// Starts the search that the state calls for, gives up one that it does not, and takes in
    /// what was found. Once per frame.
    pub(crate) fn seek(&mut self) {
        if !self.find.open {
            return;
        }
        let Some(open) = &self.open else { return };
        // No figure depends on which of the equal cores one engine uses.
        let config = EngineConfig {
            dla_core: 0,
            ..self.config.clone()
        };
        let same = self.find.ground.as_ref().is_some_and(|g| {
            Arc::ptr_eq(&g.model, &open.model) && g.target == self.target && g.config == config
        });
        if !same {
            let model = Arc::clone(&open.model);
            let data_dir = self.calibration_folder();
            let find = &mut self.find;
            let known = |site: &Site| match site {
                Site::Module(path) => path.is_empty() || model.modules.find(path).is_some(),
                Site::Op(name) => model.find_op(name).is_some(),
            };
            find.form.pinned.retain(|(site, _)| known(site));
            find.asked = None;
            find.ground = None;
            let measured = find.measured_on.as_ref();
            if measured.is_none_or(|(m, on)| !Arc::ptr_eq(m, &model) || *on != self.target) {
                find.confirming = None;
                find.confirmed.clear();
            }
            match Finder::start(
                Arc::clone(&model),
                self.target,
                config.clone(),
                data_dir,
                Arc::clone(&self.wake),
            ) {
                Ok(finder) => {
                    find.ground = Some(Ground {
                        model,
                        target: self.target,
                        config,
                        finder,
                    });
                }
                Err(e) => {
                    find.open = false;
                    self.messages.push(Message::error(
                        "No search: the system gives no thread".into(),
                        &e.to_string(),
                        "Close other programs and try again",
                    ));
                    return;
                }
            }
        }
        let request = self.find.form.request();
        if self.find.asked.as_ref() != Some(&request) {
            self.ask(request);
        }
        self.hear_finder();
    }

    fn ask(&mut self, request: Request) {
        let find = &mut self.find;
        let Some(ground) = &find.ground else { return };
        find.last += 1;
        find.search = find.last;
        ground.finder.search(find.search, request.clone());
        find.asked = Some(request);
        find.searching = true;
        find.progress = None;
        find.answer = None;
        find.why = None;
        find.changes += 1;
    }

    fn hear_finder(&mut self) {
        let find = &mut self.find;
        let Some(ground) = &find.ground else { return };
        if find.searching {
            find.progress = ground.finder.progress();
        }
        let news = find.confirming.as_ref();
        if let Some(trials) = news.and_then(|c| c.since(find.confirmed.len())) {
            find.confirmed = trials;
        }
        if let Some(why) = &mut find.why
            && let Some(moves) = ground.finder.moves(why.id)
        {
            why.moves = Some(moves.unwrap_or_default());
        }
        let Some(found) = ground.finder.found(find.search) else {
            return;
        };
        let Found {
            answer,
            names,
            whole,
        } = found;
        find.names = names;
        find.searching = !whole;
        find.changes += 1;
        // What was loaded by hand from an earlier part of the answer stays explained.
        let best = answer.as_ref().ok().and_then(|a| a.proposals.first());
        let best = best
            .filter(|p| find.why.is_none() && p.stages.is_empty())
            .and_then(|p| match &p.engines[..] {
                [engine] => Some((find.name(&engine.placement), engine.placement.clone())),
                _ => None,
            });
        find.answer = Some(answer);
        if let Some((name, to)) = best {
            let from = self.doc.placement().clone();
            find.ask_why(name, from, to);
        }
    }

    /// A placement was loaded in place of another: with the panel open that is explained.
    pub(crate) fn explain_load(&mut self, name: &str, before: Placement) {
        let to = self.doc.placement().clone();
        if self.find.open && before != to {
            self.find.ask_why(name.to_owned(), before, to);
        }
    }

    /// How an engine of a proposal is loaded: on the core in force where it is the only one.
    pub fn found_config(&self, proposal: &Proposal, engine: &ProposedEngine) -> EngineConfig {
        let dla_core = match &proposal.engines[..] {
            [_] => self.config.dla_core,
            _ if engine.summary.dla_ops == 0 => self.config.dla_core,
            _ => engine.config.dla_core,
        };
        EngineConfig {
            dla_core,
            ..engine.config.clone()
        }
    }

    /// The front as points of the scatter.
    pub(crate) fn front_points(&self) -> Chart {
        let front = self.find.shown().map_or(&[][..], |a| &a.front);
        let points = front.iter().filter_map(|p| {
            let [engine] = &p.engines[..] else {
                return None;
            };
            Some(Point {
                label: self.find.title(p),
                fps: p.fps.clone(),
                mark: Mark::Estimated,
                dla_mac_share: p.dla_mac_share,
                precision: engine.config.precision,
                batch: engine.config.batch,
                deployment: None,
                current: false,
                load: Some((engine.placement.clone(), self.found_config(p, engine))),
            })
        });
        Chart {
            title: "Pareto front".into(),
            points: points.collect(),
        }
    }

    /// Found deployments as points of the chart.
    pub(crate) fn deployment_points(&self) -> Vec<(Origin, Point)> {
        let Some(answer) = self.find.shown() else {
            return Vec::new();
        };
        let all = answer.proposals.iter().chain(&answer.baselines);
        let mut points: Vec<(Origin, Point)> = Vec::new();
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
                points.push((
                    Origin::Found,
                    Point {
                        label: self.find.name(&engine.placement),
                        fps: engine.fps.clone(),
                        mark: Mark::Estimated,
                        dla_mac_share: engine.summary.dla_mac_share,
                        precision: engine.config.precision,
                        batch: engine.config.batch,
                        deployment: Some(group.clone()),
                        current: false,
                        load: Some((engine.placement.clone(), self.found_config(p, engine))),
                    },
                ));
            }
        }
        points
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
