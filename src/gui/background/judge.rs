//! Plans and estimates on a thread of their own, so that no model is too large for the window.
//!
//! One judge serves one model on one target under one engine config; a change of any of them
//! starts another and drops the old one, whose thread ends when its channel closes.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::estimate::board::BoardFile;
use crate::estimate::deployment::Load;
use crate::estimate::{Breakdown, Estimator};
use crate::figure::Figure;
use crate::gui::background::jobs::Waker;
use crate::gui::background::memory::give_back;
use crate::gui::data::judgement::{Company, Ground, Judgement, Together, WhatIf};
use crate::history::calibration;
use crate::model::Model;
use crate::placement::{Device, EngineConfig, Placement, UnknownSite};
use crate::plan::{Plan, Planner};
use crate::platform::Target;

/// A question to the judge.
enum Ask {
    Judge(u64, Placement, Option<Company>),
    WhatIf(u64, Vec<Placement>),
}

/// What the judge says.
#[derive(Debug)]
pub enum Answer {
    /// The unchanging part, once, first.
    Ground(Arc<Ground>),
    /// A placement judged; an error where it names what the model does not have.
    Judged(u64, Result<Arc<Judgement>, UnknownSite>),
    /// Considered placements, under the key of the question.
    WhatIf(u64, Vec<Option<WhatIf>>),
}

/// The window's end of the thread.
#[derive(Debug)]
pub struct Judge {
    asks: SyncSender<Ask>,
    answers: Receiver<Answer>,
}

/// More questions than this are never open: the newest of each kind replaces the rest.
const OPEN_QUESTIONS: usize = 8;

impl Judge {
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
        let (asks, questions) = sync_channel(OPEN_QUESTIONS);
        let (replies, answers) = sync_channel(OPEN_QUESTIONS);
        std::thread::Builder::new()
            .name("judge".into())
            .spawn(move || {
                serve(
                    &model, &target, &config, &data_dir, &questions, &replies, &wake,
                );
                give_back();
            })?;
        Ok(Self { asks, answers })
    }

    /// Asks for a placement, beside another engine where one is given; false where the judge is busy and the question must come again.
    pub fn judge(&self, revision: u64, placement: &Placement, company: Option<Company>) -> bool {
        self.asks
            .try_send(Ask::Judge(revision, placement.clone(), company))
            .is_ok()
    }

    /// Asks for placements that are only considered.
    pub fn consider(&self, key: u64, placements: Vec<Placement>) -> bool {
        self.asks.try_send(Ask::WhatIf(key, placements)).is_ok()
    }

    /// An answer if there is one; `Err` when the thread has died.
    ///
    /// # Errors
    /// The thread has ended, which is a bug in planning.
    pub fn poll(&self) -> Result<Option<Answer>, Died> {
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Died),
        }
    }

    /// An answer if one comes before the deadline.
    ///
    /// # Errors
    /// The thread has ended, which is a bug in planning.
    pub fn wait(&self, deadline: Instant) -> Result<Option<Answer>, Died> {
        let left = deadline
            .checked_duration_since(Instant::now())
            .unwrap_or(Duration::ZERO);
        match self.answers.recv_timeout(left) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Died),
        }
    }
}

/// The judge's thread is gone.
#[derive(Clone, Copy, Debug)]
pub struct Died;

fn serve(
    model: &Model,
    target: &Target,
    config: &EngineConfig,
    data_dir: &Path,
    questions: &Receiver<Ask>,
    replies: &SyncSender<Answer>,
    wake: &Waker,
) {
    let planner = Planner::new(model, target, config);
    let own = calibration(Some(data_dir), target.board.id);
    let estimator = Estimator::with_board(&planner, &own);
    let costs = |device| {
        model
            .op_ids()
            .map(|op| estimator.op_ms(op, device))
            .collect()
    };
    let ground = Ground {
        verdicts: model
            .op_ids()
            .map(|op| planner.verdict(op).clone())
            .collect(),
        gpu_ms: costs(Device::Gpu),
        dla_ms: costs(Device::Dla),
        fused_into: model.op_ids().map(|op| estimator.fused_into(op)).collect(),
        engine_refusal: planner.engine_refusal().cloned(),
    };
    let tell = |answer| {
        let told = replies.send(answer).is_ok();
        wake();
        told
    };
    if !tell(Answer::Ground(Arc::new(ground))) {
        return;
    }
    let considered = |placement: &Placement| {
        let plan = planner.plan_placement(placement).ok()?;
        let estimate = estimator.estimate(&plan);
        Some(WhatIf {
            fps: estimate.fps,
            fallbacks: plan.fallbacks.len(),
            subgraphs: plan.subgraphs.len(),
            dla_mac_share: plan.dla_mac_share(model),
        })
    };
    let mut other: Option<(Company, Result<Load, Arc<str>>)> = None;
    while let Ok(first) = questions.recv() {
        // Only the newest question of each kind still matters.
        let (mut judge, mut what_if) = (None, None);
        for ask in std::iter::once(first).chain(questions.try_iter()) {
            match ask {
                Ask::Judge(revision, placement, company) => {
                    judge = Some((revision, placement, company));
                }
                Ask::WhatIf(key, placements) => what_if = Some((key, placements)),
            }
        }
        if let Some((revision, placement, company)) = judge {
            let judged = placement.resolve(model).map(|resolved| {
                let plan = planner.plan_resolved(&placement, &resolved);
                let estimate = estimator.estimate(&plan);
                let breakdown = estimator.breakdown(&plan, &estimate);
                let together = company.map(|company| {
                    // The other engine stays the same while the placement changes.
                    if other.as_ref().is_none_or(|(of, _)| *of != company) {
                        other = Some((company, load_of(company, &planner, &own)));
                    }
                    let load = other.as_ref().map(|(_, load)| load.clone());
                    let load = load.unwrap_or_else(|| Err("no other engine".into()))?;
                    let alone = breakdown.as_ref().map_err(Arc::clone)?;
                    together(&estimator, &plan, alone, company, load)
                });
                let summary = plan.summary(model);
                Arc::new(Judgement {
                    revision,
                    resolved,
                    power: estimator.power(&plan, &estimate.latency_ms),
                    fallback_groups: plan.fallback_groups(model),
                    plan,
                    estimate,
                    breakdown,
                    together,
                    summary,
                    refusals: OnceLock::new(),
                })
            });
            if !tell(Answer::Judged(revision, judged)) {
                return;
            }
        }
        if let Some((key, placements)) = what_if {
            let answers = placements.iter().map(considered).collect();
            if !tell(Answer::WhatIf(key, answers)) {
                return;
            }
        }
    }
}

/// What an engine of the whole network on one device asks of the board.
fn load_of(company: Company, planner: &Planner<'_>, own: &BoardFile) -> Result<Load, Arc<str>> {
    let model = planner.model();
    let (device, config) = match company {
        Company::Gpu => (Device::Gpu, planner.config().clone()),
        Company::Dla(dla_core) => {
            let config = planner.config().clone();
            (Device::Dla, EngineConfig { dla_core, ..config })
        }
    };
    let planner = Planner::new(model, planner.target(), &config);
    let plan = planner.plan(vec![device; model.ops.len()]);
    Estimator::with_board(&planner, own).load(&plan)
}

fn together(
    estimator: &Estimator<'_, '_>,
    plan: &Plan,
    alone: &Breakdown,
    company: Company,
    load: Load,
) -> Result<Together, Arc<str>> {
    let both = estimator.deployment(&[estimator.load(plan)?, load]);
    let figure = |figures: &[Figure], at: usize| match figures.get(at) {
        Some(figure) => figure.clone(),
        None => Figure::none("no such engine"),
    };
    Ok(Together {
        company,
        waterfall: alone
            .waterfall
            .clone()
            .beside(1, &figure(&both.latency_ms, 0)),
        fps: [
            figure(&both.fps, 0),
            figure(&both.fps, 1),
            both.total_fps.clone(),
        ],
    })
}
