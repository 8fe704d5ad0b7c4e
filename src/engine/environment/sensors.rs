//! What changes while work runs: clocks, temperatures, power rails, the DLA's state, throttling.
//! All of it is read without rights where the kernel allows that.

use std::path::{Path, PathBuf};

use crate::engine::run::{ClockRange, Environment};
use crate::engine::telemetry::Quantity;

use super::files::{entries, first_line, memory_mb, name, number};

/// A clock and the files that tell of it.
#[derive(Debug, Default)]
struct Clock {
    name: String,
    now: Option<PathBuf>,
    min: Option<PathBuf>,
    max: Option<PathBuf>,
    governor: Option<PathBuf>,
    /// What the files count in a MHz.
    per_mhz: f64,
}

/// Where the power of a rail is read.
#[derive(Debug)]
enum Power {
    /// mV and mA.
    VoltsAmperes(PathBuf, PathBuf),
    /// mW.
    Watts(PathBuf),
}

/// A name and the file of its value.
type Named = (String, PathBuf);

/// Every sensor of the machine, found once: looking for them takes longer than reading them.
#[derive(Debug)]
pub struct Sensors {
    root: PathBuf,
    clocks: Vec<Clock>,
    rails: Vec<(String, Power)>,
    temperatures: Vec<Named>,
    /// Runtime power state of each DLA core.
    dla_status: Vec<Named>,
    /// Over-current throttling events since the board was started.
    throttled: Vec<Named>,
}

impl Sensors {
    /// Finds the sensors below a root folder. The GPU's appears when it is first used.
    pub fn find(root: &Path) -> Self {
        let mut clocks = gpu_and_devices(root);
        clocks.extend(memory_clock(root));
        let (dla_clocks, dla_status) = dlas(root);
        clocks.extend(dla_clocks);
        let cpu = root.join("sys/devices/system/cpu/cpu0/cpufreq");
        if number(&cpu.join("scaling_cur_freq")).is_some() {
            clocks.push(Clock {
                name: "cpu0".into(),
                now: Some(cpu.join("scaling_cur_freq")),
                min: Some(cpu.join("scaling_min_freq")),
                max: Some(cpu.join("scaling_max_freq")),
                governor: Some(cpu.join("scaling_governor")),
                per_mhz: 1e3,
            });
        }
        clocks.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            root: root.to_owned(),
            clocks,
            rails: rails(root),
            temperatures: temperatures(root),
            dla_status,
            throttled: throttle_events(root),
        }
    }

    /// Present values.
    pub fn sample(&self) -> Vec<(Quantity, String, f64)> {
        let mut values = Vec::new();
        let mut add = |quantity, name: &String, value: Option<f64>| {
            if let Some(value) = value {
                values.push((quantity, name.clone(), value));
            }
        };
        for clock in &self.clocks {
            add(
                Quantity::ClockMhz,
                &clock.name,
                clock.mhz(clock.now.as_ref()),
            );
            // The range of a CPU's clock says nothing about an engine.
            if clock.name != "cpu0" {
                add(
                    Quantity::ClockMinMhz,
                    &clock.name,
                    clock.mhz(clock.min.as_ref()),
                );
                add(
                    Quantity::ClockMaxMhz,
                    &clock.name,
                    clock.mhz(clock.max.as_ref()),
                );
            }
        }
        for (label, power) in &self.rails {
            add(Quantity::PowerW, label, power.watts());
        }
        for (name, file) in &self.temperatures {
            add(Quantity::TemperatureC, name, celsius(file));
        }
        for (name, file) in &self.dla_status {
            let awake = first_line(file).and_then(|status| match status.as_str() {
                "active" | "resuming" => Some(1.0),
                "suspended" | "suspending" => Some(0.0),
                // `unsupported`: nobody counts.
                _ => None,
            });
            add(Quantity::DlaAwake, name, awake);
        }
        for (name, file) in &self.throttled {
            add(Quantity::Throttled, name, number(file));
        }
        let memory = memory_mb(&self.root, "MemAvailable:");
        add(Quantity::MemoryMb, &"memory".to_owned(), memory);
        values
    }
}

/// Reads all sensors into an environment.
pub(super) fn read(root: &Path, env: &mut Environment) {
    let sensors = Sensors::find(root);
    for clock in &sensors.clocks {
        if let Some(now) = clock.mhz(clock.now.as_ref()) {
            env.clocks_mhz.push((clock.name.clone(), now));
        }
        let range = ClockRange {
            name: clock.name.clone(),
            min_mhz: clock.mhz(clock.min.as_ref()),
            max_mhz: clock.mhz(clock.max.as_ref()),
            governor: clock.governor.as_ref().and_then(|f| first_line(f)),
        };
        if clock.max.is_some() {
            env.clock_ranges.push(range);
        }
    }
    env.clocks_mhz.dedup_by(|a, b| a.0 == b.0);
    let word = |(name, file): &Named| Some((name.clone(), first_line(file)?));
    let rail = |(label, power): &(String, Power)| Some((label.clone(), power.watts()?));
    let zone = |(name, file): &Named| Some((name.clone(), celsius(file)?));
    let event = |(name, file): &Named| Some((name.clone(), number(file)? as u64));
    env.temperatures_c = sensors.temperatures.iter().filter_map(zone).collect();
    env.rails_w = sensors.rails.iter().filter_map(rail).collect();
    env.dla_status = sensors.dla_status.iter().filter_map(word).collect();
    env.throttle_events = sensors.throttled.iter().filter_map(event).collect();
}

impl Clock {
    fn mhz(&self, file: Option<&PathBuf>) -> Option<f64> {
        Some(number(file?)? / self.per_mhz)
    }
}

impl Power {
    fn watts(&self) -> Option<f64> {
        match self {
            Self::VoltsAmperes(mv, ma) => Some(number(mv)? * number(ma)? / 1e6),
            Self::Watts(mw) => Some(number(mw)? / 1e3),
        }
    }
}

/// The devfreq devices, the GPU under that name on every release: `17000000.gv11b`,
/// `17000000.gpu` (R36), `gpu-gpc-0` (Thor), else by its node in the device tree.
fn gpu_and_devices(root: &Path) -> Vec<Clock> {
    const GPUS: [&str; 6] = ["gpu", "gv11b", "ga10b", "gp10b", "gm20b", "gpu-gpc-0"];
    let clock = |device: PathBuf| {
        number(&device.join("cur_freq"))?;
        let full = name(&device);
        let short = full.rsplit('.').next().unwrap_or_default();
        let node = first_line(&device.join("device/of_node/name"));
        let gpu = GPUS.contains(&short) || node.is_some_and(|n| GPUS.contains(&n.as_str()));
        Some(Clock {
            name: if gpu { "gpu" } else { short }.to_owned(),
            now: Some(device.join("cur_freq")),
            min: Some(device.join("min_freq")),
            max: Some(device.join("max_freq")),
            governor: Some(device.join("governor")),
            per_mhz: 1e6,
        })
    };
    let devices = entries(root.join("sys/class/devfreq")).into_iter();
    devices.filter_map(clock).collect()
}

/// The first of some files that holds a number.
fn first_number<S: AsRef<Path>>(root: &Path, files: &[S]) -> Option<PathBuf> {
    let mut found = files.iter().map(|f| root.join(f));
    found.find(|f| number(f).is_some())
}

/// The memory clock: only root may read the present one, everybody the cap.
fn memory_clock(root: &Path) -> Option<Clock> {
    let now = [
        "sys/kernel/debug/bpmp/debug/clk/emc/rate",
        "sys/kernel/debug/clk/emc/clk_rate",
    ];
    // R36, then R35.
    let cap = [
        "sys/kernel/nvpmodel_clk_cap/emc",
        "sys/kernel/nvpmodel_emc_cap/emc_iso_cap",
    ];
    let (now, max) = (first_number(root, &now), first_number(root, &cap));
    (now.is_some() || max.is_some()).then(|| Clock {
        name: "emc".into(),
        now,
        max,
        per_mhz: 1e6,
        ..Clock::default()
    })
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
fn dlas(root: &Path) -> (Vec<Clock>, Vec<Named>) {
    let folders = dla_folders(root);
    let mut clocks = Vec::new();
    let mut status = Vec::new();
    for core in 0..2 {
        let name = format!("dla{core}");
        let mut now = vec![
            format!("sys/kernel/debug/clk/{name}_core/clk_rate"),
            format!("sys/kernel/debug/bpmp/debug/clk/{name}_core/rate"),
        ];
        if core == 0 {
            now.push("sys/kernel/debug/clk/nafll_dla/clk_rate".into());
        }
        let now = first_number(root, &now);
        let folder = folders.iter().find(|f| dla_core(f) == Some(core));
        let max = folder.and_then(|folder| {
            let caps = ["clk_cap", "acm/clk_cap"].map(|caps| format!("{caps}/{name}_core"));
            first_number(folder, &caps)
        });
        if now.is_some() || max.is_some() {
            clocks.push(Clock {
                name: name.clone(),
                now,
                max,
                per_mhz: 1e6,
                ..Clock::default()
            });
        }
        let file = folder.map(|folder| folder.join("power/runtime_status"));
        if let Some(file) = file.filter(|f| f.exists()) {
            status.push((name, file));
        }
    }
    (clocks, status)
}

fn temperatures(root: &Path) -> Vec<Named> {
    let mut all: Vec<Named> = entries(root.join("sys/class/thermal"))
        .iter()
        .filter_map(|zone| Some((first_line(&zone.join("type"))?, zone.join("temp"))))
        .collect();
    all.sort();
    all
}

fn celsius(file: &Path) -> Option<f64> {
    // Absent sensors read -256.
    number(file).map(|t| t / 1000.0).filter(|c| *c > -100.0)
}

/// Power of each rail by the INA3221 monitors: mV x mA (R34 and later), mW (R32). Rails that are not
/// connected and the monitors' own sums are left out, as jetson_stats does.
fn rails(root: &Path) -> Vec<(String, Power)> {
    let mut rails = Vec::new();
    for monitor in entries(root.join("sys/class/hwmon")) {
        if first_line(&monitor.join("name")).is_none_or(|n| !n.contains("ina3221")) {
            continue;
        }
        for channel in 1..=3 {
            let volts = monitor.join(format!("in{channel}_input"));
            let amperes = monitor.join(format!("curr{channel}_input"));
            if let Some(label) = first_line(&monitor.join(format!("in{channel}_label")))
                && label != "NC"
                && amperes.exists()
            {
                rails.push((label, Power::VoltsAmperes(volts, amperes)));
            }
        }
    }
    for monitor in entries(root.join("sys/bus/i2c/drivers/ina3221x")) {
        for device in entries(monitor) {
            for channel in 0..3 {
                let label = first_line(&device.join(format!("rail_name_{channel}")));
                let watts = device.join(format!("in_power{channel}_input"));
                if let Some(label) = label
                    && watts.exists()
                {
                    rails.push((label, Power::Watts(watts)));
                }
            }
        }
    }
    rails.sort_by(|a, b| a.0.cmp(&b.0));
    rails
}

/// Counters of the board's over-current throttling, by event.
fn throttle_events(root: &Path) -> Vec<Named> {
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
            {
                events.push((event.to_owned(), file));
            }
        }
    }
    events.sort();
    events.dedup_by(|a, b| a.0 == b.0);
    events
}
