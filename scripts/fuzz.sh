#!/usr/bin/env bash
# Fuzzes the model reader for a while: scripts/fuzz.sh [SECONDS, 60 unless told]. Starts from the
# bundled models; what it finds lies in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz --version 0.13.1
mkdir -p fuzz/corpus/read_onnx
cp assets/models/*.onnx fuzz/corpus/read_onnx/
# The sanitizer needs a nightly compiler's flags; the stable one has them behind this switch.
export RUSTC_BOOTSTRAP=1
exec cargo fuzz run read_onnx -- -max_total_time="${1:-60}" -rss_limit_mb=2048 -timeout=10 -max_len=65536
