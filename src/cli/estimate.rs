//! `dlaplan estimate`: how fast a placement should be, alone or beside others.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;

use crate::estimate::deployment::DeploymentEstimate;
use crate::estimate::power::PowerEstimate;
use crate::estimate::{Breakdown, Estimate, Estimator, Kernel, Waterfall, signed_ms};
use crate::export::Document;
use crate::figure::{Figure, short};
use crate::history;
use crate::model::Model;
use crate::model::onnx::{self, LoadOptions};
use crate::placement::{Device, EngineConfig, Placement};
use crate::plan::{Plan, Planner, Summary};
use crate::platform::Target;

use crate::tasks::judge::{Setup, judge};

use super::args::{PlanArgs, whole};
use super::members;
use super::plan::{module_name, title};

/// Say how fast a placement should be, with the error band and where it comes from.
#[derive(Clone, Debug, clap::Args)]
pub struct EstimateArgs {
    /// Model, target, engine config and placement.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Engines at the same time instead of one: a list of `gpu`, `dla0`, `dla1` (the whole network
    /// there) and placement files (`split.json@1` for DLA core 1). Another network than MODEL goes in
    /// front: `detector.onnx=gpu,dla0`.
    #[arg(long, value_name = "ENGINE,ENGINE", value_delimiter = ',',
        conflicts_with_all = ["placement", "default", "dla", "gpu", "dla_op", "gpu_op", "dla_core"])]
    pub together: Vec<String>,
    /// Time per module down to this depth.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub depth: u32,
    /// Say where the time goes: the steps from all on the GPU to this placement, and the slowest
    /// kernels.
    #[arg(long)]
    pub explain: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    model: &'a str,
    target: &'a Target,
    engine: &'a EngineConfig,
    placement: &'a Placement,
    summary: Summary,
    estimate: &'a Estimate,
    power: &'a PowerEstimate,
    modules: Vec<ModuleTime<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breakdown: Option<&'a Breakdown>,
}

#[derive(Serialize)]
struct ModuleTime<'a> {
    path: &'a str,
    /// GPU work of its ops that run there, ms; `null` where an op has no estimate.
    gpu_ms: Option<f64>,
    /// DLA work of its ops that run there, ms, submission not included.
    dla_ms: Option<f64>,
}

#[derive(Serialize)]
struct Together<'a> {
    schema: u32,
    model: &'a str,
    target: &'a Target,
    engines: Vec<Engine<'a>>,
    #[serde(flatten)]
    estimate: &'a DeploymentEstimate,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waterfalls: Vec<Waterfall>,
}

#[derive(Serialize)]
struct Engine<'a> {
    asked: &'a str,
    /// Its network, where that is not the command's.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(rename = "engine")]
    config: EngineConfig,
    placement: Placement,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, or the placement does not fit the model.
pub fn run(args: &EstimateArgs) -> Result<ExitCode> {
    let asked = args.together.iter().map(|t| members::split_network(t));
    let own: Vec<String> = asked
        .filter(|(network, _)| network.is_none())
        .map(|(_, engine)| engine.to_owned())
        .collect();
    let files = members::documents(&members::member_files(&own))?;
    let setup = args.plan.setup_beside(&files)?;
    let mut out = super::terminal::stdout();
    if !args.together.is_empty() {
        return together(args, &setup, &files, &mut out);
    }
    let planner = Planner::new(&setup.model, &setup.target, &setup.config);
    let estimator = history::estimator(&planner);
    let judged = judge(&estimator, &setup.placement)?;
    let modules = module_times(&setup.model, &estimator, &judged.plan, args.depth);
    let estimate = &judged.estimate;
    let power = estimator.power(&judged.plan, &estimate.latency_ms);
    if args.json {
        let report = Report {
            schema: 1,
            model: &setup.model.name,
            target: &setup.target,
            engine: &setup.config,
            placement: &setup.placement,
            summary: judged.plan.summary(&setup.model),
            estimate,
            power: &power,
            modules,
            breakdown: judged.breakdown.as_ref().ok().filter(|_| args.explain),
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}", title(&setup))?;
    writeln!(out, "{}", judged.plan.summary(&setup.model))?;
    if let Figure::None { reason } = &estimate.fps {
        writeln!(out, "  no estimate: {reason}")?;
        return Ok(ExitCode::SUCCESS);
    }
    figure(&mut out, "throughput", "FPS", &estimate.fps)?;
    figure(&mut out, "latency", "ms", &estimate.latency_ms)?;
    for (what, ms) in [
        ("GPU work", &estimate.gpu_ms),
        ("DLA work", &estimate.dla_ms),
        ("transitions", &estimate.transition_ms),
    ] {
        if ms.value() != Some(0.0) {
            figure(&mut out, what, "ms", ms)?;
        }
    }
    for (i, ms) in estimate.subgraph_ms.iter().enumerate() {
        figure(&mut out, &format!("subgraph {}", i + 1), "ms", ms)?;
    }
    figure(&mut out, "wall power", "W", &power.wall_watts)?;
    if power.wall_watts.value().is_some() {
        figure(
            &mut out,
            "wall energy",
            "mJ per image",
            &power.wall_mj_per_image,
        )?;
        writeln!(out, "power from: {}", power.wall_watts.source())?;
    }
    if power.rails_watts.value().is_some() {
        figure(&mut out, "rails", "W", &power.rails_watts)?;
        figure(
            &mut out,
            "rail energy",
            "mJ per image",
            &power.rails_mj_per_image,
        )?;
        writeln!(out, "rails from: {}", power.rails_watts.source())?;
    }
    if power.dla_gain.value().is_some() {
        figure(
            &mut out,
            "accelerators",
            "times the GPU's images per joule on DLAs",
            &power.dla_gain,
        )?;
        writeln!(out, "accelerators from: {}", power.dla_gain.source())?;
    }
    writeln!(out, "from: {}", estimate.fps.source())?;
    if let (true, Ok(breakdown)) = (args.explain, &judged.breakdown) {
        explain(&mut out, &setup.model, breakdown)?;
    }
    writeln!(out, "\n{:<32} {:>9} {:>9}", "module", "GPU ms", "DLA ms")?;
    for row in &modules {
        let ms = |v: Option<f64>| match v {
            Some(0.0) => String::new(),
            Some(v) => short(v),
            None => "?".into(),
        };
        let path = module_name(row.path);
        writeln!(
            out,
            "{path:<32} {:>9} {:>9}",
            ms(row.gpu_ms),
            ms(row.dla_ms)
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn figure(out: &mut impl Write, what: &str, unit: &str, figure: &Figure) -> Result<()> {
    match figure {
        Figure::None { reason } => writeln!(out, "  {what:<12} no estimate: {reason}")?,
        Figure::Estimated(_) | Figure::Measured(_) => {
            writeln!(out, "  {what:<12} {}", figure.with_unit(unit))?;
        }
    }
    Ok(())
}

fn explain(out: &mut impl Write, model: &Model, breakdown: &Breakdown) -> Result<()> {
    waterfall(out, "this placement", &breakdown.waterfall)?;
    kernels(out, model, "slowest kernels", &breakdown.hottest, false)?;
    kernels(
        out,
        model,
        "slower on the DLA than on the GPU",
        &breakdown.losses,
        true,
    )
}

/// Characters of a bar.
const BAR: f64 = 32.0;

/// The steps from all on the GPU to a placement, a line each, with bars.
fn waterfall(out: &mut impl Write, name: &str, fall: &Waterfall) -> Result<()> {
    let picture = fall.picture(name);
    if picture.bars.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for bar in &picture.bars {
        let fill = match (bar.cause, bar.saves) {
            (None, _) => "=",
            (Some(_), true) => "-",
            (Some(_), false) => "+",
        };
        let column = |share: f64| (share * BAR).round() as usize;
        let left = column(bar.left);
        writeln!(
            out,
            "  {:<34} {:>10}  {}{}",
            bar.text,
            bar.value,
            " ".repeat(left),
            fill.repeat((column(bar.right) - left).max(1)),
        )?;
    }
    if let Some(note) = picture.note() {
        writeln!(out, "  ({note})")?;
    }
    writeln!(out, "{}", fall.verdict())?;
    Ok(())
}

/// Kernels listed one by one.
const KERNELS: usize = 8;

fn kernels(
    out: &mut impl Write,
    model: &Model,
    title: &str,
    kernels: &[Kernel],
    lost: bool,
) -> Result<()> {
    if kernels.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}:")?;
    for kernel in kernels.iter().take(KERNELS) {
        let Some((main, fused)) = kernel.ops.split_first() else {
            continue;
        };
        let other = match kernel.other_ms {
            Some(ms) => format!("{} ms on the {}", short(ms), kernel.device.other()),
            None => String::new(),
        };
        let more = match fused.len() {
            0 => String::new(),
            n => format!(" + {n}"),
        };
        let op = model.op(*main);
        let lost = match kernel.loss_ms().filter(|_| lost) {
            Some(ms) => format!("{:>9}  ", signed_ms(ms)),
            None => String::new(),
        };
        writeln!(
            out,
            "  {lost}{:>7} ms  {}  {:<22} {}{more}",
            short(kernel.ms),
            kernel.device,
            other,
            op.name,
        )?;
    }
    Ok(())
}

/// Times of the modules at a depth, and of shallower ones without children: each op counts once.
fn module_times<'m>(
    model: &'m Model,
    estimator: &Estimator<'_, '_>,
    plan: &Plan,
    depth: u32,
) -> Vec<ModuleTime<'m>> {
    let mut rows = Vec::new();
    for (id, module, whole) in model.modules.down_to(depth) {
        let ops = if whole {
            model.modules.subtree_ops(id)
        } else {
            module.ops.clone()
        };
        if ops.is_empty() {
            continue;
        }
        let sum = |device: Device| -> Option<f64> {
            let mine = ops.iter().filter(|o| plan.predicted[o.index()] == device);
            mine.map(|o| estimator.op_ms(*o, device).value()).sum()
        };
        let (gpu_ms, dla_ms) = (sum(Device::Gpu), sum(Device::Dla));
        // What fuses into a neighbour costs nothing of its own.
        if (gpu_ms, dla_ms) != (Some(0.0), Some(0.0)) {
            rows.push(ModuleTime {
                path: &module.path,
                gpu_ms,
                dla_ms,
            });
        }
    }
    rows
}

/// A network beside the command's own, with the placement file its engine names.
struct Other<'a> {
    model: Model,
    files: Vec<(&'a Path, Document)>,
}

impl<'a> Other<'a> {
    fn read(network: &Path, engine: &'a str) -> Result<Self> {
        Ok(Self {
            model: onnx::open(network, &LoadOptions::default())?,
            files: members::documents(
                &members::member_file(engine).into_iter().collect::<Vec<_>>(),
            )?,
        })
    }
}

fn together(
    args: &EstimateArgs,
    setup: &Setup,
    files: &[(&Path, Document)],
    out: &mut impl Write,
) -> Result<ExitCode> {
    if args.together.len() < 2 {
        bail!("--together takes two engines or more, such as gpu,dla0");
    }
    let mut loads = Vec::new();
    let mut engines = Vec::new();
    let mut breakdowns = Vec::new();
    for asked in &args.together {
        let (network, engine) = members::split_network(asked);
        let other = network.map(|path| Other::read(path, engine)).transpose()?;
        let (model, files, base) = match &other {
            None => (&setup.model, files, setup.config.clone()),
            Some(other) => {
                let mut base = setup.config.clone();
                // A batch that nobody asked for is the network's own.
                if base.batch == EngineConfig::own_batch(&setup.model) {
                    base.batch = EngineConfig::own_batch(&other.model);
                }
                (&other.model, &*other.files, base)
            }
        };
        let members::Member { placement, config } = members::member(
            engine,
            files,
            Some(model),
            Some(&setup.target),
            &base,
            &args.plan.setup.engine,
        )?;
        let planner = Planner::new(model, &setup.target, &config);
        let plan = planner
            .plan_placement(&placement)
            .with_context(|| asked.clone())?;
        let estimator = history::estimator(&planner);
        let refused = |why| anyhow!("{asked}: no estimate: {why}");
        loads.push(estimator.load(&plan).map_err(refused)?);
        if args.explain {
            let breakdown = estimator.breakdown(&plan, &estimator.estimate(&plan));
            breakdowns.push(breakdown.map_err(refused)?.waterfall);
        }
        engines.push(Engine {
            asked,
            model: other.map(|o| o.model.name),
            config,
            placement,
        });
    }
    let planner = Planner::new(&setup.model, &setup.target, &setup.config);
    let estimate = history::estimator(&planner).deployment(&loads);
    let others = loads.len() - 1;
    let waterfalls: Vec<Waterfall> = breakdowns
        .into_iter()
        .zip(&estimate.latency_ms)
        .map(|(fall, together)| fall.beside(others, together))
        .collect();
    if args.json {
        let report = Together {
            schema: 1,
            model: &setup.model.name,
            target: &setup.target,
            engines,
            estimate: &estimate,
            waterfalls,
        };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{} on {}; at the same time:",
        setup.model.name, setup.target
    )?;
    for (engine, fps) in engines.iter().zip(&estimate.fps) {
        let config = &engine.config;
        let what = format!(
            "{}, {}, batch {}",
            engine.asked, config.precision, config.batch
        );
        figure(out, &what, "FPS", fps)?;
    }
    figure(out, "together", "FPS", &estimate.total_fps)?;
    writeln!(out, "from: {}", estimate.total_fps.source())?;
    for (engine, fall) in engines.iter().zip(&waterfalls) {
        waterfall(out, engine.asked, fall)?;
    }
    Ok(ExitCode::SUCCESS)
}
