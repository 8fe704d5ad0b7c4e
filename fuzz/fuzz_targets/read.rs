//! Any bytes for one reader of `tests/support/readers.rs`, named by `DLAPLAN_READER`: refused, or a value
//! that holds together. Its seeds are written into `DLAPLAN_SEEDS`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/readers.rs"]
mod readers;
use readers::{READERS, Reader};

static CHOSEN: OnceLock<&'static Reader> = OnceLock::new();

fn choose() {
    let name = std::env::var("DLAPLAN_READER").unwrap_or_default();
    let Some(reader) = READERS.iter().find(|r| r.name == name) else {
        let names: Vec<&str> = READERS.iter().map(|r| r.name).collect();
        panic!("DLAPLAN_READER is one of {}", names.join(", "));
    };
    if let Some(folder) = std::env::var_os("DLAPLAN_SEEDS") {
        for (n, seed) in (reader.seeds)().into_iter().enumerate() {
            std::fs::write(std::path::Path::new(&folder).join(format!("seed-{n}")), seed).unwrap();
        }
    }
    CHOSEN.set(reader).ok();
}

fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(reader) = CHOSEN.get() {
        (reader.read)(data);
    }
});
