//! What a measurement is: figures with samples and provenance, or why there are none.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Measured, short};
use crate::placement::Device;

use super::log::LogLine;
use super::request::Request;
use super::telemetry::{Energy, Mark, Telemetry, energy, marks};

/// One attempt to build and measure one engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Version of this layout.
    pub schema: u32,
    /// When it began, ms since 1970 (UTC).
    pub started_ms: u64,
    /// How long all of it took, s.
    pub wall_s: f64,
    /// What was measured.
    pub model: ModelRef,
    /// What was asked.
    pub request: Request,
    /// Where it ran.
    pub environment: Environment,
    /// Its part in a deployment, if it ran beside others.
    #[serde(default)]
    pub deployment: Option<DeploymentShare>,
    /// Requested against predicted against actual, where a plan was at hand.
    #[serde(default)]
    pub comparison: Option<Comparison>,
    /// Figures, or why there are none.
    pub outcome: Outcome,
    /// The end of the log.
    #[serde(default)]
    pub log: Vec<LogLine>,
    /// What the samples of the machine say against the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// What was read of the machine meanwhile.
    #[serde(default, skip_serializing_if = "Telemetry::is_empty")]
    pub telemetry: Telemetry,
}

/// Share of the time on the CPU from which a run counts as limited by it. Waking up takes the rest.
const NEARLY_ALL: f64 = 0.9;

impl Run {
    /// Whether TensorRT was reached: a machine that cannot measure, or a request that is refused,
    /// says nothing about a placement.
    pub fn began(&self) -> bool {
        match &self.outcome {
            Outcome::Finished(_) => true,
            Outcome::Failed(f) => !matches!(f.stage, Stage::Start | Stage::Send | Stage::Check),
        }
    }

    /// Version of the layout that this program writes.
    pub const SCHEMA: u32 = 1;

    /// The figures, if there are any.
    pub fn measurement(&self) -> Option<&Measurement> {
        match &self.outcome {
            Outcome::Finished(m) => Some(m),
            Outcome::Failed(_) => None,
        }
    }

    /// The CPU sets the pace: the program was on it for nearly all of the time between two
    /// inferences, which says that the GPU waits for launches. `None` where the program waited
    /// busily, because then its CPU time says nothing.
    pub fn limited_by_cpu(&self) -> Option<String> {
        let m = self.measurement()?;
        let period_us = f64::from(self.request.config.batch) * 1e6 / m.fps.value;
        let busy = m.cpu_us_per_iteration / period_us;
        if self.request.timing.spin_wait || busy.is_nan() || busy < NEARLY_ALL {
            return None;
        }
        let uses_dla = m.actual.ops.iter().any(|o| o.device == Some(Device::Dla));
        let remedy = if m.cuda_graph {
            ""
        } else if uses_dla {
            "; a CUDA graph is not for engines with a DLA"
        } else {
            "; with a CUDA graph (--cuda-graph) one launch does for all kernels"
        };
        Some(format!(
            "limited by the CPU: {} us of CPU time in {} us per inference{remedy}",
            short(m.cpu_us_per_iteration),
            short(period_us)
        ))
    }

    /// Images per second, if measured.
    pub fn fps(&self) -> Option<&Measured> {
        self.measurement().map(|m| &m.fps)
    }

    /// The core that the placement asks for, if it asks for the DLA.
    pub fn wanted_dla(&self) -> Option<u32> {
        let request = &self.request;
        let wants = request.placement.wants_dla();
        wants.then_some(request.config.dla_core)
    }

    /// Works out energy and marks from the samples.
    pub(super) fn read_telemetry(&mut self) {
        self.marks = marks(&self.telemetry, self.wanted_dla());
        let machine = self.environment.summary();
        if let Outcome::Finished(m) = &mut self.outcome {
            (m.mj_per_image, m.energy) = if self.request.sampling {
                energy(&self.telemetry, &machine)
            } else {
                (Figure::none("sampling was switched off"), None)
            };
        }
    }

    /// Whether the figures may stand for the placement that was asked: measured, and no op left
    /// the DLA that the plan had expected there, silently or with a reason in the log.
    pub fn stands_for_placement(&self) -> bool {
        self.measurement().is_some()
            && self
                .comparison
                .as_ref()
                .is_none_or(|c| c.silent_fallbacks.is_empty() && c.explained_fallbacks.is_empty())
    }
}

/// The model of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// Short name.
    pub name: String,
    /// [`crate::model::Source::structure_hash`].
    pub structure_hash: String,
    /// The file has no weights; random ones were used, so that only the timing means anything.
    pub timing_only: bool,
}

/// Where a run happened, as read before it began. Nothing here was changed by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Host name.
    pub host: String,
    /// Board, from the device tree or DMI.
    pub board: Option<String>,
    /// Part number of the Jetson module, `p3767-0000`.
    pub module: Option<String>,
    /// It is a container, which need not see what the board is set to.
    pub container: bool,
    /// First line of `/etc/nv_tegra_release`, else the version of the package nvidia-l4t-core.
    pub l4t: Option<String>,
    /// TensorRT the worker opened, `8.5.2`.
    pub tensorrt: Option<String>,
    /// CUDA driver API version, `12.2`.
    pub cuda_driver: Option<String>,
    /// GPU name.
    pub gpu: Option<String>,
    /// Compute capability, `7.2`.
    pub compute_capability: Option<String>,
    /// What the driver says of the GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_facts: Option<GpuFacts>,
    /// DLA cores TensorRT reports.
    pub dla_cores: Option<u32>,
    /// Memory of the machine, MiB.
    pub memory_mb: Option<f64>,
    /// Memory that a new process can have, MiB.
    pub memory_available_mb: Option<f64>,
    /// Swap that is free, MiB.
    pub swap_free_mb: Option<f64>,
    /// nvpmodel's mode, as `/var/lib/nvpmodel/status` names it.
    pub power_mode: Option<String>,
    /// The modes that nvpmodel has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub power_modes: Vec<PowerMode>,
    /// What that mode sets and the kernel does not have, in words.
    pub mode_not_applied: Vec<String>,
    /// Clocks in MHz by name, sorted (`gpu`, `emc`, `dla0`, `cpu0`).
    pub clocks_mhz: Vec<(String, f64)>,
    /// The range that each clock may move in, sorted by name.
    pub clock_ranges: Vec<ClockRange>,
    /// Temperatures in °C by thermal zone, sorted.
    pub temperatures_c: Vec<(String, f64)>,
    /// Power in W by rail of the board, sorted.
    pub rails_w: Vec<(String, f64)>,
    /// Runtime power state of each DLA core (`suspended`, `active`), sorted.
    pub dla_status: Vec<(String, String)>,
    /// Over-current throttling events since the board was started, by event, sorted.
    pub throttle_events: Vec<(String, u64)>,
    /// This program's version.
    pub dlaplan: String,
}

impl Environment {
    /// One line for provenance: board, versions, power mode.
    pub fn summary(&self) -> String {
        let machine = self.board.as_ref().or(self.gpu.as_ref());
        let mut parts = vec![machine.cloned().unwrap_or_else(|| self.host.clone())];
        if self.board.is_some()
            && let Some(gpu) = &self.gpu
        {
            parts.push(gpu.clone());
        }
        parts.extend(self.power_mode.clone());
        parts.extend(self.tensorrt.as_ref().map(|v| format!("TensorRT {v}")));
        parts.join(", ")
    }
}

/// What a driver says of its GPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuFacts {
    /// Streaming multiprocessors.
    pub sms: u32,
    /// Highest clock, MHz.
    pub clock_mhz: f64,
    /// Highest clock of its memory, MHz.
    pub memory_mhz: f64,
    /// Width of its memory bus, bits.
    pub bus_bits: u32,
    /// Level-2 cache, bytes.
    pub l2_bytes: u64,
    /// Its memory, bytes.
    pub memory_bytes: u64,
    /// It is part of the chip and shares its memory with the CPU.
    pub integrated: bool,
}

/// A mode that nvpmodel has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerMode {
    /// What `nvpmodel -m` takes.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// It switches other parts of the GPU off than the present one, which needs a reboot.
    pub reboot: bool,
}

/// The range that a clock may move in; what cannot be read is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockRange {
    /// Clock, named as in [`Environment::clocks_mhz`].
    pub name: String,
    /// Lowest, MHz.
    pub min_mhz: Option<f64>,
    /// Highest, MHz.
    pub max_mhz: Option<f64>,
    /// What moves it.
    pub governor: Option<String>,
}

impl ClockRange {
    /// Whether it cannot move, as after `jetson_clocks`; `None` where that is not known.
    pub fn locked(&self) -> Option<bool> {
        Some(self.min_mhz? == self.max_mhz?)
    }
}

/// Why an engine that asks for a DLA core is not built on a machine with so many of them, if so.
pub fn dla_refusal(tensorrt: &str, machine: &str, cores: u32, core: u32) -> Option<String> {
    if cores == 0 {
        return Some(format!(
            "the placement asks for the DLA, and TensorRT {tensorrt} finds no DLA core on this \
             machine ({machine}). TensorRT would build it on the GPU without a word, so nothing \
             was built: use a Jetson with a DLA, or place everything on the GPU"
        ));
    }
    (core >= cores).then(|| {
        format!(
            "DLA core {core} does not exist; this machine has cores 0 to {}",
            cores - 1
        )
    })
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Outcome {
    /// Measured.
    Finished(Box<Measurement>),
    /// No figures.
    Failed(Failure),
}

/// The stages of a run, in order.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Starting the worker.
    Start,
    /// Sending the model to another machine.
    Send,
    /// Reading the model and checking the request.
    Check,
    /// Reading ONNX into TensorRT.
    Parse,
    /// Calibrating INT8.
    Calibrate,
    /// Building the engine.
    Build,
    /// Building the reference engine for the numeric check.
    Reference,
    /// Comparing outputs.
    Numeric,
    /// Warming up.
    Warmup,
    /// Waiting for the other engines of a deployment.
    Barrier,
    /// Timing.
    Timing,
    /// Timing per layer.
    Layers,
}

impl Stage {
    /// All stages in order.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// What the progress bar says.
    pub fn label(self) -> &'static str {
        match self {
            Self::Start => "starting the worker",
            Self::Send => "sending the model",
            Self::Check => "checking",
            Self::Parse => "reading the network",
            Self::Calibrate => "calibrating INT8",
            Self::Build => "building the engine",
            Self::Reference => "building the reference engine",
            Self::Numeric => "comparing outputs",
            Self::Warmup => "warming up",
            Self::Barrier => "waiting for the other engines",
            Self::Timing => "timing",
            Self::Layers => "timing layers",
        }
    }
}

/// Why a run has no figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of end.
    pub kind: ErrorKind,
    /// How far it got.
    pub stage: Stage,
    /// What happened and what to do about it.
    pub message: String,
}

/// Kinds of failure that a program may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The user cancelled.
    Cancelled,
    /// The request makes no sense, or the machine cannot do it (no DLA, no TensorRT).
    Refused,
    /// TensorRT would not parse or build the network.
    Build,
    /// The engine did not run.
    Execution,
    /// The worker died, with its exit code or signal in the message.
    Crashed,
    /// The worker was silent for too long or the build took too long.
    TimedOut,
    /// The worker spoke something that is not the protocol.
    Protocol,
}

/// The figures of one engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Images per second: iterations / wall time x batch, one value per repeat.
    pub fps: Measured,
    /// The repeats behind [`Self::fps`], in order.
    pub fps_samples: Vec<f64>,
    /// Median FPS of each process, in order, where several measured.
    #[serde(default)]
    pub process_fps: Vec<f64>,
    /// Energy per image, mJ, with the spread over the repeats; which energy, its source says.
    #[serde(default = "not_sampled")]
    pub mj_per_image: Figure,
    /// Energy of all repeats.
    #[serde(default)]
    pub energy: Option<Energy>,
    /// Time of one inference by CUDA events.
    pub latency: Latency,
    /// Latency samples in ms, in order; of many, some taken evenly.
    #[serde(default)]
    pub latency_samples_ms: Vec<f64>,
    /// Launched through a CUDA graph.
    pub cuda_graph: bool,
    /// Why there is no graph though one was asked for.
    #[serde(default)]
    pub cuda_graph_refused: Option<String>,
    /// CPU time of this process per iteration of the timed loop, µs.
    pub cpu_us_per_iteration: f64,
    /// Time to build the engine, s; 0 when it came from the cache.
    pub build_s: f64,
    /// The engine came from the cache or from a file.
    pub cached: bool,
    /// Size of the serialised engine, bytes.
    pub engine_bytes: u64,
    /// Device memory the engine needs besides weights, bytes.
    pub device_memory_bytes: u64,
    /// Where each op really ran.
    pub actual: Actual,
    /// Rows of the profiled run, averaged; empty when not asked for.
    pub layers: Vec<LayerTime>,
    /// How much of the profile's time found its op or module.
    pub attribution: Option<Attribution>,
    /// Outputs against the GPU reference.
    pub numeric: Option<NumericCheck>,
    /// Whether the outputs mean anything: `None`, or why not (dummy ranges, random weights).
    #[serde(default)]
    pub timing_only: Option<String>,
    /// The engine inspector's JSON, when the engine has detailed verbosity.
    #[serde(default)]
    pub inspector: Option<Arc<str>>,
}

/// Energy of a run whose power nobody read.
pub fn not_sampled() -> Figure {
    Figure::none("power was not sampled")
}

/// Percentiles of one inference, ms, by CUDA events around each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "percentiles of their names")]
pub struct Latency {
    pub min: f64,
    pub mean: f64,
    pub median: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    /// Percentiles as trtexec takes them: `sorted[n - 1 - floor((1 - p) n)]`.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.iter().copied().filter(|s| s.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let at = |p: f64| {
            let skip = ((1.0 - p) * n as f64) as usize;
            sorted.get(n.checked_sub(1 + skip.min(n - 1))?).copied()
        };
        Some(Self {
            min: *sorted.first()?,
            mean: sorted.iter().sum::<f64>() / n as f64,
            median: median(&sorted)?,
            p90: at(0.90)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
            max: *sorted.last()?,
        })
    }
}

/// Where the ops of a built engine run, as the engine itself says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Actual {
    /// Per op of the model, in execution order.
    pub ops: Vec<ActualOp>,
    /// DLA subgraphs of the engine: the layer's name and its ops.
    pub subgraphs: Vec<(String, Vec<String>)>,
    /// TensorRT layers that were not matched with an op.
    pub unmatched_layers: Vec<String>,
}

/// What became of one op.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActualOp {
    /// The op's name.
    pub op: String,
    /// Where it runs; `None` when the engine does not show it (folded away).
    pub device: Option<Device>,
    /// What `canRunOnDLA` said before building; `None` where it was not asked.
    #[serde(default)]
    pub can_run_on_dla: Option<bool>,
    /// The engine layer that runs it.
    #[serde(default)]
    pub layer: Option<String>,
    /// TensorRT's own words about the op and the DLA, from the build's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What part of the engine a row of the profile is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "site", rename_all = "snake_case")]
pub enum RowSite {
    /// Ops of the model; several when they were fused.
    Ops {
        /// Their names.
        ops: Vec<String>,
    },
    /// A DLA subgraph, by its number in [`Actual::subgraphs`].
    Subgraph {
        /// The number.
        subgraph: u32,
    },
    /// A reformat or copy that feeds or follows ops (`Reformatting CopyNode ... to X`).
    Reformat {
        /// The ops it serves.
        ops: Vec<String>,
    },
    /// Constants and shuffles of the parser around an op.
    Helper {
        /// The ops it serves.
        ops: Vec<String>,
    },
    /// A layer whose name several nodes of the file have, where nothing tells which of them it is.
    /// Its time belongs to the module around them all.
    Ambiguous {
        /// All ops it may be of.
        ops: Vec<String>,
    },
    /// No op found.
    Unknown,
}

/// A row of the profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerTime {
    /// As the engine names it.
    pub name: String,
    /// Mean time of one inference, ms.
    pub mean_ms: f64,
    /// Median time, ms.
    pub median_ms: f64,
    /// What it is.
    pub site: RowSite,
    /// The device.
    pub device: Device,
    /// The module that encloses all its ops; "" is the root, `None` when unknown.
    #[serde(default)]
    pub module: Option<String>,
}

/// How much of the profile's time was understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Sum of all rows, ms.
    pub total_ms: f64,
    /// Sum of the rows that found ops or a subgraph, ms.
    pub attributed_ms: f64,
}

impl Attribution {
    /// Share understood, 0-1; 1 for an empty profile.
    pub fn share(self) -> f64 {
        if self.total_ms > 0.0 {
            self.attributed_ms / self.total_ms
        } else {
            1.0
        }
    }
}

/// Outputs of the measured engine against the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericCheck {
    /// `fp32` or `fp16`.
    pub reference: String,
    /// Smallest cosine similarity over the outputs.
    pub cosine: f64,
    /// Largest absolute difference over the outputs.
    pub max_abs_error: f64,
    /// Largest absolute value in the reference's outputs, to judge the error by.
    pub max_abs_reference: f64,
    /// Elements that are not a number in one and are in the other.
    pub non_finite: u64,
    /// Whether it passes: cosine at or above the threshold and nothing non-finite.
    pub passed: bool,
    /// The threshold that was applied to the cosine.
    pub threshold: f64,
}

/// Requested, predicted and actual, where they differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Ops asked onto the DLA that the plan put there and the engine did not, where neither a rule
    /// nor the build's log says why.
    pub silent_fallbacks: Vec<String>,
    /// Ops asked onto the DLA that the plan put there and the engine did not, as the build's log
    /// says why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained_fallbacks: Vec<String>,
    /// Ops asked onto the DLA that the plan already expected on the GPU, and that are there.
    pub expected_fallbacks: Vec<String>,
    /// Predictions that the engine contradicts, in either direction.
    pub contradictions: Vec<Contradiction>,
    /// Ops the engine does not show.
    pub not_shown: u32,
}

/// A prediction the engine contradicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// The op.
    pub op: String,
    /// As planned.
    pub predicted: Device,
    /// As built.
    pub actual: Device,
    /// What the prediction stood on: a rule's reason, or that no rule objected.
    pub because: String,
    /// The rule that the engine contradicts (`conv.kernel`), where the prediction stood on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// TensorRT's own words, where the build's log has some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// A run's part in a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentShare {
    /// Same for all members.
    pub group: String,
    /// Its number, from 0.
    pub member: u32,
    /// How many there are.
    pub members: u32,
    /// All members together, images per second, over the time in which all were running.
    pub total_fps: Option<Measured>,
    /// Energy of all members per image of all, mJ, over the same time.
    #[serde(default = "not_sampled")]
    pub mj_per_image: Figure,
    /// Length of that time, s.
    pub overlap_s: f64,
}

/// A one-line account of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "named for what they hold")]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// Latency samples a run keeps; one process's percentiles are of all.
const KEPT_SAMPLES: usize = 1000;

/// At most [`KEPT_SAMPLES`], evenly taken, so that the shape over time stays.
pub(super) fn thinned(samples: &[f64]) -> Vec<f64> {
    let step = samples.len().div_ceil(KEPT_SAMPLES).max(1);
    samples.iter().copied().step_by(step).collect()
}

/// Median and extremes; `None` without samples.
pub fn summarise(samples: &[f64]) -> Option<Summary> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Summary {
        median: median(&sorted)?,
        min: *sorted.first()?,
        max: *sorted.last()?,
    })
}

/// The middle of sorted samples; the mean of both when there are two.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    let upper = *sorted.get(n / 2)?;
    if n % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(n / 2 - 1)?, upper))
}

impl Measurement {
    /// A [`Measured`] of samples with their source.
    pub fn measured(samples: &[f64], source: impl Into<Arc<str>>) -> Option<Measured> {
        let s = summarise(samples)?;
        Some(Measured {
            value: s.median,
            min: s.min,
            max: s.max,
            repeats: samples.len() as u32,
            source: source.into(),
        })
    }

    /// Takes in what another process measured of the same engine: samples, and CPU time as the
    /// mean of the processes. Percentiles are then those of the samples that are kept, the extremes
    /// still those of all.
    pub fn join(&mut self, other: Self) {
        if self.process_fps.is_empty() {
            self.process_fps.push(self.fps.value);
        }
        let before = self.process_fps.len() as f64;
        self.process_fps.push(other.fps.value);
        self.fps_samples.extend(other.fps_samples);
        self.latency_samples_ms.extend(other.latency_samples_ms);
        let (min, max) = (
            self.latency.min.min(other.latency.min),
            self.latency.max.max(other.latency.max),
        );
        let source = Arc::clone(&self.fps.source);
        if let Some(fps) = Self::measured(&self.fps_samples, source) {
            self.fps = fps;
        }
        if let Some(latency) = Latency::of(&self.latency_samples_ms) {
            self.latency = Latency {
                min,
                max,
                ..latency
            };
        }
        self.latency_samples_ms = thinned(&self.latency_samples_ms);
        let cpu = self.cpu_us_per_iteration * before + other.cpu_us_per_iteration;
        self.cpu_us_per_iteration = cpu / (before + 1.0);
    }

    /// Time of the rows that serve a set of ops, ms; a fused row is shared out equally. DLA
    /// subgraphs are never shared out.
    pub fn op_ms(&self, op: &str) -> Option<f64> {
        let mut found = None;
        for row in &self.layers {
            if let RowSite::Ops { ops } | RowSite::Reformat { ops } | RowSite::Helper { ops } =
                &row.site
                && ops.iter().any(|o| o == op)
            {
                *found.get_or_insert(0.0) += row.mean_ms / ops.len() as f64;
            }
        }
        found
    }
}

/// Now, ms since 1970 (UTC); 0 on a clock before that.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_trtexecs() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let l = Latency::of(&samples).unwrap();
        assert_eq!((l.min, l.max, l.mean, l.median), (1.0, 100.0, 50.5, 50.5));
        // sorted[99 - int(0.1 * 100)], where 0.1 is a hair below in binary.
        assert!(l.p90 == 90.0 || l.p90 == 91.0, "{}", l.p90);
        assert!(l.p99 == 99.0 || l.p99 == 100.0);
        assert_eq!(Latency::of(&[]), None);
        assert_eq!(Latency::of(&[2.0]).unwrap().p99, 2.0);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        let s = summarise(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((s.median, s.min, s.max), (2.0, 1.0, 3.0));
    }
}
