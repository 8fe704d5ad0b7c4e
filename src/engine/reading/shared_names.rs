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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::reading::attribution::{
        EngineLayer, LayerMap, NetworkLayer, PlacementLog, actual, layer_times,
    };
    use crate::engine::run::{Actual, LayerTime, RowSite};
    use crate::model::testing::Net;
    use crate::placement::Device;

    const SHAPE: [u64; 4] = [1, 8, 16, 16];

    /// `a.x` runs r (relu), `a.y` runs r_0, `b` runs r_1: nodes of one name and of the kinds given.
    fn three(kinds: [OpKind; 3]) -> Model {
        let mut net = Net::new();
        let mut last = net.input("input", Some(&SHAPE));
        let sites = [("a.x", "r"), ("a.y", "r_0"), ("b", "r_1")];
        for ((module, name), kind) in sites.into_iter().zip(kinds) {
            last = net.op_in(module, name, kind, &[last], Some(&SHAPE));
        }
        let mut model = net.finish();
        for op in &mut model.ops {
            op.shared_name = Some("r".into());
        }
        model
    }

    fn relus() -> Model {
        three([(); 3].map(|()| OpKind::Activation(Activation::Relu)))
    }

    /// Ops of which TensorRT's parser may make several layers.
    fn gemms() -> Model {
        three([(); 3].map(|()| OpKind::MatMul))
    }

    fn layer(name: &str, kind: &str, outputs: &[&str]) -> EngineLayer {
        EngineLayer {
            name: name.into(),
            kind: kind.into(),
            outputs: outputs.iter().map(|t| (*t).to_owned()).collect(),
            ..EngineLayer::default()
        }
    }

    fn rows(map: &LayerMap<'_>, layers: &[EngineLayer], names: &[&str]) -> Vec<LayerTime> {
        let rows: Vec<_> = names.iter().map(|n| ((*n).to_owned(), vec![1.0])).collect();
        layer_times(map, layers, &Actual::default(), &rows).0
    }

    fn sites(model: &Model, layers: &[EngineLayer]) -> Vec<(RowSite, Option<String>)> {
        let map = LayerMap::new(model, &[]).with_engine(layers);
        let names: Vec<&str> = layers.iter().map(|l| &*l.name).collect();
        let times = rows(&map, layers, &names).into_iter();
        times.map(|t| (t.site, t.module)).collect()
    }

    fn op(name: &str, module: &str) -> (RowSite, Option<String>) {
        let ops = vec![name.to_owned()];
        (RowSite::Ops { ops }, Some(module.to_owned()))
    }

    fn one_of(names: &[&str], module: &str) -> (RowSite, Option<String>) {
        let ops = names.iter().map(|n| (*n).to_owned()).collect();
        (RowSite::Ambiguous { ops }, Some(module.to_owned()))
    }

    /// TensorRT's numbers are not the model's: its counter went on between them.
    #[test]
    fn the_order_tells_where_each_op_is_one_layer() {
        let model = relus();
        let layers = [("r_1"), ("r"), ("r_7")].map(|n| layer(n, "", &[]));
        let expected = [op("r_0", "a.y"), op("r", "a.x"), op("r_1", "b")];
        assert_eq!(sites(&model, &layers), expected);
    }

    #[test]
    fn the_tensor_a_layer_makes_tells_whose_it_is() {
        let layers = [
            layer("r_1", "", &["r_0_out"]),
            layer("r_4", "", &["r_1_out"]),
        ];
        let expected = [op("r_0", "a.y"), op("r_1", "b")];
        for model in [relus(), gemms()] {
            assert_eq!(sites(&model, &layers), expected);
        }
        // Of two fused layers the later one made it.
        let fused = [layer("r + r_5", "", &["r_0_out"])];
        let (site, module) = sites(&relus(), &fused).remove(0);
        let ops = vec!["r".to_owned(), "r_0".to_owned()];
        assert_eq!(site, RowSite::Ops { ops });
        assert_eq!(module.as_deref(), Some("a"));
    }

    #[test]
    fn what_nothing_tells_goes_to_the_module_around() {
        // One of three is missing, so that the numbers may be of any two.
        let layers = ["r", "r_1"].map(|n| layer(n, "", &[]));
        let expected = [op("r", "a.x"), one_of(&["r_0", "r_1"], "")];
        assert_eq!(sites(&relus(), &layers), expected);
        // The second layer may be the first op's.
        let all = one_of(&["r", "r_0", "r_1"], "");
        let expected = [all.clone(), all.clone()];
        assert_eq!(sites(&gemms(), &layers), expected);
        // Up to the op whose tensor is made.
        let layers = [
            layer("r", "", &[]),
            layer("r_1", "", &["r_0_out"]),
            layer("r_2", "", &[]),
        ];
        let (first, last) = (one_of(&["r", "r_0"], "a"), one_of(&["r_0", "r_1"], ""));
        assert_eq!(sites(&gemms(), &layers), [first, op("r_0", "a.y"), last]);
        // The metadata gives the name in the file.
        let mut plain = layer("kernel", "", &[]);
        plain.onnx = vec!["r".into()];
        assert_eq!(sites(&relus(), &[plain]), [all]);
    }

    #[test]
    fn the_kind_of_a_layer_tells() {
        let softmax = OpKind::Softmax {
            axis: 1,
            log: false,
        };
        let model = three([
            OpKind::MatMul,
            softmax,
            OpKind::Activation(Activation::Relu),
        ]);
        let layers = [
            layer("r_3", "CaskSoftMaxV2", &[]),
            layer("r", "CaskConvolution", &[]),
        ];
        assert_eq!(sites(&model, &layers), [op("r_0", "a.y"), op("r", "a.x")]);
    }

    #[test]
    fn layers_of_a_network_are_told_apart() {
        let network = |layers: &[(&str, &str, &str)]| -> Vec<NetworkLayer> {
            layers
                .iter()
                .map(|(name, input, output)| NetworkLayer {
                    name: (*name).into(),
                    inputs: vec![(*input).into()],
                    outputs: vec![(*output).into()],
                    ..NetworkLayer::default()
                })
                .collect()
        };
        let model = gemms();
        // The first op makes two layers, so that the name `r_0` is not the second op's.
        let layers = network(&[
            ("r", "input", "product"),
            ("r_0", "product", "r_out"),
            ("r_1", "r_out", "r_0_out"),
            ("r_2", "r_0_out", "r_1_out"),
        ]);
        let map = LayerMap::new(&model, &layers);
        let found: Vec<_> = (0..4).map(|i| map.op(i)).collect();
        assert_eq!(
            found,
            [Some(OpId(0)), Some(OpId(0)), Some(OpId(1)), Some(OpId(2))]
        );
        let names = ["r", "r_0", "r_1", "r_2"];
        let modules: Vec<_> = rows(&map, &[], &names)
            .into_iter()
            .map(|t| t.module.unwrap())
            .collect();
        assert_eq!(modules, ["a.x", "a.x", "a.y", "b"]);
        // Without tensors nothing tells.
        let layers = network(&[("r", "", ""), ("r_0", "", "")]);
        let map = LayerMap::new(&model, &layers);
        assert_eq!(map.op(1), None);
        assert_eq!(map.candidates(1), [OpId(0), OpId(1), OpId(2)]);
    }

    /// Where an op runs is said only as far as it is known.
    #[test]
    fn devices_are_not_guessed() {
        let model = relus();
        let layers = ["r", "r_1"].map(|n| layer(n, "", &[]));
        let map = LayerMap::new(&model, &[]).with_engine(&layers);
        let log = PlacementLog::default();
        let found = actual(&map, &layers, &[Device::Gpu; 3], &log, &[]);
        let devices: Vec<_> = found.ops.iter().map(|o| o.device).collect();
        assert_eq!(devices, [Some(Device::Gpu); 3]);
        assert_eq!(found.ops[1].layer, None);
        // One of the two may be inside the block.
        let mut layers = layers.to_vec();
        layers.push(layer("{ForeignNode[r...r]}", "DLA", &[]));
        let found = actual(&map, &layers, &[Device::Dla; 3], &log, &[]);
        assert_eq!(found.ops[1].device, None);
        assert_eq!(found.ops[2].device, None);
    }
}
