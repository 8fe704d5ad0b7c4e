//! Boards, power modes and TensorRT versions as NVIDIA's files and releases say, and what a
//! version's ONNX parser cannot import.

use std::path::{Path, PathBuf};

use dlaplan::model::onnx::{LoadOptions, load, load_bundled};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::{Buildable, Fallback, Lint, Plan, plan};
use dlaplan::platform::{Board, Target, TensorRt, boards};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn plan_file(name: &str, target: &str, device: Device, precision: Precision) -> Plan {
    let model = load(&data(name), &LoadOptions::default()).unwrap();
    let config = EngineConfig {
        precision,
        ..EngineConfig::default()
    };
    let target = Target::parse(target).unwrap();
    plan(&model, &target, &config, &Placement::all(device)).unwrap()
}

/// Why it does not build, in one text; empty where it builds.
fn refusal(name: &str, target: &str) -> String {
    match plan_file(name, target, Device::Gpu, Precision::FP16).buildable {
        Buildable::Yes => String::new(),
        Buildable::No { reasons } => reasons.join("\n"),
    }
}

fn lint<'p>(plan: &'p Plan, id: &str) -> Option<&'p Lint> {
    plan.lints.iter().find(|l| l.id == id)
}

/// Every row of NVIDIA's Super files, as republished: board, mode, what, value, unit, source.
#[test]
fn modes_are_those_of_nvidias_super_files() {
    let mut rows = csv::Reader::from_path(data("platform/nvpmodel_super.csv")).unwrap();
    let (mut compared, mut falcons) = (0, 0);
    for row in rows.records() {
        let row = row.unwrap();
        let board = boards()
            .iter()
            .find(|b| b.name == format!("Jetson {}", &row[0]))
            .unwrap();
        let name = row[1].split(" (").next().unwrap();
        let mode = board.mode(name).unwrap_or_else(|| panic!("{row:?}"));
        let most = |of: fn(&dlaplan::platform::PowerMode) -> f64| {
            board.modes.iter().map(of).fold(0.0, f64::max)
        };
        let (ours, highest) = match &row[2] {
            "gpu" => (mode.gpu_mhz, most(|m| m.gpu_mhz)),
            "dla0 core" => (mode.dla_core_mhz(0), most(|m| m.dla_core_mhz(0))),
            "dla1 core" => (mode.dla_core_mhz(1), most(|m| m.dla_core_mhz(1))),
            "emc" => (mode.emc_mhz, most(|m| m.emc_mhz)),
            // Ones are TPCs that are off; a TPC has two SMs.
            "gpu tpc_pg_mask" => {
                let mask: u8 = row[3].parse().unwrap();
                assert_eq!(mode.sms, 2 * mask.count_zeros(), "{row:?}");
                compared += 1;
                continue;
            }
            // The DLA's controller; no estimate asks for its clock.
            "dla0 falcon" => {
                falcons += 1;
                continue;
            }
            other => panic!("{other}"),
        };
        let theirs = match &row[3] {
            "max" => highest,
            value => value.parse().unwrap(),
        };
        assert_eq!(ours, theirs, "{row:?}");
        compared += 1;
    }
    assert_eq!((compared, falcons), (56, 10));
}

#[test]
fn a_dla_that_is_practically_off_warns() {
    let model = load_bundled("resnet18").unwrap();
    let slow = |target: &str, core: u32, device: Device| {
        let config = EngineConfig {
            dla_core: core,
            ..EngineConfig::default()
        };
        let target = Target::parse(target).unwrap();
        let plan = plan(&model, &target, &config, &Placement::all(device)).unwrap();
        lint(&plan, "mode.dla_slow").map(|l| l.hazard.clone())
    };
    for (target, core, mhz) in [
        ("orin-nx-16@15W", 1, "115 MHz"),
        ("orin-nx-16@10W", 0, "153.6 MHz"),
        ("orin-nx-8@10W", 0, "153.6 MHz"),
        ("agx-xavier@15W_DESKTOP", 0, "115.2 MHz"),
    ] {
        let hazard = slow(target, core, Device::Dla).unwrap();
        assert!(hazard.contains(mhz), "{target}: {hazard}");
        assert!(hazard.contains(&format!("core {core}")), "{hazard}");
        assert_eq!(slow(target, core, Device::Gpu), None, "nothing is on it");
    }
    assert_eq!(slow("orin-nx-16@15W", 0, Device::Dla), None);
    assert_eq!(slow("orin-nx-16@25W", 1, Device::Dla), None);
}

/// JetPack 4.4 to 5.1 on Xavier, 5.0 on AGX Orin: planned with what is known, and said so.
#[test]
fn versions_before_8_5_are_planned_with_what_is_known() {
    for target in [
        "xavier-nx:7.1",
        "xavier-nx:8.0",
        "xavier-nx:8.2",
        "xavier-nx:8.4",
        "agx-xavier:7.1.3",
        "agx-xavier:8.2.1",
        "agx-orin-64:8.4",
        "agx-orin-32:8.4.1",
    ] {
        let plan = plan_file(
            "dla_reports/static.onnx",
            target,
            Device::Dla,
            Precision::FP16,
        );
        assert_eq!(plan.buildable, Buildable::Yes, "{target}");
        assert!(plan.dla_ops() > 0, "{target}");
        let told = &lint(&plan, "tensorrt.partly_known").unwrap().hazard;
        assert!(told.contains("not modelled"), "{told}");
    }
    let later = plan_file(
        "dla_reports/static.onnx",
        "xavier-nx:8.5",
        Device::Dla,
        Precision::FP16,
    );
    assert!(lint(&later, "tensorrt.partly_known").is_none());
    // Boards without a DLA had JetPack 4 too.
    for board in ["nano", "tx2"] {
        let versions = Board::find(board).unwrap().tensorrt;
        assert_eq!(versions, [TensorRt::V8_2, TensorRt::V8_0, TensorRt::V7_1]);
    }
    // A Mish is Softplus, Tanh and Mul: only the Softplus is refused, in 7.1 as later.
    let model = load(&data("dla_reports/mish.onnx"), &LoadOptions::default()).unwrap();
    for target in ["xavier-nx:7.1", "xavier-nx:8.2"] {
        let target = Target::parse(target).unwrap();
        let config = EngineConfig::default();
        let plan = plan(&model, &target, &config, &Placement::all(Device::Dla)).unwrap();
        let refused = plan.fallbacks.iter().filter_map(|(op, why)| match why {
            Fallback::Rule(_) => Some(&*model.op(*op).op_type),
            _ => None,
        });
        assert_eq!(refused.collect::<Vec<_>>(), ["Softplus", "Softplus"]);
        assert_eq!(plan.buildable, Buildable::Yes);
    }
}

#[test]
fn a_core_holds_eight_loadables_before_8_5() {
    let model = load_bundled("resnet18").unwrap();
    let mut placement = Placement::all(Device::Gpu);
    for op in model.ops.iter().filter(|o| &*o.op_type == "Conv") {
        placement = placement.with_op(&op.name, Device::Dla);
    }
    for (target, limit, together) in [
        ("xavier-nx:7.1", 8, None),
        ("xavier-nx:8.4", 8, Some("allows 4")),
        ("xavier-nx:8.5", 16, None),
    ] {
        let target = Target::parse(target).unwrap();
        let plan = plan(&model, &target, &EngineConfig::default(), &placement).unwrap();
        assert_eq!(plan.subgraphs.len(), limit.min(20), "{target}");
        let limits = plan.fallbacks.iter().filter_map(|(_, why)| match why {
            Fallback::LoadableLimit { limit } => Some(*limit as usize),
            _ => None,
        });
        assert!(limits.into_iter().all(|l| l == limit), "{target}");
        let told = lint(&plan, "subgraphs.together").map(|l| &*l.hazard);
        assert_eq!(told.is_some(), together.is_some(), "{target}");
        assert!(
            told.is_none_or(|t| t.contains(together.unwrap())),
            "{told:?}"
        );
    }
}

/// One op that the parser of the version cannot import, and the file does not build, whatever the
/// placement.
#[test]
fn what_the_parser_cannot_import_does_not_build() {
    for (file, target, words) in [
        (
            "onnx/01_dynamic_quantize.onnx",
            "agx-orin-64:10.3",
            ["DynamicQuantizeLinear", "TensorRT 10.3", "calibration"],
        ),
        (
            "onnx/10_ort_fused.onnx",
            "xavier-nx:8.5",
            ["com.microsoft.FusedConv", "TensorRT 8.5", "ONNX Runtime"],
        ),
        (
            "onnx/11_imputer_nan.onnx",
            "agx-orin-64:10.7",
            ["ai.onnx.ml.Imputer", "TensorRT 10.7", "cut it off"],
        ),
        (
            "onnx/08b_dft.onnx",
            "agx-orin-64:11.4",
            ["DFT", "TensorRT 11.4", "other ops"],
        ),
        (
            "onnx/08c_stft.onnx",
            "agx-orin-64:10.3",
            ["STFT", "TensorRT 10.3", "use TensorRT 10.7 or later"],
        ),
        (
            "onnx/09_local_function.onnx",
            "xavier-nx:8.5",
            ["local function", "use TensorRT 10.3 or later", "inline"],
        ),
        (
            "onnx/19_sequence_input.onnx",
            "agx-orin-64:10.3",
            ["Sequence", "TensorRT 10.3", "tensors only"],
        ),
    ] {
        let why = refusal(file, target);
        for word in words {
            assert!(
                why.contains(word),
                "{file} {target}: no {word:?} in {why:?}"
            );
        }
        let summary = plan_file(file, target, Device::Gpu, Precision::FP32);
        let model = load(&data(file), &LoadOptions::default()).unwrap();
        let summary = summary.summary(&model).to_string();
        assert!(
            summary.starts_with("does not build: the ONNX parser"),
            "{summary}"
        );
    }
    // An opset past the parser's is no refusal by itself.
    let file = "onnx/14_shared_activation.onnx";
    let opset = |target: &str| {
        let plan = plan_file(file, target, Device::Gpu, Precision::FP16);
        lint(&plan, "parser.opset").map(|l| (l.hazard.clone(), l.mitigation.clone()))
    };
    let (hazard, mitigation) = opset("xavier-nx:7.1").unwrap();
    assert!(hazard.contains("covers up to 11"), "{hazard}");
    assert!(mitigation.contains("opset_version=11"), "{mitigation}");
    assert_eq!(opset("agx-orin-64:11.4"), None);
    for (file, target) in [
        ("onnx/08c_stft.onnx", "agx-orin-64:10.7"),
        ("onnx/09_local_function.onnx", "agx-orin-64:10.3"),
        ("onnx/14_shared_activation.onnx", "xavier-nx:7.1"),
        ("dla_reports/attention.onnx", "xavier-nx:8.5"),
        ("dla_reports/qdq.onnx", "agx-orin-64:8.5"),
    ] {
        assert_eq!(refusal(file, target), "", "{file} {target}");
    }
}
