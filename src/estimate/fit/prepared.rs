//! The work behind a measurement, and what the cost models say of it.

use std::collections::BTreeMap;

use petgraph::unionfind::UnionFind;

use crate::model::{Model, OpId};
use crate::placement::{Device, EngineConfig, Placement};
use crate::plan::Planner;
use crate::platform::Target;

use crate::estimate::cost::{CostModel, paced};
use crate::estimate::params::Parameters;
use crate::estimate::unit::{Work, units, work_of};

/// The work behind a measurement, free of parameters: fitting evaluates it thousands of times.
#[derive(Clone, Debug)]
pub struct Prepared {
    target: Target,
    config: EngineConfig,
    dla_scale: f64,
    /// Layer profiles leave out the gaps between kernels.
    profile: bool,
    gpu: Vec<Vec<Work>>,
    dla: Vec<Work>,
    transitions: Vec<(f64, Device, bool)>,
    subgraphs: f64,
    /// Measured time of one inference (or part), ms.
    pub measured_ms: f64,
}

impl Prepared {
    fn nothing(target: Target, config: EngineConfig, measured_ms: f64) -> Self {
        Self {
            target,
            dla_scale: 1.0,
            config,
            profile: false,
            gpu: Vec::new(),
            dla: Vec::new(),
            transitions: Vec::new(),
            subgraphs: 0.0,
            measured_ms,
        }
    }

    /// The work of a whole engine.
    ///
    /// # Errors
    /// The placement does not fit the model, or an op has no cost model.
    pub fn engine(
        model: &Model,
        target: Target,
        config: &EngineConfig,
        placement: &Placement,
        measured_ms: f64,
    ) -> Result<Self, String> {
        let mut prepared = Self::nothing(target, config.clone(), measured_ms);
        prepared.add_engine(model, placement)?;
        Ok(prepared)
    }

    /// The DLA subgraphs of the same engine alone, submission included.
    #[must_use]
    pub fn subgraphs(&self, measured_ms: f64) -> Self {
        Self {
            gpu: Vec::new(),
            transitions: Vec::new(),
            measured_ms,
            ..self.clone()
        }
    }

    /// GPU kernels whose main op is chosen, as a layer profile shows them.
    ///
    /// # Errors
    /// An op has no cost model, or nothing is chosen.
    pub fn kernels(
        model: &Model,
        target: Target,
        config: &EngineConfig,
        chosen: &dyn Fn(OpId) -> bool,
        measured_ms: f64,
    ) -> Result<Self, String> {
        let prepared = Self::chosen(model, target, config, Device::Gpu, chosen, measured_ms)?;
        Ok(prepared.as_profile())
    }

    /// The kernels of a layer profile, one entry each with the number of its rows. Kernels that a
    /// row of the profile joins are one entry.
    pub fn rows(
        model: &Model,
        target: Target,
        config: &EngineConfig,
        rows: &[(Vec<OpId>, f64)],
    ) -> Vec<(Self, f64)> {
        let Ok(units) = units(model, config.batch) else {
            return Vec::new();
        };
        let mut unit_of = vec![0; model.ops.len()];
        for (i, unit) in units.iter().enumerate() {
            for op in unit.ops() {
                unit_of[op.index()] = i;
            }
        }
        let mut joined = UnionFind::<usize>::new(units.len());
        let of_row = |ops: &[OpId]| -> Vec<usize> {
            let known = ops.iter().filter_map(|op| unit_of.get(op.index()));
            known.copied().collect()
        };
        for (ops, _) in rows {
            for pair in of_row(ops).windows(2) {
                joined.union(pair[0], pair[1]);
            }
        }
        let mut entries: BTreeMap<usize, (Self, f64)> = BTreeMap::new();
        for (ops, ms) in rows {
            let Some(unit) = of_row(ops).first().copied() else {
                continue;
            };
            let nothing = || (Self::nothing(target, config.clone(), 0.0).as_profile(), 0.0);
            let entry = entries.entry(joined.find(unit)).or_insert_with(nothing);
            entry.0.measured_ms += ms;
            entry.1 += 1.0;
        }
        for (i, unit) in units.iter().enumerate() {
            if let Some((entry, _)) = entries.get_mut(&joined.find(i)) {
                entry.gpu.push(unit.parts.iter().map(|p| p.work).collect());
            }
        }
        entries.into_values().collect()
    }

    /// The layers whose main op is chosen, on one device, without submission.
    ///
    /// # Errors
    /// An op has no cost model, or nothing is chosen.
    pub fn chosen(
        model: &Model,
        target: Target,
        config: &EngineConfig,
        device: Device,
        chosen: &dyn Fn(OpId) -> bool,
        measured_ms: f64,
    ) -> Result<Self, String> {
        let mut prepared = Self::nothing(target, config.clone(), measured_ms);
        prepared.add_chosen(model, device, chosen)?;
        Ok(prepared)
    }

    /// One tensor's way into or out of a DLA subgraph.
    pub fn transition(
        target: Target,
        config: &EngineConfig,
        elements: f64,
        to: Device,
        boundary: bool,
        measured_ms: f64,
    ) -> Self {
        let mut prepared = Self::nothing(target, config.clone(), measured_ms);
        prepared.transitions.push((elements, to, boundary));
        prepared
    }

    /// The same as a layer profile shows it: without the gaps between kernels.
    #[must_use]
    pub fn as_profile(self) -> Self {
        Self {
            profile: true,
            ..self
        }
    }

    /// The same as one DLA subgraph, submission included.
    #[must_use]
    pub fn as_subgraph(self) -> Self {
        Self {
            subgraphs: 1.0,
            ..self
        }
    }

    /// The same with small tensors reformatted this many times more than its plan says.
    #[must_use]
    pub fn with_reformats(mut self, times: u32) -> Self {
        let small = (0.0, Device::Gpu, false);
        self.transitions.extend((0..times).map(|_| small));
        self
    }

    /// The same at another DLA clock, MHz.
    #[must_use]
    pub fn at_dla_clock(self, mhz: f64) -> Self {
        Self {
            dla_scale: mhz / self.target.mode.dla_mhz,
            ..self
        }
    }

    fn add_engine(&mut self, model: &Model, placement: &Placement) -> Result<(), String> {
        let planner = Planner::new(model, &self.target, &self.config);
        let plan = planner
            .plan_placement(placement)
            .map_err(|e| e.to_string())?;
        let scale = f64::from(self.config.batch) / model.batch().unwrap_or(1).max(1) as f64;
        for unit in units(model, self.config.batch).map_err(|e| e.0)? {
            let mut gpu = Vec::new();
            for part in &unit.parts {
                let home = |op: &OpId| plan.subgraph_of[op.index()];
                let first = part.ops.first().and_then(home);
                if part.ops.iter().any(|op| home(op) != first) {
                    // Rows name whole modules, so kernels stay whole but for rule refusals; the
                    // estimator has the exact rule.
                    for ops in part.ops.chunk_by(|a, b| home(a) == home(b)) {
                        let work = work_of(model, ops, scale).map_err(|e| e.0)?;
                        match home(&ops[0]) {
                            None => self.gpu.push(vec![work]),
                            Some(_) => self.dla.push(work),
                        }
                    }
                } else if first.is_some() {
                    self.dla.push(part.work);
                } else {
                    gpu.push(part.work);
                }
            }
            if !gpu.is_empty() {
                self.gpu.push(gpu);
            }
        }
        self.transitions = plan
            .transitions
            .iter()
            .map(|t| {
                let elems = model.tensor(t.tensor).elements().unwrap_or(0) as f64 * scale;
                (elems, t.to, t.boundary)
            })
            .collect();
        self.subgraphs = plan.subgraphs.len() as f64;
        Ok(())
    }

    fn add_chosen(
        &mut self,
        model: &Model,
        device: Device,
        chosen: &dyn Fn(OpId) -> bool,
    ) -> Result<(), String> {
        for unit in units(model, self.config.batch).map_err(|e| e.0)? {
            let works: Vec<Work> = unit
                .parts
                .iter()
                .filter(|p| p.ops.first().is_some_and(|op| chosen(*op)))
                .map(|p| p.work)
                .collect();
            match device {
                Device::Gpu if !works.is_empty() => self.gpu.push(works),
                Device::Gpu => {}
                Device::Dla => self.dla.extend(works),
            }
        }
        if self.gpu.is_empty() && self.dla.is_empty() {
            return Err("the network has none of these".to_owned());
        }
        Ok(())
    }

    /// What the cost models say, ms.
    pub fn predict(&self, params: &Parameters) -> f64 {
        let costs = self.costs(params);
        costs.map_or(f64::NAN, |costs| self.under(&costs))
    }

    /// The cost models under some parameters; `None` where there are none for this target. Every part of one
    /// engine has the same.
    pub(crate) fn costs(&self, params: &Parameters) -> Option<CostModel> {
        let costs = CostModel::new(&self.target, &self.config, params.clone()).ok()?;
        Some(costs.with_dla_clock(self.dla_scale))
    }

    /// What these say, ms.
    pub(crate) fn under(&self, costs: &CostModel) -> f64 {
        let sum = |ms: &dyn Fn(&[Work]) -> f64| self.gpu.iter().map(|works| ms(works)).sum::<f64>();
        let gpu = if self.profile {
            sum(&|works| costs.kernel_ms(works))
        } else {
            let gpu_ms = sum(&|works| costs.gpu_ms(works));
            paced(
                gpu_ms,
                costs.host_share_of(gpu_ms, sum(&|works| costs.kernels(works))),
            )
        };
        let dla: f64 = self.dla.iter().map(|w| costs.dla_ms(w)).sum();
        let moves: f64 = self
            .transitions
            .iter()
            .map(|(elems, to, boundary)| costs.transition_ms(*elems, *to, *boundary))
            .sum();
        gpu + dla + moves + self.subgraphs * costs.submit_ms()
    }

    /// Whether it uses the GPU's and the DLA's cost models.
    pub fn devices(&self) -> (bool, bool) {
        (
            !self.gpu.is_empty(),
            !self.dla.is_empty() || !self.transitions.is_empty(),
        )
    }
}
