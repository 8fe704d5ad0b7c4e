//! Pooling and reductions.

use crate::model::{Pool, PoolKind, ReduceOp, by};
use crate::platform::TensorRt;

use crate::platform::dla_rules::rule::{
    Check, Cx, GUIDE_8_5, HEADER, MATRIX, Refusal, rules, unknown,
};

rules! {
    RANK = "pool.rank": "two spatial dims", GUIDE_8_5;
    KIND = "pool.kind": "max and average pooling", HEADER;
    WINDOW = "pool.window":
        "window dims of 1-8 (1-16 for max pooling since TensorRT 11.4)", HEADER;
    PADDING = "pool.padding": "padding of 0-7", HEADER;
    PADDING_WINDOW = "pool.padding_window":
        "padding smaller than the window in its dim (TensorRT 11.4)", HEADER;
    STRIDE = "pool.stride": "strides of 1-16", HEADER;
    DILATION = "pool.dilation": "no dilation", "onnx-tensorrt, poolingHelper";
    EXCLUSIVE = "pool.exclusive":
        "averages over padded positions too, on Xavier",
        "NvInfer.h, IPoolingLayer::setAverageCountExcludesPadding";
    REDUCE = "reduce.op":
        "maximum only",
        "TensorRT build log: DLA cores do not support AVG Reduce operation";
    REDUCE_VERSION = "reduce.version":
        "reductions on Orin since TensorRT 10 (8.6.12 on DRIVE)", MATRIX;
}

pub(crate) fn pooling(cx: &Cx<'_>, p: &Pool) -> Check {
    if p.window.len() != 2 {
        return Err(Refusal::new(&RANK, format!("{}-D pooling", p.window.len())).into());
    }
    if p.kind == PoolKind::Lp {
        return Err(Refusal::new(&KIND, "Lp pooling").into());
    }
    let v11_4 = cx.tensorrt >= TensorRt::V11_4;
    let largest = if v11_4 && p.kind == PoolKind::Max {
        16
    } else {
        8
    };
    if !p.window.iter().all(|w| (1..=largest).contains(w)) {
        return Err(Refusal::new(&WINDOW, format!("window {}", by(&p.window)))
            .fix("pool in stages with smaller windows")
            .into());
    }
    if p.pads.iter().any(|p| *p > 7) {
        return Err(Refusal::new(&PADDING, format!("padding {}", by(&p.pads))).into());
    }
    let mut beyond = p.pads.iter().zip(p.window.iter().cycle());
    if v11_4 && let Some((pad, window)) = beyond.find(|(p, w)| p >= w) {
        return Err(Refusal::new(
            &PADDING_WINDOW,
            format!("padding {pad} with window {window}"),
        )
        .into());
    }
    if !p.stride.iter().all(|s| (1..=16).contains(s)) {
        return Err(Refusal::new(&STRIDE, format!("stride {}", by(&p.stride))).into());
    }
    if p.dilation.iter().any(|d| *d != 1) {
        return Err(Refusal::new(&DILATION, format!("dilation {}", by(&p.dilation))).into());
    }
    if cx.xavier && p.kind == PoolKind::Average && !p.count_include_pad {
        if p.pads.iter().any(|p| *p != 0) {
            return Err(Refusal::new(
                &EXCLUSIVE,
                format!("padding {} left out of the average", by(&p.pads)),
            )
            .fix("count_include_pad=True, or pad 0")
            .into());
        }
        // The flag alone may already refuse it: the header wants it set to inclusive.
        return Err(unknown(
            "the average is marked exclusive though nothing is padded; count_include_pad=1 in \
             the file settles it",
        ));
    }
    Ok(())
}

/// The ONNX parser makes a Reduce layer of global pooling, not a Pooling layer.
pub(crate) fn global(cx: &Cx<'_>, kind: PoolKind) -> Check {
    match kind {
        PoolKind::Max => max_reduction(cx),
        PoolKind::Lp => Err(Refusal::new(&REDUCE, "a global Lp norm").into()),
        PoolKind::Average => Err(Refusal::new(&REDUCE, "a global average")
            .fix(average_fix(cx))
            .into()),
    }
}

/// NVIDIA's tutorial and matrix: the same average as pooling with a window or as a convolution.
fn average_fix(cx: &Cx<'_>) -> String {
    match cx.input() {
        Ok([_, _, h, w]) if (1..=8).contains(h) && (1..=8).contains(w) => {
            format!("replace it by AveragePool with kernel {h}x{w}")
        }
        Ok([_, _, h, w]) if (1..=32).contains(h) && (1..=32).contains(w) => format!(
            "replace it by a depthwise convolution with kernel {h}x{w} and weights 1/{}",
            h * w
        ),
        _ => "replace it by AveragePool layers in stages, windows up to 8x8".to_owned(),
    }
}

/// NVIDIA's matrix: the same maximum as pooling in stages.
fn max_fix(cx: &Cx<'_>) -> String {
    match cx.input() {
        Ok([_, _, h, w]) if (1..=8).contains(h) && (1..=8).contains(w) => {
            format!("replace it by MaxPool with kernel {h}x{w}")
        }
        _ => "replace it by MaxPool layers in stages, windows up to 8x8".to_owned(),
    }
}

fn max_reduction(cx: &Cx<'_>) -> Check {
    if cx.xavier || cx.tensorrt < TensorRt::V10_3 {
        return Err(Refusal::new(&REDUCE_VERSION, "a reduction to the maximum")
            .fix(max_fix(cx))
            .into());
    }
    cx.wants_image()
}

pub(crate) fn reduce(cx: &Cx<'_>, op: ReduceOp, axes: &[u64], keep_dims: bool) -> Check {
    let image = || cx.input().is_ok_and(|dims| dims.len() == 4);
    let over_positions = || image() && axes.len() == 2 && axes.contains(&2) && axes.contains(&3);
    let over_channels = || image() && axes == [1];
    if op == ReduceOp::Max {
        max_reduction(cx)?;
        if !over_positions() {
            return Err(unknown(
                "a maximum is documented over the positions of an image only",
            ));
        }
        if !keep_dims {
            return Err(unknown(
                "dropping the reduced dims adds a Shuffle layer, which may not run on the DLA",
            ));
        }
        return Ok(());
    }
    let refusal = Refusal::new(&REDUCE, format!("a Reduce{op:?}"));
    Err(match op {
        ReduceOp::Mean if over_positions() => refusal.fix(average_fix(cx)),
        ReduceOp::Mean if over_channels() => {
            refusal.fix("replace it by a 1x1 convolution with weights 1/C")
        }
        ReduceOp::Sum if over_positions() => {
            refusal.fix(average_fix(cx) + ", and multiply by the number of positions")
        }
        ReduceOp::Sum if over_channels() => {
            refusal.fix("replace it by a 1x1 convolution with weights 1")
        }
        _ => refusal,
    }
    .into())
}
