//! Kept placements as the chart shows them.

use crate::figure::Figure;
use crate::placement::{EngineConfig, Placement};

/// A placement the user kept under a name.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Of the history.
    pub id: i64,
    /// As given.
    pub name: String,
    /// What it places.
    pub placement: Placement,
    /// How it was built when it was kept.
    pub config: EngineConfig,
    /// Where it would run, in words.
    pub target: String,
    /// Images per second when it was kept.
    pub fps: Figure,
    /// Share of the multiply-accumulates on the DLA.
    pub dla_mac_share: Option<f64>,
}
