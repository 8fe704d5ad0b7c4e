//! Refitting a board to the user's own runs: a few factors on the shipped parameters.

use crate::model::{Model, OpId};
use crate::placement::{EngineConfig, Placement};
use crate::plan::Planner;
use crate::target::Target;

use super::super::Estimator;
use super::super::board::BoardFile;
use super::super::params::{Parameters, Spec};
use super::solve::{self, SIGMA};

/// One measured engine of the user's.
#[derive(Debug)]
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
    /// Profiled time per group of ops on the GPU, ms; DLA time has no finer split than subgraphs.
    pub gpu_ms: Vec<(Vec<OpId>, f64)>,
}

/// Why a refit was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefitError {
    /// Too few runs.
    #[error("{have} runs of {board} that estimates cover; at least 3 are needed for a factor")]
    TooFew {
        /// Board id.
        board: String,
        /// Usable runs.
        have: usize,
    },
}

/// Runs needed per fitted factor.
const RUNS_PER_FACTOR: usize = 3;
/// No band is narrower than this.
const LEAST_BAND: f64 = 0.04;

/// Scales a board's parameters so that estimates meet its measured runs: one factor for
/// everything from 3 runs on, GPU and DLA apart from 6, transitions apart from 9. The band becomes
/// what runs left out of the fit, one at a time, were off by.
///
/// # Errors
/// Fewer than three usable runs.
pub fn refit(file: &BoardFile, runs: &[OwnRun<'_>]) -> Result<BoardFile, RefitError> {
    let usable: Vec<&OwnRun<'_>> = runs
        .iter()
        .filter(|r| r.target.board.id == file.board && r.fps > 0.0)
        .filter(|r| predict(file, &file.parameters, r).is_some())
        .collect();
    if usable.len() < RUNS_PER_FACTOR {
        return Err(RefitError::TooFew {
            board: file.board.clone(),
            have: usable.len(),
        });
    }
    let factors = (usable.len() / RUNS_PER_FACTOR).min(3);
    let found = factors_of(file, &usable, factors);
    let mut worst: f64 = LEAST_BAND;
    for left_out in 0..usable.len() {
        let rest: Vec<&OwnRun<'_>> = usable
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != left_out)
            .map(|(_, r)| *r)
            .collect();
        let f = factors_of(file, &rest, factors);
        let run = usable[left_out];
        if let Some(fps) = predict(file, &scaled(&file.parameters, &f), run) {
            worst = worst.max((fps / run.fps - 1.0).abs());
        }
    }
    let mut out = file.clone();
    out.parameters = scaled(&file.parameters, &found);
    out.source = format!(
        "physical model scaled to {} own runs ({factors} factor{})",
        usable.len(),
        if factors == 1 { "" } else { "s" }
    );
    for band in &mut out.bands {
        band.band = worst;
        band.rows = usable.len() as u32;
        band.basis = format!("{} own runs, each left out in turn", usable.len());
    }
    Ok(out)
}

fn factors_of(file: &BoardFile, runs: &[&OwnRun<'_>], factors: usize) -> Vec<f64> {
    let specs: Vec<Spec> = ["gpu", "dla", "transition"][..factors]
        .iter()
        .map(|name| Spec {
            name,
            prior: 1.0,
            spread: 0.5,
            min: 0.1,
            max: 10.0,
        })
        .collect();
    solve::fit(&specs, &vec![1.0; factors], &|f| {
        let params = scaled(&file.parameters, f);
        runs.iter()
            .filter_map(|r| Some((predict(file, &params, r)? / r.fps).ln() / SIGMA))
            .collect()
    })
}

/// Images per second under given parameters.
fn predict(file: &BoardFile, params: &Parameters, run: &OwnRun<'_>) -> Option<f64> {
    let planner = Planner::new(run.model, &run.target, &run.config);
    let plan = planner.plan_placement(&run.placement).ok()?;
    let mut file = file.clone();
    file.parameters = params.clone();
    Estimator::with_board(&planner, &file)
        .estimate(&plan)
        .fps
        .value()
}

/// Parameters under which GPU, DLA and transition times are multiplied by the factors; missing
/// ones follow the first.
fn scaled(params: &Parameters, factors: &[f64]) -> Parameters {
    let first = factors.first().copied().unwrap_or(1.0);
    let at = |i: usize| factors.get(i).copied().unwrap_or(first);
    let mut p = params.clone();
    let g = at(0);
    for cycles in [
        &mut p.gpu.matrix_cycles,
        &mut p.gpu.gap_cycles,
        &mut p.gpu.stream_cycles,
        &mut p.gpu.copy_cycles,
        &mut p.gpu.depthwise_cycles,
    ] {
        *cycles *= g;
    }
    for rate in [
        &mut p.gpu.tile_efficiency,
        &mut p.gpu.bandwidth,
        &mut p.gpu.depthwise_efficiency,
    ] {
        *rate /= g;
    }
    let d = at(1);
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
    let t = at(2);
    for time in [
        &mut p.transition.submit_ms,
        &mut p.transition.reformat_cycles,
        &mut p.transition.int8_entry_ns,
    ] {
        *time *= t;
    }
    p.transition.reformat_bandwidth /= t;
    p
}

#[cfg(test)]
mod tests {
    use super::super::networks::network;
    use super::*;
    use crate::estimate::board::shipped;
    use crate::placement::{Device, Precision};
    use crate::target::Board;

    #[test]
    fn own_runs_move_the_figures_and_narrow_the_band() {
        let names = ["resnet18", "resnet34", "vgg11", "googlenet_caffe"];
        let models: Vec<Model> = names.iter().map(|n| network(n).unwrap()).collect();
        let board = Board::find("xavier-nx").unwrap();
        let target = Target {
            board,
            mode: &board.modes[0],
            tensorrt: board.tensorrt[0],
        };
        let file = shipped("xavier-nx");
        // A board a third slower than the shipped figures say, on both processors.
        let slow = scaled(&file.parameters, &[1.3]);
        let runs: Vec<OwnRun<'_>> = models
            .iter()
            .flat_map(|model| [Device::Gpu, Device::Dla].map(|d| (model, d)))
            .map(|(model, device)| {
                let mut run = OwnRun {
                    model,
                    target,
                    config: EngineConfig {
                        precision: Precision::FP16,
                        ..EngineConfig::default()
                    },
                    placement: Placement::all(device),
                    fps: 1.0,
                    gpu_ms: Vec::new(),
                };
                run.fps = predict(&file, &slow, &run).unwrap();
                run
            })
            .collect();
        let fitted = refit(&file, &runs).unwrap();
        for run in &runs {
            let fps = predict(&file, &fitted.parameters, run).unwrap();
            assert!((fps / run.fps - 1.0).abs() < 0.03, "{fps} {}", run.fps);
        }
        let before = file.band(Precision::FP16, crate::estimate::board::Mix::Gpu);
        let after = fitted.band(Precision::FP16, crate::estimate::board::Mix::Gpu);
        assert!(after.half_width() < before.half_width());
        assert!(refit(&file, &runs[..2]).is_err());
    }
}
