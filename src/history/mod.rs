//! What was kept and measured, in one SQLite file: kept placements, runs with their samples and
//! logs, published references. Knows nothing of charts.

pub(crate) mod csv;
mod head;
mod own;
mod reference;
mod store;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::Run;
use crate::figure::Figure;
use crate::placement::{EngineConfig, Placement};

pub use csv::CSV_HEADER;
pub use head::RunHead;
pub use own::{PassedOver, RunModels, calibration, estimator, own_calibration_path};
pub use reference::{BUNDLED, Reference, ReferenceSet};
pub use store::{Store, data_dir, default_path};

/// A kept placement before it has an id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewKept {
    /// Under which name.
    pub name: String,
    /// Short name of the model.
    pub model: String,
    /// [`crate::model::Source::structure_hash`].
    pub structure_hash: String,
    /// What it places.
    pub placement: Placement,
    /// How the engine is built.
    pub config: EngineConfig,
    /// Where it would run: [`crate::platform::Target::id`].
    pub target: String,
    /// Images per second when it was kept.
    pub fps: Figure,
    /// Share of the multiply-accumulates on the DLA, 0-1.
    pub dla_mac_share: Option<f64>,
}

/// A placement kept under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// In this history.
    pub id: i64,
    /// When it was kept, ms since 1970 (UTC).
    pub created_ms: u64,
    /// What the user noted on it; empty without a note.
    pub note: String,
    /// What was kept.
    pub kept: NewKept,
}

/// A run of this history.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// In this history.
    pub id: i64,
    /// The run.
    pub run: Run,
}

/// Which runs to list. Empty fields take all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    /// Of this model structure.
    pub structure_hash: Option<String>,
    /// Of models with this short name.
    pub model: Option<String>,
    /// Of this deployment.
    pub group: Option<String>,
    /// Only those with figures.
    pub finished: bool,
    /// At most this many, the newest.
    pub limit: Option<u32>,
    /// With samples and log lines; without them listing stays quick.
    pub details: bool,
}

/// Something deleted that can be brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A run.
    Run(i64),
    /// A kept placement.
    Kept(i64),
}

/// The history cannot be read or written. Each message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the fields are the values that each message shows"
)]
pub enum HistoryError {
    /// The folder cannot be made.
    #[error("{}: {source}. Check that the folder can be written", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// SQLite refuses.
    #[error("{}: {what}: {source}{}", path.display(), remedy(source))]
    Sqlite {
        path: PathBuf,
        what: &'static str,
        source: rusqlite::Error,
    },
    /// Written by a later version.
    #[error(
        "{}: this history has layout {found} and this dlaplan knows up to {known}; update dlaplan, \
         or choose another file with --history", path.display()
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// A row that does not parse.
    #[error(
        "{}: {table} {id} cannot be read ({source}); delete that entry or restore the file from a \
         backup", path.display()
    )]
    Row {
        path: PathBuf,
        table: &'static str,
        id: i64,
        source: serde_json::Error,
    },
    /// Not a reference table.
    #[error("{name}: not a table of published references: {source}; see assets/references")]
    Reference {
        name: String,
        source: serde_json::Error,
    },
    /// A reference table of a later layout.
    #[error("{name}: reference table of layout {found}; this dlaplan reads 1")]
    ReferenceLayout { name: String, found: u32 },
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly,
    };
    match error.sqlite_error_code() {
        Some(NotADatabase | DatabaseCorrupt) => {
            ". This is not a readable history: move it away, and dlaplan makes a new one"
        }
        Some(DatabaseBusy) => ". Another dlaplan is writing; try again",
        Some(DiskFull) => ". The disk is full",
        Some(ReadOnly | CannotOpen) => ". Check the file's permissions",
        _ => "",
    }
}
