//! The reader against small graphs made here, and against hostile bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use super::proto::{
    Attribute, Dimension, Entry, Graph, Node, OperatorSet, Shape, Tensor, TensorFields, TensorType,
    Type, ValueInfo,
};
use super::{LoadError, LoadOptions, bundled, load, load_bundled, load_bytes, proto};
use crate::model::{
    Activation, Dim, Model, ModuleId, OpId, OpKind, ShuffleKind, TensorRole, UNKNOWN_AXIS,
};

fn info(name: &str, dims: &[i64]) -> ValueInfo {
    let dim = |d: &i64| Dimension {
        dim_value: (*d >= 0).then_some(*d),
        dim_param: (*d < 0).then(|| format!("n{}", -d)),
    };
    ValueInfo {
        name: name.into(),
        r#type: Some(Type {
            tensor_type: Some(TensorType {
                elem_type: 1,
                shape: Some(Shape {
                    dim: dims.iter().map(dim).collect(),
                }),
            }),
        }),
    }
}

/// A weight without data: only its dims matter.
fn weight(name: &str, dims: &[i64]) -> Tensor {
    Tensor(TensorFields {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        data_location: Some(1),
        ..TensorFields::default()
    })
}

fn ints(name: &str, values: &[i64]) -> Tensor {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor(TensorFields {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: 7,
        raw_data: raw.into(),
        ..TensorFields::default()
    })
}

fn floats(name: &str, values: &[f32]) -> Tensor {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor(TensorFields {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: 1,
        raw_data: raw.into(),
        ..TensorFields::default()
    })
}

fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Node {
    Node {
        op_type: op.into(),
        name: name.into(),
        input: inputs.iter().map(|s| (*s).to_owned()).collect(),
        output: outputs.iter().map(|s| (*s).to_owned()).collect(),
        ..Node::default()
    }
}

impl Node {
    fn attr(mut self, attribute: Attribute) -> Self {
        self.attribute.push(attribute);
        self
    }

    fn int(self, name: &str, i: i64) -> Self {
        self.attr(Attribute {
            name: name.into(),
            i: Some(i),
            ..Attribute::default()
        })
    }

    fn float(self, name: &str, f: f32) -> Self {
        self.attr(Attribute {
            name: name.into(),
            f: Some(f),
            ..Attribute::default()
        })
    }

    fn text(self, name: &str, text: &'static str) -> Self {
        self.attr(Attribute {
            name: name.into(),
            s: Some(Bytes::from_static(text.as_bytes())),
            ..Attribute::default()
        })
    }

    fn list(self, name: &str, ints: &[i64]) -> Self {
        self.attr(Attribute {
            name: name.into(),
            ints: ints.to_vec(),
            ..Attribute::default()
        })
    }

    fn body(self, name: &str, graph: Graph) -> Self {
        self.attr(Attribute {
            name: name.into(),
            g: Some(Box::new(graph)),
            ..Attribute::default()
        })
    }
}

fn file(graph: Graph, opset: i64) -> proto::Model {
    proto::Model {
        ir_version: 8,
        producer_name: "test".into(),
        graph: Some(graph),
        opset_import: vec![OperatorSet {
            domain: String::new(),
            version: opset,
        }],
        ..proto::Model::default()
    }
}

fn read_with(file: &proto::Model, options: &LoadOptions) -> Result<Model, LoadError> {
    load_bytes("test.onnx", &Bytes::from(file.encode_to_vec()), options)
}

fn read(graph: Graph, opset: i64) -> Result<Model, LoadError> {
    read_with(&file(graph, opset), &LoadOptions::default())
}

/// x [1, 3, 8, 8] through the nodes to y.
fn graph(nodes: Vec<Node>, weights: Vec<Tensor>) -> Graph {
    Graph {
        node: nodes,
        initializer: weights,
        input: vec![info("x", &[1, 3, 8, 8])],
        output: vec![ValueInfo {
            name: "y".into(),
            ..ValueInfo::default()
        }],
        ..Graph::default()
    }
}

/// The one op of a graph.
fn only(node: Node, weights: Vec<Tensor>, opset: i64) -> OpKind {
    let model = read(graph(vec![node], weights), opset).unwrap();
    assert_eq!(model.ops.len(), 1);
    model.ops[0].kind.clone()
}

fn shape_of(model: &Model, tensor: &str) -> Option<Vec<u64>> {
    let found = model.tensors.iter().find(|t| &*t.name == tensor);
    found.unwrap().shape.clone()
}

fn message(result: Result<Model, LoadError>) -> String {
    result.unwrap_err().to_string()
}

/// What every loaded model must satisfy.
fn check_invariants(model: &Model) {
    for id in model.op_ids() {
        let op = model.op(id);
        for t in &op.inputs {
            assert_ne!(model.tensor(*t).role, TensorRole::Weight);
            assert!(model.tensor(*t).consumers.contains(&id));
            assert!(model.tensor(*t).producer.is_none_or(|p| p < id));
        }
        for t in &op.weights {
            assert_eq!(model.tensor(*t).role, TensorRole::Weight);
        }
        for t in &op.outputs {
            assert_eq!(model.tensor(*t).producer, Some(id));
        }
        assert!(model.modules.get(op.module).ops.contains(&id));
        assert_eq!(model.find_op(&op.name), Some(id));
    }
    for id in &model.outputs {
        assert!(model.tensor(*id).is_output);
    }
    for input in &model.inputs {
        assert_eq!(model.tensor(input.tensor).role, TensorRole::Input);
    }
    let ops: Vec<OpId> = model.modules.subtree_ops(ModuleId::ROOT);
    assert!(ops.into_iter().eq(model.op_ids()));
    assert!(!model.ops.is_empty());
}

// ---- what is read ----

#[test]
fn bundled_models_load_whole() {
    for demo in bundled() {
        let model = load_bundled(demo.name).unwrap();
        check_invariants(&model);
        assert!(model.source.structure_only, "{}", demo.name);
        assert!(model.notes.is_empty(), "{}: {:?}", demo.name, model.notes);
        assert!(model.ops.iter().all(|o| o.cost.is_some()), "{}", demo.name);
        assert!(model.modules.root().class.is_some(), "{}", demo.name);
    }
    // torchvision documents 1.81 GFLOPS (multiply-accumulates) for ResNet-18.
    let resnet = load_bundled("resnet18").unwrap();
    assert_eq!(resnet.total_macs(), Some(1_814_073_344));
    assert_eq!(resnet.batch(), Some(1));
    let bn = resnet.modules.find("layer1.0.bn1").unwrap();
    assert_eq!(resnet.modules.get(bn).subtree_ops, 0);
    assert!(message(load_bundled("nothing")).contains("resnet18"));
}

#[test]
fn shape_arithmetic_folds_into_its_consumer() {
    let nodes = vec![
        node("Shape", "shape", &["x"], &["s"]),
        node("Gather", "batch", &["s", "zero"], &["n"]),
        node("Unsqueeze", "list", &["n", "zero"], &["n1"]),
        node("Concat", "target", &["n1", "rest"], &["t"]).int("axis", 0),
        node("Identity", "same", &["x"], &["x2"]),
        node("Reshape", "reshape", &["x2", "t"], &["y"]),
    ];
    let mut zero = ints("zero", &[0]);
    zero.0.dims = vec![1];
    let model = read(graph(nodes, vec![zero, ints("rest", &[-1])]), 13);
    // Gather with a one-element list keeps a dim, so Unsqueeze makes [1, 1]: not a valid shape.
    assert!(model.unwrap().ops[0].cost.is_none());

    let nodes = vec![
        node("Shape", "shape", &["x"], &["s"]),
        node("Gather", "batch", &["s", "zero"], &["n"]),
        node("Concat", "target", &["n", "rest"], &["t"]).int("axis", 0),
        node("Identity", "same", &["x"], &["x2"]),
        node("Reshape", "reshape", &["x2", "t"], &["y"]),
    ];
    let model = read(
        graph(nodes, vec![ints("zero", &[0]), ints("rest", &[-1])]),
        13,
    )
    .unwrap();
    check_invariants(&model);
    assert_eq!(model.ops.len(), 1);
    assert_eq!(model.ops[0].kind, OpKind::Shuffle(ShuffleKind::Reshape));
    let folded: Vec<&str> = model.ops[0].folded.iter().map(|n| &**n).collect();
    assert_eq!(folded, ["shape", "batch", "target", "same"]);
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 192]);
    assert_eq!(&*model.tensor(model.ops[0].inputs[0]).name, "x");
}

/// As exporters write weights of equal value.
#[test]
fn an_identity_that_hands_a_weight_on_is_counted() {
    let nodes = vec![
        node("Identity", "again", &["w"], &["w2"]),
        node("Identity", "same", &["x"], &["x2"]),
        node("Identity", "shape", &["s"], &["s2"]),
        node("Conv", "first", &["x2", "w"], &["a"]),
        node("Conv", "second", &["a", "w2"], &["b"]),
        node("Reshape", "flat", &["b", "s2"], &["y"]),
    ];
    let weights = vec![weight("w", &[3, 3, 1, 1]), ints("s", &[1, -1])];
    let model = read(graph(nodes, weights), 13).unwrap();
    check_invariants(&model);
    let copies: Vec<(&str, u32)> = model
        .ops
        .iter()
        .map(|o| (&*o.name, o.weight_copies))
        .collect();
    assert_eq!(copies, [("first", 0), ("second", 1), ("flat", 0)]);
}

#[test]
fn an_identity_that_makes_an_output_stays() {
    let nodes = vec![
        node("Relu", "relu", &["x"], &["a"]),
        node("Dropout", "drop", &["a"], &["b"]),
        node("Identity", "out", &["b"], &["y"]),
    ];
    let model = read(graph(nodes, vec![]), 13).unwrap();
    check_invariants(&model);
    let types: Vec<&str> = model.ops.iter().map(|o| &*o.op_type).collect();
    assert_eq!(types, ["Relu", "Identity"]);
    assert_eq!(model.ops[1].kind, OpKind::Identity);
    assert_eq!(&*model.ops[1].folded[0], "drop");
}

#[test]
fn attributes_and_inputs_read_alike() {
    let clip = OpKind::Activation(Activation::Clip {
        min: Some(0.0),
        max: Some(6.0),
    });
    let old = node("Clip", "c", &["x"], &["y"])
        .float("min", 0.0)
        .float("max", 6.0);
    assert_eq!(only(old, vec![], 6), clip);
    let new = node("Clip", "c", &["x", "lo", "hi"], &["y"]);
    assert_eq!(
        only(new, vec![floats("lo", &[0.0]), floats("hi", &[6.0])], 13),
        clip
    );
    let open = node("Clip", "c", &["x", "", "hi"], &["y"]);
    assert_eq!(
        only(open, vec![floats("hi", &[6.0])], 13),
        OpKind::Activation(Activation::Clip {
            min: None,
            max: Some(6.0)
        })
    );

    let slice = OpKind::Slice {
        axes: vec![3],
        steps: vec![1],
        static_params: true,
    };
    let old = node("Slice", "s", &["x"], &["y"])
        .list("starts", &[2])
        .list("ends", &[100])
        .list("axes", &[3]);
    assert_eq!(only(old, vec![], 9), slice);
    let new = node("Slice", "s", &["x", "b", "e", "a"], &["y"]);
    let weights = vec![ints("b", &[2]), ints("e", &[100]), ints("a", &[-1])];
    assert_eq!(only(new.clone(), weights.clone(), 13), slice);
    let model = read(graph(vec![new], weights), 13).unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 3, 8, 6]);

    for (op, weights) in [
        (
            node("Squeeze", "s", &["x"], &["y"]).list("axes", &[0]),
            vec![],
        ),
        (
            node("Squeeze", "s", &["x", "a"], &["y"]),
            vec![ints("a", &[0])],
        ),
    ] {
        let model = read(graph(vec![op], weights), 13).unwrap();
        assert_eq!(shape_of(&model, "y").unwrap(), [3, 8, 8]);
    }
    let up = node("Upsample", "u", &["x", "scales"], &["y"]);
    let model = read(
        graph(vec![up], vec![floats("scales", &[1.0, 1.0, 2.0, 2.0])]),
        9,
    )
    .unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 3, 16, 16]);
    let OpKind::Resize(resize) = &model.ops[0].kind else {
        panic!()
    };
    assert_eq!(resize.scales, [1.0, 1.0, 2.0, 2.0]);
    assert!(!resize.by_size);
}

#[test]
fn convolutions_count_their_work() {
    let conv = node("Conv", "c", &["x", "w", "b"], &["y"])
        .list("pads", &[1, 1, 1, 1])
        .list("strides", &[2, 2])
        .list("kernel_shape", &[3, 3]);
    let weights = vec![weight("w", &[4, 3, 3, 3]), weight("b", &[4])];
    let model = read(graph(vec![conv], weights), 13).unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 4, 4, 4]);
    let cost = model.ops[0].cost.unwrap();
    assert_eq!(cost.macs, 4 * 4 * 4 * 3 * 9);
    assert_eq!(
        (cost.in_elems, cost.out_elems, cost.weight_elems),
        (192, 64, 112)
    );

    let same = node("Conv", "c", &["x", "w"], &["y"])
        .attr(Attribute {
            name: "auto_pad".into(),
            s: Some(Bytes::from_static(b"SAME_UPPER")),
            ..Attribute::default()
        })
        .list("strides", &[2, 2]);
    let OpKind::Conv(c) = only(same, vec![weight("w", &[4, 3, 3, 3])], 13) else {
        panic!()
    };
    assert_eq!(c.pads, [0, 0, 1, 1]);

    let deconv = node("ConvTranspose", "d", &["x", "w"], &["y"]).list("strides", &[2, 2]);
    let model = read(graph(vec![deconv], vec![weight("w", &[3, 5, 2, 2])]), 13).unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 5, 16, 16]);
    assert_eq!(model.ops[0].cost.unwrap().macs, 192 * 5 * 4);
}

#[test]
fn symbolic_inputs_wait_for_dims() {
    let mut g = graph(
        vec![node("Softmax", "s", &["x"], &["y"]).int("axis", -1)],
        vec![],
    );
    g.input = vec![info("x", &[-1, 3, 8, 8])];
    let f = file(g, 13);
    let model = read_with(&f, &LoadOptions::default()).unwrap();
    assert_eq!(shape_of(&model, "x"), None);
    assert_eq!(model.inputs[0].declared[0], Dim::Symbolic("n1".into()));
    assert_eq!(model.unresolved_inputs().count(), 1);
    assert!(
        model.notes[0].text.contains("n1x3x8x8"),
        "{:?}",
        model.notes
    );
    assert_eq!(
        model.ops[0].kind,
        OpKind::Softmax {
            axis: 3,
            log: false
        }
    );
    let with = |name: &str, dims: &[u64]| {
        let inputs = BTreeMap::from([(name.to_owned(), dims.to_vec())]);
        read_with(&f, &LoadOptions { inputs })
    };
    let model = with("x", &[2, 3, 8, 8]).unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [2, 3, 8, 8]);
    assert!(message(with("x", &[3, 8, 8])).contains("4 dims"));
    assert!(message(with("x", &[0, 3, 8, 8])).contains("at least 1"));
    assert!(message(with("x", &[1 << 60, 3, 8, 8])).contains("2^40"));
    assert!(message(with("z", &[1])).contains("`x`"));
    // Other fixed dims: the file's own shapes no longer hold.
    let mut stale = f.clone();
    stale.graph.as_mut().unwrap().value_info = vec![info("y", &[1, 3, 8, 8])];
    let inputs = BTreeMap::from([("x".to_owned(), vec![1, 3, 4, 4])]);
    let model = read_with(&stale, &LoadOptions { inputs }).unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 3, 4, 4]);
    assert!(model.notes.is_empty());
}

#[test]
fn value_info_fills_gaps_and_contradictions_are_told() {
    let custom = Node {
        domain: "my.ops".into(),
        ..node("Magic", "m", &["x"], &["a"])
    };
    let mut g = graph(vec![custom, node("Softmax", "s", &["a"], &["y"])], vec![]);
    let model = read(g.clone(), 13).unwrap();
    assert_eq!(shape_of(&model, "y"), None);
    assert_eq!(model.ops[0].kind, OpKind::Other);
    assert!(matches!(
        model.ops[1].kind,
        OpKind::Softmax {
            axis: UNKNOWN_AXIS,
            ..
        }
    ));
    assert!(model.notes[0].text.contains('a'));
    g.value_info = vec![info("a", &[1, 7])];
    assert_eq!(shape_of(&read(g, 13).unwrap(), "y").unwrap(), [1, 7]);

    let mut g = graph(vec![node("Relu", "r", &["x"], &["y"])], vec![]);
    g.output = vec![info("y", &[9, 9])];
    let model = read(g, 13).unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 3, 8, 8]);
    assert!(model.notes[0].text.contains("contradict"));
}

#[test]
fn names_are_unique_as_tensorrt_makes_them() {
    let nodes = vec![
        node("Relu", "", &["x"], &["a"]),
        node("Relu", "r", &["a"], &["b"]),
        node("Relu", "r", &["b"], &["c"]),
        node("Relu", "r", &["c"], &["y"]),
    ];
    let model = read(graph(nodes, vec![]), 13).unwrap();
    let names: Vec<&str> = model.ops.iter().map(|o| &*o.name).collect();
    assert_eq!(names, ["node_of_a", "r", "r_0", "r_1"]);
    let shared = model.ops.iter().map(|o| o.shared_name.as_deref());
    let shared: Vec<Option<&str>> = shared.collect();
    assert_eq!(shared, [None, Some("r"), Some("r"), Some("r")]);
    assert!(model.notes[0].text.contains("2 nodes"));
}

#[test]
fn bodies_count_as_readers() {
    let body = Graph {
        node: vec![node("Relu", "inner", &["x"], &["z"])],
        output: vec![info("z", &[1, 3, 8, 8])],
        ..Graph::default()
    };
    let branch = node("If", "if", &["c"], &["y"])
        .body("then_branch", body.clone())
        .body("else_branch", body);
    // With a value the branch is known.
    let model = read(graph(vec![branch.clone()], vec![ints("c", &[1])]), 13).unwrap();
    check_invariants(&model);
    assert_eq!(&*model.ops[0].name, "inner");
    let model = read(graph(vec![branch], vec![weight("c", &[1])]), 13).unwrap();
    check_invariants(&model);
    assert_eq!(model.ops[0].kind, OpKind::ControlFlow);
    assert_eq!(model.ops[0].cost, None);
    assert_eq!(&*model.tensor(model.ops[0].inputs[0]).name, "x");
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 3, 8, 8]);
}

#[test]
fn dynamo_metadata_and_the_fused_batch_norm() {
    let entry = |key: &str, value: &str| Entry {
        key: key.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    let mut conv = node("Conv", "node_conv2d", &["x", "layer1.conv1.weight"], &["a"]);
    conv.metadata_props = vec![
        entry(
            "pkg.torch.onnx.name_scopes",
            "['', 'layer1', 'layer1.bn1', 'conv2d']",
        ),
        entry(
            "pkg.torch.onnx.class_hierarchy",
            "['m.Net', 'torch.nn.Sequential', 'torch.nn.BatchNorm2d', 'aten.conv2d.default']",
        ),
    ];
    let mut relu = node("Relu", "node_relu", &["a"], &["y"]);
    relu.metadata_props = vec![entry(
        "pkg.torch.onnx.name_scopes",
        "['', 'blocks.0', 'blocks.0.relu@1', 'relu_1']",
    )];
    let g = graph(
        vec![conv, relu],
        vec![weight("layer1.conv1.weight", &[4, 3, 1, 1])],
    );
    let model = read(g, 18).unwrap();
    let path = |i: usize| &*model.modules.get(model.ops[i].module).path;
    assert_eq!((path(0), path(1)), ("layer1.conv1", "blocks.0.relu"));
    let module = |p: &str| model.modules.get(model.modules.find(p).unwrap());
    assert_eq!(module("layer1.bn1").class.as_deref(), Some("BatchNorm2d"));
    assert_eq!(module("layer1.bn1").subtree_ops, 0);
    assert!(module("blocks").never_called);
    assert!(!module("layer1").never_called && !module("layer1.conv1").never_called);
}

#[test]
fn unsorted_files_are_sorted() {
    let nodes = vec![
        node("Relu", "second", &["a"], &["y"]),
        node("Relu", "first", &["x"], &["a"]),
    ];
    let model = read(graph(nodes, vec![]), 13).unwrap();
    check_invariants(&model);
    assert_eq!(&*model.ops[0].name, "first");
    assert!(model.notes[0].text.contains("order"));
}

// ---- what is refused ----

#[test]
fn other_files_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, data: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's own files need not be atomic"
        )]
        std::fs::write(&path, data).unwrap();
        path
    };
    let options = LoadOptions::default();
    for (name, data, says) in [
        ("a.onnx", &b"hello\nworld"[..], "text file"),
        ("b.onnx", b"", "empty"),
        ("c.onnx", b"\x89PNG\r\n\x1a\n", "PNG"),
        ("d.onnx", b"PK\x03\x04rest", "zip archive"),
        (
            "e.onnx",
            b"PK\x03\x04....archive/data.pkl",
            "torch.onnx.export",
        ),
        ("f.onnx", b"\x80\x02}q\x00", "pickle"),
        ("g.pt", b"", "scripts/dlaplan_export.py"),
        ("h.PTH", b"", "torch.onnx.export"),
        ("h.pt2", b"", "torch.export.load"),
        (
            "i.onnx",
            b"version https://git-lfs.github.com/spec/v1",
            "git lfs pull",
        ),
        ("j.onnx", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        ("k.onnx", &[0xff; 40], "not an ONNX"),
        ("l.onnx", &[0x08, 0x07], "no ONNX graph"),
    ] {
        let path = put(name, data);
        let text = message(load(&path, &options));
        assert!(text.contains(says), "{name}: {text}");
        assert!(text.starts_with(&path.display().to_string()), "{text}");
    }
    assert!(message(load(dir.path(), &options)).contains("folder"));
    assert!(message(load(Path::new("/nowhere.onnx"), &options)).contains("Check the path"));
}

#[test]
fn a_pipe_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("model.onnx");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(message(load(&pipe, &LoadOptions::default())).contains("pipe"));
}

#[test]
fn external_data_is_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    // Opening a pipe without a writer would wait for ever.
    let pipe = dir.path().join("weights.bin");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let external = |key: &str, value: &str| {
        // Field 13 (external_data) is not decoded at all, so it is written by hand.
        let entry = Entry {
            key: key.into(),
            value: Bytes::copy_from_slice(value.as_bytes()),
        };
        let mut bytes = vec![13 << 3 | 2];
        prost::encoding::encode_varint(entry.encoded_len() as u64, &mut bytes);
        bytes.extend(entry.encode_to_vec());
        bytes
    };
    let mut tensor = weight("w", &[4, 3, 3, 3]).encode_to_vec();
    tensor.extend(external("location", "weights.bin"));
    let conv = node("Conv", "c", &["x", "w"], &["y"]);
    let mut graph = graph(vec![conv], vec![]).encode_to_vec();
    graph.push(5 << 3 | 2);
    prost::encoding::encode_varint(tensor.len() as u64, &mut graph);
    graph.extend(tensor);
    let mut bytes = file(Graph::default(), 13);
    bytes.graph = None;
    let mut bytes = bytes.encode_to_vec();
    bytes.push(7 << 3 | 2);
    prost::encoding::encode_varint(graph.len() as u64, &mut bytes);
    bytes.extend(graph);
    let path = dir.path().join("model.onnx");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own files need not be atomic"
    )]
    std::fs::write(&path, bytes).unwrap();
    let model = load(&path, &LoadOptions::default()).unwrap();
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 4, 6, 6]);
}

#[test]
fn broken_graphs_name_the_place() {
    let relu = |name: &str, i: &str, o: &str| node("Relu", name, &[i], &[o]);
    let text = message(read(graph(vec![relu("r", "q", "y")], vec![]), 13));
    assert!(text.contains("node `r` reads tensor `q`"), "{text}");
    let text = message(read(graph(vec![relu("r", "x", "z")], vec![]), 13));
    assert!(text.contains("reads tensor `y`"), "{text}");
    let add = node("Add", "add", &["x", "b"], &["a"]);
    let cycle = vec![relu("after", "b", "y"), add, relu("back", "a", "b")];
    let text = message(read(graph(cycle, vec![]), 13));
    assert!(text.contains("cycle") && !text.contains("after"), "{text}");
    let text = message(read(graph(vec![relu("me", "y", "y")], vec![]), 13));
    assert!(text.contains("`me`") && text.contains("cycle"), "{text}");
    let twice = vec![relu("one", "x", "y"), relu("two", "x", "y")];
    let text = message(read(graph(twice, vec![]), 13));
    assert!(text.contains("by `one` and by `two`"), "{text}");
    let text = message(read(graph(vec![relu("r", "x", "x")], vec![]), 13));
    assert!(text.contains("`x` is made twice"), "{text}");
    let text = message(read(
        graph(vec![relu("r", "x", "y")], vec![weight("w", &[-4])]),
        13,
    ));
    assert!(text.contains("`w`") && text.contains("-4"), "{text}");
    let huge = weight("w", &[i64::MAX, i64::MAX]);
    assert!(message(read(graph(vec![relu("r", "x", "y")], vec![huge]), 13)).contains("too large"));
    let text = message(read(graph(vec![], vec![ints("y", &[1])]), 13));
    assert!(text.contains("no operation"), "{text}");
    let mut g = graph(vec![relu("r", "x", "y")], vec![]);
    g.input = vec![info("x", &[i64::MAX, i64::MAX, 1, 1])];
    assert!(message(read(g, 13)).contains("2^40"));
}

#[test]
fn absurd_attributes_name_the_node() {
    let bad = |node: Node, weights: Vec<Tensor>| message(read(graph(vec![node], weights), 13));
    let text = bad(
        node("LeakyRelu", "l", &["x"], &["y"]).float("alpha", f32::NAN),
        vec![],
    );
    assert!(
        text.contains("node `l` (`LeakyRelu`): alpha is not a number"),
        "{text}"
    );
    let w = || vec![weight("w", &[4, 3, 3, 3])];
    let conv = || node("Conv", "c", &["x", "w"], &["y"]);
    assert!(bad(conv().int("group", 0), w()).contains("group is 0"));
    assert!(bad(conv().list("strides", &[0, 1]), w()).contains("strides is [0, 1]"));
    assert!(bad(conv().list("pads", &[-1, 0, 0, 0]), w()).contains("pads"));
    assert!(bad(conv().list("dilations", &[1]), w()).contains("different lengths"));
    assert!(bad(conv().list("strides", &[i64::MAX, i64::MAX]), w()).contains("absurd"));
    let pool = node("MaxPool", "p", &["x"], &["y"]).list("kernel_shape", &[]);
    assert!(bad(pool, vec![]).contains("kernel_shape is missing"));
    // Legal, only impossible: nothing is known of the result.
    let model = read(graph(vec![conv().list("dilations", &[100, 100])], w()), 13);
    assert_eq!(model.unwrap().ops[0].cost, None);
}

#[test]
fn ops_that_contradict_their_weights_are_refused() {
    let bad = |node: Node, weights: Vec<Tensor>| message(read(graph(vec![node], weights), 13));
    let good = |node: Node, weights: Vec<Tensor>| read(graph(vec![node], weights), 13).unwrap();
    let conv = || node("Conv", "c", &["x", "w"], &["y"]);
    let text = bad(conv(), vec![weight("w", &[4, 5, 3, 3])]);
    for part in [
        "test.onnx",
        "node `c` (`Conv`)",
        "`x` is 1x3x8x8",
        "`w` is 4x5x3x3",
        "3 channels, the weight takes 5",
        "export the model again",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let text = bad(conv().int("group", 3), vec![weight("w", &[6, 3, 3, 3])]);
    assert!(text.contains("9 (3 groups of 3)"), "{text}");
    good(conv().int("group", 3), vec![weight("w", &[6, 1, 3, 3])]);
    let text = bad(conv(), vec![weight("w", &[4, 3, 3])]);
    assert!(text.contains("4 dims, the weight 3"), "{text}");
    let biased = node("Conv", "c", &["x", "w", "b"], &["y"]);
    let text = bad(biased, vec![weight("w", &[4, 3, 3, 3]), weight("b", &[5])]);
    assert!(text.contains("the bias has 5"), "{text}");
    let deconv = || node("ConvTranspose", "d", &["x", "w"], &["y"]);
    assert!(bad(deconv(), vec![weight("w", &[4, 3, 2, 2])]).contains("the weight takes 4"));
    good(deconv(), vec![weight("w", &[3, 4, 2, 2])]);
    let norm = |scale: i64| {
        let node = node(
            "BatchNormalization",
            "n",
            &["x", "s", "b", "m", "v"],
            &["y"],
        );
        let names = ["b", "m", "v"].iter();
        let mut weights: Vec<Tensor> = names.map(|n| weight(n, &[3])).collect();
        weights.push(weight("s", &[scale]));
        (node, weights)
    };
    let (n, w) = norm(4);
    assert!(bad(n, w).contains("the parameter 4"));
    let (n, w) = norm(3);
    good(n, w);

    let product = |op: &str, trans: i64, dims: &[i64]| {
        let nodes = vec![
            node("Flatten", "f", &["x"], &["a"]),
            node(op, "p", &["a", "w"], &["y"]).int("transB", trans),
        ];
        read(graph(nodes, vec![weight("w", dims)]), 13)
    };
    assert!(message(product("Gemm", 0, &[10, 192])).contains("192 columns, the second 10 rows"));
    product("Gemm", 1, &[10, 192]).unwrap();
    assert!(message(product("MatMul", 0, &[2, 100, 10])).contains("192 columns"));
    assert!(message(product("MatMul", 0, &[100])).contains("192 columns"));
    for dims in [&[192][..], &[192, 10], &[2, 192, 10]] {
        product("MatMul", 0, dims).unwrap();
    }
}

#[test]
fn inputs_that_contradict_each_other_are_refused() {
    let opset = |op: i64, node: Node, weights: Vec<Tensor>| {
        let mut g = graph(vec![node], weights);
        g.input = vec![info("x", &[2, 3, 8, 6])];
        read(g, op)
    };
    let bad = |node: Node, weights: Vec<Tensor>, part: &str| {
        let op = node.op_type.clone();
        let text = message(opset(13, node, weights));
        assert!(
            text.contains("test.onnx") && text.contains("node `n`"),
            "{op}: {text}"
        );
        assert!(
            text.contains("`x` is 2x3x8x6") || text.contains("`w` is"),
            "{op}: {text}"
        );
        assert!(text.contains(part), "{op}: {text}");
        assert!(text.contains("export the model again"), "{op}: {text}");
    };
    let good = |node: Node, weights: Vec<Tensor>| {
        let op = node.op_type.clone();
        opset(13, node, weights).unwrap_or_else(|e| panic!("{op}: {e}"));
    };
    let two = |op: &str| node(op, "n", &["x", "w"], &["y"]);
    let w = |dims: &[i64]| vec![weight("w", dims)];

    for op in [
        "Add", "Sub", "Mul", "Div", "Pow", "Equal", "Less", "Max", "Sum", "Mean",
    ] {
        let dim = "dim -2 is 8 in the one and 7 in the other";
        bad(two(op), w(&[7, 6]), dim);
        bad(two(op), w(&[2, 3, 7, 1]), dim);
        for dims in [
            &[][..],
            &[1],
            &[6],
            &[8, 1],
            &[2, 1, 1, 6],
            &[5, 2, 3, 8, 6],
        ] {
            good(two(op), w(dims));
        }
    }
    let three = node("Max", "n", &["x", "v", "w"], &["y"]);
    let more = || weight("v", &[8, 1]);
    bad(
        three.clone(),
        vec![more(), weight("w", &[4, 6])],
        "dim -2 is 8 in the one and 4",
    );
    good(three, vec![more(), weight("w", &[3, 1, 1])]);
    let pick = node("Where", "n", &["c", "x", "w"], &["y"]);
    let condition = || weight("c", &[8, 6]);
    bad(
        pick.clone(),
        vec![condition(), weight("w", &[9])],
        "dim -1 is 6 in the one and 9",
    );
    good(pick, vec![condition(), weight("w", &[1])]);

    let join = |at: i64| two("Concat").int("axis", at);
    bad(
        join(1),
        w(&[2, 5, 8, 7]),
        "agree in dim 3, which is 6 in the one and 7",
    );
    bad(
        join(-1),
        w(&[2, 4, 8, 7]),
        "agree in dim 1, which is 3 in the one and 4",
    );
    bad(join(1), w(&[2, 3, 8]), "the one has 4 dims, the other 3");
    good(join(1), w(&[2, 5, 8, 6]));
    good(join(-1), w(&[2, 3, 8, 1]));

    // The product's batch dims, and the bias of a Gemm.
    bad(
        two("MatMul"),
        w(&[2, 5, 6, 4]),
        "dim -3 is 3 in the one and 5",
    );
    for dims in [
        &[6][..],
        &[6, 4],
        &[3, 6, 4],
        &[2, 1, 6, 4],
        &[7, 1, 1, 6, 4],
    ] {
        good(two("MatMul"), w(dims));
    }
    let gemm = |bias: &[i64]| {
        let nodes = vec![
            node("Flatten", "f", &["x"], &["a"]),
            node("Gemm", "n", &["a", "w", "b"], &["y"]),
        ];
        read(
            graph(nodes, vec![weight("w", &[192, 10]), weight("b", bias)]),
            13,
        )
    };
    assert!(message(gemm(&[9])).contains("dim -1 is 10 in the one and 9"));
    assert!(message(gemm(&[1, 1, 10])).contains("the second has 3 dims"));
    for bias in [&[][..], &[1], &[10], &[1, 10], &[1, 1]] {
        gemm(bias).unwrap();
    }

    let conv = two("Conv").int("group", 3);
    bad(
        conv.clone(),
        w(&[4, 1, 3, 3]),
        "3 groups cannot share the 4 channels",
    );
    good(conv, w(&[6, 1, 3, 3]));
    let biased = node("ConvTranspose", "n", &["x", "w", "b"], &["y"]).int("group", 3);
    let bias = |n: i64| vec![weight("w", &[3, 2, 2, 2]), weight("b", &[n])];
    bad(biased.clone(), bias(2), "makes 6 channels, the bias has 2");
    good(biased, bias(6));
    let norm = |op: &str| node(op, "n", &["x", "s", "w"], &["y"]);
    let params = |n: i64| vec![weight("s", &[n]), weight("w", &[n])];
    bad_first(
        &message(opset(13, norm("InstanceNormalization"), params(4))),
        "the parameter 4",
    );
    good(norm("InstanceNormalization"), params(3));
    bad_first(
        &message(opset(17, norm("LayerNormalization"), params(8))),
        "dim -1 is 6",
    );
    good(norm("LayerNormalization"), params(6));
    bad(two("PRelu"), w(&[4, 1, 1]), "dim -3 is 3 in the one and 4");
    for dims in [&[1][..], &[3], &[6], &[3, 1, 1], &[1, 3, 1, 1]] {
        good(two("PRelu"), w(dims));
    }
    let sum = two("Einsum").text("equation", "nchw, wk -> nchk");
    bad(sum.clone(), w(&[5, 4]), "w is 6 in the one and 5");
    good(sum, w(&[6, 4]));
    let expand = node("Expand", "n", &["x", "size"], &["y"]);
    let size = |dims: &[i64]| vec![ints("size", dims)];
    bad_first(
        &message(opset(13, expand.clone(), size(&[4, 8, 6]))),
        "asks for 4 where dim -3",
    );
    good(expand, size(&[5, 2, 1, 8, 6]));

    // Before opset 7 the second operand's place is an attribute.
    let old = |at: i64| two("Add").int("broadcast", 1).int("axis", at);
    opset(6, old(1), w(&[3])).unwrap();
    opset(6, old(1), w(&[3, 8])).unwrap();
    assert!(message(opset(6, old(1), w(&[4]))).contains("is 3 in the one and 4"));
    opset(6, two("Add").int("broadcast", 1), w(&[8, 6])).unwrap();
}

fn bad_first(text: &str, part: &str) {
    assert!(
        text.contains("`x` is 2x3x8x6") && text.contains(part),
        "{text}"
    );
}

#[test]
fn unknown_dims_agree_with_everything() {
    let load = |node: Node, other: &[i64]| {
        let mut g = graph(vec![node], vec![]);
        g.input = vec![info("x", &[-1, 3, -1, -2]), info("w", other)];
        read_with(&file(g, 13), &LoadOptions::default())
    };
    let two = |op: &str| node(op, "n", &["x", "w"], &["y"]);
    for other in [&[7, 3, 5, 5][..], &[-1, -1, 9, 9], &[-1, 1, -1, -1], &[]] {
        load(two("Add"), other).unwrap();
    }
    load(two("Concat").int("axis", 1), &[7, 9, 5, 5]).unwrap();
    load(two("MatMul"), &[-1, 4]).unwrap();
    // A known size contradicts a known one all the same.
    let text = message(load(two("Add"), &[-1, 4, -1, -1]));
    assert!(text.contains("`x` is ?x3x?x?"), "{text}");
    let text = message(load(two("Concat").int("axis", 0), &[-1, 4, 5, 5]));
    assert!(text.contains("agree in dim 1"), "{text}");
}

#[test]
fn what_runtimes_take_is_not_refused() {
    // A zero point of one element, which is no bias.
    let conv = node("ConvInteger", "c", &["x", "w", "zero"], &["y"]);
    let weights = vec![weight("w", &[4, 3, 3, 3]), weight("zero", &[1])];
    let mut g = graph(vec![conv], weights);
    g.input = vec![info("x", &[1, 3, 8, 8])];
    read(g, 13).unwrap();

    // Sizes that runtimes do not agree on are left open, so that what follows may differ.
    let window = |op: &str, stride: i64, dilation: i64| {
        let mut n = node(op, "n", &["x", "w"], &["y"])
            .list("kernel_shape", &[2, 2])
            .list("strides", &[stride, stride])
            .list("dilations", &[dilation, dilation])
            .text("auto_pad", "SAME_UPPER");
        if op == "MaxPool" {
            n.input.truncate(1);
        }
        let mut g = graph(vec![n], vec![weight("w", &[3, 3, 2, 2])]);
        g.input = vec![info("x", &[1, 3, 8, 8])];
        let model = read(g, 13).unwrap();
        let op = &model.ops[0];
        model.tensor(op.outputs[0]).shape.clone()
    };
    assert_eq!(window("MaxPool", 1, 2), None);
    assert_eq!(window("MaxPool", 1, 1), Some(vec![1, 3, 8, 8]));
    assert_eq!(window("ConvTranspose", 3, 1), None);
    assert_eq!(window("ConvTranspose", 2, 1), Some(vec![1, 3, 16, 16]));
}

#[test]
fn only_known_dims_contradict() {
    let conv = node("Conv", "c", &["x", "w"], &["y"]);
    let mut g = graph(vec![conv], vec![weight("w", &[4, 3, 3, 3])]);
    g.input = vec![info("x", &[1, -1, -2, -3])];
    let f = file(g, 13);
    read_with(&f, &LoadOptions::default()).unwrap();
    let with = |dims: &[u64]| {
        let inputs = BTreeMap::from([("x".to_owned(), dims.to_vec())]);
        read_with(&f, &LoadOptions { inputs })
    };
    with(&[1, 3, 8, 8]).unwrap();
    let text = message(with(&[1, 1, 8, 8]));
    assert!(
        text.contains("1x1x8x8") && text.contains("--input"),
        "{text}"
    );

    // What the file says of a custom op's result may be out of date.
    let custom = Node {
        domain: "my.ops".into(),
        ..node("Magic", "m", &["x"], &["a"])
    };
    let conv = node("Conv", "c", &["a", "w"], &["y"]);
    let mut g = graph(vec![custom, conv], vec![weight("w", &[4, 5, 3, 3])]);
    g.value_info = vec![info("a", &[1, 3, 8, 8])];
    read(g, 13).unwrap();
}

#[test]
fn nesting_has_limits() {
    let mut body = Graph::default();
    for _ in 0..17 {
        body = Graph {
            node: vec![node("If", "if", &[], &[]).body("then_branch", body)],
            ..Graph::default()
        };
    }
    let text = message(read(body, 13));
    assert!(
        text.contains("nested subgraphs") && text.contains("limit is 16"),
        "{text}"
    );
    // Deeper than any stack would bear.
    let mut bytes: Vec<u8> = Vec::new();
    for i in 0..30_000 {
        let key = [6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2][i % 3];
        let mut outer = vec![key];
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.append(&mut bytes);
        bytes = outer;
    }
    let mut outer = vec![8, 8, 7 << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
    outer.append(&mut bytes);
    let text = message(load_bytes(
        "deep.onnx",
        &outer.into(),
        &LoadOptions::default(),
    ));
    assert!(text.contains("limit"), "{text}");
}

#[test]
fn names_have_limits() {
    let long = "n".repeat(5000);
    let text = message(read(
        graph(vec![node("Relu", &long, &["x"], &["y"])], vec![]),
        13,
    ));
    assert!(text.contains("5000 bytes") && text.len() < 400, "{text}");
    let deep = format!("{}/Relu", "/a".repeat(65));
    let text = message(read(
        graph(vec![node("Relu", &deep, &["x"], &["y"])], vec![]),
        13,
    ));
    assert!(text.contains("65 levels"), "{text}");
    // Nothing of the file reaches a message raw.
    let odd = node("Relu", "\u{1b}[31mred\n", &["gone"], &["y"]);
    let text = message(read(graph(vec![odd], vec![]), 13));
    assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text}");
}

/// A chain of `n` Relu, encoded without building it in memory first.
fn chain(n: usize) -> Bytes {
    let mut g = Vec::new();
    for i in 0..n {
        let (from, to) = (format!("t{i}"), format!("t{}", i + 1));
        let from = if i == 0 { "x" } else { &from };
        let to = if i + 1 == n { "y" } else { &to };
        g.push(1 << 3 | 2);
        node("Relu", "", &[from], &[to])
            .encode_length_delimited(&mut g)
            .unwrap();
    }
    g.extend(graph(vec![], vec![]).encode_to_vec());
    let mut bytes = file(Graph::default(), 13);
    bytes.graph = None;
    let mut bytes = bytes.encode_to_vec();
    bytes.push(7 << 3 | 2);
    prost::encoding::encode_varint(g.len() as u64, &mut bytes);
    bytes.extend(g);
    bytes.into()
}

#[test]
fn a_million_nodes_is_the_limit() {
    let options = LoadOptions::default();
    let text = message(load_bytes("big.onnx", &chain(1_000_001), &options));
    assert!(
        text.contains("too many nodes") && text.contains("1000000"),
        "{text}"
    );
    let model = load_bytes("big.onnx", &chain(50_000), &options).unwrap();
    assert_eq!(model.ops.len(), 50_000);
    assert_eq!(model.ops[49_999].cost.unwrap().out_elems, 192);
}

#[test]
fn cut_files_are_told() {
    let whole = bundled()[0].bytes();
    for end in (0..whole.len()).step_by(53) {
        let cut = whole.slice(..end);
        let error = load_bytes("cut.onnx", &cut, &LoadOptions::default()).unwrap_err();
        let told = matches!(
            error,
            LoadError::Truncated { .. } | LoadError::NotOnnx { .. } | LoadError::Corrupt { .. }
        );
        assert!(told, "{end}: {error}");
    }
    let cut = whole.slice(..whole.len() / 2);
    let text = message(load_bytes("cut.onnx", &cut, &LoadOptions::default()));
    assert!(
        text.contains("cut short") && text.contains("(graph)"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    /// Damaged files are refused or read; whatever is read holds together.
    #[test]
    fn damaged_files_never_panic(
        which in 0usize..2,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let model = bundled().iter().filter(|m| m.bytes().len() < 60_000).nth(which).unwrap();
        let mut bytes = model.bytes().to_vec();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(model) = load_bytes("damaged.onnx", &bytes.into(), &LoadOptions::default()) {
            check_invariants(&model);
        }
    }

    /// Noise behind a valid start.
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![8, 8, 7 << 3 | 2];
        prost::encoding::encode_varint(noise.len() as u64, &mut bytes);
        bytes.extend(noise);
        if let Ok(model) = load_bytes("noise.onnx", &bytes.into(), &LoadOptions::default()) {
            check_invariants(&model);
        }
    }
}

/// Shapes are inferred without the file's help as well as with it.
#[test]
fn inference_needs_no_value_info() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".corpus/torchvision");
    for path in folder.read_dir().into_iter().flatten() {
        let path = path.unwrap().path();
        if !path.to_string_lossy().ends_with(".dynamo.onnx") {
            continue;
        }
        let with = load(&path, &LoadOptions::default()).unwrap();
        let mut bare = proto::Model::decode(Bytes::from(std::fs::read(&path).unwrap())).unwrap();
        let graph = bare.graph.as_mut().unwrap();
        graph.value_info.clear();
        for output in &mut graph.output {
            output.r#type = None;
        }
        let without = read_with(&bare, &LoadOptions::default()).unwrap();
        assert!(
            with.notes.is_empty(),
            "{}: {:?}",
            path.display(),
            with.notes
        );
        assert_eq!(with.tensors.len(), without.tensors.len());
        for (a, b) in with.tensors.iter().zip(&without.tensors) {
            assert_eq!(a.shape, b.shape, "{}: {}", path.display(), a.name);
            assert_eq!(a.dtype, b.dtype, "{}: {}", path.display(), a.name);
        }
    }
}

fn function(name: &str, inner: Vec<Node>) -> proto::Function {
    proto::Function {
        name: name.into(),
        domain: "local".into(),
        input: vec!["a".into()],
        output: vec!["b".into()],
        node: inner,
        ..proto::Function::default()
    }
}

fn call(name: &str, input: &str, output: &str) -> Node {
    Node {
        domain: "local".into(),
        ..node(name, "", &[input], &[output])
    }
}

/// Nodes that become no op count too: TensorRT's parser reads every one of them.
#[test]
fn op_types_are_counted_wherever_their_nodes_are() {
    let body = Graph {
        node: vec![node("Unique", "u", &["x"], &["v"])],
        ..Graph::default()
    };
    let branch = Attribute {
        name: "then_branch".into(),
        g: Some(Box::new(body)),
        ..Attribute::default()
    };
    let choose = Node {
        attribute: vec![branch],
        ..node("If", "choose", &["c"], &["z"])
    };
    let ml = Node {
        domain: "ai.onnx".into(),
        ..node("Relu", "", &["y"], &["last"])
    };
    let nodes = vec![
        node("DFT", "dead", &["w"], &["d"]),
        node("Relu", "r", &["x"], &["y0"]),
        call("f0", "y0", "y"),
        choose,
        ml,
    ];
    let weights = vec![weight("w", &[4]), ints("c", &[1])];
    let mut file = file(graph(nodes, weights), 17);
    file.functions = vec![
        function("f0", vec![node("Elu", "e", &["a"], &["b"])]),
        function("never", vec![node("Det", "d", &["a"], &["b"])]),
    ];
    let model = read_with(&file, &LoadOptions::default()).unwrap();
    let found: Vec<(&str, &str, usize, bool)> = model
        .file_ops
        .iter()
        .map(|op| (&*op.op_type, &*op.first, op.nodes, op.function))
        .collect();
    assert_eq!(
        found,
        [
            ("DFT", "dead", 1, false),
            ("Relu", "r", 2, false),
            ("f0", "y", 1, true),
            ("If", "choose", 1, false),
            ("Unique", "u", 1, false),
            ("Elu", "e", 1, false),
        ]
    );
}

#[test]
fn functions_are_written_out_within_bounds() {
    let calling = |functions: Vec<proto::Function>| {
        let mut file = file(graph(vec![call("f0", "x", "y")], vec![]), 17);
        file.functions = functions;
        read_with(&file, &LoadOptions::default())
    };
    let relu = function("f0", vec![node("Relu", "r", &["a"], &["b"])]);
    let model = calling(vec![relu]).unwrap();
    assert_eq!(model.ops[0].kind, OpKind::Activation(Activation::Relu));
    assert_eq!(shape_of(&model, "y").unwrap(), [1, 3, 8, 8]);
    // Nothing but what comes in.
    let through = proto::Function {
        output: vec!["a".into()],
        ..function("f0", vec![])
    };
    assert!(calling(vec![through]).is_ok());
    // A function that calls itself, and calls that double with each level.
    let again = function("f0", vec![call("f0", "a", "b")]);
    let model = calling(vec![again]).unwrap();
    assert_eq!(model.ops.len(), 1);
    let doubling = (0..60).map(|i| {
        let next = format!("f{}", i + 1);
        function(
            &format!("f{i}"),
            vec![call(&next, "a", "t"), call(&next, "t", "b")],
        )
    });
    let model = calling(doubling.collect()).unwrap();
    assert!(model.ops.len() < 20_000, "{}", model.ops.len());
    assert!(model.notes[0].text.contains("local functions"));
}

#[test]
fn attributes_of_a_call_reach_its_nodes() {
    let mut inner = node("LeakyRelu", "l", &["a"], &["b"]);
    inner.attribute.push(Attribute {
        name: "alpha".into(),
        ref_attr_name: "slope".into(),
        ..Attribute::default()
    });
    let model = |slope: Option<f32>| {
        let given = call("f0", "x", "y");
        let given = match slope {
            Some(slope) => given.float("slope", slope),
            None => given,
        };
        let mut file = file(graph(vec![given], vec![]), 17);
        file.functions = vec![function("f0", vec![inner.clone()])];
        read_with(&file, &LoadOptions::default()).unwrap().ops[0]
            .kind
            .clone()
    };
    let leaky = |slope| OpKind::Activation(Activation::LeakyRelu { slope });
    assert_eq!(model(Some(0.5)), leaky(0.5));
    assert_eq!(model(None), leaky(0.01));
}

#[test]
fn values_cost_little() {
    // Each node makes as many values as are ever kept.
    let ramp: Vec<i64> = (0..1024).collect();
    let mut nodes = vec![node("Relu", "r", &["x"], &["y"])];
    for i in 0..3000 {
        let from = if i == 0 {
            "ramp".to_owned()
        } else {
            format!("v{}", i - 1)
        };
        nodes.push(node("Add", "", &[&from, "ramp"], &[&format!("v{i}")]));
    }
    let start = std::time::Instant::now();
    read(graph(nodes, vec![ints("ramp", &ramp)]), 17).unwrap();
    let limit = if cfg!(debug_assertions) { 20.0 } else { 2.0 };
    assert!(start.elapsed().as_secs_f64() < limit);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    /// Any op with small constants of any shape, and attributes that rarely make sense.
    #[test]
    fn no_op_panics_on_odd_inputs(
        op in 0..super::ops::NAMES.len(),
        opset in 1i64..25,
        ms in any::<bool>(),
        inputs in prop::collection::vec((prop::collection::vec(0i64..5, 0..4), 0u8..4, any::<u64>()), 0..6),
        outputs in 1usize..5,
        numbers in prop::collection::vec(-3i64..6, 0..5),
        huge in prop_oneof![Just(0i64), Just(i64::MAX), Just(i64::MIN), -3i64..6],
        text in prop_oneof![
            Just("edge"), Just("reflect"), Just("wrap"), Just("ij...,jk->ik"), Just("...->..."), Just("add"),
            Just("not_larger"), Just("not_smaller"), Just("LEFT"), Just("SAME_UPPER"), Just("max"),
        ],
    ) {
        let mut weights = Vec::new();
        let mut names = Vec::new();
        for (i, (dims, kind, seed)) in inputs.iter().enumerate() {
            let name = format!("c{i}");
            let count: i64 = dims.iter().product();
            let value = |j: i64| (seed.rotate_left(j as u32 * 7) % 9) as i64 - 3;
            let mut tensor = match kind {
                0 => floats(&name, &(0..count).map(|j| value(j) as f32).collect::<Vec<_>>()),
                1 => weight(&name, dims),
                _ => ints(&name, &(0..count).map(value).collect::<Vec<_>>()),
            };
            tensor.0.dims = dims.clone();
            names.push(if *kind == 3 && i > 0 { String::new() } else { name });
            weights.push(tensor);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let made: Vec<String> = (0..outputs).map(|i| format!("o{i}")).collect();
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        let mut odd = node(super::ops::NAMES[op], "odd", &names, &made)
            .list("kernel_shape", &[2, 2])
            .text("mode", text)
            .text("equation", text)
            .text("reduction", text)
            .text("direction", text)
            .text("keep_aspect_ratio_policy", text);
        for name in ["axis", "to", "k", "batch_dims", "num_heads", "q_num_heads", "kv_num_heads", "N"] {
            odd = odd.int(name, huge);
        }
        for name in ["axes", "pads", "perm", "border", "split", "starts", "ends"] {
            if numbers.len() > 2 {
                odd = odd.list(name, &numbers);
            }
        }
        if ms {
            odd.domain = "com.microsoft".into();
        }
        // One that is fed by the model's input as well.
        let mut live = odd.clone();
        live.name = "live".into();
        live.output = live.output.iter().map(|o| format!("l{o}")).collect();
        if let Some(first) = live.input.first_mut() {
            *first = "x".into();
        }
        let last = node("Relu", "relu", &["x"], &["y"]);
        drop(read(graph(vec![odd, live, last], weights), opset));
    }
}

#[test]
fn light_ops_between_modules_stay_the_roots() {
    // What F.relu leaves beside modules that hold the work.
    let nodes = vec![
        node("Conv", "/conv/Conv", &["x", "conv.weight"], &["a"]),
        node("Relu", "/Relu", &["a"], &["b"]),
        node("Sigmoid", "/Sigmoid", &["b"], &["c"]),
        node("Tanh", "/Tanh", &["c"], &["y"]),
    ];
    let model = read(graph(nodes, vec![weight("conv.weight", &[3, 3, 1, 1])]), 17).unwrap();
    assert_eq!(model.modules.root().ops.len(), 3);
    assert!(model.modules.iter().all(|(_, m)| !m.is_block));
}
