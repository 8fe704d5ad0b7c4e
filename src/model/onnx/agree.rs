//! Whether the inputs of an op go together. The rules are the ONNX operator specification's; dims
//! that are not known agree with everything.

use super::infer::{Call, Dims, Fact};

/// Two inputs of a node that no runtime can put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash {
    /// Which inputs.
    pub inputs: (usize, usize),
    /// What differs.
    pub what: String,
}

impl Call<'_> {
    /// The first pair of inputs that contradict each other.
    pub fn clash(&self) -> Option<Clash> {
        match self.op {
            "Conv" | "ConvInteger" => self.convolution(1, 2),
            "QLinearConv" => self.convolution(3, 8),
            "ConvTranspose" => self.transposed_convolution(),
            "Gemm" => self.gemm(),
            "MatMul" | "MatMulInteger" => self.product(1),
            "QLinearMatMul" => self.product(3),
            "BatchNormalization" => self.batch_norm(),
            "LSTM" | "GRU" | "RNN" => {
                let what = |x, w| format!("the sequence has {x} features, the weight takes {w}");
                self.differ((0, 2, 3), (1, 2, 3), what)
            }
            _ => None,
        }
    }

    fn ranked(&self, input: usize) -> Option<&Dims> {
        self.input(input)?.dims.as_ref()
    }

    /// A dim of one input against a dim of another (input, dim, rank at which the rule holds).
    fn differ(
        &self,
        one: (usize, usize, usize),
        two: (usize, usize, usize),
        what: impl Fn(u64, u64) -> String,
    ) -> Option<Clash> {
        let size = |(input, dim, rank): (usize, usize, usize)| {
            let dims = self.ranked(input).filter(|d| d.len() == rank)?;
            *dims.get(dim)?
        };
        let (a, b) = (size(one)?, size(two)?);
        (a != b).then(|| Clash {
            inputs: (one.0, two.0),
            what: what(a, b),
        })
    }

    /// The ranks of a convolution's input and weight, if both are known and at least 3.
    fn window_ranks(&self, weight: usize) -> Option<Result<usize, Clash>> {
        let (x, w) = (self.ranked(0)?.len(), self.ranked(weight)?.len());
        if x == w {
            return (x >= 3).then_some(Ok(x));
        }
        Some(Err(Clash {
            inputs: (0, weight),
            what: format!("the input has {x} dims, the weight {w}"),
        }))
    }

    fn convolution(&self, weight: usize, bias: usize) -> Option<Clash> {
        let rank = match self.window_ranks(weight)? {
            Ok(rank) => rank,
            Err(clash) => return Some(clash),
        };
        let groups = u64::try_from(self.attrs.int_or("group", 1)).ok();
        let groups = groups.filter(|g| *g > 0)?;
        let (x, w) = (self.ranked(0)?, self.ranked(weight)?);
        if let (Some(has), Some(each)) = (*x.get(1)?, *w.get(1)?)
            && let Some(takes) = each.checked_mul(groups)
            && has != takes
        {
            let per_group = match groups {
                1 => String::new(),
                n => format!(" ({n} groups of {each})"),
            };
            return Some(Clash {
                inputs: (0, weight),
                what: format!("the input has {has} channels, the weight takes {takes}{per_group}"),
            });
        }
        let what = |w, b| format!("the weight makes {w} channels, the bias has {b}");
        self.differ((weight, 0, rank), (bias, 0, 1), what)
    }

    fn transposed_convolution(&self) -> Option<Clash> {
        let rank = match self.window_ranks(1)? {
            Ok(rank) => rank,
            Err(clash) => return Some(clash),
        };
        let what = |x, w| format!("the input has {x} channels, the weight takes {w}");
        self.differ((0, 1, rank), (1, 0, rank), what)
    }

    fn gemm(&self) -> Option<Clash> {
        let a = usize::from(!self.attrs.flag("transA"));
        let b = usize::from(self.attrs.flag("transB"));
        // Other ranks: old files rely on an implicit flatten.
        self.differ((0, a, 2), (1, b, 2), inner)
    }

    /// numpy's matmul: the last dim of the one, the last but one of the other.
    fn product(&self, other: usize) -> Option<Clash> {
        let (a, b) = (self.ranked(0)?.len(), self.ranked(other)?.len());
        let row = b.saturating_sub(2);
        self.differ((0, a.checked_sub(1)?, a), (other, row, b), inner)
    }

    fn batch_norm(&self) -> Option<Clash> {
        // Before opset 9 the parameters may be per activation.
        if self.attrs.int_or("spatial", 1) == 0 {
            return None;
        }
        let rank = self.ranked(0)?.len();
        let what = |x, p| format!("the input has {x} channels, the parameter {p}");
        (1..5).find_map(|p| self.differ((0, 1, rank), (p, 0, 1), what))
    }
}

fn inner(a: u64, b: u64) -> String {
    format!("the first has {a} columns, the second {b} rows")
}

impl Fact {
    /// `1x3x?x?`.
    pub fn shown(&self) -> String {
        let Some(dims) = &self.dims else {
            return "of unknown shape".to_owned();
        };
        let dims: Vec<String> = dims
            .iter()
            .map(|d| d.map_or_else(|| "?".to_owned(), |d| d.to_string()))
            .collect();
        dims.join("x")
    }
}
