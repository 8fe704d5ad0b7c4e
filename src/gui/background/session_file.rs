//! What outlives the window: the session under way, settings, work put aside.
//!
//! Every window has a session file of its own, locked while the window lives and written after
//! every change. A file whose lock is free belongs to a window that died; its work comes back. A
//! session is never written without its lock: nobody would look for it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::export::save_atomic;
use crate::gui::background::jobs::Waker;
use crate::gui::command::Command;
use crate::gui::data::session::{Session, Settings, VERSION};
use crate::gui::message::{Message, Messages};
use crate::history;

/// Where a panic leaves its report.
const PANIC: &str = "panic.txt";
/// The session of the window that closed last.
const LAST: &str = "last.json";
/// Sessions of windows that closed before another one did.
const REPLACED: &str = "replaced";

/// A session found at the start.
#[derive(Clone, Debug)]
pub struct Found {
    /// The work.
    pub session: Session,
    /// Its window did not close by itself.
    pub crashed: bool,
    /// Where the file is now.
    pub path: PathBuf,
}

#[derive(Default)]
struct Slot {
    next: Option<Session>,
    stop: bool,
    error: Option<String>,
    /// Held while the window lives; none where the folder cannot be written.
    lock: Option<File>,
}

type Shared = Arc<(Mutex<Slot>, Condvar)>;

/// The data folder.
pub struct Store {
    dir: PathBuf,
    session: PathBuf,
    /// `last.json` as it was at the start.
    last: Option<Session>,
    slot: Shared,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the folder, takes a session file of its own, and looks for work to bring back. What
    /// cannot be read or written becomes a message; the window works without.
    pub fn open(
        dir: &Path,
        wake: &Waker,
        messages: &mut Messages,
    ) -> (Self, Settings, Option<Found>) {
        let sessions = dir.join("sessions");
        for folder in [
            &sessions,
            &dir.join("recovered"),
            &dir.join("work"),
            &dir.join(REPLACED),
        ] {
            if let Err(e) = fs::create_dir_all(folder) {
                messages.push(not_saved(&format!("{}: {e}", folder.display())));
                break;
            }
        }
        let last = read_session(&dir.join(LAST));
        let found = recover(dir, messages).or_else(|| {
            last.clone().map(|session| Found {
                session,
                crashed: false,
                path: dir.join(LAST),
            })
        });
        offer_replaced(dir, messages);
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos());
        let id = format!("{}-{nanos}", std::process::id());
        let session = sessions.join(format!("{id}.json"));
        let slot: Shared = Shared::default();
        slot.0.lock().unwrap_or_else(PoisonError::into_inner).lock = take_lock(&session).ok();
        let writer = {
            let (slot, path, wake) = (Arc::clone(&slot), session.clone(), Arc::clone(wake));
            std::thread::Builder::new()
                .name("autosave".into())
                .spawn(move || autosave(&slot, &path, &wake))
                .ok()
        };
        let settings = read_json(&dir.join("settings.json")).unwrap_or_default();
        let store = Self {
            dir: dir.to_owned(),
            session,
            last,
            slot,
            writer,
        };
        (store, settings, found)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The report of a panic that ended an earlier window, shown once.
    pub fn panic_report(&self) -> Option<PathBuf> {
        let seen = self.dir.join("panic-seen.txt");
        fs::rename(self.dir.join(PANIC), &seen).ok()?;
        Some(seen)
    }

    /// Writes a session soon; only the newest of several is written.
    pub fn autosave(&self, session: Session) {
        let (slot, bell) = &*self.slot;
        slot.lock().unwrap_or_else(PoisonError::into_inner).next = Some(session);
        bell.notify_one();
    }

    /// What the last autosave could not do.
    pub fn take_error(&self) -> Option<Message> {
        let (slot, _) = &*self.slot;
        let error = slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .error
            .take()?;
        Some(not_saved(&error))
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_settings(&self, settings: &Settings) -> Result<(), String> {
        write_json(&self.dir.join("settings.json"), settings)
    }

    /// Puts the work on a model aside, for when the model is opened again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put_aside(&self, session: &Session) -> Result<(), String> {
        write_json(&self.work(&session.structure_hash), session)
    }

    /// The work put aside for a model.
    pub fn put_back(&self, structure_hash: &str) -> Option<Session> {
        read_session(&self.work(structure_hash))
    }

    fn work(&self, structure_hash: &str) -> PathBuf {
        let safe: String = structure_hash
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(64)
            .collect();
        self.dir.join("work").join(format!("{safe}.json"))
    }

    fn stop(&mut self) {
        {
            let (slot, bell) = &*self.slot;
            slot.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
            bell.notify_one();
        }
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing more to write.
            writer.join().ok();
        }
    }

    /// The window closes by itself: the session becomes the last one.
    pub fn close(&mut self) {
        self.stop();
        let (slot, _) = &*self.slot;
        let lock = slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lock
            .take();
        // Without a session file there is nothing to hand over.
        if let Some(lock) = lock {
            self.keep_replaced();
            let handed_over = fs::rename(&self.session, self.dir.join(LAST)).is_ok();
            if handed_over || !self.session.exists() {
                fs::remove_file(self.session.with_extension("lock")).ok();
            }
            // Free only now: another window that starts meanwhile would take it for a crash.
            drop(lock);
        }
    }

    /// Another window closed since this one began: its work is offered at the next start.
    fn keep_replaced(&self) {
        let last = self.dir.join(LAST);
        let other = read_session(&last).filter(|s| !s.is_plain() && self.last.as_ref() != Some(s));
        let own = read_session(&self.session);
        if other.is_some_and(|other| own.is_some_and(|own| own != other))
            && let Some(name) = self.session.file_name()
        {
            fs::rename(&last, self.dir.join(REPLACED).join(name)).ok();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

fn autosave(slot: &Shared, path: &Path, wake: &Waker) {
    let (slot, bell) = &**slot;
    loop {
        let session = {
            let mut guard = slot.lock().unwrap_or_else(PoisonError::into_inner);
            while guard.next.is_none() && !guard.stop {
                guard = bell.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            guard.next.take()
        };
        let Some(session) = session else { return };
        if let Err(e) = write_locked(slot, path, &session) {
            slot.lock().unwrap_or_else(PoisonError::into_inner).error = Some(e);
            wake();
        }
    }
}

/// Writes a session under its lock, which is taken now where it could not be before, or where somebody
/// has deleted it with the folder.
fn write_locked(slot: &Mutex<Slot>, path: &Path, session: &Session) -> Result<(), String> {
    let slot = || slot.lock().unwrap_or_else(PoisonError::into_inner);
    if slot().lock.is_none() || !path.with_extension("lock").exists() {
        let lock = take_lock(path).map_err(|e| format!("{}: {e}", path.display()))?;
        slot().lock = Some(lock);
    }
    write_json(path, session)
}

/// Locks a session file: a file beside it that has its name only once it is locked, for another
/// window that starts just then takes a free one for that of a dead window.
fn take_lock(session: &Path) -> std::io::Result<File> {
    if let Some(folder) = session.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = session.with_extension("new");
    let file = File::create(&new)?;
    file.try_lock()?;
    fs::rename(&new, session.with_extension("lock"))?;
    Ok(file)
}

/// Offers the work of windows that closed before another one did, once.
fn offer_replaced(dir: &Path, messages: &mut Messages) {
    let Ok(entries) = fs::read_dir(dir.join(REPLACED)) else {
        return;
    };
    for entry in entries.flatten() {
        let kept = dir.join("recovered").join(entry.file_name());
        if fs::rename(entry.path(), &kept).is_ok()
            && let Some(session) = read_session(&kept)
        {
            let why = "It closed before the one that is shown now.";
            offer(&session, kept, why, messages);
        }
    }
}

/// Takes over the newest session whose window died; work in older ones is offered.
fn recover(dir: &Path, messages: &mut Messages) -> Option<Found> {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir.join("sessions")).ok()?.flatten() {
        let lock = entry.path();
        if lock.extension().is_none_or(|e| e != "lock") {
            continue;
        }
        let free = File::open(&lock).is_ok_and(|f| f.try_lock().is_ok());
        if !free {
            continue;
        }
        let file = lock.with_extension("json");
        let kept = dir.join("recovered").join(file.file_name()?);
        let moved = fs::rename(&file, &kept).is_ok();
        // Where it cannot be moved, its lock keeps it for the next start.
        let path = if moved { kept } else { file };
        if let Ok(meta) = fs::metadata(&path) {
            found.push((
                meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                path.clone(),
            ));
        }
        if moved || !path.exists() {
            // The next start tries again.
            fs::remove_file(&lock).ok();
        }
    }
    found.sort();
    let mut newest: Option<Found> = None;
    for (_, path) in found.into_iter().rev() {
        let Some(session) = read_session(&path) else {
            continue;
        };
        if newest.is_some() {
            offer(
                &session,
                path,
                "It ended unexpectedly, as the one shown now.",
                messages,
            );
        } else {
            newest = Some(Found {
                session,
                crashed: true,
                path,
            });
        }
    }
    newest
}

/// Offers work of another window than the one that is shown.
fn offer(session: &Session, path: PathBuf, why: &str, messages: &mut Messages) {
    if !session.is_plain() {
        let title = format!("Another window's work on {} was kept", session.title());
        let message = Message::info(title, why);
        messages.push(message.with_action("Open", Command::OpenPath(path)));
    }
}

/// A session file; `None` where it is missing, damaged or of a newer version.
pub fn read_session(path: &Path) -> Option<Session> {
    parse_session(&fs::read(path).ok()?)
}

/// A session by its text; `None` where it is damaged or of a newer version.
pub fn parse_session(text: &[u8]) -> Option<Session> {
    let session = serde_json::from_slice::<Session>(text).ok();
    session.filter(|s| s.version <= VERSION)
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), String> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| e.to_string())?;
    save_atomic(path, &text).map_err(|e| e.to_string())
}

fn not_saved(why: &str) -> Message {
    Message::error(
        "Your work cannot be saved".into(),
        why,
        "Free space or fix permissions, or set DLAPLAN_DATA_DIR to a folder that can be written",
    )
}

/// Where dlaplan keeps its data: `DLAPLAN_DATA_DIR`, else the desktop's data folder.
///
/// # Errors
/// The system names no home folder.
pub fn data_dir() -> anyhow::Result<PathBuf> {
    history::data_dir()
        .ok_or_else(|| anyhow::anyhow!("no home folder: set HOME, or DLAPLAN_DATA_DIR"))
}

/// A panic leaves a report beside the sessions; the session file itself is always up to date.
pub fn report_panics(data_dir: &Path) {
    let path = data_dir.join(PANIC);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        let trace = std::backtrace::Backtrace::force_capture();
        let text = format!(
            "dlaplan {}, thread {name}\n{info}\n{trace}\n",
            env!("CARGO_PKG_VERSION")
        );
        // Nothing can be reported from here; the old hook prints the panic.
        File::create(&path)
            .and_then(|mut f| f.write_all(text.as_bytes()))
            .ok();
        before(info);
    }));
}
