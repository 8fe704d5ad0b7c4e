//! Sentences about rows, ops and plans.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::figure::Figure;
use crate::gui::data::judgement::Ground;
use crate::gui::data::open::Open;
use crate::gui::data::tree_index::Node;
use crate::gui::data::tree_view::{Chip, Row, Said};
use crate::gui::state::State;
use crate::model::{Model, ModuleId, OpId, Shape};
use crate::placement::Device;
use crate::platform::dla_rules::rule::Verdict;

/// What a row is called, what stands behind it in small print, and whether it is a self op.
pub fn name_and_class(model: &Model, node: Node) -> (Cow<'_, str>, Cow<'_, str>, bool) {
    match node {
        Node::Module(ModuleId::ROOT) => (Cow::Borrowed(&*model.name), class(model, node), false),
        Node::Module(id) => {
            let module = model.modules.get(id);
            (Cow::Borrowed(&*module.name), class(model, node), false)
        }
        Node::Op(id) => {
            let op = model.op(id);
            let short = op.name.rsplit('/').next().unwrap_or(&op.name);
            if short == &*op.op_type {
                (Cow::Borrowed(short), Cow::Borrowed("self op"), true)
            } else {
                (Cow::Borrowed(short), Cow::Borrowed(&*op.op_type), true)
            }
        }
    }
}

/// Class of a module, or the op types it runs where the file tells no class.
fn class(model: &Model, node: Node) -> Cow<'_, str> {
    let Node::Module(id) = node else {
        return Cow::Borrowed("");
    };
    let module = model.modules.get(id);
    if let Some(class) = &module.class {
        return Cow::Borrowed(class);
    }
    match module.ops[..] {
        [op] if module.children.is_empty() => Cow::Borrowed(&*model.op(op).op_type),
        _ if id == ModuleId::ROOT => Cow::Owned(format!("{} ops", module.subtree_ops)),
        _ => Cow::Borrowed(""),
    }
}

/// Who said a device, in words.
pub fn said(model: &Model, said: Said) -> String {
    match said {
        Said::Here => "said here".into(),
        Said::On(at) => format!("from {}", Node::Module(at).title(model)),
        Said::Default => "the default".into(),
    }
}

/// The lines of a chip's tooltip.
pub fn chip(state: &State, open: &Open, row: &Row, chip: &Chip) -> Vec<String> {
    let model = &*open.model;
    let mut lines = vec![format!(
        "Requested: {} ({})",
        chip.device,
        said(model, chip.said)
    )];
    let sums = &row.sums;
    if sums.ops > 1 {
        lines.push(format!(
            "Predicted: {} of {} ops on DLA, {} on GPU",
            sums.dla,
            sums.ops,
            sums.ops - sums.dla
        ));
    } else {
        let predicted = if sums.dla > 0 {
            Device::Dla
        } else {
            Device::Gpu
        };
        lines.push(format!("Predicted: {predicted}"));
    }
    if chip.falling > 0
        && let Some(judged) = state.judged.as_deref()
    {
        let reasons = judged
            .plan
            .fallbacks
            .iter()
            .filter(|(op, _)| below(model, row.node, *op));
        for (op, why) in reasons.take(3) {
            lines.push(format!("{}: {}", model.op(*op).op_type, why.sentence()));
        }
        if chip.falling > 3 {
            lines.push(format!("and {} more that fall back", chip.falling - 3));
        }
    }
    lines
}

/// Ops that are looked at one by one, at every frame that shows the reasons.
const EXPLAINED: u32 = 500;

/// What a time of a row does not say by itself: why there is none, why it is 0, or which of its ops
/// it is of.
pub fn cost(state: &State, row: &Row, device: Device) -> Vec<String> {
    let (Some(open), Some(ground)) = (&state.open, &state.ground) else {
        return Vec::new();
    };
    let model = &*open.model;
    let (known, value) = row.sums.of(device);
    if row.sums.ops > EXPLAINED {
        let of = format!("The time of {known} of {} ops", row.sums.ops);
        return vec![of, "Open it to see why".to_owned()];
    }
    let ops = row.node.ops(model);
    if known == row.sums.ops {
        let mains: BTreeSet<OpId> = ops
            .iter()
            .filter_map(|op| ground.fused_into[op.index()])
            .filter(|main| ops.binary_search(main).is_err())
            .collect();
        let names: Vec<&str> = mains.iter().take(3).map(|op| place(model, *op)).collect();
        return vec![match (names.is_empty(), value > 0.0) {
            (false, _) => format!("Fused into {}, which bears the time", names.join(", ")),
            (true, true) => "Less than a microsecond".to_owned(),
            (true, false) => "No kernel runs for it".to_owned(),
        }];
    }
    let mut lines = Vec::new();
    if known > 0 {
        lines.push(format!("The time of {known} of {} ops", row.sums.ops));
    }
    // The same reason once, with the types of its ops.
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for op in ops {
        let Some(why) = no_cost(ground, op, device) else {
            continue;
        };
        let kind = &*model.op(op).op_type;
        match reasons.iter_mut().find(|(w, _)| *w == why) {
            Some((_, kinds)) if kinds.contains(&kind) => {}
            Some((_, kinds)) => kinds.push(kind),
            None => reasons.push((why, vec![kind])),
        }
    }
    let more = reasons.len().saturating_sub(4);
    let line = |(why, kinds): (String, Vec<&str>)| format!("{}: {why}", kinds.join(", "));
    lines.extend(reasons.into_iter().take(4).map(line));
    if more > 0 {
        lines.push(format!("and {more} more reasons"));
    }
    lines
}

/// Why an op has no time on a device, by the rule that refuses it where one does.
fn no_cost(ground: &Ground, op: OpId, device: Device) -> Option<String> {
    let Figure::None { reason } = ground.op_ms(op, device) else {
        return None;
    };
    if device == Device::Dla {
        match &ground.verdicts[op.index()] {
            Verdict::Refused(refusal) => {
                let (found, rule) = (&refusal.offending, refusal.rule);
                return Some(format!(
                    "{found}; the DLA takes {} ({})",
                    rule.allowed, rule.id
                ));
            }
            Verdict::Unknown(why) => return Some(format!("not decided by the documents: {why}")),
            Verdict::Allowed => {}
        }
        if let Some(refusal) = &ground.engine_refusal {
            return Some(refusal.sentence());
        }
    }
    Some(reason.to_string())
}

/// The path of an op's module, else its own name.
fn place(model: &Model, op: OpId) -> &str {
    let op = model.op(op);
    match &*model.modules.get(op.module).path {
        "" => &op.name,
        path => path,
    }
}

/// Whether an op is at or below a node.
fn below(model: &Model, node: Node, op: OpId) -> bool {
    match node {
        Node::Op(id) => id == op,
        Node::Module(id) => model.modules.subtree(id).contains(&model.op(op).module.0),
    }
}

/// `1×64×56×56`, or why there are no dims.
pub fn shape(shape: &Shape) -> String {
    match shape {
        Some(dims) if dims.is_empty() => "scalar".into(),
        Some(dims) => {
            let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
            dims.join("×")
        }
        None => "unknown shape".into(),
    }
}

/// The shapes an op takes in and gives out.
pub fn op_shapes(model: &Model, op: OpId) -> (String, String) {
    let join = |tensors: &[crate::model::TensorId]| {
        let shapes: Vec<String> = tensors
            .iter()
            .map(|t| shape(&model.tensor(*t).shape))
            .collect();
        shapes.join(", ")
    };
    let op = model.op(op);
    (join(&op.inputs), join(&op.outputs))
}
