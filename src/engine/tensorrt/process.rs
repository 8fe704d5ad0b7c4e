//! TensorRT in this process: opened once, with one logger for good. TensorRT keeps using the first
//! logger it was given, also for objects made with another.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::engine::event_sender::EventSender;
use crate::engine::log::{Level, LogLine};
use crate::engine::reading::{PlacementLog, parse_placement};

use super::library::{Libraries, Unavailable};
use super::objects::Logger;

/// The libraries and the logger.
pub struct Process {
    /// The libraries.
    pub libraries: &'static Libraries,
    /// The logger.
    pub logger: Logger<'static>,
    ear: Arc<Ear>,
}

#[derive(Default)]
struct Ear {
    outbox: Mutex<Option<EventSender>>,
    placement: Mutex<PlacementLog>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ear {
    fn hear(&self, level: Level, text: &str) {
        let outbox = lock(&self.outbox).clone();
        if level == Level::Verbose {
            if let Some(outbox) = outbox {
                outbox.sign(text);
            }
            return;
        }
        parse_placement(text, &mut lock(&self.placement));
        if let Some(outbox) = outbox {
            outbox.log(LogLine::new(level, text));
        }
    }
}

/// Opens TensorRT on the first call.
pub fn process() -> Result<&'static Process, Unavailable> {
    static PROCESS: OnceLock<Result<Process, Unavailable>> = OnceLock::new();
    PROCESS
        .get_or_init(|| {
            let libraries = Libraries::open()?;
            // Lives as long as the process: TensorRT's own threads may use it until the end.
            let libraries: &'static Libraries = Box::leak(Box::new(libraries));
            let ear = Arc::new(Ear::default());
            let hears = Arc::clone(&ear);
            let sink = Box::new(move |level: Level, text: &str| hears.hear(level, text));
            Ok(Process {
                libraries,
                logger: Logger::new(libraries, sink)?,
                ear,
            })
        })
        .as_ref()
        .map_err(Clone::clone)
}

impl Process {
    /// Sends the log to a client from now on.
    pub fn tell(&self, outbox: &EventSender) {
        *lock(&self.ear.outbox) = Some(outbox.clone());
    }

    /// What was logged about devices since the last call.
    pub fn take_placement(&self) -> PlacementLog {
        std::mem::take(&mut lock(&self.ear.placement))
    }
}
