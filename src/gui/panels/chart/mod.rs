//! The chart: FPS per placement as bars or against the DLA's share, and engines side by side.

use egui::{
    Align, Color32, CornerRadius, Pos2, Rect, Response, RichText, Role, ScrollArea, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo,
};
use egui_plot::{Line, Plot, PlotPoint, PlotPoints};

use crate::chart::{Chart, Group, Mark, Point, Shape, Spot, View, share_bounds};
use crate::figure::{Figure, short};
use crate::placement::Precision;

use crate::gui::command::Command;
use crate::gui::data::points::Origin;
use crate::gui::state::State;
use crate::gui::ui::theme;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets;

const ROW: f32 = 22.0;
const VALUE: f32 = 92.0;
/// Height of a row of the legend, and width of a sample with the space around it.
const LEGEND_ROW: f32 = 18.0;
const SAMPLE: f32 = 28.0;
/// Room for the heading of the first bars beside the legend.
const HEADING: f32 = 130.0;

/// Name of a view on its tab.
pub fn title(view: View) -> &'static str {
    match view {
        View::Bars => "FPS per placement",
        View::Scatter => "FPS against DLA share",
        View::Deployments => "Engines side by side",
    }
}

/// The same where tabs have little room.
fn short_title(view: View) -> &'static str {
    match view {
        View::Bars => "Placements",
        View::Scatter => "DLA share",
        View::Deployments => "Side by side",
    }
}

/// In tab order.
pub const VIEWS: [View; 3] = [View::Bars, View::Scatter, View::Deployments];

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    let chart = &state.points.chart;
    let beside = tabs(ui, state, chart, &t, out);
    if state.runs.shown {
        crate::gui::panels::runs::show(ui, state, out);
        return;
    }
    if !beside {
        // Beside the first heading of the bars, or over the plot.
        let heading = match state.view_of_chart {
            View::Scatter => 0.0,
            View::Bars => HEADING,
            View::Deployments => HEADING + 50.0,
        };
        let width = ui.available_width() - 2.0 * PAD - heading;
        let legend = Legend::of(ui, state, &t);
        let (rows, full) = legend.rows(width);
        let top_right = ui.max_rect().right_top().x - PAD;
        let at = Pos2::new(top_right, ui.cursor().top() + 4.0);
        legend.draw(ui, at, &rows, full, &t);
        ui.add_space(match state.view_of_chart {
            View::Scatter => LEGEND_ROW * rows.len() as f32 + 4.0,
            View::Bars | View::Deployments => LEGEND_ROW * rows.len().saturating_sub(1) as f32,
        });
    }
    match state.view_of_chart {
        View::Bars => bars(ui, state, &chart.groups(), View::Bars, &t, out),
        View::Scatter => scatter(ui, state, chart, &t, out),
        View::Deployments => bars(ui, state, &chart.deployments(), View::Deployments, &t, out),
    }
}

/// Between tabs.
const TAB_GAP: f32 = 16.0;

/// Draws the tabs; true where the legend stands beside them.
fn tabs(ui: &mut Ui, state: &State, chart: &Chart, t: &Tokens, out: &mut Vec<Command>) -> bool {
    let mut beside = false;
    let (line, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(line, CornerRadius::ZERO, t.line);
    let runs = match state.runs.total() {
        0 => "Runs".to_owned(),
        n => format!("Runs {n}"),
    };
    let views: Vec<View> = VIEWS
        .into_iter()
        .filter(|v| *v != View::Deployments || !chart.deployments().is_empty())
        .collect();
    let width = |text: &str| {
        let font = theme::strong();
        widgets::line(ui.painter(), text, font, t.dim, f32::INFINITY)
            .size()
            .x
    };
    let names = views.iter().map(|v| width(title(*v)) + TAB_GAP);
    let full = names.sum::<f32>() + width(&runs) + 2.0 * PAD <= ui.available_width();
    ui.horizontal(|ui| {
        ui.set_height(30.0);
        ui.add_space(PAD);
        ui.spacing_mut().item_spacing.x = TAB_GAP;
        for view in views {
            let chosen = state.view_of_chart == view && !state.runs.shown;
            let text = if full { title(view) } else { short_title(view) };
            if tab(ui, title(view), text, chosen, t) {
                out.push(Command::Chart(view));
            }
        }
        if tab(ui, &runs, &runs, state.runs.shown, t) {
            out.push(Command::ShowRuns);
        }
        if !state.runs.shown {
            let legend = Legend::of(ui, state, t);
            let (rows, full) = legend.rows(ui.available_width() - PAD);
            beside = rows.len() == 1;
            if beside {
                let right = ui.max_rect().right() - PAD;
                let y = ui.max_rect().center().y - LEGEND_ROW / 2.0;
                legend.draw(ui, Pos2::new(right, y), &rows, full, t);
            }
        }
    });
    beside
}

/// A tab; true when it was clicked.
fn tab(ui: &mut Ui, title: &str, text: &str, chosen: bool, t: &Tokens) -> bool {
    let color = if chosen { t.strong } else { t.dim };
    let font = if chosen {
        theme::strong()
    } else {
        theme::body()
    };
    let galley = widgets::line(ui.painter(), text, font, color, f32::INFINITY);
    let (rect, response) = ui.allocate_exact_size(Vec2::new(galley.size().x, 30.0), Sense::click());
    let color = if response.hovered() { t.strong } else { color };
    let at = rect.left_center() - Vec2::new(0.0, galley.size().y / 2.0);
    ui.painter()
        .galley_with_override_text_color(at, galley, color);
    if chosen {
        let under = rect.with_min_y(rect.bottom() - 2.0);
        ui.painter()
            .rect_filled(under, CornerRadius::same(1), t.accent);
    }
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, chosen, title));
    let clicked = response.clicked();
    if text != title {
        response.on_hover_text(title);
    }
    clicked
}

/// Draws a sample at its centre.
type Draw<'a> = Box<dyn Fn(&egui::Painter, Pos2) + 'a>;

/// One mark or line and what it means, in full and in short.
struct Entry<'a> {
    name: &'a str,
    short: &'a str,
    /// Widths of both on the screen.
    widths: (f32, f32),
    draw: Draw<'a>,
}

/// What the marks and lines mean, of those that are drawn; left to right.
struct Legend<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Legend<'a> {
    fn of(ui: &Ui, state: &State, t: &'a Tokens) -> Self {
        let chart = &state.points.chart;
        let line = |color: Color32| -> Draw<'a> {
            let stroke = Stroke::new(1.5, color);
            Box::new(move |painter, at| {
                painter.hline(at.x - 6.0..=at.x + 6.0, at.y, stroke);
            })
        };
        let dot = |mark: Mark, color: Color32| -> Draw<'a> {
            Box::new(move |painter, at| {
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
                Mark::Published => (mark.text(), t.reference),
            };
            entries.push((name, mark.text(), dot(mark, color)));
        }
        if state.view_of_chart == View::Scatter {
            for precision in shaped(state) {
                let draw: Draw<'a> = Box::new(move |painter, at| {
                    let shape = Shape::of(precision);
                    draw_mark(painter, at, Mark::Published, shape, t.dim, 4.0, t);
                });
                let name = precision.title();
                entries.push((name, name, draw));
            }
            if !chart.fronts().is_empty() {
                entries.push(("Pareto front", "front", line(front_color(t))));
            }
            if state.points.front.scatter().len() > 1 {
                entries.push(("found front", "found", line(found_color(t))));
            }
            let other = |(i, ..): &Spot| chart.other_batch(&chart.points[*i]);
            if chart.scatter().iter().any(other) {
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

    /// How many entries each row takes in a width, and whether by their full names.
    fn rows(&self, width: f32) -> (Vec<usize>, bool) {
        let total = |of: &dyn Fn(&Entry<'_>) -> f32| -> f32 {
            self.entries.iter().map(|e| of(e) + SAMPLE).sum()
        };
        let full = total(&|e| e.widths.0) <= width;
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
    fn draw(&self, ui: &Ui, corner: Pos2, rows: &[usize], full: bool, t: &Tokens) {
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
fn front_color(t: &Tokens) -> Color32 {
    t.amber.gamma_multiply(0.55)
}

/// Colour of the front a search has found.
pub(crate) fn found_color(t: &Tokens) -> Color32 {
    t.accent.gamma_multiply(0.6)
}

fn muted(color: Color32) -> Color32 {
    color.gamma_multiply(0.4)
}

/// A colour, muted for a point of another batch than the chart is about.
pub(crate) fn batch_color(chart: &Chart, point: &Point, color: Color32) -> Color32 {
    if chart.other_batch(point) {
        muted(color)
    } else {
        color
    }
}

/// The precisions in the scatter, in the order of [`Precision::ALL`]; empty where there is only
/// one, which needs no shape of its own.
fn shaped(state: &State) -> Vec<Precision> {
    let (chart, front) = (&state.points.chart, &state.points.front);
    let seen = [chart.precisions(), front.precisions()].concat();
    let mut there = Precision::ALL.to_vec();
    there.retain(|p| seen.contains(p));
    if there.len() > 1 { there } else { Vec::new() }
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

fn color_of(point: &Point, t: &Tokens) -> Color32 {
    match (point.current, point.mark) {
        (true, _) => t.current,
        (false, Mark::Published) => t.reference,
        // A run that did not do as asked loads nothing.
        (false, Mark::Measured) if point.load.is_none() => t.error,
        (false, _) => t.accent,
    }
}

fn bars(
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
                    ui.label(RichText::new(text).font(theme::small()).color(t.faint));
                });
                for (at, point) in &group.bars {
                    bar(ui, state, *at, point, names, top, t, out);
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
fn columns(rect: Rect, names: f32) -> (Rect, Rect) {
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
fn bar(
    ui: &mut Ui,
    state: &State,
    at: usize,
    point: &Point,
    names: f32,
    top: f64,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let size = Vec2::new(ui.available_width(), ROW);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    if !ui.is_rect_visible(rect) {
        return;
    }
    let painter = ui.painter();
    if response.hovered() && !point.current {
        painter.rect_filled(rect, CornerRadius::ZERO, t.hover);
    }
    let (name, track) = columns(rect, names);
    let color = color_of(point, t);
    draw_share(
        painter,
        Pos2::new(rect.left() + PAD + 5.0, rect.center().y),
        point,
        t,
    );
    let (font, ink) = if point.current {
        (theme::strong(), t.strong)
    } else {
        (theme::body(), t.text)
    };
    widgets::text_in(painter, name, &point.label, font, ink, Align::Min);
    let x = |fps: f64| track.left() + track.width() * (fps / top) as f32;
    if let Some(fps) = point.fps.value() {
        let body = track.with_max_x(x(fps).max(track.left() + 1.0));
        let mut end = body.right();
        if point.mark == Mark::Estimated {
            painter.rect_filled(body, CornerRadius::same(2), color.gamma_multiply(0.16));
            let edge = Stroke::new(1.4, color);
            painter.rect_stroke(body, CornerRadius::same(2), edge, StrokeKind::Inside);
        } else {
            painter.rect_filled(body, CornerRadius::same(2), color.gamma_multiply(0.85));
        }
        if let Some((low, high)) = point.fps.range().filter(|(l, h)| h > l) {
            let (a, b, y) = (x(low), x(high), track.center().y);
            let ink = Stroke::new(1.2, if t.dark { t.text } else { t.dim });
            painter.hline(a..=b, y, ink);
            for edge in [a, b] {
                painter.vline(edge, y - 3.0..=y + 3.0, ink);
            }
            end = end.max(b);
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
fn draw_share(painter: &egui::Painter, at: Pos2, point: &Point, t: &Tokens) {
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

fn sum_bar(ui: &mut Ui, total: f64, names: f32, top: f64, t: &Tokens) {
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

/// Name, tooltip, click and menu of a bar or point.
pub(crate) fn finish(
    response: Response,
    state: &State,
    at: usize,
    point: &Point,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let value = point.fps.to_string();
    let kind = state.points.chart.kind(point);
    response.widget_info(|| {
        WidgetInfo::labeled(
            Role::Button,
            true,
            format!("{} {kind}: {value}", point.label),
        )
    });
    let load = point
        .load
        .as_ref()
        .filter(|_| !point.current)
        .map(|(placement, config)| {
            Command::Load(point.label.clone(), placement.clone(), config.clone())
        });
    if response.clicked()
        && let Some(load) = load.clone()
    {
        out.push(load);
    }
    if let Some(Origin::Kept(id)) = state.points.origins.get(at) {
        let id = *id;
        if response.has_focus() && state.dialog.is_none() && state.palette.is_none() {
            let ctx = response.ctx.clone();
            let pressed = |key| ctx.input_mut(|i| i.consume_key(egui::Modifiers::NONE, key));
            if pressed(egui::Key::F2) {
                out.push(Command::AskRename(id));
            } else if pressed(egui::Key::Delete) {
                out.push(Command::DeleteKept(id));
            }
        }
        response.context_menu(|ui| {
            let commands = load
                .clone()
                .into_iter()
                .chain([Command::AskRename(id), Command::DeleteKept(id)]);
            for command in commands {
                let keys = match command {
                    Command::AskRename(_) => "F2",
                    Command::DeleteKept(_) => "Delete",
                    _ => "",
                };
                let button = egui::Button::new(command.text()).shortcut_text(keys);
                if ui.add(button).clicked() {
                    out.push(command);
                    ui.close();
                }
            }
        });
    }
    // Typing goes on while the pointer rests here.
    if state.palette.is_some() || state.dialog.is_some() {
        return;
    }
    response.on_hover_ui(|ui| {
        ui.label(RichText::new(&point.label).font(theme::strong()));
        let figure = match &point.fps {
            Figure::Estimated(e) => {
                format!("{} FPS {}", short(e.value), e.band)
            }
            Figure::Measured(m) => format!("{} FPS", short(m.value)),
            Figure::None { .. } => "no estimate".to_owned(),
        };
        let precision = point.precision;
        let kind = kind.replacen(precision.as_str(), precision.title(), 1);
        ui.label(format!("{figure}, {kind}, {}", point.mark.text()));
        if let Some(share) = point.dla_mac_share {
            ui.label(format!("{:.0} % of the MACs on DLA", share * 100.0));
        }
        let current = state.judged.as_ref().and_then(|j| j.estimate.fps.value());
        if let (Some(now), Some(then), false) = (current, point.fps.value(), point.current) {
            let percent = (then / now - 1.0) * 100.0;
            let delta = then - now;
            let color = if delta >= 0.0 { t.gpu } else { t.error };
            let text = format!("{delta:+.1} FPS, {percent:+.1} % against this placement");
            ui.label(RichText::new(text).color(color));
        }
        ui.label(
            RichText::new(&**point.fps.source())
                .font(theme::small())
                .color(t.dim),
        );
        if load.is_some() {
            let hint = "Click to load this placement";
            ui.label(RichText::new(hint).font(theme::small()).color(t.dim));
        }
    });
}

fn scatter(ui: &mut Ui, state: &State, chart: &Chart, t: &Tokens, out: &mut Vec<Command>) {
    let points = chart.scatter();
    if points.is_empty() {
        ui.centered_and_justified(|ui| {
            ui.label(RichText::new("No placement has both an estimate and a share").color(t.dim));
        });
        return;
    }
    let front = &state.points.front;
    let top = chart
        .max_fps(View::Scatter)
        .max(front.max_fps(View::Scatter))
        * 1.08;
    let fronts = chart.fronts();
    let area = ui.available_rect_before_wrap();
    let area = Rect::from_min_max(
        area.min + Vec2::new(PAD, 6.0),
        area.max - Vec2::new(PAD, 4.0),
    );
    let mut inner = ui.new_child(egui::UiBuilder::new().max_rect(area));
    let small = theme::small();
    let styles = &mut inner.style_mut().text_styles;
    for style in [egui::TextStyle::Body, egui::TextStyle::Small] {
        styles.insert(style, small.clone());
    }
    // A plot keeps the bounds it began with: other figures are another plot.
    let shares = points.iter().map(|(_, share, _)| *share);
    let found = front.scatter();
    let (left, right) = share_bounds(shares.chain(found.iter().map(|(_, share, _)| *share)));
    let steps = match right - left {
        w if w > 50.0 => [100.0, 50.0, 10.0],
        w if w > 20.0 => [50.0, 10.0, 5.0],
        w if w > 4.0 => [10.0, 5.0, 1.0],
        _ => [1.0, 0.5, 0.1],
    };
    let bounds = [top, left, right].map(f64::to_bits);
    // So it is shown whole again, where it was moved or enlarged, on a double click.
    let resets = egui::Id::unique("scatter resets");
    let again: u32 = ui.data(|d| d.get_temp(resets)).unwrap_or_default();
    let drawn = Plot::new(("scatter", bounds, again))
        .x_axis_label("share of the MACs on the DLA, %")
        .y_axis_label("FPS")
        .default_x_bounds(left, right)
        .default_y_bounds(0.0, top)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        .label_formatter(|_| None)
        .grid_color(t.line)
        .show_background(false)
        .x_grid_spacer(egui_plot::uniform_grid_spacer(move |_| steps))
        .x_axis_formatter(|mark, _| {
            let digits = usize::from(mark.step_size < 1.0);
            format!("{:.digits$}", mark.value)
        })
        .show(&mut inner, |plot| {
            for (precision, line) in &fronts {
                let line: Vec<[f64; 2]> = line
                    .iter()
                    .map(|(_, share, fps)| [share * 100.0, *fps])
                    .collect();
                plot.line(
                    Line::new(format!("front {precision}"), PlotPoints::from(line))
                        .color(front_color(t))
                        .width(1.5)
                        .allow_hover(false),
                );
            }
        });
    if drawn.response.double_clicked() {
        ui.data_mut(|d| d.insert_temp(resets, again.wrapping_add(1)));
    }
    let frame = *drawn.transform.frame();
    let painter = ui.painter().with_clip_rect(frame);
    for (precision, line) in &fronts {
        // The front's left end names its precision.
        if let Some((_, share, fps)) = line.first() {
            let at = PlotPoint::new(share * 100.0, *fps);
            let at = drawn.transform.position_from_point(&at) + Vec2::new(10.0, -12.0);
            let text = precision.title();
            painter.text(at, egui::Align2::LEFT_CENTER, text, theme::small(), t.dim);
        }
    }
    let several = !shaped(state).is_empty();
    crate::gui::panels::search::front(ui, state, front, &drawn.transform, several, t, out);
    // The current placement last, over the others, and other batches under all.
    let mut points = points;
    points.sort_by_key(|(i, ..)| {
        let point = &chart.points[*i];
        (point.current, !chart.other_batch(point))
    });
    for (i, share, fps) in points {
        let point = &chart.points[i];
        let color = batch_color(chart, point, color_of(point, t));
        let place = |y: f64| {
            drawn
                .transform
                .position_from_point(&PlotPoint::new(share * 100.0, y))
        };
        let at = place(fps);
        if !frame.contains(at) {
            continue;
        }
        if let Some((low, high)) = point.fps.range().filter(|(l, h)| h > l) {
            painter.vline(
                at.x,
                place(high).y..=place(low).y,
                Stroke::new(1.2, color.gamma_multiply(0.6)),
            );
        }
        let hit = Rect::from_center_size(at, Vec2::splat(14.0));
        let response = ui.interact(hit, egui::Id::unique(("point", i)), Sense::click());
        let r = if response.hovered() || point.current {
            6.0
        } else {
            4.5
        };
        let shape = point.shape(several);
        draw_mark(&painter, at, point.mark, shape, color, r, t);
        finish(response, state, i, point, t, out);
    }
}
