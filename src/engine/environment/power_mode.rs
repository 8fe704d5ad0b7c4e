//! nvpmodel: the mode its status file names, and whether the kernel has what that mode sets.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use crate::engine::log::escape;
use crate::engine::run::PowerMode;

use super::files::{MAX_TEXT, first_line, text};

/// The id of the mode in force, by the status file.
pub fn id(root: &Path) -> Option<u32> {
    first_line(&root.join("var/lib/nvpmodel/status")).and_then(|s| mode_id(&s))
}

/// The modes that nvpmodel's configuration has, and whether each needs a reboot from the present one.
pub fn modes(root: &Path) -> Vec<PowerMode> {
    let text = text(&root.join("etc/nvpmodel.conf")).unwrap_or_default();
    let mut ids: Vec<u32> = text
        .lines()
        .filter_map(power_model)
        .take(MOST_MODES)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let mask = |id: u32| Config::parse(&text, id).tpc_mask();
    let present = id(root).map(|id| {
        let config = Config::parse(&text, id);
        // What the kernel has counts more than what the present mode would set.
        config.tpc_mask_in_force(root).or(config.tpc_mask())
    });
    ids.into_iter()
        .map(|id| PowerMode {
            id,
            name: Config::parse(&text, id).name.unwrap_or_default(),
            reboot: present.is_some_and(|present| present != mask(id)),
        })
        .collect()
}

/// Most modes that are looked at.
const MOST_MODES: usize = 64;

/// The id of a line `< POWER_MODEL ID=8 NAME=MODE_20W_6CORE >`.
fn power_model(line: &str) -> Option<u32> {
    let head = line.trim().strip_prefix('<')?.trim_end_matches('>');
    let mut words = head.split_whitespace();
    (words.next()? == "POWER_MODEL").then_some(())?;
    words.find_map(|w| w.strip_prefix("ID="))?.parse().ok()
}

/// The mode in force by nvpmodel's own files.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mode {
    /// Its name; `nvpmodel mode 7` where the configuration has none.
    pub name: Option<String>,
    /// What the kernel has that the mode does not set: the status file may be stale.
    pub not_applied: Vec<String>,
}

/// Reads the status file and the configuration. JetPack 5 and later write `pmode:0002`, JetPack 4
/// `pmode:0002 fmode:quiet`.
pub(super) fn read(root: &Path) -> Mode {
    let Some(id) = id(root) else {
        return Mode::default();
    };
    let config = text(&root.join("etc/nvpmodel.conf")).unwrap_or_default();
    let config = Config::parse(&config, id);
    let unnamed = || format!("nvpmodel mode {id}");
    Mode {
        name: Some(config.name.clone().unwrap_or_else(unnamed)),
        not_applied: config.not_applied(root),
    }
}

fn mode_id(status: &str) -> Option<u32> {
    let (_, rest) = status.split_once("pmode:")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What `nvpmodel.conf` says of one mode.
#[derive(Debug, Default)]
struct Config {
    name: Option<String>,
    /// Files by parameter and key (`GPU`, `MAX_FREQ`).
    files: BTreeMap<(String, String), String>,
    /// Values of the mode by the same.
    values: Vec<((String, String), i64)>,
}

impl Config {
    /// Sections begin with `< PARAM TYPE=... NAME=... >`, whose lines are `KEY FILE`, or with
    /// `< POWER_MODEL ID=... NAME=... >`, whose lines are `PARAM KEY VALUE`.
    fn parse(text: &str, id: u32) -> Self {
        enum Section {
            Param(String),
            Mode,
            Other,
        }
        let mut config = Self::default();
        let mut section = Section::Other;
        for line in text.lines().map(str::trim) {
            if let Some(head) = line.strip_prefix('<') {
                let head = head.trim_end_matches('>');
                let field = |key: &str| head.split_whitespace().find_map(|w| w.strip_prefix(key));
                let kind = head.split_whitespace().next();
                section = match (kind, field("NAME=")) {
                    (Some("PARAM"), Some(name)) => Section::Param(name.to_owned()),
                    (Some("POWER_MODEL"), name)
                        if field("ID=").and_then(|i| i.parse().ok()) == Some(id) =>
                    {
                        config.name = name.map(|n| escape(n, MAX_TEXT));
                        Section::Mode
                    }
                    _ => Section::Other,
                };
                continue;
            }
            let mut words = line.split_whitespace();
            match (&section, words.next(), words.next(), words.next()) {
                (Section::Param(param), Some(key), Some(file), None) => {
                    let key = (param.clone(), key.to_owned());
                    config.files.insert(key, file.to_owned());
                }
                (Section::Mode, Some(param), Some(key), Some(value)) => {
                    if let Ok(value) = value.parse() {
                        let key = (param.to_owned(), key.to_owned());
                        config.values.push((key, value));
                    }
                }
                _ => {}
            }
        }
        config
    }

    /// The mask of switched-off TPCs that the mode sets.
    fn tpc_mask(&self) -> Option<i64> {
        let mut all = self.values.iter();
        all.find_map(|(key, value)| is_mask(key).then_some(*value))
    }

    /// The same as the kernel has it.
    fn tpc_mask_in_force(&self, root: &Path) -> Option<i64> {
        let (_, file) = self.files.iter().find(|(key, _)| is_mask(key))?;
        whole(&first_line(&under(root, file)?)?)
    }

    /// What decides a measurement: caps of GPU, DLA and memory clock, and the mask of the GPU's
    /// processors. -1 is no cap.
    fn not_applied(&self, root: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        for (key, want) in &self.values {
            let (param, what) = (key.0.as_str(), key.1.as_str());
            let clock =
                what == "MAX_FREQ" && ["GPU", "DLA", "EMC"].iter().any(|p| param.starts_with(p));
            let mask = is_mask(key);
            let Some(file) = self.files.get(key).filter(|_| clock || mask) else {
                continue;
            };
            let Some(have) = under(root, file)
                .and_then(|f| first_line(&f))
                .and_then(|l| whole(&l))
            else {
                continue;
            };
            let param = escape(param, MAX_TEXT);
            if mask && have != *want {
                wrong.push(format!(
                    "the mask of switched-off TPCs is {have}, the mode's is {want}"
                ));
            }
            // The kernel takes a step of its own table near the cap.
            if clock && *want > 0 && have.abs_diff(*want) > want.unsigned_abs() / 20 {
                wrong.push(format!(
                    "the cap of {param} is {:.0} MHz, the mode's is {:.0} MHz",
                    mhz(have),
                    mhz(*want)
                ));
            }
        }
        wrong
    }
}

fn is_mask((param, what): &(String, String)) -> bool {
    what == "TPC_PG_MASK" || param == "TPC_PG_MASK"
}

/// Hz, or kHz as the EMC's file on some releases.
fn mhz(value: i64) -> f64 {
    value as f64 / if value > 10_000_000 { 1e6 } else { 1e3 }
}

/// Decimal or `0x` hexadecimal.
fn whole(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A file that a configuration names, in another root folder; none that leads out of it.
fn under(root: &Path, file: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(file).strip_prefix("/").ok()?;
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    (plain && path.starts_with("sys")).then(|| root.join(path))
}

#[cfg(test)]
mod tests {
    use super::super::files::put;
    use super::*;

    const CONFIG: &str = "# comment\n< PARAM TYPE=CLOCK NAME=GPU >\n\
        MAX_FREQ /sys/devices/17000000.gv11b/devfreq/17000000.gv11b/max_freq\n\
        < PARAM TYPE=FILE NAME=TPC_POWER_GATING >\nTPC_PG_MASK /sys/devices/gpu.0/tpc_pg_mask\n\
        < POWER_MODEL ID=0 NAME=MAXN >\nGPU MAX_FREQ -1\nTPC_POWER_GATING TPC_PG_MASK 0\n\
        < POWER_MODEL ID=2 NAME=MODE_15W_6CORE >\nGPU MAX_FREQ 1109250000\n\
        TPC_POWER_GATING TPC_PG_MASK 1\n< PM_CONFIG DEFAULT=0 >\n";

    #[test]
    fn both_forms_of_the_status_are_read() {
        for (status, name) in [
            ("pmode:0002", Some("MODE_15W_6CORE")),
            ("pmode:0002 fmode:quiet", Some("MODE_15W_6CORE")),
            ("pmode:0007", Some("nvpmodel mode 7")),
            ("pmode:x", None),
            ("", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), "var/lib/nvpmodel/status", status);
            put(dir.path(), "etc/nvpmodel.conf", CONFIG);
            assert_eq!(read(dir.path()).name.as_deref(), name, "{status}");
        }
    }

    #[test]
    fn a_mode_that_is_not_applied_says_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(root, "var/lib/nvpmodel/status", "pmode:0002");
        put(root, "etc/nvpmodel.conf", CONFIG);
        let gpu = "sys/devices/17000000.gv11b/devfreq/17000000.gv11b/max_freq";
        assert_eq!(read(root).not_applied, [""; 0], "nothing to compare with");
        put(root, gpu, "1100000000\n");
        put(root, "sys/devices/gpu.0/tpc_pg_mask", "1\n");
        assert_eq!(read(root).not_applied, [""; 0], "a step below the cap");
        put(root, gpu, "1377000000\n");
        put(root, "sys/devices/gpu.0/tpc_pg_mask", "0\n");
        assert_eq!(
            read(root).not_applied,
            [
                "the cap of GPU is 1377 MHz, the mode's is 1109 MHz",
                "the mask of switched-off TPCs is 0, the mode's is 1"
            ]
        );
    }

    #[test]
    fn configurations_do_not_lead_out_of_sys() {
        let root = Path::new("/r");
        assert!(under(root, "/sys/a/b").is_some());
        for bad in ["/etc/passwd", "/sys/../etc/passwd", "sys/a", "/"] {
            assert_eq!(under(root, bad), None, "{bad}");
        }
    }
}
