//! Files for Model Explorer, opened by Model Explorer's own Python package without its window.
//! `scripts/corpus.sh` installs the package; without it the last test passes empty unless
//! `DLAPLAN_REQUIRE_CORPUS=1`.

#![expect(clippy::print_stderr, reason = "tests say what they skip")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use dlaplan::chart::{Chart, Palette};
use dlaplan::export::{Format, save_atomic};
use dlaplan::model::onnx::{bundled, load_bundled};
use dlaplan::placement::{Device, EngineConfig, Placement};
use dlaplan::platform::Target;
use dlaplan::tasks::judge::Setup;
use serde_json::Value;

fn setup(model: &str, placement: Placement) -> Setup {
    Setup {
        model: load_bundled(model).unwrap(),
        target: Target::default(),
        config: EngineConfig::default(),
        placement,
    }
}

fn render(setup: &Setup, format: Format) -> Vec<u8> {
    let judged = setup.judge().unwrap();
    let subject = setup.subject(&judged);
    let look = Palette::Light.into();
    format.render(&subject, &Chart::default(), &look).unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn node_data_says_place_reason_and_ms_of_every_node() {
    let setup = setup("resnet18", Placement::all(Device::Dla));
    let judged = setup.judge().unwrap();
    let data = json(&render(&setup, Format::NodeData));
    let results = data["results"].as_object().unwrap();
    assert_eq!(results.len(), setup.model.ops.len());
    for id in setup.model.op_ids() {
        let node = &results[&*setup.model.op(id).name];
        assert_eq!(node["requested"], "DLA");
        assert_eq!(
            node["predicted"],
            judged.plan.predicted[id.index()].as_str()
        );
        assert_eq!(node["value"].as_f64(), judged.op_ms[id.index()].value());
        let falls = judged.plan.fallback(id);
        assert_eq!(node.get("falls back because").is_some(), falls.is_some());
        assert!(
            node["time"].as_str().unwrap().starts_with("est. "),
            "{node}"
        );
    }
    let colours: BTreeSet<&str> = results
        .values()
        .filter_map(|n| n["bgColor"].as_str())
        .collect();
    assert_eq!(colours.len(), 2, "DLA and fallback: {colours:?}");
    assert!(!judged.plan.fallbacks.is_empty());
}

#[test]
fn the_graph_shows_what_crosses() {
    let placement = Placement::default().with_module("layer2", Device::Dla);
    let graph = json(&render(
        &setup("resnet18", placement),
        Format::ModelExplorer,
    ));
    let overlays = &graph["graphs"][0]["tasksData"]["edgeOverlaysDataListLeftPane"][0]["overlays"];
    // The block's input feeds its first convolution and its shortcut.
    assert_eq!(overlays[0]["edges"].as_array().unwrap().len(), 2);
    let label = overlays[0]["edges"][0]["label"].as_str().unwrap();
    assert!(
        label.contains(" bytes, est. ") && label.contains(" ms "),
        "{label}"
    );
    let nodes = graph["graphs"][0]["nodes"].as_array().unwrap();
    let conv = nodes
        .iter()
        .find(|n| n["id"] == "/layer2/layer2.0/conv1/Conv")
        .unwrap();
    assert_eq!(conv["namespace"], "layer2/0/conv1");
    assert!(
        conv["attrs"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["value"] == "DLA")
    );
}

/// A Python with the packages, if `scripts/corpus.sh` made one.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".corpus/model-explorer");
    let python = root.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    let required = std::env::var_os("DLAPLAN_REQUIRE_CORPUS").is_some_and(|v| v == "1");
    assert!(!required, "no {}: run scripts/corpus.sh", python.display());
    eprintln!(
        "SKIPPED: no Model Explorer in {}: run scripts/corpus.sh",
        root.display()
    );
    None
}

#[test]
fn model_explorer_opens_both_files() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(&python);
    command.arg("scripts/corpus/open_in_model_explorer.py");
    let mut setups = Vec::new();
    for network in bundled() {
        let op = load_bundled(network.name).unwrap().ops[3].name.clone();
        for placement in [
            Placement::all(Device::Gpu),
            Placement::all(Device::Dla),
            Placement::default().with_op(&op, Device::Dla),
        ] {
            let setup = setup(network.name, placement);
            let n = setups.len();
            let [graph, data, model] = ["graph.json", "data.json", "model.onnx"]
                .map(|name| dir.path().join(format!("{n}.{name}")));
            save_atomic(&graph, &render(&setup, Format::ModelExplorer)).unwrap();
            save_atomic(&data, &render(&setup, Format::NodeData)).unwrap();
            save_atomic(&model, network.bytes().as_ref()).unwrap();
            command.args([&graph, &data, &model]);
            setups.push(setup);
        }
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let found = json(&output.stdout);
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), setups.len());
    for (setup, found) in setups.iter().zip(found) {
        let (name, ops) = (&setup.model.name, setup.model.ops.len());
        let ends = setup.model.inputs.len() + setup.model.outputs.len();
        assert_eq!(found["graph"]["nodes"], ops + ends, "{name}");
        assert!(found["graph"]["edges"].as_u64().unwrap() as usize >= ops);
        let judged = setup.judge().unwrap();
        let crosses = found["graph"]["crossings"].as_u64().unwrap() > 0;
        assert_eq!(crosses, !judged.plan.transitions.is_empty(), "{name}");
        // Every node is one that the ONNX adapter knows by this id.
        let missing = &found["node_data"]["missing"];
        assert_eq!(*missing, Value::Array(Vec::new()), "{name}");
        assert_eq!(found["node_data"]["results"], ops);
    }
}
