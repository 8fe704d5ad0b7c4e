//! Opens a file, refuses what is no ONNX model, and hands the decoded graph on.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;

pub use super::assemble::LoadOptions;
use super::error::LoadError;
use super::{assemble, proto, sniff, wire};
use crate::files::open_at_once;
use crate::model::{Model, ModelSource};

/// Files up to this size are read; larger ones are mapped.
const READ_UP_TO: u64 = 4 << 20;

/// Reads a model file. Weights are mapped, never copied; external data is never opened.
///
/// A file that another program shortens during the call can end the process (SIGBUS), as with
/// every mapped file; the map is gone when the call returns.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Model, LoadError> {
    if let Some(refusal) = sniff::by_name(path) {
        return Err(refusal);
    }
    let io = |source| LoadError::Io {
        path: path.to_owned(),
        source,
    };
    let file = open_at_once(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        let what = if meta.is_dir() {
            "a folder"
        } else {
            "a pipe, socket or device"
        };
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
            what,
        });
    }
    let data = if meta.len() <= READ_UP_TO {
        let mut data = Vec::with_capacity(meta.len() as usize);
        file.take(READ_UP_TO + 1)
            .read_to_end(&mut data)
            .map_err(io)?;
        Bytes::from(data)
    } else {
        // SAFETY: the map is private and read-only, and is dropped before this function returns;
        // what remains is the shortening described above.
        let map = unsafe { memmap2::MmapOptions::new().map(&file) }.map_err(io)?;
        Bytes::from_owner(map)
    };
    let name = path.file_stem().unwrap_or(path.as_os_str());
    read(path.to_owned(), &name.to_string_lossy(), &data, options)
}

/// Reads a model that is in memory already; `name` stands for the file in messages.
pub fn load_bytes(name: &str, data: &Bytes, options: &LoadOptions) -> Result<Model, LoadError> {
    let path = PathBuf::from(name);
    let stem = match ModelSource::of(&path) {
        ModelSource::Bundled(stem) => stem,
        ModelSource::File(_) => name,
    };
    read(path.clone(), stem, data, options)
}

fn read(
    path: PathBuf,
    name: &str,
    data: &Bytes,
    options: &LoadOptions,
) -> Result<Model, LoadError> {
    if let Some(refusal) = sniff::by_content(&path, data) {
        return Err(refusal);
    }
    wire::check(data).map_err(|e| framing(&path, data, e))?;
    let model = proto::Model::decode(data.clone()).map_err(|e| LoadError::Corrupt {
        path: path.clone(),
        place: "the file".to_owned(),
        offset: 0,
        what: e.to_string(),
    })?;
    if model.graph.is_none() || (model.ir_version == 0 && model.opset_import.is_empty()) {
        return Err(LoadError::NotOnnx {
            path,
            looks: "it holds no ONNX graph".to_owned(),
            remedy: "Give an .onnx file, or export the model to one",
        });
    }
    assemble::model(path, name, data.len() as u64, &model, options)
}

fn framing(path: &Path, data: &[u8], error: wire::Error) -> LoadError {
    let path = path.to_owned();
    let wire::Error {
        place,
        offset,
        fault,
    } = error;
    // ONNX starts with the number ir_version; a file that fails before its graph never was one.
    let limit = matches!(fault, wire::Fault::Limit { .. });
    if !place.contains('.') && !limit && data.first() != Some(&8) {
        return LoadError::NotOnnx {
            path,
            looks: "its bytes are not an ONNX model's".to_owned(),
            remedy: "Give an .onnx file, or export the model to one",
        };
    }
    let place = if place.is_empty() {
        "the file's top level".to_owned()
    } else {
        place
    };
    match fault {
        wire::Fault::Truncated { missing } => LoadError::Truncated {
            path,
            place,
            offset,
            missing,
        },
        wire::Fault::Corrupt(what) => LoadError::Corrupt {
            path,
            place,
            offset,
            what: what.to_owned(),
        },
        wire::Fault::Limit { what, limit } => LoadError::Limit {
            path,
            place,
            what: format!("too many {what}"),
            limit,
        },
    }
}
