//! What an op computes, in the terms the DLA rules and the cost models ask about.

use serde::Serialize;

/// An axis counted from the end of a tensor whose rank no source knows.
pub const UNKNOWN_AXIS: u64 = u64::MAX;

/// A 2-D (or 1-D, 3-D) convolution or deconvolution. Spatial lists run outermost first (H, W).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conv {
    /// Kernel size per spatial dim.
    pub kernel: Vec<u64>,
    /// Stride per spatial dim.
    pub stride: Vec<u64>,
    /// Padding before each spatial dim, then after each (ONNX order: begins, ends).
    pub pads: Vec<u64>,
    /// Dilation per spatial dim.
    pub dilation: Vec<u64>,
    /// Groups.
    pub groups: u64,
    /// Input channels (C), all groups together.
    pub in_channels: u64,
    /// Output channels (K), all groups together.
    pub out_channels: u64,
    /// Deconvolution only: extra output rows and columns.
    pub output_padding: Vec<u64>,
    /// Whether the weights are constants (they may come from another op).
    pub const_weights: bool,
}

/// How a pooling window reduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PoolKind {
    /// Maximum.
    Max,
    /// Average.
    Average,
    /// Lp norm.
    Lp,
}

/// A pooling op with a window (global pooling is [`OpKind::GlobalPool`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pool {
    /// Max, average or Lp.
    pub kind: PoolKind,
    /// Window per spatial dim.
    pub window: Vec<u64>,
    /// Stride per spatial dim.
    pub stride: Vec<u64>,
    /// ONNX order: begins, ends.
    pub pads: Vec<u64>,
    /// Dilation per spatial dim.
    pub dilation: Vec<u64>,
    /// Average over padded positions too (PyTorch `count_include_pad`).
    pub count_include_pad: bool,
    /// Round output size up.
    pub ceil_mode: bool,
}

/// Activation functions TensorRT or ONNX name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x if x > 0 else slope * x.
    LeakyRelu {
        /// Slope for negative inputs.
        slope: f32,
    },
    /// Logistic function.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// Clamp; a missing bound is infinite, NaN-free.
    Clip {
        /// Lower bound, if constant.
        min: Option<f32>,
        /// Upper bound, if constant.
        max: Option<f32>,
    },
    /// Exponential linear unit.
    Elu,
    /// Scaled ELU.
    Selu,
    /// Continuously differentiable ELU.
    Celu,
    /// Gaussian error linear unit.
    Gelu,
    /// x * hard_sigmoid(x).
    HardSwish,
    /// Piecewise linear sigmoid.
    HardSigmoid,
    /// log(1 + exp x).
    Softplus,
    /// x / (1 + |x|).
    Softsign,
    /// x * tanh(softplus(x)).
    Mish,
    /// x * sigmoid(x) as one ONNX op.
    Swish,
    /// x if x > alpha else 0.
    ThresholdedRelu,
}

/// Element-wise binary arithmetic, comparison and logic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is the ONNX op of its name")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    Mod,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    And,
    Or,
    Xor,
    BitShift,
}

impl BinaryOp {
    /// Yields booleans.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual
        )
    }

    /// Works on booleans or bits.
    pub fn is_logic(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Xor | Self::BitShift)
    }
}

/// Element-wise unary arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is the ONNX op of its name")]
pub enum UnaryOp {
    Abs,
    Neg,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Erf,
    Floor,
    Ceil,
    Round,
    Sign,
    Not,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    IsNaN,
    IsInf,
}

/// Normalisations with statistics or learned scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum NormKind {
    /// Batch normalisation with fixed statistics: a per-channel scale and shift.
    Batch,
    /// Instance normalisation.
    Instance,
    /// Group normalisation.
    Group,
    /// Layer normalisation.
    Layer,
    /// Lp normalisation.
    Lp,
    /// Mean-variance normalisation.
    MeanVariance,
    /// RMS normalisation.
    Rms,
}

/// Resize interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ResizeMode {
    /// Nearest neighbour.
    Nearest,
    /// Bilinear (ONNX `linear`).
    Linear,
    /// Bicubic.
    Cubic,
}

/// ONNX `coordinate_transformation_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is the ONNX value of its name")]
pub enum CoordinateMode {
    HalfPixel,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfCropAndResize,
    Other,
}

/// ONNX `nearest_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is the ONNX value of its name")]
pub enum NearestMode {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// A Resize or Upsample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resize {
    /// Interpolation.
    pub mode: ResizeMode,
    /// Coordinate transformation.
    pub coordinates: CoordinateMode,
    /// Rounding for nearest.
    pub nearest: NearestMode,
    /// Scale per dim: as given, or worked out from the shapes; empty if unknown.
    pub scales: Vec<f32>,
    /// The file gives an output size instead of scales (TensorRT's `setOutputDimensions`).
    pub by_size: bool,
}

/// Ops that move or reinterpret data without arithmetic; TensorRT's IShuffleLayer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ShuffleKind {
    /// Reshape.
    Reshape,
    /// Flatten.
    Flatten,
    /// Squeeze.
    Squeeze,
    /// Unsqueeze.
    Unsqueeze,
    /// Transpose with its permutation.
    Transpose(Vec<u64>),
    /// Depth to space.
    DepthToSpace,
    /// Space to depth.
    SpaceToDepth,
}

/// What a Reduce op computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is the ONNX Reduce op of its name")]
pub enum ReduceOp {
    Mean,
    Sum,
    Max,
    Min,
    Prod,
    L1,
    L2,
    LogSum,
    LogSumExp,
    SumSquare,
}

/// What an op computes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum OpKind {
    /// Convolution.
    Conv(Conv),
    /// Transposed convolution.
    Deconv(Conv),
    /// Windowed pooling.
    Pool(Pool),
    /// Pooling over all spatial positions.
    GlobalPool(PoolKind),
    /// Gemm or MatMul with a constant second operand.
    FullyConnected {
        /// Length of the summed dim (K of M x K times K x N).
        in_features: u64,
        /// Output features (N).
        out_features: u64,
        /// The weight is stored transposed (Gemm `transB`).
        transposed: bool,
    },
    /// Matrix product of two activations (Einsum included).
    MatMul,
    /// Activation function.
    Activation(Activation),
    /// Parametric ReLU.
    PRelu {
        /// The slope is a constant.
        const_slope: bool,
    },
    /// Binary element-wise.
    Binary {
        /// Which operation.
        op: BinaryOp,
        /// One operand is a constant tensor of the file.
        const_operand: bool,
    },
    /// Unary element-wise.
    Unary(UnaryOp),
    /// Normalisation.
    Norm(NormKind),
    /// Local response normalisation.
    Lrn {
        /// Window size across channels.
        size: u64,
    },
    /// Concatenation.
    Concat {
        /// Axis, non-negative ([`UNKNOWN_AXIS`] if the rank is unknown).
        axis: u64,
    },
    /// Resize or Upsample.
    Resize(Resize),
    /// Softmax or LogSoftmax.
    Softmax {
        /// Axis, non-negative ([`UNKNOWN_AXIS`] if the rank is unknown).
        axis: u64,
        /// LogSoftmax.
        log: bool,
    },
    /// Reshape and kin.
    Shuffle(ShuffleKind),
    /// Slice.
    Slice {
        /// Sliced axes, non-negative; empty if not constant ([`UNKNOWN_AXIS`] if the rank is unknown).
        axes: Vec<u64>,
        /// Step per axis.
        steps: Vec<i64>,
        /// Starts and ends are constants.
        static_params: bool,
    },
    /// Split.
    Split {
        /// Axis, non-negative ([`UNKNOWN_AXIS`] if the rank is unknown).
        axis: u64,
    },
    /// Reduction.
    Reduce {
        /// Which reduction.
        op: ReduceOp,
        /// Axes, non-negative; empty means all ([`UNKNOWN_AXIS`] if the rank is unknown).
        axes: Vec<u64>,
        /// Reduced dims stay as size 1.
        keep_dims: bool,
    },
    /// Pad.
    Pad,
    /// Gather, GatherElements, GatherND.
    Gather,
    /// Scatter and kin.
    Scatter,
    /// Type conversion.
    Cast,
    /// Quantise to INT8.
    Quantize,
    /// Dequantise from INT8.
    Dequantize,
    /// Select by condition.
    Where,
    /// Expand or Tile.
    Expand,
    /// Arg-max, arg-min, top-k.
    TopK,
    /// Non-maximum suppression, non-zero and others whose output size depends on data.
    DataDependent,
    /// LSTM, GRU, RNN.
    Recurrent,
    /// Loop, If, Scan.
    ControlFlow,
    /// Copies its input (an Identity or Dropout that could not be folded).
    Identity,
    /// Anything else; the op type says what.
    Other,
}

impl OpKind {
    /// One output element from the input elements at the same place, in the input's type: the
    /// output can be written where the input was.
    pub fn is_elementwise(&self) -> bool {
        matches!(
            self,
            Self::Activation(_)
                | Self::PRelu { .. }
                | Self::Unary(_)
                | Self::Binary { .. }
                | Self::Norm(NormKind::Batch)
        )
    }

    /// TensorRT's layer type, as its build log prints it before the layer name.
    pub fn tensorrt_layer(&self) -> &'static str {
        match self {
            Self::Conv(_) => "CONVOLUTION",
            Self::Deconv(_) => "DECONVOLUTION",
            Self::Pool(_) => "POOLING",
            Self::GlobalPool(_) | Self::Reduce { .. } => "REDUCE",
            Self::FullyConnected { .. } | Self::MatMul => "MATRIX_MULTIPLY",
            Self::Activation(_) => "ACTIVATION",
            Self::PRelu { .. } => "PARAMETRIC_RELU",
            Self::Binary { .. } => "ELEMENTWISE",
            Self::Unary(_) => "UNARY",
            Self::Norm(NormKind::Batch) => "SCALE",
            Self::Norm(_) => "NORMALIZATION",
            Self::Lrn { .. } => "LRN",
            Self::Concat { .. } => "CONCATENATION",
            Self::Resize(_) => "RESIZE",
            Self::Softmax { .. } => "SOFTMAX",
            Self::Shuffle(_) => "SHUFFLE",
            Self::Slice { .. } | Self::Split { .. } | Self::Pad | Self::Expand => "SLICE",
            Self::Gather => "GATHER",
            Self::Scatter => "SCATTER",
            Self::Cast => "CAST",
            Self::Quantize => "QUANTIZE",
            Self::Dequantize => "DEQUANTIZE",
            Self::Where => "SELECT",
            Self::TopK => "TOPK",
            Self::Recurrent => "LOOP",
            Self::ControlFlow => "CONDITION",
            Self::Identity => "IDENTITY",
            Self::DataDependent | Self::Other => "PLUGIN",
        }
    }
}
