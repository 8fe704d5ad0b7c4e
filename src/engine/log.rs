//! Log lines from outside: escaped, capped, the last ones kept.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Severity of a line, as TensorRT's `ILogger::Severity` orders them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "TensorRT's names")]
pub enum Level {
    Internal,
    Error,
    Warning,
    Info,
    Verbose,
}

impl Level {
    /// From TensorRT's number; anything unknown counts as verbose.
    pub fn from_severity(severity: i32) -> Self {
        match severity {
            0 => Self::Internal,
            1 => Self::Error,
            2 => Self::Warning,
            3 => Self::Info,
            _ => Self::Verbose,
        }
    }

    /// The letter that trtexec prints.
    pub fn letter(self) -> char {
        match self {
            Self::Internal | Self::Error => 'E',
            Self::Warning => 'W',
            Self::Info => 'I',
            Self::Verbose => 'V',
        }
    }
}

/// One line, safe to print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Severity.
    pub level: Level,
    /// Text without control characters.
    pub text: String,
}

impl LogLine {
    /// Longest line kept, in characters.
    pub const MAX_CHARS: usize = 4000;

    /// Escapes and cuts a line from outside.
    pub fn new(level: Level, text: &str) -> Self {
        Self {
            level,
            text: escape(text, Self::MAX_CHARS),
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.level.letter(), self.text)
    }
}

/// Text that cannot move a cursor, colour a terminal or reverse the reading direction; cut after
/// `max` characters.
pub fn escape(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for (n, c) in text.trim_end_matches(['\r', '\n']).chars().enumerate() {
        if n == max {
            out.push_str("...");
            break;
        }
        let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
        if c == '\t' {
            out.push(' ');
        } else if c.is_control() || bidi || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// The last lines of a log, within a number of bytes.
#[derive(Clone, Debug, Default)]
pub struct LogRing {
    lines: VecDeque<LogLine>,
    bytes: usize,
    dropped: u64,
}

impl LogRing {
    /// Bytes of text kept.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// Adds a line; the oldest go when the ring is full.
    pub fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len() + 8;
        self.lines.push_back(line);
        while self.bytes > Self::MAX_BYTES {
            let Some(old) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= old.text.len() + 8;
            self.dropped += 1;
        }
    }

    /// How many lines were let go.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The lines kept, oldest first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &LogLine> {
        self.lines.iter()
    }

    /// The last `n` lines.
    pub fn tail(&self, n: usize) -> Vec<LogLine> {
        let skip = self.lines.len().saturating_sub(n);
        self.lines.iter().skip(skip).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(
            escape("a\x1b[31mred\x07\u{202e}txt\tend\n", 100),
            "a\\u{1b}[31mred\\u{7}\\u{202e}txt end"
        );
        assert_eq!(escape("line\rover\r\n", 100), "line\\u{d}over");
        assert_eq!(escape("abcdef", 3), "abc...");
        assert_eq!(escape("/layer1/conv1/Conv ü", 100), "/layer1/conv1/Conv ü");
    }

    #[test]
    fn the_ring_keeps_the_end() {
        let mut ring = LogRing::default();
        for i in 0..100_000 {
            ring.push(LogLine::new(Level::Info, &format!("line {i}")));
        }
        assert!(ring.lines().map(|l| l.text.len()).sum::<usize>() <= LogRing::MAX_BYTES);
        assert_eq!(ring.tail(1)[0].text, "line 99999");
        assert_eq!(ring.dropped() as usize + ring.lines().len(), 100_000);
    }
}
