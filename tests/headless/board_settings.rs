//! Power mode and clocks that a measurement sets and puts back, with tools of the board's names that
//! write down every call.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use dlaplan::engine::protocol::{Command as Order, Event, decode, encode};
use dlaplan::engine::{BoardSettings, Environment, Request};
use dlaplan::placement::{EngineConfig, Placement};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sshd;

const GPU: &str = "sys/class/devfreq/17000000.gpu";
const MASK: &str = "sys/devices/platform/gpu.0/tpc_pg_mask";

/// Mode 1 has another cap, mode 2 another TPC mask.
const CONFIG: &str = "< PARAM TYPE=FILE NAME=TPC_POWER_GATING >\n\
    TPC_PG_MASK /sys/devices/platform/gpu.0/tpc_pg_mask\n\
    < POWER_MODEL ID=0 NAME=MAXN >\nTPC_POWER_GATING TPC_PG_MASK 240\n\
    < POWER_MODEL ID=1 NAME=15W >\nTPC_POWER_GATING TPC_PG_MASK 240\n\
    < POWER_MODEL ID=2 NAME=10W >\nTPC_POWER_GATING TPC_PG_MASK 252\n";

const SUDO: &str = r#"[ "$1" = -n ] || exit 9; shift
if [ -e "$BOARD/refuse" ]; then echo "sudo: a password is required" >&2; exit 1; fi
exec "$@""#;
const NVPMODEL: &str = r#"echo "nvpmodel $*" >>"$BOARD/calls"
if [ -e "$BOARD/broken" ]; then exit 3; fi
printf 'pmode:%04d' "$2" >"$BOARD/root/var/lib/nvpmodel/status""#;
const JETSON_CLOCKS: &str = r#"g=$BOARD/root/sys/class/devfreq/17000000.gpu
echo "jetson_clocks $1" >>"$BOARD/calls"
case "$1" in
--store) [ ! -e "$2" ] || { echo "Error: file $2 already exists!"; exit 1; }; cp $g/min_freq "$2";;
--restore) cp "$2" $g/min_freq;;
*) cp $g/max_freq $g/min_freq;;
esac"#;

struct Board {
    folder: tempfile::TempDir,
}

impl Board {
    fn new() -> Self {
        let board = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, text) in [
            ("sudo", SUDO),
            ("nvpmodel", NVPMODEL),
            ("jetson_clocks", JETSON_CLOCKS),
        ] {
            board.put(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
            let path = board.path().join("bin").join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        board.put("root/etc/nvpmodel.conf", CONFIG);
        board.put("root/var/lib/nvpmodel/status", "pmode:0000");
        board.put(&format!("root/{MASK}"), "240\n");
        for (file, hz) in [("cur", 306), ("min", 306), ("max", 918)] {
            board.put(&format!("root/{GPU}/{file}_freq"), &format!("{hz}000000\n"));
        }
        board
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_default()
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.text("calls");
        calls.lines().map(|l| l.trim().to_owned()).collect()
    }

    /// Mode and lowest clock (MHz).
    fn state(&self) -> (String, String) {
        let mhz = self.text(&format!("root/{GPU}/min_freq"));
        (
            self.text("root/var/lib/nvpmodel/status"),
            mhz.trim().trim_end_matches("000000").to_owned(),
        )
    }

    /// The environment that has the tools.
    fn variables(&self) -> [(&'static str, String); 4] {
        let path = std::env::var("PATH").unwrap();
        let here = self.path().display();
        [
            ("PATH", format!("{here}/bin:{path}")),
            ("BOARD", here.to_string()),
            ("HOME", here.to_string()),
            ("XDG_CACHE_HOME", format!("{here}/cache")),
        ]
    }

    fn worker(&self, args: &[&str]) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dlaplan"));
        command
            .args(["worker", "--root"])
            .arg(self.path().join("root"))
            .args(args)
            .envs(self.variables());
        Worker::start(command)
    }

    /// The same over ssh. The worker ends when it has heard nothing for a second.
    fn worker_behind(&self, there: &sshd::Board) -> Worker {
        let variables = self
            .variables()
            .map(|(name, value)| format!("{name}='{value}'"));
        let mut command = there.ssh();
        command.arg("board").arg(format!(
            "exec env {} {} worker --root {}/root --silence 1 {}",
            variables.join(" "),
            there.program.display(),
            self.path().display(),
            BOTH.join(" ")
        ));
        Worker::start(command)
    }

    /// Waits until all is as it was before, and nothing is left in the folder but the locks.
    fn restored(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let left = || {
            let folder = fs::read_dir(self.path().join("cache/dlaplan/board"));
            let names = folder.unwrap().flatten().map(|e| e.file_name());
            let mut names: Vec<_> = names.map(|n| n.into_string().unwrap()).collect();
            names.sort();
            names
        };
        while self.state() != untouched() || left() != ["lease", "users"] {
            assert!(Instant::now() < deadline, "{:?} {:?}", self.state(), left());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Worker {
    /// Starts it and waits for its first word.
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut worker = Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            environment: Environment::default(),
            unavailable: Vec::new(),
            warnings: Vec::new(),
        };
        loop {
            match worker.event() {
                Event::Hello {
                    environment,
                    unavailable,
                } => {
                    worker.environment = *environment;
                    worker.unavailable = unavailable;
                    return worker;
                }
                Event::Warning { text } => worker.warnings.push(text),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn untouched() -> (String, String) {
    ("pmode:0000".into(), "306".into())
}

struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    environment: Environment,
    unavailable: Vec<String>,
    warnings: Vec<String>,
}

impl Worker {
    fn event(&mut self) -> Event {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended");
            if !line.trim().is_empty() {
                return decode(&line).unwrap();
            }
        }
    }

    fn say(&mut self, order: Order) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(encode(order).as_bytes()).unwrap();
    }

    fn refusal(&self) -> String {
        self.unavailable.join("\n")
    }

    fn kill(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL).unwrap();
        self.child.wait().unwrap();
    }

    /// The process that puts everything back.
    fn guard(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(children).unwrap();
        Pid::from_raw(children.trim().parse().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stdin = None;
        let _ended = self.child.wait();
    }
}

const BOTH: [&str; 3] = ["--power-mode", "1", "--lock-clocks"];
const SET: [&str; 3] = ["jetson_clocks --store", "nvpmodel -m 1", "jetson_clocks"];
const BACK: [&str; 3] = [
    "jetson_clocks --restore",
    "nvpmodel -m 0",
    "jetson_clocks --restore",
];

fn held() -> (String, String) {
    ("pmode:0001".into(), "918".into())
}

#[test]
fn settings_are_in_force_before_the_machine_is_described_and_back_after_every_end() {
    type End = (&'static str, fn(&mut Worker));
    let ends: [End; 4] = [
        ("cut link", |w| w.stdin = None),
        ("cancel", |w| w.say(Order::Cancel)),
        ("kill -9", Worker::kill),
        ("finish", |w| {
            let request = Request::new(
                "/missing.onnx".into(),
                Placement::default(),
                EngineConfig::default(),
            );
            w.say(Order::Profile {
                request: Box::new(request),
                barrier: false,
            });
            while !matches!(w.event(), Event::Failed { .. }) {}
        }),
    ];
    for (name, end) in ends {
        let board = Board::new();
        let mut worker = board.worker(&BOTH);
        assert_eq!(board.calls(), SET, "{name}");
        assert_eq!(board.state(), held());
        assert_eq!(worker.environment.power_mode.as_deref(), Some("15W"));
        assert_eq!(worker.environment.clock_ranges[0].locked(), Some(true));
        end(&mut worker);
        if name == "finish" {
            assert_eq!(board.state(), untouched(), "before the result is known");
        }
        board.restored();
        assert_eq!(board.calls(), [SET, BACK].concat(), "{name}");
    }
}

#[test]
fn what_is_not_asked_is_not_touched() {
    let board = Board::new();
    drop(board.worker(&[]));
    drop(board.worker(&["--power-mode", "0"]));
    assert_eq!(board.calls(), [""; 0]);
    let worker = board.worker(&["--lock-clocks"]);
    let lock = ["jetson_clocks --store", "jetson_clocks"];
    let settings = BoardSettings {
        power_mode: None,
        lock_clocks: true,
    };
    let foreseen = settings.applied(&Board::new().worker(&[]).environment);
    assert_eq!(foreseen.power_mode, worker.environment.power_mode);
    let gpu = |e: &Environment| e.clock_ranges[0].clone();
    assert_eq!(gpu(&foreseen), gpu(&worker.environment));
    assert_eq!(board.calls(), lock);
    drop(worker);
    board.restored();
    assert_eq!(board.calls()[2..], ["jetson_clocks --restore"]);
}

#[test]
fn the_next_worker_puts_back_what_a_killed_guard_left() {
    let board = Board::new();
    let mut worker = board.worker(&BOTH);
    let guard = worker.guard();
    // While it lives, another worker leaves everything alone.
    drop(board.worker(&[]));
    assert_eq!(board.state(), held());
    // An end of the terminal or of the worker's group does not reach the guard.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        kill(guard, signal).unwrap();
    }
    kill(guard, Signal::SIGKILL).unwrap();
    worker.kill();
    assert_eq!(board.state(), held());
    let next = board.worker(&[]);
    assert_eq!(board.state(), untouched());
    assert!(next.warnings[0].contains("put back"), "{:?}", next.warnings);
    board.restored();
    assert!(board.worker(&[]).warnings.is_empty());
}

#[test]
fn engines_side_by_side_share_the_settings_until_the_last_ends() {
    let board = Board::new();
    let first = board.worker(&BOTH);
    let second = board.worker(&BOTH);
    assert_eq!(second.environment.power_mode.as_deref(), Some("15W"));
    assert_eq!(board.calls(), SET, "set once");
    drop(first);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(board.state(), held());
    drop(second);
    board.restored();
}

#[test]
fn sudo_that_asks_for_a_password_gives_the_command_to_paste() {
    let board = Board::new();
    board.put("refuse", "");
    let worker = board.worker(&BOTH);
    let why = worker.refusal();
    for part in [
        "password",
        "`sudo nvpmodel -m 1 && sudo jetson_clocks --store && sudo jetson_clocks`",
        "`sudo jetson_clocks --restore && sudo nvpmodel -m 0`",
    ] {
        assert!(why.contains(part), "no {part} in {why}");
    }
    assert_eq!((board.calls(), board.state()), (vec![], untouched()));
    drop(worker);
    board.restored();
}

#[test]
fn a_mode_that_needs_a_reboot_or_does_not_exist_is_refused() {
    let board = Board::new();
    let refusal = |id: &str| board.worker(&["--power-mode", id]).refusal();
    let reboot = refusal("2");
    assert!(
        reboot.contains("10W") && reboot.contains("reboot"),
        "{reboot}"
    );
    assert!(refusal("9").contains("0 MAXN, 1 15W, 2 10W"));
    let modes = board.worker(&[]).environment.power_modes.clone();
    let reboots: Vec<bool> = modes.iter().map(|m| m.reboot).collect();
    assert_eq!(reboots, [false, false, true]);
    // The kernel's mask counts, whatever the status file says.
    board.put(&format!("root/{MASK}"), "252\n");
    assert!(refusal("1").contains("reboot"));
    assert_eq!(board.calls(), [""; 0]);
}

#[test]
fn a_tool_that_fails_leaves_everything_as_it_was() {
    let board = Board::new();
    board.put("broken", "");
    let worker = board.worker(&BOTH);
    let why = worker.refusal();
    assert!(why.contains("nvpmodel: exit status: 3"), "{why}");
    // nvpmodel is still broken, so the note stays for the next start.
    assert!(
        why.contains("sudo nvpmodel -m 0 && sudo jetson_clocks --restore"),
        "{why}"
    );
    fs::remove_file(board.path().join("broken")).unwrap();
    drop(worker);
    drop(board.worker(&[]));
    board.restored();
}

#[test]
fn a_link_that_is_cut_puts_everything_back() {
    let Some((there, link)) = sshd::Board::behind_a_link() else {
        return;
    };
    // The client's end, and a link that says nothing any more.
    for silent in [false, true] {
        let board = Board::new();
        let mut worker = board.worker_behind(&there);
        assert_eq!(board.state(), held());
        if silent {
            link.cut();
        } else {
            worker.child.kill().unwrap();
        }
        board.restored();
        assert_eq!(board.calls(), [SET, BACK].concat());
        let _ended = worker.child.kill();
    }
}
