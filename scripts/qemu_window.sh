#!/usr/bin/env bash
# Opens the aarch64 window of `scripts/cross.sh --window` under qemu with software OpenGL, on a virtual
# X server: it draws, takes a click and keys, and closes. scripts/qemu_window.sh [PICTURE.png]
# Run by hand, before a release: the build takes 10 minutes. DLAPLAN_AARCH64 names a window that is there.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh cross
need_packages xvfb xauth xdotool imagemagick
cross=$PWD/target/cross
binary=${DLAPLAN_AARCH64:-}
[ -n "$binary" ] || {
    scripts/cross.sh --window
    binary=$cross/dlaplan-window-aarch64
}
scripts/cross/debian.sh scripts/cross/window.txt "$cross/desktop"
scripts/cross/debian.sh scripts/cross/qemu.txt "$cross/qemu"
root=$cross/desktop
pause=0.5 grace=2 by_name=" "
. scripts/xwindow.sh "aarch64 window"
begun=$SECONDS
LIBGL_ALWAYS_SOFTWARE=1 LIBGL_DRIVERS_PATH=$root/usr/lib/aarch64-linux-gnu/dri \
    XKB_CONFIG_ROOT=$root/usr/share/X11/xkb \
    "$cross/qemu/usr/bin/qemu-aarch64-static" -L "$root" \
    -E LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu:/lib/aarch64-linux-gnu \
    "$binary" bundled:resnet18 2> "$scratch/stderr" &
window=$!
wait_for_window 300
echo "drawn after $((SECONDS - begun)) s: $(colours) colours"

# The device button of layer1.
xdotool mousemove 378 203
sleep 1
xdotool click 1
until_true 120 saved '"module": "layer1"' || fail "a click on layer1's device is not in the saved session"
echo "placed by a click, and saved"
sleep 3
[ -z "${1:-}" ] || import -window root -depth 8 -strip "$1"
quit_window 120
echo "closed after $((SECONDS - begun)) s"
