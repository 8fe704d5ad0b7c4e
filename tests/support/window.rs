//! A window without a display, and a desktop without file dialogs.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlaplan::engine::Run;
use dlaplan::gui::{Env, Options, Picker, Purpose, State, Worker, draw, install_theme};
use dlaplan::history::{RunFilter, Store};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use egui_kittest::{Harness, Node};

/// A desktop with or without dialogs; one that has them answers `None` at once.
pub struct NoDialogs {
    pub available: bool,
}

impl Picker for NoDialogs {
    fn available(&self) -> bool {
        self.available
    }

    fn pick(&self, _: &Purpose, _: Option<&Path>, _: &str) -> Option<PathBuf> {
        None
    }
}

pub struct Window<'a> {
    harness: Harness<'a, State>,
    pub data: Arc<tempfile::TempDir>,
}

/// A first run: the bundled ResNet-18 on Xavier NX.
pub fn window() -> Window<'static> {
    open(Options::default(), Arc::new(tempfile::tempdir().unwrap()))
}

/// A window on the data folder of an earlier one.
pub fn again(data: &Arc<tempfile::TempDir>) -> Window<'static> {
    open(Options::default(), Arc::clone(data))
}

/// Two windows on one data folder, each with work of its own: layer1 and layer2 on the DLA.
pub fn two_windows() -> (Arc<tempfile::TempDir>, Window<'static>, Window<'static>) {
    let mut first = window();
    let data = Arc::clone(&first.data);
    let mut second = again(&data);
    first.click("GPU layer1");
    second.click("GPU layer2");
    (data, first, second)
}

pub fn open(options: Options, data: Arc<tempfile::TempDir>) -> Window<'static> {
    open_on(options, data, NoDialogs { available: false })
}

pub fn open_on(
    options: Options,
    data: Arc<tempfile::TempDir>,
    picker: NoDialogs,
) -> Window<'static> {
    open_with(options, data, picker, None)
}

/// A window that measures with a worker.
pub fn open_with(
    options: Options,
    data: Arc<tempfile::TempDir>,
    picker: NoDialogs,
    worker: Option<Worker>,
) -> Window<'static> {
    let state = State::new(
        options,
        Env {
            data_dir: data.path().to_owned(),
            wake: Arc::new(|| {}),
            picker: Arc::new(picker),
            patience: Duration::from_secs(30),
            worker,
        },
    );
    let harness = Harness::builder()
        .with_size([1280.0, 900.0])
        .with_max_steps(16)
        .with_context_setup(|ctx| install_theme(ctx, false))
        .build_ui_state(draw, state);
    let mut window = Window { harness, data };
    window.settle();
    window
}

impl<'a> Deref for Window<'a> {
    type Target = Harness<'a, State>;

    fn deref(&self) -> &Self::Target {
        &self.harness
    }
}

impl DerefMut for Window<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.harness
    }
}

impl Window<'_> {
    /// Runs until background work and the plan are in.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            // A spinner keeps repainting: single steps while there is work.
            self.harness.run_steps(2);
            let state = self.harness.state();
            let busy = !state.jobs.running().is_empty() || state.fresh().is_none();
            if !busy {
                break;
            }
            assert!(Instant::now() < deadline, "background work takes too long");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.harness.run();
    }

    /// Clicks a button by its label.
    pub fn click(&mut self, label: &str) {
        self.harness
            .get_by_role_and_label(Role::Button, label)
            .click();
        self.settle();
    }

    /// Clicks a row of the tree.
    pub fn row(&mut self, label: &str) {
        self.row_with(label, Modifiers::NONE);
    }

    pub fn row_with(&mut self, label: &str, modifiers: Modifiers) {
        self.harness
            .get_by_role_and_label(Role::TreeItem, label)
            .click_modifiers(modifiers);
        self.settle();
    }

    pub fn key(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.settle();
    }

    pub fn type_into(&mut self, label: &str, text: &str) {
        let field = self.harness.get_by_role_and_label(Role::TextInput, label);
        field.focus();
        self.harness.run();
        self.harness
            .get_by_role_and_label(Role::TextInput, label)
            .type_text(text);
        self.settle();
    }

    /// Replaces the filter.
    pub fn filter(&mut self, text: &str) {
        self.key(Modifiers::COMMAND, Key::F);
        self.key(Modifiers::COMMAND, Key::A);
        self.key(Modifiers::NONE, Key::Delete);
        if !text.is_empty() {
            self.type_into("Filter", text);
        }
        self.key(Modifiers::NONE, Key::Tab);
    }

    pub fn repaint_delay(&self) -> Duration {
        self.harness
            .output()
            .viewport_output
            .get(&egui::ViewportId::ROOT)
            .map_or(Duration::ZERO, |o| o.repaint_delay)
    }
}

/// A node's label; of a text its value.
pub fn text_of(node: &Node<'_>) -> String {
    let node = node.accesskit_node();
    node.label().or(node.value()).unwrap_or_default()
}

/// Every run in the history, oldest first.
pub fn stored(data: &tempfile::TempDir) -> Vec<Run> {
    let mut store = Store::open(&data.path().join("history.sqlite")).unwrap();
    let all = RunFilter {
        details: true,
        ..RunFilter::default()
    };
    let runs = store.runs(&all).unwrap();
    runs.into_iter().map(|r| r.run).collect()
}
