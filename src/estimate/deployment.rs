//! Several engines at the same time: what they do to each other's speed.
//!
//! Each engine is a process that runs its frames back to back. On the GPU processes take turns and
//! pay for the switch, as often as the others want it; a DLA engine's reformats wait for their turn; engines on one DLA core queue;
//! all share the DRAM. The rates that follow from these are found by iteration.

use std::sync::Arc;

use serde::Serialize;

use crate::figure::{Band, Figure};
use crate::model::OpId;
use crate::plan::{Buildable, Plan};

use super::cost::paced;
use super::params::ContentionParameters;
use super::{Estimator, Mix};

/// What one engine asks of the board per inference.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// GPU work with reformats, ms.
    pub gpu_ms: f64,
    /// Time its process takes to hand that work to the GPU, as a share of it; 0 where that is not known.
    pub host_share: f64,
    /// DLA work with submission, ms.
    pub dla_ms: f64,
    /// Times it comes to the GPU between DLA subgraphs; 0 for an engine that never leaves it.
    pub visits: f64,
    /// DRAM traffic, bytes.
    pub bytes: f64,
    /// DLA core.
    pub core: u32,
    /// Images per inference.
    pub batch: f64,
    /// DRAM bytes per ms the board saturates at.
    pub dram: f64,
    /// Band of the engine's figures alone.
    pub band: Band,
    /// Calibration behind them.
    pub source: Arc<str>,
}

impl Load {
    /// Time of one inference alone, ms.
    pub fn alone_ms(&self) -> f64 {
        paced(self.gpu_ms, self.host_share) + self.dla_ms
    }

    /// Time of one inference that waits so long for its GPU work, ms: never less than its host takes.
    fn with_gpu_ms(&self, gpu_ms: f64) -> f64 {
        if gpu_ms > 0.0 {
            paced(gpu_ms, self.host_share * self.gpu_ms / gpu_ms)
        } else {
            gpu_ms
        }
    }
}

/// Predicted figures of engines running at the same time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentEstimate {
    /// Images per second of each engine.
    pub fps: Vec<Figure>,
    /// Time of one inference of each engine, ms.
    pub latency_ms: Vec<Figure>,
    /// Images per second of all engines together.
    pub total_fps: Figure,
}

/// Predicted figures of one network cut into stages that work on successive frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PipelineEstimate {
    /// Frames per second: one per time of the slowest stage.
    pub fps: Figure,
    /// From a frame's start to its end, ms, with stages in step.
    pub latency_ms: Figure,
    /// Time of each stage, ms, while the others run.
    pub stage_ms: Vec<Figure>,
}

/// Share of the data sheet's DRAM bandwidth at which everything together saturates: 100 to 105 of
/// 136.5 GB/s on AGX Xavier (PCCS, github.com/processorcentricmodel/PCCS).
const DRAM_SATURATION: f64 = 0.75;

/// Latencies of engines running at the same time, ms.
pub fn contended_ms(loads: &[Load], p: &ContentionParameters) -> Vec<f64> {
    contended(loads, p, None)
}

/// The same with everybody slowed to one common period, ms, if given: stages of a pipeline.
fn contended(loads: &[Load], p: &ContentionParameters, period: Option<f64>) -> Vec<f64> {
    let mut latency: Vec<f64> = loads.iter().map(Load::alone_ms).collect();
    if loads.len() < 2 {
        return latency;
    }
    // Share of its time each engine spends wanting the GPU and its DLA core.
    let share = |part: f64, latency: f64| {
        let cycle = period.map_or(latency, |p| p.max(latency));
        if cycle > 0.0 {
            (part / cycle).min(1.0)
        } else {
            0.0
        }
    };
    // Waiting for a turn between DLA subgraphs keeps nobody else off the GPU.
    let mut gpu: Vec<f64> = loads.iter().map(|l| l.gpu_ms).collect();
    let mut dla: Vec<f64> = loads.iter().map(|l| l.dla_ms).collect();
    for _ in 0..200 {
        let mut next = Vec::with_capacity(loads.len());
        for (i, load) in loads.iter().enumerate() {
            let others = || (0..loads.len()).filter(move |j| *j != i);
            let busy: f64 = others().map(|j| share(gpu[j], latency[j])).sum();
            let on_gpu = others().any(|j| loads[j].gpu_ms > 0.0);
            let queue: f64 = others()
                .filter(|j| loads[*j].core == load.core)
                .map(|j| share(dla[j], latency[j]))
                .sum();
            let traffic: f64 = others()
                .map(|j| {
                    let cycle = period.map_or(latency[j], |p| p.max(latency[j]));
                    loads[j].bytes / cycle.max(1e-9)
                })
                .sum();
            let memory = 1.0 + p.dram_slowdown * traffic / (load.dram * DRAM_SATURATION).max(1.0);
            let (switching, wait) = if on_gpu {
                (
                    1.0 / (1.0 - p.gpu_switch_share * busy.min(1.0)),
                    load.visits * (p.visit_wait_ms + p.busy_wait_ms * busy.min(1.0)),
                )
            } else {
                (1.0, 0.0)
            };
            next.push((
                load.gpu_ms * memory * (1.0 + busy) * switching,
                load.dla_ms * memory * (1.0 + queue),
                wait,
            ));
        }
        let mut change: f64 = 0.0;
        for (i, (g, d, wait)) in next.into_iter().enumerate() {
            gpu[i] = f64::midpoint(gpu[i], g);
            dla[i] = f64::midpoint(dla[i], d);
            let now = loads[i].with_gpu_ms(gpu[i]) + dla[i] + wait;
            change = change.max((now - latency[i]).abs() / now.max(1e-9));
            latency[i] = now;
        }
        if change < 1e-9 {
            break;
        }
    }
    latency
}

/// Predicts engines running at the same time, one process each.
pub fn deployment(loads: &[Load], p: &ContentionParameters, extra: Band) -> DeploymentEstimate {
    let latency = contended_ms(loads, p);
    let figure = |load: &Load, value: f64| {
        Figure::estimated(value, wider(load.band, extra), Arc::clone(&load.source))
    };
    let fps: Vec<f64> = loads
        .iter()
        .zip(&latency)
        .map(|(l, ms)| l.batch * 1000.0 / ms)
        .collect();
    let total = match loads.first() {
        Some(first) => {
            let band =
                loads
                    .iter()
                    .map(|l| wider(l.band, extra))
                    .fold(Band::within(0.0), |a, b| {
                        if b.half_width() > a.half_width() {
                            b
                        } else {
                            a
                        }
                    });
            Figure::estimated(fps.iter().sum(), band, Arc::clone(&first.source))
        }
        None => Figure::none("no engines"),
    };
    DeploymentEstimate {
        fps: loads.iter().zip(&fps).map(|(l, v)| figure(l, *v)).collect(),
        latency_ms: loads
            .iter()
            .zip(&latency)
            .map(|(l, v)| figure(l, *v))
            .collect(),
        total_fps: total,
    }
}

/// Predicts a network cut into stages that work on successive frames.
pub fn pipeline(stages: &[Load], p: &ContentionParameters, extra: Band) -> PipelineEstimate {
    let Some(first) = stages.first() else {
        let none = || Figure::none("no stages");
        return PipelineEstimate {
            fps: none(),
            latency_ms: none(),
            stage_ms: Vec::new(),
        };
    };
    // All stages run at the rate of the slowest.
    let mut period: f64 = stages.iter().map(Load::alone_ms).fold(0.0, f64::max);
    let mut times = contended(stages, p, Some(period));
    for _ in 0..50 {
        let slowest = times.iter().copied().fold(0.0, f64::max);
        if (slowest - period).abs() < 1e-9 * slowest {
            break;
        }
        period = slowest;
        times = contended(stages, p, Some(period));
    }
    let band = stages
        .iter()
        .map(|l| wider(l.band, extra))
        .fold(Band::within(0.0), |a, b| {
            if b.half_width() > a.half_width() {
                b
            } else {
                a
            }
        });
    let figure = |v: f64| Figure::estimated(v, band, Arc::clone(&first.source));
    PipelineEstimate {
        fps: figure(first.batch * 1000.0 / period),
        latency_ms: figure(period * (stages.len() as f64 - 1.0) + times.last().unwrap_or(&period)),
        stage_ms: times.iter().map(|v| figure(*v)).collect(),
    }
}

fn wider(a: Band, b: Band) -> Band {
    Band::both(a.half_width(), b.half_width())
}

impl Estimator<'_, '_> {
    /// What an engine with this plan asks of the board.
    ///
    /// # Errors
    /// There is no cost model for the model, target or plan: the reason.
    pub fn load(&self, plan: &Plan) -> Result<Load, Arc<str>> {
        self.stage_load(plan, &|_| true)
    }

    /// What the ops that `keep` picks ask of the board: one stage of a pipeline. Tensors between
    /// stages count on the side of the DLA subgraph they enter or leave.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn stage_load(&self, plan: &Plan, keep: &dyn Fn(OpId) -> bool) -> Result<Load, Arc<str>> {
        let ready = self.state.as_ref().map_err(Arc::clone)?;
        if let Buildable::No { reasons } = &plan.buildable {
            let why = reasons.first().map_or("", String::as_str);
            return Err(format!("it does not build: {why}").into());
        }
        let (mut gpu_ms, mut dla_ms, mut bytes) = (0.0, 0.0, 0.0);
        for costed in &ready.units {
            let home = |op: OpId| plan.subgraph_of[op.index()];
            let mut ops = costed.unit.ops();
            let first = ops.next().map(home);
            let cut = !ops.all(|op| Some(home(op)) == first) && costed.unit.ops().all(keep);
            if cut {
                ready.cut(self.planner, plan, costed, &mut |at, ms, _| match at {
                    None => gpu_ms += ms,
                    Some(_) => dla_ms += ms,
                });
            }
            for (i, part) in costed.unit.parts.iter().enumerate() {
                let Some(op) = part.ops.first().copied().filter(|op| keep(*op)) else {
                    continue;
                };
                if home(op).is_some() {
                    if !cut {
                        dla_ms += ready.costs.dla_ms(&part.work);
                    }
                    bytes += ready.costs.dla_bytes(&part.work);
                } else {
                    if !cut {
                        gpu_ms += costed.gpu_ms * costed.share(part);
                    }
                    if i == 0 {
                        bytes += ready.costs.gpu_bytes(&[part.work]);
                    }
                }
            }
        }
        let mut visits = 0.0;
        let here = |s: u32| {
            plan.subgraphs[s as usize]
                .ops
                .first()
                .is_some_and(|op| keep(*op))
        };
        for (s, _) in plan.subgraphs.iter().enumerate() {
            if here(s as u32) {
                dla_ms += ready.costs.submit_ms();
                // Once to bring the input, once to fetch the output.
                visits += 2.0;
            }
        }
        for t in plan.transitions.iter().filter(|t| here(t.subgraph)) {
            let elems = ready.elems[t.tensor.index()];
            gpu_ms += ready.costs.transition_ms(elems, t.to, t.boundary);
            bytes += 2.0 * t.bytes as f64;
        }
        let mix = Mix::of(gpu_ms > 0.0, dla_ms > 0.0);
        Ok(Load {
            gpu_ms: gpu_ms / paced(1.0, ready.costs.host_share()),
            host_share: ready.costs.host_share(),
            dla_ms,
            visits,
            bytes,
            core: self.planner.config().dla_core,
            batch: f64::from(self.planner.config().batch),
            dram: ready.costs.dram(),
            band: ready.bands[mix as usize],
            source: Arc::clone(&ready.source),
        })
    }

    /// Predicts engines of this target running at the same time, with this board's contention.
    pub fn deployment(&self, loads: &[Load]) -> DeploymentEstimate {
        match &self.state {
            Ok(ready) => deployment(
                loads,
                &ready.costs.params().contention,
                ready.contention_band,
            ),
            Err(reason) => DeploymentEstimate {
                fps: vec![Figure::none(Arc::clone(reason)); loads.len()],
                latency_ms: vec![Figure::none(Arc::clone(reason)); loads.len()],
                total_fps: Figure::none(Arc::clone(reason)),
            },
        }
    }

    /// Predicts stages of one network working on successive frames.
    pub fn pipeline(&self, stages: &[Load]) -> PipelineEstimate {
        match &self.state {
            Ok(ready) => pipeline(
                stages,
                &ready.costs.params().contention,
                ready.contention_band,
            ),
            Err(reason) => PipelineEstimate {
                fps: Figure::none(Arc::clone(reason)),
                latency_ms: Figure::none(Arc::clone(reason)),
                stage_ms: vec![Figure::none(Arc::clone(reason)); stages.len()],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(gpu_ms: f64, dla_ms: f64, core: u32) -> Load {
        Load {
            gpu_ms,
            host_share: 0.0,
            dla_ms,
            visits: if dla_ms > 0.0 { 2.0 } else { 0.0 },
            bytes: 10e6,
            core,
            batch: 1.0,
            dram: 51.2e6,
            band: Band::within(0.1),
            source: "test".into(),
        }
    }

    fn params() -> ContentionParameters {
        super::super::board::shipped("xavier-nx")
            .parameters
            .contention
    }

    #[test]
    fn alone_is_alone_and_company_only_slows() {
        let p = params();
        let a = load(2.0, 0.0, 0);
        let b = load(0.3, 3.0, 0);
        assert_eq!(contended_ms(std::slice::from_ref(&a), &p), [2.0]);
        let both = contended_ms(&[a.clone(), b.clone()], &p);
        assert!(both[0] > a.alone_ms() && both[1] > b.alone_ms());
        // Two engines on the GPU together do no more than one alone.
        let two = contended_ms(&[a.clone(), a.clone()], &p);
        assert!(two[0] >= 4.0 && (two[0] - two[1]).abs() < 1e-6);
    }

    #[test]
    fn one_dla_core_is_a_queue_and_two_are_not() {
        let p = params();
        let same = contended_ms(&[load(0.1, 3.0, 0), load(0.1, 3.0, 0)], &p);
        let apart = contended_ms(&[load(0.1, 3.0, 0), load(0.1, 3.0, 1)], &p);
        assert!(same[0] > 5.5 && apart[0] < 4.5, "{same:?} {apart:?}");
    }

    #[test]
    fn a_pipeline_runs_at_the_pace_of_its_slowest_stage() {
        let p = params();
        let stages = [load(1.0, 0.0, 0), load(0.1, 2.0, 0)];
        let e = pipeline(&stages, &p, Band::within(0.1));
        let fps = e.fps.value().unwrap();
        let latency = e.latency_ms.value().unwrap();
        let slowest = e
            .stage_ms
            .iter()
            .filter_map(Figure::value)
            .fold(0.0, f64::max);
        assert!((1000.0 / slowest / fps - 1.0).abs() < 1e-6);
        assert!(fps < 1000.0 / 2.1 && fps > 1000.0 / (1.1 + 2.0));
        assert!(latency >= 3.0 && latency < 2.0 * slowest + 1e-9);
    }
}
