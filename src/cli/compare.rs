//! `dlaplan compare`: two placements side by side, or one on several targets.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::chart::{Look, Palette};
use crate::estimate::{Estimate, signed_ms};
use crate::export::save_atomic;
use crate::figure::{Figure, short};
use crate::history::{self, Store, default_path};
use crate::model::Model;
use crate::placement::Placement;
use crate::plan::Summary;
use crate::platform::Target;
use crate::tasks::compare::{
    Comparison, Judged, Line, OnTarget, Pair, every_board, every_mode, lines, on_targets,
    targets_chart, targets_csv,
};
use crate::tasks::judge::Setup;
use crate::tasks::words::today;

use super::args::PlanArgs;
use super::members;
use super::plan::{module_name, title};

/// Show two placements side by side, or one placement on several boards and power modes.
///
/// A difference is what the first costs more than the second.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// Model, target, engine config and placement.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// The other placement: `gpu`, `dla0` (the whole network there), a placement file, `kept:NAME` or
    /// `run:ID` of the history.
    #[arg(long, value_name = "PLACEMENT", required_unless_present = "targets")]
    pub with: Option<String>,
    /// One placement on these targets instead: `xavier-nx,agx-orin-64@30W`; `boards` for every board,
    /// `modes` for every power mode of the target's board.
    #[arg(
        long,
        value_name = "TARGET,…",
        value_delimiter = ',',
        conflicts_with = "with"
    )]
    pub targets: Vec<String>,
    /// Modules down to this depth.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub depth: u32,
    /// Also modules that run on the same device in the same time.
    #[arg(long)]
    pub all: bool,
    /// With --targets: a picture of them, `.svg` or `.png`, or the table as `.csv`.
    #[arg(long, short, value_name = "FILE", requires = "targets")]
    pub output: Option<PathBuf>,
    /// History file with kept placements and runs; by default the user's.
    #[arg(long, value_name = "FILE", requires = "with")]
    pub history: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read or written, or a placement does not fit the model.
pub fn run(args: &CompareArgs) -> Result<ExitCode> {
    let mut out = super::terminal::stdout();
    let Some(with) = &args.with else {
        return over_targets(args, &args.plan.setup()?, &mut out);
    };
    let stored = with.starts_with(KEPT) || with.starts_with(RUN);
    let named = members::member_file(with).filter(|_| !stored);
    let named: Vec<&Path> = named.into_iter().collect();
    let files = members::documents(&named)?;
    let setup = args.plan.setup_beside(&files)?;
    let engine = &args.plan.setup.engine;
    let model = Some(&setup.model);
    // Both are judged on one target, whatever the file was made for.
    let other = if stored {
        from_history(with, args.history.as_deref(), &setup.model)?
    } else {
        members::member(with, &files, model, None, &setup.config, engine)?
    };
    let own = history::calibration(history::data_dir().as_deref(), setup.target.board.id);
    let judge = |name: &str, placement: &Placement, config| {
        Judged::new(name, &setup.model, &setup.target, &own, placement, config)
            .with_context(|| name.to_owned())
    };
    let name = args.plan.setup.placement.placement.as_deref();
    let name = name.map_or_else(|| setup.placement.title(), |p| p.display().to_string());
    let this = judge(&name, &setup.placement, &setup.config)?;
    let that = judge(with, &other.placement, &other.config)?;
    let comparison = Comparison::of(&setup.model, this.side(), that.side());
    let rows = rows(&setup.model, &comparison, args.depth, args.all);
    if args.json {
        let report = Report::new(&setup, &this, &that, &comparison, rows);
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        text(&mut out, &setup, &this, &that, &comparison, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

const KEPT: &str = "kept:";
const RUN: &str = "run:";

/// `kept:NAME` or `run:ID`.
fn from_history(text: &str, history: Option<&Path>, model: &Model) -> Result<members::Member> {
    let path = history.map(Path::to_owned).or_else(default_path);
    let path = path.context("there is no home folder; give --history FILE")?;
    if !path.exists() {
        bail!(
            "{}: there is no history yet; keep or measure a placement first, or give --history FILE",
            path.display()
        );
    }
    let mut store = Store::open(&path)?;
    let hash = &model.source.structure_hash;
    if let Some(name) = text.strip_prefix(KEPT) {
        let kept = store.kept(Some(hash))?;
        if let Some(found) = kept.iter().rev().find(|k| k.kept.name == name) {
            return Ok(members::Member {
                placement: found.kept.placement.clone(),
                config: found.kept.config.clone(),
            });
        }
        let names: Vec<&str> = kept.iter().map(|k| k.kept.name.as_str()).collect();
        bail!(
            "{text}: no placement of {} is kept under this name; kept: {}",
            model.name,
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        );
    }
    let id = text.strip_prefix(RUN).unwrap_or_default();
    let id: i64 = id
        .parse()
        .with_context(|| format!("{text}: a run is named by its number"))?;
    let Some(run) = store.run(id)? else {
        bail!("{text}: no such run; dlaplan runs lists them");
    };
    let request = run.run.request;
    request
        .placement
        .resolve(model)
        .with_context(|| text.to_owned())?;
    Ok(members::Member {
        placement: request.placement,
        config: request.config,
    })
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    model: &'a str,
    target: &'a Target,
    this: One<'a>,
    that: One<'a>,
    figures: Vec<Line>,
    differing_ops: Vec<&'a str>,
    modules: Vec<Row<'a>>,
    crossings: Vec<CrossingOf<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    name: &'a str,
    engine: &'a crate::placement::EngineConfig,
    placement: &'a Placement,
    summary: &'a Summary,
    estimate: &'a Estimate,
}

#[derive(Serialize)]
struct CrossingOf<'a> {
    tensor: &'a str,
    #[serde(flatten)]
    crossing: &'a crate::tasks::compare::Crossing,
}

impl<'a> Report<'a> {
    fn new(
        setup: &'a Setup,
        this: &'a Judged,
        that: &'a Judged,
        comparison: &'a Comparison,
        modules: Vec<Row<'a>>,
    ) -> Self {
        let model = &setup.model;
        let one = |j: &'a Judged| One {
            name: &j.name,
            engine: &j.config,
            placement: &j.placement,
            summary: &j.summary,
            estimate: &j.estimate,
        };
        let ops = model.op_ids().zip(&comparison.ops);
        let differing = ops.filter(|(_, pair)| pair.differs > 0);
        let crossings = comparison.crossings.iter();
        Self {
            schema: 1,
            model: &model.name,
            target: &setup.target,
            this: one(this),
            that: one(that),
            figures: lines(this.side(), that.side()),
            differing_ops: differing.map(|(op, _)| &*model.op(op).name).collect(),
            modules,
            crossings: crossings
                .map(|crossing| CrossingOf {
                    tensor: &model.tensor(crossing.tensor).name,
                    crossing,
                })
                .collect(),
        }
    }
}

/// A module in both placements.
#[derive(Serialize)]
struct Row<'a> {
    path: &'a str,
    #[serde(flatten)]
    pair: Pair,
    /// What the first costs more, ms, transitions left out.
    delta_ms: Option<f64>,
}

/// Modules at a depth and shallower ones without children; each op counts once.
fn rows<'m>(model: &'m Model, comparison: &Comparison, depth: u32, all: bool) -> Vec<Row<'m>> {
    let mut rows = Vec::new();
    for (id, module, whole) in model.modules.down_to(depth) {
        let pair = if whole {
            comparison.modules[id.index()]
        } else {
            // Its own ops only: those below have rows of their own.
            comparison.of_ops(&module.ops)
        };
        let delta_ms = pair.delta_ms();
        let same = pair.differs == 0 && delta_ms.is_some_and(|d| d.abs() < 0.0005);
        if pair.ops > 0 && (all || !same) {
            rows.push(Row {
                path: &module.path,
                pair,
                delta_ms,
            });
        }
    }
    rows
}

fn text(
    out: &mut impl Write,
    setup: &Setup,
    this: &Judged,
    that: &Judged,
    comparison: &Comparison,
    rows: &[Row<'_>],
) -> Result<()> {
    let model = &setup.model;
    writeln!(out, "{}", title(setup))?;
    for (name, one) in [("this", this), ("that", that)] {
        writeln!(
            out,
            "  {name}  {}: {}; {}",
            one.name,
            one.summary,
            one.estimate.fps.with_unit("FPS")
        )?;
        if let Figure::None { reason } = &one.estimate.fps {
            writeln!(out, "        no estimate: {reason}")?;
        }
    }
    if this.config != that.config {
        let config = &that.config;
        writeln!(
            out,
            "  that is built differently: {}, batch {}",
            config.precision, config.batch
        )?;
    }
    writeln!(
        out,
        "\n{:<20} {:>10} {:>10} {:>12}",
        "", "this", "that", "this - that"
    )?;
    for line in lines(this.side(), that.side()) {
        let value = |v: Option<f64>| match v {
            Some(v) if line.unit.is_empty() => format!("{v:.0}"),
            Some(v) => short(v),
            None => "-".to_owned(),
        };
        let delta = match line.delta() {
            Some(d) if line.unit.is_empty() => format!("{d:+.0}"),
            Some(d) if d > 0.0 => format!("+{}", short(d)),
            Some(d) => short(d),
            None => "-".to_owned(),
        };
        let unit = if line.unit.is_empty() {
            String::new()
        } else {
            format!(", {}", line.unit)
        };
        writeln!(
            out,
            "{:<20} {:>10} {:>10} {delta:>12}",
            format!("{}{unit}", line.what),
            value(line.this),
            value(line.that),
        )?;
    }
    let differing = comparison.differing();
    writeln!(
        out,
        "\n{differing} of {} ops run on another device",
        model.ops.len()
    )?;
    if !rows.is_empty() {
        writeln!(
            out,
            "\n{:<32} {:>12} {:>12} {:>9} {:>9} {:>9}",
            "module", "this", "that", "this ms", "that ms", "+- ms"
        )?;
    }
    for row in rows {
        let pair = &row.pair;
        let ms = |part: crate::tasks::compare::Part| {
            if part.known == pair.ops {
                short(part.ms)
            } else {
                "?".to_owned()
            }
        };
        let delta = row.delta_ms.map_or_else(
            || "?".to_owned(),
            |d| signed_ms(d).trim_end_matches(" ms").to_owned(),
        );
        let path = module_name(row.path);
        writeln!(
            out,
            "{path:<32} {:>12} {:>12} {:>9} {:>9} {delta:>9}",
            pair.this.device(pair.ops),
            pair.that.device(pair.ops),
            ms(pair.this),
            ms(pair.that),
        )?;
    }
    if !comparison.crossings.is_empty() {
        writeln!(out, "\ntensors that cross in one of them only:")?;
    }
    for c in &comparison.crossings {
        writeln!(
            out,
            "  {}  to {}  {:>7} MB  est. {:>6} µs  {}",
            if c.this { "this" } else { "that" },
            c.to,
            short(c.bytes as f64 / 1e6),
            short(c.ms * 1000.0),
            model.tensor(c.tensor).name
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Targets<'a> {
    schema: u32,
    model: &'a str,
    engine: &'a crate::placement::EngineConfig,
    placement: &'a Placement,
    #[serde(rename = "targets")]
    rows: &'a [OnTarget],
}

/// The targets that were named.
fn targets(args: &CompareArgs, setup: &Setup) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    for text in &args.targets {
        match text.trim() {
            "boards" => targets.extend(every_board()),
            "modes" => targets.extend(every_mode(&setup.target)),
            text => targets.push(Target::parse(text)?),
        }
    }
    if targets.is_empty() {
        bail!("--targets names no target; say boards, modes or xavier-nx,agx-orin-64@30W");
    }
    let mut seen: Vec<Target> = Vec::new();
    targets.retain(|t| {
        let new = !seen.contains(t);
        seen.push(*t);
        new
    });
    Ok(targets)
}

fn over_targets(args: &CompareArgs, setup: &Setup, out: &mut impl Write) -> Result<ExitCode> {
    let targets = targets(args, setup)?;
    let folder = history::data_dir();
    let own = |t: &Target| history::calibration(folder.as_deref(), t.board.id);
    let (model, config) = (&setup.model, &setup.config);
    let rows = on_targets(model, &setup.placement, config, &targets, &own)?;
    if let Some(path) = &args.output {
        if path.extension().is_some_and(|e| e == "csv") {
            save_atomic(path, targets_csv(&rows).as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let look = Look {
            palette: Palette::Light,
            date: Some(today()),
        };
        let chart = targets_chart(model, config, &rows);
        return super::chart::save(&chart, path, look);
    }
    if args.json {
        let report = Targets {
            schema: 1,
            model: &model.name,
            engine: config,
            placement: &setup.placement,
            rows: &rows,
        };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{}, {}; {}, batch {}",
        model.name,
        setup.placement.title(),
        config.precision,
        config.batch
    )?;
    writeln!(
        out,
        "\n{:<44} {:>20} {:>9} {:>9} {:>9} {:>9} {:>9}  on the DLA",
        "target", "FPS", "ms", "GPU ms", "DLA ms", "cross ms", "all GPU"
    )?;
    for row in &rows {
        let value = |f: &Figure| f.value().map_or_else(|| "-".to_owned(), short);
        let fps = match &row.estimate.fps {
            Figure::Estimated(e) => format!("{} {}", short(e.value), e.band),
            other => value(other),
        };
        let e = &row.estimate;
        writeln!(
            out,
            "{:<44} {fps:>20} {:>9} {:>9} {:>9} {:>9} {:>9}  {}",
            row.target.to_string(),
            value(&e.latency_ms),
            value(&e.gpu_ms),
            value(&e.dla_ms),
            value(&e.transition_ms),
            value(&row.gpu_fps),
            row.summary
        )?;
        if let Figure::None { reason } = &row.estimate.fps
            && row.summary.refused.is_none()
        {
            writeln!(out, "    no estimate: {reason}")?;
        }
    }
    writeln!(
        out,
        "\nFPS are estimates; each band is of its own board and precision"
    )?;
    Ok(ExitCode::SUCCESS)
}
