//! Which module runs an op, read from the names that exporters leave.

mod aliases;
mod calls;
mod dynamo;
mod named;
mod torchscript;

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use super::proto;
use crate::model::Exporter;
use aliases::Evidence;
use dynamo::{SCOPES_KEY, dynamo};
pub(super) use named::{MAX_SEGMENTS, Named, Naming};
use named::{add_with_ancestors, common_ancestor, parameter_owner, parent};
use torchscript::torchscript;

/// Metadata key of a module's class, written by `scripts/dlaplan_export.py`.
const CLASS_KEY: &str = "dlaplan.class:";
/// Metadata key of a module's second name; the value is its first.
const SAME_KEY: &str = "dlaplan.same:";

/// Reads the names of all ops, in execution order.
pub(super) fn read(model: &proto::Model, ops: &[Named<'_>]) -> Naming {
    let mut modules: BTreeMap<String, Option<String>> = BTreeMap::new();
    for entry in &model.metadata_props {
        if let Some(path) = entry.key.strip_prefix(CLASS_KEY) {
            let class = String::from_utf8_lossy(&entry.value).into_owned();
            modules.insert(path.to_owned(), Some(class));
        }
    }
    let mut known: HashSet<String> = HashSet::new();
    for path in modules.keys() {
        add_with_ancestors(&mut known, path);
    }
    for name in ops.iter().flat_map(|o| &o.weights) {
        if let Some(prefix) = parameter_owner(name) {
            add_with_ancestors(&mut known, prefix);
        }
    }
    let mut naming = Naming {
        exporter: exporter(model, ops),
        paths: Vec::new(),
        modules,
        called: BTreeSet::new(),
        owned: Vec::new(),
        aliases: BTreeMap::new(),
    };
    let listed: BTreeSet<String> = naming.modules.keys().cloned().collect();
    let mut own: Vec<Option<String>> = match naming.exporter {
        Exporter::Dynamo => dynamo(ops, &mut naming),
        Exporter::TorchScript => torchscript(ops, &known, &mut naming),
        Exporter::Foreign => foreign(ops),
    };
    calls::place(ops, &known, &mut own, &mut naming);
    if naming.exporter != Exporter::Foreign {
        naming.aliases = aliases::find(&Evidence {
            ops,
            own: &own,
            called: &naming.called,
            listed: &listed,
            told: &told(model),
            known: &known,
        });
        aliases::apply(&mut naming, &mut own);
    }
    naming.owned = own
        .iter()
        .map(|p| p.as_ref().is_some_and(|p| !p.is_empty()))
        .collect();
    naming.paths = borrow(ops, own);
    naming
}

/// Second names that `scripts/dlaplan_export.py` wrote down.
fn told(model: &proto::Model) -> BTreeMap<String, String> {
    let same = |e: &proto::Entry| {
        let alias = e.key.strip_prefix(SAME_KEY)?;
        Some((
            alias.to_owned(),
            String::from_utf8_lossy(&e.value).into_owned(),
        ))
    };
    model.metadata_props.iter().filter_map(same).collect()
}

fn exporter(model: &proto::Model, ops: &[Named<'_>]) -> Exporter {
    let has_scopes = |o: &Named<'_>| o.node.metadata_props.iter().any(|e| e.key == SCOPES_KEY);
    if ops.iter().any(has_scopes) {
        return Exporter::Dynamo;
    }
    let slashed = ops.iter().filter(|o| o.node.name.starts_with('/')).count();
    if model.producer_name == "pytorch" || 2 * slashed > ops.len() {
        return Exporter::TorchScript;
    }
    Exporter::Foreign
}

fn foreign(ops: &[Named<'_>]) -> Vec<Option<String>> {
    let slashed = ops.iter().filter(|o| o.node.name.contains('/')).count();
    if 2 * slashed > ops.len() {
        return ops
            .iter()
            .map(|op| {
                let (scope, _) = op.node.name.rsplit_once('/')?;
                let segments: Vec<&str> = scope.split('/').filter(|s| !s.is_empty()).collect();
                Some(segments.join("."))
            })
            .collect();
    }
    ops.iter().map(|op| op.owner().map(str::to_owned)).collect()
}

/// An op without a name of its own belongs where its inputs come from: to the innermost module
/// around all of them, and beside a module that holds weights rather than in it.
fn borrow(ops: &[Named<'_>], own: Vec<Option<String>>) -> Vec<String> {
    let mut paths: Vec<String> = Vec::with_capacity(ops.len());
    for (op, own) in ops.iter().zip(own) {
        let path = own.unwrap_or_else(|| {
            let mut common: Option<&str> = None;
            for &p in &op.producers {
                let (Some(path), Some(producer)) = (paths.get(p), ops.get(p)) else {
                    continue;
                };
                let beside = if producer.weights.is_empty() {
                    path
                } else {
                    parent(path)
                };
                common = Some(match common {
                    None => beside,
                    Some(c) => common_ancestor(c, beside),
                });
            }
            common.unwrap_or_default().to_owned()
        });
        paths.push(path);
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_names() {
        assert_eq!(
            parameter_owner("layer1.0.conv1.weight"),
            Some("layer1.0.conv1")
        );
        assert_eq!(parameter_owner("onnx::Conv_193"), None);
        assert_eq!(parameter_owner("conv2d_0.w_0"), None);
        assert_eq!(parameter_owner(".weight"), None);
        assert_eq!(common_ancestor("layer1.0.conv1", "layer1.0.bn"), "layer1.0");
        assert_eq!(common_ancestor("layer1", "layer10"), "");
    }
}
