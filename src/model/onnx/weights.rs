//! Getting a file ready for TensorRT's parser: weights for files that carry none, the dims of its
//! inputs, and a look at where external weights are before anybody opens them.
//!
//! Works on the wire format, so that everything it does not touch stays byte for byte.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use hashbrown::HashMap;

use half::f16;

use super::wire::{Broken, Field, Fields, Value, put_bytes, put_varint};

/// Seed of the made-up weights: the same file always gets the same ones.
const SEED: u64 = 0x5eed_d1a9_1a00_0001;
/// Protobuf takes no message of 2 GiB or more.
const MAX_BYTES: usize = 2 << 30;

/// A file that cannot be made ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// Not protobuf where it should be.
    #[error("the file's protobuf is broken at byte {0}; export it again")]
    Broken(usize),
    /// With weights it would be too large for one file.
    #[error("with weights the file would have over 2 GiB, which ONNX cannot hold in one file")]
    TooLarge,
    /// Weights in a place that an untrusted file must not name.
    #[error(
        "the weights of {tensor:?} are in {location:?}, outside the model's folder; dlaplan opens \
         only files beside the model"
    )]
    Outside {
        /// The tensor.
        tensor: String,
        /// As the file says.
        location: String,
    },
    /// External weights are missing.
    #[error("the weights of {tensor:?} should be in {}, which is not there; copy it beside the \
             model", path.display())]
    Missing {
        /// The tensor.
        tensor: String,
        /// Where they should be.
        path: PathBuf,
    },
}

/// A file ready to parse.
#[derive(Debug)]
pub enum Ready {
    /// As it is.
    AsIs,
    /// With made-up weights: this many values.
    Synthesised {
        /// The new file.
        onnx: Vec<u8>,
        /// Values made up.
        values: u64,
    },
}

/// Makes weights up for a structure-only file, and checks where external weights of any other
/// file are; `path` is the file's.
pub fn ready(
    onnx: &[u8],
    path: Option<&Path>,
    structure_only: bool,
) -> Result<Ready, WeightsError> {
    if structure_only {
        let mut values = 0;
        let onnx = synthesise(onnx, &mut values)?;
        return Ok(Ready::Synthesised { onnx, values });
    }
    if let Some(folder) = path.and_then(Path::parent) {
        for_each_initializer(onnx, |tensor| check_location(tensor, folder))?;
    }
    Ok(Ready::AsIs)
}

/// Files beside the model that hold its weights, as the model names them, relative to `folder`;
/// without those that are missing.
///
/// # Errors
/// One lies outside the folder, or the file is broken.
pub fn external_files(onnx: &[u8], folder: &Path) -> Result<BTreeSet<String>, WeightsError> {
    let mut files = BTreeSet::new();
    for_each_initializer(onnx, |tensor| {
        match (check_location(tensor, folder), tensor.location) {
            (Ok(()), Some(location)) if tensor.external => {
                files.insert(String::from_utf8_lossy(location).into_owned());
                Ok(())
            }
            (Ok(()) | Err(WeightsError::Missing { .. }), _) => Ok(()),
            (Err(e), _) => Err(e),
        }
    })?;
    Ok(files)
}

impl From<Broken> for WeightsError {
    fn from((offset, _): Broken) -> Self {
        Self::Broken(offset)
    }
}

/// `TensorProto`, as far as needed.
#[derive(Default)]
struct Tensor<'a> {
    name: String,
    dims: Vec<u64>,
    dtype: u64,
    has_data: bool,
    external: bool,
    location: Option<&'a [u8]>,
    /// Fields to keep when data is put in.
    kept: Vec<&'a [u8]>,
}

impl<'a> Tensor<'a> {
    fn read(mut fields: Fields<'a>) -> Result<Self, Broken> {
        let mut t = Self::default();
        while let Some(f) = fields.next()? {
            match (f.number, f.value) {
                (1, Value::Varint(d)) => t.dims.push(d),
                (1, Value::Bytes(mut packed)) => {
                    while !packed.is_at_end() {
                        t.dims.push(packed.varint()?);
                    }
                }
                (2, Value::Varint(d)) => t.dtype = d,
                (8, Value::Bytes(name)) => {
                    t.name = String::from_utf8_lossy(name.bytes()).into_owned();
                }
                (4..=7 | 9..=11, Value::Bytes(data)) => t.has_data |= !data.is_at_end(),
                (4..=7 | 10 | 11, _) => t.has_data = true,
                (13, Value::Bytes(entry)) if bytes_of(entry, 1)? == b"location" => {
                    t.location = Some(bytes_of(entry, 2)?);
                }
                (14, Value::Varint(v)) => t.external = v == 1,
                _ => {}
            }
            if !matches!(f.number, 4..=7 | 9..=11 | 13 | 14) {
                t.kept.push(f.whole);
            }
        }
        Ok(t)
    }

    fn elements(&self) -> Option<usize> {
        self.dims
            .iter()
            .try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?))
    }
}

/// The last field of this number, if it is bytes; else nothing.
fn bytes_of(mut message: Fields<'_>, number: u64) -> Result<&[u8], Broken> {
    let mut found = &[][..];
    while let Some(f) = message.next()? {
        if let Value::Bytes(bytes) = f.value
            && f.number == number
        {
            found = bytes.bytes();
        }
    }
    Ok(found)
}

fn for_each_initializer<'a>(
    onnx: &'a [u8],
    mut visit: impl FnMut(&Tensor<'a>) -> Result<(), WeightsError>,
) -> Result<(), WeightsError> {
    let mut model = Fields::of_file(onnx);
    while let Some(f) = model.next()? {
        let (7, Value::Bytes(mut graph)) = (f.number, f.value) else {
            continue;
        };
        while let Some(f) = graph.next()? {
            if let (5, Value::Bytes(tensor)) = (f.number, f.value) {
                visit(&Tensor::read(tensor)?)?;
            }
        }
    }
    Ok(())
}

fn check_location(tensor: &Tensor<'_>, folder: &Path) -> Result<(), WeightsError> {
    let (true, Some(location)) = (tensor.external, tensor.location) else {
        return Ok(());
    };
    let location = String::from_utf8_lossy(location).into_owned();
    let outside = || WeightsError::Outside {
        tensor: tensor.name.clone(),
        location: location.clone(),
    };
    let relative = Path::new(&location);
    let plain = |c| matches!(c, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || location.contains('\\') || !relative.components().all(plain) {
        return Err(outside());
    }
    let path = folder.join(relative);
    let missing = |_e| WeightsError::Missing {
        tensor: tensor.name.clone(),
        path: path.clone(),
    };
    // Resolved, so that a link cannot lead out.
    let real = path.canonicalize().map_err(missing)?;
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    if real.starts_with(folder.canonicalize().map_err(missing)?) {
        Ok(())
    } else {
        Err(outside())
    }
}

/// Which operand of which op each weight is, by its first reader.
type Uses<'a> = HashMap<&'a [u8], (&'a [u8], usize)>;

fn uses(mut graph: Fields<'_>) -> Result<Uses<'_>, Broken> {
    let mut uses = HashMap::new();
    while let Some(f) = graph.next()? {
        let (1, Value::Bytes(mut node)) = (f.number, f.value) else {
            continue;
        };
        let op_type = bytes_of(node, 4)?;
        let mut operand = 0;
        while let Some(f) = node.next()? {
            if let (1, Value::Bytes(name)) = (f.number, f.value) {
                uses.entry(name.bytes()).or_insert((op_type, operand));
                operand += 1;
            }
        }
    }
    Ok(uses)
}

fn synthesise(onnx: &[u8], values: &mut u64) -> Result<Vec<u8>, WeightsError> {
    rewrite(Fields::of_file(onnx), &mut |f| {
        let (7, Value::Bytes(graph)) = (f.number, &f.value) else {
            return Ok(Kept::AsIs);
        };
        let uses = uses(*graph)?;
        let mut size = graph.bytes().len();
        rewrite(*graph, &mut |f| {
            let (5, Value::Bytes(tensor)) = (f.number, &f.value) else {
                return Ok(Kept::AsIs);
            };
            let tensor = Tensor::read(*tensor)?;
            let elements = tensor.elements().ok_or(WeightsError::TooLarge)?;
            if (tensor.has_data && !tensor.external) || elements == 0 {
                return Ok(Kept::AsIs);
            }
            let used = uses.get(tensor.name.as_bytes());
            let (op, operand) = used.copied().unwrap_or_default();
            let data = make_up(&tensor, elements, op, operand).ok_or(WeightsError::TooLarge)?;
            size += data.len();
            if size >= MAX_BYTES {
                return Err(WeightsError::TooLarge);
            }
            *values += elements as u64;
            let mut new = Vec::with_capacity(data.len() + 64);
            for kept in &tensor.kept {
                new.extend_from_slice(kept);
            }
            put_bytes(&mut new, 9, &data);
            Ok(Kept::Replaced(new))
        })
        .map(Kept::Replaced)
    })
}

/// The file with these dims of its inputs, `None` where it has them already. The parser works out
/// constant shapes from the dims it reads, so setting them on the parsed network is too late.
pub fn with_input_dims(
    onnx: &[u8],
    dims: &[(String, Vec<i64>)],
) -> Result<Option<Vec<u8>>, WeightsError> {
    let mut changed = false;
    let out = rewrite(Fields::of_file(onnx), &mut |graph| {
        // ModelProto.graph
        let (7, Value::Bytes(graph)) = (graph.number, &graph.value) else {
            return Ok(Kept::AsIs);
        };
        rewrite(*graph, &mut |f| match (f.number, &f.value) {
            // GraphProto.input
            (11, Value::Bytes(input)) => {
                let new = input_with_dims(*input, dims)?;
                changed |= new.as_deref().is_some_and(|new| new != input.bytes());
                Ok(new.map_or(Kept::AsIs, Kept::Replaced))
            }
            // GraphProto.value_info: true for the old dims only.
            (13, _) => Ok(Kept::Left),
            _ => Ok(Kept::AsIs),
        })
        .map(Kept::Replaced)
    })?;
    Ok(changed.then_some(out))
}

enum Kept {
    AsIs,
    Left,
    Replaced(Vec<u8>),
}

/// A message with some of its fields replaced or left out.
fn rewrite<'a>(
    mut fields: Fields<'a>,
    each: &mut impl FnMut(&Field<'a>) -> Result<Kept, WeightsError>,
) -> Result<Vec<u8>, WeightsError> {
    let mut out = Vec::with_capacity(fields.bytes().len() + 64);
    while let Some(f) = fields.next()? {
        match each(&f)? {
            Kept::AsIs => out.extend_from_slice(f.whole),
            Kept::Left => {}
            Kept::Replaced(new) => put_bytes(&mut out, f.number, &new),
        }
    }
    Ok(out)
}

/// A `ValueInfoProto` with other dims; `None` where its name is not in `dims`.
fn input_with_dims(
    input: Fields<'_>,
    dims: &[(String, Vec<i64>)],
) -> Result<Option<Vec<u8>>, WeightsError> {
    let name = bytes_of(input, 1)?;
    let Some((_, dims)) = dims.iter().find(|(n, _)| n.as_bytes() == name) else {
        return Ok(None);
    };
    let mut shape = Vec::new();
    for dim in dims {
        // Dimension.dim_value
        let mut value = vec![1 << 3];
        put_varint(&mut value, dim.cast_unsigned());
        put_bytes(&mut shape, 1, &value);
    }
    // ValueInfoProto.type, TypeProto.tensor_type, Tensor.shape
    rewrite(input, &mut |f| match (f.number, &f.value) {
        (2, Value::Bytes(kind)) => rewrite(*kind, &mut |f| match (f.number, &f.value) {
            (1, Value::Bytes(tensor)) => rewrite(*tensor, &mut |f| {
                Ok(if f.number == 2 {
                    Kept::Left
                } else {
                    Kept::AsIs
                })
            })
            .map(|mut tensor| {
                put_bytes(&mut tensor, 2, &shape);
                Kept::Replaced(tensor)
            }),
            _ => Ok(Kept::AsIs),
        })
        .map(Kept::Replaced),
        _ => Ok(Kept::AsIs),
    })
    .map(Some)
}

/// Values that keep activations at the size of the inputs: uniform with variance 1 / fan-in for
/// weights, scales and variances of 1, everything else 0.
fn make_up(tensor: &Tensor<'_>, elements: usize, op: &[u8], operand: usize) -> Option<Vec<u8>> {
    // TensorProto.DataType
    let width = match tensor.dtype {
        2 | 3 | 9 => 1,
        10 | 16 | 4 | 5 => 2,
        1 | 6 | 12 => 4,
        7 | 11 | 13 => 8,
        _ => return None,
    };
    let bytes = elements.checked_mul(width).filter(|b| *b < MAX_BYTES)?;
    let rank = tensor.dims.len();
    let dim = |i: usize| tensor.dims.get(i).copied().unwrap_or(1).max(1) as f64;
    let constant = match (op, operand) {
        (b"BatchNormalization", 1 | 4)
        | (b"LayerNormalization" | b"InstanceNormalization" | b"Mul" | b"Div", 1) => Some(1.0),
        _ if rank < 2 => Some(0.0),
        _ => None,
    };
    let fan_in = match op {
        b"MatMul" => dim(rank.saturating_sub(2)),
        b"ConvTranspose" => dim(0),
        _ => (elements as f64 / dim(0)).max(1.0),
    };
    let half_width = (3.0 / fan_in).sqrt();
    let mut state = tensor.name.bytes().fold(SEED, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut value = || match constant {
        Some(c) => c,
        None => half_width * (2.0 * uniform(&mut state) - 1.0),
    };
    let mut data = Vec::with_capacity(bytes);
    match tensor.dtype {
        1 => (0..elements).for_each(|_| data.extend((value() as f32).to_le_bytes())),
        10 => (0..elements).for_each(|_| data.extend(f16::from_f64(value()).to_le_bytes())),
        16 => (0..elements).for_each(|_| data.extend(half::bf16::from_f64(value()).to_le_bytes())),
        11 => (0..elements).for_each(|_| data.extend(value().to_le_bytes())),
        _ => data.resize(bytes, 0),
    }
    Some(data)
}

/// SplitMix64, as a number in 0..1.
pub fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use crate::model::onnx;

    use super::*;

    #[test]
    fn bundled_models_get_weights() {
        // The smaller ones: making up a hundred million values takes a while without optimisation.
        for bundled in onnx::bundled() {
            if bundled.name != "mobilenet_v2" {
                continue;
            }
            let bytes = bundled.bytes();
            let Ready::Synthesised { onnx: full, values } = ready(&bytes, None, true).unwrap()
            else {
                panic!("{} is structure only", bundled.name);
            };
            assert!(values > 100_000, "{}: {values}", bundled.name);
            let mut empty = Vec::new();
            let mut sum = 0.0;
            for_each_initializer(&full, |t| {
                if t.elements().unwrap() > 0 && (!t.has_data || t.external) {
                    empty.push(t.name.clone());
                }
                sum += t.dims.len() as f64;
                Ok(())
            })
            .unwrap();
            assert!(empty.is_empty(), "{}: {empty:?}", bundled.name);
            // The same file, the same weights.
            let Ready::Synthesised { onnx: again, .. } = ready(&bytes, None, true).unwrap() else {
                unreachable!()
            };
            assert!(full == again);
        }
    }

    #[test]
    fn input_dims_are_rewritten() {
        use crate::model::onnx::{LoadOptions, load};

        let bytes = onnx::bundled()
            .iter()
            .find(|b| b.name == "resnet18")
            .unwrap()
            .bytes();
        let model = onnx::load_bundled("resnet18").unwrap();
        let name = model.tensor(model.inputs[0].tensor).name.to_string();
        let of = |batch: i64| vec![(name.clone(), vec![batch, 3, 224, 224])];
        assert_eq!(with_input_dims(&bytes, &of(1)).unwrap(), None);
        assert_eq!(
            with_input_dims(&bytes, &[("other".into(), vec![2])]).unwrap(),
            None
        );
        let new = with_input_dims(&bytes, &of(16)).unwrap().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), &new).unwrap();
        let model = load(&path, &LoadOptions::default()).unwrap();
        let shape = |t| model.tensor(t).shape.clone().unwrap();
        assert_eq!(shape(model.inputs[0].tensor), [16, 3, 224, 224]);
        assert_eq!(model.batch(), Some(16));
        let fc = model.op(model.find_op("/fc/Gemm").unwrap());
        assert_eq!(shape(fc.outputs[0]), [16, 1000]);
        for cut in (0..new.len()).step_by(53) {
            let _ended = with_input_dims(&new[..cut], &of(1)).is_ok();
        }
    }

    fn with_location(location: &str) -> Vec<u8> {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, b"location");
        put_bytes(&mut entry, 2, location.as_bytes());
        let mut tensor = vec![0x08, 2, 0x10, 1];
        put_bytes(&mut tensor, 8, b"w");
        put_bytes(&mut tensor, 13, &entry);
        tensor.extend([14 << 3, 1]);
        let mut graph = Vec::new();
        put_bytes(&mut graph, 5, &tensor);
        let mut model = Vec::new();
        put_bytes(&mut model, 7, &graph);
        model
    }

    #[test]
    fn external_weights_stay_beside_the_model() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("m");
        std::fs::create_dir(&inside).unwrap();
        for file in [inside.join("w.bin"), dir.path().join("secret")] {
            std::fs::File::create(file).unwrap();
        }
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
        let path = inside.join("m.onnx");
        let check = |location: &str| ready(&with_location(location), Some(&path), false);
        assert!(check("w.bin").is_ok() && check("./w.bin").is_ok());
        for bad in [
            "../secret",
            "/etc/passwd",
            "link",
            "up/secret",
            "C:\\w",
            "",
            "a/../../secret",
        ] {
            let found = check(bad);
            let refused = matches!(
                found,
                Err(WeightsError::Outside { .. } | WeightsError::Missing { .. })
            );
            assert!(refused, "{bad}: {found:?}");
        }
        assert!(matches!(check("no.bin"), Err(WeightsError::Missing { .. })));
    }

    #[test]
    fn broken_files_are_errors() {
        let model = with_location("w.bin");
        for cut in 0..model.len() {
            let _ended = ready(&model[..cut], None, true).is_ok();
            let _ended = ready(&model[..cut], Some(Path::new("x/m.onnx")), false).is_ok();
        }
        assert_eq!(
            ready(&[0xff; 12], None, true).unwrap_err(),
            WeightsError::Broken(10)
        );
    }
}
