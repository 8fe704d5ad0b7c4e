#!/usr/bin/env bash
# Runs the aarch64 headless binary of scripts/cross.sh under qemu with the C library of JetPack 5
# (glibc 2.31): plans and estimates must be those of the x86 program, byte for byte, and six boards
# made of files are probed, deployed to, greeted and left by the packaged x86 program. Builds the binary; DLAPLAN_AARCH64 names
# one that is there, DLAPLAN the x86 program.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh cross
cross=$PWD/target/cross
binary=${DLAPLAN_AARCH64:-}
[ -n "$binary" ] || {
    scripts/cross.sh
    binary=$cross/dlaplan-aarch64
}
x86=$(realpath -m "${DLAPLAN:-target/debug/dlaplan}")
[ -x "$x86" ] || cargo build --locked
scripts/cross/debian.sh scripts/cross/board.txt "$cross/board"
scripts/cross/debian.sh scripts/cross/qemu.txt "$cross/qemu"
qemu=$cross/qemu/usr/bin/qemu-aarch64-static
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLAPLAN_DATA_DIR=$work/data

same() {
    "$x86" "$@" --json > "$work/x86"
    "$qemu" -L "$cross/board" "$binary" "$@" --json > "$work/aarch64"
    cmp "$work/x86" "$work/aarch64"
    compared=$((compared + 1))
}
compared=0
for file in assets/models/*.onnx; do
    model=bundled:$(basename "$file" .onnx)
    for target in xavier-nx agx-orin-64@30W; do
        for precision in fp16 int8; do
            same plan "$model" --default DLA --precision $precision --target $target
            same estimate "$model" --default DLA --precision $precision --target $target
        done
    done
done
echo "$compared plans and estimates are the same on aarch64 and x86"

# A board is a folder with the C library, a shell and its tools.
base=$work/base
mkdir -p "$base"
cp -a "$cross/board/." "$base"
mkdir -p "$base/bin"
cp "$cross/qemu/bin/busybox" "$base/bin/busybox"
for tool in sh cat cut df env head ln ls mkdir mv printf rm rmdir sha256sum tail test uname chmod du; do
    ln -s busybox "$base/bin/$tool"
done
# The client is the packaged one, which has the program for boards with it.
DLAPLAN=$x86 DLAPLAN_AARCH64=$binary scripts/package_test.sh "$work/root"
mkdir "$work/boards"
python3 scripts/cross/boards.py write "$base" "$work/boards"
chmod 755 "$work" "$work/boards"
python3 scripts/cross/boards.py test "$work/boards" "$work/root/usr/bin/dlaplan" "$qemu"
