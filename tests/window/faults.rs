//! The disk fills up, files change underneath, clocks jump, names are absurd: the window goes on, says
//! so, and loses nothing.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dlaplan::export::Format;
use dlaplan::gui::Command;
use dlaplan::placement::{Device, Placement};
use egui_kittest::kittest::Queryable as _;

use crate::mounts::{alone, fill, read_only, small_disk};
use crate::window::{Window, again, text_of, two_windows, window};

const UNSAVED: &str = "Your work cannot be saved";

fn layers(names: &[&str]) -> Placement {
    let gpu = Placement::all(Device::Gpu);
    names.iter().fold(gpu, |p, n| p.with_module(n, Device::Dla))
}

/// The placements of the sessions on the disk; a damaged one fails.
fn on_disk(data: &Path) -> Vec<Placement> {
    let files = std::fs::read_dir(data.join("sessions")).unwrap();
    let files = files.map(|e| e.unwrap().path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == "json"));
    files
        .map(|p| {
            let session: serde_json::Value =
                serde_json::from_slice(&std::fs::read(p).unwrap()).unwrap();
            serde_json::from_value(session["placement"].clone()).unwrap()
        })
        .collect()
}

fn until(w: &mut Window<'_>, what: &str, so: impl Fn(&Window<'_>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so(w) {
        assert!(Instant::now() < deadline, "{what}");
        w.run_steps(1);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn until_saved(w: &mut Window<'_>, placement: &Placement) {
    let data = Arc::clone(&w.data);
    until(w, "not saved", |_| on_disk(data.path()).contains(placement));
}

fn says(w: &Window<'_>, title: &str) -> bool {
    w.state().messages.cards().any(|m| m.title == title)
}

#[test]
fn a_full_disk_is_said_and_costs_nothing() {
    alone("faults::on_a_full_disk");
}

#[test]
#[ignore = "runs in a mount namespace of its own"]
fn on_a_full_disk() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    small_disk(data.path());
    let mut w = again(&data);
    w.click("GPU layer1");
    until_saved(&mut w, &layers(&["layer1"]));
    let file = data.path().join("out.json");
    let export = Command::ExportTo(Format::Placement, file.clone());
    w.state_mut().apply(export.clone());
    w.settle();
    let old = std::fs::read(&file).unwrap();

    let filler = fill(data.path());
    w.click("GPU layer2");
    until(&mut w, "no word of the full disk", |w| says(w, UNSAVED));
    assert_eq!(
        on_disk(data.path()),
        [layers(&["layer1"])],
        "the old session, whole"
    );
    w.state_mut().apply(export);
    w.settle();
    assert!(says(&w, "Placement (JSON) was not exported"));
    assert_eq!(std::fs::read(&file).unwrap(), old);
    w.state_mut().apply(Command::KeepAs("x".repeat(100_000)));
    w.settle();
    let cards: Vec<String> = w
        .state()
        .messages
        .cards()
        .map(|m| m.detail.clone())
        .collect();
    assert!(
        cards.iter().any(|c| c.contains("The disk is full")),
        "{cards:?}"
    );
    let beside: Vec<_> = std::fs::read_dir(data.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".dlaplan-"))
        .collect();
    assert!(beside.is_empty(), "{beside:?}");

    std::fs::remove_file(filler).unwrap();
    w.click("GPU layer3");
    let all = layers(&["layer1", "layer2", "layer3"]);
    until_saved(&mut w, &all);
    w.state_mut().apply(Command::KeepAs("mine".into()));
    w.settle();
    assert_eq!(w.state().kept.len(), 1);
    drop(w);
    let w = again(&data);
    assert_eq!(w.state().doc.placement(), &all);
    assert_eq!(w.state().kept.len(), 1);
}

#[test]
fn a_disk_that_is_full_at_the_start_is_used_once_there_is_room() {
    alone("faults::full_at_the_start");
}

#[test]
#[ignore = "runs in a mount namespace of its own"]
fn full_at_the_start() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    small_disk(data.path());
    let filler = fill(data.path());
    // A disk without a place for one more file is fuller still.
    let mut w = again(&data);
    w.click("GPU layer1");
    until(&mut w, "no word of the full disk", |w| says(w, UNSAVED));
    std::fs::remove_file(filler).unwrap();
    w.click("GPU layer2");
    let both = layers(&["layer1", "layer2"]);
    until_saved(&mut w, &both);
    drop(w);
    assert_eq!(again(&data).state().doc.placement(), &both);
}

#[test]
fn a_read_only_folder_is_said_and_used_once_it_can_be_written() {
    alone("faults::read_only_at_the_start");
}

#[test]
#[ignore = "runs in a mount namespace of its own"]
fn read_only_at_the_start() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    small_disk(data.path());
    read_only(true, data.path());
    let mut w = again(&data);
    assert!(says(&w, UNSAVED));
    w.click("GPU layer1");
    assert_eq!(w.state().doc.placement(), &layers(&["layer1"]));
    read_only(false, data.path());
    w.click("GPU layer2");
    let both = layers(&["layer1", "layer2"]);
    until_saved(&mut w, &both);
    drop(w);
    // Work that cannot be moved away is shown all the same, and stays for the next start.
    read_only(true, data.path());
    assert_eq!(again(&data).state().doc.placement(), &both);
    read_only(false, data.path());
    assert_eq!(again(&data).state().doc.placement(), &both);
}

#[test]
fn a_data_folder_deleted_underneath_is_made_again() {
    let mut w = window();
    w.click("GPU layer1");
    until_saved(&mut w, &layers(&["layer1"]));
    let data = Arc::clone(&w.data);
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
    w.click("GPU layer2");
    let both = layers(&["layer1", "layer2"]);
    until(&mut w, "no folder", |_| {
        data.path().join("sessions").is_dir()
    });
    until_saved(&mut w, &both);
    w.state_mut().apply(Command::KeepAs("mine".into()));
    w.settle();
    assert_eq!(w.state().kept.len(), 1);
    drop(w);
    let w = again(&data);
    assert_eq!(w.state().doc.placement(), &both);
    assert_eq!(
        w.state().kept.len(),
        1,
        "in the new history, not in the deleted one"
    );
}

#[test]
fn damaged_sessions_and_settings_never_stop_the_window() {
    let mut w = window();
    w.click("GPU layer1");
    w.state_mut().store.close();
    let data = Arc::clone(&w.data);
    drop(w);
    let last = data.path().join("last.json");
    let whole = std::fs::read(&last).unwrap();
    for n in 0..24 {
        let mut text = whole.clone();
        let at = (n * 7919) % text.len();
        match n % 3 {
            0 => text.truncate(at),
            1 => text[at] = b"0\"{]"[n % 4],
            _ => drop(text.drain(at..(at + n).min(text.len()))),
        }
        let path = data.path().join(format!("damaged-{n}.json"));
        let written = std::fs::File::create(&path);
        written
            .and_then(|mut f| std::io::Write::write_all(&mut f, &text))
            .unwrap();
    }
    let mut w = again(&data);
    for n in 0..24 {
        let path = data.path().join(format!("damaged-{n}.json"));
        w.state_mut().apply(Command::OpenPath(path));
        w.settle();
        assert!(w.state().open.is_some(), "{n}");
    }
    std::fs::File::create(data.path().join("settings.json")).unwrap();
    drop(w);
    assert!(again(&data).state().open.is_some());
}

/// Files of the future and of 1970, as a clock that jumps leaves them.
#[test]
fn a_clock_that_jumps_hides_no_work() {
    let (data, first, second) = two_windows();
    drop((first, second));
    let century = Duration::from_hours(100 * 366 * 24);
    let times = [SystemTime::UNIX_EPOCH, SystemTime::now() + century];
    let files = std::fs::read_dir(data.path().join("sessions")).unwrap();
    let files = files.map(|e| e.unwrap().path());
    let sessions = files.filter(|p| p.extension().is_some_and(|e| e == "json"));
    for (path, time) in sessions.zip(times) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }
    let mut w = again(&data);
    let shown = w.state().doc.placement().clone();
    w.click("Open");
    let other = w.state().doc.placement().clone();
    for placement in [layers(&["layer1"]), layers(&["layer2"])] {
        assert!(placement == shown || placement == other);
    }
}

#[test]
fn absurd_names_are_shown_as_text_and_in_time() {
    let mut w = window();
    w.click("GPU layer1");
    let long = "x\u{202e}y\u{7}".repeat(100_000);
    assert!(long.len() > 500_000);
    let begun = Instant::now();
    for name in [long.as_str(), "a\nb\u{202e}c\u{0}d\u{1b}[31m", ""] {
        w.state_mut().apply(Command::KeepAs(name.to_owned()));
        w.settle();
    }
    w.state_mut().apply(Command::Filter(long.clone()));
    w.settle();
    w.state_mut().apply(Command::Palette);
    w.run_steps(2);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(w.state().kept.len(), 3);
    let odd = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    for label in w.query_all_by_role(egui::accesskit::Role::Label) {
        let text = text_of(&label);
        assert!(
            !text.contains(odd),
            "{:?}",
            text.chars().take(80).collect::<String>()
        );
    }
}
