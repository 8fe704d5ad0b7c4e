#!/usr/bin/env bash
# The real window on a virtual X server of its own. Sourced by scripts that drive it:
#   . scripts/xwindow.sh NAME
# NAME begins each word of failure. Sets up an empty data folder ($data), which goes at the end.

here=$1
pause=${pause:-0.1} grace=${grace:-0.5}
scratch=$(mktemp -d)
chmod 700 "$scratch"
data=$scratch/data
export DLAPLAN_DATA_DIR=$data XDG_RUNTIME_DIR=$scratch
unset DBUS_SESSION_BUS_ADDRESS WAYLAND_DISPLAY
window=
id=

Xvfb -displayfd 3 -screen 0 1280x720x24 -nolisten tcp -noreset 3> "$scratch/display" 2> /dev/null &
server=$!
trap 'kill -9 $window $server 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$scratch"' EXIT

fail() {
    echo "$here: $*" >&2
    import -window root "${DLAPLAN_FAILED_SHOT:-/dev/null}" 2> /dev/null || true
    tail -5 "$scratch/stderr" >&2 2> /dev/null || true
    exit 1
}

# until_true SECONDS COMMAND...: tries again until it succeeds.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep "$pause"
    done
}

has_display() { [ -s "$scratch/display" ] && DISPLAY=:$(cat "$scratch/display") xdotool getdisplaygeometry > /dev/null 2>&1; }
# A window under qemu names qemu's own process, or none.
has_window() { id=$(xdotool search --onlyvisible ${by_name:---pid "$window"} --name dlaplan 2> /dev/null | head -1) && [ -n "$id" ]; }
saved() { grep -qsE "$1" "$data"/sessions/*.json; }
gone() { ! kill -0 "$window" 2> /dev/null; }
colours() { import -window root -depth 8 -format %k info:- 2> /dev/null; }
drawn() { [ "$(colours)" -gt 40 ]; }

# wait_for_window SECONDS: the window just started is drawn and has the keyboard.
wait_for_window() {
    until_true "$1" has_window || fail "no window appeared"
    xdotool windowmove "$id" 0 0 windowsize "$id" 1280 720
    sleep "$grace"
    # Without a window manager nobody else gives the window the keyboard.
    xdotool windowfocus "$id"
    until_true "$1" drawn || fail "the window stays blank: $(colours) colours"
}

# open_window WORD...: starts dlaplan ($binary) with these words.
open_window() {
    "$binary" "$@" 2> "$scratch/stderr" &
    window=$!
    wait_for_window 60
}

# Ends the window as a crash would.
kill_window() {
    kill -9 "$window"
    wait "$window" 2> /dev/null || true
}

# quit_window SECONDS: Ctrl+Q closes it.
quit_window() {
    xdotool key ctrl+q
    until_true "$1" gone || fail "the window does not close"
    wait "$window" || fail "the window closed with exit code $?"
    window=
}

# palette WORDS: the palette finds a command by its words; Enter runs it.
palette() {
    xdotool key ctrl+p
    sleep "$grace"
    xdotool type "$1"
    sleep "$grace"
    xdotool key Return
}

until_true 10 has_display || fail "no X server"
DISPLAY=:$(cat "$scratch/display")
export DISPLAY
