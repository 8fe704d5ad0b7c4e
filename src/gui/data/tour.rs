//! The guided tour: which step it is at, and the user's own work meanwhile.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::chart::View;
use crate::gui::data::filter::Filter;
use crate::gui::data::looks::{Beside, Pane};
use crate::gui::data::open::{Open, Selection};
use crate::gui::data::search::Form;
use crate::gui::data::session::Session;
use crate::gui::data::tree_index::Sort;
use crate::model::ModuleId;
use crate::placement::Document;
use crate::platform::Target;

/// What the user does with the tour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Begins at the first step.
    Start,
    /// Goes on.
    Next,
    /// Goes back.
    Back,
    /// Ends it; the user's own work is put back.
    Leave,
}

/// The tour while it runs.
pub struct Tour {
    /// The step on screen, from 0.
    pub at: usize,
    pub(crate) before: Box<Before>,
}

/// The user's own work while the tour shows its model.
pub(crate) struct Before {
    pub open: Option<Open>,
    pub doc: Document,
    pub target: Target,
    pub calibration: Option<PathBuf>,
    pub selection: Selection,
    pub expanded: BTreeSet<ModuleId>,
    pub filter: Filter,
    pub sort: Sort,
    pub view_of_chart: View,
    pub runs_shown: bool,
    pub beside: Option<Beside>,
    pub pane: Pane,
    pub full_chart: bool,
    pub find_open: bool,
    pub form: Form,
    /// What the session file goes on holding.
    pub session: Option<Session>,
}
