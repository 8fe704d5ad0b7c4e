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
            Family::SameShape => like_first(t),
            Family::Pointwise => self.pointwise()?,
            Family::Arithmetic => self.binary(t),
            Family::Comparison => self.binary(DType::Bool),
            Family::Variadic => self.variadic(t)?,
            Family::Window => self.window()?,
            Family::Product => self.product()?,
            Family::Layout => self.layout()?,
            Family::Index => self.index()?,
            Family::Image => self.image()?,
            Family::Reduce => self.reduce()?,
            Family::Source => self.source()?,
            Family::Several => {
                return match self.op {
                    O::Split => self.split(),
                    O::TopK => self.top_k(),
                    O::Unique => Some(self.unique()),
                    O::MaxPool => Some(self.max_pool()),
                    O::LayerNormalization => self.layer_norm(),
                    O::Dropout => Some(vec![like_first(t), like_first(DType::Bool)]),
                    _ => self.recurrent(),
                };
            }
        };
        Some(vec![one])
    }
}
