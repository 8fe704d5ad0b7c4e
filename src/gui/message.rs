//! What the window tells the user: cards that stay until dismissed, and a list that keeps all.

use std::time::{Duration, Instant};

use super::command::Command;
use crate::engine::escape;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something could not be done.
    Error,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// For dismissing.
    pub id: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What happened, short.
    pub title: String,
    /// The file, the place, the system's words.
    pub detail: String,
    /// What to do about it; may be empty.
    pub remedy: String,
    /// A button.
    pub action: Option<(String, Command)>,
    /// It says that a model could not be opened: another that is opened takes it away.
    until_opened: bool,
    /// The user has taken the card away.
    pub dismissed: bool,
    /// When it came up.
    pub since: Instant,
}

impl Message {
    /// Good news or plain news.
    pub fn info(title: String, detail: &str) -> Self {
        Self {
            id: 0,
            severity: Severity::Info,
            title,
            detail: detail.to_owned(),
            remedy: String::new(),
            action: None,
            until_opened: false,
            dismissed: false,
            since: Instant::now(),
        }
    }

    /// Something failed.
    pub fn error(title: String, detail: &str, remedy: &str) -> Self {
        Self {
            severity: Severity::Error,
            remedy: remedy.to_owned(),
            ..Self::info(title, detail)
        }
    }

    /// Goes once a model is opened.
    #[must_use]
    pub fn until_opened(mut self) -> Self {
        self.until_opened = true;
        self
    }

    /// With a button.
    #[must_use]
    pub fn with_action(mut self, text: &str, command: Command) -> Self {
        self.action = Some((text.to_owned(), command));
        self
    }
}

/// How long plain news stays on screen; errors and offers stay until dismissed.
const NEWS: Duration = Duration::from_secs(10);

/// Of what is shown of names, paths and logs from elsewhere: letters of a title and of a line, and lines.
const LONGEST_TITLE: usize = 300;
const LONGEST_LINE: usize = 2000;
const MOST_LINES: usize = 200;

/// Messages that are kept; of more, the oldest that was dismissed goes, else the oldest.
const MOST: usize = 500;

/// All messages of a session.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    all: Vec<Message>,
    next: u64,
}

impl Messages {
    /// Shows a message; one already on screen is not shown twice.
    pub fn push(&mut self, mut message: Message) {
        message.title = escape(&message.title, LONGEST_TITLE);
        let lines = message.detail.lines().take(MOST_LINES);
        let lines: Vec<String> = lines.map(|line| escape(line, LONGEST_LINE)).collect();
        message.detail = lines.join("\n");
        let same = |m: &Message| !m.dismissed && m.title == message.title;
        if self.all.iter().any(same) {
            return;
        }
        self.next += 1;
        message.id = self.next;
        self.all.push(message);
        if self.all.len() > MOST {
            let at = self.all.iter().position(|m| m.dismissed);
            self.all.remove(at.unwrap_or(0));
        }
    }

    /// Shows a message in the place of an older one with its title.
    pub fn renew(&mut self, message: Message) {
        for old in self.all.iter_mut().filter(|m| m.title == message.title) {
            old.dismissed = true;
        }
        self.push(message);
    }

    /// Takes a card away.
    pub fn dismiss(&mut self, id: u64) {
        if let Some(message) = self.all.iter_mut().find(|m| m.id == id) {
            message.dismissed = true;
        }
    }

    /// A model was opened.
    pub fn opened(&mut self) {
        for message in self.all.iter_mut().filter(|m| m.until_opened) {
            message.dismissed = true;
        }
    }

    /// Takes all cards away.
    pub fn dismiss_all(&mut self) {
        for message in &mut self.all {
            message.dismissed = true;
        }
    }

    /// Takes old news off the screen. Returns when the next piece gets old.
    pub fn tidy(&mut self) -> Option<Duration> {
        let news =
            |m: &&mut Message| !m.dismissed && m.severity == Severity::Info && m.action.is_none();
        let mut next = None;
        for message in self.all.iter_mut().filter(news) {
            let left = NEWS.saturating_sub(message.since.elapsed());
            if left.is_zero() {
                message.dismissed = true;
            } else {
                next = Some(next.map_or(left, |n: Duration| n.min(left)));
            }
        }
        next
    }

    /// Cards on screen, oldest first.
    pub fn cards(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.all.iter().filter(|m| !m.dismissed)
    }

    /// Everything, oldest first.
    pub fn all(&self) -> &[Message] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Message, Messages};

    #[test]
    fn the_list_has_an_end_whatever_is_dismissed() {
        let mut messages = Messages::default();
        let push = |messages: &mut Messages, n: usize| {
            messages.push(Message::error(format!("error {n}"), "", ""));
        };
        for n in 0..MOST {
            push(&mut messages, n);
        }
        messages.dismiss(7);
        push(&mut messages, MOST);
        assert_eq!(messages.all().len(), MOST);
        assert!(messages.all().iter().all(|m| m.id != 7));
        push(&mut messages, MOST + 1);
        assert_eq!(messages.all().len(), MOST);
        assert_eq!(messages.all()[0].title, "error 1");
    }
}
