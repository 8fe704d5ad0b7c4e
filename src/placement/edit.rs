//! Edits as values, with undo.

use super::{Device, EngineConfig, Placement, Site};

/// One change to a placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Assigns sites.
    Assign(Vec<Site>, Device),
    /// Takes explicit assignments away, so that the sites inherit.
    Inherit(Vec<Site>),
    /// Changes the default device.
    Default(Device),
    /// Loads another placement whole, under a name for the undo list.
    Replace(String, Placement),
    /// Changes the engine config, under a name; repeats of one name are one step.
    Configure(&'static str, EngineConfig),
    /// Loads a placement with its engine config, under a name for the undo list.
    Load(String, Placement, EngineConfig),
    /// The same for a target, by its id.
    LoadFor(String, Placement, EngineConfig, String),
    /// Plans for another target, by its id, with the engine config that it takes; under a name for
    /// the undo list.
    Target(String, String, EngineConfig),
}

impl Edit {
    /// What the undo list calls it.
    pub fn label(&self) -> String {
        let sites = |s: &[Site]| match s {
            [one] => one.to_string(),
            many => format!("{} sites", many.len()),
        };
        match self {
            Self::Assign(s, d) => format!("{} to {d}", sites(s)),
            Self::Inherit(s) => format!("{} inherits", sites(s)),
            Self::Default(d) => format!("default {d}"),
            Self::Replace(name, _) | Self::Load(name, ..) | Self::LoadFor(name, ..) => {
                format!("load {name}")
            }
            Self::Configure(what, _) => (*what).to_owned(),
            Self::Target(name, ..) => name.clone(),
        }
    }
}

impl Placement {
    /// The placement after an edit.
    #[must_use]
    pub fn edited(&self, edit: &Edit) -> Self {
        let mut next = self.clone();
        match edit {
            Edit::Assign(sites, device) => {
                next.overrides
                    .extend(sites.iter().map(|s| (s.clone(), *device)));
            }
            Edit::Inherit(sites) => {
                for site in sites {
                    next.overrides.remove(site);
                }
            }
            Edit::Default(device) => next.default = *device,
            Edit::Replace(_, placement)
            | Edit::Load(_, placement, _)
            | Edit::LoadFor(_, placement, ..) => next = placement.clone(),
            Edit::Configure(..) | Edit::Target(..) => {}
        }
        next
    }
}

/// What one step of undo brings back.
#[derive(Clone, Debug, Default, PartialEq)]
struct Work {
    placement: Placement,
    config: EngineConfig,
    /// Id of the target, to be read by whoever knows boards; empty until [`Document::note_target`].
    target: String,
}

/// A placement, its engine config and its target under edit: where they are, where they were, where
/// redo leads.
#[derive(Clone, Debug, Default)]
pub struct Document {
    current: Work,
    past: Vec<(String, Work)>,
    future: Vec<(String, Work)>,
}

impl Document {
    /// How many steps back are kept.
    pub const MAX_UNDO: usize = 200;

    /// A document with nothing to undo.
    pub fn new(placement: Placement, config: EngineConfig) -> Self {
        Self {
            current: Work {
                placement,
                config,
                target: String::new(),
            },
            past: Vec::new(),
            future: Vec::new(),
        }
    }

    /// The placement now.
    pub fn placement(&self) -> &Placement {
        &self.current.placement
    }

    /// The engine config now.
    pub fn config(&self) -> &EngineConfig {
        &self.current.config
    }

    /// Id of the target now; empty where nobody said one.
    pub fn target(&self) -> &str {
        &self.current.target
    }

    /// Takes a target that was not the user's edit: a session's, or the first.
    pub fn note_target(&mut self, id: &str) {
        id.clone_into(&mut self.current.target);
    }

    /// Changes the engine config without a step of undo: to the batch of another model, or to a
    /// core that the board has.
    pub fn adjust(&mut self, change: impl FnOnce(&mut EngineConfig)) {
        change(&mut self.current.config);
    }

    /// Makes an edit; one that changes nothing leaves no trace. Returns whether it changed.
    pub fn apply(&mut self, edit: &Edit) -> bool {
        let next = Work {
            placement: self.current.placement.edited(edit),
            config: match edit {
                Edit::Configure(_, config)
                | Edit::Load(_, _, config)
                | Edit::LoadFor(_, _, config, _)
                | Edit::Target(_, _, config) => config.clone(),
                _ => self.current.config.clone(),
            },
            target: match edit {
                Edit::LoadFor(_, _, _, target) | Edit::Target(_, target, _) => target.clone(),
                _ => self.current.target.clone(),
            },
        };
        if next == self.current {
            return false;
        }
        let label = edit.label();
        let before = std::mem::replace(&mut self.current, next);
        let same = matches!(edit, Edit::Configure(..))
            && self.past.last().is_some_and(|(last, _)| *last == label);
        if !same {
            if self.past.len() == Self::MAX_UNDO {
                self.past.remove(0);
            }
            self.past.push((label, before));
        }
        self.future.clear();
        true
    }

    /// Goes one step back; the label of what was undone.
    pub fn undo(&mut self) -> Option<String> {
        let (label, before) = self.past.pop()?;
        self.future
            .push((label.clone(), std::mem::replace(&mut self.current, before)));
        Some(label)
    }

    /// Goes one step forward; the label of what was redone.
    pub fn redo(&mut self) -> Option<String> {
        let (label, after) = self.future.pop()?;
        self.past
            .push((label.clone(), std::mem::replace(&mut self.current, after)));
        Some(label)
    }

    /// What undo would take back.
    pub fn undo_label(&self) -> Option<&str> {
        self.past.last().map(|(l, _)| l.as_str())
    }

    /// What redo would bring again.
    pub fn redo_label(&self) -> Option<&str> {
        self.future.last().map(|(l, _)| l.as_str())
    }
}
