//! The machine a run happens on, read from files that need no rights and change nothing.

mod described;
mod files;
mod module;
pub(super) mod nvml;
pub(super) mod power_mode;
pub(super) mod sensors;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::platform::{Board, Place, Target};

use super::log::escape;
use super::run::Environment;
pub use described::description;
use files::{MAX_TEXT, first_line, memory_mb, text};

/// The user's folder for what can be made again; `None` without a home folder.
pub fn cache_dir() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "dlaplan")?;
    Some(dirs.cache_dir().to_owned())
}

/// The user's folder of built engines and timing caches, in [`cache_dir`].
pub fn engines_dir() -> Option<PathBuf> {
    Some(cache_dir()?.join("engines"))
}

/// Reads board, release, power mode, clocks, temperatures and rails. What cannot be read is left
/// out.
pub fn read() -> Environment {
    read_under(Path::new("/"))
}

/// The same with another root folder.
pub fn read_under(root: &Path) -> Environment {
    let line = |path: &str| first_line(&root.join(path));
    let mode = power_mode::read(root);
    let mut env = Environment {
        host: line("proc/sys/kernel/hostname").unwrap_or_default(),
        board: line("proc/device-tree/model").or_else(|| line("sys/class/dmi/id/product_name")),
        module: text(&root.join("proc/device-tree/compatible"))
            .and_then(|names| module::part_number(&names)),
        container: [".dockerenv", "run/.containerenv"]
            .iter()
            .any(|mark| root.join(mark).exists()),
        l4t: line("etc/nv_tegra_release").or_else(|| l4t_of_dpkg(root)),
        memory_mb: memory_mb(root, "MemTotal:"),
        memory_available_mb: memory_available_mb(root),
        swap_free_mb: memory_mb(root, "SwapFree:"),
        power_mode: mode.name,
        power_modes: power_mode::modes(root),
        mode_not_applied: mode.not_applied,
        dlaplan: env!("CARGO_PKG_VERSION").to_owned(),
        ..Environment::default()
    };
    sensors::read(root, &mut env);
    env
}

/// The target a machine is, where a Jetson's module or name tells, or a description of its GPU:
/// what can be planned for it. Its power mode is the board's default where the mode in force is not
/// known; [`place`] is stricter.
pub fn target(environment: &Environment) -> Option<Target> {
    let board = match module::board_id(environment) {
        Some(id) => Board::find(id)?,
        None => described::board(environment)?,
    };
    let mut target = Target::of(board);
    let mode = environment.power_mode.as_ref();
    if let Some(mode) = mode.and_then(|m| board.mode(m)) {
        target.mode = mode;
    }
    let version = environment.tensorrt.as_ref().and_then(|v| v.parse().ok());
    if let Some(version) = version
        && let Ok(exact) = Target::new(board, target.mode, version)
    {
        return Some(exact);
    }
    Some(target)
}

/// The board and power mode that figures of this machine belong to, on a chart and in a
/// calibration: clocks nobody knows would look like a slow or fast board.
///
/// # Errors
/// Why they belong to none, and what to do.
pub fn place(environment: &Environment) -> Result<Target, String> {
    let target = target(environment)
        .ok_or_else(|| format!("{} is no Jetson that dlaplan knows", environment.summary()))?;
    if described::has_no_modes(environment) {
        return Ok(target);
    }
    let board = target.board.name;
    if environment.container {
        return Err(format!(
            "it ran in a container, where the power mode of the {board} cannot be trusted; measure \
             outside of it"
        ));
    }
    match &environment.power_mode {
        None => Err(format!(
            "the power mode of the {board} could not be read (/var/lib/nvpmodel/status; a \
             container does not have it); measure outside of the container"
        )),
        Some(mode) if target.board.mode(mode).is_none() => Err(format!(
            "the clocks of power mode {mode:?} of the {board} are not known"
        )),
        Some(mode) if !environment.mode_not_applied.is_empty() => Err(format!(
            "power mode {mode} of the {board} was not in force: {}; set it with `sudo nvpmodel -m`",
            environment.mode_not_applied.join(", ")
        )),
        Some(_) => Ok(target),
    }
}

/// Where a run was measured, with what is not known left open: a mode that [`place`] does not
/// trust, and a TensorRT of no known version.
pub fn measured_at(environment: &Environment) -> Option<Place> {
    let version = environment.tensorrt.as_ref();
    Some(Place {
        board: target(environment)?.board,
        mode: place(environment).ok().map(|here| here.mode),
        tensorrt: version.and_then(|v| v.parse().ok()),
    })
}

/// L4T by Debian's package, where the release file is missing.
fn l4t_of_dpkg(root: &Path) -> Option<String> {
    /// Longest package list that is read, bytes.
    const MAX_LIST: u64 = 64 << 20;
    let list = File::open(root.join("var/lib/dpkg/status")).ok()?;
    let mut lines = BufReader::new(list.take(MAX_LIST))
        .lines()
        .map_while(Result::ok);
    lines.find(|l| l == "Package: nvidia-l4t-core")?;
    let version = lines
        .take_while(|l| !l.is_empty())
        .find_map(|l| l.strip_prefix("Version: ").map(str::to_owned))?;
    Some(escape(&format!("nvidia-l4t-core {version}"), MAX_TEXT))
}

/// Memory that a new process can have now, MiB.
pub fn memory_available_mb(root: &Path) -> Option<f64> {
    memory_mb(root, "MemAvailable:")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::files::{entries, put};
    use super::*;

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
