//! The bar on top: model, target, engine config, keep and export.

use egui::{Button, ComboBox, RichText, Ui, WidgetInfo};

use super::super::command::{Command, SweepOf};
use super::super::state::State;
use crate::engine::remote::ssh::Host;
use crate::export::Format;
use crate::gui::data::looks::{Pane, ThemeChoice};
use crate::gui::data::tour::Turn;
use crate::gui::panels::controls::{command_button, hover_text, takes_keyboard};
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets::{Icon, short};
use crate::gui::ui::{theme, widgets};
use crate::placement::{Device, EngineConfig, IoFormat, IoFormats, Precision};
use crate::platform::boards;

/// Between the parts of the bar.
const GAP: f32 = 6.0;
/// Of an icon button, and of a line between groups with the space around.
const ICON: f32 = 24.0;
const LINE: f32 = 7.0;
/// What the model's name is given before other parts give way.
const NAME: f32 = 110.0;
const SHORT_NAME: f32 = 60.0;

/// What stands in the bar; what does not is in a menu.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// Inspector and appearance.
    looks: bool,
    /// "TensorRT" in full.
    full: bool,
    /// The engine config, each choice by itself.
    config: bool,
    /// Board, power mode and TensorRT, each by itself.
    target: bool,
    /// Keep and export.
    keep: bool,
    /// Search and profile.
    run: bool,
    /// Undo and redo.
    steps: bool,
    /// Width of the model's name.
    name: f32,
}

impl Shown {
    /// As much as there is room for.
    fn of(ui: &Ui, state: &State) -> Self {
        let all = Self {
            looks: true,
            full: true,
            config: true,
            target: true,
            keep: true,
            run: true,
            steps: true,
            name: 0.0,
        };
        let menus = Self {
            steps: true,
            ..Self::default()
        };
        let steps = [
            all,
            Self {
                looks: false,
                full: false,
                ..all
            },
            Self {
                config: false,
                looks: false,
                full: false,
                ..all
            },
            Self {
                run: true,
                keep: true,
                ..menus
            },
            Self { run: true, ..menus },
            menus,
            Self::default(),
        ];
        let room = ui.available_width();
        let name = text_width(ui, model_name(state), theme::strong());
        let last = steps.len() - 1;
        for (i, mut shown) in steps.into_iter().enumerate() {
            let rest = room - shown.width(ui, state) - 4.0;
            let least = if i < 3 { NAME } else { SHORT_NAME };
            if i == last || rest >= name.min(least) {
                shown.name = rest.clamp(SHORT_NAME.min(name), 320.0);
                return shown;
            }
        }
        Self::default()
    }

    /// Width of all but the model's name.
    fn width(&self, ui: &Ui, state: &State) -> f32 {
        let pad = 2.0 * ui.spacing().button_padding.x;
        let button = |text: &str| text_width(ui, text, theme::body()) + pad + GAP;
        let arrow = ui.spacing().icon_width + ui.spacing().icon_spacing;
        let combo = |text: &str| button(text) + arrow;
        let config = state.config();
        let dla = state.dla_cores() > 0;
        let mut width = 2.0 * (PAD - 4.0) + pad + 2.0 * GAP;
        width += 2.0 * (LINE + 2.0 * GAP);
        if self.target {
            width += combo(&board_name(state)) + combo(state.target.mode.name);
            width += combo(&tensorrt_name(state, self.full));
            if !dla {
                width += text_width(ui, "no DLA", theme::small()) + 12.0 + GAP;
            }
        } else {
            width += button(&target_title(state));
        }
        if self.config {
            width += combo(&precision_name(state));
            width += text_width(ui, "batch", theme::body()) + GAP;
            width += button(&config.batch.to_string()).max(ICON + 2.0 * GAP);
            if dla {
                width += combo(&core_name(state)) + combo(fallback_name(state));
            }
            width += combo(&default_name(state));
        } else {
            width += button(&config_title(state));
        }
        let icons = 1.0 + if self.looks { 2.0 } else { 0.0 } + if self.steps { 2.0 } else { 0.0 };
        width += icons * (ICON + GAP);
        if self.keep {
            width += button("Export") + button("Keep…");
        }
        if self.run {
            width += button(&Command::FindBest.text()) + button("Profile");
        }
        width
    }
}

fn text_width(ui: &Ui, text: &str, font: egui::FontId) -> f32 {
    let color = egui::Color32::PLACEHOLDER;
    widgets::line(ui.painter(), text, font, color, f32::INFINITY)
        .size()
        .x
}

fn model_name(state: &State) -> &str {
    state.open.as_ref().map_or("No model", |o| &o.model.name)
}

fn board_name(state: &State) -> String {
    state.target.board.name.replacen("Jetson ", "", 1)
}

fn tensorrt_name(state: &State, full: bool) -> String {
    let name = if full { "TensorRT" } else { "TRT" };
    format!("{name} {}", state.target.tensorrt)
}

fn core_name(state: &State) -> String {
    format!("core {}", state.config().dla_core)
}

fn fallback_name(state: &State) -> &'static str {
    if state.config().gpu_fallback {
        "fallback"
    } else {
        "strict"
    }
}

fn default_name(state: &State) -> String {
    format!("default {}", state.doc.placement().default)
}

/// The precision, and whether inputs and outputs are other than FP32.
fn precision_name(state: &State) -> String {
    let config = state.config();
    let io = if config.io.is_default() { "" } else { " + I/O" };
    format!("{}{io}", config.precision.title())
}

/// The target as one menu.
fn target_title(state: &State) -> String {
    format!("{} {}", board_name(state), state.target.mode.name)
}

/// The engine config as one menu.
fn config_title(state: &State) -> String {
    let config = state.config();
    match config.batch {
        1 => precision_name(state),
        n => format!("{}, batch {n}", precision_name(state)),
    }
}

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        let shown = Shown::of(ui, state);
        ui.add_space(PAD - 4.0);
        model_menu(ui, state, shown.name, &t, out);
        separator(ui, &t);
        if shown.target {
            target_menus(ui, state, shown.full, &t, out);
        } else {
            group(ui, "Target", &target_title(state), |ui| {
                target_menus(ui, state, true, &t, out);
            });
        }
        separator(ui, &t);
        if shown.config {
            config_menus(ui, state, &t, out);
        } else {
            group(ui, "Engine", &config_title(state), |ui| {
                config_menus(ui, state, &t, out);
            });
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.add_space(PAD - 4.0);
            more_menu(ui, state, &shown, out);
            if shown.looks {
                looks(ui, state, &t, out);
            }
            if shown.keep {
                export_menu(ui, state, out);
                command_button(ui, state, "Keep…", Command::Keep, out);
            }
            if shown.run {
                find_button(ui, state, &t, out);
                profile_button(ui, state, out);
            }
            if shown.steps {
                let (undo, redo) = (state.doc.undo_label(), state.doc.redo_label());
                icon(ui, state, Icon::Redo, Command::Redo, redo, out);
                icon(ui, state, Icon::Undo, Command::Undo, undo, out);
            }
        });
    });
}

/// Choices that have no room in the bar, in one menu.
fn group(ui: &mut Ui, label: &str, title: &str, content: impl FnOnce(&mut Ui)) {
    // A choice made by a click closes only its own menu.
    let menu = ui.menu_button(title, |ui| {
        ui.set_min_width(200.0);
        tall(ui, content);
    });
    menu.response
        .widget_info(|| WidgetInfo::labeled(egui::Role::Button, true, label));
    menu.response.on_hover_text(format!("{label}: {title}"));
}

/// A menu's lines; they scroll where the window is too low for them.
fn tall(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    let most = (ui.ctx().content_rect().height() - 70.0).max(60.0);
    egui::ScrollArea::vertical()
        .max_height(most)
        .show(ui, content);
}

/// The switch between panels where there is no room for all of them.
pub fn panes(ui: &mut Ui, chosen: Pane, choices: &[(Pane, &str)], out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    ui.horizontal_centered(|ui| {
        ui.add_space(PAD);
        ui.spacing_mut().item_spacing.x = 16.0;
        for (pane, title) in choices {
            if widgets::tab(ui, title, title, *pane == chosen, &t).clicked() {
                out.push(Command::Pane(*pane));
            }
        }
    });
}

/// The inspector and the appearance.
fn looks(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let sidebar = Command::ToggleInspector;
    icon(
        ui,
        state,
        Icon::Sidebar,
        sidebar,
        Some("what is selected, and why"),
        out,
    );
    let (sun, theme) = if t.dark {
        (Icon::Sun, ThemeChoice::Light)
    } else {
        (Icon::Moon, ThemeChoice::Dark)
    };
    icon(
        ui,
        state,
        sun,
        Command::Theme(theme),
        Some("for this and later sessions"),
        out,
    );
}

fn separator(ui: &mut Ui, t: &Tokens) {
    ui.add_space(3.0);
    let (rect, _) = ui.allocate_exact_size(egui::Vec2::new(1.0, 20.0), egui::Sense::hover());
    ui.painter()
        .rect_filled(rect, egui::CornerRadius::ZERO, t.line);
    ui.add_space(3.0);
}

/// A menu with a small title over its choice.
fn choice(ui: &mut Ui, label: &str, selected: &str, hover: &str, content: impl FnOnce(&mut Ui)) {
    if egui::containers::menu::is_in_menu(ui) {
        ui.menu_button(format!("{label}: {selected}"), |ui| tall(ui, content));
        return;
    }
    let inner = ComboBox::from_id_salt(label)
        .selected_text(selected)
        .width(30.0)
        .height(560.0)
        .show_ui(ui, |ui| {
            ui.set_min_width(120.0);
            content(ui);
        });
    let response = inner.response;
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(egui::Role::ComboBox, true, label);
        info.current_text_value = Some(selected.to_owned());
        info
    });
    if !hover.is_empty() {
        response.on_hover_text(hover);
    }
}

fn pick(
    ui: &mut Ui,
    chosen: bool,
    text: impl Into<String>,
    command: Command,
    out: &mut Vec<Command>,
) {
    let text = text.into();
    if ui.selectable_label(chosen, text).clicked() {
        if !chosen {
            out.push(command);
        }
        // A click of the pointer closes the menu by itself, one of the keyboard does not.
        ui.close();
    }
}

fn model_menu(ui: &mut Ui, state: &State, width: f32, t: &Tokens, out: &mut Vec<Command>) {
    let name = widgets::short_to(ui.painter(), model_name(state), &theme::strong(), width);
    let title = RichText::new(name).font(theme::strong()).color(t.strong);
    let menu = ui.menu_button(title, |ui| tall(ui, |ui| models(ui, state, t, out)));
    menu.response
        .widget_info(|| WidgetInfo::labeled(egui::Role::Button, true, "Model"));
    takes_keyboard(state, Pane::Top, &menu.response);
    if let Some(open) = &state.open {
        let source = &open.model.source;
        menu.response.on_hover_text(format!(
            "{}\n{}\n{} ops in {} modules\n{} (opset {})",
            open.model.name,
            open.path.display(),
            open.model.ops.len(),
            open.model.modules.len(),
            source.producer,
            source.opset
        ));
    }
}

/// Models and placements to open.
fn models(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    ui.set_min_width(220.0);
    for command in [
        Command::OpenModel,
        Command::OpenPlacement,
        Command::AskInputs,
    ] {
        menu_item(ui, state, command, out);
    }
    let bundled = crate::model::onnx::bundled();
    if !bundled.is_empty() {
        ui.separator();
        ui.label(RichText::new("Bundled").font(theme::small()).color(t.dim));
        for model in bundled {
            if ui.button(model.title).clicked() {
                out.push(Command::OpenPath(model.path()));
                ui.close();
            }
        }
    }
    if !state.recent.is_empty() {
        ui.separator();
        ui.label(RichText::new("Recent").font(theme::small()).color(t.dim));
        for path in &state.recent {
            let text = crate::gui::data::open::file_name(path);
            if ui
                .button(short(&text, 40))
                .on_hover_text(path.display().to_string())
                .clicked()
            {
                out.push(Command::OpenPath(path.clone()));
                ui.close();
            }
        }
    }
}

fn target_menus(ui: &mut Ui, state: &State, full: bool, t: &Tokens, out: &mut Vec<Command>) {
    let target = &state.target;
    let board = &board_name(state);
    let here = state.here().is_some_and(|h| h.board.id == target.board.id);
    let hover = match (&state.measuring.host, here) {
        (Some(host), true) => format!("Measured on {host}"),
        (None, true) => "This machine".into(),
        (_, false) => "Simulated; no board is needed to plan".into(),
    };
    choice(ui, "Board", board, &hover, |ui| {
        let names = |ui: &mut Ui, out: &mut Vec<Command>| {
            for b in boards() {
                let chosen = b.id == target.board.id;
                pick(ui, chosen, b.name, Command::Board(b.id), out);
            }
        };
        if ui.ctx().content_rect().width() < 620.0 {
            names(ui, out);
            machines(ui, state, t, out);
            return;
        }
        // Side by side: below the boards, the machines would be below the fold.
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| names(ui, out));
            ui.add_space(4.0);
            ui.vertical(|ui| machines(ui, state, t, out));
        });
    });
    choice(
        ui,
        "Power mode",
        target.mode.name,
        "nvpmodel's clocks",
        |ui| {
            for m in target.board.modes {
                let dla = match target.board.dla_clocks(m) {
                    Some(clocks) => format!("DLA {clocks} MHz, "),
                    None => String::new(),
                };
                let text = format!(
                    "{}   GPU {:.0} MHz, {dla}{:.0} GB/s",
                    m.name, m.gpu_mhz, m.dram_gbs
                );
                pick(
                    ui,
                    m.name == target.mode.name,
                    text,
                    Command::Mode(m.name),
                    out,
                );
            }
        },
    );
    let version = tensorrt_name(state, full);
    choice(ui, "TensorRT", &version, target.tensorrt.jetpack(), |ui| {
        for v in target.board.tensorrt {
            let text = format!("TensorRT {v}   {}", v.jetpack());
            pick(ui, *v == target.tensorrt, text, Command::TensorRt(*v), out);
        }
    });
    if state.dla_cores() == 0 {
        widgets::pill(ui, "no DLA", t.amber_soft, t.amber).on_hover_text(state.no_dla_reason());
    }
}

/// What measures: this machine, those used before, another one.
fn machines(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let measuring = &state.measuring;
    let small = RichText::new("Measured on").font(theme::small());
    ui.label(small.color(t.dim));
    let elsewhere = measuring.hosts.iter().map(Some);
    for host in [None].into_iter().chain(elsewhere) {
        let text = host.map_or("this machine".into(), Host::to_string);
        let command = Command::MeasureOn(host.cloned());
        let free = state.unavailable(&command).is_none();
        ui.add_enabled_ui(free, |ui| {
            ui.horizontal(|ui| {
                let chosen = measuring.host.as_ref() == host;
                pick(ui, chosen, short(&text, 34), command, out);
                let Some(host) = host else { return };
                let forget = Command::ForgetHost(host.clone());
                let (label, hover) = (forget.text(), "Remove from list");
                if widgets::icon_button(ui, Icon::Close, &label, hover, free).clicked() {
                    out.push(forget);
                }
            });
        });
    }
    menu_item(ui, state, Command::AskMeasureOn, out);
    ui.separator();
    for of in [SweepOf::Kept, SweepOf::Preset] {
        menu_item(ui, state, Command::Sweep(of), out);
    }
    if measuring.swept.is_some() {
        menu_item(ui, state, Command::CopySweep, out);
    }
    menu_item(ui, state, Command::Survey, out);
    if !measuring.power_modes().is_empty() {
        menu_item(ui, state, Command::AskBoardSettings, out);
        if !measuring.settings.is_none() {
            let text = RichText::new(measuring.settings.commands()).font(theme::small());
            ui.label(text.color(t.amber));
        }
    }
}

fn config_menus(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let config = state.config();
    choice(
        ui,
        "Precision",
        &precision_name(state),
        &format!("TensorRT's precision flags{}", config.io_words()),
        |ui| {
            for p in Precision::ALL {
                let text = if p.dla_capable() {
                    p.title().to_owned()
                } else {
                    format!("{}   GPU only", p.title())
                };
                pick(ui, p == config.precision, text, Command::Precision(p), out);
            }
            if config.precision.int8 {
                ui.separator();
                let small = RichText::new("Ranges when measured").font(theme::small());
                ui.label(small.color(t.dim));
                let own = state.calibration.as_ref();
                pick(
                    ui,
                    own.is_none(),
                    "made up",
                    Command::Calibration(None),
                    out,
                );
                if let Some(path) = own {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let command = Command::Calibration(Some(path.clone()));
                    pick(ui, true, short(&name, 30), command, out);
                }
                menu_item(ui, state, Command::AskCalibration, out);
            }
            io_formats(ui, state, t, out);
        },
    );
    if egui::containers::menu::is_in_menu(ui) {
        ui.horizontal(|ui| batch_field(ui, state, t, out));
    } else {
        batch_field(ui, state, t, out);
    }
    if state.dla_cores() > 0 {
        let core = core_name(state);
        let hover = "The DLA core of this engine; one per engine";
        choice(ui, "DLA core", &core, hover, |ui| {
            for n in 0..state.dla_cores() {
                pick(
                    ui,
                    n == config.dla_core,
                    format!("core {n}"),
                    Command::Core(n),
                    out,
                );
            }
        });
        let fallback = fallback_name(state);
        let hover = "What happens to ops the DLA refuses";
        choice(ui, "GPU fallback", fallback, hover, |ui| {
            pick(
                ui,
                config.gpu_fallback,
                "fallback   run on the GPU",
                Command::GpuFallback(true),
                out,
            );
            pick(
                ui,
                !config.gpu_fallback,
                "strict   the build fails",
                Command::GpuFallback(false),
                out,
            );
        });
    }
    let default = state.doc.placement().default;
    let text = default_name(state);
    let hover = "Default device for modules without their own setting";
    choice(ui, "Default device", &text, hover, |ui| {
        for d in [Device::Gpu, Device::Dla] {
            pick(ui, d == default, d.as_str(), Command::Default(d), out);
        }
    });
}

/// Formats of inputs and of outputs, of those that the precision has.
fn io_formats(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let io = state.config().io;
    for outputs in [false, true] {
        let (title, now) = if outputs {
            ("Outputs", io.output)
        } else {
            ("Inputs", io.input)
        };
        let choices: Vec<IoFormat> = state.io_choices(outputs).collect();
        if choices.len() < 2 {
            continue;
        }
        ui.separator();
        ui.label(RichText::new(title).font(theme::small()).color(t.dim));
        for format in choices {
            let formats = if outputs {
                IoFormats {
                    output: format,
                    ..io
                }
            } else {
                IoFormats {
                    input: format,
                    ..io
                }
            };
            let command = Command::IoFormats(formats);
            pick(ui, format == now, format.as_str(), command, out);
        }
    }
}

fn batch_field(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    ui.label(RichText::new("batch").color(t.dim));
    let now = state.config().batch;
    let mut batch = now;
    let range = 1..=EngineConfig::MAX_BATCH;
    let drag = widgets::number(ui, "Batch", &mut batch, range, |d| d.speed(0.05));
    if drag.on_hover_text("Images per inference").changed() {
        out.push(Command::Batch(batch));
    }
}

/// Stays pressed while its panel is open.
fn find_button(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let command = Command::FindBest;
    let why = state.unavailable(&command);
    let open = state.find.open;
    let mut button = Button::new(command.text());
    if open {
        button = button.fill(t.selected).stroke((1.0, t.accent));
    }
    let response = ui.add_enabled(why.is_none(), button);
    response.widget_info(|| {
        WidgetInfo::selected(egui::Role::Button, why.is_none(), open, command.text())
    });
    let hover = hover_text(ui, &command);
    let response = response
        .on_hover_text(hover)
        .on_disabled_hover_text(why.clone().unwrap_or_default());
    if response.clicked() {
        out.push(command);
    }
}

fn profile_button(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let why = state.unavailable(&Command::Profile);
    let response = ui.add_enabled(why.is_none(), Button::new("Profile"));
    let keys = Command::Profile
        .shortcut()
        .map(|s| ui.ctx().format_shortcut(&s))
        .unwrap_or_default();
    let hover = format!("{}\n{keys}", state.profile_hint());
    let response = response
        .on_hover_text(hover)
        .on_disabled_hover_text(why.unwrap_or_default());
    if response.clicked() {
        out.push(Command::Profile);
    }
}

fn icon(
    ui: &mut Ui,
    state: &State,
    icon: Icon,
    command: Command,
    what: Option<&str>,
    out: &mut Vec<Command>,
) {
    let enabled = state.unavailable(&command).is_none();
    let hover = match what {
        Some(what) => format!("{}: {what}", hover_text(ui, &command)),
        None => state.unavailable(&command).unwrap_or_default(),
    };
    if widgets::icon_button(ui, icon, &command.text(), &hover, enabled).clicked() {
        out.push(command);
    }
}

/// A line of a menu with its keys; disabled with the reason where it cannot be done.
pub fn menu_item(ui: &mut Ui, state: &State, command: Command, out: &mut Vec<Command>) {
    let why = state.unavailable(&command);
    let mut button = Button::new(command.text());
    if let Some(keys) = command.shortcut() {
        button = button.shortcut_text(ui.ctx().format_shortcut(&keys));
    }
    let mut response = ui.add_enabled(why.is_none(), button);
    if !command.tooltip().is_empty() {
        response = response.on_hover_text(command.tooltip());
    }
    if response
        .on_disabled_hover_text(why.unwrap_or_default())
        .clicked()
    {
        out.push(command);
        ui.close();
    }
}

fn export_menu(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    ui.menu_button("Export", |ui| {
        ui.set_min_width(230.0);
        tall(ui, |ui| {
            for kind in Format::all() {
                menu_item(ui, state, Command::Export(kind), out);
            }
            menu_item(ui, state, Command::ExportTree, out);
            menu_item(ui, state, Command::ExportRuns, out);
            ui.separator();
            for kind in Format::all() {
                menu_item(ui, state, Command::CopyExport(kind), out);
            }
        });
    });
}

fn more_menu(ui: &mut Ui, state: &State, shown: &Shown, out: &mut Vec<Command>) {
    let button = widgets::icon_button(ui, Icon::More, "More", "", true);
    egui::Popup::menu(&button).show(|ui| {
        ui.set_min_width(230.0);
        tall(ui, |ui| more(ui, state, shown, out));
    });
}

fn more(ui: &mut Ui, state: &State, shown: &Shown, out: &mut Vec<Command>) {
    if !shown.steps {
        menu_item(ui, state, Command::Undo, out);
        menu_item(ui, state, Command::Redo, out);
    }
    if !shown.run {
        menu_item(ui, state, Command::Profile, out);
    }
    if !shown.keep {
        menu_item(ui, state, Command::Keep, out);
        export_menu(ui, state, out);
        ui.separator();
    }
    for command in [
        Command::Palette,
        Command::FindBest,
        Command::ShowTime,
        Command::ShowCompare,
        Command::ShowMap,
        Command::ShowRuns,
        Command::All(Device::Gpu),
        Command::All(Device::Dla),
        Command::ExpandAll,
        Command::CollapseAll,
        Command::ToggleInspector,
        Command::Messages,
        Command::FullChart,
        Command::Tour(Turn::Start),
        Command::Glossary,
        Command::Shortcuts,
        Command::About,
    ] {
        menu_item(ui, state, command, out);
    }
    ui.separator();
    for theme in ThemeChoice::ALL {
        if ui
            .radio(state.theme == theme, Command::Theme(theme).text())
            .clicked()
        {
            out.push(Command::Theme(theme));
            ui.close();
        }
    }
    ui.separator();
    menu_item(ui, state, Command::Quit, out);
}
