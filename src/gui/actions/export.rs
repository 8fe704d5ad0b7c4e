//! Exporting from the window, and reading placement files back.

use std::path::PathBuf;
use std::sync::Arc;

use crate::chart::{Chart, Look, Palette};
use crate::export::{Format, Subject, save_atomic};
use crate::figure::Figure;
use crate::gui::data::judgement::Judgement;
use crate::gui::data::looks::Copied;
use crate::gui::data::rows;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::model::Model;
use crate::placement::{EngineConfig, Placement};
use crate::platform::Target;
use crate::tasks::words::today;

/// Everything an export speaks of, owned, so that it can be rendered on another thread.
struct Material {
    model: Arc<Model>,
    target: Target,
    config: EngineConfig,
    placement: Placement,
    judged: Arc<Judgement>,
    op_ms: Vec<Figure>,
    chart: Chart,
    look: Look,
}

impl Material {
    fn subject(&self) -> Subject<'_> {
        Subject {
            model: &self.model,
            target: &self.target,
            config: &self.config,
            placement: &self.placement,
            resolved: &self.judged.resolved,
            plan: &self.judged.plan,
            estimate: &self.judged.estimate,
            op_ms: &self.op_ms,
            breakdown: self.judged.breakdown.as_ref().ok(),
        }
    }

    fn render(&self, format: Format) -> Result<Vec<u8>, String> {
        format
            .render(&self.subject(), &self.chart, &self.look)
            .map_err(|e| e.to_string())
    }

    /// The chart as a picture, all else as text.
    fn copied(&self, format: Format) -> Result<Copied, String> {
        if format.is_text() {
            let text = String::from_utf8(self.render(format)?);
            return text.map(Copied::Text).map_err(|e| e.to_string());
        }
        let pixels = self.chart.pixels(self.look.clone());
        let (width, height, rgba) = pixels.map_err(|e| e.to_string())?;
        let size = [width as usize, height as usize];
        Ok(Copied::Picture { size, rgba })
    }
}

impl State {
    fn material(&self) -> Option<Material> {
        let judged = self.judged.as_ref()?;
        (judged.revision == self.revision).then_some(())?;
        let ground = self.ground.as_ref()?;
        let model = &self.open.as_ref()?.model;
        let devices = model.op_ids().zip(&judged.plan.predicted);
        Some(Material {
            model: Arc::clone(model),
            op_ms: devices
                .map(|(op, device)| ground.op_ms(op, *device).clone())
                .collect(),
            target: self.target,
            config: self.config().clone(),
            placement: self.doc.placement().clone(),
            judged: Arc::clone(judged),
            chart: self.points.chart.clone(),
            look: Look {
                palette: if self.dark {
                    Palette::Dark
                } else {
                    Palette::Light
                },
                date: Some(today()),
            },
        })
    }

    /// Why an export cannot be written now, if so. A judgement is asked once for each format.
    pub fn export_unavailable(&self, format: Format) -> Option<String> {
        let current = |j: &&Arc<Judgement>| j.revision == self.revision;
        let Some(judged) = self.judged.as_ref().filter(current) else {
            return Some("Open a model first".to_owned());
        };
        let refusals = judged.refusals.get_or_init(|| {
            let material = self.material();
            let subject = material.as_ref().map(Material::subject);
            let refusal = |f: Format| f.refusal(subject.as_ref()?).map(|why| (f, why.to_string()));
            Format::all().filter_map(refusal).collect()
        });
        let found = refusals.iter().find(|(f, _)| *f == format);
        found.map(|(_, why)| why.clone())
    }

    pub(crate) fn export_to(&mut self, format: Format, path: PathBuf) {
        let Some(material) = self.material() else {
            return;
        };
        let what = format.title().to_owned();
        let file = path.clone();
        let written = (material.placement.clone(), material.config.clone());
        self.background(
            format!("Writing {what}"),
            true,
            move || {
                let bytes = material.render(format)?;
                save_atomic(&file, &bytes).map_err(|e| e.to_string())
            },
            move |state, result| {
                if result.is_ok() && format == Format::Placement {
                    state.in_file(written.0, written.1);
                }
                state.saved(&what, &path, result);
            },
        );
    }

    /// Writes the rows of the tree as CSV.
    pub(crate) fn export_tree(&mut self, path: PathBuf) {
        let Some(open) = &self.open else { return };
        let text = rows::csv(&open.model, self.view.rows.iter());
        let file = path.clone();
        self.background(
            "Writing the tree",
            true,
            move || save_atomic(&file, text.as_bytes()).map_err(|e| e.to_string()),
            move |state, result| state.saved("tree (CSV)", &path, result),
        );
    }

    /// Puts the selected rows on the clipboard.
    pub(crate) fn copy_rows(&mut self) {
        let Some(open) = &self.open else { return };
        let chosen = &self.selection.nodes;
        let rows = self.view.rows.iter().filter(|r| chosen.contains(&r.node));
        let (n, text) = rows::tabbed(&open.model, rows);
        let plural = if n == 1 { "" } else { "s" };
        let title = format!("Copied {n} row{plural}");
        self.clipboard = Some(Copied::Text(text));
        self.messages.push(Message::info(title, ""));
    }

    pub(crate) fn copy_export(&mut self, format: Format) {
        let Some(material) = self.material() else {
            return;
        };
        self.background(
            format!("Copying {}", format.title()),
            true,
            move || material.copied(format),
            move |state, copied| match copied {
                Ok(copied) => {
                    state.clipboard = Some(copied);
                    let title = format!("Copied {}", format.title());
                    state.messages.push(Message::info(title, ""));
                }
                Err(why) => state.messages.push(Message::error(
                    format!("{} cannot be copied", format.title()),
                    &why,
                    "Choose another format, or change what it refuses",
                )),
            },
        );
    }
}
