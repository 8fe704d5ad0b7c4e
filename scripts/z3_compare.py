#!/usr/bin/env python3
"""Solves problems dumped by `dlaplan search --dump-problem` with Z3, side by side.

Usage: z3_compare.py [--timeout SECONDS] problem.json...
Needs z3-solver (pip install z3-solver).

The formulation is AxoNN's (DAC 2022): one Boolean per layer choice, the sum of execution times and
of transition times on the edges where devices differ is minimised, and the number of DLA segments
is limited. On a graph that is a chain of choices it is the same problem that dlaplan solves. On
other graphs it counts a tensor's copy once for all its readers and a subgraph only where it enters
the DLA between bottlenecks, so that its optimum is a lower bound on dlaplan's; equality then
proves both.
"""

import argparse
import json
import sys
import time

import z3

UNITS = 10**9  # whole picoseconds, as in the program's own minimum cut


def units(ms):
    return int(ms * UNITS)


def bottlenecks(problem):
    """Atoms through which everything passes, in execution order."""
    reach = [0] * (len(problem["atoms"]) + 1)
    for flow in problem["flows"]:
        if flow["producer"] is not None and flow["consumers"]:
            after = flow["producer"] + 1
            reach[after] = max(reach[after], flow["consumers"][-1])
    found, far = [], 0
    for i in range(len(problem["atoms"])):
        far = max(far, reach[i])
        if far <= i:
            found.append(i)
    return found


def solve(problem, timeout_s):
    atoms = problem["atoms"]
    opt = z3.Optimize()
    opt.set("timeout", int(timeout_s * 1000))
    choice = []
    for i, allowed in enumerate(problem["choices"]):
        v = z3.Bool(f"c{i}")
        choice.append(v)
        if allowed != "both":
            opt.add(v if allowed == "dla" else z3.Not(v))
    false = z3.BoolVal(False)
    on_dla = [false if a["choice"] is None else choice[a["choice"]] for a in atoms]
    terms = []

    def pay(when, ms):
        if units(ms) > 0:
            terms.append(z3.If(when, units(ms), 0))

    for atom, x in zip(atoms, on_dla):
        pay(z3.Not(x), atom["gpu_ms"])
        if atom["choice"] is not None:
            pay(x, atom["dla_ms"] + atom.get("left_ms", 0.0))
    for flow in problem["flows"]:
        home = false if flow["producer"] is None else on_dla[flow["producer"]]
        readers = [on_dla[c] for c in flow["consumers"]]
        any_dla = z3.Or(readers) if readers else false
        any_gpu = z3.Or([z3.Not(r) for r in readers]) if readers else false
        pay(z3.And(z3.Not(home), any_dla), flow["to_dla_ms"])
        pay(z3.And(home, any_gpu), flow["to_gpu_ms"])
        if flow["is_output"]:
            pay(z3.And(home, z3.Not(any_gpu)), flow["to_caller_ms"])
    entries = []
    before = None
    for i in bottlenecks(problem):
        x = on_dla[i]
        entries.append(x if before is None else z3.And(x, z3.Not(before)))
        before = x
    for e in entries:
        pay(e, problem["subgraph_ms"])
    opt.add(z3.PbLe([(e, 1) for e in entries], problem["max_subgraphs"]))
    total = opt.minimize(z3.Sum(terms))
    start = time.perf_counter()
    status = opt.check()
    seconds = time.perf_counter() - start
    value = opt.upper(total)
    return str(status), value.as_long() / UNITS if status == z3.sat else None, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds per problem for Z3")
    parser.add_argument("problems", nargs="+")
    args = parser.parse_args()
    failed = False
    print("| problem | choices | dlaplan ms | Z3 ms | dlaplan s | Z3 s | Z3 / dlaplan |")
    print("|---|---|---|---|---|---|---|")
    for path in args.problems:
        with open(path, encoding="utf-8") as file:
            dump = json.load(file)
        status, value, seconds = solve(dump["problem"], args.timeout)
        own, own_s = dump["solution"]["value"], dump["solve_seconds"]
        name = dump.get("name", path)
        free = sum(c == "both" for c in dump["problem"]["choices"])
        shown = status if value is None else f"{value:.6f}"
        ratio = seconds / own_s
        note = "" if value is not None else " or more"
        print(f"| {name} | {free} | {own:.6f} | {shown} | {own_s:.6f} | {seconds:.3f} "
              f"| {ratio:,.0f}x{note} |", flush=True)
        if value is not None and abs(value - own) > 1e-6 * max(1.0, own):
            failed = True
            print(f"{name}: the optima differ", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
