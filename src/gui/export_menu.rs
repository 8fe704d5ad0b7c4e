//! What the export menu offers.

use super::state::State;

/// A kind of file the plan can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportKind {
    /// dlaplan's own placement file.
    Placement,
}

impl ExportKind {
    /// In menu order.
    pub const ALL: [Self; 0] = [];

    /// For menus and messages.
    pub fn text(self) -> &'static str {
        match self {
            Self::Placement => "placement",
        }
    }

    /// File kind for the dialog: a name and extensions.
    pub fn filter(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Placement => ("Placement", &["json"]),
        }
    }

    /// The file name offered first.
    pub fn file_name(self, model: &str) -> String {
        match self {
            Self::Placement => format!("{model}.placement.json"),
        }
    }

    /// It is text worth copying.
    pub fn copies(self) -> bool {
        match self {
            Self::Placement => true,
        }
    }

    /// Why it cannot be written now, if so.
    pub fn unavailable(self, state: &State) -> Option<String> {
        state
            .open
            .is_none()
            .then(|| "Open a model first".to_owned())
    }
}

/// Reads a placement file.
pub fn read_placement(
    text: &str,
    _path: &std::path::Path,
) -> Result<crate::placement::Placement, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}
