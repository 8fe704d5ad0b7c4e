//! Measurement rows: what was measured, where, and what the cost models say of the same thing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Model, OpId};
use crate::placement::{Device, EngineConfig, Placement, Precision};
use crate::plan::Planner;
use crate::platform::{Board, PowerMode, Target};

use crate::estimate::cost::CostModel;
use crate::estimate::params::Parameters;
use crate::estimate::unit::{Work, units};
use crate::estimate::{Estimator, board};

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
        /// Their modules; a path stands for everything below it.
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
    /// Network, as [`crate::estimate::fit::networks::network`] knows it.
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

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(v: &u32) -> bool {
    *v == 1
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
        serde_json::from_str(include_str!(
            "../../../assets/calibration/measurements.json"
        ))
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

/// The work behind a row, free of parameters: fitting evaluates it thousands of times.
#[derive(Clone, Debug)]
pub struct Prepared {
    target: Target,
    config: EngineConfig,
    dla_scale: f64,
    /// Layer profiles leave out the gaps between kernels.
    profile: bool,
    gpu: Vec<Vec<Work>>,
    dla: Vec<Work>,
    transitions: Vec<(f64, Device, bool)>,
    subgraphs: f64,
    /// Measured time of one inference (or part), ms.
    pub measured_ms: f64,
}

/// Networks by name, made once.
#[derive(Debug, Default)]
pub struct Networks(BTreeMap<String, Option<Model>>);

impl Networks {
    fn get(&mut self, name: &str) -> Option<&Model> {
        self.0
            .entry(name.to_owned())
            .or_insert_with(|| crate::estimate::fit::networks::network(name))
            .as_ref()
    }
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

impl Prepared {
    /// Finds the work a row is about.
    ///
    /// # Errors
    /// The row names a board, mode, network, precision or module that does not exist.
    pub fn new(row: &Row, networks: &mut Networks) -> Result<Self, RowError> {
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
        let clock = target.mode.dla_mhz;
        let measured_ms = match row.metric {
            Metric::Ms => row.value,
            Metric::Fps => f64::from(row.batch) * 1000.0 / row.value,
        };
        let mut prepared = Self::nothing(target, config, measured_ms);
        prepared.dla_scale = row.dla_mhz.map_or(1.0, |mhz| mhz / clock);
        prepared.profile = matches!(row.scope, Scope::Layers { .. });
        match &row.scope {
            Scope::Engine { default, dla } => {
                let placement = dla.iter().fold(Placement::all(*default), |p, m| {
                    p.with_module(m, Device::Dla)
                });
                prepared.add_engine(model, &placement).map_err(error)?;
            }
            Scope::Layers { device, modules } | Scope::Subgraph { device, modules } => {
                prepared
                    .add_modules(model, *device, modules)
                    .map_err(error)?;
                if matches!(row.scope, Scope::Subgraph { .. }) {
                    prepared.subgraphs = 1.0;
                }
            }
            Scope::Transition {
                elements,
                to,
                boundary,
            } => {
                prepared
                    .transitions
                    .push((*elements as f64, *to, *boundary));
            }
        }
        Ok(prepared)
    }

    fn nothing(target: Target, config: EngineConfig, measured_ms: f64) -> Self {
        Self {
            target,
            dla_scale: 1.0,
            config,
            profile: false,
            gpu: Vec::new(),
            dla: Vec::new(),
            transitions: Vec::new(),
            subgraphs: 0.0,
            measured_ms,
        }
    }

    /// The work of a whole engine.
    ///
    /// # Errors
    /// The placement does not fit the model, or an op has no cost model.
    pub(crate) fn engine(
        model: &Model,
        target: Target,
        config: &EngineConfig,
        placement: &Placement,
        measured_ms: f64,
    ) -> Result<Self, String> {
        let mut prepared = Self::nothing(target, config.clone(), measured_ms);
        prepared.add_engine(model, placement)?;
        Ok(prepared)
    }

    /// The DLA subgraphs of the same engine alone, submission included.
    pub(crate) fn subgraphs(&self, measured_ms: f64) -> Self {
        Self {
            gpu: Vec::new(),
            transitions: Vec::new(),
            measured_ms,
            ..self.clone()
        }
    }

    /// GPU kernels whose main op is chosen, as a layer profile shows them.
    ///
    /// # Errors
    /// An op has no cost model, or nothing is chosen.
    pub(crate) fn kernels(
        model: &Model,
        target: Target,
        config: &EngineConfig,
        chosen: &dyn Fn(OpId) -> bool,
        measured_ms: f64,
    ) -> Result<Self, String> {
        let mut prepared = Self::nothing(target, config.clone(), measured_ms);
        prepared.profile = true;
        prepared.add_chosen(model, Device::Gpu, chosen)?;
        Ok(prepared)
    }

    fn add_engine(&mut self, model: &Model, placement: &Placement) -> Result<(), String> {
        let planner = Planner::new(model, &self.target, &self.config);
        let plan = planner
            .plan_placement(placement)
            .map_err(|e| e.to_string())?;
        let scale = f64::from(self.config.batch) / model.batch().unwrap_or(1).max(1) as f64;
        for unit in units(model, self.config.batch).map_err(|e| e.0)? {
            let mut gpu = Vec::new();
            for part in &unit.parts {
                let home = |op: &OpId| plan.subgraph_of[op.index()];
                let first = part.ops.first().and_then(home);
                if part.ops.iter().any(|op| home(op) != first) {
                    // Rows name whole modules, so kernels stay whole but for rule refusals; the
                    // estimator has the exact rule.
                    let mut at = 0;
                    while at < part.ops.len() {
                        let here = home(&part.ops[at]);
                        let mut end = at + 1;
                        while end < part.ops.len() && home(&part.ops[end]) == here {
                            end += 1;
                        }
                        let work = crate::estimate::unit::work_of(model, &part.ops[at..end], scale)
                            .map_err(|e| e.0)?;
                        match here {
                            None => self.gpu.push(vec![work]),
                            Some(_) => self.dla.push(work),
                        }
                        at = end;
                    }
                } else if first.is_some() {
                    self.dla.push(part.work);
                } else {
                    gpu.push(part.work);
                }
            }
            if !gpu.is_empty() {
                self.gpu.push(gpu);
            }
        }
        self.transitions = plan
            .transitions
            .iter()
            .map(|t| {
                let elems = model.tensor(t.tensor).elements().unwrap_or(0) as f64 * scale;
                (elems, t.to, t.boundary)
            })
            .collect();
        self.subgraphs = plan.subgraphs.len() as f64;
        Ok(())
    }

    fn add_modules(
        &mut self,
        model: &Model,
        device: Device,
        modules: &[String],
    ) -> Result<(), String> {
        let chosen = |op: OpId| {
            let path = &*model.modules.get(model.op(op).module).path;
            modules.iter().any(|m| {
                path.strip_prefix(m.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
            })
        };
        self.add_chosen(model, device, &chosen)
            .map_err(|e| format!("{e}: modules {modules:?}"))
    }

    fn add_chosen(
        &mut self,
        model: &Model,
        device: Device,
        chosen: &dyn Fn(OpId) -> bool,
    ) -> Result<(), String> {
        for unit in units(model, self.config.batch).map_err(|e| e.0)? {
            let works: Vec<Work> = unit
                .parts
                .iter()
                .filter(|p| p.ops.first().is_some_and(|op| chosen(*op)))
                .map(|p| p.work)
                .collect();
            match device {
                Device::Gpu if !works.is_empty() => self.gpu.push(works),
                Device::Gpu => {}
                Device::Dla => self.dla.extend(works),
            }
        }
        if self.gpu.is_empty() && self.dla.is_empty() {
            return Err("the network has none of these".to_owned());
        }
        Ok(())
    }

    /// What the cost models say, ms.
    pub fn predict(&self, params: &Parameters) -> f64 {
        let Ok(costs) = CostModel::new(&self.target, &self.config, params.clone()) else {
            return f64::NAN;
        };
        let costs = costs.with_dla_clock(self.dla_scale);
        let gpu: f64 = self
            .gpu
            .iter()
            .map(|works| {
                if self.profile {
                    costs.kernel_ms(works)
                } else {
                    costs.gpu_ms(works)
                }
            })
            .sum();
        let dla: f64 = self.dla.iter().map(|w| costs.dla_ms(w)).sum();
        let moves: f64 = self
            .transitions
            .iter()
            .map(|(elems, to, boundary)| costs.transition_ms(*elems, *to, *boundary))
            .sum();
        gpu + dla + moves + self.subgraphs * costs.submit_ms()
    }

    /// Whether it uses the GPU's and the DLA's cost models.
    pub fn devices(&self) -> (bool, bool) {
        (
            !self.gpu.is_empty(),
            !self.dla.is_empty() || !self.transitions.is_empty(),
        )
    }
}

/// Loads of a measured deployment's engines under given parameters, for the contention model.
pub(crate) fn deployment_loads(
    deployment: &MeasuredDeployment,
    params: &Parameters,
    networks: &mut Networks,
) -> Result<Vec<crate::estimate::deployment::Load>, RowError> {
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
