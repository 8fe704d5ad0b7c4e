//! Surveying a board: small networks of dlaplan's own, built and measured within minutes, from
//! which the board's estimates are fitted. Hardware that no list knows becomes a board.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::engine::client::Update;
use crate::engine::{
    Environment, NumericReference, Outcome, Request, Run, Timing, environment, unix_ms,
};
use crate::history::{RunFilter, Store, StoredRun};
use crate::model::onnx::{LoadOptions, open, survey_network, survey_networks};
use crate::model::{Model, ModelSource};
use crate::placement::{Device, EngineConfig, IoFormats, Placement, Precision};
use crate::platform::{BoardDescription, Target, describe};
use crate::search::confirm::{Engine, Setup};
use crate::tasks::progress::Progress;

use super::confirm::same_machine;
use super::described::keep_description;
use super::measure::{Worker, measure};
use super::refit::{Refits, refit, save};
use super::rules::{self, Judged, RuleAnswer, judge};
use super::sweep;

/// Time kept free at the end for the fit.
const FOR_THE_FIT: Duration = Duration::from_secs(20);
/// So many networks are also measured in FP32, and half on the DLA.
const FIRST: usize = 4;
/// So many networks are measured two at the same time.
const PAIRS: usize = 3;
/// So many networks at the end take TensorRT long to build: they are measured when all else is.
const SLOW: usize = 1;
/// Largest survey file that is read, bytes.
const MAX_FILE: u64 = 256 << 20;

/// One thing that a survey measures: an engine, or several at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// In words.
    pub title: String,
    /// The network.
    pub model: PathBuf,
    /// The engines.
    pub setup: Setup,
}

/// What a survey has come to.
#[derive(Clone, Debug, Default)]
pub struct Surveyed {
    /// The runs, those of earlier surveys too.
    pub runs: Vec<Run>,
    /// Steps with a result.
    pub done: usize,
    /// All steps.
    pub of: usize,
    /// What TensorRT said of the DLA's rules.
    pub rules: Vec<RuleAnswer>,
}

/// A survey of one machine.
#[derive(Clone, Debug)]
pub struct Survey<'s> {
    /// What builds and measures.
    pub worker: &'s Worker,
    /// The machine.
    pub machine: &'s Environment,
    /// It ends after this time at the latest.
    pub limit: Duration,
    /// For engines and timings that the steps share.
    pub cache: Option<PathBuf>,
}

/// The runs whose results a survey takes over: those of its networks.
pub fn earlier(store: &mut Store) -> Result<Vec<StoredRun>> {
    let mut all = Vec::new();
    for network in survey_networks() {
        all.extend(store.runs(&RunFilter {
            model: Some(network.name.to_owned()),
            ..RunFilter::default()
        })?);
    }
    Ok(all)
}

fn config(precision: Precision, batch: u32) -> EngineConfig {
    EngineConfig {
        precision,
        batch,
        dla_core: 0,
        gpu_fallback: true,
        io: IoFormats::default(),
    }
}

/// The first half of a network on the DLA, the rest on the GPU.
fn halves(model: &Model) -> Placement {
    let mut placement = Placement::all(Device::Gpu);
    for op in model.ops.iter().take(model.ops.len() / 2) {
        placement = placement.with_op(&op.name, Device::Dla);
    }
    placement
}

/// What is measured on a machine with so many DLA cores, that which tells most first.
///
/// # Errors
/// A network of the survey cannot be read: a defect of the program.
pub fn steps(dla_cores: u32) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut models = Vec::new();
    for network in survey_networks() {
        let path = ModelSource::Bundled(network.name).to_path();
        models.push((path.clone(), open(&path, &LoadOptions::default())?));
    }
    let engine = |precision: Precision, batch, placement: &Placement| Engine {
        config: config(precision, batch),
        placement: placement.clone(),
    };
    let gpu = Placement::all(Device::Gpu);
    let dla = Placement::all(Device::Dla);
    let mut add = |(path, model): &(PathBuf, Model), what: &str, engines: Vec<Engine>| {
        let first = engines
            .first()
            .map(|e| e.config.clone())
            .unwrap_or_default();
        let name = model.name.trim_start_matches("survey-");
        steps.push(Step {
            title: format!("{name}, {} batch {}{what}", first.precision, first.batch),
            model: path.clone(),
            setup: Setup { engines },
        });
    };
    let (models, slow) = models.split_at(models.len().saturating_sub(SLOW));
    let first = models.get(..FIRST).unwrap_or(models);
    // Each round measures every network once, so that a survey that is cut short has seen as many
    // networks as it could, at all of these.
    let kinds = [
        (Precision::FP16, 1),
        (Precision::INT8, 8),
        (Precision::FP16, 8),
        (Precision::INT8, 1),
    ];
    for round in 0..kinds.len() {
        for (i, model) in models.iter().enumerate() {
            let (precision, batch) = kinds[(i + round) % kinds.len()];
            let alone = engine(precision, batch, &gpu);
            add(model, "", vec![alone.clone()]);
            // Built already.
            if round == 0 && i < PAIRS {
                add(model, " twice at once", vec![alone.clone(), alone]);
            }
            if dla_cores > 0 && batch == 1 {
                add(model, " on the DLA", vec![engine(precision, 1, &dla)]);
                if i < FIRST {
                    let split = halves(&model.1);
                    add(model, " on both", vec![engine(precision, 1, &split)]);
                }
            }
        }
        if round > 0 {
            continue;
        }
        if let [one, ..] = first
            && dla_cores > 0
        {
            let on_dla = engine(Precision::FP16, 1, &dla);
            let on_gpu = engine(Precision::FP16, 1, &gpu);
            add(one, " on GPU and DLA at once", vec![on_gpu, on_dla.clone()]);
            if dla_cores > 1 {
                let mut other = on_dla.clone();
                other.config.dla_core = 1;
                add(one, " on two DLA cores at once", vec![other, on_dla]);
            }
        }
    }
    for model in first {
        add(model, "", vec![engine(Precision::FP32, 1, &gpu)]);
    }
    for model in slow {
        for batch in [1, 8] {
            add(model, "", vec![engine(Precision::FP16, batch, &gpu)]);
        }
    }
    Ok(steps)
}

impl Survey<'_> {
    fn request(&self, step: &Step, engine: &Engine) -> Request {
        let mut request = Request::new(
            step.model.clone(),
            engine.placement.clone(),
            engine.config.clone(),
        );
        request.numeric = NumericReference::None;
        request.cache_dir.clone_from(&self.cache);
        request.timing = Timing {
            warm_up_ms: 300,
            duration_ms: 200,
            repeats: 5,
            ..Timing::default()
        };
        request
    }

    /// Asks about the DLA's rules, then measures until all is done, the time is over or `stopped`,
    /// which is asked at least ten times a second. Results of `earlier` runs on this machine are
    /// taken over; `keep` gets each new run.
    ///
    /// # Errors
    /// A network of the survey cannot be read.
    pub fn run(
        &self,
        earlier: Vec<StoredRun>,
        keep: &mut dyn FnMut(&Run),
        stopped: &dyn Fn() -> bool,
        hear: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Surveyed> {
        let steps = steps(self.machine.dla_cores.unwrap_or(0))?;
        let here = |run: &Run| {
            same_machine(&run.environment, self.machine)
                && run.environment.tensorrt == self.machine.tensorrt
                && run.environment.gpu == self.machine.gpu
        };
        let earlier = earlier.into_iter().map(|stored| stored.run);
        let mut runs: Vec<Run> = earlier.filter(here).collect();
        let begun = Instant::now();
        let limit = self.limit.saturating_sub(FOR_THE_FIT);
        let over = || stopped() || begun.elapsed() >= limit;
        let rules = rules::ask(self.worker, self.machine, &over, hear);
        let mut open_steps = Vec::new();
        for step in &steps {
            let of: Vec<Run> = of_model(&runs, step);
            if sweep::known(&of, &step.setup, true) == sweep::Result::Open {
                open_steps.push(step);
            }
        }
        let known = steps.len() - open_steps.len();
        let mut measured = 0;
        let left = |measured: usize| {
            let until = limit.saturating_sub(begun.elapsed());
            let each = begun.elapsed().checked_div(measured as u32);
            let open = (open_steps.len() - measured) as u32;
            each.map_or(until, |each| until.min(each * open))
        };
        for step in &open_steps {
            if over() {
                break;
            }
            let model = open(&step.model, &LoadOptions::default())?;
            let mut tell = |stage: &str| {
                hear(&Progress {
                    title: &step.title,
                    stage,
                    done: known + measured,
                    of: steps.len(),
                    left: Some(left(measured)),
                });
            };
            tell("starting");
            let engines = step.setup.engines.iter();
            let requests: Vec<Request> = engines.map(|e| self.request(step, e)).collect();
            // One build after the other: three at once took TensorRT 8.5 five times as long each.
            let new = measure(
                self.worker,
                &model,
                &requests,
                &environment::target,
                &mut |_, update| {
                    match update {
                        Update::Progress { stage, .. } => tell(stage.label()),
                        Update::Warning(text) => log::info!("{text}"),
                        _ => {}
                    }
                    if over() {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
            let all: Vec<&Run> = new.iter().collect();
            if sweep::result(&all, false) == sweep::Result::Open {
                break;
            }
            for run in &new {
                keep(run);
                if let Outcome::Failed(failure) = &run.outcome {
                    log::warn!("{}: {}", step.title, failure.message);
                }
            }
            runs.extend(new);
            measured += 1;
        }
        let done = known + measured;
        Ok(Surveyed {
            runs,
            done,
            of: steps.len(),
            rules,
        })
    }
}

fn of_model(runs: &[Run], step: &Step) -> Vec<Run> {
    let of = runs.iter().filter(|r| r.request.model == step.model);
    of.cloned().collect()
}

/// A survey as a file that can be shared: its machine, the board it describes, and all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurveyFile {
    /// Version of this format.
    pub schema: u32,
    /// When it was written, ms since 1970 (UTC).
    pub made_ms: u64,
    /// The dlaplan that wrote it.
    pub dlaplan: String,
    /// The machine.
    pub machine: Environment,
    /// The board, where no list knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<BoardDescription>,
    /// The runs, without samples and logs.
    pub runs: Vec<Run>,
    /// What its TensorRT said of the DLA's rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleAnswer>,
}

impl SurveyFile {
    /// The format this program reads and writes.
    pub const SCHEMA: u32 = 1;

    /// Of what was measured; without what only those who measured can use.
    pub fn new(machine: &Environment, board: Option<BoardDescription>, runs: &[Run]) -> Self {
        let slim = |run: &Run| {
            let mut run = run.clone();
            run.log.clear();
            run.telemetry = crate::engine::Telemetry::default();
            run.request.cache_dir = None;
            if let Outcome::Finished(m) = &mut run.outcome {
                m.inspector = None;
                m.latency_samples_ms.clear();
            }
            run
        };
        Self {
            schema: Self::SCHEMA,
            made_ms: unix_ms(),
            dlaplan: env!("CARGO_PKG_VERSION").to_owned(),
            machine: machine.clone(),
            board,
            runs: runs.iter().map(slim).collect(),
            rules: Vec::new(),
        }
    }

    /// The same with what TensorRT said of the DLA's rules.
    #[must_use]
    pub fn with_rules(self, rules: Vec<RuleAnswer>) -> Self {
        Self { rules, ..self }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no survey, or has runs of other networks than the survey's.
    pub fn read(path: &Path) -> Result<Self> {
        let place = || path.display().to_string();
        let bytes = std::fs::metadata(path).with_context(place)?.len();
        ensure!(
            bytes <= MAX_FILE,
            "{}: {bytes} bytes is too long for a survey",
            place()
        );
        let text = std::fs::read_to_string(path).with_context(place)?;
        let file: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{}: no survey of this dlaplan; make one with `dlaplan survey`",
                place()
            )
        })?;
        ensure!(
            file.schema == Self::SCHEMA,
            "{}: survey of layout {}; this dlaplan reads {}",
            place(),
            file.schema,
            Self::SCHEMA
        );
        for run in &file.runs {
            let source = ModelSource::of(&run.request.model);
            let own = match source {
                ModelSource::Bundled(name) => survey_network(name).is_some(),
                ModelSource::File(_) => false,
            };
            if !own {
                bail!(
                    "{}: a run of {}, which is no network of a survey; nothing was imported",
                    place(),
                    run.request.model.display()
                );
            }
        }
        Ok(file)
    }

    /// Saves it.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn write(&self, path: &Path) -> Result<()> {
        save(path, &serde_json::to_vec(self)?)
    }

    /// Where the figures come from, in words.
    pub fn provenance(&self) -> String {
        format!(
            "survey of {} ({})",
            self.machine.host,
            self.machine.summary()
        )
    }
}

/// What a survey did to the estimates.
#[derive(Debug)]
pub struct Learnt {
    /// The board.
    pub board: &'static str,
    /// Where its description is kept, where no list knew it.
    pub described: Option<PathBuf>,
    /// Its new calibration, or why there is none.
    pub refits: Refits,
}

/// What came of a survey.
#[derive(Debug)]
pub struct Finished {
    /// The board, as a target.
    pub target: Target,
    /// Where the survey is, to share it.
    pub file: PathBuf,
    /// What it did to the estimates.
    pub learnt: Learnt,
    /// What the machine's TensorRT says of the DLA's rules; none where it has no DLA.
    pub rules: Option<Vec<Judged>>,
}

/// Keeps a survey in `output`, else in the data folder, and fits the board's estimates to it and to `others`
/// of the history. `board` is what [`describe_machine`] said.
///
/// # Errors
/// Nothing was measured, the machine is no board, or a file cannot be written.
pub fn finish(
    folder: &Path,
    machine: &Environment,
    board: Option<BoardDescription>,
    surveyed: Surveyed,
    output: Option<&Path>,
    others: Vec<StoredRun>,
) -> Result<Finished> {
    ensure!(
        !surveyed.runs.is_empty(),
        "nothing was measured; give the survey more time"
    );
    let survey = SurveyFile::new(machine, board, &surveyed.runs).with_rules(surveyed.rules);
    let target = environment::target(machine)
        .with_context(|| format!("{} is no board", machine.summary()))?;
    let file = output.map_or_else(
        || {
            let name = format!("{}.json", target.board.id);
            folder.join("surveys").join(name)
        },
        Path::to_owned,
    );
    survey.write(&file)?;
    let has_dla = machine.dla_cores.unwrap_or(0) > 0;
    Ok(Finished {
        target,
        file,
        learnt: learn(folder, &survey, others)?,
        rules: has_dla.then(|| judge(&survey.rules, &target)),
    })
}

/// The description of a machine that no list knows; none of one that is known.
///
/// # Errors
/// The driver says too little of it.
pub fn describe_machine(machine: &Environment) -> Result<Option<BoardDescription>> {
    if let Some(target) = environment::target(machine) {
        return Ok(crate::platform::description(target.board.id));
    }
    let board = environment::description(machine).map_err(anyhow::Error::msg)?;
    describe(&board)?;
    Ok(Some(board))
}

/// Whether a run is one of these, samples and logs apart.
fn is_among(run: &Run, stored: &[StoredRun]) -> bool {
    let share = |r: &Run| r.deployment.as_ref().map(|d| (d.group.clone(), d.member));
    stored.iter().map(|s| &s.run).any(|s| {
        (s.started_ms, &s.environment.host) == (run.started_ms, &run.environment.host)
            && (&s.request.model, &s.request.config) == (&run.request.model, &run.request.config)
            && s.request.placement == run.request.placement
            && share(s) == share(run)
    })
}

/// Describes the board of a survey where no list knows it, and fits the board's estimates to the
/// survey's runs and to `others` of the history.
///
/// # Errors
/// The description is none, or the folder cannot be written.
pub fn learn(folder: &Path, survey: &SurveyFile, others: Vec<StoredRun>) -> Result<Learnt> {
    let described = match &survey.board {
        Some(board) => Some(keep_description(folder, board)?),
        None => None,
    };
    let target = environment::target(&survey.machine).with_context(|| {
        format!(
            "{} is no board that dlaplan knows, and the survey does not describe it",
            survey.machine.summary()
        )
    })?;
    let new = survey.runs.iter().filter(|run| !is_among(run, &others));
    let new: Vec<StoredRun> = new
        .map(|run| StoredRun {
            id: 0,
            run: run.clone(),
        })
        .collect();
    let runs = [others, new].concat();
    let board = target.board.id;
    let refits = refit(folder, [board], &runs, Some(&survey.provenance()))?;
    Ok(Learnt {
        board,
        described,
        refits,
    })
}

/// Takes another machine's survey: its runs into the history, its board into the list, its figures
/// into the estimates. The second value counts the new runs.
///
/// # Errors
/// The history or the folder cannot be written, or the board is none.
pub fn import(folder: &Path, survey: &SurveyFile, store: &mut Store) -> Result<(Learnt, usize)> {
    let known = earlier(store)?;
    let mut new = 0;
    for run in &survey.runs {
        if !is_among(run, &known) {
            store.insert_run(run)?;
            new += 1;
        }
    }
    let finished = RunFilter {
        finished: true,
        ..RunFilter::default()
    };
    let learnt = learn(folder, survey, store.runs(&finished)?)?;
    Ok((learnt, new))
}

/// What the surveys of a data folder say of the rules: by target, in words.
pub fn kept_rules(folder: &Path) -> Vec<(String, Vec<Judged>)> {
    let mut all = Vec::new();
    let Ok(files) = std::fs::read_dir(folder.join("surveys")) else {
        return all;
    };
    for path in files.flatten().map(|file| file.path()) {
        match SurveyFile::read(&path) {
            Ok(survey) => {
                if let Some(target) = environment::target(&survey.machine)
                    && !survey.rules.is_empty()
                {
                    all.push((target.id(), judge(&survey.rules, &target)));
                }
            }
            Err(e) => log::warn!("{e:#}"),
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}
