//! The history file: round trips, undo, later layouts, corrupt files, kill -9.
#![expect(clippy::unreadable_literal, reason = "as published")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use dlaplan::engine::telemetry::Series;
use dlaplan::engine::{
    Actual, Comparison, Energy, EnergyKind, ErrorKind, Failure, Latency, Level, LogLine, Mark,
    Measurement, ModelRef, Outcome, Quantity, Request, Run, Stage, Telemetry, unix_ms,
};
use dlaplan::figure::{Band, Figure, Measured};
use dlaplan::history::{HistoryError, Item, NewKept, RunFilter, RunHead, Store};
use dlaplan::model::onnx;
use dlaplan::placement::{Device, EngineConfig, Placement};

fn run(model: &str, fps: f64) -> Run {
    let samples = vec![fps * 0.99, fps, fps * 1.01, fps, fps];
    let latency = vec![1000.0 / fps; 20];
    Run {
        schema: Run::SCHEMA,
        started_ms: unix_ms(),
        wall_s: 3.5,
        model: ModelRef {
            name: model.into(),
            structure_hash: format!("hash of {model}"),
            timing_only: false,
        },
        request: Request::new(
            format!("/models/{model}.onnx").into(),
            Placement::all(Device::Gpu).with_module("layer1", Device::Dla),
            EngineConfig::default(),
        ),
        environment: dlaplan::engine::Environment {
            board: Some("Jetson Xavier NX".into()),
            clocks_mhz: vec![("gpu".into(), 1109.25)],
            ..Default::default()
        },
        deployment: None,
        comparison: None,
        outcome: Outcome::Finished(Box::new(Measurement {
            fps: Measurement::measured(&samples, "test").unwrap(),
            fps_samples: samples,
            process_fps: Vec::new(),
            mj_per_image: Figure::Measured(Measured {
                value: 54.5,
                min: 54.0,
                max: 55.0,
                repeats: 5,
                source: "test".into(),
            }),
            energy: Some(Energy {
                kind: EnergyKind::BoardInputRails,
                rails: vec!["VDD_IN".into()],
                joules: 27.25,
                seconds: 5.0,
                images: 500.0,
            }),
            latency: Latency::of(&latency).unwrap(),
            latency_samples_ms: latency,
            cuda_graph: false,
            cuda_graph_refused: None,
            cpu_us_per_iteration: 12.5,
            build_s: 20.9,
            cached: false,
            engine_bytes: 24_900_000,
            device_memory_bytes: 4096,
            actual: Actual::default(),
            layers: Vec::new(),
            attribution: None,
            numeric: None,
            timing_only: None,
            inspector: Some(Arc::from("{\"Layers\": []}")),
        })),
        log: vec![LogLine::new(Level::Warning, "a warning")],
        marks: vec![Mark::DlaNeverWoke { core: 0 }],
        telemetry: Telemetry {
            at_s: vec![0.0, 0.1],
            series: vec![Series {
                quantity: Quantity::PowerW,
                name: "VDD_IN".into(),
                values: vec![Some(5.5), None],
            }],
            ..Telemetry::default()
        },
    }
}

fn all() -> RunFilter {
    RunFilter::default()
}

#[test]
fn a_run_says_when_the_cpu_sets_the_pace() {
    // 2000 us per inference.
    let with_cpu = |us: f64, change: fn(&mut Run)| {
        let mut run = run("resnet18", 500.0);
        change(&mut run);
        if let Outcome::Finished(m) = &mut run.outcome {
            m.cpu_us_per_iteration = us;
        }
        run.limited_by_cpu()
    };
    let limited = with_cpu(1950.0, |_| {}).unwrap();
    assert!(limited.contains("limited by the CPU"), "{limited}");
    assert!(limited.contains("--cuda-graph"), "{limited}");
    assert_eq!(with_cpu(1000.0, |_| {}), None);
    // Four images an inference take four times as long.
    assert_eq!(with_cpu(1950.0, |r| r.request.config.batch = 4), None);
    // Busy waiting is no work.
    assert_eq!(
        with_cpu(2000.0, |r| r.request.timing.spin_wait = true),
        None
    );
    let graph = with_cpu(1950.0, |r| {
        if let Outcome::Finished(m) = &mut r.outcome {
            m.cuda_graph = true;
        }
    });
    assert!(!graph.unwrap().contains("--cuda-graph"));
}

#[test]
fn runs_round_trip_with_samples_and_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/history.sqlite");
    let mut failed = run("vgg", 1.0);
    failed.outcome = Outcome::Failed(Failure {
        kind: ErrorKind::Crashed,
        stage: Stage::Build,
        message: "the worker died of signal 11 (SIGSEGV)".into(),
    });
    let first = run("resnet18", 398.805262354432);
    {
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.insert_run(&first).unwrap(), 1);
        assert_eq!(store.insert_run(&failed).unwrap(), 2);
    }
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.run(1).unwrap().unwrap().run, first);
    assert_eq!(store.run(2).unwrap().unwrap().run, failed);
    assert_eq!(store.run(3).unwrap(), None);

    let listed = store.runs(&all()).unwrap();
    assert_eq!(listed.iter().map(|r| r.id).collect::<Vec<_>>(), [1, 2]);
    assert!(listed[0].run.log.is_empty() && listed[0].run.fps() == first.fps());
    assert!(listed[0].run.telemetry.is_empty() && listed[0].run.marks == first.marks);
    let head = &store.run_heads(&all()).unwrap()[0];
    assert_eq!(head, &RunHead::of(1, &first));
    assert_eq!(head.mj_per_image.value(), Some(54.5));
    let filter = RunFilter {
        structure_hash: Some("hash of resnet18".into()),
        finished: true,
        details: true,
        ..all()
    };
    assert_eq!(store.runs(&filter).unwrap()[0].run, first);
    let newest = RunFilter {
        limit: Some(1),
        ..all()
    };
    assert_eq!(store.runs(&newest).unwrap()[0].id, 2);
    assert_eq!(
        store.typical_build_s("hash of resnet18").unwrap(),
        Some(20.9)
    );
    assert_eq!(store.typical_build_s("hash of vgg").unwrap(), None);

    let csv = store.export_csv(&all()).unwrap();
    let columns = csv.lines().next().unwrap().split(',').count();
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.contains("398.805262354432") && csv.contains("layer1=DLA"));
    assert!(csv.contains("54.5,5.45,\"board input rails, not at the wall\",DLA never woke"));
    // One cell has a comma in it.
    let cells = csv.lines().nth(1).unwrap().split(',').count();
    assert_eq!(cells, columns + 1);
}

#[test]
fn deleting_can_be_undone() {
    let mut store = Store::in_memory().unwrap();
    let id = store.insert_run(&run("a", 10.0)).unwrap();
    let kept = store
        .keep(&NewKept {
            name: "layer1 on DLA".into(),
            model: "a".into(),
            structure_hash: "h".into(),
            placement: Placement::all(Device::Gpu).with_module("layer1", Device::Dla),
            config: EngineConfig::default(),
            target: "xavier-nx@15W:8.5".into(),
            fps: Figure::none("no estimate"),
            dla_mac_share: Some(0.25),
        })
        .unwrap();
    assert_eq!(store.kept(None).unwrap()[0].kept.name, "layer1 on DLA");
    assert_eq!(store.kept(Some("h")).unwrap().len(), 1);
    assert!(store.kept(Some("other")).unwrap().is_empty());

    let items = [Item::Run(id), Item::Kept(kept), Item::Run(99)];
    assert_eq!(store.delete(&items).unwrap(), items[..2]);
    assert!(store.delete(&items).unwrap().is_empty());
    assert!(store.runs(&all()).unwrap().is_empty() && store.kept(None).unwrap().is_empty());
    assert_eq!(store.run(id).unwrap(), None);

    assert_eq!(store.restore(&items).unwrap(), items[..2]);
    assert_eq!(store.runs(&all()).unwrap().len(), 1);
    assert_eq!(store.kept(None).unwrap().len(), 1);

    store.delete(&items).unwrap();
    assert_eq!(store.purge(30).unwrap(), 0);
    assert_eq!(store.purge(0).unwrap(), 2);
    assert!(store.restore(&items).unwrap().is_empty());
}

/// A file of the first layout gets what the second has, and keeps what it holds.
#[test]
fn a_history_of_the_first_layout_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.sqlite");
    let mut store = Store::open(&path).unwrap();
    let id = store
        .keep(&NewKept {
            name: "old".into(),
            model: "a".into(),
            structure_hash: "h".into(),
            placement: Placement::all(Device::Dla),
            config: EngineConfig::default(),
            target: "xavier-nx@15W:8.5".into(),
            fps: Figure::none("no estimate"),
            dla_mac_share: None,
        })
        .unwrap();
    drop(store);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("ALTER TABLE kept DROP COLUMN note; PRAGMA user_version = 1;")
        .unwrap();
    drop(db);
    let mut store = Store::open(&path).unwrap();
    let kept = store.kept(None).unwrap();
    assert_eq!(
        (kept[0].kept.name.as_str(), kept[0].note.as_str()),
        ("old", "")
    );
    assert!(store.note_kept(id, "fast\nbut hot").unwrap());
    assert!(!store.note_kept(id + 1, "none").unwrap());
    drop(store);
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.kept(None).unwrap()[0].note, "fast\nbut hot");
    store.delete(&[Item::Kept(id)]).unwrap();
    assert!(!store.note_kept(id, "deleted").unwrap());
    store.restore(&[Item::Kept(id)]).unwrap();
    assert_eq!(store.kept(None).unwrap()[0].note, "fast\nbut hot");
}

#[test]
fn kept_placements_are_charted_for_the_target_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.sqlite");
    let model = onnx::load_bundled("resnet18").unwrap();
    let config = EngineConfig {
        dla_core: 1,
        ..EngineConfig::default()
    };
    let kept = NewKept {
        name: "mine".into(),
        model: model.name.clone(),
        structure_hash: model.source.structure_hash.clone(),
        placement: Placement::all(Device::Gpu).with_module("layer1", Device::Dla),
        config,
        target: "xavier-nx@15W:8.5".into(),
        fps: Figure::estimated(12345.0, Band::within(0.1), "then"),
        dla_mac_share: Some(0.25),
    };
    Store::open(&path).unwrap().keep(&kept).unwrap();
    let chart = |target: &str| -> serde_json::Value {
        let out = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
            .args(["chart", "bundled:resnet18", "--json", "--dla", "layer1"])
            .args(["--target", target, "--history"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        serde_json::from_slice(&out.stdout).unwrap()
    };
    for target in ["xavier-nx@15W:8.5", "agx-orin-64@30W:8.6", "orin-nx-8"] {
        let chart = chart(target);
        let points = chart["points"].as_array().unwrap();
        let of = |label: &str| points.iter().find(|p| p["label"] == label).unwrap();
        let (mine, asked) = (of("mine"), of("GPU, layer1 on DLA"));
        let value = |p: &serde_json::Value| p["fps"]["value"].as_f64().unwrap();
        assert!((value(mine) / value(asked) - 1.0).abs() < 1e-9, "{target}");
        assert_eq!(mine["place"], asked["place"]);
        assert!(chart["target"].as_str().unwrap().starts_with(target));
        let board = target.split('@').next().unwrap();
        assert!(points.iter().all(|p| p["place"]["board"] == board));
    }
    let other_mode = chart("xavier-nx@10W");
    let points = other_mode["points"].as_array().unwrap();
    let published: Vec<_> = points.iter().filter(|p| p["mark"] == "published").collect();
    assert_eq!(published.len(), 22);
    for point in published {
        assert_eq!(point["place"]["mode"], "15W");
        let source = point["fps"]["source"].as_str().unwrap();
        assert!(
            source.contains("power mode not published, taken as 15W"),
            "{source}"
        );
    }
}

#[test]
fn references_come_with_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.sqlite");
    drop(Store::open(&path).unwrap());
    let mut store = Store::open(&path).unwrap();
    let sets = store.references().unwrap();
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].rows.len(), 22);
    let fps: Vec<f64> = sets[0].rows.iter().map(|r| r.fps).collect();
    for published in [456.3341766145895, 793.2889028321634, 251.6072665899547] {
        assert!(fps.contains(&published), "{published}");
    }
}

#[test]
fn other_files_are_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let newer = dir.path().join("newer.sqlite");
    drop(Store::open(&newer).unwrap());
    rusqlite::Connection::open(&newer)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(&newer).unwrap_err();
    assert!(matches!(error, HistoryError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("update dlaplan"), "{error}");

    let garbage = dir.path().join("garbage.sqlite");
    std::fs::copy("Cargo.toml", &garbage).unwrap();
    let message = Store::open(&garbage).unwrap_err().to_string();
    assert!(
        message.contains("garbage.sqlite") && message.contains("move it away"),
        "{message}"
    );

    let under_file = garbage.join("history.sqlite");
    assert!(matches!(
        Store::open(&under_file),
        Err(HistoryError::Io { .. })
    ));
}

/// Cut files open or are refused; they never panic.
#[test]
fn truncated_files_do_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.sqlite");
    let mut store = Store::open(&path).unwrap();
    for i in 0..20 {
        store.insert_run(&run("m", f64::from(i + 1))).unwrap();
    }
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    for cut in (0..bytes.len()).step_by(1021) {
        let cut_path = dir.path().join(format!("{cut}.sqlite"));
        std::fs::copy(&path, &cut_path).unwrap();
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&cut_path)
            .unwrap();
        file.set_len(cut as u64).unwrap();
        drop(file);
        if let Ok(mut store) = Store::open(&cut_path) {
            drop(store.runs(&RunFilter {
                details: true,
                ..all()
            }));
        }
    }
}

const WRITER: &str = "DLAPLAN_TEST_HISTORY";

#[expect(clippy::print_stdout, reason = "how the parent hears of it")]
/// Not a test of its own: the process that [`survives_kill_9`] kills.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(WRITER).map(PathBuf::from) else {
        return;
    };
    let mut store = Store::open(&path).unwrap();
    for i in 0.. {
        let id = store
            .insert_run(&run("killed", f64::from(i) + 1.0))
            .unwrap();
        println!("stored {id}");
    }
}

#[test]
fn survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.sqlite");
    for round in 0..8 {
        let acknowledged = kill_a_writer(&path, 3 + round * 5);
        let mut store = Store::open(&path).unwrap();
        let filter = RunFilter {
            details: true,
            ..all()
        };
        let runs = store.runs(&filter).expect("every stored run is whole");
        assert!(
            runs.iter().any(|r| r.id == acknowledged),
            "run {acknowledged} is lost"
        );
        assert!(runs.iter().all(|r| !r.run.log.is_empty()));
        let check: String = rusqlite::Connection::open(&path)
            .unwrap()
            .pragma_query_value(None, "integrity_check", |r| r.get(0))
            .unwrap();
        assert_eq!(check, "ok");
    }
}

/// Starts a writer, kills it after some runs; the last id it was told is stored.
fn kill_a_writer(path: &Path, runs: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "history::writer", "--nocapture"])
        .env(WRITER, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = 0;
    let mut seen = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let parse = |line: String| Some(line.rsplit_once("stored ")?.1.parse::<i64>().unwrap());
    while seen < runs {
        let line = lines.next().unwrap().unwrap();
        if let Some(id) = parse(line) {
            last = id;
            seen += 1;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    last
}

#[test]
fn heads_say_what_the_runs_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("h.sqlite")).unwrap();
    let mut failed = run("resnet18", 1.0);
    failed.outcome = Outcome::Failed(Failure {
        kind: ErrorKind::TimedOut,
        stage: Stage::Timing,
        message: "too long".into(),
    });
    let mut silent = run("resnet18", 200.0);
    silent.comparison = Some(Comparison {
        silent_fallbacks: vec!["a".into(), "b".into()],
        ..Comparison::default()
    });
    for run in [&run("resnet18", 300.0), &failed, &silent] {
        store.insert_run(run).unwrap();
    }
    let heads = store.run_heads(&all()).unwrap();
    let expected: Vec<RunHead> = store
        .runs(&all())
        .unwrap()
        .iter()
        .map(|r| RunHead::of(r.id, &r.run))
        .collect();
    assert_eq!(heads, expected);
    assert_eq!(heads[1].outcome.as_ref().unwrap_err().stage, Stage::Timing);
    assert_eq!(heads[2].silent_fallbacks, 2);
}
