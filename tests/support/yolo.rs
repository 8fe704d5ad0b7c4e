//! YOLOv8 (Ultralytics' yolov8.yaml) and YOLOX (Megvii's CSPDarknet and PAFPN), 80 classes, at any
//! image size. The box decoding is Ultralytics' own; YOLOX ends with its three heads' outputs.

use dlaplan::model::{Activation, BinaryOp, Model, OpKind, PoolKind, ShuffleKind, TensorId};

use super::Net;

/// `yolov8n_640`, `yoloxs_320`: the network, its size, and the image's.
pub(super) fn named(name: &str) -> Option<Model> {
    let (kind, pixels) = name.rsplit_once('_')?;
    let pixels: u64 = pixels.parse().ok()?;
    match kind {
        "yolov8n" => Some(yolov8(name, 1, 0.25, 1024, pixels)),
        "yolov8s" => Some(yolov8(name, 1, 0.5, 1024, pixels)),
        "yolov8m" => Some(yolov8(name, 2, 0.75, 768, pixels)),
        "yoloxn" => Some(yolox(name, 1, 16, true, pixels)),
        "yoloxt" => Some(yolox(name, 1, 24, false, pixels)),
        "yoloxs" => Some(yolox(name, 1, 32, false, pixels)),
        "yoloxm" => Some(yolox(name, 2, 48, false, pixels)),
        _ => None,
    }
}

impl Net {
    fn sigmoid(&mut self, path: &str, x: TensorId) -> TensorId {
        let kind = OpKind::Activation(Activation::Sigmoid);
        self.same(path, "Sigmoid", kind, &[x], 0)
    }

    fn binary(&mut self, path: &str, op_type: &str, op: BinaryOp, x: &[TensorId]) -> TensorId {
        let const_operand = x.len() == 1;
        self.same(path, op_type, OpKind::Binary { op, const_operand }, x, 0)
    }

    /// Convolution and SiLU.
    fn cbs(&mut self, path: &str, x: TensorId, k: u64, r: u64, stride: u64) -> TensorId {
        let x = self.conv(path, x, k, r, stride);
        self.silu(path, x)
    }

    fn silu(&mut self, path: &str, x: TensorId) -> TensorId {
        let gate = self.sigmoid(path, x);
        self.binary(path, "Mul", BinaryOp::Mul, &[x, gate])
    }

    /// Poolings one after the other, or beside each other (`windows`), and their concatenation.
    fn spp(
        &mut self,
        path: &str,
        x: TensorId,
        k: u64,
        windows: [u64; 3],
        chained: bool,
    ) -> TensorId {
        let half = self.channels(x) / 2;
        let first = self.cbs(&format!("{path}.cv1"), x, half, 1, 1);
        let mut parts = vec![first];
        for window in windows {
            let from = if chained {
                parts[parts.len() - 1]
            } else {
                first
            };
            let pad = window / 2;
            let pool = (window, 1, pad, false);
            parts.push(self.pool(&format!("{path}.m"), from, PoolKind::Max, pool));
        }
        let y = self.concat(path, &parts);
        self.cbs(&format!("{path}.cv2"), y, k, 1, 1)
    }

    fn reshape(&mut self, path: &str, x: TensorId, out: &[u64]) -> TensorId {
        let kind = OpKind::Shuffle(ShuffleKind::Reshape);
        self.op(path, "Reshape", kind, &[x], &[out.to_vec()], (0, 0))[0]
    }
}

/// YOLOv8: `depth` counts thirds of the published block numbers 3 and 6.
fn yolov8(name: &str, depth: u64, width: f64, most: u64, pixels: u64) -> Model {
    let (mut net, image) = Net::new(name, &[1, 3, pixels, pixels]);
    let n = &mut net;
    let k = |c: u64| ((c.min(most) as f64 * width / 8.0).ceil() * 8.0) as u64;
    let c2f = |n: &mut Net, p: &str, x: TensorId, c: u64, count: u64, shortcut: bool| {
        let y = n.cbs(&format!("{p}.cv1"), x, c, 1, 1);
        let (a, b) = n.chunk(p, y);
        let mut parts = vec![a, b];
        for i in 0..count {
            let x = parts[parts.len() - 1];
            let y = n.cbs(&format!("{p}.m.{i}.cv1"), x, c / 2, 3, 1);
            let y = n.cbs(&format!("{p}.m.{i}.cv2"), y, c / 2, 3, 1);
            parts.push(if shortcut {
                n.add(&format!("{p}.m.{i}"), x, y)
            } else {
                y
            });
        }
        let y = n.concat(p, &parts);
        n.cbs(&format!("{p}.cv2"), y, c, 1, 1)
    };
    let x = n.cbs("model.0", image, k(64), 3, 2);
    let x = n.cbs("model.1", x, k(128), 3, 2);
    let x = c2f(n, "model.2", x, k(128), depth, true);
    let x = n.cbs("model.3", x, k(256), 3, 2);
    let p3 = c2f(n, "model.4", x, k(256), 2 * depth, true);
    let x = n.cbs("model.5", p3, k(512), 3, 2);
    let p4 = c2f(n, "model.6", x, k(512), 2 * depth, true);
    let x = n.cbs("model.7", p4, k(1024), 3, 2);
    let x = c2f(n, "model.8", x, k(1024), depth, true);
    let p5 = n.spp("model.9", x, k(1024), [5; 3], true);
    let join = |n: &mut Net, at: u64, x: TensorId, with: TensorId, c: u64| {
        let y = n.concat(&format!("model.{at}"), &[x, with]);
        c2f(n, &format!("model.{}", at + 1), y, c, depth, false)
    };
    let x = n.upsample("model.10", p5);
    let h4 = join(n, 11, x, p4, k(512));
    let x = n.upsample("model.13", h4);
    let o3 = join(n, 14, x, p3, k(256));
    let x = n.cbs("model.16", o3, k(256), 3, 2);
    let o4 = join(n, 17, x, h4, k(512));
    let x = n.cbs("model.19", o4, k(512), 3, 2);
    let o5 = join(n, 20, x, p5, k(1024));
    let box_channels = (k(256) / 4).max(64);
    let class_channels = k(256).max(80);
    let mut levels = Vec::new();
    for (i, x) in [o3, o4, o5].into_iter().enumerate() {
        let branch = |n: &mut Net, p: String, c: u64, out: u64| {
            let y = n.cbs(&format!("{p}.0"), x, c, 3, 1);
            let y = n.cbs(&format!("{p}.1"), y, c, 3, 1);
            n.conv(&format!("{p}.2"), y, out, 1, 1)
        };
        let boxes = branch(n, format!("model.22.cv2.{i}"), box_channels, 64);
        let classes = branch(n, format!("model.22.cv3.{i}"), class_channels, 80);
        let y = n.concat("model.22", &[boxes, classes]);
        let cells = n.elems(y) / 144;
        levels.push(n.reshape("model.22", y, &[1, 144, cells]));
    }
    let cells = levels.iter().map(|t| n.elems(*t) / 144).sum();
    let kind = OpKind::Concat { axis: 2 };
    let all = n.op(
        "model.22",
        "Concat",
        kind,
        &levels,
        &[vec![1, 144, cells]],
        (0, 0),
    )[0];
    let kind = OpKind::Split { axis: 1 };
    let out = [vec![1, 64, cells], vec![1, 80, cells]];
    let split = n.op("model.22", "Split", kind, &[all], &out, (0, 0));
    // Distances: a softmax over 16 bins, and their mean.
    let y = n.reshape("model.22.dfl", split[0], &[1, 4, 16, cells]);
    let kind = OpKind::Shuffle(ShuffleKind::Transpose(vec![0, 2, 1, 3]));
    let y = n.op(
        "model.22.dfl",
        "Transpose",
        kind,
        &[y],
        &[vec![1, 16, 4, cells]],
        (0, 0),
    )[0];
    let y = n.softmax("model.22.dfl", y);
    let y = n.conv("model.22.dfl.conv", y, 1, 1, 1);
    let y = n.reshape("model.22", y, &[1, 4, cells]);
    let y = n.binary("model.22", "Sub", BinaryOp::Sub, &[y]);
    let y = n.binary("model.22", "Mul", BinaryOp::Mul, &[y]);
    let scores = n.sigmoid("model.22", split[1]);
    let kind = OpKind::Concat { axis: 1 };
    let out = n.op(
        "model.22",
        "Concat",
        kind,
        &[y, scores],
        &[vec![1, 84, cells]],
        (0, 0),
    )[0];
    net.finish(&[out])
}

/// YOLOX: `depth` counts thirds of the published block numbers 3 and 9, `stem` is its first width.
/// The nano form has depthwise 3x3 convolutions.
fn yolox(name: &str, depth: u64, stem: u64, depthwise: bool, pixels: u64) -> Model {
    let (mut net, image) = Net::new(name, &[1, 3, pixels, pixels]);
    let n = &mut net;
    let cbs3 = |n: &mut Net, p: &str, x: TensorId, k: u64, stride: u64| {
        if !depthwise {
            return n.cbs(p, x, k, 3, stride);
        }
        let c = n.channels(x);
        let y = n.conv_g(&format!("{p}.dconv"), x, c, (3, 3, stride, 1), c);
        let y = n.silu(&format!("{p}.dconv"), y);
        n.cbs(&format!("{p}.pconv"), y, k, 1, 1)
    };
    let csp = |n: &mut Net, p: &str, x: TensorId, k: u64, count: u64, shortcut: bool| {
        let side = n.cbs(&format!("{p}.conv2"), x, k / 2, 1, 1);
        let mut x = n.cbs(&format!("{p}.conv1"), x, k / 2, 1, 1);
        for i in 0..count {
            let y = n.cbs(&format!("{p}.m.{i}.conv1"), x, k / 2, 1, 1);
            let y = cbs3(n, &format!("{p}.m.{i}.conv2"), y, k / 2, 1);
            x = if shortcut {
                n.add(&format!("{p}.m.{i}"), x, y)
            } else {
                y
            };
        }
        let y = n.concat(p, &[x, side]);
        n.cbs(&format!("{p}.conv3"), y, k, 1, 1)
    };
    // Focus: four slices, each of every other pixel.
    let part = vec![1, 3, pixels / 2, pixels / 2];
    let parts: Vec<TensorId> = (0..4)
        .map(|_| {
            let kind = OpKind::Slice {
                axes: vec![2, 3],
                steps: vec![2; 2],
                static_params: true,
            };
            n.op(
                "stem",
                "Slice",
                kind,
                &[image],
                std::slice::from_ref(&part),
                (0, 0),
            )[0]
        })
        .collect();
    let x = n.concat("stem", &parts);
    let x = n.cbs("stem.conv", x, stem, 3, 1);
    let x = cbs3(n, "dark2.0", x, 2 * stem, 2);
    let x = csp(n, "dark2.1", x, 2 * stem, depth, true);
    let x = cbs3(n, "dark3.0", x, 4 * stem, 2);
    let c3 = csp(n, "dark3.1", x, 4 * stem, 3 * depth, true);
    let x = cbs3(n, "dark4.0", c3, 8 * stem, 2);
    let c4 = csp(n, "dark4.1", x, 8 * stem, 3 * depth, true);
    let x = cbs3(n, "dark5.0", c4, 16 * stem, 2);
    let x = n.spp("dark5.1", x, 16 * stem, [5, 9, 13], false);
    let c5 = csp(n, "dark5.2", x, 16 * stem, depth, false);
    let lateral = n.cbs("lateral_conv0", c5, 8 * stem, 1, 1);
    let x = n.upsample("upsample0", lateral);
    let x = n.concat("p4", &[x, c4]);
    let x = csp(n, "C3_p4", x, 8 * stem, depth, false);
    let reduce = n.cbs("reduce_conv1", x, 4 * stem, 1, 1);
    let x = n.upsample("upsample1", reduce);
    let x = n.concat("p3", &[x, c3]);
    let o3 = csp(n, "C3_p3", x, 4 * stem, depth, false);
    let x = cbs3(n, "bu_conv2", o3, 4 * stem, 2);
    let x = n.concat("n3", &[x, reduce]);
    let o4 = csp(n, "C3_n3", x, 8 * stem, depth, false);
    let x = cbs3(n, "bu_conv1", o4, 8 * stem, 2);
    let x = n.concat("n4", &[x, lateral]);
    let o5 = csp(n, "C3_n4", x, 16 * stem, depth, false);
    let mut outputs = Vec::new();
    for (i, x) in [o3, o4, o5].into_iter().enumerate() {
        let x = n.cbs(&format!("stems.{i}"), x, 4 * stem, 1, 1);
        let branch = |n: &mut Net, p: String| {
            let y = cbs3(n, &format!("{p}.0"), x, 4 * stem, 1);
            cbs3(n, &format!("{p}.1"), y, 4 * stem, 1)
        };
        let class = branch(n, format!("cls_convs.{i}"));
        let class = n.conv(&format!("cls_preds.{i}"), class, 80, 1, 1);
        let class = n.sigmoid("", class);
        let place = branch(n, format!("reg_convs.{i}"));
        let boxes = n.conv(&format!("reg_preds.{i}"), place, 4, 1, 1);
        let object = n.conv(&format!("obj_preds.{i}"), place, 1, 1, 1);
        let object = n.sigmoid("", object);
        outputs.push(n.concat("", &[boxes, object, class]));
    }
    net.finish(&outputs)
}
