//! Everything the window can do, as data: menus, buttons, keys and the palette all emit these.

use std::path::PathBuf;

use egui::{Key, KeyboardShortcut, Modifiers};

use crate::chart::View;
use crate::engine::remote::ssh::Host;
use crate::export::Format;
use crate::model::{ModuleId, OpId};
use crate::placement::{Device, EngineConfig, Placement, Precision};
use crate::platform::TensorRt;

use super::state::{State, ThemeChoice};
use crate::gui::actions::open::open_inputs;
use crate::gui::actions::runs::Act;
use crate::gui::actions::search::{Form, GoalKind};
use crate::gui::data::tree_view::Node;

/// How a click changes the selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one only.
    Only,
    /// Adds or takes away (Ctrl).
    Toggle,
    /// Everything from the anchor to here (Shift).
    Range,
}

/// A step of the keyboard cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the key of its name")]
pub enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Close, or go to the parent.
    Left,
    /// Open, or go to the first child.
    Right,
}

/// One thing the window can do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Asks for a model file.
    OpenModel,
    /// Asks for a placement file.
    OpenPlacement,
    /// Opens a model or placement by its path.
    OpenPath(PathBuf),
    /// Asks for the dims of inputs the file leaves open.
    AskInputs,
    /// Reads the open model again with these input dims.
    SetInputs(PathBuf, Vec<(String, Vec<u64>)>),
    /// Asks where to, then writes the file.
    Export(Format),
    /// Writes an export to a path.
    ExportTo(Format, PathBuf),
    /// Copies an export's text to the clipboard.
    CopyExport(Format),

    /// Takes the last change back.
    Undo,
    /// Brings it again.
    Redo,
    /// The other device, then the same said explicitly, then inherit.
    Cycle(Node),
    /// Cycles the selection.
    CycleSelection,
    /// Assigns the selection.
    Assign(Device),
    /// Takes the selection's assignments away.
    Inherit,
    /// Assigns one node, whatever is selected.
    AssignNode(Node, Device),
    /// Takes one node's assignment away.
    InheritNode(Node),
    /// Sets the default device and clears every assignment.
    All(Device),
    /// Changes the default device.
    Default(Device),

    /// Changes the selection.
    Select(Node, Pick),
    /// Selects exactly these ops, by the largest modules that hold them.
    SelectOps(Vec<OpId>),
    /// Moves the cursor; true extends the selection.
    Move(Step, bool),
    /// Selects every row.
    SelectAll,
    /// Selects nothing; with nothing selected, clears the filter.
    Escape,
    /// Opens or closes a module.
    Toggle(ModuleId),
    /// Opens or closes a module and everything below.
    ToggleDeep(ModuleId),
    /// Opens everything.
    ExpandAll,
    /// Closes everything.
    CollapseAll,
    /// Changes the filter.
    Filter(String),
    /// Puts the cursor into the filter box.
    FocusFilter,

    /// Plans for the board that measures.
    TargetHere,
    /// Asks for another machine to measure on.
    AskMeasureOn,
    /// Measures on another machine, over SSH, or on this one.
    MeasureOn(Option<Host>),
    /// Offers a machine no more.
    ForgetHost(Host),
    /// Changes the board, by id.
    Board(&'static str),
    /// Changes the power mode, by name.
    Mode(&'static str),
    /// Changes the TensorRT version.
    TensorRt(TensorRt),
    /// Asks for the calibration cache with the INT8 ranges for measuring.
    AskCalibration,
    /// Takes INT8 ranges from a calibration cache; made up without.
    Calibration(Option<PathBuf>),
    /// Changes the precision flags.
    Precision(Precision),
    /// Changes the batch size.
    Batch(u32),
    /// Changes the DLA core.
    Core(u32),
    /// Allows or forbids fallback to the GPU.
    GpuFallback(bool),

    /// Asks for a name and keeps the placement.
    Keep,
    /// Keeps the placement under a name.
    KeepAs(String),
    /// Loads a placement and its config from the chart, under its name there.
    Load(String, Placement, EngineConfig),
    /// Asks for a new name of a kept placement.
    AskRename(i64),
    /// Renames a kept placement.
    RenameKept(i64, String),
    /// Deletes a kept placement.
    DeleteKept(i64),
    /// Brings a deleted one back.
    RestoreKept(i64),
    /// Shows another chart.
    Chart(View),

    /// Opens or closes the search for the best placement.
    FindBest,
    /// Searches for another goal.
    FindGoal(GoalKind),
    /// Changes what is searched for.
    FindForm(Box<Form>),
    /// Searches again.
    FindAgain,
    /// Ends the search with the best so far.
    FindStop,
    /// Builds and measures the first proposals and the baselines.
    ConfirmFound,
    /// Stops that; what has a figure keeps it.
    CancelConfirm,
    /// Keeps the selection on a device in searches, or no more.
    Pin(Option<Device>),
    /// Keeps one node on a device in searches, or no more.
    PinNode(Node, Option<Device>),
    /// Builds and measures the placement.
    Profile,
    /// Stops the measurement under way.
    CancelProfile,
    /// Shows the runs in place of the chart.
    ShowRuns,
    /// Asks where to, then writes the model's runs as CSV.
    ExportRuns,
    /// Writes the model's runs as CSV to a path.
    ExportRunsTo(PathBuf),
    /// Fits estimates to own runs, or goes back to the shipped ones.
    Learn(bool),
    /// Does something with the runs.
    Runs(Act),

    /// Opens or closes the palette.
    Palette,
    /// Changes the appearance.
    Theme(ThemeChoice),
    /// Shows all messages.
    Messages,
    /// Shows all shortcuts.
    Shortcuts,
    /// Takes a message card away; it stays in the list of messages.
    Dismiss(u64),
    /// Closes the dialog.
    CloseDialog,
    /// Stops waiting for a job.
    CancelJob(u64),
    /// Shows or hides the inspector.
    ToggleInspector,
    /// Ends the program; everything is saved already.
    Quit,
}

const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);
const NONE: Modifiers = Modifiers::NONE;

impl Command {
    /// What menus and the palette call it; "…" where more input follows.
    pub fn text(&self) -> String {
        match self {
            Self::OpenModel => "Open model…".into(),
            Self::OpenPlacement => "Open placement…".into(),
            Self::AskInputs => "Input dims…".into(),
            Self::OpenPath(path) => format!("Open {}", path.display()),
            Self::SetInputs(..) => "Set input dims".into(),
            Self::Export(kind) => format!("Export {}…", kind.title()),
            Self::ExportTo(kind, path) => format!("Export {} to {}", kind.title(), path.display()),
            Self::CopyExport(kind) => format!("Copy {}", kind.title()),
            Self::Undo => "Undo".into(),
            Self::Redo => "Redo".into(),
            Self::Cycle(_) | Self::CycleSelection => "Change device of selection".into(),
            Self::Assign(d) | Self::AssignNode(_, d) => format!("Assign to {d}"),
            Self::Inherit | Self::InheritNode(_) => "Inherit device".into(),
            Self::All(d) => format!("Everything on {d}"),
            Self::Default(d) => format!("Default device {d}"),
            Self::Select(..) | Self::SelectOps(_) => "Select".into(),
            Self::Move(..) => "Move".into(),
            Self::SelectAll => "Select all rows".into(),
            Self::Escape => "Clear selection".into(),
            Self::Toggle(_) => "Open or close".into(),
            Self::ToggleDeep(_) => "Open or close everything below".into(),
            Self::ExpandAll => "Expand all".into(),
            Self::CollapseAll => "Collapse all".into(),
            Self::Filter(text) if text.is_empty() => "Clear filter".into(),
            Self::Filter(text) => format!("Filter {text}"),
            Self::FocusFilter => "Filter the tree…".into(),
            Self::TargetHere => "Plan for the board that measures".into(),
            Self::AskCalibration => "INT8 ranges from a calibration cache…".into(),
            Self::Calibration(None) => "INT8 ranges made up".into(),
            Self::Calibration(Some(path)) => format!("INT8 ranges from {}", path.display()),
            Self::AskMeasureOn => "Measure on another machine…".into(),
            Self::MeasureOn(None) => "Measure on this machine".into(),
            Self::MeasureOn(Some(host)) => format!("Measure on {host}"),
            Self::ForgetHost(host) => format!("Forget {host}"),
            Self::Board(id) => {
                let name = crate::platform::Board::find(id).map_or(*id, |b| b.name);
                format!("Board: {name}")
            }
            Self::Mode(name) => format!("Power mode: {name}"),
            Self::TensorRt(version) => format!("TensorRT {version}"),
            Self::Precision(p) => format!("Precision {p}"),
            Self::Batch(n) => format!("Batch {n}"),
            Self::Core(n) => format!("DLA core {n}"),
            Self::GpuFallback(true) => "Allow GPU fallback".into(),
            Self::GpuFallback(false) => "Strict, no GPU fallback".into(),
            Self::Keep => "Keep placement…".into(),
            Self::KeepAs(name) => format!("Keep as {name}"),
            Self::Load(name, ..) => format!("Load {name}"),
            Self::AskRename(_) => "Rename…".into(),
            Self::RenameKept(_, name) => format!("Rename to {name}"),
            Self::DeleteKept(_) => "Delete".into(),
            Self::RestoreKept(_) => "Bring back".into(),
            Self::Chart(view) => format!("Chart: {}", crate::gui::panels::chart::title(*view)),
            Self::FindBest => "Find best".into(),
            Self::FindGoal(goal) => format!("Find best: {}", goal.text()),
            Self::FindForm(_) => "Change the search".into(),
            Self::FindAgain => "Search again".into(),
            Self::FindStop => "Stop the search".into(),
            Self::ConfirmFound => format!(
                "Confirm the first {} by measuring",
                crate::gui::actions::confirm::TOP
            ),
            Self::CancelConfirm => "Stop confirming".into(),
            Self::Pin(Some(d)) | Self::PinNode(_, Some(d)) => format!("Pin to {d} in searches"),
            Self::Pin(None) | Self::PinNode(_, None) => "Unpin in searches".into(),
            Self::Profile => "Profile".into(),
            Self::CancelProfile => "Cancel the measurement".into(),
            Self::ShowRuns => "Show runs".into(),
            Self::ExportRuns => "Export runs (CSV)…".into(),
            Self::ExportRunsTo(path) => format!("Export runs to {}", path.display()),
            Self::Learn(true) => "Fit estimates to own runs".into(),
            Self::Learn(false) => "Use the shipped estimates".into(),
            Self::Runs(act) => match act {
                Act::Filter(_) => "Filter runs".into(),
                Act::Sort(column) => format!("Sort runs by {}", column.title()),
                Act::Pick(_) => "Load the run's placement".into(),
                Act::Compare(_) => "Compare runs".into(),
                Act::Show(_) => "Show run".into(),
                Act::Clear => "Let the chosen runs go".into(),
                Act::Delete => "Delete the chosen runs".into(),
                Act::Restore(_) => "Bring runs back".into(),
            },
            Self::Palette => "Command palette…".into(),
            Self::Theme(t) => format!("Appearance: {}", t.text()),
            Self::Messages => "Show messages".into(),
            Self::Shortcuts => "Keyboard shortcuts".into(),
            Self::Dismiss(_) => "Dismiss".into(),
            Self::CloseDialog => "Close".into(),
            Self::CancelJob(_) => "Cancel".into(),
            Self::ToggleInspector => "Show or hide the inspector".into(),
            Self::Quit => "Quit".into(),
        }
    }

    /// As [`Self::text`], naming what only the state knows, for lists without anything around.
    pub fn label(&self, state: &State) -> String {
        let name = |id: &i64| {
            let kept = state.kept.iter().find(|k| k.id == *id);
            kept.map_or_else(String::new, |k| k.kept.name.clone())
        };
        match self {
            Self::AskRename(id) => format!("Rename kept placement {}…", name(id)),
            Self::DeleteKept(id) => format!("Delete kept placement {}", name(id)),
            _ => self.text(),
        }
    }

    /// One sentence for a tooltip; empty where the text says it all.
    pub fn tooltip(&self) -> &'static str {
        match self {
            Self::OpenModel => "An ONNX file; weights are never loaded",
            Self::OpenPlacement => "A placement saved by dlaplan",
            Self::AskInputs => "Numbers for the dims the file leaves open",
            Self::Assign(Device::Gpu) => "Selected modules and ops run on the GPU",
            Self::Assign(Device::Dla) => "Selected modules and ops are asked onto the DLA",
            Self::Inherit => "The nearest assigned ancestor decides, else the default",
            Self::CycleSelection => "The other device, then the same explicitly, then inherit",
            Self::Default(_) => "Where everything runs that nothing was said about",
            Self::All(_) => "Clears every assignment",
            Self::GpuFallback(true) => "Ops the DLA refuses run on the GPU",
            Self::GpuFallback(false) => "An op the DLA refuses fails the build",
            Self::Keep => "Adds this placement to the chart and saves it at once",
            Self::Profile => "Builds the placement with TensorRT and measures it",
            Self::ShowRuns => "Everything measured of this model, to sort and compare",
            Self::Learn(true) => "After each run, from three engines on this board on",
            Self::Learn(false) => "Forgets what own runs taught the estimates",
            Self::ExportRuns => "All runs of this model, one line each",
            Self::Core(_) => "One core per engine; applies to all its DLA layers",
            Self::Batch(_) => "Images per inference",
            Self::FindBest => "Searches for the best placement by the estimate",
            Self::FindStop => "What was found so far stays",
            Self::CancelConfirm => "What was measured stays",
            Self::Pin(Some(_)) | Self::PinNode(_, Some(_)) => {
                "Find best leaves it there, whatever else it moves"
            }
            _ => "",
        }
    }

    /// The keys, if it has any.
    pub fn shortcut(&self) -> Option<KeyboardShortcut> {
        let keys = |m, k| Some(KeyboardShortcut::new(m, k));
        match self {
            Self::OpenModel => keys(CTRL, Key::O),
            Self::OpenPlacement => keys(CTRL_SHIFT, Key::O),
            Self::Export(Format::Placement) => keys(CTRL, Key::S),
            Self::Undo => keys(CTRL, Key::Z),
            Self::Redo => keys(CTRL, Key::Y),
            Self::CycleSelection => keys(NONE, Key::Space),
            Self::Assign(Device::Gpu) => keys(NONE, Key::G),
            Self::Assign(Device::Dla) => keys(NONE, Key::D),
            Self::Inherit => keys(NONE, Key::I),
            Self::SelectAll => keys(CTRL, Key::A),
            Self::Escape => keys(NONE, Key::Escape),
            Self::ExpandAll => keys(CTRL_SHIFT, Key::ArrowRight),
            Self::CollapseAll => keys(CTRL_SHIFT, Key::ArrowLeft),
            Self::FocusFilter => keys(CTRL, Key::F),
            Self::Keep => keys(CTRL, Key::K),
            Self::FindBest => keys(CTRL, Key::B),
            Self::Profile => keys(CTRL, Key::R),
            Self::ShowRuns => keys(CTRL_SHIFT, Key::R),
            Self::Palette => keys(CTRL, Key::P),
            Self::Shortcuts => keys(NONE, Key::F1),
            Self::ToggleInspector => keys(CTRL, Key::I),
            Self::Quit => keys(CTRL, Key::Q),
            _ => None,
        }
    }

    /// Every command the palette lists, in the order of use.
    pub fn listed(state: &State) -> Vec<Self> {
        let mut all = vec![
            Self::OpenModel,
            Self::OpenPlacement,
            Self::AskInputs,
            Self::Undo,
            Self::Redo,
            Self::Assign(Device::Gpu),
            Self::Assign(Device::Dla),
            Self::Inherit,
            Self::CycleSelection,
            Self::All(Device::Gpu),
            Self::All(Device::Dla),
            Self::Default(Device::Gpu),
            Self::Default(Device::Dla),
            Self::Keep,
            Self::Profile,
            Self::CancelProfile,
            Self::ShowRuns,
            Self::ExportRuns,
            Self::Learn(true),
            Self::Learn(false),
            Self::Runs(Act::Delete),
        ];
        all.extend(Format::ALL.map(Self::Export));
        all.extend(
            Format::ALL
                .iter()
                .filter(|k| k.is_text())
                .map(|k| Self::CopyExport(*k)),
        );
        all.push(Self::FindBest);
        all.extend(GoalKind::ALL.map(Self::FindGoal));
        all.extend([
            Self::FindAgain,
            Self::FindStop,
            Self::ConfirmFound,
            Self::CancelConfirm,
            Self::Pin(Some(Device::Gpu)),
            Self::Pin(Some(Device::Dla)),
            Self::Pin(None),
        ]);
        all.extend([
            Self::FocusFilter,
            Self::Filter("is:fallback".into()),
            Self::Filter("is:dla".into()),
            Self::Filter("is:explicit".into()),
            Self::Filter(String::new()),
            Self::SelectAll,
            Self::Escape,
            Self::ExpandAll,
            Self::CollapseAll,
        ]);
        all.extend([Self::AskCalibration, Self::Calibration(None)]);
        all.extend([Self::TargetHere, Self::AskMeasureOn, Self::MeasureOn(None)]);
        let hosts = || state.measuring.hosts.iter().cloned();
        all.extend(hosts().map(|h| Self::MeasureOn(Some(h))));
        all.extend(hosts().map(Self::ForgetHost));
        all.extend(crate::platform::boards().iter().map(|b| Self::Board(b.id)));
        all.extend(state.target.board.modes.iter().map(|m| Self::Mode(m.name)));
        all.extend(
            state
                .target
                .board
                .tensorrt
                .iter()
                .map(|t| Self::TensorRt(*t)),
        );
        all.extend(Precision::ALL.map(Self::Precision));
        all.extend((0..state.dla_cores()).map(Self::Core));
        all.extend([Self::GpuFallback(true), Self::GpuFallback(false)]);
        all.extend(crate::gui::panels::chart::VIEWS.map(Self::Chart));
        all.extend(ThemeChoice::ALL.map(Self::Theme));
        all.extend(state.kept.iter().map(|k| Self::AskRename(k.id)));
        all.extend(state.kept.iter().map(|k| Self::DeleteKept(k.id)));
        all.extend([
            Self::ToggleInspector,
            Self::Messages,
            Self::Shortcuts,
            Self::Quit,
        ]);
        all.extend(
            state
                .openable()
                .into_iter()
                .map(|(_, path)| Self::OpenPath(path)),
        );
        all
    }

    /// Why it cannot be done now, if so.
    pub fn unavailable(&self, state: &State) -> Option<String> {
        let need = |ok: bool, why: &str| (!ok).then(|| why.to_owned());
        match self {
            Self::Undo => need(state.doc.undo_label().is_some(), "Nothing to undo"),
            Self::Redo => need(state.doc.redo_label().is_some(), "Nothing to redo"),
            Self::Assign(_) | Self::Inherit | Self::CycleSelection | Self::Pin(_) => need(
                !state.selection.nodes.is_empty(),
                "Select a module or op first",
            ),
            Self::Core(_) => need(state.dla_cores() > 0, "This target has no DLA"),
            Self::FindAgain => need(state.find.open, "Open Find best first"),
            Self::ConfirmFound => state.no_confirm(),
            Self::CancelConfirm => need(
                state.find.confirming.is_some(),
                "Nothing is being confirmed",
            ),
            Self::FindStop => need(state.find.searching(), "No search is under way"),
            Self::Keep
            | Self::KeepAs(_)
            | Self::OpenPlacement
            | Self::AskCalibration
            | Self::FindBest
            | Self::FindGoal(_) => need(state.open.is_some(), "Open a model first"),
            Self::AskInputs => need(
                state
                    .open
                    .as_ref()
                    .is_some_and(|o| !open_inputs(&o.model, false).is_empty()),
                "The file fixes all dims of its inputs",
            ),
            Self::Profile => state.no_profile(),
            Self::CancelProfile => {
                let active = state.measuring.active.as_ref();
                need(active.is_some_and(|a| !a.cancelled), "Nothing is measured")
            }
            Self::ExportRuns | Self::ExportRunsTo(_) => need(
                state.runs.total() > 0,
                "Nothing was measured of this model yet",
            ),
            Self::TargetHere => need(
                state.here().is_some(),
                "The machine that measures is no Jetson that dlaplan knows",
            ),
            Self::AskMeasureOn | Self::MeasureOn(_) | Self::ForgetHost(_) => need(
                state.measuring.active.is_none() && state.find.confirming.is_none(),
                "A measurement is under way",
            ),
            Self::Runs(Act::Delete) => need(!state.runs.chosen.is_empty(), "Choose a run first"),
            Self::Export(kind) | Self::CopyExport(kind) => state.export_unavailable(*kind),
            _ => None,
        }
    }
}
