//! The runs table: everything measured of the model, and what is chosen of it below.

pub mod details;
pub mod table;
mod telemetry;
use egui::{CornerRadius, ScrollArea, Sense, Ui, Vec2};

use crate::gui::command::Command;
use crate::gui::panels::runs::details::{active, chosen, empty};
use crate::gui::panels::runs::table::{table, tools};
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};

/// Height that the table always has: its head and two rows.
const LEAST: f32 = 70.0;

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
    // Under a run in progress little may be left; the panel around scrolls.
    let rows = (height - below).max(LEAST);
    ui.allocate_ui(Vec2::new(ui.available_width(), rows), |ui| {
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
