//! The networks that published measurements are about, made from their papers' and libraries'
//! descriptions: structure only, no weights. The estimator never sees a name; it sees the graph.

use dlaplan::model::{
    Activation, BinaryOp, Conv, Exporter, Model, NormKind, OpKind, Pool, PoolKind, ShuffleKind,
    TensorId,
};

use super::net;

#[path = "yolo.rs"]
mod yolo;

/// A network by its name in the measurement rows; `None` if no row is about it.
///
/// Single layers are spelled `conv:C,K,r3,s1,HxW`, `dwconv:C,r3,s1,HxW` and `fc:C,K`.
pub fn network(name: &str) -> Option<Model> {
    if let Some((kind, spec)) = name.split_once(':') {
        return single_layer(name, kind, spec);
    }
    let model = match name {
        "alexnet" => alexnet(),
        "alexnet_caffe" => alexnet_caffe(),
        "googlenet_caffe" => googlenet_caffe(),
        "squeezenet1_0" => squeezenet(false),
        "squeezenet1_1" => squeezenet(true),
        "resnet18" => resnet(name, [2, 2, 2, 2], false),
        "resnet34" => resnet(name, [3, 4, 6, 3], false),
        "resnet50" => resnet(name, [3, 4, 6, 3], true),
        "resnet101" => resnet(name, [3, 4, 23, 3], true),
        "resnet152" => resnet(name, [3, 8, 36, 3], true),
        "densenet121" => densenet(name, 64, 32, [6, 12, 24, 16]),
        "densenet169" => densenet(name, 64, 32, [6, 12, 32, 32]),
        "densenet201" => densenet(name, 64, 32, [6, 12, 48, 32]),
        "densenet161" => densenet(name, 96, 48, [6, 12, 36, 24]),
        "vgg11" | "vgg11_bn" => vgg(name, [1, 1, 2, 2, 2]),
        "vgg13" | "vgg13_bn" => vgg(name, [2, 2, 2, 2, 2]),
        "vgg16" | "vgg16_bn" => vgg(name, [2, 2, 3, 3, 3]),
        "vgg19" | "vgg19_bn" => vgg(name, [2, 2, 4, 4, 4]),
        "mobilenet_v2" => mobilenet_v2(),
        "shufflenet_v2_x0_5" => shufflenet_v2(name, [24, 48, 96, 192, 1024]),
        "shufflenet_v2_x1_0" => shufflenet_v2(name, [24, 116, 232, 464, 1024]),
        "shufflenet_v2_x1_5" => shufflenet_v2(name, [24, 176, 352, 704, 1024]),
        "shufflenet_v2_x2_0" => shufflenet_v2(name, [24, 244, 488, 976, 2048]),
        "mnasnet0_5" => mnasnet(name, 0.5),
        "mnasnet0_75" => mnasnet(name, 0.75),
        "mnasnet1_0" => mnasnet(name, 1.0),
        "mnasnet1_3" => mnasnet(name, 1.3),
        "yolov3_darknet53_608" => yolov3(608),
        "resnet34_backbone_768x1280" => resnet34_head(),
        _ => return yolo::named(name),
    };
    Some(model)
}

/// Lays a network layer by layer. Shapes are NCHW.
struct Net(net::Net);

impl Net {
    fn new(name: &str, input: &[u64]) -> (Self, TensorId) {
        let mut net = net::Net::new(name);
        net.source.path = format!("calibration:{name}").into();
        net.source.producer = "dlaplan calibration".into();
        net.source.exporter = Exporter::Foreign;
        net.source.opset = 13;
        name.clone_into(&mut net.source.structure_hash);
        let input = net.input("input", Some(input));
        (Self(net), input)
    }

    fn shape(&self, t: TensorId) -> &[u64] {
        self.0.shape(t)
    }

    fn channels(&self, t: TensorId) -> u64 {
        self.shape(t).get(1).copied().unwrap_or(1)
    }

    fn elems(&self, t: TensorId) -> u64 {
        self.shape(t).iter().product()
    }

    /// Adds an op to a module. `macs` and `weight` are of the whole op.
    fn op(
        &mut self,
        path: &str,
        op_type: &str,
        kind: OpKind,
        inputs: &[TensorId],
        outputs: &[Vec<u64>],
        (macs, weight): (u64, u64),
    ) -> Vec<TensorId> {
        let mut operands = inputs.to_vec();
        operands.extend((weight > 0).then(|| self.0.weight(&[weight])));
        let name = format!("{path}/{op_type}_{}", self.0.len());
        let outputs: Vec<Option<&[u64]>> = outputs.iter().map(|o| Some(&o[..])).collect();
        self.0
            .add((path, &name, op_type), kind, &operands, &outputs, macs)
    }

    /// A convolution with `groups`; padding on all sides. Returns its output.
    fn conv_g(
        &mut self,
        path: &str,
        x: TensorId,
        k: u64,
        (r, s, stride, pad): (u64, u64, u64, u64),
        groups: u64,
    ) -> TensorId {
        let [n, c, h, w] = self.dims(x);
        let (pad_h, pad_w) = (if r == 1 { 0 } else { pad }, if s == 1 { 0 } else { pad });
        let p = (h + 2 * pad_h - r) / stride + 1;
        let q = (w + 2 * pad_w - s) / stride + 1;
        let weight = k * (c / groups) * r * s;
        let kind = OpKind::Conv(Conv {
            kernel: vec![r, s],
            stride: vec![stride; 2],
            pads: vec![pad_h, pad_w, pad_h, pad_w],
            dilation: vec![1; 2],
            groups,
            in_channels: c,
            out_channels: k,
            output_padding: vec![0; 2],
            const_weights: true,
        });
        let work = (weight * n * p * q, weight + k);
        self.op(path, "Conv", kind, &[x], &[vec![n, k, p, q]], work)[0]
    }

    fn conv(&mut self, path: &str, x: TensorId, k: u64, r: u64, stride: u64) -> TensorId {
        self.conv_g(path, x, k, (r, r, stride, r / 2), 1)
    }

    fn dims(&self, x: TensorId) -> [u64; 4] {
        match *self.shape(x) {
            [n, c, h, w] => [n, c, h, w],
            [n, c] => [n, c, 1, 1],
            _ => [1; 4],
        }
    }

    fn same(
        &mut self,
        path: &str,
        op_type: &str,
        kind: OpKind,
        inputs: &[TensorId],
        weight: u64,
    ) -> TensorId {
        let shape = self.shape(inputs[0]).to_vec();
        self.op(path, op_type, kind, inputs, &[shape], (0, weight))[0]
    }

    fn relu(&mut self, path: &str, x: TensorId) -> TensorId {
        self.same(path, "Relu", OpKind::Activation(Activation::Relu), &[x], 0)
    }

    fn relu6(&mut self, path: &str, x: TensorId) -> TensorId {
        let clip = Activation::Clip {
            min: Some(0.0),
            max: Some(6.0),
        };
        self.same(path, "Clip", OpKind::Activation(clip), &[x], 0)
    }

    fn leaky(&mut self, path: &str, x: TensorId) -> TensorId {
        let leaky = Activation::LeakyRelu { slope: 0.1 };
        self.same(path, "LeakyRelu", OpKind::Activation(leaky), &[x], 0)
    }

    fn bn(&mut self, path: &str, x: TensorId) -> TensorId {
        let c = self.channels(x);
        let kind = OpKind::Norm(NormKind::Batch);
        self.same(path, "BatchNormalization", kind, &[x], 2 * c)
    }

    fn lrn(&mut self, path: &str, x: TensorId) -> TensorId {
        self.same(path, "LRN", OpKind::Lrn { size: 5 }, &[x], 0)
    }

    fn add(&mut self, path: &str, a: TensorId, b: TensorId) -> TensorId {
        let kind = OpKind::Binary {
            op: BinaryOp::Add,
            const_operand: false,
        };
        self.same(path, "Add", kind, &[a, b], 0)
    }

    fn pool(
        &mut self,
        path: &str,
        x: TensorId,
        kind: PoolKind,
        (window, stride, pad, ceil): (u64, u64, u64, bool),
    ) -> TensorId {
        let [n, c, h, w] = self.dims(x);
        let out = |d: u64| {
            let free = (d + 2 * pad).saturating_sub(window);
            if ceil {
                free.div_ceil(stride) + 1
            } else {
                free / stride + 1
            }
        };
        let op_type = if kind == PoolKind::Max {
            "MaxPool"
        } else {
            "AveragePool"
        };
        let pool = OpKind::Pool(Pool {
            kind,
            window: vec![window; 2],
            stride: vec![stride; 2],
            pads: vec![pad; 4],
            dilation: vec![1; 2],
            count_include_pad: true,
            ceil_mode: ceil,
        });
        self.op(
            path,
            op_type,
            pool,
            &[x],
            &[vec![n, c, out(h), out(w)]],
            (0, 0),
        )[0]
    }

    fn max_pool(
        &mut self,
        path: &str,
        x: TensorId,
        window: u64,
        stride: u64,
        pad: u64,
    ) -> TensorId {
        self.pool(path, x, PoolKind::Max, (window, stride, pad, false))
    }

    fn global_pool(&mut self, path: &str, x: TensorId) -> TensorId {
        let [n, c, ..] = self.dims(x);
        let kind = OpKind::GlobalPool(PoolKind::Average);
        let out = vec![n, c, 1, 1];
        self.op(path, "GlobalAveragePool", kind, &[x], &[out], (0, 0))[0]
    }

    fn flatten(&mut self, path: &str, x: TensorId) -> TensorId {
        let n = self.dims(x)[0];
        let kind = OpKind::Shuffle(ShuffleKind::Flatten);
        let out = vec![n, self.elems(x) / n];
        self.op(path, "Flatten", kind, &[x], &[out], (0, 0))[0]
    }

    fn fc(&mut self, path: &str, x: TensorId, k: u64) -> TensorId {
        let [n, c, ..] = self.dims(x);
        let kind = OpKind::FullyConnected {
            in_features: c,
            out_features: k,
            transposed: true,
        };
        let work = (n * c * k, c * k + k);
        self.op(path, "Gemm", kind, &[x], &[vec![n, k]], work)[0]
    }

    fn softmax(&mut self, path: &str, x: TensorId) -> TensorId {
        let kind = OpKind::Softmax {
            axis: 1,
            log: false,
        };
        self.same(path, "Softmax", kind, &[x], 0)
    }

    fn concat(&mut self, path: &str, parts: &[TensorId]) -> TensorId {
        let [n, _, h, w] = self.dims(parts[0]);
        let c = parts.iter().map(|t| self.channels(*t)).sum();
        let kind = OpKind::Concat { axis: 1 };
        self.op(path, "Concat", kind, parts, &[vec![n, c, h, w]], (0, 0))[0]
    }

    fn upsample(&mut self, path: &str, x: TensorId) -> TensorId {
        use dlaplan::model::{CoordinateMode, NearestMode, Resize, ResizeMode};
        let [n, c, h, w] = self.dims(x);
        let kind = OpKind::Resize(Resize {
            mode: ResizeMode::Nearest,
            coordinates: CoordinateMode::Asymmetric,
            nearest: NearestMode::Floor,
            scales: vec![1.0, 1.0, 2.0, 2.0],
            by_size: false,
        });
        self.op(
            path,
            "Resize",
            kind,
            &[x],
            &[vec![n, c, 2 * h, 2 * w]],
            (0, 0),
        )[0]
    }

    /// Two halves of the channels.
    fn chunk(&mut self, path: &str, x: TensorId) -> (TensorId, TensorId) {
        let [n, c, h, w] = self.dims(x);
        let half = vec![n, c / 2, h, w];
        let kind = OpKind::Split { axis: 1 };
        let out = self.op(path, "Split", kind, &[x], &[half.clone(), half], (0, 0));
        (out[0], out[1])
    }

    fn channel_shuffle(&mut self, path: &str, x: TensorId) -> TensorId {
        let [n, c, h, w] = self.dims(x);
        let split = vec![n, 2, c / 2, h, w];
        let swapped = vec![n, c / 2, 2, h, w];
        let reshape = || OpKind::Shuffle(ShuffleKind::Reshape);
        let y = self.op(path, "Reshape", reshape(), &[x], &[split], (0, 0))[0];
        let transpose = OpKind::Shuffle(ShuffleKind::Transpose(vec![0, 2, 1, 3, 4]));
        let y = self.op(path, "Transpose", transpose, &[y], &[swapped], (0, 0))[0];
        self.op(
            path,
            "Reshape",
            reshape(),
            &[y],
            &[vec![n, c, h, w]],
            (0, 0),
        )[0]
    }

    fn finish(self, outputs: &[TensorId]) -> Model {
        self.0.finish(outputs)
    }
}

/// A plain chain of `blocks` equal convolutions with activations, for benchmarks.
pub fn chain(blocks: usize) -> Model {
    let (mut n, mut x) = Net::new("chain", &[1, 64, 28, 28]);
    for i in 0..blocks {
        x = n.conv(&format!("stage{}.{i}.conv", i / 64), x, 64, 3, 1);
        x = n.relu(&format!("stage{}.{i}.relu", i / 64), x);
    }
    n.finish(&[x])
}

/// `conv:C,K,r3,s1,HxW`, `dwconv:C,r3,s1,HxW`, `fc:C,K`.
fn single_layer(name: &str, kind: &str, spec: &str) -> Option<Model> {
    let fields: Vec<&str> = spec.split(',').collect();
    let num = |f: &str| f.trim_start_matches(['r', 's']).parse::<u64>().ok();
    let size = |f: &str| -> Option<(u64, u64)> {
        let (h, w) = f.split_once('x')?;
        Some((h.parse().ok()?, w.parse().ok()?))
    };
    match (kind, &fields[..]) {
        ("conv", [c, k, r, s, hw]) => {
            let (h, w) = size(hw)?;
            let (mut net, x) = Net::new(name, &[1, num(c)?, h, w]);
            let y = net.conv("conv", x, num(k)?, num(r)?, num(s)?);
            Some(net.finish(&[y]))
        }
        ("dwconv", [c, r, s, hw]) => {
            let (h, w) = size(hw)?;
            let (c, r, s) = (num(c)?, num(r)?, num(s)?);
            let (mut net, x) = Net::new(name, &[1, c, h, w]);
            let y = net.conv_g("conv", x, c, (r, r, s, r / 2), c);
            Some(net.finish(&[y]))
        }
        ("fc", [c, k]) => {
            let (mut net, x) = Net::new(name, &[1, num(c)?]);
            let y = net.fc("fc", x, num(k)?);
            Some(net.finish(&[y]))
        }
        _ => None,
    }
}

const IMAGENET: [u64; 4] = [1, 3, 224, 224];

/// torchvision's AlexNet.
fn alexnet() -> Model {
    let (mut n, mut x) = Net::new("alexnet", &IMAGENET);
    x = n.conv_g("features.0", x, 64, (11, 11, 4, 2), 1);
    x = n.relu("features.1", x);
    x = n.max_pool("features.2", x, 3, 2, 0);
    x = n.conv("features.3", x, 192, 5, 1);
    x = n.relu("features.4", x);
    x = n.max_pool("features.5", x, 3, 2, 0);
    for (i, k) in [(6, 384), (8, 256), (10, 256)] {
        x = n.conv(&format!("features.{i}"), x, k, 3, 1);
        x = n.relu(&format!("features.{}", i + 1), x);
    }
    x = n.max_pool("features.12", x, 3, 2, 0);
    x = n.flatten("", x);
    x = n.fc("classifier.1", x, 4096);
    x = n.relu("classifier.2", x);
    x = n.fc("classifier.4", x, 4096);
    x = n.relu("classifier.5", x);
    x = n.fc("classifier.6", x, 1000);
    n.finish(&[x])
}

/// Caffe's AlexNet: local response normalisation and grouped convolutions, 227x227.
fn alexnet_caffe() -> Model {
    let (mut n, mut x) = Net::new("alexnet_caffe", &[1, 3, 227, 227]);
    x = n.conv_g("conv1", x, 96, (11, 11, 4, 0), 1);
    x = n.relu("relu1", x);
    x = n.lrn("norm1", x);
    x = n.pool("pool1", x, PoolKind::Max, (3, 2, 0, true));
    x = n.conv_g("conv2", x, 256, (5, 5, 1, 2), 2);
    x = n.relu("relu2", x);
    x = n.lrn("norm2", x);
    x = n.pool("pool2", x, PoolKind::Max, (3, 2, 0, true));
    x = n.conv("conv3", x, 384, 3, 1);
    x = n.relu("relu3", x);
    x = n.conv_g("conv4", x, 384, (3, 3, 1, 1), 2);
    x = n.relu("relu4", x);
    x = n.conv_g("conv5", x, 256, (3, 3, 1, 1), 2);
    x = n.relu("relu5", x);
    x = n.pool("pool5", x, PoolKind::Max, (3, 2, 0, true));
    x = n.flatten("fc6", x);
    x = n.fc("fc6", x, 4096);
    x = n.relu("relu6", x);
    x = n.fc("fc7", x, 4096);
    x = n.relu("relu7", x);
    x = n.fc("fc8", x, 1000);
    x = n.softmax("prob", x);
    n.finish(&[x])
}

/// Caffe's GoogLeNet with the prototxt's layer names.
fn googlenet_caffe() -> Model {
    let (mut n, mut x) = Net::new("googlenet_caffe", &IMAGENET);
    x = n.conv("conv1/7x7_s2", x, 64, 7, 2);
    x = n.relu("conv1/relu_7x7", x);
    x = n.pool("pool1/3x3_s2", x, PoolKind::Max, (3, 2, 0, true));
    x = n.lrn("pool1/norm1", x);
    x = n.conv("conv2/3x3_reduce", x, 64, 1, 1);
    x = n.relu("conv2/relu_3x3_reduce", x);
    x = n.conv("conv2/3x3", x, 192, 3, 1);
    x = n.relu("conv2/relu_3x3", x);
    x = n.lrn("conv2/norm2", x);
    x = n.pool("pool2/3x3_s2", x, PoolKind::Max, (3, 2, 0, true));
    const BLOCKS: [(&str, [u64; 6]); 9] = [
        ("3a", [64, 96, 128, 16, 32, 32]),
        ("3b", [128, 128, 192, 32, 96, 64]),
        ("4a", [192, 96, 208, 16, 48, 64]),
        ("4b", [160, 112, 224, 24, 64, 64]),
        ("4c", [128, 128, 256, 24, 64, 64]),
        ("4d", [112, 144, 288, 32, 64, 64]),
        ("4e", [256, 160, 320, 32, 128, 128]),
        ("5a", [256, 160, 320, 32, 128, 128]),
        ("5b", [384, 192, 384, 48, 128, 128]),
    ];
    for (block, [k1, r3, k3, r5, k5, proj]) in BLOCKS {
        let at = |layer: &str| format!("inception_{block}/{layer}");
        let mut branch = |layer: &str, x: TensorId, k: u64, r: u64| {
            let y = n.conv(&at(layer), x, k, r, 1);
            n.relu(&at(&format!("relu_{layer}")), y)
        };
        let a = branch("1x1", x, k1, 1);
        let b = branch("3x3_reduce", x, r3, 1);
        let b = branch("3x3", b, k3, 3);
        let c = branch("5x5_reduce", x, r5, 1);
        let c = branch("5x5", c, k5, 5);
        let d = n.max_pool(&at("pool"), x, 3, 1, 1);
        let d = n.conv(&at("pool_proj"), d, proj, 1, 1);
        let d = n.relu(&at("relu_pool_proj"), d);
        x = n.concat(&at("output"), &[a, b, c, d]);
        match block {
            "3b" => x = n.pool("pool3/3x3_s2", x, PoolKind::Max, (3, 2, 0, true)),
            "4e" => x = n.pool("pool4/3x3_s2", x, PoolKind::Max, (3, 2, 0, true)),
            _ => {}
        }
    }
    x = n.pool("pool5/7x7_s1", x, PoolKind::Average, (7, 1, 0, false));
    x = n.flatten("loss3/classifier", x);
    x = n.fc("loss3/classifier", x, 1000);
    x = n.softmax("prob", x);
    n.finish(&[x])
}

fn squeezenet(v1_1: bool) -> Model {
    let name = if v1_1 {
        "squeezenet1_1"
    } else {
        "squeezenet1_0"
    };
    let (mut n, mut x) = Net::new(name, &IMAGENET);
    let (k, r) = if v1_1 { (64, 3) } else { (96, 7) };
    x = n.conv_g("features.0", x, k, (r, r, 2, 0), 1);
    x = n.relu("features.1", x);
    let mut at = 2;
    let pool = |n: &mut Net, x: TensorId, at: &mut usize| {
        let y = n.pool(&format!("features.{at}"), x, PoolKind::Max, (3, 2, 0, true));
        *at += 1;
        y
    };
    x = pool(&mut n, x, &mut at);
    let pools: &[usize] = if v1_1 { &[2, 4] } else { &[3, 7] };
    let fires = [
        (16, 64),
        (16, 64),
        (32, 128),
        (32, 128),
        (48, 192),
        (48, 192),
        (64, 256),
        (64, 256),
    ];
    for (i, (squeeze, expand)) in fires.into_iter().enumerate() {
        let p = format!("features.{at}");
        at += 1;
        let s = n.conv(&format!("{p}.squeeze"), x, squeeze, 1, 1);
        let s = n.relu(&format!("{p}.squeeze_activation"), s);
        let a = n.conv(&format!("{p}.expand1x1"), s, expand, 1, 1);
        let a = n.relu(&format!("{p}.expand1x1_activation"), a);
        let b = n.conv(&format!("{p}.expand3x3"), s, expand, 3, 1);
        let b = n.relu(&format!("{p}.expand3x3_activation"), b);
        x = n.concat(&p, &[a, b]);
        if pools.contains(&(i + 1)) {
            x = pool(&mut n, x, &mut at);
        }
    }
    x = n.conv("classifier.1", x, 1000, 1, 1);
    x = n.relu("classifier.2", x);
    x = n.global_pool("classifier.3", x);
    x = n.flatten("", x);
    n.finish(&[x])
}

/// torchvision's ResNets (stride in the 3x3 convolution of a bottleneck).
fn resnet(name: &str, blocks: [usize; 4], bottleneck: bool) -> Model {
    let (mut n, x) = Net::new(name, &IMAGENET);
    let x = resnet_stages(&mut n, x, &blocks, bottleneck);
    let x = n.global_pool("avgpool", x);
    let x = n.flatten("", x);
    let x = n.fc("fc", x, 1000);
    n.finish(&[x])
}

fn resnet_stages(n: &mut Net, x: TensorId, blocks: &[usize], bottleneck: bool) -> TensorId {
    let mut x = n.conv_g("conv1", x, 64, (7, 7, 2, 3), 1);
    x = n.relu("relu", x);
    x = n.max_pool("maxpool", x, 3, 2, 1);
    for (stage, count) in blocks.iter().enumerate() {
        let width = 64 << stage;
        let out = if bottleneck { 4 * width } else { width };
        for block in 0..*count {
            let p = format!("layer{}.{block}", stage + 1);
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let mut y;
            if bottleneck {
                y = n.conv(&format!("{p}.conv1"), x, width, 1, 1);
                y = n.relu(&format!("{p}.relu"), y);
                y = n.conv(&format!("{p}.conv2"), y, width, 3, stride);
                y = n.relu(&format!("{p}.relu"), y);
                y = n.conv(&format!("{p}.conv3"), y, out, 1, 1);
            } else {
                y = n.conv(&format!("{p}.conv1"), x, width, 3, stride);
                y = n.relu(&format!("{p}.relu"), y);
                y = n.conv(&format!("{p}.conv2"), y, width, 3, 1);
            }
            let identity = if stride > 1 || n.channels(x) != out {
                n.conv(&format!("{p}.downsample.0"), x, out, 1, stride)
            } else {
                x
            };
            y = n.add(&p, y, identity);
            x = n.relu(&format!("{p}.relu"), y);
        }
    }
    x
}

/// First stages of a ResNet-34 at 1280x768, as NVIDIA's layer-wise DLA sample runs it.
fn resnet34_head() -> Model {
    let (mut n, x) = Net::new("resnet34_backbone_768x1280", &[1, 3, 768, 1280]);
    let x = resnet_stages(&mut n, x, &[3, 4], false);
    n.finish(&[x])
}

fn densenet(name: &str, stem: u64, growth: u64, blocks: [usize; 4]) -> Model {
    let (mut n, mut x) = Net::new(name, &IMAGENET);
    x = n.conv_g("features.conv0", x, stem, (7, 7, 2, 3), 1);
    x = n.relu("features.relu0", x);
    x = n.max_pool("features.pool0", x, 3, 2, 1);
    for (b, count) in blocks.into_iter().enumerate() {
        let block = format!("features.denseblock{}", b + 1);
        let mut features = vec![x];
        for layer in 0..count {
            let p = format!("{block}.denselayer{}", layer + 1);
            let mut y = if features.len() > 1 {
                n.concat(&p, &features)
            } else {
                x
            };
            y = n.bn(&format!("{p}.norm1"), y);
            y = n.relu(&format!("{p}.relu1"), y);
            y = n.conv(&format!("{p}.conv1"), y, 4 * growth, 1, 1);
            y = n.relu(&format!("{p}.relu2"), y);
            y = n.conv(&format!("{p}.conv2"), y, growth, 3, 1);
            features.push(y);
        }
        x = n.concat(&block, &features);
        if b < 3 {
            let p = format!("features.transition{}", b + 1);
            x = n.bn(&format!("{p}.norm"), x);
            x = n.relu(&format!("{p}.relu"), x);
            let k = n.channels(x) / 2;
            x = n.conv(&format!("{p}.conv"), x, k, 1, 1);
            x = n.pool(&format!("{p}.pool"), x, PoolKind::Average, (2, 2, 0, false));
        }
    }
    x = n.bn("features.norm5", x);
    x = n.relu("", x);
    x = n.global_pool("", x);
    x = n.flatten("", x);
    x = n.fc("classifier", x, 1000);
    n.finish(&[x])
}

fn vgg(name: &str, stages: [usize; 5]) -> Model {
    let (mut n, mut x) = Net::new(name, &IMAGENET);
    let mut at = 0;
    for (count, k) in stages.into_iter().zip([64, 128, 256, 512, 512]) {
        for _ in 0..count {
            x = n.conv(&format!("features.{at}"), x, k, 3, 1);
            x = n.relu(&format!("features.{}", at + 1), x);
            at += 2;
        }
        x = n.max_pool(&format!("features.{at}"), x, 2, 2, 0);
        at += 1;
    }
    x = n.flatten("", x);
    x = n.fc("classifier.0", x, 4096);
    x = n.relu("classifier.1", x);
    x = n.fc("classifier.3", x, 4096);
    x = n.relu("classifier.4", x);
    x = n.fc("classifier.6", x, 1000);
    n.finish(&[x])
}

/// Nearest multiple of eight that loses at most a tenth (torchvision's `_make_divisible`).
fn round8(v: f64) -> u64 {
    let r = (((v + 4.0) / 8.0).floor() * 8.0).max(8.0);
    if r < 0.9 * v { r as u64 + 8 } else { r as u64 }
}

fn mobilenet_v2() -> Model {
    let (mut n, mut x) = Net::new("mobilenet_v2", &IMAGENET);
    x = n.conv("features.0.0", x, 32, 3, 2);
    x = n.relu6("features.0.2", x);
    let settings = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let mut at = 1;
    for (t, k, count, first_stride) in settings {
        for i in 0..count {
            let p = format!("features.{at}");
            at += 1;
            let stride = if i == 0 { first_stride } else { 1 };
            x = inverted_residual(&mut n, &p, x, (t, k, 3, stride), Net::relu6);
        }
    }
    x = n.conv("features.18.0", x, 1280, 1, 1);
    x = n.relu6("features.18.2", x);
    x = n.global_pool("", x);
    x = n.flatten("", x);
    x = n.fc("classifier.1", x, 1000);
    n.finish(&[x])
}

fn inverted_residual(
    n: &mut Net,
    p: &str,
    x: TensorId,
    (expand, k, r, stride): (u64, u64, u64, u64),
    act: fn(&mut Net, &str, TensorId) -> TensorId,
) -> TensorId {
    let c = n.channels(x);
    let mut y = x;
    if expand != 1 {
        y = n.conv(&format!("{p}.conv.0.0"), y, expand * c, 1, 1);
        y = act(n, &format!("{p}.conv.0.2"), y);
    }
    y = n.conv_g(
        &format!("{p}.conv.1.0"),
        y,
        expand * c,
        (r, r, stride, r / 2),
        expand * c,
    );
    y = act(n, &format!("{p}.conv.1.2"), y);
    y = n.conv(&format!("{p}.conv.2"), y, k, 1, 1);
    if stride == 1 && c == k {
        y = n.add(p, x, y);
    }
    y
}

fn mnasnet(name: &str, alpha: f64) -> Model {
    let (mut n, mut x) = Net::new(name, &IMAGENET);
    let d: Vec<u64> = [32.0, 16.0, 24.0, 40.0, 80.0, 96.0, 192.0, 320.0]
        .map(|v: f64| round8(v * alpha))
        .to_vec();
    x = n.conv("layers.0", x, d[0], 3, 2);
    x = n.relu("layers.2", x);
    x = n.conv_g("layers.3", x, d[0], (3, 3, 1, 1), d[0]);
    x = n.relu("layers.5", x);
    x = n.conv("layers.6", x, d[1], 1, 1);
    let stacks = [
        (d[2], 3, 2, 3, 3),
        (d[3], 5, 2, 3, 3),
        (d[4], 5, 2, 6, 3),
        (d[5], 3, 1, 6, 2),
        (d[6], 5, 2, 6, 4),
        (d[7], 3, 1, 6, 1),
    ];
    for (i, (k, r, stride, expand, count)) in stacks.into_iter().enumerate() {
        for j in 0..count {
            let p = format!("layers.{}.{j}", i + 8);
            let s = if j == 0 { stride } else { 1 };
            x = inverted_residual(&mut n, &p, x, (expand, k, r, s), Net::relu);
        }
    }
    x = n.conv("layers.14", x, 1280, 1, 1);
    x = n.relu("layers.16", x);
    x = n.global_pool("", x);
    x = n.flatten("", x);
    x = n.fc("classifier.1", x, 1000);
    n.finish(&[x])
}

fn shufflenet_v2(name: &str, widths: [u64; 5]) -> Model {
    let (mut n, mut x) = Net::new(name, &IMAGENET);
    x = n.conv("conv1.0", x, widths[0], 3, 2);
    x = n.relu("conv1.2", x);
    x = n.max_pool("maxpool", x, 3, 2, 1);
    for (stage, (count, k)) in [4, 8, 4].into_iter().zip(&widths[1..4]).enumerate() {
        for block in 0..count {
            let p = format!("stage{}.{block}", stage + 2);
            let half = k / 2;
            let stride = if block == 0 { 2 } else { 1 };
            let (a, b) = if block == 0 {
                let c = n.channels(x);
                let a = n.conv_g(&format!("{p}.branch1.0"), x, c, (3, 3, 2, 1), c);
                let a = n.conv(&format!("{p}.branch1.2"), a, half, 1, 1);
                (n.relu(&format!("{p}.branch1.4"), a), x)
            } else {
                n.chunk(&p, x)
            };
            let b = n.conv(&format!("{p}.branch2.0"), b, half, 1, 1);
            let b = n.relu(&format!("{p}.branch2.2"), b);
            let b = n.conv_g(&format!("{p}.branch2.3"), b, half, (3, 3, stride, 1), half);
            let b = n.conv(&format!("{p}.branch2.5"), b, half, 1, 1);
            let b = n.relu(&format!("{p}.branch2.7"), b);
            let y = n.concat(&p, &[a, b]);
            x = n.channel_shuffle(&p, y);
        }
    }
    x = n.conv("conv5.0", x, widths[4], 1, 1);
    x = n.relu("conv5.2", x);
    x = n.global_pool("", x);
    x = n.flatten("", x);
    x = n.fc("fc", x, 1000);
    n.finish(&[x])
}

/// YOLOv3 with Darknet-53, 80 classes, without the box decoding.
fn yolov3(size: u64) -> Model {
    let (mut n, mut x) = Net::new("yolov3_darknet53_608", &[1, 3, size, size]);
    let mut at = 0;
    let mut cbl = |n: &mut Net, x: TensorId, k: u64, r: u64, stride: u64| {
        let y = n.conv(&format!("layers.{at}.conv"), x, k, r, stride);
        let y = n.leaky(&format!("layers.{at}.act"), y);
        at += 1;
        y
    };
    x = cbl(&mut n, x, 32, 3, 1);
    let mut routes = Vec::new();
    for (count, k) in [1, 2, 8, 8, 4].into_iter().zip([64, 128, 256, 512, 1024]) {
        x = cbl(&mut n, x, k, 3, 2);
        for i in 0..count {
            let y = cbl(&mut n, x, k / 2, 1, 1);
            let y = cbl(&mut n, y, k, 3, 1);
            x = n.add(&format!("stage{k}.{i}"), x, y);
        }
        routes.push(x);
    }
    let mut outputs = Vec::new();
    for (i, k) in [512, 256, 128].into_iter().enumerate() {
        for _ in 0..2 {
            x = cbl(&mut n, x, k, 1, 1);
            x = cbl(&mut n, x, 2 * k, 3, 1);
        }
        x = cbl(&mut n, x, k, 1, 1);
        let y = cbl(&mut n, x, 2 * k, 3, 1);
        outputs.push(n.conv(&format!("head{i}"), y, 255, 1, 1));
        if i < 2 {
            x = cbl(&mut n, x, k / 2, 1, 1);
            x = n.upsample(&format!("upsample{i}"), x);
            let route = routes[3 - i];
            x = n.concat(&format!("route{i}"), &[x, route]);
        }
    }
    n.finish(&outputs)
}
