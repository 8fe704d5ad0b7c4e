//! Writes networks as ONNX files. Weights have dims and no values, as in the demo models; what
//! measures them makes the values up.

use bytes::Bytes;
use prost::Message as _;

use super::proto;

/// Opset of the files: the newest that TensorRT 8.0 reads.
const OPSET: i64 = 13;
/// ONNX's numbers of types and of kinds of attributes.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
const ATTRIBUTE_INT: i32 = 2;
const ATTRIBUTE_STRING: i32 = 3;
const ATTRIBUTE_INTS: i32 = 7;

/// A tensor of a network that is being written.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    name: String,
    /// Its dims.
    pub dims: Vec<u64>,
}

impl Wire {
    /// Channels of an image, or features.
    pub fn channels(&self) -> u64 {
        self.dims.get(1).copied().unwrap_or(1)
    }

    fn last(&self) -> u64 {
        self.dims.last().copied().unwrap_or(1)
    }
}

/// A convolution's or pooling's window; square.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kernel: u64,
    pub stride: u64,
    pub groups: u64,
}

impl Window {
    pub fn of(kernel: u64) -> Self {
        Self {
            kernel,
            stride: 1,
            groups: 1,
        }
    }

    pub fn stride(self, stride: u64) -> Self {
        Self { stride, ..self }
    }

    pub fn groups(self, groups: u64) -> Self {
        Self { groups, ..self }
    }

    /// Padding that keeps the size at stride 1; none where windows do not overlap.
    fn pad(self) -> u64 {
        if self.stride >= self.kernel {
            0
        } else {
            self.kernel / 2
        }
    }

    fn out(self, size: u64) -> u64 {
        (size + 2 * self.pad()).saturating_sub(self.kernel) / self.stride + 1
    }

    fn attributes(self) -> Vec<proto::Attribute> {
        let pad = self.pad() as i64;
        vec![
            ints("kernel_shape", &[self.kernel as i64; 2]),
            ints("strides", &[self.stride as i64; 2]),
            ints("pads", &[pad; 4]),
        ]
    }
}

/// A window whose height and width differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub kernel: [u64; 2],
    pub stride: [u64; 2],
    pub dilation: [u64; 2],
    /// On both sides.
    pub pads: [u64; 2],
}

impl Spread {
    pub fn of(kernel: [u64; 2]) -> Self {
        Self {
            kernel,
            stride: [1; 2],
            dilation: [1; 2],
            pads: [0; 2],
        }
    }

    pub fn stride(self, stride: [u64; 2]) -> Self {
        Self { stride, ..self }
    }

    pub fn dilation(self, dilation: [u64; 2]) -> Self {
        Self { dilation, ..self }
    }

    pub fn pad(self, pads: [u64; 2]) -> Self {
        Self { pads, ..self }
    }

    fn out(self, x: &Wire, channels: u64) -> Vec<u64> {
        let size = |i: usize| {
            let reach = (self.kernel[i] - 1) * self.dilation[i] + 1;
            (x.dims[i + 2] + 2 * self.pads[i] - reach) / self.stride[i] + 1
        };
        vec![x.dims[0], channels, size(0), size(1)]
    }

    fn attributes(self) -> Vec<proto::Attribute> {
        let ints = |name: &str, values: &[u64]| {
            let values: Vec<i64> = values.iter().map(|v| *v as i64).collect();
            ints(name, &values)
        };
        vec![
            ints("kernel_shape", &self.kernel),
            ints("strides", &self.stride),
            ints("pads", &[self.pads, self.pads].concat()),
        ]
    }

    fn dilations(self) -> proto::Attribute {
        ints("dilations", &self.dilation.map(|d| d as i64))
    }
}

/// A network that is being written, op by op.
#[derive(Debug)]
pub(super) struct Network {
    graph: proto::Graph,
}

impl Network {
    pub fn new(name: &str) -> Self {
        let mut graph = proto::Graph::default();
        name.clone_into(&mut graph.name);
        Self { graph }
    }

    /// The network's input.
    pub fn input(&mut self, dims: &[u64]) -> Wire {
        self.named_input("input", dims)
    }

    /// One of several inputs.
    pub fn named_input(&mut self, name: &str, dims: &[u64]) -> Wire {
        let wire = Wire {
            name: name.to_owned(),
            dims: dims.to_vec(),
        };
        self.graph.input.push(value_info(&wire));
        wire
    }

    fn fresh(&self, what: &str) -> String {
        format!(
            "{what}_{}",
            self.graph.node.len() + self.graph.initializer.len()
        )
    }

    /// Weights without values.
    pub fn weights(&mut self, dims: &[u64]) -> Wire {
        let name = self.fresh("weights");
        self.graph
            .initializer
            .push(proto::Tensor(proto::TensorFields {
                dims: dims.iter().map(|d| *d as i64).collect(),
                data_type: FLOAT,
                name: name.clone(),
                ..proto::TensorFields::default()
            }));
        Wire {
            name,
            dims: dims.to_vec(),
        }
    }

    fn constant(&mut self, dims: &[u64], data_type: i32, raw: Vec<u8>) -> Wire {
        let name = self.fresh("constant");
        self.graph
            .initializer
            .push(proto::Tensor(proto::TensorFields {
                dims: dims.iter().map(|d| *d as i64).collect(),
                data_type,
                name: name.clone(),
                raw_data: Bytes::from(raw),
                ..proto::TensorFields::default()
            }));
        Wire {
            name,
            dims: dims.to_vec(),
        }
    }

    /// One number.
    pub fn number(&mut self, value: f32) -> Wire {
        self.constant(&[1], FLOAT, value.to_le_bytes().to_vec())
    }

    fn node(
        &mut self,
        op_type: &str,
        inputs: &[&Wire],
        attribute: Vec<proto::Attribute>,
        dims: Vec<u64>,
    ) -> Wire {
        let name = self.fresh(op_type);
        let out = Wire {
            name: format!("{name}_out"),
            dims,
        };
        self.graph.node.push(proto::Node {
            input: inputs.iter().map(|w| w.name.clone()).collect(),
            output: vec![out.name.clone()],
            name,
            op_type: op_type.to_owned(),
            attribute,
            ..proto::Node::default()
        });
        out
    }

    /// A convolution with bias; padding keeps the size at stride 1.
    pub fn conv(&mut self, x: &Wire, out: u64, window: Window) -> Wire {
        let kernel = window.kernel;
        let weights = self.weights(&[out, x.channels() / window.groups, kernel, kernel]);
        let bias = self.weights(&[out]);
        let mut attributes = window.attributes();
        attributes.push(int("group", window.groups as i64));
        let dims = windowed(x, out, window);
        self.node("Conv", &[x, &weights, &bias], attributes, dims)
    }

    /// Gives the last op another name.
    pub fn rename_last(&mut self, name: &str, mut out: Wire) -> Wire {
        if let Some(node) = self.graph.node.last_mut() {
            name.clone_into(&mut node.name);
            out.name = format!("{name}_out");
            node.output = vec![out.name.clone()];
        }
        out
    }

    /// A convolution of any window.
    pub fn conv_spread(&mut self, x: &Wire, out: u64, spread: Spread) -> Wire {
        let [height, width] = spread.kernel;
        let weights = self.weights(&[out, x.channels(), height, width]);
        let mut attributes = spread.attributes();
        attributes.push(spread.dilations());
        self.node("Conv", &[x, &weights], attributes, spread.out(x, out))
    }

    /// A transposed convolution.
    pub fn deconv(&mut self, x: &Wire, out: u64, spread: Spread, groups: u64) -> Wire {
        let [height, width] = spread.kernel;
        let weights = self.weights(&[x.channels(), out / groups, height, width]);
        let mut attributes = spread.attributes();
        attributes.push(spread.dilations());
        attributes.push(int("group", groups as i64));
        let size = |i: usize| {
            let reach = (spread.kernel[i] - 1) * spread.dilation[i] + 1;
            (x.dims[i + 2] - 1) * spread.stride[i] + reach - 2 * spread.pads[i]
        };
        let dims = vec![x.dims[0], out, size(0), size(1)];
        self.node("ConvTranspose", &[x, &weights], attributes, dims)
    }

    /// Pooling; of averages, whether padding counts.
    pub fn pool(&mut self, op: &str, x: &Wire, spread: Spread, counted: Option<bool>) -> Wire {
        let mut attributes = spread.attributes();
        attributes.extend(counted.map(|yes| int("count_include_pad", i64::from(yes))));
        self.node(op, &[x], attributes, spread.out(x, x.channels()))
    }

    /// A reduction of height and width.
    pub fn reduce_image(&mut self, op: &str, x: &Wire) -> Wire {
        let dims = vec![x.dims[0], x.channels(), 1, 1];
        self.node(op, &[x], vec![ints("axes", &[2, 3])], dims)
    }

    /// Values beyond two bounds cut off.
    pub fn clip(&mut self, x: &Wire, low: f32, high: f32) -> Wire {
        let [low, high] = [low, high].map(|v| self.constant(&[], FLOAT, v.to_le_bytes().to_vec()));
        self.node("Clip", &[x, &low, &high], Vec::new(), x.dims.clone())
    }

    /// Normalisation over neighbouring channels.
    pub fn lrn(&mut self, x: &Wire, size: u64) -> Wire {
        self.node("LRN", &[x], vec![int("size", size as i64)], x.dims.clone())
    }

    /// Tensors one after the other along a dim.
    pub fn concat_at(&mut self, parts: &[&Wire], axis: usize) -> Wire {
        let mut dims = parts[0].dims.clone();
        dims[axis] = parts.iter().map(|p| p.dims[axis]).sum();
        self.node("Concat", parts, vec![int("axis", axis as i64)], dims)
    }

    /// Softmax along a dim.
    pub fn softmax_at(&mut self, x: &Wire, axis: i64) -> Wire {
        self.node("Softmax", &[x], vec![int("axis", axis)], x.dims.clone())
    }

    /// A convolution and a ReLU.
    pub fn conv_relu(&mut self, x: &Wire, out: u64, window: Window) -> Wire {
        let x = self.conv(x, out, window);
        self.unary("Relu", &x)
    }

    /// An op that keeps the shape of its input and has no attributes.
    pub fn unary(&mut self, op_type: &str, x: &Wire) -> Wire {
        self.node(op_type, &[x], Vec::new(), x.dims.clone())
    }

    /// An op of two inputs with the shape of the first.
    pub fn binary(&mut self, op_type: &str, a: &Wire, b: &Wire) -> Wire {
        self.node(op_type, &[a, b], Vec::new(), a.dims.clone())
    }

    /// Values above six and below zero cut off.
    pub fn relu6(&mut self, x: &Wire) -> Wire {
        self.clip(x, 0.0, 6.0)
    }

    /// `x * sigmoid(x)`.
    pub fn silu(&mut self, x: &Wire) -> Wire {
        let gate = self.unary("Sigmoid", x);
        self.binary("Mul", x, &gate)
    }

    pub fn max_pool(&mut self, x: &Wire, window: Window) -> Wire {
        let dims = windowed(x, x.channels(), window);
        self.node("MaxPool", &[x], window.attributes(), dims)
    }

    pub fn average_pool(&mut self, x: &Wire, window: Window) -> Wire {
        let dims = windowed(x, x.channels(), window);
        self.node("AveragePool", &[x], window.attributes(), dims)
    }

    pub fn global_pool(&mut self, x: &Wire) -> Wire {
        let mut dims = x.dims.clone();
        for d in dims.iter_mut().skip(2) {
            *d = 1;
        }
        self.node("GlobalAveragePool", &[x], Vec::new(), dims)
    }

    /// All dims but the batch as one.
    pub fn flatten(&mut self, x: &Wire) -> Wire {
        let dims = vec![x.dims[0], x.dims[1..].iter().product()];
        self.node("Flatten", &[x], vec![int("axis", 1)], dims)
    }

    /// A fully connected layer of two dims, with bias.
    pub fn gemm(&mut self, x: &Wire, out: u64) -> Wire {
        let weights = self.weights(&[out, x.last()]);
        let bias = self.weights(&[out]);
        let dims = vec![x.dims[0], out];
        self.node("Gemm", &[x, &weights, &bias], vec![int("transB", 1)], dims)
    }

    /// A product with weights and a bias, over the last dim of a sequence.
    pub fn linear(&mut self, x: &Wire, out: u64) -> Wire {
        let weights = self.weights(&[x.last(), out]);
        let bias = self.weights(&[out]);
        let x = self.matmul(x, &weights);
        self.binary("Add", &x, &bias)
    }

    /// A product over the last dim of `a` and the last but one of `b`.
    pub fn matmul(&mut self, a: &Wire, b: &Wire) -> Wire {
        let mut dims = a.dims.clone();
        if let Some(last) = dims.last_mut() {
            *last = b.last();
        }
        self.node("MatMul", &[a, b], Vec::new(), dims)
    }

    pub fn softmax(&mut self, x: &Wire) -> Wire {
        self.softmax_at(x, -1)
    }

    pub fn transpose(&mut self, x: &Wire, order: &[u64]) -> Wire {
        let dims = order.iter().map(|d| x.dims[*d as usize]).collect();
        let order: Vec<i64> = order.iter().map(|d| *d as i64).collect();
        self.node("Transpose", &[x], vec![ints("perm", &order)], dims)
    }

    /// Other dims after the batch.
    pub fn reshape(&mut self, x: &Wire, rest: &[u64]) -> Wire {
        let mut raw = 0i64.to_le_bytes().to_vec();
        for d in rest {
            raw.extend((*d as i64).to_le_bytes());
        }
        let shape = self.constant(&[rest.len() as u64 + 1], INT64, raw);
        let dims = [&x.dims[..1], rest].concat();
        self.node("Reshape", &[x, &shape], Vec::new(), dims)
    }

    /// Channels one after the other.
    pub fn concat(&mut self, parts: &[&Wire]) -> Wire {
        self.concat_at(parts, 1)
    }

    /// Channels from one to another, the latter not among them.
    pub fn channels(&mut self, x: &Wire, from: u64, to: u64) -> Wire {
        let mut dims = x.dims.clone();
        dims[1] = to - from;
        let [from, to, axis] =
            [from, to, 1].map(|n| self.constant(&[1], INT64, (n as i64).to_le_bytes().to_vec()));
        self.node("Slice", &[x, &from, &to, &axis], Vec::new(), dims)
    }

    /// Channels of several groups in turns.
    pub fn shuffle(&mut self, x: &Wire, groups: u64) -> Wire {
        let (channels, sizes) = (x.channels(), x.dims[2..].to_vec());
        let apart = [&[groups, channels / groups], &sizes[..]].concat();
        let y = self.reshape(x, &apart);
        let y = self.transpose(&y, &[0, 2, 1, 3, 4]);
        let together = [&[channels], &sizes[..]].concat();
        self.reshape(&y, &together)
    }

    /// Twice as high and wide, by the nearest value.
    pub fn upsample(&mut self, x: &Wire) -> Wire {
        self.resize(x, 2.0)
    }

    /// Higher and wider by a factor, by the nearest value.
    pub fn resize(&mut self, x: &Wire, factor: f32) -> Wire {
        let scales: Vec<u8> = [1f32, 1.0, factor, factor]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        let none = Wire {
            name: String::new(),
            dims: Vec::new(),
        };
        let scales = self.constant(&[4], FLOAT, scales);
        let attributes = vec![
            text("mode", "nearest"),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", "floor"),
        ];
        let mut dims = x.dims.clone();
        for d in dims.iter_mut().skip(2) {
            *d = (*d as f32 * factor) as u64;
        }
        self.node("Resize", &[x, &none, &scales], attributes, dims)
    }

    fn mean(&mut self, x: &Wire) -> Wire {
        let mut dims = x.dims.clone();
        if let Some(last) = dims.last_mut() {
            *last = 1;
        }
        self.node("ReduceMean", &[x], vec![ints("axes", &[-1])], dims)
    }

    /// Layer normalisation over the last dim, op by op as exporters of this opset write it.
    pub fn layer_norm(&mut self, x: &Wire) -> Wire {
        let mean = self.mean(x);
        let centred = self.binary("Sub", x, &mean);
        let two = self.number(2.0);
        let square = self.binary("Pow", &centred, &two);
        let variance = self.mean(&square);
        let little = self.number(1e-5);
        let variance = self.binary("Add", &variance, &little);
        let deviation = self.unary("Sqrt", &variance);
        let normal = self.binary("Div", &centred, &deviation);
        let (scale, shift) = (self.weights(&[x.last()]), self.weights(&[x.last()]));
        let scaled = self.binary("Mul", &normal, &scale);
        self.binary("Add", &scaled, &shift)
    }

    /// The Gaussian error linear unit, op by op.
    pub fn gelu(&mut self, x: &Wire) -> Wire {
        let root = self.number(std::f32::consts::SQRT_2);
        let (one, half) = (self.number(1.0), self.number(0.5));
        let inner = self.binary("Div", x, &root);
        let erf = self.unary("Erf", &inner);
        let gate = self.binary("Add", &erf, &one);
        let gated = self.binary("Mul", x, &gate);
        self.binary("Mul", &gated, &half)
    }

    /// The file, with these outputs.
    pub fn finish(mut self, outputs: &[&Wire]) -> Bytes {
        self.graph.output = outputs.iter().map(|w| value_info(w)).collect();
        let model = proto::Model {
            ir_version: 8,
            producer_name: "dlaplan".to_owned(),
            producer_version: String::new(),
            graph: Some(self.graph),
            opset_import: vec![proto::OperatorSet {
                domain: String::new(),
                version: OPSET,
            }],
            metadata_props: vec![proto::Entry {
                key: "dlaplan.structure_only".to_owned(),
                value: Bytes::from_static(b"1"),
            }],
            functions: Vec::new(),
        };
        Bytes::from(model.encode_to_vec())
    }
}

fn windowed(x: &Wire, channels: u64, window: Window) -> Vec<u64> {
    let sizes = x.dims[2..].iter().map(|size| window.out(*size));
    [x.dims[0], channels].into_iter().chain(sizes).collect()
}

fn value_info(wire: &Wire) -> proto::ValueInfo {
    let dim = |d: &u64| proto::Dimension {
        dim_value: Some(*d as i64),
        dim_param: None,
    };
    proto::ValueInfo {
        name: wire.name.clone(),
        r#type: Some(proto::Type {
            tensor_type: Some(proto::TensorType {
                elem_type: FLOAT,
                shape: Some(proto::Shape {
                    dim: wire.dims.iter().map(dim).collect(),
                }),
            }),
        }),
    }
}

fn attribute(name: &str, kind: i32) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        r#type: kind,
        ..proto::Attribute::default()
    }
}

fn int(name: &str, value: i64) -> proto::Attribute {
    proto::Attribute {
        i: Some(value),
        ..attribute(name, ATTRIBUTE_INT)
    }
}

fn ints(name: &str, values: &[i64]) -> proto::Attribute {
    proto::Attribute {
        ints: values.to_vec(),
        ..attribute(name, ATTRIBUTE_INTS)
    }
}

fn text(name: &str, value: &'static str) -> proto::Attribute {
    proto::Attribute {
        s: Some(Bytes::from_static(value.as_bytes())),
        ..attribute(name, ATTRIBUTE_STRING)
    }
}
