//! The search for the best placement: what is asked for, what was found, why.

pub mod confirm;
pub mod form;
pub mod proposal;
pub mod why;
use egui::{
    Align, CornerRadius, Frame, Label, Layout, Margin, RichText, Role, ScrollArea, Sense, Ui, Vec2,
    WidgetInfo,
};

use crate::figure::short;
use crate::gui::command::Command;
use crate::gui::data::search;
use crate::gui::data::search::{GoalKind, TIME_LIMIT, Why};
use crate::gui::panels::search::confirm::confirming;
use crate::gui::panels::search::form::{form, refusals};
use crate::gui::panels::search::proposal::proposal;
use crate::gui::panels::search::why::explanation;
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets::{Icon, note, section};
use crate::gui::ui::{theme, widgets};
use crate::placement::Placement;
use crate::search::{Answer, Proposal, SearchError};

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
        SearchError::NoEstimate(_) | SearchError::NoPower(_) => {
            "No estimate, so nothing can be ranked"
        }
        SearchError::Space(_)
        | SearchError::Unsolved(_)
        | SearchError::TooMuchPower { .. }
        | SearchError::TooSlow { .. }
        | SearchError::Formats(_)
        | SearchError::Range { .. } => "Nothing found",
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
    let size = Vec2::new(ui.available_width(), ui.spacing().interact_size.y);
    // The time and the button first: the text gives way to them.
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        let cancel = ui.small_button("Cancel");
        cancel.widget_info(|| WidgetInfo::labeled(Role::Button, true, Command::FindStop.text()));
        if cancel.on_hover_text(Command::FindStop.tooltip()).clicked() {
            out.push(Command::FindStop);
        }
        let time = RichText::new(format!("{elapsed:.1} s"));
        ui.label(time.font(theme::small()).color(t.dim));
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let label = ui.add(Label::new(RichText::new(&text).color(t.text)).truncate());
            label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &text));
            label.on_hover_text(&text);
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
