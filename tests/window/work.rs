//! Files, errors, and work that must outlive the window.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::open_dims::symbolic_model;
use crate::window::{NoDialogs, Window, again, open, open_on, two_windows, window};
use dlaplan::chart::Mark;
use dlaplan::export::Format;
use dlaplan::gui::{Command, Dialog, MadeAt, Options};
use dlaplan::placement::{Device, Placement, Precision};
use dlaplan::platform::{Target, TensorRt};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;

fn on_layer1() -> Placement {
    Placement::all(Device::Gpu).with_module("layer1", Device::Dla)
}

#[test]
fn a_crash_loses_nothing() {
    let mut w = window();
    w.click("GPU layer1");
    w.state_mut().apply(Command::Precision(Precision::INT8));
    w.settle();
    let data = Arc::clone(&w.data);
    // Dropped, not closed: what a crash leaves behind.
    drop(w);
    let w = again(&data);
    assert_eq!(w.state().doc.placement(), &on_layer1());
    assert_eq!(w.state().config().precision, Precision::INT8);
    assert!(w.query_by_label("Your work was restored").is_some());
}

#[test]
fn undo_brings_the_engine_config_back_with_the_placement() {
    let mut w = window();
    w.click("GPU layer1");
    let loads = w.state().points.chart.points.clone();
    let int8 = loads
        .iter()
        .find(|p| p.label == "resnet18_int8_gpu" && p.deployment.is_none());
    let (placement, config) = int8.unwrap().load.clone().unwrap();
    w.state_mut()
        .apply(Command::Load("resnet18_int8_gpu".into(), placement, config));
    for batch in [2, 4] {
        w.state_mut().apply(Command::Batch(batch));
    }
    let now = |w: &Window<'_>| {
        let s = w.state();
        (
            s.doc.placement().clone(),
            s.config().precision,
            s.config().batch,
        )
    };
    assert_eq!(now(&w), (Placement::default(), Precision::INT8, 4));
    // Typing a batch is one step; so is loading a point, whatever it changes.
    for step in [
        (Placement::default(), Precision::INT8, 1),
        (on_layer1(), Precision::FP16, 1),
        (Placement::default(), Precision::FP16, 1),
    ] {
        w.state_mut().apply(Command::Undo);
        assert_eq!(now(&w), step);
    }
    for _ in 0..3 {
        w.state_mut().apply(Command::Redo);
    }
    assert_eq!(now(&w), (Placement::default(), Precision::INT8, 4));
}

#[test]
fn a_second_crash_loses_nothing_either() {
    let mut w = window();
    w.click("GPU layer1");
    let data = Arc::clone(&w.data);
    drop(w);
    drop(again(&data));
    assert_eq!(again(&data).state().doc.placement(), &on_layer1());
}

#[test]
fn closing_goes_on_where_it_was_without_a_word() {
    let mut w = window();
    w.click("GPU layer1");
    let data = Arc::clone(&w.data);
    w.state_mut().store.close();
    drop(w);
    let w = again(&data);
    assert_eq!(w.state().doc.placement(), &on_layer1());
    assert!(w.query_by_label("Your work was restored").is_none());
}

#[test]
fn a_window_beside_another_takes_nothing_from_it() {
    let mut first = window();
    first.click("GPU layer1");
    let data = Arc::clone(&first.data);
    let second = again(&data);
    assert_eq!(second.state().doc.placement(), &Placement::default());
    drop(second);
    first.click("GPU layer2");
    assert_eq!(first.state().doc.placement().overrides.len(), 2);
}

#[test]
fn damaged_and_newer_sessions_are_left_alone() {
    for text in ["{", "{\"version\": 99}", ""] {
        let data = Arc::new(tempfile::tempdir().unwrap());
        std::fs::File::create(data.path().join("last.json"))
            .and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()))
            .unwrap();
        let w = again(&data);
        assert_eq!(w.state().doc.placement(), &Placement::default(), "{text:?}");
        assert!(w.state().open.is_some());
    }
}

#[test]
fn another_model_and_back_keeps_the_placement() {
    let mut w = window();
    w.click("GPU layer1");
    w.state_mut()
        .apply(Command::OpenPath("bundled:mobilenet_v2".into()));
    w.settle();
    assert_eq!(w.state().doc.placement(), &Placement::default());
    w.state_mut()
        .apply(Command::OpenPath("bundled:resnet18".into()));
    w.settle();
    assert_eq!(w.state().doc.placement(), &on_layer1());
}

#[test]
fn a_file_that_is_no_model_is_a_card() {
    let mut w = window();
    let file = w.data.path().join("broken.onnx");
    std::fs::File::create(&file)
        .and_then(|mut f| std::io::Write::write_all(&mut f, b"\x08\x07not a model"))
        .unwrap();
    w.state_mut().apply(Command::OpenPath(file.clone()));
    w.settle();
    assert!(w.query_by_label("broken.onnx cannot be opened").is_some());
    let path = file.display().to_string();
    assert!(w.query_by_label_contains(&path).is_some(), "names the file");
    assert_eq!(
        w.state().open.as_ref().unwrap().model.name,
        "resnet18",
        "the model stays"
    );
    w.click("Dismiss broken.onnx cannot be opened");
    assert!(w.query_by_label("broken.onnx cannot be opened").is_none());
    assert_eq!(w.state().messages.all().len(), 1, "the list keeps it");
    // Asked again, the field begins where that file is. Another model takes the card away.
    w.state_mut().apply(Command::OpenPath(file.clone()));
    w.settle();
    w.state_mut().apply(Command::OpenModel);
    w.settle();
    let folder = format!("{}/", w.data.path().display());
    assert!(matches!(&w.state().dialog, Some(Dialog::Path { text, .. }) if *text == folder));
    w.state_mut().apply(Command::CloseDialog);
    assert_eq!(w.state().messages.cards().count(), 1);
    w.state_mut()
        .apply(Command::OpenPath("bundled:mobilenet_v2".into()));
    w.settle();
    assert_eq!(w.state().messages.cards().count(), 0);
}

#[test]
fn an_op_that_nobody_knows_is_a_hazard_in_sight() {
    let mut w = window();
    let bytes = dlaplan::model::onnx::bundled()[0].bytes().to_vec();
    let mut unknown = bytes.clone();
    // The type of each Relu, as its field is written.
    for at in 0..unknown.len() - 6 {
        if unknown[at..at + 6] == *b"\x22\x04Relu" {
            unknown[at + 5] = b'y';
        }
    }
    assert_ne!(bytes, unknown);
    let file = w.data.path().join("unknown.onnx");
    std::fs::File::create(&file)
        .and_then(|mut f| std::io::Write::write_all(&mut f, &unknown))
        .unwrap();
    w.set_size(egui::Vec2::new(1280.0, 720.0));
    w.state_mut().apply(Command::OpenPath(file));
    w.settle();
    assert!(w.query_by_label_contains("No estimate: ").is_some());
    let hazard = w.get_by_label_contains("only a plugin of yours imports Rely");
    assert!(hazard.rect().bottom() < 720.0, "{}", hazard.rect());
}

#[test]
fn a_missing_file_at_the_start_still_gives_a_window() {
    let options = Options {
        model: Some("/nowhere/net.onnx".into()),
        ..Options::default()
    };
    let w = open(options, Arc::new(tempfile::tempdir().unwrap()));
    assert_eq!(w.state().open.as_ref().unwrap().model.name, "resnet18");
    assert!(w.query_by_label("net.onnx cannot be opened").is_some());
}

#[test]
fn without_file_dialogs_there_is_a_path_field() {
    for available in [false, true] {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let mut w = open_on(Options::default(), data, NoDialogs { available });
        w.key(Modifiers::COMMAND, Key::O);
        w.settle();
        assert!(
            matches!(w.state().dialog, Some(Dialog::Path { .. })),
            "{available}"
        );
        w.key(Modifiers::COMMAND, Key::A);
        w.type_into("Path", "/nowhere/at/all.onnx");
        assert!(w.query_by_label("There is no such file").is_some());
        w.click("Cancel");
        assert!(w.state().dialog.is_none());
    }
}

#[test]
fn the_path_field_opens_a_model() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/googlenet.onnx");
    let mut w = window();
    w.key(Modifiers::COMMAND, Key::O);
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Path", model);
    w.click("Open");
    w.settle();
    assert_eq!(w.state().open.as_ref().unwrap().model.name, "googlenet");
    assert_eq!(w.state().recent, [Path::new(model)]);
}

#[derive(Debug)]
struct Dropped(&'static str);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        Path::new(self.0)
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("dlaplan reads the file itself".into())
    }
}

#[test]
fn a_dropped_file_is_opened() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/detector.onnx");
    let mut w = window();
    w.input_mut().dropped_files.push(Arc::new(Dropped(model)));
    w.settle();
    assert_eq!(w.state().open.as_ref().unwrap().model.name, "detector");
}

#[test]
fn settings_outlive_the_window() {
    use dlaplan::gui::ThemeChoice;
    let mut w = window();
    w.state_mut().apply(Command::Theme(ThemeChoice::Light));
    let data = Arc::clone(&w.data);
    drop(w);
    assert_eq!(again(&data).state().theme, ThemeChoice::Light);
}

#[test]
fn a_target_without_dla_says_why() {
    let mut w = window();
    w.state_mut().apply(Command::Board("thor"));
    w.settle();
    w.click("GPU layer1");
    let state = w.state();
    assert_eq!(state.dla_cores(), 0);
    assert!(!state.no_dla_reason().is_empty());
    assert_eq!(state.fresh().unwrap().plan.dla_ops(), 0);
    assert!(
        w.query_by_role_and_label(Role::ComboBox, "DLA core")
            .is_none()
    );
}

#[test]
fn open_dims_are_asked_for() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let file = data.path().join("open.onnx");
    std::fs::File::create(&file)
        .and_then(|mut f| std::io::Write::write_all(&mut f, &symbolic_model()))
        .unwrap();
    let options = Options {
        model: Some(file),
        ..Options::default()
    };
    let mut w = open(options, data);
    assert!(matches!(w.state().dialog, Some(Dialog::Inputs { .. })));
    let why = w.query_all_by_label_contains("give them: “Input dims…” in the window");
    assert!(why.count() > 0);
    w.get_by_role_and_label(Role::TextInput, "Dims of x")
        .focus();
    w.run();
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Dims of x", "2x3x0x8");
    assert!(w.query_by_label("\"0\" is not a positive number").is_some());
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Dims of x", "2x3x16x8");
    w.click("Set");
    w.settle();
    let model = &w.state().open.as_ref().unwrap().model;
    assert!(w.state().dialog.is_none());
    assert_eq!(
        model.tensor(model.inputs[0].tensor).shape.as_deref(),
        Some(&[2, 3, 16, 8][..])
    );
    assert_eq!(w.state().config().batch, 2, "the model's own");
}

#[test]
fn a_placement_brings_the_dims_it_was_made_at() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let write = |name: &str, bytes: &[u8]| {
        let file = data.path().join(name);
        let written = std::fs::File::create(&file);
        written
            .and_then(|mut f| std::io::Write::write_all(&mut f, bytes))
            .unwrap();
        file
    };
    let file = write("open.onnx", &symbolic_model());
    let options = Options {
        model: Some(file),
        ..Options::default()
    };
    let mut w = open(options, Arc::clone(&data));
    let dims = |w: &Window<'_>| {
        let model = &w.state().open.as_ref().unwrap().model;
        model.tensor(model.inputs[0].tensor).shape.clone()
    };
    let set = |dims: &[u64]| {
        let path = data.path().join("open.onnx");
        Command::SetInputs(path, vec![("x".to_owned(), dims.to_vec())])
    };
    w.state_mut().apply(set(&[2, 3, 16, 8]));
    w.settle();
    w.state_mut().apply(Command::All(Device::Dla));
    w.settle();
    let made = data.path().join("made.json");
    w.state_mut()
        .apply(Command::ExportTo(Format::Placement, made.clone()));
    w.settle();

    // Asked for the dims again, the user opens the placement instead of typing them.
    let data = Arc::new(tempfile::tempdir().unwrap());
    let options = Options {
        model: Some(write("again.onnx", &symbolic_model())),
        ..Options::default()
    };
    let mut again = open(options, Arc::clone(&data));
    assert!(matches!(again.state().dialog, Some(Dialog::Inputs { .. })));
    again.state_mut().apply(Command::OpenPath(made.clone()));
    again.settle();
    assert_eq!(dims(&again), Some(vec![2, 3, 16, 8]));
    assert!(again.state().dialog.is_none());
    let all = Placement::all(Device::Dla);
    assert_eq!(again.state().doc.placement(), &all);
    assert_eq!(again.state().config().batch, 2);

    // Of an input that the model does not have, both files are named.
    let text = std::fs::read_to_string(&made).unwrap();
    let other = write("other.json", text.replace("\"x\"", "\"z\"").as_bytes());
    again.state_mut().apply(Command::OpenPath(other.clone()));
    again.settle();
    let label = "other.json does not fit again.onnx";
    assert!(again.query_by_label(label).is_some());
    assert_eq!(dims(&again), Some(vec![2, 3, 16, 8]));

    // As the command line opens it.
    let started = |inputs: &[u64], name: &str| {
        let given = |dims: &[u64]| BTreeMap::from([(name.to_owned(), dims.to_vec())]);
        let said = if inputs.is_empty() {
            BTreeMap::new()
        } else {
            given(inputs)
        };
        let options = Options {
            model: Some(write("cli.onnx", &symbolic_model())),
            inputs: said,
            made_at: Some(MadeAt {
                file: other.clone(),
                inputs: given(&[2, 3, 16, 8]),
                point: None,
            }),
            ..Options::default()
        };
        open(options, Arc::new(tempfile::tempdir().unwrap()))
    };
    let w = started(&[], "x");
    assert_eq!(dims(&w), Some(vec![2, 3, 16, 8]));
    assert!(w.state().dialog.is_none());
    assert_eq!(dims(&started(&[1, 3, 9, 8], "x")), Some(vec![1, 3, 9, 8]));
    let w = started(&[], "z");
    assert!(
        w.query_by_label("other.json does not fit cli.onnx")
            .is_some()
    );
    assert!(matches!(w.state().dialog, Some(Dialog::Inputs { .. })));
}

#[test]
fn a_kept_placement_is_on_the_chart_and_survives_a_crash() {
    let mut w = window();
    w.click("GPU layer1");
    w.key(Modifiers::COMMAND, Key::K);
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Name", "first try");
    w.key(Modifiers::NONE, Key::Enter);
    w.settle();
    let data = Arc::clone(&w.data);
    // The process could die here: the history is on the disk already.
    drop(w);
    let mut w = again(&data);
    w.click("DLA layer1");
    w.click("GPU layer1");
    assert!(w.state().doc.placement().overrides.is_empty());
    assert!(w.query_by_label_contains("first try fp16").is_some());
    w.get_by_label_contains("first try fp16").click();
    w.settle();
    assert_eq!(w.state().doc.placement(), &on_layer1(), "a click loads it");
}

#[test]
fn kept_placements_are_renamed_and_deleted_with_a_way_back() {
    let mut w = window();
    w.state_mut().apply(Command::KeepAs("one".into()));
    w.settle();
    let id = w.state().kept[0].id;
    w.state_mut().apply(Command::RenameKept(id, "two".into()));
    w.settle();
    let names = |w: &Window<'_>| -> Vec<String> {
        w.state().kept.iter().map(|k| k.kept.name.clone()).collect()
    };
    assert_eq!(names(&w), ["two"]);
    let id = w.state().kept[0].id;
    w.state_mut().apply(Command::DeleteKept(id));
    w.settle();
    assert!(names(&w).is_empty());
    // The other one named so is the top bar's.
    let undo = w.get_all_by_role_and_label(Role::Button, "Undo").last();
    undo.unwrap().click();
    w.settle();
    assert_eq!(names(&w), ["two"]);
}

#[test]
fn batches_and_lines_are_told_on_the_chart() {
    let mut w = window();
    w.state_mut().apply(Command::Batch(4));
    w.settle();
    w.key(Modifiers::COMMAND, Key::K);
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Name", "four at once");
    w.key(Modifiers::NONE, Key::Enter);
    w.settle();
    w.get_by_role_and_label(Role::Tab, "FPS against DLA share")
        .click();
    w.settle();
    // One point of batch 4 makes no front.
    assert!(w.query_by_label("Pareto front").is_none());
    w.state_mut().apply(Command::Batch(1));
    w.settle();
    assert!(w.query_by_label("Pareto front").is_some());
    assert!(w.query_by_label("another batch").is_some());
    let kept = "four at once fp16, batch 4";
    assert!(w.query_by_label_contains(kept).is_some());
    w.get_by_role_and_label(Role::Tab, "FPS per placement")
        .click();
    w.settle();
    assert!(w.query_by_label("FP16, BATCH 4").is_some());
    assert!(w.query_by_label("Pareto front").is_none());
    w.get_by_label_contains(kept).click();
    w.settle();
    assert_eq!(w.state().config().batch, 4);
}

#[test]
fn published_figures_are_there_from_the_start() {
    let mut w = window();
    assert!(
        w.query_by_label_contains("resnet18_fp16_gpu_dla12 fp16")
            .is_some()
    );
    w.get_by_label_contains("resnet18_int8_gpu_dla123 int8")
        .scroll_to_me();
    w.settle();
    w.get_by_label_contains("resnet18_int8_gpu_dla123 int8")
        .click();
    w.settle();
    assert_eq!(w.state().config().precision, Precision::INT8);
    assert_eq!(w.state().doc.placement().overrides.len(), 3);
    w.state_mut().apply(Command::Board("agx-orin-64"));
    w.settle();
    assert!(w.state().others.is_empty(), "they speak of another board");
}

#[test]
fn kept_placements_are_estimated_for_the_board_on_screen() {
    let mut w = window();
    w.click("GPU layer1");
    w.state_mut().apply(Command::KeepAs("mine".into()));
    w.settle();
    let fps = |w: &Window<'_>| {
        let chart = &w.state().points.chart;
        let mine = chart.points.iter().find(|p| p.label == "mine").unwrap();
        assert!(!chart.elsewhere(mine));
        mine.fps.value().unwrap()
    };
    let (then, kept) = (fps(&w), w.state().kept[0].kept.fps.clone());
    for board in ["agx-orin-64", "orin-nx-8"] {
        w.state_mut().apply(Command::Board(board));
        w.settle();
        let state = w.state();
        let now = state.fresh().unwrap().estimate.fps.value().unwrap();
        assert!(
            (fps(&w) - now).abs() < 1e-9,
            "the same placement, the same figure"
        );
        assert!((now - then).abs() > 1.0, "another board");
        let chart = &state.points.chart;
        assert!(
            chart.title.ends_with(&state.target.to_string()),
            "{}",
            chart.title
        );
        assert!(chart.points.iter().all(|p| p.place.is(&state.target)));
        assert_eq!(
            state.kept[0].kept.fps, kept,
            "the history keeps what was kept"
        );
    }
    w.state_mut().apply(Command::Board("xavier-nx"));
    w.settle();
    assert!((fps(&w) - then).abs() < 1e-9);
}

#[test]
fn published_figures_of_another_power_mode_stand_apart() {
    let mut w = window();
    let front = |w: &Window<'_>| !w.state().points.chart.fronts().is_empty();
    assert!(front(&w));
    w.state_mut().apply(Command::Mode("10W"));
    w.settle();
    assert!(!front(&w), "a front of one mode is none of another");
    let chart = &w.state().points.chart;
    let published = chart.points.iter().filter(|p| p.mark == Mark::Published);
    assert!(published.clone().count() > 0 && published.clone().all(|p| chart.elsewhere(p)));
    let heading = "FP16, ON XAVIER NX, 15W, UNKNOWN TENSORRT";
    assert!(w.query_by_label(heading).is_some());
}

#[test]
fn board_mode_and_tensorrt_are_undone() {
    let mut w = window();
    let start = w.state().target;
    let steps = [
        Command::Board("agx-orin-64"),
        Command::Mode("30W"),
        Command::TensorRt(TensorRt::V10_3),
    ];
    let mut targets = vec![start];
    for step in steps {
        w.state_mut().apply(step);
        w.settle();
        assert_ne!(targets.last(), Some(&w.state().target));
        let title = "resnet18: GPU – Jetson AGX Orin 64GB – dlaplan";
        assert_eq!(w.state().title(), title);
        targets.push(w.state().target);
    }
    assert_eq!(w.state().doc.undo_label(), Some("TensorRT 10.3"));
    for target in targets.iter().rev().skip(1) {
        w.state_mut().apply(Command::Undo);
        w.settle();
        assert_eq!(w.state().target, *target);
        assert!(w.state().points.chart.title.ends_with(&target.to_string()));
    }
    for target in &targets[1..] {
        w.state_mut().apply(Command::Redo);
        w.settle();
        assert_eq!(w.state().target, *target);
    }
}

#[test]
fn what_a_board_cannot_have_is_said() {
    let mut w = window();
    let said = |w: &Window<'_>, words: &str| {
        let cards = w.state().messages.cards().map(|m| m.title.clone());
        let cards: Vec<String> = cards.collect();
        assert!(
            cards.iter().any(|c| c.contains(words)),
            "{words}: {cards:?}"
        );
    };
    w.state_mut().apply(Command::Core(1));
    w.state_mut().apply(Command::Mode("10W_DESKTOP"));
    w.settle();
    assert_eq!(w.state().messages.cards().count(), 0);
    w.state_mut().apply(Command::Board("orin-nx-8"));
    w.settle();
    said(&w, "in place of 10W_DESKTOP");
    said(&w, "DLA core 0 in place of 1");
    assert_eq!(w.state().config().dla_core, 0);
    w.state_mut().apply(Command::Undo);
    w.settle();
    assert_eq!(w.state().config().dla_core, 1);
    assert_eq!(w.state().target.mode.name, "10W_DESKTOP");
    // A mode and the TensorRT that it came before.
    w.state_mut().apply(Command::Board("orin-nx-16"));
    w.state_mut().apply(Command::TensorRt(TensorRt::V8_6));
    w.state_mut().apply(Command::Mode("MAXN_SUPER"));
    w.settle();
    let target = w.state().target;
    assert_eq!(Target::parse(&target.id()), Ok(target), "it exists");
    assert_eq!(target.mode.name, "MAXN_SUPER");
    said(&w, "in place of 8.6");
    w.state_mut().apply(Command::TensorRt(TensorRt::V8_6));
    w.settle();
    let target = w.state().target;
    assert_eq!(Target::parse(&target.id()), Ok(target), "it exists");
    said(&w, "in place of MAXN_SUPER");
}

#[test]
fn a_folder_that_cannot_be_written_is_said_and_the_window_works() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    std::fs::File::create(data.path().join("sessions")).unwrap();
    let mut w = open(Options::default(), data);
    assert!(w.query_by_label("Your work cannot be saved").is_some());
    w.click("GPU layer1");
    assert_eq!(w.state().doc.placement(), &on_layer1());
}

#[test]
fn a_panic_leaves_a_report_that_is_shown_once() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    dlaplan::gui::report_panics(data.path());
    std::thread::Builder::new()
        .spawn(|| panic!("on purpose"))
        .unwrap()
        .join()
        .unwrap_err();
    let w = again(&data);
    assert!(w.query_by_label("dlaplan ended because of a bug").is_some());
    let report = std::fs::read_to_string(data.path().join("panic-seen.txt")).unwrap();
    assert!(report.contains("on purpose"));
    drop(w);
    assert!(
        again(&data)
            .query_by_label("dlaplan ended because of a bug")
            .is_none()
    );
}

#[test]
fn a_placement_is_saved_and_opened_again() {
    let mut w = window();
    w.click("GPU layer1");
    w.key(Modifiers::COMMAND, Key::S);
    assert!(matches!(w.state().dialog, Some(Dialog::Path { .. })));
    let file = w.data.path().join("mine.json");
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Path", &file.display().to_string());
    w.click("Save");
    w.settle();
    assert!(w.query_by_label("Exported Placement (JSON)").is_some());
    w.click("DLA layer1");
    w.click("GPU layer1");
    assert!(w.state().doc.placement().overrides.is_empty());
    w.state_mut().apply(Command::OpenPath(file));
    w.settle();
    assert_eq!(w.state().doc.placement(), &on_layer1());
    w.key(Modifiers::COMMAND, Key::Z);
    assert!(
        w.state().doc.placement().overrides.is_empty(),
        "opening is one step"
    );
}

#[test]
fn a_placement_of_another_model_is_refused() {
    let mut w = window();
    w.click("GPU layer1");
    let file = w.data.path().join("resnet.json");
    w.state_mut()
        .apply(Command::ExportTo(Format::Placement, file.clone()));
    w.settle();
    w.state_mut()
        .apply(Command::OpenPath("bundled:vit_b_16".into()));
    w.settle();
    w.state_mut().apply(Command::OpenPath(file));
    w.settle();
    assert!(
        w.query_by_label("resnet.json does not fit vit_b_16")
            .is_some()
    );
    assert!(
        w.query_by_label_contains("no module").is_some(),
        "names the module"
    );
    assert!(w.state().doc.placement().overrides.is_empty());
}

#[test]
fn damaged_placement_files_are_cards() {
    let mut w = window();
    for (name, text) in [
        ("cut.json", "{\"schema\": \"dlapl"),
        ("other.json", "{\"a\": 1}"),
    ] {
        let file = w.data.path().join(name);
        std::fs::File::create(&file)
            .and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()))
            .unwrap();
        w.state_mut().apply(Command::OpenPath(file));
        w.settle();
        assert!(
            w.query_by_label(&format!("{name} cannot be opened"))
                .is_some()
        );
    }
}

#[test]
fn every_export_is_written_or_says_why_not() {
    let mut w = window();
    w.click("GPU layer1");
    for format in Format::all() {
        let file = w
            .data
            .path()
            .join(format!("out.{}.{}", format.id(), format.extension()));
        let why = w.state().export_unavailable(format);
        w.state_mut().apply(Command::ExportTo(format, file.clone()));
        w.settle();
        assert_eq!(file.exists(), why.is_none(), "{format:?}: {why:?}");
    }
    // TensorRT 8.5's trtexec has no flag for it.
    assert!(w.state().export_unavailable(Format::Trtexec).is_some());
}

#[test]
fn a_failed_save_says_where_and_leaves_the_old_file() {
    let mut w = window();
    let file = w.data.path().join("no/such/folder/out.json");
    w.state_mut()
        .apply(Command::ExportTo(Format::Placement, file.clone()));
    w.settle();
    assert!(
        w.query_by_label("Placement (JSON) was not exported")
            .is_some()
    );
    assert!(
        w.query_by_label_contains(&file.display().to_string())
            .is_some()
    );
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path)
        .and_then(|mut f| std::io::Write::write_all(&mut f, bytes))
        .unwrap();
}

#[test]
fn kept_names_say_what_differs_and_are_never_two_alike() {
    let mut w = window();
    let suggested = |w: &mut Window<'_>| {
        w.state_mut().apply(Command::Keep);
        w.settle();
        match &w.state().dialog {
            Some(Dialog::Keep { name }) => name.clone(),
            _ => String::new(),
        }
    };
    assert_eq!(suggested(&mut w), "all on GPU");
    w.state_mut().apply(Command::CloseDialog);
    w.click("GPU layer1");
    w.click("GPU layer2");
    w.state_mut().apply(Command::Precision(Precision::INT8));
    w.settle();
    let name = "layer1, layer2 on DLA, INT8";
    assert_eq!(suggested(&mut w), name);
    w.key(Modifiers::NONE, Key::Enter);
    w.settle();
    assert_eq!(suggested(&mut w), format!("{name} (2)"));
    // Typed all the same, the dialog says what becomes of it.
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Name", name);
    assert!(w.query_by_label_contains("this one becomes").is_some());
    w.key(Modifiers::NONE, Key::Enter);
    w.settle();
    let names = |w: &Window<'_>| -> Vec<String> {
        w.state().kept.iter().map(|k| k.kept.name.clone()).collect()
    };
    assert_eq!(names(&w), [name.to_owned(), format!("{name} (2)")]);
    // Renamed, a placement stays where it was, and under its own number.
    let first = w.state().kept[0].id;
    w.state_mut()
        .apply(Command::RenameKept(first, "mine".into()));
    w.settle();
    assert_eq!(names(&w), ["mine".to_owned(), format!("{name} (2)")]);
    assert_eq!(w.state().kept[0].id, first);
    w.state_mut()
        .apply(Command::RenameKept(first, format!("{name} (2)")));
    w.settle();
    assert_eq!(names(&w)[0], format!("{name} (2) (2)"));
}

#[test]
fn restored_work_is_not_called_safe_beside_a_missing_file() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let file = data.path().join("net.onnx");
    write(&file, &symbolic_model());
    let options = Options {
        model: Some(file.clone()),
        inputs: [("x".to_owned(), vec![1, 3, 8, 8])].into(),
        ..Options::default()
    };
    let mut w = open(options, Arc::clone(&data));
    w.state_mut().apply(Command::All(Device::Dla));
    w.settle();
    drop(w);
    let away = data.path().join("away.onnx");
    std::fs::rename(&file, &away).unwrap();
    let mut w = again(&data);
    assert!(w.query_by_label("net.onnx cannot be opened").is_some());
    assert!(w.query_by_label("Your work was restored").is_none());
    assert!(w.query_by_label_contains("nothing was lost").is_none());
    // The work comes back with the file.
    std::fs::rename(&away, &file).unwrap();
    w.click("Try again");
    assert_eq!(w.state().open.as_ref().unwrap().path, file);
    assert_eq!(w.state().doc.placement(), &Placement::all(Device::Dla));
}

#[test]
fn a_model_that_changes_on_disk_is_offered_for_reading_again() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let file = data.path().join("net.onnx");
    write(&file, &symbolic_model());
    let options = Options {
        model: Some(file.clone()),
        inputs: [("x".to_owned(), vec![1, 3, 8, 8])].into(),
        ..Options::default()
    };
    let mut w = open(options, Arc::clone(&data));
    w.state_mut().apply(Command::All(Device::Dla));
    w.settle();
    let focus = |w: &mut Window<'_>| {
        w.event(egui::Event::WindowFocused(true));
        w.settle();
        w.settle();
    };
    focus(&mut w);
    let offer = "net.onnx has changed on disk";
    assert!(w.query_by_label(offer).is_none());
    // Another producer's name: an unknown field at the end, the same network.
    let mut bytes = symbolic_model();
    bytes.extend([2 << 3 | 2, 3, b'n', b'e', b'w']);
    write(&file, &bytes);
    focus(&mut w);
    assert!(w.query_by_label(offer).is_some());
    w.click("Read it again");
    let source = &w.state().open.as_ref().unwrap().model.source;
    assert!(source.producer.contains("new"), "{}", source.producer);
    assert_eq!(w.state().doc.placement(), &Placement::all(Device::Dla));
    focus(&mut w);
    assert!(w.query_by_label(offer).is_none());
}

#[test]
fn opened_files_are_in_the_menu_at_once_and_pins_come_back() {
    let mut w = window();
    let file = w.data.path().join("mine.json");
    w.state_mut()
        .apply(Command::ExportTo(Format::Placement, file.clone()));
    w.settle();
    w.state_mut().apply(Command::OpenPath(file.clone()));
    w.settle();
    assert_eq!(w.state().recent, [file]);
    w.row("layer3");
    w.state_mut().apply(Command::Pin(Some(Device::Gpu)));
    w.settle();
    let data = Arc::clone(&w.data);
    drop(w);
    let w = again(&data);
    let pinned = &w.state().find.form.pinned;
    let site = dlaplan::placement::Site::Module("layer3".into());
    assert_eq!(pinned, &[(site, Device::Gpu)]);
}

#[test]
fn a_number_outside_its_range_says_so_and_inputs_show_the_batch() {
    let mut w = window();
    let batch = w.get_by_role_and_label(Role::SpinButton, "Batch");
    batch.click();
    w.settle();
    w.key(Modifiers::COMMAND, Key::A);
    w.event(egui::Event::Text("1000000".into()));
    w.settle();
    w.key(Modifiers::NONE, Key::Enter);
    let most = dlaplan::placement::EngineConfig::MAX_BATCH;
    assert_eq!(w.state().config().batch, most);
    let said = format!("At most {most}, so {most} is taken");
    assert!(w.query_by_label(&said).is_some());
    w.state_mut().apply(Command::Batch(4));
    w.settle();
    let shown = "images 4×3×224×224 (batch 1 in the file)";
    assert!(w.query_by_label(shown).is_some());
}

fn on_layer2() -> Placement {
    Placement::all(Device::Gpu).with_module("layer2", Device::Dla)
}

const OTHERS: &str = "Another window's work on bundled:resnet18 was kept";

#[test]
fn two_windows_that_close_one_after_the_other_lose_nothing() {
    let (data, first, second) = two_windows();
    for mut w in [first, second] {
        w.state_mut().store.close();
    }
    let mut w = again(&data);
    assert_eq!(w.state().doc.placement(), &on_layer2());
    assert!(w.query_by_label(OTHERS).is_some());
    w.click("Open");
    assert_eq!(w.state().doc.placement(), &on_layer1());
    // It is offered once.
    w.state_mut().store.close();
    drop(w);
    let w = again(&data);
    assert_eq!(w.state().doc.placement(), &on_layer1());
    assert!(w.query_by_label(OTHERS).is_none());
}

#[test]
fn two_windows_that_died_both_come_back() {
    let (data, first, second) = two_windows();
    drop((first, second));
    let mut w = again(&data);
    let shown = w.state().doc.placement().clone();
    assert!(w.query_by_label(OTHERS).is_some());
    w.click("Open");
    let other = w.state().doc.placement().clone();
    let (one, two) = (on_layer1(), on_layer2());
    assert!(one != two && [&shown, &other].iter().all(|p| **p == one || **p == two));
    assert_ne!(shown, other);
}

/// Many windows begin and die at once: no session is left that nobody would look for.
#[test]
fn windows_that_start_at_once_keep_their_locks() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let live = || {
        for _ in 0..6 {
            let mut w = again(&data);
            w.state_mut().apply(Command::All(Device::Dla));
        }
    };
    std::thread::scope(|s| {
        for _ in 0..4 {
            std::thread::Builder::new().spawn_scoped(s, live).unwrap();
        }
    });
    let names = |ending: &str| -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(data.path().join("sessions")).unwrap();
        let all = all.map(|e| e.unwrap().path());
        all.filter(|p| p.extension().is_some_and(|e| e == ending))
            .map(|p| p.with_extension(""))
            .collect()
    };
    let (sessions, locks) = (names("json"), names("lock"));
    assert!(
        sessions.iter().all(|s| locks.contains(s)),
        "{sessions:?} {locks:?}"
    );
    assert_eq!(
        again(&data).state().doc.placement(),
        &Placement::all(Device::Dla)
    );
}

#[test]
fn a_file_that_never_ends_does_not_stop_the_window() {
    let mut w = window();
    let pipe = w.data.path().join("pipe.json");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    w.state_mut().apply(Command::OpenPath(pipe.clone()));
    w.settle();
    assert!(w.query_by_label("pipe.json cannot be opened").is_some());
    let zero = w.data.path().join("zero.json");
    std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
    w.state_mut().apply(Command::OpenPath(zero));
    w.settle();
    assert!(w.query_by_label("zero.json cannot be opened").is_some());
    w.state_mut().apply(Command::Calibration(Some(pipe)));
    w.settle();
    assert!(w.query_by_label("No INT8 ranges were taken").is_some());
}
