//! Measuring the proposals.

use crate::gui::command::Command;
use crate::gui::data::confirming::Confirming;
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use egui::{Align, Button, Label, Layout, RichText, Role, Ui, Vec2, WidgetInfo};

/// The button that measures, or how far it is; nothing on a machine that cannot measure.
pub(crate) fn confirming(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
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
    let why = state.unavailable(&command);
    let response = ui.add_enabled(why.is_none(), Button::new(command.text()));
    let response = response
        .on_hover_text(state.confirm_hint())
        .on_disabled_hover_text(why.unwrap_or_default());
    if response.clicked() {
        out.push(command);
    }
}

/// What is being measured of the proposals.
pub(crate) fn confirm_label(ui: &mut Ui, c: &Confirming, t: &Tokens) {
    let text = format!("Measuring {}", c.text());
    let label = Label::new(RichText::new(&text).color(t.text)).truncate();
    let label = ui.add(label.show_tooltip_when_elided(false));
    label.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &text));
    label.on_hover_text(&text);
}

pub(crate) fn confirm_cancel(ui: &mut Ui, c: &Confirming, out: &mut Vec<Command>) {
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

pub(crate) fn confirm_bar(ui: &mut Ui, c: &Confirming, width: f32, t: &Tokens) {
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
