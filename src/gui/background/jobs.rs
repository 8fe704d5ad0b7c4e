//! Work off the window's thread: named threads and one bounded channel back. What a job brings is
//! a callback on the state, so that nothing here knows what the jobs are.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use super::memory::give_back;

/// Asks the window for another frame, from any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What is done to the state once a job has ended.
pub type Callback<S> = Box<dyn FnOnce(&mut S) + Send>;

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
}

/// All background work of a window whose state is `S`.
pub struct Jobs<S> {
    running: Vec<Running>,
    sender: SyncSender<(u64, Callback<S>)>,
    ended: Receiver<(u64, Callback<S>)>,
    next: u64,
    wake: Waker,
}

impl<S: 'static> Jobs<S> {
    /// No jobs yet.
    pub fn new(wake: Waker) -> Self {
        let (sender, ended) = sync_channel(16);
        Self {
            running: Vec::new(),
            sender,
            ended,
            next: 0,
            wake,
        }
    }

    /// Runs `work` on a named thread; `then` takes its result in on the window's thread.
    ///
    /// # Errors
    /// The system could not start a thread.
    pub fn start<T: Send + 'static>(
        &mut self,
        title: impl Into<String>,
        visible: bool,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut S, T) + Send + 'static,
    ) -> std::io::Result<()> {
        let id = self.next;
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        std::thread::Builder::new()
            .name(format!("job {id}"))
            .spawn(move || {
                let result = work();
                // A closed channel means the window is gone, and nobody waits for the result.
                sender
                    .send((id, Box::new(move |state| then(state, result))))
                    .ok();
                wake();
                give_back();
            })?;
        self.next += 1;
        self.running.push(Running {
            id,
            title: title.into(),
            started: Instant::now(),
            visible,
        });
        Ok(())
    }

    /// What is under way.
    pub fn running(&self) -> &[Running] {
        &self.running
    }

    /// Forgets a job; what it brings back is dropped.
    pub fn cancel(&mut self, id: u64) {
        self.running.retain(|r| r.id != id);
    }

    /// What the next finished job that nobody cancelled does to the state.
    pub fn poll(&mut self) -> Option<Callback<S>> {
        while let Ok((id, callback)) = self.ended.try_recv() {
            if let Some(at) = self.running.iter().position(|r| r.id == id) {
                self.running.remove(at);
                return Some(callback);
            }
        }
        None
    }
}
