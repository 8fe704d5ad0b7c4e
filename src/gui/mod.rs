//! The window: a pure state, commands as data, panels that draw the one and emit the other.

mod actions;
mod app;
mod background;
mod command;
mod data;
mod dialog;
mod keys;
mod message;
mod panels;
mod state;
mod ui;

pub use crate::gui::data::tree_index::TreeInput;
pub use crate::tasks::measure::Worker;
pub use app::{SMALLEST, draw, run, run_with};
pub use background::judge::Judge;
pub use background::session_file::report_panics;
pub use command::{Act as RunsAct, ActKind as RunsActKind};
pub use command::{Command, CommandKind, Pick, Step, SweepOf};
pub use data::compare::{Other, Over};
pub use data::filter::Filter;
pub use data::judgement::{Company, Ground, Judgement};
pub use data::looks::{Beside, Copied, Hint, Pane, ThemeChoice};
pub use data::map::MOST as MAP_MOST;
pub use data::measuring::Machine;
pub use data::open::Open;
pub use data::options::MadeAt;
pub use data::options::Options;
pub use data::runs::{Column as RunsColumn, Ended};
pub use data::search::{Find, Form, GoalKind};
pub use data::tour::Turn;
pub use data::tree_index::{Node, Sort, TreeIndex};
pub use data::tree_view::{Chip, Row, Said, TreeView, tree_view};
pub use dialog::{Dialog, Picker, Purpose};
pub use state::{Env, State};
pub use ui::pick::DesktopPicker;
pub use ui::theme::install as install_theme;
