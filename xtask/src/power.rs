//! Fits wall power to published rows, and says how far off it is on boards the fit did not know.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use dlaplan::estimate::power::{Activity, MeteredBoard, PowerFile, PowerParameters};
use dlaplan::platform::Board;

use crate::fit::quantile;
use crate::rows::{Networks, RowError};

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

/// All measurements of power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurements {
    sources: BTreeMap<String, String>,
    rows: Vec<Row>,
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

/// The fit, and its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerFit {
    /// What is shipped.
    pub file: PowerFile,
    /// Every row.
    pub comparisons: Vec<PowerComparison>,
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

/// Least squares of the relative error, which is linear in both parameters.
fn solve<'l>(rows: impl Iterator<Item = &'l Loaded>) -> PowerParameters {
    let (mut aa, mut ab, mut bb, mut a1, mut b1) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for l in rows {
        let (a, b) = (l.factors.0 / l.row.watts, l.factors.1 / l.row.watts);
        aa += a * a;
        ab += a * b;
        bb += b * b;
        a1 += a;
        b1 += b;
    }
    let determinant = aa * bb - ab * ab;
    let rounded = |v: f64| (v * 1e5).round() / 1e5;
    PowerParameters {
        watts_per_gbs: rounded((bb * a1 - ab * b1) / determinant),
        design_share: rounded((aa * b1 - ab * a1) / determinant),
    }
}

/// Fits the shipped rows.
///
/// # Errors
/// The rows do not parse, or one is about something that does not exist.
pub fn fit() -> anyhow::Result<PowerFit> {
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
    let boards = names
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
    let mut fit = PowerFit {
        file: PowerFile {
            parameters,
            band: 0.0,
            source: format!(
                "power at the wall of the whole system, 2 parameters fitted on {} MLPerf results of \
                 INT8 engines at low clocks",
                loaded.len()
            ),
            boards,
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

    #[test]
    fn wall_power_of_a_board_nobody_measured_is_within_a_fifth() {
        let fit = fit().unwrap();
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
        let shipped: PowerFile = serde_json::from_str(text).unwrap();
        assert_eq!(
            fit().unwrap().file,
            shipped,
            "run `cargo run -p xtask -- calibrate`"
        );
    }
}
