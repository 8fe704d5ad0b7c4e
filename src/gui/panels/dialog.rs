//! Dialogs inside the window.

use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{Id, Key, Modal, RichText, ScrollArea, TextEdit, Ui, WidgetInfo};

use super::super::command::Command;
use super::super::state::State;
use crate::engine::remote::ssh::Host;
use crate::gui::dialog::{Dialog, Purpose};
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;
use crate::model::ModelSource;

/// Draws the dialog, if one is open. Its fields are typed into directly; everything it decides
/// goes out as commands.
pub fn show(ui: &mut Ui, state: &mut State, out: &mut Vec<Command>) {
    let Some(mut dialog) = state.dialog.take() else {
        return;
    };
    let response = Modal::new(Id::unique("dialog"))
        .frame(egui::Frame::window(ui.style()))
        .show(ui.ctx(), |ui| match &mut dialog {
            Dialog::Path {
                purpose,
                text,
                note,
            } => path(ui, purpose, text, note, out),
            Dialog::Inputs { path, fields } => inputs(ui, path, fields, out),
            Dialog::Keep { name } => {
                if let Some(name) = name_field(ui, "Keep placement", "Keep", name, out) {
                    out.extend([Command::CloseDialog, Command::KeepAs(name)]);
                }
            }
            Dialog::Rename { id, name } => {
                if let Some(name) = name_field(ui, "Rename", "Rename", name, out) {
                    out.extend([Command::CloseDialog, Command::RenameKept(*id, name)]);
                }
            }
            Dialog::MeasureOn { text } => measure_on(ui, text, out),
            Dialog::Messages => messages(ui, state, out),
            Dialog::Shortcuts => shortcuts(ui, state, out),
            Dialog::About => about(ui, state, out),
        });
    if response.should_close() {
        out.push(Command::CloseDialog);
    }
    // A command of this frame may have opened another one already.
    if state.dialog.is_none() {
        state.dialog = Some(dialog);
    }
}

fn title(ui: &mut Ui, text: &str) {
    ui.heading(text);
    ui.add_space(6.0);
}

fn buttons(ui: &mut Ui, ok: &str, enabled: bool, out: &mut Vec<Command>) -> bool {
    ui.add_space(10.0);
    let mut done = false;
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        let enter = ui.input(|i| i.key_pressed(Key::Enter));
        let clicked = ui.add_enabled(enabled, primary(ui, ok)).clicked();
        done = enabled && (clicked || enter);
        if ui.button("Cancel").clicked() {
            out.push(Command::CloseDialog);
        }
    });
    done
}

fn primary<'a>(ui: &Ui, text: &'a str) -> egui::Button<'a> {
    let t = Tokens::of(ui);
    egui::Button::new(RichText::new(text).color(if t.dark { t.base } else { t.panel }))
        .fill(t.accent)
}

fn focus_first(ui: &Ui, response: &egui::Response) -> bool {
    let id = Id::unique("dialog focused").with(response.id);
    let seen = ui.ctx().cumulative_pass_nr();
    let last = ui.data(|d| d.get_temp::<u64>(id));
    // New on screen: not drawn in the pass before this one.
    let new = last.is_none_or(|n| n + 1 < seen);
    if new {
        response.request_focus();
    }
    ui.data_mut(|d| d.insert_temp(id, seen));
    new
}

/// Not an obstacle, but worth knowing.
const REPLACES: &str = "The file exists and will be replaced";

fn path(ui: &mut Ui, purpose: &Purpose, text: &mut String, note: &str, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.set_width(520.0);
    title(ui, &purpose.title());
    ui.label(RichText::new(note).color(t.dim));
    let drop = match purpose {
        Purpose::OpenModel | Purpose::OpenPlacement => {
            "Type a path, drop the file onto the window, or give it on the command line."
        }
        Purpose::Calibration => "Type where the file is.",
        Purpose::Save(_) | Purpose::SaveRuns => "Type where the file goes.",
    };
    ui.label(RichText::new(drop).color(t.dim));
    ui.add_space(4.0);
    let edit = ui.add(
        TextEdit::singleline(text)
            .desired_width(f32::INFINITY)
            .font(theme::mono())
            .cursor_at_end(true),
    );
    named(&edit, "Path", text);
    focus_first(ui, &edit);
    let file = std::path::Path::new(text.trim());
    let hint = match purpose {
        _ if text.trim().is_empty() => None,
        _ if purpose.saves() => match file.parent() {
            Some(dir) if !dir.as_os_str().is_empty() && !dir.is_dir() => {
                Some("The folder does not exist")
            }
            _ if file.is_dir() => Some("This is a folder; add a file name"),
            _ if file.exists() => Some(REPLACES),
            _ => None,
        },
        _ if file.is_dir() => Some("This is a folder"),
        _ if !file.exists() && ModelSource::of(file).file().is_some() => {
            Some("There is no such file")
        }
        _ => None,
    };
    ui.label(
        RichText::new(hint.unwrap_or(" "))
            .font(theme::small())
            .color(t.amber),
    );
    let ok = if purpose.saves() { "Save" } else { "Open" };
    let complete = hint.is_none_or(|h| h == REPLACES) && !text.trim().is_empty();
    if buttons(ui, ok, complete, out) {
        let path = file.to_path_buf();
        out.push(Command::CloseDialog);
        out.push(purpose.answer(path));
    }
}

fn named(response: &egui::Response, label: &str, text: &str) {
    response.widget_info(|| {
        let mut info = WidgetInfo::text_edit(true, text, text, "");
        info.label = Some(label.to_owned());
        info
    });
}

fn inputs(
    ui: &mut Ui,
    path: &std::path::Path,
    fields: &mut [(crate::gui::data::open::InputField, usize)],
    out: &mut Vec<Command>,
) {
    let t = Tokens::of(ui);
    ui.set_width(460.0);
    title(ui, "Input dims");
    ui.label("The model leaves dims open. TensorRT needs numbers on the DLA, and so do estimates.");
    let mut complete = true;
    let mut dims = Vec::new();
    for (field, rank) in fields.iter_mut() {
        ui.add_space(6.0);
        ui.horizontal(|ui| {
            ui.label(RichText::new(&field.name).font(theme::strong()));
            ui.label(RichText::new(&field.declared).color(t.dim));
        });
        let edit = ui.add(
            TextEdit::singleline(&mut field.text)
                .desired_width(f32::INFINITY)
                .font(theme::mono()),
        );
        named(&edit, &format!("Dims of {}", field.name), &field.text);
        if dims.is_empty() && complete {
            focus_first(ui, &edit);
        }
        match field.dims(*rank) {
            Ok(numbers) => dims.push((field.name.clone(), numbers)),
            Err(why) => {
                complete = false;
                ui.label(RichText::new(why).font(theme::small()).color(t.amber));
            }
        }
    }
    if buttons(ui, "Set", complete, out) {
        out.push(Command::CloseDialog);
        out.push(Command::SetInputs(path.to_owned(), dims));
    }
}

fn name_field(
    ui: &mut Ui,
    heading: &str,
    ok: &str,
    name: &mut String,
    out: &mut Vec<Command>,
) -> Option<String> {
    ui.set_width(420.0);
    title(ui, heading);
    let edit = ui.add(
        TextEdit::singleline(name)
            .desired_width(f32::INFINITY)
            .char_limit(120),
    );
    named(&edit, "Name", name);
    if focus_first(ui, &edit) {
        // What is typed replaces the suggestion.
        let all = CCursorRange::two(CCursor::new(0), CCursor::new(name.chars().count()));
        let mut state = TextEditState::load(ui.ctx(), edit.id).unwrap_or_default();
        state.cursor.set_char_range(Some(all));
        state.store(ui.ctx(), edit.id);
    }
    let trimmed = name.trim().to_owned();
    buttons(ui, ok, !trimmed.is_empty(), out).then_some(trimmed)
}

fn measure_on(ui: &mut Ui, text: &mut String, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.set_width(520.0);
    title(ui, "Measure on another machine");
    let note = "Over SSH, with the dlaplan there (`dlaplan deploy HOST` puts it there); the model is \
                sent to it. Keys, ports and jump hosts are those of ~/.ssh/config.";
    ui.label(RichText::new(note).color(t.dim));
    ui.add_space(4.0);
    let edit = ui.add(
        TextEdit::singleline(text)
            .desired_width(f32::INFINITY)
            .hint_text("user@jetson")
            .font(theme::mono())
            .char_limit(300)
            .cursor_at_end(true),
    );
    named(&edit, "Host", text);
    focus_first(ui, &edit);
    if text.trim().is_empty()
        && let Some(kit) = Host::on_usb()
    {
        let offer = format!("Developer kit on USB: {kit}");
        if ui.button(offer).clicked() {
            *text = kit.to_string();
        }
    }
    let host = text.trim().parse::<Host>();
    let hint = match &host {
        Err(e) if !text.trim().is_empty() => e.to_string(),
        _ => " ".into(),
    };
    ui.label(RichText::new(hint).font(theme::small()).color(t.amber));
    if buttons(ui, "Measure there", host.is_ok(), out)
        && let Ok(host) = host
    {
        out.extend([Command::CloseDialog, Command::MeasureOn(Some(host))]);
    }
}

fn messages(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    ui.set_width(520.0);
    title(ui, "Messages");
    ScrollArea::vertical().max_height(420.0).show(ui, |ui| {
        if state.messages.all().is_empty() {
            ui.label("Nothing has happened yet");
        }
        for message in state.messages.all().iter().rev() {
            super::messages::card(ui, message, out);
            ui.add_space(4.0);
        }
    });
    close(ui, out);
}

fn about(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.set_width(440.0);
    title(ui, concat!("dlaplan ", env!("CARGO_PKG_VERSION")));
    ui.label(
        "Which parts of a network run on the GPU, which on the DLA of a Jetson, and what it costs.",
    );
    ui.add_space(4.0);
    for (name, text) in [
        ("Licence", env!("CARGO_PKG_LICENSE").to_owned()),
        ("Your files", state.store.dir().display().to_string()),
        (
            "Help",
            "F1 lists the keys; README.md and docs/ come with the source".to_owned(),
        ),
    ] {
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(name).color(t.dim));
            ui.label(text);
        });
    }
    close(ui, out);
}

fn shortcuts(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.set_width(420.0);
    title(ui, "Keyboard shortcuts");
    let mut rows: Vec<(String, String)> = state
        .listed()
        .into_iter()
        .chain([Command::Palette, Command::Escape])
        .filter_map(|c| {
            let keys = ui.ctx().format_shortcut(&c.shortcut()?);
            Some((c.text(), keys))
        })
        .collect();
    rows.dedup();
    for (text, keys) in [
        (
            "Move in the tree",
            "Up, Down, Home, End, Page Up, Page Down",
        ),
        ("Open and close", "Right, Left"),
        ("Extend the selection", "Shift with any of these"),
        ("From control to control", "Tab, Shift+Tab; Escape leaves"),
        (
            "Rename or delete a kept placement in the chart",
            "F2, Delete",
        ),
    ] {
        rows.push((text.into(), keys.into()));
    }
    ScrollArea::vertical().max_height(440.0).show(ui, |ui| {
        egui::Grid::new("shortcuts")
            .num_columns(2)
            .spacing([24.0, 4.0])
            .show(ui, |ui| {
                for (text, keys) in rows {
                    ui.label(text);
                    ui.label(RichText::new(keys).font(theme::mono()).color(t.dim));
                    ui.end_row();
                }
            });
    });
    close(ui, out);
}

fn close(ui: &mut Ui, out: &mut Vec<Command>) {
    ui.add_space(8.0);
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        if ui.button("Close").clicked() {
            out.push(Command::CloseDialog);
        }
    });
}
