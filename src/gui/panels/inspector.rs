//! The inspector: what is selected, why it runs where it runs, what a change would bring.

use egui::{Label, RichText, Ui};

use super::super::command::Command;
use super::super::state::State;
use super::actual;
use super::change::{costs, what_if};
use super::reasons::{lints, why};
use crate::figure::Figure;
use crate::gui::data::judgement::Judgement;
use crate::gui::data::looks::Hint;
use crate::gui::data::open::Open;
use crate::gui::data::tour::Turn;
use crate::gui::data::tree_index::Node;
use crate::gui::data::tree_view::Said;
use crate::gui::panels::controls::{command_button, scrolled};
use crate::gui::panels::explain;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::{facts, note, section};
use crate::gui::ui::{theme, widgets};
use crate::model::OpId;
use crate::placement::{Assigned, Device, EngineConfig};

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let (Some(open), Some(judged)) = (&state.open, state.judged.as_deref()) else {
        return;
    };
    let t = Tokens::of(ui);
    scrolled(ui, state, "Inspector", |ui| {
        let nodes = &state.selection.nodes;
        match nodes.len() {
            0 => overview(ui, state, open, judged, &t, out),
            1 => {
                if let Some(node) = nodes.first() {
                    one(ui, state, open, judged, *node, &t, out);
                }
            }
            n => many(ui, state, open, judged, n, &t, out),
        }
        // Without an estimate the overview has them further up.
        if !nodes.is_empty() || judged.estimate.fps.value().is_some() {
            lints(ui, open, &judged.plan.lints, &t, out);
        }
    });
}

fn overview(
    ui: &mut Ui,
    state: &State,
    open: &Open,
    judged: &Judgement,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let model = &open.model;
    let hinted = !state.hints_done.contains(&Hint::Tour) && state.tour.is_none();
    // Where there is little room, what was asked for comes first.
    let first = ui.clip_rect().height() > 420.0;
    if hinted && first {
        hint(ui, t, out);
    }
    widgets::heading(ui, &model.name);
    if let Some(value) = judged.estimate.fps.value() {
        ui.horizontal(|ui| {
            let text = crate::figure::short(value);
            ui.label(RichText::new(text).font(theme::large()).color(t.strong));
            let band = match &judged.estimate.fps {
                Figure::Estimated(e) => {
                    format!("FPS {}, estimated", e.band)
                }
                _ => "FPS".to_owned(),
            };
            ui.label(RichText::new(band).color(t.dim));
        });
    }
    if let Figure::None { reason } = &judged.estimate.fps {
        let text = format!("No estimate: {reason}");
        ui.add(Label::new(RichText::new(text).color(t.dim)).wrap());
        // They may say why.
        lints(ui, open, &judged.plan.lints, t, out);
    }
    actual::measured(ui, state, open, t, out);
    ui.horizontal_wrapped(|ui| {
        let time = Command::ShowTime.text();
        command_button(ui, state, &time, Command::ShowTime, out);
        command_button(ui, state, "Compare…", Command::ShowCompare, out);
        command_button(ui, state, "Map", Command::ShowMap, out);
    });
    section(ui, "Placement", t);
    if *state.modified {
        let keys = Command::Keep.shortcut();
        let keys = keys.map_or(String::new(), |s| ui.ctx().format_shortcut(&s));
        let text = format!("Not kept or saved; {keys} keeps it");
        ui.label(RichText::new(text).font(theme::small()).color(t.dim));
    }
    let summary = &judged.summary;
    let share = summary
        .dla_mac_share
        .map_or("unknown".into(), |s| format!("{:.0} %", s * 100.0));
    let mut rows = vec![
        (
            "On DLA",
            format!("{} of {} ops", summary.dla_ops, summary.ops),
        ),
        ("MACs on DLA", share),
        ("Falling back", judged.plan.fallbacks.len().to_string()),
        (
            "Subgraphs",
            format!(
                "{} (limit {})",
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
    ];
    let power = &judged.power;
    if power.wall_watts.value().is_some() {
        rows.push(("Wall power", power.wall_watts.with_unit("W")));
        rows.push((
            "Wall energy",
            power.wall_mj_per_image.with_unit("mJ per image"),
        ));
    }
    if power.rails_watts.value().is_some() {
        rows.push(("Rail power", power.rails_watts.with_unit("W")));
        rows.push((
            "Rail energy",
            power.rails_mj_per_image.with_unit("mJ per image"),
        ));
    }
    facts(ui, "placement facts", t, &rows);
    section(ui, "Model", t);
    let own = EngineConfig::own_batch(model);
    let inputs: Vec<String> = model
        .inputs
        .iter()
        .map(|i| {
            let tensor = model.tensor(i.tensor);
            let (own, batch) = (u64::from(own), u64::from(state.config().batch));
            let mut shape = tensor.shape.clone();
            let mut note = String::new();
            // The batch in force, not the file's.
            if let Some(first) = shape.as_mut().and_then(|s| s.first_mut())
                && *first == own
                && own != batch
            {
                *first = batch;
                note = format!(" (batch {own} in the file)");
            }
            format!("{} {}{note}", tensor.name, explain::shape(&shape))
        })
        .collect();
    let weights = model.total_weights();
    facts(
        ui,
        "model facts",
        t,
        &[
            ("Ops", model.ops.len().to_string()),
            ("MACs", count(model.total_macs())),
            (
                "Weights",
                weights.map_or("unknown".into(), |n| {
                    format!("{} elements", widgets::count(n))
                }),
            ),
            ("Input", inputs.join("\n")),
            (
                "From",
                match model.source.producer.trim() {
                    "" => "an unnamed program".to_owned(),
                    producer => producer.to_owned(),
                },
            ),
        ],
    );
    section(ui, "Target", t);
    ui.add(Label::new(state.target.to_string()).wrap());
    if let Some(why) = &judged.summary.refused {
        note(ui, t.error_soft, t.error, "Does not build", why, t);
    }
    let groups = &judged.fallback_groups;
    if !groups.is_empty() {
        section(ui, "Falling back to the GPU", t);
        for (why, ops) in groups.iter().take(6) {
            ui.add(
                Label::new(RichText::new(format!("{} × {why}", ops.len())).color(t.text)).wrap(),
            );
        }
        if groups.len() > 6 {
            let rest: usize = groups[6..].iter().map(|(_, ops)| ops.len()).sum();
            let more = format!("and {rest} more for {} more reasons", groups.len() - 6);
            ui.label(RichText::new(more).color(t.dim));
        }
    }
    ui.add_space(10.0);
    ui.label(
        RichText::new("Select a row to see why it runs where it runs")
            .font(theme::small())
            .color(t.faint),
    );
    if hinted && !first {
        hint(ui, t, out);
    }
}

/// Where to begin, until it is closed.
fn hint(ui: &mut Ui, t: &Tokens, out: &mut Vec<Command>) {
    widgets::card(ui, t.raised, t.accent, |ui| {
        let keys = Command::Palette.shortcut();
        let keys = keys
            .map(|s| ui.ctx().format_shortcut(&s))
            .unwrap_or_default();
        let keys = format!("{keys} finds every command.");
        let title = RichText::new("New here?").font(theme::strong());
        ui.label(title.color(t.strong));
        for text in [
            "Click a chip in the tree, or press Space, to move a module between GPU and DLA.",
            "Select a row to see why it runs where it runs.",
            &keys,
        ] {
            ui.add(Label::new(RichText::new(text).color(t.text)).wrap());
        }
        ui.add_space(3.0);
        ui.horizontal_wrapped(|ui| {
            let tour = Command::Tour(Turn::Start);
            if ui
                .button(tour.text())
                .on_hover_text(tour.tooltip())
                .clicked()
            {
                out.push(tour);
            }
            let close = Command::CloseHint(Hint::Tour);
            if ui.button(close.text()).clicked() {
                out.push(close);
            }
        });
    });
    ui.add_space(6.0);
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
        let mut rows = vec![
            ("Ops", ops.len().to_string()),
            ("MACs", count(model.macs_of(ops.iter().copied()))),
        ];
        if !class.is_empty() {
            rows.insert(0, ("Class", class.to_string()));
        }
        if ops.is_empty() {
            rows = vec![(
                "Ops",
                "none in the file, so assigning it does nothing".into(),
            )];
        }
        facts(ui, "module facts", t, &rows);
    }
    if ops.is_empty() {
        return;
    }
    where_it_runs(ui, state, open, judged, node, &ops, t);
    actual::times(ui, state, &ops, t);
    why(ui, state, judged, &ops, single, t);
    costs(ui, state, &ops, t);
    what_if(ui, state, judged, &[node], t, out);
}

/// A count of multiply-accumulates, where one is known.
fn count(of: Option<u64>) -> String {
    of.map_or_else(|| "unknown".to_owned(), widgets::count)
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
            ("MACs", count(open.model.macs_of(ops.iter().copied()))),
            (
                "Predicted",
                format!("{dla} on DLA, {} on GPU", ops.len() - dla),
            ),
        ],
    );
    actual::times(ui, state, &ops, t);
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
        (None, Assigned::Inherited(_, at)) => Said::On(at),
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
        ("Actual", actual::words(state, ops)),
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
