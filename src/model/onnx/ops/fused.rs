//! ONNX Runtime's fused ops (domain com.microsoft) that no other family holds.

use super::call::Call;
use super::fact::{Dims, Fact, axis, broadcast};
use super::op::OnnxOp as O;
use crate::model::DType;

impl Call<'_> {
    /// Those with one output.
    pub fn fused(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            // Each operand is followed by its scale and zero point.
            O::QLinearAdd | O::QLinearMul => {
                Fact::new(t, broadcast(&[self.dims(0)?, self.dims(3)?]))
            }
            O::QLinearConcat => {
                let parts: Option<Vec<&Dims>> = (2..self.inputs.len())
                    .step_by(3)
                    .map(|i| self.dims(i))
                    .collect();
                let parts = parts?;
                let mut out = (*parts.first()?).clone();
                let at = axis(self.attrs.int("axis")?, out.len())?;
                let sizes: Option<Vec<u64>> = parts.iter().map(|d| *d.get(at)?).collect();
                out[at] = sizes.map(|s| s.iter().fold(0, |n: u64, d| n.saturating_add(*d)));
                Fact::new(self.input(2)?.dtype, Some(out))
            }
            O::QLinearReduceMean => {
                let dims = self.dims(0)?;
                let axes = self.attrs.ints("axes").unwrap_or_default();
                let all: Vec<i64> = (0..dims.len() as i64).collect();
                let mut kept = dims.clone();
                for a in if axes.is_empty() { &all } else { axes } {
                    kept[axis(*a, dims.len())?] = Some(1);
                }
                if self.attrs.int_or("keepdims", 1) == 0 {
                    return None;
                }
                Fact::new(t, Some(kept))
            }
            O::BiasSplitGelu => {
                let mut dims = self.dims(0)?.clone();
                let last = dims.last_mut()?;
                *last = last.map(|n| n / 2);
                Fact::new(t, Some(dims))
            }
            O::ExpandDims => {
                let mut dims = self.dims(0)?.clone();
                let rank = dims.len() + 1;
                let at = self.input(1)?.data.as_ref()?.first_int()?;
                dims.insert(axis(at, rank)?, Some(1));
                Fact::new(t, Some(dims))
            }
            O::CDist => Fact::new(t, Some(vec![self.input(0)?.dim(0), self.input(1)?.dim(0)])),
            _ => return None,
        })
    }

    /// Those with several outputs.
    pub fn fused_several(&self) -> Option<Vec<Fact>> {
        let t = self.first_dtype();
        let like_first = || Fact::new(t, self.dims(0).cloned());
        Some(match self.op {
            O::SkipLayerNormalization | O::SkipSimplifiedLayerNormalization | O::SkipGroupNorm => {
                let mut stat = self.dims(0)?.clone();
                *stat.last_mut()? = Some(1);
                let stat = Fact::new(DType::F32, Some(stat));
                if self.op == O::SkipGroupNorm {
                    vec![like_first(), like_first()]
                } else {
                    vec![like_first(), stat.clone(), stat, like_first()]
                }
            }
            O::EmbedLayerNormalization => {
                let (ids, words) = (self.input(0)?, self.input(2)?);
                let rows = Fact::new(
                    words.dtype,
                    Some(vec![ids.dim(0), ids.dim(1), words.dim(1)]),
                );
                let mask = Fact::new(DType::I32, Some(vec![ids.dim(0)]));
                vec![rows.clone(), mask, rows]
            }
            O::DynamicQuantizeLSTM => return self.recurrent(),
            _ => return self.attention(),
        })
    }
}
