//! The program as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

use dlaplan::export::{SaveError, save_atomic};
use dlaplan::placement::{Device, Placement};
use serde_json::Value;

fn dlaplan(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dlaplan"))
        .args(args)
        .current_dir(dir)
        .env("DLAPLAN_DATA_DIR", dir.join("data"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap()
}

fn save(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), SaveError> {
    save_atomic(path, bytes.as_ref())
}

fn ok(dir: &Path, args: &[&str]) -> String {
    let output = dlaplan(dir, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&ok(dir, args)).unwrap()
}

/// Bad input: exit code 2, words that name place and remedy, nothing written.
fn refused(dir: &Path, args: &[&str], words: &[&str]) {
    let before = listing(dir);
    let output = dlaplan(dir, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
    for word in words {
        assert!(errors.contains(word), "{args:?}: no {word:?} in: {errors}");
    }
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(listing(dir), before, "{args:?} wrote something");
}

fn listing(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.file_type().unwrap().is_file())
        .map(|e| {
            (
                e.file_name().into_string().unwrap(),
                std::fs::read(e.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// A worker is told its request as text.
#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_no_text_are_refused_by_name() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt as _;

    let dir = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"n\xe9");
    let profile = |args: &[&OsStr]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
            .args(["profile", "--no-history"])
            .args(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let model = OsStr::new("bundled:resnet18");
    for option in [
        "--calib",
        "--calib-data",
        "--save-engine",
        "--load-engine",
        "--cache",
    ] {
        let errors = profile(&[model, OsStr::new(option), name]);
        let place = format!("({option})");
        for word in [place.as_str(), "n\\xE9", "not UTF-8", "rename"] {
            assert!(errors.contains(word), "{option}: no {word:?} in: {errors}");
        }
    }
    let model = OsString::from(name);
    let errors = profile(&[&model]);
    for word in ["MODEL", "n\\xE9", "not UTF-8", "rename"] {
        assert!(errors.contains(word), "no {word:?} in: {errors}");
    }
}

#[test]
fn every_command_answers_in_words_and_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let inspect = json(dir, &["inspect", "bundled:resnet18", "--json"]);
    assert_eq!(inspect["ops"].as_array().unwrap().len(), 49);
    assert_eq!(inspect["macs"], 1_814_073_344_u64);
    assert!(ok(dir, &["inspect", "bundled:resnet18"]).contains("layer1"));
    let plan = ["plan", "bundled:resnet18", "--default", "DLA"];
    assert!(ok(dir, &plan).contains("47/49 ops on DLA in 2 subgraphs; 2 fall back"));
    let plan = json(dir, &[&plan[..], &["--json"]].concat());
    assert_eq!(plan["summary"]["dla_ops"], 47);
    assert_eq!(plan["plan"]["subgraphs"].as_array().unwrap().len(), 2);
    let estimate = json(
        dir,
        &["estimate", "bundled:resnet18", "--dla", "layer1", "--json"],
    );
    assert_eq!(estimate["estimate"]["fps"]["kind"], "estimated");
    let together = json(
        dir,
        &[
            "estimate",
            "bundled:resnet18",
            "--together",
            "gpu,dla0",
            "--json",
        ],
    );
    assert_eq!(together["fps"].as_array().unwrap().len(), 2);
    let boards = ok(dir, &["boards"]);
    assert!(boards.contains("xavier-nx") && boards.contains("DLA 614 and 115 MHz"));
    assert!(json(dir, &["boards", "--json"]).as_array().unwrap().len() >= 8);
    assert!(ok(dir, &["rules"]).contains("conv."));
    assert!(json(dir, &["rules", "--json"]).as_array().unwrap().len() > 50);
    let chart = json(
        dir,
        &["chart", "bundled:resnet18", "--dla", "layer1", "--json"],
    );
    let points = chart["points"].as_array().unwrap();
    assert_eq!(
        points.iter().filter(|p| p["mark"] == "published").count(),
        22
    );
    assert_eq!(
        points.iter().filter(|p| p["mark"] == "estimated").count(),
        3 + 12,
        "the placements asked for, and what was published of engines at the same time"
    );
    assert_eq!(json(dir, &["runs", "--json"]), serde_json::json!([]));
}

#[test]
fn charts_are_written_as_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ok(dir, &["chart", "bundled:resnet18", "-o", "c.svg"]);
    ok(dir, &["chart", "bundled:resnet18", "-o", "c.png", "--dark"]);
    assert!(
        std::fs::read_to_string(dir.join("c.svg"))
            .unwrap()
            .contains("resnet18_fp16_gpu")
    );
    assert!(
        std::fs::read(dir.join("c.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
    refused(
        dir,
        &["chart", "bundled:resnet18", "-o", "c.gif"],
        &["c.gif", ".svg"],
    );
}

/// The five placements of the seeds, by flags and by a file: the same plan.
#[test]
fn a_placement_file_says_what_the_flags_said() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, flags) in [
        ("gpu", &["--default", "GPU"]),
        ("dla", &["--default", "DLA"]),
        ("dla1", &["--dla", "layer1"]),
        ("dla12", &["--dla", "layer1,layer2"]),
        ("dla123", &["--dla", "layer1,layer2,layer3"]),
    ] {
        let file = format!("{name}.json");
        let mut args = vec![
            "export",
            "bundled:resnet18",
            "--precision",
            "int8",
            "-f",
            "json",
            "-o",
            &file,
        ];
        args.extend(flags);
        ok(dir, &args);
        let by_file = json(
            dir,
            &["plan", "bundled:resnet18", "--placement", &file, "--json"],
        );
        let mut args = vec!["plan", "bundled:resnet18", "--precision", "int8", "--json"];
        args.extend(flags);
        assert_eq!(by_file, json(dir, &args), "{name}");
    }
}

#[test]
fn bad_input_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    save(&dir.join("empty.onnx"), b"").unwrap();
    save(&dir.join("text.onnx"), b"hello, I am no model").unwrap();
    save(
        &dir.join("half.onnx"),
        &include_bytes!("../../assets/models/resnet18.onnx")[..5000],
    )
    .unwrap();
    save(&dir.join("w.pth"), b"PK\x03\x04").unwrap();
    save(
        &dir.join("newer.json"),
        r#"{"schema": "dlaplan.placement", "version": 9}"#,
    )
    .unwrap();
    save(&dir.join("other.json"), "[1, 2]").unwrap();
    save(&dir.join("torn.json"), "{\"schema\": \"dlaplan.pl").unwrap();
    let file = |target: &str, batch: u32, module: &str| {
        format!(
            r#"{{"schema": "dlaplan.placement", "version": 1, "target": "{target}",
            "engine": {{"precision": {{"fp16": true, "int8": false}}, "batch": {batch}, "dla_core": 0, "gpu_fallback": true}},
            "placement": {{"default": "GPU", "overrides": [{{"module": "{module}", "device": "DLA"}}]}}}}"#
        )
    };
    save(&dir.join("batch0.json"), file("xavier-nx", 0, "layer1")).unwrap();
    save(&dir.join("stranger.json"), file("xavier-nx", 1, "nope")).unwrap();
    save(&dir.join("orin.json"), file("orin-nx-16", 1, "layer1")).unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["plan", "nowhere.onnx"], &["nowhere.onnx"]),
        (&["plam", "bundled:resnet18"], &["plam", "dlaplan plan"]),
        (&["inspect", "empty.onnx"], &["empty.onnx"]),
        (&["inspect", "text.onnx"], &["text.onnx"]),
        (&["estimate", "half.onnx"], &["half.onnx"]),
        (&["plan", "w.pth"], &["w.pth", "export"]),
        (&["plan", "bundled:resnet19"], &["resnet19", "resnet18"]),
        (
            &["sweep", "bundled:resnet18", "--kept"],
            &["resnet18", "no kept placements"],
        ),
        (
            &["sweep", "bundled:resnet18", "--placements", "gone.json"],
            &["gone.json"],
        ),
        (
            &["sweep", "bundled:resnet18", "--torch", "nets:small()"],
            &["nets:small()", "PACKAGE.MODULE:FACTORY"],
        ),
        (
            &["plan", "bundled:resnet18", "--dla", "layer9"],
            &["layer9", "did you mean"],
        ),
        (
            &["plan", "bundled:resnet18", "--dla-op", "Conv_99"],
            &["Conv_99", "inspect"],
        ),
        (
            &[
                "plan",
                "bundled:resnet18",
                "--dla",
                "layer1",
                "--gpu",
                "layer1",
            ],
            &["layer1"],
        ),
        (
            &["plan", "bundled:resnet18", "--target", "moon"],
            &["moon", "xavier-nx"],
        ),
        (
            &["plan", "bundled:resnet18", "--target", "xavier-nx:10.3"],
            &["10.3", "8.5"],
        ),
        (
            &["plan", "bundled:resnet18", "--target", "xavier-nx@99W"],
            &["99W", "15W"],
        ),
        (
            &["plan", "bundled:resnet18", "--precision", "fp8"],
            &["fp8", "fp16"],
        ),
        (&["plan", "bundled:resnet18", "--batch", "0"], &["0"]),
        (&["plan", "bundled:resnet18", "--default", "NPU"], &["NPU"]),
        (
            &["plan", "bundled:resnet18", "--input", "images=1x3"],
            &["images"],
        ),
        (
            &["plan", "bundled:resnet18", "--input", "images"],
            &["NAME=1x3x224x224"],
        ),
        (
            &["plan", "bundled:resnet18", "--placement", "nowhere.json"],
            &["nowhere.json"],
        ),
        (
            &["plan", "bundled:resnet18", "--placement", "newer.json"],
            &["newer.json", "version", "update"],
        ),
        (
            &["plan", "bundled:resnet18", "--placement", "other.json"],
            &["other.json"],
        ),
        (
            &["plan", "bundled:resnet18", "--placement", "torn.json"],
            &["torn.json", "line 1"],
        ),
        (
            &["export", "bundled:resnet18", "-f", "docx"],
            &["docx", "torch2trt"],
        ),
        (
            &[
                "export",
                "bundled:resnet18",
                "-f",
                "json",
                "-o",
                "no/such/folder.json",
            ],
            &["no/such/folder.json"],
        ),
        (
            &[
                "export",
                "bundled:resnet18",
                "--dla",
                "layer1",
                "-f",
                "trtexec",
                "-o",
                "x.sh",
            ],
            &["8.6"],
        ),
        (
            &[
                "export",
                "bundled:resnet18",
                "--dla",
                "layer1",
                "--precision",
                "fp32",
                "--strict",
                "-f",
                "torch2trt",
                "-o",
                "x.py",
            ],
            &["FP16"],
        ),
        (
            &["plan", "bundled:resnet18", "--dla", "layer1,"],
            &["name is missing", "--default"],
        ),
        (
            &["plan", "bundled:resnet18", "--dla", ""],
            &["name is missing"],
        ),
        (
            &["plan", "bundled:resnet18", "--placement", "batch0.json"],
            &["batch0.json", "engine.batch", "4096"],
        ),
        (
            &["plan", "bundled:resnet18", "--placement", "stranger.json"],
            &["stranger.json", "nope"],
        ),
        (
            &["estimate", "bundled:resnet18", "--together", "gpu,"],
            &["engine is missing"],
        ),
        (
            &[
                "estimate",
                "bundled:resnet18",
                "--together",
                "gpu,orin.json",
            ],
            &["orin.json", "orin-nx-16"],
        ),
        (
            &["chart", "bundled:resnet18", "--compare", "orin.json"],
            &["orin.json", "orin-nx-16"],
        ),
        (
            &["trtexec", "bundled:resnet18", "--log", "text.onnx"],
            &["text.onnx", "trtexec"],
        ),
        (
            &["estimate", "bundled:resnet18", "--together", "gpu"],
            &["two engines"],
        ),
        (
            &[
                "estimate",
                "bundled:resnet18",
                "--together",
                "gpu,nowhere.json",
            ],
            &["nowhere.json"],
        ),
        (&["runs", "--show", "7"], &["7"]),
        (&["runs", "--delete", "7"], &["7"]),
        (
            &["search", "bundled:resnet18", "--pin", "layer9=DLA"],
            &["layer9"],
        ),
        (&["frobnicate"], &[]),
    ];
    for (args, words) in cases {
        if *args != ["frobnicate"] {
            refused(dir, args, words);
        }
    }
}

/// A file of the user is as it was when an export over it is refused.
#[test]
fn a_refused_export_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    save(&dir.join("mine.sh"), "precious").unwrap();
    refused(
        dir,
        &[
            "export",
            "bundled:resnet18",
            "--dla",
            "layer1",
            "-f",
            "trtexec",
            "-o",
            "mine.sh",
        ],
        &["8.6"],
    );
    assert_eq!(
        std::fs::read_to_string(dir.join("mine.sh")).unwrap(),
        "precious"
    );
}

#[test]
fn without_a_display_it_names_the_headless_commands() {
    let dir = tempfile::tempdir().unwrap();
    let word = if cfg!(feature = "gui") {
        "no display"
    } else {
        "feature `gui`"
    };
    refused(dir.path(), &[], &[word]);
    refused(
        dir.path(),
        &["bundled:resnet18"].map(|m| if cfg!(feature = "gui") { m } else { "--" }),
        &[word],
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_dlaplan");
    let script = format!(
        "set -o pipefail; '{program}' inspect bundled:vit_b_16 --json | head -c 10 >/dev/null"
    );
    let status = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// A build on a board of TensorRT 8.5: `layer1` on the DLA, its work in the `from nvm` row.
#[test]
fn trtexecs_files_are_read_in_terms_of_modules() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let block = "{ForeignNode[/layer1/layer1.0/conv1/Conv.../layer1/layer1.1/relu_1/Relu]}";
    let log = format!(
        "[11/21/2026-04:10:11] [I] [TRT] ---------- Layers Running on DLA ----------\n\
         [11/21/2026-04:10:11] [I] [TRT] [DlaLayer] {block}\n\
         [11/21/2026-04:10:11] [I] [TRT] ---------- Layers Running on GPU ----------\n\
         [11/21/2026-04:10:11] [I] [TRT] [GpuLayer] CONVOLUTION: /conv1/Conv + /relu/Relu\n\
         [11/21/2026-04:10:19] [I] === Performance summary ===\n\
         [11/21/2026-04:10:19] [I] Throughput: 391.25 qps\n\
         [11/21/2026-04:10:19] [I] Latency: min = 2.4 ms, max = 2.9 ms, mean = 2.56 ms, median = 2.55 ms, percentile(99%) = 2.8 ms\n\
         &&&& PASSED TensorRT.trtexec [TensorRT v8502] # trtexec\n"
    );
    let profile = format!(
        r#"[{{"count": 100}},
        {{"name": "/conv1/Conv + /relu/Relu", "timeMs": 30, "averageMs": 0.30, "percentage": 30}},
        {{"name": "{block}", "timeMs": 2, "averageMs": 0.02, "percentage": 2}},
        {{"name": "/layer1/layer1.1/relu_1/Relu_output_0 from nvm", "timeMs": 60, "averageMs": 0.60, "percentage": 60}},
        {{"name": "/layer2/layer2.0/conv1/Conv", "timeMs": 8, "averageMs": 0.08, "percentage": 8}}]"#
    );
    save(&dir.join("build.log"), log).unwrap();
    save(&dir.join("profile.json"), profile).unwrap();
    let args = [
        "trtexec",
        "bundled:resnet18",
        "--dla",
        "layer1",
        "--log",
        "build.log",
        "--profile",
        "profile.json",
    ];
    let found = json(dir, &[&args[..], &["--json"]].concat());
    assert_eq!(found["fps"], 391.25);
    assert_eq!(found["modules"]["layer1"], 0.62);
    assert_eq!(found["modules"]["layer2.0.conv1"], 0.08);
    assert_eq!(
        found["attribution"]["attributed_ms"],
        found["attribution"]["total_ms"]
    );
    assert_eq!(
        found["comparison"]["silent_fallbacks"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert!(ok(dir, &args).contains("391 FPS (measured by trtexec)"));
    // The same files under a placement that asked for more.
    let args = [
        "trtexec",
        "bundled:resnet18",
        "--dla",
        "layer1,layer2",
        "--log",
        "build.log",
        "--profile",
        "profile.json",
        "--json",
    ];
    let silent = json(dir, &args)["comparison"]["silent_fallbacks"].clone();
    assert!(
        silent
            .as_array()
            .unwrap()
            .contains(&"/layer2/layer2.0/conv1/Conv".into()),
        "{silent}"
    );
    refused(dir, &["trtexec", "bundled:resnet18"], &["--log"]);
    refused(
        dir,
        &["trtexec", "bundled:resnet18", "--profile", "build.log"],
        &["build.log", "--exportProfile"],
    );
}

/// An engine of several is built as its file says.
#[test]
fn engines_side_by_side_keep_their_own_config() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ok(
        dir,
        &[
            "export",
            "bundled:resnet18",
            "--precision",
            "int8",
            "--dla-core",
            "1",
            "--dla",
            "layer1",
            "-f",
            "json",
            "-o",
            "a.json",
        ],
    );
    let found = json(
        dir,
        &[
            "estimate",
            "bundled:resnet18",
            "--together",
            "gpu,a.json",
            "--json",
        ],
    );
    assert_eq!(found["engines"][0]["engine"]["precision"]["int8"], false);
    assert_eq!(found["engines"][1]["engine"]["precision"]["int8"], true);
    assert_eq!(found["engines"][1]["engine"]["dla_core"], 1);
    let found = json(
        dir,
        &[
            "estimate",
            "bundled:resnet18",
            "--together",
            "gpu,a.json@0",
            "--precision",
            "fp16",
            "--json",
        ],
    );
    assert_eq!(found["engines"][1]["engine"]["precision"]["int8"], false);
    assert_eq!(found["engines"][1]["engine"]["dla_core"], 0);
}

#[test]
fn every_command_takes_the_models_own_batch() {
    let dir = tempfile::tempdir().unwrap();
    let four = ["bundled:resnet18", "--input", "images=4x3x224x224"];
    for command in ["plan", "estimate", "search"] {
        let own = [&[command][..], &four].concat();
        assert!(ok(dir.path(), &own).contains("batch 4"), "{command}");
        let said = [&own[..], &["--batch", "2"]].concat();
        assert!(ok(dir.path(), &said).contains("batch 2"), "{command}");
    }
}

/// A placement of a model with open dims reads back at the dims it was made at.
#[test]
fn placements_bring_the_dims_they_were_made_at() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    save(&dir.join("open.onnx"), crate::open_dims::symbolic_model()).unwrap();
    let export = |dims: &str, file: &str| {
        let input = format!("x={dims}");
        let line = [
            "export",
            "open.onnx",
            "--input",
            &input,
            "--format",
            "json",
            "-o",
            file,
        ];
        ok(dir, &line);
    };
    export("2x3x16x8", "two.json");
    export("1x3x9x8", "one.json");
    let text = std::fs::read_to_string(dir.join("two.json")).unwrap();
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["inputs"]["x"], serde_json::json!([2, 3, 16, 8]));
    // Written back from what it says.
    let line = [
        "export",
        "open.onnx",
        "--placement",
        "two.json",
        "--format",
        "json",
    ];
    assert_eq!(ok(dir, &line), text);
    // What is said on the command line wins.
    let line = [&line[..], &["--input", "x=4x3x16x8"]].concat();
    assert_eq!(json(dir, &line)["inputs"]["x"][0], 4);
    // Where the file fixes the dims, nothing is written.
    let fixed = json(dir, &["export", "bundled:resnet18", "--format", "json"]);
    assert_eq!(fixed.get("inputs"), None);

    let both = |words: &[&str], file: &str| {
        for command in ["plan", "estimate"] {
            refused(dir, &[command, "open.onnx", "--placement", file], words);
        }
    };
    save(&dir.join("z.json"), text.replace("\"x\"", "\"z\"")).unwrap();
    both(
        &["z.json", "\"inputs\"", "open.onnx", "no input `z`"],
        "z.json",
    );
    save(&dir.join("flat.json"), text.replace("    16,\n", "")).unwrap();
    both(&["flat.json", "open.onnx", "2x3x8", "4 dims"], "flat.json");
    // Engines beside each other run one model.
    let line = ["estimate", "open.onnx", "--together", "one.json,two.json"];
    refused(dir, &line, &["one.json", "two.json", "1x3x9x8", "--input"]);
    let line = ["chart", "open.onnx", "--compare", "two.json", "--json"];
    ok(dir, &line);
    let line = ["search", "open.onnx", "--from", "two.json", "--json"];
    ok(dir, &line);
}

#[test]
fn dims_that_contradict_a_weight_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["inspect", "plan", "estimate", "search"] {
        refused(
            dir.path(),
            &[command, "bundled:resnet18", "--input", "images=1x4x224x224"],
            &["/conv1/Conv", "1x4x224x224", "64x3x7x7", "--input"],
        );
    }
}

#[test]
fn what_cannot_run_has_no_estimate_and_says_why_once() {
    let dir = tempfile::tempdir().unwrap();
    let all = |text: &str, word: &str| text.matches(word).count();
    let huge = ["bundled:resnet18", "--batch", "4096", "--target", "nano"];
    let text = ok(dir.path(), &[&["estimate"], &huge[..]].concat());
    assert_eq!(all(&text, "no estimate"), 1, "{text}");
    assert!(text.contains("GB, and a Jetson Nano has 4 GB"), "{text}");
    let text = ok(dir.path(), &[&["plan"], &huge[..]].concat());
    assert!(
        text.contains("no estimate: ") && text.contains("4 GB"),
        "{text}"
    );
    let line = [
        "estimate",
        "bundled:resnet18",
        "--target",
        "tx2",
        "--default",
        "DLA",
    ];
    assert_eq!(all(&ok(dir.path(), &line), "no estimate"), 1);
    // Nothing on the DLA is not zero ms of it.
    assert!(!ok(dir.path(), &["estimate", "bundled:resnet18"]).contains("DLA work"));
    assert!(!ok(dir.path(), &["boards"]).contains("DLA 0"));
    assert!(ok(dir.path(), &["runs"]).contains("no such runs"));
}

/// What a command says on stderr, which must end with exit code 2.
fn refusal(dir: &Path, args: &[&str]) -> String {
    let out = dlaplan(dir, args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
    said
}

#[test]
fn a_core_that_the_board_does_not_have_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let plan = |extra: &[&str]| {
        let args = [&["plan", "bundled:resnet18", "--dla", "layer1"], extra].concat();
        refusal(dir.path(), &args)
    };
    let said = plan(&["--dla-core", "3"]);
    assert!(
        said.contains("Jetson Xavier NX has 2 DLA cores; give 0 to 1"),
        "{said}"
    );
    let said = plan(&["--dla-core", "1", "--target", "orin-nx-8"]);
    assert!(said.contains("has one DLA core; give 0"), "{said}");
    let said = plan(&["--dla-core", "1", "--target", "orin-nano-8"]);
    assert!(said.contains("has no DLA"), "{said}");
    // Measuring asks the same before anything is started.
    let profile = ["profile", "bundled:resnet18", "--target", "xavier-nx"];
    let said = refusal(dir.path(), &[&profile[..], &["--dla-core", "3"]].concat());
    assert!(said.contains("has 2 DLA cores"), "{said}");
    let args = ["plan", "bundled:resnet18", "--dla-core", "1"];
    assert!(dlaplan(dir.path(), &args).status.success());
}

#[test]
fn numbers_are_refused_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    for (args, words) in [
        (&["plan", "m", "--batch", "abc"][..], "not a whole number"),
        (&["plan", "m", "--batch", "0"], "give 1 to 4096"),
        (&["plan", "m", "--dla-core", "1.5"], "not a whole number"),
        (
            &["plan", "m", "--batch=-3"],
            "cannot be negative; give 1 or more",
        ),
        (
            &["plan", "m", "--input", "x=1xax2"],
            "\"a\" is not a whole number",
        ),
        (&["search", "m", "--engines", "x"], "not a whole number"),
        (&["search", "m", "--time-limit", "soon"], "not a number"),
        (&["search", "m", "--max-loss=-1"], "cannot be negative"),
        (&["profile", "m", "--repeats", "many"], "not a whole number"),
        (
            &["profile", "m", "--repeats", "99999999999999999999"],
            "give 0 to",
        ),
        (&["runs", "--limit", ""], "not a whole number"),
    ] {
        let said = refusal(dir.path(), args);
        assert!(said.contains(words), "{args:?}: {said}");
        for jargon in ["digit", "literal", "target type", ".."] {
            assert!(!said.contains(jargon), "{args:?}: {said}");
        }
    }
}

#[test]
fn a_missing_file_is_named_with_what_may_be_meant() {
    let dir = tempfile::tempdir().unwrap();
    let said = refusal(dir.path(), &["plan", "resnet18"]);
    assert!(said.contains("resnet18: there is no such file"), "{said}");
    assert!(said.contains("`bundled:resnet18`"), "{said}");
    let said = refusal(dir.path(), &["plan", "resnet19"]);
    assert!(!said.contains("bundled:"), "{said}");
    let model = "bundled:resnet18";
    for flag in ["--log", "--profile", "--layers"] {
        let said = refusal(dir.path(), &["trtexec", model, flag, "no/such.log"]);
        assert!(
            said.contains("no/such.log: there is no such file; write it with `trtexec"),
            "{said}"
        );
        let said = refusal(dir.path(), &["trtexec", model, flag, "."]);
        assert!(said.contains("this is a folder"), "{said}");
    }
}

#[test]
fn an_export_takes_its_format_from_the_ending() {
    let dir = tempfile::tempdir().unwrap();
    let model = "bundled:resnet18";
    for (file, start) in [
        ("x.svg", "<svg"),
        ("x.JSON", "{"),
        ("x.node_data.json", "{"),
        ("x.html", "<!"),
        ("x.torch2trt.py", "#"),
    ] {
        let out = dlaplan(dir.path(), &["export", model, "-o", file]);
        assert!(out.status.success(), "{file}: {out:?}");
        let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
        let head = text.trim_start().to_lowercase();
        assert!(head.starts_with(start), "{file}: {}", &head[..60]);
    }
    let said = refusal(dir.path(), &["export", model, "-o", "x.py"]);
    assert!(
        said.contains("this may be torch2trt or tensorrt-python; give --format"),
        "{said}"
    );
    let said = refusal(dir.path(), &["export", model, "-o", "x.txt"]);
    assert!(said.contains("no export ends so"), "{said}");
    // What is said wins over the ending.
    let args = ["export", model, "--format", "csv", "-o", "x.txt"];
    assert!(dlaplan(dir.path(), &args).status.success());
    refusal(dir.path(), &["export", model]);
}

#[test]
fn a_profile_that_never_began_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    // No driver, or no weights to be had: the request is refused before TensorRT is reached.
    let model = [
        "profile",
        "bundled:resnet18",
        "--load-engine",
        "no/such.engine",
    ];
    let out = dlaplan(dir.path(), &model);
    assert_ne!(out.status.code(), Some(0), "{out:?}");
    let runs = dlaplan(dir.path(), &["runs"]);
    let listed = String::from_utf8_lossy(&runs.stdout).into_owned();
    assert!(!listed.contains("failed"), "{listed}");
}

#[test]
fn estimates_are_explained_in_steps_that_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let args = [
        "estimate",
        "bundled:resnet18",
        "--dla",
        "layer1",
        "--explain",
    ];
    let text = ok(dir, &args);
    for word in [
        "all on the GPU",
        "ops run on the DLA",
        "1 subgraph is submitted",
        "slower than all on the GPU",
        "slowest kernels:",
        "slower on the DLA than on the GPU:",
    ] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    let sum = |fall: &Value| -> f64 {
        let steps = fall["steps"].as_array().unwrap().iter();
        steps.map(|s| s["ms"]["value"].as_f64().unwrap()).sum()
    };
    let delta = |fall: &Value| {
        fall["to"]["value"].as_f64().unwrap() - fall["from"]["value"].as_f64().unwrap()
    };
    let one = json(dir, &[&args[..], &["--json"]].concat());
    let fall = &one["breakdown"]["waterfall"];
    assert!((sum(fall) - delta(fall)).abs() < 1e-9, "{fall}");
    assert_eq!(fall["to"]["value"], one["estimate"]["latency_ms"]["value"]);
    let beside = [
        "estimate",
        "bundled:resnet18",
        "--together",
        "gpu,dla0",
        "--explain",
    ];
    assert!(ok(dir, &beside).contains("1 engine at the same time"));
    let two = json(dir, &[&beside[..], &["--json"]].concat());
    let falls = two["waterfalls"].as_array().unwrap();
    assert_eq!(falls.len(), 2);
    for (fall, latency) in falls.iter().zip(two["latency_ms"].as_array().unwrap()) {
        assert!((sum(fall) - delta(fall)).abs() < 1e-9, "{fall}");
        assert_eq!(fall["to"]["value"], latency["value"]);
        let last = fall["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["cause"], "contention");
        assert!(last["ms"]["value"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn placements_are_compared_with_each_other_and_over_targets() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = ["export", "bundled:resnet18", "--dla", "layer1,layer2"];
    ok(dir, &[&file[..], &["-o", "two.placement.json"]].concat());
    let args = ["compare", "bundled:resnet18", "--dla", "layer1"];
    let with = [&args[..], &["--with", "two.placement.json"]].concat();
    let text = ok(dir, &with);
    for word in [
        "this - that",
        "ops run on another device",
        "layer2",
        "tensors that cross in one of them only:",
    ] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    assert!(!text.contains("layer4"), "only what differs: {text}");
    let report = json(
        dir,
        &[&with[..], &["--json", "--all", "--depth", "1"]].concat(),
    );
    let rows = report["modules"].as_array().unwrap();
    let row = |path: &str| rows.iter().find(|r| r["path"] == path).unwrap();
    let layer2 = row("layer2");
    assert_eq!(layer2["this"]["dla"], 0);
    assert_eq!(layer2["that"]["dla"], layer2["ops"]);
    // The difference of what the modules take is that of the two estimates, but for the way there.
    let deltas: f64 = rows.iter().map(|r| r["delta_ms"].as_f64().unwrap()).sum();
    let figure = |what: &str, side: &str| {
        let lines = report["figures"].as_array().unwrap();
        let line = lines.iter().find(|l| l["what"] == what).unwrap();
        line[side].as_f64().unwrap()
    };
    let work = |side| figure("GPU work", side) + figure("DLA work", side);
    // One subgraph in each: the submission is the same.
    assert_eq!(
        figure("DLA subgraphs", "this"),
        figure("DLA subgraphs", "that")
    );
    let work = work("this") - work("that");
    assert!((deltas - work).abs() < 1e-6, "{deltas} {work}");
    let differing = report["differing_ops"].as_array().unwrap().len();
    assert_eq!(layer2["ops"].as_u64(), Some(differing as u64));
    // Any of the whole networks, and a name that is none.
    assert!(ok(dir, &[&args[..], &["--with", "dla0"]].concat()).contains("ops run on another"));
    refused(
        dir,
        &[&args[..], &["--with", "none.json"]].concat(),
        &["none.json"],
    );
    refused(dir, &args, &["--with"]);
    // From the history.
    let nothing = [&args[..], &["--with", "kept:mine"]].concat();
    refused(dir, &nothing, &["there is no history yet"]);
    let model = dlaplan::model::onnx::load_bundled("resnet18").unwrap();
    let kept = dlaplan::history::NewKept {
        name: "mine".into(),
        model: model.name.clone(),
        structure_hash: model.source.structure_hash.clone(),
        placement: Placement::default()
            .with_module("layer1", Device::Dla)
            .with_module("layer2", Device::Dla),
        config: dlaplan::placement::EngineConfig::default(),
        target: "xavier-nx".into(),
        fps: dlaplan::figure::Figure::none("not asked"),
        dla_mac_share: None,
    };
    let path = dir.join("h.sqlite");
    dlaplan::history::Store::open(&path)
        .unwrap()
        .keep(&kept)
        .unwrap();
    let history = ["--history", "h.sqlite"];
    let mine = [&args[..], &["--with", "kept:mine", "--json"], &history].concat();
    assert_eq!(json(dir, &mine)["differing_ops"], report["differing_ops"]);
    let none = [&args[..], &["--with", "kept:yours"], &history].concat();
    refused(dir, &none, &["kept:yours", "kept: mine"]);
    let run = [&args[..], &["--with", "run:7"], &history].concat();
    refused(dir, &run, &["no such run"]);
    // Over targets.
    let over = [
        &args[..],
        &["--targets", "xavier-nx,agx-orin-64@30W,thor,xavier-nx"],
    ]
    .concat();
    let text = ok(dir, &over);
    for word in ["Xavier NX", "30W", "does not build:"] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    let table = json(dir, &[&over[..], &["--json"]].concat());
    let targets = table["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 3, "each once");
    let alone = ["estimate", "bundled:resnet18", "--dla", "layer1", "--json"];
    let alone = json(
        dir,
        &[&alone[..], &["--target", "agx-orin-64@30W"]].concat(),
    );
    assert_eq!(targets[1]["estimate"], alone["estimate"]);
    let modes = json(
        dir,
        &[&args[..], &["--targets", "modes", "--json"]].concat(),
    );
    assert!(modes["targets"].as_array().unwrap().len() > 2);
    ok(dir, &[&over[..], &["-o", "over.svg"]].concat());
    let svg = std::fs::read_to_string(dir.join("over.svg")).unwrap();
    assert!(svg.contains("30W") && svg.contains("all GPU"));
    ok(dir, &[&over[..], &["-o", "over.csv"]].concat());
    let csv = std::fs::read_to_string(dir.join("over.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(lines[0].starts_with("target,fps,") && lines[3].contains("no measurement"));
    let fps = alone["estimate"]["fps"]["value"].as_f64().unwrap();
    assert!(lines[2].contains(&fps.to_string()), "{csv}");
    refused(
        dir,
        &[&args[..], &["--targets", "moon"]].concat(),
        &["moon"],
    );
}
