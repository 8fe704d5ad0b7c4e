//! Built engines on disk, so that the same engine is built once.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::reading::{NetworkLayer, PlacementLog};
use crate::engine::request::{Calibration, Request};
use crate::placement::Device;

/// Raised whenever an engine built by older code must not be used any more.
const GENERATION: u32 = 1;

/// What a build knew that the engine itself does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// BLAKE3 of the engine, hex.
    pub engine_hash: String,
    /// Time it took, s.
    pub build_s: f64,
    /// The network's layers.
    pub network: Vec<NetworkLayer>,
    /// What TensorRT logged about devices.
    pub placement: PlacementLog,
    /// `canRunOnDLA` per op name, where it was asked.
    pub can_run_on_dla: BTreeMap<String, bool>,
    /// Why the outputs mean nothing, if so.
    pub timing_only: Option<String>,
}

/// Everything that changes a built engine.
#[derive(Serialize)]
struct Key<'a> {
    generation: u32,
    model: String,
    dims: &'a [(String, Vec<i64>)],
    request: KeyRequest<'a>,
    dla_layers: Vec<&'a str>,
    tensorrt: &'a str,
    gpu: &'a str,
    driver: &'a str,
}

#[derive(Serialize)]
struct KeyRequest<'a> {
    config: &'a crate::placement::EngineConfig,
    default: Device,
    calibration: Option<String>,
    pools: &'a crate::engine::request::MemoryPools,
    tactic_sources: u32,
}

/// The machine's part of the key.
#[derive(Clone, Debug)]
pub struct Machine {
    /// libnvinfer's version.
    pub tensorrt: String,
    /// GPU name and compute capability.
    pub gpu: String,
    /// CUDA driver version.
    pub driver: String,
}

/// The name of an engine in the cache, without extension: model name and BLAKE3 of everything
/// that changes the engine.
///
/// # Errors
/// Calibration files cannot be read.
pub fn key(
    name: &str,
    onnx: &[u8],
    dims: &[(String, Vec<i64>)],
    request: &Request,
    dla_layers: Vec<&str>,
    tactic_sources: u32,
    machine: &Machine,
) -> std::io::Result<String> {
    let calibration = if request.config.precision.int8 {
        Some(calibration_hash(&request.calibration)?)
    } else {
        None
    };
    let mut config = request.config.clone();
    let uses_dla = !dla_layers.is_empty();
    if !uses_dla {
        // Without DLA these change nothing.
        config.dla_core = 0;
        config.gpu_fallback = true;
    }
    let key = Key {
        generation: GENERATION,
        model: blake3::hash(onnx).to_hex().to_string(),
        dims,
        request: KeyRequest {
            config: &config,
            default: if uses_dla {
                request.placement.default
            } else {
                Device::Gpu
            },
            calibration,
            pools: &request.pools,
            tactic_sources,
        },
        dla_layers,
        tensorrt: &machine.tensorrt,
        gpu: &machine.gpu,
        driver: &machine.driver,
    };
    let text = serde_json::to_string(&key).map_err(std::io::Error::other)?;
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let safe: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(40)
        .collect();
    Ok(format!(
        "{safe}-{}",
        hash.get(..32).unwrap_or(hash.as_str())
    ))
}

fn calibration_hash(calibration: &Calibration) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    match calibration {
        Calibration::Dummy => {
            hasher.update(b"dummy");
        }
        Calibration::Cache { path } => {
            hasher.update(&fs::read(path)?);
        }
        Calibration::Folder { path, .. } => {
            let files = super::calibrate::files(path).map_err(std::io::Error::other)?;
            for file in files {
                hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
                hasher.update_reader(fs::File::open(&file)?)?;
            }
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn engine_path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.engine"))
}

fn record_path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.json"))
}

/// An engine and its record, if both are there and whole. Anything else counts as absent.
pub fn load(folder: &Path, key: &str) -> Option<(Vec<u8>, BuildRecord)> {
    let record = fs::read(record_path(folder, key)).ok()?;
    let record: BuildRecord = serde_json::from_slice(&record).ok()?;
    let engine = fs::read(engine_path(folder, key)).ok()?;
    let whole = blake3::hash(&engine).to_hex().as_str() == record.engine_hash;
    whole.then_some((engine, record))
}

/// Stores an engine and its record; the record last, so that a half-written pair is never used.
///
/// # Errors
/// The folder cannot be written.
pub fn store(folder: &Path, key: &str, engine: &[u8], record: &BuildRecord) -> std::io::Result<()> {
    write(&engine_path(folder, key), engine)?;
    let json = serde_json::to_vec(record).map_err(std::io::Error::other)?;
    write(&record_path(folder, key), &json)
}

/// Writes a file so that it is there whole or not at all.
///
/// # Errors
/// The folder cannot be written.
pub fn write(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // As an ordinary new file: the user's umask takes away what it wants.
    let open = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .permissions(open)
        .tempfile_in(folder)?;
    file.write_all(data)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::placement::{EngineConfig, Placement, Precision};

    use super::*;

    #[test]
    fn keys_follow_what_changes_the_engine() {
        let machine = Machine {
            tensorrt: "8.5.2".into(),
            gpu: "Xavier 7.2".into(),
            driver: "11.4".into(),
        };
        let request = Request::new(
            "m.onnx".into(),
            Placement::default(),
            EngineConfig::default(),
        );
        let dims = [("x".to_owned(), vec![1, 3, 224, 224])];
        let name = |r: &Request, dla: Vec<&str>, m: &Machine| {
            key("res/net", b"onnx", &dims, r, dla, 24, m).unwrap()
        };
        let base = name(&request, vec![], &machine);
        assert!(base.starts_with("res_net-") && base.len() == 8 + 32);
        let mut other = request.clone();
        other.timing.repeats = 9;
        other.config.dla_core = 1;
        assert_eq!(name(&other, vec![], &machine), base);
        assert_ne!(
            name(&other, vec!["a"], &machine),
            name(&request, vec!["a"], &machine)
        );
        other.config.precision = Precision::INT8;
        assert_ne!(name(&other, vec![], &machine), base);
        let newer = Machine {
            tensorrt: "8.6.1".into(),
            ..machine.clone()
        };
        assert_ne!(name(&request, vec![], &newer), base);
        assert_ne!(
            key("res/net", b"other", &dims, &request, vec![], 24, &machine).unwrap(),
            base
        );
    }

    #[test]
    fn damaged_engines_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let record = BuildRecord {
            engine_hash: blake3::hash(b"engine").to_hex().to_string(),
            build_s: 2.5,
            ..BuildRecord::default()
        };
        assert_eq!(load(dir.path(), "k"), None);
        store(dir.path(), "k", b"engine", &record).unwrap();
        assert_eq!(load(dir.path(), "k"), Some((b"engine".to_vec(), record)));
        write(&dir.path().join("k.engine"), b"engin").unwrap();
        assert_eq!(load(dir.path(), "k"), None);
        write(&dir.path().join("k.json"), b"{").unwrap();
        assert_eq!(load(dir.path(), "k"), None);
    }
}
