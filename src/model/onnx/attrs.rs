//! Attributes of a node and constants of the file, read without trust.

use bytes::Bytes;
use half::{bf16, f16};

use super::proto;
use crate::model::DType;

/// Most elements of a constant whose values are looked at (shapes, scales, axes).
pub(super) const MAX_VALUES: usize = 1024;

/// Attributes by name.
#[derive(Clone, Copy)]
pub(super) struct Attrs<'a>(pub &'a [proto::Attribute]);

impl<'a> Attrs<'a> {
    pub fn get(self, name: &str) -> Option<&'a proto::Attribute> {
        self.0.iter().find(|a| a.name == name)
    }

    pub fn int(self, name: &str) -> Option<i64> {
        self.get(name)?.i
    }

    pub fn int_or(self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    pub fn flag(self, name: &str) -> bool {
        self.int_or(name, 0) != 0
    }

    pub fn float(self, name: &str) -> Option<f32> {
        self.get(name)?.f
    }

    /// A list of ints; an absent attribute is `None`, an empty list `Some(&[])`.
    pub fn ints(self, name: &str) -> Option<&'a [i64]> {
        Some(&self.get(name)?.ints)
    }

    pub fn floats(self, name: &str) -> Option<&'a [f32]> {
        Some(&self.get(name)?.floats)
    }

    pub fn text(self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?.s.as_ref()?).ok()
    }

    pub fn tensor(self, name: &str) -> Option<&'a proto::Tensor> {
        self.get(name)?.t.as_deref()
    }
}

/// Values of a small constant; `None` where arithmetic met something unknown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// Integers and booleans.
    Int(Vec<Option<i64>>),
    /// Floats.
    Float(Vec<Option<f64>>),
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Self::Int(v) => v.len(),
            Self::Float(v) => v.len(),
        }
    }

    /// All integers, if every one is known.
    pub fn ints(&self) -> Option<Vec<i64>> {
        match self {
            Self::Int(v) => v.iter().copied().collect(),
            Self::Float(_) => None,
        }
    }

    /// All numbers as floats, if every one is known.
    pub fn floats(&self) -> Option<Vec<f64>> {
        self.numbers().into_iter().collect()
    }

    /// Each number as a float.
    pub fn numbers(&self) -> Vec<Option<f64>> {
        match self {
            Self::Int(v) => v.iter().map(|i| i.map(|i| i as f64)).collect(),
            Self::Float(v) => v.clone(),
        }
    }

    pub fn first_int(&self) -> Option<i64> {
        match self {
            Self::Int(v) => *v.first()?,
            Self::Float(_) => None,
        }
    }

    pub fn first_float(&self) -> Option<f64> {
        match self {
            Self::Int(v) => v.first()?.map(|i| i as f64),
            Self::Float(v) => *v.first()?,
        }
    }

    /// The elements at these places.
    pub fn pick(&self, places: impl Iterator<Item = Option<usize>>) -> Option<Self> {
        Some(match self {
            Self::Int(v) => {
                let all: Option<_> = places.map(|p| v.get(p?).copied()).collect();
                Self::Int(all?)
            }
            Self::Float(v) => {
                let all: Option<_> = places.map(|p| v.get(p?).copied()).collect();
                Self::Float(all?)
            }
        })
    }

    /// Numbers of this element type: floats rounded to its precision or cut to integers.
    pub fn cast(self, to: DType) -> Self {
        let whole = |v: f64| (v.abs() < 9e15).then_some(v.trunc() as i64);
        let truth = |v: bool| Some(i64::from(v));
        match (self, to) {
            (Self::Int(v), DType::Bool) => Self::Int(v.iter().map(|i| truth((*i)? != 0)).collect()),
            (Self::Float(v), DType::Bool) => {
                Self::Int(v.iter().map(|f| truth((*f)? != 0.0)).collect())
            }
            (this @ Self::Int(_), to) if !is_float(to) => this,
            (Self::Float(v), to) if !is_float(to) && to != DType::Other => {
                Self::Int(v.iter().map(|f| whole((*f)?)).collect())
            }
            (this, to) => {
                let round = |v: f64| match to {
                    DType::F32 => f64::from(v as f32),
                    DType::F16 => f16::from_f64(v).to_f64(),
                    DType::BF16 => bf16::from_f64(v).to_f64(),
                    _ => v,
                };
                Self::Float(this.numbers().iter().map(|v| v.map(round)).collect())
            }
        }
    }
}

/// Whether numbers of this type have a fraction.
pub(super) fn is_float(t: DType) -> bool {
    matches!(t, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

/// ONNX `TensorProto.DataType`.
pub(super) fn dtype(code: i32) -> DType {
    match code {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        8 => DType::String,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        _ => DType::Other,
    }
}

/// Dims of a tensor of the file; `None` if one is negative.
pub(super) fn dims(tensor: &proto::Tensor) -> Option<Vec<u64>> {
    tensor.dims.iter().map(|d| u64::try_from(*d).ok()).collect()
}

/// Values of a small tensor of the file; `None` for large, external, odd or inconsistent ones.
pub(super) fn tensor_data(tensor: &proto::Tensor) -> Option<Data> {
    let dims = dims(tensor)?;
    let count = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
    if count > MAX_VALUES as u64 || tensor.data_location == Some(1) {
        return None;
    }
    let data = if tensor.raw_data.is_empty() {
        listed(tensor, count as usize)?
    } else {
        raw(tensor.data_type, &tensor.raw_data)?
    };
    (data.len() as u64 == count).then_some(data)
}

fn chunks<const N: usize>(data: &[u8]) -> Option<impl Iterator<Item = [u8; N]> + '_> {
    let (chunks, rest) = data.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().copied())
}

fn raw(data_type: i32, data: &[u8]) -> Option<Data> {
    if data.len() > MAX_VALUES * 8 {
        return None;
    }
    let int = |v: i64| Some(v);
    Some(match data_type {
        1 => Data::Float(
            chunks(data)?
                .map(|b| Some(f32::from_le_bytes(b) as f64))
                .collect(),
        ),
        11 => Data::Float(chunks(data)?.map(|b| Some(f64::from_le_bytes(b))).collect()),
        10 => Data::Float(
            chunks(data)?
                .map(|b| Some(f16::from_le_bytes(b).to_f64()))
                .collect(),
        ),
        16 => Data::Float(
            chunks(data)?
                .map(|b| Some(bf16::from_le_bytes(b).to_f64()))
                .collect(),
        ),
        2 | 9 => Data::Int(data.iter().map(|b| int((*b).into())).collect()),
        3 => Data::Int(data.iter().map(|b| int((*b as i8).into())).collect()),
        4 => Data::Int(
            chunks(data)?
                .map(|b| int(u16::from_le_bytes(b).into()))
                .collect(),
        ),
        5 => Data::Int(
            chunks(data)?
                .map(|b| int(i16::from_le_bytes(b).into()))
                .collect(),
        ),
        6 => Data::Int(
            chunks(data)?
                .map(|b| int(i32::from_le_bytes(b).into()))
                .collect(),
        ),
        7 => Data::Int(chunks(data)?.map(|b| int(i64::from_le_bytes(b))).collect()),
        12 => Data::Int(
            chunks(data)?
                .map(|b| int(u32::from_le_bytes(b).into()))
                .collect(),
        ),
        13 => Data::Int(
            chunks(data)?
                .map(|b| i64::try_from(u64::from_le_bytes(b)).ok())
                .collect(),
        ),
        _ => return None,
    })
}

fn listed(tensor: &proto::Tensor, count: usize) -> Option<Data> {
    Some(match tensor.data_type {
        1 => Data::Float(
            chunks(&joined(&tensor.float_data, count * 4)?)?
                .map(|b| Some(f32::from_le_bytes(b) as f64))
                .collect(),
        ),
        11 => Data::Float(
            chunks(&joined(&tensor.double_data, count * 8)?)?
                .map(|b| Some(f64::from_le_bytes(b)))
                .collect(),
        ),
        7 => Data::Int(varints(&tensor.int64_data, count)?),
        12 | 13 => Data::Int(varints(&tensor.uint64_data, count)?),
        10 => Data::Float(
            varints(&tensor.int32_data, count)?
                .into_iter()
                .map(|v| Some(f16::from_bits(u16::try_from(v?).ok()?).to_f64()))
                .collect(),
        ),
        2..=6 | 9 => Data::Int(varints(&tensor.int32_data, count)?),
        _ => return None,
    })
}

fn joined(parts: &[Bytes], limit: usize) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for part in parts {
        if all.len() + part.len() > limit {
            return None;
        }
        all.extend_from_slice(part);
    }
    Some(all)
}

fn varints(parts: &[Bytes], limit: usize) -> Option<Vec<Option<i64>>> {
    let mut all = Vec::new();
    for part in parts {
        let mut rest = &part[..];
        while !rest.is_empty() {
            if all.len() == limit {
                return None;
            }
            all.push(Some(prost::encoding::decode_varint(&mut rest).ok()? as i64));
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        let half = |bits: u16| match raw(10, &bits.to_le_bytes()) {
            Some(Data::Float(v)) => v[0].unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(half(0xc000), -2.0);
        assert_eq!(half(0x7c00), f64::INFINITY);
        assert_eq!(half(0x0001), 2f64.powi(-24));
    }

    #[test]
    fn small_constants_read_alike_however_stored() {
        let mut t = proto::TensorFields {
            dims: vec![2],
            data_type: 7,
            raw_data: Bytes::copy_from_slice(&[
                3, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
            ]),
            ..proto::TensorFields::default()
        };
        let expected = Some(Data::Int(vec![Some(3), Some(-1)]));
        assert_eq!(tensor_data(&proto::Tensor(t.clone())), expected);
        t.raw_data = Bytes::new();
        t.int64_data = vec![
            Bytes::from_static(&[3]),
            Bytes::from_static(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ];
        assert_eq!(tensor_data(&proto::Tensor(t.clone())), expected);
        t.int64_data.pop();
        assert_eq!(tensor_data(&proto::Tensor(t)), None);
    }
}
