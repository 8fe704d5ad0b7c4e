//! Every capability without a window.

pub mod calibrate;
pub mod fidelity;
mod interrupt;
pub mod profile;
pub mod search;
pub mod worker;
