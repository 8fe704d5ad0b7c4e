//! TensorRT's shared libraries, opened when the worker needs them.

use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::{Library, Symbol};

use super::slots;
use crate::engine::tensorrt::version::Version;

/// `createInferBuilder_INTERNAL` and `createInferRuntime_INTERNAL`.
pub type CreateFn = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
/// `createNvOnnxParser_INTERNAL`.
pub type CreateParserFn = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> *mut c_void;

/// Why TensorRT cannot be used. Each message says what is missing and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// A library is missing.
    #[error(
        "{name} cannot be opened: {reason}. On a Jetson: `sudo apt install nvidia-tensorrt`; \
         elsewhere put its folder into LD_LIBRARY_PATH or TENSORRT_LIB_DIR"
    )]
    Library {
        /// File name.
        name: String,
        /// The loader's reason.
        reason: String,
    },
    /// An entry point is missing.
    #[error("{name} has no {symbol}; it is not the TensorRT it says it is, or too old")]
    Symbol {
        /// File name.
        name: String,
        /// Entry point.
        symbol: &'static str,
    },
    /// A version outside the table of slots.
    #[error(
        "libnvinfer is TensorRT {loaded}, which this dlaplan does not know; it works with {known}: \
         take a newer dlaplan, or put the folder of one of those into TENSORRT_LIB_DIR",
        known = slots::KNOWN
    )]
    Version {
        /// Of the library.
        loaded: Version,
    },
    /// TensorRT's own refusal.
    #[error("TensorRT: {0}")]
    Refused(String),
}

impl Unavailable {
    /// The library itself is not there, as far as the loader's words tell.
    fn not_there(&self) -> bool {
        matches!(self, Self::Library { name, reason } if reason.starts_with(name.as_str()))
    }
}

/// Majors that are looked for only to refuse them by name.
const UNKNOWN: [u32; 6] = [12, 13, 14, 15, 9, 7];

/// The opened libraries. They stay open as long as the value, and every TensorRT object must be
/// gone before it.
#[derive(Debug)]
pub struct Libraries {
    /// libnvinfer's version.
    pub version: Version,
    /// The same as its entry points take it.
    pub number: i32,
    /// The ONNX parser's version as its entry point takes it.
    pub parser_number: i32,
    create_builder: CreateFn,
    create_runtime: CreateFn,
    create_parser: Option<CreateParserFn>,
    parser_missing: Option<Unavailable>,
    /// Why the plug-in library was left out, if it was.
    pub plugins_missing: Option<String>,
    // Order matters: dropped last to first opened.
    plugin: Option<Library>,
    _parser: Option<Library>,
    _infer: Library,
}

impl Libraries {
    /// Opens the highest libnvinfer that is there and known, and the ONNX parser and the plug-ins
    /// of the same major if they are there. `TENSORRT_LIB_DIR` is looked at before the loader's own
    /// path.
    ///
    /// # Errors
    /// There is none, it cannot be opened, or its version is unknown.
    pub fn open() -> Result<Self, Unavailable> {
        let dir = std::env::var_os("TENSORRT_LIB_DIR").map(PathBuf::from);
        Self::open_in(dir.as_deref())
    }

    fn open_in(dir: Option<&Path>) -> Result<Self, Unavailable> {
        let in_dir = |major: &u32| {
            let name = format!("libnvinfer.so.{major}");
            dir.is_some_and(|dir| dir.join(name).is_file())
        };
        if let Some(major) = slots::MAJORS.iter().chain(&UNKNOWN).find(|m| in_dir(m)) {
            return Self::open_major(*major, dir);
        }
        let mut why = None;
        for major in slots::MAJORS.iter().chain(&UNKNOWN) {
            match Self::open_major(*major, dir) {
                // A library that is there and lacks one of its own says more than one that is not.
                Err(e @ Unavailable::Library { .. }) if why.is_none() || !e.not_there() => {
                    why = Some(e);
                }
                Err(Unavailable::Library { .. }) => {}
                other => return other,
            }
        }
        Err(why.unwrap_or_else(|| Unavailable::Refused("no libnvinfer".into())))
    }

    fn open_major(major: u32, dir: Option<&Path>) -> Result<Self, Unavailable> {
        let (infer, name) = open("nvinfer", major, dir)?;
        // SAFETY: the entry points have these types in every TensorRT since 8.0.
        unsafe {
            let version: Symbol<'_, unsafe extern "C" fn() -> i32> =
                symbol(&infer, &name, "getInferLibVersion")?;
            let number = version();
            let version = Version::from_library(number);
            // Nothing else is called in a library of unknown layout.
            if slots::Column::of(version).is_none() {
                return Err(Unavailable::Version { loaded: version });
            }
            let create_builder = *symbol::<CreateFn>(&infer, &name, "createInferBuilder_INTERNAL")?;
            let create_runtime = *symbol::<CreateFn>(&infer, &name, "createInferRuntime_INTERNAL")?;
            let (parser, create_parser, parser_missing) = match open("nvonnxparser", major, dir) {
                Ok((parser, name)) => {
                    let create =
                        symbol::<CreateParserFn>(&parser, &name, "createNvOnnxParser_INTERNAL");
                    let create = create.map(|s| *s);
                    (Some(parser), create.as_ref().ok().copied(), create.err())
                }
                Err(e) => (None, None, Some(e)),
            };
            let parser_number = parser.as_ref().and_then(|parser| {
                let number = parser.get::<unsafe extern "C" fn() -> i32>(b"getNvOnnxParserVersion");
                number.ok().map(|number| number())
            });
            let (plugin, plugins_missing) = match open("nvinfer_plugin", major, dir) {
                Ok((plugin, _)) => (Some(plugin), None),
                Err(e) => (None, Some(e.to_string())),
            };
            Ok(Self {
                version,
                number,
                // 0.1.0, as every parser up to TensorRT 10.0 says.
                parser_number: parser_number.unwrap_or(100),
                create_builder,
                create_runtime,
                create_parser,
                parser_missing,
                plugins_missing,
                plugin,
                _parser: parser,
                _infer: infer,
            })
        }
    }

    /// `createInferBuilder_INTERNAL`.
    pub fn create_builder(&self) -> CreateFn {
        self.create_builder
    }

    /// `createInferRuntime_INTERNAL`.
    pub fn create_runtime(&self) -> CreateFn {
        self.create_runtime
    }

    /// `createNvOnnxParser_INTERNAL`.
    pub fn create_parser(&self) -> Result<CreateParserFn, Unavailable> {
        self.create_parser.ok_or_else(|| {
            self.parser_missing
                .clone()
                .unwrap_or_else(|| Unavailable::Refused("no ONNX parser".into()))
        })
    }

    /// Registers the plug-ins that some ONNX ops become (`initLibNvInferPlugins`).
    pub fn register_plugins(&self, logger: *mut c_void) {
        type Init = unsafe extern "C" fn(*mut c_void, *const std::ffi::c_char) -> bool;
        if let Some(plugin) = &self.plugin
            // SAFETY: the entry point has this type in every TensorRT since 5.
            && let Ok(init) = unsafe { plugin.get::<Init>(b"initLibNvInferPlugins\0") }
        {
            // SAFETY: `logger` is a live ILogger; the empty namespace is the default one.
            let _registered = unsafe { init(logger, c"".as_ptr()) };
        }
    }
}

unsafe fn symbol<'l, T>(
    library: &'l Library,
    name: &str,
    symbol: &'static str,
) -> Result<Symbol<'l, T>, Unavailable> {
    // SAFETY: the caller vouches for the type.
    unsafe { library.get(symbol.as_bytes()) }.map_err(|_missing| Unavailable::Symbol {
        name: name.to_owned(),
        symbol,
    })
}

fn open(stem: &str, major: u32, dir: Option<&Path>) -> Result<(Library, String), Unavailable> {
    let name = format!("lib{stem}.so.{major}");
    if let Some(dir) = dir {
        let path = dir.join(&name);
        // SAFETY: NVIDIA's libraries run no code of note when opened.
        if let Ok(library) = unsafe { Library::new(&path) } {
            return Ok((library, path.display().to_string()));
        }
    }
    // SAFETY: as above.
    match unsafe { Library::new(&name) } {
        Ok(library) => Ok((library, name)),
        Err(e) => Err(Unavailable::Library {
            reason: e.to_string(),
            name,
        }),
    }
}

/// Whether a library can be opened and has an entry point.
pub fn has_symbol(names: &[&str], symbol: &str) -> bool {
    names.iter().any(|name| {
        // SAFETY: NVIDIA's libraries run no code of note when opened; the symbol is not called.
        unsafe {
            Library::new(*name).is_ok_and(|l| l.get::<*const c_void>(symbol.as_bytes()).is_ok())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn versions_of_the_library() {
        let text = |n| Version::from_library(n).to_string();
        assert_eq!(text(8502), "8.5.2");
        assert_eq!(text(8601), "8.6.1");
        assert_eq!(text(100_300), "10.3.0");
        assert_eq!(text(101_303), "10.13.3");
        assert_eq!(text(110_401), "11.4.1");
    }

    #[test]
    fn a_missing_library_says_what_to_do() {
        let message = Libraries::open_major(987, None)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("libnvinfer.so.987 cannot be opened"),
            "{message}"
        );
        assert!(message.contains("LD_LIBRARY_PATH"), "{message}");
    }

    /// A library that tells a version and can do nothing.
    fn made_up(dir: &Path, major: u32, number: u32) {
        let source = dir.join("made_up.c");
        let text = format!(
            "int getInferLibVersion(void) {{ return {number}; }}\n\
             void *createInferBuilder_INTERNAL(void *l, int v) {{ return 0; }}\n\
             void *createInferRuntime_INTERNAL(void *l, int v) {{ return 0; }}\n"
        );
        std::fs::File::create(&source)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .unwrap();
        let built = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(dir.join(format!("libnvinfer.so.{major}")))
            .arg(&source)
            .status();
        assert!(built.unwrap().success());
    }

    #[test]
    fn a_version_outside_the_table_is_refused_by_name() {
        // A major of the future, and one that hides behind a known file name.
        for (major, number) in [(12, 120_100), (10, 120_100), (8, 8401)] {
            let dir = tempfile::tempdir().unwrap();
            made_up(dir.path(), major, number);
            let refused = Libraries::open_in(Some(dir.path()))
                .map(|_| ())
                .unwrap_err();
            let loaded = Version::from_library(number as i32);
            assert_eq!(refused, Unavailable::Version { loaded });
            let message = refused.to_string();
            assert!(message.contains(&format!("TensorRT {loaded}")), "{message}");
            assert!(message.contains(slots::KNOWN), "{message}");
        }
    }

    #[test]
    fn the_highest_known_library_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        for (major, number) in [(8, 8601), (10, 100_300), (12, 120_100)] {
            made_up(dir.path(), major, number);
        }
        let libraries = Libraries::open_in(Some(dir.path())).unwrap();
        assert_eq!(libraries.version.to_string(), "10.3.0");
        assert_eq!(libraries.number, 100_300);
    }
}
