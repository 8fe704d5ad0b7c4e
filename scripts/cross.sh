#!/usr/bin/env bash
# Builds dlaplan for a Jetson (aarch64, glibc 2.31: JetPack 5 and later) on an x86 machine with
# Debian 12, Ubuntu 24.04 or later. Compilers come from Debian and PyPI in the versions and digests
# of scripts/cross/ and are unpacked below target/cross. Nothing is installed into the system.
#   scripts/cross.sh             target/cross/dlaplan-aarch64, the headless binary for a board
#   scripts/cross.sh --window    also target/cross/dlaplan-window-aarch64
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh cross
glibc=2.31
cross=$PWD/target/cross
mkdir -p "$cross"

scripts/cross/debian.sh scripts/cross/rust.txt "$cross/rust"
key=$(sha256sum scripts/cross/requirements.txt | cut -c1-16)
[ "$(cat "$cross/venv/.ok" 2>/dev/null)" = "$key" ] || {
    rm -rf "$cross/venv"
    python3 -m venv "$cross/venv"
    "$cross/venv/bin/pip" install -q --no-deps --only-binary :all: --require-hashes \
        -r scripts/cross/requirements.txt || exit 75
    echo "$key" > "$cross/venv/.ok"
}
cat > "$cross/rustc" <<EOF
#!/bin/sh
LD_LIBRARY_PATH="$cross/rust/usr/lib/x86_64-linux-gnu:$cross/rust/lib/x86_64-linux-gnu" exec "$cross/rust/usr/bin/rustc" "\$@"
EOF
chmod +x "$cross/rustc"

# build NAME [CARGO ARGUMENT...]: the binary target/cross/NAME.
build() {
    local name=$1 needs newest
    shift
    # A target folder of its own: another compiler would throw away what cargo keeps in target/.
    PATH="$cross/venv/bin:$PATH" RUSTC="$cross/rustc" CARGO_TARGET_DIR="$cross/build" \
        cargo-zigbuild zigbuild --release --locked --bin dlaplan \
        --target "aarch64-unknown-linux-gnu.$glibc" "$@"
    cp "$cross/build/aarch64-unknown-linux-gnu/release/dlaplan" "$cross/.$name"
    newest=$(readelf -W --version-info "$cross/.$name" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
    if [ -z "$newest" ] || [ "$(printf '%s\n' "$newest" "GLIBC_$glibc" | sort -V | tail -1)" != "GLIBC_$glibc" ]; then
        echo "$name needs ${newest:-no glibc at all}; a board with JetPack 5 has GLIBC_$glibc" >&2
        exit 1
    fi
    needs=$(readelf -W --dynamic "$cross/.$name" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
    for library in $needs; do
        case $library in
            libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux-aarch64.so.1) ;;
            *)
                echo "$name needs $library, which a board may lack" >&2
                exit 1
                ;;
        esac
    done
    mv "$cross/.$name" "$cross/$name"
    echo "target/cross/$name: $(stat -c %s "$cross/$name") bytes, newest symbol $newest, needs $needs"
}

build dlaplan-aarch64 --no-default-features
# Where `dlaplan deploy` looks, started from target/debug or target/release.
mkdir -p target/lib/dlaplan
ln -f "$cross/dlaplan-aarch64" target/lib/dlaplan/
[ "${1:-}" != --window ] || build dlaplan-window-aarch64
