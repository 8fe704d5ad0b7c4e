//! Where the time of a plan goes: the steps from all on the GPU to the plan, and its kernels.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::Serialize;

use crate::figure::{Band, Figure, short};
use crate::model::OpId;
use crate::placement::Device;
use crate::plan::{Buildable, Plan};

use super::board::Mix;
use super::{Estimate, Estimator, Ready};

/// Kernels named one by one in a [`Breakdown`].
const NAMED: usize = 20;

/// What a step of a [`Waterfall`] is about.
/// In the order of a waterfall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, strum::VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// GPU time of the ops that run on the DLA instead.
    LeavesGpu,
    /// DLA time of the same ops, submission not included.
    RunsOnDla,
    /// What fused kernels cost more because the placement separates their ops.
    CutKernels,
    /// Handing each subgraph to the DLA.
    Submission,
    /// Tensors that cross into a DLA subgraph.
    IntoDla,
    /// Tensors that cross back to the GPU.
    OutOfDla,
    /// Reformats of inputs and outputs of the engine at a DLA subgraph.
    EngineEnds,
    /// Other engines that run at the same time.
    Contention,
}

/// One step of a [`Waterfall`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// What it is about.
    pub cause: Cause,
    /// ms it adds; below zero where it saves.
    pub ms: Figure,
    /// Ops, kernels, subgraphs, tensors or engines, as the cause counts.
    pub count: usize,
    /// Bytes that cross; 0 for other causes.
    pub bytes: u64,
}

/// From all on the GPU to a plan. `from` and the steps add up to `to`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waterfall {
    /// Time of one inference with everything on the GPU, ms.
    pub from: Figure,
    /// Steps that change something.
    pub steps: Vec<Step>,
    /// Time of one inference of the plan, ms.
    pub to: Figure,
}

/// A line of a drawn waterfall.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is, in words.
    pub text: String,
    /// Its ms, with the sign of a step.
    pub value: String,
    /// Of a step, what it is about; `None` for where the waterfall starts and ends.
    pub cause: Option<Cause>,
    /// Left end of the bar, 0 to 1.
    pub left: f64,
    /// Right end of the bar, 0 to 1.
    pub right: f64,
    /// It takes time away.
    pub saves: bool,
}

/// A drawn waterfall.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Its lines, top to bottom.
    pub bars: Vec<Bar>,
    /// What the left edge stands for, ms: above 0 where the steps are short beside the whole.
    pub start_ms: f64,
}

impl Picture {
    /// What must be said under it where its left edge is not 0.
    pub fn note(&self) -> Option<String> {
        let start = short(self.start_ms);
        (self.start_ms > 0.0).then(|| format!("The bars begin at {start} ms, not at 0"))
    }
}

/// Ops that run as one kernel or DLA layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kernel {
    /// Its ops, the main one first.
    pub ops: Vec<OpId>,
    /// Where it is expected to run.
    pub device: Device,
    /// ms there.
    pub ms: f64,
    /// ms on the other device; `None` where the rules refuse one of its ops, or the placement cuts
    /// the kernel.
    pub other_ms: Option<f64>,
}

/// Where the time of a plan goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breakdown {
    /// From all on the GPU to the plan.
    pub waterfall: Waterfall,
    /// Kernels in all.
    pub kernels: usize,
    /// The slowest, slowest first.
    pub hottest: Vec<Kernel>,
    /// DLA layers that lose against the GPU, by what they lose.
    pub losses: Vec<Kernel>,
}

impl Step {
    /// What it is, in words: `46 ops leave the GPU`.
    pub fn text(&self) -> String {
        let n = self.count;
        let some = |one: &str, many: &str| {
            if n == 1 {
                format!("1 {one}")
            } else {
                format!("{n} {many}")
            }
        };
        match self.cause {
            Cause::LeavesGpu => some("op leaves the GPU", "ops leave the GPU"),
            Cause::RunsOnDla => some("op runs on the DLA", "ops run on the DLA"),
            Cause::CutKernels => some("fused kernel is cut", "fused kernels are cut"),
            Cause::Submission => some("subgraph is submitted", "subgraphs are submitted"),
            Cause::IntoDla => some("tensor goes to the DLA", "tensors go to the DLA"),
            Cause::OutOfDla => some("tensor comes back", "tensors come back"),
            Cause::EngineEnds => some(
                "reformat at the engine's ends",
                "reformats at the engine's ends",
            ),
            Cause::Contention => some("engine at the same time", "engines at the same time"),
        }
    }
}

impl Cause {
    /// What it is, where nothing is counted.
    pub fn title(self) -> &'static str {
        match self {
            Self::LeavesGpu => "GPU time of what is on the DLA",
            Self::RunsOnDla => "DLA time",
            Self::CutKernels => "cut kernels",
            Self::Submission => "submitting subgraphs",
            Self::IntoDla => "tensors to the DLA",
            Self::OutOfDla => "tensors back",
            Self::EngineEnds => "reformats at the engine's ends",
            Self::Contention => "engines at the same time",
        }
    }

    /// What stands behind it, in one sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::LeavesGpu => "Time that the GPU no longer spends on them.",
            Self::RunsOnDla => "Time that the DLA spends on the same ops.",
            Self::CutKernels => {
                "On one device their ops run as one kernel; apart, each part reads and writes memory."
            }
            Self::Submission => "Each DLA subgraph is handed over and waited for.",
            Self::IntoDla => {
                "Each is copied into the DLA's format; in INT8 it is quantised as well."
            }
            Self::OutOfDla => "Each is copied back into the GPU's format.",
            Self::EngineEnds => {
                "Inputs and outputs of the engine are FP32 in the GPU's format; the DLA's differ."
            }
            Self::Contention => "They share the memory, and wait for the GPU or the DLA core.",
        }
    }
}

/// `+0.120 ms`, `-1.42 ms`.
pub fn signed_ms(ms: f64) -> String {
    let text = short(ms);
    // What rounds to nothing has no sign.
    if text.trim_start_matches(['-', '0', '.']).is_empty() {
        return "0 ms".to_owned();
    }
    if ms > 0.0 {
        format!("+{text} ms")
    } else {
        format!("{text} ms")
    }
}

impl Waterfall {
    /// ms of a step, 0 where there is none.
    fn of(&self, cause: Cause) -> f64 {
        let steps = self.steps.iter().filter(|s| s.cause == cause);
        steps.filter_map(|s| s.ms.value()).sum()
    }

    /// Why the plan is slower or faster than all on the GPU, in a sentence or two.
    pub fn verdict(&self) -> String {
        let (Some(from), Some(to)) = (self.from.value(), self.to.value()) else {
            return format!("No estimate: {}", self.to.source());
        };
        let alone = to - self.of(Cause::Contention);
        let gone = -self.of(Cause::LeavesGpu);
        let dla = self.of(Cause::RunsOnDla);
        let crossing = [
            Cause::Submission,
            Cause::IntoDla,
            Cause::OutOfDla,
            Cause::EngineEnds,
        ];
        let crossing: f64 = crossing.into_iter().map(|c| self.of(c)).sum();
        let verdict = if self.steps.iter().all(|s| s.cause == Cause::Contention) {
            "Everything runs on the GPU.".to_owned()
        } else {
            let delta = alone - from;
            let word = if delta >= 0.0 { "slower" } else { "faster" };
            let cut = match self.of(Cause::CutKernels) {
                ms if ms.abs() < 0.0005 => String::new(),
                ms => format!("; cut kernels cost {} ms", short(ms)),
            };
            format!(
                "{} ms {word} than all on the GPU: the DLA takes {} ms for what the GPU does in {} \
                 ms, and getting there and back costs {} ms{cut}.",
                short(delta.abs()),
                short(dla),
                short(gone),
                short(crossing),
            )
        };
        match self.of(Cause::Contention) {
            0.0 => verdict,
            ms => format!(
                "{verdict} Other engines at the same time cost {} ms more.",
                short(ms)
            ),
        }
    }

    /// What each cause costs more than in another waterfall, ms, the largest first; the
    /// start too, where that differs. What is below a nanosecond is left out.
    pub fn less(&self, other: &Self) -> Vec<(&'static str, f64)> {
        let mut all = Vec::new();
        if let (Some(a), Some(b)) = (self.from.value(), other.from.value()) {
            all.push(("all on the GPU", a - b));
        }
        let causes = <Cause as strum::VariantArray>::VARIANTS.iter();
        all.extend(causes.map(|c| (c.title(), self.of(*c) - other.of(*c))));
        all.retain(|(_, ms)| ms.abs() >= 1e-6);
        all.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        all
    }

    /// Its picture: where it starts, each step from where the one before ends, and where it ends under
    /// the name of the plan. No lines without an estimate.
    pub fn picture(&self, name: &str) -> Picture {
        let (Some(from), Some(to)) = (self.from.value(), self.to.value()) else {
            return Picture::default();
        };
        let whole = |text: &str, ms: f64| Bar {
            text: text.to_owned(),
            value: format!("{} ms", short(ms)),
            cause: None,
            left: 0.0,
            right: ms,
            saves: false,
        };
        let mut bars = vec![whole("all on the GPU", from)];
        let mut at = from;
        let (mut least, mut most) = (from.min(to), from.max(to));
        for step in &self.steps {
            let ms = step.ms.value().unwrap_or(0.0);
            bars.push(Bar {
                text: step.text(),
                value: signed_ms(ms),
                cause: Some(step.cause),
                left: at.min(at + ms),
                right: at.max(at + ms),
                saves: ms < 0.0,
            });
            at += ms;
            (least, most) = (least.min(at), most.max(at));
        }
        bars.push(whole(name, to));
        // Beside a long time short steps would not be seen.
        let span = most - least;
        let start_ms = if span > 0.0 && span < most / 4.0 {
            least - span / 2.0
        } else {
            0.0
        };
        let place = |ms: f64| (ms - start_ms) / (most - start_ms).max(f64::MIN_POSITIVE);
        for bar in &mut bars {
            bar.left = place(bar.left).clamp(0.0, 1.0);
            bar.right = place(bar.right).clamp(bar.left, 1.0);
        }
        Picture { bars, start_ms }
    }

    /// Adds what running beside other engines costs, ms, and ends there.
    #[must_use]
    pub fn beside(mut self, others: usize, together: &Figure) -> Self {
        if let (Some(alone), Some(now), Figure::Estimated(e)) =
            (self.to.value(), together.value(), together)
        {
            self.steps.push(Step {
                cause: Cause::Contention,
                ms: Figure::estimated(now - alone, e.band, Arc::clone(&e.source)),
                count: others,
                bytes: 0,
            });
        }
        self.to = together.clone();
        self
    }
}

impl Kernel {
    /// What it loses against the other device, ms; below zero where it gains.
    pub fn loss_ms(&self) -> Option<f64> {
        Some(self.ms - self.other_ms?)
    }
}

/// What a plan spends, one step of the waterfall a field.
#[derive(Default)]
struct Spent {
    left_ms: f64,
    left: usize,
    dla_ms: f64,
    dla: usize,
    cut_ms: f64,
    cut: usize,
}

/// A kernel before its ops are collected: its unit, and which of the unit's ops.
struct Brief {
    unit: u32,
    device: Device,
    ms: f64,
    /// Whether or not the rules allow it there.
    other_ms: Option<f64>,
    /// Set where the placement cuts the unit.
    ops: Vec<OpId>,
}

impl Brief {
    fn loss(&self) -> f64 {
        match (self.device, self.other_ms) {
            (Device::Dla, Some(other)) => self.ms - other,
            _ => f64::NEG_INFINITY,
        }
    }
}

impl Estimator<'_, '_> {
    /// Where the time of a plan of the same planner goes, with its estimate. Linear in the plan.
    ///
    /// # Errors
    /// There is no estimate, and why.
    pub fn breakdown(&self, plan: &Plan, estimate: &Estimate) -> Result<Breakdown, Arc<str>> {
        let ready = self.state.as_ref().map_err(Arc::clone)?;
        if let Buildable::No { reasons } = &plan.buildable {
            let why = reasons.first().map_or("", String::as_str);
            return Err(format!("it does not build: {why}").into());
        }
        let mut spent = Spent::default();
        let mut kernels: Vec<Brief> = Vec::with_capacity(ready.units.len());
        let mut begin = 0;
        for (i, hot) in ready.hot.iter().enumerate() {
            let ops = &ready.ops[begin..hot.end as usize];
            begin = hot.end as usize;
            let home = plan.subgraph_of[ops[0] as usize];
            let mut rest = ops[1..].iter();
            if !rest.all(|op| plan.subgraph_of[*op as usize] == home) {
                self.spend_cut(ready, plan, i as u32, &mut spent, &mut kernels);
                continue;
            }
            let (device, ms, other_ms) = match home {
                None => (Device::Gpu, hot.gpu_ms, hot.dla_ms),
                Some(_) => (Device::Dla, hot.dla_ms, hot.gpu_ms),
            };
            if device == Device::Dla {
                spent.left += ops.len();
                spent.left_ms += hot.gpu_ms;
                spent.dla += ops.len();
                spent.dla_ms += hot.dla_ms;
            }
            if ms > 0.0 {
                kernels.push(Brief {
                    unit: i as u32,
                    device,
                    ms,
                    other_ms: Some(other_ms),
                    ops: Vec::new(),
                });
            }
        }
        Ok(Breakdown {
            waterfall: waterfall(ready, plan, &spent, &estimate.latency_ms),
            kernels: kernels.len(),
            hottest: self.largest(ready, &mut kernels, |k| k.ms),
            losses: self.largest(ready, &mut kernels, Brief::loss),
        })
    }

    /// Adds a unit that the placement cuts to what is spent, and its kernels.
    fn spend_cut(
        &self,
        ready: &Ready,
        plan: &Plan,
        unit: u32,
        spent: &mut Spent,
        kernels: &mut Vec<Brief>,
    ) {
        let costed = &ready.units[unit as usize];
        let home = |op: &OpId| plan.subgraph_of[op.index()];
        // What goes is the share of the ops that go; what stays costs more than its share.
        let moved = costed.unit.ops().filter(|op| home(op).is_some());
        let (mut gone, mut n) = (0.0, 0);
        for op in moved {
            gone += self.op_ms(op, Device::Gpu).value().unwrap_or(0.0);
            n += 1;
        }
        let mut stays = 0.0;
        ready.cut(self.planner, plan, costed, &mut |at, ms, ops| {
            let device = if at.is_some() {
                spent.dla_ms += ms;
                Device::Dla
            } else {
                stays += ms;
                Device::Gpu
            };
            if ms > 0.0 {
                kernels.push(Brief {
                    unit,
                    device,
                    ms,
                    other_ms: None,
                    ops: ops.to_vec(),
                });
            }
        });
        spent.left += n;
        spent.left_ms += gone;
        spent.dla += n;
        spent.cut += 1;
        spent.cut_ms += stays - (costed.gpu_ms - gone);
    }

    /// The first [`NAMED`] kernels by a measure, of those above zero.
    fn largest(
        &self,
        ready: &Ready,
        kernels: &mut [Brief],
        by: impl Fn(&Brief) -> f64,
    ) -> Vec<Kernel> {
        // What ties stays in the order of execution.
        let order = |k: &Brief| (Reverse(Total(by(k))), k.unit);
        if kernels.len() > NAMED {
            kernels.select_nth_unstable_by_key(NAMED, order);
        }
        let named = kernels.len().min(NAMED);
        let first = &mut kernels[..named];
        first.sort_by_key(order);
        let first = first.iter().take_while(|k| by(k) > 0.0);
        first
            .map(|k| {
                let ops: Vec<OpId> = if k.ops.is_empty() {
                    ready.units[k.unit as usize].unit.ops().collect()
                } else {
                    k.ops.clone()
                };
                let may = || ops.iter().all(|op| self.planner.may_run_on_dla(*op));
                Kernel {
                    other_ms: k.other_ms.filter(|_| k.device == Device::Dla || may()),
                    device: k.device,
                    ms: k.ms,
                    ops,
                }
            })
            .collect()
    }

    /// The op whose kernel an op is part of on a device, where that is another one: it costs nothing
    /// by itself, or little.
    pub fn fused_into(&self, op: OpId) -> Option<OpId> {
        let ready = self.state.as_ref().ok()?;
        let unit = &ready.units[*ready.unit_of.get(op.index())? as usize].unit;
        let part = unit.parts.iter().find(|p| p.ops.contains(&op))?;
        part.ops.first().copied().filter(|main| *main != op)
    }
}

fn waterfall(ready: &Ready, plan: &Plan, spent: &Spent, to: &Figure) -> Waterfall {
    let band = |mix: Mix| ready.bands[mix as usize];
    let figure = |ms: f64, band: Band| Figure::estimated(ms, band, Arc::clone(&ready.source));
    let from = figure(ready.hot.iter().map(|h| h.gpu_ms).sum(), band(Mix::Gpu));
    let mut steps = Vec::new();
    let mut step = |cause, ms, count, bytes, mix| {
        if count > 0 {
            let ms = figure(ms, band(mix));
            steps.push(Step {
                cause,
                ms,
                count,
                bytes,
            });
        }
    };
    step(Cause::LeavesGpu, -spent.left_ms, spent.left, 0, Mix::Gpu);
    step(Cause::RunsOnDla, spent.dla_ms, spent.dla, 0, Mix::Dla);
    step(Cause::CutKernels, spent.cut_ms, spent.cut, 0, Mix::Both);
    let subgraphs = plan.subgraphs.len();
    let submit = ready.costs.submit_ms() * subgraphs as f64;
    step(Cause::Submission, submit, subgraphs, 0, Mix::Dla);
    let mut crossings = [
        (Cause::IntoDla, 0.0, 0, 0),
        (Cause::OutOfDla, 0.0, 0, 0),
        (Cause::EngineEnds, 0.0, 0, 0),
    ];
    for t in &plan.transitions {
        let at = match (t.boundary, t.to) {
            (true, _) => 2,
            (false, Device::Dla) => 0,
            (false, Device::Gpu) => 1,
        };
        let (_, ms, count, bytes) = &mut crossings[at];
        let elems = ready.elems[t.tensor.index()];
        *ms += ready.costs.transition_ms(elems, t.to, t.boundary);
        *count += 1;
        *bytes += t.bytes;
    }
    for (cause, ms, count, bytes) in crossings {
        step(cause, ms, count, bytes, Mix::Both);
    }
    Waterfall {
        from,
        steps,
        to: to.clone(),
    }
}

/// A number that can be sorted by.
#[derive(Clone, Copy, PartialEq)]
struct Total(f64);

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
