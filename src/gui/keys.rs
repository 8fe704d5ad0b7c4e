//! The keyboard: shortcuts of commands, and moving in the tree.

use egui::{Context, CornerRadius, Event, Key, KeyboardShortcut, Modifiers, Stroke, StrokeKind};

use super::command::{Command, Pick, Step};
use super::panels::tree;
use super::state::State;
use crate::gui::command::Act;
use crate::gui::data::looks::Pane;
use crate::gui::data::tour::Turn;
use crate::gui::ui::theme::{DARK, LIGHT};
use crate::placement::Device;

/// Commands whose shortcut is a key without modifiers that a text field, a menu or a button wants
/// for itself.
const PLAIN: [Command; 5] = [
    Command::Assign(Device::Gpu),
    Command::Assign(Device::Dla),
    Command::Inherit,
    Command::CycleSelection,
    Command::Escape,
];

/// Commands with a shortcut that works everywhere, longer chords first: a shorter one would swallow
/// them.
fn everywhere(state: &State) -> Vec<(KeyboardShortcut, Command)> {
    let all = state.listed().into_iter().chain([Command::Palette]);
    let mut chords: Vec<_> = all
        .filter(|c| !PLAIN.contains(c))
        .filter_map(|c| Some((c.shortcut()?, c)))
        .collect();
    chords.sort_by_key(|(keys, _)| !keys.modifiers.shift);
    chords
}

fn pane_id(pane: Pane) -> egui::Id {
    egui::Id::unique("pane").with(Pane::ALL.iter().position(|p| *p == pane))
}

/// Notes where a panel is drawn, so that it is known which one has the keyboard.
pub fn note_pane(ctx: &Context, pane: Pane, rect: egui::Rect) {
    let pass = ctx.cumulative_pass_nr();
    ctx.data_mut(|d| d.insert_temp(pane_id(pane), (pass, rect)));
}

/// The panel that has the keyboard: it was drawn in the pass before, around what is focused.
fn pane_with_focus(ctx: &Context) -> Option<Pane> {
    let id = ctx.memory(egui::Memory::focused)?;
    let at = ctx.read_response(id)?.rect.center();
    let pass = ctx.cumulative_pass_nr();
    let here = |pane: &Pane| {
        let noted = ctx.data(|d| d.get_temp::<(u64, egui::Rect)>(pane_id(*pane)));
        noted.is_some_and(|(drawn, rect)| drawn + 1 >= pass && rect.contains(at))
    };
    Pane::ALL.iter().copied().find(here)
}

/// The panel after the one that has the keyboard, or before it; the tree where none has.
fn next_pane(ctx: &Context, state: &State, back: bool) -> Pane {
    let side = state.find.open || state.beside.is_some();
    let there: Vec<Pane> = Pane::ALL
        .iter()
        .copied()
        .filter(|p| side || *p != Pane::Side)
        .collect();
    let now = pane_with_focus(ctx).and_then(|p| there.iter().position(|t| *t == p));
    let Some(now) = now else { return Pane::Tree };
    let step = if back { there.len() - 1 } else { 1 };
    there
        .get((now + step) % there.len())
        .copied()
        .unwrap_or_default()
}

fn pressed_key(event: &Event) -> Option<Key> {
    match event {
        Event::Key {
            key, pressed: true, ..
        } => Some(*key),
        _ => None,
    }
}

/// Reads the keys of a frame.
pub fn read(ctx: &Context, state: &State, out: &mut Vec<Command>) {
    let typing = ctx.text_edit_focused();
    let covered = state.dialog.is_some() || state.palette.is_some();
    let menu = egui::Popup::is_any_open(ctx);
    let focused = ctx.memory(egui::Memory::focused);
    // egui has let go already when Escape arrives.
    let before = ctx
        .data(|d| d.get_temp::<Option<egui::Id>>(before_id()))
        .flatten();
    let row = tree::focused(ctx).filter(|f| focused == Some(f.id));
    // Nothing else has the keyboard that takes Space and arrows for itself.
    let free = focused.is_none() || row.is_some();
    let mut moved = false;
    // Shift first: without it, the key alone would be taken for both.
    for (modifiers, back) in [(Modifiers::SHIFT, true), (Modifiers::NONE, false)] {
        if !covered && ctx.input_mut(|i| i.consume_key(modifiers, Key::F6)) {
            out.push(Command::FocusPane(next_pane(ctx, state, back)));
        }
    }
    // The bar at the top is one stop of Tab: the arrows go from control to control. A number that is
    // typed takes the arrows for itself, so Tab goes on from there.
    for (modifiers, back) in [(Modifiers::SHIFT, true), (Modifiers::NONE, false)] {
        if !covered
            && !menu
            && !typing
            && pane_with_focus(ctx) == Some(Pane::Top)
            && ctx.input_mut(|i| i.consume_key(modifiers, Key::Tab))
        {
            ctx.memory_mut(|m| m.move_focus(egui::FocusDirection::None));
            out.push(Command::FocusPane(next_pane(ctx, state, back)));
        }
    }
    let marked = ctx
        .plugin::<egui::text_selection::LabelSelectionState>()
        .lock()
        .has_selection();
    let copy = ctx.input(|i| i.events.contains(&Event::Copy));
    if copy && !covered && !typing && !menu && !marked {
        let runs = state.runs.shown && !state.runs.chosen.is_empty() && row.is_none();
        if runs {
            out.push(Command::Runs(Act::Copy));
        } else {
            if let Some(row) = row.filter(|r| !state.selection.nodes.contains(&r.node)) {
                out.push(Command::Select(row.node, Pick::Only));
            }
            out.push(Command::CopyRows);
        }
    }
    ctx.input_mut(|i| {
        let pressed = i.events.iter().any(|e| pressed_key(e).is_some());
        let chords = if pressed {
            everywhere(state)
        } else {
            Vec::new()
        };
        // A slow frame brings several keys; they are done as they were pressed.
        let keys: Vec<Key> = i.events.iter().filter_map(pressed_key).collect();
        let order = |key: Key| keys.iter().position(|k| *k == key);
        let mut done = Vec::new();
        for (keys, command) in chords {
            // In a text field, undo, redo and the selection are the field's own.
            let own = match command {
                Command::Undo | Command::Redo => typing,
                Command::SelectAll => typing || menu,
                _ => false,
            };
            let allowed = !covered || command == Command::Palette || command == Command::Quit;
            if !own && allowed && i.consume_shortcut(&keys) {
                done.push((order(keys.logical_key), command));
            }
        }
        done.sort_by_key(|(order, _)| *order);
        out.extend(done.into_iter().map(|(_, command)| command));
        if covered {
            return;
        }
        // A menu's keys are its own.
        if typing || menu {
            return;
        }
        if let Some(leave) = leaves(state)
            && before != Some(tree::filter_id())
            && i.consume_key(Modifiers::NONE, Key::Escape)
        {
            out.push(leave);
            return;
        }
        if let Some(before) = before
            && i.consume_key(Modifiers::NONE, Key::Escape)
        {
            if before == tree::filter_id() && !state.filter.is_empty() {
                out.push(Command::Filter(String::new()));
            }
            return;
        }
        if i.consume_shortcut(&KeyboardShortcut::new(
            Modifiers::COMMAND.plus(Modifiers::SHIFT),
            Key::Z,
        )) {
            out.push(Command::Redo);
        }
        if state.runs.shown
            && !state.runs.chosen.is_empty()
            && i.consume_key(Modifiers::NONE, Key::Delete)
        {
            out.push(Command::Runs(Act::Delete));
        }
        // The row with the keyboard is meant, unless it is one of those selected.
        let select = |out: &mut Vec<Command>| {
            if let Some(row) = row
                && !state.selection.nodes.contains(&row.node)
            {
                out.push(Command::Select(row.node, Pick::Only));
            }
        };
        for command in PLAIN {
            let letter = !matches!(command, Command::CycleSelection | Command::Escape);
            if (letter || free)
                && let Some(keys) = command.shortcut()
                && i.consume_shortcut(&keys)
            {
                if command != Command::Escape {
                    select(out);
                }
                out.push(command);
            }
        }
        if !free {
            return;
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
                    if let Some(row) = row
                        && state.selection.cursor != Some(row.node)
                    {
                        out.push(Command::Select(row.node, Pick::Only));
                    }
                    out.push(Command::Move(step, extend));
                    moved = true;
                }
            }
        }
    });
    if moved && row.is_some() {
        tree::focus_cursor(ctx);
    }
}

/// What Escape leaves before anything else: the tour, then the full-screen chart.
fn leaves(state: &State) -> Option<Command> {
    if state.tour.is_some() {
        return Some(Command::Tour(Turn::Leave));
    }
    state.full_chart.then_some(Command::FullChart)
}

/// Where a panel was drawn in this pass.
pub fn pane_rect(ctx: &Context, pane: Pane) -> Option<egui::Rect> {
    let noted = ctx.data(|d| d.get_temp::<(u64, egui::Rect)>(pane_id(pane)));
    noted
        .filter(|(drawn, _)| *drawn == ctx.cumulative_pass_nr())
        .map(|(_, rect)| rect)
}

fn before_id() -> egui::Id {
    egui::Id::unique("focus before")
}

/// Notes at the end of a frame what has the keyboard, and draws a ring around it. A click gives
/// the keyboard to text fields only, so the ring is seen by those who use the keyboard.
pub fn show_focus(ctx: &Context) {
    let focused = ctx.memory(egui::Memory::focused);
    ctx.data_mut(|d| d.insert_temp(before_id(), focused));
    if ctx.text_edit_focused() {
        return;
    }
    let Some(response) = focused.and_then(|id| ctx.read_response(id)) else {
        return;
    };
    let t = if ctx.style_of(ctx.theme()).visuals.dark_mode {
        DARK
    } else {
        LIGHT
    };
    let rect = response.interact_rect;
    let radius = (rect.height() / 2.0).min(5.0) as u8;
    ctx.layer_painter(response.layer_id).rect_stroke(
        rect,
        CornerRadius::same(radius),
        Stroke::new(2.0, t.accent),
        StrokeKind::Inside,
    );
}
