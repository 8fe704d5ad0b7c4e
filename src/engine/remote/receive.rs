//! The worker's end of a parcel: takes the files from the client, checks them and stores them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crate::engine::environment;
use crate::engine::event_sender::EventSender;
use crate::engine::protocol::{Entry, Event};
use crate::engine::run::Stage;

use super::error::{ParcelError, at};
use super::kept;

/// Most files in a parcel.
const MAX_FILES: usize = 100_000;
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// A file is brought to the disk every so many bytes: at its end gigabytes would take so long on
/// an SD card that the worker would not hear that its client is gone.
const SYNC: u64 = 16 << 20;

/// Takes a parcel from the client, or finds that it is here already, and says
/// where. No other worker removes the parcel while the file that is returned stays open.
///
/// # Errors
/// The parcel is not sound, or cannot be stored. Where it would not fit on the disk, that is said
/// before anything is sent.
pub(crate) fn receive(
    stream: &mut impl BufRead,
    entries: &[Entry],
    events: &EventSender,
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
    events.stage(Stage::Send);
    let deciding = kept::decide(&received);
    if whole(&folder, entries) {
        let held = kept::hold(&folder);
        drop(deciding);
        events.send(Event::Wanted { wanted: false });
        return Ok(taken(events, folder, engines, held));
    }
    if folder.is_dir() {
        // Files are missing on disk, so nobody can be using this copy.
        kept::discard(&received, &folder).map_err(at(&folder))?;
    }
    let takes = kept::room(entries);
    kept::make_room(&received, takes)?;
    // Let go last: it must not be taken for one that nobody is at any more.
    let held;
    let coming = tempfile::tempdir_in(&received).map_err(at(&received))?;
    held = kept::hold(coming.path());
    drop(deciding);
    events.send(Event::Wanted { wanted: true });
    let sizes = entries.iter().map(|e| e.bytes);
    let total = sizes.fold(0, u64::saturating_add);
    let mut done = 0u64;
    for entry in entries {
        let result = take(stream, entry, coming.path(), &mut |bytes| {
            done = done.saturating_add(bytes);
            events.share(done as f64 / total.max(1) as f64, &entry.name);
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
                    free: kept::free(&received)?.saturating_add(done),
                    folder: received,
                    takes,
                });
            }
            result => result?,
        }
    }
    let deciding = kept::decide(&received);
    // Another worker may have been given the same parcel at the same time.
    if whole(&folder, entries) {
        let held = kept::hold(&folder);
        drop(deciding);
        return Ok(taken(events, folder, engines, held));
    }
    if folder.is_dir() {
        kept::discard(&received, &folder).map_err(at(&folder))?;
    }
    fs::rename(coming.path(), &folder).map_err(at(&folder))?;
    let _moved = coming.keep();
    drop(deciding);
    Ok(taken(events, folder, engines, held))
}

/// Says that a parcel is here. Its age decides what goes first.
fn taken(
    events: &EventSender,
    folder: PathBuf,
    cache: PathBuf,
    held: Option<File>,
) -> Option<File> {
    if let Ok(file) = File::open(&folder) {
        let _unchanged = file.set_modified(SystemTime::now());
    }
    events.send(Event::Received { folder, cache });
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
