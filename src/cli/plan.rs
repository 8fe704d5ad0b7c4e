//! `dlaplan plan`: what a placement means on a target.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::figure::{Figure, short};
use crate::model::Model;
use crate::placement::{EngineConfig, Placement};
use crate::plan::{Buildable, Plan, Summary};
use crate::platform::Target;

use crate::tasks::judge::{Judged, Setup};

use super::args::PlanArgs;

/// Show what runs where, what falls back and why, and what crosses devices.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanCommand {
    /// Model, target, engine config and placement.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Also list every op.
    #[arg(long)]
    pub ops: bool,
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
    /// Names by op id: the plan speaks of ids.
    ops: Vec<&'a str>,
    /// Names by tensor id.
    tensors: Vec<&'a str>,
    plan: &'a Plan,
}

/// Runs the command. A plan that does not build is an answer, not an error.
///
/// # Errors
/// A file cannot be read, or the placement does not fit the model.
pub fn run(args: &PlanCommand) -> Result<ExitCode> {
    let setup = args.plan.setup()?;
    let judged = setup.judge()?;
    let mut out = super::terminal::stdout();
    if args.json {
        let report = Report {
            schema: 1,
            model: &setup.model.name,
            target: &setup.target,
            engine: &setup.config,
            placement: &setup.placement,
            summary: judged.plan.summary(&setup.model),
            ops: setup.model.ops.iter().map(|o| &*o.name).collect(),
            tensors: setup.model.tensors.iter().map(|t| &*t.name).collect(),
            plan: &judged.plan,
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        text(&mut out, &setup, &judged)?;
        if args.ops {
            ops(&mut out, &setup.model, &judged.plan)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a module is called in tables.
pub(super) fn module_name(path: &str) -> &str {
    match path {
        "" => "(the network itself)",
        path => path,
    }
}

/// `resnet18 on Jetson Xavier NX, 15W, TensorRT 8.5; fp16, batch 1, DLA core 0`.
pub(super) fn title(setup: &Setup) -> String {
    let config = &setup.config;
    format!(
        "{} on {}; {}, batch {}{}{}{}",
        setup.model.name,
        setup.target,
        config.precision,
        config.batch,
        if setup.placement.wants_dla() {
            format!(", DLA core {}", config.dla_core)
        } else {
            String::new()
        },
        if config.gpu_fallback { "" } else { ", strict" },
        config.io_words(),
    )
}

fn text(out: &mut impl Write, setup: &Setup, judged: &Judged) -> Result<()> {
    let (model, plan) = (&setup.model, &judged.plan);
    writeln!(out, "{}", title(setup))?;
    writeln!(
        out,
        "{}; {}",
        plan.summary(model),
        judged.estimate.fps.with_unit("FPS")
    )?;
    match (&plan.buildable, &judged.estimate.fps) {
        (Buildable::No { reasons }, _) => {
            for reason in reasons {
                writeln!(out, "  does not build: {reason}")?;
            }
        }
        (_, Figure::None { reason }) => writeln!(out, "  no estimate: {reason}")?,
        _ => {}
    }
    if !plan.fallbacks.is_empty() {
        writeln!(out, "\nfalls back to the GPU:")?;
        for (why, ops) in plan.fallback_groups(model) {
            let names: Vec<&str> = ops.iter().take(4).map(|o| &*model.op(*o).name).collect();
            let more = if ops.len() > 4 {
                format!(" and {} more", ops.len() - 4)
            } else {
                String::new()
            };
            writeln!(out, "  {why}\n    {}{more}", names.join(", "))?;
            let fix = ops.first().and_then(|o| match plan.fallback(*o) {
                Some(crate::plan::Fallback::Rule(r)) => Some((r.fix.clone(), r.rule)),
                _ => None,
            });
            if let Some((fix, rule)) = fix {
                writeln!(out, "    rule {}: {}", rule.id, rule.source)?;
                if let Some(fix) = fix {
                    writeln!(out, "    remedy: {fix}")?;
                }
            }
        }
    }
    if !plan.subgraphs.is_empty() {
        let limit = setup.target.tensorrt.max_loadables();
        writeln!(out, "\nDLA subgraphs {}/{limit}:", plan.subgraphs.len())?;
        for (i, s) in plan.subgraphs.iter().enumerate() {
            let name = |o: Option<&crate::model::OpId>| o.map_or("", |o| &*model.op(*o).name);
            writeln!(
                out,
                "  {:>2}  {} ops, {} MB in, {} MB out, {} MB weights: {} … {}",
                i + 1,
                s.ops.len(),
                short(s.bytes_in as f64 / 1e6),
                short(s.bytes_out as f64 / 1e6),
                short(s.weight_bytes as f64 / 1e6),
                name(s.ops.first()),
                name(s.ops.last()),
            )?;
        }
        writeln!(out, "\ntransitions:")?;
        for (t, ms) in plan
            .transitions
            .iter()
            .zip(&judged.estimate.per_transition_ms)
        {
            writeln!(
                out,
                "  {} -> {}  {:>7} MB  {}{}{}",
                t.from,
                t.to,
                short(t.bytes as f64 / 1e6),
                match judged.estimate.fps.value() {
                    Some(_) => format!("est. {:>6} µs  ", short(ms * 1000.0)),
                    None => String::new(),
                },
                model.tensor(t.tensor).name,
                if t.boundary {
                    " (end of the engine)"
                } else {
                    ""
                }
            )?;
        }
    }
    for lint in &plan.lints {
        writeln!(out, "\n{}: {}", lint.hazard, lint.mitigation)?;
    }
    Ok(())
}

fn ops(out: &mut impl Write, model: &Model, plan: &Plan) -> Result<()> {
    writeln!(
        out,
        "\n{:<9} {:<9} {:<8} op",
        "requested", "predicted", "subgraph"
    )?;
    for id in model.op_ids() {
        let op = model.op(id);
        writeln!(
            out,
            "{:<9} {:<9} {:<8} {} {}{}",
            plan.requested[id.index()].as_str(),
            plan.predicted[id.index()].as_str(),
            plan.subgraph_of[id.index()].map_or(String::new(), |s| (s + 1).to_string()),
            op.op_type,
            op.name,
            plan.fallback(id)
                .map_or(String::new(), |f| format!("  ({})", f.sentence())),
        )?;
    }
    Ok(())
}
