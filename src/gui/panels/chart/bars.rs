//! The chart as bars.

use crate::chart::{Group, Point, View};
use crate::figure::{Figure, short};
use crate::gui::command::Command;
use crate::gui::panels::chart::marks::{color_of, draw_bar, draw_range, muted};
use crate::gui::panels::chart::scatter::{finish, note};
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::{theme, widgets};
use egui::{Align, CornerRadius, Label, Pos2, Rect, RichText, ScrollArea, Sense, Stroke, Ui, Vec2};

pub(crate) const ROW: f32 = 22.0;
pub(crate) const VALUE: f32 = 92.0;

pub(crate) fn bars(
    ui: &mut Ui,
    state: &State,
    groups: &[Group<'_>],
    view: View,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let top = state.points.chart.max_fps(view);
    let names = (ui.available_width() * 0.38).clamp(120.0, 260.0);
    ScrollArea::vertical()
        .id_salt(("bars", view as u8))
        .auto_shrink([false, false])
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for group in groups {
                ui.add_space(6.0);
                ui.horizontal(|ui| {
                    ui.add_space(PAD);
                    let text = group.title.to_ascii_uppercase();
                    let text = if view == View::Bars {
                        text
                    } else {
                        group.title.clone()
                    };
                    let title = RichText::new(text).font(theme::small()).color(t.faint);
                    ui.add(Label::new(title).truncate());
                });
                for (at, point) in &group.bars {
                    bar(ui, state, (view, *at), point, names, top, t, out);
                }
                if let Some(total) = group.total_fps {
                    sum_bar(ui, total, names, top, t);
                }
            }
            ui.add_space(8.0);
            let elsewhere = state.runs.elsewhere(&state.target);
            if elsewhere > 0 && view == View::Bars {
                ui.horizontal_wrapped(|ui| {
                    ui.add_space(PAD);
                    let plural = if elsewhere == 1 { "" } else { "s" };
                    let text = format!(
                        "{elsewhere} run{plural} on other machines or power modes: see Runs"
                    );
                    ui.label(RichText::new(text).font(theme::small()).color(t.faint));
                });
            }
            if state.kept.is_empty() && view == View::Bars {
                ui.horizontal_wrapped(|ui| {
                    ui.add_space(PAD);
                    let keys = Command::Keep
                        .shortcut()
                        .map(|s| ui.ctx().format_shortcut(&s))
                        .unwrap_or_default();
                    let text = format!("Keep a placement with {keys} and it stays here to compare");
                    ui.label(RichText::new(text).font(theme::small()).color(t.faint));
                });
            }
        });
}

/// Where the name, the bar and the figure of a row are.
pub(crate) fn columns(rect: Rect, names: f32) -> (Rect, Rect) {
    let name = Rect::from_min_max(
        rect.left_top() + Vec2::new(PAD + 16.0, 0.0),
        Pos2::new(rect.left() + PAD + names, rect.bottom()),
    );
    let bar = Rect::from_min_max(
        Pos2::new(name.right() + 10.0, rect.top() + 4.0),
        Pos2::new(rect.right() - PAD - VALUE, rect.bottom() - 4.0),
    );
    (name, bar)
}

#[expect(
    clippy::too_many_arguments,
    reason = "all of one row's drawing context"
)]
pub(crate) fn bar(
    ui: &mut Ui,
    state: &State,
    (view, at): (View, usize),
    point: &Point,
    names: f32,
    top: f64,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let size = Vec2::new(ui.available_width(), ROW);
    let (_, rect) = ui.allocate_space(size);
    let id = egui::Id::unique(("bar", view as u8, at));
    let sense = widgets::one_stop(ui, "bars", id, point.current);
    let response = ui.interact(rect, id, sense);
    if !ui.is_rect_visible(rect) {
        return;
    }
    let painter = ui.painter();
    if response.hovered() && !point.current {
        painter.rect_filled(rect, CornerRadius::ZERO, t.hover);
    }
    let (name, track) = columns(rect, names);
    let elsewhere = state.points.chart.elsewhere(point);
    let color = match color_of(point, t) {
        color if elsewhere => muted(color),
        color => color,
    };
    draw_share(
        painter,
        Pos2::new(rect.left() + PAD + 5.0, rect.center().y),
        point,
        t,
    );
    let (font, ink) = if point.current {
        (theme::strong(), t.strong)
    } else {
        (theme::body(), if elsewhere { t.dim } else { t.text })
    };
    // The end tells names apart.
    if state.points.other == Some(at) {
        let edge = rect.with_max_x(rect.left() + 3.0);
        painter.rect_filled(edge, CornerRadius::ZERO, t.accent);
        painter.rect_filled(rect, CornerRadius::ZERO, t.accent.gamma_multiply(0.09));
    }
    let label = widgets::short_to(painter, &point.label, &font, name.width());
    let end = widgets::text_in(painter, name, &label, font, ink, Align::Min);
    let rest = name.with_min_x(end + 6.0);
    if let Some(note) = note(state, at).filter(|_| rest.width() > 30.0) {
        let first = note.lines().next().unwrap_or_default();
        widgets::text_in(painter, rest, first, theme::small(), t.dim, Align::Min);
    }
    let x = |fps: f64| track.left() + track.width() * (fps / top) as f32;
    if let Some(fps) = point.fps.value() {
        let body = track.with_max_x(x(fps).max(track.left() + 1.0));
        let mut end = body.right();
        draw_bar(painter, body, point.mark, color);
        if let Some((low, high)) = point.fps.range().filter(|(l, h)| h > l) {
            draw_range(painter, x(low)..=x(high), track.center().y, t);
            end = end.max(x(high));
        }
        let value = Rect::from_min_max(
            Pos2::new(end + 7.0, rect.top()),
            Pos2::new(rect.right() - 4.0, rect.bottom()),
        );
        let band = match &point.fps {
            Figure::Estimated(e) => format!(" {}", e.band),
            Figure::Measured(_) | Figure::None { .. } => String::new(),
        };
        let end = widgets::text_in(
            painter,
            value,
            &short(fps),
            theme::figures(),
            ink,
            Align::Min,
        );
        let rest = value.with_min_x(end);
        widgets::text_in(painter, rest, &band, theme::small(), t.faint, Align::Min);
    } else {
        let rest = track.with_max_x(rect.right() - 6.0);
        let text = "no estimate";
        widgets::text_in(painter, rest, text, theme::small(), t.faint, Align::Min);
    }
    finish(response, state, at, point, t, out);
}

/// How much of the work is on the DLA, as a small pie.
pub(crate) fn draw_share(painter: &egui::Painter, at: Pos2, point: &Point, t: &Tokens) {
    let Some(share) = point.dla_mac_share else {
        painter.circle_stroke(at, 4.0, Stroke::new(1.0, t.faint));
        return;
    };
    painter.circle_filled(at, 4.5, t.gpu);
    if share >= 0.999 {
        painter.circle_filled(at, 4.5, t.dla);
    } else if share > 0.001 {
        // A mesh: the feathered edges of a polygon would stick out of so small a wedge.
        let steps = (share * 24.0).ceil().max(2.0) as u32;
        let mut wedge = egui::Mesh::default();
        wedge.colored_vertex(at, t.dla);
        for i in 0..=steps {
            let turn = share as f32 * i as f32 / steps as f32 - 0.25;
            let a = std::f32::consts::TAU * turn;
            wedge.colored_vertex(at + Vec2::new(a.cos(), a.sin()) * 4.5, t.dla);
            if i > 0 {
                wedge.add_triangle(0, i, i + 1);
            }
        }
        painter.add(wedge);
    }
}

pub(crate) fn sum_bar(ui: &mut Ui, total: f64, names: f32, top: f64, t: &Tokens) {
    let size = Vec2::new(ui.available_width(), ROW);
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let (name, track) = columns(rect, names);
    let painter = ui.painter();
    widgets::text_in(painter, name, "together", theme::body(), t.dim, Align::Min);
    let right = track.left() + track.width() * (total / top) as f32;
    let body = Rect::from_min_max(
        Pos2::new(track.left(), track.center().y - 2.5),
        Pos2::new(right, track.center().y + 2.5),
    );
    painter.rect_filled(body, CornerRadius::same(1), t.current);
    let value = rect.with_min_x(right + 7.0);
    widgets::text_in(
        painter,
        value,
        &short(total),
        theme::figures(),
        t.strong,
        Align::Min,
    );
}
