//! The map: the network around the selection, and what crosses between devices there.

use egui::{
    Align, Color32, CornerRadius, Label, Pos2, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui,
    Vec2, WidgetInfo,
};

use crate::gui::command::{Command, Pick};
use crate::gui::data::map::{Crossing, Map, Place, What};
use crate::gui::data::open::Open;
use crate::gui::data::tree_index::Node;
use crate::gui::panels::controls::side;
use crate::gui::panels::explain;
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::section;
use crate::gui::ui::{theme, widgets};
use crate::model::Model;
use crate::placement::Device;

/// A box, and the room between layers, where tensors are drawn.
const HEIGHT: f32 = 34.0;
const BETWEEN: f32 = 30.0;
/// Widths of a box, and the gap between two.
const LEAST: f32 = 84.0;
const WIDEST: f32 = 230.0;
const GAP: f32 = 8.0;
/// Crossings that are listed over the map.
const FEW: usize = 4;
/// Radius of a crossing's number.
const BADGE: f32 = 8.0;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    side(ui, state, "Map", Command::ShowMap, out, |ui, out| {
        let Some(open) = &state.open else { return };
        let map = &*state.map;
        if map.places.is_empty() {
            let text = "Select a module or an op: the map shows the network around it, and what \
                        crosses between GPU and DLA there";
            ui.add(Label::new(RichText::new(text).color(t.dim)).wrap());
            return;
        }
        // A few are read first; many would push the map away.
        let first = map.crossings.len() <= FEW;
        if first {
            crossings(ui, open, map, &t, out);
            ui.add_space(10.0);
        }
        draw(ui, open, map, &t, out);
        let left_out = match (map.left_out, map.more_around) {
            (0, 0) => None,
            (0, n) => Some(format!("{n} more ops around are not drawn")),
            (n, 0) => Some(format!("{n} more selected ops are not drawn")),
            (n, m) => Some(format!(
                "{n} more selected ops and {m} around are not drawn"
            )),
        };
        if let Some(text) = left_out {
            ui.label(RichText::new(text).font(theme::small()).color(t.faint));
        }
        if !first {
            crossings(ui, open, map, &t, out);
        }
    });
}

fn draw(ui: &mut Ui, open: &Open, map: &Map, t: &Tokens, out: &mut Vec<Command>) {
    let widest = map.layers.iter().copied().max().unwrap_or(1).max(1) as f32;
    let room = ui.available_width();
    let width = ((room - GAP * (widest - 1.0)) / widest).clamp(LEAST, WIDEST);
    let whole = (widest * width + GAP * (widest - 1.0)).max(room);
    let layers = map.layers.len() as f32;
    let height = layers * HEIGHT + (layers - 1.0) * BETWEEN;
    egui::ScrollArea::horizontal()
        .id_salt("map")
        .show(ui, |ui| {
            let (rect, _) = ui.allocate_exact_size(Vec2::new(whole, height), Sense::hover());
            let spot = |place: &Place| {
                let n = map.layers[place.layer] as f32;
                let row = n * width + GAP * (n - 1.0);
                let left = rect.center().x - row / 2.0 + place.column as f32 * (width + GAP);
                let top = rect.top() + place.layer as f32 * (HEIGHT + BETWEEN);
                Rect::from_min_size(Pos2::new(left, top), Vec2::new(width, HEIGHT))
            };
            links(ui, open, map, &spot, t, out);
            for (at, place) in map.places.iter().enumerate() {
                draw_place(ui, open, map, at, spot(place), t, out);
            }
        });
}

fn links(
    ui: &mut Ui,
    open: &Open,
    map: &Map,
    spot: &dyn Fn(&Place) -> Rect,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    // Several tensors of one box leave it side by side.
    let share = |of: &dyn Fn(&crate::gui::data::map::Link) -> usize, i: usize| {
        let me = of(&map.links[i]);
        let all = map.links.iter().filter(|l| of(l) == me).count();
        let before = map.links[..i].iter().filter(|l| of(l) == me).count();
        (before as f32 + 1.0) / (all as f32 + 1.0)
    };
    let mut badges = Vec::new();
    for (i, link) in map.links.iter().enumerate() {
        let (from, to) = (spot(&map.places[link.from]), spot(&map.places[link.to]));
        let start = Pos2::new(
            from.left() + from.width() * share(&|l| l.from, i),
            from.bottom(),
        );
        let end = Pos2::new(to.left() + to.width() * share(&|l| l.to, i), to.top());
        let (color, thick) = match link.crossing {
            Some(_) => (t.amber, 1.8),
            None => (t.faint.gamma_multiply(0.7), 1.0),
        };
        let bend = ((end.y - start.y).abs() * 0.5).max(12.0);
        // What skips layers goes around them.
        let aside = match map.places[link.to]
            .layer
            .abs_diff(map.places[link.from].layer)
        {
            0 | 1 => 0.0,
            _ => from.width().max(to.width()) * 0.85,
        };
        let curve = egui::epaint::CubicBezierShape::from_points_stroke(
            [
                start,
                start + Vec2::new(aside, bend),
                end + Vec2::new(aside, -bend),
                end,
            ],
            false,
            Color32::TRANSPARENT,
            Stroke::new(thick, color),
        );
        let middle = curve.sample(0.5);
        ui.painter().add(curve);
        if let Some(number) = link.crossing {
            badges.push((i, number, middle));
        }
    }
    for (i, number, at) in badges {
        let Some(crossing) = map.crossings.get(number) else {
            continue;
        };
        let rect = Rect::from_center_size(at, Vec2::splat(BADGE * 2.0));
        let id = egui::Id::unique(("crossing", i));
        let response = ui.interact(rect, id, widgets::one_stop(ui, "crossings", id, false));
        badge(ui, at, number, t);
        let words = words(&open.model, crossing);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &words));
        let response = response.on_hover_text(format!("{words}\n{}", crossing.ms.source()));
        if response.clicked() {
            out.push(Command::SelectOps(crossing.ops.clone()));
        }
    }
}

fn badge(ui: &Ui, at: Pos2, number: usize, t: &Tokens) {
    let painter = ui.painter();
    painter.circle(at, BADGE, t.amber_soft, Stroke::new(1.0, t.amber));
    let rect = Rect::from_center_size(at, Vec2::splat(BADGE * 2.0));
    let text = (number + 1).to_string();
    widgets::text_in(painter, rect, &text, theme::small(), t.amber, Align::Center);
}

/// What a box selects when it is clicked.
fn selects(open: &Open, what: &What) -> Option<Command> {
    let What::Ops(ops) = what else { return None };
    match &ops[..] {
        // A leaf's row is its module's.
        [op] if open
            .index
            .single_op(&open.model, Node::Module(open.model.op(*op).module))
            == Some(*op) =>
        {
            let module = Node::Module(open.model.op(*op).module);
            Some(Command::Select(module, Pick::Only))
        }
        _ => Some(Command::SelectOps(ops.clone())),
    }
}

fn draw_place(
    ui: &mut Ui,
    open: &Open,
    map: &Map,
    at: usize,
    rect: Rect,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let model = &open.model;
    let place = &map.places[at];
    let title = map.title(at, model);
    let on = match (place.device, place.subgraph) {
        (Some(Device::Dla), Some(s)) => format!("DLA, subgraph {}", s + 1),
        (Some(device), _) => device.to_string(),
        (None, _) => "memory".to_owned(),
    };
    let kind = match &place.what {
        What::Ops(ops) if ops.len() == 1 => model.op(ops[0]).op_type.to_string(),
        What::Ops(ops) => format!("{} ops", ops.len()),
        What::Input(tensor) | What::Output(tensor) => explain::shape(&model.tensor(*tensor).shape),
    };
    let command = selects(open, &place.what);
    let id = egui::Id::unique(("map", at));
    let sense = if command.is_some() {
        widgets::one_stop(ui, "map", id, place.selected)
    } else {
        Sense::hover()
    };
    let response = ui.interact(rect, id, sense);
    let (edge, fill) = match place.device {
        Some(device) => (t.device(device), t.device_soft(device)),
        None => (t.faint, t.raised),
    };
    let stroke = if place.selected {
        Stroke::new(2.0, edge)
    } else {
        Stroke::new(1.0, edge.gamma_multiply(0.6))
    };
    let fill = if response.hovered() && command.is_some() {
        t.hover
    } else {
        fill
    };
    let painter = ui.painter();
    painter.rect(
        rect,
        CornerRadius::same(5),
        fill,
        stroke,
        StrokeKind::Inside,
    );
    let inner = rect.shrink2(Vec2::new(7.0, 3.0));
    let (top, bottom) = inner.split_top_bottom_at_fraction(0.5);
    let font = if place.selected {
        theme::strong()
    } else {
        theme::small()
    };
    let ink = if place.selected { t.strong } else { t.text };
    // The module's path says more in less than the op's name.
    let name = match &place.what {
        What::Ops(ops) if ops.len() == 1 => Node::Module(model.op(ops[0]).module).title(model),
        What::Ops(_) | What::Input(_) | What::Output(_) => &title,
    };
    let short = widgets::short_to(painter, name, &font, top.width());
    widgets::text_in(painter, top, &short, font, ink, Align::Min);
    let below = format!("{kind}  {on}");
    widgets::text_in(painter, bottom, &below, theme::small(), t.dim, Align::Min);
    let label = format!("{title}, {kind}, {on}");
    let role = if command.is_some() {
        Role::Button
    } else {
        Role::Label
    };
    response.widget_info(|| WidgetInfo::selected(role, true, place.selected, &label));
    let response = response.on_hover_text(label.as_str());
    if let Some(command) = command.filter(|_| response.clicked()) {
        out.push(command);
    }
}

/// A crossing in words: tensor, shape, bytes, devices, time.
fn words(model: &Model, crossing: &Crossing) -> String {
    let tensor = model.tensor(crossing.tensor);
    let end = if crossing.boundary {
        ", an end of the network"
    } else {
        ""
    };
    format!(
        "{} {}, {}, {} to {}{end}, {}",
        tensor.name,
        explain::shape(&tensor.shape),
        size(crossing.bytes),
        crossing.from,
        crossing.to,
        crossing.ms.with_unit("ms")
    )
}

fn size(bytes: u64) -> String {
    match bytes {
        0 => "size unknown".to_owned(),
        n => widgets::bytes(n),
    }
}

/// The crossings of the map, one by one.
fn crossings(ui: &mut Ui, open: &Open, map: &Map, t: &Tokens, out: &mut Vec<Command>) {
    let model = &open.model;
    section(ui, "What crosses", t);
    if map.crossings.is_empty() {
        let text = "Nothing crosses between GPU and DLA here";
        ui.label(RichText::new(text).color(t.dim));
    }
    for (number, crossing) in map.crossings.iter().enumerate() {
        ui.add_space(3.0);
        ui.horizontal_top(|ui| {
            let size_of = Vec2::new(BADGE * 2.0, 18.0);
            let (rect, _) = ui.allocate_exact_size(size_of, Sense::hover());
            badge(ui, rect.center(), number, t);
            ui.vertical(|ui| {
                let tensor = model.tensor(crossing.tensor);
                let name = widgets::short(&tensor.name, 60);
                let link = ui.add(
                    Label::new(RichText::new(name).color(t.text))
                        .wrap()
                        .sense(Sense::click()),
                );
                let words = words(model, crossing);
                link.widget_info(|| WidgetInfo::labeled(Role::Link, true, &words));
                if link.on_hover_text("Select the ops on both ends").clicked() {
                    out.push(Command::SelectOps(crossing.ops.clone()));
                }
                let ends = if crossing.boundary {
                    ", an end of the network"
                } else {
                    ""
                };
                let text = format!(
                    "{} to {}{ends}   {}   {}",
                    crossing.from,
                    crossing.to,
                    explain::shape(&tensor.shape),
                    size(crossing.bytes),
                );
                ui.add(Label::new(RichText::new(text).font(theme::small()).color(t.dim)).wrap());
                let ms = RichText::new(crossing.ms.with_unit("ms"))
                    .font(theme::small())
                    .color(t.dim);
                ui.label(ms).on_hover_text(crossing.ms.source().as_ref());
            });
        });
    }
}
