//! What `sweep` and `survey` both show and keep.

use std::io::IsTerminal as _;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::engine::Run;
use crate::history::{HistoryError, Store};
use crate::tasks::progress::Progress;

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
