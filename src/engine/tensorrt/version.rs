//! A version as a library tells it.

/// A TensorRT version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

impl Version {
    /// From `getInferLibVersion`: major x 1000 + minor x 100 + patch up to 9, major x 10000 +
    /// minor x 100 + patch from 10 on.
    pub fn from_library(number: i32) -> Self {
        let n = number.max(0) as u32;
        let major = if n >= 100_000 { n / 10_000 } else { n / 1000 };
        let rest = if n >= 100_000 { n % 10_000 } else { n % 1000 };
        Self {
            major,
            minor: rest / 100,
            patch: rest % 100,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
