//! Matrix products.

use super::call::Call;
use super::fact::{Dims, Fact, broadcast, elements};
use super::op::OnnxOp as O;
use crate::model::DType;

impl Call<'_> {
    /// Shapes of matrix products.
    pub fn product(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Gemm => {
                let (a, b) = (self.input(0)?, self.input(1)?);
                let (m, n) = (
                    usize::from(self.attrs.flag("transA")),
                    usize::from(!self.attrs.flag("transB")),
                );
                if a.rank()? != 2 || b.rank()? != 2 {
                    return None;
                }
                Fact::new(t, Some(vec![a.dim(m), b.dim(n)]))
            }
            O::MatMul | O::MatMulInteger => {
                let t = if self.op == O::MatMul { t } else { DType::I32 };
                Fact::new(t, matmul(self.dims(0)?, self.dims(1)?))
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

/// Reads an Einsum equation; an ellipsis is not followed.
pub fn einsum_sizes(call: &Call<'_>) -> Option<Einsum> {
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
    let mut sizes: Vec<(char, Option<u64>, usize)> = Vec::new();
    for (i, term) in left.split(',').enumerate() {
        let dims = call.dims(i)?;
        if term.chars().count() != dims.len() {
            return None;
        }
        for (label, dim) in term.chars().zip(dims) {
            if !label.is_ascii_alphabetic() {
                return None;
            }
            match sizes.iter_mut().find(|(l, ..)| *l == label) {
                Some((_, size, uses)) => {
                    *size = size.filter(|s| *s != 1).or(*dim);
                    *uses += 1;
                }
                None => sizes.push((label, *dim, 1)),
            }
        }
    }
    let size = |label: char| sizes.iter().find(|(l, ..)| *l == label).map(|(_, s, _)| *s);
    let output: Option<Dims> = if let Some(right) = right {
        right.chars().map(size).collect()
    } else {
        let mut once: Vec<_> = sizes.iter().filter(|(_, _, uses)| *uses == 1).collect();
        once.sort_by_key(|(l, ..)| *l);
        Some(once.into_iter().map(|(_, s, _)| *s).collect())
    };
    let all: Dims = sizes.iter().map(|(_, s, _)| *s).collect();
    Some(Einsum {
        output: output?,
        work: elements(&all),
    })
}
