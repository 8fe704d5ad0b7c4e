//! Finds placements: exact where exact is possible, anytime with a proven gap elsewhere.

pub mod chain;
pub mod cut;
pub mod frontier;
pub mod problem;
pub mod solve;
