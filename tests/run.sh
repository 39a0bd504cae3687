#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [-v] BUILD PROGRAM...: runs cmocka programs, each with a time limit, one
# more at a time than there are cores (they wait more than they work), four at
# most, or TEST_JOBS. Quiet while all is well; a failed program's output is shown
# whole. Outputs stay in build/test-logs, and in `times` there how long each
# program took, the longest first. The last line is "N passed, N failed".
# NZD_TEST_WITH is put before each program, NZD_TESTED is another nzd to test.
set -u
cd "$(dirname "$0")/.." || exit 1

# As root what nzd lays out in /run is this run's own: nothing of it meets
# another run or is left, and nothing in it can be run, as on a device. Where no name space is to be had, see clean_up.
if [ -z "${NZD_TEST_OWN_RUN-}" ] && [ "$(id -u)" = 0 ] &&
    unshare --mount true 2>/dev/null; then
    export NZD_TEST_OWN_RUN=1
    exec unshare --mount "$PWD/tests/run.sh" "$@"
fi
if [ -n "${NZD_TEST_OWN_RUN-}" ]; then
    mount -t tmpfs -o mode=755,noexec tmpfs /run && mkdir -m 1777 /run/lock || exit 1
    unset NZD_TEST_OWN_RUN
fi

verbose=
if [ "${1-}" = -v ]; then
    verbose=1
    shift
fi
build=$1
shift

logs=build/test-logs/$(basename "$build")
scratch=$(mktemp -d /tmp/nzd-test.XXXXXX) || exit 1
mkdir -p "$logs"

# Every process of this run carries the mark in its environment.
export NZD_TEST_RUN=$scratch
export TMPDIR=$scratch
export HOME=$scratch
export NZD=${NZD_TESTED:-$PWD/$build/nzd}
export NZD_FIXTURES=$PWD/build/fixtures
export NZD_TEST_BEAM=$PWD/build/tests/beam
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:${ASAN_OPTIONS-}
export UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS-}
unset ERL_AFLAGS ERL_FLAGS ERL_ZFLAGS ERL_LIBS

kill_marked()
{
    local environ pid
    for environ in $(grep -lszZ "^NZD_TEST_RUN=$scratch\$" /proc/[0-9]*/environ |
        tr '\0' '\n'); do
        pid=${environ#/proc/}
        pid=${pid%/environ}
        [ "$pid" = "$$" ] || [ "$pid" = "$BASHPID" ] || kill -9 "$pid" 2>/dev/null
    done
}

# Without a name space of our own: what nzd of root lays out in RAM.
overlays()
{
    ls -d /run/nzd/overlay/* 2>/dev/null
}
before=$(overlays)

clean_up()
{
    trap - EXIT INT TERM HUP
    kill_marked
    overlays | while read -r overlay; do
        printf '%s\n' "$before" | grep -qxF "$overlay" || rm -rf "$overlay"
    done
    rmdir -p /run/nzd/overlay 2>/dev/null
    tests/machine.sh sweep
    awk -v under="$scratch/" 'index($2, under) == 1 { print $2 }' \
        /proc/self/mounts | sort -r | while read -r mount; do
        umount -l "$mount"
    done
    rm -rf "$scratch" "/dev/shm/${scratch##*/}".??????
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT TERM HUP

# Prints "passed failed skipped" of one finished program.
count()
{
    awk -v status="$2" '
    /\[ RUN      \]/ { run++ }
    /\[       OK \]/ { ok++ }
    /\[  SKIPPED \].*test\(s\)/ { next }
    /\[  SKIPPED \]/ { skipped[$0] }
    END {
        n = length(skipped)
        failed = run - ok - n
        if (failed <= 0) failed = (status != 0 || run == 0)
        print ok + 0, failed + 0, n
    }' "$1"
}

run_one()
{
    local name log status result
    name=$(basename "$1")
    log=$logs/$name.log
    # shellcheck disable=SC2086
    { time timeout -k 5 "${TEST_TIMEOUT:-300}" ${NZD_TEST_WITH-} "$1" >"$log" 2>&1 </dev/null; } \
        2>"$logs/$name.took"
    status=$?
    [ $status = 124 ] && echo "run.sh: no end after ${TEST_TIMEOUT:-300} s" >>"$log"
    result=$(count "$log" $status)
    echo "$result" >"$logs/$name.result"
    set -- $result
    if [ "$2" != 0 ]; then
        {
            echo "--- $name: $2 failed, exit status $status ($log)"
            cat "$log"
        } >&2
    elif [ -n "$verbose" ]; then
        cat "$log"
    fi
}

rm -f "$logs"/*.result "$logs"/*.took
TIMEFORMAT='%R s, %U s of user, %S s of system'
jobs=$(($(nproc 2>/dev/null || echo 2) + 1))
[ "$jobs" -le 4 ] || jobs=4
running=0
for program in "$@"; do
    if [ $running -ge "${TEST_JOBS:-$jobs}" ]; then
        wait -n
        running=$((running - 1))
    fi
    run_one "$program" &
    running=$((running + 1))
done
wait
(cd "$logs" && tail -q -n 1 -- *.took | paste - <(ls -- *.took) |
    awk -F'\t' '{ sub(/\.took$/, "", $2); print $1 "  " $2 }' | sort -rn >'times')

cat "$logs"/*.result 2>/dev/null | awk '
{ passed += $1; failed += $2; skipped += $3 }
END {
    if (skipped) print skipped " skipped"
    print passed + 0 " passed, " failed + 0 " failed"
    exit failed > 0
}' | tee "$logs/sum"
exit "${PIPESTATUS[1]}"
