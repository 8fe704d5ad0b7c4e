//! What a board draws at the wall, and the energy of an image.
//!
//! Two terms, each with a unit: a board whose processors are clocked draws so many watts per GB/s
//! of its memory's peak bandwidth, and each operation costs a share of what the data sheet gives
//! for one (design watts per dense INT8 TOPS), less on a DLA. Both are fitted by `cargo run -p xtask
//! -- calibrate` on wall power that MLPerf published.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::figure::{Band, Figure};
use crate::model::OpId;
use crate::placement::{Device, Precision};
use crate::plan::Plan;
use crate::platform::Target;

use super::Estimator;

/// The shipped fit.
static SHIPPED: LazyLock<Option<PowerFile>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../assets/calibration/power.json")).ok()
});

/// The fit of wall power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerFile {
    /// The two fitted numbers.
    pub parameters: PowerParameters,
    /// Half width of the band: nine of ten rows of a board that the fit did not know are inside.
    pub band: f64,
    /// One line for hovers and reports.
    pub source: String,
    /// Boards with rows.
    pub boards: Vec<MeteredBoard>,
}

/// What is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerParameters {
    /// W of a board without work, per GB/s of peak DRAM bandwidth at the memory's clock; CPU,
    /// carrier board and the power supply's losses are in it.
    pub watts_per_gbs: f64,
    /// Energy of an INT8 operation on the GPU, as a share of design watts per dense INT8 TOPS.
    pub design_share: f64,
}

/// A board whose power was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeteredBoard {
    /// Its id.
    pub board: String,
    /// Highest GPU clock of its rows, MHz. Voltage grows with the clock, and no row tells how much.
    pub gpu_mhz: f64,
    /// Its rows.
    pub rows: u32,
}

/// Design watts and dense INT8 TOPS of a module by NVIDIA's data sheets: AGX Xavier 32 TOPS in its
/// 30W mode; AGX Orin 64GB 275 TOPS with structured sparsity, half without, at 60 W.
const DESIGN: [(&str, f64, f64); 2] = [("agx-xavier", 30.0, 32.0), ("agx-orin-64", 60.0, 137.5)];

/// Energy of an operation on the GPU against the DLA: the median of NVIDIA's performance per watt of
/// two DLAs against the GPU, dense INT8, over networks and power modes of AGX Orin
/// (Deep-Learning-Accelerator-SW@ea61780e41 README). NVIDIA publishes none of Xavier.
const DLA_GAIN: f64 = 3.4;

/// Clocks this much above the highest measured one still count as measured.
const CLOCK_MARGIN: f64 = 1.1;

/// What a board draws for, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activity {
    /// Peak DRAM bandwidth, GB/s.
    pub dram_gbs: f64,
    /// INT8 multiply-accumulates on the GPU, per second.
    pub gpu_macs: f64,
    /// INT8 multiply-accumulates on DLA cores, per second.
    pub dla_macs: f64,
}

impl Activity {
    /// The factors of the two parameters, in their order; `None` for a board without design values.
    pub fn factors(&self, board: &str) -> Option<(f64, f64)> {
        let (_, watts, tops) = DESIGN.iter().find(|(id, ..)| *id == board)?;
        let operations = 2.0 * (self.gpu_macs + self.dla_macs / DLA_GAIN);
        Some((self.dram_gbs, watts / tops * operations / 1e12))
    }

    /// Power at the wall, W.
    pub fn watts(&self, board: &str, p: &PowerParameters) -> Option<f64> {
        let (gbs, share) = self.factors(board)?;
        Some(gbs * p.watts_per_gbs + share * p.design_share)
    }
}

/// Power and energy of one engine alone, or of several at the same time, back to back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PowerEstimate {
    /// Power at the wall, W.
    pub wall_watts: Figure,
    /// Energy at the wall per image, mJ.
    pub wall_mj_per_image: Figure,
}

impl PowerEstimate {
    pub(crate) fn none(reason: impl Into<Arc<str>>) -> Self {
        let reason = reason.into();
        Self {
            wall_watts: Figure::none(Arc::clone(&reason)),
            wall_mj_per_image: Figure::none(reason),
        }
    }
}

/// The rows behind a target's power, or why there are none.
fn metered(file: &PowerFile, target: &Target) -> Result<(), String> {
    let board = target.board;
    let Some(rows) = file.boards.iter().find(|b| b.board == board.id) else {
        return Err(format!(
            "no published wall power of {} with a known network; measure it on the board",
            board.name
        ));
    };
    let most = rows.gpu_mhz * CLOCK_MARGIN;
    if target.mode.gpu_mhz > most {
        return Err(format!(
            "published wall power of {} ends at a GPU clock of {:.0} MHz, and {} has {:.0}; choose a \
             lower power mode or measure it on the board",
            board.name, rows.gpu_mhz, target.mode.name, target.mode.gpu_mhz
        ));
    }
    Ok(())
}

/// What a target draws under one engine config: watts at rest, and joules that add up per op.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerModel {
    /// Power without work, W.
    pub rest_watts: f64,
    /// Energy of a multiply-accumulate on the GPU, mJ.
    gpu_mj: f64,
    /// The same on the DLA.
    dla_mj: f64,
    band: f64,
    source: &'static str,
}

impl PowerModel {
    fn new(target: &Target, precision: Precision) -> Result<Self, String> {
        let file = SHIPPED
            .as_ref()
            .ok_or("the shipped power file does not parse")?;
        metered(file, target)?;
        if !precision.int8 {
            return Err(format!(
                "published wall power is of INT8 engines, this one is {}; measure it on the board",
                precision.title()
            ));
        }
        let watts = |dram_gbs: f64, gpu_macs: f64, dla_macs: f64| {
            let activity = Activity {
                dram_gbs,
                gpu_macs,
                dla_macs,
            };
            activity
                .watts(target.board.id, &file.parameters)
                .ok_or_else(|| format!("no design power of {} is known", target.board.name))
        };
        // A teramultiply-accumulate per second at one watt is a picojoule each.
        Ok(Self {
            rest_watts: watts(target.mode.dram_gbs, 0.0, 0.0)?,
            gpu_mj: watts(0.0, 1e12, 0.0)? * 1e-9,
            dla_mj: watts(0.0, 0.0, 1e12)? * 1e-9,
            band: file.band,
            source: &file.source,
        })
    }

    /// Energy of operations on a device, mJ, as the time at rest that costs as much, ms.
    pub fn rest_ms(&self, macs: f64, device: Device) -> f64 {
        let each = match device {
            Device::Gpu => self.gpu_mj,
            Device::Dla => self.dla_mj,
        };
        macs * each / self.rest_watts
    }
}

/// Multiply-accumulates of one image on each kind of device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageWork {
    /// On the GPU.
    pub gpu_macs: f64,
    /// On a DLA.
    pub dla_macs: f64,
}

impl PowerModel {
    /// Power at the wall of engines at these rates, each with its work, W.
    pub fn watts(&self, engines: impl Iterator<Item = (ImageWork, f64)>) -> f64 {
        let each = |w: ImageWork| w.gpu_macs * self.gpu_mj + w.dla_macs * self.dla_mj;
        // Millijoules per second.
        self.rest_watts + engines.map(|(work, fps)| each(work) * fps).sum::<f64>() / 1e3
    }

    /// Power and energy of engines that run at the same time, each with its images per second. The
    /// rows behind the fit are of GPU and DLAs at work together as well as of the GPU alone.
    pub fn together(&self, engines: &[(ImageWork, &Figure)]) -> PowerEstimate {
        let mut rates = Vec::with_capacity(engines.len());
        let mut half = 0.0_f64;
        for (work, fps) in engines {
            match fps {
                Figure::Estimated(e) => {
                    rates.push((*work, e.value));
                    half = half.max(e.band.half_width());
                }
                Figure::Measured(m) => rates.push((*work, m.value)),
                Figure::None { reason } => return PowerEstimate::none(Arc::clone(reason)),
            }
        }
        let fps: f64 = rates.iter().map(|(_, fps)| fps).sum();
        if fps <= 0.0 {
            return PowerEstimate::none("the model has no work");
        }
        let watts = self.watts(rates.into_iter());
        // A wrong rate moves the power by its share for operations, which go faster or slower, and
        // the energy by its share at rest, which lasts longer or shorter.
        let at_rest = self.rest_watts / watts;
        let source: Arc<str> = self.source.into();
        let figure = |v: f64, share: f64| {
            let band = Band::both(self.band, share * half);
            Figure::estimated(v, band, Arc::clone(&source))
        };
        PowerEstimate {
            wall_watts: figure(watts, 1.0 - at_rest),
            wall_mj_per_image: figure(watts * 1e3 / fps, at_rest),
        }
    }
}

impl Estimator<'_, '_> {
    /// Wall power of this target and config.
    ///
    /// # Errors
    /// Why there is no estimate of it.
    pub fn power_model(&self) -> Result<PowerModel, String> {
        PowerModel::new(self.planner.target(), self.planner.config().precision)
    }

    /// Multiply-accumulates of an op per inference.
    pub fn macs(&self, op: OpId) -> f64 {
        let model = self.planner.model();
        let scale = super::unit::scale(model, self.planner.config().batch);
        model.op(op).cost.map_or(0.0, |c| c.macs as f64) * scale
    }

    /// Wall power and energy of a plan that runs alone with this estimated latency.
    pub fn power(&self, plan: &Plan, latency_ms: &Figure) -> PowerEstimate {
        let batch = f64::from(self.planner.config().batch);
        let fps = match latency_ms {
            Figure::Estimated(e) if e.value > 0.0 => {
                Figure::estimated(batch * 1000.0 / e.value, e.band, Arc::clone(&e.source))
            }
            Figure::None { reason } => return PowerEstimate::none(Arc::clone(reason)),
            _ => return PowerEstimate::none("the model has no work"),
        };
        match self.power_model() {
            Ok(power) => power.together(&[(self.work(plan), &fps)]),
            Err(why) => PowerEstimate::none(why),
        }
    }

    /// What one inference of a plan computes, per image.
    pub fn work(&self, plan: &Plan) -> ImageWork {
        let mut work = ImageWork::default();
        for op in self.planner.model().op_ids() {
            match plan.subgraph_of[op.index()] {
                None => work.gpu_macs += self.macs(op),
                Some(_) => work.dla_macs += self.macs(op),
            }
        }
        let batch = f64::from(self.planner.config().batch);
        ImageWork {
            gpu_macs: work.gpu_macs / batch,
            dla_macs: work.dla_macs / batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::load_bundled;
    use crate::placement::{EngineConfig, Placement};
    use crate::plan::Planner;

    fn power(target: &str, precision: Precision, device: Device) -> PowerEstimate {
        let model = load_bundled("resnet18").unwrap();
        let target = Target::parse(target).unwrap();
        let config = EngineConfig {
            precision,
            ..EngineConfig::default()
        };
        let planner = Planner::new(&model, &target, &config);
        let plan = planner.plan_placement(&Placement::all(device)).unwrap();
        let estimator = Estimator::new(&planner);
        estimator.power(&plan, &estimator.estimate(&plan).latency_ms)
    }

    #[test]
    fn power_and_energy_agree_and_the_dla_draws_less() {
        let gpu = power("agx-orin-64@30W", Precision::INT8, Device::Gpu);
        let dla = power("agx-orin-64@30W", Precision::INT8, Device::Dla);
        let watts = |p: &PowerEstimate| p.wall_watts.value().unwrap();
        assert!(watts(&dla) < watts(&gpu));
        assert!((15.0..60.0).contains(&watts(&gpu)), "{gpu:?}");
        let lower = power("agx-orin-64@15W", Precision::INT8, Device::Gpu);
        assert!(watts(&lower) < watts(&gpu));
    }

    #[test]
    fn where_nobody_measured_there_is_no_power() {
        for (target, precision, says) in [
            ("xavier-nx", Precision::INT8, "Jetson Xavier NX"),
            ("agx-orin-64@MAXN", Precision::INT8, "lower power mode"),
            ("agx-orin-64@30W", Precision::FP16, "FP16"),
        ] {
            let power = power(target, precision, Device::Gpu);
            let Figure::None { reason } = &power.wall_watts else {
                panic!("{target} has {power:?}");
            };
            assert!(reason.contains(says), "{reason}");
        }
    }
}
