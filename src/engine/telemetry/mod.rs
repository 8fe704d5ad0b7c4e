//! What was read of the machine while a run was under way, over time.

mod energy;
mod marks;

use serde::{Deserialize, Serialize};

use super::log::escape;

pub(super) use energy::GPU_BOARD;
pub use energy::{Energy, EnergyKind, energy};
pub use marks::{Mark, marks};

/// Samples that a run keeps. When there are more, every second one before the timed part goes, then
/// every second one of all.
const MOST_SAMPLES: usize = 4096;
/// Series that a run keeps.
const MOST_SERIES: usize = 64;
/// Longest name of a series, characters.
const MAX_NAME: usize = 40;

/// What a series is of, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Present clock, MHz.
    ClockMhz,
    /// Lowest clock the governor may choose, MHz.
    ClockMinMhz,
    /// Highest clock the governor may choose, or the cap where only that can be read, MHz.
    ClockMaxMhz,
    /// Power of a rail or of the GPU board, W.
    PowerW,
    /// A counter of energy, J since some moment.
    EnergyJ,
    /// 1 while a DLA core is awake, 0 while it is suspended.
    DlaAwake,
    /// Temperature, °C.
    TemperatureC,
    /// How often the hardware has throttled since some moment.
    Throttled,
    /// 1 while the hardware throttles, else 0.
    Throttling,
    /// Memory that a new process can have, MiB.
    MemoryMb,
}

impl Quantity {
    /// Heading of its series.
    pub fn title(self) -> &'static str {
        match self {
            Self::ClockMhz => "Clock",
            Self::ClockMinMhz => "Lowest clock",
            Self::ClockMaxMhz => "Highest clock",
            Self::PowerW => "Power",
            Self::EnergyJ => "Energy",
            Self::DlaAwake => "DLA awake",
            Self::TemperatureC => "Temperature",
            Self::Throttled => "Times throttled",
            Self::Throttling => "Throttling",
            Self::MemoryMb => "Memory available",
        }
    }

    /// Its unit; empty for a count.
    pub fn unit(self) -> &'static str {
        match self {
            Self::ClockMhz | Self::ClockMinMhz | Self::ClockMaxMhz => "MHz",
            Self::PowerW => "W",
            Self::EnergyJ => "J",
            Self::TemperatureC => "°C",
            Self::MemoryMb => "MiB",
            Self::DlaAwake | Self::Throttled | Self::Throttling => "",
        }
    }
}

/// One look at the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When, ns of the machine's monotonic clock.
    pub at_ns: u64,
    /// How long the look took, ns.
    pub took_ns: u64,
    /// CPU time the look took, ns.
    pub cpu_ns: u64,
    /// What was read: quantity, name (`gpu`, `VDD_IN`) and value.
    pub values: Vec<(Quantity, String, f64)>,
}

/// A part of a run in which inferences were timed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedPart {
    /// Its start, ns of the machine's monotonic clock.
    pub from_ns: u64,
    /// Its end, ns.
    pub to_ns: u64,
    /// Images that went through in it.
    pub images: f64,
}

/// Values of one name over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What is measured.
    pub quantity: Quantity,
    /// Of what: `gpu`, `VDD_IN`.
    pub name: String,
    /// A value per sample; none where it could not be read.
    pub values: Vec<Option<f64>>,
}

/// What looking has cost the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Looks, including those that are not kept.
    pub samples: u64,
    /// All of them together, s.
    pub took_s: f64,
    /// Their CPU time, s.
    pub cpu_s: f64,
}

impl Cost {
    /// `25 samples, 1.20 ms and 0.35 ms of CPU each`.
    pub fn text(self) -> String {
        let each = |s: f64| s * 1e3 / self.samples.max(1) as f64;
        format!(
            "{} samples, {:.2} ms and {:.2} ms of CPU each",
            self.samples,
            each(self.took_s),
            each(self.cpu_s)
        )
    }
}

/// Samples of a run by series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// The moment of the first sample, ns of the machine's monotonic clock.
    pub start_ns: u64,
    /// The moment of each sample, s after the first.
    pub at_s: Vec<f64>,
    /// The series, by quantity and name.
    pub series: Vec<Series>,
    /// The timed parts, on the same clock as [`Self::start_ns`].
    pub timed: Vec<TimedPart>,
    /// What looking has cost.
    pub cost: Cost,
}

impl Telemetry {
    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.at_s.is_empty()
    }

    /// Takes a sample in. One that is older than the last, and values that are no numbers, are left
    /// out: the worker may be damaged.
    pub fn add(&mut self, sample: &Sample) {
        self.cost.samples += 1;
        self.cost.took_s += sample.took_ns as f64 / 1e9;
        self.cost.cpu_s += sample.cpu_ns as f64 / 1e9;
        if self.at_s.is_empty() {
            self.start_ns = sample.at_ns;
        }
        let Some(after) = sample.at_ns.checked_sub(self.start_ns) else {
            return;
        };
        // Whole tenths of a millisecond: shorter in JSON, and far below the distance of two looks.
        let at_s = (after as f64 / 1e5).round() / 1e4;
        if self.at_s.last().is_some_and(|last| *last >= at_s) {
            return;
        }
        if self.at_s.len() >= MOST_SAMPLES {
            self.thin();
        }
        let before = self.at_s.len();
        self.at_s.push(at_s);
        for series in &mut self.series {
            series.values.push(None);
        }
        for (quantity, name, value) in &sample.values {
            if !value.is_finite() {
                continue;
            }
            let name = escape(name, MAX_NAME);
            let at = self
                .series
                .binary_search_by(|s| (s.quantity, &s.name).cmp(&(*quantity, &name)));
            let at = match at {
                Ok(at) => at,
                Err(_) if self.series.len() >= MOST_SERIES => continue,
                Err(at) => {
                    let series = Series {
                        quantity: *quantity,
                        name,
                        values: vec![None; before + 1],
                    };
                    self.series.insert(at, series);
                    at
                }
            };
            if let Some(slot) = self.series.get_mut(at).and_then(|s| s.values.last_mut()) {
                *slot = Some(*value);
            }
        }
    }

    /// Takes in what another process of the same run read, after this one.
    pub fn join(&mut self, other: &Self) {
        let value = |s: &Series, at: usize| {
            let value = s.values.get(at).copied().flatten()?;
            Some((s.quantity, s.name.clone(), value))
        };
        let cost = self.cost;
        for (at, after) in other.at_s.iter().enumerate() {
            self.add(&Sample {
                at_ns: other.start_ns.saturating_add((after * 1e9) as u64),
                values: other.series.iter().filter_map(|s| value(s, at)).collect(),
                ..Sample::default()
            });
        }
        self.timed.extend(&other.timed);
        self.cost = Cost {
            samples: cost.samples + other.cost.samples,
            took_s: cost.took_s + other.cost.took_s,
            cpu_s: cost.cpu_s + other.cost.cpu_s,
        };
    }

    /// Leaves every second sample out: first of the older half, which a build fills.
    fn thin(&mut self) {
        let half = self.at_s.len() / 2;
        let at_s = &self.at_s;
        // A half that is thin already has twice the distance.
        let span = |from: usize, to: usize| match (at_s.get(from), at_s.get(to)) {
            (Some(a), Some(b)) => b - a,
            _ => 0.0,
        };
        let older = span(0, half) <= 2.0 * span(half, at_s.len().saturating_sub(1));
        let end = if older { half } else { at_s.len() };
        let keep: Vec<bool> = (0..at_s.len())
            .map(|at| at >= end || at.is_multiple_of(2))
            .collect();
        let mut kept = keep.iter();
        self.at_s.retain(|_| kept.next() == Some(&true));
        for series in &mut self.series {
            let mut kept = keep.iter();
            series.values.retain(|_| kept.next() == Some(&true));
        }
    }

    /// A series by what it is.
    pub fn find(&self, quantity: Quantity, name: &str) -> Option<&Series> {
        let mut all = self.series.iter();
        all.find(|s| s.quantity == quantity && s.name == name)
    }

    /// The timed parts, s after the first sample.
    pub fn timed_s(&self) -> impl Iterator<Item = (f64, f64)> {
        let s = |ns: u64| (ns as f64 - self.start_ns as f64) / 1e9;
        self.timed.iter().map(move |t| (s(t.from_ns), s(t.to_ns)))
    }

    /// Values of a series in the timed parts; of the whole run where nothing was timed.
    pub fn timed_values(&self, series: &Series) -> Vec<f64> {
        let parts: Vec<(f64, f64)> = self.timed_s().collect();
        let timed =
            |at: f64| parts.is_empty() || parts.iter().any(|(a, b)| (*a..=*b).contains(&at));
        let pairs = self.at_s.iter().zip(&series.values);
        let inside = pairs.filter(|(at, _)| timed(**at));
        inside.filter_map(|(_, value)| *value).collect()
    }

    /// The last value of a series.
    pub fn last(&self, quantity: Quantity, name: &str) -> Option<f64> {
        let values = &self.find(quantity, name)?.values;
        values.iter().rev().copied().flatten().next()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Samples at these moments (s), of one series.
    pub(in crate::engine) fn of(
        quantity: Quantity,
        name: &str,
        points: &[(f64, f64)],
    ) -> Telemetry {
        let mut t = Telemetry::default();
        for (at, value) in points {
            t.add(&Sample {
                at_ns: 1_000_000_000 + (at * 1e9) as u64,
                took_ns: 2_000_000,
                cpu_ns: 1_000_000,
                values: vec![(quantity, name.to_owned(), *value)],
            });
        }
        t
    }

    #[test]
    fn samples_become_series() {
        let mut t = of(Quantity::ClockMhz, "gpu", &[(0.0, 306.0), (0.1, 918.0)]);
        t.add(&Sample {
            at_ns: 1_200_000_000,
            values: vec![
                (Quantity::PowerW, "VDD_IN".into(), 5.0),
                (Quantity::PowerW, "bad".into(), f64::NAN),
            ],
            ..Sample::default()
        });
        assert_eq!(t.at_s, [0.0, 0.1, 0.2]);
        let gpu = t.find(Quantity::ClockMhz, "gpu").unwrap();
        assert_eq!(gpu.values, [Some(306.0), Some(918.0), None]);
        let rail = t.find(Quantity::PowerW, "VDD_IN").unwrap();
        assert_eq!(rail.values, [None, None, Some(5.0)]);
        assert_eq!(t.find(Quantity::PowerW, "bad"), None);
        assert_eq!(t.cost.samples, 3);
        assert!(t.cost.text().starts_with("3 samples, 1.33 ms and 0.67 ms"));
    }

    #[test]
    fn a_flood_is_thinned_and_bounded() {
        let mut t = Telemetry::default();
        for i in 0..50_000u64 {
            t.add(&Sample {
                at_ns: i * 100_000_000,
                values: vec![(Quantity::PowerW, format!("rail{}", i % 500), 1.0)],
                ..Sample::default()
            });
        }
        assert!(t.at_s.len() <= MOST_SAMPLES && t.at_s.len() > MOST_SAMPLES / 4);
        assert!(t.at_s.is_sorted() && t.series.len() == MOST_SERIES);
        assert!(t.series.iter().all(|s| s.values.len() == t.at_s.len()));
        assert_eq!(t.at_s.last(), Some(&4999.9));
        // Clocks that run backwards add nothing.
        let kept = t.at_s.len();
        t.add(&Sample::default());
        assert_eq!(t.at_s.len(), kept);
    }

    #[test]
    fn processes_follow_each_other() {
        let mut first = of(Quantity::ClockMhz, "gpu", &[(0.0, 1.0), (1.0, 2.0)]);
        let mut second = of(Quantity::ClockMhz, "gpu", &[(5.0, 3.0)]);
        second.timed.push(TimedPart {
            from_ns: 0,
            to_ns: 1,
            images: 1.0,
        });
        first.join(&second);
        assert_eq!(first.at_s, [0.0, 1.0, 5.0]);
        let all = [Some(1.0), Some(2.0), Some(3.0)];
        assert_eq!(first.series[0].values, all);
        assert_eq!((first.cost.samples, first.timed.len()), (3, 1));
    }
}
