//! What trtexec and TensorRT write: build logs, performance summaries, profiles.

pub mod attribution;
mod build_log;
pub mod shared_names;
mod trtexec_log;
mod trtexec_profile;

pub use build_log::{PlacementLog, parse_placement};
pub use trtexec_log::{Report, Summary, parse_report};
pub use trtexec_profile::{ProfileError, ProfileRow, parse_profile};
