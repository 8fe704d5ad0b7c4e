//! The demo models inside the program.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::LoadError;
use super::read::{LoadOptions, load, load_bytes};
use super::rule_cases::{RuleCases, rule_cases};
use super::survey::{SurveyNetwork, survey_network};
use crate::model::{Model, ModelSource};

/// A demo model: structure only, weights have dims but no values.
#[derive(Clone, Copy, Debug)]
pub struct Bundled {
    /// Short name (`resnet18`).
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    data: &'static [u8],
}

impl Bundled {
    /// Its name where a path is expected.
    pub fn path(&self) -> PathBuf {
        ModelSource::Bundled(self.name).to_path()
    }

    /// The ONNX file.
    pub fn bytes(&self) -> Bytes {
        Bytes::from_static(self.data)
    }
}

macro_rules! model {
    ($name:literal, $title:literal) => {
        Bundled {
            name: $name,
            title: $title,
            data: include_bytes!(concat!("../../../assets/models/", $name, ".onnx")),
        }
    };
}

static MODELS: [Bundled; 6] = [
    model!("resnet18", "ResNet-18"),
    model!("resnet50", "ResNet-50"),
    model!("mobilenet_v2", "MobileNet-V2"),
    model!("googlenet", "GoogLeNet"),
    model!("detector", "Detector (YOLO-like)"),
    model!("vit_b_16", "ViT-B/16"),
];

/// All demo models, the default first.
pub fn bundled() -> &'static [Bundled] {
    &MODELS
}

/// Reads a file or a bundled model.
pub fn open(path: &Path, options: &LoadOptions) -> Result<Model, LoadError> {
    match ModelSource::of(path) {
        ModelSource::File(path) => load(path, options).map_err(|e| match e {
            LoadError::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                let called = |m: &&Bundled| path.as_os_str() == m.name;
                match MODELS.iter().find(called) {
                    Some(model) => LoadError::Bundled {
                        path,
                        name: model.name,
                    },
                    None => LoadError::Io { path, source },
                }
            }
            other => other,
        }),
        ModelSource::Bundled(name) => load_bundled_with(name, options),
    }
}

/// The ONNX file of a model inside the program: a demo model, or one of a survey.
pub fn bundled_bytes(name: &str) -> Option<Bytes> {
    let demo = MODELS.iter().find(|m| m.name == name).map(Bundled::bytes);
    let survey = || survey_network(name).map(SurveyNetwork::bytes);
    let rules = || {
        let kind = rule_cases().iter().find(|kind| kind.name == name);
        kind.map(RuleCases::bytes)
    };
    demo.or_else(survey).or_else(rules)
}

/// Reads a demo model by its short name.
pub fn load_bundled(name: &str) -> Result<Model, LoadError> {
    load_bundled_with(name, &LoadOptions::default())
}

/// Reads a demo model with other input dims.
pub fn load_bundled_with(name: &str, options: &LoadOptions) -> Result<Model, LoadError> {
    let Some(bytes) = bundled_bytes(name) else {
        let known: Vec<&str> = MODELS.iter().map(|m| m.name).collect();
        return Err(LoadError::NotBundled {
            name: name.escape_debug().take(80).collect(),
            known: known.join(", "),
        });
    };
    let path = ModelSource::Bundled(name).to_path();
    load_bytes(&path.to_string_lossy(), &bytes, options)
}
