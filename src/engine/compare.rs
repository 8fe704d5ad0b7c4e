//! Requested against predicted against actual.

use crate::model::Model;
use crate::placement::Device;
use crate::plan::{Fallback, Plan};

use super::run::{Actual, ActualOp, Comparison, Contradiction, Run};

impl Run {
    /// Adds the comparison with the plan, if the run has figures.
    pub fn compare_with(&mut self, model: &Model, plan: &Plan) {
        if let Some(m) = self.measurement() {
            self.comparison = Some(compare(model, plan, &m.actual));
        }
    }
}

/// Where the engine differs from the plan it was built for, and what the build's log says of it.
pub fn compare(model: &Model, plan: &Plan, actual: &Actual) -> Comparison {
    let mut out = Comparison::default();
    let mut by_name: Vec<&ActualOp> = actual.ops.iter().collect();
    by_name.sort_unstable_by_key(|a| a.op.as_str());
    for id in model.op_ids() {
        let op = model.op(id);
        let found = by_name
            .binary_search_by_key(&&*op.name, |a| a.op.as_str())
            .ok()
            .and_then(|i| Some((by_name[i], by_name[i].device?)));
        let Some((told, actual)) = found else {
            out.not_shown += 1;
            continue;
        };
        let requested = plan.requested[id.index()];
        let predicted = plan.predicted[id.index()];
        if requested == Device::Dla && actual == Device::Gpu {
            let list = match (predicted, told.reasons.is_empty()) {
                (Device::Gpu, _) => &mut out.expected_fallbacks,
                (Device::Dla, true) => &mut out.silent_fallbacks,
                (Device::Dla, false) => &mut out.explained_fallbacks,
            };
            list.push(op.name.to_string());
        }
        if predicted != actual {
            let why = plan.fallback(id);
            out.contradictions.push(Contradiction {
                op: op.name.to_string(),
                predicted,
                actual,
                because: why.map_or_else(|| "no rule objected".to_owned(), Fallback::sentence),
                rule: why.and_then(Fallback::rule).map(|r| r.id.to_owned()),
                reasons: told.reasons.clone(),
            });
        }
    }
    out
}
