//! Parts of the inspector: what the engine of the placement on screen really did.

use egui::{Label, RichText, Ui};

use super::super::command::Command;
use super::super::state::State;
use crate::figure::short;
use crate::gui::data::actual::{Actual, Spent};
use crate::gui::data::open::Open;
use crate::gui::data::runs::when;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::{facts, note, section};
use crate::gui::ui::{theme, widgets};
use crate::model::OpId;
use crate::placement::Device;

/// Ops named in a list.
const MOST_NAMED: usize = 8;

/// The run that belongs to the placement on screen.
pub fn measured(ui: &mut Ui, state: &State, open: &Open, t: &Tokens, out: &mut Vec<Command>) {
    let Some(actual) = state.runs.actual() else {
        return;
    };
    section(ui, "Measured", t);
    ui.horizontal(|ui| {
        let text = short(actual.fps.value);
        ui.label(RichText::new(text).font(theme::large()).color(t.strong));
        ui.label(
            RichText::new(format!(
                "FPS, median of {}, {} to {}",
                actual.fps.repeats,
                short(actual.fps.min),
                short(actual.fps.max)
            ))
            .color(t.dim),
        );
    });
    let mut rows = vec![("Machine", actual.machine.clone())];
    let here = state
        .runs
        .find(actual.id)
        .is_some_and(|r| r.on(&state.target));
    let estimate = state.judged.as_ref().and_then(|j| j.estimate.fps.value());
    if let Some(now) = estimate.filter(|_| here) {
        let percent = (actual.fps.value / now - 1.0) * 100.0;
        rows.push(("Against est.", format!("{percent:+.1} %")));
    }
    rows.push(("Latency", widgets::duration(actual.latency_ms)));
    if actual.gpu_ms > 0.0 {
        rows.push(("GPU layers", widgets::duration(actual.gpu_ms)));
    }
    if !actual.subgraphs.is_empty() {
        let time = if actual.dla_ms > 0.0 {
            format!(", {}", widgets::duration(actual.dla_ms))
        } else {
            String::new()
        };
        rows.push(("DLA subgraphs", format!("{}{time}", actual.subgraphs.len())));
    }
    if let Some(share) = actual.understood {
        rows.push((
            "Attributed",
            format!("{:.1} % of layer time", share * 100.0),
        ));
    }
    rows.push(("When", when(actual.started_ms)));
    facts(ui, "measured facts", t, &rows);
    if let Some(why) = &actual.timing_only {
        note(ui, t.raised, t.line, "Timing only", why, t);
    }
    if let Some(wrong) = &actual.wrong {
        note(ui, t.error_soft, t.error, "Outputs are wrong", wrong, t);
    }
    silent(ui, open, actual, t, out);
    contradicted(ui, open, actual, t, out);
}

fn silent(ui: &mut Ui, open: &Open, actual: &Actual, t: &Tokens, out: &mut Vec<Command>) {
    if actual.silent.is_empty() {
        return;
    }
    let n = actual.silent.len();
    let title = format!(
        "Silent fallback: {n} op{} left the DLA",
        if n == 1 { "" } else { "s" }
    );
    let text = "TensorRT put on the GPU what the rules expect on the DLA. The figures are not \
                those of this placement.";
    note(ui, t.error_soft, t.error, &title, text, t);
    links(ui, open, &actual.silent, out);
    if ui.link("Select them").clicked() {
        out.push(Command::SelectOps(actual.silent.clone()));
    }
}

fn links(ui: &mut Ui, open: &Open, ops: &[OpId], out: &mut Vec<Command>) {
    for op in ops.iter().take(MOST_NAMED) {
        let name = &open.model.op(*op).name;
        if ui.link(widgets::short(name, 40)).clicked() {
            out.push(Command::SelectOps(vec![*op]));
        }
    }
    if ops.len() > MOST_NAMED {
        ui.label(format!("and {} more", ops.len() - MOST_NAMED));
    }
}

/// Predictions the engine contradicts, by what they stood on.
fn contradicted(ui: &mut Ui, open: &Open, actual: &Actual, t: &Tokens, out: &mut Vec<Command>) {
    if actual.contradictions.is_empty() {
        return;
    }
    section(
        ui,
        &format!("Predictions contradicted ({})", actual.contradictions.len()),
        t,
    );
    let mut groups: Vec<(String, Vec<OpId>)> = Vec::new();
    for (op, c) in &actual.contradictions {
        let key = format!(
            "predicted {}, runs on {}: {}",
            c.predicted, c.actual, c.because
        );
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, ops)) => ops.push(*op),
            None => groups.push((key, vec![*op])),
        }
    }
    for (why, ops) in groups.iter().take(6) {
        let text = format!("{} × {why}", ops.len());
        ui.add(Label::new(RichText::new(text).color(t.text)).wrap());
        // Those that fell back silently are named above.
        let rest: Vec<OpId> = ops
            .iter()
            .copied()
            .filter(|op| !actual.silent.contains(op))
            .collect();
        links(ui, open, &rest, out);
    }
    if groups.len() > 6 {
        ui.label(format!("and {} more reasons", groups.len() - 6));
    }
}

/// The value of "Actual" for ops: where they run, or that nothing was measured.
pub fn words(state: &State, ops: &[OpId]) -> String {
    let Some(actual) = state.runs.actual() else {
        return "not measured".into();
    };
    let spent = actual.of_ops(ops);
    let mut text = spent.text();
    if spent.silent > 0 {
        text = format!("{text}, {} fell back silently", spent.silent);
    } else if spent.differs > 0 {
        text = format!("{text}, {} not as predicted", spent.differs);
    }
    text
}

/// Measured times of ops, and what the engine contradicts about them.
pub fn times(ui: &mut Ui, state: &State, ops: &[OpId], t: &Tokens) {
    let Some(actual) = state.runs.actual() else {
        return;
    };
    section(ui, "Measured", t);
    let spent = actual.of_ops(ops);
    let mut rows: Vec<(&str, String)> = Vec::new();
    if spent.gpu_known > 0 {
        let text = if spent.gpu_ms > 0.0 {
            widgets::duration(spent.gpu_ms)
        } else {
            "counted at the op it is fused with".to_owned()
        };
        rows.push(("GPU", text));
    }
    for (i, subgraph) in actual.subgraphs_with(ops) {
        let whole = subgraph.ops.iter().all(|op| ops.binary_search(op).is_ok());
        let n = subgraph.ops.len();
        let time = subgraph
            .ms
            .map_or("not timed".to_owned(), widgets::duration);
        let text = if whole {
            format!("subgraph {}: {time}", i + 1)
        } else {
            format!("part of subgraph {} ({n} ops): {time} for all of it", i + 1)
        };
        rows.push(("DLA", text));
    }
    if rows.is_empty() {
        rows.push(("Time", "no layer of its own in the profile".into()));
    }
    facts(ui, "measured times", t, &rows);
    if let [op] = ops
        && let Some(c) = actual.contradiction(*op)
    {
        let silent = actual.silent.contains(op);
        let (fill, edge, title) = if silent {
            (t.error_soft, t.error, "Fell back silently")
        } else {
            (t.amber_soft, t.amber, "Not as predicted")
        };
        let text = format!(
            "predicted {} ({}); the engine runs it on the {}",
            c.predicted, c.because, c.actual
        );
        note(ui, fill, edge, title, &text, t);
    }
}

/// How the mark of a tree row is drawn for what the engine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMark {
    /// As predicted.
    Confirmed,
    /// Elsewhere than predicted.
    Differs,
    /// Left the DLA without a word.
    Silent,
    /// Not shown by the engine.
    Folded,
}

/// The mark of a row.
pub fn mark(spent: &Spent) -> RowMark {
    if spent.silent > 0 {
        RowMark::Silent
    } else if spent.differs > 0 {
        RowMark::Differs
    } else if spent.gpu_ops + spent.dla_ops == 0 {
        RowMark::Folded
    } else {
        RowMark::Confirmed
    }
}

/// One line for the tooltip of a row's chip.
pub fn tip(actual: &Actual, spent: &Spent) -> String {
    let text = match mark(spent) {
        RowMark::Silent => format!("{}; {} fell back SILENTLY", spent.text(), spent.silent),
        RowMark::Differs => format!("{}; {} not as predicted", spent.text(), spent.differs),
        RowMark::Confirmed | RowMark::Folded => spent.text(),
    };
    format!("Actual: {text} (run of {})", when(actual.started_ms))
}

/// Devices of ops as stretches: device and number of ops.
pub fn stretches(
    ops: &[OpId],
    device: &dyn Fn(OpId) -> Option<Device>,
) -> Vec<(Option<Device>, usize)> {
    let mut all: Vec<(Option<Device>, usize)> = Vec::new();
    for op in ops {
        let device = device(*op);
        match all.last_mut() {
            Some((last, n)) if *last == device => *n += 1,
            _ => all.push((device, 1)),
        }
    }
    all
}
