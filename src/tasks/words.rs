//! Words for figures, times and outcomes.

use jiff::Timestamp;

use crate::engine::{Energy, Level, LogLine};
use crate::figure::{Figure, Measured, short};

/// `2026-11-21 07:12`, UTC, of milliseconds since 1970; empty for a time no calendar has.
pub fn date(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok();
    let at = at.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or(String::new(), |at| {
        at.strftime("%Y-%m-%d %H:%M").to_string()
    })
}

/// `2026-11-21`, of this day, UTC.
pub fn today() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// `181 FPS, median of 5 (180 to 182)`.
pub fn spread(m: &Measured) -> String {
    format!(
        "{} FPS, median of {} ({} to {})",
        short(m.value),
        m.repeats,
        short(m.min),
        short(m.max)
    )
}

/// `54.1 mJ, median of 5 (53.8 to 54.6)`, or why there is no figure.
pub fn energy_per_image(mj: &Figure) -> String {
    match mj {
        Figure::Measured(m) => format!(
            "{} mJ, median of {} ({} to {})",
            short(m.value),
            m.repeats,
            short(m.min),
            short(m.max)
        ),
        other => format!("not known: {}", other.source()),
    }
}

/// Mean power and what it is of: `12.3 W, board input rails, not at the wall (VDD_IN)`.
pub fn energy_of(energy: &Energy) -> String {
    format!(
        "{} W, {} ({})",
        short(energy.watts()),
        energy.kind.text(),
        energy.rails.join(" + ")
    )
}

/// `from the cache`, or `built in 12.3 s`.
pub fn built(cached: bool, build_s: f64) -> String {
    if cached {
        "from the cache".to_owned()
    } else {
        format!("built in {build_s:.1} s")
    }
}

/// The last lines of a log that explain an end: warnings and worse, else simply the last.
pub fn worth_reading(log: &[LogLine], n: usize) -> Vec<&LogLine> {
    let mut lines: Vec<&LogLine> = log.iter().filter(|l| l.level <= Level::Warning).collect();
    if lines.is_empty() {
        lines = log.iter().collect();
    }
    lines.split_off(lines.len().saturating_sub(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(1_709_164_740_000), "2024-02-28 23:59");
        assert_eq!(date(1_709_164_800_000), "2024-02-29 00:00");
        assert_eq!(date(1_795_219_200_000), "2026-11-21 00:00");
        assert_eq!(date(u64::MAX), "");
    }
}
