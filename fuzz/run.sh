#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh libfuzzer|afl SECONDS NAME...: fuzzes each harness for so long, as
# many at once as there are cores (JOBS). One line for each says what was
# done; an input that fails is kept in build/findings/NAME, with a line that
# runs it again. The status is not 0 when there is any. What grew the corpus
# is left in build/corpus/NAME; `make fuzz-keep` takes it over.
set -u
cd "$(dirname "$0")/.." || exit 1
with=$1
seconds=$2
shift 2
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}
log=build/fuzz-logs
grown=build/corpus
found=build/findings

# libFuzzer: what it says at its end, as a line.
libfuzzer()
{
    dict=fuzz/dict/$1.dict
    # shellcheck disable=SC2046
    "build/libfuzzer/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -print_final_stats=1 -max_len="${MAX_LEN:-65536}" \
        -artifact_prefix="$found/$1/" $([ ! -f "$dict" ] || echo "-dict=$dict") \
        "$grown/$1" "fuzz/corpus/$1" >"$log/$1" 2>&1
    status=$?
    awk -v name="$1" -v seconds="$2" '
        /^#[0-9].* cov: / { edges = $4 }
        /^stat::number_of_executed_units:/ { runs = $2 }
        /^stat::new_units_added:/ { added = $2 }
        END { printf "%s: %d runs in %d s, %d edges, %d inputs added\n",
                     name, runs, seconds, edges, added }' "$log/$1"
    return $status
}

# AFL++ keeps files for itself; what it found is copied from there.
afl()
{
    work=build/afl/state/$1
    dict=fuzz/dict/$1.dict
    rm -rf "$work"
    mkdir -p "$work"
    # shellcheck disable=SC2046
    AFL_SKIP_CPUFREQ=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_AUTORESUME=0 \
        AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 \
        afl-fuzz -V "$seconds" -t 5000+ -m none -i "fuzz/corpus/$1" -o "$work" \
        $([ ! -f "$dict" ] || echo "-x $dict") \
        -- "build/afl/fuzz/fuzz_$1" >"$log/$1" 2>&1
    status=$?
    stats=$work/default/fuzzer_stats
    for kind in crashes hangs; do
        find "$work/default/$kind" -type f -name 'id*' \
            -exec cp {} "$found/$1/" \; 2>/dev/null
    done
    find "$work/default/queue" -type f -name 'id*' 2>/dev/null |
        while read -r file; do
            cp "$file" "$grown/$1/$(sha1sum <"$file" | cut -c 1-40)"
        done
    awk -F ' *: *' -v name="$1" -v seconds="$2" '
        { is[$1] = $2 }
        END { printf "%s: %d runs in %d s, %s of the map, %d inputs in all\n",
                     name, is["execs_done"], seconds, is["bitmap_cvg"],
                     is["corpus_count"] }' "$stats" 2>/dev/null
    return $status
}

one()
{
    mkdir -p "$log" "$grown/$1" "$found/$1"
    rm -f "$found/$1"/*
    $with "$1" "$seconds"
    status=$?
    # One system call for the line, so that lines of others stay whole.
    for input in "$found/$1"/*; do
        [ -f "$input" ] || continue
        status=1
        echo "$1: FAILED; again: build/$with/fuzz/fuzz_$1 '$input'"
    done
    [ $status = 0 ] || [ -n "$(ls "$found/$1")" ] || {
        echo "$1: the fuzzer ended with $status:"
        tail -n 5 "$log/$1"
    }
    return $status
}

if [ $# = 1 ]; then
    one "$1"
    exit
fi
export JOBS="$jobs"
printf '%s\n' "$@" | xargs -P "$jobs" -I NAME "$0" "$with" "$seconds" NAME
