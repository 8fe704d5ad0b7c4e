//! The window where room is short.

use crate::window::{Window, text_of, window};
use egui::accesskit::Role;
use egui::{Event, Modifiers, PointerButton, Pos2, Rect, Vec2};
use egui_kittest::kittest::Queryable as _;

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

fn drag(w: &mut Window<'_>, from: Pos2, to: Pos2) {
    let button = |pos, pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
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
