#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs, on Debian and its kin, what building and testing nzd needs and is
# not there yet. Elsewhere it only names what is missing. With the word `fuzz`
# what the fuzzers need besides; `cross TRIPLE`: only what nzd of another machine
# needs.
set -eu

packages='gcc make pkg-config libc6-dev git
    liblmdb-dev libxxhash-dev libzstd-dev libjansson-dev libarchive-dev
    zlib1g-dev libconfuse-dev libmd-dev libbz2-dev liblzma-dev libcmocka-dev
    erlang-base erlang-dev erlang-nox elixir rebar3
    clang-format clang-tidy cppcheck strace iproute2 squashfs-tools e2fsprogs systemd tmux zsh mandoc'
[ "${1:-}" != fuzz ] || packages="$packages clang llvm libclang-rt-dev afl++"
[ "${1-}" != cross ] || packages="gcc-$2 qemu-user musl-tools"

if ! command -v dpkg-query >/dev/null; then
    echo "deps: not a Debian system; nzd needs the equivalents of:"
    echo "$packages"
    exit 0
fi

missing=
# shellcheck disable=SC2016,SC2086
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages \
    2>/dev/null | sed -n 's/^installed //p')
for package in $packages; do
    echo "$installed" | grep -qx "$package" || missing="$missing $package"
done

if [ -z "$missing" ]; then
    echo "deps: all there"
    exit 0
fi

root=
[ "$(id -u)" = 0 ] || root=sudo
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
install="$root apt-get install -y -q --no-install-recommends"
# shellcheck disable=SC2086
if ! $install $missing >/dev/null 2>&1; then
    $root apt-get update -q >/dev/null
    $install $missing >/dev/null
fi
echo "deps: done"
