//! TensorRT versions: what each one's DLA support and trtexec dialect are.

use std::fmt;
use std::str::FromStr;

/// A TensorRT version dlaplan knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorRt {
    /// JetPack 4.6, for the boards that never had a DLA nor a later JetPack.
    V8_2,
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
    pub const ALL: [Self; 6] = [
        Self::V8_2,
        Self::V8_5,
        Self::V8_6,
        Self::V10_3,
        Self::V10_7,
        Self::V11_4,
    ];

    /// `8.5` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V8_2 => "8.2",
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
            Self::V8_2 => "JetPack 4.6",
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
        }
    }

    /// Networks are strongly typed only: no precision flags, types come from the ONNX file.
    pub fn strongly_typed(self) -> bool {
        self >= Self::V11_4
    }

    /// Highest ONNX opset its parser documents: `docs/operators.md` of onnx-tensorrt 8.2, 8.5,
    /// 8.6 and 10.0 (whose figure stands for 10.3 and 10.7), NVIDIA's opset guide for 11.x.
    pub fn max_opset(self) -> i64 {
        match self {
            Self::V8_2 => 13,
            Self::V8_5 | Self::V8_6 => 17,
            Self::V10_3 | Self::V10_7 => 20,
            Self::V11_4 => 25,
        }
    }

    /// Loadables a DLA core holds at a time; each DLA subgraph is one, those of all engines
    /// loaded on the core together. Documented as 16 since 8.5; a log of TensorRT 7 says 8, the
    /// 8.4 guide 4, and nothing is documented for 8.2, which dlaplan offers without DLA only.
    pub fn max_loadables(self) -> u32 {
        16
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
