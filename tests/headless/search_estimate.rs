//! The search against the real estimate: its sums are the estimate, its best is the best.

use std::ops::ControlFlow;

use dlaplan::estimate::Estimator;
use dlaplan::model::onnx::{bundled, load_bundled};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::Planner;
use dlaplan::platform::{Board, Target};
use dlaplan::search::problem::Scorer;
use dlaplan::search::solvers::{Aim, minimise};
use dlaplan::search::space::Space;
use dlaplan::search::{Constraints, Costs, Goal, Granularity, Request, run};

fn target(board: &str) -> Target {
    let board = Board::find(board).unwrap();
    Target::new(board, &board.modes[0], board.tensorrt[0]).unwrap()
}

fn config(precision: Precision) -> EngineConfig {
    EngineConfig {
        precision,
        ..EngineConfig::default()
    }
}

/// 0 or 1 of a seed and a position.
fn bit(seed: u64, i: u64) -> bool {
    let mixed = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed >> 63 == 1
}

#[test]
fn sums_are_the_estimate_for_every_choice() {
    let mut compared = 0;
    for board in ["xavier-nx", "agx-orin-64"] {
        for b in bundled() {
            let model = load_bundled(b.name).unwrap();
            for precision in [Precision::FP16, Precision::INT8] {
                let planner = Planner::new(&model, &target(board), &config(precision));
                let estimator = Estimator::new(&planner);
                // TensorRT 8.5, Xavier's last, does not import its LayerNormalization.
                if (board, b.name) == ("xavier-nx", "vit_b_16") {
                    let why = Costs::of(&estimator).unwrap_err();
                    assert!(why.contains("cannot import LayerNormalization"), "{why}");
                    continue;
                }
                let costs = Costs::of(&estimator).unwrap();
                for granularity in [Granularity::Ops, Granularity::Modules] {
                    let constraints = Constraints {
                        granularity,
                        ..Constraints::default()
                    };
                    let space = Space::new(&planner, &costs, &constraints).unwrap();
                    let mut scorer = Scorer::new(&space.problem);
                    for seed in 0..30u64 {
                        let run = 1 + seed % 12;
                        let chosen: Vec<Device> = (0..space.problem.choices.len() as u64)
                            .map(|i| {
                                if bit(seed, i / run) {
                                    Device::Dla
                                } else {
                                    Device::Gpu
                                }
                            })
                            .collect();
                        let score = scorer.score(&chosen);
                        if !score.feasible {
                            continue;
                        }
                        let placement = space.placement(&model, &chosen);
                        let plan = planner.plan_placement(&placement).unwrap();
                        let e = estimator.estimate(&plan);
                        let same = |a: &dlaplan::figure::Figure, b: f64| {
                            (a.value().unwrap() - b).abs() < 1e-9 * (1.0 + b)
                        };
                        assert!(
                            same(&e.latency_ms, score.latency_ms)
                                && same(&e.gpu_ms, score.gpu_ms)
                                // A cut kernel's extra time counts as a copy in the sums.
                                && score.dla_ms <= e.dla_ms.value().unwrap() + 1e-9,
                            "{board} {} {precision} {granularity:?} {seed}: {} {score:?}",
                            b.name,
                            e.latency_ms
                        );
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn the_best_of_resnet18_is_the_best_of_all_its_stage_placements() {
    let model = load_bundled("resnet18").unwrap();
    for board in ["xavier-nx", "agx-xavier", "agx-orin-64"] {
        for precision in [Precision::FP16, Precision::INT8] {
            let planner = Planner::new(&model, &target(board), &config(precision));
            let estimator = Estimator::new(&planner);
            let constraints = Constraints {
                granularity: Granularity::Blocks(1),
                ..Constraints::default()
            };
            let space =
                Space::new(&planner, &Costs::of(&estimator).unwrap(), &constraints).unwrap();
            let found = minimise(&space.problem, Aim::Latency, &mut |_| {
                ControlFlow::Continue(())
            })
            .unwrap();
            assert!(found.is_exact());
            // Placements that cut a kernel are among these, and none is better.
            let paths: Vec<String> = model
                .modules
                .iter()
                .filter(|(_, m)| m.depth == 1 && m.subtree_ops > 0)
                .map(|(_, m)| m.path.to_string())
                .collect();
            let mut best = f64::INFINITY;
            for bits in 0..1u32 << paths.len() {
                let mut placement = Placement::default();
                for (i, p) in paths.iter().enumerate() {
                    if bits >> i & 1 == 1 {
                        placement = placement.with_module(p, Device::Dla);
                    }
                }
                let plan = planner.plan_placement(&placement).unwrap();
                let e = estimator.estimate(&plan);
                best = best.min(e.latency_ms.value().unwrap());
            }
            let value = found.score.latency_ms;
            assert!(
                (value - best).abs() < 1e-9,
                "{board} {precision}: {value} {best}"
            );
        }
    }
}

/// Images per second of engines of whole placements at the same time, one per entry.
fn together(estimator: &Estimator<'_, '_>, engines: &[(Device, u32)]) -> f64 {
    let loads: Vec<_> = engines
        .iter()
        .map(|(device, core)| {
            let plan = estimator
                .planner()
                .plan_placement(&Placement::all(*device))
                .unwrap();
            let mut load = estimator.load(&plan).unwrap();
            load.core = *core;
            load
        })
        .collect();
    estimator.deployment(&loads).total_fps.value().unwrap()
}

/// The seeds' tables: GPU+DLA 992.7, two DLAs 849.6, two GPU processes 662.8 images per second in
/// INT8; 565.4, 503.7, 374.7 in FP16.
#[test]
fn deployments_of_resnet18_on_xavier_nx_rank_as_measured() {
    let model = load_bundled("resnet18").unwrap();
    for precision in [Precision::INT8, Precision::FP16] {
        let planner = Planner::new(&model, &target("xavier-nx"), &config(precision));
        let estimator = Estimator::new(&planner);
        let (gpu, dla) = (Device::Gpu, Device::Dla);
        let both = together(&estimator, &[(gpu, 0), (dla, 0)]);
        let dlas = together(&estimator, &[(dla, 0), (dla, 1)]);
        let gpus = together(&estimator, &[(gpu, 0), (gpu, 0)]);
        assert!(
            both > dlas && dlas > gpus,
            "{precision}: {both} {dlas} {gpus}"
        );
        let goal = Goal::Deployment { most: 2, least: 2 };
        let answer = run(&estimator, &Request::new(goal), &mut |_| {
            ControlFlow::Continue(())
        });
        let answer = answer.unwrap();
        let best = &answer.proposals[0];
        assert!(best.fps.value().unwrap() >= both);
        let mut dla_ops: Vec<usize> = best.engines.iter().map(|e| e.summary.dla_ops).collect();
        dla_ops.sort_unstable();
        assert!(
            dla_ops[0] == 0 && dla_ops[1] > 0,
            "{precision}: {}",
            best.name
        );
    }
}

/// The seeds' mixed INT8 engines (476 to 500 images per second) are slower than all GPU (793).
#[test]
fn no_mixed_int8_engine_of_resnet18_beats_all_gpu() {
    let model = load_bundled("resnet18").unwrap();
    let planner = Planner::new(&model, &target("xavier-nx"), &config(Precision::INT8));
    let estimator = Estimator::new(&planner);
    for granularity in [Granularity::Ops, Granularity::Modules] {
        let mut request = Request::new(Goal::Latency);
        request.constraints.granularity = granularity;
        let answer = run(&estimator, &request, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(answer.gap, Some(0.0));
        assert_eq!(
            answer.proposals[0].engines[0].placement,
            Placement::default()
        );
    }
}

/// Of every placement of ResNet-18's stages none takes less energy than the proposal, and a cap of
/// the power leaves only what stays under it.
#[test]
fn the_least_energy_is_found_and_power_is_capped() {
    let model = load_bundled("resnet18").unwrap();
    let target = Target::parse("agx-orin-64@30W").unwrap();
    let planner = Planner::new(&model, &target, &config(Precision::INT8_FP16));
    let estimator = Estimator::new(&planner);
    let mut request = Request::new(Goal::Energy);
    request.constraints.granularity = Granularity::Blocks(1);
    let answer = run(&estimator, &request, &mut |_| ControlFlow::Continue(())).unwrap();
    let energy = |placement: &Placement| {
        let plan = planner.plan_placement(placement).unwrap();
        let latency = estimator.estimate(&plan).latency_ms;
        let power = estimator.power(&plan, &latency);
        power.wall_mj_per_image.value().unwrap()
    };
    let best = &answer.proposals[0].engines[0];
    let least = best.power.wall_mj_per_image.value().unwrap();
    assert_eq!(answer.gap, Some(0.0));
    for modules in 0..16u32 {
        let placement = (0..4)
            .filter(|i| modules >> i & 1 == 1)
            .fold(Placement::all(Device::Gpu), |p, i| {
                p.with_module(&format!("layer{}", i + 1), Device::Dla)
            });
        let other = energy(&placement);
        assert!(
            least <= other * (1.0 + 1e-6),
            "{modules:b}: {other} < {least}"
        );
    }

    let watts = |p: &dlaplan::search::Proposal| p.engines[0].power.wall_watts.value().unwrap();
    let mut request = Request::new(Goal::Latency);
    let free = run(&estimator, &request, &mut |_| ControlFlow::Continue(())).unwrap();
    let least = free
        .baselines
        .iter()
        .map(watts)
        .fold(f64::INFINITY, f64::min);
    let fastest = watts(&free.proposals[0]);
    assert!(fastest > least, "{fastest} {least}");
    request.max_watts = Some(f64::midpoint(least, fastest));
    match run(&estimator, &request, &mut |_| ControlFlow::Continue(())) {
        Ok(capped) => {
            assert!(capped.proposals.iter().all(|p| watts(p) < fastest));
            assert_eq!(capped.gap, None);
        }
        Err(why) => panic!("{why}"),
    }
    request.max_watts = Some(1.0);
    let why = run(&estimator, &request, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(
        why.to_string().contains("nothing found stays under 1"),
        "{why}"
    );
}
