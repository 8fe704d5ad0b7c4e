//! The bar at the bottom: the one-line summary, and work under way.

use egui::{ProgressBar, RichText, Role, Sense, Spinner, Ui, WidgetInfo};

use super::super::command::Command;
use super::super::state::State;
use crate::gui::data::measuring::Machine;
use crate::gui::ui::theme;
use crate::gui::ui::theme::{PAD, Tokens};

/// Jobs shorter than this are not worth a word.
const WORTH_SHOWING: std::time::Duration = std::time::Duration::from_millis(300);

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.horizontal_centered(|ui| {
        ui.add_space(PAD);
        // Work under way first: the summary gives way to it.
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.add_space(PAD);
            jobs(ui, state, &t, out);
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                line(ui, state, &t, out);
            });
        });
    });
}

fn line(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let text = summary(state);
    let judged = state.judged.as_ref();
    let refused = judged.is_some_and(|j| j.summary.refused.is_some());
    let falls = judged.is_some_and(|j| !j.summary.fallbacks.is_empty());
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
    label.on_hover_ui(|ui| {
        ui.label(&text);
        hover(ui, state, t);
    });
}

/// The run under way: stage, time left, cancel.
fn measuring(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let Some(active) = &state.measuring.active else {
        return;
    };
    // The time moves on without news.
    ui.ctx()
        .request_repaint_after(std::time::Duration::from_millis(250));
    if !active.cancelled && ui.small_button("Cancel").clicked() {
        out.push(Command::CancelProfile);
    }
    ui.add(
        ProgressBar::new(active.fraction() as f32)
            .desired_width(90.0)
            .desired_height(6.0)
            .fill(t.accent),
    );
    let text = active.text();
    let label = ui.add(egui::Label::new(RichText::new(&text).color(t.text)).sense(Sense::click()));
    label.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &text));
    if label.clicked() {
        out.push(Command::ShowRuns);
    }
    label.on_hover_ui(|ui| {
        ui.label(RichText::new(&active.name).font(theme::strong()));
        let (detail, log) = active.look(|p| (p.detail.clone(), p.log.tail(6)));
        if !detail.is_empty() {
            ui.label(detail);
        }
        for line in log {
            ui.label(
                RichText::new(line.to_string())
                    .font(theme::small())
                    .color(t.dim),
            );
        }
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
        text += "; ";
        text += &judged.estimate.fps.with_unit("FPS");
    }
    text
}

fn hover(ui: &mut Ui, state: &State, t: &Tokens) {
    let Some(judged) = &state.judged else {
        return;
    };
    let groups = &judged.fallback_groups;
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
    measuring(ui, state, t, out);
    if state.measuring.host.is_some() && state.measuring.machine == Machine::Asked {
        let text = format!("Looking for TensorRT on {}", state.measuring.place());
        ui.label(RichText::new(text).color(t.dim));
        ui.add(Spinner::new().size(12.0).color(t.accent));
    }
    if let Some(c) = state.find.confirming.as_ref().filter(|_| !state.find.open) {
        crate::gui::panels::search::confirm::confirm_progress(ui, c, t, out);
    }
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
