//! `docs/RELIABILITY.md` names tests that exist.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The file of tests that a path of modules means, and the name of the test in it.
fn is_there(name: &str, files: &[PathBuf]) -> bool {
    let modules: Vec<&str> = name.split("::").collect();
    let [path @ .., test] = &modules[..] else {
        return false;
    };
    let path: Vec<&str> = path.iter().copied().filter(|m| *m != "tests").collect();
    let module = path.join("/");
    let ends = [
        format!("tests/headless/{module}.rs"),
        format!("tests/window/{module}.rs"),
        format!("src/{module}.rs"),
        format!("src/{module}/mod.rs"),
        format!("src/{module}/tests.rs"),
    ];
    let declared = format!("fn {test}(");
    files
        .iter()
        .filter(|f| ends.iter().any(|end| f.ends_with(end)))
        .any(|f| std::fs::read_to_string(f).unwrap().contains(&declared))
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/RELIABILITY.md")).unwrap();
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut promises = BTreeSet::new();
    for line in text.lines().filter(|l| l.starts_with("| R")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        promises.insert(cells[1].to_owned());
        let named = cells[3].split('`').skip(1).step_by(2);
        let named: Vec<&str> = named.collect();
        assert!(!named.is_empty(), "{} names no test", cells[1]);
        for name in named {
            assert!(is_there(name, &files), "{}: no test {name}", cells[1]);
        }
    }
    let all: BTreeSet<String> = (1..=17).map(|n| format!("R{n}")).collect();
    assert_eq!(promises, all);
    assert!(!is_there("engine_client::no_such_test", &files));
}

/// Inodes of the sockets that listen or are bound to a port, of TCP and UDP.
fn listening() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let Ok(text) = std::fs::read_to_string(format!("/proc/net/{table}")) else {
            continue;
        };
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            // 0A is TCP_LISTEN; a UDP socket without a peer takes what comes.
            if table.starts_with("udp") || words.get(3) == Some(&"0A") {
                found.extend(words.get(9).map(|inode| (*inode).to_owned()));
            }
        }
    }
    found
}

/// The sockets a process holds, by their inodes.
fn sockets(pid: u32) -> BTreeSet<String> {
    let held = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = held.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?;
            Some(inode.trim_end_matches(']').to_owned())
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_listens_on_nothing() {
    // The test's own listener is found, so that the search below means something.
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(!sockets(std::process::id()).is_disjoint(&listening()));
    drop(own);
    let mut worker = Command::new(env!("CARGO_BIN_EXE_dlaplan"))
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(worker.stdout.take().unwrap());
    let hello = out
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("hello"));
    assert!(hello, "the worker says hello");
    assert!(sockets(worker.id()).is_disjoint(&listening()));
    worker.kill().unwrap();
    worker.wait().unwrap();
}
