//! The desktop's file dialogs.

use crate::gui::dialog::{Picker, Purpose};
use std::path::{Path, PathBuf};

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
            .add_filter(kind, &extensions);
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
