//! `dlaplan calibrate`: fits the estimates of the boards you measured to your own runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::estimate::board::{BoardFile, HeldOut};
use crate::history::{PassedOver, RunFilter, Store, data_dir, default_path, own_calibration_path};
use crate::platform::boards;
use crate::tasks::refit::{Refit, refit};
use crate::tasks::survey::{self, SurveyFile};

/// Fit the estimates to your own runs.
///
/// Scales the parameters of the boards you measured to the runs of your history, and writes one
/// file per board to your data folder. Estimates then use that file, with the error seen on runs
/// left out of the fit.
#[derive(Clone, Debug, clap::Args)]
pub struct CalibrateArgs {
    /// The history to fit to; your own if no file is given.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub from_history: Option<Option<PathBuf>>,
    /// Delete what --from-history wrote: estimates use the shipped files again.
    #[arg(long, conflicts_with = "from_history")]
    pub forget: bool,
    /// Take a survey that `dlaplan survey` made on another machine: its runs, its board and its
    /// estimates.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from_history", "forget"])]
    pub import: Option<PathBuf>,
    /// What was done as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the command did.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    files: Vec<Written>,
    /// Runs of the history that say nothing of the estimates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<PassedOver>,
    /// Boards with runs, but too few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    as_shipped: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Written {
    path: PathBuf,
    /// `wrote`; with --check `same` or `differs`; with --forget `deleted`.
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Bands that changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bands: Vec<Change>,
}

impl Written {
    fn of(refit: &Refit) -> Self {
        Self {
            path: refit.path.clone(),
            what: "wrote",
            bands: changes(&refit.before, &refit.after),
            source: Some(refit.after.source.clone()),
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        match &self.source {
            Some(source) => writeln!(out, "{} {}: {source}", self.what, self.path.display())?,
            None => writeln!(out, "{}  {}", self.what, self.path.display())?,
        }
        for Change { was, now } in &self.bands {
            let was = was.map_or(String::new(), |b| format!(" (was {:.0} %)", b * 100.0));
            writeln!(
                out,
                "  {} on {}: ±{:.0} %{was}, {}",
                now.precision,
                now.mix.label(),
                now.band * 100.0,
                now.basis
            )?;
        }
        Ok(())
    }
}

/// A band that own runs changed.
#[derive(Debug, Serialize)]
struct Change {
    was: Option<f64>,
    #[serde(flatten)]
    now: HeldOut,
}

impl Report {
    fn new() -> Self {
        Self {
            schema: 1,
            files: Vec::new(),
            passed_over: Vec::new(),
            as_shipped: Vec::new(),
        }
    }

    fn add(&mut self, path: PathBuf, what: &'static str, source: Option<&str>) {
        self.files.push(Written {
            path,
            what,
            source: source.map(str::to_owned),
            bands: Vec::new(),
        });
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        for run in &self.passed_over {
            writeln!(out, "run {} passed over: {}", run.run, run.reason)?;
        }
        for why in &self.as_shipped {
            writeln!(out, "as shipped: {why}")?;
        }
        for file in &self.files {
            file.print(out)?;
        }
        Ok(())
    }
}

/// A board's new calibration and bands, as the command prints them.
pub(super) fn print_refit(out: &mut impl Write, refit: &Refit) -> Result<()> {
    Written::of(refit).print(out)
}

/// Runs the command.
///
/// # Errors
/// Unreadable measurements or history, a row about something that does not exist, an unwritable
/// folder.
pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    let (report, code) = if args.forget {
        forget()?
    } else if let Some(path) = &args.import {
        import(path)?
    } else {
        let history = args.from_history.as_ref().and_then(Option::as_deref);
        from_history(history)?
    };
    let mut out = super::terminal::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        report.print(&mut out)?;
        if !args.forget && report.files.is_empty() {
            writeln!(
                out,
                "nothing to learn from; `dlaplan profile` on a Jetson adds runs"
            )?;
        }
    }
    Ok(code)
}

fn folder() -> Result<PathBuf> {
    data_dir().context("no folder for your own calibration; name one with DLAPLAN_DATA_DIR")
}

fn import(path: &Path) -> Result<(Report, ExitCode)> {
    let survey = SurveyFile::read(path)?;
    let history = default_path().context("no folder for the history")?;
    let mut store = Store::open(&history)?;
    let (learnt, new) = survey::import(&folder()?, &survey, &mut store)?;
    let mut report = Report::new();
    if let Some(path) = learnt.described {
        report.add(path, "described", Some(learnt.board));
    }
    let runs = format!("{new} new runs from {}", survey.provenance());
    report.add(history, "imported", Some(&runs));
    report.as_shipped = learnt.refits.as_shipped;
    let fitted = !learnt.refits.boards.is_empty();
    report
        .files
        .extend(learnt.refits.boards.iter().map(Written::of));
    Ok((report, ExitCode::from(u8::from(!fitted))))
}

fn from_history(history: Option<&Path>) -> Result<(Report, ExitCode)> {
    let folder = folder()?;
    let path = match history {
        Some(path) if !path.exists() => bail!("{}: there is no such history", path.display()),
        Some(path) => path.to_owned(),
        None => default_path().context("no folder for the history; name a file")?,
    };
    let runs = Store::open(&path)?.runs(&RunFilter {
        finished: true,
        ..RunFilter::default()
    })?;
    let refits = refit(&folder, boards().iter().map(|b| b.id), &runs, None)?;
    let report = Report {
        passed_over: refits.passed_over,
        as_shipped: refits.as_shipped,
        files: refits.boards.iter().map(Written::of).collect(),
        ..Report::new()
    };
    let code = if report.files.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    };
    Ok((report, code))
}

fn changes(before: &BoardFile, after: &BoardFile) -> Vec<Change> {
    let new = after.bands.iter().filter(|b| !before.bands.contains(b));
    new.map(|now| Change {
        was: before
            .bands
            .iter()
            .find(|b| (&b.precision, b.mix) == (&now.precision, now.mix))
            .map(|b| b.band),
        now: now.clone(),
    })
    .collect()
}

fn forget() -> Result<(Report, ExitCode)> {
    let folder = folder()?;
    let mut report = Report::new();
    for board in boards().iter().map(|b| b.id) {
        let path = own_calibration_path(&folder, board);
        match std::fs::remove_file(&path) {
            Ok(()) => report.add(path, "deleted", None),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        }
    }
    Ok((report, ExitCode::SUCCESS))
}
