//! Element by element: activations, arithmetic, comparison, casts.

use super::call::Call;
use super::fact::{Dims, Fact, broadcast};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::{Data, dtype};

impl Call<'_> {
    /// Casts, quantisation and choice.
    pub fn pointwise(&self) -> Option<Fact> {
        Some(match self.op {
            O::Not | O::IsNaN | O::IsInf => self.of_each(DType::Bool),
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

    /// One number gives one, of element type `t`.
    pub fn of_each(&self, t: DType) -> Fact {
        let Some(dims) = self.dims(0) else {
            return Fact::new(t, None);
        };
        let data = self.input(0).and_then(|x| match &**x.data.as_ref()? {
            Data::Int(v) => Some(Data::Int(v.iter().map(|i| self.int_of((*i)?)).collect())),
            Data::Float(v) => Some(Data::Float(
                v.iter().map(|f| self.float_of((*f)?)).collect(),
            )),
        });
        Fact::with(t, dims.clone(), data)
    }

    fn int_of(&self, v: i64) -> Option<i64> {
        match self.op {
            O::Neg => v.checked_neg(),
            O::Abs => v.checked_abs(),
            O::Sign => Some(v.signum()),
            O::Relu => Some(v.max(0)),
            O::Not => Some(i64::from(v == 0)),
            O::BitwiseNot => Some(!v),
            O::Clip => {
                let (low, high) = (self.bound("min", 1)?, self.bound("max", 2)?);
                Some((v as f64).max(low).min(high) as i64)
            }
            _ => None,
        }
    }

    fn float_of(&self, v: f64) -> Option<f64> {
        Some(match self.op {
            O::Abs => v.abs(),
            O::Neg => -v,
            O::Floor => v.floor(),
            O::Ceil => v.ceil(),
            O::Sqrt => v.sqrt(),
            O::Exp => v.exp(),
            O::Log => v.ln(),
            O::Reciprocal => 1.0 / v,
            O::Round => v.round_ties_even(),
            O::Sign if v == 0.0 => 0.0,
            O::Sign => v.signum(),
            O::Sin => v.sin(),
            O::Cos => v.cos(),
            O::Tan => v.tan(),
            O::Asin => v.asin(),
            O::Acos => v.acos(),
            O::Atan => v.atan(),
            O::Sinh => v.sinh(),
            O::Cosh => v.cosh(),
            O::Asinh => v.asinh(),
            O::Acosh => v.acosh(),
            O::Atanh => v.atanh(),
            O::Tanh => v.tanh(),
            O::Sigmoid => 1.0 / (1.0 + (-v).exp()),
            O::Softplus => v.exp().ln_1p(),
            O::Softsign => v / (1.0 + v.abs()),
            O::Relu => v.max(0.0),
            O::LeakyRelu if v < 0.0 => v * f64::from(self.attrs.float("alpha").unwrap_or(0.01)),
            O::LeakyRelu => v,
            O::IsNaN => f64::from(u8::from(v.is_nan())),
            O::IsInf => f64::from(u8::from(v.is_infinite())),
            O::Clip => v.max(self.bound("min", 1)?).min(self.bound("max", 2)?),
            _ => return None,
        })
    }

    /// A bound of Clip; infinite where it is left out, `None` where it is unknown.
    fn bound(&self, name: &str, input: usize) -> Option<f64> {
        let open = if name == "min" {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
        if self.opset < 11 {
            return Some(self.attrs.float(name).map_or(open, f64::from));
        }
        match self.input(input) {
            None => Some(open),
            Some(fact) => fact.data.as_ref()?.first_float(),
        }
    }

    fn cast(&self, to: DType) -> Fact {
        match (self.input(0), self.dims(0)) {
            (Some(x), Some(dims)) => {
                let data = x.data.as_deref().filter(|_| to != DType::String);
                Fact::with(to, dims.clone(), data.cloned())
            }
            _ => Fact::new(to, None),
        }
    }

    /// Two numbers give one, of element type `t`.
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
        let data = self.folded(
            &dims,
            2,
            |p, q| self.ints_of(p, q),
            |p, q| self.floats_of(p, q),
        );
        Fact::with(t, dims, data)
    }

    /// The first inputs, broadcast, joined two by two.
    fn folded(
        &self,
        dims: &Dims,
        inputs: usize,
        ints: impl Fn(i64, i64) -> Option<i64>,
        floats: impl Fn(f64, f64) -> Option<f64>,
    ) -> Option<Data> {
        let mut all = (0..inputs).map(|i| self.input(i)?.rearranged(dims, Some));
        let first = all.next()??;
        all.try_fold(first, |a, b| {
            Some(match (&a, &b?) {
                (Data::Int(a), Data::Int(b)) => {
                    let one = |(p, q): (&Option<i64>, &Option<i64>)| ints((*p)?, (*q)?);
                    Data::Int(a.iter().zip(b).map(one).collect())
                }
                (a, b) => {
                    let one = |(p, q): (Option<f64>, Option<f64>)| floats(p?, q?);
                    Data::Float(a.numbers().into_iter().zip(b.numbers()).map(one).collect())
                }
            })
        })
    }

    fn ints_of(&self, p: i64, q: i64) -> Option<i64> {
        let truth = |v: bool| Some(i64::from(v));
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
            O::BitwiseAnd => Some(p & q),
            O::BitwiseOr => Some(p | q),
            O::BitwiseXor => Some(p ^ q),
            O::BitShift if self.attrs.text("direction") == Some("LEFT") => {
                p.checked_mul(1i64.checked_shl(u32::try_from(q).ok()?)?)
            }
            O::BitShift => p.checked_shr(u32::try_from(q).ok()?),
            O::And => truth(p != 0 && q != 0),
            O::Or => truth(p != 0 || q != 0),
            O::Xor => truth((p != 0) != (q != 0)),
            O::Equal => truth(p == q),
            O::Greater => truth(p > q),
            O::GreaterOrEqual => truth(p >= q),
            O::Less => truth(p < q),
            O::LessOrEqual => truth(p <= q),
            _ => None,
        }
    }

    fn floats_of(&self, p: f64, q: f64) -> Option<f64> {
        let truth = |v: bool| f64::from(u8::from(v));
        Some(match self.op {
            O::Add => p + q,
            O::Sub => p - q,
            O::Mul => p * q,
            O::Div => p / q,
            O::Pow => p.powf(q),
            // Floats have only C's remainder.
            O::Mod => p % q,
            O::Equal => truth(p == q),
            O::Greater => truth(p > q),
            O::GreaterOrEqual => truth(p >= q),
            O::Less => truth(p < q),
            O::LessOrEqual => truth(p <= q),
            _ => return None,
        })
    }

    /// Max, Min, Sum, Mean of any number of inputs.
    pub fn variadic(&self, t: DType) -> Option<Fact> {
        let all: Option<Vec<&Dims>> = self.inputs.iter().map(|f| (*f)?.dims.as_ref()).collect();
        let dims = broadcast(&all?)?;
        let n = self.inputs.len();
        let data = self.folded(
            &dims,
            n,
            |p, q| match self.op {
                O::Max => Some(p.max(q)),
                O::Min => Some(p.min(q)),
                O::Sum => p.checked_add(q),
                _ => None,
            },
            |p, q| {
                Some(match self.op {
                    O::Max => p.max(q),
                    O::Min => p.min(q),
                    _ => p + q,
                })
            },
        );
        let data = match data {
            Some(Data::Float(v)) if self.op == O::Mean => Some(Data::Float(
                v.iter().map(|v| v.map(|v| v / n as f64)).collect(),
            )),
            data => data,
        };
        Some(Fact::with(t, dims, data))
    }

    fn select(&self) -> Option<Fact> {
        let dims = broadcast(&[self.dims(0)?, self.dims(1)?, self.dims(2)?])?;
        let of = |i: usize| self.input(i)?.rearranged(&dims, Some);
        let data = || {
            let Data::Int(choice) = of(0)? else {
                return None;
            };
            Some(match (of(1)?, of(2)?) {
                (Data::Int(x), Data::Int(y)) => Data::Int(chosen(&choice, &x, &y)),
                (x, y) => Data::Float(chosen(&choice, &x.numbers(), &y.numbers())),
            })
        };
        let data = data();
        Some(Fact::with(self.input(1)?.dtype, dims, data))
    }
}

fn chosen<T: Copy>(choice: &[Option<i64>], x: &[Option<T>], y: &[Option<T>]) -> Vec<Option<T>> {
    let pick = |((c, x), y): ((&Option<i64>, &Option<T>), &Option<T>)| match (*c)? {
        0 => *y,
        _ => *x,
    };
    choice.iter().zip(x).zip(y).map(pick).collect()
}
