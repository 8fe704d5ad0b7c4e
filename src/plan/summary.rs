//! The one-line summary.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::model::{Model, OpId};
use crate::placement::Device;

use super::{Buildable, Plan};

/// The counts behind the one line in the status bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Ops in all.
    pub ops: usize,
    /// Ops expected on the DLA.
    pub dla_ops: usize,
    /// DLA subgraphs.
    pub subgraphs: usize,
    /// Ops that fall back, by ONNX op type, most frequent first.
    pub fallbacks: Vec<(String, usize)>,
    /// Share of the multiply-accumulates expected on the DLA, 0 to 1; `None` where the network
    /// has none or a shape is unknown.
    pub dla_mac_share: Option<f64>,
    /// Why it does not build, if it does not.
    pub refused: Option<String>,
}

impl Plan {
    /// The counts for the one-line summary.
    pub fn summary(&self, model: &Model) -> Summary {
        let mut fallbacks: Vec<(String, usize)> = Vec::new();
        for (op, _) in &self.fallbacks {
            let kind = &*model.op(*op).op_type;
            match fallbacks.iter_mut().find(|(k, _)| k == kind) {
                Some((_, n)) => *n += 1,
                None => fallbacks.push((kind.to_owned(), 1)),
            }
        }
        fallbacks.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Summary {
            ops: model.ops.len(),
            dla_ops: self.dla_ops(),
            subgraphs: self.subgraphs.len(),
            fallbacks,
            dla_mac_share: self.dla_mac_share(model),
            refused: match &self.buildable {
                Buildable::Yes => None,
                Buildable::No { reasons } => reasons.first().cloned(),
            },
        }
    }

    /// Share of the multiply-accumulates expected on the DLA, 0 to 1.
    pub fn dla_mac_share(&self, model: &Model) -> Option<f64> {
        let (mut dla, mut all) = (0u64, 0u64);
        for (op, device) in model.op_ids().zip(&self.predicted) {
            let macs = model.op(op).cost?.macs;
            all = all.saturating_add(macs);
            if *device == Device::Dla {
                dla = dla.saturating_add(macs);
            }
        }
        (all > 0).then(|| dla as f64 / all as f64)
    }

    /// The ops that fall back for the same reason, grouped, most frequent first.
    pub fn fallback_groups(&self, model: &Model) -> Vec<(String, Vec<OpId>)> {
        let mut by_reason: HashMap<String, Vec<OpId>> = HashMap::new();
        for (op, why) in &self.fallbacks {
            let key = format!("{}: {}", model.op(*op).op_type, why.sentence());
            by_reason.entry(key).or_default().push(*op);
        }
        let mut groups: Vec<_> = by_reason.into_iter().collect();
        groups.sort_by_key(|(_, ops)| (Reverse(ops.len()), ops.first().copied()));
        groups
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.refused {
            return write!(f, "does not build: {why}");
        }
        if self.dla_ops == 0 && self.fallbacks.is_empty() {
            return write!(f, "all {} ops on GPU", self.ops);
        }
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        write!(
            f,
            "{}/{} ops on DLA in {} subgraph{}",
            self.dla_ops,
            self.ops,
            self.subgraphs,
            plural(self.subgraphs)
        )?;
        let count: usize = self.fallbacks.iter().map(|(_, n)| n).sum();
        if count > 0 {
            let kinds: Vec<String> = self
                .fallbacks
                .iter()
                .take(4)
                .map(|(k, n)| format!("{k} {n}"))
                .collect();
            let more = if self.fallbacks.len() > 4 {
                ", …"
            } else {
                ""
            };
            let verb = if count == 1 { "falls" } else { "fall" };
            write!(f, "; {count} {verb} back: {}{more}", kinds.join(", "))?;
        }
        Ok(())
    }
}
