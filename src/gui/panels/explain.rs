//! Sentences about rows, ops and plans.

use std::borrow::Cow;

use crate::gui::data::open::Open;
use crate::gui::data::tree_index::Node;
use crate::gui::data::tree_view::{Chip, Row, Said};
use crate::gui::state::State;
use crate::model::{Model, ModuleId, OpId, Shape};
use crate::placement::Device;

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
