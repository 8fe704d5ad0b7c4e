//! Hazards of a plan, each with its mitigation.

use serde::Serialize;

use crate::model::{Model, OpId};
use crate::placement::{EngineConfig, IoFormat, Placement, Resolved, Site};
use crate::platform::{DlaGeneration, Target, dla_rules, parser};

use super::{Fallback, Plan};

/// How much a lint matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Probably slower or other than meant.
    Warning,
}

/// A hazard and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// Stable id.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is the matter.
    pub hazard: String,
    /// What to do.
    pub mitigation: String,
    /// Where, if in one place.
    pub op: Option<OpId>,
}

/// What the lints look at beside the placement and its plan.
#[derive(Clone, Copy)]
pub(super) struct Engine<'a> {
    /// The network.
    pub model: &'a Model,
    /// Where it would run.
    pub target: &'a Target,
    /// How it would be built.
    pub config: &'a EngineConfig,
    /// Why no op of the engine can run on a DLA, if so.
    pub refusal: Option<&'a Fallback>,
}

/// The DLA clock that nvpmodel's lowest modes set, MHz: a tenth of the full one.
const SLOWEST_USEFUL_DLA_MHZ: f64 = 154.0;

/// Banks from which "allowed" is said with reserve: three of four. TensorRT asked for less data of a
/// convolution that needs 9 of 16 in INT8 and all 16 in FP16, built for either.
const NEARLY_ALL_BANKS: u64 = dla_rules::BANKS * 3 / 4;

pub(super) fn lints(
    engine: Engine<'_>,
    placement: &Placement,
    resolved: &Resolved,
    plan: &Plan,
) -> Vec<Lint> {
    let Engine {
        model,
        target,
        config,
        ..
    } = engine;
    let limit = target.tensorrt.max_loadables();
    let mut found = Vec::new();
    let mut add = |id, severity, hazard: String, mitigation: &str, op| {
        found.push(Lint {
            id,
            severity,
            hazard,
            mitigation: mitigation.to_owned(),
            op,
        });
    };
    let used = plan.subgraphs.len() as u32;
    if used > 1 && used * 4 >= limit * 3 {
        add(
            "subgraphs.many",
            Severity::Warning,
            format!("{used} of the {limit} subgraphs a DLA core holds are used"),
            "place whole stages rather than single ops; every engine on the core shares the limit",
            None,
        );
    }
    let together = target.tensorrt.max_loadables_together();
    if used > together {
        add(
            "subgraphs.together",
            Severity::Warning,
            format!(
                "{used} DLA subgraphs, and the guide of TensorRT {} allows {together} in use at a \
                 time",
                target.tensorrt
            ),
            "place whole stages rather than single ops; every engine on the core shares the limit",
            None,
        );
    }
    if placement.wants_dla()
        && target.dla_support().cores() > 0
        && let Some(what) = target.tensorrt.not_modelled()
    {
        add(
            "tensorrt.partly_known",
            Severity::Info,
            format!("TensorRT {}: {what}", target.tensorrt),
            "believe the build log rather than the plan (dlaplan trtexec)",
            None,
        );
    }
    for subgraph in &plan.subgraphs {
        if let [op] = subgraph.ops[..]
            && used > 1
            && model.op(op).cost.is_some_and(|c| c.macs == 0)
        {
            add(
                "subgraph.tiny",
                Severity::Warning,
                format!(
                    "{} is alone in a DLA subgraph and does no multiplication",
                    model.op(op).name
                ),
                "each subgraph costs a submit and a reformat on both sides; assign it to the GPU",
                Some(op),
            );
        }
    }
    for op in plan.subgraphs.iter().flat_map(|s| &s.ops) {
        let banks = dla_rules::buffer_banks(model, model.op(*op), config);
        if let Some(banks) = banks.filter(|b| *b >= NEARLY_ALL_BANKS) {
            add(
                "conv.buffer_near",
                Severity::Warning,
                format!(
                    "{} needs {banks} of the {} banks of the DLA's convolution buffer; TensorRT has \
                     refused a convolution at the limit (NVIDIA/TensorRT#3499)",
                    model.op(*op).name,
                    dla_rules::BANKS
                ),
                "build it before you rely on it; if TensorRT asks for a smaller input or weights, \
                 split its channels or width, or assign it to the GPU",
                Some(*op),
            );
        }
    }
    if used > 0 && config.precision.fp16 && !config.precision.int8 {
        let orin = target
            .board
            .dla
            .is_some_and(|d| d.generation == DlaGeneration::V2);
        if orin {
            add(
                "orin.fp16",
                Severity::Warning,
                "Orin's DLA is built for INT8; FP16 convolutions run several times slower".into(),
                "use INT8",
                None,
            );
        }
    }
    let mhz = target.mode.dla_core_mhz(config.dla_core);
    if used > 0 && mhz <= SLOWEST_USEFUL_DLA_MHZ {
        add(
            "mode.dla_slow",
            Severity::Warning,
            format!(
                "{} runs DLA core {} at {mhz} MHz: practically off",
                target.mode.name, config.dla_core
            ),
            "choose another power mode or the other core",
            None,
        );
    }
    if config.precision.int8 && !config.precision.fp16 {
        add(
            "int8.without_fp16",
            Severity::Info,
            "INT8 alone does not imply FP16: ops without an INT8 kernel run in FP32".into(),
            "choose int8+fp16 unless you compare with torch2trt's int8_mode",
            None,
        );
    }
    let own = |f: IoFormat| f.is_dlas_own(config.precision);
    if !config.gpu_fallback && used > 0 && !(own(config.io.input) && own(config.io.output)) {
        add(
            "strict.io",
            Severity::Warning,
            format!(
                "strict engines take and give DLA formats only; {} needs a reformat on the GPU",
                config.io
            ),
            if config.precision.int8 {
                "choose --io-formats int8:dla_linear or int8:chw32, or allow GPU fallback"
            } else {
                "choose --io-formats fp16:dla_linear or fp16:chw16, or allow GPU fallback"
            },
            None,
        );
    }
    let (opset, covered) = (model.source.opset, target.tensorrt.max_opset());
    if opset > covered {
        add(
            "parser.opset",
            Severity::Warning,
            format!(
                "the file has opset {opset}, and the ONNX parser of TensorRT {} covers up to {covered}",
                target.tensorrt
            ),
            &format!("export with opset_version={covered} where the parser refuses an op"),
            None,
        );
    }
    let copies: u32 = model.ops.iter().map(|op| op.weight_copies).sum();
    if copies > 0 {
        let first = model.op_ids().find(|id| model.op(*id).weight_copies > 0);
        let (severity, reserve) = if target.tensorrt.copies_weights() {
            (Severity::Warning, String::new())
        } else {
            let reserve = format!(" (TensorRT {} was not measured)", target.tensorrt);
            (Severity::Info, reserve)
        };
        let (nodes, each) = match copies {
            1 => ("1 Identity node only hands".to_owned(), "it"),
            n => (format!("{n} Identity nodes only hand"), "each"),
        };
        add(
            "weights.copied",
            severity,
            format!(
                "{nodes} a stored weight on, and TensorRT 8.5 runs {each} in every inference{reserve}"
            ),
            "export with dlaplan_export.py, which leaves them out, or fold them (polygraphy surgeon \
             sanitize --fold-constants)",
            first,
        );
    }
    let plugins = parser::own_plugins(model, target.tensorrt);
    if !plugins.is_empty() {
        add(
            "parser.plugin",
            Severity::Warning,
            format!(
                "only a plugin of yours imports {}: neither ONNX nor TensorRT {} has it",
                parser::listed(&plugins),
                target.tensorrt
            ),
            "load its library when you build (trtexec --plugins=LIBRARY); dlaplan's own runs load \
             TensorRT's plugins only",
            None,
        );
    }
    for lint in placement_lints(engine, placement, resolved) {
        found.push(lint);
    }
    found
}

/// What torch2trt or the tree make of the placement's own words.
fn placement_lints(engine: Engine<'_>, placement: &Placement, resolved: &Resolved) -> Vec<Lint> {
    let model = engine.model;
    let mut found = Vec::new();
    for (site, device) in &placement.overrides {
        let Site::Module(path) = site else { continue };
        let Some(id) = model.modules.find(path) else {
            continue;
        };
        let module = model.modules.get(id);
        if module.subtree_ops == 0 {
            found.push(Lint {
                id: "override.no_layers",
                severity: Severity::Info,
                hazard: format!("{path} has no ops in the file, so assigning it does nothing"),
                mitigation: "clear the assignment".into(),
                op: None,
            });
        } else if module.never_called {
            found.push(Lint {
                id: "torch2trt.never_called",
                severity: Severity::Info,
                hazard: format!("PyTorch never calls {path} itself, so torch2trt ignores it"),
                mitigation: "exports write the assignment on its children".into(),
                op: None,
            });
        }
        let inherited = match module.parent {
            Some(parent) => resolved.module(parent).device(),
            None => placement.default,
        };
        if inherited == *device && module.subtree_ops > 0 {
            found.push(Lint {
                id: "override.redundant",
                severity: Severity::Info,
                hazard: format!("{site} would be on the {device} anyway"),
                mitigation: "let it inherit".into(),
                op: None,
            });
        }
    }
    if let Some(refusal) = engine.refusal
        && placement.wants_dla()
    {
        found.push(Lint {
            id: "engine.no_dla",
            severity: Severity::Warning,
            hazard: "nothing can run on a DLA with this target and config".into(),
            mitigation: refusal.sentence(),
            op: None,
        });
    }
    found
}
