#!/usr/bin/env bash
# Unpacks Debian packages into a folder: scripts/cross/debian.sh LIST FOLDER. Nothing is installed
# into the system. The first line of LIST names the release and the architectures, every other line
# a package: NAME:ARCHITECTURE VERSION SHA256. Safe to repeat.
# Exit code 75: the mirror cannot be reached, or has the packages in other versions.
# DEBIAN_SNAPSHOT=YYYYMMDDTHHMMSSZ takes the packages from snapshot.debian.org, which keeps every
# version, when the mirror has newer ones.
set -euo pipefail
list=$(realpath "$1")
folder=$2
key=$(sha256sum "$list" | cut -c1-64)
[ "$(cat "$folder/.packages" 2>/dev/null)" = "$key" ] && exit 0
rm -rf "$folder"
mkdir -p "$folder"
folder=$(realpath "$folder")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

read -r _ suite architectures < "$list"
architectures=${architectures%%:*}
mkdir -p "$work"/{lists,archives}/partial "$work/debs"
: > "$work/status"
# The digests in LIST say which package is the right one, so no key has to be installed.
for part in debian:"$suite" debian-security:"$suite"-security; do
    if [ -n "${DEBIAN_SNAPSHOT:-}" ]; then
        url=http://snapshot.debian.org/archive/${part%%:*}/$DEBIAN_SNAPSHOT
    else
        url=http://deb.debian.org/${part%%:*}
    fi
    echo "deb [trusted=yes check-valid-until=no] $url ${part#*:} main"
done > "$work/sources.list"
{
    echo "APT::Architecture \"amd64\";"
    echo "APT::Architectures { $(printf '"%s"; ' $architectures)};"
    echo "APT::Sandbox::User \"root\";"
    echo "Acquire::Languages \"none\";"
    echo "Acquire::Retries \"3\";"
    echo "Dir::Etc { sourcelist \"$work/sources.list\"; sourceparts \"/dev/null\"; preferencesparts \"/dev/null\"; preferences \"/dev/null\"; };"
    echo "Dir::State \"$work\";"
    echo "Dir::State::status \"$work/status\";"
    echo "Dir::Cache \"$work\";"
} > "$work/apt.conf"
export APT_CONFIG=$work/apt.conf
apt-get -q update > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 75; }

packages=()
while read -r package version _; do
    packages+=("$package=$version")
done < <(tail -n +2 "$list")
(cd "$work/debs" && apt-get -q download "${packages[@]}") > "$work/log" 2>&1 || {
    cat "$work/log" >&2
    echo "$list: a package in this version is not on the mirror any more; set DEBIAN_SNAPSHOT to a day when it was, or renew the list" >&2
    exit 75
}
declare -A expected
while read -r package _ digest; do
    expected[$package]=$digest
done < <(tail -n +2 "$list")
for deb in "$work"/debs/*.deb; do
    package=$(dpkg-deb -f "$deb" Package):$(dpkg-deb -f "$deb" Architecture)
    echo "${expected[$package]}  $deb" | sha256sum --check --quiet
done
for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$folder"
done
echo "$key" > "$folder/.packages"
