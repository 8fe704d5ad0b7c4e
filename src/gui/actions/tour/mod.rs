//! The guided tour: it lends the window to a bundled network and puts the user's own work back.

mod steps;

use std::sync::Arc;

use crate::chart::Mark;
use crate::figure::{Figure, short};
use crate::gui::data::looks::Hint;
use crate::gui::data::open::{Open, first_levels};
use crate::gui::data::tour::{Before, Tour, Turn};
use crate::gui::data::tree_index::TreeIndex;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::model::onnx;
use crate::placement::{Document, EngineConfig, Placement};
use crate::tasks::open::{Dims, open};

pub use steps::{Facts, STEPS, Step};

/// The network of the tour: the one that the published figures are of.
const NETWORK: &str = "resnet18";

impl State {
    /// The step on screen, with its number from 0.
    pub fn step_of_tour(&self) -> Option<(usize, &'static Step)> {
        let at = self.tour.as_ref()?.at;
        Some((at, STEPS.get(at)?))
    }

    pub(crate) fn turn(&mut self, turn: Turn) {
        let at = self.tour.as_ref().map(|t| t.at);
        match (turn, at) {
            (Turn::Start, None) => self.begin_tour(),
            (Turn::Next, Some(at)) if at + 1 == STEPS.len() => self.leave_tour(),
            (Turn::Next, Some(at)) => self.step_to(at + 1),
            (Turn::Back, Some(at)) => self.step_to(at.saturating_sub(1)),
            (Turn::Leave, Some(_)) => self.leave_tour(),
            (Turn::Start, Some(_)) => self.step_to(0),
            (Turn::Next | Turn::Back | Turn::Leave, None) => {}
        }
    }

    fn begin_tour(&mut self) {
        let bundled = onnx::bundled().iter().find(|b| b.name == NETWORK);
        let Some(path) = bundled.map(onnx::Bundled::path) else {
            return;
        };
        // Its file is in the program and has kilobytes: no thread is worth it.
        let model = match open(&path, &Dims::new(), &[]) {
            Ok((model, _)) => model,
            Err(e) => {
                let title = "The tour cannot begin".to_owned();
                self.messages
                    .push(Message::error(title, &e.to_string(), "Reinstall dlaplan"));
                return;
            }
        };
        self.hint_done(Hint::Tour);
        let session = self.session();
        let (find_open, form) = (self.find.open, std::mem::take(&mut self.find.form));
        if find_open {
            self.close_find();
        }
        let config = EngineConfig {
            batch: EngineConfig::own_batch(&model),
            ..EngineConfig::default()
        };
        let expanded = first_levels(&model);
        let index = TreeIndex::new(&model);
        let lent = Open {
            model: Arc::new(model),
            index,
            path,
            inputs: Dims::new(),
        };
        let before = Before {
            open: self.open.replace(lent),
            doc: std::mem::replace(&mut self.doc, Document::new(Placement::default(), config)),
            target: std::mem::take(&mut self.target),
            calibration: self.calibration.take(),
            selection: std::mem::take(&mut self.selection),
            expanded: std::mem::replace(&mut self.expanded, expanded),
            filter: std::mem::take(&mut self.filter),
            sort: std::mem::take(&mut self.sort),
            view_of_chart: self.view_of_chart,
            runs_shown: self.runs.shown,
            beside: self.beside,
            pane: self.pane,
            full_chart: self.full_chart,
            find_open,
            form,
            session,
        };
        self.tour = Some(Tour {
            at: 0,
            before: Box::new(before),
        });
        self.dialog = None;
        self.opened();
        self.step_to(0);
    }

    fn step_to(&mut self, at: usize) {
        let Some(step) = STEPS.get(at) else { return };
        if let Some(tour) = &mut self.tour {
            tour.at = at;
        }
        for command in step.commands(self) {
            self.apply(command);
        }
    }

    /// Puts the user's own work back, if a tour runs.
    pub(crate) fn leave_tour(&mut self) {
        let Some(tour) = self.tour.take() else { return };
        let before = *tour.before;
        if self.find.open {
            self.close_find();
        }
        self.open = before.open;
        self.doc = before.doc;
        self.target = before.target;
        self.calibration = before.calibration;
        self.selection = before.selection;
        self.expanded = before.expanded;
        self.filter = before.filter;
        self.sort = before.sort;
        self.view_of_chart = before.view_of_chart;
        self.beside = before.beside;
        self.pane = before.pane;
        self.full_chart = before.full_chart;
        self.find.form = before.form;
        self.opened();
        self.runs.shown = before.runs_shown;
        if before.find_open {
            self.find.open = true;
            self.find.changes += 1;
        }
        self.reselect();
    }

    /// What a step shows of the chart's figures, each with its source: a line and its hover text.
    pub fn facts_of_tour(&self, facts: Facts) -> Vec<(String, String)> {
        let chart = &self.points.chart;
        let line = |name: String, figure: &Figure| {
            let text = format!("{name}: {}", figure.with_unit("FPS"));
            (text, figure.source().to_string())
        };
        match facts {
            Facts::None => Vec::new(),
            Facts::Placement(published) => {
                let current = chart.points.iter().find(|p| p.current);
                let theirs = chart.points.iter().find(|p| {
                    p.mark == Mark::Published && p.deployment.is_none() && p.label == published
                });
                let ours = current.map(|p| line("this placement".into(), &p.fps));
                let theirs = theirs.map(|p| line(format!("published, {published}"), &p.fps));
                ours.into_iter().chain(theirs).collect()
            }
            Facts::Deployments => {
                // What was published of a deployment, and its estimate, in one line.
                let mut lines: Vec<(String, String, String)> = Vec::new();
                for group in chart.deployments() {
                    let (Some((_, first)), Some(total)) = (group.bars.first(), group.total_fps)
                    else {
                        continue;
                    };
                    let name = first.deployment.clone().unwrap_or_default();
                    let figure = format!("{} {}", first.mark.text(), short(total));
                    let source = first.fps.source().to_string();
                    match lines.last_mut().filter(|(last, ..)| *last == name) {
                        Some((_, figures, sources)) => {
                            *figures = format!("{figures}, {figure}");
                            *sources = format!("{sources}\n{source}");
                        }
                        None => lines.push((name, figure, source)),
                    }
                }
                let line =
                    |(name, figures, sources)| (format!("{name}: {figures} FPS together"), sources);
                lines.into_iter().map(line).collect()
            }
        }
    }
}
