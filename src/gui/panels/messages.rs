//! Cards over the window: each names the file, the place and the remedy, and stays until
//! dismissed.

use egui::{Align2, CornerRadius, Frame, Id, Margin, Order, RichText, Stroke, Ui, Vec2};

use super::super::command::Command;
use super::super::message::{Message, Severity};
use super::super::state::State;
use crate::gui::panels::controls::bottom;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::Icon;
use crate::gui::ui::{theme, widgets};

/// Most cards at a time; the rest is in the list of messages.
const MOST: usize = 3;

/// Draws the cards above the status bar, beside everything else: they cover nothing.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let cards = state.messages.cards().count();
    if cards == 0 {
        return;
    }
    let most = (ui.available_height() * 0.3).max(64.0);
    bottom(ui, "messages", most, |ui| {
        if cards > 1 {
            ui.horizontal(|ui| {
                if ui.button("Close all").clicked() {
                    out.push(Command::DismissAll);
                }
                if cards > MOST && ui.button(format!("{} more…", cards - MOST)).clicked() {
                    out.push(Command::Messages);
                }
            });
        }
        // The newest first.
        for message in state.messages.cards().rev().take(MOST) {
            card(ui, message, out);
        }
    });
}

/// One message, as a card.
pub fn card(ui: &mut Ui, message: &Message, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    let (fill, color, icon) = match message.severity {
        Severity::Error => (t.error_soft, t.error, Icon::Warning),
        Severity::Info => (t.raised, t.accent, Icon::Info),
    };
    Frame::new()
        .fill(fill)
        .stroke(Stroke::new(1.0, color.gamma_multiply(0.6)))
        .corner_radius(CornerRadius::same(7))
        .inner_margin(Margin::symmetric(12, 9))
        .show(ui, |ui| {
            ui.horizontal_top(|ui| {
                let (rect, _) = ui.allocate_exact_size(Vec2::new(18.0, 18.0), egui::Sense::hover());
                widgets::draw_icon(ui.painter(), icon, rect.center(), color);
                let width = ui.available_width() - 32.0;
                ui.vertical(|ui| {
                    ui.set_width(width);
                    ui.add(
                        egui::Label::new(
                            RichText::new(&message.title)
                                .font(theme::strong())
                                .color(t.strong),
                        )
                        .wrap(),
                    );
                    if !message.detail.is_empty() {
                        ui.add(
                            egui::Label::new(RichText::new(&message.detail).color(t.text))
                                .wrap()
                                .selectable(true),
                        );
                    }
                    if !message.remedy.is_empty() {
                        ui.add(
                            egui::Label::new(RichText::new(&message.remedy).color(t.dim)).wrap(),
                        );
                    }
                    if let Some((text, command)) = &message.action
                        && ui.button(text).clicked()
                    {
                        out.push(command.clone());
                        out.push(Command::Dismiss(message.id));
                    }
                });
                let label = format!("Dismiss {}", message.title);
                if !message.dismissed
                    && widgets::icon_button(ui, Icon::Close, &label, "", true).clicked()
                {
                    out.push(Command::Dismiss(message.id));
                }
            });
        });
}

/// Says that a dragged file may be dropped.
pub fn drop_here(ui: &Ui) {
    let t = Tokens::of(ui);
    let painter = ui
        .ctx()
        .layer_painter(egui::LayerId::new(Order::Tooltip, Id::unique("drop here")));
    let rect = ui.ctx().content_rect();
    painter.rect_filled(rect, CornerRadius::ZERO, t.base.gamma_multiply(0.8));
    let frame = rect.shrink(24.0);
    let stroke = Stroke::new(2.0, t.accent);
    painter.rect_stroke(
        frame,
        CornerRadius::same(10),
        stroke,
        egui::StrokeKind::Inside,
    );
    painter.text(
        rect.center(),
        Align2::CENTER_CENTER,
        "Drop a model (.onnx) or a placement (.json)",
        theme::large(),
        t.strong,
    );
}
