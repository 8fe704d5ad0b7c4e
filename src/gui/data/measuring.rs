//! Measuring as values: the worker, its machine, the run under way.

use crate::engine::client::Limits;
use crate::engine::remote::ssh::Host;
use crate::engine::{BoardSettings, Environment, LogRing, PowerMode, Run, Stage, median};
use crate::history::RunHead;
use crate::model::ModelSource;
use crate::placement::{EngineConfig, Placement};
use crate::tasks::measure::Worker;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the worker said of its machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Machine {
    /// It has been asked.
    Asked,
    /// Engines can be built and measured there.
    Can(Box<Environment>),
    /// They cannot, and why, a reason each.
    Cannot(Vec<String>),
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
    /// What the user should know now.
    pub warnings: Vec<String>,
}

/// Where a sweep or a survey is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepProgress {
    /// Which of them.
    pub what: &'static str,
    /// Rows with a result.
    pub done: usize,
    /// All rows.
    pub of: usize,
    /// The row under way and its stage, in words.
    pub at: String,
    /// Time left, s, where known.
    pub left_s: Option<f64>,
}

impl SweepProgress {
    /// Where it is, out of what the task tells.
    pub(crate) fn of(what: &'static str, p: &crate::tasks::progress::Progress<'_>) -> Self {
        Self {
            what,
            done: p.done,
            of: p.of,
            at: format!("{}, {}", p.title, p.stage),
            left_s: p.left.map(|left| left.as_secs_f64()),
        }
    }

    /// What the status bar says: `Sweep: 3 of 16, resnet18_fp16_gpu, building the engine`.
    pub fn text(&self) -> String {
        let left = self.left_s.map(|s| format!(", about {} left", seconds(s)));
        let number = (self.done + 1).min(self.of);
        let left = left.unwrap_or_default();
        format!("{}: {number} of {}, {}{left}", self.what, self.of, self.at)
    }
}

/// What the thread of a sweep or a survey and the window share. The thread never waits for the window, which may
/// be minimised.
#[derive(Debug, Default)]
pub struct Sweeping {
    pub(crate) progress: SweepProgress,
    /// Runs, with their ids in the history, that the window has not taken in yet.
    pub(crate) arrived: Vec<(i64, Arc<Run>)>,
}

/// The table of the last sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepTable {
    /// As Markdown, in the form of torch2trt's `dla_benchmarks.md`.
    pub markdown: String,
    /// Rows with figures, rows that failed, rows not measured yet.
    pub counts: [usize; 3],
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
    /// Where a sweep of many placements or a survey is; `None` for a single run.
    pub sweep: Option<Arc<Mutex<Sweeping>>>,
    pub(crate) progress: Arc<Mutex<Progress>>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Active {
    /// A series of measurements that begins: what it is called, and what its thread shares with the window.
    pub(crate) fn series(
        name: String,
        what: &'static str,
        of: usize,
    ) -> (Self, Arc<Mutex<Sweeping>>, Arc<AtomicBool>) {
        let shared = Arc::new(Mutex::new(Sweeping {
            progress: SweepProgress {
                what,
                of,
                at: "starting".into(),
                ..SweepProgress::default()
            },
            arrived: Vec::new(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let active = Self {
            name,
            started: Instant::now(),
            expected_s: None,
            cancelled: false,
            sweep: Some(Arc::clone(&shared)),
            progress: Arc::new(Mutex::new(Progress {
                stage: Stage::Start,
                fraction: None,
                detail: String::new(),
                log: LogRing::default(),
                warnings: Vec::new(),
            })),
            stop: Arc::clone(&stop),
        };
        (active, shared, stop)
    }

    /// A look at where it is.
    pub fn look<T>(&self, at: impl FnOnce(&Progress) -> T) -> T {
        at(&self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is shared with the thread of a sweep.
    pub(crate) fn sweeping(&self) -> Option<MutexGuard<'_, Sweeping>> {
        let sweep = self.sweep.as_ref()?;
        Some(sweep.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Share of the whole run that is probably done, 0-1: by earlier runs' time, else by stages.
    pub fn fraction(&self) -> f64 {
        if let Some(sweep) = self.sweeping() {
            return sweep.progress.done as f64 / sweep.progress.of.max(1) as f64;
        }
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
        if let Some(sweep) = self.sweeping() {
            return sweep.progress.text();
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
pub(crate) fn seconds(s: f64) -> String {
    if s < 120.0 {
        format!("{:.0} s", s.ceil())
    } else {
        format!("{:.0} min", s / 60.0)
    }
}

/// Measuring, in the state.
pub struct Measuring {
    pub(crate) local: Option<Worker>,
    /// The machine that measures; this one where there is none.
    pub host: Option<Host>,
    /// Machines used before, newest first.
    pub hosts: Vec<Host>,
    /// What can be measured.
    pub machine: Machine,
    /// What the board is set to while it measures; nothing until the user says so.
    pub settings: BoardSettings,
    /// The run under way.
    pub active: Option<Active>,
    /// The table of the last sweep.
    pub swept: Option<SweepTable>,
    /// The user waits to hear what the machine is.
    pub(crate) announce: bool,
}

impl Measuring {
    /// Nothing is known of the machine yet.
    pub fn new(local: Option<Worker>, host: Option<Host>, hosts: Vec<Host>) -> Self {
        let mut measuring = Self {
            local,
            host,
            hosts,
            machine: Machine::Asked,
            settings: BoardSettings::default(),
            active: None,
            swept: None,
            announce: false,
        };
        if measuring.worker().is_none() {
            let why = "the system cannot say where dlaplan's program is";
            measuring.machine = Machine::Cannot(vec![why.into()]);
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

    /// The same with the settings that the user wants.
    pub fn worker_with_settings(&self) -> Option<Worker> {
        let mut worker = self.worker()?;
        worker.command = worker.command.with(self.settings);
        Some(worker)
    }

    /// Power modes of the machine; none where it has none or is not known.
    pub fn power_modes(&self) -> &[PowerMode] {
        match &self.machine {
            Machine::Can(environment) => &environment.power_modes,
            Machine::Asked | Machine::Cannot(_) => &[],
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

    /// Why nothing can be measured there, a line each; empty where it can or is not known.
    pub fn why_not(&self) -> Vec<String> {
        match &self.machine {
            Machine::Cannot(why) => why.iter().map(|why| sentence(why)).collect(),
            Machine::Asked | Machine::Can(_) => Vec::new(),
        }
    }
}

/// How long a run will probably take, s: the median of earlier ones, of the same engine if there
/// are any, else of the same precision and batch, else of any.
pub(crate) fn expected_s(
    heads: &[Arc<RunHead>],
    placement: &Placement,
    config: &EngineConfig,
) -> Option<f64> {
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

/// A reason as a sentence: with a capital where it begins with a plain word.
fn sentence(reason: &str) -> String {
    let word = reason.split(' ').next().unwrap_or_default();
    let mut rest = reason.chars();
    match rest.next() {
        // Names of programs and files keep their spelling.
        Some(first) if word.chars().all(|c| c.is_ascii_lowercase()) && word != "ssh" => {
            format!("{}{}", first.to_ascii_uppercase(), rest.as_str())
        }
        _ => reason.to_owned(),
    }
}

/// The model's path as the worker finds it: bundled names as they are, files absolute.
pub(crate) fn worker_path(path: &std::path::Path) -> PathBuf {
    let absolute = ModelSource::of(path).absolute();
    absolute.unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn reasons_are_sentences() {
        for (reason, text) in [
            ("libcuda.so is missing", "libcuda.so is missing"),
            ("this dlaplan cannot", "This dlaplan cannot"),
            ("ssh: no such host", "ssh: no such host"),
            ("", ""),
        ] {
            assert_eq!(sentence(reason), text);
        }
    }
}
