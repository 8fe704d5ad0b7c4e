//! What an engine computes in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// TensorRT's precision flags. Neither set means FP32 only; `int8` alone does not imply `fp16`
/// (torch2trt's `int8_mode`: ops without INT8 kernels then run in FP32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Precision {
    /// `BuilderFlag::kFP16`.
    pub fp16: bool,
    /// `BuilderFlag::kINT8`.
    pub int8: bool,
}

impl Precision {
    /// FP32 only.
    pub const FP32: Self = Self {
        fp16: false,
        int8: false,
    };
    /// FP16.
    pub const FP16: Self = Self {
        fp16: true,
        int8: false,
    };
    /// INT8 with FP32 for the rest.
    pub const INT8: Self = Self {
        fp16: false,
        int8: true,
    };
    /// INT8 with FP16 for the rest.
    pub const INT8_FP16: Self = Self {
        fp16: true,
        int8: true,
    };
    /// Every choice, in the order the window offers them.
    pub const ALL: [Self; 4] = [Self::FP16, Self::INT8, Self::INT8_FP16, Self::FP32];

    /// The DLA computes in FP16 and INT8 only.
    pub fn dla_capable(self) -> bool {
        self.fp16 || self.int8
    }

    /// The name used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match (self.fp16, self.int8) {
            (false, false) => "fp32",
            (true, false) => "fp16",
            (false, true) => "int8",
            (true, true) => "int8+fp16",
        }
    }

    /// The same where it stands alone, as in NVIDIA's own documents: `FP16`.
    pub fn title(self) -> &'static str {
        match (self.fp16, self.int8) {
            (false, false) => "FP32",
            (true, false) => "FP16",
            (false, true) => "INT8",
            (true, true) => "INT8+FP16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == s)
            .ok_or_else(|| format!("precision {s:?} is not one of fp16, int8, int8+fp16, fp32"))
    }
}
