//! Predicted against measured: error statistics of every published row, in words.

use std::collections::BTreeMap;

use crate::fit::{Calibration, Comparison, Unseen, quantile};
use crate::power::PowerFit;
use crate::rows::{Measurements, any_size, single_layer};

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
    /// The same without the row's family of networks.
    pub other_families_median: Option<f64>,
    /// The same without the row's source.
    pub other_sources_median: Option<f64>,
}

impl Statistics {
    /// Of rows; `None` without any.
    pub fn of(rows: &[&Comparison]) -> Option<Self> {
        let errors: Vec<f64> = rows.iter().map(|c| c.error()).collect();
        let absolute: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        let held_out: Vec<f64> = rows.iter().map(|c| c.held_out_error().abs()).collect();
        let without = |ms: fn(&Comparison) -> Option<f64>| {
            let errors: Vec<f64> = rows.iter().filter_map(|c| c.off(ms(c))).collect();
            quantile(&errors, 0.5)
        };
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
        Some(Self {
            rows: rows.len(),
            mean: mean(&absolute),
            median: quantile(&absolute, 0.5)?,
            worst: absolute.iter().copied().fold(0.0, f64::max),
            bias: mean(&errors),
            held_out_median: quantile(&held_out, 0.5)?,
            held_out_mean: mean(&held_out),
            other_boards_median: without(|c| c.other_boards_ms),
            other_families_median: without(|c| c.other_families_ms),
            other_sources_median: without(|c| c.other_sources_ms),
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

fn or_dash(v: Option<f64>) -> String {
    v.map_or_else(|| "-".into(), percent)
}

/// The report in Markdown: statistics by board, precision and device, by model, by source; the
/// single rows of whole engines and deployments; bands shown to users.
pub fn markdown(
    calibration: &Calibration,
    measurements: &Measurements,
    power: &PowerFit,
) -> String {
    let mut out = String::new();
    let (relative, all): (Vec<&Comparison>, Vec<&Comparison>) =
        calibration.comparisons.iter().partition(|c| c.relative);
    out.push_str(
        "# How far off the estimates are\n\n\
         Made by `cargo run -p xtask -- fidelity`; parameters by `cargo run -p xtask -- calibrate`. Errors are of time, in \
         percent of the measurement. *Held out* is the error with parameters fitted without any \
         row of the same model (for concurrent engines: without that deployment); *other boards* \
         with parameters fitted without any row of the same board, *other families* without any \
         row of the same family of networks, *other sources* without any row of the same source. \
         \"-\": nothing is left to fit on. Rows marked *check* never shape a parameter. The bands \
         shown to users come from the largest of the four: nine of ten are inside.\n\n![Predicted against measured](fidelity.svg)\n",
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
            (!c.concurrent && c.fitted && !single_layer(&c.network))
                .then(|| format!("{} | {}", c.network, c.board))
        },
        "model | board",
    );
    table(
        &mut out,
        "Single layers",
        &all,
        |c| {
            (!c.concurrent && single_layer(&c.network))
                .then(|| format!("{} | {}", c.network, c.precision))
        },
        "layer | precision",
    );
    left_out(&mut out, calibration);
    table(
        &mut out,
        "By family",
        &all,
        |c| (!c.concurrent && c.fitted).then(|| format!("{} | {}", c.family, c.mix.label())),
        "family | device",
    );
    coverage(&mut out, calibration);
    out.push_str(
        "\n## Networks on machines of unstated clocks\n\nTheir rows share one factor for each machine, \
         which is not faster than the highest clocks. They shape parameters, but no band, and no table \
         above counts them.\n",
    );
    table(
        &mut out,
        "How their times compare",
        &relative,
        |c| Some(format!("{} | {}", any_size(&c.network), c.source)),
        "network at eight sizes | source",
    );
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
    wall_power(&mut out, power);
    out.push_str(
        "\n## What the figures do not cover\n\n\
         - GPUs of Orin boards stand on MLPerf results (with a CUDA graph), YOLOv5s, Ultralytics' \
         YOLO11 on Orin NX, and YOLOv8 and YOLOX at clocks that nobody stated. There is no estimate for Blackwell.\n\
         - Rows of two DLA cores of AGX Orin count as one core at half the throughput.\n\
         - The time of TensorRT's NonMaxSuppression is in MLPerf's detector rows and not in the \
         networks compared with them.\n\
         - The TensorRT version has no effect on an estimate: no two rows of one network, board and precision \
         differ in it. AGX Xavier's INT8 rows of TensorRT 6 (JEDI) are over-estimated, those of 8.0 (MLPerf) \
         less so.\n\
         - All rows are taken to have FP32 inputs and outputs, where no source says otherwise; a config with \
         the DLA's own formats saves the reformats.\n\
         - No term per inference stands apart from the kernels: what no clock shortens is counted per \
         kernel. A constant per inference was tried and does not help: YOLOv8n takes 0.95 ms at 160x160 on AGX \
         Orin, which the kernels explain. Ultralytics' rows from Python hold 0.5 to 1.0 ms more for its smallest \
         network.\n\
         - Reuse of activations in the GPU's L2 was tried; YOLOv8 and YOLOX at eight sizes contradict it.\n\
         - The DLA's layers have 1 MiB of SRAM for each core of Orin and half of 4 MiB on Xavier; what else \
         uses it is not known.\n\
         - Sparsity, transformers (no row) and grouped convolutions other than depthwise (no row).\n\
         - The published AlexNet groups have eight times for ten printed boundaries; which were \
         merged was inferred from both devices' times. Their DLA time of fc8 holds no submission: \
         its weights would need more bandwidth than the DRAM has.\n\
         - The published GoogLeNet group 0 on the DLA (0.75 ms) is less than the same authors' \
         profiles leave for it (3.33 ms for the whole subgraph, 2.43 ms without the group).\n\
         - ResNet-18 and MobileNet-V2 on AGX Orin (branes) ran most of their layers on the GPU for \
         reasons the rows do not tell; they are not fitted on.\n\
         - Wall power has rows of AGX Xavier and AGX Orin in INT8 at GPU clocks of 727 to 1033 MHz; \
         there is no estimate for other boards and precisions, and higher clocks. NVIDIA's performance per watt of Orin's DLA stands for Xavier's too. \
         The shares of the DLAs in MLPerf's offline rows are those its configuration expected.\n\
         - AGX Xavier's rails by tegrastats (a thesis with YOLO11) hold an application's CPU work, which \
         an engine alone does not need. They are of the GPU in MAXN and FP16 alone: one run with 6 of 34 \
         layers on the DLA and the runs in lower modes, paced by the CPU, are not fitted.\n\n\
         ## What was chosen while looking at these rows\n\n\
         - The parameters' list and their priors, the channel widths of the DLA's array, that its \
         stripes end with a line, the bytes of a kernel of pointwise ops, two reshapes for each fully connected layer alone, which kernels gain by Winograd's algorithm, the weights of the sources in the fit, which rows only check, and \
         how much a borrowed band is widened. Leaving rows out of the fit does not undo these choices: \
         on a network or board of yours, expect errors nearer to *other families* than to *held out*.\n\
         - The families were written down before their errors were seen; that single layers are told \
         apart from networks came after. Wall power at rest was tried \
         in proportion to the memory's bandwidth, to its highest bandwidth and to the design power; \
         errors on the other board were alike, and the first was kept because it follows a mode's clock. Without NVIDIA's ratio \
         for the DLA they are alike too.\n",
    );
    out
}

/// Wall power of published rows beside the fit's.
fn wall_power(out: &mut String, power: &PowerFit) {
    let p = &power.file.parameters;
    let (median, nine) = power.other_boards();
    let text = format!(
        "\n## Power at the wall\n\n{} W per GB/s of peak DRAM bandwidth, and {} of the design watts per dense \
         INT8 TOPS for each operation on the GPU. On the board that the fit did not know: median {} %, \
         nine of ten within {} %, which is the band shown.\n\n\
         | row | board | measured W | predicted W | error % | other boards error % |\n\
         |---|---|---:|---:|---:|---:|\n",
        p.watts_per_gbs,
        p.design_share,
        percent(median),
        percent(nine)
    );
    out.push_str(&text);
    for c in &power.comparisons {
        line(
            out,
            &format!(
                "| {} | {} | {:.2} | {:.2} | {:+.1} | {:+.1} |",
                c.id,
                c.board,
                c.measured,
                c.predicted,
                c.error() * 100.0,
                c.other_boards_error() * 100.0
            ),
        );
    }
    let sources: std::collections::BTreeSet<&str> =
        power.comparisons.iter().map(|c| &*c.source).collect();
    out.push('\n');
    for source in sources {
        line(out, &format!("- {source}"));
    }
    rails(out, power);
}

/// Rails and accelerators of published rows beside the fit's.
fn rails(out: &mut String, power: &PowerFit) {
    out.push_str("\n## Power of the rails\n\n");
    for f in &power.file.rails {
        let text = format!(
            "{} in {}, {}: {} W with the GPU idle and {} W more with it always busy; {}. Nine of ten \
             rows of a network that the fit did not know are within {} %, and the band widens in \
             proportion beyond the busiest row: an engine back to back keeps the GPU always busy.",
            f.board,
            f.mode,
            f.precision,
            f.rest_watts,
            f.busy_watts,
            f.source,
            percent(f.band)
        );
        line(out, &text);
    }
    out.push_str(
        "\n| row | GPU busy % | measured W | predicted W | error % | other networks error % |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for c in &power.rails {
        line(
            out,
            &format!(
                "| {} | {:.0} | {:.2} | {:.2} | {:+.1} | {:+.1} |",
                c.id,
                c.busy * 100.0,
                c.measured,
                c.predicted,
                c.error() * 100.0,
                c.other_networks_error() * 100.0
            ),
        );
    }
    let sources: std::collections::BTreeSet<&str> =
        power.rails.iter().map(|c| &*c.source).collect();
    out.push('\n');
    for source in sources {
        line(out, &format!("- {source}"));
    }
    out.push_str(
        "\n## Power of the accelerators alone\n\nImages per joule of two DLAs by those of the GPU, INT8 without \
         sparsity; the band is the largest error on a network that the median did not know.\n\n\
         | board | mode | times | band % |\n|---|---|---:|---:|\n",
    );
    for a in &power.file.accelerators {
        line(
            out,
            &format!(
                "| {} | {} | {} | {} |",
                a.board,
                a.mode,
                a.gain,
                percent(a.band)
            ),
        );
    }
}

/// Errors of whole engines by what the fit did not know.
fn left_out(out: &mut String, calibration: &Calibration) {
    out.push_str(
        "\n## Whole engines that the fit did not know\n\nOne line for each thing that was left \
         out of the fit. *Any* is the largest error of each row. The single layers are networks of \
         one layer on the DLA of AGX Orin; their family is the kind of layer, so leaving out the \
         family leaves nothing that is alike.\n\n\
         | left out | networks | median | nine of ten | single layers | median | nine of ten | all | median | nine of ten |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let unseen = calibration.unseen();
    type Error = fn(&Unseen) -> Option<f64>;
    let kinds: [(&str, Error); 5] = [
        ("its model", |r| Some(r.model)),
        ("its board", |r| r.board),
        ("its family", |r| r.family),
        ("its source", |r| r.source),
        ("any", |r| Some(r.error)),
    ];
    for (what, error) in kinds {
        let cells = |keep: &dyn Fn(&Unseen) -> bool| {
            let rows = unseen.iter().filter(|r| keep(r));
            let errors: Vec<f64> = rows.filter_map(error).collect();
            let of = |q| or_dash(quantile(&errors, q));
            format!("{} | {} | {}", errors.len(), of(0.5), of(0.9))
        };
        line(
            out,
            &format!(
                "| {what} | {} | {} | {} |",
                cells(&|r| !r.single_layer),
                cells(&|r| r.single_layer),
                cells(&|_| true)
            ),
        );
    }
}

/// How many rows that no fit knew the bands hold.
fn coverage(out: &mut String, calibration: &Calibration) {
    let unseen = calibration.unseen();
    out.push_str(
        "\n## Coverage of the bands\n\nThe largest error of each row counts, whatever was left out. \
         A band claims nine of ten.\n\n\
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
        let quantile = |q| or_dash(quantile(&errors, q));
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
            "\n## {title}\n\n| {columns} | rows | mean | median | worst | bias | held out median | held out mean | other boards median | other families median | other sources median |\n|{}{}",
            "---|".repeat(left),
            "---:|".repeat(10)
        ),
    );
    for (k, rows) in groups {
        let Some(s) = Statistics::of(&rows) else {
            continue;
        };
        line(
            out,
            &format!(
                "| {k} | {} | {} | {} | {} | {:+.1} | {} | {} | {} | {} | {} |",
                s.rows,
                percent(s.mean),
                percent(s.median),
                percent(s.worst),
                s.bias * 100.0,
                percent(s.held_out_median),
                percent(s.held_out_mean),
                or_dash(s.other_boards_median),
                or_dash(s.other_families_median),
                or_dash(s.other_sources_median),
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
