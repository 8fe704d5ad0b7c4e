//! Any bytes as a model file: refused with a typed error, or a model that holds together.
#![no_main]

use bytes::Bytes;
use dlaplan::model::onnx::{LoadOptions, load_bytes};
use dlaplan::model::ModuleId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let data = Bytes::copy_from_slice(data);
    let Ok(model) = load_bytes("fuzz.onnx", &data, &LoadOptions::default()) else {
        return;
    };
    for id in model.op_ids() {
        let op = model.op(id);
        assert!(model.producers(id).all(|p| p < id));
        assert!(model.modules.get(op.module).ops.contains(&id));
        assert_eq!(model.find_op(&op.name), Some(id));
    }
    assert!(model.modules.subtree_ops(ModuleId::ROOT).into_iter().eq(model.op_ids()));
});
