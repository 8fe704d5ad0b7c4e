//! The open model's file may be written by another program: that is noticed, and offered for
//! reading again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::gui::command::Command;
use crate::gui::data::open::{FileStamp, file_name};
use crate::gui::data::options::MadeAt;
use crate::gui::message::Message;
use crate::gui::state::State;
use crate::model::ModelSource;

/// Not looked at more often, so that a slow disk costs nothing.
const APART: Duration = Duration::from_secs(2);

impl State {
    /// Notes how the file is that was just read.
    pub(crate) fn note_file(&mut self) {
        let file = self.open.as_ref().map(|o| o.path.clone());
        let file = file.filter(|p| ModelSource::of(p).file().is_some());
        self.read_at = file.as_deref().and_then(FileStamp::of);
    }

    /// Looks, off this thread, whether the file has changed since it was read; `now` even where it
    /// was looked at a moment ago. Once per frame.
    pub(crate) fn watch_file(&mut self, now: bool) {
        let (Some(open), Some(read)) = (&self.open, self.read_at.clone()) else {
            return;
        };
        let recent = self.looked_at.is_some_and(|at| at.elapsed() < APART);
        if recent && !now {
            return;
        }
        self.looked_at = Some(Instant::now());
        let path = open.path.clone();
        let file = path.clone();
        let work = move || FileStamp::of(&file);
        self.background("Looking at the file", false, work, move |state, found| {
            let same = state.open.as_ref().is_some_and(|o| o.path == path);
            // A file that is gone may be about to be written.
            let Some(found) = found.filter(|f| same && *f != read) else {
                return;
            };
            if state.read_at.as_ref() != Some(&read) {
                return;
            }
            // Offered once for each change.
            state.read_at = Some(found);
            let message = Message::info(
                format!("{} has changed on disk", file_name(&path)),
                "What is shown is the file as it was read before.",
            );
            state
                .messages
                .push(message.with_action("Read it again", Command::Reload));
        });
    }

    /// Reads the open model's file again; the placement stays where it fits.
    pub(crate) fn reload(&mut self) {
        let Some(open) = &self.open else { return };
        let (path, inputs) = (open.path.clone(), open.inputs.clone());
        let point = (self.doc.placement().clone(), self.config().clone());
        let made_at = MadeAt {
            file: path.clone(),
            inputs: BTreeMap::new(),
            point: Some(point),
        };
        self.load_at(path, inputs, Some(made_at));
    }
}
