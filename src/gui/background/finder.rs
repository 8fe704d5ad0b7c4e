//! The search on a thread of its own: one per model, target and engine config, like the judge.
//!
//! Questions and answers wait in one slot each, the newest in place of older ones, so that neither
//! side ever blocks the other. A search that nobody waits for any more stops at its next look at
//! the slot.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::estimate::Estimator;
use crate::gui::background::jobs::Waker;
use crate::gui::background::memory::give_back;
use crate::gui::data::search::{Found, Moves, Names};
use crate::history::calibration;
use crate::model::Model;
use crate::placement::{EngineConfig, Placement};
use crate::plan::Planner;
use crate::platform::Target;
use crate::search::solvers::Unsolved;
use crate::search::{self, Answer, Goal, Progress, Request, SearchError};

/// Time for the first answer, before alternatives and the front are looked for.
const AT_ONCE: Duration = Duration::from_millis(150);
/// Progress is shown this often at most.
const TELL_EVERY: Duration = Duration::from_millis(80);

#[derive(Default)]
struct Slot {
    search: Option<(u64, Request)>,
    explain: Option<(u64, Placement, Placement)>,
    /// The search that is waited for.
    wanted: u64,
    /// It should end with the best so far.
    stop: bool,
    quit: bool,

    progress: Option<Progress>,
    found: Option<(u64, Found)>,
    moves: Option<(u64, Moves)>,
}

struct Shared {
    slot: Mutex<Slot>,
    bell: Condvar,
    wake: Waker,
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The window's end of the thread.
pub struct Finder {
    shared: Arc<Shared>,
}

impl Finder {
    /// Starts the thread; estimates stand on the user's own calibration in the data folder, if
    /// there is one.
    ///
    /// # Errors
    /// The system could not start a thread.
    pub fn start(
        model: Arc<Model>,
        target: Target,
        config: EngineConfig,
        data_dir: PathBuf,
        wake: Waker,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            slot: Mutex::default(),
            bell: Condvar::new(),
            wake,
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("finder".into())
            .spawn(move || {
                serve(&model, &target, &config, &data_dir, &theirs);
                give_back();
            })?;
        Ok(Self { shared })
    }

    /// Searches under a number; an earlier search is given up.
    pub fn search(&self, id: u64, request: Request) {
        let mut slot = self.shared.slot();
        slot.search = Some((id, request));
        slot.wanted = id;
        slot.stop = false;
        slot.progress = None;
        slot.found = None;
        self.shared.bell.notify_one();
    }

    /// Ends the search with the best so far.
    pub fn stop(&self) {
        self.shared.slot().stop = true;
    }

    /// Asks what leads from one placement to another, under a number.
    pub fn explain(&self, id: u64, from: Placement, to: Placement) {
        self.shared.slot().explain = Some((id, from, to));
        self.shared.bell.notify_one();
    }

    /// How far the search is.
    pub fn progress(&self) -> Option<Progress> {
        self.shared.slot().progress
    }

    /// What the search of this number has come to since the last look.
    pub fn found(&self, id: u64) -> Option<Found> {
        let (of, found) = self.shared.slot().found.take()?;
        (of == id).then_some(found)
    }

    /// The explanation of this number.
    pub fn moves(&self, id: u64) -> Option<Moves> {
        let (of, moves) = self.shared.slot().moves.take()?;
        (of == id).then_some(moves)
    }
}

/// A finder, and what it searches for.
pub struct SearchGround {
    /// The network.
    pub model: Arc<Model>,
    /// Where it would run.
    pub target: Target,
    /// How its engines would be built.
    pub config: EngineConfig,
    /// The thread that searches.
    pub finder: Finder,
}

impl Drop for Finder {
    fn drop(&mut self) {
        self.shared.slot().quit = true;
        self.shared.bell.notify_one();
    }
}

fn serve(model: &Model, target: &Target, config: &EngineConfig, data_dir: &Path, shared: &Shared) {
    let planner = Planner::new(model, target, config);
    let own = calibration(Some(data_dir), target.board.id);
    let estimator = Estimator::with_board(&planner, &own);
    loop {
        let next = {
            let mut slot = shared.slot();
            while slot.search.is_none() && slot.explain.is_none() && !slot.quit {
                slot = shared
                    .bell
                    .wait(slot)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if slot.quit {
                return;
            }
            slot.search.take()
        };
        explain(&estimator, shared);
        if let Some((id, request)) = next {
            look(&estimator, shared, id, &request);
            // While a number is dragged the next search is there already.
            if shared.slot().search.is_none() {
                give_back();
            }
        }
    }
}

/// A first answer as soon as there is one, then the whole.
fn look(estimator: &Estimator<'_, '_>, shared: &Shared, id: u64, request: &Request) {
    let first = Request {
        proposals: 1,
        front: false,
        time_limit: request.time_limit.min(AT_ONCE),
        ..request.clone()
    };
    let first = search::run(estimator, &first, &mut tick(estimator, shared, id));
    let stopped = shared.slot().stop;
    let first = match first {
        Err(SearchError::Unsolved(Unsolved::Stopped)) if !stopped => None,
        Ok(answer) if !stopped => {
            let answer = Arc::new(answer);
            tell(estimator, shared, id, Ok(Arc::clone(&answer)), false);
            Some(answer)
        }
        verdict => {
            tell(estimator, shared, id, verdict.map(Arc::new), true);
            return;
        }
    };
    let whole = search::run(estimator, request, &mut tick(estimator, shared, id)).map(Arc::new);
    let whole = match (first, whole) {
        (Some(first), Err(_)) => Ok(first),
        (Some(first), Ok(whole)) if whole.stopped && beats(request.goal, &first, &whole) => {
            Ok(first)
        }
        (_, whole) => whole,
    };
    tell(estimator, shared, id, whole, true);
}

/// Whether the best of one answer is better than that of another.
fn beats(goal: Goal, one: &Answer, other: &Answer) -> bool {
    let value = |a: &Answer| {
        let best = a.proposals.first()?;
        let fps = best.fps.value()?;
        Some(match goal {
            Goal::Latency | Goal::Deployment { .. } | Goal::Pipeline { .. } => (fps, 0.0),
            Goal::Energy => (-best.engines.first()?.power.wall_mj_per_image.value()?, fps),
            Goal::OffGpu { .. } => (-best.gpu_ms()?, fps),
            Goal::FewestTransitions { .. } => (-(best.transitions as f64), fps),
        })
    };
    match (value(one), value(other)) {
        (Some(a), Some(b)) => a > b,
        (a, b) => a.is_some() && b.is_none(),
    }
}

/// What a search does at each of its steps: answers questions, tells how far it is, looks whether
/// anybody still waits.
fn tick<'a>(
    estimator: &'a Estimator<'_, '_>,
    shared: &'a Shared,
    id: u64,
) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    let mut told: Option<Instant> = None;
    move |progress| {
        explain(estimator, shared);
        let mut slot = shared.slot();
        if slot.quit || slot.wanted != id || slot.stop {
            return ControlFlow::Break(());
        }
        if told.is_none_or(|t| t.elapsed() > TELL_EVERY) {
            told = Some(Instant::now());
            slot.progress = Some(*progress);
            drop(slot);
            (shared.wake)();
        }
        ControlFlow::Continue(())
    }
}

fn tell(
    estimator: &Estimator<'_, '_>,
    shared: &Shared,
    id: u64,
    answer: Result<Arc<Answer>, SearchError>,
    whole: bool,
) {
    let names = answer.as_ref().map_or_else(
        |_| Names::default(),
        |answer| Arc::new(names(estimator.planner(), answer)),
    );
    {
        let mut slot = shared.slot();
        if slot.wanted != id {
            return;
        }
        let found = Found {
            answer,
            names,
            whole,
        };
        slot.found = Some((id, found));
    }
    (shared.wake)();
}

/// Names the placements of an answer that have more entries than a name can list.
fn names(planner: &Planner<'_>, answer: &Answer) -> HashMap<Placement, String> {
    const ENTRIES: usize = 4;
    let all = answer.proposals.iter().chain(&answer.baselines);
    let engines = all.chain(&answer.front).flat_map(|p| &p.engines);
    let mut names = HashMap::new();
    for e in engines.filter(|e| e.placement.overrides.len() > ENTRIES) {
        if names.contains_key(&e.placement) {
            continue;
        }
        // The search names only what the model has.
        let Ok(plan) = planner.plan_placement(&e.placement) else {
            continue;
        };
        let parts = search::on_dla(planner, &plan);
        let name = match &parts[..] {
            [] => continue,
            [one] => format!("{one} on DLA"),
            [one, rest @ ..] => format!("{one} + {} on DLA", rest.len()),
        };
        names.insert(e.placement.clone(), name);
    }
    names
}

fn explain(estimator: &Estimator<'_, '_>, shared: &Shared) {
    let Some((id, from, to)) = shared.slot().explain.take() else {
        return;
    };
    let planner = estimator.planner();
    let moves = planner
        .plan_placement(&from)
        .and_then(|from| Ok((from, planner.plan_placement(&to)?)))
        .map(|(from, to)| search::explain(estimator, &from, &to))
        .ok();
    shared.slot().moves = Some((id, moves));
    (shared.wake)();
}
