#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# crash.sh PROGRAM...: proofs of crash safety, in full, four at a time. Ends with
# a table of points, runs and violations. See journal/nzd-journal.5 for what they
# prove.
set -u
cd "$(dirname "$0")/.." || exit 1

report=$(mktemp) || exit 1
trap 'rm -f "$report"' EXIT
export NZD_CRASH=full NZD_CRASH_REPORT=$report TEST_TIMEOUT=${TEST_TIMEOUT:-14400}
export TEST_JOBS=${TEST_JOBS:-4}

begin=$SECONDS
tests/run.sh build "$@"
status=$?

awk -F'\t' '
BEGIN { printf "\n%-44s %7s %7s %11s\n", "", "POINTS", "RUNS", "VIOLATIONS" }
!($1 in row) { row[$1] = ++rows; name[rows] = $1 }
{
    i = row[$1]; p[i] += $2; r[i] += $3; v[i] += $4
    points += $2; runs += $3; violations += $4
}
END {
    for (i = 1; i <= rows; i++)
        printf "%-44s %7d %7d %11d\n", name[i], p[i], r[i], v[i]
    printf "%-44s %7d %7d %11d\n", "all", points, runs, violations
}' "$report"
printf '%d min %d s\n' $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60))
exit $status
