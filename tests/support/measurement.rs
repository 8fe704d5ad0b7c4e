//! A measurement as a worker reports it.

use dlaplan::engine::{Actual, Latency, Measurement};

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
