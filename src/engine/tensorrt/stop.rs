//! Why a request ends without figures.

use crate::engine::run::ErrorKind;

use super::cuda::CudaError;
use super::library::Unavailable;
use super::timing::RunError;

/// Why a request ends without figures.
#[derive(Debug)]
pub struct Stop {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl Stop {
    /// An end of some kind.
    pub fn new(kind: ErrorKind, message: String) -> Self {
        Self { kind, message }
    }

    /// The request cannot be carried out here.
    pub fn refused(message: String) -> Self {
        Self::new(ErrorKind::Refused, message)
    }
}

impl From<Unavailable> for Stop {
    fn from(e: Unavailable) -> Self {
        Self::new(ErrorKind::Execution, e.to_string())
    }
}

impl From<RunError> for Stop {
    fn from(e: RunError) -> Self {
        Self::new(ErrorKind::Execution, e.to_string())
    }
}

impl From<CudaError> for Stop {
    fn from(e: CudaError) -> Self {
        Self::new(ErrorKind::Execution, e.to_string())
    }
}
