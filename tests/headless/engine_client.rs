//! The worker's client against workers that crash, hang, flood, truncate and lie.
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use dlaplan::engine::client::{Client, Limits, Update, profile};
use dlaplan::engine::protocol::{Event, Report, encode};
use dlaplan::engine::telemetry::Sample;
use dlaplan::engine::{
    ErrorKind, Failure, Mark, Measurement, ModelRef, Outcome, Quantity, Request, Run, Stage,
    WorkerCommand, deploy,
};
use dlaplan::placement::{EngineConfig, Placement};

/// A worker in a few lines of shell; `$1` is a scratch folder.
fn script(body: &str, folder: &Path) -> WorkerCommand {
    WorkerCommand {
        program: "sh".into(),
        args: vec!["-c".into(), body.into(), "worker".into(), folder.into()],
        host: None,
    }
}

const QUICK: Limits = Limits {
    hello: Duration::from_millis(1500),
    build: Duration::from_secs(3),
    idle: Duration::from_millis(1500),
    grace: Duration::from_millis(300),
};

fn request() -> Request {
    Request::new(
        "/m/resnet18.onnx".into(),
        Placement::default(),
        EngineConfig::default(),
    )
}

fn hello() -> String {
    encode(Event::Hello {
        environment: Box::default(),
        unavailable: Vec::new(),
    })
}

fn measurement(fps: f64) -> Measurement {
    crate::support::measurement(vec![fps; 5], vec![1.0, 2.0], "worker")
}

fn measured(fps: f64, beats: Vec<(u64, u64)>) -> String {
    encode(Event::Measured {
        report: Box::new(Report {
            model: ModelRef::default(),
            measurement: measurement(fps),
            beats,
            timed: Vec::new(),
        }),
    })
}

/// Puts text into a single-quoted shell word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.trim_end().replace('\'', "'\\''"))
}

fn run(body: &str) -> (Run, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let worker = script(body, dir.path());
    let run = profile(
        &worker,
        QUICK,
        request(),
        &mut |_| ControlFlow::Continue(()),
    );
    (run, begun.elapsed())
}

fn failure(run: &Run) -> &Failure {
    match &run.outcome {
        Outcome::Failed(f) => f,
        Outcome::Finished(_) => panic!("finished"),
    }
}

fn say(lines: &[String]) -> String {
    let echo: Vec<String> = lines
        .iter()
        .map(|l| format!("echo {}\n", quoted(l)))
        .collect();
    echo.concat()
}

#[test]
fn a_good_worker() {
    let (run, _) = run(&format!(
        "read request; case $request in *resnet18.onnx*) ;; *) exit 9;; esac\n\
         {}\necho stray words; echo from-stderr >&2\n{}",
        say(&[hello()]),
        say(&[measured(250.0, vec![])])
    ));
    assert_eq!(run.fps().unwrap().value, 250.0);
    let log: Vec<&str> = run.log.iter().map(|l| l.text.as_str()).collect();
    assert!(log.contains(&"stray words"), "{log:?}");
}

/// A profile in three processes; each runs `body`, where `$n` counts them. Cancelled at `cancel`.
fn thrice(body: &str, cancel: &str) -> (Run, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        "read request; echo >>$1/n; n=$(wc -l <$1/n)\n{}{body}",
        say(&[hello()])
    );
    let mut asked = request();
    asked.timing.processes = 3;
    asked.cache_dir = Some(dir.path().into());
    let mut heard = Vec::new();
    let run = profile(&script(&body, dir.path()), QUICK, asked, &mut |u| {
        if let Update::Progress { detail, .. } = u {
            heard.push(detail.clone());
        }
        if heard.last().is_some_and(|d| d == cancel) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    (run, heard)
}

fn cached(fps: f64) -> String {
    let mut measurement = measurement(fps);
    measurement.cached = true;
    measurement.cpu_us_per_iteration = fps;
    let model = ModelRef::default();
    let report = Report {
        model,
        measurement,
        beats: vec![],
        timed: Vec::new(),
    };
    encode(Event::Measured {
        report: Box::new(report),
    })
}

#[test]
fn processes_measure_one_after_the_other() {
    let at = encode(Event::Progress {
        stage: Stage::Timing,
        fraction: None,
        detail: "timing".into(),
    });
    let each = |n: u32, lines: &[String]| format!("[ $n != {n} ] || {{ {} }}\n", say(lines));
    let body = each(1, &[at.clone(), measured(100.0, vec![])])
        + &each(2, &[at.clone(), cached(400.0)])
        + &each(3, &[at.clone(), cached(160.0)]);
    let (run, heard) = thrice(&body, "never");
    let m = run.measurement().unwrap();
    assert_eq!((m.fps.value, m.fps.min, m.fps.max), (160.0, 100.0, 400.0));
    assert_eq!((m.fps.repeats, m.fps_samples.len()), (15, 15));
    assert_eq!(m.process_fps, [100.0, 400.0, 160.0]);
    assert_eq!(m.cpu_us_per_iteration, (1.0 + 400.0 + 160.0) / 3.0);
    assert_eq!((m.cached, m.latency_samples_ms.len()), (false, 6));
    let told = [
        "timing",
        "(process 2 of 3) timing",
        "(process 3 of 3) timing",
    ];
    assert_eq!(heard, told);

    // What one process cannot do, the run cannot.
    let body = each(1, &[measured(100.0, vec![])]) + "[ $n = 1 ] || exit 3";
    let (run, _) = thrice(&body, "never");
    let f = failure(&run);
    assert_eq!(f.kind, ErrorKind::Crashed);
    assert!(f.message.starts_with("process 2 of 3: "), "{}", f.message);
    let (run, _) = thrice(&say(&[measured(100.0, vec![])]), "never");
    assert!(
        failure(&run)
            .message
            .contains("another build is another engine")
    );
    // No second build is waited for.
    let parse = encode(Event::Progress {
        stage: Stage::Parse,
        fraction: None,
        detail: String::new(),
    });
    let body = each(1, &[measured(100.0, vec![])]) + &each(2, &[parse]) + "[ $n = 1 ] || sleep 60";
    let begun = Instant::now();
    let (run, _) = thrice(&body, "never");
    assert!(
        failure(&run)
            .message
            .contains("another build is another engine")
    );
    assert!(begun.elapsed() < Duration::from_secs(5));

    // A cancel keeps what was measured.
    let body = each(1, &[measured(100.0, vec![])])
        + &each(2, &[cached(300.0)])
        + &each(3, &[at])
        + "[ $n != 3 ] || sleep 60";
    let (run, _) = thrice(&body, "(process 3 of 3) timing");
    assert_eq!(run.measurement().unwrap().process_fps, [100.0, 300.0]);
    let last = &run.log.last().unwrap().text;
    assert!(last.contains("cancelled after 2 of 3"), "{last}");
}

#[test]
fn crashes_name_the_exit_code_or_signal_and_the_last_lines() {
    let stage = encode(Event::Progress {
        stage: Stage::Build,
        fraction: None,
        detail: "conv1".into(),
    });
    let begin = say(&[hello(), stage]);
    for (end, expected) in [
        ("exit 3", "exit code 3"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("kill -ABRT $$", "SIGABRT"),
        ("kill -KILL $$", "SIGKILL"),
        ("kill -KILL $$", "probably killed by the system for memory"),
        ("exit 0", "exit code 0"),
    ] {
        let (run, took) = run(&format!("{begin}\necho 'last words' >&2; sleep 0.1; {end}"));
        let f = failure(&run);
        assert_eq!(
            (f.kind, f.stage),
            (ErrorKind::Crashed, Stage::Build),
            "{end}"
        );
        assert!(f.message.contains(expected), "{end}: {}", f.message);
        assert_eq!(run.log.last().unwrap().text, "last words");
        assert!(took < Duration::from_secs(2));
    }
}

#[test]
fn hangs_end_in_time() {
    let (silent, took) = run("sleep 60");
    assert_eq!(failure(&silent).kind, ErrorKind::TimedOut);
    assert!(took < Duration::from_secs(4), "{took:?}");
    // Chatter is no sign of life.
    let (chatty, took) = run(&format!(
        "{}while :; do echo noise >&2; sleep 0.02; done",
        say(&[hello()])
    ));
    assert_eq!(failure(&chatty).kind, ErrorKind::TimedOut);
    assert!(failure(&chatty).message.contains("no sign of life"));
    assert!(took < Duration::from_secs(4), "{took:?}");
    // A build that never ends, with progress.
    let tick = encode(Event::Progress {
        stage: Stage::Build,
        fraction: Some(0.1),
        detail: String::new(),
    });
    let endless = format!(
        "{}while :; do {} sleep 0.1; done",
        say(&[hello()]),
        say(&[tick])
    );
    let (build, took) = run(&endless);
    assert!(
        failure(&build).message.contains("--build-timeout"),
        "{:?}",
        failure(&build)
    );
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn floods_stay_small() {
    // One line without end.
    let (endless, _) = run("cat /dev/zero");
    assert_eq!(failure(&endless).kind, ErrorKind::Protocol);
    assert!(failure(&endless).message.contains("a line of over"));
    // Many lines.
    let (lines, _) = run(&format!("{}yes garbage", say(&[hello()])));
    assert_eq!(failure(&lines).kind, ErrorKind::Protocol);
    // Through stderr, with a result in the end.
    let (survives, _) = run(&format!(
        "{}head -c 50000000 /dev/zero | tr '\\0' 'x' >&2; yes noise | head -n 200000 >&2\n{}",
        say(&[hello()]),
        say(&[measured(9.0, vec![])])
    ));
    assert_eq!(survives.fps().unwrap().value, 9.0);
    let kept: usize = survives.log.iter().map(|l| l.text.len()).sum();
    assert!(kept <= 256 * 1024, "{kept}");
}

#[test]
fn truncated_messages_are_no_result() {
    let whole = measured(100.0, vec![]);
    for cut in [1, 20, whole.len() / 2, whole.len() - 3] {
        let text = format!("{}printf %s {}", say(&[hello()]), quoted(&whole[..cut]));
        let (run, _) = run(&text);
        assert_eq!(failure(&run).kind, ErrorKind::Crashed);
    }
}

#[test]
fn lies_are_caught() {
    let good = measured(100.0, vec![]);
    for (from, to) in [
        ("\"value\":100.0", "\"value\":100000.0"),
        ("\"value\":100.0", "\"value\":null"),
        ("[100.0,100.0", "[-5.0,100.0"),
        ("\"median\":1.5", "\"median\":99.0"),
        ("\"beats\":[]", "\"beats\":[[9,1],[3,2]]"),
    ] {
        let lie = good.replacen(from, to, 1);
        assert_ne!(lie, good, "{from}");
        let (run, _) = run(&say(&[hello(), lie]));
        let kind = failure(&run).kind;
        assert!(
            matches!(kind, ErrorKind::Protocol | ErrorKind::Crashed),
            "{to}: {kind:?}"
        );
    }
    let foreign = good.replacen("\"protocol\":1", "\"protocol\":7", 1);
    let (run, _) = run(&say(&[hello(), foreign]));
    assert!(
        failure(&run).message.contains("protocol 7"),
        "{:?}",
        failure(&run)
    );
}

#[test]
fn invalid_utf8_and_escapes_are_harmless() {
    let (run, _) = run(&format!(
        "{}printf '\\377\\376 bad\\n'; printf '\\033[2J\\033]0;title\\007 coloured\\n' >&2\nsleep 0.2\n{}",
        say(&[hello()]),
        say(&[measured(1.0, vec![])])
    ));
    assert!(run.fps().is_some());
    for line in &run.log {
        assert!(!line.text.chars().any(char::is_control), "{line:?}");
    }
}

/// Here and elsewhere alike; the refused run can be stored.
#[test]
fn a_path_that_is_no_text_is_refused_before_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request();
    request.model = OsStr::from_bytes(b"/m/n\xe9.onnx").into();
    for host in [None, Some("board".parse().unwrap())] {
        let mut worker = script("touch \"$1/started\"; sleep 60", dir.path());
        worker.host = host;
        let mut go = |_: &Update| ControlFlow::Continue(());
        let run = profile(&worker, QUICK, request.clone(), &mut go);
        let failure = failure(&run);
        assert_eq!(failure.kind, ErrorKind::Refused);
        assert!(failure.message.contains("/m/n\\xE9.onnx"), "{failure:?}");
        assert!(!dir.path().join("started").exists());
        assert!(serde_json::to_string(&run).unwrap().contains("/m/n"));
    }
}

#[test]
fn programs_that_cannot_start() {
    let worker = WorkerCommand {
        program: "/nonexistent/dlaplan".into(),
        args: Vec::new(),
        host: None,
    };
    let run = profile(
        &worker,
        QUICK,
        request(),
        &mut |_| ControlFlow::Continue(()),
    );
    assert!(failure(&run).message.contains("/nonexistent/dlaplan"));
    assert_eq!(run.model.name, "resnet18");
}

fn alive(pid: i32) -> bool {
    // A zombie waiting for its parent is not running.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| {
        !s.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}

fn pids(folder: &Path, expected: usize) -> Vec<i32> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = std::fs::read_to_string(folder.join("pids")).unwrap_or_default();
        let found: Vec<i32> = text.lines().map(|l| l.parse().unwrap()).collect();
        if found.len() >= expected || Instant::now() > deadline {
            assert_eq!(found.len(), expected);
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ignores everything it is told, and so does its grandchild.
const STUBBORN: &str = "trap '' TERM INT HUP PIPE; echo $$ >> $1/pids\n\
     (trap '' TERM INT HUP PIPE; sh -c 'echo $$' >> $1/pids; exec sleep 300) &\n\
     while :; do sleep 300; done";

#[test]
fn cancel_leaves_nothing_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!("{}{STUBBORN}", say(&[hello()]));
    let worker = script(&body, dir.path());
    let mut began = None;
    let run = profile(&worker, Limits::default(), request(), &mut |update| {
        if matches!(update, Update::Hello { .. }) {
            pids(dir.path(), 2);
            began = Some(Instant::now());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    assert_eq!(failure(&run).kind, ErrorKind::Cancelled);
    let took = began.unwrap().elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(alive_in_group(&worker, dir.path()).is_empty());
}

fn alive_in_group(_worker: &WorkerCommand, folder: &Path) -> Vec<i32> {
    // The kernel takes a moment to take killed processes away.
    std::thread::sleep(Duration::from_millis(100));
    pids(folder, 2).into_iter().filter(|p| alive(*p)).collect()
}

#[test]
fn dropping_a_client_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!("{}{STUBBORN}", say(&[hello()]));
    let worker = script(&body, dir.path());
    let client = Client::profile(&worker, Limits::default(), request(), false);
    pids(dir.path(), 2);
    drop(client);
    assert!(alive_in_group(&worker, dir.path()).is_empty());
}

/// A worker that dies while something it started keeps its pipes open.
#[test]
fn a_dead_worker_with_a_living_child_is_noticed() {
    let (run, took) = run(&format!("{}sleep 300 & exit 5", say(&[hello()])));
    assert!(
        failure(&run).message.contains("exit code 5"),
        "{:?}",
        failure(&run)
    );
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Waits for the barrier, then reports beats of a second at 100 iterations; the second engine
/// starts a quarter later.
fn member(shift_ms: u64) -> String {
    let ms = 1_000_000;
    let beats: Vec<(u64, u64)> = (0..=100)
        .map(|i| ((1000 + shift_ms + i * 10) * ms, i))
        .collect();
    let ready = encode(Event::Ready);
    format!(
        "read request\n{}while read line; do case $line in *'\"go\"'*) break;; esac; done\n{}",
        say(&[hello(), ready]),
        say(&[measured(100.0, beats)])
    )
}

#[test]
fn deployments_count_the_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        "if mkdir $1/first 2>/dev/null; then\n{}\nelse\n{}\nfi",
        member(0),
        member(250)
    );
    let worker = script(&body, dir.path());
    let requests = [request(), request()];
    let runs = deploy(&worker, QUICK, &requests, &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert_eq!(runs.len(), 2);
    for (i, run) in runs.iter().enumerate() {
        let share = run.deployment.as_ref().unwrap();
        assert_eq!((share.member as usize, share.members), (i, 2));
        assert!((share.overlap_s - 0.75).abs() < 1e-9, "{}", share.overlap_s);
        let total = share.total_fps.as_ref().unwrap();
        assert!((total.value - 200.0).abs() < 1e-6, "{total:?}");
        assert!((run.fps().unwrap().value - 100.0).abs() < 1e-6);
        assert_eq!(share.group, runs[0].deployment.as_ref().unwrap().group);
    }
}

#[test]
fn a_deployment_has_the_energy_of_all_its_engines() {
    let sample = |i: u64| Sample {
        at_ns: 900_000_000 + i * 50_000_000,
        values: vec![
            (Quantity::PowerW, "VDD_IN".into(), 12.0),
            (Quantity::DlaAwake, "dla0".into(), 0.0),
        ],
        ..Sample::default()
    };
    let samples = encode(Event::Samples {
        samples: (0..40).map(sample).collect(),
    });
    let dir = tempfile::tempdir().unwrap();
    let asked = dir.path().join("asked");
    // Only the first is asked for samples.
    let body = format!(
        "if mkdir $1/first 2>/dev/null; then {}{}\nelse {}\nfi",
        say(&[samples]),
        member(0),
        member(250).replace(
            "read request",
            &format!("read request; echo $request >{}", asked.display())
        ),
    );
    let mut on_dla = request();
    on_dla.placement = Placement::all(dlaplan::placement::Device::Dla);
    let worker = script(&body, dir.path());
    let requests = [request(), on_dla];
    let runs = deploy(&worker, QUICK, &requests, &mut |_, _| {
        ControlFlow::Continue(())
    });
    let second = std::fs::read_to_string(asked).unwrap();
    assert!(second.contains("\"sampling\":false"), "{second}");
    for run in &runs {
        // 12 W over 200 images/s.
        let mj = &run.deployment.as_ref().unwrap().mj_per_image;
        assert!((mj.value().unwrap() - 60.0).abs() < 1e-3, "{mj:?}");
        let own = &run.measurement().unwrap().mj_per_image;
        assert!(own.source().contains("share"), "{own:?}");
    }
    assert!(runs[0].marks.is_empty());
    assert_eq!(runs[1].marks, [Mark::DlaNeverWoke { core: 0 }]);
}

#[test]
fn one_failure_ends_a_deployment() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        "if mkdir $1/first 2>/dev/null; then\n{}\nelse\n{} exit 4\nfi",
        member(0),
        say(&[hello()])
    );
    let worker = script(&body, dir.path());
    let requests = [request(), request()];
    let runs = deploy(&worker, QUICK, &requests, &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert_eq!(failure(&runs[0]).kind, ErrorKind::Cancelled);
    assert!(
        failure(&runs[0]).message.contains("exit code 4"),
        "{:?}",
        failure(&runs[0])
    );
    assert_eq!(failure(&runs[1]).kind, ErrorKind::Crashed);
}
