//! The chosen runs in full, side by side, and the run under way.

use crate::engine::{Outcome, RowSite, Run};
use crate::figure::short;
use crate::gui::command::Command;
use crate::gui::data::runs::{RunRow, date};
use crate::gui::panels::runs::telemetry;
use crate::gui::state::State;
use crate::gui::ui::theme::{PAD, Tokens};
use crate::gui::ui::widgets::{facts, note};
use crate::gui::ui::{theme, widgets};
use crate::tasks::words::{energy_of, energy_per_image, worth_reading};
use egui::{Align, Label, ProgressBar, RichText, Ui};

/// Log lines shown of a run under way, and of one that failed.
pub(crate) const LOG_ACTIVE: usize = 3;
pub(crate) const LOG_FAILED: usize = 30;
/// Ops named.
pub(crate) const MOST_NAMED: usize = 20;
/// Modules compared.
pub(crate) const MOST_DIFFERENCES: usize = 60;

pub(crate) fn empty(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    ui.add_space((ui.available_height() * 0.3).min(90.0));
    ui.vertical_centered(|ui| {
        let text = if state.runs.loading {
            "Reading runs…"
        } else {
            "Nothing was measured of this model yet"
        };
        ui.label(RichText::new(text).font(theme::strong()).color(t.text));
        let why_not = state.measuring.why_not();
        if !why_not.is_empty() {
            ui.label(RichText::new(state.cannot_measure()).color(t.dim));
            ui.add_space(4.0);
            let command = Command::AskMeasureOn;
            if ui.button(command.text()).clicked() {
                out.push(command);
            }
            ui.add_space(10.0);
            let beside = ((ui.available_width() - 420.0) / 2.0).clamp(PAD, 120.0) as i8;
            let margin = egui::Margin::symmetric(beside, 0);
            egui::Frame::new().inner_margin(margin).show(ui, |ui| {
                for line in why_not {
                    let text = RichText::new(line).font(theme::small()).color(t.faint);
                    ui.add(Label::new(text).wrap());
                }
            });
        } else if let Some(why) = state.unavailable(&Command::Profile) {
            ui.set_max_width(420.0);
            ui.add(Label::new(RichText::new(why).color(t.dim)).wrap());
        } else if ui.button("Profile this placement").clicked() {
            out.push(Command::Profile);
        }
    });
}

/// The run under way: stage, bar, time left, the end of its log.
pub(crate) fn active(ui: &mut Ui, state: &State, t: &Tokens, out: &mut Vec<Command>) {
    let Some(active) = &state.measuring.active else {
        return;
    };
    egui::Frame::new()
        .fill(t.raised)
        .inner_margin(egui::Margin::symmetric(PAD as i8, 7))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                ui.label(
                    RichText::new(&active.name)
                        .font(theme::strong())
                        .color(t.strong),
                );
                ui.label(RichText::new(active.text()).color(t.dim));
                ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
                    if !active.cancelled && ui.small_button("Cancel run").clicked() {
                        out.push(Command::CancelProfile);
                    }
                });
            });
            ui.add(
                ProgressBar::new(active.fraction() as f32)
                    .desired_height(4.0)
                    .fill(t.accent),
            );
            for text in active.look(|p| p.warnings.clone()) {
                ui.add(Label::new(RichText::new(text).color(t.amber)).wrap());
            }
            let lines = active.look(|p| p.log.tail(LOG_ACTIVE));
            for line in lines {
                log_line(ui, &line.to_string(), false, t);
            }
        });
}

pub(crate) fn log_line(ui: &mut Ui, text: &str, whole: bool, t: &Tokens) {
    let color = match text.get(..3) {
        Some("[E]") => t.error,
        Some("[W]") => t.amber,
        _ => t.dim,
    };
    let label = Label::new(RichText::new(text).font(theme::mono()).color(color)).selectable(true);
    if whole {
        ui.add(label.wrap());
    } else {
        ui.add(label.truncate()).on_hover_text(text);
    }
}

pub(crate) fn chosen(ui: &mut Ui, state: &State, t: &Tokens) {
    let rows: Vec<&RunRow> = state
        .runs
        .chosen
        .iter()
        .filter_map(|id| state.runs.find(*id))
        .collect();
    match rows[..] {
        [one] => details(ui, state, one, t),
        [first, second] => comparison(ui, state, first, second, t),
        _ => {}
    }
}

/// One run: its figures, or why there are none with the end of its log.
pub(crate) fn details(ui: &mut Ui, state: &State, row: &RunRow, t: &Tokens) {
    let head = &row.head;
    let full = state.runs.full(head.id);
    widgets::heading(ui, &row.name);
    match &head.outcome {
        Ok(fps) => {
            let mut rows = vec![("FPS", crate::tasks::words::spread(fps))];
            if let Some(m) = full.and_then(|run| run.measurement()) {
                rows.extend(figures(m));
            }
            rows.push(("Machine", head.environment.summary()));
            rows.push(("When", date(head.started_ms)));
            if let Some(why) = &head.timing_only {
                rows.push(("Timing only", why.clone()));
            }
            facts(ui, "run facts", t, &rows);
            if let Some(c) = full.and_then(|run| run.comparison.as_ref())
                && !c.silent_fallbacks.is_empty()
            {
                let title = format!(
                    "Silent fallback: {} ops left the DLA",
                    c.silent_fallbacks.len()
                );
                let named = &c.silent_fallbacks[..c.silent_fallbacks.len().min(MOST_NAMED)];
                let text = named.join("\n");
                note(ui, t.error_soft, t.error, &title, &text, t);
            }
            if let Some(limit) = full.and_then(|run| run.limited_by_cpu()) {
                ui.add(Label::new(RichText::new(limit).color(t.amber)).wrap());
            }
            if let Some(run) = full {
                telemetry::show(ui, run, t);
            }
        }
        Err(failure) => {
            let title = format!("{} while {}", row.ended.text(), failure.stage.label());
            note(ui, t.error_soft, t.error, &title, &failure.message, t);
            ui.add_space(4.0);
            facts(
                ui,
                "run facts",
                t,
                &[
                    ("Machine", head.environment.summary()),
                    ("When", date(head.started_ms)),
                ],
            );
            if let Some(run) = full.filter(|run| !run.log.is_empty()) {
                ui.add_space(4.0);
                ui.label(
                    RichText::new("End of the log")
                        .font(theme::small())
                        .color(t.faint),
                );
                for line in worth_reading(&run.log, LOG_FAILED) {
                    log_line(ui, &line.to_string(), true, t);
                }
            }
            if let Some(run) = full {
                telemetry::show(ui, run, t);
            }
        }
    }
}

pub(crate) fn figures(m: &crate::engine::Measurement) -> Vec<(&'static str, String)> {
    let l = &m.latency;
    let mut rows = vec![(
        "Latency",
        format!(
            "{} ms median, {} p95, {} p99",
            widgets::ms(l.median),
            widgets::ms(l.p95),
            widgets::ms(l.p99)
        ),
    )];
    let mut energy = energy_per_image(&m.mj_per_image);
    if let Some(of) = &m.energy {
        energy = format!("{energy}; {}", energy_of(of));
    }
    rows.push(("Energy per image", energy));
    let built = crate::tasks::words::built(m.cached, m.build_s);
    let size = widgets::bytes(m.engine_bytes);
    rows.push(("Engine", format!("{size}, {built}")));
    if !m.process_fps.is_empty() {
        let each: Vec<String> = m.process_fps.iter().copied().map(short).collect();
        rows.push(("Processes", format!("{} FPS", each.join(", "))));
    }
    if let Some(n) = &m.numeric {
        let verdict = if n.passed { "as" } else { "WRONG against" };
        rows.push((
            "Outputs",
            format!(
                "{verdict} {} on the GPU, cosine {:.6}",
                n.reference, n.cosine
            ),
        ));
    }
    if let Some(a) = m.attribution {
        let shared = m.layers.iter();
        let shared = shared.filter(|l| matches!(l.site, RowSite::Ambiguous { .. }));
        let shared: f64 = shared.map(|l| l.mean_ms).sum();
        let unsure = if shared > 0.0 {
            let ms = widgets::ms(shared);
            format!("; {ms} ms only the module around nodes that share a name")
        } else {
            String::new()
        };
        rows.push((
            "Layers",
            format!(
                "{} ms, {:.1} % of it found its module{unsure}",
                widgets::ms(a.total_ms),
                a.share() * 100.0
            ),
        ));
    }
    rows
}

/// Two runs: FPS, settings, and the modules they differ in.
pub(crate) fn comparison(ui: &mut Ui, state: &State, a: &RunRow, b: &RunRow, t: &Tokens) {
    widgets::heading(ui, &format!("A  {}   against   B  {}", a.name, b.name));
    if let (Some(fa), Some(fb)) = (a.fps(), b.fps()) {
        let percent = (fb.value / fa.value - 1.0) * 100.0;
        // Medians whose spreads overlap are not told apart.
        let apart = fa.max < fb.min || fb.max < fa.min;
        let color = match (apart, percent > 0.0) {
            (false, _) => t.dim,
            (true, true) => t.gpu,
            (true, false) => t.error,
        };
        let note = if apart { "" } else { ", within their spread" };
        let text = format!(
            "A {}, B {} FPS: {percent:+.1} %{note}",
            short(fa.value),
            short(fb.value)
        );
        ui.label(RichText::new(text).font(theme::strong()).color(color));
    } else {
        ui.label(RichText::new("One of them has no figures").color(t.dim));
    }
    let differing = settings(a, b);
    if !differing.is_empty() {
        let rows: Vec<(&str, String)> = differing
            .iter()
            .map(|(name, a, b)| (*name, format!("A {a}, B {b}")))
            .collect();
        facts(ui, "differing settings", t, &rows);
    }
    let (Some(first), Some(second)) = (state.runs.full(a.head.id), state.runs.full(b.head.id))
    else {
        return;
    };
    modules(ui, state, first, second, t);
}

pub(crate) fn settings(a: &RunRow, b: &RunRow) -> Vec<(&'static str, String, String)> {
    let of = |row: &RunRow| {
        let c = &row.head.config;
        [
            ("Precision", c.precision.to_string()),
            ("Batch", c.batch.to_string()),
            ("DLA core", c.dla_core.to_string()),
            (
                "GPU fallback",
                if c.gpu_fallback { "allowed" } else { "strict" }.to_owned(),
            ),
            ("I/O formats", c.io.to_string()),
            ("Machine", row.head.environment.summary()),
        ]
    };
    of(a)
        .into_iter()
        .zip(of(b))
        .filter(|((_, a), (_, b))| a != b)
        .map(|((name, a), (_, b))| (name, a, b))
        .collect()
}

pub(crate) fn modules(ui: &mut Ui, state: &State, first: &Run, second: &Run, t: &Tokens) {
    let timed = |run: &Run| match &run.outcome {
        Outcome::Finished(m) => !m.layers.is_empty(),
        Outcome::Failed(_) => false,
    };
    if !timed(first) || !timed(second) {
        let text = "No times per module: one of them was not profiled per layer";
        ui.label(RichText::new(text).color(t.dim));
        return;
    }
    ui.add_space(6.0);
    let all = state.runs.differences().unwrap_or_default();
    let ms = |v: Option<f64>| v.map_or("–".to_owned(), widgets::ms);
    egui::Grid::new("module differences")
        .num_columns(4)
        .spacing([16.0, 2.0])
        .striped(false)
        .show(ui, |ui| {
            for head in ["Module", "A ms", "B ms", "difference"] {
                ui.label(RichText::new(head).font(theme::small()).color(t.faint));
            }
            ui.end_row();
            for d in all.iter().take(MOST_DIFFERENCES) {
                let delta = d.second.unwrap_or(0.0) - d.first.unwrap_or(0.0);
                let color = match delta {
                    d if d > 0.0005 => t.error,
                    d if d < -0.0005 => t.gpu,
                    _ => t.dim,
                };
                ui.label(widgets::short(&d.place, 48));
                ui.label(RichText::new(ms(d.first)).font(theme::figures()));
                ui.label(RichText::new(ms(d.second)).font(theme::figures()));
                let text = format!("{delta:+.3}");
                ui.label(RichText::new(text).font(theme::figures()).color(color));
                ui.end_row();
            }
        });
    if all.len() > MOST_DIFFERENCES {
        let text = format!("and {} more", all.len() - MOST_DIFFERENCES);
        ui.label(RichText::new(text).color(t.dim));
    }
}
