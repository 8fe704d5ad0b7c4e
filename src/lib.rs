//! dlaplan: see, judge, measure and export which parts of a network run on the GPU and which on
//! the DLA of a Jetson. `ARCHITECTURE.md` has the house in one page.

pub mod chart;
pub mod cli;
pub mod engine;
pub mod estimate;
pub mod export;
pub mod figure;
mod files;
#[cfg(feature = "gui")]
pub mod gui;
pub mod history;
pub mod model;
pub mod placement;
pub mod plan;
pub mod platform;
pub mod search;
pub mod tasks;

#[cfg(test)]
extern crate self as dlaplan;
#[cfg(test)]
#[path = "../tests/support/net.rs"]
#[expect(dead_code, reason = "tests and benches use the rest")]
mod net;
#[cfg(test)]
#[path = "../tests/support/networks.rs"]
#[expect(dead_code, reason = "tests and benches use the rest")]
mod networks;
