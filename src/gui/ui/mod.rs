//! The look: theme and widgets.

pub mod pick;
pub mod theme;
pub mod widgets;
