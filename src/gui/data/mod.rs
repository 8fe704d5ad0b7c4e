//! What the window shows, as plain values.

pub mod actual;
pub mod filter;
pub mod points;
pub mod ribbon;
pub mod tree_view;
