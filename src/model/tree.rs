//! The module tree, stored in pre-order so that a subtree is a range of ids.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use serde::Serialize;

use super::ids::{ModuleId, OpId};

/// A node of the tree.
#[derive(Clone, Debug, Serialize)]
pub struct Module {
    /// PyTorch path (`layer2.0.conv1`); "" for the root.
    pub path: Arc<str>,
    /// Last segment of the path.
    pub name: Arc<str>,
    /// Class name (`Conv2d`), where the file tells it.
    pub class: Option<Arc<str>>,
    /// `None` for the root.
    pub parent: Option<ModuleId>,
    /// Nesting depth; 0 for the root.
    pub depth: u32,
    /// Children in order of first execution (those without ops last, in file order).
    pub children: Vec<ModuleId>,
    /// Ops run by this module's own `forward` (its self ops), in execution order.
    pub ops: Vec<OpId>,
    /// One past the last id of the subtree.
    pub end: ModuleId,
    /// Ops in the whole subtree.
    pub subtree_ops: u32,
    /// PyTorch never calls it (ModuleList, ModuleDict, an iterated Sequential): torch2trt hooks
    /// do not fire on it, so an assignment must be written on its children.
    pub never_called: bool,
    /// A block that dlaplan cut from ops without names: no module of the network's code.
    pub is_block: bool,
}

/// All modules of a model.
#[derive(Clone, Debug, Serialize)]
pub struct ModuleTree {
    modules: Vec<Module>,
    #[serde(skip)]
    by_path: HashMap<Arc<str>, ModuleId>,
}

impl ModuleTree {
    /// A module by id.
    pub fn get(&self, id: ModuleId) -> &Module {
        &self.modules[id.index()]
    }

    /// The root.
    pub fn root(&self) -> &Module {
        self.get(ModuleId::ROOT)
    }

    /// A module by path; "" is the root.
    pub fn find(&self, path: &str) -> Option<ModuleId> {
        self.by_path.get(path).copied()
    }

    /// How many modules, the root included.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Never: the root is always there.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// All modules in pre-order.
    pub fn iter(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        self.modules
            .iter()
            .enumerate()
            .map(|(i, m)| (ModuleId(i as u32), m))
    }

    /// Ids of a module and everything below it.
    pub fn subtree(&self, id: ModuleId) -> Range<u32> {
        id.0..self.get(id).end.0
    }

    /// A module, its parent, ... up to the root.
    pub fn ancestors_or_self(&self, id: ModuleId) -> impl Iterator<Item = ModuleId> + '_ {
        std::iter::successors(Some(id), |m| self.get(*m).parent)
    }

    /// Modules down to a depth, and whether each stands for all below it: at that depth, or where
    /// nothing is below. The others stand for their own ops only, so that each op counts once.
    pub fn down_to(&self, depth: u32) -> impl Iterator<Item = (ModuleId, &Module, bool)> {
        let modules = self.iter().filter(move |(_, m)| m.depth <= depth);
        modules.map(move |(id, m)| (id, m, m.depth == depth || m.children.is_empty()))
    }

    /// A sum for each module over its subtree: what it has of its own, its ops' and its modules'.
    pub fn sums<T: Copy>(&self, mut own: Vec<T>, ops: &[T], add: impl Fn(&mut T, &T)) -> Vec<T> {
        // Children stand behind their parent.
        for (i, module) in self.modules.iter().enumerate().rev() {
            let mut sum = own[i];
            for op in &module.ops {
                add(&mut sum, &ops[op.index()]);
            }
            own[i] = sum;
            if let Some(parent) = module.parent {
                add(&mut own[parent.index()], &sum);
            }
        }
        own
    }

    /// All ops of a subtree, in execution order.
    pub fn subtree_ops(&self, id: ModuleId) -> Vec<OpId> {
        let mut ops: Vec<OpId> = self
            .subtree(id)
            .flat_map(|m| self.get(ModuleId(m)).ops.iter().copied())
            .collect();
        ops.sort_unstable();
        ops
    }
}

#[derive(Default)]
struct Draft {
    class: Option<Arc<str>>,
    children: Vec<usize>,
    name: Arc<str>,
    path: Arc<str>,
    never_called: bool,
    is_block: bool,
    ops: Vec<OpId>,
}

/// Collects modules in any order and lays the tree out.
pub struct ModuleTreeBuilder {
    drafts: Vec<Draft>,
    by_path: HashMap<Arc<str>, usize>,
}

impl Default for ModuleTreeBuilder {
    fn default() -> Self {
        let root = Draft {
            name: "".into(),
            path: "".into(),
            ..Draft::default()
        };
        Self {
            drafts: vec![root],
            by_path: HashMap::from([("".into(), 0)]),
        }
    }
}

impl ModuleTreeBuilder {
    /// The draft of a dotted path, made with all its ancestors when new; empty segments are
    /// skipped. Handles are stable.
    pub fn module(&mut self, path: &str) -> usize {
        if let Some(i) = self.by_path.get(path) {
            return *i;
        }
        let path = path.trim_matches('.');
        if path.contains("..") {
            let segments: Vec<&str> = path.split('.').filter(|s| !s.is_empty()).collect();
            return self.module(&segments.join("."));
        }
        // Up to what exists, and down again: paths come from untrusted files, so no recursion.
        let mut missing = Vec::new();
        let mut above = path;
        let mut parent = loop {
            if let Some(i) = self.by_path.get(above) {
                break *i;
            }
            missing.push(above);
            above = above.rsplit_once('.').map_or("", |(around, _)| around);
        };
        for path in missing.into_iter().rev() {
            let i = self.drafts.len();
            let name = path.rsplit('.').next().unwrap_or(path);
            let path: Arc<str> = path.into();
            self.drafts.push(Draft {
                name: name.into(),
                path: Arc::clone(&path),
                ..Draft::default()
            });
            self.by_path.insert(path, i);
            self.drafts[parent].children.push(i);
            parent = i;
        }
        parent
    }

    /// The draft of a path, if it has been made.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// Whether any op was put into the draft itself.
    pub fn has_ops(&self, draft: usize) -> bool {
        !self.drafts[draft].ops.is_empty()
    }

    /// Paths of all drafts, in handle order.
    pub fn paths(&self) -> Vec<Arc<str>> {
        self.drafts.iter().map(|d| Arc::clone(&d.path)).collect()
    }

    /// Puts an op into a module.
    pub fn add_op(&mut self, draft: usize, op: OpId) {
        self.drafts[draft].ops.push(op);
    }

    /// Notes a class name; the first one stays.
    pub fn set_class(&mut self, draft: usize, class: &str) {
        let slot = &mut self.drafts[draft].class;
        if slot.is_none() {
            *slot = Some(class.into());
        }
    }

    /// Marks a container whose `forward` never runs.
    pub fn set_never_called(&mut self, draft: usize) {
        self.drafts[draft].never_called = true;
    }

    /// Marks a block that is no module of the network's code.
    pub fn set_block(&mut self, draft: usize) {
        self.drafts[draft].is_block = true;
    }

    /// Lays the tree out in pre-order. The second value maps draft handles to ids.
    pub fn finish(mut self) -> (ModuleTree, Vec<ModuleId>) {
        // Children appear in order of first execution, then those without ops as declared.
        let mut first = vec![u32::MAX; self.drafts.len()];
        for i in (0..self.drafts.len()).rev() {
            let own = self.drafts[i]
                .ops
                .iter()
                .map(|o| o.0)
                .min()
                .unwrap_or(u32::MAX);
            let below = self.drafts[i].children.iter().map(|c| first[*c]).min();
            first[i] = own.min(below.unwrap_or(u32::MAX));
        }
        let mut ids = vec![ModuleId::ROOT; self.drafts.len()];
        let mut modules: Vec<Module> = Vec::with_capacity(self.drafts.len());
        let mut stack: Vec<(usize, Option<ModuleId>, u32)> = vec![(0, None, 0)];
        while let Some((i, parent, depth)) = stack.pop() {
            let id = ModuleId(modules.len() as u32);
            ids[i] = id;
            let draft = std::mem::take(&mut self.drafts[i]);
            let mut children = draft.children;
            children.sort_by_key(|c| first[*c]);
            stack.extend(children.iter().rev().map(|c| (*c, Some(id), depth + 1)));
            let mut ops = draft.ops;
            ops.sort_unstable();
            modules.push(Module {
                path: draft.path,
                name: draft.name,
                class: draft.class,
                parent,
                depth,
                children: Vec::new(),
                subtree_ops: ops.len() as u32,
                ops,
                end: ModuleId(id.0 + 1),
                never_called: draft.never_called,
                is_block: draft.is_block,
            });
            if let Some(p) = parent {
                modules[p.index()].children.push(id);
            }
        }
        for i in (1..modules.len()).rev() {
            let (end, count) = (modules[i].end, modules[i].subtree_ops);
            if let Some(p) = modules[i].parent {
                let parent = &mut modules[p.index()];
                parent.end = parent.end.max(end);
                parent.subtree_ops += count;
            }
        }
        let by_path = modules
            .iter()
            .enumerate()
            .map(|(i, m)| (Arc::clone(&m.path), ModuleId(i as u32)))
            .collect();
        (ModuleTree { modules, by_path }, ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preorder_and_ranges() {
        let mut b = ModuleTreeBuilder::default();
        let second = b.module("layer2.0.conv1");
        let first = b.module("layer1.0.conv1");
        let drop = b.module("dropout");
        b.add_op(second, OpId(1));
        b.add_op(first, OpId(0));
        let (tree, ids) = b.finish();
        let paths: Vec<&str> = tree.iter().map(|(_, m)| &*m.path).collect();
        assert_eq!(
            paths,
            [
                "",
                "layer1",
                "layer1.0",
                "layer1.0.conv1",
                "layer2",
                "layer2.0",
                "layer2.0.conv1",
                "dropout"
            ]
        );
        assert_eq!(ModuleTreeBuilder::default().module(".."), 0);
        let layer2 = tree.find("layer2").unwrap_or(ModuleId::ROOT);
        assert_eq!(tree.subtree(layer2), 4..7);
        assert_eq!(tree.subtree_ops(layer2), [OpId(1)]);
        assert_eq!(tree.root().subtree_ops, 2);
        assert_eq!(tree.get(ids[drop]).subtree_ops, 0);
        assert_eq!(tree.get(ids[second]).depth, 3);
    }
}
