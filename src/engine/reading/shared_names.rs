//! Ops that share one node name, told apart.
//!
//! ONNX lets nodes share a name; TensorRT's parser numbers the layers it makes of them (10.1
//! `ImporterContext::registerLayer`: the name, then `name_<counter>` with one counter for the whole
//! file that also counts further layers of one node). So a number says in which order the layers
//! were made, and not which op one belongs to. That is told by the tensors a layer makes, by the
//! order where every op makes one layer, and by the kind of layer. What none of them tells stays
//! open: a layer then belongs to one of several ops.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Activation, BinaryOp, Model, OpId, OpKind, PoolKind};

/// Ops by the node name they share.
#[derive(Debug, Default)]
pub(crate) struct Namesakes {
    groups: HashMap<Arc<str>, Group>,
}

#[derive(Debug)]
struct Group {
    /// In execution order.
    ops: Vec<OpId>,
    /// The order in the file, in which TensorRT makes the layers, is the execution order, and no
    /// folded node has the name.
    ordered: bool,
}

/// A layer whose name ops share.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    /// Its name, with its number.
    pub name: &'a str,
    /// The number in it is TensorRT's, and not one that only the metadata gives.
    pub numbered: bool,
    /// The op that makes one of the layer's outputs.
    pub makes: Option<OpId>,
    /// TensorRT's type of the layer; empty where unknown.
    pub kind: &'a str,
}

impl Namesakes {
    pub fn of(model: &Model) -> Self {
        let mut groups: HashMap<Arc<str>, Group> = HashMap::new();
        for id in model.op_ids() {
            if let Some(name) = &model.op(id).shared_name {
                let group = groups.entry(Arc::clone(name)).or_insert_with(|| Group {
                    ops: Vec::new(),
                    ordered: true,
                });
                // The model's own numbers follow the file.
                let own = number(name, &model.op(id).name);
                let before = group.ops.last().map(|op| number(name, &model.op(*op).name));
                group.ordered &= before.is_none_or(|before| before <= own);
                group.ops.push(id);
            }
        }
        let mut found = Self { groups };
        for id in model.op_ids() {
            for folded in &model.op(id).folded {
                if let Some(group) = found.group_mut(folded) {
                    group.ordered = false;
                    if let Err(at) = group.ops.binary_search(&id) {
                        group.ops.insert(at, id);
                    }
                }
            }
        }
        found
    }

    fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        let base = bases(name).find(|n| self.groups.contains_key(*n))?;
        self.groups.get_mut(base)
    }

    /// The ops that a node name of the file means.
    pub fn named(&self, node: &str) -> Option<&[OpId]> {
        self.groups.get(node).map(|g| &*g.ops)
    }

    /// The ops that a layer of this name may belong to; `None` if no ops share it.
    pub fn candidates(&self, layer: &str) -> Option<Vec<OpId>> {
        let ops = bases(layer).filter_map(|n| self.named(n)).flatten();
        let all: BTreeSet<OpId> = ops.copied().collect();
        (!all.is_empty()).then(|| all.into_iter().collect())
    }

    /// The last of some layer names that may be of an op, where their numbers tell.
    pub fn last_of<'a, 'n>(&self, names: &'a [&'n str], op: OpId) -> Option<&'a &'n str> {
        let may = |n: &&&str| self.candidates(n).is_some_and(|ops| ops.contains(&op));
        let base = |n: &'n str| bases(n).find(|b| self.groups.contains_key(*b));
        let mut may_be = names.iter().filter(may);
        let mut last = may_be.next()?;
        for name in may_be {
            let (one, two) = (base(last)?, base(name)?);
            if one != two {
                return None;
            }
            if number(one, name) > number(one, last) {
                last = name;
            }
        }
        Some(last)
    }

    /// Per layer, the ops it may belong to: one, unless nothing tells which.
    pub fn resolve(&self, model: &Model, seen: &[Seen<'_>]) -> Vec<Vec<OpId>> {
        let mut out: Vec<Vec<OpId>> = Vec::with_capacity(seen.len());
        let mut by_group: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut contested: BTreeSet<&str> = BTreeSet::new();
        for (i, layer) in seen.iter().enumerate() {
            let candidates = self.candidates(layer.name).unwrap_or_default();
            let anchored = layer.makes.filter(|op| candidates.contains(op));
            out.push(anchored.map_or(candidates, |op| vec![op]));
            let bases: Vec<&str> = bases(layer.name)
                .filter(|n| self.groups.contains_key(*n))
                .collect();
            for base in &bases {
                by_group.entry(base).or_default().push(i);
            }
            if bases.len() > 1 || !layer.numbered {
                contested.extend(bases);
            }
        }
        for (base, mut layers) in by_group {
            let Some(group) = self.groups.get(base) else {
                continue;
            };
            layers.sort_by_key(|i| number(base, seen[*i].name));
            if group.ordered && !contested.contains(base) {
                group.by_order(model, base, &layers, seen, &mut out);
            }
        }
        for (layer, ops) in seen.iter().zip(&mut out) {
            if ops.len() > 1 {
                let fits = |op: &&OpId| may_be(layer.kind, &model.op(**op).kind);
                let fitting: Vec<OpId> = ops.iter().filter(fits).copied().collect();
                if !fitting.is_empty() {
                    *ops = fitting;
                }
            }
        }
        out
    }
}

impl Group {
    /// Narrows what may be by the order: layers are made op by op.
    fn by_order(
        &self,
        model: &Model,
        base: &str,
        layers: &[usize],
        seen: &[Seen<'_>],
        out: &mut [Vec<OpId>],
    ) {
        let single: Vec<bool> = self.ops.iter().map(|op| one_layer(model, *op)).collect();
        let place = |ops: &[OpId]| match ops {
            [op] => self.ops.binary_search(op).ok(),
            _ => None,
        };
        let mut at: Vec<Option<usize>> = layers.iter().map(|i| place(&out[*i])).collect();
        if !at.iter().flatten().is_sorted() {
            return;
        }
        if layers.len() == self.ops.len()
            && single.iter().all(|s| *s)
            && at
                .iter()
                .enumerate()
                .all(|(i, at)| at.is_none_or(|a| a == i))
        {
            for (i, op) in layers.iter().zip(&self.ops) {
                out[*i] = vec![*op];
            }
            return;
        }
        // The first layer of the name has no number.
        if let (Some(first), Some(None), Some(true)) = (layers.first(), at.first(), single.first())
            && seen[*first].name == base
        {
            at[0] = Some(0);
        }
        for (i, layer) in layers.iter().enumerate() {
            if let Some(at) = at[i] {
                out[*layer] = vec![self.ops[at]];
                continue;
            }
            let from = at[..i].iter().flatten().next_back().copied().unwrap_or(0);
            let to = at[i..].iter().flatten().next().copied();
            let to = to.unwrap_or(self.ops.len() - 1);
            let known: BTreeSet<usize> = at.iter().flatten().copied().collect();
            // An op of one layer whose layer is known has no other.
            let fits = |p: &usize| !(single[*p] && known.contains(p));
            let ops: Vec<OpId> = (from..=to).filter(fits).map(|p| self.ops[p]).collect();
            if !ops.is_empty() {
                out[*layer] = ops;
            }
        }
    }
}

/// `X_12` -> `X`, as the parser names a second layer of the same node.
pub fn without_counter(name: &str) -> Option<&str> {
    let (head, counter) = name.rsplit_once('_')?;
    (!counter.is_empty() && counter.bytes().all(|b| b.is_ascii_digit())).then_some(head)
}

/// The node names that a layer's name may come from.
fn bases(layer: &str) -> impl Iterator<Item = &str> {
    [Some(layer), without_counter(layer)].into_iter().flatten()
}

/// The number a layer's name carries beyond the name it was made from; `None` for the first.
fn number(base: &str, name: &str) -> Option<u64> {
    name.strip_prefix(base)?.strip_prefix('_')?.parse().ok()
}

/// Whether TensorRT's parser gives the node's name to exactly one layer: other layers it adds
/// around these (constants, shuffles for broadcasting) have other names.
fn one_layer(model: &Model, op: OpId) -> bool {
    let op = model.op(op);
    let image = || {
        let input = op.inputs.first().map(|t| model.tensor(*t));
        input.is_some_and(|t| t.shape.as_ref().is_some_and(|s| s.len() == 4))
    };
    match &op.kind {
        OpKind::Conv(c) => c.const_weights && image(),
        OpKind::Pool(p) => p.kind != PoolKind::Lp && image(),
        OpKind::Activation(a) => matches!(
            a,
            Activation::Relu
                | Activation::LeakyRelu { .. }
                | Activation::Sigmoid
                | Activation::Tanh
        ),
        OpKind::Binary { op, .. } => matches!(
            op,
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div
        ),
        OpKind::Concat { .. } => true,
        _ => false,
    }
}

/// Whether a layer of this type can be all of such an op. Types TensorRT uses for many things say
/// nothing.
fn may_be(kind: &str, op: &OpKind) -> bool {
    let kind = kind.to_ascii_lowercase();
    if kind.contains("deconvolution") {
        matches!(op, OpKind::Deconv(_))
    } else if kind.contains("convolution") {
        matches!(
            op,
            OpKind::Conv(_) | OpKind::FullyConnected { .. } | OpKind::MatMul
        )
    } else if kind.contains("pool") {
        matches!(op, OpKind::Pool(_) | OpKind::GlobalPool(_))
    } else if kind.contains("softmax") {
        matches!(op, OpKind::Softmax { .. })
    } else {
        true
    }
}
