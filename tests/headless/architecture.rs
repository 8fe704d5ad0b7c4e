//! Holds the order of the rooms: no import climbs, and no files import each other in a circle.
//!
//! The order stands twice, here and in the tables of ARCHITECTURE.md; a test compares the two.
//! An import through a `mod.rs` that hands a name on counts as an import of the file that defines
//! the name. Tests inside a file are no part of the house.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use quote::ToTokens as _;
use syn::visit::Visit;

/// Rooms of `src/`, from the ground up. A file may import from its own room and from those before.
const ROOMS: [&str; 15] = [
    "files",
    "figure",
    "model",
    "placement",
    "platform",
    "plan",
    "estimate",
    "engine",
    "search",
    "history",
    "chart",
    "export",
    "tasks",
    "cli",
    "gui",
];

/// Files and folders of `src/gui/`, from the ground up.
const GUI: [&str; 10] = [
    "data",
    "command",
    "message",
    "dialog",
    "ui",
    "background",
    "state",
    "actions",
    "panels",
    "app",
];

/// Files and folders of `src/engine/` that stand above its other files, from the ground up.
const ENGINE: [&str; 7] = [
    "reading",
    "remote",
    "command",
    "client",
    "deployment",
    "tensorrt",
    "worker",
];

/// A module by its path below the crate: `["gui", "data", "open"]`.
type Module = Vec<String>;

/// What a file imports.
#[derive(Default)]
struct Imports {
    /// Names that the file hands on from elsewhere: name and where it comes from.
    exports: BTreeMap<String, Module>,
    /// Paths of modules or of items in them.
    paths: Vec<Module>,
}

struct Reader<'a> {
    here: Module,
    modules: &'a BTreeSet<Module>,
    imports: Imports,
}

impl Reader<'_> {
    /// A path from the crate's root; `None` for other crates and local names.
    fn resolve(&self, path: &[String]) -> Option<Module> {
        let ups = path.iter().take_while(|s| *s == "super").count();
        let (base, rest) = match path.first()?.as_str() {
            "crate" => (&[][..], &path[1..]),
            "super" => (
                self.here.get(..self.here.len().checked_sub(ups)?)?,
                &path[ups..],
            ),
            "self" => (&self.here[..], &path[1..]),
            first => {
                let child = [&self.here[..], &[first.to_owned()]].concat();
                if !self.modules.contains(&child) {
                    return None;
                }
                (&self.here[..], path)
            }
        };
        Some([base, rest].concat())
    }

    fn add(&mut self, path: &[String]) {
        if let Some(path) = self.resolve(path) {
            self.imports.paths.push(path);
        }
    }

    /// The leaves of a `use` tree, and the names they get.
    fn leaves(tree: &syn::UseTree, before: &[String], out: &mut Vec<(String, Vec<String>)>) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(p) => Self::leaves(&p.tree, &with(&p.ident), out),
            syn::UseTree::Name(n) if n.ident == "self" => {
                out.push((before.last().cloned().unwrap_or_default(), before.to_vec()));
            }
            syn::UseTree::Name(n) => out.push((n.ident.to_string(), with(&n.ident))),
            syn::UseTree::Rename(r) => out.push((r.rename.to_string(), with(&r.ident))),
            syn::UseTree::Glob(_) => out.push(("*".to_owned(), before.to_vec())),
            syn::UseTree::Group(g) => {
                for tree in &g.items {
                    Self::leaves(tree, before, out);
                }
            }
        }
    }
}

fn of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .any(|a| a.path().is_ident("cfg") && a.meta.to_token_stream().to_string().contains("test"))
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if of_tests(&item.attrs) {
            return;
        }
        let mut leaves = Vec::new();
        Self::leaves(&item.tree, &[], &mut leaves);
        let hands_on = !matches!(item.vis, syn::Visibility::Inherited);
        for (name, path) in leaves {
            match self.resolve(&path) {
                Some(path) if hands_on => {
                    self.imports.exports.insert(name, path);
                }
                Some(path) => self.imports.paths.push(path),
                None => {}
            }
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if of_tests(&item.attrs) {
            return;
        }
        self.here.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.here.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if names.len() > 1 {
            self.add(&names);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        // A macro's arguments are tokens; paths in them are found by their first word.
        let text = mac.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if word.starts_with("crate::") || word.starts_with("super::") {
                let names: Vec<String> = word.split("::").map(str::to_owned).collect();
                self.add(&names);
            }
        }
    }
}

/// Files by module, and who imports whom.
struct House {
    files: BTreeMap<Module, PathBuf>,
    edges: BTreeSet<(Module, Module)>,
}

impl House {
    /// From files: their paths below `src/` and their text.
    fn of(texts: &BTreeMap<PathBuf, String>) -> Self {
        let files: BTreeMap<Module, PathBuf> = texts
            .keys()
            .map(|path| (module(path), path.clone()))
            .collect();
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        let imports: BTreeMap<Module, Imports> = texts
            .iter()
            .map(|(path, text)| {
                let parsed = syn::parse_file(text).unwrap();
                let mut reader = Reader {
                    here: module(path),
                    modules: &modules,
                    imports: Imports::default(),
                };
                reader.visit_file(&parsed);
                (module(path), reader.imports)
            })
            .collect();
        let mut edges = BTreeSet::new();
        for (from, its) in &imports {
            // What a file hands on from a file below its own folder is no import of its own.
            let through = its.exports.values().filter(|to| !to.starts_with(from));
            for path in its.paths.iter().chain(through) {
                if let Some(to) = home(path, &modules, &imports)
                    && to != *from
                {
                    edges.insert((from.clone(), to));
                }
            }
        }
        Self { files, edges }
    }

    fn name(&self, module: &Module) -> String {
        format!("src/{}", self.files[module].display())
    }

    /// Imports from a lower to a higher place, each as a sentence.
    fn climbs(&self) -> Vec<String> {
        let climb = |(from, to): &(Module, Module)| {
            let (a, b) = (rank(from)?, rank(to)?);
            (a < b).then(|| {
                let (from, to) = (self.name(from), self.name(to));
                format!("{from} imports {to}, which stands above it")
            })
        };
        self.edges.iter().filter_map(climb).collect()
    }

    /// Circles of files, each as a sentence that names two files which import each other's way.
    fn circles(&self) -> Vec<String> {
        let at: Vec<&Module> = self.files.keys().collect();
        let index = |m: &Module| at.binary_search(&m).unwrap();
        let edges = self
            .edges
            .iter()
            .map(|(a, b)| (index(a) as u32, index(b) as u32));
        let graph = DiGraph::<(), ()>::from_edges(edges);
        let circles = tarjan_scc(&graph).into_iter().filter(|c| c.len() > 1);
        circles
            .map(|circle| {
                let inside = |m: &Module| circle.iter().any(|node| node.index() == index(m));
                let edges = self.edges.iter().filter(|(a, b)| inside(a) && inside(b));
                let edges: Vec<String> = edges
                    .map(|(a, b)| format!("{} -> {}", self.name(a), self.name(b)))
                    .collect();
                format!("a circle of {} files: {}", circle.len(), edges.join(", "))
            })
            .collect()
    }
}

/// The module a file is: `gui/data/mod.rs` and `gui/data.rs` are both `["gui", "data"]`.
fn module(path: &Path) -> Module {
    let mut names: Module = path
        .with_extension("")
        .iter()
        .map(|s| s.to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|n| n == "mod" || n == "lib") {
        names.pop();
    }
    names
}

/// The file that defines what a path names, through the files that hand it on.
fn home(
    path: &Module,
    modules: &BTreeSet<Module>,
    imports: &BTreeMap<Module, Imports>,
) -> Option<Module> {
    let mut path = path.clone();
    for _ in 0..8 {
        let depth = (0..=path.len())
            .rev()
            .find(|n| modules.contains(&path[..*n]))?;
        let (at, rest) = path.split_at(depth);
        let Some(name) = rest.first() else {
            return Some(at.to_vec());
        };
        let its = &imports[at];
        let Some(next) = its.exports.get(name) else {
            // A glob hands on names that only their file knows.
            let glob = its.exports.get("*").filter(|_| at.is_empty());
            return glob.cloned().or_else(|| Some(at.to_vec()));
        };
        path = [&next[..], &rest[1..]].concat();
    }
    None
}

/// Where a file stands: its room, and its place inside the room where that is ordered.
fn rank(module: &Module) -> Option<(usize, usize)> {
    let position = |order: &[&str], name: &str| order.iter().position(|o| *o == name);
    let room = match module.first().map(String::as_str) {
        // The crate's face and the program stand above all.
        None | Some("main") => return Some((ROOMS.len(), 0)),
        Some(room) => room,
    };
    let room_rank = position(&ROOMS, room)?;
    let inner = module.get(1).map(String::as_str);
    let inside = match (room, inner) {
        ("gui", Some("keys")) => position(&GUI, "app"),
        ("gui", Some(name)) => position(&GUI, name),
        ("gui", None) => Some(GUI.len()),
        ("engine", Some(name)) => Some(position(&ENGINE, name).map_or(0, |at| at + 1)),
        _ => Some(0),
    };
    Some((room_rank, inside?))
}

fn sources() -> BTreeMap<PathBuf, String> {
    fn collect(folder: &Path, root: &Path, out: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                out.insert(path.strip_prefix(root).unwrap().to_owned(), text);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut out = BTreeMap::new();
    collect(&root, &root, &mut out);
    out
}

#[test]
fn no_import_climbs_and_no_files_make_a_circle() {
    let house = House::of(&sources());
    let unknown: Vec<String> = house
        .files
        .keys()
        .filter(|m| rank(m).is_none())
        .map(|m| house.name(m))
        .collect();
    assert!(
        unknown.is_empty(),
        "files outside every known room: {unknown:?}; add the room to tests/headless/architecture.rs \
         and to ARCHITECTURE.md"
    );
    let mut wrong = house.climbs();
    wrong.extend(house.circles());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_planted_circle_and_a_planted_climb_are_found() {
    let mut texts = sources();
    let plan = texts.get_mut(Path::new("plan/mod.rs")).unwrap();
    plan.push_str("\nuse crate::search::Goal;\n");
    let climbs = House::of(&texts).climbs();
    assert!(
        climbs
            .iter()
            .any(|c| c.contains("src/plan/mod.rs") && c.contains("src/search/goal.rs")),
        "{climbs:?}"
    );
    let mut texts = sources();
    let store = texts.get_mut(Path::new("history/head.rs")).unwrap();
    store.push_str("\nfn planted() { let _ = crate::history::csv::nothing(); }\n");
    let csv = texts.get_mut(Path::new("history/csv.rs")).unwrap();
    csv.push_str("\nuse super::head::RunHead as Planted;\n");
    let circles = House::of(&texts).circles();
    assert!(
        circles
            .iter()
            .any(|c| c.contains("src/history/head.rs -> src/history/csv.rs")),
        "{circles:?}"
    );
}

#[test]
fn architecture_md_shows_the_same_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).unwrap();
    // Tables whose first column names rooms as `name` or `name/`.
    let column = |title: &str| -> Vec<String> {
        let from = text.split(title).nth(1).unwrap_or_default();
        from.lines()
            .skip_while(|l| !l.starts_with("|---"))
            .skip(1)
            .take_while(|l| l.starts_with('|'))
            .filter_map(|l| {
                let name = l.trim_start_matches('|').split('|').next()?.trim();
                Some(name.trim_matches('`').trim_end_matches('/').to_owned())
            })
            .collect()
    };
    assert_eq!(column("## Rooms"), ROOMS);
    assert_eq!(column("### Inside `gui/`"), GUI);
}
