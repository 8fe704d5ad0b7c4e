//! What the user measured, as evidence for the estimates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::engine::{Run, environment, own_run, own_share};
use crate::estimate::Estimator;
use crate::estimate::board::{BoardFile, shipped};
use crate::estimate::fit::own::OwnRun;
use crate::files::read_text;
use crate::model::Model;
use crate::model::onnx::{LoadOptions, open};
use crate::plan::Planner;
use crate::platform::Target;

use super::{StoredRun, data_dir};

type Key = (PathBuf, BTreeMap<String, Vec<u64>>);

/// The models that runs are about, each read once.
#[derive(Debug)]
pub struct RunModels(BTreeMap<Key, Result<Model, String>>);

/// A run that says nothing of the estimates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Its id in the history.
    pub run: i64,
    /// Why, and what to do where something can be done.
    pub reason: String,
}

impl RunModels {
    /// Reads the models of runs with figures from where the runs found them.
    pub fn read(runs: &[StoredRun]) -> Self {
        let mut models = BTreeMap::new();
        for run in runs.iter().filter(|r| r.run.measurement().is_some()) {
            models.entry(key(&run.run)).or_insert_with(|| {
                let (path, inputs) = key(&run.run);
                let options = LoadOptions { inputs };
                open(&path, &options).map_err(|e| e.to_string())
            });
        }
        Self(models)
    }

    /// The runs that [`crate::estimate::fit::own::refit`] can learn from, and the others.
    pub fn own_runs(&self, runs: &[StoredRun]) -> (Vec<OwnRun<'_>>, Vec<PassedOver>) {
        let mut own = Vec::new();
        let mut passed_over = Vec::new();
        for stored in runs {
            match self.own(&stored.run) {
                Ok(run) => own.push(run),
                Err(reason) => passed_over.push(PassedOver {
                    run: stored.id,
                    reason,
                }),
            }
        }
        (own, passed_over)
    }

    /// Engines that ran at the same time, one list a deployment, where each has a figure that
    /// stands for its placement.
    pub fn own_deployments(&self, runs: &[StoredRun]) -> Vec<Vec<OwnRun<'_>>> {
        let mut groups: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
        for run in runs.iter().map(|s| &s.run) {
            if let Some(share) = &run.deployment {
                groups.entry(&share.group).or_default().push(run);
            }
        }
        let member = |run: &Run| {
            let (model, target) = self.place(run).ok()?;
            own_share(run, model, target)
        };
        let whole = |runs: Vec<&Run>| {
            let all = runs.first()?.deployment.as_ref()?.members as usize;
            let members = runs.into_iter().map(member).collect::<Option<Vec<_>>>()?;
            (members.len() == all).then_some(members)
        };
        groups.into_values().filter_map(whole).collect()
    }

    fn own(&self, run: &Run) -> Result<OwnRun<'_>, String> {
        let (model, target) = self.place(run)?;
        own_run(run, model, target).ok_or_else(|| {
            "its figures do not stand for its placement alone (a deployment, or ops that left the \
             DLA)"
                .to_owned()
        })
    }

    /// The model of a run and where it ran.
    fn place(&self, run: &Run) -> Result<(&Model, Target), String> {
        let model = match self.0.get(&key(run)) {
            Some(Ok(model)) => model,
            Some(Err(reason)) => return Err(format!("its model cannot be read: {reason}")),
            None => return Err("it has no figures".to_owned()),
        };
        if model.source.structure_hash != run.model.structure_hash {
            return Err(format!(
                "{} is no longer the model that was measured",
                run.request.model.display()
            ));
        }
        Ok((model, environment::place(&run.environment)?))
    }
}

fn key(run: &Run) -> Key {
    (run.request.model.clone(), run.request.inputs.clone())
}

/// Where a board's own calibration lies in a data folder.
pub fn own_calibration_path(data_dir: &Path, board: &str) -> PathBuf {
    data_dir.join("calibration").join(format!("{board}.json"))
}

/// The calibration in force for a board: the user's own, written by `dlaplan calibrate
/// --from-history`, else the shipped one. An own file that cannot be used is passed over with a
/// warning in the log.
pub fn calibration(data_dir: Option<&Path>, board: &str) -> BoardFile {
    let Some(path) = data_dir.map(|d| own_calibration_path(d, board)) else {
        return shipped(board);
    };
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return shipped(board),
        Err(e) => {
            log::warn!("{}: {e}; the shipped calibration is used", path.display());
            return shipped(board);
        }
    };
    BoardFile::parse(&text, board).unwrap_or_else(|e| {
        log::warn!(
            "{}: {e}; the shipped calibration is used. Make the file anew with `dlaplan calibrate \
             --from-history`, or delete it",
            path.display()
        );
        shipped(board)
    })
}

/// An estimator with the calibration in force for the planner's board: what every estimate that a
/// user sees comes from.
pub fn estimator<'p, 'm>(planner: &'p Planner<'m>) -> Estimator<'p, 'm> {
    let board = planner.target().board.id;
    Estimator::with_board(planner, &calibration(data_dir().as_deref(), board))
}
