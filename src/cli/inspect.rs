//! `dlaplan inspect`: what is in a model.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::figure::short;
use crate::model::{Model, ModuleId, Op, Shape, by};

use super::args::{ModelArgs, whole};

/// Show the module tree of a model, with shapes and work.
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Show modules down to this depth only.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u64::from(u32::MAX)))]
    pub depth: Option<u32>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    name: &'a str,
    source: &'a crate::model::Source,
    inputs: Vec<Named<'a>>,
    outputs: Vec<Named<'a>>,
    macs: Option<u64>,
    weight_elements: u64,
    modules: Vec<ModuleRow<'a>>,
    ops: Vec<OpRow<'a>>,
    notes: Vec<&'a str>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    dims: &'a Shape,
}

#[derive(Serialize)]
struct ModuleRow<'a> {
    path: &'a str,
    class: Option<&'a str>,
    ops: u32,
    macs: Option<u64>,
    weight_elements: u64,
}

#[derive(Serialize)]
struct OpRow<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    op_type: &'a str,
    module: &'a str,
    output_dims: Option<&'a Shape>,
    macs: Option<u64>,
    weight_elements: Option<u64>,
    output_elements: Option<u64>,
}

/// Work of a subtree: multiply-accumulates, if any are known, and weight elements.
fn work(model: &Model, id: ModuleId) -> (Option<u64>, u64) {
    let ops = model.modules.subtree_ops(id);
    let costs = ops.iter().filter_map(|o| model.op(*o).cost);
    let weights = costs.fold(0u64, |w, c| w.saturating_add(c.weight_elems));
    (model.macs_of(ops), weights)
}

fn output<'a>(model: &'a Model, op: &Op) -> Option<&'a Shape> {
    op.outputs.first().map(|t| &model.tensor(*t).shape)
}

/// `1x64x56x56`, or `?`.
fn dims(shape: Option<&Shape>) -> String {
    match shape {
        Some(Some(dims)) if dims.is_empty() => "scalar".into(),
        Some(Some(dims)) => by(dims),
        _ => "?".into(),
    }
}

/// Runs the command.
///
/// # Errors
/// The model cannot be read.
pub fn run(args: &InspectArgs) -> Result<ExitCode> {
    let model = args.model.load()?;
    let mut out = super::terminal::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report(&model))?;
        writeln!(out)?;
    } else {
        text(&mut out, &model, args.depth.unwrap_or(u32::MAX))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(model: &Model) -> Report<'_> {
    let named = |t: crate::model::TensorId| {
        let tensor = model.tensor(t);
        Named {
            name: &tensor.name,
            dims: &tensor.shape,
        }
    };
    let (macs, weight_elements) = work(model, ModuleId::ROOT);
    Report {
        schema: 1,
        name: &model.name,
        source: &model.source,
        inputs: model.inputs.iter().map(|i| named(i.tensor)).collect(),
        outputs: model.outputs.iter().map(|t| named(*t)).collect(),
        macs,
        weight_elements,
        modules: model
            .modules
            .iter()
            .map(|(id, m)| {
                let (macs, weight_elements) = work(model, id);
                ModuleRow {
                    path: &m.path,
                    class: m.class.as_deref(),
                    ops: m.subtree_ops,
                    macs,
                    weight_elements,
                }
            })
            .collect(),
        ops: model
            .ops
            .iter()
            .map(|op| OpRow {
                name: &op.name,
                op_type: &op.op_type,
                module: &model.modules.get(op.module).path,
                output_dims: output(model, op),
                macs: op.cost.map(|c| c.macs),
                weight_elements: op.cost.map(|c| c.weight_elems),
                output_elements: op.cost.map(|c| c.out_elems),
            })
            .collect(),
        notes: model.notes.iter().map(|n| n.text.as_str()).collect(),
    }
}

fn text(out: &mut impl Write, model: &Model, depth: u32) -> Result<()> {
    let (macs, weights) = work(model, ModuleId::ROOT);
    writeln!(
        out,
        "{}: {} ops in {} modules, {} GMAC, {} M weights, opset {}, {}",
        model.name,
        model.ops.len(),
        model.modules.len(),
        macs.map_or("?".into(), |m| short(m as f64 / 1e9)),
        short(weights as f64 / 1e6),
        model.source.opset,
        model.source.producer
    )?;
    for input in &model.inputs {
        let tensor = model.tensor(input.tensor);
        writeln!(out, "  input {} {}", tensor.name, dims(Some(&tensor.shape)))?;
    }
    for note in &model.notes {
        writeln!(out, "  note: {}", note.text)?;
    }
    writeln!(
        out,
        "{:<44} {:>9} {:>9}  {:<20} op",
        "module", "MMAC", "k weights", "output"
    )?;
    for (id, module) in model.modules.iter() {
        if module.depth > depth {
            continue;
        }
        let indent = "  ".repeat(module.depth as usize);
        let (macs, weights) = work(model, id);
        let name = if module.path.is_empty() {
            &*model.name
        } else {
            &*module.name
        };
        // A module that is one op is one line.
        let single = match module.ops[..] {
            [op] if module.children.is_empty() => Some(model.op(op)),
            _ => None,
        };
        let class = module.class.as_deref().unwrap_or("");
        let tail = match single {
            Some(op) => format!("{} {}", op.op_type, op.name),
            None if module.subtree_ops == 0 => format!("{class} no ops in the file"),
            None => format!("{class} {} ops", module.subtree_ops),
        };
        line(
            out,
            &format!("{indent}{name}"),
            macs,
            weights,
            &dims_of(model, single),
            &tail,
        )?;
        if single.is_none() && module.depth < depth {
            for op in &module.ops {
                let op = model.op(*op);
                let macs = op.cost.map(|c| c.macs);
                let weights = op.cost.map_or(0, |c| c.weight_elems);
                let tail = format!("{} {}", op.op_type, op.name);
                line(
                    out,
                    &format!("{indent}  ·"),
                    macs,
                    weights,
                    &dims_of(model, Some(op)),
                    &tail,
                )?;
            }
        }
    }
    Ok(())
}

fn dims_of(model: &Model, op: Option<&Op>) -> String {
    op.map_or(String::new(), |op| dims(output(model, op)))
}

fn line(
    out: &mut impl Write,
    name: &str,
    macs: Option<u64>,
    weights: u64,
    dims: &str,
    tail: &str,
) -> std::io::Result<()> {
    let number = |v: f64| if v == 0.0 { String::new() } else { short(v) };
    writeln!(
        out,
        "{name:<44} {:>9} {:>9}  {dims:<20} {}",
        macs.map_or("?".into(), |m| number(m as f64 / 1e6)),
        number(weights as f64 / 1e3),
        tail.trim_start()
    )
}
