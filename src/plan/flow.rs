//! The tensors that may cross devices, flat, so that evaluating a placement touches no other memory.

use crate::model::{Model, TensorId, TensorRole};

use super::partition::Edges;

/// A tensor with the ops around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow<'a> {
    /// The tensor.
    pub tensor: TensorId,
    /// The node of [`Edges`] that makes it; `None` for a model input.
    pub maker: Option<u32>,
    /// The ops that read it.
    pub readers: &'a [u32],
    /// Bytes on the DLA side, at the engine's batch.
    pub bytes: u64,
    /// It is an input of the model.
    pub is_input: bool,
    /// It is an output of the model.
    pub is_output: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    tensor: TensorId,
    /// `u32::MAX` for a model input.
    maker: u32,
    /// One past its last reader in [`Flows::readers`].
    end: u32,
    is_input: bool,
    is_output: bool,
}

/// Model inputs first, then what each op makes, in execution order.
#[derive(Debug)]
pub(super) struct Flows {
    entries: Vec<Entry>,
    readers: Vec<u32>,
}

impl Flows {
    pub(super) fn new(model: &Model, edges: &Edges, tensor_bytes: &[u64]) -> Self {
        let inputs = model.inputs.iter().map(|i| i.tensor);
        let made = model.ops.iter().flat_map(|o| o.outputs.iter().copied());
        let mut entries = Vec::with_capacity(model.inputs.len() + model.ops.len());
        let mut readers = Vec::with_capacity(model.ops.len());
        for tensor in inputs.chain(made) {
            let t = model.tensor(tensor);
            readers.extend(t.consumers.iter().map(|op| op.0));
            entries.push(Entry {
                bytes: tensor_bytes[tensor.index()],
                tensor,
                maker: edges.maker(tensor).unwrap_or(u32::MAX),
                end: readers.len() as u32,
                is_input: t.role == TensorRole::Input,
                is_output: t.is_output,
            });
        }
        Self { entries, readers }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Flow<'_>> {
        let mut begin = 0;
        self.entries.iter().map(move |e| {
            let readers = &self.readers[begin..e.end as usize];
            begin = e.end as usize;
            Flow {
                tensor: e.tensor,
                maker: (e.maker != u32::MAX).then_some(e.maker),
                readers,
                bytes: e.bytes,
                is_input: e.is_input,
                is_output: e.is_output,
            }
        })
    }
}
