//! The files of a request, for a worker on a machine that does not have them: what goes with it,
//! and where it lies there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, ErrorKind, Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::engine::environment;
use crate::engine::outbox::Outbox;
use crate::engine::protocol::Event;
use crate::engine::request::{Calibration, Request};
use crate::engine::run::Stage;
use crate::model::onnx::weights;

pub use crate::engine::remote::kept::{KEPT, LIMIT, SPARE};

/// Most files in a parcel.
const MAX_FILES: usize = 100_000;
/// Bytes read or written at a time.
const CHUNK: usize = 1 << 20;
/// A file is brought to the disk every so many bytes: at its end gigabytes would take so long on
/// an SD card that the worker would not hear that its client is gone.
const SYNC: u64 = 16 << 20;
const ENGINE: &str = "engine.plan";
const RANGES: &str = "calibration.cache";
const BATCHES: &str = "batches";

/// A file of a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it lies in the parcel: a relative path of plain names.
    pub name: String,
    /// Size, bytes.
    pub bytes: u64,
    /// BLAKE3 of its content, hexadecimal.
    pub blake3: String,
}

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
        if !model.to_string_lossy().starts_with("bundled:") {
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
    if !request.model.to_string_lossy().starts_with("bundled:") {
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

/// The other end: takes a parcel from the client, or finds that it is here already, and says
/// where. No other worker removes the parcel while the file that is returned stays open.
///
/// # Errors
/// The parcel is not sound, or cannot be stored. Where it would not fit on the disk, that is said
/// before anything is sent.
pub(crate) fn receive(
    stream: &mut impl BufRead,
    entries: &[Entry],
    outbox: &Outbox,
) -> Result<Option<File>, ParcelError> {
    check(entries)?;
    let cache = environment::cache_dir().ok_or(ParcelError::NoFolder)?;
    let engines = environment::engines_dir().ok_or(ParcelError::NoFolder)?;
    if cache.to_str().is_none() {
        return Err(ParcelError::NotText(cache));
    }
    let received = cache.join("received");
    fs::create_dir_all(&received).map_err(at(&received))?;
    let folder = received.join(digest(entries));
    outbox.stage(Stage::Send);
    let deciding = crate::engine::remote::kept::decide(&received);
    if whole(&folder, entries) {
        let held = crate::engine::remote::kept::hold(&folder);
        drop(deciding);
        outbox.send(Event::Wanted { wanted: false });
        return Ok(taken(outbox, folder, engines, held));
    }
    if folder.is_dir() {
        // A disk has lost some of it: whoever uses it can no more.
        crate::engine::remote::kept::discard(&received, &folder).map_err(at(&folder))?;
    }
    let takes = crate::engine::remote::kept::room(entries);
    crate::engine::remote::kept::make_room(&received, takes)?;
    // Let go last: it must not be taken for one that nobody is at any more.
    let held;
    let coming = tempfile::tempdir_in(&received).map_err(at(&received))?;
    held = crate::engine::remote::kept::hold(coming.path());
    drop(deciding);
    outbox.send(Event::Wanted { wanted: true });
    let sizes = entries.iter().map(|e| e.bytes);
    let total = sizes.fold(0, u64::saturating_add);
    let mut done = 0u64;
    for entry in entries {
        let result = take(stream, entry, coming.path(), &mut |bytes| {
            done = done.saturating_add(bytes);
            outbox.share(done as f64 / total.max(1) as f64, &entry.name);
        });
        match result {
            // Something else has filled the disk meanwhile, or a quota counts.
            Err(ParcelError::File { source, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) =>
            {
                return Err(ParcelError::NoRoom {
                    free: crate::engine::remote::kept::free(&received)?.saturating_add(done),
                    folder: received,
                    takes,
                });
            }
            result => result?,
        }
    }
    let deciding = crate::engine::remote::kept::decide(&received);
    // Another worker may have been given the same parcel at the same time.
    if whole(&folder, entries) {
        let held = crate::engine::remote::kept::hold(&folder);
        drop(deciding);
        return Ok(taken(outbox, folder, engines, held));
    }
    if folder.is_dir() {
        crate::engine::remote::kept::discard(&received, &folder).map_err(at(&folder))?;
    }
    fs::rename(coming.path(), &folder).map_err(at(&folder))?;
    let _moved = coming.keep();
    drop(deciding);
    Ok(taken(outbox, folder, engines, held))
}

/// Says that a parcel is here. Its age decides what goes first.
fn taken(outbox: &Outbox, folder: PathBuf, cache: PathBuf, held: Option<File>) -> Option<File> {
    if let Ok(file) = File::open(&folder) {
        let _unchanged = file.set_modified(SystemTime::now());
    }
    outbox.send(Event::Received { folder, cache });
    held
}

/// Whether a parcel lies there as it was sent: a disk may have lost some of it.
fn whole(folder: &Path, entries: &[Entry]) -> bool {
    let there = |e: &Entry| {
        let file = fs::symlink_metadata(folder.join(&e.name));
        file.is_ok_and(|m| m.is_file() && m.len() == e.bytes)
    };
    folder.is_dir() && entries.iter().all(there)
}

fn check(entries: &[Entry]) -> Result<(), ParcelError> {
    let mut names = BTreeSet::new();
    for entry in entries.iter().take(MAX_FILES + 1) {
        let path = Path::new(&entry.name);
        let plain = |c| matches!(c, Component::Normal(_));
        let sound = !entry.name.is_empty()
            && !entry.name.contains(['\\', '\0'])
            && path.components().all(plain)
            && names.insert(path);
        if !sound || names.len() > MAX_FILES {
            return Err(ParcelError::Name(entry.name.clone()));
        }
    }
    Ok(())
}

fn digest(entries: &[Entry]) -> String {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        hasher.update(&(entry.name.len() as u64).to_le_bytes());
        hasher.update(entry.name.as_bytes());
        hasher.update(&entry.bytes.to_le_bytes());
        hasher.update(entry.blake3.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn take(
    stream: &mut impl BufRead,
    entry: &Entry,
    folder: &Path,
    on: &mut dyn FnMut(u64),
) -> Result<(), ParcelError> {
    let path = folder.join(&entry.name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    let mut file = File::create_new(&path).map_err(at(&path))?;
    let mut hasher = blake3::Hasher::new();
    let mut left = entry.bytes;
    let mut unsynced = 0;
    let mut chunk = vec![0; CHUNK];
    while left > 0 {
        let n = chunk.len().min(usize::try_from(left).unwrap_or(CHUNK));
        let part = chunk.get_mut(..n).unwrap_or_default();
        let part = match stream.read(part) {
            Ok(0) => return Err(at(&path)(ErrorKind::UnexpectedEof.into())),
            Ok(n) => part.get(..n).unwrap_or_default(),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(at(&path)(e)),
        };
        file.write_all(part).map_err(at(&path))?;
        hasher.update(part);
        left -= part.len() as u64;
        unsynced += part.len() as u64;
        if unsynced >= SYNC {
            unsynced = 0;
            file.sync_data().map_err(at(&path))?;
        }
        on(part.len() as u64);
    }
    if hasher.finalize().to_hex().as_str() == entry.blake3 {
        // A power cut must not leave a whole parcel's name on empty files.
        file.sync_all().map_err(at(&path))
    } else {
        Err(ParcelError::Damaged(entry.name.clone()))
    }
}
