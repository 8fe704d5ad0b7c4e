//! What is asked of the search.

use crate::gui::command::Command;
use crate::gui::data::looks::Pane;
use crate::gui::data::search::{Form, GoalKind};
use crate::gui::panels::controls::takes_keyboard;
use crate::gui::state::State;
use crate::gui::ui::theme;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::{note, number};
use crate::plan::Fallback;
use crate::search::Granularity;
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
            goal_number(ui, &mut form, t);
            name(ui, "Decide", t);
            granularity(ui, &mut form);
            ui.end_row();
            name(ui, "Subgraphs", t);
            subgraphs(ui, &mut form, state.target.tensorrt.max_loadables(), t);
            ui.end_row();
            let cores = state.dla_cores();
            if cores > 1 && matches!(form.goal, GoalKind::Deployment | GoalKind::Pipeline) {
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

/// The goal's own number.
pub(crate) fn goal_number(ui: &mut Ui, form: &mut Form, t: &Tokens) {
    let say = |ui: &mut Ui, text: &str| {
        ui.label(RichText::new(text).color(t.dim));
    };
    match form.goal {
        GoalKind::Latency => return,
        GoalKind::Deployment => {
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
            let path = crate::gui::ui::widgets::short(&site.to_string(), 22);
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
