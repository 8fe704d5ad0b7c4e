//! Carries out a search: a goal and constraints in, placements with figures out.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::estimate::Estimator;
use crate::estimate::deployment::Load;
use crate::estimate::power::{ImageWork, PowerEstimate};
use crate::figure::{Figure, short};
use crate::model::{Model, OpId};
use crate::placement::{Device, EngineConfig, Placement};
use crate::plan::{Plan, Planner};
use crate::search::answer::{
    Answer, Progress, Proposal, ProposedEngine, ProposedStage, by_fps, one,
};
use crate::search::deployment::{self, Engines, Member, Pooled, best_deployments};
use crate::search::goal::{Goal, Request, SearchError, check};
use crate::search::pipeline::{self, best_pipelines};
use crate::search::problem::{Problem, Score, Scorer};
use crate::search::solvers::frontier::{Ask, Frontier, GPU, LATENCY, TRANSITIONS};
use crate::search::solvers::{Aim, Solution, Unsolved, compressed, minimise};
use crate::search::space::{Costs, Space};
use crate::search::words::{cast, ends, modules, role, stage_names};

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
    let io = estimator.planner().config().io;
    if matches!(request.goal, Goal::Pipeline { .. }) && !io.is_default() {
        return Err(SearchError::Formats(io));
    }
    let mut costs = Costs::of(estimator).map_err(SearchError::NoEstimate)?;
    let mut unit = 1.0;
    if matches!(request.goal, Goal::Energy) {
        let power = estimator.power_model().map_err(SearchError::NoPower)?;
        costs = costs.with_energy(estimator, &power);
        unit = power.rest_watts;
    }
    let planner = estimator.planner();
    let space = Space::new(planner, &costs, &request.constraints)?;
    let mut search = Search {
        unit,
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

/// Labels kept per atom when a front is sought.
const FRONT_WIDTH: usize = 2_000;
/// Points of a front that are judged and shown.
const FRONT_POINTS: usize = 48;

struct Search<'s, 'p, 'm> {
    planner: &'p Planner<'m>,
    estimator: &'s Estimator<'p, 'm>,
    request: &'s Request,
    space: Space,
    /// What a solution's value counts in the goal's own unit: mJ per ms at rest for the energy.
    unit: f64,
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
            Goal::Latency | Goal::Energy => self.single(Aim::Latency)?,
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
        self.cap(&mut answer)?;
        answer.elapsed = self.begun.elapsed();
        answer.stopped = self.stopped;
        Ok(answer)
    }

    /// Proposals that were wanted. Under a cap of power or latency all that were found, of which
    /// [`Self::cap`] takes the best.
    fn wanted(&self) -> usize {
        match (self.request.max_watts, self.request.max_latency_ms) {
            (None, None) => self.request.proposals.max(1),
            _ => FRONT_POINTS,
        }
    }

    /// Leaves out of an answer what takes longer or draws more than is allowed.
    fn cap(&self, answer: &mut Answer) -> Result<(), SearchError> {
        let (watts, ms) = (self.request.max_watts, self.request.max_latency_ms);
        if watts.is_none() && ms.is_none() {
            return Ok(());
        }
        if watts.is_some() {
            self.estimator.power_model().map_err(SearchError::NoPower)?;
        }
        let of = |figure: Figure| figure.value().unwrap_or(f64::INFINITY);
        let latency = |p: &Proposal| of(p.latency_ms());
        let power = |p: &Proposal| of(p.power.wall_watts.clone());
        let least = |answer: &Answer, what: &dyn Fn(&Proposal) -> f64| {
            let all = answer.proposals.iter().map(what);
            short(all.fold(f64::INFINITY, f64::min))
        };
        let fits = |p: &Proposal| {
            ms.is_none_or(|most| latency(p) <= most) && watts.is_none_or(|most| power(p) <= most)
        };
        // The optimum without the caps is one with them where it keeps them; else the best of what
        // was found stands, and nothing proves that it is the best there is.
        if !answer.proposals.first().is_some_and(fits) {
            answer.gap = None;
        }
        answer.front.retain(fits);
        if let Some(most) = ms {
            let fastest = least(answer, &latency);
            answer.proposals.retain(|p| latency(p) <= most);
            if answer.proposals.is_empty() {
                return Err(SearchError::TooSlow {
                    cap: short(most),
                    least: fastest,
                });
            }
        }
        if let Some(most) = watts {
            let least = least(answer, &power);
            answer.proposals.retain(|p| power(p) <= most);
            if answer.proposals.is_empty() {
                return Err(SearchError::TooMuchPower {
                    cap: short(most),
                    least,
                });
            }
        }
        answer.proposals.truncate(self.request.proposals.max(1));
        Ok(())
    }

    /// Latency that makes this many images per second, less what every inference pays, ms.
    fn latency_of(&self, fps: f64) -> f64 {
        f64::from(self.planner.config().batch) * 1000.0 / fps - self.space.fixed_ms
    }

    fn solve(&mut self, aim: Aim) -> Result<Solution, SearchError> {
        let problem = self.space.problem.clone();
        let unit = self.unit;
        let mut teller = self.teller();
        let solution = minimise(&problem, aim, &mut |s: Option<&Solution>| {
            teller.tell(
                "searching",
                s.map(|s| s.value * unit),
                s.map(|s| s.bound * unit).filter(|b| *b > 0.0),
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
        if self.wanted() > 1 {
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
            if proposals.len() == self.wanted() {
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
        Ok(Answer::new(
            proposals,
            Some(solution.gap()),
            solution.method,
        ))
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
        let mut scorer = Scorer::new(&problem);
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
            power: self.estimator.power(&plan, &estimate.latency_ms),
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
                power: PowerEstimate::none("the placement does not fit the model"),
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
        let request = self.request;
        let power = if request.least_energy || request.max_watts.is_some() {
            Some(estimator.power_model().map_err(SearchError::NoPower)?)
        } else {
            None
        };
        // Loads by devices chosen: deployments share few placements.
        let mut known: HashMap<Vec<Device>, Option<(Load, ImageWork)>> = HashMap::new();
        let (best, tried) = (Cell::new(None), Cell::new(0u64));
        // The least of what the caps are about, for the message where they allow nothing.
        let (fastest, thriftiest) = (Cell::new(f64::INFINITY), Cell::new(f64::INFINITY));
        let mut weigh = |pool: &[Pooled], members: &[Member]| -> Option<f64> {
            tried.set(tried.get() + 1);
            let mut loads = Vec::with_capacity(members.len());
            let mut works = Vec::with_capacity(members.len());
            for m in members {
                let chosen = &pool[m.placement].chosen;
                let load = if let Some(load) = known.get(chosen) {
                    load.clone()
                } else {
                    let placement = placements.placement(model, chosen);
                    let plan = planner.plan_placement(&placement).ok()?;
                    let load = estimator.load(&plan).ok();
                    let load = load.map(|load| (load, estimator.work(&plan)));
                    known.insert(chosen.clone(), load.clone());
                    load
                };
                let (load, work) = load?;
                works.push(work);
                loads.push(Load {
                    core: m.core.unwrap_or(0),
                    ..load
                });
            }
            let judged = estimator.deployment(&loads);
            let total = judged.total_fps.value()?;
            if let Some(most) = request.max_latency_ms {
                let times = judged.latency_ms.iter().map(Figure::value);
                let slowest = times.fold(0.0, |a: f64, ms| a.max(ms.unwrap_or(f64::INFINITY)));
                fastest.set(fastest.get().min(slowest));
                if slowest > most {
                    return None;
                }
            }
            let mut value = total;
            if let Some(power) = &power {
                let each = judged.fps.iter().filter_map(Figure::value);
                let watts = power.watts(works.into_iter().zip(each));
                thriftiest.set(thriftiest.get().min(watts));
                if request.max_watts.is_some_and(|most| watts > most) {
                    return None;
                }
                if request.least_energy {
                    // Images per joule.
                    value = total / watts;
                }
            }
            if members.len() >= least as usize && best.get().is_none_or(|b| value > b) {
                best.set(Some(value));
            }
            Some(value)
        };
        let mut teller = self.teller();
        let (pool, found, _) = best_deployments(&problem, engines, &mut weigh, &mut || {
            teller.tell("weighing deployments", best.get(), None)
        });
        if found.is_empty() {
            let over = |most: Option<f64>, least: f64| {
                most.filter(|most| least > *most && least.is_finite())
                    .map(|most| (short(most), short(least)))
            };
            let late = over(self.request.max_latency_ms, fastest.get());
            let hungry = over(self.request.max_watts, thriftiest.get());
            return Err(match (late, hungry) {
                (Some((cap, least)), _) => SearchError::TooSlow { cap, least },
                (None, Some((cap, least))) => SearchError::TooMuchPower { cap, least },
                (None, None) if self.stopped => Unsolved::Stopped.into(),
                (None, None) => Unsolved::Infeasible.into(),
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
        let method = format!("best of {} deployments tried", tried.get());
        Ok(Answer::new(proposals, None, &method))
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
        let works = made.iter().map(|(_, plan)| self.estimator.work(plan));
        let power = self
            .estimator
            .power_together(&works.zip(&each).collect::<Vec<_>>());
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
            power,
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
        Ok(Answer::new(
            proposals,
            None,
            if exact {
                "every cut and sequence of stages tried, exact but for contention"
            } else {
                "best of the cuts with the cheapest copies"
            },
        ))
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
