//! Where the time goes: the steps from all on the GPU to the placement on screen, and the kernels
//! that take longest.

use egui::{
    Align, Color32, ComboBox, CornerRadius, Label, Pos2, Rect, RichText, Role, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo,
};

use crate::estimate::{Bar, Cause, Kernel, Step, Waterfall, signed_ms};
use crate::figure::{Figure, short};
use crate::gui::command::Command;
use crate::gui::data::judgement::{Company, Judgement};
use crate::gui::data::open::Open;
use crate::gui::data::tree_index::Sort;
use crate::gui::panels::controls::side;
use crate::gui::state::State;
use crate::gui::ui::theme::Tokens;
use crate::gui::ui::widgets::{note, section};
use crate::gui::ui::{theme, widgets};
use crate::model::OpId;
use crate::placement::Device;

/// Kernels in each list.
const LISTED: usize = 10;

/// Draws the panel.
pub fn show(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let t = Tokens::of(ui);
    let title = Command::ShowTime.text();
    side(ui, state, &title, Command::ShowTime, out, |ui, out| {
        let (Some(open), Some(judged)) = (&state.open, state.judged.as_deref()) else {
            return;
        };
        match &judged.breakdown {
            Err(why) => note(ui, t.amber_soft, t.amber, "No estimate", why, &t),
            Ok(breakdown) => {
                beside(ui, state, out);
                match &judged.together {
                    None => waterfall(ui, judged, &breakdown.waterfall, &t, out),
                    Some(Err(why)) => note(ui, t.amber_soft, t.amber, "No estimate", why, &t),
                    Some(Ok(together)) => {
                        waterfall(ui, judged, &together.waterfall, &t, out);
                        let [this, other, both] = together.fps.each_ref().map(fps);
                        let text = format!("{this} FPS and {other} FPS, together {both} FPS");
                        ui.add(Label::new(RichText::new(text).color(t.dim)).wrap());
                    }
                }
                sorting(ui, state, out);
                kernels(
                    ui,
                    open,
                    "Slowest kernels",
                    &breakdown.hottest,
                    false,
                    &t,
                    out,
                );
                let title = "Slower on the DLA than on the GPU";
                kernels(ui, open, title, &breakdown.losses, true, &t, out);
            }
        }
    });
}

/// A figure without its unit.
fn fps(figure: &Figure) -> String {
    figure.value().map_or_else(|| "–".to_owned(), short)
}

/// Which engine runs at the same time.
fn beside(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    let name = |company: Option<Company>| match company {
        None => "this engine alone".to_owned(),
        Some(company) => format!("beside {}", company.text()),
    };
    let chosen = name(state.company);
    let width = ui.available_width() - 8.0;
    let inner = ComboBox::from_id_salt("beside")
        .selected_text(&chosen)
        .width(width)
        .show_ui(ui, |ui| {
            let cores = (0..state.dla_cores()).map(|c| Some(Company::Dla(c)));
            for company in [None, Some(Company::Gpu)].into_iter().chain(cores) {
                let now = state.company == company;
                if ui.selectable_label(now, name(company)).clicked() {
                    out.push(Command::Beside(company));
                    ui.close();
                }
            }
        });
    inner.response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, "Running");
        info.current_text_value = Some(chosen.clone());
        info
    });
}

fn waterfall(
    ui: &mut Ui,
    judged: &Judgement,
    fall: &Waterfall,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let verdict = fall.verdict();
    let text = ui.add(Label::new(RichText::new(&verdict).color(t.text)).wrap());
    text.widget_info(|| WidgetInfo::labeled(Role::Status, true, &verdict));
    ui.add_space(6.0);
    let spacing = std::mem::take(&mut ui.spacing_mut().item_spacing.y);
    // The end of the bar above, and where it was drawn.
    let mut before: Option<Pos2> = None;
    let picture = fall.picture("this placement");
    for (i, line) in picture.bars.iter().enumerate() {
        let step = i.checked_sub(1).and_then(|i| fall.steps.get(i));
        let whole = if i == 0 { &fall.from } else { &fall.to };
        let figure = step.map_or(whole, |s| &s.ms);
        before = Some(bar(ui, judged, line, step, figure, i == 0, before, t, out));
    }
    ui.spacing_mut().item_spacing.y = spacing;
    if let Some(note) = picture.note() {
        ui.label(RichText::new(note).font(theme::small()).color(t.faint));
    }
}

fn color(line: &Bar, first: bool, t: &Tokens) -> Color32 {
    match line.cause {
        None if first => t.gpu,
        None => t.current,
        Some(Cause::LeavesGpu) => t.gpu,
        Some(Cause::RunsOnDla) => t.dla,
        Some(Cause::Contention) => t.error,
        Some(_) => t.amber,
    }
}

/// One line; returns where its bar ends.
#[expect(
    clippy::too_many_arguments,
    reason = "all of one row's drawing context"
)]
fn bar(
    ui: &mut Ui,
    judged: &Judgement,
    line: &Bar,
    step: Option<&Step>,
    figure: &Figure,
    first: bool,
    before: Option<Pos2>,
    t: &Tokens,
    out: &mut Vec<Command>,
) -> Pos2 {
    let moved = matches!(line.cause, Some(Cause::LeavesGpu | Cause::RunsOnDla));
    let (rect, response) = if moved {
        widgets::list_row(ui, "steps", 32.0, t)
    } else {
        widgets::row(ui, 32.0, Sense::hover(), t)
    };
    let painter = ui.painter();
    let words = rect.with_max_y(rect.top() + 18.0);
    let top = rect.top() + 20.0;
    if let Some(from) = before {
        // Not through the words.
        let line = Stroke::new(1.0, t.faint);
        painter.vline(from.x, from.y..=from.y + 3.0, line);
        painter.vline(from.x, top - 3.0..=top, line);
    }
    let value = widgets::line(
        painter,
        &line.value,
        theme::figures(),
        t.strong,
        f32::INFINITY,
    );
    let room = words.with_max_x(words.right() - value.size().x - 8.0);
    let ink = if line.cause.is_none() {
        t.strong
    } else {
        t.text
    };
    widgets::text_in(painter, room, &line.text, theme::body(), ink, Align::Min);
    let at = Pos2::new(
        words.right() - value.size().x,
        words.center().y - value.size().y / 2.0,
    );
    painter.galley(at, value, t.strong);
    let track = Rect::from_min_max(
        Pos2::new(rect.left(), top),
        Pos2::new(rect.right(), top + 9.0),
    );
    painter.rect_filled(track, CornerRadius::same(2), t.base);
    let x = |share: f64| track.left() + track.width() * share as f32;
    let body = Rect::from_min_max(
        Pos2::new(x(line.left), track.top()),
        Pos2::new(x(line.right).max(x(line.left) + 1.5), track.bottom()),
    );
    let color = color(line, first, t);
    if line.saves {
        painter.rect_filled(body, CornerRadius::same(2), color.gamma_multiply(0.18));
        let edge = Stroke::new(1.2, color);
        painter.rect_stroke(body, CornerRadius::same(2), edge, StrokeKind::Inside);
    } else {
        painter.rect_filled(body, CornerRadius::same(2), color.gamma_multiply(0.85));
    }
    let label = format!("{}: {}", line.text, line.value);
    let role = if moved { Role::Button } else { Role::Label };
    response.widget_info(|| WidgetInfo::labeled(role, true, &label));
    if response.clicked() {
        let on_dla = |op: &usize| judged.plan.predicted[*op] == Device::Dla;
        let ops = (0..judged.plan.predicted.len()).filter(on_dla);
        out.push(Command::SelectOps(ops.map(|op| OpId(op as u32)).collect()));
    }
    response.on_hover_ui(|ui| {
        ui.label(RichText::new(&label).font(theme::strong()));
        if let Some(step) = step {
            ui.label(step.cause.explanation());
            if step.bytes > 0 {
                ui.label(format!("{} in all", widgets::bytes(step.bytes)));
            }
        }
        if let Figure::Estimated(e) = figure {
            let text = format!("Estimated, {}: {}", e.band, e.source);
            ui.label(RichText::new(text).font(theme::small()).color(t.dim));
        }
    });
    let end = if line.saves {
        body.left()
    } else {
        body.right()
    };
    Pos2::new(end.min(track.right() - 0.5), track.bottom())
}

/// What the tree is sorted by.
fn sorting(ui: &mut Ui, state: &State, out: &mut Vec<Command>) {
    section(ui, "Sort the tree by", &Tokens::of(ui));
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for &sort in Sort::ALL {
            let command = Command::Sort(sort);
            if state.unavailable(&command).is_some() {
                continue;
            }
            let chosen = state.sort == sort;
            let sense = widgets::one_stop(ui, "sorts", ui.next_auto_id(), chosen);
            let response = ui.add(egui::Button::selectable(chosen, sort.text()).sense(sense));
            if response.on_hover_text(command.tooltip()).clicked() && !chosen {
                out.push(command);
            }
        }
    });
}

/// Kernels with their time, or with what they lose.
fn kernels(
    ui: &mut Ui,
    open: &Open,
    title: &str,
    kernels: &[Kernel],
    lost: bool,
    t: &Tokens,
    out: &mut Vec<Command>,
) {
    let Some(first) = kernels.first() else { return };
    section(ui, title, t);
    let spacing = std::mem::take(&mut ui.spacing_mut().item_spacing.y);
    let measure = |k: &Kernel| {
        if lost {
            k.loss_ms().unwrap_or(0.0)
        } else {
            k.ms
        }
    };
    let most = measure(first);
    for kernel in kernels.iter().take(LISTED) {
        let Some((main, fused)) = kernel.ops.split_first() else {
            continue;
        };
        let model = &open.model;
        let value = measure(kernel);
        let text = if lost {
            signed_ms(value)
        } else {
            widgets::duration(value)
        };
        let (rect, response) = widgets::list_row(ui, "kernels", theme::ROW, t);
        if !ui.is_rect_visible(rect) {
            continue;
        }
        let painter = ui.painter();
        let color = t.device(kernel.device);
        painter.circle_filled(rect.left_center() + Vec2::new(4.0, 0.0), 3.0, color);
        let cell = rect.with_min_x(rect.right() - 64.0);
        let share = if most > 0.0 { value / most } else { 0.0 };
        widgets::draw_bar_cell(painter, t, cell, &text, share as f32, color, false);
        let op = model.op(*main);
        let path = &model.modules.get(op.module).path;
        let name = if path.is_empty() { &op.name } else { path };
        let room = rect
            .with_min_x(rect.left() + 13.0)
            .with_max_x(cell.left() - 6.0);
        let cut = widgets::short_to(painter, name, &theme::body(), room.width());
        let end = widgets::text_in(painter, room, &cut, theme::body(), t.text, Align::Min);
        let rest = room.with_min_x(end + 6.0);
        if rest.width() > 24.0 {
            let small = theme::small();
            widgets::text_in(painter, rest, &op.op_type, small, t.faint, Align::Min);
        }
        let label = format!("{name} on {}: {text}", kernel.device);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
        if response.clicked() {
            let mut ops = kernel.ops.clone();
            ops.sort_unstable();
            out.push(Command::SelectOps(ops));
        }
        response.on_hover_ui(|ui| {
            ui.label(RichText::new(&*op.name).font(theme::strong()));
            if !fused.is_empty() {
                let types: Vec<&str> = fused.iter().map(|o| &*model.op(*o).op_type).collect();
                ui.label(format!("with {} fused into it", types.join(", ")));
            }
            ui.label(format!(
                "{} on the {}",
                widgets::duration(kernel.ms),
                kernel.device
            ));
            match kernel.other_ms {
                Some(ms) => {
                    let other = kernel.device.other();
                    ui.label(format!("{} on the {other}", widgets::duration(ms)));
                }
                None if kernel.device == Device::Gpu => {
                    ui.label("The DLA does not take all of it");
                }
                None => {
                    ui.label("The placement cuts its kernel");
                }
            }
            ui.label(
                RichText::new("Click to select its ops")
                    .font(theme::small())
                    .color(t.dim),
            );
        });
    }
    ui.spacing_mut().item_spacing.y = spacing;
}
