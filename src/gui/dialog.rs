//! Dialogs as values, and the desktop's file dialogs behind a trait.

use std::path::{Path, PathBuf};

use crate::engine::{BoardSettings, PowerMode};
use crate::export::Format;
use crate::gui::command::Command;
use crate::gui::data::open::InputField;

/// What a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A model to open.
    OpenModel,
    /// A placement to open.
    OpenPlacement,
    /// INT8 ranges that TensorRT wrote.
    Calibration,
    /// Where an export goes.
    Save(Format),
    /// Where the CSV of the model's runs goes.
    SaveRuns,
    /// Where the CSV of the tree's rows goes.
    SaveTree,
}

impl Purpose {
    /// The dialog's title.
    pub fn title(&self) -> String {
        match self {
            Self::OpenModel => "Open model".into(),
            Self::OpenPlacement => "Open placement".into(),
            Self::Calibration => "INT8 ranges from a calibration cache".into(),
            Self::Save(kind) => format!("Export {}", kind.title()),
            Self::SaveRuns => "Export runs (CSV)".into(),
            Self::SaveTree => "Export tree (CSV)".into(),
        }
    }

    /// File kinds: a name and extensions.
    pub fn filter(&self) -> (&'static str, Vec<&'static str>) {
        match self {
            Self::OpenModel => ("ONNX model", vec!["onnx"]),
            Self::OpenPlacement => ("Placement", vec!["json"]),
            Self::Calibration => ("Calibration cache", vec!["cache", "calib", "bin"]),
            Self::Save(kind) => (kind.title(), vec![kind.extension()]),
            Self::SaveRuns | Self::SaveTree => ("CSV", vec!["csv"]),
        }
    }

    /// The file is written, not read.
    pub fn saves(&self) -> bool {
        match self {
            Self::OpenModel | Self::OpenPlacement | Self::Calibration => false,
            Self::Save(_) | Self::SaveRuns | Self::SaveTree => true,
        }
    }

    /// What to do with the answer.
    pub fn answer(&self, path: PathBuf) -> Command {
        match self {
            Self::OpenModel | Self::OpenPlacement => Command::OpenPath(path),
            Self::Calibration => Command::Calibration(Some(path)),
            Self::Save(kind) => Command::ExportTo(*kind, path),
            Self::SaveRuns => Command::ExportRunsTo(path),
            Self::SaveTree => Command::ExportTreeTo(path),
        }
    }
}

/// The desktop's file dialogs; blocks until the user has answered.
pub trait Picker: Send + Sync {
    /// Whether the desktop can show a dialog at all.
    fn available(&self) -> bool;
    /// Asks for a file; `None` for cancel.
    fn pick(&self, purpose: &Purpose, folder: Option<&Path>, name: &str) -> Option<PathBuf>;
}

/// A dialog inside the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// A path field, where the desktop has no file dialog.
    Path {
        /// What for.
        purpose: Purpose,
        /// As typed.
        text: String,
        /// Why it is shown.
        note: String,
    },
    /// Dims of symbolic inputs.
    Inputs {
        /// The model's file.
        path: PathBuf,
        /// One per unresolved input, with its rank.
        fields: Vec<(InputField, usize)>,
    },
    /// The name for a placement to keep.
    Keep {
        /// As typed.
        name: String,
    },
    /// A new name for a kept placement.
    Rename {
        /// Which.
        id: i64,
        /// As typed.
        name: String,
    },
    /// The note on a kept placement.
    Note {
        /// Which.
        id: i64,
        /// What it is called.
        name: String,
        /// As typed.
        text: String,
    },
    /// Another machine to measure on.
    MeasureOn {
        /// As typed.
        text: String,
    },
    /// What the board is set to while it measures.
    Board {
        /// Its power modes.
        modes: Vec<PowerMode>,
        /// As chosen.
        settings: BoardSettings,
    },
    /// All messages so far.
    Messages,
    /// All keyboard shortcuts.
    Shortcuts,
    /// The field's words.
    Glossary,
    /// Which dlaplan this is, and where it keeps its files.
    About,
}

/// A typed path; `~` is the user's home folder, as in a shell, also behind a folder that was
/// offered first.
pub fn expanded(text: &str) -> PathBuf {
    let text = match text.find("/~/") {
        Some(at) if !Path::new(&text[..at + 2]).exists() => &text[at + 1..],
        _ => text,
    };
    let rest = match text.strip_prefix('~') {
        Some("") => Some(""),
        Some(rest) => rest.strip_prefix('/'),
        None => None,
    };
    match (rest, directories::BaseDirs::new()) {
        (Some(rest), Some(dirs)) => dirs.home_dir().join(rest),
        _ => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::expanded;
    use std::path::Path;

    #[test]
    fn a_tilde_is_the_home_folder() {
        let dirs = directories::BaseDirs::new();
        let home = dirs.as_ref().map(directories::BaseDirs::home_dir);
        for (text, rest) in [
            ("~", ""),
            ("~/nets/a.onnx", "nets/a.onnx"),
            ("/no/such/~/a.onnx", "a.onnx"),
        ] {
            assert_eq!(home.map(|h| h.join(rest)), Some(expanded(text)));
        }
        for text in ["~other/a", "/tmp/~", "a~", ""] {
            assert_eq!(expanded(text), Path::new(text));
        }
    }
}
