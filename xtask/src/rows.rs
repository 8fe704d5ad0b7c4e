//! Measurement rows: what was measured, where, and what the cost models say of the same thing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use dlaplan::estimate::deployment::Load;
use dlaplan::estimate::fit::prepared::Prepared;
use dlaplan::estimate::params::Parameters;
use dlaplan::estimate::{Estimator, board};
use dlaplan::model::{Model, OpId};
use dlaplan::placement::{Device, EngineConfig, Placement, Precision};
use dlaplan::plan::Planner;
use dlaplan::platform::{Board, PowerMode, Target};

/// Stands for every module of a network.
const ALL_MODULES: &str = "*";

/// What of a network a row is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "lowercase")]
pub enum Scope {
    /// The whole engine under a placement.
    Engine {
        /// Default device.
        default: Device,
        /// Modules on the DLA.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dla: Vec<String>,
    },
    /// The sum of some layers' own times.
    Layers {
        /// Where they ran.
        device: Device,
        /// Their modules; a path stands for everything below it, `*` for all.
        modules: Vec<String>,
    },
    /// Some layers as one DLA subgraph, submission included.
    Subgraph {
        /// Where they ran.
        device: Device,
        /// Their modules.
        modules: Vec<String>,
    },
    /// One tensor's way into or out of a DLA subgraph.
    Transition {
        /// Its elements.
        elements: u64,
        /// Where it goes.
        to: Device,
        /// From or to the caller, in FP32.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        boundary: bool,
    },
}

/// How a value is expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Milliseconds.
    Ms,
    /// Images per second.
    Fps,
}

/// Whether a row may shape the parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// Parameters are fitted on it.
    #[default]
    Fit,
    /// Only compared with.
    Check,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Stable id.
    pub id: String,
    /// Key into [`Measurements::sources`].
    pub source: String,
    /// Board id.
    pub board: String,
    /// Power mode.
    pub mode: String,
    /// Network, as [`crate::networks::network`] knows it.
    pub network: String,
    /// Precision flags.
    pub precision: String,
    /// Images per inference.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub batch: u32,
    /// What was measured.
    #[serde(flatten)]
    pub scope: Scope,
    /// DLA clock where it was not the mode's, MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dla_mhz: Option<f64>,
    /// Small tensors that the engine reshaped on the GPU besides its plan's reformats, where the
    /// source counts such layers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reshapes: u32,
    /// The machine, where nobody stated its clocks: they are at most the mode's, and the rows of
    /// one machine tell only how their times compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unstated_clocks: Option<String>,
    /// Unit of `value`.
    pub metric: Metric,
    /// The measured value.
    pub value: f64,
    /// Fit or check.
    #[serde(default, rename = "use")]
    pub role: Use,
    /// What to know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Whether a network is one layer, made to measure that.
pub fn single_layer(network: &str) -> bool {
    network.contains(':')
}

/// A network whatever its image size, where rows have several (`yolov8n_640`).
pub fn any_size(network: &str) -> &str {
    match network.rsplit_once('_') {
        Some((name, _)) if name.starts_with("yolov8") || name.starts_with("yolox") => name,
        _ => network,
    }
}

/// The family of a network: networks of one design. A single layer's family is its kind and kernel.
pub fn family(network: &str) -> &str {
    const FAMILIES: [(&str, &[&str]); 7] = [
        ("resnet", &["resnet", "r34_"]),
        ("ssd", &["ssd_"]),
        ("yolo", &["yolo", "jedi_yolo"]),
        ("vgg", &["vgg"]),
        (
            "mobilenet, mnasnet, shufflenet",
            &["mobilenet", "mnasnet", "shufflenet"],
        ),
        ("densenet", &["densenet"]),
        ("squeezenet", &["squeezenet"]),
    ];
    if let Some((kind, layer)) = network.split_once(':') {
        let kernel = layer.split(',').find(|p| p.starts_with('r'));
        return match (kind, kernel) {
            ("conv", Some("r1")) => "conv 1x1",
            ("conv", Some("r3")) => "conv 3x3",
            ("conv", Some("r5")) => "conv 5x5",
            ("dwconv", _) => "depthwise conv",
            _ => "fully connected",
        };
    }
    FAMILIES
        .iter()
        .find(|(_, starts)| starts.iter().any(|s| network.starts_with(s)))
        .map_or_else(
            || network.split('_').next().unwrap_or(network),
            |(family, _)| family,
        )
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(v: &u32) -> bool {
    *v == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(v: &u32) -> bool {
    *v == 0
}

/// One engine of a measured deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredEngine {
    /// Default device.
    pub default: Device,
    /// DLA core.
    pub core: u32,
    /// Images per second while all engines ran.
    pub fps: f64,
}

/// Engines measured at the same time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredDeployment {
    /// Stable id.
    pub id: String,
    /// Key into [`Measurements::sources`].
    pub source: String,
    /// Board id.
    pub board: String,
    /// Power mode.
    pub mode: String,
    /// Precision flags of all engines.
    pub precision: String,
    /// Network of all engines.
    pub network: String,
    /// The engines.
    pub engines: Vec<MeasuredEngine>,
}

/// All measurements a calibration stands on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// Where each group of rows comes from.
    pub sources: BTreeMap<String, String>,
    /// Single engines and their parts.
    pub rows: Vec<Row>,
    /// Concurrent engines.
    pub deployments: Vec<MeasuredDeployment>,
}

impl Measurements {
    /// The published rows that ship with the program.
    ///
    /// # Errors
    /// The embedded file does not parse, which a test excludes.
    pub fn shipped() -> Result<Self, serde_json::Error> {
        serde_json::from_str(include_str!("../../assets/calibration/measurements.json"))
    }
}

/// A row that cannot be compared with anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("measurement {id}: {reason}")]
pub struct RowError {
    /// The row.
    pub id: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Networks by name, made once.
#[derive(Debug, Default)]
pub struct Networks(BTreeMap<String, Option<Model>>);

impl Networks {
    pub(crate) fn get(&mut self, name: &str) -> Option<&Model> {
        self.0
            .entry(name.to_owned())
            .or_insert_with(|| crate::networks::network(name).or_else(|| published(name)))
            .as_ref()
    }
}

/// Networks whose rows name a published file: its structure as ONNX, without weights.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");

/// A network of [`PUBLISHED`].
pub(crate) fn published(name: &str) -> Option<Model> {
    let path = Path::new(PUBLISHED).join(format!("{name}.onnx"));
    dlaplan::model::onnx::load(&path, &dlaplan::model::onnx::LoadOptions::default()).ok()
}

pub(crate) fn target(id: &str, board: &str, mode: &str) -> Result<Target, RowError> {
    let error = |reason: String| RowError {
        id: id.to_owned(),
        reason,
    };
    let board = Board::find(board).ok_or_else(|| error(format!("no board {board:?}")))?;
    let mode: &PowerMode = board
        .mode(mode)
        .ok_or_else(|| error(format!("{} has no power mode {mode:?}", board.id)))?;
    // Most rows of boards with a DLA are of 8.5 or older, whose rules 8.5's stand for.
    let tensorrt = *board
        .tensorrt
        .iter()
        .min()
        .ok_or_else(|| error("the board has no TensorRT".into()))?;
    Ok(Target {
        board,
        mode,
        tensorrt,
    })
}

/// Finds the work a row is about.
///
/// # Errors
/// The row names a board, mode, network, precision or module that does not exist.
pub fn prepare(row: &Row, networks: &mut Networks) -> Result<Prepared, RowError> {
    let error = |reason: String| RowError {
        id: row.id.clone(),
        reason,
    };
    let target = target(&row.id, &row.board, &row.mode)?;
    let precision: Precision = row.precision.parse().map_err(&error)?;
    let config = EngineConfig {
        precision,
        batch: row.batch,
        ..EngineConfig::default()
    };
    let model = networks
        .get(&row.network)
        .ok_or_else(|| error(format!("no network {:?}", row.network)))?;
    let measured_ms = match row.metric {
        Metric::Ms => row.value,
        Metric::Fps => f64::from(row.batch) * 1000.0 / row.value,
    };
    let layers = |device: Device, modules: &[String]| {
        let chosen = |op: OpId| {
            let path = &*model.modules.get(model.op(op).module).path;
            modules.iter().any(|m| {
                m == ALL_MODULES
                    || path
                        .strip_prefix(m.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
            })
        };
        Prepared::chosen(model, target, &config, device, &chosen, measured_ms)
            .map_err(|e| error(format!("{e}: modules {modules:?}")))
    };
    let prepared = match &row.scope {
        Scope::Engine { default, dla } => {
            let placement = dla.iter().fold(Placement::all(*default), |p, m| {
                p.with_module(m, Device::Dla)
            });
            Prepared::engine(model, target, &config, &placement, measured_ms).map_err(error)?
        }
        Scope::Layers { device, modules } => layers(*device, modules)?.as_profile(),
        Scope::Subgraph { device, modules } => layers(*device, modules)?.as_subgraph(),
        Scope::Transition {
            elements,
            to,
            boundary,
        } => {
            let elements = *elements as f64;
            Prepared::transition(target, &config, elements, *to, *boundary, measured_ms)
        }
    };
    let prepared = prepared.with_reformats(row.reshapes);
    Ok(match row.dla_mhz {
        Some(mhz) => prepared.at_dla_clock(mhz),
        None => prepared,
    })
}

/// Loads of a measured deployment's engines under given parameters, for the contention model.
pub(crate) fn deployment_loads(
    deployment: &MeasuredDeployment,
    params: &Parameters,
    networks: &mut Networks,
) -> Result<Vec<Load>, RowError> {
    let error = |reason: String| RowError {
        id: deployment.id.clone(),
        reason,
    };
    let target = target(&deployment.id, &deployment.board, &deployment.mode)?;
    let precision: Precision = deployment.precision.parse().map_err(&error)?;
    let model = networks
        .get(&deployment.network)
        .ok_or_else(|| error(format!("no network {:?}", deployment.network)))?;
    let mut file = board::BoardFile::prior(&deployment.board);
    file.parameters = params.clone();
    deployment
        .engines
        .iter()
        .map(|engine| {
            let config = EngineConfig {
                precision,
                dla_core: engine.core,
                ..EngineConfig::default()
            };
            let planner = Planner::new(model, &target, &config);
            let plan = planner
                .plan_placement(&Placement::all(engine.default))
                .map_err(|e| error(e.to_string()))?;
            Estimator::with_board(&planner, &file)
                .load(&plan)
                .map_err(|e| error(e.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use dlaplan::placement::Device;
    use dlaplan::plan::Fallback;

    use super::*;

    /// NVIDIA and cuDLA-samples ran these on one DLA core.
    #[test]
    fn published_dla_networks_fit_a_loadable() {
        for (name, batch) in [
            ("ssd_resnet34", 1),
            ("yolov5s_trim", 12),
            ("yolov5s_trim", 16),
        ] {
            let model = published(name).unwrap();
            let target = target(name, "agx-orin-64", "MAXN").unwrap();
            let config = EngineConfig {
                precision: Precision::INT8,
                batch,
                ..EngineConfig::default()
            };
            let plan = Planner::new(&model, &target, &config)
                .plan_placement(&Placement::all(Device::Dla))
                .unwrap();
            let large = plan
                .fallbacks
                .iter()
                .find(|(_, f)| matches!(f, Fallback::LoadableSize(_)));
            assert!(large.is_none(), "{name} at batch {batch}: {large:?}");
            assert!(plan.dla_ops() > 20, "{name}");
        }
    }
}
