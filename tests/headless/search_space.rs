//! The solvers' view of a model against the plan: same subgraphs, same transitions, same cost.

use std::ops::ControlFlow;

use dlaplan::model::onnx::{bundled, load_bundled};
use dlaplan::model::{Model, OpId};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision, Site};
use dlaplan::plan::{Buildable, Fallback, Plan, Planner};
use dlaplan::platform::{Target, boards};
use dlaplan::search::problem::Scorer;
use dlaplan::search::solvers::{Aim, compressed, minimise};
use dlaplan::search::space::{
    Constraints, Costs, Crossing, Granularity, Kernel, Space, SpaceError,
};
use proptest::prelude::*;

fn mix(seed: u64, i: u64) -> f64 {
    // SplitMix64 of seed and position, 0 to 1.
    let mut z = seed
        .wrapping_mul(0x2545_f491_4f6c_dd1d)
        .wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Devices that change after every `run` choices or after several such.
fn in_runs(space: &Space, seed: u64, run: u64) -> Vec<Device> {
    let device = |i: u64| {
        if mix(seed, i / run) < 0.5 {
            Device::Gpu
        } else {
            Device::Dla
        }
    };
    (0..space.problem.choices.len() as u64)
        .map(device)
        .collect()
}

/// Random costs: the structure is the model's, the figures are anything.
fn costs(model: &Model, seed: u64, transition: f64) -> Costs {
    let at = |k: u64, i: usize| mix(seed ^ k, i as u64);
    Costs {
        kernels: model
            .op_ids()
            .map(|op| Kernel {
                ops: vec![op],
                gpu_ms: at(1, op.index()),
                dla_ms: at(2, op.index()),
                left_ms: 0.0,
                splits: Vec::new(),
            })
            .collect(),
        tensors: (0..model.tensors.len())
            .map(|t| Crossing {
                to_dla_ms: transition * at(3, t),
                dla_to_dla_ms: transition * at(4, t),
                to_gpu_ms: transition * at(5, t),
                to_caller_ms: transition * at(6, t),
            })
            .collect(),
        subgraph_ms: transition * at(7, 0),
        fixed_ms: 0.0,
    }
}

/// The cost of a plan, straight from what the plan says.
fn cost_of(plan: &Plan, costs: &Costs) -> f64 {
    let mut ms = plan.subgraphs.len() as f64 * costs.subgraph_ms;
    for k in &costs.kernels {
        ms += match plan.predicted[k.ops[0].index()] {
            Device::Gpu => k.gpu_ms,
            Device::Dla => k.dla_ms,
        };
    }
    for t in &plan.transitions {
        let c = costs.tensors[t.tensor.index()];
        ms += match (t.from, t.to, t.boundary) {
            (Device::Gpu, Device::Dla, _) => c.to_dla_ms,
            (Device::Dla, Device::Dla, _) => c.dla_to_dla_ms,
            (Device::Dla, Device::Gpu, false) => c.to_gpu_ms,
            _ => c.to_caller_ms,
        };
    }
    ms
}

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

#[test]
fn scores_are_what_the_plan_says() {
    for b in bundled() {
        let model = load_bundled(b.name).unwrap();
        let planner = Planner::new(&model, &target(), &config(false));
        let costs = costs(&model, 3, 0.5);
        let constraints = Constraints {
            granularity: Granularity::Ops,
            ..Constraints::default()
        };
        let space = Space::new(&planner, &costs, &constraints).unwrap();
        let mut all_loadables = 0;
        for seed in 0..60 {
            // Long runs of one device, so that some plans stay within the limit.
            let run = 1 + seed % 30;
            let chosen = in_runs(&space, seed, run);
            let score = Scorer::new(&space.problem).score(&chosen);
            let placement = space.placement(&model, &chosen);
            let plan = planner.plan_placement(&placement).unwrap();
            let over = plan
                .fallbacks
                .iter()
                .any(|(op, _)| planner.may_run_on_dla(*op));
            assert_eq!(score.feasible, !over, "{} {seed}", b.name);
            if over {
                continue;
            }
            all_loadables += 1;
            assert_eq!(score.subgraphs as usize, plan.subgraphs.len());
            assert_eq!(score.transitions as usize, plan.transitions.len());
            let ms = cost_of(&plan, &costs);
            assert!(
                (score.latency_ms - ms).abs() < 1e-9,
                "{} {ms}",
                score.latency_ms
            );
            assert_eq!(space.chosen(&plan.requested).as_ref(), Some(&chosen));
        }
        assert!(all_loadables > 5, "{}", b.name);
        space.problem.check().unwrap();
    }
}

/// At large batches a loadable's memory decides. The search counts the sum of its tensors, the plan
/// what is alive at once: what the search takes, the plan takes.
#[test]
fn subgraphs_hold_what_the_plan_lets_them_hold() {
    let mut counts = [0; 2];
    for name in ["resnet50", "googlenet", "mobilenet_v2"] {
        let model = load_bundled(name).unwrap();
        for batch in [64, 512, 1024, 2048] {
            let config = EngineConfig {
                batch,
                ..config(false)
            };
            let planner = Planner::new(&model, &target(), &config);
            let costs = costs(&model, 3, 0.5);
            let constraints = Constraints {
                granularity: Granularity::Ops,
                ..Constraints::default()
            };
            let space = Space::new(&planner, &costs, &constraints).unwrap();
            let small = compressed(&space.problem);
            for seed in 0..60 {
                let run = 4 + seed % 40;
                let chosen = in_runs(&space, seed, run);
                let placement = space.placement(&model, &chosen);
                let plan = planner.plan_placement(&placement).unwrap();
                let mut why = plan.fallbacks.iter();
                let sized = why.any(|(_, why)| matches!(why, Fallback::LoadableSize(_)));
                let mut over = plan.fallbacks.iter();
                let over = over.any(|(op, _)| planner.may_run_on_dla(*op));
                for problem in [&space.problem, &small] {
                    let score = Scorer::new(problem).score(&chosen);
                    assert!(!score.feasible || !over, "{name} {batch} {seed}");
                }
                counts[usize::from(sized)] += 1;
            }
        }
    }
    assert!(counts.iter().all(|n| *n > 100), "{counts:?}");
}

#[test]
fn placements_found_mean_what_was_found() {
    for b in bundled() {
        let model = load_bundled(b.name).unwrap();
        for strict in [false, true] {
            let planner = Planner::new(&model, &target_of(b.name), &config(strict));
            for granularity in [
                Granularity::Ops,
                Granularity::Modules,
                Granularity::Blocks(1),
            ] {
                let costs = costs(&model, 11, 0.2);
                let constraints = Constraints {
                    granularity,
                    max_subgraphs: Some(4),
                    ..Constraints::default()
                };
                let space = Space::new(&planner, &costs, &constraints).unwrap();
                let found = minimise(&space.problem, Aim::Latency, &mut |_| {
                    ControlFlow::Continue(())
                })
                .unwrap();
                assert!(
                    found.is_exact(),
                    "{} {granularity:?} {}",
                    b.name,
                    found.gap()
                );
                let placement = space.placement(&model, &found.chosen);
                let plan = planner.plan_placement(&placement).unwrap();
                assert_eq!(plan.buildable, Buildable::Yes);
                assert!(plan.subgraphs.len() <= 4);
                assert!((cost_of(&plan, &costs) - found.score.latency_ms).abs() < 1e-9);
                if granularity != Granularity::Ops {
                    let whole = |s: &Site| matches!(s, Site::Module(_));
                    assert!(placement.overrides.keys().all(whole), "{placement:?}");
                }
            }
        }
    }
}

#[test]
fn pins_hold() {
    let model = load_bundled("resnet18").unwrap();
    let planner = Planner::new(&model, &target(), &config(false));
    let costs = costs(&model, 5, 0.2);
    let pin = |pinned: Vec<(Site, Device)>| Constraints {
        pinned,
        ..Constraints::default()
    };
    let layer = |path: &str| Site::Module(path.to_owned());
    let constraints = pin(vec![
        (layer("layer1"), Device::Dla),
        (layer("layer3"), Device::Gpu),
    ]);
    let space = Space::new(&planner, &costs, &constraints).unwrap();
    let found = minimise(&space.problem, Aim::Latency, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let plan = planner
        .plan_placement(&space.placement(&model, &found.chosen))
        .unwrap();
    let of =
        |path: &str| -> Vec<OpId> { model.modules.subtree_ops(model.modules.find(path).unwrap()) };
    for op in of("layer1") {
        assert_eq!(
            plan.predicted[op.index()] == Device::Dla,
            planner.may_run_on_dla(op)
        );
    }
    for op in of("layer3") {
        assert_eq!(plan.predicted[op.index()], Device::Gpu);
    }
    let both = pin(vec![
        (layer("layer1"), Device::Dla),
        (layer("layer1.0"), Device::Gpu),
    ]);
    let refused = Space::new(&planner, &costs, &both).unwrap_err();
    assert!(matches!(refused, SpaceError::Conflict { .. }), "{refused}");
    let unknown = pin(vec![(layer("layer9"), Device::Gpu)]);
    let refused = Space::new(&planner, &costs, &unknown).unwrap_err();
    assert!(refused.to_string().contains("layer9"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// ResNet-18 with stages as units: 2^n placements tried one by one through the planner.
    #[test]
    fn resnet18_equals_brute_force_through_the_planner(seed: u64, transition in 0.01f64..2.0) {
        let model = load_bundled("resnet18").unwrap();
        let planner = Planner::new(&model, &target(), &config(false));
        let costs = costs(&model, seed, transition);
        let constraints = Constraints {
            granularity: Granularity::Blocks(1),
            max_subgraphs: Some(3),
            ..Constraints::default()
        };
        let space = Space::new(&planner, &costs, &constraints).unwrap();
        let paths: Vec<String> = model.modules.iter().filter(|(_, m)| m.depth == 1)
            .map(|(_, m)| m.path.to_string()).collect();
        prop_assert!(paths.len() <= 12);
        let mut best = f64::INFINITY;
        for bits in 0..1u32 << paths.len() {
            for default in [Device::Gpu, Device::Dla] {
                let mut placement = Placement::all(default);
                for (i, p) in paths.iter().enumerate() {
                    let device = if bits >> i & 1 == 1 { Device::Dla } else { Device::Gpu };
                    placement = placement.with_module(p, device);
                }
                let plan = planner.plan_placement(&placement).unwrap();
                if plan.subgraphs.len() <= 3 {
                    best = best.min(cost_of(&plan, &costs));
                }
            }
        }
        let found = minimise(&space.problem, Aim::Latency, &mut |_| ControlFlow::Continue(()))
            .unwrap();
        prop_assert!(found.is_exact());
        prop_assert!((found.score.latency_ms - best).abs() < 1e-9, "{} {}", found.score.latency_ms, best);
    }
}
