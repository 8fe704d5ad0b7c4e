//! Python that calls torch2trt with the placement.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{Exporter, Model, ModuleId, OpId, OpKind};
use crate::placement::{Device, Placement, Site};

use super::python::{boolean, device, heading, string};
use super::{Refused, Subject};

/// A snippet that expects `model` (the `torch.nn.Module`) and `data` (an example input).
///
/// torch2trt assigns devices to modules that PyTorch calls. An assignment on a container that is
/// never called is written on its children. One on a single op is written only if that op is its
/// module's only op. A BatchNorm folded into a convolution goes where the convolution goes.
/// `use_onnx=True` is never written, since it makes torch2trt ignore
/// `device_types`.
///
/// # Errors
/// The model is not PyTorch's, an op override has no module of its own, or the engine would not
/// build.
pub fn torch2trt(subject: &Subject<'_>) -> Result<String, Refused> {
    let Subject {
        model,
        config,
        placement,
        ..
    } = *subject;
    subject.must_build_without_parser("torch2trt")?;
    if model.source.exporter == Exporter::Foreign && !placement.overrides.is_empty() {
        return Err(Refused::new(format!(
            "{} was not exported by PyTorch, so its modules are no torch.nn.Module that torch2trt \
             could be told about; export for TensorRT (Python) or trtexec",
            model.name
        )));
    }
    if !config.io.is_default() {
        return Err(Refused::new(format!(
            "torch2trt has no argument for layouts of inputs and outputs, so it cannot build I/O {}; \
             export for TensorRT (Python) or trtexec, or choose fp32:chw",
            config.io
        )));
    }
    let types = device_types(model, placement)?;
    let mut out = format!("# {}\n", heading(subject));
    out.push_str(
        "# `model` is the torch.nn.Module the ONNX file was exported from, `data` an example \
         input;\n# both on the GPU, the model in eval mode.\n",
    );
    out.push_str("import tensorrt as trt\nfrom torch2trt import torch2trt\n\n");
    if !types.is_empty() {
        out.push_str("device_types = {\n");
        for (path, chosen) in &types {
            let module = if path.is_empty() {
                "model".to_owned()
            } else {
                format!("model.get_submodule({})", string(path))
            };
            writeln!(out, "    {module}: {},", device(*chosen)).ok();
        }
        out.push_str("}\n\n");
    }
    out.push_str("model_trt = torch2trt(\n    model,\n    [data],\n");
    let mut argument = |name: &str, value: &str| writeln!(out, "    {name}={value},").ok();
    if config.precision.fp16 {
        argument("fp16_mode", "True");
    }
    if config.precision.int8 {
        argument("int8_mode", "True");
    }
    argument("default_device_type", &device(placement.default));
    if !types.is_empty() {
        argument("device_types", "device_types");
    }
    argument("dla_core", &config.dla_core.to_string());
    argument("gpu_fallback", boolean(config.gpu_fallback));
    // Above 1 it makes the batch dynamic, which the DLA refuses; `data` fixes the batch instead.
    if config.batch == 1 {
        argument("max_batch_size", "1");
    }
    out.push_str(")\n");
    let mut note = |text: &str| writeln!(out, "# {text}").ok();
    if config.batch > 1 {
        note(&format!(
            "`data` must hold {} images: its batch is the engine's.",
            config.batch
        ));
    }
    if config.precision.int8 {
        note(
            "INT8 calibrates on `data`; pass int8_calib_dataset=... for ranges that mean something.",
        );
    }
    if config.dla_core > 0 {
        note(
            "A saved and reloaded TRTModule runs on DLA core 0: TensorRT's Python API of JetPack 5",
        );
        note("cannot set the core of a deserialised engine.");
    }
    Ok(out)
}

/// A BatchNorm that the exporter folded into a convolution: in PyTorch it is a module of its own,
/// which must follow its convolution. They are paired as PyTorch code names them: `conv2` and
/// `bn2` or `norm2`, or neighbours of a Sequential.
fn folded_norm(model: &Model, id: ModuleId) -> Option<ModuleId> {
    let tree = &model.modules;
    let module = tree.get(id);
    let is_conv = |op: &OpId| matches!(model.op(*op).kind, OpKind::Conv(_) | OpKind::Deconv(_));
    if !module.children.is_empty() || !module.ops.iter().all(is_conv) || module.ops.is_empty() {
        return None;
    }
    let mut names = vec![
        module.name.replace("conv", "bn"),
        module.name.replace("conv", "norm"),
    ];
    names.extend(
        module
            .name
            .parse::<u32>()
            .map(|n| n.saturating_add(1).to_string()),
    );
    let siblings = &tree.get(module.parent?).children;
    siblings.iter().copied().find(|s| {
        let sibling = tree.get(*s);
        let norm = sibling.class.as_ref().is_none_or(|c| c.contains("Norm"));
        *s != id && sibling.subtree_ops == 0 && norm && names.iter().any(|n| **n == *sibling.name)
    })
}

/// Refuses a block that dlaplan cut from ops without names.
fn must_be_module(model: &Model, id: ModuleId) -> Result<(), Refused> {
    let module = model.modules.get(id);
    if !module.is_block {
        return Ok(());
    }
    Err(Refused::new(format!(
        "{} is a block of ops without module names in {}, no torch.nn.Module that torch2trt could \
         be told about; export the model with a newer PyTorch or scripts/dlaplan_export.py, or \
         export for TensorRT (Python) or trtexec",
        module.path, model.name
    )))
}

/// Assignments on modules that PyTorch calls, by path.
fn device_types(model: &Model, placement: &Placement) -> Result<BTreeMap<String, Device>, Refused> {
    let tree = &model.modules;
    let mut types = BTreeMap::new();
    let mut ops = Vec::new();
    for (site, chosen) in &placement.overrides {
        match site {
            Site::Module(path) => {
                if let Some(id) = tree.find(path) {
                    must_be_module(model, id)?;
                    assign(model, id, *chosen, placement, &mut types);
                }
            }
            Site::Op(name) => ops.extend(model.find_op(name).map(|id| (id, *chosen))),
        }
    }
    for (op, chosen) in ops {
        must_be_module(model, model.op(op).module)?;
        let module = tree.get(model.op(op).module);
        let alone = module.subtree_ops == 1 && !module.path.is_empty();
        if !alone {
            return Err(Refused::new(format!(
                "torch2trt places modules, and op {:?} shares {} with other ops; place that module \
                 instead, or export for TensorRT (Python)",
                &*model.op(op).name,
                if module.path.is_empty() {
                    "the root".to_owned()
                } else {
                    format!("{:?}", &*module.path)
                },
            )));
        }
        types.insert(module.path.to_string(), chosen);
    }
    let norms: Vec<(String, Device)> = types
        .iter()
        .filter_map(|(path, chosen)| {
            let norm = folded_norm(model, tree.find(path)?)?;
            Some((tree.get(norm).path.to_string(), *chosen))
        })
        .collect();
    types.extend(norms);
    Ok(types)
}

/// Assigns a module, or its children where PyTorch never calls it.
fn assign(
    model: &Model,
    id: ModuleId,
    chosen: Device,
    placement: &Placement,
    types: &mut BTreeMap<String, Device>,
) {
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let module = model.modules.get(id);
        if !module.never_called {
            types.insert(module.path.to_string(), chosen);
            continue;
        }
        let children = module.children.iter().copied();
        open.extend(children.filter(|c| {
            let path = model.modules.get(*c).path.to_string();
            !placement.overrides.contains_key(&Site::Module(path))
        }));
    }
}
