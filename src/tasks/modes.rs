//! Power mode, batch, placement and DLA cores chosen together.
//!
//! Every power mode at every batch is a search of its own, under the same caps of latency and power.
//! What they found is ranked by what was wanted.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::estimate::Estimator;
use crate::estimate::board::BoardFile;
use crate::figure::{Figure, short};
use crate::model::{Dim, Model};
use crate::placement::EngineConfig;
use crate::plan::Planner;
use crate::platform::{PowerMode, Target};
use crate::search::{Goal, Progress, Proposal, Request, SearchError, run};

/// Batches tried where the file leaves the batch open.
const BATCHES: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Time of the first look at a mode and batch: whether anything is fast enough.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// What is to be chosen, and by what.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// The board and its TensorRT; the mode is one of [`Self::modes`].
    pub target: Target,
    /// How engines are built; the batch is one of [`Self::batches`].
    pub config: EngineConfig,
    /// Power modes to choose from.
    pub modes: &'q [&'static PowerMode],
    /// Batches to choose from.
    pub batches: &'q [u32],
    /// Least latency of one engine, least energy per image, or most images per second; the caps; and the
    /// time for all.
    pub request: Request,
    /// Most engines at the same time, where the goal is energy.
    pub engines: u32,
    /// What the board's estimates stand on.
    pub calibration: &'q BoardFile,
}

/// Where the choice is.
#[derive(Clone, Copy, Debug)]
pub struct Step<'s> {
    /// Board, mode and TensorRT searched now.
    pub target: &'s Target,
    /// Images per inference.
    pub batch: u32,
    /// How far that search is.
    pub progress: &'s Progress,
    /// Searches that are over.
    pub done: usize,
    /// Of how many.
    pub of: usize,
    /// What they found.
    pub chosen: &'s Chosen,
}

/// The best of a power mode at a batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Board, mode and TensorRT.
    pub target: Target,
    /// Images per inference.
    pub batch: u32,
    /// Time of one inference of the slowest engine, ms.
    pub latency_ms: Figure,
    /// The caps hold at the far ends of the bands too.
    pub sure: bool,
    /// Its engines and figures.
    pub proposal: Proposal,
}

/// A power mode at a batch that has no answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Without {
    /// The power mode.
    pub mode: &'static str,
    /// Images per inference; `None` for any.
    pub batch: Option<u32>,
    /// Why.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chosen {
    /// Best first, one for each power mode and batch that has an answer.
    pub rows: Vec<Row>,
    /// The others.
    pub without: Vec<Without>,
    /// How long it took.
    pub elapsed: Duration,
    /// The time limit or the caller ended a search before it was through.
    pub stopped: bool,
}

/// Whether power mode and batch can be chosen for a goal: what different modes and batches make must
/// have one figure to be ranked by.
pub fn ranks(goal: &Goal) -> bool {
    matches!(goal, Goal::Latency | Goal::Energy | Goal::Deployment { .. })
}

/// Batches that a file can be built for: powers of two where it leaves the batch open, else its own.
pub fn batches(model: &Model) -> Vec<u32> {
    let open =
        |input: &crate::model::ModelInput| matches!(input.declared.first(), Some(Dim::Symbolic(_)));
    if !model.inputs.is_empty() && model.inputs.iter().all(open) {
        BATCHES.to_vec()
    } else {
        vec![EngineConfig::own_batch(model)]
    }
}

/// Searches every power mode at every batch. `progress` may end it: what was found until then stays, and
/// the others are listed without an answer.
pub fn choose(
    model: &Model,
    question: &Question<'_>,
    progress: &mut dyn FnMut(&Step<'_>) -> ControlFlow<()>,
) -> Chosen {
    let begun = Instant::now();
    let mut chosen = Chosen::default();
    let board = question.target.board;
    let mut targets = Vec::new();
    for mode in question.modes {
        match Target::new(board, mode, question.target.tensorrt) {
            Ok(target) => targets.push(target),
            Err(why) => chosen.without.push(Without {
                mode: mode.name,
                batch: None,
                why: why.to_string(),
            }),
        }
    }
    let goal = question.request.goal;
    let of = targets.len() * question.batches.len();
    let mut ended = false;
    // One after the other: modes of few clocks stand for many, so the time is shared evenly.
    let each = targets
        .iter()
        .flat_map(|target| question.batches.iter().map(move |batch| (target, *batch)));
    for (done, (target, batch)) in each.enumerate() {
        let without = |why: String| Without {
            mode: target.mode.name,
            batch: Some(batch),
            why,
        };
        if ended {
            let why = "the search was stopped before it came to this";
            chosen.without.push(without(why.to_owned()));
            continue;
        }
        let rest = question.request.time_limit.saturating_sub(begun.elapsed());
        let share = rest / u32::try_from(of - done).unwrap_or(u32::MAX);
        let config = EngineConfig {
            batch,
            ..question.config.clone()
        };
        let planner = Planner::new(model, target, &config);
        let estimator = Estimator::with_board(&planner, question.calibration);
        let mut hear = |p: &Progress| {
            let said = progress(&Step {
                target,
                batch,
                progress: p,
                done,
                of,
                chosen: &chosen,
            });
            ended |= said.is_break();
            said
        };
        let mut one = One {
            estimator: &estimator,
            question,
            until: Instant::now() + share,
            stopped: false,
        };
        let found = one.best(&mut hear);
        let stopped = one.stopped;
        chosen.stopped |= stopped || ended;
        match found {
            Ok(proposal) => {
                let worth = merit(goal, &proposal);
                let better = |row: &Row| merit(goal, &row.proposal).total_cmp(&worth).is_ge();
                let at = chosen.rows.partition_point(better);
                let row = Row {
                    target: *target,
                    batch,
                    latency_ms: proposal.latency_ms(),
                    sure: sure(&question.request, &proposal),
                    proposal,
                };
                chosen.rows.insert(at, row);
            }
            Err(why) => chosen.without.push(without(why.to_string())),
        }
    }
    chosen.elapsed = begun.elapsed();
    chosen
}

/// `GPU`, `GPU + DLA0`, or how much of one engine is on the DLA.
pub fn engines(p: &Proposal) -> String {
    match &p.engines[..] {
        [one] if one.summary.dla_ops == 0 => "GPU".to_owned(),
        [one] => {
            let share = p.dla_mac_share.map_or_else(String::new, |s| {
                format!(", {:.0} % of MACs on DLA{}", s * 100.0, one.config.dla_core)
            });
            format!("one{share}")
        }
        _ => p.name.clone(),
    }
}

/// How good a proposal is for a goal; more is better.
fn merit(goal: Goal, proposal: &Proposal) -> f64 {
    let less = |figure: &Figure| figure.value().map_or(f64::NEG_INFINITY, |v| -v);
    match goal {
        Goal::Energy => less(&proposal.power.wall_mj_per_image),
        Goal::Deployment { .. } => proposal.fps.value().unwrap_or(f64::NEG_INFINITY),
        _ => less(&proposal.latency_ms()),
    }
}

/// Whether the caps hold at the far ends of the bands.
fn sure(request: &Request, proposal: &Proposal) -> bool {
    let under = |most: Option<f64>, figure: &Figure| {
        most.is_none_or(|most| figure.range().is_some_and(|(_, high)| high <= most))
    };
    under(request.max_latency_ms, &proposal.latency_ms())
        && under(request.max_watts, &proposal.power.wall_watts)
}

/// The better of two answers; why the first has none where neither has one.
fn better(
    goal: Goal,
    one: Result<Proposal, SearchError>,
    other: Result<Proposal, SearchError>,
) -> Result<Proposal, SearchError> {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            let other_is_better = merit(goal, &other) > merit(goal, &one);
            Ok(if other_is_better { other } else { one })
        }
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(only),
        (Err(why), Err(_)) => Err(why),
    }
}

/// The search of one mode at one batch.
struct One<'o, 'p, 'm> {
    estimator: &'o Estimator<'p, 'm>,
    question: &'o Question<'o>,
    until: Instant,
    stopped: bool,
}

impl One<'_, '_, '_> {
    fn best(
        &mut self,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Proposal, SearchError> {
        let wanted = &self.question.request;
        let mut request = wanted.clone();
        request.proposals = 1;
        request.front = false;
        request.constraints.dla_cores = Some(self.cores());
        if wanted.max_watts.is_some() || matches!(wanted.goal, Goal::Energy) {
            self.estimator.power_model().map_err(SearchError::NoPower)?;
        }
        let mut looked = None;
        if let Some(most) = wanted.max_latency_ms {
            // No engine is faster beside others than the fastest is alone.
            let mut fastest = request.clone();
            fastest.goal = Goal::Latency;
            (fastest.max_latency_ms, fastest.max_watts) = (None, None);
            fastest.time_limit = FIRST_LOOK.min(self.left() / 4);
            let look = self.run(&fastest, progress)?;
            // Not through: something faster may exist.
            let proven = !std::mem::take(&mut self.stopped);
            let least = look.latency_ms().value();
            if let Some(least) = least.filter(|least| proven && *least > most) {
                return Err(SearchError::TooSlow {
                    cap: short(most),
                    least: short(least),
                });
            }
            // The search below may have too little time for what the first look found.
            let answers = matches!(wanted.goal, Goal::Latency) && wanted.max_watts.is_none();
            looked = Some(look).filter(|_| answers && least.is_some_and(|least| least <= most));
        }
        if !matches!(wanted.goal, Goal::Energy) || self.question.engines < 2 {
            let found = self.run(&request, progress);
            return match looked {
                Some(looked) => better(wanted.goal, Ok(looked), found),
                None => found,
            };
        }
        // The best of one engine is exact, those of several are the best found.
        let mut several = request.clone();
        several.goal = Goal::Deployment {
            most: self.question.engines,
            least: 1,
        };
        several.least_energy = true;
        request.time_limit = request.time_limit.min(self.left() / 2);
        let one = self.run(&request, progress);
        let several = self.run(&several, progress);
        better(wanted.goal, one, several)
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn run(
        &mut self,
        request: &Request,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Proposal, SearchError> {
        let mut request = request.clone();
        request.time_limit = request.time_limit.min(self.left());
        let answer = run(self.estimator, &request, progress)?;
        self.stopped |= answer.stopped;
        let best = answer.proposals.into_iter().next();
        best.ok_or_else(|| SearchError::NoEstimate("nothing was proposed".to_owned()))
    }

    /// DLA cores to use: those as fast as the first, whose clock the estimate takes for all.
    fn cores(&self) -> u32 {
        let target = self.estimator.planner().target();
        let first = target.mode.dla_core_mhz(0);
        let alike = (0..target.dla_support().cores())
            .take_while(|core| first > 0.0 && target.mode.dla_core_mhz(*core) == first);
        let alike = alike.count() as u32;
        let most = self.question.request.constraints.dla_cores;
        most.map_or(alike, |most| most.min(alike))
    }
}
