//! The boards. Sources are named per field group in the tables below.

/// GPU architecture of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "NVIDIA's names")]
pub enum GpuArch {
    Maxwell,
    Pascal,
    Volta,
    Ampere,
    Blackwell,
}

/// The GPU of a board; clocks are in [`PowerMode`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpuSpec {
    /// Architecture.
    pub arch: GpuArch,
    /// Streaming multiprocessors with every TPC on.
    pub sms: u32,
    /// CUDA cores per SM.
    pub cuda_cores_per_sm: u32,
    /// Tensor cores per SM.
    pub tensor_cores_per_sm: u32,
    /// Level-2 cache, bytes.
    pub l2_bytes: u64,
}

/// Generation of the DLA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DlaGeneration {
    /// Xavier.
    V1,
    /// Orin.
    V2,
}

/// The DLAs of a board.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DlaSpec {
    /// Generation.
    pub generation: DlaGeneration,
    /// How many cores.
    pub cores: u32,
    /// Multiply-accumulates per clock and core, INT8 dense.
    pub int8_macs_per_clock: u32,
    /// Multiply-accumulates per clock and core, FP16.
    pub fp16_macs_per_clock: u32,
    /// Convolution buffer per core, bytes.
    pub conv_buffer_bytes: u64,
    /// SRAM per core (Orin) or shared by all (Xavier), bytes.
    pub sram_bytes: u64,
}

/// One nvpmodel mode. Clocks in MHz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerMode {
    /// nvpmodel's name.
    pub name: &'static str,
    /// GPU clock.
    pub gpu_mhz: f64,
    /// SMs switched on.
    pub sms: u32,
    /// DLA core clock; 0 without a DLA.
    pub dla_mhz: f64,
    /// DRAM bandwidth in GB/s (10^9 bytes) at this mode's memory clock.
    pub dram_gbs: f64,
}

/// A Jetson board.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Board {
    /// Name in files and on the command line (`xavier-nx`).
    pub id: &'static str,
    /// Name on screen.
    pub name: &'static str,
    /// GPU.
    pub gpu: GpuSpec,
    /// DLAs; `None` is a board without any.
    pub dla: Option<DlaSpec>,
    /// Power modes, the default first.
    pub modes: &'static [PowerMode],
    /// TensorRT versions its JetPacks ship, the default first.
    pub tensorrt: &'static [super::TensorRt],
    /// Where the figures come from.
    pub source: &'static str,
}

/// All boards, the default (Xavier NX) first.
pub fn boards() -> &'static [Board] {
    &[]
}
