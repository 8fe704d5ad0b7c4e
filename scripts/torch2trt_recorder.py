#!/usr/bin/env python3
"""Runs an exported torch2trt snippet without torch, TensorRT or a board, and prints what it asked for.

usage: torch2trt_recorder.py SNIPPET.py MODULES.json

MODULES.json is a list of module paths (the root "" may be left out). The snippet finds `model` and
`data` defined, may import `tensorrt`, `torch` and `torch2trt`, and must call torch2trt() once. An
unknown keyword argument is an error here, although the real function swallows it: a misspelt
`default_device_type` would silently leave everything on the GPU.

Prints {"kwargs": {...}, "device_types": {path: "GPU" | "DLA"}} as JSON.
"""

import json
import sys
import types


class DeviceType:
    """tensorrt.DeviceType."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"DeviceType.{self.name}"


DeviceType.GPU = DeviceType("GPU")
DeviceType.DLA = DeviceType("DLA")


class Module:
    """As much of torch.nn.Module as reaching a submodule needs."""

    def __init__(self, path: str = ""):
        self.path = path
        self.children = {}

    def submodule(self, name: str) -> "Module":
        if name not in self.children:
            raise AttributeError(f"module {self.path!r} has no submodule {name!r}")
        return self.children[name]

    def __getattr__(self, name: str) -> "Module":
        if name.startswith("__"):
            raise AttributeError(name)
        return self.submodule(name)

    def __getitem__(self, index: int) -> "Module":
        return self.submodule(str(index))

    def get_submodule(self, path: str) -> "Module":
        module = self
        for name in path.split(".") if path else []:
            module = module.submodule(name)
        return module

    def cuda(self) -> "Module":
        return self

    eval = cuda


def tree(paths: list[str]) -> Module:
    root = Module()
    for path in paths:
        module = root
        for name in path.split(".") if path else []:
            full = f"{module.path}.{name}" if module.path else name
            module = module.children.setdefault(name, Module(full))
    return root


calls = []


def torch2trt(
    module,
    inputs,
    input_names=None,
    output_names=None,
    log_level=None,
    fp16_mode=False,
    max_workspace_size=1 << 25,
    strict_type_constraints=False,
    keep_network=True,
    int8_mode=False,
    int8_calib_dataset=None,
    int8_calib_algorithm=None,
    use_onnx=False,
    default_device_type=DeviceType.GPU,
    dla_core=0,
    gpu_fallback=True,
    device_types=None,
    min_shapes=None,
    max_shapes=None,
    opt_shapes=None,
    onnx_opset=None,
    max_batch_size=None,
    avg_timing_iterations=None,
):
    """torch2trt's arguments, of its first DLA release and of its master; nothing else is taken."""
    given = dict(locals())
    devices = {m.path: d.name for m, d in (device_types or {}).items()}
    simple = {
        key: value.name if isinstance(value, DeviceType) else value
        for key, value in given.items()
        if isinstance(value, (bool, int, float, str, DeviceType, type(None)))
    }
    calls.append({"kwargs": simple, "device_types": devices})
    return Module()


def main() -> int:
    snippet, modules = sys.argv[1:3]
    tensorrt = types.ModuleType("tensorrt")
    tensorrt.DeviceType = DeviceType
    package = types.ModuleType("torch2trt")
    package.torch2trt = torch2trt
    sys.modules.update({"tensorrt": tensorrt, "torch2trt": package})
    with open(modules, encoding="utf-8") as file:
        model = tree(json.load(file))
    with open(snippet, encoding="utf-8") as file:
        code = compile(file.read(), snippet, "exec")
    exec(code, {"__name__": "snippet", "model": model, "data": object()})
    if len(calls) != 1:
        print(f"{snippet}: torch2trt was called {len(calls)} times, expected once", file=sys.stderr)
        return 1
    print(json.dumps(calls[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
