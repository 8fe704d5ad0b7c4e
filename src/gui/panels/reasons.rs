//! Parts of the inspector: why ops fall back, and hazards of the plan.

use egui::{Color32, Label, RichText, Ui};

use super::super::command::Command;
use super::super::state::State;
use crate::gui::data::judgement::Judgement;
use crate::gui::data::open::Open;
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::{card, facts, note, section};
use crate::model::OpId;
use crate::plan::{Fallback, Lint, Severity};
use crate::platform::dla_rules::rule::{Refusal, Verdict};

/// Why ops fall back, or would if they were asked onto the DLA.
pub fn why(
    ui: &mut Ui,
    state: &State,
    judged: &Judgement,
    ops: &[OpId],
    single: Option<OpId>,
    t: &Tokens,
) {
    let falling: Vec<(OpId, &Fallback)> = judged
        .plan
        .fallbacks
        .iter()
        .filter(|(op, _)| ops.binary_search(op).is_ok())
        .map(|(op, why)| (*op, why))
        .collect();
    let Some(open) = &state.open else { return };
    if let Some((op, first)) = falling.first() {
        let title = if falling.len() == 1 {
            format!("{} falls back to the GPU", open.model.op(*op).op_type)
        } else {
            format!("{} ops fall back to the GPU", falling.len())
        };
        section(ui, "Why", t);
        match first {
            Fallback::Rule(refusal) if single.is_some() || falling.len() == 1 => {
                refusal_card(ui, &title, refusal, t.amber_soft, t.amber, t);
            }
            _ => {
                let mut reasons: Vec<(String, usize)> = Vec::new();
                for (op, why) in &falling {
                    let line = format!("{}: {}", open.model.op(*op).op_type, why.sentence());
                    match reasons.iter_mut().find(|(l, _)| *l == line) {
                        Some((_, n)) => *n += 1,
                        None => reasons.push((line, 1)),
                    }
                }
                let more = reasons.len().saturating_sub(5);
                let mut lines: Vec<String> = reasons
                    .into_iter()
                    .take(5)
                    .map(|(line, n)| {
                        if n > 1 {
                            format!("{n} × {line}")
                        } else {
                            line
                        }
                    })
                    .collect();
                if more > 0 {
                    lines.push(format!("and {more} more reasons"));
                }
                note(ui, t.amber_soft, t.amber, &title, &lines.join("\n"), t);
            }
        }
        return;
    }
    let Some(ground) = &state.ground else { return };
    let refused: Vec<OpId> = ops
        .iter()
        .copied()
        .filter(|op| !matches!(ground.verdicts[op.index()], Verdict::Allowed))
        .collect();
    let Some(op) = refused.first() else { return };
    section(ui, "On the DLA", t);
    let title = if refused.len() == 1 {
        format!("{} would fall back", open.model.op(*op).op_type)
    } else {
        format!("{} of {} ops would fall back", refused.len(), ops.len())
    };
    match &ground.verdicts[op.index()] {
        Verdict::Refused(refusal) => refusal_card(ui, &title, refusal, t.raised, t.line, t),
        Verdict::Unknown(why) => note(ui, t.raised, t.line, &title, why, t),
        Verdict::Allowed => {}
    }
}

fn refusal_card(
    ui: &mut Ui,
    title: &str,
    refusal: &Refusal,
    fill: Color32,
    edge: Color32,
    t: &Tokens,
) {
    card(ui, fill, edge, |ui| {
        ui.add(Label::new(RichText::new(title).font(theme::strong()).color(t.strong)).wrap());
        let mut rows = vec![
            ("Found", refusal.offending.clone()),
            ("Allowed", refusal.rule.allowed.to_owned()),
        ];
        if let Some(fix) = &refusal.fix {
            rows.push(("Fix", fix.to_string()));
        }
        rows.push(("Rule", refusal.rule.id.to_owned()));
        facts(ui, "refusal facts", t, &rows);
        ui.add(
            Label::new(
                RichText::new(refusal.rule.source)
                    .font(theme::small())
                    .color(t.dim),
            )
            .wrap(),
        );
    });
}

/// Hazards, each with its mitigation.
pub fn lints(ui: &mut Ui, open: &Open, lints: &[Lint], t: &Tokens, out: &mut Vec<Command>) {
    if lints.is_empty() {
        return;
    }
    section(ui, &format!("Hazards ({})", lints.len()), t);
    for lint in lints.iter().take(20) {
        let (fill, edge) = match lint.severity {
            Severity::Warning => (t.amber_soft, t.amber),
            Severity::Info => (t.raised, t.line),
        };
        card(ui, fill, edge, |ui| {
            ui.add(Label::new(RichText::new(&lint.hazard).color(t.text)).wrap());
            ui.add(
                Label::new(
                    RichText::new(&lint.mitigation)
                        .font(theme::small())
                        .color(t.dim),
                )
                .wrap(),
            );
            if let Some(op) = lint.op {
                let name = open.model.op(op).name.to_string();
                if ui.link(crate::gui::ui::widgets::short(&name, 40)).clicked() {
                    out.push(Command::SelectOps(vec![op]));
                }
            }
        });
    }
    if lints.len() > 20 {
        ui.label(RichText::new(format!("and {} more", lints.len() - 20)).color(t.dim));
    }
}
