//! Search results against brute force on random problems.

use std::ops::ControlFlow;

use dlaplan::placement::Device;
use dlaplan::search::deployment::{Engines, Member, Pooled, best_deployments};
use dlaplan::search::pipeline::{Limits, best_pipelines, between};
use dlaplan::search::problem::{Allowed, Atom, Flow, Problem, Score, Scorer};
use dlaplan::search::solvers::frontier::{Ask, EPSILON, Frontier};
use dlaplan::search::solvers::{Aim, compressed, minimise};
use proptest::prelude::*;

/// A small generator, so that one seed names one problem.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn ms(&mut self, most: f64) -> f64 {
        (self.below(1000) as f64 / 1000.0) * most
    }
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    atoms: usize,
    /// How far back an atom may read.
    reach: u64,
    chain: bool,
    shared_choices: bool,
}

fn problem(seed: u64, shape: Shape) -> Problem {
    let mut r = Rng(seed);
    let n = shape.atoms;
    let dear = [0.05, 0.3, 1.0][r.below(3) as usize];
    let mut atoms = Vec::new();
    let mut choices = Vec::new();
    for _ in 0..n {
        let choice = if r.chance(15) {
            None
        } else if shape.shared_choices && !choices.is_empty() && r.chance(40) {
            Some(r.below(choices.len() as u64) as u32)
        } else {
            choices.push(match r.below(20) {
                0 => Allowed::Gpu,
                1 => Allowed::Dla,
                _ => Allowed::Both,
            });
            Some(choices.len() as u32 - 1)
        };
        atoms.push(Atom {
            gpu_ms: r.ms(1.0),
            dla_ms: r.ms(1.0),
            left_ms: if r.chance(10) { r.ms(0.5) } else { 0.0 },
            macs: r.below(1000),
            weight_bytes: r.below(100),
            tensor_bytes: 0,
            choice,
        });
    }
    let mut flows = Vec::new();
    let flow = |r: &mut Rng, producer: Option<u32>| Flow {
        producer,
        consumers: Vec::new(),
        to_dla_ms: r.ms(dear),
        dla_to_dla_ms: r.ms(dear),
        to_gpu_ms: r.ms(dear),
        to_caller_ms: r.ms(dear),
        is_output: r.chance(10),
        bytes: 0,
    };
    for i in 0..n as u32 {
        flows.push(flow(&mut r, Some(i)));
        if !shape.chain && r.chance(10) {
            flows.push(flow(&mut r, Some(i)));
        }
    }
    let inputs = 1 + r.below(2);
    for _ in 0..inputs {
        let mut f = flow(&mut r, None);
        f.is_output = false;
        flows.push(f);
    }
    for i in 0..n as u32 {
        let reads = if shape.chain { 1 } else { 1 + r.below(3) };
        for _ in 0..reads {
            let from = if shape.chain {
                i.checked_sub(1)
            } else if i == 0 || r.chance(8) {
                None
            } else {
                Some(i - 1 - r.below(u64::from(i).min(shape.reach)) as u32)
            };
            let mine: Vec<usize> = (0..flows.len())
                .filter(|f| flows[*f].producer == from)
                .collect();
            let pick = mine[r.below(mine.len() as u64) as usize];
            let f = &mut flows[pick];
            if !f.consumers.contains(&i) {
                f.consumers.push(i);
            }
        }
    }
    let limits = [1, 2, 3, 16];
    // Of its own, so that a seed goes on naming the problem it named before.
    let mut size = Rng(!seed);
    for a in &mut atoms {
        a.tensor_bytes = if size.chance(20) { size.below(50) } else { 0 };
    }
    for f in &mut flows {
        f.bytes = size.below(100);
    }
    Problem {
        atoms,
        choices,
        flows,
        subgraph_ms: r.ms(dear),
        max_subgraphs: limits[r.below(4) as usize],
        max_subgraph_bytes: if r.chance(20) { 150 } else { 1 << 40 },
        max_subgraph_tensor_bytes: if size.chance(25) { 120 } else { 1 << 40 },
    }
}

/// Every choice of devices, scored.
fn all(problem: &Problem) -> Vec<(Vec<Device>, Score)> {
    let mut scorer = Scorer::new(problem);
    let free: Vec<usize> = (0..problem.choices.len())
        .filter(|c| problem.choices[*c] == Allowed::Both)
        .collect();
    (0..1u64 << free.len())
        .map(|bits| {
            let mut chosen = problem.uniform(Device::Gpu);
            for (b, c) in free.iter().enumerate() {
                if bits >> b & 1 == 1 {
                    chosen[*c] = Device::Dla;
                }
            }
            let score = scorer.score(&chosen);
            (chosen, score)
        })
        .collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs())
}

fn against_brute_force(problem: &Problem) {
    let every = all(problem);
    let best = every
        .iter()
        .filter(|(_, s)| s.feasible)
        .map(|(_, s)| s.latency_ms)
        .fold(f64::INFINITY, f64::min);
    let mut go = |_: Option<&_>| ControlFlow::Continue(());
    match minimise(problem, Aim::Latency, &mut go) {
        Ok(s) => {
            assert!(s.score.feasible);
            assert!(
                close(s.score.latency_ms, best),
                "{} {best}",
                s.score.latency_ms
            );
            assert!(s.is_exact(), "{s:?}");
        }
        Err(_) => assert!(best.is_infinite(), "{best}"),
    }
    if best.is_infinite() {
        return;
    }
    let floor = best * 1.15;
    let within = || {
        every
            .iter()
            .map(|(_, s)| s)
            .filter(|s| s.feasible && s.latency_ms <= floor * (1.0 + EPSILON))
    };
    let gpu = within().map(|s| s.gpu_ms).fold(f64::INFINITY, f64::min);
    let aim = Aim::GpuWork { latency_ms: floor };
    let s = minimise(problem, aim, &mut go).unwrap();
    assert!(close(s.score.gpu_ms, gpu), "{} {gpu}", s.score.gpu_ms);
    assert!(s.is_exact() && s.score.feasible && s.score.latency_ms <= floor * 1.000_001);
    let fewest = within().map(|s| s.transitions).min().unwrap();
    let least = within()
        .filter(|s| s.transitions == fewest)
        .map(|s| s.latency_ms)
        .fold(f64::INFINITY, f64::min);
    let aim = Aim::Transitions { latency_ms: floor };
    let s = minimise(problem, aim, &mut go).unwrap();
    assert_eq!(s.score.transitions, fewest);
    assert!(close(s.score.latency_ms, least));
    assert!(s.is_exact());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn dags_equal_brute_force(seed: u64, atoms in 1usize..=13, reach in 1u64..=12, shared: bool) {
        let shape = Shape { atoms, reach, chain: false, shared_choices: shared };
        against_brute_force(&problem(seed, shape));
    }

    #[test]
    fn chains_equal_brute_force(seed: u64, atoms in 1usize..=13) {
        let shape = Shape { atoms, reach: 1, chain: true, shared_choices: false };
        against_brute_force(&problem(seed, shape));
    }

    #[test]
    fn compression_changes_no_score(seed: u64, atoms in 1usize..=12, bits: u64) {
        let shape = Shape { atoms, reach: 3, chain: false, shared_choices: true };
        let p = problem(seed, shape);
        let small = compressed(&p);
        small.check().unwrap();
        let mut chosen = p.uniform(Device::Gpu);
        for (c, d) in chosen.iter_mut().enumerate() {
            if p.choices[c] == Allowed::Both && bits >> c & 1 == 1 {
                *d = Device::Dla;
            }
        }
        let (a, b) = (Scorer::new(&p).score(&chosen), Scorer::new(&small).score(&chosen));
        prop_assert!(close(a.latency_ms, b.latency_ms) && close(a.gpu_ms, b.gpu_ms));
        prop_assert_eq!((a.transitions, a.subgraphs, a.feasible, a.dla_macs),
            (b.transitions, b.subgraphs, b.feasible, b.dla_macs));
    }

    #[test]
    fn the_front_is_the_whole_front(seed: u64, atoms in 1usize..=10, reach in 1u64..=6) {
        let shape = Shape { atoms, reach, chain: false, shared_choices: true };
        let p = problem(seed, shape);
        let found = Frontier::new(&p).search(
            &Ask { active: [true; 3], most: [f64::INFINITY; 3], rank: [1.0; 3], width: 1 << 20 },
            &mut || false,
        );
        prop_assert!(found.complete);
        let scores: Vec<[f64; 3]> = all(&p).iter().filter(|(_, s)| s.feasible)
            .map(|(_, s)| [s.latency_ms, s.gpu_ms, f64::from(s.transitions)]).collect();
        let beats = |a: &[f64; 3], b: &[f64; 3]| {
            (0..3).all(|i| a[i] <= b[i] + 1e-9) && (0..3).any(|i| a[i] < b[i] - 1e-9)
        };
        for s in &scores {
            let there = found.front.iter().any(|(at, _)| (0..3).all(|i| at[i] <= s[i] + 1e-9));
            prop_assert!(there, "{s:?} missing in {:?}", found.front);
        }
        for (at, chosen) in &found.front {
            let s = Scorer::new(&p).score(chosen);
            prop_assert!(s.feasible && close(s.latency_ms, at[0]) && close(s.gpu_ms, at[1]));
            prop_assert!(!scores.iter().any(|s| beats(s, at)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn larger_dags_equal_brute_force(seed: u64, atoms in 15usize..=17, reach in 1u64..=12) {
        let shape = Shape { atoms, reach, chain: false, shared_choices: false };
        against_brute_force(&problem(seed, shape));
    }
}

#[test]
fn twenty_choices_equal_brute_force() {
    for seed in 1..2 {
        let shape = Shape {
            atoms: 20,
            reach: 5,
            chain: false,
            shared_choices: false,
        };
        let mut p = problem(seed, shape);
        for (i, a) in p.atoms.iter_mut().enumerate() {
            a.choice = Some(i as u32);
        }
        p.choices = vec![Allowed::Both; 20];
        against_brute_force(&p);
    }
}

/// Every way to cut a problem into stages, directly.
fn every_pipeline(
    p: &Problem,
    from: u32,
    left: u32,
    last: usize,
    (load, slowest): ([f64; 3], f64),
    best: &mut f64,
) {
    let n = p.atoms.len() as u32;
    if from == n {
        *best = best.min(load.iter().copied().fold(slowest, f64::max));
        return;
    }
    if left == 0 {
        return;
    }
    for to in from + 1..=n {
        let split = |c: u32| {
            let at = |r: std::ops::Range<u32>| {
                r.into_iter().any(|i| p.atoms[i as usize].choice == Some(c))
            };
            at(0..to) && at(to..n)
        };
        if (0..p.choices.len() as u32).any(split) {
            continue;
        }
        let part = between(p, from, to);
        let used: Vec<Allowed> = part
            .atoms
            .iter()
            .filter_map(|a| a.choice)
            .map(|c| part.choices[c as usize])
            .collect();
        for target in 0..3 {
            let device = if target == 0 {
                Device::Gpu
            } else {
                Device::Dla
            };
            if target == last
                || used.iter().any(|a| !a.has(device))
                || (used.is_empty() && target > 0)
            {
                continue;
            }
            let s = Scorer::new(&part).score(&part.uniform(device));
            if !s.feasible {
                continue;
            }
            let mut load = load;
            load[0] += s.gpu_ms + s.transition_ms;
            if target > 0 {
                load[target] += s.dla_ms;
            }
            every_pipeline(
                p,
                to,
                left - 1,
                target,
                (load, slowest.max(s.gpu_ms + s.transition_ms + s.dla_ms)),
                best,
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn pipelines_equal_brute_force(seed: u64, atoms in 1usize..=8, reach in 1u64..=3, shared: bool) {
        let p = problem(seed, Shape { atoms, reach, chain: false, shared_choices: shared });
        let mut best = f64::INFINITY;
        every_pipeline(&p, 0, 4, usize::MAX, ([0.0; 3], 0.0), &mut best);
        let (found, exact) = best_pipelines(&p, Limits { stages: 4, cores: 2 }, &mut || false);
        prop_assert!(exact);
        match found.first() {
            Some(found) => {
                prop_assert!(close(found.period_ms, best), "{} {best}", found.period_ms);
                prop_assert_eq!(found.stages.first().unwrap().from, 0);
                prop_assert_eq!(found.stages.last().unwrap().to as usize, atoms);
                prop_assert!(found.stages.windows(2).all(|w| w[0].to == w[1].from));
            }
            None => prop_assert!(best.is_infinite()),
        }
    }
}

/// A time-sliced machine: what an engine gets of a device is inversely what all ask of it.
fn sliced(pool: &[Pooled], members: &[Member]) -> f64 {
    let ask = |core: Option<u32>| -> f64 {
        members
            .iter()
            .map(|m| {
                let s = &pool[m.placement].score;
                match core {
                    None => (s.gpu_ms + s.transition_ms) / s.latency_ms,
                    Some(_) if m.core == core => s.dla_ms / s.latency_ms,
                    Some(_) => 0.0,
                }
            })
            .sum::<f64>()
            .max(1.0)
    };
    let gpu = ask(None);
    members
        .iter()
        .map(|m| {
            let s = &pool[m.placement].score;
            let core = if m.core.is_some() { ask(m.core) } else { 1.0 };
            1000.0 / ((s.gpu_ms + s.transition_ms) * gpu + s.dla_ms * core)
        })
        .sum()
}

#[test]
fn deployments_come_close_to_brute_force() {
    let (mut worst, mut sum, mut count) = (1.0f64, 0.0, 0);
    for seed in 0..60 {
        let shape = Shape {
            atoms: 7,
            reach: 2,
            chain: false,
            shared_choices: true,
        };
        let mut p = problem(seed, shape);
        p.max_subgraphs = 16;
        p.max_subgraph_bytes = u64::MAX;
        p.max_subgraph_tensor_bytes = u64::MAX;
        if p.choices.is_empty() {
            continue;
        }
        for a in &mut p.atoms {
            // Each atom takes some time, so that no engine is infinitely fast.
            a.gpu_ms += 0.05;
            a.dla_ms += 0.05;
        }
        let engines = Engines {
            most: 2,
            least: 1,
            cores: 1,
            loadables: 16,
        };
        let (pool, found, exhaustive) = best_deployments(
            &p,
            engines,
            &mut |pool, members| Some(sliced(pool, members)),
            &mut || ControlFlow::Continue(()),
        );
        assert!(exhaustive);
        let best = found.first().unwrap();
        assert!(close(best.value, sliced(&pool, &best.members)));
        let every: Vec<Pooled> = all(&p)
            .into_iter()
            .map(|(chosen, score)| Pooled {
                chosen,
                score,
                weight: 1.0,
            })
            .collect();
        let member = |i: usize| Member {
            placement: i,
            core: (every[i].score.subgraphs > 0).then_some(0),
        };
        let mut truth = 0.0f64;
        for i in 0..every.len() {
            truth = truth.max(sliced(&every, &[member(i)]));
            for j in i..every.len() {
                truth = truth.max(sliced(&every, &[member(i), member(j)]));
            }
        }
        let ratio = best.value / truth;
        assert!(ratio <= 1.0 + 1e-9);
        worst = worst.min(ratio);
        sum += ratio;
        count += 1;
    }
    let mean = sum / f64::from(count);
    assert!(
        worst > 0.9 && mean > 0.99,
        "worst {worst:.3}, mean {mean:.4}"
    );
}

/// Its best latency times 1.15 is another choice's latency but for rounding.
#[test]
fn a_floor_that_a_choice_meets_exactly() {
    let shape = Shape {
        atoms: 9,
        reach: 6,
        chain: false,
        shared_choices: false,
    };
    against_brute_force(&problem(15_877_480_905_429_676_980, shape));
}
