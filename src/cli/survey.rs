//! `dlaplan survey`: measures a board with small networks and fits its estimates to them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::history::{RunFilter, data_dir};
use crate::tasks::rules::Judged;
use crate::tasks::survey::{Learnt, Survey, describe_machine, earlier, finish};

use super::args::{BoardSettingsArgs, MachineArgs, whole};
use super::interrupt;
use super::series::{HistoryArgs, keep, progress, spinner};

/// Measure a board with small networks and fit its estimates to them.
///
/// Takes the minutes of --minutes at most. Hardware that dlaplan does not know becomes a board that can be
/// planned for. Ctrl-C stops; the same command goes on from there.
#[derive(Clone, Debug, clap::Args)]
pub struct SurveyArgs {
    /// Where engines are built and measured.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// What the machine is set to meanwhile.
    #[command(flatten)]
    pub settings: BoardSettingsArgs,
    /// Stop after so many minutes; what was measured until then counts.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u64>(1..=600))]
    pub minutes: u64,
    /// Where results are taken from and kept.
    #[command(flatten)]
    pub history: HistoryArgs,
    /// Where the survey is written, to share it; by default the data folder's surveys/BOARD.json.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What was learnt as JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// What a survey came to.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    board: &'static str,
    target: String,
    /// Where the board's description is, where no list knew it.
    described: Option<PathBuf>,
    survey: PathBuf,
    done: usize,
    of: usize,
    calibration: Option<PathBuf>,
    source: Option<String>,
    why_not_fitted: Vec<String>,
    /// What the machine's TensorRT says of the DLA's rules; none where it has no DLA.
    rules: Option<Vec<Judged>>,
}

/// Runs the command; the exit code is 1 where nothing could be fitted.
///
/// # Errors
/// The machine cannot measure, its hardware cannot be described, or a file cannot be written.
pub fn run(args: &SurveyArgs) -> Result<ExitCode> {
    let folder = data_dir().context("no data folder; name one with DLAPLAN_DATA_DIR")?;
    let mut history = args.history.open()?;
    let settings = args.settings.settings();
    let machine = args.machine.able_with(settings)?;
    let mut worker = args.machine.worker()?;
    worker.command = worker.command.with(settings);
    let board = describe_machine(&machine)?;
    let before = match &mut history {
        Some(store) => earlier(store)?,
        None => Vec::new(),
    };
    let cache = tempfile::tempdir().context("no folder for the engines of the survey")?;
    interrupt::catch()?;
    let bar = spinner();
    let mut lost = None;
    let mut keep = keep(&mut history, &mut lost);
    let survey = Survey {
        worker: &worker,
        machine: &machine,
        limit: Duration::from_mins(args.minutes),
        cache: Some(cache.path().to_owned()),
    };
    let surveyed = survey.run(before, &mut keep, &interrupt::pending, &mut |p| {
        bar.set_message(progress(p));
        bar.tick();
    })?;
    bar.set_message("fitting");
    drop(keep);
    if let Some(e) = lost {
        log::warn!("runs are missing from the history: {e}");
    }
    let others = match &mut history {
        Some(store) => store.runs(&RunFilter {
            finished: true,
            ..RunFilter::default()
        })?,
        None => Vec::new(),
    };
    let (done, of) = (surveyed.done, surveyed.of);
    let output = args.output.as_deref();
    let finished = finish(&folder, &machine, board, surveyed, output, others)?;
    bar.finish_and_clear();
    let learnt = &finished.learnt;
    let fitted = learnt.refits.boards.first();
    let report = Report {
        schema: 1,
        board: learnt.board,
        target: finished.target.id(),
        described: learnt.described.clone(),
        survey: finished.file.clone(),
        done,
        of,
        calibration: fitted.map(|f| f.path.clone()),
        source: fitted.map(|f| f.after.source.clone()),
        why_not_fitted: learnt.refits.as_shipped.clone(),
        rules: finished.rules,
    };
    write(args, &report, learnt)?;
    Ok(ExitCode::from(u8::from(fitted.is_none())))
}

fn write(args: &SurveyArgs, report: &Report, learnt: &Learnt) -> Result<()> {
    let mut out = super::terminal::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "{} of {} steps measured", report.done, report.of)?;
    if let Some(path) = &report.described {
        writeln!(
            out,
            "board {}, described in {}",
            report.board,
            path.display()
        )?;
    }
    writeln!(out, "survey  {}", report.survey.display())?;
    for why in &report.why_not_fitted {
        writeln!(out, "not fitted: {why}")?;
    }
    for fitted in &learnt.refits.boards {
        super::calibrate::print_refit(&mut out, fitted)?;
    }
    match &report.rules {
        None => writeln!(out, "DLA rules not asked about: the machine has no DLA")?,
        Some(judged) => write_rules(&mut out, judged)?,
    }
    writeln!(out, "plan for it with --target {}", report.target)?;
    Ok(())
}

/// How many cases TensorRT and the plan agree on, and those they do not.
pub(super) fn write_rules(out: &mut impl Write, judged: &[Judged]) -> Result<()> {
    let agree = judged.iter().filter(|j| j.agrees == Some(true)).count();
    let decided = judged.iter().filter(|j| j.agrees.is_some()).count();
    writeln!(
        out,
        "DLA rules: TensorRT agrees with the plan in {agree} of {decided} cases at their edges"
    )?;
    for case in judged.iter().filter(|j| j.agrees != Some(true)) {
        writeln!(out, "  {}", case.text())?;
    }
    Ok(())
}
