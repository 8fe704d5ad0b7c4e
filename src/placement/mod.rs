//! What the user asks for: a default device, overrides, the engine config around them, edits.

mod config;
mod edit;
mod io_formats;
mod precision;
mod resolve;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use config::EngineConfig;
pub use edit::{Document, Edit};
pub use io_formats::{IoFormat, IoFormats, IoLayout, IoType};
pub use precision::Precision;
pub use resolve::{Assigned, Resolved, UnknownSite};

/// A processor an op can be placed on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Device {
    /// The integrated GPU.
    #[default]
    #[serde(rename = "GPU")]
    Gpu,
    /// A Deep Learning Accelerator.
    #[serde(rename = "DLA")]
    Dla,
}

impl Device {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Gpu => Self::Dla,
            Self::Dla => Self::Gpu,
        }
    }

    /// As TensorRT spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "GPU",
            Self::Dla => "DLA",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something a device can be said for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Site {
    /// A module by its path; "" is the whole network.
    Module(String),
    /// A single op by its name.
    Op(String),
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(path) if path.is_empty() => f.write_str("the whole network"),
            Self::Module(path) => f.write_str(path),
            Self::Op(name) => f.write_str(name),
        }
    }
}

/// A default device and what was said explicitly; torch2trt's `default_device_type` and
/// `device_types`. The nearest explicitly assigned ancestor-or-self wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// Default device for modules without their own setting.
    pub default: Device,
    /// What was said, and nothing else.
    #[serde(with = "site_list")]
    pub overrides: BTreeMap<Site, Device>,
}

impl Placement {
    /// Everything on one device.
    pub fn all(default: Device) -> Self {
        Self {
            default,
            overrides: BTreeMap::new(),
        }
    }

    /// The same placement with a module assigned.
    #[must_use]
    pub fn with_module(mut self, path: &str, device: Device) -> Self {
        self.overrides.insert(Site::Module(path.to_owned()), device);
        self
    }

    /// The same placement with an op assigned.
    #[must_use]
    pub fn with_op(mut self, name: &str, device: Device) -> Self {
        self.overrides.insert(Site::Op(name.to_owned()), device);
        self
    }

    /// A name for lists: `GPU`, `GPU, layer1 layer2 on DLA`, or how many sites there are.
    pub fn title(&self) -> String {
        let other = self.default.other();
        let differing = self.overrides.iter().filter(|(_, d)| **d == other);
        let sites: Vec<&str> = differing
            .map(|(site, _)| match site {
                Site::Module(path) => path,
                Site::Op(op) => op.rsplit('/').next().unwrap_or(op),
            })
            .collect();
        match &sites[..] {
            [] => self.default.to_string(),
            few if few.len() <= 4 => format!("{}, {} on {other}", self.default, few.join(" ")),
            many => format!("{}, {} sites on {other}", self.default, many.len()),
        }
    }

    /// What sets it apart from all on one device: `all on GPU`, `layer1, layer2 on DLA`, or
    /// `conv1 on GPU, rest on DLA`.
    pub fn difference(&self) -> String {
        const NAMED: usize = 4;
        let other = self.default.other();
        let differing = self.overrides.iter().filter(|(_, d)| **d == other);
        let sites: Vec<&str> = differing
            .map(|(site, _)| match site {
                Site::Module(path) => path,
                Site::Op(op) => op.rsplit('/').next().unwrap_or(op),
            })
            .collect();
        let rest = match self.default {
            Device::Gpu => String::new(),
            Device::Dla => format!(", rest on {}", self.default),
        };
        match sites.len() {
            0 => format!("all on {}", self.default),
            n if n <= NAMED => format!("{} on {other}{rest}", sites.join(", ")),
            n => {
                let named = sites[..NAMED - 1].join(", ");
                format!("{named} and {} more on {other}{rest}", n - NAMED + 1)
            }
        }
    }

    /// Says anything about the DLA at all.
    pub fn wants_dla(&self) -> bool {
        self.default == Device::Dla || self.overrides.values().any(|d| *d == Device::Dla)
    }
}

/// Overrides as a list of `{"module": path, "device": "DLA"}` in files, which stays readable
/// and takes names with any character.
mod site_list {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Device, Site};

    #[derive(Serialize, Deserialize)]
    struct Entry {
        #[serde(flatten)]
        site: Site,
        device: Device,
    }

    pub fn serialize<S: Serializer>(
        map: &BTreeMap<Site, Device>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter().map(|(site, device)| Entry {
            site: site.clone(),
            device: *device,
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Site, Device>, D::Error> {
        let mut map = BTreeMap::new();
        for entry in Vec::<Entry>::deserialize(deserializer)? {
            let name = entry.site.to_string();
            if map.insert(entry.site, entry.device).is_some() {
                return Err(D::Error::custom(format!("{name:?} is assigned twice")));
            }
        }
        Ok(map)
    }
}
