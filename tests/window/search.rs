//! Finding the best placement in the window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::open_dims::symbolic_model;
use crate::window::{Window, text_of, window};
use dlaplan::figure::Figure;
use dlaplan::gui::{Command, Form, GoalKind};
use dlaplan::placement::{Device, Placement, Precision, Site};
use dlaplan::platform::Target;
use dlaplan::search::{Answer, Granularity};
use dlaplan::tasks::modes::Chosen;
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
fn least_energy_is_ranked_and_shown_and_limits_hold_in_one_mode() {
    let mut w = window();
    let target = Target::parse("agx-orin-64@50W").unwrap();
    w.state_mut().apply(Command::Board(target.board.id));
    w.state_mut().apply(Command::Mode(target.mode.name));
    w.state_mut().apply(Command::Precision(Precision::INT8));
    let form = Form {
        goal: GoalKind::Energy,
        ..Form::default()
    };
    open_with(&mut w, form.clone());
    let mj = |w: &Window<'_>| -> Vec<f64> {
        let all = answer(w).proposals.iter();
        all.map(|p| p.power.wall_mj_per_image.value().unwrap())
            .collect()
    };
    let free = mj(&w);
    assert!(free.is_sorted(), "{free:?}");
    let shown = format!("{} mJ ", dlaplan::figure::short(free[0]));
    let best = w
        .query_all_by_role(Role::Button)
        .map(|n| text_of(&n))
        .find(|label| label.starts_with("best: "))
        .unwrap();
    assert!(best.contains(&shown), "{best}");
    let watts = answer(&w).proposals[0].power.wall_watts.value().unwrap();
    let mut capped = form;
    for (most, found) in [(watts * 1.001, true), (watts * 0.1, false)] {
        capped.max_watts = Some(most);
        w.state_mut()
            .apply(Command::FindForm(Box::new(capped.clone())));
        find(&mut w);
        assert_eq!(w.state().find.answer.as_ref().unwrap().is_ok(), found);
    }
    let why = "nothing found stays under";
    assert!(w.query_all_by_label_contains(why).next().is_some());
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

/// What there is to choose from, once all of it was searched.
fn chosen(w: &mut Window<'_>) -> Arc<Chosen> {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        w.settle();
        let find = &w.state().find;
        if let Some(choice) = find.choice.as_ref().filter(|_| !find.searching()) {
            return Arc::clone(&choice.found);
        }
        assert!(Instant::now() < deadline, "the choice takes too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn radio(w: &mut Window<'_>, label: &str) {
    w.get_by_role_and_label(Role::RadioButton, label).click();
    w.settle();
}

/// Board, mode and TensorRT, batch, and placement: what one row changes.
fn work(w: &Window<'_>) -> (Target, u32, Placement) {
    let state = w.state();
    let placement = state.doc.placement().clone();
    (state.target, state.config().batch, placement)
}

#[test]
fn every_power_mode_is_searched_and_a_row_is_loaded_in_one_step() {
    let mut w = window();
    w.state_mut().apply(Command::Board("orin-nx-16"));
    w.click("GPU layer2");
    w.state_mut().apply(Command::FindBest);
    w.state_mut().apply(Command::FindGoal(GoalKind::Deployment));
    w.settle();
    let modes = w.state().target.board.modes.len();
    radio(&mut w, &format!("Power mode: all {modes}"));
    let found = chosen(&mut w);
    assert_eq!(found.rows.len() + found.without.len(), modes);
    assert!(found.rows.len() > 2, "{:?}", found.without);
    let fps = found.rows.iter().map(|r| r.proposal.fps.value().unwrap());
    assert!(fps.is_sorted_by(|a, b| a >= b));

    let before = work(&w);
    let row = found
        .rows
        .iter()
        .find(|r| r.target != before.0 && r.proposal.engines.len() > 1)
        .unwrap();
    let main = row.proposal.engines.iter();
    let main = main.clone().find(|e| e.summary.dla_ops > 0).unwrap();
    let mode = row.target.mode.name;
    click_with(&mut w, &format!("{mode}, batch 1: "));
    let after = (row.target, 1, main.placement.clone());
    assert_eq!(work(&w), after);
    assert_eq!(w.state().config().dla_core, main.config.dla_core);
    // The chart has its engines side by side, and those of no other mode.
    let points = &w.state().points.chart.points;
    let together = points.iter().filter(|p| p.deployment.is_some());
    assert_eq!(together.count(), row.proposal.engines.len());
    // The others stand, and nothing was searched again.
    assert!(Arc::ptr_eq(&chosen(&mut w), &found));
    // Its engines are below it, each to be loaded.
    click_with(&mut w, "engine on GPU: ");
    let on_gpu = row.proposal.engines.iter();
    let on_gpu = on_gpu.clone().find(|e| e.summary.dla_ops == 0).unwrap();
    assert_eq!(w.state().doc.placement(), &on_gpu.placement);
    w.key(Modifiers::COMMAND, Key::Z);
    assert_eq!(work(&w), after);
    w.key(Modifiers::COMMAND, Key::Z);
    assert_eq!(work(&w), before);
    w.key(Modifiers::COMMAND, Key::Y);
    assert_eq!(work(&w), after);
    assert!(Arc::ptr_eq(&chosen(&mut w), &found));
    // Back to the one in force: the search of one mode.
    radio(&mut w, &format!("Power mode: {mode}"));
    find(&mut w);
    assert!(w.state().find.choice.is_none());
    assert!(answer(&w).proposals.len() > 1);
}

#[test]
fn every_batch_is_searched_where_the_file_leaves_it_open() {
    let mut w = window();
    w.click("Find best");
    assert!(
        w.query_by_label("Batch: 1; the file fixes it").is_some(),
        "ResNet-18 has a fixed batch"
    );
    let file = w.data.path().join("open.onnx");
    dlaplan::export::save_atomic(&file, &symbolic_model()).unwrap();
    let dims = vec![("x".to_owned(), vec![1, 3, 8, 8])];
    w.state_mut().apply(Command::SetInputs(file, dims));
    w.settle();
    radio(&mut w, "Batch: 1 to 32");
    let found = chosen(&mut w);
    let mut batches: Vec<u32> = found.rows.iter().map(|r| r.batch).collect();
    batches.extend(found.without.iter().filter_map(|w| w.batch));
    batches.sort_unstable();
    assert_eq!(batches, [1, 2, 4, 8, 16, 32]);
    let row = found.rows.iter().find(|r| r.batch == 8).unwrap();
    click_with(&mut w, &format!("{}, batch 8: ", row.target.mode.name));
    assert_eq!(w.state().config().batch, 8);
    assert!(Arc::ptr_eq(&chosen(&mut w), &found));
    w.key(Modifiers::COMMAND, Key::Z);
    assert_eq!(w.state().config().batch, 1);
}

#[test]
fn limits_leave_out_modes_and_say_where_they_are_not_sure() {
    let mut w = window();
    w.state_mut().apply(Command::Board("agx-orin-64"));
    w.state_mut().apply(Command::Precision(Precision::INT8));
    w.state_mut().apply(Command::FindBest);
    let form = Form {
        goal: GoalKind::Energy,
        engines: 1,
        every_mode: true,
        ..Form::default()
    };
    w.state_mut()
        .apply(Command::FindForm(Box::new(form.clone())));
    let free = chosen(&mut w);
    // MAXN's clock is past the metered ones.
    let said = w.query_all_by_label_contains("MAXN, batch 1: no estimate of the power");
    assert_eq!(said.count(), 1);
    let apart = w.query_all_by_label_contains("No figures of power");
    assert_eq!(apart.count(), 0, "all that have an answer have power");
    let latency = Form {
        goal: GoalKind::Latency,
        ..form.clone()
    };
    w.state_mut().apply(Command::FindForm(Box::new(latency)));
    chosen(&mut w);
    let apart = w.query_all_by_label_contains("No figures of power in MAXN: ");
    assert_eq!(apart.count(), 1);
    assert!(w.query_all_by_label_contains(", sure").next().is_none());
    let watts = |c: &Chosen| -> Vec<f64> {
        let rows = c.rows.iter();
        rows.map(|r| r.proposal.power.wall_watts.value().unwrap())
            .collect()
    };
    let most = watts(&free).into_iter().fold(0.0, f64::max);
    let capped = Form {
        max_watts: Some(most * 0.999),
        ..form
    };
    w.state_mut().apply(Command::FindForm(Box::new(capped)));
    let found = chosen(&mut w);
    assert!(watts(&found).iter().all(|watts| *watts < most));
    assert!(!found.rows.is_empty());
    let rows: Vec<String> = w
        .query_all_by_role(Role::Button)
        .map(|n| text_of(&n))
        .filter(|label| label.contains(", batch 1: "))
        .collect();
    let sure = rows.iter().filter(|l| l.ends_with(", sure")).count();
    let expected = found.rows.iter().filter(|r| r.sure).count();
    assert_eq!(rows.len(), found.rows.len(), "{rows:?}");
    assert_eq!(sure, expected, "{rows:?}");
    let unsure = rows.iter().filter(|l| l.ends_with(", not sure")).count();
    assert_eq!(sure + unsure, rows.len(), "{rows:?}");
}

#[test]
fn goals_that_rank_no_modes_say_so() {
    let mut w = window();
    let form = Form {
        every_mode: true,
        every_batch: true,
        goal: GoalKind::FewestTransitions,
        ..Form::default()
    };
    open_with(&mut w, form);
    assert!(w.state().find.choice.is_none());
    let mode = w.state().target.mode.name;
    for said in [
        format!("Power mode: {mode}; not for this goal"),
        "Batch: 1; not for this goal".to_owned(),
    ] {
        assert!(w.query_by_label(&said).is_some(), "{said}");
    }
}

#[test]
fn a_choice_that_is_cancelled_keeps_what_it_has() {
    let mut w = window();
    w.state_mut().apply(Command::Board("orin-nx-16"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/googlenet.onnx");
    w.state_mut().apply(Command::OpenPath(path.into()));
    w.settle();
    w.state_mut().apply(Command::FindBest);
    w.state_mut().apply(Command::FindForm(Box::new(Form {
        engines: 8,
        granularity: Granularity::Ops,
        goal: GoalKind::Deployment,
        every_mode: true,
        ..Form::default()
    })));
    let deadline = Instant::now() + Duration::from_mins(1);
    let names_the_mode = |w: &Window<'_>| {
        let second = w.state().target.board.modes[1].name;
        let said = format!("{second}, batch 1: ");
        let mut status = w.query_all_by_role(Role::Status);
        status.any(|n| text_of(&n).starts_with(&said))
    };
    while !names_the_mode(&w) {
        assert!(Instant::now() < deadline);
        w.run();
    }
    w.click("Stop the search");
    let asked = Instant::now();
    let found = chosen(&mut w);
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert!(found.stopped);
    assert!(!found.rows.is_empty());
    let said = "the search was stopped before it came to this";
    assert!(found.without.iter().any(|w| w.why == said));
    w.click("Search again");
    assert!(w.state().find.searching());
    // Closed on the way, it is given up, and opened again it begins anew.
    w.click("Close the search");
    assert!(!w.state().find.searching());
    w.state_mut().apply(Command::FindBest);
    w.run_steps(3);
    assert!(w.state().find.searching());
}

#[test]
fn the_modes_are_one_stop_of_tab() {
    let mut w = window();
    w.state_mut().apply(Command::Board("orin-nx-16"));
    w.state_mut().apply(Command::FindBest);
    w.state_mut().apply(Command::FindForm(Box::new(Form {
        every_mode: true,
        ..Form::default()
    })));
    let found = chosen(&mut w);
    let rows = |w: &Window<'_>| -> Vec<bool> {
        w.query_all_by_role(Role::Button)
            .filter(|n| text_of(n).contains(", batch 1: "))
            .map(|n| n.accesskit_node().is_focused())
            .collect()
    };
    let first = w
        .query_all_by_role(Role::Button)
        .find(|n| text_of(n).starts_with("best: "));
    first.unwrap().focus();
    w.settle();
    assert_eq!(rows(&w).len(), found.rows.len());
    assert!(rows(&w)[0]);
    w.key(Modifiers::NONE, Key::ArrowDown);
    assert!(rows(&w)[1], "an arrow moves on");
    w.key(Modifiers::NONE, Key::Enter);
    assert_eq!(w.state().target, found.rows[1].target);
    w.key(Modifiers::NONE, Key::Tab);
    assert!(!rows(&w).contains(&true), "Tab leaves the list");
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
