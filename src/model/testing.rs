//! Small models for unit tests of every room.

use std::path::PathBuf;
use std::sync::Arc;

use super::{
    DType, Dim, Exporter, Model, ModelInput, ModelParts, ModuleTreeBuilder, Op, OpCost, OpId,
    OpKind, Source, Tensor, TensorId, TensorRole,
};

/// Lays a model op by op.
pub(crate) struct Net {
    tensors: Vec<Tensor>,
    ops: Vec<Op>,
    inputs: Vec<ModelInput>,
    modules: ModuleTreeBuilder,
    drafts: Vec<usize>,
    /// Type of the tensors made from here on.
    pub dtype: DType,
    /// ONNX opset of the model.
    pub opset: i64,
}

impl Net {
    pub(crate) fn new() -> Self {
        Self {
            tensors: Vec::new(),
            ops: Vec::new(),
            inputs: Vec::new(),
            modules: ModuleTreeBuilder::default(),
            drafts: Vec::new(),
            dtype: DType::F32,
            opset: 17,
        }
    }

    fn tensor(&mut self, name: &str, shape: Option<&[u64]>, role: TensorRole) -> TensorId {
        let id = TensorId(self.tensors.len() as u32);
        self.tensors.push(Tensor {
            name: name.into(),
            dtype: self.dtype,
            shape: shape.map(<[u64]>::to_vec),
            role,
            producer: None,
            consumers: Vec::new(),
            is_output: false,
        });
        id
    }

    /// A model input; without a shape its dims are still to be given.
    pub(crate) fn input(&mut self, name: &str, shape: Option<&[u64]>) -> TensorId {
        let tensor = self.tensor(name, shape, TensorRole::Input);
        let declared = match shape {
            Some(dims) => dims.iter().map(|d| Dim::Fixed(*d)).collect(),
            None => vec![Dim::Symbolic("N".into())],
        };
        self.inputs.push(ModelInput { tensor, declared });
        tensor
    }

    /// A constant.
    pub(crate) fn weight(&mut self, shape: &[u64]) -> TensorId {
        let name = format!("weight{}", self.tensors.len());
        self.tensor(&name, Some(shape), TensorRole::Weight)
    }

    /// An op in the root module, its output of the given shape.
    pub(crate) fn op(
        &mut self,
        name: &str,
        kind: OpKind,
        inputs: &[TensorId],
        output: Option<&[u64]>,
    ) -> TensorId {
        self.op_in("", name, kind, inputs, output)
    }

    /// An op of a module. Weights among the inputs become constant operands.
    pub(crate) fn op_in(
        &mut self,
        module: &str,
        name: &str,
        kind: OpKind,
        inputs: &[TensorId],
        output: Option<&[u64]>,
    ) -> TensorId {
        let id = OpId(self.ops.len() as u32);
        let out = self.tensor(&format!("{name}_out"), output, TensorRole::Activation);
        self.tensors[out.index()].producer = Some(id);
        let constant = |t: &&TensorId| self.tensors[t.index()].role == TensorRole::Weight;
        let (weights, inputs): (Vec<TensorId>, Vec<TensorId>) = inputs.iter().partition(constant);
        for input in inputs.iter().chain(&weights) {
            self.tensors[input.index()].consumers.push(id);
        }
        let op_type: Arc<str> = format!("{kind:?}")
            .split(['(', ' '])
            .next()
            .unwrap_or_default()
            .into();
        let elements = |ids: &[TensorId]| -> Option<u64> {
            ids.iter().map(|t| self.tensors[t.index()].elements()).sum()
        };
        let cost = elements(&inputs)
            .zip(elements(&weights))
            .zip(elements(&[out]))
            .map(|((in_elems, weight_elems), out_elems)| OpCost {
                macs: match &kind {
                    OpKind::Conv(c) => {
                        out_elems * c.kernel.iter().product::<u64>() * c.in_channels / c.groups
                    }
                    OpKind::FullyConnected { in_features, .. } => out_elems * in_features,
                    _ => 0,
                },
                weight_elems,
                in_elems,
                out_elems,
            });
        let draft = self.modules.module(module);
        self.modules.add_op(draft, id);
        self.drafts.push(draft);
        self.ops.push(Op {
            name: name.into(),
            op_type,
            domain: "".into(),
            kind,
            module: super::ModuleId::ROOT,
            inputs,
            weights,
            outputs: vec![out],
            cost,
            folded: Vec::new(),
            shared_name: None,
        });
        out
    }

    /// The model; tensors nobody reads are its outputs.
    pub(crate) fn finish(mut self) -> Model {
        let (modules, ids) = self.modules.finish();
        for (op, draft) in self.ops.iter_mut().zip(&self.drafts) {
            op.module = ids[*draft];
        }
        let mut outputs = Vec::new();
        for (tensor, i) in self.tensors.iter_mut().zip(0..) {
            if tensor.role == TensorRole::Activation && tensor.consumers.is_empty() {
                tensor.is_output = true;
                outputs.push(TensorId(i));
            }
        }
        ModelParts {
            name: "test".into(),
            source: Source {
                path: PathBuf::from("test.onnx"),
                producer: String::new(),
                exporter: Exporter::TorchScript,
                opset: self.opset,
                file_bytes: 0,
                structure_hash: String::new(),
                structure_only: true,
            },
            ops: self.ops,
            tensors: self.tensors,
            modules,
            inputs: self.inputs,
            outputs,
            notes: Vec::new(),
            file_ops: Vec::new(),
        }
        .into()
    }
}

/// Ops one after another, named `op0`, `op1`, ..., each with its output shape.
pub(crate) fn chain(input: &[u64], ops: Vec<(OpKind, Vec<u64>)>) -> Model {
    let mut net = Net::new();
    let mut last = net.input("input", Some(input));
    for (i, (kind, shape)) in ops.into_iter().enumerate() {
        last = net.op(&format!("op{i}"), kind, &[last], Some(&shape));
    }
    net.finish()
}
