//! The cost models' parameters: few, physical, each with a unit and a prior.

use serde::{Deserialize, Serialize};

/// One parameter's name, unit and what is known about it before any measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// Field name in the files.
    pub name: &'static str,
    /// Expected value.
    pub prior: f64,
    /// Expected relative spread around the prior (standard deviation of its logarithm); the fit
    /// pays for leaving it.
    pub spread: f64,
    /// Smallest physical value.
    pub min: f64,
    /// Largest physical value.
    pub max: f64,
}

/// A struct of `f64` fields with a [`Spec`] each, also seen as a list.
macro_rules! parameters {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $prior:expr, $spread:expr, $min:expr, $max:expr;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: f64,)*
        }

        impl $name {
            /// What is known of each parameter, in field order.
            pub const SPECS: &'static [Spec] = &[$(Spec {
                name: stringify!($field),
                prior: $prior,
                spread: $spread,
                min: $min,
                max: $max,
            }),*];

            /// The values, in field order.
            pub fn to_vec(&self) -> Vec<f64> {
                vec![$(self.$field),*]
            }

            /// From values in field order; missing ones take their prior.
            pub fn from_slice(values: &[f64]) -> Self {
                let mut values = values.iter().copied();
                Self { $($field: values.next().unwrap_or($prior),)* }
            }
        }

        impl Default for $name {
            /// The priors.
            fn default() -> Self {
                Self::from_slice(&[])
            }
        }
    };
}

parameters! {
    /// GPU kernels. Cycles are of the GPU clock, so that power modes scale them.
    pub struct GpuParameters {
        /// Share of peak a 64x64 tile reaches. Above 1 where Winograd saves multiplications.
        tile_efficiency: 0.5, 0.3, 0.1, 2.0;
        /// How efficiency grows with tile area: (area / 4096)^this.
        tile_growth: 0.2, 0.5, 0.01, 0.6;
        /// Slowdown of a kernel with at most one tile per SM: nothing hides its latency.
        lone_tile: 1.2, 0.3, 1.0, 3.0;
        /// Share of DRAM bandwidth a kernel reaches.
        bandwidth: 0.79, 0.1, 0.4, 0.95;
        /// Fixed cycles of a convolution or matrix kernel (launch, prologue, tail).
        matrix_cycles: 16000.0, 0.4, 1000.0, 60000.0;
        /// Cycles between two kernels of an engine, reformats of an ordinary network included;
        /// layer profiles do not show them.
        gap_cycles: 4000.0, 0.5, 100.0, 20000.0;
        /// Host and driver time per kernel that no GPU clock shortens, us. Published Orin and Xavier
        /// engines keep 0.4 to 1.0 ms an inference that power modes do not scale.
        launch_us: 1.0, 0.7, 0.05, 20.0;
        /// Channels a first layer's input is padded to.
        input_channels: 5.0, 0.3, 4.0, 32.0;
        /// Fixed cycles of a streaming kernel.
        stream_cycles: 7000.0, 0.4, 500.0, 40000.0;
        /// Fixed cycles of a kernel that moves data (transpose, slice, concatenation copy).
        copy_cycles: 12000.0, 0.5, 500.0, 60000.0;
        /// Fixed cycles of a depthwise convolution.
        depthwise_cycles: 20000.0, 0.5, 1000.0, 80000.0;
        /// Share of the CUDA cores' FP32 peak a depthwise convolution reaches.
        depthwise_efficiency: 0.4, 0.5, 0.02, 2.0;
        /// Passes over the data of a local response normalisation, its reformats included.
        lrn_passes: 2.5, 0.4, 1.0, 8.0;
        /// Passes over the data of a pooling.
        pool_passes: 1.2, 0.3, 1.0, 5.0;
        /// What a kernel of few tiles gains by splitting the summed length over idle SMs: its time goes with
        /// (tiles / SMs)^this.
        #[serde(default, skip_serializing_if = "is_zero")]
        split_gain: 0.0, 1.0, 0.0, 0.0;
        /// Fixed cycles of every further wave of tiles (start and write-out).
        #[serde(default, skip_serializing_if = "is_zero")]
        wave_cycles: 0.0, 1.0, 0.0, 0.0;
        /// Passes over an image that enters the engine, to convert it from FP32; 0 where the gaps hold
        /// that time.
        #[serde(default, skip_serializing_if = "is_zero")]
        image_passes: 0.0, 1.0, 0.0, 0.0;
        /// Cycles that a first layer's kernel takes at least for each position of its window, however few its
        /// tiles are: it walks the window step by step.
        #[serde(default, skip_serializing_if = "is_zero")]
        window_cycles: 0.0, 1.0, 0.0, 0.0;
        /// Share of a kernel of its own that a gated activation (`x * sigmoid(x)`) after a convolution
        /// takes: near 0 where the convolution's kernel computes it.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        gate_share: 1.0, 1.0, 1.0, 1.0;
        /// Host time per kernel, us: no engine runs faster than the host hands over its kernels. 0 where
        /// it is not known.
        #[serde(default, skip_serializing_if = "is_zero")]
        host_us: 0.0, 1.0, 0.0, 0.0;
    }
}

fn one() -> f64 {
    1.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(value: &f64) -> bool {
    *value == 1.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

parameters! {
    /// One DLA core. Cycles are of the DLA clock.
    pub struct DlaParameters {
        /// Share of peak a convolution reaches in INT8. Above 1 where Winograd saves
        /// multiplications.
        int8_efficiency: 0.75, 0.25, 0.1, 1.3;
        /// Share of peak (Xavier) or of the INT8 peak (Orin) a convolution reaches in FP16.
        /// Above 1 where Winograd saves multiplications.
        fp16_efficiency: 0.8, 0.3, 0.005, 1.3;
        /// Speed-up of 3x3 convolutions of stride 1 by Winograd's algorithm, 2.25 at most (NVDLA
        /// hardware manual): in FP16, and in INT8 on Orin.
        winograd: 1.35, 0.2, 1.0, 2.25;
        /// Share of that which a first layer of few channels reaches.
        image_efficiency: 0.6, 0.4, 0.05, 1.0;
        /// Bytes per clock between core and memory.
        bytes_per_cycle: 32.0, 0.25, 8.0, 128.0;
        /// Share of the board's DRAM bandwidth one core can take.
        dram_share: 0.5, 0.3, 0.1, 0.9;
        /// Bytes per clock of pooling and normalisation.
        plane_bytes_per_cycle: 8.0, 0.3, 2.0, 128.0;
        /// Fixed cycles per layer.
        layer_cycles: 14000.0, 0.5, 200.0, 60000.0;
    }
}

parameters! {
    /// What it takes to enter and leave a DLA subgraph.
    pub struct TransitionParameters {
        /// Submitting one subgraph and waiting for it, ms.
        submit_ms: 0.1, 0.4, 0.01, 0.6;
        /// One reformat kernel, cycles of the GPU clock.
        reformat_cycles: 12000.0, 0.4, 1000.0, 60000.0;
        /// Share of DRAM bandwidth a reformat reaches, reading and writing.
        reformat_bandwidth: 0.2, 0.4, 0.02, 0.9;
        /// Extra time per tensor that enters a DLA subgraph from the GPU in INT8, ms: requantising,
        /// formats that the two sides do not share, and the slower kernels TensorRT takes beside
        /// them. Of a large tensor; its bytes go at the reformat's bandwidth besides.
        int8_entry_ms: 0.2, 1.0, 0.001, 1.0;
    }
}

parameters! {
    /// What engines running at the same time do to each other.
    pub struct ContentionParameters {
        /// Share of GPU time lost to switching between processes that both always want it; less where
        /// the others want it less.
        gpu_switch_share: 0.15, 0.4, 0.0, 0.5;
        /// Time a DLA engine waits for the GPU per visit while other processes use it, ms.
        visit_wait_ms: 0.2, 0.5, 0.0, 2.0;
        /// The same while another engine keeps the GPU busy, ms more.
        busy_wait_ms: 0.1, 0.7, 0.0, 2.0;
        /// Slowdown per share of the DRAM's saturated bandwidth that others take.
        dram_slowdown: 0.5, 0.5, 0.0, 3.0;
    }
}

/// Everything the cost models need that no data sheet says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// GPU kernels.
    pub gpu: GpuParameters,
    /// GPU kernels of engines with INT8, where they were fitted apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_int8: Option<GpuParameters>,
    /// DLA layers.
    pub dla: DlaParameters,
    /// Subgraph and transition costs.
    pub transition: TransitionParameters,
    /// Concurrent engines.
    pub contention: ContentionParameters,
}
