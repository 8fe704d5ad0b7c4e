//! What TensorRT 8.5.2 and its trtexec said on a GPU, read by our parsers.

use dlaplan::engine::protocol::{Event, decode};
use dlaplan::engine::reading::{LayerMap, PlacementLog, actual, engine_layers, layer_times};
use dlaplan::engine::reading::{parse_placement, parse_report};
use dlaplan::engine::{LogLine, RowSite};
use dlaplan::model::onnx::load_bundled;
use dlaplan::placement::{Device, Placement};

const DETECTOR_FP16: &str = include_str!("../data/tensorrt_8.5.2/detector_fp16.json");
const MOBILENET_INT8: &str = include_str!("../data/tensorrt_8.5.2/mobilenet_v2_int8.json");
const RESNET_FP16_8_6: &str = include_str!("../data/tensorrt_8.6.0/resnet18_fp16.json");
const RESNET_INT8_8_6: &str = include_str!("../data/tensorrt_8.6.0/resnet18_int8.json");
const MOBILENET_FP16_8_6: &str = include_str!("../data/tensorrt_8.6.0/mobilenet_v2_fp16.json");
const HELLO: &str = include_str!("../data/tensorrt_8.5.2/hello.json");
const TRTEXEC: &str = include_str!("../data/tensorrt_8.5.2/trtexec_load_engine.log");
const TRTEXEC_FAILED: &str = include_str!("../data/tensorrt_8.5.2/trtexec_failed.log");

/// Inspector output and profile of one engine: at least 95 % of the time finds its module.
fn attributed(name: &str, recorded: &str, ms: f64, rows: usize, folded: usize) {
    let model = load_bundled(name).unwrap();
    let recorded: serde_json::Value = serde_json::from_str(recorded).unwrap();
    let layers = engine_layers(&recorded["inspector"].to_string());
    let profile: Vec<(String, f64)> = serde_json::from_value(recorded["profile"].clone()).unwrap();
    let profile: Vec<(String, Vec<f64>)> =
        profile.into_iter().map(|(n, ms)| (n, vec![ms])).collect();
    assert_eq!(profile.len(), rows);
    let gpu = Placement::default().resolve(&model).unwrap().devices();
    // Without the network's layers, which an engine from a file does not tell either.
    let map = LayerMap::new(&model, &[]);
    let found = actual(&map, &layers, &gpu, &PlacementLog::default(), &[]);
    let shown = |d| found.ops.iter().filter(|o| o.device == d).count();
    assert_eq!(shown(Some(Device::Dla)), 0, "{name}");
    assert_eq!(shown(None), folded, "{name}");
    let (times, sum) = layer_times(&map, &layers, &found, &profile);
    assert!((sum.total_ms - ms).abs() < 1e-3, "{name}: {}", sum.total_ms);
    assert!(sum.share() >= 0.95, "{name}: {}", sum.share());
    let by_module: f64 = times
        .iter()
        .filter(|t| t.module.is_some())
        .map(|t| t.mean_ms)
        .sum();
    assert!(by_module >= 0.95 * ms, "{name}: {by_module}");
    assert!(times.iter().all(|t| t.device == Device::Gpu));
    assert!(
        times
            .iter()
            .any(|t| matches!(t.site, RowSite::Reformat { .. }))
    );
}

#[test]
fn layer_times_of_recorded_engines_find_their_modules() {
    attributed("detector", DETECTOR_FP16, 0.721, 98, 13);
    attributed("mobilenet_v2", MOBILENET_INT8, 0.309, 57, 1);
}

/// TensorRT 8.6 writes a raw record separator into its JSON. Ops on the GPU and folded ops are all
/// ops, and no layer's name or metadata holds the name of a folded one.
#[test]
fn layers_of_tensorrt_8_6_are_read() {
    for (name, recorded) in [
        ("resnet18", RESNET_FP16_8_6),
        ("resnet18", RESNET_INT8_8_6),
        ("mobilenet_v2", MOBILENET_FP16_8_6),
    ] {
        let model = load_bundled(name).unwrap();
        let recorded: serde_json::Value = serde_json::from_str(recorded).unwrap();
        let inspector = recorded["inspector"].as_str().unwrap();
        assert!(inspector.contains('\u{1e}'));
        let layers = engine_layers(inspector);
        assert!(layers.len() > 20, "{name}: {}", layers.len());
        let gpu = Placement::default().resolve(&model).unwrap().devices();
        let map = LayerMap::new(&model, &[]).with_engine(&layers);
        let found = actual(&map, &layers, &gpu, &PlacementLog::default(), &[]);
        let folded = found.ops.iter().filter(|o| o.device.is_none());
        let folded: Vec<&str> = folded.map(|o| o.op.as_str()).collect();
        let on_gpu = found.ops.iter().filter(|o| o.device == Some(Device::Gpu));
        assert_eq!(on_gpu.count() + folded.len(), model.ops.len());
        assert!(folded.len() <= 1, "{name}: {folded:?}");
        for op in folded {
            assert!(!inspector.contains(op), "{name}: {op}");
        }
    }
}

#[test]
fn a_worker_says_hello() {
    let Event::Hello {
        environment,
        unavailable,
    } = decode(HELLO.trim()).unwrap()
    else {
        panic!("{HELLO}");
    };
    assert!(unavailable.is_empty());
    assert_eq!(environment.tensorrt.as_deref(), Some("8.5.2"));
    assert_eq!(environment.dla_cores, Some(0));
    assert_eq!(environment.compute_capability.as_deref(), Some("9.0"));
}

#[test]
fn trtexec_logs() {
    let report = parse_report(TRTEXEC);
    let summary = report.summary.unwrap();
    assert_eq!((report.passed, summary.qps), (Some(true), 1920.72));
    assert_eq!(summary.gpu_median_ms, Some(0.515_137));
    assert_eq!(summary.percentiles.len(), 3);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let failed = parse_report(TRTEXEC_FAILED);
    assert_eq!((failed.passed, failed.summary), (Some(false), None));
    assert_eq!(failed.errors.len(), 6);
    // A GPU's logs put nothing onto the DLA and refuse nothing.
    let mut placement = PlacementLog::default();
    for line in TRTEXEC.lines().chain(TRTEXEC_FAILED.lines()) {
        parse_placement(line, &mut placement);
        assert_eq!(LogLine::new(dlaplan::engine::Level::Info, line).text, line);
    }
    assert!(placement.dla.is_empty() && placement.refusals.is_empty());
}
