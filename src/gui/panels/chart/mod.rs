//! The chart: FPS per placement as bars or against the DLA's share, and engines side by side.

pub mod bars;
pub mod marks;
pub mod scatter;
use egui::{CornerRadius, Pos2, Rect, Sense, Ui, UiBuilder, Vec2};

use crate::chart::{Axis, Chart, View};
use crate::gui::command::Command;
use crate::gui::data::looks::Pane;
use crate::gui::panels::chart::bars::bars;
use crate::gui::panels::chart::marks::{LEGEND_ROW, Legend};
use crate::gui::panels::chart::scatter::scatter;
use crate::gui::panels::controls::{hover_text, takes_keyboard};
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets::Icon;
use crate::gui::ui::{theme, widgets};

/// Room for the heading of the first bars beside the legend.
const HEADING: f32 = 130.0;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    let chart = &state.points.chart;
    let beside = tabs(ui, state, chart, &t, out);
    if state.runs.shown {
        crate::gui::panels::runs::show(ui, state, out);
        return;
    }
    if !beside {
        // Beside the first heading of the bars, or over the plot and over names of deployments, which
        // have any length.
        let heading = match state.view_of_chart {
            View::Scatter | View::Energy | View::Deployments => 0.0,
            View::Bars => HEADING,
        };
        let width = ui.available_width() - 2.0 * PAD - heading;
        let legend = Legend::of(ui, state, &t);
        let (rows, full) = legend.rows(width);
        let top_right = ui.max_rect().right_top().x - PAD;
        let at = Pos2::new(top_right, ui.cursor().top() + 4.0);
        legend.draw(ui, at, &rows, full, &t);
        ui.add_space(match state.view_of_chart {
            View::Scatter | View::Energy | View::Deployments => {
                LEGEND_ROW * rows.len() as f32 + 4.0
            }
            View::Bars => LEGEND_ROW * rows.len().saturating_sub(1) as f32,
        });
    }
    match state.view_of_chart {
        View::Bars => bars(ui, state, &chart.groups(), View::Bars, &t, out),
        View::Scatter => scatter(ui, state, chart, Axis::DlaShare, &t, out),
        View::Energy => scatter(ui, state, chart, Axis::Energy, &t, out),
        View::Deployments => bars(ui, state, &chart.deployments(), View::Deployments, &t, out),
    }
}

/// Between tabs.
const TAB_GAP: f32 = 16.0;
/// The button for the full screen, at the right end.
const GROW: f32 = 24.0;

/// Draws the tabs; true where the legend stands beside them.
fn tabs(ui: &mut Ui, state: &State, chart: &Chart, t: &Tokens, out: &mut Vec<Command>) -> bool {
    let mut beside = false;
    let (line, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(line, CornerRadius::ZERO, t.line);
    let runs = match state.runs.total() {
        0 => "Runs".to_owned(),
        n => format!("Runs {n}"),
    };
    let views: Vec<View> = View::ALL
        .iter()
        .copied()
        .filter(|v| match v {
            View::Deployments => !chart.deployments().is_empty(),
            View::Energy => state.view_of_chart == *v || !chart.spots(Axis::Energy).is_empty(),
            View::Bars | View::Scatter => true,
        })
        .collect();
    let width = |text: &str| {
        let font = theme::strong();
        widgets::line(ui.painter(), text, font, t.dim, f32::INFINITY)
            .size()
            .x
    };
    let names = views.iter().map(|v| width(v.title()) + TAB_GAP);
    let full = names.sum::<f32>() + width(&runs) + 2.0 * PAD + GROW <= ui.available_width();
    ui.horizontal(|ui| {
        ui.set_height(30.0);
        ui.add_space(PAD);
        ui.spacing_mut().item_spacing.x = TAB_GAP;
        for view in views {
            let chosen = state.view_of_chart == view && !state.runs.shown;
            let text = if full {
                view.title()
            } else {
                view.short_title()
            };
            let tab = widgets::tab(ui, view.title(), text, chosen, t);
            if chosen {
                takes_keyboard(state, Pane::Chart, &tab);
            }
            if tab.clicked() {
                out.push(Command::Chart(view));
            }
        }
        let tab = widgets::tab(ui, &runs, &runs, state.runs.shown, t);
        if state.runs.shown {
            takes_keyboard(state, Pane::Chart, &tab);
        }
        if tab.clicked() {
            out.push(Command::ShowRuns);
        }
        if !state.runs.shown {
            let legend = Legend::of(ui, state, t);
            let room = ui.available_width() - PAD - GROW;
            beside = legend.fits(room);
            if beside {
                let (rows, full) = legend.rows(room);
                let right = ui.max_rect().right() - PAD - GROW;
                let y = ui.max_rect().center().y - LEGEND_ROW / 2.0;
                legend.draw(ui, Pos2::new(right, y), &rows, full, t);
            }
        }
        let rect = Rect::from_center_size(
            ui.max_rect().right_center() - Vec2::new(PAD / 2.0 + GROW / 2.0, 0.0),
            Vec2::splat(GROW),
        );
        ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| {
            let command = Command::FullChart;
            let hover = hover_text(ui, &command);
            if widgets::icon_button(ui, Icon::Grow, &command.text(), &hover, true).clicked() {
                out.push(command);
            }
        });
    });
    beside
}
