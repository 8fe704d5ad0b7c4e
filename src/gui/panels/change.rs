//! Parts of the inspector: what ops cost on either device, and what a change would bring.

use egui::{
    Align, Color32, CornerRadius, Grid, Label, RichText, Role, Sense, Stroke, StrokeKind, Ui, Vec2,
    WidgetInfo,
};

use super::super::command::Command;
use super::super::state::State;
use crate::figure::{Figure, short};
use crate::gui::data::judgement::{Judgement, WhatIf};
use crate::gui::data::tree_index::Node;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::section;
use crate::gui::ui::{theme, widgets};
use crate::model::OpId;
use crate::placement::Device;

/// Cost on either device, with bands where it is one op's.
pub fn costs(ui: &mut Ui, state: &State, ops: &[OpId], t: &Tokens) {
    let Some(ground) = &state.ground else { return };
    section(ui, "Cost on either device", t);
    let line = |device: Device| -> String {
        if let [op] = ops {
            return match ground.op_ms(*op, device) {
                Figure::None { reason } => format!("no estimate: {reason}"),
                Figure::Estimated(e) => format!("{} {}", widgets::duration(e.value), e.band),
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
pub fn what_if(
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
            StrokeKind::Inside,
        );
        let inner = rect.shrink2(Vec2::new(9.0, 0.0));
        let ink = device.map_or(t.text, |d| t.device(d));
        let end = widgets::text_in(painter, inner, name, theme::strong(), ink, Align::Min);
        let rest = inner.with_min_x(end + 8.0);
        widgets::text_in(painter, rest, &text, theme::small(), color, Align::Max);
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

fn consequence(judged: &Judgement, answer: Option<&WhatIf>, t: &Tokens) -> (String, Color32) {
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
                (format!("{} FPS, no change{falls}", short(then)), t.dim)
            } else {
                let text = format!("{} FPS, {percent:+.1} %{falls}", short(then));
                (text, color)
            }
        }
        _ => (format!("no estimate{falls}"), t.dim),
    }
}
