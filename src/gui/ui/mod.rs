//! The look: theme and widgets.

pub mod theme;
pub mod widgets;
