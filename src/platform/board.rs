//! The boards: what NVIDIA built, and the power modes nvpmodel offers.
//!
//! Sources, named by letter in [`Board::source`]:
//! - N: NVIDIA's nvpmodel files (`nvpmodel_t194.conf`, `nvpmodel_t194_p3668.conf`,
//!   `nvpmodel_p3701_*.conf`, `nvpmodel_p3767_*.conf`, `nvpmodel_t186.conf`,
//!   `nvpmodel_t210_jetson-nano.conf`) as republished by LineageOS and others;
//! - U: Ultralytics' Jetson comparison tables; S: Seeed's Jetson module tables;
//! - B: NVIDIA-AI-IOT/jetson_benchmarks; D: NVIDIA/Deep-Learning-Accelerator-SW;
//! - G: deviceQuery and timings of branes-ai/graphs; Q: a published deviceQuery of Orin NX;
//! - M: MLPerf system descriptions; T: TensorRT's documentation.

use crate::platform::TensorRt::{V7_1, V8_0, V8_2, V8_4, V8_5, V8_6, V10_3, V10_7, V11_4};
use crate::platform::{DlaSupport, TensorRt};

/// GPU architecture of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "NVIDIA's names")]
pub enum GpuArch {
    Maxwell,
    Pascal,
    Volta,
    Turing,
    /// That of A100 and Orin.
    Ampere,
    /// Ada, and the Ampere of graphics boards, whose SMs compute matrices at the same rates.
    Ada,
    Hopper,
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
    /// Tensor cores of all SMs; 0 before Volta.
    pub tensor_cores: u32,
    /// Level-2 cache in bytes, where a source states it.
    pub l2_bytes: Option<u64>,
}

impl GpuSpec {
    /// CUDA cores with every TPC on.
    pub fn cuda_cores(&self) -> u32 {
        self.sms * self.cuda_cores_per_sm
    }
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
    /// Multiply-accumulates per clock and core, FP16. `None` on Orin, where FP16 runs on a
    /// slower path without a published rate.
    pub fp16_macs_per_clock: Option<u32>,
    /// Convolution buffer per core, bytes; 512 KB in NVDLA's nv_full configuration, which
    /// Xavier's DLA is alike. No source states Orin's.
    pub conv_buffer_bytes: Option<u64>,
    /// SRAM in bytes: per core on Orin, shared by two DLAs and two PVAs on Xavier.
    pub sram_bytes: u64,
    /// Whether all cores share [`Self::sram_bytes`].
    pub sram_shared: bool,
}

/// One nvpmodel mode. Clocks in MHz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerMode {
    /// Short name, used in files and on the command line (`15W`).
    pub name: &'static str,
    /// The nvpmodel modes behind it; they differ in CPU cores only.
    pub nvpmodel: &'static [&'static str],
    /// GPU clock.
    pub gpu_mhz: f64,
    /// SMs switched on.
    pub sms: u32,
    /// DLA core clock (core 0); 0 without a DLA.
    pub dla_mhz: f64,
    /// Clock of DLA core 1, which Orin NX slows down in some modes.
    pub dla1_mhz: f64,
    /// Memory (EMC) clock.
    pub emc_mhz: f64,
    /// DRAM bandwidth in GB/s (10^9 bytes): EMC clock x 2 transfers x bus width / 8 / 1000.
    pub dram_gbs: f64,
    /// The TensorRT version whose JetPack brought the mode, where the board had others before:
    /// the "Super" modes came with JetPack 6.2, Xavier NX's 20W with JetPack 4.6.
    pub since: Option<TensorRt>,
    /// What about these clocks no opened source confirms.
    pub unconfirmed: Option<&'static str>,
}

impl PowerMode {
    /// Clock of one DLA core; 0 without a DLA.
    pub fn dla_core_mhz(&self, core: u32) -> f64 {
        if core == 0 {
            self.dla_mhz
        } else {
            self.dla1_mhz
        }
    }
}

/// A Jetson board.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Board {
    /// Name in files and on the command line (`xavier-nx`).
    pub id: &'static str,
    /// Name on screen.
    pub name: &'static str,
    /// Memory in GB (2^30 bytes), shared by CPU, GPU and DLA: that of the largest module NVIDIA
    /// sells under the name.
    pub memory_gb: u32,
    /// GPU.
    pub gpu: GpuSpec,
    /// DLAs; `None` is a board without any.
    pub dla: Option<DlaSpec>,
    /// Power modes, dlaplan's default first: the one most published figures of the board were
    /// taken in. It is not always nvpmodel's, which on Xavier is a desktop mode with a slow DLA.
    pub modes: &'static [PowerMode],
    /// TensorRT versions its JetPacks ship or take, the default first.
    pub tensorrt: &'static [TensorRt],
    /// Where the figures come from.
    pub source: &'static str,
}

impl Board {
    /// Whether a TensorRT version drives its DLAs, by NVIDIA's "Working with DLA" page and
    /// release notes: none in 11.0-11.3; 11.4.1 on AGX Orin only; Xavier ended with JetPack 5, and
    /// JetPack 5.0 knew AGX Orin alone of the Orins.
    pub fn dla_support(&self, version: TensorRt) -> DlaSupport {
        let Some(dla) = self.dla else {
            return DlaSupport::None(format!("{} has no DLA", self.name));
        };
        let xavier = dla.generation == DlaGeneration::V1;
        match version {
            V8_5 => DlaSupport::Cores(dla.cores),
            V7_1 | V8_0 | V8_2 if xavier => DlaSupport::Cores(dla.cores),
            V8_4 if xavier || self.id.starts_with("agx-orin") => DlaSupport::Cores(dla.cores),
            V7_1 | V8_0 | V8_2 | V8_4 => DlaSupport::None(format!(
                "{} came after TensorRT {version}; it needs 8.5 or later",
                self.name
            )),
            V8_6 | V10_3 | V10_7 if !xavier => DlaSupport::Cores(dla.cores),
            V8_6 | V10_3 | V10_7 => DlaSupport::None(format!(
                "TensorRT {version} dropped Xavier; JetPack 5.1 with TensorRT 8.5 is its last"
            )),
            V11_4 if self.id.starts_with("agx-orin") => DlaSupport::Cores(dla.cores),
            V11_4 => DlaSupport::None(format!(
                "TensorRT 11.4 drives the DLA of AGX Orin only; {} needs {}",
                self.name,
                if xavier { "8.5" } else { "10.7 or earlier" }
            )),
        }
    }

    /// A power mode by its name or one of nvpmodel's, in any case.
    pub fn mode(&self, name: &str) -> Option<&'static PowerMode> {
        self.modes.iter().find(|m| {
            m.name.eq_ignore_ascii_case(name)
                || m.nvpmodel.iter().any(|n| n.eq_ignore_ascii_case(name))
        })
    }

    /// The clocks of its DLA cores in a mode, MHz, for people: one where all have it (`614`,
    /// `614 and 115`); `None` on a board without any.
    pub fn dla_clocks(&self, mode: &PowerMode) -> Option<String> {
        let mut clocks: Vec<f64> = (0..self.dla_cores())
            .map(|c| mode.dla_core_mhz(c))
            .collect();
        clocks.dedup();
        let clocks: Vec<String> = clocks.iter().map(|mhz| format!("{mhz:.0}")).collect();
        (!clocks.is_empty()).then(|| clocks.join(" and "))
    }

    /// DLA cores; 0 on a board without any.
    pub fn dla_cores(&self) -> u32 {
        self.dla.map_or(0, |d| d.cores)
    }
}

impl DlaSpec {
    /// Dense INT8 TOPS of one core at a clock: 2 operations per multiply-accumulate.
    pub fn int8_tops(&self, mhz: f64) -> f64 {
        f64::from(self.int8_macs_per_clock) * 2.0 * mhz * 1e6 / 1e12
    }

    /// FP16 TFLOPS of one core at a clock, where the rate is known.
    pub fn fp16_tflops(&self, mhz: f64) -> Option<f64> {
        Some(f64::from(self.fp16_macs_per_clock?) * 2.0 * mhz * 1e6 / 1e12)
    }
}

/// The boards dlaplan has its own figures of, the default (Xavier NX) first.
pub(super) fn built_in() -> &'static [Board] {
    &BOARDS
}

/// GB/s of a double-data-rate memory: MHz x 2 x bits / 8 / 1000.
const fn dram_gbs(emc_mhz: f64, bus_bits: u32) -> f64 {
    emc_mhz * 2.0 * (bus_bits as f64) / 8.0 / 1000.0
}

/// A mode of a board whose memory bus is `BUS` bits wide.
const fn mode<const BUS: u32>(
    name: &'static str,
    nvpmodel: &'static [&'static str],
    gpu_mhz: f64,
    sms: u32,
    dla_mhz: f64,
    emc_mhz: f64,
) -> PowerMode {
    PowerMode {
        name,
        nvpmodel,
        gpu_mhz,
        sms,
        dla_mhz,
        dla1_mhz: dla_mhz,
        emc_mhz,
        dram_gbs: dram_gbs(emc_mhz, BUS),
        since: None,
        unconfirmed: None,
    }
}

impl PowerMode {
    const fn dla1(mut self, mhz: f64) -> Self {
        self.dla1_mhz = mhz;
        self
    }

    const fn since(mut self, version: TensorRt) -> Self {
        self.since = Some(version);
        self
    }

    const fn with_jetpack_6_2(self) -> Self {
        self.since(V10_3)
    }

    const fn unconfirmed(mut self, what: &'static str) -> Self {
        self.unconfirmed = Some(what);
        self
    }
}

/// NVDLA nv_full: 2048 INT8 or 1024 FP16 MACs per clock, 512 KB buffer; 4 MiB SRAM shared by
/// both DLAs and both PVAs. "Up to 5 TOPS INT8, 2.5 TFLOPS FP16 each" agrees.
pub(super) const fn xavier_dla(cores: u32) -> DlaSpec {
    DlaSpec {
        generation: DlaGeneration::V1,
        cores,
        int8_macs_per_clock: 2048,
        fp16_macs_per_clock: Some(1024),
        conv_buffer_bytes: Some(512 * 1024),
        sram_bytes: 4 << 20,
        sram_shared: true,
    }
}

/// 105 sparse INT8 TOPS for two cores at 1600 MHz (source D) = 52.5 each = 26.25 dense = 8192
/// MACs x 2 x 1600 MHz; 92/90/40 TOPS of the lower modes scale with the clock.
pub(super) const fn orin_dla(cores: u32) -> DlaSpec {
    DlaSpec {
        generation: DlaGeneration::V2,
        cores,
        int8_macs_per_clock: 8192,
        fp16_macs_per_clock: None,
        conv_buffer_bytes: None,
        sram_bytes: 1 << 20,
        sram_shared: false,
    }
}

const fn gpu(
    arch: GpuArch,
    sms: u32,
    cuda_cores_per_sm: u32,
    tensor_cores: u32,
    l2_kib: Option<u64>,
) -> GpuSpec {
    GpuSpec {
        arch,
        sms,
        cuda_cores_per_sm,
        tensor_cores,
        l2_bytes: match l2_kib {
            Some(kib) => Some(kib * 1024),
            None => None,
        },
    }
}

/// TensorRT of Xavier: JetPack 4.4 to 4.6.1, 5.0 and 5.1, its last.
const XAVIER_TENSORRT: &[TensorRt] = &[V8_5, V8_4, V8_2, V8_0, V7_1];
/// TensorRT of Nano and TX2: JetPack 4 is their last.
const NANO_TENSORRT: &[TensorRt] = &[V8_2, V8_0, V7_1];
/// TensorRT of Orin with JetPack 5.1, 6.0, 6.1 and later.
const ORIN_TENSORRT: &[TensorRt] = &[V10_3, V10_7, V8_6, V8_5];
/// AGX Orin alone also had JetPack 5.0, and takes JetPack 7.2.2 with a DLA.
const AGX_ORIN_TENSORRT: &[TensorRt] = &[V10_3, V10_7, V8_6, V8_5, V8_4, V11_4];

#[rustfmt::skip]
static BOARDS: [Board; 11] = [
    Board {
        id: "xavier-nx",
        name: "Jetson Xavier NX",
        memory_gb: 16,
        gpu: gpu(GpuArch::Volta, 6, 64, 48, None),
        dla: Some(xavier_dla(2)),
        // 15W first: JetPack 4.5 of the published DLA benchmarks had nothing faster.
        modes: &[
            mode::<128>("15W", &["MODE_15W_2CORE", "MODE_15W_4CORE", "MODE_15W_6CORE"], 1109.25, 6, 1100.8, 1600.0),
            mode::<128>("20W", &["MODE_20W_2CORE", "MODE_20W_4CORE", "MODE_20W_6CORE"], 1109.25, 6, 1100.8, 1866.0).since(V8_0),
            mode::<128>("10W", &["MODE_10W_2CORE", "MODE_10W_4CORE"], 803.25, 6, 896.0, 1600.0),
            mode::<128>("10W_DESKTOP", &["MODE_10W_DESKTOP"], 510.0, 6, 896.0, 1600.0),
        ],
        tensorrt: XAVIER_TENSORRT,
        source: "U, S; modes N (t194_p3668)",
    },
    Board {
        id: "agx-xavier",
        name: "Jetson AGX Xavier",
        memory_gb: 64,
        gpu: gpu(GpuArch::Volta, 8, 64, 64, Some(512)),
        dla: Some(xavier_dla(2)),
        // The unlimited memory clock is worked out from 136.5 GB/s; the file does not print it.
        modes: &[
            mode::<256>("MAXN", &["MAXN"], 1377.0, 8, 1395.2, 2133.0),
            mode::<256>("30W", &["MODE_30W_ALL", "MODE_30W_6CORE", "MODE_30W_4CORE", "MODE_30W_2CORE"], 900.0, 8, 1050.0, 1600.0),
            mode::<256>("15W", &["MODE_15W"], 670.0, 8, 750.0, 1331.2),
            mode::<256>("15W_DESKTOP", &["MODE_15W_DESKTOP"], 670.0, 8, 115.2, 1331.2),
            mode::<256>("10W", &["MODE_10W"], 520.0, 4, 550.0, 1065.6),
        ],
        tensorrt: XAVIER_TENSORRT,
        source: "U, B; level-2 cache M; modes N (t194)",
    },
    Board {
        id: "orin-nx-8",
        name: "Jetson Orin NX 8GB",
        memory_gb: 8,
        gpu: gpu(GpuArch::Ampere, 8, 128, 32, Some(2048)),
        // One core (S), although the nvpmodel file sets clocks of two.
        dla: Some(orin_dla(1)),
        modes: &[
            mode::<128>("MAXN", &["MAXN"], 765.0, 8, 614.4, 3199.0),
            mode::<128>("20W", &["20W"], 408.0, 8, 614.4, 3199.0),
            mode::<128>("15W", &["15W"], 612.0, 4, 614.4, 3199.0),
            mode::<128>("10W", &["10W"], 612.0, 4, 153.6, 2133.0),
            mode::<128>("40W", &["40W"], 1173.0, 8, 1203.2, 3199.0).with_jetpack_6_2(),
            mode::<128>("MAXN_SUPER", &["MAXN_SUPER"], 1173.0, 8, 1230.0, 3199.0).with_jetpack_6_2()
                .unconfirmed("nvpmodel does not cap this mode; the clocks are Orin NX 16GB's"),
        ],
        tensorrt: ORIN_TENSORRT,
        source: "S; level-2 cache Q; modes N (p3767_0001, p3767_0001_super)",
    },
    Board {
        id: "orin-nx-16",
        name: "Jetson Orin NX 16GB",
        memory_gb: 16,
        gpu: gpu(GpuArch::Ampere, 8, 128, 32, Some(2048)),
        dla: Some(orin_dla(2)),
        modes: &[
            mode::<128>("MAXN", &["MAXN"], 918.0, 8, 614.4, 3199.0),
            mode::<128>("25W", &["25W"], 408.0, 8, 614.4, 3199.0),
            mode::<128>("15W", &["15W"], 612.0, 4, 614.4, 3199.0).dla1(115.0),
            mode::<128>("10W", &["10W"], 612.0, 4, 153.6, 2133.0).dla1(115.0),
            mode::<128>("40W", &["40W"], 1173.0, 8, 908.8, 3199.0).with_jetpack_6_2(),
            mode::<128>("MAXN_SUPER", &["MAXN_SUPER"], 1173.0, 8, 1230.0, 3199.0).with_jetpack_6_2(),
        ],
        tensorrt: ORIN_TENSORRT,
        source: "U, S; level-2 cache Q; modes N (p3767_0000, p3767_0000_super)",
    },
    Board {
        id: "agx-orin-32",
        name: "Jetson AGX Orin 32GB",
        memory_gb: 32,
        gpu: gpu(GpuArch::Ampere, 14, 128, 56, Some(4096)),
        dla: Some(orin_dla(2)),
        modes: &[
            mode::<256>("MAXN", &["MAXN"], 930.0, 14, 1400.0, 3199.0)
                .unconfirmed("nvpmodel does not cap this mode; 930 MHz GPU and 1400 MHz DLA come from no opened source"),
            mode::<256>("40W", &["MODE_40W"], 816.0, 14, 1228.8, 3199.0),
            mode::<256>("30W", &["MODE_30W"], 612.0, 8, 1369.6, 3199.0),
            mode::<256>("15W", &["MODE_15W"], 408.0, 6, 614.4, 2133.0),
        ],
        tensorrt: AGX_ORIN_TENSORRT,
        source: "S; modes N (p3701_0004)",
    },
    Board {
        id: "agx-orin-64",
        name: "Jetson AGX Orin 64GB",
        memory_gb: 64,
        gpu: gpu(GpuArch::Ampere, 16, 128, 64, Some(4096)),
        dla: Some(orin_dla(2)),
        modes: &[
            mode::<256>("MAXN", &["MAXN"], 1300.5, 16, 1600.0, 3199.0),
            mode::<256>("50W", &["MODE_50W"], 816.0, 16, 1369.6, 3199.0),
            mode::<256>("30W", &["MODE_30W"], 612.0, 8, 1369.6, 3199.0),
            mode::<256>("15W", &["MODE_15W"], 408.0, 6, 614.4, 2133.0),
        ],
        tensorrt: AGX_ORIN_TENSORRT,
        source: "U, D; MAXN clocks G; modes N (p3701_0000)",
    },
    Board {
        id: "orin-nano-8",
        name: "Jetson Orin Nano 8GB",
        memory_gb: 8,
        gpu: gpu(GpuArch::Ampere, 8, 128, 32, None),
        dla: None,
        // 15W is that of the Super file; the file before leaves the GPU at its 625 MHz.
        modes: &[
            mode::<128>("15W", &["15W"], 612.0, 8, 0.0, 2133.0),
            mode::<128>("7W", &["7W"], 408.0, 4, 0.0, 2133.0),
            mode::<128>("25W", &["25W"], 918.0, 8, 0.0, 3199.0).with_jetpack_6_2(),
            mode::<128>("MAXN_SUPER", &["MAXN_SUPER"], 1020.0, 8, 0.0, 3199.0).with_jetpack_6_2(),
        ],
        tensorrt: ORIN_TENSORRT,
        source: "U, S; modes N (p3767_0003, p3767_0003_super)",
    },
    Board {
        id: "orin-nano-4",
        name: "Jetson Orin Nano 4GB",
        memory_gb: 4,
        gpu: gpu(GpuArch::Ampere, 4, 128, 16, None),
        dla: None,
        modes: &[
            mode::<64>("10W", &["10W"], 625.0, 4, 0.0, 2133.0),
            mode::<64>("7W_AI", &["7W_AI"], 408.0, 4, 0.0, 2133.0),
            mode::<64>("7W_CPU", &["7W_CPU"], 306.0, 4, 0.0, 2133.0),
            mode::<64>("25W", &["25W"], 1020.0, 4, 0.0, 3199.0).with_jetpack_6_2(),
        ],
        tensorrt: ORIN_TENSORRT,
        source: "S; modes N (p3767_0004, p3767_0004_super)",
    },
    Board {
        id: "thor",
        name: "Jetson AGX Thor T5000",
        memory_gb: 128,
        gpu: gpu(GpuArch::Blackwell, 20, 128, 96, None),
        dla: None,
        modes: &[mode::<256>("MAXN", &["MAXN"], 1570.0, 20, 0.0, 4266.0)
            .unconfirmed("the memory clock is worked out from 273 GB/s; no nvpmodel file was opened")],
        tensorrt: &[V11_4],
        source: "U; no DLA: T",
    },
    Board {
        id: "tx2",
        name: "Jetson TX2",
        memory_gb: 8,
        gpu: gpu(GpuArch::Pascal, 2, 128, 0, None),
        dla: None,
        modes: &[
            mode::<128>("MAXN", &["MAXN"], 1300.5, 2, 0.0, 1866.0)
                .unconfirmed("the memory clock is worked out from 59.7 GB/s"),
            mode::<128>("MAXP", &["MAXP_CORE_ALL", "MAXP_CORE_ARM", "MAXP_CORE_DENVER"], 1120.0, 2, 0.0, 1600.0),
            mode::<128>("MAXQ", &["MAXQ"], 850.0, 2, 0.0, 1331.2),
        ],
        tensorrt: NANO_TENSORRT,
        source: "B; modes N (t186)",
    },
    Board {
        id: "nano",
        name: "Jetson Nano",
        memory_gb: 4,
        gpu: gpu(GpuArch::Maxwell, 1, 128, 0, None),
        dla: None,
        modes: &[
            mode::<64>("MAXN", &["MAXN"], 921.6, 1, 0.0, 1600.0),
            mode::<64>("5W", &["5W"], 640.0, 1, 0.0, 1600.0),
        ],
        tensorrt: NANO_TENSORRT,
        source: "U, B; modes N (t210_jetson-nano)",
    },
];
