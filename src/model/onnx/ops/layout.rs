//! Elements moved, not changed: shapes, joins, cuts and copies.

use super::call::Call;
use super::fact::{Dims, Fact, axis, broadcast, elements, offset, positions, small};
use super::op::OnnxOp as O;
use crate::model::onnx::attrs::Data;

impl Call<'_> {
    /// Shapes of ops that move elements.
    pub fn layout(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Flatten => {
                let dims = self.dims(0)?;
                let rank = i64::try_from(dims.len()).ok()?;
                let at = self.attrs.int_or("axis", 1);
                let at = if at < 0 { at.checked_add(rank)? } else { at };
                let (before, after) = dims.split_at_checked(usize::try_from(at).ok()?)?;
                self.same_data(vec![elements(before), elements(after)])
            }
            O::Reshape => self.reshape()?,
            O::Squeeze => self.squeeze()?,
            O::Unsqueeze => {
                let dims = self.dims(0)?;
                let axes = self.axes(1)??;
                let rank = dims.len() + axes.len();
                let mut new = vec![false; rank];
                for a in axes {
                    new[axis(a, rank)?] = true;
                }
                let mut old = dims.iter();
                let out: Option<Dims> = new
                    .into_iter()
                    .map(|new| {
                        if new {
                            Some(Some(1))
                        } else {
                            old.next().copied()
                        }
                    })
                    .collect();
                self.same_data(out?)
            }
            O::Transpose => {
                let dims = self.dims(0)?;
                let perm: Vec<usize> = match self.attrs.ints("perm") {
                    Some(perm) if !perm.is_empty() => {
                        let perm = perm.iter().map(|p| usize::try_from(*p).ok());
                        perm.collect::<Option<_>>()?
                    }
                    _ => (0..dims.len()).rev().collect(),
                };
                if perm.len() != dims.len() {
                    return None;
                }
                let out: Dims = perm
                    .iter()
                    .map(|p| dims.get(*p).copied())
                    .collect::<Option<_>>()?;
                let data = self.input(0)?.rearranged(&out, |at| {
                    let mut source = vec![0; at.len()];
                    for (a, p) in at.into_iter().zip(&perm) {
                        *source.get_mut(*p)? = a;
                    }
                    Some(source)
                });
                Fact::with(t, out, data)
            }
            O::DepthToSpace | O::SpaceToDepth => {
                let b = u64::try_from(self.attrs.int("blocksize")?)
                    .ok()
                    .filter(|b| *b > 0)?;
                let [n, c, h, w] = self.dims(0)?[..] else {
                    return None;
                };
                let square = b.checked_mul(b)?;
                let times = |d: Option<u64>, by: u64| d.and_then(|d| d.checked_mul(by));
                let over = |d: Option<u64>, by: u64| d.map(|d| d / by);
                Fact::new(
                    t,
                    Some(if self.op == O::DepthToSpace {
                        vec![n, over(c, square), times(h, b), times(w, b)]
                    } else {
                        vec![n, times(c, square), over(h, b), over(w, b)]
                    }),
                )
            }
            O::Concat => self.concat()?,
            O::Slice => self.slice()?,
            O::Expand => {
                let size = self.sizes(1)?;
                let dims = broadcast(&[self.dims(0)?, &size])?;
                let filled = self.input(0)?.rearranged(&dims, Some);
                Fact::with(t, dims, filled)
            }
            O::Tile => {
                let dims = self.dims(0)?;
                let repeats = self.ints(1)?;
                if repeats.len() != dims.len() {
                    return None;
                }
                let times = |(d, r): (&Option<u64>, i64)| {
                    d.and_then(|d| d.checked_mul(u64::try_from(r).ok()?))
                };
                let out: Dims = dims.iter().zip(repeats).map(times).collect();
                let data = self.input(0)?.rearranged(&out, |mut at| {
                    for (a, d) in at.iter_mut().zip(dims) {
                        *a = a.checked_rem((*d)?)?;
                    }
                    Some(at)
                });
                Fact::with(t, out, data)
            }
            O::CenterCropPad => {
                let mut out = self.dims(0)?.clone();
                let axes = self.attrs.ints("axes").unwrap_or_default();
                let all: Vec<i64> = (0..out.len() as i64).collect();
                let axes = if axes.is_empty() { &all } else { axes };
                let sizes = self.sizes(1).unwrap_or_else(|| vec![None; axes.len()]);
                if sizes.len() != axes.len() {
                    return None;
                }
                for (a, size) in axes.iter().zip(sizes) {
                    let at = axis(*a, out.len())?;
                    out[at] = size;
                }
                Fact::new(t, Some(out))
            }
            O::Crop => {
                let [n, c, h, w] = self.dims(0)?[..] else {
                    return None;
                };
                let [left, top, right, bottom] = self.attrs.ints("border")? else {
                    return None;
                };
                let size = |d: Option<u64>, before: i64, after: i64, at: usize| {
                    if let Some(scale) = self.attrs.ints("scale").filter(|s| s.len() == 2) {
                        return u64::try_from(*scale.get(at)?).ok();
                    }
                    let cut = u64::try_from(before.checked_add(after)?).ok()?;
                    d?.checked_sub(cut)
                };
                let (h, w) = (size(h, *top, *bottom, 0), size(w, *left, *right, 1));
                Fact::new(t, Some(vec![n, c, h, w]))
            }
            O::Pad => self.pad()?,
            _ => return None,
        })
    }

    fn reshape(&self) -> Option<Fact> {
        let x = self.input(0)?;
        let target = match self.attrs.ints("shape") {
            Some(shape) => shape.iter().copied().map(Some).collect(),
            None => match &**self.input(1)?.data.as_ref()? {
                Data::Int(v) => v.clone(),
                Data::Float(_) => return None,
            },
        };
        let zero_copies = !self.attrs.flag("allowzero");
        let mut out: Dims = Vec::with_capacity(target.len());
        let mut open = None;
        for (i, t) in target.iter().enumerate() {
            out.push(match t {
                Some(0) if zero_copies => *x.dims.as_ref()?.get(i)?,
                Some(-1) if open.is_none() => {
                    open = Some(i);
                    None
                }
                Some(t) => Some(u64::try_from(*t).ok()?),
                None => None,
            });
        }
        let total = x.dims.as_ref().and_then(|d| elements(d));
        match open {
            Some(open) => {
                let rest: Dims = out
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| *i != open)
                    .map(|(_, d)| *d)
                    .collect();
                out[open] = match (total, elements(&rest)) {
                    (Some(total), Some(rest)) if rest > 0 && total % rest == 0 => {
                        Some(total / rest)
                    }
                    (Some(_), Some(_)) => return None,
                    _ => None,
                };
            }
            None => {
                if let (Some(total), Some(n)) = (total, elements(&out))
                    && total != n
                {
                    return None;
                }
            }
        }
        Some(self.same_data(out))
    }

    fn squeeze(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let drop: Vec<usize> = match self.axes(1)? {
            Some(axes) if !axes.is_empty() || self.opset >= 13 => {
                let at: Option<_> = axes.iter().map(|a| axis(*a, dims.len())).collect();
                at?
            }
            _ => {
                // Unknown dims may be 1 or not.
                let known: Option<Vec<u64>> = dims.iter().copied().collect();
                let ones = known?.into_iter().enumerate().filter(|(_, d)| *d == 1);
                ones.map(|(i, _)| i).collect()
            }
        };
        let keep = dims.iter().enumerate().filter(|(i, _)| !drop.contains(i));
        Some(self.same_data(keep.map(|(_, d)| *d).collect()))
    }

    fn concat(&self) -> Option<Fact> {
        let all: Option<Vec<&Dims>> = self.inputs.iter().map(|f| (*f)?.dims.as_ref()).collect();
        let all = all?;
        let mut out = (*all.first()?).clone();
        let at = axis(self.attrs.int_or("axis", 1), out.len())?;
        for dims in all.get(1..)? {
            if dims.len() != out.len() {
                return None;
            }
            for (i, (o, d)) in out.iter_mut().zip(dims.iter()).enumerate() {
                *o = match (*o, *d) {
                    (Some(a), Some(b)) if i == at => Some(a.checked_add(b)?),
                    _ if i == at => None,
                    (Some(a), Some(b)) if a != b => return None,
                    (a, b) => a.or(b),
                };
            }
        }
        let data = self.joined(at, &out);
        Some(Fact::with(self.first_dtype(), out, data))
    }

    /// Data of a Concat along `at`: each place of the output is one of an input.
    fn joined(&self, at: usize, out: &[Option<u64>]) -> Option<Data> {
        let out = small(out)?;
        let mut parts = Vec::with_capacity(self.inputs.len());
        for fact in &self.inputs {
            parts.push((*fact)?.small()?);
        }
        let place = |mut position: Vec<u64>| {
            for (dims, data) in &parts {
                let (a, size) = (position.get_mut(at)?, *dims.get(at)?);
                if *a < size {
                    return Some((*data, offset(&position, dims)?));
                }
                *a -= size;
            }
            None
        };
        let places: Vec<(&Data, usize)> = positions(&out).map(place).collect::<Option<_>>()?;
        if parts.iter().all(|(_, data)| matches!(data, Data::Int(_))) {
            let int = |(data, at): &(&Data, usize)| match data {
                Data::Int(v) => *v.get(*at)?,
                Data::Float(_) => None,
            };
            return Some(Data::Int(places.iter().map(int).collect()));
        }
        let number = |(data, at): &(&Data, usize)| match data {
            Data::Int(v) => v.get(*at)?.map(|v| v as f64),
            Data::Float(v) => *v.get(*at)?,
        };
        Some(Data::Float(places.iter().map(number).collect()))
    }

    /// Starts, ends, axes and steps of a Slice, where they are known.
    pub fn slice_params(&self) -> Option<Vec<(i64, i64, i64, i64)>> {
        let (starts, ends, axes, steps) = if let Some(starts) = self.attrs.ints("starts") {
            let ends = self.attrs.ints("ends")?.to_vec();
            let axes = self.attrs.ints("axes").map(<[i64]>::to_vec);
            (starts.to_vec(), ends, axes, None)
        } else {
            let optional = |i| match self.input(i) {
                None => Some(None),
                Some(f) => f.ints().map(Some),
            };
            (self.ints(1)?, self.ints(2)?, optional(3)?, optional(4)?)
        };
        let n = starts.len();
        let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; n]);
        if ends.len() != n || axes.len() != n || steps.len() != n {
            return None;
        }
        let zipped = starts.into_iter().zip(ends).zip(axes).zip(steps);
        Some(zipped.map(|(((s, e), a), p)| (s, e, a, p)).collect())
    }

    fn slice(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let mut out = dims.clone();
        let params = self.slice_params();
        let Some(params) = params else {
            // The rank stays; which dims change is unknown unless the axes are.
            let axes = match self.attrs.ints("axes") {
                Some(axes) => Some(axes.to_vec()),
                None => self.ints(3),
            };
            match axes {
                Some(axes) => {
                    for a in axes {
                        out[axis(a, dims.len())?] = None;
                    }
                }
                None => out.iter_mut().for_each(|d| *d = None),
            }
            return Some(Fact::new(self.first_dtype(), Some(out)));
        };
        for &(start, end, at, step) in &params {
            let at = axis(at, dims.len())?;
            out[at] = match dims[at] {
                Some(size) => Some(sliced(size, start, end, step)?.1),
                None => None,
            };
        }
        let data = self.input(0)?.rearranged(&out, |mut at| {
            for &(start, end, axis_of, step) in &params {
                let i = axis(axis_of, dims.len())?;
                let (first, _) = sliced((*dims.get(i)?)?, start, end, step)?;
                let a = at.get_mut(i)?;
                let moved = first.checked_add(i64::try_from(*a).ok()?.checked_mul(step)?)?;
                *a = u64::try_from(moved).ok()?;
            }
            Some(at)
        });
        Some(Fact::with(self.first_dtype(), out, data))
    }

    pub fn split(&self) -> Option<Vec<Fact>> {
        let dims = self.dims(0)?;
        let at = axis(self.attrs.int_or("axis", 0), dims.len())?;
        let n = self.outputs as u64;
        let parts: Dims = match (self.attrs.ints("split"), self.input(1)) {
            (Some(parts), _) => parts.iter().map(|p| u64::try_from(*p).ok()).collect(),
            (None, Some(f)) => match f.ints() {
                Some(parts) => parts.iter().map(|p| u64::try_from(*p).ok()).collect(),
                None => vec![None; self.outputs],
            },
            (None, None) => match dims[at] {
                // Equal parts; since opset 18 the last may be smaller.
                Some(d) => {
                    let part = d.div_ceil(n.max(1));
                    (0..n)
                        .map(|i| Some(part.min(d.saturating_sub(part.saturating_mul(i)))))
                        .collect()
                }
                None => vec![None; self.outputs],
            },
        };
        if parts.len() != self.outputs {
            return None;
        }
        let mut start = Some(0);
        let out = parts.into_iter().map(|p| {
            let mut dims = dims.clone();
            dims[at] = p;
            let data = self.input(0).and_then(|x| {
                x.rearranged(&dims, |mut position| {
                    let a = position.get_mut(at)?;
                    *a = a.checked_add(start?)?;
                    Some(position)
                })
            });
            start = start.zip(p).and_then(|(s, p): (u64, u64)| s.checked_add(p));
            Fact::with(self.first_dtype(), dims, data)
        });
        Some(out.collect())
    }

    fn pad(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let pads = match self
            .attrs
            .ints("pads")
            .or_else(|| self.attrs.ints("paddings"))
        {
            Some(pads) => pads.to_vec(),
            None => match self.ints(1) {
                Some(pads) => pads,
                None => return Some(Fact::new(self.first_dtype(), Some(vec![None; dims.len()]))),
            },
        };
        let axes: Vec<usize> = match self.input(3) {
            Some(f) => f
                .ints()?
                .iter()
                .map(|a| axis(*a, dims.len()))
                .collect::<Option<_>>()?,
            None => (0..dims.len()).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return None;
        }
        let mut out = dims.clone();
        for (i, at) in axes.iter().enumerate() {
            if let Some(d) = out[*at] {
                let d = i64::try_from(d).ok()?;
                let d = d.checked_add(pads[i])?.checked_add(pads[i + axes.len()])?;
                out[*at] = Some(u64::try_from(d).ok()?);
            }
        }
        let data = self.padded(dims, &out, &axes, &pads);
        Some(Fact::with(self.first_dtype(), out, data))
    }

    fn padded(
        &self,
        dims: &Dims,
        out: &[Option<u64>],
        axes: &[usize],
        pads: &[i64],
    ) -> Option<Data> {
        let (own, data) = self.input(0)?.small()?;
        let out = small(out)?;
        let value = match (self.attrs.float("value"), self.input(2)) {
            (Some(v), _) => Data::Float(vec![Some(f64::from(v))]),
            (None, Some(fact)) => fact.data.as_deref()?.clone(),
            (None, None) => Data::Int(vec![Some(0)]),
        };
        let mode = self.attrs.text("mode").unwrap_or("constant");
        // `None`: in the constant frame.
        let source = |mut at: Vec<u64>| -> Option<Option<usize>> {
            for (i, axis) in axes.iter().enumerate() {
                let size = i64::try_from((*dims.get(*axis)?)?).ok()?;
                let a = at.get_mut(*axis)?;
                let from = i64::try_from(*a).ok()?.checked_sub(*pads.get(i)?)?;
                let inside = match mode {
                    "edge" => from.clamp(0, size.checked_sub(1)?),
                    "wrap" => from.checked_rem_euclid(size)?,
                    "reflect" => {
                        let turn = (size.checked_sub(1)?).checked_mul(2)?;
                        let m = if turn == 0 { 0 } else { from.rem_euclid(turn) };
                        m.min(turn - m)
                    }
                    _ if (0..size).contains(&from) => from,
                    _ => return Some(None),
                };
                *a = u64::try_from(inside).ok()?;
            }
            Some(Some(offset(&at, &own)?))
        };
        let places: Vec<Option<usize>> = positions(&out).map(source).collect::<Option<_>>()?;
        Some(match (data, &value) {
            (Data::Int(v), Data::Int(frame)) => {
                let frame = *frame.first()?;
                Data::Int(
                    places
                        .iter()
                        .map(|p| p.map_or(frame, |p| v.get(p).copied().flatten()))
                        .collect(),
                )
            }
            (data, frame) => {
                let (v, frame) = (data.numbers(), frame.first_float());
                Data::Float(
                    places
                        .iter()
                        .map(|p| p.map_or(frame, |p| v.get(p).copied().flatten()))
                        .collect(),
                )
            }
        })
    }
}

/// First index and number of elements of `start:end:step` over `size` elements.
fn sliced(size: u64, start: i64, end: i64, step: i64) -> Option<(i64, u64)> {
    let size = i64::try_from(size).ok()?;
    let wrap = |v: i64| if v < 0 { v.saturating_add(size) } else { v };
    let (start, end) = (wrap(start), wrap(end));
    let last = size - 1;
    let (start, span) = match step.signum() {
        1 => {
            let (s, e) = (start.clamp(0, size), end.clamp(0, size));
            (s, e - s)
        }
        -1 if size > 0 => {
            let (s, e) = (start.clamp(0, last), end.clamp(-1, last));
            (s, s - e)
        }
        -1 => (0, 0),
        _ => return None,
    };
    let count = (span.max(0) as u64).div_ceil(step.unsigned_abs());
    Some((start, count))
}
