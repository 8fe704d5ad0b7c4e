//! What is known of every value of a graph: inference, the file's own claims, and the user's dims.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::agree::Clash;
use super::attrs::{Attrs, Data, dtype};
use super::graph::{Graph, Node, NodeId, Weight};
use super::ops::{Call, Fact, Family, OnnxOp as O, axis};
use super::proto;
use crate::model::{DType, Dim};

/// Most elements of small constants worked out in all; real models stay far below. Beyond, shapes
/// that depend on arithmetic stay unknown.
const MAX_WORK: usize = 500_000;

/// An input's declared dims and the ones in force.
pub(super) struct Input {
    pub declared: Vec<Dim>,
    pub dims: Option<Vec<u64>>,
    /// Whether a dim that the file fixes was changed.
    pub overridden: bool,
}

/// What is known of every value.
pub(super) struct Values {
    pub facts: Vec<Fact>,
    /// Depends on the data of a model input.
    pub dynamic: Vec<bool>,
    /// Shapes in `value_info` that contradict the computed ones.
    pub disagreements: usize,
    /// The first node that no runtime can execute.
    pub clash: Option<(NodeId, Clash)>,
}

/// A node with its inputs' facts.
pub(super) fn call<'a>(node: &Node<'a>, facts: &'a [Fact], opset: i64) -> Call<'a> {
    Call {
        op: node.op,
        attrs: Attrs(&node.proto.attribute),
        opset,
        inputs: node
            .inputs
            .iter()
            .map(|v| v.and_then(|v| facts.get(v)))
            .collect(),
        outputs: node.outputs.len(),
    }
}

pub(super) fn infer(graph: &Graph<'_>, opset: i64, inputs: &[Input]) -> Values {
    let mut facts: Vec<Fact> = vec![Fact::default(); graph.values.len()];
    let mut dynamic = vec![false; graph.values.len()];
    // Shapes that rest on `value_info`, which may be out of date: nothing is refused for them.
    let mut claimed = vec![false; graph.values.len()];
    let mut disagreements = 0;
    let mut clash = None;
    for (v, value) in graph.values.iter().enumerate() {
        match value.weight {
            Some(Weight::Dense(t)) => facts[v] = Fact::of_tensor(t),
            Some(Weight::Sparse(_)) => {
                let w = value.weight.map(|w| (w.dims(), w.data_type()));
                if let Some((dims, code)) = w {
                    let dims = dims.iter().map(|d| u64::try_from(*d).ok()).collect();
                    facts[v] = Fact::new(dtype(code), Some(dims));
                }
            }
            None => {}
        }
    }
    // Names of symbolic dims that the user's dims settle.
    let mut named: BTreeMap<&str, u64> = BTreeMap::new();
    for (&v, input) in graph.inputs.iter().zip(inputs) {
        dynamic[v] = true;
        let code = graph.values[v].info.map_or(0, |t| t.elem_type);
        let partial = input.declared.iter().map(|d| match d {
            Dim::Fixed(n) => Some(*n),
            Dim::Symbolic(_) => None,
        });
        let dims = match &input.dims {
            Some(dims) => Some(dims.iter().copied().map(Some).collect()),
            None if input.declared.is_empty() => None,
            None => Some(partial.collect()),
        };
        let dtype = if graph.values[v].is_container {
            DType::Container
        } else {
            dtype(code)
        };
        facts[v] = Fact::new(dtype, dims);
        for (d, n) in input.declared.iter().zip(input.dims.iter().flatten()) {
            if let Dim::Symbolic(name) = d
                && !name.is_empty()
            {
                named.insert(name, *n);
            }
        }
    }
    let mut work = 0;
    let declared_hold = inputs.iter().all(|i| !i.overridden);
    for (id, node) in graph.nodes.iter().enumerate() {
        // The shape of an activation is fixed, whatever the data.
        let shape_only = matches!(node.op, O::Shape | O::Size | O::EyeLike);
        let used = || node.inputs.iter().flatten().chain(&node.captured);
        let depends = !shape_only && used().any(|v| dynamic[*v]);
        let rests_on_claim = used().any(|v| claimed[*v]);
        let mut out = if node.op.family() == Family::Control {
            let named = |v: &usize| Some((graph.values.get(*v)?.name, facts.get(*v)?.clone()));
            let mut scope: Scope<'_> = node.captured.iter().filter_map(named).collect();
            let inputs: Vec<Option<Fact>> = node
                .inputs
                .iter()
                .map(|v| v.and_then(|v| facts.get(v).cloned()))
                .collect();
            control(node.proto, node.op, &inputs, opset, &mut scope)
        } else {
            let call = call(node, &facts, opset);
            if depends && !rests_on_claim && clash.is_none() {
                clash = call.clash().map(|c| (id, c));
            }
            call.infer()
        };
        let exhausted = work > MAX_WORK;
        work += out
            .iter()
            .filter_map(|f| f.data.as_ref())
            .map(|d| d.len())
            .sum::<usize>();
        if work > MAX_WORK {
            if !exhausted {
                for fact in &mut facts {
                    fact.data = None;
                }
            }
            for fact in &mut out {
                fact.data = None;
            }
        }
        for (&v, mut fact) in node.outputs.iter().zip(out) {
            let Some(v) = v else { continue };
            claimed[v] = rests_on_claim;
            if let Some(info) = graph.values[v].info
                && declared_hold
            {
                claimed[v] |= fact.dims.as_ref().is_none_or(|d| d.contains(&None));
                disagreements += usize::from(merge(&mut fact, info, &named));
            }
            facts[v] = fact;
            dynamic[v] = depends;
        }
    }
    Values {
        facts,
        dynamic,
        disagreements,
        clash,
    }
}

/// Fills what inference left open from the file's `value_info`; true if they contradict.
fn merge(fact: &mut Fact, info: &proto::TensorType, named: &BTreeMap<&str, u64>) -> bool {
    let mut declared = Fact::of_type(info);
    if fact.dtype == DType::Other {
        fact.dtype = declared.dtype;
    }
    if let (Some(dims), Some(shape)) = (&mut declared.dims, &info.shape) {
        for (d, proto) in dims.iter_mut().zip(&shape.dim) {
            let name = proto.dim_param.as_deref();
            *d = d.or_else(|| named.get(name?).copied());
        }
    }
    match (&mut fact.dims, declared.dims) {
        (None, declared) => {
            fact.dims = declared;
            false
        }
        (Some(_), None) => false,
        (Some(own), Some(declared)) if own.len() == declared.len() => {
            let mut clash = false;
            for (o, d) in own.iter_mut().zip(declared) {
                clash |= matches!((*o, d), (Some(a), Some(b)) if a != b);
                *o = o.or(d);
            }
            clash
        }
        (Some(_), Some(_)) => true,
    }
}

/// Facts by name, inside a body.
type Scope<'a> = HashMap<&'a str, Fact>;

/// Outputs of an op that holds bodies.
fn control<'a>(
    node: &'a proto::Node,
    op: O,
    inputs: &[Option<Fact>],
    opset: i64,
    scope: &mut Scope<'a>,
) -> Vec<Fact> {
    let facts = match op {
        O::If => branches(node, inputs, opset, scope),
        O::Loop => looped(node, inputs, opset, scope),
        _ => scanned(node, inputs, opset, scope),
    };
    let mut facts = facts.unwrap_or_default();
    facts.resize_with(node.output.len(), Fact::default);
    facts
}

fn body<'a>(node: &'a proto::Node, name: &str) -> Option<&'a proto::Graph> {
    Attrs(&node.attribute).get(name)?.g.as_deref()
}

/// Outputs of an If: the taken branch's if the condition is known, else what both agree on.
fn branches<'a>(
    node: &'a proto::Node,
    inputs: &[Option<Fact>],
    opset: i64,
    scope: &mut Scope<'a>,
) -> Option<Vec<Fact>> {
    let condition = inputs.first()?.as_ref();
    let taken = condition.and_then(|c| c.data.as_deref().and_then(Data::first_int));
    let mut run = |name| Some(body_outputs(body(node, name)?, opset, scope));
    match taken {
        Some(0) => run("else_branch"),
        Some(_) => run("then_branch"),
        None => {
            let (a, b) = (run("then_branch"), run("else_branch"));
            let pairs = a.unwrap_or_default().into_iter().zip(b.unwrap_or_default());
            Some(pairs.map(|(a, b)| agreed(a, b)).collect())
        }
    }
}

/// Outputs of a Loop: what it carries, then what each turn adds.
fn looped<'a>(
    node: &'a proto::Node,
    inputs: &[Option<Fact>],
    opset: i64,
    scope: &mut Scope<'a>,
) -> Option<Vec<Fact>> {
    let body = body(node, "body")?;
    let carried: Vec<Fact> = inputs
        .get(2..)
        .unwrap_or_default()
        .iter()
        .map(|f| f.clone().unwrap_or_default())
        .collect();
    let first = |i: usize| inputs.get(i)?.as_ref()?.data.as_ref()?.first_int();
    let asked = inputs.get(1).is_some_and(Option::is_some);
    let mut given = vec![Fact::new(DType::I64, Some(vec![]))];
    // Without a condition the loop runs on.
    given.push(match inputs.get(1) {
        Some(Some(condition)) => condition.clone(),
        _ => Fact::with(DType::Bool, vec![], Some(Data::Int(vec![Some(1)]))),
    });
    // What is carried changes from turn to turn; its shape rarely.
    given.extend(carried.iter().map(|f| Fact::new(f.dtype, f.dims.clone())));
    for (info, fact) in body.input.iter().zip(given) {
        scope.insert(&info.name, fact);
    }
    let mut out = body_outputs(body, opset, scope).into_iter();
    let runs_on = out.next()?.data.and_then(|d| d.first_int()) == Some(1);
    let starts = !asked || first(1) == Some(1);
    let turns = first(0).and_then(|n| u64::try_from(n.max(0)).ok());
    let turns = turns.filter(|_| runs_on && starts);
    let steady = |before: &Fact, after: &Fact| before.dims == after.dims;
    let mut all_steady = true;
    let mut facts = Vec::with_capacity(node.output.len());
    for before in carried {
        let after = out.next()?;
        all_steady &= steady(&before, &after);
        facts.push(agreed(before, after));
    }
    for each in out {
        let dims = each.dims.map(|d| {
            let known = |d: Option<u64>| d.filter(|_| all_steady);
            std::iter::once(turns)
                .chain(d.into_iter().map(known))
                .collect()
        });
        facts.push(Fact::new(each.dtype, dims));
    }
    Some(facts)
}

/// Outputs of a Scan: its state, then what each step adds.
fn scanned<'a>(
    node: &'a proto::Node,
    inputs: &[Option<Fact>],
    opset: i64,
    scope: &mut Scope<'a>,
) -> Option<Vec<Fact>> {
    // Before opset 9 all inputs are batches.
    let body = body(node, "body").filter(|_| opset >= 9)?;
    let attrs = Attrs(&node.attribute);
    let scans = usize::try_from(attrs.int("num_scan_inputs")?).ok()?;
    let states = inputs.len().checked_sub(scans)?;
    let of = |list: &str, i: usize| {
        attrs
            .ints(list)
            .and_then(|a| a.get(i))
            .copied()
            .unwrap_or(0)
    };
    let mut steps = None;
    let mut carried = Vec::with_capacity(states);
    for (i, (info, fact)) in body.input.iter().zip(inputs).enumerate() {
        let fact = fact.clone().unwrap_or_default();
        let mut given = Fact::new(fact.dtype, fact.dims.clone());
        if i < states {
            carried.push(fact);
        } else if let Some(dims) = &mut given.dims {
            let at = axis(of("scan_input_axes", i - states), dims.len())?;
            steps = steps.or(dims.remove(at));
        }
        scope.insert(&info.name, given);
    }
    let mut out = body_outputs(body, opset, scope).into_iter();
    let mut facts = Vec::with_capacity(node.output.len());
    for before in carried {
        facts.push(agreed(before, out.next()?));
    }
    for (i, each) in out.enumerate() {
        let mut dims = each.dims;
        if let Some(dims) = &mut dims {
            let at = axis(of("scan_output_axes", i), dims.len() + 1)?;
            dims.insert(at, steps);
        }
        facts.push(Fact::new(each.dtype, dims));
    }
    Some(facts)
}

fn agreed(a: Fact, b: Fact) -> Fact {
    let dims = a.dims.zip(b.dims).filter(|(a, b)| a.len() == b.len());
    let dims = dims.map(|(a, b)| {
        let same = |(a, b): (Option<u64>, Option<u64>)| a.filter(|a| Some(*a) == b);
        a.into_iter().zip(b).map(same).collect()
    });
    Fact::new(
        if a.dtype == b.dtype {
            a.dtype
        } else {
            DType::Other
        },
        dims,
    )
}

fn body_outputs<'a>(body: &'a proto::Graph, opset: i64, scope: &mut Scope<'a>) -> Vec<Fact> {
    for tensor in &body.initializer {
        scope.insert(&tensor.name, Fact::of_tensor(tensor));
    }
    for node in &body.node {
        let op = O::of(&node.domain, &node.op_type);
        let facts = if op.family() == Family::Control {
            let inputs: Vec<Option<Fact>> = node
                .input
                .iter()
                .map(|n| scope.get(n.as_str()).cloned())
                .collect();
            control(node, op, &inputs, opset, scope)
        } else {
            let call = Call {
                op,
                attrs: Attrs(&node.attribute),
                opset,
                inputs: node.input.iter().map(|n| scope.get(n.as_str())).collect(),
                outputs: node.output.len(),
            };
            call.infer()
        };
        for (name, fact) in node.output.iter().zip(facts) {
            scope.insert(name, fact);
        }
    }
    let outputs = body
        .output
        .iter()
        .map(|o| scope.get(o.name.as_str()).cloned());
    outputs.map(Option::unwrap_or_default).collect()
}
