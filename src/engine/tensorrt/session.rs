//! One request, from the file to the figures.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::engine::beats::slices;
use crate::engine::event_sender::EventSender;
use crate::engine::log::{Level, LogLine};
use crate::engine::protocol::{Built, Command, Refusal, Report, wait_for_go};
use crate::engine::reading::{self, LayerMap};
use crate::engine::request::{NumericReference, Request};
use crate::engine::run::{
    Actual, ErrorKind, Failure, Latency, Measurement, ModelRef, NumericCheck, Stage, dla_refusal,
    not_sampled, thinned,
};
use crate::engine::telemetry::TimedPart;
use crate::model::onnx::weights::Ready;
use crate::model::onnx::{self, LoadOptions, weights};
use crate::model::{DType, Model, ModelSource, give_dims};
use crate::placement::{Device, IoFormats, Placement, Precision};

use super::cache::{BuildRecord, Machine};
use super::cuda::{self, Graph};
use super::make::{Job, Made};
use super::process::{Process, process};
use super::stop::Stop;
use super::timing::{Bound, Outputs, Pace, Repeat, compare};

/// Inferences of the profiled run.
const PROFILED: usize = 100;
/// Longest time for the profiled run.
const PROFILE_BUDGET: Duration = Duration::from_secs(5);

/// Everything about a request that needs no engine.
struct Prepared {
    model: Model,
    onnx: Bytes,
    synthesised: u64,
    requested: Vec<Device>,
    dims: Vec<(String, Vec<i64>)>,
}

/// Builds an engine.
pub fn build(request: &Request, outbox: &EventSender) -> Result<Built, Refusal> {
    with_model(request, outbox, |prepared, model_ref| {
        let opened = Opened::new(request, prepared, outbox)?;
        let made = opened.main(request, prepared, outbox)?;
        let runtime = opened.process.logger.runtime()?;
        let engine = runtime.deserialize(&made.plan)?;
        let actual = read_engine(prepared, &made.record, engine.inspect().as_deref()).0;
        Ok(Built {
            model: model_ref.clone(),
            build_s: if made.cached {
                0.0
            } else {
                made.record.build_s
            },
            cached: made.cached,
            engine_bytes: made.plan.len() as u64,
            actual,
        })
    })
}

/// What `canRunOnDLA` says of the ops that are asked onto the DLA.
pub fn ask(request: &Request, outbox: &EventSender) -> Result<BTreeMap<String, bool>, Refusal> {
    with_model(request, outbox, |prepared, _| {
        let opened = Opened::new(request, prepared, outbox)?;
        let job = opened.job(request, prepared, &prepared.requested, false, outbox);
        job.ask()
    })
}

/// Builds and measures an engine. With a barrier it waits there to be released.
pub fn profile(
    request: &Request,
    outbox: &EventSender,
    barrier: Option<&Receiver<Command>>,
) -> Result<Report, Refusal> {
    with_model(request, outbox, |prepared, model_ref| {
        let opened = Opened::new(request, prepared, outbox)?;
        let made = opened.main(request, prepared, outbox)?;
        measure(
            request, outbox, barrier, prepared, &opened, &made, model_ref,
        )
    })
}

fn with_model<T>(
    request: &Request,
    outbox: &EventSender,
    work: impl FnOnce(&Prepared, &ModelRef) -> Result<T, Stop>,
) -> Result<T, Refusal> {
    let mut model = ModelRef::default();
    outbox.stage(Stage::Check);
    let done = prepare(request).and_then(|prepared| {
        model = ModelRef {
            name: prepared.model.name.clone(),
            structure_hash: prepared.model.source.structure_hash.clone(),
            timing_only: prepared.synthesised > 0,
        };
        if prepared.synthesised > 0 {
            let text = format!(
                "the file has no weights; {} random values stand in for them: timing only",
                prepared.synthesised
            );
            outbox.log(LogLine::new(Level::Warning, &text));
        }
        work(&prepared, &model)
    });
    done.map_err(|stop| Refusal {
        failure: Failure {
            kind: stop.kind,
            stage: outbox.at(),
            message: stop.message,
        },
        model,
    })
}

fn prepare(request: &Request) -> Result<Prepared, Stop> {
    request.check().map_err(|e| Stop::refused(e.to_string()))?;
    let options = LoadOptions {
        inputs: request.inputs.clone(),
    };
    let refused = |e: &dyn std::fmt::Display| Stop::refused(e.to_string());
    let source = ModelSource::of(&request.model);
    let model = onnx::open(&request.model, &options).map_err(|e| refused(&e))?;
    let bytes = match source {
        ModelSource::Bundled(name) => onnx::bundled_bytes(name).unwrap_or_default(),
        ModelSource::File(path) => Bytes::from(
            std::fs::read(path).map_err(|e| Stop::refused(format!("{}: {e}", path.display())))?,
        ),
    };
    let ready = weights::ready(&bytes, source.file(), model.source.structure_only);
    let (onnx, synthesised) = match ready.map_err(|e| refused(&e))? {
        Ready::AsIs => (bytes, 0),
        Ready::Synthesised { onnx, values } => (Bytes::from(onnx), values),
    };
    let resolved = request.placement.resolve(&model).map_err(|e| refused(&e))?;
    let requested = resolved.devices();
    let dims = dims(&model, request)?;
    let resized = weights::with_input_dims(&onnx, &dims).map_err(|e| refused(&e))?;
    if requested.contains(&Device::Dla) && !request.config.precision.dla_capable() {
        return Err(Stop::refused(
            "the DLA computes in FP16 and INT8 only; choose fp16, int8 or int8+fp16".into(),
        ));
    }
    Ok(Prepared {
        onnx: resized.map_or(onnx, Bytes::from),
        model,
        synthesised,
        requested,
        dims,
    })
}

/// Dims per input at the request's batch: the first dim scales where it is the model's batch.
fn dims(model: &Model, request: &Request) -> Result<Vec<(String, Vec<i64>)>, Stop> {
    let own = model.batch().unwrap_or(1).max(1);
    let batch = u64::from(request.config.batch);
    model
        .inputs
        .iter()
        .map(|input| {
            let tensor = model.tensor(input.tensor);
            let Some(shape) = &tensor.shape else {
                return Err(Stop::refused(format!(
                    "input {:?} has no fixed dims; {}",
                    tensor.name,
                    give_dims(&tensor.name, "1x3x224x224")
                )));
            };
            let mut dims: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
            if let Some(first) = dims.first_mut()
                && *first as u64 == own
                && tensor.dtype != DType::I64
            {
                *first = batch as i64;
            } else if batch != own {
                return Err(Stop::refused(format!(
                    "input {:?} does not begin with the batch of {own}, so batch {batch} cannot \
                     be set; export the model with that batch",
                    tensor.name
                )));
            }
            Ok((tensor.name.to_string(), dims))
        })
        .collect()
}

struct Opened {
    device: cuda::Device,
    process: &'static Process,
    machine: Machine,
}

impl Opened {
    fn new(request: &Request, prepared: &Prepared, outbox: &EventSender) -> Result<Self, Stop> {
        let device = cuda::Device::open().map_err(|e| Stop::refused(e.to_string()))?;
        let process = process().map_err(|e| Stop::refused(e.to_string()))?;
        process.tell(outbox);
        let name = device.name()?;
        let machine = Machine {
            tensorrt: process.libraries.version.to_string(),
            gpu: format!("{name} {}", device.compute_capability()?),
            driver: device.driver_version()?,
        };
        let opened = Self {
            device,
            process,
            machine,
        };
        if prepared.requested.contains(&Device::Dla) {
            let cores = process.logger.runtime()?.dla_cores();
            let core = request.config.dla_core;
            let version = &opened.machine.tensorrt;
            if let Some(why) = dla_refusal(version, &name, cores, core) {
                return Err(Stop::refused(why));
            }
        }
        Ok(opened)
    }

    /// The engine that is asked for.
    fn main(
        &self,
        request: &Request,
        prepared: &Prepared,
        outbox: &EventSender,
    ) -> Result<Made, Stop> {
        let made = if let Some(path) = &request.load_engine {
            let plan = std::fs::read(path)
                .map_err(|e| Stop::refused(format!("{}: {e}", path.display())))?;
            Made {
                plan,
                record: BuildRecord::default(),
                cached: true,
            }
        } else {
            self.job(request, prepared, &prepared.requested, false, outbox)
                .make(Stage::Build)?
        };
        if let Some(path) = &request.save_engine {
            super::cache::write(path, &made.plan)
                .map_err(|e| Stop::refused(format!("{}: {e}", path.display())))?;
        }
        Ok(made)
    }

    fn job<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        requested: &'a [Device],
        exact: bool,
        outbox: &'a EventSender,
    ) -> Job<'a> {
        let file = ModelSource::of(&request.model).file();
        let path: Option<&Path> = file.filter(|_| prepared.synthesised == 0);
        Job {
            request,
            model: &prepared.model,
            onnx: &prepared.onnx,
            path,
            requested,
            dims: &prepared.dims,
            exact,
            machine: &self.machine,
            process: self.process,
            device: &self.device,
            outbox,
        }
    }
}

fn read_engine<'m>(
    prepared: &'m Prepared,
    record: &BuildRecord,
    inspector: Option<&str>,
) -> (Actual, LayerMap<'m>, Vec<reading::EngineLayer>) {
    let model = &prepared.model;
    let layers = inspector.map(reading::engine_layers).unwrap_or_default();
    let map = LayerMap::new(model, &record.network).with_engine(&layers);
    let can: Vec<_> = record
        .can_run_on_dla
        .iter()
        .filter_map(|(name, can)| Some((model.find_op(name)?, *can)))
        .collect();
    let actual = reading::actual(&map, &layers, &prepared.requested, &record.placement, &can);
    (actual, map, layers)
}

fn measure(
    request: &Request,
    outbox: &EventSender,
    barrier: Option<&Receiver<Command>>,
    prepared: &Prepared,
    opened: &Opened,
    made: &Made,
    model_ref: &ModelRef,
) -> Result<Report, Stop> {
    let uses_dla = prepared.requested.contains(&Device::Dla);
    let mut runtime = opened.process.logger.runtime()?;
    if uses_dla {
        // An engine does not remember its core.
        runtime.set_dla_core(request.config.dla_core);
    }
    let engine = runtime.deserialize(&made.plan)?;
    let inspector = engine.inspect();
    let (actual, map, layers) = read_engine(prepared, &made.record, inspector.as_deref());
    let timing_only = made.record.timing_only.clone();
    // Before the engine's own buffers: both engines need not be on the device at once.
    let reference = match (barrier, &timing_only) {
        (None, None) => reference(request, outbox, prepared, opened)?,
        _ => None,
    };
    let bound = Bound::new(&opened.device, &engine)?;
    bound.once()?;
    let numeric = match reference {
        Some((outputs, name)) => check(request, outbox, &bound, &outputs, name)?,
        None => None,
    };
    outbox.stage(Stage::Warmup);
    let (graph, cuda_graph_refused) = capture(request, uses_dla, &bound);
    let inference = bound.warm_up(graph.as_ref(), request.timing.warm_up_ms)?;
    let timed = match barrier {
        None => alone(request, outbox, &bound, graph.as_ref())?,
        Some(commands) => {
            let pace = Pace::beside_others(inference);
            together(request, outbox, &bound, graph.as_ref(), pace, commands)?
        }
    };
    let source = opened.machine.gpu.clone();
    let fps = Measurement::measured(&timed.fps, source)
        .ok_or_else(|| Stop::new(ErrorKind::Execution, "nothing was timed".into()))?;
    let latency = Latency::of(&timed.latency_ms)
        .ok_or_else(|| Stop::new(ErrorKind::Execution, "no latency was timed".into()))?;
    let mut rows = Vec::new();
    let mut attributed = None;
    if request.per_layer && barrier.is_none() {
        outbox.stage(Stage::Layers);
        let affordable = PROFILE_BUDGET.as_secs_f64() * 1e3 / latency.mean.max(1e-3);
        let iterations = (affordable as usize).clamp(5, PROFILED);
        let found = bound.layers(iterations)?;
        let (times, sum) = reading::layer_times(&map, &layers, &actual, &found);
        rows = times;
        attributed = Some(sum);
    }
    Ok(Report {
        model: model_ref.clone(),
        measurement: Measurement {
            fps,
            fps_samples: timed.fps,
            process_fps: Vec::new(),
            // The client has the samples.
            mj_per_image: not_sampled(),
            energy: None,
            latency,
            latency_samples_ms: thinned(&timed.latency_ms),
            cuda_graph: graph.is_some(),
            cuda_graph_refused,
            cpu_us_per_iteration: timed.cpu_us,
            build_s: if made.cached {
                0.0
            } else {
                made.record.build_s
            },
            cached: made.cached,
            engine_bytes: made.plan.len() as u64,
            device_memory_bytes: engine.device_memory(),
            actual,
            layers: rows,
            attribution: attributed,
            numeric,
            timing_only,
            inspector: inspector.map(Into::into),
        },
        beats: timed.beats,
        timed: timed.parts,
    })
}

/// Outputs of the GPU engine that results are compared with.
fn reference(
    request: &Request,
    outbox: &EventSender,
    prepared: &Prepared,
    opened: &Opened,
) -> Result<Option<(Outputs, &'static str)>, Stop> {
    let (precision, name) = match request.numeric {
        NumericReference::None => return Ok(None),
        _ if !request.config.io.comparable() => {
            let io = request.config.io;
            let text = format!("outputs are not checked: I/O formats {io} are not in plain order");
            outbox.log(LogLine::new(Level::Info, &text));
            return Ok(None);
        }
        NumericReference::Fp32 => (Precision::FP32, "fp32"),
        NumericReference::Fp16 => (Precision::FP16, "fp16"),
    };
    let all_gpu = !prepared.requested.contains(&Device::Dla);
    if all_gpu && request.config.precision == precision {
        return Ok(None);
    }
    let mut gpu = request.clone();
    gpu.placement = Placement::all(Device::Gpu);
    gpu.config.precision = precision;
    gpu.config.io = IoFormats::default();
    gpu.calibration = crate::engine::request::Calibration::Dummy;
    gpu.tactic_sources = request.tactic_sources;
    let requested = vec![Device::Gpu; prepared.requested.len()];
    let exact = precision == Precision::FP32;
    let made = opened
        .job(&gpu, prepared, &requested, exact, outbox)
        .make(Stage::Reference)?;
    let runtime = opened.process.logger.runtime()?;
    let engine = runtime.deserialize(&made.plan)?;
    let outputs = Bound::new(&opened.device, &engine)?.outputs()?;
    Ok(Some((outputs, name)))
}

fn check(
    request: &Request,
    outbox: &EventSender,
    bound: &Bound<'_>,
    reference: &Outputs,
    name: &str,
) -> Result<Option<NumericCheck>, Stop> {
    outbox.stage(Stage::Numeric);
    // Catches a wrong answer, not a small loss of accuracy.
    let threshold = if request.config.precision.int8 {
        0.90
    } else {
        0.99
    };
    Ok(compare(&bound.outputs()?, reference, name, threshold))
}

fn capture<'e>(
    request: &Request,
    uses_dla: bool,
    bound: &Bound<'e>,
) -> (Option<Graph<'e>>, Option<String>) {
    if !request.timing.cuda_graph {
        return (None, None);
    }
    if uses_dla {
        return (
            None,
            Some("CUDA graphs and the DLA do not go together".into()),
        );
    }
    match bound.graph() {
        Ok(graph) => (Some(graph), None),
        Err(e) => (None, Some(e.to_string())),
    }
}

struct Timed {
    fps: Vec<f64>,
    latency_ms: Vec<f64>,
    cpu_us: f64,
    beats: Vec<(u64, u64)>,
    parts: Vec<TimedPart>,
}

fn alone(
    request: &Request,
    outbox: &EventSender,
    bound: &Bound<'_>,
    graph: Option<&Graph<'_>>,
) -> Result<Timed, Stop> {
    outbox.stage(Stage::Timing);
    let timing = &request.timing;
    let duration = Duration::from_millis(timing.duration_ms);
    let batch = f64::from(request.config.batch);
    let (mut fps, mut latency_ms, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu, mut iterations) = (0.0, 0u64);
    for i in 0..timing.repeats {
        outbox.progress(
            Some(f64::from(i) / f64::from(timing.repeats)),
            String::new(),
        );
        let r = bound.repeat(graph, duration, Pace::ALONE, timing.spin_wait, |_, _| {})?;
        fps.push(r.iterations as f64 / r.wall_s * batch);
        parts.push(part(&r, batch));
        cpu += r.cpu_s;
        iterations += r.iterations;
        latency_ms.extend(r.latency_ms);
    }
    Ok(Timed {
        fps,
        latency_ms,
        cpu_us: cpu * 1e6 / iterations.max(1) as f64,
        beats: Vec::new(),
        parts,
    })
}

fn part(repeat: &Repeat, batch: f64) -> TimedPart {
    TimedPart {
        from_ns: repeat.from_ns,
        to_ns: repeat.to_ns,
        images: repeat.iterations as f64 * batch,
    }
}

/// Runs beside others: one uninterrupted loop, whose beats tell afterwards what happened while
/// all were running.
fn together(
    request: &Request,
    outbox: &EventSender,
    bound: &Bound<'_>,
    graph: Option<&Graph<'_>>,
    pace: Pace,
    commands: &Receiver<Command>,
) -> Result<Timed, Stop> {
    outbox.send(crate::engine::protocol::Event::Ready);
    if !wait_for_go(commands) {
        return Err(Stop::new(ErrorKind::Cancelled, "the client is gone".into()));
    }
    outbox.stage(Stage::Timing);
    let timing = &request.timing;
    let whole = Duration::from_millis(timing.duration_ms.saturating_mul(u64::from(timing.repeats)));
    let mut beats: Vec<(u64, u64)> = Vec::new();
    let mut told = Instant::now();
    let r = bound.repeat(graph, whole, pace, timing.spin_wait, |ns, n| {
        beats.push((ns, n));
        if told.elapsed() > Duration::from_secs(1) {
            told = Instant::now();
            outbox.sign("");
        }
    })?;
    Ok(Timed {
        fps: slices(&beats, timing.repeats, request.config.batch),
        parts: vec![part(&r, f64::from(request.config.batch))],
        latency_ms: r.latency_ms,
        cpu_us: r.cpu_s * 1e6 / r.iterations.max(1) as f64,
        beats,
    })
}
