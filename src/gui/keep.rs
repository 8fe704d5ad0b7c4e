//! Keeping placements, exporting, and what else needs rooms below the window.

use std::path::PathBuf;

use super::export_menu::ExportKind;
use super::state::State;

impl State {
    pub(super) fn load_kept(&mut self) {}
    pub(super) fn keep(&mut self, _name: &str) {}
    pub(super) fn load_kept_placement(&mut self, _id: i64) {}
    pub(super) fn rename_kept(&mut self, _id: i64, _name: &str) {}
    pub(super) fn delete_kept(&mut self, _id: i64) {}
    pub(super) fn load_reference(&mut self, _at: usize) {}
    pub(super) fn export_to(&mut self, _kind: ExportKind, _path: PathBuf) {}
    pub(super) fn copy_export(&mut self, _kind: ExportKind) {}
}
