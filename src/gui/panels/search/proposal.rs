//! One proposal: its figures, engines and stages.

use crate::chart::elide;
use crate::figure::{Figure, short};
use crate::gui::command::Command;
use crate::gui::data::search;
use crate::gui::data::search::{Find, GoalKind};
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::{theme, widgets};
use crate::model::OpId;
use crate::placement::Device;
use crate::search::confirm::Trial;
use crate::search::{Answer, Proposal, ProposedEngine, ProposedStage};
use egui::{
    Align, Color32, CornerRadius, FontId, Painter, Pos2, Rect, Response, RichText, Role, Sense,
    Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
};

/// Height of a proposal's two lines.
pub(crate) const ROW: f32 = 40.0;
/// Height of an engine or a stage below it.
pub(crate) const PART: f32 = 22.0;
/// Space for a figure with its band.
pub(crate) const FIGURE: f32 = 104.0;

/// The engine a click on a proposal loads: the first that uses a DLA, else the first.
pub(crate) fn main_engine(p: &Proposal) -> Option<&ProposedEngine> {
    let dla = p.engines.iter().find(|e| e.summary.dla_ops > 0);
    dla.or(p.engines.first())
}

pub(crate) fn load(state: &State, p: &Proposal, engine: &ProposedEngine) -> Command {
    let name = match &p.engines[..] {
        [_] => state.find.title(p),
        _ => state.find.name(&engine.placement),
    };
    let config = Find::config_of(p, engine, state.config().dla_core);
    Command::Load(name, engine.placement.clone(), config)
}

/// A card: figures of the whole, then its engines or stages.
pub(crate) fn proposal(
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
    let sense = widgets::one_stop(ui, "proposals", id, chosen);
    let response = ui.interact(rect, id, sense);
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
    let start = figure(ui, upper, &p.fps, "FPS", t, best);
    let left = upper.with_max_x(start - 8.0);
    let painter = ui.painter();
    let ink = if best { t.strong } else { t.text };
    let font = if best { theme::strong() } else { theme::body() };
    let shown = fitting(painter, &title, font.clone(), left.width());
    widgets::text_in(painter, left, &shown, font, ink, Align::Min);
    let mut facts = facts(p);
    if state.find.form.goal == GoalKind::Energy {
        let mj = search::in_unit(&p.power.wall_mj_per_image, "mJ");
        facts = format!("{mj}, {facts}");
    }
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
pub(crate) fn trial_lines(ui: &mut Ui, trial: &Trial, t: &Tokens) {
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

pub(crate) fn part_rect(card: Rect, i: usize) -> Rect {
    let top = card.top() + ROW + PART * i as f32;
    Rect::from_min_max(
        Pos2::new(card.left() + 5.0, top),
        Pos2::new(card.right() - 5.0, top + PART),
    )
}

/// A figure and its band at the right end of a rectangle; returns where it begins.
pub(crate) fn figure(
    ui: &Ui,
    rect: Rect,
    figure: &Figure,
    unit: &str,
    t: &Tokens,
    strong: bool,
) -> f32 {
    let painter = ui.painter();
    let Some(value) = figure.value() else {
        let galley = widgets::line(painter, "no estimate", theme::small(), t.faint, FIGURE);
        let x = rect.right() - galley.size().x;
        painter.galley(
            Pos2::new(x, rect.center().y - galley.size().y / 2.0),
            galley,
            t.faint,
        );
        return x;
    };
    let band = match figure {
        Figure::Estimated(e) => format!(" {unit} {}", e.band),
        Figure::Measured(_) | Figure::None { .. } => format!(" {unit}"),
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
pub(crate) fn fitting(painter: &Painter, text: &str, font: FontId, width: f32) -> String {
    let all = widgets::line(painter, text, font, Color32::PLACEHOLDER, f32::INFINITY);
    let share = width / all.size().x.max(1.0);
    if share >= 1.0 {
        return text.to_owned();
    }
    elide(text, (text.chars().count() as f32 * share * 0.96) as usize)
}

/// GPU work, transitions and what the placement says, in a line.
pub(crate) fn facts(p: &Proposal) -> String {
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

pub(crate) fn many(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// The device an engine is told apart by, and its name: `GPU`, `DLA0`.
pub(crate) fn place_of(e: &ProposedEngine) -> (Device, String) {
    match e.summary.dla_ops {
        0 => (Device::Gpu, "GPU".to_owned()),
        _ => (Device::Dla, format!("DLA{}", e.config.dla_core)),
    }
}

/// An engine on one line: where it runs, its name as far as there is room, its FPS.
pub(crate) fn engine_text(
    ui: &Ui,
    inner: Rect,
    e: &ProposedEngine,
    name: &str,
    ink: Color32,
    t: &Tokens,
) {
    let start = figure(ui, inner, &e.fps, "FPS", t, false);
    let (device, place) = place_of(e);
    let painter = ui.painter();
    let label = inner.with_max_x(inner.left() + 44.0);
    let color = t.device(device);
    widgets::text_in(painter, label, &place, theme::small(), color, Align::Min);
    let text = Rect::from_min_max(
        Pos2::new(label.right(), inner.top()),
        Pos2::new(start - 8.0, inner.bottom()),
    );
    let shown = fitting(painter, name, theme::small(), text.width());
    widgets::text_in(painter, text, &shown, theme::small(), ink, Align::Min);
}

#[expect(
    clippy::too_many_arguments,
    reason = "all of one line's drawing context"
)]
pub(crate) fn engine_line(
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
    let sense = widgets::one_stop(ui, "proposals", id, false);
    let response = ui.interact(rect, id, sense);
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
    let (_, where_) = place_of(e);
    let name = state.find.name(&e.placement);
    engine_text(ui, inner, e, &name, t.text, t);
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

pub(crate) fn stage_line(
    ui: &Ui,
    (at, i): (usize, usize),
    s: &ProposedStage,
    rect: Rect,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let id = egui::Id::unique(("found stage", at, i));
    let sense = widgets::one_stop(ui, "proposals", id, false);
    let response = ui.interact(rect, id, sense);
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
pub(crate) fn hover(
    response: Response,
    state: &State,
    p: &Proposal,
    engine: &ProposedEngine,
    t: &Tokens,
) {
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
        let power = match &engine.power.wall_watts {
            Figure::None { reason } => format!("Power: no estimate ({reason})"),
            watts => format!(
                "Power at the wall alone: {}, {} per image",
                search::in_unit(watts, "W"),
                search::in_unit(&engine.power.wall_mj_per_image, "mJ")
            ),
        };
        ui.label(power);
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
