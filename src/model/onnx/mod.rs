//! Reads ONNX files, which are untrusted input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Model;

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Dims per input name, for inputs the file declares symbolic or to override the file's.
    pub inputs: BTreeMap<String, Vec<u64>>,
}

/// Why a file cannot be read. Each message names the file, the place in it and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Reads a model file. Weights are mapped, never copied; external data is never opened.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Model, LoadError> {
    let _ = options;
    Err(LoadError::Io {
        path: path.to_owned(),
        source: std::io::ErrorKind::Unsupported.into(),
    })
}
