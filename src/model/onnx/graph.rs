//! The file's graph with names resolved: who makes each value, who reads it, in which order.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::error::{LoadError, Quoted};
use super::ops::OnnxOp;
use super::proto;

/// Longest name of anything.
pub(super) const MAX_NAME: usize = 4096;

/// Position in [`Graph::values`].
pub(super) type ValueId = usize;
/// Position in [`Graph::nodes`].
pub(super) type NodeId = usize;

/// A value of the graph.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub name: &'a str,
    pub producer: Option<NodeId>,
    pub weight: Option<Weight<'a>>,
    pub info: Option<&'a proto::TensorType>,
    /// Declared as a sequence, map or optional.
    pub is_container: bool,
    pub is_input: bool,
    pub is_output: bool,
}

/// A constant of the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Weight<'a> {
    Dense(&'a proto::Tensor),
    Sparse(&'a proto::SparseTensor),
}

impl<'a> Weight<'a> {
    pub fn dims(self) -> &'a [i64] {
        match self {
            Self::Dense(t) => &t.0.dims,
            Self::Sparse(t) => &t.dims,
        }
    }

    pub fn data_type(self) -> i32 {
        match self {
            Self::Dense(t) => t.data_type,
            Self::Sparse(t) => t.values.as_ref().map_or(0, |v| v.data_type),
        }
    }
}

/// An op type that the graph's nodes have.
#[derive(Debug)]
pub(super) struct OpType<'a> {
    /// "" for ONNX's own ops.
    pub domain: &'a str,
    pub name: &'a str,
    pub op: OnnxOp,
}

/// A node of the graph.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub proto: &'a proto::Node,
    /// Position in [`Graph::types`]. The names lie anywhere in memory, so they are read once.
    pub op_type: usize,
    pub op: OnnxOp,
    /// Its place in the file.
    pub place: usize,
    /// Unique: TensorRT's layer name.
    pub name: Arc<str>,
    /// The name before it was made unique, unless it was unique among all names.
    pub shared_name: Option<Arc<str>>,
    /// `None` for an omitted optional input.
    pub inputs: Vec<Option<ValueId>>,
    pub outputs: Vec<Option<ValueId>>,
    /// Values that the bodies of If, Loop and Scan take from this graph.
    pub captured: Vec<ValueId>,
}

/// The graph. Nodes stand in execution order.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub values: Vec<Value<'a>>,
    pub types: Vec<OpType<'a>>,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    pub renamed: usize,
    pub reordered: bool,
}

impl<'a> Graph<'a> {
    /// Resolves a decoded graph.
    pub fn new(path: &Path, graph: &'a proto::Graph) -> Result<Self, LoadError> {
        let mut b = Builder {
            path,
            values: Vec::new(),
            by_name: HashMap::with_capacity(graph.node.len() + graph.initializer.len()),
        };
        for tensor in &graph.initializer {
            b.weight(&tensor.name, Weight::Dense(tensor))?;
        }
        for tensor in &graph.sparse_initializer {
            if let Some(values) = &tensor.values {
                b.weight(&values.name, Weight::Sparse(tensor))?;
            }
        }
        let mut inputs = Vec::new();
        for info in &graph.input {
            // Before IR version 4 weights are listed as inputs too.
            if let Some(&id) = b.by_name.get(info.name.as_str()) {
                if b.values.get(id).is_some_and(|v| v.is_input) {
                    let input = Quoted::new("the list of inputs");
                    return Err(b.duplicate(&info.name, input.clone(), input));
                }
                continue;
            }
            let id = b.add(&info.name)?;
            b.values[id].is_input = true;
            b.values[id].info = tensor_type(info);
            b.values[id].is_container = info.r#type.is_some() && tensor_type(info).is_none();
            inputs.push(id);
        }
        let (names, renamed) = unique_names(&graph.node);
        let mut outputs_of = Vec::with_capacity(graph.node.len());
        for (id, (node, name)) in graph.node.iter().zip(&names).enumerate() {
            b.check_name(name, "a node name")?;
            let mut outputs = Vec::with_capacity(node.output.len());
            for output in &node.output {
                if output.is_empty() {
                    outputs.push(None);
                    continue;
                }
                if let Some(&old) = b.by_name.get(output.as_str()) {
                    let first = b.values.get(old).and_then(|v| v.producer);
                    let first = first.and_then(|n| names.get(n));
                    let first = first.map_or("an input or weight", |n| n);
                    return Err(b.duplicate(output, Quoted::new(first), Quoted::new(name)));
                }
                let value = b.add(output)?;
                b.values[value].producer = Some(id);
                outputs.push(Some(value));
            }
            outputs_of.push(outputs);
        }
        let mut types: Vec<OpType<'a>> = Vec::new();
        let mut type_of: HashMap<(&str, &str), usize> = HashMap::new();
        let mut nodes = Vec::with_capacity(graph.node.len());
        let shared = shared_names(&graph.node, &names, renamed);
        for ((((place, node), name), outputs), shared_name) in graph
            .node
            .iter()
            .enumerate()
            .zip(names)
            .zip(outputs_of)
            .zip(shared)
        {
            let mut inputs = Vec::with_capacity(node.input.len());
            for input in &node.input {
                if input.is_empty() {
                    inputs.push(None);
                } else {
                    inputs.push(Some(b.find(input, &name)?));
                }
            }
            let mut names_used = Vec::new();
            for body in node.bodies() {
                outer_names(body, &mut Vec::new(), &mut names_used);
            }
            let mut captured = Vec::with_capacity(names_used.len());
            for used in names_used {
                captured.push(b.find(used, &name)?);
            }
            captured.sort_unstable();
            captured.dedup();
            let domain = domain(node);
            let known = type_of.get(&(domain, &*node.op_type)).copied();
            let op_type = known.unwrap_or(types.len());
            if known.is_none() {
                b.check_name(&node.op_type, "an op type")?;
                type_of.insert((domain, &*node.op_type), types.len());
                types.push(OpType {
                    domain,
                    name: &node.op_type,
                    op: OnnxOp::of(domain, &node.op_type),
                });
            }
            nodes.push(Node {
                proto: node,
                op_type,
                op: types[op_type].op,
                place,
                name,
                shared_name,
                inputs,
                outputs,
                captured,
            });
        }
        let mut outputs = Vec::new();
        for info in &graph.output {
            let id = b.find(&info.name, "(the list of outputs)")?;
            let value = &mut b.values[id];
            if value.info.is_none() {
                value.info = tensor_type(info);
            }
            if !value.is_output {
                outputs.push(id);
            }
            value.is_output = true;
        }
        for info in &graph.value_info {
            if let Some(&id) = b.by_name.get(info.name.as_str()) {
                let value = &mut b.values[id];
                // What the outputs list says may be less than value_info.
                if !value.is_input {
                    value.info = tensor_type(info).or(value.info);
                }
            }
        }
        let mut this = Self {
            nodes,
            values: b.values,
            types,
            inputs,
            outputs,
            renamed,
            reordered: false,
        };
        this.sort(path)?;
        Ok(this)
    }

    /// Puts the nodes in execution order, which most files already have.
    fn sort(&mut self, path: &Path) -> Result<(), LoadError> {
        let needs = |n: &Node<'_>| -> Vec<NodeId> {
            let used = n.inputs.iter().flatten().chain(&n.captured);
            used.filter_map(|v| self.values[*v].producer).collect()
        };
        let sorted = self
            .nodes
            .iter()
            .enumerate()
            .all(|(i, n)| needs(n).iter().all(|p| *p < i));
        if sorted {
            return Ok(());
        }
        let mut waits = vec![0usize; self.nodes.len()];
        let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        for (i, n) in self.nodes.iter().enumerate() {
            for p in needs(n) {
                waits[i] += 1;
                readers[p].push(i);
            }
        }
        // The file's order where it does not matter.
        let mut ready: BinaryHeap<Reverse<NodeId>> = (0..self.nodes.len())
            .filter(|i| waits[*i] == 0)
            .map(Reverse)
            .collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse(i)) = ready.pop() {
            order.push(i);
            for &r in &readers[i] {
                waits[r] -= 1;
                if waits[r] == 0 {
                    ready.push(Reverse(r));
                }
            }
        }
        if order.len() < self.nodes.len() {
            return Err(LoadError::Cycle {
                path: path.to_owned(),
                node: Quoted::new(&self.nodes[self.on_cycle(&waits)].name),
            });
        }
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new;
        }
        let mut old: Vec<Option<Node<'a>>> = self.nodes.drain(..).map(Some).collect();
        self.nodes = order.iter().filter_map(|i| old[*i].take()).collect();
        for value in &mut self.values {
            value.producer = value.producer.map(|p| place[p]);
        }
        self.reordered = true;
        Ok(())
    }

    /// A node on a cycle, not just one behind it: walks backwards among the nodes left over.
    fn on_cycle(&self, waits: &[usize]) -> NodeId {
        let mut at = waits.iter().position(|w| *w > 0).unwrap_or(0);
        let mut seen = HashSet::new();
        while seen.insert(at) {
            let node = &self.nodes[at];
            let mut before = node.inputs.iter().flatten().chain(&node.captured);
            let next = before.find_map(|v| self.values[*v].producer.filter(|p| waits[*p] > 0));
            match next {
                Some(p) => at = p,
                None => break,
            }
        }
        at
    }
}

struct Builder<'a, 'p> {
    path: &'p Path,
    values: Vec<Value<'a>>,
    by_name: HashMap<&'a str, ValueId>,
}

impl<'a> Builder<'a, '_> {
    fn check_name(&self, name: &str, what: &str) -> Result<(), LoadError> {
        if name.len() <= MAX_NAME {
            return Ok(());
        }
        Err(LoadError::Limit {
            path: self.path.to_owned(),
            place: Quoted::new(name).to_string(),
            what: format!("{what} is {} bytes long", name.len()),
            limit: MAX_NAME,
        })
    }

    fn add(&mut self, name: &'a str) -> Result<ValueId, LoadError> {
        self.check_name(name, "a tensor name")?;
        let id = self.values.len();
        self.by_name.insert(name, id);
        self.values.push(Value {
            name,
            producer: None,
            weight: None,
            info: None,
            is_container: false,
            is_input: false,
            is_output: false,
        });
        Ok(id)
    }

    fn duplicate(&self, tensor: &str, first: Quoted, second: Quoted) -> LoadError {
        LoadError::DuplicateTensor {
            path: self.path.to_owned(),
            tensor: Quoted::new(tensor),
            first,
            second,
        }
    }

    fn weight(&mut self, name: &'a str, weight: Weight<'a>) -> Result<(), LoadError> {
        if self.by_name.contains_key(name) {
            let list = Quoted::new("the list of weights");
            return Err(self.duplicate(name, list.clone(), list));
        }
        let mut elements = Some(1u64);
        for &dim in weight.dims() {
            let dim = u64::try_from(dim).ok();
            elements = elements.zip(dim).and_then(|(n, d)| n.checked_mul(d));
        }
        if elements.is_none_or(|n| n > 1 << 48) {
            return Err(LoadError::BadDims {
                path: self.path.to_owned(),
                tensor: Quoted::new(name),
                what: format!("dims {:?} are negative or too large", weight.dims()),
            });
        }
        let id = self.add(name)?;
        self.values[id].weight = Some(weight);
        Ok(())
    }

    fn find(&self, name: &str, reader: &str) -> Result<ValueId, LoadError> {
        self.by_name
            .get(name)
            .copied()
            .ok_or_else(|| LoadError::Dangling {
                path: self.path.to_owned(),
                node: Quoted::new(reader),
                tensor: Quoted::new(name),
            })
    }
}

/// The domain of a node's op; "" for ONNX's own, under either name.
pub(super) fn domain(node: &proto::Node) -> &str {
    match &*node.domain {
        "ai.onnx" => "",
        domain => domain,
    }
}

pub(super) fn tensor_type(info: &proto::ValueInfo) -> Option<&proto::TensorType> {
    info.r#type.as_ref()?.tensor_type.as_ref()
}

/// Names that a body uses and that neither it nor a body around it inside the same op defines.
fn outer_names<'a>(
    body: &'a proto::Graph,
    around: &mut Vec<HashSet<&'a str>>,
    used: &mut Vec<&'a str>,
) {
    let mut defined: HashSet<&str> = body.initializer.iter().map(|t| t.name.as_str()).collect();
    defined.extend(body.input.iter().map(|i| i.name.as_str()));
    defined.extend(
        body.node
            .iter()
            .flat_map(|n| n.output.iter().map(String::as_str)),
    );
    around.push(defined);
    let outside = |name: &str| !name.is_empty() && !around.iter().any(|s| s.contains(name));
    let inputs = body.node.iter().flat_map(|n| &n.input);
    let outputs = body.output.iter().map(|o| &o.name);
    used.extend(
        inputs
            .chain(outputs)
            .map(String::as_str)
            .filter(|n| outside(n)),
    );
    for inner in body.node.iter().flat_map(proto::Node::bodies) {
        outer_names(inner, around, used);
    }
    around.pop();
}

/// The layer names TensorRT's ONNX parser gives (10.1 `ImporterContext::registerLayer`): the
/// node's, `node_of_<first output>` for a nameless one, and `<name>_<counter>` for a repeated one,
/// with one counter for the whole file. The second value counts the repeated ones.
fn unique_names(nodes: &[proto::Node]) -> (Vec<Arc<str>>, usize) {
    let mut taken: HashSet<Arc<str>> = HashSet::with_capacity(nodes.len());
    let mut counter = 0usize;
    let mut renamed = 0;
    let mut names = Vec::with_capacity(nodes.len());
    for node in nodes {
        let base = base_name(node);
        let mut name: Arc<str> = Arc::from(&*base);
        if taken.contains(&name) {
            renamed += 1;
        }
        while taken.contains(&name) {
            name = format!("{base}_{counter}").into();
            counter += 1;
        }
        taken.insert(Arc::clone(&name));
        names.push(name);
    }
    (names, renamed)
}

/// The name TensorRT's parser starts from.
fn base_name(node: &proto::Node) -> Cow<'_, str> {
    if !node.name.is_empty() {
        return Cow::Borrowed(&node.name);
    }
    let output = node.output.iter().find(|o| !o.is_empty());
    Cow::Owned(format!("node_of_{}", output.map_or("", String::as_str)))
}

/// Per node, its base name where the unique one may not be TensorRT's: its counter also counts the
/// further layers of one node, which the file does not tell.
fn shared_names(
    nodes: &[proto::Node],
    unique: &[Arc<str>],
    renamed: usize,
) -> Vec<Option<Arc<str>>> {
    if renamed == 0 {
        return vec![None; nodes.len()];
    }
    let bases: Vec<Cow<'_, str>> = nodes.iter().map(base_name).collect();
    let mut uses: HashMap<&str, usize> = HashMap::with_capacity(nodes.len());
    for base in &bases {
        *uses.entry(base).or_default() += 1;
    }
    let shared = |(base, name): (&Cow<'_, str>, &Arc<str>)| {
        let own = **base == **name;
        (!own || uses.get(&**base).is_some_and(|n| *n > 1)).then(|| Arc::from(&**base))
    };
    bases.iter().zip(unique).map(shared).collect()
}
