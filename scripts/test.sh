#!/usr/bin/env bash
# All tests, with their set-up: format, spelling, lints, licences, corpus, tests (the window under
# Xvfb among them), the program for boards under qemu, packages, and the headless build.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh test

step() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

step "format"
cargo fmt --all --check

step "tools"
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest --version 0.9.143
tools=.corpus/tools
[ -x $tools/bin/typos ] || {
    python3 -m venv $tools
    $tools/bin/pip install -q "typos==$(cat scripts/typos.version)"
}

step "spelling"
$tools/bin/typos

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "licences and sources"
# Advisories need a database from the network, so they are a scheduled job's matter.
if command -v cargo-deny >/dev/null; then
    cargo deny check bans licenses sources
else
    echo "cargo-deny is not installed: skipped (cargo install --locked cargo-deny)"
fi

step "corpus"
scripts/corpus.sh
export DLAPLAN_REQUIRE_CORPUS=1

step "tests"
cargo nextest run --locked --workspace
cargo test --locked --doc

step "window under Xvfb"
scripts/window_test.sh
scripts/journey_test.sh
# One round; longer by hand.
scripts/soak.sh 0

step "aarch64 program, packages, boards under qemu"
# Compilers for it come from Debian's mirror in fixed versions, which a mirror drops one day.
scripts/qemu_test.sh || {
    [ $? = 75 ] && [ -z "${DLAPLAN_REQUIRE_CROSS:-}" ] || exit 1
    echo "NOT TESTED: the aarch64 program, since its compilers could not be fetched (above)"
}

step "headless build"
cargo clippy --locked --no-default-features --all-targets -- -D warnings
cargo build --locked --no-default-features
step "TensorRT vtable slots"
scripts/slots_test.sh
step "done"
