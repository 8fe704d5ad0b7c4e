//! Boards that a survey described: kept as JSON in the user's data folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::files::read_text;
use crate::platform::{BoardDescription, describe};

/// Longest file that is read, bytes.
const MAX_FILE: usize = 64 << 10;

/// Where a board's description lies in a data folder.
pub fn description_path(data_dir: &Path, board: &str) -> PathBuf {
    data_dir.join("boards").join(format!("{board}.json"))
}

/// Reads all descriptions of a data folder, so that their boards can be planned for. What cannot be
/// used is passed over with a warning in the log.
pub fn read_descriptions(data_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(data_dir.join("boards")) else {
        return;
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    for file in files {
        if let Err(e) = read_description(&file) {
            log::warn!("{}: {e:#}; the board is not listed", file.display());
        }
    }
}

fn read_description(file: &Path) -> Result<()> {
    let text = read_text(file)?;
    let bytes = text.len();
    anyhow::ensure!(bytes <= MAX_FILE, "{bytes} bytes is too long for a board");
    let board: BoardDescription = serde_json::from_str(&text).context("no board of dlaplan's")?;
    Ok(describe(&board)?)
}

/// Keeps a description, and lists its board from now on.
///
/// # Errors
/// It cannot be of a board, or the folder cannot be written.
pub fn keep_description(data_dir: &Path, board: &BoardDescription) -> Result<PathBuf> {
    describe(board)?;
    let path = description_path(data_dir, &board.id);
    let mut text = serde_json::to_string_pretty(board)?;
    text.push('\n');
    super::refit::save(&path, text.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_does_not_hold_up_the_start() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("boards");
        std::fs::create_dir(&folder).unwrap();
        let pipe = folder.join("pipe.json");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        read_descriptions(data.path());
        let long = folder.join("long.json");
        std::fs::File::create(&long)
            .unwrap()
            .set_len(65 << 10)
            .unwrap();
        let why = read_description(&long).unwrap_err().to_string();
        assert!(why.contains("too long for a board"), "{why}");
    }
}
