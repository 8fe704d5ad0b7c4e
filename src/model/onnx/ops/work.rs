//! Multiply-accumulates of ops that decode.rs has no kind with sizes for.

use super::call::Call;
use super::fact::{Fact, elements};
use super::op::{Family, OnnxOp as O};

impl Call<'_> {
    /// Multiply-accumulates, 0 for an op without any; `None` where they are unknown.
    pub fn macs(&self, output: Option<&Fact>) -> Option<u64> {
        let output = || elements(output?.dims.as_ref()?);
        let last = |i: usize| *self.dims(i)?.last()?;
        match self.op {
            O::Attention
            | O::MsAttention
            | O::MultiHeadAttention
            | O::DecoderMaskedMultiHeadAttention
            | O::GroupQueryAttention
            | O::QAttention => self.attention_macs(),
            // Each output takes the weights of one filter.
            O::DeformConv | O::FusedConv | O::NhwcConv | O::NhwcFusedConv => {
                let w = self.input(1)?.shape()?;
                let filter = w
                    .get(1..)?
                    .iter()
                    .try_fold(1u64, |n, d| n.checked_mul(*d))?;
                output()?.checked_mul(filter)
            }
            O::FusedGemm | O::QGemm => {
                let row = usize::from(!self.attrs.flag("transA"));
                output()?.checked_mul(self.input(0)?.dim(row)?)
            }
            O::FusedMatMul | O::TransposeMatMul if self.attrs.flag("transA") => {
                let dims = self.dims(0)?;
                output()?.checked_mul((*dims.get(dims.len().checked_sub(2)?)?)?)
            }
            O::DynamicQuantizeLSTM => {
                let x = self.input(0)?;
                let weights = elements(self.dims(1)?)?.checked_add(elements(self.dims(2)?)?)?;
                x.dim(0)?.checked_mul(x.dim(1)?)?.checked_mul(weights)
            }
            // A transform's work depends on how it is done.
            O::DFT | O::STFT | O::Inverse | O::CDist | O::Det => None,
            op => match op.family() {
                Family::FusedProduct => output()?.checked_mul(last(0)?),
                Family::Unknown | Family::Control => None,
                _ => Some(0),
            },
        }
    }
}
