//! The window itself: what a frame is made of, in which order, and how it opens.

use crate::gui::background::session_file::{data_dir, report_panics};
use crate::gui::command::Command;
use crate::gui::data::looks::{Beside, Copied, Pane, ThemeChoice};
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
            .with_min_inner_size(SMALLEST),
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
                full: false,
                each_frame: Box::new(each_frame),
            }))
        }),
    )
    .map_err(|e| anyhow::anyhow!("the window cannot be opened: {e}"))
}

pub(crate) struct App {
    state: State,
    title: String,
    /// The screen is filled.
    full: bool,
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
        if self.state.full_chart != self.full {
            self.full = self.state.full_chart;
            let command = egui::ViewportCommand::Fullscreen(self.full);
            ui.ctx().send_viewport_cmd(command);
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
    let focused = |e: &egui::Event| *e == egui::Event::WindowFocused(true);
    state.watch_file(ctx.input(|i| i.events.iter().any(focused)));
    keys::read(&ctx, state, &mut out);
    perform(state, &mut out);
    state.refresh();

    let covered = state.dialog.is_some() || state.palette.is_some();
    // egui keeps a tooltip as long as the pointer rests, also behind a dialog: no pointer there.
    let pointer = covered.then(|| ctx.input_mut(|i| std::mem::take(&mut i.pointer)));
    let t = Tokens::of(ui);
    state.dark = t.dark;
    let flat = |fill| Frame::new().fill(fill).inner_margin(Margin::ZERO);
    if !state.full_chart {
        let top = Panel::top("top")
            .exact_size(40.0)
            .frame(flat(t.panel))
            .show(ui, |ui| panels::top::show(ui, state, &mut out));
        keys::note_pane(&ctx, Pane::Top, top.response.rect);
        Panel::bottom("status")
            .exact_size(26.0)
            .frame(flat(t.panel))
            .show(ui, |ui| panels::status::show(ui, state, &mut out));
    }
    let tour = panels::tour::show(ui, state, &mut out);
    panels::messages::show(ui, state, &mut out);
    let whole = ctx
        .content_rect()
        .with_max_y(ui.available_rect_before_wrap().bottom());
    if state.full_chart {
        egui::CentralPanel::default()
            .frame(flat(t.panel))
            .show(ui, |ui| {
                keys::note_pane(ui.ctx(), Pane::Chart, ui.max_rect());
                panels::chart::show(ui, state, &mut out);
            });
    } else {
        panes(ui, state, &t, &mut out);
        let aim = state.step_of_tour().and_then(|(_, step)| step.points_at);
        if let Some(aim) = aim.and_then(|pane| keys::pane_rect(&ctx, pane))
            && tour.is_some()
        {
            panels::tour::light(ui, aim, whole);
        }
    }
    state.reveal = None;
    state.focus_pane = None;
    if state.runs.shown {
        state.runs.reveal = None;
    }
    state.focus_filter = false;
    if let Some(rest) = state.messages.tidy() {
        ctx.request_repaint_after(rest);
    }
    if ctx.input(|i| !i.raw.hovered_files.is_empty()) {
        panels::messages::drop_here(ui);
    }
    if let Some(pointer) = pointer {
        ctx.input_mut(|i| i.pointer = pointer);
    }
    panels::dialog::show(ui, state, &mut out);
    panels::palette::show(ui, state, &mut out);
    if !out.is_empty() {
        perform(state, &mut out);
        state.refresh();
        ctx.request_repaint();
    }
    keys::show_focus(&ctx);
    match state.clipboard.take() {
        Some(Copied::Text(text)) => ctx.copy_text(text),
        Some(Copied::Picture { size, rgba }) => {
            ctx.copy_image(egui::ColorImage::from_rgba_unmultiplied(size, &rgba));
        }
        None => {}
    }
}

/// Between the bars: the tree, the centre and the panel on the right, as many as there is room for.
fn panes(ui: &mut egui::Ui, state: &mut State, t: &Tokens, out: &mut Vec<Command>) {
    let flat = Frame::new().fill(t.panel).inner_margin(Margin::ZERO);
    let width = ui.available_width();
    let side = state.side_panel();
    let room = Room::of(width, side);
    let pane = match (room, state.pane, side) {
        (Room::Two | Room::One, Pane::Side, Some(_)) => Pane::Side,
        (Room::One, Pane::Top | Pane::Tree | Pane::Side, _) => Pane::Tree,
        // Beside the tree there is always something.
        _ => Pane::Chart,
    };
    if room != Room::All {
        let mut choices = vec![(Pane::Chart, "Chart")];
        if room == Room::One {
            choices.insert(0, (Pane::Tree, "Tree"));
        }
        choices.extend(side.map(|s| (Pane::Side, s.title())));
        Panel::top("panes")
            .exact_size(29.0)
            .frame(flat)
            .show(ui, |ui| panels::top::panes(ui, pane, &choices, out));
    }
    if room == Room::All
        && let Some(side) = side
    {
        // What the centre must keep is taken from the tree first, which scrolls.
        let range = side.widths();
        let most = (width - CENTRE - TREE.min).clamp(range.min, range.max);
        let range = Rangef::new(range.min, most);
        let default = side.default_width(width);
        let panel = Panel::right(side.name());
        sized(ui, panel, side.name(), default, range, |ui| {
            draw_side(ui, state, side, out);
        });
    }
    if room != Room::One {
        let range = match room {
            Room::All => Rangef::new(TREE.min, (ui.available_width() - CENTRE).min(TREE.max)),
            _ => Rangef::new(TREE.min, (width - NARROW_CENTRE).min(TREE.max)),
        };
        let default = (width * 0.31).clamp(410.0, 560.0);
        sized(ui, Panel::left("tree"), "tree", default, range, |ui| {
            draw_tree(ui, state, out);
        });
    }
    egui::CentralPanel::default()
        .frame(flat)
        .show(ui, |ui| match (pane, side) {
            (Pane::Side, Some(side)) => draw_side(ui, state, side, out),
            (Pane::Tree, _) => draw_tree(ui, state, out),
            _ => centre(ui, state, out),
        });
}

fn draw_tree(ui: &mut egui::Ui, state: &State, out: &mut Vec<Command>) {
    keys::note_pane(ui.ctx(), Pane::Tree, ui.max_rect());
    panels::tree::show(ui, state, out);
}

fn draw_side(ui: &mut egui::Ui, state: &State, side: Side, out: &mut Vec<Command>) {
    keys::note_pane(ui.ctx(), Pane::Side, ui.max_rect());
    match side {
        Side::Find => panels::search::show(ui, state, out),
        Side::Beside(Beside::Inspector) => panels::inspector::show(ui, state, out),
        Side::Beside(Beside::Time) => panels::time::show(ui, state, out),
        Side::Beside(Beside::Compare) => panels::compare::show(ui, state, out),
        Side::Beside(Beside::Map) => panels::map::show(ui, state, out),
    }
}

/// The ribbon over the chart; both scroll where there is no height for them.
fn centre(ui: &mut egui::Ui, state: &State, out: &mut Vec<Command>) {
    let draw = |ui: &mut egui::Ui, out: &mut Vec<Command>| {
        let whole = ui.max_rect();
        panels::ribbon::show(ui, state, out);
        let between = ui.cursor().top();
        let (above, below) = whole.split_top_bottom_at_y(between);
        keys::note_pane(ui.ctx(), Pane::Execution, above);
        keys::note_pane(ui.ctx(), Pane::Chart, below);
        ui.add_space(8.0);
        panels::chart::show(ui, state, out);
    };
    if ui.available_height() >= LOW {
        draw(ui, out);
        return;
    }
    egui::ScrollArea::vertical()
        .id_salt("centre")
        .auto_shrink([false, false])
        .show(ui, |ui| {
            let size = egui::Vec2::new(ui.available_width(), LOW);
            let rect = egui::Rect::from_min_size(ui.cursor().min, size);
            ui.scope_builder(egui::UiBuilder::new().max_rect(rect), |ui| {
                ui.set_min_size(size);
                draw(ui, out);
            });
        });
}

/// A panel with the width that the user gave it, or its default, within a range. egui would keep
/// the width a small window left it with.
fn sized(
    ui: &mut egui::Ui,
    panel: Panel,
    name: &str,
    default: f32,
    range: Rangef,
    content: impl FnOnce(&mut egui::Ui),
) {
    let chosen = egui::Id::unique("chosen width").with(name);
    let wanted = ui.data(|d| d.get_temp::<f32>(chosen)).unwrap_or(default);
    let width = wanted.clamp(range.min, range.max.max(range.min));
    let place = ui.scope_id().with_salt(egui::IdSalt::new(name));
    let outer_rect = egui::Rect::from_min_size(egui::Pos2::ZERO, egui::Vec2::new(width, 1.0));
    ui.data_mut(|d| d.insert_persisted(place, egui::PanelState { outer_rect }));
    let t = Tokens::of(ui);
    let shown = panel
        .size_range(range.min..=range.max.max(range.min))
        .frame(Frame::new().fill(t.panel).inner_margin(Margin::ZERO))
        .show(ui, |ui| {
            // The panel keeps its width, whatever is in it.
            ui.set_min_size(ui.available_size());
            content(ui);
        });
    let now = shown.response.rect.width();
    // Only a drag makes it another.
    if (now - width).abs() > 1.5 {
        ui.data_mut(|d| d.insert_temp(chosen, now));
    }
}

/// Width that the ribbon and the chart always have beside two panels, and beside the tree alone.
pub(crate) const CENTRE: f32 = 440.0;
pub(crate) const NARROW_CENTRE: f32 = 380.0;

/// Height below which the ribbon and the chart scroll.
const LOW: f32 = 330.0;

/// Widths the tree can be given; below the least its names say nothing.
pub(crate) const TREE: Rangef = Rangef {
    min: 300.0,
    max: 900.0,
};

/// The smallest window that shows everything, by scrolling and one panel at a time.
pub const SMALLEST: [f32; 2] = [400.0, 240.0];

/// How many panels there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    All,
    Two,
    One,
}

impl Room {
    fn of(width: f32, side: Option<Side>) -> Self {
        let beside = side.map_or(0.0, |s| s.widths().min);
        // Some for the lines between.
        if width >= TREE.min + CENTRE + beside + 4.0 {
            Self::All
        } else if width >= TREE.min + NARROW_CENTRE + 2.0 {
            Self::Two
        } else {
            Self::One
        }
    }
}

/// The panel on the right. Only one shows: Find best hides the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Find,
    Beside(Beside),
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Beside(Beside::Inspector) => "inspector",
            Self::Beside(Beside::Time) => "time",
            Self::Beside(Beside::Compare) => "compare",
            Self::Beside(Beside::Map) => "map",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Find => "Find best",
            Self::Beside(Beside::Inspector) => "Inspector",
            Self::Beside(Beside::Time) => "Time",
            Self::Beside(Beside::Compare) => "Compare",
            Self::Beside(Beside::Map) => "Map",
        }
    }

    /// Its width in a window of a width, until the user gives it another.
    fn default_width(self, window: f32) -> f32 {
        match self {
            Self::Find => (window * 0.25).clamp(330.0, 430.0),
            Self::Beside(Beside::Inspector) => (window * 0.2).clamp(270.0, 380.0),
            Self::Beside(_) => (window * 0.24).clamp(290.0, 420.0),
        }
    }

    /// Widths it can be given.
    fn widths(self) -> Rangef {
        match self {
            Self::Find => Rangef::new(300.0, 560.0),
            Self::Beside(_) => Rangef::new(230.0, 520.0),
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
        if self.find.open {
            return Some(Side::Find);
        }
        self.beside.map(Side::Beside)
    }
}
