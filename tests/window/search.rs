//! Finding the best placement in the window.

use std::time::{Duration, Instant};

use crate::window::{Window, window};
use dlaplan::figure::Figure;
use dlaplan::gui::{Command, Form, GoalKind};
use dlaplan::placement::{Device, Placement, Precision, Site};
use dlaplan::search::{Answer, Granularity};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};

/// Runs until the search is over and what it found is explained.
fn find(w: &mut Window<'_>) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        w.settle();
        let find = &w.state().find;
        let told = find.why.as_ref().is_none_or(|w| w.moves.is_some());
        if !find.searching() && find.answer.is_some() && told {
            break;
        }
        assert!(Instant::now() < deadline, "the search takes too long");
        std::thread::sleep(Duration::from_millis(2));
    }
    w.run();
}

fn answer<'w>(w: &'w Window<'_>) -> &'w Answer {
    w.state().find.answer.as_ref().unwrap().as_ref().unwrap()
}

fn open_with(w: &mut Window<'_>, form: Form) {
    w.state_mut().apply(Command::FindBest);
    w.state_mut().apply(Command::FindForm(Box::new(form)));
    find(w);
}

/// Clicks the button whose label has all of this in it.
fn click_with(w: &mut Window<'_>, part: &str) {
    w.get_all_by_role(Role::Button)
        .find(|n| {
            let label = n.accesskit_node().label();
            label.is_some_and(|l| l.contains(part))
        })
        .unwrap()
        .click();
    w.settle();
}

fn on_layer2() -> Placement {
    Placement::all(Device::Gpu).with_module("layer2", Device::Dla)
}

#[test]
fn a_click_finds_the_best_another_loads_it_and_undo_goes_back() {
    let mut w = window();
    w.click("GPU layer2");
    w.click("Find best");
    find(&mut w);
    let found = answer(&w);
    let best = &found.proposals[0];
    assert_eq!(found.gap, Some(0.0), "exact");
    assert!(matches!(best.fps, Figure::Estimated(_)));
    let placement = best.engines[0].placement.clone();
    // Of one FP16 engine on a Xavier NX nothing beats the GPU alone, as was measured.
    assert_eq!(placement, Placement::all(Device::Gpu));
    let fps = best.fps.to_string();
    let fps = fps.trim_start_matches("est. ").split_once(' ').unwrap().0;
    let row = format!("best: GPU: {fps} FPS");
    assert!(w.query_all_by_label_contains(&row).count() > 0, "{row}");

    click_with(&mut w, "best: GPU");
    assert_eq!(w.state().doc.placement(), &placement);
    w.key(Modifiers::COMMAND, Key::Z);
    assert_eq!(w.state().doc.placement(), &on_layer2());
    w.key(Modifiers::COMMAND, Key::Y);
    assert_eq!(w.state().doc.placement(), &placement);
}

#[test]
fn it_says_why_in_module_terms() {
    let mut w = window();
    w.click("GPU layer2");
    w.click("Find best");
    find(&mut w);
    // Against what is on screen, before anything is loaded.
    assert!(w.query_by_label("Why, against what is on screen").is_some());
    let moved = w.query_all_by_label_contains("moves layer2 to GPU: ");
    assert_eq!(moved.count(), 1);
    click_with(&mut w, "best: GPU");
    find(&mut w);
    let title = "Why, against what was on screen before";
    assert!(w.query_by_label(title).is_some());
    let why = w.state().find.why.clone().unwrap();
    let moves = why.moves.unwrap();
    assert_eq!(moves.len(), 1);
    assert_eq!(
        (moves[0].what.as_str(), moves[0].to),
        ("layer2", Device::Gpu)
    );
    assert!(moves[0].gpu_ms.unwrap() > 0.0);
    assert!(moves[0].transition_ms.unwrap() < 0.0);
    // A move selects its modules.
    click_with(&mut w, "moves layer2 to GPU");
    assert_eq!(w.state().selection.nodes.len(), 1);
    // An edit of one's own is no longer what was explained.
    w.click("GPU layer3");
    assert!(w.query_by_label(title).is_none());
}

#[test]
fn deployments_rank_gpu_and_dla_first() {
    let mut w = window();
    w.click("Find best");
    w.get_by_role_and_label(Role::ComboBox, "Goal").click();
    w.settle();
    w.click(GoalKind::Deployment.text());
    find(&mut w);
    let found = answer(&w);
    let best = &found.proposals[0];
    assert_eq!(best.engines.len(), 2);
    let on_dla: Vec<bool> = best.engines.iter().map(|e| e.summary.dla_ops > 0).collect();
    assert_eq!(on_dla.iter().filter(|d| **d).count(), 1, "{}", best.name);
    let total = |name: &str| {
        let all = found.proposals.iter().chain(&found.baselines);
        let p = all.into_iter().find(|p| p.name == name).unwrap();
        p.fps.value().unwrap()
    };
    assert!(total("GPU + DLA0") > total("GPU + GPU"));
    assert!(total("GPU + DLA0") > total("DLA0 + DLA1"));
    // The chart shows them side by side, and each engine can be loaded.
    assert!(w.query_all_by_label_contains("engine 1 on GPU: ").count() > 0);
    let dla = best.engines.iter().position(|e| e.summary.dla_ops > 0);
    let engine = best.engines[dla.unwrap()].clone();
    let label = format!(
        "engine {} on DLA{}",
        dla.unwrap() + 1,
        engine.config.dla_core
    );
    click_with(&mut w, &label);
    assert_eq!(w.state().doc.placement(), &engine.placement);
    w.click("Undo");
    assert_eq!(w.state().doc.placement(), &Placement::default());
}

#[test]
fn pipelines_show_their_stages() {
    let mut w = window();
    w.state_mut().apply(Command::FindGoal(GoalKind::Pipeline));
    find(&mut w);
    let best = &answer(&w).proposals[0];
    assert!(best.stages.len() > 1);
    let first = format!("stage 1: {} on ", best.stages[0].what);
    let ops = best.stages[0].to.0 - best.stages[0].from.0 + 1;
    click_with(&mut w, &first);
    assert_eq!(w.state().selected_ops().len(), ops as usize);
}

#[test]
fn a_point_of_the_front_loads_its_placement() {
    let mut w = window();
    w.click("Find best");
    find(&mut w);
    let on_screen = w.state().doc.placement().clone();
    let front = &w.state().points.front;
    assert!(front.points.len() > 3);
    let other = |p: &&dlaplan::chart::Point| p.load.as_ref().is_some_and(|l| l.0 != on_screen);
    let point = front.points.iter().rfind(other).unwrap().clone();
    let label = format!("{} fp16: {}", point.label, point.fps);
    w.get_by_role_and_label(Role::Button, &label).click();
    w.settle();
    assert_eq!(w.state().doc.placement(), &point.load.unwrap().0);
    w.click("Close the search");
    assert!(w.state().points.front.points.is_empty());
}

#[test]
fn placements_that_say_much_are_named_by_their_parts() {
    let mut w = window();
    w.state_mut()
        .apply(Command::OpenPath("bundled:googlenet".into()));
    w.settle();
    let form = Form {
        goal: GoalKind::OffGpu,
        min_fps: 280.0,
        ..Form::default()
    };
    open_with(&mut w, form);
    let best = &answer(&w).proposals[0];
    assert!(best.engines[0].placement.overrides.len() > 4);
    let name = w.state().find.title(best);
    assert!(
        name.starts_with("inception") && name.ends_with(" on DLA"),
        "{name}"
    );
}

#[test]
fn pins_and_limits_hold() {
    let mut w = window();
    w.get_by_role_and_label(Role::TreeItem, "layer4")
        .click_secondary();
    w.settle();
    w.click("Pin to DLA in searches");
    assert_eq!(
        w.state().find.form.pinned,
        [(Site::Module("layer4".into()), Device::Dla)]
    );
    w.click("Find best");
    find(&mut w);
    let model = w.state().open.as_ref().unwrap().model.clone();
    let layer4 = model
        .modules
        .subtree_ops(model.modules.find("layer4").unwrap());
    for p in &answer(&w).proposals {
        let resolved = p.engines[0].placement.resolve(&model).unwrap();
        let there = |op: &dlaplan::model::OpId| resolved.op(*op).device() == Device::Dla;
        assert!(layer4.iter().all(there), "{}", p.name);
    }
    w.click("Unpin layer4 from DLA");
    find(&mut w);
    assert!(w.state().find.form.pinned.is_empty());
    let gpu = Placement::all(Device::Gpu);
    assert_eq!(answer(&w).proposals[0].engines[0].placement, gpu);

    let form = Form {
        goal: GoalKind::OffGpu,
        min_fps: 400.0,
        granularity: Granularity::Ops,
        max_subgraphs: Some(1),
        ..Form::default()
    };
    w.state_mut().apply(Command::FindForm(Box::new(form)));
    find(&mut w);
    for p in &answer(&w).proposals {
        assert!(p.engines[0].summary.subgraphs <= 1);
    }
}

#[test]
fn what_cannot_be_met_is_said() {
    let mut w = window();
    let form = Form {
        goal: GoalKind::OffGpu,
        min_fps: 1e6,
        ..Form::default()
    };
    open_with(&mut w, form.clone());
    assert!(w.state().find.answer.as_ref().unwrap().is_err());
    assert!(w.query_by_label("Nothing found").is_some());
    w.state_mut().apply(Command::FindForm(Box::new(Form {
        pinned: vec![
            (Site::Module("layer1".into()), Device::Gpu),
            (Site::Module("layer1.0".into()), Device::Dla),
        ],
        ..Form::default()
    })));
    find(&mut w);
    assert!(w.query_by_label("Nothing found").is_some());
}

#[test]
fn another_target_or_model_searches_again() {
    let mut w = window();
    w.click("Find best");
    find(&mut w);
    let nx = answer(&w).proposals[0].fps.value();
    w.state_mut().apply(Command::Board("agx-orin-64"));
    find(&mut w);
    assert_ne!(answer(&w).proposals[0].fps.value(), nx);
    w.state_mut().apply(Command::Precision(Precision::INT8));
    find(&mut w);
    assert_eq!(
        answer(&w).proposals[0].engines[0].config.precision,
        Precision::INT8
    );
    w.state_mut()
        .apply(Command::OpenPath("bundled:mobilenet_v2".into()));
    find(&mut w);
    let model = &w.state().open.as_ref().unwrap().model;
    assert_eq!(
        answer(&w).proposals[0].engines[0].summary.ops,
        model.ops.len()
    );
}

#[test]
fn the_core_in_force_is_kept_and_starts_no_search() {
    let mut w = window();
    w.click("Find best");
    find(&mut w);
    let before = w.state().find.changes;
    w.state_mut().apply(Command::Core(1));
    find(&mut w);
    assert_eq!(w.state().find.changes, before);
    let alternative = answer(&w).proposals[1].clone();
    let title = alternative.engines[0].placement.clone();
    click_with(&mut w, "GPU, fc on DLA: ");
    assert_eq!(w.state().doc.placement(), &title);
    assert_eq!(w.state().config().dla_core, 1);
}

#[test]
fn a_target_without_dla_says_so() {
    let mut w = window();
    w.state_mut().apply(Command::Board("thor"));
    w.settle();
    w.click("Find best");
    find(&mut w);
    assert!(w.query_by_label("Everything stays on the GPU").is_some());
    // Nor is there an estimate for this board: the search says so instead of ranking.
    let title = "No estimate, so nothing can be ranked";
    assert!(w.query_by_label(title).is_some());
}

#[test]
fn cancel_keeps_the_best_so_far() {
    let mut w = window();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/googlenet.onnx");
    w.state_mut().apply(Command::OpenPath(path.into()));
    w.settle();
    w.state_mut().apply(Command::FindForm(Box::new(Form {
        engines: 8,
        granularity: Granularity::Ops,
        goal: GoalKind::Deployment,
        ..Form::default()
    })));
    let deadline = Instant::now() + Duration::from_secs(30);
    while w
        .query_by_role_and_label(Role::Button, "Stop the search")
        .is_none()
    {
        assert!(Instant::now() < deadline);
        w.run();
    }
    w.get_by_role_and_label(Role::Button, "Stop the search")
        .click();
    let asked = Instant::now();
    find(&mut w);
    assert!(asked.elapsed() < Duration::from_secs(5));
    let found = answer(&w);
    assert!(found.stopped);
    assert!(!found.proposals.is_empty());
    assert!(w.query_by_label("Search again").is_some());
}

#[test]
fn keep_keeps_what_was_found() {
    let mut w = window();
    w.click("Find best");
    find(&mut w);
    click_with(&mut w, "GPU, layer3 on DLA: ");
    find(&mut w);
    w.click("Keep what was found…");
    w.key(Modifiers::NONE, Key::Enter);
    w.settle();
    let kept = &w.state().kept[0].kept;
    assert_eq!(&kept.placement, w.state().doc.placement());
}

#[test]
fn the_keyboard_opens_and_closes_it() {
    let mut w = window();
    w.key(Modifiers::COMMAND, Key::B);
    find(&mut w);
    assert!(w.state().find.open);
    w.run();
    assert!(w.repaint_delay() > Duration::from_hours(1), "idle again");
    w.key(Modifiers::COMMAND, Key::B);
    assert!(!w.state().find.open);
}
