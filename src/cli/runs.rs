//! `dlaplan runs`: what was measured, from the history.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::engine::{Mark, Measurement, Outcome};
use crate::export::save_atomic;
use crate::figure::short;
use crate::history::{Item, ReferenceSet, RunFilter, Store, StoredRun, default_path};

use super::args::whole;

/// List, compare, delete and export measured runs.
#[derive(Clone, Debug, clap::Args)]
pub struct RunsArgs {
    /// Only runs of models with this short name.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Only runs with figures.
    #[arg(long)]
    pub finished: bool,
    /// The newest N.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub limit: Option<u32>,
    /// One run in full, as JSON.
    #[arg(long, value_name = "ID", group = "action")]
    pub show: Option<i64>,
    /// The newest two figures side by side: `--compare 3,7`.
    #[arg(
        long,
        value_name = "ID,ID",
        value_delimiter = ',',
        num_args = 1,
        group = "action"
    )]
    pub compare: Vec<i64>,
    /// Delete runs; --restore takes it back.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', group = "action")]
    pub delete: Vec<i64>,
    /// Bring deleted runs back.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', group = "action")]
    pub restore: Vec<i64>,
    /// Take in a table of published measurements (assets/references shows the format).
    #[arg(long, value_name = "FILE", group = "action")]
    pub import: Option<PathBuf>,
    /// Write the runs as CSV, `-` for standard output.
    #[arg(long, value_name = "FILE", group = "action")]
    pub csv: Option<PathBuf>,
    /// History file; by default the user's.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// The list as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// The history cannot be read or written, or has no such run.
pub fn run(args: &RunsArgs) -> Result<ExitCode> {
    let path = args.history.clone().or_else(default_path);
    let path = path.context("no folder for the history; name a file with --history")?;
    let mut store = Store::open(&path)?;
    let mut out = super::terminal::stdout();
    let filter = RunFilter {
        model: args.model.clone(),
        finished: args.finished,
        limit: args.limit,
        ..RunFilter::default()
    };
    if let Some(id) = args.show {
        serde_json::to_writer_pretty(&mut out, &one(&mut store, id)?.run)?;
        writeln!(out)?;
    } else if let [a, b] = args.compare[..] {
        let (a, b) = (one(&mut store, a)?, one(&mut store, b)?);
        compare(&mut out, &a, &b)?;
    } else if !args.compare.is_empty() {
        bail!("--compare takes two runs, such as --compare 3,7");
    } else if !args.delete.is_empty() {
        changed(&mut out, "deleted", &args.delete, |items| {
            store.delete(items)
        })?;
    } else if !args.restore.is_empty() {
        changed(&mut out, "restored", &args.restore, |items| {
            store.restore(items)
        })?;
    } else if let Some(file) = &args.import {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let set = ReferenceSet::parse(&file.display().to_string(), &text)?;
        store.import_references(&set)?;
        writeln!(out, "{}: {} rows", set.title, set.rows.len())?;
    } else if let Some(file) = &args.csv {
        let text = store.export_csv(&filter)?;
        if file.as_os_str() == "-" {
            out.write_all(text.as_bytes())?;
        } else {
            save_atomic(file, text.as_bytes())?;
        }
    } else {
        list(&mut out, &store.runs(&filter)?, args.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn one(store: &mut Store, id: i64) -> Result<StoredRun> {
    let run = store.run(id)?;
    run.with_context(|| format!("the history has no run {id}; `dlaplan runs` lists them"))
}

fn changed<E: std::error::Error + Send + Sync + 'static>(
    out: &mut impl Write,
    what: &str,
    ids: &[i64],
    change: impl FnOnce(&[Item]) -> Result<Vec<Item>, E>,
) -> Result<()> {
    let items: Vec<Item> = ids.iter().map(|id| Item::Run(*id)).collect();
    let done = change(&items)?;
    if let Some(Item::Run(id) | Item::Kept(id)) = items.iter().find(|i| !done.contains(i)) {
        bail!(
            "run {id} was not {what}: there is none; {} of {} were",
            done.len(),
            items.len()
        );
    }
    writeln!(
        out,
        "{what} {} run{}",
        done.len(),
        if done.len() == 1 { "" } else { "s" }
    )?;
    Ok(())
}

fn list(out: &mut impl Write, runs: &[StoredRun], json: bool) -> Result<()> {
    if json {
        let rows: Vec<_> = runs
            .iter()
            .map(|r| serde_json::json!({"id": r.id, "run": r.run}))
            .collect();
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
        return Ok(());
    }
    if runs.is_empty() {
        writeln!(out, "no such runs; `dlaplan profile` adds one")?;
    }
    for stored in runs {
        let run = &stored.run;
        let figures = match &run.outcome {
            Outcome::Finished(m) => {
                let energy = m.mj_per_image.value();
                format!(
                    "{} FPS ({} to {}){}",
                    short(m.fps.value),
                    short(m.fps.min),
                    short(m.fps.max),
                    energy.map_or(String::new(), |mj| format!(", {} mJ", short(mj)))
                )
            }
            Outcome::Failed(_) => "failed".into(),
        };
        let marks: Vec<_> = run.marks.iter().map(Mark::title).collect();
        writeln!(
            out,
            "{:>5}  {}  {:<16} {:<9} batch {:<3} {:<32} {figures}{}{}{}",
            stored.id,
            crate::tasks::words::date(run.started_ms),
            run.model.name,
            run.request.config.precision.as_str(),
            run.request.config.batch,
            run.request.placement.title(),
            if run.stands_for_placement() || run.measurement().is_none() {
                ""
            } else {
                ", not run as asked"
            },
            if marks.is_empty() { "" } else { "; " },
            marks.join(", "),
        )?;
    }
    Ok(())
}

fn compare(out: &mut impl Write, a: &StoredRun, b: &StoredRun) -> Result<()> {
    for stored in [a, b] {
        writeln!(
            out,
            "{}: {} {}, {}",
            stored.id,
            stored.run.model.name,
            stored.run.request.config.precision,
            stored.run.request.placement.title()
        )?;
    }
    let (Some(x), Some(y)) = (a.run.measurement(), b.run.measurement()) else {
        bail!("only runs with figures compare; `dlaplan runs --finished` lists them");
    };
    let mut row = |what: &str, unit: &str, x: f64, y: f64| {
        writeln!(
            out,
            "{what:<10} {:>10} {:>10} {unit:<4} {:+.1} %",
            short(x),
            short(y),
            (y / x - 1.0) * 100.0
        )
    };
    row("throughput", "FPS", x.fps.value, y.fps.value)?;
    row("latency", "ms", x.latency.median, y.latency.median)?;
    let kind = |m: &Measurement| m.energy.as_ref().map(|e| e.kind);
    if let (Some(mj), Some(other)) = (x.mj_per_image.value(), y.mj_per_image.value())
        && kind(x) == kind(y)
    {
        row("energy", "mJ", mj, other)?;
    }
    Ok(())
}
