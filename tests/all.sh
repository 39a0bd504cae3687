#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Everything a change must pass. Quiet while all is well, a failed step's
# output is shown whole; the last line is "N passed, N failed", where each
# cmocka test of either build and each check counts as one.
set -u
cd "$(dirname "$0")/.." || exit 1

logs=build/test-logs
jobs=$(nproc 2>/dev/null || echo 1)
[ "$jobs" -le 4 ] || jobs=4
unset MAKEFLAGS MFLAGS MAKEOVERRIDES
passed=0
failed=0
mkdir -p "$logs"

progress()
{
    [ ! -t 2 ] || printf '\r\033[K%s' "$1" >&2
}

finish()
{
    progress ''
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}

# step NAME COMMAND...: one check.
step()
{
    local name=$1
    shift
    progress "$name ..."
    if "$@" >"$logs/$name.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        progress ''
        echo "--- $name failed:"
        cat "$logs/$name.log"
        return 1
    fi
}

# tests NAME TARGET: adds up what the runner counted.
tests()
{
    local name=$1 sum=$logs/$3/sum
    progress "$name ..."
    rm -f "$sum"
    make -s "$2" >"$logs/$name.log" 2>&1 || {
        progress ''
        echo "--- $name failed:"
        cat "$logs/$name.log"
    }
    if ! grep -q ' passed, ' "$sum" 2>/dev/null; then
        failed=$((failed + 1))
        return
    fi
    sed -n "s/ skipped\$/ tests skipped: $name/p" "$sum"
    passed=$((passed + $(sed -n 's/ passed, .*//p' "$sum")))
    failed=$((failed + $(sed -n 's/.* passed, \([0-9]*\) failed/\1/p' "$sum")))
}

tests/tools/deps.sh >"$logs/deps.log" 2>&1 || {
    cat "$logs/deps.log"
    failed=1
    finish
}
step build make -s -j"$jobs" all tests || finish
step build-asan make -s -j"$jobs" SAN=1 all tests || finish
step format make -s format-check
step lint make -s -k -j"$jobs" lint
step layers make -s layers
step static tests/cross/static.sh
step package tests/package.sh
grep -h '^package: ' "$logs/package.log"
step reproducible tests/reproducible.sh
step cross tests/cross/run.sh arm-linux-gnueabihf
grep -h '^cross: .* skipped' "$logs/cross.log"
step fuzz-replay make -s -j"$jobs" fuzz-replay
tests check check build
tests check-asan check-asan asan
finish
