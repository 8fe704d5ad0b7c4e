//! Which op types a file holds, wherever its nodes are.

use hashbrown::{HashMap, HashSet};

use super::proto::{Function, Model, Node};
use crate::model::FileOp;

/// A function by domain, name and overload.
type Key<'a> = (&'a str, &'a str, &'a str);

/// Op types of all nodes: of the graph, of bodies and branches, and of functions that are called.
pub(super) fn of(file: &Model) -> Vec<FileOp> {
    let functions: HashMap<Key<'_>, &Function> = file
        .functions
        .iter()
        .map(|f| ((&*f.domain, &*f.name, &*f.overload), f))
        .collect();
    let mut called: HashSet<Key<'_>> = HashSet::new();
    let mut found: Vec<FileOp> = Vec::new();
    let mut place: HashMap<(&str, &str), usize> = HashMap::new();
    let mut todo: Vec<&[Node]> = file.graph.iter().map(|g| &*g.node).collect();
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
            let bodies = node.attribute.iter();
            todo.extend(
                bodies
                    .flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs))
                    .map(|g| &*g.node),
            );
            let domain = match &*node.domain {
                "ai.onnx" => "",
                domain => domain,
            };
            let at = *place.entry((domain, &*node.op_type)).or_insert_with(|| {
                let output = || node.output.first().map_or("", String::as_str);
                let name = match &*node.name {
                    "" => output(),
                    name => name,
                };
                found.push(FileOp {
                    domain: domain.to_owned(),
                    op_type: node.op_type.clone(),
                    first: name.to_owned(),
                    nodes: 0,
                    function: false,
                });
                found.len() - 1
            });
            if let Some(op) = found.get_mut(at) {
                op.nodes += 1;
                op.function |= function.is_some();
            }
        }
    }
    found
}
