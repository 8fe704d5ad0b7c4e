//! Sends the worker's events to its client.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::log::LogLine;
use super::protocol::{self, Event};
use super::run::Stage;

/// Sends events, from any thread, and knows the stage it last announced.
#[derive(Clone, Debug)]
pub struct EventSender {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    out: File,
    stage: Stage,
    last_sign: Option<Instant>,
}

/// Signs of life are sent at most this often.
const SIGN_EVERY: Duration = Duration::from_millis(250);

impl EventSender {
    /// Sends to a file, usually what stdout was.
    pub fn new(out: File) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                out,
                stage: Stage::Start,
                last_sign: None,
            })),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> T {
        // A panic while sending leaves at worst a cut line, which the client forgives.
        work(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends an event. A client that is gone ends the worker elsewhere, when stdin closes.
    pub fn send(&self, event: Event) {
        let line = protocol::encode(event);
        self.with(|s| {
            let _gone = s
                .out
                .write_all(line.as_bytes())
                .and_then(|()| s.out.flush());
        });
    }

    /// Sends a log line.
    pub fn log(&self, line: LogLine) {
        self.send(Event::Log { line });
    }

    /// Says that a stage begins.
    pub fn stage(&self, stage: Stage) {
        self.with(|s| s.stage = stage);
        self.progress(None, String::new());
    }

    /// Says how far the stage is.
    pub fn progress(&self, fraction: Option<f64>, detail: String) {
        let stage = self.with(|s| {
            s.last_sign = Some(Instant::now());
            s.stage
        });
        self.send(Event::Progress {
            stage,
            fraction,
            detail,
        });
    }

    /// A sign of life, dropped when one was sent a moment ago.
    pub fn sign(&self, detail: &str) {
        let due = self.with(|s| s.last_sign.is_none_or(|t| t.elapsed() >= SIGN_EVERY));
        if due {
            self.progress(None, super::log::escape(detail, 200));
        }
    }

    /// How far the stage is, dropped when that was said a moment ago.
    pub fn share(&self, fraction: f64, detail: &str) {
        let due = self.with(|s| s.last_sign.is_none_or(|t| t.elapsed() >= SIGN_EVERY));
        if due {
            self.progress(Some(fraction), super::log::escape(detail, 200));
        }
    }

    /// The stage last said.
    pub fn at(&self) -> Stage {
        self.with(|s| s.stage)
    }
}
