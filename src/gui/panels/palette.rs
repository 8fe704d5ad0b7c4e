//! The command palette: every command, found by typing.

use egui::{
    Align2, Area, CornerRadius, Frame, Id, Key, Modifiers, Order, RichText, Role, ScrollArea,
    Sense, TextEdit, Ui, Vec2, WidgetInfo,
};

use super::super::command::Command;
use super::super::state::State;
use crate::gui::data::looks::Palette;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::{theme, widgets};

/// From the top of the window.
const TOP: f32 = 70.0;
/// Height of a command, and of the list where there is room.
const ROW: f32 = 26.0;
const LIST: f32 = 14.0 * ROW;
/// Between a name and what follows it.
const GAP: f32 = 16.0;

/// Draws the palette, if it is open.
pub fn show(ui: &mut Ui, state: &mut State, out: &mut Vec<Command>) {
    let Some(mut palette) = state.palette.take() else {
        return;
    };
    let commands: Vec<Command> = state
        .listed()
        .into_iter()
        .filter(|c| matches(&state.label(c), &palette.query))
        .collect();
    let mut close = false;
    let last = commands.len().saturating_sub(1);
    let (down, up) = ui.input_mut(|i| {
        close |= i.consume_key(Modifiers::NONE, Key::Escape);
        let mut presses = |key| i.count_and_consume_key(Modifiers::NONE, key);
        (presses(Key::ArrowDown), presses(Key::ArrowUp))
    });
    let moved = down + up > 0;
    palette.chosen = (palette.chosen + down).saturating_sub(up).min(last);
    let enter = ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Enter));
    let area = Area::new(Id::unique("palette"))
        .order(Order::Foreground)
        .anchor(Align2::CENTER_TOP, Vec2::new(0.0, TOP))
        .show(ui.ctx(), |ui| {
            Frame::popup(ui.style()).show(ui, |ui| {
                ui.set_width(520.0_f32.min(ui.ctx().content_rect().width() - 24.0));
                draw(ui, state, &mut palette, &commands, moved, out, &mut close);
            });
        });
    if enter
        && let Some(command) = commands.get(palette.chosen)
        && state.unavailable(command).is_none()
    {
        out.push(command.clone());
        close = true;
    }
    let outside = ui.input(|i| i.pointer.any_pressed())
        && ui
            .input(|i| i.pointer.interact_pos())
            .is_some_and(|p| !area.response.rect.contains(p));
    if !close && !outside {
        state.palette = Some(palette);
    }
}

fn draw(
    ui: &mut Ui,
    state: &State,
    palette: &mut Palette,
    commands: &[Command],
    moved: bool,
    out: &mut Vec<Command>,
    close: &mut bool,
) {
    let t = Tokens::of(ui);
    let before = palette.query.clone();
    let edit = ui.add(
        TextEdit::singleline(&mut palette.query)
            .desired_width(f32::INFINITY)
            .margin(egui::Margin::symmetric(8, 6))
            .hint_text("Type a command"),
    );
    edit.widget_info(|| {
        let mut info = WidgetInfo::text_edit(true, &before, &palette.query, "");
        info.label = Some("Command".into());
        info
    });
    edit.request_focus();
    if before != palette.query {
        palette.chosen = 0;
    }
    ui.add_space(4.0);
    // Its own height: what the window had room for in the frame before is of a shorter list.
    let rows = ((ui.ctx().content_rect().height() - TOP - 90.0) / ROW).floor();
    let room = rows.max(1.0) * ROW;
    let height = (commands.len().max(1) as f32 * ROW).min(LIST.min(room));
    let mut elided = None;
    let list = ScrollArea::vertical()
        .max_height(height)
        .min_scrolled_height(height);
    let list = list.show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (i, command) in commands.iter().enumerate() {
            let why = state.unavailable(command);
            let (rect, response) =
                ui.allocate_exact_size(Vec2::new(ui.available_width(), ROW), Sense::click());
            let chosen = i == palette.chosen;
            if chosen || response.hovered() {
                let fill = if chosen { t.selected } else { t.hover };
                ui.painter().rect_filled(rect, CornerRadius::same(4), fill);
            }
            if chosen && (moved || before != palette.query) {
                ui.scroll_to_rect(rect, None);
            }
            let inner = rect.shrink2(Vec2::new(9.0, 0.0));
            let color = if why.is_some() { t.faint } else { t.text };
            let text = state.label(command);
            let right = match (&why, command.shortcut()) {
                (Some(why), _) => why.clone(),
                (None, Some(keys)) => ui.ctx().format_shortcut(&keys),
                (None, None) => String::new(),
            };
            let small = theme::small();
            let note = widgets::line(ui.painter(), &right, small, t.faint, f32::INFINITY);
            let note = note.size().x;
            // A name keeps most of the line, and what follows it the rest.
            let name = inner.with_max_x(inner.right() - GAP - note.min(inner.width() * 0.4));
            let end = widgets::text_in(
                ui.painter(),
                name,
                &text,
                theme::body(),
                color,
                egui::Align::Min,
            );
            widgets::text_in(
                ui.painter(),
                inner.with_min_x((end + GAP).min(inner.right())),
                &right,
                theme::small(),
                t.faint,
                egui::Align::Max,
            );
            response.widget_info(|| WidgetInfo::labeled(Role::MenuItem, why.is_none(), &text));
            if response.clicked() && why.is_none() {
                out.push(command.clone());
                *close = true;
            }
            if let Some(why) = why
                && end + GAP + note > inner.right()
            {
                if chosen {
                    elided = Some(why.clone());
                }
                response.on_hover_text(why);
            }
        }
        if commands.is_empty() {
            ui.label(RichText::new("No such command").color(t.dim));
        }
    });
    // Whoever has no pointer reads the whole of it too.
    if let Some(why) = elided {
        ui.add_space(4.0);
        let why = RichText::new(why).font(theme::small()).color(t.dim);
        ui.add(egui::Label::new(why).wrap());
    }
    let list = ui.interact(list.inner_rect, Id::unique("commands"), Sense::hover());
    list.widget_info(|| WidgetInfo::labeled(Role::ListBox, true, "Commands"));
}

/// Every word of the query is somewhere in the text.
fn matches(text: &str, query: &str) -> bool {
    let text = text.to_lowercase();
    query
        .to_lowercase()
        .split_whitespace()
        .all(|word| text.contains(word))
}
