//! The window with this machine's own GPU and TensorRT. Without them there is nothing to test:
//! `cargo test --test gui_tensorrt -- --ignored --test-threads 1`.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests that tell what they measured"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::window::{NoDialogs, Window, open_with, stored};
use dlaplan::engine::client::Limits;
use dlaplan::engine::{ErrorKind, Outcome, Run, Stage, WorkerCommand};
use dlaplan::gui::{Command, Form, GoalKind, Machine, Options, Worker};
use dlaplan::placement::Device;
use egui::accesskit::Role;
use egui_kittest::kittest::Queryable as _;

/// The program under test; `DLAPLAN` names another one.
fn program() -> PathBuf {
    std::env::var_os("DLAPLAN").map_or(env!("CARGO_BIN_EXE_dlaplan").into(), PathBuf::from)
}

/// ResNet-18 on screen, and a machine that can measure.
fn measuring() -> Window<'static> {
    let worker = Worker {
        command: WorkerCommand {
            program: program(),
            args: vec!["worker".into()],
            host: None,
        },
        limits: Limits::default(),
    };
    let data = Arc::new(tempfile::tempdir().unwrap());
    let picker = NoDialogs { available: false };
    let w = open_with(Options::default(), data, picker, Some(worker));
    let machine = &w.state().measuring.machine;
    assert!(matches!(machine, Machine::Can(_)), "{machine:?}");
    w
}

/// Draws until the work is done; the stages seen on the way.
fn wait(w: &mut Window<'_>, longest: Duration) -> Vec<Stage> {
    let deadline = Instant::now() + longest;
    let mut stages = Vec::new();
    while !w.state().jobs.running().is_empty() {
        w.run_steps(2);
        if let Some(active) = &w.state().measuring.active {
            let stage = active.look(|p| p.stage);
            if stages.last() != Some(&stage) {
                stages.push(stage);
            }
        }
        assert!(Instant::now() < deadline, "still at {stages:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    w.settle();
    stages
}

fn profile(w: &mut Window<'_>) -> (Vec<Stage>, Run) {
    w.get_by_role_and_label(Role::Button, "Profile").click();
    w.run_steps(2);
    let stages = wait(w, Duration::from_mins(5));
    (stages, stored(&w.data).pop().unwrap())
}

fn workers() -> usize {
    let ours = |line: Vec<u8>| {
        let mut words = line.split(|b| *b == 0);
        words.next() == Some(program().as_os_str().as_encoded_bytes())
            && words.next() == Some(b"worker")
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    lines.filter(|line| ours(line.clone())).count()
}

#[test]
#[ignore = "needs a GPU and TensorRT"]
fn profile_measures_what_is_on_screen() {
    let mut w = measuring();
    let (stages, run) = profile(&mut w);
    assert!(stages.contains(&Stage::Timing), "{stages:?}");
    let m = run.measurement().unwrap_or_else(|| panic!("{run:?}"));
    println!(
        "{} FPS ({} to {}), latency {} ms, {} % of the time by module",
        m.fps.value,
        m.fps.min,
        m.fps.max,
        m.latency.median,
        100.0 * m.attribution.unwrap().share()
    );
    assert!(m.fps.value > 0.0 && m.fps.min <= m.fps.max);
    // One stream: an inference takes no longer than the time to the next one.
    assert!(m.latency.median * m.fps.value / 1e3 < 1.05);
    assert!(m.attribution.unwrap().share() >= 0.95);
    assert!(m.numeric.as_ref().unwrap().passed);
    let actual = Arc::clone(w.state().runs.actual().unwrap());
    assert_eq!(actual.fps, m.fps);
    assert!(actual.device.iter().all(|d| *d != Some(Device::Dla)));
    assert!(actual.gpu_ms > 0.0 && actual.dla_ms == 0.0);

    // The engine cache makes the second one quick.
    let (_, again) = profile(&mut w);
    let m = again.measurement().unwrap();
    assert!(m.cached && m.build_s == 0.0);
    assert_eq!(w.state().runs.heads().len(), 2);
    assert_eq!(workers(), 0);
}

#[test]
#[ignore = "needs a GPU and TensorRT"]
fn a_build_is_cancelled_within_two_seconds() {
    let mut w = measuring();
    w.state_mut()
        .apply(Command::OpenPath("bundled:googlenet".into()));
    w.settle();
    w.get_by_role_and_label(Role::Button, "Profile").click();
    let building = |w: &Window<'_>| {
        let active = w.state().measuring.active.as_ref();
        active.is_some_and(|a| a.look(|p| p.stage) == Stage::Build)
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !building(&w) {
        w.run_steps(2);
        assert!(Instant::now() < deadline, "no build");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_secs(3));
    w.run_steps(2);
    assert!(building(&w) && workers() == 1);
    let asked = Instant::now();
    w.state_mut().apply(Command::CancelProfile);
    wait(&mut w, Duration::from_secs(5));
    let took = asked.elapsed();
    println!("cancelled after {took:?}");
    assert!(took < Duration::from_secs(2));
    assert_eq!(workers(), 0);
    let run = stored(&w.data).pop().unwrap();
    let cancelled = |o: &Outcome| matches!(o, Outcome::Failed(f) if f.kind == ErrorKind::Cancelled);
    assert!(cancelled(&run.outcome), "{:?}", run.outcome);
}

/// What can run here gets figures; what needs a DLA that is not there says so.
#[test]
#[ignore = "needs a GPU and TensorRT"]
fn what_is_found_is_confirmed() {
    let mut w = measuring();
    let Machine::Can(environment) = w.state().measuring.machine.clone() else {
        panic!("asked before");
    };
    let dla_cores = environment.dla_cores.unwrap_or(0);
    w.click("Find best");
    w.state_mut().apply(Command::FindForm(Box::new(Form {
        goal: GoalKind::Deployment,
        ..Form::default()
    })));
    let deadline = Instant::now() + Duration::from_mins(2);
    let found = |w: &Window<'_>| !w.state().find.searching() && w.state().find.answer.is_some();
    while !found(&w) {
        w.settle();
        assert!(Instant::now() < deadline, "the search takes too long");
    }
    assert_eq!(w.state().unavailable(&Command::ConfirmFound), None);
    w.state_mut().apply(Command::ConfirmFound);
    assert!(w.state().find.confirming.is_some());
    wait(&mut w, Duration::from_mins(10));
    let trials = &w.state().find.confirmed;
    assert!(!trials.is_empty());
    for trial in trials {
        println!("{}: {:?} {:?}", trial.name, trial.measured, trial.failure);
        let engines = &trial.setup.engines;
        let dla = engines.iter().any(|e| e.placement.wants_dla());
        if dla && dla_cores == 0 {
            let why = trial.failure.as_deref().unwrap_or_default();
            assert!(why.contains("finds no DLA core"), "{}: {why}", trial.name);
        } else {
            assert!(trial.measured.is_some(), "{trial:?}");
        }
    }
    assert_eq!(workers(), 0);
}
