//! Why a file cannot be read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How a PyTorch checkpoint becomes a file that can be read.
const RECIPE: &str = "Loading it would run code from the file, so dlaplan never does. Export it to \
    ONNX where the model's Python code is: `python scripts/dlaplan_export.py my_module:make_model \
    --input 1x3x224x224 -o model.onnx`, or in Python `torch.onnx.export(model.eval(), (example,), \
    \"model.onnx\")`";

/// A name from the file, escaped and cut to a length that fits a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// Escapes control characters and keeps the first 120 characters.
    pub fn new(name: &str) -> Self {
        let mut text: String = name
            .chars()
            .take(120)
            .flat_map(char::escape_debug)
            .collect();
        if name.chars().nth(120).is_some() {
            text.push_str("...");
        }
        Self(text)
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// Why a file cannot be read. Each message names the file, the place in it and the remedy.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the fields are the values that each message shows"
)]
pub enum LoadError {
    /// The file cannot be opened.
    #[error("{}: {source}. Check the path and its permissions", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// There is no such file, but a bundled model of that name.
    #[error("{}: there is no such file. The bundled model is `bundled:{name}`", path.display())]
    Bundled { path: PathBuf, name: &'static str },
    /// A folder, pipe, socket or device.
    #[error("{}: this is {what}, not a file. Give the path of an .onnx file", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    /// A PyTorch checkpoint.
    #[error("{}: this is {what}. {RECIPE}", path.display())]
    PyTorch { path: PathBuf, what: &'static str },
    /// Some other kind of file.
    #[error("{}: not an ONNX file: {looks}. {remedy}", path.display())]
    NotOnnx {
        path: PathBuf,
        looks: String,
        remedy: &'static str,
    },
    /// The file ends inside a field.
    #[error(
        "{}: the file is cut short: at byte {offset} ({place}) {missing} more bytes should follow. \
         Fetch or export it again",
        path.display()
    )]
    Truncated {
        path: PathBuf,
        place: String,
        offset: usize,
        missing: u64,
    },
    /// Broken framing.
    #[error(
        "{}: the file is damaged at byte {offset} ({place}): {what}. Fetch or export it again",
        path.display()
    )]
    Corrupt {
        path: PathBuf,
        place: String,
        offset: usize,
        what: String,
    },
    /// Larger than dlaplan handles.
    #[error(
        "{}: {place}: {what}, and the limit is {limit}. Simplify the model before export (a \
         generated or unrolled graph is the usual cause)",
        path.display()
    )]
    Limit {
        path: PathBuf,
        place: String,
        what: String,
        limit: usize,
    },
    /// Nothing to place.
    #[error(
        "{}: the graph holds no operation that works on the model's input. Export the model with \
         an example input",
        path.display()
    )]
    NoOps { path: PathBuf },
    /// A node reads a tensor that nothing makes.
    #[error(
        "{}: node {node} reads tensor {tensor}, which no node, input or weight provides. The file \
         was cut or edited wrongly; export it again",
        path.display()
    )]
    Dangling {
        path: PathBuf,
        node: Quoted,
        tensor: Quoted,
    },
    /// Nodes wait for each other.
    #[error(
        "{}: node {node} is part of a cycle: it needs its own result. ONNX graphs have no cycles; \
         export the model again",
        path.display()
    )]
    Cycle { path: PathBuf, node: Quoted },
    /// Two things make the same tensor.
    #[error(
        "{}: tensor {tensor} is made twice, by {first} and by {second}. Give every tensor one \
         producer; export the model again",
        path.display()
    )]
    DuplicateTensor {
        path: PathBuf,
        tensor: Quoted,
        first: Quoted,
        second: Quoted,
    },
    /// A node's inputs do not go together.
    #[error(
        "{}: node {node} ({op_type}) cannot be executed: {what}",
        path.display()
    )]
    Contradiction {
        path: PathBuf,
        node: Quoted,
        op_type: Quoted,
        /// The shapes, why they do not agree, and the remedy.
        what: String,
    },
    /// A weight's dims are impossible.
    #[error("{}: weight {tensor}: {what}. Export the model again", path.display())]
    BadDims {
        path: PathBuf,
        tensor: Quoted,
        what: String,
    },
    /// An attribute's value is impossible.
    #[error(
        "{}: node {node} ({op_type}): {attribute} {what}. Correct the model and export it again",
        path.display()
    )]
    BadAttribute {
        path: PathBuf,
        node: Quoted,
        op_type: Quoted,
        attribute: String,
        what: String,
    },
    /// Dims were given for an input that is not there.
    #[error("{}: the model has no input {input}; its inputs are {known}", path.display())]
    UnknownInput {
        path: PathBuf,
        input: Quoted,
        known: String,
    },
    /// Dims that do not fit an input.
    #[error(
        "{}: input {input} was given {given}, but {why}. Give dims like {example}: “Input dims…” in the window, --input on the command line",
        path.display()
    )]
    BadInputDims {
        path: PathBuf,
        input: Quoted,
        given: String,
        why: String,
        example: String,
    },
    /// No such bundled model.
    #[error("bundled:{name}: there is no bundled model of this name; there are {known}")]
    NotBundled { name: String, known: String },
}

impl LoadError {
    /// Whether the dims given for these inputs may be why.
    pub fn blames(&self, inputs: &BTreeMap<String, Vec<u64>>) -> bool {
        match self {
            Self::UnknownInput { input, .. } | Self::BadInputDims { input, .. } => {
                inputs.keys().any(|name| Quoted::new(name) == *input)
            }
            Self::Contradiction { .. } => !inputs.is_empty(),
            _ => false,
        }
    }

    /// Refuses a PyTorch checkpoint.
    pub(super) fn pytorch(path: PathBuf, what: &'static str) -> Self {
        Self::PyTorch { path, what }
    }
}
