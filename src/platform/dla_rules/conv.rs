//! Convolutions and what TensorRT turns into them.

use std::ops::RangeInclusive;

use crate::model::{Conv, Model, Op, OpKind, by};
use crate::placement::EngineConfig;
use crate::platform::TensorRt;

use crate::platform::dla_rules::rule::{
    Check, Cx, GUIDE_8_4, GUIDE_8_5, GUIDE_11, HEADER, HEADERS_BEFORE, MATRIX, Refusal, Rule,
    rules, unknown,
};

rules! {
    RANK = "conv.rank": "two spatial dims", GUIDE_8_5;
    WEIGHTS = "conv.weights": "constant weights", GUIDE_8_5;
    KERNEL = "conv.kernel": "kernel dims of 1-32", GUIDE_8_5;
    PADDING = "conv.padding": "padding of 0-31", GUIDE_8_5;
    PADDING_KERNEL = "conv.padding_kernel":
        "padding smaller than the kernel in its dim", GUIDE_8_5;
    STRIDE = "conv.stride": "strides of 1-8", GUIDE_8_5;
    DILATION = "conv.dilation": "dilations of 1-32", GUIDE_8_5;
    GROUPS = "conv.groups": "1-8192 groups", GUIDE_8_5;
    CHANNELS = "conv.channels": "1-8192 input and output channels", GUIDE_11;
    CBUF = "conv.buffer":
        "one kernel and the least rows of data it needs in the 16 banks of 32 KiB of the \
         convolution buffer",
        GUIDE_8_4;
    DECONV_RANK = "deconv.rank": "two spatial dims", GUIDE_8_5;
    DECONV_WEIGHTS = "deconv.weights": "constant weights", GUIDE_8_5;
    DECONV_KERNEL = "deconv.kernel":
        "kernel dims of 1-32, or 1 by 64, 96 or 128", HEADER;
    DECONV_STRIDE = "deconv.stride":
        "strides of 1-32, or 1 by 64, 96 or 128", HEADER;
    DECONV_STRIDE_KERNEL = "deconv.stride_kernel":
        "strides equal to the kernel, in TensorRT 8.2", HEADERS_BEFORE;
    DECONV_SQUARE = "deconv.square":
        "square kernels and strides below 23 (TensorRT disabled 23-32: they compile too slowly)",
        GUIDE_8_5;
    DECONV_PADDING = "deconv.padding": "no padding", GUIDE_8_5;
    DECONV_GROUPS = "deconv.groups": "one group", GUIDE_8_5;
    DECONV_DILATION = "deconv.dilation": "no dilation", GUIDE_8_5;
    DECONV_CHANNELS = "deconv.channels": "1-8192 input and output channels", GUIDE_8_5;
    FEATURES = "gemm.features":
        "1-8192 input and output features, as TensorRT makes a 1x1 convolution of it", GUIDE_11;
    MATMUL = "matmul.constant": "a constant second operand", MATRIX;
}

fn each(
    values: &[u64],
    range: RangeInclusive<u64>,
    rule: &'static Rule,
    what: &str,
) -> Result<(), Refusal> {
    if values.iter().all(|v| range.contains(v)) {
        return Ok(());
    }
    Err(Refusal::new(rule, format!("{what} {}", by(values))))
}

fn channels(c: &Conv, rule: &'static Rule) -> Result<(), Refusal> {
    for (count, what) in [(c.in_channels, "input"), (c.out_channels, "output")] {
        if !(1..=8192).contains(&count) {
            return Err(Refusal::new(rule, format!("{count} {what} channels")));
        }
    }
    Ok(())
}

pub(crate) fn convolution(cx: &Cx<'_>, c: &Conv) -> Check {
    if c.kernel.len() != 2 {
        let refusal = Refusal::new(&RANK, format!("a {}-D convolution", c.kernel.len()));
        return Err(match c.kernel.len() {
            1 => refusal.fix("write it as a 2-D convolution with kernel 1xk"),
            _ => refusal,
        }
        .into());
    }
    if !c.const_weights {
        return Err(Refusal::new(&WEIGHTS, "weights computed at run time").into());
    }
    each(&c.kernel, 1..=32, &KERNEL, "kernel")?;
    each(&c.pads, 0..=31, &PADDING, "padding")?;
    let mut beyond = c.pads.iter().zip(c.kernel.iter().cycle());
    if let Some((pad, kernel)) = beyond.find(|(p, k)| p >= k) {
        return Err(Refusal::new(
            &PADDING_KERNEL,
            format!("padding {pad} with kernel {kernel}"),
        )
        .into());
    }
    each(&c.stride, 1..=8, &STRIDE, "stride")?;
    each(&c.dilation, 1..=32, &DILATION, "dilation")?;
    if !(1..=8192).contains(&c.groups) {
        return Err(Refusal::new(&GROUPS, format!("{} groups", c.groups)).into());
    }
    channels(c, &CHANNELS)?;
    buffer(cx, c)
}

/// The convolution buffer as the 8.4 guide computes it: `wt + data <= 16` banks, with
/// `wt = ceil(round_up(C*kH*kW*e, 128) / 32768)`, `eps = ceil(ceil(C*e/32) * W / 4)` entries per
/// slice and `data = ceil(eps * ((kH-1)*dilation+1) / 256)`; `e` is the element size, C and W the
/// input's channels and width.
fn buffer(cx: &Cx<'_>, c: &Conv) -> Check {
    let width = cx.input()?.last();
    let Some((weights, data)) = banks(c, width, cx.element_bytes()) else {
        return Ok(());
    };
    if weights.saturating_add(data) <= BANKS {
        return Ok(());
    }
    let (k_h, k_w) = (c.kernel[0], c.kernel[1]);
    let offending = format!(
        "{weights} + {data} buffer banks for one {k_h}x{k_w}x{} kernel and its data at width {}",
        c.in_channels,
        width.copied().unwrap_or(0)
    );
    if cx.tensorrt >= TensorRt::V10_3 {
        // The formula is printed for TensorRT 8 only.
        return Err(unknown(format!(
            "{offending}, past the 16 that TensorRT 8 documents"
        )));
    }
    let fix = if cx.config.precision.int8 {
        "split the channels, or tile the width"
    } else {
        "use INT8, which halves both, or split the channels"
    };
    Err(Refusal::new(&CBUF, offending).fix(fix).into())
}

/// Banks of the convolution buffer, of 32 KiB each.
pub const BANKS: u64 = 16;

/// Banks of weights and of data that a convolution needs at an input width; `None` where it is not
/// 2-D or the width is not known.
fn banks(c: &Conv, width: Option<&u64>, element_bytes: u64) -> Option<(u64, u64)> {
    let (Some(width), &[k_h, k_w]) = (width, c.kernel.as_slice()) else {
        return None;
    };
    let kernel = [c.in_channels, k_h, k_w, element_bytes];
    let kernel_bytes = kernel.into_iter().fold(1, u64::saturating_mul);
    let weights = kernel_bytes
        .checked_next_multiple_of(128)
        .unwrap_or(u64::MAX)
        .div_ceil(32_768);
    let entries = (c.in_channels.saturating_mul(element_bytes))
        .div_ceil(32)
        .saturating_mul(*width)
        .div_ceil(4);
    let dilation = c.dilation.first().copied().unwrap_or(1);
    let dilated = k_h.saturating_sub(1).saturating_mul(dilation) + 1;
    Some((weights, entries.saturating_mul(dilated).div_ceil(256)))
}

/// Banks that a convolution needs in the widest precision that the engine may give it.
pub fn buffer_banks(model: &Model, op: &Op, config: &EngineConfig) -> Option<u64> {
    let OpKind::Conv(c) = &op.kind else {
        return None;
    };
    let shape = &model.tensor(*op.inputs.first()?).shape;
    let bytes = if config.precision.fp16 { 2 } else { 1 };
    let (weights, data) = banks(c, shape.as_ref()?.last(), bytes)?;
    Some(weights.saturating_add(data))
}

pub(crate) fn deconvolution(cx: &Cx<'_>, c: &Conv) -> Check {
    if c.kernel.len() != 2 {
        return Err(Refusal::new(
            &DECONV_RANK,
            format!("a {}-D deconvolution", c.kernel.len()),
        )
        .into());
    }
    if !c.const_weights {
        return Err(Refusal::new(&DECONV_WEIGHTS, "weights computed at run time").into());
    }
    let long = |d: &[u64]| matches!(*d, [1, 64 | 96 | 128] | [64 | 96 | 128, 1]);
    if !long(&c.kernel) {
        each(&c.kernel, 1..=32, &DECONV_KERNEL, "kernel")?;
    }
    if !long(&c.stride) {
        each(&c.stride, 1..=32, &DECONV_STRIDE, "stride")?;
    }
    if cx.tensorrt == TensorRt::V8_2 && c.stride != c.kernel {
        return Err(Refusal::new(
            &DECONV_STRIDE_KERNEL,
            format!("stride {} with kernel {}", by(&c.stride), by(&c.kernel)),
        )
        .fix("use a kernel of the stride's size")
        .into());
    }
    for (dims, what) in [(&c.kernel, "kernel"), (&c.stride, "stride")] {
        if let [h @ 23..=32, w] = *dims.as_slice()
            && h == w
        {
            return Err(Refusal::new(&DECONV_SQUARE, format!("{what} {h}x{w}")).into());
        }
    }
    let fix = "use padding 0 (kernel = stride upsamples exactly), or Resize and a convolution";
    each(&c.pads, 0..=0, &DECONV_PADDING, "padding").map_err(|r| r.fix(fix))?;
    each(&c.output_padding, 0..=0, &DECONV_PADDING, "output padding").map_err(|r| r.fix(fix))?;
    if c.groups != 1 {
        return Err(Refusal::new(&DECONV_GROUPS, format!("{} groups", c.groups))
            .fix("write it as one deconvolution per group, or with zero weights between groups")
            .into());
    }
    each(&c.dilation, 1..=1, &DECONV_DILATION, "dilation")?;
    channels(c, &DECONV_CHANNELS)?;
    cx.input().map(|_| ())
}

/// Gemm or MatMul with constant weights. TensorRT makes a 1x1 convolution of it; seen in NVIDIA's
/// tutorial (`{ForeignNode[/linear/Gemm]}`) and with 10.3 on Orin, both with a matrix as input.
/// With more dims the features would have to move to the channel axis; no document says so.
pub(crate) fn fully_connected(cx: &Cx<'_>, in_features: u64, out_features: u64) -> Check {
    for (count, what) in [(in_features, "input"), (out_features, "output")] {
        if !(1..=8192).contains(&count) {
            return Err(Refusal::new(&FEATURES, format!("{count} {what} features"))
                .fix("pool the image before it, or split the features")
                .into());
        }
    }
    let rank = cx.input()?.len();
    if rank != 2 {
        return Err(unknown(format!(
            "documented as a 1x1 convolution and seen on the DLA for matrices; this input has \
             {rank} dims"
        )));
    }
    Ok(())
}

pub(crate) fn matmul() -> Check {
    Err(Refusal::new(&MATMUL, "a matrix product of two activations")
        .fix("keep it on the GPU; attention has no DLA form")
        .into())
}
