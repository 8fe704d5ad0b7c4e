//! One module object under several names.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};

use super::named::{Named, Naming, join, last, parent};

/// What tells second names.
pub struct Evidence<'a> {
    pub ops: &'a [Named<'a>],
    /// The module of each op, by its names.
    pub own: &'a [Option<String>],
    /// Modules that the trace went through.
    pub called: &'a BTreeSet<String>,
    /// Every module under its first name, if `scripts/dlaplan_export.py` wrote the file.
    pub listed: &'a BTreeSet<String>,
    /// Second names that it wrote.
    pub told: &'a BTreeMap<String, String>,
    /// Modules that hold weights or were listed, and those around them.
    pub known: &'a HashSet<String>,
}

/// Second names and the names they stand for.
pub fn find(evidence: &Evidence<'_>) -> BTreeMap<String, String> {
    let Evidence {
        ops,
        own,
        called,
        listed,
        told,
        known,
    } = *evidence;
    let complete = listed.len() > 1;
    let mut aliases = told.clone();
    aliases.retain(|alias, path| !listed.contains(alias) && alias != path);
    let real = |path: &str| {
        if complete {
            listed.contains(path)
        } else {
            known.contains(path)
        }
    };
    let mut record = |alias: &str, path: &str| {
        let (mut alias, mut path) = (alias, path);
        loop {
            if alias.is_empty() || path.is_empty() || alias == path || real(alias) || !real(path) {
                break;
            }
            aliases
                .entry(alias.to_owned())
                .or_insert_with(|| path.to_owned());
            if last(alias) != last(path) {
                break;
            }
            (alias, path) = (parent(alias), parent(path));
        }
    };
    // A weight is read in a module of one name and belongs to one of another.
    for (op, path) in ops.iter().zip(own) {
        let (Some(path), Some(owner)) = (path.as_deref(), op.owner()) else {
            continue;
        };
        if path == owner || op.control || !op.heavy {
            continue;
        }
        let inside = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|r| r.starts_with('.'));
        if !complete && (inside(path, owner) || inside(owner, path)) {
            continue;
        }
        if real(path) && complete {
            record(owner, path);
        } else if last(path) == last(owner) {
            record(path, owner);
        }
    }
    if !complete {
        return aliases;
    }
    // The list holds each object once: what was called and is not in it is one of them.
    let mut by_last: HashMap<&str, Vec<&str>> = HashMap::new();
    for path in listed {
        by_last.entry(last(path)).or_default().push(path);
    }
    for path in called.iter().filter(|p| !p.is_empty()) {
        if listed.contains(&rewritten(path, &aliases)) {
            continue;
        }
        let candidates = by_last.get(last(path)).map_or(&[][..], Vec::as_slice);
        let inner: Vec<&&str> = candidates
            .iter()
            .filter(|c| c.ends_with(&format!(".{path}")))
            .collect();
        let one = match (&inner[..], candidates) {
            ([one], _) => Some(**one),
            ([], [one]) => Some(*one),
            _ => None,
        };
        if let Some(one) = one {
            aliases.insert(path.clone(), one.to_owned());
        }
    }
    aliases
}

/// A path with the first name of the outermost module that has one.
fn rewritten(path: &str, aliases: &BTreeMap<String, String>) -> String {
    let mut path = path.to_owned();
    // Names of names; more would be a circle.
    for _ in 0..4 {
        let mut prefix = path.as_str();
        let found = loop {
            if let Some(first) = aliases.get(prefix) {
                break Some((first, prefix.len()));
            }
            prefix = parent(prefix);
            if prefix.is_empty() {
                break None;
            }
        };
        let Some((first, length)) = found else {
            break;
        };
        let rest = path.get(length..).unwrap_or_default();
        path = join(first, rest.trim_start_matches('.'));
    }
    path
}

/// Gives every module its first name.
pub fn apply(naming: &mut Naming, own: &mut [Option<String>]) {
    if naming.aliases.is_empty() {
        return;
    }
    let aliases = std::mem::take(&mut naming.aliases);
    for path in own.iter_mut().flatten() {
        *path = rewritten(path, &aliases);
    }
    naming.called = naming
        .called
        .iter()
        .map(|p| rewritten(p, &aliases))
        .collect();
    let mut modules: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (path, class) in std::mem::take(&mut naming.modules) {
        let slot = modules.entry(rewritten(&path, &aliases)).or_default();
        *slot = slot.take().or(class);
    }
    naming.modules = modules;
    naming.aliases = aliases;
}
