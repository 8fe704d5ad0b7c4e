//! Boards, power modes, TensorRT versions, and what each one's DLA can run.

mod board;
mod clocks;
mod described;
pub mod dla_rules;
pub mod parser;
mod tensorrt;

use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::platform::board::{Board, DlaGeneration, DlaSpec, GpuArch, GpuSpec, PowerMode};
pub use crate::platform::described::{
    BoardDescription, DescriptionError, boards, describe, described, description,
};
pub use crate::platform::tensorrt::{Dialect, DlaSupport, TensorRt, UnknownTensorRt};

/// Where an engine would run: board, power mode and TensorRT version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The board.
    pub board: &'static Board,
    /// The power mode: one of the board's, or clocks outside them (`gpu=900,dla=614,emc=3199`).
    pub mode: &'static PowerMode,
    /// The TensorRT version; one of the board's.
    pub tensorrt: TensorRt,
}

/// A target that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No such board.
    #[error("board {0:?} is not one of {list}", list = board_list())]
    Board(String),
    /// The board has no such mode.
    #[error("{board} has no power mode {mode:?}; it has {list}", list = mode_list(.board))]
    Mode {
        /// Board id.
        board: &'static str,
        /// As written.
        mode: String,
    },
    /// Clocks outside the modes that cannot be.
    #[error("{board} cannot run at these clocks: {why}")]
    Clocks {
        /// Board id.
        board: &'static str,
        /// The reason and the remedy.
        why: String,
    },
    /// No such TensorRT version.
    #[error(transparent)]
    TensorRt(#[from] UnknownTensorRt),
    /// No JetPack of the board ships this version.
    #[error("{board} does not run TensorRT {version}; it runs {list}", list = version_list(.board))]
    Combination {
        /// Board id.
        board: &'static str,
        /// The version.
        version: TensorRt,
    },
    /// The mode came with a later JetPack.
    #[error("{board} has {mode} with TensorRT {since} or later, not with {version}")]
    ModeVersion {
        /// Board id.
        board: &'static str,
        /// Mode name.
        mode: &'static str,
        /// The first version with the mode.
        since: TensorRt,
        /// The version asked for.
        version: TensorRt,
    },
}

fn board_list() -> String {
    let ids: Vec<&str> = boards().iter().map(|b| b.id).collect();
    ids.join(", ")
}

fn mode_list(board: &str) -> String {
    let modes = Board::find(board).map_or(&[][..], |b| b.modes);
    let names: Vec<&str> = modes.iter().map(|m| m.name).collect();
    names.join(", ")
}

fn version_list(board: &str) -> String {
    TensorRt::list(Board::find(board).map_or(&[][..], |b| b.tensorrt))
}

impl Target {
    /// A board in one of its modes with one of its TensorRT versions.
    ///
    /// # Errors
    /// The mode is not the board's, no JetPack of the board ships the version, or the mode came
    /// later than it.
    pub fn new(
        board: &'static Board,
        mode: &'static PowerMode,
        tensorrt: TensorRt,
    ) -> Result<Self, TargetError> {
        if !board.modes.contains(mode) && !clocks::is_clocks(mode.name) {
            return Err(TargetError::Mode {
                board: board.id,
                mode: mode.name.to_owned(),
            });
        }
        if !board.tensorrt.contains(&tensorrt) {
            return Err(TargetError::Combination {
                board: board.id,
                version: tensorrt,
            });
        }
        if let Some(since) = mode.since
            && tensorrt < since
        {
            return Err(TargetError::ModeVersion {
                board: board.id,
                mode: mode.name,
                since,
                version: tensorrt,
            });
        }
        Ok(Self {
            board,
            mode,
            tensorrt,
        })
    }

    /// A board in its default mode with its default TensorRT.
    pub fn of(board: &'static Board) -> Self {
        Self {
            board,
            mode: &board.modes[0],
            tensorrt: board.tensorrt[0],
        }
    }

    /// Reads `board`, `board@mode`, `board:version` or `board@mode:version`
    /// (`agx-orin-64@MAXN:8.6`); what is left out is the board's default. A mode may be a list of
    /// clocks in MHz (`orin-nx-16@gpu=900,dla=614,emc=3199`).
    ///
    /// # Errors
    /// An unknown board, mode or version, or one the board does not have; the message lists what
    /// there is.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let (rest, version) = match text.split_once(':') {
            Some((rest, version)) => (rest, Some(version)),
            None => (text, None),
        };
        let (id, mode) = match rest.split_once('@') {
            Some((id, mode)) => (id, Some(mode)),
            None => (rest, None),
        };
        let board =
            Board::find(id.trim()).ok_or_else(|| TargetError::Board(id.trim().to_owned()))?;
        let mut target = Self::of(board);
        if let Some(mode) = mode {
            let mode = mode.trim();
            target.mode = if clocks::is_clocks(mode) {
                clocks::mode(board, mode).map_err(|why| TargetError::Clocks {
                    board: board.id,
                    why,
                })?
            } else {
                board.mode(mode).ok_or_else(|| TargetError::Mode {
                    board: board.id,
                    mode: mode.to_owned(),
                })?
            };
        }
        if let Some(version) = version {
            target.tensorrt = version.trim().parse()?;
        }
        Self::new(target.board, target.mode, target.tensorrt)
    }

    /// `xavier-nx@15W:8.5`; [`Self::parse`] reads it back.
    pub fn id(&self) -> String {
        format!("{}@{}:{}", self.board.id, self.mode.name, self.tensorrt)
    }

    /// The nearest target on a board that exists: of this one's power mode and TensorRT what the
    /// board has, else its defaults. A mode that came later than the TensorRT gives way.
    #[must_use]
    pub fn moved_to(self, board: &'static Board) -> Self {
        let default = Self::of(board);
        let tensorrt = if board.tensorrt.contains(&self.tensorrt) {
            self.tensorrt
        } else {
            default.tensorrt
        };
        // Only a mode that was chosen is looked for on another board.
        let kept = if board.id == self.board.id {
            self.mode
        } else if self.mode.name == self.board.modes[0].name {
            default.mode
        } else {
            board.mode(self.mode.name).unwrap_or(default.mode)
        };
        let modes = [kept, default.mode].into_iter().chain(board.modes);
        let mut targets = modes.filter_map(|m| Self::new(board, m, tensorrt).ok());
        targets.next().unwrap_or(default)
    }

    /// The same board in another power mode; a TensorRT from before the mode gives way to the
    /// first that has it.
    #[must_use]
    pub fn in_mode(self, mode: &'static PowerMode) -> Self {
        let versions = std::iter::once(&self.tensorrt).chain(self.board.tensorrt);
        let mut targets = versions.filter_map(|v| Self::new(self.board, mode, *v).ok());
        targets.next().unwrap_or(self)
    }

    /// Whether TensorRT drives this board's DLA, and with how many cores.
    pub fn dla_support(&self) -> DlaSupport {
        self.board.dla_support(self.tensorrt)
    }
}

impl Default for Target {
    /// Xavier NX in its default mode with TensorRT 8.5.
    fn default() -> Self {
        Self::of(&boards()[0])
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(s: &str) -> Result<Self, TargetError> {
        Self::parse(s)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, TensorRT {}",
            self.board.name, self.mode.name, self.tensorrt
        )
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.id())
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::parse(&id).map_err(serde::de::Error::custom)
    }
}

/// A board, with its power mode and TensorRT version where they are known. A [`Target`] is what
/// one plans for; a place is what a machine or a publication told about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The board.
    pub board: &'static Board,
    /// The power mode; `None` where nobody said it or dlaplan does not know its clocks.
    pub mode: Option<&'static PowerMode>,
    /// The TensorRT version; `None` where nobody said it or dlaplan does not know it.
    pub tensorrt: Option<TensorRt>,
}

impl Place {
    /// Whether figures of this place stand beside those of a target in one chart: the same board in
    /// the same, known power mode, with no other TensorRT.
    pub fn is(&self, target: &Target) -> bool {
        self.same_mode(target) && self.tensorrt.is_none_or(|v| v == target.tensorrt)
    }

    /// The same board in the same, known power mode, with whatever TensorRT.
    pub fn same_mode(&self, target: &Target) -> bool {
        self.board.id == target.board.id && self.mode.is_some_and(|m| m.name == target.mode.name)
    }

    /// The target to plan for on this machine: what is not known is the board's default. A
    /// TensorRT that dlaplan does not plan for on this board gives way to the default too.
    pub fn target(&self) -> Target {
        let default = Target::of(self.board);
        let mode = self.mode.unwrap_or(default.mode);
        let version = self.tensorrt.unwrap_or(default.tensorrt);
        Target::new(self.board, mode, version).unwrap_or(Target { mode, ..default })
    }
}

impl From<Target> for Place {
    fn from(target: Target) -> Self {
        Self {
            board: target.board,
            mode: Some(target.mode),
            tensorrt: Some(target.tensorrt),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.board.name.trim_start_matches("Jetson "))?;
        match self.mode {
            Some(mode) => write!(f, ", {}", mode.name)?,
            None => f.write_str(", unknown power mode")?,
        }
        match self.tensorrt {
            Some(version) => write!(f, ", TensorRT {version}"),
            None => f.write_str(", unknown TensorRT"),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Place", 3)?;
        fields.serialize_field("board", self.board.id)?;
        fields.serialize_field("mode", &self.mode.map(|m| m.name))?;
        fields.serialize_field("tensorrt", &self.tensorrt.map(|v| v.to_string()))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_mode_is_no_place_of_a_chart() {
        let target = Target::default();
        let place = Place::from(target);
        assert!(place.is(&target));
        let unknown = Place {
            mode: None,
            ..place
        };
        assert!(!unknown.is(&target) && !unknown.same_mode(&target));
        assert_eq!(unknown.target(), target);
        assert_eq!(
            unknown.to_string(),
            "Xavier NX, unknown power mode, TensorRT 8.5"
        );
        let newer = Place {
            tensorrt: Some(TensorRt::V10_3),
            ..place
        };
        assert!(!newer.is(&target) && newer.same_mode(&target));
        assert_eq!(newer.target(), target, "no JetPack of Xavier ships it");
    }

    #[test]
    fn clocks_outside_the_modes_round_trip_and_have_limits() {
        let target = Target::parse("orin-nx-16@gpu=900,dla=614,emc=3199:8.6").unwrap();
        assert_eq!(target.mode.gpu_mhz, 900.0);
        assert_eq!(target.mode.dla_core_mhz(1), 614.0);
        assert!((target.mode.dram_gbs - 102.4).abs() < 0.1);
        assert_eq!(Target::parse(&target.id()).unwrap(), target);
        let reordered = Target::parse("orin-nx-16@emc=3199,gpu=900,dla=614:8.6").unwrap();
        assert!(std::ptr::eq(reordered.mode, target.mode));
        let half = Target::parse("orin-nx-16@emc=1600").unwrap();
        assert!((half.mode.dram_gbs / target.mode.dram_gbs - 1600.0 / 3199.0).abs() < 1e-9);
        for wrong in [
            "orin-nx-16@gpu=9000",
            "orin-nx-16@gpu=-1",
            "orin-nx-16@gpu=NaN",
            "orin-nx-16@gpu=",
            "orin-nx-16@cpu=1",
            "orin-nx-16@gpu=900,",
            "orin-nx-16@sms=1.5",
            "orin-nano-8@dla=600",
        ] {
            let error = Target::parse(wrong).unwrap_err();
            assert!(matches!(error, TargetError::Clocks { .. }), "{wrong}");
        }
    }

    #[test]
    fn ids_round_trip() {
        for board in boards() {
            for mode in board.modes {
                for version in board.tensorrt {
                    let made = Target::new(board, mode, *version);
                    if mode.since.is_some_and(|since| *version < since) {
                        assert!(matches!(made, Err(TargetError::ModeVersion { .. })));
                        continue;
                    }
                    let target = made.unwrap();
                    assert_eq!(Target::parse(&target.id()).unwrap(), target);
                    let json = serde_json::to_string(&target).unwrap();
                    assert_eq!(json, format!("{:?}", target.id()));
                    assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
                }
            }
        }
    }

    #[test]
    fn default_is_xavier_nx() {
        assert_eq!(Target::default().id(), "xavier-nx@15W:8.5");
        assert_eq!(Target::parse("xavier-nx").unwrap(), Target::default());
        assert_eq!(
            Target::parse("Xavier-NX@mode_15w_6core").unwrap(),
            Target::default()
        );
        let orin = Target::parse("agx-orin-64@MAXN:8.6.2").unwrap();
        assert_eq!(orin.id(), "agx-orin-64@MAXN:8.6");
        assert_eq!(orin.dla_support(), DlaSupport::Cores(2));
    }

    #[test]
    fn errors_list_the_choices() {
        let message = |s: &str| Target::parse(s).unwrap_err().to_string();
        assert_eq!(
            message("jetson"),
            "board \"jetson\" is not one of xavier-nx, agx-xavier, orin-nx-8, orin-nx-16, \
             agx-orin-32, agx-orin-64, orin-nano-8, orin-nano-4, thor, tx2, nano"
        );
        assert_eq!(
            message("xavier-nx@30W"),
            "xavier-nx has no power mode \"30W\"; it has 15W, 20W, 10W, 10W_DESKTOP"
        );
        assert_eq!(
            message("xavier-nx:9"),
            "TensorRT \"9\" is not one of 7.1, 8.0, 8.2, 8.4, 8.5, 8.6, 10.3, 10.7, 11.4"
        );
        assert_eq!(
            message("xavier-nx:8.6"),
            "xavier-nx does not run TensorRT 8.6; it runs 8.5, 8.4, 8.2, 8.0, 7.1"
        );
        assert_eq!(
            message("orin-nx-16@maxn_super:8.6"),
            "orin-nx-16 has MAXN_SUPER with TensorRT 10.3 or later, not with 8.6"
        );
        assert_eq!(
            message("xavier-nx@20W:7.1"),
            "xavier-nx has 20W with TensorRT 8.0 or later, not with 7.1"
        );
        assert!(Target::parse("").is_err());
        assert!(Target::parse("xavier-nx@").is_err());
        assert!(Target::parse("xavier-nx:8.50").is_err());
    }

    #[test]
    fn foreign_modes_are_refused() {
        let nx = Board::find("xavier-nx").unwrap();
        let agx = Board::find("agx-xavier").unwrap();
        assert!(Target::new(nx, &agx.modes[0], TensorRt::V8_5).is_err());
    }

    /// Cores and dense TOPS per core at the fastest clock, as the facts derive them.
    #[test]
    fn dla_tops_match_the_published_figures() {
        for (id, cores, mode, int8, fp16) in [
            ("xavier-nx", 2, "20W", 4.5, Some(2.25)),
            ("agx-xavier", 2, "MAXN", 5.7, Some(2.86)),
            ("orin-nx-8", 1, "MAXN", 10.07, None),
            ("orin-nx-16", 2, "MAXN", 10.07, None),
            ("agx-orin-32", 2, "30W", 22.4, None),
            ("agx-orin-64", 2, "MAXN", 26.2, None),
            ("agx-orin-64", 2, "50W", 22.4, None),
            ("agx-orin-64", 2, "15W", 10.07, None),
        ] {
            let board = Board::find(id).unwrap();
            let dla = board.dla.unwrap();
            let mhz = board.mode(mode).unwrap().dla_mhz;
            assert_eq!(dla.cores, cores, "{id}");
            let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.02;
            assert!(near(dla.int8_tops(mhz), int8), "{id}@{mode}");
            assert_eq!(dla.fp16_tflops(mhz).is_some(), fp16.is_some(), "{id}");
            if let (Some(a), Some(b)) = (dla.fp16_tflops(mhz), fp16) {
                assert!(near(a, b), "{id}@{mode}");
            }
        }
        for id in ["orin-nano-8", "orin-nano-4", "thor", "tx2", "nano"] {
            assert_eq!(Board::find(id).unwrap().dla, None, "{id}");
        }
    }

    #[test]
    fn bandwidth_and_cores_match_the_published_figures() {
        for (id, cuda, tensor, gbs) in [
            ("nano", 128, 0, 25.6),
            ("tx2", 256, 0, 59.7),
            ("xavier-nx", 384, 48, 59.7),
            ("agx-xavier", 512, 64, 136.5),
            ("orin-nx-8", 1024, 32, 102.4),
            ("orin-nx-16", 1024, 32, 102.4),
            ("agx-orin-32", 1792, 56, 204.8),
            ("agx-orin-64", 2048, 64, 204.8),
            ("orin-nano-8", 1024, 32, 102.4),
            ("orin-nano-4", 512, 16, 51.2),
            ("thor", 2560, 96, 273.0),
        ] {
            let board = Board::find(id).unwrap();
            assert_eq!(board.gpu.cuda_cores(), cuda, "{id}");
            assert_eq!(board.gpu.tensor_cores, tensor, "{id}");
            let best = board.modes.iter().map(|m| m.dram_gbs).fold(0.0, f64::max);
            assert!((best / gbs - 1.0).abs() < 0.02, "{id}: {best}");
        }
        assert_eq!(boards().len(), 11);
    }

    #[test]
    fn modes_are_consistent() {
        for board in boards() {
            assert!(!board.tensorrt.is_empty(), "{}", board.id);
            let mut names: Vec<&str> = board
                .modes
                .iter()
                .flat_map(|m| m.nvpmodel.iter().copied())
                .collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", board.id);
            for mode in board.modes {
                assert!(mode.gpu_mhz > 0.0 && mode.dram_gbs > 0.0);
                assert!(mode.sms > 0 && mode.sms <= board.gpu.sms, "{}", board.id);
                assert_eq!(mode.dla_mhz > 0.0, board.dla.is_some(), "{}", board.id);
            }
        }
    }

    #[test]
    fn dla_support_follows_the_releases() {
        let cores = |id: &str, v: TensorRt| Board::find(id).unwrap().dla_support(v).cores();
        use TensorRt::{V7_1, V8_0, V8_2, V8_4, V8_5, V8_6, V10_3, V10_7, V11_4};
        for v in [V7_1, V8_0, V8_2, V8_4] {
            for id in ["xavier-nx", "agx-xavier"] {
                assert_eq!(cores(id, v), 2);
                assert!(Target::parse(&format!("{id}:{v}")).is_ok());
            }
            assert_eq!(cores("orin-nx-16", v), 0);
            assert!(v.not_modelled().is_some() && v.max_loadables() == 8);
        }
        assert_eq!(
            (cores("agx-orin-32", V8_4), cores("agx-orin-64", V8_2)),
            (2, 0)
        );
        assert_eq!(V8_5.not_modelled(), None);
        assert_eq!(cores("xavier-nx", V8_5), 2);
        assert_eq!(cores("xavier-nx", V8_6), 0);
        assert_eq!(cores("agx-xavier", V10_3), 0);
        assert_eq!(cores("orin-nx-8", V8_5), 1);
        assert_eq!(cores("orin-nx-16", V8_6), 2);
        assert_eq!(cores("agx-orin-32", V10_7), 2);
        assert_eq!(cores("agx-orin-64", V11_4), 2);
        assert_eq!(cores("orin-nx-16", V11_4), 0);
        for v in TensorRt::ALL {
            assert_eq!(cores("orin-nano-8", v), 0);
            assert_eq!(cores("thor", v), 0);
            assert_eq!(v.as_str().parse(), Ok(v));
        }
        assert!(!V8_5.dialect().layer_device_types);
        assert!(V8_6.dialect().layer_device_types && !V8_6.dialect().wildcard);
        assert!(V10_3.dialect().wildcard && V10_3.dialect().precision_flags);
        assert!(!V11_4.dialect().precision_flags && V11_4.strongly_typed());
    }
}
