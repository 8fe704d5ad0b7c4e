//! Damaged inputs for every reader, the same ones in each run; `DLAPLAN_INPUTS=N` tries N for each.
//! `scripts/fuzz.sh` goes on from here.

use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

#[path = "../support/readers.rs"]
pub mod inputs;
use inputs::READERS;

/// Damaged inputs per reader.
const EACH: usize = 1500;

/// What breaks readers of text and of binary files.
const TOKENS: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"]",
    b"-1",
    b"1e999",
    b"18446744073709551615",
    b"null",
    b"\\u0000",
    b"\xff",
    b"\0",
    b"\n",
    b"NaN",
    b"[[[[[[[[",
    b"...",
    "\u{202e}".as_bytes(),
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f",
];

/// A seed with a few bytes changed, cut, doubled or put in.
fn damaged(seed: &[u8], rng: &mut TestRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        let to = (at + rng.random_range(0..40)).min(bytes.len());
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            3 => {
                let token = TOKENS[rng.random_range(0..TOKENS.len())];
                bytes.splice(
                    at..to.min(at + rng.random_range(0..4)).max(at),
                    token.iter().copied(),
                );
            }
            4 => {
                // A digit becomes another: numbers are where sizes hide.
                let digits: Vec<usize> = (0..bytes.len())
                    .filter(|i| bytes[*i].is_ascii_digit())
                    .collect();
                if !digits.is_empty() {
                    bytes[digits[rng.random_range(0..digits.len())]] =
                        b'0' + rng.random_range(0..10) as u8;
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.random();
                }
            }
        }
    }
    bytes
}

fn hold(name: &str) {
    let reader = READERS.iter().find(|r| r.name == name).unwrap();
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let seeds = (reader.seeds)();
    assert!(!seeds.is_empty());
    for seed in &seeds {
        (reader.read)(seed);
    }
    let each = std::env::var("DLAPLAN_INPUTS").map_or(EACH, |n| n.parse().unwrap());
    for n in 0..each {
        let input = damaged(&seeds[n % seeds.len()], &mut rng);
        let read = std::panic::catch_unwind(|| (reader.read)(&input));
        assert!(
            read.is_ok(),
            "{}, input {n}: {:?}",
            reader.name,
            String::from_utf8_lossy(&input)
        );
    }
}

#[test]
fn onnx() {
    hold("onnx");
}

#[test]
fn placement() {
    hold("placement");
}

#[test]
fn events() {
    hold("events");
}

#[test]
fn commands() {
    hold("commands");
}

#[test]
fn trtexec_log() {
    hold("trtexec_log");
}

#[test]
fn trtexec_profile() {
    hold("trtexec_profile");
}

#[test]
fn layers() {
    hold("layers");
}

#[test]
fn calibration_file() {
    hold("calibration_file");
}

#[test]
fn references() {
    hold("references");
}

#[test]
fn npy() {
    hold("npy");
}

#[test]
fn npz() {
    hold("npz");
}

#[test]
fn nvpmodel() {
    hold("nvpmodel");
}

#[test]
fn survey() {
    hold("survey");
}

#[test]
fn survey_file() {
    hold("survey_file");
}

#[test]
fn words() {
    hold("words");
}

#[test]
fn no_reader_is_left_out() {
    let tests = include_str!("readers.rs");
    for reader in READERS {
        assert!(
            tests.contains(&format!("hold(\"{}\");", reader.name)),
            "{}",
            reader.name
        );
    }
}
