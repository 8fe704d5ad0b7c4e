//! Proposals of a search that are being measured.

use crate::search::confirm::Trial;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Proposals built and measured, besides the baselines.
pub const TOP: usize = 3;

#[derive(Default)]
pub(crate) struct Live {
    pub(crate) text: String,
    pub(crate) done: usize,
    pub(crate) of: usize,
    pub(crate) trials: Vec<Trial>,
}

/// Proposals that are being measured.
pub struct Confirming {
    /// The user has cancelled it.
    pub cancelled: bool,
    pub(crate) live: Arc<Mutex<Live>>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Confirming {
    fn look<T>(&self, at: impl FnOnce(&Live) -> T) -> T {
        at(&self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it is at: `2 of 5: GPU, building`.
    pub fn text(&self) -> String {
        if self.cancelled {
            return "cancelling…".into();
        }
        self.look(|l| l.text.clone())
    }

    /// Share of the trials that have an outcome.
    pub fn fraction(&self) -> f64 {
        self.look(|l| l.done as f64 / l.of.max(1) as f64)
    }

    /// Trials with an outcome since there were so many.
    pub(crate) fn since(&self, known: usize) -> Option<Vec<Trial>> {
        self.look(|l| (l.trials.len() != known).then(|| l.trials.clone()))
    }

    pub(crate) fn cancel(&mut self) {
        self.cancelled = true;
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Confirming {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
