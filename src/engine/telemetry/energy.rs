//! Energy of the timed parts of a run.

use serde::{Deserialize, Serialize};

use super::{Quantity, Telemetry, TimedPart};
use crate::figure::{Figure, Measured};

/// A value this long before or after is no value of a moment, s.
const REACH_S: f64 = 0.5;
/// The name of the GPU board's series, by NVML.
pub const GPU_BOARD: &str = "GPU board";

/// What the energy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergyKind {
    /// What the board's own monitors see at its input: no losses of the power supply.
    BoardInputRails,
    /// What the GPU board draws, by NVIDIA's driver: no host.
    GpuBoardNvml,
}

impl EnergyKind {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::BoardInputRails => "board input rails, not at the wall",
            Self::GpuBoardNvml => "GPU board power (NVML)",
        }
    }
}

/// Energy over all timed parts of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// What it is of.
    pub kind: EnergyKind,
    /// The rails or counter it is made of.
    pub rails: Vec<String>,
    /// Energy, J.
    pub joules: f64,
    /// Length of the timed parts, s.
    pub seconds: f64,
    /// Images that went through.
    pub images: f64,
}

impl Energy {
    /// Mean power, W.
    pub fn watts(&self) -> f64 {
        self.joules / self.seconds
    }
}

/// Rails that make up all a board draws, each set a board. Source: the README of EnergyMon's
/// `jetson` reader (TX1, TX2, Nano, Xavier NX, AGX Xavier, AGX Orin); Orin NX and Nano have VDD_IN
/// as Xavier NX, by jetson_stats.
const INPUTS: [&[&str]; 5] = [
    &["VDD_IN", "VDD_MUX"],
    &["VDD_IN"],
    &["POM_5V_IN"],
    &["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"],
    &["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"],
];

/// Energy per image of the timed parts, mJ, with the spread over them, and their energy in all. The
/// board's input rails are taken where they are known, else what the GPU's driver counts. `machine`
/// is named in the source.
pub fn energy(telemetry: &Telemetry, machine: &str) -> (Figure, Option<Energy>) {
    let none = |why: &str| (Figure::none(why), None);
    if telemetry.is_empty() {
        return none("power was not sampled");
    }
    let Some(meter) = Meter::of(telemetry) else {
        return none(&no_meter(telemetry));
    };
    let parts = telemetry.timed.iter().filter(|p| p.images > 0.0);
    let measured: Vec<(f64, &TimedPart)> = parts
        .filter_map(|p| Some((meter.joules(telemetry, p)?, p)))
        .collect();
    let mut mj: Vec<f64> = measured
        .iter()
        .map(|(joules, p)| joules * 1e3 / p.images)
        .collect();
    mj.sort_by(f64::total_cmp);
    let (Some(min), Some(max), Some(value)) = (mj.first(), mj.last(), median(&mj)) else {
        return none("no timed part has samples of the power around it");
    };
    let energy = Energy {
        kind: meter.kind,
        rails: meter.names.clone(),
        joules: measured.iter().map(|(joules, _)| joules).sum(),
        seconds: measured.iter().map(|(_, p)| seconds(p)).sum(),
        images: measured.iter().map(|(_, p)| p.images).sum(),
    };
    let figure = Figure::Measured(Measured {
        value,
        min: *min,
        max: *max,
        repeats: mj.len() as u32,
        source: format!(
            "{} ({}); {machine}",
            meter.kind.text(),
            meter.names.join(" + ")
        )
        .into(),
    });
    (figure, Some(energy))
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    let (low, high) = (sorted.get(n.checked_sub(1)? / 2)?, sorted.get(n / 2)?);
    Some(f64::midpoint(*low, *high))
}

fn seconds(part: &TimedPart) -> f64 {
    part.to_ns.saturating_sub(part.from_ns) as f64 / 1e9
}

fn no_meter(telemetry: &Telemetry) -> String {
    let all = telemetry.series.iter();
    let rails = all.filter(|s| s.quantity == Quantity::PowerW);
    let rails: Vec<&str> = rails.map(|s| &*s.name).collect();
    if rails.is_empty() {
        "this machine has no power monitor that can be read".into()
    } else {
        let rails = rails.join(", ");
        format!("the rails {rails} are no board's whole input that dlaplan knows")
    }
}

/// Where power is read.
struct Meter {
    kind: EnergyKind,
    names: Vec<String>,
    /// Moments (s after the first sample) and power in W, or a counter in J.
    points: Vec<(f64, f64)>,
    counter: bool,
}

impl Meter {
    fn of(telemetry: &Telemetry) -> Option<Self> {
        let read = |quantity, names: &[&str]| {
            let series: Option<Vec<_>> = names
                .iter()
                .map(|name| telemetry.find(quantity, name))
                .collect();
            let series = series?;
            let sum = |at: usize| {
                let values = series.iter().map(|s| s.values.get(at).copied().flatten());
                values.sum::<Option<f64>>()
            };
            let moments = telemetry.at_s.iter().enumerate();
            let points: Vec<_> = moments.filter_map(|(at, s)| Some((*s, sum(at)?))).collect();
            Some(points).filter(|points| points.len() > 1)
        };
        let meter = |kind, names: &[&str], quantity| {
            Some(Self {
                kind,
                names: names.iter().map(|n| (*n).to_owned()).collect(),
                points: read(quantity, names)?,
                counter: quantity == Quantity::EnergyJ,
            })
        };
        let rails = |names: &&[&str]| meter(EnergyKind::BoardInputRails, names, Quantity::PowerW);
        let board = |quantity| meter(EnergyKind::GpuBoardNvml, &[GPU_BOARD], quantity);
        let mut inputs = INPUTS.iter();
        inputs
            .find_map(rails)
            .or_else(|| board(Quantity::EnergyJ))
            .or_else(|| board(Quantity::PowerW))
    }

    /// Energy of a part, J: the counter's rise, or power by the trapezoidal rule, both with straight
    /// lines between samples. None where no sample is near an end.
    fn joules(&self, telemetry: &Telemetry, part: &TimedPart) -> Option<f64> {
        let s = |ns: u64| (ns as f64 - telemetry.start_ns as f64) / 1e9;
        let (from, to) = (s(part.from_ns), s(part.to_ns));
        let (first, last) = (self.at(from)?, self.at(to)?);
        if self.counter {
            return Some(last - first).filter(|j| *j >= 0.0);
        }
        let inside = self.points.iter().filter(|(t, _)| from < *t && *t < to);
        let mut joules = 0.0;
        let mut before = (from, first);
        for point in inside.copied().chain([(to, last)]) {
            joules += (point.0 - before.0) * f64::midpoint(point.1, before.1);
            before = point;
        }
        Some(joules)
    }

    /// The value at a moment.
    fn at(&self, moment: f64) -> Option<f64> {
        let next = self.points.partition_point(|(t, _)| *t < moment);
        let near = |p: &&(f64, f64)| (p.0 - moment).abs() <= REACH_S;
        let after = self.points.get(next).filter(near);
        let before = next.checked_sub(1).and_then(|i| self.points.get(i));
        match (before.filter(near), after) {
            (Some(a), Some(b)) => {
                let part = (moment - a.0) / (b.0 - a.0).max(1e-9);
                Some(a.1 + (b.1 - a.1) * part)
            }
            (a, b) => a.or(b).map(|p| p.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::super::tests::of;
    use super::*;

    fn part(from: f64, to: f64, images: f64) -> TimedPart {
        let ns = |s: f64| 1_000_000_000 + (s * 1e9) as u64;
        TimedPart {
            from_ns: ns(from),
            to_ns: ns(to),
            images,
        }
    }

    fn points(power: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let moments = (0..60).map(|i| f64::from(i) * 0.1);
        moments.map(|t| (t, power(t))).collect()
    }

    #[test]
    fn a_ramp_holds_the_joules_under_it() {
        // P = 2 + 3 t: from 1.05 to 3.05 it holds 2 * 2 + 1.5 * (3.05^2 - 1.05^2) J.
        let mut t = of(Quantity::PowerW, "VDD_IN", &points(|t| 2.0 + 3.0 * t));
        t.timed.push(part(1.05, 3.05, 100.0));
        let (figure, energy) = energy(&t, "board");
        let energy = energy.unwrap();
        let held = 4.0 + 1.5 * (3.05f64.powi(2) - 1.05f64.powi(2));
        assert!(
            (energy.joules - held).abs() < 1e-6,
            "{} {held}",
            energy.joules
        );
        assert!((figure.value().unwrap() - held * 10.0).abs() < 1e-5);
        assert!((energy.watts() - held / 2.0).abs() < 1e-6);
        assert!(figure.source().contains("not at the wall (VDD_IN)"));
    }

    #[test]
    fn a_counter_is_read_at_both_ends() {
        let mut t = of(Quantity::EnergyJ, GPU_BOARD, &points(|t| 500.0 + 300.0 * t));
        t.timed = vec![part(1.0, 2.0, 1000.0), part(2.5, 3.5, 500.0)];
        let (figure, energy) = energy(&t, "H100");
        let energy = energy.unwrap();
        assert!((energy.joules - 600.0).abs() < 1e-6 && energy.images == 1500.0);
        assert_eq!(energy.kind, EnergyKind::GpuBoardNvml);
        let Figure::Measured(m) = figure else {
            panic!("measured")
        };
        assert!((m.min - 300.0).abs() < 1e-6 && (m.max - 600.0).abs() < 1e-6);
        assert!((m.value - 450.0).abs() < 1e-6 && m.repeats == 2);
    }

    #[test]
    fn rails_of_agx_orin_are_added_and_parts_of_a_board_are_no_board() {
        let with = |rails: &[&str]| {
            let mut t = Telemetry::default();
            for i in 0..30u64 {
                let value = |r: &&str| (Quantity::PowerW, (*r).to_owned(), 2.0);
                t.add(&Sample {
                    at_ns: i * 100_000_000,
                    values: rails.iter().map(value).collect(),
                    ..Sample::default()
                });
            }
            t.timed.push(TimedPart {
                from_ns: 1_000_000_000,
                to_ns: 2_000_000_000,
                images: 2.0,
            });
            t
        };
        let all = with(&[
            "VDD_GPU_SOC",
            "VDD_CPU_CV",
            "VIN_SYS_5V0",
            "VDDQ_VDD2_1V8AO",
        ]);
        assert!((energy(&all, "b").0.value().unwrap() - 3000.0).abs() < 1e-6);
        // VDD_IN holds the others.
        let nx = with(&["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]);
        assert!((energy(&nx, "b").0.value().unwrap() - 1000.0).abs() < 1e-6);
        let some = with(&["VDD_GPU_SOC"]);
        assert!(energy(&some, "b").0.source().contains("VDD_GPU_SOC"));
        let mut late = all;
        late.timed[0].from_ns = 9_000_000_000;
        late.timed[0].to_ns = 10_000_000_000;
        assert_eq!(energy(&late, "b").1, None);
        assert!(energy(&Telemetry::default(), "b").0.value().is_none());
    }
}
