//! The choice of power mode and batch on a thread of its own, one for each question: its many searches
//! outlive a change of the mode or batch on screen.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::gui::background::jobs::Waker;
use crate::gui::background::memory::give_back;
use crate::gui::data::search::{Asked, Searching};
use crate::history::calibration;
use crate::model::Model;
use crate::tasks::modes::{Chosen, Question, choose};

/// Progress is shown this often at most.
const TELL_EVERY: Duration = Duration::from_millis(80);

#[derive(Default)]
struct Slot {
    stop: bool,
    at: Option<Searching>,
    found: Option<Arc<Chosen>>,
    over: bool,
}

#[derive(Default)]
struct Shared(Mutex<Slot>);

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The window's end of the thread.
struct Chooser {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// A question, and the thread that answers it.
pub struct ChoiceGround {
    model: Arc<Model>,
    /// `None` where the answer is not wanted any more.
    asked: Option<Asked>,
    chooser: Chooser,
}

impl ChoiceGround {
    /// Starts the thread; estimates stand on the user's own calibration in the data folder, if there
    /// is one.
    ///
    /// # Errors
    /// The system could not start a thread.
    pub(crate) fn start(
        model: Arc<Model>,
        asked: Asked,
        data_dir: PathBuf,
        wake: Waker,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, of, question) = (Arc::clone(&shared), Arc::clone(&model), asked.clone());
        let thread = std::thread::Builder::new()
            .name("chooser".into())
            .spawn(move || {
                serve(&of, &question, &data_dir, &theirs, &wake);
                give_back();
            })?;
        Ok(Self {
            model,
            asked: Some(asked),
            chooser: Chooser { shared, thread },
        })
    }

    /// Whether this question is the one that is answered.
    pub(crate) fn is(&self, model: &Arc<Model>, asked: &Asked) -> bool {
        Arc::ptr_eq(&self.model, model) && self.asked.as_ref() == Some(asked)
    }

    /// Ends the search; what was found stays.
    pub fn stop(&self) {
        self.chooser.shared.slot().stop = true;
    }

    /// The answer is not wanted any more.
    pub fn give_up(&mut self) {
        self.asked = None;
        self.stop();
    }

    /// The thread does nothing more.
    pub fn over(&self) -> bool {
        self.chooser.shared.slot().over || self.chooser.thread.is_finished()
    }

    /// Which search is under way, and what the earlier ones found where that is new.
    pub(crate) fn news(&self) -> (Option<Searching>, Option<Arc<Chosen>>) {
        let mut slot = self.chooser.shared.slot();
        (slot.at.clone(), slot.found.take())
    }
}

impl Drop for Chooser {
    fn drop(&mut self) {
        self.shared.slot().stop = true;
    }
}

fn serve(model: &Model, asked: &Asked, data_dir: &std::path::Path, shared: &Shared, wake: &Waker) {
    let begun = Instant::now();
    let question = Question {
        target: asked.target,
        config: asked.config.clone(),
        modes: &asked.modes,
        batches: &asked.batches,
        request: asked.request.clone(),
        engines: asked.engines,
        calibration: &calibration(Some(data_dir), asked.target.board.id),
    };
    let (mut told, mut done): (Option<Instant>, _) = (None, 0);
    let chosen = choose(model, &question, &mut |step| {
        let another = step.done > done;
        let found = another.then(|| Arc::new(step.chosen.clone()));
        done = step.done;
        let mut slot = shared.slot();
        if slot.stop {
            return ControlFlow::Break(());
        }
        if found.is_some() {
            slot.found = found;
        }
        if another || told.is_none_or(|t| t.elapsed() > TELL_EVERY) {
            told = Some(Instant::now());
            slot.at = Some(Searching {
                mode: step.target.mode.name,
                batch: step.batch,
                progress: *step.progress,
                done: step.done,
                of: step.of,
                elapsed: begun.elapsed(),
            });
            drop(slot);
            wake();
        }
        ControlFlow::Continue(())
    });
    {
        let mut slot = shared.slot();
        slot.found = Some(Arc::new(chosen));
        slot.over = true;
    }
    wake();
}
