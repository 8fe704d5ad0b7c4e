//! What several of these tests make: a measurement, and a network of plain ops.

pub use crate::readers::inputs::measured::measurement;
use dlaplan::model::{Model, ModelParts, ModuleTreeBuilder, Op, OpKind};

/// A network of ops without tensors: `op0`, `op1` and so on, each in the module of its handle.
pub fn ops_in(tree: ModuleTreeBuilder, handles: &[usize]) -> Model {
    let (modules, ids) = tree.finish();
    let ops = handles.iter().enumerate().map(|(i, handle)| Op {
        name: format!("op{i}").into(),
        op_type: "Relu".into(),
        domain: "".into(),
        kind: OpKind::Other,
        module: ids[*handle],
        inputs: Vec::new(),
        weights: Vec::new(),
        outputs: Vec::new(),
        cost: None,
        folded: Vec::new(),
        weight_copies: 0,
        shared_name: None,
    });
    ModelParts {
        name: "random".into(),
        source: crate::net::Net::new("random").source,
        ops: ops.collect(),
        tensors: Vec::new(),
        modules,
        inputs: Vec::new(),
        outputs: Vec::new(),
        notes: Vec::new(),
        file_ops: Vec::new(),
    }
    .into()
}
