#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows the main job on a real node: a release under requests is reloaded, a
# reload that fails its validation goes back by itself, a rollback, and the
# count of requests that failed. Leaves nothing behind.
set -u
cd "$(dirname "$0")/.." || exit 1
NZD=${NZD:-$PWD/build/nzd}
RELEASES=$PWD/build/fixtures
DIR=$(mktemp -d "${TMPDIR:-/tmp}/nzd-demo.XXXXXX") || exit 1
NODE="counter_$$@localhost"
HOME=$DIR
export HOME
ERL_EPMD_PORT=$((20000 + $$ % 20000))
export ERL_EPMD_PORT
export ERL_EPMD_ADDRESS=127.0.0.1
vm=

finish() {
    [ -n "$vm" ] && kill "$vm" 2>/dev/null && wait "$vm" 2>/dev/null
    epmd -port "$ERL_EPMD_PORT" -kill >/dev/null 2>&1
    uuid=$("$NZD" journal export --journal "$DIR/journal" 2>/dev/null |
        sed -n '1s/.*"uuid":"\(.\{8\}\).*/\1/p')
    [ -n "$uuid" ] && rm -rf "${XDG_RUNTIME_DIR:-/run}/nzd/overlay/$uuid" "/run/nzd/overlay/$uuid"
    rm -rf "$DIR"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

# Prints the command as a person would type it, runs it with what says where.
run() {
    printf '$ nzd %s\n' "${*//$RELEASES\//}"
    "$NZD" "$@" --config "$DIR/nzd.conf" </dev/null
    status=$?
    [ "$status" -eq "$expected" ] && return
    echo "demo: nzd ended with $status, not $expected" >&2
    exit 1
}

wait_for() {
    for _ in $(seq 200); do
        [ -e "$DIR/$1" ] && return
        sleep 0.05
    done
    echo "demo: the node did not come up; its log:" >&2
    cat "$DIR/log" >&2
    exit 1
}

(umask 077 && printf 'demo%s' "$$" >"$DIR/.erlang.cookie")
cat >"$DIR/nzd.conf" <<EOF
node        = "$NODE"
cookie_file = "$DIR/.erlang.cookie"
journal     = "$DIR/journal"

hook "selftest" {
    phase   = post
    call    = "counter_check:run"
    args    = {"quick", "[{limit,100}]"}
    timeout = 10s
}
EOF
erlc -o "$DIR" tests/demo/demo_load.erl || exit 1

say "A node runs release counter 0.1.0; 20 clients ask it all the time."
root=$RELEASES/counter-0.1.0
erts=$(erl -noshell -eval \
    'io:format("~s/erts-~s", [code:root_dir(), erlang:system_info(version)]), halt().')
ROOTDIR=$root BINDIR=$erts/bin EMU=beam PROGNAME=erl ERL_CRASH_DUMP=/dev/null \
    "$erts/bin/erlexec" -noinput -mode embedded -sname "$NODE" +sbwt none \
    -boot "$root/releases/0.1.0/start" -boot_var RELEASE_LIB "$root/lib" \
    -config "$root/releases/0.1.0/sys" \
    -kernel inet_dist_use_interface '{127,0,0,1}' \
    -eval "{module, _} = code:load_abs(\"$DIR/demo_load\"), demo_load:start(\"$DIR\", 20)." \
    >"$DIR/log" 2>&1 &
vm=$!
wait_for ready

expected=0
say "1. What would change?"
run plan "$RELEASES/counter-0.2.0.tar.gz"
say "2. Reload it, validated by a hook."
run apply "$RELEASES/counter-0.2.0.tar.gz"
run journal show 1
say "3. A release whose validation fails: the old code comes back by itself."
expected=6
run apply "$RELEASES/counter-0.3.0.tar.gz"
expected=0
run status
say "4. Back to where it began."
run rollback
run journal show
touch "$DIR/stop"
wait_for counts
say "The clients, through all of it: $(cat "$DIR/counts")"
grep -q ' requests, 0 failed, 0 clients ended' "$DIR/counts"
