//! What is read of a machine while a run is under way: files that change, rails that add up, a
//! library that counts energy, and what all of it costs.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dlaplan::engine::client::{Limits, Update, profile};
use dlaplan::engine::event_sender::EventSender;
use dlaplan::engine::protocol::{Event, Report, decode, encode};
use dlaplan::engine::sampler::{Place, Sampler};
use dlaplan::engine::telemetry::{Sample, energy, marks};
use dlaplan::engine::{
    EnergyKind, Mark, ModelRef, Outcome, Quantity, Request, Run, Telemetry, TimedPart,
    WorkerCommand,
};
use dlaplan::placement::{Device, EngineConfig, Placement};

const EVERY: Duration = Duration::from_millis(10);
const DLA: &str = "sys/devices/platform/bus@0/13e00000.host1x/15880000.nvdla0";
const GPU: &str = "sys/class/devfreq/17000000.gpu";
const RAILS: &str = "sys/class/hwmon/hwmon3";
const EVENTS: &str = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon1";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // In one step, as the kernel's files change.
    let new = path.with_extension("new");
    File::create(&new)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    fs::rename(new, path).unwrap();
}

/// An Orin NX with locked clocks, one DLA core awake.
fn board(root: &Path) {
    for (file, text) in [
        (format!("{GPU}/cur_freq"), "918000000\n"),
        (format!("{GPU}/min_freq"), "918000000\n"),
        (format!("{GPU}/max_freq"), "918000000\n"),
        (format!("{DLA}/power/runtime_status"), "active\n"),
        (format!("{DLA}/clk_cap/dla0_core"), "614400000\n"),
        (format!("{RAILS}/name"), "ina3221\n"),
        (format!("{RAILS}/in1_label"), "VDD_IN\n"),
        (format!("{RAILS}/in1_input"), "5000\n"),
        (format!("{RAILS}/curr1_input"), "2000\n"),
        (format!("{EVENTS}/oc3_event_cnt"), "7\n"),
        (
            "sys/class/thermal/thermal_zone0/type".into(),
            "gpu-thermal\n",
        ),
        ("sys/class/thermal/thermal_zone0/temp".into(), "43000\n"),
        ("proc/meminfo".into(), "MemAvailable: 2097152 kB\n"),
    ] {
        put(root, &file, text);
    }
}

fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// Samples while `work` runs; it is timed.
fn sampled(place: Place, work: impl FnOnce()) -> Telemetry {
    let mut sent = tempfile::tempfile().unwrap();
    let events = EventSender::new(sent.try_clone().unwrap());
    let sampler = Sampler::start(place, EVERY, events);
    std::thread::sleep(4 * EVERY);
    let from_ns = now_ns();
    work();
    let to_ns = now_ns();
    std::thread::sleep(4 * EVERY);
    drop(sampler);
    let mut text = String::new();
    sent.rewind().unwrap();
    sent.read_to_string(&mut text).unwrap();
    let mut telemetry = Telemetry::default();
    for line in text.lines() {
        match decode::<Event>(line).unwrap() {
            Event::Samples { samples } => samples.iter().for_each(|s| telemetry.add(s)),
            other => panic!("{other:?}"),
        }
    }
    let images = 100.0;
    telemetry.timed.push(TimedPart {
        from_ns,
        to_ns,
        images,
    });
    telemetry
}

fn on_board(change: &[(String, &str)]) -> Telemetry {
    let root = tempfile::tempdir().unwrap();
    board(root.path());
    sampled(Place::of(root.path(), None), || {
        std::thread::sleep(6 * EVERY);
        for (file, text) in change {
            put(root.path(), file, text);
        }
        std::thread::sleep(6 * EVERY);
    })
}

fn titles(telemetry: &Telemetry) -> Vec<&'static str> {
    marks(telemetry, Some(0)).iter().map(Mark::title).collect()
}

#[test]
fn files_that_change_in_a_run_give_their_mark() {
    assert_eq!(titles(&on_board(&[])), [""; 0]);
    let change = |file: &str, text| on_board(&[(file.to_owned(), text)]);
    let moved = change(&format!("{GPU}/cur_freq"), "612000000\n");
    assert_eq!(titles(&moved), ["clocks moved"]);
    let throttled = change(&format!("{EVENTS}/oc3_event_cnt"), "9\n");
    assert_eq!(titles(&throttled), ["throttled"]);
    let unlocked = change(&format!("{GPU}/min_freq"), "306000000\n");
    assert_eq!(titles(&unlocked), ["not locked"]);
    let asleep = change(&format!("{DLA}/power/runtime_status"), "suspended\n");
    assert_eq!(titles(&asleep), [""; 0], "it was awake before");
}

#[test]
fn a_dla_that_sleeps_all_the_time_is_marked() {
    let root = tempfile::tempdir().unwrap();
    board(root.path());
    let status = format!("{DLA}/power/runtime_status");
    put(root.path(), &status, "suspended\n");
    let place = || Place::of(root.path(), None);
    let wait = || std::thread::sleep(6 * EVERY);
    assert_eq!(titles(&sampled(place(), wait)), ["DLA never woke"]);
    put(root.path(), &status, "unsupported\n");
    assert_eq!(titles(&sampled(place(), wait)), [""; 0]);
}

#[test]
fn every_sensor_is_read_and_rails_integrate_to_the_joules_they_hold() {
    let telemetry = on_board(&[(format!("{RAILS}/curr1_input"), "4000\n")]);
    let last = |quantity, name| telemetry.last(quantity, name);
    assert_eq!(last(Quantity::ClockMhz, "gpu"), Some(918.0));
    assert_eq!(last(Quantity::ClockMaxMhz, "dla0"), Some(614.4));
    assert_eq!(last(Quantity::PowerW, "VDD_IN"), Some(20.0));
    assert_eq!(last(Quantity::TemperatureC, "gpu-thermal"), Some(43.0));
    assert_eq!(last(Quantity::DlaAwake, "dla0"), Some(1.0));
    assert_eq!(last(Quantity::Throttled, "oc3"), Some(7.0));
    assert_eq!(last(Quantity::MemoryMb, "memory"), Some(2048.0));
    // 10 W, then 20 W from the middle on, give or take a look at either side of the change.
    let (figure, energy) = energy(&telemetry, "board");
    let energy = energy.unwrap();
    let held = energy.seconds * 15.0;
    let look = 10.0 * 3.0 * EVERY.as_secs_f64();
    assert!(
        (energy.joules - held).abs() < look,
        "{} {held}",
        energy.joules
    );
    assert_eq!(energy.kind, EnergyKind::BoardInputRails);
    assert!((figure.value().unwrap() - energy.joules * 10.0).abs() < 1e-9);
}

#[test]
fn looking_sleeps_in_between_and_knows_its_cost() {
    let begun = Instant::now();
    let telemetry = on_board(&[]);
    let all = begun.elapsed().as_secs_f64();
    let cost = telemetry.cost;
    assert_eq!(cost.samples as usize, telemetry.at_s.len());
    assert!(cost.samples >= 5 && cost.cpu_s > 0.0 && cost.cpu_s <= cost.took_s * 1.5);
    assert!(cost.took_s < all, "{cost:?} in {all} s");
    let gaps = telemetry.at_s.windows(2).map(|w| w[1] - w[0]);
    let shortest = gaps.fold(f64::INFINITY, f64::min);
    assert!(shortest >= EVERY.as_secs_f64() / 4.0, "{shortest}");
}

/// A worker that sends samples of an idle DLA at 10 W, then figures.
fn worker(lines: &[String], folder: &Path) -> WorkerCommand {
    let path = folder.join("lines");
    File::create(&path)
        .unwrap()
        .write_all(lines.concat().as_bytes())
        .unwrap();
    WorkerCommand {
        program: "sh".into(),
        args: vec![
            "-c".into(),
            "read request; cat \"$1\"; eval \"$2\"".into(),
            "worker".into(),
            path.into(),
        ],
        host: None,
    }
}

fn hello() -> String {
    encode(Event::Hello {
        environment: Box::default(),
        unavailable: Vec::new(),
    })
}

fn samples(moments: std::ops::Range<u64>) -> String {
    let sample = |i| Sample {
        at_ns: 7_000_000_000 + i * 100_000_000,
        took_ns: 500_000,
        cpu_ns: 200_000,
        values: vec![
            (Quantity::PowerW, "VDD_IN".into(), 10.0),
            (Quantity::DlaAwake, "dla0".into(), 0.0),
            (Quantity::MemoryMb, "memory".into(), 96.0),
        ],
    };
    encode(Event::Samples {
        samples: moments.map(sample).collect(),
    })
}

fn run(lines: &[String], end: &str) -> (Run, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = worker(lines, dir.path());
    command.args.push(end.into());
    let limits = Limits {
        hello: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        ..Limits::default()
    };
    let request = Request::new(
        "/m/net.onnx".into(),
        Placement::all(Device::Dla),
        EngineConfig::default(),
    );
    let mut warned = Vec::new();
    let run = profile(&command, limits, request, &mut |update| {
        if let Update::Warning(text) = update {
            warned.push(text.clone());
        }
        ControlFlow::Continue(())
    });
    (run, warned)
}

#[test]
fn samples_reach_the_run_with_energy_and_marks() {
    let report = Report {
        model: ModelRef::default(),
        measurement: crate::support::measurement(vec![100.0; 5], vec![1.0, 2.0], "worker"),
        beats: Vec::new(),
        timed: (0..5)
            .map(|i| TimedPart {
                from_ns: 8_000_000_000 + i * 1_000_000_000,
                to_ns: 9_000_000_000 + i * 1_000_000_000,
                images: 100.0,
            })
            .collect(),
    };
    let warning = Event::Warning {
        text: "the build takes about 3000 MiB or more".into(),
    };
    let measured = |report: &Report| {
        encode(Event::Measured {
            report: Box::new(report.clone()),
        })
    };
    let all = [hello(), encode(warning), samples(0..70)];
    let (run, warned) = run(&[&all[..], &[measured(&report)]].concat(), "");
    let m = run.measurement().unwrap();
    assert!((m.mj_per_image.value().unwrap() - 100.0).abs() < 1e-6);
    let energy = m.energy.as_ref().unwrap();
    assert!((energy.joules - 50.0).abs() < 1e-6 && (energy.watts() - 10.0).abs() < 1e-6);
    assert_eq!(run.marks, [Mark::DlaNeverWoke { core: 0 }]);
    assert_eq!(
        (run.telemetry.at_s.len(), run.telemetry.cost.samples),
        (70, 70)
    );
    assert_eq!(warned, ["the build takes about 3000 MiB or more"]);
    assert!(run.log.iter().any(|l| l.text.contains("3000 MiB")));

    let mut lie = report;
    lie.timed[0].from_ns = u64::MAX;
    let (run, _) = self::run(&[hello(), measured(&lie)], "");
    let Outcome::Failed(f) = &run.outcome else {
        panic!("finished")
    };
    assert!(f.message.contains("timed parts"), "{}", f.message);
}

#[test]
fn a_killed_worker_was_probably_short_of_memory() {
    let (run, _) = run(&[hello(), samples(0..5)], "sleep 0.2; kill -KILL $$");
    let Outcome::Failed(f) = &run.outcome else {
        panic!("finished")
    };
    for part in ["SIGKILL", "96 MiB were available shortly before", "dmesg"] {
        assert!(f.message.contains(part), "no {part} in {}", f.message);
    }
    assert_eq!(run.telemetry.at_s.len(), 5, "what was read is kept");
}

/// ssh ends with 255 and no word when the program there is killed. Where ssh itself is killed, the
/// worker's memory is not to blame.
#[test]
fn a_worker_killed_elsewhere_tells_the_memory_too() {
    for (end, parts) in [
        ("exit 255", ["ended by a signal", "shortly before, 96 MiB"]),
        (
            "kill -KILL $$",
            ["the ssh to board died of signal 9", "SIGKILL"],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = worker(&[hello(), samples(0..5)], dir.path());
        command.args.push(format!("sleep 0.2; {end}").into());
        command.host = Some("board".parse().unwrap());
        let request = Request::new(
            "bundled:resnet18".into(),
            Placement::default(),
            EngineConfig::default(),
        );
        let mut on = |_: &Update| ControlFlow::Continue(());
        let run = profile(&command, Limits::default(), request, &mut on);
        let Outcome::Failed(f) = &run.outcome else {
            panic!("finished")
        };
        for part in parts {
            assert!(f.message.contains(part), "no {part} in {}", f.message);
        }
    }
}

/// Samples alone are no sign of life: they come from another thread.
#[test]
fn a_worker_that_only_samples_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = worker(&[hello()], dir.path());
    let path = dir.path().join("sample");
    File::create(&path)
        .unwrap()
        .write_all(samples(0..1).as_bytes())
        .unwrap();
    let end = format!("while :; do cat '{}'; sleep 0.05; done", path.display());
    command.args.push(end.into());
    let limits = Limits {
        hello: Duration::from_secs(1),
        idle: Duration::from_secs(1),
        ..Limits::default()
    };
    let request = Request::new(
        "/m/net.onnx".into(),
        Placement::default(),
        EngineConfig::default(),
    );
    let begun = Instant::now();
    let run = profile(
        &command,
        limits,
        request,
        &mut |_| ControlFlow::Continue(()),
    );
    assert!(begun.elapsed() < Duration::from_secs(4));
    let Outcome::Failed(f) = &run.outcome else {
        panic!("finished")
    };
    assert!(f.message.contains("no sign of life"), "{}", f.message);
}

/// A management library in C, with the names and types of nvml.h: 300 W.
const NVML: &str = r#"
#include <string.h>
#include <time.h>
typedef void *dev;
static int gpu;
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9; }
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *id, dev *d) {
  if (strcmp(id, "0000:65:00.0")) return 6; *d = &gpu; return 0; }
int nvmlDeviceGetPowerUsage(dev d, unsigned *mw) { *mw = 300000; return d == &gpu ? 0 : 2; }
#ifdef COUNTER
int nvmlDeviceGetTotalEnergyConsumption(dev d, unsigned long long *mj) {
  *mj = now() * 200000; return d == &gpu ? 0 : 2; }
#else
int nvmlDeviceGetTotalEnergyConsumption(dev d, unsigned long long *mj) { return 3; }
#endif
int nvmlDeviceGetClockInfo(dev d, int kind, unsigned *mhz) { *mhz = kind == 1 ? 1980 : 2619; return 0; }
int nvmlDeviceGetTemperature(dev d, int kind, unsigned *c) { *c = 41; return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(dev d, unsigned long long *r) { *r = 0x4; return 0; }
"#;

fn nvml(folder: &Path, options: &[&str]) -> PathBuf {
    let (source, library) = (folder.join("nvml.c"), folder.join("libnvidia-ml.so.1"));
    File::create(&source)
        .unwrap()
        .write_all(NVML.as_bytes())
        .unwrap();
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .args(options)
        .status()
        .unwrap();
    assert!(compiled.success());
    library
}

#[test]
fn a_gpu_board_is_read_through_its_library() {
    for (options, joules_per_s) in [(&["-DCOUNTER"][..], 200.0), (&[], 300.0)] {
        let dir = tempfile::tempdir().unwrap();
        let place = |bus: &str| Place {
            nvml: nvml(dir.path(), options),
            ..Place::of(dir.path(), Some(bus.into()))
        };
        let wait = || std::thread::sleep(20 * EVERY);
        let telemetry = sampled(place("0000:65:00.0"), wait);
        let (figure, found) = energy(&telemetry, "H100");
        let found = found.unwrap();
        assert_eq!(found.kind, EnergyKind::GpuBoardNvml);
        let watts = found.watts();
        assert!((watts / joules_per_s - 1.0).abs() < 0.05, "{watts}");
        assert!(
            figure.source().contains("GPU board power (NVML)"),
            "{figure:?}"
        );
        let clock = |name| telemetry.last(Quantity::ClockMhz, name);
        assert_eq!(
            (clock("gpu"), clock("gpu memory")),
            (Some(1980.0), Some(2619.0))
        );
        // It was capped all the time: nothing that began in the run.
        assert_eq!(titles(&telemetry), ["throttled"]);
        let other = sampled(place("0000:01:00.0"), wait);
        assert!(energy(&other, "none").1.is_none());
    }
}
