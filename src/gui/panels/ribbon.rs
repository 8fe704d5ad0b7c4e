//! The execution ribbon: a lane per device, DLA subgraphs in it, transitions between.

use egui::{
    Align, CornerRadius, Pos2, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui, Vec2,
    WidgetInfo,
};

use super::super::command::Command;
use super::super::state::State;
use super::actual;
use crate::gui::data::actual::Actual;
use crate::gui::data::looks::Pane;
use crate::gui::data::open::Open;
use crate::gui::data::ribbon::{Crossing, Ribbon, Segment};
use crate::gui::panels::controls::takes_keyboard;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::{theme, widgets};
use crate::model::{Model, OpId};
use crate::placement::Device;

const LANE: f32 = 30.0;
const GAP: f32 = 18.0;
const LABEL: f32 = 36.0;
/// Height of the strips that show what was asked and what the engine did.
const STRIP: f32 = 8.0;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    let (Some(open), Some(judged)) = (&state.open, &state.judged) else {
        return;
    };
    ui.add_space(6.0);
    title(ui, state, &t);
    let actual = state.runs.actual();
    // Kept while another placement is on screen, so that nothing jumps.
    let strips = actual.is_some() || state.runs.any_measured();
    let strip = if strips { 2.0 * STRIP + 13.0 } else { 0.0 };
    let other = Other::of(state);
    let below = if other.is_some() { Other::HEIGHT } else { 0.0 };
    let size = Vec2::new(ui.available_width(), LANE * 2.0 + GAP + 8.0 + strip + below);
    let (outer, _) = ui.allocate_exact_size(size, Sense::hover());
    let rect = outer
        .shrink2(Vec2::new(PAD, 2.0))
        .with_min_x(outer.left() + PAD + LABEL);
    let painter = ui.painter().with_clip_rect(outer);
    let lane = |device: Device| {
        let top = match device {
            Device::Gpu => rect.top(),
            Device::Dla => rect.top() + LANE + GAP,
        };
        Rect::from_min_size(Pos2::new(rect.left(), top), Vec2::new(rect.width(), LANE))
    };
    for device in [Device::Gpu, Device::Dla] {
        let lane = lane(device);
        painter.rect_filled(lane, CornerRadius::same(4), t.base);
        let label = Rect::from_min_max(
            Pos2::new(outer.left() + PAD, lane.top()),
            Pos2::new(lane.left() - 6.0, lane.bottom()),
        );
        let color = t.device(device);
        widgets::text_in(
            &painter,
            label,
            device.as_str(),
            theme::small(),
            color,
            Align::Min,
        );
    }
    // Both on one scale of time.
    let scale = other.as_ref().map_or(1.0, |o| o.scales.0);
    let drawn = rect.with_max_x(rect.left() + rect.width() * scale);
    let selected = state.selected_ops();
    let mut connectors: Vec<Connector> = Vec::new();
    let mut drawn_to = [f32::NEG_INFINITY; 2];
    for (i, segment) in state.ribbon.segments.iter().enumerate() {
        let lane = lane(segment.device);
        let left = drawn.left() + drawn.width() * segment.start as f32;
        let right = left + (drawn.width() * segment.width as f32).max(1.0);
        // Thousands of segments share pixels: one rectangle per pixel is enough.
        let slot = &mut drawn_to[usize::from(segment.device == Device::Dla)];
        if right <= *slot + 0.5 {
            continue;
        }
        *slot = right;
        let body = Rect::from_min_max(
            Pos2::new(left + 0.5, lane.top() + 1.0),
            Pos2::new((right - 0.5).max(left + 1.0), lane.bottom() - 1.0),
        );
        let hit = selected
            .binary_search_by(|op| op.cmp(&segment.ops[0]))
            .is_ok()
            || segment
                .ops
                .iter()
                .any(|op| selected.binary_search(op).is_ok());
        let id = egui::Id::unique(("segment", i));
        let sense = widgets::one_stop(ui, "segments", id, hit);
        let response = ui.interact(body.expand2(Vec2::new(0.0, 2.0)), id, sense);
        draw_segment(
            &painter,
            &t,
            body,
            segment,
            state.ribbon.timed,
            hit || response.hovered(),
            hit,
        );
        if segment.device == Device::Dla {
            connectors.extend([
                Connector {
                    x: body.left(),
                    crossing: segment.entry,
                    down: true,
                },
                Connector {
                    x: body.right(),
                    crossing: segment.exit,
                    down: false,
                },
            ]);
        }
        let name = segment_name(segment);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        if i == 0 {
            takes_keyboard(state, Pane::Execution, &response);
        }
        if response.clicked() {
            out.push(Command::SelectOps(segment.ops.clone()));
        }
        response.on_hover_ui(|ui| hover(ui, &open.model, segment, judged.plan.subgraphs.len(), &t));
    }
    draw_connectors(&painter, &t, rect, connectors);
    if strips {
        let top = rect.top() + LANE * 2.0 + GAP + 6.0;
        let area = |row: f32| {
            Rect::from_min_size(
                Pos2::new(rect.left(), top + row * (STRIP + 5.0)),
                Vec2::new(rect.width(), STRIP),
            )
        };
        for (row, name) in [(0.0, "asked"), (1.0, "actual")] {
            painter.rect_filled(area(row), CornerRadius::same(3), t.base);
            let label = Rect::from_min_max(
                Pos2::new(outer.left() + PAD, area(row).top() - 2.0),
                Pos2::new(area(row).left() - 2.0, area(row).bottom() + 2.0),
            );
            widgets::text_in(&painter, label, name, theme::small(), t.dim, Align::Min);
        }
        let asked = |op: OpId| Some(judged.plan.requested[op.index()]);
        let drawn = |row: f32| area(row).with_max_x(drawn.right());
        draw_strip(&painter, state, drawn(0.0), t.amber, &asked, &t);
        if let Some(actual) = actual {
            draw_actual(ui, &painter, state, actual, drawn(1.0), &t, out);
        } else {
            let at = area(1.0).shrink2(Vec2::new(6.0, -2.0));
            let (font, side) = (theme::small(), Align::Min);
            widgets::text_in(&painter, at, "not measured", font, t.faint, side);
        }
    }
    if let Some(other) = other {
        let top = rect.top() + LANE * 2.0 + GAP + 4.0 + strip;
        let area = rect.with_min_y(top).with_max_y(top + Other::HEIGHT);
        other.draw(ui, &painter, open, area, outer.left() + PAD, &t, out);
    }
}

/// The execution of the placement that the one on screen is compared with, smaller.
struct Other<'a> {
    name: &'a str,
    ribbon: &'a Ribbon,
    latency: Option<f64>,
    /// Shares of the width that this placement and the other one take.
    scales: (f32, f32),
}

impl<'a> Other<'a> {
    const LANE: f32 = 11.0;
    const HEIGHT: f32 = 18.0 + 2.0 * Self::LANE + 5.0;

    fn of(state: &'a State) -> Option<Self> {
        state.compare.comparison()?;
        let other = state.compare.other.as_ref()?;
        let (ribbon, this) = (&*state.compare.ribbon, &*state.ribbon);
        let most = this.total.max(ribbon.total);
        let scales = if ribbon.timed && this.timed && most > 0.0 {
            ((this.total / most) as f32, (ribbon.total / most) as f32)
        } else {
            (1.0, 1.0)
        };
        Some(Self {
            name: &other.name,
            ribbon,
            latency: other.estimate.latency_ms.value(),
            scales,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of one row's drawing context"
    )]
    fn draw(
        &self,
        ui: &Ui,
        painter: &egui::Painter,
        open: &Open,
        area: Rect,
        left: f32,
        t: &Tokens,
        out: &mut Vec<Command>,
    ) {
        let words = area.with_min_x(left).with_max_y(area.top() + 16.0);
        let time = self
            .latency
            .map(|ms| format!(", est. {}", widgets::duration(ms)))
            .unwrap_or_default();
        let text = format!("{}{time}", self.name);
        let font = theme::small();
        widgets::text_in(painter, words, &text, font, t.text, Align::Min);
        let label = ui.interact(words, egui::Id::unique("other ribbon"), Sense::hover());
        label.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Beside {text}")));
        let lane = |device: Device| {
            let row = if device == Device::Gpu { 0.0 } else { 1.0 };
            let top = area.top() + 17.0 + row * (Self::LANE + 2.0);
            Rect::from_min_size(
                Pos2::new(area.left(), top),
                Vec2::new(area.width(), Self::LANE),
            )
        };
        for device in [Device::Gpu, Device::Dla] {
            painter.rect_filled(lane(device), CornerRadius::same(3), t.base);
            let name = lane(device).with_min_x(left).expand2(Vec2::new(0.0, 2.0));
            let (font, color) = (theme::small(), t.device(device));
            widgets::text_in(painter, name, device.as_str(), font, color, Align::Min);
        }
        let all = self.ribbon.segments.iter();
        let subgraphs = all.filter(|s| s.subgraph.is_some()).count();
        let width = area.width() * self.scales.1;
        let mut drawn_to = [f32::NEG_INFINITY; 2];
        for (i, segment) in self.ribbon.segments.iter().enumerate() {
            let lane = lane(segment.device);
            let from = lane.left() + width * segment.start as f32;
            let to = from + (width * segment.width as f32).max(1.0);
            let slot = &mut drawn_to[usize::from(segment.device == Device::Dla)];
            if to <= *slot + 0.5 {
                continue;
            }
            *slot = to;
            let body = lane
                .with_min_x(from + 0.5)
                .with_max_x((to - 0.5).max(from + 1.0));
            let id = egui::Id::unique(("other segment", i));
            let response = ui.interact(body, id, Sense::CLICK);
            let color = match segment.subgraph {
                Some(s) => t.subgraph(s),
                None => t.gpu,
            };
            let fill = if response.hovered() {
                color
            } else {
                color.gamma_multiply(0.6)
            };
            painter.rect_filled(body, CornerRadius::same(2), fill);
            let name = format!("{} in {}", segment_name(segment), self.name);
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
            if response.clicked() {
                out.push(Command::SelectOps(segment.ops.clone()));
            }
            response.on_hover_ui(|ui| hover(ui, &open.model, segment, subgraphs, t));
        }
    }
}

/// Devices of the ops of each segment, in its place; hatched where not as predicted.
fn draw_strip(
    painter: &egui::Painter,
    state: &State,
    strip: Rect,
    differs: egui::Color32,
    device: &dyn Fn(OpId) -> Option<Device>,
    t: &Tokens,
) {
    let mut drawn_to = f32::NEG_INFINITY;
    for segment in &state.ribbon.segments {
        let left = strip.left() + strip.width() * segment.start as f32;
        let width = strip.width() * segment.width as f32;
        if left + width <= drawn_to + 0.5 {
            continue;
        }
        drawn_to = left + width;
        let n = segment.ops.len() as f32;
        let mut at = left;
        for (device, ops) in actual::stretches(&segment.ops, device) {
            let right = at + width * ops as f32 / n;
            let body = Rect::from_min_max(
                Pos2::new(at, strip.top()),
                Pos2::new(right.max(at + 0.5), strip.bottom()),
            );
            at = right;
            let Some(device) = device else { continue };
            let color = t.device(device).gamma_multiply(0.8);
            painter.rect_filled(body, CornerRadius::ZERO, color);
            if device != segment.device {
                widgets::hatch(painter, body, differs, 4.0);
                let edge = Stroke::new(1.5, differs);
                painter.rect_stroke(body, CornerRadius::ZERO, edge, StrokeKind::Inside);
            }
        }
    }
}

/// What the engine did, under the lanes of the prediction.
fn draw_actual(
    ui: &Ui,
    painter: &egui::Painter,
    state: &State,
    actual: &Actual,
    strip: Rect,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let device = |op: OpId| actual.device.get(op.index()).copied().flatten();
    draw_strip(painter, state, strip, t.error, &device, t);
    let response = ui.interact(strip, egui::Id::unique("actual strip"), Sense::click());
    let on = |d| actual.device.iter().filter(|x| **x == Some(d)).count();
    let name = format!(
        "Actual: {} ops on DLA in {} subgraphs, {} on GPU",
        on(Device::Dla),
        actual.subgraphs.len(),
        on(Device::Gpu)
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    if response.clicked() && !actual.silent.is_empty() {
        out.push(Command::SelectOps(actual.silent.clone()));
    }
    response.on_hover_ui(|ui| {
        ui.label(RichText::new(&name).font(theme::strong()));
        ui.label(&actual.machine);
        if !actual.silent.is_empty() {
            let text = format!(
                "{} fell back silently; click to select",
                actual.silent.len()
            );
            ui.label(RichText::new(text).color(t.error));
        }
        ui.label(
            RichText::new("What the engine did with the ops above; hatched where not as predicted")
                .font(theme::small())
                .color(t.dim),
        );
    });
}

/// One part of the line over the lanes, with what stands for it where room is short.
struct Part {
    text: String,
    short: Option<String>,
    color: egui::Color32,
    pill: bool,
    /// What goes first where room is short: the highest.
    spare: u8,
}

impl Part {
    fn new(text: String, color: egui::Color32, spare: u8) -> Self {
        Self {
            text,
            short: None,
            color,
            pill: false,
            spare,
        }
    }
}

/// The line over the lanes: as much of it as there is room for, all of it on hover.
fn title(ui: &mut Ui, state: &State, t: &Tokens) {
    let Some(judged) = &state.judged else { return };
    let estimate = &judged.estimate;
    let mut parts = Vec::new();
    if let Some(ms) = estimate.gpu_ms.value() {
        parts.push(Part::new(
            format!("GPU {}", widgets::duration(ms)),
            t.gpu,
            1,
        ));
    }
    if let Some(ms) = estimate.dla_ms.value().filter(|ms| *ms > 0.0) {
        parts.push(Part::new(
            format!("DLA {}", widgets::duration(ms)),
            t.dla,
            1,
        ));
    }
    if !judged.plan.transitions.is_empty() {
        let bytes: u64 = judged.plan.transitions.iter().map(|x| x.bytes).sum();
        let cost = estimate
            .transition_ms
            .value()
            .map(|ms| format!(" {}", widgets::duration(ms)))
            .unwrap_or_default();
        let n = judged.plan.transitions.len();
        let noun = if n == 1 { "transition" } else { "transitions" };
        let short = format!("{n} {noun}{cost}");
        let text = format!("{short}, {}", widgets::bytes(bytes));
        let mut part = Part::new(text, t.dim, 2);
        part.short = Some(short);
        parts.push(part);
    }
    let limit = state.target.tensorrt.max_loadables();
    let used = judged.plan.subgraphs.len();
    if used > 0 {
        let near = used * 4 >= limit as usize * 3;
        let color = if near { t.amber } else { t.dim };
        let text = format!("subgraphs {used}/{limit}");
        parts.push(Part::new(text, color, if near { 0 } else { 3 }));
    }
    if let Some(actual) = state.runs.actual()
        && !actual.silent.is_empty()
    {
        let n = actual.silent.len();
        let mut part = Part::new(format!("{n} fell back silently"), t.error, 0);
        part.pill = true;
        parts.push(part);
    }
    let latency = estimate.latency_ms.value();
    let whole = if let (true, Some(ms)) = (state.ribbon.timed, latency) {
        format!("one inference, est. {}", widgets::duration(ms))
    } else {
        "widths by number of ops; no estimate".to_owned()
    };
    let mut heading = Some("Execution");
    let all: Vec<String> = parts.iter().map(|p| p.text.clone()).collect();
    let all = format!("{}\n{whole}", all.join("\n"));
    let size = Vec2::new(ui.available_width(), 20.0);
    let (line, _) = ui.allocate_exact_size(size, Sense::hover());
    let room = line.shrink2(Vec2::new(PAD, 0.0));
    let gap = 8.0;
    let width = |ui: &Ui, text: &str, font| {
        widgets::line(ui.painter(), text, font, t.dim, f32::INFINITY)
            .size()
            .x
    };
    let taken = |ui: &Ui, heading: Option<&str>, parts: &[Part]| {
        let title = heading.map_or(0.0, |h| width(ui, h, theme::strong()) + gap);
        let pad = |p: &Part| if p.pill { 12.0 } else { 0.0 };
        let each = |p: &Part| width(ui, &p.text, theme::small()) + pad(p) + gap;
        title + parts.iter().map(each).sum::<f32>() - gap
    };
    while taken(ui, heading, &parts) > room.width() {
        if let Some(part) = parts.iter_mut().find(|p| p.short.is_some())
            && let Some(short) = part.short.take()
        {
            part.text = short;
        } else if heading.take().is_none() {
            let spare = parts.iter().enumerate().max_by_key(|(_, p)| p.spare);
            let Some((at, _)) = spare.filter(|_| parts.len() > 1) else {
                break;
            };
            parts.remove(at);
        }
    }
    let fits = |end: f32| room.right() - end > width(ui, &whole, theme::small()) + 2.0 * gap;
    let hover = ui.interact(line, egui::Id::unique("execution"), Sense::hover());
    hover.on_hover_text(all);
    let mut left = room.left();
    if let Some(text) = heading {
        let at = room.with_min_x(left);
        left = widgets::text_in(
            ui.painter(),
            at,
            text,
            theme::strong(),
            t.strong,
            Align::Min,
        ) + gap;
    }
    for (i, part) in parts.iter().enumerate() {
        let pad = if part.pill { 6.0 } else { 0.0 };
        let end = left + width(ui, &part.text, theme::small()) + 2.0 * pad;
        let at = Rect::from_min_max(Pos2::new(left, room.top()), Pos2::new(end, room.bottom()));
        if part.pill {
            let pill = at.shrink2(Vec2::new(0.0, 1.0));
            ui.painter()
                .rect_filled(pill, CornerRadius::same(8), t.error_soft);
        }
        // A little more than its width: rounding must not cut the last letter.
        let inner = at.shrink2(Vec2::new(pad, 0.0)).expand2(Vec2::new(1.0, 0.0));
        let ink = inner.with_min_x(at.left() + pad);
        let (font, color) = (theme::small(), part.color);
        widgets::text_in(ui.painter(), ink, &part.text, font, color, Align::Min);
        let response = ui.interact(at, egui::Id::unique(("execution part", i)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &part.text));
        if part.pill {
            response.on_hover_text("The engine put them on the GPU without a word");
        }
        left = end + gap;
    }
    if fits(left - gap) {
        let (font, side) = (theme::small(), Align::Max);
        widgets::text_in(ui.painter(), room, &whole, font, t.faint, side);
    }
}

fn segment_name(segment: &Segment) -> String {
    match segment.subgraph {
        Some(s) => format!("DLA subgraph {s}"),
        None => format!("GPU segment of {} ops", segment.ops.len()),
    }
}

/// What a segment's width stands for: on one ribbon times or numbers of ops, never both.
fn segment_figure(segment: &Segment, timed: bool) -> String {
    match segment.ms.filter(|_| timed) {
        Some(ms) => widgets::duration(ms),
        None => format!("{} ops", segment.ops.len()),
    }
}

fn draw_segment(
    painter: &egui::Painter,
    t: &Tokens,
    body: Rect,
    segment: &Segment,
    timed: bool,
    bright: bool,
    selected: bool,
) {
    let color = match segment.subgraph {
        Some(s) => t.subgraph(s),
        None => t.gpu,
    };
    let fill = if bright {
        color
    } else {
        color.gamma_multiply(0.78)
    };
    painter.rect_filled(body, CornerRadius::same(3), fill);
    if selected {
        painter.rect_stroke(
            body.expand(1.0),
            CornerRadius::same(4),
            Stroke::new(1.5, t.strong),
            StrokeKind::Outside,
        );
    }
    if body.width() > 46.0 {
        let text = segment_figure(segment, timed);
        let inner = body.shrink2(Vec2::new(5.0, 0.0));
        widgets::text_in(
            painter,
            inner,
            &text,
            theme::small(),
            t.on_device,
            Align::Center,
        );
    }
}

/// Transitions at one end of a DLA subgraph.
struct Connector {
    x: f32,
    crossing: Crossing,
    down: bool,
}

/// Connectors between the lanes, with their cost where there is room.
fn draw_connectors(
    painter: &egui::Painter,
    t: &Tokens,
    rect: Rect,
    mut connectors: Vec<Connector>,
) {
    connectors.retain(|c| c.crossing.tensors > 0);
    connectors.sort_by(|a, b| a.x.total_cmp(&b.x));
    let (top, bottom) = (rect.top() + LANE, rect.top() + LANE + GAP);
    let mut taken = rect.left() - 4.0;
    for (i, c) in connectors.iter().enumerate() {
        let before = i
            .checked_sub(1)
            .map_or(f32::NEG_INFINITY, |i| connectors[i].x);
        let after = connectors.get(i + 1).map_or(f32::INFINITY, |c| c.x);
        let crowded = c.x - before < 7.0 || after - c.x < 7.0;
        let stroke = Stroke::new(1.2, if crowded { t.faint } else { t.dim });
        painter.vline(c.x, top..=bottom, stroke);
        if crowded {
            continue;
        }
        let (tip, dy) = if c.down { (bottom, -4.0) } else { (top, 4.0) };
        painter.line_segment(
            [Pos2::new(c.x - 3.0, tip + dy), Pos2::new(c.x, tip)],
            stroke,
        );
        painter.line_segment(
            [Pos2::new(c.x + 3.0, tip + dy), Pos2::new(c.x, tip)],
            stroke,
        );
        let bytes = widgets::bytes(c.crossing.bytes);
        let text = if c.crossing.ms > 0.0 {
            format!("{} · {bytes}", widgets::duration(c.crossing.ms))
        } else {
            bytes
        };
        let galley = widgets::line(painter, &text, theme::small(), t.dim, 160.0);
        let width = galley.size().x;
        let right = c.x + 6.0;
        let left = c.x - 6.0 - width;
        let at = if right + width + 5.0 < after && right + width < rect.right() + 8.0 {
            right
        } else if left > before + 5.0 && left > taken {
            left
        } else {
            continue;
        };
        taken = at + width + 6.0;
        let y = f32::midpoint(top, bottom) - galley.size().y / 2.0;
        painter.galley(Pos2::new(at, y), galley, t.dim);
    }
}

fn hover(ui: &mut Ui, model: &Model, segment: &Segment, subgraphs: usize, t: &Tokens) {
    let head = match segment.subgraph {
        Some(s) => format!("DLA subgraph {} of {subgraphs}", s + 1),
        None => "On the GPU".to_owned(),
    };
    ui.label(RichText::new(head).font(theme::strong()));
    let n = segment.ops.len();
    let cost = segment
        .ms
        .map(|ms| format!(", est. {}", widgets::duration(ms)))
        .unwrap_or_default();
    ui.label(format!("{n} op{}{cost}", if n == 1 { "" } else { "s" }));
    let (first, last) = (segment.ops[0], segment.ops[n - 1]);
    let place = |op: OpId| {
        let op = model.op(op);
        let path = &model.modules.get(op.module).path;
        if path.is_empty() {
            op.name.to_string()
        } else {
            path.to_string()
        }
    };
    ui.label(format!("{} … {}", place(first), place(last)));
    for (name, crossing) in [("In", &segment.entry), ("Out", &segment.exit)] {
        if crossing.tensors > 0 {
            let cost = if crossing.ms > 0.0 {
                format!(", {}", widgets::duration(crossing.ms))
            } else {
                String::new()
            };
            ui.label(format!(
                "{name}: {} tensor{}, {}{cost}",
                crossing.tensors,
                if crossing.tensors == 1 { "" } else { "s" },
                widgets::bytes(crossing.bytes)
            ));
        }
    }
    ui.label(
        RichText::new("Click to select its ops")
            .font(theme::small())
            .color(t.dim),
    );
}

#[cfg(test)]
mod tests {
    use super::{Segment, segment_figure};
    use crate::gui::data::ribbon::Crossing;
    use crate::model::OpId;
    use crate::placement::Device;

    #[test]
    fn one_ribbon_shows_times_or_numbers_of_ops() {
        let segment = |ms| Segment {
            device: Device::Gpu,
            subgraph: None,
            ops: vec![OpId(0), OpId(1)],
            ms,
            start: 0.0,
            width: 0.5,
            entry: Crossing::default(),
            exit: Crossing::default(),
        };
        assert_eq!(segment_figure(&segment(Some(2.5)), true), "2.50 ms");
        for ms in [Some(2.5), None] {
            assert_eq!(segment_figure(&segment(ms), false), "2 ops");
        }
    }
}
