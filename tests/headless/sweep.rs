//! Sweeps with scripted workers: order, failures kept as results, and going on after a stop.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::support::measurement;
use dlaplan::engine::client::Limits;
use dlaplan::engine::protocol::{Event, Report, encode};
use dlaplan::engine::{Environment, ErrorKind, Failure, ModelRef, Request, Stage, WorkerCommand};
use dlaplan::history::Store;
use dlaplan::model::Model;
use dlaplan::model::onnx::load_bundled;
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::tasks::measure::Worker;
use dlaplan::tasks::sweep::{Result, Row, Station, Sweep, Swept, markdown, preset};

fn machine() -> Environment {
    Environment {
        host: "desk".into(),
        tensorrt: Some("8.5.2".into()),
        ..Environment::default()
    }
}

fn station(worker: &Worker) -> Station {
    Station {
        worker: worker.clone(),
        machine: machine(),
    }
}

/// One machine, for tables.
fn stations() -> [Station; 1] {
    [station(&desktop(Path::new("/"), "exit 1"))]
}

fn measured() -> String {
    let samples = vec![100.0, 101.0, 102.0, 103.0, 104.0];
    let ms = 1_000_000;
    encode(Event::Measured {
        report: Box::new(Report {
            model: ModelRef::default(),
            measurement: measurement(samples, vec![1.0, 2.0], "worker"),
            beats: (0..=100).map(|i| ((1000 + i * 10) * ms, i)).collect(),
            timed: Vec::new(),
        }),
    })
}

fn failed(kind: ErrorKind, message: &str) -> String {
    encode(Event::Failed {
        failure: Failure {
            kind,
            stage: Stage::Check,
            message: message.into(),
        },
        model: ModelRef::default(),
    })
}

fn echo(line: &str) -> String {
    let quoted = line.trim_end().replace('\'', "'\\''");
    format!("printf '%s\\n' '{quoted}'")
}

/// A desktop GPU: what asks for a DLA is refused. Requests are noted in `folder`.
fn desktop(folder: &Path, refusal: &str) -> Worker {
    let hello = encode(Event::Hello {
        environment: Box::new(machine()),
        unavailable: Vec::new(),
    });
    let body = format!(
        "{hello}\nread -r request\nprintf '%s\\n' \"$request\" >> $1/requests\n\
         case $request in *DLA*) {refusal}; exit 0;; esac\n\
         case $request in *'\"barrier\":true'*) {ready}\n\
         while read line; do case $line in *'\"go\"'*) break;; esac; done;; esac\n{measured}",
        hello = echo(&hello),
        ready = echo(&encode(Event::Ready)),
        measured = echo(&measured()),
    );
    Worker {
        command: WorkerCommand {
            program: "sh".into(),
            args: vec!["-c".into(), body.into(), "worker".into(), folder.into()],
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

fn no_dla() -> String {
    echo(&failed(ErrorKind::Refused, "this GPU has no DLA"))
}

fn requests(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("requests")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Sweeps, and stops while row `stop_in` is measured, from 1.
fn sweep(
    model: &Model,
    worker: &Worker,
    rows: Vec<Row>,
    store: &mut Store,
    stop_in: usize,
) -> Vec<Swept> {
    let stations = [station(worker)];
    let sweep = Sweep {
        model,
        template: Request::new(
            "bundled:resnet18".into(),
            Placement::default(),
            EngineConfig::default(),
        ),
        stations: &stations,
        target: None,
    };
    let earlier = store.runs(&Sweep::earlier(model)).unwrap();
    let begun = AtomicUsize::new(0);
    sweep.run(
        rows,
        earlier,
        &mut |run| {
            store.insert_run(run).unwrap();
        },
        &|| begun.load(Relaxed) >= stop_in,
        &mut |p| {
            assert!(p.done < p.of);
            if p.stage == "starting" {
                assert_eq!(p.left.is_some(), begun.load(Relaxed) > 0);
                begun.fetch_add(1, Relaxed);
            }
        },
    )
}

#[test]
fn the_preset_is_that_of_the_benchmark_script() {
    let model = load_bundled("resnet18").unwrap();
    let rows = preset(&model);
    let alone: Vec<&Row> = rows.iter().filter(|r| r.concurrent.is_none()).collect();
    assert_eq!((rows.len(), alone.len()), (16, 10));
    let titles: Vec<String> = alone.iter().map(|r| r.title()).collect();
    assert!(
        titles.contains(&"resnet18_int8_gpu_dla123".to_owned()),
        "{titles:?}"
    );
    let table = markdown(&model, &stations(), &rows_open(rows));
    for line in [
        "## Concurrent Model Execution",
        "### INT8",
        "#### 2DLA (separate cores)",
        "| resnet18_int8_dla | {'int8_mode': True, 'default_device_type': DeviceType.DLA, \
         'max_batch_size': 1, 'dla_core': 1} | not measured yet |",
        "## Heterogeneous Model",
        "| resnet18_fp16_gpu_dla12 | {'fp16_mode': True, 'default_device_type': DeviceType.GPU, \
         'device_types': \"{'layer1': 'DLA', 'layer2': 'DLA'}\", 'max_batch_size': 1} | not \
         measured yet |",
    ] {
        assert!(table.contains(line), "{line}\n{table}");
    }
}

fn rows_open(rows: Vec<Row>) -> Vec<Swept> {
    let open = |row| Swept {
        row,
        result: Result::Open,
    };
    rows.into_iter().map(open).collect()
}

#[test]
fn a_sweep_keeps_refusals_and_measures_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let model = load_bundled("resnet18").unwrap();
    let mut store = Store::open(&dir.path().join("history.sqlite")).unwrap();
    let worker = desktop(dir.path(), &no_dla());
    let swept = sweep(&model, &worker, preset(&model), &mut store, usize::MAX);
    for s in &swept {
        let wants_dla = s.row.setup.engines.iter().any(|e| e.placement.wants_dla());
        match &s.result {
            Result::Measured { fps, from_history } => {
                assert!(!wants_dla && !from_history, "{}", s.row.title());
                assert_eq!(fps.len(), s.row.setup.engines.len());
            }
            Result::Failed { why, .. } => {
                assert!(
                    wants_dla && why.contains("no DLA"),
                    "{}: {why}",
                    s.row.title()
                );
            }
            Result::Open => panic!("{} is open", s.row.title()),
        }
    }
    // One precision after the other, engines alone first.
    let asked = requests(dir.path());
    let int8: Vec<bool> = asked.iter().map(|r| r.contains("\"int8\":true")).collect();
    assert_eq!(
        int8.windows(2).filter(|w| w[0] != w[1]).count(),
        1,
        "{int8:?}"
    );
    let barrier = asked.iter().position(|r| r.contains("\"barrier\":true"));
    assert_eq!(barrier, Some(5), "five engines alone come first");
    let again = sweep(&model, &worker, preset(&model), &mut store, usize::MAX);
    assert_eq!(requests(dir.path()).len(), asked.len());
    for (a, b) in swept.iter().zip(&again) {
        match (&a.result, &b.result) {
            (
                Result::Measured { fps: a, .. },
                Result::Measured {
                    fps: b,
                    from_history,
                },
            ) => {
                assert!(from_history);
                let values = |all: &[dlaplan::figure::Measured]| -> Vec<f64> {
                    all.iter().map(|m| m.value).collect()
                };
                assert_eq!(values(a), values(b));
            }
            (
                Result::Failed { why: a, .. },
                Result::Failed {
                    why: b,
                    from_history,
                },
            ) => {
                assert!(from_history);
                assert_eq!(a, b);
            }
            other => panic!("{other:?}"),
        }
    }
    let table = markdown(&model, &stations(), &again);
    assert!(table.contains("102 (median of 5, 100 to 104)"), "{table}");
    assert!(table.contains("no figure: this GPU has no DLA"), "{table}");
}

#[test]
fn a_stopped_sweep_goes_on_and_tries_crashes_again() {
    let dir = tempfile::tempdir().unwrap();
    let model = load_bundled("resnet18").unwrap();
    let mut store = Store::open(&dir.path().join("history.sqlite")).unwrap();
    let config = |precision| EngineConfig {
        precision,
        ..EngineConfig::default()
    };
    let all = |device| Placement::all(device);
    let rows = || {
        vec![
            Row::alone("a".into(), config(Precision::FP16), all(Device::Gpu)),
            Row::alone("b".into(), config(Precision::FP16), all(Device::Dla)),
            // The same engine again needs no second measurement.
            Row::alone("c".into(), config(Precision::FP16), all(Device::Gpu)),
        ]
    };
    let worker = desktop(dir.path(), "sleep 5");
    let none = sweep(&model, &worker, rows(), &mut store, 0);
    assert!(none.iter().all(|s| s.result == Result::Open));
    assert!(requests(dir.path()).is_empty());
    let half = sweep(&model, &worker, rows(), &mut store, 2);
    assert!(matches!(
        half[0].result,
        Result::Measured {
            from_history: false,
            ..
        }
    ));
    assert_eq!(half[1].result, Result::Open);
    assert_eq!(requests(dir.path()).len(), 2);
    let worker = desktop(dir.path(), "exit 3");
    let crashed = sweep(&model, &worker, rows(), &mut store, usize::MAX);
    assert!(
        matches!(&crashed[1].result, Result::Failed { why, .. } if why.contains("exit code 3"))
    );
    assert_eq!(requests(dir.path()).len(), 3);
    let worker = desktop(dir.path(), &no_dla());
    let refused = sweep(&model, &worker, rows(), &mut store, usize::MAX);
    assert!(matches!(&refused[1].result, Result::Failed { why, .. } if why.contains("no DLA")));
    assert!(matches!(
        refused[0].result,
        Result::Measured {
            from_history: true,
            ..
        }
    ));
    assert_eq!(refused[0].result, refused[2].result);
    assert_eq!(requests(dir.path()).len(), 4);
}

#[test]
fn rows_are_spread_over_machines_of_one_kind() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let model = load_bundled("resnet18").unwrap();
    let named = |host: &str| Environment {
        host: host.into(),
        gpu: Some("NVIDIA H100".into()),
        ..machine()
    };
    let mut stations: Vec<Station> = dirs
        .iter()
        .zip(["one", "two"])
        .map(|(dir, host)| Station {
            // Slow enough that the other machine gets its share.
            worker: desktop(dir.path(), "sleep 0.2"),
            machine: named(host),
        })
        .collect();
    assert_eq!(Sweep::unlike(&stations), None);
    let modules = ["layer1", "layer2", "layer3", "layer4", "conv1", "fc"];
    let rows = modules.map(|module| {
        let placement = Placement::default().with_module(module, Device::Gpu);
        Row::alone(module.into(), EngineConfig::default(), placement)
    });
    let sweep = Sweep {
        model: &model,
        template: Request::new(
            "bundled:resnet18".into(),
            Placement::default(),
            EngineConfig::default(),
        ),
        stations: &stations,
        target: None,
    };
    let mut runs = 0;
    let swept = sweep.run(
        rows.to_vec(),
        Vec::new(),
        &mut |_| runs += 1,
        &|| false,
        &mut |_| {},
    );
    assert_eq!((swept.len(), runs), (6, 6));
    let figures = |s: &Swept| matches!(s.result, Result::Measured { .. });
    assert!(swept.iter().all(figures));
    let each = dirs.each_ref().map(|dir| requests(dir.path()).len());
    assert_eq!(each[0] + each[1], 6);
    assert!(each[0] > 0 && each[1] > 0, "{each:?}");
    stations[1].machine.tensorrt = Some("8.6.0".into());
    assert!(
        Sweep::unlike(&stations)
            .unwrap()
            .contains("different kinds")
    );
}
