//! One readable calibration file per board: the parameters in force, what they were fitted on, and
//! how far off estimates were on rows held out of the fit.

use serde::{Deserialize, Serialize};

use crate::figure::Band;
use crate::placement::Precision;

use super::params::Parameters;

/// Which devices a plan uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mix {
    /// GPU only.
    Gpu,
    /// DLA only.
    Dla,
    /// Both.
    Both,
}

impl Mix {
    /// From what a plan has.
    pub fn of(gpu: bool, dla: bool) -> Self {
        match (gpu, dla) {
            (_, false) => Self::Gpu,
            (false, true) => Self::Dla,
            (true, true) => Self::Both,
        }
    }

    /// Name on screen.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gpu => "GPU",
            Self::Dla => "DLA",
            Self::Both => "GPU + DLA",
        }
    }
}

/// How far off estimates of one kind were on rows held out of the fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Precision flags (`fp16`).
    pub precision: String,
    /// Devices.
    pub mix: Mix,
    /// The model it is about ([`crate::model::Source::structure_hash`]), where own runs of that
    /// model gave it; any model if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Half width of the band shown, as a fraction: nine of ten held-out rows are inside, and
    /// never less than the figure has digits for.
    pub band: f64,
    /// Held-out rows it stands on; 0 where the board has none and the band comes from others.
    pub rows: u32,
    /// Where the band comes from, in words.
    pub basis: String,
}

/// A board's calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardFile {
    /// Version of this format.
    pub schema: u32,
    /// Board id.
    pub board: String,
    /// One line for hovers and reports.
    pub source: String,
    /// The parameters in force.
    pub parameters: Parameters,
    /// Ids of the measurement rows the parameters were fitted on.
    pub rows: Vec<String>,
    /// Bands by precision and devices.
    pub bands: Vec<HeldOut>,
    /// What running beside other engines adds to a band, as a fraction.
    pub contention_band: f64,
}

/// Band where nothing was measured at all: two out of three.
const UNMEASURED_BAND: f64 = 0.6;

impl BoardFile {
    /// The format this program reads and writes.
    pub const SCHEMA: u32 = 1;

    /// Parameters at their priors, for a board no row is about.
    pub fn prior(board: &str) -> Self {
        Self {
            schema: Self::SCHEMA,
            board: board.to_owned(),
            source: "physical model with expected parameters; no measurement of this board".into(),
            parameters: Parameters::default(),
            rows: Vec::new(),
            bands: Vec::new(),
            contention_band: 0.3,
        }
    }

    /// The band for a precision, a device mix and a model: that of the model's own runs, else the
    /// exact one of any model, else the widest of the same devices, else the widest of all, else
    /// [`UNMEASURED_BAND`].
    pub fn band(&self, precision: Precision, mix: Mix, structure_hash: &str) -> Band {
        let widest = |keep: &dyn Fn(&HeldOut) -> bool| {
            self.bands
                .iter()
                .filter(|b| keep(b))
                .map(|b| b.band)
                .reduce(f64::max)
        };
        let exact = |b: &HeldOut| b.precision == precision.as_str() && b.mix == mix;
        // Published rows of INT8 stand for INT8 with FP16 beside it too.
        let like = |b: &HeldOut| precision.as_str().starts_with(&b.precision) && b.mix == mix;
        let any = |b: &HeldOut| b.model.is_none();
        let half = widest(&|b| exact(b) && b.model.as_deref() == Some(structure_hash))
            .or_else(|| widest(&|b| exact(b) && any(b)))
            .or_else(|| widest(&|b| like(b) && any(b)))
            .or_else(|| widest(&|b| b.mix == mix && any(b)))
            .or_else(|| widest(&any))
            .unwrap_or(UNMEASURED_BAND);
        Band::within(half)
    }

    /// The widest band of a device mix, whatever the precision: for what no row is about.
    pub fn widest_band(&self, mix: Mix) -> Band {
        let rows = self
            .bands
            .iter()
            .filter(|b| b.model.is_none() && b.mix == mix);
        let half = rows.map(|b| b.band).reduce(f64::max);
        Band::within(half.unwrap_or(UNMEASURED_BAND))
    }

    /// The file's text.
    ///
    /// # Errors
    /// None in practice: every field serialises.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// Not a calibration, of another layout, or of another board; the message says which.
    pub fn parse(text: &str, board: &str) -> Result<Self, BoardFileError> {
        let file: Self = serde_json::from_str(text)?;
        if file.schema != Self::SCHEMA {
            return Err(BoardFileError::Layout {
                found: file.schema,
                known: Self::SCHEMA,
            });
        }
        if file.board != board {
            return Err(BoardFileError::Board(file.board));
        }
        Ok(file)
    }
}

/// Why a text is not a board's calibration.
#[derive(Debug, thiserror::Error)]
pub enum BoardFileError {
    /// Not one at all, or with other parameters than this version's.
    #[error("not a calibration of this version of dlaplan: {0}")]
    Format(#[from] serde_json::Error),
    /// Of another layout.
    #[error("calibration of layout {found}; this dlaplan reads {known}")]
    Layout {
        /// In the file.
        found: u32,
        /// Readable.
        known: u32,
    },
    /// Of another board.
    #[error("it is the calibration of {0:?}")]
    Board(String),
}

/// The shipped files: `<board id>.json`.
static FILES: include_dir::Dir<'_> =
    include_dir::include_dir!("$CARGO_MANIFEST_DIR/assets/calibration/boards");

/// Ids of the boards with a shipped file.
pub fn shipped_boards() -> impl Iterator<Item = &'static str> {
    FILES
        .files()
        .filter_map(|file| file.path().file_stem()?.to_str())
}

/// The calibration shipped for a board; priors where there is none.
pub fn shipped(board: &str) -> BoardFile {
    FILES
        .get_file(format!("{board}.json"))
        .and_then(|file| serde_json::from_slice(file.contents()).ok())
        .unwrap_or_else(|| BoardFile::prior(board))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_reads_and_names_its_board() {
        assert!(FILES.files().count() >= 9, "the shipped files are gone");
        for file in FILES.files() {
            let id = file.path().file_stem().unwrap().to_str().unwrap();
            assert!(
                crate::platform::Board::find(id).is_some(),
                "{id} is no board"
            );
            let file: BoardFile = serde_json::from_slice(file.contents()).expect(id);
            assert_eq!(file.board, id);
            assert_eq!(file.schema, BoardFile::SCHEMA);
            assert!(!file.bands.is_empty(), "{id} has no bands");
        }
    }
}
