//! Runs as CSV.

use crate::engine::{Mark, Outcome};

use super::StoredRun;

/// Column names of the export, in order.
pub const CSV_HEADER: &str = "id,started_ms,model,structure_hash,board,gpu,power_mode,tensorrt,\
precision,batch,dla_core,gpu_fallback,default_device,overrides,state,fps,fps_min,fps_max,repeats,\
latency_median_ms,latency_p99_ms,cuda_graph,build_s,engine_bytes,silent_fallbacks,cosine,\
max_abs_error,timing_only,deployment,member,total_fps,message,mj_per_image,watts,energy_of,marks";

/// The header and one line per run.
pub(super) fn write(runs: &[StoredRun]) -> String {
    let rows = runs.iter().map(|StoredRun { id, run }| {
        let m = run.measurement();
        let config = &run.request.config;
        let env = &run.environment;
        let overrides: Vec<String> = run
            .request
            .placement
            .overrides
            .iter()
            .map(|(site, device)| format!("{site}={device}"))
            .collect();
        let number = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        let (state, message) = match &run.outcome {
            Outcome::Finished(_) => ("finished".to_owned(), String::new()),
            Outcome::Failed(f) => (
                format!("{:?}", f.kind).to_lowercase(),
                format!("{}: {}", f.stage.label(), f.message),
            ),
        };
        let share = run.deployment.as_ref();
        [
            id.to_string(),
            run.started_ms.to_string(),
            run.model.name.clone(),
            run.model.structure_hash.clone(),
            env.board.clone().unwrap_or_default(),
            env.gpu.clone().unwrap_or_default(),
            env.power_mode.clone().unwrap_or_default(),
            env.tensorrt.clone().unwrap_or_default(),
            config.precision.to_string(),
            config.batch.to_string(),
            config.dla_core.to_string(),
            config.gpu_fallback.to_string(),
            run.request.placement.default.to_string(),
            overrides.join("; "),
            state,
            number(m.map(|m| m.fps.value)),
            number(m.map(|m| m.fps.min)),
            number(m.map(|m| m.fps.max)),
            m.map_or(String::new(), |m| m.fps.repeats.to_string()),
            number(m.map(|m| m.latency.median)),
            number(m.map(|m| m.latency.p99)),
            m.map_or(String::new(), |m| m.cuda_graph.to_string()),
            number(m.map(|m| m.build_s)),
            m.map_or(String::new(), |m| m.engine_bytes.to_string()),
            run.comparison
                .as_ref()
                .map_or(String::new(), |c| c.silent_fallbacks.join("; ")),
            number(m.and_then(|m| Some(m.numeric.as_ref()?.cosine))),
            number(m.and_then(|m| Some(m.numeric.as_ref()?.max_abs_error))),
            m.and_then(|m| m.timing_only.clone()).unwrap_or_default(),
            share.map_or(String::new(), |s| s.group.clone()),
            share.map_or(String::new(), |s| s.member.to_string()),
            number(share.and_then(|s| Some(s.total_fps.as_ref()?.value))),
            message,
            number(m.and_then(|m| m.mj_per_image.value())),
            number(m.and_then(|m| Some(m.energy.as_ref()?.watts()))),
            m.and_then(|m| m.energy.as_ref())
                .map_or(String::new(), |e| e.kind.text().to_owned()),
            run.marks
                .iter()
                .map(Mark::title)
                .collect::<Vec<_>>()
                .join("; "),
        ]
    });
    table(CSV_HEADER, rows)
}

/// A header line and rows as CSV (RFC 4180). Cells that a spreadsheet would take for a formula get
/// a leading apostrophe.
pub(crate) fn table<const N: usize>(
    header: &str,
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut writer = csv::Writer::from_writer(format!("{header}\n").into_bytes());
    for row in rows {
        // Writing to memory cannot fail, and all rows have the same length.
        let _ok = writer.write_record(row.map(guarded));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// A cell that no spreadsheet takes for a formula.
pub(crate) fn guarded(cell: String) -> String {
    let formula = cell.starts_with(['=', '+', '@', '\t', '\r'])
        || (cell.starts_with('-') && cell.parse::<f64>().is_err());
    if formula { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        let quote = |cell: &str| table("h", std::iter::once([cell.to_owned()]));
        for (cell, line) in [
            ("a.b", "a.b"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("=cmd()", "'=cmd()"),
            ("-1.5", "-1.5"),
            ("-x", "'-x"),
        ] {
            assert_eq!(quote(cell), format!("h\n{line}\n"));
        }
    }
}
