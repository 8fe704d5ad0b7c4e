//! Power modes and batches beside each other: the best of each, and why others have none.

use crate::figure::{Figure, short};
use crate::gui::command::Command;
use crate::gui::data::search::{Choice, GoalKind, in_unit};
use crate::gui::panels::search::progress::ended;
use crate::gui::panels::search::proposal::{PART, engine_text, fitting, main_engine, place_of};
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::{theme, widgets};
use crate::search::ProposedEngine;
use crate::tasks::modes::{Row, Without, engines};
use egui::{Align, CornerRadius, Label, Rect, RichText, Role, Sense, Ui, Vec2, WidgetInfo};

/// The list for Tab; the proposals of one mode and batch stand in the same place.
const LIST: &str = "proposals";
/// Width of a figure over its band.
const COLUMN: f32 = 60.0;
/// What a row's text keeps from its ends.
const INSET: Vec2 = Vec2::new(4.0, 3.0);

/// The best of each power mode and batch, best first, and the others.
pub(crate) fn outcome(
    ui: &mut Ui,
    state: &State,
    choice: &Choice,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let found = &*choice.found;
    let columns = columns(state, &found.rows);
    let spacing = std::mem::take(&mut ui.spacing_mut().item_spacing.y);
    if !found.rows.is_empty() {
        head(ui, &columns, t);
    }
    for (at, row) in found.rows.iter().enumerate() {
        line(ui, state, row, &columns, at == 0, t, out);
    }
    ui.spacing_mut().item_spacing.y = spacing;
    let searching = state.find.searching();
    if !searching {
        let all = found.rows.len() + found.without.len();
        let text = match found.rows.len() {
            0 => "Nothing found".to_owned(),
            n => format!("{n} of {all} modes and batches have an answer"),
        };
        let hover = "Each power mode at each batch has a search of its own";
        ui.add_space(3.0);
        ended(ui, &text, found.elapsed, found.stopped, hover, t, out);
    }
    without_power(ui, &found.rows, t);
    if !found.without.is_empty() {
        ui.add_space(6.0);
        let text = RichText::new("Without an answer").font(theme::small());
        ui.label(text.color(t.faint));
    }
    let same = |a: &Without, b: &Without| a.mode == b.mode && a.why == b.why;
    for group in found.without.chunk_by(same) {
        let Some(first) = group.first() else { continue };
        let batches: Vec<String> = group
            .iter()
            .filter_map(|w| w.batch)
            .map(|n| n.to_string())
            .collect();
        let batches = if batches.is_empty() {
            String::new()
        } else {
            format!(", batch {}", batches.join(", "))
        };
        small(ui, &format!("{}{batches}: {}", first.mode, first.why), t);
    }
}

/// Which rows have no power, and why: a line for each reason.
fn without_power(ui: &mut Ui, rows: &[Row], t: &Tokens) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    let without = rows.iter().filter(|row| (POWER.of)(row).value().is_none());
    for row in without {
        let (why, mode) = ((POWER.of)(row).source(), row.target.mode.name);
        match reasons.iter_mut().find(|(reason, _)| *reason == &**why) {
            Some((_, modes)) if modes.contains(&mode) => {}
            Some((_, modes)) => modes.push(mode),
            None => reasons.push((&**why, vec![mode])),
        }
    }
    let everywhere = rows.iter().all(|row| (POWER.of)(row).value().is_none());
    for (why, modes) in &reasons {
        let which = if everywhere && reasons.len() == 1 {
            String::new()
        } else {
            format!(" in {}", modes.join(", "))
        };
        small(ui, &format!("No figures of power{which}: {why}"), t);
    }
}

fn small(ui: &mut Ui, text: &str, t: &Tokens) {
    let text = RichText::new(text).font(theme::small()).color(t.dim);
    ui.add(Label::new(text).wrap());
}

/// What is loaded, and what the undo list calls it.
fn load(state: &State, row: &Row, engine: &ProposedEngine) -> Command {
    let config = Choice::config_of(engine, state.config().dla_core);
    Command::LoadFor(title(row), engine.placement.clone(), config, row.target)
}

fn title(row: &Row) -> String {
    let mode = row.target.mode.name;
    format!("{mode}, batch {}: {}", row.batch, engines(&row.proposal))
}

/// The row's mode, batch and one of its engines are on screen.
fn on_screen(state: &State, row: &Row, engine: &ProposedEngine) -> bool {
    state.target == row.target
        && state.config().batch == row.batch
        && *state.doc.placement() == engine.placement
}

/// Whether the caps hold at the ends of the bands; nothing where there are none.
fn caps(state: &State, row: &Row) -> Option<(&'static str, &'static str)> {
    let form = &state.find.form;
    if form.max_latency_ms.is_none() && form.max_watts.is_none() {
        return None;
    }
    Some(if row.sure {
        ("sure", "The limits hold at the far ends of the bands too")
    } else {
        (
            "not sure",
            "The limits hold by the estimate, not at the far end of its band",
        )
    })
}

/// A column of figures.
#[derive(Clone, Copy)]
struct Column {
    unit: &'static str,
    hover: &'static str,
    of: fn(&Row) -> &Figure,
}

const FPS: Column = Column {
    unit: "FPS",
    hover: "Images per second of all engines",
    of: |row| &row.proposal.fps,
};
const LATENCY: Column = Column {
    unit: "ms",
    hover: "Time of one inference of the slowest engine",
    of: |row| &row.latency_ms,
};
const POWER: Column = Column {
    unit: "W",
    hover: "Power at the wall, all engines together",
    of: |row| &row.proposal.power.wall_watts,
};
const ENERGY: Column = Column {
    unit: "mJ",
    hover: "Energy at the wall per image",
    of: |row| &row.proposal.power.wall_mj_per_image,
};

/// What there is room for: the figure that the goal ranks by first, and those with a limit.
fn columns(state: &State, rows: &[Row]) -> Vec<Column> {
    let form = &state.find.form;
    let mut columns = match form.goal {
        GoalKind::Energy if form.max_watts.is_some() => vec![ENERGY, LATENCY, POWER],
        GoalKind::Energy => vec![ENERGY, FPS, LATENCY],
        GoalKind::Latency => vec![LATENCY, FPS, POWER],
        _ => vec![FPS, LATENCY, POWER],
    };
    columns.retain(|c| rows.iter().any(|row| (c.of)(row).value().is_some()));
    columns
}

/// The places of the figures' columns, and what is left of them.
fn cells(rect: Rect, columns: usize) -> (Rect, impl Iterator<Item = Rect>) {
    let begin = rect.right() - COLUMN * columns as f32;
    let cell = move |at: usize| {
        let left = begin + COLUMN * at as f32;
        rect.with_min_x(left).with_max_x(left + COLUMN)
    };
    (rect.with_max_x(begin), (0..columns).map(cell))
}

/// The names of the columns.
fn head(ui: &mut Ui, columns: &[Column], t: &Tokens) {
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 18.0), Sense::hover());
    let (left, cells) = cells(rect.shrink2(INSET), columns.len());
    let text = |rect: Rect, text: &str, align: Align, ink| {
        widgets::text_in(ui.painter(), rect, text, theme::small(), ink, align);
    };
    text(left, "mode", Align::Min, t.faint);
    text(left, "batch", Align::Max, t.faint);
    for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
        // They are ranked by the first.
        let ink = if at == 0 { t.text } else { t.faint };
        text(cell, column.unit, Align::Max, ink);
        let id = egui::Id::unique(("choice column", column.unit));
        let response = ui.interact(cell, id, Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, column.unit));
        response.on_hover_text(column.hover);
    }
}

/// One mode and batch: its figures over their bands, and its engines below where it is on screen.
fn line(
    ui: &mut Ui,
    state: &State,
    row: &Row,
    columns: &[Column],
    best: bool,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let p = &row.proposal;
    let Some(main) = main_engine(p) else { return };
    let chosen = p.engines.iter().any(|e| on_screen(state, row, e));
    let (rect, response) = widgets::list_row(ui, LIST, 38.0, t);
    if ui.is_rect_visible(rect) {
        if chosen {
            let back = rect.expand2(Vec2::new(3.0, 0.0));
            ui.painter()
                .rect_filled(back, CornerRadius::same(3), t.selected);
        }
        draw(ui, state, row, columns, rect.shrink2(INSET), best, t);
    }
    let said: Vec<String> = columns
        .iter()
        .map(|c| in_unit((c.of)(row), c.unit))
        .chain(caps(state, row).map(|(word, _)| word.to_owned()))
        .collect();
    let prefix = if best { "best: " } else { "" };
    let label = format!("{prefix}{}: {}", title(row), said.join(", "));
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, &label));
    if response.clicked() {
        out.push(load(state, row, main));
    }
    response.on_hover_ui(|ui| hover(ui, state, row, t));
    if chosen && p.engines.len() > 1 {
        for engine in &p.engines {
            engine_line(ui, state, row, engine, t, out);
        }
    }
}

fn draw(ui: &Ui, state: &State, row: &Row, columns: &[Column], rect: Rect, best: bool, t: &Tokens) {
    let painter = ui.painter();
    let halves = |rect: Rect| {
        let middle = rect.center().y;
        (rect.with_max_y(middle), rect.with_min_y(middle))
    };
    let (left, cells) = cells(rect, columns.len());
    let (upper, lower) = halves(left);
    let (font, ink) = if best {
        (theme::strong(), t.strong)
    } else {
        (theme::body(), t.text)
    };
    let batch = row.batch.to_string();
    let text = widgets::line(painter, &batch, font.clone(), ink, upper.width());
    let room = upper.with_max_x(upper.right() - text.size().x - 6.0);
    widgets::text_in(painter, upper, &batch, font.clone(), ink, Align::Max);
    let mode = row.target.mode.name;
    let shown = fitting(painter, mode, font.clone(), room.width());
    widgets::text_in(painter, room, &shown, font.clone(), ink, Align::Min);
    let mut room = lower;
    if let Some((word, _)) = caps(state, row) {
        let color = if row.sure { t.gpu } else { t.amber };
        let end = widgets::text_in(painter, lower, word, theme::small(), color, Align::Min);
        room = lower.with_min_x(end + 6.0);
    }
    let engines = engines(&row.proposal);
    widgets::text_in(painter, room, &engines, theme::small(), t.dim, Align::Min);
    for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
        let (upper, lower) = halves(cell);
        let figure = (column.of)(row);
        let value = figure.value().map_or_else(|| "-".to_owned(), short);
        let (font, ink) = if at == 0 {
            (font.clone(), ink)
        } else {
            (theme::body(), t.text)
        };
        widgets::text_in(painter, upper, &value, font, ink, Align::Max);
        if let Figure::Estimated(e) = figure {
            let band = e.band.to_string();
            widgets::text_in(painter, lower, &band, theme::small(), t.dim, Align::Max);
        }
    }
}

/// One of several engines of the row on screen.
fn engine_line(
    ui: &mut Ui,
    state: &State,
    row: &Row,
    engine: &ProposedEngine,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let (rect, response) = widgets::list_row(ui, LIST, PART, t);
    let chosen = on_screen(state, row, engine);
    let (_, place) = place_of(engine);
    let name = engine.placement.title();
    let inner = rect
        .shrink2(Vec2::new(10.0, 0.0))
        .with_max_x(rect.right() - 4.0);
    let ink = if chosen { t.strong } else { t.text };
    engine_text(ui, inner, engine, &name, ink, t);
    let said = format!("engine on {place}: {name}: {}", in_unit(&engine.fps, "FPS"));
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, &said));
    if response.clicked() {
        out.push(load(state, row, engine));
    }
    response.on_hover_text(format!(
        "{said} beside the others\n{}\nClick to load the placement of this engine",
        engine.summary
    ));
}

/// Everything known about a row, with where the figures come from.
fn hover(ui: &mut Ui, state: &State, row: &Row, t: &Tokens) {
    let p = &row.proposal;
    ui.label(RichText::new(row.target.to_string()).font(theme::strong()));
    ui.label(format!("batch {}: {}", row.batch, engines(p)));
    for (what, figure, unit) in [
        ("In all", &p.fps, "FPS"),
        ("Latency of the slowest engine", &row.latency_ms, "ms"),
        ("Power at the wall", &p.power.wall_watts, "W"),
        ("Energy per image", &p.power.wall_mj_per_image, "mJ"),
    ] {
        ui.label(format!("{what}: {}", in_unit(figure, unit)));
    }
    if let Some((_, why)) = caps(state, row) {
        ui.label(why);
    }
    for engine in &p.engines {
        let (_, place) = place_of(engine);
        ui.label(format!("{place}: {}", engine.summary));
    }
    let mut sources = vec![p.fps.source(), p.power.wall_watts.source()];
    sources.dedup();
    for source in sources {
        ui.label(RichText::new(&**source).font(theme::small()).color(t.dim));
    }
    let hint = "Click to load it with its mode and batch; undo brings back what was there";
    ui.label(RichText::new(hint).font(theme::small()).color(t.dim));
}
