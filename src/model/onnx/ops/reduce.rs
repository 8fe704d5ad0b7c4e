//! Reductions over axes.

use super::call::Call;
use super::fact::{Dims, Fact, axis};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::Data;

impl Call<'_> {
    pub fn layer_norm(&self) -> Option<Vec<Fact>> {
        let t = self.first_dtype();
        let like_first = || Fact::new(t, self.dims(0).cloned());
        let mut stat = self.dims(0).cloned();
        if let Some(stat) = &mut stat {
            let from = axis(self.attrs.int_or("axis", -1), stat.len())?;
            stat.iter_mut().skip(from).for_each(|d| *d = Some(1));
        }
        let stat = Fact::new(DType::F32, stat);
        Some(vec![like_first(), stat.clone(), stat])
    }

    pub fn reduce(&self) -> Option<Fact> {
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
                O::ReduceProd => v.into_iter().try_fold(1i64, i64::checked_mul),
                O::ReduceSum => v.into_iter().try_fold(0i64, i64::checked_add),
                O::ReduceMax => v.into_iter().max(),
                O::ReduceMin => v.into_iter().min(),
                _ => None,
            };
            Some(Data::Int(vec![Some(total?)]))
        };
        let data = data();
        Some(Fact::with(t, out, data))
    }
}
