//! Ops, tensors and the whole model.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;

use serde::Serialize;

use super::ids::{ModuleId, OpId, TensorId};
use super::kind::OpKind;
use super::tree::ModuleTree;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is the ONNX data type of its name")]
pub enum DType {
    F32,
    F16,
    BF16,
    F64,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
    String,
    /// FP8, INT4, complex and whatever comes next.
    Other,
    /// No tensor: a sequence, map or optional. It has no dims that could be given.
    Container,
}

impl DType {
    /// Floating-point numbers that TensorRT computes with.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::F64)
    }
}

/// A tensor's dims, outermost first; `None` where no source knows them.
pub type Shape = Option<Vec<u64>>;

/// `1x3x224x224`, as `--input` and trtexec take dims.
pub fn by(values: &[u64]) -> String {
    let words: Vec<String> = values.iter().map(u64::to_string).collect();
    words.join("x")
}

/// What to do about an input without fixed dims, in the window and on the command line.
pub fn give_dims(input: &str, example: &str) -> String {
    format!("give them: “Input dims…” in the window, --input {input}={example} on the command line")
}

/// One dim of a declared model input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Dim {
    /// A number.
    Fixed(u64),
    /// A name or nothing: the user must say (the name may be empty).
    Symbolic(String),
}

/// What part a tensor plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TensorRole {
    /// Fed by the caller.
    Input,
    /// A constant of the file: weight, bias, shape operand.
    Weight,
    /// Produced by an op.
    Activation,
}

/// A value that flows between ops.
#[derive(Clone, Debug, Serialize)]
pub struct Tensor {
    /// ONNX value name.
    pub name: Arc<str>,
    /// Element type in the file (the engine's precision is the engine config's matter).
    pub dtype: DType,
    /// Dims, if known.
    pub shape: Shape,
    /// Input, weight or activation.
    pub role: TensorRole,
    /// The op that makes it.
    pub producer: Option<OpId>,
    /// The ops that read it, in execution order.
    pub consumers: Vec<OpId>,
    /// It is an output of the model.
    pub is_output: bool,
}

impl Tensor {
    /// Number of elements, if the shape is known.
    pub fn elements(&self) -> Option<u64> {
        self.shape
            .as_ref()
            .map(|s| s.iter().fold(1u64, |n, d| n.saturating_mul(*d)))
    }
}

/// Work and traffic of one op at the model's own batch, independent of precision and device.
/// Everything counts elements, not bytes; `None` in [`Op::cost`] where a shape or the number of
/// products is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpCost {
    /// Multiply-accumulates (convolution, matrix product); 0 for ops without any.
    pub macs: u64,
    /// Elements of constant operands.
    pub weight_elems: u64,
    /// Elements of activation inputs.
    pub in_elems: u64,
    /// Elements of outputs.
    pub out_elems: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// One op of the network, after helpers were folded into it.
#[derive(Clone, Debug, Serialize)]
pub struct Op {
    /// Unique name; the ONNX node's, which is also TensorRT's layer name.
    pub name: Arc<str>,
    /// ONNX op type (`Conv`).
    pub op_type: Arc<str>,
    /// ONNX domain of the op type; "" for ONNX's own ops (also written `ai.onnx`).
    #[serde(skip_serializing_if = "str::is_empty")]
    pub domain: Arc<str>,
    /// What it computes.
    pub kind: OpKind,
    /// The module whose `forward` runs it.
    pub module: ModuleId,
    /// Activation inputs, in operand order.
    pub inputs: Vec<TensorId>,
    /// Constant operands, in operand order.
    pub weights: Vec<TensorId>,
    /// Outputs.
    pub outputs: Vec<TensorId>,
    /// Work and traffic, if the shapes are known.
    pub cost: Option<OpCost>,
    /// Names of the helper nodes (Constant, Identity, shape arithmetic) folded into this op.
    pub folded: Vec<Arc<str>>,
    /// Identity nodes among them that hand a stored weight on: exporters keep weights of equal value once
    /// and write one for every further use.
    #[serde(skip_serializing_if = "is_zero")]
    pub weight_copies: u32,
    /// The name in the file, where TensorRT may count differently than [`Self::name`] does: another
    /// node has it too, or has the name that counting gives.
    pub shared_name: Option<Arc<str>>,
}

/// Who wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Exporter {
    /// `torch.onnx.export(dynamo=False)`.
    TorchScript,
    /// `torch.onnx.export(dynamo=True)`.
    Dynamo,
    /// Anything else.
    Foreign,
}

/// A declared input and the dims in force.
#[derive(Clone, Debug, Serialize)]
pub struct ModelInput {
    /// The tensor.
    pub tensor: TensorId,
    /// As the file declares it.
    pub declared: Vec<Dim>,
}

impl ModelInput {
    /// The dims, where the file fixes all of them.
    pub fn fixed(&self) -> Option<Vec<u64>> {
        let dim = |d: &Dim| match d {
            Dim::Fixed(n) => Some(*n),
            Dim::Symbolic(_) => None,
        };
        self.declared.iter().map(dim).collect()
    }
}

/// Where a model came from.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// The file, or a `bundled:` name.
    pub path: PathBuf,
    /// ONNX producer name and version.
    pub producer: String,
    /// Who wrote the file, by its naming.
    pub exporter: Exporter,
    /// Opset of the default domain.
    pub opset: i64,
    /// File size in bytes.
    pub file_bytes: u64,
    /// BLAKE3 of the graph without weights and of weight shapes, hex.
    pub structure_hash: String,
    /// The file carries no weights (bundled demos); a real build must synthesise them.
    pub structure_only: bool,
}

/// Something the reader wants the user to know; not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// One sentence.
    pub text: String,
}

/// An op type that nodes of the file have: those that became ops, those folded away, and those in
/// branches, loop bodies and called local functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOp {
    /// ONNX domain; "" for ONNX's own ops.
    pub domain: String,
    /// ONNX op type, or the name of a local function.
    pub op_type: String,
    /// Name of the first node, or of its first output where the node has none.
    pub first: String,
    /// How many nodes.
    pub nodes: usize,
    /// The nodes call a local function of the file.
    pub function: bool,
}

/// One network.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// Short name for titles (file stem).
    pub name: String,
    /// File and exporter.
    pub source: Source,
    /// Execution order: every op comes after the producers of its inputs.
    pub ops: Vec<Op>,
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// The module tree.
    pub modules: ModuleTree,
    /// Declared inputs, without weights.
    pub inputs: Vec<ModelInput>,
    /// Declared outputs.
    pub outputs: Vec<TensorId>,
    /// What the reader noticed.
    pub notes: Vec<Note>,
    /// Op types of the file's nodes, in the order of their first node.
    #[serde(skip)]
    pub file_ops: Vec<FileOp>,
    #[serde(skip)]
    ops_by_name: HashMap<Arc<str>, OpId>,
    #[serde(skip)]
    quantised: bool,
    #[serde(skip)]
    total_macs: Option<u64>,
    #[serde(skip)]
    total_weights: Option<u64>,
}

/// What a reader hands over to make a [`Model`].
#[derive(Debug)]
#[expect(missing_docs, reason = "fields of the same names as in Model")]
pub struct ModelParts {
    pub name: String,
    pub source: Source,
    pub ops: Vec<Op>,
    pub tensors: Vec<Tensor>,
    pub modules: ModuleTree,
    pub inputs: Vec<ModelInput>,
    pub outputs: Vec<TensorId>,
    pub notes: Vec<Note>,
    pub file_ops: Vec<FileOp>,
}

impl From<ModelParts> for Model {
    fn from(parts: ModelParts) -> Self {
        let quantised = parts
            .ops
            .iter()
            .any(|o| matches!(o.kind, OpKind::Quantize | OpKind::Dequantize));
        let ops_by_name = parts
            .ops
            .iter()
            .zip(0..)
            .map(|(o, i)| (Arc::clone(&o.name), OpId(i)))
            .collect();
        let ModelParts {
            name,
            source,
            ops,
            tensors,
            modules,
            inputs,
            outputs,
            notes,
            file_ops,
        } = parts;
        let weights = ops.iter().filter_map(|op| op.cost).map(|c| c.weight_elems);
        let total_weights = weights.reduce(u64::saturating_add);
        Self {
            total_macs: macs_of(&ops),
            total_weights,
            name,
            source,
            ops,
            tensors,
            modules,
            inputs,
            outputs,
            notes,
            file_ops,
            ops_by_name,
            quantised,
        }
    }
}

/// See [`Model::macs_of`].
fn macs_of<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Option<u64> {
    let (mut all, mut unknown) = (0u64, false);
    for op in ops {
        match op.cost {
            Some(cost) => all = all.saturating_add(cost.macs),
            None => unknown = true,
        }
    }
    (all > 0 || !unknown).then_some(all)
}

impl Model {
    /// An op by its name.
    pub fn find_op(&self, name: &str) -> Option<OpId> {
        self.ops_by_name.get(name).copied()
    }

    /// An op by id.
    pub fn op(&self, id: OpId) -> &Op {
        &self.ops[id.index()]
    }

    /// A tensor by id.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// Ids of all ops in execution order.
    pub fn op_ids(&self) -> impl Iterator<Item = OpId> + use<> {
        (0..self.ops.len() as u32).map(OpId)
    }

    /// The first dim of the first input: the batch the file was exported with.
    pub fn batch(&self) -> Option<u64> {
        let input = self.inputs.first()?;
        self.tensor(input.tensor).shape.as_ref()?.first().copied()
    }

    /// Inputs whose dims are still symbolic, so that nothing can be built or estimated. Sequences
    /// and other containers have none to give.
    pub fn unresolved_inputs(&self) -> impl Iterator<Item = &ModelInput> {
        self.inputs.iter().filter(|i| {
            let tensor = self.tensor(i.tensor);
            tensor.shape.is_none() && tensor.dtype != DType::Container
        })
    }

    /// Dims in force that the file alone does not give: of inputs it leaves open, or declares
    /// otherwise.
    pub fn given_inputs(&self) -> BTreeMap<String, Vec<u64>> {
        let given = |input: &ModelInput| {
            let tensor = self.tensor(input.tensor);
            let dims = tensor.shape.as_ref()?;
            let own = input.fixed();
            (own.as_ref() != Some(dims)).then(|| (tensor.name.to_string(), dims.clone()))
        };
        self.inputs.iter().filter_map(given).collect()
    }

    /// The file quantises explicitly: it has QuantizeLinear or DequantizeLinear ops, so TensorRT
    /// takes no calibration for any of its layers.
    pub fn is_quantised(&self) -> bool {
        self.quantised
    }

    /// Producers of the op's activation inputs, in operand order, repeats included.
    pub fn producers(&self, id: OpId) -> impl Iterator<Item = OpId> + '_ {
        self.op(id)
            .inputs
            .iter()
            .filter_map(|t| self.tensor(*t).producer)
    }

    /// Multiply-accumulates of some ops at the model's own batch, without those whose work is
    /// unknown; `None` where that leaves nothing.
    pub fn macs_of(&self, ops: impl IntoIterator<Item = OpId>) -> Option<u64> {
        macs_of(ops.into_iter().map(|op| self.op(op)))
    }

    /// Multiply-accumulates of the whole network; see [`Self::macs_of`].
    pub fn total_macs(&self) -> Option<u64> {
        self.total_macs
    }

    /// Weight elements of all ops whose work is known; `None` where there is no such op.
    pub fn total_weights(&self) -> Option<u64> {
        self.total_weights
    }
}
