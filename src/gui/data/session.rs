//! What a session and the settings hold.

use crate::engine::remote::ssh::Host;
use crate::gui::data::looks::{Hint, ThemeChoice};
use crate::gui::data::open::Open;
use crate::placement::{Device, EngineConfig, Placement, Site};
use crate::platform::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the files written here; newer ones are left alone.
pub(crate) const VERSION: u32 = 1;

/// A window's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub(crate) version: u32,
    /// The model's file or bundled name.
    pub model: PathBuf,
    /// The model's structure, to see whether the file has changed.
    pub structure_hash: String,
    /// Input dims the user gave.
    #[serde(default)]
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// Target id, `xavier-nx@15W:8.5`.
    pub target: String,
    /// Engine config.
    pub config: EngineConfig,
    /// The placement under edit.
    pub placement: Placement,
    /// INT8 ranges for measuring; made up without.
    #[serde(default)]
    pub calibration: Option<PathBuf>,
    /// What searches leave where it is.
    #[serde(default)]
    pub pinned: Vec<(Site, Device)>,
}

impl Session {
    /// The session as it is now.
    pub fn of(
        open: &Open,
        target: &Target,
        config: &EngineConfig,
        placement: &Placement,
        calibration: Option<&Path>,
        pinned: &[(Site, Device)],
    ) -> Self {
        Self {
            version: VERSION,
            model: open.path.clone(),
            structure_hash: open.model.source.structure_hash.clone(),
            inputs: open.inputs.clone(),
            target: target.id(),
            config: config.clone(),
            placement: placement.clone(),
            calibration: calibration.map(Path::to_owned),
            pinned: pinned.to_vec(),
        }
    }

    /// Nothing was placed yet.
    pub fn is_plain(&self) -> bool {
        self.placement == Placement::default() && self.pinned.is_empty()
    }

    /// For a message.
    pub fn title(&self) -> String {
        self.model.file_name().map_or_else(
            || self.model.display().to_string(),
            |n| n.to_string_lossy().into(),
        )
    }
}

/// What belongs to the user, not to a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Appearance.
    #[serde(default)]
    pub theme: ThemeChoice,
    /// Files opened before, newest first.
    #[serde(default)]
    pub recent: Vec<PathBuf>,
    /// Estimates do not learn from own runs.
    #[serde(default)]
    pub shipped_only: bool,
    /// The machine that measures, where it is not this one.
    #[serde(default)]
    pub host: Option<Host>,
    /// Machines that measured before, newest first.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// Hints that were closed.
    #[serde(default)]
    pub hints_done: Vec<Hint>,
}
