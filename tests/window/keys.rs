//! The window by the keyboard alone.

use crate::window::{Window, text_of, window};
use dlaplan::gui::{Command, Node, Other, Over, Pane};
use dlaplan::placement::{Device, Site};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;

const NONE: Modifiers = Modifiers::NONE;

fn selected(w: &Window<'_>) -> Vec<String> {
    let state = w.state();
    let model = &state.open.as_ref().unwrap().model;
    let nodes = state.selection.nodes.iter();
    nodes.map(|n| n.title(model).to_owned()).collect()
}

fn has_focus(w: &Window<'_>) -> bool {
    w.ctx.memory(|m| m.focused().is_some())
}

fn focus(w: &mut Window<'_>, role: Role, label: &str) {
    w.get_by_role_and_label(role, label).focus();
    w.settle();
}

fn said(w: &Window<'_>, path: &str) -> Option<Device> {
    let overrides = &w.state().doc.placement().overrides;
    overrides.get(&Site::Module(path.into())).copied()
}

#[test]
fn placement_keys_act_on_the_row_with_the_keyboard() {
    let mut w = window();
    focus(&mut w, Role::TreeItem, "layer2");
    w.key(NONE, Key::D);
    assert_eq!(said(&w, "layer2"), Some(Device::Dla));
    assert_eq!(selected(&w), ["layer2"]);
    w.key(NONE, Key::I);
    assert_eq!(said(&w, "layer2"), None);
    w.key(NONE, Key::Space);
    assert_eq!(said(&w, "layer2"), Some(Device::Dla));
    // The arrows take the keyboard along.
    w.key(NONE, Key::ArrowUp);
    w.key(NONE, Key::ArrowUp);
    w.key(NONE, Key::ArrowUp);
    assert_eq!(selected(&w), ["layer1"]);
    w.key(NONE, Key::D);
    assert_eq!(said(&w, "layer1"), Some(Device::Dla));
    assert!(has_focus(&w));
    // A chip has the keyboard: its row is meant.
    focus(&mut w, Role::Button, "GPU layer4");
    w.key(NONE, Key::D);
    assert_eq!(said(&w, "layer4"), Some(Device::Dla));
}

#[test]
fn a_selection_with_the_keyboard_in_it_is_meant_whole() {
    let mut w = window();
    w.row("layer1");
    w.row_with("layer2", Modifiers::COMMAND);
    focus(&mut w, Role::TreeItem, "layer2");
    w.key(NONE, Key::D);
    assert_eq!(said(&w, "layer1"), Some(Device::Dla));
    assert_eq!(said(&w, "layer2"), Some(Device::Dla));
}

#[test]
fn escape_lets_the_keyboard_go_before_the_selection() {
    let mut w = window();
    w.row("layer1");
    focus(&mut w, Role::TreeItem, "layer1");
    w.key(NONE, Key::Escape);
    assert!(!has_focus(&w));
    assert_eq!(selected(&w), ["layer1"]);
    w.key(NONE, Key::Escape);
    assert!(selected(&w).is_empty());
}

#[test]
fn escape_clears_the_filter_it_is_pressed_in() {
    let mut w = window();
    w.row("layer1");
    w.key(Modifiers::COMMAND, Key::F);
    w.type_into("Filter", "conv2");
    w.key(NONE, Key::Escape);
    assert!(w.state().filter.is_empty());
    assert_eq!(selected(&w), ["layer1"], "the selection stays");
}

#[test]
fn kept_placements_are_renamed_and_deleted_by_keys_and_commands() {
    let mut w = window();
    for name in ["one", "two"] {
        w.state_mut().apply(Command::KeepAs(name.into()));
        w.settle();
    }
    let bar = |w: &Window<'_>, name: &str| {
        let start = format!("{name} fp16");
        w.query_all_by_role(Role::Button)
            .find(|n| text_of(n).starts_with(&start))
            .map(|n| text_of(&n))
    };
    let one = bar(&w, "one").unwrap();
    focus(&mut w, Role::Button, &one);
    w.key(NONE, Key::F2);
    w.key(Modifiers::COMMAND, Key::A);
    w.type_into("Name", "three");
    w.click("Rename");
    assert!(bar(&w, "one").is_none());
    let three = bar(&w, "three").unwrap();
    focus(&mut w, Role::Button, &three);
    w.key(NONE, Key::Delete);
    assert!(bar(&w, "three").is_none());
    w.key(Modifiers::COMMAND, Key::P);
    w.type_into("Command", "delete kept two");
    w.key(NONE, Key::Enter);
    assert!(w.state().kept.is_empty());
}

#[test]
fn the_palette_grows_again_and_writes_nothing_over_a_name() {
    let mut w = window();
    let height = |w: &Window<'_>| {
        let items: Vec<_> = w.query_all_by_role(Role::MenuItem).collect();
        let seen = items.iter().map(|n| n.rect().bottom());
        seen.fold(0.0, f32::max) - items.iter().map(|n| n.rect().top()).fold(9e9, f32::min)
    };
    let list = |w: &Window<'_>| {
        w.get_by_role_and_label(Role::ListBox, "Commands")
            .rect()
            .height()
    };
    w.key(Modifiers::COMMAND, Key::P);
    let full = list(&w);
    assert!(full > 300.0, "{full}");
    w.type_into("Command", "undo");
    assert!(height(&w) < 60.0);
    for _ in 0..4 {
        w.key(NONE, Key::Backspace);
    }
    assert!((list(&w) - full).abs() < 1.0, "{} {full}", list(&w));
}

#[test]
fn a_choice_by_the_keyboard_closes_its_menu() {
    let mut w = window();
    for (menu, choice) in [
        ("Precision", "INT8"),
        ("GPU fallback", "strict   the build fails"),
        // What is chosen already closes it too.
        ("GPU fallback", "strict   the build fails"),
    ] {
        focus(&mut w, Role::ComboBox, menu);
        w.key(NONE, Key::Enter);
        focus(&mut w, Role::Button, choice);
        w.key(NONE, Key::Enter);
        assert!(!egui::Popup::is_any_open(&w.ctx), "{menu}");
    }
    assert!(!w.state().config().gpu_fallback);
}

#[test]
fn about_says_the_version_and_where_files_are() {
    let mut w = window();
    w.state_mut().apply(Command::About);
    w.settle();
    let version = concat!("dlaplan ", env!("CARGO_PKG_VERSION"));
    let folder = w.data.path().display().to_string();
    assert!(w.query_by_label(version).is_some());
    assert!(w.query_by_label(&folder).is_some());
    w.state_mut().apply(Command::CloseDialog);
    w.settle();
    assert!(w.query_by_label(version).is_none());
}

#[test]
fn f6_goes_from_panel_to_panel_and_back() {
    let mut w = window();
    let at = |w: &Window<'_>| {
        let id = w.ctx.memory(egui::Memory::focused).unwrap();
        w.ctx.read_response(id).unwrap().rect.center()
    };
    let rows = |w: &Window<'_>| -> f32 {
        let rows = w
            .query_all_by_role(Role::TreeItem)
            .map(|n| n.rect().right());
        rows.fold(0.0, f32::max)
    };
    let tab = w
        .get_by_role_and_label(Role::Tab, "FPS per placement")
        .rect();
    let tree = rows(&w);
    let inside = |w: &Window<'_>, panel: usize| {
        let p = at(w);
        match panel {
            0 => p.y > 40.0 && p.x < tree,
            1 => p.y > 40.0 && p.y < tab.top() && p.x > tree,
            2 => tab.contains(p),
            3 => p.x > tab.right() && p.y > 40.0,
            _ => p.y < 40.0,
        }
    };
    for panel in [0, 1, 2, 3, 4, 0, 1] {
        w.key(NONE, Key::F6);
        assert!(inside(&w, panel), "{panel}: {}", at(&w));
    }
    w.key(Modifiers::SHIFT, Key::F6);
    assert!(inside(&w, 0), "{}", at(&w));
    // With the search in its place, the side panel is its goal.
    w.click("Find best");
    focus(&mut w, Role::TreeItem, "layer1");
    for _ in 0..3 {
        w.key(NONE, Key::F6);
    }
    let goal = w.get_by_role_and_label(Role::ComboBox, "Goal").rect();
    assert!(goal.contains(at(&w)), "{} {goal}", at(&w));
    // In a small window the panel comes into sight with the keyboard.
    w.set_size(egui::Vec2::new(420.0, 300.0));
    w.state_mut().apply(Command::FocusPane(Pane::Top));
    w.settle();
    w.key(NONE, Key::F6);
    assert!(w.query_all_by_role(Role::TreeItem).next().is_some());
    w.key(NONE, Key::F6);
    assert!(w.query_all_by_role(Role::TreeItem).next().is_none());
}

/// The place of what has the keyboard.
fn place(w: &Window<'_>) -> Option<egui::Pos2> {
    let id = w.ctx.memory(egui::Memory::focused)?;
    Some(w.ctx.read_response(id)?.rect.center())
}

/// The panel that has the keyboard, by what is drawn: top, tree, execution, chart, side.
fn panel(w: &Window<'_>) -> Option<Pane> {
    let at = place(w)?;
    let rows = w.query_all_by_role(Role::TreeItem);
    let tree = rows.map(|n| n.rect().right()).fold(0.0, f32::max);
    let first = w.get_by_role_and_label(Role::Tab, "FPS per placement");
    let grow = w.get_by_role_and_label(Role::Button, "Full-screen chart");
    let bottom = w.ctx.content_rect().bottom() - 26.0;
    match at {
        p if p.y < 40.0 => Some(Pane::Top),
        p if p.y > bottom => None,
        p if p.x < tree => Some(Pane::Tree),
        p if p.x > grow.rect().right() + 10.0 => Some(Pane::Side),
        p if p.y < first.rect().top() => Some(Pane::Execution),
        _ => Some(Pane::Chart),
    }
}

#[test]
fn tab_reaches_every_panel_from_every_other_in_ten_steps() {
    let mut w = window();
    for (name, path) in [("one", "layer1"), ("two", "layer2")] {
        let model = &w.state().open.as_ref().unwrap().model;
        let node = Node::Module(model.modules.find(path).unwrap());
        w.state_mut().apply(Command::AssignNode(node, Device::Dla));
        w.settle();
        w.state_mut().apply(Command::KeepAs(name.into()));
        w.settle();
    }
    for shown in [
        None,
        Some(Command::ShowCompare),
        Some(Command::ShowTime),
        Some(Command::ShowMap),
    ] {
        if let Some(command) = &shown {
            w.state_mut().apply(command.clone());
            w.settle();
        }
        if shown == Some(Command::ShowCompare) {
            let all_gpu = Some(Other::All(Device::Gpu));
            w.state_mut().apply(Command::CompareWith(all_gpu));
            w.state_mut().apply(Command::CompareOver(Over::Boards));
            w.settle();
            assert!(w.state().compare.targets.is_some());
        }
        reaches_every_panel(&mut w, &format!("{shown:?}"));
    }
}

/// Every panel from every other in ten steps of Tab or Shift+Tab.
fn reaches_every_panel(w: &mut Window<'_>, shown: &str) {
    let panes = [
        Pane::Top,
        Pane::Tree,
        Pane::Execution,
        Pane::Chart,
        Pane::Side,
    ];
    for from in panes {
        let mut reached = std::collections::BTreeMap::new();
        for back in [false, true] {
            w.state_mut().apply(Command::FocusPane(from));
            w.settle();
            assert_eq!(panel(w), Some(from), "{shown}");
            let modifiers = if back { Modifiers::SHIFT } else { NONE };
            for step in 1..=10 {
                w.key(modifiers, Key::Tab);
                if let Some(pane) = panel(w) {
                    reached.entry(format!("{pane:?}")).or_insert(step);
                }
            }
        }
        for to in panes {
            let name = format!("{to:?}");
            assert!(
                to == from || reached.contains_key(&name),
                "{shown}, {from:?} to {name}: {reached:?}"
            );
        }
    }
}

#[test]
fn a_list_is_one_stop_of_tab_and_arrows_move_in_it() {
    use egui_kittest::kittest::NodeT as _;
    let mut w = window();
    let has = |w: &Window<'_>, role: Role, label: &str| {
        let node = w.get_by_role_and_label(role, label);
        node.accesskit_node().is_focused()
    };
    focus(&mut w, Role::TreeItem, "layer2");
    w.key(NONE, Key::ArrowDown);
    w.key(NONE, Key::ArrowDown);
    assert!(
        w.query_all_by_role(Role::TreeItem)
            .any(|n| n.accesskit_node().is_focused())
    );
    // Out of the tree at once, and back to the same row.
    let row = w.ctx.memory(egui::Memory::focused);
    w.key(NONE, Key::Tab);
    assert!(
        !w.query_all_by_role(Role::TreeItem)
            .any(|n| n.accesskit_node().is_focused())
    );
    w.key(Modifiers::SHIFT, Key::Tab);
    assert_eq!(w.ctx.memory(egui::Memory::focused), row);
    // The bars of the chart too.
    let bars = |w: &Window<'_>| -> Vec<String> {
        let all = w.query_all_by_role(Role::Button).map(|n| text_of(&n));
        all.filter(|text| text.starts_with("resnet18_fp16_"))
            .collect()
    };
    let names = bars(&w);
    assert!(names.len() > 3, "{names:?}");
    focus(&mut w, Role::Button, &names[0]);
    w.key(NONE, Key::ArrowDown);
    assert!(has(&w, Role::Button, &names[1]));
    w.key(NONE, Key::Tab);
    assert!(!bars(&w).iter().any(|name| has(&w, Role::Button, name)));
    // The bar at the top is left at once and walked with the arrows. Its field is a stop of its own,
    // since the arrows are the field's there.
    focus(&mut w, Role::ComboBox, "Precision");
    w.key(NONE, Key::ArrowLeft);
    assert_eq!(panel(&w), Some(Pane::Top));
    assert!(!has(&w, Role::ComboBox, "Precision"));
    w.key(NONE, Key::Tab);
    assert_eq!(panel(&w), Some(Pane::Tree));
}

#[test]
fn no_two_commands_share_a_chord() {
    let w = window();
    let all = w.state().listed().into_iter().chain([Command::Palette]);
    let mut chords: Vec<(egui::KeyboardShortcut, Command)> = all
        .filter_map(|command| Some((command.shortcut()?, command)))
        .collect();
    // What the keyboard reads besides.
    let chord = |modifiers, key| egui::KeyboardShortcut::new(modifiers, key);
    let shift_command = Modifiers::COMMAND.plus(Modifiers::SHIFT);
    chords.push((chord(shift_command, Key::Z), Command::Redo));
    chords.push((chord(NONE, Key::F6), Command::FocusPane(Pane::Tree)));
    chords.push((
        chord(NONE, Key::Delete),
        Command::Runs(dlaplan::gui::RunsAct::Delete),
    ));
    assert!(chords.len() > 20, "{chords:?}");
    for (i, (keys, command)) in chords.iter().enumerate() {
        for (other_keys, other) in &chords[..i] {
            assert!(
                keys != other_keys || command == other,
                "{command:?} and {other:?}: {keys:?}"
            );
        }
    }
}

#[test]
fn keys_of_one_slow_frame_are_done_as_they_were_pressed() {
    let mut w = window();
    let press = |key| egui::Event::Key {
        key,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: Modifiers::COMMAND,
    };
    // Compare and then the search, which hides it: the other way round the search would be closed.
    w.input_mut().events.extend([Key::D, Key::B].map(press));
    w.settle();
    assert!(w.state().find.open);
}

#[test]
fn a_dialog_closes_the_tooltip_below_it() {
    let hint = "Click to switch device, again to set it here explicitly, again to inherit";
    for keys in [Key::O, Key::P] {
        let mut w = window();
        w.get_by_role_and_label(Role::Button, "GPU layer2").hover();
        w.run_steps(8);
        assert!(w.query_by_label(hint).is_some());
        w.key(Modifiers::COMMAND, keys);
        w.run_steps(4);
        assert!(w.query_by_label(hint).is_none(), "{keys:?}");
        w.key(Modifiers::NONE, Key::Escape);
        w.key(Modifiers::NONE, Key::Escape);
        // Back in the open it shows again.
        w.get_by_role_and_label(Role::Button, "GPU layer2").hover();
        w.run_steps(8);
        assert!(w.query_by_label(hint).is_some(), "{keys:?}");
    }
}

#[test]
fn the_palette_says_in_full_why_a_command_cannot_be_run() {
    let mut w = window();
    w.click("GPU layer1");
    let why = "trtexec of TensorRT 8.5 cannot place single layers";
    w.key(Modifiers::COMMAND, Key::P);
    w.type_into("Command", "export trtexec");
    w.run_steps(2);
    let said = |n: &egui_kittest::Node<'_>| text_of(n).contains(why);
    assert_eq!(w.query_all_by_role(Role::Label).filter(said).count(), 1);
    w.key(NONE, Key::Enter);
    assert!(w.state().palette.is_some());
}

#[test]
fn the_chosen_command_of_the_palette_is_in_sight() {
    let mut w = window();
    w.key(Modifiers::COMMAND, Key::P);
    w.run_steps(2);
    let chosen = |w: &Window<'_>| w.state().palette.as_ref().unwrap().chosen;
    // More presses than one in a frame are as many steps.
    for (key, presses, at) in [(Key::ArrowDown, 20, 20), (Key::ArrowUp, 18, 2)] {
        for _ in 0..presses / 2 {
            w.key_press(key);
            w.key_press(key);
            w.run_steps(1);
        }
        w.run_steps(20);
        assert_eq!(chosen(&w), at);
        let row = w.query_all_by_role(Role::MenuItem).nth(at).unwrap().rect();
        let list = w.get_by_role_and_label(Role::ListBox, "Commands").rect();
        assert!(list.expand(0.5).contains_rect(row), "{at}: {row} in {list}");
    }
}
