//! Measuring engines with a worker, and comparing what was built with the plan.

use std::ops::ControlFlow;

use crate::engine::client::{self, Limits, Update};
use crate::engine::{Environment, ModelRef, Request, Run, WorkerCommand, deploy};
use crate::model::Model;
use crate::plan::plan;
use crate::platform::Target;

/// How a worker is started and how long it may take.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The program, as a rule this one.
    pub command: WorkerCommand,
    /// How long to wait for each step.
    pub limits: Limits,
}

impl Worker {
    /// This program; `None` where the system cannot say where the program is.
    pub fn local() -> Option<Self> {
        Some(Self {
            command: WorkerCommand::local().ok()?,
            limits: Limits::default(),
        })
    }
}

/// Measures one engine, or several at the same time. Each run carries the comparison with the plan
/// for the target that `rules` names for the machine that built it. `hear` is told the engine's
/// position and what happens there; `Break` cancels.
pub fn measure(
    worker: &Worker,
    model: &Model,
    requests: &[Request],
    rules: &dyn Fn(&Environment) -> Option<Target>,
    hear: &mut dyn FnMut(usize, &Update) -> ControlFlow<()>,
) -> Vec<Run> {
    let (command, limits) = (&worker.command, worker.limits);
    let mut runs = match requests {
        [request] => {
            let mut hear = |update: &Update| hear(0, update);
            vec![client::profile(command, limits, request.clone(), &mut hear)]
        }
        _ => deploy(command, limits, requests, hear),
    };
    for run in &mut runs {
        if let Some(target) = rules(&run.environment) {
            let (config, placement) = (&run.request.config, &run.request.placement);
            // A placement that does not fit the model was refused by the worker.
            if let Ok(plan) = plan(model, &target, config, placement) {
                run.compare_with(model, &plan);
            }
        }
        // A worker that failed early has not said which model it was.
        if run.model.structure_hash.is_empty() {
            run.model = ModelRef {
                name: model.name.clone(),
                structure_hash: model.source.structure_hash.clone(),
                timing_only: model.source.structure_only,
            };
        }
    }
    runs
}
