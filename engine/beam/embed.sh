#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# embed.sh SOURCES FOLDER OUTPUT: compiles the modules of the agent, which lie
# in the folder SOURCES, in FOLDER, each under a name with the digest of all
# sources, and writes them to OUTPUT as C (engine/agent.h). The object code runs
# on OTP 24 and later.
set -eu
export LC_ALL=C

sources=$1
folder=$2
output=$3

digest=$(cat "$sources"/nzd_agent*.[eh]rl | sha256sum | cut -c1-12)

# "nzd_agent" and "nzd_agent_who" become "nzd_agent_D" and "nzd_agent_D_who".
rm -rf "$folder"
mkdir -p "$folder"
for source in "$sources"/nzd_agent*.[eh]rl; do
    name=$(basename "$source" | sed "s/^nzd_agent/nzd_agent_$digest/")
    sed -E "s/\\bnzd_agent(_[a-z]+)?\\b/nzd_agent_$digest\\1/g" "$source" \
        >"$folder/$name"
done
escript "$sources/compile.escript" "$folder"/*.erl

{
    echo '#include "agent.h"'
    for beam in "$folder"/*.beam; do
        name=$(basename "$beam" .beam)
        echo
        echo "static const unsigned char $name[] = {"
        od -An -v -tx1 "$beam" | sed 's/ \(..\)/0x\1,/g'
        echo '};'
    done
    echo
    echo 'const struct nzd_link_module nzd_agent[] = {'
    # The first in this order is the one that is started.
    for beam in "$folder"/*.beam; do
        name=$(basename "$beam" .beam)
        echo "    {\"$name\", {$name, sizeof $name}},"
    done
    echo '};'
    echo 'const unsigned nzd_agent_count = sizeof nzd_agent / sizeof *nzd_agent;'
} >"$output.new"
mv "$output.new" "$output"
