#!/usr/bin/env bash
# Compiles and lints the TensorRT shim where there is no TensorRT: against the headers of TensorRT
# 11.4 in the crate trtx-sys, the only public package with them. With TENSORRT_INCLUDE_DIR set,
# against those.
set -euo pipefail
cd "$(dirname "$0")/.."

headers_of_trtx_sys() {
    local dir=.corpus/shim
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

wanted=(--no-default-features --features tensorrt)
TENSORRT_INCLUDE_DIR=${TENSORRT_INCLUDE_DIR:-$(headers_of_trtx_sys)}
export TENSORRT_INCLUDE_DIR
cargo clippy --locked "${wanted[@]}" --all-targets -- -D warnings

# Asked for without headers: an error that says where they were looked for.
if said=$(TENSORRT_INCLUDE_DIR=/nonexistent cargo check --locked "${wanted[@]}" 2>&1); then
    echo "the feature tensorrt built without headers"
    exit 1
fi
grep -q 'NvInfer.h and NvOnnxParser.h are not both in /nonexistent' <<<"$said" || {
    echo "$said"
    exit 1
}
