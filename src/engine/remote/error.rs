//! Why the files of a request cannot be sent or taken.

use std::path::{Path, PathBuf};

use crate::model::onnx::weights;

/// Bytes of the disk that no parcel takes: the machine needs some itself, and so does the engine.
pub const SPARE: u64 = 256 << 20;

/// Why a parcel cannot be made or taken.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The model's weights.
    #[error(transparent)]
    Weights(#[from] weights::WeightsError),
    /// It would be written on the other machine.
    #[error("{0} writes a file on the machine that builds; run dlaplan there for it")]
    Written(&'static str),
    /// A name that leads out of the parcel.
    #[error("{0:?} is no name for a file of a parcel")]
    Name(String),
    /// What came is not what was announced.
    #[error("{0} arrived damaged; try again")]
    Damaged(String),
    /// Nobody wants it any more.
    #[error("cancelled")]
    Cancelled,
    /// What came cannot be named to the client.
    #[error(
        "the worker's folder for caches, {0:?}, is not UTF-8: set XDG_CACHE_HOME for the worker to \
         one that is"
    )]
    NotText(PathBuf),
    /// It does not fit on the disk there.
    #[error(
        "no room in {}: the request's files take {} and {} more must stay free, but {} are all \
         that is free there, with other parcels gone; delete what that machine does not need, or \
         make the folder a link to one on a larger disk",
        folder.display(), size(*takes), size(SPARE), size(*free)
    )]
    NoRoom {
        /// Where parcels are kept.
        folder: PathBuf,
        /// Bytes that it takes.
        takes: u64,
        /// Bytes that are free, those of parcels that no worker uses included.
        free: u64,
    },
    /// No place to keep it.
    #[error("this machine has no folder for caches: set HOME or XDG_CACHE_HOME for the worker")]
    NoFolder,
}

/// Bytes for people: decimal units, as `df -H` has them.
fn size(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.2} GB", bytes as f64 / 1e9)
    }
}

pub(crate) fn at(path: &Path) -> impl Fn(std::io::Error) -> ParcelError + use<'_> {
    move |source| ParcelError::File {
        path: path.to_owned(),
        source,
    }
}
