//! From a model on a target to a [`Problem`], and from its solution back to requested devices.

use petgraph::unionfind::UnionFind;
use serde::{Deserialize, Serialize};

use crate::model::{Model, ModuleId, OpId, TensorRole};
use crate::placement::{Device, Placement, Site, UnknownSite};
use crate::plan::Planner;
use crate::platform::dla_rules;

use super::overrides::fewest_overrides;
use super::problem::{Allowed, Atom, Flow, Problem};

/// Costs that add up: what no placement changes. All in ms at the engine's batch and precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// Kernels; together they hold every op once.
    pub kernels: Vec<Kernel>,
    /// Per tensor, by [`crate::model::TensorId`].
    pub tensors: Vec<Crossing>,
    /// Per DLA subgraph.
    pub subgraph_ms: f64,
    /// Paid by every inference, whatever the placement.
    pub fixed_ms: f64,
}

/// Ops that run as one kernel on the GPU and are placed together.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// Its ops in execution order.
    pub ops: Vec<OpId>,
    /// All of it on the GPU.
    pub gpu_ms: f64,
    /// What the DLA takes of it, on the DLA.
    pub dla_ms: f64,
    /// What the DLA refuses of it, on the GPU by itself.
    pub left_ms: f64,
    /// Ops that also read from other kernels, and so may end up in a later DLA subgraph than the
    /// op before them, each with the extra DLA time in ms if it does, without the copy.
    pub splits: Vec<(OpId, f64)>,
}

/// A tensor that crosses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Crossing {
    /// From GPU memory into a DLA subgraph.
    pub to_dla_ms: f64,
    /// From one DLA subgraph into another.
    pub dla_to_dla_ms: f64,
    /// From a DLA subgraph to a reader on the GPU.
    pub to_gpu_ms: f64,
    /// From a DLA subgraph to the caller.
    pub to_caller_ms: f64,
}

/// What is decided as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Any op, except that ops which fuse into one kernel stay together: a cut kernel costs more
    /// on either device.
    Ops,
    /// All ops that one module's own `forward` runs: what torch2trt's `device_types` can say.
    #[default]
    Modules,
    /// Whole modules at this depth; 1 is the root's children.
    Blocks(u32),
}

/// What the search must respect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Constraints {
    /// What is decided as one.
    pub granularity: Granularity,
    /// Modules and ops that stay on a device.
    pub pinned: Vec<(Site, Device)>,
    /// Most DLA subgraphs, where fewer than the core holds are wanted.
    pub max_subgraphs: Option<u32>,
    /// Size of the DLA's global DRAM pool, bytes, where it is less than TensorRT's own: the
    /// weights of a loadable lie there.
    pub dla_global_dram: Option<u64>,
    /// Most DLA cores, where fewer than the board has are wanted.
    pub dla_cores: Option<u32>,
}

/// Constraints that cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// A pin names something the model does not have.
    #[error(transparent)]
    UnknownSite(#[from] UnknownSite),
    /// Strict mode, and a pin asks the DLA for what it refuses.
    #[error("{site} is pinned to the DLA, which refuses {op}; unpin it or allow GPU fallback")]
    Refused {
        /// The pin.
        site: String,
        /// The op.
        op: String,
    },
    /// Only the DLA takes an input or output format.
    #[error(
        "the I/O formats {formats} are for the DLA only, which refuses {op}; choose formats of \
         plain order (chw)"
    )]
    Formats {
        /// As asked.
        formats: String,
        /// The op at the network's end.
        op: String,
    },
    /// Two pins, or a pin and a refusal, on what is decided as one.
    #[error(
        "{op} would have to be on the GPU and on the DLA at once; pin less, or search with finer \
         granularity"
    )]
    Conflict {
        /// An op of it.
        op: String,
    },
}

/// A problem and what its choices stand for.
#[derive(Clone, Debug)]
pub struct Space {
    /// The problem.
    pub problem: Problem,
    /// Paid by every inference, whatever is chosen, ms.
    pub fixed_ms: f64,
    choice_of: Vec<Option<u32>>,
    strict: bool,
    whole_modules: bool,
}

impl Space {
    /// The search space of a planner's model under constraints.
    ///
    /// # Errors
    /// The constraints cannot hold.
    pub fn new(
        planner: &Planner<'_>,
        costs: &Costs,
        constraints: &Constraints,
    ) -> Result<Self, SpaceError> {
        let model = planner.model();
        let n = model.ops.len();
        let strict = !planner.config().gpu_fallback;
        let takes: Vec<bool> = model
            .op_ids()
            .map(|op| planner.may_run_on_dla(op))
            .collect();
        let mut groups = UnionFind::new(n);
        // In strict mode a refused op must not be asked, so it holds its module back; otherwise
        // asking for it changes nothing.
        let counts = |op: OpId| takes[op.index()] || strict;
        for kernel in &costs.kernels {
            join_all(
                &mut groups,
                kernel.ops.iter().copied().filter(|op| takes[op.index()]),
            );
        }
        match constraints.granularity {
            Granularity::Ops => {}
            Granularity::Modules => {
                for (_, module) in model.modules.iter() {
                    join_all(
                        &mut groups,
                        module.ops.iter().copied().filter(|op| counts(*op)),
                    );
                }
            }
            Granularity::Blocks(depth) => {
                for (id, module) in model.modules.iter() {
                    if module.depth == depth {
                        let ops = model.modules.subtree_ops(id);
                        join_all(&mut groups, ops.into_iter().filter(|op| counts(*op)));
                    } else if module.depth < depth {
                        join_all(
                            &mut groups,
                            module.ops.iter().copied().filter(|op| counts(*op)),
                        );
                    }
                }
            }
        }
        let mut choice_of: Vec<Option<u32>> = vec![None; n];
        let mut number = vec![None; n];
        let mut choices = Vec::new();
        for op in model.op_ids() {
            if takes[op.index()] {
                let root = groups.find_mut(op.0);
                let choice = *number[root as usize].get_or_insert_with(|| {
                    choices.push(Allowed::Both);
                    choices.len() as u32 - 1
                });
                choice_of[op.index()] = Some(choice);
            }
        }
        let mut pin = |op: OpId, root: u32, allowed: Allowed| {
            let Some(choice) = number[root as usize] else {
                return Ok(());
            };
            let slot = &mut choices[choice as usize];
            if *slot != Allowed::Both && *slot != allowed {
                return Err(SpaceError::Conflict {
                    op: model.op(op).name.to_string(),
                });
            }
            *slot = allowed;
            Ok(())
        };
        if strict {
            for op in model.op_ids().filter(|op| !takes[op.index()]) {
                pin(op, groups.find_mut(op.0), Allowed::Gpu)?;
            }
        }
        for (site, device) in &constraints.pinned {
            for op in ops_of(model, site)? {
                if !takes[op.index()] {
                    if strict && *device == Device::Dla {
                        return Err(SpaceError::Refused {
                            site: site.to_string(),
                            op: model.op(op).name.to_string(),
                        });
                    }
                    continue;
                }
                let allowed = match device {
                    Device::Gpu => Allowed::Gpu,
                    Device::Dla => Allowed::Dla,
                };
                pin(op, groups.find_mut(op.0), allowed)?;
            }
        }
        for op in planner.io_needs_dla() {
            if !takes[op.index()] {
                return Err(SpaceError::Formats {
                    formats: planner.config().io.to_string(),
                    op: model.op(op).name.to_string(),
                });
            }
            pin(op, groups.find_mut(op.0), Allowed::Dla)?;
        }
        let limit = planner.target().tensorrt.max_loadables();
        Ok(Self {
            problem: Problem {
                atoms: atoms(planner, costs, &choice_of),
                choices,
                flows: flows(planner, costs),
                subgraph_ms: costs.subgraph_ms,
                max_subgraphs: constraints.max_subgraphs.map_or(limit, |k| k.min(limit)),
                // The rules refuse what reaches their limits.
                max_subgraph_bytes: constraints
                    .dla_global_dram
                    .map_or(dla_rules::MAX_LOADABLE_WEIGHT_BYTES - 1, |b| {
                        b.min(dla_rules::MAX_LOADABLE_WEIGHT_BYTES - 1)
                    }),
                max_subgraph_tensor_bytes: dla_rules::MAX_LOADABLE_TENSOR_BYTES - 1,
            },
            fixed_ms: costs.fixed_ms,
            choice_of,
            strict,
            whole_modules: constraints.granularity != Granularity::Ops,
        })
    }

    /// What a solution asks of each op; `None` where asking changes nothing.
    pub fn required(&self, chosen: &[Device]) -> Vec<Option<Device>> {
        self.choice_of
            .iter()
            .map(|c| match c {
                Some(c) => Some(chosen[*c as usize]),
                None if self.strict => Some(Device::Gpu),
                None => None,
            })
            .collect()
    }

    /// The shortest placement that asks for a solution.
    pub fn placement(&self, model: &Model, chosen: &[Device]) -> Placement {
        fewest_overrides(model, &self.required(chosen), self.whole_modules)
    }

    /// The solution a placement's requested devices come to, where it is one: every op of a
    /// choice on one device.
    pub fn chosen(&self, requested: &[Device]) -> Option<Vec<Device>> {
        let mut chosen: Vec<Option<Device>> = vec![None; self.problem.choices.len()];
        for (c, r) in self.choice_of.iter().zip(requested) {
            if let Some(c) = c {
                let slot = &mut chosen[*c as usize];
                if slot.is_some_and(|d| d != *r) {
                    return None;
                }
                *slot = Some(*r);
            }
        }
        chosen.into_iter().collect()
    }

    /// The choice that decides an op.
    pub fn choice_of(&self, op: OpId) -> Option<u32> {
        self.choice_of[op.index()]
    }
}

fn ops_of(model: &Model, site: &Site) -> Result<Vec<OpId>, SpaceError> {
    // Resolving a placement of this one entry gives the error its suggestion.
    let mut only = Placement::default();
    only.overrides.insert(site.clone(), Device::Dla);
    only.resolve(model)?;
    Ok(match site {
        Site::Module(path) => model
            .modules
            .find(path)
            .map(|id: ModuleId| model.modules.subtree_ops(id))
            .unwrap_or_default(),
        Site::Op(name) => model.find_op(name).into_iter().collect(),
    })
}

/// One atom per op, so that subgraphs form as in the plan; a kernel's cost lies on one of its
/// ops.
fn atoms(planner: &Planner<'_>, costs: &Costs, choice_of: &[Option<u32>]) -> Vec<Atom> {
    let model = planner.model();
    let mut atoms: Vec<Atom> = model
        .op_ids()
        .zip(choice_of)
        .map(|(op, choice)| Atom {
            gpu_ms: 0.0,
            dla_ms: 0.0,
            left_ms: 0.0,
            macs: model.op(op).cost.map_or(0, |c| c.macs),
            weight_bytes: planner.weight_bytes(op),
            tensor_bytes: unread(planner, op),
            choice: *choice,
        })
        .collect();
    for k in &costs.kernels {
        let movable = k.ops.iter().find(|op| choice_of[op.index()].is_some());
        if let Some(at) = movable.or(k.ops.first()) {
            let a = &mut atoms[at.index()];
            a.gpu_ms += k.gpu_ms;
            a.dla_ms += k.dla_ms;
            a.left_ms += k.left_ms;
        }
    }
    atoms
}

/// Bytes of what an op makes for nobody.
fn unread(planner: &Planner<'_>, op: OpId) -> u64 {
    let model = planner.model();
    let made = model.op(op).outputs.iter();
    made.filter(|t| !model.tensor(**t).is_output && model.tensor(**t).consumers.is_empty())
        .fold(0, |sum, t| sum.saturating_add(planner.tensor_bytes(*t)))
}

fn flows(planner: &Planner<'_>, costs: &Costs) -> Vec<Flow> {
    let model = planner.model();
    let mut kernel_of = vec![usize::MAX; model.ops.len()];
    let mut split = vec![0.0; model.ops.len()];
    for (i, k) in costs.kernels.iter().enumerate() {
        for op in &k.ops {
            kernel_of[op.index()] = i;
        }
        for (op, ms) in &k.splits {
            split[op.index()] = *ms;
        }
    }
    let inputs = model.inputs.iter().map(|i| i.tensor);
    let made = model.ops.iter().flat_map(|o| o.outputs.iter().copied());
    inputs
        .chain(made)
        .filter_map(|id| {
            let t = model.tensor(id);
            let mut consumers: Vec<u32> = t.consumers.iter().map(|c| c.0).collect();
            consumers.sort_unstable();
            consumers.dedup();
            let crossing = costs.tensors.get(id.index()).copied().unwrap_or_default();
            let producer = match t.role {
                TensorRole::Activation => t.producer.map(|p| p.0),
                TensorRole::Input | TensorRole::Weight => None,
            };
            // Inside a kernel a copy between subgraphs also means that the kernel is cut.
            let cut = match (producer, &consumers[..]) {
                (Some(p), [c]) if kernel_of[p as usize] == kernel_of[*c as usize] => {
                    split[*c as usize]
                }
                _ => 0.0,
            };
            (t.is_output || !consumers.is_empty()).then_some(Flow {
                producer,
                consumers,
                to_dla_ms: crossing.to_dla_ms,
                dla_to_dla_ms: crossing.dla_to_dla_ms + cut,
                to_gpu_ms: crossing.to_gpu_ms,
                to_caller_ms: crossing.to_caller_ms,
                is_output: t.is_output && producer.is_some(),
                bytes: planner.tensor_bytes(id),
            })
        })
        .collect()
}

/// Makes ops one choice.
fn join_all(groups: &mut UnionFind<u32>, mut ops: impl Iterator<Item = OpId>) {
    if let Some(first) = ops.next() {
        for op in ops {
            groups.union(first.0, op.0);
        }
    }
}
