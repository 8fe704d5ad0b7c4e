//! Decoded file -> [`Model`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::agree::Clash;
use super::attrs::{Data, dtype};
use super::decode::{Bad, Site};
use super::error::{LoadError, Quoted};
use super::file_ops;
use super::graph::{Graph, Node, NodeId, ValueId};
use super::hash::structure_hash;
use super::inline::{self, Branches};
use super::names::{self, MAX_SEGMENTS, Named, Naming};
use super::ops::OnnxOp as O;
use super::values::{Input, Values, call, infer};
use super::{blocks, proto};
use crate::model::{
    DType, Dim, Exporter, Model, ModelInput, ModelParts, ModuleId, ModuleTree, ModuleTreeBuilder,
    Note, Op, OpId, OpKind, Source, Tensor, TensorId, TensorRole,
};

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Dims per input name, for inputs the file declares symbolic or to override the file's.
    pub inputs: BTreeMap<String, Vec<u64>>,
}

/// Largest tensor an input may be: 2^40 elements.
const MAX_INPUT: u64 = 1 << 40;

/// Builds the model.
pub(super) fn model(
    path: PathBuf,
    name: &str,
    file_bytes: u64,
    file: &proto::Model,
    options: &LoadOptions,
) -> Result<Model, LoadError> {
    let written = file
        .graph
        .as_ref()
        .map_or_else(Default::default, Cow::Borrowed);
    let opset = file
        .opset_import
        .iter()
        .find(|o| o.domain.is_empty() || o.domain == "ai.onnx")
        .map_or(1, |o| o.version);
    let (flat, opaque) = flatten(&path, file, &written, opset, file_bytes, options)?;
    let as_written = file.functions.is_empty() && matches!(flat, Cow::Borrowed(_));
    let graph = Graph::new(&path, &flat)?;
    let mut notes = Vec::new();
    let mut note = |text: String| notes.push(Note { text });
    if opaque {
        note(
            "The file's local functions would fill too much memory if they were all written out; \
             calls that were left have unknown shapes."
                .into(),
        );
    }
    if graph.reordered {
        note(
            "The file lists nodes before the nodes they depend on; they were put in order.".into(),
        );
    }
    if graph.renamed > 0 {
        note(format!(
            "{} nodes share a name with another; they were numbered as TensorRT does.",
            graph.renamed
        ));
    }
    let inputs = input_dims(&path, &graph, options)?;
    let values = infer(&graph, opset, &inputs);
    if let Some((node, clash)) = &values.clash {
        return Err(contradiction(
            path,
            &graph,
            &values,
            (*node, clash),
            options,
        ));
    }
    if values.disagreements > 0 {
        note(format!(
            "{} shapes written in the file contradict its inputs and weights; the computed ones \
             are used.",
            values.disagreements
        ));
    }
    let roles = classify(&graph, &values.dynamic);
    if roles.ops.is_empty() {
        return Err(LoadError::NoOps { path });
    }
    if roles.dead > 0 {
        note(format!(
            "{} constant nodes feed nothing and were left out.",
            roles.dead
        ));
    }

    let mut build = Build {
        graph: &graph,
        values: &values,
        roles: &roles,
        tensors: Vec::new(),
        ids: vec![None; graph.values.len()],
        types: graph
            .types
            .iter()
            .map(|t| (t.domain.into(), t.name.into()))
            .collect(),
    };
    let inputs: Vec<ModelInput> = graph
        .inputs
        .iter()
        .zip(inputs)
        .map(|(v, input)| ModelInput {
            tensor: build.tensor(*v),
            declared: input.declared,
        })
        .collect();
    let mut ops = Vec::with_capacity(roles.ops.len());
    for (&node, at) in roles.ops.iter().zip(0..) {
        ops.push(build.op(&path, node, OpId(at), opset)?);
    }
    let outputs: Vec<TensorId> = graph.outputs.iter().map(|v| build.tensor(*v)).collect();
    for id in &outputs {
        if let Some(t) = build.tensors.get_mut(id.index()) {
            t.is_output = true;
        }
    }
    let tensors = build.finish();
    // What follows takes the most memory.
    drop(values);
    for input in &inputs {
        let tensor = &tensors[input.tensor.index()];
        if tensor.dtype == DType::Container {
            note(format!(
                "Input {} is a sequence, map or optional, no tensor; it has no dims to give.",
                Quoted::new(&tensor.name)
            ));
        } else if tensor.shape.is_none() {
            note(format!(
                "Input {} is declared {}; give its dims before anything can be estimated or built.",
                Quoted::new(&tensor.name),
                shown(&input.declared)
            ));
        }
    }
    let resolved = inputs
        .iter()
        .all(|i| tensors[i.tensor.index()].shape.is_some());
    let unknown = |t: &&Tensor| t.role == TensorRole::Activation && t.shape.is_none();
    if resolved && let Some(first) = tensors.iter().find(unknown) {
        note(format!(
            "{} tensors have no known shape, {} first; ops that touch them have no estimate.",
            tensors.iter().filter(unknown).count(),
            Quoted::new(&first.name)
        ));
    }

    let naming = read_names(file, &graph, &roles, &ops, &tensors);
    let exporter = naming.exporter;
    if let Some((alias, first)) = naming.aliases.first_key_value() {
        note(format!(
            "Modules have second names in the file ({} of them; {} is {}): each is shown once, with \
             all its calls.",
            naming.aliases.len(),
            Quoted::new(alias),
            Quoted::new(first)
        ));
    }
    let modules = tree(&path, naming, &mut ops, &tensors)?;
    let structure_only = file
        .metadata_props
        .iter()
        .any(|e| e.key == "dlaplan.structure_only" && e.value.as_ref() == b"1");
    let producer = format!("{} {}", file.producer_name, file.producer_version);
    Ok(Model::from(ModelParts {
        name: name.to_owned(),
        source: Source {
            path,
            producer: producer.trim().to_owned(),
            exporter,
            opset,
            file_bytes,
            structure_hash: structure_hash(&written),
            structure_only,
        },
        ops,
        tensors,
        modules,
        inputs,
        outputs,
        notes,
        file_ops: file_ops::of(file, as_written.then_some(&graph)),
    }))
}

/// The graph with calls of local functions, and branches whose condition is a constant, written out;
/// and whether calls were left.
fn flatten<'a>(
    path: &Path,
    file: &proto::Model,
    written: &'a proto::Graph,
    opset: i64,
    file_bytes: u64,
    options: &LoadOptions,
) -> Result<(Cow<'a, proto::Graph>, bool), LoadError> {
    let (mut flat, opaque) = match inline::functions(file, file_bytes) {
        Some((graph, opaque)) => (Cow::Owned(graph), opaque),
        None => (Cow::Borrowed(written), false),
    };
    let mut branches = Branches::new(file_bytes);
    while flat.node.iter().any(|n| n.op_type == "If") {
        let graph = Graph::new(path, &flat)?;
        let values = infer(&graph, opset, &input_dims(path, &graph, options)?);
        let mut taken = HashMap::new();
        for node in graph.nodes.iter().filter(|n| n.op == O::If) {
            let Some(Some(condition)) = node.inputs.first() else {
                continue;
            };
            let data = values.facts[*condition].data.as_deref();
            if let Some(value) = data.and_then(Data::first_int)
                && !values.dynamic[*condition]
            {
                taken.insert(node.place, value != 0);
            }
        }
        match branches.write_out(&flat, &taken) {
            Some(next) => flat = Cow::Owned(next),
            None => break,
        }
    }
    Ok((flat, opaque))
}

fn contradiction(
    path: PathBuf,
    graph: &Graph<'_>,
    values: &Values,
    (node, clash): (NodeId, &Clash),
    options: &LoadOptions,
) -> LoadError {
    let node = &graph.nodes[node];
    let tensor = |input: usize| {
        let v = node.inputs.get(input).copied().flatten();
        v.map_or_else(String::new, |v| {
            let name = Quoted::new(graph.values[v].name);
            format!("{name} is {}", values.facts[v].shown())
        })
    };
    let (one, other) = (tensor(clash.inputs.0), tensor(clash.inputs.1));
    let remedy = if options.inputs.is_empty() {
        "The file was edited wrongly; export the model again"
    } else {
        "Correct the dims given for its inputs (“Input dims…” in the window, --input on the command \
         line); if they are right, export the model again"
    };
    LoadError::Contradiction {
        path,
        node: Quoted::new(&node.name),
        op_type: Quoted::new(&node.proto.op_type),
        what: format!("{one} and {other}: {}. {remedy}", clash.what),
    }
}

fn shown(dims: &[Dim]) -> String {
    let parts: Vec<String> = dims
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => n.to_string(),
            Dim::Symbolic(s) if s.is_empty() => "?".to_owned(),
            Dim::Symbolic(s) => s.escape_debug().take(40).collect(),
        })
        .collect();
    if parts.is_empty() {
        "without dims".to_owned()
    } else {
        parts.join("x")
    }
}

fn input_dims(
    path: &Path,
    graph: &Graph<'_>,
    options: &LoadOptions,
) -> Result<Vec<Input>, LoadError> {
    let name_of = |v: ValueId| graph.values[v].name;
    for name in options.inputs.keys() {
        if !graph.inputs.iter().any(|v| name_of(*v) == name) {
            let known: Vec<String> = graph
                .inputs
                .iter()
                .take(10)
                .map(|v| Quoted::new(name_of(*v)).to_string())
                .collect();
            return Err(LoadError::UnknownInput {
                path: path.to_owned(),
                input: Quoted::new(name),
                known: known.join(", "),
            });
        }
    }
    let mut inputs = Vec::with_capacity(graph.inputs.len());
    for &v in &graph.inputs {
        let value = &graph.values[v];
        let shape = value.info.and_then(|t| t.shape.as_ref());
        let declared: Vec<Dim> = shape.map_or_else(Vec::new, |s| {
            s.dim
                .iter()
                .map(|d| match (d.dim_value, &d.dim_param) {
                    // Paddle and others write -1 or 0 for "any".
                    (Some(n), _) if n > 0 => Dim::Fixed(n as u64),
                    (_, Some(name)) => Dim::Symbolic(name.clone()),
                    _ => Dim::Symbolic(String::new()),
                })
                .collect()
        });
        let fixed: Option<Vec<u64>> = declared
            .iter()
            .map(|d| match d {
                Dim::Fixed(n) => Some(*n),
                Dim::Symbolic(_) => None,
            })
            .collect();
        let small = |dims: &[u64]| {
            let n = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
            n.is_some_and(|n| n <= MAX_INPUT)
        };
        let bad = |given: &[u64], why: String| {
            let dims: Vec<String> = given.iter().take(16).map(u64::to_string).collect();
            let example: Vec<String> = declared
                .iter()
                .map(|d| match d {
                    Dim::Fixed(n) => n.to_string(),
                    Dim::Symbolic(_) => "1".to_owned(),
                })
                .collect();
            let example = if example.is_empty() {
                "1x3x224x224".into()
            } else {
                example.join("x")
            };
            LoadError::BadInputDims {
                path: path.to_owned(),
                input: Quoted::new(value.name),
                given: if dims.is_empty() {
                    "no dims".into()
                } else {
                    dims.join("x")
                },
                why,
                example: format!(
                    "{}={example}",
                    Quoted::new(value.name).to_string().trim_matches('`')
                ),
            }
        };
        let mut overridden = false;
        let dims = if let Some(given) = options.inputs.get(value.name) {
            if shape.is_some() && given.len() != declared.len() {
                let why = format!(
                    "the file declares {} dims ({})",
                    declared.len(),
                    shown(&declared)
                );
                return Err(bad(given, why));
            }
            if given.contains(&0) || !small(given) {
                let why = "every dim must be at least 1 and the tensor below 2^40 elements";
                return Err(bad(given, why.into()));
            }
            overridden = declared
                .iter()
                .zip(given)
                .any(|(d, g)| matches!(d, Dim::Fixed(n) if n != g));
            Some(given.clone())
        } else {
            if let Some(dims) = &fixed
                && !small(dims)
            {
                return Err(LoadError::BadDims {
                    path: path.to_owned(),
                    tensor: Quoted::new(value.name),
                    what: "the input is declared larger than 2^40 elements".into(),
                });
            }
            fixed.filter(|_| shape.is_some())
        };
        inputs.push(Input {
            declared,
            dims,
            overridden,
        });
    }
    Ok(inputs)
}

/// What becomes of each node.
struct Roles {
    /// Nodes that are ops, in execution order.
    ops: Vec<NodeId>,
    /// Op index per node, for ops.
    op_of: Vec<Option<usize>>,
    /// The value that a folded Identity or Dropout stands for.
    alias: Vec<Option<ValueId>>,
    /// Helper nodes folded into each op.
    folded: Vec<Vec<NodeId>>,
    /// Helpers without a consumer.
    dead: usize,
}

impl Roles {
    fn root(&self, v: ValueId) -> ValueId {
        self.alias[v].unwrap_or(v)
    }
}

fn classify(graph: &Graph<'_>, dynamic: &[bool]) -> Roles {
    let mut read = vec![false; graph.values.len()];
    for v in graph
        .nodes
        .iter()
        .flat_map(|n| n.inputs.iter().flatten().chain(&n.captured))
    {
        read[*v] = true;
    }
    let mut alias: Vec<Option<ValueId>> = vec![None; graph.values.len()];
    let mut ops = Vec::new();
    let mut op_of = vec![None; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        let mut outputs = node.outputs.iter().flatten();
        let works = outputs.clone().any(|v| dynamic[*v]) || {
            // A node without outputs is an op if it sees the model's data.
            node.outputs.is_empty() && node.inputs.iter().flatten().any(|v| dynamic[*v])
        };
        if !works {
            continue;
        }
        if matches!(node.op, O::Identity | O::Dropout)
            && let (Some(Some(input)), Some(Some(output))) =
                (node.inputs.first(), node.outputs.first())
            && !graph.values[*output].is_output
            && !outputs
                .by_ref()
                .skip(1)
                .any(|v| read[*v] || graph.values[*v].is_output)
        {
            let root = alias[*input].unwrap_or(*input);
            alias[*output] = Some(root);
            continue;
        }
        op_of[id] = Some(ops.len());
        ops.push(id);
    }
    // A helper belongs to the first op that uses what it makes, directly or through helpers.
    let mut owner: Vec<Option<usize>> = vec![None; graph.values.len()];
    let mut folded = vec![Vec::new(); ops.len()];
    let mut dead = 0;
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        let op = op_of[id].or_else(|| {
            let outputs = node.outputs.iter().flatten();
            outputs.filter_map(|v| owner[*v]).min()
        });
        if op_of[id].is_none() {
            match op {
                Some(op) => folded[op].push(id),
                None => dead += 1,
            }
        }
        let Some(op) = op else { continue };
        for v in node.inputs.iter().flatten().chain(&node.captured) {
            owner[*v] = Some(owner[*v].map_or(op, |o| o.min(op)));
        }
    }
    for f in &mut folded {
        f.reverse();
    }
    Roles {
        ops,
        op_of,
        alias,
        folded,
        dead,
    }
}

struct Build<'g, 'a> {
    graph: &'g Graph<'a>,
    values: &'g Values,
    roles: &'g Roles,
    tensors: Vec<Tensor>,
    ids: Vec<Option<TensorId>>,
    /// Domain and name of [`Graph::types`], shared by the ops of the type.
    types: Vec<(Arc<str>, Arc<str>)>,
}

impl Build<'_, '_> {
    fn tensor(&mut self, v: ValueId) -> TensorId {
        let v = self.roles.root(v);
        if let Some(id) = self.ids[v] {
            return id;
        }
        let value = &self.graph.values[v];
        let fact = &self.values.facts[v];
        let id = TensorId(self.tensors.len() as u32);
        let producer = value.producer.and_then(|n| self.roles.op_of[n]);
        self.tensors.push(Tensor {
            name: value.name.into(),
            dtype: fact.dtype,
            shape: fact.shape(),
            role: match (value.is_input, self.values.dynamic[v]) {
                (true, _) => TensorRole::Input,
                (false, true) => TensorRole::Activation,
                (false, false) => TensorRole::Weight,
            },
            producer: producer.map(|o| OpId(o as u32)),
            consumers: Vec::new(),
            is_output: false,
        });
        self.ids[v] = Some(id);
        id
    }

    fn finish(self) -> Vec<Tensor> {
        self.tensors
    }

    fn op(&mut self, path: &Path, id: NodeId, at: OpId, opset: i64) -> Result<Op, LoadError> {
        let graph = self.graph;
        let node = &graph.nodes[id];
        let bad = |Bad(attribute, what): Bad| LoadError::BadAttribute {
            path: path.to_owned(),
            node: Quoted::new(&node.name),
            op_type: Quoted::new(&node.proto.op_type),
            attribute: attribute
                .chars()
                .flat_map(char::escape_debug)
                .take(80)
                .collect(),
            what,
        };
        // NaN is an ordinary value in classic machine learning and may be one in others' ops.
        let strict = node.op != O::Unknown && node.proto.domain != "ai.onnx.ml";
        for a in node.proto.attribute.iter().filter(|_| strict) {
            if a.f.is_some_and(f32::is_nan) || a.floats.iter().any(|f| f.is_nan()) {
                return Err(LoadError::BadAttribute {
                    path: path.to_owned(),
                    node: Quoted::new(&node.name),
                    op_type: Quoted::new(&node.proto.op_type),
                    attribute: a
                        .name
                        .chars()
                        .flat_map(char::escape_debug)
                        .take(80)
                        .collect(),
                    what: "is not a number (NaN)".into(),
                });
            }
        }
        let facts = &self.values.facts;
        let site = Site {
            call: call(node, facts, opset),
            constant: node
                .inputs
                .iter()
                .map(|v| v.is_some_and(|v| !self.values.dynamic[v]))
                .collect(),
            outputs: node
                .outputs
                .iter()
                .map(|v| v.and_then(|v| facts.get(v)))
                .collect(),
        };
        let kind = site.kind().map_err(bad)?;
        let cost = site.cost(&kind);
        let (mut inputs, mut weights) = (Vec::new(), Vec::new());
        for &v in node.inputs.iter().flatten().chain(&node.captured) {
            let t = self.tensor(v);
            if self.values.dynamic[v] {
                inputs.push(t);
            } else {
                weights.push(t);
            }
            let consumers = &mut self.tensors[t.index()].consumers;
            if consumers.last() != Some(&at) {
                consumers.push(at);
            }
        }
        let outputs = node
            .outputs
            .iter()
            .flatten()
            .map(|v| self.tensor(*v))
            .collect();
        let (domain, op_type) = self.types[node.op_type].clone();
        Ok(Op {
            name: Arc::clone(&node.name),
            op_type,
            domain,
            kind,
            module: ModuleId::ROOT,
            inputs,
            weights,
            outputs,
            cost,
            folded: self.roles.folded[at.index()]
                .iter()
                .map(|n| Arc::clone(&graph.nodes[*n].name))
                .collect(),
            weight_copies: self.roles.folded[at.index()]
                .iter()
                .filter(|n| hands_weight_on(graph, &graph.nodes[**n]))
                .count() as u32,
            shared_name: node.shared_name.clone(),
        })
    }
}

/// Whether a node is an Identity whose input is stored in the file, in floating point: shapes are shared in
/// the same way, and nobody saw TensorRT run those.
fn hands_weight_on(graph: &Graph<'_>, node: &Node<'_>) -> bool {
    let stored = |v: &ValueId| {
        let weight = graph.values[*v].weight;
        weight.is_some_and(|w| dtype(w.data_type()).is_float())
    };
    node.op == O::Identity && node.inputs.iter().flatten().any(stored)
}

fn heavy(op: &Op) -> bool {
    let multiplies = op.cost.is_some_and(|c| c.macs > 0);
    let kind = matches!(
        op.kind,
        OpKind::Conv(_)
            | OpKind::Deconv(_)
            | OpKind::FullyConnected { .. }
            | OpKind::MatMul
            | OpKind::Recurrent
    );
    kind || multiplies
}

fn read_names(
    file: &proto::Model,
    graph: &Graph<'_>,
    roles: &Roles,
    ops: &[Op],
    tensors: &[Tensor],
) -> Naming {
    let named: Vec<Named<'_>> = ops
        .iter()
        .zip(&roles.ops)
        .map(|(op, node)| Named {
            node: graph.nodes[*node].proto,
            producers: op
                .inputs
                .iter()
                .filter_map(|t| tensors[t.index()].producer.map(OpId::index))
                .collect(),
            weights: op
                .weights
                .iter()
                .map(|t| &*tensors[t.index()].name)
                .collect(),
            readers: op
                .outputs
                .iter()
                // Nothing else is told by them.
                .filter(|_| matches!(op.kind, OpKind::Split { .. }))
                .flat_map(|t| tensors[t.index()].consumers.iter().map(|o| o.index()))
                .collect(),
            heavy: heavy(op),
            control: op.kind == OpKind::ControlFlow,
        })
        .collect();
    names::read(file, &named)
}

fn tree(
    path: &Path,
    naming: Naming,
    ops: &mut [Op],
    tensors: &[Tensor],
) -> Result<ModuleTree, LoadError> {
    let mut builder = ModuleTreeBuilder::default();
    let mut drafts = Vec::with_capacity(ops.len());
    let works: Vec<bool> = ops.iter().map(heavy).collect();
    let mut paths = naming.paths;
    let blocks = blocks::divide(&mut paths, &naming.owned, ops, tensors, &works);
    for (at, module) in (0..).zip(&paths) {
        check_path(path, module)?;
        let draft = builder.module(module);
        builder.add_op(draft, OpId(at));
        drafts.push(draft);
    }
    let mut blocks: Vec<String> = blocks.into_iter().collect();
    blocks.sort_unstable();
    for block in &blocks {
        let draft = builder.module(block);
        builder.set_block(draft);
    }
    for (module, class) in &naming.modules {
        check_path(path, module)?;
        let draft = builder.module(module);
        if let Some(class) = class {
            builder.set_class(draft, class);
        }
        if matches!(class.as_deref(), Some("ModuleList" | "ModuleDict")) {
            builder.set_never_called(draft);
        }
    }
    if naming.exporter != Exporter::Foreign && !naming.called.is_empty() {
        // A container between two called modules that no trace went through.
        for called in &naming.called {
            builder.module(called);
        }
        let mut seen: HashSet<&str> = HashSet::new();
        for path in naming.called.iter().filter(|p| !p.is_empty()) {
            let mut above = path.as_str();
            while let Some((parent, _)) = above.rsplit_once('.') {
                above = parent;
                if !seen.insert(parent) {
                    break;
                }
                if naming.called.contains(parent) {
                    continue;
                }
                if let Some(draft) = builder.find(parent)
                    && !builder.has_ops(draft)
                {
                    builder.set_never_called(draft);
                }
            }
        }
    }
    let (tree, ids) = builder.finish();
    for (op, draft) in ops.iter_mut().zip(drafts) {
        op.module = ids[draft];
    }
    Ok(tree)
}

fn check_path(path: &Path, module: &str) -> Result<(), LoadError> {
    let segments = module.split('.').count();
    if segments <= MAX_SEGMENTS && module.len() <= super::graph::MAX_NAME {
        return Ok(());
    }
    Err(LoadError::Limit {
        path: path.to_owned(),
        place: format!("module {}", Quoted::new(module)),
        what: format!("{segments} levels, {} bytes", module.len()),
        limit: MAX_SEGMENTS,
    })
}
