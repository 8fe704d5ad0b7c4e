//! The placement on screen beside another one, and on other boards, as values.

use std::sync::Arc;

use crate::engine::environment::measured_at;
use crate::figure::Measured;
use crate::gui::data::judgement::{Ground, Judgement};
use crate::gui::data::memo::Memo;
use crate::gui::data::ribbon::Ribbon;
use crate::gui::data::tree_index::{Node, TreeIndex};
use crate::history::RunHead;
use crate::model::{Model, ModuleId};
use crate::placement::{Device, EngineConfig, Placement};
use crate::platform::Target;
use crate::tasks::compare::{Comparison, Judged, OnTarget, Side};

/// Nodes and crossings listed one by one.
const LISTED: usize = 12;

/// What the placement on screen is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// The placement as it is at this moment, while the one on screen is changed.
    Now,
    /// Everything on one device.
    All(Device),
    /// A kept placement, by id.
    Kept(i64),
    /// The placement of a run, by id.
    Run(i64),
}

/// Which targets the placement on screen is compared over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Every board, in its first power mode.
    Boards,
    /// Every power mode of the board on screen.
    Modes,
}

/// The other placement, before it is judged.
#[derive(Clone, Debug)]
pub struct With {
    /// Where it comes from.
    pub other: Other,
    /// What it is called.
    pub name: String,
    /// What it places.
    pub placement: Placement,
    /// How it is built.
    pub config: EngineConfig,
    /// Its figure, where it was measured in this power mode.
    pub measured: Option<Measured>,
}

impl With {
    /// The placement of a run, with its figure where that is of the target.
    pub fn run(name: &str, head: &RunHead, target: &Target) -> Self {
        let here = measured_at(&head.environment).is_some_and(|p| p.is(target));
        Self {
            other: Other::Run(head.id),
            name: name.to_owned(),
            placement: head.placement.clone(),
            config: head.config.clone(),
            measured: head.outcome.as_ref().ok().filter(|_| here).cloned(),
        }
    }
}

/// Two placements side by side.
#[derive(Clone, Debug, Default)]
pub struct Both {
    /// What differs, per op and module.
    pub comparison: Comparison,
    /// The rows that differ most, by ms.
    pub most: Vec<(Node, f64)>,
}

/// Comparing, and all that was found.
#[derive(Default)]
pub struct Compare {
    /// What with, if anything.
    pub with: Option<With>,
    /// The same, judged on the target on screen.
    pub other: Option<Arc<Judged>>,
    /// Why it cannot be judged.
    pub refused: Option<String>,
    /// Both side by side; empty until both are judged.
    pub both: Memo<(u64, u64), Option<Both>>,
    /// The other's execution.
    pub ribbon: Memo<u64, Ribbon>,
    /// The placement of a revision on other targets.
    pub targets: Option<(u64, Over, Arc<Vec<OnTarget>>)>,
    /// Targets are being estimated.
    pub over: Option<(u64, Over)>,
    /// Counts every change of what is compared with and of where.
    pub(crate) changes: u64,
    pub(crate) asked: Option<u64>,
}

impl Compare {
    /// Another placement to compare with, or none.
    pub fn set(&mut self, with: Option<With>) {
        self.with = with;
        self.stale();
    }

    /// The other must be judged anew.
    pub fn stale(&mut self) {
        self.changes += 1;
        self.other = None;
        self.refused = None;
    }

    /// What differs, once both are judged.
    pub fn comparison(&self) -> Option<&Comparison> {
        // While another target is judged, what was found before says nothing.
        self.other.as_ref()?;
        self.both.as_ref().map(|b| &b.comparison)
    }

    /// Whether a placement is the one compared with.
    pub fn is(&self, load: Option<&(Placement, EngineConfig)>) -> bool {
        let other = self.other.as_deref();
        other.zip(load).is_some_and(|(o, (placement, config))| {
            o.placement == *placement && o.config == *config
        })
    }

    /// Brings the values that are drawn up to date.
    pub(crate) fn refresh(
        &mut self,
        model: &Model,
        index: &TreeIndex,
        judged: &Judgement,
        ground: &Ground,
    ) {
        let Self {
            other,
            both,
            ribbon,
            changes,
            ..
        } = self;
        both.update((judged.revision, *changes), || {
            let other = other.as_deref()?;
            let ops = model.op_ids().zip(&judged.plan.predicted);
            let op_ms: Vec<Option<f64>> = ops
                .map(|(op, device)| ground.op_ms(op, *device).value())
                .collect();
            let this = Side {
                plan: &judged.plan,
                estimate: &judged.estimate,
                op_ms: &op_ms,
            };
            let comparison = Comparison::of(model, this, other.side());
            let most = most(model, index, &comparison);
            Some(Both { comparison, most })
        });
        ribbon.update(*changes, || {
            other.as_deref().map_or_else(Ribbon::default, |o| {
                Ribbon::of(model, &o.plan, &o.estimate, &|op| o.op_ms[op.index()])
            })
        });
    }
}

/// The rows without rows below that differ most, by ms.
fn most(model: &Model, index: &TreeIndex, comparison: &Comparison) -> Vec<(Node, f64)> {
    let modules = (0..model.modules.len()).map(|i| Node::Module(ModuleId(i as u32)));
    let own = modules
        .clone()
        .flat_map(|n| index.below(n))
        .filter(|n| matches!(n, Node::Op(_)))
        .copied();
    let leaves = modules.filter(|n| index.below(*n).is_empty());
    let mut all: Vec<(Node, f64)> = leaves
        .chain(own)
        .filter_map(|node| {
            let delta = node.pair(comparison)?.delta_ms()?;
            (delta.abs() >= 0.0005).then_some((node, delta))
        })
        .collect();
    all.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    all.truncate(LISTED);
    all
}
