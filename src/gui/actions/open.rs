//! Taking in what background work brings, and starting it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::export::{Document as Placed, DocumentError};
use crate::files::read_text;
use crate::gui::background::session_file::parse_session;
use crate::gui::command::Command;
use crate::gui::data::open::{file_name, open_inputs};
use crate::gui::data::options::MadeAt;
use crate::gui::data::session::{Session, Settings};
use crate::gui::dialog::{Dialog, Purpose};
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::model::Model;
use crate::placement::{Document, Edit, EngineConfig, Placement, Site};
use crate::platform::Target;
use crate::tasks::open::{Dims, OpenError, open};

/// A dialog that closes faster than this without an answer was never shown.
const NEVER_SHOWN: Duration = Duration::from_millis(200);

impl State {
    /// Reads a model in the background.
    pub(crate) fn load(&mut self, path: PathBuf, inputs: Dims) {
        self.load_at(path, inputs, None);
    }

    /// As [`Self::load`], at the dims a placement file was made at; those given here win.
    pub(crate) fn load_at(&mut self, path: PathBuf, inputs: Dims, made_at: Option<MadeAt>) {
        self.background(
            format!("Reading {}", file_name(&path)),
            true,
            move || {
                let file = made_at.iter().map(|m| (&*m.file, &m.inputs));
                let result = open(&path, &inputs, &file.collect::<Vec<_>>());
                (path, inputs, made_at, result)
            },
            |state, (path, inputs, made_at, result)| match (result, made_at) {
                (Ok((model, inputs)), made_at) => state.model_read(model, path, inputs, made_at),
                (Err(OpenError::Placement(e)), Some(made_at)) => {
                    state.dims_refused(path, inputs, &made_at.file, &e);
                }
                (Err(e), _) => state.not_loaded(&path, &e),
            },
        );
    }

    /// Goes on where a session was.
    pub(crate) fn restore(&mut self, session: Session) {
        match session.target.parse() {
            Ok(target) => self.target = target,
            Err(why) => self.messages.push(Message::info(
                format!("Planned for {} now", self.target),
                &format!("The work was for another target: {why}"),
            )),
        }
        if self.open.is_some()
            && let Err(e) = self.store.put_aside(&session)
        {
            // In place of another model it comes back as work that was put aside.
            log::warn!("{}: {e}", session.title());
        }
        self.calibration = session.calibration;
        self.find.form.pinned = session.pinned;
        self.doc = Document::new(session.placement, session.config);
        self.load(session.model, session.inputs);
    }

    /// Opens a model, a placement or a recovered session by its path.
    pub(crate) fn open_path(&mut self, path: PathBuf) {
        let json = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("json"));
        if !json {
            self.put_aside();
            self.load(path, Dims::new());
            return;
        }
        let title = format!("Reading {}", file_name(&path));
        let file = path.clone();
        self.background(
            title,
            false,
            move || {
                let text = read_text(&file)?;
                let session = parse_session(text.as_bytes());
                Ok((text, session))
            },
            move |state, result: std::io::Result<_>| match result {
                Ok((_, Some(session))) => {
                    state.put_aside();
                    state.restore(session);
                }
                Ok((text, None)) => state.placement_read(&path, Ok(text)),
                Err(e) => state.placement_read(&path, Err(e)),
            },
        );
    }

    /// Asks the desktop for a file, or shows the path field where it has no dialog.
    pub(crate) fn ask_file(&mut self, purpose: Purpose) {
        if !self.picker.available() {
            self.path_field(purpose, "This desktop has no file dialog.");
            return;
        }
        let picker = Arc::clone(&self.picker);
        let folder = self.folder(&purpose);
        let name = self.export_name(&purpose);
        let asked = purpose.clone();
        self.background(
            purpose.title(),
            false,
            move || {
                let begun = Instant::now();
                let path = picker.pick(&asked, folder.as_deref(), &name);
                (path, begun.elapsed())
            },
            move |state, (path, open_for)| match path {
                Some(path) => state.apply(purpose.answer(path)),
                None if open_for < NEVER_SHOWN => {
                    state.path_field(purpose, "The desktop's file dialog did not open.");
                }
                None => {}
            },
        );
    }

    fn path_field(&mut self, purpose: Purpose, note: &str) {
        let folder = self.folder(&purpose).unwrap_or_default();
        let text = folder.join(self.export_name(&purpose));
        self.dialog = Some(Dialog::Path {
            text: text.display().to_string(),
            purpose,
            note: note.to_owned(),
        });
    }

    /// The folder dialogs begin in: that of a model that could not be opened just now, the open
    /// model's, else the working one.
    fn folder(&self, purpose: &Purpose) -> Option<PathBuf> {
        let tried = self.tried.as_deref().filter(|_| !purpose.saves());
        let open = self.open.as_ref().map(|o| &*o.path);
        let parents = [tried, open].into_iter().flatten().filter_map(Path::parent);
        let folder = parents.filter(|p| p.is_dir()).map(Path::to_owned).next();
        folder.or_else(|| std::env::current_dir().ok())
    }

    fn export_name(&self, purpose: &Purpose) -> String {
        let model = self.open.as_ref().map_or("model", |o| &o.model.name);
        match purpose {
            Purpose::Save(kind) => kind.file_name(model),
            Purpose::SaveRuns => format!("{model}.runs.csv"),
            Purpose::SaveTree => format!("{model}.tree.csv"),
            Purpose::OpenModel | Purpose::OpenPlacement | Purpose::Calibration => String::new(),
        }
    }

    fn put_aside(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        if session.is_plain() {
            return;
        }
        if let Err(e) = self.store.put_aside(&session) {
            self.messages.push(Message::error(
                format!("The placement of {} was not put aside", session.title()),
                &e,
                "Export it before you open another model",
            ));
        }
    }

    fn model_read(&mut self, model: Model, path: PathBuf, inputs: Dims, made_at: Option<MadeAt>) {
        self.loaded(model, path, inputs);
        if let Some(made_at) = made_at
            && let Some((placement, config)) = made_at.point
        {
            self.load_point(&file_name(&made_at.file), placement, config);
            self.in_file(self.doc.placement().clone(), self.config().clone());
        }
    }

    /// Says that a file was written, or why not.
    pub(crate) fn saved(&mut self, what: &str, path: &Path, result: Result<(), String>) {
        self.messages.push(match result {
            Ok(()) => Message::info(format!("Exported {what}"), &path.display().to_string()),
            Err(why) => Message::error(
                format!("{what} was not exported"),
                &why,
                "Choose another folder; nothing was overwritten",
            ),
        });
    }

    fn loaded(&mut self, model: Model, path: PathBuf, inputs: Dims) {
        // A model of the user's own ends the tour, which shows another.
        self.leave_tour();
        let same = self.is_open(&model.source.structure_hash);
        let own = EngineConfig::own_batch(&model);
        match &self.open {
            None if self.batch_said => {}
            None => self.doc.adjust(|c| c.batch = own),
            // A batch that was the model's own goes on being it, with other dims.
            Some(open) if same => {
                if self.config().batch == EngineConfig::own_batch(&open.model) {
                    self.doc.adjust(|c| c.batch = own);
                }
            }
            Some(_) => {
                let back = self.store.put_back(&model.source.structure_hash);
                let mut config = self.config().clone();
                config.batch = back.as_ref().map_or(own, |s| s.config.batch);
                let (placement, calibration, pinned) =
                    back.map_or_else(Default::default, |s| (s.placement, s.calibration, s.pinned));
                self.doc = Document::new(placement, config);
                self.calibration = calibration;
                self.find.form.pinned = pinned;
            }
        }
        if let Err(unknown) = self.doc.placement().resolve(&model) {
            self.messages.push(Message::error(
                format!("The placement does not fit {}", model.name),
                &unknown.to_string(),
                "Everything starts on the GPU; the placement file is unchanged",
            ));
            self.reset_placement();
        }
        let fields = open_inputs(&model, true);
        for note in &model.notes {
            log::info!("{}: {}", model.name, note.text);
        }
        self.tried = None;
        self.messages.opened();
        self.remember(&path);
        self.install(model, path.clone(), inputs);
        if self.restoring.take().is_some() {
            self.messages.push(Message::info(
                "Your work was restored".into(),
                "The last session ended unexpectedly; nothing was lost.",
            ));
        }
        if !fields.is_empty() {
            self.dialog = Some(Dialog::Inputs { path, fields });
        } else if matches!(self.dialog, Some(Dialog::Inputs { .. })) {
            self.dialog = None;
        }
    }

    fn not_loaded(&mut self, path: &Path, error: &OpenError) {
        let mut message = Message::error(
            format!("{} cannot be opened", file_name(path)),
            &error.to_string(),
            "",
        );
        if self.open.is_none() {
            // The window must never stay empty; the work that belongs to the file is kept.
            message.remedy =
                "A bundled model is shown instead; your work on this file is kept".into();
            // Of work that a dead window left, its own file is the one to try again.
            let again = self.restoring.take().unwrap_or_else(|| path.to_owned());
            message = message.with_action("Try again", Command::OpenPath(again));
            self.reset_placement();
            let first = crate::gui::data::open::first_model();
            if path != first {
                self.load(first, Dims::new());
            }
        } else {
            message = message.until_opened();
        }
        self.tried = Some(path.to_owned());
        self.messages.push(message);
    }

    /// A placement's dims do not fit the model.
    fn dims_refused(&mut self, path: PathBuf, inputs: Dims, file: &Path, error: &DocumentError) {
        let remedy = if self.open.is_some() {
            "The placement is as it was"
        } else {
            "The model is opened without them"
        };
        self.messages.push(Message::error(
            format!("{} does not fit {}", file_name(file), file_name(&path)),
            &error.to_string(),
            remedy,
        ));
        if self.open.is_none() {
            self.load(path, inputs);
        }
    }

    fn placement_read(&mut self, path: &Path, result: std::io::Result<String>) {
        let parsed = result
            .map_err(|e| format!("{}: {e}", path.display()))
            .and_then(|text| Placed::parse(&text, path).map_err(|e| e.to_string()));
        match parsed {
            Ok(document) => {
                self.remember(path);
                self.open_placement(MadeAt {
                    file: path.to_owned(),
                    inputs: document.inputs,
                    point: Some((document.placement, document.engine)),
                });
            }
            Err(why) => self.messages.push(Message::error(
                format!("{} cannot be opened", file_name(path)),
                &why,
                "The placement is as it was",
            )),
        }
    }

    /// Opens a placement, and the model again where it was made at other dims.
    fn open_placement(&mut self, made_at: MadeAt) {
        let (Some(open), Some((placement, config))) = (&self.open, made_at.point.clone()) else {
            return;
        };
        let name = file_name(&made_at.file);
        let model = Arc::clone(&open.model);
        let holds = |(name, dims): (&String, &Vec<u64>)| {
            let mut tensors = model.inputs.iter().map(|i| model.tensor(i.tensor));
            tensors.any(|t| *t.name == **name && t.shape.as_ref() == Some(dims))
        };
        if made_at.inputs.iter().all(holds) {
            if self.fits(&name, &placement) {
                self.load_point(&name, placement, config);
                self.in_file(self.doc.placement().clone(), self.config().clone());
            }
            return;
        }
        let (path, mut inputs) = (open.path.clone(), open.inputs.clone());
        if self.fits(&name, &placement) {
            inputs.retain(|name, _| !made_at.inputs.contains_key(name));
            self.load_at(path, inputs, Some(made_at));
        }
    }

    /// Whether a placement speaks of this model; if not, it says so.
    pub(crate) fn fits(&mut self, name: &str, placement: &Placement) -> bool {
        let Some(open) = &self.open else { return false };
        let Err(unknown) = placement.resolve(&open.model) else {
            return true;
        };
        self.messages.push(Message::error(
            format!("{name} does not fit {}", open.model.name),
            &unknown.to_string(),
            "The placement is as it was",
        ));
        false
    }

    /// Everything on the GPU, with the engine config in force and nothing to undo.
    fn reset_placement(&mut self) {
        self.doc = Document::new(Placement::default(), self.config().clone());
    }

    /// Makes an edit; the plan follows.
    pub(crate) fn edit(&mut self, edit: &Edit) {
        self.change(|doc| doc.apply(edit));
    }

    /// Asks again for the dims the file leaves open.
    pub(crate) fn ask_inputs(&mut self) {
        let Some(open) = &self.open else { return };
        self.dialog = Some(Dialog::Inputs {
            path: open.path.clone(),
            fields: open_inputs(&open.model, false),
        });
    }

    /// Changes the engine config as one step of undo.
    pub(crate) fn configure(&mut self, what: &'static str, change: impl FnOnce(&mut EngineConfig)) {
        let mut config = self.config().clone();
        change(&mut config);
        self.edit(&Edit::Configure(what, config));
    }

    /// Changes the document; the plan follows where that changed anything.
    pub(crate) fn change(&mut self, step: impl FnOnce(&mut Document) -> bool) {
        let before = self.config().clone();
        // The target may have come from a session.
        self.doc.note_target(&self.target.id());
        if !step(&mut self.doc) {
            return;
        }
        let target = self.doc.target().parse().unwrap_or(self.target);
        let moved = target != self.target;
        self.target = target;
        self.touch(moved || before != *self.config());
        if moved {
            // Figures belong to a board, a power mode and a TensorRT.
            self.list_anew();
        }
    }

    /// Plans for another target as one step of undo. What was `asked` for and is not possible there
    /// is said.
    pub(crate) fn plan_for(&mut self, label: String, asked: &Target, target: Target) {
        let core = self.config().dla_core;
        let config = self.config().clone().on(target.dla_support().cores());
        let mut gone = Vec::new();
        if asked.tensorrt != target.tensorrt {
            let (now, then) = (target.tensorrt, asked.tensorrt);
            gone.push(format!("TensorRT {now} in place of {then}"));
        }
        if asked.mode.name != target.mode.name {
            let (now, then) = (target.mode.name, asked.mode.name);
            gone.push(format!("power mode {now} in place of {then}"));
        }
        if config.dla_core != core {
            gone.push(format!("DLA core {} in place of {core}", config.dla_core));
        }
        if !gone.is_empty() {
            self.messages.push(Message::info(
                format!("{}: {}", target.board.name, gone.join(", ")),
                "What was set before is not possible here. Undo brings it back.",
            ));
        }
        self.edit(&Edit::Target(label, target.id(), config));
    }

    /// Takes assignments away that the model does not know.
    pub(crate) fn drop_unknown(&mut self) {
        let Some(open) = &self.open else { return };
        let unknown: Vec<Site> = self
            .doc
            .placement()
            .overrides
            .keys()
            .filter(|site| match site {
                Site::Module(path) => open.model.modules.find(path).is_none(),
                Site::Op(name) => open.model.find_op(name).is_none(),
            })
            .cloned()
            .collect();
        self.edit(&Edit::Inherit(unknown));
    }

    /// Writes what belongs to the user.
    pub(crate) fn save_settings(&mut self) {
        let settings = Settings {
            theme: self.theme,
            recent: self.recent.clone(),
            shipped_only: self.shipped_only,
            host: self.measuring.host.clone(),
            hosts: self.measuring.hosts.clone(),
            hints_done: self.hints_done.clone(),
        };
        if let Err(e) = self.store.save_settings(&settings) {
            self.messages.push(Message::error(
                "Settings cannot be saved".into(),
                &format!("{}: {e}", self.store.dir().display()),
                "Free space or fix permissions",
            ));
        }
    }

    /// Runs `work` on a thread of its own; `then` takes its result in. False, and a message, where
    /// the system could not start the thread.
    pub(crate) fn background<T: Send + 'static>(
        &mut self,
        title: impl Into<String>,
        visible: bool,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Self, T) + Send + 'static,
    ) -> bool {
        let Err(e) = self.jobs.start(title, visible, work, then) else {
            return true;
        };
        self.messages.push(Message::error(
            "Could not start a background thread".into(),
            &e.to_string(),
            "Close other programs and try again",
        ));
        false
    }
}
