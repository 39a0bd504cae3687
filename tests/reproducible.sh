#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# reproducible.sh [all]: builds two copies of the sources, at other paths, at
# other times and with another umask and time zone, and compares bytes: a few
# objects and the agent, or with `all` nzd, the static nzd and the package.
set -eu
cd "$(dirname "$0")/.."

files='build/agent.o build/journal/bytes.o build/staging/plan.o build/engine/command.o
    build/engine/version.o'
targets=$files
if [ "${1-}" = all ]; then
    files='build/nzd build/static/nzd build/deb/*.deb'
    targets='all static deb'
fi
copies=$(mktemp -d "${TMPDIR:-/tmp}/nzd-twice.XXXXXX")
trap 'rm -rf "$copies"' EXIT

# build_in FOLDER UMASK ZONE
build_in()
{
    mkdir -p "$copies/$1"
    git ls-files -z | xargs -0 cp --parents -t "$copies/$1"
    # shellcheck disable=SC2086
    (umask "$2" && cd "$copies/$1" && TZ=$3 make -s -j2 $targets >/dev/null)
}

build_in here 022 UTC0
build_in some/where/else 077 Asia/Kathmandu

cd "$copies/here"
for file in $files; do
    cmp "$file" "$copies/some/where/else/$file"
    sha256sum "$file"
done
