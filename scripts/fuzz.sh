#!/usr/bin/env bash
# Fuzzes a reader of files or messages from elsewhere for a while: scripts/fuzz.sh [READER [SECONDS]], the
# model reader for a minute unless told. `all` takes one reader after the other. Readers and their seeds:
# tests/support/readers.rs. What is found lies in fuzz/artifacts/READER/.
set -euo pipefail
cd "$(dirname "$0")/.."
reader=${1:-onnx}
seconds=${2:-60}
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz --version 0.13.1
# The sanitizer needs a nightly compiler's flags; the stable one has them behind this switch.
export RUSTC_BOOTSTRAP=1
if [ "$reader" = all ]; then
    for reader in $(sed -n 's/^    \([a-z_]*\), .*/\1/p' tests/support/readers.rs | sort -u); do
        "$0" "$reader" "$seconds"
    done
    exit
fi
corpus=$PWD/fuzz/corpus/$reader
artifacts=fuzz/artifacts/$reader
mkdir -p "$corpus" "$artifacts"
[ "$reader" != onnx ] || cp assets/models/*.onnx "$corpus/"
export DLAPLAN_READER=$reader DLAPLAN_SEEDS=$corpus
echo "$reader, $seconds s"
cargo fuzz run read "$corpus" -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -max_len=65536 \
    -artifact_prefix="$artifacts/" -print_final_stats=1 -close_fd_mask=1
