//! Every reader of files and messages from elsewhere, with inputs that it takes. Tests and fuzzing
//! damage the inputs; a reader may refuse what it gets, but neither panic nor hold a value that
//! contradicts itself.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use dlaplan::chart;
use dlaplan::engine::environment::{place, read_under, target};
use dlaplan::engine::protocol::{self, Event, Report, decode, encode};
use dlaplan::engine::reading::{
    EngineLayer, LayerMap, actual, engine_layers, layer_times, members,
};
use dlaplan::engine::reading::{parse_profile, parse_report};
use dlaplan::engine::remote::board::Survey;
use dlaplan::engine::remote::ssh::Host;
use dlaplan::engine::tensorrt::calibrate::{self, Input};
use dlaplan::engine::{
    Environment, Measurement, ModelRef, Outcome, Request, Run, Telemetry, parse_size,
};
use dlaplan::estimate::Estimator;
use dlaplan::estimate::board::BoardFile;
use dlaplan::export::{Document, Format};
use dlaplan::history::ReferenceSet;
use dlaplan::model::onnx::{LoadOptions, load_bundled, load_bytes, survey_networks};
use dlaplan::model::{Model, ModuleId};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::Planner;
use dlaplan::platform::Target;
use dlaplan::tasks::survey::SurveyFile;

#[path = "measurement.rs"]
pub mod measured;
use measured::measurement;

/// One of them.
pub struct Reader {
    /// For messages and folders.
    pub name: &'static str,
    /// Reads an input, and checks what was made of it.
    pub read: fn(&[u8]),
    /// Inputs that it takes.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! readers {
    ($($name:ident, $seeds:expr;)*) => {
        pub const READERS: &[Reader] = &[$(Reader {
            name: stringify!($name),
            read: $name,
            seeds: $seeds,
        }),*];
    };
}

readers! {
    onnx, || files("tests/data/onnx", "onnx", 3000);
    placement, || vec![document().to_json().into_bytes()];
    events, events_said;
    commands, commands_said;
    trtexec_log, || {
        let logs = ["tests/data/tensorrt_8.5.2", "tests/data/dla_reports"];
        logs.iter().flat_map(|folder| files(folder, "log", 8000)).collect()
    };
    trtexec_profile, || vec![PROFILE.to_vec()];
    layers, || {
        let whole = file("tests/data/tensorrt_8.5.2_resnet18_fp16_layers.json");
        vec![whole, LAYERS.to_vec(), file("tests/data/dla_reports/h3_layers.json")]
    };
    calibration_file, || vec![file("assets/calibration/boards/xavier-nx.json")];
    references, || files("assets/references", "json", 10_000);
    npy, || vec![array("<f4", "(2, 3)", &[0; 24]), array("|u1", "(6,)", &[7; 6])];
    npz, || vec![archive()];
    nvpmodel, || vec![NVPMODEL.to_vec()];
    survey, || vec![SURVEY.to_vec()];
    survey_file, survey_files;
    words, || vec![
        b"xavier-nx@15W:8.5".to_vec(),
        b"user@jetson.local:2222".to_vec(),
        b"int8+fp16".to_vec(),
        b"1.5GiB".to_vec(),
        b"net.placement.json".to_vec(),
    ];
}

const PROFILE: &[u8] = br#"[{ "count" : 100 },
{ "name" : "/conv1/Conv + /relu/Relu", "timeMs" : 12.3, "averageMs" : 0.123, "medianMs" : 0.12, "percentage" : 60 },
{ "name" : "{ForeignNode[/layer1/layer1.0/conv1/Conv.../layer1/layer1.1/relu_1/Relu]}", "timeMs" : 8.1, "averageMs" : 0.081, "percentage" : 40 }]"#;

const LAYERS: &[u8] = br#"{"Layers": ["/conv1/Conv + /relu/Relu", "{ForeignNode[/layer1/layer1.0/conv1/Conv.../layer2/layer2.0/relu/Relu]}",
{"Name": "/fc/Gemm", "LayerType": "gemm", "Outputs": [{"Name": "logits"}], "Metadata": "[ONNX Layer: /fc/Gemm]"}], "Bindings": ["images", "logits"]}"#;

const NVPMODEL: &[u8] = b"< PARAM TYPE=FILE NAME=GPU >\nMAX_FREQ /sys/devices/gpu/max_freq\n< PARAM TYPE=CLOCK NAME=DLA >\n\
MAX_FREQ dla0\n< POWER_MODEL ID=0 NAME=15W >\nGPU MAX_FREQ 1109250000\n< POWER_MODEL ID=2 NAME=10W >\nGPU MAX_FREQ 803250000\n\
< PM_CONFIG DEFAULT=2 >\n";

const SURVEY: &[u8] = b"\n=dlaplan= arch\naarch64\n=dlaplan= glibc\nglibc 2.31\n=dlaplan= jetpack\n5.1.1\n=dlaplan= nvinfer\n\
/usr/lib/aarch64-linux-gnu/libnvinfer.so.8.5.2\n=dlaplan= dla\n/dev/nvhost-nvdla0\n=dlaplan= disk\n/dev/root 100 50 50000 50% /\n\
=dlaplan= file /proc/device-tree/model\nNVIDIA Jetson Xavier NX Developer Kit\n=dlaplan= deployed\nabc /home/user/dlaplan\n=dlaplan= end\n";

fn root() -> &'static Path {
    // The fuzzed program lies in a folder of its own.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match here.parent() {
        Some(above) if here.ends_with("fuzz") => above,
        _ => here,
    }
}

fn file(path: &str) -> Vec<u8> {
    std::fs::read(root().join(path)).unwrap()
}

/// Files of a folder with an ending, up to a length.
fn files(folder: &str, ending: &str, most: u64) -> Vec<Vec<u8>> {
    let all = std::fs::read_dir(root().join(folder)).unwrap();
    let mut all: Vec<PathBuf> = all.map(|e| e.unwrap().path()).collect();
    all.retain(|p| {
        p.extension().is_some_and(|e| e == ending) && p.metadata().unwrap().len() <= most
    });
    all.sort();
    assert!(!all.is_empty(), "{folder}");
    all.iter().map(|p| std::fs::read(p).unwrap()).collect()
}

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| load_bundled("resnet18").unwrap())
}

fn planner() -> &'static Planner<'static> {
    static PLANNER: OnceLock<Planner<'_>> = OnceLock::new();
    PLANNER.get_or_init(|| Planner::new(model(), &Target::default(), &EngineConfig::default()))
}

/// A folder of this process for readers that take a path.
fn scratch() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

fn put(path: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let written = std::fs::File::create(&path);
    written
        .and_then(|mut f| std::io::Write::write_all(&mut f, bytes))
        .unwrap();
    path
}

fn on_layer1() -> Placement {
    Placement::all(Device::Gpu).with_module("layer1", Device::Dla)
}

fn model_ref() -> ModelRef {
    ModelRef {
        name: "resnet18".into(),
        structure_hash: "00".into(),
        timing_only: true,
    }
}

fn figures() -> Measurement {
    measurement(vec![100.0, 101.0], vec![9.9, 10.0], "test")
}

fn document() -> Document {
    let config = EngineConfig::default();
    let mut document = Document::of(model(), &Target::default(), &config, &on_layer1());
    document.inputs.insert("images".into(), vec![1, 3, 64, 64]);
    document
}

fn onnx(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let Ok(model) = load_bytes("fuzz.onnx", &data, &LoadOptions::default()) else {
        return;
    };
    for id in model.op_ids() {
        let op = model.op(id);
        assert!(model.producers(id).all(|p| p < id));
        assert!(model.modules.get(op.module).ops.contains(&id));
        assert_eq!(model.find_op(&op.name), Some(id));
    }
    let all = model.modules.subtree_ops(ModuleId::ROOT);
    assert!(all.into_iter().eq(model.op_ids()));
}

fn placement(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(read) = Document::parse(&text, Path::new("p.json")) else {
        return;
    };
    let again = Document::parse(&read.to_json(), Path::new("p.json")).unwrap();
    assert_eq!(again, read);
    if let Ok(resolved) = read.placement.resolve(model()) {
        let plan = planner().plan_resolved(&read.placement, &resolved);
        assert_eq!(plan.requested.len(), model().ops.len());
    }
}

/// Lines, each a message or refused.
fn lines(data: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(data).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.into_iter()
}

fn events(data: &[u8]) {
    for line in lines(data) {
        let Ok(event) = decode::<Event>(&line) else {
            continue;
        };
        if let Event::Measured { report } = &event {
            // Said or not, but without a panic.
            drop(report.implausible());
        }
        if let Event::Hello { environment, .. } = &event {
            machine(environment);
        }
        assert_eq!(decode::<Event>(&encode(event.clone())).unwrap(), event);
    }
}

fn events_said() -> Vec<Vec<u8>> {
    vec![
        file("tests/data/tensorrt_8.5.2/hello.json"),
        encode(Event::Ready).into_bytes(),
        encode(Event::Warning { text: "hot".into() }).into_bytes(),
        encode(Event::Measured {
            report: Box::new(Report {
                model: model_ref(),
                measurement: figures(),
                beats: vec![(1, 2), (3, 4)],
                timed: Vec::new(),
            }),
        })
        .into_bytes(),
    ]
}

fn commands(data: &[u8]) {
    for line in lines(data) {
        let Ok(command) = decode::<protocol::Command>(&line) else {
            continue;
        };
        if let protocol::Command::Build { request }
        | protocol::Command::Ask { request }
        | protocol::Command::Profile { request, .. } = &command
        {
            drop(request.check());
        }
        let again = decode::<protocol::Command>(&encode(command.clone()));
        assert_eq!(again.unwrap(), command);
    }
}

fn commands_said() -> Vec<Vec<u8>> {
    let request = Request::new("net.onnx".into(), on_layer1(), EngineConfig::default());
    let request = Box::new(request);
    let all = [
        protocol::Command::Build {
            request: request.clone(),
        },
        protocol::Command::Ask {
            request: request.clone(),
        },
        protocol::Command::Profile {
            request,
            barrier: true,
        },
        protocol::Command::Receive {
            entries: vec![protocol::Entry {
                name: "net.onnx".into(),
                bytes: 10,
                blake3: "00".repeat(32),
            }],
        },
        protocol::Command::Go,
        protocol::Command::Cancel,
    ];
    all.into_iter().map(|c| encode(c).into_bytes()).collect()
}

/// Where the files say that ops run: every op once, in order, and no block of ops that are none.
fn attributed(
    layers: &[EngineLayer],
    log: &dlaplan::engine::reading::PlacementLog,
    rows: &[(String, Vec<f64>)],
) {
    let requested = on_layer1().resolve(model()).unwrap().devices();
    let map = LayerMap::new(model(), &[]).with_engine(layers);
    let built = actual(&map, layers, &requested, log, &[]);
    assert!(
        built
            .ops
            .iter()
            .map(|o| &*o.op)
            .eq(model().ops.iter().map(|o| &*o.name))
    );
    for (block, _) in &built.subgraphs {
        assert!(members(&map, block, &built).len() <= model().ops.len());
    }
    let (times, share) = layer_times(&map, layers, &built, rows);
    assert!(times.len() <= rows.len());
    assert!(share.attributed_ms <= share.total_ms * (1.0 + 1e-9) || !share.total_ms.is_finite());
}

fn trtexec_log(data: &[u8]) {
    let report = parse_report(&String::from_utf8_lossy(data));
    attributed(&[], &report.placement, &[]);
}

fn trtexec_profile(data: &[u8]) {
    let Ok((rows, _)) = parse_profile(&String::from_utf8_lossy(data)) else {
        return;
    };
    let layers: Vec<EngineLayer> = rows
        .iter()
        .map(|r| EngineLayer {
            name: r.name.clone(),
            ..EngineLayer::default()
        })
        .collect();
    let rows: Vec<(String, Vec<f64>)> = rows
        .into_iter()
        .map(|r| (r.name, vec![r.mean_ms]))
        .collect();
    attributed(&layers, &parse_report("").placement, &rows);
}

fn layers(data: &[u8]) {
    let layers = engine_layers(&String::from_utf8_lossy(data));
    attributed(&layers, &parse_report("").placement, &[]);
}

fn calibration_file(data: &[u8]) {
    let Ok(file) = BoardFile::parse(&String::from_utf8_lossy(data), "xavier-nx") else {
        return;
    };
    let plan = planner().plan_placement(&on_layer1()).unwrap();
    let estimate = Estimator::with_board(planner(), &file).estimate(&plan);
    if let Some(fps) = estimate.fps.value() {
        assert!(fps.is_finite() && fps >= 0.0, "{fps} FPS");
    }
}

fn references(data: &[u8]) {
    let Ok(set) = ReferenceSet::parse("r.json", &String::from_utf8_lossy(data)) else {
        return;
    };
    let told = set.told();
    let points = chart::references(&[set], model(), &Target::default());
    assert!(
        points
            .iter()
            .all(|p| p.fps.value().is_none_or(|v| v.is_finite() && v > 0.0)),
        "{told}"
    );
}

/// An array as numpy saves it.
fn array(dtype: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// An archive of one array, as numpy saves it without compression.
fn archive() -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("images.npy", stored).unwrap();
    zip.write_all(&array("<f4", "(2, 3)", &[0; 24])).unwrap();
    zip.finish().unwrap().into_inner()
}

fn batches(path: &Path) {
    let input = Input {
        name: "images".into(),
        elements: 3,
    };
    if let Ok(values) = calibrate::read(path, &[&input]) {
        assert!(values.iter().all(|v| !v.is_empty() && v.len() % 3 == 0));
    }
}

fn npy(data: &[u8]) {
    batches(&put("batch.npy", data));
}

fn npz(data: &[u8]) {
    batches(&put("batch.npz", data));
}

/// What is concluded from a machine's own words.
fn machine(environment: &Environment) {
    let known = target(environment);
    assert!(place(environment).is_err() || known.is_some());
    assert!(!environment.summary().contains('\n'));
}

fn nvpmodel(data: &[u8]) {
    put("root/var/lib/nvpmodel/status", b"pmode:0002\n");
    put("root/etc/nvpmodel.conf", data);
    machine(&read_under(&scratch().join("root")));
}

fn survey(data: &[u8]) {
    let survey = Survey::parse(data);
    let host: Host = "user@board".parse().unwrap();
    assert!(survey.lacks(&host).iter().all(|l| !l.what.is_empty()));
    drop(survey.tensorrt());
    machine(&survey.environment);
}

fn survey_file(data: &[u8]) {
    let path = put("board.survey.json", data);
    let Ok(file) = SurveyFile::read(&path) else {
        return;
    };
    machine(&file.machine);
    assert!(!file.provenance().is_empty());
    let text = serde_json::to_string(&file).unwrap();
    put("again.survey.json", text.as_bytes());
    let again = SurveyFile::read(&scratch().join("again.survey.json")).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

fn survey_files() -> Vec<Vec<u8>> {
    let network = format!("bundled:{}", survey_networks()[0].name);
    let run = Run {
        schema: Run::SCHEMA,
        started_ms: 1,
        wall_s: 10.0,
        model: model_ref(),
        request: Request::new(network.into(), on_layer1(), EngineConfig::default()),
        environment: Environment::default(),
        deployment: None,
        comparison: None,
        outcome: Outcome::Finished(Box::new(figures())),
        log: Vec::new(),
        marks: Vec::new(),
        telemetry: Telemetry::default(),
    };
    let file = SurveyFile::new(&Environment::default(), None, &[run]);
    vec![serde_json::to_vec(&file).unwrap()]
}

fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(target) = Target::parse(&text) {
        assert_eq!(Target::parse(&target.id()), Ok(target));
    }
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host.to_string().parse::<Host>().unwrap(), host);
        assert!(!host.to_string().starts_with('-'));
    }
    if let Ok(precision) = text.parse::<Precision>() {
        assert_eq!(precision.to_string().parse::<Precision>(), Ok(precision));
    }
    drop(parse_size(&text));
    drop(Format::of_file(Path::new(&*text)));
}
