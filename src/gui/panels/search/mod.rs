//! The search for the best placement: what is asked for, what was found, why.

mod choice;
pub mod confirm;
pub mod form;
mod progress;
pub mod proposal;
pub mod why;
use egui::{Align, Frame, Label, Layout, Margin, RichText, ScrollArea, Ui};

use crate::gui::command::Command;
use crate::gui::data::search;
use crate::gui::data::search::Why;
use crate::gui::panels::search::confirm::confirming;
use crate::gui::panels::search::form::{form, refusals};
use crate::gui::panels::search::progress::{ended, progress};
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
    let title = match state.find.choice {
        Some(_) => "The best of each power mode and batch",
        None => "Proposals",
    };
    section(ui, title, t);
    if state.find.searching() {
        progress(ui, state, t, out);
    }
    if let Some(choice) = &state.find.choice {
        if state.find.confirming.is_some() {
            confirming(ui, state, t, out);
        }
        choice::outcome(ui, state, choice, t, out);
        return;
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
    let how = format!("How: {}", answer.method);
    ended(ui, &text, answer.elapsed, answer.stopped, &how, t, out);
}
