//! The window itself: what a frame is made of, in which order, and how it opens.

use crate::gui::background::session_file::{data_dir, report_panics};
use crate::gui::command::Command;
use crate::gui::data::looks::ThemeChoice;
use crate::gui::data::options::Options;
use crate::gui::state::{Env, State};
use crate::gui::ui::pick::DesktopPicker;
use crate::gui::ui::theme::{Tokens, install as install_theme};
use crate::gui::{keys, panels};
use crate::tasks::measure::Worker;
use egui::{Frame, Margin, Panel, Rangef};
use std::sync::Arc;
use std::time::Duration;

/// How long a frame waits for a new plan before it shows the old one: most of a 60 Hz frame.
pub(crate) const PATIENCE: Duration = Duration::from_millis(12);

/// Opens the window and stays until it closes.
///
/// # Errors
/// There is no display, or no OpenGL; or no folder for the user's data.
pub fn run(options: Options) -> anyhow::Result<()> {
    run_with(options, Worker::local(), |_| {})
}

/// As [`run`], with what measures, and a look at the state before each frame.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    options: Options,
    worker: Option<Worker>,
    each_frame: impl FnMut(&mut State) + 'static,
) -> anyhow::Result<()> {
    let data_dir = data_dir()?;
    report_panics(&data_dir);
    let native = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("dlaplan")
            .with_app_id("dlaplan")
            .with_inner_size([1280.0, 720.0])
            .with_min_inner_size([1180.0, 600.0]),
        renderer: eframe::Renderer::Glow,
        ..Default::default()
    };
    eframe::run_native(
        "dlaplan",
        native,
        Box::new(move |cc| {
            install_theme(&cc.egui_ctx, true);
            let ctx = cc.egui_ctx.clone();
            let state = State::new(
                options,
                Env {
                    data_dir,
                    wake: Arc::new(move || ctx.request_repaint()),
                    picker: Arc::new(DesktopPicker),
                    patience: PATIENCE,
                    worker,
                },
            );
            Ok(Box::new(App {
                state,
                title: String::new(),
                each_frame: Box::new(each_frame),
            }))
        }),
    )
    .map_err(|e| anyhow::anyhow!("the window cannot be opened: {e}"))
}

pub(crate) struct App {
    state: State,
    title: String,
    each_frame: Box<dyn FnMut(&mut State)>,
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        (self.each_frame)(&mut self.state);
        draw(ui, &mut self.state);
        let title = self.state.title();
        if title != self.title {
            let command = egui::ViewportCommand::Title(title.clone());
            ui.ctx().send_viewport_cmd(command);
            self.title = title;
        }
        if self.state.quit {
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        self.state.store.close();
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}

/// One frame: takes in finished work, draws every panel, does what the user asked.
pub fn draw(ui: &mut egui::Ui, state: &mut State) {
    let mut out = Vec::new();
    let ctx = ui.ctx().clone();
    let preference = match state.theme {
        ThemeChoice::System => egui::ThemePreference::System,
        ThemeChoice::Dark => egui::ThemePreference::Dark,
        ThemeChoice::Light => egui::ThemePreference::Light,
    };
    if ctx.options(|o| o.theme_preference) != preference {
        ctx.set_theme(preference);
    }
    for file in ctx.input(|i| i.raw.dropped_files.clone()) {
        out.push(Command::OpenPath(file.path().to_owned()));
    }
    keys::read(&ctx, state, &mut out);
    perform(state, &mut out);
    state.refresh();

    let t = Tokens::of(ui);
    let width = ctx.content_rect().width();
    let flat = |fill| Frame::new().fill(fill).inner_margin(Margin::ZERO);
    Panel::top("top")
        .exact_size(40.0)
        .frame(flat(t.panel))
        .show(ui, |ui| panels::top::show(ui, state, &mut out));
    Panel::bottom("status")
        .exact_size(26.0)
        .frame(flat(t.panel))
        .show(ui, |ui| panels::status::show(ui, state, &mut out));
    let side = state.side_panel();
    // What the centre must keep is taken from the tree first, which scrolls, then from the side.
    let before = egui::Id::unique("side width");
    let wanted = match side {
        None => 0.0,
        Some(side) => ctx
            .data(|d| d.get_temp::<f32>(before.with(side.name())))
            .unwrap_or_else(|| side.default_width(width)),
    };
    let most = (ui.available_width() - CENTRE - wanted).clamp(TREE.min, TREE.max);
    Panel::left("tree")
        .default_size((width * 0.31).clamp(410.0, 560.0))
        .size_range(TREE.min..=most)
        .frame(flat(t.panel))
        .show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            panels::tree::show(ui, state, &mut out);
        });
    if let Some(side) = side {
        let range = side.widths();
        let most = (ui.available_width() - CENTRE).clamp(range.min, range.max);
        let shown = Panel::right(side.name())
            .default_size(side.default_width(width))
            .size_range(range.min..=most)
            .frame(flat(t.panel))
            .show(ui, |ui| {
                // The panel keeps the width the user gave it, whatever is in it.
                ui.set_min_size(ui.available_size());
                match side {
                    Side::Find => panels::search::show(ui, state, &mut out),
                    Side::Inspector => panels::inspector::show(ui, state, &mut out),
                }
            });
        let now = shown.response.rect.width();
        ctx.data_mut(|d| d.insert_temp(before.with(side.name()), now));
    }
    egui::CentralPanel::default()
        .frame(flat(t.panel))
        .show(ui, |ui| {
            panels::ribbon::show(ui, state, &mut out);
            ui.add_space(8.0);
            panels::chart::show(ui, state, &mut out);
        });
    state.reveal = None;
    if state.runs.shown {
        state.runs.reveal = None;
    }
    state.focus_filter = false;
    if let Some(rest) = state.messages.tidy() {
        ctx.request_repaint_after(rest);
    }
    panels::messages::show(ui, state, &mut out);
    if ctx.input(|i| !i.raw.hovered_files.is_empty()) {
        panels::messages::drop_here(ui);
    }
    panels::dialog::show(ui, state, &mut out);
    panels::palette::show(ui, state, &mut out);
    if !out.is_empty() {
        perform(state, &mut out);
        state.refresh();
        ctx.request_repaint();
    }
    keys::show_focus(&ctx);
    if let Some(text) = state.clipboard.take() {
        ctx.copy_text(text);
    }
}

/// Width that the ribbon and the chart always have, whatever the panels beside them want.
pub(crate) const CENTRE: f32 = 440.0;

/// Widths the tree can be given.
pub(crate) const TREE: Rangef = Rangef {
    min: 300.0,
    max: 900.0,
};

/// The panel on the right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Find,
    Inspector,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Inspector => "inspector",
        }
    }

    /// Its width in a window of a width, until the user gives it another.
    fn default_width(self, window: f32) -> f32 {
        match self {
            Self::Find => (window * 0.25).clamp(330.0, 430.0),
            Self::Inspector => (window * 0.2).clamp(270.0, 380.0),
        }
    }

    /// Widths it can be given.
    fn widths(self) -> Rangef {
        match self {
            Self::Find => Rangef::new(300.0, 560.0),
            Self::Inspector => Rangef::new(230.0, 520.0),
        }
    }
}

pub(crate) fn perform(state: &mut State, out: &mut Vec<Command>) {
    for command in out.drain(..) {
        state.apply(command);
    }
}

impl State {
    /// The panel shown on the right, if any.
    fn side_panel(&self) -> Option<Side> {
        match (self.find.open, self.inspector) {
            (true, _) => Some(Side::Find),
            (false, true) => Some(Side::Inspector),
            (false, false) => None,
        }
    }
}
