//! Reads ONNX files, which are untrusted input: framing ([`wire`]), names resolved ([`graph`]),
//! shapes ([`values`], [`ops`], [`agree`]), op kinds and costs ([`decode`]), modules ([`names`], [`blocks`]).

mod agree;
mod assemble;
mod attrs;
mod blocks;
mod bundled;
mod compose;
mod decode;
mod error;
mod file_ops;
mod graph;
mod hash;
mod inline;
mod names;
mod ops;
mod proto;
mod read;
mod rule_cases;
mod sniff;
mod survey;
#[cfg(test)]
mod tests;
mod values;
pub mod weights;
mod wire;

pub use bundled::{Bundled, bundled, bundled_bytes, load_bundled, load_bundled_with, open};
pub use error::{LoadError, Quoted};
pub use read::{LoadOptions, load, load_bytes};
pub use rule_cases::{RuleCases, rule_cases};
pub use survey::{SurveyNetwork, survey_network, survey_networks};
