//! The ops that dlaplan knows, by family. A new op is one word in the table, a rule in its family's
//! file, and what it computes in `decode.rs`.

macro_rules! ops {
    ($($(#[$doc:meta])* $family:ident: $($op:ident)*;)*) => {
        /// Ops whose shapes follow one kind of rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Family {
            $($(#[$doc])* $family,)*
            /// Not known.
            Unknown,
        }

        /// An op.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(clippy::upper_case_acronyms, reason = "ONNX's own names")]
        pub enum OnnxOp {
            $($($op,)*)*
            /// Another domain's, a local function or one that ONNX does not have.
            Unknown,
        }

        impl OnnxOp {
            fn named(name: &str) -> Self {
                match name {
                    $($(stringify!($op) => Self::$op,)*)*
                    _ => Self::Unknown,
                }
            }

            /// Which kind of rule gives its shapes.
            pub fn family(self) -> Family {
                match self {
                    $($(Self::$op)|* => Family::$family,)*
                    Self::Unknown => Family::Unknown,
                }
            }
        }
    };
}

ops! {
    /// Output like the first input; values are not followed.
    SameShape: Identity Relu LeakyRelu Sigmoid Tanh Clip Elu Selu Celu Gelu HardSwish
        HardSigmoid Softplus Softsign Mish Swish ThresholdedRelu Exp Log Reciprocal Erf Round
        Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh PRelu InstanceNormalization
        GroupNormalization LpNormalization MeanVarianceNormalization RMSNormalization LRN
        Softmax LogSoftmax Hardmax CumSum Trilu ReverseSequence Shrink BitwiseNot
        ScatterElements Scatter ScatterND ImageScaler ParametricSoftplus Affine ScaledTanh
        BatchNormalization;
    /// Element by element, one input counts; or a choice.
    Pointwise: Abs Neg Floor Ceil Sqrt Not IsNaN IsInf Cast CastLike QuantizeLinear
        DequantizeLinear Where;
    /// Two numbers give one.
    Arithmetic: Add Sub Mul Div Pow Mod BitShift BitwiseAnd BitwiseOr BitwiseXor;
    /// Two numbers give a boolean.
    Comparison: And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual;
    /// Any number of numbers give one.
    Variadic: Max Min Sum Mean;
    /// A window slides over a map.
    Window: Conv ConvInteger QLinearConv ConvTranspose AveragePool LpPool GlobalAveragePool
        GlobalMaxPool GlobalLpPool;
    /// Matrix products.
    Product: Gemm MatMul MatMulInteger QLinearMatMul Einsum Det;
    /// Elements moved, not changed.
    Layout: Flatten Reshape Squeeze Unsqueeze Transpose DepthToSpace SpaceToDepth Concat Slice
        Expand Tile Pad;
    /// Elements picked by index or counted.
    Index: Gather GatherElements GatherND ArgMax ArgMin OneHot NonZero NonMaxSuppression
        Compress;
    /// Resampling of images.
    Image: Resize Upsample MaxRoiPool RoiAlign GridSample;
    /// Reductions over axes.
    Reduce: ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceSumSquare;
    /// Made from attributes and shapes.
    Source: Shape Size Constant ConstantOfShape Range EyeLike RandomNormalLike RandomUniformLike
        Bernoulli RandomNormal RandomUniform;
    /// More than one output.
    Several: Split TopK Unique MaxPool LayerNormalization Dropout LSTM GRU RNN;
    /// Holds a body.
    Control: If Loop Scan;
}

impl OnnxOp {
    /// The op of this domain and type.
    pub fn of(domain: &str, op_type: &str) -> Self {
        match (domain, op_type) {
            // TensorRT and ONNX Runtime give the three of com.microsoft the standard ones' meaning.
            ("" | "ai.onnx", op)
            | ("com.microsoft", op @ ("Gelu" | "QuantizeLinear" | "DequantizeLinear")) => {
                Self::named(op)
            }
            _ => Self::Unknown,
        }
    }
}
