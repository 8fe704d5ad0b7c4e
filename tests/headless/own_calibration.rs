//! Estimates learn from the user's own runs: history to calibration file to narrower bands.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::measurement;
use dlaplan::engine::{
    DeploymentShare, Environment, LayerTime, Measurement, ModelRef, Outcome, Request, RowSite, Run,
};
use dlaplan::estimate::Estimator;
use dlaplan::history::{RunFilter, RunModels, Store, calibration, own_calibration_path};
use dlaplan::model::onnx::load_bundled;
use dlaplan::placement::{Device, EngineConfig, Placement};
use dlaplan::plan::Planner;
use dlaplan::platform::Target;
use serde_json::Value;

/// The board these runs come from is slower than the shipped figures say.
const TRUTH: f64 = 0.8;

/// A finished run on a Xavier NX, as fast as the shipped estimate times [`TRUTH`].
fn run(model: &str, placement: Placement) -> Run {
    let loaded = load_bundled(model).unwrap();
    let target = Target::default();
    let config = EngineConfig::default();
    let planner = Planner::new(&loaded, &target, &config);
    let plan = planner.plan_placement(&placement).unwrap();
    let estimate = Estimator::new(&planner).estimate(&plan);
    let fps = estimate.fps.value().unwrap() * TRUTH;
    Run {
        schema: Run::SCHEMA,
        started_ms: 1,
        wall_s: 10.0,
        model: ModelRef {
            name: model.into(),
            structure_hash: loaded.source.structure_hash.clone(),
            timing_only: true,
        },
        request: Request::new(format!("bundled:{model}").into(), placement, config),
        environment: Environment {
            board: Some("NVIDIA Jetson Xavier NX Developer Kit".into()),
            power_mode: Some("MODE_15W_6CORE".into()),
            ..Environment::default()
        },
        deployment: None,
        comparison: None,
        outcome: Outcome::Finished(Box::new(Measurement {
            latency_samples_ms: Vec::new(),
            cpu_us_per_iteration: 10.0,
            ..measurement(vec![fps; 5], vec![1000.0 / fps; 20], "test")
        })),
        log: Vec::new(),
        marks: Vec::new(),
        telemetry: dlaplan::engine::Telemetry::default(),
    }
}

fn fill(store: &mut Store) -> usize {
    let mut count = 0;
    for model in ["resnet18", "resnet50", "mobilenet_v2", "googlenet"] {
        for device in [Device::Gpu, Device::Dla] {
            store
                .insert_run(&run(model, Placement::all(device)))
                .unwrap();
            count += 1;
        }
    }
    count
}

fn dlaplan(data: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dlaplan"))
        .args(args)
        .env("DLAPLAN_DATA_DIR", data)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap()
}

/// FPS and half band of ResNet-18 on the GPU, as the command line tells them.
fn estimate(data: &Path) -> (f64, f64) {
    let output = dlaplan(data, &["estimate", "bundled:resnet18", "--json"]);
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fps = &report["estimate"]["fps"];
    (
        fps["value"].as_f64().unwrap(),
        fps["band"]["high"].as_f64().unwrap(),
    )
}

#[test]
fn calibrating_from_a_history_moves_estimates_and_narrows_their_bands() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let history = data.join("history.sqlite");
    let before = estimate(data);
    let empty = dlaplan(data, &["calibrate", "--from-history"]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&empty.stdout).contains("nothing to learn from"));

    let runs = fill(&mut Store::open(&history).unwrap());
    let output = dlaplan(data, &["calibrate", "--from-history"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains(&format!("{runs} own engines (2 factors)")),
        "{text}"
    );
    assert!(own_calibration_path(data, "xavier-nx").exists());

    let after = estimate(data);
    assert!(
        (after.0 / before.0 - TRUTH).abs() < 0.02,
        "{before:?} {after:?}"
    );
    assert!(after.1 < 0.6 * before.1, "{before:?} {after:?}");

    let output = dlaplan(data, &["calibrate", "--from-history", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["files"][0]["what"], "wrote");
    assert!(report["files"][0]["bands"][0]["band"].as_f64().unwrap() < 0.1);

    // A named history does the same; a missing one is refused and not made.
    let named = history.to_str().unwrap();
    assert!(
        dlaplan(data, &["calibrate", "--from-history", named])
            .status
            .success()
    );
    let missing = data.join("none.sqlite");
    let output = dlaplan(
        data,
        &["calibrate", "--from-history", missing.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(!missing.exists());

    assert!(dlaplan(data, &["calibrate", "--forget"]).status.success());
    assert_eq!(estimate(data), before);
}

#[test]
fn a_damaged_calibration_is_told_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = own_calibration_path(dir.path(), "xavier-nx");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    dlaplan::export::save_atomic(&path, b"{\"schema\": 1").unwrap();
    let shipped = dlaplan::estimate::board::shipped("xavier-nx");
    assert_eq!(calibration(Some(dir.path()), "xavier-nx"), shipped);
    assert_eq!(calibration(None, "xavier-nx"), shipped);
    let output = dlaplan(dir.path(), &["estimate", "bundled:resnet18"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success());
    assert!(
        errors.contains("xavier-nx.json") && errors.contains("--from-history"),
        "{errors}"
    );
}

#[test]
fn runs_that_say_nothing_of_the_estimates_are_passed_over() {
    let mut store = Store::in_memory().unwrap();
    let good = run("resnet18", Placement::all(Device::Dla));
    let mut elsewhere = good.clone();
    elsewhere.environment.board = Some("PowerEdge".into());
    let mut custom = good.clone();
    custom.environment.power_mode = Some("MODE_MINE".into());
    let mut changed = good.clone();
    changed.model.structure_hash = "another".into();
    let mut gone = good.clone();
    gone.request.model = "/nowhere/model.onnx".into();
    let mut beside = good.clone();
    beside.deployment = Some(DeploymentShare {
        group: "g".into(),
        member: 0,
        members: 2,
        total_fps: None,
        mj_per_image: dlaplan::engine::not_sampled(),
        overlap_s: 1.0,
    });
    for r in [&good, &elsewhere, &custom, &changed, &gone, &beside] {
        store.insert_run(r).unwrap();
    }
    let runs = store.runs(&RunFilter::default()).unwrap();
    let models = RunModels::read(&runs);
    let (own, passed_over) = models.own_runs(&runs);
    assert_eq!(own.len(), 1);
    let reasons: Vec<(i64, &str)> = passed_over.iter().map(|p| (p.run, &*p.reason)).collect();
    for ((id, reason), (expected, word)) in reasons.iter().zip([
        (2, "no Jetson"),
        (3, "MODE_MINE"),
        (4, "no longer the model"),
        (5, "/nowhere/model.onnx"),
        (6, "deployment"),
    ]) {
        assert_eq!(*id, expected);
        assert!(reason.contains(word), "{reason}");
    }
}

/// Kernels of the GPU and subgraphs of the DLA are kept apart; reformats belong to neither.
#[test]
fn a_profile_becomes_evidence() {
    let model = load_bundled("resnet18").unwrap();
    let mut run = run("resnet18", Placement::all(Device::Dla));
    let Outcome::Finished(measured) = &mut run.outcome else {
        unreachable!()
    };
    let name = |i: usize| model.ops[i].name.to_string();
    measured.actual.subgraphs = vec![("{ForeignNode}".into(), vec![name(0), name(1)])];
    let row = |site, device, ms| LayerTime {
        name: "row".into(),
        mean_ms: ms,
        median_ms: ms,
        site,
        device,
        module: None,
    };
    let ops = |i: usize| vec![name(i)];
    measured.layers = vec![
        row(RowSite::Reformat { ops: ops(0) }, Device::Gpu, 0.1),
        row(RowSite::Subgraph { subgraph: 0 }, Device::Dla, 2.0),
        row(RowSite::Ops { ops: ops(46) }, Device::Gpu, 0.3),
        row(
            RowSite::Ops {
                ops: vec!["unheard of".into()],
            },
            Device::Gpu,
            0.4,
        ),
        row(RowSite::Unknown, Device::Gpu, 0.5),
    ];
    let own = dlaplan::engine::own_run(&run, &model, Target::default()).unwrap();
    assert_eq!(own.gpu_ms.len(), 1);
    assert_eq!((own.gpu_ms[0].0[0].0, own.gpu_ms[0].1), (46, 0.3));
    assert_eq!((own.dla_ms[0].0.len(), own.dla_ms[0].1), (2, 2.0));
}
