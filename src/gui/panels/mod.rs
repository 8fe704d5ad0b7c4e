//! What is drawn: each panel reads the state and emits commands.

pub mod dialog;
pub mod inspector;
pub mod messages;
pub mod palette;
pub mod ribbon;
pub mod status;
pub mod top;
pub mod tree;
