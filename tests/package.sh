#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the Debian package, has lintian read it where that is installed, unpacks
# it and applies a change to a node with what is in it.
set -eu
cd "$(dirname "$0")/.."

for tool in dpkg-deb dpkg-shlibdeps; do
    command -v $tool >/dev/null || {
        echo "package: skipped: there is no $tool (dpkg-dev), and it cannot be installed"
        exit 77
    }
done
${NZD_MAKE:-make} -s deb build/tests/cross/smoke fixtures
package=$(ls build/deb/*.deb)
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error,warning,info,pedantic "$package"
else
    echo 'package: lintian: skipped: it is not installed'
fi

root=build/deb/unpacked
rm -rf "$root"
dpkg-deb -x "$package" "$root"
for file in bin/nzd share/man/man1/nzd.1.gz share/bash-completion/completions/nzd \
    share/zsh/vendor-completions/_nzd share/doc/nzd/copyright \
    share/doc/nzd/changelog.gz; do
    [ -s "$root/usr/$file" ] || {
        echo "package: there is no /usr/$file" >&2
        exit 1
    }
done
readelf -lW "$root/usr/bin/nzd" | grep -q GNU_RELRO
readelf -dW "$root/usr/bin/nzd" | grep -q 'BIND_NOW\|NOW'
readelf -hW "$root/usr/bin/nzd" | grep -q 'DYN '
NZD_TESTED=$PWD/$root/usr/bin/nzd tests/run.sh build/package build/tests/cross/smoke
