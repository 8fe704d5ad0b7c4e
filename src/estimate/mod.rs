//! How fast a plan should be, with an honest error band. Knows nothing of measuring.
//!
//! Physical first, fitted second: [`unit`] says what fuses and what each kernel has to do,
//! [`cost`] what that takes on a board, [`params`] the few numbers no data sheet gives,
//! [`fit`] where those come from.

pub mod board;
mod breakdown;
mod cost;
pub mod deployment;
pub mod fit;
pub mod nvdla;
pub mod params;
pub mod power;
mod table;
mod unit;

use std::sync::Arc;

use serde::Serialize;

use crate::figure::{Band, Figure};
use crate::model::OpId;
use crate::placement::Device;
use crate::plan::{Buildable, Plan, Planner};

use board::{BoardFile, Mix};
use cost::CostModel;
use unit::{Part, Unit, Work};

pub use breakdown::{Bar, Breakdown, Cause, Kernel, Picture, Step, Waterfall, signed_ms};
pub use table::{CostTable, TransitionCost, UnitCost};

/// Predicted figures of one engine running alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Time of one inference, ms.
    pub latency_ms: Figure,
    /// Images per second, back to back on one stream: batch / latency.
    pub fps: Figure,
    /// GPU work of one inference, ms, reformats excluded.
    pub gpu_ms: Figure,
    /// DLA work of one inference, ms, submission included.
    pub dla_ms: Figure,
    /// Transitions and reformats of one inference, ms.
    pub transition_ms: Figure,
    /// DLA time per subgraph, ms, in the plan's order.
    pub subgraph_ms: Vec<Figure>,
    /// Cost per transition, ms, in the plan's order.
    pub per_transition_ms: Vec<f64>,
}

impl Estimate {
    /// Cost of a transition by its number in the plan, ms, with the band and the source of all.
    pub fn transition_figure(&self, at: usize) -> Figure {
        match (&self.transition_ms, self.per_transition_ms.get(at)) {
            (Figure::Estimated(all), Some(ms)) => {
                Figure::estimated(*ms, all.band, Arc::clone(&all.source))
            }
            (Figure::None { reason }, _) => Figure::none(Arc::clone(reason)),
            (Figure::Measured(_) | Figure::Estimated(_), _) => {
                Figure::none("transitions are not measured one by one")
            }
        }
    }
}

/// A unit on one device or the other, worked out once.
#[derive(Debug)]
struct Costed {
    unit: Unit,
    gpu_ms: f64,
    dla_ms: f64,
}

/// What evaluating a plan reads of each unit, apart from the rest so that it stays in the cache.
#[derive(Clone, Copy, Debug)]
struct Hot {
    gpu_ms: f64,
    dla_ms: f64,
    /// One past its last op in [`Ready::ops`].
    end: u32,
}

impl Costed {
    /// One part's share of a kernel of merged convolutions, by its work.
    fn share(&self, part: &Part) -> f64 {
        let all: f64 = self.unit.parts.iter().map(|p| p.work.macs).sum();
        if self.unit.parts.len() > 1 && all > 0.0 {
            part.work.macs / all
        } else {
            1.0
        }
    }
}

/// Everything about the cost of a planner's model on its target that no placement changes.
#[derive(Debug)]
pub struct Estimator<'p, 'm> {
    planner: &'p Planner<'m>,
    state: Result<Ready, Arc<str>>,
}

#[derive(Debug)]
struct Ready {
    costs: CostModel,
    units: Vec<Costed>,
    hot: Vec<Hot>,
    /// Ops of all units in a row.
    ops: Vec<u32>,
    unit_of: Vec<u32>,
    /// Elements per tensor at the engine's batch.
    elems: Vec<f64>,
    scale: f64,
    bands: [Band; 3],
    contention_band: Band,
    source: Arc<str>,
    /// [`Self::source`] for a plan that got none of the DLA it asked for.
    refused_source: Arc<str>,
}

impl<'p, 'm> Estimator<'p, 'm> {
    /// Costs every op on both devices, with the board's shipped calibration.
    pub fn new(planner: &'p Planner<'m>) -> Self {
        Self::with_board(planner, &board::shipped(planner.target().board.id))
    }

    /// The same with another calibration: one refitted to the user's own runs, which
    /// [`crate::history::estimator`] finds.
    pub fn with_board(planner: &'p Planner<'m>, board: &BoardFile) -> Self {
        Self {
            planner,
            state: Ready::new(planner, board).map_err(Arc::from),
        }
    }

    /// The planner it was made for.
    pub fn planner(&self) -> &'p Planner<'m> {
        self.planner
    }

    /// Predicts a plan of the same planner. Linear in the plan.
    pub fn estimate(&self, plan: &Plan) -> Estimate {
        let none = |reason: &Arc<str>| Estimate {
            latency_ms: Figure::none(Arc::clone(reason)),
            fps: Figure::none(Arc::clone(reason)),
            gpu_ms: Figure::none(Arc::clone(reason)),
            dla_ms: Figure::none(Arc::clone(reason)),
            transition_ms: Figure::none(Arc::clone(reason)),
            subgraph_ms: vec![Figure::none(Arc::clone(reason)); plan.subgraphs.len()],
            per_transition_ms: vec![0.0; plan.transitions.len()],
        };
        let ready = match &self.state {
            Ok(ready) => ready,
            Err(reason) => return none(reason),
        };
        if let Buildable::No { reasons } = &plan.buildable {
            let why = reasons.first().map_or("", String::as_str);
            return none(&format!("it does not build: {why}").into());
        }
        let (times, per_transition_ms) = ready.times(self.planner, plan);
        let mix = Mix::of(times.gpu > 0.0, !plan.subgraphs.is_empty());
        let band = ready.bands[mix as usize];
        // A request that got none of the DLA must not pass for a figure of the DLA.
        let source = if plan.subgraphs.is_empty() && !plan.fallbacks.is_empty() {
            &ready.refused_source
        } else {
            &ready.source
        };
        let figure = |value: f64| Figure::estimated(value, band, Arc::clone(source));
        let latency = times.latency();
        let batch = f64::from(self.planner.config().batch);
        Estimate {
            latency_ms: figure(latency),
            fps: if latency > 0.0 {
                figure(batch * 1000.0 / latency)
            } else {
                Figure::none("the model has no work")
            },
            gpu_ms: figure(times.gpu),
            dla_ms: figure(times.subgraphs.iter().sum()),
            transition_ms: figure(times.transition),
            subgraph_ms: times.subgraphs.iter().map(|ms| figure(*ms)).collect(),
            per_transition_ms,
        }
    }

    /// Time of one op alone on a device, ms, at the engine's batch and precision, its share of a
    /// fused kernel where it fuses. For the DLA even where the rules refuse it: no estimate.
    pub fn op_ms(&self, op: OpId, device: Device) -> Figure {
        let ready = match &self.state {
            Ok(ready) => ready,
            Err(reason) => return Figure::none(Arc::clone(reason)),
        };
        if device == Device::Dla && !self.planner.may_run_on_dla(op) {
            return Figure::none("the DLA does not take this op");
        }
        if self.planner.model().op(op).cost.is_none() {
            return Figure::none("only the data tell its size");
        }
        let costed = &ready.units[ready.unit_of[op.index()] as usize];
        let Some(part) = costed.unit.parts.iter().find(|p| p.ops.contains(&op)) else {
            return Figure::none("the op belongs to no kernel");
        };
        let (mix, unit_ms) = match device {
            Device::Gpu => (Mix::Gpu, costed.gpu_ms * costed.share(part)),
            Device::Dla => (Mix::Dla, ready.costs.dla_ms(&part.work)),
        };
        // A fused op costs what the kernel would save without it; the main op bears the rest.
        let model = self.planner.model();
        let marginal = |op: OpId| -> f64 {
            let rest: Vec<OpId> = part.ops.iter().copied().filter(|o| *o != op).collect();
            let without =
                unit::work_of(model, &rest, ready.scale).map_or(unit_ms, |w| match device {
                    Device::Gpu => ready.costs.gpu_ms(&[w]),
                    Device::Dla => ready.costs.dla_ms(&w),
                });
            let with = match device {
                Device::Gpu => ready.costs.gpu_ms(&[part.work]),
                Device::Dla => unit_ms,
            };
            (with - without).clamp(0.0, unit_ms)
        };
        let ms = if part.ops.first() == Some(&op) {
            let fused: f64 = part.ops[1..].iter().map(|o| marginal(*o)).sum();
            (unit_ms - fused).max(0.0)
        } else {
            marginal(op)
        };
        Figure::estimated(ms, ready.bands[mix as usize], Arc::clone(&ready.source))
    }
}

/// Takes a kernel's DLA subgraph, its ms and its ops.
type Spend<'a> = dyn FnMut(Option<u32>, f64, &[OpId]) + 'a;

/// Times of one inference, ms.
#[derive(Clone, Debug, Default, PartialEq)]
struct Times {
    gpu: f64,
    transition: f64,
    /// Per subgraph, submission included.
    subgraphs: Vec<f64>,
}

impl Times {
    fn latency(&self) -> f64 {
        self.gpu + self.transition + self.subgraphs.iter().sum::<f64>()
    }
}

impl Ready {
    fn new(planner: &Planner<'_>, board: &BoardFile) -> Result<Self, String> {
        let model = planner.model();
        let config = planner.config();
        if let Some(input) = model.unresolved_inputs().next() {
            return Err(format!(
                "input {:?} has no fixed dims",
                model.tensor(input.tensor).name
            ));
        }
        if let Some(why) = planner.parser_refusals().first() {
            return Err(format!("it does not build: {why}"));
        }
        let mut costs = CostModel::new(planner.target(), config, board.parameters.clone())?;
        let mut units: Vec<Costed> = Vec::new();
        let (mut all_on_gpu, mut kernels) = (0.0, 0.0);
        let mut largest = (0.0, None);
        for unit in unit::units(model, config.batch).map_err(|e| e.0)? {
            let works: Vec<Work> = unit.parts.iter().map(|p| p.work).collect();
            let gb = costs.gpu_bytes(&works) / f64::from(1 << 30);
            if gb >= largest.0 {
                largest = (gb, unit.ops().next());
            }
            let gpu_ms = costs.gpu_ms(&works);
            all_on_gpu += gpu_ms;
            kernels += costs.kernels(&works);
            units.push(Costed {
                gpu_ms,
                dla_ms: works.iter().map(|w| costs.dla_ms(w)).sum(),
                unit,
            });
        }
        costs = costs.beside_host(all_on_gpu, kernels);
        for costed in &mut units {
            let works: Vec<Work> = costed.unit.parts.iter().map(|p| p.work).collect();
            costed.gpu_ms = costs.gpu_ms(&works);
        }
        let sold = planner.target().board;
        if let (gb, Some(op)) = largest
            && gb > f64::from(sold.memory_gb)
        {
            return Err(format!(
                "{:?} alone reads and writes {gb:.1} GB, and a {} has {} GB at most",
                model.op(op).name,
                sold.name,
                sold.memory_gb
            ));
        }
        let mut unit_of = vec![0; model.ops.len()];
        let mut ops = Vec::with_capacity(model.ops.len());
        let mut hot = Vec::with_capacity(units.len());
        for (i, costed) in units.iter().enumerate() {
            for op in costed.unit.ops() {
                unit_of[op.index()] = i as u32;
                ops.push(op.0);
            }
            hot.push(Hot {
                gpu_ms: costed.gpu_ms,
                dla_ms: costed.dla_ms,
                end: ops.len() as u32,
            });
        }
        let scale = unit::scale(model, config.batch);
        let unpriced = unit::data_dependent(model);
        let version = planner.target().tensorrt;
        let partly_known = version.not_modelled().is_some() && sold.dla.is_some();
        let basis = if partly_known {
            format!(
                "as for TensorRT 8.5, with the board's widest band: the measurements do not tell \
                 TensorRT {version} apart; {}",
                board.source
            )
        } else {
            board.source.clone()
        };
        let source = match unpriced.first() {
            None => basis,
            Some(op) => format!(
                "without the time of {} ops whose sizes only the data tell ({} {:?}); {}",
                unpriced.len(),
                model.op(*op).op_type,
                model.op(*op).name,
                basis
            ),
        };
        Ok(Self {
            elems: model
                .tensors
                .iter()
                .map(|t| t.elements().unwrap_or(0) as f64 * scale)
                .collect(),
            bands: [Mix::Gpu, Mix::Dla, Mix::Both].map(|mix| {
                let band = board.band(config.precision, mix, &model.source.structure_hash);
                let widest = board.widest_band(mix);
                if partly_known && widest.half_width() > band.half_width() {
                    widest
                } else {
                    band
                }
            }),
            contention_band: Band::within(board.contention_band),
            refused_source: format!(
                "time of the GPU alone, because the DLA takes none of the ops asked for; {source}"
            )
            .into(),
            source: source.into(),
            costs,
            units,
            hot,
            ops,
            unit_of,
            scale,
        })
    }

    fn times(&self, planner: &Planner<'_>, plan: &Plan) -> (Times, Vec<f64>) {
        let mut times = Times {
            subgraphs: vec![self.costs.submit_ms(); plan.subgraphs.len()],
            ..Times::default()
        };
        let mut begin = 0;
        for (i, hot) in self.hot.iter().enumerate() {
            let ops = &self.ops[begin..hot.end as usize];
            begin = hot.end as usize;
            let home = plan.subgraph_of[ops[0] as usize];
            if ops[1..]
                .iter()
                .all(|op| plan.subgraph_of[*op as usize] == home)
            {
                match home {
                    None => times.gpu += hot.gpu_ms,
                    Some(s) => times.subgraphs[s as usize] += hot.dla_ms,
                }
            } else {
                self.cut(
                    planner,
                    plan,
                    &self.units[i],
                    &mut |home, ms, _| match home {
                        None => times.gpu += ms,
                        Some(s) => times.subgraphs[s as usize] += ms,
                    },
                );
            }
        }
        let per_transition: Vec<f64> = plan
            .transitions
            .iter()
            .map(|t| {
                self.costs
                    .transition_ms(self.elems[t.tensor.index()], t.to, t.boundary)
            })
            .collect();
        times.transition = per_transition.iter().sum();
        (times, per_transition)
    }

    /// A unit whose ops the placement separates: each side runs what it has as its own kernel.
    fn cut(&self, planner: &Planner<'_>, plan: &Plan, costed: &Costed, spend: &mut Spend<'_>) {
        let model = planner.model();
        let mut whole_on_gpu: (Vec<Work>, Vec<OpId>) = Default::default();
        for part in &costed.unit.parts {
            let home = |op: &OpId| plan.subgraph_of[op.index()];
            let first = part.ops.first().and_then(home);
            if part.ops.iter().all(|op| home(op) == first) {
                match first {
                    None => {
                        whole_on_gpu.0.push(part.work);
                        whole_on_gpu.1.extend(&part.ops);
                    }
                    Some(_) => spend(first, self.costs.dla_ms(&part.work), &part.ops),
                }
                continue;
            }
            // Runs of ops that stay together, in execution order.
            for ops in part.ops.chunk_by(|a, b| home(a) == home(b)) {
                if let Ok(work) = unit::work_of(model, ops, self.scale) {
                    let at = home(&ops[0]);
                    let ms = match at {
                        None => self.costs.gpu_ms(&[work]),
                        Some(_) => self.costs.dla_ms(&work),
                    };
                    spend(at, ms, ops);
                }
            }
        }
        let (works, ops) = whole_on_gpu;
        if !works.is_empty() {
            spend(None, self.costs.gpu_ms(&works), &ops);
        }
    }
}
