//! Whether an engine can have the inputs and outputs that its config asks for.

use crate::model::{Model, OpId, OpKind, TensorId};
use crate::placement::{Device, EngineConfig, IoFormat, IoFormats, IoLayout, IoType};
use crate::platform::Target;

/// Most groups of a convolution that reads an image in `kDLA_HWC4`, which nothing else reads
/// (TensorRT documentation, I/O Formats on DLA).
const HWC4_GROUPS: u64 = 4;

/// Why no placement can have them; empty where one may.
pub(super) fn refusals(model: &Model, target: &Target, config: &EngineConfig) -> Vec<String> {
    let io = config.io;
    if io.is_default() {
        return Vec::new();
    }
    if target.tensorrt.strongly_typed() {
        return vec![format!(
            "TensorRT {} takes the types of inputs and outputs from the file, so --io-formats {io} \
             cannot be asked of it; convert the file with ModelOpt's autocast, which makes its \
             inputs and outputs FP16",
            target.tensorrt
        )];
    }
    if let Some(why) = io.refusal(config.precision) {
        return vec![why];
    }
    let int8 = |f: IoFormat| f.element() == IoType::Int8;
    if model.is_quantised() && (int8(io.input) || int8(io.output)) {
        return vec![format!(
            "{} has Q/DQ nodes, whose scales its FP32 inputs and outputs belong to; choose fp32:chw \
             or an FP16 format in place of {io}",
            model.name
        )];
    }
    let ends = inputs(model).map(|t| (t, io.input, "input"));
    let ends = ends.chain(outputs(model).map(|t| (t, io.output, "output")));
    ends.filter_map(|(tensor, format, end)| misfit(model, tensor, format, end))
        .collect()
}

/// Why a network's end cannot have a format, by its dims.
fn misfit(model: &Model, tensor: TensorId, format: IoFormat, end: &str) -> Option<String> {
    let tensor = model.tensor(tensor);
    // Open dims are told elsewhere.
    let dims = tensor.shape.as_ref()?;
    let name = &tensor.name;
    match format.layout() {
        IoLayout::Chw | IoLayout::DlaLinear => None,
        IoLayout::Chw4 | IoLayout::Chw16 | IoLayout::Chw32 => {
            format.dims_refusal(end, name, dims.len())
        }
        IoLayout::DlaHwc4 => {
            let channels = dims.len().checked_sub(3).and_then(|at| dims.get(at));
            if !matches!(channels, Some(1 | 3 | 4)) {
                return Some(format!(
                    "I/O format {format} is for images of 1, 3 or 4 channels, which {end} {name:?} \
                     is not; choose another for the {end}s"
                ));
            }
            let first = |op: &&OpId| match &model.op(**op).kind {
                OpKind::Conv(conv) => !(1..=HWC4_GROUPS).contains(&conv.groups),
                _ => true,
            };
            let other = tensor.consumers.iter().find(first)?;
            Some(format!(
                "I/O format {format} feeds convolutions of 1 to {HWC4_GROUPS} groups only, and {} reads \
                 {end} {name:?}; choose another for the {end}s",
                model.op(*other).name
            ))
        }
    }
}

/// Why the GPU's side of a placement cannot have a format that only the DLA takes, if so.
pub(super) fn gpu_end(model: &Model, io: IoFormats, predicted: &[Device]) -> Option<String> {
    if !(io.input.only_for_dla() || io.output.only_for_dla()) {
        return None;
    }
    let (op, tensor, format, does) =
        ends(model, io).find(|(op, ..)| predicted.get(op.index()) != Some(&Device::Dla))?;
    Some(format!(
        "I/O format {format} is for the DLA only, and {} on the GPU {does} {:?}; place it on the \
         DLA, or choose a format of plain order (chw)",
        model.op(op).name,
        model.tensor(tensor).name
    ))
}

/// Ops that must be on the DLA for the formats of inputs and outputs.
pub(super) fn needs_dla(model: &Model, io: IoFormats) -> impl Iterator<Item = OpId> {
    ends(model, io).map(|(op, ..)| op)
}

/// Ops at an end whose format is for the DLA only, with what they do to which tensor.
fn ends(
    model: &Model,
    io: IoFormats,
) -> impl Iterator<Item = (OpId, TensorId, IoFormat, &'static str)> {
    let input = io.input.only_for_dla();
    let readers = inputs(model).filter(move |_| input).flat_map(move |t| {
        let readers = model.tensor(t).consumers.iter();
        readers.map(move |op| (*op, t, io.input, "reads"))
    });
    let output = io.output.only_for_dla();
    let makers = outputs(model).filter(move |_| output).filter_map(move |t| {
        let maker = model.tensor(t).producer?;
        Some((maker, t, io.output, "makes"))
    });
    readers.chain(makers)
}

/// Inputs of the network that have floating-point numbers.
fn inputs(model: &Model) -> impl Iterator<Item = TensorId> {
    let all = model.inputs.iter().map(|i| i.tensor);
    all.filter(|t| model.tensor(*t).dtype.is_float())
}

/// Its outputs, likewise.
fn outputs(model: &Model) -> impl Iterator<Item = TensorId> {
    let all = model.outputs.iter().copied();
    all.filter(|t| model.tensor(*t).dtype.is_float())
}
