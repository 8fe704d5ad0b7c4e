#!/usr/bin/env bash
# A day's work in the real window, by X events alone: opens a network, places the seeds' five
# placements by clicks, keeps, charts and compares them, searches, exports every format, and opens what it
# wrote again. There is no session bus, so no file dialog of a desktop: paths are typed.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${DLAPLAN:-target/debug/dlaplan}
[ -x "$binary" ] || cargo build --locked
grace=0.3
. scripts/xwindow.sh "journey test"

click() {
    xdotool mousemove "$1" "$2"
    sleep 0.2
    xdotool click 1
    sleep 0.2
}

# Device buttons of the tree, at 1280x720.
chip() {
    case $1 in
        network) click 378 115 ;;
        layer1) click 378 203 ;;
        layer2) click 378 269 ;;
        layer3) click 378 335 ;;
    esac
}

# holds WORDS: the saved session's default device and the modules with one of their own are these.
holds() {
    python3 - "$1" "$data"/sessions/*.json <<'PY'
import json, sys
expected, path = sys.argv[1:]
placement = json.load(open(path))["placement"]
said = [placement["default"]] + [f'{o["module"]}={o["device"]}' for o in placement["overrides"]]
sys.exit(" ".join(said) != expected)
PY
}
until_holds() { until_true 20 holds "$1" || fail "not placed as $1: $(tr -d ' \n' < "$(echo "$data"/sessions/*.json)")"; }

# kept N: that many placements are kept.
kept() {
    python3 - "$data/history.sqlite" "$1" <<'PY'
import sqlite3, sys
path, n = sys.argv[1:]
rows = sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("SELECT json FROM kept").fetchall()
sys.exit(len(set(rows)) != int(n))
PY
}
keep() {
    xdotool key ctrl+k
    sleep 0.3
    xdotool key Return
    until_true 20 kept "$1" || fail "placement $1 was not kept"
}

open_window bundled:resnet18
keep 1
chip network
until_holds "DLA"
keep 2
chip network
chip layer1
until_holds "GPU layer1=DLA"
keep 3
chip layer2
until_holds "GPU layer1=DLA layer2=DLA"
keep 4
chip layer3
until_holds "GPU layer1=DLA layer2=DLA layer3=DLA"
keep 5
echo "the seeds' five placements: placed by clicks, kept"

chart() { import -window root -crop 520x480+420+210 -depth 8 rgb:- | cksum; }
changed() { [ "$(chart)" != "$before" ]; }
for tab in 607 745 475; do
    before=$(chart)
    click "$tab" 188
    until_true 10 changed || fail "the chart's tab at $tab shows nothing else"
done
echo "charted"

side() { import -window root -crop 300x640+978+45 -depth 8 rgb:- | cksum; }
beside() { [ "$(side)" != "$before" ]; }
before=$(side)
palette "compare with all dla"
until_true 10 beside || fail "nothing is compared"
before=$(side)
palette "compare with nothing"
until_true 10 beside || fail "the comparison stays"
before=$(side)
xdotool key ctrl+d
until_true 10 beside || fail "the panel stays"
echo "compared"

# The search is over when its panel changes no more.
found() {
    local now
    now=$(side)
    [ "$now" = "$before" ] || {
        before=$now
        return 1
    }
}
# The third proposal: the first is what is on screen where nothing is better.
xdotool key ctrl+b
sleep 3
before=$(side)
until_true 20 found || fail "the search shows nothing"
click 1115 560
until_true 20 saved '"device": "DLA"' || fail "no proposal was loaded"
holds "GPU layer1=DLA layer2=DLA layer3=DLA" && fail "the search's proposal was not loaded"
xdotool key ctrl+z
until_holds "GPU layer1=DLA layer2=DLA layer3=DLA"
xdotool key ctrl+b
echo "searched, a proposal loaded and taken back"

# Only later versions of trtexec have words for a placement.
palette "board: orin nx 16"
until_true 20 saved '"target": "orin-nx-16' || fail "the board was not changed"
palette "tensorrt 8.6"
until_true 20 saved ':8.6"' || fail "TensorRT was not changed"
written() { [ -s "$scratch/out/$1" ]; }
# export WORDS FILE. On a busy machine keys may come before the dialog they are for; then once more.
export_to() {
    for _ in 1 2 3; do
        palette "export $1"
        sleep 0.4
        xdotool key ctrl+a
        xdotool type "$scratch/out/$2"
        sleep 0.2
        xdotool key Return
        until_true 10 written "$2" && return
        xdotool key Escape key Escape
    done
    fail "export $1 wrote nothing"
}
mkdir "$scratch/out"
formats="json torch2trt tensorrt-python trtexec csv model-explorer node-data html svg png"
known=$("$binary" export --help | tr -d '\n' | sed 's/.*possible  *values: \([^]]*\)].*/\1/; s/,//g; s/  */ /g')
[ "$known" = "$formats" ] || fail "this test exports $formats; dlaplan has $known"
export_to "placement json" p.json
export_to "torch2trt" t.py
export_to "tensorrt python" r.py
export_to "trtexec" x.sh
export_to "ops csv" o.csv
export_to "model explorer graph" g.json
export_to "model explorer node" n.json
export_to "report" h.html
export_to "chart svg" c.svg
export_to "chart png" c.png
(
    cd "$scratch/out"
    for file in p.json g.json n.json; do python3 -m json.tool $file > /dev/null; done
    python3 -m py_compile t.py r.py
    bash -n x.sh
    python3 - <<'PY'
import csv, xml.dom.minidom
rows = list(csv.reader(open("o.csv")))
assert len(rows) > 40 and len({len(r) for r in rows}) == 1, rows[:2]
xml.dom.minidom.parse("c.svg")
assert open("c.png", "rb").read(8) == b"\x89PNG\r\n\x1a\n"
page = open("h.html").read()
assert page.startswith("<!") and page.rstrip().endswith("</html>")
PY
) || fail "an export is not what it should be"
echo "exported: $formats"

quit_window 20
open_window
until_holds "GPU layer1=DLA layer2=DLA layer3=DLA"
kept 5 || fail "the kept placements are gone"
chip network
until_holds "DLA layer1=DLA layer2=DLA layer3=DLA"
xdotool key ctrl+shift+o
sleep 0.4
xdotool key ctrl+a
xdotool type "$scratch/out/p.json"
sleep 0.2
xdotool key Return
until_holds "GPU layer1=DLA layer2=DLA layer3=DLA"
quit_window 20
open_window bundled:resnet18 --placement "$scratch/out/p.json"
until_holds "GPU layer1=DLA layer2=DLA layer3=DLA"
saved '"target": "orin-nx-16@MAXN:8.6"' || fail "the placement file's target was not taken"
quit_window 20
echo "opened again"
