//! Element types and memory layouts of an engine's inputs and outputs, in trtexec's words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::precision::Precision;

/// Type of an engine's floating-point inputs or outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoType {
    /// `DataType::kFLOAT`.
    Fp32,
    /// `DataType::kHALF`.
    Fp16,
    /// `DataType::kINT8`.
    Int8,
}

impl IoType {
    /// Bytes of one element.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Fp32 => 4,
            Self::Fp16 => 2,
            Self::Int8 => 1,
        }
    }

    /// `tensorrt.DataType` in Python.
    pub fn python(self) -> &'static str {
        match self {
            Self::Fp32 => "FLOAT",
            Self::Fp16 => "HALF",
            Self::Int8 => "INT8",
        }
    }
}

/// Where the elements of a tensor lie: `TensorFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoLayout {
    /// `kLINEAR`: plain order.
    Chw,
    /// `kCHW4`: four channels side by side.
    Chw4,
    /// `kCHW16`.
    Chw16,
    /// `kCHW32`.
    Chw32,
    /// `kDLA_LINEAR`: plain order, rows padded to 64 bytes.
    DlaLinear,
    /// `kDLA_HWC4`: an image of 1, 3 or 4 channels.
    DlaHwc4,
}

impl IoLayout {
    /// Fewest dims of a tensor that can lie so (NvInferRuntimeBase.h, `TensorFormat`): TensorRT finds no
    /// format for fewer and ends the build.
    fn fewest_dims(self) -> usize {
        match self {
            Self::Chw | Self::DlaLinear => 0,
            Self::Chw4 | Self::Chw16 | Self::Chw32 | Self::DlaHwc4 => 3,
        }
    }

    /// `tensorrt.TensorFormat` in Python.
    pub fn python(self) -> &'static str {
        match self {
            Self::Chw => "LINEAR",
            Self::Chw4 => "CHW4",
            Self::Chw16 => "CHW16",
            Self::Chw32 => "CHW32",
            Self::DlaLinear => "DLA_LINEAR",
            Self::DlaHwc4 => "DLA_HWC4",
        }
    }
}

/// Type and layout of an engine's floating-point inputs or outputs. Others keep the file's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, strum::VariantArray)]
#[expect(missing_docs, reason = "named as trtexec names them")]
pub enum IoFormat {
    #[default]
    Fp32Chw,
    Fp16Chw,
    Fp16Chw16,
    Fp16DlaLinear,
    Fp16DlaHwc4,
    Int8Chw,
    Int8Chw4,
    Int8Chw32,
    Int8DlaLinear,
    Int8DlaHwc4,
}

impl IoFormat {
    /// Every choice, in the order the window offers them.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    fn spec(self) -> (&'static str, IoType, IoLayout) {
        use IoLayout::{Chw, Chw4, Chw16, Chw32, DlaHwc4, DlaLinear};
        use IoType::{Fp16, Fp32, Int8};
        match self {
            Self::Fp32Chw => ("fp32:chw", Fp32, Chw),
            Self::Fp16Chw => ("fp16:chw", Fp16, Chw),
            Self::Fp16Chw16 => ("fp16:chw16", Fp16, Chw16),
            Self::Fp16DlaLinear => ("fp16:dla_linear", Fp16, DlaLinear),
            Self::Fp16DlaHwc4 => ("fp16:dla_hwc4", Fp16, DlaHwc4),
            Self::Int8Chw => ("int8:chw", Int8, Chw),
            Self::Int8Chw4 => ("int8:chw4", Int8, Chw4),
            Self::Int8Chw32 => ("int8:chw32", Int8, Chw32),
            Self::Int8DlaLinear => ("int8:dla_linear", Int8, DlaLinear),
            Self::Int8DlaHwc4 => ("int8:dla_hwc4", Int8, DlaHwc4),
        }
    }

    /// Why a tensor of so many dims cannot have it; `end` is `input` or `output`.
    pub fn dims_refusal(self, end: &str, name: &str, dims: usize) -> Option<String> {
        (dims < self.layout().fewest_dims()).then(|| {
            format!(
                "{end} {name:?} has {dims} dims and I/O format {self} needs channels, height and \
                 width; choose one of plain order for the {end}s"
            )
        })
    }

    /// FP32 in plain order.
    pub fn is_default(self) -> bool {
        self == Self::default()
    }

    /// As trtexec's `--inputIOFormats` takes it: `int8:chw32`.
    pub fn as_str(self) -> &'static str {
        self.spec().0
    }

    /// The element type.
    pub fn element(self) -> IoType {
        self.spec().1
    }

    /// The layout.
    pub fn layout(self) -> IoLayout {
        self.spec().2
    }

    /// The DLA reads and writes it without a reformat, at this precision. Source: TensorRT
    /// documentation, I/O Formats on DLA.
    pub fn is_dlas_own(self, precision: Precision) -> bool {
        match self {
            Self::Fp16Chw16 | Self::Fp16DlaLinear | Self::Fp16DlaHwc4 => !precision.int8,
            Self::Int8Chw32 | Self::Int8DlaLinear | Self::Int8DlaHwc4 => precision.int8,
            Self::Fp32Chw | Self::Fp16Chw | Self::Int8Chw | Self::Int8Chw4 => false,
        }
    }

    /// No kernel of the GPU takes it. Source: TensorRT documentation, Supported Combinations of
    /// Data Type and Memory Layout of I/O Tensors.
    pub fn only_for_dla(self) -> bool {
        matches!(
            self.layout(),
            IoLayout::Chw16 | IoLayout::DlaLinear | IoLayout::DlaHwc4
        )
    }

    /// Why an engine of this precision has no such inputs or outputs, if so.
    fn refusal(self, precision: Precision) -> Option<String> {
        let needs = match self.element() {
            IoType::Fp16 if !precision.fp16 => "fp16",
            IoType::Int8 if !precision.int8 => "int8",
            _ => return None,
        };
        Some(format!(
            "I/O format {self} needs an engine built with {needs}, and this one is {precision}; \
             choose a format of its precision, or fp32:chw"
        ))
    }
}

impl fmt::Display for IoFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IoFormat {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let all = Self::ALL.iter().copied();
        all.clone().find(|f| f.as_str() == s).ok_or_else(|| {
            let all: Vec<&str> = all.map(Self::as_str).collect();
            format!("I/O format {s:?} is not one of {}", all.join(", "))
        })
    }
}

/// Formats of an engine's inputs and outputs. As text: the format of both, or `INPUT,OUTPUT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IoFormats {
    /// Of all floating-point inputs (`--inputIOFormats`).
    pub input: IoFormat,
    /// Of all floating-point outputs (`--outputIOFormats`).
    pub output: IoFormat,
}

impl IoFormats {
    /// FP32 in plain order at both ends, which every engine takes.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What no network and no placement changes: why an engine of this precision has no such
    /// formats, if so.
    pub fn refusal(self, precision: Precision) -> Option<String> {
        if self.output.layout() == IoLayout::DlaHwc4 {
            return Some(format!(
                "the DLA writes no {}, it only reads it; choose int8:dla_linear, int8:chw32, \
                 fp16:dla_linear or fp16:chw16 for the outputs",
                self.output
            ));
        }
        self.input
            .refusal(precision)
            .or_else(|| self.output.refusal(precision))
    }

    /// Values of inputs and outputs stand in plain order and unscaled, so that a run's outputs can
    /// be compared with those of an FP32 engine.
    pub fn comparable(self) -> bool {
        [self.input, self.output]
            .iter()
            .all(|f| f.layout() == IoLayout::Chw && f.element() != IoType::Int8)
    }
}

impl fmt::Display for IoFormats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.input == self.output {
            self.input.fmt(f)
        } else {
            write!(f, "{},{}", self.input, self.output)
        }
    }
}

impl FromStr for IoFormats {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (input, output) = s.split_once(',').unwrap_or((s, s));
        Ok(Self {
            input: input.trim().parse()?,
            output: output.trim().parse()?,
        })
    }
}

impl TryFrom<String> for IoFormats {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<IoFormats> for String {
    fn from(formats: IoFormats) -> Self {
        formats.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_they_are_written() {
        for input in IoFormat::ALL.iter().copied() {
            for output in IoFormat::ALL.iter().copied() {
                let formats = IoFormats { input, output };
                assert_eq!(formats.to_string().parse(), Ok(formats));
            }
        }
        let both: IoFormats = "int8:chw32".parse().unwrap();
        assert_eq!(
            (both.input, both.output),
            (IoFormat::Int8Chw32, IoFormat::Int8Chw32)
        );
        for bad in [
            "",
            "int8",
            "int8:chw16",
            "fp16:chw,",
            "fp16:chw,fp16:chw,fp16:chw",
        ] {
            assert!(bad.parse::<IoFormats>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_format_needs_its_precision() {
        let of = |text: &str, precision| text.parse::<IoFormats>().unwrap().refusal(precision);
        assert_eq!(of("fp32:chw", Precision::INT8), None);
        assert_eq!(of("int8:dla_hwc4,int8:dla_linear", Precision::INT8), None);
        assert_eq!(of("fp16:chw,int8:chw", Precision::INT8_FP16), None);
        assert!(
            of("fp16:chw", Precision::INT8)
                .unwrap()
                .contains("built with fp16")
        );
        assert!(
            of("fp32:chw,int8:chw", Precision::FP16)
                .unwrap()
                .contains("built with int8")
        );
        assert!(
            of("int8:dla_hwc4", Precision::INT8)
                .unwrap()
                .contains("writes no int8:dla_hwc4")
        );
    }
}
