#!/usr/bin/env bash
# Takes screenshots of the real window under Xvfb, for the README and for looking at.
#   scripts/screenshot.sh OUT.png [WIDTHxHEIGHT] [dark|light] [WORD...] [-- ACTION...]
# WORDs go to dlaplan. ACTIONs are xdotool commands, one per word group: "key ctrl+p",
# "type is:fallback", "mousemove 398 203 click 1".
# Needs xvfb, xdotool, imagemagick, libgl1-mesa-dri, libxkbcommon-x11-0, libxcursor1, libxi6.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
size=${2:-1280x720}
theme=${3:-dark}
shift $(($# < 3 ? $# : 3))
arguments=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    arguments+=("$1")
    shift
done
[ $# -gt 0 ] && shift

binary=${DLAPLAN:-target/release/dlaplan}
[ -x "$binary" ] || cargo build --release
scratch=$(mktemp -d)
chmod 700 "$scratch"
printf '{"theme": "%s"}\n' "$theme" > "$scratch/settings.json"
export DLAPLAN_DATA_DIR=$scratch XDG_RUNTIME_DIR=$scratch
unset DBUS_SESSION_BUS_ADDRESS WAYLAND_DISPLAY

Xvfb -displayfd 3 -screen 0 "${size}x24" -nolisten tcp -noreset 3> "$scratch/display" 2> /dev/null &
server=$!
window=
trap 'kill $window $server 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$scratch"' EXIT
for _ in $(seq 100); do
    DISPLAY=:$(cat "$scratch/display")
    export DISPLAY
    xdotool getdisplaygeometry > /dev/null 2>&1 && break
    sleep 0.1
done

"$binary" "${arguments[@]}" &
window=$!
for _ in $(seq 100); do
    id=$(xdotool search --onlyvisible --name dlaplan 2> /dev/null | head -1) && [ -n "$id" ] && break
    sleep 0.1
done
xdotool windowsize "$id" "${size%x*}" "${size#*x}"
xdotool windowmove "$id" 0 0
sleep 0.5
# Without a window manager nobody else gives the window the keyboard.
xdotool windowfocus "$id"
sleep 1
for action in "$@"; do
    # shellcheck disable=SC2086 # an action is several words
    xdotool $action
    sleep 0.5
done
sleep 0.5
import -window root -depth 8 -strip -define png:compression-level=9 "$out"
echo "$out"
