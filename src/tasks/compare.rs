//! Two placements side by side, and one placement on several targets.
//!
//! A difference is what the first costs more than the second: below zero where the first is faster.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::chart::{Chart, Mark, Point};
use crate::estimate::board::BoardFile;
use crate::estimate::{Breakdown, Estimate, Estimator};
use crate::figure::Figure;
use crate::history::csv;
use crate::model::{Model, OpId, TensorId};
use crate::placement::{Device, EngineConfig, Placement, UnknownSite};
use crate::plan::{Plan, Planner, Summary};
use crate::platform::{Target, boards};

use super::judge::judge;

/// One of the two placements, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What it is called.
    pub name: String,
    /// What it places.
    pub placement: Placement,
    /// How the engine is built.
    pub config: EngineConfig,
    /// What it means.
    pub plan: Plan,
    /// How fast it should be.
    pub estimate: Estimate,
    /// Where the time goes, or why nobody can say.
    pub breakdown: Result<Breakdown, Arc<str>>,
    /// The counts behind its one line.
    pub summary: Summary,
    /// Per op, ms where it is expected to run.
    pub op_ms: Vec<Option<f64>>,
}

impl Judged {
    /// Plans and estimates a placement on a target.
    ///
    /// # Errors
    /// The placement names what the model does not have.
    pub fn new(
        name: &str,
        model: &Model,
        target: &Target,
        own: &BoardFile,
        placement: &Placement,
        config: &EngineConfig,
    ) -> Result<Self, UnknownSite> {
        let config = config.clone().on(target.dla_support().cores());
        let planner = Planner::new(model, target, &config);
        let estimator = Estimator::with_board(&planner, own);
        let judged = judge(&estimator, placement)?;
        Ok(Self {
            name: name.to_owned(),
            placement: placement.clone(),
            op_ms: judged.op_ms.iter().map(Figure::value).collect(),
            summary: judged.plan.summary(model),
            plan: judged.plan,
            estimate: judged.estimate,
            breakdown: judged.breakdown,
            config,
        })
    }

    /// What a comparison reads of it.
    pub fn side(&self) -> Side<'_> {
        Side {
            plan: &self.plan,
            estimate: &self.estimate,
            op_ms: &self.op_ms,
        }
    }
}

/// What a comparison reads of one placement.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// What it means.
    pub plan: &'a Plan,
    /// How fast it should be.
    pub estimate: &'a Estimate,
    /// Per op, ms where it is expected to run.
    pub op_ms: &'a [Option<f64>],
}

/// Some ops in one placement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Part {
    /// Ops expected on the DLA.
    pub dla: u32,
    /// ms of the ops that have an estimate.
    pub ms: f64,
    /// How many those are.
    pub known: u32,
}

/// The same ops in both placements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pair {
    /// Ops.
    pub ops: u32,
    /// Ops that run elsewhere.
    pub differs: u32,
    /// In the first placement.
    pub this: Part,
    /// In the second.
    pub that: Part,
}

impl Pair {
    /// What the first costs more, ms, transitions left out; `None` where an op has no estimate.
    pub fn delta_ms(&self) -> Option<f64> {
        let known = self.this.known == self.ops && self.that.known == self.ops;
        known.then_some(self.this.ms - self.that.ms)
    }

    fn add(&mut self, other: &Self) {
        self.ops += other.ops;
        self.differs += other.differs;
        for (sum, part) in [(&mut self.this, &other.this), (&mut self.that, &other.that)] {
            sum.dla += part.dla;
            sum.ms += part.ms;
            sum.known += part.known;
        }
    }
}

impl Part {
    /// `GPU`, `DLA`, or `3 of 8 DLA` of a number of ops.
    pub fn device(&self, ops: u32) -> String {
        match self.dla {
            0 => Device::Gpu.to_string(),
            n if n == ops => Device::Dla.to_string(),
            n => format!("{n} of {ops} DLA"),
        }
    }
}

/// A tensor that crosses devices in one placement only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// The tensor.
    pub tensor: TensorId,
    /// Where it goes.
    pub to: Device,
    /// In the first placement, else in the second.
    pub this: bool,
    /// What crossing costs, ms; 0 without an estimate.
    pub ms: f64,
    /// Bytes that cross.
    pub bytes: u64,
}

/// Two placements side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Per op.
    pub ops: Vec<Pair>,
    /// Per module, with all below it.
    pub modules: Vec<Pair>,
    /// Tensors that cross in one of them only, dearest first.
    pub crossings: Vec<Crossing>,
}

impl Comparison {
    /// Compares two plans of a model.
    pub fn of(model: &Model, this: Side<'_>, that: Side<'_>) -> Self {
        let part = |side: Side<'_>, i: usize| {
            let ms = side.op_ms.get(i).copied().flatten();
            Part {
                dla: u32::from(side.plan.predicted[i] == Device::Dla),
                ms: ms.unwrap_or(0.0),
                known: u32::from(ms.is_some()),
            }
        };
        let ops: Vec<Pair> = (0..model.ops.len())
            .map(|i| Pair {
                ops: 1,
                differs: u32::from(this.plan.predicted[i] != that.plan.predicted[i]),
                this: part(this, i),
                that: part(that, i),
            })
            .collect();
        let tree = &model.modules;
        let modules = tree.sums(vec![Pair::default(); tree.len()], &ops, Pair::add);
        Self {
            ops,
            modules,
            crossings: crossings(this, that),
        }
    }

    /// Some ops together.
    pub fn of_ops(&self, ops: &[OpId]) -> Pair {
        let mut sum = Pair::default();
        for op in ops {
            sum.add(&self.ops[op.index()]);
        }
        sum
    }

    /// Ops that run elsewhere.
    pub fn differing(&self) -> u32 {
        self.modules.first().map_or(0, |root| root.differs)
    }
}

/// Tensors that cross more often in one of two plans. One into several subgraphs counts for each.
fn crossings(this: Side<'_>, that: Side<'_>) -> Vec<Crossing> {
    let mut left: HashMap<(TensorId, Device), usize> = HashMap::new();
    let each = |side: Side<'_>| {
        let ms = side.estimate.per_transition_ms.clone();
        let ms = ms.into_iter().chain(std::iter::repeat(0.0));
        let crossing = |(t, ms): (&crate::plan::Transition, f64)| (t.tensor, t.to, ms, t.bytes);
        let transitions = side.plan.transitions.iter();
        transitions.zip(ms).map(crossing).collect::<Vec<_>>()
    };
    for (tensor, to, ..) in each(that) {
        *left.entry((tensor, to)).or_default() += 1;
    }
    let mut found = Vec::new();
    let mut common: HashMap<(TensorId, Device), usize> = HashMap::new();
    for (tensor, to, ms, bytes) in each(this) {
        match left.get_mut(&(tensor, to)) {
            Some(n) if *n > 0 => {
                *n -= 1;
                *common.entry((tensor, to)).or_default() += 1;
            }
            _ => found.push(Crossing {
                tensor,
                to,
                this: true,
                ms,
                bytes,
            }),
        }
    }
    for (tensor, to, ms, bytes) in each(that) {
        match common.get_mut(&(tensor, to)) {
            Some(n) if *n > 0 => *n -= 1,
            _ => found.push(Crossing {
                tensor,
                to,
                this: false,
                ms,
                bytes,
            }),
        }
    }
    found.sort_by(|a, b| b.ms.total_cmp(&a.ms).then(a.tensor.cmp(&b.tensor)));
    found
}

/// Figures of the two placements, line by line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What it is.
    pub what: &'static str,
    /// Its unit; empty for counts.
    pub unit: &'static str,
    /// In the first placement.
    pub this: Option<f64>,
    /// In the second.
    pub that: Option<f64>,
}

impl Line {
    /// The first less the second.
    pub fn delta(&self) -> Option<f64> {
        Some(self.this? - self.that?)
    }
}

/// What two placements are compared by.
pub fn lines(this: Side<'_>, that: Side<'_>) -> Vec<Line> {
    let figure = |what, unit, get: fn(&Estimate) -> &Figure| Line {
        what,
        unit,
        this: get(this.estimate).value(),
        that: get(that.estimate).value(),
    };
    let count = |what, get: fn(&Plan) -> usize| Line {
        what,
        unit: "",
        this: Some(get(this.plan) as f64),
        that: Some(get(that.plan) as f64),
    };
    vec![
        figure("Throughput", "FPS", |e| &e.fps),
        figure("Latency", "ms", |e| &e.latency_ms),
        figure("GPU work", "ms", |e| &e.gpu_ms),
        figure("DLA work", "ms", |e| &e.dla_ms),
        figure("Transitions", "ms", |e| &e.transition_ms),
        count("Tensors crossing", |p| p.transitions.len()),
        count("DLA subgraphs", |p| p.subgraphs.len()),
        count("Ops on the DLA", Plan::dla_ops),
        count("Falling back", |p| p.fallbacks.len()),
    ]
}

/// One placement on one target.
#[derive(Clone, Debug, Serialize)]
pub struct OnTarget {
    /// Where.
    pub target: Target,
    /// How fast it should be there.
    pub estimate: Estimate,
    /// Images per second with everything on the GPU.
    pub gpu_fps: Figure,
    /// What the rules expect of it there.
    pub summary: Summary,
}

/// Every board, in its first power mode.
pub fn every_board() -> Vec<Target> {
    boards().iter().map(Target::of).collect()
}

/// Every power mode of a target's board.
pub fn every_mode(target: &Target) -> Vec<Target> {
    let modes = target.board.modes.iter();
    modes.map(|mode| target.in_mode(mode)).collect()
}

/// One placement on several targets.
///
/// # Errors
/// The placement names what the model does not have.
pub fn on_targets(
    model: &Model,
    placement: &Placement,
    config: &EngineConfig,
    targets: &[Target],
    own: &dyn Fn(&Target) -> BoardFile,
) -> Result<Vec<OnTarget>, UnknownSite> {
    targets
        .iter()
        .map(|target| {
            let config = config.clone().on(target.dla_support().cores());
            let planner = Planner::new(model, target, &config);
            let estimator = Estimator::with_board(&planner, &own(target));
            let plan = planner.plan_placement(placement)?;
            let gpu = planner.plan(vec![Device::Gpu; model.ops.len()]);
            Ok(OnTarget {
                target: *target,
                estimate: estimator.estimate(&plan),
                gpu_fps: estimator.estimate(&gpu).fps,
                summary: plan.summary(model),
            })
        })
        .collect()
}

/// One placement on several targets, as bars.
pub fn targets_chart(model: &Model, config: &EngineConfig, rows: &[OnTarget]) -> Chart {
    let mut chart = rows
        .first()
        .map_or_else(Chart::default, |first| Chart::new(model, &first.target));
    for row in rows {
        let point = |label: &str, fps: &Figure, share, current| Point {
            label: label.to_owned(),
            fps: fps.clone(),
            mj_per_image: None,
            mark: Mark::Estimated,
            place: row.target.into(),
            dla_mac_share: share,
            precision: config.precision,
            batch: config.batch,
            deployment: None,
            current,
            mode_assumed: false,
            load: None,
        };
        let name = format!("{} {}", row.target.board.name, row.target.mode.name);
        let share = row.summary.dla_mac_share;
        let gpu = format!("{name}, all GPU");
        chart.points.extend([
            point(&name, &row.estimate.fps, share, true),
            point(&gpu, &row.gpu_fps, Some(0.0), false),
        ]);
    }
    chart
}

/// One placement on several targets as CSV, header first. Cells without a figure are empty.
pub fn targets_csv(rows: &[OnTarget]) -> String {
    let header = "target,fps,fps_low,fps_high,latency_ms,gpu_ms,dla_ms,transition_ms,gpu_only_fps,\
                  dla_ops,ops,why_none,source";
    let cell = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
    let rows = rows.iter().map(|row| {
        let e = &row.estimate;
        let range = e.fps.range();
        let why = match &e.fps {
            Figure::None { reason } => reason.to_string(),
            Figure::Estimated(_) | Figure::Measured(_) => String::new(),
        };
        let source = match &e.fps {
            Figure::None { .. } => String::new(),
            figure => figure.source().to_string(),
        };
        [
            row.target.to_string(),
            cell(e.fps.value()),
            cell(range.map(|(low, _)| low)),
            cell(range.map(|(_, high)| high)),
            cell(e.latency_ms.value()),
            cell(e.gpu_ms.value()),
            cell(e.dla_ms.value()),
            cell(e.transition_ms.value()),
            cell(row.gpu_fps.value()),
            row.summary.dla_ops.to_string(),
            row.summary.ops.to_string(),
            why,
            source,
        ]
    });
    csv::table(header, rows)
}
