//! The open model, what is selected in it, and the models that can be opened.

use crate::gui::data::tree_index::{Node, TreeIndex};
use crate::model::onnx::Bundled;
use crate::model::{Dim, Model, ModuleId, OpId, onnx};

use std::collections::BTreeMap;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a first run opens.
pub(crate) fn first_model() -> PathBuf {
    onnx::bundled()
        .first()
        .map(Bundled::path)
        .unwrap_or_default()
}

/// An open model.
pub struct Open {
    /// The network.
    pub model: Arc<Model>,
    /// Its layout in the tree.
    pub index: TreeIndex,
    /// The file or bundled name it came from.
    pub path: PathBuf,
    /// Input dims the user gave.
    pub inputs: BTreeMap<String, Vec<u64>>,
}

/// What is selected in the tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The nodes.
    pub nodes: BTreeSet<Node>,
    /// Where a range starts.
    pub anchor: Option<Node>,
    /// Where the keyboard is.
    pub cursor: Option<Node>,
}

impl Selection {
    /// All its ops, in execution order.
    pub fn ops(&self, model: &Model) -> Vec<OpId> {
        let mut ops: Vec<OpId> = self.nodes.iter().flat_map(|n| n.ops(model)).collect();
        ops.sort_unstable();
        ops.dedup();
        ops
    }
}

/// Opens the first levels of a new tree, as far as a screen holds.
pub(crate) fn first_levels(model: &Model) -> BTreeSet<ModuleId> {
    let mut open = BTreeSet::new();
    let mut rows = model.modules.root().children.len();
    for depth in 1..4 {
        let level: Vec<_> = model
            .modules
            .iter()
            .filter(|(_, m)| m.depth == depth && !m.children.is_empty())
            .collect();
        let more: usize = level
            .iter()
            .map(|(_, m)| m.children.len() + m.ops.len())
            .sum();
        if level.is_empty() || rows + more > 40 {
            break;
        }
        rows += more;
        open.extend(level.into_iter().map(|(id, _)| id));
    }
    open
}

/// Dims of one input, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputField {
    /// The input's name.
    pub name: String,
    /// As the file declares it.
    pub declared: String,
    /// As typed: `1x3x224x224`.
    pub text: String,
}

impl InputField {
    /// The dims, if every part is a positive number and there are as many as declared.
    ///
    /// # Errors
    /// What is wrong with the text, in a sentence.
    pub fn dims(&self, rank: usize) -> Result<Vec<u64>, String> {
        let dims: Vec<u64> = self
            .text
            .split(['x', '×', ',', ' '])
            .filter(|s| !s.is_empty())
            .map(|s| match s.parse::<u64>() {
                Ok(n) if n > 0 => Ok(n),
                _ => Err(format!("{s:?} is not a positive number")),
            })
            .collect::<Result<_, _>>()?;
        if dims.len() == rank {
            Ok(dims)
        } else {
            Err(format!(
                "{rank} numbers are needed, as in {}",
                self.declared
            ))
        }
    }
}

/// Last part of a path, for titles.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |n| n.to_string_lossy().into_owned(),
    )
}

/// Fields for the inputs whose dims the file leaves open; `unset` only those that have none yet.
pub(crate) fn open_inputs(model: &Model, unset: bool) -> Vec<(InputField, usize)> {
    let open = |dims: &[Dim]| dims.iter().any(|d| matches!(d, Dim::Symbolic(_)));
    let inputs = model.inputs.iter().filter(|i| open(&i.declared));
    inputs
        .filter_map(|input| {
            let tensor = model.tensor(input.tensor);
            let dims: Vec<String> = match &tensor.shape {
                Some(_) if unset => return None,
                Some(dims) => dims.iter().map(u64::to_string).collect(),
                None => input.declared.iter().enumerate().map(guess_dim).collect(),
            };
            let field = InputField {
                name: tensor.name.to_string(),
                declared: declared(&input.declared),
                text: dims.join("x"),
            };
            Some((field, input.declared.len()))
        })
        .collect()
}

/// A first guess for a dim the file leaves open: one image; its size is for the user to say.
pub(crate) fn guess_dim((at, dim): (usize, &Dim)) -> String {
    match dim {
        Dim::Fixed(n) => n.to_string(),
        Dim::Symbolic(_) if at == 0 => "1".into(),
        Dim::Symbolic(_) => "?".into(),
    }
}

pub(crate) fn declared(dims: &[Dim]) -> String {
    let parts: Vec<String> = dims
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => n.to_string(),
            Dim::Symbolic(name) if name.is_empty() => "?".into(),
            Dim::Symbolic(name) => name.clone(),
        })
        .collect();
    parts.join(" × ")
}

/// A file as it is at a moment: what tells whether another program has written it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStamp {
    modified: Option<std::time::SystemTime>,
    bytes: u64,
}

impl FileStamp {
    /// Of a file; `None` where there is none that can be looked at.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_file)?;
        Some(Self {
            modified: meta.modified().ok(),
            bytes: meta.len(),
        })
    }
}
