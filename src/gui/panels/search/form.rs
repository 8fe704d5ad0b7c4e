//! What is asked of the search.

use crate::gui::command::Command;
use crate::gui::data::looks::Pane;
use crate::gui::data::search::{Form, GoalKind, NoChoice};
use crate::gui::panels::controls::takes_keyboard;
use crate::gui::state::State;
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::{note, number, short};
use crate::plan::Fallback;
use crate::search::Granularity;
use crate::tasks::modes::batches;
use egui::{
    Button, Checkbox, ComboBox, CornerRadius, Grid, Label, Response, RichText, Role, Ui, Vec2,
    WidgetInfo,
};

/// Goal and constraints.
pub(crate) fn form(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let before = &state.find.form;
    let mut form = before.clone();
    let width = ui.available_width();
    let goal = combo(
        ui,
        "Goal",
        form.goal.text(),
        form.goal.tooltip(),
        width,
        |ui| {
            for &goal in GoalKind::ALL {
                let response = ui.selectable_label(goal == form.goal, goal.text());
                if response.on_hover_text(goal.tooltip()).clicked() {
                    form.goal = goal;
                }
            }
        },
    );
    takes_keyboard(state, Pane::Side, &goal);
    ui.add_space(4.0);
    Grid::new("search form")
        .num_columns(2)
        .spacing([12.0, 5.0])
        .min_col_width(64.0)
        .show(ui, |ui| {
            goal_number(ui, state, &mut form, t);
            name(ui, "Power mode", t);
            power_modes(ui, state, &mut form, t);
            ui.end_row();
            name(ui, "Batch", t);
            all_batches(ui, state, &mut form, t);
            ui.end_row();
            // The stages of a pipeline are no whole engines.
            if form.goal != GoalKind::Pipeline {
                caps(ui, &mut form, t);
            }
            name(ui, "Decide", t);
            granularity(ui, &mut form);
            ui.end_row();
            name(ui, "Subgraphs", t);
            subgraphs(ui, &mut form, state.target.tensorrt.max_loadables(), t);
            ui.end_row();
            let cores = state.dla_cores();
            if cores > 1 && (several(state, &form) || form.goal == GoalKind::Pipeline) {
                name(ui, "DLA cores", t);
                dla_cores(ui, &mut form, cores, t);
                ui.end_row();
            }
            name(ui, "Fallback", t);
            let strict = !state.config().gpu_fallback;
            let mut now = strict;
            let hover = "Never ask the DLA for what it refuses; the same setting as in the top bar";
            let response = ui.add(Checkbox::new(&mut now, "strict"));
            response.widget_info(|| {
                WidgetInfo::selected(Role::CheckBox, true, strict, "Strict search")
            });
            if response.on_hover_text(hover).changed() {
                out.push(Command::GpuFallback(strict));
            }
            ui.end_row();
            name(ui, "Pinned", t);
            pins(ui, &mut form, t);
            ui.end_row();
        });
    if form != *before {
        out.push(Command::FindForm(Box::new(form)));
    }
}

pub(crate) fn name(ui: &mut Ui, text: &str, t: &Tokens) {
    ui.label(RichText::new(text).color(t.dim));
}

/// A menu with an accessible name.
pub(crate) fn combo(
    ui: &mut Ui,
    label: &str,
    selected: &str,
    hover: &str,
    width: f32,
    content: impl FnOnce(&mut Ui),
) -> Response {
    let inner = ComboBox::from_id_salt(("find", label))
        .selected_text(selected)
        .width(width)
        .show_ui(ui, content);
    inner.response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, label);
        info.current_text_value = Some(selected.to_owned());
        info
    });
    inner.response.on_hover_text(hover)
}

/// Several engines at the same time may be proposed: for energy only beside other modes or batches.
fn several(state: &State, form: &Form) -> bool {
    form.goal == GoalKind::Deployment
        || (form.goal == GoalKind::Energy && state.find.choice.is_some())
}

/// One of two: what is in force, or all there is. Where there is no choice, why.
fn as_above_or_all(
    ui: &mut Ui,
    what: &str,
    (now, now_hover): (&str, String),
    (all, all_hover): (&str, String),
    refused: Option<NoChoice>,
    every: &mut bool,
    t: &Tokens,
) {
    if let Some(why) = refused {
        let text = format!("{now}; {}", why.text());
        let said = Label::new(RichText::new(&text).color(t.faint)).truncate();
        let label = ui.add(said.show_tooltip_when_elided(false));
        label.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{what}: {text}")));
        label.on_hover_text(format!("{now_hover}\n{}", why.tooltip()));
        return;
    }
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 12.0;
        for (chosen, text, hover) in [(false, now, now_hover), (true, all, all_hover)] {
            let response = ui.radio(*every == chosen, short(text, 12));
            response.widget_info(|| {
                let label = format!("{what}: {text}");
                WidgetInfo::selected(Role::RadioButton, true, *every == chosen, label)
            });
            if response.on_hover_text(hover).clicked() {
                *every = chosen;
            }
        }
    });
}

fn power_modes(ui: &mut Ui, state: &State, form: &mut Form, t: &Tokens) {
    let modes = state.target.board.modes;
    let names: Vec<&str> = modes.iter().map(|m| m.name).collect();
    let now = state.target.mode.name;
    as_above_or_all(
        ui,
        "Power mode",
        (now, format!("Searches in {now}, as in the top bar")),
        (
            &format!("all {}", modes.len()),
            format!(
                "Searches in every power mode of the board: {}",
                names.join(", ")
            ),
        ),
        state.no_modes(),
        &mut form.every_mode,
        t,
    );
}

fn all_batches(ui: &mut Ui, state: &State, form: &mut Form, t: &Tokens) {
    let Some(open) = &state.open else { return };
    let all = batches(&open.model);
    let words: Vec<String> = all.iter().map(u32::to_string).collect();
    let now = state.config().batch.to_string();
    let range = match &words[..] {
        [first, .., last] => format!("{first} to {last}"),
        _ => String::new(),
    };
    as_above_or_all(
        ui,
        "Batch",
        (&now, format!("Searches at batch {now}, as in the top bar")),
        (
            &range,
            format!("Searches at every batch: {}", words.join(", ")),
        ),
        state.no_batches(),
        &mut form.every_batch,
        t,
    );
}

/// Most latency and power.
fn caps(ui: &mut Ui, form: &mut Form, t: &Tokens) {
    let latency = "Longest time of one inference, of the slowest engine";
    let power = "Most power at the wall, of all engines together";
    for (what, label, hover, first, unit, most) in [
        (
            "Latency",
            "Limit latency",
            latency,
            10.0,
            " ms",
            &mut form.max_latency_ms,
        ),
        (
            "Power",
            "Limit power",
            power,
            20.0,
            " W",
            &mut form.max_watts,
        ),
    ] {
        name(ui, what, t);
        ui.horizontal(|ui| {
            let mut limited = most.is_some();
            let response = ui.add(Checkbox::new(&mut limited, "at most"));
            response
                .widget_info(|| WidgetInfo::selected(Role::CheckBox, true, most.is_some(), label));
            if response.on_hover_text(hover).changed() {
                *most = limited.then_some(first);
            }
            match most {
                Some(most) => {
                    number(ui, &format!("{label} to"), most, 0.01..=1e5, |d| {
                        d.speed(0.1).max_decimals(2).suffix(unit)
                    });
                }
                None => {
                    ui.label(RichText::new("any").color(t.faint));
                }
            }
        });
        ui.end_row();
    }
}

/// The goal's own number.
pub(crate) fn goal_number(ui: &mut Ui, state: &State, form: &mut Form, t: &Tokens) {
    let say = |ui: &mut Ui, text: &str| {
        ui.label(RichText::new(text).color(t.dim));
    };
    match form.goal {
        GoalKind::Latency => return,
        GoalKind::Energy if !several(state, form) => return,
        GoalKind::Deployment | GoalKind::Energy => {
            name(ui, "Engines", t);
            ui.horizontal(|ui| {
                say(ui, "at most");
                number(ui, "Most engines", &mut form.engines, 1..=8, |d| {
                    d.speed(0.05)
                });
                say(ui, "at the same time");
            });
        }
        GoalKind::Pipeline => {
            name(ui, "Stages", t);
            ui.horizontal(|ui| {
                say(ui, "at most");
                number(ui, "Most stages", &mut form.stages, 1..=8, |d| {
                    d.speed(0.05)
                });
            });
        }
        GoalKind::OffGpu => {
            name(ui, "Still", t);
            ui.horizontal(|ui| {
                say(ui, "at least");
                number(ui, "FPS floor", &mut form.min_fps, 0.1..=1e6, |d| {
                    d.max_decimals(1)
                });
                say(ui, "FPS");
            });
        }
        GoalKind::FewestTransitions => {
            name(ui, "Slower", t);
            ui.horizontal(|ui| {
                say(ui, "by at most");
                number(ui, "Most loss", &mut form.max_loss, 0.0..=99.0, |d| {
                    d.speed(0.1).max_decimals(1).suffix(" %")
                });
                say(ui, "than the fastest");
            });
        }
    }
    ui.end_row();
}

pub(crate) fn granularity(ui: &mut Ui, form: &mut Form) {
    let text = |g: Granularity| match g {
        Granularity::Modules => "whole modules".to_owned(),
        Granularity::Ops => "any op".to_owned(),
        Granularity::Blocks(depth) => format!("blocks at depth {depth}"),
    };
    let hover = "What is moved as one: what torch2trt's device_types can say, single ops, or whole \
                 blocks of the tree";
    let now = text(form.granularity);
    combo(ui, "Granularity", &now, hover, 150.0, |ui| {
        for g in [
            Granularity::Modules,
            Granularity::Ops,
            Granularity::Blocks(1),
            Granularity::Blocks(2),
        ] {
            if ui
                .selectable_label(g == form.granularity, text(g))
                .clicked()
            {
                form.granularity = g;
            }
        }
    });
}

pub(crate) fn subgraphs(ui: &mut Ui, form: &mut Form, limit: u32, t: &Tokens) {
    ui.horizontal(|ui| {
        let mut limited = form.max_subgraphs.is_some();
        let response = ui.add(Checkbox::new(&mut limited, "at most"));
        response.widget_info(|| {
            let now = form.max_subgraphs.is_some();
            WidgetInfo::selected(Role::CheckBox, true, now, "Limit DLA subgraphs")
        });
        let hover = format!("DLA subgraphs per engine; a core holds {limit}");
        if response.on_hover_text(hover).changed() {
            form.max_subgraphs = limited.then_some(1);
        }
        match &mut form.max_subgraphs {
            Some(most) => {
                number(ui, "Most DLA subgraphs", most, 0..=limit, |d| d.speed(0.05));
            }
            None => {
                ui.label(RichText::new(limit.to_string()).color(t.faint));
            }
        }
    });
}

pub(crate) fn dla_cores(ui: &mut Ui, form: &mut Form, cores: u32, t: &Tokens) {
    ui.horizontal(|ui| {
        let mut most = form.dla_cores.unwrap_or(cores).min(cores);
        number(ui, "Most DLA cores", &mut most, 1..=cores, |d| {
            d.speed(0.02)
        });
        ui.label(RichText::new(format!("of {cores}")).color(t.dim));
        form.dla_cores = (most < cores).then_some(most);
    });
}

pub(crate) fn pins(ui: &mut Ui, form: &mut Form, t: &Tokens) {
    if form.pinned.is_empty() {
        let text = RichText::new("nothing; a row's menu pins it").color(t.faint);
        ui.add(Label::new(text).truncate());
        return;
    }
    let mut gone = None;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(4.0);
        for (site, device) in &form.pinned {
            let path = short(&site.to_string(), 22);
            let text = RichText::new(format!("{path} {device} ×"))
                .font(theme::small())
                .color(t.device(*device));
            let button = Button::new(text)
                .fill(t.device_soft(*device))
                .corner_radius(CornerRadius::same(8));
            let response = ui.add(button);
            response.widget_info(|| {
                let label = format!("Unpin {site} from {device}");
                WidgetInfo::labeled(Role::Button, true, label)
            });
            let hover = format!("{site} stays on the {device} in every proposal; click to unpin");
            if response.on_hover_text(hover).clicked() {
                gone = Some(site.clone());
            }
        }
    });
    if let Some(site) = gone {
        form.pin(site, None);
    }
}

/// Why no proposal can use the DLA, if none can.
pub(crate) fn refusals(ui: &mut Ui, state: &State, t: &Tokens) {
    let why = match &state.ground {
        _ if state.dla_cores() == 0 => Some(state.no_dla_reason()),
        Some(ground) => ground.engine_refusal.as_ref().map(Fallback::sentence),
        None => None,
    };
    if let Some(why) = why {
        ui.add_space(6.0);
        note(
            ui,
            t.amber_soft,
            t.amber,
            "Everything stays on the GPU",
            &why,
            t,
        );
    }
}
