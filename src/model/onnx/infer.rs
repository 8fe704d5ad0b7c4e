//! Shapes of every value, and the values of small integer tensors, which is what shape arithmetic
//! consists of. Follows the ONNX operator specification; an op it does not know has unknown
//! outputs. All arithmetic is checked: a model that makes no sense has unknown shapes.

use std::rc::Rc;

use super::attrs::{Attrs, Data, MAX_VALUES, dtype, tensor_data};
use super::proto;
use crate::model::DType;

/// Dims, each known or not.
pub(super) type Dims = Vec<Option<u64>>;

/// Largest dim believed.
const MAX_DIM: u64 = 1 << 40;
/// Highest rank believed.
const MAX_RANK: usize = 64;

/// What is known of a value.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub dtype: DType,
    pub dims: Option<Dims>,
    pub data: Option<Rc<Data>>,
}

impl Default for Fact {
    fn default() -> Self {
        Self::new(DType::Other, None)
    }
}

impl Fact {
    pub fn new(dtype: DType, dims: Option<Dims>) -> Self {
        let believable =
            |d: &Dims| d.len() <= MAX_RANK && d.iter().flatten().all(|d| *d <= MAX_DIM);
        Self {
            dtype,
            dims: dims.filter(believable),
            data: None,
        }
    }

    /// A tensor of the file.
    pub fn of_tensor(tensor: &proto::Tensor) -> Self {
        let dims = super::attrs::dims(tensor).map(|d| d.into_iter().map(Some).collect());
        Self {
            data: tensor_data(tensor).map(Rc::new),
            ..Self::new(dtype(tensor.data_type), dims)
        }
    }

    /// A declared type.
    pub fn of_type(info: &proto::TensorType) -> Self {
        let dims = info.shape.as_ref().map(|s| {
            let known = |d: &proto::Dimension| d.dim_value.and_then(|v| u64::try_from(v).ok());
            s.dim.iter().map(known).collect()
        });
        Self::new(dtype(info.elem_type), dims)
    }

    fn with(dtype: DType, dims: Dims, data: Option<Data>) -> Self {
        let fits =
            |d: &Data| d.len() <= MAX_VALUES && elements(&dims).is_none_or(|n| n == d.len() as u64);
        let data = data.filter(fits).map(Rc::new);
        Self {
            data,
            ..Self::new(dtype, Some(dims))
        }
    }

    /// All dims, if every one is known.
    pub fn shape(&self) -> Option<Vec<u64>> {
        self.dims.as_ref()?.iter().copied().collect()
    }

    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    pub fn dim(&self, i: usize) -> Option<u64> {
        *self.dims.as_ref()?.get(i)?
    }

    pub fn ints(&self) -> Option<Vec<i64>> {
        self.data.as_ref()?.ints()
    }
}

/// Number of elements, if every dim is known and the product fits.
pub(super) fn elements(dims: &[Option<u64>]) -> Option<u64> {
    dims.iter().try_fold(1u64, |n, d| n.checked_mul((*d)?))
}

/// A possibly negative axis of a tensor of this rank.
pub(super) fn axis(value: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let at = if value < 0 {
        value.checked_add(rank)?
    } else {
        value
    };
    (0..rank).contains(&at).then_some(at as usize)
}

/// Multidirectional broadcasting.
fn broadcast(all: &[&Dims]) -> Option<Dims> {
    let rank = all.iter().map(|d| d.len()).max()?;
    let mut out = vec![Some(1); rank];
    for dims in all {
        let skip = rank - dims.len();
        for (o, d) in out.iter_mut().skip(skip).zip(dims.iter()) {
            *o = match (*o, *d) {
                (Some(1), d) => d,
                (o, Some(1)) => o,
                (Some(a), Some(b)) if a == b => Some(a),
                (Some(_), Some(_)) => return None,
                // An unknown dim meets one above 1: it must be 1 or that.
                (known, None) | (None, known) => known,
            };
        }
    }
    Some(out)
}

/// How a window is padded.
pub(super) enum Padding {
    /// Begins, then ends.
    Explicit(Vec<u64>),
    SameUpper,
    SameLower,
    Valid,
}

/// The window of a convolution or pooling op.
pub(super) struct Window {
    pub kernel: Vec<u64>,
    pub stride: Vec<u64>,
    pub dilation: Vec<u64>,
    pub padding: Padding,
    pub ceil: bool,
}

impl Window {
    /// Reads the attributes; `kernel` is the weight's where the attribute is absent.
    pub fn read(attrs: Attrs<'_>, kernel: Option<Vec<u64>>) -> Option<Self> {
        let list = |name| -> Option<Option<Vec<u64>>> {
            match attrs.ints(name) {
                Some(v) if !v.is_empty() => {
                    let v: Option<Vec<u64>> = v.iter().map(|i| u64::try_from(*i).ok()).collect();
                    Some(Some(v?))
                }
                _ => Some(None),
            }
        };
        let kernel = list("kernel_shape")?.or(kernel)?;
        let n = kernel.len();
        let stride = list("strides")?.unwrap_or_else(|| vec![1; n]);
        let dilation = list("dilations")?.unwrap_or_else(|| vec![1; n]);
        let pads = list("pads")?.unwrap_or_else(|| vec![0; 2 * n]);
        let padding = match attrs.text("auto_pad") {
            Some("SAME_UPPER") => Padding::SameUpper,
            Some("SAME_LOWER") => Padding::SameLower,
            Some("VALID") => Padding::Valid,
            _ => Padding::Explicit(pads),
        };
        let positive = |v: &[u64]| v.len() == n && v.iter().all(|x| *x > 0 && *x <= MAX_DIM);
        if n > MAX_RANK || !positive(&kernel) || !positive(&stride) || !positive(&dilation) {
            return None;
        }
        if matches!(&padding, Padding::Explicit(p)
            if p.len() != 2 * n || p.iter().any(|x| *x > MAX_DIM))
        {
            return None;
        }
        Some(Self {
            kernel,
            stride,
            dilation,
            padding,
            ceil: attrs.flag("ceil_mode"),
        })
    }

    fn extent(&self, i: usize) -> Option<u64> {
        let (k, d) = (self.kernel.get(i)?, self.dilation.get(i)?);
        (k - 1).checked_mul(*d)?.checked_add(1)
    }

    /// Output size along spatial dim `i`.
    fn output(&self, i: usize, input: u64) -> Option<u64> {
        let extent = self.extent(i)?;
        let stride = *self.stride.get(i)?;
        let padded = match &self.padding {
            Padding::SameUpper | Padding::SameLower => return Some(input.div_ceil(stride)),
            Padding::Valid => input,
            Padding::Explicit(p) => {
                let (before, after) = (*p.get(i)?, *p.get(i + self.kernel.len())?);
                input.checked_add(before)?.checked_add(after)?
            }
        };
        let room = padded.checked_sub(extent)?;
        if !self.ceil {
            return Some(room / stride + 1);
        }
        let out = room.div_ceil(stride) + 1;
        // A window must start inside the input or the padding before it.
        let before = match &self.padding {
            Padding::Explicit(p) => *p.get(i)?,
            _ => 0,
        };
        let last = (out - 1).checked_mul(stride)?;
        Some(if last >= input.checked_add(before)? {
            out - 1
        } else {
            out
        })
    }

    /// Padding as numbers: begins, then ends.
    pub fn pads(&self, input: &[Option<u64>]) -> Vec<u64> {
        let n = self.kernel.len();
        let upper = match &self.padding {
            Padding::Explicit(p) => return p.clone(),
            Padding::Valid => return vec![0; 2 * n],
            Padding::SameUpper => true,
            Padding::SameLower => false,
        };
        let mut pads = vec![0; 2 * n];
        for i in 0..n {
            let total = || -> Option<u64> {
                let size = (*input.get(i)?)?;
                let covered = (size.div_ceil(*self.stride.get(i)?).checked_sub(1)?)
                    .checked_mul(*self.stride.get(i)?)?
                    .checked_add(self.extent(i)?)?;
                Some(covered.saturating_sub(size))
            };
            let total = total().unwrap_or(0);
            let small = total / 2;
            pads[i] = if upper { small } else { total - small };
            pads[i + n] = total - pads[i];
        }
        pads
    }

    fn outputs(&self, x: &[Option<u64>]) -> Option<Dims> {
        if x.len() != self.kernel.len() {
            return None;
        }
        // A size that is known and impossible makes the whole shape unknown.
        let size = |(i, d): (usize, &Option<u64>)| match d {
            Some(d) => self.output(i, *d).map(Some),
            None => Some(None),
        };
        x.iter().enumerate().map(size).collect()
    }

    /// Output sizes of a transposed convolution.
    fn transposed(&self, x: &[Option<u64>], attrs: Attrs<'_>) -> Option<Dims> {
        let n = self.kernel.len();
        if x.len() != n {
            return None;
        }
        if let Some(shape) = attrs.ints("output_shape").filter(|s| !s.is_empty()) {
            // Some writers give batch and channels too.
            let shape = shape.get(shape.len().checked_sub(n)?..)?;
            return Some(shape.iter().map(|d| u64::try_from(*d).ok()).collect());
        }
        let extra = attrs.ints("output_padding").unwrap_or_default();
        let size = |(i, d): (usize, &Option<u64>)| -> Option<Option<u64>> {
            let Some(d) = *d else { return Some(None) };
            let stride = *self.stride.get(i)?;
            let extra = u64::try_from(extra.get(i).copied().unwrap_or(0)).ok()?;
            let same = matches!(self.padding, Padding::SameUpper | Padding::SameLower);
            if same && stride > self.extent(i)? {
                // ONNX Runtime makes it smaller than the specification says.
                return Some(None);
            }
            let full = stride
                .checked_mul(d.checked_sub(1)?)?
                .checked_add(extra)?
                .checked_add(self.extent(i)?)?;
            Some(Some(match &self.padding {
                Padding::SameUpper | Padding::SameLower => stride.checked_mul(d)?,
                Padding::Valid => full,
                Padding::Explicit(p) => {
                    full.checked_sub(*p.get(i)?)?.checked_sub(*p.get(i + n)?)?
                }
            }))
        };
        x.iter().enumerate().map(size).collect()
    }
}

/// Spatial kernel dims of a convolution weight (K, C/groups, spatial ...).
pub(super) fn kernel_of(weight: Option<&Fact>) -> Option<Vec<u64>> {
    weight?.dims.as_ref()?.get(2..)?.iter().copied().collect()
}

/// One node's inputs and attributes.
pub(super) struct Call<'a> {
    pub op: &'a str,
    pub attrs: Attrs<'a>,
    pub opset: i64,
    /// `None` for an omitted input.
    pub inputs: Vec<Option<&'a Fact>>,
    pub outputs: usize,
}

impl<'a> Call<'a> {
    pub fn input(&self, i: usize) -> Option<&'a Fact> {
        *self.inputs.get(i)?
    }

    fn dims(&self, i: usize) -> Option<&'a Dims> {
        self.input(i)?.dims.as_ref()
    }

    fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.input(i)?.ints()
    }

    /// Axes: an attribute in old opsets, an input later. Outer `None`: given but unknown; inner:
    /// not given.
    #[expect(
        clippy::option_option,
        reason = "unknown and absent are different answers"
    )]
    pub fn axes(&self, input: usize) -> Option<Option<Vec<i64>>> {
        if let Some(axes) = self.attrs.ints("axes") {
            return Some(Some(axes.to_vec()));
        }
        match self.input(input) {
            None => Some(None),
            Some(fact) => fact.ints().map(Some),
        }
    }

    /// Scales of Resize and Upsample, from whichever place the opset puts them.
    pub fn scales(&self) -> Option<Vec<f64>> {
        if let Some(scales) = self.attrs.floats("scales").filter(|s| !s.is_empty()) {
            return Some(scales.iter().map(|s| f64::from(*s)).collect());
        }
        if let (Some(h), Some(w)) = (
            self.attrs.float("height_scale"),
            self.attrs.float("width_scale"),
        ) {
            return Some(vec![1.0, 1.0, h.into(), w.into()]);
        }
        let at = if self.op == "Resize" && self.opset >= 11 {
            2
        } else {
            1
        };
        let scales = self.input(at)?.data.as_ref()?.floats()?;
        (!scales.is_empty()).then_some(scales)
    }

    /// What is known of the outputs.
    pub fn infer(&self) -> Vec<Fact> {
        let mut facts = self.all_outputs().unwrap_or_default();
        facts.resize_with(self.outputs, Fact::default);
        facts
    }

    fn first_dtype(&self) -> DType {
        self.input(0).map_or(DType::Other, |f| f.dtype)
    }

    fn all_outputs(&self) -> Option<Vec<Fact>> {
        let t = self.first_dtype();
        let like_first = || Fact::new(t, self.dims(0).cloned());
        Some(match self.op {
            "Split" => self.split()?,
            "TopK" => {
                let mut dims = self.dims(0)?.clone();
                let at = axis(self.attrs.int_or("axis", -1), dims.len())?;
                let k = match self.attrs.int("k") {
                    Some(k) => Some(k),
                    None => self.input(1).and_then(|f| f.data.as_ref()?.first_int()),
                };
                dims[at] = k.and_then(|k| u64::try_from(k).ok());
                vec![
                    Fact::new(t, Some(dims.clone())),
                    Fact::new(DType::I64, Some(dims)),
                ]
            }
            "MaxPool" => {
                let out = self.windowed();
                let indices = Fact::new(DType::I64, out.clone());
                vec![Fact::new(t, out), indices]
            }
            "Dropout" => vec![like_first(), Fact::new(DType::Bool, self.dims(0).cloned())],
            "BatchNormalization" => vec![like_first()],
            "LayerNormalization" => {
                let mut stat = self.dims(0).cloned();
                if let Some(stat) = &mut stat {
                    let from = axis(self.attrs.int_or("axis", -1), stat.len())?;
                    stat.iter_mut().skip(from).for_each(|d| *d = Some(1));
                }
                let stat = Fact::new(DType::F32, stat);
                vec![like_first(), stat.clone(), stat]
            }
            "LSTM" | "GRU" | "RNN" => self.recurrent()?,
            "Unique" => {
                let list = |t| Fact::new(t, Some(vec![None]));
                let values = if self.attrs.int("axis").is_some() {
                    Fact::new(t, self.dims(0).map(|d| vec![None; d.len()]))
                } else {
                    list(t)
                };
                vec![values, list(DType::I64), list(DType::I64), list(DType::I64)]
            }
            _ => vec![self.one_output()?],
        })
    }

    fn one_output(&self) -> Option<Fact> {
        let t = self.first_dtype();
        let like_first = || Fact::new(t, self.dims(0).cloned());
        Some(match self.op {
            "Identity" => self.input(0)?.clone(),
            "Relu"
            | "LeakyRelu"
            | "Sigmoid"
            | "Tanh"
            | "Clip"
            | "Elu"
            | "Selu"
            | "Celu"
            | "Gelu"
            | "HardSwish"
            | "HardSigmoid"
            | "Softplus"
            | "Softsign"
            | "Mish"
            | "Swish"
            | "ThresholdedRelu"
            | "Exp"
            | "Log"
            | "Reciprocal"
            | "Erf"
            | "Round"
            | "Sign"
            | "Sin"
            | "Cos"
            | "Tan"
            | "Asin"
            | "Acos"
            | "Atan"
            | "Sinh"
            | "Cosh"
            | "Asinh"
            | "Acosh"
            | "Atanh"
            | "PRelu"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "LpNormalization"
            | "MeanVarianceNormalization"
            | "RMSNormalization"
            | "LRN"
            | "Softmax"
            | "LogSoftmax"
            | "Hardmax"
            | "CumSum"
            | "Trilu"
            | "ReverseSequence"
            | "Shrink"
            | "BitwiseNot"
            | "ScatterElements"
            | "Scatter"
            | "ScatterND"
            | "ImageScaler"
            | "ParametricSoftplus"
            | "Affine"
            | "ScaledTanh" => like_first(),
            "Abs" | "Neg" | "Floor" | "Ceil" | "Sqrt" => self.unary(),
            "Not" | "IsNaN" | "IsInf" => Fact::new(DType::Bool, self.dims(0).cloned()),
            "Cast" => self.cast(dtype(i32::try_from(self.attrs.int("to")?).ok()?)),
            "CastLike" => self.cast(self.input(1)?.dtype),
            "QuantizeLinear" => {
                let zero_point = self.input(2).map_or(DType::U8, |f| f.dtype);
                Fact::new(zero_point, self.dims(0).cloned())
            }
            "DequantizeLinear" => Fact::new(self.input(1)?.dtype, self.dims(0).cloned()),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "BitShift" | "BitwiseAnd"
            | "BitwiseOr" | "BitwiseXor" => self.binary(t),
            "And" | "Or" | "Xor" | "Equal" | "Greater" | "GreaterOrEqual" | "Less"
            | "LessOrEqual" => self.binary(DType::Bool),
            "Max" | "Min" | "Sum" | "Mean" => self.variadic(t)?,
            "Where" => self.select()?,
            "Conv" | "ConvInteger" | "QLinearConv" => {
                let weight = if self.op == "QLinearConv" { 3 } else { 1 };
                let dtype = match self.op {
                    "Conv" => t,
                    "ConvInteger" => DType::I32,
                    _ => self.input(7).map_or(t, |f| f.dtype),
                };
                Fact::new(dtype, self.conv(weight))
            }
            "ConvTranspose" => Fact::new(t, self.deconv()),
            "AveragePool" | "LpPool" => Fact::new(t, self.windowed()),
            "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
                let mut dims = self.dims(0)?.clone();
                dims.iter_mut().skip(2).for_each(|d| *d = Some(1));
                Fact::new(t, Some(dims))
            }
            "MaxRoiPool" => {
                let size = self.attrs.ints("pooled_shape")?;
                let [h, w] = size else { return None };
                let size = |v: i64| u64::try_from(v).ok();
                Fact::new(
                    t,
                    Some(vec![
                        self.input(1)?.dim(0),
                        self.input(0)?.dim(1),
                        size(*h),
                        size(*w),
                    ]),
                )
            }
            "RoiAlign" => {
                let size = |name| u64::try_from(self.attrs.int_or(name, 1)).ok();
                Fact::new(
                    t,
                    Some(vec![
                        self.input(1)?.dim(0),
                        self.input(0)?.dim(1),
                        size("output_height"),
                        size("output_width"),
                    ]),
                )
            }
            "GridSample" => {
                let (x, grid) = (self.dims(0)?, self.dims(1)?);
                let mut dims: Dims = x.get(..2)?.to_vec();
                dims.extend_from_slice(grid.get(1..grid.len().checked_sub(1)?)?);
                Fact::new(t, Some(dims))
            }
            "Gemm" => {
                let (a, b) = (self.input(0)?, self.input(1)?);
                let (m, n) = (
                    usize::from(self.attrs.flag("transA")),
                    usize::from(!self.attrs.flag("transB")),
                );
                if a.rank()? != 2 || b.rank()? != 2 {
                    return None;
                }
                Fact::new(t, Some(vec![a.dim(m), b.dim(n)]))
            }
            "MatMul" | "MatMulInteger" => {
                let t = if self.op == "MatMul" { t } else { DType::I32 };
                Fact::new(t, matmul(self.dims(0)?, self.dims(1)?))
            }
            "QLinearMatMul" => {
                let dtype = self.input(7).map_or(t, |f| f.dtype);
                Fact::new(dtype, matmul(self.dims(0)?, self.dims(3)?))
            }
            "Einsum" => {
                let sizes = einsum_sizes(self)?;
                Fact::new(t, Some(sizes.output))
            }
            "Flatten" => {
                let dims = self.dims(0)?;
                let rank = i64::try_from(dims.len()).ok()?;
                let at = self.attrs.int_or("axis", 1);
                let at = if at < 0 { at.checked_add(rank)? } else { at };
                let (before, after) = dims.split_at_checked(usize::try_from(at).ok()?)?;
                Fact::new(t, Some(vec![elements(before), elements(after)]))
            }
            "Reshape" => self.reshape()?,
            "Squeeze" => self.squeeze()?,
            "Unsqueeze" => {
                let dims = self.dims(0)?;
                let axes = self.axes(1)??;
                let rank = dims.len() + axes.len();
                let mut new = vec![false; rank];
                for a in axes {
                    new[axis(a, rank)?] = true;
                }
                let mut old = dims.iter();
                let out: Option<Dims> = new
                    .into_iter()
                    .map(|new| {
                        if new {
                            Some(Some(1))
                        } else {
                            old.next().copied()
                        }
                    })
                    .collect();
                self.same_data(out?)
            }
            "Transpose" => {
                let dims = self.dims(0)?;
                let perm: Vec<usize> = match self.attrs.ints("perm") {
                    Some(perm) if !perm.is_empty() => {
                        let perm = perm.iter().map(|p| usize::try_from(*p).ok());
                        perm.collect::<Option<_>>()?
                    }
                    _ => (0..dims.len()).rev().collect(),
                };
                if perm.len() != dims.len() {
                    return None;
                }
                let out: Dims = perm
                    .iter()
                    .map(|p| dims.get(*p).copied())
                    .collect::<Option<_>>()?;
                let data = self.input(0)?.rearranged(&out, |at| {
                    let mut source = vec![0; at.len()];
                    for (a, p) in at.into_iter().zip(&perm) {
                        *source.get_mut(*p)? = a;
                    }
                    Some(source)
                });
                Fact::with(t, out, data)
            }
            "DepthToSpace" | "SpaceToDepth" => {
                let b = u64::try_from(self.attrs.int("blocksize")?)
                    .ok()
                    .filter(|b| *b > 0)?;
                let [n, c, h, w] = self.dims(0)?[..] else {
                    return None;
                };
                let square = b.checked_mul(b)?;
                let times = |d: Option<u64>, by: u64| d.and_then(|d| d.checked_mul(by));
                let over = |d: Option<u64>, by: u64| d.map(|d| d / by);
                Fact::new(
                    t,
                    Some(if self.op == "DepthToSpace" {
                        vec![n, over(c, square), times(h, b), times(w, b)]
                    } else {
                        vec![n, times(c, square), over(h, b), over(w, b)]
                    }),
                )
            }
            "Concat" => self.concat()?,
            "Slice" => self.slice()?,
            "Gather" => self.gather()?,
            "GatherElements" => Fact::new(t, self.dims(1).cloned()),
            "GatherND" => {
                let (x, at) = (self.dims(0)?, self.dims(1)?);
                let (last, lead) = at.split_last()?;
                let batch = usize::try_from(self.attrs.int_or("batch_dims", 0)).ok()?;
                let depth = usize::try_from((*last)?).ok()?;
                let mut dims = lead.to_vec();
                dims.extend_from_slice(x.get(batch.checked_add(depth)?..)?);
                Fact::new(t, Some(dims))
            }
            "Expand" => {
                let size = match &**self.input(1)?.data.as_ref()? {
                    Data::Int(v) => v.iter().map(|d| d.and_then(|d| u64::try_from(d).ok())),
                    Data::Float(_) => return None,
                };
                let size: Dims = size.collect();
                let dims = broadcast(&[self.dims(0)?, &size])?;
                let filled = self.input(0)?.rearranged(&dims, Some);
                Fact::with(t, dims, filled)
            }
            "Tile" => {
                let dims = self.dims(0)?;
                let repeats = self.ints(1)?;
                if repeats.len() != dims.len() {
                    return None;
                }
                let times = |(d, r): (&Option<u64>, i64)| {
                    d.and_then(|d| d.checked_mul(u64::try_from(r).ok()?))
                };
                Fact::new(t, Some(dims.iter().zip(repeats).map(times).collect()))
            }
            "Pad" => self.pad()?,
            "Resize" | "Upsample" => self.resize()?,
            "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1"
            | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => {
                self.reduce()?
            }
            "ArgMax" | "ArgMin" => {
                let mut dims = self.dims(0)?.clone();
                let at = axis(self.attrs.int_or("axis", 0), dims.len())?;
                if self.attrs.int_or("keepdims", 1) != 0 {
                    dims[at] = Some(1);
                } else {
                    dims.remove(at);
                }
                Fact::new(DType::I64, Some(dims))
            }
            "Shape" => {
                let dims = self.dims(0)?;
                let rank = dims.len() as i64;
                let clamp = |v: i64| {
                    let v = if v < 0 { v.saturating_add(rank) } else { v };
                    v.clamp(0, rank) as usize
                };
                let start = clamp(self.attrs.int_or("start", 0));
                let end = clamp(self.attrs.int_or("end", rank)).max(start);
                let part = dims.get(start..end)?;
                let data = part.iter().map(|d| d.map(|d| d as i64)).collect();
                Fact::with(
                    DType::I64,
                    vec![Some(part.len() as u64)],
                    Some(Data::Int(data)),
                )
            }
            "Size" => {
                let n = elements(self.dims(0)?).and_then(|n| i64::try_from(n).ok());
                Fact::with(DType::I64, vec![], Some(Data::Int(vec![n])))
            }
            "Constant" => self.constant()?,
            "ConstantOfShape" => {
                let size: Dims = match &**self.input(0)?.data.as_ref()? {
                    Data::Int(v) => v
                        .iter()
                        .map(|d| d.and_then(|d| u64::try_from(d).ok()))
                        .collect(),
                    Data::Float(_) => return None,
                };
                let (t, value) = match self.attrs.tensor("value") {
                    Some(v) => (dtype(v.data_type), tensor_data(v)),
                    None => (DType::F32, Some(Data::Float(vec![0.0]))),
                };
                let data = value.and_then(|v| fill(&v, &size));
                Fact::with(t, size, data)
            }
            "Range" => self.range()?,
            "EyeLike" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" => {
                let t = match self.attrs.int("dtype") {
                    Some(code) => dtype(i32::try_from(code).ok()?),
                    None => t,
                };
                Fact::new(t, self.dims(0).cloned())
            }
            "RandomNormal" | "RandomUniform" => {
                let shape = self.attrs.ints("shape")?;
                let dims = shape.iter().map(|d| u64::try_from(*d).ok()).collect();
                let code = i32::try_from(self.attrs.int_or("dtype", 1)).ok()?;
                Fact::new(dtype(code), Some(dims))
            }
            "OneHot" => {
                let mut dims = self.dims(0)?.clone();
                let rank = dims.len() + 1;
                let at = axis(self.attrs.int_or("axis", -1), rank)?;
                let depth = self.input(1).and_then(|f| f.data.as_ref()?.first_int());
                dims.insert(at, depth.and_then(|d| u64::try_from(d).ok()));
                Fact::new(self.input(2)?.dtype, Some(dims))
            }
            "NonZero" => {
                let rank = self.dims(0)?.len() as u64;
                Fact::new(DType::I64, Some(vec![Some(rank), None]))
            }
            "NonMaxSuppression" => Fact::new(DType::I64, Some(vec![None, Some(3)])),
            "Compress" => {
                let Some(at) = self.attrs.int("axis") else {
                    return Some(Fact::new(t, Some(vec![None])));
                };
                let mut dims = self.dims(0)?.clone();
                let at = axis(at, dims.len())?;
                dims[at] = None;
                Fact::new(t, Some(dims))
            }
            "Det" => {
                let dims = self.dims(0)?;
                Fact::new(t, Some(dims.get(..dims.len().checked_sub(2)?)?.to_vec()))
            }
            _ => return None,
        })
    }

    fn unary(&self) -> Fact {
        let f = |v: f64| match self.op {
            "Abs" => v.abs(),
            "Neg" => -v,
            "Floor" => v.floor(),
            "Ceil" => v.ceil(),
            _ => v.sqrt(),
        };
        let data = self
            .input(0)
            .and_then(|x| match (&**x.data.as_ref()?, self.op) {
                (Data::Int(v), "Neg") => Some(Data::Int(
                    v.iter().map(|i| i.and_then(i64::checked_neg)).collect(),
                )),
                (Data::Int(v), "Abs") => Some(Data::Int(
                    v.iter().map(|i| i.and_then(i64::checked_abs)).collect(),
                )),
                (Data::Int(_), _) => None,
                (Data::Float(v), _) => Some(Data::Float(v.iter().map(|v| f(*v)).collect())),
            });
        let t = self.first_dtype();
        match self.dims(0) {
            Some(dims) => Fact::with(t, dims.clone(), data),
            None => Fact::new(t, None),
        }
    }

    fn cast(&self, to: DType) -> Fact {
        let integer = matches!(
            to,
            DType::I8
                | DType::U8
                | DType::I16
                | DType::U16
                | DType::I32
                | DType::U32
                | DType::I64
                | DType::U64
        );
        let whole = |v: f64| (v.abs() < 9e15).then_some(v.trunc() as i64);
        let data = self.input(0).and_then(|x| match &**x.data.as_ref()? {
            Data::Int(v) if to == DType::Bool => Some(Data::Int(
                v.iter().map(|i| i.map(|i| i64::from(i != 0))).collect(),
            )),
            Data::Int(v) if integer => Some(Data::Int(v.clone())),
            data @ Data::Int(_) => data.floats().map(Data::Float),
            Data::Float(v) if integer => Some(Data::Int(v.iter().map(|v| whole(*v)).collect())),
            Data::Float(v) if to == DType::Bool => Some(Data::Int(
                v.iter().map(|v| Some(i64::from(*v != 0.0))).collect(),
            )),
            Data::Float(v) => Some(Data::Float(v.clone())),
        });
        match self.dims(0) {
            Some(dims) => Fact::with(to, dims.clone(), data),
            None => Fact::new(to, None),
        }
    }

    fn binary(&self, t: DType) -> Fact {
        let (Some(a), Some(b)) = (self.dims(0), self.dims(1)) else {
            return Fact::new(t, None);
        };
        if self.opset < 7 && self.attrs.flag("broadcast") {
            return Fact::new(t, Some(a.clone()));
        }
        let Some(dims) = broadcast(&[a, b]) else {
            return Fact::new(t, None);
        };
        let data = self.binary_data(&dims);
        Fact::with(t, dims, data)
    }

    /// Element-wise on small tensors.
    fn binary_data(&self, dims: &[Option<u64>]) -> Option<Data> {
        let a = self.input(0)?.rearranged(dims, Some)?;
        let b = self.input(1)?.rearranged(dims, Some)?;
        if let (Data::Int(x), Data::Int(y)) = (&a, &b) {
            let f = |p: i64, q: i64| -> Option<i64> {
                match self.op {
                    "Add" => p.checked_add(q),
                    "Sub" => p.checked_sub(q),
                    "Mul" => p.checked_mul(q),
                    "Div" => p.checked_div(q),
                    "Mod" if self.attrs.flag("fmod") => p.checked_rem(q),
                    "Mod" => {
                        let r = p.checked_rem(q)?;
                        Some(if r != 0 && (r < 0) != (q < 0) {
                            r.checked_add(q)?
                        } else {
                            r
                        })
                    }
                    "Pow" => p.checked_pow(u32::try_from(q).ok()?),
                    "Equal" => Some(i64::from(p == q)),
                    "Greater" => Some(i64::from(p > q)),
                    "GreaterOrEqual" => Some(i64::from(p >= q)),
                    "Less" => Some(i64::from(p < q)),
                    "LessOrEqual" => Some(i64::from(p <= q)),
                    "And" => Some(i64::from(p != 0 && q != 0)),
                    "Or" => Some(i64::from(p != 0 || q != 0)),
                    _ => None,
                }
            };
            let one = |(p, q): (&Option<i64>, &Option<i64>)| f((*p)?, (*q)?);
            return Some(Data::Int(x.iter().zip(y).map(one).collect()));
        }
        let (x, y) = (a.floats()?, b.floats()?);
        let f = |p: f64, q: f64| {
            Some(match self.op {
                "Add" => p + q,
                "Sub" => p - q,
                "Mul" => p * q,
                "Div" => p / q,
                "Pow" => p.powf(q),
                _ => return None,
            })
        };
        let all: Option<_> = x.into_iter().zip(y).map(|(p, q)| f(p, q)).collect();
        all.map(Data::Float)
    }

    fn variadic(&self, t: DType) -> Option<Fact> {
        let all: Option<Vec<&Dims>> = self.inputs.iter().map(|f| (*f)?.dims.as_ref()).collect();
        let dims = broadcast(&all?)?;
        let folded = || {
            let all: Option<Vec<Vec<i64>>> = self.inputs.iter().map(|f| (*f)?.ints()).collect();
            let f: fn(i64, i64) -> i64 = match self.op {
                "Max" => i64::max,
                "Min" => i64::min,
                _ => return None,
            };
            let all: Option<Vec<i64>> = all?
                .into_iter()
                .map(|v| if let [v] = v[..] { Some(v) } else { None })
                .collect();
            Some(Data::Int(vec![Some(all?.into_iter().reduce(f)?)]))
        };
        Some(Fact::with(t, dims, folded()))
    }

    fn select(&self) -> Option<Fact> {
        let dims = broadcast(&[self.dims(0)?, self.dims(1)?, self.dims(2)?])?;
        let ints = |i: usize| match self.input(i)?.rearranged(&dims, Some)? {
            Data::Int(v) => Some(v),
            Data::Float(_) => None,
        };
        let data = || {
            let (c, x, y) = (ints(0)?, ints(1)?, ints(2)?);
            let pick = |((c, x), y): ((Option<i64>, Option<i64>), Option<i64>)| match c? {
                0 => y,
                _ => x,
            };
            Some(Data::Int(c.into_iter().zip(x).zip(y).map(pick).collect()))
        };
        let data = data();
        Some(Fact::with(self.input(1)?.dtype, dims, data))
    }

    fn conv(&self, weight: usize) -> Option<Dims> {
        let x = self.dims(0)?;
        let weight = self.input(weight);
        let window = Window::read(self.attrs, kernel_of(weight))?;
        let mut out: Dims = vec![*x.first()?, weight.and_then(|w| w.dim(0))];
        out.extend(window.outputs(x.get(2..)?)?);
        Some(out)
    }

    fn deconv(&self) -> Option<Dims> {
        let x = self.dims(0)?;
        let weight = self.input(1);
        let window = Window::read(self.attrs, kernel_of(weight))?;
        let groups = u64::try_from(self.attrs.int_or("group", 1)).ok()?;
        let channels = weight.and_then(|w| w.dim(1)?.checked_mul(groups));
        let mut out: Dims = vec![*x.first()?, channels];
        out.extend(window.transposed(x.get(2..)?, self.attrs)?);
        Some(out)
    }

    fn windowed(&self) -> Option<Dims> {
        let x = self.dims(0)?;
        let window = Window::read(self.attrs, None)?;
        let mut out: Dims = x.get(..2)?.to_vec();
        let same = matches!(window.padding, Padding::SameUpper | Padding::SameLower);
        if same && window.dilation.iter().any(|d| *d > 1) {
            // ONNX Runtime leaves the dilation out, against the specification.
            out.resize(x.len(), None);
        } else {
            out.extend(window.outputs(x.get(2..)?)?);
        }
        Some(out)
    }

    /// The input's data under new dims.
    fn same_data(&self, dims: Dims) -> Fact {
        let data = self.input(0).and_then(|f| f.data.as_deref().cloned());
        Fact::with(self.first_dtype(), dims, data)
    }

    fn reshape(&self) -> Option<Fact> {
        let x = self.input(0)?;
        let target = match self.attrs.ints("shape") {
            Some(shape) => shape.iter().copied().map(Some).collect(),
            None => match &**self.input(1)?.data.as_ref()? {
                Data::Int(v) => v.clone(),
                Data::Float(_) => return None,
            },
        };
        let zero_copies = !self.attrs.flag("allowzero");
        let mut out: Dims = Vec::with_capacity(target.len());
        let mut open = None;
        for (i, t) in target.iter().enumerate() {
            out.push(match t {
                Some(0) if zero_copies => *x.dims.as_ref()?.get(i)?,
                Some(-1) if open.is_none() => {
                    open = Some(i);
                    None
                }
                Some(t) => Some(u64::try_from(*t).ok()?),
                None => None,
            });
        }
        let total = x.dims.as_ref().and_then(|d| elements(d));
        match open {
            Some(open) => {
                let rest: Dims = out
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| *i != open)
                    .map(|(_, d)| *d)
                    .collect();
                out[open] = match (total, elements(&rest)) {
                    (Some(total), Some(rest)) if rest > 0 && total % rest == 0 => {
                        Some(total / rest)
                    }
                    (Some(_), Some(_)) => return None,
                    _ => None,
                };
            }
            None => {
                if let (Some(total), Some(n)) = (total, elements(&out))
                    && total != n
                {
                    return None;
                }
            }
        }
        Some(self.same_data(out))
    }

    fn squeeze(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let drop: Vec<usize> = match self.axes(1)? {
            Some(axes) if !axes.is_empty() || self.opset >= 13 => {
                let at: Option<_> = axes.iter().map(|a| axis(*a, dims.len())).collect();
                at?
            }
            _ => {
                // Unknown dims may be 1 or not.
                let known: Option<Vec<u64>> = dims.iter().copied().collect();
                let ones = known?.into_iter().enumerate().filter(|(_, d)| *d == 1);
                ones.map(|(i, _)| i).collect()
            }
        };
        let keep = dims.iter().enumerate().filter(|(i, _)| !drop.contains(i));
        Some(self.same_data(keep.map(|(_, d)| *d).collect()))
    }

    fn concat(&self) -> Option<Fact> {
        let all: Option<Vec<&Dims>> = self.inputs.iter().map(|f| (*f)?.dims.as_ref()).collect();
        let all = all?;
        let mut out = (*all.first()?).clone();
        let at = axis(self.attrs.int_or("axis", 1), out.len())?;
        for dims in all.get(1..)? {
            if dims.len() != out.len() {
                return None;
            }
            for (i, (o, d)) in out.iter_mut().zip(dims.iter()).enumerate() {
                *o = match (*o, *d) {
                    (Some(a), Some(b)) if i == at => Some(a.checked_add(b)?),
                    _ if i == at => None,
                    (Some(a), Some(b)) if a != b => return None,
                    (a, b) => a.or(b),
                };
            }
        }
        let joined = || {
            let mut v = Vec::new();
            for f in self.inputs.iter().flatten() {
                match &**f.data.as_ref()? {
                    Data::Int(d) if v.len() + d.len() <= MAX_VALUES => v.extend_from_slice(d),
                    _ => return None,
                }
            }
            Some(Data::Int(v))
        };
        let floats = || {
            let mut v = Vec::new();
            for f in self.inputs.iter().flatten() {
                match &**f.data.as_ref()? {
                    Data::Float(d) if v.len() + d.len() <= MAX_VALUES => v.extend_from_slice(d),
                    _ => return None,
                }
            }
            Some(Data::Float(v))
        };
        let data = if at == 0 {
            joined().or_else(floats)
        } else {
            None
        };
        Some(Fact::with(self.first_dtype(), out, data))
    }

    /// Starts, ends, axes and steps of a Slice, where they are known.
    pub fn slice_params(&self) -> Option<Vec<(i64, i64, i64, i64)>> {
        let (starts, ends, axes, steps) = if let Some(starts) = self.attrs.ints("starts") {
            let ends = self.attrs.ints("ends")?.to_vec();
            let axes = self.attrs.ints("axes").map(<[i64]>::to_vec);
            (starts.to_vec(), ends, axes, None)
        } else {
            let optional = |i| match self.input(i) {
                None => Some(None),
                Some(f) => f.ints().map(Some),
            };
            (self.ints(1)?, self.ints(2)?, optional(3)?, optional(4)?)
        };
        let n = starts.len();
        let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; n]);
        if ends.len() != n || axes.len() != n || steps.len() != n {
            return None;
        }
        let zipped = starts.into_iter().zip(ends).zip(axes).zip(steps);
        Some(zipped.map(|(((s, e), a), p)| (s, e, a, p)).collect())
    }

    fn slice(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let mut out = dims.clone();
        let params = self.slice_params();
        let Some(params) = params else {
            // The rank stays; which dims change is unknown unless the axes are.
            let axes = match self.attrs.ints("axes") {
                Some(axes) => Some(axes.to_vec()),
                None => self.ints(3),
            };
            match axes {
                Some(axes) => {
                    for a in axes {
                        out[axis(a, dims.len())?] = None;
                    }
                }
                None => out.iter_mut().for_each(|d| *d = None),
            }
            return Some(Fact::new(self.first_dtype(), Some(out)));
        };
        for &(start, end, at, step) in &params {
            let at = axis(at, dims.len())?;
            out[at] = match dims[at] {
                Some(size) => Some(sliced(size, start, end, step)?.1),
                None => None,
            };
        }
        let data = self.input(0)?.rearranged(&out, |mut at| {
            for &(start, end, axis_of, step) in &params {
                let i = axis(axis_of, dims.len())?;
                let (first, _) = sliced((*dims.get(i)?)?, start, end, step)?;
                let a = at.get_mut(i)?;
                let moved = first.checked_add(i64::try_from(*a).ok()?.checked_mul(step)?)?;
                *a = u64::try_from(moved).ok()?;
            }
            Some(at)
        });
        Some(Fact::with(self.first_dtype(), out, data))
    }

    fn gather(&self) -> Option<Fact> {
        let (x, at) = (self.dims(0)?, self.dims(1)?);
        let axis = axis(self.attrs.int_or("axis", 0), x.len())?;
        let mut out: Dims = x.get(..axis)?.to_vec();
        out.extend_from_slice(at);
        out.extend_from_slice(x.get(axis + 1..)?);
        let indices = self.ints(1);
        let data = self.input(0)?.rearranged(&out, |position| {
            let wanted = position.get(axis..axis + at.len())?;
            let index_dims: Option<Vec<u64>> = at.iter().copied().collect();
            let index = *indices.as_ref()?.get(offset(wanted, &index_dims?)?)?;
            let size = i64::try_from((*x.get(axis)?)?).ok()?;
            let index = if index < 0 {
                index.checked_add(size)?
            } else {
                index
            };
            let mut source = position.get(..axis)?.to_vec();
            source.push(u64::try_from(index).ok()?);
            source.extend_from_slice(position.get(axis + at.len()..)?);
            Some(source)
        });
        Some(Fact::with(self.first_dtype(), out, data))
    }

    fn pad(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let pads = match self
            .attrs
            .ints("pads")
            .or_else(|| self.attrs.ints("paddings"))
        {
            Some(pads) => pads.to_vec(),
            None => match self.ints(1) {
                Some(pads) => pads,
                None => return Some(Fact::new(self.first_dtype(), Some(vec![None; dims.len()]))),
            },
        };
        let axes: Vec<usize> = match self.input(3) {
            Some(f) => f
                .ints()?
                .iter()
                .map(|a| axis(*a, dims.len()))
                .collect::<Option<_>>()?,
            None => (0..dims.len()).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return None;
        }
        let mut out = dims.clone();
        for (i, at) in axes.iter().enumerate() {
            if let Some(d) = out[*at] {
                let d = i64::try_from(d).ok()?;
                let d = d.checked_add(pads[i])?.checked_add(pads[i + axes.len()])?;
                out[*at] = Some(u64::try_from(d).ok()?);
            }
        }
        Some(Fact::new(self.first_dtype(), Some(out)))
    }

    fn resize(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let t = self.first_dtype();
        let unknown = || Some(Fact::new(t, Some(vec![None; dims.len()])));
        let axes: Vec<usize> = match self.attrs.ints("axes") {
            Some(axes) if !axes.is_empty() => axes
                .iter()
                .map(|a| axis(*a, dims.len()))
                .collect::<Option<_>>()?,
            _ => (0..dims.len()).collect(),
        };
        let mut out = dims.clone();
        if let Some(sizes) = self.input(3) {
            if !matches!(
                self.attrs.text("keep_aspect_ratio_policy"),
                None | Some("stretch")
            ) {
                return unknown();
            }
            let sizes = match sizes.data.as_deref() {
                Some(Data::Int(v)) => v.clone(),
                _ => return unknown(),
            };
            if sizes.len() != axes.len() {
                return None;
            }
            for (at, size) in axes.iter().zip(sizes) {
                out[*at] = size.and_then(|s| u64::try_from(s).ok());
            }
            return Some(Fact::new(t, Some(out)));
        }
        let Some(scales) = self.scales() else {
            return unknown();
        };
        if scales.len() != axes.len() {
            return None;
        }
        // What a region of interest cuts out is scaled, and not the input.
        let region = self.attrs.text("coordinate_transformation_mode");
        if region == Some("tf_crop_and_resize") {
            for at in axes {
                out[at] = None;
            }
            return Some(Fact::new(t, Some(out)));
        }
        for (at, scale) in axes.iter().zip(scales) {
            if let Some(d) = out[*at] {
                // Scales are f32 in the file and the specification's product is floored.
                let size = (d as f32 * scale as f32).floor();
                if !(0.0..=MAX_DIM as f32).contains(&size) {
                    return None;
                }
                out[*at] = Some(size as u64);
            }
        }
        Some(Fact::new(t, Some(out)))
    }

    fn reduce(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let t = self.first_dtype();
        let keep = self.attrs.int_or("keepdims", 1) != 0;
        let Some(axes) = self.axes(1) else {
            let dims = keep.then(|| vec![None; dims.len()]);
            return Some(Fact::new(t, dims));
        };
        let axes = axes.unwrap_or_default();
        if axes.is_empty() && self.attrs.flag("noop_with_empty_axes") {
            return Some(Fact::new(t, Some(dims.clone())));
        }
        let mut drop = vec![axes.is_empty(); dims.len()];
        for a in axes {
            drop[axis(a, dims.len())?] = true;
        }
        let out: Dims = dims
            .iter()
            .zip(&drop)
            .filter(|(_, dropped)| keep || !**dropped)
            .map(|(d, dropped)| if *dropped { Some(1) } else { *d })
            .collect();
        let data = || {
            let v = self.ints(0)?;
            if dims.len() != 1 || !drop[0] {
                return None;
            }
            let total = match self.op {
                "ReduceProd" => v.into_iter().try_fold(1i64, i64::checked_mul),
                "ReduceSum" => v.into_iter().try_fold(0i64, i64::checked_add),
                "ReduceMax" => v.into_iter().max(),
                "ReduceMin" => v.into_iter().min(),
                _ => None,
            };
            Some(Data::Int(vec![Some(total?)]))
        };
        let data = data();
        Some(Fact::with(t, out, data))
    }

    fn split(&self) -> Option<Vec<Fact>> {
        let dims = self.dims(0)?;
        let at = axis(self.attrs.int_or("axis", 0), dims.len())?;
        let n = self.outputs as u64;
        let parts: Dims = match (self.attrs.ints("split"), self.input(1)) {
            (Some(parts), _) => parts.iter().map(|p| u64::try_from(*p).ok()).collect(),
            (None, Some(f)) => match f.ints() {
                Some(parts) => parts.iter().map(|p| u64::try_from(*p).ok()).collect(),
                None => vec![None; self.outputs],
            },
            (None, None) => match dims[at] {
                // Equal parts; since opset 18 the last may be smaller.
                Some(d) => {
                    let part = d.div_ceil(n.max(1));
                    (0..n)
                        .map(|i| Some(part.min(d.saturating_sub(part.saturating_mul(i)))))
                        .collect()
                }
                None => vec![None; self.outputs],
            },
        };
        if parts.len() != self.outputs {
            return None;
        }
        let out = parts.into_iter().map(|p| {
            let mut dims = dims.clone();
            dims[at] = p;
            Fact::new(self.first_dtype(), Some(dims))
        });
        Some(out.collect())
    }

    fn recurrent(&self) -> Option<Vec<Fact>> {
        let x = self.input(0)?;
        if x.rank()? != 3 {
            return None;
        }
        let batch_first = self.attrs.flag("layout");
        let (seq, batch) = if batch_first {
            (x.dim(1), x.dim(0))
        } else {
            (x.dim(0), x.dim(1))
        };
        let dirs = Some(if self.attrs.text("direction") == Some("bidirectional") {
            2
        } else {
            1
        });
        let hidden = match self.attrs.int("hidden_size") {
            Some(h) => u64::try_from(h).ok(),
            None => self.input(2).and_then(|r| r.dim(2)),
        };
        let (all, last) = if batch_first {
            (vec![batch, seq, dirs, hidden], vec![batch, dirs, hidden])
        } else {
            (vec![seq, dirs, batch, hidden], vec![dirs, batch, hidden])
        };
        let last = Fact::new(x.dtype, Some(last));
        Some(vec![Fact::new(x.dtype, Some(all)), last.clone(), last])
    }

    fn constant(&self) -> Option<Fact> {
        let attribute = self.attrs.0.iter().find(|a| a.name.starts_with("value"))?;
        let list = |t, n: usize, data| Fact::with(t, vec![Some(n as u64)], Some(data));
        Some(match attribute.name.as_str() {
            "value" => Fact::of_tensor(attribute.t.as_deref()?),
            "value_int" => Fact::with(DType::I64, vec![], Some(Data::Int(vec![attribute.i]))),
            "value_ints" => {
                let v = &attribute.ints;
                let data = v.iter().take(MAX_VALUES + 1).copied().map(Some).collect();
                list(DType::I64, v.len(), Data::Int(data))
            }
            "value_float" => {
                let v = f64::from(attribute.f?);
                Fact::with(DType::F32, vec![], Some(Data::Float(vec![v])))
            }
            "value_floats" => {
                let v = &attribute.floats;
                let data = v
                    .iter()
                    .take(MAX_VALUES + 1)
                    .map(|f| f64::from(*f))
                    .collect();
                list(DType::F32, v.len(), Data::Float(data))
            }
            "value_string" => Fact::new(DType::String, Some(vec![])),
            "value_strings" => Fact::new(
                DType::String,
                Some(vec![Some(attribute.strings.len() as u64)]),
            ),
            _ => return None,
        })
    }

    fn range(&self) -> Option<Fact> {
        let t = self.first_dtype();
        let number = |i: usize| self.input(i)?.data.as_ref()?.first_float();
        let (Some(start), Some(limit), Some(step)) = (number(0), number(1), number(2)) else {
            return Some(Fact::new(t, Some(vec![None])));
        };
        let n = ((limit - start) / step).ceil().max(0.0);
        if n.is_nan() || n > MAX_DIM as f64 {
            return None;
        }
        let n = n as u64;
        let ints = || {
            let int = |i: usize| self.input(i)?.data.as_ref()?.first_int();
            let (start, step) = (int(0)?, int(2)?);
            if n > MAX_VALUES as u64 {
                return None;
            }
            let at = |i: u64| start.checked_add(step.checked_mul(i as i64)?);
            Some(Data::Int((0..n).map(at).collect()))
        };
        Some(Fact::with(t, vec![Some(n)], ints()))
    }
}

/// Position in every dim of the elements of a small tensor, in order.
fn positions(dims: &[u64]) -> impl Iterator<Item = Vec<u64>> + '_ {
    let count = dims
        .iter()
        .try_fold(1u64, |n, d| n.checked_mul(*d))
        .unwrap_or(0);
    (0..count.min(MAX_VALUES as u64 + 1)).map(move |mut flat| {
        let mut at = vec![0; dims.len()];
        for (a, d) in at.iter_mut().zip(dims).rev() {
            *a = flat % d;
            flat /= d;
        }
        at
    })
}

/// Offset of a position; dims of size 1 are broadcast and leading positions ignored.
fn offset(at: &[u64], dims: &[u64]) -> Option<usize> {
    let at = at.get(at.len().checked_sub(dims.len())?..)?;
    let mut flat = 0u64;
    for (a, d) in at.iter().zip(dims) {
        let a = if *d == 1 { 0 } else { *a };
        if a >= *d {
            return None;
        }
        flat = flat.checked_mul(*d)?.checked_add(a)?;
    }
    usize::try_from(flat).ok()
}

impl Fact {
    /// A small tensor made of this one's elements: `source` maps a position to one here.
    fn rearranged(
        &self,
        dims: &[Option<u64>],
        source: impl Fn(Vec<u64>) -> Option<Vec<u64>>,
    ) -> Option<Data> {
        let data = self.data.as_deref()?;
        let (own, dims) = (
            self.shape()?,
            dims.iter().copied().collect::<Option<Vec<_>>>()?,
        );
        if dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d))? > MAX_VALUES as u64 {
            return None;
        }
        let offsets = positions(&dims).map(|at| offset(&source(at)?, &own));
        match data {
            Data::Int(v) => offsets
                .map(|o| v.get(o?).copied())
                .collect::<Option<_>>()
                .map(Data::Int),
            Data::Float(v) => offsets
                .map(|o| v.get(o?).copied())
                .collect::<Option<_>>()
                .map(Data::Float),
        }
    }
}

/// First index and number of elements of `start:end:step` over `size` elements.
fn sliced(size: u64, start: i64, end: i64, step: i64) -> Option<(i64, u64)> {
    let size = i64::try_from(size).ok()?;
    let wrap = |v: i64| if v < 0 { v.saturating_add(size) } else { v };
    let (start, end) = (wrap(start), wrap(end));
    let last = size - 1;
    let (start, span) = match step.signum() {
        1 => {
            let (s, e) = (start.clamp(0, size), end.clamp(0, size));
            (s, e - s)
        }
        -1 if size > 0 => {
            let (s, e) = (start.clamp(0, last), end.clamp(-1, last));
            (s, s - e)
        }
        -1 => (0, 0),
        _ => return None,
    };
    let count = (span.max(0) as u64).div_ceil(step.unsigned_abs());
    Some((start, count))
}

/// `dims` filled with one value, if that is few elements.
fn fill(value: &Data, dims: &[Option<u64>]) -> Option<Data> {
    let n = usize::try_from(elements(dims)?)
        .ok()
        .filter(|n| *n <= MAX_VALUES)?;
    Some(match value {
        Data::Int(v) => Data::Int(vec![*v.first()?; n]),
        Data::Float(v) => Data::Float(vec![*v.first()?; n]),
    })
}

/// numpy's matmul.
fn matmul(a: &Dims, b: &Dims) -> Option<Dims> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    let (vector_a, vector_b) = (a.len() == 1, b.len() == 1);
    if vector_a {
        a.insert(0, Some(1));
    }
    if vector_b {
        b.push(Some(1));
    }
    let (rows, cols) = (a[a.len() - 2], b[b.len() - 1]);
    if let (Some(x), Some(y)) = (a[a.len() - 1], b[b.len() - 2])
        && x != y
    {
        return None;
    }
    let lead_a: Dims = a[..a.len() - 2].to_vec();
    let lead_b: Dims = b[..b.len() - 2].to_vec();
    let mut out = broadcast(&[&lead_a, &lead_b])?;
    if !vector_a {
        out.push(rows);
    }
    if !vector_b {
        out.push(cols);
    }
    Some(out)
}

/// Sizes in an Einsum.
pub(super) struct Einsum {
    pub output: Dims,
    /// Product of the sizes of all labels: multiply-accumulates of a naive evaluation.
    pub work: Option<u64>,
}

/// Reads an Einsum equation; an ellipsis is not followed.
pub(super) fn einsum_sizes(call: &Call<'_>) -> Option<Einsum> {
    let equation: String = call
        .attrs
        .text("equation")?
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l, Some(r)),
        None => (equation.as_str(), None),
    };
    let mut sizes: Vec<(char, Option<u64>, usize)> = Vec::new();
    for (i, term) in left.split(',').enumerate() {
        let dims = call.dims(i)?;
        if term.chars().count() != dims.len() {
            return None;
        }
        for (label, dim) in term.chars().zip(dims) {
            if !label.is_ascii_alphabetic() {
                return None;
            }
            match sizes.iter_mut().find(|(l, ..)| *l == label) {
                Some((_, size, uses)) => {
                    *size = size.filter(|s| *s != 1).or(*dim);
                    *uses += 1;
                }
                None => sizes.push((label, *dim, 1)),
            }
        }
    }
    let size = |label: char| sizes.iter().find(|(l, ..)| *l == label).map(|(_, s, _)| *s);
    let output: Option<Dims> = if let Some(right) = right {
        right.chars().map(size).collect()
    } else {
        let mut once: Vec<_> = sizes.iter().filter(|(_, _, uses)| *uses == 1).collect();
        once.sort_by_key(|(l, ..)| *l);
        Some(once.into_iter().map(|(_, s, _)| *s).collect())
    };
    let all: Dims = sizes.iter().map(|(_, s, _)| *s).collect();
    Some(Einsum {
        output: output?,
        work: elements(&all),
    })
}
