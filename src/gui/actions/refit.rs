//! Estimates that learn from the user's own runs: refits in the background, and the way back.

use std::path::{Path, PathBuf};

use crate::estimate::board::BoardFile;
use crate::history::{RunFilter, own_calibration_path};
use crate::platform::Board;
use crate::tasks::refit::refit;

use crate::gui::command::Command;
use crate::gui::data::kept::History;
use crate::gui::message::Message;
use crate::gui::state::State;

/// The newest runs a refit stands on; older ones are of older settings more often than not.
const MOST_RUNS: u32 = 200;

impl State {
    /// Fits the estimates of a board to the history, if there is enough of it.
    pub(crate) fn learn(&mut self, board: &'static str) {
        if self.shipped_only {
            return;
        }
        let history = self.history.clone();
        let folder = self.store.dir().to_owned();
        self.background(
            "Fitting estimates to your runs",
            true,
            move || fit(&history, board, &folder),
            Self::learned,
        );
    }

    /// Takes in a refit: estimates stand on it from now on.
    pub(crate) fn learned(&mut self, result: Result<Option<Box<BoardFile>>, String>) {
        match result {
            Ok(None) => {}
            Ok(Some(file)) => {
                self.renew_estimates();
                let board = Board::find(&file.board).map_or(&*file.board, |b| b.name);
                self.messages.push(
                    Message::info(
                        "Estimates were fitted to your runs".into(),
                        &format!("{board}: {}", file.source),
                    )
                    .with_action("Use the shipped ones", Command::Learn(false)),
                );
            }
            Err(why) => self.messages.push(Message::error(
                "Estimates were not fitted to your runs".into(),
                &why,
                "They stay as they were",
            )),
        }
    }

    /// Lets estimates learn from own runs, or takes back what they learned.
    pub(crate) fn set_learning(&mut self, on: bool) {
        self.shipped_only = !on;
        self.save_settings();
        if on {
            self.learn(self.target.board.id);
            return;
        }
        let folder = own_calibration_path(self.store.dir(), "");
        let folder = folder.parent().unwrap_or(Path::new(""));
        match std::fs::remove_dir_all(folder) {
            Ok(()) => self.renew_estimates(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => self.messages.push(Message::error(
                "The own calibration cannot be deleted".into(),
                &format!("{}: {e}", folder.display()),
                "Delete the folder yourself, then change any setting",
            )),
        }
    }

    pub(crate) fn renew_estimates(&mut self) {
        self.renew_search();
        self.touch(true);
        self.list_anew();
    }

    /// Where the user's own calibration lies.
    pub(crate) fn calibration_folder(&self) -> PathBuf {
        self.store.dir().to_owned()
    }
}

/// Refits a board and writes its calibration; `None` where the runs do not suffice.
fn fit(history: &History, board: &str, folder: &Path) -> Result<Option<Box<BoardFile>>, String> {
    let finished = RunFilter {
        finished: true,
        limit: Some(MOST_RUNS),
        ..RunFilter::default()
    };
    let runs = history.with(|store| store.runs(&finished));
    let runs = runs.map_err(|e| e.to_string())?;
    let refits = refit(folder, [board], &runs, None).map_err(|e| format!("{e:#}"))?;
    for run in refits.passed_over {
        log::info!("run {} passed over: {}", run.run, run.reason);
    }
    let fitted = refits.boards.into_iter().next();
    Ok(fitted.map(|refit| Box::new(refit.after)))
}
