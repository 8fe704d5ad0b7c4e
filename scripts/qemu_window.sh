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
scratch=$(mktemp -d)
chmod 700 "$scratch"
export DLAPLAN_DATA_DIR=$scratch/data XDG_RUNTIME_DIR=$scratch
unset DBUS_SESSION_BUS_ADDRESS WAYLAND_DISPLAY
window=

Xvfb -displayfd 3 -screen 0 1280x720x24 -nolisten tcp -noreset 3> "$scratch/display" 2> /dev/null &
server=$!
trap 'kill -9 $window $server 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$scratch"' EXIT
fail() {
    echo "aarch64 window: $*" >&2
    tail -5 "$scratch/stderr" >&2 2> /dev/null || true
    exit 1
}
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.5
    done
}
has_display() { [ -s "$scratch/display" ] && DISPLAY=:$(cat "$scratch/display") xdotool getdisplaygeometry > /dev/null 2>&1; }
has_window() { id=$(xdotool search --onlyvisible --name dlaplan 2> /dev/null | head -1) && [ -n "$id" ]; }
colours() { import -window root -depth 8 -format %k info:- 2> /dev/null; }
drawn() { [ "$(colours)" -gt 40 ]; }
saved() { grep -qsE "$1" "$scratch"/data/sessions/*.json; }
gone() { ! kill -0 "$window" 2> /dev/null; }

until_true 10 has_display || fail "no X server"
DISPLAY=:$(cat "$scratch/display")
export DISPLAY
begun=$SECONDS
LIBGL_ALWAYS_SOFTWARE=1 LIBGL_DRIVERS_PATH=$root/usr/lib/aarch64-linux-gnu/dri \
    XKB_CONFIG_ROOT=$root/usr/share/X11/xkb \
    "$cross/qemu/usr/bin/qemu-aarch64-static" -L "$root" \
    -E LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu:/lib/aarch64-linux-gnu \
    "$binary" bundled:resnet18 2> "$scratch/stderr" &
window=$!
until_true 300 has_window || fail "no window appeared"
xdotool windowmove "$id" 0 0 windowsize "$id" 1280 720
sleep 2
xdotool windowfocus "$id"
until_true 300 drawn || fail "the window stays blank: $(colours) colours"
echo "drawn after $((SECONDS - begun)) s: $(colours) colours"

# The device button of layer1.
xdotool mousemove 378 203
sleep 1
xdotool click 1
until_true 120 saved '"module": "layer1"' || fail "a click on layer1's device is not in the saved session"
echo "placed by a click, and saved"
sleep 3
[ -z "${1:-}" ] || import -window root -depth 8 -strip "$1"
xdotool key ctrl+q
until_true 120 gone || fail "the window does not close"
wait "$window" || fail "the window closed with exit code $?"
window=
echo "closed after $((SECONDS - begun)) s"
