//! INT8 calibration from a cache or from a folder of NumPy batches.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use npyz::{DType, NpyFile, TypeChar};

use super::cuda::{Buffer, CudaError, Device};

/// What `IInt8EntropyCalibrator2` asks for.
pub trait Batches: Send {
    /// Puts the next batch on the device; one address per named input. `false` after the last.
    fn next(&mut self, names: &[String], addresses: &mut [*mut c_void]) -> bool;
    /// A cache from before, which makes batches unnecessary.
    fn cache(&mut self) -> Option<&[u8]>;
    /// Keeps the cache of this calibration.
    fn keep(&mut self, cache: &[u8]);
}

/// Calibration data that cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the fields are the values that each message shows"
)]
pub enum CalibrationError {
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: no .npy or .npz files; save one batch per file with numpy.save", .0.display())]
    Empty(PathBuf),
    #[error(
        "{}: the network has inputs {inputs:?}, and a .npy file holds one array; save .npz files \
         with an array per input", path.display()
    )]
    NeedsNpz { path: PathBuf, inputs: Vec<String> },
    #[error("{}: no array named {input:?}; it has {found:?}", path.display())]
    NoArray {
        path: PathBuf,
        input: String,
        found: Vec<String>,
    },
    #[error(
        "{}: {found} values, which is no multiple of the {wanted} of one batch of {input:?}",
        path.display()
    )]
    Size {
        path: PathBuf,
        input: String,
        found: usize,
        wanted: usize,
    },
    #[error("{}: arrays of {dtype}; calibration takes float32, float64 or uint8", path.display())]
    Type { path: PathBuf, dtype: String },
    #[error(
        "{}: its arrays have {values} values, and a file may have {MAX_VALUES}; save one batch per \
         file", path.display()
    )]
    TooLarge { path: PathBuf, values: u64 },
    #[error(transparent)]
    Cuda(#[from] CudaError),
}

/// An input of the network: name and elements of one batch.
pub struct Input {
    /// Name.
    pub name: String,
    /// Elements.
    pub elements: usize,
}

/// Files that may be in a calibration folder.
const MAX_FILES: usize = 100_000;

/// Values that the arrays of one file may have together: 1 GiB as FP32. The header says how many there
/// are, and a small archive may unpack to any size.
const MAX_VALUES: u64 = 1 << 28;

/// Batches of a folder, or none at all where only a cache is used.
pub struct Folder<'d> {
    inputs: Vec<(Input, Buffer<'d>)>,
    files: VecDeque<PathBuf>,
    /// Values per input of the file at hand, and how many were used.
    current: Vec<Vec<f32>>,
    used: usize,
    cache: Option<Vec<u8>>,
    /// What TensorRT worked out, to be saved.
    pub made: Option<Vec<u8>>,
    /// What went wrong inside TensorRT's call.
    pub error: Option<CalibrationError>,
    /// Batches handed out.
    pub batches: u32,
}

impl<'d> Folder<'d> {
    /// A cache and no data.
    pub fn cached(path: &Path) -> Result<Self, CalibrationError> {
        let cache = std::fs::read(path).map_err(|source| CalibrationError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            inputs: Vec::new(),
            files: VecDeque::new(),
            current: Vec::new(),
            used: 0,
            cache: Some(cache),
            made: None,
            error: None,
            batches: 0,
        })
    }

    /// The calibration cache; nothing where batches are used.
    pub fn known(&self) -> &[u8] {
        self.cache.as_deref().unwrap_or_default()
    }

    /// All .npy and .npz files of a folder, by name.
    pub fn open(
        device: &'d Device,
        folder: &Path,
        inputs: Vec<Input>,
    ) -> Result<Self, CalibrationError> {
        let files = files(folder)?;
        let with_buffers = inputs
            .into_iter()
            .map(|i| Ok((device.alloc(i.elements * 4)?, i)))
            .map(|r: Result<_, CudaError>| r.map(|(b, i)| (i, b)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            inputs: with_buffers,
            files: files.into(),
            current: Vec::new(),
            used: 0,
            cache: None,
            made: None,
            error: None,
            batches: 0,
        })
    }

    fn advance(&mut self) -> Result<bool, CalibrationError> {
        let left = |values: &[Vec<f32>], used: usize, inputs: &[(Input, Buffer<'_>)]| {
            values
                .iter()
                .zip(inputs)
                .all(|(v, (i, _))| v.len() >= (used + 1) * i.elements)
        };
        while self.current.is_empty() || !left(&self.current, self.used, &self.inputs) {
            let Some(path) = self.files.pop_front() else {
                return Ok(false);
            };
            let inputs: Vec<&Input> = self.inputs.iter().map(|(i, _)| i).collect();
            self.current = read(&path, &inputs)?;
            self.used = 0;
        }
        for (values, (input, buffer)) in self.current.iter().zip(&mut self.inputs) {
            let from = self.used * input.elements;
            let bytes: Vec<u8> = values[from..from + input.elements]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect();
            buffer.write(&bytes)?;
        }
        self.used += 1;
        self.batches += 1;
        Ok(true)
    }
}

impl Batches for Folder<'_> {
    fn next(&mut self, names: &[String], addresses: &mut [*mut c_void]) -> bool {
        match self.advance() {
            Ok(true) => {}
            Ok(false) => return false,
            Err(e) => {
                self.error = Some(e);
                return false;
            }
        }
        for (name, address) in names.iter().zip(addresses) {
            let Some((_, buffer)) = self.inputs.iter().find(|(i, _)| i.name == *name) else {
                return false;
            };
            *address = buffer.address();
        }
        true
    }

    fn cache(&mut self) -> Option<&[u8]> {
        self.cache.as_deref()
    }

    fn keep(&mut self, cache: &[u8]) {
        self.made = Some(cache.to_vec());
    }
}

/// The largest number that INT8 stands for in a tensor, by a calibration cache: its line is
/// `NAME: SCALE`, the scale as the bits of a float in hex. TensorRT takes it from there for all
/// tensors but INT8 inputs and outputs, as trtexec's `setTensorScalesFromCalibration` knows.
pub fn range(cache: &[u8], tensor: &str) -> Option<f32> {
    let text = std::str::from_utf8(cache).ok()?;
    let lines = text.lines().skip(1);
    let mut scales = lines.filter_map(|line| line.rsplit_once(": "));
    let (_, bits) = scales.find(|(name, _)| *name == tensor)?;
    let scale = f32::from_bits(u32::from_str_radix(bits.trim(), 16).ok()?);
    (scale.is_finite() && scale > 0.0).then_some(127.0 * scale)
}

/// The batch files of a folder, sorted.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, CalibrationError> {
    let io = |source| CalibrationError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)?.take(MAX_FILES) {
        let path = entry.map_err(io)?.path();
        let known = path.extension().is_some_and(|e| e == "npy" || e == "npz");
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(CalibrationError::Empty(folder.to_owned()));
    }
    Ok(files)
}

/// Values per input of one file, each a whole number of batches.
pub fn read(path: &Path, inputs: &[&Input]) -> Result<Vec<Vec<f32>>, CalibrationError> {
    let io = |source| CalibrationError::Io {
        path: path.to_owned(),
        source,
    };
    let check = |input: &Input, values: Vec<f32>| {
        if values.is_empty() || !values.len().is_multiple_of(input.elements.max(1)) {
            return Err(CalibrationError::Size {
                path: path.to_owned(),
                input: input.name.clone(),
                found: values.len(),
                wanted: input.elements,
            });
        }
        Ok(values)
    };
    let mut said = 0;
    if path.extension().is_some_and(|e| e == "npy") {
        let [input] = inputs else {
            return Err(CalibrationError::NeedsNpz {
                path: path.to_owned(),
                inputs: inputs.iter().map(|i| i.name.clone()).collect(),
            });
        };
        let npy = NpyFile::new(BufReader::new(File::open(path).map_err(io)?)).map_err(io)?;
        return Ok(vec![check(input, values(path, npy, &mut said)?)?]);
    }
    let mut archive = npyz::npz::NpzArchive::open(path).map_err(io)?;
    inputs
        .iter()
        .map(|input| {
            let found: Vec<String> = archive.array_names().map(str::to_owned).collect();
            // A single unnamed array (`arr_0`) serves a single input.
            let name = match (found.as_slice(), inputs.len()) {
                ([only], 1) => only.clone(),
                _ => input.name.clone(),
            };
            let npy = archive.by_name(&name).map_err(io)?;
            let npy = npy.ok_or_else(|| CalibrationError::NoArray {
                path: path.to_owned(),
                input: input.name.clone(),
                found,
            })?;
            check(input, values(path, npy, &mut said)?)
        })
        .collect()
}

/// The values of one array; `said` counts those that the headers of its file say so far.
fn values<R: Read>(
    path: &Path,
    npy: NpyFile<R>,
    said: &mut u64,
) -> Result<Vec<f32>, CalibrationError> {
    let dims = npy.shape().iter();
    *said = dims
        .fold(1, |values: u64, dim| values.saturating_mul(*dim))
        .saturating_add(*said);
    if *said > MAX_VALUES {
        return Err(CalibrationError::TooLarge {
            path: path.to_owned(),
            values: *said,
        });
    }
    let io = |source| CalibrationError::Io {
        path: path.to_owned(),
        source,
    };
    let dtype = npy.dtype();
    let DType::Plain(kind) = &dtype else {
        return Err(CalibrationError::Type {
            path: path.to_owned(),
            dtype: dtype.descr(),
        });
    };
    match (kind.type_char(), kind.size_field()) {
        (TypeChar::Float, 4) => npy.into_vec::<f32>().map_err(io),
        (TypeChar::Float, 8) => {
            let wide = npy.into_vec::<f64>().map_err(io)?;
            Ok(wide.into_iter().map(|v| v as f32).collect())
        }
        (TypeChar::Uint, 1) => {
            let bytes = npy.into_vec::<u8>().map_err(io)?;
            Ok(bytes.into_iter().map(f32::from).collect())
        }
        _ => Err(CalibrationError::Type {
            path: path.to_owned(),
            dtype: dtype.descr(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn npy(path: &Path, dtype: &str, shape: &str, data: &[u8]) {
        let mut header =
            format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut f = File::create(path).unwrap();
        f.write_all(b"\x93NUMPY\x01\x00").unwrap();
        f.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        f.write_all(header.as_bytes()).unwrap();
        f.write_all(data).unwrap();
    }

    #[test]
    fn ranges_are_read_of_a_cache() {
        let cache =
            b"TRT-8502-EntropyCalibration2\ninput: 3c010a14\na: b: 3f800000\nbad: 7f800000\n";
        let input = range(cache, "input").unwrap();
        assert!((input - 127.0 * 0.007_875_938).abs() < 1e-4, "{input}");
        assert_eq!(range(cache, "a: b"), Some(127.0));
        for none in ["output", "bad", "TRT-8502-EntropyCalibration2"] {
            assert_eq!(range(cache, none), None);
        }
    }

    #[test]
    fn batches_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..8u8).flat_map(|v| f32::from(v).to_le_bytes()).collect();
        npy(&dir.path().join("b.npy"), "<f4", "(2, 4)", &data);
        npy(&dir.path().join("a.npy"), "|u1", "(1, 4)", &[1, 2, 3, 255]);
        npy(&dir.path().join("bad.npy"), "<i8", "(1,)", &[0; 8]);
        File::create(dir.path().join("notes.txt")).unwrap();
        let found = files(dir.path()).unwrap();
        assert_eq!(found.len(), 3);
        let input = Input {
            name: "x".into(),
            elements: 4,
        };
        assert_eq!(
            read(&found[0], &[&input]).unwrap(),
            [[1.0, 2.0, 3.0, 255.0]]
        );
        assert_eq!(read(&found[1], &[&input]).unwrap()[0].len(), 8);
        assert!(matches!(
            read(&found[2], &[&input]),
            Err(CalibrationError::Type { .. })
        ));
        let wide = Input {
            name: "x".into(),
            elements: 3,
        };
        assert!(matches!(
            read(&found[1], &[&wide]),
            Err(CalibrationError::Size { .. })
        ));
        assert!(matches!(
            read(&found[0], &[&input, &wide]),
            Err(CalibrationError::NeedsNpz { .. })
        ));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(
            files(empty.path()),
            Err(CalibrationError::Empty(_))
        ));
    }

    #[test]
    fn an_array_that_says_too_much_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.npy");
        let input = Input {
            name: "x".into(),
            elements: 4,
        };
        let read_shape = |shape: &str| {
            npy(&path, "<f4", shape, &[0; 16]);
            read(&path, &[&input]).unwrap_err()
        };
        let said = 1u64 << 40;
        let error = read_shape(&format!("({said}, 4)"));
        let text = error.to_string();
        assert!(
            matches!(error, CalibrationError::TooLarge { values, .. } if values == said * 4),
            "{text}"
        );
        assert!(
            text.contains("huge.npy") && text.contains("one batch per file"),
            "{text}"
        );
        // At the limit, the file ends before its values.
        let error = read_shape(&format!("({MAX_VALUES},)"));
        assert!(matches!(error, CalibrationError::Io { .. }), "{error}");
        let error = read_shape(&format!("({},)", MAX_VALUES + 1));
        assert!(
            matches!(error, CalibrationError::TooLarge { .. }),
            "{error}"
        );
    }
}
