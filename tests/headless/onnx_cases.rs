//! Small files of kinds that were once read wrongly, each with its right value: from ONNX Runtime,
//! onnx's shape inference, PyTorch's call stacks, or (`max_own_ops`) judgement.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dlaplan::model::onnx::{LoadError, LoadOptions, load};
use dlaplan::model::{DType, Model};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    outputs: Option<Vec<Vec<u64>>>,
    #[serde(default)]
    macs: Option<u64>,
    /// Dims of an op's first output.
    #[serde(default)]
    op: BTreeMap<String, Vec<u64>>,
    #[serde(default)]
    module: BTreeMap<String, String>,
    #[serde(default)]
    module_of_type: BTreeMap<String, Vec<String>>,
    /// Ops that multiply: their work is known or unknown, never 0.
    #[serde(default)]
    macs_not_zero: Vec<String>,
    #[serde(default)]
    max_own_ops: Option<usize>,
    /// The op type that the refusal names.
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    /// Held by `blocks_are_not_exported_as_modules` in export's tests.
    #[serde(default, rename = "torch2trt_refused")]
    _torch2trt_refused: Vec<String>,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/onnx")
        .join(name)
}

fn read(name: &str) -> Model {
    load(&file(name), &LoadOptions::default()).unwrap()
}

fn module<'m>(model: &'m Model, op: &str) -> &'m str {
    let op = model.find_op(op).unwrap_or_else(|| panic!("no op {op}"));
    &model.modules.get(model.op(op).module).path
}

#[test]
fn every_case_has_its_right_value() {
    let table = std::fs::read(file("expect.json")).unwrap();
    let table: BTreeMap<String, Expected> = serde_json::from_slice(&table).unwrap();
    assert!(table.len() >= 65);
    for (name, expected) in &table {
        let mut options = LoadOptions::default();
        if let [flag, input] = &expected.args[..] {
            assert_eq!(flag, "--input");
            let (input, dims) = input.split_once('=').unwrap();
            let dims = dims.split('x').map(|d| d.parse().unwrap()).collect();
            options.inputs.insert(input.into(), dims);
        }
        let model = load(&file(name), &options);
        if let Some(op_type) = &expected.refused {
            let text = model.expect_err(name).to_string();
            assert!(text.contains(op_type.as_str()), "{name}: {text}");
            continue;
        }
        let model = model.unwrap_or_else(|e| panic!("{name}: {e}"));
        check(name, &model, expected);
    }
}

fn check(name: &str, model: &Model, expected: &Expected) {
    if let Some(outputs) = &expected.outputs {
        let shapes = model.outputs.iter().map(|t| model.tensor(*t).shape.clone());
        let right: Vec<_> = outputs.iter().cloned().map(Some).collect();
        assert_eq!(shapes.collect::<Vec<_>>(), right, "{name}");
    }
    if let Some(macs) = expected.macs {
        assert_eq!(model.total_macs(), Some(macs), "{name}");
    }
    for (op, dims) in &expected.op {
        let id = model.find_op(op).unwrap();
        let shape = &model.tensor(model.op(id).outputs[0]).shape;
        assert_eq!(shape.as_ref(), Some(dims), "{name}: {op}");
    }
    for (op, right) in &expected.module {
        assert_eq!(module(model, op), right, "{name}: {op}");
    }
    for (op_type, right) in &expected.module_of_type {
        let ops = model.ops.iter().filter(|o| *o.op_type == **op_type);
        let modules: Vec<&str> = ops.map(|o| &*model.modules.get(o.module).path).collect();
        assert_eq!(modules, *right, "{name}: {op_type}");
    }
    for op in &expected.macs_not_zero {
        let id = model.find_op(op).unwrap();
        let macs = model.op(id).cost.map(|c| c.macs);
        assert_ne!(macs, Some(0), "{name}: {op}");
    }
    if let Some(most) = expected.max_own_ops {
        let own = model.modules.iter().map(|(_, m)| m.ops.len()).max();
        assert!(
            own.unwrap() <= most,
            "{name}: {own:?} of {}",
            model.ops.len()
        );
    }
}

#[test]
fn functions_become_the_modules_that_they_were() {
    let model = read("09_local_function.onnx");
    assert_eq!(module(&model, "layer1/c"), "layer1.conv");
    assert_eq!(module(&model, "layer1/r"), "layer1");
    assert_eq!(module(&model, "layer2/r"), "layer2");
    let layer = model.modules.find("layer1").unwrap();
    assert_eq!(model.modules.get(layer).class.as_deref(), Some("Block"));

    let model = read("09b_torch21_dynamo_export.onnx");
    let found: Vec<(&str, &str)> = model
        .ops
        .iter()
        .map(|o| (&*o.op_type, &*model.modules.get(o.module).path))
        .collect();
    assert_eq!(
        found,
        [
            ("Conv", "0"),
            ("Relu", "1"),
            ("Conv", "2.0"),
            ("Relu", "2.1")
        ]
    );
    let class = |path| {
        model
            .modules
            .get(model.modules.find(path).unwrap())
            .class
            .as_deref()
    };
    assert_eq!(class("2"), Some("Sequential"));
    assert_eq!(class("2.0"), Some("Conv2d"));
}

#[test]
fn unknown_work_is_unknown() {
    let model = read("07_zero_macs.onnx");
    let macs = |op| model.op(model.find_op(op).unwrap()).cost.map(|c| c.macs);
    assert_eq!(macs("fused"), Some(442_368));
    assert_eq!(macs("branch"), None);
    assert_eq!(model.macs_of(model.find_op("branch")), None);
    assert_eq!(model.total_macs(), Some(442_368));
    let attention = read("08_attention23.onnx");
    let op = attention.find_op("node_sdpa").unwrap();
    // 4 heads, 49 queries by 49 keys, 16 elements each, twice.
    assert_eq!(attention.op(op).cost.unwrap().macs, 2 * 4 * 49 * 49 * 16);
}

#[test]
fn one_module_object_is_one_module() {
    let model = read("14_shared_activation.onnx");
    let act = model.modules.find("model.0.act").unwrap();
    assert_eq!(model.modules.get(act).ops.len(), 6);
    assert!(model.modules.find("model.1.act").is_none());
    assert!(model.notes.iter().any(|n| n.text.contains("second names")));

    let model = read("16_tied_names_dynamo.onnx");
    assert!(model.modules.find("b").is_none());
    assert_eq!(
        model
            .modules
            .get(model.modules.find("a").unwrap())
            .subtree_ops,
        6
    );

    let model = read("17_module_called_by_another_owner.onnx");
    assert!(model.modules.find("dec.shared").is_none());
    assert_eq!(module(&model, "/dec/shared/Conv"), "shared");
    assert_eq!(module(&model, "/shared/Conv"), "shared");
}

#[test]
fn names_that_only_look_alike_stay_apart() {
    let model = read("18_same_names.onnx");
    assert_eq!(module(&model, "/conv/conv_1/Relu"), "conv.conv_1");
    assert_eq!(module(&model, "/conv/conv/Conv"), "conv.conv");
    assert_eq!(module(&model, "/layer/Conv"), "layer.layer");
}

#[test]
fn blocks_are_marked() {
    for name in ["03_old_pytorch_folded.onnx", "13_old_pytorch_blocks.onnx"] {
        let model = read(name);
        let blocks = model.modules.iter().filter(|(_, m)| m.is_block).count();
        assert!(blocks > 1, "{name}");
    }
    let model = read("03_old_pytorch_folded.onnx");
    let fc = model.modules.find("fc").unwrap();
    assert!(!model.modules.get(fc).is_block);
}

#[test]
fn a_sequence_has_no_dims_to_give() {
    let model = read("19_sequence_input.onnx");
    let input = model.tensor(model.inputs[0].tensor);
    assert_eq!(input.dtype, DType::Container);
    assert_eq!(model.unresolved_inputs().count(), 0);
    assert!(model.notes[0].text.contains("no dims to give"));
}

#[test]
fn a_reshape_that_cannot_be_blames_the_dims() {
    let inputs = BTreeMap::from([("x".to_owned(), vec![1, 3, 32, 320])]);
    let options = LoadOptions {
        inputs: inputs.clone(),
    };
    let error = load(&file("12_reshape_mismatch.onnx"), &options).unwrap_err();
    assert!(matches!(error, LoadError::Contradiction { .. }));
    assert!(error.blames(&inputs));
    assert!(
        error.to_string().contains("20480 elements do not fit"),
        "{error}"
    );
}
