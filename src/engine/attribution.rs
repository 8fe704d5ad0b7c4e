//! From what TensorRT calls its layers to ops and modules.
//!
//! Names come in several dialects: fused (`A + B`, `A || B`, `PWN(A, B)`), blocks
//! (`{ForeignNode[A...B]}`), copies (`Reformatting CopyNode for Input Tensor 0 to A`,
//! `A to nvm`, `A from nvm`, `A copy finish`), shuffles around a layer (`reshape_after_A`),
//! duplicated constants (`A_clone_1`) and layers the parser left without a name. All are read by
//! finding known names inside them, longest first, so that a name may hold any character.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Model, ModuleId, OpId};
use crate::placement::Device;

use super::run::{Actual, ActualOp, Attribution, LayerTime, RowSite};

/// A layer of TensorRT's network definition, before fusion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkLayer {
    /// `ILayer::getName`.
    pub name: String,
    /// `ILayer::getMetadata`; empty before 8.6.
    #[serde(default)]
    pub metadata: String,
    /// Names of its input tensors.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// Names of its output tensors.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// It is a constant.
    #[serde(default)]
    pub constant: bool,
}

/// Which op each layer of a network belongs to.
#[derive(Debug)]
pub struct LayerMap<'m> {
    model: &'m Model,
    /// Per network layer.
    ops: Vec<Option<OpId>>,
    /// Names of ops, folded nodes, network layers.
    layers: HashMap<String, Known>,
    /// Names of tensors: the op that makes them, or reads them for weights.
    tensors: HashMap<String, OpId>,
    /// Length of the longest of those names, bytes.
    longest: usize,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    op: OpId,
    helper: bool,
}

/// Longest row name that is looked into.
const MAX_ROW: usize = 64 * 1024;

impl<'m> LayerMap<'m> {
    /// Matches network layers with ops: by exact name, then by the ONNX name in the metadata,
    /// then by a name with a counter, then by the tensors they share with matched layers, then by
    /// position between matched neighbours.
    pub fn new(model: &'m Model, network: &[NetworkLayer]) -> Self {
        let mut layers: HashMap<String, Known> = HashMap::new();
        for id in model.op_ids() {
            let op = model.op(id);
            for folded in &op.folded {
                layers.insert(
                    folded.to_string(),
                    Known {
                        op: id,
                        helper: true,
                    },
                );
            }
        }
        for id in model.op_ids() {
            let name = model.op(id).name.to_string();
            layers.insert(
                name,
                Known {
                    op: id,
                    helper: false,
                },
            );
        }
        let mut tensors: HashMap<String, OpId> = HashMap::new();
        for tensor in &model.tensors {
            let owner = tensor
                .producer
                .or_else(|| tensor.consumers.first().copied());
            if let Some(op) = owner {
                tensors.insert(tensor.name.to_string(), op);
            }
        }
        let mut ops: Vec<Option<OpId>> = network
            .iter()
            .map(|layer| {
                let by_name = |n: &str| layers.get(n).map(|k| k.op);
                by_name(&layer.name)
                    .or_else(|| onnx_names(&layer.metadata).into_iter().find_map(by_name))
                    .or_else(|| by_name(without_counter(&layer.name)?))
            })
            .collect();
        match_by_tensors(model, network, &mut ops, &tensors);
        match_by_position(network, &mut ops);
        for (layer, op) in network.iter().zip(&ops) {
            if let Some(op) = op {
                layers.entry(layer.name.clone()).or_insert(Known {
                    op: *op,
                    helper: true,
                });
                for tensor in &layer.outputs {
                    tensors.entry(tensor.clone()).or_insert(*op);
                }
            }
        }
        let names = layers.keys().chain(tensors.keys());
        let longest = names.map(String::len).max().unwrap_or_default();
        Self {
            model,
            ops,
            layers,
            tensors,
            longest,
        }
    }

    /// The op of a network layer, by its position.
    pub fn op(&self, layer: usize) -> Option<OpId> {
        self.ops.get(layer).copied().flatten()
    }

    /// Ops named in a text, principal ones and helpers apart.
    fn find(&self, text: &str) -> Found {
        let mut found = Found::default();
        if text.len() > MAX_ROW {
            return found;
        }
        let starts: Vec<usize> = boundaries(text, &START_AFTER);
        let ends: Vec<usize> = (1..text.len())
            .filter(|i| text.is_char_boundary(*i) && ends_before(&text[*i..]))
            .chain([text.len()])
            .collect();
        let mut from = 0;
        for start in starts {
            if start < from {
                continue;
            }
            let within = ends.partition_point(|e| *e <= start + self.longest);
            let hit = ends[..within]
                .iter()
                .rev()
                .take_while(|e| **e > start)
                .find_map(|end| {
                    let name = &text[start..*end];
                    let known = self.layers.get(name).copied().or_else(|| {
                        let op = *self.tensors.get(name)?;
                        Some(Known { op, helper: true })
                    })?;
                    Some((*end, known))
                });
            if let Some((end, known)) = hit {
                from = end;
                let set = if known.helper {
                    &mut found.helpers
                } else {
                    &mut found.ops
                };
                set.insert(known.op);
            }
        }
        found
    }
}

#[derive(Debug, Default)]
struct Found {
    ops: BTreeSet<OpId>,
    helpers: BTreeSet<OpId>,
}

const START_AFTER: [&str; 9] = [
    " ", "(", "[", "{", ",", "...", "_after_", "_before_", "node_",
];

fn boundaries(text: &str, after: &[&str]) -> Vec<usize> {
    let mut out = vec![0];
    for (i, _) in text.char_indices().skip(1) {
        if after.iter().any(|a| text[..i].ends_with(a)) {
            out.push(i);
        }
    }
    out
}

fn ends_before(rest: &str) -> bool {
    rest.starts_with([' ', ')', ']', '}', ',', ':'])
        || rest.starts_with("...")
        || rest.starts_with("_clone_")
        || rest.starts_with("_output")
        || rest.starts_with("_myl")
}

/// `X_12` -> `X`, as the parser names a second layer of the same node.
fn without_counter(name: &str) -> Option<&str> {
    let (head, counter) = name.rsplit_once('_')?;
    (!counter.is_empty() && counter.bytes().all(|b| b.is_ascii_digit())).then_some(head)
}

/// Names in `[ONNX Layer: a]`, several joined by the record separator.
fn onnx_names(metadata: &str) -> Vec<&str> {
    metadata
        .split("[ONNX Layer: ")
        .skip(1)
        .filter_map(|part| {
            let part = part.split('\u{1e}').next()?;
            let name = part.rsplit_once(']').map_or(part, |(name, _)| name);
            Some(name.split(" | Local Function: ").next().unwrap_or(name))
        })
        .collect()
}

/// Unmatched layers take the op of the layer that reads their output, or makes their input.
fn match_by_tensors(
    model: &Model,
    network: &[NetworkLayer],
    ops: &mut [Option<OpId>],
    tensors: &HashMap<String, OpId>,
) {
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (i, layer) in network.iter().enumerate() {
        for t in &layer.inputs {
            readers.entry(t).or_default().push(i);
        }
        for t in &layer.outputs {
            makers.insert(t, i);
        }
    }
    // Backwards, so that chains of helpers end at the op they serve.
    for i in (0..network.len()).rev() {
        if ops[i].is_some() {
            continue;
        }
        let layer = &network[i];
        // A layer that makes a tensor of the model is the end of its op.
        let made = layer.outputs.iter().find_map(|t| {
            let op = *tensors.get(t)?;
            let makes = model
                .op(op)
                .outputs
                .iter()
                .any(|o| *model.tensor(*o).name == **t);
            makes.then_some(op)
        });
        let weight = || layer.constant.then(|| tensors.get(&layer.name).copied())?;
        let read = || {
            let readers = layer.outputs.iter().filter_map(|t| readers.get(t.as_str()));
            readers.flatten().find_map(|r| ops[*r])
        };
        ops[i] = made.or_else(weight).or_else(read);
    }
    for i in 0..network.len() {
        if ops[i].is_none() {
            ops[i] = network[i]
                .inputs
                .iter()
                .find_map(|t| ops[*makers.get(t.as_str())?]);
        }
    }
}

/// What is still unmatched takes the op of the nearest matched neighbour, the next one first.
fn match_by_position(network: &[NetworkLayer], ops: &mut [Option<OpId>]) {
    for i in 0..network.len() {
        if ops[i].is_none() {
            let next = ops[i..].iter().flatten().next().copied();
            ops[i] = next.or_else(|| ops[..i].iter().flatten().next_back().copied());
        }
    }
}

/// A layer of a built engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineLayer {
    /// Name.
    pub name: String,
    /// `LayerType` of the inspector; empty where it gives only names.
    pub kind: String,
    /// ONNX names of the metadata (8.6 and later).
    pub onnx: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
}

/// Reads the engine inspector's JSON (also trtexec's `--exportLayerInfo`). Anything unexpected is
/// skipped: what TensorRT writes here has changed with every version.
pub fn engine_layers(json: &str) -> Vec<EngineLayer> {
    let Ok(Value::Object(root)) = serde_json::from_str::<Value>(json) else {
        return Vec::new();
    };
    let Some(Value::Array(layers)) = root.get("Layers") else {
        return Vec::new();
    };
    let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or_default().to_owned();
    layers
        .iter()
        .filter_map(|layer| match layer {
            Value::String(name) => Some(EngineLayer {
                name: name.clone(),
                ..EngineLayer::default()
            }),
            Value::Object(o) => {
                let outputs = o.get("Outputs").and_then(Value::as_array);
                let outputs = outputs.map(|a| a.iter().map(|t| text(t.get("Name"))).collect());
                let metadata = text(o.get("Metadata"));
                Some(EngineLayer {
                    name: text(o.get("Name")),
                    kind: text(o.get("LayerType")),
                    onnx: onnx_names(&metadata)
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                    outputs: outputs.unwrap_or_default(),
                })
            }
            _ => None,
        })
        .collect()
}

/// First and last name of `{ForeignNode[A...B]}` or `{ForeignNode[A]}`.
fn foreign_node(name: &str) -> Option<(&str, &str)> {
    let inner = name
        .trim()
        .strip_prefix('{')?
        .strip_suffix('}')?
        .strip_prefix("ForeignNode[")?
        .strip_suffix(']')?;
    // Names may hold dots themselves; the separator is the first "..." that is not longer.
    match inner.split_once("...") {
        Some((first, last)) => Some((first, last.trim_start_matches('.'))),
        None => Some((inner, inner)),
    }
}

/// What TensorRT said during the build about devices, if it said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementLog {
    /// `[DlaLayer]` names.
    pub dla: Vec<String>,
    /// `[GpuLayer]` names, without their type.
    pub gpu: Vec<String>,
    /// `Switching ... to GPU` and kin: layer name and TensorRT's words.
    pub refusals: Vec<(String, String)>,
}

/// Where each op of an engine runs. `requested` is what was asked, by [`OpId`].
pub fn actual(
    map: &LayerMap<'_>,
    layers: &[EngineLayer],
    requested: &[Device],
    log: &PlacementLog,
    can_run: &[(OpId, bool)],
) -> Actual {
    let model = map.model;
    let in_log: HashSet<&str> = log.dla.iter().map(|n| n.trim_matches(['{', '}'])).collect();
    let mut device: Vec<Option<(Device, String)>> = vec![None; model.ops.len()];
    let mut unmatched = Vec::new();
    let mut blocks: Vec<(&EngineLayer, (&str, &str))> = Vec::new();
    for layer in layers {
        if is_dla(layer, &in_log, map, requested)
            && let Some(ends) = foreign_node(&layer.name).or(Some((&layer.name, &layer.name)))
        {
            blocks.push((layer, ends));
            continue;
        }
        let found = row_ops(map, layer, &layer.name);
        if found.ops.is_empty() && found.helpers.is_empty() {
            if !layer.name.is_empty() {
                unmatched.push(layer.name.clone());
            }
            continue;
        }
        if is_copy(&layer.name) {
            continue;
        }
        if foreign_node(&layer.name).is_some() {
            // A block of the GPU's own compiler.
            for op in between(map, &layer.name, &device, None) {
                device[op.index()] = Some((Device::Gpu, layer.name.clone()));
            }
        }
        for op in found.ops {
            device[op.index()] = Some((Device::Gpu, layer.name.clone()));
        }
        for op in found.helpers {
            if device[op.index()].is_none() && requested[op.index()] == Device::Gpu {
                device[op.index()] = Some((Device::Gpu, layer.name.clone()));
            }
        }
    }
    let mut subgraphs = Vec::new();
    for (layer, _) in blocks {
        let ops = between(map, &layer.name, &device, Some(requested));
        for op in &ops {
            device[op.index()] = Some((Device::Dla, layer.name.clone()));
        }
        let names = ops
            .iter()
            .map(|op| model.op(*op).name.to_string())
            .collect();
        subgraphs.push((layer.name.clone(), names));
    }
    let ops = model
        .op_ids()
        .map(|id| {
            let found = device[id.index()].take();
            ActualOp {
                op: model.op(id).name.to_string(),
                device: found.as_ref().map(|(d, _)| *d),
                can_run_on_dla: can_run
                    .iter()
                    .find(|(op, _)| *op == id)
                    .map(|(_, can)| *can),
                layer: found.map(|(_, layer)| layer),
            }
        })
        .collect();
    Actual {
        ops,
        subgraphs,
        unmatched_layers: unmatched,
    }
}

fn is_dla(
    layer: &EngineLayer,
    in_log: &HashSet<&str>,
    map: &LayerMap<'_>,
    requested: &[Device],
) -> bool {
    if layer.kind.to_ascii_uppercase().contains("DLA")
        || in_log.contains(layer.name.trim_matches(['{', '}']))
    {
        return true;
    }
    // No word from the build (a loaded engine): a block that is not the GPU compiler's and whose
    // ends were asked onto the DLA.
    let gpu_compiler = ["myelin", "kgen"]
        .iter()
        .any(|k| layer.kind.to_ascii_lowercase().contains(k));
    !gpu_compiler
        && in_log.is_empty()
        && foreign_node(&layer.name).is_some_and(|(first, last)| {
            [first, last].iter().all(|name| {
                let op = map.layers.get(*name).map(|k| k.op);
                op.is_some_and(|op| requested[op.index()] == Device::Dla)
            })
        })
}

fn row_ops(map: &LayerMap<'_>, layer: &EngineLayer, name: &str) -> Found {
    let mut found = map.find(name);
    for onnx in &layer.onnx {
        if let Some(known) = map.layers.get(onnx) {
            found.ops.insert(known.op);
        }
    }
    if found.ops.is_empty() && found.helpers.is_empty() {
        let made = layer.outputs.iter().filter_map(|t| map.tensors.get(t));
        found.helpers.extend(made);
    }
    found
}

/// Ops of a block that names only its ends: everything between them in execution order that no
/// other layer runs and, for the DLA, that was asked there, joined to the ends by edges.
fn between(
    map: &LayerMap<'_>,
    name: &str,
    taken: &[Option<(Device, String)>],
    requested: Option<&[Device]>,
) -> Vec<OpId> {
    let model = map.model;
    let found = map.find(name);
    let ends: BTreeSet<OpId> = found.ops.union(&found.helpers).copied().collect();
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else {
        return Vec::new();
    };
    let free = |op: OpId| {
        (*first..=*last).contains(&op)
            && taken[op.index()].is_none()
            && requested.is_none_or(|r| r[op.index()] == Device::Dla)
    };
    let mut members: BTreeSet<OpId> = ends.iter().copied().filter(|op| free(*op)).collect();
    let mut stack: Vec<OpId> = members.iter().copied().collect();
    while let Some(op) = stack.pop() {
        let makers = model.producers(op);
        let readers = model
            .op(op)
            .outputs
            .iter()
            .flat_map(|t| &model.tensor(*t).consumers);
        for next in makers.chain(readers.copied()) {
            if free(next) && members.insert(next) {
                stack.push(next);
            }
        }
    }
    members.into_iter().collect()
}

fn is_copy(name: &str) -> bool {
    name.starts_with("Reformatting CopyNode")
        || [" to nvm", " from nvm", " copy finish"]
            .iter()
            .any(|s| name.ends_with(s))
        || name.contains(" input reformatter ")
        || name.contains(" output reformatter ")
}

/// Turns the rows of a profile (name, samples in ms) into layer times.
///
/// Before TensorRT 8.6 a DLA block's own row holds only its submission; its work shows up in the
/// next `X from nvm` row, which is charged to the block.
pub fn layer_times(
    map: &LayerMap<'_>,
    layers: &[EngineLayer],
    actual: &Actual,
    rows: &[(String, Vec<f64>)],
) -> (Vec<LayerTime>, Attribution) {
    let by_name: HashMap<&str, &EngineLayer> =
        layers.iter().map(|l| (l.name.as_str(), l)).collect();
    let subgraph: HashMap<&str, u32> = actual
        .subgraphs
        .iter()
        .zip(0..)
        .map(|((name, _), i)| (name.as_str(), i))
        .collect();
    let blank = EngineLayer::default();
    let mut pending: Option<u32> = None;
    let mut times = Vec::with_capacity(rows.len());
    let mut sum = Attribution::default();
    for (name, samples) in rows {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let mean_ms = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
        let median_ms = super::run::median(&sorted).unwrap_or(0.0);
        let site = if let Some(i) = subgraph.get(name.as_str()) {
            pending = Some(*i);
            RowSite::Subgraph { subgraph: *i }
        } else if name.ends_with(" from nvm")
            && let Some(i) = pending.take()
        {
            RowSite::Subgraph { subgraph: i }
        } else {
            let layer = by_name.get(name.as_str()).copied().unwrap_or(&blank);
            site(map, layer, name)
        };
        let device = match &site {
            RowSite::Subgraph { .. } => Device::Dla,
            _ => Device::Gpu,
        };
        sum.total_ms += mean_ms;
        if site != RowSite::Unknown {
            sum.attributed_ms += mean_ms;
        }
        times.push(LayerTime {
            module: module(map.model, &site, actual),
            name: name.clone(),
            mean_ms,
            median_ms,
            site,
            device,
        });
    }
    (times, sum)
}

fn site(map: &LayerMap<'_>, layer: &EngineLayer, name: &str) -> RowSite {
    let mut found = row_ops(map, layer, name);
    let names = |ops: &BTreeSet<OpId>| {
        ops.iter()
            .map(|op| map.model.op(*op).name.to_string())
            .collect::<Vec<String>>()
    };
    if foreign_node(name).is_some() {
        let free = vec![None; map.model.ops.len()];
        found.ops.extend(between(map, name, &free, None));
    }
    if is_copy(name) {
        found.ops.append(&mut found.helpers);
        return match names(&found.ops) {
            ops if ops.is_empty() => RowSite::Unknown,
            ops => RowSite::Reformat { ops },
        };
    }
    let shuffle = ["reshape_", "squeeze_", "unsqueeze_", "copied_"]
        .iter()
        .any(|p| name.starts_with(p));
    match (names(&found.ops), names(&found.helpers)) {
        (ops, helpers) if ops.is_empty() && helpers.is_empty() => RowSite::Unknown,
        (ops, mut helpers) if shuffle || ops.is_empty() => {
            helpers.extend(ops);
            RowSite::Helper { ops: helpers }
        }
        (ops, _) => RowSite::Ops { ops },
    }
}

/// The module that encloses all ops of a row.
fn module(model: &Model, site: &RowSite, actual: &Actual) -> Option<String> {
    let names = match site {
        RowSite::Ops { ops } | RowSite::Reformat { ops } | RowSite::Helper { ops } => ops,
        RowSite::Subgraph { subgraph } => &actual.subgraphs.get(*subgraph as usize)?.1,
        RowSite::Unknown => return None,
    };
    let tree = &model.modules;
    let mut modules = names
        .iter()
        .filter_map(|n| Some(model.op(model.find_op(n)?).module));
    let first = modules.next()?;
    let common = modules.fold(first, |a, b| {
        tree.ancestors_or_self(a)
            .find(|m| tree.subtree(*m).contains(&b.0))
            .unwrap_or(ModuleId::ROOT)
    });
    Some(tree.get(common).path.to_string())
}
