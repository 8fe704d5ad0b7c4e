//! Values made from attributes and shapes.

use super::call::Call;
use super::fact::{Fact, MAX_DIM, elements, fill, positions, small};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::{Data, MAX_VALUES, dtype, is_float, tensor_data};

impl Call<'_> {
    /// Values that attributes and shapes give.
    pub fn source(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Shape => {
                let dims = self.dims(0)?;
                let rank = dims.len() as i64;
                let clamp = |v: i64| {
                    let v = if v < 0 { v.saturating_add(rank) } else { v };
                    v.clamp(0, rank) as usize
                };
                let start = clamp(self.attrs.int_or("start", 0));
                let end = clamp(self.attrs.int_or("end", rank)).max(start);
                let part = dims.get(start..end)?;
                let data = part.iter().map(|d| d.map(|d| d as i64)).collect();
                Fact::with(
                    DType::I64,
                    vec![Some(part.len() as u64)],
                    Some(Data::Int(data)),
                )
            }
            O::Size => {
                let n = elements(self.dims(0)?).and_then(|n| i64::try_from(n).ok());
                Fact::with(DType::I64, vec![], Some(Data::Int(vec![n])))
            }
            O::Constant => self.constant()?,
            O::ConstantOfShape => {
                let size = self.sizes(0)?;
                let (t, value) = match self.attrs.tensor("value") {
                    Some(v) => (dtype(v.data_type), tensor_data(v)),
                    None => (DType::F32, Some(Data::Float(vec![Some(0.0)]))),
                };
                let data = value.and_then(|v| fill(&v, &size));
                Fact::with(t, size, data)
            }
            O::Range => self.range()?,
            O::EyeLike | O::RandomNormalLike | O::RandomUniformLike | O::Bernoulli => {
                let t = match self.attrs.int("dtype") {
                    Some(code) => dtype(i32::try_from(code).ok()?),
                    None => t,
                };
                let dims = self.dims(0)?.clone();
                let diagonal = || {
                    let k = self.attrs.int_or("k", 0);
                    let on = |at: Vec<u64>| match at[..] {
                        [row, column] => {
                            let over = (column as i64).checked_sub(row as i64)?;
                            Some(i64::from(over == k))
                        }
                        _ => None,
                    };
                    let dims = small(&dims)?;
                    Some(Data::Int(positions(&dims).map(on).collect()))
                };
                let data = diagonal().filter(|_| self.op == O::EyeLike);
                Fact::with(t, dims, data)
            }
            O::RandomNormal | O::RandomUniform => {
                let shape = self.attrs.ints("shape")?;
                let dims = shape.iter().map(|d| u64::try_from(*d).ok()).collect();
                let code = i32::try_from(self.attrs.int_or("dtype", 1)).ok()?;
                Fact::new(dtype(code), Some(dims))
            }
            _ => return None,
        })
    }

    fn constant(&self) -> Option<Fact> {
        let attribute = self.attrs.0.iter().find(|a| a.name.starts_with("value"))?;
        let list = |t, n: usize, data| Fact::with(t, vec![Some(n as u64)], Some(data));
        Some(match attribute.name.as_str() {
            "value" => Fact::of_tensor(attribute.t.as_deref()?),
            "value_int" => Fact::with(DType::I64, vec![], Some(Data::Int(vec![attribute.i]))),
            "value_ints" => {
                let v = &attribute.ints;
                let data = v.iter().take(MAX_VALUES + 1).copied().map(Some).collect();
                list(DType::I64, v.len(), Data::Int(data))
            }
            "value_float" => {
                let v = f64::from(attribute.f?);
                Fact::with(DType::F32, vec![], Some(Data::Float(vec![Some(v)])))
            }
            "value_floats" => {
                let v = &attribute.floats;
                let data = v
                    .iter()
                    .take(MAX_VALUES + 1)
                    .map(|f| Some(f64::from(*f)))
                    .collect();
                list(DType::F32, v.len(), Data::Float(data))
            }
            "value_string" => Fact::new(DType::String, Some(vec![])),
            "value_strings" => Fact::new(
                DType::String,
                Some(vec![Some(attribute.strings.len() as u64)]),
            ),
            _ => return None,
        })
    }

    fn range(&self) -> Option<Fact> {
        let t = self.first_dtype();
        let number = |i: usize| self.input(i)?.data.as_ref()?.first_float();
        let (Some(start), Some(limit), Some(step)) = (number(0), number(1), number(2)) else {
            return Some(Fact::new(t, Some(vec![None])));
        };
        let n = ((limit - start) / step).ceil().max(0.0);
        if n.is_nan() || n > MAX_DIM as f64 {
            return None;
        }
        let n = n as u64;
        let data = || {
            if n > MAX_VALUES as u64 {
                return None;
            }
            if is_float(t) {
                return Some(Data::Float(
                    (0..n).map(|i| Some(start + step * i as f64)).collect(),
                ));
            }
            let int = |i: usize| self.input(i)?.data.as_ref()?.first_int();
            let (start, step) = (int(0)?, int(2)?);
            let at = |i: u64| start.checked_add(step.checked_mul(i as i64)?);
            Some(Data::Int((0..n).map(at).collect()))
        };
        Some(Fact::with(t, vec![Some(n)], data()))
    }
}
