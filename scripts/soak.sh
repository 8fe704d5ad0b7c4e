#!/usr/bin/env bash
# Random keys, clicks, wheel, drags and resizes into the real window: scripts/soak.sh [MINUTES, 5 unless told]
# Every half minute the window must answer, and its session on the disk must be what it shows. Now and
# then it is killed and opened again, and must go on where it was. At the end memory must have stayed
# flat and the idle window must be at rest. SOAK_SEED repeats a run's events; SOAK_CURVE names a file for
# the curve: seconds, MiB resident, threads, open files, CPU %. With 0 minutes there is one round.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-5}
seed=${SOAK_SEED:-$$}
curve=${SOAK_CURVE:-/dev/null}
binary=$(realpath -m "${DLAPLAN:-target/debug/dlaplan}")
[ -x "$binary" ] || cargo build --locked
. scripts/xwindow.sh "soak (seed $seed)"
RANDOM=$seed

# Exports and typed paths go where they hurt nobody; no ssh reaches a machine.
mkdir "$scratch/work" "$scratch/bin"
printf '#!/bin/sh\nexit 255\n' > "$scratch/bin/ssh"
chmod +x "$scratch/bin/ssh"
export HOME=$scratch/work PATH=$scratch/bin:$PATH
cd "$scratch/work"

# Sets $one to one of the words.
one_of() { local all=("$@"); one=${all[RANDOM % ${#all[@]}]}; }

keys=(Tab shift+Tab F6 shift+F6 Up Down Left Right Home End Prior Next shift+Down shift+Up space space
    Return Escape Escape g d i g d i ctrl+z ctrl+z ctrl+y ctrl+shift+z ctrl+a ctrl+k ctrl+b ctrl+f ctrl+i
    ctrl+p ctrl+r ctrl+s ctrl+o ctrl+shift+o ctrl+shift+r ctrl+shift+Right ctrl+shift+Left ctrl+c ctrl+v
    Delete BackSpace F1)
commands=("everything" "default device" "undo" "redo" "board" "power mode" "tensorrt" "precision" "dla core"
    "fallback" "filter" "chart" "appearance" "find best" "pin" "keep" "delete kept" "rename kept" "export"
    "copy" "runs" "open" "resnet" "mobilenet" "googlenet" "expand" "collapse" "input dims" "read the model"
    "measure" "calibration" "messages" "about" "inspector" "clear" "select" "compare")
texts=("layer1" "is:dla" "is:fallback" "conv" "zzz" "8" "1x3x64x64" "/nowhere/x.onnx" "out.json" "host")

# One batch of events; xdotool takes them as one command line.
events=0
poke() {
    local line=() n one
    for ((n = 0; n < 12; n++)); do
        events=$((events + 1))
        case $((RANDOM % 20)) in
            [0-7]) one_of "${keys[@]}"; line+=(key "$one") ;;
            8 | 9 | 10 | 11) line+=(mousemove $((RANDOM % 1280)) $((RANDOM % 720)) click 1) ;;
            12) line+=(mousemove $((RANDOM % 1280)) $((RANDOM % 720)) click 3) ;;
            13) line+=(mousemove $((RANDOM % 1280)) $((RANDOM % 720)) click $((4 + RANDOM % 2)) click $((4 + RANDOM % 2))) ;;
            14) line+=(mousemove $((RANDOM % 1280)) $((RANDOM % 720)) mousedown 1
                mousemove $((RANDOM % 1280)) $((RANDOM % 720)) mouseup 1) ;;
            15) line+=(windowsize "$id" $((400 + RANDOM % 880)) $((240 + RANDOM % 480))) ;;
            16) one_of "${texts[@]}"; line+=(type --delay 3 --args 1 "$one") ;;
            *) one_of "${commands[@]}"; line+=(key ctrl+p sleep 0.12 type --delay 3 --args 1 "$one")
                local down=$((RANDOM % 6))
                [ $down = 0 ] || line+=(sleep 0.06 key --repeat $down Down)
                line+=(sleep 0.06 key Return) ;;
        esac
        line+=(sleep 0.02)
    done
    # The window may have closed meanwhile: a click on Quit.
    xdotool "${line[@]}" > /dev/null 2>&1 || true
}

# What a session file or a copied placement says, in one form.
normal() {
    python3 - "$@" 2> /dev/null <<'PY'
import json, sys
read = json.load(open(sys.argv[1]))
target = read["target"]
engine = read.get("config") or read.get("engine")
print(json.dumps([target, engine, read["placement"]], sort_keys=True))
PY
}
newest() { ls -t "$data"/sessions/*.json 2> /dev/null | head -1; }

# The window answers, and the disk holds what it shows.
probe() {
    local try i
    for try in 1 2 3 4; do
        # A slow machine draws the palette before it takes words; more patience each time.
        local grace=$((try * try - 1)).5
        xdotool windowsize "$id" 1280 720 windowfocus "$id" mouseup 1 2> /dev/null || return 1
        sleep "$grace"
        for ((i = 0; i < 5; i++)); do xdotool key Escape sleep 0.2; done
        printf nothing | xclip -selection clipboard -i
        palette "copy placement json"
        if until_true $((10 * try)) copied; then
            until_true 20 same && return 0
            gone && return 1
            fail "the session on the disk is not what the window shows: $(cat "$scratch/shown") and $(normal "$(newest)")"
        fi
        gone && return 1
    done
    fail "the window does not answer"
}
copied() { timeout 3 xclip -selection clipboard -o > "$scratch/copied" 2> /dev/null && normal "$scratch/copied" > "$scratch/shown"; }
same() { [ "$(normal "$(newest)")" = "$(cat "$scratch/shown")" ]; }

ticks() { cut -d')' -f2 "/proc/$window/stat" 2> /dev/null | awk '{print $12 + $13}'; }
last_ticks=0 last_at=$SECONDS
look() {
    local rss threads files now spent
    rss=$(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$window/status" 2> /dev/null) || return 0
    [ -n "$rss" ] || return 0
    threads=$(ls "/proc/$window/task" | wc -l)
    files=$(ls "/proc/$window/fd" | wc -l)
    now=$(ticks)
    spent=$(((now - last_ticks) / (SECONDS > last_at ? SECONDS - last_at : 1)))
    last_ticks=$now last_at=$SECONDS
    echo "$((SECONDS - begun)),$rss,$threads,$files,$spent" >> "$scratch/curve"
    cp "$scratch/curve" "$curve" 2> /dev/null || true
}

# A window that was closed or killed goes on where it was.
closed=0 killed=0 probes=0
reopen() {
    normal "$1" > "$scratch/before"
    open_window
    last_ticks=0
    restored() { [ "$(normal "$(newest)")" = "$(cat "$scratch/before")" ]; }
    until_true 30 restored || fail "after it was $2 it holds $(normal "$(newest)") in place of $(cat "$scratch/before")"
}
was_closed() {
    local code=0
    wait "$window" || code=$?
    [ "$code" = 0 ] || fail "the window ended with exit code $code"
    closed=$((closed + 1))
    reopen "$data/last.json" closed
}

open_window bundled:resnet18
# What `poke` chains must end where it ends: xdotool would type the rest of the line as text.
xdotool key ctrl+p sleep 1 type --delay 3 --args 1 "default device dla" sleep 1 key Return
until_true 20 saved '"default": "DLA"' || fail "a command typed into the palette was not run"
begun=$SECONDS
end=$((begun + minutes * 60))
turn=0
while [ "$turn" = 0 ] || [ "$SECONDS" -lt "$end" ]; do
    for ((batch = 0; batch < 12; batch++)); do
        poke
        if gone; then was_closed; fi
        [ $((batch % 3)) != 0 ] || look
    done
    turn=$((turn + 1))
    if ! probe; then
        gone || fail "no window to ask"
        was_closed
        continue
    fi
    probes=$((probes + 1))
    # A new process starts a new curve, so that kills come early or not at all in the second half.
    if [ $((turn % 5)) = 1 ] && [ $((SECONDS - begun)) -le $((minutes * 20 + 40)) ]; then
        kill_window
        cp "$(newest)" "$scratch/killed.json"
        killed=$((killed + 1))
        reopen "$scratch/killed.json" killed
    fi
done
until_true 3 probe || fail "the window does not answer at the end"
[ ! -e "$data/panic.txt" ] && [ ! -e "$data/panic-seen.txt" ] || fail "a thread panicked: $(head -3 "$data"/panic*.txt)"

# Nothing is asked of it: it must be at rest.
xdotool key Escape key Escape mousemove 1279 719
sleep 4
from=$(ticks)
sleep 5
idle=$((($(ticks) - from) / 5))
echo "seed $seed: $events events in $(((SECONDS - begun) / 60)) min, $probes times asked, $killed times killed, $closed times closed; CPU at rest $idle %"
[ "$idle" -le 10 ] || fail "an idle window takes $idle % of a core"
python3 - "$scratch/curve" "$minutes" <<'PY'
import statistics, sys
rows = [list(map(int, line.split(","))) for line in open(sys.argv[1])]
span = rows[-1][0]
def part(column, a, b):
    return statistics.median(r[column] for r in rows if a * span <= r[0] <= b * span)
for column, name, slack in [(1, "MiB resident", 30), (2, "threads", 8), (3, "open files", 12)]:
    # Short runs are all beginning.
    if int(sys.argv[2]) < 2:
        print(f"{name}: {rows[-1][column]}")
        continue
    parts = [part(column, i / 8, (i + 1) / 8) for i in range(8)]
    print(f"{name}: {' '.join(f'{p:.0f}' for p in parts)} (medians of eighths), most {max(r[column] for r in rows)}")
    if int(sys.argv[2]) >= 10 and parts[7] > 1.15 * parts[3] + slack:
        sys.exit(f"soak: {name} grows: {parts[3]:.0f} in the fourth eighth, {parts[7]:.0f} in the last")
PY
quit_window 30
