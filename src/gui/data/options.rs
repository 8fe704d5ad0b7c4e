//! What the command line says about the window.

use crate::placement::{EngineConfig, Placement};
use crate::platform::Target;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the command line says about the window.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A file or a `bundled:` name; the last session, else the bundled ResNet-18, without.
    pub model: Option<PathBuf>,
    /// Dims per input name.
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// The placement file and the dims it was made at, which hold where none are given.
    pub made_at: Option<MadeAt>,
    /// Where it would run.
    pub target: Target,
    /// How it would be built.
    pub config: EngineConfig,
    /// Whether the batch in `config` holds; else the model's own does.
    pub batch_said: bool,
    /// The placement to begin with.
    pub placement: Option<Placement>,
    /// Begins with the guided tour.
    pub demo: bool,
}

/// A placement file and the input dims it was made at.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeAt {
    /// The file.
    pub file: PathBuf,
    /// Its dims.
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// What is to be opened once the model has these dims.
    pub point: Option<(Placement, EngineConfig)>,
}
