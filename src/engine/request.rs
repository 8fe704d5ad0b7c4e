//! What is asked of a worker: one engine to build and measure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::placement::{EngineConfig, IoType, Placement};

/// One engine to build and measure. Paths are those of the machine the worker runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The ONNX file.
    pub model: PathBuf,
    /// Dims per input, for inputs that the file declares symbolic or to override the file's.
    #[serde(default)]
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// Where each op is asked to run.
    pub placement: Placement,
    /// Precision, batch, core, fallback.
    pub config: EngineConfig,
    /// INT8 ranges; read only when the precision has INT8.
    #[serde(default)]
    pub calibration: Calibration,
    /// Builder memory pools.
    #[serde(default)]
    pub pools: MemoryPools,
    /// `IBuilderConfig::setTacticSources`; `None` takes TensorRT's default without the libraries
    /// that cannot be opened.
    #[serde(default)]
    pub tactic_sources: Option<u32>,
    /// How to measure.
    #[serde(default)]
    pub timing: Timing,
    /// Look at clocks, power and temperatures meanwhile.
    #[serde(default)]
    pub sampling: bool,
    /// Per-layer times from a separate, profiled run.
    pub per_layer: bool,
    /// What the outputs are compared with.
    #[serde(default)]
    pub numeric: NumericReference,
    /// Engine and timing caches; none are kept when absent.
    #[serde(default)]
    pub cache_dir: Option<PathBuf>,
    /// Writes the serialised engine here as well.
    #[serde(default)]
    pub save_engine: Option<PathBuf>,
    /// Measures this serialised engine instead of building one. Engines are trusted code: load
    /// only your own.
    #[serde(default)]
    pub load_engine: Option<PathBuf>,
}

/// Where INT8 ranges come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Calibration {
    /// Made-up ranges: timing is right, outputs are meaningless, and the Run says so.
    #[default]
    Dummy,
    /// A calibration cache that TensorRT wrote.
    Cache {
        /// The cache file.
        path: PathBuf,
    },
    /// Entropy calibration over batches.
    Folder {
        /// Folder of .npy files (one input) or .npz files (arrays named as the inputs), each one
        /// batch.
        path: PathBuf,
        /// Where to write the calibration cache.
        save: Option<PathBuf>,
    },
}

/// Builder memory pools in bytes; `None` leaves TensorRT's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemoryPools {
    /// `MemoryPoolType::kWORKSPACE`.
    pub workspace: Option<u64>,
    /// `kDLA_MANAGED_SRAM`, per loadable; a power of two of at least 4 KiB.
    pub dla_sram: Option<u64>,
    /// `kDLA_LOCAL_DRAM`, likewise.
    pub dla_local_dram: Option<u64>,
    /// `kDLA_GLOBAL_DRAM`, likewise.
    pub dla_global_dram: Option<u64>,
}

/// How an engine is timed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Warm-up before the first repeat, ms.
    pub warm_up_ms: u64,
    /// Length of one repeat, ms.
    pub duration_ms: u64,
    /// Repeats, at least 5; the FPS is their median.
    pub repeats: u32,
    /// Launches through a CUDA graph. Never with DLA, where TensorRT does not support it.
    pub cuda_graph: bool,
    /// Busy-waits for the GPU instead of sleeping; steadier, at the price of a CPU core.
    pub spin_wait: bool,
    /// Processes that measure the engine one after the other, each with all repeats: where memory
    /// comes to lie makes one process faster than the next. A worker is one of them.
    #[serde(default = "one")]
    pub processes: u32,
}

const fn one() -> u32 {
    1
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            warm_up_ms: 500,
            duration_ms: 1000,
            repeats: 7,
            cuda_graph: false,
            spin_wait: false,
            processes: one(),
        }
    }
}

/// What a run's outputs are compared with: an engine all on the GPU, on the same inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumericReference {
    /// An FP32 engine.
    #[default]
    Fp32,
    /// An FP16 engine; quicker to build.
    Fp16,
    /// No check.
    None,
}

/// A request that cannot be carried out, found before anything is built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A path that the worker's protocol, JSON, cannot carry.
    #[error(
        "{what}: {path:?} is not UTF-8, and a worker is told paths as UTF-8 text; rename it, or \
         the folder on the way to it"
    )]
    Path {
        /// Which path.
        what: &'static str,
        /// As given; its message has the bytes that are no text as `\xE9`.
        path: PathBuf,
    },
    /// A DLA pool TensorRT would refuse.
    #[error(
        "memory pool {pool}: {bytes} bytes is not a power of two of at least 4096; TensorRT takes \
         no other size for the DLA's pools"
    )]
    Pool {
        /// Pool name.
        pool: &'static str,
        /// As asked.
        bytes: u64,
    },
    /// Nothing hands the engine from one process to the next.
    #[error(
        "{0} processes are to measure one engine, and none is kept between them: leave out \
         --no-cache, or give the engine with --load-engine"
    )]
    NotKept(u32),
    /// Inputs and outputs that no engine of this kind has.
    #[error("{0}")]
    Io(String),
    /// A length outside the range that makes sense.
    #[error("{what} {value} is outside {low}-{high}")]
    Range {
        /// Which value.
        what: &'static str,
        /// As asked.
        value: u64,
        /// Smallest.
        low: u64,
        /// Largest.
        high: u64,
    },
}

impl Request {
    /// A request with the defaults around a model, placement and config.
    pub fn new(model: PathBuf, placement: Placement, config: EngineConfig) -> Self {
        Self {
            model,
            inputs: BTreeMap::new(),
            placement,
            config,
            calibration: Calibration::default(),
            pools: MemoryPools::default(),
            tactic_sources: None,
            timing: Timing::default(),
            sampling: true,
            per_layer: true,
            numeric: NumericReference::default(),
            cache_dir: None,
            save_engine: None,
            load_engine: None,
        }
    }

    /// Every path of it, and how the command line calls it.
    fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let (ranges, batches, save_ranges) = match &self.calibration {
            Calibration::Dummy => (None, None, None),
            Calibration::Cache { path } => (Some(path), None, None),
            Calibration::Folder { path, save } => (None, Some(path), save.as_ref()),
        };
        [
            ("the model", Some(&self.model)),
            ("the calibration cache (--calib)", ranges),
            ("the calibration batches (--calib-data)", batches),
            ("the calibration cache to write (--save-calib)", save_ranges),
            (
                "the folder of built engines (--cache)",
                self.cache_dir.as_ref(),
            ),
            (
                "the engine to write (--save-engine)",
                self.save_engine.as_ref(),
            ),
            (
                "the engine to measure (--load-engine)",
                self.load_engine.as_ref(),
            ),
        ]
        .into_iter()
        .filter_map(|(what, path)| Some((what, path?.as_path())))
    }

    /// The same with paths as JSON can carry them, for the record of a request that was refused.
    pub(super) fn in_text(&self) -> Self {
        let text = |path: &PathBuf| PathBuf::from(path.to_string_lossy().into_owned());
        let mut same = self.clone();
        same.model = text(&self.model);
        match &mut same.calibration {
            Calibration::Dummy => {}
            Calibration::Cache { path } => *path = text(path),
            Calibration::Folder { path, save } => {
                *path = text(path);
                *save = save.as_ref().map(text);
            }
        }
        same.cache_dir = self.cache_dir.as_ref().map(text);
        same.save_engine = self.save_engine.as_ref().map(text);
        same.load_engine = self.load_engine.as_ref().map(text);
        same
    }

    /// Checks what needs no device.
    ///
    /// # Errors
    /// The first thing wrong, with the range that is right.
    pub fn check(&self) -> Result<(), RequestError> {
        for (what, path) in self.paths() {
            if path.to_str().is_none() {
                return Err(RequestError::Path {
                    what,
                    path: path.to_owned(),
                });
            }
        }
        if let Some(why) = self.config.io.refusal(self.config.precision) {
            return Err(RequestError::Io(why));
        }
        let converted = self.config.io.input.element() != IoType::Fp32;
        if converted && matches!(self.calibration, Calibration::Folder { .. }) {
            return Err(RequestError::Io(format!(
                "calibration batches are FP32 and the engine's inputs would be {}; calibrate with \
                 --io-formats fp32:chw and --save-calib, then build with --calib",
                self.config.io.input
            )));
        }
        let pools = [
            ("dlaSRAM", self.pools.dla_sram),
            ("dlaLocalDRAM", self.pools.dla_local_dram),
            ("dlaGlobalDRAM", self.pools.dla_global_dram),
        ];
        for (pool, bytes) in pools {
            if let Some(bytes) = bytes
                && (bytes < 4096 || !bytes.is_power_of_two())
            {
                return Err(RequestError::Pool { pool, bytes });
            }
        }
        let ranges = [
            ("repeats", u64::from(self.timing.repeats), 5, 1000),
            ("duration (ms)", self.timing.duration_ms, 10, 600_000),
            ("processes", u64::from(self.timing.processes), 1, 100),
            ("warm-up (ms)", self.timing.warm_up_ms, 0, 600_000),
            (
                "batch",
                u64::from(self.config.batch),
                1,
                u64::from(EngineConfig::MAX_BATCH),
            ),
        ];
        for (what, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(RequestError::Range {
                    what,
                    value,
                    low,
                    high,
                });
            }
        }
        let kept = self.cache_dir.is_some() || self.load_engine.is_some();
        if self.timing.processes > 1 && !kept {
            return Err(RequestError::NotKept(self.timing.processes));
        }
        Ok(())
    }
}

/// Bytes of `4096`, `512K`, `1M`, `2G` (powers of 1024).
///
/// # Errors
/// Says what a size looks like.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size such as 4096, 512K, 1M or 2G");
    let (digits, unit) = match text.trim().strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']) {
        Some(digits) => {
            let unit = match text.trim().chars().last().map(|c| c.to_ascii_uppercase()) {
                Some('K') => 1 << 10,
                Some('M') => 1 << 20,
                _ => 1 << 30,
            };
            (digits, unit)
        }
        None => (text.trim(), 1),
    };
    let number: u64 = digits.parse().map_err(|e| format!("{}: {e}", bad()))?;
    number.checked_mul(unit).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn requests_are_checked_and_round_trip() {
        let mut r = Request::new(
            "m.onnx".into(),
            Placement::default(),
            EngineConfig::default(),
        );
        assert_eq!(r.check(), Ok(()));
        let json = serde_json::to_string(&r).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), r);
        r.pools.dla_sram = Some(5000);
        assert!(r.check().unwrap_err().to_string().contains("dlaSRAM: 5000"));
        r.pools.dla_sram = Some(1 << 20);
        r.timing.repeats = 3;
        assert!(r.check().is_err());
        r.timing.repeats = 5;
        r.timing.duration_ms = 1;
        assert!(r.check().unwrap_err().to_string().contains("10-600000"));
        r.timing = Timing {
            processes: 3,
            ..Timing::default()
        };
        assert_eq!(r.check(), Err(RequestError::NotKept(3)));
        r.cache_dir = Some("/cache".into());
        assert_eq!(r.check(), Ok(()));
    }

    #[test]
    fn paths_are_text() {
        let path = PathBuf::from(OsStr::from_bytes(b"/a/n\xe9.x"));
        let good = Request::new(
            "m.onnx".into(),
            Placement::default(),
            EngineConfig::default(),
        );
        let folder = |path: &Path, save| Calibration::Folder {
            path: path.to_owned(),
            save,
        };
        type Set<'a> = &'a dyn Fn(&mut Request);
        let places: [(&str, Set<'_>); 7] = [
            ("the model", &|r| r.model = path.clone()),
            ("--calib)", &|r| {
                r.calibration = Calibration::Cache { path: path.clone() };
            }),
            ("--calib-data)", &|r| r.calibration = folder(&path, None)),
            ("--save-calib)", &|r| {
                r.calibration = folder(Path::new("/b"), Some(path.clone()));
            }),
            ("--cache)", &|r| r.cache_dir = Some(path.clone())),
            ("--save-engine)", &|r| r.save_engine = Some(path.clone())),
            ("--load-engine)", &|r| r.load_engine = Some(path.clone())),
        ];
        for (place, set) in places {
            let mut bad = good.clone();
            set(&mut bad);
            let error = bad.check().unwrap_err().to_string();
            for word in [place, "\"/a/n\\xE9.x\"", "rename"] {
                assert!(error.contains(word), "no {word} in {error}");
            }
            assert!(serde_json::to_string(&bad).is_err());
            assert_eq!(bad.in_text().check(), Ok(()));
        }
        assert_eq!(good.in_text(), good);
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("1M"), Ok(1 << 20));
        assert_eq!(parse_size(" 4096 "), Ok(4096));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        for bad in [
            "",
            "M",
            "-1",
            "1T",
            "99999999999999999999",
            "18446744073709551615K",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
