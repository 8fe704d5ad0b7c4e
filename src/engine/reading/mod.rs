//! What trtexec and TensorRT write: build logs, performance summaries, profiles, and the layers
//! they name, led back to ops and modules.

mod actual;
mod blocks;
mod build_log;
mod engine_layers;
mod layer_map;
mod layer_times;
pub mod shared_names;
mod trtexec_log;
mod trtexec_profile;

pub use actual::actual;
pub use blocks::members;
pub use build_log::{PlacementLog, parse_placement};
pub use engine_layers::{EngineLayer, engine_layers};
pub use layer_map::{LayerMap, NetworkLayer};
pub use layer_times::layer_times;
pub use trtexec_log::{Report, Summary, parse_report};
pub use trtexec_profile::{ProfileError, ProfileRow, parse_profile};
