//! The confirm loop's bench on the engine room: requests out, runs in, the board's calibration
//! refitted after each.

use std::ops::ControlFlow;

use crate::engine::{ErrorKind, Outcome, Request, Run, own_run};
use crate::estimate::Estimator;
use crate::estimate::board::{BoardFile, shipped};
use crate::estimate::fit::own::{OwnRun, refit};
use crate::figure::{Figure, Measured};
use crate::model::{Model, ModelInput};
use crate::plan::Planner;
use crate::platform::Target;

use crate::search::confirm::{Bench, NotMeasured, Setup};

/// Measures engines at the same time and returns one run each; tells the stage, and `Break`
/// cancels.
pub type Room<'r> = dyn FnMut(&[Request], &mut dyn FnMut(&str) -> ControlFlow<()>) -> Vec<Run> + 'r;

/// A bench for one model on one target.
pub struct EngineBench<'b> {
    model: &'b Model,
    target: Target,
    /// What every request has in common; placement and config are filled in.
    template: Request,
    room: &'b mut Room<'b>,
    /// Hears every run as it comes, to keep it.
    keep: &'b mut dyn FnMut(&Run),
    runs: Vec<Run>,
    shipped: BoardFile,
    board: BoardFile,
    /// The runs are of the target, so that its calibration may learn from them.
    learns: bool,
}

impl<'b> EngineBench<'b> {
    /// `earlier` are runs of the history; those of another model or with other settings are
    /// passed over. `learns` says that the machine measured on is the target.
    pub fn new(
        model: &'b Model,
        target: Target,
        template: Request,
        earlier: Vec<Run>,
        learns: bool,
        room: &'b mut Room<'b>,
        keep: &'b mut dyn FnMut(&Run),
    ) -> Self {
        let file = shipped(target.board.id);
        let hash = &model.source.structure_hash;
        let mut bench = Self {
            model,
            target,
            room,
            keep,
            runs: earlier
                .into_iter()
                .filter(|r| {
                    &r.model.structure_hash == hash && same_terms(model, &r.request, &template)
                })
                .collect(),
            template,
            board: file.clone(),
            shipped: file,
            learns,
        };
        bench.refit();
        bench
    }

    /// The calibration in force, refitted to the runs so far.
    pub fn board(&self) -> &BoardFile {
        &self.board
    }

    fn refit(&mut self) {
        if !self.learns {
            return;
        }
        let own: Vec<OwnRun<'_>> = self
            .runs
            .iter()
            .filter_map(|r| own_run(r, self.model, self.target))
            .collect();
        // Too few runs leave the shipped calibration in force.
        if let Ok(board) = refit(&self.shipped, &own) {
            self.board = board;
        }
    }

    fn requests(&self, setup: &Setup) -> Vec<Request> {
        setup
            .engines
            .iter()
            .map(|e| Request {
                placement: e.placement.clone(),
                config: e.config.clone(),
                ..self.template.clone()
            })
            .collect()
    }
}

/// Whether a request of the past measures as the template does, placement and config apart. Dims
/// are compared as they are in force, however they were said.
pub fn same_terms(model: &Model, past: &Request, template: &Request) -> bool {
    let dims = |input: &ModelInput| {
        let tensor = model.tensor(input.tensor);
        let said = past.inputs.get(&*tensor.name).cloned();
        said.or_else(|| input.fixed()) == tensor.shape
    };
    model.inputs.iter().all(dims)
        && (&past.calibration, past.pools, past.tactic_sources)
            == (
                &template.calibration,
                template.pools,
                template.tactic_sources,
            )
}

/// The figure of runs that are all of a setup.
fn figure(runs: &[&Run]) -> Option<Measured> {
    match runs {
        [one] => one.fps().cloned(),
        [first, ..] => first.deployment.as_ref()?.total_fps.clone(),
        [] => None,
    }
}

/// Whether the figures of runs at the same time stand for their placements.
///
/// # Errors
/// Why they do not.
pub fn verdict(runs: &[&Run]) -> Result<(), NotMeasured> {
    // One failure ends the others, which then count as cancelled.
    let mut cancelled = false;
    for run in runs {
        if let Outcome::Failed(failure) = &run.outcome {
            if failure.kind != ErrorKind::Cancelled {
                return Err(NotMeasured::Failed(failure.message.clone()));
            }
            cancelled = true;
        }
    }
    if cancelled {
        return Err(NotMeasured::Cancelled);
    }
    if runs.iter().all(|run| run.stands_for_placement()) {
        return Ok(());
    }
    Err(NotMeasured::Failed(
        "TensorRT moved ops off the DLA that the plan had there, so the figure is not of this \
         placement; the run lists them"
            .into(),
    ))
}

impl Bench for EngineBench<'_> {
    fn known(&self, setup: &Setup) -> Option<Measured> {
        let is = |run: &Run, at: usize| {
            let e = &setup.engines[at];
            run.request.placement == e.placement
                && run.request.config == e.config
                && run.stands_for_placement()
        };
        if setup.engines.len() == 1 {
            let alone = |r: &&Run| r.deployment.is_none() && is(r, 0);
            return figure(&[self.runs.iter().rfind(alone)?]);
        }
        let members = |group: &str| -> Vec<&Run> {
            let mut of: Vec<&Run> = self
                .runs
                .iter()
                .filter(|r| r.deployment.as_ref().is_some_and(|d| d.group == group))
                .collect();
            of.sort_by_key(|r| r.deployment.as_ref().map(|d| d.member));
            of
        };
        self.runs.iter().rev().find_map(|r| {
            let share = r.deployment.as_ref()?;
            let runs = members(&share.group);
            let all = share.members as usize == setup.engines.len()
                && runs.len() == setup.engines.len()
                && runs.iter().enumerate().all(|(i, r)| is(r, i));
            if all { figure(&runs) } else { None }
        })
    }

    fn measure(
        &mut self,
        setup: &Setup,
        stage: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Measured, NotMeasured> {
        let requests = self.requests(setup);
        let runs = (self.room)(&requests, stage);
        for r in &runs {
            (self.keep)(r);
        }
        let refs: Vec<&Run> = runs.iter().collect();
        let result = verdict(&refs).and_then(|()| {
            let none = || NotMeasured::Failed("the engine room gave no figure".into());
            figure(&refs).ok_or_else(none)
        });
        self.runs.extend(runs);
        result
    }

    fn learn(&mut self, _: &Setup, _: &Measured) {
        self.refit();
    }

    fn estimate(&self, setup: &Setup) -> Figure {
        let mut loads = Vec::new();
        let mut alone = Figure::none("no engines");
        for e in &setup.engines {
            let planner = Planner::new(self.model, &self.target, &e.config);
            let estimator = Estimator::with_board(&planner, &self.board);
            let plan = match planner.plan_placement(&e.placement) {
                Ok(plan) => plan,
                Err(unknown) => return Figure::none(unknown.to_string()),
            };
            if setup.engines.len() == 1 {
                return estimator.estimate(&plan).fps;
            }
            match estimator.load(&plan) {
                Ok(load) => loads.push(load),
                Err(reason) => return Figure::none(reason),
            }
            alone = estimator.deployment(&loads).total_fps;
        }
        alone
    }
}
