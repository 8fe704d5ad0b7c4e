#!/usr/bin/env bash
# Makes Debian packages in target/packages: the window (dlaplan) and the headless program
# (dlaplan-headless), each for amd64 and arm64.
#   scripts/package.sh                          builds all four in release: about an hour of CPU
#   scripts/package.sh NAME ARCHITECTURE FILE   only one package, of a program that is there
# The amd64 packages carry the aarch64 headless program, which `dlaplan deploy` sends to boards.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/packages
board=${DLAPLAN_AARCH64:-target/cross/dlaplan-aarch64}
mkdir -p $out
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH

# Debian's packages of the libraries that a program is linked with, of the window where it has one.
depends() {
    local file=$1 name=$2 glibc library packages=()
    glibc=$(readelf -W --version-info "$file" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
    packages+=("libc6 (>= ${glibc#GLIBC_})")
    for library in $(readelf -W --dynamic "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        case $library in
            libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux*) ;;
            libgcc_s.so.1) packages+=(libgcc-s1) ;;
            *)
                echo "$file needs $library: which package has it?" >&2
                return 1
                ;;
        esac
    done
    # The window opens these at run time. libgl1-mesa-dri is no must: a Jetson has NVIDIA's own.
    [ "$name" = dlaplan-headless ] || packages+=(libegl1 libgl1 libx11-6 libx11-xcb1 libxcursor1 libxi6
        libxkbcommon0 libxkbcommon-x11-0 libxrandr2)
    printf '%s\n' "${packages[@]}" | paste -sd, | sed 's/,/, /g'
}

# package NAME ARCHITECTURE FILE
package() {
    local name=$1 arch=$2 file=$3 needs root deb
    needs=$(depends "$file" "$name")
    root=$(mktemp -d)
    install -D -m 755 "$file" "$root/usr/bin/dlaplan"
    if [ "$arch" = amd64 ]; then
        strip "$root/usr/bin/dlaplan"
        install -D -m 755 $board "$root/usr/lib/dlaplan/dlaplan-aarch64"
    fi
    # Manual pages and completions by clap.
    cargo run -q --locked -p xtask -- manuals "$root/usr/share" $([ "$name" = dlaplan ] || echo --headless)
    gzip -9n "$root"/usr/share/man/man1/*.1
    if [ "$name" = dlaplan ]; then
        install -D -m 644 assets/desktop/dlaplan.desktop -t "$root/usr/share/applications"
        install -D -m 644 assets/desktop/dlaplan.svg -t "$root/usr/share/icons/hicolor/scalable/apps"
    fi
    install -d "$root/usr/share/doc/$name"
    gzip -9nc CHANGELOG.md > "$root/usr/share/doc/$name/changelog.gz"
    {
        echo "dlaplan $version, licensed under MIT or Apache-2.0, at your choice."
        echo "The Apache License, version 2.0, is in /usr/share/common-licenses/Apache-2.0. The MIT licence:"
        echo
        cat LICENSE-MIT
    } > "$root/usr/share/doc/$name/copyright"
    install -d "$root/DEBIAN"
    {
        echo "Package: $name"
        echo "Version: $version"
        echo "Architecture: $arch"
        echo "Maintainer: the dlaplan project <noreply@localhost>"
        echo "Section: science"
        echo "Priority: optional"
        echo "Installed-Size: $(du -sk "$root/usr" | cut -f1)"
        echo "Depends: $needs"
        if [ "$name" = dlaplan ]; then
            echo "Recommends: libgl1-mesa-dri, openssh-client, xdg-desktop-portal"
            echo "Provides: dlaplan-headless"
            echo "Conflicts: dlaplan-headless"
            echo "Replaces: dlaplan-headless"
            echo "Description: plan which parts of a network run on the DLA of a Jetson"
        else
            echo "Recommends: openssh-client"
            echo "Conflicts: dlaplan"
            echo "Replaces: dlaplan"
            echo "Description: plan which parts of a network run on the DLA of a Jetson, without a window"
        fi
        echo " dlaplan opens a network (ONNX) as the tree of its modules, says what may run"
        echo " on the DLA of an NVIDIA Jetson and how fast it should be, builds and profiles"
        echo " TensorRT engines on a board, searches placements and exports them."
        echo " TensorRT is opened at run time and is needed only to measure."
    } > "$root/DEBIAN/control"
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
    chmod 644 "$root/DEBIAN/md5sums" "$root/usr/share/doc/$name"/*
    chmod -R go-w,a+rX "$root"
    deb=$out/${name}_${version}_$arch.deb
    # xz: dpkg of Ubuntu 20.04, which JetPack 5 is, reads no zstd.
    dpkg-deb -Zxz --root-owner-group --build "$root" "$deb" > /dev/null
    rm -rf "$root"
    echo "$deb: $(stat -c %s "$deb") bytes, depends on $needs"
}

if [ $# -gt 0 ]; then
    package "$@"
    exit 0
fi
. scripts/setup.sh run
scripts/cross.sh --window
cargo build --release --locked
CARGO_TARGET_DIR=target/headless cargo build --release --locked --no-default-features
package dlaplan amd64 target/release/dlaplan
package dlaplan-headless amd64 target/headless/release/dlaplan
package dlaplan arm64 target/cross/dlaplan-window-aarch64
package dlaplan-headless arm64 $board
