//! Work off the UI thread: named threads, one bounded channel back, cancellable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::model::Model;
use crate::model::onnx::{LoadError, LoadOptions};
use crate::placement::{EngineConfig, Placement};

use crate::gui::actions::kept::{Change, Listing};
use crate::gui::actions::measure::News;
use crate::gui::dialog::Purpose;

/// Asks the window for another frame, from any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A placement file and the input dims it was made at.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeAt {
    /// The file.
    pub file: PathBuf,
    /// Its dims.
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// What is to be opened once the model has these dims.
    pub point: Option<(Placement, EngineConfig)>,
}

/// What a job brings back.
pub enum Done {
    /// A model was read, or not.
    Model {
        /// As asked for.
        path: PathBuf,
        /// As asked for.
        options: LoadOptions,
        /// The placement file whose dims are among them.
        made_at: Option<Box<MadeAt>>,
        /// The model.
        result: Box<Result<Model, LoadError>>,
    },
    /// A file dialog closed.
    Picked {
        /// What it was opened for.
        purpose: Purpose,
        /// The choice; `None` for cancel and for desktops without any dialog.
        path: Option<PathBuf>,
        /// How long it was open.
        took: Duration,
    },
    /// A file was read to be opened as a placement.
    PlacementText {
        /// The file.
        path: PathBuf,
        /// Its text.
        result: std::io::Result<String>,
    },
    /// The history was changed or listed.
    History {
        /// What was changed.
        change: Change,
        /// Of which model.
        structure_hash: String,
        /// What it holds now.
        result: Result<Listing, String>,
    },
    /// Something about measuring.
    Measuring(News),
    /// A file was written.
    Saved {
        /// What it is, in words.
        what: String,
        /// The file.
        path: PathBuf,
        /// What went wrong, if anything.
        result: Result<(), String>,
    },
}

/// Tells a job that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A job under way.
pub struct Running {
    /// For cancelling.
    pub id: u64,
    /// What it does, for the status bar.
    pub title: String,
    /// Since when.
    pub started: Instant,
    /// Whether the status bar shows it with a cancel button (dialogs are their own display).
    pub visible: bool,
    cancel: Cancel,
}

/// All background work of a window.
pub struct Jobs {
    running: Vec<Running>,
    tell: SyncSender<(u64, Done)>,
    done: Receiver<(u64, Done)>,
    next: u64,
    wake: Waker,
}

impl Jobs {
    /// No jobs yet.
    pub fn new(wake: Waker) -> Self {
        let (tell, done) = sync_channel(16);
        Self {
            running: Vec::new(),
            tell,
            done,
            next: 0,
            wake,
        }
    }

    /// Starts a named thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        &mut self,
        title: impl Into<String>,
        visible: bool,
        work: impl FnOnce(&Cancel) -> Done + Send + 'static,
    ) -> std::io::Result<()> {
        let (id, cancel) = (self.next, Cancel::default());
        let (tell, wake, token) = (self.tell.clone(), Arc::clone(&self.wake), cancel.clone());
        let title = title.into();
        std::thread::Builder::new()
            .name(format!("job {id}"))
            .spawn(move || {
                let done = work(&token);
                // A closed channel means the window is gone and with it the interest.
                tell.send((id, done)).ok();
                wake();
            })?;
        self.next += 1;
        self.running.push(Running {
            id,
            title,
            started: Instant::now(),
            visible,
            cancel,
        });
        Ok(())
    }

    /// What is under way.
    pub fn running(&self) -> &[Running] {
        &self.running
    }

    /// Forgets a job; what it brings back is dropped.
    pub fn cancel(&mut self, id: u64) {
        if let Some(at) = self.running.iter().position(|r| r.id == id) {
            self.running.remove(at).cancel.set();
        }
    }

    /// The next finished job that nobody cancelled.
    pub fn poll(&mut self) -> Option<Done> {
        while let Ok((id, done)) = self.done.try_recv() {
            if let Some(at) = self.running.iter().position(|r| r.id == id) {
                self.running.remove(at);
                return Some(done);
            }
        }
        None
    }
}
