//! The tree as a value: which rows there are and what each one says. Drawn by `panels::tree`.

use crate::gui::data::filter::Filter;
use crate::gui::data::judgement::Judgement;
use crate::gui::data::tree_index::{Node, Sort, Sums, TreeInput};
use crate::model::ModuleId;
use crate::placement::{Assigned, Device};
use crate::tasks::compare::Pair;

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
    /// The row's ops in the other placement, while two are compared.
    pub pair: Option<Pair>,
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

/// Builds the rows: a pure function of its input.
pub fn tree_view(input: &TreeInput<'_>, filter: &Filter) -> TreeView {
    let (op_sums, module_sums) = sums(input);
    let hits = (!filter.is_empty()).then(|| Hits::new(input, filter, &op_sums, &module_sums));
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
            pair: input.pair(node),
            context: hits.is_some() && !hit,
        });
        if open && input.sort == Sort::Execution {
            stack.extend(below.iter().rev().map(|n| (*n, depth + 1)));
        } else if open {
            let mut order = below.to_vec();
            // Stable: what ties stays as it is executed.
            order.sort_by(|a, b| {
                let key = |node: &Node| {
                    let sums = match node {
                        Node::Module(id) => &module_sums[id.index()],
                        Node::Op(id) => &op_sums[id.index()],
                    };
                    sort_key(input, *node, sums)
                };
                key(b).total_cmp(&key(a))
            });
            stack.extend(order.into_iter().rev().map(|n| (n, depth + 1)));
        }
    }
    TreeView {
        rows,
        matches: hits.map(|h| h.count),
    }
}

/// Larger comes first; what has no figure comes last.
fn sort_key(input: &TreeInput<'_>, node: Node, sums: &Sums) -> f64 {
    let known = match input.sort {
        Sort::Execution => None,
        Sort::Gpu => (sums.gpu_known > 0).then_some(sums.gpu_ms),
        Sort::Dla => (sums.dla_known > 0).then_some(sums.dla_ms),
        Sort::Gain => sums.gain_ms(),
        Sort::Delta => input.pair(node).and_then(|p| p.delta_ms()),
    };
    known.unwrap_or(f64::NEG_INFINITY)
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
    let modules = tree.sums(vec![Sums::default(); tree.len()], &ops, Sums::add);
    (ops, modules)
}

/// Which nodes match the filter, and which have a match below.
struct Hits {
    ops: Vec<bool>,
    modules: Vec<(bool, bool)>,
    count: usize,
}

impl Hits {
    fn new(input: &TreeInput<'_>, filter: &Filter, op_sums: &[Sums], module_sums: &[Sums]) -> Self {
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
                && filter.matches(input, node, &module_sums[i], below.is_empty());
            let mut hit_below = modules[i].1;
            for node in below {
                if let Node::Op(op) = node {
                    let hit = filter.matches(input, *node, &op_sums[op.index()], true);
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
