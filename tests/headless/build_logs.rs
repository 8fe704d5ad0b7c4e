//! Logs of public reports, read in terms of the model's ops.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dlaplan::engine::reading::parse_report;
use dlaplan::engine::reading::{LayerMap, actual};
use dlaplan::model::onnx::{LoadOptions, load};
use dlaplan::placement::Device;
use proptest::prelude::*;
use serde_json::Value;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dla_reports")
}

fn trtexec(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dlaplan"))
        .arg("trtexec")
        .args(args)
        .current_dir(data())
        .output()
        .unwrap()
}

/// What the command says as JSON, and its exit code.
fn told(args: &[&str]) -> (Value, i32) {
    let output = trtexec(&[args, &["--default", "DLA", "--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"));
    (found, output.status.code().unwrap())
}

/// Names of the ops on a device, without the folders of attention's module.
fn on(found: &Value, device: &str) -> Vec<String> {
    let ops = found["ops"].as_array().unwrap().iter();
    ops.filter(|op| op["device"] == device)
        .map(|op| op["op"].as_str().unwrap().to_owned())
        .map(|name| name.replace("/model.10/m/m.0/attn/", ""))
        .collect()
}

fn reasons(found: &Value, op: &str) -> String {
    let mut ops = found["ops"].as_array().unwrap().iter();
    let op = ops.find(|o| o["op"].as_str().unwrap().ends_with(op));
    op.unwrap()["reasons"].to_string()
}

const STEM: [&str; 3] = [
    "/model.0/conv/Conv",
    "/model.0/act/Sigmoid",
    "/model.0/act/Mul",
];

#[test]
fn attention_on_xavier() {
    let args = ["attention.onnx", "--target", "xavier-nx:8.5"];
    let (found, code) = told(&[&args[..], &["--log", "h1_xavier_85.log"]].concat());
    assert_eq!(code, 0);
    assert_eq!(
        on(&found, "DLA"),
        ["qkv/conv/Conv", "Split", "Transpose", "proj/conv/Conv"]
    );
    assert_eq!(
        on(&found, "GPU"),
        ["Reshape", "MatMul", "Softmax", "MatMul_1", "Reshape_1"]
    );
    assert!(reasons(&found, "attn/Reshape").contains("directly connected to Slice or Concat"));
    assert!(reasons(&found, "attn/MatMul").contains("MatMul is unsupported on DLA"));
    let blocks = found["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 4);
    assert_eq!(blocks[1]["ops"].as_array().unwrap().len(), 2);
    assert_eq!(blocks[2]["ops"][0], "/model.10/m/m.0/attn/Split");
}

#[test]
fn reasons_alone_place_ops() {
    let fp32 = ["static.onnx", "--precision", "fp32", "--log"];
    for (log, word, count) in [
        ("h2_fp32.log", "precision type", 3),
        ("h2_dynamic_80.log", "dynamic shapes", 3),
        ("h2_interleaved.log", "not supported on DLA", 1),
    ] {
        let (found, code) = told(&[&fp32[..], &[log]].concat());
        assert_eq!(code, 0, "{log}");
        assert_eq!(on(&found, "GPU").len(), count, "{log}");
        assert!(on(&found, "DLA").is_empty());
        assert!(reasons(&found, "act/Mul").contains(word), "{log}");
    }
    let int8 = ["--target", "agx-orin-64:8.5", "--precision", "int8"];
    let (found, _) = told(&[&["qdq.onnx", "--log", "h5_noscale.log"], &int8[..]].concat());
    assert_eq!(on(&found, "GPU"), [STEM[0], "/model.0/act/Relu"]);
    assert!(reasons(&found, "Relu").contains("missing scale"));
    let (found, _) = told(&[&["ceil.onnx", "--log", "h8_ceil.log"], &int8[..]].concat());
    assert_eq!(on(&found, "GPU"), ["node_of_Y"]);
    assert!(reasons(&found, "node_of_Y").contains("CEIL"));
}

#[test]
fn a_log_that_says_why_is_no_silent_fallback() {
    let args = ["dynamic.onnx", "--input", "images=4x3x64x64", "--log"];
    for more in [
        &["h3_trtexec.log"][..],
        &["h3_trtexec.log", "--layers", "h3_layers.json"],
        &["h3_python.log"],
    ] {
        let (found, code) = told(&[&args[..], more].concat());
        assert_eq!(code, 0);
        assert_eq!(on(&found, "GPU"), STEM, "{more:?}");
        let comparison = &found["comparison"];
        assert_eq!(comparison["silent_fallbacks"].as_array().unwrap().len(), 0);
        assert!(reasons(&found, "conv/Conv").contains("same min, max, and opt"));
    }
}

#[test]
fn tensorrt_7_and_a_build_wholly_on_the_dla() {
    let (found, _) = told(&["mish.onnx", "--log", "h4_trtexec_71.log"]);
    assert_eq!(
        on(&found, "DLA"),
        [
            "Tanh_3", "Mul_4", "Conv_5", "Tanh_8", "Mul_9", "Conv_10", "Conv_15"
        ]
    );
    assert_eq!(on(&found, "GPU"), ["Conv_0", "Softplus_2", "Softplus_7"]);
    let all = [
        "static.onnx",
        "--target",
        "agx-orin-64:8.6",
        "--default",
        "DLA",
    ];
    let text = trtexec(&[&all[..], &["--log", "h9_all_on_dla.log"]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("3/3 ops on the DLA in 1 block"), "{text}");
    assert!(text.contains("as planned"), "{text}");
}

#[test]
fn a_block_that_failed_is_told_in_ops() {
    let args = [
        "static.onnx",
        "--precision",
        "int8",
        "--log",
        "h6_noimpl.log",
    ];
    let (found, code) = told(&args);
    assert_eq!(code, 1);
    let failed = &found["failed"][0];
    assert_eq!(failed["ops"].as_array().unwrap().len(), 3);
    assert_eq!(failed["modules"][0], "model.0.conv");
    // 16 kernels of 3x3x3 and 16 biases, one byte each.
    assert_eq!(failed["weight_bytes"], 448);
    assert_eq!(found["errors"].as_array().unwrap().len(), 3);
}

const LOGS: [(&str, &str); 4] = [
    ("attention.onnx", "h1_xavier_85.log"),
    ("mish.onnx", "h4_trtexec_71.log"),
    ("static.onnx", "h2_fp32.log"),
    ("static.onnx", "h9_all_on_dla.log"),
];

fn devices(model: &str, log: &str) -> Vec<Option<Device>> {
    let model = load(&data().join(model), &LoadOptions::default()).unwrap();
    let map = LayerMap::new(&model, &[]);
    let requested = vec![Device::Dla; model.ops.len()];
    let report = parse_report(log);
    let found = actual(&map, &[], &requested, &report.placement, &[]);
    found.ops.into_iter().map(|op| op.device).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Cut, mixed with another program's lines and prefixed: what is still told is what the whole
    /// log tells, except that an op whose own line is lost may be unknown or known by a reason.
    #[test]
    fn a_damaged_log_states_no_other_device(
        which in 0..LOGS.len(),
        cut in 0.0..1.0_f64,
        prefix in 0..5_usize,
        noise in proptest::collection::vec((0..40_usize, "[ -~]{0,60}"), 0..8),
    ) {
        let (model, log) = LOGS[which];
        let text = std::fs::read_to_string(data().join(log)).unwrap();
        let whole = devices(model, &text);
        let prefix = ["", "[09/23/2025-01:35:17] ", "INFO: ", "\u{1b}[0;32m", "[TensorRT] INFO: "][prefix];
        let mut lines: Vec<String> = text.lines().map(|l| format!("{prefix}{l}")).collect();
        lines.truncate((lines.len() as f64 * cut) as usize);
        for (at, line) in noise {
            lines.insert(at.min(lines.len()), line);
        }
        for (now, then) in devices(model, &lines.join("\n")).into_iter().zip(whole) {
            prop_assert!(now.is_none() || now == then, "{:?} {:?}", now, then);
        }
    }

    /// Two builds that write to one file, cut inside a line: no op has a device that neither log
    /// states. A list and the header above it are one write.
    #[test]
    fn interleaved_logs_state_no_other_device(
        which in 0..LOGS.len(),
        other in 0..LOGS.len(),
        order in proptest::collection::vec(any::<bool>(), 1..60),
        cut in 0.0..1.0_f64,
    ) {
        let (model, log) = LOGS[which];
        let read = |log: &str| std::fs::read_to_string(data().join(log)).unwrap();
        let texts = [read(log), read(LOGS[other].1)];
        let stated = texts.each_ref().map(|text| devices(model, text));
        let mut writes = texts.each_ref().map(|text| {
            let mut writes: Vec<String> = Vec::new();
            for line in text.lines() {
                match writes.last_mut() {
                    Some(last) if last.trim_end().ends_with(':') => {
                        *last += "\n";
                        *last += line;
                    }
                    _ => writes.push(line.to_owned()),
                }
            }
            writes.into_iter()
        });
        let mut text = String::new();
        for first in order.iter().cycle().take(400) {
            if let Some(write) = writes[usize::from(*first)].next() {
                text += &write;
                text.push('\n');
            }
        }
        let end = text.floor_char_boundary((text.len() as f64 * cut) as usize);
        let found = devices(model, &text[..end]);
        for (now, then) in found.iter().zip(stated[0].iter().zip(&stated[1])) {
            let legal = now.is_none() || now == then.0 || now == then.1;
            prop_assert!(legal, "{:?} {:?}\n{}", now, then, &text[..end]);
        }
    }

    #[test]
    fn no_text_is_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..2000_usize) {
        let mut text = std::fs::read(data().join("h1_xavier_85.log")).unwrap();
        let at = at.min(text.len());
        text.splice(at..at, bytes);
        devices("attention.onnx", &String::from_utf8_lossy(&text));
    }
}
