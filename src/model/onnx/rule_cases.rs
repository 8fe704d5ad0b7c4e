//! Networks whose ops stand at the edges of the DLA's rules: the last value that a rule allows and the
//! first that it does not. TensorRT is asked about each; nothing is built of them.

use bytes::Bytes;

use super::compose::{Network, Spread, Wire};

/// Cases of one kind of layer. Their ops are named after the rule and the case.
#[derive(Clone, Copy, Debug)]
pub struct RuleCases {
    /// Short name (`dla-rules-convolution`).
    pub name: &'static str,
    write: fn(&mut Cases),
}

impl RuleCases {
    /// The ONNX file.
    pub fn bytes(&self) -> Bytes {
        let mut cases = Cases {
            network: Network::new(self.name),
            outputs: Vec::new(),
        };
        (self.write)(&mut cases);
        let outputs: Vec<&Wire> = cases.outputs.iter().collect();
        cases.network.finish(&outputs)
    }
}

static KINDS: [RuleCases; 5] = [
    RuleCases {
        name: "dla-rules-convolution",
        write: convolution,
    },
    RuleCases {
        name: "dla-rules-deconvolution",
        write: deconvolution,
    },
    RuleCases {
        name: "dla-rules-pooling",
        write: pooling,
    },
    RuleCases {
        name: "dla-rules-pointwise",
        write: pointwise,
    },
    RuleCases {
        name: "dla-rules-layout",
        write: layout,
    },
];

/// All cases, by kind of layer: TensorRT's parser may refuse one kind and take the others.
pub fn rule_cases() -> &'static [RuleCases] {
    &KINDS
}

/// The dims most cases have.
const IMAGE: [u64; 4] = [1, 64, 56, 56];

struct Cases {
    network: Network,
    outputs: Vec<Wire>,
}

impl Cases {
    fn input(&mut self, name: &str, dims: &[u64]) -> Wire {
        self.network.named_input(name, dims)
    }

    /// Keeps an op as a case of a rule.
    fn case(&mut self, rule: &str, case: &str, out: Wire) {
        let out = self.network.rename_last(&format!("{rule}: {case}"), out);
        self.outputs.push(out);
    }

    fn conv(&mut self, rule: &str, x: &Wire, out: u64, spread: Spread) {
        let [a, b] = spread.kernel;
        let [s, t] = spread.stride;
        let [d, e] = spread.dilation;
        let [p, q] = spread.pads;
        let size: Vec<String> = x.dims.iter().skip(1).map(u64::to_string).collect();
        let case = format!(
            "{} to {out} channels, kernel {a}x{b}, stride {s}x{t}, dilation {d}x{e}, padding {p}x{q}",
            size.join("x")
        );
        let y = self.network.conv_spread(x, out, spread);
        self.case(rule, &case, y);
    }
}

fn convolution(c: &mut Cases) {
    let x = c.input("image", &IMAGE);
    let small = c.input("small", &[1, 8, 80, 80]);
    let three = Spread::of([3, 3]).pad([1, 1]);
    for kernel in [32, 33] {
        c.conv("conv.kernel", &x, 64, Spread::of([kernel, 1]).pad([1, 0]));
    }
    for pad in [31, 32] {
        c.conv(
            "conv.padding",
            &small,
            8,
            Spread::of([32, 32]).pad([pad, pad]),
        );
    }
    c.conv(
        "conv.padding_kernel",
        &x,
        64,
        Spread::of([3, 1]).pad([2, 0]),
    );
    c.conv(
        "conv.padding_kernel",
        &x,
        64,
        Spread::of([3, 1]).pad([1, 1]),
    );
    for stride in [8, 9] {
        c.conv("conv.stride", &x, 64, three.stride([8, stride]));
    }
    for dilation in [32, 33] {
        c.conv(
            "conv.dilation",
            &small,
            8,
            Spread::of([3, 3]).dilation([dilation, 1]),
        );
    }
    for out in [8192, 8193] {
        c.conv("conv.channels", &x, out, Spread::of([1, 1]));
    }
    for width in [32, 33] {
        let wide = c.input(&format!("wide{width}"), &[1, 2368, 8, width]);
        c.conv("conv.buffer", &wide, 64, three);
    }
}

fn deconvolution(c: &mut Cases) {
    let x = c.input("image", &[1, 64, 16, 16]);
    let square = |kernel: u64, stride: u64| Spread::of([kernel; 2]).stride([stride; 2]);
    let mut case = |rule: &str, words: &str, spread: Spread, groups: u64| {
        let y = c.network.deconv(&x, 64, spread, groups);
        c.case(rule, words, y);
    };
    for kernel in [22, 23] {
        let words = format!("kernel and stride {kernel}x{kernel}");
        case("deconv.square", &words, square(kernel, kernel), 1);
    }
    case("deconv.padding", "padding 0", square(4, 2), 1);
    case("deconv.padding", "padding 1", square(4, 2).pad([1, 1]), 1);
    case("deconv.groups", "1 group", square(2, 2), 1);
    case("deconv.groups", "2 groups", square(2, 2), 2);
    case(
        "deconv.dilation",
        "dilation 2x2",
        square(2, 2).dilation([2, 2]),
        1,
    );
    for kernel in [1, 2] {
        let words = format!("kernel {kernel}x128");
        case("deconv.kernel", &words, Spread::of([kernel, 128]), 1);
    }
}

fn pooling(c: &mut Cases) {
    let x = c.input("image", &IMAGE);
    for window in [8, 9] {
        let y = c.network.pool("MaxPool", &x, Spread::of([window; 2]), None);
        c.case("pool.window", &format!("window {window}x{window}"), y);
    }
    let spread = Spread::of([8, 8]).pad([7, 7]);
    let y = c.network.pool("MaxPool", &x, spread, None);
    c.case("pool.padding", "padding 7", y);
    for stride in [16, 17] {
        let spread = Spread::of([3, 3]).stride([stride, 1]);
        let y = c.network.pool("MaxPool", &x, spread, None);
        c.case("pool.stride", &format!("stride {stride}x1"), y);
    }
    for counted in [true, false] {
        let spread = Spread::of([3, 3]).pad([1, 1]);
        let y = c.network.pool("AveragePool", &x, spread, Some(counted));
        let words = if counted { "counted" } else { "left out" };
        c.case("pool.exclusive", &format!("averages, padding {words}"), y);
    }
    for op in ["ReduceMax", "ReduceMean"] {
        let y = c.network.reduce_image(op, &x);
        c.case("reduce.op", op, y);
    }
}

fn pointwise(c: &mut Cases) {
    let x = c.input("image", &IMAGE);
    let other = c.input("other", &IMAGE);
    for op in ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu"] {
        let y = c.network.unary(op, &x);
        c.case("activation.kind", op, y);
    }
    for high in [127.0, 127.5] {
        let y = c.network.clip(&x, 0.0, high);
        c.case("activation.clip", &format!("from 0 to {high}"), y);
    }
    let slope = c.network.weights(&[64, 1, 1]);
    let y = c.network.binary("PRelu", &x, &slope);
    c.case("prelu.slope", "constant", y);
    for op in ["Add", "Sub", "Mul", "Max", "Min", "Div"] {
        let y = c.network.binary(op, &x, &other);
        c.case("elementwise.op", op, y);
    }
    for op in ["Abs", "Neg"] {
        let y = c.network.unary(op, &x);
        c.case("unary.op", op, y);
    }
    for size in [5, 11] {
        let y = c.network.lrn(&x, size);
        c.case("lrn.window", &format!("{size} channels"), y);
    }
    for channels in [8192, 8193] {
        let long = c.input(&format!("long{channels}"), &[1, channels, 1, 1]);
        let y = c.network.unary("Relu", &long);
        c.case("general.dims", &format!("{channels} channels"), y);
    }
}

fn layout(c: &mut Cases) {
    let x = c.input("image", &IMAGE);
    let other = c.input("other", &IMAGE);
    for axis in [1, 2] {
        let y = c.network.concat_at(&[&x, &other], axis);
        c.case("concat.axis", &format!("axis {axis}"), y);
    }
    for factor in [2.0, 1.5] {
        let y = c.network.resize(&x, factor);
        c.case("resize.factor", &format!("factor {factor}"), y);
    }
    for axis in [1, 3] {
        let y = c.network.softmax_at(&x, axis);
        c.case("softmax.board", &format!("axis {axis}"), y);
    }
    let y = c.network.transpose(&x, &[0, 1, 3, 2]);
    c.case("shuffle.kind", "transposed height and width", y);
    let y = c.network.channels(&x, 0, 32);
    c.case("slice.axis", "half of the channels", y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::load_bundled;

    #[test]
    fn every_case_is_an_op_of_its_own() {
        for kind in rule_cases() {
            let model = load_bundled(kind.name).unwrap();
            assert!(model.ops.len() >= 8, "{}", kind.name);
            for op in &model.ops {
                assert!(op.name.contains(": "), "{}: {}", kind.name, op.name);
                assert!(op.cost.is_some(), "{}: {}", kind.name, op.name);
            }
        }
    }
}
