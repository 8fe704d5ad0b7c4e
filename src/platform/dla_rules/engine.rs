//! Rules about the engine, its loadables and the tensors of every layer.

use crate::model::{DType, Model, OpKind, give_dims};
use crate::placement::EngineConfig;
use crate::platform::{DlaSupport, Target, TensorRt};

use crate::platform::dla_rules::rule::{
    Check, Cx, GUIDE_8_5, GUIDE_11, HEADER, No, Refusal, rules, unknown,
};

rules! {
    NO_DLA = "engine.no_dla":
        "boards with a DLA that their TensorRT drives",
        "TensorRT documentation, Working with DLA; release notes of 11.0 to 11.4";
    CORE = "engine.core":
        "a core the board has",
        "NvInfer.h, IBuilderConfig::setDLACore";
    PRECISION = "engine.precision":
        "engines built with FP16 or INT8",
        "TensorRT build log: DLA only supports FP16 and Int8 precision type";
    DYNAMIC_SHAPES = "engine.dynamic_shapes":
        "fixed dims: min, opt and max of the profile are equal",
        GUIDE_8_5;
    TYPES = "engine.types":
        "FP16 or INT8 tensors in the file, as TensorRT 11 is strongly typed",
        "TensorRT 11.4 documentation, Working with DLA";
    LOADABLE_COUNT = "loadable.count":
        "16 loadables on a core at a time, those of all engines together; 8 before TensorRT 8.5",
        "TensorRT 8.5 developer guide, DLA supported layers and restrictions; build logs of \
         TensorRT 7: DLA supports only 8 subgraphs per DLA core";
    LOADABLE_WEIGHTS = "loadable.weights":
        "less than 512 MB of weights in a loadable",
        "NvInferRuntime.h, Weights";
    LOADABLE_TENSORS = "loadable.tensors":
        "less than 1 GB of tensors inside a loadable",
        "NvInfer.h, ITensor";
    BATCH = "general.batch":
        "an effective batch of 1-4096: the product of all dims but the last three",
        GUIDE_8_5;
    BATCH_BEFORE = "general.batch_before":
        "an effective batch of 1-32 up to TensorRT 8.0",
        "build log of JetPack 4.6 on AGX Xavier in NVIDIA/TensorRT#2318: exceeds max batch size \
         allowed of 32";
    DIMS = "general.dims":
        "non-batch dims of 1-8192",
        GUIDE_11;
    TYPE = "general.type":
        "floating-point tensors, which become FP16 or INT8",
        HEADER;
}

/// Weights one loadable may have, bytes (`loadable.weights`).
pub const MAX_LOADABLE_WEIGHT_BYTES: u64 = 512 << 20;

/// Bytes of tensors inside one loadable, its inputs and outputs not counted
/// (`loadable.tensors`).
pub const MAX_LOADABLE_TENSOR_BYTES: u64 = 1 << 30;

const MAX_BATCH: u64 = 4096;
/// The largest batch up to TensorRT 8.0.
const MAX_BATCH_BEFORE: u64 = 32;
const MAX_DIM: u64 = 8192;

/// Why no op at all may run on the DLA under this target and config, if so.
pub fn check_engine(model: &Model, target: &Target, config: &EngineConfig) -> Option<Refusal> {
    if let Err(refusal) = supported(target, config) {
        return Some(refusal);
    }
    if let Some(input) = model.unresolved_inputs().next() {
        let name = &model.tensor(input.tensor).name;
        return Some(
            Refusal::new(
                &DYNAMIC_SHAPES,
                format!("input {name:?} has no fixed dims, which the DLA needs"),
            )
            .fix(give_dims(name, "1x3x224x224")),
        );
    }
    let typed = |d| matches!(d, DType::F16 | DType::I8);
    if target.tensorrt.strongly_typed() && !model.tensors.iter().any(|t| typed(t.dtype)) {
        return Some(
            Refusal::new(
                &TYPES,
                format!(
                    "TensorRT {} takes types from the file, and this one has no FP16 or INT8 \
                     tensor",
                    target.tensorrt
                ),
            )
            .fix(
                "convert it with ModelOpt: autocast --low_precision_type fp16 for FP16, or \
                 quantization --target_dla for INT8",
            ),
        );
    }
    None
}

/// Whether TensorRT builds such an engine all the same where GPU fallback is allowed: it finds no
/// layer that the DLA takes, says so layer by layer, and puts all of them on the GPU
/// (NVIDIA/TensorRT#2319).
pub fn builds_on_gpu(refusal: &Refusal) -> bool {
    std::ptr::eq(refusal.rule, &raw const PRECISION) || std::ptr::eq(refusal.rule, &raw const TYPES)
}

/// The part of [`check_engine`] that no model changes; does not allocate when all is well.
pub(crate) fn supported(target: &Target, config: &EngineConfig) -> Result<(), Refusal> {
    let cores = match target.dla_support() {
        DlaSupport::Cores(cores) => cores,
        DlaSupport::None(_) => return Err(no_dla(target)),
    };
    if config.dla_core >= cores {
        let fix = match cores {
            1 => "use core 0".to_owned(),
            n => format!("use a core of 0-{}", n - 1),
        };
        return Err(Refusal::new(
            &CORE,
            format!("{} has no DLA core {}", target.board.name, config.dla_core),
        )
        .fix(fix));
    }
    if !config.precision.dla_capable() && !target.tensorrt.strongly_typed() {
        return Err(
            Refusal::new(&PRECISION, "the DLA does not compute in FP32").fix("choose FP16 or INT8")
        );
    }
    Ok(())
}

pub(crate) fn no_dla(target: &Target) -> Refusal {
    let why = match target.dla_support() {
        DlaSupport::None(why) => why,
        DlaSupport::Cores(_) => format!("{} has no DLA", target.board.name),
    };
    Refusal::new(&NO_DLA, why).fix("place everything on the GPU, or choose a target with a DLA")
}

/// What keeps a loadable of this many bytes of weights and of inner tensors (its inputs and
/// outputs not counted) from being built, if anything.
pub fn check_loadable(weight_bytes: u64, tensor_bytes: u64) -> Option<Refusal> {
    let mb = |bytes: u64| bytes >> 20;
    if weight_bytes >= MAX_LOADABLE_WEIGHT_BYTES {
        return Some(
            Refusal::new(
                &LOADABLE_WEIGHTS,
                format!("{} MB of weights in one loadable", mb(weight_bytes)),
            )
            .fix("split the subgraph by placing an op in its middle on the GPU"),
        );
    }
    (tensor_bytes >= MAX_LOADABLE_TENSOR_BYTES).then(|| {
        Refusal::new(
            &LOADABLE_TENSORS,
            format!("{} MB of tensors inside one loadable", mb(tensor_bytes)),
        )
        .fix("lower the batch, or split the subgraph by placing an op in its middle on the GPU")
    })
}

/// What keeps this many loadables from living on one core, if anything. TensorRT's own remedy is
/// to run those past the limit on the GPU.
pub fn check_loadable_count(loadables: u32, tensorrt: TensorRt) -> Option<Refusal> {
    let limit = tensorrt.max_loadables();
    (loadables > limit).then(|| {
        Refusal::new(
            &LOADABLE_COUNT,
            format!("{loadables} DLA subgraphs on one core"),
        )
        .fix("place whole stages rather than single ops, or use the other core")
    })
}

/// The rules every input and output of every layer must meet.
pub(crate) fn tensors(cx: &Cx<'_>) -> Check {
    let comparison = matches!(cx.op.kind, OpKind::Binary { op, .. } if op.is_comparison());
    let strong = cx.tensorrt.strongly_typed();
    let mut doubt = Ok(());
    let outputs = cx.op.outputs.iter().map(|t| (t, comparison));
    for (tensor, boolean) in cx.op.inputs.iter().map(|t| (t, false)).chain(outputs) {
        let t = cx.model.tensor(*tensor);
        let legal = match cx.dtype(*tensor) {
            DType::F16 | DType::I8 => true,
            DType::F32 | DType::F64 | DType::U8 => !strong,
            DType::Bool => boolean,
            _ => false,
        };
        if !legal {
            let refusal = Refusal::new(&TYPE, format!("{} is {:?}", t.name, t.dtype));
            return Err(match t.dtype {
                DType::F32 | DType::F64 | DType::BF16 => {
                    refusal.fix("convert the model to FP16 before building")
                }
                _ => refusal,
            }
            .into());
        }
        let Some(dims) = &t.shape else {
            doubt = Err(unknown(format!("the shape of {} is not known", t.name)));
            continue;
        };
        match sizes(cx, &t.name, dims) {
            Err(No::Unknown(why)) => doubt = Err(No::Unknown(why)),
            other => other?,
        }
    }
    doubt
}

fn sizes(cx: &Cx<'_>, name: &str, dims: &[u64]) -> Check {
    // A matrix is a batch of vectors: TensorRT makes N x C x 1 x 1 of it.
    let batch_dims = if dims.len() == 2 {
        1
    } else {
        dims.len().saturating_sub(3)
    };
    let mut batch = 1_u64;
    for (i, dim) in dims.iter().enumerate() {
        let dim = if i == 0 { cx.at_batch(*dim) } else { *dim };
        if i < batch_dims {
            batch = batch.saturating_mul(dim);
        } else if !(1..=MAX_DIM).contains(&dim) {
            return Err(Refusal::new(&DIMS, format!("dim {i} of {name} is {dim}")).into());
        }
    }
    let (rule, most) = match cx.tensorrt {
        TensorRt::V7_1 | TensorRt::V8_0 => (&BATCH_BEFORE, MAX_BATCH_BEFORE),
        _ => (&BATCH, MAX_BATCH),
    };
    if !(1..=most).contains(&batch) {
        let refusal = Refusal::new(rule, format!("effective batch {batch} of {name}"));
        return Err(if cx.config.batch > 1 {
            refusal.fix("lower the batch")
        } else {
            refusal
        }
        .into());
    }
    if cx.tensorrt < TensorRt::V8_4 {
        if dims.len() > 4 {
            return Err(unknown(format!(
                "{name} has {} dims; what TensorRT {} does with more than four is not published",
                dims.len(),
                cx.tensorrt
            )));
        }
        if batch > MAX_BATCH_BEFORE {
            return Err(unknown(format!(
                "effective batch {batch} of {name}: TensorRT 8.0 takes 32, 8.4 takes 4096, and \
                 TensorRT {} is not published",
                cx.tensorrt
            )));
        }
    }
    Ok(())
}
