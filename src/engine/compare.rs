//! Requested against predicted against actual.

use crate::model::Model;
use crate::placement::Device;
use crate::plan::{Fallback, Plan};

use super::run::{Actual, Comparison, Contradiction, Run};

impl Run {
    /// Adds the comparison with the plan, if the run has figures.
    pub fn compare_with(&mut self, model: &Model, plan: &Plan) {
        if let Some(m) = self.measurement() {
            self.comparison = Some(compare(model, plan, &m.actual));
        }
    }
}

/// Where the engine differs from the plan it was built for.
pub fn compare(model: &Model, plan: &Plan, actual: &Actual) -> Comparison {
    let mut out = Comparison::default();
    let mut by_name = actual
        .ops
        .iter()
        .map(|a| (a.op.as_str(), a.device))
        .collect::<Vec<_>>();
    by_name.sort_unstable_by_key(|(name, _)| *name);
    for id in model.op_ids() {
        let op = model.op(id);
        let found = by_name
            .binary_search_by_key(&&*op.name, |(name, _)| name)
            .ok()
            .and_then(|i| by_name[i].1);
        let Some(actual) = found else {
            out.not_shown += 1;
            continue;
        };
        let requested = plan.requested[id.index()];
        let predicted = plan.predicted[id.index()];
        if requested == Device::Dla && actual == Device::Gpu {
            let list = if predicted == Device::Dla {
                &mut out.silent_fallbacks
            } else {
                &mut out.expected_fallbacks
            };
            list.push(op.name.to_string());
        }
        if predicted != actual {
            out.contradictions.push(Contradiction {
                op: op.name.to_string(),
                predicted,
                actual,
                because: plan
                    .fallback(id)
                    .map_or_else(|| "no rule objected".to_owned(), Fallback::sentence),
            });
        }
    }
    out
}
