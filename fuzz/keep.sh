#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# keep.sh NAME...: takes over into fuzz/corpus/NAME what build/corpus/NAME
# reaches beyond it: the smallest set of inputs of at most KEEP_BYTES (2048)
# each, until the folder holds KEEP_ALL (10240) bytes. What lies there already
# stays.
set -u
cd "$(dirname "$0")/.." || exit 1

for name in "$@"; do
    kept=fuzz/corpus/$name
    [ -d "build/corpus/$name" ] || continue
    small=build/corpus/.small
    new=build/corpus/.new
    rm -rf "$small" "$new"
    mkdir -p "$small" "$new"
    find "build/corpus/$name" -type f -size "-${KEEP_BYTES:-2048}c" \
        -exec cp {} "$small/" \;
    cp -r "$kept/." "$new/"
    "build/libfuzzer/fuzz/fuzz_$name" -set_cover_merge=1 -use_value_profile=0 \
        "$new" "$small" >"build/corpus/$name.log" 2>&1 || {
        echo "$name: an input fails; see build/corpus/$name.log"
        continue
    }
    # Small ones first: the most of them fit.
    find "$new" -type f -printf '%s %f\n' | sort -n | while read -r size file; do
        [ ! -e "$kept/$file" ] || continue
        all=$(find "$kept" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }')
        [ $((all + size)) -le "${KEEP_ALL:-10240}" ] || break
        cp "$new/$file" "$kept/$file"
    done
    echo "$name: $(find "$kept" -type f | wc -l) inputs"
done
