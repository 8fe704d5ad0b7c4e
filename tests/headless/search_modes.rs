//! Power mode, batch, placement and DLA cores chosen together.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Parser;
use dlaplan::cli::search::{SearchArgs, run as search};
use dlaplan::estimate::Estimator;
use dlaplan::export::{Document, save_atomic};
use dlaplan::history::calibration;
use dlaplan::model::Dim;
use dlaplan::model::onnx::{LoadOptions, load, load_bundled};
use dlaplan::placement::{EngineConfig, Precision};
use dlaplan::plan::{Buildable, Planner};
use dlaplan::platform::Target;
use dlaplan::search::{Goal, Request, run};
use dlaplan::tasks::modes::{Chosen, Question, batches, choose};

fn choice(target: &str, batches: &[u32], request: Request) -> (Target, Chosen) {
    let model = load_bundled("resnet50").unwrap();
    let target = Target::parse(target).unwrap();
    let modes: Vec<_> = target.board.modes.iter().collect();
    let question = Question {
        target,
        config: EngineConfig {
            precision: Precision::INT8,
            ..EngineConfig::default()
        },
        modes: &modes,
        batches,
        // A busy machine proves it later, and no less.
        request: Request {
            time_limit: Duration::from_mins(10),
            ..request
        },
        engines: 3,
        calibration: &calibration(None, target.board.id),
    };
    let chosen = choose(&model, &question, &mut |_| ControlFlow::Continue(()));
    (target, chosen)
}

#[test]
fn the_best_under_a_latency_is_that_of_the_best_mode_and_batch() {
    let most = 4.0;
    let mut request = Request::new(Goal::Deployment { most: 3, least: 1 });
    request.max_latency_ms = Some(most);
    let (target, chosen) = choice("agx-orin-64", &[1, 4, 16], request.clone());
    assert!(!chosen.stopped);
    assert_eq!(
        chosen.rows.len() + chosen.without.len(),
        3 * target.board.modes.len()
    );
    let slow = |w: &&dlaplan::tasks::modes::Without| w.why.contains("stays under 4.00 ms");
    assert!(
        chosen.without.iter().any(|w| slow(&w)),
        "{:?}",
        chosen.without
    );
    let fps: Vec<f64> = chosen
        .rows
        .iter()
        .map(|row| row.proposal.fps.value().unwrap())
        .collect();
    assert!(fps.is_sorted_by(|a, b| a >= b), "{fps:?}");
    let model = load_bundled("resnet50").unwrap();
    for row in &chosen.rows {
        let (ms, batch) = (row.latency_ms.value().unwrap(), row.batch);
        assert!(ms <= most, "{} {batch}: {ms}", row.target);
        // What each mode and batch gives by itself, without the choice around it.
        let config = EngineConfig {
            precision: Precision::INT8,
            batch,
            ..EngineConfig::default()
        };
        let planner = Planner::new(&model, &row.target, &config);
        let mut alone = request.clone();
        (alone.proposals, alone.time_limit) = (1, Duration::from_mins(10));
        let estimator = Estimator::new(&planner);
        let best = run(&estimator, &alone, &mut |_| ControlFlow::Continue(())).unwrap();
        let best = best.proposals[0].fps.value().unwrap();
        let found = row.proposal.fps.value().unwrap();
        assert!((found / best - 1.0).abs() < 1e-9, "{found} {best}");
        for engine in &row.proposal.engines {
            let plan = planner.plan_placement(&engine.placement).unwrap();
            assert_eq!(plan.buildable, Buildable::Yes);
            assert_eq!(engine.config.batch, batch);
        }
    }
    // A tighter target costs images per second, and never brings any.
    request.max_latency_ms = Some(2.0);
    let (_, tighter) = choice("agx-orin-64", &[1, 4, 16], request);
    assert!(tighter.rows[0].proposal.fps.value().unwrap() < fps[0]);
}

#[test]
fn the_least_energy_keeps_the_cap_of_power_with_all_engines() {
    let mut request = Request::new(Goal::Energy);
    let (_, free) = choice("agx-orin-64", &[1, 8], request.clone());
    let mj = |c: &Chosen| -> Vec<f64> {
        let each = c.rows.iter();
        each.map(|r| r.proposal.power.wall_mj_per_image.value().unwrap())
            .collect()
    };
    assert!(mj(&free).is_sorted(), "{:?}", mj(&free));
    for row in &free.rows {
        let p = &row.proposal;
        let (watts, fps) = (p.power.wall_watts.value().unwrap(), p.fps.value().unwrap());
        let mj = p.power.wall_mj_per_image.value().unwrap();
        assert!((watts * 1e3 / fps / mj - 1.0).abs() < 1e-9);
        // Several engines draw more than any of them alone, and less than their sum: one board rests.
        let alone = p
            .engines
            .iter()
            .map(|e| e.power.wall_watts.value().unwrap());
        if p.engines.len() > 1 {
            assert!(watts < alone.clone().sum::<f64>());
        }
        assert!(alone.fold(0.0, f64::max) <= watts * 1.3);
    }
    // MAXN's clock is past the metered ones.
    let without: Vec<_> = free.without.iter().map(|w| w.mode).collect();
    assert_eq!(without, ["MAXN", "MAXN"]);
    let least = free.rows[0].proposal.power.wall_watts.value().unwrap();
    request.max_watts = Some(least * 0.9);
    let (_, capped) = choice("agx-orin-64", &[1, 8], request);
    for row in &capped.rows {
        assert!(row.proposal.power.wall_watts.value().unwrap() <= least * 0.9);
    }
    assert!(mj(&capped)[0] > mj(&free)[0]);
}

#[test]
fn what_was_found_before_the_end_stays_and_is_told_on_the_way() {
    let model = load_bundled("resnet18").unwrap();
    let target = Target::parse("orin-nx-16").unwrap();
    let modes: Vec<_> = target.board.modes.iter().collect();
    let question = Question {
        target,
        config: EngineConfig::default(),
        modes: &modes,
        batches: &[1, 2],
        request: Request {
            time_limit: Duration::from_mins(10),
            ..Request::new(Goal::Latency)
        },
        engines: 1,
        calibration: &calibration(None, target.board.id),
    };
    let all = 2 * modes.len();
    let mut told = Vec::new();
    let chosen = choose(&model, &question, &mut |step| {
        assert_eq!(step.of, all);
        let found = step.chosen;
        assert_eq!(found.rows.len() + found.without.len(), step.done);
        let ms = found.rows.iter().map(|r| r.latency_ms.value().unwrap());
        assert!(ms.is_sorted());
        told.push((step.done, step.target.mode.name, step.batch));
        if step.done == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    told.dedup();
    let expected: Vec<_> = [(0, 0, 1), (1, 0, 2), (2, 1, 1), (3, 1, 2)]
        .map(|(done, mode, batch): (usize, usize, u32)| (done, modes[mode].name, batch))
        .into();
    assert_eq!(told, expected);
    assert!(chosen.stopped);
    assert_eq!(chosen.rows.len() + chosen.without.len(), all);
    // The fourth was under way: it may have an answer or none.
    assert!(chosen.rows.len() >= 3);
    let never = chosen.without.iter();
    let never = never.filter(|w| w.why.contains("before it came to this"));
    assert_eq!(never.count(), all - 4);
}

#[test]
fn a_core_that_a_mode_slows_down_is_left_out() {
    let request = Request::new(Goal::Deployment { most: 3, least: 1 });
    let (target, chosen) = choice("orin-nx-16", &[1], request);
    let modes = target.board.modes.iter();
    let slowed: Vec<_> = modes.filter(|m| m.dla1_mhz != m.dla_mhz).collect();
    assert!(!slowed.is_empty());
    let mut two = 0;
    for row in &chosen.rows {
        let cores = row.proposal.engines.iter();
        let used = cores.filter(|e| e.summary.dla_ops > 0 && e.config.dla_core == 1);
        let used = used.count();
        if slowed.contains(&row.target.mode) {
            assert_eq!(used, 0, "{}", row.target);
        } else {
            two += used;
        }
    }
    assert!(two > 0);
}

#[test]
fn an_open_batch_is_free_and_a_fixed_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("open.onnx");
    save_atomic(&file, &crate::open_dims::symbolic_model()).unwrap();
    let options = LoadOptions {
        inputs: [("x".to_owned(), vec![1, 3, 8, 8])].into(),
    };
    let open = load(&file, &options).unwrap();
    assert_eq!(batches(&open), [1, 2, 4, 8, 16, 32]);
    let mut fixed = load_bundled("resnet18").unwrap();
    fixed.inputs[0].declared = [4, 3, 224, 224].map(Dim::Fixed).into();
    assert_eq!(batches(&fixed), [EngineConfig::own_batch(&fixed)]);
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: SearchArgs,
}

fn command(line: &str) -> anyhow::Result<std::process::ExitCode> {
    let words = std::iter::once("search").chain(line.split_whitespace());
    search(&Program::try_parse_from(words)?.args)
}

#[test]
fn the_command_writes_the_best_with_its_mode_and_batch() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("best.json").display().to_string();
    let all = "--target agx-orin-64 --precision int8 --modes all --batches 1,2";
    command(&format!(
        "bundled:resnet18 {all} --goal latency --watts 25 -o {file}"
    ))
    .unwrap();
    let best = Document::load(std::path::Path::new(&file)).unwrap();
    assert_ne!(best.target.mode.name, "MAXN");
    assert_eq!(best.engine.batch, 1);
    command("bundled:resnet18 --modes 15W,10W --latency 5ms --goal deployment --json").unwrap();
    for (line, words) in [
        ("--modes 99W", "99W"),
        (
            "--modes all --goal transitions",
            "--goal latency, energy or deployment",
        ),
        ("--modes all --confirm", "--confirm"),
        ("--modes all --batch 2 --batches 1", "--batch"),
        ("--goal pipeline --latency 3", "pipeline"),
        ("--latency 0ms", "more than 0"),
        ("--latency 0.001ms", "the least is"),
    ] {
        let error = format!(
            "{:#}",
            command(&format!("bundled:resnet18 {line}")).unwrap_err()
        );
        assert!(error.contains(words), "{line}: {error}");
    }
}
