//! Saving that never loses the old file, and reading that ends.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// A file could not be saved; what was there before is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}: {source}; nothing was changed", path.display())]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// The step that failed, with the remedy.
    pub what: &'static str,
    /// The system's reason.
    pub source: std::io::Error,
}

/// Longest text file that is read, bytes: far more than any placement.
const MAX_TEXT: u64 = 64 << 20;

/// Opens a file for reading without waiting: a pipe has no writer yet, perhaps never one.
///
/// # Errors
/// As the system says.
pub fn open_at_once(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
}

/// Opens a file that must be a regular one: of a pipe or a device the end may never come. The window
/// and the own calibration ask for it; the command line takes pipes too.
///
/// # Errors
/// It is none, or as the system says.
pub fn open_regular(path: &Path) -> std::io::Result<File> {
    let file = open_at_once(path)?;
    if !file.metadata()?.is_file() {
        let what = "this is a folder, a pipe or a device; name a file";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
    }
    Ok(file)
}

/// The text of a regular file.
///
/// # Errors
/// It is none, too long, or not UTF-8; or as the system says.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = open_regular(path)?;
    if file.take(MAX_TEXT + 1).read_to_string(&mut text)? as u64 > MAX_TEXT {
        let what = format!("longer than {} MiB", MAX_TEXT >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

/// Replaces a file in one step: a new file beside it, synced, then renamed over it. Follows a
/// symbolic link, so that the link stays and its target changes; keeps the old file's mode.
///
/// # Errors
/// The folder is missing or not writable, or the disk is full; the old file is unchanged.
pub fn save_atomic(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let fail = |what| {
        let path = path.to_owned();
        // tempfile adds the name of its own file to the reason.
        move |source: std::io::Error| SaveError {
            path,
            what,
            source: match source.raw_os_error() {
                Some(_) => source,
                None => source.kind().into(),
            },
        }
    };
    let folder = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".dlaplan-")
        .tempfile_in(folder)
        .map_err(fail(
            "no new file can be made in its folder (create it, or choose another)",
        ))?;
    file.write_all(bytes)
        .map_err(fail("writing failed (is the disk full?)"))?;
    let mode = match fs::metadata(&target) {
        Ok(old) => old.permissions(),
        Err(_) => default_mode(),
    };
    file.as_file()
        .set_permissions(mode)
        .map_err(fail("its permissions cannot be set"))?;
    file.as_file()
        .sync_all()
        .map_err(fail("it cannot be synced to disk"))?;
    file.persist(&target)
        .map_err(|e| fail("it cannot take the old file's place")(e.error))?;
    // The rename itself must survive a power cut; some file systems cannot sync a folder.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
    Ok(())
}

/// tempfile makes private files; an export is as readable as any other new file.
fn default_mode() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        save_atomic(&path, b"one").unwrap();
        save_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o644
        );
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        save_atomic(&real, b"old").unwrap();
        symlink(&real, &link).unwrap();
        save_atomic(&link, b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn only_regular_files_of_some_length_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        save_atomic(&path, b"text").unwrap();
        assert_eq!(read_text(&path).unwrap(), "text");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for odd in [&pipe, dir.path(), Path::new("/dev/zero")] {
            let why = read_text(odd).unwrap_err().to_string();
            assert!(why.contains("name a file"), "{}: {why}", odd.display());
        }
        File::create(&path).unwrap().set_len(MAX_TEXT + 1).unwrap();
        let why = read_text(&path).unwrap_err().to_string();
        assert!(why.contains("longer than 64 MiB"), "{why}");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none/a.json");
        let text = save_atomic(&path, b"x").unwrap_err().to_string();
        assert!(
            text.contains("none/a.json") && text.contains("create it"),
            "{text}"
        );
    }

    /// A process killed while it saves again and again leaves one whole version.
    #[test]
    fn a_killed_saver_leaves_a_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let (old, new) = (vec![b'o'; 1 << 20], vec![b'n'; 1 << 20]);
        save_atomic(&path, &old).unwrap();
        for round in 0..20 {
            // The child saves in a loop until it is killed.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child => loop {
                    save_atomic(&path, &new).ok();
                },
                nix::unistd::ForkResult::Parent { child } => {
                    std::thread::sleep(std::time::Duration::from_millis(3 + round % 5));
                    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
                    nix::sys::wait::waitpid(child, None).unwrap();
                }
            }
            let seen = fs::read(&path).unwrap();
            assert!(
                seen == old || seen == new,
                "torn after {round}: {} bytes",
                seen.len()
            );
        }
    }
}
