#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# replay.sh FOLDER FUZZER...: runs each fuzz harness over its corpus and over
# mutations of it. SEED and MUTATIONS of the environment change what is run.
set -u
cd "$(dirname "$0")/.." || exit 1
programs=$1
shift

seed=${SEED:-1}
mutations=${MUTATIONS:-5000}
failed=0
for name in "$@"; do
    if ! timeout "${FUZZ_TIMEOUT:-60}" "$programs/$name" "$seed" "$mutations" \
        "fuzz/corpus/${name#fuzz_}" >"$programs/$name.log" 2>&1; then
        echo "--- $name, seed $seed (the input, if it crashed: crash-$seed)"
        cat "$programs/$name.log"
        failed=1
    else
        echo "$name: $(tail -n 1 "$programs/$name.log")"
    fi
done
exit $failed
