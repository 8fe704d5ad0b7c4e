//! `dlaplan search`: finds placements, headless.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::engine::{self, Calibration, Run, environment, parse_size};
use crate::estimate::Estimator;
use crate::export::{Document, save_atomic};
use crate::figure::short;
use crate::history;
use crate::model::Model;

use crate::placement::{Device, EngineConfig, IoFormats, Placement, Precision, Site};
use crate::plan::Planner;
use crate::platform::Target;
use crate::search::confirm::{Confirmed, Engine, Event};
use crate::search::problem::Problem;
use crate::search::solvers::{Aim, Solution, minimise};
use crate::search::space::Space;
use crate::search::{
    Answer, Constraints, Costs, Goal, Granularity, Move, Progress, Proposal, Request, explain,
    run as search,
};
use crate::tasks::confirm::{Confirm, earlier};
use crate::tasks::modes::{Chosen, Question, choose, ranks};

use super::args::{MachineArgs, ModelArgs, number, parse_device, whole};
use super::modes::{ModesArgs, table};
use super::series::HistoryArgs;
use super::{interrupt, members};

/// Find the best placement: exact for one engine, anytime for several.
#[derive(Clone, Debug, clap::Args)]
pub struct SearchArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Where it would run: `board`, `board@mode`, `board:tensorrt` or `board@mode:tensorrt`.
    #[arg(long, value_name = "TARGET", default_value_t = Target::default().id())]
    pub target: String,
    /// fp16, int8, int8+fp16 or fp32.
    #[arg(long, default_value_t = Precision::FP16)]
    pub precision: Precision,
    /// Images per inference [default: the model's own].
    #[arg(long, value_parser = whole::<u32>(1..=u64::from(EngineConfig::MAX_BATCH)))]
    pub batch: Option<u32>,
    /// No GPU fallback: never ask the DLA for what it refuses.
    #[arg(long)]
    pub strict: bool,
    /// Type and layout of inputs and outputs: one for both (`fp16:chw`) or `INPUT,OUTPUT`.
    #[arg(long, value_name = "FORMAT[,FORMAT]", default_value_t = IoFormats::default())]
    pub io_formats: IoFormats,

    /// What is wanted.
    #[arg(long, value_enum, default_value_t = GoalName::Latency)]
    pub goal: GoalName,
    /// Floor for `--goal off-gpu`, images per second.
    #[arg(long, value_name = "FPS", required_if_eq("goal", "off-gpu"), value_parser = number)]
    pub min_fps: Option<f64>,
    /// For `--goal transitions`: how much slower than the fastest, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = number)]
    pub max_loss: f64,
    /// Most engines at the same time, for `--goal deployment`.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub engines: u32,
    /// Fewest engines at the same time, for `--goal deployment`.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub min_engines: u32,
    /// Most stages, for `--goal pipeline`.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub stages: u32,

    /// Keep a module on a device ("never touch the head": `--pin head=GPU`).
    #[arg(long, value_name = "MODULE=DEVICE", value_parser = parse_pin)]
    pub pin: Vec<(String, Device)>,
    /// Keep an op on a device.
    #[arg(long, value_name = "OP=DEVICE", value_parser = parse_pin)]
    pub pin_op: Vec<(String, Device)>,
    /// What is decided as one: `ops` (whole kernels), `modules`, or `blocks:N` for whole modules
    /// at depth N.
    #[arg(long, default_value = "modules", value_parser = parse_granularity)]
    pub granularity: Granularity,
    /// Most DLA subgraphs per engine.
    #[arg(long, value_name = "K", value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub max_subgraphs: Option<u32>,
    /// The DLA's global DRAM pool (`256M`), where it is less than TensorRT's own.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub dla_global_dram: Option<u64>,
    /// Most DLA cores used at the same time; all the board has by default.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub dla_cores: Option<u32>,

    /// Power modes and batches to choose from as well.
    #[command(flatten)]
    pub choice: ModesArgs,
    /// Longest time of one inference (`5ms`), of the slowest engine.
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub latency: Option<f64>,
    /// Most power at the wall, of all engines together.
    #[arg(long, value_name = "W", value_parser = number)]
    pub watts: Option<f64>,
    /// Proposals wanted.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole::<usize>(0..=u64::from(u32::MAX)))]
    pub proposals: usize,
    /// Also find the front of FPS, GPU work and transitions.
    #[arg(long, conflicts_with_all = ["modes", "batches"])]
    pub front: bool,
    /// Ends with the best so far after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = number)]
    pub time_limit: f64,
    /// A placement (JSON) to explain the difference from; all GPU if not given.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["modes", "batches"])]
    pub from: Option<PathBuf>,
    /// Where --confirm builds and measures.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Build and measure the proposals and the baselines: baselines first, the estimate learns
    /// from each, Ctrl-C stops and the next call goes on from the history.
    #[arg(long, conflicts_with_all = ["modes", "batches"])]
    pub confirm: bool,
    /// Where figures of --confirm are taken from and kept.
    #[command(flatten)]
    pub history: HistoryArgs,
    /// INT8 ranges of --confirm from a calibration cache; made up without it.
    #[arg(long, value_name = "FILE")]
    pub calib: Option<PathBuf>,
    /// Keep no built engines.
    #[arg(long)]
    pub no_cache: bool,

    /// Writes the best as a placement file for --placement: with --confirm the fastest that was
    /// measured, else the first proposal. Of several engines one file each, numbered, for --together.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The answer as JSON on stdout, progress as JSON lines on stderr.
    #[arg(long)]
    pub json: bool,
    /// Writes the bare problem, its exact solution and the time that took; another solver can
    /// read it (scripts/z3_compare.py).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["modes", "batches"])]
    pub dump_problem: Option<PathBuf>,
}

/// Names of the goals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum GoalName {
    /// Least latency of one engine.
    Latency,
    /// Least energy at the wall per image of one engine.
    Energy,
    /// Least GPU work of one engine that still makes --min-fps.
    OffGpu,
    /// Fewest transitions of one engine at most --max-loss slower than the fastest.
    Transitions,
    /// Most images per second of up to --engines at the same time.
    Deployment,
    /// Most images per second of one network cut into up to --stages.
    Pipeline,
}

fn parse_pin(text: &str) -> Result<(String, Device), String> {
    let (name, device) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=GPU or NAME=DLA"))?;
    let device = parse_device(device)?;
    Ok((name.to_owned(), device))
}

/// `5`, `5ms` or `5 ms`.
fn milliseconds(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let ms = number(text.strip_suffix("ms").unwrap_or(text))?;
    if ms > 0.0 {
        Ok(ms)
    } else {
        Err("give more than 0 ms".to_owned())
    }
}

fn parse_granularity(text: &str) -> Result<Granularity, String> {
    match text.split_once(':') {
        None if text == "ops" => Ok(Granularity::Ops),
        None if text == "modules" => Ok(Granularity::Modules),
        Some(("blocks", depth)) => depth
            .parse()
            .map(Granularity::Blocks)
            .map_err(|e| format!("depth {depth:?}: {e}")),
        _ => Err(format!("{text:?} is not ops, modules or blocks:N")),
    }
}

impl SearchArgs {
    fn goal(&self) -> Result<Goal> {
        Ok(match self.goal {
            GoalName::Latency => Goal::Latency,
            GoalName::Energy => Goal::Energy,
            GoalName::OffGpu => match self.min_fps {
                Some(min_fps) => Goal::OffGpu { min_fps },
                None => bail!("--goal off-gpu needs a floor: --min-fps 100"),
            },
            GoalName::Transitions => Goal::FewestTransitions {
                max_loss: self.max_loss / 100.0,
            },
            GoalName::Deployment => Goal::Deployment {
                most: self.engines,
                least: self.min_engines,
            },
            GoalName::Pipeline => Goal::Pipeline {
                stages: self.stages,
            },
        })
    }

    fn constraints(&self) -> Constraints {
        let module = |(path, device): &(String, Device)| (Site::Module(path.clone()), *device);
        let op = |(name, device): &(String, Device)| (Site::Op(name.clone()), *device);
        Constraints {
            granularity: self.granularity,
            pinned: self
                .pin
                .iter()
                .map(module)
                .chain(self.pin_op.iter().map(op))
                .collect(),
            max_subgraphs: self.max_subgraphs,
            dla_global_dram: self.dla_global_dram,
            dla_cores: self.dla_cores,
        }
    }

    fn request(&self) -> Result<Request> {
        let goal = self.goal()?;
        let capped = self.watts.is_some() || self.latency.is_some();
        if matches!(goal, Goal::Pipeline { .. }) && capped {
            bail!(
                "--watts and --latency cap whole engines; leave them out for the stages of a pipeline"
            );
        }
        if matches!(goal, Goal::Energy) && self.front {
            bail!("--front is of FPS, GPU work and transitions; leave it out or take another goal");
        }
        Ok(Request {
            goal,
            constraints: self.constraints(),
            time_limit: Duration::try_from_secs_f64(self.time_limit)
                .with_context(|| format!("--time-limit {} is not a time", self.time_limit))?,
            proposals: self.proposals,
            max_watts: self.watts,
            max_latency_ms: self.latency,
            least_energy: false,
            front: self.front,
        })
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    model: &'a str,
    target: &'a Target,
    request: &'a Request,
    #[serde(flatten)]
    answer: &'a Answer,
    /// What leads from the placement of `--from`, or all GPU, to the best proposal's engine;
    /// told for single engines.
    difference: &'a [Move],
    /// What --confirm measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<&'a Confirmed>,
    /// Where --output puts the best, a file for each engine.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    written: &'a [PathBuf],
}

/// Runs the command.
///
/// # Errors
/// An unreadable model or placement, an unknown target, constraints that cannot hold.
pub fn run(args: &SearchArgs) -> Result<ExitCode> {
    let from = args.from.as_deref().map(|path| members::documents(&[path]));
    let from = from.transpose()?.unwrap_or_default();
    let files: Vec<_> = from.iter().map(|(path, file)| (*path, file)).collect();
    let (model, _) = args.model.load_for(&files)?;
    let target = Target::parse(&args.target)?;
    let config = EngineConfig {
        precision: args.precision,
        batch: args
            .batch
            .unwrap_or_else(|| EngineConfig::own_batch(&model)),
        dla_core: 0,
        gpu_fallback: !args.strict,
        io: args.io_formats,
    };
    let request = args.request()?;
    if let Some(path) = &args.output {
        may_write(path, &request.goal)?;
    }
    if args.choice.given() {
        return choose_mode(args, &model, target, config, request);
    }
    let planner = Planner::new(&model, &target, &config);
    let estimator = history::estimator(&planner);
    if let Some(path) = &args.dump_problem {
        dump(path, &estimator, &request)?;
    }
    interrupt::catch()?;
    let mut watch = Watch::new(args.json);
    let answer = search(&estimator, &request, &mut |p| watch.see(p));
    watch.bar.finish_and_clear();
    let answer = answer?;
    let confirmed = if args.confirm {
        Some(measure(args, &estimator, &answer, &mut watch)?)
    } else {
        None
    };
    watch.bar.finish_and_clear();
    let started = from.first().map(|(_, file)| &file.placement);
    let difference = difference(started, &estimator, &answer)?;
    let best = best(&answer, confirmed.as_ref());
    let files = match &args.output {
        Some(path) => names(path, best.len()),
        None => Vec::new(),
    };
    let mut out = super::terminal::stdout();
    if args.json {
        let report = Report {
            schema: 1,
            model: &model.name,
            target: &target,
            request: &request,
            answer: &answer,
            difference: &difference,
            confirmed: confirmed.as_ref(),
            written: &files,
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&model, &target, &config, &answer, &difference).as_bytes())?;
        for line in confirmed.iter().flat_map(measured) {
            writeln!(out, "{line}")?;
        }
    }
    // Last, so that the answer is out whatever becomes of the files.
    write(&mut out, args, &model, &target, &files, &best)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the best as placement files, and says so.
fn write(
    out: &mut impl std::io::Write,
    args: &SearchArgs,
    model: &Model,
    target: &Target,
    files: &[PathBuf],
    best: &[Engine],
) -> Result<()> {
    for (file, engine) in files.iter().zip(best) {
        let document = Document::of(model, target, &engine.config, &engine.placement);
        save_atomic(file, document.to_json().as_bytes())?;
    }
    if !args.json {
        match files {
            [] => {}
            [one] => writeln!(out, "written: --placement {}", one.display())?,
            many => {
                let names: Vec<String> = many.iter().map(|p| p.display().to_string()).collect();
                writeln!(out, "written: --together {}", names.join(","))?;
            }
        }
    }
    Ok(())
}

/// What `--json` prints where power modes and batches are chosen too.
#[derive(Serialize)]
struct ModesReport<'a> {
    schema: u32,
    model: &'a str,
    request: &'a Request,
    #[serde(flatten)]
    chosen: &'a Chosen,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    written: &'a [PathBuf],
}

/// Chooses power mode and batch as well. The exit code is 1 where nothing meets the caps.
fn choose_mode(
    args: &SearchArgs,
    model: &Model,
    target: Target,
    config: EngineConfig,
    request: Request,
) -> Result<ExitCode> {
    if !ranks(&request.goal) {
        bail!("--modes and --batches go with --goal latency, energy or deployment");
    }
    let (modes, batches) = (
        args.choice.modes(&target)?,
        args.choice.batches(model, args.batch),
    );
    let question = Question {
        target,
        config,
        modes: &modes,
        batches: &batches,
        request,
        engines: args.engines,
        calibration: &history::calibration(history::data_dir().as_deref(), target.board.id),
    };
    interrupt::catch()?;
    let mut watch = Watch::new(args.json);
    let chosen = choose(model, &question, &mut |step| {
        let which = format!("{}, batch {}: ", step.target.mode.name, step.batch);
        watch.see_in(&which, step.progress)
    });
    watch.bar.finish_and_clear();
    let first = chosen.rows.first();
    let trial = first.and_then(|row| row.proposal.trial());
    let best = trial.map_or_else(Vec::new, |t| t.setup.engines);
    let files = match &args.output {
        Some(path) => names(path, best.len()),
        None => Vec::new(),
    };
    let mut out = super::terminal::stdout();
    if args.json {
        let report = ModesReport {
            schema: 1,
            model: &model.name,
            request: &question.request,
            chosen: &chosen,
            written: &files,
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        let board = target.board.name;
        let (version, config) = (target.tensorrt, &question.config);
        writeln!(
            out,
            "{} on {board}, TensorRT {version}, {}{}\n",
            model.name,
            config.precision,
            config.io_words()
        )?;
        out.write_all(table(&chosen, args.proposals.max(1)).as_bytes())?;
        if let Some(row) = first {
            writeln!(
                out,
                "\nthe best, in {} at batch {}:",
                row.target.mode.name, row.batch
            )?;
            for line in proposal(&row.proposal) {
                writeln!(out, "{line}")?;
            }
        }
        let ms = chosen.elapsed.as_secs_f64() * 1e3;
        let stopped = if chosen.stopped {
            "; some searches were stopped early, so give more --time-limit"
        } else {
            ""
        };
        writeln!(
            out,
            "\n{} searches in {ms:.0} ms{stopped}",
            modes.len() * batches.len()
        )?;
    }
    if let Some(row) = first {
        write(&mut out, args, model, &row.target, &files, &best)?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Refuses before the work what could not be written after it.
fn may_write(path: &Path, goal: &Goal) -> Result<()> {
    let shown = path.display();
    if matches!(goal, Goal::Pipeline { .. }) {
        bail!(
            "--output: the stages of a pipeline are engines of parts of the model, and no placement \
             of the whole says that; --json names the tensors to cut the model at"
        );
    }
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => bail!("--output {shown}: name a file"),
    };
    if path.is_dir() || path.file_name().is_none() {
        bail!("--output {shown} is a folder: name a file in it");
    }
    if !folder.is_dir() {
        bail!("--output {shown}: there is no folder {}", folder.display());
    }
    if path.to_string_lossy().contains(',') {
        bail!("--output {shown}: --together takes no file with a comma in its name");
    }
    Ok(())
}

/// The engines of the fastest that was measured, else of the best proposal.
fn best(answer: &Answer, confirmed: Option<&Confirmed>) -> Vec<Engine> {
    let measured = confirmed.and_then(Confirmed::best);
    match (measured, answer.proposals.first()) {
        (Some(trial), _) => trial.setup.engines.clone(),
        (None, Some(p)) => p.trial().map_or_else(Vec::new, |t| t.setup.engines),
        (None, None) => Vec::new(),
    }
}

/// A file for each engine: `best.json`, or `best-1.json`, `best-2.json`.
fn names(path: &Path, engines: usize) -> Vec<PathBuf> {
    if engines < 2 {
        return vec![path.to_owned(); engines];
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let dot = if extension.is_empty() { "" } else { "." };
    (1..=engines)
        .map(|number| path.with_file_name(format!("{stem}-{number}{dot}{extension}")))
        .collect()
}

fn difference(
    from: Option<&Placement>,
    estimator: &Estimator<'_, '_>,
    answer: &Answer,
) -> Result<Vec<Move>> {
    let planner = estimator.planner();
    let from = planner.plan_placement(from.unwrap_or(&Placement::default()))?;
    match answer.proposals.first().map(|p| &p.engines[..]) {
        Some([engine]) => {
            let to = planner.plan_placement(&engine.placement)?;
            Ok(explain(estimator, &from, &to))
        }
        _ => Ok(Vec::new()),
    }
}

/// Builds and measures what was found, on this machine.
fn measure(
    args: &SearchArgs,
    estimator: &Estimator<'_, '_>,
    answer: &Answer,
    watch: &mut Watch,
) -> Result<Confirmed> {
    let planner = estimator.planner();
    let (model, target) = (planner.model(), planner.target());
    let here = args.machine.environment()?;
    let mut history = args.history.open()?;
    let earlier = match &mut history {
        None => Vec::new(),
        Some(store) => store.runs(&earlier(model))?,
    };
    let absolute = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("where is {}?", path.display()))
    };
    let path = args.model.absolute()?;
    let mut template = engine::Request::new(path, Placement::default(), planner.config().clone());
    template.inputs = model.given_inputs();
    template.per_layer = false;
    template.pools.dla_global_dram = args.dla_global_dram;
    if let Some(path) = &args.calib {
        template.calibration = Calibration::Cache {
            path: absolute(path)?,
        };
    }
    if !args.no_cache {
        template.cache_dir = environment::engines_dir();
    }
    template.check()?;
    let worker = args.machine.worker()?;
    let mut lost = None;
    let mut keep = |run: &Run| {
        if let Some(store) = &mut history
            && let Err(e) = store.insert_run(run)
        {
            lost = Some(e);
        }
    };
    let confirm = Confirm {
        model,
        target: *target,
        template,
        worker: &worker,
        machine: &here,
    };
    let confirmed = confirm.run(
        answer.trials(),
        earlier,
        &mut keep,
        &interrupt::pending,
        &mut |event| watch.confirm(&event),
    );
    if let Some(e) = lost {
        // The figures are worth more than their record.
        log::warn!("runs are missing from the history: {e}");
    }
    Ok(confirmed)
}

/// Measured trials for people.
fn measured(confirmed: &Confirmed) -> Vec<String> {
    let mut lines = vec![String::new(), "measured:".into()];
    for t in &confirmed.trials {
        let estimate = t
            .estimate
            .as_ref()
            .map_or(String::new(), |e| format!(", {e}"));
        lines.push(match (&t.measured, &t.failure) {
            (Some(m), _) => {
                let from = if t.from_history {
                    ", from the history"
                } else {
                    ""
                };
                format!(
                    "  {}: {} FPS ({} to {}){estimate}{from}",
                    t.name,
                    short(m.value),
                    short(m.min),
                    short(m.max)
                )
            }
            (None, Some(why)) => format!("  {}: no figure: {why}", t.name),
            (None, None) => format!("  {}: not measured yet{estimate}", t.name),
        });
    }
    if confirmed.cancelled {
        lines.push("stopped; the same command goes on from the history".into());
    }
    lines
}

/// Progress on stderr: a spinner for people, JSON lines for programs.
struct Watch {
    bar: ProgressBar,
    json: bool,
    last: Option<f64>,
    stage: &'static str,
}

impl Watch {
    fn new(json: bool) -> Self {
        let bar = if json || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner())
        };
        Self {
            bar,
            json,
            last: None,
            stage: "",
        }
    }

    fn confirm(&mut self, event: &Event<'_>) {
        let (trial, what, done, of) = match event {
            Event::Stage {
                trial,
                stage,
                done,
                of,
            } => (trial, *stage, done, of),
            Event::Done { trial, done, of } => (trial, "done", done, of),
        };
        if self.json {
            let line = serde_json::json!({
                "stage": what, "trial": trial.name, "done": done, "of": of,
                "fps": trial.measured.as_ref().map(|m| m.value),
            });
            // Nobody reading progress is no reason to stop.
            writeln!(std::io::stderr(), "{line}").ok();
        } else {
            self.bar
                .set_message(format!("{}/{of} {}: {what}", done + 1, trial.name));
            self.bar.tick();
        }
    }

    fn see(&mut self, p: &Progress) -> ControlFlow<()> {
        self.see_in("", p)
    }

    /// The same for one of several searches.
    fn see_in(&mut self, which: &str, p: &Progress) -> ControlFlow<()> {
        if interrupt::pending() {
            return ControlFlow::Break(());
        }
        if p.best == self.last && p.stage == self.stage {
            self.bar.tick();
            return ControlFlow::Continue(());
        }
        (self.last, self.stage) = (p.best, p.stage);
        if self.json {
            let line = serde_json::json!({
                "stage": format!("{which}{}", p.stage),
                "elapsed_ms": p.elapsed.as_secs_f64() * 1e3,
                "best": p.best,
                "bound": p.bound,
            });
            // Nobody reading progress is no reason to stop.
            writeln!(std::io::stderr(), "{line}").ok();
        } else {
            let best = p.best.map(|b| format!(", best so far {}", short(b)));
            self.bar
                .set_message(format!("{which}{}{}", p.stage, best.unwrap_or_default()));
        }
        ControlFlow::Continue(())
    }
}

/// The problem as `--dump-problem` writes it.
#[derive(Serialize)]
struct Dump<'a> {
    name: String,
    problem: &'a Problem,
    solution: &'a Solution,
    /// Median of several solutions from scratch, seconds.
    solve_seconds: f64,
}

fn dump(path: &Path, estimator: &Estimator<'_, '_>, request: &Request) -> Result<()> {
    const TIMES: usize = 9;
    let costs = Costs::of(estimator).map_err(anyhow::Error::msg)?;
    let planner = estimator.planner();
    let space = Space::new(planner, &costs, &request.constraints)?;
    let mut times = Vec::new();
    let mut solution = None;
    for _ in 0..TIMES {
        let start = Instant::now();
        let mut go = |_: Option<&Solution>| {
            if start.elapsed() > request.time_limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let solved = minimise(&space.problem, Aim::Latency, &mut go)?;
        times.push(start.elapsed());
        solution = Some(solved);
    }
    times.sort_unstable();
    let Some(solution) = solution else {
        return Ok(());
    };
    let config = planner.config();
    let dump = Dump {
        name: format!(
            "{} {} {} {:?}",
            planner.model().name,
            planner.target().board.id,
            config.precision,
            request.constraints.granularity
        ),
        problem: &space.problem,
        solution: &solution,
        solve_seconds: times[TIMES / 2].as_secs_f64(),
    };
    Ok(save_atomic(path, &serde_json::to_vec(&dump)?)?)
}

/// The answer for people.
fn text(
    model: &Model,
    target: &Target,
    config: &EngineConfig,
    answer: &Answer,
    difference: &[Move],
) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "{} on {target}, {}, batch {}{}",
        model.name,
        config.precision,
        config.batch,
        config.io_words()
    ));
    for p in answer.proposals.iter().chain(&answer.baselines) {
        line(String::new());
        for l in proposal(p) {
            line(l);
        }
    }
    if !difference.is_empty() {
        line(String::new());
        line("why the first one:".into());
        for m in difference {
            line(format!("  {m}"));
        }
    }
    if !answer.front.is_empty() {
        line(String::new());
        let kind = if answer.front_complete {
            "all"
        } else {
            "a sample"
        };
        line(format!("front ({kind}): FPS, GPU ms, transitions"));
        for p in &answer.front {
            let gpu = p.gpu_ms().map_or("?".into(), short);
            line(format!(
                "  {}, {gpu}, {}",
                p.fps.with_unit("FPS"),
                p.transitions
            ));
        }
    }
    line(String::new());
    let ms = format!("{:.0} ms", answer.elapsed.as_secs_f64() * 1e3);
    let (method, stopped) = (
        &answer.method,
        if answer.stopped {
            ", stopped early"
        } else {
            ""
        },
    );
    line(match answer.gap {
        Some(0.0) => format!("optimal for this estimate ({method}; {ms}{stopped})"),
        Some(gap) => format!(
            "at most {:.2} % from the optimum ({method}; {ms}{stopped})",
            gap * 100.0
        ),
        None => format!("{method} in {ms}{stopped}; not proven optimal"),
    });
    out
}

fn proposal(p: &Proposal) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", p.name, p.fps.with_unit("FPS"))];
    for (e, number) in p.engines.iter().zip(1..) {
        if p.engines.len() > 1 {
            let core = match e.estimate.dla_ms.value() {
                Some(ms) if ms > 0.0 => format!(", DLA core {}", e.config.dla_core),
                _ => String::new(),
            };
            lines.push(format!(
                "  engine {number}{core}: {}",
                e.fps.with_unit("FPS")
            ));
        }
        lines.push(format!("  {}", e.summary));
        let parts = [
            ("GPU", &e.estimate.gpu_ms),
            ("DLA", &e.estimate.dla_ms),
            ("transitions", &e.estimate.transition_ms),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, figure)| figure.value() != Some(0.0))
            .map(|(what, figure)| format!("{what} {}", figure.with_unit("ms")))
            .collect();
        lines.push(format!("  {}", parts.join(", ")));
        if e.power.wall_watts.value().is_some() {
            lines.push(format!(
                "  wall power alone {}, {} per image",
                e.power.wall_watts.with_unit("W"),
                e.power.wall_mj_per_image.with_unit("mJ")
            ));
        }
        let said = e.placement.overrides.iter();
        let said: Vec<String> = said
            .map(|(site, device)| format!(", {site} = {device}"))
            .collect();
        lines.push(format!(
            "  default {}{}",
            e.placement.default,
            said.concat()
        ));
    }
    for s in &p.stages {
        let core = s.core.map_or(String::new(), |c| c.to_string());
        lines.push(format!(
            "  stage {} on {}{core}: from {} to {}",
            s.what,
            s.device,
            s.inputs.join(", "),
            s.outputs.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::load_bundled;
    use crate::search::confirm::Trial;

    #[test]
    fn what_was_measured_counts_more_than_the_estimate() {
        let model = load_bundled("resnet18").unwrap();
        let (target, config) = (Target::default(), EngineConfig::default());
        let planner = Planner::new(&model, &target, &config);
        let estimator = Estimator::new(&planner);
        let request = Request::new(Goal::Latency);
        let answer = search(&estimator, &request, &mut |_| ControlFlow::Continue(())).unwrap();
        let proposed = answer.trials().pop().unwrap();
        assert_eq!(best(&answer, None).len(), 1);
        let mut fastest: Trial = answer.trials().into_iter().find(|t| t.baseline).unwrap();
        fastest.setup.engines[0].placement = Placement::all(Device::Dla);
        let mut confirmed = Confirmed {
            trials: vec![fastest.clone(), proposed],
            cancelled: false,
        };
        // Nothing measured: the estimate's.
        assert_ne!(best(&answer, Some(&confirmed)), fastest.setup.engines);
        confirmed.trials[0].measured = engine::Measurement::measured(&[9.0; 5], "here");
        assert_eq!(best(&answer, Some(&confirmed)), fastest.setup.engines);
    }

    #[test]
    fn engines_share_a_name() {
        let names = |path: &str, n| names(Path::new(path), n);
        assert_eq!(names("a/b.json", 1), [Path::new("a/b.json")]);
        let two = ["a/b-1.txt", "a/b-2.txt"].map(PathBuf::from);
        assert_eq!(names("a/b.txt", 2), two);
        assert_eq!(names("b", 2), ["b-1", "b-2"].map(PathBuf::from));
        assert!(names("b", 0).is_empty());
    }
}
