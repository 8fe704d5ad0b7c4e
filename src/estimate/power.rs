//! What a board draws, and the energy of an image: at the wall, by its rails, and of the accelerators
//! alone. The three are kept apart, because a wall's watts hold what no rail shows, and a rail's what no
//! accelerator draws.
//!
//! At the wall: two terms, each with a unit: a board whose processors are clocked draws so many watts per GB/s
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
    /// Sums of power rails, by board, mode and precision.
    pub rails: Vec<RailsFit>,
    /// DLAs against the GPU, by board and mode, in INT8.
    pub accelerators: Vec<AcceleratorFit>,
}

/// The sum of a board's power rails while its GPU works in one mode and precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RailsFit {
    /// Board id.
    pub board: String,
    /// Power mode.
    pub mode: String,
    /// Precision, as in files.
    pub precision: String,
    /// W with the GPU idle, an application's CPU work among them.
    pub rest_watts: f64,
    /// W more with the GPU always busy.
    pub busy_watts: f64,
    /// Share of its time that the GPU of the busiest row worked.
    pub busiest: f64,
    /// Half width of the band up to there: nine of ten rows of a network that the fit did not know.
    pub band: f64,
    /// One line for hovers and reports.
    pub source: String,
}

/// What DLAs do with a joule against the GPU, by the power of the accelerators alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorFit {
    /// Board id.
    pub board: String,
    /// Power mode.
    pub mode: String,
    /// Images per joule of the DLAs, by those of the GPU: the median over networks.
    pub gain: f64,
    /// Half width of the band: the largest error on a network that the median did not know.
    pub band: f64,
    /// One line for hovers and reports.
    pub source: String,
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
    /// Power of the board's rails together, W.
    pub rails_watts: Figure,
    /// Their energy per image, mJ.
    pub rails_mj_per_image: Figure,
    /// Images per joule of this target's DLAs by those of its GPU, by the power of the accelerators alone.
    pub dla_gain: Figure,
}

impl PowerEstimate {
    pub(crate) fn none(reason: impl Into<Arc<str>>) -> Self {
        let reason = reason.into();
        Self {
            wall_watts: Figure::none(Arc::clone(&reason)),
            wall_mj_per_image: Figure::none(Arc::clone(&reason)),
            rails_watts: Figure::none(Arc::clone(&reason)),
            rails_mj_per_image: Figure::none(Arc::clone(&reason)),
            dla_gain: Figure::none(reason),
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

    /// Power and energy at the wall of engines that run at the same time. The rows behind the fit are of
    /// GPU and DLAs at work together as well as of the GPU alone.
    fn together(&self, rates: &Rates) -> (Figure, Figure) {
        let watts = self.watts(rates.each.iter().copied());
        // A wrong rate moves the power by its share for operations, which go faster or slower, and
        // the energy by its share at rest, which lasts longer or shorter.
        let at_rest = self.rest_watts / watts;
        let source: Arc<str> = self.source.into();
        let figure = |v: f64, share: f64| {
            let band = Band::both(self.band, share * rates.half_width);
            Figure::estimated(v, band, Arc::clone(&source))
        };
        (
            figure(watts, 1.0 - at_rest),
            figure(watts * 1e3 / rates.fps, at_rest),
        )
    }
}

/// Images per second of engines that run at the same time.
struct Rates {
    /// Each engine's work and rate.
    each: Vec<(ImageWork, f64)>,
    /// All together; more than none.
    fps: f64,
    /// Of the widest band.
    half_width: f64,
}

impl Rates {
    fn of(engines: &[(ImageWork, &Figure)]) -> Result<Self, Arc<str>> {
        let mut rates = Self {
            each: Vec::with_capacity(engines.len()),
            fps: 0.0,
            half_width: 0.0,
        };
        for (work, fps) in engines {
            let value = match fps {
                Figure::Estimated(e) => {
                    rates.half_width = rates.half_width.max(e.band.half_width());
                    e.value
                }
                Figure::Measured(m) => m.value,
                Figure::None { reason } => return Err(Arc::clone(reason)),
            };
            rates.fps += value;
            rates.each.push((*work, value));
        }
        if rates.fps > 0.0 {
            Ok(rates)
        } else {
            Err("the model has no work".into())
        }
    }
}

impl RailsFit {
    /// Power of the rails with the GPU busy for this share of the time, W.
    pub fn watts(&self, busy: f64) -> f64 {
        self.rest_watts + self.busy_watts * busy
    }

    /// The band there: beyond the busiest row it widens in proportion.
    fn band_at(&self, busy: f64) -> f64 {
        self.band * (busy / self.busiest).max(1.0)
    }
}

/// Power of the rails and their energy per image, back to back; or why there is no estimate.
fn rails(target: &Target, precision: Precision, rates: &Rates) -> Result<(Figure, Figure), String> {
    let board = target.board;
    let all = SHIPPED.iter().flat_map(|f| &f.rails);
    let fit = all
        .filter(|r| r.board == board.id && r.mode == target.mode.name)
        .find(|r| r.precision == precision.as_str());
    let Some(fit) = fit else {
        return Err(format!(
            "no published power of the rails of {} in {} with {} engines; measure it on the board",
            board.name,
            target.mode.name,
            precision.title()
        ));
    };
    if rates.each.iter().any(|(work, _)| work.dla_macs > 0.0) {
        return Err(
            "published power of the rails is of the GPU alone; measure a DLA's on the board".into(),
        );
    }
    // Back to back the GPU never rests.
    let (watts, band) = (fit.watts(1.0), fit.band_at(1.0));
    let source: Arc<str> = fit.source.as_str().into();
    Ok((
        Figure::estimated(watts, Band::within(band), Arc::clone(&source)),
        Figure::estimated(
            watts * 1e3 / rates.fps,
            Band::both(band, rates.half_width),
            source,
        ),
    ))
}

/// Images per joule of a target's DLAs by those of its GPU.
fn dla_gain(target: &Target, precision: Precision) -> Figure {
    let all = SHIPPED.iter().flat_map(|f| &f.accelerators);
    let fit = all
        .filter(|a| a.board == target.board.id && a.mode == target.mode.name)
        .find(|_| precision.int8 && target.dla_support().cores() > 0);
    match fit {
        Some(fit) => Figure::estimated(fit.gain, Band::within(fit.band), fit.source.as_str()),
        None => Figure::none(format!(
            "no published power of the accelerators of {} in {} with {} engines",
            target.board.name,
            target.mode.name,
            precision.title()
        )),
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
        self.power_together(&[(self.work(plan), &fps)])
    }

    /// Power and energy of engines of this target that run at the same time, back to back, each with
    /// its work and images per second.
    pub fn power_together(&self, engines: &[(ImageWork, &Figure)]) -> PowerEstimate {
        let rates = match Rates::of(engines) {
            Ok(rates) => rates,
            Err(why) => return PowerEstimate::none(why),
        };
        let pair = |found: Result<(Figure, Figure), String>| {
            found.unwrap_or_else(|why| {
                let why: Arc<str> = why.into();
                (Figure::none(Arc::clone(&why)), Figure::none(why))
            })
        };
        let (target, precision) = (self.planner.target(), self.planner.config().precision);
        let (wall_watts, wall_mj_per_image) =
            pair(self.power_model().map(|power| power.together(&rates)));
        let (rails_watts, rails_mj_per_image) = pair(rails(target, precision, &rates));
        PowerEstimate {
            wall_watts,
            wall_mj_per_image,
            rails_watts,
            rails_mj_per_image,
            dla_gain: dla_gain(target, precision),
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
    fn rails_are_of_the_gpu_in_one_mode_and_precision() {
        let gpu = power("agx-xavier@MAXN", Precision::FP16, Device::Gpu);
        let (watts, mj) = (&gpu.rails_watts, &gpu.rails_mj_per_image);
        let Figure::Estimated(e) = watts else {
            panic!("{gpu:?}");
        };
        // The busiest row drew 30.4 W with its GPU busy for two thirds of the time.
        assert!((35.0..50.0).contains(&e.value), "{gpu:?}");
        assert!(
            e.band.half_width() > 0.25,
            "beyond the rows the band is wider"
        );
        assert!(e.source.contains("rails"), "{}", e.source);
        assert!(mj.value().unwrap() > 0.0 && gpu.wall_watts.value().is_none());
        for (target, precision, device, says) in [
            (
                "agx-xavier@MAXN",
                Precision::FP16,
                Device::Dla,
                "of the GPU alone",
            ),
            ("agx-xavier@MAXN", Precision::INT8, Device::Gpu, "INT8"),
            (
                "agx-xavier@30W",
                Precision::FP16,
                Device::Gpu,
                "no published power of the rails",
            ),
            ("agx-orin-64@MAXN", Precision::FP16, Device::Gpu, "AGX Orin"),
        ] {
            let power = power(target, precision, device);
            let Figure::None { reason } = &power.rails_watts else {
                panic!("{target} has {power:?}");
            };
            assert!(reason.contains(says), "{reason}");
        }
    }

    #[test]
    fn a_dla_does_more_with_a_joule_where_nvidia_says_how_much() {
        let gain = |target: &str, precision| {
            let gain = power(target, precision, Device::Gpu).dla_gain;
            gain.value()
        };
        let at_15 = gain("agx-orin-64@15W", Precision::INT8).unwrap();
        let at_30 = gain("agx-orin-64@30W", Precision::INT8).unwrap();
        assert!(at_15 > at_30 && at_30 > 2.0, "{at_15} {at_30}");
        assert_eq!(gain("agx-orin-64@30W", Precision::FP16), None);
        assert_eq!(gain("agx-orin-32", Precision::INT8), None);
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
