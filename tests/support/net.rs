//! The one builder of networks for tests, benches and the fitting program: op by op, without a file.

use std::path::PathBuf;
use std::sync::Arc;

use dlaplan::model::{
    Conv, DType, Dim, Exporter, Model, ModelInput, ModelParts, ModuleId, ModuleTreeBuilder, Op,
    OpCost, OpId, OpKind, Source, Tensor, TensorId, TensorRole,
};

/// Lays a model op by op.
pub struct Net {
    tensors: Vec<Tensor>,
    ops: Vec<Op>,
    inputs: Vec<ModelInput>,
    modules: ModuleTreeBuilder,
    drafts: Vec<usize>,
    /// Type of the tensors made from here on.
    pub dtype: DType,
    /// Name and origin of the model.
    pub source: Source,
    /// The model's name.
    pub name: String,
}

impl Net {
    /// Nothing yet.
    pub fn new(name: &str) -> Self {
        Self {
            tensors: Vec::new(),
            ops: Vec::new(),
            inputs: Vec::new(),
            modules: ModuleTreeBuilder::default(),
            drafts: Vec::new(),
            dtype: DType::F32,
            source: Source {
                path: PathBuf::from(format!("{name}.onnx")),
                producer: String::new(),
                exporter: Exporter::TorchScript,
                opset: 17,
                file_bytes: 0,
                structure_hash: String::new(),
                structure_only: true,
            },
            name: name.to_owned(),
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
    pub fn input(&mut self, name: &str, shape: Option<&[u64]>) -> TensorId {
        let tensor = self.tensor(name, shape, TensorRole::Input);
        let declared = match shape {
            Some(dims) => dims.iter().map(|d| Dim::Fixed(*d)).collect(),
            None => vec![Dim::Symbolic("N".into())],
        };
        self.inputs.push(ModelInput { tensor, declared });
        tensor
    }

    /// A constant.
    pub fn weight(&mut self, shape: &[u64]) -> TensorId {
        let name = format!("weight{}", self.tensors.len());
        self.tensor(&name, Some(shape), TensorRole::Weight)
    }

    /// Ops so far.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Dims of a tensor; none where they are not known.
    pub fn shape(&self, tensor: TensorId) -> &[u64] {
        self.tensors[tensor.index()].shape.as_deref().unwrap_or(&[])
    }

    /// Elements of different tensors together; a tensor read twice counts once.
    fn elements(&self, ids: &[TensorId]) -> Option<u64> {
        let first = |(i, id): &(usize, &TensorId)| !ids[..*i].contains(id);
        let distinct = ids.iter().enumerate().filter(first);
        distinct
            .map(|(_, id)| self.tensors[id.index()].elements())
            .sum()
    }

    /// An op in the root module, its output of the given shape.
    pub fn op(
        &mut self,
        name: &str,
        kind: OpKind,
        inputs: &[TensorId],
        output: Option<&[u64]>,
    ) -> TensorId {
        self.op_in("", name, kind, inputs, output)
    }

    /// An op of a module with one output. The kind says its type and its multiply-accumulates.
    pub fn op_in(
        &mut self,
        module: &str,
        name: &str,
        kind: OpKind,
        inputs: &[TensorId],
        output: Option<&[u64]>,
    ) -> TensorId {
        let op_type = format!("{kind:?}");
        let op_type = op_type.split(['(', ' ']).next().unwrap_or_default();
        let out: u64 = output.unwrap_or_default().iter().product();
        let macs = match &kind {
            OpKind::Conv(c) => out * c.kernel.iter().product::<u64>() * c.in_channels / c.groups,
            OpKind::FullyConnected { in_features, .. } => out * in_features,
            _ => 0,
        };
        self.add((module, name, op_type), kind, inputs, &[output], macs)[0]
    }

    /// An op with any outputs and the multiply-accumulates given. Weights among the inputs become
    /// constant operands. Outputs are named `<op>_out`, further ones `<op>_out1` and so on.
    pub fn add(
        &mut self,
        (module, name, op_type): (&str, &str, &str),
        kind: OpKind,
        inputs: &[TensorId],
        outputs: &[Option<&[u64]>],
        macs: u64,
    ) -> Vec<TensorId> {
        let id = OpId(self.ops.len() as u32);
        let mut outs = Vec::new();
        for (i, shape) in outputs.iter().enumerate() {
            let number = if i == 0 { String::new() } else { i.to_string() };
            let out = self.tensor(
                &format!("{name}_out{number}"),
                *shape,
                TensorRole::Activation,
            );
            self.tensors[out.index()].producer = Some(id);
            outs.push(out);
        }
        let constant = |t: &&TensorId| self.tensors[t.index()].role == TensorRole::Weight;
        let (weights, inputs): (Vec<TensorId>, Vec<TensorId>) = inputs.iter().partition(constant);
        for input in inputs.iter().chain(&weights) {
            self.tensors[input.index()].consumers.push(id);
        }
        let cost = self
            .elements(&inputs)
            .zip(self.elements(&weights))
            .zip(self.elements(&outs))
            .map(|((in_elems, weight_elems), out_elems)| OpCost {
                macs,
                weight_elems,
                in_elems,
                out_elems,
            });
        let draft = self.modules.module(module);
        self.modules.add_op(draft, id);
        self.drafts.push(draft);
        self.ops.push(Op {
            name: name.into(),
            op_type: Arc::from(op_type),
            domain: "".into(),
            kind,
            module: ModuleId::ROOT,
            inputs,
            weights,
            outputs: outs.clone(),
            cost,
            folded: Vec::new(),
            weight_copies: 0,
            shared_name: None,
        });
        outs
    }

    /// The model; tensors nobody reads are its outputs, and those named here.
    pub fn finish(mut self, outputs: &[TensorId]) -> Model {
        let (modules, ids) = self.modules.finish();
        for (op, draft) in self.ops.iter_mut().zip(&self.drafts) {
            op.module = ids[*draft];
        }
        let mut found = Vec::new();
        for (tensor, i) in self.tensors.iter_mut().zip(0..) {
            let unread = tensor.role == TensorRole::Activation && tensor.consumers.is_empty();
            if unread || outputs.contains(&TensorId(i)) {
                tensor.is_output = true;
                found.push(TensorId(i));
            }
        }
        ModelParts {
            name: self.name,
            source: self.source,
            ops: self.ops,
            tensors: self.tensors,
            modules,
            inputs: self.inputs,
            outputs: found,
            notes: Vec::new(),
            file_ops: Vec::new(),
        }
        .into()
    }
}

/// Ops one after another, named `op0`, `op1`, ..., each with its output shape.
pub fn chain_of(input: &[u64], ops: Vec<(OpKind, Vec<u64>)>) -> Model {
    let mut net = Net::new("test");
    let mut last = net.input("input", Some(input));
    for (i, (kind, shape)) in ops.into_iter().enumerate() {
        last = net.op(&format!("op{i}"), kind, &[last], Some(&shape));
    }
    net.finish(&[])
}

/// A convolution of 64 channels to 64, 3x3 with padding, as changed.
pub fn conv(change: impl FnOnce(&mut Conv)) -> OpKind {
    let mut c = Conv {
        kernel: vec![3, 3],
        stride: vec![1, 1],
        pads: vec![1; 4],
        dilation: vec![1, 1],
        groups: 1,
        in_channels: 64,
        out_channels: 64,
        output_padding: vec![0, 0],
        const_weights: true,
    };
    change(&mut c);
    OpKind::Conv(c)
}
