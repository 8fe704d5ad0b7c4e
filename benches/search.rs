//! Search budgets: exact on a 2,000-op chain within 5 ms, a first answer on 6,000 nodes within
//! 100 ms. `cargo bench --no-default-features --bench search`.
#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use dlaplan::search::pipeline::{Limits, best_pipelines};
use dlaplan::search::problem::{Allowed, Atom, Flow, Problem};
use dlaplan::search::solvers::cut::minimum_cut;
use dlaplan::search::solvers::{Aim, minimise};

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

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `edges` gives the atoms an atom reads.
fn problem(n: usize, seed: u64, edges: impl Fn(usize, &mut Rng) -> Vec<usize>) -> Problem {
    let mut r = Rng(seed);
    let mut flows: Vec<Flow> = (0..n)
        .map(|i| {
            let ms = 0.02 + 0.1 * r.unit();
            Flow {
                producer: Some(i as u32),
                consumers: Vec::new(),
                to_dla_ms: ms,
                dla_to_dla_ms: 2.0 * ms,
                to_gpu_ms: ms,
                to_caller_ms: ms,
                is_output: i + 1 == n,
                bytes: 100,
            }
        })
        .collect();
    for i in 1..n {
        for p in edges(i, &mut r) {
            if !flows[p].consumers.contains(&(i as u32)) {
                flows[p].consumers.push(i as u32);
            }
        }
    }
    Problem {
        atoms: (0..n)
            .map(|i| Atom {
                gpu_ms: 0.02 + 0.1 * r.unit(),
                dla_ms: 0.02 + 0.1 * r.unit(),
                left_ms: 0.0,
                macs: 1,
                weight_bytes: 1000,
                tensor_bytes: 0,
                choice: Some(i as u32),
            })
            .collect(),
        choices: vec![Allowed::Both; n],
        flows,
        subgraph_ms: 0.05,
        max_subgraphs: 16,
        max_subgraph_bytes: 1 << 40,
        max_subgraph_tensor_bytes: 1 << 40,
    }
}

fn median(mut f: impl FnMut(), times: usize) -> Duration {
    let mut all: Vec<Duration> = (0..times)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed()
        })
        .collect();
    all.sort();
    all[times / 2]
}

fn run(name: &str, p: &Problem, most: Duration) {
    let cut = median(
        || {
            std::hint::black_box(minimum_cut(p, p.subgraph_ms));
        },
        3,
    );
    let start = Instant::now();
    let mut first = None;
    let mut trail = Vec::new();
    let result = minimise(p, Aim::Latency, &mut |s| {
        if let Some(s) = s {
            first.get_or_insert_with(|| start.elapsed());
            if trail
                .last()
                .is_none_or(|(_, v, b, _)| *v != s.value || *b != s.bound)
            {
                trail.push((start.elapsed(), s.value, s.bound, s.method));
            }
        }
        if start.elapsed() > most {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let s = result.unwrap();
    println!(
        "{name}: {:?}, first answer {first:?}, gap {:.2} %, {} subgraphs, {}; one cut {cut:?}",
        start.elapsed(),
        s.gap() * 100.0,
        s.score.subgraphs,
        s.method
    );
    for (t, v, b, m) in trail {
        println!("    {t:?} {v:.4} >= {b:.4} {m}");
    }
}

fn main() {
    let chain = problem(2_000, 1, |i, _| vec![i - 1]);
    let time = median(
        || {
            minimise(&chain, Aim::Latency, &mut |_| ControlFlow::Continue(())).unwrap();
        },
        21,
    );
    println!("2,000-op chain, at most 16 subgraphs, exact: {time:?} (budget 5 ms)");

    let most = Duration::from_secs(20);
    let residual = |i: usize, _: &mut Rng| {
        if i % 4 == 3 {
            vec![i - 1, i - 3]
        } else {
            vec![i - 1]
        }
    };
    run("residual, 60 atoms", &problem(60, 2, residual), most);
    run("residual, 6,000 atoms", &problem(6_000, 3, residual), most);
    // Inception: four branches of two off every tenth atom, joined by the next.
    let inception = |i: usize, _: &mut Rng| match i % 10 {
        0 => vec![i - 1],
        9 => vec![i - 1, i - 3, i - 5, i - 7],
        k if k % 2 == 1 => vec![i - k],
        _ => vec![i - 1],
    };
    run("inception, 100 atoms", &problem(100, 4, inception), most);
    run(
        "inception, 6,000 atoms",
        &problem(6_000, 5, inception),
        most,
    );
    // A subgraph holds a tenth of all tensors.
    for (n, seed) in [(60, 2), (600, 2), (6_000, 3)] {
        let mut p = problem(n, seed, residual);
        p.max_subgraph_tensor_bytes = 10 * n as u64;
        run(&format!("residual, {n} atoms, memory short"), &p, most);
    }
    let dense = |i: usize, _: &mut Rng| (1..=i.min(12)).map(|d| i - d).collect();
    run("dense, 100 atoms", &problem(100, 6, dense), most);
    let random = |i: usize, r: &mut Rng| {
        let reach = i.min(30) as u64;
        (0..2)
            .map(|_| i - 1 - (r.next() % reach) as usize)
            .collect()
    };
    run("random, 6,000 atoms", &problem(6_000, 7, random), most);
    for (name, p) in [
        ("residual, 150 atoms", problem(150, 8, residual)),
        ("inception, 150 atoms", problem(150, 9, inception)),
    ] {
        let limits = Limits {
            stages: 4,
            cores: 2,
        };
        let time = median(
            || {
                std::hint::black_box(best_pipelines(&p, limits, &mut || false));
            },
            3,
        );
        println!("pipeline of at most 4 stages, {name}: {time:?}");
    }
}
