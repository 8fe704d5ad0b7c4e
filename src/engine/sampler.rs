//! Looks at the machine ten times a second while a request is worked on, in a thread of its own
//! that sleeps in between.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::environment::nvml::Nvml;
use super::environment::sensors::Sensors;
use super::event_sender::EventSender;
use super::protocol::Event;
use super::run::Stage;
use super::telemetry::Sample;

/// From one look to the next.
pub const EVERY: Duration = Duration::from_millis(100);
/// Looks that are sent together.
const BATCH: usize = 10;
/// NVIDIA's management library, as the driver installs it.
const NVML: &str = "libnvidia-ml.so.1";

/// CPU time of all samplers of this process, ns: no part of what an inference costs.
static CPU_NS: AtomicU64 = AtomicU64::new(0);

/// CPU time that looking has taken in this process, s.
pub fn cpu_s() -> f64 {
    CPU_NS.load(Ordering::Relaxed) as f64 / 1e9
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Place {
    /// Root folder of the machine's files.
    pub root: PathBuf,
    /// PCI bus id of a GPU board; none where the GPU is part of the chip.
    pub bus_id: Option<String>,
    /// The library that knows the GPU board.
    pub nvml: PathBuf,
}

impl Place {
    /// Files below a root folder, and the GPU on a PCI bus.
    pub fn of(root: &Path, bus_id: Option<String>) -> Self {
        Self {
            root: root.to_owned(),
            bus_id,
            nvml: NVML.into(),
        }
    }
}

/// A thread that looks and sends. Dropping ends it after the look under way; what it has is sent.
pub struct Sampler {
    ended: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts looking. Without a thread there are no samples; the measurement goes on.
    pub fn start(place: Place, every: Duration, events: EventSender) -> Self {
        let (ended, end) = sync_channel(1);
        let work = move || {
            let nvml = place
                .bus_id
                .as_ref()
                .and_then(|bus| Nvml::open(&place.nvml, bus));
            let mut sensors = Sensors::find(&place.root);
            let mut stage = events.at();
            let mut batch = Vec::with_capacity(BATCH);
            let mut next = Instant::now();
            loop {
                let began = (Instant::now(), thread_cpu_ns());
                // The GPU's clock appears when it is first used, so sensors are looked for again.
                let now = events.at();
                if now != stage && now <= Stage::Timing {
                    stage = now;
                    sensors = Sensors::find(&place.root);
                }
                let mut sample = Sample {
                    at_ns: monotonic_ns(),
                    values: sensors.sample(),
                    ..Sample::default()
                };
                if let Some(nvml) = &nvml {
                    sample.values.extend(nvml.sample());
                }
                sample.took_ns = began.0.elapsed().as_nanos() as u64;
                sample.cpu_ns = thread_cpu_ns().saturating_sub(began.1);
                CPU_NS.fetch_add(sample.cpu_ns, Ordering::Relaxed);
                batch.push(sample);
                if batch.len() >= BATCH {
                    send(&events, &mut batch);
                }
                next += every;
                let left = next.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    // Behind, on a busy machine: no two looks at once.
                    next = Instant::now();
                }
                // At least a moment, whatever the looks take.
                match end.recv_timeout(left.max(every / 4)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            send(&events, &mut batch);
        };
        let thread = std::thread::Builder::new().name("sampler".into());
        Self {
            ended: Some(ended),
            thread: thread
                .spawn(work)
                .inspect_err(|e| log::warn!("nothing is sampled: no thread: {e}"))
                .ok(),
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.ended = None;
        if let Some(thread) = self.thread.take() {
            // A panic there cost samples and nothing else.
            let _panicked = thread.join();
        }
    }
}

fn send(events: &EventSender, batch: &mut Vec<Sample>) {
    if !batch.is_empty() {
        let samples = std::mem::take(batch);
        events.send(Event::Samples { samples });
    }
}

fn clock_ns(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |t| {
        (t.tv_sec().max(0) as u64) * 1_000_000_000 + t.tv_nsec().max(0) as u64
    })
}

fn monotonic_ns() -> u64 {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}
