//! A Python program that builds the engine with TensorRT's own API: the way to place layers where
//! trtexec cannot (TensorRT 8.5), or where its command line is too short.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::engine::without_counter;
use crate::model::Model;
use crate::placement::Device;
use crate::platform::TensorRt;

use super::python::{boolean, device, heading, string};
use super::trtexec::inputs;
use super::{Refused, Subject};

/// The program. It finds a layer by its name or the ONNX name in its metadata; a layer the parser
/// added takes the device of the layer before it. It refuses to go on where the machine has no
/// DLA, since TensorRT 8.5 would build everything on the GPU without a word, and where a listed
/// layer does not exist. Nodes that share a name are told apart by the tensors they make.
///
/// # Errors
/// The model's batch is fixed to another one, or the engine would not build.
pub fn tensorrt_python(subject: &Subject<'_>) -> Result<String, Refused> {
    let Subject {
        model,
        config,
        target,
        placement,
        ..
    } = *subject;
    subject.must_build("TensorRT (Python)")?;
    let version = target.tensorrt;
    let mut out = String::from("#!/usr/bin/env python3\n");
    writeln!(out, "# {}", heading(subject)).ok();
    writeln!(
        out,
        "# usage: python3 build.py MODEL.onnx OUT.engine{}",
        if config.precision.int8 && !version.strongly_typed() {
            " CALIBRATION.cache"
        } else {
            ""
        }
    )
    .ok();
    out.push_str("import sys\n\nimport tensorrt as trt\n\n");
    writeln!(out, "DEFAULT = {}", device(placement.default)).ok();
    writeln!(out, "DLA_CORE = {}", config.dla_core).ok();
    writeln!(out, "GPU_FALLBACK = {}", boolean(config.gpu_fallback)).ok();
    out.push_str("# Layers that are not on the default device, by the name of their ONNX node.\n");
    out.push_str("DEVICES = {\n");
    let shared = sharing(model);
    let ops = || model.ops.iter().zip(&shared).zip(&subject.plan.requested);
    for ((op, _), asked) in ops().filter(|((_, shared), _)| shared.is_none()) {
        if *asked != placement.default {
            writeln!(out, "    {}: {},", string(&op.name), device(*asked)).ok();
        }
    }
    out.push_str("}\n");
    let told_apart =
        ops().any(|((_, shared), asked)| shared.is_some() && *asked != placement.default);
    if told_apart {
        out.push_str(
            "# Nodes that share a name: the name, the tensors one of them makes, its device.\n\
             SHARED = [\n",
        );
        for ((op, shared), asked) in ops() {
            let Some(name) = shared else { continue };
            let tensors = op.outputs.iter();
            let tensors: Vec<String> = tensors.map(|t| string(&model.tensor(*t).name)).collect();
            let (name, device) = (string(name), device(*asked));
            writeln!(out, "    ({name}, [{}], {device}),", tensors.join(", ")).ok();
        }
        out.push_str("]\n");
    }
    out.push_str(
        "# Input dims the engine is built for; the DLA takes no dynamic ones.\nSHAPES = {\n",
    );
    for (input, dims) in inputs(model, config)? {
        let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
        let tuple = match &dims[..] {
            [] => "()".to_owned(),
            dims => format!("({},)", dims.join(", ")),
        };
        writeln!(out, "    {}: {tuple},", string(input.name)).ok();
    }
    out.push_str("}\n");
    let io = config.io;
    if !io.is_default() {
        out.push_str("# Type and layout of floating-point inputs and outputs.\n");
        for (name, format) in [("INPUT", io.input), ("OUTPUT", io.output)] {
            let (element, layout) = (format.element().python(), format.layout().python());
            writeln!(out, "{name}_TYPE = trt.DataType.{element}").ok();
            writeln!(out, "{name}_FORMAT = trt.TensorFormat.{layout}").ok();
        }
    }
    if subject.plan.requested.contains(&Device::Dla) {
        out.push_str(ONNX_NAMES);
        if told_apart {
            out.push_str(SHARED_LAYERS);
        }
        out.push_str(&place(told_apart));
    }
    let int8 = config.precision.int8 && !version.strongly_typed();
    if int8 {
        out.push_str(CALIBRATOR);
    }
    out.push_str(&main(subject, version, int8));
    Ok(out)
}

/// Per op, its node's name, if the name alone does not tell which layers are the op's: several
/// nodes have it, or it reads like the name of a further layer of one of those.
fn sharing(model: &Model) -> Vec<Option<&str>> {
    let names = model.ops.iter().filter_map(|op| op.shared_name.as_deref());
    let names: HashSet<&str> = names.collect();
    let further = |name: &str| without_counter(name).is_some_and(|head| names.contains(head));
    let mut sharing = Vec::with_capacity(model.ops.len());
    for op in &model.ops {
        let name = op.shared_name.as_ref();
        let name = name.or_else(|| further(&op.name).then_some(&op.name));
        sharing.push(name.map(|n| &**n));
    }
    sharing
}

const ONNX_NAMES: &str = r#"

def onnx_names(layer):
    """The ONNX nodes a layer was made from: `[ONNX Layer: NAME]` in its metadata (8.6 and later)."""
    parts = getattr(layer, "metadata", "").split("[ONNX Layer: ")[1:]
    return [part.rsplit("]", 1)[0].split(" | Local Function: ")[0] for part in parts]


def unnamed(layer):
    """The parser added the layer by itself."""
    return layer.name.startswith(("(Unnamed Layer", "ONNXTRT_"))
"#;

const SHARED_LAYERS: &str = r#"

def shared_layers(network):
    """Devices of the layers of nodes that share a name: from the first that has the name to the one
    that makes a tensor of the node. Also what no layer makes."""
    makes = {tensor: (tensors, device) for _, tensors, device in SHARED for tensor in tensors}
    bases = {name for name, _, _ in SHARED}
    missing = {tuple(tensors) for _, tensors, device in SHARED if device != DEFAULT}
    devices, run = {}, []
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        head, _, counter = layer.name.rpartition("_")
        names = {layer.name, head if counter.isdigit() else layer.name, *onnx_names(layer)}
        if names & bases or (run and unnamed(layer)):
            run.append(i)
        else:
            run = []
        outputs = [layer.get_output(j).name for j in range(layer.num_outputs)]
        made = [makes[name] for name in outputs if name in makes]
        if made:
            tensors, device = made[0]
            devices.update(dict.fromkeys([*run, i], device))
            missing.discard(tuple(tensors))
            run = []
    return devices, {f"{' or '.join(tensors)} (a node that shares its name makes it)" for tensors in missing}
"#;

/// Sets the devices, also of nodes that share a name.
fn place(shared: bool) -> String {
    let (init, first) = if shared {
        (
            "    shared, missing = shared_layers(network)\n    missing |= set(DEVICES)\n    current = DEFAULT\n",
            "        if i in shared:\n            current = shared[i]\n        elif known:\n",
        )
    } else {
        (
            "    missing, current = set(DEVICES), DEFAULT\n",
            "        if known:\n",
        )
    };
    [PLACE_HEAD, init, PLACE_LOOP, first, PLACE_TAIL].concat()
}

const PLACE_HEAD: &str = r#"

def place(network, config):
    """Sets the device of every layer; returns what is placed here and not in the network."""
"#;

const PLACE_LOOP: &str = r"    for i in range(network.num_layers):
        layer = network.get_layer(i)
        names = [layer.name, *onnx_names(layer)]
        known = [name for name in names if name in DEVICES]
";

const PLACE_TAIL: &str = r#"            current = DEVICES[known[0]]
            missing.difference_update(known)
        elif not unnamed(layer):
            current = DEFAULT
        config.set_device_type(layer, current)
        if current == trt.DeviceType.DLA and not config.can_run_on_DLA(layer):
            print(f"{layer.name}: the DLA does not take it, falls back to the GPU", file=sys.stderr)
    return missing
"#;

const CALIBRATOR: &str = r#"

class Cache(trt.IInt8EntropyCalibrator2):
    """INT8 ranges from a calibration cache; calibrates nothing."""

    def __init__(self, path):
        super().__init__()
        with open(path, "rb") as file:
            self.cache = file.read()

    def get_batch_size(self):
        return 1

    def get_batch(self, names):
        return None

    def read_calibration_cache(self):
        return self.cache

    def write_calibration_cache(self, cache):
        pass
"#;

fn main(subject: &Subject<'_>, version: TensorRt, int8: bool) -> String {
    let precision = subject.config.precision;
    let dla = subject.plan.requested.contains(&Device::Dla);
    let mut out = String::from("\n\ndef main():\n");
    let mut line = |text: &str| {
        if text.is_empty() {
            out.push('\n');
        } else {
            writeln!(out, "    {text}").ok();
        }
    };
    if int8 {
        line("if len(sys.argv) != 4:");
        line("    sys.exit(f\"usage: {sys.argv[0]} MODEL.onnx OUT.engine CALIBRATION.cache\")");
    } else {
        line("if len(sys.argv) != 3:");
        line("    sys.exit(f\"usage: {sys.argv[0]} MODEL.onnx OUT.engine\")");
    }
    line("logger = trt.Logger(trt.Logger.INFO)");
    line("trt.init_libnvinfer_plugins(logger, \"\")");
    line("builder = trt.Builder(logger)");
    if dla {
        line("if DLA_CORE >= builder.num_DLA_cores:");
        line("    # TensorRT would build everything on the GPU without a word.");
        line(
            "    sys.exit(f\"DLA core {DLA_CORE} is asked for; this machine has {builder.num_DLA_cores}\")",
        );
    }
    if version < TensorRt::V10_3 {
        line("flags = 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)");
    } else {
        line("flags = 0");
    }
    line("network = builder.create_network(flags)");
    line("parser = trt.OnnxParser(network, logger)");
    if version < TensorRt::V8_0 {
        line("with open(sys.argv[1], \"rb\") as file:");
        line("    parsed = parser.parse(file.read())");
        line("if not parsed:");
    } else {
        line("if not parser.parse_from_file(sys.argv[1]):");
    }
    line("    sys.exit(\"\\n\".join(str(parser.get_error(i)) for i in range(parser.num_errors)))");
    line("for i in range(network.num_inputs):");
    line("    tensor = network.get_input(i)");
    line("    if tensor.name not in SHAPES:");
    line(
        "        sys.exit(f\"{sys.argv[1]}: input {tensor.name!r} is not in SHAPES: another model?\")",
    );
    line("    tensor.shape = SHAPES[tensor.name]");
    if !subject.config.io.is_default() {
        line("floats = (trt.DataType.FLOAT, trt.DataType.HALF)");
        for (of, name) in [("input", "INPUT"), ("output", "OUTPUT")] {
            line(&format!("for i in range(network.num_{of}s):"));
            line(&format!("    tensor = network.get_{of}(i)"));
            line("    if tensor.dtype in floats:");
            line(&format!("        tensor.dtype = {name}_TYPE"));
            line(&format!(
                "        tensor.allowed_formats = 1 << int({name}_FORMAT)"
            ));
        }
    }
    line("config = builder.create_builder_config()");
    if version < TensorRt::V8_4 {
        line("config.max_workspace_size = 1 << 30");
    }
    if !version.strongly_typed() {
        if precision.fp16 {
            line("config.set_flag(trt.BuilderFlag.FP16)");
        }
        if int8 {
            line("config.set_flag(trt.BuilderFlag.INT8)");
            line("calibrator = Cache(sys.argv[3])");
            line("config.int8_calibrator = calibrator");
        }
    }
    if dla {
        line("config.default_device_type = DEFAULT");
        line("config.DLA_core = DLA_CORE");
        line("if GPU_FALLBACK:");
        line("    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)");
        line("missing = place(network, config)");
        line("if missing:");
        line(
            "    sys.exit(f\"{sys.argv[1]} has no layer for {', '.join(sorted(missing))}: another model?\")",
        );
    }
    let (build, bytes) = if version < TensorRt::V8_0 {
        ("build_engine", "engine.serialize()")
    } else {
        ("build_serialized_network", "engine")
    };
    line(&format!("engine = builder.{build}(network, config)"));
    line("if engine is None:");
    line("    sys.exit(\"TensorRT built no engine; its messages above say why\")");
    line("with open(sys.argv[2], \"wb\") as file:");
    line(&format!("    file.write({bytes})"));
    if dla {
        line("# An engine does not remember its core: set IRuntime's DLA_core before you load it.");
    }
    out.push_str("\n\nif __name__ == \"__main__\":\n    main()\n");
    out
}
