//! The ops of a row or a block that TensorRT names.

use std::collections::BTreeSet;

use crate::engine::run::Actual;
use crate::model::{Model, OpId};
use crate::placement::Device;

use super::engine_layers::{EngineLayer, foreign_node};
use super::layer_map::{Found, Known, LayerMap};
use super::shared_names::without_counter;

/// Ops of a block or a layer by its name: all between the two names of a block, or those named.
pub fn members(map: &LayerMap<'_>, name: &str, actual: &Actual) -> Vec<OpId> {
    let known = actual.subgraphs.iter().find(|(block, _)| block == name);
    let known = known.map(|(_, ops)| ops.iter().filter_map(|n| map.model.find_op(n)).collect());
    match known {
        Some(ops) => ops,
        None => between(map, name, &Bounds::of(&vec![None; map.model.ops.len()])),
    }
}

/// The ops of a row of the engine or its profile.
pub(super) fn row_ops(map: &LayerMap<'_>, layer: &EngineLayer, name: &str) -> Found {
    let mut found = map.find(name);
    let made = layer.outputs.iter().filter_map(|t| map.tensors.get(t));
    for onnx in &layer.onnx {
        // The name in the file, which several nodes may have.
        if let Some(ops) = map.namesakes.named(onnx) {
            let told = |op: &OpId| found.ops.contains(op) || found.unsure.contains(op);
            if !ops.iter().any(told) {
                let makes: Vec<OpId> = made.clone().flatten().copied().collect();
                let ops: Vec<OpId> = match ops.iter().find(|op| makes.contains(op)) {
                    Some(op) => vec![*op],
                    None => ops.to_vec(),
                };
                found.add(&Known { ops, helper: false });
            }
        } else if let Some(known) = map.layers.get(onnx) {
            found.ops.extend(&known.ops);
        }
    }
    if found.is_empty() {
        for ops in made {
            let ops = ops.clone();
            found.add(&Known { ops, helper: true });
        }
    }
    found
}

/// Which ops a block may hold besides the ones it names.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// What other layers run.
    pub(super) taken: &'a [Option<(Device, String)>],
    /// Only ops asked onto the DLA, where its ends were.
    pub(super) requested: Option<&'a [Device]>,
    /// Ops that cannot be inside.
    pub(super) not: Option<&'a BTreeSet<OpId>>,
    /// Only what lies on a way from one end to the other: a block that a way left and entered
    /// again would wait for itself. Other ops may be a layer's that the log no longer shows.
    pub(super) paths_only: bool,
}

impl<'a> Bounds<'a> {
    pub(super) fn of(taken: &'a [Option<(Device, String)>]) -> Self {
        Self {
            taken,
            requested: None,
            not: None,
            paths_only: false,
        }
    }
}

/// Ops of a block that names only its ends: everything between them in execution order that no
/// other layer runs and, for the DLA, that was asked there, joined to the ends by edges. A block
/// of TensorRT 7 names all of its ops.
pub(super) fn between(map: &LayerMap<'_>, name: &str, bounds: &Bounds<'_>) -> Vec<OpId> {
    let model = map.model;
    let mut found = map.find(name);
    if let Some((first, last)) = foreign_node(name) {
        // The parser numbers the second layer of a node: `Split_32` of `Split`.
        for end in [first, last] {
            if map.known(end).is_none()
                && let Some(Known { ops, helper: false }) =
                    without_counter(end).and_then(|n| map.known(n))
                && let [op] = ops[..]
            {
                found.ops.insert(op);
            }
        }
    } else {
        let named = [found.ops, found.helpers];
        let named = named.into_iter().find(|ops| !ops.is_empty());
        return named.into_iter().flatten().collect();
    }
    // An end that may be one of several bounds nothing.
    let ends: BTreeSet<OpId> = found.ops.union(&found.helpers).copied().collect();
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else {
        return Vec::new();
    };
    // A placement that did not ask for an end says nothing of what is inside.
    let asked = |op: OpId| {
        bounds
            .requested
            .is_none_or(|r| r[op.index()] == Device::Dla)
    };
    let placed = ends.iter().any(|op| asked(*op));
    let on_path = bounds.paths_only.then(|| paths(model, &ends));
    let free = |op: OpId| {
        (*first..=*last).contains(&op)
            && bounds.taken[op.index()].is_none()
            && (asked(op) || !placed)
            && bounds.not.is_none_or(|not| !not.contains(&op))
            && on_path.as_ref().is_none_or(|path| path.contains(&op))
    };
    // What the block names is in it; an end that another layer also runs stays with that one.
    let mut members: BTreeSet<OpId> = ends
        .iter()
        .copied()
        .filter(|op| match &bounds.taken[op.index()] {
            None => true,
            Some((device, _)) => *device == Device::Dla && found.ops.contains(op),
        })
        .collect();
    let mut stack: Vec<OpId> = members.iter().copied().collect();
    while let Some(op) = stack.pop() {
        let makers = model.producers(op);
        let readers = model
            .op(op)
            .outputs
            .iter()
            .flat_map(|t| &model.tensor(*t).consumers);
        for next in makers.chain(readers.copied()) {
            if free(next) && members.insert(next) {
                stack.push(next);
            }
        }
    }
    members.into_iter().collect()
}

/// Ops on a way from one of `ends` to another, ends included. Linear in the ops between them.
fn paths(model: &Model, ends: &BTreeSet<OpId>) -> BTreeSet<OpId> {
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else {
        return BTreeSet::new();
    };
    let between = first.0..=last.0;
    let mut after: BTreeSet<OpId> = ends.clone();
    for op in between.clone().map(OpId) {
        if model.producers(op).any(|p| after.contains(&p)) {
            after.insert(op);
        }
    }
    let mut both: BTreeSet<OpId> = ends.clone();
    for op in between.rev().map(OpId) {
        let mut readers = model
            .op(op)
            .outputs
            .iter()
            .flat_map(|t| &model.tensor(*t).consumers);
        if after.contains(&op) && readers.any(|r| both.contains(r)) {
            both.insert(op);
        }
    }
    both
}
