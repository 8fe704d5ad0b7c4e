//! Layers that work element by element or channel by channel.

use crate::model::{Activation, BinaryOp, NormKind, OpKind, UnaryOp};
use crate::platform::TensorRt;

use crate::platform::dla_rules::rule::{
    Check, Cx, GUIDE_8_5, GUIDE_11, HEADER, HEADERS_BEFORE, MATRIX, Refusal, a, rules, unknown,
};

rules! {
    ACTIVATION = "activation.kind":
        "ReLU, LeakyReLU, sigmoid, tanh and clipped ReLU (in INT8 the DLA computes sigmoid and \
         tanh in FP16)",
        GUIDE_8_5;
    ACTIVATION_BEFORE = "activation.kind_before":
        "ReLU, sigmoid, tanh and clipped ReLU, before TensorRT 8.4", HEADERS_BEFORE;
    LEAKY = "activation.leaky":
        "LeakyReLU since TensorRT 8.4",
        "TensorRT 7 build log: ActivationLayer (with ActivationType = LEAKY_RELU) not supported \
         for DLA";
    CLIP = "activation.clip": "clipped ReLU: from 0 to a bound of 1-127", GUIDE_8_5;
    SLOPE = "prelu.slope": "a constant slope", GUIDE_8_5;
    PRELU_VERSION = "prelu.version": "PReLU since TensorRT 8.4", HEADERS_BEFORE;
    SUB_VERSION = "elementwise.difference": "difference since TensorRT 8.2", HEADERS_BEFORE;
    UNARY_VERSION = "unary.version": "absolute value since TensorRT 8.4", HEADERS_BEFORE;
    ELEMENTWISE = "elementwise.op":
        "sum, difference, product, maximum, minimum; quotient and power since TensorRT 11.4",
        GUIDE_11;
    COMPARE = "compare.op":
        "Equal; Greater and Less since TensorRT 10 (8.6.12 on DRIVE)", MATRIX;
    COMPARE_PRECISION = "compare.precision": "comparisons in INT8", GUIDE_11;
    COMPARE_OUTPUT = "compare.output":
        "comparisons whose result is cast to FP16 or INT8 right away", GUIDE_11;
    UNARY = "unary.op": "absolute value", HEADER;
    NORM = "norm.kind":
        "batch normalisation, which is a Scale layer (scale and shift, no power)", GUIDE_8_5;
    LRN = "lrn.window": "windows of 3, 5, 7 or 9 channels (in INT8 computed in FP16)", GUIDE_8_5;
}

pub(crate) fn activation(cx: &Cx<'_>, kind: Activation) -> Check {
    let before = cx.tensorrt < TensorRt::V8_4;
    let rule = if before {
        &ACTIVATION_BEFORE
    } else {
        &ACTIVATION
    };
    let refused = |name: &str, fix: Option<&'static str>| {
        let refusal = Refusal::new(rule, a(name));
        Err(match fix {
            Some(fix) => refusal.fix(fix),
            None => refusal,
        }
        .into())
    };
    let retrain = Some(if before {
        "train with ReLU or ReLU6 instead"
    } else {
        "train with ReLU, LeakyReLU or ReLU6 instead"
    });
    match kind {
        Activation::LeakyRelu { .. } if cx.tensorrt == TensorRt::V7_1 => {
            Err(Refusal::new(&LEAKY, "a LeakyReLU")
                .fix("train with ReLU or ReLU6 instead, or use TensorRT 8.4 or later")
                .into())
        }
        Activation::LeakyRelu { .. } if cx.tensorrt < TensorRt::V8_4 => Err(unknown(
            "a build log of TensorRT 7 refuses LeakyReLU, the guide of 8.4 allows it; what \
             TensorRT 8.0 and 8.2 do is not published",
        )),
        Activation::Relu
        | Activation::LeakyRelu { .. }
        | Activation::Sigmoid
        | Activation::Tanh => cx.wants_image(),
        Activation::Clip { min, max } => {
            let legal = min == Some(0.0) && max.is_some_and(|m| (1.0..=127.0).contains(&m));
            if legal {
                return cx.wants_image();
            }
            let bound = |b: Option<f32>| b.map_or("no constant".to_owned(), |b| b.to_string());
            let refusal = Refusal::new(
                &CLIP,
                format!("a Clip from {} to {}", bound(min), bound(max)),
            );
            Err(match (min, max) {
                (Some(0.0), None) => refusal.fix("use ReLU"),
                _ => refusal.fix("use ReLU6, or shift the range to start at 0 around it"),
            }
            .into())
        }
        Activation::Swish => refused(
            "SiLU as one op",
            Some("write x * sigmoid(x): Sigmoid and Mul both run on the DLA"),
        ),
        Activation::HardSwish => refused(
            "HardSwish",
            Some("write x * clip(x + 3, 0, 6) * (1/6): Add, Clip and Mul run on the DLA"),
        ),
        Activation::HardSigmoid => refused(
            "HardSigmoid",
            Some(
                "with slope 1/6 write clip(x + 3, 0, 6) * (1/6): Add, Clip and Mul run on the DLA",
            ),
        ),
        Activation::Gelu => refused(
            "GELU",
            Some("approximate it by x * sigmoid(1.702 x), and check the accuracy"),
        ),
        Activation::Elu => refused("ELU", retrain),
        Activation::Selu => refused("SELU", retrain),
        Activation::Celu => refused("CELU", retrain),
        Activation::Softplus => refused("Softplus", retrain),
        Activation::Softsign => refused("Softsign", retrain),
        Activation::Mish => refused("Mish", retrain),
        Activation::ThresholdedRelu => refused("ThresholdedRelu", retrain),
    }
}

pub(crate) fn prelu(cx: &Cx<'_>, const_slope: bool) -> Check {
    if !const_slope {
        return Err(Refusal::new(&SLOPE, "a slope computed at run time").into());
    }
    if cx.tensorrt < TensorRt::V8_4 {
        return Err(Refusal::new(&PRELU_VERSION, "a PReLU")
            .fix("train with ReLU instead, or use TensorRT 8.4 or later")
            .into());
    }
    cx.wants_image()
}

pub(crate) fn binary(cx: &Cx<'_>, op: BinaryOp, const_operand: bool) -> Check {
    match op {
        BinaryOp::Sub if cx.tensorrt < TensorRt::V8_2 => {
            return Err(Refusal::new(&SUB_VERSION, "a Sub")
                .fix("multiply by -1 and add, or use TensorRT 8.2 or later")
                .into());
        }
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Max | BinaryOp::Min => {}
        BinaryOp::Div | BinaryOp::Pow if cx.tensorrt >= TensorRt::V11_4 => {}
        BinaryOp::Div | BinaryOp::Pow if cx.tensorrt >= TensorRt::V10_3 => {
            return Err(unknown(
                "NVIDIA's matrix has quotient and power on the DLA since 8.6.12, the header of \
                 TensorRT 10 has not",
            ));
        }
        _ => {
            let refusal = Refusal::new(&ELEMENTWISE, a(&format!("{op:?}")));
            return Err(match op {
                BinaryOp::Div if const_operand => refusal.fix("multiply by the reciprocal"),
                BinaryOp::Pow if const_operand => {
                    refusal.fix("multiply the tensor by itself where the exponent is 2 or 3")
                }
                BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => {
                    refusal.fix("NVIDIA's op_reconstruction has a recipe of DLA layers")
                }
                _ => refusal,
            }
            .into());
        }
    }
    cx.wants_image()?;
    operands(cx, const_operand)
}

/// Same shape, or a constant that makes a Scale layer: uniform, per channel or per element.
fn operands(cx: &Cx<'_>, const_operand: bool) -> Check {
    if let [one, other, ..] = cx.op.inputs[..]
        && cx.dims(one)? != cx.dims(other)?
    {
        return Err(unknown(
            "no document says which broadcasts of two activations the DLA takes",
        ));
    }
    if !const_operand {
        return Ok(());
    }
    let image = cx.input()?;
    let Some(constant) = cx.op.weights.first() else {
        return Err(unknown("the shape of the constant operand is not known"));
    };
    if !scale_like(cx.dims(*constant)?, image) {
        return Err(unknown(
            "documented for constants that are uniform, per channel or per element",
        ));
    }
    if cx.config.gpu_fallback {
        Ok(())
    } else {
        Err(unknown(
            "TensorRT may need GPU fallback allowed to fold the constant into the DLA layer",
        ))
    }
}

fn scale_like(constant: &[u64], image: &[u64]) -> bool {
    let ones = |dims: &[u64]| dims.iter().all(|d| *d == 1);
    if ones(constant) {
        return true;
    }
    if constant.len() > image.len() {
        return false;
    }
    let aligned = &image[image.len() - constant.len()..];
    let channel = constant.len().checked_sub(3);
    let per_channel = channel.is_some_and(|c| {
        ones(&constant[..c]) && constant[c] == aligned[c] && ones(&constant[c + 1..])
    });
    // Per element of one image: the batch dim may be missing or 1.
    let per_element =
        channel.is_some_and(|c| ones(&constant[..c]) && constant[c..] == aligned[c..]);
    per_channel || per_element
}

pub(crate) fn comparison(cx: &Cx<'_>, op: BinaryOp, const_operand: bool) -> Check {
    let since_10 = cx.tensorrt >= TensorRt::V10_3;
    match op {
        BinaryOp::Equal => {}
        BinaryOp::Greater | BinaryOp::Less if since_10 => {}
        _ => {
            let refusal = Refusal::new(&COMPARE, a(&format!("{op:?}")));
            return Err(match op {
                BinaryOp::GreaterOrEqual | BinaryOp::LessOrEqual if since_10 => {
                    refusal.fix("use Greater or Less with the bound moved by one step")
                }
                _ => refusal,
            }
            .into());
        }
    }
    if cx.xavier {
        return Err(unknown("comparisons are documented for Orin only"));
    }
    if !cx.config.precision.int8 {
        return Err(Refusal::new(&COMPARE_PRECISION, "a comparison in FP16")
            .fix("choose INT8")
            .into());
    }
    let cast = |t: &crate::model::TensorId| {
        let t = cx.model.tensor(*t);
        let casts = t.consumers.iter();
        !t.is_output
            && casts
                .map(|c| &cx.model.op(*c).kind)
                .all(|k| matches!(k, OpKind::Cast))
    };
    if !cx.op.outputs.iter().all(cast) {
        return Err(Refusal::new(
            &COMPARE_OUTPUT,
            "a comparison whose result is used as it is",
        )
        .fix("cast it to float before any other use")
        .into());
    }
    cx.wants_image()?;
    operands(cx, const_operand)
}

pub(crate) fn unary(cx: &Cx<'_>, op: UnaryOp) -> Check {
    match op {
        UnaryOp::Abs if cx.tensorrt < TensorRt::V8_4 => {
            return Err(Refusal::new(&UNARY_VERSION, "an Abs")
                .fix("use TensorRT 8.4 or later")
                .into());
        }
        UnaryOp::Abs => return cx.wants_image(),
        UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Atan | UnaryOp::Atanh
            if !cx.xavier && cx.tensorrt >= TensorRt::V10_3 =>
        {
            return Err(unknown(
                "NVIDIA's matrix has it on the DLA since 8.6.12, the header of TensorRT 10 and 11 \
                 has not",
            ));
        }
        _ => {}
    }
    let refusal = Refusal::new(&UNARY, a(&format!("{op:?}")));
    Err(match op {
        UnaryOp::Neg => refusal.fix("multiply by -1"),
        UnaryOp::Not => refusal.fix("NVIDIA's op_reconstruction has a recipe of DLA layers"),
        _ => refusal,
    }
    .into())
}

pub(crate) fn norm(cx: &Cx<'_>, kind: NormKind) -> Check {
    let name = match kind {
        NormKind::Batch => {
            cx.wants_image()?;
            // The DLA's channel is third from the end, batch normalisation's is the second.
            return match cx.input()?.len() {
                4 => Ok(()),
                rank => Err(unknown(format!(
                    "documented for NCHW tensors; this one has {rank} dims"
                ))),
            };
        }
        NormKind::Instance => "InstanceNorm",
        NormKind::Group => "GroupNorm",
        NormKind::Layer => "LayerNorm",
        NormKind::Lp => "LpNormalization",
        NormKind::MeanVariance => "MeanVarianceNormalization",
        NormKind::Rms => "RMSNorm",
    };
    let refusal = Refusal::new(&NORM, name);
    Err(match kind {
        NormKind::Lp => refusal,
        _ => refusal.fix(
            "train with BatchNorm, which folds into the convolution (NVIDIA's DLA tutorial: 306 \
             to 650 inferences/s)",
        ),
    }
    .into())
}

pub(crate) fn lrn(size: u64) -> Check {
    if matches!(size, 3 | 5 | 7 | 9) {
        return Ok(());
    }
    Err(Refusal::new(&LRN, format!("a window of {size}")).into())
}
