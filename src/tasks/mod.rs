//! What the command line and the window both do, once.

pub mod compare;
pub mod confirm;
pub mod described;
pub mod judge;
pub mod machine;
pub mod measure;
pub mod modes;
pub mod open;
pub mod progress;
pub mod refit;
pub mod rules;
pub mod survey;
pub mod sweep;
pub mod torch;
pub mod words;
