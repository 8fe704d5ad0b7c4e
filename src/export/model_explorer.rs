//! Files for Google's Model Explorer: node data for a graph that its ONNX adapter opens, and a
//! whole graph that needs no adapter.
//!
//! Formats: `node_data_builder.py` and `graph_builder.py` of `ai-edge-model-explorer`. The ONNX
//! adapter (`model-explorer-onnx`) gives a node the id of its ONNX name.

use serde_json::{Map, Value, json};

use crate::figure::Figure;
use crate::model::{DType, Model, ModuleId, Op, OpId, TensorId};
use crate::placement::Device;

use super::Subject;

/// Colours behind nodes, readable under dark text: GPU, DLA, and asked for the DLA but refused.
const GPU: &str = "#dcf3e8";
const DLA: &str = "#e9e4fc";
const FALLS_BACK: &str = "#fdefd3";
/// Colour of the lines of crossings.
const CROSSES: &str = "#b25e09";

fn colour(subject: &Subject<'_>, op: OpId) -> &'static str {
    match subject.plan.predicted[op.index()] {
        _ if subject.plan.fallback(op).is_some() => FALLS_BACK,
        Device::Gpu => GPU,
        Device::Dla => DLA,
    }
}

fn ms<'s>(subject: &'s Subject<'_>, op: OpId) -> Option<&'s Figure> {
    subject.op_ms.get(op.index())
}

/// What Model Explorer shows of an op, as names and texts.
fn told(subject: &Subject<'_>, id: OpId) -> Vec<(&'static str, String)> {
    let (plan, op) = (subject.plan, subject.model.op(id));
    let mut told = vec![
        ("requested", plan.requested[id.index()].to_string()),
        ("predicted", plan.predicted[id.index()].to_string()),
    ];
    if let Some(subgraph) = plan.subgraph_of[id.index()] {
        told.push(("DLA subgraph", (subgraph + 1).to_string()));
    }
    if let Some(why) = plan.fallback(id) {
        told.push(("falls back because", why.sentence()));
    }
    if let Some(figure) = ms(subject, id) {
        told.push(("time", figure.with_unit("ms")));
        told.push(("time from", figure.source().to_string()));
    }
    if let Some(cost) = op.cost.filter(|c| c.macs > 0) {
        told.push(("multiply-accumulates", cost.macs.to_string()));
    }
    told
}

/// Node data: per ONNX node its ms, on the colour of the device it is expected on. An op without a
/// figure says so in place of a number. More than Model Explorer reads stands beside the value.
pub fn explorer_node_data(subject: &Subject<'_>) -> String {
    let mut results = Map::new();
    for id in subject.model.op_ids() {
        let op = subject.model.op(id);
        let value = match ms(subject, id).and_then(Figure::value) {
            Some(ms) => json!(ms),
            None => json!("no estimate"),
        };
        let mut node = Map::new();
        node.insert("value".into(), value);
        node.insert("bgColor".into(), json!(colour(subject, id)));
        for (name, text) in told(subject, id) {
            node.insert(name.into(), json!(text));
        }
        let name = op.shared_name.as_ref().unwrap_or(&op.name);
        results.insert(name.to_string(), Value::Object(node));
    }
    let name = format!(
        "ms on GPU and DLA, {}, {}",
        subject.target, subject.config.precision
    );
    pretty(&json!({ "name": name, "results": results }))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The graph with its placement: a collection that Model Explorer opens without any adapter.
pub fn explorer_graph(subject: &Subject<'_>) -> String {
    let model = subject.model;
    let inputs = model.inputs.iter().map(|i| input(model, i.tensor));
    let ops = model.op_ids().map(|id| node(subject, id));
    let outputs = model.outputs.iter().map(|t| output(model, *t));
    let nodes: Vec<Value> = inputs.chain(ops).chain(outputs).collect();
    let mut about = Map::new();
    about.insert("target".into(), json!(subject.target.to_string()));
    about.insert(
        "precision".into(),
        json!(subject.config.precision.to_string()),
    );
    about.insert("batch".into(), json!(subject.config.batch.to_string()));
    let estimate = subject.estimate;
    for (name, unit, figure) in [
        ("throughput", "FPS", &estimate.fps),
        ("latency", "ms", &estimate.latency_ms),
        ("transitions", "ms", &estimate.transition_ms),
    ] {
        about.insert(name.into(), json!(figure.with_unit(unit)));
    }
    about.insert("estimates from".into(), json!(&**estimate.fps.source()));
    pretty(&json!({
        "label": model.name,
        "graphs": [{
            "id": model.name,
            "nodes": nodes,
            "groupNodeAttributes": { "": about },
            "tasksData": { "edgeOverlaysDataListLeftPane": [crossings(subject)] },
        }],
    }))
}

fn input_id(model: &Model, tensor: TensorId) -> String {
    format!("[input] {}", model.tensor(tensor).name)
}

fn pair(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value })
}

/// What an output of a node gives, as Model Explorer names a tensor's type.
fn metadata(model: &Model, at: usize, tensor: TensorId) -> Value {
    let t = model.tensor(tensor);
    let dims = t.shape.as_ref().map_or_else(
        || "?".to_owned(),
        |dims| {
            let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
            dims.join(",")
        },
    );
    let shape = format!("{}[{dims}]", type_name(t.dtype));
    json!({
        "id": at.to_string(),
        "attrs": [pair("__tensor_tag", &t.name), pair("tensor_shape", &shape)],
    })
}

fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::F64 => "float64",
        DType::I8 => "int8",
        DType::U8 => "uint8",
        DType::I16 => "int16",
        DType::U16 => "uint16",
        DType::I32 => "int32",
        DType::U32 => "uint32",
        DType::I64 => "int64",
        DType::U64 => "uint64",
        DType::Bool => "bool",
        DType::String => "string",
        DType::Other | DType::Container => "other",
    }
}

fn input(model: &Model, tensor: TensorId) -> Value {
    json!({
        "id": input_id(model, tensor),
        "label": "Input",
        "namespace": "",
        "outputsMetadata": [metadata(model, 0, tensor)],
    })
}

fn output(model: &Model, tensor: TensorId) -> Value {
    json!({
        "id": format!("[output] {}", model.tensor(tensor).name),
        "label": "Output",
        "namespace": "",
        "incomingEdges": edge(model, 0, tensor).into_iter().collect::<Vec<_>>(),
    })
}

/// The edge by which a tensor arrives; `None` of a tensor that nothing in the graph gives.
fn edge(model: &Model, operand: usize, tensor: TensorId) -> Option<Value> {
    let t = model.tensor(tensor);
    let (source, output) = match t.producer {
        Some(maker) => {
            let maker: &Op = model.op(maker);
            let at = maker.outputs.iter().position(|o| *o == tensor)?;
            (maker.name.to_string(), at)
        }
        None if model.inputs.iter().any(|i| i.tensor == tensor) => (input_id(model, tensor), 0),
        None => return None,
    };
    Some(json!({
        "sourceNodeId": source,
        "sourceNodeOutputId": output.to_string(),
        "targetNodeInputId": operand.to_string(),
    }))
}

/// The layers a module is in, from the outside: its path with the module itself.
fn namespace(model: &Model, module: ModuleId) -> String {
    model.modules.get(module).path.replace('.', "/")
}

fn node(subject: &Subject<'_>, id: OpId) -> Value {
    let model = subject.model;
    let op = model.op(id);
    let attrs: Vec<Value> = told(subject, id)
        .iter()
        .map(|(key, text)| pair(key, text))
        .collect();
    let edges: Vec<Value> = op
        .inputs
        .iter()
        .enumerate()
        .filter_map(|(at, tensor)| edge(model, at, *tensor))
        .collect();
    let outputs: Vec<Value> = op
        .outputs
        .iter()
        .enumerate()
        .map(|(at, tensor)| metadata(model, at, *tensor))
        .collect();
    json!({
        "id": &*op.name,
        "label": &*op.op_type,
        "namespace": namespace(model, op.module),
        "attrs": attrs,
        "incomingEdges": edges,
        "outputsMetadata": outputs,
        "style": { "backgroundColor": colour(subject, id) },
    })
}

/// Most readers of one tensor that get a line.
const MOST_READERS: usize = 64;

/// The tensors that cross devices, as lines over the graph.
fn crossings(subject: &Subject<'_>) -> Value {
    let (model, plan) = (subject.model, subject.plan);
    let mut overlays: [Vec<Value>; 2] = Default::default();
    for (i, transition) in plan.transitions.iter().enumerate() {
        let tensor = model.tensor(transition.tensor);
        let size = match transition.bytes {
            0 => "size unknown".to_owned(),
            bytes => format!("{bytes} bytes"),
        };
        let ms = subject.estimate.transition_figure(i).with_unit("ms");
        let label = format!("{}, {size}, {ms}", tensor.name);
        let source = match tensor.producer {
            Some(maker) => model.op(maker).name.to_string(),
            None => input_id(model, transition.tensor),
        };
        let readers = tensor.consumers.iter().filter(|reader| {
            let home = plan.subgraph_of[reader.index()];
            match transition.to {
                Device::Dla => home == Some(transition.subgraph),
                Device::Gpu => home != Some(transition.subgraph),
            }
        });
        let all = &mut overlays[usize::from(transition.to == Device::Gpu)];
        for reader in readers.take(MOST_READERS) {
            all.push(json!({
                "sourceNodeId": source,
                "targetNodeId": &*model.op(*reader).name,
                "label": label,
            }));
        }
    }
    let [into, out] = overlays;
    json!({
        "type": "edge_overlays",
        "name": "Crossings between GPU and DLA",
        "overlays": [
            { "name": "GPU to DLA", "edgeColor": CROSSES, "edges": into },
            { "name": "DLA to GPU", "edgeColor": CROSSES, "edges": out },
        ],
    })
}
