//! Where TensorRT's methods stand in its vtables, per version.
//!
//! TensorRT's C++ objects follow the Itanium C++ ABI, as every compiler for Linux does: an object
//! begins with the address of its vtable, a method is a function that takes the object first, and a
//! destructor takes two slots, of which the second one also frees the object. Most methods are not
//! on the object itself but on the implementation whose address follows the vtable's.
//!
//! `scripts/slots_test.sh` compares this table with NVIDIA's headers.

use crate::engine::tensorrt::version::Version;

/// Whose vtable a method is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The object's own.
    Own,
    /// That of the implementation it points to.
    Impl,
}

/// First version of each column of the table. A column serves later minor versions of its major,
/// up to the next column: NVIDIA changes the ABI with the major version only and adds at the end.
const COLUMNS: [(u32, u32); 5] = [(8, 5), (8, 6), (10, 0), (10, 1), (11, 0)];
/// Majors in the table, the one that is preferred first.
pub const MAJORS: [u32; 3] = [11, 10, 8];
/// The versions of the table, for messages.
pub const KNOWN: &str = "8.5, 8.6, 10 and 11";

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column(usize);

impl Column {
    /// The column of a version, where the table has one. TensorRT 8.6 was the last of 8.
    pub fn of(version: Version) -> Option<Self> {
        let found = COLUMNS
            .iter()
            .rposition(|(major, minor)| version.major == *major && version.minor >= *minor)?;
        (version.major != 8 || version.minor <= 6).then_some(Self(found))
    }

    /// Major version.
    pub fn major(self) -> u32 {
        COLUMNS.get(self.0).map_or(0, |c| c.0)
    }
}

/// A method's place in each version.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Whose vtable.
    pub whose: Whose,
    places: [Option<usize>; COLUMNS.len()],
}

impl Slot {
    /// The slot in a version; `None` where that version has no such method.
    pub fn at(&self, column: Column) -> Option<usize> {
        self.places.get(column.0).copied().flatten()
    }
}

macro_rules! place {
    (-) => {
        None
    };
    ($n:literal) => {
        Some($n)
    };
}

macro_rules! whose {
    (own) => {
        Whose::Own
    };
    (impl) => {
        Whose::Impl
    };
}

macro_rules! slots {
    ($($name:ident $whose:tt $a:tt $b:tt $c:tt $d:tt $e:tt;)*) => {
        $(pub const $name: Slot = Slot {
            whose: whose!($whose),
            places: [place!($a), place!($b), place!($c), place!($d), place!($e)],
        };)*
    };
}

// name, whose, then 8.5, 8.6, 10.0, 10.1, 11.0
slots! {
    BUILDER_DELETE own 1 1 1 1 1;
    BUILDER_DLA_CORES impl 7 7 5 5 3;
    BUILDER_NETWORK impl 11 11 8 8 6;
    BUILDER_CONFIG impl 9 9 7 7 5;
    BUILDER_BUILD impl 17 17 14 14 11;
    MEMORY_DELETE own 1 1 1 1 1;
    MEMORY_DATA impl 2 2 2 2 2;
    MEMORY_SIZE impl 3 3 3 3 3;
    PARSER_DELETE own 10 10 9 9 7;
    PARSER_PARSE own 0 0 0 0 0;
    PARSER_ERRORS own 6 6 5 5 3;
    PARSER_ERROR own 7 7 6 6 4;
    ERROR_NODE own 5 5 5 5 5;
    ERROR_TEXT own 1 1 1 1 1;
    NETWORK_DELETE own 1 1 1 1 1;
    NETWORK_LAYERS impl 17 17 12 12 12;
    NETWORK_LAYER impl 18 18 13 13 13;
    NETWORK_INPUTS impl 19 19 14 14 14;
    NETWORK_INPUT impl 20 20 15 15 15;
    NETWORK_OUTPUTS impl 21 21 16 16 16;
    NETWORK_OUTPUT impl 22 22 17 17 17;
    LAYER_NAME impl 4 4 4 4 4;
    LAYER_TYPE impl 2 2 2 2 2;
    LAYER_OUTPUTS impl 7 7 7 7 7;
    LAYER_OUTPUT impl 8 8 8 8 8;
    LAYER_INPUTS impl 5 5 5 5 5;
    LAYER_INPUT impl 6 6 6 6 6;
    TENSOR_NAME impl 3 3 3 3 3;
    TENSOR_DIMS impl 5 5 5 5 5;
    TENSOR_TYPE impl 7 7 7 7 6;
    TENSOR_SET_TYPE impl 6 6 6 6 -;
    TENSOR_SET_FORMATS impl 19 19 19 19 13;
    TENSOR_SET_RANGE impl 8 8 8 8 -;
    CONFIG_DELETE own 1 1 1 1 1;
    CONFIG_SET_FLAG impl 15 15 11 11 9;
    CONFIG_CLEAR_FLAG impl 14 14 10 10 8;
    CONFIG_DEFAULT_DEVICE impl 24 24 20 20 18;
    CONFIG_DEVICE impl 17 17 13 13 11;
    CONFIG_CAN_RUN_ON_DLA impl 21 21 17 17 15;
    CONFIG_DLA_CORE impl 22 22 18 18 16;
    CONFIG_POOL impl 47 47 43 43 32;
    CONFIG_VERBOSITY impl 31 31 27 27 25;
    CONFIG_TACTIC_SOURCES impl 43 43 39 39 28;
    CONFIG_SET_TACTIC_SOURCES impl 42 42 38 38 27;
    CONFIG_CREATE_TIMING_CACHE impl 44 44 40 40 29;
    CONFIG_SET_TIMING_CACHE impl 45 45 41 41 30;
    TIMING_CACHE_DELETE own 1 1 1 1 1;
    TIMING_CACHE_SERIALIZE impl 2 2 2 2 2;
    CONFIG_CALIBRATOR impl 8 8 6 6 -;
    RUNTIME_DELETE own 1 1 1 1 1;
    RUNTIME_DLA_CORES impl 5 5 7 7 6;
    RUNTIME_DLA_CORE impl 3 3 5 5 4;
    RUNTIME_DESERIALIZE impl 2 2 3 3 3;
    ENGINE_DELETE own 1 1 1 1 1;
    ENGINE_TENSORS impl 45 45 30 30 26;
    ENGINE_TENSOR_NAME impl 46 46 31 31 27;
    ENGINE_TENSOR_MODE impl 38 38 23 23 19;
    ENGINE_TENSOR_TYPE impl 35 35 20 20 16;
    ENGINE_TENSOR_DIMS impl 34 34 19 19 15;
    ENGINE_TENSOR_COMPONENTS impl 40 40 25 25 21;
    ENGINE_TENSOR_AXIS impl 43 43 28 28 24;
    ENGINE_DEVICE_MEMORY impl 14 14 7 7 -;
    ENGINE_INSPECTOR impl 33 33 18 18 14;
    ENGINE_CONTEXT impl 11 11 5 5 5;
    INSPECTOR_DELETE own 1 1 1 1 1;
    INSPECTOR_JSON impl 5 5 6 6 6;
    CONTEXT_DELETE own 1 1 1 1 1;
    CONTEXT_ADDRESS impl 32 32 24 24 23;
    CONTEXT_STRIDES impl 31 31 23 23 22;
    CONTEXT_ENQUEUE impl 44 44 37 37 36;
    CONTEXT_PROFILER impl 6 6 5 5 5;
    ON_LOG own 0 0 0 0 4;
    ON_LOG_DELETE own 2 2 2 2 3;
    ON_LAYER_TIME own 0 0 0 0 4;
    ON_LAYER_TIME_DELETE own 2 2 2 2 3;
    ON_CALIBRATOR_DELETE own 6 6 3 3 -;
    ON_BATCH_SIZE own 0 0 4 4 -;
    ON_BATCH own 1 1 5 5 -;
    ON_READ own 2 2 6 6 -;
    ON_WRITE own 3 3 7 7 -;
    ON_ALGORITHM own 4 4 8 8 -;
    LAYER_METADATA impl - 19 19 19 12;
    ON_API_LANGUAGE own - - 0 0 0;
    ON_INTERFACE own - - 1 1 1;
    ENGINE_DEVICE_MEMORY_V2 impl - - - 52 44;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(major: u32, minor: u32) -> Option<Column> {
        let patch = 0;
        Column::of(Version {
            major,
            minor,
            patch,
        })
    }

    #[test]
    fn versions_outside_the_table_have_no_column() {
        for (major, minor) in [(7, 2), (8, 4), (8, 7), (9, 1), (12, 0)] {
            assert_eq!(column(major, minor), None, "{major}.{minor}");
        }
    }

    #[test]
    fn slots_follow_the_version() {
        let at = |slot: Slot, major, minor| column(major, minor).and_then(|c| slot.at(c));
        assert_eq!(at(CONFIG_DEVICE, 8, 5), Some(17));
        assert_eq!(at(CONFIG_DEVICE, 10, 16), Some(13));
        assert_eq!(at(CONFIG_DEVICE, 11, 4), Some(11));
        assert_eq!(at(LAYER_METADATA, 8, 5), None);
        assert_eq!(at(LAYER_METADATA, 8, 6), Some(19));
        assert_eq!(at(ENGINE_DEVICE_MEMORY_V2, 10, 0), None);
        assert_eq!(at(ENGINE_DEVICE_MEMORY_V2, 10, 13), Some(52));
        assert_eq!(at(TENSOR_SET_RANGE, 11, 0), None);
    }
}
