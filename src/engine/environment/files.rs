//! Small files of /proc and /sys: they have no length to check beforehand, so reading is bounded.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::engine::log::escape;

/// Longest text taken from a system file, characters.
pub(super) const MAX_TEXT: usize = 200;
/// Longest file that is read, bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 4096;

/// The text of a file, at most [`MAX_BYTES`].
pub(super) fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line, without zeros and unprintable characters; none where it is empty.
pub(super) fn first_line(path: &Path) -> Option<String> {
    let text = text(path)?;
    let line = text.lines().next()?.trim_end_matches('\0').trim();
    (!line.is_empty()).then(|| escape(line, MAX_TEXT))
}

/// The number in the first line.
pub(super) fn number(path: &Path) -> Option<f64> {
    first_line(path)?
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite())
}

/// A line of meminfo, MiB.
pub(super) fn memory_mb(root: &Path, key: &str) -> Option<f64> {
    let text = text(&root.join("proc/meminfo"))?;
    let line = text.lines().find_map(|l| l.strip_prefix(key))?;
    let kb: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kb / 1024.0)
}

/// The entries of a folder, by name.
pub(super) fn entries(folder: PathBuf) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .map(|all| all.flatten().take(MAX_ENTRIES).map(|e| e.path()).collect())
        .unwrap_or_default();
    all.sort();
    all
}

/// The name of a file or folder.
pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    escape(&name.to_string_lossy(), MAX_TEXT)
}

/// Puts a file into a made-up root folder.
#[cfg(test)]
pub(super) fn put(root: &Path, path: &str, text: &str) {
    use std::io::Write as _;
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}
