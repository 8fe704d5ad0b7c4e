//! Why a proposal is as it is: the moves that lead to it.

use crate::gui::command::Command;
use crate::gui::data::search::Why;
use crate::gui::panels::search::proposal::many;
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::{theme, widgets};
use crate::search::Move;
use egui::{
    Align, Color32, CornerRadius, Frame, Label, Layout, Margin, Pos2, Rect, RichText, Role, Sense,
    Ui, Vec2, WidgetInfo,
};

/// Moves listed at most.
pub(crate) const MOVES: usize = 40;

/// Why a placement, against another.
pub(crate) fn explanation(
    ui: &mut Ui,
    state: &State,
    why: &Why,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let now = state.doc.placement();
    let loaded = *now == why.to;
    let against = match (loaded, *now == why.from) {
        (true, true) => "It is on screen already",
        (true, false) => "Why, against what was on screen before",
        (false, true) => "Why, against what is on screen",
        // Edited since: neither is what the user looks at.
        (false, false) => return,
    };
    let drawn = Frame::new()
        .inner_margin(Margin {
            left: 12,
            right: 2,
            top: 2,
            bottom: 6,
        })
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 0.0;
            ui.allocate_ui_with_layout(
                Vec2::new(ui.available_width(), 24.0),
                Layout::right_to_left(Align::Center),
                |ui| {
                    if loaded {
                        let keep = ui.button("Keep…");
                        keep.widget_info(|| {
                            WidgetInfo::labeled(Role::Button, true, "Keep what was found…")
                        });
                        if keep.on_hover_text(Command::Keep.tooltip()).clicked() {
                            out.push(Command::Keep);
                        }
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        let text = RichText::new(against).font(theme::small()).color(t.dim);
                        ui.add(Label::new(text).truncate());
                    });
                },
            );
            if why.from != why.to {
                moves(ui, why, t, out);
            }
        });
    let rect = drawn.response.rect;
    let edge = rect
        .with_max_x(rect.left() + 2.0)
        .translate(Vec2::new(4.0, 0.0));
    ui.painter()
        .rect_filled(edge, CornerRadius::same(1), t.accent.gamma_multiply(0.6));
}

pub(crate) fn moves(ui: &mut Ui, why: &Why, t: &Tokens, out: &mut Vec<Command>) {
    let Some(moves) = &why.moves else {
        ui.label(RichText::new("…").color(t.faint));
        return;
    };
    if moves.is_empty() {
        ui.label("The same ops run on the same devices");
        return;
    }
    for m in moves.iter().take(MOVES) {
        move_line(ui, m, t, out);
    }
    if moves.len() > MOVES {
        let text = format!("and {} more moves", moves.len() - MOVES);
        ui.label(RichText::new(text).color(t.dim));
    }
    let total: Option<f64> = moves.iter().map(|m| m.latency_ms).sum();
    let text = match total {
        Some(total) => format!("In all {} per inference, estimated", signed(total)),
        None => "No estimate of the difference".to_owned(),
    };
    let color = total.map_or(t.dim, |ms| better(ms, t));
    ui.label(RichText::new(text).font(theme::small()).color(color));
}

pub(crate) fn better(ms: f64, t: &Tokens) -> Color32 {
    match ms {
        ms if ms < -0.0005 => t.gpu,
        ms if ms > 0.0005 => t.error,
        _ => t.dim,
    }
}

/// `+0.12 ms`, `-31 µs`.
pub(crate) fn signed(ms: f64) -> String {
    if ms.abs() < 0.0995 {
        format!("{:+.0} µs", ms * 1000.0 + 0.0)
    } else {
        format!("{ms:+.2} ms")
    }
}

pub(crate) fn move_line(ui: &mut Ui, m: &Move, t: &Tokens, out: &mut Vec<Command>) {
    let size = Vec2::new(ui.available_width(), 38.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    if !ui.is_rect_visible(rect) {
        return;
    }
    let painter = ui.painter();
    if response.hovered() || response.has_focus() {
        painter.rect_filled(rect, CornerRadius::same(4), t.hover);
    }
    let inner = rect.shrink2(Vec2::new(4.0, 3.0));
    let upper = inner.with_max_y(inner.center().y);
    let lower = inner
        .with_min_y(inner.center().y)
        .with_min_x(inner.left() + 12.0);
    let mut end = upper.right();
    if let Some(ms) = m.latency_ms {
        let galley = widgets::line(painter, &signed(ms), theme::figures(), better(ms, t), 80.0);
        end -= galley.size().x;
        painter.galley(
            Pos2::new(end, upper.center().y - galley.size().y / 2.0),
            galley,
            t.text,
        );
    }
    painter.circle_filled(
        Pos2::new(upper.left() + 4.0, upper.center().y),
        3.0,
        t.device(m.to),
    );
    let words = Rect::from_min_max(
        Pos2::new(upper.left() + 12.0, upper.top()),
        Pos2::new(end - 6.0, upper.bottom()),
    );
    let text = format!("{} to the {}", m.what, m.to);
    widgets::text_in(painter, words, &text, theme::body(), t.text, Align::Min);
    let parts: Vec<String> = [
        (m.gpu_ms, "GPU"),
        (m.dla_ms, "DLA"),
        (m.transition_ms, "transitions"),
    ]
    .into_iter()
    .filter_map(|(ms, what)| {
        Some(format!(
            "{} {what}",
            signed(ms.filter(|v| v.abs() >= 0.0005)?)
        ))
    })
    .collect();
    let parts = if parts.is_empty() && m.gpu_ms.is_none() {
        "no estimate".to_owned()
    } else {
        parts.join(", ")
    };
    widgets::text_in(painter, lower, &parts, theme::small(), t.dim, Align::Min);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, m.to_string()));
    if response.clicked() {
        out.push(Command::SelectOps(m.ops.clone()));
    }
    response.on_hover_text(format!("{}; click to select", many(m.ops.len(), "op")));
}
