//! What trtexec and TensorRT write: build logs, performance summaries, profiles.

mod log;
mod profile;

pub use log::{Report, Summary, parse_placement, parse_report};
pub use profile::{ProfileError, ProfileRow, parse_profile};
