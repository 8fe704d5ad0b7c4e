//! What is drawn: each panel reads the state and emits commands. `actual`, `change` and `reasons` are
//! parts of the inspector, and `runs` takes the chart's place.

mod actual;
mod change;
pub mod chart;
pub mod compare;
pub mod controls;
pub mod dialog;
pub mod explain;
pub mod inspector;
pub mod map;
pub mod messages;
pub mod palette;
mod reasons;
pub mod ribbon;
pub mod runs;
pub mod search;
pub mod status;
pub mod time;
pub mod top;
pub mod tour;
pub mod tree;
