//! Layer names of recorded engines and documented DLA builds, mapped to ops and modules.

use dlaplan::engine::reading::{
    EngineLayer, LayerMap, NetworkLayer, PlacementLog, actual, engine_layers, layer_times,
};
use dlaplan::engine::{Actual, RowSite, compare};
use dlaplan::model::Model;
use dlaplan::model::onnx::load_bundled;
use dlaplan::placement::{Device, EngineConfig, Placement};
use dlaplan::plan::plan;
use dlaplan::platform::Target;

const RECORDED: &str = include_str!("../data/tensorrt_8.5.2_resnet18_fp16_layers.json");

fn resnet18() -> Model {
    load_bundled("resnet18").unwrap()
}

fn devices(model: &Model, placement: &Placement) -> Vec<Device> {
    placement.resolve(model).unwrap().devices()
}

fn of<'a>(actual: &'a Actual, op: &str) -> &'a dlaplan::engine::ActualOp {
    actual.ops.iter().find(|o| o.op == op).unwrap()
}

/// One row, mapped on its own.
fn row(model: &Model, name: &str) -> (RowSite, Option<String>) {
    let map = LayerMap::new(model, &[]);
    let rows = [(name.to_owned(), vec![1.0])];
    let (times, _) = layer_times(&map, &[], &Actual::default(), &rows);
    (times[0].site.clone(), times[0].module.clone())
}

#[test]
fn a_recorded_engine_is_understood() {
    let model = resnet18();
    let layers = engine_layers(RECORDED);
    assert_eq!(layers.len(), 58);
    let map = LayerMap::new(&model, &[]);
    let gpu = devices(&model, &Placement::default());
    let found = actual(&map, &layers, &gpu, &PlacementLog::default(), &[]);
    // Everything but the flatten, which the pooling's output needs no kernel for.
    let hidden: Vec<&str> = found
        .ops
        .iter()
        .filter(|o| o.device.is_none())
        .map(|o| o.op.as_str())
        .collect();
    assert_eq!(hidden, ["/Flatten"]);
    assert!(found.ops.iter().all(|o| o.device != Some(Device::Dla)));
    assert!(found.subgraphs.is_empty());
    assert_eq!(
        of(&found, "/layer1/layer1.0/Add").layer.as_deref(),
        Some("/layer1/layer1.0/conv2/Conv + /layer1/layer1.0/Add + /layer1/layer1.0/relu_1/Relu")
    );

    // Real kernels, equal times: all of them find their ops and modules.
    let kernels: Vec<(String, Vec<f64>)> = layers
        .iter()
        .filter(|l| l.kind != "Constant" && !l.name.starts_with("Identity_"))
        .map(|l| (l.name.clone(), vec![1.0, 3.0]))
        .collect();
    let (times, sum) = layer_times(&map, &layers, &found, &kernels);
    assert_eq!(sum.share(), 1.0);
    assert_eq!(sum.total_ms, 2.0 * kernels.len() as f64);
    let module = |name: &str| {
        let t = times.iter().find(|t| t.name == name).unwrap();
        t.module.clone().unwrap()
    };
    assert_eq!(module("/conv1/Conv + /relu/Relu"), "");
    assert_eq!(module("/layer2/layer2.0/conv2/Conv"), "layer2.0.conv2");
    assert_eq!(
        module("/layer1/layer1.1/conv2/Conv + /layer1/layer1.1/Add + /layer1/layer1.1/relu_1/Relu"),
        "layer1.1"
    );
    assert_eq!(module("reshape_after_/fc/Gemm"), "fc");
    assert_eq!(module("/maxpool/MaxPool"), "maxpool");
}

#[test]
fn dialects_of_row_names() {
    let model = resnet18();
    let ops = |names: &[&str]| RowSite::Ops {
        ops: names.iter().map(|n| (*n).to_owned()).collect(),
    };
    let conv = "/layer1/layer1.0/conv1/Conv";
    assert_eq!(row(&model, conv).0, ops(&[conv]));
    assert_eq!(
        row(
            &model,
            "/layer1/layer1.0/conv1/Conv || /layer2/layer2.0/conv1/Conv"
        )
        .0,
        ops(&[conv, "/layer2/layer2.0/conv1/Conv"])
    );
    assert_eq!(
        row(
            &model,
            "PWN(PWN(/layer1/layer1.0/Add), /layer1/layer1.0/relu_1/Relu)"
        )
        .0,
        ops(&["/layer1/layer1.0/Add", "/layer1/layer1.0/relu_1/Relu"])
    );
    let reformat = RowSite::Reformat {
        ops: vec![conv.to_owned()],
    };
    for name in [
        "Reformatting CopyNode for Input Tensor 0 to /layer1/layer1.0/conv1/Conv",
        "Reformatting CopyNode for Output Tensor 0 to /layer1/layer1.0/conv1/Conv",
        "/layer1/layer1.0/conv1/Conv input reformatter 0",
        "/layer1/layer1.0/conv1/Conv_output_0 to nvm",
        "/layer1/layer1.0/conv1/Conv_output_0 from nvm",
        "/layer1/layer1.0/conv1/Conv_output_0 copy finish",
    ] {
        assert_eq!(row(&model, name).0, reformat, "{name}");
    }
    let helper = RowSite::Helper {
        ops: vec!["/fc/Gemm".to_owned()],
    };
    for name in [
        "reshape_after_/fc/Gemm",
        "reshape_before_/fc/Gemm",
        "squeeze_after_/fc/Gemm",
    ] {
        assert_eq!(row(&model, name).0, helper, "{name}");
    }
    for name in [
        "",
        "__myl_Fc_myl0_1",
        "/layer9/conv/Conv",
        "/layer1/layer1.0/conv1/Conv2",
    ] {
        assert_eq!(row(&model, name), (RowSite::Unknown, None), "{name}");
    }
    // A long line of separators costs no more than a look at each.
    let long = "{".repeat(60_000);
    assert_eq!(row(&model, &long).0, RowSite::Unknown);
}

#[test]
fn weights_and_their_clones_belong_to_their_reader() {
    let model = resnet18();
    let (tensor, op) = model
        .ops
        .iter()
        .find_map(|o| Some((model.tensor(*o.weights.get(1)?), &o.name)))
        .unwrap();
    for suffix in ["", "_clone_1"] {
        let (site, _) = row(&model, &format!("{}{suffix}", tensor.name));
        let RowSite::Helper { ops } = site else {
            panic!("{site:?}")
        };
        assert_eq!(ops, [op.to_string()]);
    }
}

fn network(names: &[(&str, &[&str], &[&str])]) -> Vec<NetworkLayer> {
    names
        .iter()
        .map(|(name, inputs, outputs)| NetworkLayer {
            name: (*name).to_owned(),
            inputs: inputs.iter().map(|s| (*s).to_owned()).collect(),
            outputs: outputs.iter().map(|s| (*s).to_owned()).collect(),
            constant: false,
            metadata: String::new(),
        })
        .collect()
}

/// The layers TensorRT 8.5's parser makes of a Gemm.
#[test]
fn unnamed_layers_belong_to_the_op_they_serve() {
    let model = resnet18();
    let gemm = model.find_op("/fc/Gemm").unwrap();
    let out = model.tensor(model.op(gemm).outputs[0]).name.to_string();
    let mut layers = network(&[
        ("/avgpool/GlobalAveragePool", &[], &["pooled"]),
        ("fc.weight", &[], &["w"]),
        ("/fc/Gemm", &["pooled", "w"], &["product"]),
        ("fc.bias", &[], &["b"]),
        ("(Unnamed Layer* 71) [Shuffle]", &["b"], &["row"]),
        (
            "(Unnamed Layer* 72) [ElementWise]",
            &["product", "row"],
            &[&out],
        ),
    ]);
    layers[1].constant = true;
    layers[3].constant = true;
    let map = LayerMap::new(&model, &layers);
    for (i, layer) in layers.iter().enumerate().skip(1) {
        assert_eq!(map.op(i), Some(gemm), "{}", layer.name);
    }
    // Counter and metadata.
    let mut more = network(&[("/fc/Gemm_12", &[], &[]), ("whatever", &[], &[])]);
    more[1].metadata = "[ONNX Layer: /conv1/Conv]\u{1e}[ONNX Layer: /relu/Relu]".into();
    let map = LayerMap::new(&model, &more);
    assert_eq!(map.op(0), Some(gemm));
    assert_eq!(map.op(1), model.find_op("/conv1/Conv"));
}

fn block(name: &str, kind: &str) -> EngineLayer {
    EngineLayer {
        name: name.to_owned(),
        kind: kind.to_owned(),
        ..EngineLayer::default()
    }
}

/// `default GPU, layer1 on DLA`, as TensorRT would report it.
#[test]
fn dla_blocks_are_filled_in() {
    let model = resnet18();
    let placement = Placement::default().with_module("layer1", Device::Dla);
    let requested = devices(&model, &placement);
    let name = "{ForeignNode[/layer1/layer1.0/conv1/Conv.../layer1/layer1.1/relu_1/Relu]}";
    let log = PlacementLog {
        dla: vec![name.to_owned()],
        ..PlacementLog::default()
    };
    let mut layers: Vec<EngineLayer> = engine_layers(RECORDED)
        .into_iter()
        .filter(|l| !l.name.starts_with("/layer1/"))
        .collect();
    layers.insert(0, block(name, "DLA"));
    let map = LayerMap::new(&model, &[]);
    for log in [&log, &PlacementLog::default()] {
        let found = actual(&map, &layers, &requested, log, &[]);
        assert_eq!(found.subgraphs.len(), 1);
        let expected = requested.iter().filter(|d| **d == Device::Dla).count();
        assert_eq!(found.subgraphs[0].1.len(), expected);
        let built = plan(
            &model,
            &Target::default(),
            &EngineConfig::default(),
            &placement,
        )
        .unwrap();
        let comparison = compare(&model, &built, &found);
        assert!(comparison.silent_fallbacks.is_empty(), "{comparison:?}");
        assert!(comparison.contradictions.is_empty(), "{comparison:?}");
    }
    // Time of the block: its own row since 8.6, the next "from nvm" row before.
    let found = actual(&map, &layers, &requested, &log, &[]);
    let rows: Vec<(String, Vec<f64>)> = [
        ("/maxpool/MaxPool_output_0 to nvm", 0.02),
        (name, 0.01),
        ("/layer1/layer1.1/relu_1/Relu_output_0 from nvm", 7.69),
        ("/layer1/layer1.1/relu_1/Relu_output_0 copy finish", 0.03),
        (
            "/layer2/layer2.0/conv1/Conv + /layer2/layer2.0/relu/Relu",
            0.5,
        ),
    ]
    .map(|(n, ms)| (n.to_owned(), vec![ms]))
    .to_vec();
    let (times, sum) = layer_times(&map, &layers, &found, &rows);
    let dla: f64 = times
        .iter()
        .filter(|t| t.device == Device::Dla)
        .map(|t| t.mean_ms)
        .sum();
    assert!((dla - 7.70).abs() < 1e-9);
    assert_eq!(times[2].site, RowSite::Subgraph { subgraph: 0 });
    assert_eq!(times[2].module.as_deref(), Some("layer1"));
    assert!(matches!(times[3].site, RowSite::Reformat { .. }));
    assert_eq!(sum.share(), 1.0);
}

/// The engine of the whole network asked onto the DLA, built silently on the GPU: what TensorRT
/// 8.5.2 did on a machine without DLA.
#[test]
fn silent_fallback_is_loud() {
    let model = resnet18();
    let placement = Placement::all(Device::Dla);
    let requested = devices(&model, &placement);
    let map = LayerMap::new(&model, &[]);
    let layers = engine_layers(RECORDED);
    let found = actual(&map, &layers, &requested, &PlacementLog::default(), &[]);
    let built = plan(
        &model,
        &Target::default(),
        &EngineConfig::default(),
        &placement,
    )
    .unwrap();
    let comparison = compare(&model, &built, &found);
    assert!(
        comparison
            .silent_fallbacks
            .contains(&"/conv1/Conv".to_owned())
    );
    assert!(
        comparison
            .expected_fallbacks
            .contains(&"/fc/Gemm".to_owned())
            || built.predicted[model.find_op("/fc/Gemm").unwrap().index()] == Device::Dla
    );
    assert_eq!(
        comparison.silent_fallbacks.len(),
        comparison
            .contradictions
            .iter()
            .filter(|c| c.predicted == Device::Dla)
            .count()
    );
}

/// A GPU compiler's block looks like a DLA block and is none.
#[test]
fn myelin_blocks_are_on_the_gpu() {
    let model = resnet18();
    let requested = devices(&model, &Placement::default());
    let map = LayerMap::new(&model, &[]);
    let name = "{ForeignNode[/layer4/layer4.0/conv1/Conv.../fc/Gemm]}";
    let layers = [block(name, "Myelin")];
    let found = actual(&map, &layers, &requested, &PlacementLog::default(), &[]);
    assert!(found.subgraphs.is_empty());
    assert_eq!(of(&found, "/layer4/layer4.1/Add").device, Some(Device::Gpu));
    assert_eq!(of(&found, "/conv1/Conv").device, None);
}

#[test]
fn strange_inspector_output_is_no_panic() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "{\"Layers\": 3}",
        "{\"Layers\": [1, null, {}]}",
    ] {
        let layers = engine_layers(text);
        assert!(layers.iter().all(|l| l.name.is_empty()));
    }
    assert_eq!(engine_layers("{\"Layers\": [\"a\", \"b\"]}").len(), 2);
    for cut in (0..RECORDED.len()).step_by(97) {
        if RECORDED.is_char_boundary(cut) {
            assert!(engine_layers(&RECORDED[..cut]).is_empty());
        }
    }
}
