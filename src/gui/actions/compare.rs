//! Comparing the placement on screen with another one, and over targets.

use std::sync::Arc;

use crate::gui::command::Command;
use crate::gui::data::compare::{Other, Over, With};
use crate::gui::data::filter::Filter;
use crate::gui::data::looks::{Beside, Copied, Pane};
use crate::gui::data::tree_index::Sort;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::history;
use crate::placement::Placement;
use crate::platform::Target;
use crate::tasks::compare::{Judged, every_board, every_mode, on_targets, targets_csv};

/// The filter that shows only what runs elsewhere in the other placement.
pub(crate) const DIFFERENCES: &str = "is:differs";

impl State {
    /// Shows a panel on the right, or hides it where it shows already.
    pub(crate) fn toggle_beside(&mut self, panel: Beside) {
        let hide = self.beside == Some(panel) && !self.find.open;
        if self.find.open {
            self.close_find();
        }
        self.beside = (!hide).then_some(panel);
        self.pane = if hide { Pane::Chart } else { Pane::Side };
    }

    /// Shows Compare, whatever shows on the right.
    fn show_compare(&mut self) {
        self.beside = Some(Beside::Compare);
        if self.find.open {
            self.close_find();
        }
        self.pane = Pane::Side;
    }

    /// Compares with another placement, or no more.
    pub(crate) fn compare_with(&mut self, other: Option<Other>) {
        let with = other.and_then(|other| self.other(other));
        if with.is_none() {
            self.compare_no_more();
        } else {
            self.show_compare();
        }
        self.compare.set(with);
        self.reshape();
    }

    /// What only has a meaning beside another placement goes with it.
    fn compare_no_more(&mut self) {
        if self.sort == Sort::Delta {
            self.sort = Sort::Execution;
        }
        if self.filter.text() == DIFFERENCES {
            self.filter = Filter::default();
        }
    }

    /// Another model is open.
    pub(crate) fn forget_compared(&mut self) {
        self.compare_no_more();
        self.compare.set(None);
        self.compare.targets = None;
    }

    fn other(&self, other: Other) -> Option<With> {
        let plain = |name: String, placement: Placement| With {
            other,
            name,
            placement,
            config: self.config().clone(),
            measured: None,
        };
        match other {
            Other::Now => {
                let placement = self.doc.placement().clone();
                Some(plain(
                    format!("{}, as it was", placement.title()),
                    placement,
                ))
            }
            Other::All(device) => Some(plain(format!("all {device}"), Placement::all(device))),
            Other::Kept(id) => {
                let kept = &self.kept.iter().find(|k| k.id == id)?.kept;
                Some(With {
                    config: kept.config.clone(),
                    ..plain(kept.name.clone(), kept.placement.clone())
                })
            }
            Other::Run(id) => {
                let row = self.runs.find(id)?;
                Some(With::run(&row.name, &row.head, &self.target))
            }
        }
    }

    /// Has the other placement judged where it is not, for the target on screen. Once per frame.
    pub(crate) fn judge_other(&mut self) {
        let changes = self.compare.changes;
        let (Some(open), Some(with)) = (&self.open, &self.compare.with) else {
            return;
        };
        if self.compare.asked == Some(changes) {
            return;
        }
        let (model, target, with) = (Arc::clone(&open.model), self.target, with.clone());
        let folder = self.calibration_folder();
        let work = move || {
            let own = history::calibration(Some(&folder), target.board.id);
            let (placement, config) = (&with.placement, &with.config);
            Judged::new(&with.name, &model, &target, &own, placement, config)
        };
        self.compare.asked = Some(changes);
        self.background("Comparing", false, work, move |state, judged| {
            if state.compare.changes != changes {
                return;
            }
            match judged {
                Ok(judged) => state.compare.other = Some(Arc::new(judged)),
                Err(why) => state.compare.refused = Some(why.to_string()),
            }
            // What is drawn was made without it.
            state.compare.changes += 1;
            state.compare.asked = Some(state.compare.changes);
        });
    }

    /// Estimates the placement on screen for other targets, in Compare.
    pub(crate) fn compare_over(&mut self, over: Over) {
        self.show_compare();
        let Some(open) = &self.open else { return };
        let targets = match over {
            Over::Boards => every_board(),
            Over::Modes => every_mode(&self.target),
        };
        let model = Arc::clone(&open.model);
        let (placement, config) = (self.doc.placement().clone(), self.config().clone());
        let folder = self.calibration_folder();
        let key = (self.revision, over);
        self.compare.over = Some(key);
        let work = move || {
            let own = |t: &Target| history::calibration(Some(&folder), t.board.id);
            on_targets(&model, &placement, &config, &targets, &own)
        };
        let asked = self.background("Comparing targets", true, work, move |state, rows| {
            if state.compare.over == Some(key) {
                state.compare.over = None;
                state.compare.targets = rows.ok().map(|rows| (key.0, over, Arc::new(rows)));
            }
        });
        if !asked {
            self.compare.over = None;
        }
    }

    /// Puts the table of targets on the clipboard.
    pub(crate) fn copy_targets(&mut self) {
        if let Some((_, _, rows)) = &self.compare.targets {
            self.clipboard = Some(Copied::Text(targets_csv(rows)));
            let title = "Copied the table of targets".to_owned();
            self.messages.push(Message::info(title, ""));
        }
    }

    /// Sorts the tree; the same again goes back to the order of execution.
    pub(crate) fn sort_tree(&mut self, sort: Sort) {
        self.sort = if self.sort == sort {
            Sort::Execution
        } else {
            sort
        };
        self.reshape();
    }

    /// Which other placements there are, for lists.
    pub(crate) fn others(&self) -> Vec<Command> {
        use crate::placement::Device::{Dla, Gpu};
        let mut all = vec![Other::Now, Other::All(Gpu), Other::All(Dla)];
        all.extend(self.kept.iter().map(|k| Other::Kept(k.id)));
        all.into_iter()
            .map(|o| Command::CompareWith(Some(o)))
            .collect()
    }
}
