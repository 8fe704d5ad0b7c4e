//! Whether the inputs of an op go together. The rules are the ONNX operator specification's; dims
//! that are not known agree with everything.

use super::attrs::Data;
use super::ops::{Call, Dims, Fact, Family, OnnxOp as O, axis, elements};

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
            O::Conv => self.convolution(1, Some(2)),
            // Its third input is a zero point.
            O::ConvInteger => self.convolution(1, None),
            O::QLinearConv => self.convolution(3, Some(8)),
            O::ConvTranspose => self.transposed_convolution(),
            O::Gemm => self.gemm(),
            O::MatMul | O::MatMulInteger => self.matrices(1),
            O::QLinearMatMul => self.matrices(3),
            O::BatchNormalization => self.batch_norm(),
            O::InstanceNormalization => self.per_channel(&[1, 2]),
            O::LayerNormalization => {
                let x = self.ranked(0)?;
                (1..3).find_map(|p| self.fits_into(x, 0, p))
            }
            O::PRelu => self.prelu(),
            O::Where => self.broadcast(0),
            O::Concat => self.concatenation(),
            O::Expand => self.expansion(),
            O::Reshape => self.reshaping(),
            O::Split => self.splitting(),
            O::Squeeze => self.squeezing(),
            O::Einsum => self.einsum(),
            O::LSTM | O::GRU | O::RNN => {
                let what = |x, w| format!("the sequence has {x} features, the weight takes {w}");
                self.differ((0, 2, 3), (1, 2, 3), what)
            }
            op => match op.family() {
                Family::Arithmetic | Family::Comparison => self.elementwise(),
                Family::Variadic => self.broadcast(0),
                _ => None,
            },
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

    fn convolution(&self, weight: usize, bias: Option<usize>) -> Option<Clash> {
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
        if let Some(makes) = *w.first()?
            && makes % groups != 0
        {
            return Some(Clash {
                inputs: (0, weight),
                what: format!("{groups} groups cannot share the {makes} channels it makes"),
            });
        }
        let what = |w, b| format!("the weight makes {w} channels, the bias has {b}");
        self.differ((weight, 0, rank), (bias?, 0, 1), what)
    }

    fn transposed_convolution(&self) -> Option<Clash> {
        let rank = match self.window_ranks(1)? {
            Ok(rank) => rank,
            Err(clash) => return Some(clash),
        };
        let what = |x, w| format!("the input has {x} channels, the weight takes {w}");
        if let Some(clash) = self.differ((0, 1, rank), (1, 0, rank), what) {
            return Some(clash);
        }
        let groups = u64::try_from(self.attrs.int_or("group", 1)).ok();
        let makes = self.input(1)?.dim(1)?.checked_mul(groups?)?;
        let has = self.input(2)?.dim(0).filter(|has| *has != makes)?;
        Some(Clash {
            inputs: (1, 2),
            what: format!("the weight makes {makes} channels, the bias has {has}"),
        })
    }

    fn gemm(&self) -> Option<Clash> {
        let a = usize::from(!self.attrs.flag("transA"));
        let b = usize::from(self.attrs.flag("transB"));
        // Other ranks: old files rely on an implicit flatten.
        if let Some(clash) = self.differ((0, a, 2), (1, b, 2), inner) {
            return Some(clash);
        }
        let (one, two) = (self.input(0)?, self.input(1)?);
        if one.rank()? != 2 || two.rank()? != 2 {
            return None;
        }
        let product = [one.dim(1 - a), two.dim(1 - b)];
        self.fits_into(&product, 1, 2)
    }

    /// numpy's matmul: the last dim of the one, the last but one of the other.
    fn matrices(&self, other: usize) -> Option<Clash> {
        let (a, b) = (self.ranked(0)?.len(), self.ranked(other)?.len());
        let row = b.saturating_sub(2);
        let clash = self.differ((0, a.checked_sub(1)?, a), (other, row, b), inner);
        // The other dims are a batch of products.
        clash.or_else(|| self.broadcast_of(&[0, other], 2))
    }

    fn elementwise(&self) -> Option<Clash> {
        if self.opset >= 7 || !self.attrs.flag("broadcast") {
            return self.broadcast(0);
        }
        // The second lies in the first from `axis` on, or at its end.
        let (a, b) = (self.ranked(0)?, self.ranked(1)?);
        let at = match self.attrs.int("axis") {
            Some(at) => axis(at, a.len())?,
            None => a.len().checked_sub(b.len())?,
        };
        self.fits_into(a.get(at..at.checked_add(b.len())?)?, 0, 1)
    }

    /// Multidirectional broadcasting of all inputs but for this many dims at the end.
    fn broadcast(&self, without: usize) -> Option<Clash> {
        let all: Vec<usize> = (0..self.inputs.len()).collect();
        self.broadcast_of(&all, without)
    }

    fn broadcast_of(&self, inputs: &[usize], without: usize) -> Option<Clash> {
        // Per dim from the end: the first size that is not 1, and whose it is.
        let mut sizes: Vec<Option<(usize, u64)>> = Vec::new();
        for &input in inputs {
            let Some(dims) = self.ranked(input) else {
                continue;
            };
            for (back, dim) in dims.iter().rev().enumerate().skip(without) {
                let Some(dim) = dim.filter(|d| *d != 1) else {
                    continue;
                };
                if sizes.len() <= back {
                    sizes.resize(back + 1, None);
                }
                match sizes.get_mut(back)? {
                    Some((first, size)) if *size != dim => {
                        return Some(Clash {
                            inputs: (*first, input),
                            what: unequal(back, *size, dim),
                        });
                    }
                    Some(_) => {}
                    free => *free = Some((input, dim)),
                }
            }
        }
        None
    }

    /// Unidirectional broadcasting of an input to dims, which stem from another.
    fn fits_into(&self, dims: &[Option<u64>], of: usize, input: usize) -> Option<Clash> {
        let small = self.ranked(input)?;
        let clash = |what| {
            Some(Clash {
                inputs: (of, input),
                what,
            })
        };
        if small.len() > dims.len() {
            let (n, most) = (small.len(), dims.len());
            return clash(format!("the second has {n} dims where {most} are the most"));
        }
        let pairs = dims.iter().rev().zip(small.iter().rev()).enumerate();
        for (back, pair) in pairs {
            if let (Some(size), Some(dim)) = pair
                && *dim != 1
                && dim != size
            {
                return clash(unequal(back, *size, *dim));
            }
        }
        None
    }

    fn prelu(&self) -> Option<Clash> {
        let (x, slope) = (self.ranked(0)?, self.ranked(1)?);
        // One slope per channel: how it was before opset 7, and what runtimes still take.
        if let [slope] = slope[..]
            && (x.get(1).is_none_or(|c| c.is_none() || *c == slope) || slope.is_none())
        {
            return None;
        }
        self.fits_into(x, 0, 1)
    }

    fn concatenation(&self) -> Option<Clash> {
        let known = |input: usize| Some((input, self.ranked(input)?));
        let mut all = (0..self.inputs.len()).filter_map(known);
        let (first, dims) = all.next()?;
        let at = axis(self.attrs.int_or("axis", 1), dims.len())?;
        // Per dim: the first known size, and whose it is.
        let mut sizes: Vec<Option<(usize, u64)>> =
            dims.iter().map(|d| d.map(|size| (first, size))).collect();
        for (input, other) in all {
            if other.len() != dims.len() {
                return Some(Clash {
                    inputs: (first, input),
                    what: format!("the one has {} dims, the other {}", dims.len(), other.len()),
                });
            }
            for (i, (size, dim)) in sizes.iter_mut().zip(other).enumerate() {
                let Some(dim) = dim.filter(|_| i != at) else {
                    continue;
                };
                match size {
                    Some((one, size)) if *size != dim => {
                        return Some(Clash {
                            inputs: (*one, input),
                            what: format!(
                                "joined along dim {at}, they must agree in dim {i}, which is \
                                 {size} in the one and {dim} in the other"
                            ),
                        });
                    }
                    Some(_) => {}
                    free @ None => *free = Some((input, dim)),
                }
            }
        }
        None
    }

    fn expansion(&self) -> Option<Clash> {
        let x = self.ranked(0)?;
        let Data::Int(asked) = &**self.input(1)?.data.as_ref()? else {
            return None;
        };
        let pairs = x.iter().rev().zip(asked.iter().rev()).enumerate();
        for (back, pair) in pairs {
            if let (Some(size), Some(dim)) = pair
                && *size != 1
                && *dim > 1
                && *dim as u64 != *size
            {
                return Some(Clash {
                    inputs: (0, 1),
                    what: format!(
                        "the second asks for {dim} where dim -{} of the first is {size}",
                        back + 1
                    ),
                });
            }
        }
        None
    }

    fn reshaping(&self) -> Option<Clash> {
        let has = elements(self.ranked(0)?)?;
        let target: Vec<i64> = match self.attrs.ints("shape") {
            Some(shape) => shape.to_vec(),
            None => self.input(1)?.ints()?,
        };
        let x = self.ranked(0)?;
        let copies = !self.attrs.flag("allowzero");
        let mut takes = 1u64;
        for (i, size) in target.iter().enumerate() {
            takes = takes.checked_mul(match size {
                -1 => 1,
                0 if copies => (*x.get(i)?)?,
                size => u64::try_from(*size).ok()?,
            })?;
        }
        let open = target.contains(&-1);
        let fits = if open {
            takes != 0 && has % takes == 0
        } else {
            takes == has
        };
        let shown: Vec<String> = target.iter().map(i64::to_string).collect();
        (!fits).then(|| Clash {
            inputs: (0, 1),
            what: format!("{has} elements do not fit {}", shown.join("x")),
        })
    }

    fn splitting(&self) -> Option<Clash> {
        let x = self.ranked(0)?;
        let at = axis(self.attrs.int_or("axis", 0), x.len())?;
        let has = (*x.get(at)?)?;
        let parts = match self.attrs.ints("split") {
            Some(parts) => parts.to_vec(),
            None => self.input(1)?.ints()?,
        };
        let total = parts.iter().try_fold(0i64, |sum, p| sum.checked_add(*p))?;
        (u64::try_from(total).ok()? != has).then(|| Clash {
            inputs: (0, 1),
            what: format!("dim {at} is {has}, the parts make {total}"),
        })
    }

    fn squeezing(&self) -> Option<Clash> {
        let x = self.ranked(0)?;
        let axes = self.axes(1)??;
        let bad = axes.iter().find_map(|a| {
            let at = axis(*a, x.len())?;
            x.get(at)?.filter(|d| *d != 1).map(|d| (at, d))
        });
        bad.map(|(at, d)| Clash {
            inputs: (0, 1),
            what: format!("dim {at} is {d}, and only dims of 1 can be taken away"),
        })
    }

    /// A letter stands for one size.
    fn einsum(&self) -> Option<Clash> {
        let equation = self.attrs.text("equation")?;
        let left = equation.split("->").next()?;
        let mut sizes: Vec<(char, usize, u64)> = Vec::new();
        for (input, term) in left.split(',').enumerate() {
            let labels: Vec<char> = term.chars().filter(|c| !c.is_whitespace()).collect();
            let Some(dims) = self.ranked(input) else {
                continue;
            };
            if labels.len() != dims.len() || labels.contains(&'.') {
                continue;
            }
            for (label, dim) in labels.into_iter().zip(dims) {
                let Some(dim) = dim.filter(|d| *d != 1) else {
                    continue;
                };
                match sizes.iter().find(|(l, ..)| *l == label) {
                    Some((_, one, size)) if *size != dim => {
                        return Some(Clash {
                            inputs: (*one, input),
                            what: format!(
                                "{} is {size} in the one and {dim} in the other",
                                label.escape_debug()
                            ),
                        });
                    }
                    Some(_) => {}
                    None => sizes.push((label, input, dim)),
                }
            }
        }
        None
    }

    fn batch_norm(&self) -> Option<Clash> {
        // Before opset 9 the parameters may be per activation.
        if self.attrs.int_or("spatial", 1) == 0 {
            return None;
        }
        self.per_channel(&[1, 2, 3, 4])
    }

    fn per_channel(&self, parameters: &[usize]) -> Option<Clash> {
        let rank = self.ranked(0)?.len();
        let what = |x, p| format!("the input has {x} channels, the parameter {p}");
        let mut parameters = parameters.iter();
        parameters.find_map(|p| self.differ((0, 1, rank), (*p, 0, 1), what))
    }
}

/// Two sizes in a dim counted from the end.
fn unequal(back: usize, one: u64, other: u64) -> String {
    format!(
        "dim -{} is {one} in the one and {other} in the other, which do not broadcast",
        back + 1
    )
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
