//! Window budgets: CPU time of a frame with 100,000 rows, a click to the new plan on 10,000 ops,
//! start to the first frame. `cargo bench --bench frame`; the last needs a display (Xvfb serves).
#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dlaplan::gui::Options;
use dlaplan::gui::{Command, Env, Node, Picker, Purpose, State, install_theme};
use dlaplan::gui::{draw, run_with};
use dlaplan::model::{
    Conv, DType, Dim, Exporter, Model, ModelInput, ModelParts, ModuleTreeBuilder, Op, OpCost, OpId,
    OpKind, Source, Tensor, TensorId, TensorRole,
};

struct NoDialogs;

impl Picker for NoDialogs {
    fn available(&self) -> bool {
        false
    }

    fn pick(&self, _: &Purpose, _: Option<&Path>, _: &str) -> Option<PathBuf> {
        None
    }
}

/// A chain of convolutions, fifty to a block, a leaf module each.
fn chain(ops: u32) -> Model {
    let mut tree = ModuleTreeBuilder::default();
    let mut drafts = Vec::new();
    let tensor = |i: u32| Tensor {
        name: format!("t{i}").into(),
        dtype: DType::F32,
        shape: Some(vec![1, 64, 56, 56]),
        role: if i == 0 {
            TensorRole::Input
        } else {
            TensorRole::Activation
        },
        producer: i.checked_sub(1).map(OpId),
        consumers: (i < ops).then_some(OpId(i)).into_iter().collect(),
        is_output: i == ops,
    };
    let conv = Conv {
        kernel: vec![3, 3],
        stride: vec![1, 1],
        pads: vec![1, 1, 1, 1],
        dilation: vec![1, 1],
        groups: 1,
        in_channels: 64,
        out_channels: 64,
        output_padding: vec![],
        const_weights: true,
    };
    for i in 0..ops {
        let draft = tree.module(&format!("stage{}.block{}.conv{i}", i / 2500, i / 50));
        tree.set_class(draft, "Conv2d");
        tree.add_op(draft, OpId(i));
        drafts.push(draft);
    }
    let (modules, ids) = tree.finish();
    let elems = 64 * 56 * 56;
    let ops: Vec<Op> = (0..ops)
        .map(|i| Op {
            name: format!("/stage/conv{i}/Conv").into(),
            op_type: "Conv".into(),
            domain: "".into(),
            kind: OpKind::Conv(conv.clone()),
            module: ids[drafts[i as usize]],
            inputs: vec![TensorId(i)],
            weights: vec![],
            outputs: vec![TensorId(i + 1)],
            cost: Some(OpCost {
                macs: elems * 64 * 9,
                weight_elems: 64 * 64 * 9,
                in_elems: elems,
                out_elems: elems,
            }),
            folded: vec![],
            weight_copies: 0,
            shared_name: None,
        })
        .collect();
    Model::from(ModelParts {
        name: format!("chain of {}", ops.len()),
        source: Source {
            path: "bench".into(),
            producer: "bench".into(),
            exporter: Exporter::Foreign,
            opset: 17,
            file_bytes: 0,
            structure_hash: format!("chain{}", ops.len()),
            structure_only: true,
        },
        tensors: (0..=ops.len() as u32).map(tensor).collect(),
        inputs: vec![ModelInput {
            tensor: TensorId(0),
            declared: [1, 64, 56, 56].map(Dim::Fixed).to_vec(),
        }],
        outputs: vec![TensorId(ops.len() as u32)],
        ops,
        modules,
        notes: vec![],
        file_ops: Vec::new(),
    })
}

fn state(data: &Path, model: Option<Model>) -> State {
    let mut state = State::new(
        Options::default(),
        Env {
            data_dir: data.to_owned(),
            wake: Arc::new(|| {}),
            picker: Arc::new(NoDialogs),
            patience: Duration::from_mins(1),
            worker: None,
        },
    );
    settle(&mut state);
    if let Some(model) = model {
        state.install(model, "bench".into(), std::collections::BTreeMap::new());
        settle(&mut state);
    }
    state
}

fn settle(state: &mut State) {
    loop {
        state.refresh();
        if state.jobs.running().is_empty() && state.fresh().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn median(mut samples: Vec<Duration>) -> (Duration, Duration) {
    samples.sort_unstable();
    (
        samples[samples.len() / 2],
        samples[samples.len() * 99 / 100],
    )
}

fn report(what: &str, budget: &str, samples: Vec<Duration>) {
    let (mid, high) = median(samples);
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    println!("{what:<58} {:>9.3} {:>9.3}   {budget}", ms(mid), ms(high));
}

fn frames(state: &mut State, scroll: f32) -> Vec<Duration> {
    let ctx = egui::Context::default();
    install_theme(&ctx, false);
    let mut samples = Vec::new();
    for i in 0..400 {
        let mut input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(
                egui::Pos2::ZERO,
                egui::vec2(1920.0, 1080.0),
            )),
            time: Some(f64::from(i) / 60.0),
            ..Default::default()
        };
        input
            .events
            .push(egui::Event::PointerMoved(egui::pos2(200.0, 500.0)));
        if scroll != 0.0 {
            input.events.push(egui::Event::MouseWheel {
                unit: egui::MouseWheelUnit::Point,
                source: egui::MouseWheelSource::Wheel,
                delta: egui::vec2(0.0, -scroll),
                phase: egui::TouchPhase::Move,
                modifiers: egui::Modifiers::NONE,
            });
        }
        let begun = Instant::now();
        let output = ctx.run_ui(input, |ui| draw(ui, state));
        let shapes = ctx.tessellate(output.shapes, output.pixels_per_point);
        std::hint::black_box(shapes.len());
        if i >= 50 {
            samples.push(begun.elapsed());
        }
    }
    samples
}

fn clicks(state: &mut State, node: Node) -> Vec<Duration> {
    (0..60)
        .map(|_| {
            let begun = Instant::now();
            state.apply(Command::Cycle(node));
            settle(state);
            begun.elapsed()
        })
        .collect()
}

fn nanos() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

/// Runs as a child: opens the window and says when the first frame with the plan is on screen.
fn child(begun: u128) {
    let mut drawn = 0;
    // This program is no worker.
    run_with(Options::default(), None, move |state| {
        drawn += 1;
        // The second call comes after the first frame was shown.
        if drawn == 2 {
            println!("{}", nanos() - begun);
            state.quit = true;
        }
    })
    .unwrap();
}

fn starts() -> Vec<Duration> {
    (0..7)
        .map(|_| {
            let data = tempfile::tempdir().unwrap();
            let output = Process::new(std::env::current_exe().unwrap())
                .args(["--child", &nanos().to_string()])
                .env("DLAPLAN_DATA_DIR", data.path())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            Duration::from_nanos(text.trim().parse().unwrap())
        })
        .collect()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, begun, ..] = &args[..]
        && flag == "--child"
    {
        child(begun.parse().unwrap());
        return;
    }
    println!("{:<58} {:>9} {:>9}   budget", "", "median ms", "p99 ms");
    let data = tempfile::tempdir().unwrap();

    let mut big = state(data.path(), Some(chain(100_000)));
    big.apply(Command::ExpandAll);
    settle(&mut big);
    let rows = big.view.rows.len();
    report(
        &format!("frame, {rows} rows, still"),
        "4 ms CPU",
        frames(&mut big, 0.0),
    );
    report(
        &format!("frame, {rows} rows, scrolling"),
        "4 ms CPU",
        frames(&mut big, 400.0),
    );
    drop(big);

    let mut middle = state(data.path(), Some(chain(10_000)));
    middle.apply(Command::ExpandAll);
    settle(&mut middle);
    let stage = middle
        .open
        .as_ref()
        .unwrap()
        .model
        .modules
        .find("stage1")
        .unwrap();
    let what = "click to new plan, estimate and tree, 10,000 ops";
    report(what, "16 ms", clicks(&mut middle, Node::Module(stage)));
    drop(middle);

    let mut small = state(data.path(), None);
    let layer = small
        .open
        .as_ref()
        .unwrap()
        .model
        .modules
        .find("layer2")
        .unwrap();
    let what = "click to new plan, estimate and tree, ResNet-18";
    report(what, "0.2 ms", clicks(&mut small, Node::Module(layer)));
    drop(small);

    if std::env::var_os("DISPLAY").is_some() || std::env::var_os("WAYLAND_DISPLAY").is_some() {
        report("start to first frame", "500 ms", starts());
    } else {
        println!("start to first frame: no display; run it under xvfb-run");
    }
}
