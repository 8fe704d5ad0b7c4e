//! Dialogs as values, and the desktop's file dialogs behind a trait.

use std::path::{Path, PathBuf};

use crate::gui::command::Command;

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
    Save(crate::export::Format),
    /// Where the CSV of the model's runs goes.
    SaveRuns,
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
        }
    }

    /// File kinds: a name and extensions.
    pub fn filter(&self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::OpenModel => ("ONNX model", &["onnx"]),
            Self::OpenPlacement => ("Placement", &["json"]),
            Self::Calibration => ("Calibration cache", &["cache", "calib", "bin"]),
            Self::Save(kind) => crate::gui::actions::export::filter(*kind),
            Self::SaveRuns => ("CSV", &["csv"]),
        }
    }

    /// The file is written, not read.
    pub fn saves(&self) -> bool {
        match self {
            Self::OpenModel | Self::OpenPlacement | Self::Calibration => false,
            Self::Save(_) | Self::SaveRuns => true,
        }
    }

    /// What to do with the answer.
    pub fn answer(&self, path: PathBuf) -> Command {
        match self {
            Self::OpenModel | Self::OpenPlacement => Command::OpenPath(path),
            Self::Calibration => Command::Calibration(Some(path)),
            Self::Save(kind) => Command::ExportTo(*kind, path),
            Self::SaveRuns => Command::ExportRunsTo(path),
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

/// The XDG portal, or zenity.
pub struct DesktopPicker;

impl Picker for DesktopPicker {
    fn available(&self) -> bool {
        let zenity = || {
            std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|dir| dir.join("zenity").is_file())
            })
        };
        std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some() || zenity()
    }

    fn pick(&self, purpose: &Purpose, folder: Option<&Path>, name: &str) -> Option<PathBuf> {
        let (kind, extensions) = purpose.filter();
        let mut dialog = rfd::FileDialog::new()
            .set_title(purpose.title())
            .add_filter(kind, extensions);
        if let Some(folder) = folder {
            dialog = dialog.set_directory(folder);
        }
        if purpose.saves() {
            dialog.set_file_name(name).save_file()
        } else {
            dialog.pick_file()
        }
    }
}

/// Dims of one input, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputField {
    /// The input's name.
    pub name: String,
    /// As the file declares it.
    pub declared: String,
    /// As typed: `1x3x224x224`.
    pub text: String,
}

impl InputField {
    /// The dims, if every part is a positive number and there are as many as declared.
    ///
    /// # Errors
    /// What is wrong with the text, in a sentence.
    pub fn dims(&self, rank: usize) -> Result<Vec<u64>, String> {
        let dims: Vec<u64> = self
            .text
            .split(['x', '×', ',', ' '])
            .filter(|s| !s.is_empty())
            .map(|s| match s.parse::<u64>() {
                Ok(n) if n > 0 => Ok(n),
                _ => Err(format!("{s:?} is not a positive number")),
            })
            .collect::<Result<_, _>>()?;
        if dims.len() == rank {
            Ok(dims)
        } else {
            Err(format!(
                "{rank} numbers are needed, as in {}",
                self.declared
            ))
        }
    }
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
    /// Another machine to measure on.
    MeasureOn {
        /// As typed.
        text: String,
    },
    /// All messages so far.
    Messages,
    /// All keyboard shortcuts.
    Shortcuts,
}
