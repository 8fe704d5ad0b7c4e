//! From what TensorRT calls its layers to ops and modules.
//!
//! Names come in several dialects: fused (`A + B`, `A || B`, `PWN(A, B)`), blocks
//! (`{ForeignNode[A...B]}`), copies (`Reformatting CopyNode for Input Tensor 0 to A`,
//! `A to nvm`, `A from nvm`, `A copy finish`), shuffles around a layer (`reshape_after_A`),
//! duplicated constants (`A_clone_1`) and layers the parser left without a name. All are read by
//! finding known names inside them, longest first, so that a name may hold any character.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Model, ModuleId, OpId};
use crate::placement::Device;

pub use crate::engine::reading::build_log::PlacementLog;
use crate::engine::reading::shared_names::{Namesakes, Seen, without_counter};
use crate::engine::run::{Actual, ActualOp, Attribution, LayerTime, RowSite};

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
    /// Per network layer; several where nodes share a name and nothing tells which it is.
    ops: Vec<Vec<OpId>>,
    /// Names of ops, folded nodes, network layers.
    layers: HashMap<String, Known>,
    /// Names of tensors: the op that makes them, or reads them for weights.
    tensors: HashMap<String, Vec<OpId>>,
    namesakes: Namesakes,
    /// Length of the longest of those names, bytes.
    longest: usize,
}

#[derive(Clone, Debug)]
struct Known {
    /// One op, or several of which it is one.
    ops: Vec<OpId>,
    helper: bool,
}

/// Longest row name that is looked into.
const MAX_ROW: usize = 64 * 1024;
/// Length of the longest counter after a name, bytes.
const MAX_COUNTER: usize = 1 + 20;

impl<'m> LayerMap<'m> {
    /// Matches network layers with ops: by exact name, then by the ONNX name in the metadata,
    /// then by a name with a counter, then by the tensors they share with matched layers, then by
    /// position between matched neighbours. Layers of nodes that share a name are told apart by
    /// the tensors they make and by their order; where both leave it open, such a layer belongs to
    /// one of several ops.
    pub fn new(model: &'m Model, network: &[NetworkLayer]) -> Self {
        let namesakes = Namesakes::of(model);
        let mut layers: HashMap<String, Known> = HashMap::new();
        let mut learn = |name: &str, op: OpId, helper: bool| {
            if !helper || namesakes.candidates(name).is_none() {
                let ops = vec![op];
                layers.insert(name.to_owned(), Known { ops, helper });
            }
        };
        for id in model.op_ids() {
            let folded = &model.op(id).folded;
            for name in folded {
                learn(name, id, true);
            }
        }
        for id in model.op_ids() {
            if model.op(id).shared_name.is_none() {
                learn(&model.op(id).name, id, false);
            }
        }
        let mut tensors: HashMap<String, Vec<OpId>> = HashMap::new();
        for tensor in &model.tensors {
            let owner = tensor
                .producer
                .or_else(|| tensor.consumers.first().copied());
            if let Some(op) = owner {
                tensors.insert(tensor.name.to_string(), vec![op]);
            }
        }
        let mut ops: Vec<Vec<OpId>> = network
            .iter()
            .map(|layer| {
                if namesake(&layers, &namesakes, layer).is_some() {
                    return Vec::new();
                }
                let by_name = |n: &str| layers.get(n).map(|k| k.ops.clone());
                by_name(&layer.name)
                    .or_else(|| onnx_names(&layer.metadata).into_iter().find_map(by_name))
                    .or_else(|| by_name(without_counter(&layer.name)?))
                    .unwrap_or_default()
            })
            .collect();
        let shared: Vec<(usize, Seen<'_>)> = network
            .iter()
            .enumerate()
            .filter_map(|(i, layer)| {
                let name = namesake(&layers, &namesakes, layer)?;
                let made = |t: &String| maker(model, &tensors, t);
                let seen = Seen {
                    name,
                    numbered: name == layer.name,
                    makes: layer.outputs.iter().find_map(made),
                    kind: "",
                };
                Some((i, seen))
            })
            .collect();
        let (places, seen): (Vec<usize>, Vec<Seen<'_>>) = shared.into_iter().unzip();
        for (i, found) in places.iter().zip(namesakes.resolve(model, &seen)) {
            ops[*i] = found;
        }
        match_by_tensors(model, network, &mut ops, &tensors);
        match_by_position(network, &mut ops);
        for (i, seen) in places.iter().zip(seen) {
            let (name, ops) = (network[*i].name.clone(), ops[*i].clone());
            let helper = !seen.numbered;
            layers.insert(name, Known { ops, helper });
        }
        for (layer, ops) in network.iter().zip(&ops) {
            if !ops.is_empty() {
                layers.entry(layer.name.clone()).or_insert_with(|| Known {
                    ops: ops.clone(),
                    helper: true,
                });
                for tensor in &layer.outputs {
                    tensors.entry(tensor.clone()).or_insert_with(|| ops.clone());
                }
            }
        }
        let names = layers.keys().chain(tensors.keys()).map(String::len);
        let shared = model.ops.iter().filter_map(|o| o.shared_name.as_ref());
        let longest = names
            .chain(shared.map(|n| n.len() + MAX_COUNTER))
            .max()
            .unwrap_or_default();
        Self {
            model,
            ops,
            layers,
            tensors,
            namesakes,
            longest,
        }
    }

    /// Learns from a built engine which layer is whose among nodes that share a name, where the
    /// network did not tell.
    #[must_use]
    pub fn with_engine(mut self, engine: &[EngineLayer]) -> Self {
        // By name: its order is its number's, whatever order the engine lists it in.
        let mut shared: BTreeMap<&str, Seen<'_>> = BTreeMap::new();
        for layer in engine {
            let names = self.names(&layer.name);
            let open: Vec<&str> = names
                .iter()
                .map(|(name, _)| *name)
                .filter(|n| !self.layers.contains_key(*n))
                .filter(|n| self.namesakes.candidates(n).is_some())
                .collect();
            let whole = !is_copy(&layer.name) && foreign_node(&layer.name).is_none();
            let made = |t: &String| maker(self.model, &self.tensors, t);
            let made = layer.outputs.iter().find_map(made).filter(|_| whole);
            // Of the layers fused here the last made the output.
            let maker = made.and_then(|op| self.namesakes.last_of(&open, op));
            for name in &open {
                let entry = shared.entry(name).or_insert(Seen {
                    name,
                    numbered: true,
                    makes: None,
                    kind: "",
                });
                if maker == Some(name) {
                    entry.makes = made;
                }
                if *name == layer.name {
                    entry.kind = &layer.kind;
                }
            }
        }
        let seen: Vec<Seen<'_>> = shared.into_values().collect();
        let found = self.namesakes.resolve(self.model, &seen);
        let learnt: Vec<(String, Vec<OpId>)> = seen
            .iter()
            .map(|seen| seen.name.to_owned())
            .zip(found)
            .collect();
        for (name, ops) in learnt {
            self.layers.insert(name, Known { ops, helper: false });
        }
        self
    }

    /// The op of a network layer, by its position; `None` also where it is one of several.
    pub fn op(&self, layer: usize) -> Option<OpId> {
        match self.candidates(layer) {
            [op] => Some(*op),
            _ => None,
        }
    }

    /// The ops one of which a network layer belongs to, by its position.
    pub fn candidates(&self, layer: usize) -> &[OpId] {
        self.ops.get(layer).map_or(&[], |ops| ops)
    }

    /// What a name in a text means.
    fn known(&self, name: &str) -> Option<Known> {
        if let Some(known) = self.layers.get(name) {
            return Some(known.clone());
        }
        if let Some(ops) = self.namesakes.candidates(name) {
            return Some(Known { ops, helper: false });
        }
        let ops = self.tensors.get(name)?.clone();
        Some(Known { ops, helper: true })
    }

    /// Known names in a text.
    fn names<'t>(&self, text: &'t str) -> Vec<(&'t str, Known)> {
        let mut found = Vec::new();
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
                .find_map(|end| Some((*end, self.known(&text[start..*end])?)));
            if let Some((end, known)) = hit {
                from = end;
                found.push((&text[start..end], known));
            }
        }
        found
    }

    /// Ops named in a text, principal ones and helpers apart.
    fn find(&self, text: &str) -> Found {
        let mut found = Found::default();
        for (_, known) in self.names(text) {
            found.add(&known);
        }
        found
    }
}

/// The name of a network layer that several nodes share, with its counter.
fn namesake<'n>(
    layers: &HashMap<String, Known>,
    namesakes: &Namesakes,
    layer: &'n NetworkLayer,
) -> Option<&'n str> {
    if layers.contains_key(&layer.name) || layer.constant {
        return None;
    }
    if namesakes.candidates(&layer.name).is_some() {
        return Some(&layer.name);
    }
    let named = onnx_names(&layer.metadata);
    let named = named.into_iter().find(|n| namesakes.named(n).is_some())?;
    Some(named)
}

/// The op that makes a tensor of the model.
fn maker(model: &Model, tensors: &HashMap<String, Vec<OpId>>, tensor: &str) -> Option<OpId> {
    let [op] = tensors.get(tensor)?[..] else {
        return None;
    };
    let outputs = &model.op(op).outputs;
    let makes = outputs.iter().any(|o| *model.tensor(*o).name == *tensor);
    makes.then_some(op)
}

#[derive(Debug, Default)]
struct Found {
    ops: BTreeSet<OpId>,
    helpers: BTreeSet<OpId>,
    /// Ops that share a name, of which some are meant and which is open.
    unsure: BTreeSet<OpId>,
}

impl Found {
    fn add(&mut self, known: &Known) {
        let set = match known.ops[..] {
            [_] if known.helper => &mut self.helpers,
            [_] => &mut self.ops,
            _ => &mut self.unsure,
        };
        set.extend(&known.ops);
    }

    fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.helpers.is_empty() && self.unsure.is_empty()
    }
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
    ops: &mut [Vec<OpId>],
    tensors: &HashMap<String, Vec<OpId>>,
) {
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut makers_of: HashMap<&str, usize> = HashMap::new();
    for (i, layer) in network.iter().enumerate() {
        for t in &layer.inputs {
            readers.entry(t).or_default().push(i);
        }
        for t in &layer.outputs {
            makers_of.insert(t, i);
        }
    }
    let known = |ops: &[Vec<OpId>], i: usize| {
        let found = ops.get(i).filter(|o| !o.is_empty());
        found.cloned()
    };
    // Backwards, so that chains of helpers end at the op they serve.
    for i in (0..network.len()).rev() {
        if !ops[i].is_empty() {
            continue;
        }
        let layer = &network[i];
        // A layer that makes a tensor of the model is the end of its op.
        let made = layer.outputs.iter().find_map(|t| maker(model, tensors, t));
        let weight = || layer.constant.then(|| tensors.get(&layer.name).cloned())?;
        let read = || {
            let readers = layer.outputs.iter().filter_map(|t| readers.get(t.as_str()));
            readers.flatten().find_map(|r| known(ops, *r))
        };
        let found = made.map(|op| vec![op]).or_else(weight).or_else(read);
        ops[i] = found.unwrap_or_default();
    }
    for i in 0..network.len() {
        if ops[i].is_empty() {
            let mut inputs = network[i].inputs.iter();
            let found = inputs.find_map(|t| known(ops, *makers_of.get(t.as_str())?));
            ops[i] = found.unwrap_or_default();
        }
    }
}

/// What is still unmatched takes the op of the nearest matched neighbour, the next one first.
fn match_by_position(network: &[NetworkLayer], ops: &mut [Vec<OpId>]) {
    for i in 0..network.len() {
        if ops[i].is_empty() {
            let next = ops[i..].iter().find(|o| !o.is_empty());
            let near = next.or_else(|| ops[..i].iter().rev().find(|o| !o.is_empty()));
            ops[i] = near.cloned().unwrap_or_default();
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
    let parsed = serde_json::from_str::<Value>(json);
    let Ok(Value::Object(root)) = parsed.or_else(|_| serde_json::from_str(&escaped(json))) else {
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

/// JSON whose strings hold characters as they are: TensorRT 8.6 puts the record separator (0x1e)
/// between the ONNX names of a fused layer, and escapes neither it nor a backslash.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 64);
    let mut inside = false;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                inside = !inside;
                out.push(c);
            }
            '\\' if inside => {
                out.push(c);
                match chars.next_if(|c| "\"\\/bfnrtu".contains(*c)) {
                    Some(next) => out.push(next),
                    None => out.push(c),
                }
            }
            c if inside && c < ' ' => {
                out.push_str("\\u00");
                let code = u32::from(c);
                out.extend([code / 16, code % 16].map(|d| char::from_digit(d, 16).unwrap_or('0')));
            }
            _ => out.push(c),
        }
    }
    out
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

/// Where each op of an engine runs. `requested` is what was asked, by [`OpId`].
///
/// The engine's own list of layers decides; without one the build's log does: its lists, then the
/// layers it sent to the GPU.
pub fn actual(
    map: &LayerMap<'_>,
    layers: &[EngineLayer],
    requested: &[Device],
    log: &PlacementLog,
    can_run: &[(OpId, bool)],
) -> Actual {
    let model = map.model;
    let told = layers.is_empty().then(|| layers_told(log));
    let layers = told.as_deref().unwrap_or(layers);
    let in_log: HashSet<&str> = log.dla.iter().map(|n| n.trim_matches(['{', '}'])).collect();
    let mut device: Vec<Option<(Device, String)>> = vec![None; model.ops.len()];
    let mut unmatched = Vec::new();
    let mut blocks: Vec<&EngineLayer> = Vec::new();
    let mut unsure: BTreeSet<OpId> = BTreeSet::new();
    for layer in layers {
        if is_dla(layer, &in_log, map, requested) {
            blocks.push(layer);
            continue;
        }
        let found = row_ops(map, layer, &layer.name);
        if found.is_empty() {
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
            for op in between(map, &layer.name, &Bounds::of(&device)) {
                device[op.index()] = Some((Device::Gpu, layer.name.clone()));
            }
        }
        unsure.extend(found.unsure);
        for op in found.ops {
            device[op.index()] = Some((Device::Gpu, layer.name.clone()));
        }
        for op in found.helpers {
            if device[op.index()].is_none() && requested[op.index()] == Device::Gpu {
                device[op.index()] = Some((Device::Gpu, layer.name.clone()));
            }
        }
    }
    unsure.retain(|op| device[op.index()].is_none());
    let reasons = reasons(map, log);
    let sent: BTreeSet<OpId> = reasons
        .iter()
        .filter(|(_, said)| said.sent)
        .map(|(op, _)| *op)
        .collect();
    let mut subgraphs = Vec::new();
    // Where nothing is on the DLA, those are on the GPU, whichever of the layers are theirs.
    if blocks.is_empty() {
        for op in &unsure {
            device[op.index()] = Some((Device::Gpu, String::new()));
        }
    }
    for layer in blocks {
        let bounds = Bounds {
            requested: Some(requested),
            not: Some(&sent),
            paths_only: told.is_some() && !log.lists_gpu,
            ..Bounds::of(&device)
        };
        let mut ops = between(map, &layer.name, &bounds);
        ops.retain(|op| !unsure.contains(op));
        for op in &ops {
            device[op.index()] = Some((Device::Dla, layer.name.clone()));
        }
        let names = ops
            .iter()
            .map(|op| model.op(*op).name.to_string())
            .collect();
        subgraphs.push((layer.name.clone(), names));
    }
    if told.is_some() {
        for op in model.op_ids() {
            let everything = log.all_on_gpu.is_some() && subgraphs.is_empty();
            if device[op.index()].is_none() && (everything || sent.contains(&op)) {
                device[op.index()] = Some((Device::Gpu, String::new()));
            }
        }
    }
    let ops = model
        .op_ids()
        .map(|id| {
            let found = device[id.index()].take();
            let said = reasons.get(&id).map(|said| said.words.clone());
            ActualOp {
                op: model.op(id).name.to_string(),
                device: found.as_ref().map(|(d, _)| *d),
                can_run_on_dla: can_run
                    .iter()
                    .find(|(op, _)| *op == id)
                    .map(|(_, can)| *can),
                layer: found.map(|(_, layer)| layer).filter(|l| !l.is_empty()),
                reasons: said.unwrap_or_default(),
            }
        })
        .collect();
    Actual {
        ops,
        subgraphs,
        unmatched_layers: unmatched,
    }
}

/// The layers that a log lists, as an engine would.
fn layers_told(log: &PlacementLog) -> Vec<EngineLayer> {
    let layer = |name: &String, kind: &str| EngineLayer {
        name: name.clone(),
        kind: kind.to_owned(),
        ..EngineLayer::default()
    };
    let dla = log.dla.iter().map(|name| layer(name, "DLA"));
    let gpu = log.gpu.iter().map(|name| layer(name, ""));
    dla.chain(gpu).collect()
}

/// What a log said of one op.
#[derive(Debug, Default)]
struct Said {
    words: Vec<String>,
    /// It sent the op's own layer to the GPU.
    sent: bool,
}

/// TensorRT's words about each op, in order, without repeats.
fn reasons(map: &LayerMap<'_>, log: &PlacementLog) -> BTreeMap<OpId, Said> {
    let mut all: BTreeMap<OpId, Said> = BTreeMap::new();
    let mut add = |op: OpId, text: &str, sent: bool| {
        let said = all.entry(op).or_default();
        said.sent |= sent;
        if said.words.len() < MAX_REASONS && !said.words.iter().any(|w| w == text) {
            said.words.push(text.to_owned());
        }
    };
    for (name, text) in &log.refusals {
        // The op's own layer, not a constant or a shuffle of the parser beside it.
        if let Some(Known { ops, helper: false }) = map.known(name)
            && let [op] = ops[..]
        {
            add(op, text, true);
        }
    }
    for (name, text) in &log.remarks {
        for op in map.known(name).map(|k| k.ops).unwrap_or_default() {
            add(op, text, false);
        }
    }
    if let Some(text) = &log.all_on_gpu {
        for op in map.model.op_ids() {
            add(op, text, false);
        }
    }
    all
}

/// Most sentences kept of one op.
const MAX_REASONS: usize = 8;

/// Ops of a block or a layer by its name: all between the two names of a block, or those named.
pub fn members(map: &LayerMap<'_>, name: &str, actual: &Actual) -> Vec<OpId> {
    let known = actual.subgraphs.iter().find(|(block, _)| block == name);
    let known = known.map(|(_, ops)| ops.iter().filter_map(|n| map.model.find_op(n)).collect());
    match known {
        Some(ops) => ops,
        None => between(map, name, &Bounds::of(&vec![None; map.model.ops.len()])),
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
                let known = map.layers.get(*name).map(|k| k.ops.clone());
                let ops = known.or_else(|| map.namesakes.candidates(name));
                ops.is_some_and(|o| o.iter().all(|op| requested[op.index()] == Device::Dla))
            })
        })
}

fn row_ops(map: &LayerMap<'_>, layer: &EngineLayer, name: &str) -> Found {
    let mut found = map.find(name);
    let made = layer.outputs.iter().filter_map(|t| map.tensors.get(t));
    for onnx in &layer.onnx {
        // The name in the file, which several nodes may have.
        if let Some(ops) = map.namesakes.named(onnx) {
            let told = |op: &OpId| found.ops.contains(op) || found.unsure.contains(op);
            if !ops.iter().any(told) {
                let makes: Vec<OpId> = made.clone().flatten().copied().collect();
                let ops: Vec<OpId> = match ops.iter().find(|op| makes.contains(op)) {
                    Some(op) => vec![*op],
                    None => ops.to_vec(),
                };
                found.add(&Known { ops, helper: false });
            }
        } else if let Some(known) = map.layers.get(onnx) {
            found.ops.extend(&known.ops);
        }
    }
    if found.is_empty() {
        for ops in made {
            let ops = ops.clone();
            found.add(&Known { ops, helper: true });
        }
    }
    found
}

/// Which ops a block may hold besides the ones it names.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    /// What other layers run.
    taken: &'a [Option<(Device, String)>],
    /// Only ops asked onto the DLA, where its ends were.
    requested: Option<&'a [Device]>,
    /// Ops that cannot be inside.
    not: Option<&'a BTreeSet<OpId>>,
    /// Only what lies on a way from one end to the other: a block that a way left and entered
    /// again would wait for itself. Other ops may be a layer's that the log no longer shows.
    paths_only: bool,
}

impl<'a> Bounds<'a> {
    fn of(taken: &'a [Option<(Device, String)>]) -> Self {
        Self {
            taken,
            requested: None,
            not: None,
            paths_only: false,
        }
    }
}

/// Ops of a block that names only its ends: everything between them in execution order that no
/// other layer runs and, for the DLA, that was asked there, joined to the ends by edges. A block
/// of TensorRT 7 names all of its ops.
fn between(map: &LayerMap<'_>, name: &str, bounds: &Bounds<'_>) -> Vec<OpId> {
    let model = map.model;
    let mut found = map.find(name);
    if let Some((first, last)) = foreign_node(name) {
        // The parser numbers the second layer of a node: `Split_32` of `Split`.
        for end in [first, last] {
            if map.known(end).is_none()
                && let Some(Known { ops, helper: false }) =
                    without_counter(end).and_then(|n| map.known(n))
                && let [op] = ops[..]
            {
                found.ops.insert(op);
            }
        }
    } else {
        let named = [found.ops, found.helpers];
        let named = named.into_iter().find(|ops| !ops.is_empty());
        return named.into_iter().flatten().collect();
    }
    // An end that may be one of several bounds nothing.
    let ends: BTreeSet<OpId> = found.ops.union(&found.helpers).copied().collect();
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else {
        return Vec::new();
    };
    // A placement that did not ask for an end says nothing of what is inside.
    let asked = |op: OpId| {
        bounds
            .requested
            .is_none_or(|r| r[op.index()] == Device::Dla)
    };
    let placed = ends.iter().any(|op| asked(*op));
    let on_path = bounds.paths_only.then(|| paths(model, &ends));
    let free = |op: OpId| {
        (*first..=*last).contains(&op)
            && bounds.taken[op.index()].is_none()
            && (asked(op) || !placed)
            && bounds.not.is_none_or(|not| !not.contains(&op))
            && on_path.as_ref().is_none_or(|path| path.contains(&op))
    };
    // What the block names is in it; an end that another layer also runs stays with that one.
    let mut members: BTreeSet<OpId> = ends
        .iter()
        .copied()
        .filter(|op| match &bounds.taken[op.index()] {
            None => true,
            Some((device, _)) => *device == Device::Dla && found.ops.contains(op),
        })
        .collect();
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

/// Ops on a way from one of `ends` to another, ends included. Linear in the ops between them.
fn paths(model: &Model, ends: &BTreeSet<OpId>) -> BTreeSet<OpId> {
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else {
        return BTreeSet::new();
    };
    let between = first.0..=last.0;
    let mut after: BTreeSet<OpId> = ends.clone();
    for op in between.clone().map(OpId) {
        if model.producers(op).any(|p| after.contains(&p)) {
            after.insert(op);
        }
    }
    let mut both: BTreeSet<OpId> = ends.clone();
    for op in between.rev().map(OpId) {
        let mut readers = model
            .op(op)
            .outputs
            .iter()
            .flat_map(|t| &model.tensor(*t).consumers);
        if after.contains(&op) && readers.any(|r| both.contains(r)) {
            both.insert(op);
        }
    }
    both
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
        let median_ms = crate::engine::run::median(&sorted).unwrap_or(0.0);
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
    found.unsure.retain(|op| !found.ops.contains(op));
    if !found.unsure.is_empty() {
        let mut all = found.unsure;
        all.append(&mut found.ops);
        if is_copy(name) {
            all.append(&mut found.helpers);
        }
        return RowSite::Ambiguous { ops: names(&all) };
    }
    if foreign_node(name).is_some() {
        let free = vec![None; map.model.ops.len()];
        found.ops.extend(between(map, name, &Bounds::of(&free)));
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
        RowSite::Ops { ops }
        | RowSite::Reformat { ops }
        | RowSite::Helper { ops }
        | RowSite::Ambiguous { ops } => ops,
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
