//! Another machine, from the window: its key shown and accepted, dlaplan put there and removed.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test's files end with it"
)]

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;

use dlaplan::engine::WorkerCommand;
use dlaplan::engine::client::Limits;
use dlaplan::gui::{Command, Machine, Options, Worker};
use egui::accesskit::Role;
use egui_kittest::kittest::Queryable as _;

use crate::sshd::{Board, files_below, fingerprint};
use crate::window::{NoDialogs, Window, open_with};

const BOARD: &str = "DLAPLAN_TEST_BOARD";

/// The window finds ssh in its path, so a process of its own has the path of the test's board.
#[test]
fn a_machine_is_checked_and_given_dlaplan_over_ssh() {
    let Some(board) = Board::new() else {
        eprintln!("no sshd to test with: skipped");
        return;
    };
    // Without its debug information, where that can be taken off.
    let program = board.stripped();
    let done = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "machine::over_ssh",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("PATH", board.path())
        .env(BOARD, board.dir.path())
        .env("DLAPLAN_TEST_PROGRAM", program)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

fn shown(w: &Window<'_>, title: &str) -> Option<(String, String)> {
    let card = w.state().messages.cards().find(|m| m.title == title)?;
    Some((card.detail.clone(), card.remedy.clone()))
}

fn titles(w: &Window<'_>) -> Vec<String> {
    let cards = w.state().messages.cards();
    cards.map(|m| m.title.clone()).collect()
}

fn dialog(w: &mut Window<'_>, button: &str) {
    w.state_mut().apply(Command::AskMeasureOn);
    w.settle();
    w.key(egui::Modifiers::COMMAND, egui::Key::A);
    w.type_into("Host", "board");
    w.click(button);
    assert!(w.state().dialog.is_none(), "what is found is on cards");
}

#[test]
#[ignore = "started by the test above, with the ssh of its board"]
fn over_ssh() {
    let Some(at) = std::env::var_os(BOARD).map(PathBuf::from) else {
        return;
    };
    let home = |at: &Path| files_below(&at.join("home"));
    let known = at.join("known_hosts");
    let worker = Worker {
        command: WorkerCommand {
            program: std::env::var_os("DLAPLAN_TEST_PROGRAM").unwrap().into(),
            args: vec!["worker".into()],
            host: None,
        },
        limits: Limits::default(),
    };
    let mut w = open_with(
        Options::default(),
        Arc::new(tempfile::tempdir().unwrap()),
        NoDialogs { available: false },
        Some(worker),
    );

    // Each way in shows the key, and none takes it.
    let unknown = "The key of board is not known here";
    for button in [
        "Check",
        "Put dlaplan there",
        "Remove dlaplan",
        "Measure there",
    ] {
        dialog(&mut w, button);
        let (detail, remedy) = shown(&w, unknown).unwrap_or_else(|| panic!("{:?}", titles(&w)));
        assert!(
            detail.contains(&fingerprint(&at.join("host.pub"))),
            "{detail}"
        );
        assert!(remedy.contains("ssh-keygen -lf"), "{remedy}");
        assert!(!known.exists(), "{button} took the key");
        assert!(home(&at).is_empty());
    }
    w.state_mut().apply(Command::MeasureOn(None));
    w.settle();
    // The click that accepts the key asks again.
    w.click("Accept this key");
    let key = std::fs::read_to_string(at.join("host.pub")).unwrap();
    let key = key.split_whitespace().nth(1).unwrap();
    assert!(std::fs::read_to_string(&known).unwrap().contains(key));
    let found = |w: &Window<'_>| titles(w).into_iter().find(|t| t.starts_with("board: "));
    let title = found(&w).unwrap_or_else(|| panic!("{:?}", titles(&w)));
    let (detail, _) = shown(&w, &title).unwrap();
    assert!(
        detail.contains("processor: ") && detail.contains("Missing: no dlaplan"),
        "{detail}"
    );
    assert!(home(&at).is_empty(), "a check changes nothing");

    w.click("Put dlaplan on board");
    let (detail, _) =
        shown(&w, "dlaplan is on board").unwrap_or_else(|| panic!("{:?}", titles(&w)));
    assert!(detail.starts_with("Sent "), "{detail}");
    assert_eq!(home(&at).len(), 2, "the program and the link to its folder");

    // The worker there answers; where it cannot measure, it says why.
    w.click("Measure on board");
    if let Machine::Cannot(why) = &w.state().measuring.machine {
        let why = why.join("\n");
        let known = ["libcuda", "libnvinfer", "TensorRT", "GPU"];
        assert!(known.iter().any(|k| why.contains(k)), "{why}");
    }
    dialog(&mut w, "Put dlaplan there");
    let (detail, _) = shown(&w, "dlaplan is on board").unwrap();
    assert!(detail.contains("was there already"), "{detail}");
    dialog(&mut w, "Remove dlaplan");
    assert!(
        shown(&w, "Nothing of dlaplan is left on board").is_some(),
        "{:?}",
        titles(&w)
    );
    assert!(home(&at).is_empty());

    // A key that has changed stops, and no button accepts it.
    let wrong = std::fs::read_to_string(at.join("other.pub")).unwrap();
    let lines = std::fs::read_to_string(&known).unwrap();
    let wrong = lines.replace(key, wrong.split_whitespace().nth(1).unwrap());
    std::fs::write(&known, &wrong).unwrap();
    dialog(&mut w, "Check");
    let (detail, _) = shown(&w, "board could not be checked").unwrap();
    assert!(
        detail.contains("not the one this machine knows"),
        "{detail}"
    );
    assert!(
        w.query_by_role_and_label(Role::Button, "Accept this key")
            .is_none()
    );
    assert_eq!(std::fs::read_to_string(&known).unwrap(), wrong);
}
