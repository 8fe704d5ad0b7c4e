//! Convolution and pooling: windows that slide over a map.

use super::call::Call;
use super::fact::{Dims, Fact, MAX_DIM, MAX_RANK, elements};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::Attrs;

/// How a window is padded.
pub enum Padding {
    /// Begins, then ends.
    Explicit(Vec<u64>),
    SameUpper,
    SameLower,
    Valid,
}

/// The window of a convolution or pooling op.
pub struct Window {
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
pub fn kernel_of(weight: Option<&Fact>) -> Option<Vec<u64>> {
    weight?.dims.as_ref()?.get(2..)?.iter().copied().collect()
}

impl Call<'_> {
    /// Shapes of convolutions and pools with one output.
    pub fn window(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Conv | O::ConvInteger | O::QLinearConv | O::DeformConv | O::FusedConv => {
                let dtype = match self.op {
                    O::ConvInteger => DType::I32,
                    O::QLinearConv => self.input(7).map_or(t, |f| f.dtype),
                    _ => t,
                };
                if self.op == O::QLinearConv && self.attrs.flag("channels_last") {
                    return None;
                }
                Fact::new(dtype, self.conv(self.weight()))
            }
            O::NhwcConv | O::NhwcFusedConv => Fact::new(t, channels_last(self.conv_nhwc())),
            O::QLinearAveragePool if self.attrs.flag("channels_last") => Fact::new(
                t,
                channels_last(self.windowed_over(&self.channels_first()?)),
            ),
            O::NhwcMaxPool => Fact::new(
                t,
                channels_last(self.windowed_over(&self.channels_first()?)),
            ),
            O::QLinearGlobalAveragePool => {
                let mut dims = self.dims(0)?.clone();
                let last = dims.len().saturating_sub(1);
                let spatial = if self.attrs.flag("channels_last") {
                    1..last
                } else {
                    2..last + 1
                };
                dims.get_mut(spatial)?.fill(Some(1));
                Fact::new(t, Some(dims))
            }
            // To and from blocks of channels.
            O::ReorderInput => Fact::new(t, self.dims(0).cloned()),
            O::ReorderOutput => {
                let mut dims = self.dims(0)?.clone();
                if let Some(c) = self.attrs.int("channels") {
                    *dims.get_mut(1)? = u64::try_from(c).ok();
                }
                let first = Some(dims);
                let last = self.attrs.flag("channels_last");
                Fact::new(t, if last { channels_last(first) } else { first })
            }
            O::MaxUnpool => {
                let (x, window) = (self.dims(0)?, Window::read(self.attrs, None)?);
                let out = if self.input(2).is_some() {
                    self.sizes(2)?
                } else {
                    let mut out = x.get(..2)?.to_vec();
                    out.extend(window.transposed(x.get(2..)?, self.attrs)?);
                    out
                };
                Fact::new(t, Some(out))
            }
            O::Col2Im => {
                let x = self.dims(0)?;
                let block = elements(&self.sizes(2)?)?;
                let channels = x.get(1)?.and_then(|c| c.checked_div(block));
                let mut out = vec![*x.first()?, channels];
                out.extend(self.sizes(1)?);
                Fact::new(t, Some(out))
            }
            O::ConvTranspose => Fact::new(t, self.deconv()),
            O::AveragePool | O::LpPool | O::QLinearAveragePool => Fact::new(t, self.windowed()),
            O::GlobalAveragePool | O::GlobalMaxPool | O::GlobalLpPool => {
                let mut dims = self.dims(0)?.clone();
                dims.iter_mut().skip(2).for_each(|d| *d = Some(1));
                Fact::new(t, Some(dims))
            }
            _ => return None,
        })
    }

    pub fn max_pool(&self) -> Vec<Fact> {
        let t = self.first_dtype();
        let out = self.windowed();
        let indices = Fact::new(DType::I64, out.clone());
        vec![Fact::new(t, out), indices]
    }

    /// Which input of a convolution is its weight.
    pub fn weight(&self) -> usize {
        if self.op == O::QLinearConv { 3 } else { 1 }
    }

    /// The input's dims, channels moved before the image.
    fn channels_first(&self) -> Option<Dims> {
        let mut dims = self.dims(0)?.clone();
        let channels = dims.pop()?;
        dims.insert(1.min(dims.len()), channels);
        Some(dims)
    }

    /// ONNX Runtime's convolution over N x image x C; its weight is K x kernel x C/groups.
    fn conv_nhwc(&self) -> Option<Dims> {
        let (x, w) = (self.channels_first()?, self.dims(1)?);
        let kernel = w.get(1..w.len().checked_sub(1)?)?.iter().copied().collect();
        let window = Window::read(self.attrs, kernel)?;
        let mut out: Dims = vec![*x.first()?, *w.first()?];
        out.extend(window.outputs(x.get(2..)?)?);
        Some(out)
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
        self.windowed_over(self.dims(0)?)
    }

    fn windowed_over(&self, x: &[Option<u64>]) -> Option<Dims> {
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
}

/// The dims of N x C x image as N x image x C.
fn channels_last(dims: Option<Dims>) -> Option<Dims> {
    let mut dims = dims.filter(|d| d.len() >= 2)?;
    let channels = dims.remove(1);
    dims.push(channels);
    Some(dims)
}
