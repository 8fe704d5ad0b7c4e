//! Measuring from the window: workers that answer, crash and hang; the runs table; what the
//! engine really did.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::window::{NoDialogs, Window, open, open_with, stored, window};
use dlaplan::chart::{Axis, Mark, View};
use dlaplan::engine::client::Limits;
use dlaplan::engine::protocol::{Event, Report, encode};
use dlaplan::engine::remote::ssh::Host;
use dlaplan::engine::telemetry::{Sample, energy, marks};
use dlaplan::engine::{
    Actual, ActualOp, Attribution, Calibration, Comparison, Contradiction, Environment, ErrorKind,
    Failure, Latency, LayerTime, Level, LogLine, Measurement, ModelRef, Outcome, PowerMode,
    Quantity, Request, RowSite, Run, Stage, TimedPart, WorkerCommand, unix_ms,
};
use dlaplan::gui::{
    Command, Copied, Dialog, Machine, Node, Options, RunsAct, RunsColumn, SMALLEST, SweepOf, Worker,
};
use dlaplan::history::Store;
use dlaplan::model::{Model, onnx};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use egui::Modifiers;
use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

const QUICK: Limits = Limits {
    hello: Duration::from_secs(3),
    build: Duration::from_secs(5),
    idle: Duration::from_secs(3),
    grace: Duration::from_millis(300),
};

pub fn xavier() -> Environment {
    Environment {
        host: "jetson".into(),
        board: Some("NVIDIA Jetson Xavier NX Developer Kit".into()),
        gpu: Some("Xavier".into()),
        tensorrt: Some("8.5.2".into()),
        power_mode: Some("MODE_15W_6CORE".into()),
        dla_cores: Some(2),
        ..Environment::default()
    }
}

pub fn resnet() -> Model {
    onnx::load_bundled("resnet18").unwrap()
}

/// What an engine that does as asked reports: GPU ops one layer each, DLA ops in one subgraph.
pub fn measurement(model: &Model, fps: f64, dla: &dyn Fn(&str) -> bool) -> Measurement {
    let samples = vec![fps * 0.99, fps, fps, fps, fps * 1.01];
    let mut actual = Actual::default();
    let mut layers = Vec::new();
    let mut on_dla = Vec::new();
    for op in model.op_ids() {
        let op = model.op(op);
        let module = model.modules.get(op.module).path.to_string();
        let device = if dla(&module) {
            Device::Dla
        } else {
            Device::Gpu
        };
        actual.ops.push(ActualOp {
            op: op.name.to_string(),
            device: Some(device),
            can_run_on_dla: None,
            layer: Some(op.name.to_string()),
            reasons: Vec::new(),
        });
        if device == Device::Dla {
            on_dla.push(op.name.to_string());
        } else {
            layers.push(LayerTime {
                name: op.name.to_string(),
                mean_ms: 0.05,
                median_ms: 0.05,
                site: RowSite::Ops {
                    ops: vec![op.name.to_string()],
                },
                device,
                module: Some(module),
            });
        }
    }
    if !on_dla.is_empty() {
        actual
            .subgraphs
            .push(("{ForeignNode[a...b]}".into(), on_dla));
        layers.push(LayerTime {
            name: "{ForeignNode[a...b]}".into(),
            mean_ms: 1.25,
            median_ms: 1.25,
            site: RowSite::Subgraph { subgraph: 0 },
            device: Device::Dla,
            module: Some("layer1".into()),
        });
    }
    let total = layers.iter().map(|l| l.mean_ms).sum();
    Measurement {
        fps: Measurement::measured(&samples, "test").unwrap(),
        fps_samples: samples,
        process_fps: Vec::new(),
        mj_per_image: dlaplan::engine::not_sampled(),
        energy: None,
        latency: Latency::of(&[2.0, 2.1, 2.2]).unwrap(),
        latency_samples_ms: vec![2.0, 2.1, 2.2],
        cuda_graph: false,
        cuda_graph_refused: None,
        cpu_us_per_iteration: 10.0,
        build_s: 20.0,
        cached: false,
        engine_bytes: 24_000_000,
        device_memory_bytes: 1 << 20,
        actual,
        layers,
        attribution: Some(Attribution {
            total_ms: total,
            attributed_ms: total,
        }),
        numeric: None,
        timing_only: None,
        inspector: None,
    }
}

fn model_ref(model: &Model) -> ModelRef {
    ModelRef {
        name: model.name.clone(),
        structure_hash: model.source.structure_hash.clone(),
        timing_only: true,
    }
}

pub fn run(model: &Model, placement: Placement, fps: f64) -> Run {
    let dla = placement.overrides.keys().next().is_some();
    let m = measurement(model, fps, &|path| dla && path.starts_with("layer1"));
    Run {
        schema: Run::SCHEMA,
        started_ms: unix_ms() - 60_000 * 10,
        wall_s: 42.0,
        model: model_ref(model),
        request: Request::new(
            "bundled:resnet18".into(),
            placement,
            EngineConfig::default(),
        ),
        environment: xavier(),
        deployment: None,
        comparison: None,
        outcome: Outcome::Finished(Box::new(m)),
        log: Vec::new(),
        marks: Vec::new(),
        telemetry: dlaplan::engine::Telemetry::default(),
    }
}

fn on_layer1() -> Placement {
    Placement::all(Device::Gpu).with_module("layer1", Device::Dla)
}

/// A data folder whose history holds runs.
fn with_runs(runs: &[Run]) -> Arc<tempfile::TempDir> {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let mut store = Store::open(&data.path().join("history.sqlite")).unwrap();
    for run in runs {
        store.insert_run(run).unwrap();
    }
    data
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.trim_end().replace('\'', "'\\''"))
}

/// A worker in a few lines of shell: says hello, then, asked to profile, does as `then` says.
/// `$1` is a scratch folder.
/// `unavailable`: a reason a line.
pub fn worker(
    environment: &Environment,
    unavailable: Option<&str>,
    then: &str,
    dir: &Path,
) -> Worker {
    let hello = encode(Event::Hello {
        environment: Box::new(environment.clone()),
        unavailable: unavailable
            .into_iter()
            .flat_map(str::lines)
            .map(str::to_owned)
            .collect(),
    });
    let body = format!(
        "echo {}\nwhile read line; do case $line in\n*'\"profile\"'*)\n{then}\n;;\n\
         *'\"cancel\"'*) exit 0;;\nesac; done",
        quoted(&hello)
    );
    Worker {
        command: WorkerCommand {
            program: "sh".into(),
            args: vec!["-c".into(), body.into(), "worker".into(), dir.into()],
            host: None,
        },
        limits: QUICK,
    }
}

/// A large message goes through a file: a shell word has its limits.
fn say(event: Event, name: &str, dir: &Path) -> String {
    use std::io::Write as _;
    let path = dir.join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(encode(event).as_bytes()).unwrap();
    format!("cat {}\n", quoted(&path.display().to_string()))
}

fn building(dir: &Path) -> String {
    let stage = Event::Progress {
        stage: Stage::Build,
        fraction: Some(0.4),
        detail: "conv1".into(),
    };
    say(stage, "stage", dir)
}

pub fn measured(model: &Model, m: Measurement, dir: &Path) -> String {
    let report = Event::Measured {
        report: Box::new(Report {
            model: model_ref(model),
            measurement: m,
            beats: Vec::new(),
            timed: Vec::new(),
        }),
    };
    say(report, "report", dir)
}

fn measuring(data: Arc<tempfile::TempDir>, worker: Worker) -> Window<'static> {
    let picker = NoDialogs { available: false };
    open_with(Options::default(), data, picker, Some(worker))
}

fn fresh(then: &dyn Fn(&Path) -> String) -> Window<'static> {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let worker = worker(&xavier(), None, &then(data.path()), data.path());
    measuring(data, worker)
}

/// Whether the Profile button can be pressed, and why not.
fn refusal(w: &Window<'_>) -> Option<String> {
    let button = w.get_by_role_and_label(Role::Button, "Profile");
    let why = w.state().unavailable(&Command::Profile);
    assert_eq!(button.accesskit_node().is_disabled(), why.is_some());
    why
}

#[test]
fn the_button_says_why_it_cannot_measure() {
    assert!(refusal(&window()).is_some(), "no worker at all");
    let data = Arc::new(tempfile::tempdir().unwrap());
    let missing = "libnvinfer.so.8 was not found";
    let dir = data.path().to_owned();
    let none = worker(&Environment::default(), Some(missing), "exit 1", &dir);
    let mut w = measuring(Arc::clone(&data), none);
    let why = refusal(&w).unwrap();
    assert!(why.contains(missing) && why.contains("simulated"), "{why}");
    w.state_mut().apply(Command::Profile);
    assert!(w.state().measuring.active.is_none());

    let gone = Worker {
        command: WorkerCommand {
            program: "/nonexistent/dlaplan".into(),
            args: Vec::new(),
            host: None,
        },
        limits: QUICK,
    };
    let why = refusal(&measuring(data, gone)).unwrap();
    assert!(why.contains("/nonexistent/dlaplan"), "{why}");
}

#[test]
fn the_real_worker_answers_for_its_machine() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let real = Worker {
        command: WorkerCommand {
            program: env!("CARGO_BIN_EXE_dlaplan").into(),
            args: vec!["worker".into()],
            host: None,
        },
        limits: Limits::default(),
    };
    let w = measuring(data, real);
    match &w.state().measuring.machine {
        Machine::Asked => panic!("no answer"),
        Machine::Can(environment) => assert!(environment.tensorrt.is_some()),
        Machine::Cannot(why) => {
            let named = ["libcuda", "TensorRT", "GPU"]
                .iter()
                .any(|n| why.iter().any(|w| w.contains(n)));
            assert!(named, "{why:?}");
            assert!(refusal(&w).unwrap().contains(&why[0]));
        }
    }
}

#[test]
fn dla_without_cores_is_refused_before_anything_is_built() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let gpu_only = Environment {
        gpu: Some("NVIDIA H200".into()),
        dla_cores: Some(0),
        tensorrt: Some("8.5.2".into()),
        ..Environment::default()
    };
    let dir = data.path().to_owned();
    let mut w = measuring(data, worker(&gpu_only, None, "exit 1", &dir));
    assert_eq!(refusal(&w), None);
    let hint = w.state().profile_hint();
    assert!(
        hint.contains("NVIDIA H200") && hint.contains("Timing only"),
        "{hint}"
    );
    w.click("GPU layer1");
    let why = refusal(&w).unwrap();
    assert!(
        why.contains("no DLA core on this machine (NVIDIA H200)"),
        "{why}"
    );
}

#[test]
fn a_run_is_stored_charted_and_shown_beside_the_prediction() {
    let mut w = fresh(&|dir| {
        let model = resnet();
        let m = measurement(&model, 321.0, &|path| path.starts_with("layer1"));
        building(dir) + &measured(&model, m, dir)
    });
    w.click("GPU layer1");
    assert!(w.query_by_label("not measured").is_none());
    w.row("layer1.0");
    assert!(w.query_by_label("not measured").is_some());
    w.click("Profile");
    let runs = stored(&w.data);
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].request.placement, on_layer1());
    assert_eq!(runs[0].fps().unwrap().value, 321.0);
    assert!(runs[0].comparison.is_some());
    let actual = Arc::clone(w.state().runs.actual().unwrap());
    assert_eq!(actual.fps.value, 321.0);
    assert_eq!(actual.subgraphs.len(), 1);
    assert!(w.query_by_label("not measured").is_none());
    let part = w.query_by_label_contains("part of subgraph 1");
    assert!(part.is_some(), "no time of its own inside a subgraph");
    // Solid beside hollow.
    let label = "this placement, measured fp16: 321 (measured)";
    assert!(w.query_by_role_and_label(Role::Button, label).is_some());
    // The time of the subgraph is that of the module around it, and of none inside.
    let model = &w.state().open.as_ref().unwrap().model;
    let at = |path: &str| actual.at(Node::Module(model.modules.find(path).unwrap()));
    assert_eq!(at("layer1").dla_ms, 1.25);
    assert_eq!(at("layer1.0").dla_known, 0);
    assert!(at("layer2").gpu_ms > 0.0);
    w.state_mut().apply(Command::Precision(Precision::INT8));
    w.settle();
    assert!(w.state().runs.actual().is_none(), "of another precision");
    assert!(w.state().profile_hint().contains("INT8 ranges are made up"));
    w.state_mut().apply(Command::Precision(Precision::FP16));
    // Another placement has no run.
    w.click("GPU layer2");
    assert!(w.state().runs.actual().is_none());
}

/// A layer that may be of either of two ops: its time is that of the module around both.
#[test]
fn a_time_of_no_known_op_is_its_modules() {
    let model = resnet();
    let mut run = run(&model, Placement::default(), 321.0);
    let Outcome::Finished(m) = &mut run.outcome else {
        panic!("failed")
    };
    let ops = ["/layer1/layer1.0/relu/Relu", "/layer1/layer1.0/relu_1/Relu"];
    m.layers.retain(|l| !ops.contains(&l.name.as_str()));
    m.layers.push(LayerTime {
        name: "relu_7".into(),
        mean_ms: 0.75,
        median_ms: 0.75,
        site: RowSite::Ambiguous {
            ops: ops.map(str::to_owned).to_vec(),
        },
        device: Device::Gpu,
        module: Some("layer1.0".into()),
    });
    let elsewhere = m.layers.iter().filter(|l| {
        let inside = |path: &str| path.starts_with("layer1.0");
        l.site != RowSite::Unknown && l.name != "relu_7" && inside(l.module.as_deref().unwrap())
    });
    let elsewhere: f64 = elsewhere.map(|l| l.mean_ms).sum();
    let mut w = open(Options::default(), with_runs(&[run]));
    let actual = Arc::clone(w.state().runs.actual().unwrap());
    let spent = actual.at(Node::Module(model.modules.find("layer1.0").unwrap()));
    assert!((spent.gpu_ms - elsewhere - 0.75).abs() < 1e-9);
    for name in ops {
        let op = actual.at(Node::Op(model.find_op(name).unwrap()));
        assert_eq!((op.gpu_ms, op.gpu_known), (0.0, 0));
    }
    w.state_mut().apply(Command::ShowRuns);
    w.settle();
    w.get_by_role_and_label(Role::Row, "Run of GPU, 321 FPS, measured")
        .click();
    w.settle();
    let text = "0.750 ms only the module around nodes that share a name";
    assert!(w.query_by_label_contains(text).is_some());
}

#[test]
fn a_crash_is_a_run_that_failed_with_its_last_words() {
    let mut w = fresh(&|dir| {
        let log = Event::Log {
            line: LogLine::new(Level::Error, "[convBuilder] out of memory"),
        };
        building(dir) + &say(log, "log", dir) + "sleep 0.2; kill -SEGV $$"
    });
    w.click("Profile");
    let runs = stored(&w.data);
    let Outcome::Failed(f) = &runs[0].outcome else {
        panic!("finished")
    };
    assert_eq!((f.kind, f.stage), (ErrorKind::Crashed, Stage::Build));
    let title = "GPU was not measured: failed while building the engine";
    assert!(w.query_by_label(title).is_some());
    assert!(w.query_by_label_contains("SIGSEGV").is_some());
    w.click("Show run");
    let words = w.query_all_by_label_contains("[E] [convBuilder] out of memory");
    assert!(words.count() > 0);
    assert!(
        w.query_by_role_and_label(Role::Row, "Run of GPU, failed")
            .is_some()
    );
    assert_eq!(refusal(&w), None, "and can be tried again");
}

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| {
        !s.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}

#[test]
fn a_hanging_build_is_cancelled_within_two_seconds() {
    let mut w = fresh(&|dir| {
        building(dir) + "trap '' TERM INT HUP PIPE; echo $$ > $1/pid; while :; do sleep 300; done"
    });
    w.get_by_role_and_label(Role::Button, "Profile").click();
    let deadline = Instant::now() + Duration::from_secs(5);
    let pid = loop {
        w.run_steps(2);
        let pid = std::fs::read_to_string(w.data.path().join("pid")).unwrap_or_default();
        let shown = w.query_by_label_contains("Profiling: building the engine 40 %");
        if !pid.is_empty() && shown.is_some() {
            break pid.trim().to_owned();
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(refusal(&w).unwrap(), "A measurement is under way");
    let begun = Instant::now();
    w.get_by_role_and_label(Role::Button, "Cancel").click();
    while w.state().measuring.active.is_some() {
        w.run_steps(2);
        assert!(begun.elapsed() < Duration::from_secs(2));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(!alive(&pid));
    w.settle();
    let runs = stored(&w.data);
    assert!(matches!(&runs[0].outcome, Outcome::Failed(f) if f.kind == ErrorKind::Cancelled));
}

#[test]
fn a_closed_window_takes_its_worker_along() {
    let mut w = fresh(&|_| "echo $$ > $1/pid; while :; do sleep 0.1; done".to_owned());
    w.get_by_role_and_label(Role::Button, "Profile").click();
    let deadline = Instant::now() + Duration::from_secs(5);
    let file = w.data.path().join("pid");
    while std::fs::read_to_string(&file)
        .unwrap_or_default()
        .is_empty()
    {
        w.run_steps(2);
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = std::fs::read_to_string(&file).unwrap();
    let _data = Arc::clone(&w.data);
    drop(w);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!alive(pid.trim()));
}

#[test]
fn runs_belong_to_a_board_and_a_power_mode() {
    let data = with_runs(&[run(&resnet(), Placement::default(), 400.0)]);
    let dir = data.path().to_owned();
    let mut w = measuring(data, worker(&xavier(), None, "exit 1", &dir));
    let label = "this placement, measured fp16: 400 (measured)";
    let charted = |w: &Window<'_>| w.query_by_role_and_label(Role::Button, label).is_some();
    assert!(charted(&w));
    assert!(w.query_by_label_contains("This machine is").is_none());
    w.state_mut().apply(Command::Mode("10W"));
    w.settle();
    assert!(!charted(&w));
    assert!(
        w.query_by_label_contains("1 run on other machines or power modes")
            .is_some()
    );
    assert!(w.state().profile_hint().contains("not charted"));
    w.state_mut().apply(Command::TargetHere);
    w.settle();
    assert!(charted(&w));
}

#[test]
fn runs_of_another_tensorrt_or_an_unknown_mode_stand_apart() {
    let model = resnet();
    let mut newer = run(&model, on_layer1(), 410.0);
    newer.environment.tensorrt = Some("8.6.2".into());
    let mut nowhere = run(&model, Placement::default(), 420.0);
    nowhere.environment.power_mode = None;
    let data = with_runs(&[run(&model, Placement::default(), 400.0), newer, nowhere]);
    let w = open(Options::default(), data);
    let chart = &w.state().points.chart;
    let measured: Vec<(f64, bool)> = chart
        .points
        .iter()
        .filter(|p| p.mark == Mark::Measured)
        .map(|p| (p.fps.value().unwrap().round(), chart.elsewhere(p)))
        .collect();
    assert_eq!(measured, [(400.0, false), (410.0, true)]);
    let group = "fp16, on Xavier NX, 15W, TensorRT 8.6";
    assert!(chart.groups().iter().any(|g| g.title == group));
    let drawn = |i: usize| !chart.elsewhere(&chart.points[i]);
    assert!(chart.scatter().iter().all(|(i, ..)| drawn(*i)));
    let runs = &w.state().runs;
    let places: Vec<&str> = (0..3).map(|i| &*runs.row(i).unwrap().target).collect();
    for place in [
        "Xavier NX, 15W, TensorRT 8.5",
        "Xavier NX, 15W, TensorRT 8.6",
        "Xavier NX, unknown power mode, TensorRT 8.5",
    ] {
        assert!(places.contains(&place), "{places:?}");
    }
    let note = "1 run on other machines or power modes";
    assert!(w.query_by_label_contains(note).is_some());
}

#[test]
fn a_run_belongs_to_its_placement_however_that_is_written() {
    let halves = Placement::default().with_module("layer1.0", Device::Dla);
    let whole = halves.clone().with_module("layer1.1", Device::Dla);
    for (placement, own) in [(on_layer1(), true), (whole, true), (halves, false)] {
        let options = Options {
            placement: Some(placement),
            ..Options::default()
        };
        let w = open(options, with_runs(&[run(&resnet(), on_layer1(), 390.0)]));
        assert_eq!(w.state().runs.actual().is_some(), own);
    }
}

#[test]
fn earlier_runs_tell_the_time_left() {
    let data = with_runs(&[run(&resnet(), Placement::default(), 400.0)]);
    let dir = data.path().to_owned();
    let hang = building(&dir) + "sleep 60";
    let mut w = measuring(data, worker(&xavier(), None, &hang, &dir));
    assert!(w.state().profile_hint().contains("About 42 s"));
    w.get_by_role_and_label(Role::Button, "Profile").click();
    let deadline = Instant::now() + Duration::from_secs(5);
    while w.query_by_label_contains(" s left").is_none() {
        w.run_steps(2);
        assert!(Instant::now() < deadline);
    }
    w.state_mut().apply(Command::CancelProfile);
    w.settle();
}

fn row_count(w: &Window<'_>) -> usize {
    w.query_all_by_role(Role::Row).count()
}

#[test]
fn the_table_of_runs_is_one_stop_of_tab() {
    let model = resnet();
    let runs: Vec<Run> = (0..14)
        .map(|i| run(&model, Placement::default(), 400.0 + f64::from(i)))
        .collect();
    let mut w = open(Options::default(), with_runs(&runs));
    w.get_by_role_and_label(Role::Tab, "Runs 14").click();
    w.settle();
    let on_row = |w: &Window<'_>| {
        let mut rows = w.query_all_by_role(Role::Row);
        rows.any(|n| n.accesskit_node().is_focused())
    };
    w.query_all_by_role(Role::Row).next().unwrap().focus();
    w.settle();
    assert!(on_row(&w));
    let row = w.ctx.memory(egui::Memory::focused);
    w.key(Modifiers::NONE, egui::Key::ArrowDown);
    assert!(on_row(&w));
    assert_ne!(w.ctx.memory(egui::Memory::focused), row);
    w.key(Modifiers::NONE, egui::Key::Tab);
    assert!(!on_row(&w), "Tab leaves the table");
}

#[test]
fn the_table_filters_sorts_loads_compares_and_deletes() {
    let model = resnet();
    let mut int8 = run(&model, Placement::default(), 700.0);
    int8.request.config.precision = Precision::INT8;
    let mut other = run(&model, Placement::default(), 9000.0);
    other.environment = Environment {
        gpu: Some("NVIDIA H200".into()),
        ..Environment::default()
    };
    let data = with_runs(&[
        run(&model, Placement::default(), 400.0),
        run(&model, on_layer1(), 380.0),
        int8,
        other,
    ]);
    let mut w = open(Options::default(), Arc::clone(&data));
    // Runs on another machine are listed and not charted.
    assert!(w.query_by_label_contains("9000").is_none());
    w.get_by_role_and_label(Role::Tab, "Runs 4").click();
    w.settle();
    assert_eq!(row_count(&w), 4);
    w.type_into("Filter runs", "xavier fp16");
    assert_eq!(row_count(&w), 2);
    w.state_mut()
        .apply(Command::Runs(RunsAct::Filter(String::new())));
    w.get_by_role_and_label(Role::ColumnHeader, "Sort by FPS")
        .click();
    w.settle();
    let fastest = w.state().runs.row(0).unwrap();
    assert_eq!(fastest.fps().unwrap().value, 9000.0);
    assert_eq!(w.state().runs.sort, (RunsColumn::Fps, true));
    // A click loads placement and config.
    let layer1 = "Run of GPU, layer1 on DLA, 380 FPS, measured";
    w.get_by_role_and_label(Role::Row, layer1).click();
    w.settle();
    assert_eq!(w.state().doc.placement(), &on_layer1());
    w.get_by_role_and_label(Role::Row, "Run of GPU, 400 FPS, measured")
        .click_modifiers(Modifiers::COMMAND);
    w.settle();
    assert!(
        w.query_by_label_contains("A 380, B 400 FPS: +5.3 %")
            .is_some()
    );
    assert!(w.query_by_label("layer1, on the DLA").is_some());
    let csv = data.path().join("runs.csv");
    w.state_mut().apply(Command::ExportRunsTo(csv.clone()));
    w.settle();
    let text = std::fs::read_to_string(csv).unwrap();
    assert_eq!(text.lines().count(), 5, "a header and four runs");
    assert!(text.starts_with(dlaplan::history::CSV_HEADER));
    // Gone, and back.
    w.click("Delete");
    assert_eq!(row_count(&w), 2);
    assert_eq!(stored(&data).len(), 2);
    let card = w.state().messages.all().last().unwrap().clone();
    assert_eq!(card.title, "Deleted 2 runs");
    let (button, undo) = card.action.unwrap();
    assert_eq!(button, "Undo");
    w.state_mut().apply(undo);
    w.settle();
    assert_eq!((row_count(&w), stored(&data).len()), (4, 4));
}

#[test]
fn silent_fallback_is_loud_and_not_the_placement() {
    let model = resnet();
    let mut silent = run(&model, on_layer1(), 390.0);
    let op = model.op(model.op_ids().nth(5).unwrap()).name.to_string();
    silent.comparison = Some(Comparison {
        silent_fallbacks: vec![op.clone()],
        contradictions: vec![Contradiction {
            op: op.clone(),
            predicted: Device::Dla,
            actual: Device::Gpu,
            because: "no rule objected".into(),
            rule: None,
            reasons: Vec::new(),
        }],
        ..Comparison::default()
    });
    let mut w = open(Options::default(), with_runs(&[silent]));
    w.click("GPU layer1");
    for text in [
        "1 fell back silently",
        "Silent fallback: 1 op left the DLA",
        "Predictions contradicted (1)",
    ] {
        assert!(w.query_by_label(text).is_some(), "{text}");
    }
    assert!(w.query_by_label_contains("no rule objected").is_some());
    let label = "not as asked: GPU, layer1 on DLA fp16: 390 (measured)";
    assert!(w.query_by_role_and_label(Role::Button, label).is_some());
    let point = w
        .state()
        .points
        .chart
        .points
        .iter()
        .find(|p| p.label.contains("not as asked"))
        .unwrap();
    assert!(point.load.is_none() && point.dla_mac_share.is_none() && !point.current);
    w.get_by_label("Select them").click();
    w.settle();
    assert_eq!(w.state().selected_ops(), [model.find_op(&op).unwrap()]);
    assert!(w.query_by_label("Fell back silently").is_some());
}

#[test]
fn estimates_learn_from_own_runs_and_forget_them_again() {
    let model = resnet();
    let layer2 = Placement::all(Device::Gpu).with_module("layer2", Device::Dla);
    // A board far slower than the shipped figures say.
    let data = with_runs(&[
        run(&model, Placement::default(), 300.0),
        run(&model, on_layer1(), 250.0),
        run(&model, layer2, 270.0),
    ]);
    let dir = data.path().to_owned();
    let again = measured(&model, measurement(&model, 300.0, &|_| false), &dir);
    let mut w = measuring(data, worker(&xavier(), None, &again, &dir));
    let estimate = |w: &Window<'_>| w.state().fresh().unwrap().estimate.fps.value().unwrap();
    let shipped = estimate(&w);
    w.click("Profile");
    assert!(
        w.query_by_label("Estimates were fitted to your runs")
            .is_some()
    );
    let learned = estimate(&w);
    assert!(
        (learned - 300.0).abs() < (shipped - 300.0).abs() / 2.0,
        "{shipped} {learned}"
    );
    w.click("Use the shipped ones");
    assert_eq!(estimate(&w), shipped);
    w.click("Profile");
    assert_eq!(estimate(&w), shipped, "and stays so");
}

#[test]
fn ten_thousand_runs_stay_fluent() {
    let model = resnet();
    let data = Arc::new(tempfile::tempdir().unwrap());
    let path = data.path().join("history.sqlite");
    let mut store = Store::open(&path).unwrap();
    let mut small = run(&model, Placement::default(), 400.0);
    if let Outcome::Finished(m) = &mut small.outcome {
        m.layers.clear();
        m.actual = Actual::default();
    }
    let failed = Outcome::Failed(Failure {
        kind: ErrorKind::Build,
        stage: Stage::Build,
        message: "no".into(),
    });
    let first = store.insert_run(&small).unwrap();
    small.outcome = failed;
    store.insert_run(&small).unwrap();
    drop(store);
    // One transaction in place of ten thousand.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998) \
         INSERT INTO runs (started_ms, model, structure_hash, state, fps, deployment, json) \
         SELECT started_ms - i, model, structure_hash, state, fps, deployment, json \
         FROM runs, n WHERE id = ?1",
        [first],
    )
    .unwrap();
    let mut w = open(Options::default(), data);
    assert_eq!(w.state().runs.total(), 10_000);
    w.state_mut().apply(Command::ShowRuns);
    w.settle();
    assert!(row_count(&w) < 60, "only what is in sight is drawn");
    for act in [
        RunsAct::Sort(RunsColumn::Fps),
        RunsAct::Sort(RunsColumn::State),
        RunsAct::Filter("failed".into()),
    ] {
        w.state_mut().apply(Command::Runs(act));
        w.settle();
    }
    assert_eq!(w.state().runs.len(), 1);
}

fn find_best(w: &mut Window<'_>) {
    w.click("Find best");
    let deadline = Instant::now() + Duration::from_secs(30);
    while w.state().find.searching() || w.state().find.answer.is_none() {
        assert!(Instant::now() < deadline);
        w.settle();
    }
    w.run();
}

#[test]
fn proposals_are_confirmed_and_what_fails_says_why() {
    let mut w = fresh(&|dir| {
        let model = resnet();
        building(dir) + &measured(&model, measurement(&model, 321.0, &|_| false), dir)
    });
    find_best(&mut w);
    w.click("Confirm the first 3 by measuring");
    assert!(w.state().find.confirming.is_none(), "over");
    let runs = stored(&w.data);
    // All GPU, all DLA, two more proposals.
    assert_eq!(runs.len(), 4);
    let trials = &w.state().find.confirmed;
    let measured: Vec<_> = trials.iter().filter(|t| t.measured.is_some()).collect();
    assert_eq!(measured.len(), 1, "the others ran on the GPU instead");
    assert_eq!(measured[0].setup.engines[0].placement, Placement::default());
    let failed: Vec<_> = trials.iter().filter_map(|t| t.failure.as_deref()).collect();
    assert!(
        failed
            .iter()
            .all(|why| why.contains("moved ops off the DLA"))
    );
    let badge = |w: &Window<'_>, text: &str| w.query_all_by_label_contains(text).count();
    assert!(badge(&w, "0 overrides measured 321") > 0);
    assert!(badge(&w, "override not measured") > 0);
    assert_eq!(w.state().runs.total(), 4);
    // Figures of the history are not measured again.
    w.click("Confirm the first 3 by measuring");
    let gpu = |r: &&Run| r.request.placement == Placement::default();
    assert_eq!(stored(&w.data).iter().filter(gpu).count(), 1);
    assert!(w.state().find.confirmed.iter().any(|t| t.from_history));
}

#[test]
fn a_sweep_measures_all_kept_placements_and_its_table_is_copied() {
    let mut w = fresh(&|dir| {
        let model = resnet();
        building(dir) + &measured(&model, measurement(&model, 321.0, &|_| false), dir)
    });
    let kept = Command::Sweep(SweepOf::Kept);
    let why = w.state().unavailable(&kept);
    assert_eq!(why.as_deref(), Some("Keep a placement first"));
    let none = w.state().unavailable(&Command::CopySweep);
    assert_eq!(none.as_deref(), Some("No sweep has ended yet"));
    w.state_mut().apply(Command::KeepAs("all GPU".into()));
    w.settle();
    w.click("GPU layer1");
    w.state_mut().apply(Command::KeepAs("layer1".into()));
    w.settle();
    assert_eq!(w.state().unavailable(&kept), None);
    w.state_mut().apply(kept.clone());
    let active = w.state().measuring.active.as_ref().unwrap();
    assert!(
        active.text().starts_with("Sweep: 1 of 2"),
        "{}",
        active.text()
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while w.state().measuring.active.is_some() {
        assert!(Instant::now() < deadline);
        w.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    w.settle();
    assert_eq!(stored(&w.data).len(), 2);
    assert_eq!(w.state().runs.total(), 2, "the table fills as runs arrive");
    // What asked for the DLA ran on the GPU: a result without a figure.
    let table = w.state().measuring.swept.clone().unwrap();
    assert_eq!(table.counts, [1, 1, 0]);
    assert!(table.markdown.contains("| all GPU |"), "{}", table.markdown);
    // By what python3 of this machine has: a column, or why not.
    let torch = ["| torch FPS |", "\n- no torch FPS from "];
    assert!(
        torch.iter().any(|t| table.markdown.contains(t)),
        "{}",
        table.markdown
    );
    w.state_mut().apply(Command::CopySweep);
    let copied = w.state().clipboard.clone();
    assert_eq!(copied, Some(Copied::Text(table.markdown)));
    // Again: figures and failed builds of the history are taken over.
    w.state_mut().apply(kept);
    while w.state().measuring.active.is_some() {
        assert!(Instant::now() < deadline);
        w.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    let gpu = |r: &&Run| r.request.placement == Placement::default();
    assert_eq!(stored(&w.data).iter().filter(gpu).count(), 1);
}

#[test]
fn a_survey_measures_in_the_background_until_it_is_cancelled() {
    let mut w = fresh(&|dir| {
        let model = resnet();
        building(dir) + &measured(&model, measurement(&model, 321.0, &|_| false), dir)
    });
    assert_eq!(w.state().unavailable(&Command::Survey), None);
    w.state_mut().apply(Command::Survey);
    let text = w.state().measuring.active.as_ref().unwrap().text();
    assert!(text.starts_with("Survey: 1 of"), "{text}");
    let why = w.state().unavailable(&Command::Survey);
    assert_eq!(why.as_deref(), Some("A measurement is under way"));
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut cancelled = false;
    while w.state().measuring.active.is_some() {
        assert!(Instant::now() < deadline);
        if !cancelled && stored(&w.data).len() >= 3 {
            w.state_mut().apply(Command::CancelProfile);
            cancelled = true;
        }
        w.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    w.settle();
    let card = w.state().messages.all().last().unwrap().clone();
    assert!(card.title.starts_with("Survey: "), "{card:?}");
    assert!(card.detail.contains("surveys/xavier-nx.json"), "{card:?}");
    assert!(card.detail.contains("rules"), "it has a DLA: {card:?}");
    let survey = w.data.path().join("surveys/xavier-nx.json");
    let survey = dlaplan::tasks::survey::SurveyFile::read(&survey).unwrap();
    assert!(survey.runs.len() >= 3);
}

/// A minimised window draws no frames, and the sweep does not wait for it.
#[test]
fn a_sweep_goes_on_while_nothing_is_drawn() {
    let mut w = fresh(&|dir| building(dir) + "exit 3");
    w.state_mut().apply(Command::Sweep(SweepOf::Preset));
    let deadline = Instant::now() + Duration::from_mins(1);
    // Sixteen rows, six of them of two engines.
    while stored(&w.data).len() < 16 {
        assert!(Instant::now() < deadline, "{} runs", stored(&w.data).len());
        std::thread::sleep(Duration::from_millis(50));
    }
    w.state_mut().apply(Command::CancelProfile);
    while w.state().measuring.active.is_some() {
        assert!(Instant::now() < deadline);
        w.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    w.settle();
    assert_eq!(w.state().runs.total(), stored(&w.data).len());
}

#[test]
fn confirming_is_cancelled_and_excludes_other_measurements() {
    let mut w = fresh(&|dir| building(dir) + "sleep 60");
    find_best(&mut w);
    w.get_by_role_and_label(Role::Button, "Confirm the first 3 by measuring")
        .click();
    let deadline = Instant::now() + Duration::from_secs(10);
    while w.query_by_label_contains("Measuring 1 of ").is_none() {
        assert!(Instant::now() < deadline);
        w.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        w.state().unavailable(&Command::Profile).as_deref(),
        Some("A measurement is under way")
    );
    let asked = Instant::now();
    w.get_by_role_and_label(Role::Button, "Stop confirming")
        .click();
    while w.state().find.confirming.is_some() {
        assert!(asked.elapsed() < Duration::from_secs(3));
        w.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(w.state().unavailable(&Command::Profile), None);
}

#[test]
fn without_a_machine_that_measures_nothing_is_offered() {
    let mut w = window();
    find_best(&mut w);
    assert!(
        w.query_by_label("Confirm the first 3 by measuring")
            .is_none()
    );
}

#[test]
fn another_machine_is_asked_over_ssh_and_remembered() {
    let mut w = measuring(
        Arc::new(tempfile::tempdir().unwrap()),
        worker(&xavier(), None, "exit 1", Path::new("/")),
    );
    w.state_mut().apply(Command::AskMeasureOn);
    w.settle();
    w.type_into("Host", "-oProxyCommand=x");
    assert!(w.query_by_label_contains("is not [USER@]HOST").is_some());
    let there = |w: &Window<'_>| {
        let button = w.get_by_role_and_label(Role::Button, "Measure there");
        !button.accesskit_node().is_disabled()
    };
    assert!(!there(&w));
    w.key(Modifiers::COMMAND, egui::Key::A);
    // Reserved: no such machine anywhere (RFC 2606).
    w.type_into("Host", "me@board.invalid");
    assert!(there(&w));
    w.click("Measure there");
    let why = refusal(&w).unwrap();
    assert!(
        why.contains("me@board.invalid cannot measure\n") && why.contains("ssh"),
        "{why}"
    );
    // It is said where it is seen, and can be taken back there.
    assert!(
        w.query_by_label("me@board.invalid cannot measure")
            .is_some()
    );
    assert!(w.query_by_label("Forget me@board.invalid").is_some());
    // The next window asks the same machine.
    let data = Arc::clone(&w.data);
    drop(w);
    let dir = data.path().to_owned();
    let mut w = measuring(data, worker(&xavier(), None, "exit 1", &dir));
    assert!(refusal(&w).unwrap().contains("me@board.invalid"));
    w.get_by_role_and_label(Role::ComboBox, "Board").click();
    w.settle();
    w.click("this machine");
    assert_eq!(refusal(&w), None);
    assert!(w.query_by_label("This machine can measure").is_some());
    assert_eq!(w.state().measuring.hosts.len(), 1, "still offered");
    let data = Arc::clone(&w.data);
    w.click("Dismiss me@board.invalid cannot measure");
    let board = |w: &mut Window<'_>| {
        w.get_by_role_and_label(Role::ComboBox, "Board").click();
        w.settle();
    };
    board(&mut w);
    w.click("Forget me@board.invalid");
    board(&mut w);
    assert!(w.query_by_label("me@board.invalid").is_none());
    drop(w);
    let w = measuring(data, worker(&xavier(), None, "exit 1", &dir));
    assert!(w.state().measuring.hosts.is_empty(), "forgotten for good");
}

#[test]
fn a_machine_forgotten_while_it_measures_gives_way_to_this_one() {
    let mut w = measuring(
        Arc::new(tempfile::tempdir().unwrap()),
        worker(&xavier(), None, "exit 1", Path::new("/")),
    );
    let host: Host = "me@board.invalid".parse().unwrap();
    w.state_mut().apply(Command::MeasureOn(Some(host)));
    w.settle();
    w.click("Forget me@board.invalid");
    assert_eq!(refusal(&w), None);
    assert!(w.state().measuring.host.is_none() && w.state().measuring.hosts.is_empty());
}

#[test]
fn where_nothing_can_be_measured_another_machine_is_a_click_away() {
    let missing = "libnvinfer.so.8 was not found\ninstall it";
    let none = worker(
        &Environment::default(),
        Some(missing),
        "exit 1",
        Path::new("/"),
    );
    let mut w = measuring(Arc::new(tempfile::tempdir().unwrap()), none);
    assert!(w.state().messages.all().is_empty(), "nobody asked");
    w.state_mut().apply(Command::ShowRuns);
    w.settle();
    assert!(w.query_by_label("libnvinfer.so.8 was not found").is_some());
    assert!(w.query_by_label("Install it").is_some());
    w.click("Measure on another machine…");
    assert!(matches!(w.state().dialog, Some(Dialog::MeasureOn { .. })));
}

#[test]
fn int8_ranges_come_from_a_calibration_cache() {
    use std::io::Write as _;
    let mut w = fresh(&|dir| {
        let model = resnet();
        building(dir) + &measured(&model, measurement(&model, 321.0, &|_| false), dir)
    });
    let file = |name: &str, text: &str| {
        let path = w.data.path().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    };
    let good = file(
        "r18.cache",
        "TRT-8502-EntropyCalibration2\nimages: 3c010a14\n",
    );
    let other = file("other.cache", "images: 3c010a14\n");
    w.state_mut().apply(Command::Precision(Precision::INT8));
    w.settle();
    assert!(w.state().profile_hint().contains("made up"));
    w.state_mut().apply(Command::Calibration(Some(other)));
    w.settle();
    assert!(w.query_by_label("No INT8 ranges were taken").is_some());
    w.click("Dismiss No INT8 ranges were taken");
    w.get_by_role_and_label(Role::ComboBox, "Precision").click();
    w.settle();
    w.click("INT8 ranges from a calibration cache…");
    w.key(Modifiers::COMMAND, egui::Key::A);
    w.type_into("Path", &good.display().to_string());
    w.click("Open");
    assert!(w.state().profile_hint().contains("r18.cache"));
    w.click("Profile");
    let run = stored(&w.data).pop().unwrap();
    let ranges = Calibration::Cache { path: good.clone() };
    assert_eq!(run.request.calibration, ranges);
    // It belongs to the work on this model.
    w.state_mut()
        .apply(Command::OpenPath("bundled:googlenet".into()));
    w.settle();
    assert_eq!(w.state().calibration, None);
    let data = Arc::clone(&w.data);
    w.state_mut()
        .apply(Command::OpenPath("bundled:resnet18".into()));
    w.settle();
    assert_eq!(
        w.state().calibration,
        None,
        "nothing was placed, nothing put aside"
    );
    w.state_mut()
        .apply(Command::Calibration(Some(good.clone())));
    w.settle();
    w.state_mut().autosave();
    drop(w);
    let w = open(Options::default(), data);
    assert_eq!(w.state().calibration, Some(good));
}

/// A run of `layer1` on the DLA that was sampled: 10 W, a GPU clock that moved, a DLA that slept.
fn sampled() -> Run {
    let mut run = run(&resnet(), on_layer1(), 321.0);
    run.environment = xavier();
    let second = 1_000_000_000;
    for i in 0..30u64 {
        run.telemetry.add(&Sample {
            at_ns: second + i * second / 10,
            took_ns: 500_000,
            cpu_ns: 200_000,
            values: vec![
                (Quantity::PowerW, "VDD_IN".into(), 10.0),
                (
                    Quantity::ClockMhz,
                    "gpu".into(),
                    if i < 15 { 1109.0 } else { 800.0 },
                ),
                (Quantity::DlaAwake, "dla0".into(), 0.0),
            ],
        });
    }
    run.telemetry.timed.push(TimedPart {
        from_ns: 2 * second,
        to_ns: 3 * second,
        images: 321.0,
    });
    run.marks = marks(&run.telemetry, Some(0));
    let (mj, energy) = energy(&run.telemetry, "board");
    let Outcome::Finished(m) = &mut run.outcome else {
        panic!("failed")
    };
    (m.mj_per_image, m.energy) = (mj, energy);
    run
}

#[test]
fn samples_are_drawn_under_their_run_with_marks_and_energy() {
    let mut w = open(Options::default(), with_runs(&[sampled()]));
    let id = w.state().runs.heads()[0].id;
    w.state_mut().apply(Command::Runs(RunsAct::Show(id)));
    w.settle();
    for label in [
        "Power VDD_IN: 10.0 W",
        "Clock gpu: 800 to 1109 MHz",
        "DLA awake dla0: 0 % of the time",
    ] {
        assert!(w.query_by_label(label).is_some(), "no {label}");
    }
    for text in ["clocks moved", "DLA never woke", "30 samples, 0.50 ms"] {
        assert!(w.query_by_label_contains(text).is_some(), "no {text}");
    }
    // 10 J over 321 images.
    assert!(w.query_by_label_contains("31.2 mJ").is_some());
    let chart = &w.state().points.chart;
    assert_eq!(chart.spots(Axis::Energy).len(), 1);
    w.state_mut().apply(Command::Runs(RunsAct::Clear));
    w.state_mut().apply(Command::Chart(View::Energy));
    w.settle();
    assert!(w.query_by_label("FPS against energy").is_some());
    // Runs are found by their marks.
    w.state_mut()
        .apply(Command::Runs(RunsAct::Filter("never woke".into())));
    assert_eq!(w.state().runs.len(), 1);
    w.state_mut()
        .apply(Command::Runs(RunsAct::Filter("throttled".into())));
    assert_eq!(w.state().runs.len(), 0);
}

#[test]
fn power_mode_and_clocks_are_set_only_when_the_dialog_says_so() {
    let mut environment = xavier();
    let mode = |id, name: &str, reboot| PowerMode {
        id,
        name: name.into(),
        reboot,
    };
    environment.power_modes = vec![mode(2, "MODE_15W_6CORE", false), mode(8, "10W", true)];
    let data = Arc::new(tempfile::tempdir().unwrap());
    let dir = data.path().to_owned();
    // Writes its arguments down.
    let note = format!(
        "echo \"$@\" >>'{}'; exit 1",
        dir.join("arguments").display()
    );
    let mut w = measuring(Arc::clone(&data), worker(&environment, None, &note, &dir));
    let arguments = || std::fs::read_to_string(dir.join("arguments")).unwrap_or_default();
    w.click("Profile");
    assert!(!arguments().contains("--"), "{}", arguments());
    w.state_mut().apply(Command::AskBoardSettings);
    w.settle();
    let radio = |w: &Window<'_>, label: &str| {
        let node = w.get_by_role_and_label(Role::RadioButton, label);
        node.accesskit_node().is_disabled()
    };
    assert!(!radio(&w, "2  MODE_15W_6CORE") && radio(&w, "8  10W"));
    w.get_by_role_and_label(Role::CheckBox, "Hold the clocks at their highest")
        .click();
    w.settle();
    w.get_by_role_and_label(Role::RadioButton, "2  MODE_15W_6CORE")
        .click();
    w.settle();
    assert!(
        w.query_by_label("sudo nvpmodel -m 2, sudo jetson_clocks")
            .is_some()
    );
    w.click("Use");
    assert!(w.state().profile_hint().contains("sudo jetson_clocks"));
    w.click("Profile");
    assert!(
        arguments().ends_with("--power-mode 2 --lock-clocks\n"),
        "{}",
        arguments()
    );
    // Another machine is asked anew.
    w.state_mut().apply(Command::MeasureOn(None));
    assert!(w.state().measuring.settings.is_none());
}

#[test]
fn a_machine_without_nvpmodel_offers_no_power_mode() {
    let w = window();
    let why = w.state().unavailable(&Command::AskBoardSettings).unwrap();
    assert!(why.contains("nvpmodel"), "{why}");
}

#[test]
fn a_warning_of_the_worker_is_told() {
    let mut w = fresh(&|dir| {
        let model = resnet();
        let text = "the build takes about 3136 MiB or more, and 900 MiB of memory are available";
        let warning = Event::Warning { text: text.into() };
        let m = measurement(&model, 321.0, &|_| false);
        say(warning, "warning", dir) + &measured(&model, m, dir)
    });
    w.click("Profile");
    let messages = w.state().messages.all();
    assert!(messages.iter().any(|m| m.detail.contains("3136 MiB")));
    assert!(
        stored(&w.data)[0]
            .log
            .iter()
            .any(|l| l.text.contains("3136 MiB"))
    );
}

#[test]
fn runs_keep_their_place_below_a_run_under_way_in_the_smallest_window() {
    let model = resnet();
    let data = with_runs(&[run(&model, on_layer1(), 390.0)]);
    let dir = data.path().to_owned();
    let then = building(&dir) + "sleep 60";
    let mut w = measuring(Arc::clone(&data), worker(&xavier(), None, &then, &dir));
    w.state_mut().apply(Command::Profile);
    w.state_mut().apply(Command::Runs(RunsAct::Show(1)));
    w.set_size(egui::Vec2::from(SMALLEST));
    w.run_steps(10);
    assert!(w.state().measuring.active.is_some());
    let row = w.query_all_by_label_contains("layer1 on DLA").next();
    assert!(row.is_some(), "the table has its rows");
}
