//! Which commands there are now, and why one cannot be done.

use crate::chart::View;
use crate::engine::BoardSettings;
use crate::export::Format;
use crate::gui::actions::compare::DIFFERENCES;
use crate::gui::command::{Act, Command, SweepOf};
use crate::gui::data::compare::{Other, Over};
use crate::gui::data::judgement::Company;
use crate::gui::data::looks::ThemeChoice;
use crate::gui::data::open::open_inputs;
use crate::gui::data::search::GoalKind;
use crate::gui::data::tour::Turn;
use crate::gui::data::tree_index::Sort;
use crate::gui::state::State;
use crate::placement::{Device, IoFormat, IoFormats, Precision};

impl State {
    /// A command's text, naming what only the state knows, for lists without anything around.
    pub fn label(&self, command: &Command) -> String {
        let name = |id: &i64| {
            let kept = self.kept.iter().find(|k| k.id == *id);
            kept.map_or_else(String::new, |k| k.kept.name.clone())
        };
        match command {
            Command::AskRename(id) => format!("Rename kept placement {}…", name(id)),
            Command::AskNote(id) => format!("Note on kept placement {}…", name(id)),
            Command::DeleteKept(id) => format!("Delete kept placement {}", name(id)),
            Command::CompareWith(Some(Other::Kept(id))) => format!("Compare with {}", name(id)),
            Command::CompareOver(_) => format!("This placement {}", lower(&command.text())),
            _ => command.text(),
        }
    }

    /// Formats that this engine's outputs or inputs can have, and the one they have.
    pub(crate) fn io_choices(&self, outputs: bool) -> impl Iterator<Item = IoFormat> {
        let config = self.config();
        let (precision, dla) = (config.precision, self.dla_cores() > 0);
        let now = if outputs {
            config.io.output
        } else {
            config.io.input
        };
        // Types come from the file there.
        let fixed = self.target.tensorrt.strongly_typed();
        IoFormat::ALL.iter().copied().filter(move |f| {
            let formats = IoFormats {
                input: if outputs { IoFormat::default() } else { *f },
                output: if outputs { *f } else { IoFormat::default() },
            };
            let taken = formats.refusal(precision).is_none() && (dla || !f.only_for_dla());
            *f == now || f.is_default() || (taken && !fixed)
        })
    }

    /// Every command the palette lists, in the order of use.
    pub fn listed(&self) -> Vec<Command> {
        let mut all = vec![
            Command::OpenModel,
            Command::OpenPlacement,
            Command::Reload,
            Command::AskInputs,
            Command::Undo,
            Command::Redo,
            Command::Assign(Device::Gpu),
            Command::Assign(Device::Dla),
            Command::Inherit,
            Command::CycleSelection,
            Command::All(Device::Gpu),
            Command::All(Device::Dla),
            Command::Default(Device::Gpu),
            Command::Default(Device::Dla),
            Command::Keep,
            Command::Profile,
            Command::CancelProfile,
            Command::ShowRuns,
            Command::ExportRuns,
            Command::Learn(true),
            Command::Learn(false),
            Command::Runs(Act::Copy),
            Command::Runs(Act::Delete),
        ];
        all.extend(Format::all().map(Command::Export));
        all.extend(Format::all().map(Command::CopyExport));
        all.extend([Command::CopyRows, Command::ExportTree]);
        all.push(Command::FindBest);
        all.extend(GoalKind::ALL.iter().copied().map(Command::FindGoal));
        all.extend([
            Command::FindAgain,
            Command::FindStop,
            Command::ConfirmFound,
            Command::CancelConfirm,
            Command::Pin(Some(Device::Gpu)),
            Command::Pin(Some(Device::Dla)),
            Command::Pin(None),
        ]);
        all.extend([
            Command::FocusFilter,
            Command::Filter("is:fallback".into()),
            Command::Filter("is:dla".into()),
            Command::Filter("is:explicit".into()),
            Command::Filter(String::new()),
            Command::SelectAll,
            Command::Escape,
            Command::ExpandAll,
            Command::CollapseAll,
        ]);
        all.extend([Command::AskCalibration, Command::Calibration(None)]);
        all.extend([
            Command::TargetHere,
            Command::AskMeasureOn,
            Command::Sweep(SweepOf::Kept),
            Command::Sweep(SweepOf::Preset),
            Command::CopySweep,
            Command::Survey,
            Command::MeasureOn(None),
            Command::AskBoardSettings,
            Command::BoardSettings(BoardSettings::default()),
        ]);
        let hosts = || self.measuring.hosts.iter().cloned();
        all.extend(hosts().map(|h| Command::MeasureOn(Some(h))));
        all.extend(hosts().map(Command::ForgetHost));
        all.extend(hosts().map(Command::CheckHost));
        all.extend(hosts().map(Command::DeployTo));
        all.extend(hosts().map(Command::RemoveFrom));
        all.extend(
            crate::platform::boards()
                .iter()
                .map(|b| Command::Board(b.id)),
        );
        all.extend(
            self.target
                .board
                .modes
                .iter()
                .map(|m| Command::Mode(m.name)),
        );
        all.extend(
            self.target
                .board
                .tensorrt
                .iter()
                .map(|t| Command::TensorRt(*t)),
        );
        all.extend(Precision::ALL.map(Command::Precision));
        all.extend((0..self.dla_cores()).map(Command::Core));
        all.extend([Command::GpuFallback(true), Command::GpuFallback(false)]);
        all.extend(self.io_choices(true).map(|format| {
            Command::IoFormats(IoFormats {
                input: format,
                output: format,
            })
        }));
        all.extend(View::ALL.iter().copied().map(Command::Chart));
        all.extend(ThemeChoice::ALL.map(Command::Theme));
        all.extend(self.kept.iter().map(|k| Command::AskRename(k.id)));
        all.extend(self.kept.iter().map(|k| Command::AskNote(k.id)));
        all.extend(self.kept.iter().map(|k| Command::DeleteKept(k.id)));
        all.extend([
            Command::ShowTime,
            Command::ShowCompare,
            Command::ShowMap,
            Command::FullChart,
            Command::CompareWith(None),
        ]);
        all.extend(self.others());
        all.extend([Over::Boards, Over::Modes].map(Command::CompareOver));
        all.push(Command::CopyTargets);
        all.extend([None, Some(Company::Gpu)].map(Command::Beside));
        let cores = (0..self.dla_cores()).map(Company::Dla);
        all.extend(cores.map(|c| Command::Beside(Some(c))));
        all.extend(Sort::ALL.iter().copied().map(Command::Sort));
        all.extend([
            Command::Filter(DIFFERENCES.into()),
            Command::ToggleInspector,
            Command::Messages,
            Command::DismissAll,
            Command::Tour(Turn::Start),
            Command::Tour(Turn::Next),
            Command::Tour(Turn::Back),
            Command::Tour(Turn::Leave),
            Command::Glossary,
            Command::Shortcuts,
            Command::About,
            Command::Quit,
        ]);
        all.extend(
            self.openable()
                .into_iter()
                .map(|(_, path)| Command::OpenPath(path)),
        );
        all
    }

    /// Why a command cannot be done now, if so.
    pub fn unavailable(&self, command: &Command) -> Option<String> {
        let need = |ok: bool, why: &str| (!ok).then(|| why.to_owned());
        match command {
            Command::Undo => need(self.doc.undo_label().is_some(), "Nothing to undo"),
            Command::Redo => need(self.doc.redo_label().is_some(), "Nothing to redo"),
            Command::Assign(_) | Command::Inherit | Command::CycleSelection | Command::Pin(_) => {
                need(
                    !self.selection.nodes.is_empty(),
                    "Select a module or op first",
                )
            }
            Command::CopyRows => need(
                !self.selection.nodes.is_empty(),
                "Select a module or op first",
            ),
            Command::Tour(Turn::Back) => need(
                self.tour.as_ref().is_some_and(|t| t.at > 0),
                "Begin the guided tour first",
            ),
            Command::Tour(Turn::Next | Turn::Leave) => {
                need(self.tour.is_some(), "Begin the guided tour first")
            }
            Command::Core(_) => need(self.dla_cores() > 0, "This target has no DLA"),
            Command::CompareWith(None) => need(self.compare.with.is_some(), "Nothing is compared"),
            Command::Sort(Sort::Delta) => need(
                self.compare.with.is_some(),
                "Compare with another placement first",
            ),
            Command::CopyTargets => need(
                self.compare.targets.is_some(),
                "Compare over boards or power modes first",
            ),
            Command::Filter(text) if text == DIFFERENCES => need(
                self.compare.with.is_some(),
                "Compare with another placement first",
            ),
            Command::Beside(Some(Company::Dla(core))) => need(
                *core < self.dla_cores(),
                "This target does not have that DLA core",
            ),
            Command::FindAgain => need(self.find.open, "Open Find best first"),
            Command::ConfirmFound => self.no_confirm(),
            Command::CancelConfirm => {
                need(self.find.confirming.is_some(), "Nothing is being confirmed")
            }
            Command::FindStop => need(self.find.searching(), "No search is under way"),
            Command::Keep
            | Command::KeepAs(_)
            | Command::OpenPlacement
            | Command::AskCalibration
            | Command::Reload
            | Command::Tour(Turn::Start)
            | Command::FindBest
            | Command::FindGoal(_)
            | Command::CompareWith(Some(_))
            | Command::CompareOver(_)
            | Command::ExportTree
            | Command::ExportTreeTo(_) => need(self.open.is_some(), "Open a model first"),
            Command::AskInputs => {
                let open = self.open.as_ref();
                need(
                    open.is_some_and(|o| !open_inputs(&o.model, false).is_empty()),
                    "The file fixes all dims of its inputs",
                )
            }
            Command::Profile => self.no_profile(),
            Command::Sweep(of) => self.no_sweep(*of),
            Command::Survey => self.no_series(),
            Command::CopySweep => need(self.measuring.swept.is_some(), "No sweep has ended yet"),
            Command::CancelProfile => {
                let active = self.measuring.active.as_ref();
                need(active.is_some_and(|a| !a.cancelled), "Nothing is measured")
            }
            Command::ExportRuns | Command::ExportRunsTo(_) => need(
                self.runs.total() > 0,
                "Nothing was measured of this model yet",
            ),
            Command::TargetHere => need(
                self.here().is_some(),
                "The machine that measures is no Jetson that dlaplan knows",
            ),
            Command::AskMeasureOn
            | Command::MeasureOn(_)
            | Command::ForgetHost(_)
            | Command::AcceptKey(..)
            | Command::DeployTo(_)
            | Command::RemoveFrom(_) => need(
                self.measuring.active.is_none() && self.find.confirming.is_none(),
                "A measurement is under way",
            ),
            Command::AskBoardSettings | Command::BoardSettings(_) => need(
                !self.measuring.power_modes().is_empty(),
                "The machine that measures has no nvpmodel",
            ),
            Command::Runs(Act::Copy | Act::Delete) => {
                need(!self.runs.chosen.is_empty(), "Choose a run first")
            }
            Command::Export(kind) | Command::CopyExport(kind) => self.export_unavailable(*kind),
            // These can always be done; a new command is sorted in above or here.
            Command::OpenModel
            | Command::CheckHost(_)
            | Command::OpenPath(_)
            | Command::SetInputs(..)
            | Command::ExportTo(..)
            | Command::Cycle(_)
            | Command::AssignNode(..)
            | Command::InheritNode(_)
            | Command::All(_)
            | Command::Default(_)
            | Command::Select(..)
            | Command::SelectOps(_)
            | Command::Move(..)
            | Command::SelectAll
            | Command::Escape
            | Command::Toggle(_)
            | Command::ToggleDeep(_)
            | Command::ExpandAll
            | Command::CollapseAll
            | Command::Filter(_)
            | Command::FocusFilter
            | Command::Board(_)
            | Command::Mode(_)
            | Command::TensorRt(_)
            | Command::Calibration(_)
            | Command::Precision(_)
            | Command::Batch(_)
            | Command::GpuFallback(_)
            | Command::IoFormats(_)
            | Command::Load(..)
            | Command::LoadFor(..)
            | Command::AskRename(_)
            | Command::RenameKept(..)
            | Command::AskNote(_)
            | Command::NoteKept(..)
            | Command::DeleteKept(_)
            | Command::RestoreKept(_)
            | Command::Chart(_)
            | Command::FindForm(_)
            | Command::PinNode(..)
            | Command::ShowRuns
            | Command::Learn(_)
            | Command::Runs(
                Act::Filter(_)
                | Act::Sort(_)
                | Act::Pick(_)
                | Act::Compare(_)
                | Act::Show(_)
                | Act::Clear
                | Act::Restore(_),
            )
            | Command::Palette
            | Command::Theme(_)
            | Command::Messages
            | Command::Shortcuts
            | Command::About
            | Command::Dismiss(_)
            | Command::DismissAll
            | Command::CloseDialog
            | Command::CancelJob(_)
            | Command::ToggleInspector
            | Command::ShowTime
            | Command::Beside(None | Some(Company::Gpu))
            | Command::ShowCompare
            | Command::ShowMap
            | Command::FullChart
            | Command::CloseHint(_)
            | Command::Glossary
            | Command::Sort(Sort::Execution | Sort::Gpu | Sort::Dla | Sort::Gain)
            | Command::Pane(_)
            | Command::FocusPane(_)
            | Command::Quit => None,
        }
    }
}

/// With its first letter small.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
