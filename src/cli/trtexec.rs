//! `dlaplan trtexec`: what trtexec wrote, in terms of modules.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::engine::reading::attribution::{
    EngineLayer, LayerMap, actual, engine_layers, layer_times,
};
use crate::engine::reading::{Report, parse_profile, parse_report};
use crate::engine::{Attribution, Comparison, LayerTime, compare};
use crate::figure::short;
use crate::placement::Device;

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
    /// Mean ms by module path.
    modules: BTreeMap<String, f64>,
    layers: Vec<LayerTime>,
    attribution: Option<Attribution>,
}

fn text(path: &Path) -> Result<String> {
    // TensorRT copies layer names byte by byte.
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
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
            if report == Report::default() {
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
    let known = !layers.is_empty() || !report.placement.gpu.is_empty();
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
    Ok(ExitCode::from(u8::from(findings.passed == Some(false))))
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
    if let Some(c) = &found.comparison {
        differences(out, c)?;
        if c.not_shown > 0 {
            writeln!(
                out,
                "{} ops are not shown: fused or folded away",
                c.not_shown
            )?;
        }
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
            let name = if path.is_empty() {
                "(the network itself)"
            } else {
                path
            };
            writeln!(out, "  {:>9} ms  {device:<7}  {name}", short(*ms))?;
        }
    }
    Ok(())
}
