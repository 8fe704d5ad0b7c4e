//! The tree as a value: which rows there are and what each one says. Drawn by `panels::tree`.

use std::collections::BTreeSet;

use crate::model::{Model, ModuleId, OpId};
use crate::placement::{Assigned, Device, Site};

use crate::gui::background::judge::{Ground, Judgement};
use crate::gui::data::filter::Filter;

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// A module.
    Module(ModuleId),
    /// An op run by a module's own `forward`.
    Op(OpId),
}

impl Node {
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

/// Who said the device of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Said here.
    Here,
    /// Said on this ancestor.
    On(ModuleId),
    /// Nobody: the default.
    Default,
}

/// The device chip of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// What is requested here.
    pub device: Device,
    /// Who requested it.
    pub said: Said,
    /// Both devices are requested below.
    pub mixed: bool,
    /// Ops here and below that ask for the DLA and fall back.
    pub falling: u32,
    /// Ops here and below that ask for the DLA.
    pub asked_dla: u32,
}

impl Chip {
    /// Everything that asks for the DLA falls back.
    pub fn all_fall(&self) -> bool {
        self.falling > 0 && self.falling == self.asked_dla
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
    fn add(&mut self, other: &Self) {
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

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it stands for.
    pub node: Node,
    /// Levels below the root.
    pub depth: u32,
    /// `Some(open)` where there is something below.
    pub twig: Option<bool>,
    /// The device chip; `None` until the plan is there, and for modules without ops.
    pub chip: Option<Chip>,
    /// Sums over the row's ops.
    pub sums: Sums,
    /// Share of the parent's GPU ms, 0 to 1.
    pub gpu_share: f32,
    /// Share of the parent's DLA ms, 0 to 1.
    pub dla_share: f32,
    /// Shown only because something below matches the filter.
    pub context: bool,
}

/// The rows of the tree, top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreeView {
    /// All rows that can be scrolled to.
    pub rows: Vec<Row>,
    /// How many nodes match, when a filter is set.
    pub matches: Option<usize>,
}

impl TreeView {
    /// The position of a node, if it has a row.
    pub fn position(&self, node: Node) -> Option<usize> {
        self.rows.iter().position(|r| r.node == node)
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
    /// The filter.
    pub filter: &'a Filter,
    /// What the placement means, once known.
    pub judged: Option<&'a Judgement>,
    /// Costs, once known.
    pub ground: Option<&'a Ground>,
}

/// Builds the rows: a pure function of its input.
pub fn tree_view(input: &TreeInput<'_>) -> TreeView {
    let (op_sums, module_sums) = sums(input);
    let hits = (!input.filter.is_empty()).then(|| Hits::new(input, &op_sums, &module_sums));
    let mut rows = Vec::new();
    let root = Node::Module(ModuleId::ROOT);
    let mut stack: Vec<(Node, u32)> = vec![(root, 0)];
    while let Some((node, depth)) = stack.pop() {
        let below = input.index.below(node);
        let (hit, hit_below) = match &hits {
            Some(hits) => hits.of(node),
            None => (true, true),
        };
        if !hit && !hit_below && node != root {
            continue;
        }
        let open = match node {
            Node::Module(ModuleId::ROOT) => true,
            Node::Module(id) => input.open.contains(&id) || (hits.is_some() && hit_below),
            Node::Op(_) => false,
        };
        let own = match node {
            Node::Module(id) => module_sums[id.index()],
            Node::Op(id) => op_sums[id.index()],
        };
        let whole = node
            .parent(input.model)
            .map_or(own, |p| module_sums[p.index()]);
        let share = |part: f64, all: f64| if all > 0.0 { (part / all) as f32 } else { 0.0 };
        rows.push(Row {
            node,
            depth,
            twig: (!below.is_empty() && node != root).then_some(open),
            chip: input.judged.and_then(|j| chip(input, j, node, &own)),
            sums: own,
            gpu_share: share(own.gpu_ms, whole.gpu_ms),
            dla_share: share(own.dla_ms, whole.dla_ms),
            context: hits.is_some() && !hit,
        });
        if open {
            stack.extend(below.iter().rev().map(|n| (*n, depth + 1)));
        }
    }
    TreeView {
        rows,
        matches: hits.map(|h| h.count),
    }
}

fn chip(input: &TreeInput<'_>, judged: &Judgement, node: Node, sums: &Sums) -> Option<Chip> {
    let assigned = match node {
        Node::Module(id) => {
            if input.model.modules.get(id).subtree_ops == 0 {
                return None;
            }
            judged.resolved.module(id)
        }
        Node::Op(id) => judged.resolved.op(id),
    };
    Some(Chip {
        device: assigned.device(),
        said: match assigned {
            Assigned::Explicit(_) => Said::Here,
            Assigned::Inherited(_, at) => Said::On(at),
            Assigned::Default(_) => Said::Default,
        },
        mixed: sums.asked_dla > 0 && sums.asked_dla < sums.ops,
        falling: sums.falling,
        asked_dla: sums.asked_dla,
    })
}

fn sums(input: &TreeInput<'_>) -> (Vec<Sums>, Vec<Sums>) {
    let model = input.model;
    let mut ops: Vec<Sums> = vec![
        Sums {
            ops: 1,
            ..Sums::default()
        };
        model.ops.len()
    ];
    if let Some(ground) = input.ground {
        for ((sums, gpu), dla) in ops.iter_mut().zip(&ground.gpu_ms).zip(&ground.dla_ms) {
            if let Some(ms) = gpu.value() {
                sums.gpu_ms = ms;
                sums.gpu_known = 1;
            }
            if let Some(ms) = dla.value() {
                sums.dla_ms = ms;
                sums.dla_known = 1;
            }
        }
    }
    if let Some(judged) = input.judged {
        for (i, sums) in ops.iter_mut().enumerate() {
            sums.asked_dla = u32::from(judged.plan.requested[i] == Device::Dla);
            sums.dla = u32::from(judged.plan.predicted[i] == Device::Dla);
            sums.falling = sums.asked_dla - sums.dla.min(sums.asked_dla);
            sums.subgraph = judged.plan.subgraph_of[i];
        }
    }
    let tree = &model.modules;
    let mut modules = vec![Sums::default(); tree.len()];
    for i in (0..tree.len()).rev() {
        let id = ModuleId(i as u32);
        let module = tree.get(id);
        let mut sum = modules[i];
        for op in &module.ops {
            sum.add(&ops[op.index()]);
        }
        modules[i] = sum;
        if let Some(parent) = module.parent {
            modules[parent.index()].add(&sum);
        }
    }
    (ops, modules)
}

/// Which nodes match the filter, and which have a match below.
struct Hits {
    ops: Vec<bool>,
    modules: Vec<(bool, bool)>,
    count: usize,
}

impl Hits {
    fn new(input: &TreeInput<'_>, op_sums: &[Sums], module_sums: &[Sums]) -> Self {
        let model = input.model;
        let mut ops = vec![false; model.ops.len()];
        let mut modules = vec![(false, false); model.modules.len()];
        let mut count = 0;
        for i in (0..modules.len()).rev() {
            let id = ModuleId(i as u32);
            let module = model.modules.get(id);
            let below = input.index.below(Node::Module(id));
            let node = Node::Module(id);
            let hit = id != ModuleId::ROOT
                && input
                    .filter
                    .matches(input, node, &module_sums[i], below.is_empty());
            let mut hit_below = modules[i].1;
            for node in below {
                if let Node::Op(op) = node {
                    let hit = input
                        .filter
                        .matches(input, *node, &op_sums[op.index()], true);
                    ops[op.index()] = hit;
                    hit_below |= hit;
                    count += usize::from(hit);
                }
            }
            count += usize::from(hit);
            modules[i] = (hit, hit_below);
            if let Some(parent) = module.parent {
                modules[parent.index()].1 |= hit || hit_below;
            }
        }
        Self {
            ops,
            modules,
            count,
        }
    }

    fn of(&self, node: Node) -> (bool, bool) {
        match node {
            Node::Op(op) => (self.ops[op.index()], false),
            Node::Module(id) => self.modules[id.index()],
        }
    }
}
