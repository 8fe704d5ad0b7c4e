//! Matrix products.

use std::collections::BTreeMap;

use super::call::Call;
use super::fact::{Dims, Fact, broadcast, elements};
use super::op::OnnxOp as O;
use crate::model::DType;
use crate::model::onnx::attrs::{Data, MAX_VALUES, is_float};

impl Call<'_> {
    /// Shapes of matrix products.
    pub fn product(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Gemm => {
                let dims = self.gemm_dims(0, 1)?;
                let data = self.matrix_data(&dims);
                Fact::with(t, dims, data)
            }
            O::MatMul | O::MatMulInteger => {
                let t = if self.op == O::MatMul { t } else { DType::I32 };
                let dims = matmul(self.dims(0)?, self.dims(1)?)?;
                let data = self.matrix_data(&dims);
                Fact::with(t, dims, data)
            }
            O::QLinearMatMul => {
                let dtype = self.input(7).map_or(t, |f| f.dtype);
                Fact::new(dtype, matmul(self.dims(0)?, self.dims(3)?))
            }
            O::Einsum => {
                let sizes = einsum_sizes(self)?;
                Fact::new(t, Some(sizes.output))
            }
            O::Det => {
                let dims = self.dims(0)?;
                Fact::new(t, Some(dims.get(..dims.len().checked_sub(2)?)?.to_vec()))
            }
            _ => return None,
        })
    }

    /// ONNX Runtime's products.
    pub fn fused_product(&self) -> Option<Fact> {
        let t = self.first_dtype();
        let float = |t| if is_float(t) { t } else { DType::F32 };
        Some(match self.op {
            O::FusedGemm => Fact::new(t, Some(self.gemm_dims(0, 1)?)),
            O::QGemm => Fact::new(t, Some(self.gemm_dims(0, 3)?)),
            O::FusedMatMul | O::TransposeMatMul => Fact::new(t, self.fused_matmul()),
            O::MatMulNBits | O::MatMulBnb4 => {
                let mut dims = self.dims(0)?.clone();
                *dims.last_mut()? = u64::try_from(self.attrs.int("N")?).ok();
                Fact::new(t, Some(dims))
            }
            // Both are transposed as a Gemm's.
            O::GemmFastGelu => Fact::new(t, matmul(self.dims(0)?, self.dims(1)?)),
            O::MatMulIntegerToFloat | O::DynamicQuantizeMatMul => {
                Fact::new(float(t), matmul(self.dims(0)?, self.dims(1)?))
            }
            _ => return None,
        })
    }

    /// Dims of a Gemm of these two inputs.
    fn gemm_dims(&self, a: usize, b: usize) -> Option<Dims> {
        let (a, b) = (self.input(a)?, self.input(b)?);
        let m = usize::from(self.attrs.flag("transA"));
        let n = usize::from(!self.attrs.flag("transB"));
        (a.rank()? == 2 && b.rank()? == 2).then(|| vec![a.dim(m), b.dim(n)])
    }

    fn fused_matmul(&self) -> Option<Dims> {
        if self.attrs.flag("transBatchA") || self.attrs.flag("transBatchB") {
            return None;
        }
        let turned = |i: usize, flag: &str| {
            let mut dims = self.dims(i)?.clone();
            let n = dims.len();
            if self.attrs.flag(flag) && n >= 2 {
                dims.swap(n - 1, n - 2);
            }
            Some(dims)
        };
        matmul(&turned(0, "transA")?, &turned(1, "transB")?)
    }

    /// Values of a product of two small matrices or vectors, without a Gemm's factors.
    fn matrix_data(&self, out: &[Option<u64>]) -> Option<Data> {
        let ((a_dims, a), (b_dims, b)) = (self.input(0)?.small()?, self.input(1)?.small()?);
        let plain = ["alpha", "beta", "transA", "transB"];
        if a_dims.len() > 2
            || b_dims.len() > 2
            || plain.iter().any(|name| self.attrs.get(name).is_some())
            || self.inputs.len() > 2
        {
            return None;
        }
        let (a, b) = (a.numbers(), b.numbers());
        let k = *a_dims.last()?;
        let columns = if b_dims.len() == 2 {
            *b_dims.last()?
        } else {
            1
        };
        let rows = if a_dims.len() == 2 {
            *a_dims.first()?
        } else {
            1
        };
        elements(&[Some(rows), Some(columns), Some(k)]).filter(|n| *n <= 16 * MAX_VALUES as u64)?;
        elements(out).filter(|n| *n <= MAX_VALUES as u64)?;
        let at = |v: &[Option<f64>], i: u64| *v.get(usize::try_from(i).ok()?)?;
        let cell = |row: u64, column: u64| {
            (0..k).try_fold(0.0, |sum, i| {
                Some(sum + at(&a, row * k + i)? * at(&b, i * columns + column)?)
            })
        };
        let all = (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c)));
        Some(Data::Float(all.map(|(r, c)| cell(r, c)).collect()))
    }
}

/// numpy's matmul.
fn matmul(a: &Dims, b: &Dims) -> Option<Dims> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    let (vector_a, vector_b) = (a.len() == 1, b.len() == 1);
    if vector_a {
        a.insert(0, Some(1));
    }
    if vector_b {
        b.push(Some(1));
    }
    let (rows, cols) = (a[a.len() - 2], b[b.len() - 1]);
    if let (Some(x), Some(y)) = (a[a.len() - 1], b[b.len() - 2])
        && x != y
    {
        return None;
    }
    let lead_a: Dims = a[..a.len() - 2].to_vec();
    let lead_b: Dims = b[..b.len() - 2].to_vec();
    let mut out = broadcast(&[&lead_a, &lead_b])?;
    if !vector_a {
        out.push(rows);
    }
    if !vector_b {
        out.push(cols);
    }
    Some(out)
}

/// Sizes in an Einsum.
pub struct Einsum {
    pub output: Dims,
    /// Product of the sizes of all labels: multiply-accumulates of a naive evaluation.
    pub work: Option<u64>,
}

/// Reads an Einsum equation. The dims of an ellipsis get labels of their own: their place from its
/// end, so that they broadcast.
pub fn einsum_sizes(call: &Call<'_>) -> Option<Einsum> {
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Label {
        Ellipsis(std::cmp::Reverse<usize>),
        Letter(char),
    }
    let equation: String = call
        .attrs
        .text("equation")?
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l, Some(r)),
        None => (equation.as_str(), None),
    };
    let labels = |term: &str, hidden: usize| -> Option<Vec<Label>> {
        let letters = |part: &str| -> Option<Vec<Label>> {
            let letter = |c: char| c.is_ascii_alphabetic().then_some(Label::Letter(c));
            part.chars().map(letter).collect()
        };
        let Some((before, after)) = term.split_once("...") else {
            return letters(term);
        };
        let mut all = letters(before)?;
        all.extend(
            (0..hidden)
                .rev()
                .map(|i| Label::Ellipsis(std::cmp::Reverse(i))),
        );
        all.extend(letters(after)?);
        Some(all)
    };
    let mut sizes: BTreeMap<Label, (Option<u64>, usize)> = BTreeMap::new();
    let mut widest = 0;
    for (i, term) in left.split(',').enumerate() {
        let dims = call.dims(i)?;
        let spelled = term.replace("...", "").chars().count();
        let hidden = dims.len().checked_sub(spelled)?;
        let labels = labels(term, hidden)?;
        if labels.len() != dims.len() {
            return None;
        }
        if term.contains("...") {
            widest = widest.max(hidden);
        }
        for (label, dim) in labels.into_iter().zip(dims) {
            let (size, uses) = sizes.entry(label).or_insert((Some(1), 0));
            *size = size.filter(|s| *s != 1).or(*dim);
            *uses += 1;
        }
    }
    let output: Option<Dims> = if let Some(right) = right {
        let labels = labels(right, widest)?;
        labels
            .iter()
            .map(|l| sizes.get(l).map(|(s, _)| *s))
            .collect()
    } else {
        let kept = |(label, (size, uses)): (&Label, &(Option<u64>, usize))| {
            (matches!(label, Label::Ellipsis(_)) || *uses == 1).then_some(*size)
        };
        Some(sizes.iter().filter_map(kept).collect())
    };
    let all: Dims = sizes.values().map(|(s, _)| *s).collect();
    Some(Einsum {
        output: output?,
        work: elements(&all),
    })
}
