//! Every rule, at its edge: the last legal value and the first illegal one.

use std::collections::BTreeSet;

use dlaplan::model::{
    Activation, BinaryOp, Conv, CoordinateMode, DType, Model, NearestMode, NormKind, OpId, OpKind,
    Pool, PoolKind, ReduceOp, Resize, ResizeMode, ShuffleKind, TensorId, UnaryOp,
};
use dlaplan::placement::{EngineConfig, Precision};
use dlaplan::platform::dla_rules::*;
use dlaplan::platform::{Target, TensorRt};

use crate::net::{Net, chain_of, conv};

const XAVIER: &str = "xavier-nx";
const XAVIER_7_1: &str = "xavier-nx:7.1";
const XAVIER_8_0: &str = "xavier-nx:8.0";
const XAVIER_8_2: &str = "xavier-nx:8.2";
const XAVIER_8_4: &str = "xavier-nx:8.4";
const ORIN_8_4: &str = "agx-orin-64:8.4";
const ORIN_8_5: &str = "agx-orin-64:8.5";
const ORIN_8_6: &str = "agx-orin-64:8.6";
const ORIN_10_3: &str = "agx-orin-64:10.3";
const ORIN_10_7: &str = "agx-orin-64:10.7";
const ORIN_11_4: &str = "agx-orin-64:11.4";
const IMAGE: &[u64] = &[1, 64, 56, 56];

/// One op with its surroundings.
#[derive(Clone)]
struct Setup {
    target: Target,
    config: EngineConfig,
    kind: OpKind,
    inputs: Vec<Option<Vec<u64>>>,
    constants: Vec<Vec<u64>>,
    output: Vec<u64>,
    dtype: DType,
    opset: i64,
    /// An op before and one after the judged one.
    before: Option<OpKind>,
    after: Option<OpKind>,
}

/// The op on an image, Xavier NX in FP16 unless said otherwise.
fn op(kind: OpKind) -> Setup {
    Setup {
        target: Target::parse(XAVIER).unwrap(),
        config: EngineConfig::default(),
        kind,
        inputs: vec![Some(IMAGE.to_vec())],
        constants: Vec::new(),
        output: IMAGE.to_vec(),
        dtype: DType::F32,
        opset: 17,
        before: None,
        after: None,
    }
}

impl Setup {
    fn on(mut self, target: &str) -> Self {
        self.target = Target::parse(target).unwrap();
        self
    }
    fn precision(mut self, precision: Precision) -> Self {
        self.config.precision = precision;
        self
    }
    fn int8(self) -> Self {
        self.precision(Precision::INT8)
    }
    fn batch(mut self, batch: u32) -> Self {
        self.config.batch = batch;
        self
    }
    fn core(mut self, core: u32) -> Self {
        self.config.dla_core = core;
        self
    }
    fn strict(mut self) -> Self {
        self.config.gpu_fallback = false;
        self
    }
    /// From and to the same shape.
    fn shape(mut self, dims: &[u64]) -> Self {
        self.inputs = vec![Some(dims.to_vec())];
        self.output = dims.to_vec();
        self
    }
    fn to(mut self, dims: &[u64]) -> Self {
        self.output = dims.to_vec();
        self
    }
    fn second(mut self, dims: &[u64]) -> Self {
        self.inputs.push(Some(dims.to_vec()));
        self
    }
    fn constant(mut self, dims: &[u64]) -> Self {
        self.constants.push(dims.to_vec());
        self
    }
    fn unknown_shape(mut self) -> Self {
        self.inputs = vec![None];
        self
    }
    fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }
    fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }
    fn before(mut self, kind: OpKind) -> Self {
        self.before = Some(kind);
        self
    }
    fn after(mut self, kind: OpKind) -> Self {
        self.after = Some(kind);
        self
    }

    fn model(&self) -> Model {
        let mut net = Net::new("test");
        net.dtype = self.dtype;
        net.source.opset = self.opset;
        let mut operands: Vec<TensorId> = Vec::new();
        for (i, dims) in self.inputs.iter().enumerate() {
            operands.push(net.input(&format!("in{i}"), dims.as_deref()));
        }
        if let (Some(kind), [first, ..]) = (&self.before, &mut operands[..]) {
            let dims = self.inputs[0].as_deref();
            *first = net.op("before", kind.clone(), &[*first], dims);
        }
        for dims in &self.constants {
            operands.push(net.weight(dims));
        }
        let out = net.op("it", self.kind.clone(), &operands, Some(&self.output));
        if let Some(kind) = &self.after {
            net.op("after", kind.clone(), &[out], Some(&self.output));
        }
        net.finish(&[])
    }

    fn verdict(&self) -> Verdict {
        let model = self.model();
        let op = model.find_op("it").unwrap();
        check(&model, op, &self.target, &self.config)
    }

    fn engine(&self) -> Verdict {
        check_engine(&self.model(), &self.target, &self.config)
            .map_or(Verdict::Allowed, Verdict::Refused)
    }

    #[track_caller]
    fn is_allowed(&self) {
        assert_eq!(self.verdict(), Verdict::Allowed);
    }

    #[track_caller]
    fn is_unknown(&self) {
        let verdict = self.verdict();
        assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    }

    #[track_caller]
    fn is_refused(&self, rule: &str) -> Refusal {
        match self.verdict() {
            Verdict::Refused(refusal) => {
                assert_eq!(refusal.rule.id, rule, "{refusal:?}");
                refusal
            }
            other => panic!("{rule}: {other:?}"),
        }
    }
}

fn deconv(change: impl FnOnce(&mut Conv)) -> OpKind {
    match conv(|c| {
        c.kernel = vec![2, 2];
        c.stride = vec![2, 2];
        c.pads = vec![0; 4];
        change(c);
    }) {
        OpKind::Conv(c) => OpKind::Deconv(c),
        other => other,
    }
}

fn pool(kind: PoolKind, change: impl FnOnce(&mut Pool)) -> OpKind {
    let mut p = Pool {
        kind,
        window: vec![3, 3],
        stride: vec![2, 2],
        pads: vec![1; 4],
        dilation: vec![1, 1],
        count_include_pad: true,
        ceil_mode: false,
    };
    change(&mut p);
    OpKind::Pool(p)
}

fn max(change: impl FnOnce(&mut Pool)) -> OpKind {
    pool(PoolKind::Max, change)
}

fn fully_connected(in_features: u64) -> Setup {
    op(OpKind::FullyConnected {
        in_features,
        out_features: 1000,
        transposed: true,
    })
    .shape(&[1, in_features])
    .to(&[1, 1000])
}

fn binary(op: BinaryOp, const_operand: bool) -> OpKind {
    OpKind::Binary { op, const_operand }
}

fn add() -> Setup {
    op(binary(BinaryOp::Add, false)).second(IMAGE)
}

fn clip(min: f32, max: f32) -> OpKind {
    OpKind::Activation(Activation::Clip {
        min: Some(min),
        max: Some(max),
    })
}

fn resize(change: impl FnOnce(&mut Resize)) -> Setup {
    let mut r = Resize {
        mode: ResizeMode::Nearest,
        coordinates: CoordinateMode::Asymmetric,
        nearest: NearestMode::Floor,
        scales: vec![1.0, 1.0, 2.0, 2.0],
        by_size: false,
    };
    change(&mut r);
    op(OpKind::Resize(r)).to(&[1, 64, 112, 112])
}

fn half_pixel() -> Setup {
    resize(|r| {
        r.coordinates = CoordinateMode::HalfPixel;
        r.nearest = NearestMode::RoundPreferCeil;
    })
}

fn leaky() -> Setup {
    op(OpKind::Activation(Activation::LeakyRelu { slope: 0.1 }))
}

fn softmax(dims: &[u64], axis: u64) -> Setup {
    op(OpKind::Softmax { axis, log: false })
        .shape(dims)
        .on(ORIN_8_5)
}

fn reshape(from: &[u64], to: &[u64]) -> Setup {
    op(OpKind::Shuffle(ShuffleKind::Reshape))
        .shape(from)
        .to(to)
        .on(ORIN_8_5)
}

fn slice(change: impl FnOnce(&mut Vec<u64>, &mut Vec<i64>)) -> Setup {
    let (mut axes, mut steps) = (vec![1], vec![1]);
    change(&mut axes, &mut steps);
    op(OpKind::Slice {
        axes,
        steps,
        static_params: true,
    })
    .to(&[1, 32, 56, 56])
}

fn concat(axis: u64) -> Setup {
    op(OpKind::Concat { axis })
        .second(IMAGE)
        .to(&[1, 128, 56, 56])
}

fn reduce(op_: ReduceOp) -> Setup {
    op(OpKind::Reduce {
        op: op_,
        axes: vec![2, 3],
        keep_dims: true,
    })
    .to(&[1, 64, 1, 1])
    .on(ORIN_10_3)
}

fn compare(op_: BinaryOp) -> Setup {
    op(binary(op_, false))
        .second(IMAGE)
        .on(ORIN_10_3)
        .int8()
        .after(OpKind::Cast)
}

/// What a case probes.
enum Probe {
    /// The op on the DLA: allowed in the first place of a line, refused in the second.
    Allowed(Setup),
    /// The op on the DLA: the documents do not decide.
    Undecided(Setup),
    /// The whole engine.
    Engine(Setup),
    /// A loadable of this many bytes of weights and tensors.
    Loadable(u64, u64),
    /// This many loadables on a core.
    Loadables(u32, TensorRt),
}

use Probe::{Allowed, Engine, Loadable, Loadables, Undecided};

impl Probe {
    fn verdict(&self) -> Verdict {
        let or_allowed = |r: Option<Refusal>| r.map_or(Verdict::Allowed, Verdict::Refused);
        match self {
            Self::Allowed(s) | Self::Undecided(s) => s.verdict(),
            Self::Engine(s) => s.engine(),
            Self::Loadable(weights, tensors) => or_allowed(check_loadable(*weights, *tensors)),
            Self::Loadables(n, version) => or_allowed(check_loadable_count(*n, *version)),
        }
    }
}

/// One test per rule: the legal example, then the illegal one.
macro_rules! rules_at_their_edge {
    ($($test:ident $id:literal: $legal:expr, $illegal:expr;)+) => {
        $(
            #[test]
            fn $test() {
                let legal: Probe = $legal;
                match (&legal, legal.verdict()) {
                    (Undecided(_), Verdict::Unknown(_)) => {}
                    (Undecided(_), other) => panic!("{}: {other:?}", $id),
                    (_, verdict) => assert_eq!(verdict, Verdict::Allowed, "{}", $id),
                }
                let illegal: Probe = $illegal;
                match illegal.verdict() {
                    Verdict::Refused(refusal) => {
                        assert_eq!(refusal.rule.id, $id, "{refusal:?}");
                        assert!(!refusal.offending.is_empty());
                    }
                    other => panic!("{}: {other:?}", $id),
                }
            }
        )+
        const TESTED: &[&str] = &[$($id),+];
    };
}

rules_at_their_edge! {
    engine_no_dla "engine.no_dla":
        Engine(op(conv(|_| {}))), Engine(op(conv(|_| {})).on("orin-nano-8"));
    engine_core "engine.core":
        Engine(op(conv(|_| {})).core(1)), Engine(op(conv(|_| {})).core(2));
    engine_precision "engine.precision":
        Engine(op(conv(|_| {})).int8()), Engine(op(conv(|_| {})).precision(Precision::FP32));
    engine_dynamic_shapes "engine.dynamic_shapes":
        Engine(op(conv(|_| {}))), Engine(op(conv(|_| {})).unknown_shape());
    engine_types "engine.types":
        Engine(op(conv(|_| {})).on(ORIN_11_4).dtype(DType::F16)),
        Engine(op(conv(|_| {})).on(ORIN_11_4));
    loadable_count "loadable.count": Loadables(16, TensorRt::V8_5), Loadables(17, TensorRt::V8_5);
    loadable_weights "loadable.weights":
        Loadable(MAX_LOADABLE_WEIGHT_BYTES - 1, 0), Loadable(MAX_LOADABLE_WEIGHT_BYTES, 0);
    loadable_tensors "loadable.tensors":
        Loadable(0, MAX_LOADABLE_TENSOR_BYTES - 1), Loadable(0, MAX_LOADABLE_TENSOR_BYTES);
    general_batch "general.batch":
        Allowed(op(conv(|_| {})).batch(4096)), Allowed(op(conv(|_| {})).batch(4097));
    general_batch_before "general.batch_before":
        Allowed(op(conv(|_| {})).batch(32).on(XAVIER_7_1)),
        Allowed(op(conv(|_| {})).batch(33).on(XAVIER_7_1));
    general_dims "general.dims":
        Allowed(op(OpKind::Activation(Activation::Relu)).shape(&[1, 8192, 1, 1])),
        Allowed(op(OpKind::Activation(Activation::Relu)).shape(&[1, 8193, 1, 1]));
    general_type "general.type":
        Allowed(add().dtype(DType::F16)), Allowed(add().dtype(DType::I64));

    conv_rank "conv.rank": Allowed(op(conv(|_| {}))), Allowed(op(conv(|c| {
        c.kernel = vec![3];
        c.pads = vec![1, 1];
    })).shape(&[1, 64, 56]));
    conv_weights "conv.weights":
        Allowed(op(conv(|_| {}))), Allowed(op(conv(|c| c.const_weights = false)));
    conv_kernel "conv.kernel":
        Allowed(op(conv(|c| { c.kernel = vec![32, 1]; c.pads = vec![1, 0, 1, 0]; }))),
        Allowed(op(conv(|c| { c.kernel = vec![33, 1]; c.pads = vec![1, 0, 1, 0]; })));
    conv_padding "conv.padding":
        Allowed(op(conv(|c| { c.kernel = vec![32, 32]; c.pads = vec![31; 4]; c.in_channels = 8; }))
            .shape(&[1, 8, 40, 40])),
        Allowed(op(conv(|c| { c.kernel = vec![32, 32]; c.pads = vec![32; 4]; c.in_channels = 8; }))
            .shape(&[1, 8, 40, 40]));
    conv_padding_kernel "conv.padding_kernel":
        Allowed(op(conv(|c| { c.kernel = vec![3, 1]; c.pads = vec![2, 0, 2, 0]; }))),
        Allowed(op(conv(|c| { c.kernel = vec![3, 1]; c.pads = vec![1, 1, 1, 1]; })));
    conv_stride "conv.stride":
        Allowed(op(conv(|c| c.stride = vec![8, 8]))), Allowed(op(conv(|c| c.stride = vec![8, 9])));
    conv_dilation "conv.dilation":
        Allowed(op(conv(|c| { c.dilation = vec![32, 32]; c.in_channels = 8; }))
            .shape(&[1, 8, 40, 40])),
        Allowed(op(conv(|c| c.dilation = vec![33, 1])));
    conv_groups "conv.groups":
        Allowed(op(conv(|c| {
            c.groups = 8192;
            c.in_channels = 8192;
            c.out_channels = 8192;
            c.kernel = vec![1, 1];
            c.pads = vec![0; 4];
        })).shape(&[1, 8192, 1, 1])),
        Allowed(op(conv(|c| c.groups = 8193)));
    conv_channels "conv.channels":
        Allowed(op(conv(|c| { c.kernel = vec![1, 1]; c.pads = vec![0; 4]; c.out_channels = 8192; }))
            .to(&[1, 8192, 56, 56])),
        Allowed(op(conv(|c| { c.kernel = vec![1, 1]; c.pads = vec![0; 4]; c.out_channels = 8193; })));
    // Two banks of weights; 37 entries per column, so 32 columns x 3 rows take 14 banks of 256
    // and 33 columns take 15.
    conv_buffer "conv.buffer":
        Allowed(op(conv(|c| c.in_channels = 2368)).shape(&[1, 2368, 8, 32])),
        Allowed(op(conv(|c| c.in_channels = 2368)).shape(&[1, 2368, 8, 33]));

    deconv_rank "deconv.rank":
        Allowed(op(deconv(|_| {}))), Allowed(op(deconv(|c| c.kernel = vec![2])));
    deconv_weights "deconv.weights":
        Allowed(op(deconv(|_| {}))), Allowed(op(deconv(|c| c.const_weights = false)));
    deconv_kernel "deconv.kernel":
        Allowed(op(deconv(|c| c.kernel = vec![1, 128]))),
        Allowed(op(deconv(|c| c.kernel = vec![2, 128])));
    deconv_stride "deconv.stride":
        Allowed(op(deconv(|c| c.stride = vec![64, 1]))),
        Allowed(op(deconv(|c| c.stride = vec![64, 2])));
    deconv_stride_kernel "deconv.stride_kernel":
        Allowed(op(deconv(|_| {})).on(XAVIER_8_2)),
        Allowed(op(deconv(|c| c.kernel = vec![4, 4])).on(XAVIER_8_2));
    deconv_square "deconv.square":
        Allowed(op(deconv(|c| c.kernel = vec![22, 22]))),
        Allowed(op(deconv(|c| c.kernel = vec![23, 23])));
    deconv_padding "deconv.padding":
        Allowed(op(deconv(|_| {}))), Allowed(op(deconv(|c| c.pads = vec![0, 0, 1, 1])));
    deconv_groups "deconv.groups":
        Allowed(op(deconv(|_| {}))), Allowed(op(deconv(|c| c.groups = 2)));
    deconv_dilation "deconv.dilation":
        Allowed(op(deconv(|_| {}))), Allowed(op(deconv(|c| c.dilation = vec![2, 2])));
    deconv_channels "deconv.channels":
        Allowed(op(deconv(|_| {}))), Allowed(op(deconv(|c| c.out_channels = 8193)));
    gemm_features "gemm.features":
        Allowed(fully_connected(8192)), Allowed(fully_connected(25088));
    matmul_constant "matmul.constant":
        Allowed(fully_connected(512)), Allowed(op(OpKind::MatMul).second(IMAGE));

    pool_rank "pool.rank":
        Allowed(op(max(|_| {}))), Allowed(op(max(|p| p.window = vec![3])));
    pool_kind "pool.kind":
        Allowed(op(pool(PoolKind::Average, |_| {}))), Allowed(op(pool(PoolKind::Lp, |_| {})));
    pool_window "pool.window":
        Allowed(op(max(|p| p.window = vec![8, 8]))), Allowed(op(max(|p| p.window = vec![9, 9])));
    pool_padding "pool.padding":
        Allowed(op(max(|p| { p.window = vec![8, 8]; p.pads = vec![7; 4]; }))),
        Allowed(op(max(|p| { p.window = vec![8, 8]; p.pads = vec![8; 4]; })));
    pool_padding_window "pool.padding_window":
        Allowed(op(max(|p| p.pads = vec![2; 4])).on(ORIN_11_4).dtype(DType::F16)),
        Allowed(op(max(|p| p.pads = vec![3; 4])).on(ORIN_11_4).dtype(DType::F16));
    pool_stride "pool.stride":
        Allowed(op(max(|p| p.stride = vec![16, 16]))),
        Allowed(op(max(|p| p.stride = vec![17, 1])));
    pool_dilation "pool.dilation":
        Allowed(op(max(|_| {}))), Allowed(op(max(|p| p.dilation = vec![2, 2])));
    pool_exclusive "pool.exclusive":
        Allowed(op(pool(PoolKind::Average, |p| p.count_include_pad = false)).on(ORIN_8_5)),
        Allowed(op(pool(PoolKind::Average, |p| p.count_include_pad = false)));
    reduce_op "reduce.op":
        Allowed(reduce(ReduceOp::Max)), Allowed(reduce(ReduceOp::Mean));
    reduce_version "reduce.version":
        Allowed(op(OpKind::GlobalPool(PoolKind::Max)).on(ORIN_10_3)),
        Allowed(op(OpKind::GlobalPool(PoolKind::Max)).on(ORIN_8_6));

    activation_kind "activation.kind":
        Allowed(leaky()), Allowed(op(OpKind::Activation(Activation::HardSwish)));
    activation_kind_before "activation.kind_before":
        Allowed(op(OpKind::Activation(Activation::Tanh)).on(XAVIER_8_2)),
        Allowed(op(OpKind::Activation(Activation::Softplus)).on(XAVIER_8_2));
    activation_leaky "activation.leaky":
        Allowed(leaky().on(XAVIER_8_4)), Allowed(leaky().on(XAVIER_7_1));
    activation_clip "activation.clip":
        Allowed(op(clip(0.0, 127.0))), Allowed(op(clip(0.0, 127.5)));
    prelu_slope "prelu.slope":
        Allowed(op(OpKind::PRelu { const_slope: true })),
        Allowed(op(OpKind::PRelu { const_slope: false }));
    prelu_version "prelu.version":
        Allowed(op(OpKind::PRelu { const_slope: true }).on(XAVIER_8_4)),
        Allowed(op(OpKind::PRelu { const_slope: true }).on(XAVIER_8_2));
    elementwise_difference "elementwise.difference":
        Allowed(op(binary(BinaryOp::Sub, false)).second(IMAGE).on(XAVIER_8_2)),
        Allowed(op(binary(BinaryOp::Sub, false)).second(IMAGE).on(XAVIER_8_0));
    elementwise_op "elementwise.op":
        Allowed(add()), Allowed(op(binary(BinaryOp::Div, false)).second(IMAGE));
    compare_op "compare.op":
        Allowed(compare(BinaryOp::Greater)), Allowed(compare(BinaryOp::Greater).on(ORIN_8_6));
    compare_precision "compare.precision":
        Allowed(compare(BinaryOp::Equal)),
        Allowed(compare(BinaryOp::Equal).precision(Precision::FP16));
    compare_output "compare.output":
        Allowed(compare(BinaryOp::Equal)), Allowed(compare(BinaryOp::Equal).after(OpKind::Where));
    unary_op "unary.op":
        Allowed(op(OpKind::Unary(UnaryOp::Abs))), Allowed(op(OpKind::Unary(UnaryOp::Neg)));
    unary_version "unary.version":
        Allowed(op(OpKind::Unary(UnaryOp::Abs)).on(XAVIER_8_4)),
        Allowed(op(OpKind::Unary(UnaryOp::Abs)).on(XAVIER_8_2));
    norm_kind "norm.kind":
        Allowed(op(OpKind::Norm(NormKind::Batch))), Allowed(op(OpKind::Norm(NormKind::Group)));
    lrn_window "lrn.window":
        Allowed(op(OpKind::Lrn { size: 5 })), Allowed(op(OpKind::Lrn { size: 4 }));

    concat_axis "concat.axis": Allowed(concat(1)), Allowed(concat(2));
    concat_inputs "concat.inputs":
        Allowed(concat(1)), Allowed(op(OpKind::Concat { axis: 1 }));
    concat_spatial "concat.spatial":
        Allowed(concat(1)),
        Allowed(op(OpKind::Concat { axis: 1 }).second(&[1, 64, 28, 28]));
    resize_by_size "resize.by_size":
        Allowed(resize(|_| {})), Allowed(resize(|r| r.by_size = true));
    resize_scales "resize.scales":
        Allowed(resize(|_| {})), Allowed(resize(|r| r.scales = vec![1.0, 2.0, 2.0, 2.0]));
    resize_factor "resize.factor":
        Allowed(resize(|r| r.scales = vec![1.0, 1.0, 32.0, 32.0])),
        Allowed(resize(|r| r.scales = vec![1.0, 1.0, 1.5, 2.0]));
    resize_mode "resize.mode":
        Allowed(resize(|r| {
            r.mode = ResizeMode::Linear;
            r.coordinates = CoordinateMode::PytorchHalfPixel;
        })),
        Allowed(resize(|r| r.coordinates = CoordinateMode::AlignCorners));
    resize_version "resize.version":
        Allowed(resize(|_| {}).on(XAVIER_8_2)), Allowed(resize(|_| {}).on(XAVIER_8_0));
    resize_mode_8_2 "resize.mode_8_2":
        Allowed(half_pixel().on(XAVIER_8_4)), Allowed(half_pixel().on(XAVIER_8_2));
    softmax_board "softmax.board":
        Allowed(softmax(IMAGE, 1)), Allowed(softmax(IMAGE, 1).on(XAVIER));
    softmax_log "softmax.log":
        Allowed(softmax(IMAGE, 1)),
        Allowed(op(OpKind::Softmax { axis: 1, log: true }).on(ORIN_8_5));
    softmax_precision "softmax.precision":
        Allowed(softmax(IMAGE, 1).precision(Precision::INT8_FP16)),
        Allowed(softmax(IMAGE, 1).int8());
    softmax_axis "softmax.axis":
        Allowed(softmax(IMAGE, 3)), Allowed(softmax(IMAGE, 0));
    softmax_size "softmax.size":
        Allowed(softmax(&[1, 8192, 1, 1], 1)), Allowed(softmax(&[1, 1025, 2, 1], 1));
    shuffle_kind "shuffle.kind":
        Undecided(op(OpKind::Shuffle(ShuffleKind::Transpose(vec![0, 1, 3, 2]))).on(ORIN_8_5)),
        Allowed(op(OpKind::Shuffle(ShuffleKind::Flatten)).to(&[1, 200_704]).on(ORIN_8_5));
    shuffle_rank "shuffle.rank":
        Undecided(reshape(IMAGE, &[1, 1, 64, 3136])), Allowed(reshape(IMAGE, &[1, 64, 3136]));
    shuffle_neighbours "shuffle.neighbours":
        Undecided(reshape(IMAGE, &[1, 1, 64, 3136]).before(conv(|_| {}))),
        Allowed(reshape(IMAGE, &[1, 1, 64, 3136]).before(OpKind::Split { axis: 1 }));
    slice_version "slice.version":
        Allowed(slice(|_, _| {}).on(XAVIER_8_4)), Allowed(slice(|_, _| {}).on(XAVIER_8_2));
    slice_static "slice.static":
        Allowed(slice(|_, _| {})),
        Allowed(op(OpKind::Slice { axes: vec![], steps: vec![], static_params: false }));
    slice_rank "slice.rank":
        Allowed(slice(|_, _| {})), Allowed(slice(|_, _| {}).shape(&[1, 64, 56]));
    slice_axis "slice.axis":
        Allowed(op(OpKind::Split { axis: 3 })), Allowed(op(OpKind::Split { axis: 0 }));
    slice_step "slice.step":
        Allowed(slice(|_, _| {})), Allowed(slice(|_, s| s[0] = 2));
    slice_precision "slice.precision":
        Allowed(slice(|_, _| {}).precision(Precision::INT8_FP16)),
        Allowed(slice(|_, _| {}).int8());
    pad_version "pad.version":
        Undecided(op(OpKind::Pad).on(ORIN_10_7)), Allowed(op(OpKind::Pad).on(ORIN_10_3));
    quantize_explicit "quantize.explicit":
        Undecided(op(OpKind::Quantize).on(ORIN_11_4).dtype(DType::F16)),
        Allowed(op(OpKind::Quantize));
    layer_kind "layer.kind":
        Allowed(op(OpKind::Activation(Activation::Relu))), Allowed(op(OpKind::Gather));
}

#[test]
fn every_rule_is_tested_both_ways_and_documented() {
    let tested: BTreeSet<&str> = TESTED.iter().copied().collect();
    let all: BTreeSet<&str> = all_rules().iter().map(|r| r.id).collect();
    assert_eq!(all, tested);
    assert_eq!(all.len(), all_rules().len(), "an id is used twice");
    for rule in all_rules() {
        assert!(rule.id.split_once('.').is_some(), "{}", rule.id);
        assert!(!rule.allowed.is_empty() && !rule.source.is_empty());
        assert!(!rule.allowed.contains("  "), "{}", rule.id);
    }
}

#[test]
fn unknown_shapes_are_unknown() {
    op(conv(|_| {})).unknown_shape().is_unknown();
    op(OpKind::Activation(Activation::Relu))
        .unknown_shape()
        .is_unknown();
    let verdict = op(max(|_| {})).unknown_shape().verdict();
    assert_eq!(
        verdict,
        Verdict::Unknown("the shape of in0 is not known".into())
    );
    // What no shape could save is refused all the same.
    op(OpKind::Norm(NormKind::Layer))
        .unknown_shape()
        .is_refused("norm.kind");
}

/// What the documents of the versions before 8.5 leave open is not answered.
#[test]
fn earlier_versions_are_modelled_as_far_as_documents_go() {
    for target in [XAVIER_8_0, XAVIER_8_2] {
        leaky().on(target).is_unknown();
        op(conv(|_| {})).batch(32).on(target).is_allowed();
        op(OpKind::Split { axis: 1 })
            .on(target)
            .is_refused("slice.version");
    }
    op(conv(|_| {}))
        .batch(33)
        .on(XAVIER_8_0)
        .is_refused("general.batch_before");
    op(conv(|_| {})).batch(33).on(XAVIER_8_2).is_unknown();
    op(conv(|_| {})).batch(4096).on(XAVIER_8_4).is_allowed();
    add()
        .shape(&[1, 2, 64, 56, 56])
        .second(&[1, 2, 64, 56, 56])
        .on(XAVIER_8_2)
        .is_unknown();
    // The 8.4 guide and the header of 8.4.1 disagree.
    softmax(&[1, 1000, 1, 1], 1).on(ORIN_8_4).is_allowed();
    softmax(&[1, 100, 2, 1], 1).on(ORIN_8_4).is_unknown();
    softmax(&[1, 100, 1, 1], 1)
        .on(XAVIER_8_4)
        .is_refused("softmax.board");
    slice(|_, _| {}).int8().on(ORIN_8_4).is_unknown();
    let refusal = |n, version| check_loadable_count(n, version).map(|r| r.rule.id);
    for version in [
        TensorRt::V7_1,
        TensorRt::V8_0,
        TensorRt::V8_2,
        TensorRt::V8_4,
    ] {
        assert_eq!(refusal(8, version), None);
        assert_eq!(refusal(9, version), Some("loadable.count"));
    }
    for target in [XAVIER_7_1, XAVIER_8_0, XAVIER_8_2, XAVIER_8_4, ORIN_8_4] {
        assert_eq!(
            op(conv(|_| {})).on(target).engine(),
            Verdict::Allowed,
            "{target}"
        );
        op(conv(|_| {})).on(target).is_allowed();
        op(max(|_| {})).on(target).is_allowed();
        add().on(target).is_allowed();
    }
}

#[test]
fn refusals_say_what_and_how_to_fix_it() {
    let refusal = op(conv(|c| c.kernel = vec![33, 33])).is_refused("conv.kernel");
    assert_eq!(refusal.offending, "kernel 33x33");
    let refusal = op(OpKind::GlobalPool(PoolKind::Average))
        .shape(&[1, 512, 7, 7])
        .to(&[1, 512, 1, 1])
        .is_refused("reduce.op");
    assert_eq!(
        refusal.fix.as_deref(),
        Some("replace it by AveragePool with kernel 7x7")
    );
    let mean = |dims: &[u64]| {
        let refusal = reduce(ReduceOp::Mean).shape(dims).is_refused("reduce.op");
        refusal.fix.unwrap_or_default().into_owned()
    };
    assert_eq!(
        mean(&[1, 64, 13, 13]),
        "replace it by a depthwise convolution with kernel 13x13 and weights 1/169"
    );
    assert_eq!(
        mean(IMAGE),
        "replace it by AveragePool layers in stages, windows up to 8x8"
    );
    for (setup, rule) in [
        (op(OpKind::Norm(NormKind::Group)), "norm.kind"),
        (
            op(OpKind::Shuffle(ShuffleKind::Flatten))
                .to(&[1, 200_704])
                .on(ORIN_8_5),
            "shuffle.kind",
        ),
        (
            op(OpKind::Shuffle(ShuffleKind::Flatten)).to(&[1, 200_704]),
            "shuffle.kind",
        ),
        (op(OpKind::Activation(Activation::Swish)), "activation.kind"),
        (op(deconv(|c| c.pads = vec![1; 4])), "deconv.padding"),
        (
            op(pool(PoolKind::Average, |p| p.count_include_pad = false)),
            "pool.exclusive",
        ),
        (resize(|r| r.by_size = true), "resize.by_size"),
        (softmax(IMAGE, 1).on(XAVIER), "softmax.board"),
        (op(OpKind::Gather), "layer.kind"),
    ] {
        assert!(setup.is_refused(rule).fix.is_some(), "{rule}");
    }
}

/// ResNet-18's classifier runs on the DLA in NVIDIA's tutorial and on Orin with 10.3.
#[test]
fn a_classifier_is_a_convolution() {
    fully_connected(512).is_allowed();
    fully_connected(512).on(ORIN_10_3).is_allowed();
    fully_connected(768)
        .shape(&[1, 197, 768])
        .to(&[1, 197, 1000])
        .is_unknown();
}

#[test]
fn the_model_batch_gives_way_to_the_engine_batch() {
    let relu = || op(OpKind::Activation(Activation::Relu));
    // Exported at batch 8; 8 windows of each image are folded into the batch.
    relu().shape(&[8, 64, 7, 7]).batch(4096).is_allowed();
    let folded = chain_of(
        &[8, 3, 56, 56],
        vec![(OpKind::Activation(Activation::Relu), vec![64, 3, 7, 7])],
    );
    let at = |batch| EngineConfig {
        batch,
        ..EngineConfig::default()
    };
    let target = Target::default();
    assert_eq!(check(&folded, OpId(0), &target, &at(512)), Verdict::Allowed);
    assert!(matches!(
        check(&folded, OpId(0), &target, &at(513)),
        Verdict::Refused(r) if r.rule.id == "general.batch"
    ));
    // All but the last three dims count as batch.
    relu().shape(&[1, 4096, 4, 4, 4]).is_allowed();
    relu()
        .shape(&[1, 4097, 4, 4, 4])
        .is_refused("general.batch");
    relu()
        .shape(&[1, 64, 4, 4])
        .batch(0)
        .is_refused("general.batch");
}

#[test]
fn pooling_differs_by_version_and_board() {
    let wide = max(|p| p.window = vec![16, 16]);
    op(wide.clone())
        .on(ORIN_11_4)
        .dtype(DType::F16)
        .is_allowed();
    op(wide).on(ORIN_10_7).is_refused("pool.window");
    op(pool(PoolKind::Average, |p| p.window = vec![9, 9]))
        .on(ORIN_11_4)
        .dtype(DType::F16)
        .is_refused("pool.window");
    op(pool(PoolKind::Average, |p| {
        p.count_include_pad = false;
        p.pads = vec![0; 4];
    }))
    .is_unknown();
}

#[test]
fn convolution_buffer_halves_in_int8() {
    let big = || op(conv(|c| c.in_channels = 4096)).shape(&[1, 4096, 20, 20]);
    big().is_refused("conv.buffer");
    big().int8().is_allowed();
    // TensorRT 10 no longer documents the formula.
    big().on(ORIN_10_3).is_unknown();
    // The networks at hand stay far from the limit.
    op(conv(|_| {})).shape(&[1, 64, 224, 224]).is_allowed();
    op(conv(|c| c.in_channels = 512))
        .shape(&[1, 512, 14, 14])
        .is_allowed();
}

#[test]
fn constants_make_scale_layers() {
    let scale = |dims: &[u64]| op(binary(BinaryOp::Mul, true)).constant(dims);
    for dims in [
        &[][..],
        &[1],
        &[64, 1, 1],
        &[1, 64, 1, 1],
        &[64, 56, 56],
        &[1, 64, 56, 56],
    ] {
        scale(dims).is_allowed();
        scale(dims).strict().is_unknown();
    }
    for dims in [&[56][..], &[1, 56], &[1, 1, 1, 56], &[64, 56, 1]] {
        scale(dims).is_unknown();
    }
    op(binary(BinaryOp::Add, false))
        .second(&[1, 64, 1, 1])
        .is_unknown();
}

#[test]
fn quotients_follow_the_documents() {
    let div = |target: &str| op(binary(BinaryOp::Div, false)).second(IMAGE).on(target);
    div(ORIN_8_6).is_refused("elementwise.op");
    div(ORIN_10_7).is_unknown();
    div(ORIN_11_4).dtype(DType::F16).is_allowed();
    op(binary(BinaryOp::And, false))
        .second(IMAGE)
        .is_refused("elementwise.op");
}

#[test]
fn strong_types_want_a_converted_file() {
    op(conv(|_| {})).on(ORIN_11_4).is_refused("general.type");
    op(conv(|_| {}))
        .on(ORIN_11_4)
        .dtype(DType::F16)
        .precision(Precision::FP32)
        .is_allowed();
}

#[test]
fn engine_refusals_hold_for_every_op() {
    op(conv(|_| {})).on("nano").is_refused("engine.no_dla");
    op(conv(|_| {})).on("thor").is_refused("engine.no_dla");
    op(conv(|_| {}))
        .on("orin-nx-8")
        .core(1)
        .is_refused("engine.core");
    op(conv(|_| {}))
        .precision(Precision::FP32)
        .is_refused("engine.precision");
    // A version that does not drive the board's DLA.
    let mut setup = op(conv(|_| {})).on("orin-nx-16");
    setup.target.tensorrt = TensorRt::V11_4;
    assert!(
        setup
            .is_refused("engine.no_dla")
            .offending
            .contains("AGX Orin only")
    );
}

#[test]
fn low_ranks_are_undecided() {
    op(OpKind::Activation(Activation::Relu))
        .shape(&[1, 4096])
        .is_unknown();
    add()
        .shape(&[1, 197, 768])
        .second(&[1, 197, 768])
        .is_unknown();
    op(OpKind::Norm(NormKind::Batch))
        .shape(&[1, 64, 8, 8, 8])
        .is_unknown();
    softmax(&[1, 1000], 1).is_unknown();
    softmax(IMAGE, 1).opset(11).is_unknown();
    // The class token of a ViT goes along the wrong axis whatever the rank.
    op(OpKind::Concat { axis: 1 })
        .shape(&[1, 196, 768])
        .second(&[1, 1, 768])
        .is_refused("concat.axis");
}

#[test]
fn a_cast_belongs_to_its_comparison() {
    let model = compare(BinaryOp::Equal).model();
    let target = Target::parse(ORIN_10_3).unwrap();
    let config = EngineConfig {
        precision: Precision::INT8,
        ..EngineConfig::default()
    };
    let cast = model.find_op("after").unwrap();
    let verdict = check(&model, cast, &target, &config);
    assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    op(OpKind::Cast).is_refused("layer.kind");
}

#[test]
fn tile_may_be_a_wrapping_slice() {
    let verdict = |target: &str| {
        let mut model = op(OpKind::Expand).model();
        let id = model.find_op("it").unwrap();
        model.ops[id.index()].op_type = "Tile".into();
        let target = Target::parse(target).unwrap();
        check(&model, id, &target, &EngineConfig::default())
    };
    assert!(matches!(verdict(ORIN_10_7), Verdict::Unknown(_)));
    assert!(matches!(verdict(ORIN_10_3), Verdict::Refused(_)));
    op(OpKind::Expand).on(ORIN_10_7).is_refused("layer.kind");
}

/// A published build log of ResNet-50 (AGX Orin, TensorRT 10.3) has 120 layers on the DLA, the
/// classifier among them, and two on the GPU: `REDUCE: /avgpool/GlobalAveragePool` ("DLA cores do
/// not support AVG Reduce operation") and the Flatten's `SHUFFLE`.
#[test]
fn resnet_50_splits_as_in_the_published_log() {
    let model = dlaplan::model::onnx::load_bundled("resnet50").unwrap();
    let target = Target::parse(ORIN_10_3).unwrap();
    for precision in [Precision::FP16, Precision::INT8_FP16] {
        let config = EngineConfig {
            precision,
            ..EngineConfig::default()
        };
        let refused: Vec<(&str, &str)> = model
            .op_ids()
            .filter_map(|op| match check(&model, op, &target, &config) {
                Verdict::Refused(r) => Some((r.rule.id, &*model.op(op).name)),
                Verdict::Unknown(why) => panic!("{}: {why}", model.op(op).name),
                Verdict::Allowed => None,
            })
            .collect();
        assert_eq!(
            refused,
            [
                ("reduce.op", "/avgpool/GlobalAveragePool"),
                ("shuffle.kind", "/Flatten")
            ]
        );
        assert_eq!(model.ops.len() - refused.len(), 120);
    }
}

#[test]
fn maxima_are_documented_over_positions() {
    let max = |axes: &[u64], keep_dims| {
        op(OpKind::Reduce {
            op: ReduceOp::Max,
            axes: axes.to_vec(),
            keep_dims,
        })
        .on(ORIN_10_3)
    };
    max(&[2, 3], true).is_allowed();
    max(&[2, 3], false).is_unknown();
    max(&[1], true).is_unknown();
    max(&[1], true).on(XAVIER).is_refused("reduce.version");
    max(&[1], true)
        .unknown_shape()
        .on(XAVIER)
        .is_refused("reduce.version");
}
