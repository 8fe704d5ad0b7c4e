//! Kept placements and published references. The history file is read and written off the UI
//! thread, one job at a time; what is kept is on the disk before the chart shows it.

use std::sync::Arc;

use crate::chart;
use crate::engine::escape;
use crate::gui::command::Command;
use crate::gui::data::kept::{Change, Listing};
use crate::gui::data::points::Origin;
use crate::gui::dialog::Dialog;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::history::{self, HistoryError, Item, NewKept, RunFilter};
use crate::placement::{Edit, EngineConfig, Placement};
use crate::platform::Target;

/// Letters of a name that lists and charts have to show.
const LONGEST_NAME: usize = 200;

/// Letters of a note.
const LONGEST_NOTE: usize = 4000;

/// More runs than this make no chart.
const MOST_RUNS: u32 = 40;

impl State {
    /// Lists what was kept of the open model.
    pub(crate) fn load_kept(&mut self) {
        self.kept.clear();
        self.list_anew();
    }

    /// Lists again for another target or other estimates; figures of before go at once.
    pub(crate) fn list_anew(&mut self) {
        self.kept_points.clear();
        self.others.clear();
        self.kept_changes += 1;
        self.change_history(Change::List);
    }

    /// Lists again what is there.
    pub(crate) fn list_kept(&mut self) {
        self.change_history(Change::List);
    }

    fn change_history(&mut self, change: Change) {
        let Some(open) = &self.open else { return };
        let history = self.history.clone();
        let model = Arc::clone(&open.model);
        let target = self.target;
        let calibrations = self.calibration_folder();
        let done = change.clone();
        let structure_hash = model.source.structure_hash.clone();
        let work = move || {
            let listed = history.with(|store| {
                make(store, &change)?;
                let hash = &model.source.structure_hash;
                let runs = store.runs(&RunFilter {
                    structure_hash: Some(hash.clone()),
                    finished: true,
                    limit: Some(MOST_RUNS),
                    ..RunFilter::default()
                })?;
                let own = chart::runs(&runs, &model, &target);
                let references = store.references()?;
                let published = chart::references(&references, &model, &target);
                Ok((store.kept(Some(hash))?, own, published))
            });
            listed.map(|(kept, runs, published)| {
                let own = history::calibration(Some(&calibrations), target.board.id);
                let beside = chart::beside_published(&published, &model, &target, &own);
                let points = |origin, points: Vec<chart::Point>| {
                    points.into_iter().map(move |p| (origin, p))
                };
                let others = points(Origin::Run, runs)
                    .chain(points(Origin::Reference, published))
                    .chain(points(Origin::BesideReference, beside))
                    .collect();
                Listing {
                    kept_points: chart::kept(&kept, &model, &target, &own),
                    kept,
                    others,
                }
            })
        };
        self.background("Keeping", false, work, move |state, listing| {
            state.history_done(&done, &target, &structure_hash, listing);
        });
    }

    /// Takes in what the history says.
    pub(crate) fn history_done(
        &mut self,
        change: &Change,
        target: &Target,
        structure_hash: &str,
        result: Result<Listing, HistoryError>,
    ) {
        match result {
            Ok(listing) => {
                let same = self.is_open(structure_hash);
                if same && *target != self.target {
                    // The board was changed meanwhile: its own list may have been read before this
                    // change was made.
                    self.list_kept();
                } else if same {
                    self.kept = listing.kept;
                    self.kept_points = listing.kept_points;
                    self.others = listing.others;
                    self.kept_changes += 1;
                }
                if let Change::Delete(id, name) = change {
                    let message = Message::info(format!("Deleted {name}"), "");
                    self.messages
                        .push(message.with_action("Undo", Command::RestoreKept(*id)));
                }
            }
            Err(why) => {
                let title = match change {
                    Change::List => "Kept placements cannot be read".to_owned(),
                    Change::Keep(new) => format!("{} was not kept", new.name),
                    Change::Rename(_, new) => format!("Not renamed to {}", new.name),
                    Change::Note(_, _, name) => format!("The note on {name} was not written"),
                    Change::Delete(_, name) => format!("{name} was not deleted"),
                    Change::Restore(_) => "Not brought back".to_owned(),
                };
                self.messages.push(Message::error(
                    title,
                    &why.to_string(),
                    "The placement on screen is safe; export it to have it in a file",
                ));
            }
        }
    }

    pub(crate) fn keep(&mut self, name: &str) {
        let (Some(open), Some(judged)) = (&self.open, self.fresh()) else {
            return;
        };
        let new = NewKept {
            name: self.free_name(name, None),
            model: open.model.name.clone(),
            structure_hash: open.model.source.structure_hash.clone(),
            placement: self.doc.placement().clone(),
            config: self.config().clone(),
            target: self.target.id(),
            fps: judged.estimate.fps.clone(),
            dla_mac_share: judged.summary.dla_mac_share,
        };
        self.change_history(Change::Keep(Box::new(new)));
    }

    /// A name that no other kept placement has: with a number where one has it.
    pub(crate) fn free_name(&self, name: &str, own: Option<i64>) -> String {
        let name = &escape(name, LONGEST_NAME);
        let taken = |name: &str| {
            let mut others = self.kept.iter().filter(|k| Some(k.id) != own);
            others.any(|k| k.kept.name == name)
        };
        if !taken(name) {
            return name.to_owned();
        }
        // One more than there are is free for certain.
        (2..self.kept.len() + 3)
            .map(|n| format!("{name} ({n})"))
            .find(|name| !taken(name))
            .unwrap_or_else(|| name.to_owned())
    }

    pub(crate) fn rename_kept(&mut self, id: i64, name: &str) {
        if let Some(kept) = self.kept.iter().find(|k| k.id == id) {
            let mut new = kept.kept.clone();
            new.name = self.free_name(name, Some(id));
            self.change_history(Change::Rename(id, Box::new(new)));
        }
    }

    pub(crate) fn ask_note(&mut self, id: i64) {
        if let Some(kept) = self.kept.iter().find(|k| k.id == id) {
            self.dialog = Some(Dialog::Note {
                id,
                name: kept.kept.name.clone(),
                text: kept.note.clone(),
            });
        }
    }

    pub(crate) fn note_kept(&mut self, id: i64, note: &str) {
        if let Some(kept) = self.kept.iter().find(|k| k.id == id) {
            let name = kept.kept.name.clone();
            let note = note.trim().chars().take(LONGEST_NOTE).collect();
            self.change_history(Change::Note(id, note, name));
        }
    }

    pub(crate) fn delete_kept(&mut self, id: i64) {
        if let Some(kept) = self.kept.iter().find(|k| k.id == id) {
            let name = kept.kept.name.clone();
            self.change_history(Change::Delete(id, name));
        }
    }

    pub(crate) fn restore_kept(&mut self, id: i64) {
        self.change_history(Change::Restore(id));
    }

    /// Loads what a point of the chart or a file stands for, if it fits the model.
    pub(crate) fn load_point(&mut self, name: &str, placement: Placement, config: EngineConfig) {
        if self.fits(name, &placement) {
            let target = self.target;
            let config = self.on_its_cores(name, config, &target);
            self.edit(&Edit::Load(name.to_owned(), placement, config));
        }
    }

    /// Loads what was found for a target, together with the target, if it fits the model.
    pub(crate) fn load_for(
        &mut self,
        name: &str,
        placement: Placement,
        config: EngineConfig,
        target: Target,
    ) {
        if self.fits(name, &placement) {
            let config = self.on_its_cores(name, config, &target);
            let (name, target) = (name.to_owned(), target.id());
            self.edit(&Edit::LoadFor(name, placement, config, target));
        }
    }

    /// The config on a DLA core that the target has; another one than was asked for is said.
    fn on_its_cores(&mut self, name: &str, config: EngineConfig, target: &Target) -> EngineConfig {
        let asked = config.dla_core;
        let config = config.on(target.dla_support().cores());
        if config.dla_core != asked {
            self.messages.push(Message::info(
                format!("{name}: DLA core {} in place of {asked}", config.dla_core),
                &format!("{} does not have that core", target.board.name),
            ));
        }
        config
    }

    /// The placement on screen is in a file.
    pub(crate) fn in_file(&mut self, placement: Placement, config: EngineConfig) {
        self.in_file = Some((placement, config));
        self.in_file_changes += 1;
    }

    /// Whether the placement on screen is in no file and was not kept. One that only names a device
    /// for everything is nothing to lose.
    pub(crate) fn is_modified(&self) -> bool {
        let (placement, config) = (self.doc.placement(), self.config());
        let same = |(p, c): (&Placement, &EngineConfig)| p == placement && c == config;
        let in_file = self.in_file.as_ref().map(|(p, c)| (p, c));
        let kept = self
            .kept
            .iter()
            .map(|k| (&k.kept.placement, &k.kept.config));
        !placement.overrides.is_empty() && !kept.chain(in_file).any(same)
    }
}

fn make(store: &mut history::Store, change: &Change) -> Result<(), HistoryError> {
    match change {
        Change::List => {}
        Change::Keep(new) => {
            store.keep(new)?;
        }
        Change::Rename(id, new) => {
            // Deleted meanwhile by another window: what the user named is kept all the same.
            if !store.rewrite_kept(*id, new)? {
                store.keep(new)?;
            }
        }
        Change::Note(id, note, _) => {
            store.note_kept(*id, note)?;
        }
        Change::Delete(id, _) => {
            store.delete(&[Item::Kept(*id)])?;
        }
        Change::Restore(id) => {
            store.restore(&[Item::Kept(*id)])?;
        }
    }
    Ok(())
}
