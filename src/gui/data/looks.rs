//! Appearance, and the palette's own state.

use serde::{Deserialize, Serialize};

/// What goes to the clipboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// A text.
    Text(String),
    /// A picture.
    Picture {
        /// Width and height, pixels.
        size: [usize; 2],
        /// RGBA bytes, row by row.
        rgba: Vec<u8>,
    },
}

/// Which appearance the user chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum ThemeChoice {
    System,
    #[default]
    Dark,
    Light,
}

impl ThemeChoice {
    /// In menu order.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::System];

    /// For menus.
    pub fn text(self) -> &'static str {
        match self {
            Self::System => "as the desktop",
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }
}

/// A panel of the window, in the order of F6. Where there is no room for all of them, one is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::VariantArray)]
pub enum Pane {
    /// The bar on top.
    Top,
    /// Modules and ops.
    #[default]
    Tree,
    /// The execution ribbon.
    Execution,
    /// The chart, or the runs.
    Chart,
    /// The panel on the right.
    Side,
}

impl Pane {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
}

/// What the panel on the right shows while Find best is closed. Only one shows at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// What is selected, and why it runs where it runs.
    Inspector,
    /// Where the time goes.
    Time,
    /// The placement on screen beside another one.
    Compare,
    /// The network around the selection.
    Map,
}

/// A hint that is shown until it is closed, once for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hint {
    /// Where to begin, and the guided tour.
    Tour,
}

/// The palette's own state.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    /// As typed.
    pub query: String,
    /// Which line is chosen.
    pub chosen: usize,
}
