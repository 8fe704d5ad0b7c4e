//! Fitting a board's estimates to the user's own runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::estimate::board::{BoardFile, shipped};
use crate::estimate::fit::own::refit as fit;
use crate::estimate::fit::together::refit_together;
use crate::files::save_atomic;
use crate::history::{PassedOver, RunModels, StoredRun, own_calibration_path};

/// What a refit came to.
#[derive(Debug, Default)]
pub struct Refits {
    /// Boards with a new calibration.
    pub boards: Vec<Refit>,
    /// Runs that say nothing of the estimates.
    pub passed_over: Vec<PassedOver>,
    /// Boards with runs, but too few: why.
    pub as_shipped: Vec<String>,
}

/// A board's new calibration.
#[derive(Debug)]
pub struct Refit {
    /// Where the calibration was written.
    pub path: PathBuf,
    /// As shipped.
    pub before: BoardFile,
    /// As fitted.
    pub after: BoardFile,
}

/// Fits boards to runs and writes their calibrations into a data folder. Boards without runs are
/// left out. `from` says where the runs come from, where that is worth saying.
///
/// # Errors
/// The folder cannot be made or written.
pub fn refit<'b>(
    folder: &Path,
    boards: impl IntoIterator<Item = &'b str>,
    runs: &[StoredRun],
    from: Option<&str>,
) -> Result<Refits> {
    let models = RunModels::read(runs);
    let (own, passed_over) = models.own_runs(runs);
    let deployments = models.own_deployments(runs);
    let mut refits = Refits {
        passed_over,
        ..Refits::default()
    };
    for board in boards {
        if !own.iter().any(|run| run.target.board.id == board) {
            continue;
        }
        let before = shipped(board);
        match fit(&before, &own) {
            Ok(after) => {
                let mut after = refit_together(&after, &own, &deployments);
                if let Some(from) = from {
                    after.source = format!("{}; {from}", after.source);
                }
                let path = own_calibration_path(folder, board);
                save(&path, after.to_text()?.as_bytes())?;
                refits.boards.push(Refit {
                    path,
                    before,
                    after,
                });
            }
            Err(too_few) => refits.as_shipped.push(too_few.to_string()),
        }
    }
    Ok(refits)
}

/// Saves into a folder that is made where it is missing.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(save_atomic(path, bytes)?)
}
