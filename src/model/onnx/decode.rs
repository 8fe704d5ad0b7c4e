//! ONNX op -> [`OpKind`] and [`OpCost`].

use super::ops::{
    Call, Fact, Family, OnnxOp as O, Window, axis, einsum_sizes, elements, kernel_of,
};
use crate::model::{
    Activation, BinaryOp, Conv, CoordinateMode, NearestMode, NormKind, OpCost, OpKind, Pool,
    PoolKind, ReduceOp, Resize, ResizeMode, ShuffleKind, UNKNOWN_AXIS, UnaryOp,
};

/// An op with what is known of its surroundings.
pub(super) struct Site<'a> {
    pub call: Call<'a>,
    /// Which inputs are constants.
    pub constant: Vec<bool>,
    /// `None` for an omitted output.
    pub outputs: Vec<Option<&'a Fact>>,
}

/// An attribute that cannot be: its name and what is wrong with it.
pub(super) struct Bad(pub &'static str, pub String);

impl Site<'_> {
    fn is_const(&self, i: usize) -> bool {
        self.constant.get(i).copied().unwrap_or(false)
    }

    fn output(&self) -> Option<&Fact> {
        self.outputs.iter().flatten().next().copied()
    }

    fn rank(&self) -> Option<usize> {
        let input = self.call.inputs.iter().flatten().find_map(|f| f.rank());
        input.or_else(|| self.output()?.rank())
    }

    /// A non-negative axis.
    fn axis(&self, value: i64) -> u64 {
        match self
            .call
            .input(0)
            .and_then(Fact::rank)
            .or_else(|| self.rank())
        {
            Some(rank) => axis(value, rank).map_or(UNKNOWN_AXIS, |a| a as u64),
            None => u64::try_from(value).unwrap_or(UNKNOWN_AXIS),
        }
    }

    fn binary(&self, op: BinaryOp) -> OpKind {
        OpKind::Binary {
            op,
            const_operand: self.constant.iter().any(|c| *c),
        }
    }

    fn float(&self, name: &str, default: f32) -> f32 {
        self.call.attrs.float(name).unwrap_or(default)
    }

    fn bound(&self, name: &str, input: usize) -> Option<f32> {
        if self.call.opset < 11 {
            return self.call.attrs.float(name).filter(|v| v.is_finite());
        }
        let data = self.call.input(input)?.data.as_ref()?;
        data.first_float()
            .map(|v| v as f32)
            .filter(|v| v.is_finite())
    }

    /// What the op computes.
    pub fn kind(&self) -> Result<OpKind, Bad> {
        let attrs = self.call.attrs;
        let activation = |a| Ok(OpKind::Activation(a));
        let unary = |u| Ok(OpKind::Unary(u));
        let norm = |n| Ok(OpKind::Norm(n));
        let shuffle = |s| Ok(OpKind::Shuffle(s));
        match self.call.op {
            O::Conv | O::ConvInteger | O::QLinearConv => self.conv(self.call.weight(), false),
            O::ConvTranspose => self.conv(1, true),
            O::MaxPool => self.pool(PoolKind::Max),
            O::AveragePool => self.pool(PoolKind::Average),
            O::LpPool => self.pool(PoolKind::Lp),
            O::GlobalAveragePool => Ok(OpKind::GlobalPool(PoolKind::Average)),
            O::GlobalMaxPool => Ok(OpKind::GlobalPool(PoolKind::Max)),
            O::GlobalLpPool => Ok(OpKind::GlobalPool(PoolKind::Lp)),
            O::Gemm | O::MatMul | O::MatMulInteger | O::QLinearMatMul => Ok(self.matmul()),
            O::Einsum => Ok(OpKind::MatMul),
            O::Relu => activation(Activation::Relu),
            O::LeakyRelu => activation(Activation::LeakyRelu {
                slope: self.float("alpha", 0.01),
            }),
            O::Sigmoid => activation(Activation::Sigmoid),
            O::Tanh => activation(Activation::Tanh),
            O::Clip => activation(Activation::Clip {
                min: self.bound("min", 1),
                max: self.bound("max", 2),
            }),
            O::Elu => activation(Activation::Elu),
            O::Selu => activation(Activation::Selu),
            O::Celu => activation(Activation::Celu),
            O::Gelu => activation(Activation::Gelu),
            O::HardSwish => activation(Activation::HardSwish),
            O::HardSigmoid => activation(Activation::HardSigmoid),
            O::Softplus => activation(Activation::Softplus),
            O::Softsign => activation(Activation::Softsign),
            O::Mish => activation(Activation::Mish),
            O::Swish => activation(Activation::Swish),
            O::ThresholdedRelu => activation(Activation::ThresholdedRelu),
            O::PRelu => Ok(OpKind::PRelu {
                const_slope: self.is_const(1),
            }),
            O::Add | O::Sum => Ok(self.binary(BinaryOp::Add)),
            O::Sub => Ok(self.binary(BinaryOp::Sub)),
            O::Mul => Ok(self.binary(BinaryOp::Mul)),
            O::Div => Ok(self.binary(BinaryOp::Div)),
            O::Pow => Ok(self.binary(BinaryOp::Pow)),
            O::Max => Ok(self.binary(BinaryOp::Max)),
            O::Min => Ok(self.binary(BinaryOp::Min)),
            O::Mod => Ok(self.binary(BinaryOp::Mod)),
            O::Equal => Ok(self.binary(BinaryOp::Equal)),
            O::Greater => Ok(self.binary(BinaryOp::Greater)),
            O::GreaterOrEqual => Ok(self.binary(BinaryOp::GreaterOrEqual)),
            O::Less => Ok(self.binary(BinaryOp::Less)),
            O::LessOrEqual => Ok(self.binary(BinaryOp::LessOrEqual)),
            O::And | O::BitwiseAnd => Ok(self.binary(BinaryOp::And)),
            O::Or | O::BitwiseOr => Ok(self.binary(BinaryOp::Or)),
            O::Xor | O::BitwiseXor => Ok(self.binary(BinaryOp::Xor)),
            O::BitShift => Ok(self.binary(BinaryOp::BitShift)),
            O::Abs => unary(UnaryOp::Abs),
            O::Neg => unary(UnaryOp::Neg),
            O::Exp => unary(UnaryOp::Exp),
            O::Log => unary(UnaryOp::Log),
            O::Sqrt => unary(UnaryOp::Sqrt),
            O::Reciprocal => unary(UnaryOp::Reciprocal),
            O::Erf => unary(UnaryOp::Erf),
            O::Floor => unary(UnaryOp::Floor),
            O::Ceil => unary(UnaryOp::Ceil),
            O::Round => unary(UnaryOp::Round),
            O::Sign => unary(UnaryOp::Sign),
            O::Not | O::BitwiseNot => unary(UnaryOp::Not),
            O::Sin => unary(UnaryOp::Sin),
            O::Cos => unary(UnaryOp::Cos),
            O::Tan => unary(UnaryOp::Tan),
            O::Asin => unary(UnaryOp::Asin),
            O::Acos => unary(UnaryOp::Acos),
            O::Atan => unary(UnaryOp::Atan),
            O::Sinh => unary(UnaryOp::Sinh),
            O::Cosh => unary(UnaryOp::Cosh),
            O::Asinh => unary(UnaryOp::Asinh),
            O::Acosh => unary(UnaryOp::Acosh),
            O::Atanh => unary(UnaryOp::Atanh),
            O::IsNaN => unary(UnaryOp::IsNaN),
            O::IsInf => unary(UnaryOp::IsInf),
            O::BatchNormalization => norm(NormKind::Batch),
            O::InstanceNormalization => norm(NormKind::Instance),
            O::GroupNormalization => norm(NormKind::Group),
            O::LayerNormalization => norm(NormKind::Layer),
            O::LpNormalization => norm(NormKind::Lp),
            O::MeanVarianceNormalization => norm(NormKind::MeanVariance),
            O::RMSNormalization => norm(NormKind::Rms),
            O::LRN => Ok(OpKind::Lrn {
                size: self.positive("size", 1)?,
            }),
            O::Concat => Ok(OpKind::Concat {
                axis: self.axis(attrs.int_or("axis", 1)),
            }),
            O::Resize | O::Upsample => Ok(OpKind::Resize(self.resize())),
            O::Softmax | O::LogSoftmax => {
                let default = if self.call.opset < 13 { 1 } else { -1 };
                Ok(OpKind::Softmax {
                    axis: self.axis(attrs.int_or("axis", default)),
                    log: self.call.op == O::LogSoftmax,
                })
            }
            O::Reshape => shuffle(ShuffleKind::Reshape),
            O::Flatten => shuffle(ShuffleKind::Flatten),
            O::Squeeze => shuffle(ShuffleKind::Squeeze),
            O::Unsqueeze => shuffle(ShuffleKind::Unsqueeze),
            O::Transpose => shuffle(ShuffleKind::Transpose(self.permutation())),
            O::DepthToSpace => shuffle(ShuffleKind::DepthToSpace),
            O::SpaceToDepth => shuffle(ShuffleKind::SpaceToDepth),
            O::Slice => Ok(self.slice()),
            O::Split => Ok(OpKind::Split {
                axis: self.axis(attrs.int_or("axis", 0)),
            }),
            O::ReduceMean => Ok(self.reduce(ReduceOp::Mean)),
            O::ReduceSum => Ok(self.reduce(ReduceOp::Sum)),
            O::ReduceMax => Ok(self.reduce(ReduceOp::Max)),
            O::ReduceMin => Ok(self.reduce(ReduceOp::Min)),
            O::ReduceProd => Ok(self.reduce(ReduceOp::Prod)),
            O::ReduceL1 => Ok(self.reduce(ReduceOp::L1)),
            O::ReduceL2 => Ok(self.reduce(ReduceOp::L2)),
            O::ReduceLogSum => Ok(self.reduce(ReduceOp::LogSum)),
            O::ReduceLogSumExp => Ok(self.reduce(ReduceOp::LogSumExp)),
            O::ReduceSumSquare => Ok(self.reduce(ReduceOp::SumSquare)),
            O::Pad => Ok(OpKind::Pad),
            O::Gather | O::GatherElements | O::GatherND => Ok(OpKind::Gather),
            O::Scatter | O::ScatterElements | O::ScatterND => Ok(OpKind::Scatter),
            O::Cast | O::CastLike => Ok(OpKind::Cast),
            O::QuantizeLinear => Ok(OpKind::Quantize),
            O::DequantizeLinear => Ok(OpKind::Dequantize),
            O::Where => Ok(OpKind::Where),
            O::Expand | O::Tile => Ok(OpKind::Expand),
            O::ArgMax | O::ArgMin | O::TopK => Ok(OpKind::TopK),
            O::NonMaxSuppression | O::NonZero | O::Compress | O::Unique => {
                Ok(OpKind::DataDependent)
            }
            O::LSTM | O::GRU | O::RNN => Ok(OpKind::Recurrent),
            O::Loop | O::If | O::Scan => Ok(OpKind::ControlFlow),
            O::Identity | O::Dropout => Ok(OpKind::Identity),
            _ => Ok(OpKind::Other),
        }
    }

    fn positive(&self, name: &'static str, default: i64) -> Result<u64, Bad> {
        let value = self.call.attrs.int_or(name, default);
        match u64::try_from(value) {
            Ok(v) if v > 0 => Ok(v),
            _ => Err(Bad(name, format!("is {value}; it must be above 0"))),
        }
    }

    /// Lists that must be positive, or at least not negative.
    fn check_window(&self) -> Result<(), Bad> {
        for (name, least) in [
            ("kernel_shape", 1),
            ("strides", 1),
            ("dilations", 1),
            ("pads", 0),
            ("output_padding", 0),
        ] {
            let list = self.call.attrs.ints(name).unwrap_or_default();
            if list.iter().any(|v| *v < least) {
                let shown = list.get(..list.len().min(8)).unwrap_or_default();
                return Err(Bad(
                    name,
                    format!("is {shown:?}; no value may be below {least}"),
                ));
            }
        }
        Ok(())
    }

    fn spatial(&self, x: usize) -> &[Option<u64>] {
        let dims = self.call.input(x).and_then(|f| f.dims.as_deref());
        dims.and_then(|d| d.get(2..)).unwrap_or_default()
    }

    fn conv(&self, weight: usize, transposed: bool) -> Result<OpKind, Bad> {
        self.check_window()?;
        let groups = self.positive("group", 1)?;
        let w = self.call.input(weight);
        let Some(window) = Window::read(self.call.attrs, kernel_of(w)) else {
            if self
                .call
                .attrs
                .ints("kernel_shape")
                .is_none_or(<[i64]>::is_empty)
                && kernel_of(w).is_none()
            {
                // Weights of unknown shape: nothing more can be said.
                return Ok(OpKind::Other);
            }
            return Err(Bad(
                "kernel_shape",
                "and the other window attributes have different lengths or absurd values".into(),
            ));
        };
        let per_group = |c: Option<u64>| c.and_then(|c| c.checked_mul(groups));
        let (w0, w1) = (w.and_then(|w| w.dim(0)), w.and_then(|w| w.dim(1)));
        let x_channels = self.call.input(0).and_then(|x| x.dim(1));
        let out_channels = self.output().and_then(|o| o.dim(1));
        let (input, output) = if transposed {
            (w0.or(x_channels), per_group(w1).or(out_channels))
        } else {
            (per_group(w1).or(x_channels), w0.or(out_channels))
        };
        let (Some(in_channels), Some(out_channels)) = (input, output) else {
            return Ok(OpKind::Other);
        };
        let n = window.kernel.len();
        let extra = self.call.attrs.ints("output_padding").unwrap_or_default();
        let extra = if transposed {
            (0..n)
                .map(|i| {
                    extra
                        .get(i)
                        .and_then(|v| u64::try_from(*v).ok())
                        .unwrap_or(0)
                })
                .collect()
        } else {
            Vec::new()
        };
        let conv = Conv {
            pads: window.pads(self.spatial(0)),
            kernel: window.kernel,
            stride: window.stride,
            dilation: window.dilation,
            groups,
            in_channels,
            out_channels,
            output_padding: extra,
            const_weights: self.is_const(weight),
        };
        Ok(if transposed {
            OpKind::Deconv(conv)
        } else {
            OpKind::Conv(conv)
        })
    }

    fn pool(&self, kind: PoolKind) -> Result<OpKind, Bad> {
        self.check_window()?;
        let Some(window) = Window::read(self.call.attrs, None) else {
            return Err(Bad(
                "kernel_shape",
                "is missing, or the other window attributes have different lengths".into(),
            ));
        };
        Ok(OpKind::Pool(Pool {
            kind,
            pads: window.pads(self.spatial(0)),
            ceil_mode: window.ceil,
            window: window.kernel,
            stride: window.stride,
            dilation: window.dilation,
            count_include_pad: self.call.attrs.flag("count_include_pad"),
        }))
    }

    fn matmul(&self) -> OpKind {
        let second = if self.call.op == O::QLinearMatMul {
            3
        } else {
            1
        };
        let b = self.call.input(second);
        let transposed = self.call.op == O::Gemm && self.call.attrs.flag("transB");
        let dims = b.and_then(Fact::shape);
        match dims.as_deref() {
            Some([.., k, n]) if self.is_const(second) && !self.is_const(0) => {
                let (k, n) = if transposed { (n, k) } else { (k, n) };
                OpKind::FullyConnected {
                    in_features: *k,
                    out_features: *n,
                    transposed,
                }
            }
            _ => OpKind::MatMul,
        }
    }

    fn resize(&self) -> Resize {
        let attrs = self.call.attrs;
        let upsample = self.call.op == O::Upsample;
        let mode = match attrs.text("mode") {
            Some("linear" | "bilinear") => ResizeMode::Linear,
            Some("cubic") => ResizeMode::Cubic,
            _ => ResizeMode::Nearest,
        };
        let coordinates = match attrs.text("coordinate_transformation_mode") {
            // Before opset 11 there was only this one.
            None if upsample || self.call.opset < 11 => CoordinateMode::Asymmetric,
            None | Some("half_pixel") => CoordinateMode::HalfPixel,
            Some("pytorch_half_pixel") => CoordinateMode::PytorchHalfPixel,
            Some("align_corners") => CoordinateMode::AlignCorners,
            Some("asymmetric") => CoordinateMode::Asymmetric,
            Some("tf_crop_and_resize") => CoordinateMode::TfCropAndResize,
            Some(_) => CoordinateMode::Other,
        };
        let nearest = match attrs.text("nearest_mode") {
            None if upsample || self.call.opset < 11 => NearestMode::Floor,
            Some("round_prefer_ceil") => NearestMode::RoundPreferCeil,
            Some("floor") => NearestMode::Floor,
            Some("ceil") => NearestMode::Ceil,
            _ => NearestMode::RoundPreferFloor,
        };
        let by_size = self.call.input(3).is_some();
        let given = if by_size { None } else { self.call.scales() };
        let input = self.call.input(0).and_then(Fact::shape);
        let output = self.output().and_then(Fact::shape);
        let worked_out = || {
            let (i, o) = input.as_ref().zip(output.as_ref())?;
            let ratio = |(i, o): (&u64, &u64)| if *i == 0 { 1.0 } else { *o as f32 / *i as f32 };
            (i.len() == o.len()).then(|| i.iter().zip(o).map(ratio).collect())
        };
        let rank = self.rank();
        let given = given.filter(|s| Some(s.len()) == rank && s.iter().all(|v| v.is_finite()));
        let scales = match given {
            Some(s) => s.into_iter().map(|v| v as f32).collect(),
            None => worked_out().unwrap_or_default(),
        };
        Resize {
            mode,
            coordinates,
            nearest,
            scales,
            by_size,
        }
    }

    fn permutation(&self) -> Vec<u64> {
        match self.call.attrs.ints("perm") {
            Some(perm) if !perm.is_empty() => {
                perm.iter().filter_map(|p| u64::try_from(*p).ok()).collect()
            }
            _ => (0..self.rank().unwrap_or(0) as u64).rev().collect(),
        }
    }

    fn slice(&self) -> OpKind {
        let Some(params) = self.call.slice_params() else {
            // Shape arithmetic over unknown dims is still fixed once the input dims are.
            let fixed = (1..self.call.inputs.len())
                .all(|i| self.is_const(i) || self.call.input(i).is_none());
            return OpKind::Slice {
                axes: Vec::new(),
                steps: Vec::new(),
                static_params: fixed,
            };
        };
        OpKind::Slice {
            axes: params.iter().map(|(_, _, a, _)| self.axis(*a)).collect(),
            steps: params.iter().map(|(.., s)| *s).collect(),
            static_params: true,
        }
    }

    fn reduce(&self, op: ReduceOp) -> OpKind {
        let axes = self.call.axes(1).flatten().unwrap_or_default();
        OpKind::Reduce {
            op,
            axes: axes.into_iter().map(|a| self.axis(a)).collect(),
            keep_dims: self.call.attrs.int_or("keepdims", 1) != 0,
        }
    }

    /// Whether constant operand `i` is data that the op streams, not a shape, scale or axis list.
    fn is_data_operand(&self, i: usize) -> bool {
        let one = matches!(self.call.op.family(), Family::Reduce | Family::Layout)
            && !matches!(self.call.op, O::Concat)
            || matches!(
                self.call.op,
                O::Split | O::Resize | O::Upsample | O::Clip | O::TopK | O::Dropout | O::CumSum
            )
            || self.call.op == O::NonMaxSuppression;
        !one || i == 0
    }

    /// Work and traffic, if all shapes are known and the counts fit.
    pub fn cost(&self, kind: &OpKind) -> Option<OpCost> {
        let count = |f: &Fact| elements(f.dims.as_ref()?);
        let (mut in_elems, mut weight_elems, mut out_elems) = (0u64, 0u64, 0u64);
        for (i, fact) in self.call.inputs.iter().enumerate() {
            let Some(fact) = fact else { continue };
            if !self.is_const(i) {
                in_elems = in_elems.checked_add(count(fact)?)?;
            } else if self.is_data_operand(i) {
                weight_elems = weight_elems.checked_add(count(fact)?)?;
            }
        }
        for fact in self.outputs.iter().flatten() {
            out_elems = out_elems.checked_add(count(fact)?)?;
        }
        Some(OpCost {
            macs: self.macs(kind)?,
            weight_elems,
            in_elems,
            out_elems,
        })
    }

    fn macs(&self, kind: &OpKind) -> Option<u64> {
        let output = || elements(self.output()?.dims.as_ref()?);
        let product = |v: &[u64]| v.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
        Some(match kind {
            // K x P x Q outputs, each C/groups x R x S.
            OpKind::Conv(c) => output()?
                .checked_mul(c.in_channels / c.groups)?
                .checked_mul(product(&c.kernel)?)?,
            // Each input element meets K/groups x R x S weights.
            OpKind::Deconv(c) => elements(self.call.input(0)?.dims.as_ref()?)?
                .checked_mul(c.out_channels / c.groups)?
                .checked_mul(product(&c.kernel)?)?,
            OpKind::FullyConnected { in_features, .. } => output()?.checked_mul(*in_features)?,
            OpKind::MatMul if self.call.op == O::Einsum => einsum_sizes(&self.call)?.work?,
            OpKind::MatMul => {
                let a = self.call.input(0)?.shape()?;
                let row = self.call.op == O::Gemm && self.call.attrs.flag("transA");
                let k = if row { a.first() } else { a.last() };
                output()?.checked_mul(*k?)?
            }
            OpKind::Recurrent => self.recurrent_macs()?,
            OpKind::ControlFlow | OpKind::Other => self.call.macs(self.output())?,
            _ => 0,
        })
    }

    /// Every step multiplies the input by W and the state by R; the weights hold all gates.
    fn recurrent_macs(&self) -> Option<u64> {
        let x = self.call.input(0)?.shape()?;
        let [first, second, _] = x[..] else {
            return None;
        };
        let weights = elements(self.call.input(1)?.dims.as_ref()?)?
            .checked_add(elements(self.call.input(2)?.dims.as_ref()?)?)?;
        first.checked_mul(second)?.checked_mul(weights)
    }
}
