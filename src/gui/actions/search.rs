//! "Find best" as a value: what is asked for, what was found, why it is as it is.

use std::sync::Arc;

use crate::gui::background::chooser::ChoiceGround;
use crate::gui::background::finder::{Finder, SearchGround};
use crate::gui::data::looks::Pane;
use crate::gui::data::search::{Asked, CHOICE_LIMIT, Choice, Form, Found, GoalKind, NoChoice, Why};
use crate::gui::data::tree_index::Node;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::model::Model;
use crate::placement::{Device, EngineConfig, Placement, Site};
use crate::platform::{PowerMode, Target};
use crate::search::Request;
use crate::tasks::modes::{batches, ranks};

impl State {
    /// Opens or closes the panel.
    pub(crate) fn toggle_find(&mut self) {
        if self.find.open {
            self.close_find();
        } else {
            self.find.open = true;
            self.pane = Pane::Side;
            self.find.changes += 1;
            self.view_of_chart = self.find.form.goal.view();
        }
    }

    /// Changes the goal and shows the chart it is about.
    pub(crate) fn find_goal(&mut self, goal: GoalKind) {
        if goal == GoalKind::OffGpu && self.find.form.goal != goal {
            // A floor worth starting from; the field changes it.
            let fps = self.judged.as_ref().and_then(|j| j.estimate.fps.value());
            if let Some(fps) = fps {
                self.find.form.min_fps = (fps * 0.8).round().max(1.0);
            }
        }
        self.find.form.goal = goal;
        self.find.open = true;
        self.pane = Pane::Side;
        self.view_of_chart = goal.view();
    }

    /// Changes what is asked for.
    pub(crate) fn find_form(&mut self, form: Form) {
        let before = &self.find.form;
        let (goal, other) = (form.goal, form.goal != before.goal);
        let same_floor = form.min_fps == before.min_fps;
        if other {
            self.find_goal(goal);
        }
        let min_fps = if same_floor {
            self.find.form.min_fps
        } else {
            form.min_fps
        };
        let pinned = form.pinned != self.find.form.pinned;
        self.find.form = Form { min_fps, ..form };
        if pinned {
            self.autosave();
        }
    }

    /// Pins nodes to a device for searches, or unpins them.
    pub(crate) fn pin(&mut self, nodes: &[Node], device: Option<Device>) {
        let Some(open) = &self.open else { return };
        let sites: Vec<Site> = nodes.iter().map(|n| n.site(&open.model)).collect();
        for site in sites {
            self.find.form.pin(site, device);
        }
        self.autosave();
    }

    /// Starts the search that the state calls for, gives up one that it does not, and takes in
    /// what was found. Once per frame.
    pub(crate) fn seek(&mut self) {
        if !self.find.open {
            return;
        }
        let Some(open) = &self.open else { return };
        let model = Arc::clone(&open.model);
        if let Some(asked) = self.choice_asked(&model) {
            self.seek_choice(model, asked);
            return;
        }
        if self.find.choice.take().is_some() {
            self.give_up_choice();
            self.find.changes += 1;
        }
        // No figure depends on which of the equal cores one engine uses.
        let config = EngineConfig {
            dla_core: 0,
            ..self.config().clone()
        };
        let same = self.search_ground.as_ref().is_some_and(|g| {
            Arc::ptr_eq(&g.model, &model) && g.target == self.target && g.config == config
        });
        if !same {
            let data_dir = self.calibration_folder();
            let find = &mut self.find;
            find.form.keep_pins_of(&model);
            find.asked = None;
            self.search_ground = None;
            let measured = find.measured_on.as_ref();
            if measured.is_none_or(|(m, on)| !Arc::ptr_eq(m, &model) || *on != self.target) {
                find.confirming = None;
                find.confirmed.clear();
            }
            match Finder::start(
                Arc::clone(&model),
                self.target,
                config.clone(),
                data_dir,
                Arc::clone(&self.wake),
            ) {
                Ok(finder) => {
                    self.search_ground = Some(SearchGround {
                        model,
                        target: self.target,
                        config,
                        finder,
                    });
                }
                Err(e) => {
                    self.no_search(&e);
                    return;
                }
            }
        }
        let request = self.find.form.request();
        if self.find.asked.as_ref() != Some(&request) {
            self.ask(request);
        }
        self.hear_finder();
    }

    fn no_search(&mut self, why: &std::io::Error) {
        self.find.open = false;
        self.messages.push(Message::error(
            "No search: could not start a background thread".into(),
            &why.to_string(),
            "Close other programs and try again",
        ));
    }

    /// Power modes and batches to choose from: the ones in force where the form does not ask for
    /// others, or where there are none.
    pub(crate) fn choices(&self, model: &Model) -> (Vec<&'static PowerMode>, Vec<u32>) {
        let (form, board) = (&self.find.form, self.target.board);
        let modes = if form.every_mode && self.no_modes().is_none() {
            board.modes.iter().collect()
        } else {
            vec![self.target.mode]
        };
        let batches = if form.every_batch && self.no_batches().is_none() {
            batches(model)
        } else {
            vec![self.config().batch]
        };
        (modes, batches)
    }

    /// Why the power mode cannot be chosen too, if so.
    pub fn no_modes(&self) -> Option<NoChoice> {
        let one = self.target.board.modes.len() < 2;
        self.no_choice().or(one.then_some(NoChoice::Board))
    }

    /// Why the batch cannot be chosen too, if so.
    pub fn no_batches(&self) -> Option<NoChoice> {
        let open = self.open.as_ref()?;
        let fixed = batches(&open.model).len() < 2;
        self.no_choice().or(fixed.then_some(NoChoice::File))
    }

    fn no_choice(&self) -> Option<NoChoice> {
        let ranked = ranks(&self.find.form.whole_goal());
        (!ranked).then_some(NoChoice::Goal)
    }

    /// What is asked where power mode or batch are chosen too; `None` where they are not.
    fn choice_asked(&self, model: &Model) -> Option<Asked> {
        let (modes, batches) = self.choices(model);
        if modes.len() < 2 && batches.len() < 2 {
            return None;
        }
        let form = &self.find.form;
        Some(Asked {
            target: Target {
                mode: modes.first()?,
                ..self.target
            },
            config: EngineConfig {
                dla_core: 0,
                batch: *batches.first()?,
                ..self.config().clone()
            },
            modes,
            batches,
            request: Request {
                time_limit: CHOICE_LIMIT,
                ..form.request()
            },
            engines: form.engines,
        })
    }

    /// The same as [`Self::seek`] where power mode and batch are chosen too.
    fn seek_choice(&mut self, model: Arc<Model>, asked: Asked) {
        let ground = self.choice_ground.as_mut();
        if !ground.as_ref().is_some_and(|g| g.is(&model, &asked)) {
            // What the other search found is of one mode and batch.
            self.search_ground = None;
            let find = &mut self.find;
            find.form.keep_pins_of(&model);
            (find.asked, find.answer, find.why, find.progress) = (None, None, None, None);
            find.searching = true;
            // Engines of the earlier question leave the chart.
            let before = find.choice.replace(Choice::default());
            if before.is_none_or(|choice| !choice.found.rows.is_empty()) {
                find.changes += 1;
            }
            if let Some(ground) = ground {
                ground.give_up();
                // One thread at a time: a number that is dragged asks in every frame.
                if !ground.over() {
                    return;
                }
            }
            let (folder, wake) = (self.calibration_folder(), Arc::clone(&self.wake));
            match ChoiceGround::start(model, asked, folder, wake) {
                Ok(ground) => self.choice_ground = Some(ground),
                Err(e) => {
                    self.find.searching = false;
                    self.no_search(&e);
                    return;
                }
            }
        }
        let (Some(ground), Some(choice)) = (&self.choice_ground, &mut self.find.choice) else {
            return;
        };
        // Before the look: nothing comes after it.
        self.find.searching = !ground.over();
        let (at, found) = ground.news();
        choice.at = at;
        if let Some(found) = found {
            choice.found = found;
            self.find.changes += 1;
        }
    }

    fn give_up_choice(&mut self) {
        if let Some(ground) = &mut self.choice_ground {
            ground.give_up();
        }
    }

    /// Searches again even if nothing has changed.
    pub(crate) fn search_again(&mut self) {
        self.find.asked = None;
        self.give_up_choice();
    }

    fn ask(&mut self, request: Request) {
        let find = &mut self.find;
        let Some(ground) = &self.search_ground else {
            return;
        };
        find.last += 1;
        find.search = find.last;
        ground.finder.search(find.search, request.clone());
        find.asked = Some(request);
        find.searching = true;
        find.progress = None;
        find.answer = None;
        find.why = None;
        find.changes += 1;
    }

    fn hear_finder(&mut self) {
        let find = &mut self.find;
        let Some(ground) = &self.search_ground else {
            return;
        };
        if find.searching {
            find.progress = ground.finder.progress();
        }
        let news = find.confirming.as_ref();
        if let Some(trials) = news.and_then(|c| c.since(find.confirmed.len())) {
            find.confirmed = trials;
        }
        if let Some(why) = &mut find.why
            && let Some(moves) = ground.finder.moves(why.id)
        {
            why.moves = Some(moves.unwrap_or_default());
        }
        let Some(found) = ground.finder.found(find.search) else {
            return;
        };
        let Found {
            answer,
            names,
            whole,
        } = found;
        find.names = names;
        find.searching = !whole;
        find.changes += 1;
        // What was loaded by hand from an earlier part of the answer stays explained.
        let best = answer.as_ref().ok().and_then(|a| a.proposals.first());
        let best = best
            .filter(|p| find.why.is_none() && p.stages.is_empty())
            .and_then(|p| match &p.engines[..] {
                [engine] => Some((find.name(&engine.placement), engine.placement.clone())),
                _ => None,
            });
        find.answer = Some(answer);
        if let Some((name, to)) = best {
            let from = self.doc.placement().clone();
            self.ask_why(name, from, to);
        }
    }

    /// A placement was loaded in place of another: with the panel open that is explained.
    pub(crate) fn explain_load(&mut self, name: &str, before: Placement) {
        let to = self.doc.placement().clone();
        if self.find.open && before != to {
            self.ask_why(name.to_owned(), before, to);
        }
    }

    /// Ends the search with the best so far.
    pub(crate) fn stop_search(&mut self) {
        if !self.find.searching {
            return;
        }
        match (&self.find.choice, &self.choice_ground, &self.search_ground) {
            (Some(_), Some(ground), _) => ground.stop(),
            (None, _, Some(ground)) => ground.finder.stop(),
            _ => {}
        }
    }

    /// Estimates have changed: searches again on the new ones, unless proposals are being measured.
    pub(crate) fn renew_search(&mut self) {
        self.give_up_choice();
        if self.find.confirming.is_none() {
            self.search_ground = None;
        }
    }

    /// Closes the panel; a search under way is given up.
    pub(crate) fn close_find(&mut self) {
        let find = &mut self.find;
        find.open = false;
        find.changes += 1;
        if find.searching {
            self.search_ground = None;
            find.asked = None;
            find.searching = false;
            self.give_up_choice();
        }
    }

    /// Asks what leads from one placement to another.
    fn ask_why(&mut self, name: String, from: Placement, to: Placement) {
        let Some(ground) = &self.search_ground else {
            return;
        };
        let find = &mut self.find;
        find.last += 1;
        ground.finder.explain(find.last, from.clone(), to.clone());
        find.why = Some(Why {
            id: find.last,
            name,
            from,
            to,
            moves: None,
        });
    }
}
