#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compiles the sources of nzd against the headers of musl, warnings and all;
# nothing is linked. The libraries' headers are those of this machine, alone in a
# folder, so that none of glibc's is met.
set -eu
cd "$(dirname "$0")/../.."

command -v musl-gcc >/dev/null || {
    echo 'musl: skipped: there is no musl-gcc (musl-tools)'
    exit 77
}
headers=build/musl/include
rm -rf "$headers"
mkdir -p "$headers"
for name in lmdb.h xxhash.h xxh3.h zstd.h zstd_errors.h zlib.h zconf.h jansson.h \
    jansson_config.h archive.h archive_entry.h confuse.h md5.h linux asm asm-generic; do
    for folder in /usr/include "/usr/include/$(gcc -print-multiarch)"; do
        [ ! -e "$folder/$name" ] || ln -sfn "$folder/$name" "$headers/$name"
    done
done
erlang=$(erl -noshell -eval 'io:format("~s", [code:lib_dir(erl_interface)]), halt().')

count=0
failed=0
for source in journal/*.c staging/*.c engine/*.c; do
    count=$((count + 1))
    musl-gcc -fsyntax-only -std=gnu11 -O2 -D_GNU_SOURCE -D_REENTRANT \
        -Wall -Wextra -Wshadow -Wmissing-prototypes -Werror \
        -isystem "$headers" -isystem "$erlang/include" "$source" ||
        failed=$((failed + 1))
done
echo "musl: $((count - failed)) sources compile, $failed do not"
[ "$failed" = 0 ]
