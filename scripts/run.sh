#!/usr/bin/env bash
# The main job: builds dlaplan and opens the window (or runs the arguments, e.g. `plan --dla layer1`).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh run
exec cargo run --release --locked -- "$@"
