//! Finds placements: exact where exact is possible, anytime with a proven gap elsewhere.

pub mod chain;
pub mod confirm;
pub mod cut;
pub mod deployment;
pub mod explain;
pub mod frontier;
pub mod overrides;
pub mod pipeline;
pub mod problem;
pub mod solve;
pub mod space;
