//! Where a model is: in a file, or inside the program.

use std::path::{Path, PathBuf};

/// Before the name of a bundled model where a path is expected.
const BUNDLED: &str = "bundled:";

/// What a model's path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelSource<'p> {
    /// A file.
    File(&'p Path),
    /// A model inside the program, by its short name.
    Bundled(&'p str),
}

impl<'p> ModelSource<'p> {
    /// Reads a path: `bundled:resnet18` is a bundled model, all else a file.
    pub fn of(path: &'p Path) -> Self {
        let text = path.as_os_str().as_encoded_bytes();
        let bundled = text.strip_prefix(BUNDLED.as_bytes());
        match bundled.and_then(|name| str::from_utf8(name).ok()) {
            Some(name) => Self::Bundled(name),
            None => Self::File(path),
        }
    }

    /// The file, if the model is in one.
    pub fn file(self) -> Option<&'p Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Bundled(_) => None,
        }
    }

    /// As [`Self::of`] reads it.
    pub fn to_path(self) -> PathBuf {
        match self {
            Self::File(path) => path.to_owned(),
            Self::Bundled(name) => format!("{BUNDLED}{name}").into(),
        }
    }

    /// As a worker in another folder finds the model.
    ///
    /// # Errors
    /// There is no current folder.
    pub fn absolute(self) -> std::io::Result<PathBuf> {
        match self {
            Self::File(path) => std::path::absolute(path),
            Self::Bundled(_) => Ok(self.to_path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_file_or_a_bundled_model() {
        let bundled = Path::new("bundled:resnet18");
        assert_eq!(ModelSource::of(bundled), ModelSource::Bundled("resnet18"));
        assert_eq!(ModelSource::of(bundled).to_path(), bundled);
        assert_eq!(ModelSource::of(bundled).absolute().unwrap(), bundled);
        let file = Path::new("resnet18.onnx");
        assert_eq!(ModelSource::of(file).file(), Some(file));
        assert!(ModelSource::of(file).absolute().unwrap().is_absolute());
    }
}
