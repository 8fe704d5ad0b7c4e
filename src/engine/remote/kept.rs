//! The parcels that workers have taken, on their machine's disk: which stay, which go, and room
//! for the next one.
//!
//! The folder's own lock is held while one worker decides. A parcel's lock is shared by the
//! workers that use it, until they end; whoever wants to remove it needs it alone.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::engine::protocol::Entry;

use super::error::{ParcelError, SPARE, at};

/// Most parcels that stay, the newest included. The ones used longest ago go first.
pub const KEPT: usize = 8;
/// Most bytes that stay, the newest included; on a small disk half of what would be free without
/// them. One that is larger stays alone, until the next one comes.
pub const LIMIT: u64 = 16 << 30;
/// File systems give room in blocks, bytes.
const BLOCK: u64 = 4096;

/// Waits until no other worker decides. `None` on a file system without locks, where nothing that
/// is there counts as unused.
pub(crate) fn decide(received: &Path) -> Option<File> {
    let folder = File::open(received).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// Marks a parcel as in use for as long as the file is open; only by the worker that decides.
pub(crate) fn hold(parcel: &Path) -> Option<File> {
    let folder = File::open(parcel).ok()?;
    folder.try_lock_shared().ok()?;
    Some(folder)
}

fn used(parcel: &Path) -> bool {
    !File::open(parcel).is_ok_and(|folder| folder.try_lock().is_ok())
}

/// Takes a parcel away at once, so that one removed by half is never taken for a whole one.
pub(crate) fn discard(received: &Path, parcel: &Path) -> std::io::Result<()> {
    let grave = tempfile::tempdir_in(received)?;
    fs::rename(parcel, grave.path().join("old"))?;
    grave.close()
}

/// Room that files take on the disk, bytes.
pub(crate) fn room(entries: &[Entry]) -> u64 {
    let sizes = entries.iter().map(|e| blocks(e.bytes));
    sizes.fold(0, u64::saturating_add)
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// Bytes that may still be written beside `folder`, by a user without privileges.
pub(crate) fn free(folder: &Path) -> Result<u64, ParcelError> {
    let disk = nix::sys::statvfs::statvfs(folder).map_err(|e| at(folder)(e.into()))?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// Lets parcels go until another one of `coming` bytes fits; only by the worker that decides.
/// What cannot be removed stays: it does no harm.
///
/// # Errors
/// It would not fit with all of them gone that no worker uses; then none goes.
pub(crate) fn make_room(received: &Path, coming: u64) -> Result<(), ParcelError> {
    let parcels = list(received);
    let before = free(received)?;
    let unused = parcels.iter().filter(|p| !p.used).map(|p| p.bytes);
    let no_room = |free| ParcelError::NoRoom {
        folder: received.to_owned(),
        takes: coming,
        free,
    };
    let Some(leaving) = leaving(&parcels, coming, before) else {
        return Err(no_room(unused.fold(before, u64::saturating_add)));
    };
    for parcel in leaving {
        if let Err(e) = discard(received, &parcel.path) {
            log::warn!("{}: {e}", parcel.path.display());
        }
    }
    match free(received)? {
        after if after < coming.saturating_add(SPARE) => Err(no_room(after)),
        _ => Ok(()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parcel {
    /// When a worker was last given it.
    last: SystemTime,
    bytes: u64,
    used: bool,
    path: PathBuf,
}

/// All parcels, the one used longest ago first. What is left of transfers that never ended goes.
fn list(received: &Path) -> Vec<Parcel> {
    let mut parcels = Vec::new();
    for entry in fs::read_dir(received).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = entry.metadata() else {
            continue;
        };
        let used = used(&path);
        if entry.file_name().as_bytes().starts_with(b".") {
            if !used && let Err(e) = discard(received, &path) {
                log::warn!("{}: {e}", path.display());
            }
            continue;
        }
        parcels.push(Parcel {
            last: about.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            bytes: bytes(&path),
            used,
            path,
        });
    }
    parcels.sort_by(|a, b| (a.last, &a.path).cmp(&(b.last, &b.path)));
    parcels
}

/// Room that a folder's files take, bytes.
fn bytes(folder: &Path) -> u64 {
    let mut sum = 0u64;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => sum = sum.saturating_add(blocks(about.len())),
                Err(_) => {}
            }
        }
    }
    sum
}

/// What has to go of `parcels`, in order of age, for another one; `None` where that is no help.
fn leaving(parcels: &[Parcel], coming: u64, free: u64) -> Option<Vec<&Parcel>> {
    let needs = coming.saturating_add(SPARE);
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
    let unused = sum(&mut parcels.iter().filter(|p| !p.used).map(|p| p.bytes));
    if needs > free.saturating_add(unused) {
        return None;
    }
    let mut held = sum(&mut parcels.iter().map(|p| p.bytes));
    let limit = LIMIT.min(free.saturating_add(held) / 2);
    let (mut count, mut free) = (parcels.len(), free);
    let mut leaving = Vec::new();
    for parcel in parcels.iter().filter(|p| !p.used) {
        if count < KEPT && held.saturating_add(coming) <= limit && free >= needs {
            break;
        }
        count -= 1;
        held = held.saturating_sub(parcel.bytes);
        free = free.saturating_add(parcel.bytes);
        leaving.push(parcel);
    }
    Some(leaving)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn parcels(sizes: &[u64], used: &[usize]) -> Vec<Parcel> {
        let parcel = |(i, bytes): (usize, &u64)| Parcel {
            last: SystemTime::UNIX_EPOCH + Duration::from_secs(i as u64),
            bytes: bytes * GIB,
            used: used.contains(&i),
            path: i.to_string().into(),
        };
        sizes.iter().enumerate().map(parcel).collect()
    }

    fn gone(sizes: &[u64], used: &[usize], coming: u64, free: u64) -> Option<Vec<usize>> {
        let parcels = parcels(sizes, used);
        let leaving = leaving(&parcels, coming * GIB, free * GIB)?;
        let names = leaving.iter().map(|p| p.path.to_str().unwrap());
        Some(names.map(|n| n.parse().unwrap()).collect())
    }

    #[test]
    fn the_oldest_go_until_it_fits() {
        let none = Some(Vec::new());
        assert_eq!(gone(&[], &[], 1, 100), none);
        assert_eq!(gone(&[1; 7], &[], 1, 100), none);
        // By number.
        assert_eq!(gone(&[1; 8], &[], 1, 100), Some(vec![0]));
        // By bytes: 12 of at most 16, then 6 more.
        assert_eq!(gone(&[4, 4, 4], &[], 4, 100), none);
        assert_eq!(gone(&[4, 4, 4], &[], 6, 100), Some(vec![0]));
        // Larger than the limit: alone.
        assert_eq!(gone(&[4, 4], &[], 20, 100), Some(vec![0, 1]));
        // By half of a small disk: 4 + 8 free, so 6.
        assert_eq!(gone(&[2, 2], &[], 2, 8), none);
        assert_eq!(gone(&[2, 2], &[], 3, 8), Some(vec![0]));
        // By what is free.
        assert_eq!(gone(&[1, 1], &[], 1, 1), Some(vec![0, 1]));
    }

    #[test]
    fn those_in_use_stay() {
        assert_eq!(gone(&[1; 8], &[0, 1], 1, 100), Some(vec![2]));
        assert_eq!(gone(&[4, 4, 4, 4], &[0, 1, 2, 3], 4, 100), Some(vec![]));
        assert_eq!(gone(&[6, 1], &[0], 7, 6), None);
    }

    #[test]
    fn nothing_goes_in_vain() {
        assert_eq!(gone(&[4, 4], &[], 9, 1), None);
        assert_eq!(gone(&[4, 4], &[], u64::MAX / GIB, 1), None);
        assert_eq!(gone(&[], &[], 1, 1), None, "some of the disk is spared");
    }

    #[test]
    fn files_take_blocks() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("deep")).unwrap();
        for (name, bytes) in [("a", 1), ("deep/b", 4097), ("empty", 0)] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(bytes).unwrap();
        }
        assert_eq!(bytes(dir.path()), 3 * BLOCK);
        let entry = |bytes| Entry {
            name: String::new(),
            bytes,
            blake3: String::new(),
        };
        assert_eq!(room(&[entry(1), entry(4097), entry(0)]), 3 * BLOCK);
        assert_eq!(room(&[entry(u64::MAX), entry(u64::MAX)]), u64::MAX);
        assert!(free(dir.path()).unwrap() > 0);
    }

    #[test]
    fn a_parcel_is_used_while_its_file_is_open() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!used(dir.path()));
        let first = hold(dir.path()).unwrap();
        let second = hold(dir.path()).unwrap();
        drop(first);
        assert!(used(dir.path()));
        drop(second);
        assert!(!used(dir.path()));
    }
}
