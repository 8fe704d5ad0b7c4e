//! Log lines, of TensorRT's logger or of a trtexec file: `[11/21/2026-04:10:11] [I] [TRT] ...`.

use crate::engine::reading::attribution::PlacementLog;

/// trtexec's performance summary. Times in ms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Inferences per second; FPS is this times the batch.
    pub qps: f64,
    /// `Latency: min`.
    pub min_ms: Option<f64>,
    /// `mean`.
    pub mean_ms: Option<f64>,
    /// `median`.
    pub median_ms: Option<f64>,
    /// `max`.
    pub max_ms: Option<f64>,
    /// `percentile(p%)`, as (p, ms).
    pub percentiles: Vec<(f64, f64)>,
    /// `GPU Compute Time: median`.
    pub gpu_median_ms: Option<f64>,
}

/// A whole trtexec log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Where the build put the layers.
    pub placement: PlacementLog,
    /// Figures, if it got that far.
    pub summary: Option<Summary>,
    /// `&&&& PASSED`, `&&&& FAILED`, or neither.
    pub passed: Option<bool>,
    /// Error lines.
    pub errors: Vec<String>,
}

/// The message of a line, without trtexec's date, severity and `[TRT]`.
fn message(line: &str) -> &str {
    let mut rest = line.trim();
    for _ in 0..3 {
        let Some((tag, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) else {
            break;
        };
        let date = tag.bytes().next().is_some_and(|b| b.is_ascii_digit());
        if !(date || matches!(tag, "TRT" | "E" | "W" | "I" | "V" | "F")) {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

/// Takes what a line says about devices into `log`. Knows TensorRT 7 to 10.
pub fn parse_placement(line: &str, log: &mut PlacementLog) {
    let text = message(line);
    if let Some(name) = text.strip_prefix("[DlaLayer] ") {
        log.dla.push(name.trim().to_owned());
    } else if let Some(rest) = text.strip_prefix("[GpuLayer] ") {
        // Since 8.2 with the type first: `[GpuLayer] POOLING: /pool/GlobalAveragePool`.
        let name = match rest.split_once(": ") {
            Some((kind, name)) if kind.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => name,
            _ => rest,
        };
        log.gpu.push(name.trim().to_owned());
    } else if let Some((name, why)) = refusal(text) {
        log.refusals.push((name, why));
    } else if text.starts_with('{') && text.ends_with('}') && text.contains("}, {") {
        // TensorRT 7: one line with all blocks.
        log.dla.extend(
            text.split(", {")
                .map(|b| b.trim_matches(['{', '}', ',', ' ']).to_owned()),
        );
    }
}

/// Layer and reason of a line that sends a layer to the GPU.
fn refusal(text: &str) -> Option<(String, String)> {
    let owned = |name: &str| Some((name.trim().to_owned(), text.to_owned()));
    if let Some(rest) = text.strip_prefix("Layer '")
        && text.contains("DLA")
    {
        // `Layer 'X' (TYPE): Unsupported on DLA. Switching this layer's device type to GPU.`
        return owned(
            rest.rsplit_once("' (")
                .map_or_else(|| rest.split('\'').next(), |(n, _)| Some(n))?,
        );
    }
    if let Some(rest) = text.strip_prefix("Default DLA is enabled but layer ") {
        return owned(rest.split(" is not supported on DLA").next()?);
    }
    if let Some(rest) = text.strip_prefix("Validation failed for DLA layer: ") {
        return owned(rest.split(". Switching to GPU").next()?);
    }
    if let Some(rest) = text.strip_prefix("Splitting DLA subgraph at: ") {
        return owned(rest.split(" because ").next()?);
    }
    if text.starts_with("DLA supports only ")
        && let Some((_, name)) = text.split_once("Switching to GPU for layer ")
    {
        return owned(name.trim_end_matches('.'));
    }
    if let Some(rest) = text.strip_prefix("DLA Layer ")
        && let Some((name, _)) = rest.split_once(" does not support")
    {
        return owned(name);
    }
    if let Some(rest) = text.strip_prefix("DLA LAYER: ")
        && let Some((_, rest)) = rest.split_once(" for layer ")
    {
        return owned(rest.split(" exceeds").next()?);
    }
    // `X: DLA only supports concatenation on the C dimension.`
    let (name, why) = text.split_once(": ")?;
    let about = [
        "DLA only supports",
        "DLA cores do not support",
        "DLA does not support",
    ];
    about
        .iter()
        .any(|a| why.starts_with(a))
        .then(|| owned(name))?
}

/// Reads a whole log.
pub fn parse_report(text: &str) -> Report {
    let mut report = Report::default();
    let mut in_summary = false;
    for line in text.lines() {
        parse_placement(line, &mut report.placement);
        let is_error = line.contains("] [E] ");
        let text = message(line);
        if is_error {
            report.errors.push(text.to_owned());
        }
        if text.starts_with("=== Performance summary") {
            in_summary = true;
            report.summary = Some(Summary::default());
        } else if text.starts_with("&&&& PASSED") {
            report.passed = Some(true);
        } else if text.starts_with("&&&& FAILED") {
            report.passed = Some(false);
        } else if in_summary && let Some(summary) = &mut report.summary {
            summary_line(text, summary);
        }
    }
    report.summary = report.summary.filter(|s| s.qps > 0.0 && s.qps.is_finite());
    report
}

fn summary_line(text: &str, summary: &mut Summary) {
    if let Some(rest) = text.strip_prefix("Throughput: ") {
        let qps = rest.split_whitespace().next().and_then(|n| n.parse().ok());
        summary.qps = qps.unwrap_or(0.0);
    } else if let Some(rest) = text.strip_prefix("Latency: ") {
        for (name, ms) in pairs(rest) {
            match name {
                "min" => summary.min_ms = Some(ms),
                "max" => summary.max_ms = Some(ms),
                "mean" => summary.mean_ms = Some(ms),
                "median" => summary.median_ms = Some(ms),
                _ => {
                    let p = name
                        .strip_prefix("percentile(")
                        .and_then(|p| p.strip_suffix("%)"));
                    if let Some(p) = p.and_then(|p| p.parse().ok()) {
                        summary.percentiles.push((p, ms));
                    }
                }
            }
        }
    } else if let Some(rest) = text.strip_prefix("GPU Compute Time: ") {
        summary.gpu_median_ms = pairs(rest).find(|(n, _)| *n == "median").map(|(_, ms)| ms);
    }
}

/// `min = 1.2 ms, max = 3 ms` as names and values.
fn pairs(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.split(", ").filter_map(|part| {
        let (name, value) = part.split_once(" = ")?;
        Some((name.trim(), value.trim().strip_suffix(" ms")?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(text: &str) -> PlacementLog {
        let mut log = PlacementLog::default();
        text.lines().for_each(|l| parse_placement(l, &mut log));
        log
    }

    /// Lines documented in NVIDIA's DLA tutorial and issues, TensorRT 8.x.
    #[test]
    fn layers_of_a_build() {
        let log = placement(
            "[04/10/2023-11:05:01] [I] [TRT] ---------- Layers Running on DLA ----------\n\
             [04/10/2023-11:05:01] [I] [TRT] [DlaLayer] {ForeignNode[/cnn/cnn.0/Conv.../cnn/cnn.11/Relu]}\n\
             [04/10/2023-11:05:01] [I] [TRT] [DlaLayer] {ForeignNode[/linear/Gemm]}\n\
             [04/10/2023-11:05:01] [I] [TRT] ---------- Layers Running on GPU ----------\n\
             [04/10/2023-11:05:01] [I] [TRT] [GpuLayer] POOLING: /pool/GlobalAveragePool\n\
             [GpuLayer] CONVOLUTION: a + b\n\
             [GpuLayer] Conv_0",
        );
        assert_eq!(
            log.dla,
            [
                "{ForeignNode[/cnn/cnn.0/Conv.../cnn/cnn.11/Relu]}",
                "{ForeignNode[/linear/Gemm]}"
            ]
        );
        assert_eq!(log.gpu, ["/pool/GlobalAveragePool", "a + b", "Conv_0"]);
        assert!(log.refusals.is_empty());
    }

    #[test]
    fn reasons_of_a_fallback() {
        let names = |text: &str| -> Vec<String> {
            placement(text)
                .refusals
                .into_iter()
                .map(|(n, _)| n)
                .collect()
        };
        for (line, name) in [
            (
                "[W] [TRT] Layer '/fc/Gemm (x)' (MATRIX_MULTIPLY): Unsupported on DLA. Switching this layer's device type to GPU.",
                "/fc/Gemm (x)",
            ),
            (
                "[TRT] /cat/Concat: DLA only supports concatenation on the C dimension.",
                "/cat/Concat",
            ),
            (
                "/a/Mul: DLA cores do not support MUL with broadcast",
                "/a/Mul",
            ),
            (
                "Default DLA is enabled but layer Softmax_3 is not supported on DLA, falling back to GPU.",
                "Softmax_3",
            ),
            (
                "DLA LAYER: Batch size (64) for layer conv1 exceeds max batch size allowed of 32.",
                "conv1",
            ),
            (
                "DLA Layer conv1 does not support dynamic shapes in any dimension.",
                "conv1",
            ),
            (
                "Validation failed for DLA layer: /a/b. Switching to GPU fallback.",
                "/a/b",
            ),
            (
                "Splitting DLA subgraph at: /a/b because DLA validation failed",
                "/a/b",
            ),
            (
                "DLA supports only 16 subgraphs per DLA core. Switching to GPU for layer /z/Conv",
                "/z/Conv",
            ),
        ] {
            assert_eq!(names(line), [name], "{line}");
        }
        assert!(names("[I] [TRT] Loaded engine size: 24 MiB\nsomething: else").is_empty());
    }

    #[test]
    fn tensorrt_7_lists_blocks_in_one_line() {
        let log = placement("[I] {conv1,relu1}, {conv2}\n{onlyone}");
        assert_eq!(log.dla, ["conv1,relu1", "conv2"]);
    }

    #[test]
    fn performance_summary() {
        let report = parse_report(
            "[10/17/2022-20:24:34] [I] === Performance summary ===\n\
             [10/17/2022-20:24:34] [I] Throughput: 305.926 qps\n\
             [10/17/2022-20:24:34] [I] Latency: min = 3.2 ms, max = 4.5 ms, mean = 3.3 ms, median = 3.28 ms, percentile(90%) = 3.4 ms, percentile(95%) = 3.5 ms, percentile(99%) = 4.1 ms\n\
             [10/17/2022-20:24:34] [I] GPU Compute Time: min = 3.1 ms, max = 4.4 ms, mean = 3.2 ms, median = 3.18 ms, percentile(90%) = 3.3 ms\n\
             [10/17/2022-20:24:34] [W] * GPU compute time is unstable, with coefficient of variance = 2.1%.\n\
             &&&& PASSED TensorRT.trtexec [TensorRT v8502] # trtexec",
        );
        let summary = report.summary.unwrap();
        assert_eq!((summary.qps, summary.median_ms), (305.926, Some(3.28)));
        assert_eq!(summary.percentiles, [(90.0, 3.4), (95.0, 3.5), (99.0, 4.1)]);
        assert_eq!(summary.gpu_median_ms, Some(3.18));
        assert_eq!(report.passed, Some(true));

        let failed = parse_report(
            "[01/01/2024-00:00:00] [E] Cannot create DLA engine, 0 not available\n&&&& FAILED TensorRT.trtexec",
        );
        assert_eq!(failed.passed, Some(false));
        assert_eq!(failed.errors, ["Cannot create DLA engine, 0 not available"]);
        assert_eq!(failed.summary, None);
    }
}
