//! Plans and estimates per second, and how cost grows with the model. Run by hand:
//! `cargo bench --bench estimate --no-default-features`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a table for a person; a missing network is a bug"
)]

#[path = "../tests/support/net.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod net;
#[path = "../tests/support/networks.rs"]
mod networks;

use std::hint::black_box;
use std::time::{Duration, Instant};

use dlaplan::estimate::Estimator;
use dlaplan::model::Model;
use dlaplan::placement::{Device, EngineConfig};
use dlaplan::plan::Planner;
use dlaplan::platform::{Board, Target};
use networks::{chain, network};

fn target() -> Target {
    let board = Board::find("xavier-nx").unwrap();
    Target {
        board,
        mode: &board.modes[0],
        tensorrt: board.tensorrt[0],
    }
}

/// Median time of planning and estimating one placement, s, and the share of it that is the
/// estimate's. Every block of eight ops alternates by the bits of a counter.
fn each(model: &Model, budget: Duration) -> (f64, f64) {
    let planner = Planner::new(model, &target(), &EngineConfig::default());
    let estimator = Estimator::new(&planner);
    let start = Instant::now();
    let (mut whole, mut estimates) = (Vec::new(), Vec::new());
    while start.elapsed() < budget {
        let done = whole.len();
        let devices: Vec<Device> = (0..model.ops.len())
            .map(|i| {
                if (done >> (i / 8 % 20)) & 1 == 1 {
                    Device::Dla
                } else {
                    Device::Gpu
                }
            })
            .collect();
        let begin = Instant::now();
        let plan = planner.plan(devices);
        let planned = Instant::now();
        black_box(estimator.estimate(&plan));
        estimates.push(planned.elapsed().as_secs_f64());
        drop(plan);
        whole.push(begin.elapsed().as_secs_f64());
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let each = median(&mut whole);
    (each, median(&mut estimates) / each)
}

fn main() {
    println!(
        "{:<22} {:>8} {:>14} {:>12} {:>11}",
        "model", "ops", "placements/s", "us each", "estimate %"
    );
    for name in ["resnet18", "resnet50", "densenet201"] {
        let model = network(name).unwrap();
        let (each, share) = each(&model, Duration::from_secs(2));
        println!(
            "{name:<22} {:>8} {:>14.0} {:>12.1} {:>11.0}",
            model.ops.len(),
            1.0 / each,
            1e6 * each,
            share * 100.0
        );
    }
    println!();
    println!(
        "{:<22} {:>8} {:>14} {:>12} {:>11}",
        "chain", "ops", "us each", "ns per op", "estimate %"
    );
    for blocks in [500, 5_000, 50_000] {
        let model = chain(blocks);
        let (each, share) = each(&model, Duration::from_secs(2));
        let ops = model.ops.len();
        println!(
            "{:<22} {ops:>8} {:>14.1} {:>12.1} {:>11.0}",
            "conv + relu",
            1e6 * each,
            1e9 * each / ops as f64,
            share * 100.0
        );
    }
}
