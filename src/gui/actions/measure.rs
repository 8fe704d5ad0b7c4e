//! Measuring the placement on screen: the worker's machine, the run under way, its end.

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::WorkerCommand;
use crate::engine::client::{self, Limits, Update};
use crate::engine::remote::ssh::Host;
use crate::engine::{
    Calibration, Environment, ErrorKind, LogRing, ModelRef, Outcome, Request, Run, Stage, compare,
    dla_refusal, environment, median,
};
use crate::estimate::board::BoardFile;
use crate::history::RunHead;
use crate::placement::{Device, EngineConfig, Placement};
use crate::plan::plan;
use crate::platform::Target;

use crate::gui::actions::runs;
use crate::gui::actions::runs::Runs;
use crate::gui::background::jobs::Done;
use crate::gui::command::Command;
use crate::gui::message::Message;
use crate::gui::state::State;

/// How a worker is started and how long it may take.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The program, as a rule this one.
    pub command: WorkerCommand,
    /// How long to wait for what.
    pub limits: Limits,
}

impl Worker {
    /// This program; `None` where the system cannot say where it is.
    pub fn local() -> Option<Self> {
        Some(Self {
            command: WorkerCommand::local().ok()?,
            limits: Limits::default(),
        })
    }
}

/// What the worker said of its machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Machine {
    /// It has been asked.
    Asked,
    /// Engines can be built and measured there.
    Can(Box<Environment>),
    /// They cannot, and why.
    Cannot(String),
}

/// Where a run under way is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Share of the stage done, where known.
    pub fraction: Option<f64>,
    /// What it is at.
    pub detail: String,
    /// The log so far.
    pub log: LogRing,
}

/// A run under way.
pub struct Active {
    /// The placement and how it is built, in words.
    pub name: String,
    /// Since when.
    pub started: Instant,
    /// How long such runs took, s.
    pub expected_s: Option<f64>,
    /// The user has cancelled it.
    pub cancelled: bool,
    progress: Arc<Mutex<Progress>>,
    stop: Arc<AtomicBool>,
}

impl Active {
    /// A look at where it is.
    pub fn look<T>(&self, at: impl FnOnce(&Progress) -> T) -> T {
        at(&self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Share of the whole run that is probably done, 0-1: by earlier runs' time, else by stages.
    pub fn fraction(&self) -> f64 {
        if let Some(expected) = self.expected_s.filter(|s| *s > 0.0) {
            return (self.started.elapsed().as_secs_f64() / expected).min(0.99);
        }
        let (stage, within) = self.look(|p| (p.stage, p.fraction.unwrap_or(0.0)));
        let at = Stage::ALL.iter().position(|s| *s == stage).unwrap_or(0);
        (at as f64 + within) / Stage::ALL.len() as f64
    }

    /// What the status bar says: stage, time, time left.
    pub fn text(&self) -> String {
        if self.cancelled {
            return "Cancelling…".into();
        }
        let stage = self.look(|p| {
            let percent = p
                .fraction
                .map_or(String::new(), |f| format!(" {:.0} %", f * 100.0));
            format!("{}{percent}", p.stage.label())
        });
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = match self.expected_s {
            Some(expected) if expected > elapsed => {
                format!(", about {} left", seconds(expected - elapsed))
            }
            Some(_) => ", longer than before".into(),
            None => String::new(),
        };
        format!("Profiling: {stage}, {}{left}", seconds(elapsed))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Seconds below two minutes, else minutes.
fn seconds(s: f64) -> String {
    if s < 120.0 {
        format!("{:.0} s", s.ceil())
    } else {
        format!("{:.0} min", s / 60.0)
    }
}

/// Measuring, in the state.
pub struct Measuring {
    local: Option<Worker>,
    /// The machine that measures; this one where there is none.
    pub host: Option<Host>,
    /// Machines used before, newest first.
    pub hosts: Vec<Host>,
    /// What can be measured.
    pub machine: Machine,
    /// The run under way.
    pub active: Option<Active>,
    /// The user waits to hear what the machine is.
    announce: bool,
}

impl Measuring {
    /// Nothing is known of the machine yet.
    pub fn new(local: Option<Worker>, host: Option<Host>, hosts: Vec<Host>) -> Self {
        let mut measuring = Self {
            local,
            host,
            hosts,
            machine: Machine::Asked,
            active: None,
            announce: false,
        };
        if measuring.worker().is_none() {
            let why = "the system cannot say where dlaplan's program is";
            measuring.machine = Machine::Cannot(why.into());
        }
        measuring
    }

    /// What measures.
    pub fn worker(&self) -> Option<Worker> {
        match &self.host {
            Some(host) => Some(Worker {
                command: host.worker(),
                limits: Limits::default(),
            }),
            None => self.local.clone(),
        }
    }

    /// Where that is, in words.
    pub fn place(&self) -> String {
        self.host
            .as_ref()
            .map_or("this machine".into(), Host::to_string)
    }

    /// The same at the beginning of a sentence.
    pub fn place_first(&self) -> String {
        self.host
            .as_ref()
            .map_or("This machine".into(), Host::to_string)
    }

    /// Why nothing can be measured there, a sentence each; empty where it can or is not known.
    pub fn why_not(&self) -> Vec<String> {
        match &self.machine {
            Machine::Cannot(why) => sentences(why),
            Machine::Asked | Machine::Can(_) => Vec::new(),
        }
    }
}

/// What measuring brings from the background.
pub enum News {
    /// A worker's machine, and over which host it was asked.
    Machine(Option<Host>, Machine),
    /// A run is over and stored under an id, or not and why.
    Ended {
        /// The run.
        run: Arc<Run>,
        /// Its id in the history.
        stored: Result<i64, String>,
    },
    /// Estimates were fitted to own runs, or there were too few.
    Learned(Result<Option<Box<BoardFile>>, String>),
    /// About runs of the history.
    Runs(runs::News),
    /// Proposals of a search were measured.
    Confirmed(Box<crate::gui::actions::confirm::Outcome>),
}

/// Machines remembered.
const MAX_HOSTS: usize = 5;
/// How often the window looks at a run under way.
const LOOK: Duration = Duration::from_millis(250);

impl State {
    /// Asks the worker what its machine is.
    pub(crate) fn ask_machine(&mut self) {
        let Some(worker) = self.measuring.worker() else {
            return;
        };
        let host = self.measuring.host.clone();
        let started = self.jobs.start("Looking for TensorRT", false, move |_| {
            let machine = match client::probe(&worker.command, worker.limits) {
                Ok((environment, None)) => Machine::Can(environment),
                Ok((_, Some(why))) => Machine::Cannot(why),
                Err(run) => Machine::Cannot(match run.outcome {
                    Outcome::Failed(f) => f.message,
                    Outcome::Finished(_) => String::new(),
                }),
            };
            Done::Measuring(News::Machine(host, machine))
        });
        self.no_thread(started);
    }

    /// Measures on another machine from now on, or on this one.
    pub(crate) fn measure_on(&mut self, host: Option<Host>) {
        if let Some(host) = &host {
            self.measuring.hosts.retain(|h| h != host);
            self.measuring.hosts.insert(0, host.clone());
            self.measuring.hosts.truncate(MAX_HOSTS);
        }
        // Figures of the former machine do not stay on the proposals.
        self.find.confirmed.clear();
        let (local, hosts) = (&self.measuring.local, &self.measuring.hosts);
        self.measuring = Measuring::new(local.clone(), host, hosts.clone());
        self.measuring.announce = true;
        self.save_settings();
        self.ask_machine();
    }

    /// Offers a machine no more; where it was to measure, this one is again.
    pub(crate) fn forget_host(&mut self, host: &Host) {
        self.measuring.hosts.retain(|h| h != host);
        if self.measuring.host.as_ref() == Some(host) {
            self.measure_on(None);
            self.measuring.announce = false;
        } else {
            self.save_settings();
        }
    }

    /// Why the machine that is to measure cannot, in one sentence.
    pub fn cannot_measure(&self) -> String {
        let place = self.measuring.place_first();
        match self.measuring.host {
            Some(_) => format!("{place} cannot measure"),
            None => format!(
                "{place} cannot measure; {} is simulated",
                self.target.board.name
            ),
        }
    }

    /// The target that the measuring machine is, where it can measure and is a board.
    pub fn here(&self) -> Option<Target> {
        match &self.measuring.machine {
            Machine::Can(environment) => environment::target(environment),
            Machine::Asked | Machine::Cannot(_) => None,
        }
    }

    /// Plans for the board that measures.
    pub(crate) fn target_here(&mut self) {
        if let Some(here) = self.here() {
            self.target = here;
            self.config.dla_core = self.config.dla_core.min(self.dla_cores().saturating_sub(1));
            self.touch(true);
            self.load_kept();
        }
    }

    /// Why the placement on screen cannot be measured now, if so.
    pub fn no_profile(&self) -> Option<String> {
        if self.open.is_none() {
            return Some("Open a model first".into());
        }
        if self.measuring.active.is_some() || self.find.confirming.is_some() {
            return Some("A measurement is under way".into());
        }
        let environment = match &self.measuring.machine {
            Machine::Asked => {
                let place = self.measuring.place();
                return Some(format!("Looking for TensorRT on {place}…"));
            }
            Machine::Cannot(_) => {
                let mut lines = vec![
                    "Measure on another machine: the board menu has it".to_owned(),
                    self.cannot_measure(),
                ];
                lines.extend(self.measuring.why_not());
                return Some(lines.join("\n"));
            }
            Machine::Can(environment) => environment,
        };
        let Some(judged) = self.fresh() else {
            return Some("Planning…".into());
        };
        if judged.plan.requested.contains(&Device::Dla)
            && let Some(cores) = environment.dla_cores
        {
            let version = environment.tensorrt.as_deref().unwrap_or_default();
            let machine = environment.gpu.as_ref().unwrap_or(&environment.host);
            return dla_refusal(version, machine, cores, self.config.dla_core);
        }
        None
    }

    /// What pressing Profile will do, for its tooltip.
    pub fn profile_hint(&self) -> String {
        let Machine::Can(environment) = &self.measuring.machine else {
            return String::new();
        };
        let mut lines = vec![format!(
            "Builds this placement with TensorRT and measures it on {}",
            environment.summary()
        )];
        let here = environment::target(environment);
        if here.is_none_or(|t| !t.same_place(&self.target)) {
            lines.push(format!(
                "That is not the {} in {} on screen: the figures will be listed, not charted",
                self.target.board.name, self.target.mode.name
            ));
        }
        if let Some(open) = &self.open
            && open.model.source.structure_only
        {
            lines.push(
                "Timing only: the file has no weights, so random ones are used and outputs mean \
                 nothing"
                    .into(),
            );
        }
        if self.config.precision.int8 {
            lines.push(match &self.calibration {
                Some(path) => format!("INT8 ranges from {}", path.display()),
                None => "INT8 ranges are made up: the times are right, the outputs are not".into(),
            });
        }
        if let Some(s) = self.expected_s() {
            lines.push(format!("About {}, as earlier runs", seconds(s)));
        }
        lines.join("\n")
    }

    /// Where INT8 ranges come from when something is measured.
    pub(crate) fn ranges(&self) -> Calibration {
        let path = self.calibration.clone();
        path.map_or(Calibration::Dummy, |path| Calibration::Cache { path })
    }

    /// Measures with the INT8 ranges of a calibration cache from now on.
    pub(crate) fn calibrate(&mut self, path: Option<PathBuf>) {
        let Some(path) = path else {
            self.calibration = None;
            self.touch(true);
            return;
        };
        let path = std::path::absolute(&path).unwrap_or(path);
        let wrong = match calibration_head(&path) {
            Ok(true) => None,
            Ok(false) => {
                Some("it does not begin as TensorRT's calibration caches do (TRT-)".into())
            }
            Err(e) => Some(e.to_string()),
        };
        match wrong {
            None => {
                self.calibration = Some(path);
                self.touch(true);
            }
            Some(why) => self.messages.push(Message::error(
                "No INT8 ranges were taken".into(),
                &format!("{}: {why}", path.display()),
                "Write one with `dlaplan profile --calib-data FOLDER --save-calib FILE`, or trtexec",
            )),
        }
    }

    fn expected_s(&self) -> Option<f64> {
        let heads = self.runs.heads();
        expected_s(heads, self.doc.placement(), &self.config)
    }

    /// Builds and measures the placement on screen.
    pub(crate) fn profile(&mut self) {
        let (Some(open), Some(worker)) = (&self.open, self.measuring.worker()) else {
            return;
        };
        let model = Arc::clone(&open.model);
        let mut request = Request::new(
            worker_path(&open.path),
            self.doc.placement().clone(),
            self.config.clone(),
        );
        request.inputs = open.inputs.clone();
        request.cache_dir = environment::engines_dir();
        request.calibration = self.ranges();
        let progress = Arc::new(Mutex::new(Progress {
            stage: Stage::Start,
            fraction: None,
            detail: String::new(),
            log: LogRing::default(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        self.measuring.active = Some(Active {
            name: format!(
                "{} {}",
                self.config.precision.title(),
                self.doc.placement().title()
            ),
            started: Instant::now(),
            expected_s: self.expected_s(),
            cancelled: false,
            progress: Arc::clone(&progress),
            stop: Arc::clone(&stop),
        });
        let (history, wake) = (self.history.clone(), Arc::clone(&self.wake));
        let started = self.jobs.start("Profiling", false, move |_| {
            let mut woken = Instant::now();
            let hear = &mut |update: &Update| {
                let mut news = false;
                {
                    let mut p = progress.lock().unwrap_or_else(PoisonError::into_inner);
                    match update {
                        Update::Progress {
                            stage,
                            fraction,
                            detail,
                        } => {
                            news = p.stage != *stage;
                            p.stage = *stage;
                            p.fraction = *fraction;
                            p.detail.clone_from(detail);
                        }
                        Update::Log(line) => p.log.push(line.clone()),
                        _ => {}
                    }
                }
                if news || woken.elapsed() > LOOK {
                    woken = Instant::now();
                    wake();
                }
                if stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            let mut run = client::profile(&worker.command, worker.limits, request, None, hear);
            // The rules to compare with are those of the machine that built it.
            if let Some(target) = environment::target(&run.environment)
                && let Ok(plan) = plan(&model, &target, &run.request.config, &run.request.placement)
                && let Some(m) = run.measurement()
            {
                run.comparison = Some(compare(&model, &plan, &m.actual));
            }
            if run.model.structure_hash.is_empty() {
                run.model = ModelRef {
                    name: model.name.clone(),
                    structure_hash: model.source.structure_hash.clone(),
                    timing_only: model.source.structure_only,
                };
            }
            // On the disk before anybody hears of it.
            let stored = history.with(|store| store.insert_run(&run));
            Done::Measuring(News::Ended {
                run: Arc::new(run),
                stored: stored.map_err(|e| e.to_string()),
            })
        });
        if started.is_err() {
            self.measuring.active = None;
        }
        self.no_thread(started);
    }

    /// Stops the run under way; its worker is gone within two seconds.
    pub(crate) fn cancel_profile(&mut self) {
        if let Some(active) = &mut self.measuring.active {
            active.cancelled = true;
            active.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Takes in what measuring brings.
    pub(crate) fn measuring_done(&mut self, news: News) {
        match news {
            // Of a machine that was given up meanwhile.
            News::Machine(host, _) if host != self.measuring.host => {}
            News::Machine(_, machine) => {
                self.measuring.machine = machine;
                let place = self.measuring.place_first();
                let asked = std::mem::take(&mut self.measuring.announce);
                if let Some(here) = self.here()
                    && here != self.target
                {
                    let title = format!("{place} is a {}", here.board.name);
                    let detail = format!("{here} can be planned for and measured");
                    self.messages.push(
                        Message::info(title, &detail)
                            .with_action("Plan for it", Command::TargetHere),
                    );
                    return;
                }
                let host = self.measuring.host.clone();
                match &self.measuring.machine {
                    Machine::Can(environment) if asked => {
                        let title = format!("{place} can measure");
                        let detail = environment.summary();
                        self.messages.push(Message::info(title, &detail));
                    }
                    // Of this machine it is no news, unless somebody asked.
                    Machine::Cannot(_) if asked || host.is_some() => {
                        let title = format!("{place} cannot measure");
                        let detail = self.measuring.why_not().join("\n");
                        let message = Message::error(title, &detail, "");
                        self.messages.push(match host {
                            Some(host) => {
                                let forget = Command::ForgetHost(host);
                                message.with_action(&forget.text(), forget)
                            }
                            None => message,
                        });
                    }
                    _ => {}
                }
            }
            News::Ended { run, stored } => self.run_ended(&run, stored),
            News::Learned(result) => self.learned(result),
            News::Runs(news) => self.runs_news(news),
            News::Confirmed(outcome) => self.confirmed(*outcome),
        }
    }

    fn run_ended(&mut self, run: &Arc<Run>, stored: Result<i64, String>) {
        self.measuring.active = None;
        let name = run.request.placement.title();
        let id = match stored {
            Ok(id) => Some(id),
            Err(why) => {
                self.messages.push(Message::error(
                    "The run is not in the history".into(),
                    &why,
                    "Its figures are below; copy them before you close the window",
                ));
                None
            }
        };
        self.messages.push(ended(run, &name, id));
        let same = self
            .open
            .as_ref()
            .is_some_and(|o| o.model.source.structure_hash == run.model.structure_hash);
        if let (Some(id), true) = (id, same) {
            self.runs.add(RunHead::of(id, run), Arc::clone(run));
            self.list_kept();
        }
        if let (Some(target), true) = (
            environment::target(&run.environment),
            run.stands_for_placement(),
        ) {
            self.learn(target.board.id);
        }
    }
}

/// The card for the end of a run.
fn ended(run: &Run, name: &str, id: Option<i64>) -> Message {
    let show = |message: Message| match id {
        Some(id) => message.with_action("Show run", Command::Runs(runs::Act::Show(id))),
        None => message,
    };
    match &run.outcome {
        Outcome::Finished(m) => {
            let text = Runs::spread(&m.fps);
            let silent = run
                .comparison
                .as_ref()
                .map_or(0, |c| c.silent_fallbacks.len());
            if silent > 0 {
                let plural = if silent == 1 { "op" } else { "ops" };
                return show(Message::error(
                    format!("Silent fallback: {silent} {plural} of {name} left the DLA"),
                    &format!(
                        "{text}. TensorRT put them on the GPU without a word, so these figures \
                         are not those of the placement"
                    ),
                    "The inspector names them",
                ));
            }
            if let Some(n) = m.numeric.as_ref().filter(|n| !n.passed) {
                return show(Message::error(
                    format!("{name} computes something else"),
                    &format!(
                        "{text}, but its outputs differ from the {} reference: cosine {:.4}, \
                         {} not a number",
                        n.reference, n.cosine, n.non_finite
                    ),
                    "Do not use these figures; try another precision",
                ));
            }
            Message::info(format!("Measured {name}"), &text)
        }
        Outcome::Failed(f) if f.kind == ErrorKind::Cancelled => {
            Message::info(format!("Cancelled while {}", f.stage.label()), "")
        }
        Outcome::Failed(f) => {
            let tail = runs::worth_reading(&run.log, 4);
            let tail: Vec<String> = tail.iter().map(ToString::to_string).collect();
            let mut detail = f.message.clone();
            if !tail.is_empty() {
                detail += "\n";
                detail += &tail.join("\n");
            }
            show(Message::error(
                format!("{name} was not measured: failed while {}", f.stage.label()),
                &detail,
                "",
            ))
        }
    }
}

/// How long a run will probably take, s: the median of earlier ones, of the same engine if there
/// are any, else of the same precision and batch, else of any.
fn expected_s(heads: &[Arc<RunHead>], placement: &Placement, config: &EngineConfig) -> Option<f64> {
    let typical = |fits: &dyn Fn(&RunHead) -> bool| {
        let mut times: Vec<f64> = heads
            .iter()
            .rev()
            .filter(|h| h.outcome.is_ok() && h.deployment.is_none() && fits(h))
            .take(9)
            .map(|h| h.wall_s)
            .collect();
        times.sort_by(f64::total_cmp);
        median(&times)
    };
    typical(&|h| h.placement == *placement && h.config == *config)
        .or_else(|| {
            typical(&|h| h.config.precision == config.precision && h.config.batch == config.batch)
        })
        .or_else(|| typical(&|_| true))
}

/// The sentences of a reason, each with a capital where it begins with a plain word.
fn sentences(why: &str) -> Vec<String> {
    let mut all = Vec::new();
    for part in why.split(". ").flat_map(str::lines) {
        let part = part.trim().trim_end_matches('.');
        let word = part.split(' ').next().unwrap_or_default();
        let mut rest = part.chars();
        match rest.next() {
            // Names of programs and files keep their spelling.
            Some(first) if word.chars().all(|c| c.is_ascii_lowercase()) && word != "ssh" => {
                all.push(format!("{}{}", first.to_ascii_uppercase(), rest.as_str()));
            }
            Some(_) => all.push(part.to_owned()),
            None => {}
        }
    }
    all
}

/// Whether a file begins like a calibration cache: `TRT-8502-EntropyCalibration2`.
fn calibration_head(path: &std::path::Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(4).read_to_end(&mut head)?;
    Ok(head == b"TRT-")
}

/// The model's path as the worker finds it: bundled names as they are, files absolute.
pub(crate) fn worker_path(path: &std::path::Path) -> PathBuf {
    if path.to_string_lossy().starts_with("bundled:") {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::sentences;

    #[test]
    fn reasons_are_sentences() {
        let why = "libcuda.so is missing: no driver. this dlaplan cannot build engines: built \
                   without NvInfer.h. Build it on the board.\nssh: no such host";
        assert_eq!(
            sentences(why),
            [
                "libcuda.so is missing: no driver",
                "This dlaplan cannot build engines: built without NvInfer.h",
                "Build it on the board",
                "ssh: no such host",
            ]
        );
        assert!(sentences("").is_empty());
    }
}
