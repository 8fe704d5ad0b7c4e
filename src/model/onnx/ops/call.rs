//! One node: its op, attributes and what is known of its inputs.

use super::fact::{Dims, Fact, MAX_DIM};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::{Attrs, Data};

/// One node's inputs and attributes.
pub struct Call<'a> {
    pub op: O,
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

    pub fn dims(&self, i: usize) -> Option<&'a Dims> {
        self.input(i)?.dims.as_ref()
    }

    pub fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.input(i)?.ints()
    }

    /// An input that lists sizes.
    pub fn sizes(&self, i: usize) -> Option<Dims> {
        match self.input(i)?.data.as_deref()? {
            Data::Int(v) => Some(v.iter().map(|d| u64::try_from((*d)?).ok()).collect()),
            Data::Float(_) => None,
        }
    }

    /// An input that is one size, as an integer or a float.
    pub fn size(&self, i: usize) -> Option<u64> {
        let value = self.input(i)?.data.as_ref()?.first_float()?;
        (0.0..=MAX_DIM as f64)
            .contains(&value)
            .then_some(value as u64)
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
        let at = if self.op == O::Resize && self.opset >= 11 {
            2
        } else {
            1
        };
        let scales = self.input(at)?.data.as_ref()?.floats()?;
        (!scales.is_empty()).then_some(scales)
    }

    pub fn first_dtype(&self) -> DType {
        self.input(0).map_or(DType::Other, |f| f.dtype)
    }

    /// The input's data under new dims.
    pub fn same_data(&self, dims: Dims) -> Fact {
        let data = self.input(0).and_then(|f| f.data.as_deref().cloned());
        Fact::with(self.first_dtype(), dims, data)
    }
}
