//! Time of one kernel, one DLA layer, one transition: the physics. Everything in ms.

use crate::placement::{Device, EngineConfig, IoFormats, Precision};
use crate::platform::{DlaGeneration, DlaSpec, GpuArch, Target};

use super::params::Parameters;
use super::unit::{ConvDims, Main, Work};

/// How sharply an engine that waits for the GPU becomes one that waits for the host: where both need the
/// same time, it takes 9 % longer than either.
const HOST_EDGE: f64 = 8.0;

/// Tile sizes of TensorRT's implicit matrix products (rows, columns).
const TILES: [(f64, f64); 4] = [(64.0, 64.0), (128.0, 64.0), (64.0, 128.0), (128.0, 128.0)];

/// Step of the summed length inside a tile.
const TILE_DEPTH: f64 = 32.0;

/// A first layer has at most this many channels (RGB with alpha).
const IMAGE_CHANNELS: f64 = 4.0;

/// Fewer channels per group than this run on the CUDA cores.
const TENSOR_CORE_CHANNELS: f64 = 8.0;

/// A kernel of pointwise ops moves an INT8 element no faster than one of FP16: so published INT8
/// engines of YOLOv5 and YOLO11 agree with their FP16 ones, whose SiLUs are kernels of their own.
const POINTWISE_BYTES: f64 = 2.0;

/// The DLA's array takes this many channels at a time: a group's channels are rounded up to it,
/// depthwise ones included. NVDLA's atomic-C of 64 bytes (hardware manual), so half in FP16.
const DLA_CHANNELS: f64 = 64.0;

/// The same of Orin's INT8 array, which is four times as large: NVIDIA's layer statistics of a ResNet-34
/// backbone reach 0.60 of peak with 64 channels and 1.19 with more (3x3, stride 1), 0.44 with 64
/// channels at stride 2. Winograd's algorithm gains nothing there with fewer channels.
const ORIN_INT8_CHANNELS: f64 = 128.0;

/// Output pixels of a line that the DLA works on with one set of weights: NVDLA loads the next
/// set in 16 cycles, so that a shorter stripe takes no less (hardware manual). A fully connected
/// layer is one pixel.
const STRIPE: f64 = 16.0;

/// Tensors of at least this many elements pay [`int8_entry_ms`] whole, smaller ones their share:
/// the published engines enter with 200,704 elements (0.5 ms) and with 512 (no time that shows).
///
/// [`int8_entry_ms`]: super::params::TransitionParameters::int8_entry_ms
const INT8_ENTRY_ELEMENTS: f64 = 65_536.0;

/// Multiply-accumulates per clock and SM.
#[derive(Clone, Copy, Debug, PartialEq)]
struct GpuRates {
    /// Of the CUDA cores.
    fp32: f64,
    /// Of FP32 matrix products: TF32 on tensor cores where they have it (TensorRT's default).
    matrix_fp32: f64,
    fp16: f64,
    int8: Option<f64>,
}

/// Peak rates of an architecture, or why there are none.
///
/// Volta: 8 tensor cores x 64 FP16 multiply-adds, INT8 twice that (22 TOPS of 32 on AGX Xavier are
/// the GPU's). Ampere of Orin: 170 sparse INT8 TOPS at 1.3 GHz and 16 SMs = 2048 dense INT8 per SM,
/// FP16 half, TF32 half of that (published FP32 engines take 2.06 to 2.09 times as long as FP16).
/// Turing, Ada and Hopper: NVIDIA's architecture white papers, dense.
/// Maxwell and Pascal of Tegra: FP16 at twice FP32, no INT8 dot product.
fn rates(arch: GpuArch, cuda_cores: f64) -> Result<GpuRates, &'static str> {
    match arch {
        GpuArch::Maxwell | GpuArch::Pascal => Ok(GpuRates {
            fp32: cuda_cores,
            matrix_fp32: cuda_cores,
            fp16: 2.0 * cuda_cores,
            int8: None,
        }),
        GpuArch::Volta | GpuArch::Turing => Ok(GpuRates {
            fp32: cuda_cores,
            matrix_fp32: cuda_cores,
            fp16: 512.0,
            int8: Some(1024.0),
        }),
        GpuArch::Ada => Ok(GpuRates {
            fp32: cuda_cores,
            matrix_fp32: 256.0,
            fp16: 512.0,
            int8: Some(1024.0),
        }),
        GpuArch::Hopper => Ok(GpuRates {
            fp32: cuda_cores,
            matrix_fp32: 1024.0,
            fp16: 2048.0,
            int8: Some(4096.0),
        }),
        GpuArch::Ampere => Ok(GpuRates {
            fp32: cuda_cores,
            matrix_fp32: 512.0,
            fp16: 1024.0,
            int8: Some(2048.0),
        }),
        GpuArch::Blackwell => Err("no measurement of this GPU generation is known"),
    }
}

/// How numbers are stored and multiplied in one kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Fp32,
    Fp16,
    Int8,
}

impl Number {
    fn bytes(self) -> f64 {
        match self {
            Self::Fp32 => 4.0,
            Self::Fp16 => 2.0,
            Self::Int8 => 1.0,
        }
    }
}

/// The physics of one target under one engine config.
#[derive(Clone, Debug)]
pub(crate) struct CostModel {
    params: Parameters,
    precision: Precision,
    /// Of the network's inputs and outputs.
    io: IoFormats,
    /// Whether this TensorRT runs the Identity nodes that hand stored weights on
    /// ([`TensorRt::copies_weights`]).
    ///
    /// [`TensorRt::copies_weights`]: crate::platform::TensorRt::copies_weights
    copies_weights: bool,
    /// Images per inference.
    batch: f64,
    rates: GpuRates,
    sms: f64,
    /// GPU cycles per ms.
    gpu_clock: f64,
    /// DRAM bytes per ms.
    dram: f64,
    dla: Option<Dla>,
    /// Time the host takes to hand kernels over, as a share of the GPU's time for them.
    host_share: f64,
}

#[derive(Clone, Copy, Debug)]
struct Dla {
    spec: DlaSpec,
    /// Cycles per ms.
    clock: f64,
    /// A core's bytes of SRAM.
    sram: f64,
}

impl CostModel {
    /// The model, or why there is none for this target.
    pub fn new(
        target: &Target,
        config: &EngineConfig,
        mut params: Parameters,
    ) -> Result<Self, &'static str> {
        if config.precision.int8
            && let Some(own) = params.gpu_int8.take()
        {
            params.gpu = own;
        }
        let gpu = &target.board.gpu;
        let rates = rates(gpu.arch, f64::from(gpu.cuda_cores_per_sm))?;
        if config.precision.int8 && rates.int8.is_none() {
            return Err("this GPU has no INT8 arithmetic; choose FP16");
        }
        let clock = target.mode.dla_core_mhz(config.dla_core) * 1e3;
        Ok(Self {
            precision: config.precision,
            io: config.io,
            copies_weights: target.tensorrt.copies_weights(),
            batch: f64::from(config.batch),
            rates,
            sms: f64::from(target.mode.sms),
            gpu_clock: target.mode.gpu_mhz * 1e3,
            dram: target.mode.dram_gbs * 1e6,
            dla: target.board.dla.filter(|_| clock > 0.0).map(|spec| Dla {
                spec,
                clock,
                sram: spec.sram_bytes as f64
                    / f64::from(if spec.sram_shared { spec.cores } else { 1 }),
            }),
            host_share: 0.0,
            params,
        })
    }

    /// The same for an engine that takes `gpu_ms` for so many kernels: where the host needs longer to
    /// hand them over, they all wait for it.
    #[must_use]
    pub fn beside_host(mut self, gpu_ms: f64, kernels: f64) -> Self {
        self.host_share = self.host_share_of(gpu_ms, kernels);
        self
    }

    /// [`Self::host_share`] of such an engine.
    pub fn host_share_of(&self, gpu_ms: f64, kernels: f64) -> f64 {
        if gpu_ms > 0.0 {
            kernels * self.params.gpu.host_us * 1e-3 / gpu_ms
        } else {
            0.0
        }
    }

    /// Time the host takes to hand kernels over, as a share of the GPU's time for them; 0 where that is
    /// not known.
    pub fn host_share(&self) -> f64 {
        self.host_share
    }

    /// The same with the DLA's clock scaled, for rows measured at another clock.
    #[must_use]
    pub fn with_dla_clock(mut self, scale: f64) -> Self {
        if let Some(dla) = &mut self.dla {
            dla.clock *= scale;
        }
        self
    }

    /// DRAM bytes per ms at the data sheet's rate.
    pub fn dram(&self) -> f64 {
        self.dram
    }

    /// The parameters in force.
    pub fn params(&self) -> &Parameters {
        &self.params
    }

    /// What a GPU kernel computes in: INT8 where a kernel for it exists, else what the engine's
    /// flags leave (INT8 alone does not imply FP16).
    fn gpu_number(&self, int8: bool) -> Number {
        if self.precision.int8 && int8 {
            Number::Int8
        } else if self.precision.fp16 {
            Number::Fp16
        } else {
            Number::Fp32
        }
    }

    fn dla_number(&self) -> Number {
        if self.precision.int8 {
            Number::Int8
        } else {
            Number::Fp16
        }
    }

    /// Bytes a GPU kernel moves to and from DRAM.
    pub fn gpu_bytes(&self, parts: &[Work]) -> f64 {
        let Some(first) = parts.first() else {
            return 0.0;
        };
        if first.main == Main::Free {
            return 0.0;
        }
        let number = self.gpu_number(parts.iter().all(|w| w.int8));
        let bytes = match first.main {
            Main::Pointwise => number.bytes().max(POINTWISE_BYTES),
            _ => number.bytes(),
        };
        let rest: f64 = parts
            .iter()
            .map(|w| w.residual + w.weights + w.output)
            .sum();
        (first.input + rest) * bytes
    }

    /// One kernel made of equal convolutions (or a single part), as part of an engine.
    pub fn gpu_ms(&self, parts: &[Work]) -> f64 {
        let p = &self.params.gpu;
        let gaps = self.kernels(parts) * (p.gap_cycles / self.gpu_clock + p.launch_us * 1e-3);
        let copies = self.weight_copies(parts) * p.stream_cycles / self.gpu_clock;
        paced(self.kernel_ms(parts) + copies + gaps, self.host_share)
    }

    /// Kernels that hand stored weights on.
    fn weight_copies(&self, parts: &[Work]) -> f64 {
        if self.copies_weights {
            parts.iter().map(|w| w.weight_copies).sum()
        } else {
            0.0
        }
    }

    /// Kernels that the host hands over for it.
    pub fn kernels(&self, parts: &[Work]) -> f64 {
        let own = match parts.first().map(|w| w.main) {
            None | Some(Main::Free) => return self.weight_copies(parts),
            Some(Main::Copy { kernels }) => kernels,
            Some(Main::Pointwise) if parts.iter().all(|w| w.gate) => self.params.gpu.gate_share,
            Some(_) => 1.0,
        };
        let image = if self.image_ms(parts) > 0.0 { 1.0 } else { 0.0 };
        own + image + self.weight_copies(parts)
    }

    /// The kernel that converts an image which enters the engine here.
    fn image_ms(&self, parts: &[Work]) -> f64 {
        let p = &self.params.gpu;
        let number = self.gpu_number(parts.iter().all(|w| w.int8));
        match parts.first() {
            Some(first) if first.image > 0.0 && p.image_passes > 0.0 && number != Number::Fp32 => {
                let bytes = first.image * (Number::Fp32.bytes() + number.bytes());
                p.stream_cycles / self.gpu_clock
                    + p.image_passes * bytes / (self.dram * p.bandwidth)
            }
            _ => 0.0,
        }
    }

    /// The same as a layer profile shows it: without the gap to the next kernel.
    pub fn kernel_ms(&self, parts: &[Work]) -> f64 {
        let Some(first) = parts.first() else {
            return 0.0;
        };
        let p = &self.params.gpu;
        let number = self.gpu_number(parts.iter().all(|w| w.int8));
        let memory = self.gpu_bytes(parts) / (self.dram * p.bandwidth);
        let ms = |cycles: f64| cycles / self.gpu_clock;
        let main = match first.main {
            Main::Free => return 0.0,
            Main::Conv(d) | Main::Deconv(d)
                if d.groups > 1.0 && d.c / d.groups < TENSOR_CORE_CHANNELS =>
            {
                let rate = self.rates.fp32 * self.sms * p.depthwise_efficiency;
                ms(p.depthwise_cycles) + ms(first.macs / rate).max(memory)
            }
            Main::Conv(d) => {
                let kernels: f64 = parts.iter().map(columns).sum();
                let math = self.matrix_cycles(
                    d.groups,
                    d.p * d.q * d.batch,
                    kernels / d.groups,
                    (d.c / d.groups).max(p.input_channels) * d.r * d.s,
                    number,
                );
                let walk = if d.c <= IMAGE_CHANNELS {
                    p.window_cycles * d.r * d.s
                } else {
                    0.0
                };
                ms(p.matrix_cycles) + ms(math.max(walk)).max(memory)
            }
            Main::Deconv(d) => {
                let math = self.matrix_cycles(
                    d.groups,
                    d.h * d.w * d.batch,
                    d.k / d.groups * d.r * d.s,
                    d.c / d.groups,
                    number,
                );
                ms(p.matrix_cycles) + ms(math).max(memory)
            }
            Main::MatMul { m, n, k, count } => {
                let math = self.matrix_cycles(1.0, m * count, n, k, number);
                ms(p.matrix_cycles) + ms(math).max(memory)
            }
            Main::Pool { .. } => ms(p.stream_cycles) + memory * p.pool_passes,
            Main::Lrn => ms(p.stream_cycles) + memory * p.lrn_passes,
            Main::Pointwise if first.gate => p.gate_share * (ms(p.stream_cycles) + memory),
            Main::Pointwise => ms(p.stream_cycles) + memory,
            Main::Reduction => ms(p.stream_cycles) + 2.0 * memory,
            Main::Copy { kernels } => ms(p.copy_cycles) * kernels + memory,
        };
        main + self.image_ms(parts)
    }

    /// Cycles of so many `m x n` products over `k` on all SMs: whole tiles, whole waves, the best tile.
    fn matrix_cycles(&self, products: f64, m: f64, n: f64, k: f64, number: Number) -> f64 {
        let p = &self.params.gpu;
        let rate = match number {
            Number::Fp32 => self.rates.matrix_fp32,
            Number::Fp16 => self.rates.fp16,
            Number::Int8 => self.rates.int8.unwrap_or(self.rates.matrix_fp32),
        };
        let depth = (k / TILE_DEPTH).ceil() * TILE_DEPTH;
        TILES
            .iter()
            .map(|(rows, columns)| {
                let tiles = products * (m / rows).ceil() * (n / columns).ceil();
                let waves = (tiles / self.sms).ceil();
                let area = rows * columns;
                let efficiency = (p.tile_efficiency * (area / 4096.0).powf(p.tile_growth)).min(1.0);
                let lone = if tiles <= self.sms {
                    p.lone_tile * (tiles / self.sms).powf(p.split_gain)
                } else {
                    1.0
                };
                waves * area * depth / (rate * efficiency) * lone + (waves - 1.0) * p.wave_cycles
            })
            .fold(f64::INFINITY, f64::min)
    }

    /// Bytes one DLA layer moves to and from DRAM: its weights, and of each activation what does
    /// not fit the core's SRAM.
    pub fn dla_bytes(&self, work: &Work) -> f64 {
        let Some(dla) = self.dla.filter(|_| work.main != Main::Free) else {
            return 0.0;
        };
        let bytes = self.dla_number().bytes();
        // A core takes the images of a batch one after the other.
        let over = |elems: f64| (elems * bytes - dla.sram * self.batch).max(0.0);
        work.weights * bytes + over(work.input) + over(work.residual) + over(work.output)
    }

    /// One DLA layer; infinite where the target has no DLA.
    pub fn dla_ms(&self, work: &Work) -> f64 {
        let Some(dla) = &self.dla else {
            return f64::INFINITY;
        };
        let p = &self.params.dla;
        let number = self.dla_number();
        let ms = |cycles: f64| cycles / dla.clock;
        // A core takes the images of a batch one after the other: published times per image are the
        // same from batch 1 to 16.
        let start = ms(p.layer_cycles * self.batch);
        let bandwidth = (p.bytes_per_cycle * dla.clock).min(p.dram_share * self.dram);
        let memory = self.dla_bytes(work) / bandwidth;
        let plane = |elems: f64| ms(elems * number.bytes() / p.plane_bytes_per_cycle);
        match work.main {
            Main::Free => 0.0,
            Main::Copy { .. } if work.macs == 0.0 => start + memory,
            Main::Conv(d) | Main::Deconv(d) => {
                let cycles = conv_cycles(&d, &dla.spec, number, p);
                start + ms(cycles).max(memory)
            }
            Main::MatMul { .. } => {
                let rate = dla.spec.int8_macs_per_clock as f64 * p.int8_efficiency;
                start + ms(work.macs / rate).max(memory)
            }
            Main::Pool { .. } | Main::Lrn => start + plane(work.input.max(work.output)).max(memory),
            Main::Pointwise | Main::Reduction | Main::Copy { .. } => start + memory,
        }
    }

    /// Submitting one DLA subgraph.
    pub fn submit_ms(&self) -> f64 {
        self.params.transition.submit_ms
    }

    /// Moving a tensor of `elems` elements into (`to` the DLA) or out of a DLA subgraph.
    /// `boundary`: from or to the caller, in the format that the engine has there; nothing where
    /// the DLA takes that one itself.
    pub fn transition_ms(&self, elems: f64, to: Device, boundary: bool) -> f64 {
        let p = &self.params.transition;
        let inner = self.dla_number().bytes();
        let outer = if boundary {
            let format = match to {
                Device::Dla => self.io.input,
                Device::Gpu => self.io.output,
            };
            if format.is_dlas_own(self.precision) {
                return 0.0;
            }
            f64::from(format.element().bytes())
        } else {
            inner
        };
        let moved = elems * (inner + outer) / (self.dram * p.reformat_bandwidth);
        let fixed = p.reformat_cycles / self.gpu_clock;
        let int8 = if self.precision.int8 && !boundary && to == Device::Dla {
            p.int8_entry_ms * (elems / INT8_ENTRY_ELEMENTS).min(1.0)
        } else {
            0.0
        };
        fixed + moved + int8
    }
}

/// Time of GPU work of `gpu_ms` beside a host that takes this share of it.
pub(crate) fn paced(gpu_ms: f64, host_share: f64) -> f64 {
    if host_share > 0.0 {
        gpu_ms * (1.0 + host_share.powf(HOST_EDGE)).powf(HOST_EDGE.recip())
    } else {
        gpu_ms
    }
}

fn columns(work: &Work) -> f64 {
    match work.main {
        Main::Conv(d) => d.k,
        _ => 0.0,
    }
}

/// Cycles of a convolution on one DLA core, after NVDLA: the array takes [`DLA_CHANNELS`] channels
/// and a group of kernels per clock for each output pixel, in stripes of [`STRIPE`] pixels; a
/// first layer of few channels folds the stride into channels.
fn conv_cycles(
    d: &ConvDims,
    spec: &DlaSpec,
    number: Number,
    p: &super::params::DlaParameters,
) -> f64 {
    let orin = spec.generation == DlaGeneration::V2;
    let int8 = number == Number::Int8;
    let (peak, efficiency) = match (int8, orin) {
        (true, _) => (f64::from(spec.int8_macs_per_clock), p.int8_efficiency),
        (false, false) => (
            f64::from(
                spec.fp16_macs_per_clock
                    .unwrap_or(spec.int8_macs_per_clock / 2),
            ),
            p.fp16_efficiency,
        ),
        // Orin's FP16 path is a separate, slower one; its share of the INT8 peak is fitted.
        (false, true) => (f64::from(spec.int8_macs_per_clock), p.fp16_efficiency),
    };
    let pixels = d.p * (d.q / STRIPE).ceil() * STRIPE * d.batch;
    let dense = d.groups == 1.0;
    let channels = d.c / d.groups;
    if channels <= IMAGE_CHANNELS && dense {
        let fold = d.stride_h * d.stride_w;
        let folded = (d.c * fold / 16.0).ceil() * 16.0;
        let macs = folded * d.k * pixels * d.r * d.s / fold;
        return macs / (peak * efficiency * p.image_efficiency);
    }
    let width = match (int8, orin) {
        (true, true) if dense => ORIN_INT8_CHANNELS,
        (true, _) if dense => DLA_CHANNELS,
        _ => DLA_CHANNELS / 2.0,
    };
    let small = dense && (d.r, d.s, d.stride_h, d.stride_w) == (3.0, 3.0, 1.0, 1.0);
    // Xavier's INT8 engines show no gain over the other kernels.
    let gains = !int8 || (orin && channels >= ORIN_INT8_CHANNELS);
    let winograd = if small && gains { p.winograd } else { 1.0 };
    let channels = (channels / width).ceil() * width;
    channels * d.k * d.r * d.s * pixels / (peak * efficiency * winograd)
}
