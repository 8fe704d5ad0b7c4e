//! The inspector: what is selected, why it runs where it runs, what a change would bring.

use egui::{
    CornerRadius, Frame, Grid, Label, Margin, RichText, Role, ScrollArea, Sense, Stroke, Ui, Vec2,
    WidgetInfo,
};

use crate::figure::Figure;
use crate::model::OpId;
use crate::placement::Device;
use crate::plan::{Fallback, Lint, Severity};
use crate::target::dla_rules::{Refusal, Verdict};

use super::super::command::Command;
use super::super::explain;
use super::super::judge::{Judgement, WhatIf};
use super::super::state::{Open, State};
use super::super::theme::{self, PAD, Tokens};
use super::super::tree_view::{Node, Said};
use super::super::widgets;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let (Some(open), Some(judged)) = (&state.open, state.judged.as_deref()) else {
        return;
    };
    let t = Tokens::of(ui);
    ScrollArea::vertical()
        .id_salt("inspector")
        .auto_shrink([false, false])
        .show(ui, |ui| {
            Frame::new()
                .inner_margin(Margin::symmetric(PAD as i8 + 2, 8))
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    let nodes = &state.selection.nodes;
                    match nodes.len() {
                        0 => overview(ui, state, open, judged, &t),
                        1 => {
                            if let Some(node) = nodes.first() {
                                one(ui, state, open, judged, *node, &t, out);
                            }
                        }
                        n => many(ui, state, open, judged, n, &t, out),
                    }
                    lints(ui, open, &judged.plan.lints, &t, out);
                });
        });
}

fn section(ui: &mut Ui, text: &str, t: &Tokens) {
    ui.add_space(12.0);
    ui.label(RichText::new(text).font(theme::small()).color(t.faint));
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::ZERO, t.line);
    ui.add_space(2.0);
}

fn facts(ui: &mut Ui, id: &str, t: &Tokens, rows: &[(&str, String)]) {
    Grid::new(id)
        .num_columns(2)
        .spacing([12.0, 3.0])
        .show(ui, |ui| {
            for (name, value) in rows {
                ui.label(RichText::new(*name).color(t.dim));
                ui.add(Label::new(value.as_str()).wrap().selectable(true));
                ui.end_row();
            }
        });
}

fn overview(ui: &mut Ui, state: &State, open: &Open, judged: &Judgement, t: &Tokens) {
    let model = &open.model;
    widgets::heading(ui, &model.name);
    if let Some(value) = judged.estimate.fps.value() {
        ui.horizontal(|ui| {
            let text = crate::figure::short(value);
            ui.label(RichText::new(text).font(theme::large()).color(t.strong));
            let band = match &judged.estimate.fps {
                Figure::Estimated(e) => {
                    format!("FPS ±{:.0} %, estimated", e.band.half_width() * 100.0)
                }
                _ => "FPS".to_owned(),
            };
            ui.label(RichText::new(band).color(t.dim));
        });
    }
    section(ui, "Placement", t);
    let summary = &judged.summary;
    let share = summary
        .dla_mac_share
        .map_or("unknown".into(), |s| format!("{:.0} %", s * 100.0));
    facts(
        ui,
        "placement facts",
        t,
        &[
            (
                "On DLA",
                format!("{} of {} ops", summary.dla_ops, summary.ops),
            ),
            ("MACs on DLA", share),
            ("Falling back", judged.plan.fallbacks.len().to_string()),
            (
                "Subgraphs",
                format!(
                    "{} of {}",
                    summary.subgraphs,
                    state.target.tensorrt.max_loadables()
                ),
            ),
            (
                "Latency",
                judged
                    .estimate
                    .latency_ms
                    .value()
                    .map_or("no estimate".into(), widgets::duration),
            ),
        ],
    );
    section(ui, "Model", t);
    let weights: u64 = model
        .ops
        .iter()
        .filter_map(|o| o.cost)
        .map(|c| c.weight_elems)
        .sum();
    let inputs: Vec<String> = model
        .inputs
        .iter()
        .map(|i| {
            let tensor = model.tensor(i.tensor);
            format!("{} {}", tensor.name, explain::shape(&tensor.shape))
        })
        .collect();
    facts(
        ui,
        "model facts",
        t,
        &[
            ("Ops", model.ops.len().to_string()),
            ("MACs", widgets::count(model.total_macs())),
            ("Weights", format!("{} elements", widgets::count(weights))),
            ("Input", inputs.join("\n")),
            ("From", model.source.producer.clone()),
        ],
    );
    section(ui, "Target", t);
    ui.add(Label::new(state.target.to_string()).wrap());
    if let Some(why) = &judged.summary.refused {
        note(ui, t.error_soft, t.error, "Does not build", why, t);
    }
    if !judged.plan.fallbacks.is_empty() {
        section(ui, "Falling back to the GPU", t);
        for (why, ops) in judged.plan.fallback_groups(model).iter().take(6) {
            ui.add(
                Label::new(RichText::new(format!("{} × {why}", ops.len())).color(t.text)).wrap(),
            );
        }
    }
    ui.add_space(10.0);
    ui.label(
        RichText::new("Select a row to see why it runs where it runs")
            .font(theme::small())
            .color(t.faint),
    );
}

fn one(
    ui: &mut Ui,
    state: &State,
    open: &Open,
    judged: &Judgement,
    node: Node,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let model = &open.model;
    ui.add(
        Label::new(
            RichText::new(node.title(model))
                .font(theme::strong())
                .color(t.strong),
        )
        .wrap()
        .selectable(true),
    );
    let single = open.index.single_op(model, node);
    let ops = node.ops(model);
    let (_, class, own) = explain::name_and_class(model, node);
    if let Some(op) = single {
        let (input, output) = explain::op_shapes(model, op);
        let op = model.op(op);
        let mut rows = vec![("Type", op.op_type.to_string())];
        if !own && !class.is_empty() && *class != *op.op_type {
            rows.insert(0, ("Class", class.to_string()));
        }
        rows.push(("Takes", input));
        rows.push(("Gives", output));
        if let Some(cost) = op.cost {
            if cost.macs > 0 {
                rows.push(("MACs", widgets::count(cost.macs)));
            }
            if cost.weight_elems > 0 {
                rows.push((
                    "Weights",
                    format!("{} elements", widgets::count(cost.weight_elems)),
                ));
            }
        }
        if !op.folded.is_empty() {
            rows.push(("Folded in", op.folded.len().to_string()));
        }
        facts(ui, "op facts", t, &rows);
    } else {
        let macs: u64 = ops
            .iter()
            .filter_map(|o| model.op(*o).cost)
            .map(|c| c.macs)
            .sum();
        let mut rows = vec![
            ("Ops", ops.len().to_string()),
            ("MACs", widgets::count(macs)),
        ];
        if !class.is_empty() {
            rows.insert(0, ("Class", class.to_string()));
        }
        if ops.is_empty() {
            rows = vec![(
                "Ops",
                "none; it has no layers, so assigning it does nothing".into(),
            )];
        }
        facts(ui, "module facts", t, &rows);
    }
    if ops.is_empty() {
        return;
    }
    where_it_runs(ui, state, open, judged, node, &ops, t);
    why(ui, state, judged, &ops, single, t);
    costs(ui, state, &ops, t);
    what_if(ui, state, judged, &[node], t, out);
}

fn many(
    ui: &mut Ui,
    state: &State,
    open: &Open,
    judged: &Judgement,
    n: usize,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    widgets::heading(ui, &format!("{n} rows selected"));
    let ops = state.selected_ops();
    let macs: u64 = ops
        .iter()
        .filter_map(|o| open.model.op(*o).cost)
        .map(|c| c.macs)
        .sum();
    let dla = ops
        .iter()
        .filter(|o| judged.plan.predicted[o.index()] == Device::Dla)
        .count();
    facts(
        ui,
        "many facts",
        t,
        &[
            ("Ops", ops.len().to_string()),
            ("MACs", widgets::count(macs)),
            (
                "Predicted",
                format!("{dla} on DLA, {} on GPU", ops.len() - dla),
            ),
        ],
    );
    why(ui, state, judged, &ops, None, t);
    costs(ui, state, &ops, t);
    let nodes: Vec<Node> = state.selection.nodes.iter().copied().collect();
    what_if(ui, state, judged, &nodes, t, out);
}

fn where_it_runs(
    ui: &mut Ui,
    state: &State,
    open: &Open,
    judged: &Judgement,
    node: Node,
    ops: &[OpId],
    t: &Tokens,
) {
    section(ui, "Where it runs", t);
    let count = |devices: &[Device]| {
        let dla = ops
            .iter()
            .filter(|o| devices[o.index()] == Device::Dla)
            .count();
        match (dla, ops.len() - dla) {
            (0, _) => "GPU".to_owned(),
            (_, 0) => "DLA".to_owned(),
            (dla, gpu) => format!("{dla} on DLA, {gpu} on GPU"),
        }
    };
    let assigned = match node {
        Node::Module(id) => judged.resolved.module(id),
        Node::Op(id) => judged.resolved.op(id),
    };
    let said = match (state.explicit(node), assigned) {
        (Some(_), _) => Said::Here,
        (None, crate::placement::Assigned::Inherited(_, at)) => Said::On(at),
        (None, _) => Said::Default,
    };
    let subgraphs: std::collections::BTreeSet<u32> = ops
        .iter()
        .filter_map(|o| judged.plan.subgraph_of[o.index()])
        .collect();
    let mut rows = vec![
        (
            "Requested",
            format!(
                "{}, {}",
                count(&judged.plan.requested),
                explain::said(&open.model, said)
            ),
        ),
        ("Predicted", count(&judged.plan.predicted)),
        ("Actual", "not measured".to_owned()),
    ];
    if !subgraphs.is_empty() {
        let list: Vec<String> = subgraphs
            .iter()
            .take(6)
            .map(|s| (s + 1).to_string())
            .collect();
        let more = if subgraphs.len() > 6 { ", …" } else { "" };
        rows.push(("Subgraph", format!("{}{more}", list.join(", "))));
    }
    facts(ui, "where facts", t, &rows);
}

/// Why ops fall back, or would if they were asked onto the DLA.
fn why(
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
                let mut reasons: Vec<String> = Vec::new();
                for (op, why) in &falling {
                    let line = format!("{}: {}", open.model.op(*op).op_type, why.sentence());
                    if !reasons.contains(&line) {
                        reasons.push(line);
                    }
                }
                reasons.truncate(5);
                note(ui, t.amber_soft, t.amber, &title, &reasons.join("\n"), t);
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
    fill: egui::Color32,
    edge: egui::Color32,
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

fn card(ui: &mut Ui, fill: egui::Color32, edge: egui::Color32, content: impl FnOnce(&mut Ui)) {
    ui.add_space(4.0);
    Frame::new()
        .fill(fill)
        .stroke(Stroke::new(1.0, edge.gamma_multiply(0.6)))
        .corner_radius(CornerRadius::same(6))
        .inner_margin(Margin::symmetric(9, 7))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            content(ui);
        });
}

fn note(
    ui: &mut Ui,
    fill: egui::Color32,
    edge: egui::Color32,
    title: &str,
    text: &str,
    t: &Tokens,
) {
    card(ui, fill, edge, |ui| {
        ui.add(Label::new(RichText::new(title).font(theme::strong()).color(t.strong)).wrap());
        ui.add(
            Label::new(RichText::new(text).color(t.text))
                .wrap()
                .selectable(true),
        );
    });
}

/// Cost on either device, with bands where it is one op's.
fn costs(ui: &mut Ui, state: &State, ops: &[OpId], t: &Tokens) {
    let Some(ground) = &state.ground else { return };
    section(ui, "Cost on either device", t);
    let line = |device: Device| -> String {
        if let [op] = ops {
            return match ground.op_ms(*op, device) {
                Figure::None { reason } => format!("no estimate: {reason}"),
                Figure::Estimated(e) => format!(
                    "{} ±{:.0} %",
                    widgets::duration(e.value),
                    e.band.half_width() * 100.0
                ),
                Figure::Measured(m) => format!("{} measured", widgets::duration(m.value)),
            };
        }
        let known: Vec<f64> = ops
            .iter()
            .filter_map(|o| ground.op_ms(*o, device).value())
            .collect();
        let sum = widgets::duration(known.iter().sum());
        match (known.len(), ops.len()) {
            (0, _) => "no estimate".into(),
            (k, n) if k == n => sum,
            (k, n) => format!("{sum} for {k} of {n} ops"),
        }
    };
    Grid::new("cost facts")
        .num_columns(2)
        .spacing([12.0, 3.0])
        .show(ui, |ui| {
            for device in [Device::Gpu, Device::Dla] {
                ui.label(RichText::new(device.as_str()).color(t.device(device)));
                ui.add(Label::new(line(device)).wrap());
                ui.end_row();
            }
        });
}

/// What other devices for the selection would bring.
fn what_if(
    ui: &mut Ui,
    state: &State,
    judged: &Judgement,
    nodes: &[Node],
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    section(ui, "What a change would bring", t);
    let key = state.what_if_key();
    let answers = state
        .what_if
        .as_ref()
        .filter(|(k, _)| *k == key)
        .map(|(_, a)| a.as_slice());
    let now: Option<Option<Device>> = match nodes {
        [one] => Some(state.explicit(*one)),
        _ => None,
    };
    let choices = [
        (Some(Device::Gpu), "GPU", Command::Assign(Device::Gpu)),
        (Some(Device::Dla), "DLA", Command::Assign(Device::Dla)),
        (None, "Inherit", Command::Inherit),
    ];
    for (i, (device, name, command)) in choices.into_iter().enumerate() {
        let answer = answers.and_then(|a| a.get(i)).and_then(Option::as_ref);
        let current = now == Some(device);
        let (text, color) = consequence(judged, answer, t);
        let size = Vec2::new(ui.available_width(), 26.0);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        let edge = if current { t.accent } else { t.line };
        let fill = if response.hovered() {
            t.hover
        } else {
            t.raised
        };
        let painter = ui.painter();
        painter.rect(
            rect,
            CornerRadius::same(5),
            fill,
            Stroke::new(1.0, edge),
            egui::StrokeKind::Inside,
        );
        let inner = rect.shrink2(Vec2::new(9.0, 0.0));
        let ink = device.map_or(t.text, |d| t.device(d));
        let end = widgets::text_in(painter, inner, name, theme::strong(), ink, egui::Align::Min);
        let rest = inner.with_min_x(end + 8.0);
        widgets::text_in(
            painter,
            rest,
            &text,
            theme::small(),
            color,
            egui::Align::Max,
        );
        response.widget_info(|| {
            WidgetInfo::selected(
                Role::Button,
                true,
                current,
                format!("Assign {name}: {text}"),
            )
        });
        if response.on_hover_text(command.tooltip()).clicked() {
            out.push(command);
        }
    }
}

fn consequence(judged: &Judgement, answer: Option<&WhatIf>, t: &Tokens) -> (String, egui::Color32) {
    let Some(answer) = answer else {
        return ("…".into(), t.faint);
    };
    let falls = match answer.fallbacks {
        0 => String::new(),
        n => format!(", {n} fall back"),
    };
    match (answer.fps.value(), judged.estimate.fps.value()) {
        (Some(then), Some(now)) => {
            let delta = then - now;
            let percent = delta / now * 100.0;
            let color = match delta {
                d if d > now * 0.001 => t.gpu,
                d if d < -now * 0.001 => t.error,
                _ => t.dim,
            };
            if percent.abs() < 0.05 {
                (
                    format!("{} FPS, no change{falls}", crate::figure::short(then)),
                    t.dim,
                )
            } else {
                let text = format!("{} FPS, {percent:+.1} %{falls}", crate::figure::short(then));
                (text, color)
            }
        }
        _ => (format!("no estimate{falls}"), t.dim),
    }
}

fn lints(ui: &mut Ui, open: &Open, lints: &[Lint], t: &Tokens, out: &mut Vec<Command>) {
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
                if ui.link(super::top::short(&name, 40)).clicked() {
                    out.push(Command::SelectOps(vec![op]));
                }
            }
        });
    }
    if lints.len() > 20 {
        ui.label(RichText::new(format!("and {} more", lints.len() - 20)).color(t.dim));
    }
}
