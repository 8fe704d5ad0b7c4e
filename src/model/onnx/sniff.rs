//! Says what a file that is not ONNX looks like.

use std::path::Path;

use super::error::LoadError;

const EXPORT: &str = "Give an .onnx file, or export the model to one";

fn not_onnx(path: &Path, looks: impl Into<String>, remedy: &'static str) -> LoadError {
    LoadError::NotOnnx {
        path: path.to_owned(),
        looks: looks.into(),
        remedy,
    }
}

/// Refuses a PyTorch file by its name, before a byte is read.
pub(super) fn by_name(path: &Path) -> Option<LoadError> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "pt" | "pth" | "ckpt" | "pkl" | "pickle" => Some(LoadError::pytorch(
            path.to_owned(),
            "a PyTorch checkpoint (pickled Python objects)",
        )),
        "pt2" => Some(not_onnx(
            path,
            "it is a PyTorch exported program",
            "Make it ONNX with `torch.onnx.export(torch.export.load(\"model.pt2\"), \
             f=\"model.onnx\", dynamo=True)`",
        )),
        _ => None,
    }
}

/// Recognises the start of a file that cannot be ONNX.
pub(super) fn by_content(path: &Path, data: &[u8]) -> Option<LoadError> {
    let head = data.get(..data.len().min(512)).unwrap_or_default();
    if head.is_empty() {
        return Some(not_onnx(
            path,
            "the file is empty",
            "Fetch or export it again",
        ));
    }
    if head.starts_with(b"PK\x03\x04") {
        return Some(if contains(head, b"data.pkl") {
            LoadError::pytorch(
                path.to_owned(),
                "a PyTorch checkpoint (pickled Python objects)",
            )
        } else {
            not_onnx(
                path,
                "it is a zip archive",
                "Unpack it and give the .onnx file inside",
            )
        });
    }
    if matches!(
        head,
        [
            0x80,
            2..=5,
            b'c' | b'}' | b']' | b'(' | b'\x8a' | b'\x95',
            ..
        ]
    ) {
        return Some(LoadError::pytorch(
            path.to_owned(),
            "a Python pickle (an old PyTorch checkpoint, perhaps)",
        ));
    }
    if head.starts_with(b"version https://git-lfs") {
        return Some(not_onnx(
            path,
            "it is a Git LFS pointer, the model itself was not fetched",
            "Run `git lfs pull` in its repository",
        ));
    }
    let known: [(&[u8], usize, &str); 13] = [
        (b"\x89PNG", 0, "a PNG image"),
        (b"\xff\xd8\xff", 0, "a JPEG image"),
        (b"GIF8", 0, "a GIF image"),
        (b"%PDF", 0, "a PDF document"),
        (b"\x7fELF", 0, "a program or library"),
        (b"\x1f\x8b", 0, "gzip-compressed data"),
        (b"\x89HDF", 0, "an HDF5 file (Keras weights, perhaps)"),
        (b"TFL3", 4, "a TensorFlow Lite model"),
        (b"ptrt", 0, "a TensorRT engine"),
        (b"ftrt", 0, "a TensorRT engine"),
        (b"ORTM", 4, "an ONNX Runtime (.ort) model"),
        (b"SQLite format 3", 0, "an SQLite database"),
        (b"\xfd7zXZ", 0, "xz-compressed data"),
    ];
    for (magic, at, looks) in known {
        if head.get(at..).is_some_and(|h| h.starts_with(magic)) {
            return Some(not_onnx(path, format!("it is {looks}"), EXPORT));
        }
    }
    if head.get(8..10) == Some(b"{\"") {
        return Some(not_onnx(
            path,
            "it is a safetensors file: weights without a network",
            EXPORT,
        ));
    }
    let printable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e);
    if head.iter().all(printable) {
        let start: String = head.iter().take(40).map(|b| char::from(*b)).collect();
        return Some(not_onnx(
            path,
            format!(
                "it is a text file that starts with \"{}\"",
                start.escape_debug()
            ),
            EXPORT,
        ));
    }
    None
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}
