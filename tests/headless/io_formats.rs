//! Formats of an engine's inputs and outputs: what they mean for plan, estimate, search and exports.

use std::ops::ControlFlow;

use dlaplan::engine::Calibration;
use dlaplan::estimate::Estimator;
use dlaplan::export::{Document, Format, save_atomic, tensorrt_python, torch2trt, trtexec};
use dlaplan::model::onnx::load_bundled;
use dlaplan::model::{Activation, OpKind};
use dlaplan::placement::{Device, EngineConfig, IoFormats, Placement, Precision};
use dlaplan::plan::{Buildable, Planner};
use dlaplan::platform::Target;
use dlaplan::search::{Goal, Granularity, Request, run};
use dlaplan::tasks::judge::Setup;

fn setup(precision: Precision, io: &str, placement: Placement, target: &str) -> Setup {
    Setup {
        model: load_bundled("resnet18").unwrap(),
        target: Target::parse(target).unwrap(),
        config: EngineConfig {
            precision,
            io: io.parse().unwrap(),
            ..EngineConfig::default()
        },
        placement,
    }
}

/// Everything but the last layers, which the GPU runs and writes.
fn body() -> Placement {
    Placement::all(Device::Dla).with_module("fc", Device::Gpu)
}

fn why(setup: &Setup) -> String {
    match setup.judge().unwrap().plan.buildable {
        Buildable::Yes => String::new(),
        Buildable::No { reasons } => reasons.join("; "),
    }
}

#[test]
fn what_the_dla_reads_itself_needs_no_reformat() {
    let of = |io: &str| {
        let setup = setup(Precision::INT8, io, body(), "xavier-nx");
        assert_eq!(why(&setup), "", "{io}");
        let judged = setup.judge().unwrap();
        let ends = judged
            .plan
            .transitions
            .iter()
            .filter(|t| t.boundary)
            .count();
        (ends, judged.estimate.latency_ms.value().unwrap())
    };
    let (ends, fp32) = of("fp32:chw");
    assert_eq!(ends, 1, "the image");
    let (ends, int8) = of("int8:chw,fp32:chw");
    assert_eq!(ends, 1, "a reformat of fewer bytes");
    let (ends, own) = of("int8:dla_hwc4,fp32:chw");
    assert_eq!(ends, 0);
    assert!(own < int8 && int8 < fp32, "{own} {int8} {fp32}");
    // The GPU writes the output whatever its format.
    let (_, output) = of("fp32:chw,int8:chw");
    assert!((output - fp32).abs() < 1e-9);
    // The other precision's format is converted like any other.
    let mixed = setup(
        Precision::INT8_FP16,
        "fp16:dla_linear,fp32:chw",
        body(),
        "xavier-nx",
    );
    let plan = mixed.judge().unwrap().plan;
    assert_eq!(plan.transitions.iter().filter(|t| t.boundary).count(), 1);
}

#[test]
fn formats_that_no_engine_can_have_are_refused_by_name() {
    let whole = Placement::all(Device::Dla);
    let gpu = Placement::all(Device::Gpu);
    for (precision, io, placement, target, words) in [
        (
            Precision::FP16,
            "int8:chw",
            &gpu,
            "xavier-nx",
            "needs an engine built with int8",
        ),
        (
            Precision::INT8,
            "fp16:chw",
            &gpu,
            "xavier-nx",
            "needs an engine built with fp16",
        ),
        (
            Precision::FP16,
            "fp16:dla_hwc4",
            &whole,
            "xavier-nx",
            "the DLA writes no fp16:dla_hwc4",
        ),
        (
            Precision::FP16,
            "fp16:chw16,fp16:chw",
            &gpu,
            "xavier-nx",
            "/conv1/Conv on the GPU reads",
        ),
        (
            Precision::FP16,
            "fp16:chw,fp16:dla_linear",
            &body(),
            "xavier-nx",
            "/fc/Gemm on the GPU makes",
        ),
        (
            Precision::INT8,
            "int8:chw,int8:chw32",
            &whole,
            "xavier-nx",
            "has 2 dims",
        ),
        (
            Precision::FP16,
            "fp16:chw",
            &gpu,
            "agx-orin-64:11.4",
            "takes the types of inputs and outputs from the file",
        ),
    ] {
        let why = why(&setup(precision, io, placement.clone(), target));
        assert!(why.contains(words), "{io}: {why}");
    }
}

#[test]
fn only_a_convolution_reads_an_image_in_the_dlas_format() {
    let of = |change: fn(&mut dlaplan::model::Conv), channels: u64| {
        let conv = |c: &mut dlaplan::model::Conv| {
            (c.in_channels, c.out_channels) = (channels, 8);
            change(c);
        };
        let ops = vec![(crate::net::conv(conv), vec![1, 8, 16, 16])];
        Setup {
            model: crate::net::chain_of(&[1, channels, 16, 16], ops),
            ..setup(
                Precision::FP16,
                "fp16:dla_hwc4,fp32:chw",
                Placement::all(Device::Dla),
                "xavier-nx",
            )
        }
    };
    assert_eq!(why(&of(|_| (), 4)), "");
    assert_eq!(why(&of(|c| c.groups = 4, 4)), "");
    assert!(why(&of(|c| c.groups = 8, 4)).contains("of 1 to 4 groups only"));
    assert!(why(&of(|_| (), 8)).contains("1, 3 or 4 channels"));
    let relu = vec![(OpKind::Activation(Activation::Relu), vec![1, 3, 16, 16])];
    let first = Setup {
        model: crate::net::chain_of(&[1, 3, 16, 16], relu),
        ..of(|_| (), 4)
    };
    assert!(why(&first).contains("reads input"), "{}", why(&first));
}

#[test]
fn a_request_names_the_format_it_cannot_have() {
    let mut request = dlaplan::engine::Request::new(
        "m.onnx".into(),
        Placement::default(),
        EngineConfig {
            io: "int8:chw".parse().unwrap(),
            ..EngineConfig::default()
        },
    );
    let why = |r: &dlaplan::engine::Request| r.check().unwrap_err().to_string();
    assert!(why(&request).contains("int8:chw needs an engine built with int8"));
    request.config.precision = Precision::INT8;
    assert_eq!(request.check(), Ok(()));
    request.calibration = Calibration::Folder {
        path: "/batches".into(),
        save: None,
    };
    assert!(why(&request).contains("--io-formats fp32:chw"));
}

#[test]
fn placement_files_keep_formats_and_older_ones_read_as_fp32() {
    let setup = setup(
        Precision::INT8,
        "int8:dla_hwc4,int8:chw",
        body(),
        "xavier-nx",
    );
    let document =
        |config| Document::of(&setup.model, &setup.target, config, &setup.placement).to_json();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.json");
    let read = |text: &str| {
        save_atomic(&file, text.as_bytes()).unwrap();
        Document::load(&file)
    };
    let text = document(&setup.config);
    assert_eq!(read(&text).unwrap().engine, setup.config);
    let older = document(&EngineConfig::default());
    assert!(!older.contains("io_formats"));
    assert_eq!(read(&older).unwrap().engine.io, IoFormats::default());
    let bad = text.replace("int8:dla_hwc4,int8:chw", "int8:chw16");
    let error = read(&bad).unwrap_err().to_string();
    assert!(
        error.contains("\"int8:chw16\" is not one of fp32:chw"),
        "{error}"
    );
}

#[test]
fn exports_say_the_formats() {
    let of = |io: &str, target: &str| setup(Precision::INT8_FP16, io, body(), target);
    let text = |setup: &Setup, format: Format| -> Result<String, String> {
        let judged = setup.judge().unwrap();
        let subject = setup.subject(&judged);
        match format {
            Format::Trtexec => trtexec(&subject).map(|c| c.line()),
            Format::Torch2trt => torch2trt(&subject),
            _ => tensorrt_python(&subject),
        }
        .map_err(|e| e.to_string())
    };
    let plain = of("fp32:chw", "agx-orin-64:10.3");
    for format in [Format::Trtexec, Format::TensorrtPython] {
        let text = text(&plain, format).unwrap();
        assert!(
            !text.contains("IOFormats") && !text.contains("allowed_formats"),
            "{text}"
        );
    }
    let own = of("int8:dla_hwc4,fp16:chw", "agx-orin-64:10.3");
    let line = text(&own, Format::Trtexec).unwrap();
    assert!(
        line.contains("--inputIOFormats=int8:dla_hwc4 --outputIOFormats=fp16:chw"),
        "{line}"
    );
    let python = text(&own, Format::TensorrtPython).unwrap();
    for words in [
        "INPUT_TYPE = trt.DataType.INT8\nINPUT_FORMAT = trt.TensorFormat.DLA_HWC4\n",
        "OUTPUT_TYPE = trt.DataType.HALF\nOUTPUT_FORMAT = trt.TensorFormat.LINEAR\n",
        "        tensor.allowed_formats = 1 << int(OUTPUT_FORMAT)\n",
    ] {
        assert!(python.contains(words), "{python}");
    }
    let refused = text(&own, Format::Torch2trt).unwrap_err();
    assert!(
        refused.contains("int8:dla_hwc4,fp16:chw") && refused.contains("trtexec"),
        "{refused}"
    );
}

#[test]
fn a_search_keeps_on_the_dla_what_only_the_dla_reads() {
    // The estimate alone would put the first convolution of a small network on the GPU.
    let find = |io: &str| {
        let setup = setup(Precision::FP16, io, Placement::default(), "agx-orin-64");
        let planner = Planner::new(&setup.model, &setup.target, &setup.config);
        let estimator = Estimator::new(&planner);
        let mut request = Request::new(Goal::Latency);
        request.constraints.granularity = Granularity::Ops;
        let answer = run(&estimator, &request, &mut |_| ControlFlow::Continue(()));
        answer.map(|a| {
            let best = &a.proposals[0].engines[0];
            let plan = planner.plan_placement(&best.placement).unwrap();
            assert_eq!(plan.buildable, Buildable::Yes, "{io}");
            let latency = best.estimate.latency_ms.value().unwrap();
            (plan.predicted[0], latency)
        })
    };
    let (device, free) = find("fp32:chw").unwrap();
    assert_eq!(device, Device::Gpu);
    let (device, bound) = find("fp16:dla_linear,fp32:chw").unwrap();
    assert_eq!(device, Device::Dla);
    assert!(bound > free, "{bound} {free}");
    let setup = setup(
        Precision::FP16,
        "fp16:dla_linear",
        Placement::default(),
        "orin-nano-8",
    );
    let planner = Planner::new(&setup.model, &setup.target, &setup.config);
    let request = Request::new(Goal::Latency);
    let none = run(&Estimator::new(&planner), &request, &mut |_| {
        ControlFlow::Continue(())
    });
    let why = none.unwrap_err().to_string();
    assert!(
        why.contains("fp16:dla_linear are for the DLA only"),
        "{why}"
    );
    let mut pipeline = Request::new(Goal::Pipeline { stages: 2 });
    pipeline.proposals = 1;
    let setup = self::setup(
        Precision::FP16,
        "fp16:chw",
        Placement::default(),
        "xavier-nx",
    );
    let planner = Planner::new(&setup.model, &setup.target, &setup.config);
    let none = run(&Estimator::new(&planner), &pipeline, &mut |_| {
        ControlFlow::Continue(())
    });
    let why = none.unwrap_err().to_string();
    assert!(why.contains("stages of a pipeline"), "{why}");
}
