//! The reader against real files: what Python's `onnx.shape_inference` and torchvision's
//! `named_modules()` say of them. `scripts/corpus.sh` fills `.corpus/`; without it these tests
//! pass empty unless `DLAPLAN_REQUIRE_CORPUS=1`.

#![expect(clippy::print_stderr, reason = "tests say what they skip")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dlaplan::model::onnx::{LoadOptions, load};
use dlaplan::model::{Model, ModuleId, TensorRole};
use serde::Deserialize;

#[derive(Deserialize)]
struct Shapes {
    inputs: BTreeMap<String, Vec<u64>>,
    tensors: BTreeMap<String, Vec<u64>>,
}

#[derive(Deserialize)]
struct TorchModule {
    path: String,
    class: String,
    called: bool,
    leaf: bool,
}

fn corpus(folder: &str, count: usize) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".corpus")
        .join(folder);
    let mut files: Vec<PathBuf> = root
        .read_dir()
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "onnx"))
        .filter(|p| p.with_extension("shapes.json").exists())
        .collect();
    files.sort();
    if files.len() < count {
        let required = std::env::var_os("DLAPLAN_REQUIRE_CORPUS").is_some_and(|v| v == "1");
        assert!(
            !required,
            "{} of {count} files in {}: run scripts/corpus.sh",
            files.len(),
            root.display()
        );
        eprintln!("skipped: no corpus in {}", root.display());
        return Vec::new();
    }
    files
}

fn json<T: for<'d> Deserialize<'d>>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn open(path: &Path) -> (Model, Shapes) {
    let shapes: Shapes = json(&path.with_extension("shapes.json"));
    let options = LoadOptions {
        inputs: shapes.inputs.clone(),
    };
    let model = load(path, &options).unwrap_or_else(|e| panic!("{e}"));
    (model, shapes)
}

fn check_modules(model: &Model, errors: &mut Vec<String>) {
    let name = &model.name;
    let in_tree: usize = model.modules.iter().map(|(_, m)| m.ops.len()).sum();
    if in_tree != model.ops.len() || model.modules.root().subtree_ops as usize != model.ops.len() {
        errors.push(format!(
            "{name}: {in_tree} of {} ops in modules",
            model.ops.len()
        ));
    }
    for id in model.op_ids() {
        let module = model.modules.get(model.op(id).module);
        if !module.ops.contains(&id) {
            errors.push(format!(
                "{name}: {} is not in its module",
                model.op(id).name
            ));
        }
    }
}

fn check_shapes(model: &Model, shapes: &Shapes, errors: &mut Vec<String>) {
    let name = &model.name;
    for tensor in &model.tensors {
        let python = shapes.tensors.get(&*tensor.name);
        match (&tensor.shape, python) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                errors.push(format!(
                    "{name}: {} is {ours:?}, Python {theirs:?}",
                    tensor.name
                ));
            }
            (None, Some(theirs)) => {
                errors.push(format!(
                    "{name}: {} unknown, Python {theirs:?}",
                    tensor.name
                ));
            }
            (None, None) if tensor.role == TensorRole::Activation => {
                let op = tensor.producer.map(|o| &model.op(o).op_type);
                errors.push(format!("{name}: {} of {op:?} unknown to both", tensor.name));
            }
            _ => {}
        }
    }
    let outputs = model.outputs.iter().map(|o| model.tensor(*o));
    for output in outputs.filter(|o| o.shape.is_none()) {
        errors.push(format!("{name}: output {} has no shape", output.name));
    }
}

fn check_files(folder: &str, count: usize) {
    let mut errors = Vec::new();
    for path in corpus(folder, count) {
        let (model, shapes) = open(&path);
        check_modules(&model, &mut errors);
        check_shapes(&model, &shapes, &mut errors);
    }
    let shown = &errors[..errors.len().min(60)];
    assert!(
        errors.is_empty(),
        "{} errors:\n{}",
        errors.len(),
        shown.join("\n")
    );
}

#[test]
fn light_models_load_whole() {
    check_files("light", 9);
}

#[test]
fn torchvision_exports_load_whole() {
    check_files("torchvision", 20);
}

#[test]
fn foreign_models_load_whole() {
    check_files("foreign", 4);
}

#[test]
fn module_paths_are_torchvisions() {
    let mut errors = Vec::new();
    for path in corpus("torchvision", 20) {
        let (model, _) = open(&path);
        let torch: Vec<TorchModule> = json(&path.with_extension("").with_extension(format!(
            "{}.modules.json",
            path.file_stem().unwrap().to_str().unwrap().rsplit('.').next().unwrap()
        )));
        let by_path: BTreeMap<&str, &TorchModule> =
            torch.iter().map(|m| (m.path.as_str(), m)).collect();
        for (_, module) in model.modules.iter() {
            let Some(theirs) = by_path.get(&*module.path) else {
                errors.push(format!("{}: no module {:?}", model.name, module.path));
                continue;
            };
            if module.never_called == theirs.called && module.subtree_ops > 0 {
                errors.push(format!(
                    "{}: {:?} called {}",
                    model.name, module.path, theirs.called
                ));
            }
            if let Some(class) = &module.class
                && **class != theirs.class
            {
                errors.push(format!("{}: {:?} is {class}", model.name, module.path));
            }
        }
        // A leaf with parameters that compute must have got its op.
        for m in torch.iter().filter(|m| m.leaf && m.called) {
            let computes = matches!(m.class.as_str(), "Conv2d" | "Linear" | "MaxPool2d" | "GELU");
            let found = model.modules.find(&m.path).map(|id| model.modules.get(id));
            if computes && found.is_none_or(|f| f.ops.is_empty()) {
                errors.push(format!(
                    "{}: {:?} ({}) has no op",
                    model.name, m.path, m.class
                ));
            }
        }
    }
    let shown = &errors[..errors.len().min(60)];
    assert!(
        errors.is_empty(),
        "{} errors:\n{}",
        errors.len(),
        shown.join("\n")
    );
}

#[test]
fn resnet18_modules_are_the_same_by_either_exporter() {
    let with_ops = |path: &PathBuf| -> BTreeSet<String> {
        let (model, _) = open(path);
        let with_ops = model.modules.iter().filter(|(_, m)| !m.ops.is_empty());
        with_ops.map(|(_, m)| m.path.to_string()).collect()
    };
    let files = corpus("torchvision", 20);
    let mut files = files
        .iter()
        .filter(|p| p.to_string_lossy().contains("resnet18."));
    let (Some(dynamo), Some(torchscript)) = (files.next(), files.next()) else {
        return;
    };
    let (dynamo, torchscript) = (with_ops(dynamo), with_ops(torchscript));
    assert_eq!(dynamo, torchscript);
    assert!(dynamo.contains("layer4.1.conv2") && dynamo.contains("layer1.0.relu"));
    assert!(!dynamo.contains("layer1.0.bn1"));
}

#[test]
fn nameless_models_get_blocks() {
    for path in corpus("light", 9) {
        let (model, _) = open(&path);
        if model.name != "light_vgg19" {
            continue;
        }
        let root = model.modules.get(ModuleId::ROOT);
        assert!(root.ops.is_empty());
        let names: Vec<&str> = root
            .children
            .iter()
            .take(2)
            .map(|c| &*model.modules.get(*c).name)
            .collect();
        assert_eq!(names, ["block1", "block2"]);
        // 16 convolutions and 3 fully connected layers.
        assert_eq!(root.children.len(), 19);
    }
}
