//! What the window shows, as plain values.

pub mod actual;
pub mod compare;
pub mod confirming;
pub mod filter;
pub mod judgement;
pub mod kept;
pub mod looks;
pub mod map;
pub mod measuring;
pub mod memo;
pub mod open;
pub mod options;
pub mod points;
pub mod ribbon;
pub mod rows;
pub mod runs;
pub mod search;
pub mod session;
pub mod tour;
pub mod tree_index;
pub mod tree_view;
