//! The runs table: everything measured of the model, and what is chosen of it below.

use egui::{
    Align, Color32, CornerRadius, Label, Pos2, ProgressBar, Rect, RichText, Role, ScrollArea,
    Sense, TextEdit, Ui, Vec2, WidgetInfo,
};

use crate::engine::{Outcome, RowSite, Run};
use crate::figure::short;

use crate::gui::actions::runs::{Act, Column, Ended, RunRow, Runs, date, when, worth_reading};
use crate::gui::command::Command;
use crate::gui::panels::explain::in_window;
use crate::gui::panels::reasons::{facts, note};
use crate::gui::state::State;
use crate::gui::ui::theme;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets;

const ROW: f32 = 22.0;
/// Log lines shown of a run under way, and of one that failed.
const LOG_ACTIVE: usize = 3;
const LOG_FAILED: usize = 30;
/// Ops named.
const MOST_NAMED: usize = 20;
/// Modules compared.
const MOST_DIFFERENCES: usize = 60;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    active(ui, state, &t, out);
    if state.runs.total() == 0 {
        empty(ui, state, &t, out);
        return;
    }
    tools(ui, state, &t, out);
    let height = ui.available_height();
    let below = if state.runs.chosen.is_empty() {
        0.0
    } else {
        (height * 0.5).clamp(120.0, 330.0)
    };
    ui.allocate_ui(Vec2::new(ui.available_width(), height - below), |ui| {
        table(ui, state, &t, out);
    });
    if below > 0.0 {
        let (line, _) =
            ui.allocate_exact_size(Vec2::new(ui.available_width(), 1.0), Sense::hover());
        ui.painter().rect_filled(line, CornerRadius::ZERO, t.line);
        ScrollArea::vertical()
            .id_salt("run details")
            .auto_shrink([false, false])
            .show(ui, |ui| {
                egui::Frame::new()
                    .inner_margin(egui::Margin::symmetric(PAD as i8, 6))
                    .show(ui, |ui| {
                        ui.set_width(ui.available_width());
                        chosen(ui, state, &t);
                    });
            });
    }
}

fn empty(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    ui.add_space((ui.available_height() * 0.3).min(90.0));
    ui.vertical_centered(|ui| {
        let text = if state.runs.loading {
            "Reading runs…"
        } else {
            "Nothing was measured of this model yet"
        };
        ui.label(RichText::new(text).font(theme::strong()).color(t.text));
        let why_not = state.measuring.why_not();
        if !why_not.is_empty() {
            ui.label(RichText::new(state.cannot_measure()).color(t.dim));
            ui.add_space(4.0);
            let command = Command::AskMeasureOn;
            if ui.button(command.text()).clicked() {
                out.push(command);
            }
            ui.add_space(10.0);
            let beside = ((ui.available_width() - 420.0) / 2.0).clamp(PAD, 120.0) as i8;
            let margin = egui::Margin::symmetric(beside, 0);
            egui::Frame::new().inner_margin(margin).show(ui, |ui| {
                for line in why_not {
                    let text = RichText::new(line).font(theme::small()).color(t.faint);
                    ui.add(Label::new(text).wrap());
                }
            });
        } else if let Some(why) = Command::Profile.unavailable(state) {
            ui.set_max_width(420.0);
            ui.add(Label::new(RichText::new(why).color(t.dim)).wrap());
        } else if ui.button("Profile this placement").clicked() {
            out.push(Command::Profile);
        }
    });
}

/// The run under way: stage, bar, time left, the end of its log.
fn active(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let Some(active) = &state.measuring.active else {
        return;
    };
    egui::Frame::new()
        .fill(t.raised)
        .inner_margin(egui::Margin::symmetric(PAD as i8, 7))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                ui.label(
                    RichText::new(&active.name)
                        .font(theme::strong())
                        .color(t.strong),
                );
                ui.label(RichText::new(active.text()).color(t.dim));
                ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
                    if !active.cancelled && ui.small_button("Cancel run").clicked() {
                        out.push(Command::CancelProfile);
                    }
                });
            });
            ui.add(
                ProgressBar::new(active.fraction() as f32)
                    .desired_height(4.0)
                    .fill(t.accent),
            );
            let lines = active.look(|p| p.log.tail(LOG_ACTIVE));
            for line in lines {
                log_line(ui, &line.to_string(), false, t);
            }
        });
}

fn log_line(ui: &mut Ui, text: &str, whole: bool, t: &Tokens) {
    let color = match text.get(..3) {
        Some("[E]") => t.error,
        Some("[W]") => t.amber,
        _ => t.dim,
    };
    let label = Label::new(RichText::new(text).font(theme::mono()).color(color)).selectable(true);
    if whole {
        ui.add(label.wrap());
    } else {
        ui.add(label.truncate()).on_hover_text(text);
    }
}

fn tools(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
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
            crate::gui::panels::top::command_button(
                ui,
                state,
                "Delete",
                Command::Runs(Act::Delete),
                out,
            );
            crate::gui::panels::top::command_button(ui, state, "CSV…", Command::ExportRuns, out);
        });
    });
    ui.add_space(4.0);
}

/// Where each column is.
fn columns(rect: Rect) -> [Rect; 8] {
    let wide = rect.width() > 820.0;
    let gap = if wide { 12.0 } else { 6.0 };
    let fixed = if wide {
        [74.0, 0.0, 78.0, 38.0, 150.0, 110.0, 54.0, 104.0]
    } else {
        [68.0, 0.0, 52.0, 34.0, 94.0, 86.0, 46.0, 16.0]
    };
    let taken: f32 = fixed.iter().sum::<f32>() + gap * 7.0 + PAD * 2.0;
    let mut left = rect.left() + PAD;
    fixed.map(|width| {
        let width = if width == 0.0 {
            (rect.width() - taken).max(60.0)
        } else {
            width
        };
        let column = Rect::from_min_max(
            Pos2::new(left, rect.top()),
            Pos2::new(left + width, rect.bottom()),
        );
        left += width + gap;
        column
    })
}

fn align(column: Column) -> Align {
    match column {
        Column::Batch | Column::Fps | Column::Estimate => Align::Max,
        _ => Align::Min,
    }
}

fn header(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 20.0), Sense::hover());
    let places = columns(rect);
    for (column, place) in Column::ALL.into_iter().zip(places) {
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

fn table(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
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

fn state_color(ended: Ended, t: &Tokens) -> Color32 {
    match ended {
        Ended::Measured => t.accent,
        Ended::SilentFallback | Ended::Failed => t.error,
        Ended::Cancelled => t.faint,
    }
}

/// A dot for figures as asked, a hatched one for a silent fallback, a cross for none.
fn draw_state(painter: &egui::Painter, at: Pos2, ended: Ended, t: &Tokens) {
    let color = state_color(ended, t);
    match ended {
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

fn draw_row(ui: &mut Ui, state: &State, row: &RunRow, t: &Tokens, out: &mut Vec<Command>) {
    let head = &row.head;
    let size = Vec2::new(ui.available_width(), ROW);
    let (_, rect) = ui.allocate_space(size);
    let id = egui::Id::unique(("run", head.id));
    let response = ui.interact(rect, id, Sense::click());
    let chosen = state.runs.chosen.iter().position(|c| *c == head.id);
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
        at_estimate,
        at_state,
    ] = columns(rect);
    let cell = |place: Rect, text: &str, color: Color32, align: Align| {
        widgets::text_in(painter, place, text, theme::body(), color, align)
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
    cell(at_name, &name, t.text, Align::Min);
    let precision = head.config.precision.title();
    cell(at_precision, precision, t.dim, Align::Min);
    cell(at_batch, &head.config.batch.to_string(), t.dim, Align::Max);
    let here = row.on(&state.target);
    let ink = if here { t.text } else { t.dim };
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
            t.strong,
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
    draw_state(
        painter,
        at_state.left_center() + Vec2::new(7.0, 0.0),
        row.ended,
        t,
    );
    if at_state.width() > 40.0 {
        let rest = at_state.with_min_x(at_state.left() + 18.0);
        cell(
            rest,
            row.ended.text(),
            state_color(row.ended, t),
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
    let tip = |ui: &mut Ui| {
        ui.label(RichText::new(&row.name).font(theme::strong()));
        ui.label(date(head.started_ms));
        ui.label(head.environment.summary());
        match &head.outcome {
            Ok(fps) => {
                ui.label(Runs::spread(fps));
            }
            Err(f) => {
                ui.label(format!("{} while {}", row.ended.text(), f.stage.label()));
            }
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

fn chosen(ui: &mut Ui, state: &State, t: &Tokens) {
    let rows: Vec<&RunRow> = state
        .runs
        .chosen
        .iter()
        .filter_map(|id| state.runs.find(*id))
        .collect();
    match rows[..] {
        [one] => details(ui, state, one, t),
        [first, second] => comparison(ui, state, first, second, t),
        _ => {}
    }
}

/// One run: its figures, or why there are none with the end of its log.
fn details(ui: &mut Ui, state: &State, row: &RunRow, t: &Tokens) {
    let head = &row.head;
    let full = state.runs.full(head.id);
    widgets::heading(ui, &row.name);
    match &head.outcome {
        Ok(fps) => {
            let mut rows = vec![("FPS", Runs::spread(fps))];
            if let Some(m) = full.and_then(|run| run.measurement()) {
                rows.extend(figures(m));
            }
            rows.push(("Machine", head.environment.summary()));
            rows.push(("When", date(head.started_ms)));
            if let Some(why) = &head.timing_only {
                rows.push(("Timing only", why.clone()));
            }
            facts(ui, "run facts", t, &rows);
            if let Some(c) = full.and_then(|run| run.comparison.as_ref())
                && !c.silent_fallbacks.is_empty()
            {
                let title = format!(
                    "Silent fallback: {} ops left the DLA",
                    c.silent_fallbacks.len()
                );
                let named = &c.silent_fallbacks[..c.silent_fallbacks.len().min(MOST_NAMED)];
                let text = named.join("\n");
                note(ui, t.error_soft, t.error, &title, &text, t);
            }
        }
        Err(failure) => {
            let title = format!("{} while {}", row.ended.text(), failure.stage.label());
            note(
                ui,
                t.error_soft,
                t.error,
                &title,
                &in_window(&failure.message),
                t,
            );
            ui.add_space(4.0);
            facts(
                ui,
                "run facts",
                t,
                &[
                    ("Machine", head.environment.summary()),
                    ("When", date(head.started_ms)),
                ],
            );
            if let Some(run) = full.filter(|run| !run.log.is_empty()) {
                ui.add_space(4.0);
                ui.label(
                    RichText::new("End of the log")
                        .font(theme::small())
                        .color(t.faint),
                );
                for line in worth_reading(&run.log, LOG_FAILED) {
                    log_line(ui, &line.to_string(), true, t);
                }
            }
        }
    }
}

fn figures(m: &crate::engine::Measurement) -> Vec<(&'static str, String)> {
    let l = &m.latency;
    let mut rows = vec![(
        "Latency",
        format!(
            "{} ms median, {} p95, {} p99",
            widgets::ms(l.median),
            widgets::ms(l.p95),
            widgets::ms(l.p99)
        ),
    )];
    let built = if m.cached {
        "from the cache".to_owned()
    } else {
        format!("built in {:.1} s", m.build_s)
    };
    let size = widgets::bytes(m.engine_bytes);
    rows.push(("Engine", format!("{size}, {built}")));
    if !m.process_fps.is_empty() {
        let each: Vec<String> = m.process_fps.iter().copied().map(short).collect();
        rows.push(("Processes", format!("{} FPS", each.join(", "))));
    }
    if let Some(n) = &m.numeric {
        let verdict = if n.passed { "as" } else { "WRONG against" };
        rows.push((
            "Outputs",
            format!(
                "{verdict} {} on the GPU, cosine {:.6}",
                n.reference, n.cosine
            ),
        ));
    }
    if let Some(a) = m.attribution {
        let shared = m.layers.iter();
        let shared = shared.filter(|l| matches!(l.site, RowSite::Ambiguous { .. }));
        let shared: f64 = shared.map(|l| l.mean_ms).sum();
        let unsure = if shared > 0.0 {
            let ms = widgets::ms(shared);
            format!("; {ms} ms only the module around nodes that share a name")
        } else {
            String::new()
        };
        rows.push((
            "Layers",
            format!(
                "{} ms, {:.1} % of it found its module{unsure}",
                widgets::ms(a.total_ms),
                a.share() * 100.0
            ),
        ));
    }
    rows
}

/// Two runs: FPS, settings, and the modules they differ in.
fn comparison(ui: &mut Ui, state: &State, a: &RunRow, b: &RunRow, t: &Tokens) {
    widgets::heading(ui, &format!("A  {}   against   B  {}", a.name, b.name));
    if let (Some(fa), Some(fb)) = (a.fps(), b.fps()) {
        let percent = (fb.value / fa.value - 1.0) * 100.0;
        // Medians whose spreads overlap are not told apart.
        let apart = fa.max < fb.min || fb.max < fa.min;
        let color = match (apart, percent > 0.0) {
            (false, _) => t.dim,
            (true, true) => t.gpu,
            (true, false) => t.error,
        };
        let note = if apart { "" } else { ", within their spread" };
        let text = format!(
            "A {}, B {} FPS: {percent:+.1} %{note}",
            short(fa.value),
            short(fb.value)
        );
        ui.label(RichText::new(text).font(theme::strong()).color(color));
    } else {
        ui.label(RichText::new("One of them has no figures").color(t.dim));
    }
    let differing = settings(a, b);
    if !differing.is_empty() {
        let rows: Vec<(&str, String)> = differing
            .iter()
            .map(|(name, a, b)| (*name, format!("A {a}, B {b}")))
            .collect();
        facts(ui, "differing settings", t, &rows);
    }
    let (Some(first), Some(second)) = (state.runs.full(a.head.id), state.runs.full(b.head.id))
    else {
        return;
    };
    modules(ui, state, first, second, t);
}

fn settings(a: &RunRow, b: &RunRow) -> Vec<(&'static str, String, String)> {
    let of = |row: &RunRow| {
        let c = &row.head.config;
        [
            ("Precision", c.precision.to_string()),
            ("Batch", c.batch.to_string()),
            ("DLA core", c.dla_core.to_string()),
            (
                "GPU fallback",
                if c.gpu_fallback { "allowed" } else { "strict" }.to_owned(),
            ),
            ("Machine", row.head.environment.summary()),
        ]
    };
    of(a)
        .into_iter()
        .zip(of(b))
        .filter(|((_, a), (_, b))| a != b)
        .map(|((name, a), (_, b))| (name, a, b))
        .collect()
}

fn modules(ui: &mut Ui, state: &State, first: &Run, second: &Run, t: &Tokens) {
    let timed = |run: &Run| match &run.outcome {
        Outcome::Finished(m) => !m.layers.is_empty(),
        Outcome::Failed(_) => false,
    };
    if !timed(first) || !timed(second) {
        let text = "No times per module: one of them was not profiled per layer";
        ui.label(RichText::new(text).color(t.dim));
        return;
    }
    ui.add_space(6.0);
    let all = state.runs.differences().unwrap_or_default();
    let ms = |v: Option<f64>| v.map_or("–".to_owned(), widgets::ms);
    egui::Grid::new("module differences")
        .num_columns(4)
        .spacing([16.0, 2.0])
        .striped(false)
        .show(ui, |ui| {
            for head in ["Module", "A ms", "B ms", "difference"] {
                ui.label(RichText::new(head).font(theme::small()).color(t.faint));
            }
            ui.end_row();
            for d in all.iter().take(MOST_DIFFERENCES) {
                let delta = d.second.unwrap_or(0.0) - d.first.unwrap_or(0.0);
                let color = match delta {
                    d if d > 0.0005 => t.error,
                    d if d < -0.0005 => t.gpu,
                    _ => t.dim,
                };
                ui.label(crate::gui::panels::top::short(&d.place, 48));
                ui.label(RichText::new(ms(d.first)).font(theme::figures()));
                ui.label(RichText::new(ms(d.second)).font(theme::figures()));
                let text = format!("{delta:+.3}");
                ui.label(RichText::new(text).font(theme::figures()).color(color));
                ui.end_row();
            }
        });
    if all.len() > MOST_DIFFERENCES {
        let text = format!("and {} more", all.len() - MOST_DIFFERENCES);
        ui.label(RichText::new(text).color(t.dim));
    }
}
