//! What another machine is and what it lacks to measure, in one ssh call and without dlaplan there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::{Component, Path};
use std::time::Duration;

use serde::Serialize;

use crate::engine::environment;
use crate::engine::log::escape;
use crate::engine::run::Environment;

use super::call::{CallError, call};
use super::ssh::Host;

/// Sent to `sh -s`. Every answer follows a line `=dlaplan= NAME`; files of the board are sent as
/// they are and read here as [`environment::read_under`] reads those of this machine.
const SURVEY: &str = r#"
s() { printf '\n=dlaplan= %s\n' "$*"; }
s arch; uname -m
s glibc; getconf GNU_LIBC_VERSION 2>/dev/null
s jetpack; dpkg-query -W -f '${Version}\n' nvidia-jetpack 2>/dev/null
s nvinfer
for d in /usr/lib/* "${TENSORRT_LIB_DIR:-/nonexistent}"; do
  for l in "$d"/libnvinfer.so.*.* "$d"/libnvinfer.so.[0-9] "$d"/libnvinfer.so.1[0-9] \
    "$d"/libnvinfer_builder_resource.so.*.*; do
    test -e "$l" && { test ! -L "$l" || case $l in *.so.*.*) ;; *) false; esac; } && printf '%s\n' "$l"
  done; done
s dla; ls -d /dev/nvhost-nvdla* /dev/nvhost-ctrl-nvdla* 2>/dev/null
s disk; df -Pk "$HOME" 2>/dev/null | tail -n 1
PATH=$PATH:$HOME/.cargo/bin:$HOME/.local/bin
s installed; command -v dlaplan
s deployed; for p in "$HOME"/.local/lib/dlaplan/*/dlaplan; do
  test -f "$p" && test ! -L "${p%/dlaplan}" && sha256sum "$p"; done
s file /var/lib/dpkg/status
dpkg-query -W -f 'Package: ${Package}\nVersion: ${Version}\n' nvidia-l4t-core 2>/dev/null
for p in /proc/sys/kernel/hostname /proc/device-tree/model /proc/device-tree/compatible \
  /proc/meminfo /etc/nv_tegra_release /etc/nvpmodel.conf /var/lib/nvpmodel/status /.dockerenv \
  /run/.containerenv /sys/class/dmi/id/product_name /sys/class/devfreq/*/*_freq \
  /sys/class/devfreq/*/governor /sys/class/devfreq/*/device/of_node/name \
  /sys/devices/system/cpu/cpu0/cpufreq/scaling_*_freq \
  /sys/devices/platform/*.host1x/*.nvdla*/power/runtime_status \
  /sys/devices/platform/*.host1x/*.nvdla*/acm/clk_cap/dla*_core \
  /sys/devices/platform/bus@0/*.host1x/*.nvdla*/power/runtime_status \
  /sys/devices/platform/bus@0/*.host1x/*.nvdla*/clk_cap/dla*_core \
  /sys/kernel/nvpmodel_clk_cap/emc /sys/kernel/nvpmodel_emc_cap/emc_iso_cap \
  /sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp
do test -f "$p" && test -r "$p" && { s file "$p"; head -c 65536 "$p" 2>/dev/null; }; done
s end
"#;
/// Most files of a board that are read.
const MAX_FILES: usize = 2000;
/// What the packaged binary needs.
const GLIBC: (u32, u32) = (2, 31);
/// A build of a small network takes about so much, MiB.
const LOW_MEMORY_MB: f64 = 1024.0;
/// For the binary, a model and its engine, bytes.
const LOW_DISK: u64 = 1 << 30;

/// A machine, as one call finds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Survey {
    /// Its processor, as `uname -m` has it: `aarch64`.
    pub arch: String,
    /// C library, `2.31`.
    pub glibc: Option<String>,
    /// Version of the package nvidia-jetpack.
    pub jetpack: Option<String>,
    /// TensorRT's libraries, and their builders': the name of PyPI's libnvinfer has only the major
    /// version, that of its builder the whole one.
    pub nvinfer: Vec<String>,
    /// DLA cores whose device nodes are there.
    pub dla_nodes: u32,
    /// Bytes free in the user's home.
    pub disk_free: Option<u64>,
    /// dlaplan in the path.
    pub installed: Option<String>,
    /// Deployed binaries: SHA-256 and path.
    pub deployed: Vec<(String, String)>,
    /// Module, release, power mode, clocks, memory.
    pub environment: Environment,
}

/// Something that keeps a machine from measuring, or measuring well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What is missing.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Nothing can be measured without it.
    pub fatal: bool,
}

/// Asks a machine what it is.
///
/// # Errors
/// It cannot be reached, or has no POSIX shell.
pub fn survey(host: &Host) -> Result<Survey, CallError> {
    let answer = call(
        host,
        &[],
        "sh -s",
        Cursor::new(SURVEY),
        Duration::from_mins(1),
    )?;
    let survey = Survey::parse(&answer);
    if survey.arch.is_empty() {
        return Err(CallError::Failed(format!(
            "{host} answered something else than was asked; does its login shell start other \
             programs?"
        )));
    }
    Ok(survey)
}

impl Survey {
    /// Reads the answer to [`SURVEY`]; what is not understood is absent.
    pub fn parse(answer: &[u8]) -> Self {
        const MARK: &[u8] = b"\n=dlaplan= ";
        let mut survey = Self::default();
        let root = tempfile::tempdir().ok();
        let mut files = 0;
        let mut rest = answer;
        while let Some(at) = find(rest, MARK) {
            rest = rest.get(at + MARK.len()..).unwrap_or_default();
            let end = find(rest, MARK).unwrap_or(rest.len());
            let section = rest.get(..end).unwrap_or_default();
            let line = section.iter().position(|b| *b == b'\n').unwrap_or(end);
            let name = String::from_utf8_lossy(section.get(..line).unwrap_or_default());
            let content = section.get(line + 1..).unwrap_or_default();
            match name.strip_prefix("file ") {
                Some(path) if files < MAX_FILES => {
                    files += 1;
                    if let Some(root) = &root {
                        put(root.path(), path, content);
                    }
                }
                Some(_) => {}
                None => survey.take(&name, &String::from_utf8_lossy(content)),
            }
        }
        if let Some(root) = root {
            survey.environment = environment::read_under(root.path());
        }
        survey
    }

    fn take(&mut self, name: &str, content: &str) {
        let lines: Vec<String> = content
            .lines()
            .map(|l| escape(l.trim(), 300))
            .filter(|l| !l.is_empty())
            .take(100)
            .collect();
        let first = lines.first().cloned();
        match name {
            "arch" => self.arch = first.unwrap_or_default(),
            "glibc" => {
                self.glibc = first.and_then(|l| l.strip_prefix("glibc ").map(str::to_owned));
            }
            "jetpack" => self.jetpack = first,
            "nvinfer" => self.nvinfer = lines,
            "dla" => {
                let core = |l: &String| l.rsplit_once("nvdla").map(|(_, core)| core.to_owned());
                let cores: BTreeSet<String> = lines.iter().filter_map(core).collect();
                self.dla_nodes = cores.len() as u32;
            }
            "disk" => {
                let free = first.as_ref().and_then(|l| l.split_whitespace().nth(3));
                self.disk_free = free
                    .and_then(|kb| kb.parse::<u64>().ok())
                    .map(|kb| kb.saturating_mul(1024));
            }
            "installed" => self.installed = first,
            "deployed" => {
                let pair = |l: &String| {
                    let (digest, path) = l.split_once(' ')?;
                    Some((digest.to_owned(), path.trim().to_owned()))
                };
                self.deployed = lines.iter().filter_map(pair).collect();
            }
            _ => {}
        }
    }

    /// The highest TensorRT that is installed, by the names of its libraries.
    pub fn tensorrt(&self) -> Option<String> {
        let versions = |library: &'static str| {
            self.nvinfer.iter().filter_map(move |path| {
                let (folder, version) = path.rsplit_once(library)?;
                let numbers: Option<Vec<u32>> =
                    version.split('.').map(|n| n.parse().ok()).collect();
                Some((numbers?, version, folder))
            })
        };
        let best = versions("libnvinfer.so.").max()?;
        let whole = versions("libnvinfer_builder_resource.so.")
            .filter(|b| best.0.len() == 1 && b.2 == best.2 && b.0.first() == best.0.first())
            .max();
        Some(whole.unwrap_or(best).1.to_owned())
    }

    /// What is missing there, the gravest first.
    pub fn lacks(&self, host: &Host) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let mut lack = |fatal, what: String, remedy: String| {
            lacks.push(Lack {
                what,
                remedy,
                fatal,
            });
        };
        let env = &self.environment;
        let board = environment::target(env).map(|t| t.board);
        if !["aarch64", "x86_64"].contains(&self.arch.as_str()) {
            lack(
                true,
                format!("its processor is {}", self.arch),
                "dlaplan runs on aarch64 and x86_64".into(),
            );
        }
        if let Some(glibc) = self.glibc.as_deref().filter(|v| older(v, GLIBC)) {
            lack(
                true,
                format!("glibc {glibc} is older than the 2.31 of the packaged binary"),
                "install JetPack 5 or later, or build dlaplan there and name it with --binary"
                    .into(),
            );
        }
        if self.tensorrt().is_none() {
            let remedy = if env.container {
                "use an image with TensorRT, such as l4t-tensorrt of the board's L4T"
            } else {
                "`sudo apt install nvidia-tensorrt` there; elsewhere set TENSORRT_LIB_DIR"
            };
            lack(true, "no TensorRT (libnvinfer)".into(), remedy.into());
        }
        if self.installed.is_none() && self.deployed.is_empty() {
            lack(
                true,
                "no dlaplan".into(),
                format!("`dlaplan deploy {host}`"),
            );
        }
        if let Some(board) = board.filter(|b| b.dla_cores() > self.dla_nodes) {
            let remedy = if env.container {
                "start the container with `--runtime nvidia` and the board's nodes: --device \
                 /dev/nvhost-nvdla0 --device /dev/nvhost-ctrl-nvdla0 (and ...nvdla1), /dev/nvmap"
            } else {
                "look at /dev/nvhost-*nvdla*: the user must be in the group video"
            };
            lack(
                false,
                format!(
                    "{} of {} DLA cores have a device node",
                    self.dla_nodes,
                    board.dla_cores()
                ),
                remedy.into(),
            );
        }
        if let Some(board) = board
            && let Err(why) = environment::place(env)
        {
            let remedy = if env.container {
                "measure outside of the container"
            } else {
                "set a mode that dlaplan knows with nvpmodel"
            };
            lack(
                false,
                format!(
                    "figures of this {} would belong to no chart: {why}",
                    board.name
                ),
                remedy.into(),
            );
        }
        if let Some(gpu) = env.clock_ranges.iter().find(|c| c.name == "gpu")
            && gpu.locked() == Some(false)
            && let (Some(min), Some(max)) = (gpu.min_mhz, gpu.max_mhz)
        {
            lack(
                false,
                format!("the GPU's clock may move between {min:.0} and {max:.0} MHz"),
                "`sudo jetson_clocks` holds it until the next start; `sudo jetson_clocks --restore` \
                 lets it go"
                    .into(),
            );
        }
        if let Some(mb) = env.memory_available_mb.filter(|mb| *mb < LOW_MEMORY_MB) {
            lack(
                false,
                format!("only {mb:.0} MiB of memory are available"),
                "close other programs; a build that does not fit is killed".into(),
            );
        }
        if let Some(free) = self.disk_free.filter(|free| *free < LOW_DISK) {
            lack(
                false,
                format!("only {} MB of the disk are free", free / 1_000_000),
                format!("delete what is not needed; `dlaplan cache --clear {host}` helps"),
            );
        }
        lacks.sort_by_key(|l| !l.fatal);
        lacks
    }
}

fn older(version: &str, than: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < than,
        _ => false,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// Puts a file of the board below `root`; a path that leads elsewhere is left out.
fn put(root: &Path, path: &str, content: &[u8]) {
    let Ok(path) = Path::new(path).strip_prefix("/") else {
        return;
    };
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if !plain || path.as_os_str().is_empty() {
        return;
    }
    let path = root.join(path);
    // What cannot be kept is absent.
    let _absent = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| File::create(&path))
        .and_then(|mut file| file.write_all(content));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIN: &str = "Welcome!\n=dlaplan= arch\naarch64\n\n=dlaplan= glibc\nglibc 2.35\n\
        \n=dlaplan= jetpack\n6.2+b77\n\n=dlaplan= nvinfer\n/usr/lib/aarch64-linux-gnu/libnvinfer.so.8.6.2\n\
        /usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0\n\n=dlaplan= dla\n/dev/nvhost-nvdla0\n\
        /dev/nvhost-ctrl-nvdla0\n/dev/nvhost-nvdla1\n\n=dlaplan= disk\n/dev/nvme0n1 100 50 2000000 3% /\n\
        \n=dlaplan= installed\n\n=dlaplan= deployed\n\
        \n=dlaplan= file /proc/device-tree/compatible\nnvidia,p3768-0000+p3767-0000\0\
        \n=dlaplan= file /etc/nvpmodel.conf\n< POWER_MODEL ID=0 NAME=MAXN >\n\
        \n=dlaplan= file /var/lib/nvpmodel/status\npmode:0000\n\
        \n=dlaplan= file /../../escaped\nx\n\
        \n=dlaplan= file /sys/class/devfreq/17000000.gpu/cur_freq\n306000000\n\
        \n=dlaplan= file /sys/class/devfreq/17000000.gpu/min_freq\n306000000\n\
        \n=dlaplan= file /sys/class/devfreq/17000000.gpu/max_freq\n918000000\n\
        \n=dlaplan= end\n";

    #[test]
    fn a_board_is_read_from_one_answer() {
        let survey = Survey::parse(ORIN.as_bytes());
        assert_eq!(survey.arch, "aarch64");
        assert_eq!(survey.glibc.as_deref(), Some("2.35"));
        assert_eq!(survey.tensorrt().as_deref(), Some("10.3.0"));
        assert_eq!(
            (survey.dla_nodes, survey.disk_free),
            (2, Some(2_048_000_000))
        );
        let env = &survey.environment;
        assert_eq!(env.module.as_deref(), Some("p3767-0000"));
        assert_eq!(env.power_mode.as_deref(), Some("MAXN"));
        let host = "orin".parse().unwrap();
        let lacks = survey.lacks(&host);
        let words: Vec<&str> = lacks.iter().map(|l| l.what.as_str()).collect();
        assert_eq!(
            words,
            [
                "no dlaplan",
                "the GPU's clock may move between 306 and 918 MHz"
            ]
        );
        assert_eq!(lacks[0].remedy, "`dlaplan deploy orin`");
    }

    #[test]
    fn a_library_without_a_version_has_its_builders() {
        let of = |names: &[&str]| {
            let nvinfer = names.iter().map(|n| format!("/opt/trt/{n}")).collect();
            let survey = Survey {
                nvinfer,
                ..Survey::default()
            };
            survey.tensorrt()
        };
        let builder = "libnvinfer_builder_resource.so.8.6.0";
        assert_eq!(of(&["libnvinfer.so.8", builder]).as_deref(), Some("8.6.0"));
        assert_eq!(of(&["libnvinfer.so.8"]).as_deref(), Some("8"));
        assert_eq!(of(&[builder]), None);
        let newer = ["libnvinfer.so.8", builder, "libnvinfer.so.10.3.0"];
        assert_eq!(of(&newer).as_deref(), Some("10.3.0"));
    }

    #[test]
    fn what_is_missing_has_a_remedy() {
        let mut survey = Survey::parse(ORIN.as_bytes());
        survey.glibc = Some("2.27".into());
        survey.nvinfer.clear();
        survey.dla_nodes = 0;
        survey.environment.container = true;
        survey.environment.memory_available_mb = Some(300.0);
        survey.disk_free = Some(5_000_000);
        let lacks = survey.lacks(&"orin".parse().unwrap());
        let text = format!("{lacks:?}");
        for part in [
            "2.27",
            "l4t-tensorrt",
            "--device",
            "container",
            "300 MiB",
            "cache --clear",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert!(lacks.iter().all(|l| !l.remedy.is_empty()));
        assert!(lacks.is_sorted_by_key(|l| !l.fatal));
    }

    #[test]
    fn garbage_is_no_board() {
        for bytes in [
            &b""[..],
            b"\n=dlaplan= ",
            b"\xff\xfe\n=dlaplan= file \n=dlaplan= file /\nx",
        ] {
            let survey = Survey::parse(bytes);
            assert!(survey.arch.is_empty() && survey.environment.module.is_none());
        }
    }
}
