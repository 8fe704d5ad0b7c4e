//! The tree of modules and ops, only the visible rows of it.

use std::sync::Arc;

use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{
    Align, CornerRadius, Pos2, Rect, Role, ScrollArea, Sense, TextEdit, Ui, Vec2, WidgetInfo,
};

use super::super::command::{Command, Pick};
use super::super::state::State;
use super::actual::{self, RowMark};
use crate::gui::actions::compare::DIFFERENCES;
use crate::gui::data::actual::{Actual, Spent};
use crate::gui::data::filter::Property;
use crate::gui::data::looks::Pane;
use crate::gui::data::open::Open;
use crate::gui::data::tree_index::{Node, Sort};
use crate::gui::data::tree_view::{Chip, Row, Said};
use crate::gui::panels::explain;
use crate::gui::ui::theme::{INDENT, PAD, ROW, Tokens};
use crate::gui::ui::widgets::Icon;
use crate::gui::ui::{theme, widgets};
use crate::model::Model;
use crate::placement::Device;

/// Where the columns of a row are, measured from its right end. A column without room is `None`.
struct Columns {
    name: Rect,
    gpu: Option<Rect>,
    dla: Option<Rect>,
    /// What the DLA saves, or what this placement costs more than the other.
    more: Option<Rect>,
    mark: Rect,
    chip: Rect,
    /// The device in the other placement.
    other: Option<Rect>,
}

/// Width of a column of figures, and of the space before it.
const FIGURE: f32 = 46.0;
const FIGURE_GAP: f32 = 8.0;

/// Width of the device in the other placement.
const OTHER: f32 = 34.0;

/// What the name keeps before a column of times gives way to another one.
const LEAST_NAME: f32 = 110.0;

impl Columns {
    fn of(rect: Rect, state: &State) -> Self {
        let mut right = rect.right() - 10.0;
        let take = |right: &mut f32, width: f32, gap: f32| {
            let column = Rect::from_min_max(
                Pos2::new(*right - width, rect.top()),
                Pos2::new(*right, rect.bottom()),
            );
            *right -= width + gap;
            column
        };
        let compared = state.compare.comparison().is_some();
        let other = compared.then(|| take(&mut right, OTHER, 6.0));
        let chip = take(&mut right, widgets::CHIP.x, 5.0);
        let mark = take(&mut right, 8.0, 9.0);
        let more = compared || state.sort == Sort::Gain;
        let more = more.then(|| take(&mut right, FIGURE + 6.0, FIGURE_GAP));
        // Without another column the times stay, however narrow the tree is.
        let time = |right: &mut f32| {
            let left = *right - rect.left() - FIGURE - FIGURE_GAP;
            (more.is_none() || left >= LEAST_NAME).then(|| take(right, FIGURE, FIGURE_GAP))
        };
        let dla = time(&mut right);
        let gpu = time(&mut right);
        Self {
            name: Rect::from_min_max(rect.left_top(), Pos2::new(right, rect.bottom())),
            gpu,
            dla,
            more,
            mark,
            chip,
            other,
        }
    }
}

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    filter_box(ui, state, &t, out);
    header(ui, state, &t, out);
    let Some(open) = &state.open else {
        ui.centered_and_justified(|ui| {
            ui.label(egui::RichText::new("Reading the model…").color(t.dim));
        });
        return;
    };
    ui.spacing_mut().item_spacing.y = 0.0;
    let rows = &state.view.rows;
    let mut area = ScrollArea::vertical()
        .id_salt("tree")
        .auto_shrink([false, false]);
    if let Some(at) = state.reveal.and_then(|node| state.view.position(node)) {
        let top = at as f32 * ROW;
        let height = ui.available_height();
        let id = ui.make_persistent_id(egui::Id::unique("tree"));
        let offset =
            egui::scroll_area::State::load(ui.ctx(), id).map_or(0.0, |s| s.unclamped_offset().y);
        if top < offset {
            area = area.vertical_scroll_offset(top);
        } else if top + ROW > offset + height {
            area = area.vertical_scroll_offset((top + ROW - height).max(0.0));
        }
    }
    note_focus(ui, None);
    let drawn = area.show_rows(ui, ROW, rows.len(), |ui, range| {
        for row in &rows[range] {
            draw_row(ui, state, open, row, &t, out);
        }
    });
    ui.data_mut(|d| d.remove_temp::<bool>(follow_id()));
    if rows.len() <= 1 && !state.filter.is_empty() {
        let text = state
            .filter
            .unknown()
            .unwrap_or_else(|| match state.compare.comparison() {
                Some(_) if state.filter.text() == DIFFERENCES => {
                    "Every op runs on the same device in both".into()
                }
                _ => "Nothing matches the filter".into(),
            });
        let top = drawn.inner_rect.with_min_y(drawn.inner_rect.top() + 50.0);
        let room = top.shrink2(Vec2::new(24.0, 0.0));
        let mut lines = ui.new_child(egui::UiBuilder::new().max_rect(room));
        lines.vertical_centered(|ui| {
            ui.add(egui::Label::new(egui::RichText::new(text).color(t.dim)).wrap());
        });
    }
}

/// What has the keyboard in the tree.
#[derive(Clone, Copy)]
pub struct Focused {
    /// Its control.
    pub id: egui::Id,
    /// Its row.
    pub node: Node,
}

fn focus_id() -> egui::Id {
    egui::Id::unique("tree focus")
}

fn follow_id() -> egui::Id {
    egui::Id::unique("tree focus follows")
}

/// What had the keyboard in the tree when it was last drawn.
pub fn focused(ctx: &egui::Context) -> Option<Focused> {
    ctx.data(|d| d.get_temp::<Option<Focused>>(focus_id()))
        .flatten()
}

/// The keyboard goes where the cursor goes.
pub fn focus_cursor(ctx: &egui::Context) {
    ctx.data_mut(|d| d.insert_temp(follow_id(), true));
}

fn note_focus(ui: &Ui, focused: Option<Focused>) {
    ui.data_mut(|d| d.insert_temp(focus_id(), focused));
}

/// Notes a row that has the keyboard.
fn note(ui: &Ui, response: &egui::Response, node: Node) {
    if response.has_focus() {
        let id = response.id;
        note_focus(ui, Some(Focused { id, node }));
    }
}

/// The filter's text field.
pub fn filter_id() -> egui::Id {
    egui::Id::unique("filter")
}

fn filter_box(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        ui.add_space(PAD);
        let mut text = state.filter.text().to_owned();
        let width = ui.available_width() - PAD;
        let edit = TextEdit::singleline(&mut text)
            .id(filter_id())
            .desired_width(width)
            .margin(egui::Margin {
                left: 26,
                right: 60,
                top: 4,
                bottom: 4,
            })
            .hint_text(egui::RichText::new("Filter by name, type, is:fallback…").color(t.faint));
        let response = ui.add(edit);
        response.widget_info(|| {
            let mut info = WidgetInfo::text_edit(true, "", state.filter.text(), "");
            info.label = Some("Filter".into());
            info
        });
        widgets::draw_icon(
            ui.painter(),
            Icon::Search,
            response.rect.left_center() + Vec2::new(14.0, 0.0),
            t.faint,
        );
        if let Some(matches) = state.view.matches {
            let rect = response.rect.with_max_x(response.rect.right() - 26.0);
            let text = format!("{matches}");
            widgets::text_in(
                ui.painter(),
                rect,
                &text,
                theme::figures(),
                t.dim,
                Align::Max,
            );
            let close = Rect::from_center_size(
                response.rect.right_center() - Vec2::new(13.0, 0.0),
                Vec2::splat(18.0),
            );
            let clear = ui.interact(close, egui::Id::unique("clear filter"), Sense::click());
            let color = if clear.hovered() { t.strong } else { t.dim };
            widgets::draw_icon(ui.painter(), Icon::Close, close.center(), color);
            clear.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Clear filter"));
            if clear.clicked() {
                out.push(Command::Filter(String::new()));
            }
        }
        if state.focus_filter {
            response.request_focus();
        }
        let response = response.on_hover_ui(|ui| {
            ui.label("Words match paths, op types and classes; all must match.");
            for (name, _, meaning) in Property::ALL {
                ui.horizontal(|ui| {
                    ui.label(egui::RichText::new(format!("is:{name}")).font(theme::mono()));
                    ui.label(egui::RichText::new(meaning).color(t.dim));
                });
            }
        });
        if response.changed() {
            out.push(Command::Filter(text));
        }
    });
    ui.add_space(4.0);
}

fn header(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let size = Vec2::new(ui.available_width(), 20.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.on_hover_text(
        "Bright times are measured by the run of this placement, pale ones estimated.\n\
         The DLA is timed per subgraph, so modules inside one have no time of their own.\n\
         * The time of some of the ops only: those the device takes.",
    );
    let columns = Columns::of(rect, state);
    let painter = ui.painter();
    let head = |rect: Rect, text: &str, align: Align| {
        widgets::text_in(painter, rect, text, theme::small(), t.faint, align);
    };
    head(
        columns.name.with_min_x(rect.left() + 24.0),
        "Module or op",
        Align::Min,
    );
    head(
        columns.chip.expand2(Vec2::new(2.0, 0.0)),
        "Device",
        Align::Max,
    );
    if let Some(other) = columns.other {
        head(other.expand2(Vec2::new(2.0, 0.0)), "Other", Align::Max);
    }
    let (more, more_text) = if state.compare.comparison().is_some() {
        (Sort::Delta, "± ms")
    } else {
        (Sort::Gain, "Gain ms")
    };
    for (column, text, sort) in [
        (columns.gpu, "GPU ms", Sort::Gpu),
        (columns.dla, "DLA ms", Sort::Dla),
        (columns.more, more_text, more),
    ] {
        let Some(column) = column else { continue };
        let id = egui::Id::unique(("sort", text));
        // No stop of Tab: the palette and the panel of times sort by the keyboard.
        let response = ui.interact(column, id, Sense::CLICK);
        let sorted = state.sort == sort;
        let color = match (sorted, response.hovered()) {
            (true, _) => t.strong,
            (false, true) => t.text,
            (false, false) => t.faint,
        };
        let font = theme::small();
        widgets::text_in(ui.painter(), column, text, font, color, Align::Max);
        if sorted {
            let line = column.with_min_y(column.bottom() - 2.0);
            ui.painter().rect_filled(line, CornerRadius::ZERO, t.accent);
        }
        let command = Command::Sort(sort);
        response
            .widget_info(|| WidgetInfo::selected(Role::ColumnHeader, true, sorted, command.text()));
        let hover = if sorted {
            "Click for the order of execution".to_owned()
        } else {
            format!("Click to sort. {}", command.tooltip())
        };
        if response.on_hover_text(hover).clicked() {
            out.push(command);
        }
    }
    ui.painter().hline(
        rect.x_range(),
        rect.bottom(),
        egui::Stroke::new(1.0, t.line),
    );
}

fn draw_row(
    ui: &mut Ui,
    state: &State,
    open: &Open,
    row: &Row,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let model = &*open.model;
    let size = Vec2::new(ui.available_width(), ROW);
    let (_, rect) = ui.allocate_space(size);
    let selected = state.selection.nodes.contains(&row.node);
    let id = egui::Id::unique(("row", row.node));
    let preferred = state.selection.cursor == Some(row.node);
    let response = ui.interact(rect, id, widgets::one_stop(ui, "tree", id, preferred));
    let follow = ui.data(|d| d.get_temp::<bool>(follow_id())).is_some();
    let wanted = follow || state.focus_pane == Some(Pane::Tree);
    if wanted && state.selection.cursor == Some(row.node) {
        response.request_focus();
    }
    if response.has_focus() {
        // The arrows move in the tree, not to the nearest control.
        let filter = egui::EventFilter {
            horizontal_arrows: true,
            vertical_arrows: true,
            ..egui::EventFilter::default()
        };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
    }
    note(ui, &response, row.node);
    let fill = match (selected, response.hovered()) {
        (true, _) => Some(t.selected),
        (false, true) => Some(t.hover),
        (false, false) => None,
    };
    let painter = ui.painter().clone();
    if let Some(fill) = fill {
        painter.rect_filled(rect, CornerRadius::ZERO, fill);
    }
    if selected && state.selection.cursor == Some(row.node) {
        let edge = rect.with_max_x(rect.left() + 2.0);
        painter.rect_filled(edge, CornerRadius::ZERO, t.accent);
    }
    let columns = Columns::of(rect, state);
    draw_band(&painter, t, rect, row);
    let cut = draw_name(&painter, state, model, row, t, &columns);
    if let (Some(open_now), Node::Module(id)) = (row.twig, row.node) {
        let center = Pos2::new(twig_x(&columns, row), rect.center().y);
        widgets::draw_twig(&painter, center, open_now, t.dim);
        let hit = Rect::from_center_size(center, Vec2::new(16.0, ROW));
        let twig = ui.interact(hit, egui::Id::unique(("twig", row.node)), Sense::CLICK);
        to_row(ui, &twig, &response);
        twig.widget_info(|| {
            let verb = if open_now { "Close" } else { "Open" };
            WidgetInfo::labeled(
                Role::DisclosureTriangle,
                true,
                format!("{verb} {}", row.node.title(model)),
            )
        });
        if twig.clicked() {
            let deep = ui.input(|i| i.modifiers.alt);
            out.push(if deep {
                Command::ToggleDeep(id)
            } else {
                Command::Toggle(id)
            });
        }
    }
    draw_costs(ui, &painter, state, model, row, t, &columns);
    draw_more(ui, &painter, state, model, row, t, &columns);
    if let Some(chip) = &row.chip {
        let chip = draw_device(ui, &painter, state, open, row, chip, t, &columns, out);
        to_row(ui, &chip, &response);
    }
    response.widget_info(|| {
        WidgetInfo::selected(Role::TreeItem, true, selected, row.node.title(model))
    });
    if response.clicked() {
        let modifiers = ui.input(|i| i.modifiers);
        let pick = if modifiers.shift {
            Pick::Range
        } else if modifiers.command {
            Pick::Toggle
        } else {
            Pick::Only
        };
        out.push(Command::Select(row.node, pick));
    }
    if response.double_clicked()
        && let (Some(_), Node::Module(id)) = (row.twig, row.node)
    {
        out.push(Command::Toggle(id));
    }
    response.context_menu(|ui| context_menu(ui, state, row, out));
    if cut {
        let (name, class, _) = explain::name_and_class(model, row.node);
        let place = row.node.title(model);
        response.on_hover_ui(|ui| {
            ui.label(egui::RichText::new(&*name).font(theme::strong()));
            if *place != *name {
                ui.label(place);
            }
            ui.label(egui::RichText::new(&*class).color(t.dim));
        });
    }
}

/// A row is one stop of Tab: asked for its triangle or chip, the row takes the keyboard, whose keys
/// do the same.
fn to_row(ui: &Ui, part: &egui::Response, row: &egui::Response) {
    let focus = egui::accesskit::Action::Focus;
    if ui.input(|i| i.has_accesskit_action_request(part.id, focus)) {
        row.request_focus();
    }
}

fn twig_x(columns: &Columns, row: &Row) -> f32 {
    columns.name.left() + 14.0 + (row.depth.saturating_sub(1)) as f32 * INDENT
}

/// The band of the DLA subgraph along the left edge.
fn draw_band(painter: &egui::Painter, t: &Tokens, rect: Rect, row: &Row) {
    let Some(subgraph) = row.sums.subgraph else {
        return;
    };
    let band = Rect::from_min_max(
        rect.left_top() + Vec2::new(2.0, 0.0),
        Pos2::new(rect.left() + 5.0, rect.bottom()),
    );
    if row.sums.many_subgraphs {
        widgets::hatch(painter, band, t.dla, 4.0);
    } else {
        let whole = row.sums.dla == row.sums.ops;
        let color = t.subgraph(subgraph);
        let color = if whole {
            color
        } else {
            color.gamma_multiply(0.4)
        };
        painter.rect_filled(band, CornerRadius::ZERO, color);
    }
}

fn draw_name(
    painter: &egui::Painter,
    state: &State,
    model: &Model,
    row: &Row,
    t: &Tokens,
    columns: &Columns,
) -> bool {
    let x = twig_x(columns, row) + 10.0;
    let rect = columns.name.with_min_x(x);
    if rect.width() < 8.0 {
        return true;
    }
    let (whole, class, own_op) = explain::name_and_class(model, row.node);
    let nothing = row.sums.ops == 0;
    let color = match (nothing || row.context, own_op) {
        (true, _) => t.faint,
        (false, true) => t.dim,
        (false, false) => t.text,
    };
    let font = if row.twig.is_some() || row.depth == 0 {
        theme::strong()
    } else {
        theme::body()
    };
    // The end tells long names apart.
    let name = widgets::short_to(painter, &whole, &font, rect.width());
    let plain = TextFormat::simple(font, color);
    let mut job = LayoutJob::default();
    match state.filter.highlight(&name) {
        Some(range) if name.is_char_boundary(range.start) && name.is_char_boundary(range.end) => {
            let mut marked = plain.clone();
            marked.background = t.mark;
            marked.color = t.strong;
            job.append(&name[..range.start], 0.0, plain.clone());
            job.append(&name[range.clone()], 0.0, marked);
            job.append(&name[range.end..], 0.0, plain);
        }
        _ => job.append(&name, 0.0, plain),
    }
    let note = if nothing {
        "no ops in the file"
    } else {
        &*class
    };
    if !note.is_empty() {
        job.append(note, 7.0, TextFormat::simple(theme::small(), t.faint));
    }
    let pins = &state.find.form;
    if !pins.pinned.is_empty()
        && let Some(device) = pins.pin_of(&row.node.site(model))
    {
        let text = format!("pinned to {device}");
        job.append(&text, 7.0, TextFormat::simple(theme::small(), t.accent));
    }
    if let Some(Chip {
        said: Said::On(at), ..
    }) = row.chip
        && row.node.parent(model) == Some(at)
        && row.chip.is_some_and(|c| c.device == Device::Dla)
        && row.twig.is_some()
    {
        let from = format!("from {}", Node::Module(at).title(model));
        job.append(&from, 7.0, TextFormat::simple(theme::small(), t.dla));
    }
    job.wrap = TextWrapping::truncate_at_width(rect.width());
    let galley = painter.layout_job(job);
    let cut = galley.elided || *name != *whole;
    let y = rect.center().y - galley.size().y / 2.0;
    painter.galley(Pos2::new(rect.left(), y), galley, color);
    cut
}

fn draw_costs(
    ui: &Ui,
    painter: &egui::Painter,
    state: &State,
    model: &Model,
    row: &Row,
    t: &Tokens,
    columns: &Columns,
) {
    if state.ground.is_none() || row.sums.ops == 0 {
        return;
    }
    let cell = |rect: Rect, device: Device, known: u32, value: f64, share: f32| {
        let text = widgets::ms(value);
        let whole = known == row.sums.ops;
        if whole {
            let color = t.device(device);
            widgets::draw_bar_cell(painter, t, rect, &text, share, color, false);
        } else if known == 0 {
            widgets::text_in(painter, rect, "–", theme::figures(), t.faint, Align::Max);
        } else {
            // No bar: a part beside a whole would look fast.
            let place = rect.with_max_y(rect.bottom() - 4.0);
            let text = format!("{text}*");
            widgets::text_in(painter, place, &text, theme::figures(), t.faint, Align::Max);
        }
        if whole && text != "0" {
            return;
        }
        // What a figure does not say by itself.
        let id = egui::Id::unique(("partial", device, row.node));
        let response = ui.interact(rect, id, Sense::hover());
        let title = row.node.title(model);
        response.widget_info(|| {
            let why = explain::cost(state, row, device).join("; ");
            let value = if known == 0 { "no time" } else { &text };
            let label = format!("{device} {value} of {title}: {why}");
            WidgetInfo::labeled(Role::Label, true, label)
        });
        response.on_hover_ui(|ui| {
            for line in explain::cost(state, row, device) {
                ui.label(line);
            }
        });
    };
    // Where the engine was measured its times stand in place of the estimates, solid.
    let measured = |rect: Rect, value: f64, whole: f64, color| {
        let share = if whole > 0.0 { value / whole } else { 0.0 };
        widgets::draw_bar_cell(
            painter,
            t,
            rect,
            &widgets::ms(value),
            share as f32,
            color,
            true,
        );
    };
    // Times of another machine do not stand beside this one's estimates.
    let here = |a: &&Arc<Actual>| a.place.is_some_and(|p| p.is(&state.target));
    let spent = state.runs.actual().filter(here);
    let spent = spent.map(|a| (a.at(row.node), a.around(model, row.node)));
    for (rect, device, share) in [
        (columns.gpu, Device::Gpu, row.gpu_share),
        (columns.dla, Device::Dla, row.dla_share),
    ] {
        let Some(rect) = rect else { continue };
        match spent.map(|(here, around)| (here.of(device), around.of(device))) {
            Some(((known, ms), (_, whole))) if known > 0 => {
                measured(rect, ms, whole, t.device(device));
            }
            _ => {
                let (known, ms) = row.sums.of(device);
                cell(rect, device, known, ms, share);
            }
        }
    }
}

/// What this placement costs more than the other, and the other's device; or what the DLA saves.
fn draw_more(
    ui: &Ui,
    painter: &egui::Painter,
    state: &State,
    model: &Model,
    row: &Row,
    t: &Tokens,
    columns: &Columns,
) {
    let Some(rect) = columns.more.filter(|_| row.sums.ops > 0) else {
        return;
    };
    let (value, better) = match row.pair {
        Some(pair) => (pair.delta_ms(), -1.0),
        None => (row.sums.gain_ms(), 1.0),
    };
    let text = value.map_or_else(|| "–".to_owned(), widgets::signed_ms);
    let color = match value.map(|v| v * better) {
        Some(v) if v > 0.0 && text != "0" => t.gpu,
        Some(_) if text != "0" => t.error,
        _ => t.faint,
    };
    widgets::text_in(painter, rect, &text, theme::figures(), color, Align::Max);
    let Some((pair, other)) = row.pair.zip(columns.other) else {
        return;
    };
    let device = pair.that.device(row.sums.ops);
    let short = if device.len() > 3 { "both" } else { &device };
    let color = match (pair.differs > 0, pair.that.dla) {
        (false, _) => t.faint,
        (true, 0) => t.gpu,
        (true, n) if n == row.sums.ops => t.dla,
        (true, _) => t.text,
    };
    widgets::text_in(painter, other, short, theme::small(), color, Align::Max);
    let id = egui::Id::unique(("compared", row.node));
    let title = row.node.title(model);
    let name = state.compare.other.as_ref().map_or("", |o| &*o.name);
    for (rect, part) in [(rect, "difference"), (other, "other")] {
        let response = ui.interact(rect, id.with(part), Sense::hover());
        response.widget_info(|| {
            let label = format!("{part} of {title} in {name}: {device}, {text} ms here");
            WidgetInfo::labeled(Role::Label, true, label)
        });
        response.on_hover_ui(|ui| {
            for (name, part) in [("this placement", pair.this), (name, pair.that)] {
                let device = part.device(row.sums.ops);
                ui.label(format!("{name}: {device}, {}", widgets::duration(part.ms)));
            }
            if pair.delta_ms().is_none() {
                ui.label("Not all of its ops have an estimate");
            }
        });
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "all of one row's drawing context"
)]
fn draw_device(
    ui: &Ui,
    painter: &egui::Painter,
    state: &State,
    open: &Open,
    row: &Row,
    chip: &Chip,
    t: &Tokens,
    columns: &Columns,
    out: &mut Vec<Command>,
) -> egui::Response {
    let model = &*open.model;
    let mark = columns.mark.center();
    match (row.sums.dla, row.sums.ops) {
        (0, _) => painter.circle_filled(mark, 3.0, t.gpu),
        (dla, all) if dla == all => painter.circle_filled(mark, 3.0, t.dla),
        _ => {
            painter.circle_filled(mark, 3.0, t.dla);
            let left = Rect::from_min_max(mark - Vec2::splat(4.0), Pos2::new(mark.x, mark.y + 4.0));
            painter
                .with_clip_rect(left.intersect(painter.clip_rect()))
                .circle_filled(mark, 3.0, t.gpu)
        }
    };
    let spent = state.runs.actual().map(|a| (a, a.at(row.node)));
    if let Some((_, spent)) = &spent {
        draw_actual(painter, mark, spent, t);
    }
    let rect = Rect::from_center_size(columns.chip.center(), widgets::CHIP);
    let response = ui.interact(
        rect.expand2(Vec2::new(2.0, 3.0)),
        egui::Id::unique(("chip", row.node)),
        Sense::CLICK,
    );
    widgets::draw_chip(painter, t, rect, chip, response.hovered());
    response.widget_info(|| {
        WidgetInfo::labeled(
            Role::Button,
            true,
            format!("{} {}", chip.device, row.node.title(model)),
        )
    });
    if response.clicked() {
        out.push(Command::Cycle(row.node));
    }
    response.context_menu(|ui| context_menu(ui, state, row, out));
    response.clone().on_hover_ui(|ui| {
        for line in explain::chip(state, open, row, chip) {
            ui.label(line);
        }
        if let Some((actual, spent)) = &spent {
            ui.label(actual::tip(actual, spent));
        }
        let hint = "Click to switch device, again to set it here explicitly, again to inherit";
        ui.label(egui::RichText::new(hint).font(theme::small()).color(t.dim));
    });
    response
}

/// What the engine did, around the mark of what was predicted: a ring where it agrees, a sign
/// where it does not.
fn draw_actual(painter: &egui::Painter, at: Pos2, spent: &Spent, t: &Tokens) {
    match actual::mark(spent) {
        RowMark::Confirmed => {
            let color = match (spent.dla_ops, spent.gpu_ops) {
                (0, _) => t.gpu,
                (_, 0) => t.dla,
                _ => t.dim,
            };
            painter.circle_stroke(at, 4.8, egui::Stroke::new(1.0, color));
        }
        RowMark::Differs | RowMark::Silent => {
            let color = match actual::mark(spent) {
                RowMark::Silent => t.error,
                _ => t.amber,
            };
            painter.circle_filled(at, 6.5, t.panel);
            widgets::draw_icon(painter, Icon::Warning, at, color);
        }
        RowMark::Folded => {}
    }
}

fn context_menu(ui: &mut Ui, state: &State, row: &Row, out: &mut Vec<Command>) {
    let whole = state.selection.nodes.contains(&row.node) && state.selection.nodes.len() > 1;
    let mut item = |ui: &mut Ui, text: String, command: Command| {
        if ui.button(text).clicked() {
            out.push(command);
            ui.close();
        }
    };
    for device in [Device::Gpu, Device::Dla] {
        let command = if whole {
            Command::Assign(device)
        } else {
            Command::AssignNode(row.node, device)
        };
        item(ui, command.text(), command);
    }
    let inherit = if whole {
        Command::Inherit
    } else {
        Command::InheritNode(row.node)
    };
    item(ui, inherit.text(), inherit);
    ui.separator();
    let site = state.open.as_ref().map(|o| row.node.site(&o.model));
    let pinned = site.and_then(|s| state.find.form.pin_of(&s));
    for device in [Some(Device::Gpu), Some(Device::Dla), None] {
        if !whole && device == pinned {
            continue;
        }
        let command = if whole {
            Command::Pin(device)
        } else {
            Command::PinNode(row.node, device)
        };
        item(ui, command.text(), command);
    }
    ui.separator();
    if let (Some(_), Node::Module(id)) = (row.twig, row.node) {
        let command = Command::ToggleDeep(id);
        item(ui, command.text(), command);
    }
    if state.selection.nodes.contains(&row.node) {
        item(ui, Command::CopyRows.text(), Command::CopyRows);
    } else if ui.button("Copy row").clicked() {
        out.extend([Command::Select(row.node, Pick::Only), Command::CopyRows]);
        ui.close();
    }
}
