//! Building and measuring what a search has found, on a machine that can.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Environment, Run, environment};
use crate::figure::short;
use crate::history::RunHead;
use crate::search::confirm::{Confirmed, Event, Trial};
use crate::tasks::confirm::{Confirm, earlier, learns};

use crate::gui::data::confirming::{Confirming, Live, TOP};
use crate::gui::data::measuring::Machine;
use crate::gui::message::Message;
use crate::gui::state::State;

/// What confirming has come to.
pub struct Outcome {
    confirmed: Confirmed,
    structure_hash: String,
    runs: Vec<(i64, Arc<Run>)>,
    /// Why runs are missing from the history, if any are.
    lost: Option<String>,
}

impl State {
    /// The machine that measures, if there is one.
    fn measuring_machine(&self) -> Option<&Environment> {
        match &self.measuring.machine {
            Machine::Can(environment) => Some(environment),
            Machine::Asked | Machine::Cannot(_) => None,
        }
    }

    /// Whether proposals can be measured at all.
    pub fn can_confirm(&self) -> bool {
        self.measuring_machine().is_some()
    }

    /// Why proposals cannot be measured now, if so.
    pub fn no_confirm(&self) -> Option<String> {
        if !self.can_confirm() {
            return Some(format!("{} cannot measure", self.measuring.place_first()));
        }
        if self.measuring.active.is_some() || self.find.confirming.is_some() {
            return Some("A measurement is under way".into());
        }
        if self.find.searching() {
            return Some("The search is not over".into());
        }
        let trials = self.find.shown().map_or(0, |a| a.trials().len());
        (trials == 0).then(|| "There is no whole engine to measure".into())
    }

    /// What confirming will do, for its tooltip.
    pub fn confirm_hint(&self) -> String {
        let Some(environment) = self.measuring_machine() else {
            return String::new();
        };
        let mut lines = vec![format!(
            "Builds and measures the baselines and the first {TOP} on {}; figures that the \
             history has are taken from there",
            environment.summary()
        )];
        if !learns(environment, &self.target) {
            lines.push(format!(
                "That is not the {} on screen: the estimates do not learn from it",
                self.target.board.name
            ));
        }
        lines.join("\n")
    }

    /// Builds and measures the baselines and the first proposals, the most promising first.
    pub(crate) fn confirm_found(&mut self) {
        let (Some(open), Some(worker), Some(here)) = (
            &self.open,
            self.measuring.worker_with_settings(),
            self.measuring_machine(),
        ) else {
            return;
        };
        let here = self.measuring.settings.applied(here);
        let Some(answer) = self.find.shown() else {
            return;
        };
        let mut trials: Vec<Trial> = Vec::new();
        let first = answer.proposals.iter().take(TOP);
        for p in answer.baselines.iter().chain(first) {
            if let Some(mut trial) = p.trial()
                && trials.iter().all(|t| t.setup != trial.setup)
            {
                trial.name = self.find.title(p);
                trials.push(trial);
            }
        }
        let model = Arc::clone(&open.model);
        let target = self.target;
        let mut template = self.request(open);
        template.per_layer = false;
        let live = Arc::new(Mutex::new(Live {
            text: "starting".into(),
            of: trials.len(),
            ..Live::default()
        }));
        let stop = Arc::new(AtomicBool::new(false));
        self.find.confirmed.clear();
        self.find.measured_on = Some((Arc::clone(&model), target));
        self.find.confirming = Some(Confirming {
            cancelled: false,
            live: Arc::clone(&live),
            stop: Arc::clone(&stop),
        });
        let (history, wake) = (self.history.clone(), Arc::clone(&self.wake));
        let work = move || {
            let structure_hash = model.source.structure_hash.clone();
            // Without a history everything is measured anew.
            let earlier = history.with(|store| store.runs(&earlier(&model)));
            let mut runs: Vec<(i64, Arc<Run>)> = Vec::new();
            let mut lost = None;
            let mut keep = |run: &Run| match history.with(|store| store.insert_run(run)) {
                Ok(id) => runs.push((id, Arc::new(run.clone()))),
                Err(e) => lost = Some(e.to_string()),
            };
            let confirm = Confirm {
                model: &model,
                target,
                template,
                worker: &worker,
                machine: &here,
            };
            let stopped = || stop.load(Ordering::Relaxed);
            let confirmed = confirm.run(
                trials,
                earlier.unwrap_or_default(),
                &mut keep,
                &stopped,
                &mut |event| {
                    {
                        let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
                        match event {
                            Event::Stage {
                                trial,
                                stage,
                                done,
                                of,
                            } => {
                                live.text =
                                    format!("{} of {of}: {}, {stage}", done + 1, trial.name);
                                (live.done, live.of) = (done, of);
                            }
                            Event::Done { trial, done, of } => {
                                (live.done, live.of) = (done, of);
                                live.trials.push(trial.clone());
                            }
                        }
                    }
                    wake();
                },
            );
            Outcome {
                confirmed,
                structure_hash,
                runs,
                lost,
            }
        };
        if !self.background("Confirming", false, work, Self::confirmed) {
            self.find.confirming = None;
        }
    }

    /// Stops measuring proposals; what has a figure keeps it.
    pub(crate) fn cancel_confirm(&mut self) {
        if let Some(confirming) = &mut self.find.confirming {
            confirming.cancel();
        }
    }

    /// Takes in what confirming has come to.
    pub(crate) fn confirmed(&mut self, outcome: Outcome) {
        let Outcome {
            confirmed,
            structure_hash,
            runs,
            lost,
        } = outcome;
        if let Some(why) = lost {
            self.messages.push(Message::error(
                "Runs are missing from the history".into(),
                &why,
                "Their figures are in the panel; note them before you close the window",
            ));
        }
        let same = self.is_open(&structure_hash);
        let mut taught = runs.iter().rev().filter(|(_, r)| r.stands_for_placement());
        let board = taught
            .find_map(|(_, r)| environment::place(&r.environment).ok())
            .map(|t| t.board.id);
        if same {
            for (id, run) in runs {
                self.runs.add(RunHead::of(id, &run), run);
            }
            self.list_kept();
        }
        // A search on other ground has dropped it.
        if self.find.confirming.take().is_some() {
            let measured = confirmed.trials.iter().filter(|t| t.measured.is_some());
            let count = measured.count();
            let best = confirmed.best().map_or(String::new(), |t| {
                let fps = t.measured.as_ref().map_or(0.0, |m| m.value);
                format!("Fastest: {}, {} FPS", t.name, short(fps))
            });
            let rest = if confirmed.cancelled {
                "; the rest was cancelled, confirming again goes on from there"
            } else {
                ""
            };
            let title = format!("Measured {count} of {}{rest}", confirmed.trials.len());
            self.messages.push(Message::info(title, &best));
            self.find.confirmed = confirmed.trials;
        }
        if let Some(board) = board {
            self.learn(board);
        }
    }
}
