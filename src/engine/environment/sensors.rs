//! What changes while work runs: clocks, temperatures, power rails, the DLA's state, throttling.
//! All of it is read without rights where the kernel allows that.

use std::path::{Path, PathBuf};

use crate::engine::run::{ClockRange, Environment};

use super::files::{entries, first_line, name, number};

/// Reads all sensors into an environment.
pub(super) fn read(root: &Path, env: &mut Environment) {
    gpu_and_devices(root, env);
    memory_clock(root, env);
    dlas(root, env);
    let cpu = root.join("sys/devices/system/cpu/cpu0/cpufreq");
    if let Some(khz) = number(&cpu.join("scaling_cur_freq")) {
        env.clocks_mhz.push(("cpu0".to_owned(), khz / 1e3));
        env.clock_ranges.push(ClockRange {
            name: "cpu0".into(),
            min_mhz: number(&cpu.join("scaling_min_freq")).map(|k| k / 1e3),
            max_mhz: number(&cpu.join("scaling_max_freq")).map(|k| k / 1e3),
            governor: first_line(&cpu.join("scaling_governor")),
        });
    }
    env.clocks_mhz.sort_by(|a, b| a.0.cmp(&b.0));
    env.clocks_mhz.dedup_by(|a, b| a.0 == b.0);
    env.clock_ranges.sort_by(|a, b| a.name.cmp(&b.name));
    env.temperatures_c = temperatures(root);
    env.rails_w = rails(root);
    env.throttle_events = throttle_events(root);
}

/// The devfreq devices, the GPU under that name on every release: `17000000.gv11b`,
/// `17000000.gpu` (R36), `gpu-gpc-0` (Thor), else by its node in the device tree.
fn gpu_and_devices(root: &Path, env: &mut Environment) {
    const GPUS: [&str; 6] = ["gpu", "gv11b", "ga10b", "gp10b", "gm20b", "gpu-gpc-0"];
    for device in entries(root.join("sys/class/devfreq")) {
        let mhz = |file: &str| number(&device.join(file)).map(|hz| hz / 1e6);
        let Some(now) = mhz("cur_freq") else {
            continue;
        };
        let full = name(&device);
        let short = full.rsplit('.').next().unwrap_or_default();
        let node = first_line(&device.join("device/of_node/name"));
        let gpu = GPUS.contains(&short) || node.is_some_and(|n| GPUS.contains(&n.as_str()));
        let short = if gpu { "gpu" } else { short };
        env.clocks_mhz.push((short.to_owned(), now));
        env.clock_ranges.push(ClockRange {
            name: short.to_owned(),
            min_mhz: mhz("min_freq"),
            max_mhz: mhz("max_freq"),
            governor: first_line(&device.join("governor")),
        });
    }
}

/// The first of some files that holds a number, MHz of its Hz.
fn first_mhz(root: &Path, files: &[&str]) -> Option<f64> {
    let mut found = files.iter().filter_map(|f| number(&root.join(f)));
    found.next().map(|hz| hz / 1e6)
}

/// The memory clock: only root may read the present one, everybody the cap.
fn memory_clock(root: &Path, env: &mut Environment) {
    let now = [
        "sys/kernel/debug/bpmp/debug/clk/emc/rate",
        "sys/kernel/debug/clk/emc/clk_rate",
    ];
    if let Some(mhz) = first_mhz(root, &now) {
        env.clocks_mhz.push(("emc".into(), mhz));
    }
    // R36, then R35.
    let cap = [
        "sys/kernel/nvpmodel_clk_cap/emc",
        "sys/kernel/nvpmodel_emc_cap/emc_iso_cap",
    ];
    if let Some(mhz) = first_mhz(root, &cap) {
        env.clock_ranges.push(ClockRange {
            name: "emc".into(),
            max_mhz: Some(mhz),
            ..ClockRange::default()
        });
    }
}

/// The folders of the DLA cores, below the host1x of Xavier, Orin with R35 and Orin with R36.
fn dla_folders(root: &Path) -> Vec<PathBuf> {
    [
        "sys/devices/platform",
        "sys/devices/platform/bus@0",
        "sys/devices",
    ]
    .iter()
    .flat_map(|parent| entries(root.join(parent)))
    .filter(|folder| name(folder).ends_with(".host1x"))
    .flat_map(entries)
    .filter(|folder| dla_core(folder).is_some())
    .collect()
}

fn dla_core(folder: &Path) -> Option<u32> {
    let name = name(folder);
    let (_, core) = name.split_once(".nvdla")?;
    core.parse().ok()
}

/// Each DLA core: its clock (root only), the cap of its clock, and whether it is awake.
fn dlas(root: &Path, env: &mut Environment) {
    for core in ["dla0", "dla1"] {
        let files = [
            format!("sys/kernel/debug/clk/{core}_core/clk_rate"),
            format!("sys/kernel/debug/bpmp/debug/clk/{core}_core/rate"),
        ];
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        if let Some(mhz) = first_mhz(root, &files) {
            env.clocks_mhz.push((core.to_owned(), mhz));
        }
    }
    if let Some(mhz) = first_mhz(root, &["sys/kernel/debug/clk/nafll_dla/clk_rate"]) {
        env.clocks_mhz.push(("dla0".into(), mhz));
    }
    for folder in dla_folders(root) {
        let Some(core) = dla_core(&folder) else {
            continue;
        };
        let cap = ["clk_cap", "acm/clk_cap"]
            .iter()
            .find_map(|caps| number(&folder.join(caps).join(format!("dla{core}_core"))));
        if let Some(hz) = cap {
            env.clock_ranges.push(ClockRange {
                name: format!("dla{core}"),
                max_mhz: Some(hz / 1e6),
                ..ClockRange::default()
            });
        }
        if let Some(status) = first_line(&folder.join("power/runtime_status")) {
            env.dla_status.push((format!("dla{core}"), status));
        }
    }
    env.dla_status.sort();
}

fn temperatures(root: &Path) -> Vec<(String, f64)> {
    let mut all: Vec<(String, f64)> = entries(root.join("sys/class/thermal"))
        .iter()
        .filter_map(|zone| {
            let name = first_line(&zone.join("type"))?;
            let celsius = number(&zone.join("temp"))? / 1000.0;
            // Absent sensors read -256.
            (celsius > -100.0).then_some((name, celsius))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Power of each rail, W, by the INA3221 monitors: mV x mA (R34 and later), mW (R32). Rails that
/// are not connected and the monitors' own sums are left out, as jetson_stats does.
fn rails(root: &Path) -> Vec<(String, f64)> {
    let mut rails = Vec::new();
    for monitor in entries(root.join("sys/class/hwmon")) {
        if first_line(&monitor.join("name")).is_none_or(|n| !n.contains("ina3221")) {
            continue;
        }
        for channel in 1..=3 {
            let Some(label) = first_line(&monitor.join(format!("in{channel}_label"))) else {
                continue;
            };
            let volts = number(&monitor.join(format!("in{channel}_input")));
            let amperes = number(&monitor.join(format!("curr{channel}_input")));
            if let (Some(mv), Some(ma)) = (volts, amperes)
                && label != "NC"
            {
                rails.push((label, mv * ma / 1e6));
            }
        }
    }
    for monitor in entries(root.join("sys/bus/i2c/drivers/ina3221x")) {
        for device in entries(monitor) {
            for channel in 0..3 {
                let label = first_line(&device.join(format!("rail_name_{channel}")));
                let mw = number(&device.join(format!("in_power{channel}_input")));
                if let (Some(label), Some(mw)) = (label, mw) {
                    rails.push((label, mw / 1e3));
                }
            }
        }
    }
    rails.sort_by(|a, b| a.0.cmp(&b.0));
    rails
}

/// Times that the board has throttled for over-current since it was started, by event.
fn throttle_events(root: &Path) -> Vec<(String, u64)> {
    let mut events = Vec::new();
    let folders = [
        "sys/class/hwmon",
        "sys/devices/platform/soctherm-oc-event/hwmon",
    ];
    for monitor in folders.iter().flat_map(|f| entries(root.join(f))) {
        for file in entries(monitor) {
            let full = name(&file);
            if let Some(event) = full.strip_suffix("_event_cnt")
                && event.starts_with("oc")
                && let Some(count) = number(&file)
            {
                events.push((event.to_owned(), count as u64));
            }
        }
    }
    events.sort();
    events.dedup_by(|a, b| a.0 == b.0);
    events
}
