//! Standard output for people: what a model file says cannot drive the terminal.

use std::fmt::Write as _;
use std::io::{self, StdoutLock, Write};

/// Standard output with control and direction characters written as `\u001b`, which JSON takes
/// too. Line ends and tabs pass.
pub(super) struct Plain<W>(W);

/// Standard output, locked.
pub(super) fn stdout() -> Plain<StdoutLock<'static>> {
    Plain(io::stdout().lock())
}

/// Moves the cursor, rings, or turns the reading direction round.
fn drives(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The formatting macros hand over whole strings.
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains(drives) => {
                let mut safe = String::with_capacity(text.len() + 8);
                for c in text.chars() {
                    if drives(c) {
                        write!(safe, "\\u{:04x}", u32::from(c)).map_err(io::Error::other)?;
                    } else {
                        safe.push(c);
                    }
                }
                self.0.write_all(safe.as_bytes())?;
                Ok(bytes.len())
            }
            _ => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let mut out = Plain(Vec::new());
        let name = "a\u{1b}[31mRED\u{7}\t\u{202e}é\u{7f}";
        writeln!(out, "{name}").unwrap();
        assert_eq!(
            String::from_utf8(out.0).unwrap(),
            "a\\u001b[31mRED\\u0007\t\\u202eé\\u007f\n"
        );
    }
}
