#!/usr/bin/env bash
# The real window on a real (virtual) X server: it draws, takes keys and clicks, saves as it goes,
# comes back after kill -9, and leaves when asked.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${DLAPLAN:-target/debug/dlaplan}
[ -x "$binary" ] || cargo build --locked
. scripts/xwindow.sh "window test"

open_window bundled:resnet18
echo "drawn: $(colours) colours"

palette "default device dla"
until_true 20 saved '"default": "DLA"' || fail "a command from the palette is not in the saved session"
echo "placed by the palette and saved"

# Copy reaches other programs, and paste takes from them.
clipboard() { timeout 2 xclip -selection clipboard -o 2> /dev/null; }
copied() { clipboard | grep -q '"default": "DLA"'; }
palette "copy placement"
until_true 20 copied || fail "the copied placement is not in the X selection: $(clipboard | head -c 200)"
palette "copy chart png"
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

kill_window
open_window
until_true 20 saved '"default": "DLA"' || fail "the placement did not come back after kill -9"
echo "restored after kill -9"

xdotool key ctrl+z
sleep 0.3
quit_window 20
echo "closed"

# No display: a word about the headless commands, exit code 2.
code=0
words=$(env -u DISPLAY "$binary" 2>&1) || code=$?
[ "$code" = 2 ] || fail "exit code $code without a display"
case $words in *"dlaplan inspect"*) ;; *) fail "no headless command is named: $words" ;; esac
echo "no display: exit code 2"
