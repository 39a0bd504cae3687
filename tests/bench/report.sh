#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# report.sh RAW FOLDER: of the lines that reload.c writes, FOLDER/results.tsv
# (median, least and most of each), results.md (the same to be read) and, where
# gnuplot is there, results.svg.
set -eu
raw=$1 folder=$2

awk -F '\t' -v OFS='\t' '
function sorted(list, out,    n, i, j, t) {
    n = split(list, out, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && out[j - 1] + 0 > out[j] + 0; j--) {
            t = out[j]; out[j] = out[j - 1]; out[j - 1] = t
        }
    return n
}
function three(key, column,    v, n) {
    n = sorted(seen[key, column], v)
    return (n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2) OFS v[1] OFS v[n]
}
BEGIN {
    columns = split("wall_ms failed undef mixed gap_ms p999_ms longest_ms killed nzd_kb node_kb finish_ms requests", name, " ")
}
$1 == "run" {
    key = $2 OFS $3
    if (!(key in runs)) order[++keys] = key
    runs[key]++
    for (i = 1; i <= columns; i++)
        seen[key, name[i]] = seen[key, name[i]] " " $(i + 4)
}
$1 == "disk" { disk[$2 OFS $3] = $4 OFS $5 OFS $6 }
END {
    printf "way\tchanged\truns"
    for (i = 1; i <= columns; i++)
        printf "\t%s\t%s_min\t%s_max", name[i], name[i], name[i]
    print "\tmoves\tsyncs\tbytes_written"
    for (k = 1; k <= keys; k++) {
        printf "%s\t%d", order[k], runs[order[k]]
        for (i = 1; i <= columns; i++)
            printf "\t%s", three(order[k], name[i])
        print "", (order[k] in disk ? disk[order[k]] : 0 OFS 0 OFS 0)
    }
}' "$raw" | { IFS= read -r head; printf '%s\n' "$head"; sort -t "$(printf '\t')" -k 2,2n -s; } >"$folder/results.tsv"

{
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    otp=$(erl -noshell -eval 'io:format("~s", [erlang:system_info(otp_release)]), halt().')
    cat <<HEAD
# How fast

Made by \`make bench\` ($(nproc) processors, ${cpu:-of an unknown kind}; OTP $otp; $(df --output=fstype "${TMPDIR:-/tmp}" | tail -n 1)).

A node with a release of 300 modules (3 to 60 KB of BEAM each) answers 20,000
requests a second of 50 clients, each through four of the modules that change,
and 10 more clients stay in these modules for 10 ms at a time. Who asks is a
thread of its own in the node: the times of requests are fixed beforehand, so
one that is answered late counts from when it was due. That costs least of what
two processors have; a second node would take as much as the load itself.

Each run is in a node that has just booted; the ways take turns. Median (least
to most) of the runs. **floor** is no way to update: it prepares, loads all at one
instant and commits twice, without a look at anything. **nothing** is half a second
without any change. The wall time of nzd is from exec to committed; that of
load_binary and floor from exec to exit; that of the others from call to return in
the node, without whoever calls them. **nzd-first** is an apply in a VM that no nzd
has spoken to, which puts the agent there first.

HEAD
    awk -F '\t' '
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    function spread(column, digits,    f) {
        f = "%." digits "f"
        return sprintf(f " (" f "–" f ")", $(at[column]), $(at[column "_min"]), $(at[column "_max"]))
    }
    function one(column) { return sprintf("%d", $(at[column])) }
    function bytes(n) {
        if (n >= 1048576) return sprintf("%.1f MB", n / 1048576)
        return n >= 1024 ? sprintf("%.0f KB", n / 1024) : n " B"
    }
    $2 != last {
        last = $2
        print "## " $2 " of 300 modules\n"
        print "| | wall, ms | failed | undef | mixed | longest gap, ms | p99.9, ms | killed | durable moves | sync calls | written | its peak RSS | growth of the node |"
        print "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    }
    {
        way = $1 == "nzd" ? "**nzd apply**" : $1
        print "| " way " | " spread("wall_ms", 0) " | " one("failed") " | " one("undef") " | " one("mixed") \
            " | " spread("gap_ms", 1) " | " spread("p999_ms", 1) " | " one("killed") " | " one("moves") \
            " | " one("syncs") " | " bytes($(at["bytes_written"])) " | " \
            ($(at["nzd_kb"]) ? bytes($(at["nzd_kb"]) * 1024) : "–") " | " bytes($(at["node_kb"]) * 1024) " |"
    }' "$folder/results.tsv" | sed '/^## /{1!i\

}'
    cat <<'TAIL'

## What was aimed for

TAIL
    awk -F '\t' '
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { for (c in at) of[$1, $2, c] = $at[c]; if ($1 == "nzd") counts[++n] = $2 }
    function tell(met, what) { print "- " (met ? "met" : "**missed**") ": " what }
    END {
        bad = 0; moves = 2
        for (i = 1; i <= n; i++) {
            c = counts[i]
            bad += of["nzd", c, "failed_max"] + of["nzd", c, "undef_max"] + of["nzd", c, "killed_max"]
            if (of["nzd", c, "moves"] != 2) moves = of["nzd", c, "moves"]
        }
        tell(bad == 0, "no request failed, none met undef, no process was killed, in any run (" bad + 0 ")")
        tell(moves == 2, "two durable moves (" moves ")")
        for (i = 1; i <= n; i++) {
            c = counts[i]
            if (("floor", c, "gap_ms") in of) {
                more = of["nzd", c, "gap_ms"] - of["floor", c, "gap_ms"]
                tell(more <= 1, sprintf("%d changed: a gap within 1 ms of that of the bare finish_loading (%+.1f ms)", c, more))
            }
            if (c >= 10 && ("release_handler", c, "wall_ms") in of)
                tell(of["nzd", c, "wall_ms"] < of["release_handler", c, "wall_ms"], sprintf("%d changed: done before release_handler (%.0f and %.0f ms)", c, of["nzd", c, "wall_ms"], of["release_handler", c, "wall_ms"]))
            if (c == 300 && ("floor", c, "wall_ms") in of)
                tell(of["nzd", c, "wall_ms"] <= 1.3 * of["floor", c, "wall_ms"], sprintf("%d changed: at most 1.3 times the floor (%.1f)", c, of["nzd", c, "wall_ms"] / of["floor", c, "wall_ms"]))
        }
    }' "$folder/results.tsv"
    cat <<'TAIL'

## Where the time goes

Before anything is touched nzd starts a process and a link, reads the whole
bundle and takes the md5 of each module to know what has changed (13 ms of these
300 modules), asks the node what runs (10 ms), and looks until each process that
is in the code that changes was seen to leave it (10 to 18 ms with the ten slow
clients). release_handler is told what
changes, and looks at nobody. With all 300 changed nzd itself computes for some
230 ms until the commit: it reads both versions, compresses what an undo needs
and writes it to the journal, while two processors have the requests and the
node's own work, too. Code could be sent to the node before the verdict; it is
not, since a refused apply then would have touched it.

## Words

- mixed: requests that met two versions. One that was under way at the instant
  of a switch rightly goes on in the new code.
- failed: of all clients, undef included, and what was never answered.
- longest gap: in which none of 20,000 requests a second was answered.
- durable moves, sync calls, written: counted with strace in runs of their own
  without requests; a commit of LMDB is two sync calls. What nzd writes besides
  its two moves is the snapshot of the code.
- release_handler: install_release/1 of a release that is unpacked, whose appup has
  a load_module for each module. purge-delete-load: code:purge/1, delete/1,
  load_abs/1 for each. load_binary: an rpc with code:load_binary/3 for each.
TAIL
} >"$folder/results.md"

command -v gnuplot >/dev/null || {
    echo "bench: without gnuplot no $folder/results.svg; the table is in $folder/results.md" >&2
    exit 0
}
gnuplot <<PLOT
set terminal svg size 960,380 dynamic font "sans-serif,12" background "white"
set output "$folder/results.svg"
set datafile separator "\t"
set multiplot layout 1,3
set style data yerrorlines
set logscale x
set xrange [0.7:430]
set xtics (1, 10, 50, 300)
set xlabel "changed modules of 300"
set grid ytics
set key top left reverse Left samplen 2
set logscale y
pick(way, column) = sprintf("< awk -F '\\\\t' -v OFS='\\\\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[\$i] = i; next } \$1 == \"%s\" { print \$2, \$(at[\"%s\"]), \$(at[\"%s_min\"]), \$(at[\"%s_max\"]) }' '$folder/results.tsv'", way, column, column, column)
ways = "nzd release_handler purge-delete-load load_binary floor"
colour(i) = word("#c0392b #2c7fb8 #8856a7 #d98b0b #888888", i)
set title "wall time, ms"
plot for [i=1:5] pick(word(ways, i), "wall_ms") using 1:2:3:4 title word(ways, i) noenhanced lc rgb colour(i) pt 7 ps 0.5
set title "requests that failed or met two versions"
set format y "%g"
set yrange [0.5:*]
unset key
bad(way) = sprintf("< awk -F '\\\\t' -v OFS='\\\\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[\$i] = i; next } \$1 == \"%s\" { n = \$(at[\"failed\"]) + \$(at[\"mixed\"]); print \$2, n < 0.5 ? 0.5 : n }' '$folder/results.tsv'", way)
set ytics add ("none" 0.5)
plot for [i=1:5] bad(word(ways, i)) using 1:2 with linespoints lc rgb colour(i) pt 7 ps 0.5
set title "longest gap without an answer, ms"
set ytics autofreq
set yrange [*:*]
plot for [i=1:5] pick(word(ways, i), "gap_ms") using 1:2:3:4 lc rgb colour(i) pt 7 ps 0.5
PLOT
