//! The filter box: words that must all match.

use crate::gui::data::tree_index::{Node, Sums, TreeInput};
use crate::model::{Model, ModuleId, OpId};
use crate::placement::Assigned;

/// A property asked for with `is:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Asks for the DLA and is expected on the GPU.
    Fallback,
    /// Expected on the DLA.
    Dla,
    /// Expected on the GPU.
    Gpu,
    /// Said here.
    Explicit,
    /// Both devices below.
    Mixed,
    /// The DLA rules refuse it, wherever it is placed.
    Refused,
    /// Runs elsewhere in the placement it is compared with.
    Differs,
}

impl Property {
    /// Every property with the word the user types and what it means.
    pub const ALL: [(&'static str, Self, &'static str); 7] = [
        (
            "fallback",
            Self::Fallback,
            "asks for the DLA and falls back",
        ),
        ("dla", Self::Dla, "expected on the DLA"),
        ("gpu", Self::Gpu, "expected on the GPU"),
        ("explicit", Self::Explicit, "assigned here, not inherited"),
        ("mixed", Self::Mixed, "both devices below"),
        ("refused", Self::Refused, "the DLA rules refuse it"),
        (
            "differs",
            Self::Differs,
            "runs elsewhere in the compared placement",
        ),
    ];
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// Part of a path, an op name, an op type or a class; lower case.
    Word(String),
    Is(Property),
    /// `is:` with a word that is none; matches nothing.
    Unknown(String),
}

/// A parsed filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

impl Filter {
    /// Parses what the user typed.
    pub fn parse(text: &str) -> Self {
        let terms = text
            .split_whitespace()
            .map(|word| {
                let word = word.to_ascii_lowercase();
                match word.strip_prefix("is:") {
                    None => Term::Word(word),
                    Some(name) => Property::ALL
                        .iter()
                        .find(|(n, ..)| *n == name)
                        .map_or_else(|| Term::Unknown(name.to_owned()), |(_, p, _)| Term::Is(*p)),
                }
            })
            .collect();
        Self {
            text: text.to_owned(),
            terms,
        }
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Why nothing can match, where a word after `is:` is none.
    pub fn unknown(&self) -> Option<String> {
        let name = self.terms.iter().find_map(|term| match term {
            Term::Unknown(name) => Some(name),
            Term::Word(_) | Term::Is(_) => None,
        })?;
        let known = Property::ALL.map(|(name, ..)| name);
        let (last, others) = known.split_last()?;
        Some(format!(
            "There is no is:{name}; is: takes {} or {last}",
            others.join(", ")
        ))
    }

    /// The range of `name` to highlight: the first word found in it.
    pub fn highlight(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let lower = name.to_ascii_lowercase();
        self.terms.iter().find_map(|term| match term {
            Term::Word(word) => {
                // A path typed whole still marks the part that is on the row.
                let tail = word.rsplit('.').next().filter(|t| !t.is_empty());
                let (at, found) = lower
                    .find(word.as_str())
                    .map(|at| (at, word.as_str()))
                    .or_else(|| tail.and_then(|t| lower.find(t).map(|at| (at, t))))?;
                Some(at..at + found.len())
            }
            Term::Is(_) | Term::Unknown(_) => None,
        })
    }

    /// Whether a node matches every term. Properties of ops are asked of leaves only, so that
    /// `is:dla` lists ops and not every container above them.
    pub(crate) fn matches(
        &self,
        input: &TreeInput<'_>,
        node: Node,
        sums: &Sums,
        leaf: bool,
    ) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Unknown(_) => false,
            Term::Word(word) => word_matches(input.model, node, word, leaf),
            Term::Is(property) => match property {
                Property::Fallback => leaf && sums.falling > 0,
                Property::Dla => leaf && sums.dla > 0,
                Property::Gpu => leaf && sums.ops > 0 && sums.dla == 0,
                Property::Mixed => sums.asked_dla > 0 && sums.asked_dla < sums.ops,
                Property::Explicit => input.judged.is_some_and(|j| {
                    let assigned = match node {
                        Node::Module(id) => j.resolved.module(id),
                        Node::Op(id) => j.resolved.op(id),
                    };
                    matches!(assigned, Assigned::Explicit(_))
                }),
                Property::Differs => leaf && input.pair(node).is_some_and(|p| p.differs > 0),
                Property::Refused => {
                    leaf && input
                        .index
                        .single_op(input.model, node)
                        .is_some_and(|op| refused(input, op))
                }
            },
        })
    }
}

fn refused(input: &TreeInput<'_>, op: OpId) -> bool {
    use crate::platform::dla_rules::rule::Verdict;
    input
        .ground
        .is_some_and(|g| !matches!(g.verdicts[op.index()], Verdict::Allowed))
}

fn word_matches(model: &Model, node: Node, word: &str, leaf: bool) -> bool {
    let op_matches = |op: OpId| {
        let op = model.op(op);
        contains(&op.op_type, word) || contains(&op.name, word)
    };
    match node {
        Node::Op(op) => op_matches(op),
        Node::Module(id) => {
            let module = model.modules.get(id);
            contains(&module.path, word)
                || module.class.as_ref().is_some_and(|c| contains(c, word))
                || (leaf && id != ModuleId::ROOT && module.ops.iter().any(|op| op_matches(*op)))
        }
    }
}

/// ASCII case-insensitive search for a lower-case word, without allocating.
fn contains(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    word.is_empty()
        || text.windows(word.len()).any(|w| {
            w.iter()
                .zip(word)
                .all(|(a, b)| a.to_ascii_lowercase() == *b)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_properties() {
        let f = Filter::parse("layer2.0  is:Fallback");
        assert_eq!(
            f.terms,
            [Term::Word("layer2.0".into()), Term::Is(Property::Fallback)]
        );
        assert_eq!(
            Filter::parse("is:nonsense").terms,
            [Term::Unknown("nonsense".into())]
        );
        assert!(Filter::parse("  ").is_empty());
    }

    #[test]
    fn highlight_is_on_the_row() {
        let f = Filter::parse("layer2.0.CONV");
        assert_eq!(f.highlight("conv1"), Some(0..4));
        assert_eq!(f.highlight("bn1"), None);
        assert!(contains("MaxPool", "maxp"));
    }
}
