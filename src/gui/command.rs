//! Everything the window can do, as data: menus, buttons, keys and the palette all emit these.

use std::borrow::Cow;
use std::path::PathBuf;

use egui::{Key, KeyboardShortcut, Modifiers};

use crate::chart::View;
use crate::engine::BoardSettings;
use crate::engine::remote::ssh::Host;
use crate::export::Format;
use crate::gui::data::compare::{Other, Over};
use crate::gui::data::confirming::TOP;
use crate::gui::data::judgement::Company;
use crate::gui::data::looks::{Hint, Pane, ThemeChoice};
use crate::gui::data::runs::Column;
use crate::gui::data::search::{Form, GoalKind};
use crate::gui::data::tour::Turn;
use crate::gui::data::tree_index::{Node, Sort};
use crate::model::{ModuleId, OpId};
use crate::placement::{Device, EngineConfig, IoFormats, Placement, Precision};
use crate::platform::{Target, TensorRt};

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
#[derive(Clone, Debug, PartialEq, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(CommandKind),
    derive(strum::VariantArray, PartialOrd, Ord),
    doc = "A command without what it is about."
)]
pub enum Command {
    /// Asks for a model file.
    OpenModel,
    /// Asks for a placement file.
    OpenPlacement,
    /// Opens a model or placement by its path.
    OpenPath(PathBuf),
    /// Reads the open model's file again.
    Reload,
    /// Asks for the dims of inputs the file leaves open.
    AskInputs,
    /// Reads the open model again with these input dims.
    SetInputs(PathBuf, Vec<(String, Vec<u64>)>),
    /// Asks where to, then writes the file.
    Export(Format),
    /// Writes an export to a path.
    ExportTo(Format, PathBuf),
    /// Copies an export to the clipboard: the chart as a picture, all else as text.
    CopyExport(Format),
    /// Copies the selected rows of the tree with their times.
    CopyRows,
    /// Asks where to, then writes the rows of the tree as CSV.
    ExportTree,
    /// Writes the rows of the tree as CSV to a path.
    ExportTreeTo(PathBuf),

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
    /// Measures many placements in one go.
    Sweep(SweepOf),
    /// Copies the table of the last sweep.
    CopySweep,
    /// Measures the machine with small networks and fits its estimates to them.
    Survey,
    /// Measures on another machine, over SSH, or on this one.
    MeasureOn(Option<Host>),
    /// Asks for power mode and clocks while measuring.
    AskBoardSettings,
    /// Sets power mode and clocks while measuring.
    BoardSettings(BoardSettings),
    /// Offers a machine no more.
    ForgetHost(Host),
    /// Says what another machine is and lacks to measure.
    CheckHost(Host),
    /// Takes another machine's key, by the fingerprint that was shown.
    AcceptKey(Host, String),
    /// Puts dlaplan on another machine.
    DeployTo(Host),
    /// Removes dlaplan and its caches from another machine.
    RemoveFrom(Host),
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
    /// Changes type and layout of the engine's inputs and outputs.
    IoFormats(IoFormats),

    /// Asks for a name and keeps the placement.
    Keep,
    /// Keeps the placement under a name.
    KeepAs(String),
    /// Loads a placement and its config from the chart, under its name there.
    Load(String, Placement, EngineConfig),
    /// Loads a placement with its config and the target it was found for, under a name.
    LoadFor(String, Placement, EngineConfig, Target),
    /// Asks for a new name of a kept placement.
    AskRename(i64),
    /// Renames a kept placement.
    RenameKept(i64, String),
    /// Asks for the note on a kept placement.
    AskNote(i64),
    /// Writes the note on a kept placement.
    NoteKept(i64, String),
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
    /// Says which dlaplan this is and where it keeps its files.
    About,
    /// Takes a message card away; it stays in the list of messages.
    Dismiss(u64),
    /// Takes all message cards away.
    DismissAll,
    /// Closes the dialog.
    CloseDialog,
    /// Stops waiting for a job.
    CancelJob(u64),
    /// Shows or hides the inspector.
    ToggleInspector,
    /// Shows or hides where the time goes.
    ShowTime,
    /// Shows or hides the comparison.
    ShowCompare,
    /// Shows or hides the network around the selection.
    ShowMap,
    /// The chart fills the window, or no more.
    FullChart,
    /// Begins the guided tour, turns its pages, or leaves it.
    Tour(Turn),
    /// Closes a hint for good.
    CloseHint(Hint),
    /// Explains the field's words.
    Glossary,
    /// Compares the placement on screen with another one, or no more.
    CompareWith(Option<Other>),
    /// Estimates the placement on screen for other targets.
    CompareOver(Over),
    /// Copies the table of targets.
    CopyTargets,
    /// Explains the time beside another engine, or alone.
    Beside(Option<Company>),
    /// Sorts the tree; the same again goes back to the order of execution.
    Sort(Sort),
    /// Shows a panel where there is no room for all.
    Pane(Pane),
    /// Gives the keyboard to a panel.
    FocusPane(Pane),
    /// Ends the program; everything is saved already.
    Quit,
}

const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);
const ALT: Modifiers = Modifiers::ALT;
const NONE: Modifiers = Modifiers::NONE;

/// What a command is called, explained with and reached by.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What menus and the palette call it; "…" where more input follows.
    pub text: Cow<'static, str>,
    /// One sentence for a tooltip; empty where the text says it all.
    pub tooltip: &'static str,
    /// The keys, if it has any.
    pub shortcut: Option<KeyboardShortcut>,
}

fn named(text: impl Into<Cow<'static, str>>) -> Spec {
    Spec {
        text: text.into(),
        tooltip: "",
        shortcut: None,
    }
}

impl Spec {
    fn tip(self, tooltip: &'static str) -> Self {
        Self { tooltip, ..self }
    }

    fn keys(self, modifiers: Modifiers, key: Key) -> Self {
        Self {
            shortcut: Some(KeyboardShortcut::new(modifiers, key)),
            ..self
        }
    }
}

impl Command {
    /// What menus and the palette call it; "…" where more input follows.
    pub fn text(&self) -> String {
        self.spec().text.into_owned()
    }

    /// One sentence for a tooltip; empty where the text says it all.
    pub fn tooltip(&self) -> &'static str {
        self.spec().tooltip
    }

    /// The keys, if it has any.
    pub fn shortcut(&self) -> Option<KeyboardShortcut> {
        self.spec().shortcut
    }

    /// The one place that names a command and its shortcut. A new command gets its line here, one
    /// in `State::apply` and one in `State::unavailable`; the compiler asks for all three. It does
    /// not ask for the fourth: `State::listed` makes the palette show it and the keyboard read it.
    pub fn spec(&self) -> Spec {
        match self {
            Self::OpenModel => named("Open model…")
                .tip("An ONNX file; weights are never loaded")
                .keys(CTRL, Key::O),
            Self::OpenPlacement => named("Open placement…")
                .tip("A placement saved by dlaplan")
                .keys(CTRL_SHIFT, Key::O),
            Self::AskInputs => {
                named("Input dims…").tip("Numbers for the dims the file leaves open")
            }
            Self::Reload => named("Read the model again").tip("The placement stays where it fits"),
            Self::OpenPath(path) => named(format!("Open {}", path.display())),
            Self::SetInputs(..) => named("Set input dims"),
            Self::Export(Format::Placement) => {
                named(export_text(Format::Placement)).keys(CTRL, Key::S)
            }
            Self::Export(kind) => named(export_text(*kind)),
            Self::ExportTo(kind, path) => {
                named(format!("Export {} to {}", kind.title(), path.display()))
            }
            Self::CopyRows => named("Copy the selected rows")
                .tip("Devices and times, as a table that spreadsheets take"),
            Self::ExportTree => {
                named("Export tree (CSV)…").tip("The rows of the tree as it is filtered and sorted")
            }
            Self::ExportTreeTo(path) => named(format!("Export tree to {}", path.display())),
            Self::CopyExport(kind) => named(format!("Copy {}", kind.title())),

            Self::Undo => named("Undo").keys(CTRL, Key::Z),
            Self::Redo => named("Redo").keys(CTRL, Key::Y),
            Self::Cycle(_) => named("Change device of selection"),
            Self::CycleSelection => named("Change device of selection")
                .tip("The other device, then the same explicitly, then inherit")
                .keys(NONE, Key::Space),
            Self::Assign(Device::Gpu) => named("Assign to GPU")
                .tip("Selected modules and ops run on the GPU")
                .keys(NONE, Key::G),
            Self::Assign(Device::Dla) => named("Assign to DLA")
                .tip("Selected modules and ops are asked onto the DLA")
                .keys(NONE, Key::D),
            Self::AssignNode(_, device) => named(format!("Assign to {device}")),
            Self::Inherit => named("Inherit device")
                .tip("The nearest assigned ancestor decides, else the default")
                .keys(NONE, Key::I),
            Self::InheritNode(_) => named("Inherit device"),
            Self::All(device) => {
                named(format!("Everything on {device}")).tip("Clears every assignment")
            }
            Self::Default(device) => named(format!("Default device {device}"))
                .tip("Default device for modules without their own setting"),

            Self::Select(..) | Self::SelectOps(_) => named("Select"),
            Self::Move(..) => named("Move"),
            Self::SelectAll => named("Select all rows").keys(CTRL, Key::A),
            Self::Escape => named("Clear selection").keys(NONE, Key::Escape),
            Self::Toggle(_) => named("Open or close"),
            Self::ToggleDeep(_) => named("Open or close everything below"),
            Self::ExpandAll => named("Expand all").keys(CTRL_SHIFT, Key::ArrowRight),
            Self::CollapseAll => named("Collapse all").keys(CTRL_SHIFT, Key::ArrowLeft),
            Self::Filter(text) if text.is_empty() => named("Clear filter"),
            Self::Filter(text) => named(format!("Filter {text}")),
            Self::FocusFilter => named("Filter the tree…").keys(CTRL, Key::F),

            Self::TargetHere => named("Plan for the board that measures"),
            Self::AskCalibration => named("INT8 ranges from a calibration cache…"),
            Self::Calibration(None) => named("INT8 ranges made up"),
            Self::Calibration(Some(path)) => named(format!("INT8 ranges from {}", path.display())),
            Self::AskMeasureOn => named("Measure on another machine…"),
            Self::Sweep(SweepOf::Kept) => named("Measure all kept placements")
                .tip("Builds and measures each; figures that the history has are taken from there"),
            Self::Sweep(SweepOf::Preset) => named("Measure the DLA benchmark")
                .tip("The 16 configurations of torch2trt's benchmark_dla.py for this model"),
            Self::CopySweep => named("Copy the table of the last sweep").tip("As Markdown"),
            Self::Survey => named("Survey the machine").tip(
                "Measures small networks for ten minutes at most, then fits the estimates to them",
            ),
            Self::MeasureOn(None) => named("Measure on this machine"),
            Self::MeasureOn(Some(host)) => named(format!("Measure on {host}")),
            Self::AskBoardSettings => named("Power mode and clocks while measuring…").tip(
                "Set with nvpmodel and jetson_clocks for the measurement, and put back after it",
            ),
            Self::BoardSettings(settings) if settings.is_none() => {
                named("Measure with power mode and clocks as they are")
            }
            Self::BoardSettings(settings) => {
                named(format!("Measure after {}", settings.commands()))
            }
            Self::ForgetHost(host) => named(format!("Forget {host}")),
            Self::CheckHost(host) => named(format!("Check {host}")),
            Self::AcceptKey(..) => named("Accept this key"),
            Self::DeployTo(host) => named(format!("Put dlaplan on {host}")),
            Self::RemoveFrom(host) => named(format!("Remove dlaplan from {host}")),
            Self::Board(id) => {
                let name = crate::platform::Board::find(id).map_or(*id, |b| b.name);
                named(format!("Board: {name}"))
            }
            Self::Mode(name) => named(format!("Power mode: {name}")),
            Self::TensorRt(version) => named(format!("TensorRT {version}")),
            Self::Precision(precision) => named(format!("Precision {precision}")),
            Self::Batch(n) => named(format!("Batch {n}")).tip("Images per inference"),
            Self::Core(n) => named(format!("DLA core {n}"))
                .tip("One core per engine; applies to all its DLA layers"),
            Self::GpuFallback(true) => {
                named("Allow GPU fallback").tip("Ops the DLA refuses run on the GPU")
            }
            Self::GpuFallback(false) => {
                named("Strict, no GPU fallback").tip("An op the DLA refuses fails the build")
            }
            Self::IoFormats(formats) => named(format!("I/O formats {formats}"))
                .tip("Type and layout of the engine's inputs and outputs"),

            Self::Keep => named("Keep placement…")
                .tip("Adds this placement to the chart and saves it at once")
                .keys(CTRL, Key::K),
            Self::KeepAs(name) => named(format!("Keep as {name}")),
            Self::Load(name, ..) | Self::LoadFor(name, ..) => named(format!("Load {name}")),
            Self::AskRename(_) => named("Rename…"),
            Self::AskNote(_) => named("Note…"),
            Self::NoteKept(..) => named("Write the note"),
            Self::RenameKept(_, name) => named(format!("Rename to {name}")),
            Self::DeleteKept(_) => named("Delete"),
            Self::RestoreKept(_) => named("Bring back"),
            Self::Chart(view) => named(format!("Chart: {}", view.title())),

            Self::FindBest => named("Find best")
                .tip("Searches for the best placement by the estimate")
                .keys(CTRL, Key::B),
            Self::FindGoal(goal) => named(format!("Find best: {}", goal.text())),
            Self::FindForm(_) => named("Change the search"),
            Self::FindAgain => named("Search again"),
            Self::FindStop => named("Stop the search").tip("What was found so far stays"),
            Self::ConfirmFound => named(format!("Confirm the first {TOP} by measuring")),
            Self::CancelConfirm => named("Stop confirming").tip("What was measured stays"),
            Self::Pin(Some(device)) | Self::PinNode(_, Some(device)) => {
                named(format!("Pin to {device} in searches"))
                    .tip("Find best leaves it there, whatever else it moves")
            }
            Self::Pin(None) | Self::PinNode(_, None) => named("Unpin in searches"),

            Self::Profile => named("Profile")
                .tip("Builds the placement with TensorRT and measures it")
                .keys(CTRL, Key::R),
            Self::CancelProfile => named("Cancel the measurement"),
            Self::ShowRuns => named("Show runs")
                .tip("Everything measured of this model, to sort and compare")
                .keys(CTRL_SHIFT, Key::R),
            Self::ExportRuns => {
                named("Export runs (CSV)…").tip("All runs of this model, one line each")
            }
            Self::ExportRunsTo(path) => named(format!("Export runs to {}", path.display())),
            Self::Learn(true) => named("Fit estimates to own runs")
                .tip("After each run, from three engines on this board on"),
            Self::Learn(false) => {
                named("Use the shipped estimates").tip("Forgets what own runs taught the estimates")
            }
            Self::Runs(act) => match act {
                Act::Filter(_) => named("Filter runs"),
                Act::Sort(column) => named(format!("Sort runs by {}", column.title())),
                Act::Pick(_) => named("Load the run's placement"),
                Act::Compare(_) => named("Compare runs"),
                Act::Show(_) => named("Show run"),
                Act::Clear => named("Clear selection"),
                Act::Copy => named("Copy the figures of the chosen runs").tip("As CSV"),
                Act::Delete => named("Delete the chosen runs"),
                Act::Restore(_) => named("Bring runs back"),
            },

            Self::Palette => named("Command palette…").keys(CTRL, Key::P),
            Self::Theme(theme) => named(format!("Appearance: {}", theme.text())),
            Self::Messages => named("Show messages"),
            Self::Shortcuts => named("Keyboard shortcuts").keys(NONE, Key::F1),
            Self::About => named("About dlaplan").tip("Version, licence, and where files are kept"),
            Self::Dismiss(_) => named("Dismiss"),
            Self::DismissAll => named("Close all messages"),
            Self::CloseDialog => named("Close"),
            Self::CancelJob(_) => named("Cancel"),
            Self::Pane(_) => named("Show panel"),
            Self::FocusPane(_) => named("Keyboard to panel"),
            Self::ToggleInspector => named("Show or hide the inspector").keys(CTRL, Key::I),
            Self::ShowTime => named("Where the time goes")
                .tip("The steps from all on the GPU to this placement, and the slowest kernels")
                .keys(CTRL, Key::T),
            Self::ShowCompare => named("Compare placements")
                .tip("This placement beside another one, and on other boards")
                .keys(CTRL, Key::D),
            Self::ShowMap => named("Map around the selection")
                .tip("The ops around it, and which tensors cross between GPU and DLA there")
                .keys(CTRL, Key::M),
            Self::FullChart => named("Full-screen chart")
                .tip("The chart fills the screen; again, or Escape, brings the rest back")
                .keys(NONE, Key::F11),
            Self::Tour(Turn::Start) => named("Guided tour")
                .tip("ResNet-18 on GPU and DLA in a few steps; your work is put back after it"),
            Self::Tour(Turn::Next) => named("Next step of the tour").keys(ALT, Key::ArrowRight),
            Self::Tour(Turn::Back) => named("Step back in the tour").keys(ALT, Key::ArrowLeft),
            Self::Tour(Turn::Leave) => named("Leave the tour").tip("Your own work is put back"),
            Self::CloseHint(_) => named("Got it"),
            Self::Glossary => named("Glossary").tip("DLA, loadable, transition and other words"),
            Self::CompareWith(None) => named("Compare with nothing"),
            Self::CompareWith(Some(Other::Now)) => {
                named("Compare with this placement as it is now")
                    .tip("Remembers it while you change it")
            }
            Self::CompareWith(Some(Other::All(device))) => {
                named(format!("Compare with all {device}"))
            }
            Self::CompareWith(Some(Other::Kept(_))) => named("Compare with a kept placement"),
            Self::CompareWith(Some(Other::Run(_))) => named("Compare with a run's placement"),
            Self::CompareOver(Over::Boards) => named("Compare on all boards")
                .tip("Estimates this placement for every board, in its first power mode"),
            Self::CompareOver(Over::Modes) => named("Compare in all power modes")
                .tip("Estimates this placement for every power mode of this board"),
            Self::CopyTargets => named("Copy the table of targets").tip("As CSV"),
            Self::Beside(None) => named("Time of this engine alone"),
            Self::Beside(Some(company)) => named(format!("Time beside {}", company.text())),
            Self::Sort(sort) => {
                let spec = named(format!("Sort the tree by {}", sort.text()));
                match sort {
                    Sort::Execution => spec,
                    Sort::Gpu => spec.tip("Slowest on the GPU first, below each module"),
                    Sort::Dla => spec.tip("Slowest on the DLA first, below each module"),
                    Sort::Gain => spec.tip("What the DLA would save: GPU ms less DLA ms"),
                    Sort::Delta => spec.tip("What costs more than in the other placement first"),
                }
            }
            Self::Quit => named("Quit").keys(CTRL, Key::Q),
        }
    }
}

fn export_text(format: Format) -> String {
    format!("Export {}…", format.title())
}

/// What the user does to the table.
#[derive(Clone, Debug, PartialEq, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(ActKind),
    derive(strum::VariantArray, PartialOrd, Ord),
    doc = "An act without what it is about."
)]
pub enum Act {
    /// Shows only runs with these words.
    Filter(String),
    /// Sorts by a column; the other way round when it is the one already.
    Sort(Column),
    /// Chooses a run and loads its placement.
    Pick(i64),
    /// Chooses a second run to compare with, or lets it go.
    Compare(i64),
    /// Chooses a run and shows the table.
    Show(i64),
    /// Lets the choice go.
    Clear,
    /// Copies the figures of the chosen runs, as CSV.
    Copy,
    /// Deletes the chosen runs.
    Delete,
    /// Brings deleted ones back.
    Restore(Vec<i64>),
}

/// What a sweep measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepOf {
    /// The kept placements of the model.
    Kept,
    /// The configurations of torch2trt's benchmark.
    Preset,
}
