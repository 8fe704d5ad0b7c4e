//! The guided tour: its text under everything else, and a light on what it points at.

use egui::{
    Align, Button, CornerRadius, Id, Label, LayerId, Layout, Order, Rect, RichText, Role, Stroke,
    StrokeKind, Ui, WidgetInfo,
};

use crate::gui::actions::tour::STEPS;
use crate::gui::command::Command;
use crate::gui::data::tour::Turn;
use crate::gui::panels::controls::{bottom, hover_text, primary};
use crate::gui::state::State;
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;

/// Height of the panel below which its text may have to scroll.
const LOW: f32 = 140.0;

/// The longest line that is easy to read.
const LINE: f32 = 760.0;

/// Draws the step on screen beside everything else: it covers nothing. Returns where it is.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) -> Option<Rect> {
    let (at, step) = state.step_of_tour()?;
    let t = Tokens::of(ui);
    let most = (ui.available_height() * 0.45).max(80.0);
    let panel = bottom(ui, "tour", most, |ui| {
        ui.horizontal_wrapped(|ui| {
            let title = RichText::new(step.title)
                .font(theme::strong())
                .color(t.strong);
            let heading = ui.label(title);
            heading.widget_info(|| WidgetInfo::labeled(Role::Heading, true, step.title));
            let number = format!("{} of {}", at + 1, STEPS.len());
            ui.label(RichText::new(number).font(theme::small()).color(t.faint));
        });
        // Where the text must scroll, the way on does not.
        let low = most < LOW;
        if low {
            turns(ui, at, out);
        }
        ui.scope(|ui| {
            ui.set_max_width(ui.available_width().min(LINE));
            ui.add(Label::new(RichText::new(step.text).color(t.text)).wrap());
        });
        let facts = state.facts_of_tour(step.facts);
        if !facts.is_empty() {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = 18.0;
                for (text, source) in facts {
                    let text = RichText::new(text).font(theme::figures()).color(t.dim);
                    ui.label(text).on_hover_text(source);
                }
            });
        }
        if !low {
            ui.add_space(2.0);
            turns(ui, at, out);
        }
    });
    Some(panel)
}

/// The ways on, back and out.
fn turns(ui: &mut Ui, at: usize, out: &mut Vec<Command>) {
    let size = egui::Vec2::new(ui.available_width(), ui.spacing().interact_size.y);
    let layout = Layout::left_to_right(Align::Center);
    ui.allocate_ui_with_layout(size, layout, |ui| {
        let last = at + 1 == STEPS.len();
        let next = ui.add(primary(ui, if last { "Finish" } else { "Next" }));
        let forward = Command::Tour(Turn::Next);
        if focused_anew(ui, at) {
            next.request_focus();
        }
        if next.on_hover_text(hover_text(ui, &forward)).clicked() {
            out.push(forward);
        }
        let back = Command::Tour(Turn::Back);
        let response = ui.add_enabled(at > 0, Button::new("Back"));
        if response.on_hover_text(hover_text(ui, &back)).clicked() {
            out.push(back);
        }
        let leave = ui.button("Leave");
        if leave
            .on_hover_text("Escape; your own work is put back")
            .clicked()
        {
            out.push(Command::Tour(Turn::Leave));
        }
    });
}

/// Whether a step is new on screen, so that its button takes the keyboard once.
fn focused_anew(ui: &Ui, at: usize) -> bool {
    let id = Id::unique("tour step seen");
    let pass = ui.ctx().cumulative_pass_nr();
    let seen = ui.data(|d| d.get_temp::<(usize, u64)>(id));
    ui.data_mut(|d| d.insert_temp(id, (at, pass)));
    seen.is_none_or(|(step, drawn)| step != at || drawn + 2 < pass)
}

/// Darkens all of `whole` but `aim`, which the step points at and which gets a frame.
pub fn light(ui: &Ui, aim: Rect, whole: Rect) {
    let t = Tokens::of(ui);
    let layer = LayerId::new(Order::Middle, Id::unique("tour light"));
    let painter = ui.ctx().layer_painter(layer);
    let shade = t.base.gamma_multiply(if t.dark { 0.55 } else { 0.45 });
    let aim = aim.intersect(whole);
    let (above, rest) = whole.split_top_bottom_at_y(aim.top());
    let (beside, below) = rest.split_top_bottom_at_y(aim.bottom());
    let (left, rest) = beside.split_left_right_at_x(aim.left());
    let (_, right) = rest.split_left_right_at_x(aim.right());
    for part in [above, below, left, right] {
        if part.is_positive() {
            painter.rect_filled(part, CornerRadius::ZERO, shade);
        }
    }
    let stroke = Stroke::new(2.0, t.accent);
    painter.rect_stroke(aim, CornerRadius::same(4), stroke, StrokeKind::Inside);
}
