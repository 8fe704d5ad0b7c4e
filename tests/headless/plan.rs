//! What the published placements of ResNet-18 mean on a Xavier NX, and the limits of a loadable.

use std::fmt::Write as _;

use crate::networks::{chain, network};
use dlaplan::model::Model;
use dlaplan::model::onnx::{LoadOptions, load_bundled, load_bytes};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::{Buildable, Fallback, Plan, plan};
use dlaplan::platform::Target;

/// The published placements by their names.
fn seeds() -> [(&'static str, Placement); 5] {
    let stages = |n: u32| {
        (1..=n).fold(Placement::all(Device::Gpu), |p, i| {
            p.with_module(&format!("layer{i}"), Device::Dla)
        })
    };
    [
        ("gpu", Placement::all(Device::Gpu)),
        ("dla", Placement::all(Device::Dla)),
        ("dla1", stages(1)),
        ("dla12", stages(2)),
        ("dla123", stages(3)),
    ]
}

fn describe(model: &Model, plan: &Plan) -> String {
    let mut text = format!("{}\n", plan.summary(model));
    for (op, why) in &plan.fallbacks {
        let op = model.op(*op);
        writeln!(
            text,
            "  falls back: {} ({}): {}",
            op.name,
            op.op_type,
            why.sentence()
        )
        .unwrap();
    }
    for s in &plan.subgraphs {
        let (first, last) = (s.ops.first().unwrap(), s.ops.last().unwrap());
        writeln!(
            text,
            "  subgraph of {} ops, {} to {}: {} bytes in, {} out, {} of weights",
            s.ops.len(),
            model.op(*first).name,
            model.op(*last).name,
            s.bytes_in,
            s.bytes_out,
            s.weight_bytes
        )
        .unwrap();
    }
    for t in &plan.transitions {
        writeln!(
            text,
            "  {} -> {}: {} {:?}, {} bytes{}",
            t.from,
            t.to,
            model.tensor(t.tensor).name,
            model.tensor(t.tensor).shape.as_deref().unwrap(),
            t.bytes,
            if t.boundary { ", at the ends" } else { "" }
        )
        .unwrap();
    }
    text
}

#[test]
fn the_published_placements_mean_what_they_meant() {
    let model = load_bundled("resnet18").unwrap();
    let mut text = String::new();
    for precision in [Precision::FP16, Precision::INT8] {
        let config = EngineConfig {
            precision,
            ..EngineConfig::default()
        };
        for (name, placement) in seeds() {
            let plan = plan(&model, &Target::default(), &config, &placement).unwrap();
            assert_eq!(plan.buildable, Buildable::Yes);
            writeln!(text, "{precision} {name}: {}", describe(&model, &plan)).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

/// The whole model on the DLA in FP16, and why its first op falls back if it does.
fn all_on_dla(model: &Model, batch: u32) -> (Plan, Option<(&'static str, String)>) {
    let config = EngineConfig {
        batch,
        ..EngineConfig::default()
    };
    let placement = Placement::all(Device::Dla);
    let plan = plan(model, &Target::default(), &config, &placement).unwrap();
    let why = plan.fallbacks.first().and_then(|(_, why)| match why {
        Fallback::LoadableSize(refusal) => Some((refusal.rule.id, why.sentence())),
        _ => None,
    });
    (plan, why)
}

/// No tensor is larger than 103 MB at the batch that is too large: what counts is their sum.
#[test]
fn the_tensors_alive_at_once_inside_a_loadable_are_counted() {
    let model = network("resnet50").unwrap();
    let (plan, why) = all_on_dla(&model, 16);
    assert_eq!(why, None);
    assert!(plan.dla_ops() > 100);

    // The sum of its tensors is above 1 GB here, but dead ones give their memory to the next.
    let (plan, why) = all_on_dla(&model, 64);
    assert_eq!(why, None);
    assert!(plan.dla_ops() > 100);

    let (plan, why) = all_on_dla(&model, 512);
    let (rule, sentence) = why.unwrap();
    assert_eq!(rule, "loadable.tensors");
    assert!(sentence.contains("less than 1 GB"), "{sentence}");
    // The classifier behind the global pooling is a loadable of its own, and small.
    assert_eq!(plan.subgraphs.len(), 1);
    assert!(plan.subgraphs[0].ops.len() < 3);
    assert_eq!(plan.buildable, Buildable::Yes);

    // Without its largest tensors it fits.
    let config = EngineConfig {
        batch: 512,
        ..EngineConfig::default()
    };
    let whole = Placement::all(Device::Dla);
    let rest = whole.clone().with_module("layer1", Device::Gpu);
    let placed = |p: &Placement| {
        let plan = dlaplan::plan::plan(&model, &Target::default(), &config, p).unwrap();
        plan.dla_ops()
    };
    assert!(placed(&whole) < 3);
    assert!(placed(&rest) > 90);
}

#[test]
fn the_weights_of_a_loadable_are_limited() {
    // 74 kB of weights per block.
    let (plan, why) = all_on_dla(&chain(3_000), 1);
    assert_eq!((plan.dla_ops(), why), (6_000, None));
    let (plan, why) = all_on_dla(&chain(8_000), 1);
    let (rule, sentence) = why.unwrap();
    assert_eq!((plan.dla_ops(), rule), (0, "loadable.weights"));
    assert_eq!(plan.fallbacks.len(), 16_000);
    assert!(
        sentence.contains("MB of weights in one loadable"),
        "{sentence}"
    );
}

/// What is past the number of loadables a core holds goes to the GPU, the first stay.
#[test]
fn a_core_holds_sixteen_loadables() {
    let model = chain(100);
    let mut placement = Placement::all(Device::Gpu);
    for op in model.ops.iter().filter(|o| &*o.op_type == "Conv") {
        placement = placement.with_op(&op.name, Device::Dla);
    }
    let plan = plan(
        &model,
        &Target::default(),
        &EngineConfig::default(),
        &placement,
    )
    .unwrap();
    assert_eq!(plan.subgraphs.len(), 16);
    assert_eq!(plan.fallbacks.len(), 84);
    assert!(
        plan.fallbacks
            .iter()
            .all(|(_, why)| *why == Fallback::LoadableLimit { limit: 16 })
    );
    let ops: Vec<u32> = plan.fallbacks.iter().map(|(op, _)| op.0).collect();
    assert!(ops.is_sorted());
    for (i, subgraph) in plan.subgraphs.iter().enumerate() {
        assert_eq!(subgraph.ops.len(), 1);
        assert_eq!(plan.subgraph_of[subgraph.ops[0].index()], Some(i as u32));
    }
}

/// Cases of `tests/data/dla_reports`, each with its right value.
mod reports {
    use std::path::Path;

    use dlaplan::model::onnx::{LoadOptions, open};
    use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
    use dlaplan::plan::{Buildable, Plan, plan};
    use dlaplan::platform::Target;

    use crate::net::{Net, conv};

    fn all_on_dla(file: &str, target: &str, config: &EngineConfig) -> Plan {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dla_reports");
        let model = open(&folder.join(file), &LoadOptions::default()).unwrap();
        let target = Target::parse(target).unwrap();
        plan(&model, &target, config, &Placement::all(Device::Dla)).unwrap()
    }

    fn config(precision: Precision) -> EngineConfig {
        EngineConfig {
            precision,
            ..EngineConfig::default()
        }
    }

    #[test]
    fn each_output_of_a_split_is_a_loadable_where_only_the_gpu_joins_them() {
        let plan = all_on_dla("split.onnx", "xavier-nx:8.5", &config(Precision::FP16));
        assert_eq!(plan.subgraphs.len(), 3);
        // Each op of the DLA is in its subgraph, the Split in each of its outputs'.
        let listed: usize = plan.subgraphs.iter().map(|s| s.ops.len()).sum();
        assert_eq!(listed, plan.dla_ops() + 2);
        assert!(plan.transitions.iter().all(|t| t.from != t.to));
    }

    #[test]
    fn explicit_quantisation_is_refused_until_tensorrt_11() {
        let int8 = config(Precision::INT8);
        let plan = all_on_dla("qdq.onnx", "agx-orin-64:8.5", &int8);
        assert_eq!(plan.dla_ops(), 0);
        for (_, why) in &plan.fallbacks {
            assert_eq!(why.rule().unwrap().id, "quantize.explicit");
        }
        let plan = all_on_dla("qdq.onnx", "agx-orin-64:11.4", &int8);
        assert_eq!(plan.dla_ops(), 0);
        assert!(plan.fallbacks.iter().all(|(_, why)| why.rule().is_none()));
    }

    #[test]
    fn fp32_builds_on_the_gpu_unless_strict() {
        let mut fp32 = config(Precision::FP32);
        let plan = all_on_dla("static.onnx", "xavier-nx:8.5", &fp32);
        assert_eq!(plan.buildable, Buildable::Yes);
        assert_eq!((plan.dla_ops(), plan.fallbacks.len()), (0, 3));
        fp32.gpu_fallback = false;
        let plan = all_on_dla("static.onnx", "xavier-nx:8.5", &fp32);
        assert!(matches!(plan.buildable, Buildable::No { .. }));
    }

    /// NVIDIA/TensorRT#3499: allowed by the documented formula, refused by TensorRT 8.5.2.2.
    #[test]
    fn a_convolution_near_the_buffer_is_allowed_with_reserve() {
        let mut net = Net::new("bigconv");
        let x = net.input("x", Some(&[1, 512, 80, 160]));
        let weight = net.weight(&[256, 512, 3, 3]);
        let conv = conv(|c| (c.in_channels, c.out_channels) = (512, 256));
        net.op("conv", conv, &[x, weight], Some(&[1, 256, 80, 160]));
        let model = net.finish(&[]);
        let target = Target::parse("agx-orin-64:8.5").unwrap();
        let near = |precision| {
            let dla = Placement::all(Device::Dla);
            let plan = plan(&model, &target, &config(precision), &dla).unwrap();
            assert_eq!(plan.dla_ops(), 1);
            plan.lints.iter().any(|l| l.id == "conv.buffer_near")
        };
        assert!(near(Precision::INT8_FP16));
        assert!(near(Precision::FP16));
        assert!(!near(Precision::INT8), "9 of 16 banks");
    }
}

#[test]
fn missing_dims_are_told_once() {
    let bytes = crate::open_dims::symbolic_model().into();
    let model = load_bytes("open.onnx", &bytes, &LoadOptions::default()).unwrap();
    for device in [Device::Gpu, Device::Dla] {
        for gpu_fallback in [true, false] {
            let config = EngineConfig {
                gpu_fallback,
                ..EngineConfig::default()
            };
            let planned = plan(&model, &Target::default(), &config, &Placement::all(device));
            let Buildable::No { reasons } = planned.unwrap().buildable else {
                panic!("{device}: it builds");
            };
            let told = reasons.iter().filter(|r| r.contains("no fixed dims"));
            assert_eq!(told.count(), 1, "{device}: {reasons:?}");
        }
    }
}
