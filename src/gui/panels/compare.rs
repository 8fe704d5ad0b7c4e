//! The placement on screen beside another one, and on other targets.

use std::sync::Arc;

use egui::{
    Align, Color32, ComboBox, CornerRadius, Grid, Label, Pos2, Rect, RichText, Role, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo,
};

use crate::estimate::signed_ms;
use crate::figure::{Figure, short};
use crate::gui::actions::compare::DIFFERENCES;
use crate::gui::command::Command;
use crate::gui::data::compare::{Both, Other, Over};
use crate::gui::data::judgement::Judgement;
use crate::gui::data::open::Open;
use crate::gui::data::tree_index::{Node, Sort};
use crate::gui::panels::controls::{command_button, side};
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::{note, section};
use crate::gui::ui::{theme, widgets};
use crate::placement::Device;
use crate::tasks::compare::{Judged, Line, OnTarget, Side, lines};
use crate::tasks::words::spread;

/// Crossings listed one by one, and runs offered.
const LISTED: usize = 10;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    side(
        ui,
        state,
        "Compare",
        Command::ShowCompare,
        out,
        |ui, out| {
            let (Some(open), Some(judged)) = (&state.open, state.judged.as_deref()) else {
                return;
            };
            choose(ui, state, out);
            if let Some(why) = &state.compare.refused {
                note(
                    ui,
                    t.amber_soft,
                    t.amber,
                    "It does not fit the model",
                    why,
                    &t,
                );
            }
            match (&state.compare.other, &*state.compare.both) {
                (Some(other), Some(both)) => {
                    figures(ui, state, judged, other, &t);
                    causes(ui, judged, other, &t);
                    shown(ui, state, both, out);
                    most(ui, open, both, &t, out);
                    crossings(ui, open, both, &t);
                }
                _ if state.compare.with.is_none() => {
                    let text = "Choose another placement, and the tree, the ribbon and the chart show \
                            both. \"As it is now\" remembers this one while you change it.";
                    ui.add(Label::new(RichText::new(text).color(t.dim)).wrap());
                }
                _ => {}
            }
            targets(ui, state, &t, out);
        },
    );
}

/// What to compare with.
fn choose(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let with = state.compare.with.as_ref();
    let chosen = with.map_or("nothing", |w| w.name.as_str());
    let width = ui.available_width();
    let inner = ComboBox::from_id_salt("compare with")
        .selected_text(widgets::short(chosen, 34))
        .width(width - 8.0)
        .height(420.0)
        .show_ui(ui, |ui| {
            let mut line = |ui: &mut Ui, other: Option<Other>, text: &str| {
                let now = with.map(|w| w.other) == other && other != Some(Other::Now);
                if ui.selectable_label(now, text).clicked() {
                    out.push(Command::CompareWith(other));
                    ui.close();
                }
            };
            line(ui, None, "nothing");
            line(ui, Some(Other::Now), "this placement, as it is now");
            line(ui, Some(Other::All(Device::Gpu)), "all GPU");
            line(ui, Some(Other::All(Device::Dla)), "all DLA");
            for kept in &state.kept {
                let name = widgets::short(&kept.kept.name, 40);
                line(ui, Some(Other::Kept(kept.id)), &name);
            }
            let runs = (0..state.runs.len()).filter_map(|at| state.runs.row(at));
            for row in runs.filter(|r| r.fps().is_some()).take(LISTED) {
                let fps = row.fps().map_or(String::new(), |m| short(m.value));
                let text = format!(
                    "run {}: {}, {fps} FPS",
                    row.head.id,
                    widgets::short(&row.name, 28)
                );
                line(ui, Some(Other::Run(row.head.id)), &text);
            }
        });
    inner.response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, "Compare with");
        info.current_text_value = Some(chosen.to_owned());
        info
    });
}

fn this(judged: &Judgement) -> Side<'_> {
    Side {
        plan: &judged.plan,
        estimate: &judged.estimate,
        op_ms: &[],
    }
}

/// Green where the first is better, red where it is worse.
fn tone(line: &Line, t: &Tokens) -> Color32 {
    let Some(delta) = line.delta().filter(|d| d.abs() > 1e-9) else {
        return t.dim;
    };
    match line.unit {
        "" => t.text,
        "FPS" if delta > 0.0 => t.gpu,
        "FPS" => t.error,
        _ if delta < 0.0 => t.gpu,
        _ => t.error,
    }
}

fn signed(line: &Line) -> String {
    let Some(delta) = line.delta() else {
        return "–".to_owned();
    };
    if line.unit.is_empty() {
        return if delta == 0.0 {
            "0".to_owned()
        } else {
            format!("{delta:+.0}")
        };
    }
    if line.unit == "ms" {
        return widgets::signed_ms(delta);
    }
    let text = short(delta);
    if delta > 0.0 {
        format!("+{text}")
    } else {
        text
    }
}

fn figures(ui: &mut Ui, state: &State, judged: &Judgement, other: &Judged, t: &Tokens) {
    section(ui, "Figures", t);
    let value = |line: &Line, value: Option<f64>| match value {
        Some(v) if line.unit.is_empty() => format!("{v:.0}"),
        Some(0.0) => "0".to_owned(),
        Some(v) => short(v),
        None => "–".to_owned(),
    };
    Grid::new("compared figures")
        .num_columns(4)
        .spacing([10.0, 2.0])
        .min_row_height(18.0)
        .show(ui, |ui| {
            for (text, hover) in [
                ("", ""),
                ("this", "The placement on screen"),
                ("other", other.name.as_str()),
                ("this − other", "What this placement has more"),
            ] {
                let text = RichText::new(text).font(theme::small()).color(t.faint);
                ui.label(text).on_hover_text(hover);
            }
            ui.end_row();
            for line in lines(this(judged), other.side()) {
                let unit = match line.unit {
                    "" => String::new(),
                    unit => format!(", {unit}"),
                };
                ui.label(RichText::new(format!("{}{unit}", line.what)).color(t.dim));
                for side in [line.this, line.that] {
                    let text = RichText::new(value(&line, side)).font(theme::figures());
                    ui.label(text.color(t.text));
                }
                let delta = RichText::new(signed(&line)).font(theme::figures());
                let response = ui.label(delta.color(tone(&line, t)));
                let label = format!("{}: {} more than the other", line.what, signed(&line));
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
                ui.end_row();
            }
        });
    let bands = [&judged.estimate.fps, &other.estimate.fps].map(|f| match f {
        Figure::Estimated(e) => e.band.to_string(),
        Figure::Measured(_) | Figure::None { .. } => "none".to_owned(),
    });
    let text = format!("Estimated; bands {} and {}", bands[0], bands[1]);
    let source = RichText::new(text).font(theme::small()).color(t.faint);
    ui.add(Label::new(source).wrap())
        .on_hover_text(&**judged.estimate.fps.source());
    let measured = state
        .compare
        .with
        .as_ref()
        .and_then(|w| w.measured.as_ref());
    if let Some(m) = measured {
        let text = format!("The other was measured: {}", spread(m));
        ui.add(Label::new(RichText::new(text).color(t.text)).wrap());
    }
    if other.config != *state.config() {
        let (a, b) = (state.config(), &other.config);
        let words = |c: &crate::placement::EngineConfig| {
            let strict = if c.gpu_fallback { "" } else { ", strict" };
            format!("{}, batch {}{strict}{}", c.precision, c.batch, c.io_words())
        };
        let text = format!("Built differently: {} here, {} there", words(a), words(b));
        ui.add(Label::new(RichText::new(text).color(t.amber)).wrap());
    }
}

/// What the difference is made of.
fn causes(ui: &mut Ui, judged: &Judgement, other: &Judged, t: &Tokens) {
    let (Ok(a), Ok(b)) = (&judged.breakdown, &other.breakdown) else {
        return;
    };
    let steps = a.waterfall.less(&b.waterfall);
    if steps.is_empty() {
        return;
    }
    section(ui, "What makes the difference", t);
    for (text, ms) in steps {
        let line = format!("{text}: {}", signed_ms(ms));
        let color = if ms > 0.0 { t.error } else { t.gpu };
        ui.horizontal(|ui| {
            let (rect, response) = ui.allocate_exact_size(Vec2::new(72.0, 18.0), Sense::hover());
            let (value, font) = (signed_ms(ms), theme::figures());
            widgets::text_in(ui.painter(), rect, &value, font, color, Align::Max);
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &line));
            ui.add(Label::new(RichText::new(text).color(t.text)).wrap());
        });
    }
}

/// What the tree shows of it.
fn shown(ui: &mut Ui, state: &State, both: &Both, out: &mut Vec<Command>) {
    ui.add_space(8.0);
    let n = both.comparison.differing();
    let mut only = state.filter.text() == DIFFERENCES;
    let text = match n {
        1 => "Differences only: 1 op".to_owned(),
        n => format!("Differences only: {n} ops"),
    };
    let hover = "The tree shows what runs elsewhere in the other placement";
    if ui.checkbox(&mut only, text).on_hover_text(hover).changed() {
        let filter = if only { DIFFERENCES } else { "" };
        out.push(Command::Filter(filter.to_owned()));
    }
    let mut sorted = state.sort == Sort::Delta;
    if ui
        .checkbox(&mut sorted, "Largest difference first")
        .changed()
    {
        out.push(Command::Sort(Sort::Delta));
    }
}

/// The rows that differ most.
fn most(ui: &mut Ui, open: &Open, both: &Both, t: &Tokens, out: &mut Vec<Command>) {
    if both.most.is_empty() {
        return;
    }
    section(ui, "Differ most", t);
    let spacing = std::mem::take(&mut ui.spacing_mut().item_spacing.y);
    for (node, delta) in &both.most {
        let (rect, response) = widgets::list_row(ui, "most different", theme::ROW, t);
        let painter = ui.painter();
        let value = rect.with_min_x(rect.right() - 72.0);
        let color = if *delta > 0.0 { t.error } else { t.gpu };
        let text = signed_ms(*delta);
        widgets::text_in(painter, value, &text, theme::figures(), color, Align::Max);
        let title = node.title(&open.model);
        let room = rect.with_max_x(value.left() - 6.0);
        let name = widgets::short_to(painter, title, &theme::body(), room.width());
        widgets::text_in(painter, room, &name, theme::body(), t.text, Align::Min);
        let label = format!("{title}: {text}");
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
        if response.clicked() {
            out.push(Command::SelectOps(node.ops(&open.model)));
        }
        let pair = match node {
            Node::Module(id) => both.comparison.modules.get(id.index()),
            Node::Op(id) => both.comparison.ops.get(id.index()),
        };
        if let Some(pair) = pair {
            response.on_hover_ui(|ui| {
                ui.label(RichText::new(title).font(theme::strong()));
                for (name, part) in [("Here", pair.this), ("There", pair.that)] {
                    let device = part.device(pair.ops);
                    ui.label(format!("{name}: {device}, {}", widgets::duration(part.ms)));
                }
            });
        }
    }
    ui.spacing_mut().item_spacing.y = spacing;
}

/// Tensors that cross in one of them only.
fn crossings(ui: &mut Ui, open: &Open, both: &Both, t: &Tokens) {
    let all = &both.comparison.crossings;
    if all.is_empty() {
        return;
    }
    let here = all.iter().filter(|c| c.this).count();
    let text = format!(
        "Tensors that cross: {here} only here, {} only there",
        all.len() - here
    );
    section(ui, &text, t);
    for c in all.iter().take(LISTED) {
        let (place, color) = if c.this {
            ("here", t.error)
        } else {
            ("there", t.gpu)
        };
        let cost = if c.ms > 0.0 {
            format!("{}, ", widgets::duration(c.ms))
        } else {
            String::new()
        };
        let name = &open.model.tensor(c.tensor).name;
        let text = format!("{cost}{} to the {}: {name}", widgets::bytes(c.bytes), c.to);
        ui.horizontal(|ui| {
            ui.label(RichText::new(place).font(theme::small()).color(color));
            ui.add(Label::new(RichText::new(text).color(t.text)).truncate());
        });
    }
    if all.len() > LISTED {
        let more = format!("and {} more", all.len() - LISTED);
        ui.label(RichText::new(more).color(t.dim));
    }
}

/// The placement on screen on other boards or in other power modes.
fn targets(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    // A command may have asked for it from elsewhere: what it brings is shown, once.
    let found = state.compare.targets.as_ref();
    let found = found.map(|(_, _, rows)| Arc::as_ptr(rows).addr());
    let before = ui.data_mut(|d| {
        let seen = d.get_temp_mut_or_default(egui::Id::unique("targets shown"));
        std::mem::replace(seen, found)
    });
    if found.is_some() && found != before {
        ui.scroll_to_cursor(Some(Align::Min));
    }
    section(ui, "This placement elsewhere", t);
    ui.horizontal_wrapped(|ui| {
        for over in [Over::Boards, Over::Modes] {
            let command = Command::CompareOver(over);
            let busy = state.compare.over.is_some();
            let button = ui.add_enabled(!busy, egui::Button::new(command.text()));
            if button.on_hover_text(command.tooltip()).clicked() {
                out.push(command);
            }
        }
        if state.compare.targets.is_some() {
            command_button(ui, state, "Copy", Command::CopyTargets, out);
        }
        if state.compare.over.is_some() {
            ui.add(egui::Spinner::new().size(12.0));
        }
    });
    let Some((revision, _, rows)) = &state.compare.targets else {
        return;
    };
    if *revision != state.revision {
        let text = "The placement has changed since; compare again";
        ui.label(RichText::new(text).font(theme::small()).color(t.amber));
    }
    let most = rows
        .iter()
        .flat_map(|r| [&r.estimate.fps, &r.gpu_fps])
        .filter_map(|f| f.range().map(|(_, high)| high).or(f.value()))
        .fold(0.0, f64::max);
    let spacing = std::mem::take(&mut ui.spacing_mut().item_spacing.y);
    for row in rows.iter() {
        target(ui, state, row, most, t, out);
    }
    ui.spacing_mut().item_spacing.y = spacing;
    let text = "The mark is everything on the GPU";
    ui.label(RichText::new(text).font(theme::small()).color(t.faint));
}

fn target(
    ui: &mut Ui,
    state: &State,
    row: &OnTarget,
    most: f64,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let (rect, response) = widgets::list_row(ui, "targets", 34.0, t);
    if !ui.is_rect_visible(rect) {
        return;
    }
    let painter = ui.painter();
    let name = format!(
        "{} {}",
        row.target.board.name.replacen("Jetson ", "", 1),
        row.target.mode.name
    );
    let fps = match &row.estimate.fps {
        Figure::Estimated(e) => format!("{} FPS {}", short(e.value), e.band),
        Figure::Measured(m) => format!("{} FPS", short(m.value)),
        Figure::None { .. } if row.summary.refused.is_some() => "does not build".to_owned(),
        Figure::None { .. } => "no estimate".to_owned(),
    };
    let words = rect.with_max_y(rect.top() + 19.0);
    let value = widgets::line(painter, &fps, theme::figures(), t.dim, f32::INFINITY);
    let room = words.with_max_x(words.right() - value.size().x - 8.0);
    let here = row.target == state.target;
    let (font, ink) = if here {
        (theme::strong(), t.strong)
    } else {
        (theme::body(), t.text)
    };
    widgets::text_in(painter, room, &name, font, ink, Align::Min);
    let at = Pos2::new(
        words.right() - value.size().x,
        words.center().y - value.size().y / 2.0,
    );
    painter.galley(at, value, t.dim);
    let track = Rect::from_min_max(
        Pos2::new(rect.left(), rect.top() + 21.0),
        Pos2::new(rect.right(), rect.top() + 29.0),
    );
    painter.rect_filled(track, CornerRadius::same(2), t.base);
    let x = |fps: f64| track.left() + track.width() * (fps / most.max(f64::MIN_POSITIVE)) as f32;
    if let Some(fps) = row.estimate.fps.value() {
        let body = track.with_max_x(x(fps).max(track.left() + 1.0));
        let color = if here { t.current } else { t.accent };
        painter.rect_filled(body, CornerRadius::same(2), color.gamma_multiply(0.2));
        let edge = Stroke::new(1.3, color);
        painter.rect_stroke(body, CornerRadius::same(2), edge, StrokeKind::Inside);
    }
    if let Some((low, high)) = row.estimate.fps.range() {
        let ink = Stroke::new(1.2, t.dim);
        painter.hline(x(low)..=x(high), track.center().y, ink);
    }
    if let Some(fps) = row.gpu_fps.value() {
        let mark = Stroke::new(2.0, t.gpu);
        painter.vline(x(fps), track.top() - 2.0..=track.bottom() + 2.0, mark);
    }
    let label = format!("{name}: {fps}");
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, here, &label));
    if response.clicked() && !here {
        out.push(Command::Board(row.target.board.id));
        out.push(Command::Mode(row.target.mode.name));
    }
    response.on_hover_ui(|ui| {
        ui.label(RichText::new(row.target.to_string()).font(theme::strong()));
        ui.label(row.summary.to_string());
        ui.label(row.estimate.fps.with_unit("FPS"));
        for (what, figure) in [
            ("Latency", &row.estimate.latency_ms),
            ("GPU work", &row.estimate.gpu_ms),
            ("DLA work", &row.estimate.dla_ms),
            ("Transitions", &row.estimate.transition_ms),
        ] {
            if let Some(ms) = figure.value().filter(|ms| *ms > 0.0) {
                ui.label(format!("{what}: {}", widgets::duration(ms)));
            }
        }
        ui.label(format!(
            "Everything on the GPU: {}",
            row.gpu_fps.with_unit("FPS")
        ));
        let source = row.estimate.fps.source();
        ui.label(RichText::new(&**source).font(theme::small()).color(t.dim));
        if !here {
            let text = "Click to plan for it";
            ui.label(RichText::new(text).font(theme::small()).color(t.dim));
        }
    });
}
