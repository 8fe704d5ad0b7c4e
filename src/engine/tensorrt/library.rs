//! TensorRT's shared libraries, opened when the worker needs them.

use std::ffi::{c_int, c_void};
use std::path::PathBuf;

use libloading::{Library, Symbol};

/// `createInferBuilder_INTERNAL` and `createInferRuntime_INTERNAL`.
pub type CreateFn = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
/// `createNvOnnxParser_INTERNAL`.
pub type CreateParserFn = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> *mut c_void;

/// Why TensorRT cannot be used. Each message says what is missing and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The program was compiled without the headers.
    #[error(
        "this dlaplan cannot build engines: {note}. Build it on the board: \
         `cargo build --release --no-default-features --features tensorrt`"
    )]
    NotCompiled {
        /// What the build script found.
        note: &'static str,
    },
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
    /// The library does not fit the headers.
    #[error(
        "libnvinfer is TensorRT {loaded} and this dlaplan was compiled for {compiled}; build it on \
         this machine, or install the same version"
    )]
    Version {
        /// Of the library.
        loaded: Version,
        /// Of the headers.
        compiled: Version,
    },
    /// TensorRT's own refusal.
    #[error("TensorRT: {0}")]
    Refused(String),
}

/// A TensorRT version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

impl Version {
    /// From `getInferLibVersion`: major x 1000 + minor x 100 + patch up to 9, major x 10000 +
    /// minor x 100 + patch from 10 on.
    pub fn from_library(number: i32) -> Self {
        let n = number.max(0) as u32;
        let major = if n >= 100_000 { n / 10_000 } else { n / 1000 };
        let rest = if n >= 100_000 { n % 10_000 } else { n % 1000 };
        Self {
            major,
            minor: rest / 100,
            patch: rest % 100,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The opened libraries. They stay open as long as the value, and every TensorRT object must be
/// gone before it.
#[derive(Debug)]
pub struct Libraries {
    /// libnvinfer's version.
    pub version: Version,
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
    /// Opens libnvinfer of a major version, and the ONNX parser and the plug-ins if they are
    /// there. `TENSORRT_LIB_DIR` is looked at before the loader's own path.
    pub fn open(major: u32) -> Result<Self, Unavailable> {
        let (infer, name) = open("nvinfer", major)?;
        // SAFETY: the entry points have these types in every TensorRT since 8.0.
        unsafe {
            let version: Symbol<'_, unsafe extern "C" fn() -> i32> =
                symbol(&infer, &name, "getInferLibVersion")?;
            let version = Version::from_library(version());
            let create_builder = *symbol::<CreateFn>(&infer, &name, "createInferBuilder_INTERNAL")?;
            let create_runtime = *symbol::<CreateFn>(&infer, &name, "createInferRuntime_INTERNAL")?;
            let (parser, create_parser, parser_missing) = match open("nvonnxparser", major) {
                Ok((parser, name)) => {
                    let create =
                        symbol::<CreateParserFn>(&parser, &name, "createNvOnnxParser_INTERNAL");
                    let create = create.map(|s| *s);
                    (Some(parser), create.as_ref().ok().copied(), create.err())
                }
                Err(e) => (None, None, Some(e)),
            };
            let (plugin, plugins_missing) = match open("nvinfer_plugin", major) {
                Ok((plugin, _)) => (Some(plugin), None),
                Err(e) => (None, Some(e.to_string())),
            };
            Ok(Self {
                version,
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

fn open(stem: &str, major: u32) -> Result<(Library, String), Unavailable> {
    let name = format!("lib{stem}.so.{major}");
    if let Some(dir) = std::env::var_os("TENSORRT_LIB_DIR") {
        let path = PathBuf::from(dir).join(&name);
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
        let message = Libraries::open(987).map(|_| ()).unwrap_err().to_string();
        assert!(
            message.starts_with("libnvinfer.so.987 cannot be opened"),
            "{message}"
        );
        assert!(message.contains("LD_LIBRARY_PATH"), "{message}");
    }
}
