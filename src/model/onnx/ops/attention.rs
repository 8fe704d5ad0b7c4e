//! Attention: ONNX's own op and ONNX Runtime's.

use super::call::Call;
use super::fact::{Dims, Fact, elements};
use super::op::OnnxOp as O;

/// Sizes of one attention.
struct Sizes {
    batch: Option<u64>,
    query_heads: Option<u64>,
    key_heads: Option<u64>,
    queries: Option<u64>,
    keys: Option<u64>,
    /// Elements of a query or key of one head.
    size: Option<u64>,
    /// Elements of a value of one head.
    value_size: Option<u64>,
}

fn plus(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a?.checked_add(b?)
}

fn times(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a?.checked_mul(b?)
}

fn over(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a?.checked_div(b?)
}

impl Call<'_> {
    fn positive(&self, name: &str) -> Option<u64> {
        u64::try_from(self.attrs.int(name)?).ok().filter(|n| *n > 0)
    }

    fn heads(&self) -> Option<Sizes> {
        match self.op {
            O::Attention => self.standard_heads(),
            O::MsAttention | O::QAttention => {
                let x = self.input(0)?;
                let heads = self.positive("num_heads");
                let third = over(self.input(1)?.dim(1), Some(3));
                let sizes = self.attrs.ints("qkv_hidden_sizes").filter(|s| s.len() == 3);
                let of = |i: usize| match sizes {
                    Some(s) => u64::try_from(*s.get(i)?).ok(),
                    None => third,
                };
                Some(Sizes {
                    batch: x.dim(0),
                    query_heads: heads,
                    key_heads: heads,
                    queries: x.dim(1),
                    keys: x.dim(1),
                    size: over(of(0), heads),
                    value_size: over(of(2), heads),
                })
            }
            O::GroupQueryAttention => {
                let x = self.input(0)?;
                let (heads, shared) = (self.positive("num_heads"), self.positive("kv_num_heads"));
                let packed = self.input(1).is_none();
                // Without keys and values they are packed behind the queries.
                let all = if packed {
                    plus(heads, times(shared, Some(2)))
                } else {
                    heads
                };
                let size = over(x.dim(2), all);
                Some(Sizes {
                    batch: x.dim(0),
                    query_heads: heads,
                    key_heads: shared,
                    queries: x.dim(1),
                    // What lies in the cache is known to the runtime alone.
                    keys: if self.input(3).is_some() {
                        None
                    } else {
                        x.dim(1)
                    },
                    size,
                    value_size: size,
                })
            }
            _ => {
                let q = self.input(0)?;
                let heads = self.positive("num_heads");
                if q.rank()? == 5 {
                    return Some(Sizes {
                        batch: q.dim(0),
                        query_heads: heads,
                        key_heads: heads,
                        queries: q.dim(1),
                        keys: q.dim(1),
                        size: q.dim(4),
                        value_size: q.dim(4),
                    });
                }
                let (k, v) = (self.input(1)?, self.input(2));
                // Keys may come by heads already, or packed with the values.
                let (keys, value) = match k.rank()? {
                    4 => (k.dim(2), v.and_then(|v| v.dim(3))),
                    5 => (k.dim(1), k.dim(4)),
                    _ => (k.dim(1), over(v.and_then(|v| v.dim(2)), heads)),
                };
                let past = self.input(6).is_some() && self.op == O::MultiHeadAttention;
                Some(Sizes {
                    batch: q.dim(0),
                    query_heads: heads,
                    key_heads: heads,
                    queries: q.dim(1),
                    keys: if past {
                        plus(keys, self.input(6)?.dim(2))
                    } else {
                        keys
                    },
                    size: over(q.dim(2), heads),
                    value_size: value,
                })
            }
        }
    }

    fn standard_heads(&self) -> Option<Sizes> {
        let (q, k, v) = (self.input(0)?, self.input(1)?, self.input(2)?);
        let past = match self.input(4) {
            Some(past) => past.dim(2),
            None => Some(0),
        };
        Some(if q.rank()? == 3 {
            let (heads, shared) = (self.positive("q_num_heads"), self.positive("kv_num_heads"));
            Sizes {
                batch: q.dim(0),
                query_heads: heads,
                key_heads: shared,
                queries: q.dim(1),
                keys: plus(k.dim(1), past),
                size: over(q.dim(2), heads),
                value_size: over(v.dim(2), shared),
            }
        } else {
            Sizes {
                batch: q.dim(0),
                query_heads: q.dim(1),
                key_heads: k.dim(1),
                queries: q.dim(2),
                keys: plus(k.dim(2), past),
                size: q.dim(3),
                value_size: v.dim(3),
            }
        })
    }

    /// Output, present keys, present values, scores.
    pub fn attention(&self) -> Option<Vec<Fact>> {
        let t = self.first_dtype();
        let h = self.heads()?;
        let rows: Dims = if self.op == O::Attention && self.input(0)?.rank()? == 4 {
            vec![h.batch, h.query_heads, h.queries, h.value_size]
        } else {
            vec![h.batch, h.queries, times(h.query_heads, h.value_size)]
        };
        let present = |size| Fact::new(t, Some(vec![h.batch, h.key_heads, h.keys, size]));
        let out = Fact::new(t, Some(rows));
        if matches!(self.op, O::MsAttention | O::QAttention) {
            let both = vec![Some(2), h.batch, h.key_heads, None, h.size];
            return Some(vec![out, Fact::new(t, Some(both))]);
        }
        let scores = vec![h.batch, h.query_heads, h.queries, h.keys];
        Some(vec![
            out,
            present(h.size),
            present(h.value_size),
            Fact::new(t, Some(scores)),
        ])
    }

    /// Queries by keys, then scores by values; ONNX Runtime's first op projects its input too.
    pub fn attention_macs(&self) -> Option<u64> {
        let h = self.heads()?;
        let pairs = elements(&[h.batch, h.query_heads, h.queries, h.keys])?;
        let own = pairs.checked_mul(plus(h.size, h.value_size)?)?;
        if !matches!(self.op, O::MsAttention | O::QAttention) {
            return Some(own);
        }
        let rows = elements(&[h.batch, h.queries])?;
        own.checked_add(rows.checked_mul(elements(self.dims(1)?)?)?)
    }
}
