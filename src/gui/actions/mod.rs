//! What each command does to the state.

pub mod available;
pub mod compare;
pub mod confirm;
pub mod export;
pub mod judge;
pub mod kept;
pub mod machine;
pub mod measure;
pub mod open;
pub mod refit;
pub mod reload;
pub mod runs;
pub mod search;
mod survey;
mod sweep;
pub mod tour;
use std::collections::BTreeSet;

use crate::engine::remote::ssh::Host;
use crate::gui::command::{Command, Pick, Step};
use crate::gui::data::filter::Filter;
use crate::gui::data::looks::{Beside, Hint, Palette, Pane};
use crate::gui::data::open::Open;
use crate::gui::data::tree_index::Node;
use crate::gui::dialog::{Dialog, Purpose};
use crate::gui::state::State;
use crate::model::{ModuleId, OpId};
use crate::placement::{Device, Edit, EngineConfig, Precision, Site};
use crate::platform::Target;

/// Rows a page key moves.
const PAGE: usize = 20;

/// Letters of a filter; what was pasted by mistake is longer.
const LONGEST_FILTER: usize = 500;

impl State {
    /// Does one command. Commands that cannot be done now do nothing.
    pub fn apply(&mut self, command: Command) {
        if self.unavailable(&command).is_some() {
            return;
        }
        match command {
            Command::OpenModel => self.ask_file(Purpose::OpenModel),
            Command::OpenPlacement => self.ask_file(Purpose::OpenPlacement),
            Command::OpenPath(path) => self.open_path(path),
            Command::Reload => self.reload(),
            Command::AskInputs => self.ask_inputs(),
            Command::SetInputs(path, dims) => self.load(path, dims.into_iter().collect()),
            Command::Export(kind) => self.ask_file(Purpose::Save(kind)),
            Command::ExportTo(kind, path) => self.export_to(kind, path),
            Command::CopyExport(kind) => self.copy_export(kind),
            Command::CopyRows => self.copy_rows(),
            Command::ExportTree => self.ask_file(Purpose::SaveTree),
            Command::ExportTreeTo(path) => self.export_tree(path),

            Command::Undo => self.change(|doc| doc.undo().is_some()),
            Command::Redo => self.change(|doc| doc.redo().is_some()),
            Command::Cycle(node) => self.cycle(node),
            Command::CycleSelection => {
                if let Some(node) = self.selection.cursor {
                    self.cycle(node);
                }
            }
            Command::Assign(device) => self.assign(self.selected(), Some(device)),
            Command::Inherit => self.assign(self.selected(), None),
            Command::AssignNode(node, device) => self.assign(vec![node], Some(device)),
            Command::InheritNode(node) => self.assign(vec![node], None),
            Command::All(device) => self.edit(&Edit::Replace(
                format!("everything on {device}"),
                crate::placement::Placement::all(device),
            )),
            Command::Default(device) => self.edit(&Edit::Default(device)),

            Command::Select(node, pick) => self.select(node, pick),
            Command::SelectOps(ops) => self.select_ops(&ops),
            Command::Move(step, extend) => self.step(step, extend),
            Command::SelectAll => {
                self.selection.nodes = self
                    .view
                    .rows
                    .iter()
                    .filter(|r| !r.context)
                    .map(|r| r.node)
                    .collect();
                self.reselect();
            }
            Command::Escape => {
                self.runs.chosen.clear();
                if self.selection.nodes.is_empty() {
                    self.set_filter("");
                }
                self.selection.nodes.clear();
                self.selection.anchor = None;
                self.reselect();
            }
            Command::Toggle(id) => {
                if !self.expanded.remove(&id) {
                    self.expanded.insert(id);
                }
                self.reshape();
            }
            Command::ToggleDeep(id) => self.toggle_deep(id),
            Command::ExpandAll => {
                if let Some(open) = &self.open {
                    self.expanded = open.model.modules.iter().map(|(id, _)| id).collect();
                    self.reshape();
                }
            }
            Command::CollapseAll => {
                self.expanded.clear();
                self.reshape();
            }
            Command::Filter(text) => self.set_filter(&text),
            Command::FocusFilter => {
                self.focus_filter = true;
                self.pane = Pane::Tree;
            }

            Command::TargetHere => self.target_here(),
            Command::AskCalibration => self.ask_file(Purpose::Calibration),
            Command::Calibration(path) => self.calibrate(path),
            Command::Sweep(of) => self.sweep(of),
            Command::CopySweep => self.copy_sweep(),
            Command::Survey => self.survey(),
            Command::AskMeasureOn => {
                let last = self.measuring.hosts.first();
                self.dialog = Some(Dialog::MeasureOn {
                    text: last.map(Host::to_string).unwrap_or_default(),
                });
            }
            Command::MeasureOn(host) => self.measure_on(host),
            Command::AskBoardSettings => {
                self.dialog = Some(Dialog::Board {
                    modes: self.measuring.power_modes().to_vec(),
                    settings: self.measuring.settings,
                });
            }
            Command::BoardSettings(settings) => self.measuring.settings = settings,
            Command::ForgetHost(host) => self.forget_host(&host),
            Command::CheckHost(host) => self.check_host(host),
            Command::AcceptKey(host, fingerprint) => self.accept_key(host, fingerprint),
            Command::DeployTo(host) => self.deploy_to(host),
            Command::RemoveFrom(host) => self.remove_from(host),
            Command::Board(id) => self.set_board(id),
            Command::Mode(name) => {
                if let Some(mode) = self.target.board.modes.iter().find(|m| m.name == name) {
                    let asked = Target {
                        mode,
                        ..self.target
                    };
                    let target = self.target.in_mode(mode);
                    self.plan_for(format!("power mode {name}"), &asked, target);
                }
            }
            Command::TensorRt(version) => {
                let asked = Target {
                    tensorrt: version,
                    ..self.target
                };
                let target = asked.moved_to(asked.board);
                self.plan_for(format!("TensorRT {version}"), &asked, target);
            }
            Command::Precision(precision) => {
                let label = match precision {
                    Precision::FP16 => "precision FP16",
                    Precision::INT8 => "precision INT8",
                    Precision::INT8_FP16 => "precision INT8+FP16",
                    _ => "precision FP32",
                };
                self.configure(label, |c| c.precision = precision);
            }
            Command::Batch(batch) => self.configure("batch", |c| c.batch = batch.max(1)),
            Command::Core(core) => self.configure("DLA core", |c| c.dla_core = core),
            Command::GpuFallback(allowed) => {
                self.configure("GPU fallback", |c| c.gpu_fallback = allowed);
            }
            Command::IoFormats(formats) => self.configure("I/O formats", |c| c.io = formats),

            Command::Keep => {
                self.dialog = Some(Dialog::Keep {
                    name: self.suggested_name(),
                });
            }
            Command::KeepAs(name) => self.keep(&name),
            Command::Load(name, placement, config) => {
                let before = self.doc.placement().clone();
                self.load_point(&name, placement, config);
                self.explain_load(&name, before);
            }
            Command::LoadFor(name, placement, config, target) => {
                self.load_for(&name, placement, config, target);
            }
            Command::AskRename(id) => {
                if let Some(kept) = self.kept.iter().find(|k| k.id == id) {
                    self.dialog = Some(Dialog::Rename {
                        id,
                        name: kept.kept.name.clone(),
                    });
                }
            }
            Command::AskNote(id) => self.ask_note(id),
            Command::NoteKept(id, text) => self.note_kept(id, &text),
            Command::RenameKept(id, name) => self.rename_kept(id, &name),
            Command::DeleteKept(id) => self.delete_kept(id),
            Command::RestoreKept(id) => self.restore_kept(id),
            Command::Chart(view) => {
                self.view_of_chart = view;
                self.runs.shown = false;
                self.pane = Pane::Chart;
            }

            Command::Profile => self.profile(),
            Command::CancelProfile => self.cancel_profile(),
            Command::ShowRuns => {
                self.runs.shown = true;
                self.pane = Pane::Chart;
            }
            Command::ExportRuns => self.ask_file(Purpose::SaveRuns),
            Command::ExportRunsTo(path) => self.export_runs(path),
            Command::Learn(on) => self.set_learning(on),
            Command::Runs(act) => self.act_on_runs(act),

            Command::FindBest => self.toggle_find(),
            Command::FindGoal(goal) => self.find_goal(goal),
            Command::FindForm(form) => self.find_form(*form),
            Command::FindAgain => self.search_again(),
            Command::FindStop => self.stop_search(),
            Command::ConfirmFound => self.confirm_found(),
            Command::CancelConfirm => self.cancel_confirm(),
            Command::Pin(device) => self.pin(&self.selected(), device),
            Command::PinNode(node, device) => self.pin(&[node], device),

            Command::Palette => {
                self.palette = match self.palette {
                    None => Some(Palette::default()),
                    Some(_) => None,
                };
            }
            Command::Theme(choice) => {
                self.theme = choice;
                self.save_settings();
            }
            Command::Messages => self.dialog = Some(Dialog::Messages),
            Command::Shortcuts => self.dialog = Some(Dialog::Shortcuts),
            Command::About => self.dialog = Some(Dialog::About),
            Command::Dismiss(id) => self.messages.dismiss(id),
            Command::DismissAll => self.messages.dismiss_all(),
            Command::CloseDialog => self.dialog = None,
            Command::CancelJob(id) => self.jobs.cancel(id),
            Command::ToggleInspector => self.toggle_beside(Beside::Inspector),
            Command::ShowTime => self.toggle_beside(Beside::Time),
            Command::ShowCompare => self.toggle_beside(Beside::Compare),
            Command::ShowMap => self.toggle_beside(Beside::Map),
            Command::FullChart => {
                self.full_chart = !self.full_chart;
                self.pane = Pane::Chart;
            }
            Command::Tour(turn) => self.turn(turn),
            Command::CloseHint(hint) => self.hint_done(hint),
            Command::Glossary => self.dialog = Some(Dialog::Glossary),
            Command::CompareWith(other) => self.compare_with(other),
            Command::CompareOver(over) => self.compare_over(over),
            Command::CopyTargets => self.copy_targets(),
            Command::Beside(company) => {
                self.company = company;
                self.beside = Some(Beside::Time);
                self.touch(false);
            }
            Command::Sort(sort) => self.sort_tree(sort),
            Command::Pane(pane) => self.pane = pane,
            Command::FocusPane(pane) => {
                self.pane = pane;
                self.focus_pane = Some(pane);
                if pane == Pane::Tree {
                    let shown = |n: &Node| self.view.position(*n).is_some();
                    let first = self.view.rows.first().map(|r| r.node);
                    self.selection.cursor = self.selection.cursor.filter(shown).or(first);
                    self.reveal = self.selection.cursor;
                }
            }
            Command::Quit => self.quit = true,
        }
    }

    /// A hint is closed for good.
    pub(crate) fn hint_done(&mut self, hint: Hint) {
        if !self.hints_done.contains(&hint) {
            self.hints_done.push(hint);
            self.save_settings();
        }
    }

    fn selected(&self) -> Vec<Node> {
        self.selection.nodes.iter().copied().collect()
    }

    /// A chip was clicked: on a selected row it speaks for the whole selection.
    fn cycle(&mut self, node: Node) {
        let next = match (self.explicit(node), self.inherited(node)) {
            // At the root there is nothing to inherit: the default itself changes.
            (None, device) if node == Node::Module(ModuleId::ROOT) => {
                self.edit(&Edit::Default(device.other()));
                return;
            }
            (None, device) => Some(device.other()),
            (Some(said), device) if said != device => Some(device),
            (Some(_), _) => None,
        };
        let nodes = if self.selection.nodes.contains(&node) {
            self.selected()
        } else {
            vec![node]
        };
        self.assign(nodes, next);
    }

    /// Says a device for nodes, or nothing any more. What follows an ancestor that is among them
    /// is not said again: it would only be in the way of the next change above.
    fn assign(&mut self, nodes: Vec<Node>, device: Option<Device>) {
        let Some(open) = &self.open else { return };
        let site = |node: &Node| self.site(open, *node);
        let Some(device) = device else {
            // A row of one op may have a device for the module and one for the op.
            let said = self.doc.placement();
            let both = nodes.iter().flat_map(|n| [n.site(&open.model), site(n)]);
            let sites: BTreeSet<Site> = both.filter(|s| said.overrides.contains_key(s)).collect();
            self.edit(&Edit::Inherit(sites.into_iter().collect()));
            return;
        };
        let placement = self.doc.placement();
        let mut next = placement.clone();
        let mut sites = Vec::new();
        let mut plain = true;
        let all: BTreeSet<Node> = nodes.into_iter().collect();
        let below = |node: Node| {
            let mut at = node.parent(&open.model);
            while let Some(id) = at {
                if all.contains(&Node::Module(id)) {
                    return true;
                }
                at = open.model.modules.get(id).parent;
            }
            false
        };
        // Modules in pre-order, then ops: what is above is said before.
        for node in &all {
            let site = site(node);
            let root = *node == Node::Module(ModuleId::ROOT) && !next.overrides.contains_key(&site);
            if root {
                plain &= next.default == device;
                next.default = device;
            } else if below(*node) && self.inherited_in(&next, *node) == device {
                plain &= next.overrides.remove(&site).is_none();
            } else {
                next.overrides.insert(site.clone(), device);
                sites.push(site);
            }
        }
        let edit = if plain {
            Edit::Assign(sites, device)
        } else if next.default == placement.default {
            Edit::Replace(format!("{} rows on {device}", all.len()), next)
        } else {
            Edit::Replace(format!("everything on {device}"), next)
        };
        self.edit(&edit);
    }

    fn select(&mut self, node: Node, pick: Pick) {
        let selection = &mut self.selection;
        match pick {
            Pick::Only => {
                selection.nodes = [node].into();
                selection.anchor = Some(node);
            }
            Pick::Toggle => {
                if !selection.nodes.remove(&node) {
                    selection.nodes.insert(node);
                }
                selection.anchor = Some(node);
            }
            Pick::Range => {
                let anchor = selection.anchor.unwrap_or(node);
                let ends = (self.view.position(anchor), self.view.position(node));
                if let (Some(a), Some(b)) = ends {
                    let range = a.min(b)..=a.max(b);
                    // Parents that the filter only shows for context are not meant.
                    let rows = self.view.rows[range].iter().filter(|r| !r.context);
                    selection.nodes = rows.map(|r| r.node).collect();
                } else {
                    selection.nodes = [node].into();
                }
            }
        }
        self.selection.cursor = Some(node);
        self.reselect();
    }

    fn select_ops(&mut self, ops: &[OpId]) {
        let Some(open) = &self.open else { return };
        let nodes = covering(open, ops);
        let first = nodes.first().copied();
        self.selection.nodes = nodes.into_iter().collect();
        self.selection.anchor = first;
        self.selection.cursor = first;
        self.reselect();
        if let Some(node) = first {
            self.show(node);
        }
    }

    /// Opens what is above a node and brings it into sight.
    pub(crate) fn show(&mut self, node: Node) {
        let Some(open) = &self.open else { return };
        let mut at = node.parent(&open.model);
        while let Some(id) = at {
            self.expanded.insert(id);
            at = open.model.modules.get(id).parent;
        }
        self.reshape();
        self.reveal = Some(node);
    }

    fn step(&mut self, step: Step, extend: bool) {
        let rows = &self.view.rows;
        if rows.is_empty() {
            return;
        }
        let last = rows.len() - 1;
        let here = self.selection.cursor.and_then(|c| self.view.position(c));
        let at = here.unwrap_or(0);
        let row = &rows[at];
        let to = match step {
            _ if here.is_none() => 0,
            Step::Up => at.saturating_sub(1),
            Step::Down => (at + 1).min(last),
            Step::PageUp => at.saturating_sub(PAGE),
            Step::PageDown => (at + PAGE).min(last),
            Step::Home => 0,
            Step::End => last,
            Step::Left => match (row.node, row.twig) {
                (Node::Module(id), Some(true)) if self.expanded.contains(&id) => {
                    self.apply(Command::Toggle(id));
                    return;
                }
                (node, _) => self
                    .open
                    .as_ref()
                    .and_then(|o| node.parent(&o.model))
                    .and_then(|p| self.view.position(Node::Module(p)))
                    .unwrap_or(at),
            },
            Step::Right => match (row.node, row.twig) {
                (Node::Module(id), Some(false)) => {
                    self.apply(Command::Toggle(id));
                    return;
                }
                (_, Some(true)) => (at + 1).min(last),
                _ => at,
            },
        };
        let node = self.view.rows[to].node;
        self.select(node, if extend { Pick::Range } else { Pick::Only });
        self.reveal = Some(node);
    }

    fn toggle_deep(&mut self, id: ModuleId) {
        let Some(open) = &self.open else { return };
        let opening = !self.expanded.contains(&id);
        for m in open.model.modules.subtree(id) {
            if opening {
                self.expanded.insert(ModuleId(m));
            } else {
                self.expanded.remove(&ModuleId(m));
            }
        }
        self.reshape();
    }

    fn set_filter(&mut self, text: &str) {
        // The field lays it out in each frame.
        let text: String = text.chars().take(LONGEST_FILTER).collect();
        let filter = Filter::parse(&text);
        if filter != self.filter {
            self.filter = filter;
            self.reshape();
        }
    }

    fn set_board(&mut self, id: &str) {
        let Some(board) = crate::platform::boards().iter().find(|b| b.id == id) else {
            return;
        };
        let target = self.target.moved_to(board);
        let mut asked = self.target;
        // A board's default mode is no choice to be carried over.
        if asked.mode.name == asked.board.modes[0].name {
            asked.mode = &board.modes[0];
        }
        self.plan_for(format!("board {}", board.name), &asked, target);
    }

    /// A name for what is on screen: what sets it apart, the engine's config where it is not the
    /// usual one.
    fn suggested_name(&self) -> String {
        let (config, usual) = (self.config(), EngineConfig::default());
        let mut name = self.doc.placement().difference();
        if config.precision != usual.precision {
            name = format!("{name}, {}", config.precision.title());
        }
        let own = self
            .open
            .as_ref()
            .map(|o| EngineConfig::own_batch(&o.model));
        if own.is_some_and(|own| own != config.batch) {
            name = format!("{name}, batch {}", config.batch);
        }
        if !config.gpu_fallback {
            name += ", strict";
        }
        name += &config.io_words();
        self.free_name(&name, None)
    }
}

/// The largest modules that hold exactly these ops, and the ops left over.
fn covering(open: &Open, ops: &[OpId]) -> Vec<Node> {
    let tree = &open.model.modules;
    let mut held = vec![0u32; tree.len()];
    for op in ops {
        held[open.model.op(*op).module.index()] += 1;
    }
    let own = held.clone();
    for i in (1..tree.len()).rev() {
        if let Some(parent) = tree.get(ModuleId(i as u32)).parent {
            held[parent.index()] += held[i];
        }
    }
    let full = |id: ModuleId| {
        let all = tree.get(id).subtree_ops;
        all > 0 && held[id.index()] == all
    };
    let mut nodes: Vec<Node> = tree
        .iter()
        .filter(|(id, m)| full(*id) && !m.parent.is_some_and(full))
        .map(|(id, _)| Node::Module(id))
        .collect();
    nodes.extend(
        ops.iter()
            .filter(|op| {
                let id = open.model.op(**op).module;
                !full(id) && own[id.index()] > 0
            })
            .map(|op| Node::Op(*op)),
    );
    nodes.sort_unstable_by_key(|n| n.ops(&open.model).first().map_or(0, |o| o.0));
    nodes
}
