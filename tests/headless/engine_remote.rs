//! Workers on other machines: files that travel, and OpenSSH in between.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests"
)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::sshd::{Board, PROGRAM, fingerprint, ran, said};
use dlaplan::engine::client::{Limits, Update, profile};
use dlaplan::engine::protocol::{Command, Entry, Event, decode, encode};
use dlaplan::engine::remote::kept::{KEPT, LIMIT};
use dlaplan::engine::remote::ssh::Host;
use dlaplan::engine::{
    Calibration, Environment, ErrorKind, Failure, ModelRef, Outcome, Request, Stage, WorkerCommand,
};
use dlaplan::placement::{EngineConfig, Placement};

fn entry(name: &str, content: &[u8]) -> Entry {
    Entry {
        name: name.into(),
        bytes: content.len() as u64,
        blake3: blake3::hash(content).to_hex().to_string(),
    }
}

/// A worker with a cache folder of its own.
struct Worker {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn new(cache: &Path) -> Self {
        Self::with(cache, &[])
    }

    fn with(cache: &Path, args: &[&str]) -> Self {
        let mut child = Process::new(PROGRAM)
            .arg("worker")
            .args(args)
            .env("XDG_CACHE_HOME", cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn receive(&mut self, entries: &[Entry]) {
        let entries = entries.to_vec();
        self.send(encode(Command::Receive { entries }).as_bytes());
    }

    /// The next word that is neither a greeting nor progress; `None` at the end.
    fn hear(&mut self) -> Option<Event> {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // As the client does.
            if line.trim().is_empty() {
                continue;
            }
            match decode(&line).unwrap() {
                Event::Hello { .. } | Event::Progress { .. } | Event::Log { .. } => {}
                event => return Some(event),
            }
        }
    }

    fn refusal(&mut self) -> String {
        match self.hear() {
            Some(Event::Failed { failure, .. }) => {
                assert_eq!(failure.stage, Stage::Send);
                failure.message
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_worker_keeps_what_it_is_sent() {
    let cache = tempfile::tempdir().unwrap();
    let large = vec![7u8; 3 << 20];
    let files: [(&str, &[u8]); 2] = [("model/model.onnx", b"onnx"), ("model/deep/w.bin", &large)];
    let entries = files.map(|(name, content)| entry(name, content));
    let mut worker = Worker::new(cache.path());
    worker.receive(&entries);
    assert_eq!(worker.hear(), Some(Event::Wanted { wanted: true }));
    for (_, content) in files {
        worker.send(content);
    }
    let Some(Event::Received { folder, cache: own }) = worker.hear() else {
        panic!("nothing received");
    };
    assert!(folder.starts_with(cache.path()) && own.starts_with(cache.path()));
    for (name, content) in files {
        assert_eq!(fs::read(folder.join(name)).unwrap(), content);
    }
    // Known from now on, also to the next worker.
    for mut again in [worker, Worker::new(cache.path())] {
        again.receive(&entries);
        assert_eq!(again.hear(), Some(Event::Wanted { wanted: false }));
        assert!(matches!(again.hear(), Some(Event::Received { folder: f, .. }) if f == folder));
    }
}

/// Gives a new worker a parcel of one small file, and says where it lies.
fn give(cache: &Path, content: &[u8]) -> (Worker, PathBuf) {
    let mut worker = Worker::new(cache);
    worker.receive(&[entry("model/model.onnx", content)]);
    assert_eq!(worker.hear(), Some(Event::Wanted { wanted: true }));
    worker.send(content);
    match worker.hear() {
        Some(Event::Received { folder, .. }) => (worker, folder),
        other => panic!("{other:?}"),
    }
}

fn listed(cache: &Path) -> usize {
    fs::read_dir(cache.join("dlaplan/received"))
        .unwrap()
        .count()
}

#[test]
fn the_oldest_parcels_go_and_those_in_use_stay() {
    let cache = tempfile::tempdir().unwrap();
    let (worker, first) = give(cache.path(), b"first");
    let parcels: Vec<PathBuf> = (0..12u8).map(|i| give(cache.path(), &[i]).1).collect();
    assert_eq!(listed(cache.path()), KEPT);
    assert!(first.join("model/model.onnx").exists(), "it is in use");
    let there: Vec<bool> = parcels.iter().map(|p| p.is_dir()).collect();
    assert_eq!(there[..5], [false; 5]);
    assert_eq!(there[5..], [true; 7]);
    drop(worker);
    let (_worker, _) = give(cache.path(), b"last");
    assert!(!first.exists() && parcels[5].exists());
    assert_eq!(listed(cache.path()), KEPT);
}

#[test]
fn parcels_take_a_limited_part_of_the_disk() {
    let cache = tempfile::tempdir().unwrap();
    let parcels = ["old", "new"].map(|name| cache.path().join("dlaplan/received").join(name));
    for (age, parcel) in [2, 1].into_iter().zip(&parcels) {
        fs::create_dir_all(parcel).unwrap();
        // Takes no room in truth.
        let large = fs::File::create(parcel.join("w.bin")).unwrap();
        large.set_len(LIMIT / 8 * 5).unwrap();
        let when = std::time::SystemTime::now() - Duration::from_hours(age);
        let folder = fs::File::open(parcel).unwrap();
        folder.set_modified(when).unwrap();
    }
    let (_worker, third) = give(cache.path(), b"third");
    assert!(!parcels[0].exists() && third.exists());
    assert!(parcels[1].exists(), "one of them fits");
}

#[test]
fn a_parcel_larger_than_the_disk_is_refused_before_it_is_sent() {
    let cache = tempfile::tempdir().unwrap();
    let (_, small) = give(cache.path(), b"small");
    let mut worker = Worker::new(cache.path());
    let mut large = entry("model/w.bin", b"");
    large.bytes = 1 << 50;
    worker.receive(&[entry("model/model.onnx", b"onnx"), large]);
    let message = worker.refusal();
    let folder = cache.path().join("dlaplan/received");
    for word in [
        folder.to_str().unwrap(),
        "take 1125899.91 GB",
        "GB are all that is free",
        "delete",
        "larger disk",
    ] {
        assert!(message.contains(word), "no {word} in {message}");
    }
    assert!(small.is_dir(), "nothing goes in vain");
    assert_eq!(listed(cache.path()), 1);
    let mut worker = Worker::new(cache.path());
    let mut hostile = entry("a", b"");
    hostile.bytes = u64::MAX;
    let mut other = entry("b", b"");
    other.bytes = u64::MAX;
    worker.receive(&[hostile, other]);
    assert!(worker.refusal().contains("no room"));
}

#[test]
fn what_a_killed_worker_left_goes_with_the_next() {
    let cache = tempfile::tempdir().unwrap();
    let content = [7u8; 100];
    let mut worker = Worker::new(cache.path());
    worker.receive(&[entry("model/model.onnx", &content)]);
    assert_eq!(worker.hear(), Some(Event::Wanted { wanted: true }));
    worker.send(&content[..50]);
    let (_at_work, _) = give(cache.path(), b"meanwhile");
    assert_eq!(listed(cache.path()), 2, "another worker's is left alone");
    drop(worker);
    let (_worker, _) = give(cache.path(), b"after");
    let names = fs::read_dir(cache.path().join("dlaplan/received")).unwrap();
    let hidden = |e: fs::DirEntry| e.file_name().as_bytes().starts_with(b".");
    assert!(!names.flatten().any(hidden));
    assert_eq!(listed(cache.path()), 2);
}

#[test]
fn damaged_and_hostile_parcels_leave_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let mut worker = Worker::new(cache.path());
    worker.receive(&[entry("model/model.onnx", b"right")]);
    assert_eq!(worker.hear(), Some(Event::Wanted { wanted: true }));
    worker.send(b"wrong");
    assert!(worker.refusal().contains("arrived damaged"));
    assert_eq!(worker.hear(), None, "it does not read on");
    let received = cache.path().join("dlaplan/received");
    assert_eq!(fs::read_dir(&received).unwrap().count(), 0);
    for name in ["", "/etc/x", "../x", "a/../../x", "a\\b", "a//./../b"] {
        let mut worker = Worker::new(cache.path());
        worker.receive(&[entry(name, b"x")]);
        assert!(worker.refusal().contains("no name for a file"), "{name}");
    }
    let mut worker = Worker::new(cache.path());
    worker.receive(&[entry("a", b"x"), entry("a", b"x")]);
    assert!(worker.refusal().contains("no name for a file"));
    assert_eq!(fs::read_dir(&received).unwrap().count(), 0);
}

#[test]
fn a_cache_folder_that_cannot_be_named_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let mut worker = Worker::new(&cache.path().join(OsStr::from_bytes(b"n\xe9")));
    worker.receive(&[entry("model/model.onnx", b"onnx")]);
    let message = worker.refusal();
    for word in ["n\\xE9/dlaplan", "not UTF-8", "XDG_CACHE_HOME"] {
        assert!(message.contains(word), "no {word} in {message}");
    }
}

/// From its start on, between commands and in the middle of a file.
#[test]
fn a_worker_ends_when_its_client_is_silent() {
    let cache = tempfile::tempdir().unwrap();
    let patience = ["--silence", "2"];
    let soon = Duration::from_millis(1900)..Duration::from_secs(5);
    let mut worker = Worker::with(cache.path(), &patience);
    let begun = Instant::now();
    assert_eq!(worker.hear(), None);
    assert!(soon.contains(&begun.elapsed()), "{:?}", begun.elapsed());

    // Pings keep it.
    let mut worker = Worker::with(cache.path(), &patience);
    for _ in 0..5 {
        worker.send(encode(Command::Ping).as_bytes());
        std::thread::sleep(Duration::from_millis(600));
    }
    // Any byte of a file does, however slow the link is.
    worker.receive(&[entry("model/model.onnx", b"content")]);
    assert_eq!(worker.hear(), Some(Event::Wanted { wanted: true }));
    for byte in b"cont" {
        std::thread::sleep(Duration::from_millis(600));
        worker.send(&[*byte]);
    }
    let begun = Instant::now();
    let message = worker.refusal();
    assert!(
        message.contains("nothing came from the client for 2 s"),
        "{message}"
    );
    assert!(message.contains("link"), "{message}");
    assert_eq!(worker.hear(), None);
    assert!(soon.contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(listed(cache.path()), 0);
}

fn limits() -> Limits {
    Limits {
        hello: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        ..Limits::default()
    }
}

/// A machine that takes a parcel, notes the request and ends with a failure.
#[test]
fn the_files_of_a_request_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("a model.onnx");
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/resnet18.onnx");
    fs::copy(bundled, &model).unwrap();
    let batches = dir.path().join("batches");
    fs::create_dir(&batches).unwrap();
    fs::write(batches.join("b.npy"), b"second").unwrap();
    fs::write(batches.join("a.npy"), b"first").unwrap();
    fs::write(batches.join("notes.txt"), b"stays").unwrap();
    let size = fs::metadata(&model).unwrap().len() + 11;
    let hello = encode(Event::Hello {
        environment: Box::new(Environment {
            host: "board".into(),
            ..Environment::default()
        }),
        unavailable: Vec::new(),
    });
    let wanted = encode(Event::Wanted { wanted: true });
    let received = encode(Event::Received {
        folder: "/there".into(),
        cache: "/cache".into(),
    });
    let failed = encode(Event::Failed {
        failure: Failure {
            kind: ErrorKind::Build,
            stage: Stage::Build,
            message: "no more".into(),
        },
        model: ModelRef::default(),
    });
    for (name, text) in [
        ("hello", hello),
        ("wanted", wanted),
        ("received", received),
        ("failed", failed),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let script = format!(
        "cd \"$1\"; cat hello; IFS= read -r l; printf '%s\\n' \"$l\" >first; cat wanted; \
         head -c {size} >bytes; cat received; IFS= read -r l; printf '%s\\n' \"$l\" >second; \
         cat failed; sleep 5"
    );
    let worker = WorkerCommand {
        program: "sh".into(),
        args: vec![
            "-c".into(),
            script.into(),
            "worker".into(),
            dir.path().into(),
        ],
        host: Some("board".parse().unwrap()),
    };
    let mut request = Request::new(model.clone(), Placement::default(), EngineConfig::default());
    request.calibration = Calibration::Folder {
        path: batches,
        save: None,
    };
    request.cache_dir = Some("/here".into());
    let mut go = |_: &Update| ControlFlow::Continue(());
    let run = profile(&worker, limits(), request.clone(), &mut go);
    let Outcome::Failed(failure) = &run.outcome else {
        panic!("{run:?}");
    };
    assert_eq!(failure.message, "no more");
    assert_eq!(run.environment.host, "board");
    assert_eq!(
        run.request, request,
        "the history has the paths of this machine"
    );
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let Command::Receive { entries } = decode(&String::from_utf8(read("first")).unwrap()).unwrap()
    else {
        panic!("no parcel");
    };
    let names: Vec<_> = entries.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "model/a model.onnx",
            "batches/000000.npy",
            "batches/000001.npy"
        ]
    );
    let mut all = read("a model.onnx");
    all.extend(b"firstsecond");
    assert_eq!(read("bytes"), all);
    let Command::Profile { request: there, .. } =
        decode(&String::from_utf8(read("second")).unwrap()).unwrap()
    else {
        panic!("no request");
    };
    assert_eq!(there.model, Path::new("/there/model/a model.onnx"));
    assert_eq!(there.cache_dir.as_deref(), Some(Path::new("/cache")));
    assert!(
        matches!(&there.calibration, Calibration::Folder { path, .. } if path == Path::new("/there/batches"))
    );

    request.save_engine = Some("/tmp/x.engine".into());
    let run = profile(&worker, limits(), request, &mut go);
    assert!(
        matches!(&run.outcome, Outcome::Failed(f) if f.kind == ErrorKind::Refused && f.message.contains("--save-engine"))
    );
}

/// A worker of `host` that runs a few lines of shell; `$1` is a folder.
fn script(body: &str, folder: &Path) -> WorkerCommand {
    WorkerCommand {
        program: "sh".into(),
        args: vec!["-c".into(), body.into(), "worker".into(), folder.into()],
        host: Some("board".parse().unwrap()),
    }
}

fn failure(outcome: &Outcome) -> &Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Finished(_) => panic!("finished"),
    }
}

/// Threads of this process that read a request's files.
fn packing() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|t| fs::read_to_string(t.path().join("comm")).ok());
    names.filter(|name| name.trim() == "parcel").count()
}

/// A request with a file `ranges.cache` of some bytes that take no room on the disk. In its folder
/// lies what scripted workers say: `hello`, and `wanted` to the offer of the file.
fn heavy(folder: &Path, bytes: u64) -> Request {
    let large = folder.join("ranges.cache");
    fs::File::create(&large).unwrap().set_len(bytes).unwrap();
    let mut request = Request::new(
        "bundled:resnet18".into(),
        Placement::default(),
        EngineConfig::default(),
    );
    request.calibration = Calibration::Cache { path: large };
    let hello = encode(Event::Hello {
        environment: Box::default(),
        unavailable: Vec::new(),
    });
    fs::write(folder.join("hello"), hello).unwrap();
    let wanted = encode(Event::Wanted { wanted: true });
    fs::write(folder.join("wanted"), wanted).unwrap();
    request
}

/// Within half a second, whatever the files weigh: while they are read, and while they are sent.
#[test]
fn cancel_is_heard_before_the_request_is_there() {
    let dir = tempfile::tempdir().unwrap();
    // A minute to read.
    let request = heavy(dir.path(), 64 << 30);
    let large = dir.path().join("ranges.cache");
    // One never gets as far as an offer, the other takes the file and never comes to its end.
    let deaf = "cat \"$1/hello\"; exec sleep 60";
    let slow = "cat \"$1/hello\"; read -r l; cat \"$1/wanted\"; exec sleep 60";
    for (body, bytes, after) in [(deaf, 64 << 30, 600), (slow, 4 << 20, 1000)] {
        let file = fs::OpenOptions::new().write(true).open(&large).unwrap();
        file.set_len(bytes).unwrap();
        let begun = Instant::now();
        let after = Duration::from_millis(after);
        let mut asked = None;
        let worker = script(body, dir.path());
        let run = profile(&worker, limits(), request.clone(), &mut |_| {
            if begun.elapsed() < after {
                return ControlFlow::Continue(());
            }
            asked = Some(Instant::now());
            ControlFlow::Break(())
        });
        let late = begun.elapsed().checked_sub(after).unwrap();
        assert!(late < Duration::from_millis(500), "heard after {late:?}");
        let took = asked.unwrap().elapsed();
        assert!(took < Duration::from_millis(500), "took {took:?}");
        assert_eq!(failure(&run.outcome).kind, ErrorKind::Cancelled);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(packing(), 0, "the file is still read");
    }
}

/// The other end says nothing: at first, to the offer of the files, and while they are sent.
#[test]
fn a_silent_machine_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let request = heavy(dir.path(), 4 << 20);
    let limits = Limits {
        hello: Duration::from_secs(1),
        idle: Duration::from_secs(1),
        ..Limits::default()
    };
    let offered = "cat \"$1/hello\"; exec sleep 60";
    let sent = "cat \"$1/hello\"; read -r l; cat \"$1/wanted\"; exec sleep 60";
    for (body, stage) in [
        ("exec sleep 60", Stage::Start),
        (offered, Stage::Send),
        (sent, Stage::Send),
    ] {
        let begun = Instant::now();
        let worker = script(body, dir.path());
        let mut go = |_: &Update| ControlFlow::Continue(());
        let run = profile(&worker, limits, request.clone(), &mut go);
        let failure = failure(&run.outcome);
        assert_eq!((failure.kind, failure.stage), (ErrorKind::TimedOut, stage));
        for word in ["board", "for 1 s", "link may be cut", "network"] {
            assert!(failure.message.contains(word), "{failure:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "{body}");
    }
}

#[test]
fn over_ssh() {
    let Some(board) = Board::new() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    let unknown = board.profile(&board.program);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        said(&unknown).contains("check its fingerprint"),
        "{}",
        said(&unknown)
    );

    board.introduce("other.pub");
    let changed = said(&board.profile(&board.program));
    assert!(changed.contains("known_hosts:1"), "{changed}");

    board.introduce("host.pub");
    let missing = said(&board.profile(Path::new("/nonexistent/dlaplan")));
    assert!(
        missing.contains("cannot run /nonexistent/dlaplan"),
        "{missing}"
    );

    // The worker answers; where it cannot measure, it says why.
    let answered = board.profile(&board.program);
    let said = said(&answered);
    if !answered.status.success() {
        let known = ["libcuda", "libnvinfer", "TensorRT", "GPU"];
        assert!(known.iter().any(|k| said.contains(k)), "{said}");
        assert!(!said.contains("ssh"), "{said}");
    }
    let gone = Instant::now() + Duration::from_secs(2);
    while board.workers() > 0 {
        assert!(Instant::now() < gone, "a worker stays");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cut_link_ends_the_worker() {
    let Some(board) = Board::new() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    board.introduce("host.pub");
    let mut link = board
        .ssh()
        .arg("board")
        .arg(format!("{} worker", board.program.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    link.stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert_eq!(board.workers(), 1);
    link.kill().unwrap();
    link.wait().unwrap();
    let gone = Instant::now() + Duration::from_secs(2);
    while board.workers() > 0 {
        assert!(Instant::now() < gone, "the worker stays");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_worker_behind_a_cut_link_ends() {
    let Some((board, link)) = Board::behind_a_link() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    // Cut before anything was sent, and in the middle of a file.
    for sends in [false, true] {
        link.cut.store(false, Ordering::Relaxed);
        let mut ssh = board
            .ssh()
            .arg("board")
            .arg(format!(
                "exec env XDG_CACHE_HOME={} {} worker --silence 2",
                cache.path().display(),
                board.program.display()
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(ssh.stdout.take().unwrap());
        let mut first = [0];
        out.read_exact(&mut first).unwrap();
        board.wait_for_workers(1, Duration::from_secs(1));
        if sends {
            let mut stdin = ssh.stdin.as_ref().unwrap();
            let entries = vec![entry("model/model.onnx", b"content")];
            let offer = encode(Command::Receive { entries });
            stdin.write_all(offer.as_bytes()).unwrap();
            let mut line = String::new();
            while !line.contains("wanted") {
                line.clear();
                assert!(out.read_line(&mut line).unwrap() > 0);
            }
            stdin.write_all(b"cont").unwrap();
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(listed(cache.path()), 1);
        }
        link.cut();
        board.wait_for_workers(0, Duration::from_secs(5));
        if sends {
            assert_eq!(listed(cache.path()), 0);
        }
        ssh.kill().unwrap();
        ssh.wait().unwrap();
    }
}

#[test]
fn a_cut_link_ends_the_sending() {
    let Some((board, link)) = Board::behind_a_link() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    let at = board.dir.path();
    let request = heavy(at, 1 << 30);
    // Takes an offer and whatever comes then.
    let taker = at.join("taker");
    let here = at.display();
    let body =
        format!("#!/bin/sh\ncat {here}/hello; read -r l; cat {here}/wanted; cat >/dev/null\n");
    fs::write(&taker, body).unwrap();
    fs::set_permissions(&taker, fs::Permissions::from_mode(0o755)).unwrap();
    let host: Host = format!("board:{}", taker.display()).parse().unwrap();
    let mut worker = host.worker();
    worker.program = at.join("bin/ssh");
    // As the program has it, but quicker.
    for arg in &mut worker.args {
        if arg == "ServerAliveInterval=5" {
            *arg = "ServerAliveInterval=1".into();
        }
    }
    let mut cut = None;
    let run = profile(&worker, Limits::default(), request, &mut |_| {
        if cut.is_none() && link.passed.load(Ordering::Relaxed) > 8 << 20 {
            link.cut();
            cut = Some(Instant::now());
        }
        ControlFlow::Continue(())
    });
    let failure = failure(&run.outcome);
    for word in ["link to board broke", "not responding", "network"] {
        assert!(failure.message.contains(word), "{failure:?}");
    }
    let took = cut.unwrap().elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn an_unknown_key_is_shown_and_taken_only_when_named() {
    let Some(board) = Board::new() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    let known = board.dir.path().join("known_hosts");
    let right = fingerprint(&board.dir.path().join("host.pub"));
    let other = fingerprint(&board.dir.path().join("other.pub"));

    let unknown = board.dlaplan(&["probe", "board"]);
    assert_eq!(unknown.status.code(), Some(2));
    let text = said(&unknown);
    assert!(
        text.contains(&right) && text.contains("--accept-key"),
        "{text}"
    );
    assert!(!known.exists(), "nothing is taken by looking");

    let wrong = board.dlaplan(&["probe", "board", "--accept-key", &other]);
    assert!(
        said(&wrong).contains("nothing was changed"),
        "{}",
        said(&wrong)
    );
    assert!(!known.exists());

    let taken = board.dlaplan(&["probe", "board", "--accept-key", &right]);
    assert!(said(&taken).contains("processor"), "{}", said(&taken));
    let lines = fs::read_to_string(&known).unwrap();
    let key = fs::read_to_string(board.dir.path().join("host.pub")).unwrap();
    assert!(lines.contains(key.split_whitespace().nth(1).unwrap()));
    let again = board.dlaplan(&["probe", "board", "--json"]);
    assert!(said(&again).contains("\"arch\""), "{}", said(&again));

    // A key that has changed stops, whatever is said of the new one.
    board.introduce("other.pub");
    let before = fs::read_to_string(&known).unwrap();
    let changed = board.dlaplan(&["probe", "board", "--accept-key", &right]);
    assert_eq!(changed.status.code(), Some(2));
    assert!(
        said(&changed).contains("known_hosts:1"),
        "{}",
        said(&changed)
    );
    assert_eq!(fs::read_to_string(&known).unwrap(), before);
}

#[test]
fn a_port_is_dialed() {
    let Some(board) = Board::new() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    board.introduce("host.pub");
    let (right, wrong) = (board.port(), TcpListener::bind("127.0.0.1:0").unwrap());
    let wrong = wrong.local_addr().unwrap().port();
    let text = said(&board.dlaplan(&["probe", &format!("board:{right}")]));
    assert!(text.contains("processor"), "{text}");
    let refused = board.dlaplan(&["probe", &format!("board:{wrong}")]);
    let text = said(&refused);
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains(&wrong.to_string()), "{text}");
}

#[test]
fn a_program_is_deployed_once_found_and_removed() {
    let Some(board) = Board::new() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    board.introduce("host.pub");
    let binary = board.stripped();
    let deploy = |more: &[&str]| {
        let mut args = vec!["deploy", "board"];
        args.extend(more);
        board.dlaplan(&args)
    };
    // Refused before anything is sent: for another processor, and what is no program.
    let foreign = board.dir.path().join("foreign");
    let mut bytes = fs::read(&binary).unwrap();
    bytes.truncate(4096);
    let machine = if bytes[18] == 183 { 62 } else { 183 };
    bytes[18] = machine;
    fs::write(&foreign, bytes).unwrap();
    let refused = deploy(&["--binary", foreign.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said(&refused).contains("nothing was sent"),
        "{}",
        said(&refused)
    );
    let script = deploy(&[
        "--binary",
        board.dir.path().join("bin/ssh").to_str().unwrap(),
    ]);
    assert!(said(&script).contains("ELF"), "{}", said(&script));
    assert_eq!(board.at_home(), [""; 0].map(PathBuf::from));

    let binary = binary.to_str().unwrap();
    let first = deploy(&["--binary", binary]);
    assert!(first.status.success(), "{}", said(&first));
    assert!(said(&first).contains("sent "), "{}", said(&first));
    let files = board.at_home();
    assert_eq!(
        files.len(),
        2,
        "the program and the link to its folder: {files:?}"
    );
    let program = files.iter().find(|f| f.ends_with("dlaplan")).unwrap();
    let when = fs::metadata(program).unwrap().modified().unwrap();
    let second = deploy(&["--binary", binary]);
    assert!(
        said(&second).contains("has it already"),
        "{}",
        said(&second)
    );
    assert_eq!(fs::metadata(program).unwrap().modified().unwrap(), when);

    // `--on HOST` finds it: the worker answers, and where it cannot measure it says why.
    let found = board.dlaplan(&[
        "profile",
        "bundled:resnet18",
        "--no-history",
        "--on",
        "board",
    ]);
    if !found.status.success() {
        let text = said(&found);
        let known = ["libcuda", "libnvinfer", "TensorRT", "GPU"];
        assert!(known.iter().any(|k| text.contains(k)), "{text}");
        assert!(!text.contains("cannot run"), "{text}");
    }

    let cache = board.dir.path().join("home/.cache/dlaplan/engines");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("e"), vec![1; 100_000]).unwrap();
    let cleared = board.dlaplan(&["cache", "--clear", "board"]);
    assert!(
        said(&cleared).contains("0.1 MB removed"),
        "{}",
        said(&cleared)
    );
    assert!(!cache.exists() && program.exists());

    let removed = deploy(&["--remove"]);
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(board.at_home(), [""; 0].map(PathBuf::from));
}

#[test]
fn a_deployment_that_is_cut_leaves_only_a_part_file() {
    let Some(board) = Board::new() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    board.introduce("host.pub");
    let binary = board.stripped();
    let mut sending = Process::new(PROGRAM)
        .args(["deploy", "board", "--binary"])
        .arg(&binary)
        .env("PATH", board.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while board.at_home().is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(1));
    }
    sending.kill().unwrap();
    sending.wait().unwrap();
    // The far end checks what it has and lets it lie.
    let size = |file: &PathBuf| fs::metadata(file).map_or(0, |m| m.len());
    let files = loop {
        let before = board.at_home();
        let sizes: Vec<u64> = before.iter().map(size).collect();
        std::thread::sleep(Duration::from_millis(500));
        let after = board.at_home();
        if before == after && sizes == after.iter().map(size).collect::<Vec<_>>() {
            break after;
        }
    };
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].file_name(), Some(OsStr::new(".part")));
    assert!(size(&files[0]) < size(&binary), "it was cut too late");

    // The next one is sent whole and takes its place.
    let again = board.dlaplan(&["deploy", "board", "--binary", binary.to_str().unwrap()]);
    assert!(said(&again).contains("sent "), "{}", said(&again));
    assert!(
        board
            .at_home()
            .iter()
            .all(|f| f.file_name() != Some(OsStr::new(".part")))
    );
}

#[test]
fn two_machines_are_kept_apart() {
    let (Some(board), Some(second)) = (Board::new(), Board::new()) else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    board.knows(&second, "second");
    board.introduce("host.pub");
    // A program that is everywhere and small.
    let binary = "/bin/bash";
    let deploy = |host: &str| board.dlaplan(&["deploy", host, "--binary", binary]);
    let first = deploy("board");
    assert!(first.status.success(), "{}", said(&first));
    assert_eq!((board.at_home().len(), second.at_home().len()), (2, 0));

    // The key of one is not that of the other: shown before anything is sent.
    let keys = [&board, &second].map(|b| fingerprint(&b.dir.path().join("host.pub")));
    let unknown = deploy("second");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains(&keys[1]), "{}", said(&unknown));
    assert!(!said(&unknown).contains(&keys[0]));
    let swapped = board.dlaplan(&["probe", "second", "--accept-key", &keys[0]]);
    assert!(
        said(&swapped).contains("nothing was changed"),
        "{}",
        said(&swapped)
    );
    assert!(!second.dir.path().join("known_hosts").exists());
    assert_eq!(second.at_home().len(), 0);

    let taken = board.dlaplan(&["probe", "second", "--accept-key", &keys[1]]);
    assert!(said(&taken).contains("processor"), "{}", said(&taken));
    let sent = deploy("second");
    assert!(said(&sent).contains("sent "), "{}", said(&sent));
    let removed = board.dlaplan(&["deploy", "board", "--remove"]);
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!((board.at_home().len(), second.at_home().len()), (0, 2));
}

#[test]
fn hostile_names_of_hosts_run_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("ran");
    let touch = format!("touch {}", mark.display());
    let hosts = [
        format!("-oProxyCommand={touch}"),
        format!("board;{touch}"),
        format!("$({touch})"),
        format!("board:$({touch})"),
        format!("board:22;{touch}"),
        format!("me@`{touch}`"),
        format!("board\n{touch}"),
        "-F/etc/passwd".into(),
        "me@-oProxyCommand=x".into(),
    ];
    for host in &hosts {
        for args in [
            &["probe", host][..],
            &["probe", "--accept-key", "SHA256:x", "--", host],
            &["deploy", "--", host],
            &["deploy", "--remove", "--", host],
            &["cache", "--clear", host],
            &["profile", "bundled:resnet18", "--no-history", "--on", host],
        ] {
            let refused = ran(Process::new(PROGRAM).args(args));
            assert_eq!(refused.status.code(), Some(2), "{args:?}");
            assert!(!mark.exists(), "{args:?}");
        }
    }
}

/// A machine that answers with other things than it was asked for.
#[test]
fn hostile_answers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let answer = |arch: &str| {
        let body = format!(
            "#!/bin/sh\nfor last; do :; done\necho \"$last\" >>{}/asked\n\
             printf '\\n=dlaplan= arch\\n{arch}\\n=dlaplan= disk\\nx x x 99999999999999999999\\n\
             =dlaplan= deployed\\n%070000d /x\\n=dlaplan= file /../../../{}/out\\nx\\n'\n",
            dir.path().display(),
            dir.path().display()
        );
        let ssh = bin.join("ssh");
        fs::write(&ssh, body).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let dlaplan = |args: &[&str]| ran(Process::new(PROGRAM).args(args).env("PATH", &path));
    for arch in ["", "\\033[31maarch64", "riscv64; rm -rf ~", "i686"] {
        answer(arch);
        for args in [
            &["probe", "board"][..],
            &["deploy", "board"],
            &["deploy", "board", "--binary", PROGRAM],
        ] {
            let output = dlaplan(args);
            let text = said(&output);
            assert!(!output.status.success(), "{args:?}: {text}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
            assert!(text.len() < 4000, "{} bytes", text.len());
        }
    }
    let asked = fs::read_to_string(dir.path().join("asked")).unwrap();
    let surveys = asked.lines().filter(|l| *l == "sh -s").count();
    assert_eq!(
        surveys,
        asked.lines().count(),
        "something was sent: {asked}"
    );
    assert!(!dir.path().join("out").exists());
}
