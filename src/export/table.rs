//! The plan as a table.

use std::fmt::Write as _;

use crate::placement::Device;

use super::Subject;

/// One field of a CSV row (RFC 4180). A leading `=`, `+`, `-` or `@` would be a formula in a
/// spreadsheet, so text that begins with one gets an apostrophe.
pub(crate) fn csv_field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) {
        "'"
    } else {
        ""
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

/// One row per op: module, op, type, requested, predicted, subgraph, why it falls back,
/// multiply-accumulates, weight elements.
pub fn plan_csv(subject: &Subject<'_>) -> String {
    let mut out = String::from(
        "module,op,type,requested,predicted,dla_subgraph,falls_back_because,macs,weight_elements\n",
    );
    for id in subject.model.op_ids() {
        let op = subject.model.op(id);
        let plan = subject.plan;
        let subgraph = plan.subgraph_of[id.index()].map_or(String::new(), |s| (s + 1).to_string());
        let why = plan
            .fallback(id)
            .map(super::super::plan::Fallback::sentence)
            .unwrap_or_default();
        let cost = |f: fn(crate::model::OpCost) -> u64| {
            op.cost.map_or(String::new(), |c| f(c).to_string())
        };
        let device = |d: Device| d.as_str();
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{}",
            csv_field(&subject.model.modules.get(op.module).path),
            csv_field(&op.name),
            csv_field(&op.op_type),
            device(plan.requested[id.index()]),
            device(plan.predicted[id.index()]),
            subgraph,
            csv_field(&why),
            cost(|c| c.macs),
            cost(|c| c.weight_elems),
        )
        .ok();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::csv_field;

    #[test]
    fn fields_are_quoted_and_never_formulas() {
        assert_eq!(csv_field("a.b"), "a.b");
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_field("=cmd()"), "'=cmd()");
    }
}
