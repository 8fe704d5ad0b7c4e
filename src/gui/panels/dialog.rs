//! Dialogs inside the window.

use egui::text::{CCursor, CCursorRange, LayoutJob, TextFormat};
use egui::text_edit::TextEditState;
use egui::{
    CompletionPopup, Id, Key, Label, Modal, RichText, ScrollArea, Suggestion, TextEdit, Ui,
    WidgetInfo,
};
use std::sync::Arc;

use super::super::command::Command;
use super::super::state::State;
use crate::engine::remote::ssh::Host;
use crate::engine::{BoardSettings, PowerMode};
use crate::export::GLOSSARY;
use crate::gui::dialog::{Dialog, Purpose, expanded};
use crate::gui::panels::controls::primary;
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;
use crate::model::ModelSource;

/// Draws the dialog, if one is open. Its fields are typed into directly; everything it decides
/// goes out as commands.
pub fn show(ui: &mut Ui, state: &mut State, out: &mut Vec<Command>) {
    let Some(mut dialog) = state.dialog.take() else {
        return;
    };
    // One place a kind: a dialog would keep the height of the one before.
    let kind = Id::unique("dialog").with(std::mem::discriminant(&dialog));
    let response = Modal::new(kind)
        .frame(egui::Frame::window(ui.style()))
        .show(ui.ctx(), |ui| match &mut dialog {
            Dialog::Path {
                purpose,
                text,
                note,
            } => path(ui, purpose, text, note, out),
            Dialog::Inputs { path, fields } => inputs(ui, path, fields, out),
            Dialog::Keep { name } => {
                let free = state.free_name(name.trim(), None);
                if let Some(name) = name_field(ui, "Keep placement", "Keep", name, &free, out) {
                    out.extend([Command::CloseDialog, Command::KeepAs(name)]);
                }
            }
            Dialog::Rename { id, name } => {
                let free = state.free_name(name.trim(), Some(*id));
                if let Some(name) = name_field(ui, "Rename", "Rename", name, &free, out) {
                    out.extend([Command::CloseDialog, Command::RenameKept(*id, name)]);
                }
            }
            Dialog::Note { id, name, text } => {
                if let Some(text) = note(ui, name, text, out) {
                    out.extend([Command::CloseDialog, Command::NoteKept(*id, text)]);
                }
            }
            Dialog::MeasureOn { text } => measure_on(ui, text, out),
            Dialog::Board { modes, settings } => board(ui, modes, settings, out),
            Dialog::Messages => messages(ui, state, out),
            Dialog::Shortcuts => shortcuts(ui, state, out),
            Dialog::Glossary => glossary(ui, out),
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

/// Gives a dialog its width, less where the window is small.
fn head(ui: &mut Ui, width: f32, text: &str) {
    let most = ui.ctx().content_rect().width() - 44.0;
    ui.set_width(width.min(most));
    ui.add(Label::new(RichText::new(text).heading()).wrap());
    ui.add_space(6.0);
}

/// Height for what scrolls in a dialog, besides its title and buttons.
fn scrolled(ui: &Ui, most: f32) -> f32 {
    (ui.ctx().content_rect().height() - 150.0).clamp(60.0, most)
}

/// A line of buttons at the right, no higher than they are.
fn at_right(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    let size = egui::Vec2::new(ui.available_width(), ui.spacing().interact_size.y);
    let layout = egui::Layout::right_to_left(egui::Align::Center);
    ui.allocate_ui_with_layout(size, layout, content);
}

fn buttons(ui: &mut Ui, ok: &str, enabled: bool, out: &mut Vec<Command>) -> bool {
    ui.add_space(10.0);
    let mut done = false;
    at_right(ui, |ui| {
        let enter = ui.input(|i| i.key_pressed(Key::Enter));
        let clicked = ui.add_enabled(enabled, primary(ui, ok)).clicked();
        done = enabled && (clicked || enter);
        if ui.button("Cancel").clicked() {
            out.push(Command::CloseDialog);
        }
    });
    done
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
    head(ui, 520.0, &purpose.title());
    ui.label(RichText::new(note).color(t.dim));
    let drop = match purpose {
        Purpose::OpenModel | Purpose::OpenPlacement => {
            "Type a path (Tab completes it), drop the file onto the window, or give it on the \
             command line."
        }
        Purpose::Calibration => "Type where the file is; Tab completes.",
        Purpose::Save(_) | Purpose::SaveRuns | Purpose::SaveTree => {
            "Type where the file goes; Tab completes."
        }
    };
    ui.label(RichText::new(drop).color(t.dim));
    ui.add_space(4.0);
    // Enter does what the button does, and completes a path that cannot be opened yet.
    let keys = match path_hint(purpose, text) {
        Some(_) if !purpose.saves() => vec![Key::Tab, Key::Enter],
        _ => vec![Key::Tab],
    };
    let field = TextEdit::singleline(text)
        .desired_width(f32::INFINITY)
        .return_key(None)
        .font(theme::mono());
    let ctx = ui.ctx().clone();
    let id = Id::unique("path");
    let rows = Rows::beside(ui);
    let mut offered = 0;
    let edit = CompletionPopup::new(id)
        .word_boundary(|c| c == '/')
        .accept_keys(keys)
        .align(egui::RectAlign::BOTTOM_START)
        .max_height(rows.height(rows.most))
        .show(ui, field, |query| {
            let folder = &query.text[..byte_of(query.text, query.word_range.start.0)];
            let suggestions: Vec<Suggestion> = entries(&ctx, folder)
                .iter()
                .filter(|e| e.continues(query.word) && e.fits(purpose))
                .take(MOST_OFFERED)
                .map(|e| Suggestion::new(e.text()))
                .collect();
            offered = suggestions.len();
            suggestions
        });
    rows.grow(&ctx, id, if edit.is_open { offered } else { 0 });
    let edit = edit.text_edit.response.response;
    named(&edit, "Path", text);
    if focus_first(ui, &edit) {
        // Where writing goes on; of a file to write, its name is replaced by what is typed.
        let end = text.chars().count();
        let name = text.rfind('/').map_or(0, |at| text[..=at].chars().count());
        let dot = text.find('.').map_or(end, |at| text[..at].chars().count());
        let dot = if dot > name { dot } else { end };
        select(
            ui,
            &edit,
            if purpose.saves() { name..dot } else { end..end },
        );
    }
    let hint = path_hint(purpose, text);
    ui.label(
        RichText::new(hint.unwrap_or(" "))
            .font(theme::small())
            .color(t.amber),
    );
    let ok = if purpose.saves() { "Save" } else { "Open" };
    let complete = hint.is_none_or(|h| h == REPLACES) && !text.trim().is_empty();
    if buttons(ui, ok, complete, out) {
        out.push(Command::CloseDialog);
        out.push(purpose.answer(expanded(text.trim())));
    }
}

/// What is wrong with a typed path, or worth knowing.
fn path_hint(purpose: &Purpose, text: &str) -> Option<&'static str> {
    let file = &expanded(text.trim());
    match purpose {
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
    }
}

/// Selects a range of characters in a text field.
fn select(ui: &Ui, edit: &egui::Response, range: std::ops::Range<usize>) {
    let range = CCursorRange::two(CCursor::new(range.start), CCursor::new(range.end));
    let mut state = TextEditState::load(ui.ctx(), edit.id).unwrap_or_default();
    state.cursor.set_char_range(Some(range));
    state.store(ui.ctx(), edit.id);
}

fn byte_of(text: &str, chars: usize) -> usize {
    text.char_indices()
        .nth(chars)
        .map_or(text.len(), |(i, _)| i)
}

/// Rows of a list of completions.
struct Rows {
    /// From one row to the next, and the part of it that is between them.
    pitch: f32,
    gap: f32,
    /// Height of what is around the rows.
    frame: f32,
    /// As many as there is room for.
    most: usize,
}

impl Rows {
    /// Most rows shown at once.
    const MOST: usize = 8;

    /// Below or above the field that is drawn next, where there is more room.
    fn beside(ui: &Ui) -> Self {
        let spacing = ui.spacing();
        let text = ui.text_style_height(&egui::TextStyle::Button);
        let row = (text + 2.0 * spacing.button_padding.y).max(spacing.interact_size.y);
        let (gap, pitch) = (spacing.item_spacing.y, row + spacing.item_spacing.y);
        let frame = egui::Frame::popup(ui.style()).total_margin().sum().y;
        let window = ui.ctx().content_rect();
        let field = ui.cursor().top();
        let room = (window.bottom() - field - row).max(field - window.top());
        // The list stands a little away from the field and from the window's edge.
        let fit = (room - frame - gap) / pitch;
        Self {
            pitch,
            gap,
            frame,
            most: (fit.max(1.0) as usize).min(Self::MOST),
        }
    }

    fn height(&self, rows: usize) -> f32 {
        rows as f32 * self.pitch - self.gap
    }

    /// Gives the list the height for more rows than it had: egui would scroll them in the height it
    /// had before.
    fn grow(&self, ctx: &egui::Context, id: Id, offered: usize) {
        let rows = offered.min(self.most);
        let shown = Id::unique("completions shown");
        let before = ctx.data_mut(|d| std::mem::replace(d.get_temp_mut_or_default(shown), rows));
        let list = id.with("completion_popup");
        if rows > before
            && let Some(mut area) = egui::AreaState::load(ctx, list)
            && let Some(size) = &mut area.size
        {
            size.y = self.height(rows) + self.frame;
            let layer = egui::LayerId::new(egui::PopupKind::Popup.order(), list);
            ctx.memory_mut(|m| m.areas_mut().set_state(layer, area));
            ctx.request_discard("more completions");
        }
    }
}

/// Most entries of a folder that are read and offered.
const MOST_READ: usize = 5000;
const MOST_OFFERED: usize = 40;

/// A file or folder that a path may go on with.
#[derive(Clone)]
struct Entry {
    name: String,
    folder: bool,
}

impl Entry {
    /// Whether it begins as the typed word does; hidden ones only where that is asked for.
    fn continues(&self, word: &str) -> bool {
        self.name.starts_with(word)
            && (self.folder || self.name != word)
            && (word.starts_with('.') || !self.name.starts_with('.'))
    }

    /// Whether a dialog may want it.
    fn fits(&self, purpose: &Purpose) -> bool {
        let (_, extensions) = purpose.filter();
        let path = std::path::Path::new(&self.name);
        self.folder
            || extensions
                .iter()
                .any(|e| path.extension().is_some_and(|x| x.eq_ignore_ascii_case(e)))
    }

    fn text(&self) -> String {
        if self.folder {
            format!("{}/", self.name)
        } else {
            self.name.clone()
        }
    }
}

/// What is in a folder, read once while it is the one that is typed in.
fn entries(ctx: &egui::Context, folder: &str) -> Arc<Vec<Entry>> {
    type Read = (String, Arc<Vec<Entry>>);
    let id = Id::unique("folder read");
    if let Some((read, entries)) = ctx.data(|d| d.get_temp::<Read>(id))
        && read == folder
    {
        return entries;
    }
    let path = if folder.is_empty() {
        std::path::PathBuf::from(".")
    } else {
        expanded(folder)
    };
    let mut found: Vec<Entry> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .take(MOST_READ)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let folder = entry.path().is_dir();
            Some(Entry { name, folder })
        })
        .collect();
    found.sort_by(|a, b| (!a.folder, &a.name).cmp(&(!b.folder, &b.name)));
    let found = Arc::new(found);
    ctx.data_mut(|d| d.insert_temp::<Read>(id, (folder.to_owned(), Arc::clone(&found))));
    found
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
    head(ui, 460.0, "Input dims");
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
                .return_key(None)
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

/// The note on a kept placement, in lines of its own; what was typed, once it is to be written.
fn note(ui: &mut Ui, name: &str, text: &mut String, out: &mut Vec<Command>) -> Option<String> {
    let t = Tokens::of(ui);
    head(ui, 420.0, &format!("Note on {name}"));
    let most = scrolled(ui, 220.0);
    let field = ScrollArea::vertical().max_height(most).show(ui, |ui| {
        let field = TextEdit::multiline(text)
            .desired_width(f32::INFINITY)
            .desired_rows(4);
        ui.add(field)
    });
    named(&field.inner, "Note", text);
    focus_first(ui, &field.inner);
    let hint = "Ctrl+Enter saves. The note shows with the placement in the chart.";
    ui.add(Label::new(RichText::new(hint).font(theme::small()).color(t.dim)).wrap());
    let mut done = ui.input(|i| i.modifiers.command && i.key_pressed(Key::Enter));
    ui.add_space(10.0);
    at_right(ui, |ui| {
        done |= ui.add(primary(ui, "Save note")).clicked();
        if ui.button("Cancel").clicked() {
            out.push(Command::CloseDialog);
        }
    });
    done.then(|| std::mem::take(text))
}

fn name_field(
    ui: &mut Ui,
    heading: &str,
    ok: &str,
    name: &mut String,
    free: &str,
    out: &mut Vec<Command>,
) -> Option<String> {
    head(ui, 420.0, heading);
    let edit = ui.add(
        TextEdit::singleline(name)
            .desired_width(f32::INFINITY)
            .return_key(None)
            .char_limit(120),
    );
    named(&edit, "Name", name);
    if focus_first(ui, &edit) {
        // What is typed replaces the suggestion.
        select(ui, &edit, 0..name.chars().count());
    }
    let trimmed = name.trim().to_owned();
    if trimmed != free {
        let t = Tokens::of(ui);
        let hint = format!("There is one of that name; this one becomes {free}");
        ui.label(RichText::new(hint).font(theme::small()).color(t.amber));
    }
    buttons(ui, ok, !trimmed.is_empty(), out).then_some(trimmed)
}

fn measure_on(ui: &mut Ui, text: &mut String, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    head(ui, 520.0, "Measure on another machine");
    let note = "Over SSH, with the dlaplan there; the model is sent to it. Keys, ports and jump hosts \
                are those of ~/.ssh/config.";
    ui.label(RichText::new(note).color(t.dim));
    ui.add_space(4.0);
    let edit = ui.add(
        TextEdit::singleline(text)
            .desired_width(f32::INFINITY)
            .hint_text("user@jetson")
            .return_key(None)
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
    ui.horizontal_wrapped(|ui| {
        for (text, hover, command) in [
            (
                "Check",
                "Says what the machine is and lacks to measure; nothing is changed",
                Command::CheckHost as fn(Host) -> Command,
            ),
            (
                "Put dlaplan there",
                "Copies the program into your home there, unless it is there already",
                Command::DeployTo,
            ),
            (
                "Remove dlaplan",
                "Removes what was put there, with built engines and models that were sent",
                Command::RemoveFrom,
            ),
        ] {
            let button = ui.add_enabled(host.is_ok(), egui::Button::new(text));
            if button.on_hover_text(hover).clicked()
                && let Ok(host) = &host
            {
                out.extend([Command::CloseDialog, command(host.clone())]);
            }
        }
    });
    if buttons(ui, "Measure there", host.is_ok(), out)
        && let Ok(host) = host
    {
        out.extend([Command::CloseDialog, Command::MeasureOn(Some(host))]);
    }
}

fn board(ui: &mut Ui, modes: &[PowerMode], settings: &mut BoardSettings, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    head(ui, 480.0, "Power mode and clocks while measuring");
    let note = "Set with the board's own tools through sudo, which must not ask for a password. \
                What was there before is put back after each measurement, however it ends.";
    ui.add(Label::new(RichText::new(note).color(t.dim)).wrap());
    ui.add_space(6.0);
    ui.checkbox(
        &mut settings.lock_clocks,
        "Hold the clocks at their highest",
    );
    ui.add_space(4.0);
    ui.label(RichText::new("Power mode").font(theme::strong()));
    ui.radio_value(&mut settings.power_mode, None, "As it is");
    for mode in modes {
        let text = format!("{}  {}", mode.id, mode.name);
        ui.add_enabled_ui(!mode.reboot, |ui| {
            let radio = ui.radio_value(&mut settings.power_mode, Some(mode.id), text);
            radio.on_disabled_hover_text(format!(
                "Switches other parts of the GPU on or off, which needs a reboot: sudo nvpmodel -m {}",
                mode.id
            ));
        });
    }
    let commands = if settings.is_none() {
        "Nothing is changed".to_owned()
    } else {
        settings.commands()
    };
    ui.add_space(4.0);
    ui.label(RichText::new(commands).font(theme::mono()).color(t.dim));
    if buttons(ui, "Use", true, out) {
        out.extend([Command::CloseDialog, Command::BoardSettings(*settings)]);
    }
}

fn messages(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    head(ui, 520.0, "Messages");
    ScrollArea::vertical()
        .max_height(scrolled(ui, 420.0))
        .show(ui, |ui| {
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
    head(ui, 440.0, concat!("dlaplan ", env!("CARGO_PKG_VERSION")));
    ui.label(
        "Which parts of a network run on the GPU, which on the DLA of a Jetson, and what it costs.",
    );
    ui.add_space(4.0);
    for (name, text) in [
        ("Licence", env!("CARGO_PKG_LICENSE").to_owned()),
        ("Your files", state.store.dir().display().to_string()),
        (
            "Help",
            "F1 lists the keys; the menu has a guided tour and a glossary; README.md and docs/ come \
             with the source"
                .to_owned(),
        ),
    ] {
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(name).color(t.dim));
            ui.label(text);
        });
    }
    close(ui, out);
}

fn glossary(ui: &mut Ui, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    head(ui, 560.0, "Glossary");
    ScrollArea::vertical()
        .max_height(scrolled(ui, 460.0))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            for (word, text) in GLOSSARY {
                let mut line = LayoutJob::default();
                line.append(word, 0.0, TextFormat::simple(theme::strong(), t.strong));
                line.append("   ", 0.0, TextFormat::simple(theme::body(), t.text));
                line.append(text, 0.0, TextFormat::simple(theme::body(), t.text));
                ui.add(Label::new(line).wrap());
                ui.add_space(4.0);
            }
        });
    close(ui, out);
}

fn shortcuts(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    head(ui, 420.0, "Keyboard shortcuts");
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
        ("From panel to panel", "F6, Shift+F6"),
        ("From control to control", "Tab, Shift+Tab; Escape leaves"),
        ("In the top bar and in lists", "arrows; Tab goes on"),
        (
            "Rename or delete a kept placement in the chart",
            "F2, Delete",
        ),
        ("Copy the selected rows", "Ctrl+C"),
    ] {
        rows.push((text.into(), keys.into()));
    }
    ScrollArea::both()
        .max_height(scrolled(ui, 440.0))
        .show(ui, |ui| {
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
    at_right(ui, |ui| {
        if ui.button("Close").clicked() {
            out.push(Command::CloseDialog);
        }
    });
}
