//! Nodes of one name, told apart by order, tensors and kinds of layers.

use dlaplan::engine::reading::PlacementLog;
use dlaplan::engine::reading::{EngineLayer, LayerMap, NetworkLayer, actual, layer_times};
use dlaplan::engine::{Actual, LayerTime, RowSite};
use dlaplan::model::{Activation, Model, OpId, OpKind};
use dlaplan::placement::Device;

use crate::net::Net;

const SHAPE: [u64; 4] = [1, 8, 16, 16];

/// `a.x` runs r (relu), `a.y` runs r_0, `b` runs r_1: nodes of one name and of the kinds given.
fn three(kinds: [OpKind; 3]) -> Model {
    let mut net = Net::new("test");
    let mut last = net.input("input", Some(&SHAPE));
    let sites = [("a.x", "r"), ("a.y", "r_0"), ("b", "r_1")];
    for ((module, name), kind) in sites.into_iter().zip(kinds) {
        last = net.op_in(module, name, kind, &[last], Some(&SHAPE));
    }
    let mut model = net.finish(&[]);
    for op in &mut model.ops {
        op.shared_name = Some("r".into());
    }
    model
}

fn relus() -> Model {
    three([(); 3].map(|()| OpKind::Activation(Activation::Relu)))
}

/// Ops of which TensorRT's parser may make several layers.
fn gemms() -> Model {
    three([(); 3].map(|()| OpKind::MatMul))
}

fn layer(name: &str, kind: &str, outputs: &[&str]) -> EngineLayer {
    EngineLayer {
        name: name.into(),
        kind: kind.into(),
        outputs: outputs.iter().map(|t| (*t).to_owned()).collect(),
        ..EngineLayer::default()
    }
}

fn rows(map: &LayerMap<'_>, layers: &[EngineLayer], names: &[&str]) -> Vec<LayerTime> {
    let rows: Vec<_> = names.iter().map(|n| ((*n).to_owned(), vec![1.0])).collect();
    layer_times(map, layers, &Actual::default(), &rows).0
}

fn sites(model: &Model, layers: &[EngineLayer]) -> Vec<(RowSite, Option<String>)> {
    let map = LayerMap::new(model, &[]).with_engine(layers);
    let names: Vec<&str> = layers.iter().map(|l| &*l.name).collect();
    let times = rows(&map, layers, &names).into_iter();
    times.map(|t| (t.site, t.module)).collect()
}

fn op(name: &str, module: &str) -> (RowSite, Option<String>) {
    let ops = vec![name.to_owned()];
    (RowSite::Ops { ops }, Some(module.to_owned()))
}

fn one_of(names: &[&str], module: &str) -> (RowSite, Option<String>) {
    let ops = names.iter().map(|n| (*n).to_owned()).collect();
    (RowSite::Ambiguous { ops }, Some(module.to_owned()))
}

/// TensorRT's numbers are not the model's: its counter went on between them.
#[test]
fn the_order_tells_where_each_op_is_one_layer() {
    let model = relus();
    let layers = [("r_1"), ("r"), ("r_7")].map(|n| layer(n, "", &[]));
    let expected = [op("r_0", "a.y"), op("r", "a.x"), op("r_1", "b")];
    assert_eq!(sites(&model, &layers), expected);
}

#[test]
fn the_tensor_a_layer_makes_tells_whose_it_is() {
    let layers = [
        layer("r_1", "", &["r_0_out"]),
        layer("r_4", "", &["r_1_out"]),
    ];
    let expected = [op("r_0", "a.y"), op("r_1", "b")];
    for model in [relus(), gemms()] {
        assert_eq!(sites(&model, &layers), expected);
    }
    // Of two fused layers the later one made it.
    let fused = [layer("r + r_5", "", &["r_0_out"])];
    let (site, module) = sites(&relus(), &fused).remove(0);
    let ops = vec!["r".to_owned(), "r_0".to_owned()];
    assert_eq!(site, RowSite::Ops { ops });
    assert_eq!(module.as_deref(), Some("a"));
}

#[test]
fn what_nothing_tells_goes_to_the_module_around() {
    // One of three is missing, so that the numbers may be of any two.
    let layers = ["r", "r_1"].map(|n| layer(n, "", &[]));
    let expected = [op("r", "a.x"), one_of(&["r_0", "r_1"], "")];
    assert_eq!(sites(&relus(), &layers), expected);
    // The second layer may be the first op's.
    let all = one_of(&["r", "r_0", "r_1"], "");
    let expected = [all.clone(), all.clone()];
    assert_eq!(sites(&gemms(), &layers), expected);
    // Up to the op whose tensor is made.
    let layers = [
        layer("r", "", &[]),
        layer("r_1", "", &["r_0_out"]),
        layer("r_2", "", &[]),
    ];
    let (first, last) = (one_of(&["r", "r_0"], "a"), one_of(&["r_0", "r_1"], ""));
    assert_eq!(sites(&gemms(), &layers), [first, op("r_0", "a.y"), last]);
    // The metadata gives the name in the file.
    let mut plain = layer("kernel", "", &[]);
    plain.onnx = vec!["r".into()];
    assert_eq!(sites(&relus(), &[plain]), [all]);
}

#[test]
fn the_kind_of_a_layer_tells() {
    let softmax = OpKind::Softmax {
        axis: 1,
        log: false,
    };
    let model = three([
        OpKind::MatMul,
        softmax,
        OpKind::Activation(Activation::Relu),
    ]);
    let layers = [
        layer("r_3", "CaskSoftMaxV2", &[]),
        layer("r", "CaskConvolution", &[]),
    ];
    assert_eq!(sites(&model, &layers), [op("r_0", "a.y"), op("r", "a.x")]);
}

#[test]
fn layers_of_a_network_are_told_apart() {
    let network = |layers: &[(&str, &str, &str)]| -> Vec<NetworkLayer> {
        layers
            .iter()
            .map(|(name, input, output)| NetworkLayer {
                name: (*name).into(),
                inputs: vec![(*input).into()],
                outputs: vec![(*output).into()],
                ..NetworkLayer::default()
            })
            .collect()
    };
    let model = gemms();
    // The first op makes two layers, so that the name `r_0` is not the second op's.
    let layers = network(&[
        ("r", "input", "product"),
        ("r_0", "product", "r_out"),
        ("r_1", "r_out", "r_0_out"),
        ("r_2", "r_0_out", "r_1_out"),
    ]);
    let map = LayerMap::new(&model, &layers);
    let found: Vec<_> = (0..4).map(|i| map.op(i)).collect();
    assert_eq!(
        found,
        [Some(OpId(0)), Some(OpId(0)), Some(OpId(1)), Some(OpId(2))]
    );
    let names = ["r", "r_0", "r_1", "r_2"];
    let modules: Vec<_> = rows(&map, &[], &names)
        .into_iter()
        .map(|t| t.module.unwrap())
        .collect();
    assert_eq!(modules, ["a.x", "a.x", "a.y", "b"]);
    // Without tensors nothing tells.
    let layers = network(&[("r", "", ""), ("r_0", "", "")]);
    let map = LayerMap::new(&model, &layers);
    assert_eq!(map.op(1), None);
    assert_eq!(map.candidates(1), [OpId(0), OpId(1), OpId(2)]);
}

/// Where an op runs is said only as far as it is known.
#[test]
fn devices_are_not_guessed() {
    let model = relus();
    let layers = ["r", "r_1"].map(|n| layer(n, "", &[]));
    let map = LayerMap::new(&model, &[]).with_engine(&layers);
    let log = PlacementLog::default();
    let found = actual(&map, &layers, &[Device::Gpu; 3], &log, &[]);
    let devices: Vec<_> = found.ops.iter().map(|o| o.device).collect();
    assert_eq!(devices, [Some(Device::Gpu); 3]);
    assert_eq!(found.ops[1].layer, None);
    // One of the two may be inside the block.
    let mut layers = layers.to_vec();
    layers.push(layer("{ForeignNode[r...r]}", "DLA", &[]));
    let found = actual(&map, &layers, &[Device::Dla; 3], &log, &[]);
    assert_eq!(found.ops[1].device, None);
    assert_eq!(found.ops[2].device, None);
}
