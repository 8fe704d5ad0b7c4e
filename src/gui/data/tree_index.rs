//! Places in the tree, and what no plan changes about its shape.

use crate::gui::data::judgement::{Ground, Judgement};
use crate::model::{Model, ModuleId, OpId};
use crate::placement::{Device, Site};
use crate::tasks::compare::{Comparison, Pair};

use std::collections::BTreeSet;

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// A module.
    Module(ModuleId),
    /// An op run by a module's own `forward`.
    Op(OpId),
}

impl Node {
    /// Its ops in two placements that are compared.
    pub(crate) fn pair(self, compared: &Comparison) -> Option<Pair> {
        match self {
            Self::Module(id) => compared.modules.get(id.index()).copied(),
            Self::Op(id) => compared.ops.get(id.index()).copied(),
        }
    }

    /// What a device is said for.
    pub fn site(self, model: &Model) -> Site {
        match self {
            Self::Module(id) => Site::Module(model.modules.get(id).path.to_string()),
            Self::Op(id) => Site::Op(model.op(id).name.to_string()),
        }
    }

    /// Path or op name for the screen; "the whole network" for the root.
    pub fn title(self, model: &Model) -> &str {
        match self {
            Self::Module(ModuleId::ROOT) => "the whole network",
            Self::Module(id) => &model.modules.get(id).path,
            Self::Op(id) => &model.op(id).name,
        }
    }

    /// The module above.
    pub fn parent(self, model: &Model) -> Option<ModuleId> {
        match self {
            Self::Module(id) => model.modules.get(id).parent,
            Self::Op(id) => Some(model.op(id).module),
        }
    }

    /// All ops at or below.
    pub fn ops(self, model: &Model) -> Vec<OpId> {
        match self {
            Self::Module(id) => model.modules.subtree_ops(id),
            Self::Op(id) => vec![id],
        }
    }
}

/// What no plan changes about the tree's shape, worked out once per model.
#[derive(Debug)]
pub struct TreeIndex {
    /// Per module, what is drawn below it, in execution order.
    below: Vec<Vec<Node>>,
}

impl TreeIndex {
    /// Lays children and self ops out in execution order.
    pub fn new(model: &Model) -> Self {
        let tree = &model.modules;
        let mut first = vec![u32::MAX; tree.len()];
        for (id, module) in tree.iter() {
            first[id.index()] = module.ops.first().map_or(u32::MAX, |o| o.0);
        }
        for i in (1..tree.len()).rev() {
            if let Some(parent) = tree.get(ModuleId(i as u32)).parent {
                first[parent.index()] = first[parent.index()].min(first[i]);
            }
        }
        let below = tree
            .iter()
            .map(|(_, module)| {
                // A leaf with one op is one row: the module stands for its op.
                if module.children.is_empty() && module.ops.len() <= 1 {
                    return Vec::new();
                }
                let mut below: Vec<Node> = module
                    .children
                    .iter()
                    .map(|c| Node::Module(*c))
                    .chain(module.ops.iter().map(|o| Node::Op(*o)))
                    .collect();
                below.sort_by_key(|n| match n {
                    Node::Module(m) => first[m.index()],
                    Node::Op(o) => o.0,
                });
                below
            })
            .collect();
        Self { below }
    }

    /// What is drawn below a node.
    pub fn below(&self, node: Node) -> &[Node] {
        match node {
            Node::Module(id) => &self.below[id.index()],
            Node::Op(_) => &[],
        }
    }

    /// The op a row stands for by itself, where it is a single one.
    pub fn single_op(&self, model: &Model, node: Node) -> Option<OpId> {
        match node {
            Node::Op(op) => Some(op),
            Node::Module(id) => {
                let module = model.modules.get(id);
                match module.ops[..] {
                    [op] if module.children.is_empty() => Some(op),
                    _ => None,
                }
            }
        }
    }
}

/// The order of what is below one module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::VariantArray)]
pub enum Sort {
    /// As it is executed.
    #[default]
    Execution,
    /// Slowest on the GPU first.
    Gpu,
    /// Slowest on the DLA first.
    Dla,
    /// What the DLA would save first: GPU ms less DLA ms.
    Gain,
    /// What costs most more than in the placement it is compared with first.
    Delta,
}

impl Sort {
    /// In menu order.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// For menus: what the tree is sorted by.
    pub fn text(self) -> &'static str {
        match self {
            Self::Execution => "execution order",
            Self::Gpu => "GPU ms",
            Self::Dla => "DLA ms",
            Self::Gain => "gain",
            Self::Delta => "difference",
        }
    }
}

/// Sums over a module's subtree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Ops.
    pub ops: u32,
    /// Ops that ask for the DLA.
    pub asked_dla: u32,
    /// Ops expected on the DLA.
    pub dla: u32,
    /// Ops that fall back.
    pub falling: u32,
    /// ms were everything on the GPU; ops without an estimate count nothing.
    pub gpu_ms: f64,
    /// ms were everything that may on the DLA; ops that may not count nothing.
    pub dla_ms: f64,
    /// Ops the GPU has a time for; one that fuses into another has 0 ms.
    pub gpu_known: u32,
    /// Ops the DLA has a time for.
    pub dla_known: u32,
    /// The one subgraph of all ops expected on the DLA, if it is one.
    pub subgraph: Option<u32>,
    /// Several subgraphs.
    pub many_subgraphs: bool,
}

impl Sums {
    /// How many ops have a time on a device, and their ms.
    pub fn of(&self, device: Device) -> (u32, f64) {
        match device {
            Device::Gpu => (self.gpu_known, self.gpu_ms),
            Device::Dla => (self.dla_known, self.dla_ms),
        }
    }

    /// What the DLA would save, ms: GPU ms less DLA ms, without the way there. `None` where a device
    /// does not take all ops.
    pub fn gain_ms(&self) -> Option<f64> {
        let whole = self.ops > 0 && self.gpu_known == self.ops && self.dla_known == self.ops;
        whole.then_some(self.gpu_ms - self.dla_ms)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.ops += other.ops;
        self.asked_dla += other.asked_dla;
        self.dla += other.dla;
        self.falling += other.falling;
        self.gpu_ms += other.gpu_ms;
        self.dla_ms += other.dla_ms;
        self.gpu_known += other.gpu_known;
        self.dla_known += other.dla_known;
        self.many_subgraphs |= other.many_subgraphs
            || matches!((self.subgraph, other.subgraph), (Some(a), Some(b)) if a != b);
        self.subgraph = self.subgraph.or(other.subgraph);
    }
}

/// Everything the rows depend on.
#[derive(Clone, Copy, Debug)]
pub struct TreeInput<'a> {
    /// The network.
    pub model: &'a Model,
    /// Its layout.
    pub index: &'a TreeIndex,
    /// Modules that are open; the root always is.
    pub open: &'a BTreeSet<ModuleId>,
    /// What the placement means, once known.
    pub judged: Option<&'a Judgement>,
    /// Costs, once known.
    pub ground: Option<&'a Ground>,
    /// The order below each module.
    pub sort: Sort,
    /// The placement on screen beside another one, while they are compared.
    pub compared: Option<&'a Comparison>,
}

impl TreeInput<'_> {
    /// A node's ops in both placements, while two are compared.
    pub(crate) fn pair(&self, node: Node) -> Option<Pair> {
        node.pair(self.compared?)
    }
}
