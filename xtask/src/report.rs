//! Predicted against measured: error statistics of every published row, in words.

use std::collections::BTreeMap;

use crate::fit::{Calibration, Comparison, Unseen, quantile};
use crate::rows::Measurements;

/// Error statistics of some rows. Errors are of time, relative to the measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Rows.
    pub rows: usize,
    /// Mean absolute error.
    pub mean: f64,
    /// Median absolute error.
    pub median: f64,
    /// Largest absolute error.
    pub worst: f64,
    /// Mean signed error: positive means predicted too slow.
    pub bias: f64,
    /// Median absolute error with parameters fitted without the row's model.
    pub held_out_median: f64,
    /// Mean absolute error with parameters fitted without the row's model.
    pub held_out_mean: f64,
    /// Median absolute error with parameters fitted without the row's board, where others share
    /// its processors.
    pub other_boards_median: Option<f64>,
}

impl Statistics {
    /// Of rows; `None` without any.
    pub fn of(rows: &[&Comparison]) -> Option<Self> {
        let errors: Vec<f64> = rows.iter().map(|c| c.error()).collect();
        let absolute: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        let held_out: Vec<f64> = rows.iter().map(|c| c.held_out_error().abs()).collect();
        let other: Vec<f64> = rows
            .iter()
            .filter_map(|c| Some((c.other_boards_ms? / c.measured_ms - 1.0).abs()))
            .collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
        Some(Self {
            rows: rows.len(),
            mean: mean(&absolute),
            median: quantile(&absolute, 0.5)?,
            worst: absolute.iter().copied().fold(0.0, f64::max),
            bias: mean(&errors),
            held_out_median: quantile(&held_out, 0.5)?,
            held_out_mean: mean(&held_out),
            other_boards_median: quantile(&other, 0.5),
        })
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn percent(v: f64) -> String {
    format!("{:.1}", v * 100.0)
}

/// The report in Markdown: statistics by board, precision and device, by model, by source; the
/// single rows of whole engines and deployments; bands shown to users.
pub fn markdown(calibration: &Calibration, measurements: &Measurements) -> String {
    let mut out = String::new();
    let all: Vec<&Comparison> = calibration.comparisons.iter().collect();
    out.push_str(
        "# How far off the estimates are\n\n\
         Made by `cargo run -p xtask -- fidelity`; parameters by `cargo run -p xtask -- calibrate`. Errors are of time, in \
         percent of the measurement. *Held out* is the error with parameters fitted without any \
         row of the same model (for concurrent engines: without that deployment); *other boards* \
         with parameters fitted without any row of the same board. Rows marked *check* never \
         shape a parameter. The bands shown to users come from the larger of both: nine of ten \
         are inside.\n\n![Predicted against measured](fidelity.svg)\n",
    );
    table(
        &mut out,
        "By board, precision and device",
        &all,
        |c| {
            (!c.concurrent && c.fitted)
                .then(|| format!("{} | {} | {}", c.board, c.precision, c.mix.label()))
        },
        "board | precision | device",
    );
    table(
        &mut out,
        "By source",
        &all,
        |c| {
            let name = measurements
                .sources
                .get(&c.source)
                .map_or(&*c.source, String::as_str);
            let kind = match (c.concurrent, c.fitted) {
                (true, _) => "concurrent",
                (_, true) => "fit",
                _ => "check",
            };
            Some(format!("{name} | {kind}"))
        },
        "source | use",
    );
    table(
        &mut out,
        "By model",
        &all,
        |c| {
            (!c.concurrent && c.fitted && !c.network.contains(':'))
                .then(|| format!("{} | {}", c.network, c.board))
        },
        "model | board",
    );
    table(
        &mut out,
        "Single layers",
        &all,
        |c| {
            (!c.concurrent && c.network.contains(':'))
                .then(|| format!("{} | {}", c.network, c.precision))
        },
        "layer | precision",
    );
    coverage(&mut out, calibration);
    rows(
        &mut out,
        "Whole engines of the published DLA tables",
        &all,
        |c| c.source == "seed" && !c.concurrent,
    );
    rows(&mut out, "Engines at the same time", &all, |c| c.concurrent);
    rows(&mut out, "Layer groups on AGX Xavier", &all, |c| {
        c.id.starts_with("group-")
    });
    rows(&mut out, "Rows that only check", &all, |c| {
        !c.fitted && !c.id.starts_with("group-") && !c.id.starts_with("orin-")
    });
    out.push_str("\n## Bands shown to users\n\n| board | precision | device | band ± % | basis |\n|---|---|---|---:|---|\n");
    for file in &calibration.files {
        for band in &file.bands {
            line(
                &mut out,
                &format!(
                    "| {} | {} | {} | {:.0} | {} |",
                    file.board,
                    band.precision,
                    band.mix.label(),
                    band.band * 100.0,
                    band.basis
                ),
            );
        }
    }
    out.push_str(
        "\n## What the figures do not cover\n\n\
         - GPUs of Orin boards stand on MLPerf results (with a CUDA graph), YOLOv5s and Ultralytics' \
         YOLO11 on Orin NX. There is no estimate for Blackwell.\n\
         - Rows of two DLA cores of AGX Orin count as one core at half the throughput.\n\
         - The time of TensorRT's NonMaxSuppression is in MLPerf's detector rows and not in the \
         networks compared with them.\n\
         - The TensorRT version has no effect on an estimate.\n\
         - The published AlexNet groups have eight times for ten printed boundaries; which were \
         merged was inferred from both devices' times. Their DLA time of fc8 holds no submission: \
         its weights would need more bandwidth than the DRAM has.\n\
         - The published GoogLeNet group 0 on the DLA (0.75 ms) is less than the same authors' \
         profiles leave for it (3.33 ms for the whole subgraph, 2.43 ms without the group).\n\
         - ResNet-18 and MobileNet-V2 on AGX Orin (branes) ran most of their layers on the GPU for \
         reasons the rows do not tell; they are not fitted on.\n\
         - Power: no published measurement pairs a board's power with a known placement; there is no \
         energy estimate.\n",
    );
    out
}

/// How many rows that no fit knew the bands hold.
fn coverage(out: &mut String, calibration: &Calibration) {
    let unseen = calibration.unseen();
    out.push_str(
        "\n## Coverage of the bands\n\nRows whose model, and rows whose board, the fit did not \
         know; the larger of both errors counts. A band claims nine of ten.\n\n\
         | board | precision | device | rows | median | nine of ten | inside the band % |\n\
         |---|---|---|---:|---:|---:|---:|\n",
    );
    let mut groups: BTreeMap<&str, Vec<&Unseen>> = BTreeMap::new();
    for row in &unseen {
        groups.entry(&row.group).or_default().push(row);
        groups.entry("all | all | all").or_default().push(row);
    }
    for (group, rows) in groups {
        let errors: Vec<f64> = rows.iter().map(|r| r.error).collect();
        let inside = rows.iter().filter(|r| r.covered()).count() as f64 / rows.len() as f64;
        let quantile = |q| quantile(&errors, q).map_or_else(|| "-".into(), percent);
        line(
            out,
            &format!(
                "| {group} | {} | {} | {} | {:.0} |",
                rows.len(),
                quantile(0.5),
                quantile(0.9),
                inside * 100.0
            ),
        );
    }
}

fn table(
    out: &mut String,
    title: &str,
    all: &[&Comparison],
    key: impl Fn(&Comparison) -> Option<String>,
    columns: &str,
) {
    let mut groups: BTreeMap<String, Vec<&Comparison>> = BTreeMap::new();
    for c in all {
        if let Some(k) = key(c) {
            groups.entry(k).or_default().push(c);
        }
    }
    let left = columns.split('|').count();
    line(
        out,
        &format!(
            "\n## {title}\n\n| {columns} | rows | mean | median | worst | bias | held out median | held out mean | other boards median |\n|{}{}",
            "---|".repeat(left),
            "---:|".repeat(8)
        ),
    );
    for (k, rows) in groups {
        let Some(s) = Statistics::of(&rows) else {
            continue;
        };
        line(
            out,
            &format!(
                "| {k} | {} | {} | {} | {} | {:+.1} | {} | {} | {} |",
                s.rows,
                percent(s.mean),
                percent(s.median),
                percent(s.worst),
                s.bias * 100.0,
                percent(s.held_out_median),
                percent(s.held_out_mean),
                s.other_boards_median.map_or_else(|| "-".into(), percent),
            ),
        );
    }
}

fn rows(out: &mut String, title: &str, all: &[&Comparison], keep: impl Fn(&Comparison) -> bool) {
    let chosen: Vec<&Comparison> = all.iter().copied().filter(|c| keep(c)).collect();
    line(
        out,
        &format!(
            "\n## {title}\n\n| row | measured ms | predicted ms | error % | held out error % |\n|---|---:|---:|---:|---:|"
        ),
    );
    for c in &chosen {
        line(
            out,
            &format!(
                "| {} | {:.4} | {:.4} | {:+.1} | {:+.1} |",
                c.id,
                c.measured_ms,
                c.predicted_ms,
                c.error() * 100.0,
                c.held_out_error() * 100.0
            ),
        );
    }
    if let Some(s) = Statistics::of(&chosen) {
        line(
            out,
            &format!(
                "\n{} rows: mean {} %, median {} %, worst {} %; held out mean {} %.",
                s.rows,
                percent(s.mean),
                percent(s.median),
                percent(s.worst),
                percent(s.held_out_mean)
            ),
        );
    }
}
