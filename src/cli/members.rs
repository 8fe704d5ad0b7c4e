//! Engines that run at the same time, as `--together` names them.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::export::Document;
use crate::model::{Model, ModelSource};
use crate::placement::{Device, EngineConfig, Placement};
use crate::platform::Target;

use super::args::{EngineArgs, fits};

/// One engine of several.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it places.
    pub placement: Placement,
    /// How it is built.
    pub config: EngineConfig,
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// A placement file and the core after it.
fn split_core(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((file, number)) if !number.is_empty() && digits(number) => (file, Some(number)),
        _ => (text, None),
    }
}

/// The network in front of an engine (`detector.onnx=gpu`), where one is given, and the engine.
pub fn split_network(text: &str) -> (Option<&Path>, &str) {
    match text.split_once('=') {
        Some((network, engine)) if is_network(Path::new(network)) => {
            (Some(Path::new(network)), engine)
        }
        _ => (None, text),
    }
}

fn is_network(path: &Path) -> bool {
    matches!(ModelSource::of(path), ModelSource::Bundled(_))
        || path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

/// The placement files among engines as [`member`] takes them.
pub fn member_files(texts: &[String]) -> Vec<&Path> {
    texts.iter().filter_map(|text| member_file(text)).collect()
}

/// The placement file that one engine names, if any.
pub fn member_file(text: &str) -> Option<&Path> {
    let whole = text.is_empty() || text == "gpu" || text.strip_prefix("dla").is_some_and(digits);
    (!whole).then(|| Path::new(split_core(text).0))
}

/// Reads placement files.
///
/// # Errors
/// One of them is no placement.
pub fn documents<'p>(paths: &[&'p Path]) -> Result<Vec<(&'p Path, Document)>> {
    let read = |path: &&'p Path| Ok((*path, Document::load(path)?));
    paths.iter().map(read).collect()
}

/// `gpu`, `dla`, `dla1` (the whole network there), or a placement file with an optional `@core`, of
/// those that were read. A file brings its engine config; `base` and the flags in `over` are for the
/// rest. It is held against the model and the target where they are given.
///
/// # Errors
/// No such file, it is no placement of this model, or it was made for another target.
pub fn member(
    text: &str,
    files: &[(&Path, Document)],
    model: Option<&Model>,
    target: Option<&Target>,
    base: &EngineConfig,
    over: &EngineArgs,
) -> Result<Member> {
    let core = |d: &str| d.parse::<u32>().with_context(|| format!("DLA core {d:?}"));
    let whole = |device, dla_core| Member {
        placement: Placement::all(device),
        config: EngineConfig {
            dla_core,
            ..base.clone()
        },
    };
    if text.is_empty() {
        anyhow::bail!("an engine is missing; say gpu, dla0 or a placement file");
    }
    if text == "gpu" {
        return Ok(whole(Device::Gpu, 0));
    }
    if let Some(number) = text.strip_prefix("dla").filter(|c| digits(c)) {
        let number = if number.is_empty() { 0 } else { core(number)? };
        return Ok(whole(Device::Dla, number));
    }
    let (file, number) = split_core(text);
    let number = number.map(core).transpose()?;
    let path = Path::new(file);
    let read = files.iter().find(|(read, _)| *read == path);
    let (_, document) = read.with_context(|| format!("{file} was not read"))?;
    if let Some(model) = model {
        fits(document, path, model)?;
    }
    if let Some(target) = target
        && document.target != *target
    {
        anyhow::bail!(
            "{file}: made for {}, not for {target}; all engines run on one: give --target {}",
            document.target,
            document.target.id()
        );
    }
    let mut config = over.config(&document.engine);
    config.dla_core = number.unwrap_or(config.dla_core);
    Ok(Member {
        placement: document.placement.clone(),
        config,
    })
}
