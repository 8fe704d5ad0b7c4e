//! The map around the selection.

use dlaplan::gui::{Command, MAP_MOST, Node, Pick};
use dlaplan::placement::Device;
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;

use crate::window::{Window, text_of, window};

fn select(w: &mut Window<'_>, path: &str) {
    let id = w
        .state()
        .open
        .as_ref()
        .and_then(|o| o.model.modules.find(path));
    w.state_mut()
        .apply(Command::Select(Node::Module(id.unwrap()), Pick::Only));
    w.settle();
}

#[test]
fn the_map_names_what_crosses_and_selects_what_is_clicked() {
    let mut w = window();
    w.click("GPU layer1");
    w.key(Modifiers::COMMAND, Key::M);
    assert!(
        w.query_all_by_role(Role::Label)
            .any(|n| text_of(&n).starts_with("Select a module"))
    );
    select(&mut w, "layer1");
    let map = &w.state().map;
    let crossings = map.crossings.clone();
    let (into, out): (Vec<_>, Vec<_>) = crossings.iter().partition(|c| c.to == Device::Dla);
    assert_eq!((into.len(), out.len()), (1, 1), "{crossings:?}");
    assert!(
        crossings
            .iter()
            .all(|c| c.bytes > 0 && c.ms.value().is_some_and(|ms| ms > 0.0))
    );
    assert!(
        map.places
            .iter()
            .any(|p| p.selected && p.device == Some(Device::Dla))
    );
    assert!(
        map.places
            .iter()
            .any(|p| !p.selected && p.device == Some(Device::Gpu))
    );
    // Name, shape, bytes, devices and time, on the map and in the list.
    let found: Vec<String> = w
        .query_all_by_role(Role::Link)
        .map(|n| text_of(&n))
        .filter(|t| t.contains("GPU to DLA"))
        .collect();
    let [words] = &found[..] else {
        panic!("{found:?}")
    };
    for part in ["1×64×56×56", "0.40 MB", "est. ", " ms "] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // The block's input feeds its convolution and its shortcut: a number on either line.
    let on_map = w.query_all_by_role(Role::Button);
    assert_eq!(on_map.filter(|n| text_of(n) == *words).count(), 2);
    let first = w
        .query_all_by_role(Role::Button)
        .find(|n| text_of(n).starts_with("/layer1/layer1.0/conv1/Conv, Conv, DLA, subgraph 1"));
    first.unwrap().click();
    w.settle();
    let selected: Vec<Node> = w.state().selection.nodes.iter().copied().collect();
    let open = w.state().open.as_ref().unwrap();
    let titles: Vec<&str> = selected.iter().map(|n| n.title(&open.model)).collect();
    assert_eq!(titles, ["layer1.0.conv1"]);
    // It follows the selection: both ends of one op.
    assert_eq!(
        w.state().map.places.iter().filter(|p| p.selected).count(),
        1
    );
}

#[test]
fn the_map_is_bounded_whatever_is_selected() {
    let mut w = window();
    for model in ["bundled:googlenet", "bundled:vit_b_16", "bundled:detector"] {
        w.state_mut().apply(Command::OpenPath(model.into()));
        w.settle();
        w.state_mut().apply(Command::All(Device::Dla));
        w.settle();
        if w.state().beside != Some(dlaplan::gui::Beside::Map) {
            w.state_mut().apply(Command::ShowMap);
        }
        for all in [false, true] {
            if all {
                w.state_mut().apply(Command::ExpandAll);
                w.settle();
                w.state_mut().apply(Command::SelectAll);
            } else {
                w.state_mut().apply(Command::Select(
                    Node::Module(dlaplan::model::ModuleId::ROOT),
                    Pick::Only,
                ));
            }
            w.settle();
            let map = &w.state().map;
            assert!(
                (1..=MAP_MOST).contains(&map.places.len()),
                "{model}: {}",
                map.places.len()
            );
            let shown: usize = map.layers.iter().sum();
            assert_eq!(shown, map.places.len());
            for link in &map.links {
                let (from, to) = (&map.places[link.from], &map.places[link.to]);
                assert!((from.layer, from.column) != (to.layer, to.column));
            }
        }
    }
}
