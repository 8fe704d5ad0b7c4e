//! A report in one HTML file: nothing is fetched, nothing runs, both colour schemes.

use std::fmt::Write as _;

use crate::chart::{Chart, Palette};
use crate::estimate::{Breakdown, Cause, Kernel};
use crate::figure::{Figure, short};
use crate::model::by;
use crate::placement::{Device, Site};

use super::glossary::GLOSSARY;
use super::{Refused, Subject};

/// Text for HTML content and quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are no part of HTML.
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "
:root{--back:#fff;--text:#1c2026;--faint:#626a76;--line:#e2e6ec;--gpu:#3f7d20;--dla:#2463be;--fall:#b25e09}
@media(prefers-color-scheme:dark){:root{--back:#16181d;--text:#e6e9ee;--faint:#949ca8;--line:#2e323a;--gpu:#8cc84b;--dla:#68a4ff;--fall:#f0a450}}
body{background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:40px auto;padding:0 24px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:32px 0 8px}
p,li{max-width:75ch}.faint{color:var(--faint)}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{color:var(--faint);font-weight:normal}td.n,th.n{text-align:right;white-space:nowrap}
.GPU{color:var(--gpu)}.DLA{color:var(--dla)}.fall{color:var(--fall)}
.strip{display:flex;height:34px;margin:8px 0;border-radius:4px;overflow:hidden}.strip i{min-width:1px}
.strip .GPU{background:var(--gpu)}.strip .DLA{background:var(--dla)}.strip .fall{background:var(--fall)}
svg,.chart img{max-width:100%;height:auto}.dark{display:none}
@media(prefers-color-scheme:dark){.light{display:none}.dark{display:block}}
.fall-bars td{vertical-align:middle}.fall-bars td.b{width:45%;padding:4px 0}
.bar{position:relative;height:14px;background:var(--line);border-radius:2px}.bar i{position:absolute;top:0;bottom:0;min-width:1px;border-radius:2px;background:var(--fall)}.bar .whole{background:var(--faint)}
.bar .GPU{background:var(--gpu)}.bar .DLA{background:var(--dla)}
details summary{cursor:pointer;color:var(--faint)}
";

/// The report: what was asked, what it means, how fast it should be and why, every op.
///
/// # Errors
/// The chart cannot be drawn.
pub fn report(subject: &Subject<'_>, chart: &Chart) -> Result<String, Refused> {
    let Subject {
        model,
        target,
        config,
        plan,
        estimate,
        ..
    } = *subject;
    let mut out =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    let title = escape(&model.name);
    write!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width\"><title>{title}: GPU and DLA</title>\
         <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n\
         <p class=\"faint\">{}, {}, batch {}, DLA core {}, {}{}</p>\n<p>{}</p>\n",
        escape(&target.to_string()),
        config.precision,
        config.batch,
        config.dla_core,
        if config.gpu_fallback {
            "GPU fallback"
        } else {
            "strict"
        },
        config.io_words(),
        escape(&plan.summary(model).to_string()),
    )
    .ok();
    strip(&mut out, subject);
    out.push_str("<h2>Figures</h2>\n<table>");
    for (what, unit, figure) in [
        ("Throughput", "FPS", &estimate.fps),
        ("Latency", "ms", &estimate.latency_ms),
        ("GPU work", "ms", &estimate.gpu_ms),
        ("DLA work", "ms", &estimate.dla_ms),
        ("Transitions", "ms", &estimate.transition_ms),
    ] {
        row(&mut out, what, unit, figure);
    }
    out.push_str("</table>\n");
    if let Some(breakdown) = subject.breakdown {
        spent(&mut out, subject, breakdown);
    }
    placement(&mut out, subject);
    if !plan.fallbacks.is_empty() {
        out.push_str("<h2>Falls back to the GPU</h2>\n<ul>");
        for (why, ops) in plan.fallback_groups(model) {
            let names: Vec<String> = ops
                .iter()
                .take(6)
                .map(|o| escape(&model.op(*o).name))
                .collect();
            let more = if ops.len() > 6 {
                format!(" and {} more", ops.len() - 6)
            } else {
                String::new()
            };
            write!(
                out,
                "<li><span class=\"fall\">{}</span><br><span class=\"faint\">{}{more}</span></li>",
                escape(&why),
                names.join(", ")
            )
            .ok();
        }
        out.push_str("</ul>\n");
    }
    if !plan.lints.is_empty() {
        out.push_str("<h2>Worth knowing</h2>\n<ul>");
        for lint in &plan.lints {
            write!(
                out,
                "<li>{}: {}</li>",
                escape(&lint.hazard),
                escape(&lint.mitigation)
            )
            .ok();
        }
        out.push_str("</ul>\n");
    }
    subgraphs(&mut out, subject);
    crossings(&mut out, subject);
    if !chart.points.is_empty() {
        out.push_str("<h2>Placements compared</h2>\n<div class=\"chart\">");
        for (class, palette) in [("light", Palette::Light), ("dark", Palette::Dark)] {
            write!(out, "<div class=\"{class}\">{}</div>", chart.svg(palette)?).ok();
        }
        out.push_str("</div>\n");
        side_by_side(&mut out, chart);
    }
    ops(&mut out, subject);
    glossary(&mut out);
    out.push_str("<p class=\"faint\">Made by dlaplan ");
    out.push_str(env!("CARGO_PKG_VERSION"));
    out.push_str(".</p>\n</body></html>\n");
    Ok(out)
}

fn row(out: &mut String, what: &str, unit: &str, figure: &Figure) {
    write!(
        out,
        "<tr><td>{what}</td><td>{}</td><td class=\"faint\">{}</td></tr>",
        escape(&figure.with_unit(unit)),
        escape(figure.source())
    )
    .ok();
}

/// Maximum number of stripes. A stripe is a row of ops on one device, as wide as their number.
const STRIPES: usize = 400;

fn strip(out: &mut String, subject: &Subject<'_>) {
    let plan = subject.plan;
    let mut runs: Vec<(&str, usize)> = Vec::new();
    for (asked, got) in plan.requested.iter().zip(&plan.predicted) {
        let class = if asked == got { got.as_str() } else { "fall" };
        match runs.last_mut() {
            Some((last, n)) if *last == class => *n += 1,
            _ => runs.push((class, 1)),
        }
    }
    if runs.len() > STRIPES {
        return;
    }
    out.push_str("<div class=\"strip\" role=\"img\" aria-label=\"devices in execution order\">");
    for (class, n) in runs {
        write!(
            out,
            "<i class=\"{class}\" style=\"flex:{n}\" title=\"{n} ops\"></i>"
        )
        .ok();
    }
    out.push_str(
        "</div><p class=\"faint\">Ops in execution order: <span class=\"GPU\">GPU</span>, \
         <span class=\"DLA\">DLA</span>, <span class=\"fall\">asked for the DLA, falls back</span>.</p>\n",
    );
}

/// Kernels listed in the report.
const KERNELS: usize = 8;

/// From all on the GPU to this placement, and the kernels that take longest.
fn spent(out: &mut String, subject: &Subject<'_>, breakdown: &Breakdown) {
    let fall = &breakdown.waterfall;
    let picture = fall.picture("this placement");
    if picture.bars.is_empty() {
        return;
    }
    write!(
        out,
        "<h2>Where the time goes</h2>\n<p>{}</p>\n<table class=\"fall-bars\">",
        escape(&fall.verdict())
    )
    .ok();
    for bar in &picture.bars {
        let class = match bar.cause {
            Some(Cause::LeavesGpu) => "GPU",
            Some(Cause::RunsOnDla) => "DLA",
            Some(_) => "cost",
            None => "whole",
        };
        write!(
            out,
            "<tr><td>{}</td><td class=\"b\"><div class=\"bar\"><i class=\"{class}\" \
             style=\"left:{:.2}%;width:{:.2}%\"></i></div></td><td class=\"n\">{}</td></tr>",
            escape(&bar.text),
            bar.left * 100.0,
            (bar.right - bar.left) * 100.0,
            bar.value,
        )
        .ok();
    }
    out.push_str("</table>\n");
    if let Some(note) = picture.note() {
        writeln!(out, "<p class=\"faint\">{note}.</p>").ok();
    }
    kernels(out, subject, "Slowest kernels", &breakdown.hottest);
    kernels(
        out,
        subject,
        "Slower on the DLA than on the GPU",
        &breakdown.losses,
    );
}

fn kernels(out: &mut String, subject: &Subject<'_>, title: &str, kernels: &[Kernel]) {
    if kernels.is_empty() {
        return;
    }
    write!(
        out,
        "<h2>{title}</h2>\n<table><tr><th>op</th><th>with</th><th>device</th>\
         <th class=\"n\">ms</th><th class=\"n\">on the other</th></tr>"
    )
    .ok();
    for kernel in kernels.iter().take(KERNELS) {
        let Some((main, fused)) = kernel.ops.split_first() else {
            continue;
        };
        let types: Vec<&str> = fused
            .iter()
            .map(|op| &*subject.model.op(*op).op_type)
            .collect();
        write!(
            out,
            "<tr><td>{}</td><td class=\"faint\">{}</td><td class=\"{2}\">{2}</td>\
             <td class=\"n\">{3}</td><td class=\"n\">{4}</td></tr>",
            escape(&subject.model.op(*main).name),
            escape(&types.join(", ")),
            kernel.device,
            short(kernel.ms),
            kernel.other_ms.map_or_else(|| "-".to_owned(), short),
        )
        .ok();
    }
    out.push_str("</table>\n");
}

/// Crossings listed one by one.
const MOST_CROSSINGS: usize = 200;

/// The tensors that cross devices, in execution order.
fn crossings(out: &mut String, subject: &Subject<'_>) {
    let (model, transitions) = (subject.model, &subject.plan.transitions);
    if transitions.is_empty() {
        return;
    }
    out.push_str(
        "<h2>What crosses</h2>\n<table><tr><th>tensor</th><th>shape</th><th class=\"n\">bytes</th>\
         <th>from</th><th>to</th><th>time</th></tr>",
    );
    for (i, transition) in transitions.iter().enumerate().take(MOST_CROSSINGS) {
        let tensor = model.tensor(transition.tensor);
        let shape = tensor
            .shape
            .as_deref()
            .map_or_else(|| "unknown".to_owned(), by);
        let size = match transition.bytes {
            0 => "unknown".to_owned(),
            n => n.to_string(),
        };
        let end = |device: Device, ours: bool| {
            let at_end = transition.boundary && ours;
            let text = if at_end {
                "the caller"
            } else {
                device.as_str()
            };
            format!("<td class=\"{device}\">{text}</td>")
        };
        write!(
            out,
            "<tr><td>{}</td><td>{shape}</td><td class=\"n\">{size}</td>{}{}<td>{}</td></tr>",
            escape(&tensor.name),
            end(transition.from, transition.from == Device::Gpu),
            end(transition.to, transition.to == Device::Gpu),
            escape(&subject.estimate.transition_figure(i).with_unit("ms")),
        )
        .ok();
    }
    out.push_str("</table>\n");
    if let Some(more) = transitions
        .len()
        .checked_sub(MOST_CROSSINGS)
        .filter(|n| *n > 0)
    {
        writeln!(out, "<p class=\"faint\">and {more} more.</p>").ok();
    }
}

/// Engines at the same time, measured, estimated and published.
fn side_by_side(out: &mut String, chart: &Chart) {
    let groups = chart.deployments();
    if groups.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Engines side by side</h2>\n<table><tr><th>deployment</th><th>engine</th>\
         <th>FPS</th><th>from</th></tr>",
    );
    for group in groups {
        for (n, (_, point)) in group.bars.iter().enumerate() {
            write!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"faint\">{}</td></tr>",
                if n == 0 {
                    escape(&group.title)
                } else {
                    String::new()
                },
                escape(&point.label),
                escape(&point.fps.to_string()),
                escape(point.fps.source()),
            )
            .ok();
        }
        if let Some(total) = group.total_fps {
            write!(
                out,
                "<tr><td></td><td>together</td><td>{}</td><td></td></tr>",
                short(total)
            )
            .ok();
        }
    }
    out.push_str("</table>\n");
}

/// The field's words.
fn glossary(out: &mut String) {
    out.push_str("<details><summary>Glossary</summary><dl>");
    for (word, text) in GLOSSARY {
        write!(out, "<dt>{}</dt><dd>{}</dd>", escape(word), escape(text)).ok();
    }
    out.push_str("</dl></details>\n");
}

fn placement(out: &mut String, subject: &Subject<'_>) {
    let placement = subject.placement;
    write!(
        out,
        "<h2>Placement</h2>\n<table><tr><td>everything else</td><td class=\"{0}\">{0}</td></tr>",
        placement.default
    )
    .ok();
    for (site, device) in &placement.overrides {
        let kind = match site {
            Site::Module(_) => "",
            Site::Op(_) => " (op)",
        };
        write!(
            out,
            "<tr><td>{}{kind}</td><td class=\"{device}\">{device}</td></tr>",
            escape(&site.to_string())
        )
        .ok();
    }
    out.push_str("</table>\n");
}

fn subgraphs(out: &mut String, subject: &Subject<'_>) {
    let Subject {
        model,
        plan,
        estimate,
        ..
    } = *subject;
    if plan.subgraphs.is_empty() {
        return;
    }
    out.push_str(
        "<h2>DLA subgraphs</h2>\n<table><tr><th class=\"n\">#</th><th>from</th><th>to</th>\
         <th class=\"n\">ops</th><th class=\"n\">in, MB</th><th class=\"n\">out, MB</th><th>time</th></tr>",
    );
    for (i, subgraph) in plan.subgraphs.iter().enumerate() {
        let name = |op: Option<&crate::model::OpId>| {
            op.map_or(String::new(), |o| escape(&model.op(*o).name))
        };
        write!(
            out,
            "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            i + 1,
            name(subgraph.ops.first()),
            name(subgraph.ops.last()),
            subgraph.ops.len(),
            short(subgraph.bytes_in as f64 / 1e6),
            short(subgraph.bytes_out as f64 / 1e6),
            estimate
                .subgraph_ms
                .get(i)
                .map_or(String::new(), |f| escape(&f.with_unit("ms"))),
        )
        .ok();
    }
    out.push_str("</table>\n");
}

/// Ops listed one by one.
const MOST_OPS: usize = 5_000;

fn ops(out: &mut String, subject: &Subject<'_>) {
    let Subject { model, plan, .. } = *subject;
    write!(
        out,
        "<h2>Ops</h2>\n<details><summary>{} ops</summary><table><tr><th>module</th><th>op</th>\
         <th>type</th><th>requested</th><th>predicted</th><th>why</th></tr>",
        model.ops.len()
    )
    .ok();
    let cell = |d: Device| format!("<td class=\"{d}\">{d}</td>");
    for id in model.op_ids().take(MOST_OPS) {
        let op = model.op(id);
        write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td>{}{}<td class=\"fall\">{}</td></tr>",
            escape(&model.modules.get(op.module).path),
            escape(&op.name),
            escape(&op.op_type),
            cell(plan.requested[id.index()]),
            cell(plan.predicted[id.index()]),
            plan.fallback(id)
                .map_or(String::new(), |f| escape(&f.sentence())),
        )
        .ok();
    }
    out.push_str("</table>");
    if model.ops.len() > MOST_OPS {
        write!(
            out,
            "<p class=\"faint\">The first {MOST_OPS}; the CSV export has them all.</p>"
        )
        .ok();
    }
    out.push_str("</details>\n");
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("<script>'&\"\u{7}"),
            "&lt;script&gt;&#39;&amp;&quot;\u{fffd}"
        );
    }
}
