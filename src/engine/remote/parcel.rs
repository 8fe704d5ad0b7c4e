//! The files of a request, for a worker on a machine that does not have them: what goes with it,
//! and where it lies there.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::engine::protocol::Entry;
use crate::engine::request::{Calibration, Request};
use crate::model::ModelSource;
use crate::model::onnx::weights;

use super::error::{ParcelError, at};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
const ENGINE: &str = "engine.plan";
const RANGES: &str = "calibration.cache";
const BATCHES: &str = "batches";

/// The model in a parcel: under its own name, which its runs bear, where that is a plain one.
fn model_entry(model: &Path) -> String {
    let name = model.file_name().and_then(|n| n.to_str());
    let name = name.filter(|n| !n.contains('\\'));
    format!("model/{}", name.unwrap_or("model.onnx"))
}

/// What a request needs, on this machine.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// In order of sending.
    pub entries: Vec<Entry>,
    /// Where each lies here.
    pub paths: Vec<PathBuf>,
}

/// Hears, for every part of a file that was read, which file; `Break` ends it.
type Go<'a> = dyn FnMut(&Path) -> ControlFlow<()> + 'a;

impl Parcel {
    /// Whether a request can be carried out on another machine.
    ///
    /// # Errors
    /// It asks for a file to be written.
    pub fn check(request: &Request) -> Result<(), ParcelError> {
        if request.save_engine.is_some() {
            return Err(ParcelError::Written("--save-engine"));
        }
        if matches!(&request.calibration, Calibration::Folder { save, .. } if save.is_some()) {
            return Err(ParcelError::Written("--save-calib"));
        }
        Ok(())
    }

    /// Model, external weights, calibration and engine file of a request. Every byte is read, at
    /// the disk's pace; `go` ends that within a part of [`CHUNK`].
    ///
    /// # Errors
    /// A file cannot be read, the request asks for one to be written, or `go` said so.
    pub fn of(request: &Request, go: &mut Go<'_>) -> Result<Self, ParcelError> {
        Self::check(request)?;
        let mut parcel = Self {
            entries: Vec::new(),
            paths: Vec::new(),
        };
        let model = &request.model;
        if let ModelSource::File(model) = ModelSource::of(model) {
            parcel.add(model_entry(model), model, go)?;
            let file = File::open(model).map_err(at(model))?;
            // SAFETY: read only; the file is not written by this program.
            let bytes = unsafe { memmap2::Mmap::map(&file) }.map_err(at(model))?;
            let folder = model.parent().unwrap_or(Path::new("."));
            for location in weights::external_files(&bytes, folder)? {
                // `./w.bin` and `w.bin` are one file, and the model may hold its own weights.
                let path: PathBuf = folder.join(&location).components().collect();
                let place: PathBuf = Path::new("model").join(&location).components().collect();
                let name = place.to_string_lossy().into_owned();
                if parcel.entries.iter().all(|e| e.name != name) {
                    parcel.add(name, &path, go)?;
                }
            }
        }
        match &request.calibration {
            Calibration::Dummy => {}
            Calibration::Cache { path } => parcel.add(RANGES.into(), path, go)?,
            Calibration::Folder { path, .. } => {
                let mut batches: Vec<PathBuf> = fs::read_dir(path)
                    .map_err(at(path))?
                    .map(|entry| Ok(entry?.path()))
                    .collect::<Result<_, std::io::Error>>()
                    .map_err(at(path))?;
                batches.sort();
                for (i, batch) in batches.iter().enumerate() {
                    if let Some(kind @ ("npy" | "npz")) = batch.extension().and_then(|e| e.to_str())
                    {
                        parcel.add(format!("{BATCHES}/{i:06}.{kind}"), batch, go)?;
                    }
                }
            }
        }
        if let Some(path) = &request.load_engine {
            parcel.add(ENGINE.into(), path, go)?;
        }
        Ok(parcel)
    }

    fn add(&mut self, name: String, path: &Path, go: &mut Go<'_>) -> Result<(), ParcelError> {
        let mut file = File::open(path).map_err(at(path))?;
        let mut hasher = blake3::Hasher::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            if go(path).is_break() {
                return Err(ParcelError::Cancelled);
            }
            let n = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(at(path)(e)),
            };
            hasher.update(chunk.get(..n).unwrap_or_default());
        }
        self.entries.push(Entry {
            name,
            bytes: hasher.count(),
            blake3: hasher.finalize().to_hex().to_string(),
        });
        self.paths.push(path.to_owned());
        Ok(())
    }
}

/// A request as it reads where its parcel lies.
pub fn unpacked(request: &Request, folder: &Path, cache: Option<&Path>) -> Request {
    let mut request = request.clone();
    if ModelSource::of(&request.model).file().is_some() {
        request.model = folder.join(model_entry(&request.model));
    }
    match &mut request.calibration {
        Calibration::Dummy => {}
        Calibration::Cache { path } => *path = folder.join(RANGES),
        Calibration::Folder { path, .. } => *path = folder.join(BATCHES),
    }
    if let Some(path) = &mut request.load_engine {
        *path = folder.join(ENGINE);
    }
    if request.cache_dir.is_some() {
        request.cache_dir = cache.map(Path::to_owned);
    }
    request
}
