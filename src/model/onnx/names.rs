//! Which module runs an op, read from the names that exporters leave.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::proto;
use crate::model::Exporter;

/// Deepest module path.
pub(super) const MAX_SEGMENTS: usize = 64;
/// Metadata key of a module's class, written by `scripts/dlaplan_export.py`.
const CLASS_KEY: &str = "dlaplan.class:";
const SCOPES_KEY: &str = "pkg.torch.onnx.name_scopes";
const CLASSES_KEY: &str = "pkg.torch.onnx.class_hierarchy";

/// An op, as far as its names matter.
pub(super) struct Named<'a> {
    pub node: &'a proto::Node,
    /// Ops that make its inputs.
    pub producers: Vec<usize>,
    /// Names of its constant operands.
    pub weights: Vec<&'a str>,
    /// Convolution or matrix product: an op that computes with its weights.
    pub heavy: bool,
}

/// What the names tell.
pub(super) struct Naming {
    pub exporter: Exporter,
    /// Module path per op.
    pub paths: Vec<String>,
    /// Modules that need not have ops, with their class where known.
    pub modules: BTreeMap<String, Option<String>>,
    /// Modules whose `forward` the trace went through; empty if no trace was left.
    pub called: BTreeSet<String>,
    /// No names were usable: the caller should cut blocks.
    pub nameless: bool,
}

/// Reads the names of all ops, in execution order.
pub(super) fn read(model: &proto::Model, ops: &[Named<'_>]) -> Naming {
    let mut modules: BTreeMap<String, Option<String>> = BTreeMap::new();
    for entry in &model.metadata_props {
        if let Some(path) = entry.key.strip_prefix(CLASS_KEY) {
            let class = String::from_utf8_lossy(&entry.value).into_owned();
            modules.insert(path.to_owned(), Some(class));
        }
    }
    let mut known: HashSet<String> = HashSet::new();
    for path in modules.keys() {
        add_with_ancestors(&mut known, path);
    }
    for name in ops.iter().flat_map(|o| &o.weights) {
        if let Some(prefix) = parameter_owner(name) {
            add_with_ancestors(&mut known, prefix);
        }
    }
    let mut naming = Naming {
        exporter: exporter(model, ops),
        paths: Vec::new(),
        modules,
        called: BTreeSet::new(),
        nameless: false,
    };
    let own: Vec<Option<String>> = match naming.exporter {
        Exporter::Dynamo => dynamo(ops, &mut naming),
        Exporter::TorchScript => torchscript(ops, &known, &mut naming),
        Exporter::Foreign => foreign(ops),
    };
    naming.nameless = own.iter().all(Option::is_none);
    naming.paths = borrow(ops, own);
    naming
}

fn exporter(model: &proto::Model, ops: &[Named<'_>]) -> Exporter {
    let has_scopes = |o: &Named<'_>| o.node.metadata_props.iter().any(|e| e.key == SCOPES_KEY);
    if ops.iter().any(has_scopes) {
        return Exporter::Dynamo;
    }
    let slashed = ops.iter().filter(|o| o.node.name.starts_with('/')).count();
    if model.producer_name == "pytorch" || 2 * slashed > ops.len() {
        return Exporter::TorchScript;
    }
    Exporter::Foreign
}

fn add_with_ancestors(set: &mut HashSet<String>, path: &str) {
    let mut path = path;
    if path.split('.').count() > MAX_SEGMENTS {
        return;
    }
    while !path.is_empty() && set.insert(path.to_owned()) {
        path = parent(path);
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(p, _)| p)
}

/// The module that owns a parameter: `layer1.0.conv1` of `layer1.0.conv1.weight`. Names that
/// PyTorch did not give (`onnx::Conv_193`, Paddle's `conv2d_0.w_0`) tell nothing.
fn parameter_owner(weight: &str) -> Option<&str> {
    let (owner, parameter) = weight.rsplit_once('.')?;
    let torch = parameter.contains("weight") || parameter.contains("bias");
    let odd = |c: char| matches!(c, ':' | '/' | ' ') || c.is_control();
    (torch && !owner.is_empty() && !weight.contains(odd)).then_some(owner)
}

// ---- dynamo exporter ----

fn metadata<'a>(node: &'a proto::Node, key: &str) -> Option<&'a str> {
    let entry = node.metadata_props.iter().find(|e| e.key == key)?;
    std::str::from_utf8(&entry.value).ok()
}

fn dynamo(ops: &[Named<'_>], naming: &mut Naming) -> Vec<Option<String>> {
    ops.iter()
        .map(|op| {
            let mut scopes = python_list(metadata(op.node, SCOPES_KEY)?)?;
            // The last one is the fx node, not a module.
            scopes.pop()?;
            let classes = metadata(op.node, CLASSES_KEY)
                .and_then(python_list)
                .unwrap_or_default();
            let mut class = None;
            for (i, scope) in scopes.iter_mut().enumerate() {
                // `relu@1` is the second call of `relu`.
                if let Some((path, call)) = scope.split_once('@')
                    && call.bytes().all(|b| b.is_ascii_digit())
                {
                    *scope = path.to_owned();
                }
                class = classes.get(i).map(|c| short_class(c));
                let slot = naming.modules.entry(scope.clone()).or_default();
                if slot.is_none() {
                    *slot = class.map(str::to_owned);
                }
                naming.called.insert(scope.clone());
            }
            let scope = scopes.pop()?;
            // After FuseBatchNormIntoConv the node carries the batch norm's scope; the weight's
            // name is right.
            let owner = op.weights.iter().find_map(|w| parameter_owner(w));
            if op.heavy
                && let Some(owner) = owner
                && owner != scope
                && class.is_none_or(|c| c.contains("Norm"))
            {
                return Some(owner.to_owned());
            }
            Some(scope)
        })
        .collect()
}

fn short_class(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// Parses a Python list of strings as `repr` prints it.
fn python_list(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut chars = inner.chars().peekable();
    let mut items = Vec::new();
    loop {
        while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        let Some(quote) = chars.next() else {
            return Some(items);
        };
        if quote != '\'' && quote != '"' {
            return None;
        }
        let mut item = String::new();
        loop {
            match chars.next()? {
                '\\' => match chars.next()? {
                    'n' => item.push('\n'),
                    't' => item.push('\t'),
                    other => item.push(other),
                },
                c if c == quote => break,
                c => item.push(c),
            }
        }
        items.push(item);
    }
}

// ---- TorchScript exporter ----

/// Scope segments of `/layer1/layer1.0/conv1/Conv`, without the op.
fn scopes(name: &str) -> Option<Vec<&str>> {
    let mut segments: Vec<&str> = name
        .strip_prefix('/')?
        .split('/')
        .filter(|s| !s.is_empty())
        .collect();
    segments.pop()?;
    Some(segments)
}

/// The last non-numeric component of a path and what follows it: how torch names a module's scope
/// (`torch.onnx.utils._unqualified_variable_name`).
fn unqualified(path: &str) -> &str {
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

fn join(path: &str, segment: &str) -> String {
    match (path, segment) {
        ("", s) => s.to_owned(),
        (p, "") => p.to_owned(),
        (p, s) => format!("{p}.{s}"),
    }
}

/// The module that a scope segment names inside module `path`.
fn descend(path: &str, segment: &str, known: &HashSet<String>) -> String {
    let appended = join(path, segment);
    let tail = unqualified(path);
    if let Some(rest) = segment.strip_prefix(tail).and_then(|r| r.strip_prefix('.'))
        && !tail.is_empty()
    {
        let extended = join(path, rest);
        return if known.contains(&appended) && !known.contains(&extended) {
            appended
        } else {
            extended
        };
    }
    appended
}

/// A scope segment of a repeated call without torch's `_<k>`.
fn first_call(segment: &str) -> Option<&str> {
    let (base, k) = segment.rsplit_once('_')?;
    let number = !k.is_empty() && k.bytes().all(|b| b.is_ascii_digit()) && !k.starts_with('0');
    (number && !base.is_empty()).then_some(base)
}

struct Decoder<'a> {
    known: &'a HashSet<String>,
    /// Known paths by what torch calls them, for containers that never appear as a scope.
    by_tail: HashMap<&'a str, Vec<&'a str>>,
    /// (module, segment) -> module.
    memo: HashMap<(String, String), String>,
}

impl Decoder<'_> {
    fn step(&mut self, path: &str, segment: &str) -> String {
        let key = (path.to_owned(), segment.to_owned());
        if let Some(found) = self.memo.get(&key) {
            return found.clone();
        }
        let mut next = descend(path, segment, self.known);
        if !self.known.contains(&next) {
            if let Some(base) = first_call(segment) {
                let base_path = descend(path, base, self.known);
                let seen = self.memo.contains_key(&(path.to_owned(), base.to_owned()));
                if seen || self.known.contains(&base_path) {
                    next = base_path;
                }
            }
            if !self.known.contains(&next) {
                // A ModuleDict's name is missing from the scope of what it holds.
                let inside = |p: &&&str| path.is_empty() || p.starts_with(&format!("{path}."));
                let tail = unqualified(&next);
                let candidates = self.by_tail.get(tail).map_or(&[][..], Vec::as_slice);
                let mut fitting = candidates.iter().filter(inside);
                if let (Some(one), None) = (fitting.next(), fitting.next()) {
                    next = (*one).to_owned();
                }
            }
        }
        self.memo.insert(key, next.clone());
        next
    }
}

fn torchscript(
    ops: &[Named<'_>],
    known: &HashSet<String>,
    naming: &mut Naming,
) -> Vec<Option<String>> {
    let mut by_tail: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut paths: Vec<&str> = known.iter().map(String::as_str).collect();
    paths.sort_unstable();
    for path in paths {
        by_tail.entry(unqualified(path)).or_default().push(path);
    }
    let mut decoder = Decoder {
        known,
        by_tail,
        memo: HashMap::new(),
    };
    let mut own = Vec::with_capacity(ops.len());
    for op in ops {
        let Some(segments) = scopes(&op.node.name) else {
            let owner = op.weights.iter().find_map(|w| parameter_owner(w));
            own.push(owner.map(str::to_owned));
            continue;
        };
        if segments.len() > MAX_SEGMENTS {
            // Refused later; decoding it would only take long.
            own.push(Some(segments.join(".")));
            continue;
        }
        let mut path = String::new();
        for segment in segments {
            path = decoder.step(&path, segment);
            if !naming.called.contains(&path) {
                naming.called.insert(path.clone());
            }
        }
        own.push(Some(path));
    }
    own
}

// ---- everybody else ----

fn foreign(ops: &[Named<'_>]) -> Vec<Option<String>> {
    let slashed = ops.iter().filter(|o| o.node.name.contains('/')).count();
    if 2 * slashed > ops.len() {
        return ops
            .iter()
            .map(|op| {
                let (scope, _) = op.node.name.rsplit_once('/')?;
                let segments: Vec<&str> = scope.split('/').filter(|s| !s.is_empty()).collect();
                Some(segments.join("."))
            })
            .collect();
    }
    ops.iter()
        .map(|op| {
            let owner = op.weights.iter().find_map(|w| parameter_owner(w));
            owner.map(str::to_owned)
        })
        .collect()
}

/// An op without a name of its own belongs where its inputs come from: to the innermost module
/// around all of them, and beside a module that holds weights rather than in it.
fn borrow(ops: &[Named<'_>], own: Vec<Option<String>>) -> Vec<String> {
    let mut paths: Vec<String> = Vec::with_capacity(ops.len());
    for (op, own) in ops.iter().zip(own) {
        let path = own.unwrap_or_else(|| {
            let mut common: Option<&str> = None;
            for &p in &op.producers {
                let (Some(path), Some(producer)) = (paths.get(p), ops.get(p)) else {
                    continue;
                };
                let beside = if producer.weights.is_empty() {
                    path
                } else {
                    parent(path)
                };
                common = Some(match common {
                    None => beside,
                    Some(c) => common_ancestor(c, beside),
                });
            }
            common.unwrap_or_default().to_owned()
        });
        paths.push(path);
    }
    paths
}

fn common_ancestor<'a>(a: &'a str, b: &str) -> &'a str {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(name: &str, known: &[&str]) -> String {
        let mut set = HashSet::new();
        for k in known {
            add_with_ancestors(&mut set, k);
        }
        let mut decoder = Decoder {
            known: &set,
            by_tail: HashMap::new(),
            memo: HashMap::new(),
        };
        let mut path = String::new();
        for s in scopes(name).unwrap() {
            path = decoder.step(&path, s);
        }
        path
    }

    #[test]
    fn torchscript_scopes() {
        assert_eq!(decode("/layer1/layer1.0/conv1/Conv", &[]), "layer1.0.conv1");
        assert_eq!(
            decode("/features/features.1/conv/conv.0/conv.0.0/Conv", &[]),
            "features.1.conv.0.0"
        );
        assert_eq!(
            decode("/layer2/layer2.0/downsample/downsample.0/Conv", &[]),
            "layer2.0.downsample.0"
        );
        assert_eq!(decode("/Flatten", &[]), "");
        assert_eq!(decode("/blocks.0/norm/Add", &[]), "blocks.0.norm");
        assert_eq!(decode("/model/layer1/layer1.0/Add", &[]), "model.layer1.0");
        let relu = ["layer1.0.relu"];
        assert_eq!(
            decode("/layer1/layer1.0/relu_1/Relu", &relu),
            "layer1.0.relu"
        );
        assert_eq!(decode("/conv_1/Conv", &["conv_1"]), "conv_1");
    }

    #[test]
    fn scope_tails() {
        assert_eq!(unqualified("layer1.0.conv1"), "conv1");
        assert_eq!(unqualified("layer1.0"), "layer1.0");
        assert_eq!(unqualified("0.1"), "1");
        assert_eq!(unqualified(""), "");
    }

    #[test]
    fn python_lists() {
        let parsed = python_list(r#"['', 'layer1', "it's", 'a\'b']"#);
        assert_eq!(parsed.unwrap(), ["", "layer1", "it's", "a'b"]);
        assert_eq!(python_list("[]").unwrap(), [""; 0]);
        assert_eq!(python_list("['a"), None);
        assert_eq!(python_list("[a]"), None);
    }

    #[test]
    fn parameter_names() {
        assert_eq!(
            parameter_owner("layer1.0.conv1.weight"),
            Some("layer1.0.conv1")
        );
        assert_eq!(parameter_owner("onnx::Conv_193"), None);
        assert_eq!(parameter_owner("conv2d_0.w_0"), None);
        assert_eq!(parameter_owner(".weight"), None);
        assert_eq!(common_ancestor("layer1.0.conv1", "layer1.0.bn"), "layer1.0");
        assert_eq!(common_ancestor("layer1", "layer10"), "");
    }
}
