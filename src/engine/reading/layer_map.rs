//! Which op each layer of TensorRT's network belongs to, and which ops a text names.
//!
//! Names come in several dialects: fused (`A + B`, `A || B`, `PWN(A, B)`), blocks
//! (`{ForeignNode[A...B]}`), copies (`Reformatting CopyNode for Input Tensor 0 to A`,
//! `A to nvm`, `A from nvm`, `A copy finish`), shuffles around a layer (`reshape_after_A`),
//! duplicated constants (`A_clone_1`) and layers the parser left without a name. All are read by
//! finding known names inside them, longest first, so that a name may hold any character.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::model::{Model, OpId};

use super::engine_layers::{EngineLayer, foreign_node, is_copy, onnx_names};
use super::shared_names::{Namesakes, Seen, without_counter};

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
    pub(super) model: &'m Model,
    /// Per network layer; several where nodes share a name and nothing tells which it is.
    ops: Vec<Vec<OpId>>,
    /// Names of ops, folded nodes, network layers.
    pub(super) layers: HashMap<String, Known>,
    /// Names of tensors: the op that makes them, or reads them for weights.
    pub(super) tensors: HashMap<String, Vec<OpId>>,
    pub(super) namesakes: Namesakes,
    /// Length of the longest of those names, bytes.
    longest: usize,
}

/// What a name means.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// One op, or several of which it is one.
    pub(super) ops: Vec<OpId>,
    /// It is a layer or a tensor beside the op.
    pub(super) helper: bool,
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
    pub(super) fn known(&self, name: &str) -> Option<Known> {
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
    pub(super) fn find(&self, text: &str) -> Found {
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

/// The ops that a text names.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) ops: BTreeSet<OpId>,
    pub(super) helpers: BTreeSet<OpId>,
    /// Ops that share a name, of which some are meant and which is open.
    pub(super) unsure: BTreeSet<OpId>,
}

impl Found {
    pub(super) fn add(&mut self, known: &Known) {
        let set = match known.ops[..] {
            [_] if known.helper => &mut self.helpers,
            [_] => &mut self.ops,
            _ => &mut self.unsure,
        };
        set.extend(&known.ops);
    }

    pub(super) fn is_empty(&self) -> bool {
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
