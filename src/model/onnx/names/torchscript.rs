//! Modules from the node names that `torch.onnx.export(dynamo=False)` gives.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use super::named::{MAX_SEGMENTS, Named, Naming, join, last, unqualified};

/// Scope segments of `/layer1/layer1.0/conv1/Conv`, without the op.
pub fn scopes(name: &str) -> Option<Vec<&str>> {
    let mut segments: Vec<&str> = name
        .strip_prefix('/')?
        .split('/')
        .filter(|s| !s.is_empty())
        .collect();
    segments.pop()?;
    Some(segments)
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

/// The module that a node's name tells, without regard to repeated calls.
pub fn decode(name: &str, known: &HashSet<String>) -> Option<String> {
    let segments = scopes(name)?;
    let step = |path: String, segment: &&str| descend(&path, segment, known);
    (segments.len() <= MAX_SEGMENTS).then(|| segments.iter().fold(String::new(), step))
}

struct Decoder<'a> {
    known: &'a HashSet<String>,
    /// Known paths by what torch calls them, for containers that never appear as a scope.
    by_tail: HashMap<&'a str, Vec<&'a str>>,
    /// Module per scope as written.
    decoded: HashMap<&'a str, String>,
    /// Op types per scope as written, for what may be a repeated call.
    types: HashMap<String, BTreeSet<&'a str>>,
}

impl<'a> Decoder<'a> {
    /// Whether the ops of a scope could be a call of the module that another scope names.
    fn repeats(&self, scope: &str, base: &str) -> bool {
        match (self.types.get(scope), self.types.get(base)) {
            (Some(again), Some(first)) => again.is_subset(first),
            _ => true,
        }
    }

    /// The module of a scope; modules that are new go to `called`.
    fn scope(&mut self, written: &'a str, called: &mut Vec<String>) -> &str {
        let mut open = Vec::new();
        let mut known = written;
        while !known.is_empty() && !self.decoded.contains_key(known) {
            open.push(known);
            known = known.rsplit_once('/').map_or("", |(around, _)| around);
        }
        let mut path = self.decoded.get(known).cloned().unwrap_or_default();
        for scope in open.into_iter().rev() {
            let (around, segment) = scope.rsplit_once('/').unwrap_or(("", scope));
            if !segment.is_empty() {
                path = self.step(&path, around, segment);
                called.push(path.clone());
            }
            self.decoded.insert(scope, path.clone());
        }
        self.decoded.entry(written).or_insert(path)
    }

    /// The module that a scope segment names inside `path`; `scope` is all written before it.
    fn step(&self, path: &str, scope: &str, segment: &str) -> String {
        let mut next = descend(path, segment, self.known);
        if !self.known.contains(&next) {
            if let Some(base) = first_call(segment)
                && self.repeats(&format!("{scope}/{segment}"), &format!("{scope}/{base}"))
            {
                let base_path = descend(path, base, self.known);
                let seen = self.decoded.contains_key(&*format!("{scope}/{base}"));
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
        next
    }
}

/// The module of each op.
pub fn torchscript<'a>(
    ops: &[Named<'a>],
    known: &'a HashSet<String>,
    naming: &mut Naming,
) -> Vec<Option<String>> {
    let mut by_tail: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut paths: Vec<&str> = known.iter().map(String::as_str).collect();
    paths.sort_unstable();
    for path in paths {
        by_tail.entry(unqualified(path)).or_default().push(path);
    }
    let mut types: HashMap<String, BTreeSet<&str>> = HashMap::new();
    // Only scopes that end in a number, and what they may repeat, are ever asked for.
    let segments = |op: &Named<'a>| op.node.name.split('/');
    let numbered: HashSet<&str> = ops
        .iter()
        .flat_map(segments)
        .filter_map(first_call)
        .collect();
    for op in ops.iter().filter(|_| !numbered.is_empty()) {
        let mut scope = String::new();
        for segment in scopes(&op.node.name)
            .into_iter()
            .flatten()
            .take(MAX_SEGMENTS)
        {
            scope.push('/');
            scope.push_str(segment);
            if numbered.contains(segment) || first_call(segment).is_some() {
                types
                    .entry(scope.clone())
                    .or_default()
                    .insert(&op.node.op_type);
            }
        }
    }
    let mut decoder = Decoder {
        known,
        by_tail,
        decoded: HashMap::new(),
        types,
    };
    let mut own = Vec::with_capacity(ops.len());
    let mut called = Vec::new();
    for op in ops {
        let name = &op.node.name;
        let Some((written, _)) = name.rsplit_once('/').filter(|_| name.starts_with('/')) else {
            own.push(op.owner().map(str::to_owned));
            continue;
        };
        own.push(Some(if written.split('/').count() > MAX_SEGMENTS + 1 {
            // Refused later; decoding it would only take long.
            written.trim_matches('/').replace('/', ".")
        } else {
            within(decoder.scope(written, &mut called), op)
        }));
    }
    naming.called = called.into_iter().collect();
    own
}

/// The module of an op in this scope. A child of its module's own name leaves no scope:
/// `/layer/Conv` reads layer.layer.weight.
fn within(path: &str, op: &Named<'_>) -> String {
    let child = |owner: &&str| {
        owner.strip_prefix(path).and_then(|r| r.strip_prefix('.')) == Some(last(path))
    };
    op.owner().filter(child).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::named::add_with_ancestors;
    use super::*;

    fn decoded(name: &str, known: &[&str]) -> String {
        let mut set = HashSet::new();
        for k in known {
            add_with_ancestors(&mut set, k);
        }
        let decoder = Decoder {
            known: &set,
            by_tail: HashMap::new(),
            decoded: HashMap::new(),
            types: HashMap::new(),
        };
        let mut path = String::new();
        for s in scopes(name).unwrap() {
            path = decoder.step(&path, "", s);
        }
        path
    }

    #[test]
    fn torchscript_scopes() {
        assert_eq!(
            decoded("/layer1/layer1.0/conv1/Conv", &[]),
            "layer1.0.conv1"
        );
        assert_eq!(
            decoded("/features/features.1/conv/conv.0/conv.0.0/Conv", &[]),
            "features.1.conv.0.0"
        );
        assert_eq!(
            decoded("/layer2/layer2.0/downsample/downsample.0/Conv", &[]),
            "layer2.0.downsample.0"
        );
        assert_eq!(decoded("/Flatten", &[]), "");
        assert_eq!(decoded("/blocks.0/norm/Add", &[]), "blocks.0.norm");
        assert_eq!(decoded("/model/layer1/layer1.0/Add", &[]), "model.layer1.0");
        let relu = ["layer1.0.relu"];
        assert_eq!(
            decoded("/layer1/layer1.0/relu_1/Relu", &relu),
            "layer1.0.relu"
        );
        assert_eq!(decoded("/conv_1/Conv", &["conv_1"]), "conv_1");
    }

    #[test]
    fn scope_tails() {
        assert_eq!(unqualified("layer1.0.conv1"), "conv1");
        assert_eq!(unqualified("layer1.0"), "layer1.0");
        assert_eq!(unqualified("0.1"), "1");
        assert_eq!(unqualified(""), "");
    }
}
