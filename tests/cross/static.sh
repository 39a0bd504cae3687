#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The static nzd of this machine: it is one file, names no loader and no library,
# and works on a node.
set -eu
cd "$(dirname "$0")/../.."

${NZD_MAKE:-make} -s -j2 static build/tests/cross/smoke fixtures
if readelf -lW build/static/nzd | grep -E 'INTERP|NEEDED'; then
    echo 'static: it asks for a loader' >&2
    exit 1
fi
# Nothing of this machine's file system is needed to start it.
if [ "$(id -u)" = 0 ]; then
    rm -rf build/static/root
    mkdir -p build/static/root
    cp build/static/nzd build/static/root
    chroot build/static/root /nzd --version | grep '^built statically of '
fi
NZD_TESTED=$PWD/build/static/nzd tests/run.sh build/static build/tests/cross/smoke
