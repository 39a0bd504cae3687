#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# reproducible.sh [all]: builds the sources here and a copy of them, at another
# path, at another time and with another umask and time zone, and compares bytes:
# a few objects and the agent, or with `all` nzd, the static nzd and the package.
set -eu
cd "$(dirname "$0")/.."

files='build/agent.o build/journal/bytes.o build/staging/plan.o build/engine/command.o
    build/engine/version.o'
targets=$files
if [ "${1-}" = all ]; then
    files='build/nzd build/static/nzd'
    targets='all static'
    if command -v dpkg-deb >/dev/null && command -v dpkg-shlibdeps >/dev/null; then
        files="$files build/deb/*.deb"
        targets="$targets deb"
    else
        echo 'reproducible: the package: skipped: there is no dpkg-deb or dpkg-shlibdeps (dpkg-dev)'
    fi
fi
copy=$(mktemp -d "${TMPDIR:-/tmp}/nzd-twice.XXXXXX")
trap 'rm -rf "$copy"' EXIT

# Of those that git knows or would take; without git all there are.
sources()
{
    git ls-files -z --cached --others --exclude-standard 2>/dev/null | grep -z . ||
        find . -path ./build -prune -o -type f -print0
}

# shellcheck disable=SC2086
${NZD_MAKE:-make} -s -j2 $targets >/dev/null
sources | while IFS= read -r -d '' file; do
    [ ! -f "$file" ] || printf '%s\0' "$file"
done | xargs -0 cp --parents -t "$copy"
# shellcheck disable=SC2086
(umask 077 && cd "$copy" && TZ=Asia/Kathmandu ${NZD_MAKE:-make} -s -j2 $targets >/dev/null)

for file in $files; do
    cmp "$file" "$copy/$file"
    sha256sum "$file"
done
