//! Time and peak memory to open a model, beside Python's `onnx.load` and `infer_shapes` in the
//! same run: `scripts/corpus.sh --bench && cargo bench --bench open`. Further files can be given
//! after `--`. Every row is a process of its own, five times; the median time and the highest peak
//! are shown. The files are in the page cache after the first.

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::unwrap_used, reason = "a failed benchmark should stop")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use dlaplan::model::onnx::{LoadOptions, load};

const REPEATS: usize = 5;

const PYTHON: &str = r"
import resource, sys, time
import onnx
start = time.perf_counter()
try:
    model = onnx.load(sys.argv[1])
except Exception:
    # Structure only: the weights' file does not exist.
    model = onnx.load(sys.argv[1], load_external_data=False)
try:
    onnx.shape_inference.infer_shapes(model)
except ValueError as e:
    # Above 2 GiB protobuf cannot serialise: loading alone is counted.
    print(e, file=sys.stderr)
seconds = time.perf_counter() - start
print(seconds * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
";

/// Milliseconds and MiB of one run.
struct Sample {
    ms: f64,
    mib: f64,
}

fn child(path: &Path) {
    let start = Instant::now();
    let model = load(path, &LoadOptions::default()).unwrap();
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: f64 = peak.trim().trim_end_matches("kB").trim().parse().unwrap();
    println!("{ms} {} {}", kib / 1024.0, model.ops.len());
}

fn run(command: impl Fn() -> Command) -> Option<(Sample, Vec<String>)> {
    let mut times = Vec::new();
    let mut peak = 0f64;
    let mut words = Vec::new();
    for _ in 0..REPEATS {
        let output = command().output().ok()?;
        if !output.status.success() {
            return None;
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        words = text.split_whitespace().map(str::to_owned).collect();
        times.push(words.first()?.parse::<f64>().ok()?);
        peak = peak.max(words.get(1)?.parse().ok()?);
    }
    times.sort_by(f64::total_cmp);
    let sample = Sample {
        ms: times[REPEATS / 2],
        mib: peak,
    };
    Some((sample, words))
}

fn python() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join(".corpus/python");
    [corpus, "python3".into()].into_iter().find(|p| {
        let import = Command::new(p).args(["-c", "import onnx"]).output();
        import.is_ok_and(|o| o.status.success())
    })
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if let [flag, path] = &args[..]
        && flag == "--child"
    {
        return child(Path::new(path));
    }
    let mut files: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
    if files.is_empty() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join(".corpus");
        let bench = corpus.join("bench").read_dir().into_iter().flatten();
        files = bench.map(|e| e.unwrap().path()).collect();
        files.push(corpus.join("torchvision/swin_t.torchscript.onnx"));
        files.push(corpus.join("torchvision/resnet18.dynamo.onnx"));
        files.retain(|f| f.extension().is_some_and(|e| e == "onnx") && f.exists());
        files.sort();
    }
    if files.is_empty() {
        println!("no files: run scripts/corpus.sh --bench");
        return;
    }
    let python = python();
    if python.is_none() {
        println!("no Python with the package onnx: its columns stay empty");
    }
    println!(
        "{:<28} {:>8} {:>6} {:>10} {:>9} {:>12} {:>9} {:>8} {:>8}",
        "file", "size MB", "ops", "open ms", "peak MiB", "Python ms", "MiB", "faster", "lighter"
    );
    let me = std::env::current_exe().unwrap();
    for file in files {
        let size = file.metadata().unwrap().len() as f64 / 1e6;
        let (ours, words) = run(|| {
            let mut c = Command::new(&me);
            c.arg("--child").arg(&file);
            c
        })
        .unwrap();
        let theirs = python.as_ref().and_then(|p| {
            run(|| {
                let mut c = Command::new(p);
                c.args(["-c", PYTHON]).arg(&file);
                c
            })
        });
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        print!(
            "{name:<28} {size:>8.1} {:>6} {:>10.2} {:>9.1}",
            words[2], ours.ms, ours.mib
        );
        match theirs {
            Some((t, _)) => println!(
                " {:>12.0} {:>9.0} {:>7.0}x {:>7.1}x",
                t.ms,
                t.mib,
                t.ms / ours.ms,
                t.mib / ours.mib
            ),
            None => println!(),
        }
    }
}
