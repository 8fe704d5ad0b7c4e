//! Several engines of one network at the same time, for the most images per second in all.
//!
//! Which placement serves an engine best depends on what the others leave free, which no sum of
//! costs can say. So two steps alternate: exact sub-problems with GPU work priced up or down give
//! placements, and the deployments made of them are weighed with the contention model; new
//! prices are tried around those that did best until nothing new comes. The best ones are then
//! improved choice by choice. Anytime, and without a proof: a bound on what contention leaves is
//! not known.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::placement::Device;

use super::problem::{Allowed, Problem, Score, Scorer};
use crate::search::solvers::frontier::{Ask, Frontier};
use crate::search::solvers::{Aim, minimise, scaled};

/// What a deployment may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engines {
    /// Most engines at the same time.
    pub most: u32,
    /// Fewest.
    pub least: u32,
    /// DLA cores.
    pub cores: u32,
    /// DLA loadables a core holds, of all its engines together.
    pub loadables: u32,
}

/// One engine of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Position in the pool of placements.
    pub placement: usize,
    /// DLA core; `None` for an engine that is all on the GPU.
    pub core: Option<u32>,
}

/// A placement engines may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// Devices per choice.
    pub chosen: Vec<Device>,
    /// What it comes to alone.
    pub score: Score,
    /// Weight of GPU work that led to it.
    pub weight: f64,
}

/// A deployment and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its engines.
    pub members: Vec<Member>,
    /// As judged: images per second in all, or per joule.
    pub value: f64,
}

/// Judges a deployment: images per second of all engines together, or per joule; `None` where there
/// is no figure, or a cap is broken.
pub type Judge<'j> = dyn FnMut(&[Pooled], &[Member]) -> Option<f64> + 'j;

/// Deployments judged one by one at most, per round; beyond that, ascent from several starts.
const EXHAUSTIVE: usize = 30_000;
/// Points of the front of latency and GPU work that enter the pool.
const FROM_FRONT: usize = 12;
/// Deployments improved choice by choice.
const IMPROVED: usize = 4;
/// Rounds of new prices.
const ROUNDS: usize = 4;

/// The pool and the deployments found, best first; whether every deployment of the pool was
/// judged. `tick` ends the search with what there is.
pub fn best_deployments(
    problem: &Problem,
    engines: Engines,
    judge: &mut Judge<'_>,
    tick: &mut dyn FnMut() -> ControlFlow<()>,
) -> (Vec<Pooled>, Vec<Found>, bool) {
    let mut pool: Vec<Pooled> = Vec::new();
    let mut scorer = Scorer::new(problem);
    for (device, weight) in [(Device::Gpu, 0.0), (Device::Dla, f64::INFINITY)] {
        let chosen = problem.uniform(device);
        add(&mut pool, &mut scorer, chosen, weight);
    }
    // Whole devices first: an answer at once, however little time there is.
    let (mut found, mut all) = weigh(&pool, engines, judge, &mut || ControlFlow::Continue(()));
    let front = Frontier::new(problem).search(
        &Ask {
            active: [true, true, false],
            most: [f64::INFINITY; 3],
            rank: [1.0, 1.0, 0.0],
            width: 2_000,
        },
        &mut || tick().is_break(),
    );
    let step = front.front.len().div_ceil(FROM_FRONT).max(1);
    for (_, chosen) in front.front.into_iter().step_by(step) {
        add(&mut pool, &mut scorer, chosen, 0.0);
    }
    let mut weights = vec![0.25, 0.5, 1.0, 2.0, 4.0, 16.0];
    for round in 0..ROUNDS {
        let before = if round == 0 { 0 } else { pool.len() };
        let mut stopped = false;
        for w in &weights {
            let priced = scaled(problem, *w, 1.0);
            let solved = minimise(&priced, Aim::Latency, &mut |_| tick());
            if let Ok(s) = solved {
                add(&mut pool, &mut scorer, s.chosen, *w);
            }
            stopped |= tick().is_break();
            if stopped {
                break;
            }
        }
        if pool.len() > before {
            let (better, exhaustive) = weigh(&pool, engines, judge, tick);
            all = exhaustive;
            for f in better {
                keep(&mut found, &f.members, f.value);
            }
        }
        if stopped || tick().is_break() {
            return (pool, found, false);
        }
        weights = between(&pool, &found);
        if weights.is_empty() {
            break;
        }
    }
    for start in found.clone().into_iter().take(IMPROVED) {
        let improved = improve(problem, &mut pool, engines, start, judge, tick);
        keep(&mut found, &improved.members, improved.value);
    }
    (pool, found, all)
}

/// Changes one choice of one engine at a time while that helps.
fn improve(
    problem: &Problem,
    pool: &mut Vec<Pooled>,
    engines: Engines,
    mut best: Found,
    judge: &mut Judge<'_>,
    tick: &mut dyn FnMut() -> ControlFlow<()>,
) -> Found {
    let mut scorer = Scorer::new(problem);
    let free: Vec<usize> = (0..problem.choices.len())
        .filter(|c| problem.choices[*c] == Allowed::Both)
        .collect();
    loop {
        let mut better = false;
        for slot in 0..best.members.len() {
            for c in &free {
                if tick().is_break() {
                    return best;
                }
                let from = &pool[best.members[slot].placement];
                let (mut chosen, weight) = (from.chosen.clone(), from.weight);
                chosen[*c] = chosen[*c].other();
                let score = scorer.score(&chosen);
                if !score.feasible {
                    continue;
                }
                let placement = pool.len();
                pool.push(Pooled {
                    chosen,
                    score,
                    weight,
                });
                let mut members = best.members.clone();
                let cores: &[Option<u32>] = match (score.subgraphs, members[slot].core) {
                    (0, _) => &[None],
                    (_, Some(core)) => &[Some(core)],
                    (_, None) => &[Some(0), Some(1)][..engines.cores.min(2) as usize],
                };
                let mut kept = false;
                for core in cores {
                    members[slot] = Member {
                        placement,
                        core: *core,
                    };
                    if legal(engines.loadables, pool, &members)
                        && let Some(value) = judge(pool, &members)
                        && value > best.value * (1.0 + 1e-9)
                    {
                        best = Found {
                            members: members.clone(),
                            value,
                        };
                        kept = true;
                    }
                }
                if kept {
                    better = true;
                } else {
                    pool.pop();
                }
            }
        }
        if !better {
            return best;
        }
    }
}

fn add(pool: &mut Vec<Pooled>, scorer: &mut Scorer<'_>, chosen: Vec<Device>, weight: f64) {
    let score = scorer.score(&chosen);
    if score.feasible && pool.iter().all(|p| p.chosen != chosen) {
        pool.push(Pooled {
            chosen,
            score,
            weight,
        });
    }
}

/// Weights halfway between those of the best deployment's placements and their neighbours.
fn between(pool: &[Pooled], found: &[Found]) -> Vec<f64> {
    let mut tried: Vec<f64> = pool
        .iter()
        .map(|p| p.weight)
        .filter(|w| w.is_finite() && *w > 0.0)
        .collect();
    tried.sort_by(f64::total_cmp);
    let mut out = Vec::new();
    let Some(best) = found.first() else {
        return out;
    };
    for m in &best.members {
        let w = pool[m.placement].weight;
        let Some(at) = tried.iter().position(|t| *t == w) else {
            continue;
        };
        let neighbours = [at.checked_sub(1), Some(at + 1)];
        for n in neighbours
            .into_iter()
            .flatten()
            .filter_map(|i| tried.get(i))
        {
            let mid = (w * n).sqrt();
            // Closer than this the same placement comes out.
            if (mid / w - 1.0).abs() > 0.02 && !out.contains(&mid) {
                out.push(mid);
            }
        }
    }
    out
}

/// The best deployments of a pool, and whether all were judged.
fn weigh(
    pool: &[Pooled],
    engines: Engines,
    judge: &mut Judge<'_>,
    tick: &mut dyn FnMut() -> ControlFlow<()>,
) -> (Vec<Found>, bool) {
    let mut kinds: Vec<Member> = Vec::new();
    for (i, p) in pool.iter().enumerate() {
        if p.score.subgraphs == 0 {
            kinds.push(Member {
                placement: i,
                core: None,
            });
        } else {
            kinds.extend((0..engines.cores).map(|core| Member {
                placement: i,
                core: Some(core),
            }));
        }
    }
    let mut found: Vec<Found> = Vec::new();
    if kinds.is_empty() {
        return (found, true);
    }
    let most = engines.most.max(1) as usize;
    let count: f64 = (1..=most)
        .map(|m| (kinds.len() as f64).powi(m as i32))
        .sum();
    let mut judged = |members: &[Member], found: &mut Vec<Found>| -> Option<f64> {
        if !legal(engines.loadables, pool, members) {
            return None;
        }
        let value = judge(pool, members)?;
        if members.len() >= engines.least as usize {
            keep(found, members, value);
        }
        Some(value)
    };
    if count <= EXHAUSTIVE as f64 {
        let mut members = Vec::new();
        let mut at = Vec::new();
        // Multisets in ascending order of kinds.
        push(&mut at, &mut members, 0, &kinds);
        while let Some(last) = at.last().copied() {
            judged(&members, &mut found);
            if tick().is_break() {
                return (found, false);
            }
            if members.len() < most {
                push(&mut at, &mut members, last, &kinds);
                continue;
            }
            while let Some(last) = at.pop() {
                members.pop();
                if last + 1 < kinds.len() {
                    push(&mut at, &mut members, last + 1, &kinds);
                    break;
                }
            }
        }
        return (found, true);
    }
    // Ascent: from each kind alone, add or exchange one engine while it helps.
    for start in &kinds {
        let mut members = vec![*start];
        let mut value = judged(&members, &mut found).unwrap_or(0.0);
        loop {
            let mut better: Option<(f64, Vec<Member>)> = None;
            for k in &kinds {
                for slot in 0..=members.len() {
                    let mut trial = members.clone();
                    if slot < members.len() {
                        trial[slot] = *k;
                    } else if members.len() < most {
                        trial.push(*k);
                    } else {
                        continue;
                    }
                    if let Some(now) = judged(&trial, &mut found)
                        && now > value.max(better.as_ref().map_or(0.0, |b| b.0))
                    {
                        better = Some((now, trial));
                    }
                }
            }
            if tick().is_break() {
                return (found, false);
            }
            match better {
                Some((now, trial)) => (value, members) = (now, trial),
                None => break,
            }
        }
    }
    (found, false)
}

fn push(at: &mut Vec<usize>, members: &mut Vec<Member>, kind: usize, kinds: &[Member]) {
    at.push(kind);
    members.push(kinds[kind]);
}

/// Cores are alike, so the first is used first; all engines on a core share its loadables.
fn legal(most: u32, pool: &[Pooled], members: &[Member]) -> bool {
    let mut loadables: Vec<u32> = Vec::new();
    let mut cores: Vec<u32> = members.iter().filter_map(|m| m.core).collect();
    cores.sort_unstable();
    cores.dedup();
    if cores.iter().zip(0..).any(|(c, i)| *c != i) {
        return false;
    }
    loadables.resize(cores.len(), 0);
    for m in members {
        if let Some(core) = m.core {
            loadables[core as usize] += pool[m.placement].score.subgraphs;
        }
    }
    loadables.iter().all(|l| *l <= most)
}

/// Keeps the best few, best first, each once. Of equals the one with fewer engines.
fn keep(found: &mut Vec<Found>, members: &[Member], value: f64) {
    const MOST: usize = 24;
    let mut members = members.to_vec();
    members.sort_unstable();
    if found.iter().any(|f| f.members == members) {
        return;
    }
    let at = found.partition_point(|f| {
        f.value > value || (f.value == value && f.members.len() <= members.len())
    });
    if at < MOST {
        found.insert(at, Found { members, value });
        found.truncate(MOST);
    }
}
