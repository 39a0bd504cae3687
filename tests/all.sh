#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Everything a change must pass. Quiet while all is well, a failed step's
# output is shown whole; the last line is "N passed, N failed", where each
# cmocka test of either build and each check counts as one. What cannot be done
# here (a tool is not there and cannot be installed) is named, and counted in a
# line "N skipped". build/test-logs/times tells what each step took.
#
# The tests wait for their nodes more than they work: what only computes runs
# beside them, in two lanes, where it gives way to them.
set -u
cd "$(dirname "$0")/.." || exit 1

logs=build/test-logs
jobs=$(nproc 2>/dev/null || echo 1)
[ "$jobs" -le 4 ] || jobs=4
unset MAKEFLAGS MFLAGS MAKEOVERRIDES
passed=0
failed=0
skipped=0
lanes=
apart=
in_lane=
mkdir -p "$logs"
rm -f "$logs"/*.status "$logs"/*.log "$logs/times"
TIMEFORMAT='%R s, %U s of user, %S s of system'

progress()
{
    [ ! -t 2 ] || printf '\r\033[K%s' "$1" >&2
}

# Each is a process group.
stop_all()
{
    local group
    for group in $lanes $apart; do
        kill -- "-$group" 2>/dev/null
    done
    wait 2>/dev/null
}
trap 'trap "" INT TERM HUP; stop_all; exit 130' INT TERM HUP

finish()
{
    stop_all
    progress ''
    [ "$skipped" = 0 ] || echo "$skipped skipped"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}

# in_group COMMAND...: in a process group of its own; who waits for it hears a
# signal at once, and ends it. What is in a lane has one.
in_group()
{
    local status
    if [ -n "$in_lane" ]; then
        "$@" </dev/null
        return
    fi
    set -m
    "$@" </dev/null &
    set +m
    apart=$!
    wait "$apart"
    status=$?
    apart=
    return $status
}

# run NAME COMMAND...: into its log; what it took and its status beside it.
run()
{
    local name=$1 status
    shift
    { time in_group "$@" >"$logs/$name.log" 2>&1; } 2>"$logs/$name.took"
    status=$?
    echo "$name: $(tail -n 1 "$logs/$name.took")" >>"$logs/times"
    rm -f "$logs/$name.took"
    echo $status >"$logs/$name.status"
    return $status
}

# judge NAME: counts a step that has ended. Its lines "... skipped: ..." are shown
# and counted; status 77 says that nothing else was done.
judge()
{
    local name=$1 status
    status=$(cat "$logs/$name.status" 2>/dev/null || echo 'no end')
    progress ''
    if [ "$status" = 0 ] || [ "$status" = 77 ]; then
        grep '^[^ ].* skipped: ' "$logs/$name.log"
        skipped=$((skipped + $(grep -c '^[^ ].* skipped: ' "$logs/$name.log")))
    fi
    case $status in
    0) passed=$((passed + 1)) ;;
    77)
        grep -q '^[^ ].* skipped: ' "$logs/$name.log" || {
            failed=$((failed + 1))
            echo "--- $name: status 77, and nothing says why:"
            cat "$logs/$name.log"
            return 1
        }
        ;;
    *)
        failed=$((failed + 1))
        echo "--- $name failed, status $status:"
        cat "$logs/$name.log"
        return 1
        ;;
    esac
}

# step NAME COMMAND...: one check, now.
step()
{
    progress "$1 ..."
    run "$@"
    judge "$1"
}

# with "TOOL ..." COMMAND...: skips where a tool is not there.
with()
{
    local tools=$1 tool
    shift
    for tool in $tools; do
        command -v "$tool" >/dev/null || {
            echo "${*: -1}: skipped: there is no $tool, and it cannot be installed"
            return 77
        }
    done
    "$@"
}

# lane FUNCTION: its steps, one after the other, in a process group of their own.
# As root without name spaces two runs of tests would meet in /run, see run.sh.
lane()
{
    set -m
    in_lane=1 "$1" </dev/null &
    set +m
    lanes="$lanes $!"
    if [ "$(id -u)" = 0 ] && ! unshare --mount true 2>/dev/null; then
        wait "$!"
    fi
}

# collect NAME...: judges steps of the lanes when they have ended.
collect()
{
    local name
    for name in "$@"; do
        progress "$name ..."
        while [ ! -e "$logs/$name.status" ] && going; do
            sleep 0.5
        done
        judge "$name"
    done
}

going()
{
    local lane
    for lane in $lanes; do
        ! kill -0 "$lane" 2>/dev/null || return 0
    done
    return 1
}

# tests NAME FOLDER: adds up what the runner counted.
tests()
{
    local name=$1 sum=$logs/$2/sum status=0
    progress "$name ..."
    rm -f "$sum"
    run "$name" make -s "$name" || {
        status=1
        progress ''
        echo "--- $name failed:"
        cat "$logs/$name.log"
    }
    if ! grep -q ' passed, ' "$sum" 2>/dev/null; then
        failed=$((failed + 1))
        return
    fi
    # What failed is not always one of those that were counted.
    [ "$status" = 0 ] || ! grep -q ' passed, 0 failed$' "$sum" || failed=$((failed + 1))
    progress ''
    sed -n "s/ skipped\$/ tests skipped: $name/p" "$sum"
    skipped=$((skipped + $(sed -n 's/ skipped$//p' "$sum" | grep . || echo 0)))
    passed=$((passed + $(sed -n 's/ passed, .*//p' "$sum")))
    failed=$((failed + $(sed -n 's/.* passed, \([0-9]*\) failed/\1/p' "$sum")))
}

# What only computes gives way altogether; a step with tests of its own builds
# likewise, and its few tests run one by one.
computing()
{
    renice -n 15 -p "$BASHPID" >/dev/null
    run build-asan make -s -j"$jobs" SAN=1 all tests fuzzers
    run lint-tidy with clang-tidy make -s -k -j"$jobs" lint-tidy
}

proving()
{
    export NZD_MAKE='nice -n 15 make' TEST_JOBS=1
    run format with clang-format make -s format-check
    run layers make -s layers
    run lint-manuals with mandoc make -s -k lint-manuals
    run static tests/cross/static.sh
    run package tests/package.sh
    run reproducible tests/reproducible.sh all
    run cross tests/cross/run.sh arm-linux-gnueabihf
    run lint-cppcheck with cppcheck nice -n 15 make -s lint-cppcheck
}

run deps tests/tools/deps.sh || {
    cat "$logs/deps.log"
    failed=1
    finish
}
grep '^deps: not to be had' "$logs/deps.log"
# What more than one lane makes is there before they begin: of one file two
# compilers at once leave half of it for a while.
cross=$(for source in tests/cross/*.c; do echo "build/${source%.c}"; done)
# shellcheck disable=SC2086
step build make -s -j"$jobs" all tests fixtures $cross || finish
lane computing
lane proving
tests check build
if collect build-asan; then
    step fuzz-replay make -s fuzz-replay
    tests check-asan asan
fi
collect format layers lint-manuals static package reproducible cross lint-cppcheck lint-tidy
lanes=
finish
