//! What the names of a file are read from and into, and module paths.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use crate::model::Exporter;
use crate::model::onnx::proto;

/// Deepest module path.
pub const MAX_SEGMENTS: usize = 64;

/// An op, as far as its names matter.
pub struct Named<'a> {
    pub node: &'a proto::Node,
    /// Ops that make its inputs.
    pub producers: Vec<usize>,
    /// Ops that read its outputs.
    pub readers: Vec<usize>,
    /// Names of its constant operands.
    pub weights: Vec<&'a str>,
    /// Convolution or matrix product: an op that computes with its weights.
    pub heavy: bool,
    /// Holds bodies, which use the weights of several modules.
    pub control: bool,
}

impl Named<'_> {
    /// The module whose weights it uses.
    pub fn owner(&self) -> Option<&str> {
        let mut owners = self.weights.iter().filter_map(|w| parameter_owner(w));
        let first = owners.next()?;
        if self.control {
            return Some(owners.fold(first, common_ancestor));
        }
        Some(first)
    }
}

/// What the names tell.
pub struct Naming {
    pub exporter: Exporter,
    /// Module path per op.
    pub paths: Vec<String>,
    /// Modules that need not have ops, with their class where known.
    pub modules: BTreeMap<String, Option<String>>,
    /// Modules whose `forward` the trace went through; empty if no trace was left.
    pub called: BTreeSet<String>,
    /// Ops that their own names put into a module.
    pub owned: Vec<bool>,
    /// Paths that are another module's second name, and that module's.
    pub aliases: BTreeMap<String, String>,
}

pub fn add_with_ancestors(set: &mut HashSet<String>, path: &str) {
    let mut path = path;
    if path.split('.').count() > MAX_SEGMENTS {
        return;
    }
    while !path.is_empty() && !set.contains(path) {
        set.insert(path.to_owned());
        path = parent(path);
    }
}

pub fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(p, _)| p)
}

/// The module that owns a parameter: `layer1.0.conv1` of `layer1.0.conv1.weight`. Names that
/// PyTorch did not give (`onnx::Conv_193`, Paddle's `conv2d_0.w_0`) tell nothing.
pub fn parameter_owner(weight: &str) -> Option<&str> {
    let (owner, parameter) = weight.rsplit_once('.')?;
    let torch = parameter.contains("weight") || parameter.contains("bias");
    let odd = |c: char| matches!(c, ':' | '/' | ' ') || c.is_control();
    (torch && !owner.is_empty() && !weight.contains(odd)).then_some(owner)
}

pub fn join(path: &str, segment: &str) -> String {
    match (path, segment) {
        ("", s) => s.to_owned(),
        (p, "") => p.to_owned(),
        (p, s) => format!("{p}.{s}"),
    }
}

/// The last segment of a path.
pub fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

pub fn common_ancestor<'a>(a: &'a str, b: &str) -> &'a str {
    let mut end = 0;
    let mut at = 0;
    for (x, y) in a.split('.').zip(b.split('.')) {
        if x != y {
            break;
        }
        end = at + x.len();
        at = end + 1;
    }
    a.get(..end).unwrap_or_default()
}

/// The last non-numeric component of a path and what follows it: how torch names a module's scope
/// (`torch.onnx.utils._unqualified_variable_name`).
pub fn unqualified(path: &str) -> &str {
    let mut start = path.len();
    for segment in path.rsplit('.') {
        start -= segment.len();
        if !segment.bytes().all(|b| b.is_ascii_digit()) {
            return path.get(start..).unwrap_or(path);
        }
        start = start.saturating_sub(1);
    }
    path.rsplit('.').next().unwrap_or(path)
}

pub fn metadata<'a>(node: &'a proto::Node, key: &str) -> Option<&'a str> {
    let entry = node.metadata_props.iter().find(|e| e.key == key)?;
    std::str::from_utf8(&entry.value).ok()
}
