//! Opening a model at the dims that were given, and at those its placement files were made at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::export::DocumentError;
use crate::model::onnx::{self, LoadError, LoadOptions};
use crate::model::{Model, by};

/// Dims per input name.
pub type Dims = BTreeMap<String, Vec<u64>>;

/// Why a model was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read at the dims that were given.
    #[error(transparent)]
    Model(Box<LoadError>),
    /// The dims of a placement file do not fit it.
    #[error(transparent)]
    Placement(DocumentError),
    /// Two placement files do not agree.
    #[error(
        "{} and {} were made at different dims of input {input:?} ({} and {}); say which with \
         --input",
        one.display(), other.display(), by(&dims.0), by(&dims.1)
    )]
    Contradiction {
        /// The first file.
        one: PathBuf,
        /// The one that contradicts it.
        other: PathBuf,
        /// Which input.
        input: String,
        /// Dims of the first file and of the other one.
        dims: (Vec<u64>, Vec<u64>),
    },
}

/// Reads a model at the dims that placement files were made at; dims in `given` win over them.
/// Returns the model and all dims that were set.
///
/// # Errors
/// The model cannot be read, the files' dims do not fit it, or they contradict each other.
pub fn open(
    path: &Path,
    given: &Dims,
    files: &[(&Path, &Dims)],
) -> Result<(Model, Dims), OpenError> {
    let mut inputs = given.clone();
    let mut from: Vec<(&Path, Dims)> = Vec::new();
    for (file, dims) in files {
        let theirs = dims.iter().filter(|(name, _)| !given.contains_key(*name));
        let theirs: Dims = theirs.map(|(n, d)| (n.clone(), d.clone())).collect();
        for (name, dims) in &theirs {
            if let Some(other) = inputs.insert(name.clone(), dims.clone())
                && other != *dims
            {
                let first = from.iter().find(|(_, inputs)| inputs.contains_key(name));
                return Err(OpenError::Contradiction {
                    one: first.map_or(*file, |(first, _)| *first).to_owned(),
                    other: (*file).to_owned(),
                    input: name.clone(),
                    dims: (other, dims.clone()),
                });
            }
        }
        from.push((file, theirs));
    }
    let options = LoadOptions { inputs };
    let model = onnx::open(path, &options).map_err(|e| {
        let blamed = from.iter().find(|(_, inputs)| e.blames(inputs));
        match blamed {
            Some((path, _)) => OpenError::Placement(DocumentError::Inputs {
                path: path.to_path_buf(),
                source: Box::new(e),
            }),
            None => OpenError::Model(Box::new(e)),
        }
    })?;
    Ok((model, options.inputs))
}
