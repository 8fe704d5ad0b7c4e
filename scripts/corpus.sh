#!/usr/bin/env bash
# Fetches and makes the models the tests read, into .corpus/ (never committed). Safe to repeat.
#   scripts/corpus.sh           the test corpus
#   scripts/corpus.sh --tools   only .corpus/python: a Python with torch, torchvision and onnx
#   scripts/corpus.sh --bench   also the big files of benches/open.rs (640 MB)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh corpus
mkdir -p .corpus
root=$(realpath .corpus)
exec 9> "$root/.lock"
flock 9

# Everything comes through pip, pinned; other pins make the environment anew.
key=$(sha256sum scripts/corpus/requirements.txt scripts/corpus/cuda_stubs.py | sha256sum | cut -c1-16)
if [ "$(cat "$root/python.ok" 2>/dev/null)" != "$key" ]; then
    rm -rf "$root/python.ok" "$root/venv" "$root/stubs"
    python3 -m venv "$root/venv"
    # The wheel wants 4 GB of CUDA libraries that exporting never calls: stand-ins serve.
    "$root/venv/bin/pip" install -q --no-cache-dir --no-deps -r scripts/corpus/requirements.txt
    site=$("$root/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    python3 scripts/corpus/cuda_stubs.py "$site" "$root/stubs"
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s/stubs" exec "%s/venv/bin/python" -W ignore "$@"\n' \
        "$root" "$root" > "$root/python"
    chmod +x "$root/python"
    "$root/python" -c 'import torch, torchvision, onnx'
    echo "$key" > "$root/python.ok"
fi
[ "${1:-}" = --tools ] && exit 0

# Model Explorer, which opens what dlaplan exports for it.
explorer="ai-edge-model-explorer==0.1.34 model-explorer-onnx==0.4.2 dacite==1.9.2"
if [ "$(cat "$root/model-explorer/ok" 2>/dev/null)" != "$explorer" ]; then
    rm -rf "$root/model-explorer"
    python3 -m venv "$root/model-explorer"
    # shellcheck disable=SC2086 # several words
    "$root/model-explorer/bin/pip" install -q --no-cache-dir $explorer
    echo "$explorer" > "$root/model-explorer/ok"
fi

"$root/python" scripts/corpus/make.py "$root" "$@"
