//! Searches as a user asks for them, on the bundled models with the real estimate.

use std::ops::ControlFlow;
use std::time::Duration;

use dlaplan::estimate::Estimator;
use dlaplan::model::onnx::{bundled, load_bundled};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::{Buildable, Fallback, Plan, Planner};
use dlaplan::platform::{Target, boards};
use dlaplan::search::{Constraints, Goal, Granularity, Request, SearchError, explain, run};

fn config(strict: bool) -> EngineConfig {
    EngineConfig {
        precision: Precision::INT8_FP16,
        gpu_fallback: !strict,
        ..EngineConfig::default()
    }
}

fn target() -> Target {
    let board = &boards()[0];
    Target::new(board, &board.modes[0], board.tensorrt[0]).unwrap()
}

/// The default, or a target whose TensorRT imports the model: 8.5 has no LayerNormalization.
fn target_of(model: &str) -> Target {
    match model {
        "vit_b_16" => Target::parse("agx-orin-64:10.3").unwrap(),
        _ => target(),
    }
}

fn go(_: &dlaplan::search::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// No DLA takes all of ResNet-50 at this batch: what is proposed is still what the plan accepts.
#[test]
fn proposals_near_the_memory_of_a_loadable_lose_nothing() {
    let model = load_bundled("resnet50").unwrap();
    for (batch, granularity) in [
        (1024, Granularity::Modules),
        (1024, Granularity::Ops),
        (2048, Granularity::Modules),
    ] {
        let config = EngineConfig {
            batch,
            ..config(false)
        };
        let planner = Planner::new(&model, &target(), &config);
        let whole = planner.plan_placement(&Placement::all(Device::Dla));
        let sized = |(_, why): &_| matches!(why, Fallback::LoadableSize(_));
        assert!(whole.unwrap().fallbacks.iter().any(sized));
        let judge = Estimator::new(&planner);
        for goal in [
            Goal::Latency,
            Goal::OffGpu { min_fps: 30.0 },
            Goal::FewestTransitions { max_loss: 0.6 },
            Goal::Deployment { most: 3, least: 2 },
        ] {
            let mut request = Request::new(goal);
            request.constraints.granularity = granularity;
            request.front = true;
            // A busy machine proves it later, and no less.
            request.time_limit = Duration::from_mins(5);
            let answer = run(&judge, &request, &mut go).unwrap();
            if !matches!(goal, Goal::Deployment { .. }) {
                assert_eq!(answer.gap, Some(0.0), "{batch} {goal:?}");
            }
            for p in answer.proposals.iter().chain(&answer.front) {
                for e in &p.engines {
                    let plan = planner.plan_placement(&e.placement).unwrap();
                    let mut lost = plan.fallbacks.iter().map(|(op, _)| *op);
                    assert!(
                        !lost.any(|op| planner.may_run_on_dla(op)),
                        "{batch} {goal:?} {}",
                        p.name
                    );
                }
            }
        }
    }
}

#[test]
fn every_goal_on_every_bundled_model() {
    for b in bundled() {
        let model = load_bundled(b.name).unwrap();
        let planner = Planner::new(&model, &target_of(b.name), &config(false));
        let judge = Estimator::new(&planner);
        let fastest = run(&judge, &Request::new(Goal::Latency), &mut go).unwrap();
        let fps = |p: &dlaplan::search::Proposal| p.fps.value().unwrap();
        let best = fps(&fastest.proposals[0]);
        assert_eq!(fastest.gap, Some(0.0), "{}", b.name);
        assert_eq!(fastest.baselines.len(), 2);
        for p in fastest.proposals.iter().chain(&fastest.baselines) {
            assert!(fps(p) <= best * (1.0 + 1e-9), "{} {}", b.name, p.name);
        }
        let goal = Goal::OffGpu {
            min_fps: 0.8 * best,
        };
        let off = run(&judge, &Request::new(goal), &mut go).unwrap();
        let p = &off.proposals[0];
        assert!(fps(p) >= 0.8 * best * (1.0 - 1e-9));
        assert!(p.gpu_ms() <= fastest.proposals[0].gpu_ms(), "{}", b.name);
        let goal = Goal::FewestTransitions { max_loss: 0.1 };
        let few = run(&judge, &Request::new(goal), &mut go).unwrap();
        assert!(fps(&few.proposals[0]) >= 0.9 * best * (1.0 - 1e-9));
        assert!(few.proposals[0].transitions <= fastest.proposals[0].transitions);
        let goal = Goal::Deployment { most: 3, least: 1 };
        let deployed = run(&judge, &Request::new(goal), &mut go).unwrap();
        let p = &deployed.proposals[0];
        assert!(fps(p) >= best, "{} {}", b.name, p.name);
        let each: f64 = p.engines.iter().map(|e| e.fps.value().unwrap()).sum();
        assert!((each - fps(p)).abs() < 1e-6);
        let goal = Goal::Pipeline { stages: 2 };
        let pipeline = run(&judge, &Request::new(goal), &mut go).unwrap();
        let p = &pipeline.proposals[0];
        assert!(
            fps(p) >= fps(&fastest.baselines[0]),
            "{} {:?}",
            b.name,
            p.stages
        );
        assert_eq!(p.stages[0].from.0, 0);
        for answer in [&fastest, &off, &few, &deployed, &pipeline] {
            for e in answer.proposals.iter().flat_map(|p| &p.engines) {
                let plan = planner.plan_placement(&e.placement).unwrap();
                assert_eq!(plan.buildable, Buildable::Yes);
                assert_eq!(judge.estimate(&plan), e.estimate);
            }
            assert!(!answer.stopped);
            serde_json::to_string(answer).unwrap();
        }
    }
}

#[test]
fn fronts_hold_no_point_another_beats() {
    for name in ["resnet18", "googlenet"] {
        let model = load_bundled(name).unwrap();
        let planner = Planner::new(&model, &target(), &config(false));
        let judge = Estimator::new(&planner);
        let mut request = Request::new(Goal::Latency);
        request.front = true;
        let answer = run(&judge, &request, &mut go).unwrap();
        assert!(answer.front.len() > 2, "{name}");
        let key = |p: &dlaplan::search::Proposal| {
            (-p.fps.value().unwrap(), p.gpu_ms().unwrap(), p.transitions)
        };
        for a in &answer.front {
            for b in &answer.front {
                let (a, b) = (key(a), key(b));
                assert!(a == b || !(a.0 <= b.0 && a.1 <= b.1 && a.2 <= b.2));
            }
        }
    }
}

#[test]
fn the_difference_is_told_in_module_terms_and_adds_up() {
    let model = load_bundled("resnet18").unwrap();
    let planner = Planner::new(&model, &target(), &config(false));
    let judge = Estimator::new(&planner);
    let from = planner.plan_placement(&Placement::default()).unwrap();
    let placement = Placement::default()
        .with_module("layer2", Device::Dla)
        .with_module("layer3", Device::Dla)
        .with_module("layer1.0", Device::Dla);
    let to = planner.plan_placement(&placement).unwrap();
    let moves = explain(&judge, &from, &to);
    let told: Vec<String> = moves
        .iter()
        .map(|m| format!("{} {}", m.what, m.to))
        .collect();
    assert_eq!(told, ["layer1.0 DLA", "layer2..layer3 DLA"]);
    assert!(
        moves[1]
            .to_string()
            .starts_with("moves layer2..layer3 to DLA: -"),
        "{}",
        moves[1]
    );
    let sum: f64 = moves.iter().map(|m| m.latency_ms.unwrap()).sum();
    let ms = |p: &Plan| judge.estimate(p).latency_ms.value().unwrap();
    assert!((sum - (ms(&to) - ms(&from))).abs() < 1e-9);
    assert!(explain(&judge, &to, &to).is_empty());
    let all = planner
        .plan_placement(&Placement::all(Device::Dla))
        .unwrap();
    let moves = explain(&judge, &from, &all);
    assert_eq!(moves.len(), 1);
    assert_eq!(moves[0].what, "the whole network");
}

#[test]
fn cancelling_and_time_limits_keep_the_best_so_far() {
    let model = load_bundled("vit_b_16").unwrap();
    let planner = Planner::new(&model, &target_of("vit_b_16"), &config(false));
    let judge = Estimator::new(&planner);
    let mut request = Request::new(Goal::Deployment { most: 3, least: 2 });
    request.constraints.granularity = Granularity::Ops;
    let mut calls = 0;
    let answer = run(&judge, &request, &mut |p| {
        calls += 1;
        if p.best.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let answer = answer.unwrap();
    assert!(answer.stopped && calls > 0);
    assert!(answer.proposals[0].engines.len() >= 2);
    let mut request = Request::new(Goal::Latency);
    request.time_limit = Duration::ZERO;
    request.front = true;
    let answer = run(&judge, &request, &mut go).unwrap();
    assert!(answer.stopped);
    assert!(!answer.proposals.is_empty());
}

#[test]
fn what_cannot_be_is_said() {
    let model = load_bundled("resnet18").unwrap();
    let planner = Planner::new(&model, &target(), &config(false));
    let judge = Estimator::new(&planner);
    let ask = |goal| run(&judge, &Request::new(goal), &mut go).unwrap_err();
    let far = ask(Goal::OffGpu { min_fps: 1e9 });
    assert!(far.to_string().contains("FPS floor"), "{far}");
    for bad in [
        Goal::OffGpu { min_fps: 0.0 },
        Goal::OffGpu { min_fps: f64::NAN },
        Goal::FewestTransitions { max_loss: 1.0 },
        Goal::Deployment { most: 0, least: 0 },
        Goal::Pipeline { stages: 99 },
    ] {
        assert!(matches!(ask(bad), SearchError::Range { .. }));
    }
}

#[test]
fn strict_engines_never_ask_for_what_the_dla_refuses() {
    for b in bundled() {
        let model = load_bundled(b.name).unwrap();
        let planner = Planner::new(&model, &target_of(b.name), &config(true));
        let judge = Estimator::new(&planner);
        for granularity in [Granularity::Ops, Granularity::Modules] {
            let mut request = Request::new(Goal::OffGpu { min_fps: 1.0 });
            request.constraints = Constraints {
                granularity,
                ..Constraints::default()
            };
            let answer = run(&judge, &request, &mut go).unwrap();
            for e in answer.proposals.iter().flat_map(|p| &p.engines) {
                let plan = planner.plan_placement(&e.placement).unwrap();
                assert_eq!(plan.buildable, Buildable::Yes, "{} {granularity:?}", b.name);
                assert!(plan.fallbacks.is_empty());
            }
        }
    }
}

#[test]
fn a_board_without_dla_is_searched_as_it_is() {
    let board = boards().iter().find(|b| b.dla_cores() == 0).unwrap();
    let target = Target::new(board, &board.modes[0], board.tensorrt[0]).unwrap();
    let model = load_bundled("resnet18").unwrap();
    let planner = Planner::new(&model, &target, &config(false));
    let judge = Estimator::new(&planner);
    for goal in [
        Goal::Latency,
        Goal::Deployment { most: 2, least: 1 },
        Goal::Pipeline { stages: 3 },
    ] {
        let answer = run(&judge, &Request::new(goal), &mut go).unwrap();
        let proposed = answer.baselines.iter().chain(&answer.proposals);
        for e in proposed.flat_map(|p| &p.engines) {
            assert_eq!(e.placement, Placement::default());
        }
    }
}
