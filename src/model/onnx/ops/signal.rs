//! Spectra of signals, and the windows they are cut with.

use super::call::Call;
use super::fact::{Dims, Fact, axis};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::dtype;

impl Call<'_> {
    /// Shapes of Fourier transforms and windows.
    pub fn signal(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::DFT => Fact::new(t, Some(self.dft()?)),
            O::STFT => Fact::new(t, Some(self.stft()?)),
            O::MelWeightMatrix => {
                let rows = self.size(1).map(|length| length / 2 + 1);
                Fact::new(self.made(1)?, Some(vec![rows, self.size(0)]))
            }
            _ => Fact::new(self.made(1)?, Some(vec![self.size(0)])),
        })
    }

    fn made(&self, default: i64) -> Option<DType> {
        let code = self.attrs.int_or("output_datatype", default);
        Some(dtype(i32::try_from(code).ok()?))
    }

    fn dft(&self) -> Option<Dims> {
        let mut dims = self.dims(0)?.clone();
        // An attribute before opset 20, an input since.
        let along = if self.opset < 20 {
            self.attrs.int_or("axis", 1)
        } else {
            match self.input(2) {
                Some(axis) => axis.data.as_ref()?.first_int()?,
                None => -2,
            }
        };
        let at = axis(along, dims.len())?;
        let length = match self.input(1) {
            Some(_) => self.size(1),
            None => dims[at],
        };
        let (onesided, inverse) = (self.attrs.flag("onesided"), self.attrs.flag("inverse"));
        dims[at] = match length {
            Some(n) if onesided && !inverse => Some(n / 2 + 1),
            length => length,
        };
        // Real and imaginary part; the inverse of one side is real.
        *dims.last_mut()? = Some(if onesided && inverse { 1 } else { 2 });
        Some(dims)
    }

    fn stft(&self) -> Option<Dims> {
        let length = match (self.input(3), self.input(2)) {
            (Some(_), _) => self.size(3),
            (None, window) => window?.dim(0),
        };
        let x = self.input(0)?;
        let frames = || {
            let step = self.size(1).filter(|s| *s > 0)?;
            Some(x.dim(1)?.checked_sub(length?)? / step + 1)
        };
        let onesided = self.attrs.int_or("onesided", 1) != 0;
        let bins = length.map(|n| if onesided { n / 2 + 1 } else { n });
        Some(vec![x.dim(0), frames(), bins, Some(2)])
    }
}
