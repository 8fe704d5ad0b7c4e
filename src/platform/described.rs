//! Boards that no list knows: described by a file of the user's, planned for like any other.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::board::{Board, GpuArch, GpuSpec, PowerMode, built_in, orin_dla, xavier_dla};
use super::tensorrt::TensorRt;

/// Boards that one process can describe; each lives as long as the program.
const MOST: usize = 64;

/// What is known of hardware that no list has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardDescription {
    /// Version of this format.
    pub schema: u32,
    /// Name in files and on the command line: small letters, digits and hyphens.
    pub id: String,
    /// Name on screen.
    pub name: String,
    /// The GPU's name as the driver says it; a machine with it is this board.
    pub gpu: String,
    /// The module's part number, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Compute capability, `9.0`.
    pub compute_capability: String,
    /// Memory, GB (2^30 bytes).
    pub memory_gb: u32,
    /// Streaming multiprocessors.
    pub sms: u32,
    /// Level-2 cache, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l2_bytes: Option<u64>,
    /// Power mode; `default` where there are none.
    pub mode: String,
    /// Highest GPU clock, MHz.
    pub gpu_mhz: f64,
    /// Memory clock, MHz.
    pub memory_mhz: f64,
    /// Memory bandwidth, GB/s (10^9 bytes).
    pub dram_gbs: f64,
    /// DLA cores, and their clock in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dla: Option<(u32, f64)>,
    /// The TensorRT that measured it.
    pub tensorrt: String,
    /// Where the figures come from.
    pub source: String,
}

/// Why a description is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// A value that cannot be.
    #[error("{field} {value} cannot be; make the description anew with `dlaplan survey`")]
    Value {
        /// Which.
        field: &'static str,
        /// As written.
        value: String,
    },
    /// The id is that of a board dlaplan has its own figures of.
    #[error("{0} is a board that dlaplan knows; give the description another id")]
    Known(String),
    /// More than a process remembers.
    #[error("more than {MOST} boards are described; delete some of their files")]
    TooMany,
}

impl Board {
    /// A board by its id, in any case.
    pub fn find(id: &str) -> Option<&'static Self> {
        boards().iter().find(|b| b.id.eq_ignore_ascii_case(id))
    }
}

impl GpuArch {
    /// The architecture of a compute capability; `None` of an older or newer one than those known.
    pub fn of(compute_capability: &str) -> Option<Self> {
        Some(match compute_capability {
            "5.0" | "5.2" | "5.3" => Self::Maxwell,
            "6.0" | "6.1" | "6.2" => Self::Pascal,
            "7.0" | "7.2" => Self::Volta,
            "7.5" => Self::Turing,
            "8.0" | "8.7" => Self::Ampere,
            "8.6" | "8.9" => Self::Ada,
            "9.0" => Self::Hopper,
            _ => return None,
        })
    }
}

impl BoardDescription {
    /// The format this program reads and writes.
    pub const SCHEMA: u32 = 1;

    /// An id out of a GPU's or module's name.
    pub fn id_of(name: &str) -> String {
        let parts: Vec<String> = name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty() && !part.eq_ignore_ascii_case("nvidia"))
            .map(str::to_ascii_lowercase)
            .collect();
        let id = parts.join("-");
        if id.is_empty() {
            "gpu".to_owned()
        } else {
            id.chars().take(48).collect()
        }
    }

    fn check(&self) -> Result<GpuArch, DescriptionError> {
        let bad = |field, value: &dyn std::fmt::Display| DescriptionError::Value {
            field,
            value: value.to_string().chars().take(60).collect(),
        };
        if self.schema != Self::SCHEMA {
            return Err(bad("layout", &self.schema));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(plain) {
            return Err(bad("id", &self.id));
        }
        if built_in().iter().any(|b| b.id == self.id) {
            return Err(DescriptionError::Known(self.id.clone()));
        }
        let texts = [
            ("name", &self.name),
            ("GPU", &self.gpu),
            ("power mode", &self.mode),
            ("source", &self.source),
        ];
        for (field, text) in texts {
            if text.is_empty() || text.len() > 300 || text.chars().any(char::is_control) {
                return Err(bad(field, text));
            }
        }
        if self.mode.contains(['@', ':', '=']) {
            return Err(bad("power mode", &self.mode));
        }
        for (field, value, most) in [
            ("GPU clock", self.gpu_mhz, 20_000.0),
            ("memory clock", self.memory_mhz, 100_000.0),
            ("memory bandwidth", self.dram_gbs, 1e6),
            ("DLA clock", self.dla.map_or(1.0, |d| d.1), 20_000.0),
        ] {
            if !(value > 0.0 && value <= most) {
                return Err(bad(field, &value));
            }
        }
        for (field, value, most) in [
            ("SMs", self.sms, 4096),
            ("memory", self.memory_gb, 1 << 20),
            ("DLA cores", self.dla.map_or(1, |d| d.0), 16),
        ] {
            if !(1..=most).contains(&value) {
                return Err(bad(field, &value));
            }
        }
        let capability = &self.compute_capability;
        GpuArch::of(capability).ok_or_else(|| bad("compute capability", capability))
    }

    /// The board; the text lives as long as the program.
    fn board(&self) -> Result<Board, DescriptionError> {
        let arch = self.check()?;
        let kept = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let (dla_cores, dla_mhz) = self.dla.unwrap_or((0, 0.0));
        let dla = match arch {
            _ if dla_cores == 0 => None,
            GpuArch::Volta => Some(xavier_dla(dla_cores)),
            _ => Some(orin_dla(dla_cores)),
        };
        let mode = PowerMode {
            name: kept(&self.mode),
            nvpmodel: &[],
            gpu_mhz: self.gpu_mhz,
            sms: self.sms,
            dla_mhz,
            dla1_mhz: dla_mhz,
            emc_mhz: self.memory_mhz,
            dram_gbs: self.dram_gbs,
            since: None,
            unconfirmed: None,
        };
        let own: Option<TensorRt> = self.tensorrt.parse().ok();
        let later = TensorRt::ALL.iter().rev().copied();
        let others = later.filter(|v| *v >= TensorRt::V8_5 && Some(*v) != own);
        let versions: Vec<TensorRt> = own.into_iter().chain(others).collect();
        Ok(Board {
            id: kept(&self.id),
            name: kept(&self.name),
            memory_gb: self.memory_gb,
            gpu: GpuSpec {
                arch,
                sms: self.sms,
                cuda_cores_per_sm: match self.compute_capability.as_str() {
                    "6.0" | "7.0" | "7.2" | "7.5" | "8.0" => 64,
                    _ => 128,
                },
                tensor_cores: match arch {
                    GpuArch::Maxwell | GpuArch::Pascal => 0,
                    GpuArch::Volta | GpuArch::Turing => self.sms * 8,
                    _ => self.sms * 4,
                },
                l2_bytes: self.l2_bytes,
            },
            dla,
            modes: Box::leak(Box::new([mode])),
            tensorrt: Box::leak(versions.into_boxed_slice()),
            source: kept(&self.source),
        })
    }
}

/// A described board and the hardware that is it.
#[derive(Clone, Debug)]
struct Described {
    description: BoardDescription,
    board: Board,
}

/// All boards as planned for now, and the described ones among them.
static DESCRIBED: RwLock<(Option<&'static [Board]>, Vec<Described>)> =
    RwLock::new((None, Vec::new()));

/// All boards: those dlaplan has its own figures of, the default (Xavier NX) first, and those
/// described with [`describe`].
pub fn boards() -> &'static [Board] {
    let known = DESCRIBED.read().unwrap_or_else(PoisonError::into_inner);
    known.0.unwrap_or_else(built_in)
}

/// Adds a board to [`boards`], or replaces the description with its id. A value taken from
/// [`boards`] before keeps the old figures.
///
/// # Errors
/// The description cannot be of a board, or has the id of one dlaplan knows.
pub fn describe(description: &BoardDescription) -> Result<(), DescriptionError> {
    let mut known = DESCRIBED.write().unwrap_or_else(PoisonError::into_inner);
    if known.1.iter().any(|d| d.description == *description) {
        return Ok(());
    }
    let others = known
        .1
        .iter()
        .filter(|d| d.description.id != description.id);
    let mut all: Vec<Described> = others.cloned().collect();
    if all.len() >= MOST {
        return Err(DescriptionError::TooMany);
    }
    all.push(Described {
        description: description.clone(),
        board: description.board()?,
    });
    let described = all.iter().map(|d| d.board);
    let boards: Vec<Board> = built_in().iter().copied().chain(described).collect();
    *known = (Some(Box::leak(boards.into_boxed_slice())), all);
    Ok(())
}

/// The described board that hardware is, by the GPU's name, its SMs and the module's number.
pub fn described(gpu: &str, sms: Option<u32>, module: Option<&str>) -> Option<&'static Board> {
    let id = {
        let known = DESCRIBED.read().unwrap_or_else(PoisonError::into_inner);
        let is = |d: &&Described| {
            let d = &d.description;
            d.gpu == gpu && sms.is_none_or(|n| n == d.sms) && d.module.as_deref() == module
        };
        known.1.iter().find(is)?.board.id
    };
    boards().iter().find(|b| b.id == id)
}

/// The description of a board that was described.
pub fn description(board: &str) -> Option<BoardDescription> {
    let known = DESCRIBED.read().unwrap_or_else(PoisonError::into_inner);
    let found = known.1.iter().find(|d| d.board.id == board)?;
    Some(found.description.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Target;

    fn sample() -> BoardDescription {
        BoardDescription {
            schema: 1,
            id: "test-gpu-one".into(),
            name: "Test GPU One".into(),
            gpu: "NVIDIA Test GPU One".into(),
            module: None,
            compute_capability: "9.0".into(),
            memory_gb: 80,
            sms: 132,
            l2_bytes: Some(50 << 20),
            mode: "default".into(),
            gpu_mhz: 1980.0,
            memory_mhz: 2619.0,
            dram_gbs: 3352.0,
            dla: None,
            tensorrt: "8.5.2".into(),
            source: "the driver".into(),
        }
    }

    #[test]
    fn a_described_board_is_planned_for_like_any_other() {
        let one = sample();
        describe(&one).unwrap();
        let target = Target::parse("test-gpu-one").unwrap();
        assert_eq!(target.id(), "test-gpu-one@default:8.5");
        assert_eq!(described(&one.gpu, Some(132), None).unwrap().id, one.id);
        assert_eq!(described(&one.gpu, Some(114), None), None);
        assert_eq!(description(&one.id), Some(one.clone()));
        let faster = BoardDescription {
            gpu_mhz: 2000.0,
            ..one
        };
        describe(&faster).unwrap();
        let now = Target::parse("test-gpu-one").unwrap();
        assert_eq!(now.mode.gpu_mhz, 2000.0);
        let same = boards().iter().filter(|b| b.id == "test-gpu-one").count();
        assert_eq!(same, 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let change = |f: fn(&mut BoardDescription)| {
            let mut d = sample();
            f(&mut d);
            describe(&d).unwrap_err()
        };
        for error in [
            change(|d| d.id = "Test GPU".into()),
            change(|d| d.gpu_mhz = f64::NAN),
            change(|d| d.dram_gbs = -1.0),
            change(|d| d.sms = 0),
            change(|d| d.compute_capability = "99.0".into()),
            change(|d| d.mode = "a@b".into()),
            change(|d| d.schema = 2),
        ] {
            assert!(matches!(error, DescriptionError::Value { .. }), "{error}");
        }
        let known = change(|d| d.id = "nano".into());
        assert!(matches!(known, DescriptionError::Known(_)));
        assert_eq!(
            BoardDescription::id_of("NVIDIA H100 80GB HBM3"),
            "h100-80gb-hbm3"
        );
    }
}
