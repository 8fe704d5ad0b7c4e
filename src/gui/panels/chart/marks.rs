//! Marks, colours and the legend of the chart.

use crate::chart::{Axis, Chart, Mark, Point, Shape, Spot, View};
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::{theme, widgets};
use crate::placement::Precision;
use egui::{
    Align, Color32, CornerRadius, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
};

/// Height of a row of the legend, and width of a sample with the space around it.
pub(crate) const LEGEND_ROW: f32 = 18.0;
pub(crate) const SAMPLE: f32 = 28.0;

/// Draws a sample at its centre.
pub(crate) type Draw<'a> = Box<dyn Fn(&egui::Painter, Pos2) + 'a>;

/// One mark or line and what it means, in full and in short.
pub(crate) struct Entry<'a> {
    name: &'a str,
    short: &'a str,
    /// Widths of both on the screen.
    widths: (f32, f32),
    draw: Draw<'a>,
}

/// What the marks and lines mean, of those that are drawn; left to right.
pub(crate) struct Legend<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Legend<'a> {
    pub(crate) fn of(ui: &Ui, state: &State, t: &'a Tokens) -> Self {
        let chart = &state.points.chart;
        let line = |color: Color32| -> Draw<'a> {
            let stroke = Stroke::new(1.5, color);
            Box::new(move |painter, at| {
                painter.hline(at.x - 6.0..=at.x + 6.0, at.y, stroke);
            })
        };
        let bars = matches!(state.view_of_chart, View::Bars | View::Deployments);
        let dot = |mark: Mark, color: Color32| -> Draw<'a> {
            Box::new(move |painter, at| {
                if bars {
                    let left = at - Vec2::new(3.0, 0.0);
                    let body = Rect::from_center_size(left, Vec2::new(14.0, 9.0));
                    draw_bar(painter, body, mark, color);
                    if mark == Mark::Estimated {
                        let band = body.right() - 4.0..=body.right() + 3.0;
                        draw_range(painter, band, at.y, t);
                    }
                    return;
                }
                if mark == Mark::Estimated {
                    let stroke = Stroke::new(1.2, color.gamma_multiply(0.6));
                    painter.vline(at.x, at.y - 8.0..=at.y + 8.0, stroke);
                }
                draw_mark(painter, at, mark, Shape::Circle, color, 4.0, t);
            })
        };
        let mut entries: Vec<(&str, &str, Draw<'a>)> = Vec::new();
        for mark in [Mark::Estimated, Mark::Measured, Mark::Published] {
            if !chart.points.iter().any(|p| p.mark == mark) {
                continue;
            }
            let (name, color) = match mark {
                Mark::Estimated => ("estimated, with its error band", t.accent),
                Mark::Measured => (mark.text(), t.accent),
                // Over a plot there is room for fewer words.
                Mark::Published if bars => (chart.published_name(), t.reference),
                Mark::Published => (mark.text(), t.reference),
            };
            entries.push((name, mark.text(), dot(mark, color)));
        }
        let axis = match state.view_of_chart {
            View::Scatter => Some(Axis::DlaShare),
            View::Energy => Some(Axis::Energy),
            View::Bars | View::Deployments => None,
        };
        if let Some(axis) = axis {
            for precision in shaped(state) {
                let draw: Draw<'a> = Box::new(move |painter, at| {
                    let shape = Shape::of(precision);
                    draw_mark(painter, at, Mark::Published, shape, t.dim, 4.0, t);
                });
                let name = precision.title();
                entries.push((name, name, draw));
            }
            if !chart.fronts_over(axis).is_empty() {
                entries.push(("Pareto front", "front", line(front_color(t))));
            }
            if axis == Axis::DlaShare && state.points.front.scatter().len() > 1 {
                entries.push(("found front", "found", line(found_color(t))));
            }
            let other = |(i, ..): &Spot| chart.other_batch(&chart.points[*i]);
            if chart.spots(axis).iter().any(other) {
                let sample = dot(Mark::Measured, muted(t.accent));
                entries.push(("another batch", "other batch", sample));
            }
        }
        let width = |text: &str| {
            let font = theme::small();
            widgets::line(ui.painter(), text, font, t.dim, f32::INFINITY)
                .size()
                .x
        };
        let entries = entries
            .into_iter()
            .map(|(name, short, draw)| Entry {
                name,
                short,
                widths: (width(name), width(short)),
                draw,
            })
            .collect();
        Self { entries }
    }

    fn width(&self, of: fn(&Entry<'_>) -> f32) -> f32 {
        self.entries.iter().map(|e| of(e) + SAMPLE).sum()
    }

    /// Whether all entries stand in one row of this width, by their short names if need be.
    pub(crate) fn fits(&self, width: f32) -> bool {
        self.width(|e| e.widths.1) <= width
    }

    /// How many entries each row takes in a width, and whether by their full names.
    pub(crate) fn rows(&self, width: f32) -> (Vec<usize>, bool) {
        let full = self.width(|e| e.widths.0) <= width;
        let mut rows = vec![0];
        let mut left = width;
        for entry in &self.entries {
            let one = SAMPLE + if full { entry.widths.0 } else { entry.widths.1 };
            if one > left && rows.last().is_some_and(|n| *n > 0) {
                rows.push(0);
                left = width;
            }
            left -= one;
            if let Some(last) = rows.last_mut() {
                *last += 1;
            }
        }
        (rows, full)
    }

    /// Draws the rows down from a corner at the top right.
    pub(crate) fn draw(&self, ui: &Ui, corner: Pos2, rows: &[usize], full: bool, t: &Tokens) {
        let mut entries = self.entries.iter();
        for (row, count) in rows.iter().enumerate() {
            let row_entries: Vec<&Entry<'_>> = entries.by_ref().take(*count).collect();
            let name = |e: &Entry<'a>| {
                if full {
                    (e.name, e.widths.0)
                } else {
                    (e.short, e.widths.1)
                }
            };
            let width: f32 = row_entries.iter().map(|e| name(e).1 + SAMPLE).sum();
            let mut x = corner.x - width;
            let y = corner.y + LEGEND_ROW * (row as f32 + 0.5);
            for entry in row_entries {
                let (text, width) = name(entry);
                (entry.draw)(ui.painter(), Pos2::new(x + SAMPLE - 12.0, y));
                let min = Pos2::new(x + SAMPLE, y - LEGEND_ROW / 2.0);
                let rect = Rect::from_min_size(min, Vec2::new(width + 1.0, LEGEND_ROW));
                let (font, side) = (theme::small(), Align::Min);
                widgets::text_in(ui.painter(), rect, text, font, t.dim, side);
                let id = egui::Id::unique(("legend", text));
                let response = ui.interact(rect, id, Sense::hover());
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
                x += SAMPLE + width;
            }
        }
    }
}

/// Colour of the front of what is drawn.
pub(crate) fn front_color(t: &Tokens) -> Color32 {
    t.amber.gamma_multiply(0.55)
}

/// Colour of the front a search has found.
pub(crate) fn found_color(t: &Tokens) -> Color32 {
    t.accent.gamma_multiply(0.6)
}

pub(crate) fn muted(color: Color32) -> Color32 {
    color.gamma_multiply(0.4)
}

/// A colour, muted for a point of another batch or place than the chart is about.
pub(crate) fn batch_color(chart: &Chart, point: &Point, color: Color32) -> Color32 {
    if chart.beside(point) {
        muted(color)
    } else {
        color
    }
}

/// The precisions in the scatter, in the order of [`Precision::ALL`]; empty where there is only
/// one, which needs no shape of its own.
pub(crate) fn shaped(state: &State) -> Vec<Precision> {
    let (chart, front) = (&state.points.chart, &state.points.front);
    let seen = [chart.precisions(), front.precisions()].concat();
    let mut there = Precision::ALL.to_vec();
    there.retain(|p| seen.contains(p));
    if there.len() > 1 { there } else { Vec::new() }
}

/// A bar: filled where it was measured, an outline where it is estimated.
pub(crate) fn draw_bar(painter: &egui::Painter, body: Rect, mark: Mark, color: Color32) {
    let corner = CornerRadius::same(2);
    if mark == Mark::Estimated {
        painter.rect_filled(body, corner, color.gamma_multiply(0.16));
        let edge = Stroke::new(1.4, color);
        painter.rect_stroke(body, corner, edge, StrokeKind::Inside);
    } else {
        painter.rect_filled(body, corner, color.gamma_multiply(0.85));
    }
}

/// The range of a bar's figure: an error band or a spread.
pub(crate) fn draw_range(
    painter: &egui::Painter,
    range: std::ops::RangeInclusive<f32>,
    y: f32,
    t: &Tokens,
) {
    let ink = Stroke::new(1.2, if t.dark { t.text } else { t.dim });
    for edge in [*range.start(), *range.end()] {
        painter.vline(edge, y - 3.0..=y + 3.0, ink);
    }
    painter.hline(range, y, ink);
}

pub(crate) fn draw_mark(
    painter: &egui::Painter,
    at: Pos2,
    mark: Mark,
    shape: Shape,
    color: Color32,
    r: f32,
    t: &Tokens,
) {
    let (fill, edge) = match mark {
        Mark::Estimated => (t.panel, Stroke::new(1.6, color)),
        Mark::Measured | Mark::Published => (color, Stroke::NONE),
    };
    let corners = shape.corners();
    if corners.is_empty() {
        painter.circle(at, r, fill, edge);
    } else {
        let corners = corners.iter().map(|(x, y)| at + Vec2::new(*x, *y) * r);
        painter.add(egui::Shape::convex_polygon(corners.collect(), fill, edge));
    }
}

pub(crate) fn color_of(point: &Point, t: &Tokens) -> Color32 {
    match (point.current, point.mark) {
        (true, _) => t.current,
        (false, Mark::Published) => t.reference,
        // A run that did not do as asked loads nothing.
        (false, Mark::Measured) if point.load.is_none() => t.error,
        (false, _) => t.accent,
    }
}
