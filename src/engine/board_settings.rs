//! Power mode and clocks of a Jetson for the time of a measurement. They are set with the board's own
//! tools, only when the user asks, and put back however the measurement ends.
//!
//! Before anything changes, what was there is written down in a folder of the user's and a second
//! process, the guard, is started. It waits for the worker's end, which closes a pipe whatever the
//! end is (a kill too), and puts everything back. Where the guard is killed as well, the next worker
//! of the user finds the note and does it. Two locks say who is there: the lease is the guard's, and
//! workers that measure with the same settings beside the first share the other one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use super::environment;
use super::log::escape;
use super::run::{Environment, unix_ms};
use crate::files::save_atomic;

/// Longest run of one tool.
const TOOL: Duration = Duration::from_secs(15);
/// How long to wait for another measurement to put its settings back.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for the guard.
const GUARD: Duration = Duration::from_mins(1);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);
/// Most output of a tool that is read, bytes.
const MAX_OUTPUT: u64 = 64 << 10;

/// What a measurement asks of the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardSettings {
    /// nvpmodel's mode, by its id.
    pub power_mode: Option<u32>,
    /// Clocks held at their highest, by jetson_clocks.
    pub lock_clocks: bool,
}

impl BoardSettings {
    /// Nothing is asked.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// As a worker takes them.
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(id) = self.power_mode {
            words.extend(["--power-mode".to_owned(), id.to_string()]);
        }
        if self.lock_clocks {
            words.push("--lock-clocks".to_owned());
        }
        words
    }

    /// A machine as it will be with the settings in force.
    pub fn applied(&self, machine: &Environment) -> Environment {
        let mut with = machine.clone();
        let mut modes = machine.power_modes.iter();
        if let Some(mode) = modes.find(|m| Some(m.id) == self.power_mode) {
            with.power_mode = Some(mode.name.clone());
        }
        let gpu = with.clock_ranges.iter_mut().find(|c| c.name == "gpu");
        if let Some(gpu) = gpu.filter(|_| self.lock_clocks) {
            gpu.min_mhz = gpu.max_mhz;
        }
        with
    }

    /// The commands that set it, without those that note and restore.
    pub fn commands(&self) -> String {
        let mode = self.power_mode.map(|id| format!("sudo nvpmodel -m {id}"));
        let clocks = self.lock_clocks.then(|| "sudo jetson_clocks".to_owned());
        let all: Vec<String> = mode.into_iter().chain(clocks).collect();
        all.join(", ")
    }

    /// What a user types to the same end.
    fn by_hand(&self) -> String {
        let mut commands = Vec::new();
        if let Some(id) = self.power_mode {
            commands.push(format!("sudo nvpmodel -m {id}"));
        }
        if self.lock_clocks {
            commands.push("sudo jetson_clocks --store && sudo jetson_clocks".to_owned());
        }
        commands.join(" && ")
    }
}

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    /// What was asked.
    settings: BoardSettings,
    /// The mode to go back to, where another one was asked.
    mode: Option<u32>,
    /// What `jetson_clocks --store` wrote.
    clocks: PathBuf,
}

impl Before {
    fn path(folder: &Path) -> PathBuf {
        folder.join("before.json")
    }

    fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(Self::path(folder)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What a user types to put everything back and to have the note forgotten.
    fn by_hand(&self, folder: &Path) -> String {
        let mode = self.mode.map(|id| format!("sudo nvpmodel -m {id} && "));
        let mode = mode.unwrap_or_default();
        let (clocks, note) = (self.clocks.display(), Self::path(folder));
        format!(
            "{mode}sudo jetson_clocks --restore {clocks} && rm {}",
            note.display()
        )
    }
}

/// The folder that notes and locks are in; `None` without a home folder.
pub fn folder() -> Option<PathBuf> {
    Some(environment::cache_dir()?.join("board"))
}

/// BoardSettings in force. [`Self::release`] puts back what was there before; without it the guard does,
/// when this process ends.
pub struct Held {
    guard: Option<Guard>,
    /// Shared while another worker's guard keeps the same settings.
    _beside: Option<File>,
}

struct Guard {
    process: Child,
    /// Closes when this process ends.
    life: Option<ChildStdin>,
    said: BufReader<ChildStderr>,
    folder: PathBuf,
}

/// Puts settings in force on the machine whose files are below `root`. `program` is this program,
/// which becomes the guard.
///
/// # Errors
/// Why that cannot be, and what the user can do. Everything is as it was.
pub fn hold(
    settings: BoardSettings,
    root: &Path,
    folder: &Path,
    program: &Path,
) -> Result<Held, String> {
    let present = environment::power_mode::id(root);
    let mode = match settings.power_mode {
        Some(id) => wanted_mode(root, id, present)?,
        None => None,
    };
    if mode.is_none() && !settings.lock_clocks {
        // All is as it is asked for.
        return Ok(Held {
            guard: None,
            _beside: None,
        });
    }
    let here = |e: std::io::Error| format!("{}: {e}; may dlaplan write there?", folder.display());
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(here)?;
    let lease = lock_file(folder, "lease").map_err(here)?;
    let users = lock_file(folder, "users").map_err(here)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if lease.try_lock().is_ok() {
            break;
        }
        let same = Before::read(folder).is_some_and(|b| b.settings == settings);
        if same && users.try_lock_shared().is_ok() {
            return Ok(Held {
                guard: None,
                _beside: Some(users),
            });
        }
        if Instant::now() > deadline {
            return Err(
                "another measurement keeps this board's power mode or clocks; wait for its end"
                    .into(),
            );
        }
        std::thread::sleep(LOOK);
    }
    // Nobody joins before everything is set.
    users.lock().map_err(here)?;
    restore(folder)?;
    let guard = Guard::start(program, folder, lease)?;
    let held = Held {
        guard: Some(guard),
        _beside: None,
    };
    match set(settings, mode, root, folder) {
        Ok(()) => Ok(held),
        Err(why) => {
            drop(users);
            match held.release() {
                Ok(()) => Err(why),
                Err(also) => Err(format!("{why}; {also}")),
            }
        }
    }
}

/// The mode to go back to; none where the wanted one is in force.
fn wanted_mode(root: &Path, id: u32, present: Option<u32>) -> Result<Option<u32>, String> {
    let modes = environment::power_mode::modes(root);
    let Some(mode) = modes.iter().find(|m| m.id == id) else {
        let known: Vec<String> = modes
            .iter()
            .map(|m| format!("{} {}", m.id, m.name))
            .collect();
        return Err(if known.is_empty() {
            "this machine has no power modes (/etc/nvpmodel.conf); measure without --power-mode"
                .into()
        } else {
            format!(
                "there is no power mode {id}; this board has {}",
                known.join(", ")
            )
        });
    };
    if mode.reboot {
        return Err(format!(
            "power mode {id} ({}) switches other parts of the GPU on or off (TPC mask), which needs a \
             reboot: run `sudo nvpmodel -m {id}`, let the board start again, and measure without \
             --power-mode",
            mode.name
        ));
    }
    let present = present.ok_or(
        "the present power mode cannot be read (/var/lib/nvpmodel/status), so it could not be put \
         back; measure without --power-mode",
    )?;
    Ok((present != id).then_some(present))
}

fn lock_file(folder: &Path, name: &str) -> std::io::Result<File> {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false);
    options.open(folder.join(name))
}

/// Notes what is there, then changes it.
fn set(
    settings: BoardSettings,
    mode: Option<u32>,
    root: &Path,
    folder: &Path,
) -> Result<(), String> {
    // jetson_clocks asks before it writes over a file.
    let clocks = folder.join(format!("clocks-{}-{}", unix_ms(), std::process::id()));
    let before = Before {
        settings,
        mode,
        clocks,
    };
    let note = serde_json::to_vec(&before).map_err(|e| e.to_string())?;
    save_atomic(&Before::path(folder), &note).map_err(|e| e.to_string())?;
    let explain = |e: ToolError| match e {
        ToolError::Refused(why) => format!(
            "sudo needs a password there ({why}), so nothing was changed. Run `{}` on the board, \
             measure without --power-mode and --lock-clocks, and put it back with `{}`",
            settings.by_hand(),
            undo(settings, mode)
        ),
        ToolError::Failed(why) => why,
    };
    tool(
        "jetson_clocks",
        &[OsStr::new("--store"), before.clocks.as_os_str()],
    )
    .map_err(explain)?;
    if !before.clocks.exists() {
        return Err(format!(
            "jetson_clocks --store did not write {}, so nothing was changed",
            before.clocks.display()
        ));
    }
    if let (Some(id), Some(_)) = (settings.power_mode, mode) {
        tool("nvpmodel", &[OsStr::new("-m"), OsStr::new(&id.to_string())]).map_err(explain)?;
        let now = environment::power_mode::id(root);
        if now != Some(id) {
            return Err(format!(
                "nvpmodel -m {id} changed nothing: the mode is {now:?}"
            ));
        }
    }
    if settings.lock_clocks {
        tool("jetson_clocks", &[]).map_err(explain)?;
    }
    Ok(())
}

/// What a user types to undo what a user has typed.
fn undo(settings: BoardSettings, mode: Option<u32>) -> String {
    let mut commands = Vec::new();
    if settings.lock_clocks {
        commands.push("sudo jetson_clocks --restore".to_owned());
    }
    commands.extend(mode.map(|id| format!("sudo nvpmodel -m {id}")));
    commands.join(" && ")
}

/// Puts back what was there before the settings that a note tells of; nothing where there is none.
/// Only with the lease.
fn restore(folder: &Path) -> Result<(), String> {
    let Some(before) = Before::read(folder) else {
        return Ok(());
    };
    let gone = |path: &Path| match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {e}; remove it", path.display()))
        }
        _ => Ok(()),
    };
    // The first step writes that file: without it nothing was changed.
    if before.clocks.exists() {
        let args = [OsStr::new("--restore"), before.clocks.as_os_str()];
        let put_back = || {
            if let Some(id) = before.mode {
                // Held clocks may keep a mode from being set; what fails now is done again below.
                let _tried = tool("jetson_clocks", &args);
                tool("nvpmodel", &[OsStr::new("-m"), OsStr::new(&id.to_string())])?;
            }
            tool("jetson_clocks", &args)
        };
        put_back().map_err(|e| {
            let why = match e {
                ToolError::Refused(why) | ToolError::Failed(why) => why,
            };
            format!(
                "power mode and clocks are not as they were before ({why}): run `{}` on the board",
                before.by_hand(folder)
            )
        })?;
        gone(&before.clocks)?;
    }
    gone(&Before::path(folder))
}

/// Puts back what a measurement left behind whose guard was killed too. True where there was
/// something.
///
/// # Errors
/// It cannot be put back, and the command that does it.
pub fn recover(folder: &Path) -> Result<bool, String> {
    if !Before::path(folder).exists() {
        return Ok(false);
    }
    let Ok(lease) = lock_file(folder, "lease") else {
        return Ok(false);
    };
    // Else a measurement is under way, whose guard lives.
    if lease.try_lock().is_err() {
        return Ok(false);
    }
    restore(folder).map(|()| true)
}

impl Held {
    /// Puts back what was there before. Where other workers still measure with the settings, the
    /// guard does it after them.
    ///
    /// # Errors
    /// It cannot be put back, and the command that does it.
    pub fn release(mut self) -> Result<(), String> {
        match self.guard.take() {
            Some(guard) => guard.release(),
            None => Ok(()),
        }
    }
}

impl Guard {
    /// Starts the guard, which takes the lease over, and waits until it is there.
    fn start(program: &Path, folder: &Path, lease: File) -> Result<Self, String> {
        let fail = |e: &dyn std::fmt::Display| {
            format!("the process that puts the settings back cannot be started: {e}")
        };
        let mut process = Command::new(program)
            .args(["worker", "--guard"])
            .arg(folder)
            .stdin(Stdio::piped())
            // The lock lives as long as this file is open there.
            .stdout(lease)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| fail(&e))?;
        let life = process.stdin.take();
        let said = process.stderr.take().ok_or_else(|| fail(&"no pipe"))?;
        let mut guard = Self {
            process,
            life,
            said: BufReader::new(said),
            folder: folder.to_owned(),
        };
        match guard.hear().as_deref() {
            Some("ready") => Ok(guard),
            other => Err(fail(&other.unwrap_or("it ended at once"))),
        }
    }

    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = (&mut self.said).take(MAX_OUTPUT).read_line(&mut line);
        (read.ok()? > 0).then(|| line.trim().to_owned())
    }

    fn release(mut self) -> Result<(), String> {
        self.life = None;
        let said = self.hear();
        if said.as_deref() == Some("others") {
            return Ok(());
        }
        let deadline = Instant::now() + GUARD;
        let status = loop {
            match self.process.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
                _ => return Err(self.left("its guard does not end")),
            }
        };
        if status.success() {
            return Ok(());
        }
        Err(match said {
            Some(why) => why,
            None => self.left("its guard ended early"),
        })
    }

    fn left(&self, why: &str) -> String {
        match Before::read(&self.folder) {
            Some(before) => format!(
                "power mode and clocks may not be as they were before ({why}): run `{}` on the board",
                before.by_hand(&self.folder)
            ),
            None => why.to_owned(),
        }
    }
}

/// `dlaplan worker --guard`: waits for the end of stdin, which is the worker's, then puts back what
/// was there before.
pub fn guard(folder: &Path) -> ExitCode {
    // No end of a terminal or of a process group reaches it. It is no leader of a group: it was
    // started without one.
    let _led = nix::unistd::setsid();
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    let _blocked = signals.thread_block();
    let say = |text: &str| {
        // The worker may be gone.
        let _gone = writeln!(std::io::stderr(), "{text}");
    };
    say("ready");
    let mut ignored = Vec::new();
    let _end = std::io::stdin().read_to_end(&mut ignored);
    // Other workers measure with these settings until they end.
    if let Ok(users) = lock_file(folder, "users")
        && users.try_lock().is_err()
    {
        say("others");
        let _alone = users.lock();
    }
    match restore(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

/// Why a tool did not do its work.
enum ToolError {
    /// sudo does not let it run.
    Refused(String),
    /// It failed.
    Failed(String),
}

/// Runs a tool as root, without a question: `sudo -n TOOL ARGS`.
fn tool(name: &str, args: &[&OsStr]) -> Result<(), ToolError> {
    let failed = |why: String| ToolError::Failed(format!("{name}: {why}"));
    let mut output = tempfile::tempfile().map_err(|e| failed(e.to_string()))?;
    let both =
        || -> std::io::Result<(File, File)> { Ok((output.try_clone()?, output.try_clone()?)) };
    let start = |mut command: Command| -> std::io::Result<Child> {
        let (out, err) = both()?;
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
    };
    let mut sudo = Command::new("sudo");
    sudo.arg("-n").arg(name);
    let started = match start(sudo) {
        // A system without sudo, whose user is root.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && nix::unistd::geteuid().is_root() => {
            start(Command::new(name))
        }
        other => other,
    };
    let mut process = started.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => failed(
            "this machine has no such tool, or no sudo; power modes and held clocks are a Jetson's"
                .into(),
        ),
        _ => failed(e.to_string()),
    })?;
    let deadline = Instant::now() + TOOL;
    let status = loop {
        match process.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) => {
                let _ended = process.kill().and_then(|()| process.wait());
                return Err(failed(format!("did not end within {} s", TOOL.as_secs())));
            }
            Err(e) => return Err(failed(e.to_string())),
        }
    };
    let mut text = Vec::new();
    let read = output
        .rewind()
        .and_then(|()| (&output).take(MAX_OUTPUT).read_to_end(&mut text));
    read.map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text
        .lines()
        .map(|l| escape(l.trim(), 300))
        .filter(|l| !l.is_empty());
    // jetson_clocks ends with 0 whatever it has not done; nvpmodel asks whether to reboot.
    let bad = |l: &String| l.starts_with("Error") || l.to_ascii_lowercase().contains("reboot");
    let trouble = lines.clone().find(bad);
    if status.success() && trouble.is_none() {
        return Ok(());
    }
    if let Some(line) = lines.clone().find(|l| l.starts_with("sudo:")) {
        return Err(ToolError::Refused(line));
    }
    let why = trouble
        .or_else(|| lines.next_back())
        .unwrap_or_else(|| status.to_string());
    Err(failed(why))
}
