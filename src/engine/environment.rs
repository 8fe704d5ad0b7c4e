//! The machine a run happens on, read from files that need no rights and change nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::platform::{Board, Place, Target};

use super::log::escape;
use super::run::Environment;

/// Longest text taken from a system file.
const MAX_TEXT: usize = 200;

/// The user's folder for what can be made again; `None` without a home folder.
pub fn cache_dir() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "dlaplan")?;
    Some(dirs.cache_dir().to_owned())
}

/// The user's folder of built engines and timing caches, in [`cache_dir`].
pub fn engines_dir() -> Option<PathBuf> {
    Some(cache_dir()?.join("engines"))
}

/// Reads board, release, power mode, clocks and temperatures. What cannot be read is left out.
pub fn read() -> Environment {
    read_under(Path::new("/"))
}

/// The same with another root folder.
pub fn read_under(root: &Path) -> Environment {
    let text = |path: &str| first_line(&root.join(path));
    let mut env = Environment {
        host: text("proc/sys/kernel/hostname").unwrap_or_default(),
        board: text("proc/device-tree/model").or_else(|| text("sys/class/dmi/id/product_name")),
        l4t: text("etc/nv_tegra_release"),
        memory_mb: memory_mb(root),
        power_mode: power_mode(root),
        clocks_mhz: clocks(root),
        temperatures_c: temperatures(root),
        dlaplan: env!("CARGO_PKG_VERSION").to_owned(),
        ..Environment::default()
    };
    env.clocks_mhz.sort_by(|a, b| a.0.cmp(&b.0));
    env.temperatures_c.sort_by(|a, b| a.0.cmp(&b.0));
    env
}

/// The target to plan for on a Jetson; what it did not tell is the board's default.
pub fn target(environment: &Environment) -> Option<Target> {
    Some(place(environment)?.target())
}

/// Where a run was measured: the board, where its name and memory tell, in the power mode and with
/// the TensorRT that the machine told.
pub fn place(environment: &Environment) -> Option<Place> {
    let name = environment.board.as_ref()?.to_ascii_lowercase();
    let gb = environment.memory_mb.unwrap_or(0.0) / 1024.0;
    let id = match () {
        () if name.contains("xavier nx") => "xavier-nx",
        () if name.contains("agx xavier") || name.contains("jetson-agx") => "agx-xavier",
        () if name.contains("orin nx") && gb > 10.0 => "orin-nx-16",
        () if name.contains("orin nx") => "orin-nx-8",
        () if name.contains("orin nano") && gb > 5.0 => "orin-nano-8",
        () if name.contains("orin nano") => "orin-nano-4",
        () if name.contains("agx orin") && gb > 40.0 => "agx-orin-64",
        () if name.contains("agx orin") => "agx-orin-32",
        () if name.contains("thor") => "thor",
        () if name.contains("tx2") => "tx2",
        () if name.contains("jetson nano") => "nano",
        () => return None,
    };
    let board = Board::find(id)?;
    let mode = environment.power_mode.as_ref();
    let version = environment.tensorrt.as_ref();
    Some(Place {
        board,
        mode: mode.and_then(|m| board.mode(m)),
        tensorrt: version.and_then(|v| v.parse().ok()),
    })
}

fn first_line(path: &Path) -> Option<String> {
    // /proc and /sys files have no length to check beforehand.
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim_end_matches('\0').trim();
    (!line.is_empty()).then(|| escape(line, MAX_TEXT))
}

fn memory_mb(root: &Path) -> Option<f64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kb: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kb / 1024.0)
}

/// nvpmodel writes `pmode:0002` and names its modes in its configuration.
fn power_mode(root: &Path) -> Option<String> {
    let status = first_line(&root.join("var/lib/nvpmodel/status"))?;
    let id: u32 = status.rsplit_once(':')?.1.trim().parse().ok()?;
    let config = fs::read_to_string(root.join("etc/nvpmodel.conf")).unwrap_or_default();
    let name = config.lines().find_map(|line| {
        let line = line.trim().strip_prefix("< POWER_MODEL ")?;
        let mut fields = line.trim_end_matches('>').split_whitespace();
        let this: u32 = fields.next()?.strip_prefix("ID=")?.parse().ok()?;
        (this == id).then(|| fields.next()?.strip_prefix("NAME="))?
    });
    Some(name.map_or_else(|| format!("nvpmodel mode {id}"), |n| escape(n, MAX_TEXT)))
}

fn entries(folder: PathBuf) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|all| all.flatten().map(|e| e.path()).collect())
        .unwrap_or_default()
}

fn number(path: &Path) -> Option<f64> {
    first_line(path)?.parse().ok()
}

fn clocks(root: &Path) -> Vec<(String, f64)> {
    let mut clocks = Vec::new();
    for device in entries(root.join("sys/class/devfreq")) {
        let name = device
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(hz) = number(&device.join("cur_freq")) else {
            continue;
        };
        let short = match name.rsplit('.').next() {
            Some("gpu" | "gv11b" | "ga10b" | "gp10b" | "gm20b") => "gpu".to_owned(),
            Some(block) => escape(block, MAX_TEXT),
            None => continue,
        };
        clocks.push((short, hz / 1e6));
    }
    // Readable by root only on most releases.
    for (name, clock) in [
        ("emc", "emc"),
        ("dla0", "nafll_dla"),
        ("dla0", "dla0_core"),
        ("dla1", "dla1_core"),
    ] {
        let path = root
            .join("sys/kernel/debug/clk")
            .join(clock)
            .join("clk_rate");
        if let Some(hz) = number(&path) {
            clocks.push((name.to_owned(), hz / 1e6));
        }
    }
    if let Some(khz) = number(&root.join("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")) {
        clocks.push(("cpu0".to_owned(), khz / 1e3));
    }
    clocks
}

fn temperatures(root: &Path) -> Vec<(String, f64)> {
    entries(root.join("sys/class/thermal"))
        .iter()
        .filter_map(|zone| {
            let name = first_line(&zone.join("type"))?;
            let celsius = number(&zone.join("temp"))? / 1000.0;
            // Absent sensors read -256.
            (celsius > -100.0).then_some((name, celsius))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        use std::io::Write as _;
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    #[test]
    fn a_xavier_nx_is_read_and_left_as_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(
            root,
            "proc/device-tree/model",
            "NVIDIA Jetson Xavier NX Developer Kit\0",
        );
        put(
            root,
            "etc/nv_tegra_release",
            "# R35 (release), REVISION: 3.1, GCID: 32827747\nmore",
        );
        put(root, "var/lib/nvpmodel/status", "pmode:0008");
        put(
            root,
            "etc/nvpmodel.conf",
            "# comment\n< POWER_MODEL ID=0 NAME=MODE_15W_2CORE >\n< POWER_MODEL ID=8 NAME=MODE_20W_6CORE >\n",
        );
        put(
            root,
            "sys/class/devfreq/17000000.gv11b/cur_freq",
            "1109250000\n",
        );
        put(
            root,
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
            "1420800\n",
        );
        put(root, "sys/class/thermal/thermal_zone1/type", "GPU-therm\n");
        put(root, "sys/class/thermal/thermal_zone1/temp", "41500\n");
        put(root, "sys/class/thermal/thermal_zone2/type", "CV0-therm\n");
        put(root, "sys/class/thermal/thermal_zone2/temp", "-256000\n");
        let before = tree(root);
        let env = read_under(root);
        assert_eq!(
            env.board.as_deref(),
            Some("NVIDIA Jetson Xavier NX Developer Kit")
        );
        assert_eq!(env.power_mode.as_deref(), Some("MODE_20W_6CORE"));
        assert!(env.l4t.as_deref().unwrap().starts_with("# R35"));
        assert_eq!(
            env.clocks_mhz,
            [("cpu0".into(), 1420.8), ("gpu".into(), 1109.25)]
        );
        assert_eq!(env.temperatures_c, [("GPU-therm".into(), 41.5)]);
        assert_eq!(target(&env).unwrap().id(), "xavier-nx@20W:8.5");
        assert_eq!(tree(root), before);
    }

    fn tree(root: &Path) -> Vec<(PathBuf, Option<String>)> {
        let mut all = Vec::new();
        let mut stack = vec![root.to_owned()];
        while let Some(path) = stack.pop() {
            all.push((path.clone(), fs::read_to_string(&path).ok()));
            stack.extend(entries(path));
        }
        all.sort();
        all
    }

    #[test]
    fn a_machine_that_is_no_jetson_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let env = read_under(dir.path());
        assert_eq!(env.board, None);
        assert!(env.clocks_mhz.is_empty() && env.power_mode.is_none());
    }
}
