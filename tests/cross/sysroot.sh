#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sysroot.sh TRIPLE FOLDER: lays out what nzd links with for another machine,
# headers and libraries, in FOLDER: Debian's packages of that architecture,
# unpacked and not installed. It uses this host's archives and keys, but state
# and cache of its own below FOLDER.apt; dpkg of the host learns of none.
# Says so and exits 77 where no such packages are to be had.
set -eu

triple=$1
folder=$2

# glibc and what came with it to link; the libraries of nzd; what libarchive.so
# needs to run; what the tests need.
packages='libc6 libc6-dev linux-libc-dev libgcc-s1
    liblmdb-dev liblmdb0 libxxhash-dev libxxhash0 libzstd-dev libzstd1
    zlib1g-dev zlib1g libjansson-dev libjansson4 libarchive-dev libarchive13
    libconfuse-dev libconfuse2 libmd-dev libmd0 erlang-dev
    liblzma-dev liblzma5 libbz2-dev libbz2-1.0
    libacl1 libnettle8 liblz4-1 libxml2 libicu72 libstdc++6
    libcmocka-dev libcmocka0'

skip()
{
    echo "sysroot: $1: no libraries for $triple"
    exit 77
}

case $triple in
arm-linux-gnueabihf) arch=armhf ;;
aarch64-linux-gnu) arch=arm64 ;;
i686-linux-gnu) arch=i386 ;;
riscv64-linux-gnu) arch=riscv64 ;;
*) skip 'not a machine that this script knows' ;;
esac
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    skip 'not a Debian system'

# Made whole under another name; what it was made from is its mark.
# shellcheck disable=SC2086
mark=$(echo $arch $packages)
[ "$(cat "$folder/.packages" 2>/dev/null)" != "$mark" ] || exit 0

mkdir -p "$(dirname "$folder")"
folder=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")
state=$folder.apt
rm -rf "$folder" "$folder.new" "$state"
mkdir -p "$folder.new" "$state/lists/partial" "$state/cache/archives/partial" \
    "$state/debs" "$state/empty"
: >"$state/status"

# Of the host's sources those that are Debian's: others seldom have them all.
sources=$(grep -lrE '^(URIs:|deb ).*debian' /etc/apt/sources.list.d \
    /etc/apt/sources.list 2>/dev/null | grep -E '\.(list|sources)$' | head -n 1)
[ -n "$sources" ] || skip 'no Debian archive is configured'
cat >"$state/apt.conf" <<END
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
Acquire::Languages "none";
APT::Sandbox::User "";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Dir::State "$state";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
Dir::Etc::sourcelist "$sources";
Dir::Etc::sourceparts "$state/empty";
Dir::Etc::preferencesparts "$state/empty";
END
export APT_CONFIG="$state/apt.conf"

echo "sysroot: Debian's packages of $arch into $folder"
cd "$state/debs"
# An archive that is not whole just now may have all the same what is needed.
apt-get update -q >"$state/update.log" 2>&1 || true
# shellcheck disable=SC2086
if ! apt-get download -q $packages >"$state/download.log" 2>&1; then
    grep '^E:' "$state/update.log" "$state/download.log" | head -n 3 >&2
    rm -rf "$folder.new"
    skip 'the packages cannot be fetched'
fi
for package in *.deb; do
    dpkg-deb -x "$package" "$folder.new"
done

# Links that name the root are meant within the folder.
find "$folder.new" -type l -lname '/*' | while read -r link; do
    to=$(readlink "$link")
    ln -sf "$folder$to" "$link"
done
echo "$mark" >"$folder.new/.packages"
mv "$folder.new" "$folder"
rm -rf "$state"
