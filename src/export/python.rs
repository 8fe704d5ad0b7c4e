//! Pieces both Python exports share.

use std::fmt::Write as _;

use crate::placement::Device;

use super::Subject;

/// A Python string literal. JSON's escapes are Python's, except that Python takes no surrogate
/// pairs as one character, which serde_json never writes.
pub(super) fn string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    // Line separators end a comment or a line for some readers; nothing else is left raw.
    quoted.chars().fold(String::new(), |mut out, c| {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            write!(out, "\\u{:04x}", c as u32).ok();
        } else {
            out.push(c);
        }
        out
    })
}

/// Text that stays on its comment line.
pub(super) fn comment(text: &str) -> String {
    let safe = |c: char| {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            '?'
        } else {
            c
        }
    };
    text.chars().map(safe).collect()
}

/// `True` or `False`.
pub(super) fn boolean(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `trt.DeviceType.DLA`.
pub(super) fn device(device: Device) -> String {
    format!("trt.DeviceType.{device}")
}

/// The first lines of a script: what it is for.
pub(super) fn heading(subject: &Subject<'_>) -> String {
    comment(&format!(
        "{} on {}, {}, batch {}: {}",
        subject.model.name,
        subject.target,
        subject.config.precision,
        subject.config.batch,
        subject.plan.summary(subject.model)
    ))
}
