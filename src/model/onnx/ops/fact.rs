//! What is known of a value: element type, dims, and the numbers of small tensors.

use std::rc::Rc;

use crate::model::DType;
use crate::model::onnx::attrs::{self, Data, MAX_VALUES, dtype, tensor_data};
use crate::model::onnx::proto;

/// Dims, each known or not.
pub type Dims = Vec<Option<u64>>;

/// Largest dim believed.
pub const MAX_DIM: u64 = 1 << 40;
/// Highest rank believed.
pub const MAX_RANK: usize = 64;

/// What is known of a value.
#[derive(Clone, Debug)]
pub struct Fact {
    pub dtype: DType,
    pub dims: Option<Dims>,
    pub data: Option<Rc<Data>>,
}

impl Default for Fact {
    fn default() -> Self {
        Self::new(DType::Other, None)
    }
}

impl Fact {
    pub fn new(dtype: DType, dims: Option<Dims>) -> Self {
        let believable =
            |d: &Dims| d.len() <= MAX_RANK && d.iter().flatten().all(|d| *d <= MAX_DIM);
        Self {
            dtype,
            dims: dims.filter(believable),
            data: None,
        }
    }

    /// A tensor of the file.
    pub fn of_tensor(tensor: &proto::Tensor) -> Self {
        let dims = attrs::dims(tensor).map(|d| d.into_iter().map(Some).collect());
        Self {
            data: tensor_data(tensor).map(Rc::new),
            ..Self::new(dtype(tensor.data_type), dims)
        }
    }

    /// A declared type.
    pub fn of_type(info: &proto::TensorType) -> Self {
        let dims = info.shape.as_ref().map(|s| {
            let known = |d: &proto::Dimension| d.dim_value.and_then(|v| u64::try_from(v).ok());
            s.dim.iter().map(known).collect()
        });
        Self::new(dtype(info.elem_type), dims)
    }

    pub fn with(dtype: DType, dims: Dims, data: Option<Data>) -> Self {
        let fits =
            |d: &Data| d.len() <= MAX_VALUES && elements(&dims).is_none_or(|n| n == d.len() as u64);
        let data = data.filter(fits).map(|d| Rc::new(d.cast(dtype)));
        Self {
            data,
            ..Self::new(dtype, Some(dims))
        }
    }

    /// All dims, if every one is known.
    pub fn shape(&self) -> Option<Vec<u64>> {
        self.dims.as_ref()?.iter().copied().collect()
    }

    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    pub fn dim(&self, i: usize) -> Option<u64> {
        *self.dims.as_ref()?.get(i)?
    }

    pub fn ints(&self) -> Option<Vec<i64>> {
        self.data.as_ref()?.ints()
    }
}

/// Number of elements, if every dim is known and the product fits.
pub fn elements(dims: &[Option<u64>]) -> Option<u64> {
    dims.iter().try_fold(1u64, |n, d| n.checked_mul((*d)?))
}

/// A possibly negative axis of a tensor of this rank.
pub fn axis(value: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let at = if value < 0 {
        value.checked_add(rank)?
    } else {
        value
    };
    (0..rank).contains(&at).then_some(at as usize)
}

/// Multidirectional broadcasting.
pub fn broadcast(all: &[&Dims]) -> Option<Dims> {
    let rank = all.iter().map(|d| d.len()).max()?;
    let mut out = vec![Some(1); rank];
    for dims in all {
        let skip = rank - dims.len();
        for (o, d) in out.iter_mut().skip(skip).zip(dims.iter()) {
            *o = match (*o, *d) {
                (Some(1), d) => d,
                (o, Some(1)) => o,
                (Some(a), Some(b)) if a == b => Some(a),
                (Some(_), Some(_)) => return None,
                // An unknown dim meets one above 1: it must be 1 or that.
                (known, None) | (None, known) => known,
            };
        }
    }
    Some(out)
}

/// `dims` filled with one value, if that is few elements.
pub fn fill(value: &Data, dims: &[Option<u64>]) -> Option<Data> {
    let n = usize::try_from(elements(dims)?).ok();
    let n = n.filter(|n| *n <= MAX_VALUES)?;
    value.pick(std::iter::repeat_n(Some(0), n))
}

/// Position in every dim of the elements of a small tensor, in order.
pub fn positions(dims: &[u64]) -> impl Iterator<Item = Vec<u64>> + '_ {
    let count = dims
        .iter()
        .try_fold(1u64, |n, d| n.checked_mul(*d))
        .unwrap_or(0);
    (0..count.min(MAX_VALUES as u64 + 1)).map(move |mut flat| {
        let mut at = vec![0; dims.len()];
        for (a, d) in at.iter_mut().zip(dims).rev() {
            *a = flat % d;
            flat /= d;
        }
        at
    })
}

/// Offset of a position; dims of size 1 are broadcast and leading positions ignored.
pub fn offset(at: &[u64], dims: &[u64]) -> Option<usize> {
    let at = at.get(at.len().checked_sub(dims.len())?..)?;
    let mut flat = 0u64;
    for (a, d) in at.iter().zip(dims) {
        let a = if *d == 1 { 0 } else { *a };
        if a >= *d {
            return None;
        }
        flat = flat.checked_mul(*d)?.checked_add(a)?;
    }
    usize::try_from(flat).ok()
}

impl Fact {
    /// A small tensor made of this one's elements: `source` maps a position to one here.
    pub fn rearranged(
        &self,
        dims: &[Option<u64>],
        source: impl Fn(Vec<u64>) -> Option<Vec<u64>>,
    ) -> Option<Data> {
        let (own, dims) = (self.shape()?, small(dims)?);
        let data = self.data.as_deref()?;
        data.pick(positions(&dims).map(|at| offset(&source(at)?, &own)))
    }

    /// Dims and data of a small tensor.
    pub fn small(&self) -> Option<(Vec<u64>, &Data)> {
        Some((self.shape()?, self.data.as_deref()?))
    }
}

/// The dims, if they are known and few elements.
pub fn small(dims: &[Option<u64>]) -> Option<Vec<u64>> {
    elements(dims).filter(|n| *n <= MAX_VALUES as u64)?;
    dims.iter().copied().collect()
}
