//! The guided tour, the full-screen chart, the glossary and the first hint.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dlaplan::chart::{Mark, View};
use dlaplan::gui::{Command, Dialog, Hint, Options, Turn};
use dlaplan::placement::{Device, Placement, Site};
use egui::accesskit::Role;
use egui::{Key, Modifiers, Rect, Vec2};
use egui_kittest::kittest::Queryable as _;

use crate::window::{NoDialogs, Window, open, open_on, text_of, window};

fn at(w: &Window<'_>) -> Option<usize> {
    w.state().step_of_tour().map(|(at, _)| at)
}

fn heading(w: &Window<'_>) -> String {
    let step = w.state().step_of_tour();
    step.map(|(_, s)| s.title.to_owned()).unwrap_or_default()
}

/// Work of the user's own: another model, another board, a placement and a step to undo.
fn own_work() -> Window<'static> {
    let mut w = window();
    w.state_mut()
        .apply(Command::OpenPath("bundled:mobilenet_v2".into()));
    w.settle();
    w.state_mut().apply(Command::Board("agx-orin-64"));
    w.state_mut().apply(Command::All(Device::Dla));
    w.state_mut().apply(Command::Filter("is:dla".into()));
    w.settle();
    w
}

#[test]
fn the_tour_goes_on_and_back_by_keys_and_by_mouse() {
    let mut w = window();
    w.click("Guided tour");
    assert_eq!(at(&w), Some(0));
    let mut titles = vec![heading(&w)];
    loop {
        // By turns: Enter on the button that has the keyboard, the chord, and the mouse.
        match titles.len() % 3 {
            0 => w.key(Modifiers::NONE, Key::Enter),
            1 => w.key(Modifiers::ALT, Key::ArrowRight),
            _ => w.click("Next"),
        }
        let title = heading(&w);
        assert!(!titles.contains(&title), "{titles:?} {title}");
        assert!(
            w.query_by_role_and_label(Role::Heading, &title).is_some(),
            "{title}"
        );
        titles.push(title);
        if w.query_by_role_and_label(Role::Button, "Finish").is_some() {
            break;
        }
    }
    assert!(titles.len() >= 10, "{titles:?}");
    w.click("Back");
    assert_eq!(heading(&w), titles[titles.len() - 2]);
    w.key(Modifiers::ALT, Key::ArrowLeft);
    assert_eq!(heading(&w), titles[titles.len() - 3]);
    w.key(Modifiers::NONE, Key::Escape);
    assert_eq!(at(&w), None);
    assert!(w.query_by_role_and_label(Role::Button, "Next").is_none());
}

#[test]
fn going_back_shows_the_same_as_going_on() {
    let mut w = window();
    w.state_mut().apply(Command::Tour(Turn::Start));
    w.settle();
    let scene = |w: &Window<'_>| {
        let s = w.state();
        let (placement, precision) = (s.doc.placement().clone(), s.config().precision);
        let panels = (s.view_of_chart, s.beside, s.find.open, s.full_chart);
        (placement, precision, panels, s.selection.nodes.clone())
    };
    let mut scenes = vec![scene(&w)];
    while w.query_by_role_and_label(Role::Button, "Finish").is_none() {
        w.state_mut().apply(Command::Tour(Turn::Next));
        w.settle();
        scenes.push(scene(&w));
    }
    for n in (0..scenes.len() - 1).rev() {
        w.state_mut().apply(Command::Tour(Turn::Back));
        w.settle();
        // The panel under Find best is what was there before it.
        let (a, b) = (scene(&w), &scenes[n]);
        assert_eq!((&a.0, &a.1, &a.3), (&b.0, &b.1, &b.3), "step {n}");
        assert_eq!((a.2.0, a.2.2, a.2.3), (b.2.0, b.2.2, b.2.3), "step {n}");
    }
}

#[test]
fn your_own_work_is_put_back() {
    let mut w = own_work();
    let before = |w: &Window<'_>| {
        let s = w.state();
        let open = s
            .open
            .as_ref()
            .map(|o| (o.path.clone(), o.model.name.clone()));
        let work = (s.doc.placement().clone(), s.config().clone(), s.target);
        let view = (s.filter.text().to_owned(), s.expanded.clone(), s.beside);
        (open, work, view, s.doc.undo_label().map(str::to_owned))
    };
    let mine = before(&w);
    w.state_mut().apply(Command::Tour(Turn::Start));
    w.settle();
    assert_ne!(before(&w).0, mine.0);
    for _ in 0..6 {
        w.state_mut().apply(Command::Tour(Turn::Next));
        w.settle();
    }
    // What is tried during the tour goes with it.
    w.state_mut().apply(Command::All(Device::Gpu));
    w.settle();
    w.state_mut().apply(Command::Tour(Turn::Leave));
    w.settle();
    assert_eq!(before(&w), mine);
    let name = w.state().points.chart.title.clone();
    assert!(name.starts_with("mobilenet_v2"), "{name}");
    w.state_mut().apply(Command::Undo);
    w.settle();
    assert_eq!(*w.state().doc.placement(), Placement::default());
}

#[test]
fn a_search_of_your_own_is_not_shown_in_the_tour() {
    let mut w = own_work();
    w.state_mut().apply(Command::FindBest);
    let fits = |w: &mut Window<'_>| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while w.state().find.searching() || w.state().find.shown().is_none() {
            w.run_steps(1);
            assert!(Instant::now() < deadline, "no answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        w.settle();
        let state = w.state();
        let model = &state.open.as_ref().unwrap().model;
        let answer = state.find.shown().unwrap();
        let engines = answer.proposals.iter().flat_map(|p| &p.engines);
        let all: Vec<bool> = engines
            .map(|e| e.placement.resolve(model).is_ok())
            .collect();
        assert!(
            !all.is_empty() && all.iter().all(|fits| *fits),
            "{}: {all:?}",
            model.name
        );
    };
    fits(&mut w);
    w.state_mut().apply(Command::Tour(Turn::Start));
    w.settle();
    assert!(!w.state().find.open);
    while !w.state().find.open {
        w.state_mut().apply(Command::Tour(Turn::Next));
        w.settle();
    }
    fits(&mut w);
    w.state_mut().apply(Command::Tour(Turn::Leave));
    w.settle();
    assert!(w.state().find.open);
    fits(&mut w);
}

#[test]
fn a_window_that_dies_in_the_tour_brings_back_your_own_work() {
    let mut w = own_work();
    w.state_mut().apply(Command::Tour(Turn::Start));
    w.settle();
    for _ in 0..4 {
        w.state_mut().apply(Command::Tour(Turn::Next));
        w.settle();
    }
    let data = Arc::clone(&w.data);
    drop(w);
    let w = open(Options::default(), data);
    let open = w.state().open.as_ref().map(|o| o.model.name.clone());
    assert_eq!(open.as_deref(), Some("mobilenet_v2"));
    assert_eq!(*w.state().doc.placement(), Placement::all(Device::Dla));
    assert!(at(&w).is_none());
}

#[test]
fn a_model_of_your_own_ends_the_tour() {
    let mut w = own_work();
    w.state_mut().apply(Command::Tour(Turn::Start));
    w.settle();
    w.state_mut()
        .apply(Command::OpenPath("bundled:googlenet".into()));
    w.settle();
    assert_eq!(at(&w), None);
    let name = |w: &Window<'_>| w.state().open.as_ref().map(|o| o.model.name.clone());
    assert_eq!(name(&w).as_deref(), Some("googlenet"));
    w.state_mut()
        .apply(Command::OpenPath("bundled:mobilenet_v2".into()));
    w.settle();
    assert_eq!(*w.state().doc.placement(), Placement::all(Device::Dla));
}

#[test]
fn demo_begins_with_the_tour() {
    let options = Options {
        demo: true,
        ..Options::default()
    };
    let data = Arc::new(tempfile::tempdir().unwrap());
    let mut w = open_on(options, data, NoDialogs { available: false });
    assert_eq!(at(&w), Some(0));
    w.state_mut().apply(Command::Tour(Turn::Leave));
    w.settle();
    assert_eq!(at(&w), None);
    let layer = Site::Module("layer1".into());
    assert!(!w.state().doc.placement().overrides.contains_key(&layer));
}

#[test]
fn the_tour_ends_with_published_figures_beside_estimates() {
    let mut w = window();
    w.state_mut().apply(Command::Tour(Turn::Start));
    w.settle();
    while w.state().view_of_chart != View::Deployments {
        w.state_mut().apply(Command::Tour(Turn::Next));
        w.settle();
    }
    assert!(w.state().full_chart);
    let chart = &w.state().points.chart;
    let groups = chart.deployments();
    let mut pairs = 0;
    for pair in groups.chunks(2) {
        let [published, estimated] = pair else {
            panic!("an odd group: {}", pair[0].title);
        };
        let marks: Vec<Mark> = pair.iter().map(|g| g.bars[0].1.mark).collect();
        assert_eq!(
            marks,
            [Mark::Published, Mark::Estimated],
            "{}",
            published.title
        );
        let stem = |title: &str| title.rsplit_once(", ").map(|(s, _)| s.to_owned());
        assert_eq!(stem(&published.title), stem(&estimated.title));
        assert_eq!(published.bars.len(), estimated.bars.len());
        let (sum, ours) = (published.total_fps.unwrap(), estimated.total_fps.unwrap());
        assert!(
            (ours / sum - 1.0).abs() < 0.5,
            "{}: {sum} {ours}",
            published.title
        );
        pairs += 1;
    }
    assert_eq!(pairs, 6);
    // Both are on the screen, in full.
    let facts = w.state().step_of_tour().unwrap().1.facts;
    let facts = w.state().facts_of_tour(facts);
    assert_eq!(facts.len(), 6, "{facts:?}");
    assert!(w.query_by_label(&facts[0].0).is_some(), "{}", facts[0].0);
    assert!(
        facts.iter().any(|(text, _)| text.contains("2DLA")),
        "{facts:?}"
    );
    assert!(w.query_all_by_role(Role::TreeItem).next().is_none());
}

#[test]
fn the_tour_fits_every_window() {
    for size in [
        [1280.0, 720.0],
        [800.0, 480.0],
        [640.0, 360.0],
        [400.0, 240.0],
    ] {
        let mut w = window();
        w.set_size(Vec2::from(size));
        w.state_mut().apply(Command::Tour(Turn::Start));
        w.settle();
        loop {
            let screen = Rect::from_min_size(egui::Pos2::ZERO, Vec2::from(size));
            for label in ["Next", "Finish", "Back", "Leave"] {
                let Some(button) = w.query_by_role_and_label(Role::Button, label) else {
                    continue;
                };
                let rect = button.rect();
                // Above the status line, not scrolled away under it.
                let status = if w.state().full_chart { 0.0 } else { 26.0 };
                let room = screen.with_max_y(screen.bottom() - status);
                assert!(
                    room.contains_rect(rect),
                    "{size:?} {} {label}: {rect}",
                    heading(&w)
                );
            }
            if w.query_by_role_and_label(Role::Button, "Finish").is_some() {
                break;
            }
            w.state_mut().apply(Command::Tour(Turn::Next));
            w.settle();
        }
    }
}

#[test]
fn the_chart_fills_the_window_and_gives_it_back() {
    let mut w = window();
    w.key(Modifiers::NONE, Key::F11);
    assert!(w.query_all_by_role(Role::TreeItem).next().is_none());
    assert!(w.query_by_role_and_label(Role::Button, "Profile").is_none());
    let tab = w
        .get_by_role_and_label(Role::Tab, "FPS per placement")
        .rect();
    assert!(tab.top() < 30.0, "{tab}");
    w.key(Modifiers::NONE, Key::Escape);
    assert!(w.query_all_by_role(Role::TreeItem).next().is_some());
    w.click("Full-screen chart");
    assert!(w.query_all_by_role(Role::TreeItem).next().is_none());
    w.click("Full-screen chart");
    assert!(w.query_all_by_role(Role::TreeItem).next().is_some());
}

#[test]
fn the_glossary_explains_the_words() {
    let mut w = window();
    w.key(Modifiers::COMMAND, Key::P);
    w.type_into("Command", "glossary");
    w.key(Modifiers::NONE, Key::Enter);
    assert_eq!(w.state().dialog, Some(Dialog::Glossary));
    let words: Vec<String> = w
        .query_all_by_role(Role::Label)
        .map(|n| text_of(&n))
        .collect();
    for word in [
        "DLA",
        "loadable",
        "transition",
        "fallback",
        "reformat",
        "contention",
    ] {
        let start = format!("{word}   ");
        assert!(
            words.iter().any(|w| w.starts_with(&start)),
            "{word}: {words:?}"
        );
    }
    w.click("Close");
    assert_eq!(w.state().dialog, None);
}

#[test]
fn the_first_hint_is_shown_until_it_is_closed() {
    let mut w = window();
    assert!(w.query_by_label("New here?").is_some());
    w.click("Got it");
    assert!(w.query_by_label("New here?").is_none());
    assert_eq!(w.state().hints_done, [Hint::Tour]);
    let data = Arc::clone(&w.data);
    drop(w);
    let w = open(Options::default(), data);
    assert!(w.query_by_label("New here?").is_none());
}
