//! Elements picked by index.

use super::call::Call;
use super::fact::{Dims, Fact, axis, offset, positions, small};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::{Data, MAX_VALUES};

/// Index along the line, value, and place in the data.
type Line = Vec<(u64, f64, usize)>;

/// The number of elements, if it is small.
fn few(dims: &[u64]) -> Option<usize> {
    let count = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
    usize::try_from(count).ok().filter(|n| *n <= MAX_VALUES)
}

/// A possibly negative index into so many elements.
fn wrapped(index: i64, size: u64) -> Option<u64> {
    let size = i64::try_from(size).ok()?;
    let index = if index < 0 {
        index.checked_add(size)?
    } else {
        index
    };
    (0..size).contains(&index).then_some(index as u64)
}

impl Call<'_> {
    /// Shapes of ops that pick or count elements.
    pub fn index(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Gather => self.gather()?,
            O::GatherElements => {
                let data = self.gathered_elements();
                Fact::with(t, self.dims(1)?.clone(), data)
            }
            O::Scatter | O::ScatterElements | O::ScatterND => {
                let data = self.scattered();
                Fact::with(t, self.dims(0)?.clone(), data)
            }
            O::CumSum | O::Trilu => {
                let data = self.running();
                Fact::with(t, self.dims(0)?.clone(), data)
            }
            O::GatherND => {
                let (x, at) = (self.dims(0)?, self.dims(1)?);
                let (last, lead) = at.split_last()?;
                let batch = usize::try_from(self.attrs.int_or("batch_dims", 0)).ok()?;
                let depth = usize::try_from((*last)?).ok()?;
                let mut dims = lead.to_vec();
                dims.extend_from_slice(x.get(batch.checked_add(depth)?..)?);
                let data = self.gathered_nd(&dims, batch, depth);
                Fact::with(t, dims, data)
            }
            O::ArgMax | O::ArgMin => {
                let mut dims = self.dims(0)?.clone();
                let at = axis(self.attrs.int_or("axis", 0), dims.len())?;
                let data = self.sorted(at, self.op == O::ArgMax).map(|lines| {
                    let last = self.attrs.flag("select_last_index");
                    let best = |line: &Line| {
                        let first = line.first()?.1;
                        let mut same = line.iter().take_while(|(_, v, _)| *v == first);
                        let at = if last { same.last() } else { same.next() };
                        at.map(|(i, ..)| *i as i64)
                    };
                    Data::Int(lines.iter().map(best).collect())
                });
                if self.attrs.int_or("keepdims", 1) != 0 {
                    dims[at] = Some(1);
                } else {
                    dims.remove(at);
                }
                Fact::with(DType::I64, dims, data)
            }
            O::OneHot => {
                let mut dims = self.dims(0)?.clone();
                let rank = dims.len() + 1;
                let at = axis(self.attrs.int_or("axis", -1), rank)?;
                dims.insert(at, self.size(1));
                let data = self.hot(&dims, at);
                Fact::with(self.input(2)?.dtype, dims, data)
            }
            O::NonZero => {
                let rank = self.dims(0)?.len() as u64;
                match self.nonzero() {
                    Some(found) => {
                        let n = found.len() as u64;
                        let at = |d: usize| found.iter().map(move |p| Some(*p.get(d)? as i64));
                        let data = (0..rank as usize).flat_map(at).collect();
                        Fact::with(DType::I64, vec![Some(rank), Some(n)], Some(Data::Int(data)))
                    }
                    None => Fact::new(DType::I64, Some(vec![Some(rank), None])),
                }
            }
            O::NonMaxSuppression => Fact::new(DType::I64, Some(vec![None, Some(3)])),
            O::Compress => {
                let chosen: Option<Vec<u64>> = self.ints(1).map(|c| {
                    let on = c.iter().zip(0..).filter(|(c, _)| **c != 0);
                    on.map(|(_, i)| i).collect()
                });
                let count = chosen.as_ref().map(|c| c.len() as u64);
                let x = self.input(0)?;
                let Some(at) = self.attrs.int("axis") else {
                    let data = chosen.and_then(|c| {
                        let all = x.data.as_deref()?;
                        all.pick(c.into_iter().map(|i| usize::try_from(i).ok()))
                    });
                    return Some(Fact::with(t, vec![count], data));
                };
                let mut dims = self.dims(0)?.clone();
                let at = axis(at, dims.len())?;
                dims[at] = count;
                let data = x.rearranged(&dims, |mut position| {
                    let a = position.get_mut(at)?;
                    *a = *chosen.as_ref()?.get(usize::try_from(*a).ok()?)?;
                    Some(position)
                });
                Fact::with(t, dims, data)
            }
            _ => return None,
        })
    }

    pub fn top_k(&self) -> Option<Vec<Fact>> {
        let t = self.first_dtype();
        let mut dims = self.dims(0)?.clone();
        let at = axis(self.attrs.int_or("axis", -1), dims.len())?;
        let k = match self.attrs.int("k") {
            Some(k) => u64::try_from(k).ok(),
            None => self.size(1),
        };
        dims[at] = k;
        let picked = || {
            let out = small(&dims)?;
            let lines = self.sorted(at, self.attrs.int_or("largest", 1) != 0)?;
            let mut lengths = out.clone();
            *lengths.get_mut(at)? = 1;
            let of = |mut position: Vec<u64>| {
                let rank = usize::try_from(std::mem::take(position.get_mut(at)?)).ok()?;
                lines.get(offset(&position, &lengths)?)?.get(rank).copied()
            };
            positions(&out).map(of).collect::<Option<Vec<_>>>()
        };
        let picked = picked();
        let values = picked.as_ref().and_then(|p| {
            let data = self.input(0)?.data.as_deref()?;
            data.pick(p.iter().map(|(.., place)| Some(*place)))
        });
        let indices = picked.map(|p| Data::Int(p.iter().map(|(i, ..)| Some(*i as i64)).collect()));
        Some(vec![
            Fact::with(t, dims.clone(), values),
            Fact::with(DType::I64, dims, indices),
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

    /// Per line along a dim, its elements from best to worst; equal ones in order.
    fn sorted(&self, at: usize, largest: bool) -> Option<Vec<Line>> {
        let (dims, data) = self.input(0)?.small()?;
        let numbers: Vec<f64> = data.floats()?;
        let mut heads = dims.clone();
        *heads.get_mut(at)? = 1;
        let mut lines: Vec<Line> = vec![Vec::new(); few(&heads)?];
        for (place, position) in positions(&dims).enumerate() {
            let index = *position.get(at)?;
            let line = lines.get_mut(offset(&position, &heads)?)?;
            line.push((index, *numbers.get(place)?, place));
        }
        for line in &mut lines {
            line.sort_by(|(_, a, _), (_, b, _)| {
                if largest {
                    b.total_cmp(a)
                } else {
                    a.total_cmp(b)
                }
            });
        }
        Some(lines)
    }

    /// Positions of a small constant that are not 0.
    fn nonzero(&self) -> Option<Vec<Vec<u64>>> {
        let (dims, data) = self.input(0)?.small()?;
        let numbers = data.floats()?;
        let found = positions(&dims).zip(numbers).filter(|(_, v)| *v != 0.0);
        Some(found.map(|(at, _)| at).collect())
    }

    /// Data of a OneHot: off and on value by index.
    fn hot(&self, out: &[Option<u64>], at: usize) -> Option<Data> {
        let (own, indices) = self.input(0)?.small()?;
        let (indices, values) = (indices.floats()?, self.input(2)?.data.as_deref()?);
        let depth = (*out.get(at)?)?;
        let out = small(out)?;
        values.pick(positions(&out).map(|mut position| {
            let here = position.remove(at);
            let index = *indices.get(offset(&position, &own)?)? as i64;
            Some(usize::from(wrapped(index, depth) == Some(here)))
        }))
    }

    fn gathered_elements(&self) -> Option<Data> {
        let (x, indices) = (self.input(0)?, self.input(1)?);
        let at = axis(self.attrs.int_or("axis", 0), x.rank()?)?;
        let (own, places) = (indices.shape()?, indices.ints()?);
        x.rearranged(indices.dims.as_ref()?, |mut position| {
            let index = *places.get(offset(&position, &own)?)?;
            *position.get_mut(at)? = wrapped(index, x.dim(at)?)?;
            Some(position)
        })
    }

    fn gathered_nd(&self, out: &[Option<u64>], batch: usize, depth: usize) -> Option<Data> {
        let (x, indices) = (self.input(0)?, self.input(1)?);
        let (own, places) = (indices.shape()?, indices.ints()?);
        let lead = own.len().checked_sub(1)?;
        x.rearranged(out, |position| {
            let mut source = position.get(..batch)?.to_vec();
            for i in 0..depth {
                let mut at = position.get(..lead)?.to_vec();
                at.push(i as u64);
                let index = *places.get(offset(&at, &own)?)?;
                source.push(wrapped(index, x.dim(batch + i)?)?);
            }
            source.extend_from_slice(position.get(lead..)?);
            Some(source)
        })
    }

    fn scattered(&self) -> Option<Data> {
        let (x, indices, updates) = (self.input(0)?, self.input(1)?, self.input(2)?);
        let ((own, data), (at, places)) = (x.small()?, (indices.shape()?, indices.ints()?));
        let (shape, new) = updates.small()?;
        let mut numbers = data.numbers();
        let depth = match self.op {
            O::ScatterND => usize::try_from(*at.last()?).ok()?,
            _ => 0,
        };
        let axis = match self.op {
            O::ScatterND => 0,
            _ => axis(self.attrs.int_or("axis", 0), own.len())?,
        };
        for (position, value) in positions(&shape).zip(new.numbers()) {
            let target = if self.op == O::ScatterND {
                let lead = at.len().checked_sub(1)?;
                let mut target = Vec::with_capacity(own.len());
                for i in 0..depth {
                    let mut index = position.get(..lead)?.to_vec();
                    index.push(i as u64);
                    target.push(wrapped(*places.get(offset(&index, &at)?)?, *own.get(i)?)?);
                }
                target.extend_from_slice(position.get(lead..)?);
                target
            } else {
                let mut target = position.clone();
                let index = *places.get(offset(&position, &at)?)?;
                *target.get_mut(axis)? = wrapped(index, *own.get(axis)?)?;
                target
            };
            let slot = numbers.get_mut(offset(&target, &own)?)?;
            let (old, value) = (*slot, value);
            let both = |f: fn(f64, f64) -> f64| Some(f(old?, value?));
            *slot = match self.attrs.text("reduction") {
                None | Some("none") => value,
                Some("add") => both(|a, b| a + b),
                Some("mul") => both(|a, b| a * b),
                Some("max") => both(f64::max),
                Some("min") => both(f64::min),
                _ => None,
            };
        }
        Some(Data::Float(numbers))
    }

    /// CumSum and Trilu.
    fn running(&self) -> Option<Data> {
        let (dims, data) = self.input(0)?.small()?;
        let mut numbers = data.numbers();
        if self.op == O::Trilu {
            let k = match self.input(1) {
                Some(k) => k.data.as_ref()?.first_int()?,
                None => 0,
            };
            let upper = self.attrs.int_or("upper", 1) != 0;
            for (at, slot) in positions(&dims).zip(&mut numbers) {
                let [.., row, column] = at[..] else {
                    return None;
                };
                let over = (column as i64).checked_sub(row as i64)?;
                if (upper && over < k) || (!upper && over > k) {
                    *slot = Some(0.0);
                }
            }
            return Some(Data::Float(numbers));
        }
        let at = axis(self.input(1)?.data.as_ref()?.first_int()?, dims.len())?;
        let (exclusive, reverse) = (self.attrs.flag("exclusive"), self.attrs.flag("reverse"));
        let mut heads = dims.clone();
        *heads.get_mut(at)? = 1;
        let mut sums = vec![Some(0.0); few(&heads)?];
        let mut order: Vec<(usize, Vec<u64>)> = positions(&dims).enumerate().collect();
        if reverse {
            order.reverse();
        }
        for (i, position) in order {
            let sum = sums.get_mut(offset(&position, &heads)?)?;
            let slot = numbers.get_mut(i)?;
            let before = *sum;
            *sum = before.zip(*slot).map(|(a, b): (f64, f64)| a + b);
            *slot = if exclusive { before } else { *sum };
        }
        Some(Data::Float(numbers))
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
            let mut source = position.get(..axis)?.to_vec();
            source.push(wrapped(index, (*x.get(axis)?)?)?);
            source.extend_from_slice(position.get(axis + at.len()..)?);
            Some(source)
        });
        Some(Fact::with(self.first_dtype(), out, data))
    }
}
