//! Asking the judge and hearing its answers.

use std::sync::Arc;
use std::time::Instant;

use crate::gui::background::judge::{Answer, Died, Judge};
use crate::gui::data::judgement::Company;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::placement::{Device, Site};

impl State {
    /// Starts a judge for the model, target and config in force.
    pub(crate) fn start_judge(&mut self) {
        self.judge = None;
        self.asked = None;
        self.ground = None;
        self.what_if = None;
        self.what_if_asked = None;
        // Another target or calibration judges it differently.
        self.compare.stale();
        let cores = self.dla_cores();
        self.company = self.company.filter(|c| match c {
            Company::Gpu => true,
            Company::Dla(core) => *core < cores,
        });
        let Some(open) = &self.open else { return };
        match Judge::start(
            Arc::clone(&open.model),
            self.target,
            self.config().clone(),
            self.calibration_folder(),
            Arc::clone(&self.wake),
        ) {
            Ok(judge) => self.judge = Some(judge),
            Err(e) => self.messages.push(Message::error(
                "No plan: could not start a background thread".into(),
                &e.to_string(),
                "Close other programs, then change any setting",
            )),
        }
    }

    /// Talks to the judge.
    pub(crate) fn consult(&mut self) {
        let Some(judge) = &self.judge else { return };
        let fresh = self.fresh().is_some();
        if !fresh
            && self.asked != Some(self.revision)
            && judge.judge(self.revision, self.doc.placement(), self.company)
        {
            self.asked = Some(self.revision);
        }
        let deadline = Instant::now() + self.patience;
        loop {
            let Some(judge) = &self.judge else { return };
            let answer = if self.asked == Some(self.revision) && self.fresh().is_none() {
                judge.wait(deadline)
            } else {
                judge.poll()
            };
            match answer {
                Ok(Some(answer)) => self.hear(answer),
                Ok(None) => break,
                Err(Died) => {
                    self.judge = None;
                    self.messages.push(Message::error(
                        "Planning stopped".into(),
                        "This is a bug in dlaplan; your work is saved.",
                        "Change any setting to plan again, and report the model",
                    ));
                    return;
                }
            }
        }
        self.consider();
    }

    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Ground(ground) => self.ground = Some(ground),
            Answer::Judged(_, Ok(judged)) => {
                if self
                    .judged
                    .as_ref()
                    .is_none_or(|j| j.revision <= judged.revision)
                {
                    self.judged = Some(judged);
                }
            }
            Answer::Judged(_, Err(unknown)) => {
                self.messages.push(Message::error(
                    "The placement does not fit the model".into(),
                    &unknown.to_string(),
                    "The assignment was taken away; undo brings it back",
                ));
                self.drop_unknown();
            }
            Answer::WhatIf(key, figures) => self.what_if = Some((key, figures)),
        }
    }

    /// Asks what other devices for the selection would bring.
    fn consider(&mut self) {
        let Some(open) = &self.open else { return };
        if self.selection.nodes.is_empty() || self.fresh().is_none() {
            return;
        }
        let key = self.what_if_key();
        if self.what_if_asked == Some(key) {
            return;
        }
        let sites: Vec<Site> = self
            .selection
            .nodes
            .iter()
            .map(|n| self.site(open, *n))
            .collect();
        let now = self.doc.placement();
        let with = |device: Option<Device>| {
            let mut next = now.clone();
            for site in &sites {
                match device {
                    Some(d) => {
                        next.overrides.insert(site.clone(), d);
                    }
                    None => {
                        next.overrides.remove(site);
                    }
                }
            }
            next
        };
        let placements = vec![with(Some(Device::Gpu)), with(Some(Device::Dla)), with(None)];
        if self
            .judge
            .as_ref()
            .is_some_and(|j| j.consider(key, placements))
        {
            self.what_if_asked = Some(key);
        }
    }

    /// Counts selections and revisions together.
    pub fn what_if_key(&self) -> u64 {
        (self.revision << 20) ^ self.what_if_key
    }

    /// The selection has changed.
    pub fn reselect(&mut self) {
        self.what_if_key += 1;
    }
}
