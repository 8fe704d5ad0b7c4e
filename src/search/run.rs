//! The search as a user asks for it: a goal and constraints in, placements with figures out.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::estimate::deployment::Load;
use crate::estimate::{Estimate, Estimator};
use crate::figure::Figure;
use crate::model::{Model, ModuleId, OpId, TensorRole};
use crate::placement::{Device, EngineConfig, Placement};
use crate::plan::{Plan, Planner, Summary};

use crate::search::confirm::{Engine, Setup, Trial};
use crate::search::deployment;
use crate::search::deployment::{Engines, Member, Pooled, best_deployments};
use crate::search::pipeline;
use crate::search::pipeline::best_pipelines;
use crate::search::problem::{Problem, Score};
use crate::search::solvers::frontier::{Ask, Frontier, GPU, LATENCY, TRANSITIONS};
use crate::search::solvers::{Aim, Solution, Unsolved, compressed, minimise};
use crate::search::space::{Constraints, Costs, Space, SpaceError};

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "goal", rename_all = "snake_case")]
pub enum Goal {
    /// Least latency of one engine.
    Latency,
    /// Least GPU work of one engine that still makes this many images per second.
    OffGpu {
        /// The floor.
        min_fps: f64,
    },
    /// Fewest transitions of one engine that is at most this much slower than the fastest.
    FewestTransitions {
        /// Fraction of the fastest engine's FPS, 0 to 1.
        max_loss: f64,
    },
    /// Most images per second of engines that run at the same time.
    Deployment {
        /// Most engines.
        most: u32,
        /// Fewest engines.
        least: u32,
    },
    /// Most images per second of one network cut into stages.
    Pipeline {
        /// Most stages.
        stages: u32,
    },
}

/// A search to carry out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What is wanted.
    pub goal: Goal,
    /// What must hold.
    #[serde(default)]
    pub constraints: Constraints,
    /// Ends with the best so far after this long.
    #[serde(default = "default_time_limit")]
    pub time_limit: Duration,
    /// Proposals wanted, the best one included, baselines not.
    #[serde(default = "default_proposals")]
    pub proposals: usize,
    /// Also finds the front of latency, GPU work and transitions.
    #[serde(default)]
    pub front: bool,
}

fn default_time_limit() -> Duration {
    Duration::from_secs(10)
}

fn default_proposals() -> usize {
    5
}

impl Request {
    /// A search for a goal, without constraints.
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            constraints: Constraints::default(),
            time_limit: default_time_limit(),
            proposals: default_proposals(),
            front: false,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// The constraints cannot hold.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// No solution.
    #[error(transparent)]
    Unsolved(#[from] Unsolved),
    /// The estimate has no figures for this model on this target.
    #[error("no estimate: {0}")]
    NoEstimate(String),
    /// A number that makes no sense.
    #[error("{what} is {value}; it must be {range}")]
    Range {
        /// Which.
        what: &'static str,
        /// As given.
        value: f64,
        /// What would do.
        range: &'static str,
    },
}

/// How far the search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it does now, in words.
    pub stage: &'static str,
    /// Since it began.
    pub elapsed: Duration,
    /// The best so far in the goal's own terms: ms, transitions or images per second. Costs that
    /// add up stand in for the estimate here; the answer is judged by the estimate.
    pub best: Option<f64>,
    /// Nothing better than this exists, where a bound is known.
    pub bound: Option<f64>,
}

/// One engine of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedEngine {
    /// How it is built.
    pub config: EngineConfig,
    /// What to ask, in the fewest words.
    pub placement: Placement,
    /// The one line.
    pub summary: Summary,
    /// Its figures alone.
    pub estimate: Estimate,
    /// Energy of one inference, mJ, where it can be estimated.
    pub energy_mj: Figure,
    /// Its images per second beside the others; the same as alone for a single engine.
    pub fps: Figure,
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedStage {
    /// Modules, in words (`conv1..layer2`).
    pub what: String,
    /// First op.
    pub from: OpId,
    /// Last op.
    pub to: OpId,
    /// Where it runs.
    pub device: Device,
    /// DLA core.
    pub core: Option<u32>,
    /// Names of the tensors that come into it: where to cut the model for an engine of its own.
    pub inputs: Vec<Arc<str>>,
    /// Names of the tensors that leave it.
    pub outputs: Vec<Arc<str>>,
}

/// Something to load, build or compare with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// In a few words.
    pub name: String,
    /// Engines that run at the same time; mostly one.
    pub engines: Vec<ProposedEngine>,
    /// Stages, for a pipeline; empty otherwise.
    pub stages: Vec<ProposedStage>,
    /// Images per second in all.
    pub fps: Figure,
    /// Tensors that cross between devices, all engines.
    pub transitions: usize,
    /// Share of multiply-accumulates on DLAs, 0 to 1.
    pub dla_mac_share: Option<f64>,
    /// Whole devices only: all GPU, all DLA, and such engines side by side.
    pub baseline: bool,
}

impl Answer {
    /// What there is to measure: baselines first, then proposals, each setup once.
    pub fn trials(&self) -> Vec<Trial> {
        let mut trials: Vec<Trial> = Vec::new();
        for p in self.baselines.iter().chain(&self.proposals) {
            if let Some(t) = p.trial()
                && trials.iter().all(|known| known.setup != t.setup)
            {
                trials.push(t);
            }
        }
        trials
    }
}

impl Proposal {
    /// GPU work per inference, ms, of all engines.
    pub fn gpu_ms(&self) -> Option<f64> {
        self.engines.iter().map(|e| e.estimate.gpu_ms.value()).sum()
    }

    /// As the confirm loop takes it; `None` for a pipeline, whose stages no whole engine stands
    /// for.
    pub fn trial(&self) -> Option<Trial> {
        if !self.stages.is_empty() {
            return None;
        }
        let engines = self.engines.iter().map(|e| Engine {
            config: e.config.clone(),
            placement: e.placement.clone(),
        });
        let setup = Setup {
            engines: engines.collect(),
        };
        Some(Trial::new(self.name.clone(), setup, self.baseline))
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Best first, as the estimate ranks them.
    pub proposals: Vec<Proposal>,
    /// All GPU, all DLA; for a deployment also such engines side by side.
    pub baselines: Vec<Proposal>,
    /// None beats another in FPS, GPU work and transitions at once; by descending FPS.
    pub front: Vec<Proposal>,
    /// The front is all there is, not a sample.
    pub front_complete: bool,
    /// How far the best proposal may be from the best there is, as a fraction, for costs that add
    /// up; `None` where no bound is known.
    pub gap: Option<f64>,
    /// How it was found and proven, in words.
    pub method: String,
    /// How long it took.
    pub elapsed: Duration,
    /// The time limit or the caller ended it.
    pub stopped: bool,
}

/// Carries out a search.
///
/// # Errors
/// The constraints cannot hold, nothing meets them, or there is no estimate.
pub fn run(
    estimator: &Estimator<'_, '_>,
    request: &Request,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Answer, SearchError> {
    check(request)?;
    let costs = Costs::of(estimator).map_err(SearchError::NoEstimate)?;
    let planner = estimator.planner();
    let space = Space::new(planner, &costs, &request.constraints)?;
    let mut search = Search {
        planner,
        estimator,
        request,
        space,
        begun: Instant::now(),
        progress,
        stopped: false,
    };
    search.run()
}

fn check(request: &Request) -> Result<(), SearchError> {
    let (what, value, range, fine) = match request.goal {
        Goal::OffGpu { min_fps } => (
            "the FPS floor",
            min_fps,
            "a positive number",
            min_fps > 0.0 && min_fps.is_finite(),
        ),
        Goal::FewestTransitions { max_loss } => (
            "the loss",
            max_loss,
            "at least 0 and less than 1 (0.05 is five percent)",
            (0.0..1.0).contains(&max_loss),
        ),
        Goal::Deployment { most, least } => (
            "the number of engines",
            f64::from(most),
            "1 to 8 and not less than the fewest",
            (1..=8).contains(&most) && least <= most,
        ),
        Goal::Pipeline { stages } => (
            "the number of stages",
            f64::from(stages),
            "1 to 8",
            (1..=8).contains(&stages),
        ),
        Goal::Latency => return Ok(()),
    };
    if fine {
        Ok(())
    } else {
        Err(SearchError::Range { what, value, range })
    }
}

/// Labels kept per atom when a front is sought.
const FRONT_WIDTH: usize = 2_000;
/// Points of a front that are judged and shown.
const FRONT_POINTS: usize = 48;

struct Search<'s, 'p, 'm> {
    planner: &'p Planner<'m>,
    estimator: &'s Estimator<'p, 'm>,
    request: &'s Request,
    space: Space,
    begun: Instant,
    progress: &'s mut dyn FnMut(&Progress) -> ControlFlow<()>,
    stopped: bool,
}

/// Says how far it is; whether to go on.
struct Teller<'t> {
    begun: Instant,
    limit: Duration,
    progress: &'t mut dyn FnMut(&Progress) -> ControlFlow<()>,
    stopped: &'t mut bool,
}

impl Teller<'_> {
    fn tell(
        &mut self,
        stage: &'static str,
        best: Option<f64>,
        bound: Option<f64>,
    ) -> ControlFlow<()> {
        let elapsed = self.begun.elapsed();
        let said = Progress {
            stage,
            elapsed,
            best,
            bound,
        };
        if (self.progress)(&said).is_break() || elapsed > self.limit {
            *self.stopped = true;
        }
        if *self.stopped {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl<'m> Search<'_, '_, 'm> {
    fn model(&self) -> &'m Model {
        self.planner.model()
    }

    fn teller(&mut self) -> Teller<'_> {
        Teller {
            begun: self.begun,
            limit: self.request.time_limit,
            progress: &mut *self.progress,
            stopped: &mut self.stopped,
        }
    }

    fn run(&mut self) -> Result<Answer, SearchError> {
        let mut answer = match self.request.goal {
            Goal::Latency => self.single(Aim::Latency)?,
            Goal::OffGpu { min_fps } => {
                let latency_ms = self.latency_of(min_fps);
                self.single(Aim::GpuWork { latency_ms })?
            }
            Goal::FewestTransitions { max_loss } => {
                let fastest = self.solve(Aim::Latency)?;
                let whole = fastest.score.latency_ms + self.space.fixed_ms;
                let latency_ms = whole / (1.0 - max_loss) - self.space.fixed_ms;
                self.single(Aim::Transitions { latency_ms })?
            }
            Goal::Deployment { most, least } => self.deployment(most, least)?,
            Goal::Pipeline { stages } => self.pipeline(stages)?,
        };
        answer.baselines = self.baselines();
        if let Goal::Deployment { most, .. } = self.request.goal {
            answer.baselines.extend(self.side_by_side(most));
        }
        if self.request.front {
            let (front, complete) = self.front(f64::INFINITY);
            answer.front = self.undominated(front);
            answer.front_complete = complete;
        }
        answer.elapsed = self.begun.elapsed();
        answer.stopped = self.stopped;
        Ok(answer)
    }

    /// Latency that makes this many images per second, less what every inference pays, ms.
    fn latency_of(&self, fps: f64) -> f64 {
        f64::from(self.planner.config().batch) * 1000.0 / fps - self.space.fixed_ms
    }

    fn solve(&mut self, aim: Aim) -> Result<Solution, SearchError> {
        let problem = self.space.problem.clone();
        let mut teller = self.teller();
        let solution = minimise(&problem, aim, &mut |s: Option<&Solution>| {
            teller.tell(
                "searching",
                s.map(|s| s.value),
                s.map(|s| s.bound).filter(|b| *b > 0.0),
            )
        })?;
        Ok(solution)
    }

    fn single(&mut self, aim: Aim) -> Result<Answer, SearchError> {
        let solution = self.solve(aim)?;
        let latency_ms = match aim {
            Aim::Latency => f64::INFINITY,
            Aim::GpuWork { latency_ms } | Aim::Transitions { latency_ms } => latency_ms,
        };
        let mut candidates = vec![(solution.score, solution.chosen.clone())];
        if self.request.proposals > 1 {
            candidates.extend(self.front(latency_ms).0);
        }
        let value = |s: &Score| match aim {
            Aim::Latency => (s.latency_ms, f64::from(s.transitions)),
            Aim::GpuWork { .. } => (s.gpu_ms, s.latency_ms),
            Aim::Transitions { .. } => (f64::from(s.transitions), s.latency_ms),
        };
        candidates[1..].sort_by(|a, b| {
            let (a, b) = (value(&a.0), value(&b.0));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let mut proposals: Vec<Proposal> = Vec::new();
        let mut seen: Vec<Vec<Device>> = Vec::new();
        for (_, chosen) in candidates {
            if seen.contains(&chosen) {
                continue;
            }
            if proposals.len() == self.request.proposals.max(1) {
                break;
            }
            let name = if proposals.is_empty() {
                "best".to_owned()
            } else {
                format!("alternative {}", proposals.len())
            };
            proposals.push(self.propose(name, &chosen));
            seen.push(chosen);
        }
        Ok(Answer {
            proposals,
            baselines: Vec::new(),
            front: Vec::new(),
            front_complete: false,
            gap: Some(solution.gap()),
            method: solution.method.to_owned(),
            elapsed: Duration::ZERO,
            stopped: false,
        })
    }

    /// Placements none of which beats another in latency, GPU work and transitions, with at most
    /// this latency; whether that is all of them.
    fn front(&mut self, latency_ms: f64) -> (Vec<(Score, Vec<Device>)>, bool) {
        let problem = self.space.problem.clone();
        let small = compressed(&problem);
        let mut teller = self.teller();
        let found = Frontier::new(&small).search(
            &Ask {
                active: [true; 3],
                most: [latency_ms, f64::INFINITY, f64::INFINITY],
                rank: [1.0, 0.5, 0.01],
                width: FRONT_WIDTH,
            },
            &mut || teller.tell("tracing the front", None, None).is_break(),
        );
        let mut points = found.front;
        let complete = found.complete && !found.stopped && points.len() <= FRONT_POINTS;
        if points.len() > FRONT_POINTS {
            points = spread(points);
        }
        let mut scorer = crate::search::problem::Scorer::new(&problem);
        let points = points
            .into_iter()
            .map(|(_, chosen)| (scorer.score(&chosen), chosen))
            .collect();
        (points, complete)
    }

    fn undominated(&self, points: Vec<(Score, Vec<Device>)>) -> Vec<Proposal> {
        let mut all: Vec<Proposal> = points
            .into_iter()
            .enumerate()
            .map(|(i, (_, chosen))| self.propose(format!("front {}", i + 1), &chosen))
            .collect();
        let key = |p: &Proposal| Some((-p.fps.value()?, p.gpu_ms()?, p.transitions));
        let keys: Vec<_> = all.iter().map(key).collect();
        let beaten = |i: usize| {
            keys.iter().enumerate().any(|(j, other)| {
                let (Some(a), Some(b)) = (keys[i], *other) else {
                    return false;
                };
                i != j && b.0 <= a.0 && b.1 <= a.1 && b.2 <= a.2 && (b != a || j < i)
            })
        };
        let keep: Vec<bool> = (0..all.len()).map(|i| !beaten(i)).collect();
        let mut keep = keep.iter();
        all.retain(|_| keep.next().copied().unwrap_or(true));
        by_fps(&mut all);
        all
    }

    fn baselines(&self) -> Vec<Proposal> {
        let mut out = Vec::new();
        for device in [Device::Gpu, Device::Dla] {
            if device == Device::Dla && self.planner.engine_refusal().is_some() {
                continue;
            }
            let placement = Placement::all(device);
            let config = self.planner.config().clone();
            if let Some(mut p) = self
                .engine(placement, config)
                .map(one(format!("all {device}")))
            {
                p.baseline = true;
                out.push(p);
            }
        }
        out
    }

    /// Whole devices side by side, at most `most` engines: two GPU processes, GPU and DLA, ...
    fn side_by_side(&self, most: u32) -> Vec<Proposal> {
        let cores = self.cores();
        let gpu = (Placement::all(Device::Gpu), 0);
        let dla = |core| (Placement::all(Device::Dla), core);
        let mut sets = vec![vec![gpu.clone(), gpu.clone()]];
        if cores > 0 {
            sets.push(vec![gpu.clone(), dla(0)]);
        }
        if cores > 1 {
            sets.push(vec![dla(0), dla(1)]);
            sets.push(vec![gpu, dla(0), dla(1)]);
        }
        sets.into_iter()
            .filter(|s| s.len() <= most as usize)
            .map(|s| Proposal {
                baseline: true,
                ..self.deployed(s)
            })
            .collect()
    }

    /// DLA cores there are for this engine config.
    fn cores(&self) -> u32 {
        if self.planner.engine_refusal().is_some() {
            return 0;
        }
        let all = self.planner.target().board.dla_cores();
        let most = self.request.constraints.dla_cores;
        most.map_or(all, |most| most.min(all))
    }

    fn engine(&self, placement: Placement, config: EngineConfig) -> Option<(ProposedEngine, Plan)> {
        // Both the search and the baselines name only what the model has.
        let plan = self.planner.plan_placement(&placement).ok()?;
        let estimate = self.estimator.estimate(&plan);
        let engine = ProposedEngine {
            config,
            placement,
            summary: plan.summary(self.model()),
            fps: estimate.fps.clone(),
            energy_mj: self.estimator.energy_mj(&plan),
            estimate,
        };
        Some((engine, plan))
    }

    fn propose(&self, name: String, chosen: &[Device]) -> Proposal {
        let placement = self.space.placement(self.model(), chosen);
        let config = self.planner.config().clone();
        match self.engine(placement, config) {
            Some(made) => one(name)(made),
            None => Proposal {
                name,
                engines: Vec::new(),
                stages: Vec::new(),
                fps: Figure::none("the placement does not fit the model"),
                transitions: 0,
                dla_mac_share: None,
                baseline: false,
            },
        }
    }

    fn deployment(&mut self, most: u32, least: u32) -> Result<Answer, SearchError> {
        let cores = self.cores();
        let engines = Engines {
            most,
            least,
            cores,
            loadables: self.planner.target().tensorrt.max_loadables(),
        };
        let problem = self.space.problem.clone();
        problem.check().map_err(Unsolved::from)?;
        let (planner, estimator, model) = (self.planner, self.estimator, self.model());
        let placements = self.space.clone();
        // Loads by devices chosen: deployments share few placements.
        let mut known: HashMap<Vec<Device>, Option<Load>> = HashMap::new();
        let best = Cell::new(None);
        let mut weigh = |pool: &[Pooled], members: &[Member]| -> Option<f64> {
            let mut loads = Vec::with_capacity(members.len());
            for m in members {
                let chosen = &pool[m.placement].chosen;
                let load = if let Some(load) = known.get(chosen) {
                    load.clone()
                } else {
                    let placement = placements.placement(model, chosen);
                    let plan = planner.plan_placement(&placement).ok()?;
                    let load = estimator.load(&plan).ok();
                    known.insert(chosen.clone(), load.clone());
                    load
                };
                loads.push(Load {
                    core: m.core.unwrap_or(0),
                    ..load?
                });
            }
            let fps = estimator.deployment(&loads).total_fps.value()?;
            if members.len() >= least as usize && best.get().is_none_or(|b| fps > b) {
                best.set(Some(fps));
            }
            Some(fps)
        };
        let mut teller = self.teller();
        let (pool, found, exhaustive) =
            best_deployments(&problem, engines, &mut weigh, &mut || {
                teller.tell("weighing deployments", best.get(), None)
            });
        if found.is_empty() {
            return Err(if self.stopped {
                Unsolved::Stopped.into()
            } else {
                Unsolved::Infeasible.into()
            });
        }
        let mut proposals: Vec<Proposal> = Vec::new();
        for f in &found {
            let p = self.together(&pool, f);
            let known = proposals.iter().any(|q| cast(q) == cast(&p));
            if !known {
                proposals.push(p);
            }
            if proposals.len() == self.request.proposals.max(1) {
                break;
            }
        }
        let method = if exhaustive {
            "priced sub-problems, all deployments of their placements weighed, best ones improved"
        } else {
            "priced sub-problems, ascent over deployments, best ones improved"
        };
        Ok(Answer {
            proposals,
            baselines: Vec::new(),
            front: Vec::new(),
            front_complete: false,
            gap: None,
            method: method.to_owned(),
            elapsed: Duration::ZERO,
            stopped: false,
        })
    }

    fn together(&self, pool: &[Pooled], found: &deployment::Found) -> Proposal {
        let engine = |m: &Member| {
            let placement = self
                .space
                .placement(self.model(), &pool[m.placement].chosen);
            (placement, m.core.unwrap_or(0))
        };
        self.deployed(found.members.iter().map(engine).collect())
    }

    /// Placements, each with its DLA core, as engines that run at the same time.
    fn deployed(&self, engines: Vec<(Placement, u32)>) -> Proposal {
        let model = self.model();
        let made: Vec<(ProposedEngine, Plan)> = engines
            .into_iter()
            .filter_map(|(placement, dla_core)| {
                let config = EngineConfig {
                    dla_core,
                    ..self.planner.config().clone()
                };
                self.engine(placement, config)
            })
            .collect();
        let loads: Result<Vec<Load>, _> = made
            .iter()
            .map(|(e, plan)| {
                let load = self.estimator.load(plan)?;
                Ok(Load {
                    core: e.config.dla_core,
                    ..load
                })
            })
            .collect();
        let (each, total) = match loads {
            Ok(loads) => {
                let d = self.estimator.deployment(&loads);
                (d.fps, d.total_fps)
            }
            Err(reason) => (
                vec![Figure::none(Arc::clone(&reason)); made.len()],
                Figure::none(reason),
            ),
        };
        let names: Vec<String> = made.iter().map(|(e, p)| role(self.planner, e, p)).collect();
        let shares: Option<Vec<f64>> = made.iter().map(|(_, p)| p.dla_mac_share(model)).collect();
        let transitions = made.iter().map(|(_, p)| p.transitions.len()).sum();
        let engines = made
            .into_iter()
            .zip(each)
            .map(|((e, _), fps)| ProposedEngine { fps, ..e })
            .collect();
        Proposal {
            name: names.join(" + "),
            engines,
            stages: Vec::new(),
            fps: total,
            transitions,
            dla_mac_share: shares.map(|s| s.iter().sum::<f64>() / s.len().max(1) as f64),
            baseline: false,
        }
    }

    fn pipeline(&mut self, stages: u32) -> Result<Answer, SearchError> {
        let cores = self.cores();
        let problem = self.space.problem.clone();
        problem.check().map_err(Unsolved::from)?;
        let limits = pipeline::Limits { stages, cores };
        let mut teller = self.teller();
        let (found, exact) = best_pipelines(&problem, limits, &mut || {
            teller.tell("cutting stages", None, None).is_break()
        });
        if found.is_empty() {
            return Err(if self.stopped {
                Unsolved::Stopped.into()
            } else {
                Unsolved::Infeasible.into()
            });
        }
        let mut proposals: Vec<Proposal> = found.iter().map(|f| self.staged(&problem, f)).collect();
        // Contention may turn near ties round.
        by_fps(&mut proposals);
        proposals.truncate(self.request.proposals.max(1));
        Ok(Answer {
            proposals,
            baselines: Vec::new(),
            front: Vec::new(),
            front_complete: false,
            gap: None,
            method: if exact {
                "every cut and sequence of stages weighed, exact but for contention".into()
            } else {
                "cuts with the cheapest copies weighed".into()
            },
            elapsed: Duration::ZERO,
            stopped: false,
        })
    }

    /// A pipeline as a placement of the whole network, judged from the estimate of that.
    fn staged(&self, problem: &Problem, found: &pipeline::Pipeline) -> Proposal {
        let model = self.model();
        let mut chosen = problem.uniform(Device::Gpu);
        for s in &found.stages {
            for a in &problem.atoms[s.from as usize..s.to as usize] {
                if let Some(c) = a.choice {
                    chosen[c as usize] = s.device;
                }
            }
        }
        let mut proposal = self.propose(stage_names(&found.stages), &chosen);
        let stages: Vec<ProposedStage> = found
            .stages
            .iter()
            .map(|s| {
                let (inputs, outputs) = ends(model, s.from, s.to);
                ProposedStage {
                    what: modules(model, s.from, s.to),
                    from: OpId(s.from),
                    to: OpId(s.to.saturating_sub(1)),
                    device: s.device,
                    core: (s.device == Device::Dla).then_some(s.core),
                    inputs,
                    outputs,
                }
            })
            .collect();
        let loads: Result<Vec<Load>, Arc<str>> = found
            .stages
            .iter()
            .map(|s| self.stage_load(s, &chosen))
            .collect();
        proposal.fps = match loads {
            Ok(loads) => self.estimator.pipeline(&loads).fps,
            Err(reason) => Figure::none(reason),
        };
        if let Some(engine) = proposal.engines.first_mut() {
            engine.fps = proposal.fps.clone();
        }
        proposal.stages = stages;
        proposal
    }

    /// What a stage asks of the board. Each is planned with the rest of the network on the GPU,
    /// since stages on different cores share no subgraph.
    fn stage_load(&self, stage: &pipeline::Stage, chosen: &[Device]) -> Result<Load, Arc<str>> {
        let inside = |op: OpId| (stage.from..stage.to).contains(&op.0);
        let devices = self
            .model()
            .op_ids()
            .map(|op| match self.space.choice_of(op) {
                Some(c) if inside(op) => chosen[c as usize],
                _ => Device::Gpu,
            })
            .collect();
        let load = self
            .estimator
            .stage_load(&self.planner.plan(devices), &inside)?;
        Ok(Load {
            core: stage.core,
            ..load
        })
    }
}

fn by_fps(proposals: &mut [Proposal]) {
    let fps = |p: &Proposal| p.fps.value().unwrap_or(f64::NEG_INFINITY);
    proposals.sort_by(|a, b| fps(b).total_cmp(&fps(a)));
}

/// Wraps one engine as a proposal.
fn one(name: String) -> impl FnOnce((ProposedEngine, Plan)) -> Proposal {
    move |(engine, plan)| Proposal {
        name,
        fps: engine.fps.clone(),
        transitions: plan.transitions.len(),
        dla_mac_share: engine.summary.dla_mac_share,
        engines: vec![engine],
        stages: Vec::new(),
        baseline: false,
    }
}

/// What an engine of a deployment is called.
fn role(planner: &Planner<'_>, engine: &ProposedEngine, plan: &Plan) -> String {
    let core = engine.config.dla_core;
    let mut taken = (0u32..)
        .map(OpId)
        .zip(&plan.predicted)
        .filter(|(op, _)| planner.may_run_on_dla(*op));
    if plan.dla_ops() == 0 {
        "GPU".into()
    } else if taken.all(|(_, d)| *d == Device::Dla) {
        format!("DLA{core}")
    } else {
        format!("GPU/DLA{core}")
    }
}

/// The placements of a deployment by what they share, so that two deployments that differ in the
/// numbers of their cores only are equal.
fn cast(p: &Proposal) -> Vec<Vec<&Placement>> {
    let mut by_core: BTreeMap<Option<u32>, Vec<&Placement>> = BTreeMap::new();
    for e in &p.engines {
        let core = (e.summary.dla_ops > 0).then_some(e.config.dla_core);
        by_core.entry(core).or_default().push(&e.placement);
    }
    let order = |p: &&Placement| (p.default, p.overrides.clone());
    for shared in by_core.values_mut() {
        shared.sort_by_key(order);
    }
    let gpu = by_core.remove(&None).unwrap_or_default();
    let mut cores: Vec<Vec<&Placement>> = by_core.into_values().collect();
    cores.sort_by_key(|c| c.iter().map(order).collect::<Vec<_>>());
    cores.insert(0, gpu);
    cores
}

/// What a pipeline is called.
fn stage_names(stages: &[pipeline::Stage]) -> String {
    let names: Vec<String> = stages
        .iter()
        .map(|s| match s.device {
            Device::Gpu => "GPU".into(),
            Device::Dla => format!("DLA{}", s.core),
        })
        .collect();
    names.join(" > ")
}

/// Names of the tensors that come into a range of ops from outside, and that leave it.
fn ends(model: &Model, from: u32, to: u32) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
    let inside = |op: &OpId| (from..to).contains(&op.0);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for t in &model.tensors {
        let made = t.producer.as_ref().is_some_and(inside);
        let fed = matches!(t.role, TensorRole::Input | TensorRole::Activation);
        if made && (t.is_output || t.consumers.iter().any(|op| !inside(op))) {
            outputs.push(Arc::clone(&t.name));
        } else if !made && fed && t.consumers.iter().any(inside) {
            inputs.push(Arc::clone(&t.name));
        }
    }
    (inputs, outputs)
}

/// The ops of a range in words: at either end the largest module that lies wholly in it, or the op
/// where its own module goes on outside.
fn modules(model: &Model, from: u32, to: u32) -> String {
    let tree = &model.modules;
    let inside = |m: ModuleId| {
        let ops = tree.subtree_ops(m);
        ops.iter().all(|op| (from..to).contains(&op.0))
    };
    let name = |op: u32| {
        let op = model.op(OpId(op));
        tree.ancestors_or_self(op.module)
            .take_while(|m| *m != ModuleId::ROOT && inside(*m))
            .last()
            .map_or_else(|| op.name.to_string(), |m| tree.get(m).path.to_string())
    };
    if to <= from {
        return String::new();
    }
    let (a, b) = (name(from), name(to - 1));
    if a == b { a } else { format!("{a}..{b}") }
}

/// A sample of a front, even in latency, with the extremes of each criterion.
fn spread(points: Vec<([f64; 3], Vec<Device>)>) -> Vec<([f64; 3], Vec<Device>)> {
    let least = |c: usize| {
        points
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| a.0[c].total_cmp(&b.0[c]))
            .map(|(i, _)| i)
    };
    let mut keep: Vec<usize> = [LATENCY, GPU, TRANSITIONS]
        .into_iter()
        .filter_map(least)
        .collect();
    let (low, high) = match (points.first(), points.last()) {
        (Some(a), Some(b)) => (a.0[LATENCY], b.0[LATENCY]),
        _ => return points,
    };
    let room = FRONT_POINTS - keep.len();
    let mut next = 0.0;
    for (i, (at, _)) in points.iter().enumerate() {
        if at[LATENCY] >= low + (high - low) * next {
            keep.push(i);
            next = (at[LATENCY] - low) / (high - low).max(f64::MIN_POSITIVE) + 1.0 / room as f64;
        }
    }
    keep.sort_unstable();
    keep.dedup();
    let mut points: Vec<Option<_>> = points.into_iter().map(Some).collect();
    keep.into_iter()
        .filter_map(|i| points.get_mut(i).and_then(Option::take))
        .collect()
}
