//! Buttons of commands, and what several panels are made of.

use crate::gui::command::Command;
use crate::gui::data::looks::Pane;
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets::{self, Icon};
use egui::{
    Align, Button, EventFilter, Frame, Id, Key, Layout, Margin, Modifiers, Panel, Rect, Response,
    RichText, Role, ScrollArea, Sense, Ui, Vec2, WidgetInfo,
};

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

/// The button that Enter means.
pub(crate) fn primary<'a>(ui: &Ui, text: &'a str) -> Button<'a> {
    let t = Tokens::of(ui);
    Button::new(RichText::new(text).color(if t.dark { t.base } else { t.panel })).fill(t.accent)
}

/// A panel along the bottom, as high as its content, which scrolls beyond `most`. Returns where it
/// is.
pub(crate) fn bottom(
    ui: &mut Ui,
    name: &'static str,
    most: f32,
    content: impl FnOnce(&mut Ui),
) -> Rect {
    let t = Tokens::of(ui);
    // As high as its content was when it was last drawn.
    let id = Id::unique("bottom height").with(name);
    let needed = ui.data(|d| d.get_temp::<f32>(id)).unwrap_or(most);
    let margin = 6;
    let shown = Panel::bottom(name)
        .exact_size(needed.min(most) + 2.0 * f32::from(margin))
        .frame(
            Frame::new()
                .fill(t.panel)
                .inner_margin(Margin::symmetric(8, margin)),
        )
        .show(ui, |ui| {
            let area = ScrollArea::vertical().auto_shrink([false, false]);
            area.show(ui, content).content_size.y
        });
    if (shown.inner - needed).abs() > 0.5 {
        ui.data_mut(|d| d.insert_temp(id, shown.inner));
        ui.ctx().request_repaint();
    }
    shown.response.rect
}

/// A panel on the right with a heading and a way to close it; what is in it scrolls.
pub(crate) fn side(
    ui: &mut Ui,
    state: &State,
    title: &str,
    close: Command,
    out: &mut Vec<Command>,
    content: impl FnOnce(&mut Ui, &mut Vec<Command>),
) {
    scrolled(ui, state, title, |ui| {
        ui.horizontal(|ui| {
            widgets::heading(ui, title);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let label = format!("Close {title}");
                if widgets::icon_button(ui, Icon::Close, &label, "", true).clicked() {
                    out.push(close);
                }
            });
        });
        content(ui, out);
    });
}

/// A panel on the right as a region: the keyboard reaches it as a whole, and scrolls it as a text.
pub(crate) fn scrolled(ui: &mut Ui, state: &State, title: &str, content: impl FnOnce(&mut Ui)) {
    let id = Id::unique(("side panel", title));
    let region = ui.interact(ui.max_rect(), id, Sense::focusable_noninteractive());
    region.widget_info(|| WidgetInfo::labeled(Role::Pane, true, title));
    takes_keyboard(state, Pane::Side, &region);
    let by = scroll_keys(ui, &region);
    ScrollArea::vertical()
        .id_salt(title)
        .auto_shrink([false, false])
        .show(ui, |ui| {
            ui.scroll_with_delta(Vec2::new(0.0, -by));
            Frame::new()
                .inner_margin(Margin::symmetric(PAD as i8 + 2, 8))
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    content(ui);
                });
        });
}

/// How far the keys of a frame scroll a region that has the keyboard, in points.
fn scroll_keys(ui: &Ui, region: &Response) -> f32 {
    if !region.has_focus() {
        return 0.0;
    }
    let filter = EventFilter {
        vertical_arrows: true,
        ..EventFilter::default()
    };
    ui.memory_mut(|m| m.set_focus_lock_filter(region.id, filter));
    let page = region.rect.height() * 0.8;
    let steps = [
        (Key::ArrowDown, 30.0),
        (Key::ArrowUp, -30.0),
        (Key::PageDown, page),
        (Key::PageUp, -page),
    ];
    ui.input_mut(|i| {
        steps
            .into_iter()
            .filter(|(key, _)| i.consume_key(Modifiers::NONE, *key))
            .map(|(_, by)| by)
            .sum()
    })
}
