//! Search, then measure what it proposes, on a board that is slower than the estimate says.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::measurement;
use dlaplan::engine::{
    DeploymentShare, ErrorKind, Failure, Measurement, ModelRef, Outcome, Request as EngineRequest,
    Run, Stage, unix_ms,
};
use dlaplan::estimate::Estimator;
use dlaplan::model::Model;
use dlaplan::model::onnx::load_bundled;
use dlaplan::placement::{EngineConfig, Placement, Precision};
use dlaplan::plan::Planner;
use dlaplan::platform::Target;
use dlaplan::search::confirm::engines::EngineBench;
use dlaplan::search::confirm::{Bench, Event, Trial, confirm};
use dlaplan::search::{Goal, Request, run};

/// The board runs at this share of the estimate.
const TRUTH: f64 = 0.8;

fn config() -> EngineConfig {
    EngineConfig {
        precision: Precision::INT8,
        ..EngineConfig::default()
    }
}

fn finished(model: &Model, request: &EngineRequest, fps: f64) -> Run {
    let samples = vec![fps; 5];
    let latency = vec![1000.0 / fps; 20];
    Run {
        schema: Run::SCHEMA,
        started_ms: unix_ms(),
        wall_s: 1.0,
        model: ModelRef {
            name: model.name.clone(),
            structure_hash: model.source.structure_hash.clone(),
            timing_only: true,
        },
        request: request.clone(),
        environment: dlaplan::engine::Environment::default(),
        deployment: None,
        comparison: None,
        outcome: Outcome::Finished(Box::new(measurement(samples, latency, "test board"))),
        log: Vec::new(),
        marks: Vec::new(),
        telemetry: dlaplan::engine::Telemetry::default(),
    }
}

/// Runs of engines at the same time on the slow board.
fn board(model: &Model, requests: &[EngineRequest]) -> Vec<Run> {
    let loads: Vec<_> = requests
        .iter()
        .map(|r| {
            let planner = Planner::new(model, &Target::default(), &r.config);
            let plan = planner.plan_placement(&r.placement).unwrap();
            Estimator::new(&planner).load(&plan).unwrap()
        })
        .collect();
    let planner = Planner::new(model, &Target::default(), &requests[0].config);
    let d = Estimator::new(&planner).deployment(&loads);
    let total = d.total_fps.value().unwrap() * TRUTH;
    static GROUPS: AtomicU32 = AtomicU32::new(0);
    let group = GROUPS.fetch_add(1, Ordering::Relaxed).to_string();
    requests
        .iter()
        .enumerate()
        .map(|(i, r)| {
            let mut run = finished(model, r, d.fps[i].value().unwrap() * TRUTH);
            if requests.len() > 1 {
                run.deployment = Some(DeploymentShare {
                    group: group.clone(),
                    member: i as u32,
                    members: requests.len() as u32,
                    total_fps: Measurement::measured(&[total; 5], "test board"),
                    mj_per_image: dlaplan::engine::not_sampled(),
                    overlap_s: 1.0,
                });
            }
            run
        })
        .collect()
}

#[test]
fn proposals_are_measured_the_estimate_learns_and_a_session_goes_on() {
    let model = load_bundled("resnet18").unwrap();
    let target = Target::default();
    let planner = Planner::new(&model, &target, &config());
    let estimator = Estimator::new(&planner);
    let mut go = |_: &dlaplan::search::Progress| ControlFlow::Continue(());
    let mut ask = |goal| {
        run(&estimator, &Request::new(goal), &mut go)
            .unwrap()
            .trials()
    };
    let alone = ask(Goal::Latency);
    let together = ask(Goal::Deployment { most: 2, least: 2 });
    assert!(alone.len() >= 5 && together.len() >= 6);
    let template = EngineRequest::new("resnet18.onnx".into(), Placement::default(), config());
    let kept: RefCell<Vec<Run>> = RefCell::default();
    let session = |trials: &[Trial], stop_after: usize| {
        let mut calls = 0;
        let mut room = |requests: &[EngineRequest],
                        stage: &mut dyn FnMut(&str) -> ControlFlow<()>| {
            calls += 1;
            let cancelled = stage("building the engine").is_break() || calls > stop_after;
            let mut runs = board(&model, requests);
            if cancelled {
                for r in &mut runs {
                    r.outcome = Outcome::Failed(Failure {
                        kind: ErrorKind::Cancelled,
                        stage: Stage::Build,
                        message: "cancelled".into(),
                    });
                }
            }
            runs
        };
        let mut keep = |r: &Run| kept.borrow_mut().push(r.clone());
        let earlier = kept.borrow().clone();
        let mut bench = EngineBench::new(
            &model,
            target,
            template.clone(),
            earlier,
            true,
            &mut room,
            &mut keep,
        );
        let before = bench.estimate(&trials[0].setup).value().unwrap();
        let done = confirm(trials.to_vec(), &mut bench, &mut |e| {
            if let Event::Done { trial, .. } = e {
                assert!(trial.failure.is_none(), "{:?}", trial.failure);
            }
            ControlFlow::Continue(())
        });
        let after = bench.estimate(&trials[0].setup).value().unwrap();
        (done, calls, before, after)
    };
    let (half, calls, before, after) = session(&alone, 4);
    assert!(half.cancelled && calls == 5);
    // Three runs and more were seen: the board's factor is known.
    assert!((after / before - TRUTH).abs() < 0.02, "{before} {after}");
    let (whole, calls, resumed, _) = session(&alone, usize::MAX);
    assert!(!whole.cancelled);
    assert_eq!(calls, whole.trials.len() - 4);
    assert!((resumed / before - TRUTH).abs() < 0.02);
    assert_eq!(whole.trials.iter().filter(|t| t.from_history).count(), 4);
    let (deployed, ..) = session(&together, usize::MAX);
    let best = deployed.best().unwrap();
    assert_eq!(best.setup.engines.len(), 2, "{}", best.name);
    for done in [&whole, &deployed] {
        let values = done
            .trials
            .iter()
            .map(|t| t.measured.as_ref().unwrap().value);
        assert!(values.is_sorted_by(|a, b| a >= b));
        // Every figure was predicted within a tenth once the estimate had learnt.
        for t in done.trials.iter().filter(|t| !t.from_history) {
            let (e, m) = (t.estimate.as_ref().unwrap(), t.measured.as_ref().unwrap());
            assert!(
                (e.value().unwrap() / m.value - 1.0).abs() < 0.1,
                "{}",
                t.name
            );
        }
    }
    let (again, calls, ..) = session(&together, usize::MAX);
    assert!(calls == 0 && !again.cancelled);
}

/// A deployment ends with its first failure; the next proposal is measured all the same.
#[test]
fn a_machine_without_dla_measures_what_it_can() {
    let model = load_bundled("resnet18").unwrap();
    let target = Target::default();
    let planner = Planner::new(&model, &target, &config());
    let estimator = Estimator::new(&planner);
    let mut go = |_: &dlaplan::search::Progress| ControlFlow::Continue(());
    let goal = Goal::Deployment { most: 2, least: 1 };
    let answer = run(&estimator, &Request::new(goal), &mut go).unwrap();
    let template = EngineRequest::new("resnet18.onnx".into(), Placement::default(), config());
    let failed = |kind, message: &str| {
        Outcome::Failed(Failure {
            kind,
            stage: Stage::Check,
            message: message.into(),
        })
    };
    let mut room =
        |requests: &[EngineRequest], _: &mut dyn FnMut(&str) -> ControlFlow<()>| -> Vec<Run> {
            let mut runs = board(&model, requests);
            if requests.iter().any(|r| r.placement.wants_dla()) {
                for r in &mut runs {
                    r.outcome = if r.request.placement.wants_dla() {
                        failed(ErrorKind::Refused, "no DLA core")
                    } else {
                        failed(ErrorKind::Cancelled, "ended because another engine failed")
                    };
                }
            }
            runs
        };
    let mut keep = |_: &Run| {};
    let mut bench = EngineBench::new(
        &model,
        target,
        template,
        Vec::new(),
        false,
        &mut room,
        &mut keep,
    );
    let trials = answer.trials();
    let done = confirm(trials, &mut bench, &mut |_| ControlFlow::Continue(()));
    assert!(!done.cancelled);
    let mixed = |t: &Trial| {
        let dla = t.setup.engines.iter().filter(|e| e.placement.wants_dla());
        (1..t.setup.engines.len()).contains(&dla.count())
    };
    assert!(done.trials.iter().any(mixed));
    for t in &done.trials {
        if t.setup.engines.iter().any(|e| e.placement.wants_dla()) {
            assert_eq!(t.failure.as_deref(), Some("no DLA core"), "{}", t.name);
        } else {
            assert!(t.measured.is_some(), "{}", t.name);
        }
    }
}
