#!/usr/bin/env python3
"""FPS and CPU time of dlaplan and trtexec on the same engine file, in turns.

    python trtexec_compare.py --dlaplan target/release/dlaplan --trtexec trtexec \\
        --model bundled:resnet18 --engine resnet18.engine [--batch 1] [--cuda-graph] [--spin-wait]
        [--rounds 5] [--processes 4]

The engine is built with dlaplan in FP16 where the file is not there. Each round's figure is the
mean of several short processes, those of both programs in turns: where TensorRT's memory comes to
lie makes one process a percent or two faster than the next, of either program.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile

REPEATS = 5
SECONDS = 1


def run(command: list[str]) -> tuple[str, float]:
    """Output, and CPU seconds of the program and all it waited for."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}:\n{output[-2000:]}")
    return output, usage.ru_utime + usage.ru_stime


def dlaplan(args: argparse.Namespace, seconds: float) -> dict:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [args.dlaplan, "profile", args.model, "--batch", str(args.batch)]
        command += ["--load-engine", args.engine, "--reference", "none", "--no-layers", "--no-history"]
        command += ["--no-cache", "--repeats", str(REPEATS)]
        command += ["--duration", str(int(seconds * 1000 / REPEATS)), "--json", file.name]
        command += ["--cuda-graph"] * args.cuda_graph + ["--spin-wait"] * args.spin_wait
        _, cpu = run(command)
        with open(file.name) as runs:
            m = json.load(runs)[0]["outcome"]
    inferences = sum(m["fps_samples"]) * seconds / REPEATS / args.batch
    return {"fps": m["fps"]["value"], "cpu": cpu, "inferences": inferences}


def trtexec(args: argparse.Namespace, seconds: float) -> dict:
    command = [args.trtexec, f"--loadEngine={args.engine}", "--noDataTransfers"]
    command += ["--warmUp=500", f"--duration={seconds:g}"]
    command += ["--useCudaGraph"] * args.cuda_graph + ["--useSpinWait"] * args.spin_wait
    output, cpu = run(command)
    qps = float(re.search(r"Throughput: ([\d.]+) qps", output)[1])
    wall = float(re.search(r"Total Host Walltime: ([\d.]+) s", output)[1])
    return {"fps": qps * args.batch, "cpu": cpu, "inferences": qps * wall}


def cpu_us(long: dict, short: dict) -> float:
    """CPU time per inference, without what starting up costs."""
    return (long["cpu"] - short["cpu"]) / (long["inferences"] - short["inferences"]) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("dlaplan", "trtexec", "model", "engine"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--cuda-graph", action="store_true")
    parser.add_argument("--spin-wait", action="store_true")
    args = parser.parse_args()
    if not os.path.exists(args.engine):
        build = ["profile", args.model, "--batch", str(args.batch), "--precision", "fp16"]
        run([args.dlaplan, *build, "--build-only", "--save-engine", args.engine, "--no-cache"])
    ours, theirs = [], []
    for _ in range(args.rounds):
        pairs = [(dlaplan(args, SECONDS), trtexec(args, SECONDS)) for _ in range(args.processes)]
        for rows, runs in zip((ours, theirs), zip(*pairs)):
            rows.append(runs)
        print("; ".join(f"{a['fps']:.1f} {b['fps']:.1f}" for a, b in pairs), flush=True)
    figures = {"each round's mean": [[statistics.mean(r["fps"] for r in runs) for runs in rows] for rows in (ours, theirs)]}
    figures["every process"] = [[r["fps"] for runs in rows for r in runs] for rows in (ours, theirs)]
    figures["first of each round"] = [[runs[0]["fps"] for runs in rows] for rows in (ours, theirs)]
    for name, both in figures.items():
        a, b = ((statistics.median(fps), min(fps), max(fps)) for fps in both)
        texts = ("{:.1f} ({:.1f} to {:.1f})".format(*x) for x in (a, b))
        print(f"{name}: median dlaplan {next(texts)}, trtexec {next(texts)} FPS, ratio {a[0] / b[0]:.4f}")
    means = [statistics.mean(fps) for fps in figures["every process"]]
    print(f"ratio of means of all {means[0] / means[1]:.4f}")
    ours, theirs = cpu_us(dlaplan(args, 10), ours[-1][-1]), cpu_us(trtexec(args, 10), theirs[-1][-1])
    print(f"CPU per inference: dlaplan {ours:.1f} us, trtexec {theirs:.1f} us")


if __name__ == "__main__":
    main()
