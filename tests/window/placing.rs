//! The window, driven by its accessible labels.

use crate::window::{Window, window};
use dlaplan::gui::Command;
use dlaplan::placement::{Device, EngineConfig, IoFormats, Placement, Precision, Site};
use dlaplan::plan::plan;
use dlaplan::platform::{Target, TensorRt};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;

/// The placements of the seeds' tables, and the chips to click for each.
fn seeds() -> [(&'static str, Placement, &'static [&'static str]); 5] {
    let gpu = || Placement::all(Device::Gpu);
    [
        ("gpu", gpu(), &[]),
        (
            "dla",
            Placement::all(Device::Dla),
            &["GPU the whole network"],
        ),
        (
            "dla1",
            gpu().with_module("layer1", Device::Dla),
            &["GPU layer1"],
        ),
        (
            "dla12",
            gpu()
                .with_module("layer1", Device::Dla)
                .with_module("layer2", Device::Dla),
            &["GPU layer1", "GPU layer2"],
        ),
        (
            "dla123",
            gpu()
                .with_module("layer1", Device::Dla)
                .with_module("layer2", Device::Dla)
                .with_module("layer3", Device::Dla),
            &["GPU layer1", "GPU layer2", "GPU layer3"],
        ),
    ]
}

fn chip(w: &Window<'_>, label: &str) -> bool {
    w.query_by_role_and_label(Role::Button, label).is_some()
}

#[test]
fn the_seeds_placements_are_clicks_away() {
    for (name, placement, clicks) in seeds() {
        let mut w = window();
        for label in clicks {
            w.click(label);
        }
        let state = w.state();
        assert_eq!(state.doc.placement(), &placement, "{name}");
        let model = &state.open.as_ref().unwrap().model;
        let expected = plan(
            model,
            &Target::default(),
            &EngineConfig::default(),
            &placement,
        );
        assert_eq!(state.fresh().unwrap().plan, expected.unwrap(), "{name}");
    }
}

#[test]
fn children_inherit_until_told_otherwise() {
    let mut w = window();
    w.click("GPU layer2");
    assert!(chip(&w, "DLA layer2"));
    assert!(chip(&w, "DLA layer2.0"), "inherits");
    w.click("DLA layer2.0");
    assert!(chip(&w, "GPU layer2.0"), "said here");
    let overrides = &w.state().doc.placement().overrides;
    assert_eq!(
        overrides.get(&Site::Module("layer2.0".into())),
        Some(&Device::Gpu)
    );
    w.click("GPU layer2.0");
    assert!(chip(&w, "DLA layer2.0"), "the same as above, but said here");
    w.click("DLA layer2.0");
    assert_eq!(
        w.state().doc.placement().overrides.len(),
        1,
        "inherits again"
    );
}

#[test]
fn a_row_with_a_device_for_its_module_and_its_op_inherits_in_one_step() {
    let mut w = window();
    let placement = Placement::all(Device::Gpu)
        .with_module("conv1", Device::Dla)
        .with_op("/conv1/Conv", Device::Gpu);
    let load = Command::Load("both".into(), placement, EngineConfig::default());
    w.state_mut().apply(load);
    w.settle();
    w.row("conv1");
    w.key(Modifiers::NONE, Key::I);
    assert!(w.state().doc.placement().overrides.is_empty());
    w.key(Modifiers::COMMAND, Key::Z);
    assert_eq!(w.state().doc.placement().overrides.len(), 2);
}

#[test]
fn undo_and_redo() {
    let mut w = window();
    w.click("GPU layer1");
    w.key(Modifiers::COMMAND, Key::Z);
    assert!(chip(&w, "GPU layer1"));
    w.key(Modifiers::COMMAND, Key::Y);
    assert!(chip(&w, "DLA layer1"));
    w.click("Undo");
    assert!(chip(&w, "GPU layer1"));
}

#[test]
fn the_filter_finds_paths_types_and_fallbacks() {
    let mut w = window();
    w.filter("layer3.1.conv2");
    assert!(chip(&w, "GPU layer3.1.conv2"));
    assert!(!chip(&w, "GPU layer2"));
    w.filter("maxpool");
    assert!(chip(&w, "GPU maxpool"));
    w.filter("is:foo");
    let takes =
        "There is no is:foo; is: takes fallback, dla, gpu, explicit, mixed, refused or differs";
    assert!(w.query_by_label(takes).is_some());
    w.filter("");
    w.click("GPU the whole network");
    w.filter("is:fallback");
    let falling = w.state().judged.as_ref().unwrap().plan.fallbacks.len();
    assert_eq!(w.state().view.matches, Some(falling));
    w.click("Clear filter");
    assert!(chip(&w, "DLA layer2"));
}

#[test]
fn ranges_and_single_rows_are_assigned_together() {
    let mut w = window();
    w.row("layer1");
    w.row_with("layer2", Modifiers::SHIFT);
    w.key(Modifiers::NONE, Key::D);
    assert!(chip(&w, "DLA layer1.1") && chip(&w, "DLA layer2"));
    assert!(chip(&w, "GPU layer3"));
    w.row_with("layer4", Modifiers::COMMAND);
    w.key(Modifiers::NONE, Key::G);
    assert!(chip(&w, "GPU layer1"));
    w.key(Modifiers::NONE, Key::I);
    assert!(w.state().doc.placement().overrides.is_empty());
}

#[test]
fn a_range_says_nothing_twice() {
    let mut w = window();
    w.row("layer1");
    w.row_with("layer3", Modifiers::SHIFT);
    assert_eq!(w.state().selection.nodes.len(), 7);
    w.key(Modifiers::NONE, Key::D);
    let gpu = Placement::all(Device::Gpu);
    let mut expected = gpu.clone();
    for layer in ["layer1", "layer2", "layer3"] {
        expected = expected.with_module(layer, Device::Dla);
    }
    assert_eq!(w.state().doc.placement(), &expected);
    assert!(w.state().fresh().unwrap().plan.lints.is_empty());
    // What a selected child says otherwise goes, in one step.
    w.key(Modifiers::NONE, Key::Escape);
    w.click("DLA layer2.0");
    let otherwise = w.state().doc.placement().clone();
    assert_eq!(otherwise.overrides.len(), 4);
    w.row("layer1");
    w.row_with("layer3", Modifiers::SHIFT);
    w.key(Modifiers::NONE, Key::D);
    assert_eq!(w.state().doc.placement(), &expected);
    w.key(Modifiers::COMMAND, Key::Z);
    assert_eq!(w.state().doc.placement(), &otherwise);
    // One between them that is not selected goes on saying it.
    w.state_mut().apply(Command::ExpandAll);
    w.settle();
    w.row("layer2");
    w.row_with("layer2.0.conv1", Modifiers::COMMAND);
    w.key(Modifiers::NONE, Key::D);
    let placement = w.state().doc.placement();
    let says = |path: &str| placement.overrides.get(&Site::Module(path.into()));
    assert_eq!(says("layer2.0"), Some(&Device::Gpu));
    assert_eq!(says("layer2.0.conv1"), Some(&Device::Dla));
}

#[test]
fn the_keyboard_alone_is_enough() {
    let mut w = window();
    w.key(Modifiers::NONE, Key::ArrowDown);
    w.key(Modifiers::NONE, Key::End);
    w.key(Modifiers::NONE, Key::Home);
    for _ in 0..4 {
        w.key(Modifiers::NONE, Key::ArrowDown);
    }
    w.key(Modifiers::NONE, Key::ArrowLeft);
    assert!(!chip(&w, "GPU layer1.0"), "closed");
    w.key(Modifiers::NONE, Key::ArrowRight);
    w.key(Modifiers::NONE, Key::Space);
    assert!(chip(&w, "DLA layer1") && chip(&w, "DLA layer1.0"));
}

#[test]
fn the_palette_runs_commands() {
    let mut w = window();
    w.key(Modifiers::COMMAND, Key::P);
    w.type_into("Command", "everything dla");
    w.key(Modifiers::NONE, Key::Enter);
    assert_eq!(w.state().doc.placement(), &Placement::all(Device::Dla));
    assert!(w.state().palette.is_none());
}

#[test]
fn the_inspector_names_the_rule() {
    let mut w = window();
    w.click("GPU the whole network");
    w.row("avgpool");
    let state = w.state();
    let judged = state.fresh().unwrap();
    let model = &state.open.as_ref().unwrap().model;
    let op = model
        .modules
        .get(model.modules.find("avgpool").unwrap())
        .ops[0];
    assert_eq!(
        w.query_by_label("Why").is_some(),
        judged.plan.fallback(op).is_some()
    );
    assert!(w.query_by_label("Requested").is_some());
    assert!(w.query_by_label("not measured").is_some());
}

#[test]
fn the_top_bar_changes_target_and_config() {
    let mut w = window();
    w.click("GPU layer1");
    for (menu, choice) in [
        ("Precision", "INT8+FP16"),
        ("Default device", "DLA"),
        ("DLA core", "core 1"),
        ("GPU fallback", "strict   the build fails"),
        ("Board", "Jetson AGX Xavier"),
    ] {
        w.get_by_role_and_label(Role::ComboBox, menu).click();
        w.settle();
        w.click(choice);
    }
    let state = w.state();
    let config = EngineConfig {
        precision: Precision::INT8_FP16,
        batch: 1,
        dla_core: 1,
        gpu_fallback: false,
        io: IoFormats::default(),
    };
    assert_eq!(*state.config(), config);
    assert_eq!(state.target.board.id, "agx-xavier");
    assert_eq!(state.doc.placement().default, Device::Dla);
    let refused = &state.fresh().unwrap().summary.refused;
    assert!(
        refused
            .as_deref()
            .is_some_and(|r| r.contains("strict mode")),
        "{refused:?}"
    );
    let status = w.query_all_by_label_contains("does not build: strict mode");
    assert!(status.count() > 0);
}

#[test]
fn a_segment_of_the_ribbon_selects_its_modules() {
    let mut w = window();
    w.click("GPU layer2");
    w.click("GPU layer3");
    w.click("DLA subgraph 0");
    let state = w.state();
    let model = &state.open.as_ref().unwrap().model;
    let titles: Vec<&str> = state
        .selection
        .nodes
        .iter()
        .map(|n| n.title(model))
        .collect();
    assert_eq!(titles, ["layer2", "layer3"]);
    w.key(Modifiers::NONE, Key::I);
    assert!(w.state().doc.placement().overrides.is_empty());
}

#[test]
fn a_sum_over_some_ops_says_so() {
    let w = window();
    let part = |start: &str| {
        let all = w.query_all_by_role(Role::Label);
        all.map(|n| crate::window::text_of(&n))
            .find(|t| t.starts_with("DLA ") && t.contains(start))
    };
    let said = part("of the whole network: ").unwrap();
    let sums = &w.state().view.rows[0].sums;
    assert!(sums.dla_known < sums.ops);
    let of = format!("{} of {} ops", sums.dla_known, sums.ops);
    assert!(said.contains(&of), "{said}");
    assert_eq!(part("of layer1: "), None, "whole");
}

#[test]
fn the_scatter_tells_precisions_apart() {
    let mut w = window();
    w.get_by_role_and_label(Role::Tab, "FPS against DLA share")
        .click();
    w.settle();
    let named = |w: &Window<'_>, name: &str| {
        let all = w.query_all_by_role(Role::Label);
        all.filter(|n| crate::window::text_of(n) == name).count()
    };
    assert_eq!((named(&w, "FP16"), named(&w, "INT8")), (1, 1));
    assert_eq!(named(&w, "FP32"), 0, "none is drawn");
}

#[test]
fn the_context_menu_assigns() {
    let mut w = window();
    w.get_by_role_and_label(Role::TreeItem, "layer4")
        .click_secondary();
    w.settle();
    w.click("Assign to DLA");
    assert!(chip(&w, "DLA layer4.1"));
}

#[test]
fn an_idle_window_draws_nothing() {
    let mut w = window();
    w.run();
    assert_ne!(w.repaint_delay(), std::time::Duration::ZERO);
    assert!(w.repaint_delay() > std::time::Duration::from_hours(1));
}

/// JetPack 4.4 to 5.1: every TensorRT that a Xavier's JetPack shipped.
#[test]
fn the_top_bar_offers_the_versions_of_every_jetpack() {
    let mut w = window();
    let choose = |w: &mut Window<'_>, choice: &str| {
        w.get_by_role_and_label(Role::ComboBox, "TensorRT").click();
        w.settle();
        w.click(choice);
    };
    for (choice, id) in [
        ("TensorRT 8.4   JetPack 5.0", "xavier-nx@15W:8.4"),
        ("TensorRT 8.2   JetPack 4.6.1", "xavier-nx@15W:8.2"),
        ("TensorRT 8.0   JetPack 4.6", "xavier-nx@15W:8.0"),
        ("TensorRT 7.1   JetPack 4.4-4.5", "xavier-nx@15W:7.1"),
    ] {
        choose(&mut w, choice);
        assert_eq!(w.state().target.id(), id);
        assert_eq!(w.state().dla_cores(), 2);
    }
    // 20W came with JetPack 4.6.
    w.state_mut().apply(Command::Mode("20W"));
    w.settle();
    assert_eq!(w.state().target.id(), "xavier-nx@20W:8.5");
    choose(&mut w, "TensorRT 7.1   JetPack 4.4-4.5");
    assert_eq!(w.state().target.tensorrt, TensorRt::V7_1);
}
