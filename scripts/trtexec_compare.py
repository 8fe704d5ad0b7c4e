#!/usr/bin/env python3
"""FPS and CPU time of dlaplan and trtexec on the same engine file, in turns.

    python trtexec_compare.py --dlaplan target/release/dlaplan --trtexec trtexec \\
        --model bundled:resnet18 --engine resnet18.engine [--batch 1] [--cuda-graph] [--spin-wait]
        [--rounds 5]

The engine is built with dlaplan in FP16 where the file is not there.
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
    gpu = float(re.search(r"GPU Compute Time: .*?median = ([\d.]+) ms", output)[1])
    return {"fps": qps * args.batch, "cpu": cpu, "inferences": qps * wall, "gpu_ms": gpu}


def cpu_us(long: dict, short: dict) -> float:
    """CPU time per inference, without what starting up costs."""
    return (long["cpu"] - short["cpu"]) / (long["inferences"] - short["inferences"]) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("dlaplan", "trtexec", "model", "engine"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cuda-graph", action="store_true")
    parser.add_argument("--spin-wait", action="store_true")
    args = parser.parse_args()
    if not os.path.exists(args.engine):
        build = ["profile", args.model, "--batch", str(args.batch), "--precision", "fp16"]
        run([args.dlaplan, *build, "--build-only", "--save-engine", args.engine, "--no-cache"])
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(dlaplan(args, 3))
        theirs.append(trtexec(args, 3))
        print(f"dlaplan {ours[-1]['fps']:.1f} FPS, trtexec {theirs[-1]['fps']:.1f} FPS", flush=True)
    a, b = ([r["fps"] for r in rows] for rows in (ours, theirs))
    for name, fps in (("dlaplan", a), ("trtexec", b)):
        print(f"{name}: median {statistics.median(fps):.1f}, mean {statistics.mean(fps):.1f}, {min(fps):.1f} to {max(fps):.1f}")
    gpu = args.batch * 1e3 / statistics.median(r["gpu_ms"] for r in theirs)
    medians, means = statistics.median(a) / statistics.median(b), statistics.mean(a) / statistics.mean(b)
    print(f"ratio of medians {medians:.4f}, of means {means:.4f}; by trtexec's GPU time {gpu:.1f} FPS")
    ours, theirs = cpu_us(dlaplan(args, 10), ours[-1]), cpu_us(trtexec(args, 12), theirs[-1])
    print(f"CPU per inference: dlaplan {ours:.1f} us, trtexec {theirs:.1f} us")


if __name__ == "__main__":
    main()
