//! What was read of the machine while a run was under way, as lines over time.

use crate::engine::telemetry::Series;
use crate::engine::{Quantity, Run, Telemetry};
use crate::figure::short;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::note;
use crate::gui::ui::{theme, widgets};
use egui::{
    Align, Color32, CornerRadius, Pos2, Rect, RichText, Role, Sense, Stroke, Ui, Vec2, WidgetInfo,
};

/// Height of a line with the space around it.
const ROW: f32 = 30.0;
/// Room for the names and for the figures.
const NAMES: f32 = 150.0;
const FIGURES: f32 = 120.0;
/// Most lines.
const MOST: usize = 14;
/// Most points of a line.
const MOST_POINTS: usize = 600;

/// Marks, then the lines.
pub(crate) fn show(ui: &mut Ui, run: &Run, t: &Tokens) {
    for mark in &run.marks {
        let (fill, edge) = if mark.is_grave() {
            (t.error_soft, t.error)
        } else {
            (t.amber_soft, t.amber)
        };
        let text = mark.text();
        let (title, text) = text.split_once(": ").unwrap_or((mark.title(), &text));
        note(ui, fill, edge, title, text, t);
    }
    let telemetry = &run.telemetry;
    let drawn: Vec<&Series> = telemetry.series.iter().filter(|s| is_drawn(s)).collect();
    if drawn.is_empty() {
        return;
    }
    ui.add_space(6.0);
    let timed = if telemetry.timed.is_empty() {
        ""
    } else {
        "; timed where it is shaded"
    };
    let text = format!("Sampled: {}{timed}", telemetry.cost.text());
    ui.label(RichText::new(text).font(theme::small()).color(t.faint));
    for series in drawn.into_iter().take(MOST) {
        line(ui, telemetry, series, t);
    }
}

/// Limits, counters and what never changes by itself are told by marks and figures.
fn is_drawn(series: &Series) -> bool {
    matches!(
        series.quantity,
        Quantity::ClockMhz
            | Quantity::PowerW
            | Quantity::TemperatureC
            | Quantity::DlaAwake
            | Quantity::MemoryMb
    )
}

fn line(ui: &mut Ui, telemetry: &Telemetry, series: &Series, t: &Tokens) {
    let size = Vec2::new(ui.available_width(), ROW);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let values = telemetry.timed_values(series);
    let all = || series.values.iter().copied().flatten();
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(f64::NEG_INFINITY, f64::max);
    let name = match series.quantity {
        Quantity::MemoryMb => series.quantity.title().to_owned(),
        quantity => format!("{} {}", quantity.title(), series.name),
    };
    let figures = spread(series.quantity, &values);
    let label = format!("{name}: {figures}");
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label.clone()));
    let response = response.on_hover_text(label);
    if !ui.is_rect_visible(response.rect) {
        return;
    }
    let names = rect.with_max_x(rect.left() + NAMES.min(rect.width() * 0.35));
    let right = rect.with_min_x(rect.right() - FIGURES.min(rect.width() * 0.3));
    let painter = ui.painter();
    widgets::text_in(painter, names, &name, theme::small(), t.dim, Align::Min);
    let (font, side) = (theme::small(), Align::Max);
    widgets::text_in(painter, right, &figures, font, t.text, side);
    let plot = Rect::from_min_max(
        Pos2::new(names.right() + 8.0, rect.top() + 4.0),
        Pos2::new(right.left() - 8.0, rect.bottom() - 4.0),
    );
    if plot.width() < 20.0 {
        return;
    }
    let end = telemetry.at_s.last().copied().unwrap_or(0.0).max(1e-3);
    let x = |s: f64| plot.left() + plot.width() * (s / end).clamp(0.0, 1.0) as f32;
    for (from, to) in telemetry.timed_s() {
        let shade = Rect::from_x_y_ranges(x(from)..=x(to), plot.y_range());
        painter.rect_filled(shade, CornerRadius::ZERO, t.raised);
    }
    // A value that stays has its line in the middle.
    let room = (high - low).max(0.05 * high.abs()).max(1e-6);
    let middle = f64::midpoint(low, high);
    let y = |v: f64| {
        let part = ((v - middle) / room + 0.5).clamp(0.0, 1.0);
        plot.bottom() - plot.height() * part as f32
    };
    let stroke = Stroke::new(1.3, color(series.quantity, t));
    let step = telemetry.at_s.len().div_ceil(MOST_POINTS).max(1);
    let pairs = telemetry.at_s.iter().zip(&series.values).step_by(step);
    let mut points: Vec<Pos2> = Vec::new();
    for (at, value) in pairs {
        match value {
            Some(value) => points.push(Pos2::new(x(*at), y(*value))),
            // A gap is no line.
            None => {
                painter.line(std::mem::take(&mut points), stroke);
            }
        }
    }
    painter.line(points, stroke);
}

fn color(quantity: Quantity, t: &Tokens) -> Color32 {
    match quantity {
        Quantity::DlaAwake => t.dla,
        Quantity::PowerW => t.amber,
        Quantity::TemperatureC => t.error,
        _ => t.accent,
    }
}

/// The lowest and highest of some values with their unit.
fn spread(quantity: Quantity, values: &[f64]) -> String {
    let low = values.iter().copied().reduce(f64::min);
    let high = values.iter().copied().reduce(f64::max);
    let (Some(low), Some(high)) = (low, high) else {
        return "not read".into();
    };
    if quantity == Quantity::DlaAwake {
        let awake = values.iter().filter(|v| **v > 0.0).count();
        return format!(
            "{:.0} % of the time",
            awake as f64 / values.len() as f64 * 100.0
        );
    }
    let unit = quantity.unit();
    let (low, high) = (short(low), short(high));
    if low == high {
        format!("{low} {unit}")
    } else {
        format!("{low} to {high} {unit}")
    }
}
