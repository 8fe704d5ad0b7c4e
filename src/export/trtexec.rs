//! A trtexec command line in the dialect of the target's TensorRT.
//!
//! Source: `samples/common/sampleOptions.cpp` and `sampleEngines.cpp` of TensorRT 7.1.3, 8.0.1,
//! 8.2.1, 8.4.1, 8.5.1, 8.6.1, 10.3 and 10.7, and trtexec's help of 11.x.

use std::fmt::Write as _;

use crate::model::{DType, Dim, Model, ModelSource, TensorId, by};
use crate::placement::{Device, EngineConfig, IoFormat};
use crate::platform::{Dialect, TensorRt};

use super::python::heading;
use super::{Refused, Subject};

/// Longest single argument Linux passes to a program, with its final zero (`MAX_ARG_STRLEN`).
const LONGEST_ARGUMENT: usize = 131_072;

/// Scratch memory for the versions whose own default is little, MiB.
const WORKSPACE_MIB: u32 = 1024;

/// A program and its arguments, and what to know before running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrtexecCommand {
    /// `trtexec` and its arguments, unquoted.
    pub args: Vec<String>,
    /// Remarks, one sentence each.
    pub notes: Vec<String>,
}

impl TrtexecCommand {
    /// The command as one line for a POSIX shell.
    pub fn line(&self) -> String {
        let words: Vec<String> = self.args.iter().map(|a| shell_quote(a)).collect();
        words.join(" ")
    }

    /// The command as a shell script, remarks first.
    pub fn script(&self) -> String {
        let mut out = String::from("#!/bin/sh\n");
        for note in &self.notes {
            writeln!(out, "# {note}").ok();
        }
        let words: Vec<String> = self.args.iter().map(|a| shell_quote(a)).collect();
        out.push_str(&words.join(" \\\n    "));
        out.push('\n');
        out
    }
}

/// A word as a POSIX shell takes it literally.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The command that builds and times the engine.
///
/// # Errors
/// The version's trtexec cannot say the placement, a name does not fit its grammar, the model's
/// batch is fixed to another one, or the engine would not build.
pub fn trtexec(subject: &Subject<'_>) -> Result<TrtexecCommand, Refused> {
    let Subject {
        model,
        config,
        target,
        ..
    } = *subject;
    subject.must_build("trtexec")?;
    let wants_dla = subject.plan.requested.contains(&Device::Dla);
    if wants_dla && target.tensorrt.dialect().precision_flags && !config.precision.dla_capable() {
        // sampleEngines.cpp of all versions to 10: `if (!build.int8) config.setFlag(kFP16)`.
        return Err(Refused::new(
            "trtexec turns FP16 on by itself with --useDLACore, so it cannot build this in FP32; \
             choose FP16, place everything on the GPU, or export for TensorRT (Python)",
        ));
    }
    let dialect = target.tensorrt.dialect();
    let mut notes = vec![heading(subject)];
    let onnx = match ModelSource::of(&model.source.path) {
        ModelSource::Bundled(name) => {
            notes.push(format!(
                "The bundled {name} has no weights: put your own export there, by the same exporter."
            ));
            format!("{name}.onnx")
        }
        ModelSource::File(path) => path.display().to_string(),
    };
    let mut args = vec!["trtexec".to_owned(), format!("--onnx={onnx}")];
    if dialect.little_workspace {
        args.push(format!("--workspace={WORKSPACE_MIB}"));
    }
    if dialect.explicit_batch {
        args.push("--explicitBatch".into());
    }
    args.extend(shapes(model, config)?);
    args.push(format!("--saveEngine={}.engine", model.name));
    if dialect.precision_flags {
        if config.precision.fp16 {
            args.push("--fp16".into());
        }
        if config.precision.int8 {
            args.push("--int8".into());
            notes.push(
                "Without --calib=FILE the INT8 ranges are made up: for timing only.".to_owned(),
            );
        }
    } else {
        notes.push(format!(
            "TensorRT {} takes precision from the types in the ONNX file.",
            target.tensorrt
        ));
    }
    args.extend(io_formats(model, config, target.tensorrt)?);
    let devices = subject.plan.requested.iter();
    if devices.clone().any(|d| *d == Device::Dla) {
        args.push(format!("--useDLACore={}", config.dla_core));
        if config.gpu_fallback {
            args.push("--allowGPUFallback".into());
        } else if config.io.is_default() {
            notes.push(
                "Without --allowGPUFallback trtexec sets DIRECT_IO: inputs and outputs must have a \
                 DLA format (--inputIOFormats, --outputIOFormats)."
                    .to_owned(),
            );
        }
        if devices.clone().any(|d| *d == Device::Gpu) {
            args.push(device_types(subject, dialect)?);
        }
    }
    if let Some(long) = args.iter().find(|a| a.len() >= LONGEST_ARGUMENT) {
        return Err(Refused::new(format!(
            "the list of layers is {} bytes and Linux passes {} in one argument; export for \
             TensorRT (Python), or place whole devices",
            long.len(),
            LONGEST_ARGUMENT - 1
        )));
    }
    Ok(TrtexecCommand { args, notes })
}

/// `--layerDeviceTypes`. With `--useDLACore` every layer that is not named goes to the DLA.
fn device_types(subject: &Subject<'_>, dialect: Dialect) -> Result<String, Refused> {
    let Subject {
        model,
        target,
        placement,
        ..
    } = *subject;
    if !dialect.layer_device_types {
        return Err(Refused::new(format!(
            "trtexec of TensorRT {} cannot place single layers (--layerDeviceTypes came with 8.6); \
             export for TensorRT (Python) or torch2trt",
            target.tensorrt
        )));
    }
    let mut items = Vec::new();
    // An exact name beats the pattern, and the pattern takes the parser's own layers along.
    let listed = |device: Device| match (dialect.wildcard, placement.default) {
        (false, _) => true,
        (true, default) => device != default,
    };
    if dialect.wildcard && placement.default == Device::Gpu {
        items.push("*:GPU".to_owned());
    }
    for id in model.op_ids() {
        let device = subject.plan.requested[id.index()];
        if !listed(device) {
            continue;
        }
        let op = model.op(id);
        if let Some(shared) = &op.shared_name {
            return Err(Refused::new(format!(
                "several nodes are named {shared:?}, and trtexec's list of layers cannot tell them \
                 apart; rename the nodes, or export for TensorRT (Python)"
            )));
        }
        let name = &*op.name;
        let bad = [',', '\'', '"'].iter().any(|c| name.contains(*c))
            || (dialect.wildcard && name.contains('*'))
            || name.chars().any(char::is_control)
            || name.trim() != name;
        if bad {
            return Err(Refused::new(format!(
                "trtexec's list of layers cannot carry the name {name:?} (no comma, quote, line \
                 break, space at an end{}); rename the node, or export for TensorRT (Python)",
                if dialect.wildcard { " or `*`" } else { "" }
            )));
        }
        items.push(format!("{name}:{device}"));
    }
    Ok(format!("--layerDeviceTypes={}", items.join(",")))
}

/// `--inputIOFormats` and `--outputIOFormats`: one format for all, or, where some tensors are no
/// floating-point ones and keep their own type, one for each in the file's order.
fn io_formats(
    model: &Model,
    config: &EngineConfig,
    version: TensorRt,
) -> Result<Vec<String>, Refused> {
    let inputs: Vec<TensorId> = model.inputs.iter().map(|i| i.tensor).collect();
    let mut args = Vec::new();
    for (flag, tensors, format) in [
        ("--inputIOFormats", &inputs, config.io.input),
        ("--outputIOFormats", &model.outputs, config.io.output),
    ] {
        if format == IoFormat::default() {
            continue;
        }
        let own = tensors.iter().map(|t| match model.tensor(*t).dtype {
            d if d.is_float() => Ok(format.as_str()),
            DType::I64 if version >= TensorRt::V10_3 => Ok("int64:chw"),
            DType::I32 | DType::I64 => Ok("int32:chw"),
            DType::Bool if version >= TensorRt::V10_3 => Ok("bool:chw"),
            other => Err(Refused::new(format!(
                "trtexec has no I/O format for {:?}, which is {other:?}; export for TensorRT \
                 (Python)",
                model.tensor(*t).name
            ))),
        });
        let all: Vec<&str> = own.collect::<Result<_, _>>()?;
        let same = all.iter().all(|f| *f == format.as_str());
        let list = if same {
            format.as_str().to_owned()
        } else {
            all.join(",")
        };
        args.push(format!("{flag}={list}"));
    }
    Ok(args)
}

/// `--shapes` where the file leaves dims open; nothing where it fixes them.
fn shapes(model: &Model, config: &EngineConfig) -> Result<Option<String>, Refused> {
    let mut items = Vec::new();
    for (input, dims) in inputs(model, config)? {
        if input.open {
            if input.name.contains([',', '\'', ':', '"']) {
                return Err(Refused::new(format!(
                    "trtexec's --shapes cannot carry the input name {:?}; export the model with \
                     fixed dims",
                    input.name
                )));
            }
            items.push(format!("{}:{}", input.name, by(&dims)));
        }
    }
    Ok((!items.is_empty()).then(|| format!("--shapes={}", items.join(","))))
}

/// A model input as an engine sees it.
pub(super) struct Input<'a> {
    pub name: &'a str,
    /// The file leaves a dim open.
    pub open: bool,
}

/// Inputs with the dims the engine is built for. Only a file with an open batch can be built at
/// another batch than its own.
pub(super) fn inputs<'a>(
    model: &'a Model,
    config: &EngineConfig,
) -> Result<Vec<(Input<'a>, Vec<u64>)>, Refused> {
    let own = model.batch().unwrap_or(1);
    let batch = u64::from(config.batch);
    let mut found = Vec::new();
    for input in &model.inputs {
        let tensor = model.tensor(input.tensor);
        let open = input.declared.iter().any(|d| matches!(d, Dim::Symbolic(_)));
        let mut dims = tensor.shape.clone().unwrap_or_default();
        if batch != own
            && let Some(first) = dims.first_mut()
        {
            if !matches!(input.declared.first(), Some(Dim::Symbolic(_))) {
                return Err(Refused::new(format!(
                    "{} fixes input {:?} to batch {own} and the engine wants {batch}; export the \
                     model from PyTorch with batch {batch}",
                    model.name, &*tensor.name
                )));
            }
            *first = batch;
        }
        found.push((
            Input {
                name: &tensor.name,
                open,
            },
            dims,
        ));
    }
    Ok(found)
}
