#!/usr/bin/env python3
"""Adds the FPS of the unconverted PyTorch module to runs of dlaplan, as torch2trt's tables have it.

    dlaplan profile resnet18.onnx --json runs.json
    python torch_baseline.py torchvision.models:resnet18 --input 1x3x224x224 runs.json

The part before the colon is imported (from the current folder too), the part after it is called
without arguments and must give an nn.Module. Printed is a Markdown table with a row per run;
--references writes the same as a reference table, which the history can import.

The module runs eagerly, in FP32, on the GPU if there is one: 100 inferences without a wait between
them after one untimed run, five times, of which the median counts. Needs torch.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch

ITERATIONS, REPEATS = 100, 5


def load(spec: str) -> torch.nn.Module:
    name, colon, factory = spec.partition(":")
    if not colon:
        raise SystemExit(f"{spec!r} is not package.module:factory")
    sys.path.insert(0, os.getcwd())
    module = getattr(importlib.import_module(name), factory)()
    if not isinstance(module, torch.nn.Module):
        raise SystemExit(f"{spec} gives {type(module).__name__}, not an nn.Module")
    return module.eval()


def fps(module: torch.nn.Module, dims: list[int], device: str) -> float:
    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    module, x = module.to(device), torch.rand(dims, device=device)
    samples = []
    with torch.no_grad():
        module(x)
        for _ in range(REPEATS):
            wait()
            begun = time.perf_counter()
            for _ in range(ITERATIONS):
                module(x)
            wait()
            samples.append(ITERATIONS * dims[0] / (time.perf_counter() - begun))
    return statistics.median(samples)


def precision(run: dict) -> str:
    p = run["request"]["config"]["precision"]
    return "+".join(name for name in ("int8", "fp16") if p[name]) or "fp32"


def row(run: dict, torch_fps: float) -> dict:
    request, config = run["request"], run["request"]["config"]
    placement = request["placement"]
    kwargs = {f"{name}_mode": True for name in ("int8", "fp16") if config["precision"][name]}
    modules = {o["module"]: o["device"] for o in placement["overrides"] if "module" in o}
    text = ", ".join(
        [f"'{k}': {v}" for k, v in kwargs.items()]
        + [f"'default_device_type': DeviceType.{placement['default']}"]
        + ([f"'device_types': {modules}"] if modules else [])
        + [f"'max_batch_size': {config['batch']}", f"'dla_core': {config['dla_core']}"]
    )
    name = f"{run['model']['name']}_{precision(run)}_{placement['default'].lower()}"
    split = "".join(f"_{m}_{d.lower()}" for m, d in modules.items())
    group = run.get("deployment")
    return {
        "config": name + split,
        "kwargs": "{" + text + "}",
        "precision": precision(run),
        "batch": config["batch"],
        "placement": placement,
        "dla_core": config["dla_core"],
        **({"deployment": group["group"]} if group else {}),
        "torch_fps": torch_fps,
        "fps": run["outcome"]["fps"]["value"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("module", help="package.module:factory")
    parser.add_argument("runs", type=Path, nargs="+", help="files that dlaplan profile --json wrote")
    parser.add_argument("--input", required=True, help="dims of the input, 1x3x224x224")
    parser.add_argument("--references", type=Path, help="write a reference table")
    args = parser.parse_args()
    dims = [int(d) for d in args.input.split("x")]
    runs = [run for path in args.runs for run in json.loads(path.read_text())]
    runs = [run for run in runs if run["outcome"]["state"] == "finished"]
    if not runs:
        raise SystemExit("none of the runs has figures")
    module = load(args.module)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = {run["request"]["config"]["batch"] for run in runs}
    baseline = {batch: fps(module, [batch, *dims[1:]], device) for batch in sorted(batches)}
    rows = [row(run, baseline[run["request"]["config"]["batch"]]) for run in runs]
    print(f"PyTorch {torch.__version__} on {device}\n")
    print("| config | torch2trt kwargs | torch FPS | tensorrt FPS |\n|---|---|---|---|")
    for r in rows:
        print(f"| {r['config']} | {r['kwargs']} | {r['torch_fps']} | {r['fps']} |")
    if args.references:
        environment = runs[0]["environment"]
        table = {
            "schema": 1,
            "title": f"{runs[0]['model']['name']} with PyTorch baseline",
            "source": f"dlaplan {environment['dlaplan']} and PyTorch {torch.__version__}",
            "board": environment["board"] or environment["gpu"] or environment["host"],
            "model": runs[0]["model"]["name"],
            "input": dims,
            "method": "torch FPS: eager FP32, 100 iterations without a sync after one untimed run, "
            "median of five; TensorRT FPS as dlaplan measures it",
            "rows": rows,
        }
        args.references.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
