//! The chart as a scatter, with the front of a search.

use crate::chart::{Axis, Chart, Point, Spot, View};
use crate::figure::{Figure, short};
use crate::gui::command::Command;
use crate::gui::data::compare::Other;
use crate::gui::data::points::Origin;
use crate::gui::panels::chart::marks::{
    batch_color, color_of, draw_mark, found_color, front_color, shaped,
};
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::{theme, widgets};
use egui::{Pos2, Rect, Response, RichText, Role, Stroke, Ui, Vec2, WidgetInfo};

use egui_plot::{Plot, PlotBounds, PlotPoint, PlotTransform};

/// Name, tooltip, click and menu of a bar or point.
pub(crate) fn finish(
    response: Response,
    state: &State,
    at: usize,
    point: &Point,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let value = point.fps.to_string();
    let kind = state.points.chart.kind(point);
    response.widget_info(|| {
        WidgetInfo::labeled(
            Role::Button,
            true,
            format!("{} {kind}: {value}", point.label),
        )
    });
    let load = point
        .load
        .as_ref()
        .filter(|_| !point.current)
        .map(|(placement, config)| {
            Command::Load(point.label.clone(), placement.clone(), config.clone())
        });
    if response.clicked()
        && let Some(load) = load.clone()
    {
        out.push(load);
    }
    if let Some(Origin::Kept(id)) = state.points.origins.get(at) {
        let id = *id;
        if response.has_focus() && state.dialog.is_none() && state.palette.is_none() {
            let ctx = response.ctx.clone();
            let pressed = |key| ctx.input_mut(|i| i.consume_key(egui::Modifiers::NONE, key));
            if pressed(egui::Key::F2) {
                out.push(Command::AskRename(id));
            } else if pressed(egui::Key::Delete) {
                out.push(Command::DeleteKept(id));
            }
        }
        response.context_menu(|ui| {
            let commands = load.clone().into_iter().chain([
                Command::CompareWith(Some(Other::Kept(id))),
                Command::AskRename(id),
                Command::AskNote(id),
                Command::DeleteKept(id),
            ]);
            for command in commands {
                let keys = match command {
                    Command::AskRename(_) => "F2",
                    Command::DeleteKept(_) => "Delete",
                    _ => "",
                };
                let button = egui::Button::new(command.text()).shortcut_text(keys);
                if ui.add(button).clicked() {
                    out.push(command);
                    ui.close();
                }
            }
        });
    }
    // Typing goes on while the pointer rests here.
    if state.palette.is_some() || state.dialog.is_some() {
        return;
    }
    response.on_hover_ui(|ui| {
        ui.label(RichText::new(&point.label).font(theme::strong()));
        if let Some(note) = note(state, at) {
            ui.add(egui::Label::new(RichText::new(note).color(t.text)).wrap());
        }
        let figure = match &point.fps {
            Figure::Estimated(e) => {
                format!("{} FPS {}", short(e.value), e.band)
            }
            Figure::Measured(m) => format!("{} FPS", short(m.value)),
            Figure::None { .. } => "no estimate".to_owned(),
        };
        let precision = point.precision;
        let kind = kind.replacen(precision.as_str(), precision.title(), 1);
        ui.label(format!("{figure}, {kind}, {}", point.mark.text()));
        if let Some(share) = point.dla_mac_share {
            ui.label(format!("{:.0} % of the MACs on DLA", share * 100.0));
        }
        if let Some(mj) = &point.mj_per_image {
            ui.label(format!("{} mJ per image, {}", short(mj.value), mj.source));
        }
        let current = state.judged.as_ref().map(|j| &j.estimate.fps);
        if let Some((text, apart)) = current
            .filter(|_| !point.current)
            .and_then(|now| against(&point.fps, now))
        {
            let color = match apart {
                None => t.dim,
                Some(true) => t.gpu,
                Some(false) => t.error,
            };
            ui.add(egui::Label::new(RichText::new(text).color(color)).wrap());
        }
        ui.label(
            RichText::new(&**point.fps.source())
                .font(theme::small())
                .color(t.dim),
        );
        if load.is_some() {
            let hint = "Click to load this placement";
            ui.label(RichText::new(hint).font(theme::small()).color(t.dim));
        }
    });
}

/// How a figure differs from the estimate of the placement on screen, and whether it is surely more,
/// surely less, or, where the bands meet, neither.
fn against(then: &Figure, now: &Figure) -> Option<(String, Option<bool>)> {
    let (value, estimate) = (then.value()?, now.value()?);
    let delta = value - estimate;
    let percent = (value / estimate - 1.0) * 100.0;
    let mut text =
        format!("{delta:+.1} FPS, {percent:+.1} % against the estimate of this placement");
    let (low, high) = now.range().unwrap_or((estimate, estimate));
    let (least, most) = then.range().unwrap_or((value, value));
    if least <= high && low <= most {
        text += "; within the error band, so they may be equally fast";
        return Some((text, None));
    }
    Some((text, Some(delta >= 0.0)))
}

/// What the user noted on a point.
pub(crate) fn note(state: &State, at: usize) -> Option<&str> {
    let Some(Origin::Kept(id)) = state.points.origins.get(at) else {
        return None;
    };
    let kept = state.kept.iter().find(|k| k.id == *id)?;
    Some(&*kept.note).filter(|n| !n.is_empty())
}

pub(crate) fn scatter(
    ui: &mut Ui,
    state: &State,
    chart: &Chart,
    axis: Axis,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let points = chart.spots(axis);
    if points.is_empty() {
        let why = match axis {
            Axis::DlaShare => "No placement has both an estimate and a share",
            Axis::Energy => "No run on this target has a measured energy",
        };
        ui.centered_and_justified(|ui| {
            ui.label(RichText::new(why).color(t.dim));
        });
        return;
    }
    // What a search finds has no measured energy.
    let none = Chart::default();
    let front = match axis {
        Axis::DlaShare => &state.points.front,
        Axis::Energy => &none,
    };
    let top = chart.scatter_top(axis).max(front.max_fps(View::Scatter)) * 1.08;
    let fronts = chart.fronts_over(axis);
    let area = ui.available_rect_before_wrap();
    let area = Rect::from_min_max(
        area.min + Vec2::new(PAD, 6.0),
        area.max - Vec2::new(PAD, 4.0),
    );
    let mut inner = ui.new_child(egui::UiBuilder::new().max_rect(area));
    let small = theme::small();
    let styles = &mut inner.style_mut().text_styles;
    for style in [egui::TextStyle::Body, egui::TextStyle::Small] {
        styles.insert(style, small.clone());
    }
    // A plot keeps the bounds it began with: other figures are another plot.
    let values = points.iter().map(|(_, value, _)| *value);
    let found = front.scatter();
    let (left, right) = axis.bounds(values.chain(found.iter().map(|(_, share, _)| *share)));
    let steps = match right - left {
        w if axis == Axis::Energy => {
            let unit = 10f64.powf(w.log10().floor());
            [unit * 10.0, unit, unit / 2.0]
        }
        w if w > 50.0 => [100.0, 50.0, 10.0],
        w if w > 20.0 => [50.0, 10.0, 5.0],
        w if w > 4.0 => [10.0, 5.0, 1.0],
        _ => [1.0, 0.5, 0.1],
    };
    let bounds = [top, left, right].map(f64::to_bits);
    // So it is shown whole again, where it was moved or enlarged, on a double click.
    let resets = egui::Id::unique("scatter resets");
    let again: u32 = ui.data(|d| d.get_temp(resets)).unwrap_or_default();
    let drawn = Plot::new(("scatter", bounds, again))
        .x_axis_label(axis.label())
        .y_axis_label("FPS")
        .default_x_bounds(left, right)
        .default_y_bounds(0.0, top)
        .allow_boxed_zoom(false)
        // The wheel would move the points out of sight; dragging moves the chart.
        .allow_scroll(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        .label_formatter(|_| None)
        .grid_color(t.line)
        .show_background(false)
        .x_grid_spacer(egui_plot::uniform_grid_spacer(move |_| steps))
        .x_axis_formatter(|mark, _| {
            let digits = usize::from(mark.step_size < 1.0);
            format!("{:.digits$}", mark.value)
        })
        .show(&mut inner, |_| {});
    let frame = *drawn.transform.frame();
    let moved = moved(drawn.transform.bounds(), [left, 0.0], [right, top]);
    if drawn.response.double_clicked() || moved && show_all(ui, frame, t) {
        ui.data_mut(|d| d.insert_temp(resets, again.wrapping_add(1)));
    }
    let painter = ui.painter().with_clip_rect(frame);
    for (precision, line) in &fronts {
        let at = |(_, value, fps): &Spot| {
            let point = PlotPoint::new(axis.shown(*value), *fps);
            drawn.transform.position_from_point(&point)
        };
        let stroke = Stroke::new(1.5, front_color(t));
        segments(&painter, &line.iter().map(at).collect::<Vec<_>>(), stroke);
        // The front's left end names its precision.
        if let Some((_, value, fps)) = line.first() {
            let at = PlotPoint::new(axis.shown(*value), *fps);
            let aside = if axis == Axis::Energy { -34.0 } else { 10.0 };
            let at = drawn.transform.position_from_point(&at) + Vec2::new(aside, -12.0);
            let text = precision.title();
            painter.text(at, egui::Align2::LEFT_CENTER, text, theme::small(), t.dim);
        }
    }
    let several = !shaped(state).is_empty();
    crate::gui::panels::chart::scatter::front(ui, state, front, &drawn.transform, several, t, out);
    // The current placement last, over the others, and other batches under all.
    let mut points = points;
    points.sort_by_key(|(i, ..)| {
        let point = &chart.points[*i];
        (point.current, !chart.other_batch(point))
    });
    for (i, value, fps) in points {
        let point = &chart.points[i];
        let color = batch_color(chart, point, color_of(point, t));
        let place = |y: f64| {
            drawn
                .transform
                .position_from_point(&PlotPoint::new(axis.shown(value), y))
        };
        let at = place(fps);
        if !frame.contains(at) {
            continue;
        }
        if let Some((low, high)) = point.fps.range().filter(|(l, h)| h > l) {
            painter.vline(
                at.x,
                place(high).y..=place(low).y,
                Stroke::new(1.2, color.gamma_multiply(0.6)),
            );
        }
        let hit = Rect::from_center_size(at, Vec2::splat(14.0));
        let id = egui::Id::unique(("point", i));
        let sense = widgets::one_stop(ui, "points", id, point.current);
        let response = ui.interact(hit, id, sense);
        let r = if response.hovered() || point.current {
            6.0
        } else {
            4.5
        };
        let shape = point.shape(several);
        if state.points.other == Some(i) {
            painter.circle_stroke(at, 10.0, Stroke::new(1.5, t.accent));
        }
        draw_mark(&painter, at, point.mark, shape, color, r, t);
        finish(response, state, i, point, t, out);
    }
}

/// A line as segments by themselves: joined, near points at sharp angles make wedges.
fn segments(painter: &egui::Painter, line: &[Pos2], stroke: Stroke) {
    for ends in line.windows(2) {
        painter.line_segment([ends[0], ends[1]], stroke);
    }
}

/// Whether a plot shows another part than the whole.
fn moved(now: &PlotBounds, min: [f64; 2], max: [f64; 2]) -> bool {
    let off = |now: [f64; 2], whole: [f64; 2]| {
        (0..2).any(|i| (now[i] - whole[i]).abs() > (max[i] - min[i]) * 0.005)
    };
    off(now.min(), min) || off(now.max(), max)
}

/// The way back to the whole chart, in its corner.
fn show_all(ui: &mut Ui, frame: Rect, t: &Tokens) -> bool {
    let size = Vec2::new(64.0, 22.0);
    let corner = frame.right_top() + Vec2::new(-size.x - 6.0, 6.0);
    let text = RichText::new("Show all").font(theme::small()).color(t.text);
    let button = ui.put(Rect::from_min_size(corner, size), egui::Button::new(text));
    button
        .on_hover_text("The whole chart again; a double click does the same")
        .clicked()
}

/// The points of the front in the scatter.
pub fn front(
    ui: &Ui,
    state: &State,
    front: &Chart,
    transform: &PlotTransform,
    several: bool,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let frame = *transform.frame();
    let painter = ui.painter().with_clip_rect(frame);
    let place =
        |share: f64, fps: f64| transform.position_from_point(&PlotPoint::new(share * 100.0, fps));
    if let Some(first) = front.points.first() {
        let line: Vec<Pos2> = front
            .pareto(first.precision)
            .iter()
            .map(|(_, share, fps)| place(*share, *fps))
            .collect();
        segments(&painter, &line, Stroke::new(1.5, found_color(t)));
    }
    for (i, share, fps) in front.scatter() {
        let point = &front.points[i];
        let at = place(share, fps);
        if !frame.contains(at) {
            continue;
        }
        let hit = Rect::from_center_size(at, Vec2::splat(12.0));
        let id = egui::Id::unique(("front", i));
        let sense = widgets::one_stop(ui, "front", id, false);
        let response = ui.interact(hit, id, sense);
        let r = if response.hovered() { 5.0 } else { 3.2 };
        let color = batch_color(&state.points.chart, point, t.accent);
        let shape = point.shape(several);
        draw_mark(&painter, at, point.mark, shape, color, r, t);
        finish(response, state, usize::MAX, point, t, out);
    }
}
