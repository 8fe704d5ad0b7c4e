#!/usr/bin/env bash
# Compares the table of vtable slots (src/engine/tensorrt/slots.rs) with NVIDIA's headers: those of
# TensorRT 11.4 in the crate trtx-sys, the only public package with them, or those in
# TENSORRT_INCLUDE_DIR. The program that reads them is scripts/slots.cpp.
set -euo pipefail
cd "$(dirname "$0")/.."

headers_of_trtx_sys() {
    local dir=.corpus/slots
    mkdir -p $dir/src
    printf '[package]\nname = "headers"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n[dependencies]\ntrtx-sys = "=0.9.1"\n' >$dir/Cargo.toml
    : >$dir/src/lib.rs
    cargo fetch -q --manifest-path $dir/Cargo.toml
    cargo metadata -q --format-version 1 --manifest-path $dir/Cargo.toml |
        python3 -c 'import json, os, sys
for p in json.load(sys.stdin)["packages"]:
    if p["name"] == "trtx-sys":
        print(os.path.join(os.path.dirname(p["manifest_path"]), "TensorRT-Headers/TRT-Enterprise-11.4"))'
}

headers=${TENSORRT_INCLUDE_DIR:-$(headers_of_trtx_sys)}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
"${CXX:-c++}" -std=c++17 -w -isystem "$headers" -isystem scripts/cuda scripts/slots.cpp -o "$work/slots"
"$work/slots" >"$work/found"
python3 - "$headers" "$work/found" <<'EOF'
import pathlib, re, sys

headers, found = map(pathlib.Path, sys.argv[1:])
text = "".join(p.read_text(errors="replace") for p in headers.glob("NvInfer*.h"))
defines = dict(re.findall(r"#define (NV_TENSORRT_M\w+|TRT_M\w+_ENTERPRISE) +(\w+)", text))
def number(name):
    said = defines[name]
    return int(said) if said.isdigit() else number(said)
version = (number("NV_TENSORRT_MAJOR"), number("NV_TENSORRT_MINOR"))
columns = [(8, 5), (8, 6), (10, 0), (10, 1), (11, 0)]
column = max(i for i, c in enumerate(columns) if c[0] == version[0] and c[1] <= version[1])

table = {}
rows = re.compile(r"^    (\w+) (own|impl) (\S+) (\S+) (\S+) (\S+) (\S+);", re.M)
for name, whose, *places in rows.findall(pathlib.Path("src/engine/tensorrt/slots.rs").read_text()):
    if places[column] != "-":
        table[name.lower()] = (whose, places[column])
# What src/engine/tensorrt/{objects,calls}.rs use.
values = {
    "flag_tf32": 7 if version[0] == 8 else 6, "flag_gpu_fallback": 3, "flag_fp16": 0, "flag_int8": 1,
    "explicit_batch": 0, "device_gpu": 0, "device_dla": 1, "verbosity_detailed": 2,
    "information_json": 1, "mode_input": 1, "dims_bytes": 36 if version[0] == 8 else 72,
    "type_float": 0, "type_half": 1, "type_int8": 2, "format_linear": 0, "format_chw4": 3, "format_chw16": 4,
    "format_chw32": 5, "format_dla_linear": 9, "format_dla_hwc4": 10,
}
wrong, seen = [], set()
for line in found.read_text().splitlines():
    name, whose, place = line.split()
    seen.add(name)
    ours = ("value", str(values[name])) if whose == "value" else table.get(name)
    if ours != (whose, place):
        wrong.append(f"{name}: {whose} {place} in the headers, {ours} in the table")
wrong += [f"{name}: not in the headers" for name in sorted(table.keys() - seen)]
print("\n".join(wrong) or f"TensorRT {version[0]}.{version[1]}: {len(table)} slots agree with {headers}")
sys.exit(bool(wrong))
EOF
