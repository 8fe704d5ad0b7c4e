#!/usr/bin/env python3
"""Exports a PyTorch model to ONNX for dlaplan, with the class of every module written beside it.

    python dlaplan_export.py torchvision.models:resnet18 --input 1x3x224x224 -o resnet18.onnx
    python dlaplan_export.py mypackage.nets:make_net --input 1x3x640x640 -o net.onnx --structure-only
    python dlaplan_export.py mypackage.nets:text --input 1x128:int64 -o text.onnx

The part before the colon is imported (from the current folder too), the part after it is called
without arguments and must give an nn.Module. From Python: `export(model, (example,), "net.onnx")`.
Pickles are never read.

Needs torch and onnx, on Python 3.8 or newer. Weights keep their values unless --structure-only, which
leaves every initializer over 1024 elements (16, if of floats) out of the file: enough to plan, too
little to run.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import math
import os
import sys
import tempfile
from pathlib import Path

try:
    import onnx
    import torch
except ModuleNotFoundError as missing:
    raise SystemExit(f"dlaplan_export.py needs torch and onnx: {missing}. Install both: pip install torch onnx") from None

OPSET = 17  # the newest that TensorRT 8.5's parser covers
OPSET_DYNAMO = 18  # the oldest that exporter writes
# Shape operands (integers, scales) are smaller than this, and stay.
KEEP_ELEMENTS, KEEP_FLOATS = 1024, 16
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
ABSENT = "weights-not-included"
PROTOBUF_LIMIT = 2**31 - 1


def refer_outside(tensor: onnx.TensorProto) -> None:
    """Turns an initializer into a reference to an external file that is never written."""
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field)
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", ABSENT


def strip_weights(model: onnx.ModelProto, keep_floats: int = KEEP_ELEMENTS) -> None:
    """Leaves out what is too big to be a shape operand."""
    for tensor in model.graph.initializer:
        most = keep_floats if tensor.data_type in FLOATS else KEEP_ELEMENTS
        if math.prod(tensor.dims) > most:
            refer_outside(tensor)


def unshare_weights(model: onnx.ModelProto) -> None:
    """Gives weights of equal value each their own initializer and name again.

    The exporter keeps one of them and makes an Identity node for every other, which would show as an
    op and hide whose weight it is.
    """
    graph = model.graph
    weights = {t.name: t for t in graph.initializer}
    outputs = {o.name for o in graph.output}
    kept = []
    for node in graph.node:
        shared = weights.get(node.input[0]) if node.op_type == "Identity" else None
        if shared is None or node.output[0] in outputs:
            kept.append(node)
            continue
        own = graph.initializer.add()
        own.CopyFrom(shared)
        own.name = node.output[0]
        weights[own.name] = own
    if len(kept) < len(graph.node):
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(kept)


def describe(model: onnx.ModelProto, module: torch.nn.Module, structure_only: bool) -> None:
    """Writes what the graph cannot say: module classes, and whether weights are there."""
    props = {f"dlaplan.class:{path}": type(m).__name__ for path, m in module.named_modules()}
    # One object under several names: the first is the one above.
    first = {id(m): path for path, m in module.named_modules()}
    for path, m in module.named_modules(remove_duplicate=False):
        if path != first[id(m)]:
            props[f"dlaplan.same:{path}"] = first[id(m)]
    if structure_only:
        props["dlaplan.structure_only"] = "1"
    for key, value in props.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def torch_export(module, inputs, path: Path, dynamo: bool, **options) -> None:
    """torch.onnx.export of any PyTorch: older ones lack the newer arguments."""
    known = inspect.signature(torch.onnx.export).parameters
    if dynamo and "dynamo" not in known:
        raise SystemExit("this PyTorch has no dynamo exporter: leave --dynamo out")
    newer = {"dynamo": dynamo, "external_data": False if dynamo else None}
    options.update({k: v for k, v in newer.items() if k in known and v is not None})
    torch.onnx.export(module, inputs, str(path), **options)


def export(
    module: torch.nn.Module,
    inputs: tuple,
    path: str | Path,
    *,
    dynamo: bool = False,
    opset: int | None = None,
    structure_only: bool = False,
    input_names: list[str] | None = None,
    output_names: list[str] | None = None,
    finish=None,
) -> onnx.ModelProto:
    """Exports `module` in eval mode and returns what was written to `path`.

    `finish`, if given, is called with the model before weights are left out.
    """
    module = module.eval()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        raw = Path(folder) / path.name
        torch_export(
            module,
            inputs,
            raw,
            dynamo,
            opset_version=opset or (OPSET_DYNAMO if dynamo else OPSET),
            input_names=input_names,
            output_names=output_names,
        )
        model = onnx.load(str(raw))
        unshare_weights(model)
        describe(model, module, structure_only)
        if finish:
            finish(model)
        if structure_only:
            strip_weights(model, KEEP_FLOATS)
        if model.ByteSize() > PROTOBUF_LIMIT:
            raise SystemExit(f"{path}: over 2 GB, the most ONNX keeps in one file: use --structure-only")
        raw.write_bytes(model.SerializeToString())
        os.replace(raw, path)
    return model


def example(text: str) -> torch.Tensor:
    """`1x3x224x224` or `1x128:int64` as a tensor of zeros."""
    dims, _, dtype = text.partition(":")
    kind = getattr(torch, dtype or "float32", None)
    if not isinstance(kind, torch.dtype):
        raise argparse.ArgumentTypeError(f"{dtype}: not a torch dtype, e.g. float32 or int64")
    try:
        return torch.zeros([int(d) for d in dims.split("x")], dtype=kind)
    except (ValueError, RuntimeError):
        raise argparse.ArgumentTypeError(f"{text}: give fixed dims, e.g. 1x3x224x224") from None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="package.module:factory")
    parser.add_argument("--input", required=True, action="append", type=example, help="dims[:dtype]")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--dynamo", action="store_true", help="use the torch.export exporter")
    parser.add_argument("--opset", type=int, help=f"{OPSET}, with --dynamo {OPSET_DYNAMO}")
    parser.add_argument("--structure-only", action="store_true")
    args = parser.parse_args()
    package, _, factory = args.model.partition(":")
    if not package or not factory:
        parser.error("the model is package.module:factory, e.g. torchvision.models:resnet18")
    sys.path.insert(0, os.getcwd())
    module = getattr(importlib.import_module(package), factory)()
    if not isinstance(module, torch.nn.Module):
        parser.error(f"{args.model} gave a {type(module).__name__}, not an nn.Module")
    written = export(
        module,
        tuple(args.input),
        args.output,
        dynamo=args.dynamo,
        opset=args.opset,
        structure_only=args.structure_only,
    )
    print(f"{args.output}: {len(written.graph.node)} nodes, {os.path.getsize(args.output) >> 10} KiB")


if __name__ == "__main__":
    main()
