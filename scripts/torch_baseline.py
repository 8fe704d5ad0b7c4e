#!/usr/bin/env python3
"""FPS of the unconverted PyTorch module, as torch2trt's tables have it.

`dlaplan sweep` runs this program on each of its machines (`python3 -`, the program on stdin). It
prints one JSON line, in which what has no figure says why:

    python3 torch_baseline.py torchvision.models:resnet18 --input 1x3x224x224 --batch 1 --batch 8

With runs of `dlaplan profile --json` it prints a Markdown table with a row per run; --references
writes the same as a reference table, which the history can import:

    python3 torch_baseline.py torchvision.models:resnet18 --input 1x3x224x224 runs.json

The part before the colon is imported (from the current folder too), the part after it is called
without arguments and must give an nn.Module.

The module runs eagerly, in FP32, on the GPU if there is one: 100 inferences without a wait between
them after one untimed run, five times, of which the median counts. Needs torch, and Python 3.6 as
JetPack 4 has it.
"""

import argparse
import contextlib
import importlib
import json
import os
import select
import signal
import statistics
import sys
import threading
import time
import warnings
from pathlib import Path

ITERATIONS, REPEATS = 100, 5


class NoFigure(Exception):
    """Why there is no figure, in a sentence."""


def why(error):
    lines = str(error).strip().splitlines()
    return "{}: {}".format(type(error).__name__, lines[0] if lines else "no reason given")


def pytorch():
    try:
        import torch
    except ModuleNotFoundError as e:
        if e.name != "torch":
            raise NoFigure("importing torch failed with " + why(e)) from e
        raise NoFigure("{} has no PyTorch".format(sys.executable)) from e
    except Exception as e:
        raise NoFigure("importing torch failed with " + why(e)) from e
    return torch


def load(torch, spec):
    name, colon, factory = spec.partition(":")
    if not colon:
        raise NoFigure("{!r} is not package.module:factory".format(spec))
    sys.path.insert(0, os.getcwd())
    try:
        make = getattr(importlib.import_module(name), factory, None)
    except Exception as e:
        raise NoFigure("importing {} failed with {}".format(name, why(e))) from e
    if not callable(make):
        raise NoFigure("{} has no factory {}".format(name, factory))
    try:
        module = make()
    except Exception as e:
        raise NoFigure("{} failed with {}".format(spec, why(e))) from e
    if not isinstance(module, torch.nn.Module):
        raise NoFigure("{} gives {}, not an nn.Module".format(spec, type(module).__name__))
    return module.eval()


def fps(torch, module, dims, device):
    """Images per second of each repeat."""
    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    x = torch.rand(dims, device=device)
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
    return samples


def measure(spec, dims, batches):
    """`{"torch", "device", "batches": [{"batch", "samples" or "why"}]}`, or `{"why"}`."""
    try:
        torch = pytorch()
        module = load(torch, spec)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            module = module.to(device)
        except Exception as e:
            raise NoFigure("{} on {} failed with {}".format(spec, device, why(e))) from e
    except NoFigure as e:
        return {"why": str(e)}
    figures = []
    for batch in batches:
        try:
            figures.append({"batch": batch, "samples": fps(torch, module, [batch] + dims[1:], device)})
        except Exception as e:
            figures.append({"batch": batch, "why": "{} failed with {}".format(spec, why(e))})
    return {"torch": str(torch.__version__), "device": device, "batches": figures}


def end_with_reader(limit):
    """Ends this program when nobody reads its stdout any more, such as after a link was cut, or
    after so many seconds."""
    signal.alarm(limit)
    stdout = select.poll()
    stdout.register(sys.stdout.fileno(), 0)

    def watch():
        while not stdout.poll(500):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def precision(run):
    p = run["request"]["config"]["precision"]
    return "+".join(name for name in ("int8", "fp16") if p[name]) or "fp32"


def row(run, torch_fps):
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


def table(args, dims):
    runs = [run for path in args.runs for run in json.loads(path.read_text())]
    runs = [run for run in runs if run["outcome"]["state"] == "finished"]
    if not runs:
        raise SystemExit("none of the runs has figures")
    batches = {run["request"]["config"]["batch"] for run in runs}
    measured = measure(args.module, dims, sorted(batches))
    for part in [measured] + measured.get("batches", []):
        if "why" in part:
            raise SystemExit(part["why"])
    medians = {b["batch"]: statistics.median(b["samples"]) for b in measured["batches"]}
    rows = [row(run, medians[run["request"]["config"]["batch"]]) for run in runs]
    print(f"PyTorch {measured['torch']} on {measured['device']}\n")
    print("| config | torch2trt kwargs | torch FPS | tensorrt FPS |\n|---|---|---|---|")
    for r in rows:
        print(f"| {r['config']} | {r['kwargs']} | {r['torch_fps']} | {r['fps']} |")
    if args.references:
        environment = runs[0]["environment"]
        references = {
            "schema": 1,
            "title": f"{runs[0]['model']['name']} with PyTorch baseline",
            "source": f"dlaplan {environment['dlaplan']} and PyTorch {measured['torch']}",
            "board": environment["board"] or environment["gpu"] or environment["host"],
            "model": runs[0]["model"]["name"],
            "input": dims,
            "method": "torch FPS: eager FP32, 100 iterations without a sync after one untimed run, "
            "median of five; TensorRT FPS as dlaplan measures it",
            "rows": rows,
        }
        args.references.write_text(json.dumps(references, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("module", help="package.module:factory")
    parser.add_argument("runs", type=Path, nargs="*", help="files that dlaplan profile --json wrote")
    parser.add_argument("--input", required=True, help="dims of the input, 1x3x224x224")
    parser.add_argument("--batch", type=int, action="append", help="without runs: a batch to measure")
    parser.add_argument("--limit", type=int, default=0, help="without runs: end after so many seconds")
    parser.add_argument("--references", type=Path, help="write a reference table")
    args = parser.parse_args()
    dims = [int(d) for d in args.input.split("x")]
    if args.runs:
        table(args, dims)
        return
    end_with_reader(args.limit)
    warnings.simplefilter("ignore")
    # What a factory prints does not belong into the answer.
    with contextlib.redirect_stdout(sys.stderr):
        answer = measure(args.module, dims, args.batch or dims[:1])
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
