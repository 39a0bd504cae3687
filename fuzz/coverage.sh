#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# coverage.sh NAME...: runs each harness over its corpus and tells, for each
# file of fuzz/parsers, how many of its lines were reached, and which functions
# were not. All of it, line by line, lies in build/coverage/lines.
set -eu
cd "$(dirname "$0")/.."
out=build/coverage
mkdir -p "$out/raw"
rm -f "$out/raw"/*

objects=
for name in "$@"; do
    program=build/coverage/fuzz/fuzz_$name
    LLVM_PROFILE_FILE="$out/raw/$name" "$program" 1 "${MUTATIONS:-0}" \
        "fuzz/corpus/$name" "build/corpus/$name" >"$out/$name.log" 2>&1 ||
        echo "$name: failed, see $out/$name.log" >&2
    objects="$objects${objects:+ -object} $program"
done
llvm-profdata merge -sparse "$out/raw"/* -o "$out/profile"

files=$(sed -e '/^#/d' -e 's/ .*//' fuzz/parsers)
# shellcheck disable=SC2086
llvm-cov export -format=lcov -instr-profile="$out/profile" \
    $objects $files >"$out/lcov" 2>"$out/lcov.log" || {
    cat "$out/lcov.log" >&2
    exit 1
}
# shellcheck disable=SC2086
llvm-cov show -instr-profile="$out/profile" $objects $files \
    >"$out/lines" 2>>"$out/lcov.log"

awk -v root="$PWD/" '
function tell() {
    if (lines) {
        printf "%-30s %5d %5d %6.1f %%\n", file, lines, hit, 100 * hit / lines
        all += lines; reached += hit
    }
    for (name in never)
        printf "%34s never: %s\n", "", name
}
BEGIN { printf "%-30s %5s %5s %8s\n", "FILE", "LINES", "HIT", "REACHED" }
/^SF:/ { file = substr($0, 4); sub(root, "", file); lines = hit = 0; delete never }
/^DA:/ { split(substr($0, 4), at, ","); lines++; hit += at[2] > 0 }
/^FNDA:/ {
    split(substr($0, 6), at, ",")
    sub(/.*:/, "", at[2])
    if (at[1] == 0) never[at[2]]; else delete never[at[2]]
}
/^end_of_record/ { tell() }
END { printf "%-30s %5d %5d %6.1f %%\n", "all", all, reached, 100 * reached / all }
' "$out/lcov" | tee "$out/table"
