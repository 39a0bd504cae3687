/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How code is exchanged under requests: nzd beside release_handler, beside what
 * people do by hand, and beside the least that a transaction could take. 1,
 * 10, 50 and 300 of 300 modules change. The ways take turns, each time in a
 * node that has just booted and answers 20,000 requests a second of 50 clients;
 * who sends them is a thread of their own in that node, see nzd_bench_pace.c.
 * Writes a line for each run to NZD_BENCH_RAW, which report.sh reads; in
 * runs of their own, under strace and without requests, what is written and
 * synced. `make bench`.
 */
#include "../beam_node.h"
#include "calls.h"
#include "vary.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENTS    50
#define PER_SECOND 20000
#define WAITING    10  /* clients that stay in a module for 10 ms */
#define SETTLE_MS  250 /* of requests before a change */
#define BEHIND_MS  40  /* and behind it */

static const unsigned counts[] = {1, 10, 50, 300};
#define COUNTS (sizeof counts / sizeof counts[0])

struct bench {
    struct harness *harness;
    struct beam_node *node;
    const char *folder; /* of what release.escript makes */
    const char *config; /* of nzd */
    const char *base;
    const char *beam;  /* where nzd_bench.beam is */
    const char *trace; /* of strace; NULL: it does not run */
    unsigned count;    /* of modules that change */
    unsigned txn;      /* the last one of the journal */
    unsigned applied;  /* how often */
    FILE *raw;
};

/* What a way tells beside what the requests do. */
struct done {
    double ms;
    long peak_kb;   /* of the program that did it; 0: the node did */
    long finish_us; /* of the floor */
    unsigned moves;
};

static const char *target(struct bench *bench)
{
    return harness_text(bench->harness, "%s/to-%u", bench->folder,
                        bench->count);
}

static const char *target_ebin(struct bench *bench)
{
    return harness_text(bench->harness, "%s/lib/many-2.0.0/ebin",
                        target(bench));
}

/* Names of the modules that change, as a list's text. */
static const char *changed(struct bench *bench)
{
    return harness_text(bench->harness,
                        "[list_to_atom(lists:flatten(io_lib:format("
                        "\"many_~3..0b\",[I]))) || I <- lists:seq(1,%u)]",
                        bench->count);
}

/* Else the journal would hold all of it from the apply before. */
static void vary(struct bench *bench)
{
    bench->applied++;
    for (unsigned i = 1; i <= bench->count; i++)
        bench_vary_beam(harness_text(bench->harness, "%s/many_%03u.beam",
                                     target_ebin(bench), i),
                        bench->applied);
}

/* --- the ways ------------------------------------------------------------ */

typedef struct done way_fn(struct bench *bench);

static const char *const *under_strace(struct bench *bench,
                                       const char *const *argv)
{
    static const char calls[] = BENCH_CALLS;
    const char *const strace[] = {"strace", "-f", "-y",         "-e",
                                  calls,    "-o", bench->trace, NULL};
    return bench->trace ? harness_concat(bench->harness, strace, argv) : argv;
}

static struct done run(struct bench *bench, const char *const *argv)
{
    struct harness_run run =
        harness_run(bench->harness, under_strace(bench, argv), NULL);
    assert_status(run, 0);
    return (struct done){.ms = run.ms,
                         .peak_kb = run.peak_kb,
                         .finish_us = strtol(run.out, NULL, 10)};
}

static struct done by_hand(struct bench *bench, const char *way,
                           const char *store)
{
    const char *const argv[] = {
        getenv("NZD_BENCH_HAND"),
        way,
        beam_node_name(bench->node),
        harness_cookie_file(bench->harness),
        target_ebin(bench),
        harness_text(bench->harness, "%u", bench->count),
        store,
        NULL};
    return run(bench, argv);
}

static struct done do_nothing(struct bench *bench)
{
    (void)bench;
    double begin = process_now_ms();
    process_sleep_ms(500);
    return (struct done){.ms = process_now_ms() - begin};
}

static struct done do_rpc(struct bench *bench)
{
    return by_hand(bench, "rpc", NULL);
}

static struct done do_floor(struct bench *bench)
{
    const char *store = harness_path(bench->harness, "floor");
    struct done done = by_hand(bench, "floor", store);
    done.moves = 2;
    return done;
}

/* Microseconds, as the node has measured them: nobody had to be started for
 * it. */
static struct done in_node(struct bench *bench, const char *call)
{
    const char *us = beam_node_eval(bench->node, "%s", call);
    return (struct done){.ms = (double)strtol(us, NULL, 10) / 1000};
}

static struct done do_loop(struct bench *bench)
{
    return in_node(bench,
                   harness_text(bench->harness, "nzd_bench:loop(\"%s\", %s)",
                                target_ebin(bench), changed(bench)));
}

static struct done do_handler(struct bench *bench)
{
    return in_node(bench, "nzd_bench:handler(\"2.0.0\")");
}

static unsigned moves_of(struct bench *bench)
{
    unsigned moves = 0;
    struct harness_run run =
        harness_nzd(bench->harness, NULL, "journal", "show",
                    harness_text(bench->harness, "%u", bench->txn), "--journal",
                    harness_journal(bench->harness), NULL);
    assert_status(run, 0);
    for (const char *at = run.out; (at = strstr(at, " ARMED")); at++)
        moves++;
    for (const char *at = run.out; (at = strstr(at, " COMMITTED")); at++)
        moves++;
    return moves;
}

/* From exec to the line that it is committed; nzd goes on for a moment to purge
 * old code. */
static struct done do_nzd(struct bench *bench)
{
    const char *const *argv =
        harness_argv(bench->harness, bench->node, "apply", target(bench),
                     "--config", bench->config, NULL);
    bench->txn++;
    if (bench->trace)
        return run(bench, argv);
    double begin = process_now_ms(), committed = 0;
    struct harness_job *job = harness_begin(bench->harness, argv, NULL);
    while (!strstr(harness_job_out(bench->harness, job), "committed ") &&
           process_alive(harness_job_pid(job)))
        process_sleep_ms(1);
    committed = process_now_ms() - begin;
    struct harness_run run = harness_end(bench->harness, job, HARNESS_LIMIT_MS);
    assert_status(run, 0);
    return (struct done){.ms = committed, .peak_kb = run.peak_kb};
}

/* Where no nzd has spoken to the VM yet: the agent is put there too. */
static struct done do_nzd_first(struct bench *bench)
{
    return do_nzd(bench);
}

static const struct way {
    const char *name;
    way_fn *act;
} ways[] = {
    {"nothing", do_nothing},
    {"nzd", do_nzd},
    {"nzd-first", do_nzd_first},
    {"release_handler", do_handler},
    {"purge-delete-load", do_loop},
    {"load_binary", do_rpc},
    {"floor", do_floor},
};
#define WAYS (sizeof ways / sizeof ways[0])

/* NZD_BENCH_ONLY has names of ways, where not all of them are to be run. */
static bool is_wanted(const struct way *way)
{
    const char *only = getenv("NZD_BENCH_ONLY");
    return !only || !*only || strstr(only, way->name);
}

static bool is_nzd(const struct way *way)
{
    return way->act == do_nzd || way->act == do_nzd_first;
}

static bool changes(const struct way *way)
{
    return way->act != do_nothing;
}

/* --- the node ------------------------------------------------------------ */

static void start(struct bench *bench)
{
    struct harness *harness = bench->harness;
    const char **words = harness_alloc(harness, 4 * sizeof *words);
    words[0] = "-sasl";
    words[1] = "releases_dir";
    words[2] = harness_text(harness, "\"%s/releases\"", bench->base);
    const struct beam_node_options options = {
        .release = bench->base, .name = "many", .arguments = words};
    bench->node = beam_node_start(harness, &options);
}

static void make_ready(struct bench *bench, const struct way *way)
{
    struct beam_node *node = bench->node;
    if (is_nzd(way))
        vary(bench);
    if (!beam_node_alive(node))
        beam_node_start_again(node);
    beam_node_eval(node,
                   "[{module,_} = code:load_abs(\"%s/\" ++ M) || M <- "
                   "[\"nzd_bench_pace\", \"nzd_bench\"]]",
                   bench->beam);
    if (way->act == do_handler)
        beam_node_eval(node,
                       "nzd_bench:handler_ready(\"%s\", \"%s\", \"2.0.0\")",
                       bench->base, target(bench));
    if (way->act == do_nzd) {
        struct harness_run run =
            harness_nzd(bench->harness, node, "status", "-q", "--config",
                        bench->config, NULL);
        assert_status(run, 0);
    }
    if (way->act == do_floor)
        beam_node_eval(node, "nzd_bench:by_hand()");
    if (way->act == do_floor) {
        harness_remove(bench->harness, harness_path(bench->harness, "floor"));
        const char *const argv[] = {
            "mkdir", harness_path(bench->harness, "floor"), NULL};
        harness_run(bench->harness, argv, NULL);
    }
}

static void check_changed(struct bench *bench, const struct way *way)
{
    beam_node_check(bench->node,
                    harness_text(bench->harness, "nzd_bench:versions(%u, %s)",
                                 bench->count, changed(bench)),
                    changes(way) ? "[2]" : "[1]", __FILE__, __LINE__);
}

/* The base again, and in the journal too. */
static void put_back(struct bench *bench, const struct way *way)
{
    if (is_nzd(way)) {
        beam_node_eval(bench->node, "nzd_bench_pace:stop()");
        struct harness_run run =
            harness_nzd(bench->harness, bench->node, "rollback", "-q",
                        "--config", bench->config, NULL);
        assert_status(run, 0);
        bench->txn++;
    }
    beam_node_kill(bench->node);
    harness_remove(
        bench->harness,
        harness_text(bench->harness, "%s/releases/RELEASES", bench->base));
    harness_remove(
        bench->harness,
        harness_text(bench->harness, "%s/releases/2.0.0", bench->base));
}

/* --- memory -------------------------------------------------------------- */

static long status_kb(struct bench *bench, const char *field)
{
    char line[256];
    long kb = 0;
    FILE *status = fopen(harness_text(bench->harness, "/proc/%d/status",
                                      (int)beam_node_pid(bench->node)),
                         "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, field, strlen(field)))
            kb = strtol(line + strlen(field), NULL, 10);
    if (!kb)
        harness_fail("no %s of the node", field);
    fclose(status);
    return kb;
}

/* From here on the peak is that of what comes. */
static void forget_peak(struct bench *bench)
{
    harness_write_file(harness_text(bench->harness, "/proc/%d/clear_refs",
                                    (int)beam_node_pid(bench->node)),
                       "5");
}

/* --- a run --------------------------------------------------------------- */

struct seen {
    unsigned long sent, mixed, failed, undef, killed;
    double gap, median, p999, longest; /* nanoseconds */
};

static struct seen close_window(struct bench *bench)
{
    struct seen seen;
    const char *text = beam_node_eval(bench->node, "nzd_bench:close()");
    if (sscanf(text, "%lu %lu %lu %lu %lu %lf %lf %lf %lf", &seen.sent,
               &seen.mixed, &seen.failed, &seen.undef, &seen.killed, &seen.gap,
               &seen.median, &seen.p999, &seen.longest) != 9)
        harness_fail("not what the requests did: %s", text);
    return seen;
}

static void run_once(struct bench *bench, const struct way *way, unsigned round)
{
    make_ready(bench, way);
    beam_node_eval(bench->node, "nzd_bench:start(%u, {%u, %u}, %u)",
                   bench->count, CLIENTS, PER_SECOND, WAITING);
    process_sleep_ms(SETTLE_MS);
    long before = status_kb(bench, "VmRSS:");
    forget_peak(bench);
    beam_node_eval(bench->node, "nzd_bench:open()");
    struct done done = way->act(bench);
    process_sleep_ms(BEHIND_MS);
    struct seen seen = close_window(bench);
    long growth = status_kb(bench, "VmHWM:") - before;
    check_changed(bench, way);
    put_back(bench, way);
    fprintf(bench->raw,
            "run\t%s\t%u\t%u\t%.3f\t%lu\t%lu\t%lu\t%.3f\t%.3f\t%.3f\t%lu\t"
            "%ld\t%ld\t%.3f\t%lu\n",
            way->name, bench->count, round, done.ms, seen.failed, seen.undef,
            seen.mixed, seen.gap / 1e6, seen.p999 / 1e6, seen.longest / 1e6,
            seen.killed, done.peak_kb, growth, (double)done.finish_us / 1000,
            seen.sent);
    fflush(bench->raw);
}

/* --- what reaches the disk ----------------------------------------------- */

/* What the node itself does is seen from its side. */
static struct done traced_in_node(struct bench *bench, const struct way *way)
{
    const char *const *strace = under_strace(
        bench, (const char *[]){"-p",
                                harness_text(bench->harness, "%d",
                                             (int)beam_node_pid(bench->node)),
                                NULL});
    struct harness_job *job = harness_begin(bench->harness, strace, NULL);
    process_sleep_ms(500);
    if (!process_alive(harness_job_pid(job)))
        harness_fail("strace cannot look at the node: as root, or with "
                     "kernel.yama.ptrace_scope=0");
    struct done done = way->act(bench);
    kill(harness_job_pid(job), SIGINT);
    harness_end(bench->harness, job, 10000);
    return done;
}

static void trace_once(struct bench *bench, const struct way *way)
{
    unsigned syncs = 0;
    unsigned long bytes = 0;
    bool outside = is_nzd(way) || way->act == do_rpc || way->act == do_floor;
    make_ready(bench, way);
    bench->trace = harness_path(bench->harness, "trace");
    harness_remove(bench->harness, bench->trace);
    struct done done = outside ? way->act(bench) : traced_in_node(bench, way);
    bench_calls_count(harness_read_file(bench->harness, bench->trace), &syncs,
                      &bytes);
    bench->trace = NULL;
    if (is_nzd(way))
        done.moves = moves_of(bench);
    check_changed(bench, way);
    put_back(bench, way);
    fprintf(bench->raw, "disk\t%s\t%u\t%u\t%u\t%lu\n", way->name, bench->count,
            done.moves, syncs, bytes);
    fflush(bench->raw);
}

/* --- all ----------------------------------------------------------------- */

static void make_releases(struct bench *bench)
{
    struct harness *harness = bench->harness;
    bench->folder = harness_path(harness, "releases");
    bench->base = harness_text(harness, "%s/base", bench->folder);
    const char *const argv[] = {"tests/bench/release.escript",
                                getenv("NZD_FIXTURES"),
                                bench->folder,
                                "1",
                                "10",
                                "50",
                                "300",
                                NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
}

/* Each apply of all modules leaves 6 MB, and 20 are kept where nothing else is
 * said: ten runs would not fit into a journal of 64 MiB. */
static void configure(struct bench *bench)
{
    bench->config = harness_path(bench->harness, "nzd.conf");
    harness_write_file(bench->config, "keep = 4\n");
}

/* The journal is there, and holds the code of the base. */
static void warm_up(struct bench *bench)
{
    static const struct way nzd = {"nzd-first", do_nzd_first};
    bench->count = counts[COUNTS - 1];
    make_ready(bench, &nzd);
    do_nzd_first(bench);
    put_back(bench, &nzd);
}

static void bench_reload(void **state)
{
    struct bench bench = {.harness = harness_open(),
                          .beam = getenv("NZD_BENCH_BEAM")};
    const char *runs = getenv("NZD_BENCH_RUNS");
    (void)state;
    bench.raw = fopen(getenv("NZD_BENCH_RAW"), "w");
    if (!bench.raw)
        harness_fail("%s cannot be written", getenv("NZD_BENCH_RAW"));
    make_releases(&bench);
    configure(&bench);
    start(&bench);
    warm_up(&bench);
    for (size_t i = 0; i < COUNTS; i++) {
        bench.count = counts[i];
        for (size_t j = 1; j < WAYS; j++)
            if (is_wanted(&ways[j]))
                trace_once(&bench, &ways[j]);
    }
    for (unsigned round = 0; round < strtoul(runs, NULL, 10); round++)
        for (size_t i = 0; i < COUNTS; i++) {
            bench.count = counts[i];
            for (size_t j = 0; j < WAYS; j++)
                if (is_wanted(&ways[(j + round) % WAYS]))
                    run_once(&bench, &ways[(j + round) % WAYS], round);
        }
    fclose(bench.raw);
    harness_close(bench.harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_reload)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
