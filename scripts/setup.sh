#!/usr/bin/env bash
# Installs what a Debian or Ubuntu machine lacks. Sourced by the other scripts; safe to repeat.
# Usage: . scripts/setup.sh run|test|corpus|cross

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

need_packages() {
    local missing=() p
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "installing Debian packages: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# rustup's own installer, as https://sh.rustup.rs fetches it, checked against its published digest.
install_rustup() {
    local url dir
    url=https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init
    dir=$(mktemp -d)
    (
        cd "$dir"
        curl --proto '=https' --tlsv1.2 -sSf -O "$url" -O "$url.sha256"
        echo "$(cut -c1-64 rustup-init.sha256)  rustup-init" | sha256sum --check --quiet
        chmod +x rustup-init
        ./rustup-init -y -q --profile minimal --default-toolchain "$1"
    )
    rm -rf "$dir"
}

need_rust() {
    local want=1.95 have
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
    if [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n1)" = "$want" ]; then
        return 0
    fi
    echo "installing Rust $want with rustup (found: ${have:-none})"
    need_packages curl ca-certificates
    if ! command -v rustup >/dev/null; then
        install_rustup "$want"
        # shellcheck disable=SC1091
        . "$HOME/.cargo/env"
    else
        rustup toolchain install "$want" --profile minimal
    fi
    export RUSTUP_TOOLCHAIN=$want
    rustup component add rustfmt clippy
}

# What the window needs at run time: everything is opened with dlopen.
window_packages=(libgl1 libgl1-mesa-dri libegl1 libxkbcommon0 libxkbcommon-x11-0 libx11-6
    libx11-xcb1 libxcursor1 libxi6 libxrandr2)

python_packages=(python3 python3-venv python3-pip)

need_packages gcc g++ libc6-dev pkg-config
[ "${1:-run}" = corpus ] || need_rust
case ${1:-run} in
    corpus) need_packages binutils "${python_packages[@]}" ;;
    cross) need_packages binutils "${python_packages[@]}" ;;
    run) need_packages "${window_packages[@]}" ;;
    test)
        need_packages "${window_packages[@]}" xvfb xauth xdotool xclip x11-utils imagemagick \
            openssh-client "${python_packages[@]}"
        # Installed, Debian starts it: not on anybody's own machine. Without it the tests over SSH
        # are skipped.
        [ -z "${CI:-}" ] || need_packages openssh-server
        ;;
esac
