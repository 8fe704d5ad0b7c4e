//! What a built engine really did with the ops of the model: devices and measured times.

use std::collections::BTreeMap;

use crate::engine::{Contradiction, RowSite, Run, environment};
use crate::figure::Measured;
use crate::gui::data::tree_index::Node;
use crate::model::{Model, ModuleId, OpId};
use crate::placement::Device;
use crate::platform::Place;

/// Measured times and devices at and below a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Ops the engine shows on the GPU.
    pub gpu_ops: u32,
    /// Ops the engine shows on the DLA.
    pub dla_ops: u32,
    /// Ops the engine does not show.
    pub folded: u32,
    /// Ops that run elsewhere than predicted.
    pub differs: u32,
    /// Ops that left the DLA without the plan having said so.
    pub silent: u32,
    /// ms on the GPU; a fused layer counts at its op with the most work.
    pub gpu_ms: f64,
    /// Ops whose GPU time is known.
    pub gpu_known: u32,
    /// ms of the DLA subgraphs that lie wholly at and below.
    pub dla_ms: f64,
    /// How many those are.
    pub dla_known: u32,
}

impl Spent {
    /// How many ops, or subgraphs, have a time on a device, and their ms.
    pub fn of(&self, device: Device) -> (u32, f64) {
        match device {
            Device::Gpu => (self.gpu_known, self.gpu_ms),
            Device::Dla => (self.dla_known, self.dla_ms),
        }
    }

    fn add(&mut self, other: &Self) {
        self.gpu_ops += other.gpu_ops;
        self.dla_ops += other.dla_ops;
        self.folded += other.folded;
        self.differs += other.differs;
        self.silent += other.silent;
        self.gpu_ms += other.gpu_ms;
        self.gpu_known += other.gpu_known;
    }

    /// In words.
    pub fn text(&self) -> String {
        match (self.dla_ops, self.gpu_ops) {
            (0, 0) => "not shown by the engine (folded away)".into(),
            (0, _) => "GPU".into(),
            (_, 0) => "DLA".into(),
            (dla, gpu) => format!("{dla} on DLA, {gpu} on GPU"),
        }
    }
}

/// A DLA subgraph of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSubgraph {
    /// Its ops, in execution order.
    pub ops: Vec<OpId>,
    /// Its time, ms, where the engine was profiled per layer.
    pub ms: Option<f64>,
}

/// What the engine of a run did.
#[derive(Clone, Debug)]
pub struct Actual {
    /// The run, in the history.
    pub id: i64,
    /// When it began, ms since 1970 (UTC).
    pub started_ms: u64,
    /// Where it ran, in words.
    pub machine: String,
    /// The board and power mode it ran on; `None` for other machines.
    pub place: Option<Place>,
    /// Images per second.
    pub fps: Measured,
    /// Median latency, ms.
    pub latency_ms: f64,
    /// Why its outputs mean nothing, if so.
    pub timing_only: Option<String>,
    /// What is wrong with its outputs, if anything.
    pub wrong: Option<String>,
    /// Share of the profile's time that found its ops, 0-1.
    pub understood: Option<f64>,
    /// Per op, where it runs; `None` where the engine does not show it.
    pub device: Vec<Option<Device>>,
    /// DLA subgraphs.
    pub subgraphs: Vec<EngineSubgraph>,
    /// Predictions the engine contradicts.
    pub contradictions: Vec<(OpId, Contradiction)>,
    /// Ops that left the DLA without the plan having said so.
    pub silent: Vec<OpId>,
    /// Time on the GPU in all, ms.
    pub gpu_ms: f64,
    /// Time on the DLA in all, ms.
    pub dla_ms: f64,
    ops: Vec<Spent>,
    modules: Vec<Spent>,
}

impl Actual {
    /// Reads a run; `None` where it has no figures.
    pub fn of(id: i64, run: &Run, model: &Model) -> Option<Self> {
        let m = run.measurement()?;
        let ids = |names: &[String]| -> Vec<OpId> {
            let mut ids: Vec<OpId> = names.iter().filter_map(|n| model.find_op(n)).collect();
            ids.sort_unstable();
            ids
        };
        let mut device = vec![None; model.ops.len()];
        for op in &m.actual.ops {
            if let Some(id) = model.find_op(&op.op) {
                device[id.index()] = op.device;
            }
        }
        let mut ops: Vec<Spent> = device
            .iter()
            .map(|d| Spent {
                gpu_ops: u32::from(*d == Some(Device::Gpu)),
                dla_ops: u32::from(*d == Some(Device::Dla)),
                folded: u32::from(d.is_none()),
                ..Spent::default()
            })
            .collect();
        let comparison = run.comparison.clone().unwrap_or_default();
        let contradictions: Vec<(OpId, Contradiction)> = comparison
            .contradictions
            .into_iter()
            .filter_map(|c| Some((model.find_op(&c.op)?, c)))
            .collect();
        for (op, _) in &contradictions {
            ops[op.index()].differs = 1;
        }
        let silent = ids(&comparison.silent_fallbacks);
        for op in &silent {
            ops[op.index()].silent = 1;
        }

        let mut subgraphs: Vec<EngineSubgraph> = m
            .actual
            .subgraphs
            .iter()
            .map(|(_, names)| EngineSubgraph {
                ops: ids(names),
                ms: None,
            })
            .collect();
        let (mut gpu_ms, mut dla_ms) = (0.0, 0.0);
        // Times of which only the module is known.
        let mut shared: Vec<(ModuleId, f64)> = Vec::new();
        for row in &m.layers {
            match row.device {
                Device::Gpu => gpu_ms += row.mean_ms,
                Device::Dla => dla_ms += row.mean_ms,
            }
            match &row.site {
                RowSite::Subgraph { subgraph } => {
                    if let Some(s) = subgraphs.get_mut(*subgraph as usize) {
                        *s.ms.get_or_insert(0.0) += row.mean_ms;
                    }
                }
                RowSite::Ops { ops: names }
                | RowSite::Reformat { ops: names }
                | RowSite::Helper { ops: names }
                    if row.device == Device::Gpu =>
                {
                    let found = ids(names);
                    let macs = |op: &OpId| model.op(*op).cost.map_or(0, |c| c.macs);
                    // The first of those with the most work, as in the estimates.
                    let main = found.iter().rev().max_by_key(|op| macs(op));
                    if let Some(main) = main {
                        ops[main.index()].gpu_ms += row.mean_ms;
                    }
                    for op in &found {
                        ops[op.index()].gpu_known = 1;
                    }
                }
                RowSite::Ambiguous { ops: names } if row.device == Device::Gpu => {
                    let at = common(model, &ids(names));
                    shared.extend(at.map(|at| (at, row.mean_ms)));
                }
                _ => {}
            }
        }
        let tree = &model.modules;
        let mut own = vec![Spent::default(); tree.len()];
        for (at, ms) in shared {
            own[at.index()].gpu_ms += ms;
            own[at.index()].gpu_known += 1;
        }
        let mut modules = tree.sums(own, &ops, Spent::add);
        for s in &subgraphs {
            let Some(ms) = s.ms else { continue };
            if let [op] = s.ops[..] {
                ops[op.index()].dla_ms += ms;
                ops[op.index()].dla_known += 1;
            }
            let mut at = common(model, &s.ops);
            while let Some(id) = at {
                let module = &mut modules[id.index()];
                module.dla_ms += ms;
                module.dla_known += 1;
                at = tree.get(id).parent;
            }
        }
        let wrong = m.numeric.as_ref().filter(|n| !n.passed).map(|n| {
            format!(
                "cosine {:.4} against {} on the GPU, largest error {:.2e} of {:.2e}",
                n.cosine, n.reference, n.max_abs_error, n.max_abs_reference
            )
        });
        let random = run
            .model
            .timing_only
            .then(|| "the file has no weights; random ones were used".to_owned());
        Some(Self {
            id,
            started_ms: run.started_ms,
            place: environment::measured_at(&run.environment),
            machine: run.environment.summary(),
            fps: m.fps.clone(),
            latency_ms: m.latency.median,
            timing_only: m.timing_only.clone().or(random),
            wrong,
            understood: m.attribution.map(crate::engine::Attribution::share),
            device,
            subgraphs,
            contradictions,
            silent,
            gpu_ms,
            dla_ms,
            ops,
            modules,
        })
    }

    /// Times and devices of a row of the tree.
    pub fn at(&self, node: Node) -> Spent {
        match node {
            Node::Op(op) => self.ops.get(op.index()).copied().unwrap_or_default(),
            Node::Module(id) => self.modules.get(id.index()).copied().unwrap_or_default(),
        }
    }

    /// Times and devices of the module around a row.
    pub fn around(&self, model: &Model, node: Node) -> Spent {
        node.parent(model)
            .map_or_else(|| self.at(node), |parent| self.at(Node::Module(parent)))
    }

    /// Times and devices of any ops, DLA time aside.
    pub fn of_ops(&self, ops: &[OpId]) -> Spent {
        let mut sum = Spent::default();
        for op in ops {
            sum.add(&self.at(Node::Op(*op)));
        }
        sum
    }

    /// The subgraphs that hold any of these ops, with their number.
    pub fn subgraphs_with(&self, ops: &[OpId]) -> Vec<(usize, &EngineSubgraph)> {
        let holds = |s: &EngineSubgraph| s.ops.iter().any(|op| ops.binary_search(op).is_ok());
        let all = self.subgraphs.iter().enumerate();
        all.filter(|(_, s)| holds(s)).collect()
    }

    /// Prediction and reality of an op, where they differ.
    pub fn contradiction(&self, op: OpId) -> Option<&Contradiction> {
        let found = self.contradictions.iter().find(|(o, _)| *o == op);
        found.map(|(_, c)| c)
    }
}

/// The innermost module around all of some ops.
fn common(model: &Model, ops: &[OpId]) -> Option<ModuleId> {
    let tree = &model.modules;
    let mut at = model.op(*ops.first()?).module;
    loop {
        let below = tree.subtree(at);
        if ops.iter().all(|op| below.contains(&model.op(*op).module.0)) {
            return Some(at);
        }
        at = tree.get(at).parent?;
    }
}

/// A module or group in which two runs differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The module's path, or what else the time was spent on.
    pub place: String,
    /// In the first run, ms; `None` where it has no row.
    pub first: Option<f64>,
    /// In the second, ms.
    pub second: Option<f64>,
}

/// Time per module of two runs, the largest difference first. DLA subgraphs count at the module
/// around all their ops.
pub fn differences(first: &Run, second: &Run) -> Vec<Difference> {
    let mut places: BTreeMap<String, [Option<f64>; 2]> = BTreeMap::new();
    for (i, run) in [first, second].into_iter().enumerate() {
        let Some(m) = run.measurement() else { continue };
        for row in &m.layers {
            let module = match row.module.as_deref() {
                Some("") => "the network's own ops",
                Some(path) => path,
                None => "not attributed",
            };
            let place = match row.site {
                RowSite::Subgraph { .. } => format!("{module}, on the DLA"),
                RowSite::Ambiguous { .. } => format!("{module}, in ops that share a name"),
                _ => module.to_owned(),
            };
            *places.entry(place).or_default()[i].get_or_insert(0.0) += row.mean_ms;
        }
    }
    let mut all: Vec<Difference> = places
        .into_iter()
        .map(|(place, [first, second])| Difference {
            place,
            first,
            second,
        })
        .collect();
    let weight = |d: &Difference| (d.first.unwrap_or(0.0) - d.second.unwrap_or(0.0)).abs();
    all.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    all
}
