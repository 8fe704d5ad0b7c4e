//! Buttons of commands.

use crate::gui::command::Command;
use crate::gui::data::looks::Pane;
use crate::gui::state::State;
use egui::{Button, Response, Ui};

pub fn command_button(
    ui: &mut Ui,
    state: &State,
    text: &str,
    command: Command,
    out: &mut Vec<Command>,
) {
    let why = state.unavailable(&command);
    let response = ui.add_enabled(why.is_none(), Button::new(text));
    let hover = hover_text(ui, &command);
    let response = response
        .on_hover_text(hover)
        .on_disabled_hover_text(why.unwrap_or_default());
    if response.clicked() {
        out.push(command);
    }
}

pub(crate) fn hover_text(ui: &Ui, command: &Command) -> String {
    let keys = command
        .shortcut()
        .map(|s| format!("   {}", ui.ctx().format_shortcut(&s)))
        .unwrap_or_default();
    let text = match command.tooltip() {
        "" => command.text(),
        tip => tip.to_owned(),
    };
    format!("{text}{keys}")
}

/// Gives a panel's first control the keyboard where F6 asks for the panel.
pub(crate) fn takes_keyboard(state: &State, pane: Pane, response: &Response) {
    if state.focus_pane == Some(pane) {
        response.request_focus();
    }
}
