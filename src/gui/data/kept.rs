//! Kept placements: the history they are in, and its changes.

use crate::chart::Point;
use crate::gui::data::points::Origin;
use crate::history;
use crate::history::{HistoryError, Kept, NewKept};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The history, opened by the first job that needs it.
#[derive(Clone)]
pub struct History {
    path: PathBuf,
    store: Arc<Mutex<Option<(FileId, history::Store)>>>,
}

/// Device and inode of a file; none where it is gone.
type FileId = Option<(u64, u64)>;

impl History {
    /// The history of a data folder.
    pub fn of(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("history.sqlite"),
            store: Arc::default(),
        }
    }

    /// Does something with it, one caller at a time.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mut history::Store) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let mut guard = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that was deleted or replaced takes changes without a word, and nobody sees them again.
        let here = self.file();
        if guard
            .as_ref()
            .is_none_or(|(at, _)| at.is_none() || *at != here)
        {
            let store = history::Store::open(&self.path)?;
            *guard = Some((self.file(), store));
        }
        match guard.as_mut() {
            Some((_, store)) => work(store),
            None => unreachable!("opened above"),
        }
    }

    fn file(&self) -> FileId {
        let meta = std::fs::metadata(&self.path).ok()?;
        Some((meta.dev(), meta.ino()))
    }
}

/// One change of the history.
#[derive(Clone, Debug)]
pub enum Change {
    /// None; only list what is there.
    List,
    /// Keep.
    Keep(Box<NewKept>),
    /// Keep under another name, in the same place.
    Rename(i64, Box<NewKept>),
    /// Note on one, with its name for the message.
    Note(i64, String, String),
    /// Delete, with the name for the message.
    Delete(i64, String),
    /// Bring a deleted one back.
    Restore(i64),
}

/// What a change left behind.
pub struct Listing {
    /// Kept placements of the model, oldest first.
    pub kept: Vec<Kept>,
    /// The same as points of the chart, estimated for the target.
    pub kept_points: Vec<Point>,
    /// Published figures and the user's own runs, as points of the chart.
    pub others: Vec<(Origin, Point)>,
}
