//! Every capability without a window.

pub mod calibrate;
pub mod fidelity;
pub mod search;
