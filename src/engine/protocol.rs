//! What the client and the worker say to each other: JSON, one message per line, each with the
//! protocol's version.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::log::LogLine;
use super::request::Request;
use super::run::{Actual, Environment, Failure, Measurement, ModelRef, Stage};
use super::telemetry::{Sample, TimedPart};

/// Version of the messages.
pub const PROTOCOL: u32 = 1;
/// Longest line the client takes, bytes. A result with an engine's inspector output is the
/// largest message.
pub const MAX_LINE: usize = 32 << 20;

/// How long a client on another machine may say nothing, pings included: a link that is cut is not
/// always closed. Its workers are started with `--silence`; a client of this machine closes its
/// pipes when it ends, however it ends.
pub const SILENCE: Duration = Duration::from_mins(2);

/// A message with the version it is written in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<T> {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// What is said.
    #[serde(flatten)]
    pub body: T,
}

/// To the worker. Closing its stdin ends it, whatever it is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Build an engine, nothing more.
    Build {
        /// The engine.
        request: Box<Request>,
    },
    /// Build and measure.
    Profile {
        /// The engine.
        request: Box<Request>,
        /// Say [`Event::Ready`] before timing and wait for [`Command::Go`].
        barrier: bool,
    },
    /// Say of each op that the request asks onto the DLA whether TensorRT would run it there; nothing is
    /// built.
    Ask {
        /// The engine.
        request: Box<Request>,
    },
    /// Take the files of the request to come, whose bytes follow one after the other when
    /// [`Event::Wanted`] says so.
    Receive {
        /// The files.
        entries: Vec<Entry>,
    },
    /// All engines of the deployment are ready.
    Go,
    /// The client is still there. A worker on another machine ends when it hears nothing for
    /// [`SILENCE`].
    Ping,
    /// Stop at once.
    Cancel,
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First of all.
    Hello {
        /// The machine.
        environment: Box<Environment>,
        /// Why engines cannot be built here, a reason each; empty where they can.
        #[serde(
            default,
            skip_serializing_if = "Vec::is_empty",
            deserialize_with = "reasons"
        )]
        unavailable: Vec<String>,
    },
    /// Whether the files of [`Command::Receive`] are to be sent, or here already.
    Wanted {
        /// Send them.
        wanted: bool,
    },
    /// The files of [`Command::Receive`] are here.
    Received {
        /// The folder they are in.
        folder: PathBuf,
        /// The folder for this machine's engine and timing caches.
        cache: PathBuf,
    },
    /// Where it is.
    Progress {
        /// The stage.
        stage: Stage,
        /// How much of the stage is done, 0-1, where that is known.
        fraction: Option<f64>,
        /// What it is at.
        detail: String,
    },
    /// A line of TensorRT's log.
    Log {
        /// The line.
        #[serde(flatten)]
        line: LogLine,
    },
    /// Something the user should know now.
    Warning {
        /// What.
        text: String,
    },
    /// What was read of the machine meanwhile. No sign of life: another thread than the one at work
    /// sends it.
    Samples {
        /// In order.
        samples: Vec<Sample>,
    },
    /// Warmed up and waiting for [`Command::Go`].
    Ready,
    /// The engine of [`Command::Build`].
    Built {
        /// The engine.
        built: Box<Built>,
    },
    /// The end of [`Command::Ask`].
    Answered {
        /// `canRunOnDLA` by op.
        can_run_on_dla: BTreeMap<String, bool>,
    },
    /// The end of [`Command::Profile`].
    Measured {
        /// The figures.
        report: Box<Report>,
    },
    /// The end of any of them, without figures.
    Failed {
        /// Why.
        failure: Failure,
        /// The model, as far as it was read.
        model: ModelRef,
    },
}

/// A file of a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it lies in the parcel: a relative path of plain names.
    pub name: String,
    /// Size, bytes.
    pub bytes: u64,
    /// BLAKE3 of its content, hexadecimal.
    pub blake3: String,
}

/// A request that did not end in figures, inside the worker.
pub(super) struct Refusal {
    pub failure: Failure,
    pub model: ModelRef,
}

/// Workers of 0.1 send one text or null.
fn reasons<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reasons {
        Many(Vec<String>),
        One(Option<String>),
    }
    Ok(match Reasons::deserialize(from)? {
        Reasons::Many(all) => all,
        Reasons::One(one) => one.into_iter().collect(),
    })
}

/// An engine that was built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Built {
    /// The model.
    pub model: ModelRef,
    /// Time to build, s.
    pub build_s: f64,
    /// It came from the cache.
    pub cached: bool,
    /// Size, bytes.
    pub engine_bytes: u64,
    /// Where its ops run.
    pub actual: Actual,
}

/// What a worker measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model.
    pub model: ModelRef,
    /// The figures.
    pub measurement: Measurement,
    /// In a deployment: time on the machine's monotonic clock, ns, and iterations completed by
    /// then.
    #[serde(default)]
    pub beats: Vec<(u64, u64)>,
    /// The parts in which inferences were timed.
    #[serde(default)]
    pub timed: Vec<TimedPart>,
}

impl Report {
    /// Why the figures cannot be true, if so: a worker may lie or be damaged.
    pub fn implausible(&self) -> Option<String> {
        let m = &self.measurement;
        let bad = |v: f64| !v.is_finite() || v < 0.0;
        if m.fps_samples.is_empty() || m.fps_samples.iter().any(|v| bad(*v) || *v == 0.0) {
            return Some("FPS samples that are not positive numbers".into());
        }
        let known = super::run::summarise(&m.fps_samples)?;
        let f = &m.fps;
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        if !same(f.value, known.median) || !same(f.min, known.min) || !same(f.max, known.max) {
            return Some(format!(
                "an FPS of {} that its own samples do not give",
                f.value
            ));
        }
        let l = &m.latency;
        let ordered = [l.min, l.median, l.p90, l.p95, l.p99, l.max];
        if ordered.iter().any(|v| bad(*v)) || !ordered.is_sorted() {
            return Some("latency percentiles that do not rise".into());
        }
        if m.layers.iter().any(|r| bad(r.mean_ms)) {
            return Some("layer times that are not numbers".into());
        }
        let forward = |w: &[(u64, u64)]| matches!(w, [a, b] if a.0 <= b.0 && a.1 <= b.1);
        if !self.beats.windows(2).all(forward) {
            return Some("a clock that runs backwards".into());
        }
        if self
            .timed
            .iter()
            .any(|t| t.from_ns > t.to_ns || bad(t.images))
        {
            return Some("timed parts that end before they begin".into());
        }
        None
    }
}

/// Waits for [`Command::Go`]; false when the client is gone.
pub(super) fn wait_for_go(commands: &Receiver<Command>) -> bool {
    loop {
        match commands.recv() {
            Ok(Command::Go) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// A line for the wire, newline included.
pub fn encode<T: Serialize>(body: T) -> String {
    let message = Message {
        protocol: PROTOCOL,
        body,
    };
    // JSON refuses only a path that is not UTF-8, and those are refused before: in a request by
    // `Request::check`, of the worker's own folders when it takes files.
    let mut line = serde_json::to_string(&message).unwrap_or_default();
    line.push('\n');
    line
}

/// Reads a line.
///
/// # Errors
/// Not a message, or one of another version.
pub fn decode<T: for<'de> Deserialize<'de>>(line: &str) -> Result<T, DecodeError> {
    match serde_json::from_str::<Message<T>>(line) {
        Ok(m) if m.protocol == PROTOCOL => Ok(m.body),
        Ok(m) => Err(DecodeError::Version(m.protocol)),
        Err(e) => {
            #[derive(Deserialize)]
            struct Version {
                protocol: u32,
            }
            match serde_json::from_str::<Version>(line) {
                Ok(v) if v.protocol != PROTOCOL => Err(DecodeError::Version(v.protocol)),
                _ => Err(DecodeError::Garbage(e.to_string())),
            }
        }
    }
}

/// A line that is no message of this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another version.
    #[error(
        "it speaks protocol {0} and this program speaks {PROTOCOL}; install the same dlaplan on both"
    )]
    Version(u32),
    /// Something else.
    #[error("not a message: {0}")]
    Garbage(String),
}

#[cfg(test)]
mod tests {
    use crate::engine::log::Level;

    use super::*;

    #[test]
    fn messages_round_trip() {
        let events = [
            Event::Ready,
            Event::Log {
                line: LogLine::new(Level::Warning, "text"),
            },
            Event::Progress {
                stage: Stage::Build,
                fraction: Some(0.5),
                detail: "/conv1/Conv".into(),
            },
            Event::Hello {
                environment: Box::default(),
                unavailable: vec!["no driver".into(), "no TensorRT".into()],
            },
        ];
        for event in events {
            let line = encode(event.clone());
            assert!(line.starts_with("{\"protocol\":1,\"type\":") && line.ends_with('\n'));
            assert_eq!(decode::<Event>(&line).unwrap(), event);
        }
        let line = encode(Command::Go);
        assert_eq!(line, "{\"protocol\":1,\"type\":\"go\"}\n");
    }

    #[test]
    fn reasons_of_older_workers_are_read() {
        for (text, reasons) in [
            ("null", vec![]),
            ("\"no TensorRT\"", vec!["no TensorRT"]),
            ("[\"a\",\"b\"]", vec!["a", "b"]),
        ] {
            let line = format!(
                "{{\"protocol\":1,\"type\":\"hello\",\"environment\":{{}},\"unavailable\":{text}}}"
            );
            let Ok(Event::Hello { unavailable, .. }) = decode(&line) else {
                panic!("{line}");
            };
            assert_eq!(unavailable, reasons);
        }
    }

    #[test]
    fn other_versions_and_garbage() {
        let other = decode::<Event>("{\"protocol\":2,\"type\":\"brand_new\"}");
        assert_eq!(other, Err(DecodeError::Version(2)));
        for bad in [
            "",
            "hello",
            "{}",
            "{\"protocol\":1}",
            "{\"protocol\":1,\"type\":\"x\"}",
        ] {
            assert!(
                matches!(decode::<Event>(bad), Err(DecodeError::Garbage(_))),
                "{bad}"
            );
        }
    }
}
