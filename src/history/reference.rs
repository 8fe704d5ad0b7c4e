//! Published measurements, to compare with.

use serde::{Deserialize, Serialize};

use crate::placement::{Placement, Precision};
use crate::platform::{Board, Place};

use super::HistoryError;

/// The tables that come with the program: name and text.
pub const BUNDLED: [(&str, &str); 1] = [(
    "torch2trt_dla_benchmarks.json",
    include_str!("../../assets/references/torch2trt_dla_benchmarks.json"),
)];

/// A table of published measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceSet {
    /// Layout; 1.
    pub schema: u32,
    /// Title.
    pub title: String,
    /// Publication.
    pub source: String,
    /// Board id of `crate::platform`.
    pub board: String,
    /// Power mode, where the publication names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The power mode to take the figures for where the publication names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_mode: Option<String>,
    /// TensorRT version, where the publication names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensorrt: Option<String>,
    /// Short name of the model.
    pub model: String,
    /// Input dims.
    pub input: Vec<u64>,
    /// How it was measured, in words.
    pub method: String,
    /// Rows in published order.
    pub rows: Vec<Reference>,
}

/// One published row; figures exactly as printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Row name in the publication.
    pub config: String,
    /// torch2trt's keyword arguments, as printed.
    pub kwargs: String,
    /// Precision.
    #[serde(with = "precision_name")]
    pub precision: Precision,
    /// Batch.
    pub batch: u32,
    /// The placement the arguments mean.
    pub placement: Placement,
    /// DLA core.
    pub dla_core: u32,
    /// Rows with the same deployment ran at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// FPS of the unconverted PyTorch module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torch_fps: Option<f64>,
    /// FPS.
    pub fps: f64,
}

impl ReferenceSet {
    /// Reads a table.
    ///
    /// # Errors
    /// Not JSON, not a reference table, or of a later layout.
    pub fn parse(name: &str, text: &str) -> Result<Self, HistoryError> {
        let set: Self = serde_json::from_str(text).map_err(|source| HistoryError::Reference {
            name: name.to_owned(),
            source,
        })?;
        if set.schema != 1 {
            return Err(HistoryError::ReferenceLayout {
                name: name.to_owned(),
                found: set.schema,
            });
        }
        Ok(set)
    }

    /// Where it was measured, as far as the table says; `board` is its board.
    pub fn place(&self, board: &'static Board) -> Place {
        let mode = self.mode.as_ref().or(self.assumed_mode.as_ref());
        Place {
            board,
            mode: mode.and_then(|m| board.mode(m)),
            tensorrt: self.tensorrt.as_ref().and_then(|v| v.parse().ok()),
        }
    }

    /// What the publication says of power mode and TensorRT, for the source of its figures.
    pub fn told(&self) -> String {
        let mode = match (&self.mode, &self.assumed_mode) {
            (Some(mode), _) => format!("power mode {mode}"),
            (None, Some(mode)) => format!("power mode not published, taken as {mode}"),
            (None, None) => "power mode not published".to_owned(),
        };
        match &self.tensorrt {
            Some(version) => format!("{mode}, TensorRT {version}"),
            None => format!("{mode}, TensorRT version not published"),
        }
    }

    /// The tables that come with the program.
    ///
    /// # Errors
    /// None for the files in the repository, which a test reads.
    pub fn bundled() -> Result<Vec<Self>, HistoryError> {
        BUNDLED
            .iter()
            .map(|(name, text)| Self::parse(name, text))
            .collect()
    }
}

mod precision_name {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::placement::Precision;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub fn serialize<S: Serializer>(p: &Precision, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(p.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Precision, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use crate::placement::Device;

    use super::*;

    #[test]
    #[expect(clippy::unreadable_literal, reason = "as published")]
    fn published_figures_are_verbatim() {
        let sets = ReferenceSet::bundled().unwrap();
        let rows = &sets[0].rows;
        assert_eq!(rows.len(), 22);
        assert_eq!(rows.iter().filter(|r| r.deployment.is_some()).count(), 12);
        assert_eq!(rows[0].fps, 331.0196110748139);
        let hybrid = rows
            .iter()
            .find(|r| r.config == "resnet18_fp16_gpu_dla12")
            .unwrap();
        assert_eq!(hybrid.fps, 398.805262354432);
        assert_eq!(hybrid.torch_fps, Some(42.40382590738402));
        assert_eq!(hybrid.placement.overrides.len(), 2);
        assert_eq!(hybrid.placement.default, Device::Gpu);
    }

    #[test]
    fn other_layouts_are_refused() {
        let text = BUNDLED[0].1.replacen("\"schema\": 1", "\"schema\": 2", 1);
        let message = ReferenceSet::parse("t.json", &text)
            .unwrap_err()
            .to_string();
        assert!(message.contains("layout 2"), "{message}");
        assert!(ReferenceSet::parse("t.json", "[]").is_err());
    }
}
