//! The plan as a table.

use crate::history::csv;
use crate::model::OpCost;
use crate::plan::Fallback;

use super::Subject;

/// One row per op: module, op, type, requested, predicted, subgraph, why it falls back,
/// multiply-accumulates, weight elements.
pub fn plan_csv(subject: &Subject<'_>) -> String {
    let (model, plan) = (subject.model, subject.plan);
    let rows = model.op_ids().map(|id| {
        let op = model.op(id);
        let cost = |f: fn(OpCost) -> u64| op.cost.map_or(String::new(), |c| f(c).to_string());
        [
            model.modules.get(op.module).path.to_string(),
            op.name.to_string(),
            op.op_type.to_string(),
            plan.requested[id.index()].to_string(),
            plan.predicted[id.index()].to_string(),
            plan.subgraph_of[id.index()].map_or(String::new(), |s| (s + 1).to_string()),
            plan.fallback(id)
                .map(Fallback::sentence)
                .unwrap_or_default(),
            cost(|c| c.macs),
            cost(|c| c.weight_elems),
        ]
    });
    csv::table(
        "module,op,type,requested,predicted,dla_subgraph,falls_back_because,macs,weight_elements",
        rows,
    )
}
