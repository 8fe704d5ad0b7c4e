//! The other end of a worker: starts it, listens, and ends it whatever it does.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::placement::{EngineConfig, Placement};

use super::command::WorkerCommand;
use super::log::{Level, LogLine, LogRing};
use super::memory;
use super::protocol::{self, Built, Command, DecodeError, Event, Report, SILENCE};
use super::request::{NumericReference, Request};
use super::run::{Environment, ErrorKind, Failure, ModelRef, Outcome, Run, Stage, unix_ms};
use super::telemetry::{Quantity, Telemetry};
use crate::engine::remote::error::ParcelError;
use crate::engine::remote::parcel;
use crate::engine::remote::parcel::Parcel;
use crate::engine::remote::ssh::Host;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the worker's first word.
    pub hello: Duration,
    /// For the build, calibration and reference engine included.
    pub build: Duration,
    /// For any sign of life; while files are on their way to another machine at most
    /// [`SILENCE`].
    pub idle: Duration,
    /// For the worker to end by itself when cancelled, before it is killed.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello: Duration::from_mins(1),
            build: Duration::from_mins(30),
            idle: Duration::from_mins(5),
            grace: Duration::from_millis(700),
        }
    }
}

/// Stray lines on the worker's stdout that are forgiven.
const MAX_GARBAGE: u32 = 10_000;
/// Log lines that go into a failed run.
const FAILED_TAIL: usize = 200;
/// How often a worker elsewhere hears from its client.
const PING: Duration = Duration::from_secs(10);
/// Lines of stderr that may explain the end of a worker.
const SAID: usize = 50;

/// What happens on the way.
#[derive(Debug)]
pub enum Update {
    /// Nothing new; comes several times a second.
    Tick,
    /// The worker is there.
    Hello {
        /// Its machine.
        environment: Box<Environment>,
        /// Why it cannot build engines, a reason each; empty where it can.
        unavailable: Vec<String>,
    },
    /// It is at a stage.
    Progress {
        /// The stage.
        stage: Stage,
        /// Share of the stage done, where known.
        fraction: Option<f64>,
        /// What it is at.
        detail: String,
    },
    /// A log line.
    Log(LogLine),
    /// Something the user should know now; it is in the log too.
    Warning(String),
    /// It waits for the others.
    Ready,
    /// An engine was built; the end of a build.
    Built(Box<Built>),
    /// `canRunOnDLA` by op; the end of asking.
    Answered(BTreeMap<String, bool>),
    /// The run is over; the end of a profile, and of anything that fails.
    Done(Box<Run>),
}

enum Incoming {
    Event(Box<Event>),
    Stray(String),
    Foreign(DecodeError),
    TooLong,
    Stderr(String),
    /// A file is read before it is sent.
    Packing(PathBuf),
    Packed(Box<Result<Parcel, ParcelError>>),
}

/// What the writer thread sends.
enum Outgoing {
    Line(String),
    /// Files and how many bytes of each were announced.
    Files(Vec<(PathBuf, u64)>),
}

/// How far a client and its worker are with the command. On this machine it starts with
/// [`Self::Working`]; to another one the files go first.
#[derive(Debug)]
enum Phase {
    /// The files to send are being read.
    Reading { command: Command },
    /// The files are read; the worker has not said its first word.
    Read { command: Command, parcel: Parcel },
    /// The worker was told which files there are and has not said whether it wants them. It reads
    /// whatever comes now as content if it does: nothing may be sent.
    Offered { command: Command, parcel: Parcel },
    /// The files are on their way, or there already.
    Sending { command: Command },
    /// The worker has its command, since then.
    Working { since: Instant },
    /// The worker is gone.
    Over,
}

impl Phase {
    /// The command, while the worker does not have it.
    fn held(self) -> Option<Command> {
        match self {
            Self::Reading { command }
            | Self::Read { command, .. }
            | Self::Offered { command, .. }
            | Self::Sending { command } => Some(command),
            Self::Working { .. } | Self::Over => None,
        }
    }
}

/// A worker at work on one request.
pub struct Client {
    child: Child,
    group: Pid,
    commands: Option<Sender<Outgoing>>,
    host: Option<Host>,
    phase: Phase,
    /// Ends the reading of the files.
    unwanted: Arc<AtomicBool>,
    /// Why a file could not be sent, if so.
    unsent: Arc<OnceLock<String>>,
    /// The last lines of stderr: ssh's own, not TensorRT's log.
    said: VecDeque<String>,
    pinged: Instant,
    incoming: Receiver<Incoming>,
    limits: Limits,
    request: Request,
    ring: LogRing,
    /// The worker's machine, once it has said its first word.
    environment: Option<Environment>,
    telemetry: Telemetry,
    stage: Stage,
    started: Instant,
    started_ms: u64,
    heard: Instant,
    garbage: u32,
    exited: Option<(ExitStatus, Instant)>,
    /// Beats of a deployment's member, once it is done.
    pub(super) beats: Vec<(u64, u64)>,
}

impl Client {
    /// Starts a worker and gives it a request; `barrier` makes it wait for [`Self::go`].
    ///
    /// # Errors
    /// The program cannot be started: a run that failed.
    pub fn profile(
        worker: &WorkerCommand,
        limits: Limits,
        request: Request,
        barrier: bool,
    ) -> Result<Self, Box<Run>> {
        let command = Command::Profile {
            request: Box::new(request.clone()),
            barrier,
        };
        Self::start(worker, limits, request, command)
    }

    /// Starts a worker and lets it build an engine.
    ///
    /// # Errors
    /// The program cannot be started: a run that failed.
    pub fn build(
        worker: &WorkerCommand,
        limits: Limits,
        request: Request,
    ) -> Result<Self, Box<Run>> {
        let command = Command::Build {
            request: Box::new(request.clone()),
        };
        Self::start(worker, limits, request, command)
    }

    fn start(
        worker: &WorkerCommand,
        limits: Limits,
        request: Request,
        command: Command,
    ) -> Result<Self, Box<Run>> {
        let started_ms = unix_ms();
        let fail = |kind, message: String| {
            let failure = Failure {
                kind,
                stage: Stage::Start,
                message,
            };
            Box::new(failed_run(&request.in_text(), started_ms, failure))
        };
        if let Err(e) = request.check() {
            return Err(fail(ErrorKind::Refused, e.to_string()));
        }
        let travels = worker.host.is_some()
            && matches!(command, Command::Build { .. } | Command::Profile { .. });
        if travels {
            Parcel::check(&request).map_err(|e| fail(ErrorKind::Refused, e.to_string()))?;
        }
        let spawned = std::process::Command::new(&worker.program)
            .args(&worker.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group, so that ending it ends everything it started.
            .process_group(0)
            .spawn();
        let mut child = spawned.map_err(|e| {
            let program = worker.program.display();
            fail(
                ErrorKind::Crashed,
                format!("{program} cannot be started: {e}"),
            )
        })?;
        let group = Pid::from_raw(child.id() as i32);
        let (lines, incoming) = sync_channel(256);
        let unsent = Arc::new(OnceLock::new());
        let unwanted = Arc::new(AtomicBool::new(false));
        let wired = wire(&mut child, &lines, &unsent).and_then(|commands| {
            if travels {
                pack(request.clone(), lines, Arc::clone(&unwanted))?;
            }
            Ok(commands)
        });
        let mut client = Self {
            group,
            commands: None,
            host: worker.host.clone(),
            phase: Phase::Working {
                since: Instant::now(),
            },
            unwanted,
            unsent: Arc::clone(&unsent),
            said: VecDeque::new(),
            pinged: Instant::now(),
            incoming,
            limits,
            ring: LogRing::default(),
            environment: None,
            telemetry: Telemetry::default(),
            stage: Stage::Start,
            started: Instant::now(),
            started_ms,
            heard: Instant::now(),
            garbage: 0,
            exited: None,
            beats: Vec::new(),
            child,
            request,
        };
        match wired {
            Ok(commands) => {
                client.commands = Some(commands);
                if travels {
                    client.phase = Phase::Reading { command };
                } else {
                    client.send(command);
                }
                Ok(client)
            }
            Err(e) => {
                let message = format!("a thread for the worker cannot be started: {e}");
                Err(Box::new(client.fail(ErrorKind::Crashed, message)))
            }
        }
    }

    fn send(&mut self, command: Command) {
        if let Some(commands) = &self.commands
            // The writer is gone when the worker is; its end is noticed elsewhere.
            && commands.send(Outgoing::Line(protocol::encode(command))).is_err()
        {
            self.commands = None;
        }
    }

    /// Releases a worker that is [`Update::Ready`].
    pub fn go(&mut self) {
        self.heard = Instant::now();
        self.send(Command::Go);
    }

    /// The stage it is at.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Waits for the next thing to happen, at most for `wait`. After [`Update::Done`] or
    /// [`Update::Built`] nothing happens any more and the worker is gone.
    pub fn poll(&mut self, wait: Duration) -> Update {
        if matches!(self.phase, Phase::Over) {
            return Update::Tick;
        }
        match self.incoming.recv_timeout(wait) {
            Ok(Incoming::Event(event)) => self.on_event(*event),
            Ok(Incoming::Stray(line)) => {
                self.garbage += 1;
                if self.garbage > MAX_GARBAGE {
                    let message = format!("the worker wrote {} stray lines", self.garbage);
                    return self.done_failed(ErrorKind::Protocol, message);
                }
                self.log(LogLine::new(Level::Info, &line))
            }
            Ok(Incoming::Stderr(line)) => {
                if self.said.len() == SAID {
                    self.said.pop_front();
                }
                self.said.push_back(super::log::escape(&line, 300));
                self.log(LogLine::new(Level::Info, &line))
            }
            Ok(Incoming::Foreign(e)) => self.done_failed(
                ErrorKind::Protocol,
                format!("the worker cannot be used: {e}"),
            ),
            Ok(Incoming::TooLong) => {
                let message = format!(
                    "the worker wrote a line of over {} bytes",
                    protocol::MAX_LINE
                );
                self.done_failed(ErrorKind::Protocol, message)
            }
            Ok(Incoming::Packing(path)) => {
                // The worker has nothing to say until then.
                self.heard = Instant::now();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                match self.watch() {
                    Update::Tick => Update::Progress {
                        stage: Stage::Send,
                        fraction: None,
                        detail: super::log::escape(&format!("reading {name}"), 300),
                    },
                    other => other,
                }
            }
            Ok(Incoming::Packed(parcel)) => self.packed(*parcel),
            Err(RecvTimeoutError::Timeout) => self.watch(),
            // Both pipes are closed: the worker is gone or about to be.
            Err(RecvTimeoutError::Disconnected) => {
                let message = self.death();
                self.done_failed(ErrorKind::Crashed, message)
            }
        }
    }

    /// The files were read, or cannot be.
    fn packed(&mut self, parcel: Result<Parcel, ParcelError>) -> Update {
        match (std::mem::replace(&mut self.phase, Phase::Over), parcel) {
            (Phase::Reading { command }, Ok(parcel)) => {
                self.heard = Instant::now();
                self.phase = Phase::Read { command, parcel };
                self.offer();
                Update::Tick
            }
            (Phase::Reading { command }, Err(e)) => {
                self.phase = Phase::Reading { command };
                self.stage = Stage::Send;
                self.done_failed(ErrorKind::Refused, e.to_string())
            }
            // The worker has refused meanwhile.
            (phase, _) => {
                self.phase = phase;
                Update::Tick
            }
        }
    }

    /// Offers the worker the files, once both are ready.
    fn offer(&mut self) {
        if self.environment.is_none() {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Read { command, parcel } => {
                self.stage = Stage::Send;
                self.send(Command::Receive {
                    entries: parcel.entries.clone(),
                });
                self.phase = Phase::Offered { command, parcel };
            }
            phase => self.phase = phase,
        }
    }

    /// The worker has said whether it wants the files.
    fn answered(&mut self, wanted: bool) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Offered { command, parcel } => {
                if wanted && let Some(commands) = &self.commands {
                    let sizes = parcel.entries.iter().map(|e| e.bytes);
                    let files = parcel.paths.iter().cloned().zip(sizes).collect();
                    // A worker that is gone is noticed elsewhere.
                    let _gone = commands.send(Outgoing::Files(files));
                }
                self.phase = Phase::Sending { command };
            }
            // Of files that nobody has offered, or for the second time.
            phase => self.phase = phase,
        }
    }

    /// The worker has the files in `folder`: it gets the command, with paths as they are there.
    fn received(&mut self, folder: &Path, cache: &Path) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Offered { mut command, .. } | Phase::Sending { mut command } => {
                if let Command::Build { request } | Command::Profile { request, .. } = &mut command
                {
                    **request = parcel::unpacked(request, folder, Some(cache));
                }
                self.work(command);
            }
            // Of files that nobody has offered, or for the second time.
            phase => self.phase = phase,
        }
    }

    /// Gives the worker its command.
    fn work(&mut self, command: Command) {
        self.phase = Phase::Working {
            since: Instant::now(),
        };
        self.send(command);
    }

    fn log(&mut self, line: LogLine) -> Update {
        self.ring.push(line.clone());
        // Chatter must not hide a stalled worker: only its own events count as life.
        match self.watch() {
            Update::Tick => Update::Log(line),
            other => other,
        }
    }

    fn on_event(&mut self, event: Event) -> Update {
        // The sampler goes on while the rest hangs.
        if let Event::Samples { samples } = event {
            for sample in &samples {
                self.telemetry.add(sample);
            }
            return self.watch();
        }
        self.heard = Instant::now();
        match event {
            Event::Hello {
                environment,
                unavailable,
            } => {
                // Once is enough, whatever the other machine says.
                if self.environment.is_some() {
                    return Update::Tick;
                }
                self.environment = Some((*environment).clone());
                if !unavailable.is_empty() {
                    // It refuses, and says why: no need to send it files.
                    self.unwanted.store(true, Ordering::Relaxed);
                    let working = Phase::Working {
                        since: Instant::now(),
                    };
                    if let Some(command) = std::mem::replace(&mut self.phase, working).held() {
                        self.send(command);
                    }
                }
                self.offer();
                Update::Hello {
                    environment,
                    unavailable,
                }
            }
            Event::Progress {
                stage,
                fraction,
                detail,
            } => {
                self.stage = stage;
                match self.watch() {
                    Update::Tick => Update::Progress {
                        stage,
                        fraction: fraction
                            .filter(|f| f.is_finite())
                            .map(|f| f.clamp(0.0, 1.0)),
                        detail: super::log::escape(&detail, 300),
                    },
                    other => other,
                }
            }
            Event::Log { line } => self.log(LogLine::new(line.level, &line.text)),
            Event::Warning { text } => {
                let line = LogLine::new(Level::Warning, &text);
                self.ring.push(line.clone());
                Update::Warning(line.text)
            }
            Event::Samples { .. } => Update::Tick,
            Event::Wanted { wanted } => {
                self.answered(wanted);
                Update::Tick
            }
            Event::Received { folder, cache } => {
                self.received(&folder, &cache);
                Update::Tick
            }
            Event::Ready => {
                self.stage = Stage::Barrier;
                Update::Ready
            }
            Event::Built { built } => {
                self.end(Duration::from_millis(200));
                Update::Built(built)
            }
            Event::Answered { can_run_on_dla } => {
                self.end(Duration::from_millis(200));
                Update::Answered(can_run_on_dla)
            }
            Event::Measured { report } => match report.implausible() {
                Some(why) => {
                    self.done_failed(ErrorKind::Protocol, format!("the worker reports {why}"))
                }
                None => self.done(*report),
            },
            Event::Failed { mut failure, model } => {
                if let Some(why) = self.unsent.get() {
                    failure.message.clone_from(why);
                }
                let mut run = self.fail_with(&failure);
                if !model.name.is_empty() {
                    run.model = model;
                }
                Update::Done(Box::new(run))
            }
        }
    }

    /// Tells a worker elsewhere, now and then, that the client is still there. Polling does it too.
    pub(super) fn ping(&mut self) {
        let waiting = matches!(self.phase, Phase::Offered { .. });
        if self.host.is_some() && !waiting && self.pinged.elapsed() > PING {
            self.pinged = Instant::now();
            self.send(Command::Ping);
        }
    }

    /// Nothing was heard for too long.
    fn silence(&self) -> String {
        let seconds = self.heard.elapsed().as_secs();
        let stage = self.stage.label();
        match &self.host {
            Some(_) if matches!(self.phase, Phase::Reading { .. }) => format!(
                "nothing could be read of the files to send for {seconds} s; look at the disk or \
                 the network folder that holds them"
            ),
            Some(host) => format!(
                "nothing was heard from {} for {seconds} s while {stage}: the link may be cut; \
                 check the network, then measure again",
                host.address()
            ),
            None => format!("the worker gave no sign of life for {seconds} s while {stage}"),
        }
    }

    /// Looks at the clocks.
    fn watch(&mut self) -> Update {
        self.ping();
        if self.environment.is_none() && self.started.elapsed() > self.limits.hello {
            let message = match &self.host {
                Some(host) => format!(
                    "{} said nothing for {} s: the link may be cut; check the network, then \
                     measure again",
                    host.address(),
                    self.limits.hello.as_secs()
                ),
                None => format!(
                    "the worker said nothing for {} s",
                    self.limits.hello.as_secs()
                ),
            };
            return self.done_failed(ErrorKind::TimedOut, message);
        }
        let mut idle = self.limits.idle.max(self.limits.hello);
        if matches!(self.phase, Phase::Offered { .. } | Phase::Sending { .. }) {
            // No longer than the other end waits.
            idle = idle.min(SILENCE);
        }
        if self.heard.elapsed() > idle {
            let message = self.silence();
            return self.done_failed(ErrorKind::TimedOut, message);
        }
        // Files may take as long as the link makes them, while they move.
        if let Phase::Working { since } = self.phase
            && self.stage <= Stage::Reference
            && since.elapsed() > self.limits.build
        {
            let message = format!(
                "{} took over {} s; allow more with --build-timeout",
                self.stage.label(),
                self.limits.build.as_secs()
            );
            return self.done_failed(ErrorKind::TimedOut, message);
        }
        // The worker may be gone while something it started holds its pipes open.
        if self.exited.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.exited = Some((status, Instant::now()));
        }
        if let Some((_, when)) = self.exited
            && when.elapsed() > Duration::from_millis(500)
        {
            let message = self.death();
            return self.done_failed(ErrorKind::Crashed, message);
        }
        Update::Tick
    }

    /// Ends the run because the user says so. Within two seconds nothing of it is left.
    pub fn cancel(&mut self) -> Box<Run> {
        // While files are read or sent the worker has begun nothing, and would hear of it only
        // after the last file: the end of its stdin is enough.
        let grace = if matches!(self.phase, Phase::Working { .. }) {
            self.send(Command::Cancel);
            self.limits.grace.min(Duration::from_millis(1500))
        } else {
            Duration::ZERO
        };
        self.end(grace);
        Box::new(self.fail(ErrorKind::Cancelled, "cancelled".into()))
    }

    fn death(&mut self) -> String {
        self.end(Duration::from_millis(200));
        if let Some(why) = self.unsent.get() {
            return why.clone();
        }
        let status = self.exited.map(|(status, _)| status);
        if let (Some(host), Some(code)) = (&self.host, status.and_then(|s| s.code())) {
            let said: Vec<&str> = self.said.iter().map(String::as_str).collect();
            if let Some(why) = host.explain(code, self.environment.is_some(), &said) {
                return match self.telemetry.last(Quantity::MemoryMb, "memory") {
                    Some(mb) => {
                        format!("{why}; shortly before, {mb:.0} MiB of memory were available")
                    }
                    None => why,
                };
            }
        }
        match status {
            Some(s) if s.signal().is_some() => {
                let number = s.signal().unwrap_or_default();
                let name = Signal::try_from(number).map_or("unknown signal", Signal::as_str);
                if let Some(host) = &self.host {
                    return format!(
                        "the ssh to {host} died of signal {number} ({name}) while {}; the worker \
                         there ends by itself. Measure again",
                        self.stage.label()
                    );
                }
                let why = if number == Signal::SIGKILL as i32 {
                    let memory = self.telemetry.last(Quantity::MemoryMb, "memory");
                    format!(", {}", memory::killed(memory))
                } else {
                    String::new()
                };
                format!(
                    "the worker died of signal {number} ({name}) while {}{why}",
                    self.stage.label()
                )
            }
            Some(s) => format!(
                "the worker ended with exit code {} and no result while {}",
                s.code().unwrap_or(-1),
                self.stage.label()
            ),
            None => format!("the worker ended while {}", self.stage.label()),
        }
    }

    /// Waits `grace` for the worker to go, then kills its whole group. Always leaves nothing.
    fn end(&mut self, grace: Duration) {
        self.commands = None;
        self.unwanted.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + grace;
        while self.exited.is_none() && Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => self.exited = Some((status, Instant::now())),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        // Also when the worker itself is gone: whatever else is in its group must not stay.
        let _gone_already = killpg(self.group, Signal::SIGKILL);
        if self.exited.is_none()
            && let Ok(status) = self.child.wait()
        {
            self.exited = Some((status, Instant::now()));
        }
        self.phase = Phase::Over;
    }

    fn done_failed(&mut self, kind: ErrorKind, message: String) -> Update {
        Update::Done(Box::new(self.fail(kind, message)))
    }

    fn fail(&mut self, kind: ErrorKind, message: String) -> Run {
        let stage = self.stage;
        self.fail_with(&Failure {
            kind,
            stage,
            message,
        })
    }

    fn fail_with(&mut self, failure: &Failure) -> Run {
        if !matches!(self.phase, Phase::Over) {
            self.end(Duration::ZERO);
        }
        let failure = Failure {
            message: super::log::escape(&failure.message, LogLine::MAX_CHARS),
            ..*failure
        };
        let mut run = failed_run(&self.request, self.started_ms, failure);
        run.wall_s = self.started.elapsed().as_secs_f64();
        run.environment = self.environment.clone().unwrap_or_default();
        run.log = self.ring.tail(FAILED_TAIL);
        run.telemetry = std::mem::take(&mut self.telemetry);
        run
    }

    fn done(&mut self, report: Report) -> Update {
        self.end(Duration::from_secs(1));
        self.beats = report.beats;
        let mut measurement = report.measurement;
        let environment = self.environment.clone().unwrap_or_default();
        measurement.fps.source = environment.summary().into();
        let mut telemetry = std::mem::take(&mut self.telemetry);
        telemetry.timed = report.timed;
        let mut run = Run {
            schema: Run::SCHEMA,
            started_ms: self.started_ms,
            wall_s: self.started.elapsed().as_secs_f64(),
            model: report.model,
            request: self.request.clone(),
            environment,
            deployment: None,
            comparison: None,
            outcome: Outcome::Finished(Box::new(measurement)),
            log: self.ring.lines().cloned().collect(),
            marks: Vec::new(),
            telemetry,
        };
        run.read_telemetry();
        Update::Done(Box::new(run))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !matches!(self.phase, Phase::Over) {
            self.end(Duration::ZERO);
        }
    }
}

fn failed_run(request: &Request, started_ms: u64, failure: Failure) -> Run {
    let name = request
        .model
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    Run {
        schema: Run::SCHEMA,
        started_ms,
        wall_s: 0.0,
        model: ModelRef {
            name: name.into_owned(),
            ..ModelRef::default()
        },
        request: request.clone(),
        environment: Environment::default(),
        deployment: None,
        comparison: None,
        outcome: Outcome::Failed(failure),
        log: Vec::new(),
        marks: Vec::new(),
        telemetry: Telemetry::default(),
    }
}

/// Starts the threads that read and write the worker's pipes.
fn wire(
    child: &mut Child,
    lines: &SyncSender<Incoming>,
    unsent: &Arc<OnceLock<String>>,
) -> std::io::Result<Sender<Outgoing>> {
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    if let Some(stdout) = child.stdout.take() {
        let lines = lines.clone();
        thread("worker-stdout").spawn(move || read_events(stdout, &lines))?;
    }
    if let Some(stderr) = child.stderr.take() {
        let lines = lines.clone();
        thread("worker-stderr").spawn(move || {
            read_lines(stderr, 64 * 1024, |line| {
                let line = match line {
                    Line::Whole(text) | Line::Cut(text) => Incoming::Stderr(text),
                };
                lines.send(line).is_ok()
            });
        })?;
    }
    // Few commands are ever sent, and the writer alone may block on a worker that does not read.
    #[expect(clippy::disallowed_methods, reason = "a handful of commands per run")]
    let (commands, queue) = std::sync::mpsc::channel::<Outgoing>();
    if let Some(mut stdin) = child.stdin.take() {
        let unsent = Arc::clone(unsent);
        thread("worker-stdin").spawn(move || {
            while let Ok(next) = queue.recv() {
                let sent = match next {
                    Outgoing::Line(line) => stdin.write_all(line.as_bytes()),
                    Outgoing::Files(files) => files
                        .iter()
                        .try_for_each(|(path, bytes)| send_file(path, *bytes, &mut stdin, &unsent)),
                };
                // A file that cannot be read any more ends the worker as well: its stdin closes.
                if sent.and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        })?;
    }
    Ok(commands)
}

/// How often it is said which file is read.
const PACKING: Duration = Duration::from_millis(250);

/// Starts the thread that reads the files of a request: gigabytes of weights take seconds, and a
/// folder on a network maybe for ever.
fn pack(
    request: Request,
    lines: SyncSender<Incoming>,
    unwanted: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let work = move || {
        let mut said = Instant::now();
        let parcel = Parcel::of(&request, &mut |path| {
            let due = said.elapsed() >= PACKING;
            if due {
                said = Instant::now();
            }
            let gone = due && lines.send(Incoming::Packing(path.to_owned())).is_err();
            if gone || unwanted.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        // A client that is gone wants none.
        let _gone = lines.send(Incoming::Packed(Box::new(parcel)));
    };
    let thread = std::thread::Builder::new().name("parcel".into());
    thread.spawn(work).map(drop)
}

/// Sends exactly the bytes that were announced: one more or less and the worker would take the
/// next command for content.
fn send_file(
    path: &Path,
    bytes: u64,
    to: &mut impl Write,
    unsent: &OnceLock<String>,
) -> std::io::Result<()> {
    let lost = |e: std::io::Error| {
        let _first = unsent.set(format!(
            "{} changed while it was sent ({e}); measure again",
            path.display()
        ));
        e
    };
    let mut file = File::open(path).map_err(lost)?;
    let mut chunk = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let n = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = chunk.get_mut(..n).unwrap_or_default();
        file.read_exact(part).map_err(lost)?;
        to.write_all(part)?;
        left -= n as u64;
    }
    Ok(())
}

enum Line {
    Whole(String),
    Cut(String),
}

/// Lines of at most `max` bytes; longer ones are cut and the rest of them dropped. Ends with the
/// stream or when `take` says so.
fn read_lines(stream: impl Read, max: usize, mut take: impl FnMut(Line) -> bool) {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut line: Vec<u8> = Vec::new();
    let mut cut = false;
    loop {
        let Ok(chunk) = stream.fill_buf() else { return };
        if chunk.is_empty() {
            if !line.is_empty() {
                take(Line::Whole(String::from_utf8_lossy(&line).into_owned()));
            }
            return;
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if !cut {
            line.extend_from_slice(&part[..part.len().min(max.saturating_sub(line.len()))]);
        }
        let overflow = !cut && line.len() >= max;
        let used = end.map_or(chunk.len(), |e| e + 1);
        stream.consume(used);
        if overflow {
            cut = true;
            if !take(Line::Cut(String::from_utf8_lossy(&line).into_owned())) {
                return;
            }
            line = Vec::new();
        }
        if end.is_some() {
            if !cut {
                let whole = String::from_utf8_lossy(&line).into_owned();
                if !take(Line::Whole(whole)) {
                    return;
                }
                line.clear();
            }
            cut = false;
        }
    }
}

fn read_events(stdout: impl Read, lines: &SyncSender<Incoming>) {
    read_lines(stdout, protocol::MAX_LINE, |line| {
        let incoming = match line {
            Line::Cut(_) => Incoming::TooLong,
            Line::Whole(text) if text.trim().is_empty() => return true,
            Line::Whole(text) => match protocol::decode::<Event>(&text) {
                Ok(event) => Incoming::Event(Box::new(event)),
                Err(DecodeError::Garbage(_)) => Incoming::Stray(text),
                Err(version) => Incoming::Foreign(version),
            },
        };
        lines.send(incoming).is_ok()
    });
}

/// Asks a worker what its machine is and why engines cannot be built there, a reason each; none
/// where they can. Nothing is built.
///
/// # Errors
/// The worker cannot be started or does not answer: a run that failed.
pub fn probe(
    worker: &WorkerCommand,
    limits: Limits,
) -> Result<(Box<Environment>, Vec<String>), Box<Run>> {
    let nothing = Request::new(
        PathBuf::new(),
        Placement::default(),
        EngineConfig::default(),
    );
    // A worker that waits for no barrier takes no notice of this command.
    let mut client = Client::start(worker, limits, nothing, Command::Go)?;
    loop {
        match client.poll(Duration::from_millis(50)) {
            Update::Hello {
                environment,
                unavailable,
            } => {
                client.cancel();
                return Ok((environment, unavailable));
            }
            Update::Done(run) => return Err(run),
            _ => {}
        }
    }
}

/// Builds and measures one engine. `on` hears what happens, at least ten times a second, and
/// cancels with `Break`. Where more than one
/// process is asked for ([`Timing::processes`](super::Timing)), the first builds and the others
/// measure what it built; the run holds the samples of all, or after a cancel of those that ended.
pub fn profile(
    worker: &WorkerCommand,
    limits: Limits,
    request: Request,
    on: &mut dyn FnMut(&Update) -> ControlFlow<()>,
) -> Run {
    let processes = request.timing.processes;
    let mut again = request.clone();
    again.timing.processes = 1;
    again.per_layer = false;
    again.numeric = NumericReference::None;
    again.save_engine = None;
    let mut run = in_one_process(worker, limits, request, on);
    for nth in 2..=processes {
        let Outcome::Finished(measured) = &mut run.outcome else {
            break;
        };
        let mut rebuilds = false;
        let mut label = |update: &Update| match update {
            Update::Progress {
                stage: Stage::Parse,
                ..
            } => {
                rebuilds = true;
                ControlFlow::Break(())
            }
            Update::Progress {
                stage,
                fraction,
                detail,
            } => on(&Update::Progress {
                stage: *stage,
                fraction: *fraction,
                detail: format!("(process {nth} of {processes}) {detail}"),
            }),
            other => on(other),
        };
        let next = in_one_process(worker, limits, again.clone(), &mut label);
        run.wall_s += next.wall_s;
        let worth = |l: &LogLine| l.level <= Level::Warning;
        run.log.extend(next.log.into_iter().filter(worth));
        match next.outcome {
            Outcome::Finished(more) if more.cached => {
                measured.join(*more);
                run.telemetry.join(&next.telemetry);
                run.read_telemetry();
            }
            Outcome::Failed(f) if f.kind == ErrorKind::Cancelled && !rebuilds => {
                let text = format!("cancelled after {} of {processes} processes", nth - 1);
                run.log.push(LogLine::new(Level::Warning, &text));
                break;
            }
            Outcome::Failed(mut failure) if !rebuilds => {
                failure.message = format!("process {nth} of {processes}: {}", failure.message);
                run.outcome = Outcome::Failed(failure);
            }
            _ => {
                let message = format!(
                    "process {nth} of {processes} found no engine in the cache, and another build \
                     is another engine: is there room on the disk, and may dlaplan write there?"
                );
                run.outcome = Outcome::Failed(Failure {
                    kind: ErrorKind::Refused,
                    stage: Stage::Check,
                    message,
                });
            }
        }
    }
    run
}

fn in_one_process(
    worker: &WorkerCommand,
    limits: Limits,
    request: Request,
    on: &mut dyn FnMut(&Update) -> ControlFlow<()>,
) -> Run {
    let mut client = match Client::profile(worker, limits, request, false) {
        Ok(client) => client,
        Err(run) => return *run,
    };
    loop {
        let update = client.poll(Duration::from_millis(50));
        if let Update::Done(run) = update {
            return *run;
        }
        if on(&update).is_break() {
            return *client.cancel();
        }
    }
}

/// Builds one engine; see [`profile`].
///
/// # Errors
/// The run that failed.
pub fn build(
    worker: &WorkerCommand,
    limits: Limits,
    request: Request,
    on: &mut dyn FnMut(&Update) -> ControlFlow<()>,
) -> Result<Box<Built>, Box<Run>> {
    let client = Client::build(worker, limits, request)?;
    wait_for(client, on, &|update| match update {
        Update::Built(built) => Ok(built),
        other => Err(other),
    })
}

/// Waits for the end that a command has.
fn wait_for<T>(
    mut client: Client,
    on: &mut dyn FnMut(&Update) -> ControlFlow<()>,
    end: &dyn Fn(Update) -> Result<T, Update>,
) -> Result<T, Box<Run>> {
    loop {
        match end(client.poll(Duration::from_millis(50))) {
            Ok(end) => return Ok(end),
            Err(Update::Done(run)) => return Err(run),
            Err(update) => {
                if on(&update).is_break() {
                    return Err(client.cancel());
                }
            }
        }
    }
}

/// Asks a worker which ops of a network inside the program TensorRT would run on the DLA; see [`profile`].
///
/// # Errors
/// The run that failed.
pub fn ask(
    worker: &WorkerCommand,
    limits: Limits,
    request: Request,
    on: &mut dyn FnMut(&Update) -> ControlFlow<()>,
) -> Result<BTreeMap<String, bool>, Box<Run>> {
    let command = Command::Ask {
        request: Box::new(request.clone()),
    };
    let client = Client::start(worker, limits, request, command)?;
    wait_for(client, on, &|update| match update {
        Update::Answered(can_run_on_dla) => Ok(can_run_on_dla),
        other => Err(other),
    })
}
