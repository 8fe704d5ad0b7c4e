//! The table of runs.

use crate::engine::Mark;
use crate::figure::short;
use crate::gui::command::{Act, Command};
use crate::gui::data::compare::Other;
use crate::gui::data::runs::{Column, Ended, RunRow, date, when};
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::{theme, widgets};
use egui::{
    Align, Color32, CornerRadius, Pos2, Rect, RichText, Role, ScrollArea, Sense, TextEdit, Ui,
    Vec2, WidgetInfo,
};

pub(crate) const ROW: f32 = 22.0;

pub(crate) fn tools(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let runs = &state.runs;
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.add_space(PAD);
        let mut text = runs.filter.clone();
        let width = (ui.available_width() - 250.0).clamp(120.0, 300.0);
        let edit = ui.add(
            TextEdit::singleline(&mut text)
                .id(egui::Id::unique("filter runs"))
                .desired_width(width)
                .hint_text(RichText::new("Filter runs").color(t.faint)),
        );
        edit.widget_info(|| {
            let mut info = WidgetInfo::text_edit(true, "", &runs.filter, "");
            info.label = Some("Filter runs".into());
            info
        });
        if edit.changed() {
            out.push(Command::Runs(Act::Filter(text)));
        }
        let count = if runs.filter.is_empty() {
            format!("{} runs", runs.total())
        } else {
            format!("{} of {} runs", runs.len(), runs.total())
        };
        ui.label(RichText::new(count).font(theme::small()).color(t.dim));
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            ui.add_space(PAD);
            crate::gui::panels::controls::command_button(
                ui,
                state,
                "Copy",
                Command::Runs(Act::Copy),
                out,
            );
            crate::gui::panels::controls::command_button(
                ui,
                state,
                "Delete",
                Command::Runs(Act::Delete),
                out,
            );
            crate::gui::panels::controls::command_button(
                ui,
                state,
                "CSV…",
                Command::ExportRuns,
                out,
            );
        });
    });
    ui.add_space(4.0);
}

/// Where each column is; that of the energy where there is any.
pub(crate) fn columns(rect: Rect, energy: bool) -> [Rect; 9] {
    let wide = rect.width() > 820.0;
    let gap = if wide { 12.0 } else { 6.0 };
    // The name takes the rest; a column without width is left out.
    let mut widths = if wide {
        [74.0, 0.0, 78.0, 38.0, 186.0, 110.0, 44.0, 54.0, 104.0]
    } else if rect.width() > 560.0 {
        let target = (rect.width() - 520.0).clamp(80.0, 160.0);
        [68.0, 0.0, 46.0, 34.0, target, 86.0, 40.0, 46.0, 16.0]
    } else {
        [68.0, 0.0, 44.0, 0.0, 0.0, 86.0, 0.0, 46.0, 16.0]
    };
    if !energy {
        widths[6] = 0.0;
    }
    let columns = widths.iter().filter(|w| **w > 0.0).count() as f32;
    let taken: f32 = widths.iter().sum::<f32>() + gap * columns + PAD * 2.0;
    widths[1] = (rect.width() - taken).max(60.0);
    let mut left = rect.left() + PAD;
    widths.map(|width| {
        let gap = if width > 0.0 { gap } else { 0.0 };
        let column = Rect::from_min_max(
            Pos2::new(left, rect.top()),
            Pos2::new(left + width, rect.bottom()),
        );
        left += width + gap;
        column
    })
}

pub(crate) fn align(column: Column) -> Align {
    match column {
        Column::Batch | Column::Fps | Column::Energy | Column::Estimate => Align::Max,
        _ => Align::Min,
    }
}

pub(crate) fn header(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 20.0), Sense::hover());
    let places = columns(rect, state.runs.any_energy());
    for (column, place) in Column::ALL.iter().copied().zip(places) {
        if place.width() < 1.0 {
            continue;
        }
        let id = egui::Id::unique(("runs by", column.title()));
        let response = ui.interact(place, id, Sense::click());
        let (sorted, down) = state.runs.sort;
        let chosen = sorted == column;
        let color = match (chosen, response.hovered()) {
            (_, true) => t.strong,
            (true, false) => t.text,
            (false, false) => t.faint,
        };
        let narrow = column == Column::State && place.width() < 40.0;
        let text = if narrow { "" } else { column.title() };
        let (font, side) = (theme::small(), align(column));
        let end = widgets::text_in(ui.painter(), place, text, font, color, side);
        if chosen {
            let at = Pos2::new(end + 5.0, place.center().y);
            let dy = if down { 2.0 } else { -2.0 };
            let points = [(-3.0, -dy), (3.0, -dy), (0.0, dy)];
            let points = points.map(|(x, y)| at + Vec2::new(x, y)).to_vec();
            let shape = egui::Shape::convex_polygon(points, color, egui::Stroke::NONE);
            ui.painter().add(shape);
        }
        response.widget_info(|| {
            WidgetInfo::labeled(
                Role::ColumnHeader,
                true,
                format!("Sort by {}", column.title()),
            )
        });
        let hint = match column {
            Column::Estimate => "Against the estimate of the placement on screen",
            Column::State => "How it ended",
            Column::Energy => "Energy per image, where it was measured",
            _ => "Sort",
        };
        if response.on_hover_text(hint).clicked() {
            out.push(Command::Runs(Act::Sort(column)));
        }
    }
    ui.painter().hline(
        rect.x_range(),
        rect.bottom(),
        egui::Stroke::new(1.0, t.line),
    );
}

pub(crate) fn table(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    header(ui, state, t, out);
    ui.spacing_mut().item_spacing.y = 0.0;
    let runs = &state.runs;
    let mut area = ScrollArea::vertical()
        .id_salt("runs")
        .auto_shrink([false, false]);
    if let Some(at) = runs.reveal.and_then(|id| runs.position(id)) {
        let top = at as f32 * ROW;
        area = area.vertical_scroll_offset((top - ui.available_height() / 2.0).max(0.0));
    }
    area.show_rows(ui, ROW, runs.len(), |ui, range| {
        for at in range {
            if let Some(row) = runs.row(at) {
                draw_row(ui, state, row, t, out);
            }
        }
    });
    if runs.is_empty() {
        let at = ui.min_rect().center_top() + Vec2::new(0.0, 70.0);
        ui.painter().text(
            at,
            egui::Align2::CENTER_CENTER,
            "No run matches the filter",
            theme::body(),
            t.dim,
        );
    }
}

pub(crate) fn state_color(ended: Ended, t: &Tokens) -> Color32 {
    match ended {
        Ended::Measured => t.accent,
        Ended::SilentFallback | Ended::Failed => t.error,
        Ended::Cancelled => t.faint,
    }
}

/// A dot for figures as asked, a warning for those with marks, a hatched one for a silent fallback, a cross for none.
pub(crate) fn draw_state(
    painter: &egui::Painter,
    at: Pos2,
    ended: Ended,
    marked: bool,
    t: &Tokens,
) {
    let color = state_color(ended, t);
    match ended {
        Ended::Measured if marked => {
            widgets::draw_icon(painter, widgets::Icon::Warning, at, t.amber);
        }
        Ended::Measured => {
            painter.circle_filled(at, 4.0, color);
        }
        Ended::SilentFallback => {
            widgets::draw_icon(painter, widgets::Icon::Warning, at, color);
        }
        Ended::Cancelled | Ended::Failed => {
            widgets::draw_icon(painter, widgets::Icon::Close, at, color);
        }
    }
}

pub(crate) fn draw_row(
    ui: &mut Ui,
    state: &State,
    row: &RunRow,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let head = &row.head;
    let size = Vec2::new(ui.available_width(), ROW);
    let (_, rect) = ui.allocate_space(size);
    let id = egui::Id::unique(("run", head.id));
    let chosen = state.runs.chosen.iter().position(|c| *c == head.id);
    let sense = widgets::one_stop(ui, "runs", id, chosen == Some(0));
    let response = ui.interact(rect, id, sense);
    let fill = match (chosen, response.hovered()) {
        (Some(_), _) => Some(t.selected),
        (None, true) => Some(t.hover),
        (None, false) => None,
    };
    let painter = ui.painter();
    if let Some(fill) = fill {
        painter.rect_filled(rect, CornerRadius::ZERO, fill);
    }
    if state.runs.actual().is_some_and(|a| a.id == head.id) {
        let edge = rect.with_max_x(rect.left() + 2.0);
        painter.rect_filled(edge, CornerRadius::ZERO, t.accent);
    }
    let [
        at_when,
        at_name,
        at_precision,
        at_batch,
        at_target,
        at_fps,
        at_energy,
        at_estimate,
        at_state,
    ] = columns(rect, state.runs.any_energy());
    let cell = |place: Rect, text: &str, color: Color32, align: Align| {
        if place.width() > 1.0 {
            widgets::text_in(painter, place, text, theme::body(), color, align);
        }
    };
    cell(at_when, &when(head.started_ms), t.dim, Align::Min);
    let mut name = match &head.deployment {
        Some(d) => format!("{} ({} of {})", row.name, d.member + 1, d.members),
        None => row.name.clone(),
    };
    if state.runs.chosen.len() == 2
        && let Some(at) = chosen
    {
        name = format!("{}  {name}", ["A", "B"][at.min(1)]);
    }
    // What was measured elsewhere stands back.
    let here = row.on(&state.target);
    let ink = if here { t.text } else { t.dim };
    let name = widgets::short_to(painter, &name, &theme::body(), at_name.width());
    cell(at_name, &name, ink, Align::Min);
    let precision = head.config.precision.title();
    cell(at_precision, precision, t.dim, Align::Min);
    cell(at_batch, &head.config.batch.to_string(), t.dim, Align::Max);
    cell(at_target, &row.target, ink, Align::Min);
    if let Some(fps) = row.fps() {
        let spread = (fps.max - fps.min) / 2.0 / fps.value * 100.0;
        let spread = format!(" ±{spread:.1} %");
        let small = widgets::line(painter, &spread, theme::small(), t.faint, 60.0);
        let left = at_fps.right() - small.size().x.max(46.0);
        let y = at_fps.center().y - small.size().y / 2.0;
        painter.galley(Pos2::new(left, y), small, t.faint);
        widgets::text_in(
            painter,
            at_fps.with_max_x(left),
            &short(fps.value),
            theme::figures(),
            if here { t.strong } else { t.dim },
            Align::Max,
        );
        let estimate = state.judged.as_ref().and_then(|j| j.estimate.fps.value());
        if let Some(now) = estimate.filter(|_| here) {
            let percent = (fps.value / now - 1.0) * 100.0;
            // No negative zero.
            let text = format!("{:+.0} %", percent.round() + 0.0);
            cell(at_estimate, &text, t.dim, Align::Max);
        } else {
            cell(at_estimate, "–", t.faint, Align::Max);
        }
    } else {
        cell(at_fps, "–", t.faint, Align::Max);
    }
    let energy = head.mj_per_image.value().map_or("–".to_owned(), short);
    cell(at_energy, &energy, t.dim, Align::Max);
    let marked = head.marks.first().filter(|_| row.ended == Ended::Measured);
    draw_state(
        painter,
        at_state.left_center() + Vec2::new(7.0, 0.0),
        row.ended,
        marked.is_some(),
        t,
    );
    if at_state.width() > 40.0 {
        let rest = at_state.with_min_x(at_state.left() + 18.0);
        cell(
            rest,
            marked.map_or(row.ended.text(), Mark::title),
            if marked.is_some() {
                t.amber
            } else {
                state_color(row.ended, t)
            },
            Align::Min,
        );
    }
    let figure = row
        .fps()
        .map_or_else(String::new, |f| format!(", {} FPS", short(f.value)));
    response.widget_info(|| {
        WidgetInfo::selected(
            Role::Row,
            true,
            chosen.is_some(),
            format!("Run of {}{figure}, {}", row.name, row.ended.text()),
        )
    });
    if response.clicked() {
        let modifiers = ui.input(|i| i.modifiers);
        out.push(Command::Runs(if modifiers.command || modifiers.shift {
            Act::Compare(head.id)
        } else {
            Act::Pick(head.id)
        }));
    }
    response.context_menu(|ui| {
        for command in [
            Command::Runs(Act::Pick(head.id)),
            Command::CompareWith(Some(Other::Run(head.id))),
        ] {
            if ui.button(command.text()).clicked() {
                out.push(command);
                ui.close();
            }
        }
    });
    let tip = |ui: &mut Ui| {
        ui.label(RichText::new(&row.name).font(theme::strong()));
        ui.label(date(head.started_ms));
        ui.label(head.environment.summary());
        match &head.outcome {
            Ok(fps) => {
                ui.label(crate::tasks::words::spread(fps));
            }
            Err(f) => {
                ui.label(format!("{} while {}", row.ended.text(), f.stage.label()));
            }
        }
        for mark in &head.marks {
            ui.label(RichText::new(mark.text()).color(t.amber));
        }
        if let Some(mj) = head.mj_per_image.value() {
            ui.label(format!(
                "{} mJ per image, {}",
                short(mj),
                head.mj_per_image.source()
            ));
        }
        if row.ended == Ended::SilentFallback {
            let text = format!(
                "{} ops left the DLA without a word: not the placement that was asked",
                head.silent_fallbacks
            );
            ui.label(RichText::new(text).color(t.error));
        }
        let hint = "Click to load its placement, Ctrl+click to compare";
        ui.label(RichText::new(hint).font(theme::small()).color(t.dim));
    };
    response.on_hover_ui(tip);
}
