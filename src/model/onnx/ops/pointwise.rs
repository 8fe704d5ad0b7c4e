//! Element by element: activations, arithmetic, comparison, casts.

use super::call::Call;
use super::fact::{Dims, Fact, broadcast};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::{Data, dtype};

impl Call<'_> {
    /// Shapes of element-wise ops.
    pub fn pointwise(&self) -> Option<Fact> {
        Some(match self.op {
            O::Abs | O::Neg | O::Floor | O::Ceil | O::Sqrt => self.unary(),
            O::Not | O::IsNaN | O::IsInf => Fact::new(DType::Bool, self.dims(0).cloned()),
            O::Cast => self.cast(dtype(i32::try_from(self.attrs.int("to")?).ok()?)),
            O::CastLike => self.cast(self.input(1)?.dtype),
            O::QuantizeLinear => {
                let zero_point = self.input(2).map_or(DType::U8, |f| f.dtype);
                Fact::new(zero_point, self.dims(0).cloned())
            }
            O::DequantizeLinear => Fact::new(self.input(1)?.dtype, self.dims(0).cloned()),
            O::Where => self.select()?,
            _ => return None,
        })
    }

    fn unary(&self) -> Fact {
        let f = |v: f64| match self.op {
            O::Abs => v.abs(),
            O::Neg => -v,
            O::Floor => v.floor(),
            O::Ceil => v.ceil(),
            _ => v.sqrt(),
        };
        let data = self
            .input(0)
            .and_then(|x| match (&**x.data.as_ref()?, self.op) {
                (Data::Int(v), O::Neg) => Some(Data::Int(
                    v.iter().map(|i| i.and_then(i64::checked_neg)).collect(),
                )),
                (Data::Int(v), O::Abs) => Some(Data::Int(
                    v.iter().map(|i| i.and_then(i64::checked_abs)).collect(),
                )),
                (Data::Int(_), _) => None,
                (Data::Float(v), _) => Some(Data::Float(v.iter().map(|v| f(*v)).collect())),
            });
        let t = self.first_dtype();
        match self.dims(0) {
            Some(dims) => Fact::with(t, dims.clone(), data),
            None => Fact::new(t, None),
        }
    }

    fn cast(&self, to: DType) -> Fact {
        let integer = matches!(
            to,
            DType::I8
                | DType::U8
                | DType::I16
                | DType::U16
                | DType::I32
                | DType::U32
                | DType::I64
                | DType::U64
        );
        let whole = |v: f64| (v.abs() < 9e15).then_some(v.trunc() as i64);
        let data = self.input(0).and_then(|x| match &**x.data.as_ref()? {
            Data::Int(v) if to == DType::Bool => Some(Data::Int(
                v.iter().map(|i| i.map(|i| i64::from(i != 0))).collect(),
            )),
            Data::Int(v) if integer => Some(Data::Int(v.clone())),
            data @ Data::Int(_) => data.floats().map(Data::Float),
            Data::Float(v) if integer => Some(Data::Int(v.iter().map(|v| whole(*v)).collect())),
            Data::Float(v) if to == DType::Bool => Some(Data::Int(
                v.iter().map(|v| Some(i64::from(*v != 0.0))).collect(),
            )),
            Data::Float(v) => Some(Data::Float(v.clone())),
        });
        match self.dims(0) {
            Some(dims) => Fact::with(to, dims.clone(), data),
            None => Fact::new(to, None),
        }
    }

    pub fn binary(&self, t: DType) -> Fact {
        let (Some(a), Some(b)) = (self.dims(0), self.dims(1)) else {
            return Fact::new(t, None);
        };
        if self.opset < 7 && self.attrs.flag("broadcast") {
            return Fact::new(t, Some(a.clone()));
        }
        let Some(dims) = broadcast(&[a, b]) else {
            return Fact::new(t, None);
        };
        let data = self.binary_data(&dims);
        Fact::with(t, dims, data)
    }

    /// Element-wise on small tensors.
    fn binary_data(&self, dims: &[Option<u64>]) -> Option<Data> {
        let a = self.input(0)?.rearranged(dims, Some)?;
        let b = self.input(1)?.rearranged(dims, Some)?;
        if let (Data::Int(x), Data::Int(y)) = (&a, &b) {
            let f = |p: i64, q: i64| -> Option<i64> {
                match self.op {
                    O::Add => p.checked_add(q),
                    O::Sub => p.checked_sub(q),
                    O::Mul => p.checked_mul(q),
                    O::Div => p.checked_div(q),
                    O::Mod if self.attrs.flag("fmod") => p.checked_rem(q),
                    O::Mod => {
                        let r = p.checked_rem(q)?;
                        Some(if r != 0 && (r < 0) != (q < 0) {
                            r.checked_add(q)?
                        } else {
                            r
                        })
                    }
                    O::Pow => p.checked_pow(u32::try_from(q).ok()?),
                    O::Equal => Some(i64::from(p == q)),
                    O::Greater => Some(i64::from(p > q)),
                    O::GreaterOrEqual => Some(i64::from(p >= q)),
                    O::Less => Some(i64::from(p < q)),
                    O::LessOrEqual => Some(i64::from(p <= q)),
                    O::And => Some(i64::from(p != 0 && q != 0)),
                    O::Or => Some(i64::from(p != 0 || q != 0)),
                    _ => None,
                }
            };
            let one = |(p, q): (&Option<i64>, &Option<i64>)| f((*p)?, (*q)?);
            return Some(Data::Int(x.iter().zip(y).map(one).collect()));
        }
        let (x, y) = (a.floats()?, b.floats()?);
        let f = |p: f64, q: f64| {
            Some(match self.op {
                O::Add => p + q,
                O::Sub => p - q,
                O::Mul => p * q,
                O::Div => p / q,
                O::Pow => p.powf(q),
                _ => return None,
            })
        };
        let all: Option<_> = x.into_iter().zip(y).map(|(p, q)| f(p, q)).collect();
        all.map(Data::Float)
    }

    pub fn variadic(&self, t: DType) -> Option<Fact> {
        let all: Option<Vec<&Dims>> = self.inputs.iter().map(|f| (*f)?.dims.as_ref()).collect();
        let dims = broadcast(&all?)?;
        let folded = || {
            let all: Option<Vec<Vec<i64>>> = self.inputs.iter().map(|f| (*f)?.ints()).collect();
            let f: fn(i64, i64) -> i64 = match self.op {
                O::Max => i64::max,
                O::Min => i64::min,
                _ => return None,
            };
            let all: Option<Vec<i64>> = all?
                .into_iter()
                .map(|v| if let [v] = v[..] { Some(v) } else { None })
                .collect();
            Some(Data::Int(vec![Some(all?.into_iter().reduce(f)?)]))
        };
        Some(Fact::with(t, dims, folded()))
    }

    fn select(&self) -> Option<Fact> {
        let dims = broadcast(&[self.dims(0)?, self.dims(1)?, self.dims(2)?])?;
        let ints = |i: usize| match self.input(i)?.rearranged(&dims, Some)? {
            Data::Int(v) => Some(v),
            Data::Float(_) => None,
        };
        let data = || {
            let (c, x, y) = (ints(0)?, ints(1)?, ints(2)?);
            let pick = |((c, x), y): ((Option<i64>, Option<i64>), Option<i64>)| match c? {
                0 => y,
                _ => x,
            };
            Some(Data::Int(c.into_iter().zip(x).zip(y).map(pick).collect()))
        };
        let data = data();
        Some(Fact::with(self.input(1)?.dtype, dims, data))
    }
}
