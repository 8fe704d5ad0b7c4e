//! What several of these tests make: a measurement, and a network of plain ops.

use dlaplan::engine::{Actual, Latency, Measurement};
use dlaplan::model::{Model, ModelParts, ModuleTreeBuilder, Op, OpKind};

/// A measurement of these samples, in images per second and ms.
pub fn measurement(samples: Vec<f64>, latency_ms: Vec<f64>, source: &str) -> Measurement {
    Measurement {
        fps: Measurement::measured(&samples, source).unwrap(),
        fps_samples: samples,
        process_fps: Vec::new(),
        mj_per_image: dlaplan::engine::not_sampled(),
        energy: None,
        latency: Latency::of(&latency_ms).unwrap(),
        latency_samples_ms: latency_ms,
        cuda_graph: false,
        cuda_graph_refused: None,
        cpu_us_per_iteration: 1.0,
        build_s: 1.0,
        cached: false,
        engine_bytes: 1,
        device_memory_bytes: 1,
        actual: Actual::default(),
        layers: Vec::new(),
        attribution: None,
        numeric: None,
        timing_only: None,
        inspector: None,
    }
}

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
