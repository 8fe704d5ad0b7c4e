//! The ops that dlaplan knows, by family. A new op is one word in the table, a rule in its family's
//! file, and what it computes in `decode.rs`.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

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

        /// Every name that has a meaning.
        #[cfg(test)]
        pub const NAMES: &[&str] = &[$($(stringify!($op),)*)*];

        impl OnnxOp {
            fn named(name: &str) -> Self {
                // A match would compare name after name, for each node of a file.
                static OPS: LazyLock<FxHashMap<&str, OnnxOp>> = LazyLock::new(|| {
                    let all = [$($((stringify!($op), OnnxOp::$op),)*)*];
                    all.into_iter().collect()
                });
                OPS.get(name).copied().unwrap_or(Self::Unknown)
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
    SameShape: Identity Elu Selu Celu Gelu HardSwish HardSigmoid Mish Swish ThresholdedRelu Erf
        PRelu InstanceNormalization GroupNormalization LpNormalization MeanVarianceNormalization
        RMSNormalization LRN Softmax LogSoftmax Hardmax ReverseSequence Shrink ImageScaler
        ParametricSoftplus Affine ScaledTanh BatchNormalization RotaryEmbedding TensorScatter
        Imputer Scaler Normalizer Binarizer;
    /// ONNX Runtime's: output like the first input.
    FusedSameShape: FastGelu QuickGelu BiasGelu BiasAdd BiasSoftmax BiasDropout GroupNorm
        QLinearSigmoid QLinearLeakyRelu QLinearSoftmax Inverse SimplifiedLayerNormalization;
    /// One number gives one.
    Unary: Abs Neg Floor Ceil Sqrt Exp Log Reciprocal Round Sign Sin Cos Tan Asin Acos Atan Sinh
        Cosh Asinh Acosh Atanh Sigmoid Tanh Relu LeakyRelu Softplus Softsign Clip BitwiseNot;
    /// Casts, quantisation and choice.
    Pointwise: Not IsNaN IsInf Cast CastLike QuantizeLinear DequantizeLinear Where;
    /// Two numbers give one.
    Arithmetic: Add Sub Mul Div Pow Mod BitShift BitwiseAnd BitwiseOr BitwiseXor;
    /// Two numbers give a boolean.
    Comparison: And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual;
    /// Any number of numbers give one.
    Variadic: Max Min Sum Mean;
    /// A window slides over a map.
    Window: Conv ConvInteger QLinearConv ConvTranspose DeformConv AveragePool LpPool
        GlobalAveragePool GlobalMaxPool GlobalLpPool MaxUnpool Col2Im;
    /// ONNX Runtime's windows.
    FusedWindow: FusedConv NhwcConv NhwcFusedConv QLinearAveragePool QLinearGlobalAveragePool
        NhwcMaxPool ReorderInput ReorderOutput;
    /// Matrix products.
    Product: Gemm MatMul MatMulInteger QLinearMatMul Einsum Det;
    /// ONNX Runtime's matrix products.
    FusedProduct: FusedGemm FusedMatMul TransposeMatMul MatMulNBits MatMulBnb4 GemmFastGelu QGemm
        MatMulIntegerToFloat DynamicQuantizeMatMul;
    /// Elements moved, not changed.
    Layout: Flatten Reshape Squeeze Unsqueeze Transpose DepthToSpace SpaceToDepth Concat Slice
        Expand Tile Pad CenterCropPad Crop;
    /// Elements picked by index, or counted.
    Index: Gather GatherElements GatherND Scatter ScatterElements ScatterND ArgMax ArgMin OneHot
        NonZero NonMaxSuppression Compress CumSum Trilu;
    /// Resampling of images.
    Image: Resize Upsample MaxRoiPool RoiAlign GridSample AffineGrid;
    /// Signals and their spectra.
    Signal: DFT STFT HannWindow HammingWindow BlackmanWindow MelWeightMatrix;
    /// Reductions over axes.
    Reduce: ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceSumSquare;
    /// Made from attributes and shapes.
    Source: Shape Size Constant ConstantOfShape Range EyeLike RandomNormalLike RandomUniformLike
        Bernoulli RandomNormal RandomUniform;
    /// ONNX Runtime's other fused ops.
    Fused: QLinearAdd QLinearMul QLinearConcat QLinearReduceMean BiasSplitGelu ExpandDims CDist;
    /// More than one output.
    Several: Split TopK Unique MaxPool LayerNormalization Dropout LSTM GRU RNN
        DynamicQuantizeLinear Attention;
    /// ONNX Runtime's with more than one output.
    FusedSeveral: MsAttention MultiHeadAttention DecoderMaskedMultiHeadAttention
        GroupQueryAttention QAttention SkipLayerNormalization SkipSimplifiedLayerNormalization
        SkipGroupNorm EmbedLayerNormalization DynamicQuantizeLSTM;
    /// Holds a body.
    Control: If Loop Scan;
}

impl OnnxOp {
    /// The op of this domain and type.
    pub fn of(domain: &str, op_type: &str) -> Self {
        let op = Self::named(op_type);
        let fused = matches!(
            op.family(),
            Family::FusedSameShape
                | Family::FusedWindow
                | Family::FusedProduct
                | Family::Fused
                | Family::FusedSeveral
        );
        match (domain, op) {
            // ONNX Runtime writes this one of its own without a domain.
            ("" | "ai.onnx", Self::SimplifiedLayerNormalization)
            | ("ai.onnx.ml", Self::Imputer | Self::Scaler | Self::Normalizer | Self::Binarizer)
            // The standard op's meaning.
            | (
                "com.microsoft",
                Self::Gelu
                | Self::QuantizeLinear
                | Self::DequantizeLinear
                | Self::RotaryEmbedding
                | Self::QLinearConv
                | Self::GridSample
                | Self::Trilu
                | Self::Pad
                | Self::Range,
            )
            | (
                "com.microsoft.nchwc",
                Self::MaxPool
                | Self::AveragePool
                | Self::GlobalAveragePool
                | Self::GlobalMaxPool
                | Self::Upsample
                | Self::ReorderInput
                | Self::ReorderOutput,
            ) => op,
            ("" | "ai.onnx", _) if !fused => op,
            ("com.microsoft", Self::Attention) => Self::MsAttention,
            ("com.microsoft", _) if fused => op,
            ("com.microsoft.nchwc", Self::Conv) => Self::FusedConv,
            ("com.ms.internal.nhwc", Self::Conv) => Self::NhwcConv,
            _ => Self::Unknown,
        }
    }
}
