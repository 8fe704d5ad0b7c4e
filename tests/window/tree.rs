//! The tree as a value: which rows there are, and what each says.

use std::fmt::Write as _;

use crate::window::{Window, window};
use dlaplan::gui::{Command, Node};
use dlaplan::placement::Device;

/// Rows as text: what is open, the device and who said it, the subgraph.
fn rows(w: &Window<'_>) -> String {
    let state = w.state();
    let model = &state.open.as_ref().unwrap().model;
    let mut text = String::new();
    for row in &state.view.rows {
        let twig = match row.twig {
            None => ' ',
            Some(true) => '-',
            Some(false) => '+',
        };
        let indent = "  ".repeat(row.depth as usize);
        let title = row.node.title(model);
        let name = match row.node {
            Node::Op(_) => title.rsplit('/').next().unwrap(),
            Node::Module(_) => title,
        };
        write!(text, "{indent}{twig}{name}").unwrap();
        match &row.chip {
            None => text += "  no ops in the file",
            Some(chip) => {
                let said = match chip.said {
                    dlaplan::gui::Said::Here => "here".to_owned(),
                    dlaplan::gui::Said::On(at) => {
                        format!("from {}", Node::Module(at).title(model))
                    }
                    dlaplan::gui::Said::Default => "default".to_owned(),
                };
                write!(text, "  {} {said}", chip.device).unwrap();
                if chip.mixed {
                    text += ", mixed";
                }
                if chip.falling > 0 {
                    write!(text, ", {} of {} fall back", chip.falling, chip.asked_dla).unwrap();
                }
            }
        }
        if let Some(subgraph) = row.sums.subgraph {
            let more = if row.sums.many_subgraphs { "…" } else { "" };
            write!(text, "  subgraph {subgraph}{more}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn resnet() -> Window<'static> {
    let mut w = window();
    let state = w.state_mut();
    for (path, device) in [
        ("layer2", Device::Dla),
        ("layer2.0", Device::Gpu),
        ("layer3", Device::Dla),
        ("avgpool", Device::Dla),
    ] {
        let module = state
            .open
            .as_ref()
            .unwrap()
            .model
            .modules
            .find(path)
            .unwrap();
        state.apply(Command::AssignNode(Node::Module(module), device));
    }
    w.settle();
    w
}

fn filtered(filter: &str) -> String {
    let mut w = resnet();
    w.state_mut().apply(Command::Filter(filter.into()));
    w.settle();
    rows(&w)
}

#[test]
fn inheritance_shows_on_every_row() {
    insta::assert_snapshot!(rows(&resnet()));
}

#[test]
fn a_path_shows_what_is_above_it() {
    insta::assert_snapshot!(filtered("layer2.1.conv1"));
}

#[test]
fn op_types_are_found_in_leaves_and_self_ops() {
    insta::assert_snapshot!(filtered("add"));
}

#[test]
fn explicit_rows_are_those_said_here() {
    insta::assert_snapshot!(filtered("is:explicit"));
}

#[test]
fn words_must_all_match() {
    insta::assert_snapshot!(filtered("layer3 is:dla conv"));
}

#[test]
fn nothing_matches() {
    insta::assert_snapshot!(filtered("is:nonsense"));
}
