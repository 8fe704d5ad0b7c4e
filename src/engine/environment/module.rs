//! Which Jetson module a machine is: by the part number in the device tree, else by its name.

use crate::engine::run::Environment;

/// Module part numbers and the boards they are. Sources: the module table of jetson_stats
/// (`jtop/core/jetson_variables.py`) and NVIDIA's flashing guide for JetPack 5.1.1. p3701-0000 is
/// the developer kit's module: 2048 CUDA cores although it has 32 GB, so an AGX Orin 64GB in all
/// but memory. Modules with other clocks (p3701-0008, p2888-0006, p2888-0008) are no board here.
const MODULES: &[(&str, &str)] = &[
    ("p3668-0000", "xavier-nx"),
    ("p3668-0001", "xavier-nx"),
    ("p3668-0003", "xavier-nx"),
    ("p2888-0001", "agx-xavier"),
    ("p2888-0003", "agx-xavier"),
    ("p2888-0004", "agx-xavier"),
    ("p2888-0005", "agx-xavier"),
    ("p3767-0000", "orin-nx-16"),
    ("p3767-0001", "orin-nx-8"),
    ("p3767-0003", "orin-nano-8"),
    ("p3767-0005", "orin-nano-8"),
    ("p3767-0004", "orin-nano-4"),
    ("p3701-0000", "agx-orin-64"),
    ("p3701-0004", "agx-orin-32"),
    ("p3701-0005", "agx-orin-64"),
    ("p3834-0008", "thor"),
    ("p3310-1000", "tx2"),
    ("p3489-0000", "tx2"),
    ("p3489-0888", "tx2"),
    ("p3636-0001", "tx2"),
    ("p3448-0000", "nano"),
    ("p3448-0002", "nano"),
    ("p3448-0003", "nano"),
];

/// The part number of the module, `p3767-0000`, from the strings of `compatible`. A carrier board
/// has one too (`p3509-0000+p3668-0000`), and so does another module on it (TX2 NX).
pub(super) fn part_number(compatible: &str) -> Option<String> {
    let numbers = || {
        compatible
            .split(['\0', ',', '+'])
            .filter_map(|word| word.get(..10))
            .filter(|word| is_part_number(word))
    };
    let family = |number: &str| MODULES.iter().any(|(m, _)| m.get(..5) == number.get(..5));
    numbers().find(|n| family(n)).map(str::to_owned)
}

/// `p` and two groups of four digits.
fn is_part_number(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.next() == Some(b'p')
        && bytes.enumerate().all(|(i, b)| {
            if i == 4 {
                b == b'-'
            } else {
                b.is_ascii_digit()
            }
        })
}

/// The id of the board a machine is, if it is one.
pub(super) fn board_id(environment: &Environment) -> Option<&'static str> {
    if let Some(module) = &environment.module {
        // A module that is not in the table has other clocks, whatever its name says.
        return MODULES.iter().find(|(m, _)| m == module).map(|(_, id)| *id);
    }
    let name = environment.board.as_ref()?.to_ascii_lowercase();
    let gb = environment.memory_mb.unwrap_or(0.0) / 1024.0;
    // Only the modules with 2048 CUDA cores have a 50 W mode.
    let mode = environment.power_mode.as_deref().unwrap_or_default();
    Some(match () {
        () if name.contains("xavier nx") => "xavier-nx",
        () if name.contains("agx xavier") || name.contains("jetson-agx") => "agx-xavier",
        () if name.contains("orin nx") && gb > 10.0 => "orin-nx-16",
        () if name.contains("orin nx") => "orin-nx-8",
        () if name.contains("orin nano") && gb > 5.0 => "orin-nano-8",
        () if name.contains("orin nano") => "orin-nano-4",
        () if name.contains("agx orin") && (gb > 40.0 || mode == "MODE_50W") => "agx-orin-64",
        () if name.contains("agx orin") => "agx-orin-32",
        () if name.contains("thor") => "thor",
        () if name.contains("tx2") => "tx2",
        () if name.contains("jetson nano") => "nano",
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::platform::{Board, boards};

    use super::*;

    #[test]
    fn modules_are_boards_that_exist() {
        for (module, id) in MODULES {
            assert!(is_part_number(module), "{module}");
            assert!(Board::find(id).is_some(), "{id}");
        }
        for board in boards() {
            let known = MODULES.iter().any(|(_, id)| *id == board.id);
            assert!(known, "no module number means {}", board.id);
        }
    }

    #[test]
    fn the_module_is_found_behind_its_carrier() {
        for (compatible, module) in [
            (
                "nvidia,p3509-0000+p3668-0000\0nvidia,tegra194\0",
                Some("p3668-0000"),
            ),
            (
                "nvidia,p3768-0000+p3767-0000-super\0nvidia,p3767-0000\0",
                Some("p3767-0000"),
            ),
            (
                "seeed,recomputer-j40\0nvidia,p3768-0000+p3767-0001\0",
                Some("p3767-0001"),
            ),
            (
                "nvidia,p3509-0000+p3636-0001\0nvidia,tegra186\0",
                Some("p3636-0001"),
            ),
            ("nvidia,p3737-0000+p3701-0008\0", Some("p3701-0008")),
            ("nvidia,p2972-0000\0nvidia,tegra194\0", None),
            ("p\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\0p12345-678\0", None),
            ("", None),
        ] {
            assert_eq!(part_number(compatible).as_deref(), module, "{compatible:?}");
        }
    }

    #[test]
    fn a_module_counts_more_than_a_name() {
        let env = |module: Option<&str>, name: &str, gb: f64| Environment {
            module: module.map(str::to_owned),
            board: Some(name.into()),
            memory_mb: Some(gb * 1024.0),
            ..Environment::default()
        };
        let kit = "Jetson AGX Orin Developer Kit";
        for (environment, id) in [
            (env(Some("p3701-0000"), kit, 30.0), Some("agx-orin-64")),
            (env(Some("p3701-0004"), kit, 30.0), Some("agx-orin-32")),
            (env(Some("p3701-0008"), kit, 62.0), None),
            (
                env(Some("p3767-0000"), "Seeed reComputer J40", 15.0),
                Some("orin-nx-16"),
            ),
            (env(None, kit, 62.0), Some("agx-orin-64")),
            (env(None, kit, 30.0), Some("agx-orin-32")),
            (env(None, "Seeed reComputer J40", 15.0), None),
        ] {
            assert_eq!(board_id(&environment), id);
        }
        let mut fifty = env(None, kit, 30.0);
        fifty.power_mode = Some("MODE_50W".into());
        assert_eq!(board_id(&fifty), Some("agx-orin-64"));
    }
}
