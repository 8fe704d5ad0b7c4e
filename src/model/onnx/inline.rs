//! Calls of local functions and branches that are always taken, written out in the graph.
//!
//! What a file can grow to is bounded: beyond, calls stay as they are and have unknown shapes.

use hashbrown::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message as _;

use super::proto::{Attribute, Entry, Function, Graph, Model, Node};

/// Metadata of a written-out node: a line per call around it, outermost first, then its own name.
pub(super) const CALLS_KEY: &str = "dlaplan.calls";
/// Deepest calls in calls, and branches in branches.
const MAX_DEPTH: usize = 16;
/// Bytes of nodes, names and attributes that any file may be written out to,
const FREE_BYTES: usize = 6 << 20;
/// and for each byte of the file,
const PER_BYTE: usize = 4;
/// and at most.
const MAX_BYTES: usize = 256 << 20;
/// What a node costs beside its encoding.
const NODE_BYTES: usize = 512;

/// Bytes that a file of this size may be written out to.
fn allowance(file_bytes: u64) -> usize {
    let size = usize::try_from(file_bytes).unwrap_or(usize::MAX);
    size.saturating_mul(PER_BYTE)
        .saturating_add(FREE_BYTES)
        .min(MAX_BYTES)
}

/// One call around a written-out node.
pub(super) struct Call<'a> {
    /// The same for all nodes of one call.
    pub instance: &'a str,
    pub domain: &'a str,
    pub function: &'a str,
    /// Name of the calling node.
    pub name: &'a str,
}

impl<'a> Call<'a> {
    fn of_line(line: &'a str) -> Option<Self> {
        let mut parts = line.splitn(4, '\t');
        Some(Self {
            instance: parts.next()?,
            domain: parts.next()?,
            function: parts.next()?,
            name: parts.next()?,
        })
    }
}

/// The calls around a node, outermost first, and its name in the function.
pub(super) fn calls(node: &Node) -> Option<(Vec<Call<'_>>, &str)> {
    let entry = node.metadata_props.iter().find(|e| e.key == CALLS_KEY)?;
    let mut lines: Vec<&str> = std::str::from_utf8(&entry.value)
        .ok()?
        .split('\n')
        .collect();
    let name = lines.pop()?;
    let calls: Option<Vec<Call<'_>>> = lines.into_iter().map(Call::of_line).collect();
    Some((calls?, name))
}

impl Function {
    fn key(&self) -> ((&str, &str, &str), &Self) {
        ((&self.domain, &self.name, &self.overload), self)
    }
}

type Functions<'a> = HashMap<(&'a str, &'a str, &'a str), &'a Function>;

/// How names inside a function or branch read outside.
struct Names<'a> {
    /// Inputs and outputs of the function, or outputs of the branch.
    formal: HashMap<&'a str, &'a str>,
    /// Before every other name that is defined inside.
    prefix: &'a str,
    /// Names defined inside, where those of the graph around are visible too.
    defined: Option<HashSet<&'a str>>,
}

impl Names<'_> {
    fn outside(&self, name: &str) -> String {
        match self.formal.get(name) {
            Some(actual) => (*actual).to_owned(),
            None if name.is_empty() => String::new(),
            None if self.defined.as_ref().is_some_and(|d| !d.contains(name)) => name.to_owned(),
            None => format!("{}/{name}", self.prefix),
        }
    }

    fn rename(&self, name: &mut String) {
        *name = self.outside(name);
    }

    fn graph(&self, graph: &mut Graph) {
        for tensor in &mut graph.initializer {
            self.rename(&mut tensor.0.name);
        }
        for info in graph.input.iter_mut().chain(&mut graph.output) {
            self.rename(&mut info.name);
        }
        for info in &mut graph.value_info {
            self.rename(&mut info.name);
        }
        for node in &mut graph.node {
            self.node(node);
        }
    }

    /// Depth is limited by the file's framing.
    fn node(&self, node: &mut Node) {
        for name in node.input.iter_mut().chain(&mut node.output) {
            self.rename(name);
        }
        for attribute in &mut node.attribute {
            if let Some(body) = &mut attribute.g {
                self.graph(body);
            }
            for body in &mut attribute.graphs {
                self.graph(body);
            }
        }
    }
}

/// Writes calls out.
struct Writer<'a> {
    functions: Functions<'a>,
    left: usize,
    instances: usize,
    /// A call that was left as it is.
    full: bool,
}

impl Writer<'_> {
    fn pays(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.full |= left.is_none();
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    fn nodes(&mut self, nodes: Vec<Node>, calls: &str, depth: usize, out: &mut Vec<Node>) {
        for node in nodes {
            self.node(node, calls, depth, out);
        }
    }

    fn node(&mut self, mut node: Node, calls: &str, depth: usize, out: &mut Vec<Node>) {
        let key = (&*node.domain, &*node.op_type, &*node.overload);
        let function = self.functions.get(&key).copied();
        let Some(function) = function.filter(|_| depth < MAX_DEPTH && !self.full) else {
            for attribute in &mut node.attribute {
                for body in attribute
                    .g
                    .iter_mut()
                    .map(|g| &mut **g)
                    .chain(&mut attribute.graphs)
                {
                    let inner = std::mem::take(&mut body.node);
                    self.nodes(inner, calls, depth, &mut body.node);
                }
            }
            out.push(node);
            return;
        };
        self.instances += 1;
        let name = if node.name.is_empty() {
            format!("{}_{}", node.op_type, self.instances)
        } else {
            node.name.clone()
        };
        let plain = |text: &str| text.replace(['\t', '\n'], " ");
        let calls = format!(
            "{calls}{}\t{}\t{}\t{}\n",
            self.instances,
            plain(&node.domain),
            plain(&node.op_type),
            plain(&node.name)
        );
        let attributes: HashMap<&str, &Attribute> = function
            .attribute_proto
            .iter()
            .chain(&node.attribute)
            .map(|a| (&*a.name, a))
            .collect();
        // An output that is an input needs a node of its own.
        let mut through = Vec::new();
        let mut formal: HashMap<&str, &str> = HashMap::new();
        for (i, input) in function.input.iter().enumerate() {
            let given = node.input.get(i).map_or("", String::as_str);
            formal.insert(input, given);
        }
        for (formal_output, given) in function.output.iter().zip(&node.output) {
            if given.is_empty() {
                continue;
            }
            if let Some(source) = formal.get(&**formal_output) {
                through.push(Node {
                    op_type: "Identity".into(),
                    name: format!("{name}/{formal_output}"),
                    input: vec![(*source).to_owned()],
                    output: vec![given.clone()],
                    ..Node::default()
                });
            } else {
                formal.insert(formal_output, given);
            }
        }
        let prefix = format!("{name}:{}", self.instances);
        let extra = NODE_BYTES + calls.len() + 2 * prefix.len();
        let bytes = |n: &Node| n.encoded_len() + extra;
        if !self.pays(function.node.iter().map(bytes).sum()) {
            out.push(node.clone());
            return;
        }
        let names = Names {
            formal,
            prefix: &prefix,
            defined: None,
        };
        let mut body = Vec::with_capacity(function.node.len());
        for inner in &function.node {
            let mut inner = inner.clone();
            fill(&mut inner, &attributes);
            names.node(&mut inner);
            let own = plain(&inner.name);
            inner.name = format!("{name}/{}", inner.name.trim_start_matches('/'));
            inner.metadata_props.retain(|e| e.key != CALLS_KEY);
            inner.metadata_props.push(Entry {
                key: CALLS_KEY.into(),
                value: Bytes::from(format!("{calls}{own}")),
            });
            body.push(inner);
        }
        self.nodes(body, &calls, depth + 1, out);
        out.extend(through);
    }
}

/// Attributes of a function's node that refer to the call's.
fn fill(node: &mut Node, attributes: &HashMap<&str, &Attribute>) {
    node.attribute.retain_mut(|a| {
        if a.ref_attr_name.is_empty() {
            for body in a.g.iter_mut().map(|g| &mut **g).chain(&mut a.graphs) {
                for node in &mut body.node {
                    fill(node, attributes);
                }
            }
            return true;
        }
        // Left out by the call too: the op's own default holds.
        let Some(given) = attributes.get(&*a.ref_attr_name) else {
            return false;
        };
        *a = Attribute {
            name: std::mem::take(&mut a.name),
            ..(*given).clone()
        };
        true
    });
}

/// The graph with calls of the file's functions written out, if there are any; and whether that
/// stopped at the limit.
pub(super) fn functions(file: &Model, file_bytes: u64) -> Option<(Graph, bool)> {
    let graph = file.graph.as_ref().filter(|_| !file.functions.is_empty())?;
    let mut writer = Writer {
        functions: file.functions.iter().map(Function::key).collect(),
        left: allowance(file_bytes),
        instances: 0,
        full: false,
    };
    let mut out = Graph {
        node: Vec::with_capacity(graph.node.len()),
        ..graph.clone()
    };
    out.node.clear();
    writer.nodes(graph.node.clone(), "", 0, &mut out.node);
    Some((out, writer.full))
}

/// A graph whose branches were written out, and what may still be.
pub(super) struct Branches {
    left: usize,
    count: usize,
}

impl Branches {
    pub fn new(file_bytes: u64) -> Self {
        Self {
            left: allowance(file_bytes),
            count: 0,
        }
    }

    /// The graph with the bodies of these If nodes in their place: `taken` gives the value of each
    /// known condition by the node's place. `None` if there are none, or no room is left.
    pub fn write_out(&mut self, graph: &Graph, taken: &HashMap<usize, bool>) -> Option<Graph> {
        if self.count == 0 && taken.is_empty() {
            return None;
        }
        let mut new = Graph {
            node: Vec::with_capacity(graph.node.len()),
            ..graph.clone()
        };
        new.node.clear();
        let before = self.count;
        for (i, node) in graph.node.iter().enumerate() {
            let body = taken.get(&i).and_then(|taken| {
                let name = if *taken { "then_branch" } else { "else_branch" };
                node.attribute.iter().find(|a| a.name == name)?.g.as_deref()
            });
            match body {
                Some(body) if self.pays(body) => self.branch(node, body, &mut new),
                _ => new.node.push(node.clone()),
            }
        }
        (self.count > before).then_some(new)
    }

    fn pays(&mut self, body: &Graph) -> bool {
        let bytes = 2 * body.encoded_len() + NODE_BYTES * body.node.len();
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn branch(&mut self, node: &Node, body: &Graph, out: &mut Graph) {
        self.count += 1;
        let weights = body.initializer.iter().map(|t| &*t.name);
        let made = body
            .node
            .iter()
            .flat_map(|n| n.output.iter().map(String::as_str));
        let made: HashSet<&str> = made.filter(|name| !name.is_empty()).collect();
        let mut formal: HashMap<&str, &str> = HashMap::new();
        let mut through = Vec::new();
        for (inner, outer) in body.output.iter().zip(&node.output) {
            if outer.is_empty() {
                continue;
            }
            if made.contains(&*inner.name) && !formal.contains_key(&*inner.name) {
                formal.insert(&inner.name, outer);
            } else {
                through.push((&*inner.name, outer));
            }
        }
        let prefix = format!(
            "{}:{}",
            node.output.first().map_or("", String::as_str),
            self.count
        );
        let names = Names {
            formal,
            prefix: &prefix,
            defined: Some(made.iter().copied().chain(weights).collect()),
        };
        for tensor in &body.initializer {
            let mut tensor = tensor.clone();
            names.rename(&mut tensor.0.name);
            out.initializer.push(tensor);
        }
        let around = node.metadata_props.iter().find(|e| e.key == CALLS_KEY);
        let around = around.and_then(|e| std::str::from_utf8(&e.value).ok());
        let lines = around.and_then(|text| Some(text.rsplit_once('\n')?.0));
        for inner in &body.node {
            let mut inner = inner.clone();
            names.node(&mut inner);
            if let Some(lines) = lines
                && !inner.metadata_props.iter().any(|e| e.key == CALLS_KEY)
            {
                let own = inner.name.replace(['\t', '\n'], " ");
                inner.name = format!("{}/{}", node.name, inner.name);
                inner.metadata_props.push(Entry {
                    key: CALLS_KEY.into(),
                    value: Bytes::from(format!("{lines}\n{own}")),
                });
            }
            out.node.push(inner);
        }
        for (inner, outer) in through {
            out.node.push(Node {
                op_type: "Identity".into(),
                name: format!("{}/{inner}", node.name),
                input: vec![names.outside(inner)],
                output: vec![outer.clone()],
                metadata_props: node.metadata_props.clone(),
                ..Node::default()
            });
        }
    }
}
