//! Estimates of known networks: their parts add up, and more work takes longer.

use dlaplan::estimate::{Cause, Estimator};
use dlaplan::figure::Figure;
use dlaplan::model::Model;
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::{Planner, Severity};
use dlaplan::platform::{Board, Target};

fn target(board: &str) -> Target {
    let board = Board::find(board).unwrap();
    Target {
        board,
        mode: &board.modes[0],
        tensorrt: board.tensorrt[0],
    }
}

fn network(name: &str) -> Model {
    crate::networks::network(name).unwrap()
}

fn config(precision: Precision, batch: u32) -> EngineConfig {
    EngineConfig {
        precision,
        batch,
        ..EngineConfig::default()
    }
}

fn dla_stages(stages: u32) -> Placement {
    (1..=stages).fold(Placement::all(Device::Gpu), |p, i| {
        p.with_module(&format!("layer{i}"), Device::Dla)
    })
}

#[test]
fn an_estimate_is_the_sum_of_its_parts() {
    let model = network("resnet18");
    let planner = Planner::new(&model, &target("xavier-nx"), &config(Precision::FP16, 1));
    let estimator = Estimator::new(&planner);
    for placement in [
        Placement::all(Device::Gpu),
        Placement::all(Device::Dla),
        dla_stages(1),
        dla_stages(3),
    ] {
        let plan = planner.plan_placement(&placement).unwrap();
        let e = estimator.estimate(&plan);
        let value = |f: &Figure| f.value().unwrap();
        let sum = value(&e.gpu_ms) + value(&e.dla_ms) + value(&e.transition_ms);
        assert!((sum - value(&e.latency_ms)).abs() < 1e-9);
        assert!((1000.0 / sum - value(&e.fps)).abs() < 1e-6);
        let subgraphs: f64 = e.subgraph_ms.iter().map(value).sum();
        assert!((subgraphs - value(&e.dla_ms)).abs() < 1e-9);
        assert_eq!(e.per_transition_ms.len(), plan.transitions.len());
    }
}

/// Identity nodes that hand stored weights on are kernels where a profile showed them, and a hazard everywhere.
#[test]
fn copied_weights_take_time_where_that_was_measured() {
    let plain = network("resnet18");
    let mut copied = plain.clone();
    for op in copied.ops.iter_mut().filter(|op| &*op.op_type == "Conv") {
        op.weight_copies = 1;
    }
    for (tensorrt, severity, dearer) in [
        ("8.5", Severity::Warning, true),
        ("10.3", Severity::Info, false),
    ] {
        let target = Target::parse(&format!("orin-nx-16:{tensorrt}")).unwrap();
        let judged = |model: &Model| {
            let planner = Planner::new(model, &target, &config(Precision::FP16, 1));
            let plan = planner
                .plan_placement(&Placement::all(Device::Gpu))
                .unwrap();
            let ms = Estimator::new(&planner)
                .estimate(&plan)
                .gpu_ms
                .value()
                .unwrap();
            (ms, plan.lints)
        };
        let (before, lints) = judged(&plain);
        assert!(lints.iter().all(|l| l.id != "weights.copied"));
        let (after, lints) = judged(&copied);
        let lint = lints.iter().find(|l| l.id == "weights.copied").unwrap();
        assert_eq!(lint.severity, severity, "{tensorrt}");
        assert!(
            lint.hazard.starts_with("20 Identity nodes only hand "),
            "{}",
            lint.hazard
        );
        assert_eq!(
            after > before * 1.02,
            dearer,
            "{tensorrt}: {before} {after}"
        );
        assert!(after >= before && after < before * 2.0, "{before} {after}");
    }
}

/// Every op on the GPU or the DLA, by any placement that keeps units whole.
#[test]
fn the_cost_table_adds_up_to_the_estimate() {
    for (name, modules) in [
        ("resnet18", &["layer1", "layer3", "layer4.1"][..]),
        ("googlenet_caffe", &["inception_4a/1x1", "pool2/3x3_s2"]),
    ] {
        let model = network(name);
        let planner = Planner::new(&model, &target("agx-xavier"), &config(Precision::INT8, 2));
        let estimator = Estimator::new(&planner);
        let table = estimator.cost_table().unwrap();
        for mask in 0..(1 << modules.len()) {
            let mut placement = Placement::all(Device::Gpu);
            for (i, m) in modules.iter().enumerate() {
                if mask & (1 << i) != 0 {
                    placement = placement.with_module(m, Device::Dla);
                }
            }
            let plan = planner.plan_placement(&placement).unwrap();
            let whole = table.units.iter().all(|u| {
                u.ops
                    .iter()
                    .all(|o| plan.subgraph_of[o.index()] == plan.subgraph_of[u.ops[0].index()])
            });
            if !whole {
                continue;
            }
            let units: f64 = table
                .units
                .iter()
                .map(|u| match plan.subgraph_of[u.ops[0].index()] {
                    None => u.gpu_ms,
                    Some(_) => u.dla_ms.unwrap(),
                })
                .sum();
            let transitions: f64 = plan
                .transitions
                .iter()
                .map(|t| {
                    let cost = table.transition(t.tensor);
                    match (t.boundary, t.from, t.to) {
                        (true, ..) => cost.boundary_ms,
                        (_, Device::Gpu, _) => cost.to_dla_ms,
                        (_, _, Device::Gpu) => cost.to_gpu_ms,
                        _ => cost.dla_to_dla_ms,
                    }
                })
                .sum();
            let sum = units + transitions + table.subgraph_ms * plan.subgraphs.len() as f64;
            let latency = estimator.estimate(&plan).latency_ms.value().unwrap();
            assert!(
                (sum - latency).abs() < 1e-9,
                "{name} {mask}: {sum} {latency}"
            );
        }
    }
}

#[test]
fn cutting_a_kernel_costs_and_counts_every_op() {
    let model = network("resnet18");
    let planner = Planner::new(&model, &target("xavier-nx"), &config(Precision::FP16, 1));
    let estimator = Estimator::new(&planner);
    let whole = estimator.estimate(&planner.plan(vec![Device::Gpu; model.ops.len()]));
    let mut devices = vec![Device::Gpu; model.ops.len()];
    // The activation behind the first convolution alone.
    devices[1] = Device::Dla;
    let cut = estimator.estimate(&planner.plan(devices));
    assert!(cut.dla_ms.value().unwrap() > 0.0);
    assert!(cut.latency_ms.value().unwrap() > whole.latency_ms.value().unwrap());
}

#[test]
fn op_shares_add_up_to_the_gpu_time() {
    for name in ["resnet18", "googlenet_caffe", "mobilenet_v2"] {
        let model = network(name);
        let planner = Planner::new(&model, &target("agx-xavier"), &config(Precision::FP16, 1));
        let estimator = Estimator::new(&planner);
        let sum: f64 = model
            .op_ids()
            .map(|op| estimator.op_ms(op, Device::Gpu).value().unwrap())
            .sum();
        let plan = planner.plan(vec![Device::Gpu; model.ops.len()]);
        let whole = estimator.estimate(&plan).gpu_ms.value().unwrap();
        assert!((sum / whole - 1.0).abs() < 1e-6, "{name}: {sum} {whole}");
    }
}

#[test]
fn what_is_out_of_range_has_no_figure() {
    let model = network("resnet18");
    let all = vec![Device::Dla; model.ops.len()];
    for (board, precision) in [("thor", Precision::FP16), ("nano", Precision::INT8)] {
        let planner = Planner::new(&model, &target(board), &config(precision, 1));
        let e = Estimator::new(&planner).estimate(&planner.plan(all.clone()));
        assert_eq!(e.fps.value(), None, "{board} {precision}");
        assert!(!e.fps.source().is_empty());
    }
    // FP32 builds, but all of it on the GPU: the figure says that it is not one of the DLA.
    let mut fp32 = config(Precision::FP32, 1);
    for (fallback, figure) in [(true, true), (false, false)] {
        fp32.gpu_fallback = fallback;
        let planner = Planner::new(&model, &target("xavier-nx"), &fp32);
        let e = Estimator::new(&planner).estimate(&planner.plan(all.clone()));
        assert_eq!(e.fps.value().is_some(), figure);
        assert!(
            !figure || e.fps.source().contains("GPU alone"),
            "{}",
            e.fps.source()
        );
    }
}

#[test]
fn more_work_takes_longer_and_slower_clocks_too() {
    let model = network("resnet50");
    let ms = |target: &Target, batch| {
        let planner = Planner::new(&model, target, &config(Precision::FP16, batch));
        let plan = planner.plan(vec![Device::Dla; model.ops.len()]);
        Estimator::new(&planner)
            .estimate(&plan)
            .latency_ms
            .value()
            .unwrap()
    };
    let nx = target("xavier-nx");
    assert!(ms(&nx, 8) > 4.0 * ms(&nx, 1));
    let slow = Target {
        mode: nx.board.mode("10W").unwrap(),
        ..nx
    };
    assert!(ms(&slow, 1) > ms(&nx, 1));
    assert!(ms(&target("agx-xavier"), 1) < ms(&nx, 1));
}

/// Multiply-accumulates as the networks' papers and model zoos print them, millions.
#[test]
fn work_is_what_the_papers_say() {
    for (name, expected) in [
        ("alexnet", 714.0),
        ("resnet18", 1814.0),
        ("resnet50", 4089.0),
        ("resnet152", 11514.0),
        ("vgg16", 15470.0),
        ("squeezenet1_1", 349.0),
        ("densenet121", 2834.0),
        ("mobilenet_v2", 301.0),
        ("shufflenet_v2_x1_0", 145.0),
        ("mnasnet1_0", 314.0),
        ("googlenet_caffe", 1582.0),
        ("yolov3_darknet53_608", 70_300.0),
    ] {
        let macs = crate::networks::network(name)
            .unwrap()
            .total_macs()
            .unwrap() as f64
            / 1e6;
        assert!(
            (macs / expected - 1.0).abs() < 0.01,
            "{name}: {macs} M instead of {expected} M"
        );
    }
}

fn whole_ms(name: &str, board: &str, device: Device, precision: Precision, batch: u32) -> f64 {
    let model = network(name);
    let planner = Planner::new(&model, &target(board), &config(precision, batch));
    let plan = planner.plan_placement(&Placement::all(device)).unwrap();
    let estimate = Estimator::new(&planner).estimate(&plan);
    estimate.latency_ms.value().unwrap()
}

/// TensorRT multiplies FP32 in TF32 on Ampere: twice FP16's time, not that of the CUDA cores.
#[test]
fn fp32_on_ampere_takes_about_twice_as_long_as_fp16() {
    let ratio = |board| {
        let ms = |precision| whole_ms("resnet50", board, Device::Gpu, precision, 8);
        ms(Precision::FP32) / ms(Precision::FP16)
    };
    assert!(
        (1.6..=2.4).contains(&ratio("agx-orin-64")),
        "{}",
        ratio("agx-orin-64")
    );
    assert!(ratio("agx-xavier") > 3.0, "{}", ratio("agx-xavier"));
}

/// Published times per image of one DLA engine are the same from batch 1 to 16; entering and leaving
/// the subgraph is paid once.
#[test]
fn dla_time_per_image_hardly_depends_on_the_batch() {
    let some = whole_ms("resnet50", "agx-orin-64", Device::Dla, Precision::INT8, 8) / 8.0;
    let many = whole_ms("resnet50", "agx-orin-64", Device::Dla, Precision::INT8, 16) / 16.0;
    assert!((0.85..=1.0).contains(&(many / some)), "{some} {many}");
}

/// Two different networks at the same time, and clocks outside the named modes.
#[test]
fn different_networks_and_clocks_can_be_asked_for() {
    use std::process::Command;
    let dir = tempfile::tempdir().unwrap();
    let fps = |target: &str| -> Vec<f64> {
        let out = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
            .args(["estimate", "bundled:resnet18", "--target", target, "--json"])
            .args(["--precision", "int8+fp16"])
            .args(["--together", "gpu,bundled:googlenet=dla0"])
            .env("DLAPLAN_DATA_DIR", dir.path())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(report["engines"][1]["model"], "googlenet");
        let fps = report["fps"].as_array().unwrap().iter();
        fps.map(|f| f["value"].as_f64().unwrap()).collect()
    };
    let fast = fps("orin-nx-16@gpu=900,dla=614,emc=3199");
    let slow = fps("orin-nx-16@gpu=450,dla=614,emc=3199");
    assert!(fast[0] > 1.2 * slow[0], "{fast:?} {slow:?}");
}

/// Any placement of any op on any board with a cost model: the waterfall ends where the estimate does.
mod waterfall {
    use super::*;
    use proptest::prelude::*;

    fn boards() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["xavier-nx", "agx-xavier", "agx-orin-64", "orin-nx-16"])
    }

    fn networks() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "resnet18",
            "googlenet_caffe",
            "mobilenet_v2",
            "squeezenet1_1",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn adds_up_to_the_estimate(
            name in networks(),
            board in boards(),
            int8 in any::<bool>(),
            batch in 1u32..5,
            // Devices by stretches of ops, down to single ones.
            cuts in prop::collection::vec((1usize..12, any::<bool>()), 1..60),
        ) {
            let model = network(name);
            let precision = if int8 { Precision::INT8_FP16 } else { Precision::FP16 };
            let planner = Planner::new(&model, &target(board), &config(precision, batch));
            let estimator = Estimator::new(&planner);
            let mut devices = Vec::new();
            for (n, dla) in cuts.iter().cycle() {
                let device = if *dla { Device::Dla } else { Device::Gpu };
                devices.extend(std::iter::repeat_n(device, *n));
                if devices.len() >= model.ops.len() {
                    break;
                }
            }
            devices.truncate(model.ops.len());
            let plan = planner.plan(devices);
            let estimate = estimator.estimate(&plan);
            let breakdown = estimator.breakdown(&plan, &estimate);
            let Some(latency) = estimate.latency_ms.value() else {
                prop_assert!(breakdown.is_err());
                return Ok(());
            };
            let breakdown = breakdown.unwrap();
            let fall = &breakdown.waterfall;
            let gpu = estimator.estimate(&planner.plan(vec![Device::Gpu; model.ops.len()]));
            let (from, gpu) = (fall.from.value().unwrap(), gpu.latency_ms.value().unwrap());
            prop_assert!((from - gpu).abs() < 1e-9, "{} {}", from, gpu);
            let steps: f64 = fall.steps.iter().map(|s| s.ms.value().unwrap()).sum();
            prop_assert!((steps - (latency - gpu)).abs() < 1e-9, "{} {}", steps, latency - gpu);
            prop_assert_eq!(fall.to.value(), Some(latency));
            // Each cause is what the estimate says of it.
            let of = |causes: &[Cause]| -> f64 {
                let steps = fall.steps.iter().filter(|s| causes.contains(&s.cause));
                steps.filter_map(|s| s.ms.value()).sum()
            };
            let dla = of(&[Cause::RunsOnDla, Cause::Submission]);
            prop_assert!((dla - estimate.dla_ms.value().unwrap()).abs() < 1e-9);
            let crossing = of(&[Cause::IntoDla, Cause::OutOfDla, Cause::EngineEnds]);
            prop_assert!((crossing - estimate.transition_ms.value().unwrap()).abs() < 1e-9);
            // A load is the same inference, so that company alone makes the difference.
            let alone = estimator.load(&plan).unwrap().alone_ms();
            prop_assert!((alone - latency).abs() < 1e-9, "{} {}", alone, latency);
            let bars = fall.picture("this").bars;
            prop_assert_eq!(bars.len(), fall.steps.len() + 2);
            let inside = |b: &dlaplan::estimate::Bar| 0.0 <= b.left && b.left <= b.right && b.right <= 1.0;
            prop_assert!(bars.iter().all(inside), "{:?}", bars);
            // The lists are sorted, and name kernels of the plan.
            let hot: Vec<f64> = breakdown.hottest.iter().map(|k| k.ms).collect();
            prop_assert!(hot.is_sorted_by(|a, b| a >= b) && !hot.is_empty());
            let lost: Vec<f64> = breakdown.losses.iter().map(|k| k.loss_ms().unwrap()).collect();
            prop_assert!(lost.is_sorted_by(|a, b| a >= b) && lost.iter().all(|l| *l > 0.0));
            for kernel in breakdown.hottest.iter().chain(&breakdown.losses) {
                prop_assert!(kernel.ops.iter().all(|o| plan.predicted[o.index()] == kernel.device));
            }
        }
    }

    #[test]
    fn says_why_the_dla_is_slower() {
        let model = network("resnet18");
        let planner = Planner::new(&model, &target("xavier-nx"), &config(Precision::FP16, 1));
        let estimator = Estimator::new(&planner);
        let plan = planner.plan_placement(&dla_stages(2)).unwrap();
        let estimate = estimator.estimate(&plan);
        let fall = estimator.breakdown(&plan, &estimate).unwrap().waterfall;
        let text = fall.verdict();
        assert!(text.contains("slower than all on the GPU"), "{text}");
        let loads = [&plan, &plan].map(|p| estimator.load(p).unwrap());
        let together = &estimator.deployment(&loads).latency_ms[0];
        let beside = fall.clone().beside(1, together);
        let last = beside.steps.last().unwrap();
        assert_eq!((last.cause, last.count), (Cause::Contention, 1));
        let sum: f64 = beside.steps.iter().filter_map(|s| s.ms.value()).sum();
        let all = beside.to.value().unwrap() - beside.from.value().unwrap();
        assert!((sum - all).abs() < 1e-9 && last.ms.value().unwrap() > 0.0);
        assert!(beside.verdict().contains("at the same time cost"));
        // Steps that are short beside the whole are drawn from further right, and that is said.
        let last = network("resnet152");
        let planner = Planner::new(&last, &target("xavier-nx"), &config(Precision::FP16, 1));
        let placement = Placement::all(Device::Gpu).with_module("layer4.2.conv3", Device::Dla);
        let plan = planner.plan_placement(&placement).unwrap();
        let estimator = Estimator::new(&planner);
        let estimate = estimator.estimate(&plan);
        let short = estimator.breakdown(&plan, &estimate).unwrap().waterfall;
        let picture = short.picture("this");
        assert!(picture.note().is_some() && fall.picture("this").note().is_none());
        let step = picture
            .bars
            .iter()
            .find(|b| b.cause == Some(Cause::Submission));
        assert!(step.is_some_and(|b| b.right - b.left > 0.02), "{picture:?}");
        // A fused op is named with the op that bears its time.
        let relu = model
            .op_ids()
            .find(|o| &*model.op(*o).op_type == "Relu")
            .unwrap();
        let main = estimator.fused_into(relu).unwrap();
        assert_eq!(&*model.op(main).op_type, "Conv");
        assert_eq!(estimator.fused_into(main), None);
    }
}
