//! From the rows of a profile to ops and modules.

use std::collections::{BTreeSet, HashMap};

use crate::engine::run::{Actual, Attribution, LayerTime, RowSite};
use crate::model::{Model, ModuleId, OpId};
use crate::placement::Device;

use super::blocks::{Bounds, between, row_ops};
use super::engine_layers::{EngineLayer, foreign_node, is_copy};
use super::layer_map::LayerMap;

/// Turns the rows of a profile (name, samples in ms) into layer times.
///
/// Before TensorRT 8.6 a DLA block's own row holds only its submission; its work shows up in the
/// next `X from nvm` row, which is charged to the block.
pub fn layer_times(
    map: &LayerMap<'_>,
    layers: &[EngineLayer],
    actual: &Actual,
    rows: &[(String, Vec<f64>)],
) -> (Vec<LayerTime>, Attribution) {
    let by_name: HashMap<&str, &EngineLayer> =
        layers.iter().map(|l| (l.name.as_str(), l)).collect();
    let subgraph: HashMap<&str, u32> = actual
        .subgraphs
        .iter()
        .zip(0..)
        .map(|((name, _), i)| (name.as_str(), i))
        .collect();
    let blank = EngineLayer::default();
    let mut pending: Option<u32> = None;
    let mut times = Vec::with_capacity(rows.len());
    let mut sum = Attribution::default();
    for (name, samples) in rows {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let mean_ms = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
        let median_ms = crate::engine::run::median(&sorted).unwrap_or(0.0);
        let site = if let Some(i) = subgraph.get(name.as_str()) {
            pending = Some(*i);
            RowSite::Subgraph { subgraph: *i }
        } else if name.ends_with(" from nvm")
            && let Some(i) = pending.take()
        {
            RowSite::Subgraph { subgraph: i }
        } else {
            let layer = by_name.get(name.as_str()).copied().unwrap_or(&blank);
            site(map, layer, name)
        };
        let device = match &site {
            RowSite::Subgraph { .. } => Device::Dla,
            _ => Device::Gpu,
        };
        sum.total_ms += mean_ms;
        if site != RowSite::Unknown {
            sum.attributed_ms += mean_ms;
        }
        times.push(LayerTime {
            module: module(map.model, &site, actual),
            name: name.clone(),
            mean_ms,
            median_ms,
            site,
            device,
        });
    }
    (times, sum)
}

fn site(map: &LayerMap<'_>, layer: &EngineLayer, name: &str) -> RowSite {
    let mut found = row_ops(map, layer, name);
    let names = |ops: &BTreeSet<OpId>| {
        ops.iter()
            .map(|op| map.model.op(*op).name.to_string())
            .collect::<Vec<String>>()
    };
    found.unsure.retain(|op| !found.ops.contains(op));
    if !found.unsure.is_empty() {
        let mut all = found.unsure;
        all.append(&mut found.ops);
        if is_copy(name) {
            all.append(&mut found.helpers);
        }
        return RowSite::Ambiguous { ops: names(&all) };
    }
    if foreign_node(name).is_some() {
        let free = vec![None; map.model.ops.len()];
        found.ops.extend(between(map, name, &Bounds::of(&free)));
    }
    if is_copy(name) {
        found.ops.append(&mut found.helpers);
        return match names(&found.ops) {
            ops if ops.is_empty() => RowSite::Unknown,
            ops => RowSite::Reformat { ops },
        };
    }
    let shuffle = ["reshape_", "squeeze_", "unsqueeze_", "copied_"]
        .iter()
        .any(|p| name.starts_with(p));
    match (names(&found.ops), names(&found.helpers)) {
        (ops, helpers) if ops.is_empty() && helpers.is_empty() => RowSite::Unknown,
        (ops, mut helpers) if shuffle || ops.is_empty() => {
            helpers.extend(ops);
            RowSite::Helper { ops: helpers }
        }
        (ops, _) => RowSite::Ops { ops },
    }
}

/// The module that encloses all ops of a row.
fn module(model: &Model, site: &RowSite, actual: &Actual) -> Option<String> {
    let names = match site {
        RowSite::Ops { ops }
        | RowSite::Reformat { ops }
        | RowSite::Helper { ops }
        | RowSite::Ambiguous { ops } => ops,
        RowSite::Subgraph { subgraph } => &actual.subgraphs.get(*subgraph as usize)?.1,
        RowSite::Unknown => return None,
    };
    let tree = &model.modules;
    let mut modules = names
        .iter()
        .filter_map(|n| Some(model.op(model.find_op(n)?).module));
    let first = modules.next()?;
    let common = modules.fold(first, |a, b| {
        tree.ancestors_or_self(a)
            .find(|m| tree.subtree(*m).contains(&b.0))
            .unwrap_or(ModuleId::ROOT)
    });
    Some(tree.get(common).path.to_string())
}
