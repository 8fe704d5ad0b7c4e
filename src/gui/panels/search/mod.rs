//! The search for the best placement: what is asked for, what was found, why.

use egui::{
    Align, Button, Checkbox, Color32, ComboBox, CornerRadius, DragValue, FontId, Frame, Grid,
    Label, Layout, Margin, Painter, Pos2, Rect, Response, RichText, Role, ScrollArea, Sense,
    Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
};
use egui_plot::{PlotPoint, PlotTransform};

use crate::chart::{Chart, elide};
use crate::figure::{Figure, short};
use crate::model::OpId;
use crate::placement::{Device, Placement};
use crate::plan::Fallback;
use crate::search::confirm::Trial;
use crate::search::{
    Answer, Granularity, Move, Proposal, ProposedEngine, ProposedStage, SearchError,
};

use crate::gui::actions::confirm::Confirming;
use crate::gui::actions::search;
use crate::gui::actions::search::{Form, GoalKind, TIME_LIMIT, Why};
use crate::gui::command::Command;
use crate::gui::panels::chart::{batch_color, draw_mark, finish, found_color};
use crate::gui::panels::reasons::{note, section};
use crate::gui::state::State;
use crate::gui::ui::theme;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets;
use crate::gui::ui::widgets::Icon;

/// Height of a proposal's two lines.
const ROW: f32 = 40.0;
/// Height of an engine or a stage below it.
const PART: f32 = 22.0;
/// Moves listed at most.
const MOVES: usize = 40;
/// Space for a figure with its band.
const FIGURE: f32 = 104.0;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ScrollArea::vertical()
        .id_salt("find")
        .auto_shrink([false, false])
        .show(ui, |ui| {
            Frame::new()
                .inner_margin(Margin::symmetric(PAD as i8 + 2, 6))
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    head(ui, out);
                    form(ui, state, &t, out);
                    refusals(ui, state, &t);
                    outcome(ui, state, &t, out);
                });
        });
}

fn head(ui: &mut Ui, out: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        widgets::heading(ui, "Find best");
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let close = widgets::icon_button(ui, Icon::Close, "Close the search", "", true);
            if close.clicked() {
                out.push(Command::FindBest);
            }
        });
    });
}

/// Goal and constraints.
fn form(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let before = &state.find.form;
    let mut form = before.clone();
    let width = ui.available_width();
    combo(
        ui,
        "Goal",
        form.goal.text(),
        form.goal.tooltip(),
        width,
        |ui| {
            for goal in GoalKind::ALL {
                let response = ui.selectable_label(goal == form.goal, goal.text());
                if response.on_hover_text(goal.tooltip()).clicked() {
                    form.goal = goal;
                }
            }
        },
    );
    ui.add_space(4.0);
    Grid::new("search form")
        .num_columns(2)
        .spacing([12.0, 5.0])
        .min_col_width(64.0)
        .show(ui, |ui| {
            goal_number(ui, &mut form, t);
            name(ui, "Decide", t);
            granularity(ui, &mut form);
            ui.end_row();
            name(ui, "Subgraphs", t);
            subgraphs(ui, &mut form, state.target.tensorrt.max_loadables(), t);
            ui.end_row();
            let cores = state.dla_cores();
            if cores > 1 && matches!(form.goal, GoalKind::Deployment | GoalKind::Pipeline) {
                name(ui, "DLA cores", t);
                dla_cores(ui, &mut form, cores, t);
                ui.end_row();
            }
            name(ui, "Fallback", t);
            let strict = !state.config.gpu_fallback;
            let mut now = strict;
            let hover = "Never ask the DLA for what it refuses; the same setting as in the top bar";
            let response = ui.add(Checkbox::new(&mut now, "strict"));
            response.widget_info(|| {
                WidgetInfo::selected(Role::CheckBox, true, strict, "Strict search")
            });
            if response.on_hover_text(hover).changed() {
                out.push(Command::GpuFallback(strict));
            }
            ui.end_row();
            name(ui, "Pinned", t);
            pins(ui, &mut form, t);
            ui.end_row();
        });
    if form != *before {
        out.push(Command::FindForm(Box::new(form)));
    }
}

fn name(ui: &mut Ui, text: &str, t: &Tokens) {
    ui.label(RichText::new(text).color(t.dim));
}

/// A menu with an accessible name.
fn combo(
    ui: &mut Ui,
    label: &str,
    selected: &str,
    hover: &str,
    width: f32,
    content: impl FnOnce(&mut Ui),
) {
    let inner = ComboBox::from_id_salt(("find", label))
        .selected_text(selected)
        .width(width)
        .show_ui(ui, content);
    inner.response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, label);
        info.current_text_value = Some(selected.to_owned());
        info
    });
    inner.response.on_hover_text(hover);
}

fn drag(ui: &mut Ui, label: &str, drag: DragValue<'_>, value: f64) {
    let response = ui.add(drag);
    response.widget_info(|| {
        let mut info = WidgetInfo::drag_value(true, value);
        info.label = Some(label.to_owned());
        info
    });
}

/// The goal's own number.
fn goal_number(ui: &mut Ui, form: &mut Form, t: &Tokens) {
    let say = |ui: &mut Ui, text: &str| {
        ui.label(RichText::new(text).color(t.dim));
    };
    match form.goal {
        GoalKind::Latency => return,
        GoalKind::Deployment => {
            name(ui, "Engines", t);
            ui.horizontal(|ui| {
                say(ui, "at most");
                let value = f64::from(form.engines);
                let field = DragValue::new(&mut form.engines).range(1..=8).speed(0.05);
                drag(ui, "Most engines", field, value);
                say(ui, "at the same time");
            });
        }
        GoalKind::Pipeline => {
            name(ui, "Stages", t);
            ui.horizontal(|ui| {
                say(ui, "at most");
                let value = f64::from(form.stages);
                let field = DragValue::new(&mut form.stages).range(1..=8).speed(0.05);
                drag(ui, "Most stages", field, value);
            });
        }
        GoalKind::OffGpu => {
            name(ui, "Still", t);
            ui.horizontal(|ui| {
                say(ui, "at least");
                let value = form.min_fps;
                let field = DragValue::new(&mut form.min_fps)
                    .range(0.1..=1e6)
                    .max_decimals(1);
                drag(ui, "FPS floor", field, value);
                say(ui, "FPS");
            });
        }
        GoalKind::FewestTransitions => {
            name(ui, "Slower", t);
            ui.horizontal(|ui| {
                say(ui, "by at most");
                let value = form.max_loss;
                let field = DragValue::new(&mut form.max_loss)
                    .range(0.0..=99.0)
                    .speed(0.1)
                    .max_decimals(1)
                    .suffix(" %");
                drag(ui, "Most loss", field, value);
                say(ui, "than the fastest");
            });
        }
    }
    ui.end_row();
}

fn granularity(ui: &mut Ui, form: &mut Form) {
    let text = |g: Granularity| match g {
        Granularity::Modules => "whole modules".to_owned(),
        Granularity::Ops => "any op".to_owned(),
        Granularity::Blocks(depth) => format!("blocks at depth {depth}"),
    };
    let hover = "What is moved as one: what torch2trt's device_types can say, single ops, or whole \
                 blocks of the tree";
    let now = text(form.granularity);
    combo(ui, "Granularity", &now, hover, 150.0, |ui| {
        for g in [
            Granularity::Modules,
            Granularity::Ops,
            Granularity::Blocks(1),
            Granularity::Blocks(2),
        ] {
            if ui
                .selectable_label(g == form.granularity, text(g))
                .clicked()
            {
                form.granularity = g;
            }
        }
    });
}

fn subgraphs(ui: &mut Ui, form: &mut Form, limit: u32, t: &Tokens) {
    ui.horizontal(|ui| {
        let mut limited = form.max_subgraphs.is_some();
        let response = ui.add(Checkbox::new(&mut limited, "at most"));
        response.widget_info(|| {
            let now = form.max_subgraphs.is_some();
            WidgetInfo::selected(Role::CheckBox, true, now, "Limit DLA subgraphs")
        });
        let hover = format!("DLA subgraphs per engine; a core holds {limit}");
        if response.on_hover_text(hover).changed() {
            form.max_subgraphs = limited.then_some(1);
        }
        match &mut form.max_subgraphs {
            Some(most) => {
                let value = f64::from(*most);
                let field = DragValue::new(most).range(0..=limit).speed(0.05);
                drag(ui, "Most DLA subgraphs", field, value);
            }
            None => {
                ui.label(RichText::new(limit.to_string()).color(t.faint));
            }
        }
    });
}

fn dla_cores(ui: &mut Ui, form: &mut Form, cores: u32, t: &Tokens) {
    ui.horizontal(|ui| {
        let mut most = form.dla_cores.unwrap_or(cores).min(cores);
        let value = f64::from(most);
        let field = DragValue::new(&mut most).range(1..=cores).speed(0.02);
        drag(ui, "Most DLA cores", field, value);
        ui.label(RichText::new(format!("of {cores}")).color(t.dim));
        form.dla_cores = (most < cores).then_some(most);
    });
}

fn pins(ui: &mut Ui, form: &mut Form, t: &Tokens) {
    if form.pinned.is_empty() {
        let text = RichText::new("nothing; a row's menu pins it").color(t.faint);
        ui.add(Label::new(text).truncate());
        return;
    }
    let mut gone = None;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(4.0);
        for (site, device) in &form.pinned {
            let path = crate::gui::panels::top::short(&site.to_string(), 22);
            let text = RichText::new(format!("{path} {device} ×"))
                .font(theme::small())
                .color(t.device(*device));
            let button = Button::new(text)
                .fill(t.device_soft(*device))
                .corner_radius(CornerRadius::same(8));
            let response = ui.add(button);
            response.widget_info(|| {
                let label = format!("Unpin {site} from {device}");
                WidgetInfo::labeled(Role::Button, true, label)
            });
            let hover = format!("{site} stays on the {device} in every proposal; click to unpin");
            if response.on_hover_text(hover).clicked() {
                gone = Some(site.clone());
            }
        }
    });
    if let Some(site) = gone {
        form.pin(site, None);
    }
}

/// Why no proposal can use the DLA, if none can.
fn refusals(ui: &mut Ui, state: &State, t: &Tokens) {
    let why = match &state.ground {
        _ if state.dla_cores() == 0 => Some(state.no_dla_reason()),
        Some(ground) => ground.engine_refusal.as_ref().map(Fallback::sentence),
        None => None,
    };
    if let Some(why) = why {
        ui.add_space(6.0);
        note(
            ui,
            t.amber_soft,
            t.amber,
            "Everything stays on the GPU",
            &why,
            t,
        );
    }
}

/// Progress, proposals, baselines.
fn outcome(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    section(ui, "Proposals", t);
    if state.find.searching() {
        progress(ui, state, t, out);
    }
    let answer = match &state.find.answer {
        None => return,
        Some(Ok(answer)) => &**answer,
        Some(Err(e)) => {
            failure(ui, e, t, out);
            return;
        }
    };
    ui.spacing_mut().item_spacing.y = 3.0;
    // Below its proposal; before all of them where it belongs to none, as a point of the front.
    let mut why = state.find.why.as_ref();
    let of = |p: &Proposal, why: &Why| p.engines.iter().any(|e| e.placement == why.to);
    let all = || answer.proposals.iter().chain(&answer.baselines);
    if let Some(w) = why.take_if(|w| !all().any(|p| of(p, w))) {
        let now = state.doc.placement();
        if *now == w.to {
            let name = RichText::new(&w.name).font(theme::strong()).color(t.strong);
            ui.add(Label::new(name).truncate());
        }
        explanation(ui, state, w, t, out);
    }
    for (i, p) in answer.proposals.iter().enumerate() {
        proposal(ui, state, answer, p, i, t, out);
        if let Some(w) = why.take_if(|w| of(p, w)) {
            explanation(ui, state, w, t, out);
            if p.stages.len() > 1 {
                let text = format!(
                    "That is one image after another. Successive images in stages of their own: {}",
                    search::fps(&p.fps)
                );
                let text = RichText::new(text).font(theme::small()).color(t.dim);
                ui.add(Label::new(text).wrap());
            }
        }
    }
    if !state.find.searching() {
        verdict(ui, answer, t, out);
        confirming(ui, state, t, out);
    }
    let others: Vec<&Proposal> = answer
        .baselines
        .iter()
        .filter(|b| answer.proposals.iter().all(|p| !same(p, b)))
        .collect();
    if !others.is_empty() {
        ui.add_space(4.0);
        let text = RichText::new("For comparison");
        ui.label(text.font(theme::small()).color(t.faint));
        for (i, p) in others.into_iter().enumerate() {
            proposal(ui, state, answer, p, answer.proposals.len() + i, t, out);
            if let Some(w) = why.take_if(|w| of(p, w)) {
                explanation(ui, state, w, t, out);
            }
        }
    }
}

/// The same engines, whatever they are called.
fn same(a: &Proposal, b: &Proposal) -> bool {
    fn placements(p: &Proposal) -> impl Iterator<Item = &Placement> {
        p.engines.iter().map(|e| &e.placement)
    }
    a.stages.len() < 2 && b.stages.len() < 2 && placements(a).eq(placements(b))
}

fn failure(ui: &mut Ui, e: &SearchError, t: &Tokens, out: &mut Vec<Command>) {
    let title = match e {
        SearchError::NoEstimate(_) => "No estimate, so nothing can be ranked",
        SearchError::Space(_) | SearchError::Unsolved(_) | SearchError::Range { .. } => {
            "Nothing found"
        }
    };
    let text = match e {
        SearchError::NoEstimate(why) => why.clone(),
        other => other.to_string(),
    };
    note(ui, t.amber_soft, t.amber, title, &text, t);
    ui.add_space(4.0);
    if ui.button(Command::FindAgain.text()).clicked() {
        out.push(Command::FindAgain);
    }
}

fn progress(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let p = state.find.progress;
    let (stage, elapsed) = p.map_or(("searching", 0.0), |p| (p.stage, p.elapsed.as_secs_f64()));
    let goal = state.find.form.goal;
    let unit = match goal {
        GoalKind::Latency => " ms",
        GoalKind::OffGpu => " ms on the GPU",
        GoalKind::FewestTransitions => " transitions",
        GoalKind::Deployment | GoalKind::Pipeline => " FPS",
    };
    let mut text = stage.to_owned();
    if let Some(best) = p.and_then(|p| p.best) {
        text.extend([", best so far ", &short(best), unit]);
        if let Some(bound) = p.and_then(|p| p.bound) {
            text.extend([", none below ", &short(bound)]);
        }
    }
    ui.horizontal(|ui| {
        let label = ui.add(Label::new(RichText::new(&text).color(t.text)).truncate());
        label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &text));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let cancel = ui.small_button("Cancel");
            cancel
                .widget_info(|| WidgetInfo::labeled(Role::Button, true, Command::FindStop.text()));
            if cancel.on_hover_text(Command::FindStop.tooltip()).clicked() {
                out.push(Command::FindStop);
            }
            let text = RichText::new(format!("{elapsed:.1} s"));
            ui.label(text.font(theme::small()).color(t.dim));
        });
    });
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 3.0), Sense::hover());
    let share = (elapsed / TIME_LIMIT.as_secs_f64()).clamp(0.0, 1.0) as f32;
    let painter = ui.painter();
    painter.rect_filled(rect, CornerRadius::same(1), t.line);
    let done = rect.with_max_x(rect.left() + rect.width() * share);
    painter.rect_filled(done, CornerRadius::same(1), t.accent);
    ui.add_space(3.0);
}

/// How good the best is known to be, and how that is known.
fn verdict(ui: &mut Ui, answer: &Answer, t: &Tokens, out: &mut Vec<Command>) {
    let text = match answer.gap {
        Some(0.0) => "Nothing better exists for this estimate".to_owned(),
        Some(gap) => format!(
            "The first is at most {:.1} % from the best there is",
            (gap * 100.0).max(0.1)
        ),
        None => format!("No bound is known; {}", answer.method),
    };
    let early = if answer.stopped {
        "stopped early, "
    } else {
        ""
    };
    let ms = answer.elapsed.as_secs_f64() * 1e3;
    let took = if ms < 1000.0 {
        format!("{early}{ms:.0} ms")
    } else {
        format!("{early}{:.1} s", ms / 1e3)
    };
    ui.horizontal_wrapped(|ui| {
        let all = format!("{text} ({took})");
        let label =
            ui.add(Label::new(RichText::new(&all).font(theme::small()).color(t.dim)).wrap());
        label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &all));
        label.on_hover_text(format!("How: {}", answer.method));
        if answer.stopped && ui.small_button(Command::FindAgain.text()).clicked() {
            out.push(Command::FindAgain);
        }
    });
}

/// The button that measures, or how far it is; nothing on a machine that cannot measure.
fn confirming(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    if let Some(c) = &state.find.confirming {
        confirm_label(ui, c, t);
        ui.allocate_ui_with_layout(
            Vec2::new(ui.available_width(), 20.0),
            Layout::right_to_left(Align::Center),
            |ui| {
                confirm_cancel(ui, c, out);
                confirm_bar(ui, c, ui.available_width(), t);
            },
        );
        return;
    }
    if !state.can_confirm() {
        return;
    }
    let command = Command::ConfirmFound;
    let why = command.unavailable(state);
    let response = ui.add_enabled(why.is_none(), Button::new(command.text()));
    let response = response
        .on_hover_text(state.confirm_hint())
        .on_disabled_hover_text(why.unwrap_or_default());
    if response.clicked() {
        out.push(command);
    }
}

/// What is being measured of the proposals.
fn confirm_label(ui: &mut Ui, c: &Confirming, t: &Tokens) {
    let text = format!("Measuring {}", c.text());
    let label = ui.add(Label::new(RichText::new(&text).color(t.text)).truncate());
    label.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &text));
    label.on_hover_text(&text);
}

fn confirm_cancel(ui: &mut Ui, c: &Confirming, out: &mut Vec<Command>) {
    let command = Command::CancelConfirm;
    if c.cancelled {
        return;
    }
    let cancel = ui.small_button("Cancel");
    cancel.widget_info(|| WidgetInfo::labeled(Role::Button, true, command.text()));
    if cancel.on_hover_text(command.tooltip()).clicked() {
        out.push(command);
    }
}

fn confirm_bar(ui: &mut Ui, c: &Confirming, width: f32, t: &Tokens) {
    ui.add(
        egui::ProgressBar::new(c.fraction() as f32)
            .desired_width(width)
            .desired_height(6.0)
            .fill(t.accent),
    );
}

/// How far measuring the proposals is, in one line that is filled from its right end.
pub fn confirm_progress(ui: &mut Ui, c: &Confirming, t: &Tokens, out: &mut Vec<Command>) {
    confirm_cancel(ui, c, out);
    confirm_bar(ui, c, 90.0, t);
    confirm_label(ui, c, t);
}

/// The engine a click on a proposal loads: the first that uses a DLA, else the first.
fn main_engine(p: &Proposal) -> Option<&ProposedEngine> {
    let dla = p.engines.iter().find(|e| e.summary.dla_ops > 0);
    dla.or(p.engines.first())
}

fn load(state: &State, p: &Proposal, engine: &ProposedEngine) -> Command {
    let name = match &p.engines[..] {
        [_] => state.find.title(p),
        _ => state.find.name(&engine.placement),
    };
    let config = state.found_config(p, engine);
    Command::Load(name, engine.placement.clone(), config)
}

/// A card: figures of the whole, then its engines or stages.
fn proposal(
    ui: &mut Ui,
    state: &State,
    answer: &Answer,
    p: &Proposal,
    at: usize,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let Some(engine) = main_engine(p) else { return };
    let best = at == 0;
    let title = state.find.title(p);
    let on_screen = |e: &ProposedEngine| *state.doc.placement() == e.placement;
    // Several engines: each has its own line to be marked.
    let chosen = matches!(&p.engines[..], [one] if on_screen(one));
    let parts = if p.engines.len() > 1 {
        p.engines.len()
    } else {
        p.stages.len()
    };
    let height = ROW + PART * parts as f32 + if parts > 0 { 4.0 } else { 0.0 };
    let size = Vec2::new(ui.available_width(), height);
    let (card, _) = ui.allocate_exact_size(size, Sense::hover());
    if !ui.is_rect_visible(card) {
        return;
    }
    let rect = card.with_max_y(card.top() + ROW);
    let id = egui::Id::unique(("proposal", at));
    let response = ui.interact(rect, id, Sense::click());
    let radius = CornerRadius::same(5);
    let fill = match (chosen, response.hovered()) {
        (true, _) => t.selected,
        (false, true) => t.hover,
        (false, false) => t.raised,
    };
    let edge = if chosen { t.accent } else { t.line };
    let stroke = Stroke::new(1.0, edge);
    ui.painter()
        .rect(card, radius, fill, stroke, StrokeKind::Inside);
    if response.has_focus() {
        let stroke = Stroke::new(1.5, t.accent);
        ui.painter()
            .rect_stroke(card, radius, stroke, StrokeKind::Inside);
    }

    let inner = rect.shrink2(Vec2::new(9.0, 4.0));
    let upper = inner.with_max_y(inner.center().y);
    let lower = inner.with_min_y(inner.center().y);
    let start = figure(ui, upper, &p.fps, t, best);
    let left = upper.with_max_x(start - 8.0);
    let painter = ui.painter();
    let ink = if best { t.strong } else { t.text };
    let font = if best { theme::strong() } else { theme::body() };
    let shown = fitting(painter, &title, font.clone(), left.width());
    widgets::text_in(painter, left, &shown, font, ink, Align::Min);
    let facts = facts(p);
    let trial = state.find.trial(p);
    let (badge, ink) = match trial {
        Some(Trial {
            measured: Some(m), ..
        }) => (format!("measured {}", short(m.value)), t.strong),
        Some(Trial {
            failure: Some(_), ..
        }) => ("not measured".to_owned(), t.amber),
        _ if best => (search::optimality(answer), t.accent),
        _ => (String::new(), t.dim),
    };
    let mut rest = lower;
    if !badge.is_empty() {
        let galley = widgets::line(painter, &badge, theme::small(), ink, 100.0);
        let at = Pos2::new(
            lower.right() - galley.size().x,
            lower.center().y - galley.size().y / 2.0,
        );
        rest = lower.with_max_x(at.x - 8.0);
        painter.galley(at, galley, ink);
    }
    widgets::text_in(painter, rest, &facts, theme::small(), t.dim, Align::Min);

    for (i, e) in p.engines.iter().enumerate().filter(|_| p.engines.len() > 1) {
        let line = part_rect(card, i);
        engine_line(ui, state, p, e, (at, i), line, t, out);
    }
    for (i, s) in p.stages.iter().enumerate() {
        let line = part_rect(card, i);
        stage_line(ui, (at, i), s, line, t, out);
    }

    let prefix = if best { "best: " } else { "" };
    let label = format!("{prefix}{title}: {}, {facts} {badge}", search::fps(&p.fps));
    response.widget_info(|| {
        WidgetInfo::selected(Role::Button, true, chosen, label.trim_end().to_owned())
    });
    if response.clicked() {
        out.push(load(state, p, engine));
    }
    hover(response, state, p, engine, t);
}

/// What was measured of a proposal, in lines.
fn trial_lines(ui: &mut Ui, trial: &Trial, t: &Tokens) {
    match (&trial.measured, &trial.failure) {
        (Some(m), _) => {
            let from = if trial.from_history {
                ", from the history"
            } else {
                ""
            };
            let text = format!(
                "Measured: {} FPS ({} to {}){from}",
                short(m.value),
                short(m.min),
                short(m.max)
            );
            ui.label(RichText::new(text).color(t.strong));
            ui.label(RichText::new(&*m.source).font(theme::small()).color(t.dim));
        }
        (None, Some(why)) => {
            ui.label(RichText::new(format!("Not measured: {why}")).color(t.amber));
        }
        (None, None) => return,
    }
    if let Some(estimate) = trial.estimate.as_ref().filter(|e| e.value().is_some()) {
        let text = search::fps(estimate);
        ui.label(format!("The estimate before, recalibrated: {text}"));
    }
}

fn part_rect(card: Rect, i: usize) -> Rect {
    let top = card.top() + ROW + PART * i as f32;
    Rect::from_min_max(
        Pos2::new(card.left() + 5.0, top),
        Pos2::new(card.right() - 5.0, top + PART),
    )
}

/// A figure and its band at the right end of a rectangle; returns where it begins.
fn figure(ui: &Ui, rect: Rect, fps: &Figure, t: &Tokens, strong: bool) -> f32 {
    let painter = ui.painter();
    let Some(value) = fps.value() else {
        let galley = widgets::line(painter, "no estimate", theme::small(), t.faint, FIGURE);
        let x = rect.right() - galley.size().x;
        painter.galley(
            Pos2::new(x, rect.center().y - galley.size().y / 2.0),
            galley,
            t.faint,
        );
        return x;
    };
    let band = match fps {
        Figure::Estimated(e) => format!(" FPS {}", e.band),
        Figure::Measured(_) | Figure::None { .. } => " FPS".to_owned(),
    };
    let small = widgets::line(painter, &band, theme::small(), t.dim, FIGURE);
    let font = if strong {
        theme::strong()
    } else {
        theme::body()
    };
    let ink = if strong { t.strong } else { t.text };
    let large = widgets::line(painter, &short(value), font, ink, FIGURE);
    let y = rect.center().y;
    let at = Pos2::new(rect.right() - small.size().x, y - small.size().y / 2.0);
    let x = at.x - large.size().x;
    painter.galley(Pos2::new(x, y - large.size().y / 2.0), large, ink);
    painter.galley(at, small, t.dim);
    x
}

/// Cut in the middle where it is wider than this: paths differ at their ends.
fn fitting(painter: &Painter, text: &str, font: FontId, width: f32) -> String {
    let all = widgets::line(painter, text, font, Color32::PLACEHOLDER, f32::INFINITY);
    let share = width / all.size().x.max(1.0);
    if share >= 1.0 {
        return text.to_owned();
    }
    elide(text, (text.chars().count() as f32 * share * 0.96) as usize)
}

/// GPU work, transitions and what the placement says, in a line.
fn facts(p: &Proposal) -> String {
    let gpu = p.gpu_ms().map_or("GPU: no estimate".to_owned(), |ms| {
        format!("GPU {}", widgets::duration(ms))
    });
    let said: usize = p.engines.iter().map(|e| e.placement.overrides.len()).sum();
    format!(
        "{gpu}, {}, {}",
        many(p.transitions, "transition"),
        many(said, "override")
    )
}

fn many(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "all of one line's drawing context"
)]
fn engine_line(
    ui: &Ui,
    state: &State,
    p: &Proposal,
    e: &ProposedEngine,
    (at, i): (usize, usize),
    rect: Rect,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let id = egui::Id::unique(("found engine", at, i));
    let response = ui.interact(rect, id, Sense::click());
    let chosen = *state.doc.placement() == e.placement;
    let fill = match (chosen, response.hovered() || response.has_focus()) {
        (true, _) => Some(t.selected),
        (false, true) => Some(t.hover),
        (false, false) => None,
    };
    if let Some(fill) = fill {
        ui.painter().rect_filled(rect, CornerRadius::same(4), fill);
    }
    let inner = rect.shrink2(Vec2::new(6.0, 0.0));
    let where_ = if e.summary.dla_ops == 0 {
        "GPU".to_owned()
    } else {
        format!("DLA{}", e.config.dla_core)
    };
    let device = if e.summary.dla_ops == 0 {
        Device::Gpu
    } else {
        Device::Dla
    };
    let start = figure(ui, inner, &e.fps, t, false);
    let painter = ui.painter();
    let label = inner.with_max_x(inner.left() + 44.0);
    widgets::text_in(
        painter,
        label,
        &where_,
        theme::small(),
        t.device(device),
        Align::Min,
    );
    let name = state.find.name(&e.placement);
    let text = Rect::from_min_max(
        Pos2::new(label.right(), inner.top()),
        Pos2::new(start - 8.0, inner.bottom()),
    );
    let shown = fitting(painter, &name, theme::small(), text.width());
    widgets::text_in(painter, text, &shown, theme::small(), t.text, Align::Min);
    let figures = search::fps(&e.fps);
    response.widget_info(|| {
        let label = format!("engine {} on {where_}: {name}: {figures}", i + 1);
        WidgetInfo::selected(Role::Button, true, chosen, label)
    });
    if response.clicked() {
        out.push(load(state, p, e));
    }
    hover(response, state, p, e, t);
}

fn stage_line(
    ui: &Ui,
    (at, i): (usize, usize),
    s: &ProposedStage,
    rect: Rect,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let id = egui::Id::unique(("found stage", at, i));
    let response = ui.interact(rect, id, Sense::click());
    if response.hovered() || response.has_focus() {
        ui.painter()
            .rect_filled(rect, CornerRadius::same(4), t.hover);
    }
    let inner = rect.shrink2(Vec2::new(6.0, 0.0));
    let where_ = match s.core {
        Some(core) => format!("{}{core}", s.device),
        None => s.device.to_string(),
    };
    let painter = ui.painter();
    let label = inner.with_max_x(inner.left() + 44.0);
    widgets::text_in(
        painter,
        label,
        &where_,
        theme::small(),
        t.device(s.device),
        Align::Min,
    );
    let text = inner.with_min_x(label.right());
    widgets::text_in(painter, text, &s.what, theme::small(), t.text, Align::Min);
    response.widget_info(|| {
        let label = format!("stage {}: {} on {where_}", i + 1, s.what);
        WidgetInfo::labeled(Role::Button, true, label)
    });
    if response.clicked() {
        out.push(Command::SelectOps((s.from.0..=s.to.0).map(OpId).collect()));
    }
    response.on_hover_text(format!(
        "From {} to {}: where to cut the model for an engine of this stage.\nClick to select its \
         modules in the tree",
        s.inputs.join(", "),
        s.outputs.join(", ")
    ));
}

/// Everything known about an engine of a proposal, with where the figures come from.
fn hover(response: Response, state: &State, p: &Proposal, engine: &ProposedEngine, t: &Tokens) {
    response.on_hover_ui(|ui| {
        ui.label(RichText::new(state.find.title(p)).font(theme::strong()));
        if p.engines.len() > 1 {
            ui.label(format!("{} in all", search::fps(&p.fps)));
            ui.label(RichText::new(state.find.name(&engine.placement)).color(t.strong));
            ui.label(format!("{} beside the others", search::fps(&engine.fps)));
        } else {
            ui.label(search::fps(&p.fps));
        }
        if let Some(trial) = state.find.trial(p) {
            trial_lines(ui, trial, t);
        }
        ui.label(engine.summary.to_string());
        for (what, figure) in [
            ("Latency alone", &engine.estimate.latency_ms),
            ("GPU", &engine.estimate.gpu_ms),
            ("DLA", &engine.estimate.dla_ms),
            ("Transitions", &engine.estimate.transition_ms),
        ] {
            ui.label(format!("{what}: {}", search::in_unit(figure, "ms")));
        }
        let energy = match &engine.energy_mj {
            Figure::None { reason } => format!("Energy: no estimate ({reason})"),
            other => format!("Energy: {} per inference", search::in_unit(other, "mJ")),
        };
        ui.label(energy);
        let now = state.judged.as_ref().and_then(|j| j.estimate.fps.value());
        let chosen = *state.doc.placement() == engine.placement;
        if let (Some(now), Some(then), false) = (now, p.fps.value(), chosen) {
            let percent = (then / now - 1.0) * 100.0;
            let color = if percent >= 0.0 { t.gpu } else { t.error };
            let text = format!(
                "{:+.1} FPS, {percent:+.1} % against the placement on screen",
                then - now
            );
            ui.label(RichText::new(text).color(color));
        }
        let source = RichText::new(&**p.fps.source());
        ui.label(source.font(theme::small()).color(t.dim));
        let hint = if p.engines.len() > 1 {
            "Click to load the placement of this engine"
        } else if p.stages.len() > 1 {
            "Each stage is an engine of its own; click to load their devices as one placement"
        } else {
            "Click to load this placement; undo brings the old one back"
        };
        ui.label(RichText::new(hint).font(theme::small()).color(t.dim));
    });
}

/// Why a placement, against another.
fn explanation(ui: &mut Ui, state: &State, why: &Why, t: &Tokens, out: &mut Vec<Command>) {
    let now = state.doc.placement();
    let loaded = *now == why.to;
    let against = match (loaded, *now == why.from) {
        (true, true) => "It is on screen already",
        (true, false) => "Why, against what was on screen before",
        (false, true) => "Why, against what is on screen",
        // Edited since: neither is what the user looks at.
        (false, false) => return,
    };
    let drawn = Frame::new()
        .inner_margin(Margin {
            left: 12,
            right: 2,
            top: 2,
            bottom: 6,
        })
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 0.0;
            ui.allocate_ui_with_layout(
                Vec2::new(ui.available_width(), 24.0),
                Layout::right_to_left(Align::Center),
                |ui| {
                    if loaded {
                        let keep = ui.button("Keep…");
                        keep.widget_info(|| {
                            WidgetInfo::labeled(Role::Button, true, "Keep what was found…")
                        });
                        if keep.on_hover_text(Command::Keep.tooltip()).clicked() {
                            out.push(Command::Keep);
                        }
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        let text = RichText::new(against).font(theme::small()).color(t.dim);
                        ui.add(Label::new(text).truncate());
                    });
                },
            );
            if why.from != why.to {
                moves(ui, why, t, out);
            }
        });
    let rect = drawn.response.rect;
    let edge = rect
        .with_max_x(rect.left() + 2.0)
        .translate(Vec2::new(4.0, 0.0));
    ui.painter()
        .rect_filled(edge, CornerRadius::same(1), t.accent.gamma_multiply(0.6));
}

fn moves(ui: &mut Ui, why: &Why, t: &Tokens, out: &mut Vec<Command>) {
    let Some(moves) = &why.moves else {
        ui.label(RichText::new("…").color(t.faint));
        return;
    };
    if moves.is_empty() {
        ui.label("The same ops run on the same devices");
        return;
    }
    for m in moves.iter().take(MOVES) {
        move_line(ui, m, t, out);
    }
    if moves.len() > MOVES {
        let text = format!("and {} more moves", moves.len() - MOVES);
        ui.label(RichText::new(text).color(t.dim));
    }
    let total: Option<f64> = moves.iter().map(|m| m.latency_ms).sum();
    let text = match total {
        Some(total) => format!("In all {} per inference, estimated", signed(total)),
        None => "No estimate of the difference".to_owned(),
    };
    let color = total.map_or(t.dim, |ms| better(ms, t));
    ui.label(RichText::new(text).font(theme::small()).color(color));
}

fn better(ms: f64, t: &Tokens) -> Color32 {
    match ms {
        ms if ms < -0.0005 => t.gpu,
        ms if ms > 0.0005 => t.error,
        _ => t.dim,
    }
}

/// `+0.12 ms`, `-31 µs`.
fn signed(ms: f64) -> String {
    if ms.abs() < 0.0995 {
        format!("{:+.0} µs", ms * 1000.0 + 0.0)
    } else {
        format!("{ms:+.2} ms")
    }
}

fn move_line(ui: &mut Ui, m: &Move, t: &Tokens, out: &mut Vec<Command>) {
    let size = Vec2::new(ui.available_width(), 38.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    if !ui.is_rect_visible(rect) {
        return;
    }
    let painter = ui.painter();
    if response.hovered() || response.has_focus() {
        painter.rect_filled(rect, CornerRadius::same(4), t.hover);
    }
    let inner = rect.shrink2(Vec2::new(4.0, 3.0));
    let upper = inner.with_max_y(inner.center().y);
    let lower = inner
        .with_min_y(inner.center().y)
        .with_min_x(inner.left() + 12.0);
    let mut end = upper.right();
    if let Some(ms) = m.latency_ms {
        let galley = widgets::line(painter, &signed(ms), theme::figures(), better(ms, t), 80.0);
        end -= galley.size().x;
        painter.galley(
            Pos2::new(end, upper.center().y - galley.size().y / 2.0),
            galley,
            t.text,
        );
    }
    painter.circle_filled(
        Pos2::new(upper.left() + 4.0, upper.center().y),
        3.0,
        t.device(m.to),
    );
    let words = Rect::from_min_max(
        Pos2::new(upper.left() + 12.0, upper.top()),
        Pos2::new(end - 6.0, upper.bottom()),
    );
    let text = format!("{} to the {}", m.what, m.to);
    widgets::text_in(painter, words, &text, theme::body(), t.text, Align::Min);
    let parts: Vec<String> = [
        (m.gpu_ms, "GPU"),
        (m.dla_ms, "DLA"),
        (m.transition_ms, "transitions"),
    ]
    .into_iter()
    .filter_map(|(ms, what)| {
        Some(format!(
            "{} {what}",
            signed(ms.filter(|v| v.abs() >= 0.0005)?)
        ))
    })
    .collect();
    let parts = if parts.is_empty() && m.gpu_ms.is_none() {
        "no estimate".to_owned()
    } else {
        parts.join(", ")
    };
    widgets::text_in(painter, lower, &parts, theme::small(), t.dim, Align::Min);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, m.to_string()));
    if response.clicked() {
        out.push(Command::SelectOps(m.ops.clone()));
    }
    response.on_hover_text(format!("{}; click to select", many(m.ops.len(), "op")));
}

/// The points of the front in the scatter.
pub fn front(
    ui: &Ui,
    state: &State,
    front: &Chart,
    transform: &PlotTransform,
    several: bool,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let frame = *transform.frame();
    let painter = ui.painter().with_clip_rect(frame);
    let place =
        |share: f64, fps: f64| transform.position_from_point(&PlotPoint::new(share * 100.0, fps));
    if let Some(first) = front.points.first() {
        let line: Vec<Pos2> = front
            .pareto(first.precision)
            .iter()
            .map(|(_, share, fps)| place(*share, *fps))
            .collect();
        // Segments by themselves: joined, near points at sharp angles make wedges.
        let stroke = Stroke::new(1.5, found_color(t));
        for ends in line.windows(2) {
            painter.line_segment([ends[0], ends[1]], stroke);
        }
    }
    for (i, share, fps) in front.scatter() {
        let point = &front.points[i];
        let at = place(share, fps);
        if !frame.contains(at) {
            continue;
        }
        let hit = Rect::from_center_size(at, Vec2::splat(12.0));
        let response = ui.interact(hit, egui::Id::unique(("front", i)), Sense::click());
        let r = if response.hovered() { 5.0 } else { 3.2 };
        let color = batch_color(&state.points.chart, point, t.accent);
        let shape = point.shape(several);
        draw_mark(&painter, at, point.mark, shape, color, r, t);
        finish(response, state, usize::MAX, point, t, out);
    }
}
