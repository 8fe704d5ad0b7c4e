//! The keyboard: shortcuts of commands, and moving in the tree.

use egui::{Context, Key, Modifiers};

use crate::placement::Device;

use super::command::{Command, Step};
use super::runs::Act;
use super::state::State;
use crate::export::Format;

/// Commands whose shortcut is a plain key: not while a text field has the keyboard.
fn plain() -> [Command; 5] {
    [
        Command::CycleSelection,
        Command::Assign(Device::Gpu),
        Command::Assign(Device::Dla),
        Command::Inherit,
        Command::Escape,
    ]
}

/// Commands whose shortcut works everywhere.
fn everywhere() -> Vec<Command> {
    let mut all = vec![
        // Longer chords first: a shorter one would swallow them.
        Command::OpenPlacement,
        Command::ShowRuns,
        Command::ExpandAll,
        Command::CollapseAll,
        Command::OpenModel,
        Command::Undo,
        Command::Redo,
        Command::FocusFilter,
        Command::Keep,
        Command::FindBest,
        Command::Profile,
        Command::Palette,
        Command::ToggleInspector,
        Command::Shortcuts,
        Command::Quit,
    ];
    all.extend(Format::ALL.map(Command::Export));
    all
}

/// Reads the keys of a frame.
pub fn read(ctx: &Context, state: &State, out: &mut Vec<Command>) {
    let typing = ctx.text_edit_focused();
    let covered = state.dialog.is_some() || state.palette.is_some();
    let filtering = ctx.memory(|m| m.has_focus(super::panels::tree::filter_id()));
    let elsewhere =
        !typing && (ctx.memory(|m| m.focused().is_some()) || egui::Popup::is_any_open(ctx));
    ctx.input_mut(|i| {
        for command in everywhere() {
            let Some(keys) = command.shortcut() else {
                continue;
            };
            // In a text field, undo and redo are the field's own.
            let own = typing && matches!(command, Command::Undo | Command::Redo);
            let allowed = !covered || command == Command::Palette || command == Command::Quit;
            if !own && allowed && i.consume_shortcut(&keys) {
                out.push(command);
            }
        }
        if covered {
            return;
        }
        if typing {
            if filtering && i.key_pressed(Key::Escape) {
                out.push(Command::Filter(String::new()));
            }
            return;
        }
        // Another control has the keyboard, or a menu is open: its keys are its own.
        if elsewhere {
            return;
        }
        if i.consume_shortcut(&egui::KeyboardShortcut::new(
            Modifiers::COMMAND.plus(Modifiers::SHIFT),
            Key::Z,
        )) {
            out.push(Command::Redo);
        }
        if let Some(keys) = Command::SelectAll.shortcut()
            && i.consume_shortcut(&keys)
        {
            out.push(Command::SelectAll);
        }
        if state.runs.shown
            && !state.runs.chosen.is_empty()
            && i.consume_key(Modifiers::NONE, Key::Delete)
        {
            out.push(Command::Runs(Act::Delete));
        }
        for command in plain() {
            if let Some(keys) = command.shortcut()
                && i.consume_shortcut(&keys)
            {
                out.push(command);
            }
        }
        for (key, step) in [
            (Key::ArrowUp, Step::Up),
            (Key::ArrowDown, Step::Down),
            (Key::PageUp, Step::PageUp),
            (Key::PageDown, Step::PageDown),
            (Key::Home, Step::Home),
            (Key::End, Step::End),
            (Key::ArrowLeft, Step::Left),
            (Key::ArrowRight, Step::Right),
        ] {
            for (modifiers, extend) in [(Modifiers::SHIFT, true), (Modifiers::NONE, false)] {
                if i.consume_key(modifiers, key) {
                    out.push(Command::Move(step, extend));
                }
            }
        }
    });
}
