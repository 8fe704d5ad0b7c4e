//! What trtexec and TensorRT write: build logs, performance summaries, profiles.

pub mod attribution;
pub mod shared_names;
mod trtexec_log;
mod trtexec_profile;

pub use trtexec_log::{Report, Summary, parse_placement, parse_report};
pub use trtexec_profile::{ProfileError, ProfileRow, parse_profile};
