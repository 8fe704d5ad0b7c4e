//! Names for engines, stages and ranges of ops in a proposal.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Model, ModuleId, OpId, TensorRole};
use crate::placement::{Device, Placement};
use crate::plan::{Plan, Planner};
use crate::search::answer::{Proposal, ProposedEngine};
use crate::search::pipeline;

/// What an engine of a deployment is called.
pub(super) fn role(planner: &Planner<'_>, engine: &ProposedEngine, plan: &Plan) -> String {
    let core = engine.config.dla_core;
    let mut taken = (0u32..)
        .map(OpId)
        .zip(&plan.predicted)
        .filter(|(op, _)| planner.may_run_on_dla(*op));
    if plan.dla_ops() == 0 {
        "GPU".into()
    } else if taken.all(|(_, d)| *d == Device::Dla) {
        format!("DLA{core}")
    } else {
        format!("GPU/DLA{core}")
    }
}

/// The placements of a deployment by what they share, so that two deployments that differ in the
/// numbers of their cores only are equal.
pub(super) fn cast(p: &Proposal) -> Vec<Vec<&Placement>> {
    let mut by_core: BTreeMap<Option<u32>, Vec<&Placement>> = BTreeMap::new();
    for e in &p.engines {
        let core = (e.summary.dla_ops > 0).then_some(e.config.dla_core);
        by_core.entry(core).or_default().push(&e.placement);
    }
    let order = |p: &&Placement| (p.default, p.overrides.clone());
    for shared in by_core.values_mut() {
        shared.sort_by_key(order);
    }
    let gpu = by_core.remove(&None).unwrap_or_default();
    let mut cores: Vec<Vec<&Placement>> = by_core.into_values().collect();
    cores.sort_by_key(|c| c.iter().map(order).collect::<Vec<_>>());
    cores.insert(0, gpu);
    cores
}

/// What a pipeline is called.
pub(super) fn stage_names(stages: &[pipeline::Stage]) -> String {
    let names: Vec<String> = stages
        .iter()
        .map(|s| match s.device {
            Device::Gpu => "GPU".into(),
            Device::Dla => format!("DLA{}", s.core),
        })
        .collect();
    names.join(" > ")
}

/// Names of the tensors that come into a range of ops from outside, and that leave it.
pub(super) fn ends(model: &Model, from: u32, to: u32) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
    let inside = |op: &OpId| (from..to).contains(&op.0);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for t in &model.tensors {
        let made = t.producer.as_ref().is_some_and(inside);
        let fed = matches!(t.role, TensorRole::Input | TensorRole::Activation);
        if made && (t.is_output || t.consumers.iter().any(|op| !inside(op))) {
            outputs.push(Arc::clone(&t.name));
        } else if !made && fed && t.consumers.iter().any(inside) {
            inputs.push(Arc::clone(&t.name));
        }
    }
    (inputs, outputs)
}

/// The ops of a range in words: at either end the largest module that lies wholly in it, or the op
/// where its own module goes on outside.
pub(super) fn modules(model: &Model, from: u32, to: u32) -> String {
    let tree = &model.modules;
    let inside = |m: ModuleId| {
        let ops = tree.subtree_ops(m);
        ops.iter().all(|op| (from..to).contains(&op.0))
    };
    let name = |op: u32| {
        let op = model.op(OpId(op));
        tree.ancestors_or_self(op.module)
            .take_while(|m| *m != ModuleId::ROOT && inside(*m))
            .last()
            .map_or_else(|| op.name.to_string(), |m| tree.get(m).path.to_string())
    };
    if to <= from {
        return String::new();
    }
    let (a, b) = (name(from), name(to - 1));
    if a == b { a } else { format!("{a}..{b}") }
}
