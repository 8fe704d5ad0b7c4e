//! Fits the cost models' parameters to published and own measurements.

pub mod networks;
