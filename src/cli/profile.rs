//! `dlaplan profile`: builds real engines and measures them.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::client::{self, Limits, Update};
use crate::engine::{
    Calibration, Comparison, Environment, LayerTime, Measurement, MemoryPools, NumericReference,
    Outcome, Request, RowSite, Run, Timing, environment, parse_size,
};
use crate::export::{Document, save_atomic};
use crate::figure::short;
use crate::history::{Store, default_path};
use crate::model::Model;
use crate::placement::{Device, EngineConfig, Placement};
use crate::platform::Target;

use crate::tasks::measure::{Worker, measure};
use crate::tasks::words;

use super::args::{
    BoardSettingsArgs, EngineArgs, MachineArgs, ModelArgs, PlacementArgs, has_core, whole,
};
use super::members;

/// Build a real engine and measure it, on this machine or over SSH.
#[derive(Clone, Debug, clap::Args)]
pub struct ProfileArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Where it is built and measured.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// What the machine is set to meanwhile.
    #[command(flatten)]
    pub settings: BoardSettingsArgs,
    /// What runs where.
    #[command(flatten)]
    pub placement: PlacementArgs,
    /// How it is built.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// INT8 ranges from a calibration cache. Without this and --calib-data ranges are made up.
    #[arg(long, value_name = "FILE", conflicts_with = "calib_data")]
    pub calib: Option<PathBuf>,
    /// INT8 ranges from a folder of .npy or .npz batches.
    #[arg(long, value_name = "FOLDER")]
    pub calib_data: Option<PathBuf>,
    /// Where --calib-data writes the calibration cache.
    #[arg(long, value_name = "FILE", requires = "calib_data")]
    pub save_calib: Option<PathBuf>,
    /// Size of a memory pool: workspace, dlaSRAM, dlaLocalDRAM or dlaGlobalDRAM.
    #[arg(long, value_name = "POOL=SIZE", value_parser = parse_pool)]
    pub mem_pool: Vec<(PoolName, u64)>,
    /// Tactic sources as a mask; by default all whose libraries are there.
    #[arg(long, value_name = "MASK", value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub tactic_sources: Option<u32>,

    /// Engines at the same time instead of one: a list of `gpu`, `dla0`, `dla1` (the whole
    /// network there) and placement files (`split.json@1` for DLA core 1).
    #[arg(long, value_name = "ENGINE,ENGINE", value_delimiter = ',', conflicts_with_all = ["placement", "default", "dla", "gpu", "dla_op", "gpu_op", "dla_core"])]
    pub together: Vec<String>,

    /// Timed repeats; the FPS is their median.
    #[arg(long, default_value_t = Timing::default().repeats, value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub repeats: u32,
    /// Length of a repeat, ms.
    #[arg(long, default_value_t = Timing::default().duration_ms, value_parser = whole::<u64>(0..=u64::MAX))]
    pub duration: u64,
    /// Warm-up, ms.
    #[arg(long, default_value_t = Timing::default().warm_up_ms, value_parser = whole::<u64>(0..=u64::MAX))]
    pub warm_up: u64,
    /// Processes that measure the engine one after the other: the first builds, and the FPS is the
    /// median of all their repeats. Processes differ by more than repeats do.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "together", value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub processes: u32,
    /// Launch through a CUDA graph where there is no DLA.
    #[arg(long)]
    pub cuda_graph: bool,
    /// Busy-wait for the GPU.
    #[arg(long)]
    pub spin_wait: bool,
    /// No times per layer.
    #[arg(long)]
    pub no_layers: bool,
    /// Do not look at clocks, power and temperatures meanwhile.
    #[arg(long)]
    pub no_sampling: bool,
    /// GPU engine whose outputs are compared: fp32, fp16 or none.
    #[arg(long, value_enum, default_value_t = ReferenceName::Fp32)]
    pub reference: ReferenceName,

    /// Target whose rules the engine is compared with; by default the one this machine is.
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Folder of built engines and timing caches; by default in the user's cache folder.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["no_cache", "on"])]
    pub cache: Option<PathBuf>,
    /// Build anew and keep nothing.
    #[arg(long)]
    pub no_cache: bool,
    /// Build only.
    #[arg(long, conflicts_with_all = ["together", "load_engine"])]
    pub build_only: bool,
    /// Write the serialised engine.
    #[arg(long, value_name = "FILE")]
    pub save_engine: Option<PathBuf>,
    /// Measure a serialised engine. It is trusted code: load only your own.
    #[arg(long, value_name = "FILE")]
    pub load_engine: Option<PathBuf>,
    /// Longest build, seconds.
    #[arg(long, value_name = "S", default_value_t = Limits::default().build.as_secs(), value_parser = whole::<u64>(0..=u64::MAX))]
    pub build_timeout: u64,
    /// History file; by default the user's.
    #[arg(long, value_name = "FILE", conflicts_with = "no_history")]
    pub history: Option<PathBuf>,
    /// Store nothing.
    #[arg(long)]
    pub no_history: bool,
    /// Write the runs as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print TensorRT's log.
    #[arg(long, short)]
    pub verbose: bool,
}

/// Names of [`NumericReference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReferenceName {
    /// An FP32 engine.
    Fp32,
    /// An FP16 engine.
    Fp16,
    /// No check.
    None,
}

/// Names of the memory pools, as trtexec spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolName {
    /// `workspace`.
    Workspace,
    /// `dlaSRAM`.
    DlaSram,
    /// `dlaLocalDRAM`.
    DlaLocalDram,
    /// `dlaGlobalDRAM`.
    DlaGlobalDram,
}

fn parse_pool(text: &str) -> Result<(PoolName, u64), String> {
    let (name, size) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not POOL=SIZE"))?;
    let pool = match name {
        "workspace" => PoolName::Workspace,
        "dlaSRAM" => PoolName::DlaSram,
        "dlaLocalDRAM" => PoolName::DlaLocalDram,
        "dlaGlobalDRAM" => PoolName::DlaGlobalDram,
        _ => {
            return Err(format!(
                "{name:?} is not workspace, dlaSRAM, dlaLocalDRAM or dlaGlobalDRAM"
            ));
        }
    };
    Ok((pool, parse_size(size)?))
}

/// Builds and measures; the exit code is 1 where a run failed.
///
/// # Errors
/// The model, placement or target cannot be read, or a file cannot be written.
pub fn run(args: &ProfileArgs) -> Result<ExitCode> {
    let file = args.placement.document()?;
    let more = members::documents(&members::member_files(&args.together))?;
    let own = args.placement.placement.as_deref().zip(file.as_ref());
    let files = own
        .into_iter()
        .chain(more.iter().map(|(path, file)| (*path, file)));
    let (model, inputs) = args.model.load_for(&files.collect::<Vec<_>>())?;
    let requests = requests(
        args,
        file.as_ref(),
        &more,
        &inputs,
        EngineConfig::own_batch(&model),
    )?;
    let target = match &args.target {
        Some(text) => Some(Target::parse(text)?),
        None => environment::target(&args.machine.environment()?),
    };
    for request in &requests {
        request.placement.resolve(&model)?;
    }
    if let (Some(target), Some(core)) = (&target, args.engine.dla_core) {
        has_core(target, core)?;
    }
    let mut worker = args.machine.worker()?;
    worker.command = worker.command.with(args.settings.settings());
    worker.limits.build = Duration::from_secs(args.build_timeout);
    let watch = Watch::new(args.verbose)?;
    if args.build_only {
        return build(&worker, requests, &watch);
    }
    let rules = |_: &Environment| target;
    let runs = measure(&worker, &model, &requests, &rules, &mut |i, u| {
        watch.hear(i, u)
    });
    watch.finish();
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&runs)?;
        save_atomic(path, text.as_bytes())?;
    }
    keep(args, &runs);
    let mut out = super::terminal::stdout();
    let members = runs.len();
    for (i, run) in runs.iter().enumerate() {
        if members > 1 {
            writeln!(out, "engine {i}: {}", describe_request(&run.request))?;
        }
        print(&mut out, run, &model)?;
    }
    if let Some(share) = runs.first().and_then(|r| r.deployment.as_ref())
        && let Some(total) = &share.total_fps
    {
        writeln!(
            out,
            "together: {} over {:.1} s with all {} running",
            words::spread(total),
            share.overlap_s,
            share.members
        )?;
        let energy = words::energy_per_image(&share.mj_per_image);
        writeln!(out, "together, energy per image: {energy}")?;
    }
    let failed = runs.iter().any(|r| r.measurement().is_none());
    Ok(ExitCode::from(u8::from(failed)))
}

fn build(worker: &Worker, requests: Vec<Request>, watch: &Watch) -> Result<ExitCode> {
    let mut out = super::terminal::stdout();
    for request in requests {
        match client::build(&worker.command, worker.limits, request, &mut |u| {
            watch.hear(0, u)
        }) {
            Ok(built) => {
                watch.finish();
                let how = words::built(built.cached, built.build_s);
                writeln!(
                    out,
                    "{}: {:.1} MB, {how}",
                    built.model.name,
                    built.engine_bytes as f64 / 1e6
                )?;
            }
            Err(run) => {
                watch.finish();
                print_failure(&mut out, &run)?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn requests(
    args: &ProfileArgs,
    file: Option<&Document>,
    members: &[(&Path, Document)],
    inputs: &BTreeMap<String, Vec<u64>>,
    own_batch: u32,
) -> Result<Vec<Request>> {
    let cache_dir = if args.no_cache {
        None
    } else {
        args.cache.clone().or_else(environment::engines_dir)
    };
    let absolute = |path: &Path| -> Result<PathBuf> {
        std::path::absolute(path).with_context(|| path.display().to_string())
    };
    let model = args.model.absolute()?;
    let calibration = match (&args.calib, &args.calib_data) {
        (Some(path), _) => Calibration::Cache {
            path: absolute(path)?,
        },
        (None, Some(path)) => Calibration::Folder {
            path: absolute(path)?,
            save: args.save_calib.as_deref().map(absolute).transpose()?,
        },
        (None, None) => Calibration::Dummy,
    };
    let mut pools = MemoryPools::default();
    for (pool, bytes) in &args.mem_pool {
        let slot = match pool {
            PoolName::Workspace => &mut pools.workspace,
            PoolName::DlaSram => &mut pools.dla_sram,
            PoolName::DlaLocalDram => &mut pools.dla_local_dram,
            PoolName::DlaGlobalDram => &mut pools.dla_global_dram,
        };
        *slot = Some(*bytes);
    }
    let from = file.map_or_else(
        || EngineConfig {
            batch: own_batch,
            ..EngineConfig::default()
        },
        |f| f.engine.clone(),
    );
    let config = args.engine.config(&from);
    let base = |placement: Placement, config: EngineConfig| -> Result<Request> {
        let request = Request {
            model: model.clone(),
            inputs: inputs.clone(),
            placement,
            config,
            calibration: calibration.clone(),
            pools,
            tactic_sources: args.tactic_sources,
            timing: Timing {
                warm_up_ms: args.warm_up,
                duration_ms: args.duration,
                repeats: args.repeats,
                cuda_graph: args.cuda_graph,
                spin_wait: args.spin_wait,
                processes: args.processes,
            },
            sampling: !args.no_sampling,
            per_layer: !args.no_layers,
            numeric: match args.reference {
                ReferenceName::Fp32 => NumericReference::Fp32,
                ReferenceName::Fp16 => NumericReference::Fp16,
                ReferenceName::None => NumericReference::None,
            },
            cache_dir: cache_dir.as_deref().map(absolute).transpose()?,
            save_engine: args.save_engine.as_deref().map(absolute).transpose()?,
            load_engine: args.load_engine.as_deref().map(absolute).transpose()?,
        };
        request.check()?;
        Ok(request)
    };
    if args.together.is_empty() {
        let placement = args.placement.over(file)?;
        return Ok(vec![base(placement, config)?]);
    }
    if args.together.len() < 2 {
        bail!("--together takes two engines or more, such as gpu,dla0");
    }
    args.together
        .iter()
        .map(|engine| {
            let member = members::member(engine, members, None, None, &config, &args.engine)?;
            base(member.placement, member.config)
        })
        .collect()
}

fn keep(args: &ProfileArgs, runs: &[Run]) {
    if args.no_history {
        return;
    }
    let Some(path) = args.history.clone().or_else(default_path) else {
        return;
    };
    let stored = Store::open(&path).and_then(|mut store| {
        runs.iter()
            .filter(|run| run.began())
            .try_for_each(|run| store.insert_run(run).map(|_id| ()))
    });
    if let Err(e) = stored {
        // The figures are worth more than their record.
        log::warn!("the run is not in the history: {e}");
    }
}

/// Shows progress on stderr and turns Ctrl-C into a cancel.
struct Watch {
    bar: ProgressBar,
    verbose: bool,
}

impl Watch {
    fn new(verbose: bool) -> Result<Self> {
        super::interrupt::catch()?;
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(ProgressStyle::with_template(
            "{spinner} {elapsed} {wide_msg}",
        )?);
        Ok(Self { bar, verbose })
    }

    fn hear(&self, member: usize, update: &Update) -> ControlFlow<()> {
        match update {
            Update::Progress {
                stage,
                fraction,
                detail,
            } => {
                let percent = fraction.map_or(String::new(), |f| format!(" {:.0} %", f * 100.0));
                let engine = if member > 0 {
                    format!("engine {member}: ")
                } else {
                    String::new()
                };
                self.bar
                    .set_message(format!("{engine}{}{percent} {detail}", stage.label()));
            }
            Update::Warning(text) => {
                let mut err = std::io::stderr().lock();
                // As above.
                let _closed = self.bar.suspend(|| writeln!(err, "warning: {text}"));
            }
            Update::Log(line) if self.verbose => {
                let mut err = std::io::stderr().lock();
                // A closed stderr must not end a measurement.
                let _closed = self.bar.suspend(|| writeln!(err, "{line}"));
            }
            _ => {}
        }
        self.bar.tick();
        if super::interrupt::pending() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn describe_request(request: &Request) -> String {
    let p = &request.placement;
    let mut parts = vec![format!("{} {}", request.config.precision, p.default)];
    parts.extend(
        p.overrides
            .iter()
            .map(|(site, device)| format!("{site} on {device}")),
    );
    if p.wants_dla() {
        parts.push(format!("DLA core {}", request.config.dla_core));
    }
    format!("{}{}", parts.join(", "), request.config.io_words())
}

fn print_failure(out: &mut impl std::io::Write, run: &Run) -> std::io::Result<()> {
    if let Outcome::Failed(failure) = &run.outcome {
        writeln!(
            out,
            "{}: failed while {}: {}",
            run.model.name,
            failure.stage.label(),
            failure.message
        )?;
        for line in words::worth_reading(&run.log, 15) {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// Rows of the layer table that are printed.
const TOP_ROWS: usize = 10;

fn print(out: &mut impl std::io::Write, run: &Run, model: &Model) -> std::io::Result<()> {
    let Some(m) = run.measurement() else {
        return print_failure(out, run);
    };
    writeln!(out, "{} on {}", run.model.name, run.environment.summary())?;
    writeln!(out, "  {}", words::spread(&m.fps))?;
    if !m.process_fps.is_empty() {
        let each: Vec<String> = m.process_fps.iter().copied().map(short).collect();
        writeln!(out, "  {} processes: {} FPS", each.len(), each.join(", "))?;
    }
    let l = &m.latency;
    writeln!(
        out,
        "  latency {:.3} ms median, {:.3} p95, {:.3} p99; CPU {:.1} us per inference{}",
        l.median,
        l.p95,
        l.p99,
        m.cpu_us_per_iteration,
        if m.cuda_graph { "; CUDA graph" } else { "" }
    )?;
    if let Some(why) = &m.cuda_graph_refused {
        writeln!(out, "  no CUDA graph: {why}")?;
    }
    if let Some(limit) = run.limited_by_cpu() {
        writeln!(out, "  {limit}")?;
    }
    telemetry(out, run, m)?;
    let how = words::built(m.cached, m.build_s);
    writeln!(out, "  engine {:.1} MB, {how}", m.engine_bytes as f64 / 1e6)?;
    let on = |d| m.actual.ops.iter().filter(|o| o.device == Some(d)).count();
    writeln!(
        out,
        "  ops: {} on the DLA in {} subgraphs, {} on the GPU, {} folded away",
        on(Device::Dla),
        m.actual.subgraphs.len(),
        on(Device::Gpu),
        model
            .ops
            .len()
            .saturating_sub(on(Device::Dla) + on(Device::Gpu))
    )?;
    if let Some(n) = &m.numeric {
        writeln!(
            out,
            "  outputs against {} on the GPU: cosine {:.6}, largest error {:.3e} of {:.3e}: {}",
            n.reference,
            n.cosine,
            n.max_abs_error,
            n.max_abs_reference,
            if n.passed { "same" } else { "WRONG" }
        )?;
    }
    if run.model.timing_only {
        writeln!(
            out,
            "  timing only: the file has no weights, random ones were used"
        )?;
    }
    if let Some(why) = &m.timing_only {
        writeln!(out, "  timing only: {why}")?;
    }
    if let Some(a) = m.attribution {
        writeln!(
            out,
            "  layers: {:.3} ms, {:.1} % of it mapped to modules",
            a.total_ms,
            a.share() * 100.0
        )?;
        ambiguous(out, &m.layers)?;
        let mut rows: Vec<&LayerTime> = m.layers.iter().collect();
        rows.sort_by(|a, b| b.mean_ms.total_cmp(&a.mean_ms));
        for row in rows.into_iter().take(TOP_ROWS) {
            let at = match &row.module {
                Some(path) if path.is_empty() => "(root)",
                Some(path) => path,
                None => "?",
            };
            writeln!(
                out,
                "    {:8.4} ms  {}  {at}  {}",
                row.mean_ms, row.device, row.name
            )?;
        }
    }
    if let Some(c) = &run.comparison {
        differences(out, c)?;
    }
    Ok(())
}

/// Energy, marks, and what the samples cost.
fn telemetry(out: &mut impl std::io::Write, run: &Run, m: &Measurement) -> std::io::Result<()> {
    let energy = words::energy_per_image(&m.mj_per_image);
    match &m.energy {
        Some(of) => writeln!(out, "  energy per image {energy}; {}", words::energy_of(of))?,
        None => writeln!(out, "  energy per image: {energy}")?,
    }
    for mark in &run.marks {
        writeln!(out, "  {}", mark.text())?;
    }
    if !run.telemetry.is_empty() {
        writeln!(out, "  sampled: {}", run.telemetry.cost.text())?;
    }
    Ok(())
}

/// Says what part of the time is known only to the module.
pub(super) fn ambiguous(out: &mut impl std::io::Write, rows: &[LayerTime]) -> std::io::Result<()> {
    let unsure: Vec<&LayerTime> = rows
        .iter()
        .filter(|row| matches!(row.site, RowSite::Ambiguous { .. }))
        .collect();
    if unsure.is_empty() {
        return Ok(());
    }
    let ms: f64 = unsure.iter().map(|row| row.mean_ms).sum();
    writeln!(
        out,
        "  {} layers ({ms:.3} ms) have names that several nodes share: given to the module around \
         those nodes, as nothing tells which it is",
        unsure.len()
    )
}

/// Where the build differs from what was asked or expected.
pub(super) fn differences(out: &mut impl std::io::Write, c: &Comparison) -> std::io::Result<()> {
    for op in &c.silent_fallbacks {
        writeln!(
            out,
            "  SILENT FALLBACK: {op} was asked onto the DLA and runs on the GPU"
        )?;
    }
    for x in &c.contradictions {
        let because = match &x.rule {
            Some(rule) => format!("{}: {rule}, which the engine contradicts", x.because),
            None => x.because.clone(),
        };
        writeln!(
            out,
            "  the plan expected {} on the {} ({because}); it runs on the {}",
            x.op, x.predicted, x.actual
        )?;
        for reason in &x.reasons {
            writeln!(out, "    TensorRT: {}", crate::engine::escape(reason, 500))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: ProfileArgs,
    }

    fn parse(line: &str) -> Result<Vec<Request>> {
        let args = Cli::try_parse_from(line.split(' '))?.args;
        let file = args.placement.document()?;
        let members = members::documents(&members::member_files(&args.together))?;
        requests(&args, file.as_ref(), &members, &BTreeMap::new(), 1)
    }

    #[test]
    fn arguments_become_requests() {
        let all = parse(
            "profile bundled:resnet18 --default GPU --dla layer1 --precision int8 \
             --dla-core 1 --strict --mem-pool dlaSRAM=1M --no-cache --repeats 5",
        )
        .unwrap();
        let r = &all[0];
        assert_eq!(
            r.placement,
            Placement::all(Device::Gpu).with_module("layer1", Device::Dla)
        );
        assert_eq!((r.config.dla_core, r.config.gpu_fallback), (1, false));
        assert_eq!(r.pools.dla_sram, Some(1 << 20));
        assert_eq!(r.cache_dir, None);
        assert!(parse("profile m.onnx").unwrap()[0].model.is_absolute());
    }

    #[test]
    fn deployments() {
        let all = parse("profile bundled:resnet18 --together gpu,dla0,dla1").unwrap();
        let of = |i: usize| (all[i].placement.default, all[i].config.dla_core);
        assert_eq!(
            (of(0), of(1), of(2)),
            ((Device::Gpu, 0), (Device::Dla, 0), (Device::Dla, 1))
        );
        assert!(parse("profile m.onnx --together gpu").is_err());
        assert!(parse("profile m.onnx --together gpu,missing.json@1").is_err());
        assert!(parse("profile m.onnx --mem-pool dlaSRAM=5000").is_err());
        assert!(parse("profile m.onnx --repeats 2").is_err());
        assert!(parse("profile m.onnx --processes 3 --no-cache").is_err());
        assert!(parse("profile m.onnx --processes 3 --together gpu,gpu").is_err());
        assert!(parse("profile m.onnx --processes 3").is_ok());
        assert!(parse("profile m.onnx --dla layer1 --gpu layer1").is_err());
    }
}
