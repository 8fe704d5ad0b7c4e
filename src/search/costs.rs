//! Costs that add up, from the estimate.

use crate::estimate::power::PowerModel;
use crate::estimate::{CostTable, Estimator};
use crate::figure::Figure;
use crate::model::{OpId, TensorRole};
use crate::placement::Device;
use crate::plan::{Plan, Subgraph};

use super::space::{Costs, Crossing, Kernel};

impl Costs {
    /// The costs behind an estimator. Their sum is its latency for every placement that keeps
    /// kernels whole.
    ///
    /// # Errors
    /// Why there is no estimate for this model on this target.
    pub fn of(estimator: &Estimator<'_, '_>) -> Result<Self, String> {
        let planner = estimator.planner();
        let model = planner.model();
        let Some(table) = estimator.cost_table() else {
            let plan = planner.plan(vec![Device::Gpu; model.ops.len()]);
            return Err(estimator.estimate(&plan).latency_ms.source().to_string());
        };
        let tensors = table
            .transitions
            .iter()
            .zip(&model.tensors)
            .map(|(t, tensor)| Crossing {
                // The caller feeds in its own format.
                to_dla_ms: match tensor.role {
                    TensorRole::Input => t.boundary_ms,
                    _ => t.to_dla_ms,
                },
                dla_to_dla_ms: t.dla_to_dla_ms,
                to_gpu_ms: t.to_gpu_ms,
                to_caller_ms: t.boundary_ms,
            })
            .collect();
        Ok(Self {
            kernels: kernels(estimator, &table),
            tensors,
            subgraph_ms: table.subgraph_ms,
            fixed_ms: 0.0,
        })
    }

    /// The same with the energy of the operations on top, as the time at rest that costs as much:
    /// the least sum is the least energy of an inference.
    #[must_use]
    pub fn with_energy(mut self, estimator: &Estimator<'_, '_>, power: &PowerModel) -> Self {
        for k in &mut self.kernels {
            for op in &k.ops {
                let macs = estimator.macs(*op);
                let gpu = power.rest_ms(macs, Device::Gpu);
                k.gpu_ms += gpu;
                if estimator.planner().may_run_on_dla(*op) {
                    k.dla_ms += power.rest_ms(macs, Device::Dla);
                } else {
                    k.left_ms += gpu;
                }
            }
        }
        self
    }
}

/// The kernels of a table, with what it leaves out: the cost of kernels that are cut.
fn kernels(estimator: &Estimator<'_, '_>, table: &CostTable) -> Vec<Kernel> {
    let planner = estimator.planner();
    let model = planner.model();
    let bare = planner.plan(vec![Device::Gpu; model.ops.len()]);
    let whole: f64 = table.units.iter().map(|u| u.gpu_ms).sum();
    let value = |f: &Figure| f.value().unwrap_or(0.0);
    let mut kernels: Vec<Kernel> = Vec::with_capacity(table.units.len());
    for u in &table.units {
        let mut k = Kernel {
            ops: u.ops.clone(),
            gpu_ms: u.gpu_ms,
            dla_ms: u.dla_ms.unwrap_or(0.0),
            left_ms: 0.0,
            splits: Vec::new(),
        };
        let taken: Vec<OpId> = k
            .ops
            .iter()
            .copied()
            .filter(|op| planner.may_run_on_dla(*op))
            .collect();
        if u.dla_ms.is_none() && !taken.is_empty() {
            // The difference it makes to a plan that is otherwise all on the GPU.
            let cut = estimator.estimate(&in_subgraphs(&bare, &[taken]));
            k.dla_ms = (value(&cut.dla_ms) - table.subgraph_ms).max(0.0);
            k.left_ms = (value(&cut.gpu_ms) - (whole - u.gpu_ms)).max(0.0);
        }
        kernels.push(k);
    }
    splits(estimator, table, &bare, &mut kernels);
    kernels
}

/// Prices kernels whose tail is in a later DLA subgraph than their head, all at once: every one
/// gets two subgraphs of its own in one made-up plan.
fn splits(estimator: &Estimator<'_, '_>, table: &CostTable, bare: &Plan, kernels: &mut [Kernel]) {
    let model = estimator.planner().model();
    // Per round one op of each kernel.
    for round in 0.. {
        let mut cuts: Vec<(usize, OpId)> = Vec::new();
        let mut groups: Vec<Vec<OpId>> = Vec::new();
        for (i, (k, u)) in kernels.iter().zip(&table.units).enumerate() {
            if u.dla_ms.is_none() {
                continue;
            }
            let joins = |op: &OpId| {
                let inside = |p: OpId| k.ops.contains(&p);
                model.producers(*op).any(inside) && model.producers(*op).any(|p| !inside(p))
            };
            let Some(at) = k.ops.iter().copied().filter(joins).nth(round) else {
                continue;
            };
            // What follows inside the kernel comes along.
            let mut tail = vec![at];
            for op in k.ops.iter().filter(|op| **op > at) {
                if model.producers(*op).any(|p| tail.contains(&p)) {
                    tail.push(*op);
                }
            }
            let head: Vec<OpId> = k
                .ops
                .iter()
                .copied()
                .filter(|op| !tail.contains(op))
                .collect();
            cuts.push((i, at));
            groups.push(head);
            groups.push(tail);
        }
        if cuts.is_empty() {
            return;
        }
        let estimate = estimator.estimate(&in_subgraphs(bare, &groups));
        for ((i, at), pair) in cuts.into_iter().zip(estimate.subgraph_ms.chunks(2)) {
            let both: f64 = pair.iter().filter_map(Figure::value).sum();
            let extra = both - 2.0 * table.subgraph_ms - kernels[i].dla_ms;
            kernels[i].splits.push((at, extra.max(0.0)));
        }
    }
}

/// A plan with these subgraphs and no transitions, to read the estimate's parts from.
fn in_subgraphs(bare: &Plan, groups: &[Vec<OpId>]) -> Plan {
    let mut plan = bare.clone();
    for (ops, s) in groups.iter().zip(0..) {
        for op in ops {
            plan.predicted[op.index()] = Device::Dla;
            plan.subgraph_of[op.index()] = Some(s);
        }
        plan.subgraphs.push(Subgraph {
            ops: ops.clone(),
            bytes_in: 0,
            bytes_out: 0,
            weight_bytes: 0,
        });
    }
    plan
}
