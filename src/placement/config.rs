//! What a TensorRT engine is built with, apart from the placement.

use serde::{Deserialize, Serialize};

use crate::model::Model;

use super::io_formats::IoFormats;
use super::precision::Precision;

/// How an engine is built, apart from the placement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EngineConfig {
    /// Precision flags.
    pub precision: Precision,
    /// Images per inference. The model's own batch scales to it.
    pub batch: u32,
    /// `IBuilderConfig::setDLACore`; one core per engine.
    pub dla_core: u32,
    /// `BuilderFlag::kGPU_FALLBACK`; false is strict: any op the DLA refuses fails the build.
    pub gpu_fallback: bool,
    /// Type and layout of inputs and outputs.
    #[serde(
        default,
        rename = "io_formats",
        skip_serializing_if = "IoFormats::is_default"
    )]
    pub io: IoFormats,
}

impl EngineConfig {
    /// Most images per inference: what a DLA takes (rule `general.batch`).
    pub const MAX_BATCH: u32 = 4096;

    /// The batch a model was exported with, as far as an engine can have it; what an engine has
    /// where nobody says otherwise.
    pub fn own_batch(model: &Model) -> u32 {
        let own = model.batch().and_then(|b| u32::try_from(b).ok());
        own.filter(|b| (1..=Self::MAX_BATCH).contains(b))
            .unwrap_or(1)
    }

    /// `, I/O int8:chw32` after other words about the engine; nothing where inputs and outputs are
    /// FP32 in plain order.
    pub fn io_words(&self) -> String {
        if self.io.is_default() {
            String::new()
        } else {
            format!(", I/O {}", self.io)
        }
    }

    /// The same for a machine with so many DLA cores: a core that it does not have gives way to its
    /// last.
    #[must_use]
    pub fn on(self, cores: u32) -> Self {
        Self {
            dla_core: self.dla_core.min(cores.saturating_sub(1)),
            ..self
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            precision: Precision::FP16,
            batch: 1,
            dla_core: 0,
            gpu_fallback: true,
            io: IoFormats::default(),
        }
    }
}
