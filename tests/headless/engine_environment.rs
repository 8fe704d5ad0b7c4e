//! What is read of a board, in made-up root folders with the paths of real releases.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use dlaplan::engine::environment::{place, read_under, target};
use dlaplan::engine::{ClockRange, Environment};

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

struct Board {
    name: &'static str,
    compatible: &'static str,
    memory_kb: u64,
    status: Option<&'static str>,
    modes: &'static [(u32, &'static str)],
    gpu: &'static str,
}

impl Board {
    fn write(&self, root: &Path) {
        put(root, "proc/device-tree/model", &format!("{}\0", self.name));
        put(root, "proc/device-tree/compatible", self.compatible);
        let memory = format!(
            "MemTotal: {} kB\nMemAvailable: 2097152 kB\nSwapFree: 1024 kB\n",
            self.memory_kb
        );
        put(root, "proc/meminfo", &memory);
        if let Some(status) = self.status {
            put(root, "var/lib/nvpmodel/status", status);
        }
        let mut modes = String::new();
        for (id, name) in self.modes {
            writeln!(
                modes,
                "< POWER_MODEL ID={id} NAME={name} >\nGPU MAX_FREQ -1"
            )
            .unwrap();
        }
        put(root, "etc/nvpmodel.conf", &modes);
        let gpu = format!("sys/class/devfreq/{}", self.gpu);
        for (file, text) in [
            ("cur_freq", "306000000\n"),
            ("min_freq", "306000000\n"),
            ("max_freq", "918000000\n"),
            ("governor", "nvhost_podgov\n"),
        ] {
            put(root, &format!("{gpu}/{file}"), text);
        }
    }

    fn read(&self) -> Environment {
        let root = tempfile::tempdir().unwrap();
        self.write(root.path());
        read_under(root.path())
    }
}

const XAVIER_NX: Board = Board {
    name: "NVIDIA Jetson Xavier NX Developer Kit",
    compatible: "nvidia,p3509-0000+p3668-0000\0nvidia,tegra194\0",
    memory_kb: 6_846_256,
    status: Some("pmode:0008"),
    modes: &[
        (0, "MODE_15W_2CORE"),
        (2, "MODE_15W_6CORE"),
        (8, "MODE_20W_6CORE"),
    ],
    gpu: "17000000.gv11b",
};
const ORIN_NX: Board = Board {
    name: "NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super",
    compatible: "nvidia,p3768-0000+p3767-0000-super\0nvidia,p3767-0000\0nvidia,tegra234\0",
    memory_kb: 16_000_000,
    status: Some("pmode:0000"),
    modes: &[(0, "MAXN"), (3, "25W")],
    gpu: "17000000.gpu",
};
const AGX_ORIN_KIT: Board = Board {
    name: "Jetson AGX Orin Developer Kit",
    compatible: "nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0nvidia,tegra23x\0",
    memory_kb: 31_324_000,
    status: Some("pmode:0003"),
    modes: &[(0, "MAXN"), (3, "MODE_50W")],
    gpu: "17000000.ga10b",
};

fn place_of(environment: &Environment) -> String {
    place(environment).map_or_else(|why| why, |t| format!("{}@{}", t.board.id, t.mode.name))
}

#[test]
fn boards_are_known_by_their_module() {
    let carrier = Board {
        name: "Seeed reComputer J40",
        compatible: "seeed,recomputer-j40\0nvidia,p3768-0000+p3767-0000\0nvidia,tegra234\0",
        ..ORIN_NX
    };
    let jetpack_4 = Board {
        compatible: "nvidia,p3449-0000+p3668-0000\0nvidia,p3509-0000+p3668-0000\0",
        status: Some("pmode:0002 fmode:quiet"),
        ..XAVIER_NX
    };
    for (board, expected) in [
        (&XAVIER_NX, "xavier-nx@20W"),
        (&jetpack_4, "xavier-nx@15W"),
        (&ORIN_NX, "orin-nx-16@MAXN"),
        (&carrier, "orin-nx-16@MAXN"),
        (&AGX_ORIN_KIT, "agx-orin-64@50W"),
    ] {
        let environment = board.read();
        assert_eq!(place_of(&environment), expected, "{}", board.name);
        assert_eq!(environment.memory_available_mb, Some(2048.0));
        assert_eq!(environment.swap_free_mb, Some(1.0));
        let gpu = ClockRange {
            name: "gpu".into(),
            min_mhz: Some(306.0),
            max_mhz: Some(918.0),
            governor: Some("nvhost_podgov".into()),
        };
        assert_eq!(environment.clock_ranges, [gpu]);
        assert_eq!(environment.clock_ranges[0].locked(), Some(false));
    }
}

#[test]
fn figures_without_a_known_mode_belong_to_no_place() {
    let none = Board {
        status: None,
        ..ORIN_NX
    };
    let environment = none.read();
    assert_eq!(
        target(&environment).unwrap().board.id,
        "orin-nx-16",
        "plans are made for it"
    );
    assert!(place_of(&environment).contains("could not be read"));

    let own = Board {
        modes: &[(0, "MY_MODE")],
        ..ORIN_NX
    };
    assert!(place_of(&own.read()).contains("\"MY_MODE\""));

    let root = tempfile::tempdir().unwrap();
    ORIN_NX.write(root.path());
    put(root.path(), ".dockerenv", "");
    assert!(place_of(&read_under(root.path())).contains("container"));

    let root = tempfile::tempdir().unwrap();
    ORIN_NX.write(root.path());
    let config = "< PARAM TYPE=CLOCK NAME=GPU >\nMAX_FREQ /sys/class/devfreq/17000000.gpu/max_freq\n\
                  < POWER_MODEL ID=0 NAME=MAXN >\nGPU MAX_FREQ 408000000\n";
    put(root.path(), "etc/nvpmodel.conf", config);
    let why = place_of(&read_under(root.path()));
    assert!(
        why.contains("918 MHz") && why.contains("nvpmodel -m"),
        "{why}"
    );
}

#[test]
fn the_dla_is_read_on_every_release_with_and_without_root() {
    for (host, caps) in [
        ("sys/devices/platform/13e40000.host1x", "acm/clk_cap"),
        ("sys/devices/platform/13e10000.host1x", "acm/clk_cap"),
        ("sys/devices/platform/bus@0/13e00000.host1x", "clk_cap"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let dla = format!("{host}/15880000.nvdla0");
        put(
            root.path(),
            &format!("{dla}/{caps}/dla0_core"),
            "1369600000\n",
        );
        put(
            root.path(),
            &format!("{dla}/power/runtime_status"),
            "suspended\n",
        );
        let environment = read_under(root.path());
        assert_eq!(
            environment.dla_status,
            [("dla0".into(), "suspended".into())]
        );
        assert_eq!(environment.clock_ranges[0].max_mhz, Some(1369.6), "{host}");
        assert!(
            environment.clocks_mhz.is_empty(),
            "only root sees the clock"
        );
        put(
            root.path(),
            "sys/kernel/debug/clk/dla0_core/clk_rate",
            "614400000\n",
        );
        put(
            root.path(),
            "sys/kernel/debug/bpmp/debug/clk/emc/rate",
            "2133000000\n",
        );
        let clocks = read_under(root.path()).clocks_mhz;
        assert_eq!(clocks, [("dla0".into(), 614.4), ("emc".into(), 2133.0)]);
    }
}

#[test]
fn rails_and_throttling_are_read_and_caps_of_the_memory() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (file, text) in [
        ("name", "ina3221\n"),
        ("in1_label", "VDD_IN\n"),
        ("in1_input", "5000\n"),
        ("curr1_input", "2400\n"),
        ("in2_label", "NC\n"),
        ("in2_input", "5000\n"),
        ("curr2_input", "8\n"),
        ("in3_label", "VDD_SOC\n"),
    ] {
        put(root, &format!("sys/class/hwmon/hwmon3/{file}"), text);
    }
    put(root, "sys/class/hwmon/hwmon4/name", "pwmfan\n");
    let old = "sys/bus/i2c/drivers/ina3221x/7-0040/iio:device0";
    put(root, &format!("{old}/rail_name_0"), "POM_5V_IN\n");
    put(root, &format!("{old}/in_power0_input"), "4200\n");
    let throttled = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon1";
    put(root, &format!("{throttled}/oc3_event_cnt"), "7\n");
    put(root, "sys/kernel/nvpmodel_clk_cap/emc", "3199000000\n");
    let environment = read_under(root);
    let rails = [("POM_5V_IN".to_owned(), 4.2), ("VDD_IN".to_owned(), 12.0)];
    assert_eq!(environment.rails_w, rails);
    assert_eq!(environment.throttle_events, [("oc3".into(), 7)]);
    assert_eq!(environment.clock_ranges[0].max_mhz, Some(3199.0));
    assert!(environment.clocks_mhz.is_empty());
}

#[test]
fn the_release_is_read_from_its_package_where_the_file_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let list = "Package: a\nVersion: 1\n\nPackage: nvidia-l4t-core\nStatus: install ok installed\n\
                Version: 36.4.3-20250107174145\n\nPackage: z\nVersion: 2\n";
    put(root.path(), "var/lib/dpkg/status", list);
    let l4t = read_under(root.path()).l4t;
    assert_eq!(
        l4t.as_deref(),
        Some("nvidia-l4t-core 36.4.3-20250107174145")
    );
    put(
        root.path(),
        "etc/nv_tegra_release",
        "# R36 (release), REVISION: 4.3\n",
    );
    assert!(read_under(root.path()).l4t.unwrap().starts_with("# R36"));
}
