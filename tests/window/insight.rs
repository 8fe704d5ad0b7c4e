//! Where the time goes, and two placements side by side.

use crate::window::{Window, text_of, window};
use dlaplan::chart::View;
use dlaplan::gui::{Command, Company, Node, Other, Over, Sort};
use dlaplan::placement::Device;
use egui::accesskit::Role;
use egui::{Key, Modifiers, Pos2, Rect, Vec2};
use egui_kittest::kittest::Queryable as _;

fn assign(w: &mut Window<'_>, path: &str, device: Device) {
    let state = w.state_mut();
    let modules = &state.open.as_ref().unwrap().model.modules;
    let module = modules.find(path).unwrap();
    state.apply(Command::AssignNode(Node::Module(module), device));
    w.settle();
}

/// Labels of a role that hold a text.
fn labels(w: &Window<'_>, role: Role, part: &str) -> Vec<String> {
    let all = w.query_all_by_role(role).map(|n| text_of(&n));
    all.filter(|text| text.contains(part)).collect()
}

fn rows(w: &Window<'_>) -> Vec<String> {
    let state = w.state();
    let model = &state.open.as_ref().unwrap().model;
    let rows = state.view.rows.iter();
    rows.map(|r| r.node.title(model).to_owned()).collect()
}

#[test]
fn the_panel_says_why_the_dla_is_slower() {
    let mut w = window();
    assign(&mut w, "layer1", Device::Dla);
    w.key(Modifiers::COMMAND, Key::T);
    let status = labels(&w, Role::Status, "slower than all on the GPU");
    assert_eq!(status.len(), 1, "{status:?}");
    // Its lines are the estimate's.
    let latency = w.state().fresh().unwrap().estimate.latency_ms.value();
    let end = format!(
        "this placement: {} ms",
        dlaplan::figure::short(latency.unwrap())
    );
    assert_eq!(labels(&w, Role::Label, "this placement:"), [end]);
    let moved = labels(&w, Role::Button, "ops run on the DLA: +");
    assert_eq!(moved.len(), 1);
    w.click(&moved[0]);
    let ops = w.state().selected_ops();
    assert_eq!(ops.len(), w.state().fresh().unwrap().plan.dla_ops());
    // A kernel of the list is selected by a click.
    let slow = labels(&w, Role::Button, " on GPU: ");
    w.click(&slow[0]);
    let path = slow[0].split(" on GPU").next().unwrap();
    let model = &w.state().open.as_ref().unwrap().model;
    let first = w.state().selected_ops()[0];
    assert!(model.ops.len() > first.index() && slow[0].starts_with(path));
    w.key(Modifiers::COMMAND, Key::T);
    assert!(labels(&w, Role::Status, "slower than all").is_empty());
}

#[test]
fn beside_another_engine_contention_is_a_step() {
    let mut w = window();
    assign(&mut w, "layer1", Device::Dla);
    let alone = w.state().fresh().unwrap().estimate.latency_ms.value();
    w.state_mut().apply(Command::Beside(Some(Company::Gpu)));
    w.settle();
    let step = labels(&w, Role::Label, "1 engine at the same time: +");
    assert_eq!(step.len(), 1, "{step:?}");
    let judged = w.state().fresh().unwrap();
    let together = judged.together.as_ref().unwrap().as_ref().unwrap();
    let fall = &together.waterfall;
    let steps: f64 = fall.steps.iter().filter_map(|s| s.ms.value()).sum();
    let delta = fall.to.value().unwrap() - fall.from.value().unwrap();
    assert!((steps - delta).abs() < 1e-9 && fall.to.value() > alone);
    let fps: Vec<f64> = together.fps.iter().map(|f| f.value().unwrap()).collect();
    assert!((fps[0] + fps[1] - fps[2]).abs() < 1e-6, "{fps:?}");
    // The placement's own figures stay those of an engine alone.
    assert_eq!(judged.estimate.latency_ms.value(), alone);
    // A core that the next board does not have is let go.
    w.state_mut().apply(Command::Beside(Some(Company::Dla(1))));
    w.settle();
    assert!(w.state().company.is_some());
    w.state_mut().apply(Command::Board("nano"));
    w.settle();
    assert_eq!(w.state().company, None);
    assert!(w.state().fresh().unwrap().together.is_none());
}

#[test]
fn without_an_estimate_the_panel_says_why() {
    let mut w = window();
    w.state_mut().apply(Command::Board("thor"));
    w.state_mut().apply(Command::ShowTime);
    w.settle();
    let why = w.state().fresh().unwrap().breakdown.clone().unwrap_err();
    assert!(w.query_by_label("No estimate").is_some());
    assert!(w.query_by_label(&why).is_some(), "{why}");
}

#[test]
fn the_tree_is_sorted_by_what_is_asked() {
    let mut w = window();
    let before = rows(&w);
    for (sort, column) in [(Sort::Gpu, 0), (Sort::Dla, 1), (Sort::Gain, 2)] {
        w.state_mut().apply(Command::Sort(sort));
        w.settle();
        let state = w.state();
        let depth = |d| state.view.rows.iter().filter(move |r| r.depth == d);
        let key = |r: &dlaplan::gui::Row| match column {
            0 => r.sums.gpu_ms,
            1 if r.sums.dla_known == 0 => f64::NEG_INFINITY,
            1 => r.sums.dla_ms,
            _ => r.sums.gain_ms().unwrap_or(f64::NEG_INFINITY),
        };
        let stages: Vec<f64> = depth(1).map(key).collect();
        assert!(stages.is_sorted_by(|a, b| a >= b), "{sort:?} {stages:?}");
        assert_ne!(rows(&w), before, "{sort:?}");
        // Rows stay below their module.
        let model = &state.open.as_ref().unwrap().model;
        let mut above: Vec<Node> = Vec::new();
        for row in &state.view.rows {
            above.truncate(row.depth as usize);
            let parent = row.node.parent(model).map(Node::Module);
            assert_eq!(parent, above.last().copied());
            above.push(row.node);
        }
    }
    // A header sorts by the pointer; the same again ends it.
    for (times, sort) in [(1, Sort::Gpu), (2, Sort::Execution)] {
        let header = "Sort the tree by GPU ms";
        w.get_by_role_and_label(Role::ColumnHeader, header).click();
        w.settle();
        assert_eq!(w.state().sort, sort, "{times}");
    }
    assert_eq!(rows(&w), before);
}

#[test]
fn a_zero_and_a_dash_are_explained() {
    let mut w = window();
    w.set_size(Vec2::new(1280.0, 2400.0));
    w.settle();
    let zero = labels(&w, Role::Label, "GPU 0 of layer1.0.bn1");
    let relu = labels(&w, Role::Label, "Fused into");
    assert!(!relu.is_empty(), "{zero:?}");
    assert!(relu.iter().all(|l| l.contains("which bears the time")));
    // The rule that refuses is named.
    let dash = labels(&w, Role::Label, "DLA no time of");
    assert!(dash.iter().any(|l| l.contains("the DLA takes")), "{dash:?}");
}

#[test]
fn two_placements_stand_side_by_side() {
    let mut w = window();
    assign(&mut w, "layer1", Device::Dla);
    w.state_mut().apply(Command::KeepAs("first".into()));
    w.settle();
    let id = w.state().kept[0].id;
    w.state_mut()
        .apply(Command::CompareWith(Some(Other::Kept(id))));
    w.settle();
    assert_eq!(w.state().compare.comparison().unwrap().differing(), 0);
    w.state_mut().apply(Command::Filter("is:differs".into()));
    w.settle();
    let same = "Every op runs on the same device in both";
    assert!(w.query_by_label(same).is_some());
    w.state_mut().apply(Command::Filter(String::new()));
    assign(&mut w, "layer2", Device::Dla);
    let ops = w.state().compare.comparison().unwrap().differing();
    assert!(ops > 5, "{ops}");
    // The tree: a second device, a difference, and only what differs.
    assert!(!labels(&w, Role::Label, "difference of layer2 in first: GPU").is_empty());
    w.get_by_role_and_label(Role::CheckBox, &format!("Differences only: {ops} ops"))
        .click();
    w.settle();
    let shown = rows(&w);
    assert!(shown.iter().any(|r| r.starts_with("layer2.0")), "{shown:?}");
    assert!(!shown.iter().any(|r| r.starts_with("layer3")), "{shown:?}");
    // The ribbon and the chart.
    assert_eq!(labels(&w, Role::Label, "Beside first, est.").len(), 1);
    let points = &w.state().points;
    let other = &points.chart.points[points.other.unwrap()];
    assert_eq!(other.label, "first");
    // What makes the difference adds up to it.
    let compare = &w.state().compare;
    let judged = w.state().fresh().unwrap();
    let this = &judged.breakdown.as_ref().unwrap().waterfall;
    let that = compare.other.as_ref().unwrap();
    let fall = &that.breakdown.as_ref().unwrap().waterfall;
    let sum: f64 = this.less(fall).iter().map(|(_, ms)| ms).sum();
    let delta = this.to.value().unwrap() - fall.to.value().unwrap();
    assert!((sum - delta).abs() < 1e-4, "{sum} {delta}");
    // Another target judges both anew.
    let before = that.estimate.fps.value();
    w.state_mut().apply(Command::Board("agx-orin-64"));
    w.settle();
    let after = w.state().compare.other.as_ref().unwrap();
    assert_ne!(after.estimate.fps.value(), before);
    // Comparing no more takes away what only had a meaning with it.
    w.state_mut().apply(Command::CompareWith(None));
    w.settle();
    assert!(w.state().filter.is_empty() && w.state().compare.comparison().is_none());
    assert!(w.state().points.other.is_none());
}

#[test]
fn as_it_is_now_is_remembered_while_the_placement_changes() {
    let mut w = window();
    w.key(Modifiers::COMMAND, Key::D);
    let now = Command::CompareWith(Some(Other::Now));
    w.state_mut().apply(now);
    w.settle();
    w.state_mut().apply(Command::All(Device::Dla));
    w.settle();
    let compared = w.state().compare.comparison().unwrap();
    let dla = w.state().fresh().unwrap().plan.dla_ops();
    assert_eq!(compared.differing() as usize, dla);
    w.state_mut().apply(Command::Sort(Sort::Delta));
    w.settle();
    let rows = w.state().view.rows.iter().filter(|r| r.depth == 1);
    let deltas: Vec<f64> = rows
        .map(|r| r.pair.unwrap().delta_ms().unwrap_or(f64::NEG_INFINITY))
        .collect();
    assert!(deltas.is_sorted_by(|a, b| a >= b), "{deltas:?}");
    // Another model has other modules.
    w.state_mut()
        .apply(Command::OpenPath("bundled:googlenet".into()));
    w.settle();
    assert!(w.state().compare.with.is_none());
    assert_eq!(w.state().sort, Sort::Execution);
}

#[test]
fn a_placement_is_shown_on_all_boards_and_modes() {
    let mut w = window();
    w.state_mut().apply(Command::ShowCompare);
    w.settle();
    for (over, title) in [
        (Over::Boards, "Compare on all boards"),
        (Over::Modes, "Compare in all power modes"),
    ] {
        w.click(title);
        let (revision, of, found) = w.state().compare.targets.clone().unwrap();
        assert_eq!((revision, of), (w.state().revision, over));
        let expected = match over {
            Over::Boards => dlaplan::platform::boards().len(),
            Over::Modes => w.state().target.board.modes.len(),
        };
        assert_eq!(found.len(), expected);
        let here = found.iter().find(|r| r.target == w.state().target).unwrap();
        let estimate = &w.state().fresh().unwrap().estimate;
        assert_eq!(here.estimate.fps.value(), estimate.fps.value());
    }
    w.state_mut().apply(Command::CopyTargets);
    w.run_steps(1);
    let copied = w.output().platform_output.commands.clone();
    let table = |c: &egui::OutputCommand| matches!(c, egui::OutputCommand::CopyText(t) if t.starts_with("target,fps,"));
    assert!(copied.iter().any(table), "{copied:?}");
    // A click plans for that target.
    let other = labels(&w, Role::Button, "Xavier NX 10W: ");
    w.click(&other[0]);
    assert_eq!(w.state().target.mode.name, "10W");
    assert!(w.query_by_label_contains("has changed since").is_some());
    // Below a long comparison too, what a command from elsewhere brings is in view.
    let all_dla = Some(Other::All(Device::Dla));
    w.state_mut().apply(Command::CompareWith(all_dla));
    w.settle();
    w.state_mut().apply(Command::CompareOver(Over::Boards));
    w.settle();
    let screen = w.ctx.viewport_rect();
    let drawn = w.get_by_role_and_label(Role::Button, "Compare on all boards");
    assert!(screen.contains_rect(drawn.rect()), "{:?}", drawn.rect());
    let rows = labels(&w, Role::Button, "Orin NX 16GB MAXN: ");
    assert!(!rows.is_empty());
    // And where another panel shows, or only the tree has room.
    for size in [Vec2::new(1280.0, 720.0), Vec2::new(640.0, 360.0)] {
        let mut w = window();
        w.set_size(size);
        w.state_mut().apply(Command::CompareOver(Over::Boards));
        w.settle();
        let drawn = w.get_by_role_and_label(Role::Button, "Compare on all boards");
        let window = Rect::from_min_size(Pos2::ZERO, size);
        assert!(window.contains_rect(drawn.rect()), "{:?}", drawn.rect());
        let first = labels(&w, Role::Button, "Xavier NX 15W: ");
        let row = w.get_by_role_and_label(Role::Button, &first[0]);
        assert!(window.contains_rect(row.rect()), "{:?}", row.rect());
    }
}

#[test]
fn a_model_without_an_estimate_is_compared_by_its_devices() {
    let mut w = window();
    w.state_mut().apply(Command::Board("thor"));
    w.state_mut()
        .apply(Command::CompareWith(Some(Other::All(Device::Dla))));
    w.state_mut().apply(Command::Chart(View::Scatter));
    w.settle();
    let compared = w.state().compare.comparison().unwrap();
    assert!(compared.modules[0].delta_ms().is_none());
    assert!(!labels(&w, Role::ComboBox, "Compare with").is_empty());
}

#[test]
fn a_note_stays_with_its_kept_placement() {
    let mut w = window();
    w.state_mut().apply(Command::KeepAs("mine".into()));
    w.settle();
    let id = w.state().kept[0].id;
    w.state_mut().apply(Command::AskNote(id));
    w.settle();
    w.get_by_role_and_label(Role::TextInput, "Note")
        .type_text("before pruning");
    w.settle();
    w.click("Save note");
    assert_eq!(w.state().kept[0].note, "before pruning");
    // Renaming leaves it, another window reads it.
    w.state_mut().apply(Command::RenameKept(id, "yours".into()));
    w.settle();
    let data = std::sync::Arc::clone(&w.data);
    drop(w);
    let path = data.path().join("history.sqlite");
    let mut store = dlaplan::history::Store::open(&path).unwrap();
    let kept = store.kept(None).unwrap();
    assert_eq!(
        (kept[0].kept.name.as_str(), kept[0].note.as_str()),
        ("yours", "before pruning")
    );
}

#[test]
fn the_title_tells_a_placement_that_is_nowhere_else() {
    let mut w = window();
    let modified = |w: &Window<'_>| w.state().title().contains('•');
    assert!(!modified(&w), "nothing was placed yet");
    assign(&mut w, "layer1", Device::Dla);
    assert!(modified(&w), "{}", w.state().title());
    w.state_mut().apply(Command::KeepAs("one".into()));
    w.settle();
    assert!(!modified(&w));
    assign(&mut w, "layer2", Device::Dla);
    assert!(modified(&w));
    let file = w.data.path().join("two.placement.json");
    let save = Command::ExportTo(dlaplan::export::Format::Placement, file.clone());
    w.state_mut().apply(save);
    w.settle();
    assert!(!modified(&w), "it is in a file");
    assign(&mut w, "layer3", Device::Dla);
    assert!(modified(&w));
    w.state_mut().apply(Command::OpenPath(file));
    w.settle();
    assert!(!modified(&w));
    w.state_mut().apply(Command::Undo);
    w.settle();
    assert!(modified(&w));
    w.state_mut().apply(Command::Undo);
    w.settle();
    assert!(!modified(&w), "as in the file");
}

#[test]
fn rows_are_copied_and_exported_as_they_stand() {
    let mut w = window();
    assign(&mut w, "layer1", Device::Dla);
    w.row("layer2");
    w.row_with("layer1", Modifiers::COMMAND);
    w.event(egui::Event::Copy);
    w.run_steps(1);
    let copied = w
        .output()
        .platform_output
        .commands
        .iter()
        .find_map(|c| match c {
            egui::OutputCommand::CopyText(text) => Some(text.clone()),
            _ => None,
        });
    let copied = copied.expect("on the clipboard");
    let lines: Vec<&str> = copied.lines().collect();
    assert_eq!(lines.len(), 3, "{copied}");
    assert!(lines[0].starts_with("module_or_op\tops\t"));
    assert!(lines[1].starts_with("layer1\t") && lines[1].contains("\tDLA\t"));
    assert!(lines[2].starts_with("layer2\t") && lines[2].contains("\tGPU\t"));
    // The file has the rows as they are filtered and sorted.
    w.filter("conv2");
    w.state_mut().apply(Command::Sort(Sort::Gpu));
    w.settle();
    let file = w.data.path().join("tree.csv");
    w.state_mut().apply(Command::ExportTreeTo(file.clone()));
    w.settle();
    let text = std::fs::read_to_string(file).unwrap();
    let first = |line: &str| line.split(',').next().unwrap().to_owned();
    let names: Vec<String> = text.lines().skip(1).map(first).collect();
    let expected: Vec<String> = rows(&w)
        .into_iter()
        .map(|r| {
            if r == "the whole network" {
                "resnet18".into()
            } else {
                r
            }
        })
        .collect();
    assert_eq!(names, expected);
}

/// F6 reaches any panel, whatever stands on the right, without walking through its controls.
#[test]
fn every_panel_is_a_few_keys_away() {
    use egui_kittest::kittest::NodeT as _;
    for (command, title) in [
        (Command::ShowTime, "Where the time goes"),
        (Command::ShowCompare, "Compare"),
    ] {
        let mut w = window();
        w.state_mut().apply(command);
        w.settle();
        let mut presses = 0;
        loop {
            w.key(Modifiers::NONE, Key::F6);
            presses += 1;
            let panel = w.query_by_role_and_label(Role::Pane, title).unwrap();
            if panel.accesskit_node().is_focused() {
                break;
            }
            assert!(presses < 6, "{title} is not reached");
        }
    }
}
