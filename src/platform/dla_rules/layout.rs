//! Layers that move data, softmax, and what has no DLA layer at all.

use crate::model::{CoordinateMode, NearestMode, OpKind, Resize, ResizeMode, ShuffleKind};
use crate::platform::TensorRt;

use crate::platform::dla_rules::rule::{
    Check, Cx, GUIDE_8_5, GUIDE_11, HEADER, HEADERS_BEFORE, MATRIX, Refusal, a, rules, unknown,
};

rules! {
    CONCAT_AXIS = "concat.axis": "the channel axis, third from the end", HEADER;
    CONCAT_INPUTS = "concat.inputs": "two inputs or more", GUIDE_8_5;
    CONCAT_SPATIAL = "concat.spatial": "inputs of the same height and width", GUIDE_8_5;
    RESIZE_SIZE = "resize.by_size":
        "scales, not an output size", "NvInfer.h, IResizeLayer::setOutputDimensions";
    RESIZE_SCALES = "resize.scales": "four scales, the first two 1", HEADER;
    RESIZE_FACTOR = "resize.factor":
        "whole factors of 1-32 for nearest, 1-4 for bilinear", HEADER;
    RESIZE_MODE = "resize.mode":
        "nearest with (asymmetric, floor) or (half pixel, round); bilinear with half pixel", HEADER;
    RESIZE_VERSION = "resize.version":
        "Resize since TensorRT 8.2", HEADERS_BEFORE;
    RESIZE_MODE_8_2 = "resize.mode_8_2":
        "nearest with (asymmetric, floor) in TensorRT 8.2", HEADERS_BEFORE;
    SOFTMAX_BOARD = "softmax.board": "Softmax on Orin, not on Xavier", HEADER;
    SOFTMAX_LOG = "softmax.log": "Softmax without a logarithm", MATRIX;
    SOFTMAX_PRECISION = "softmax.precision": "FP16", GUIDE_8_5;
    SOFTMAX_AXIS = "softmax.axis": "one of the last three axes", HEADER;
    SOFTMAX_SIZE = "softmax.size":
        "an axis of at most 1024, or 8192 where all other non-batch dims are 1", HEADER;
    SHUFFLE_KIND = "shuffle.kind": "Reshape and Transpose of four dims", MATRIX;
    SHUFFLE_RANK = "shuffle.rank": "four dims before and after", MATRIX;
    SHUFFLE_NEIGHBOURS = "shuffle.neighbours":
        "Reshape that is not directly connected to a Slice or Concat",
        "TensorRT build log: This version of DLA does not support reshape layers directly \
         connected to Slice or Concat";
    SLICE_VERSION = "slice.version": "Slice since TensorRT 8.4", HEADERS_BEFORE;
    SLICE_STATIC = "slice.static": "constant starts and sizes", HEADER;
    SLICE_RANK = "slice.rank":
        "four dims", "TensorRT build log: DLA only supports slicing 4 dimensional tensors";
    SLICE_AXIS = "slice.axis": "any axis but the first", HEADER;
    SLICE_STEP = "slice.step": "steps of 1", HEADER;
    SLICE_PRECISION = "slice.precision": "FP16 in TensorRT 8.5", GUIDE_8_5;
    PAD = "pad.version":
        "zero padding as a Slice with fill since TensorRT 10.7; before, padding inside \
         convolution and pooling",
        HEADER;
    QDQ = "quantize.explicit":
        "implicit quantisation by calibration, until TensorRT 11",
        "NVIDIA Deep-Learning-Accelerator-SW, tools/qdq-translator";
    UNSUPPORTED = "layer.kind": "only what is on its list of layers", GUIDE_11;
}

pub(crate) fn concat(cx: &Cx<'_>, axis: u64) -> Check {
    let inputs = cx.op.inputs.len() + cx.op.weights.len();
    if inputs < 2 {
        return Err(Refusal::new(&CONCAT_INPUTS, "a single input").into());
    }
    let first = cx.input()?;
    if axis + 3 != first.len() as u64 {
        return Err(
            Refusal::new(&CONCAT_AXIS, format!("axis {axis} of {} dims", first.len())).into(),
        );
    }
    for input in &cx.op.inputs {
        let dims = cx.dims(*input)?;
        let spatial = |d: &[u64]| {
            [d.len().wrapping_sub(2), d.len().wrapping_sub(1)].map(|i| d.get(i).copied())
        };
        if spatial(dims) != spatial(first) {
            return Err(Refusal::new(
                &CONCAT_SPATIAL,
                format!(
                    "{} differs from the first input",
                    cx.model.tensor(*input).name
                ),
            )
            .into());
        }
    }
    if !cx.op.weights.is_empty() {
        return Err(unknown(
            "a constant runs on the DLA only when folded into a layer, which no document says of \
             concatenation",
        ));
    }
    cx.wants_image()
}

pub(crate) fn resize(cx: &Cx<'_>, r: &Resize) -> Check {
    const LATER: &str = "upsample with a deconvolution, or use TensorRT 8.4 or later";
    if cx.tensorrt < TensorRt::V8_2 {
        return Err(Refusal::new(&RESIZE_VERSION, "a Resize").fix(LATER).into());
    }
    let plain = (
        ResizeMode::Nearest,
        CoordinateMode::Asymmetric,
        NearestMode::Floor,
    );
    if cx.tensorrt == TensorRt::V8_2 && (r.mode, r.coordinates, r.nearest) != plain {
        let what = format!("{:?} with {:?} and {:?}", r.mode, r.coordinates, r.nearest);
        return Err(Refusal::new(&RESIZE_MODE_8_2, what).fix(LATER).into());
    }
    let refused = |what: &str| {
        Err(Refusal::new(&RESIZE_MODE, what)
            .fix("nn.Upsample(mode=\"nearest\") exports as asymmetric with floor")
            .into())
    };
    let largest = match (r.mode, r.coordinates, r.nearest) {
        (ResizeMode::Cubic, ..) => return refused("cubic interpolation"),
        (ResizeMode::Nearest, CoordinateMode::Asymmetric, NearestMode::Floor)
        | (
            ResizeMode::Nearest,
            CoordinateMode::HalfPixel,
            NearestMode::RoundPreferFloor | NearestMode::RoundPreferCeil,
        ) => 32.0,
        (ResizeMode::Nearest, c, n) => return refused(&format!("nearest with {c:?} and {n:?}")),
        // The parser makes pytorch_half_pixel of half pixel and the upper selector.
        (ResizeMode::Linear, CoordinateMode::HalfPixel | CoordinateMode::PytorchHalfPixel, _) => {
            4.0
        }
        (ResizeMode::Linear, c, _) => return refused(&format!("bilinear with {c:?}")),
    };
    if r.by_size {
        return Err(Refusal::new(&RESIZE_SIZE, "an output size")
            .fix("export with scale_factor instead of size")
            .into());
    }
    let [n, c, h, w] = r.scales[..] else {
        return if r.scales.is_empty() {
            Err(unknown("the scales are not known"))
        } else {
            Err(Refusal::new(&RESIZE_SCALES, format!("{} scales", r.scales.len())).into())
        };
    };
    if [n, c] != [1.0, 1.0] {
        return Err(
            Refusal::new(&RESIZE_SCALES, format!("scales {n} and {c} before H and W")).into(),
        );
    }
    let legal = |s: f32| s.fract() == 0.0 && (1.0..=largest).contains(&s);
    if !(legal(h) && legal(w)) {
        return Err(Refusal::new(&RESIZE_FACTOR, format!("scales {h} and {w}"))
            .fix("use a whole factor, or a strided pooling to shrink")
            .into());
    }
    cx.wants_image()
}

pub(crate) fn softmax(cx: &Cx<'_>, axis: u64, log: bool) -> Check {
    if cx.xavier {
        return Err(Refusal::new(&SOFTMAX_BOARD, "a Softmax on Xavier")
            .fix("leave it to the GPU or to the code after the engine")
            .into());
    }
    if log {
        return Err(Refusal::new(&SOFTMAX_LOG, "a LogSoftmax")
            .fix("end with Softmax, or take the logarithm after the engine")
            .into());
    }
    if cx.int8_only() {
        return Err(Refusal::new(&SOFTMAX_PRECISION, "INT8 without FP16")
            .fix("allow FP16 too (int8+fp16)")
            .into());
    }
    let dims = cx.input()?;
    let rank = dims.len() as u64;
    if rank >= 4 && axis + 3 < rank {
        return Err(Refusal::new(&SOFTMAX_AXIS, format!("axis {axis} of {rank} dims")).into());
    }
    let Some(size) = dims.get(axis as usize) else {
        return Err(Refusal::new(&SOFTMAX_AXIS, format!("axis {axis} of {rank} dims")).into());
    };
    let chw = dims.len().saturating_sub(3);
    let alone = (chw..dims.len()).all(|i| i as u64 == axis || dims[i] == 1);
    let largest = if alone { 8192 } else { 1024 };
    if *size > largest {
        return Err(Refusal::new(&SOFTMAX_SIZE, format!("an axis of {size}")).into());
    }
    if !alone && cx.tensorrt == TensorRt::V8_4 {
        return Err(unknown(
            "the 8.4 guide wants all other non-batch dims of a Softmax to be 1, the header of \
             8.4.1 does not",
        ));
    }
    if cx.model.source.opset < 13 {
        return Err(unknown(
            "the parser flattens the input of Softmax before opset 13, which adds Shuffle layers",
        ));
    }
    cx.wants_image()
}

pub(crate) fn shuffle(cx: &Cx<'_>, kind: &ShuffleKind) -> Check {
    const HEAD: &str = "before a classifier, leave the image as it is and write the Linear as a \
                        convolution with a kernel of the image's size";
    match kind {
        ShuffleKind::Reshape | ShuffleKind::Transpose(_) => {}
        ShuffleKind::Flatten => {
            let refusal = Refusal::new(&SHUFFLE_KIND, "a Flatten");
            return Err(if flattens_image(cx) {
                refusal.fix(HEAD)
            } else {
                refusal
            }
            .into());
        }
        ShuffleKind::DepthToSpace => {
            return Err(Refusal::new(&SHUFFLE_KIND, "a DepthToSpace")
                .fix("NVIDIA's op_reconstruction writes it as a deconvolution")
                .into());
        }
        ShuffleKind::SpaceToDepth => {
            return Err(Refusal::new(&SHUFFLE_KIND, "a SpaceToDepth")
                .fix("NVIDIA's op_reconstruction writes it as a strided convolution")
                .into());
        }
        ShuffleKind::Squeeze | ShuffleKind::Unsqueeze => {
            return Err(Refusal::new(&SHUFFLE_KIND, a(name(kind))).into());
        }
    }
    let before = cx.input()?.len();
    let Some(output) = cx.op.outputs.first() else {
        return Ok(());
    };
    let after = cx.dims(*output)?.len();
    if before != 4 || after != 4 {
        let refusal = Refusal::new(
            &SHUFFLE_RANK,
            format!("{} from {before} to {after} dims", a(name(kind))),
        );
        return Err(if flattens_image(cx) {
            refusal.fix(HEAD)
        } else {
            refusal
        }
        .into());
    }
    if matches!(kind, ShuffleKind::Reshape) && beside_slice_or_concat(cx) {
        return Err(Refusal::new(&SHUFFLE_NEIGHBOURS, "a Reshape beside a Slice or Concat").into());
    }
    if cx.tensorrt < TensorRt::V8_5 {
        return Err(unknown(
            "its limits on the DLA are not published before TensorRT 8.5; probably the GPU unless \
             a build shows otherwise",
        ));
    }
    Err(unknown(
        "NVIDIA's matrix has it on Orin's DLA, its limits are not published; probably the GPU \
         unless a build shows otherwise",
    ))
}

/// N x C x H x W to N x CHW, as before a classifier.
fn flattens_image(cx: &Cx<'_>) -> bool {
    let output = cx.op.outputs.first().map(|t| cx.dims(*t));
    match (cx.input(), output) {
        (Ok([n, c, h, w]), Some(Ok([m, features]))) => {
            *n == cx.model_batch && m == n && *features == c.saturating_mul(*h).saturating_mul(*w)
        }
        _ => false,
    }
}

fn beside_slice_or_concat(cx: &Cx<'_>) -> bool {
    let tensor = |t: &crate::model::TensorId| cx.model.tensor(*t);
    let producers = cx.op.inputs.iter().filter_map(|t| tensor(t).producer);
    let consumers = cx.op.outputs.iter().flat_map(|t| &tensor(t).consumers);
    producers.chain(consumers.copied()).any(|op| {
        matches!(
            cx.model.op(op).kind,
            OpKind::Slice { .. } | OpKind::Split { .. } | OpKind::Concat { .. }
        )
    })
}

fn name(kind: &ShuffleKind) -> &'static str {
    match kind {
        ShuffleKind::Reshape => "Reshape",
        ShuffleKind::Flatten => "Flatten",
        ShuffleKind::Squeeze => "Squeeze",
        ShuffleKind::Unsqueeze => "Unsqueeze",
        ShuffleKind::Transpose(_) => "Transpose",
        ShuffleKind::DepthToSpace => "DepthToSpace",
        ShuffleKind::SpaceToDepth => "SpaceToDepth",
    }
}

pub(crate) fn slice(cx: &Cx<'_>, axes: &[u64], steps: &[i64], static_params: bool) -> Check {
    slices(cx, "a Slice")?;
    if !static_params {
        return Err(Refusal::new(&SLICE_STATIC, "a start or size computed at run time").into());
    }
    if let Some(step) = steps.iter().find(|s| **s != 1) {
        return Err(Refusal::new(&SLICE_STEP, format!("a step of {step}"))
            .fix("a convolution of that stride with a kernel of ones and zeros picks the same")
            .into());
    }
    slicing(cx, axes)
}

/// The parser makes one Slice layer per output of Split.
pub(crate) fn split(cx: &Cx<'_>, axis: u64) -> Check {
    slices(cx, "a Split, which is one Slice per output")?;
    slicing(cx, &[axis])
}

/// Whether the version has a DLA layer for slicing at all.
fn slices(cx: &Cx<'_>, what: &str) -> Result<(), Refusal> {
    if cx.tensorrt < TensorRt::V8_4 {
        return Err(Refusal::new(&SLICE_VERSION, what)
            .fix("a convolution with a kernel of ones and zeros picks the same channels"));
    }
    Ok(())
}

fn slicing(cx: &Cx<'_>, axes: &[u64]) -> Check {
    let rank = cx.input()?.len();
    if rank != 4 {
        return Err(Refusal::new(&SLICE_RANK, format!("{rank} dims")).into());
    }
    if axes.contains(&0) {
        return Err(Refusal::new(&SLICE_AXIS, "the first axis").into());
    }
    if cx.int8_only() {
        match cx.tensorrt {
            TensorRt::V7_1 | TensorRt::V8_0 | TensorRt::V8_2 | TensorRt::V8_5 => {
                return Err(Refusal::new(&SLICE_PRECISION, "INT8 without FP16")
                    .fix("allow FP16 too (int8+fp16)")
                    .into());
            }
            TensorRt::V8_4 | TensorRt::V8_6 => {
                return Err(unknown(format!(
                    "slicing is documented in FP16 for 8.5; {} in INT8 is open",
                    cx.tensorrt
                )));
            }
            TensorRt::V10_3 | TensorRt::V10_7 | TensorRt::V11_4 => {}
        }
    }
    Ok(())
}

pub(crate) fn pad(cx: &Cx<'_>) -> Check {
    if cx.tensorrt < TensorRt::V10_7 {
        return Err(Refusal::new(&PAD, "a Pad of its own")
            .fix("give the padding to the convolution or pooling after it")
            .into());
    }
    Err(unknown(
        "the DLA takes zero padding whose fill value is a constant nobody else reads",
    ))
}

/// Every layer of a file with Q/DQ ops. "DLA does not support explicit quantization" (`TensorRT` 8.4
/// guide); a build says "missing scale and zero point. This node will not run on DLA" of each layer
/// (Deci-AI/super-gradients#1760). What `TensorRT` 11.4 does between Q/DQ ops is not published.
pub(crate) fn explicit(cx: &Cx<'_>) -> Check {
    let is_qdq = |kind: &OpKind| matches!(kind, OpKind::Quantize | OpKind::Dequantize);
    if !cx.tensorrt.strongly_typed() {
        let offending = if is_qdq(&cx.op.kind) {
            "explicit quantisation in the file"
        } else {
            "explicit quantisation in the file, so the layer gets no scale from a calibration"
        };
        return Err(Refusal::new(&QDQ, offending)
            .fix(
                "take the scales out with NVIDIA's qdq-translator and build with its calibration \
                 cache",
            )
            .into());
    }
    Err(unknown(
        "TensorRT 11 folds Q/DQ into the layers around it; which of a quantised file stay on the DLA \
         is not published",
    ))
}

/// A cast belongs to the comparison before it; any other is a layer of its own.
pub(crate) fn cast(cx: &Cx<'_>) -> Check {
    let producer = cx
        .op
        .inputs
        .first()
        .and_then(|t| cx.model.tensor(*t).producer);
    if let Some(op) = producer
        && let OpKind::Binary { op, .. } = &cx.model.op(op).kind
        && op.is_comparison()
        && !cx.xavier
        && cx.config.precision.int8
    {
        return Err(unknown(
            "documented as part of the comparison before it, not on its own",
        ));
    }
    unsupported(cx)
}

pub(crate) fn unsupported(cx: &Cx<'_>) -> Check {
    // Tile is a Slice that wraps, which the header allows since 10.7; Expand has steps of 0.
    if &*cx.op.op_type == "Tile" && cx.tensorrt >= TensorRt::V10_7 {
        return Err(unknown(
            "the DLA takes a Slice that wraps around; whether the parser's Tile is one of those \
             is not published",
        ));
    }
    let refusal = Refusal::new(&UNSUPPORTED, a(&cx.op.op_type));
    Err(match cx.op.kind {
        OpKind::Gather | OpKind::Scatter | OpKind::Where => {
            refusal.fix("NVIDIA's op_reconstruction has a recipe of DLA layers")
        }
        OpKind::Recurrent => refusal.fix("unroll it as NVIDIA's op_reconstruction/GRU.py does"),
        OpKind::Identity => refusal.fix("take it out of the file (onnxsim or polygraphy surgeon)"),
        _ => refusal,
    }
    .into())
}
