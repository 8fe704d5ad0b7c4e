//! What commands that measure one engine after the other share: progress, and the history.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Result;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::engine::Run;
use crate::history::{HistoryError, Store, default_path};
use crate::tasks::progress::Progress;

/// The history that results are taken from and kept in.
#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// History file; by default the user's.
    #[arg(long, value_name = "FILE", conflicts_with = "no_history")]
    pub history: Option<PathBuf>,
    /// Neither take results from the history nor store any.
    #[arg(long)]
    pub no_history: bool,
}

impl HistoryArgs {
    /// `None` with --no-history, or where there is no folder for it.
    ///
    /// # Errors
    /// The file is no history, or cannot be opened.
    pub(super) fn open(&self) -> Result<Option<Store>> {
        if self.no_history {
            return Ok(None);
        }
        let path = self.history.clone().or_else(default_path);
        Ok(path.map(|path| Store::open(&path)).transpose()?)
    }
}

/// A line for progress, where standard error is a terminal.
pub(super) fn spinner() -> ProgressBar {
    if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner())
    } else {
        ProgressBar::hidden()
    }
}

/// Stores each run; what could not be stored last is in `lost`.
pub(super) fn keep(
    history: &mut Option<Store>,
    lost: &mut Option<HistoryError>,
) -> impl FnMut(&Run) {
    move |run| {
        if let Some(store) = &mut *history
            && let Err(e) = store.insert_run(run)
        {
            *lost = Some(e);
        }
    }
}

/// Progress in words.
pub(super) fn progress(p: &Progress<'_>) -> String {
    let left = p.left.map(|left| format!(", {} left", HumanDuration(left)));
    format!(
        "{} of {}: {}, {}{}",
        p.done + 1,
        p.of,
        p.title,
        p.stage,
        left.unwrap_or_default()
    )
}
