//! Refitting a board to the user's own runs: a few factors on the shipped parameters.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Model, OpId};
use crate::placement::{EngineConfig, Placement};
use crate::platform::Target;

use crate::estimate::board::{BoardFile, HeldOut, Mix};
use crate::estimate::fit::prepared::Prepared;
use crate::estimate::fit::solve;
use crate::estimate::fit::solve::{SIGMA, STEPS};
use crate::estimate::params::{GpuParameters, Parameters, Spec};

/// One measured engine of the user's.
#[derive(Clone, Debug)]
pub struct OwnRun<'m> {
    /// The model.
    pub model: &'m Model,
    /// Where it ran.
    pub target: Target,
    /// How it was built.
    pub config: EngineConfig,
    /// The placement.
    pub placement: Placement,
    /// Images per second, alone.
    pub fps: f64,
    /// Profiled GPU kernels: their ops and their time, ms. Empty without a profile.
    pub gpu_ms: Vec<(Vec<OpId>, f64)>,
    /// Profiled reformats and copies of an engine without DLA subgraphs: the ops they serve and their time,
    /// ms. A copy serves the concatenations that read it.
    pub reformat_ms: Vec<(Vec<OpId>, f64)>,
    /// Profiled DLA subgraphs: their ops and their time, submission included, ms. DLA time has no
    /// finer split.
    pub dla_ms: Vec<(Vec<OpId>, f64)>,
}

/// Why a refit was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefitError {
    /// Too few runs.
    #[error(
        "{have} different engines of {board} that estimates cover; at least 3 are needed for a \
         factor: profile more models or placements"
    )]
    TooFew {
        /// Board id.
        board: String,
        /// Usable engines.
        have: usize,
    },
}

/// Engines needed per fitted factor, and held-out engines a band stands on.
const RUNS_PER_FACTOR: usize = 3;
/// No band is narrower than this.
const LEAST_BAND: f64 = 0.04;
/// Share of held-out engines inside their band.
const INSIDE: f64 = 0.9;
/// A profile's sums weigh this much beside the engine's own time, which they are part of.
const PROFILE_WEIGHT: f64 = 0.5;

/// An engine with the work behind its figures.
struct Case {
    /// [`crate::model::Source::structure_hash`].
    model: String,
    precision: &'static str,
    int8: bool,
    mix: Mix,
    engine: Prepared,
    /// Sums of its profile by device.
    parts: Vec<Prepared>,
    /// The GPU kernels of its profile, each with the number of its rows.
    kernels: Vec<(Prepared, f64)>,
}

impl Case {
    fn new(runs: &[&OwnRun<'_>]) -> Option<Self> {
        let run = *runs.first()?;
        let mut fps: Vec<f64> = runs.iter().map(|r| r.fps).collect();
        fps.sort_by(f64::total_cmp);
        let measured_ms = 1000.0 * f64::from(run.config.batch) / fps.get(fps.len() / 2)?;
        let (model, config) = (run.model, &run.config);
        let engine =
            Prepared::engine(model, run.target, config, &run.placement, measured_ms).ok()?;
        if !engine.predict(&Parameters::default()).is_finite() {
            return None;
        }
        let (gpu, dla) = engine.devices();
        let mut parts = Vec::new();
        let mut kernels = Vec::new();
        // Repeats of an engine differ less than its profiled and unprofiled runs do.
        if let Some(r) = runs.iter().find(|r| !r.gpu_ms.is_empty()) {
            let ms = r.gpu_ms.iter().map(|(_, ms)| ms).sum();
            let chosen = |op: OpId| r.gpu_ms.iter().any(|(ops, _)| ops.contains(&op));
            parts.extend(Prepared::kernels(model, run.target, config, &chosen, ms));
            let rows = [r.gpu_ms.clone(), r.reformat_ms.clone()].concat();
            kernels = Prepared::rows(model, run.target, config, &rows);
            kernels.retain(|(p, _)| p.measured_ms > 0.0);
        }
        if let Some(r) = runs.iter().find(|r| !r.dla_ms.is_empty()) {
            parts.push(engine.subgraphs(r.dla_ms.iter().map(|(_, ms)| ms).sum()));
        }
        parts.retain(|p| p.measured_ms > 0.0);
        Some(Self {
            model: model.source.structure_hash.clone(),
            precision: config.precision.as_str(),
            int8: config.precision.int8,
            mix: Mix::of(gpu, dla),
            engine,
            parts,
            kernels,
        })
    }

    /// Relative error in time.
    fn error(&self, params: &Parameters) -> f64 {
        self.engine.predict(params) / self.engine.measured_ms - 1.0
    }
}

/// Repeats of one engine are one case.
fn cases(board: &str, runs: &[OwnRun<'_>]) -> Vec<Case> {
    let mut engines: Vec<Vec<&OwnRun<'_>>> = Vec::new();
    for run in runs {
        if run.target.board.id != board || run.fps <= 0.0 || !run.fps.is_finite() {
            continue;
        }
        let same = |r: &OwnRun<'_>| {
            r.model.source.structure_hash == run.model.source.structure_hash
                && r.target == run.target
                && r.config == run.config
                && r.placement == run.placement
        };
        match engines
            .iter_mut()
            .find(|e| e.first().is_some_and(|r| same(r)))
        {
            Some(engine) => engine.push(run),
            None => engines.push(vec![run]),
        }
    }
    engines.iter().filter_map(|e| Case::new(e)).collect()
}

/// Parameters fitted to some cases.
type Fit<'f> = dyn Fn(&[&Case]) -> Parameters + 'f;

/// Scales a board's parameters so that estimates meet its measured runs: one factor for all it
/// measured from 3 different engines on, GPU and DLA apart from 6, transitions apart from 9;
/// without a run on the DLA its figures stay as shipped. With the profiles of several models, as a
/// survey gives them, every parameter of the GPU is fitted to their kernels.
///
/// Bands become what runs left out of the fit were off by, for the precisions and devices that
/// were measured: of a model with 3 engines or more, by leaving out one engine at a time; of other
/// models, by leaving out one model at a time.
///
/// # Errors
/// Fewer than three usable engines.
pub fn refit(file: &BoardFile, runs: &[OwnRun<'_>]) -> Result<BoardFile, RefitError> {
    let cases = cases(&file.board, runs);
    if cases.len() < RUNS_PER_FACTOR {
        return Err(RefitError::TooFew {
            board: file.board.clone(),
            have: cases.len(),
        });
    }
    let all: Vec<&Case> = cases.iter().collect();
    let whole = Whole::of(file, &all);
    let factors = Factors::free(&all);
    let mut out = file.clone();
    let fit: Box<Fit<'_>> = if let Some(whole) = &whole {
        let found = whole.fit(&all, None);
        out.parameters = whole.parameters(&found, &all);
        let kernels: usize = cases.iter().map(|c| c.kernels.len()).sum();
        out.source = format!(
            "physical model fitted to {} own engines with {kernels} kernels",
            cases.len()
        );
        Box::new(move |rest| whole.parameters(&whole.fit(rest, Some(&found)), rest))
    } else {
        let found = factors.fit(&file.parameters, &all, &factors.none());
        out.parameters = factors.apply(&file.parameters, &found);
        out.source = format!(
            "physical model scaled to {} own engine{} ({} factor{})",
            cases.len(),
            if cases.len() == 1 { "" } else { "s" },
            found.len(),
            if found.len() == 1 { "" } else { "s" }
        );
        Box::new(move |rest| {
            factors.apply(
                &file.parameters,
                &factors.fit(&file.parameters, rest, &found),
            )
        })
    };
    // Errors of cases that the fit did not see; cases that are left out together share a fit.
    let held_out = |group: &dyn Fn(&Case) -> usize| -> Vec<Option<f64>> {
        let mut fits: BTreeMap<usize, Option<Parameters>> = BTreeMap::new();
        cases
            .iter()
            .map(|case| {
                let own = group(case);
                let without = fits.entry(own).or_insert_with(|| {
                    let rest = cases.iter().filter(|c| group(c) != own);
                    let rest: Vec<&Case> = rest.collect();
                    (!rest.is_empty()).then(|| fit(&rest))
                });
                without.as_ref().map(|p| case.error(p).abs())
            })
            .collect()
    };
    let place = |case: &Case, same: &dyn Fn(&Case) -> bool| {
        let first = cases.iter().position(|c| same(c) || std::ptr::eq(c, case));
        first.unwrap_or(0)
    };
    let model = held_out(&|case| place(case, &|c| c.model == case.model));
    // Fitted kernel by kernel, an engine says nothing of its own that its model's others do not.
    let one = if whole.is_some() {
        vec![None; cases.len()]
    } else {
        held_out(&|case| place(case, &|_| false))
    };
    for case in &cases {
        for (errors, of, what) in [
            (&model, None, "each model left out in turn"),
            (&one, Some(&case.model), "each left out in turn"),
        ] {
            let seen: Vec<(&Case, f64)> = cases
                .iter()
                .zip(errors)
                .filter(|(c, _)| c.precision == case.precision)
                .filter(|(c, _)| of.is_none_or(|m| c.model == *m))
                .filter_map(|(c, e)| Some((c, (*e)?)))
                .collect();
            if seen.len() < RUNS_PER_FACTOR {
                continue;
            }
            let mut errors: Vec<f64> = seen.iter().map(|(_, e)| *e).collect();
            errors.sort_by(f64::total_cmp);
            // Of few, all are inside; of many, nine of ten, and one more: the next engine is to be inside
            // too.
            let inside = ((errors.len() + 1) as f64 * INSIDE).ceil() as usize;
            let worst = errors
                .get(inside.min(errors.len()).saturating_sub(1))
                .copied();
            let few = whole.is_some() && seen.len() < MANY;
            let wider = if few { WIDER_OF_FEW } else { 1.0 };
            let worst = wider * worst.unwrap_or_default().max(LEAST_BAND);
            let whose = if of.is_some() { " of this model" } else { "" };
            let entry = HeldOut {
                precision: case.precision.to_owned(),
                mix: case.mix,
                model: of.cloned(),
                band: (worst * 100.0).ceil() / 100.0,
                rows: seen.len() as u32,
                basis: format!("{} own engines{whose}, {what}", seen.len()),
            };
            out.bands.retain(|b| {
                (&b.precision, b.mix, &b.model) != (&entry.precision, entry.mix, &entry.model)
            });
            out.bands.push(entry);
        }
    }
    Ok(out)
}

/// Different models from whose kernels every parameter of the GPU is fitted.
const MODELS_FOR_WHOLE: usize = 4;
/// Kernels per parameter.
const KERNELS_PER_PARAMETER: usize = 5;
/// All kernels of an engine together weigh this much beside its own time.
const KERNELS_WEIGHT: f64 = 1.5;
/// Small networks say too little of real ones where they are fewer than this.
const MANY: usize = 20;
/// How much wider the band is then: real networks went beyond what 18 engines of two surveys were off by.
const WIDER_OF_FEW: f64 = 1.25;
/// Steps of a fit that starts at that of a few engines more.
const NEARBY: usize = 8;
/// An engine's own time weighs this much: it is what is asked for.
const ENGINE_WEIGHT: f64 = 4.0;

/// What a layer profile adds to each of its rows, us: its events take time that no inference has.
const PROFILE_US: Spec = Spec {
    name: "profile_us",
    prior: 2.0,
    spread: 1.0,
    min: 0.01,
    max: 20.0,
};

/// What is expected of the parameters that shipped boards do without: a survey tells them.
const SURVEYED: [Spec; 6] = [
    Spec {
        name: "split_gain",
        prior: 0.1,
        spread: 1.0,
        min: 0.001,
        max: 0.7,
    },
    Spec {
        name: "wave_cycles",
        prior: 150.0,
        spread: 1.0,
        min: 1.0,
        max: 5000.0,
    },
    Spec {
        name: "window_cycles",
        prior: 400.0,
        spread: 0.7,
        min: 1.0,
        max: 5000.0,
    },
    Spec {
        name: "gate_share",
        prior: 0.3,
        spread: 1.0,
        min: 0.01,
        max: 1.5,
    },
    Spec {
        name: "image_passes",
        prior: 3.0,
        spread: 0.4,
        min: 0.1,
        max: 15.0,
    },
    Spec {
        name: "host_us",
        prior: 4.0,
        spread: 0.7,
        min: 0.1,
        max: 50.0,
    },
];

/// How much wider the expected spread of gaps is on hardware that nobody measured: those of another GPU
/// and host say next to nothing of these.
const GAPS_LOOSER: f64 = 8.0;
/// The same of depthwise convolutions, which go with the kernels that TensorRT has for a GPU.
const DEPTHWISE_LOOSER: f64 = 4.0;

/// Fixed cycles of kernels that go with those of a convolution on hardware that nobody measured: starting
/// and draining a kernel takes the same for all, and a survey may have seen one kind at one size only.
const FIXED: [&str; 3] = ["stream_cycles", "copy_cycles", "depthwise_cycles"];

/// Expected spread of their ratios around those of shipped boards.
const FIXED_RATIO: f64 = 0.2;

/// Channels that a first layer's input may be padded to: the time goes in steps, which no slope shows.
const INPUT_CHANNELS: [f64; 4] = [4.0, 8.0, 16.0, 32.0];

/// How far the parameters of one precision may be from those of all, as a share of their spread.
const APART: f64 = 0.5;

/// Fitting every parameter of the GPU to kernels and engines, where there are enough of them.
struct Whole<'f> {
    file: &'f BoardFile,
    /// Of [`GpuParameters`], then [`PROFILE_US`].
    specs: Vec<Spec>,
    /// Two parameters and their expected ratio.
    ratios: Vec<(usize, usize, f64)>,
}

/// What [`Whole`] found: of all engines, then of those without and with INT8. Each is the GPU's
/// parameters and what a profile adds.
#[derive(Clone, Debug)]
struct Found {
    all: Vec<f64>,
    float: Option<Vec<f64>>,
    int8: Option<Vec<f64>>,
}

/// Whether there are enough kernels of enough models.
fn enough(cases: &[&Case]) -> bool {
    let measured = cases.iter().filter(|c| !c.kernels.is_empty());
    let models: BTreeSet<&str> = measured.map(|c| c.model.as_str()).collect();
    let kernels: usize = cases.iter().map(|c| c.kernels.len()).sum();
    models.len() >= MODELS_FOR_WHOLE
        && kernels >= GpuParameters::SPECS.len() * KERNELS_PER_PARAMETER
}

impl<'f> Whole<'f> {
    fn of(file: &'f BoardFile, cases: &[&Case]) -> Option<Self> {
        if !enough(cases) {
            return None;
        }
        // Of hardware that nobody measured, the priors of Jetsons say little: its caches may hold
        // what a Jetson reads from its memory.
        let unmeasured = file.rows.is_empty();
        let (looser, wider) = if unmeasured { (2.0, 10.0) } else { (1.0, 1.0) };
        let fitted = file.parameters.gpu.to_vec();
        let mut specs: Vec<Spec> = GpuParameters::SPECS
            .iter()
            .zip(fitted)
            .map(|(spec, prior)| {
                if let Some(surveyed) = SURVEYED.iter().find(|s| s.name == spec.name) {
                    return *surveyed;
                }
                let looser = match spec.name {
                    "gap_cycles" | "launch_us" if unmeasured => GAPS_LOOSER,
                    "depthwise_efficiency" if unmeasured => DEPTHWISE_LOOSER,
                    _ => looser,
                };
                Spec {
                    prior,
                    spread: spec.spread * looser,
                    min: spec.min / wider,
                    max: spec.max * wider,
                    ..*spec
                }
            })
            .collect();
        let at = |name: &str| specs.iter().position(|s| s.name == name);
        let ratios = FIXED.iter().filter(|_| unmeasured).filter_map(|name| {
            let (of, to) = (at(name)?, at("matrix_cycles")?);
            Some((of, to, specs[of].prior / specs[to].prior))
        });
        let ratios = ratios.collect();
        specs.push(PROFILE_US);
        Some(Self {
            file,
            specs,
            ratios,
        })
    }

    /// Fits all engines together, then each precision that has enough of them near that.
    fn fit(&self, cases: &[&Case], start: Option<&Found>) -> Found {
        let (all, steps) = match start {
            Some(start) => (self.solve(&self.specs, cases, &start.all, NEARBY).0, NEARBY),
            None => (self.search(cases), STEPS),
        };
        let near: Vec<Spec> = self
            .specs
            .iter()
            .zip(&all)
            .map(|(spec, prior)| Spec {
                prior: *prior,
                spread: spec.spread * APART,
                ..*spec
            })
            .collect();
        let of = |int8: bool| {
            let own = cases.iter().filter(|c| c.int8 == int8);
            let own: Vec<&Case> = own.copied().collect();
            enough(&own).then(|| self.solve(&near, &own, &all, steps).0)
        };
        let (float, int8) = (of(false), of(true));
        Found { all, float, int8 }
    }

    /// The best fit of several starts.
    fn search(&self, cases: &[&Case]) -> Vec<f64> {
        let priors: Vec<f64> = self.specs.iter().map(|s| s.prior).collect();
        let at = self.specs.iter().position(|s| s.name == "input_channels");
        let fits = INPUT_CHANNELS.iter().map(|channels| {
            let mut start = priors.clone();
            if let Some(value) = at.and_then(|at| start.get_mut(at)) {
                *value = *channels;
            }
            self.solve(&self.specs, cases, &start, STEPS)
        });
        let best = fits.min_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(priors, |(found, _)| found)
    }

    /// A fit from one start, and what it leaves.
    fn solve(
        &self,
        specs: &[Spec],
        cases: &[&Case],
        start: &[f64],
        steps: usize,
    ) -> (Vec<f64>, f64) {
        solve::fit_and_rest(specs, start, steps, &|values| {
            let params = self.with(values);
            let profile_ms = values.last().copied().unwrap_or_default() * 1e-3;
            let mut residuals = Vec::new();
            for (of, to, expected) in &self.ratios {
                let ratio = values[*of] / values[*to];
                residuals.push((ratio / expected).ln() / FIXED_RATIO);
            }
            for case in cases {
                let log = |predicted: f64, measured: f64| (predicted / measured).ln() / SIGMA;
                let Some(costs) = case.engine.costs(&params) else {
                    continue;
                };
                if case.mix == Mix::Gpu {
                    let engine = &case.engine;
                    let weight = ENGINE_WEIGHT.sqrt();
                    residuals.push(weight * log(engine.under(&costs), engine.measured_ms));
                }
                let all: f64 = case.kernels.iter().map(|(p, _)| p.measured_ms).sum();
                for (kernel, rows) in &case.kernels {
                    let share =
                        f64::midpoint(kernel.measured_ms / all, 1.0 / case.kernels.len() as f64);
                    let predicted = kernel.under(&costs) + rows * profile_ms;
                    let weight = (KERNELS_WEIGHT * share).sqrt();
                    residuals.push(weight * log(predicted, kernel.measured_ms));
                }
            }
            residuals
        })
    }

    fn with(&self, values: &[f64]) -> Parameters {
        Parameters {
            gpu: GpuParameters::from_slice(values),
            gpu_int8: None,
            ..self.file.parameters.clone()
        }
    }

    /// The parameters; those of DLA and transitions scaled to the engines that use them.
    fn parameters(&self, found: &Found, cases: &[&Case]) -> Parameters {
        let mut params = self.with(found.float.as_ref().unwrap_or(&found.all));
        if found.float.is_some() || found.int8.is_some() {
            let int8 = found.int8.as_ref().unwrap_or(&found.all);
            params.gpu_int8 = Some(GpuParameters::from_slice(int8));
        }
        let dla: Vec<&Case> = cases
            .iter()
            .filter(|c| c.mix != Mix::Gpu)
            .copied()
            .collect();
        if dla.len() < RUNS_PER_FACTOR {
            return params;
        }
        let factors = Factors::Beside;
        factors.apply(&params, &factors.fit(&params, &dla, &factors.none()))
    }
}

/// Which parts of the cost models have a factor of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Factors {
    /// The GPU alone: nothing ran on a DLA.
    Gpu,
    /// One for everything.
    Common,
    /// GPU with transitions, and DLA.
    Devices,
    /// GPU, DLA, transitions.
    All,
    /// DLA and transitions beside a GPU that is fitted on its own.
    Beside,
}

impl Factors {
    fn free(cases: &[&Case]) -> Self {
        if cases.iter().all(|c| c.mix == Mix::Gpu) {
            return Self::Gpu;
        }
        match cases.len() / RUNS_PER_FACTOR {
            0 | 1 => Self::Common,
            2 => Self::Devices,
            _ => Self::All,
        }
    }

    /// Factors that change nothing.
    fn none(self) -> Vec<f64> {
        let count = match self {
            Self::Gpu | Self::Common => 1,
            Self::Devices | Self::Beside => 2,
            Self::All => 3,
        };
        vec![1.0; count]
    }

    fn fit(self, params: &Parameters, cases: &[&Case], start: &[f64]) -> Vec<f64> {
        let specs: Vec<Spec> = ["first", "dla", "transition"]
            .iter()
            .take(start.len())
            .map(|name| Spec {
                name,
                prior: 1.0,
                spread: 0.5,
                min: 0.1,
                max: 10.0,
            })
            .collect();
        solve::fit(&specs, start, &|f| {
            let params = self.apply(params, f);
            let residual = |p: &Prepared| (p.predict(&params) / p.measured_ms).ln() / SIGMA;
            cases
                .iter()
                .flat_map(|c| {
                    let parts = c.parts.iter().map(|p| PROFILE_WEIGHT.sqrt() * residual(p));
                    std::iter::once(residual(&c.engine)).chain(parts)
                })
                .collect()
        })
    }

    fn apply(self, params: &Parameters, factors: &[f64]) -> Parameters {
        let at = |i: usize| factors.get(i).copied().unwrap_or(1.0);
        let (gpu, dla, transition) = match self {
            Self::Gpu => (at(0), 1.0, 1.0),
            Self::Common => (at(0), at(0), at(0)),
            Self::Devices => (at(0), at(1), at(0)),
            Self::All => (at(0), at(1), at(2)),
            Self::Beside => (1.0, at(0), at(1)),
        };
        scaled(params, gpu, dla, transition)
    }
}

/// Parameters under which GPU, DLA and transition times are multiplied by the factors.
fn scaled(params: &Parameters, g: f64, d: f64, t: f64) -> Parameters {
    let mut p = params.clone();
    for gpu in std::iter::once(&mut p.gpu).chain(&mut p.gpu_int8) {
        for time in [
            &mut gpu.matrix_cycles,
            &mut gpu.gap_cycles,
            &mut gpu.launch_us,
            &mut gpu.host_us,
            &mut gpu.stream_cycles,
            &mut gpu.copy_cycles,
            &mut gpu.depthwise_cycles,
        ] {
            *time *= g;
        }
        for rate in [
            &mut gpu.tile_efficiency,
            &mut gpu.bandwidth,
            &mut gpu.depthwise_efficiency,
        ] {
            *rate /= g;
        }
    }
    p.dla.layer_cycles *= d;
    for rate in [
        &mut p.dla.int8_efficiency,
        &mut p.dla.fp16_efficiency,
        &mut p.dla.bytes_per_cycle,
        &mut p.dla.dram_share,
        &mut p.dla.plane_bytes_per_cycle,
    ] {
        *rate /= d;
    }
    for time in [
        &mut p.transition.submit_ms,
        &mut p.transition.reformat_cycles,
        &mut p.transition.int8_entry_ms,
    ] {
        *time *= t;
    }
    p.transition.reformat_bandwidth /= t;
    p
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::Estimator;
    use crate::estimate::board::shipped;
    use crate::networks::network;
    use crate::placement::{Device, Precision};
    use crate::plan::Planner;
    use crate::platform::Board;

    const NAMES: [&str; 4] = ["resnet18", "resnet34", "vgg11", "googlenet_caffe"];

    fn models() -> Vec<Model> {
        NAMES.iter().map(|n| network(n).unwrap()).collect()
    }

    fn under(params: &Parameters, run: &OwnRun<'_>) -> (f64, f64) {
        let mut file = shipped("xavier-nx");
        file.parameters = params.clone();
        let planner = Planner::new(run.model, &run.target, &run.config);
        let plan = planner.plan_placement(&run.placement).unwrap();
        let estimate = Estimator::with_board(&planner, &file).estimate(&plan);
        (
            estimate.fps.value().unwrap(),
            estimate.dla_ms.value().unwrap(),
        )
    }

    /// A run on a board with these parameters.
    fn run<'m>(model: &'m Model, default: Device, params: &Parameters) -> OwnRun<'m> {
        let mut run = OwnRun {
            model,
            target: Target::of(Board::find("xavier-nx").unwrap()),
            config: EngineConfig {
                precision: Precision::FP16,
                ..EngineConfig::default()
            },
            placement: Placement::all(default),
            fps: 1.0,
            gpu_ms: Vec::new(),
            reformat_ms: Vec::new(),
            dla_ms: Vec::new(),
        };
        run.fps = under(params, &run).0;
        run
    }

    fn width(file: &BoardFile, mix: Mix, model: &str) -> f64 {
        file.band(Precision::FP16, mix, model).half_width()
    }

    #[test]
    fn own_runs_move_the_figures_and_narrow_the_band() {
        let models = models();
        let file = shipped("xavier-nx");
        // A third slower than the shipped figures say, on both processors.
        let slow = scaled(&file.parameters, 1.3, 1.3, 1.3);
        let runs: Vec<OwnRun<'_>> = models
            .iter()
            .flat_map(|m| [Device::Gpu, Device::Dla].map(|d| run(m, d, &slow)))
            .collect();
        let fitted = refit(&file, &runs).unwrap();
        for run in &runs {
            let fps = under(&fitted.parameters, run).0;
            assert!((fps / run.fps - 1.0).abs() < 0.03, "{fps} {}", run.fps);
        }
        for mix in [Mix::Gpu, Mix::Both] {
            let before = width(&file, mix, "a model never seen");
            assert!(width(&fitted, mix, "a model never seen") < before);
        }
        // INT8 was not measured: what is known of it is what was known.
        assert_eq!(
            fitted.band(Precision::INT8, Mix::Gpu, "resnet18"),
            file.band(Precision::INT8, Mix::Gpu, "resnet18")
        );
        assert!(refit(&file, &runs[..2]).is_err());
        let again: Vec<OwnRun<'_>> = vec![runs[0].clone(); 5];
        assert!(refit(&file, &again).is_err(), "repeats are one engine");
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(BoardFile::parse(&text, "xavier-nx").unwrap(), fitted);
        assert!(BoardFile::parse(&text, "nano").is_err());
    }

    /// Engines of one model say nothing of the error on others.
    #[test]
    fn one_model_narrows_its_own_band_only() {
        let model = network("resnet18").unwrap();
        let file = shipped("xavier-nx");
        let slow = scaled(&file.parameters, 1.3, 1.3, 1.3);
        let mut runs = vec![
            run(&model, Device::Gpu, &slow),
            run(&model, Device::Dla, &slow),
        ];
        for stage in ["layer1", "layer2", "layer3"] {
            let mut r = run(&model, Device::Gpu, &slow);
            r.placement = r.placement.with_module(stage, Device::Dla);
            r.fps = under(&slow, &r).0;
            runs.push(r);
        }
        let fitted = refit(&file, &runs).unwrap();
        for mix in [Mix::Gpu, Mix::Both] {
            assert!(width(&fitted, mix, "resnet18") <= LEAST_BAND + 0.01);
            assert_eq!(width(&fitted, mix, "vgg11"), width(&file, mix, "vgg11"));
        }
    }

    /// GPU-only runs leave the DLA's parameters alone.
    #[test]
    fn what_was_not_used_is_not_scaled() {
        let models = models();
        let file = shipped("xavier-nx");
        let slow = scaled(&file.parameters, 1.3, 1.3, 1.3);
        let runs: Vec<OwnRun<'_>> = models.iter().map(|m| run(m, Device::Gpu, &slow)).collect();
        let fitted = refit(&file, &runs).unwrap();
        assert_eq!(fitted.parameters.dla, file.parameters.dla);
        assert_eq!(fitted.parameters.transition, file.parameters.transition);
        assert!(fitted.parameters.gpu.gap_cycles > 1.2 * file.parameters.gpu.gap_cycles);
    }

    /// With few engines one factor serves all; the profile tells which processor is slow from
    /// six on, and its sums pull the same way as the whole.
    #[test]
    fn profiles_are_read() {
        let models = models();
        let file = shipped("xavier-nx");
        let slow = scaled(&file.parameters, 1.0, 1.5, 1.0);
        let mut runs: Vec<OwnRun<'_>> = models
            .iter()
            .flat_map(|m| [Device::Gpu, Device::Dla].map(|d| run(m, d, &slow)))
            .take(6)
            .collect();
        let apart = |fitted: &BoardFile| {
            let (was, is) = (&file.parameters, &fitted.parameters);
            (
                is.gpu.gap_cycles / was.gpu.gap_cycles,
                is.dla.layer_cycles / was.dla.layer_cycles,
            )
        };
        let (gpu, dla) = apart(&refit(&file, &runs).unwrap());
        assert!(
            (gpu - 1.0).abs() < 0.05 && (dla - 1.5).abs() < 0.12,
            "{gpu} {dla}"
        );
        // DLA times half again as long as the engines' totals allow: the fit goes between.
        for run in runs.iter_mut().filter(|r| r.placement.wants_dla()) {
            let ms = under(&slow, run).1;
            run.dla_ms = vec![(vec![OpId(0)], 1.5 * ms)];
        }
        let (_, pulled) = apart(&refit(&file, &runs).unwrap());
        assert!(pulled > dla * 1.03, "{pulled} {dla}");
        // GPU kernels likewise, by the ops they run.
        let (gpu, _) = apart(&refit(&file, &runs).unwrap());
        for run in &mut runs {
            let kernels = run.model.op_ids().map(|op| (vec![op], 1.0)).collect();
            run.gpu_ms = kernels;
        }
        let (pulled, _) = apart(&refit(&file, &runs).unwrap());
        assert!(pulled > gpu * 1.03, "{pulled} {gpu}");
    }
}
