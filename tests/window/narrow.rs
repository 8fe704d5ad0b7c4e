//! The window where room is short.

use crate::window::{NoDialogs, open_on};
use crate::window::{Window, text_of, window};
use dlaplan::chart::View;
use dlaplan::gui::{Command, Dialog, GoalKind, Options, Other, Pane, Purpose, SMALLEST};
use dlaplan::placement::Device;
use egui::accesskit::Role;
use egui::{AreaState, Event, Id, Key, Modifiers, PointerButton, Pos2, Rect, Vec2};
use egui_kittest::kittest::Queryable as _;
use std::sync::Arc;

/// What the tree and the search leave for the ribbon and the chart.
fn centre(w: &Window<'_>) -> Rect {
    let rows: Vec<_> = w.query_all_by_role(Role::TreeItem).collect();
    let tree = rows[0].rect();
    let goal = w.get_by_role_and_label(Role::ComboBox, "Goal").rect();
    Rect::from_min_max(
        tree.right_top(),
        Pos2::new(goal.left() - 12.0, tree.bottom()),
    )
}

fn finding(width: f32) -> Window<'static> {
    let mut w = window();
    w.set_size(Vec2::new(width, 720.0));
    w.settle();
    w.click("GPU layer1");
    w.click("Find best");
    w.settle();
    w
}

fn button(pos: Pos2, pressed: bool) -> Event {
    Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    }
}

fn drag(w: &mut Window<'_>, from: Pos2, to: Pos2) {
    for event in [
        Event::PointerMoved(from),
        button(from, true),
        Event::PointerMoved(from.lerp(to, 0.5)),
        Event::PointerMoved(to),
        button(to, false),
    ] {
        w.event(event);
        w.run_steps(1);
    }
    w.settle();
}

#[test]
fn nothing_of_the_centre_is_cut_at_the_smallest_width() {
    let mut w = finding(1180.0);
    for view in ["FPS per placement", "FPS against DLA share"] {
        w.get_by_role_and_label(Role::Tab, view).click();
        w.settle();
        let centre = centre(&w);
        assert!(centre.width() >= 439.0, "{centre}");
        let tabs = w.query_all_by_role(Role::Tab);
        let labels = w.query_all_by_role(Role::Label).filter(|n| {
            let text = text_of(n);
            [
                "published",
                "front",
                "Pareto front",
                "found",
                "subgraphs 1/16",
            ]
            .contains(&text.as_str())
                || text.starts_with("estimated")
        });
        let mut seen = 0;
        for node in tabs.chain(labels) {
            let rect = node.rect();
            let name = text_of(&node);
            assert!(
                rect.right() <= centre.right() + 0.5,
                "{view}: {name} {rect}"
            );
            assert!(rect.left() >= centre.left() - 0.5, "{view}: {name} {rect}");
            seen += 1;
        }
        assert!(seen > 5, "{view}: {seen}");
    }
}

#[test]
fn the_centre_keeps_its_width_whatever_is_dragged() {
    let mut w = finding(1920.0);
    assert!(centre(&w).width() > 700.0);
    let at = centre(&w);
    drag(&mut w, at.left_top(), Pos2::new(1500.0, at.top()));
    assert!(centre(&w).width() >= 439.0, "{}", centre(&w));
    assert!(centre(&w).left() > at.left() + 50.0, "the splitter moved");
    let at = centre(&w);
    drag(
        &mut w,
        at.right_top(),
        Pos2::new(at.left() + 20.0, at.top()),
    );
    assert!(centre(&w).width() >= 439.0, "{}", centre(&w));
    for width in [1280.0, 1180.0] {
        w.set_size(Vec2::new(width, 720.0));
        w.settle();
        assert!(centre(&w).width() >= 439.0, "{width}: {}", centre(&w));
    }
}

/// Sizes of screens, at 100, 150 and 200 %.
fn sizes() -> Vec<Vec2> {
    let screens = [
        [800.0, 480.0],
        [1024.0, 600.0],
        [1180.0, 600.0],
        [1280.0, 720.0],
        [1920.0, 1080.0],
    ];
    let scaled = |[w, h]: [f32; 2]| [1.0, 1.5, 2.0].map(|by| Vec2::new(w / by, h / by));
    screens.into_iter().flat_map(scaled).collect()
}

/// Controls whose middle is in a part of the window, with what they are called.
fn controls(w: &Window<'_>, part: Rect) -> Vec<(String, Rect)> {
    [Role::Button, Role::ComboBox, Role::SpinButton, Role::Tab]
        .into_iter()
        .flat_map(|role| w.query_all_by_role(role))
        .map(|n| (text_of(&n), n.rect()))
        .filter(|(_, rect)| part.contains(rect.center()))
        .collect()
}

fn no_overlap(w: &Window<'_>, part: Rect, when: &str) -> usize {
    let found = controls(w, part);
    for (i, (name, rect)) in found.iter().enumerate() {
        assert!(
            rect.left() >= -0.5 && rect.right() <= part.right() + 0.5,
            "{when}: {name} {rect} in {part}"
        );
        for (other, beside) in &found[i + 1..] {
            let both = rect.intersect(*beside);
            let apart = both.width() <= 0.5 || both.height() <= 0.5;
            assert!(apart, "{when}: {name} {rect} and {other} {beside}");
        }
    }
    found.len()
}

/// A window with a model of a long name.
fn long_name() -> Window<'static> {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let name = "a_segmentation_network_for_road_scenes_with_deformable_heads_v2.onnx";
    let file = data.path().join(name);
    std::fs::File::create(&file)
        .and_then(|mut f| std::io::Write::write_all(&mut f, &crate::open_dims::symbolic_model()))
        .unwrap();
    let options = Options {
        model: Some(file),
        inputs: [("x".to_owned(), vec![1, 3, 8, 8])].into(),
        ..Options::default()
    };
    open_on(options, data, NoDialogs { available: false })
}

#[test]
fn the_bars_never_overlap_themselves() {
    for mut w in [window(), long_name()] {
        for size in sizes() {
            w.set_size(size);
            w.settle();
            let when = format!("{size}");
            let top = Rect::from_min_size(Pos2::ZERO, Vec2::new(size.x, 40.0));
            let seen = no_overlap(&w, top, &when);
            assert!(seen >= 4, "{when}: {seen}");
            let line = w.get_all_by_role(Role::Status).last().map(|n| n.rect());
            let inside = |r: Rect| r.bottom() <= size.y && r.right() <= size.x && r.width() > 60.0;
            assert!(line.is_some_and(inside), "{when}: {line:?}");
        }
        // Every width in between, where parts give way to each other.
        for width in (SMALLEST[0] as u32..1700).step_by(23) {
            w.set_size(Vec2::new(width as f32, 600.0));
            w.run_steps(2);
            let top = Rect::from_min_size(Pos2::ZERO, Vec2::new(width as f32, 40.0));
            no_overlap(&w, top, &format!("{width}"));
        }
    }
}

#[test]
fn what_the_bar_has_no_room_for_is_in_its_menus() {
    let mut w = window();
    w.set_size(Vec2::new(SMALLEST[0], SMALLEST[1]));
    w.settle();
    w.click("Engine");
    w.click("Precision: FP16");
    w.click("INT8");
    assert_eq!(w.state().config().precision.title(), "INT8");
    w.click("Target");
    w.click("Power mode: 15W");
    let mode = w.state().target.mode.name;
    assert_eq!(mode, "15W");
    w.key(Modifiers::NONE, Key::Escape);
    w.key(Modifiers::NONE, Key::Escape);
    w.click("More");
    for label in ["Undo  Ctrl+Z", "Keep placement…"] {
        let found = controls(&w, Rect::EVERYTHING);
        let start = label.split("  ").next().unwrap();
        assert!(
            found.iter().any(|(name, _)| name.starts_with(start)),
            "{start}: {found:?}"
        );
    }
}

#[test]
fn every_panel_is_reached_at_every_size() {
    for size in sizes() {
        let mut w = window();
        w.set_size(size);
        w.settle();
        let tab = |w: &Window<'_>, name: &str| {
            w.query_by_role_and_label(Role::Tab, name).map(|n| n.rect())
        };
        for (panel, inside) in [
            ("Tree", ""),
            ("Chart", "FPS per placement"),
            ("Inspector", "On DLA"),
        ] {
            if let Some(rect) = tab(&w, panel) {
                assert!(rect.right() <= size.x, "{size}: {rect}");
                w.get_by_role_and_label(Role::Tab, panel).click();
                w.settle();
            }
            let there = match panel {
                "Tree" => w.query_all_by_role(Role::TreeItem).next(),
                "Chart" => w.query_by_role_and_label(Role::Tab, inside),
                _ => w.query_by_label(inside),
            };
            let rect = there.map(|n| n.rect());
            let screen = Rect::from_min_size(Pos2::ZERO, size);
            assert!(
                rect.is_some_and(|r| screen.contains(r.left_top())),
                "{size}: {panel} {rect:?}"
            );
        }
        for (command, panel, inside) in [
            (Command::ShowTime, "Time", "Running"),
            (Command::ShowCompare, "Compare", "Compare with"),
        ] {
            w.state_mut().apply(command);
            w.settle();
            if tab(&w, panel).is_some() {
                w.get_by_role_and_label(Role::Tab, panel).click();
                w.settle();
            }
            let there = w.query_by_role_and_label(Role::ComboBox, inside);
            let rect = there.map(|n| n.rect());
            let screen = Rect::from_min_size(Pos2::ZERO, size);
            assert!(
                rect.is_some_and(|r| screen.contains_rect(r)),
                "{size}: {panel} {rect:?}"
            );
        }
    }
}

#[test]
fn nothing_is_cut_at_the_right_at_any_size() {
    for size in sizes().into_iter().chain([SMALLEST.into()]) {
        let mut w = window();
        w.click("GPU layer1");
        w.set_size(size);
        w.settle();
        let check = |w: &Window<'_>, what: &str| {
            let mut seen = 0;
            for role in [
                Role::Tab,
                Role::ComboBox,
                Role::SpinButton,
                Role::TextInput,
                Role::Button,
                Role::TreeItem,
                Role::CheckBox,
            ] {
                for node in w.query_all_by_role(role) {
                    let (name, rect) = (text_of(&node), node.rect());
                    let inside = rect.left() >= -0.5 && rect.right() <= size.x + 0.5;
                    assert!(inside, "{size} {what}: {name} {rect}");
                    seen += 1;
                }
            }
            assert!(seen > 0, "{size} {what}");
        };
        let commands = [
            Command::Pane(Pane::Tree),
            Command::Chart(View::Bars),
            Command::Chart(View::Scatter),
            Command::Chart(View::Deployments),
            Command::ShowRuns,
            Command::Pane(Pane::Side),
            Command::ShowTime,
            Command::CompareWith(Some(Other::All(Device::Dla))),
            Command::ShowMap,
            Command::Pane(Pane::Tree),
            Command::FindGoal(GoalKind::Deployment),
            Command::FullChart,
        ];
        for command in commands {
            let what = format!("{command:?}");
            w.state_mut().apply(command);
            w.settle();
            check(&w, &what);
        }
    }
}

#[test]
fn the_scatter_stays_under_the_wheel_and_has_a_way_back() {
    let mut w = window();
    w.get_by_role_and_label(Role::Tab, "FPS against DLA share")
        .click();
    w.settle();
    let place = |w: &Window<'_>| {
        let point = w
            .query_all_by_role(Role::Button)
            .find(|n| text_of(n).starts_with("this placement"));
        point.map(|n| n.rect().center())
    };
    let start = place(&w).unwrap();
    let middle = start + Vec2::new(200.0, 60.0);
    w.event(Event::PointerMoved(middle));
    w.event(Event::MouseWheel {
        unit: egui::MouseWheelUnit::Line,
        delta: Vec2::new(0.0, 5.0),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Wheel,
        modifiers: Modifiers::NONE,
    });
    w.settle();
    assert_eq!(place(&w), Some(start));
    assert!(w.query_by_label("Show all").is_none());
    drag(&mut w, middle, middle + Vec2::new(90.0, 0.0));
    let moved = place(&w).unwrap();
    assert!((moved.x - start.x - 90.0).abs() < 3.0, "{start} {moved}");
    w.click("Show all");
    assert_eq!(place(&w), Some(start));
    assert!(w.query_by_label("Show all").is_none());
}

#[test]
fn the_tree_gets_its_width_back() {
    let mut w = window();
    let tree = |w: &Window<'_>| {
        let rows: Vec<_> = w.query_all_by_role(Role::TreeItem).collect();
        rows[0].rect().width()
    };
    w.set_size(Vec2::new(1920.0, 900.0));
    w.settle();
    let default = tree(&w);
    let splitter = w.get_all_by_role(Role::Splitter).map(|n| n.rect());
    let splitter = splitter.min_by(|a, b| a.left().total_cmp(&b.left()));
    let from = splitter.unwrap().center();
    drag(&mut w, from, Pos2::new(700.0, from.y));
    let chosen = tree(&w);
    assert!((chosen - 700.0).abs() < 12.0, "{default} {chosen}");
    for width in [1100.0, 700.0, 420.0] {
        w.set_size(Vec2::new(width, 600.0));
        w.settle();
    }
    w.set_size(Vec2::new(1920.0, 900.0));
    w.settle();
    assert!((tree(&w) - chosen).abs() < 2.0, "{} {chosen}", tree(&w));
}

#[test]
fn dialogs_fit_their_content_and_the_window() {
    let mut w = window();
    w.state_mut().apply(Command::Shortcuts);
    w.settle();
    let tall = w.get_by_role_and_label(Role::Button, "Close").rect();
    w.state_mut().apply(Command::CloseDialog);
    w.state_mut().apply(Command::Keep);
    w.settle();
    let field = w.get_by_role_and_label(Role::TextInput, "Name").rect();
    let keep = w.get_by_role_and_label(Role::Button, "Keep").rect();
    assert!(keep.bottom() < tall.bottom() - 100.0, "{keep} {tall}");
    assert!(keep.top() - field.bottom() < 30.0, "{keep} {field}");
    for size in [Vec2::new(SMALLEST[0], SMALLEST[1]), Vec2::new(512.0, 300.0)] {
        w.set_size(size);
        for command in [Command::Shortcuts, Command::Messages, Command::About] {
            w.state_mut().apply(command.clone());
            w.settle();
            let close = w.get_by_role_and_label(Role::Button, "Close").rect();
            let screen = Rect::from_min_size(Pos2::ZERO, size);
            assert!(screen.contains_rect(close), "{command:?} {size}: {close}");
        }
    }
}

#[test]
fn cards_cover_nothing_and_go_together() {
    let mut w = finding(1280.0);
    for n in 0..6 {
        let title = format!("no_such_{n}.onnx");
        w.state_mut().apply(Command::OpenPath(title.into()));
    }
    w.settle();
    assert_eq!(w.state().messages.cards().count(), 6);
    assert!(w.query_by_label("3 more…").is_some());
    let first = w.get_by_role_and_label(Role::Button, "Close all").rect();
    // The panels end where the cards begin.
    let mut splitters = 0;
    for splitter in w.query_all_by_role(Role::Splitter) {
        let rect = splitter.rect();
        assert!(rect.bottom() <= first.top(), "{rect} {first}");
        splitters += 1;
    }
    assert_eq!(splitters, 2);
    w.click("Close all");
    assert_eq!(w.state().messages.cards().count(), 0);
    assert_eq!(w.state().messages.all().len(), 6);
}

#[test]
fn enter_keeps_the_keyboard_where_input_is_not_complete() {
    let mut w = window();
    w.key(Modifiers::COMMAND, Key::K);
    w.key(Modifiers::COMMAND, Key::A);
    w.key(Modifiers::NONE, Key::Delete);
    w.key(Modifiers::NONE, Key::Enter);
    assert!(w.ctx.text_edit_focused());
    assert!(matches!(w.state().dialog, Some(Dialog::Keep { .. })));
    w.key(Modifiers::NONE, Key::Escape);
    w.state_mut().apply(Command::AskMeasureOn);
    w.settle();
    w.key(Modifiers::NONE, Key::Enter);
    assert!(w.ctx.text_edit_focused());
}

#[test]
fn the_path_field_completes_and_keeps_no_old_caret() {
    let mut w = window();
    let folder = w.data.path().join("nets");
    std::fs::create_dir(&folder).unwrap();
    for name in [
        "resnet_a.onnx",
        "resnet_b.onnx",
        "notes.txt",
        ".hidden.onnx",
    ] {
        std::fs::File::create(folder.join(name)).unwrap();
    }
    let typed = |w: &Window<'_>| match &w.state().dialog {
        Some(Dialog::Path { text, .. }) => text.clone(),
        _ => String::new(),
    };
    let start = format!("{}/ne", w.data.path().display());
    let ask = |w: &mut Window<'_>, text: &str| {
        w.state_mut().dialog = Some(Dialog::Path {
            purpose: Purpose::OpenModel,
            text: text.to_owned(),
            note: String::new(),
        });
        w.settle();
        w.run_steps(2);
    };
    ask(&mut w, &start);
    w.key(Modifiers::NONE, Key::Tab);
    assert_eq!(typed(&w), format!("{}/", folder.display()));
    // Only what can be opened is offered.
    w.run_steps(2);
    assert!(w.query_by_label("notes.txt").is_none());
    assert!(w.query_by_label(".hidden.onnx").is_none());
    w.type_into("Path", "resnet_b");
    w.key(Modifiers::NONE, Key::Tab);
    let whole = format!("{}/resnet_b.onnx", folder.display());
    assert_eq!(typed(&w), whole);
    // So does a click.
    ask(&mut w, &format!("{}/", folder.display()));
    let row = w
        .get_by_role_and_label(Role::Button, "resnet_b.onnx")
        .rect();
    for event in [
        Event::PointerMoved(row.center()),
        button(row.center(), true),
        button(row.center(), false),
    ] {
        w.event(event);
        w.run_steps(1);
    }
    w.run_steps(2);
    assert_eq!(typed(&w), whole);
    // And Enter, where the path is not whole yet.
    ask(&mut w, &format!("{}/resnet", folder.display()));
    w.key(Modifiers::NONE, Key::ArrowDown);
    w.key(Modifiers::NONE, Key::Enter);
    assert_eq!(typed(&w), whole);
    w.key(Modifiers::NONE, Key::Enter);
    assert!(w.state().dialog.is_none());
    w.settle();
    assert_eq!(w.state().messages.cards().count(), 1);
    // A longer path afterwards: the caret is at its end.
    ask(&mut w, &format!("{whole}.zip"));
    w.key(Modifiers::NONE, Key::Backspace);
    assert_eq!(typed(&w), format!("{whole}.zi"));
}

#[test]
fn completions_are_whole_rows_as_many_as_fit() {
    for (size, least) in [
        (Vec2::new(1280.0, 720.0), 8),
        (Vec2::new(800.0, 480.0), 6),
        (Vec2::new(640.0, 360.0), 4),
        (Vec2::from(SMALLEST), 1),
    ] {
        let mut w = window();
        w.set_size(size);
        let folder = w.data.path().join("nets");
        std::fs::create_dir(&folder).unwrap();
        for n in 10..40 {
            std::fs::File::create(folder.join(format!("net{n}.onnx"))).unwrap();
        }
        // One row, then all, then fewer.
        w.state_mut().dialog = Some(Dialog::Path {
            purpose: Purpose::OpenModel,
            text: format!("{}/ne", w.data.path().display()),
            note: String::new(),
        });
        w.settle();
        let list = Id::unique("path").with("completion_popup");
        let seen = |w: &mut Window<'_>, offered: usize| {
            w.run_steps(3);
            let area = AreaState::load(&w.ctx, list).unwrap().rect();
            let window = Rect::from_min_size(Pos2::ZERO, size);
            assert!(window.contains_rect(area), "{area} in {size}");
            let rows: Vec<Rect> = w
                .query_all_by_role(Role::Button)
                .filter(|n| text_of(n).starts_with("net"))
                .map(|n| n.rect())
                .collect();
            assert_eq!(rows.len(), offered);
            let (inside, cut): (Vec<Rect>, Vec<Rect>) = rows
                .into_iter()
                .filter(|r| area.intersect(*r).height() > 8.0)
                .partition(|r| area.contains_rect(*r));
            assert!(cut.is_empty(), "{cut:?} in {area}");
            inside.len()
        };
        assert_eq!(seen(&mut w, 1), 1, "{size}");
        w.key(Modifiers::NONE, Key::Tab);
        let most = seen(&mut w, 30);
        assert!((least..=8).contains(&most), "{most} at {size}");
        w.type_into("Path", "net1");
        assert_eq!(seen(&mut w, 10), most.min(10), "{size}");
        w.type_into("Path", "5");
        assert_eq!(seen(&mut w, 1), 1, "{size}");
        w.key(Modifiers::NONE, Key::Backspace);
        assert_eq!(seen(&mut w, 10), most, "{size}");
    }
}

#[test]
fn the_legend_never_stands_on_a_tab() {
    let mut w = window();
    // Without published figures the legend has one entry.
    w.state_mut().apply(Command::Board("orin-nx-16"));
    let mut seen = 0;
    for width in (400..1400).step_by(50) {
        w.set_size(Vec2::new(width as f32, 500.0));
        w.settle();
        w.state_mut().apply(Command::Chart(View::Bars));
        w.settle();
        let tabs: Vec<Rect> = w.query_all_by_role(Role::Tab).map(|n| n.rect()).collect();
        for node in w.query_all_by_role(Role::Label) {
            if !text_of(&node).starts_with("estimated") {
                continue;
            }
            // Its sample stands before the text.
            let mut entry = node.rect();
            entry.min.x -= 20.0;
            seen += 1;
            for tab in &tabs {
                let both = entry.intersect(*tab);
                let apart = both.width() <= 0.5 || both.height() <= 0.5;
                assert!(apart, "{width}: {entry} {tab}");
            }
        }
    }
    assert!(seen > 10, "{seen}");
}
