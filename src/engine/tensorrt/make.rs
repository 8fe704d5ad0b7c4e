//! From a request to a serialised engine.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Instant;

use crate::engine::event_sender::EventSender;
use crate::engine::log::{Level, LogLine};
use crate::engine::protocol::Event;
use crate::engine::reading::{LayerMap, NetworkLayer};
use crate::engine::request::{Calibration, Request};
use crate::engine::run::{ErrorKind, Stage};
use crate::engine::{environment, memory};
use crate::model::{Model, give_dims};
use crate::placement::{Device, IoFormat, IoType};
use crate::platform::{TensorRt, parser};

use super::cache::{self, BuildRecord, Machine};
use super::calibrate::{Folder, Input, range};
use super::objects::{
    self, Builder, BuilderConfig, Calibrator, ElementType, Flag, Layer, Network, Pool,
};
use super::process::Process;
use super::stop::Stop;
use super::{cuda, library};

/// What `LayerType::kCONSTANT` is.
const CONSTANT: i32 = 19;
/// Range of every tensor where there is no calibration; trtexec's own value for outputs.
const DUMMY_RANGE: f32 = 4.0;

/// The outcome of a build.
pub struct Made {
    /// The serialised engine.
    pub plan: Vec<u8>,
    /// What the build knew.
    pub record: BuildRecord,
    /// It came from the cache.
    pub cached: bool,
}

/// What a build works on.
pub struct Job<'a> {
    pub request: &'a Request,
    pub model: &'a Model,
    /// The ONNX file, with weights.
    pub onnx: &'a [u8],
    /// Its place, for weights beside it; `None` for bundled and completed files.
    pub path: Option<&'a Path>,
    /// Requested device per op.
    pub requested: &'a [Device],
    /// Dims per network input.
    pub dims: &'a [(String, Vec<i64>)],
    /// Only FP32 arithmetic, TF32 neither: the numeric reference.
    pub exact: bool,
    pub machine: &'a Machine,
    pub process: &'static Process,
    pub device: &'a cuda::Device,
    pub outbox: &'a EventSender,
}

impl Job<'_> {
    /// Builds, or takes the engine from the cache.
    pub fn make(&self, stage: Stage) -> Result<Made, Stop> {
        let sources = self
            .request
            .tactic_sources
            .unwrap_or_else(available_sources);
        let model = self.model;
        let dla_layers = model
            .op_ids()
            .filter(|op| self.requested[op.index()] == Device::Dla)
            .map(|op| &*model.op(op).name)
            .collect();
        let key = match &self.request.cache_dir {
            Some(folder) => {
                let name = if self.exact { "reference" } else { &model.name };
                let key = cache::key(
                    name,
                    self.onnx,
                    self.dims,
                    self.request,
                    dla_layers,
                    sources,
                    self.machine,
                )
                .map_err(|e| Stop::refused(format!("calibration data: {e}")))?;
                if let Some((plan, record)) = cache::load(folder, &key) {
                    return Ok(Made {
                        plan,
                        record,
                        cached: true,
                    });
                }
                Some((folder, key))
            }
            None => None,
        };
        self.warn_of_memory();
        let (plan, mut record) = self.build(stage, sources)?;
        record.engine_hash = blake3::hash(&plan).to_hex().to_string();
        if let Some((folder, key)) = key
            && let Err(e) = cache::store(folder, &key, &plan, &record)
        {
            let text = format!("{}: the engine cannot be kept: {e}", folder.display());
            self.outbox.log(LogLine::new(Level::Warning, &text));
        }
        Ok(Made {
            plan,
            record,
            cached: false,
        })
    }

    /// What `canRunOnDLA` says of the ops that are asked onto the DLA; nothing is built.
    pub fn ask(&self) -> Result<BTreeMap<String, bool>, Stop> {
        let (_, record) = self.build(Stage::Check, available_sources())?;
        Ok(record.can_run_on_dla)
    }

    /// Says so where the build will not fit the memory that is free now.
    fn warn_of_memory(&self) {
        // Random weights are written into the network, those beside the file are not.
        let elements = self.model.total_weights().unwrap_or(0);
        let weights = elements.saturating_mul(4).max(self.onnx.len() as u64);
        let needed = memory::build_mb(weights, self.request.pools.workspace);
        let available = environment::memory_available_mb(Path::new("/"));
        if let Some(text) = memory::shortage(needed, available) {
            self.outbox.send(Event::Warning { text });
        }
    }

    /// Builds; at the stage that checks it only asks what may run on the DLA.
    fn build(&self, stage: Stage, sources: u32) -> Result<(Vec<u8>, BuildRecord), Stop> {
        self.outbox.stage(if stage == Stage::Build {
            Stage::Parse
        } else {
            stage
        });
        let begun = Instant::now();
        self.process.take_placement();
        let builder = self.process.logger.builder()?;
        let network = builder.network()?;
        let parser = self.parse(&builder, &network)?;
        for input in network.inputs() {
            let name = input.name();
            if input.dims().iter().any(|d| *d < 0) {
                return Err(Stop::refused(format!(
                    "input {name:?} has no fixed dims; {}",
                    give_dims(&name, "1x3x224x224")
                )));
            }
        }
        self.set_formats(&network)?;
        let layers: Vec<Layer<'_>> = network.layers().collect();
        let described: Vec<NetworkLayer> = layers.iter().map(|l| describe(*l)).collect();
        let map = LayerMap::new(self.model, &described);
        let mut config = builder.config()?;
        let cores = builder.dla_cores();
        self.configure(&mut config, sources)?;
        let timing = self.request.cache_dir.as_ref().map(|folder| {
            let safe: String = format!("{}-{}", self.machine.tensorrt, self.machine.gpu)
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || c == '.' {
                        c
                    } else {
                        '_'
                    }
                })
                .collect();
            folder.join(format!("timing-{safe}.cache"))
        });
        let known = timing
            .as_ref()
            .and_then(|p| std::fs::read(p).ok())
            .unwrap_or_default();
        let mut timing_only = None;
        let mut calibrator = self.calibrate(&mut config, &network, &layers, &mut timing_only)?;
        // After precision and ranges: `canRunOnDLA` judges by them.
        let can_run_on_dla = self.place(&mut config, &layers, &map, cores);
        if stage == Stage::Check {
            let asked = BuildRecord {
                can_run_on_dla,
                ..BuildRecord::default()
            };
            return Ok((Vec::new(), asked));
        }
        self.outbox.stage(match (&calibrator, stage) {
            (Some(_), Stage::Build) => Stage::Calibrate,
            _ => stage,
        });
        let timing_cache = config.timing_cache(&known);
        // The cache borrows nothing that building changes; TensorRT fills it during the build.
        let plan = builder
            .build(&network, &config)
            .map_err(|e| self.build_failed(&mut calibrator, &e))?;
        if let (Some(cache), Some(path)) = (&timing_cache, &timing) {
            let kept = cache.serialize().map(|m| cache::write(path, m.as_slice()));
            if let Ok(Err(e)) = kept {
                let text = format!("{}: the timing cache cannot be kept: {e}", path.display());
                self.outbox.log(LogLine::new(Level::Warning, &text));
            }
        }
        if let Some(calibrator) = &mut calibrator {
            self.keep_calibration(calibrator.batches())?;
        }
        let plan = plan.as_slice().to_vec();
        drop(parser);
        let record = BuildRecord {
            engine_hash: String::new(),
            build_s: begun.elapsed().as_secs_f64(),
            network: described,
            placement: self.process.take_placement(),
            can_run_on_dla,
            timing_only,
        };
        Ok((plan, record))
    }

    /// Types and layouts of the network's ends. FP32 in plain order is TensorRT's own choice.
    fn set_formats(&self, network: &Network<'_>) -> Result<(), Stop> {
        let io = self.request.config.io;
        let inputs = network.inputs().map(|t| (t, io.input, "input"));
        let outputs = network.outputs().map(|t| (t, io.output, "output"));
        for (tensor, format, end) in inputs.chain(outputs) {
            if format != IoFormat::default() && tensor.element().is_float() {
                let name = tensor.name();
                if let Some(why) = format.dims_refusal(end, &name, tensor.dims().len()) {
                    return Err(Stop::refused(why));
                }
                let set = tensor.set_format(format);
                set.map_err(|e| Stop::refused(format!("{name:?}: {e}")))?;
            }
        }
        Ok(())
    }

    fn parse<'n>(
        &self,
        builder: &'n Builder<'_>,
        network: &'n Network<'_>,
    ) -> Result<objects::Parser<'n>, Stop> {
        let path = self
            .path
            .and_then(|p| CString::new(p.as_os_str().as_bytes()).ok());
        builder.parse(network, self.onnx, path.as_deref()).map_err(|e| {
            let version = self.machine.tensorrt.parse::<TensorRt>();
            let opset = self.model.source.opset;
            let hint = match version.as_ref().map(|v| v.max_opset()) {
                Ok(max) if opset > max => format!(
                    ". The file has opset {opset} and this parser covers up to {max}: export with \
                     opset_version={max}"
                ),
                _ => String::new(),
            };
            let said = e.to_string();
            let restricted = version.ok().and_then(|v| self.restriction(&said, v));
            Stop::new(
                ErrorKind::Build,
                format!(
                    "{said}{hint}{}{}",
                    restricted.unwrap_or_default(),
                    self.batch_hint()
                ),
            )
        })
    }

    /// What onnx-tensorrt's table restricts of the op that the parser's error names.
    fn restriction(&self, error: &str, version: TensorRt) -> Option<String> {
        let named = self.model.file_ops.iter().filter(|op| {
            error.contains(&op.op_type) && parser::restriction(&op.op_type, version).is_some()
        });
        let op = named.max_by_key(|op| op.op_type.len())?;
        let restriction = parser::restriction(&op.op_type, version)?;
        Some(format!(
            ". The parser restricts {}: {restriction}",
            op.op_type
        ))
    }

    /// What to try where the batch is another than the file's.
    fn batch_hint(&self) -> String {
        let batch = u64::from(self.request.config.batch);
        match self.model.batch() {
            Some(own) if own != batch => format!(
                ". The file was exported with batch {own}, and shapes inside it may say so: \
                 export it with batch {batch}"
            ),
            _ => String::new(),
        }
    }

    /// Asks each layer onto its device; what `canRunOnDLA` says, per op.
    fn place(
        &self,
        config: &mut BuilderConfig<'_>,
        layers: &[Layer<'_>],
        map: &LayerMap<'_>,
        cores: u32,
    ) -> BTreeMap<String, bool> {
        let mut can = BTreeMap::new();
        if !self.requested.contains(&Device::Dla) {
            return can;
        }
        config.set_default_device(self.request.placement.default);
        config.set_dla_core(self.request.config.dla_core);
        for (i, layer) in layers.iter().enumerate() {
            let ops = map.candidates(i);
            let mut asked = ops.iter().map(|op| self.requested[op.index()]);
            let Some(device) = asked.next() else { continue };
            if asked.any(|d| d != device) {
                let text = format!(
                    "layer {:?} is of one of several nodes that share its name and are asked onto \
                     different devices; which one cannot be told, so it stays on the {}: give the \
                     nodes different names",
                    layer.name(),
                    self.request.placement.default
                );
                self.outbox.log(LogLine::new(Level::Warning, &text));
                continue;
            }
            config.set_device(*layer, device);
            let Some(op) = map.op(i) else { continue };
            if cores > 0 && device == Device::Dla && layer.kind() != CONSTANT {
                let runs = config.can_run_on_dla(*layer);
                let name = self.model.op(op).name.to_string();
                can.entry(name)
                    .and_modify(|all| *all &= runs)
                    .or_insert(runs);
            }
        }
        can
    }

    fn configure(&self, config: &mut BuilderConfig<'_>, sources: u32) -> Result<(), Stop> {
        let absent = |e: objects::Absent| Stop::refused(e.to_string());
        let precision = self.request.config.precision;
        if precision.fp16 {
            config.set_flag(Flag::Fp16).map_err(absent)?;
        }
        if precision.int8 {
            config.set_flag(Flag::Int8).map_err(absent)?;
        }
        if self.exact {
            config.set_flag(Flag::NoTf32).map_err(absent)?;
        }
        if self.requested.contains(&Device::Dla) && self.request.config.gpu_fallback {
            config.set_flag(Flag::GpuFallback).map_err(absent)?;
        }
        let pools = &self.request.pools;
        for (pool, bytes) in [
            (Pool::Workspace, pools.workspace),
            (Pool::DlaManagedSram, pools.dla_sram),
            (Pool::DlaLocalDram, pools.dla_local_dram),
            (Pool::DlaGlobalDram, pools.dla_global_dram),
        ] {
            if let Some(bytes) = bytes {
                config.set_pool(pool, bytes);
            }
        }
        config.set_detailed();
        let wanted = sources & config.tactic_sources()
            | (sources & self.request.tactic_sources.unwrap_or(0));
        if wanted != config.tactic_sources() && !config.set_tactic_sources(wanted) {
            let text = format!("TensorRT does not take the tactic sources {wanted:#x}");
            self.outbox.log(LogLine::new(Level::Warning, &text));
        }
        Ok(())
    }

    fn calibrate(
        &self,
        config: &mut BuilderConfig<'_>,
        network: &Network<'_>,
        layers: &[Layer<'_>],
        timing_only: &mut Option<String>,
    ) -> Result<Option<Calibrator<Folder<'_>>>, Stop> {
        if !self.request.config.precision.int8 {
            return Ok(None);
        }
        let folder = match &self.request.calibration {
            Calibration::Dummy => {
                let tensors = network
                    .inputs()
                    .chain(layers.iter().flat_map(|l| l.outputs()));
                for tensor in tensors {
                    tensor
                        .set_dynamic_range(-DUMMY_RANGE, DUMMY_RANGE)
                        .map_err(|e| Stop::refused(e.to_string()))?;
                }
                *timing_only = Some("INT8 with made-up ranges".into());
                return Ok(None);
            }
            Calibration::Cache { path } => {
                let cached = Folder::cached(path);
                if let Ok(folder) = &cached {
                    self.set_ranges(network, folder.known(), path)?;
                }
                cached
            }
            Calibration::Folder { path, .. } => {
                let inputs = network
                    .inputs()
                    .map(|t| Input {
                        name: t.name(),
                        elements: t.dims().iter().map(|d| (*d).max(0) as usize).product(),
                    })
                    .collect();
                Folder::open(self.device, path, inputs)
            }
        };
        let folder = folder.map_err(|e| Stop::refused(e.to_string()))?;
        let calibrator = Calibrator::new(folder).map_err(|e| Stop::refused(e.to_string()))?;
        config
            .set_calibrator(&calibrator)
            .map_err(|e| Stop::refused(e.to_string()))?;
        Ok(Some(calibrator))
    }

    /// Ranges of INT8 inputs and outputs, which TensorRT does not take from the cache.
    fn set_ranges(&self, network: &Network<'_>, cache: &[u8], path: &Path) -> Result<(), Stop> {
        let io = self.request.config.io;
        let inputs = network.inputs().map(|t| (t, io.input));
        let outputs = network.outputs().map(|t| (t, io.output));
        for (tensor, format) in inputs.chain(outputs) {
            if format.element() != IoType::Int8 || tensor.element() != ElementType::Int8 {
                continue;
            }
            let name = tensor.name();
            let range = range(cache, &name).ok_or_else(|| {
                Stop::refused(format!(
                    "{}: no scale of {name:?}, which is to be {format}; calibrate the same model \
                     again, or choose --io-formats fp32:chw",
                    path.display()
                ))
            })?;
            tensor
                .set_dynamic_range(-range, range)
                .map_err(|e| Stop::refused(e.to_string()))?;
        }
        Ok(())
    }

    fn build_failed(
        &self,
        calibrator: &mut Option<Calibrator<Folder<'_>>>,
        error: &library::Unavailable,
    ) -> Stop {
        if let Some(e) = calibrator.as_mut().and_then(|c| c.batches().error.take()) {
            return Stop::refused(e.to_string());
        }
        let strict = self.requested.contains(&Device::Dla) && !self.request.config.gpu_fallback;
        let hint = if strict {
            ". GPU fallback is off: every layer asked onto the DLA must run there, and the \
             network's inputs and outputs must have DLA formats"
        } else {
            ""
        };
        let batch = self.batch_hint();
        Stop::new(ErrorKind::Build, format!("{error}{hint}{batch}"))
    }

    fn keep_calibration(&self, folder: &mut Folder<'_>) -> Result<(), Stop> {
        if let Some(e) = folder.error.take() {
            return Err(Stop::refused(e.to_string()));
        }
        if let (
            Calibration::Folder {
                save: Some(path), ..
            },
            Some(made),
        ) = (&self.request.calibration, &folder.made)
        {
            cache::write(path, made)
                .map_err(|e| Stop::refused(format!("{}: {e}", path.display())))?;
        }
        Ok(())
    }
}

fn describe(layer: Layer<'_>) -> NetworkLayer {
    NetworkLayer {
        name: layer.name(),
        metadata: layer.metadata(),
        inputs: layer.inputs().map(objects::Tensor::name).collect(),
        outputs: layer.outputs().map(objects::Tensor::name).collect(),
        constant: layer.kind() == CONSTANT,
    }
}

/// All tactic sources but those whose library cannot be opened: TensorRT 8 fails on them.
fn available_sources() -> u32 {
    let mut sources = u32::MAX;
    for (bits, names, symbol) in [
        (
            objects::CUBLAS,
            &["libcublas.so.11", "libcublas.so.12"][..],
            "cublasCreate_v2",
        ),
        (
            objects::CUBLAS_LT,
            &["libcublasLt.so.11", "libcublasLt.so.12"][..],
            "cublasLtCreate",
        ),
        (objects::CUDNN, &["libcudnn.so.8"][..], "cudnnCreate"),
    ] {
        if !library::has_symbol(names, symbol) {
            sources &= !bits;
        }
    }
    sources
}
