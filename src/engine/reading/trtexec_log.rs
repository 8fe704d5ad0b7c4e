//! The log of a whole trtexec run: placement, performance summary, errors.

use super::build_log::{PlacementLog, messages, plain};

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
    /// Error lines, those that only send a layer to the GPU aside.
    pub errors: Vec<String>,
    /// Lines that say nothing dlaplan reads.
    pub unknown: Vec<String>,
    /// A logger that dlaplan knows wrote some of it.
    pub logged: bool,
}

/// Reads a whole log. A line that says nothing dlaplan reads is kept in [`Report::unknown`].
pub fn parse_report(text: &str) -> Report {
    let mut report = Report::default();
    let mut in_summary = false;
    for line in text.lines() {
        let line = plain(line);
        for message in messages(&line) {
            report.logged |= message.logged;
            let text = message.text;
            let sent_before = report.placement.refusals.len();
            let heard = report.placement.hear(&message);
            let sent = report.placement.refusals.len() > sent_before;
            if message.error && !sent {
                report.errors.push(text.to_owned());
            } else if text.starts_with("=== Performance summary") {
                in_summary = true;
                report.summary = Some(Summary::default());
            } else if text.starts_with("&&&& PASSED") {
                report.passed = Some(true);
            } else if text.starts_with("&&&& FAILED") {
                report.passed = Some(false);
            } else if in_summary
                && let Some(summary) = &mut report.summary
                && summary_line(text, summary)
            {
            } else if !heard {
                report.unknown.push(text.to_owned());
            }
        }
    }
    report.summary = report.summary.filter(|s| s.qps > 0.0 && s.qps.is_finite());
    report
}

/// Takes in a line of the summary; `false` where it is none that dlaplan reads.
fn summary_line(text: &str, summary: &mut Summary) -> bool {
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
    } else {
        return false;
    }
    true
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
