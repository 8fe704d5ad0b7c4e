//! `dlaplan search` as a program runs it.

use clap::Parser;
use dlaplan::cli::search::{SearchArgs, run};
use dlaplan::export::Document;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: SearchArgs,
}

fn search(line: &str) -> anyhow::Result<std::process::ExitCode> {
    let words = std::iter::once("search").chain(line.split_whitespace());
    run(&Program::try_parse_from(words)?.args)
}

#[test]
fn goals_parse_and_run() {
    for line in [
        "bundled:resnet18",
        "bundled:resnet18 --json --precision fp16 --granularity ops",
        "bundled:googlenet --goal off-gpu --min-fps 100 --max-subgraphs 2 --proposals 1 --dla-global-dram 64M",
        "bundled:resnet18 --goal transitions --max-loss 10 --target agx-orin-64@MAXN:8.6",
        "bundled:resnet18 --goal deployment --engines 2 --pin fc=GPU --strict",
        "bundled:resnet18 --goal pipeline --stages 2 --granularity blocks:1 --front",
    ] {
        search(line).unwrap();
    }
}

#[test]
fn mistakes_are_named() {
    for (line, word) in [
        ("bundled:resnet19", "resnet19"),
        ("bundled:resnet18 --goal off-gpu", "--min-fps"),
        ("bundled:resnet18 --target moon", "moon"),
        ("bundled:resnet18 --pin layer9=DLA", "layer9"),
        ("bundled:resnet18 --pin layer1=TPU", "TPU"),
        ("bundled:resnet18 --granularity halves", "halves"),
        (
            "bundled:resnet18 --precision fp32 --goal latency --pin layer1=DLA --strict",
            "layer1",
        ),
        ("bundled:resnet18 --goal deployment --engines 0", "engines"),
        ("nowhere.onnx", "nowhere.onnx"),
        ("bundled:resnet18 --from nowhere.json", "nowhere.json"),
    ] {
        let error = format!("{:#}", search(line).unwrap_err());
        assert!(error.contains(word), "{line}: {error}");
    }
}

#[test]
fn a_dumped_problem_holds_its_exact_solution() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("problem.json");
    search(&format!(
        "bundled:resnet18 --dump-problem {}",
        path.display()
    ))
    .unwrap();
    let dump: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let problem: dlaplan::search::problem::Problem =
        serde_json::from_value(dump["problem"].clone()).unwrap();
    problem.check().unwrap();
    let chosen = serde_json::from_value(dump["solution"]["chosen"].clone());
    let chosen: Vec<dlaplan::placement::Device> = chosen.unwrap();
    let score = dlaplan::search::problem::Scorer::new(&problem).score(&chosen);
    let value = dump["solution"]["value"].as_f64().unwrap();
    assert!((score.latency_ms - value).abs() < 1e-9);
    assert_eq!(dump["solution"]["bound"].as_f64(), Some(value));
}

#[test]
fn the_best_is_written_for_the_other_commands() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let one = at("one.json");
    search(&format!("bundled:resnet18 -o {one}")).unwrap();
    let model = dlaplan::model::onnx::load_bundled("resnet18").unwrap();
    let written = Document::load(one.as_ref()).unwrap();
    assert_eq!(written.model.structure_hash, model.source.structure_hash);
    let two = at("two.json");
    search(&format!(
        "bundled:resnet18 --goal deployment --min-engines 2 --pin fc=GPU -o {two}"
    ))
    .unwrap();
    for name in ["two-1.json", "two-2.json"] {
        let written = Document::load(at(name).as_ref()).unwrap();
        written.placement.resolve(&model).unwrap();
    }
    assert!(!dir.path().join("two.json").exists());
    for (path, word) in [
        (at("none/x.json"), "no folder"),
        (dir.path().display().to_string(), "is a folder"),
        (at("a,b.json"), "comma"),
    ] {
        let error = search(&format!("bundled:resnet18 -o {path}")).unwrap_err();
        assert!(format!("{error:#}").contains(word), "{path}: {error:#}");
    }
    let error = search(&format!("bundled:resnet18 --goal pipeline -o {one}")).unwrap_err();
    assert!(format!("{error:#}").contains("cut the model"), "{error:#}");
}
