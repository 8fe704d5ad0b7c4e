//! Numbers shown to a user: estimated or measured, never bare.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Relative error band of an estimate: the truth is expected in
/// `value * (1 + low) ..= value * (1 + high)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Lower edge, a negative fraction (-0.09 is nine percent below).
    pub low: f64,
    /// Upper edge, a positive fraction.
    pub high: f64,
}

impl Band {
    /// A band of the same width on both sides; `fraction` is 0.09 for nine percent. Beyond one half
    /// the lower edge stays there, or at that of a factor, `1 / (1 + fraction)`, if that is lower:
    /// no time and no FPS is below zero.
    pub fn within(fraction: f64) -> Self {
        let high = fraction.abs();
        let factor = high / (1.0 + high);
        Self {
            low: -high.min(factor.max(0.5)),
            high,
        }
    }

    /// Two independent errors together, by half their widths.
    pub fn both(one: f64, other: f64) -> Self {
        // `hypot` differs between C libraries in the last digit, the square root never does.
        Self::within((one * one + other * other).sqrt())
    }

    /// The wider of the two edges, as a positive fraction.
    pub fn half_width(self) -> f64 {
        self.high.abs().max(self.low.abs())
    }
}

impl fmt::Display for Band {
    /// `±9 %`, or `-52 +107 %` where the edges differ.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.low * 100.0, self.high * 100.0);
        if (low + high).abs() < 0.5 {
            write!(f, "±{high:.0} %")
        } else {
            write!(f, "{low:.0} +{high:.0} %")
        }
    }
}

/// A predicted number with its error band and where the prediction comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimated {
    /// The predicted value, in the unit its owner documents.
    pub value: f64,
    /// Expected relative error.
    pub band: Band,
    /// The model and parameters behind the value, in words.
    pub source: Arc<str>,
}

/// A measured number with its samples' spread and where it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Median over the repeats, in the unit its owner documents.
    pub value: f64,
    /// Smallest repeat.
    pub min: f64,
    /// Largest repeat.
    pub max: f64,
    /// How many repeats the median stands on.
    pub repeats: u32,
    /// Board, versions, power mode or publication, in words.
    pub source: Arc<str>,
}

/// A number for the screen or a file: what kind it is travels with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Figure {
    /// Predicted.
    Estimated(Estimated),
    /// Measured.
    Measured(Measured),
    /// No number can be given, and why.
    None {
        /// Why there is no number.
        reason: Arc<str>,
    },
}

impl Figure {
    /// An estimate.
    pub fn estimated(value: f64, band: Band, source: impl Into<Arc<str>>) -> Self {
        Self::Estimated(Estimated {
            value,
            band,
            source: source.into(),
        })
    }

    /// "No estimate", with the reason.
    pub fn none(reason: impl Into<Arc<str>>) -> Self {
        Self::None {
            reason: reason.into(),
        }
    }

    /// The value, whatever its kind.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Estimated(e) => Some(e.value),
            Self::Measured(m) => Some(m.value),
            Self::None { .. } => None,
        }
    }

    /// Where the number (or its absence) comes from.
    pub fn source(&self) -> &Arc<str> {
        match self {
            Self::Estimated(e) => &e.source,
            Self::Measured(m) => &m.source,
            Self::None { reason } => reason,
        }
    }

    /// The range the value is expected or was seen in.
    pub fn range(&self) -> Option<(f64, f64)> {
        match self {
            Self::Estimated(e) => {
                Some((e.value * (1.0 + e.band.low), e.value * (1.0 + e.band.high)))
            }
            Self::Measured(m) => Some((m.min, m.max)),
            Self::None { .. } => None,
        }
    }

    /// With its unit: `est. 398 FPS ±9 %`, `402 FPS (measured)`, `no estimate`.
    pub fn with_unit(&self, unit: &str) -> String {
        match self {
            Self::Estimated(e) => {
                format!("est. {} {unit} {}", short(e.value), e.band)
            }
            Self::Measured(m) => format!("{} {unit} (measured)", short(m.value)),
            Self::None { .. } => self.to_string(),
        }
    }

    /// Whether it was measured.
    pub fn is_measured(&self) -> bool {
        matches!(self, Self::Measured(_))
    }
}

/// Four significant digits, without an exponent.
pub fn short(value: f64) -> String {
    // Empty sums are -0.
    let value = value + 0.0;
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Estimated(e) => {
                write!(f, "est. {} {}", short(e.value), e.band)
            }
            Self::Measured(m) => write!(f, "{} (measured)", short(m.value)),
            Self::None { .. } => f.write_str("no estimate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_say_what_they_are() {
        let e = Figure::estimated(398.4, Band::within(0.09), "test");
        assert_eq!(e.to_string(), "est. 398 ±9 %");
        assert_eq!(e.with_unit("FPS"), "est. 398 FPS ±9 %");
        assert_eq!(e.range(), Some((398.4 * 0.91, 398.4 * 1.09)));
        let wide = Figure::estimated(100.0, Band::within(1.07), "test");
        assert_eq!(wide.with_unit("FPS"), "est. 100 FPS -52 +107 %");
        assert_eq!(Band::within(0.6).to_string(), "-50 +60 %");
        for percent in 0..1000 {
            let (a, b) = (f64::from(percent) / 100.0, f64::from(percent + 1) / 100.0);
            let (a, b) = (Band::within(a), Band::within(b));
            assert!(
                b.low <= a.low && a.high < b.high && b.low > -1.0,
                "{percent}"
            );
        }
        assert_eq!(
            Figure::none("batch 9999 is out of range").to_string(),
            "no estimate"
        );
    }
}
