//! Reductions over axes.

use super::call::Call;
use super::fact::{Dims, Fact, axis, elements, offset, positions};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::{Data, MAX_VALUES};

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
            return self.input(0).cloned();
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
        let data = self.input(0).and_then(|x| self.reduced(x, &drop, &out));
        Some(Fact::with(t, out, data))
    }

    fn reduced(&self, x: &Fact, drop: &[bool], out: &[Option<u64>]) -> Option<Data> {
        let (own, data) = x.small()?;
        let kept: Vec<u64> = own
            .iter()
            .zip(drop)
            .map(|(d, dropped)| if *dropped { 1 } else { *d })
            .collect();
        let size = usize::try_from(elements(out)?).ok()?;
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); size.min(MAX_VALUES)];
        for (i, at) in positions(&own).enumerate() {
            groups.get_mut(offset(&at, &kept)?)?.push(i);
        }
        Some(match data {
            Data::Int(v) => {
                let of = |group: &Vec<usize>| {
                    let all: Option<Vec<i64>> = group.iter().map(|i| *v.get(*i)?).collect();
                    self.int_total(&all?)
                };
                Data::Int(groups.iter().map(of).collect())
            }
            Data::Float(v) => {
                let of = |group: &Vec<usize>| {
                    let all: Option<Vec<f64>> = group.iter().map(|i| *v.get(*i)?).collect();
                    self.float_total(&all?)
                };
                Data::Float(groups.iter().map(of).collect())
            }
        })
    }

    fn int_total(&self, v: &[i64]) -> Option<i64> {
        let mut all = v.iter().copied();
        match self.op {
            O::ReduceProd => all.try_fold(1i64, i64::checked_mul),
            O::ReduceSum => all.try_fold(0i64, i64::checked_add),
            O::ReduceMax => all.max(),
            O::ReduceMin => all.min(),
            O::ReduceMean => {
                let sum = all.try_fold(0i64, i64::checked_add)?;
                sum.checked_div(v.len() as i64)
            }
            O::ReduceL1 => all.try_fold(0i64, |sum, v| sum.checked_add(v.checked_abs()?)),
            O::ReduceSumSquare => all.try_fold(0i64, |sum, v| sum.checked_add(v.checked_mul(v)?)),
            _ => None,
        }
    }

    fn float_total(&self, v: &[f64]) -> Option<f64> {
        let all = v.iter().copied();
        let sum = || all.clone().sum::<f64>();
        Some(match self.op {
            O::ReduceProd => all.product(),
            O::ReduceSum => sum(),
            O::ReduceMax => all.reduce(f64::max)?,
            O::ReduceMin => all.reduce(f64::min)?,
            O::ReduceMean if v.is_empty() => return None,
            O::ReduceMean => sum() / v.len() as f64,
            O::ReduceL1 => all.map(f64::abs).sum(),
            O::ReduceL2 => all.map(|v| v * v).sum::<f64>().sqrt(),
            O::ReduceLogSum => sum().ln(),
            O::ReduceLogSumExp => all.map(f64::exp).sum::<f64>().ln(),
            O::ReduceSumSquare => all.map(|v| v * v).sum(),
            _ => return None,
        })
    }
}
