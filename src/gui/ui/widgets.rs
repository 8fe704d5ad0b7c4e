//! Small widgets: text in a rectangle, the device chip, bars, hatching, icons.

use std::sync::Arc;

use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{
    Align2, Color32, CornerRadius, FontId, Galley, Id, Painter, Pos2, Rect, Response, Role, Sense,
    Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
};

use crate::gui::data::tree_view::{Chip, Said};
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;
use crate::placement::Device;

use crate::engine::escape;
use egui::RichText;

use egui::{Frame, Grid, Label, Margin};

/// Most letters that any line on any screen has room for. Names from files may have a million, which
/// would be laid out in each frame.
const LONGEST: usize = 600;

/// Lays one line out, cut with an ellipsis where it is too long. Control characters are written out.
pub fn line(
    painter: &Painter,
    text: &str,
    font: FontId,
    color: Color32,
    width: f32,
) -> Arc<Galley> {
    let text = escape(text, LONGEST);
    let mut job = LayoutJob::single_section(text, TextFormat::simple(font, color));
    job.wrap = TextWrapping::truncate_at_width(width.max(0.0));
    painter.layout_job(job)
}

/// One line in a rectangle, vertically centred; returns where the text ends.
pub fn text_in(
    painter: &Painter,
    rect: Rect,
    text: &str,
    font: FontId,
    color: Color32,
    align: egui::Align,
) -> f32 {
    let galley = line(painter, text, font, color, rect.width());
    let size = galley.size();
    let x = match align {
        egui::Align::Min => rect.left(),
        egui::Align::Center => rect.center().x - size.x / 2.0,
        egui::Align::Max => rect.right() - size.x,
    };
    painter.galley(Pos2::new(x, rect.center().y - size.y / 2.0), galley, color);
    x + size.x
}

/// Diagonal lines over a rectangle.
pub fn hatch(painter: &Painter, rect: Rect, color: Color32, step: f32) {
    let painter = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    let mut x = rect.left() - rect.height();
    while x < rect.right() {
        painter.line_segment(
            [
                Pos2::new(x, rect.bottom()),
                Pos2::new(x + rect.height(), rect.top()),
            ],
            Stroke::new(1.0, color),
        );
        x += step;
    }
}

/// Size of a device chip.
pub const CHIP: Vec2 = Vec2::new(42.0, 16.0);

/// Draws a device chip: solid said here, outlined inherited, hatched amber where all that asks
/// for the DLA falls back, split where both devices are below.
pub fn draw_chip(painter: &Painter, t: &Tokens, rect: Rect, chip: &Chip, hovered: bool) {
    let radius = CornerRadius::same(8);
    let own = t.device(chip.device);
    let falls = chip.all_fall() && chip.device == Device::Dla;
    let edge = if falls { t.amber } else { own };
    let here = chip.said == Said::Here;
    let fill = match (falls, here) {
        (true, _) => t.amber_soft,
        (false, true) => own,
        (false, false) => t.device_soft(chip.device).gamma_multiply(0.45),
    };
    painter.rect_filled(rect, radius, fill);
    if falls {
        hatch(
            painter,
            rect.shrink2(Vec2::new(4.0, 1.0)),
            t.amber.gamma_multiply(0.55),
            5.0,
        );
    }
    if chip.mixed {
        let other = t.device(chip.device.other());
        let split = Rect::from_min_max(Pos2::new(rect.right() - 11.0, rect.top()), rect.max);
        let cut = CornerRadius {
            ne: 8,
            se: 8,
            nw: 0,
            sw: 0,
        };
        painter.rect_filled(split, cut, other);
    }
    let stroke = Stroke::new(if hovered { 1.8 } else { 1.0 }, edge);
    painter.rect_stroke(rect, radius, stroke, StrokeKind::Inside);
    let label = if chip.mixed {
        rect.with_max_x(rect.right() - 10.0)
    } else {
        rect
    };
    let color = match (falls, here) {
        (true, _) => t.amber,
        (false, true) => t.on_device,
        (false, false) => own,
    };
    let font = FontId::new(10.5, theme::strong().family);
    let galley = line(painter, chip.device.as_str(), font, color, label.width());
    let size = galley.size();
    if falls {
        let back = Rect::from_center_size(label.center(), size + Vec2::new(4.0, -1.0));
        painter.rect_filled(back, CornerRadius::same(3), t.amber_soft);
    }
    painter.galley(label.center() - size / 2.0, galley, color);
    if chip.falling > 0 && !falls {
        painter.circle_filled(rect.right_top() + Vec2::new(-3.0, 3.0), 3.5, t.amber);
    }
}

/// A figure over a bar that shows its share of the parent's; measured ones stand out.
pub fn draw_bar_cell(
    painter: &Painter,
    t: &Tokens,
    rect: Rect,
    text: &str,
    share: f32,
    color: Color32,
    measured: bool,
) {
    let track = Rect::from_min_max(
        Pos2::new(rect.left(), rect.bottom() - 5.0),
        Pos2::new(rect.right(), rect.bottom() - 3.0),
    );
    painter.rect_filled(track, CornerRadius::same(1), t.line.gamma_multiply(0.7));
    let width = track.width() * share.clamp(0.0, 1.0);
    if width > 0.3 {
        let bar = track.with_max_x(track.left() + width);
        let (bar, color) = if measured {
            (bar.expand2(Vec2::new(0.0, 0.5)), color)
        } else {
            (bar, color.gamma_multiply(0.62))
        };
        painter.rect_filled(bar, CornerRadius::same(1), color);
    }
    let figure = rect.with_max_y(rect.bottom() - 4.0);
    text_in(
        painter,
        figure,
        text,
        theme::figures(),
        if measured { t.strong } else { t.dim },
        egui::Align::Max,
    );
}

/// Milliseconds, short: three significant digits.
pub fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v if v > 0.0005 => format!("{v:.3}"),
        // Fused into a neighbour, or too small to print.
        _ => "0".into(),
    }
}

/// Milliseconds with a sign: `+0.12`, `-0.12`, or `0` for what rounds to nothing.
pub fn signed_ms(value: f64) -> String {
    match ms(value.abs()) {
        text if text == "0" => text,
        text if value > 0.0 => format!("+{text}"),
        text => format!("-{text}"),
    }
}

/// Microseconds or milliseconds with their unit.
pub fn duration(ms_value: f64) -> String {
    if ms_value < 1.0 {
        format!("{:.0} µs", ms_value * 1000.0)
    } else {
        format!("{} ms", ms(ms_value))
    }
}

/// Bytes in MB or kB (10^6, 10^3).
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    if n >= 1e5 {
        format!("{:.2} MB", n / 1e6)
    } else if n >= 1e3 {
        format!("{:.1} kB", n / 1e3)
    } else {
        format!("{n:.0} B")
    }
}

/// Counts with a metric prefix: MACs.
pub fn count(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// A small disclosure triangle.
pub fn draw_twig(painter: &Painter, center: Pos2, open: bool, color: Color32) {
    let r = 3.4;
    let points = if open {
        [(-r, -r * 0.55), (r, -r * 0.55), (0.0, r * 0.75)]
    } else {
        [(-r * 0.55, -r), (r * 0.75, 0.0), (-r * 0.55, r)]
    };
    let points = points.map(|(x, y)| center + Vec2::new(x, y)).to_vec();
    painter.add(Shape::convex_polygon(points, color, Stroke::NONE));
}

/// Icons, drawn so that they are as sharp as the text at any scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Undo,
    Redo,
    Search,
    Close,
    More,
    Sidebar,
    Grow,
    Warning,
    Info,
    Sun,
    Moon,
}

/// Draws an icon in a square of 14 points around a centre.
pub fn draw_icon(painter: &Painter, icon: Icon, c: Pos2, color: Color32) {
    let s = Stroke::new(1.4, color);
    let p = |x: f32, y: f32| c + Vec2::new(x, y);
    let arc = |center: Pos2, r: f32, from: f32, to: f32| {
        let points: Vec<Pos2> = (0..=16)
            .map(|i| {
                let a = from + (to - from) * i as f32 / 16.0;
                center + Vec2::new(a.cos(), a.sin()) * r
            })
            .collect();
        painter.line(points, s);
    };
    use std::f32::consts::PI;
    match icon {
        Icon::Undo | Icon::Redo => {
            let m = if icon == Icon::Undo { 1.0 } else { -1.0 };
            let points: Vec<Pos2> = (0..=16)
                .map(|i| {
                    let a = -PI / 2.0 + PI * i as f32 / 16.0;
                    p(m * (1.2 + a.cos() * 3.6), 1.0 + a.sin() * 3.4)
                })
                .collect();
            painter.line(points, s);
            painter.line_segment([p(-4.8 * m, -2.4), p(1.2 * m, -2.4)], s);
            painter.line_segment([p(-0.6 * m, 4.4), p(1.2 * m, 4.4)], s);
            painter.line(
                vec![p(-2.2 * m, -5.2), p(-5.0 * m, -2.4), p(-2.2 * m, 0.4)],
                s,
            );
        }
        Icon::Search => {
            painter.circle_stroke(p(-1.0, -1.0), 3.8, s);
            painter.line_segment([p(1.9, 1.9), p(5.0, 5.0)], s);
        }
        Icon::Close => {
            painter.line_segment([p(-3.4, -3.4), p(3.4, 3.4)], s);
            painter.line_segment([p(-3.4, 3.4), p(3.4, -3.4)], s);
        }
        Icon::More => {
            for x in [-4.0, 0.0, 4.0] {
                painter.circle_filled(p(x, 0.0), 1.3, color);
            }
        }
        Icon::Sidebar => {
            let frame = Rect::from_center_size(c, Vec2::new(12.0, 10.0));
            painter.rect_stroke(frame, CornerRadius::same(2), s, StrokeKind::Middle);
            painter.line_segment([p(2.2, -5.0), p(2.2, 5.0)], s);
        }
        Icon::Grow => {
            for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
                let corner = p(5.0 * x, 4.6 * y);
                painter.line_segment([corner, corner - Vec2::new(3.4 * x, 0.0)], s);
                painter.line_segment([corner, corner - Vec2::new(0.0, 3.4 * y)], s);
            }
        }
        Icon::Warning => {
            painter.line(
                vec![p(0.0, -5.4), p(6.0, 5.0), p(-6.0, 5.0), p(0.0, -5.4)],
                s,
            );
            painter.line_segment([p(0.0, -1.6), p(0.0, 1.8)], s);
            painter.circle_filled(p(0.0, 3.4), 0.8, color);
        }
        Icon::Info => {
            painter.circle_stroke(c, 5.6, s);
            painter.line_segment([p(0.0, -0.6), p(0.0, 3.0)], s);
            painter.circle_filled(p(0.0, -2.8), 0.9, color);
        }
        Icon::Sun => {
            painter.circle_stroke(c, 2.8, s);
            for i in 0..8 {
                let a = PI / 4.0 * i as f32;
                let d = Vec2::new(a.cos(), a.sin());
                painter.line_segment([c + d * 4.6, c + d * 6.2], s);
            }
        }
        Icon::Moon => {
            arc(c, 5.2, PI * 0.25, PI * 1.75);
            arc(p(3.0, 0.0), 4.2, PI * 0.62, PI * 1.38);
        }
    }
}

/// A frameless icon button with an accessible name and tooltip.
pub fn icon_button(ui: &mut Ui, icon: Icon, label: &str, hover: &str, enabled: bool) -> Response {
    let sense = if enabled {
        Sense::click()
    } else {
        Sense::hover()
    };
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(24.0), sense);
    let t = Tokens::of(ui);
    let color = match (enabled, response.hovered()) {
        (false, _) => t.faint.gamma_multiply(0.55),
        (true, true) => t.strong,
        (true, false) => t.dim,
    };
    if enabled && (response.hovered() || response.has_focus()) {
        ui.painter()
            .rect_filled(rect, CornerRadius::same(5), t.hover);
    }
    draw_icon(ui.painter(), icon, rect.center(), color);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, label));
    if hover.is_empty() {
        response
    } else {
        response.on_hover_text(hover)
    }
}

/// A quiet heading over a block.
pub fn heading(ui: &mut Ui, text: &str) {
    let t = Tokens::of(ui);
    ui.add_space(2.0);
    ui.label(RichText::new(text).font(theme::strong()).color(t.strong));
}

/// A filled pill with small text, as wide as its text.
pub fn pill(ui: &mut Ui, text: &str, fill: Color32, color: Color32) -> Response {
    let galley = line(ui.painter(), text, theme::small(), color, f32::INFINITY);
    let (rect, response) =
        ui.allocate_exact_size(galley.size() + Vec2::new(12.0, 4.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(8), fill);
    ui.painter().galley(
        Align2::CENTER_CENTER
            .anchor_size(rect.center(), galley.size())
            .min,
        galley,
        color,
    );
    response
}

/// Cut in the middle, where long names differ least.
pub fn short(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most / 2).collect();
    let tail: String = text.chars().skip(count - (most - most / 2 - 1)).collect();
    format!("{head}…{tail}")
}

/// A tab.
pub fn tab(ui: &mut Ui, title: &str, text: &str, chosen: bool, t: &Tokens) -> Response {
    let color = if chosen { t.strong } else { t.dim };
    let font = if chosen {
        theme::strong()
    } else {
        theme::body()
    };
    let galley = line(ui.painter(), text, font, color, f32::INFINITY);
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
    if text == title {
        response
    } else {
        response.on_hover_text(title)
    }
}

/// What a list knows of its rows for the keyboard.
#[derive(Clone, Copy)]
struct Stop {
    /// The pass these rows were drawn in, and the first of them.
    pass: u64,
    first: Id,
    /// The row that had the keyboard last or is preferred, when it had it, and whether it was drawn.
    row: Option<Id>,
    held: u64,
    drawn: bool,
    /// The row that Tab stops at.
    at: Id,
}

/// What a row of a list asks of pointer and keyboard. Tab stops once in a list: at the row that had
/// the keyboard last, else at the preferred one, else at the first. Arrows go on from there, and a
/// screen reader may give the keyboard to any.
pub fn one_stop(ui: &Ui, list: &'static str, row: Id, preferred: bool) -> Sense {
    let focused = ui.memory(egui::Memory::focused) == Some(row);
    let pass = ui.ctx().cumulative_pass_nr();
    let stop = ui.data_mut(|d| {
        let stop = d.get_temp_mut_or_insert_with(Id::unique("one stop").with(list), || Stop {
            pass,
            first: row,
            row: None,
            held: 0,
            drawn: false,
            at: row,
        });
        if stop.pass != pass {
            stop.at = stop.row.filter(|_| stop.drawn).unwrap_or(stop.first);
            stop.pass = pass;
            stop.first = row;
            stop.drawn = false;
        }
        if focused {
            stop.held = pass;
        }
        if focused || (preferred && stop.held + 1 < pass) {
            stop.row = Some(row);
        }
        stop.drawn |= stop.row == Some(row);
        stop.at
    });
    if focused || stop == row || !ui.input(|i| i.key_pressed(egui::Key::Tab)) {
        Sense::click()
    } else {
        Sense::CLICK
    }
}

/// A row over the whole width; where it can be clicked, it says so under the pointer.
pub fn row(ui: &mut Ui, height: f32, sense: Sense, t: &Tokens) -> (Rect, Response) {
    let size = Vec2::new(ui.available_width(), height);
    let (rect, response) = ui.allocate_exact_size(size, sense);
    if sense.senses_click() && response.hovered() {
        let back = rect.expand2(Vec2::new(3.0, 0.0));
        ui.painter()
            .rect_filled(back, CornerRadius::same(3), t.hover);
    }
    (rect, response)
}

/// A [`row`] of a list that can be clicked: the list is [`one_stop`] of Tab.
pub fn list_row(ui: &mut Ui, list: &'static str, height: f32, t: &Tokens) -> (Rect, Response) {
    let sense = one_stop(ui, list, ui.next_auto_id(), false);
    row(ui, height, sense, t)
}

/// Cut in the middle to a width on the screen.
pub fn short_to(painter: &Painter, text: &str, font: &FontId, width: f32) -> String {
    let fits = |text: &str| {
        let color = Color32::PLACEHOLDER;
        let galley = line(painter, text, font.clone(), color, f32::INFINITY);
        galley.size().x <= width
    };
    if fits(text) {
        return text.to_owned();
    }
    // The most letters that fit, by halving.
    let (mut least, mut most) = (1, text.chars().count().min(400));
    while least < most {
        let half = (least + most).div_ceil(2);
        if fits(&short(text, half)) {
            least = half;
        } else {
            most = half - 1;
        }
    }
    short(text, least)
}

/// How long a number field says that what was typed lies outside its range.
const SAID: std::time::Duration = std::time::Duration::from_secs(6);

/// A number with its range and accessible name. A typed number outside the range becomes the
/// nearest in it, and the field says so.
pub fn number<N: egui::emath::Numeric>(
    ui: &mut Ui,
    label: &str,
    value: &mut N,
    range: std::ops::RangeInclusive<N>,
    finish: impl FnOnce(egui::DragValue<'_>) -> egui::DragValue<'_>,
) -> Response {
    let value_now = value.to_f64();
    let (least, most) = (range.start().to_f64(), range.end().to_f64());
    let typed = std::cell::Cell::new(None);
    let field = egui::DragValue::new(value)
        .range(range)
        .custom_parser(|text| {
            let number = text.trim().trim_end_matches('%').trim().parse::<f64>().ok();
            let number = number.filter(|n| n.is_finite());
            typed.set(number);
            number
        });
    let response = ui.add(finish(field));
    response.widget_info(|| {
        let mut info = WidgetInfo::drag_value(true, value_now);
        info.label = Some(label.to_owned());
        info
    });
    let id = response.id.with("outside");
    let now = std::time::Instant::now();
    if let Some(typed) = typed.get() {
        let said = if typed > most {
            Some(format!("At most {most}, so {most} is taken"))
        } else if typed < least {
            Some(format!("At least {least}, so {least} is taken"))
        } else {
            None
        };
        ui.data_mut(|d| match said {
            Some(said) => {
                d.insert_temp(id, (now, said));
            }
            None => d.remove::<(std::time::Instant, String)>(id),
        });
    }
    let said = ui.data(|d| d.get_temp::<(std::time::Instant, String)>(id));
    if let Some((since, said)) = said {
        let left = SAID.saturating_sub(now.duration_since(since));
        if left.is_zero() {
            ui.data_mut(|d| d.remove::<(std::time::Instant, String)>(id));
        } else {
            ui.ctx().request_repaint_after(left);
            response.show_tooltip_text(said);
        }
    }
    response
}

/// A quiet heading with a line under it.
pub fn section(ui: &mut Ui, text: &str, t: &Tokens) {
    ui.add_space(12.0);
    ui.label(RichText::new(text).font(theme::small()).color(t.faint));
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::ZERO, t.line);
    ui.add_space(2.0);
}

/// Names and values in two columns.
pub fn facts(ui: &mut Ui, id: &str, t: &Tokens, rows: &[(&str, String)]) {
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

pub(crate) fn card(ui: &mut Ui, fill: Color32, edge: Color32, content: impl FnOnce(&mut Ui)) {
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

/// A card with a title and a text, a paragraph a line.
pub fn note(ui: &mut Ui, fill: Color32, edge: Color32, title: &str, text: &str, t: &Tokens) {
    card(ui, fill, edge, |ui| {
        ui.add(Label::new(RichText::new(title).font(theme::strong()).color(t.strong)).wrap());
        for paragraph in text.lines() {
            ui.add(
                Label::new(RichText::new(paragraph).color(t.text))
                    .wrap()
                    .selectable(true),
            );
        }
    });
}
