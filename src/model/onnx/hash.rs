//! Identity of a network's structure.

use super::proto;

/// BLAKE3 of nodes, attributes, and of weights' names, types and dims (with the values of small
/// integer ones, which are shapes).
pub(super) fn structure_hash(graph: &proto::Graph) -> String {
    let mut hasher = Hasher::default();
    hash_graph(&mut hasher, graph);
    hasher.inner.update(&hasher.waiting);
    hasher.inner.finalize().to_hex().to_string()
}

/// Collects small pieces: hashing each on its own costs more than the hash.
#[derive(Default)]
struct Hasher {
    inner: blake3::Hasher,
    waiting: Vec<u8>,
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= 1 << 16 {
            self.inner.update(&self.waiting);
            self.waiting.clear();
        }
    }
}

fn hash_text(hasher: &mut Hasher, text: &[u8]) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text);
}

fn hash_tensor(hasher: &mut Hasher, tensor: &proto::Tensor) {
    hash_text(hasher, tensor.name.as_bytes());
    hasher.update(&tensor.data_type.to_le_bytes());
    hasher.update(&(tensor.dims.len() as u64).to_le_bytes());
    for d in &tensor.dims {
        hasher.update(&d.to_le_bytes());
    }
    if let Some(ints) = super::attrs::tensor_data(tensor).and_then(|d| d.ints()) {
        for i in ints {
            hasher.update(&i.to_le_bytes());
        }
    }
}

fn hash_graph(hasher: &mut Hasher, graph: &proto::Graph) {
    for count in [graph.node.len(), graph.initializer.len(), graph.input.len()] {
        hasher.update(&(count as u64).to_le_bytes());
    }
    for node in &graph.node {
        for text in [&node.op_type, &node.domain, &node.name] {
            hash_text(hasher, text.as_bytes());
        }
        for list in [&node.input, &node.output] {
            hasher.update(&(list.len() as u64).to_le_bytes());
            for name in list {
                hash_text(hasher, name.as_bytes());
            }
        }
        for a in &node.attribute {
            hash_text(hasher, a.name.as_bytes());
            hasher.update(&a.i.unwrap_or(0).to_le_bytes());
            hasher.update(&a.f.unwrap_or(0.0).to_le_bytes());
            hash_text(hasher, a.s.as_deref().unwrap_or_default());
            hasher.update(&(a.ints.len() as u64).to_le_bytes());
            for i in &a.ints {
                hasher.update(&i.to_le_bytes());
            }
            for f in &a.floats {
                hasher.update(&f.to_le_bytes());
            }
            for s in &a.strings {
                hash_text(hasher, s);
            }
            for t in a.t.iter().map(|t| &**t).chain(&a.tensors) {
                hash_tensor(hasher, t);
            }
            for g in a.g.iter().map(|g| &**g).chain(&a.graphs) {
                hash_graph(hasher, g);
            }
        }
    }
    for tensor in &graph.initializer {
        hash_tensor(hasher, tensor);
    }
    for info in &graph.input {
        hash_text(hasher, info.name.as_bytes());
        let Some(t) = super::graph::tensor_type(info) else {
            continue;
        };
        hasher.update(&t.elem_type.to_le_bytes());
        for d in t.shape.iter().flat_map(|s| &s.dim) {
            hasher.update(&d.dim_value.unwrap_or(-1).to_le_bytes());
            hash_text(
                hasher,
                d.dim_param.as_deref().unwrap_or_default().as_bytes(),
            );
        }
    }
}
