//! Fits a board's parameters to measurements: to the user's own runs ([`own`]), and to the
//! published ones, which the program `xtask` does from these parts.

pub mod own;
pub mod prepared;
pub mod solve;
pub mod together;
