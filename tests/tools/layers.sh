#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fails on an include that crosses the floors of the house the wrong way.
# journal/ includes neither staging/ nor engine/; staging/ sees of journal/
# only errors, bytes and digests (and the levels of a record where plans are
# made); each library's header is seen by one room.
set -eu
cd "$(dirname "$0")/../.."

grep -nE '^[[:space:]]*#[[:space:]]*include' -- \
    journal/*.[ch] staging/*.[ch] engine/*.[ch] 2>/dev/null | awk '
function breach(why) {
    print file ":" line ": " header ": " why
    bad = 1
}
{
    split($0, at, ":")
    file = at[1]; line = at[2]
    header = $0
    sub(/^[^<"]*[<"]/, "", header)
    sub(/[>"].*/, "", header)
    floor = file
    sub(/\/.*/, "", floor)

    if (header ~ /tests\// || header ~ /fuzz\//)
        breach("the program includes nothing of its tests")
    if (floor == "journal" && header ~ /(staging|engine)\//)
        breach("journal/ is the floor, it includes nothing above it")
    if (floor == "staging" && header ~ /engine\//)
        breach("staging/ includes nothing of engine/")
    if (floor == "staging" && header ~ /journal\// &&
        header !~ /^\.\.\/journal\/(err|bytes|digest)\.h$/ &&
        !(header == "../journal/record.h" &&
          file ~ /^staging\/(plan|settings)[a-z_]*\.[ch]$/))
        breach("staging/ sees of journal/ err.h, bytes.h and digest.h only")
    if (header ~ /^(journal|staging|engine)\//)
        breach("includes are relative: \"../" header "\"")
    if (header == "lmdb.h" && file !~ /^journal\/store[a-z_]*\.c$/)
        breach("only journal/store*.c sees LMDB")
    if (header ~ /^archive(_entry)?\.h$/ && file !~ /^staging\/source[a-z_]*\.c$/)
        breach("only staging/source*.c sees libarchive")
    if (header ~ /^(ei|ei_connect|eicode|erl_interface)\.h$/ &&
        file !~ /^engine\/link[a-z_]*\.c$/)
        breach("only engine/link*.c sees erl_interface")
}
END { exit bad }
'
