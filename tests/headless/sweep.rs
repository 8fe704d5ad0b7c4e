//! Sweeps with scripted workers: order, failures kept as results, and going on after a stop.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::sshd::{Board, ran};
use crate::support::measurement;
use dlaplan::engine::client::Limits;
use dlaplan::engine::protocol::{Event, Report, encode};
use dlaplan::engine::{Environment, ErrorKind, Failure, ModelRef, Request, Stage, WorkerCommand};
use dlaplan::export::save_atomic;
use dlaplan::figure::Figure;
use dlaplan::history::Store;
use dlaplan::model::Model;
use dlaplan::model::onnx::load_bundled;
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::tasks::measure::Worker;
use dlaplan::tasks::progress::Progress;
use dlaplan::tasks::sweep::{
    Result, Results, Row, Station, Sweep, Swept, markdown, preset, torch_absent,
};
use dlaplan::tasks::torch::Baseline;

fn machine() -> Environment {
    Environment {
        host: "desk".into(),
        tensorrt: Some("8.5.2".into()),
        ..Environment::default()
    }
}

/// What all requests of a sweep have in common.
fn template() -> Request {
    let path = "bundled:resnet18".into();
    Request::new(path, Placement::default(), EngineConfig::default())
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
    let text = fs::read_to_string(folder.join("requests")).unwrap_or_default();
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
        template: template(),
        stations: &stations,
        target: None,
        torch: None,
    };
    let earlier = store.runs(&Sweep::earlier(model)).unwrap();
    let begun = AtomicUsize::new(0);
    sweep
        .run(
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
        .rows
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
    let table = markdown(&model, &stations(), &without_torch(rows_open(rows)));
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

fn without_torch(rows: Vec<Swept>) -> Results {
    Results {
        rows,
        torch: Vec::new(),
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
    let table = markdown(&model, &stations(), &without_torch(again));
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
        template: template(),
        stations: &stations,
        target: None,
        torch: None,
    };
    let mut runs = 0;
    let results = sweep.run(
        rows.to_vec(),
        Vec::new(),
        &mut |_| runs += 1,
        &|| false,
        &mut |_| {},
    );
    let swept = results.rows;
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

/// An executable shell script.
fn script(path: &Path, body: &str) -> PathBuf {
    save_atomic(path, format!("#!/bin/sh\n{body}\n").as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// One engine at batch 1 and one at batch 8, on the GPU.
fn two_batches() -> Vec<Row> {
    let at = |batch| EngineConfig {
        batch,
        ..EngineConfig::default()
    };
    let row = |name: &str, batch| Row::alone(name.into(), at(batch), Placement::default());
    vec![row("one", 1), row("eight", 8)]
}

/// A sweep of [`two_batches`] and of the PyTorch module. Ends when `stop` exists.
fn with_torch(model: &Model, stations: &[Station], torch: Baseline, stop: &Path) -> Results {
    let sweep = Sweep {
        model,
        template: template(),
        stations,
        target: None,
        torch: Some(torch),
    };
    let mut hear = |p: &Progress<'_>| {
        if p.stage.contains("PyTorch") {
            assert_eq!((p.done, p.of, p.left), (0, 2, None));
            assert!(p.title.ends_with(":resnet18"), "{}", p.title);
        }
    };
    let rows = two_batches();
    sweep.run(rows, Vec::new(), &mut |_| {}, &|| stop.exists(), &mut hear)
}

/// A python3 that runs a shell script instead.
fn python(dir: &Path, body: &str) -> Baseline {
    Baseline {
        python: script(&dir.join("python3"), body),
        limit: Duration::from_secs(20),
        ..Baseline::default()
    }
}

const SAMPLES: &str = r#"{"torch": "2.11.0", "device": "cuda", "batches": [
    {"batch": 1, "samples": [41.5, 42.5, 40.5, 43.5, 41.25]},
    {"batch": 8, "why": "OutOfMemoryError: CUDA out of memory"}]}"#;

#[test]
fn the_pytorch_module_stands_in_the_column_of_the_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let model = load_bundled("resnet18").unwrap();
    let answer = echo(&SAMPLES.replace('\n', ""));
    let body = format!(
        "echo \"$*\" >> {at}/asked\ncat > {at}/program\necho a word of the factory\n{answer}"
    );
    let stations = [station(&desktop(dir.path(), &no_dla()))];
    let torch = python(dir.path(), &body);
    let results = with_torch(&model, &stations, torch, Path::new("/none"));
    assert_eq!(
        fs::read_to_string(dir.path().join("asked")).unwrap(),
        "- torchvision.models:resnet18 --input 1x3x224x224 --limit 20 --batch 1 --batch 8\n"
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("program")).unwrap(),
        fs::read_to_string("scripts/torch_baseline.py").unwrap()
    );
    let [one, eight] = &results.torch[..] else {
        panic!("{:?}", results.torch);
    };
    let Figure::Measured(fps) = &one.fps else {
        panic!("{one:?}");
    };
    assert_eq!((one.batch, &*one.machine), (1, "desk"));
    assert_eq!(
        (fps.value, fps.min, fps.max, fps.repeats),
        (41.5, 40.5, 43.5, 5)
    );
    assert_eq!(&*fps.source, "PyTorch 2.11.0 eager FP32 on cuda");
    assert_eq!(eight.fps.value(), None);
    let table = markdown(&model, &stations, &results);
    for line in [
        "| config | torch2trt kwargs | torch FPS | tensorrt FPS |",
        "'max_batch_size': 1} | 41.5 (median of 5, 40.5 to 43.5) | 102 (median",
        "'max_batch_size': 8} | no figure: OutOfMemoryError: CUDA out of memory at batch 8 | 102",
        "\n- torch FPS of torchvision.models:resnet18: PyTorch 2.11.0 eager FP32 on cuda\n",
        "\n- no torch FPS from desk: OutOfMemoryError: CUDA out of memory at batch 8\n",
    ] {
        assert!(table.contains(line), "{line}\n{table}");
    }
    let json = serde_json::to_value(&results).unwrap();
    assert_eq!(json["torch"][0]["fps"]["value"], 41.5);
    assert_eq!(json["torch"][0]["module"], "torchvision.models:resnet18");
    // Another module, at clocks that the engines alone have.
    let torch = Baseline {
        factory: Some("nets.small:resnet18".parse().unwrap()),
        clocks_as_found: true,
        ..python(dir.path(), &body)
    };
    let results = with_torch(&model, &stations, torch, Path::new("/none"));
    let source = results.torch[0].fps.source();
    assert!(source.ends_with("without the power mode and clocks that were set for the engines"));
    let asked = fs::read_to_string(dir.path().join("asked")).unwrap();
    assert!(
        asked
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("- nets.small:resnet18 "),
        "{asked}"
    );
    // Two machines, each with its own figure.
    let mut stations = [stations[0].clone(), stations[0].clone()];
    stations[1].machine.host = "other".into();
    let results = with_torch(
        &model,
        &stations,
        python(dir.path(), &body),
        Path::new("/none"),
    );
    let table = markdown(&model, &stations, &results);
    let both =
        "| 41.5 (median of 5, 40.5 to 43.5) on desk; 41.5 (median of 5, 40.5 to 43.5) on other |";
    assert!(table.contains(both), "{table}");
}

#[test]
fn without_a_figure_of_pytorch_the_column_is_left_out_and_a_note_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let model = load_bundled("resnet18").unwrap();
    let stations = [station(&desktop(dir.path(), &no_dla()))];
    let held = |torch: Baseline, why: &str| {
        let results = with_torch(&model, &stations, torch, Path::new("/none"));
        assert_eq!(results.torch.len(), 2);
        let table = markdown(&model, &stations, &results);
        let header = "| config | torch2trt kwargs | tensorrt FPS |\n";
        assert!(table.contains(header), "{table}");
        let note = format!("no torch FPS from desk: {why}");
        assert!(table.contains(&format!("\n- {note}")), "{note}\n{table}");
        let absent = torch_absent(&results);
        assert!(absent[0].starts_with(&note), "{absent:?}");
        // The engines are measured nevertheless.
        let measured = |s: &Swept| matches!(s.result, Result::Measured { .. });
        assert!(results.rows.iter().all(measured));
    };
    for (body, why) in [
        (
            r#"echo '{"why": "/usr/bin/python3 has no PyTorch"}'"#,
            "/usr/bin/python3 has no PyTorch",
        ),
        ("echo 41.5", "python3 has not answered with figures"),
        ("true", "python3 has not answered with figures"),
        (
            r#"echo '{"torch": "2", "device": "cpu", "batches": [{"batch": 1, "samples": [0, -1]}]}'"#,
            "python3 gave no samples at batch 1",
        ),
        (
            r#"echo '{"torch": "2", "device": "cpu", "batches": []}'"#,
            "python3 has not answered for batch 1",
        ),
    ] {
        held(python(dir.path(), body), why);
    }
    let path = dir.path().join("python3").display().to_string();
    let crash = format!("{path} ended with exit status: 3: Illegal instruction");
    held(
        python(dir.path(), "echo 'Illegal instruction' >&2; exit 3"),
        &crash,
    );
    let killed = format!("{path} ended with signal: 9 (SIGKILL)");
    held(python(dir.path(), "kill -9 $$"), &killed);
    let slow = Baseline {
        limit: Duration::from_millis(300),
        ..python(dir.path(), "sleep 60")
    };
    held(slow, "python3 did not finish within 0.3 s");
    let gone = Baseline {
        python: "/none/python3".into(),
        ..Baseline::default()
    };
    held(gone, "/none/python3 cannot be started: No such file");
    // A file's name is no Python.
    let mut odd = load_bundled("resnet18").unwrap();
    odd.name = "my-net'; x".into();
    let torch = python(dir.path(), "exit 9");
    let batches = [1].into();
    let station = &stations[0];
    let (worker, machine) = (&station.worker.command, &station.machine);
    let none = torch.measure(&odd, worker, machine, &batches, &|| false);
    let why = none[0].fps.source();
    assert!(why.contains("names another module"), "{why}");
}

#[test]
fn a_stopped_sweep_ends_python() {
    let dir = tempfile::tempdir().unwrap();
    let model = load_bundled("resnet18").unwrap();
    let stations = [station(&desktop(dir.path(), &no_dla()))];
    let (pid, stop) = (dir.path().join("pid"), dir.path().join("stop"));
    // The child of the script goes with it.
    let body = format!(
        "sleep 60 & echo $! > {}; touch {}; wait",
        pid.display(),
        stop.display()
    );
    let begun = Instant::now();
    let results = with_torch(&model, &stations, python(dir.path(), &body), &stop);
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(results.torch, []);
    assert!(results.rows.iter().all(|s| s.result == Result::Open));
    let pid = fs::read_to_string(pid).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    while state().is_ok_and(|s| !s.contains(") Z ")) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it runs on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A torch and a torchvision of a few lines, which count the calls of a module: the real
/// program measures them with the real Python.
fn scripted_torch(packages: &Path, module: &str) {
    fs::create_dir_all(packages).unwrap();
    let torch = "import contextlib\n\
        __version__ = '2.0.0'\n\
        class nn:\n    class Module:\n        eval = lambda self: self\n        \
        to = lambda self, device: self\n\
        class cuda:\n    is_available = staticmethod(lambda: False)\n\
        rand = lambda dims, device: (list(dims), device)\n\
        no_grad = contextlib.nullcontext\n";
    let vision = format!(
        "import time, torch\nclass models:\n    word = 'no factory'\n\
         class Net(torch.nn.Module):\n    def __call__(self, x):\n        {module}\n\
         def resnet18():\n    print('weights: none')\n    return Net()\n\
         def number():\n    return 1\n"
    );
    save_atomic(&packages.join("torch.py"), torch.as_bytes()).unwrap();
    fs::create_dir_all(packages.join("torchvision")).unwrap();
    save_atomic(&packages.join("torchvision/__init__.py"), b"").unwrap();
    save_atomic(&packages.join("torchvision/models.py"), vision.as_bytes()).unwrap();
}

#[test]
fn the_program_measures_a_module_of_python() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let model = load_bundled("resnet18").unwrap();
    let module =
        format!("open('{at}/calls', 'a').write(str(x) + '\\n'); assert x[0][0] < 8, 'too large'");
    let packages = dir.path().join("packages");
    scripted_torch(&packages, &module);
    let body = format!("PYTHONPATH={} exec python3 \"$@\"", packages.display());
    let real = |factory: Option<&str>| {
        let torch = Baseline {
            factory: factory.map(|f| f.parse().unwrap()),
            ..python(dir.path(), &body)
        };
        let station = station(&desktop(dir.path(), &no_dla()));
        let (worker, machine) = (&station.worker.command, &station.machine);
        torch.measure(&model, worker, machine, &[1, 8].into(), &|| false)
    };
    let figures = real(None);
    let Figure::Measured(fps) = &figures[0].fps else {
        panic!("{figures:?}");
    };
    assert_eq!(fps.repeats, 5);
    assert!(fps.min > 0.0 && fps.min <= fps.value && fps.value <= fps.max);
    assert_eq!(&*fps.source, "PyTorch 2.0.0 eager FP32 on cpu");
    let why = figures[1].fps.source();
    let failed = "torchvision.models:resnet18 failed with AssertionError: too large at batch 8";
    assert_eq!(&**why, failed);
    let calls = fs::read_to_string(dir.path().join("calls")).unwrap();
    let of = |dims: &str| calls.lines().filter(|l| l.starts_with(dims)).count();
    assert_eq!((of("([1, 3, 224, 224]"), of("([8, 3, 224, 224]")), (501, 1));
    for (factory, why) in [
        (
            "torchvision.models:nope",
            "torchvision.models has no factory nope",
        ),
        (
            "torchvision.models:number",
            "torchvision.models:number gives int, not an nn.Module",
        ),
        (
            "nets:small",
            "importing nets failed with ModuleNotFoundError: No module named 'nets'",
        ),
    ] {
        let figures = real(Some(factory));
        assert_eq!(figures.len(), 2);
        assert_eq!(&**figures[0].fps.source(), why);
    }
    // Nobody reads: as after a link was cut.
    scripted_torch(&packages, "time.sleep(60)");
    let mut cut = Command::new("python3")
        .args(["scripts/torch_baseline.py", "torchvision.models:resnet18"])
        .args(["--input", "1x3x224x224"])
        .env("PYTHONPATH", &packages)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(cut.stdout.take());
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = cut.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > Duration::from_secs(20) {
            cut.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(1));
}

#[test]
fn another_machine_is_asked_over_ssh() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let model = load_bundled("resnet18").unwrap();
    let answer = echo(&SAMPLES.replace('\n', ""));
    // Runs the last word, as the shell at the other end does.
    let ssh = format!(
        "for word; do :; done\necho \"$*\" > {at}/line\nPATH={at}:$PATH exec sh -c \"$word\""
    );
    let worker = WorkerCommand {
        program: script(&dir.path().join("ssh"), &ssh),
        args: Vec::new(),
        host: Some("me@board:22322".parse().unwrap()),
    };
    let ask = |body: &str| {
        let torch = python(dir.path(), body);
        let figures = torch.measure(&model, &worker, &machine(), &[1].into(), &|| false);
        figures.into_iter().next().unwrap().fps
    };
    let fps = ask(&format!("cat > {at}/program; {answer}"));
    assert_eq!(fps.value(), Some(41.5));
    let line = fs::read_to_string(dir.path().join("line")).unwrap();
    assert!(
        line.contains("BatchMode=yes") && line.contains("-p 22322 -- me@board sh -c"),
        "{line}"
    );
    let program = fs::read_to_string(dir.path().join("program")).unwrap();
    assert_eq!(
        program,
        fs::read_to_string("scripts/torch_baseline.py").unwrap()
    );
    let why = |body: &str| ask(body).source().to_string();
    assert_eq!(
        why("echo 'not found' >&2; exit 127"),
        "me@board:22322: not found"
    );
    let killed = why("kill -9 $$");
    assert!(
        killed.contains("Killed") || killed.contains("137"),
        "{killed}"
    );
}

#[test]
fn python_on_another_machine_ends_with_the_sweep() {
    let Some(board) = Board::new() else {
        return;
    };
    board.introduce("host.pub");
    // Where Python there looks first.
    let there = ran(board.ssh().args(["board", "python3 -m site --user-site"]));
    if there.status.code() == Some(127) {
        // No python3 in the path of a shell over ssh.
        return;
    }
    let packages = PathBuf::from(String::from_utf8(there.stdout.clone()).unwrap().trim());
    assert!(packages.starts_with(board.dir.path()), "{there:?}");
    let model = load_bundled("resnet18").unwrap();
    let worker = WorkerCommand {
        program: board.dir.path().join("bin/ssh"),
        args: Vec::new(),
        host: Some("board".parse().unwrap()),
    };
    let measure = |stopped: &dyn Fn() -> bool| {
        Baseline::default().measure(&model, &worker, &machine(), &[4].into(), stopped)
    };
    scripted_torch(&packages, "pass");
    let [four] = &measure(&|| false)[..] else {
        panic!("one batch");
    };
    let measured = four.fps.is_measured() && four.fps.value() > Some(0.0);
    assert!(measured, "{four:?}");
    let started = board.dir.path().join("started");
    let module = format!(
        "import os; open('{}', 'w').write(str(os.getpid()) + '\\n'); time.sleep(60)",
        started.display()
    );
    scripted_torch(&packages, &module);
    let pid = || fs::read_to_string(&started).unwrap_or_default();
    assert_eq!(measure(&|| pid().ends_with('\n')), []);
    let begun = Instant::now();
    while Path::new("/proc").join(pid().trim()).exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it runs on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
