//! Where each op of an engine runs, and what the build said of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::engine::run::{Actual, ActualOp};
use crate::model::OpId;
use crate::placement::Device;

use super::blocks::{Bounds, between, row_ops};
use super::build_log::PlacementLog;
use super::engine_layers::{EngineLayer, foreign_node, is_copy};
use super::layer_map::{Known, LayerMap};

/// Where each op of an engine runs. `requested` is what was asked, by [`OpId`].
///
/// The engine's own list of layers decides; without one the build's log does: its lists, then the
/// layers it sent to the GPU.
pub fn actual(
    map: &LayerMap<'_>,
    layers: &[EngineLayer],
    requested: &[Device],
    log: &PlacementLog,
    can_run: &[(OpId, bool)],
) -> Actual {
    let model = map.model;
    let told = layers.is_empty().then(|| layers_told(log));
    let layers = told.as_deref().unwrap_or(layers);
    let in_log: HashSet<&str> = log.dla.iter().map(|n| n.trim_matches(['{', '}'])).collect();
    let mut device: Vec<Option<(Device, String)>> = vec![None; model.ops.len()];
    let mut unmatched = Vec::new();
    let mut blocks: Vec<&EngineLayer> = Vec::new();
    let mut unsure: BTreeSet<OpId> = BTreeSet::new();
    for layer in layers {
        if is_dla(layer, &in_log, map, requested) {
            blocks.push(layer);
            continue;
        }
        let found = row_ops(map, layer, &layer.name);
        if found.is_empty() {
            if !layer.name.is_empty() {
                unmatched.push(layer.name.clone());
            }
            continue;
        }
        if is_copy(&layer.name) {
            continue;
        }
        if foreign_node(&layer.name).is_some() {
            // A block of the GPU's own compiler.
            for op in between(map, &layer.name, &Bounds::of(&device)) {
                device[op.index()] = Some((Device::Gpu, layer.name.clone()));
            }
        }
        unsure.extend(found.unsure);
        for op in found.ops {
            device[op.index()] = Some((Device::Gpu, layer.name.clone()));
        }
        for op in found.helpers {
            if device[op.index()].is_none() && requested[op.index()] == Device::Gpu {
                device[op.index()] = Some((Device::Gpu, layer.name.clone()));
            }
        }
    }
    unsure.retain(|op| device[op.index()].is_none());
    let reasons = reasons(map, log);
    let sent: BTreeSet<OpId> = reasons
        .iter()
        .filter(|(_, said)| said.sent)
        .map(|(op, _)| *op)
        .collect();
    let mut subgraphs = Vec::new();
    // Where nothing is on the DLA, those are on the GPU, whichever of the layers are theirs.
    if blocks.is_empty() {
        for op in &unsure {
            device[op.index()] = Some((Device::Gpu, String::new()));
        }
    }
    for layer in blocks {
        let bounds = Bounds {
            requested: Some(requested),
            not: Some(&sent),
            paths_only: told.is_some() && !log.lists_gpu,
            ..Bounds::of(&device)
        };
        let mut ops = between(map, &layer.name, &bounds);
        ops.retain(|op| !unsure.contains(op));
        for op in &ops {
            device[op.index()] = Some((Device::Dla, layer.name.clone()));
        }
        let names = ops
            .iter()
            .map(|op| model.op(*op).name.to_string())
            .collect();
        subgraphs.push((layer.name.clone(), names));
    }
    if told.is_some() {
        for op in model.op_ids() {
            let everything = log.all_on_gpu.is_some() && subgraphs.is_empty();
            if device[op.index()].is_none() && (everything || sent.contains(&op)) {
                device[op.index()] = Some((Device::Gpu, String::new()));
            }
        }
    }
    let ops = model
        .op_ids()
        .map(|id| {
            let found = device[id.index()].take();
            let said = reasons.get(&id).map(|said| said.words.clone());
            ActualOp {
                op: model.op(id).name.to_string(),
                device: found.as_ref().map(|(d, _)| *d),
                can_run_on_dla: can_run
                    .iter()
                    .find(|(op, _)| *op == id)
                    .map(|(_, can)| *can),
                layer: found.map(|(_, layer)| layer).filter(|l| !l.is_empty()),
                reasons: said.unwrap_or_default(),
            }
        })
        .collect();
    Actual {
        ops,
        subgraphs,
        unmatched_layers: unmatched,
    }
}

/// The layers that a log lists, as an engine would.
fn layers_told(log: &PlacementLog) -> Vec<EngineLayer> {
    let layer = |name: &String, kind: &str| EngineLayer {
        name: name.clone(),
        kind: kind.to_owned(),
        ..EngineLayer::default()
    };
    let dla = log.dla.iter().map(|name| layer(name, "DLA"));
    let gpu = log.gpu.iter().map(|name| layer(name, ""));
    dla.chain(gpu).collect()
}

/// What a log said of one op.
#[derive(Debug, Default)]
struct Said {
    words: Vec<String>,
    /// It sent the op's own layer to the GPU.
    sent: bool,
}

/// TensorRT's words about each op, in order, without repeats.
fn reasons(map: &LayerMap<'_>, log: &PlacementLog) -> BTreeMap<OpId, Said> {
    let mut all: BTreeMap<OpId, Said> = BTreeMap::new();
    let mut add = |op: OpId, text: &str, sent: bool| {
        let said = all.entry(op).or_default();
        said.sent |= sent;
        if said.words.len() < MAX_REASONS && !said.words.iter().any(|w| w == text) {
            said.words.push(text.to_owned());
        }
    };
    for (name, text) in &log.refusals {
        // The op's own layer, not a constant or a shuffle of the parser beside it.
        if let Some(Known { ops, helper: false }) = map.known(name)
            && let [op] = ops[..]
        {
            add(op, text, true);
        }
    }
    for (name, text) in &log.remarks {
        for op in map.known(name).map(|k| k.ops).unwrap_or_default() {
            add(op, text, false);
        }
    }
    if let Some(text) = &log.all_on_gpu {
        for op in map.model.op_ids() {
            add(op, text, false);
        }
    }
    all
}

/// Most sentences kept of one op.
const MAX_REASONS: usize = 8;

fn is_dla(
    layer: &EngineLayer,
    in_log: &HashSet<&str>,
    map: &LayerMap<'_>,
    requested: &[Device],
) -> bool {
    if layer.kind.to_ascii_uppercase().contains("DLA")
        || in_log.contains(layer.name.trim_matches(['{', '}']))
    {
        return true;
    }
    // No word from the build (a loaded engine): a block that is not the GPU compiler's and whose
    // ends were asked onto the DLA.
    let gpu_compiler = ["myelin", "kgen"]
        .iter()
        .any(|k| layer.kind.to_ascii_lowercase().contains(k));
    !gpu_compiler
        && in_log.is_empty()
        && foreign_node(&layer.name).is_some_and(|(first, last)| {
            [first, last].iter().all(|name| {
                let known = map.layers.get(*name).map(|k| k.ops.clone());
                let ops = known.or_else(|| map.namesakes.candidates(name));
                ops.is_some_and(|o| o.iter().all(|op| requested[op.index()] == Device::Dla))
            })
        })
}
