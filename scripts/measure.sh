#!/usr/bin/env bash
# Builds and measures the models of docs/measured.md: scripts/measure.sh DLAPLAN FOLDER [MODEL...].
# Needs a GPU and TensorRT. FOLDER gets a log, runs as JSON and a history. MODELs are ONNX files or
# bundled ones; without any, the bundled models of that page.
set -euo pipefail
dlaplan=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- bundled:resnet18 bundled:resnet50 bundled:mobilenet_v2 bundled:detector
cache=(--cache "$out/cache")

log() { echo "$*" | tee -a "$out/log.txt"; }
# NAME COMMAND...: runs it, with the time it takes; a failure is an outcome as well.
step() {
    local name=$1 begun status=0
    shift
    begun=$(date +%s%N)
    "$@" >"$out/$name.txt" 2>&1 || status=$?
    log "$name: exit code $status after $((($(date +%s%N) - begun) / 1000000)) ms"
    head -8 "$out/$name.txt"
}

for model in "$@"; do
    name=$(basename "${model#bundled:}" .onnx)
    for precision in fp16 int8; do
        run="${name}_$precision"
        step "$run" "$dlaplan" profile "$model" --precision $precision "${cache[@]}" \
            --history "$out/history.sqlite" --json "$out/$run.json" --repeats 5 --duration 400
        step "${run}_cached" "$dlaplan" profile "$model" --precision $precision "${cache[@]}" \
            --build-only --no-history
    done
done
for precision in fp16 int8; do
    step "together_$precision" "$dlaplan" profile bundled:resnet18 --precision $precision \
        "${cache[@]}" --together gpu,gpu --repeats 5 --json "$out/together_$precision.json" \
        --no-history
done
step dla "$dlaplan" profile bundled:resnet18 --dla layer1 "${cache[@]}" --no-history

for signal in INT TERM KILL; do
    setsid --wait "$dlaplan" profile bundled:googlenet --precision int8 --no-cache --no-history \
        >"$out/cancel_$signal.txt" 2>&1 &
    sleep 8
    client=$(pgrep -f "^$dlaplan profile bundled:googlenet")
    begun=$(date +%s%N)
    kill -$signal "$client"
    while pgrep -f "^$dlaplan (profile|worker)" >/dev/null; do
        [ $((($(date +%s%N) - begun) / 1000000)) -lt 5000 ] || break
    done
    log "cancel with SIG$signal: nothing left after $((($(date +%s%N) - begun) / 1000000)) ms"
    wait || true
done
