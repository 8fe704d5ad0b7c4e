//! The bar at the bottom: the one-line summary, and work under way.

use egui::{RichText, Role, Sense, Spinner, Ui, WidgetInfo};

use crate::figure::Figure;

use super::super::command::Command;
use super::super::state::State;
use super::super::theme::{self, PAD, Tokens};

/// Jobs shorter than this are not worth a word.
const WORTH_SHOWING: std::time::Duration = std::time::Duration::from_millis(300);

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.horizontal_centered(|ui| {
        ui.add_space(PAD);
        let text = summary(state);
        let refused = state
            .judged
            .as_ref()
            .is_some_and(|j| j.summary.refused.is_some());
        let falls = state
            .judged
            .as_ref()
            .is_some_and(|j| !j.summary.fallbacks.is_empty());
        let color = match (refused, state.fresh().is_none()) {
            (true, _) => t.error,
            (false, true) => t.dim,
            (false, false) => t.text,
        };
        let label = ui.add(
            egui::Label::new(RichText::new(&text).color(color))
                .truncate()
                .sense(Sense::click()),
        );
        label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &text));
        if falls && label.clicked() {
            out.push(Command::Filter("is:fallback".into()));
        }
        label.on_hover_ui(|ui| hover(ui, state, &t));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.add_space(PAD);
            jobs(ui, state, &t, out);
        });
    });
}

/// The one line.
pub fn summary(state: &State) -> String {
    let Some(judged) = &state.judged else {
        return match &state.open {
            Some(_) => "planning…".into(),
            None => "reading the model…".into(),
        };
    };
    let mut text = judged.summary.to_string();
    if judged.summary.refused.is_none() {
        match &judged.estimate.fps {
            Figure::None { .. } => text += "; no estimate",
            fps => {
                let figure = fps.to_string();
                // "est. 398 ±9 %" reads better with its unit after the number.
                text += "; ";
                match figure.split_once(" ±") {
                    Some((value, band)) => text.extend([value, " FPS ±", band]),
                    None => text += &figure,
                }
            }
        }
    }
    text
}

fn hover(ui: &mut Ui, state: &State, t: &Tokens) {
    let (Some(judged), Some(open)) = (&state.judged, &state.open) else {
        return;
    };
    let groups = judged.plan.fallback_groups(&open.model);
    for (why, ops) in groups.iter().take(8) {
        ui.label(format!("{} × {why}", ops.len()));
    }
    if groups.len() > 8 {
        ui.label(RichText::new(format!("and {} more reasons", groups.len() - 8)).color(t.dim));
    }
    ui.label(
        RichText::new(&**judged.estimate.fps.source())
            .font(theme::small())
            .color(t.dim),
    );
}

fn jobs(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    for job in state.jobs.running().iter().filter(|j| j.visible) {
        let age = job.started.elapsed();
        if age < WORTH_SHOWING {
            let rest = WORTH_SHOWING.saturating_sub(age);
            ui.ctx().request_repaint_after(rest);
            continue;
        }
        if ui.small_button("Cancel").clicked() {
            out.push(Command::CancelJob(job.id));
        }
        let text = format!("{}  {} s", job.title, age.as_secs());
        ui.label(RichText::new(text).color(t.dim));
        ui.add(Spinner::new().size(12.0).color(t.accent));
    }
}
