//! The window, without a display: what a person does with it.
#![cfg(feature = "gui")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod keys;
mod narrow;
#[path = "../support/open_dims.rs"]
mod open_dims;
mod placing;
mod runs;
mod search;
mod tensorrt;
mod tree;
#[path = "../support/window.rs"]
mod window;
mod work;
