//! How far a search is, and how it ended.

use std::time::Duration;

use egui::{Align, CornerRadius, Label, Layout, RichText, Role, Sense, Ui, Vec2, WidgetInfo};

use crate::figure::short;
use crate::gui::command::Command;
use crate::gui::data::search::TIME_LIMIT;
use crate::gui::state::State;
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;

/// What is searched now, and the button that ends it.
pub(crate) fn progress(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let at = state.find.choice.as_ref().and_then(|c| c.at.as_ref());
    let p = at.map(|at| at.progress).or(state.find.progress);
    let stage = p.map_or("searching", |p| p.stage);
    let mut text = stage.to_owned();
    // A choice of mode and batch runs searches of other goals too, whose units differ.
    if let Some(best) = p.and_then(|p| p.best).filter(|_| at.is_none()) {
        let unit = state.find.form.goal.unit();
        text.extend([", best so far ", &short(best), " ", unit]);
        if let Some(bound) = p.and_then(|p| p.bound) {
            text.extend([", none below ", &short(bound)]);
        }
    }
    let (elapsed, share) = if let Some(at) = at {
        text = format!("{}, batch {}: {text}", at.mode, at.batch);
        (at.elapsed, at.done as f64 / at.of.max(1) as f64)
    } else {
        let elapsed = p.map_or(Duration::ZERO, |p| p.elapsed);
        (elapsed, elapsed.div_duration_f64(TIME_LIMIT))
    };
    let elapsed = elapsed.as_secs_f64();
    let size = Vec2::new(ui.available_width(), ui.spacing().interact_size.y);
    // The time and the button first: the text gives way to them.
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        let cancel = ui.small_button("Cancel");
        cancel.widget_info(|| WidgetInfo::labeled(Role::Button, true, Command::FindStop.text()));
        if cancel.on_hover_text(Command::FindStop.tooltip()).clicked() {
            out.push(Command::FindStop);
        }
        let count = at.map_or_else(String::new, |at| format!("{} of {}, ", at.done + 1, at.of));
        let time = RichText::new(format!("{count}{elapsed:.1} s"));
        ui.label(time.font(theme::small()).color(t.dim));
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let label = Label::new(RichText::new(&text).color(t.text)).truncate();
            let label = ui.add(label.show_tooltip_when_elided(false));
            label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &text));
            label.on_hover_text(&text);
        });
    });
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 3.0), Sense::hover());
    let share = share.clamp(0.0, 1.0) as f32;
    let painter = ui.painter();
    painter.rect_filled(rect, CornerRadius::same(1), t.line);
    let done = rect.with_max_x(rect.left() + rect.width() * share);
    painter.rect_filled(done, CornerRadius::same(1), t.accent);
    ui.add_space(3.0);
}

/// What a search that is over came to, how long it took, and another try where it was stopped.
pub(crate) fn ended(
    ui: &mut Ui,
    text: &str,
    elapsed: Duration,
    stopped: bool,
    hover: &str,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let early = if stopped { "stopped early, " } else { "" };
    let ms = elapsed.as_secs_f64() * 1e3;
    let took = if ms < 1000.0 {
        format!("{early}{ms:.0} ms")
    } else {
        format!("{early}{:.1} s", ms / 1e3)
    };
    ui.horizontal_wrapped(|ui| {
        let all = format!("{text} ({took})");
        let label =
            ui.add(Label::new(RichText::new(&all).font(theme::small()).color(t.dim)).wrap());
        label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &all));
        label.on_hover_text(hover);
        if stopped && ui.small_button(Command::FindAgain.text()).clicked() {
            out.push(Command::FindAgain);
        }
    });
}
