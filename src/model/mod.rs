//! One network as dlaplan sees it: ops, tensors and the module tree. Knows nothing of devices.

mod graph;
mod ids;
mod kind;
pub mod onnx;
mod source;
mod tree;

pub use graph::{
    DType, Dim, Exporter, FileOp, Model, ModelInput, ModelParts, Note, Op, OpCost, Shape, Source,
    Tensor, TensorRole, by, give_dims,
};
pub use ids::{ModuleId, OpId, TensorId};
pub use kind::{
    Activation, BinaryOp, Conv, CoordinateMode, NearestMode, NormKind, OpKind, Pool, PoolKind,
    ReduceOp, Resize, ResizeMode, ShuffleKind, UNKNOWN_AXIS, UnaryOp,
};
pub use source::ModelSource;
pub use tree::{Module, ModuleTree, ModuleTreeBuilder};
