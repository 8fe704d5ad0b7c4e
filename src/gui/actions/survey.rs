//! Surveying the machine that measures: small networks, then estimates fitted to them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::engine::Run;
use crate::gui::command::Command;
use crate::gui::data::measuring::{Active, Machine, SweepProgress};
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::history::RunFilter;
use crate::tasks::survey::{Finished, Survey, describe_machine, earlier, finish, steps};

/// Longest time for a survey.
const LIMIT: Duration = Duration::from_mins(10);

/// A survey that is over.
struct Ended {
    /// Steps with a result, of all.
    done: [usize; 2],
    finished: Finished,
    /// Why runs are missing from the history, if any are.
    lost: Option<String>,
}

impl State {
    /// Surveys the machine, in the background.
    pub(crate) fn survey(&mut self) {
        let (Some(worker), Machine::Can(machine)) = (
            self.measuring.worker_with_settings(),
            &self.measuring.machine,
        ) else {
            return;
        };
        let machine = self.measuring.settings.applied(machine);
        let of = steps(machine.dla_cores.unwrap_or(0)).map_or(0, |steps| steps.len());
        let (active, shared, stop) = Active::series(Command::Survey.text(), "Survey", of);
        self.measuring.active = Some(active);
        let (history, wake) = (self.history.clone(), Arc::clone(&self.wake));
        let folder = self.store.dir().to_owned();
        let work = move || -> anyhow::Result<Ended> {
            let board = describe_machine(&machine)?;
            let cache = tempfile::tempdir()?;
            // Without a history everything is measured anew.
            let before = history.with(|store| Ok(earlier(store).unwrap_or_default()));
            let mut lost = None;
            let mut keep = |run: &Run| {
                if let Err(e) = history.with(|store| store.insert_run(run)) {
                    lost = Some(e.to_string());
                }
            };
            let survey = Survey {
                worker: &worker,
                machine: &machine,
                limit: LIMIT,
                cache: Some(cache.path().to_owned()),
            };
            let surveyed = survey.run(
                before.unwrap_or_default(),
                &mut keep,
                &|| stop.load(Ordering::Relaxed),
                &mut |p| {
                    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    shared.progress = SweepProgress::of("Survey", p);
                    drop(shared);
                    wake();
                },
            )?;
            let done = [surveyed.done, surveyed.of];
            let others = history.with(|store| {
                store.runs(&RunFilter {
                    finished: true,
                    ..RunFilter::default()
                })
            });
            let others = others.unwrap_or_default();
            let finished = finish(&folder, &machine, board, surveyed, None, others)?;
            Ok(Ended {
                done,
                finished,
                lost,
            })
        };
        if !self.background("Surveying", false, work, Self::survey_ended) {
            self.measuring.active = None;
        }
    }

    fn survey_ended(&mut self, ended: anyhow::Result<Ended>) {
        self.measuring.active = None;
        let ended = match ended {
            Ok(ended) => ended,
            Err(e) => {
                self.messages.push(Message::error(
                    "The survey told nothing".into(),
                    &format!("{e:#}"),
                    "Estimates stay as they were; the same command goes on from there",
                ));
                return;
            }
        };
        if let Some(why) = ended.lost {
            self.messages.push(Message::error(
                "Runs of the survey are missing from the history".into(),
                &why,
                "The survey's own file has them",
            ));
        }
        let [done, of] = ended.done;
        let finished = ended.finished;
        let mut told = vec![format!("Kept in {}", finished.file.display())];
        for fitted in &finished.learnt.refits.boards {
            told.push(fitted.after.source.clone());
        }
        told.extend(finished.learnt.refits.as_shipped.iter().cloned());
        if let Some(judged) = &finished.rules {
            let against: Vec<String> = judged
                .iter()
                .filter(|j| j.agrees == Some(false))
                .map(crate::tasks::rules::Judged::text)
                .collect();
            told.push(format!(
                "TensorRT contradicts {} of {} cases at the edges of the DLA's rules",
                against.len(),
                judged.len()
            ));
            told.extend(against);
        }
        let title = format!("Survey: {done} of {of} steps measured");
        let message = Message::info(title, &told.join("\n"));
        let board = finished.target.board.name;
        self.messages
            .push(message.with_action(&format!("Plan for {board}"), Command::TargetHere));
        self.renew_estimates();
    }
}
