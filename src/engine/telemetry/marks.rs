//! What the samples say against the figures of a run.

use serde::{Deserialize, Serialize};

use super::{Quantity, Series, Telemetry};

/// A clock that stays within this share of itself has not moved.
const STILL: f64 = 0.02;

/// Something that happened while inferences were timed, and that the figures must be read with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// A clock moved.
    ClocksMoved {
        /// Which: `gpu`, `emc`, `dla0`.
        clock: String,
        /// Lowest, MHz.
        low_mhz: f64,
        /// Highest, MHz.
        high_mhz: f64,
    },
    /// The hardware throttled.
    Throttled {
        /// What it throttled for: `oc3`, `thermal`.
        event: String,
    },
    /// The GPU's governor could have moved the clock.
    NotLocked {
        /// Lowest, MHz.
        min_mhz: f64,
        /// Highest, MHz.
        max_mhz: f64,
    },
    /// A DLA core was asked for, and stayed suspended.
    DlaNeverWoke {
        /// The core.
        core: u32,
    },
}

impl Mark {
    /// A few words, for a table.
    pub fn title(&self) -> &'static str {
        match self {
            Self::ClocksMoved { .. } => "clocks moved",
            Self::Throttled { .. } => "throttled",
            Self::NotLocked { .. } => "not locked",
            Self::DlaNeverWoke { .. } => "DLA never woke",
        }
    }

    /// What happened.
    pub fn text(&self) -> String {
        match self {
            Self::ClocksMoved {
                clock,
                low_mhz,
                high_mhz,
            } => format!(
                "clocks moved: {clock} between {low_mhz:.0} and {high_mhz:.0} MHz while inferences \
                 were timed"
            ),
            Self::Throttled { event } => {
                format!("throttled: the hardware lowered its clocks ({event})")
            }
            Self::NotLocked { min_mhz, max_mhz } => format!(
                "not locked: the GPU's clock may move between {min_mhz:.0} and {max_mhz:.0} MHz; \
                 hold it while measuring (--lock-clocks, or the window's board menu)"
            ),
            Self::DlaNeverWoke { core } => format!(
                "DLA never woke: core {core} was asked for and stayed suspended while inferences \
                 were timed"
            ),
        }
    }

    /// The figures are not those of the placement that was asked.
    pub fn is_grave(&self) -> bool {
        matches!(self, Self::DlaNeverWoke { .. } | Self::Throttled { .. })
    }
}

/// What the samples of a run say. `dla_core` is the core that its placement asks for. Nothing is
/// said of a run in which nothing was timed.
pub fn marks(telemetry: &Telemetry, dla_core: Option<u32>) -> Vec<Mark> {
    if telemetry.timed.is_empty() {
        return Vec::new();
    }
    let mut marks = Vec::new();
    let of = |quantity: Quantity| {
        let all = telemetry.series.iter();
        all.filter(move |s| s.quantity == quantity)
    };
    let dla = dla_core.map(|core| format!("dla{core}"));
    if let (Some(core), Some(name)) = (dla_core, &dla)
        && let Some(status) = telemetry.find(Quantity::DlaAwake, name)
    {
        let awake = telemetry.timed_values(status);
        if !awake.is_empty() && awake.iter().all(|v| *v == 0.0) {
            marks.push(Mark::DlaNeverWoke { core });
        }
    }
    let throttling = |s: &&Series| telemetry.timed_values(s).iter().any(|v| *v > 0.0);
    let counted = of(Quantity::Throttled).filter(|s| rose(telemetry, s));
    let flagged = of(Quantity::Throttling).filter(throttling);
    for series in counted.chain(flagged) {
        marks.push(Mark::Throttled {
            event: series.name.clone(),
        });
    }
    for series in of(Quantity::ClockMhz) {
        let matters = ["gpu", "emc"].contains(&&*series.name) || dla.as_ref() == Some(&series.name);
        if let Some((low, high)) = bounds(&telemetry.timed_values(series))
            && matters
            && high - low > STILL * high
        {
            marks.push(Mark::ClocksMoved {
                clock: series.name.clone(),
                low_mhz: low,
                high_mhz: high,
            });
        }
    }
    let limit = |quantity| {
        let values = telemetry.timed_values(telemetry.find(quantity, "gpu")?);
        bounds(&values)
    };
    if let (Some((min_mhz, _)), Some((_, max_mhz))) =
        (limit(Quantity::ClockMinMhz), limit(Quantity::ClockMaxMhz))
        && min_mhz < max_mhz
    {
        marks.push(Mark::NotLocked { min_mhz, max_mhz });
    }
    marks
}

/// Whether a counter rose in the timed parts, the looks around them included: from the last value
/// before the first part to the first one after the last.
fn rose(telemetry: &Telemetry, series: &Series) -> bool {
    let parts: Vec<(f64, f64)> = telemetry.timed_s().collect();
    let from = parts.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let to = parts.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let pairs = || {
        let pairs = telemetry.at_s.iter().zip(&series.values);
        pairs.filter_map(|(at, v)| Some((*at, (*v)?)))
    };
    let first = pairs().take_while(|(at, _)| *at <= from).last();
    let first = first.or_else(|| pairs().next());
    let last = pairs().find(|(at, _)| *at >= to);
    let inside = pairs().filter(|(at, _)| (from..=to).contains(at));
    let Some((_, before)) = first else {
        return false;
    };
    inside.chain(last).any(|(_, v)| v > before)
}

fn bounds(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::super::TimedPart;
    use super::super::tests::of;
    use super::*;

    /// The second from 1 to 2 s is timed.
    fn timed(quantity: Quantity, name: &str, values: [f64; 4]) -> Telemetry {
        let points: Vec<(f64, f64)> = [0.0, 1.2, 1.8, 3.0].into_iter().zip(values).collect();
        let mut t = of(quantity, name, &points);
        t.timed.push(TimedPart {
            from_ns: 2_000_000_000,
            to_ns: 3_000_000_000,
            images: 10.0,
        });
        t
    }

    fn titles(t: &Telemetry, core: Option<u32>) -> Vec<&'static str> {
        marks(t, core).iter().map(Mark::title).collect()
    }

    #[test]
    fn clocks_count_only_while_inferences_are_timed() {
        let gpu = |values| timed(Quantity::ClockMhz, "gpu", values);
        assert_eq!(titles(&gpu([306.0, 918.0, 918.0, 306.0]), None), [""; 0]);
        assert_eq!(titles(&gpu([918.0, 918.0, 910.0, 918.0]), None), [""; 0]);
        let moved = marks(&gpu([918.0, 918.0, 816.0, 918.0]), None);
        assert!(moved[0].text().contains("gpu between 816 and 918 MHz"));
        let cpu = timed(Quantity::ClockMhz, "cpu0", [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(titles(&cpu, None), [""; 0]);
        let dla = timed(Quantity::ClockMhz, "dla1", [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(titles(&dla, Some(0)), [""; 0]);
        assert_eq!(titles(&dla, Some(1)), ["clocks moved"]);
        let mut untimed = gpu([1.0, 2.0, 3.0, 4.0]);
        untimed.timed.clear();
        assert_eq!(titles(&untimed, None), [""; 0]);
    }

    #[test]
    fn a_counter_that_rises_is_throttling() {
        let oc = |values| timed(Quantity::Throttled, "oc3", values);
        assert_eq!(titles(&oc([7.0, 7.0, 7.0, 7.0]), None), [""; 0]);
        assert_eq!(titles(&oc([7.0, 7.0, 8.0, 8.0]), None), ["throttled"]);
        assert_eq!(titles(&oc([7.0, 7.0, 7.0, 8.0]), None), ["throttled"]);
        assert_eq!(titles(&oc([0.0, 1.0, 0.0, 0.0]), None), ["throttled"]);
        let flag = |values| timed(Quantity::Throttling, "thermal", values);
        assert_eq!(titles(&flag([1.0, 1.0, 1.0, 1.0]), None), ["throttled"]);
        assert_eq!(titles(&flag([1.0, 0.0, 0.0, 1.0]), None), [""; 0]);
    }

    #[test]
    fn a_dla_that_is_asked_for_must_wake() {
        let dla = |values| timed(Quantity::DlaAwake, "dla1", values);
        assert_eq!(
            titles(&dla([1.0, 0.0, 0.0, 1.0]), Some(1)),
            ["DLA never woke"]
        );
        assert_eq!(titles(&dla([0.0, 0.0, 1.0, 0.0]), Some(1)), [""; 0]);
        assert_eq!(
            titles(&dla([0.0; 4]), Some(0)),
            [""; 0],
            "nothing is known of it"
        );
        assert_eq!(titles(&dla([0.0; 4]), None), [""; 0]);
    }

    #[test]
    fn a_clock_with_a_range_is_not_locked() {
        let mut t = timed(Quantity::ClockMinMhz, "gpu", [306.0; 4]);
        let max = timed(Quantity::ClockMaxMhz, "gpu", [918.0; 4])
            .series
            .remove(0);
        t.series.push(max);
        assert_eq!(titles(&t, None), ["not locked"]);
        t.series[0].values = vec![Some(918.0); 4];
        assert_eq!(titles(&t, None), [""; 0]);
    }
}
