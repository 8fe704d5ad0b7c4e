#!/usr/bin/env bash
# The real window on a real (virtual) X server: it draws, takes keys and clicks, saves as it goes,
# comes back after kill -9, and leaves when asked.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${DLAPLAN:-target/debug/dlaplan}
[ -x "$binary" ] || cargo build --locked
scratch=$(mktemp -d)
chmod 700 "$scratch"
export DLAPLAN_DATA_DIR=$scratch/data XDG_RUNTIME_DIR=$scratch
unset DBUS_SESSION_BUS_ADDRESS WAYLAND_DISPLAY
window=

Xvfb -displayfd 3 -screen 0 1280x720x24 -nolisten tcp -noreset 3> "$scratch/display" 2> /dev/null &
server=$!
trap 'kill -9 $window $server 2> /dev/null || true; wait 2> /dev/null || true; rm -rf "$scratch"' EXIT

fail() {
    echo "window test: $*" >&2
    import -window root "${DLAPLAN_FAILED_SHOT:-/dev/null}" 2> /dev/null || true
    tail -5 "$scratch/stderr" >&2 2> /dev/null || true
    exit 1
}

# until SECONDS COMMAND...: tries again until it succeeds.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

has_display() { [ -s "$scratch/display" ] && DISPLAY=:$(cat "$scratch/display") xdotool getdisplaygeometry > /dev/null 2>&1; }
has_window() { id=$(xdotool search --onlyvisible --pid "$window" --name dlaplan 2> /dev/null | head -1) && [ -n "$id" ]; }
saved() { grep -qsE "$1" "$scratch"/data/sessions/*.json; }
gone() { ! kill -0 "$window" 2> /dev/null; }
colours() { import -window root -depth 8 -format %k info:- 2> /dev/null; }
drawn() { [ "$(colours)" -gt 40 ]; }

open_window() {
    "$binary" "$@" 2> "$scratch/stderr" &
    window=$!
    until_true 60 has_window || fail "no window appeared"
    xdotool windowmove "$id" 0 0 windowsize "$id" 1280 720
    sleep 0.5
    # Without a window manager nobody else gives the window the keyboard.
    xdotool windowfocus "$id"
    until_true 30 drawn || fail "the window stays blank: $(colours) colours"
}

until_true 10 has_display || fail "no X server"
DISPLAY=:$(cat "$scratch/display")
export DISPLAY

open_window bundled:resnet18
echo "drawn: $(colours) colours"

# The palette finds a command by its words; Enter runs it.
xdotool key ctrl+p
sleep 0.5
xdotool type "default device dla"
sleep 0.5
xdotool key Return
until_true 20 saved '"default": "DLA"' || fail "a command from the palette is not in the saved session"
echo "placed by the palette and saved"

# Copy reaches other programs, and paste takes from them.
clipboard() { timeout 2 xclip -selection clipboard -o 2> /dev/null; }
copied() { clipboard | grep -q '"default": "DLA"'; }
xdotool key ctrl+p
sleep 0.5
xdotool type "copy placement"
sleep 0.5
xdotool key Return
until_true 20 copied || fail "the copied placement is not in the X selection: $(clipboard | head -c 200)"
xdotool key ctrl+p
sleep 0.5
xdotool type "copy chart png"
sleep 0.5
xdotool key Return
picture() {
    timeout 5 xclip -selection clipboard -t image/png -o > "$scratch/picture" 2> /dev/null &&
        head -c 4 "$scratch/picture" | grep -q PNG
}
until_true 20 picture || fail "the copied chart is not a picture in the X selection"
printf 'is:dla conv' | xclip -selection clipboard -i
xdotool key ctrl+f
sleep 0.5
xdotool key ctrl+v
sleep 0.5
xdotool key ctrl+a ctrl+c
pasted() { [ "$(clipboard)" = "is:dla conv" ]; }
until_true 20 pasted || fail "what another program copied was not pasted: $(clipboard | head -c 200)"
xdotool key ctrl+a Delete Escape
echo "copied to and pasted from another program"

kill -9 "$window"
wait "$window" 2> /dev/null || true
open_window
until_true 20 saved '"default": "DLA"' || fail "the placement did not come back after kill -9"
echo "restored after kill -9"

xdotool key ctrl+z
sleep 0.3
xdotool key ctrl+q
until_true 20 gone || fail "the window does not close"
wait "$window" || fail "the window closed with exit code $?"
window=
echo "closed"

# No display: a word about the headless commands, exit code 2.
code=0
words=$(env -u DISPLAY "$binary" 2>&1) || code=$?
[ "$code" = 2 ] || fail "exit code $code without a display"
case $words in *"dlaplan inspect"*) ;; *) fail "no headless command is named: $words" ;; esac
echo "no display: exit code 2"
