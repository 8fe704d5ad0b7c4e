//! Elements picked by index.

use super::call::Call;
use super::fact::{Dims, Fact, axis, offset};
use super::op::OnnxOp as O;
use crate::model::DType;

impl Call<'_> {
    /// Shapes of ops that pick or count elements.
    pub fn index(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Gather => self.gather()?,
            O::GatherElements => Fact::new(t, self.dims(1).cloned()),
            O::GatherND => {
                let (x, at) = (self.dims(0)?, self.dims(1)?);
                let (last, lead) = at.split_last()?;
                let batch = usize::try_from(self.attrs.int_or("batch_dims", 0)).ok()?;
                let depth = usize::try_from((*last)?).ok()?;
                let mut dims = lead.to_vec();
                dims.extend_from_slice(x.get(batch.checked_add(depth)?..)?);
                Fact::new(t, Some(dims))
            }
            O::ArgMax | O::ArgMin => {
                let mut dims = self.dims(0)?.clone();
                let at = axis(self.attrs.int_or("axis", 0), dims.len())?;
                if self.attrs.int_or("keepdims", 1) != 0 {
                    dims[at] = Some(1);
                } else {
                    dims.remove(at);
                }
                Fact::new(DType::I64, Some(dims))
            }
            O::OneHot => {
                let mut dims = self.dims(0)?.clone();
                let rank = dims.len() + 1;
                let at = axis(self.attrs.int_or("axis", -1), rank)?;
                let depth = self.input(1).and_then(|f| f.data.as_ref()?.first_int());
                dims.insert(at, depth.and_then(|d| u64::try_from(d).ok()));
                Fact::new(self.input(2)?.dtype, Some(dims))
            }
            O::NonZero => {
                let rank = self.dims(0)?.len() as u64;
                Fact::new(DType::I64, Some(vec![Some(rank), None]))
            }
            O::NonMaxSuppression => Fact::new(DType::I64, Some(vec![None, Some(3)])),
            O::Compress => {
                let Some(at) = self.attrs.int("axis") else {
                    return Some(Fact::new(t, Some(vec![None])));
                };
                let mut dims = self.dims(0)?.clone();
                let at = axis(at, dims.len())?;
                dims[at] = None;
                Fact::new(t, Some(dims))
            }
            _ => return None,
        })
    }

    pub fn top_k(&self) -> Option<Vec<Fact>> {
        let t = self.first_dtype();
        let mut dims = self.dims(0)?.clone();
        let at = axis(self.attrs.int_or("axis", -1), dims.len())?;
        let k = match self.attrs.int("k") {
            Some(k) => Some(k),
            None => self.input(1).and_then(|f| f.data.as_ref()?.first_int()),
        };
        dims[at] = k.and_then(|k| u64::try_from(k).ok());
        Some(vec![
            Fact::new(t, Some(dims.clone())),
            Fact::new(DType::I64, Some(dims)),
        ])
    }

    pub fn unique(&self) -> Vec<Fact> {
        let t = self.first_dtype();
        let list = |t| Fact::new(t, Some(vec![None]));
        let values = if self.attrs.int("axis").is_some() {
            Fact::new(t, self.dims(0).map(|d| vec![None; d.len()]))
        } else {
            list(t)
        };
        vec![values, list(DType::I64), list(DType::I64), list(DType::I64)]
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
}
