//! TensorRT versions: what each one's DLA support and trtexec dialect are.

use std::fmt;
use std::str::FromStr;

/// A TensorRT version dlaplan knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorRt {
    /// JetPack 4.4 and 4.5.
    V7_1,
    /// JetPack 4.6.
    V8_0,
    /// JetPack 4.6.1 and later: the last one for Nano and TX2.
    V8_2,
    /// JetPack 5.0: the first one for Orin.
    V8_4,
    /// JetPack 5.1: the last one for Xavier.
    V8_5,
    /// JetPack 6.0.
    V8_6,
    /// JetPack 6.1 and 6.2.
    V10_3,
    /// The last 10.x with DLA; installed over JetPack 6's own.
    V10_7,
    /// JetPack 7.2.
    V11_4,
}

/// What a version's trtexec accepts about placement and precision.
///
/// Source: `samples/common/sampleOptions.cpp` of the tagged sources, and trtexec's help of 11.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Has `--layerDeviceTypes` at all (since 8.6).
    pub layer_device_types: bool,
    /// Takes one `*` in a layer name (since 10.0).
    pub wildcard: bool,
    /// Has `--fp16`, `--int8` and kin (gone in 11).
    pub precision_flags: bool,
    /// `--skipInference` (8.6 and later); earlier versions call it `--buildOnly`.
    pub skip_inference: bool,
    /// Has `--buildDLAStandalone` (since 8.6).
    pub build_dla_standalone: bool,
    /// Prints a list of percentiles and takes one (since 8.5); earlier versions print one.
    pub percentiles: bool,
    /// Takes ONNX files only with `--explicitBatch` (before 8.0).
    pub explicit_batch: bool,
    /// Gives layers 16 MiB of scratch memory unless told otherwise (before 8.4).
    pub little_workspace: bool,
}

/// Whether TensorRT of a version drives the DLA of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DlaSupport {
    /// It does, with this many cores.
    Cores(u32),
    /// It does not, and why.
    None(String),
}

impl DlaSupport {
    /// Cores that can be used; 0 without support.
    pub fn cores(&self) -> u32 {
        match self {
            Self::Cores(n) => *n,
            Self::None(_) => 0,
        }
    }
}

/// A version dlaplan does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TensorRT {0:?} is not one of {list}", list = TensorRt::list(&TensorRt::ALL))]
pub struct UnknownTensorRt(pub String);

impl TensorRt {
    /// All versions, oldest first.
    pub const ALL: [Self; 9] = [
        Self::V7_1,
        Self::V8_0,
        Self::V8_2,
        Self::V8_4,
        Self::V8_5,
        Self::V8_6,
        Self::V10_3,
        Self::V10_7,
        Self::V11_4,
    ];

    /// `8.5` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V7_1 => "7.1",
            Self::V8_0 => "8.0",
            Self::V8_2 => "8.2",
            Self::V8_4 => "8.4",
            Self::V8_5 => "8.5",
            Self::V8_6 => "8.6",
            Self::V10_3 => "10.3",
            Self::V10_7 => "10.7",
            Self::V11_4 => "11.4",
        }
    }

    /// The JetPacks that ship it.
    pub fn jetpack(self) -> &'static str {
        match self {
            Self::V7_1 => "JetPack 4.4-4.5",
            Self::V8_0 => "JetPack 4.6",
            Self::V8_2 => "JetPack 4.6.1",
            Self::V8_4 => "JetPack 5.0",
            Self::V8_5 => "JetPack 5.1",
            Self::V8_6 => "JetPack 6.0",
            Self::V10_3 => "JetPack 6.1-6.2",
            Self::V10_7 => "JetPack 6 with TensorRT 10.7 installed",
            Self::V11_4 => "JetPack 7.2.2",
        }
    }

    /// What its trtexec accepts.
    pub fn dialect(self) -> Dialect {
        Dialect {
            layer_device_types: self >= Self::V8_6,
            wildcard: self >= Self::V10_3,
            precision_flags: self < Self::V11_4,
            skip_inference: self >= Self::V8_6,
            build_dla_standalone: self >= Self::V8_6,
            percentiles: self >= Self::V8_5,
            explicit_batch: self < Self::V8_0,
            little_workspace: self < Self::V8_4,
        }
    }

    /// Networks are strongly typed only: no precision flags, types come from the ONNX file.
    pub fn strongly_typed(self) -> bool {
        self >= Self::V11_4
    }

    /// Whether it runs an Identity node that hands a stored weight on as a kernel of every inference: an
    /// H100's profiles of 8.5.2 show each of 221 in four networks (`docs/measured.md`). Of other versions
    /// nobody measured it: they are taken not to.
    pub fn copies_weights(self) -> bool {
        self == Self::V8_5
    }

    /// Highest ONNX opset its parser documents: `docs/operators.md` of onnx-tensorrt 7.1, 8.0, 8.2,
    /// 8.4, 8.5, 8.6 and 10.0 (whose figure stands for 10.3 and 10.7), NVIDIA's opset guide for 11.x.
    pub fn max_opset(self) -> i64 {
        match self {
            Self::V7_1 => 11,
            Self::V8_0 | Self::V8_2 => 13,
            Self::V8_4 | Self::V8_5 | Self::V8_6 => 17,
            Self::V10_3 | Self::V10_7 => 20,
            Self::V11_4 => 25,
        }
    }

    /// Loadables a DLA core holds at a time; each DLA subgraph is one, those of all engines
    /// loaded on the core together. Documented as 16 since 8.5. Build logs of TensorRT 7 say 8
    /// ("DLA supports only 8 subgraphs per DLA core"), and nothing public says more for 8.0 to 8.4.
    pub fn max_loadables(self) -> u32 {
        if self < Self::V8_5 { 8 } else { 16 }
    }

    /// Loadables of all engines that may be in use together, where the guide states fewer than
    /// [`Self::max_loadables`]: the 8.4 guide says four.
    pub fn max_loadables_together(self) -> u32 {
        match self {
            Self::V8_4 => 4,
            _ => self.max_loadables(),
        }
    }

    /// What dlaplan does not know of this version's DLA, for people; `None` where its rules are as
    /// well documented as those of 8.5.
    pub fn not_modelled(self) -> Option<&'static str> {
        match self {
            Self::V7_1 | Self::V8_0 | Self::V8_2 => Some(
                "the limits in NvInfer.h and in public build logs are modelled, and its guide to \
                 the DLA is not modelled",
            ),
            Self::V8_4 => Some(
                "the limits in NvInfer.h and in a translation of its guide are modelled, and what \
                 its DLA compiler adds is not modelled",
            ),
            _ => None,
        }
    }

    /// `8.5, 8.6 or 10.3`-style list for messages.
    pub(crate) fn list(versions: &[Self]) -> String {
        let names: Vec<&str> = versions.iter().map(|v| v.as_str()).collect();
        names.join(", ")
    }
}

impl fmt::Display for TensorRt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TensorRt {
    type Err = UnknownTensorRt;

    /// Takes `8.5` and longer forms such as `8.5.2` or `8.5.2.2`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|v| {
                s.strip_prefix(v.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
            .ok_or_else(|| UnknownTensorRt(s.to_owned()))
    }
}
