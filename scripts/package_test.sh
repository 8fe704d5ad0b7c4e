#!/usr/bin/env bash
# Makes packages of programs that are there, checks what is in them, and runs what the amd64 one
# holds: scripts/package_test.sh [FOLDER to unpack it to]. DLAPLAN names the x86 program,
# DLAPLAN_AARCH64 the headless one for boards.
set -euo pipefail
cd "$(dirname "$0")/.."
x86=${DLAPLAN:-target/debug/dlaplan}
board=${DLAPLAN_AARCH64:-target/cross/dlaplan-aarch64}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=${1:-$scratch/root}
export DLAPLAN_DATA_DIR=$scratch/data
fail() {
    echo "package test: $*" >&2
    exit 1
}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

scripts/package.sh dlaplan amd64 "$x86"
scripts/package.sh dlaplan-headless arm64 "$board"
amd64=target/packages/dlaplan_${version}_amd64.deb
arm64=target/packages/dlaplan-headless_${version}_arm64.deb

field() { dpkg-deb -f "$1" "$2"; }
[ "$(field "$arm64" Architecture)" = arm64 ] || fail "architecture $(field "$arm64" Architecture)"
# JetPack 5 is Ubuntu 20.04 with glibc 2.31; its dpkg reads no zstd.
needs=$(field "$arm64" Depends | sed -n 's/.*libc6 (>= \([0-9.]*\)).*/\1/p')
[ "$(printf '%s\n' "$needs" 2.31 | sort -V | tail -1)" = 2.31 ] || fail "the arm64 package needs glibc $needs"
case "$(field "$arm64" Depends)" in *libgl*) fail "the headless package wants OpenGL" ;; esac
case "$(field "$amd64" Depends)" in *libgl1*) ;; *) fail "the window's package does not want OpenGL" ;; esac
ar t "$arm64" | grep -q 'data.tar.xz' || fail "$arm64 is not packed with xz"
owners=$(dpkg-deb -c "$amd64" | awk '{ print $2 }' | sort -u)
[ "$owners" = root/root ] || fail "files belong to $owners"

mkdir -p "$root"
dpkg-deb -x "$amd64" "$root"
program=$root/usr/bin/dlaplan
[ "$("$program" --version)" = "dlaplan $version" ] || fail "it says $("$program" --version)"
"$program" plan bundled:resnet18 --dla layer1 > "$scratch/plan"
grep -q DLA "$scratch/plan" || fail "no plan"
cmp "$root/usr/lib/dlaplan/dlaplan-aarch64" "$board" || fail "another aarch64 program"

share=$root/usr/share
commands=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p' | grep -v '^help$')
[ "$(wc -w <<< "$commands")" -gt 10 ] || fail "no commands in the help: $commands"
for command in $commands; do
    page=$share/man/man1/dlaplan-$command.1.gz
    zcat "$page" | grep -q "^\.TH dlaplan-$command 1" || fail "$page is no manual page"
    # bash completes the command's first letters.
    found=$(bash -c '. "$1"; COMP_WORDS=(dlaplan "$2"); COMP_CWORD=1; _dlaplan dlaplan "$2" dlaplan; echo "${COMPREPLY[*]}"' \
        - "$share/bash-completion/completions/dlaplan" "${command:0:4}")
    case " $found " in *" $command "*) ;; *) fail "bash completes ${command:0:4} to $found" ;; esac
    grep -q "$command" "$share/zsh/vendor-completions/_dlaplan" || fail "zsh does not know $command"
    grep -q "$command" "$share/fish/vendor_completions.d/dlaplan.fish" || fail "fish does not know $command"
done
desktop=$share/applications/dlaplan.desktop
[ "$(sed -n 's/^Icon=//p' "$desktop")" = dlaplan ] || fail "the desktop entry has another icon"
python3 -c 'import sys, xml.dom.minidom as d; d.parse(sys.argv[1])' \
    "$share/icons/hicolor/scalable/apps/dlaplan.svg"
! command -v desktop-file-validate > /dev/null || desktop-file-validate "$desktop"
[ -s "$share/doc/dlaplan/copyright" ] || fail "no copyright file"
(cd "$root" && dpkg-deb --ctrl-tarfile "$OLDPWD/$amd64" | tar -xO ./md5sums | md5sum --check --quiet)
echo "packages: contents checked, the amd64 one run"
