//! Measuring many placements in one go; the chart fills as results arrive.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::engine::{Run, environment};
use crate::gui::command::{Command, SweepOf};
use crate::gui::data::looks::Copied;
use crate::gui::data::measuring::{Active, Machine, SweepProgress, SweepTable, Sweeping};
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::history::RunHead;
use crate::tasks::sweep::{Result as RowResult, Row, Station, Sweep, markdown, preset};
use crate::tasks::torch::Baseline;

/// What a sweep has come to.
struct Ended {
    table: SweepTable,
    /// Why runs are missing from the history, if any are.
    lost: Option<String>,
    /// A board that the estimates can learn from.
    board: Option<&'static str>,
}

impl State {
    /// Why a sweep cannot begin now, if so.
    pub(crate) fn no_sweep(&self, of: SweepOf) -> Option<String> {
        if self.open.is_none() {
            return Some("Open a model first".into());
        }
        if let Some(why) = self.no_series() {
            return Some(why);
        }
        (of == SweepOf::Kept && self.kept.is_empty()).then(|| "Keep a placement first".into())
    }

    /// Why no series of measurements can begin now, if so.
    pub(crate) fn no_series(&self) -> Option<String> {
        if self.measuring.active.is_some() || self.find.confirming.is_some() {
            return Some("A measurement is under way".into());
        }
        (!self.can_confirm()).then(|| self.cannot_measure())
    }

    /// Measures many placements, one after the other.
    pub(crate) fn sweep(&mut self, of: SweepOf) {
        let (Some(open), Some(worker), Machine::Can(machine)) = (
            &self.open,
            self.measuring.worker_with_settings(),
            &self.measuring.machine,
        ) else {
            return;
        };
        let model = Arc::clone(&open.model);
        let rows = match of {
            SweepOf::Preset => preset(&model),
            SweepOf::Kept => {
                let kept = self.kept.iter().map(|k| k.kept.clone());
                kept.map(|k| Row::alone(k.name, k.config, k.placement))
                    .collect()
            }
        };
        let mut template = self.request(open);
        template.per_layer = false;
        let station = Station {
            worker,
            machine: self.measuring.settings.applied(machine),
        };
        let torch = Baseline {
            clocks_as_found: !self.measuring.settings.is_none(),
            ..Baseline::default()
        };
        let name = Command::Sweep(of).text();
        let (active, shared, stop) = Active::series(name, "Sweep", rows.len());
        self.measuring.active = Some(active);
        let (history, wake) = (self.history.clone(), Arc::clone(&self.wake));
        let work = move || {
            let tell = |what: &mut dyn FnMut(&mut Sweeping)| {
                what(&mut shared.lock().unwrap_or_else(PoisonError::into_inner));
                wake();
            };
            // Without a history everything is measured anew.
            let earlier = history.with(|store| store.runs(&Sweep::earlier(&model)));
            let (mut lost, mut board) = (None, None);
            let mut keep = |run: &Run| match history.with(|store| store.insert_run(run)) {
                Ok(id) => {
                    if run.stands_for_placement() {
                        let place = environment::place(&run.environment).ok();
                        board = place.map(|p| p.board.id).or(board);
                    }
                    tell(&mut |sweep| sweep.arrived.push((id, Arc::new(run.clone()))));
                }
                Err(e) => lost = Some(e.to_string()),
            };
            let mut hear = |p: &crate::tasks::progress::Progress<'_>| {
                tell(&mut |sweep| sweep.progress = SweepProgress::of("Sweep", p));
            };
            let stations = [station];
            let sweep = Sweep {
                model: &model,
                template,
                stations: &stations,
                target: None,
                torch: Some(torch),
            };
            let stopped = || stop.load(Ordering::Relaxed);
            let earlier = earlier.unwrap_or_default();
            let results = sweep.run(rows, earlier, &mut keep, &stopped, &mut hear);
            let count = |is: fn(&RowResult) -> bool| {
                let rows = results.rows.iter();
                rows.filter(|s| is(&s.result)).count()
            };
            let counts = [
                count(|r| matches!(r, RowResult::Measured { .. })),
                count(|r| matches!(r, RowResult::Failed { .. })),
                count(|r| matches!(r, RowResult::Open)),
            ];
            let markdown = markdown(&model, &stations, &results);
            Ended {
                table: SweepTable { markdown, counts },
                lost,
                board,
            }
        };
        if !self.background("Sweeping", false, work, Self::sweep_ended) {
            self.measuring.active = None;
        }
    }

    /// Takes in the runs that a sweep under way has brought.
    pub(crate) fn take_swept(&mut self) {
        let sweep = self.measuring.active.as_ref().and_then(Active::sweeping);
        let arrived = sweep.map_or_else(Vec::new, |mut s| std::mem::take(&mut s.arrived));
        for (id, run) in arrived {
            if self.is_open(&run.model.structure_hash) {
                self.runs.add(RunHead::of(id, &run), run);
                self.list_kept();
            }
        }
    }

    fn sweep_ended(&mut self, ended: Ended) {
        self.take_swept();
        self.measuring.active = None;
        if let Some(why) = ended.lost {
            self.messages.push(Message::error(
                "Runs are missing from the history".into(),
                &why,
                "The table of the sweep has their figures; copy it before you close the window",
            ));
        }
        let [measured, failed, open] = ended.table.counts;
        let mut title = format!("Sweep: {measured} measured, {failed} without a figure");
        if open > 0 {
            title = format!("{title}, {open} left; the same command goes on from there");
        }
        self.measuring.swept = Some(ended.table);
        let copy = Command::CopySweep;
        let message = Message::info(title, "What has no figure says why in the table");
        self.messages.push(message.with_action("Copy table", copy));
        if let Some(board) = ended.board {
            self.learn(board);
        }
    }

    /// Puts the table of the last sweep on the clipboard.
    pub(crate) fn copy_sweep(&mut self) {
        if let Some(table) = &self.measuring.swept {
            self.clipboard = Some(Copied::Text(table.markdown.clone()));
            let title = "Copied the table of the sweep".to_owned();
            self.messages.push(Message::info(title, ""));
        }
    }
}
