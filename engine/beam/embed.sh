#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# embed.sh SOURCE FOLDER OUTPUT: compiles the agent in FOLDER under the name
# that ends in the digest of its source, and writes it to OUTPUT as C
# (engine/agent.h). The object code runs on OTP 24 and later.
set -eu

source=$1
folder=$2
output=$3

digest=$(sha256sum "$source" | cut -c1-12)
name=nzd_agent_$digest

rm -rf "$folder"
mkdir -p "$folder"
sed "s/\\bnzd_agent\\b/$name/g" "$source" >"$folder/$name.erl"
erlc +deterministic +no_debug_info +r24 -Werror -o "$folder" "$folder/$name.erl"

{
    echo '#include "agent.h"'
    echo
    echo "const char nzd_agent_name[] = \"$name\";"
    echo 'const unsigned char nzd_agent_beam[] = {'
    od -An -v -tx1 "$folder/$name.beam" | sed 's/ \(..\)/0x\1,/g'
    echo '};'
    echo 'const unsigned nzd_agent_beam_size = sizeof nzd_agent_beam;'
} >"$output.new"
mv "$output.new" "$output"
