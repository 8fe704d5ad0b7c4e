//! Work off the window's thread.

pub mod chooser;
pub mod finder;
pub mod jobs;
pub mod judge;
mod memory;
pub mod session_file;
