//! Inheritance: from what was said to a device per op.

use crate::model::{Model, ModuleId, OpId};

use super::{Device, Placement, Site};

/// A placement names something the model does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownSite {
    /// No such module.
    #[error("the model has no module {path:?}{}", suggestion(.nearest.as_deref()))]
    Module {
        /// As written.
        path: String,
        /// A module with a similar path.
        nearest: Option<String>,
    },
    /// No such op.
    #[error("the model has no op {name:?}{}", suggestion(.nearest.as_deref()))]
    Op {
        /// As written.
        name: String,
        /// An op with a similar name.
        nearest: Option<String>,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(n) => format!("; did you mean {n:?}? `dlaplan inspect` lists them all"),
        None => "; `dlaplan inspect` lists them all".to_owned(),
    }
}

/// A device and who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// Said here.
    Explicit(Device),
    /// Said on an ancestor module.
    Inherited(Device, ModuleId),
    /// Nobody said anything.
    Default(Device),
}

impl Assigned {
    /// The device, whoever said it.
    pub fn device(self) -> Device {
        match self {
            Self::Explicit(d) | Self::Inherited(d, _) | Self::Default(d) => d,
        }
    }
}

/// A placement applied to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Per module, by [`ModuleId`].
    pub modules: Vec<Assigned>,
    /// Per op, by [`OpId`].
    pub ops: Vec<Assigned>,
}

impl Resolved {
    /// The requested device per op.
    pub fn devices(&self) -> Vec<Device> {
        self.ops.iter().map(|a| a.device()).collect()
    }

    /// What was asked of a module.
    pub fn module(&self, id: ModuleId) -> Assigned {
        self.modules[id.index()]
    }

    /// What was asked of an op.
    pub fn op(&self, id: OpId) -> Assigned {
        self.ops[id.index()]
    }
}

impl Placement {
    /// Applies the placement to a model: the nearest explicitly assigned ancestor-or-self wins,
    /// else the default, as torch2trt's module hooks do it.
    ///
    /// # Errors
    /// A site the model does not have.
    pub fn resolve(&self, model: &Model) -> Result<Resolved, UnknownSite> {
        let tree = &model.modules;
        let mut said: Vec<Option<Device>> = vec![None; tree.len()];
        let mut said_op: Vec<(OpId, Device)> = Vec::new();
        for (site, device) in &self.overrides {
            match site {
                Site::Module(path) => match tree.find(path) {
                    Some(id) => said[id.index()] = Some(*device),
                    None => {
                        return Err(UnknownSite::Module {
                            path: path.clone(),
                            nearest: nearest(path, tree.iter().map(|(_, m)| &*m.path)),
                        });
                    }
                },
                Site::Op(name) => match model.find_op(name) {
                    Some(id) => said_op.push((id, *device)),
                    None => {
                        return Err(UnknownSite::Op {
                            name: name.clone(),
                            nearest: nearest(name, model.ops.iter().map(|o| &*o.name)),
                        });
                    }
                },
            }
        }
        let mut modules: Vec<Assigned> = Vec::with_capacity(tree.len());
        let mut ops = vec![Assigned::Default(self.default); model.ops.len()];
        for (id, module) in tree.iter() {
            let assigned = match (said[id.index()], module.parent) {
                (Some(d), _) => Assigned::Explicit(d),
                (None, None) => Assigned::Default(self.default),
                (None, Some(p)) => inherit(modules[p.index()], p),
            };
            modules.push(assigned);
            for op in &module.ops {
                ops[op.index()] = inherit(assigned, id);
            }
        }
        for (op, device) in said_op {
            ops[op.index()] = Assigned::Explicit(device);
        }
        Ok(Resolved { modules, ops })
    }
}

fn inherit(from: Assigned, at: ModuleId) -> Assigned {
    match from {
        Assigned::Explicit(d) => Assigned::Inherited(d, at),
        other => other,
    }
}

/// The candidate that the fewest slips of a typing hand turn into the name, case aside, when those
/// are at most a third of its letters.
fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = wanted.to_lowercase();
    let letters = lower.chars().count();
    candidates
        // No need to look closer at names of another length.
        .filter(|c| !c.is_empty() && c.chars().count().abs_diff(letters) <= letters / 3)
        .map(|c| (strsim::osa_distance(&lower, &c.to_lowercase()), c))
        .filter(|(slips, _)| *slips <= letters / 3)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, c)| c.to_owned())
}
