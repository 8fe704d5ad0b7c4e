//! TensorRT versions: what each one's DLA support and trtexec dialect are.

use std::fmt;

/// A TensorRT version dlaplan knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorRt {
    /// JetPack 5.1.
    V8_5,
    /// JetPack 6.0.
    V8_6,
    /// JetPack 6.1 and 6.2.
    V10_3,
    /// The last 10.x with DLA.
    V10_7,
    /// JetPack 7.2.
    V11_4,
}

/// What a version's trtexec accepts about placement and precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Has `--layerDeviceTypes` at all.
    pub layer_device_types: bool,
    /// Takes one `*` in a layer name.
    pub wildcard: bool,
    /// Has `--fp16`, `--int8` and kin.
    pub precision_flags: bool,
}

/// Whether TensorRT of a version drives the DLA of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DlaSupport {
    /// It does, with this many cores.
    Cores(u32),
    /// It does not, and why.
    None(String),
}

impl TensorRt {
    /// All versions, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V8_5,
        Self::V8_6,
        Self::V10_3,
        Self::V10_7,
        Self::V11_4,
    ];

    /// `8.5` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V8_5 => "8.5",
            Self::V8_6 => "8.6",
            Self::V10_3 => "10.3",
            Self::V10_7 => "10.7",
            Self::V11_4 => "11.4",
        }
    }
}

impl fmt::Display for TensorRt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TensorRt {
    /// DLA loadables one core holds at a time.
    pub fn max_loadables(self) -> u32 {
        16
    }
}
