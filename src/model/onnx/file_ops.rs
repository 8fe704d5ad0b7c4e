//! Which op types a file holds, wherever its nodes are.

use hashbrown::{HashMap, HashSet};

use super::graph::{self, Graph};
use super::proto::{Function, Model, Node};
use crate::model::FileOp;

/// A function by domain, name and overload.
type Key<'a> = (&'a str, &'a str, &'a str);

#[derive(Default)]
struct Found<'a> {
    ops: Vec<FileOp>,
    /// By domain and op type.
    place: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Found<'a> {
    fn add(&mut self, node: &'a Node, nodes: usize, function: bool) {
        let (domain, op_type) = (graph::domain(node), &*node.op_type);
        let at = *self.place.entry((domain, op_type)).or_insert_with(|| {
            let output = || node.output.first().map_or("", String::as_str);
            let name = match &*node.name {
                "" => output(),
                name => name,
            };
            self.ops.push(FileOp {
                domain: domain.to_owned(),
                op_type: op_type.to_owned(),
                first: name.to_owned(),
                nodes: 0,
                function: false,
            });
            self.ops.len() - 1
        });
        if let Some(op) = self.ops.get_mut(at) {
            op.nodes += nodes;
            op.function |= function;
        }
    }

    /// Nodes of a resolved graph are counted without a look at their names.
    fn add_graph(&mut self, graph: &Graph<'a>) {
        let mut first: Vec<Option<&graph::Node<'a>>> = vec![None; graph.types.len()];
        let mut nodes = vec![0; graph.types.len()];
        for node in &graph.nodes {
            nodes[node.op_type] += 1;
            let first = &mut first[node.op_type];
            if first.is_none_or(|f| node.place < f.place) {
                *first = Some(node);
            }
        }
        for (first, nodes) in first.into_iter().flatten().zip(nodes) {
            self.add(first.proto, nodes, false);
        }
    }
}

/// Op types of all nodes: of the graph, of bodies and branches, and of functions that are called.
/// `graph` is the file's graph, resolved as it is written, of a file without functions.
pub(super) fn of<'a>(file: &'a Model, graph: Option<&Graph<'a>>) -> Vec<FileOp> {
    let functions: HashMap<Key<'_>, &Function> = file
        .functions
        .iter()
        .map(|f| ((&*f.domain, &*f.name, &*f.overload), f))
        .collect();
    let mut called: HashSet<Key<'_>> = HashSet::new();
    let mut found = Found::default();
    let mut todo: Vec<&'a [Node]> = Vec::new();
    if let Some(graph) = graph {
        found.add_graph(graph);
        let bodies = graph.nodes.iter().flat_map(|n| n.proto.bodies());
        todo.extend(bodies.map(|g| &*g.node));
    } else {
        todo.extend(file.graph.iter().map(|g| &*g.node));
    }
    while let Some(nodes) = todo.pop() {
        for node in nodes {
            let key = (&*node.domain, &*node.op_type, &*node.overload);
            // Most files have none.
            let function = if functions.is_empty() {
                None
            } else {
                functions.get(&key).copied()
            };
            if let Some(function) = function
                && called.insert(key)
            {
                todo.push(&function.node);
            }
            todo.extend(node.bodies().map(|g| &*g.node));
            found.add(node, 1, function.is_some());
        }
    }
    found.ops
}
