/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The crash sweep: nzd is killed at each of its points (journal/point.h), in
 * the operation, in the recovery that follows, and in the recovery of that.
 * After each the node runs exactly the old or exactly the new code, the
 * journal says which and verifies, nobody is left suspended, and the next
 * operation works. Points are found by counting.
 *
 * By itself it takes a sample; NZD_CRASH=full (`make crash`) takes all.
 * NZD_CRASH_SEED repeats a sample.
 */
#include "beam_node.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Of a sample: kills of the operation, and of each recovery after one. */
#define SAMPLE_FIRST 8u
#define SAMPLE_DEPTH 1u
#define DEPTH_MAX    3u

static struct {
    unsigned runs;
    unsigned kills;
    unsigned points;
} totals;

struct sweep {
    struct harness *harness;
    struct beam_node *node;
    const char *nzd; /* the build with points */
    const char *config;
    bool full;
    uint64_t random;
};

/* xorshift64*, good enough to choose points. */
static unsigned choose(struct sweep *sweep, unsigned below)
{
    sweep->random ^= sweep->random >> 12;
    sweep->random ^= sweep->random << 25;
    sweep->random ^= sweep->random >> 27;
    return (unsigned)((sweep->random * 2685821657736338717u) >> 33) % below;
}

static const char *points_nzd(struct harness *harness)
{
    const char *given = getenv("NZD_POINTS");
    char absolute[4096];
    if (!realpath(given ? given : "build/points/nzd", absolute))
        harness_fail("build/points/nzd is not built: make points");
    return harness_text(harness, "%s", absolute);
}

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct sweep *sweep = harness_alloc(harness, sizeof *sweep);
    struct beam_node_options options = {
        .release = harness_fixture(harness, "counter-0.1.0"),
        .name = "counter",
    };
    const char *how = getenv("NZD_CRASH");
    const char *seed = getenv("NZD_CRASH_SEED");
    sweep->harness = harness;
    sweep->nzd = points_nzd(harness);
    sweep->full = how && strcmp(how, "full") == 0;
    sweep->random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("NZD_CRASH_SEED=%" PRIu64 "%s\n", sweep->random,
           sweep->full ? ", full" : "");
    sweep->random = sweep->random * 2 + 1;
    sweep->config = harness_path(harness, "nzd.conf");
    harness_write_file(sweep->config, "hook \"selftest\" {\n"
                                      "  phase = post\n"
                                      "  call = \"counter_check:run\"\n"
                                      "  args = {\"quick\", \"[]\"}\n"
                                      "}\n");
    sweep->node = beam_node_start(harness, &options);
    *state = sweep;
    return 0;
}

static int teardown(void **state)
{
    struct sweep *sweep = *state;
    harness_close(sweep->harness);
    return 0;
}

/* --- one run of nzd ----------------------------------------------------------
 */

struct operation {
    const char *name;
    const char *before; /* what runs before it: a fixture's version */
    const char *words[4];
    const char *bundle; /* added to the words, or NULL */
    int status;         /* uninterrupted */
};

static const char *fixture_of(struct sweep *sweep, const char *version)
{
    return harness_fixture(
        sweep->harness,
        harness_text(sweep->harness, "counter-%s.tar.gz", version));
}

static const char *const *words_of(struct sweep *sweep,
                                   const struct operation *operation)
{
    const char **words = harness_alloc(sweep->harness, 10 * sizeof *words);
    size_t count = 0;
    while (count < 4 && operation->words[count]) {
        words[count] = operation->words[count];
        count++;
    }
    if (operation->bundle) {
        words[count++] = fixture_of(sweep, operation->bundle);
        words[count++] = "--retry";
    }
    words[count++] = "--config";
    words[count] = sweep->config;
    return words;
}

/* Runs the operation with the build that has points; `at` 0: none does
 * anything. */
static struct harness_run run(struct sweep *sweep,
                              const struct operation *operation, unsigned at,
                              const char *what, const char *log)
{
    struct harness *harness = sweep->harness;
    const char *environment[] = {
        harness_text(harness, "NZD_POINT_AT=%u", at),
        harness_text(harness, "NZD_POINT_DO=%s", what ? what : "kill"),
        log ? harness_text(harness, "NZD_POINT_LOG=%s", log) : NULL, NULL};
    const char *const head[] = {sweep->nzd, NULL};
    const char *const *tail = harness_argv(harness, sweep->node, NULL);
    const char *const *words =
        harness_concat(harness, words_of(sweep, operation), tail + 1);
    totals.runs++;
    return harness_run(harness, harness_concat(harness, head, words),
                       environment);
}

static const struct operation recovery = {
    "recover", NULL, {"recover"}, NULL, 0};

static unsigned count_points(struct sweep *sweep,
                             const struct operation *operation)
{
    const char *log = harness_path(sweep->harness, "points");
    harness_remove(sweep->harness, log);
    struct harness_run whole = run(sweep, operation, 0, NULL, log);
    assert_status(whole, operation->status);
    unsigned count = 0;
    for (const char *text = harness_read_file(sweep->harness, log); *text;
         text++)
        count += *text == '\n';
    if (count < 10)
        harness_fail("%s passed only %u points", operation->name, count);
    return count;
}

/* --- what must hold after it
 * --------------------------------------------------- */

static void expect_version(struct sweep *sweep, const char *version)
{
    const char *http = strcmp(version, "0.3.0") == 0 ? "0.2.0" : version;
    beam_node_check(
        sweep->node, "begin {A, B, _} = counter_http:get(1), {A, B} end",
        harness_text(sweep->harness, "{\"%s\",\"%s\"}", http, version),
        __FILE__, __LINE__);
}

/* The version that the journal says is in force. */
static const char *version_in_force(struct sweep *sweep)
{
    struct harness_run shown =
        harness_nzd(sweep->harness, sweep->node, "journal", "show", NULL);
    assert_status(shown, 0);
    const char *mark = strstr(shown.out, "\n*");
    const char *arrow = mark ? strstr(mark, "-> ") : NULL;
    if (!arrow)
        return "0.1.0";
    return harness_text(sweep->harness, "%.5s", arrow + 3);
}

static void verify(struct sweep *sweep, const char *after)
{
    struct harness_run settled = run(sweep, &recovery, 0, NULL, NULL);
    if (settled.status != 0)
        printf("after %s:\n", after);
    assert_status(settled, 0);
    expect_version(sweep, version_in_force(sweep));
    beam_node_wait_unsuspended(sweep->node);
    /* What was removed or undone goes within moments. */
    beam_node_wait_for(sweep->node,
                       "[M || {M, _} <- code:all_loaded(), "
                       "erlang:check_old_code(M)]",
                       "[]", 5000);
    struct harness_run status =
        harness_nzd(sweep->harness, sweep->node, "status", "--check", NULL);
    assert_status(status, 0);
    struct harness_run whole =
        harness_nzd(sweep->harness, sweep->node, "journal", "verify", NULL);
    assert_status(whole, 0);
}

static void bring_to(struct sweep *sweep, const char *version)
{
    struct harness_run there =
        harness_nzd(sweep->harness, sweep->node, "apply",
                    fixture_of(sweep, version), "--retry", NULL);
    assert_status(there, 0);
    expect_version(sweep, version);
}

/* --- nzd killed
 * ------------------------------------------------------------------ */

/* Kills a recovery at some of its points, and the recovery of that. */
static void kill_recoveries(struct sweep *sweep, unsigned depth)
{
    unsigned at = 1 + choose(sweep, 30);
    for (; depth; depth--) {
        struct harness_run killed = run(sweep, &recovery, at, NULL, NULL);
        if (killed.status != 128 + SIGKILL)
            return; /* it came to its end before that point */
        totals.kills++;
        at = 1 + choose(sweep, at);
    }
}

static void kill_at(struct sweep *sweep, const struct operation *operation,
                    unsigned at)
{
    bring_to(sweep, operation->before);
    struct harness_run killed = run(sweep, operation, at, NULL, NULL);
    totals.points++;
    totals.kills++;
    assert_status(killed, 128 + SIGKILL);
    kill_recoveries(sweep, sweep->full ? DEPTH_MAX - 1 : SAMPLE_DEPTH);
    verify(sweep, harness_text(sweep->harness, "%s killed at point %u",
                               operation->name, at));
}

static void sweep_kills(struct sweep *sweep, const struct operation *operation)
{
    bring_to(sweep, operation->before);
    unsigned count = count_points(sweep, operation);
    if (sweep->full) {
        for (unsigned at = 1; at <= count; at++)
            kill_at(sweep, operation, at);
        return;
    }
    for (unsigned i = 0; i < SAMPLE_FIRST; i++)
        kill_at(sweep, operation, 1 + choose(sweep, count));
}

static void nzd_killed_in_apply(void **state)
{
    static const struct operation apply = {
        "apply", "0.1.0", {"apply"}, "0.2.0", 0};
    sweep_kills(*state, &apply);
}

static void nzd_killed_in_rollback(void **state)
{
    static const struct operation rollback = {
        "rollback", "0.2.0", {"rollback", "--to", "0"}, NULL, 0};
    sweep_kills(*state, &rollback);
}

static void nzd_killed_in_failing_apply(void **state)
{
    static const struct operation failing = {
        "failing apply", "0.2.0", {"apply"}, "0.3.0", 6};
    sweep_kills(*state, &failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nzd_killed_in_apply, setup, teardown),
        cmocka_unit_test_setup_teardown(nzd_killed_in_rollback, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nzd_killed_in_failing_apply, setup,
                                        teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("points %u, kills %u, runs %u, violations %d\n", totals.points,
           totals.kills, totals.runs, failed);
    return failed;
}
