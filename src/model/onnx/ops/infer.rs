//! Shapes of every value, and the values of small tensors, which is what shape arithmetic consists
//! of. Follows the ONNX operator specification, one file a family of ops; an op it does not know has
//! unknown outputs. All arithmetic is checked: a model that makes no sense has unknown shapes.

use super::call::Call;
use super::fact::Fact;
use super::op::{Family, OnnxOp as O};
use crate::model::DType;

impl Call<'_> {
    /// What is known of the outputs.
    pub fn infer(&self) -> Vec<Fact> {
        let mut facts = self.all_outputs().unwrap_or_default();
        facts.resize_with(self.outputs, Fact::default);
        facts
    }

    fn all_outputs(&self) -> Option<Vec<Fact>> {
        let like_first = |t| Fact::new(t, self.dims(0).cloned());
        let t = self.first_dtype();
        let one = match self.op.family() {
            Family::Unknown | Family::Control => return None,
            Family::SameShape if self.op == O::Identity => self.input(0)?.clone(),
            Family::SameShape | Family::FusedSameShape => like_first(t),
            Family::Unary => self.of_each(t),
            Family::Pointwise => self.pointwise()?,
            Family::Arithmetic => self.binary(t),
            Family::Comparison => self.binary(DType::Bool),
            Family::Variadic => self.variadic(t)?,
            Family::Window | Family::FusedWindow => self.window()?,
            Family::Product => self.product()?,
            Family::FusedProduct => self.fused_product()?,
            Family::Layout => self.layout()?,
            Family::Index => self.index()?,
            Family::Image => self.image()?,
            Family::Signal => self.signal()?,
            Family::Reduce => self.reduce()?,
            Family::Source => self.source()?,
            Family::Fused => self.fused()?,
            Family::FusedSeveral => return self.fused_several(),
            Family::Several => {
                return match self.op {
                    O::Split => self.split(),
                    O::TopK => self.top_k(),
                    O::Unique => Some(self.unique()),
                    O::MaxPool => Some(self.max_pool()),
                    O::LayerNormalization => self.layer_norm(),
                    O::Dropout => {
                        let kept = self.input(0)?.clone();
                        Some(vec![kept, like_first(DType::Bool)])
                    }
                    O::DynamicQuantizeLinear => {
                        let scale = Fact::new(DType::F32, Some(vec![]));
                        let zero = Fact::new(DType::U8, Some(vec![]));
                        Some(vec![like_first(DType::U8), scale, zero])
                    }
                    O::Attention => self.attention(),
                    _ => self.recurrent(),
                };
            }
        };
        Some(vec![one])
    }
}
