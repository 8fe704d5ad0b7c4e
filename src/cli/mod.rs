//! Every capability without a window.

pub mod calibrate;
pub mod fidelity;
pub mod profile;
pub mod search;
pub mod worker;
