//! Everything the window knows. Changed only by `apply` and by finished work; drawn by `panels`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::message::{Message, Messages};
use crate::chart::{Point, View};
use crate::gui::background::chooser::ChoiceGround;
use crate::gui::background::finder::SearchGround;
use crate::gui::background::jobs::{Jobs, Waker};
use crate::gui::background::judge::Judge;
use crate::gui::background::session_file::Store;
use crate::gui::data::compare::Compare;
use crate::gui::data::filter::Filter;
use crate::gui::data::judgement::{Company, Ground, Judgement, WhatIf};
use crate::gui::data::kept::History;
use crate::gui::data::looks::{Beside, Copied, Hint, Palette, Pane, ThemeChoice};
use crate::gui::data::map::Map;
use crate::gui::data::measuring::Measuring;
use crate::gui::data::memo::Memo;
use crate::gui::data::open::{FileStamp, Open, Selection, first_levels};
use crate::gui::data::options::Options;
use crate::gui::data::points::{Origin, Points, PointsInput};
use crate::gui::data::ribbon::Ribbon;
use crate::gui::data::runs::Runs;
use crate::gui::data::search::Find;
use crate::gui::data::session::Session;
use crate::gui::data::tour::{Tour, Turn};
use crate::gui::data::tree_index::{Node, Sort, TreeIndex, TreeInput};
use crate::gui::data::tree_view::{TreeView, tree_view};
use crate::gui::dialog::{Dialog, Picker};
use crate::history::Kept;
use crate::model::{Model, ModelSource, ModuleId, OpId, onnx};
use crate::placement::{Device, Document, EngineConfig, Placement, Site};
use crate::platform::Target;
use crate::tasks::measure::Worker;

/// What the rows of the tree are made from: the tree's shape, the revision that was judged, whether
/// costs are known, the changes of what it is compared with.
type ViewKey = (u64, Option<u64>, bool, u64);

/// What the chart is made from: the revision that was judged, the changes of the kept placements,
/// of the search and of what it is compared with.
type PointsKey = (u64, u64, u64, u64);

/// The whole window.
pub struct State {
    /// The model, once read.
    pub open: Option<Open>,
    /// The placement under edit.
    pub doc: Document,
    /// Where it would run.
    pub target: Target,
    /// The calibration cache with the INT8 ranges for measuring; made up without.
    pub calibration: Option<PathBuf>,
    /// The first model takes the batch in `config`, not its own.
    pub(super) batch_said: bool,
    /// Counts every change that a plan depends on.
    pub revision: u64,
    pub(super) judge: Option<Judge>,
    pub(super) asked: Option<u64>,
    /// The costs and rules in force.
    pub ground: Option<Arc<Ground>>,
    /// The newest judgement; its revision tells how new.
    pub judged: Option<Arc<Judgement>>,
    pub(super) what_if_asked: Option<u64>,
    pub(super) what_if_key: u64,
    /// The selection on the GPU, on the DLA, and inheriting.
    pub what_if: Option<(u64, Vec<Option<WhatIf>>)>,

    /// What is selected.
    pub selection: Selection,
    /// Open modules.
    pub expanded: BTreeSet<ModuleId>,
    /// The filter.
    pub filter: Filter,
    /// The order of the rows below one module.
    pub sort: Sort,
    /// Counts every change of the tree's shape.
    pub shape: u64,
    /// The rows.
    pub view: Memo<ViewKey, TreeView>,
    /// The execution ribbon of the newest judgement.
    pub ribbon: Memo<u64, Ribbon>,
    /// The placement on screen beside another one.
    pub compare: Compare,
    /// The engine that runs beside the placement on screen where its time is explained.
    pub company: Option<Company>,
    /// A row the tree must bring into sight.
    pub reveal: Option<Node>,
    /// The filter box must take the keyboard.
    pub focus_filter: bool,

    /// Kept placements of this model, oldest first.
    pub kept: Vec<Kept>,
    /// The placement that was last written to a file or read from one.
    pub(super) in_file: Option<(Placement, EngineConfig)>,
    pub(super) in_file_changes: u64,
    /// The placement on screen is in no file and was not kept.
    pub modified: Memo<(u64, u64, u64), bool>,
    /// The same as points of the chart, estimated for the target on screen.
    pub kept_points: Vec<Point>,
    /// The user's own runs and published figures for this model on this board.
    pub others: Vec<(Origin, Point)>,
    pub(super) history: History,
    /// Counts every change of the kept placements.
    pub kept_changes: u64,
    /// Which way the chart shows its points.
    pub view_of_chart: View,
    /// What the chart shows.
    pub points: Memo<PointsKey, Points>,
    /// Searching for the best placement.
    pub find: Find,
    pub(super) search_ground: Option<SearchGround>,
    pub(super) choice_ground: Option<ChoiceGround>,
    /// Measuring: where, and what is under way.
    pub measuring: Measuring,
    /// Runs of the open model.
    pub runs: Runs,
    /// What the panel on the right shows while Find best is closed.
    pub beside: Option<Beside>,
    /// The network around the selection, made while its panel is shown.
    pub map: Memo<u64, Map>,
    /// The chart fills the window.
    pub full_chart: bool,
    /// The guided tour, while it runs.
    pub tour: Option<Tour>,
    /// The tour begins as soon as there is a model.
    pub(super) demo: bool,
    /// Hints that were closed.
    pub hints_done: Vec<Hint>,
    /// A panel that must take the keyboard.
    pub focus_pane: Option<Pane>,
    /// Work of a window that died is being brought back; its file.
    pub(super) restoring: Option<PathBuf>,
    /// The file that could not be opened, until a model is.
    pub(super) tried: Option<PathBuf>,
    /// The open model's file as it was when it was read.
    pub(super) read_at: Option<FileStamp>,
    /// When the file was last looked at.
    pub(super) looked_at: Option<std::time::Instant>,
    /// The appearance on screen is dark.
    pub dark: bool,
    /// What is shown where there is no room for all panels.
    pub pane: Pane,
    /// The appearance.
    pub theme: ThemeChoice,
    /// Files opened before, newest first.
    pub recent: Vec<PathBuf>,
    /// Estimates do not learn from own runs.
    pub shipped_only: bool,

    /// The dialog, if one is open.
    pub dialog: Option<Dialog>,
    /// The palette, if it is open.
    pub palette: Option<Palette>,
    /// Cards and the list of messages.
    pub messages: Messages,
    /// Background work.
    pub jobs: Jobs<State>,
    /// The desktop's dialogs.
    pub picker: Arc<dyn Picker>,
    /// Where sessions, settings and kept placements live.
    pub store: Store,
    /// What the clipboard should hold, for the shell to take.
    pub clipboard: Option<Copied>,
    /// The shell should end the program.
    pub quit: bool,
    /// How long a frame waits for a new plan before it shows the old one.
    pub patience: Duration,
    pub(super) wake: Waker,
}

/// What a window needs from outside.
pub struct Env {
    /// Where sessions, settings and kept placements live.
    pub data_dir: PathBuf,
    /// Asks for another frame.
    pub wake: Waker,
    /// The desktop's dialogs.
    pub picker: Arc<dyn Picker>,
    /// How long a frame waits for a new plan before it shows the old one.
    pub patience: Duration,
    /// What measures; `None` where nothing can.
    pub worker: Option<Worker>,
}

impl State {
    /// A window about to open what the options or the last session say.
    pub fn new(options: Options, env: Env) -> Self {
        let mut messages = Messages::default();
        let (store, settings, found) = Store::open(&env.data_dir, &env.wake, &mut messages);
        let Options {
            model,
            inputs,
            made_at,
            target,
            config,
            batch_said,
            placement,
            demo,
        } = options;
        let mut state = Self {
            open: None,
            doc: Document::new(placement.unwrap_or_default(), config),
            target,
            calibration: None,
            batch_said,
            revision: 0,
            judge: None,
            asked: None,
            ground: None,
            judged: None,
            what_if_asked: None,
            what_if_key: 0,
            what_if: None,
            selection: Selection::default(),
            expanded: BTreeSet::new(),
            filter: Filter::default(),
            sort: Sort::default(),
            shape: 0,
            view: Memo::default(),
            ribbon: Memo::default(),
            compare: Compare::default(),
            company: None,
            reveal: None,
            focus_filter: false,
            kept: Vec::new(),
            in_file: None,
            in_file_changes: 0,
            modified: Memo::default(),
            kept_points: Vec::new(),
            others: Vec::new(),
            history: History::of(&env.data_dir),
            kept_changes: 0,
            view_of_chart: View::default(),
            points: Memo::default(),
            find: Find::default(),
            search_ground: None,
            choice_ground: None,
            measuring: Measuring::new(env.worker, settings.host, settings.hosts),
            runs: Runs::new(),
            beside: Some(Beside::Inspector),
            map: Memo::default(),
            full_chart: false,
            tour: None,
            demo,
            hints_done: settings.hints_done,
            focus_pane: None,
            restoring: None,
            tried: None,
            read_at: None,
            looked_at: None,
            dark: true,
            pane: Pane::default(),
            theme: settings.theme,
            recent: settings.recent,
            shipped_only: settings.shipped_only,
            dialog: None,
            palette: None,
            messages,
            jobs: Jobs::new(Arc::clone(&env.wake)),
            picker: env.picker,
            store,
            clipboard: None,
            quit: false,
            patience: env.patience,
            wake: env.wake,
        };
        state.ask_machine();
        if let Some(report) = state.store.panic_report() {
            state.messages.push(Message::error(
                "dlaplan ended because of a bug".into(),
                &format!("The report is in {}", report.display()),
                "Send it with the model's structure, if you can",
            ));
        }
        match (model, found) {
            (Some(path), found) => {
                if let Some(found) = found.filter(|f| f.crashed && !f.session.is_plain()) {
                    state.messages.push(
                        Message::info(
                            format!("Unsaved work on {} was kept", found.session.title()),
                            "The last session ended unexpectedly.",
                        )
                        .with_action("Restore", Command::OpenPath(found.path)),
                    );
                }
                state.load_at(path, inputs, made_at);
            }
            (None, Some(found)) => {
                if found.crashed && !found.session.is_plain() {
                    state.restoring = Some(found.path);
                }
                state.batch_said = true;
                state.restore(found.session);
            }
            (None, None) => {
                state.load_at(crate::gui::data::open::first_model(), inputs, made_at);
            }
        }
        state
    }

    /// Whether the open model has this structure ([`crate::model::Source::structure_hash`]).
    pub(crate) fn is_open(&self, structure_hash: &str) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|o| o.model.source.structure_hash == structure_hash)
    }

    /// How the engine would be built.
    pub fn config(&self) -> &EngineConfig {
        self.doc.config()
    }

    /// Title of the window: model, placement and board; a dot where the placement is in no file and
    /// was not kept.
    pub fn title(&self) -> String {
        let Some(open) = &self.open else {
            return "dlaplan".to_owned();
        };
        let (model, board) = (&open.model.name, self.target.board.name);
        let placement = self.doc.placement().title();
        let modified = if *self.modified { " •" } else { "" };
        format!("{model}: {placement}{modified} – {board} – dlaplan")
    }

    /// DLA cores TensorRT drives on the target; 0 without any.
    pub fn dla_cores(&self) -> u32 {
        self.target.dla_support().cores()
    }

    /// Why the target has no DLA; empty where it has.
    pub fn no_dla_reason(&self) -> String {
        match self.target.dla_support() {
            crate::platform::DlaSupport::Cores(_) => String::new(),
            crate::platform::DlaSupport::None(why) => why,
        }
    }

    /// Models that can be opened without a dialog: name and path.
    pub fn openable(&self) -> Vec<(String, PathBuf)> {
        let name = |p: &PathBuf| {
            p.file_name()
                .map_or_else(|| p.display().to_string(), |n| n.to_string_lossy().into())
        };
        onnx::bundled()
            .iter()
            .map(|b| (b.title.to_owned(), b.path()))
            .chain(self.recent.iter().map(|p| (name(p), p.clone())))
            .collect()
    }

    /// The assignment said at a node itself.
    pub fn explicit(&self, node: Node) -> Option<Device> {
        let open = self.open.as_ref()?;
        self.doc
            .placement()
            .overrides
            .get(&self.site(open, node))
            .copied()
    }

    /// The device a node has when nothing is said at it.
    pub fn inherited(&self, node: Node) -> Device {
        self.inherited_in(self.doc.placement(), node)
    }

    /// The same with another placement.
    pub(super) fn inherited_in(&self, placement: &Placement, node: Node) -> Device {
        let Some(open) = &self.open else {
            return placement.default;
        };
        // A leaf's own op may be what is assigned; the module itself then is an ancestor.
        let mut at = match (self.site(open, node), node) {
            (Site::Op(_), Node::Module(id)) => Some(id),
            _ => node.parent(&open.model),
        };
        while let Some(id) = at {
            let path = open.model.modules.get(id).path.to_string();
            if let Some(device) = placement.overrides.get(&Site::Module(path)) {
                return *device;
            }
            at = open.model.modules.get(id).parent;
        }
        placement.default
    }

    /// What an edit at a node's row is said for.
    pub fn site(&self, open: &Open, node: Node) -> Site {
        if let (Node::Module(_), Some(op)) = (node, open.index.single_op(&open.model, node)) {
            let site = Node::Op(op).site(&open.model);
            if self.doc.placement().overrides.contains_key(&site) {
                return site;
            }
        }
        node.site(&open.model)
    }

    /// All selected ops, in execution order.
    pub fn selected_ops(&self) -> Vec<OpId> {
        let open = self.open.as_ref();
        open.map_or_else(Vec::new, |o| self.selection.ops(&o.model))
    }

    /// The judgement of the state as it is now, not of an older one.
    pub fn fresh(&self) -> Option<&Judgement> {
        self.judged
            .as_deref()
            .filter(|j| j.revision == self.revision)
    }

    /// Something a plan depends on has changed; `ground` when it is more than the placement.
    pub fn touch(&mut self, ground: bool) {
        self.revision += 1;
        if ground {
            self.start_judge();
        }
        self.autosave();
    }

    /// The tree's shape has changed.
    pub fn reshape(&mut self) {
        self.shape += 1;
    }

    /// Takes a model into the window.
    pub fn install(&mut self, model: Model, path: PathBuf, inputs: BTreeMap<String, Vec<u64>>) {
        let same = self.open.as_ref().is_some_and(|o| {
            o.model.source.structure_hash == model.source.structure_hash && o.path == path
        });
        let index = TreeIndex::new(&model);
        let model = Arc::new(model);
        if !same {
            self.selection = Selection::default();
            self.filter = Filter::default();
            self.expanded = first_levels(&model);
            self.judged = None;
            self.forget_compared();
        }
        self.open = Some(Open {
            model,
            index,
            path,
            inputs,
        });
        self.opened();
    }

    /// Another model is in the window, or the same one read again.
    pub(super) fn opened(&mut self) {
        self.view.forget();
        self.map.forget();
        self.reshape();
        self.note_file();
        self.load_kept();
        self.forget_runs();
        self.touch(true);
    }

    /// The user's work as it is now; `None` before a model is open.
    pub(super) fn session(&self) -> Option<Session> {
        if let Some(tour) = &self.tour {
            return tour.before.session.clone();
        }
        Some(Session::of(
            self.open.as_ref()?,
            &self.target,
            self.config(),
            self.doc.placement(),
            self.calibration.as_deref(),
            &self.find.form.pinned,
        ))
    }

    /// Writes the session, soon and off this thread.
    pub fn autosave(&mut self) {
        if let Some(session) = self.session() {
            self.store.autosave(session);
        }
    }

    /// Takes in finished work, asks for what is missing, and brings the values that are drawn up
    /// to date. Once per frame.
    pub fn refresh(&mut self) {
        while let Some(take_in) = self.jobs.poll() {
            take_in(self);
        }
        self.take_swept();
        if let Some(message) = self.store.take_error() {
            self.messages.push(message);
        }
        if self.demo && self.open.is_some() && self.jobs.running().is_empty() {
            self.demo = false;
            self.apply(Command::Tour(Turn::Start));
        }
        self.consult();
        self.judge_other();
        self.seek();
        self.read_runs();
        self.rebuild();
    }

    /// Brings the tree, the ribbon and the chart up to date.
    fn rebuild(&mut self) {
        let key = (self.revision, self.kept_changes, self.in_file_changes);
        let mut modified = std::mem::take(&mut self.modified);
        modified.update(key, || self.is_modified());
        self.modified = modified;
        let Some(open) = &self.open else { return };
        let judged = self.judged.as_deref();
        if let (Some(judged), Some(ground)) = (judged, self.ground.as_deref()) {
            self.compare
                .refresh(&open.model, &open.index, judged, ground);
        }
        let key = (
            self.shape,
            judged.map(|j| j.revision),
            self.ground.is_some(),
            self.compare.changes,
        );
        let input = TreeInput {
            model: &open.model,
            index: &open.index,
            open: &self.expanded,
            judged,
            ground: self.ground.as_deref(),
            sort: self.sort,
            compared: self.compare.comparison(),
        };
        self.view.update(key, || tree_view(&input, &self.filter));
        let (Some(judged), Some(ground)) = (judged, self.ground.as_deref()) else {
            return;
        };
        self.ribbon.update(judged.revision, || {
            let ms = |op| ground.op_ms(op, Device::Gpu).value();
            Ribbon::of(&open.model, &judged.plan, &judged.estimate, &ms)
        });
        // An older judgement may be of another target than the title would name.
        if judged.revision != self.revision {
            return;
        }
        if self.beside == Some(Beside::Map) && !self.find.open {
            let (key, selection) = (self.what_if_key(), &self.selection);
            self.map.update(key, || {
                let ops = selection.ops(&open.model);
                Map::around(&open.model, &judged.plan, &judged.estimate, &ops)
            });
        }
        let key = (
            judged.revision,
            self.kept_changes,
            self.find.changes,
            self.compare.changes,
        );
        self.points.update(key, || {
            Points::of(&PointsInput {
                model: &open.model,
                target: &self.target,
                config: self.doc.config(),
                placement: self.doc.placement(),
                judged,
                kept: &self.kept,
                kept_points: &self.kept_points,
                others: &self.others,
                find: &self.find,
                other: self.compare.other.as_deref(),
            })
        });
    }

    /// Notes a file as recently opened.
    pub fn remember(&mut self, path: &Path) {
        if ModelSource::of(path).file().is_none() {
            return;
        }
        // From another folder a relative path would be another file.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.recent.retain(|p| *p != path);
        self.recent.insert(0, path);
        self.recent.truncate(8);
        self.save_settings();
    }
}
