//! A survey of hardware that nobody described: measured by a scripted worker, resumed, shared, and
//! learnt from.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::measurement;
use dlaplan::engine::client::Limits;
use dlaplan::engine::protocol::{Event, Report, encode};
use dlaplan::engine::{
    ClockRange, Environment, GpuFacts, LayerTime, Measurement, ModelRef, Outcome, Request, RowSite,
    Run, WorkerCommand,
};
use dlaplan::estimate::Estimator;
use dlaplan::estimate::board::{BoardFile, Mix};
use dlaplan::history::{Store, StoredRun};
use dlaplan::model::onnx::{LoadOptions, load_bundled, open, rule_cases};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::Planner;
use dlaplan::platform::Target;
use dlaplan::tasks::measure::Worker;
use dlaplan::tasks::rules;
use dlaplan::tasks::survey::{Survey, SurveyFile, describe_machine, earlier, learn, steps};
use serde_json::Value;

fn machine(gpu: &str) -> Environment {
    Environment {
        host: "desk".into(),
        tensorrt: Some("8.5.2".into()),
        gpu: Some(gpu.into()),
        compute_capability: Some("8.0".into()),
        gpu_facts: Some(GpuFacts {
            sms: 108,
            clock_mhz: 1410.0,
            memory_mhz: 1215.0,
            bus_bits: 5120,
            l2_bytes: 40 << 20,
            memory_bytes: 40 << 30,
            integrated: false,
        }),
        ..Environment::default()
    }
}

/// A board unlike the one that the priors expect.
fn truth(board: &str) -> BoardFile {
    let mut file = BoardFile::prior(board);
    let gpu = &mut file.parameters.gpu;
    gpu.matrix_cycles = 4000.0;
    gpu.stream_cycles = 3000.0;
    gpu.copy_cycles = 4000.0;
    gpu.depthwise_cycles = 5000.0;
    gpu.tile_efficiency = 0.4;
    gpu.bandwidth = 1.6;
    gpu.gap_cycles = 500.0;
    gpu.launch_us = 0.3;
    file
}

/// A run on a machine of which [`truth`] holds.
fn run(model: &str, machine: &Environment, target: Target, engine: &EngineConfig) -> Run {
    let loaded = open(Path::new(model), &LoadOptions::default()).unwrap();
    let planner = Planner::new(&loaded, &target, engine);
    let placement = Placement::all(Device::Gpu);
    let plan = planner.plan_placement(&placement).unwrap();
    let file = truth(target.board.id);
    let estimator = Estimator::with_board(&planner, &file);
    let fps = estimator.estimate(&plan).fps.value().unwrap();
    let gap = file.parameters.gpu.gap_cycles / (target.mode.gpu_mhz * 1e3) + 0.3e-3;
    let units = estimator.cost_table().unwrap().units;
    let layers = units
        .iter()
        .filter(|u| u.gpu_ms > gap)
        .map(|unit| LayerTime {
            name: "row".into(),
            mean_ms: unit.gpu_ms - gap,
            median_ms: unit.gpu_ms - gap,
            site: RowSite::Ops {
                ops: unit
                    .ops
                    .iter()
                    .map(|op| loaded.op(*op).name.to_string())
                    .collect(),
            },
            device: Device::Gpu,
            module: None,
        });
    let ms = 1000.0 * f64::from(engine.batch) / fps;
    Run {
        schema: Run::SCHEMA,
        started_ms: 1,
        wall_s: 1.0,
        model: ModelRef {
            name: loaded.name.clone(),
            structure_hash: loaded.source.structure_hash.clone(),
            timing_only: true,
        },
        request: Request::new(model.into(), placement, engine.clone()),
        environment: machine.clone(),
        deployment: None,
        comparison: None,
        outcome: Outcome::Finished(Box::new(Measurement {
            layers: layers.collect(),
            ..measurement(vec![fps; 5], vec![ms; 20], "test")
        })),
        log: Vec::new(),
        marks: Vec::new(),
        telemetry: dlaplan::engine::Telemetry::default(),
    }
}

/// The first engines alone of a survey, each network twice, as measured on a machine.
fn surveyed(machine: &Environment) -> SurveyFile {
    let board = describe_machine(machine).unwrap();
    let target = dlaplan::engine::environment::place(machine).unwrap();
    let alone = steps(0)
        .unwrap()
        .into_iter()
        .filter(|s| s.setup.engines.len() == 1)
        .take(30);
    let runs: Vec<Run> = alone
        .map(|s| {
            run(
                s.model.to_str().unwrap(),
                machine,
                target,
                &s.setup.engines[0].config,
            )
        })
        .collect();
    SurveyFile::new(machine, board, &runs)
}

fn estimate(data: &Path, model: &str, target: &str, more: &[&str]) -> (f64, f64) {
    let output = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
        .args(["estimate", model, "--json", "--target", target])
        .args(more)
        .env("DLAPLAN_DATA_DIR", data)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fps = &report["estimate"]["fps"];
    (
        fps["value"].as_f64().unwrap(),
        fps["band"]["high"].as_f64().unwrap(),
    )
}

#[test]
fn an_imported_survey_makes_a_board_and_its_estimates() {
    let data = tempfile::tempdir().unwrap();
    let machine = machine("NVIDIA Sample 7");
    let file = surveyed(&machine);
    let path = data.path().join("shared.json");
    file.write(&path).unwrap();
    assert_eq!(SurveyFile::read(&path).unwrap(), file);
    let import = || {
        Command::new(env!("CARGO_BIN_EXE_dlaplan"))
            .args(["calibrate", "--import", path.to_str().unwrap()])
            .env("DLAPLAN_DATA_DIR", data.path())
            .output()
            .unwrap()
    };
    let output = import();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for word in [
        "described",
        "new runs from survey of desk",
        "kernels",
        "sample-7",
    ] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    let again = import();
    let text = String::from_utf8_lossy(&again.stdout);
    assert!(text.contains(" 0 new runs"), "{text}");
    // Networks that the survey does not contain.
    let target = Target::parse("sample-7").unwrap();
    let (mut errors, mut bands) = (Vec::new(), Vec::new());
    for model in [
        "resnet18",
        "resnet50",
        "mobilenet_v2",
        "googlenet",
        "detector",
    ] {
        for (precision, name) in [(Precision::FP16, "fp16"), (Precision::INT8, "int8")] {
            let config = EngineConfig {
                precision,
                batch: 8,
                ..EngineConfig::default()
            };
            let path = format!("bundled:{model}");
            let real = run(&path, &machine, target, &config).fps().unwrap().value;
            let said = ["--precision", name, "--batch", "8"];
            let (fps, band) = estimate(data.path(), &path, "sample-7", &said);
            errors.push((fps / real - 1.0).abs());
            bands.push(band);
        }
    }
    errors.sort_by(f64::total_cmp);
    assert!(errors[5] < 0.04 && errors[9] < 0.15, "{errors:?}");
    assert!(bands.iter().all(|b| *b < 0.3), "{bands:?}");
}

/// Imports surveys of `tests/data`.
fn import(data: &Path, files: &[&str]) {
    for file in files {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(file);
        let output = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
            .args(["calibrate", "--import", file.to_str().unwrap()])
            .env("DLAPLAN_DATA_DIR", data)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }
}

/// Estimates against measured FPS of (bundled network, precision, batch): the errors, least first, and those
/// outside their band. No band is wider than `widest`.
fn errors(
    data: &Path,
    target: &str,
    widest: f64,
    measured: &[(&str, &str, &str, f64)],
) -> (Vec<f64>, Vec<String>) {
    let mut errors = Vec::new();
    let mut outside = Vec::new();
    for (model, precision, batch, measured) in measured {
        let said = ["--precision", precision, "--batch", batch];
        let (fps, band) = estimate(data, &format!("bundled:{model}"), target, &said);
        let error: f64 = fps / measured - 1.0;
        if error.abs() > band {
            outside.push(format!(
                "{model} {precision} {batch}: {fps}, {error}, {band}"
            ));
        }
        assert!(band <= widest, "{model} {precision}: {band}");
        errors.push(error.abs());
    }
    errors.sort_by(f64::total_cmp);
    (errors, outside)
}

/// Two surveys of an H200 with TensorRT 8.5.2 that their limit of nine minutes cut, one with the networks of
/// an earlier dlaplan, and what other networks took on such machines (docs/measured.md).
#[test]
fn real_surveys_cut_short_estimate_other_networks() {
    let data = tempfile::tempdir().unwrap();
    import(
        data.path(),
        &["survey_h200.json", "survey_h200_blocks.json"],
    );
    let (errors, outside) = errors(
        data.path(),
        "h200",
        0.4,
        &[
            ("resnet18", "fp16", "1", 4913.0),
            ("resnet18", "fp16", "16", 42822.0),
            ("resnet18", "int8", "1", 7530.0),
            ("resnet50", "fp16", "1", 2354.0),
            ("resnet50", "int8", "1", 3368.0),
            ("googlenet", "fp16", "1", 2626.0),
            ("googlenet", "int8", "1", 3203.0),
            ("mobilenet_v2", "fp16", "1", 3805.0),
            ("mobilenet_v2", "fp16", "1", 4281.0),
            ("mobilenet_v2", "int8", "1", 5001.0),
            ("detector", "fp16", "1", 1901.0),
            ("detector", "int8", "1", 2484.0),
        ],
    );
    let median = f64::midpoint(errors[5], errors[6]);
    assert!(median <= 0.1 && errors[11] <= 0.3, "{errors:?}");
    assert!(outside.len() <= 1, "{outside:?}");
}

/// What [`a_real_survey_of_nine_minutes_estimates_other_networks`] surveyed.
const H100: &str = "h100-80gb-hbm3";

/// A survey of an H100 with TensorRT 8.5.2 in 522 s, and what bundled networks took on such machines
/// (docs/measured.md).
#[test]
fn a_real_survey_of_nine_minutes_estimates_other_networks() {
    let data = tempfile::tempdir().unwrap();
    import(data.path(), &["survey_h100.json"]);
    let (errors, outside) = errors(
        data.path(),
        H100,
        0.5,
        &[
            ("resnet18", "int8", "8", 42550.0),
            ("resnet50", "fp16", "1", 2374.0),
            ("mobilenet_v2", "fp16", "8", 23051.0),
            ("googlenet", "int8", "1", 2972.0),
            ("googlenet", "fp16", "8", 16618.0),
            // These after the fit was what it is.
            ("resnet18", "fp16", "1", 4858.0),
            ("mobilenet_v2", "int8", "1", 3974.0),
            ("resnet50", "int8", "8", 16675.0),
        ],
    );
    assert!(errors[4] <= 0.08 && errors[7] <= 0.25, "{errors:?}");
    assert!(outside.is_empty(), "{outside:?}");
    let said = ["--precision", "fp16", "--io-formats", "fp16:chw"];
    let (fps, _) = estimate(data.path(), "bundled:resnet18", H100, &said);
    assert!((fps / 5092.0 - 1.0).abs() <= 0.08, "{fps}");
    // Two of them at once, in all.
    for (model, precision, batch, measured) in [
        ("resnet18", "fp16", "1", 4570.0),
        ("resnet50", "fp16", "1", 2192.0),
        ("googlenet", "int8", "1", 3191.0),
        ("mobilenet_v2", "fp16", "8", 20911.0),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
            .args(["estimate", &format!("bundled:{model}"), "--json"])
            .args(["--target", H100, "--together", "gpu,gpu"])
            .args(["--precision", precision, "--batch", batch])
            .env("DLAPLAN_DATA_DIR", data.path())
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let fps = report["total_fps"]["value"].as_f64().unwrap();
        let error = fps / measured - 1.0;
        assert!(error.abs() <= 0.25, "{model}: {fps}, {error}");
    }
}

#[test]
fn a_survey_of_other_networks_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let machine = machine("NVIDIA Sample 8");
    let mut file = surveyed(&machine);
    file.runs[0].request.model = "/etc/passwd".into();
    let path = data.path().join("bad.json");
    file.write(&path).unwrap();
    let error = SurveyFile::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("/etc/passwd") && error.contains("nothing was imported"),
        "{error}"
    );
    dlaplan::export::save_atomic(&path, b"{\"schema\": 1}").unwrap();
    assert!(SurveyFile::read(&path).is_err());
}

/// A worker that measures whatever it is asked.
fn scripted(machine: &Environment) -> Worker {
    let hello = encode(Event::Hello {
        environment: Box::new(machine.clone()),
        unavailable: Vec::new(),
    });
    let ms = 1_000_000;
    let measured = encode(Event::Measured {
        report: Box::new(Report {
            model: ModelRef::default(),
            measurement: measurement(vec![100.0; 5], vec![1.0, 2.0], "worker"),
            beats: (0..=100).map(|i| ((1000 + i * 10) * ms, i)).collect(),
            timed: Vec::new(),
        }),
    });
    let echo = |line: &str| format!("printf '%s\\n' '{}'", line.trim_end());
    let body = format!(
        "{}\nread -r request\ncase $request in *'\"barrier\":true'*) {}\n\
         while read line; do case $line in *'\"go\"'*) break;; esac; done;; esac\n{}",
        echo(&hello),
        echo(&encode(Event::Ready)),
        echo(&measured)
    );
    Worker {
        command: WorkerCommand {
            program: "sh".into(),
            args: vec!["-c".into(), body.into()],
            host: None,
        },
        limits: Limits {
            hello: Duration::from_secs(10),
            build: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            grace: Duration::from_millis(300),
        },
    }
}

#[test]
fn a_survey_stops_and_goes_on_where_it_stopped() {
    let machine = machine("NVIDIA Sample 9");
    let worker = scripted(&machine);
    let survey = Survey {
        worker: &worker,
        machine: &machine,
        limit: Duration::from_mins(10),
        cache: None,
    };
    let mut store = Store::in_memory().unwrap();
    let begun = Cell::new(0);
    let of = steps(0).unwrap().len();
    let go = |store: &mut Store, stop_after: usize| {
        let before = earlier(store).unwrap();
        begun.set(0);
        survey
            .run(
                before,
                &mut |run| {
                    store.insert_run(run).unwrap();
                },
                &|| begun.get() > stop_after,
                &mut |p| {
                    assert!(
                        p.done < p.of && p.left.is_some_and(|left| left <= Duration::from_mins(10))
                    );
                    if p.stage == "starting" {
                        begun.set(begun.get() + 1);
                    }
                },
            )
            .unwrap()
    };
    let some = go(&mut store, 3);
    assert_eq!((some.done, some.of), (3, of));
    let more = go(&mut store, 2);
    assert_eq!(more.done, 5, "three are taken over");
    let all = go(&mut store, usize::MAX);
    assert_eq!(all.done, of);
    // Engines at the same time are several runs.
    assert!(all.runs.len() > of);
    assert_eq!(go(&mut store, usize::MAX).done, of);
    assert_eq!(begun.get(), 0, "nothing is left to measure");
    let over = Survey {
        limit: Duration::from_secs(1),
        ..survey
    };
    let none = over
        .run(Vec::new(), &mut |_| {}, &|| false, &mut |_| {})
        .unwrap();
    assert_eq!(none.done, 0, "no time");
}

/// A worker that says the same of every network it is asked about.
fn opinionated(machine: &Environment, said: &[(&str, bool)]) -> Worker {
    let say = |event: Event| format!("printf '%s\\n' '{}'", encode(event).trim_end());
    let hello = say(Event::Hello {
        environment: Box::new(machine.clone()),
        unavailable: Vec::new(),
    });
    let answered = say(Event::Answered {
        can_run_on_dla: said.iter().map(|(op, b)| ((*op).to_owned(), *b)).collect(),
    });
    let body = format!(
        "{hello}\nread -r request\ncase $request in *'\"type\":\"ask\"'*) {answered};; esac"
    );
    Worker {
        command: WorkerCommand {
            program: "sh".into(),
            args: vec!["-c".into(), body.into()],
            host: None,
        },
        limits: Limits::default(),
    }
}

#[test]
fn what_tensorrt_says_of_the_rules_stands_beside_them() {
    let said = [
        ("pool.window: window 8x8", true),
        ("pool.window: window 9x9", true),
        ("activation.kind: Relu", true),
        ("activation.kind: Elu", false),
        ("no.rule: and no case", true),
    ];
    let without = machine("NVIDIA Sample 12");
    let nothing = rules::ask(
        &opinionated(&without, &said),
        &without,
        &|| false,
        &mut |_| {},
    );
    assert_eq!(nothing, [], "no DLA, no question");
    let mut machine = machine("NVIDIA Sample 13");
    machine.dla_cores = Some(1);
    machine.clock_ranges.push(ClockRange {
        name: "dla0".into(),
        min_mhz: None,
        max_mhz: Some(1400.0),
        governor: None,
    });
    let worker = opinionated(&machine, &said);
    let mut asked = Vec::new();
    let answers = rules::ask(&worker, &machine, &|| false, &mut |what| {
        asked.push(what.title.to_owned());
    });
    assert_eq!(
        asked.len(),
        2 * rule_cases().len(),
        "each in two precisions"
    );
    let mut file = surveyed(&machine).with_rules(answers);
    file.runs.truncate(4);
    let target = dlaplan::engine::environment::place(&machine).unwrap();
    let judged = rules::judge(&file.rules, &target);
    let of = |rule: &str, case: &str| {
        let found = judged.iter().find(|j| (&*j.rule, &*j.case) == (rule, case));
        found.unwrap_or_else(|| panic!("{rule} {case} in {judged:?}"))
    };
    assert_eq!(judged.len(), 8, "four cases, twice: {judged:?}");
    assert_eq!(of("pool.window", "window 8x8").agrees, Some(true));
    assert_eq!(of("activation.kind", "Elu").agrees, Some(true));
    let wrong = of("pool.window", "window 9x9");
    assert_eq!(wrong.agrees, Some(false));
    assert!(
        wrong
            .text()
            .contains("the plan refuses it, TensorRT allows it"),
        "{}",
        wrong.text()
    );
    // Kept with the survey, and shown beside the rule.
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("surveys/sample.json");
    file.write(&path).unwrap();
    assert_eq!(SurveyFile::read(&path).unwrap(), file);
    learn(data.path(), &file, Vec::new()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
        .arg("rules")
        .env("DLAPLAN_DATA_DIR", data.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "    sample-13@default:8.5 agrees, asked about 4 cases",
        "    sample-13@default:8.5 disagrees: pool.window, window 9x9: the plan refuses it, TensorRT \
         allows it (fp16)",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in {text}");
    }
}

#[test]
fn what_engines_do_to_each_other_is_learnt() {
    let data = tempfile::tempdir().unwrap();
    let machine = machine("NVIDIA Sample 10");
    let mut file = surveyed(&machine);
    let target = dlaplan::engine::environment::place(&machine).unwrap();
    let alone = file.runs.clone();
    let shared = |group: &str, run: &Run, member| {
        let mut run = run.clone();
        run.deployment = Some(dlaplan::engine::DeploymentShare {
            group: group.into(),
            member,
            members: 2,
            total_fps: None,
            mj_per_image: dlaplan::engine::not_sampled(),
            overlap_s: 1.0,
        });
        let Outcome::Finished(m) = &mut run.outcome else {
            unreachable!()
        };
        // A third of the time goes to switching.
        m.fps.value *= 0.5 * 2.0 / 3.0;
        run
    };
    for (i, run) in alone.iter().take(3).enumerate() {
        let group = format!("g{i}");
        file.runs.push(shared(&group, run, 0));
        file.runs.push(shared(&group, run, 1));
    }
    let learnt = learn(data.path(), &file, Vec::<StoredRun>::new()).unwrap();
    let fitted = &learnt.refits.boards[0].after;
    let model = load_bundled("resnet18").unwrap();
    let planner = Planner::new(&model, &target, &alone[0].request.config);
    let estimator = Estimator::with_board(&planner, fitted);
    let plan = planner
        .plan_placement(&Placement::all(Device::Gpu))
        .unwrap();
    let load = estimator.load(&plan).unwrap();
    let single = estimator.estimate(&plan).fps.value().unwrap();
    let both = estimator.deployment(&[load.clone(), load]).fps[0]
        .value()
        .unwrap();
    assert!((both / single - 1.0 / 3.0).abs() < 0.03, "{both} {single}");
    assert!(fitted.band(Precision::FP16, Mix::Gpu, "other").half_width() < 0.3);
}
