#!/usr/bin/env bash
# Fetches and makes the models the tests read, into .corpus/ (never committed). Safe to repeat.
#   scripts/corpus.sh           the test corpus
#   scripts/corpus.sh --tools   only .corpus/python: a Python with torch, torchvision and onnx
#   scripts/corpus.sh --bench   also the big files of benches/open.rs (700 MB)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/.corpus
mkdir -p "$root"

# The packages are pinned; everything comes through pip.
packages=(numpy==2.3.5 onnx==1.23.1 onnxscript==0.7.2 onnx-ir==1.0.0 ml_dtypes protobuf
    typing_extensions sympy mpmath networkx jinja2 markupsafe fsspec filelock pillow packaging
    "setuptools<82")
heavy=(torch==2.15.0 torchvision==0.29.2)

if [ ! -e "$root/python.ok" ]; then
    rm -rf "$root/venv" "$root/stubs"
    python3 -m venv "$root/venv"
    "$root/venv/bin/pip" install -q "${packages[@]}"
    # The wheel wants 4 GB of CUDA libraries that exporting never calls: stand-ins serve.
    "$root/venv/bin/pip" install -q --no-deps "${heavy[@]}"
    site=$("$root/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    python3 scripts/corpus/cuda_stubs.py "$site" "$root/stubs"
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s/stubs" exec "%s/venv/bin/python" -W ignore "$@"\n' \
        "$root" "$root" > "$root/python"
    chmod +x "$root/python"
    "$root/python" -c 'import torch, torchvision, onnx'
    touch "$root/python.ok"
fi
[ "${1:-}" = --tools ] && exit 0

exec "$root/python" scripts/corpus/make.py "$root" "${1:-}"
