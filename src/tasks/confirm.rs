//! Building and measuring what a search has found.

use std::ops::ControlFlow;

use crate::engine::client::Update;
use crate::engine::{ClockRange, Environment, Request, Run, environment};
use crate::history::{RunFilter, StoredRun};
use crate::model::Model;
use crate::platform::Target;
use crate::search::confirm::engines::EngineBench;
use crate::search::confirm::{Confirmed, Event, Trial, confirm};

use super::measure::{Worker, measure};

/// Proposals to measure on one machine.
pub struct Confirm<'c> {
    /// The network.
    pub model: &'c Model,
    /// The target of the search.
    pub target: Target,
    /// What every request has in common; placement and config are filled in.
    pub template: Request,
    /// What builds and measures.
    pub worker: &'c Worker,
    /// The worker's machine.
    pub machine: &'c Environment,
}

impl Confirm<'_> {
    /// Measures trials in the order that promises most. Figures of `earlier` runs on the same
    /// machine are taken over; `keep` gets each new run. `hear` is told where the loop is, and
    /// `stopped` asked at least ten times a second.
    pub fn run(
        self,
        trials: Vec<Trial>,
        earlier: Vec<StoredRun>,
        keep: &mut dyn FnMut(&Run),
        stopped: &dyn Fn() -> bool,
        hear: &mut dyn FnMut(Event<'_>),
    ) -> Confirmed {
        let go_on = || {
            if stopped() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        // Rules to compare with are those of the machine that built the engine.
        let rules = |built_on: &Environment| environment::target(built_on).or(Some(self.target));
        let earlier = earlier.into_iter().map(|stored| stored.run);
        let earlier = earlier.filter(|r| same_machine(&r.environment, self.machine));
        let mut room = |requests: &[Request], stage: &mut dyn FnMut(&str) -> ControlFlow<()>| {
            measure(
                self.worker,
                self.model,
                requests,
                &rules,
                &mut |_, update| {
                    match update {
                        Update::Progress { stage: at, .. } => stage(at.label())?,
                        Update::Warning(text) => log::warn!("{text}"),
                        _ => {}
                    }
                    go_on()
                },
            )
        };
        let mut bench = EngineBench::new(
            self.model,
            self.target,
            self.template,
            earlier.collect(),
            learns(self.machine, &self.target),
            &mut room,
            keep,
        );
        confirm(trials, &mut bench, &mut |event| {
            hear(event);
            go_on()
        })
    }
}

/// The finished runs of a model, which hold the figures of earlier sessions.
pub fn earlier(model: &Model) -> RunFilter {
    RunFilter {
        structure_hash: Some(model.source.structure_hash.clone()),
        finished: true,
        ..RunFilter::default()
    }
}

/// Whether figures of a machine may correct the estimates for a target.
pub fn learns(machine: &Environment, target: &Target) -> bool {
    environment::place(machine).is_ok_and(|here| here.board.id == target.board.id)
}

/// Figures of another machine or power mode are not these, nor those of clocks that were held where
/// they are free now.
pub(super) fn same_machine(a: &Environment, b: &Environment) -> bool {
    let held = |e: &Environment| {
        let mut clocks = e.clock_ranges.iter();
        clocks
            .find(|c| c.name == "gpu")
            .and_then(ClockRange::locked)
    };
    (&a.board, &a.host, &a.power_mode, held(a)) == (&b.board, &b.host, &b.power_mode, held(b))
}
