//! Fits wall power, rails and accelerators to published rows, and says how far off each is on what the
//! fit did not know: another board, another network.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use dlaplan::estimate::Estimator;
use dlaplan::estimate::board::BoardFile;
use dlaplan::estimate::power::{
    AcceleratorFit, Activity, MeteredBoard, PowerFile, PowerParameters, RailsFit,
};
use dlaplan::placement::{Device, EngineConfig, Precision};
use dlaplan::plan::Planner;
use dlaplan::platform::Board;

use crate::fit::quantile;
use crate::rows::{Networks, RowError, target};

/// One measurement of a whole system's power while it worked back to back in INT8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Stable id.
    id: String,
    /// Key into [`Measurements::sources`].
    source: String,
    /// Board id.
    board: String,
    /// Network.
    network: String,
    /// GPU clock.
    gpu_mhz: f64,
    /// Memory clock.
    emc_mhz: f64,
    /// Images per second meanwhile.
    fps: f64,
    /// Share of the images that DLA cores worked on, by the rates the submission expected of each.
    #[serde(default)]
    dla_share: f64,
    /// Mean power, W.
    watts: f64,
}

/// The sum of a board's rails while its GPU took so many images per second, not back to back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RailRow {
    id: String,
    source: String,
    board: String,
    mode: String,
    network: String,
    precision: String,
    fps: f64,
    watts: f64,
}

/// Images per joule of DLAs by those of the GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceleratorRow {
    id: String,
    source: String,
    board: String,
    mode: String,
    network: String,
    gain: f64,
}

/// All measurements of power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurements {
    sources: BTreeMap<String, String>,
    rows: Vec<Row>,
    rails: Vec<RailRow>,
    accelerators: Vec<AcceleratorRow>,
}

/// A row beside its predictions, W.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerComparison {
    /// Row.
    pub id: String,
    /// Board.
    pub board: String,
    /// Where it is from.
    pub source: String,
    /// Measured.
    pub measured: f64,
    /// Predicted by the shipped fit.
    pub predicted: f64,
    /// Predicted by a fit to other boards.
    pub other_boards: f64,
}

impl PowerComparison {
    /// Relative error of a prediction.
    fn off(&self, watts: f64) -> f64 {
        watts / self.measured - 1.0
    }

    /// Relative error of the shipped prediction.
    pub fn error(&self) -> f64 {
        self.off(self.predicted)
    }

    /// Relative error of the prediction from other boards.
    pub fn other_boards_error(&self) -> f64 {
        self.off(self.other_boards)
    }
}

/// A row of the rails beside its predictions, W.
#[derive(Clone, Debug, PartialEq)]
pub struct RailComparison {
    /// Row.
    pub id: String,
    /// Where it is from.
    pub source: String,
    /// Share of its time that the GPU worked: the network's estimated time by its images per second.
    pub busy: f64,
    /// Measured.
    pub measured: f64,
    /// Predicted by the shipped fit.
    pub predicted: f64,
    /// Predicted by a fit to other networks.
    pub other_networks: f64,
}

impl RailComparison {
    /// Relative error of the shipped prediction.
    pub fn error(&self) -> f64 {
        self.predicted / self.measured - 1.0
    }

    /// Relative error of the prediction from other networks.
    pub fn other_networks_error(&self) -> f64 {
        self.other_networks / self.measured - 1.0
    }
}

/// The fit, and its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerFit {
    /// What is shipped.
    pub file: PowerFile,
    /// Every row of wall power.
    pub comparisons: Vec<PowerComparison>,
    /// Every row of the rails.
    pub rails: Vec<RailComparison>,
}

impl PowerFit {
    /// Median and nine of ten of the errors on boards the fit did not know.
    pub fn other_boards(&self) -> (f64, f64) {
        let errors: Vec<f64> = self
            .comparisons
            .iter()
            .map(|c| c.other_boards_error().abs())
            .collect();
        let of = |q| quantile(&errors, q).unwrap_or(f64::NAN);
        (of(0.5), of(0.9))
    }
}

/// A row's factors and board, free of parameters.
struct Loaded {
    row: Row,
    activity: Activity,
    factors: (f64, f64),
}

/// Least squares of the relative error, which is linear in both parameters: of rows as two factors
/// and what they come to.
fn least_squares(rows: impl Iterator<Item = (f64, f64, f64)>) -> (f64, f64) {
    let (mut aa, mut ab, mut bb, mut a1, mut b1) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (one, other, watts) in rows {
        let (a, b) = (one / watts, other / watts);
        aa += a * a;
        ab += a * b;
        bb += b * b;
        a1 += a;
        b1 += b;
    }
    let determinant = aa * bb - ab * ab;
    (
        (bb * a1 - ab * b1) / determinant,
        (aa * b1 - ab * a1) / determinant,
    )
}

fn solve<'l>(rows: impl Iterator<Item = &'l Loaded>) -> PowerParameters {
    let (gbs, share) = least_squares(rows.map(|l| (l.factors.0, l.factors.1, l.row.watts)));
    let rounded = |v: f64| (v * 1e5).round() / 1e5;
    PowerParameters {
        watts_per_gbs: rounded(gbs),
        design_share: rounded(share),
    }
}

/// A row of the rails, and how busy its GPU was.
struct Busy {
    row: RailRow,
    busy: f64,
}

/// W with the GPU idle, and W more with it always busy.
fn idle_and_busy<'l>(rows: impl Iterator<Item = &'l Busy>) -> (f64, f64) {
    let (idle, busy) = least_squares(rows.map(|r| (1.0, r.busy, r.row.watts)));
    (
        (idle * 100.0).round() / 100.0,
        (busy * 100.0).round() / 100.0,
    )
}

/// Rows of the rails with the share of time that their networks take by a board's parameters.
fn busy(
    rows: &[RailRow],
    boards: &[BoardFile],
    networks: &mut Networks,
) -> Result<Vec<Busy>, RowError> {
    let load = |row: &RailRow| {
        let error = |reason: String| RowError {
            id: row.id.clone(),
            reason,
        };
        let target = target(&row.id, &row.board, &row.mode)?;
        let precision: Precision = row.precision.parse().map_err(error)?;
        let config = EngineConfig {
            precision,
            ..EngineConfig::default()
        };
        let model = networks.get(&row.network);
        let model = model.ok_or_else(|| error(format!("no network {:?}", row.network)))?;
        let file = boards.iter().find(|f| f.board == row.board);
        let file = file.ok_or_else(|| error(format!("no parameters of {}", row.board)))?;
        let planner = Planner::new(model, &target, &config);
        let plan = planner.plan(vec![Device::Gpu; model.ops.len()]);
        let estimate = Estimator::with_board(&planner, file).estimate(&plan);
        let ms = estimate.latency_ms.value();
        let ms = ms.ok_or_else(|| error("its network has no estimate".into()))?;
        Ok(Busy {
            row: row.clone(),
            busy: ms * row.fps / 1e3,
        })
    };
    rows.iter().map(load).collect()
}

/// Fits the rails of every board, mode and precision with rows, and compares.
fn fit_rails(
    rows: &[Busy],
    sources: &BTreeMap<String, String>,
) -> (Vec<RailsFit>, Vec<RailComparison>) {
    let key = |b: &Busy| {
        let r = &b.row;
        (r.board.clone(), r.mode.clone(), r.precision.clone())
    };
    let keys: BTreeSet<_> = rows.iter().map(key).collect();
    let (mut fits, mut comparisons) = (Vec::new(), Vec::new());
    for (board, mode, precision) in keys {
        let of = |b: &&Busy| key(b) == (board.clone(), mode.clone(), precision.clone());
        let rows: Vec<&Busy> = rows.iter().filter(of).collect();
        let all = idle_and_busy(rows.iter().copied());
        let watts = |(idle, busy): (f64, f64), b: &Busy| idle + busy * b.busy;
        let compared: Vec<RailComparison> = rows
            .iter()
            .map(|b| {
                let others = rows.iter().filter(|o| o.row.network != b.row.network);
                let without = idle_and_busy(others.copied());
                RailComparison {
                    id: b.row.id.clone(),
                    source: sources.get(&b.row.source).unwrap_or(&b.row.source).clone(),
                    busy: b.busy,
                    measured: b.row.watts,
                    predicted: watts(all, b),
                    other_networks: watts(without, b),
                }
            })
            .collect();
        let errors: Vec<f64> = compared
            .iter()
            .map(|c| c.other_networks_error().abs())
            .collect();
        let nine = quantile(&errors, 0.9).unwrap_or(f64::NAN);
        let busiest = rows.iter().map(|b| b.busy).fold(0.0, f64::max);
        fits.push(RailsFit {
            source: format!(
                "sum of the rails by tegrastats with an application's CPU work in it, 2 parameters fitted \
                 on {} runs of YOLO11 with the GPU busy for {:.0} to {:.0} % of the time",
                rows.len(),
                rows.iter().map(|b| b.busy).fold(1.0, f64::min) * 100.0,
                busiest * 100.0
            ),
            board,
            mode,
            precision,
            rest_watts: all.0,
            busy_watts: all.1,
            busiest: (busiest * 1e3).round() / 1e3,
            band: (nine * 100.0).ceil() / 100.0,
        });
        comparisons.extend(compared);
    }
    (fits, comparisons)
}

/// The median over networks, per board and mode, and how far it is off on a network it did not know.
fn fit_accelerators(rows: &[AcceleratorRow]) -> Vec<AcceleratorFit> {
    let keys: BTreeSet<_> = rows.iter().map(|r| (&r.board, &r.mode)).collect();
    keys.into_iter()
        .map(|(board, mode)| {
            let of = |r: &&AcceleratorRow| r.board == *board && r.mode == *mode;
            let gains = |without: &str| {
                let rows = rows.iter().filter(of).filter(|r| r.network != without);
                let mut gains: Vec<f64> = rows.map(|r| r.gain).collect();
                gains.sort_by(f64::total_cmp);
                let middle = |at: usize| gains.get(at).copied().unwrap_or(f64::NAN);
                let last = gains.len().saturating_sub(1);
                f64::midpoint(middle(last / 2), middle(last.div_ceil(2)))
            };
            let off = rows
                .iter()
                .filter(of)
                .map(|r| (r.gain / gains(&r.network) - 1.0).abs());
            let band = off.fold(0.0, f64::max);
            AcceleratorFit {
                board: board.clone(),
                mode: mode.clone(),
                gain: (gains("") * 100.0).round() / 100.0,
                band: (band * 100.0).ceil() / 100.0,
                source: format!(
                    "power of the accelerators alone: median of {} networks that NVIDIA measured on two \
                     DLAs and on the GPU in {mode}",
                    rows.iter().filter(of).count()
                ),
            }
        })
        .collect()
}

/// Fits the shipped rows, those of the rails with the times that boards' parameters give.
///
/// # Errors
/// The rows do not parse, or one is about something that does not exist.
pub fn fit(boards: &[BoardFile]) -> anyhow::Result<PowerFit> {
    let text = include_str!("../../assets/calibration/power_measurements.json");
    let measurements: Measurements = serde_json::from_str(text)?;
    let mut networks = Networks::default();
    let loaded: Vec<Loaded> = measurements
        .rows
        .iter()
        .map(|row| load(row, &mut networks))
        .collect::<Result<_, _>>()?;
    let parameters = solve(loaded.iter());
    let names: BTreeSet<&str> = loaded.iter().map(|l| &*l.row.board).collect();
    let without: BTreeMap<&str, PowerParameters> = names
        .iter()
        .map(|name| (*name, solve(loaded.iter().filter(|l| l.row.board != *name))))
        .collect();
    let comparisons = loaded
        .iter()
        .map(|l| {
            let watts = |p: &PowerParameters| {
                let watts = l.activity.watts(&l.row.board, p);
                watts.unwrap_or(f64::NAN)
            };
            let source = measurements.sources.get(&l.row.source);
            PowerComparison {
                id: l.row.id.clone(),
                board: l.row.board.clone(),
                source: source.unwrap_or(&l.row.source).clone(),
                measured: l.row.watts,
                predicted: watts(&parameters),
                other_boards: without.get(&*l.row.board).map_or(f64::NAN, watts),
            }
        })
        .collect();
    let metered = names
        .iter()
        .map(|name| {
            let rows = loaded.iter().filter(|l| l.row.board == *name);
            MeteredBoard {
                board: (*name).to_owned(),
                gpu_mhz: rows.clone().map(|l| l.row.gpu_mhz).fold(0.0, f64::max),
                rows: rows.count() as u32,
            }
        })
        .collect();
    let busy = busy(&measurements.rails, boards, &mut networks)?;
    let (rails_fits, rails) = fit_rails(&busy, &measurements.sources);
    let mut fit = PowerFit {
        rails,
        file: PowerFile {
            rails: rails_fits,
            accelerators: fit_accelerators(&measurements.accelerators),
            parameters,
            band: 0.0,
            source: format!(
                "power at the wall of the whole system, 2 parameters fitted on {} MLPerf results of \
                 INT8 engines at low clocks",
                loaded.len()
            ),
            boards: metered,
        },
        comparisons,
    };
    fit.file.band = (fit.other_boards().1 * 100.0).ceil() / 100.0;
    Ok(fit)
}

fn load(row: &Row, networks: &mut Networks) -> Result<Loaded, RowError> {
    let error = |reason: String| RowError {
        id: row.id.clone(),
        reason,
    };
    let board =
        Board::find(&row.board).ok_or_else(|| error(format!("no board {:?}", row.board)))?;
    let model = networks
        .get(&row.network)
        .ok_or_else(|| error(format!("no network {:?}", row.network)))?;
    let macs = model
        .total_macs()
        .ok_or_else(|| error("the network's work is not known".into()))? as f64;
    let first = &board.modes[0];
    let per_second = macs / model.batch().unwrap_or(1) as f64 * row.fps;
    let activity = Activity {
        dram_gbs: first.dram_gbs / first.emc_mhz * row.emc_mhz,
        gpu_macs: per_second * (1.0 - row.dla_share),
        dla_macs: per_second * row.dla_share,
    };
    let factors = activity
        .factors(&row.board)
        .ok_or_else(|| error("the board's design power is not known".into()))?;
    Ok(Loaded {
        row: row.clone(),
        activity,
        factors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped_boards() -> Vec<BoardFile> {
        vec![dlaplan::estimate::board::shipped("agx-xavier")]
    }

    #[test]
    fn wall_power_of_a_board_nobody_measured_is_within_a_fifth() {
        let fit = fit(&shipped_boards()).unwrap();
        assert!(fit.comparisons.len() >= 10);
        let (median, _) = fit.other_boards();
        assert!(median <= 0.2, "{median}");
        for board in ["agx-xavier", "agx-orin-64"] {
            let errors: Vec<f64> = fit
                .comparisons
                .iter()
                .filter(|c| c.board == board)
                .map(|c| c.other_boards_error().abs())
                .collect();
            assert!(quantile(&errors, 0.5).unwrap() <= 0.2, "{board} {errors:?}");
        }
        let inside = fit
            .comparisons
            .iter()
            .filter(|c| c.other_boards_error().abs() <= fit.file.band);
        assert!(inside.count() * 10 >= fit.comparisons.len() * 9);
    }

    #[test]
    fn the_shipped_power_is_reproduced_exactly() {
        let text = include_str!("../../assets/calibration/power.json");
        let mut shipped: PowerFile = serde_json::from_str(text).unwrap();
        let mut fitted = fit(&shipped_boards()).unwrap().file;
        // The rails stand on estimated times, which every refit of the board moves a little.
        let (was, is) = (
            std::mem::take(&mut shipped.rails),
            std::mem::take(&mut fitted.rails),
        );
        assert_eq!(fitted, shipped, "run `cargo run -p xtask -- calibrate`");
        assert_eq!(was.len(), is.len());
        for (was, is) in was.iter().zip(&is) {
            for (a, b) in [
                (was.rest_watts, is.rest_watts),
                (was.busy_watts, is.busy_watts),
            ] {
                assert!(
                    (a / b - 1.0).abs() < 0.1,
                    "{was:?}; run `cargo run -p xtask -- calibrate`"
                );
            }
        }
    }

    #[test]
    fn rails_with_a_network_nobody_measured_are_within_a_fifth() {
        let fit = fit(&shipped_boards()).unwrap();
        let errors: Vec<f64> = fit
            .rails
            .iter()
            .map(|c| c.other_networks_error().abs())
            .collect();
        assert!(errors.len() >= 10);
        assert!(quantile(&errors, 0.5).unwrap() <= 0.2, "{errors:?}");
        let [rails] = &fit.file.rails[..] else {
            panic!("{:?}", fit.file.rails);
        };
        assert!(rails.rest_watts > 0.0 && rails.busy_watts > rails.rest_watts);
        assert!((0.5..1.0).contains(&rails.busiest));
        for a in &fit.file.accelerators {
            assert!((2.0..6.0).contains(&a.gain) && a.band < 0.3, "{a:?}");
        }
    }
}
