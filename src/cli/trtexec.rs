//! `dlaplan trtexec`: what trtexec wrote, in terms of modules.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;

use crate::engine::reading::{
    EngineLayer, LayerMap, Report, actual, engine_layers, layer_times, members, parse_profile,
    parse_report,
};
use crate::engine::{Attribution, Comparison, LayerTime, compare};
use crate::figure::short;
use crate::model::OpId;
use crate::placement::Device;
use crate::plan::Planner;

use super::args::PlanArgs;
use super::profile::differences;

/// Read what trtexec wrote: FPS, where the build put each op, time per module.
///
/// Write the files with `trtexec --verbose --exportLayerInfo=layers.json
/// --exportProfile=profile.json --separateProfileRun > build.log`.
#[derive(Clone, Debug, clap::Args)]
pub struct TrtexecArgs {
    /// The model trtexec built, and the placement it was told.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// trtexec's output.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// What `--exportProfile` wrote.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// What `--exportLayerInfo` wrote.
    #[arg(long, value_name = "FILE")]
    pub layers: Option<PathBuf>,
    /// List the lines of the log that say nothing dlaplan reads.
    #[arg(long, requires = "log")]
    pub unknown_lines: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Findings {
    schema: u32,
    model: String,
    /// Images per second: throughput times batch.
    fps: Option<f64>,
    latency_median_ms: Option<f64>,
    passed: Option<bool>,
    errors: Vec<String>,
    /// Requested against predicted against actual; absent where no file says where ops run.
    comparison: Option<Comparison>,
    /// Where each op runs, and TensorRT's own words about it.
    ops: Vec<OpFinding>,
    /// What TensorRT compiled for the DLA, in ops and modules.
    blocks: Vec<Block>,
    /// What could not be built, in ops and modules.
    failed: Vec<Block>,
    /// A file lists the layers on the GPU, so that an op in no list was fused or folded away.
    lists_layers: bool,
    /// Lines of the log that say nothing dlaplan reads.
    unknown_lines: UnknownLines,
    /// Mean ms by module path.
    modules: BTreeMap<String, f64>,
    layers: Vec<LayerTime>,
    attribution: Option<Attribution>,
}

impl Findings {
    fn built(&self) -> bool {
        self.passed != Some(false) && self.failed.is_empty()
    }
}

/// One op as the files tell of it.
#[derive(Serialize)]
struct OpFinding {
    op: String,
    module: String,
    /// Absent where no file shows the op: fused or folded away.
    device: Option<Device>,
    /// The engine layer that runs it.
    layer: Option<String>,
    /// TensorRT's own words.
    reasons: Vec<String>,
}

/// A block `{ForeignNode[a...b]}` or another engine layer, in terms of the model.
#[derive(Serialize)]
struct Block {
    name: String,
    ops: Vec<String>,
    modules: Vec<String>,
    /// Bytes of weights, at the DLA's precision.
    weight_bytes: u64,
    /// Bytes of the tensors its ops make, at the DLA's precision and the engine's batch.
    tensor_bytes: u64,
}

impl Block {
    fn new(planner: &Planner<'_>, name: &str, ops: &[OpId]) -> Self {
        let model = planner.model();
        let mut modules: Vec<String> = Vec::new();
        for op in ops {
            let module = &model.modules.get(model.op(*op).module).path;
            if !modules.iter().any(|m| **m == **module) {
                modules.push(module.to_string());
            }
        }
        let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.fold(0, u64::saturating_add);
        let made = ops.iter().flat_map(|op| &model.op(*op).outputs);
        Self {
            name: name.to_owned(),
            ops: ops
                .iter()
                .map(|op| model.op(*op).name.to_string())
                .collect(),
            modules,
            weight_bytes: sum(&mut ops.iter().map(|op| planner.weight_bytes(*op))),
            tensor_bytes: sum(&mut made.map(|t| planner.tensor_bytes(*t))),
        }
    }

    /// `3 ops of model.0`.
    fn what(&self) -> String {
        let modules: Vec<&str> = self.modules.iter().map(|m| named(m)).collect();
        match self.ops.len() {
            0 => "no op of this model has that name".to_owned(),
            1 => format!("1 op of {}", modules.join(", ")),
            n => format!("{n} ops of {}", modules.join(", ")),
        }
    }
}

#[derive(Serialize)]
struct UnknownLines {
    count: usize,
    /// Only where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<String>,
}

/// A module's path for people; the root's is empty.
fn named(path: &str) -> &str {
    if path.is_empty() {
        "the network itself"
    } else {
        path
    }
}

fn text(path: &Path) -> Result<String> {
    // TensorRT copies layer names byte by byte.
    let bytes = std::fs::read(path).map_err(|e| {
        let place = path.display();
        match e.kind() {
            ErrorKind::NotFound => anyhow!(
                "{place}: there is no such file; write it with `trtexec … --verbose > build.log 2>&1`, or \
                 --exportProfile and --exportLayerInfo"
            ),
            ErrorKind::IsADirectory => anyhow!("{place}: this is a folder; name the file in it"),
            _ => anyhow!("{place}: {e}; check its permissions"),
        }
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs the command.
///
/// # Errors
/// No file is named, or one cannot be read.
pub fn run(args: &TrtexecArgs) -> Result<ExitCode> {
    if args.log.is_none() && args.profile.is_none() && args.layers.is_none() {
        bail!("name what trtexec wrote: --log, --profile or --layers");
    }
    let setup = args.plan.setup()?;
    let judged = setup.judge()?;
    let model = &setup.model;
    let report = match &args.log {
        Some(path) => {
            let report = parse_report(&text(path)?);
            let empty = Report {
                unknown: report.unknown.clone(),
                ..Report::default()
            };
            if report == empty {
                bail!(
                    "{}: nothing of trtexec is in it; give its whole output",
                    path.display()
                );
            }
            report
        }
        None => Report::default(),
    };
    let rows = match &args.profile {
        Some(path) => {
            let parsed = parse_profile(&text(path)?);
            parsed.with_context(|| path.display().to_string())?.0
        }
        None => Vec::new(),
    };
    let layers = match &args.layers {
        Some(path) => {
            let layers = engine_layers(&text(path)?);
            if layers.is_empty() {
                bail!(
                    "{}: no layers; write it with --exportLayerInfo",
                    path.display()
                );
            }
            layers
        }
        None => rows
            .iter()
            .map(|r| EngineLayer {
                name: r.name.clone(),
                ..EngineLayer::default()
            })
            .collect(),
    };
    let map = LayerMap::new(model, &[]).with_engine(&layers);
    let built = actual(
        &map,
        &layers,
        &judged.plan.requested,
        &report.placement,
        &[],
    );
    let known = !layers.is_empty() || report.placement.places();
    let planner = Planner::new(model, &setup.target, &setup.config);
    let block = |name: &String| Block::new(&planner, name, &members(&map, name, &built));
    let blocks = built
        .subgraphs
        .iter()
        .map(|(name, _)| block(name))
        .collect();
    let failed = report.placement.failed.iter().map(block).collect();
    let ops = model.op_ids().zip(&built.ops).filter(|_| known);
    let ops = ops
        .map(|(id, op)| OpFinding {
            op: op.op.clone(),
            module: model.modules.get(model.op(id).module).path.to_string(),
            device: op.device,
            layer: op.layer.clone(),
            reasons: op.reasons.clone(),
        })
        .collect();
    let unknown = report.unknown;
    let samples: Vec<_> = rows
        .into_iter()
        .map(|r| (r.name, vec![r.mean_ms]))
        .collect();
    let (times, attribution) = layer_times(&map, &layers, &built, &samples);
    let mut modules: BTreeMap<String, f64> = BTreeMap::new();
    for time in &times {
        let path = time.module.clone().unwrap_or_else(|| "?".to_owned());
        *modules.entry(path).or_default() += time.mean_ms;
    }
    let findings = Findings {
        schema: 1,
        model: model.name.clone(),
        fps: report
            .summary
            .as_ref()
            .map(|s| s.qps * f64::from(setup.config.batch)),
        latency_median_ms: report.summary.as_ref().and_then(|s| s.median_ms),
        passed: report.passed,
        errors: report.errors,
        comparison: known.then(|| compare(model, &judged.plan, &built)),
        ops,
        blocks,
        failed,
        lists_layers: !layers.is_empty() || report.placement.lists_gpu,
        unknown_lines: UnknownLines {
            count: unknown.len(),
            lines: if args.unknown_lines {
                unknown
            } else {
                Vec::new()
            },
        },
        modules,
        layers: times,
        attribution: (!samples.is_empty()).then_some(attribution),
    };
    let mut out = super::terminal::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &findings)?;
        writeln!(out)?;
    } else {
        print(&mut out, &findings)?;
    }
    let bad = findings.passed == Some(false) || !findings.errors.is_empty();
    Ok(ExitCode::from(u8::from(bad)))
}

fn print(out: &mut impl Write, found: &Findings) -> Result<()> {
    if let Some(fps) = found.fps {
        let latency = found.latency_median_ms;
        let latency = latency.map_or(String::new(), |ms| {
            format!(", {} ms median latency", short(ms))
        });
        writeln!(
            out,
            "{}: {} FPS (measured by trtexec){latency}",
            found.model,
            short(fps)
        )?;
    }
    if found.passed == Some(false) {
        writeln!(out, "trtexec failed:")?;
    }
    for error in &found.errors {
        writeln!(out, "  {}", crate::engine::escape(error, 500))?;
    }
    for block in &found.failed {
        writeln!(
            out,
            "{} could not be built: {}, {} bytes of weights, {} bytes of tensors{}",
            block.name,
            block.what(),
            block.weight_bytes,
            block.tensor_bytes,
            if block.ops.is_empty() {
                String::new()
            } else {
                format!(": {}", block.ops.join(", "))
            }
        )?;
    }
    if let Some(c) = &found.comparison {
        placement(out, found, c)?;
    }
    let unknown = &found.unknown_lines;
    if unknown.count > 0 {
        writeln!(
            out,
            "{} lines of the log say nothing dlaplan reads{}",
            unknown.count,
            if unknown.lines.is_empty() {
                " (--unknown-lines lists them)"
            } else {
                ":"
            }
        )?;
    }
    for line in &unknown.lines {
        writeln!(out, "  {}", crate::engine::escape(line, 500))?;
    }
    if let Some(a) = &found.attribution {
        writeln!(
            out,
            "layers: {} ms, {:.1} % of it mapped to modules",
            short(a.total_ms),
            a.share() * 100.0
        )?;
        super::profile::ambiguous(out, &found.layers)?;
        let mut rows: Vec<_> = found.modules.iter().collect();
        rows.sort_by(|a, b| b.1.total_cmp(a.1));
        for (path, ms) in rows {
            let on = |d| {
                found
                    .layers
                    .iter()
                    .any(|l| l.device == d && l.module.as_deref() == Some(path))
            };
            let device = match (on(Device::Gpu), on(Device::Dla)) {
                (true, true) => "GPU+DLA",
                (false, true) => "DLA",
                _ => "GPU",
            };
            let name = named(path);
            writeln!(out, "  {:>9} ms  {device:<7}  {name}", short(*ms))?;
        }
    }
    Ok(())
}

/// Ops by device, with TensorRT's words, and where that differs from the plan.
fn placement(out: &mut impl Write, found: &Findings, c: &Comparison) -> Result<()> {
    let on = |d| found.ops.iter().filter(move |op| op.device == Some(d));
    let blocks = match found.blocks.len() {
        0 => String::new(),
        1 => " in 1 block".to_owned(),
        n => format!(" in {n} blocks"),
    };
    let planned = match (found.built(), c.contradictions.is_empty()) {
        (false, _) => ", until the build failed",
        (true, true) => ", as planned",
        (true, false) => "",
    };
    writeln!(
        out,
        "{}/{} ops on the DLA{blocks}, {} on the GPU{planned}",
        on(Device::Dla).count(),
        found.ops.len(),
        on(Device::Gpu).count(),
    )?;
    for block in &found.blocks {
        writeln!(out, "  {}: {}", block.name, block.what())?;
    }
    for device in [Device::Dla, Device::Gpu] {
        for op in on(device) {
            writeln!(out, "  {device}  {}  ({})", op.op, named(&op.module))?;
            for reason in &op.reasons {
                writeln!(
                    out,
                    "         TensorRT: {}",
                    crate::engine::escape(reason, 500)
                )?;
            }
        }
    }
    differences(out, c)?;
    if c.not_shown > 0 {
        let why = if found.lists_layers {
            "fused or folded away"
        } else {
            "the log does not say where they run"
        };
        writeln!(out, "{} ops are not shown: {why}", c.not_shown)?;
    }
    Ok(())
}
