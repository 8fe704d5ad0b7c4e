//! Exports say exactly the placement, or refuse.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use dlaplan::chart::{Chart, Palette, beside_published, references};
use dlaplan::estimate::{Estimator, board};
use dlaplan::export::{Document, Format, Subject, save_atomic, shell_quote, torch2trt, trtexec};
use dlaplan::history::ReferenceSet;
use dlaplan::model::onnx::{LoadOptions, load, load_bundled};
use dlaplan::model::{Model, ModuleId};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision, Site};
use dlaplan::plan::Planner;
use dlaplan::platform::Target;
use dlaplan::tasks::judge::{Setup, judge};
use proptest::prelude::*;

fn setup(model: &str, target: &str, placement: Placement) -> Setup {
    Setup {
        model: load_bundled(model).unwrap(),
        target: Target::parse(target).unwrap(),
        config: EngineConfig::default(),
        placement,
    }
}

fn dla(modules: &[&str]) -> Placement {
    let all = modules.iter();
    all.fold(Placement::default(), |p, m| p.with_module(m, Device::Dla))
}

fn render(setup: &Setup, format: Format) -> Result<String, String> {
    let judged = setup.judge().unwrap();
    let bytes = format
        .render(
            &setup.subject(&judged),
            &Chart::default(),
            &Palette::Light.into(),
        )
        .map_err(|e| e.to_string())?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// What a snippet passes to torch2trt, by the recorder that takes no unknown argument.
fn record(snippet: &str, model: &Model) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let (code, modules) = (dir.path().join("s.py"), dir.path().join("m.json"));
    let paths: Vec<&str> = model.modules.iter().map(|(_, m)| &*m.path).collect();
    save_atomic(&code, snippet.as_bytes()).unwrap();
    save_atomic(&modules, &serde_json::to_vec(&paths).unwrap()).unwrap();
    let output = Command::new("python3")
        .arg("scripts/torch2trt_recorder.py")
        .args([&code, &modules])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{snippet}\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The devices of all ops as torch2trt's hooks would set them from `device_types`.
fn hooked(model: &Model, default: Device, types: &BTreeMap<String, Device>) -> Vec<Device> {
    let device = |op: &dlaplan::model::Op| {
        let stack = model.modules.ancestors_or_self(op.module);
        let mut called = stack.filter(|m| !model.modules.get(*m).never_called);
        called
            .find_map(|m: ModuleId| types.get(&*model.modules.get(m).path).copied())
            .unwrap_or(default)
    };
    model.ops.iter().map(device).collect()
}

#[test]
fn the_seeds_placements_reach_torch2trt() {
    for (name, placement) in [
        ("gpu", Placement::default()),
        ("dla", Placement::all(Device::Dla)),
        ("dla1", dla(&["layer1"])),
        ("dla12", dla(&["layer1", "layer2"])),
        ("dla123", dla(&["layer1", "layer2", "layer3"])),
    ] {
        for precision in [Precision::FP16, Precision::INT8] {
            let mut setup = setup("resnet18", "xavier-nx", placement.clone());
            setup.config.precision = precision;
            let call = record(&render(&setup, Format::Torch2trt).unwrap(), &setup.model);
            let kwargs = &call["kwargs"];
            assert_eq!(kwargs["fp16_mode"], precision.fp16, "{name}");
            assert_eq!(kwargs["int8_mode"], precision.int8, "{name}");
            assert_eq!(kwargs["default_device_type"], placement.default.as_str());
            assert_eq!(kwargs["max_batch_size"], 1);
            assert_eq!(kwargs["use_onnx"], false);
            let types: BTreeMap<Site, Device> = call["device_types"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(path, d)| {
                    let device = serde_json::from_value(d.clone()).unwrap();
                    (Site::Module(path.clone()), device)
                })
                .collect();
            assert_eq!(types, placement.overrides, "{name}");
        }
    }
}

#[test]
fn engine_flags_reach_torch2trt() {
    let mut setup = setup("resnet18", "xavier-nx", dla(&["layer1"]));
    setup.config.dla_core = 1;
    setup.config.gpu_fallback = false;
    setup.config.batch = 4;
    let call = record(&render(&setup, Format::Torch2trt).unwrap(), &setup.model);
    assert_eq!(call["kwargs"]["dla_core"], 1);
    assert_eq!(call["kwargs"]["gpu_fallback"], false);
    // A batch above 1 as `max_batch_size` would be a dynamic one, which the DLA refuses.
    assert_eq!(call["kwargs"]["max_batch_size"], serde_json::Value::Null);
}

#[test]
fn blocks_are_not_exported_as_modules() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/onnx")
            .join(name);
        load(&path, &LoadOptions::default()).unwrap()
    };
    let export = |name: &str, module: &str| {
        let model = read(name);
        let setup = Setup {
            config: EngineConfig {
                batch: EngineConfig::own_batch(&model),
                ..EngineConfig::default()
            },
            model,
            target: Target::parse("agx-orin-64").unwrap(),
            placement: dla(&[module]),
        };
        let judged = setup.judge().unwrap();
        torch2trt(&setup.subject(&judged)).map_err(|e| e.to_string())
    };
    let refused = export("13_old_pytorch_blocks.onnx", "block1").unwrap_err();
    assert!(
        refused.contains("block1 is a block of ops without module names"),
        "{refused}"
    );
    assert!(export("03_old_pytorch_folded.onnx", "block1").is_err());
    // What has a name of its own is a module.
    let fc = export("03_old_pytorch_folded.onnx", "fc").unwrap();
    assert!(fc.contains("model.get_submodule(\"fc\")"), "{fc}");
}

#[test]
fn an_op_is_written_on_its_module_or_refused() {
    let own = Placement::default().with_op("/layer1/layer1.0/conv1/Conv", Device::Dla);
    let one = setup("resnet18", "xavier-nx", own);
    let call = record(&render(&one, Format::Torch2trt).unwrap(), &one.model);
    // Its BatchNorm is part of it in the ONNX file and a module of its own in PyTorch.
    assert_eq!(
        call["device_types"],
        serde_json::json!({"layer1.0.bn1": "DLA", "layer1.0.conv1": "DLA"})
    );
    let shared = Placement::default().with_op("/layer1/layer1.0/Add", Device::Dla);
    let two = setup("resnet18", "xavier-nx", shared);
    let why = render(&two, Format::Torch2trt).unwrap_err();
    assert!(
        why.contains("/layer1/layer1.0/Add") && why.contains("layer1.0"),
        "{why}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever is placed, the exported `device_types` put every op where the placement does, as
    /// torch2trt's hooks resolve them.
    #[test]
    fn any_placement_reaches_torch2trt(
        default in any::<bool>(),
        picks in proptest::collection::vec((any::<proptest::sample::Index>(), any::<bool>()), 0..12),
    ) {
        let device = |b| if b { Device::Dla } else { Device::Gpu };
        let model = load_bundled("googlenet").unwrap();
        let mut placement = Placement::all(device(default));
        for (index, on) in picks {
            let id = ModuleId(index.index(model.modules.len()) as u32);
            placement = placement.with_module(&model.modules.get(id).path, device(on));
        }
        let target = Target::default();
        let config = EngineConfig::default();
        let planner = Planner::new(&model, &target, &config);
        let judged = judge(&Estimator::new(&planner), &placement).unwrap();
        let subject = Subject {
            model: &model, target: &target, config: &config, placement: &placement,
            resolved: &judged.resolved, plan: &judged.plan, estimate: &judged.estimate,
            op_ms: &judged.op_ms, breakdown: judged.breakdown.as_ref().ok(),
        };
        let text = torch2trt(&subject).unwrap();
        // As the recorder reads it, without starting Python for every case.
        let mut types = BTreeMap::new();
        for line in text.lines().filter(|l| l.contains(": trt.")) {
            let (key, value) = line.trim().trim_end_matches(',').split_once(": ").unwrap();
            let path = match key.strip_prefix("model.get_submodule(") {
                Some(quoted) => serde_json::from_str(quoted.trim_end_matches(')')).unwrap(),
                None => String::new(),
            };
            types.insert(path, device(value.ends_with("DLA")));
        }
        prop_assert_eq!(hooked(&model, placement.default, &types), judged.resolved.devices());
    }
}

/// `--layerDeviceTypes` as sampleOptions.cpp reads it: items at commas, the device behind the last
/// colon; `exact` before a pattern with one `*`; what is not named goes to the DLA.
fn trtexec_reads(args: &[String], model: &Model, wildcard: bool) -> Vec<Device> {
    if !args.iter().any(|a| a.starts_with("--useDLACore=")) {
        return vec![Device::Gpu; model.ops.len()];
    }
    let list = args
        .iter()
        .find_map(|a| a.strip_prefix("--layerDeviceTypes="));
    let mut exact: BTreeMap<&str, Device> = BTreeMap::new();
    let mut patterns: Vec<(&str, &str, Device)> = Vec::new();
    for item in list.into_iter().flat_map(|l| l.split(',')) {
        let (name, device) = item.rsplit_once(':').unwrap();
        let device = match device {
            "GPU" => Device::Gpu,
            "DLA" => Device::Dla,
            other => panic!("{other}"),
        };
        match name.split_once('*') {
            Some((head, tail)) if wildcard => patterns.push((head, tail, device)),
            _ => {
                exact.insert(name, device);
            }
        }
    }
    let one = |name: &str| {
        let pattern = || {
            let mut hits = patterns.iter();
            hits.find(|(h, t, _)| {
                name.len() >= h.len() + t.len() && name.starts_with(h) && name.ends_with(t)
            })
        };
        let found = exact.get(name).copied();
        found
            .or_else(|| pattern().map(|p| p.2))
            .unwrap_or(Device::Dla)
    };
    model.ops.iter().map(|o| one(&o.name)).collect()
}

#[test]
fn trtexec_reads_back_the_placement_in_every_dialect() {
    let placements = [
        Placement::default(),
        Placement::all(Device::Dla),
        dla(&["layer1"]),
        dla(&["layer1", "layer2"]).with_module("layer2.0", Device::Gpu),
        Placement::all(Device::Dla).with_module("layer4", Device::Gpu),
        Placement::default().with_op("/layer1/layer1.0/Add", Device::Dla),
    ];
    for target in [
        "xavier-nx:7.1",
        "xavier-nx:8.0",
        "xavier-nx:8.2",
        "agx-orin-64:8.4",
        "xavier-nx:8.5",
        "agx-orin-64:8.6",
        "agx-orin-64:10.3",
        "agx-orin-64:10.7",
        "agx-orin-64:11.4",
    ] {
        for placement in &placements {
            let setup = setup("resnet18", target, placement.clone());
            let judged = setup.judge().unwrap();
            let wanted = judged.resolved.devices();
            let dialect = setup.target.tensorrt.dialect();
            let mixed = wanted.iter().any(|d| *d != wanted[0]);
            match trtexec(&setup.subject(&judged)) {
                Ok(command) => {
                    let read = trtexec_reads(&command.args, &setup.model, dialect.wildcard);
                    assert_eq!(read, wanted);
                    let has = |flag: &str| command.args.iter().any(|a| a == flag);
                    assert_eq!(has("--fp16"), dialect.precision_flags);
                    assert_eq!(has("--explicitBatch"), target.ends_with("7.1"));
                    let old = ["7.1", "8.0", "8.2"].iter().any(|v| target.ends_with(v));
                    assert_eq!(has("--workspace=1024"), old);
                    assert!(
                        !mixed || dialect.layer_device_types,
                        "{target} has no --layerDeviceTypes"
                    );
                }
                // The file's types are FP32, which no DLA computes in.
                Err(why) if target.ends_with("11.4") && placement.wants_dla() => {
                    assert!(why.to_string().contains("FP16"), "{why}");
                }
                Err(why) => {
                    assert!(mixed && !dialect.layer_device_types, "{target}: {why}");
                    assert!(why.to_string().contains("8.6"), "{why}");
                }
            }
        }
    }
}

#[test]
fn a_shell_reads_back_every_word() {
    for word in [
        "a",
        "",
        "a b",
        "it's",
        "$(rm -rf x)",
        "`x`",
        "a\nb",
        "ü*?[",
        "--x=\"y\"",
        "!",
    ] {
        let output = Command::new("sh")
            .args(["-c", &format!("printf %s {}", shell_quote(word))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
    }
}

#[test]
fn a_fixed_batch_is_not_changed_behind_the_users_back() {
    let mut setup = setup("resnet18", "agx-orin-64:10.3", Placement::default());
    setup.config.batch = 8;
    for format in [Format::Trtexec, Format::TensorrtPython] {
        let why = render(&setup, format).unwrap_err();
        assert!(why.contains("batch 8") && why.contains("images"), "{why}");
    }
}

#[test]
fn what_does_not_build_is_not_exported_as_a_program() {
    let mut setup = setup("resnet18", "xavier-nx", Placement::all(Device::Dla));
    setup.config.precision = Precision::FP32;
    setup.config.gpu_fallback = false;
    for format in [Format::Torch2trt, Format::Trtexec, Format::TensorrtPython] {
        let why = render(&setup, format).unwrap_err();
        assert!(why.contains("does not build"), "{why}");
    }
    for format in [Format::Placement, Format::Csv, Format::Html] {
        render(&setup, format).unwrap();
    }
}

/// torch2trt converts PyTorch's modules and reads no ONNX file.
#[test]
fn only_what_reads_the_onnx_file_needs_its_parser() {
    let setup = setup("vit_b_16", "xavier-nx:8.5", Placement::default());
    assert!(render(&setup, Format::Torch2trt).is_ok());
    for format in [Format::Trtexec, Format::TensorrtPython] {
        let why = render(&setup, format).unwrap_err();
        assert!(why.contains("cannot import LayerNormalization"), "{why}");
    }
}

/// The generated program is Python and names every layer that leaves the default device.
#[test]
fn tensorrt_python_compiles_and_lists_the_layers() {
    for target in [
        "xavier-nx:7.1",
        "xavier-nx:8.2",
        "xavier-nx:8.5",
        "agx-orin-64:8.6",
        "agx-orin-64:10.3",
    ] {
        for precision in [Precision::FP16, Precision::INT8] {
            let mut setup = setup("resnet18", target, dla(&["layer1"]));
            setup.config.precision = precision;
            let text = render(&setup, Format::TensorrtPython).unwrap();
            // Calls of its own version: TensorRT 7 has neither of the first two.
            let seven = target.ends_with("7.1");
            assert_eq!(text.contains("parse_from_file"), !seven);
            assert_eq!(text.contains("build_serialized_network"), !seven);
            let old = seven || target.ends_with("8.2");
            assert_eq!(text.contains("max_workspace_size"), old);
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("build.py");
            save_atomic(&file, text.as_bytes()).unwrap();
            let check = "import ast,sys; t=ast.parse(open(sys.argv[1]).read()); \
                         d=[n for n in t.body if isinstance(n,ast.Assign) and n.targets[0].id=='DEVICES'][0]; \
                         print(len(d.value.keys))";
            let output = Command::new("python3")
                .args(["-c", check])
                .arg(&file)
                .output()
                .unwrap();
            assert!(output.status.success(), "{text}");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "10");
        }
    }
}

/// What the generated program's `place` does with a network, given as layers of name, metadata and
/// outputs: the devices of the layers, and what is missing.
fn placed(program: &str, layers: &serde_json::Value) -> (Vec<String>, Vec<String>) {
    const HARNESS: &str = r#"
import json, sys, types
trt = types.ModuleType("tensorrt")
trt.DeviceType = types.SimpleNamespace(GPU="GPU", DLA="DLA")
sys.modules["tensorrt"] = trt
class Layer:
    def __init__(self, name, metadata, outputs):
        self.name, self.metadata, self.num_outputs = name, metadata, len(outputs)
        self.get_output = lambda i: types.SimpleNamespace(name=outputs[i])
layers = [Layer(*l) for l in json.loads(sys.argv[2])]
network = types.SimpleNamespace(num_layers=len(layers), get_layer=lambda i: layers[i])
class Config:
    def set_device_type(self, layer, device): layer.device = device
    def can_run_on_DLA(self, layer): return True
space = {"__name__": "export"}
exec(open(sys.argv[1]).read(), space)
missing = space["place"](network, Config())
print(json.dumps([[l.device for l in layers], sorted(missing)]))
"#;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("build.py");
    save_atomic(&file, program.as_bytes()).unwrap();
    let output = Command::new("python3")
        .args(["-c", HARNESS])
        .arg(&file)
        .arg(layers.to_string())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each of two nodes named `same` goes where it was placed, also where the parser made several
/// layers of one and so counted otherwise than the model does.
#[test]
fn nodes_that_share_a_name_are_told_apart() {
    let mut setup = setup("resnet18", "agx-orin-64:8.6", dla(&["layer1.0.conv1"]));
    let conv = |module: &str| {
        let module = setup.model.modules.find(module).unwrap();
        setup.model.modules.get(module).ops[0].index()
    };
    let (one, two, other) = (
        conv("layer1.0.conv1"),
        conv("layer1.0.conv2"),
        conv("layer1.1.conv1"),
    );
    for (op, name) in [(one, "same"), (two, "same_0")] {
        setup.model.ops[op].name = name.into();
        setup.model.ops[op].shared_name = Some("same".into());
    }
    // A name of its own, which looks like a further layer's.
    setup.model.ops[other].name = "same_7".into();
    let makes = |op: usize| {
        let tensor = setup.model.ops[op].outputs[0];
        setup.model.tensor(tensor).name.to_string()
    };
    let (a, b, c) = (makes(one), makes(two), makes(other));
    let program = render(&setup, Format::TensorrtPython).unwrap();
    for metadata in ["", "[ONNX Layer: same]"] {
        let layers = serde_json::json!([
            ["first", "", ["x"]],
            ["same", metadata, ["t"]],
            ["same_0", metadata, ["u"]],
            ["(Unnamed Layer* 3) [Shuffle]", "", [a]],
            ["relu", "", ["v"]],
            ["same_1", metadata, [b]],
            ["same_7", "", [c]],
            ["last", "", ["w"]],
        ]);
        let (devices, missing) = placed(&program, &layers);
        let expected = ["GPU", "DLA", "DLA", "DLA", "GPU", "GPU", "GPU", "GPU"];
        assert_eq!(devices, expected, "{program}");
        assert!(missing.is_empty(), "{missing:?}");
    }
    let none = serde_json::json!([["same", "", ["t"]]]);
    let (_, missing) = placed(&program, &none);
    assert!(missing[0].contains(&a) && missing.len() == 1, "{missing:?}");

    let why = render(&setup, Format::Trtexec).unwrap_err();
    assert!(
        why.contains("\"same\"") && why.contains("TensorRT (Python)"),
        "{why}"
    );
}

#[test]
fn layers_go_where_their_node_goes() {
    let setup = setup("resnet18", "agx-orin-64:10.3", dla(&["layer1.0.conv1"]));
    let program = render(&setup, Format::TensorrtPython).unwrap();
    assert!(!program.contains("SHARED"));
    let name = "/layer1/layer1.0/conv1/Conv";
    let metadata = format!("[ONNX Layer: {name}]");
    let layers = serde_json::json!([
        ["/conv1/Conv", "[ONNX Layer: /conv1/Conv]", ["a"]],
        [name, metadata, ["b"]],
        [format!("{name}_3"), metadata, ["c"]],
        ["(Unnamed Layer* 3) [Shuffle]", "", ["d"]],
        ["relu", "", ["e"]],
    ]);
    let (devices, missing) = placed(&program, &layers);
    assert_eq!(devices, ["GPU", "DLA", "DLA", "DLA", "GPU"]);
    assert!(missing.is_empty(), "{missing:?}");
}

/// Text that tries to leave its place in every format.
#[test]
fn hostile_names_stay_names() {
    let evil = "x\"'];import os #\u{2028}</script><b>,=cmd|*:GPU";
    let placement = Placement::default().with_module("layer1", Device::Dla);
    let mut setup = setup("resnet18", "agx-orin-64:10.3", placement);
    setup.model.name = evil.into();
    let html = render(&setup, Format::Html).unwrap();
    assert!(html.contains("Where the time goes"), "the waterfall");
    assert!(!html.contains("</script>") && html.contains("&lt;/script&gt;"));
    let python = render(&setup, Format::Torch2trt).unwrap();
    assert_eq!(
        record(&python, &setup.model)["device_types"]["layer1"],
        "DLA"
    );
    assert!(python.lines().next().unwrap().starts_with("# x"));
}

#[test]
fn the_report_tells_crossings_deployments_and_words() {
    let setup = setup("resnet18", "xavier-nx", dla(&["layer1"]));
    let judged = setup.judge().unwrap();
    let own = board::shipped("xavier-nx");
    let (model, target) = (&setup.model, &setup.target);
    let mut chart = Chart::new(model, target);
    chart.points = references(&ReferenceSet::bundled().unwrap(), model, target);
    let beside = beside_published(&chart.points, model, target, &own);
    chart.points.extend(beside);
    let look = Palette::Light.into();
    let subject = setup.subject(&judged);
    let html = Format::Html.render(&subject, &chart, &look).unwrap();
    let html = String::from_utf8(html).unwrap();
    let part = |from: &str, to: &str| {
        let start = html.find(from).unwrap();
        let length = html[start..].find(to).unwrap();
        html[start..start + length].to_owned()
    };
    let crossings = part("<h2>What crosses</h2>", "</table>");
    assert_eq!(crossings.matches("<tr>").count(), 1 + 2, "{crossings}");
    for word in [
        "/maxpool/MaxPool_output_0",
        "1x64x56x56",
        "401408",
        "est. 0.0",
    ] {
        assert!(crossings.contains(word), "{word}: {crossings}");
    }
    let together = part("<h2>Engines side by side</h2>", "</table>");
    assert_eq!(together.matches("together").count(), 12);
    // Both tables of the publication, each beside its estimate.
    let at = |text: &str| together.find(text).unwrap();
    assert!(at("INT8 2GPU, int8, published") < at("INT8 2GPU, int8, estimated"));
    assert!(at("INT8 2GPU, int8, estimated") < at("INT8 1GPU - 1DLA, int8, published"));
    assert!(together.contains("331 (measured)") && together.contains("est. "));
    assert!(html.contains("<dt>loadable</dt>"));
}

#[test]
fn golden_files() {
    let resnet = setup(
        "resnet18",
        "xavier-nx",
        dla(&["layer1", "layer2"]).with_module("layer2.0", Device::Gpu),
    );
    insta::assert_snapshot!("torch2trt", render(&resnet, Format::Torch2trt).unwrap());
    insta::assert_snapshot!(
        "tensorrt_python",
        render(&resnet, Format::TensorrtPython).unwrap()
    );
    insta::assert_snapshot!(
        "placement_json",
        render(&resnet, Format::Placement).unwrap()
    );
    let orin = setup("resnet18", "agx-orin-64:10.3", dla(&["layer1"]));
    insta::assert_snapshot!("trtexec", render(&orin, Format::Trtexec).unwrap());
}

#[test]
fn a_document_comes_back_as_it_was() {
    let setup = setup(
        "vit_b_16",
        "orin-nx-16:10.3",
        dla(&["encoder"]).with_op("nothing", Device::Gpu),
    );
    let placement = dla(&["conv_proj"]);
    let setup = Setup { placement, ..setup };
    let text = render(&setup, Format::Placement).unwrap();
    let back = Document::parse(&text, "x.json".as_ref()).unwrap();
    assert_eq!(
        (back.placement, back.engine, back.target),
        (setup.placement, setup.config, setup.target)
    );
}
