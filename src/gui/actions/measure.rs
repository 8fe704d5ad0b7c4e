//! Measuring the placement on screen: the worker's machine, the run under way, its end.

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::client::{self, Update};
use crate::engine::remote::ssh::Host;
use crate::engine::{
    Calibration, ErrorKind, LogRing, Outcome, Request, Run, Stage, dla_refusal, environment,
};
use crate::files::open_regular;
use crate::history::RunHead;
use crate::placement::Device;
use crate::platform::Target;
use crate::tasks::machine;
use crate::tasks::measure::measure;

use crate::gui::command::Command;
use crate::gui::data::measuring::{
    Active, Machine, Measuring, Progress, expected_s, seconds, worker_path,
};
use crate::gui::data::open::Open;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::tasks::words::worth_reading;

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
        let asked = host.clone();
        let work = move || match client::probe(&worker.command, worker.limits) {
            Ok((environment, why)) if why.is_empty() => (Machine::Can(environment), None),
            Ok((_, why)) => (Machine::Cannot(why), None),
            Err(run) => {
                let why = match run.outcome {
                    Outcome::Failed(f) => vec![f.message],
                    Outcome::Finished(_) => Vec::new(),
                };
                // No worker was found there: is the key unknown, or dlaplan missing?
                let found = asked.map(|host| machine::check(&host));
                (Machine::Cannot(why), found)
            }
        };
        self.background(
            "Looking for TensorRT",
            false,
            work,
            move |state, (machine, found)| {
                // Another machine may have been chosen meanwhile.
                if state.measuring.host == host {
                    state.machine_known(machine);
                    if let (Some(host), Some(found)) = (host, found) {
                        state.offer_help(&host, found);
                    }
                }
            },
        );
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
            self.plan_for(format!("board {}", here.board.name), &here, here);
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
            return dla_refusal(version, machine, cores, self.config().dla_core);
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
        let here = environment::measured_at(environment);
        if here.is_none_or(|p| !p.same_mode(&self.target)) {
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
        if !self.measuring.settings.is_none() {
            let commands = self.measuring.settings.commands();
            lines.push(format!(
                "{commands} before, and everything put back afterwards"
            ));
        }
        if self.config().precision.int8 {
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

    /// What every measurement of the open model has in common, for the placement on screen.
    pub(crate) fn request(&self, open: &Open) -> Request {
        let placement = self.doc.placement().clone();
        let mut request = Request::new(worker_path(&open.path), placement, self.config().clone());
        request.inputs = open.inputs.clone();
        request.cache_dir = environment::engines_dir();
        request.calibration = self.ranges();
        request
    }

    /// Where INT8 ranges come from when something is measured.
    fn ranges(&self) -> Calibration {
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
        expected_s(heads, self.doc.placement(), self.config())
    }

    /// Builds and measures the placement on screen.
    pub(crate) fn profile(&mut self) {
        let worker = self.measuring.worker_with_settings();
        let (Some(open), Some(worker)) = (&self.open, worker) else {
            return;
        };
        let model = Arc::clone(&open.model);
        let request = self.request(open);
        let progress = Arc::new(Mutex::new(Progress {
            stage: Stage::Start,
            fraction: None,
            detail: String::new(),
            log: LogRing::default(),
            warnings: Vec::new(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        self.measuring.active = Some(Active {
            name: format!(
                "{} {}",
                self.config().precision.title(),
                self.doc.placement().title()
            ),
            started: Instant::now(),
            expected_s: self.expected_s(),
            cancelled: false,
            sweep: None,
            progress: Arc::clone(&progress),
            stop: Arc::clone(&stop),
        });
        let (history, wake) = (self.history.clone(), Arc::clone(&self.wake));
        let work = move || {
            let mut woken = Instant::now();
            let hear = &mut |_: usize, update: &Update| {
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
                        Update::Warning(text) => p.warnings.push(text.clone()),
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
            let requests = std::slice::from_ref(&request);
            let runs = measure(&worker, &model, requests, &environment::target, hear);
            let run = runs.into_iter().next()?;
            // On the disk before anybody hears of it.
            let stored = history.with(|store| store.insert_run(&run));
            Some((Arc::new(run), stored.map_err(|e| e.to_string())))
        };
        let started = self.background("Profiling", false, work, |state, ended| {
            if let Some((run, stored)) = ended {
                state.run_ended(&run, stored);
            }
        });
        if !started {
            self.measuring.active = None;
        }
    }

    /// Stops the run under way; its worker is gone within two seconds.
    pub(crate) fn cancel_profile(&mut self) {
        if let Some(active) = &mut self.measuring.active {
            active.cancelled = true;
            active.stop.store(true, Ordering::Relaxed);
        }
    }

    fn machine_known(&mut self, machine: Machine) {
        self.measuring.machine = machine;
        let place = self.measuring.place_first();
        let asked = std::mem::take(&mut self.measuring.announce);
        if let Some(here) = self.here()
            && here != self.target
        {
            let title = format!("{place} is a {}", here.board.name);
            let detail = format!("{here} can be planned for and measured");
            self.messages.push(
                Message::info(title, &detail).with_action("Plan for it", Command::TargetHere),
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

    fn run_ended(&mut self, run: &Arc<Run>, stored: Result<i64, String>) {
        let warnings = self.measuring.active.take();
        let warnings = warnings.map(|active| active.look(|p| p.warnings.clone()));
        for text in warnings.unwrap_or_default() {
            let title = "A warning of the machine that measured".into();
            self.messages.push(Message::error(title, &text, ""));
        }
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
        let same = self.is_open(&run.model.structure_hash);
        if let (Some(id), true) = (id, same) {
            self.runs.add(RunHead::of(id, run), Arc::clone(run));
            self.list_kept();
        }
        if let (Some(target), true) = (
            environment::place(&run.environment).ok(),
            run.stands_for_placement(),
        ) {
            self.learn(target.board.id);
        }
    }
}

/// The card for the end of a run.
fn ended(run: &Run, name: &str, id: Option<i64>) -> Message {
    let show = |message: Message| match id {
        Some(id) => message.with_action(
            "Show run",
            Command::Runs(crate::gui::command::Act::Show(id)),
        ),
        None => message,
    };
    match &run.outcome {
        Outcome::Finished(m) => {
            let text = crate::tasks::words::spread(&m.fps);
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
            let marks = run.marks.iter().map(|m| format!("\n{}", m.text()));
            let text = text + &marks.collect::<String>();
            show(Message::info(format!("Measured {name}"), &text))
        }
        Outcome::Failed(f) if f.kind == ErrorKind::Cancelled => {
            Message::info(format!("Cancelled while {}", f.stage.label()), "")
        }
        Outcome::Failed(f) => {
            let tail = worth_reading(&run.log, 4);
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

/// Whether a file begins like a calibration cache: `TRT-8502-EntropyCalibration2`.
fn calibration_head(path: &std::path::Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    open_regular(path)?.take(4).read_to_end(&mut head)?;
    Ok(head == b"TRT-")
}
