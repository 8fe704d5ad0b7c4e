#!/usr/bin/env python3
"""Exports a PyTorch model to ONNX for dlaplan, with the class of every module written beside it.

    python dlaplan_export.py torchvision.models:resnet18 --input 1x3x224x224 -o resnet18.onnx
    python dlaplan_export.py mypackage.nets:make_net --input 1x3x640x640 -o net.onnx --structure-only

The part before the colon is imported, the part after it is called without arguments and must give
an nn.Module. From Python: `export(model, (example,), "net.onnx")`. Pickles are never read.

Needs torch and onnx. Weights keep their values unless --structure-only, which leaves every
initializer over 1024 elements out of the file: enough to plan, too little to run.
"""

import argparse
import importlib
from pathlib import Path

import onnx
import torch

OPSET = 17  # the newest that TensorRT 8.5's parser covers
KEEP_ELEMENTS = 1024  # shape operands and small constants stay
ABSENT = "weights-not-included"


def strip_weights(model: onnx.ModelProto) -> None:
    """Turns big initializers into references to an external file that is never written."""
    for tensor in model.graph.initializer:
        count = 1
        for dim in tensor.dims:
            count *= dim
        if count <= KEEP_ELEMENTS:
            continue
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data"):
            tensor.ClearField(field)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", ABSENT


def fold_identities(model: onnx.ModelProto) -> None:
    """Drops the Identity nodes the exporter makes for weights that share one value."""
    graph = model.graph
    weights = {t.name: t for t in graph.initializer}
    outputs = {o.name for o in graph.output}
    alias = {}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.input[0] in weights and node.output[0] not in outputs:
            alias[node.output[0]] = alias.get(node.input[0], node.input[0])
            weights[node.output[0]] = weights[node.input[0]]
            graph.node.remove(node)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = alias.get(name, name)


def describe(model: onnx.ModelProto, module: torch.nn.Module, structure_only: bool) -> None:
    """Writes what the graph cannot say: module classes, and whether weights are there."""
    props = {f"dlaplan.class:{path}": type(m).__name__ for path, m in module.named_modules()}
    if structure_only:
        props["dlaplan.structure_only"] = "1"
    for key, value in props.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def export(
    module: torch.nn.Module,
    inputs: tuple,
    path: str | Path,
    *,
    dynamo: bool = False,
    opset: int = OPSET,
    structure_only: bool = False,
    input_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> onnx.ModelProto:
    """Exports `module` in eval mode and returns what was written to `path`."""
    module = module.eval()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"external_data": False} if dynamo else {}
    torch.onnx.export(
        module,
        inputs,
        str(path),
        dynamo=dynamo,
        opset_version=opset,
        input_names=input_names,
        output_names=output_names,
        **more,
    )
    model = onnx.load(str(path))
    fold_identities(model)
    describe(model, module, structure_only)
    if structure_only:
        strip_weights(model)
    path.write_bytes(model.SerializeToString())
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="package.module:factory")
    parser.add_argument("--input", required=True, action="append", help="dims, e.g. 1x3x224x224")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--dynamo", action="store_true", help="use the torch.export exporter")
    parser.add_argument("--opset", type=int, default=OPSET)
    parser.add_argument("--structure-only", action="store_true")
    args = parser.parse_args()
    package, _, factory = args.model.partition(":")
    module = getattr(importlib.import_module(package), factory)()
    inputs = tuple(torch.zeros([int(d) for d in dims.split("x")]) for dims in args.input)
    written = export(
        module,
        inputs,
        args.output,
        dynamo=args.dynamo,
        opset=args.opset,
        structure_only=args.structure_only,
    )
    print(f"{args.output}: {len(written.graph.node)} nodes")


if __name__ == "__main__":
    main()
