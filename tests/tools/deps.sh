#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs, on Debian and its kin, what building and testing nzd needs and is
# not there yet. Fails only where something without which nothing is built or
# tested is neither there, from wherever, nor to be had; what only some steps or
# tests need is named, and those skip. With the word `fuzz` what the fuzzers need
# besides; `cross TRIPLE`: only what nzd of another machine needs.
set -eu

packages='gcc make pkg-config libc6-dev git
    liblmdb-dev libxxhash-dev libzstd-dev libjansson-dev libarchive-dev
    zlib1g-dev libconfuse-dev libmd-dev libbz2-dev liblzma-dev libcmocka-dev
    erlang-base erlang-dev erlang-nox elixir rebar3 dpkg-dev
    clang-format clang-tidy cppcheck strace iproute2 squashfs-tools e2fsprogs systemd tmux zsh mandoc'
tools='cc make pkg-config ar erl erlc escript elixirc mix rebar3'
libraries='lmdb libxxhash libzstd zlib jansson libarchive libconfuse libmd cmocka'
case ${1-} in
fuzz) packages="$packages clang llvm libclang-rt-dev afl++" ;;
cross)
    packages="gcc-$2 qemu-user musl-tools"
    tools=
    libraries=
    ;;
esac

# Of what nothing can be done without, what is not there.
lacking()
{
    for tool in $tools; do
        command -v "$tool" >/dev/null || printf ' %s' "$tool"
    done
    for library in $libraries; do
        pkg-config --exists "$library" 2>/dev/null || printf ' %s' "$library"
    done
}

# ends WHY: all that can be had is there.
ends()
{
    lacks=$(lacking)
    echo "deps: $1"
    [ -z "$lacks" ] || {
        echo "deps: nzd cannot be built and tested without$lacks" >&2
        exit 1
    }
    exit 0
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086
    ends "no Debian system with apt; nzd needs the equivalents of: $(echo $packages)"
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

# A password is asked for only where somebody can be asked.
root=
if [ "$(id -u)" != 0 ]; then
    root='sudo -n'
    [ ! -t 0 ] || root=sudo
    command -v sudo >/dev/null ||
        ends "not to be had without root or sudo:$missing"
fi
echo "deps: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20"
install="$apt install -y --no-install-recommends"
# shellcheck disable=SC2086
if ! $install $missing >"$log" 2>&1; then
    $apt update >"$log" 2>&1 || true
    $install $missing >"$log" 2>&1 || {
        grep '^E:\|^sudo:' "$log" | head -n 3
        ends "not to be had:$missing"
    }
fi
echo "deps: done"
