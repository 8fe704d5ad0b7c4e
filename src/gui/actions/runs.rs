//! Runs of the open model: the table's rows, which of them are compared, and the one that belongs
//! to the placement on screen.

use std::path::PathBuf;
use std::sync::Arc;

use crate::export::save_atomic;
use crate::gui::command::{Act, Command};
use crate::gui::data::actual::Actual;
use crate::gui::data::looks::{Copied, Pane};
use crate::gui::data::runs::{Column, Runs};
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::history::{HistoryError, Item, RunFilter, RunHead};

/// Runs with all they have are kept in memory up to this many.
const MOST_READ: usize = 24;

impl State {
    /// Lists the runs of the open model.
    pub(crate) fn list_runs(&mut self) {
        let Some(open) = &self.open else { return };
        let hash = open.model.source.structure_hash.clone();
        self.runs.loading = true;
        let history = self.history.clone();
        let filter = RunFilter {
            structure_hash: Some(hash.clone()),
            ..RunFilter::default()
        };
        let work = move || history.with(|store| store.run_heads(&filter));
        self.background("Listing runs", false, work, move |state, heads| {
            state.runs_listed(&hash, heads);
        });
    }

    /// Another model is open.
    pub(crate) fn forget_runs(&mut self) {
        self.runs = Runs {
            shown: self.runs.shown,
            ..Runs::new()
        };
        self.list_runs();
    }

    /// Reads what is needed of chosen runs and of the one that belongs to the placement.
    pub(crate) fn read_runs(&mut self) {
        let Some(open) = &self.open else { return };
        let key = (self.revision, self.runs.changes);
        let own = match self.runs.own {
            Some((at, own)) if at == key => own,
            _ => self.runs.of_placement(
                &open.model,
                self.doc.placement(),
                self.config(),
                &self.target,
            ),
        };
        self.runs.own = Some((key, own));
        match own {
            None => self.runs.actual = None,
            Some(id) if self.runs.actual.as_ref().is_none_or(|(at, _)| *at != id) => {
                self.runs.actual = self
                    .runs
                    .full(id)
                    .and_then(|run| Actual::of(id, run, &open.model))
                    .map(|actual| (id, Arc::new(actual)));
            }
            Some(_) => {}
        }
        self.runs.compare();
        let needed: Vec<i64> = own
            .into_iter()
            .chain(self.runs.chosen.iter().copied())
            .filter(|id| !self.runs.read.contains_key(id))
            .collect();
        if self.runs.read.len() > MOST_READ {
            let chosen = &self.runs.chosen;
            self.runs
                .read
                .retain(|id, _| chosen.contains(id) || own == Some(*id));
        }
        for id in needed {
            self.runs.read.insert(id, None);
            let history = self.history.clone();
            let work = move || history.with(|store| store.run(id));
            self.background("Reading a run", false, work, move |state, run| match run {
                Ok(run) => {
                    let run = run.map(|stored| Arc::new(stored.run));
                    state.runs.read.insert(id, run);
                }
                Err(why) => state.history_failed("A run cannot be read", &why),
            });
        }
    }

    fn runs_listed(&mut self, structure_hash: &str, heads: Result<Vec<RunHead>, HistoryError>) {
        let same = self.is_open(structure_hash);
        match heads {
            Ok(heads) if same => self.runs.set(heads),
            Ok(_) => {}
            Err(why) => {
                self.runs.loading = false;
                self.history_failed("Runs cannot be read", &why);
            }
        }
    }

    /// Does what the user asks of the table.
    pub(crate) fn act_on_runs(&mut self, act: Act) {
        match act {
            Act::Filter(text) => {
                self.runs.filter = text;
                self.runs.arrange();
            }
            Act::Sort(column) => {
                let down = match self.runs.sort {
                    (now, down) if now == column => !down,
                    // Newest, fastest and gravest first; words from A.
                    _ => !matches!(
                        column,
                        Column::Placement | Column::Precision | Column::Target
                    ),
                };
                self.runs.sort = (column, down);
                self.runs.arrange();
            }
            Act::Pick(id) => {
                self.runs.chosen = vec![id];
                if let Some(row) = self.runs.find(id) {
                    let (name, head) = (row.name.clone(), Arc::clone(&row.head));
                    self.load_point(&name, head.placement.clone(), head.config.clone());
                }
            }
            Act::Compare(id) => {
                let chosen = &mut self.runs.chosen;
                if let Some(at) = chosen.iter().position(|c| *c == id) {
                    chosen.remove(at);
                } else {
                    chosen.truncate(1);
                    chosen.push(id);
                }
            }
            Act::Show(id) => {
                self.runs.shown = true;
                self.pane = Pane::Chart;
                self.runs.filter.clear();
                self.runs.arrange();
                self.runs.chosen = vec![id];
                self.runs.reveal = Some(id);
            }
            Act::Clear => self.runs.chosen.clear(),
            Act::Copy => self.copy_runs(),
            Act::Delete => {
                let ids = std::mem::take(&mut self.runs.chosen);
                self.change_runs(ids, true);
            }
            Act::Restore(ids) => self.change_runs(ids, false),
        }
    }

    /// Writes the runs of the open model as CSV.
    pub(crate) fn export_runs(&mut self, path: PathBuf) {
        let Some(open) = &self.open else { return };
        let filter = RunFilter {
            structure_hash: Some(open.model.source.structure_hash.clone()),
            ..RunFilter::default()
        };
        let history = self.history.clone();
        let file = path.clone();
        self.background(
            "Writing runs",
            true,
            move || {
                let text = history.with(|store| store.export_csv(&filter));
                let text = text.map_err(|e| e.to_string())?;
                save_atomic(&file, text.as_bytes()).map_err(|e| e.to_string())
            },
            move |state, result| state.saved("runs (CSV)", &path, result),
        );
    }

    /// Puts the figures of the chosen runs on the clipboard.
    fn copy_runs(&mut self) {
        let history = self.history.clone();
        let ids = self.runs.chosen.clone();
        self.background(
            "Copying runs",
            false,
            move || history.with(|store| store.csv_of(&ids)),
            |state, text| match text {
                Ok(text) => {
                    state.clipboard = Some(Copied::Text(text));
                    let title = "Copied the figures of the chosen runs".to_owned();
                    state.messages.push(Message::info(title, ""));
                }
                Err(e) => state.messages.push(Message::error(
                    "The runs cannot be copied".to_owned(),
                    &e.to_string(),
                    "",
                )),
            },
        );
    }

    fn change_runs(&mut self, ids: Vec<i64>, delete: bool) {
        let history = self.history.clone();
        let work = move || {
            let items: Vec<Item> = ids.iter().map(|id| Item::Run(*id)).collect();
            history.with(|store| {
                if delete {
                    store.delete(&items)
                } else {
                    store.restore(&items)
                }
            })
        };
        self.background(
            "Changing the history",
            false,
            work,
            move |state, items| match items {
                Ok(items) => state.runs_changed(delete, &items),
                Err(why) => state.history_failed("The history was not changed", &why),
            },
        );
    }

    fn runs_changed(&mut self, deleted: bool, items: &[Item]) {
        if deleted && !items.is_empty() {
            let id = |item: &Item| match item {
                Item::Run(id) | Item::Kept(id) => *id,
            };
            let n = items.len();
            let text = format!("Deleted {n} run{}", if n == 1 { "" } else { "s" });
            let undo = Command::Runs(Act::Restore(items.iter().map(id).collect()));
            self.messages
                .push(Message::info(text, "").with_action("Undo", undo));
        }
        self.list_runs();
        self.list_kept();
    }

    fn history_failed(&mut self, title: &str, why: &HistoryError) {
        self.messages.push(Message::error(
            title.to_owned(),
            &why.to_string(),
            "The window works on without them",
        ));
    }
}
