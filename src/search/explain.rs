//! "Why this one": the difference between two plans in module terms.

use std::fmt;

use serde::Serialize;

use crate::estimate::{Estimate, Estimator};
use crate::model::{Model, Module, ModuleId, OpId};
use crate::placement::Device;
use crate::plan::{Plan, Planner};

/// A part of the network that changes devices, and what that does. Figures are estimated
/// differences, ms; `None` where there is no estimate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// The part: a module, neighbouring modules (`layer2..layer3`), a module's self ops, an op.
    pub what: String,
    /// Where it goes.
    pub to: Device,
    /// Its ops.
    pub ops: Vec<OpId>,
    /// GPU work.
    pub gpu_ms: Option<f64>,
    /// DLA work.
    pub dla_ms: Option<f64>,
    /// Transitions and reformats.
    pub transition_ms: Option<f64>,
    /// Time of one inference.
    pub latency_ms: Option<f64>,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "moves {} to {}", self.what, self.to)?;
        let parts = [
            (self.gpu_ms, "GPU"),
            (self.dla_ms, "DLA"),
            (self.transition_ms, "transitions"),
        ];
        let mut sep = ':';
        for (ms, what) in parts {
            if let Some(ms) = ms.filter(|v| v.abs() >= 0.0005) {
                write!(f, "{sep} {ms:+.2} ms {what}")?;
                sep = ',';
            }
        }
        Ok(())
    }
}

/// What leads from one plan to another, in execution order. Moves are priced one after another,
/// so that their figures add up to the whole difference.
pub fn explain(estimator: &Estimator<'_, '_>, from: &Plan, to: &Plan) -> Vec<Move> {
    let planner = estimator.planner();
    let mut moves = moves(planner, &from.predicted, &to.predicted);
    moves.sort_by_key(|m| m.ops.first().copied());
    let mut devices = from.predicted.clone();
    let mut before = estimator.estimate(&planner.plan(devices.clone()));
    for m in &mut moves {
        for op in &m.ops {
            devices[op.index()] = m.to;
        }
        let after = estimator.estimate(&planner.plan(devices.clone()));
        let change = |of: fn(&Estimate) -> Option<f64>| Some(of(&after)? - of(&before)?);
        m.gpu_ms = change(|e| e.gpu_ms.value());
        m.dla_ms = change(|e| e.dla_ms.value());
        m.transition_ms = change(|e| e.transition_ms.value());
        m.latency_ms = change(|e| e.latency_ms.value());
        before = after;
    }
    moves
}

/// The parts of the network that a plan expects on the DLA, in module terms, largest first.
pub fn on_dla(planner: &Planner<'_>, plan: &Plan) -> Vec<String> {
    let gpu = vec![Device::Gpu; plan.predicted.len()];
    let mut parts = moves(planner, &gpu, &plan.predicted);
    parts.sort_by_key(|m| std::cmp::Reverse(m.ops.len()));
    parts.into_iter().map(|m| m.what).collect()
}

/// What a subtree does, as seen from one device.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Ops that move there.
    come: u32,
    /// Ops that the DLA takes and that were there before.
    stay: u32,
    /// Ops that the DLA takes and that end up on the other device.
    against: u32,
}

const DEVICES: [Device; 2] = [Device::Gpu, Device::Dla];

fn moves(planner: &Planner<'_>, from: &[Device], to: &[Device]) -> Vec<Move> {
    let model = planner.model();
    let tree = &model.modules;
    let own = |module: &Module, device: Device| {
        let mut t = Tally::default();
        for op in &module.ops {
            let i = op.index();
            if from[i] != to[i] && to[i] == device {
                t.come += 1;
            }
            if planner.may_run_on_dla(*op) {
                t.stay += u32::from(from[i] == device && to[i] == device);
                t.against += u32::from(to[i] != device);
            }
        }
        t
    };
    let mut tallies = vec![[Tally::default(); 2]; tree.len()];
    for i in (0..tree.len()).rev() {
        let module = tree.get(ModuleId(i as u32));
        for (d, device) in DEVICES.into_iter().enumerate() {
            let mut t = own(module, device);
            for c in &module.children {
                t.come += tallies[c.index()][d].come;
                t.stay += tallies[c.index()][d].stay;
                t.against += tallies[c.index()][d].against;
            }
            tallies[i][d] = t;
        }
    }
    let moved = |ops: Vec<OpId>, device: Device| -> Vec<OpId> {
        ops.into_iter()
            .filter(|op| from[op.index()] != to[op.index()] && to[op.index()] == device)
            .collect()
    };
    let mut out = Vec::new();
    let mut add = |what: String, to: Device, ops: Vec<OpId>| {
        out.push(Move {
            what,
            to,
            ops,
            gpu_ms: None,
            dla_ms: None,
            transition_ms: None,
            latency_ms: None,
        });
    };
    // A module stands for its ops when all of them end up there and most of them move.
    let whole = |m: ModuleId| {
        let t = tallies[m.index()];
        (0..2)
            .find(|d| t[*d].come > t[*d].stay && t[*d].against == 0)
            .map(|d| DEVICES[d])
    };
    if let Some(device) = whole(ModuleId::ROOT) {
        let ops = moved(tree.subtree_ops(ModuleId::ROOT), device);
        add("the whole network".into(), device, ops);
        return out;
    }
    let mut stack = vec![ModuleId::ROOT];
    while let Some(id) = stack.pop() {
        let module = tree.get(id);
        // Neighbouring children that go the same way are one move.
        let mut run: Option<(Device, ModuleId, ModuleId, Vec<OpId>)> = None;
        let mut runs = Vec::new();
        for c in &module.children {
            if tree.get(*c).subtree_ops == 0 {
                continue;
            }
            match (whole(*c), &mut run) {
                (Some(d), Some((device, _, last, ops))) if d == *device => {
                    *last = *c;
                    ops.extend(moved(tree.subtree_ops(*c), d));
                }
                (Some(d), _) => {
                    runs.extend(run.take());
                    run = Some((d, *c, *c, moved(tree.subtree_ops(*c), d)));
                }
                (None, _) => {
                    runs.extend(run.take());
                    stack.push(*c);
                }
            }
        }
        runs.extend(run);
        for (device, first, last, mut ops) in runs {
            let from = &tree.get(first).path;
            let what = if first == last {
                from.to_string()
            } else {
                // Siblings: what is above them is said already.
                format!("{from}..{}", tree.get(last).name)
            };
            ops.sort_unstable();
            add(what, device, ops);
        }
        for device in DEVICES {
            let t = own(module, device);
            let ops = moved(module.ops.clone(), device);
            if t.come > 0 && t.against == 0 && ops.len() > 1 {
                add(self_ops(module), device, ops);
            } else {
                for op in ops {
                    add(op_name(model, op), device, vec![op]);
                }
            }
        }
    }
    out
}

fn self_ops(module: &Module) -> String {
    if module.path.is_empty() {
        "the network's self ops".into()
    } else {
        format!("{}'s self ops", module.path)
    }
}

fn op_name(model: &Model, op: OpId) -> String {
    model.op(op).name.to_string()
}
