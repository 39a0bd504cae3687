#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh BUILD RUNS: has nzd and others exchange code under requests, RUNS times
# each, and writes results.tsv, results.md and results.svg beside itself. What
# it needs beside what the tests do is installed where that can be done.
set -eu
cd "$(dirname "$0")/../.."
build=$1 runs=$2

for package in gnuplot-nox strace; do
    command -v "${package%-nox}" >/dev/null && continue
    root=
    [ "$(id -u)" = 0 ] || root='sudo -n'
    echo "bench: installing $package" >&2
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -q --no-install-recommends \
        "$package" >/dev/null 2>&1 || echo "bench: $package cannot be installed" >&2
done
command -v strace >/dev/null || {
    echo "bench: needs strace, to count what is written and synced" >&2
    exit 1
}

raw=$PWD/$build/bench-raw.tsv
export NZD_BENCH_RAW="$raw" NZD_BENCH_RUNS="$runs"
export NZD_BENCH_BEAM="$PWD/build/tests/bench/node" NZD_BENCH_HAND="$PWD/$build/tests/bench/by_hand"
TEST_TIMEOUT=3600 tests/run.sh "$build" "$build/tests/bench/reload"
tests/bench/report.sh "$raw" tests/bench
