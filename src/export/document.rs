//! dlaplan's own file: a placement with what it was made for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::Model;
use crate::model::onnx::LoadError;
use crate::placement::{EngineConfig, Placement};
use crate::platform::Target;

use super::Subject;

const SCHEMA: &str = "dlaplan.placement";
const VERSION: u64 = 1;

/// Which model a placement was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// Short name.
    pub name: String,
    /// BLAKE3 of the graph without weights.
    pub structure_hash: String,
}

/// A placement document. Fields this version does not know survive a round trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    schema: String,
    version: u64,
    /// The model it was made for.
    #[serde(default)]
    pub model: ModelRef,
    /// Dims it was made at, of inputs the model leaves open or declares otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// The target it was made for.
    pub target: Target,
    /// Engine config.
    pub engine: EngineConfig,
    /// The placement.
    pub placement: Placement,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A placement file that cannot be read; the message names file, place and remedy.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be opened.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not JSON, or not of the schema's shape.
    #[error("{}: line {line}, column {column}: {what}; export the placement again, or mend the file",
        path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// JSON of something else.
    #[error("{}: field \"schema\" is {found}, not {SCHEMA:?}; this is not a placement file",
        path.display())]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// What it says, as JSON.
        found: String,
    },
    /// A batch no engine has.
    #[error("{}: field \"engine.batch\" is {found}; give 1 to {}", path.display(), EngineConfig::MAX_BATCH)]
    Batch {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// Its dims do not fit the model.
    #[error("{}: field \"inputs\" does not fit the model: {source}. Or export the placement again, \
        or take the field out", path.display())]
    Inputs {
        /// The file.
        path: PathBuf,
        /// Why, naming the model.
        source: Box<LoadError>,
    },
    /// Written by a newer dlaplan.
    #[error("{}: field \"version\" is {found} and this dlaplan reads up to {VERSION}; update dlaplan",
        path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

impl Document {
    /// The document of a subject.
    pub fn new(subject: &Subject<'_>) -> Self {
        let Subject {
            model,
            target,
            config,
            placement,
            ..
        } = subject;
        Self::of(model, target, config, placement)
    }

    /// The document of a placement and how it would be built.
    pub fn of(
        model: &Model,
        target: &Target,
        config: &EngineConfig,
        placement: &Placement,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            model: ModelRef {
                name: model.name.clone(),
                structure_hash: model.source.structure_hash.clone(),
            },
            inputs: model.given_inputs(),
            target: *target,
            engine: config.clone(),
            placement: placement.clone(),
            more: Map::new(),
        }
    }

    /// As pretty JSON with a final newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a document; `path` is for messages.
    ///
    /// # Errors
    /// Not JSON, another schema, a newer version, or a field of the wrong shape.
    pub fn parse(text: &str, path: &Path) -> Result<Self, DocumentError> {
        let malformed = |e: &serde_json::Error| DocumentError::Malformed {
            path: path.to_owned(),
            line: e.line(),
            column: e.column(),
            what: strip_place(&e.to_string()),
        };
        // The schema and version speak first: a newer file may differ in everything else.
        let head: Map<String, Value> = serde_json::from_str(text).map_err(|e| malformed(&e))?;
        let schema = head.get("schema").unwrap_or(&Value::Null);
        if schema != SCHEMA {
            let found = schema.to_string();
            return Err(DocumentError::OtherSchema {
                path: path.to_owned(),
                found,
            });
        }
        if let Some(found) = head.get("version").and_then(Value::as_u64)
            && found > VERSION
        {
            return Err(DocumentError::Newer {
                path: path.to_owned(),
                found,
            });
        }
        let read: Self = serde_json::from_str(text).map_err(|e| malformed(&e))?;
        if !(1..=EngineConfig::MAX_BATCH).contains(&read.engine.batch) {
            return Err(DocumentError::Batch {
                path: path.to_owned(),
                found: read.engine.batch,
            });
        }
        Ok(read)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Self::parse`], or the file cannot be opened.
    pub fn load(path: &Path) -> Result<Self, DocumentError> {
        let text = std::fs::read_to_string(path).map_err(|source| DocumentError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }
}

/// serde_json ends its messages with the place, which ours has already said.
fn strip_place(message: &str) -> String {
    message
        .rsplit_once(" at line ")
        .map_or(message, |(what, _)| what)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Device;

    fn sample() -> Document {
        Document {
            schema: SCHEMA.into(),
            version: VERSION,
            model: ModelRef {
                name: "resnet18".into(),
                structure_hash: "ab".into(),
            },
            inputs: BTreeMap::new(),
            target: Target::default(),
            engine: EngineConfig::default(),
            placement: Placement::default()
                .with_module("layer1", Device::Dla)
                .with_op("/layer1/layer1.0/Add", Device::Gpu),
            more: Map::new(),
        }
    }

    fn parse(text: &str) -> Result<Document, DocumentError> {
        Document::parse(text, Path::new("p.json"))
    }

    #[test]
    fn round_trips_with_unknown_fields() {
        let text = sample()
            .to_json()
            .replacen('{', "{\n  \"future\": [1, 2],", 1);
        let read = parse(&text).unwrap();
        assert_eq!(read.placement, sample().placement);
        assert!(read.to_json().contains("\"future\""));
        assert_eq!(parse(&read.to_json()).unwrap(), read);
    }

    #[test]
    fn input_dims_are_optional() {
        let older = sample().to_json();
        assert!(!older.contains("inputs"));
        assert_eq!(parse(&older).unwrap(), sample());
        let mut document = sample();
        document.inputs.insert("images".into(), vec![1, 3, 64, 64]);
        assert_eq!(parse(&document.to_json()).unwrap(), document);
        let wrong = document.to_json().replace("64", "-64");
        let text = parse(&wrong).unwrap_err().to_string();
        assert!(text.contains("p.json: line"), "{text}");
    }

    #[test]
    fn every_truncation_is_a_typed_error() {
        let text = sample().to_json();
        let whole = text.trim_end().len();
        for end in 0..whole {
            let error = parse(&text[..end]).unwrap_err();
            assert!(
                matches!(error, DocumentError::Malformed { .. }),
                "{end}: {error}"
            );
        }
    }

    #[test]
    fn newer_and_foreign_files_are_refused() {
        let newer = sample()
            .to_json()
            .replace("\"version\": 1", "\"version\": 2");
        assert_eq!(
            parse(&newer).unwrap_err().to_string(),
            "p.json: field \"version\" is 2 and this dlaplan reads up to 1; update dlaplan"
        );
        let other = parse("{\"schema\": \"other\"}").unwrap_err().to_string();
        assert!(other.contains("not a placement file"), "{other}");
        let device = sample().to_json().replace("DLA", "NPU");
        let text = parse(&device).unwrap_err().to_string();
        assert!(
            text.contains("p.json: line") && text.contains("NPU"),
            "{text}"
        );
    }
}
