/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static int setup(void **state)
{
    *state = harness_open();
    return 0;
}

static int teardown(void **state)
{
    harness_close(*state);
    return 0;
}

static struct beam_node *start(struct harness *harness, unsigned count,
                               bool interactive)
{
    struct beam_node_options options = {
        .release =
            harness_fixture(harness, harness_text(harness, "many-%u-1", count)),
        .name = "many",
        .interactive = interactive,
    };
    return beam_node_start(harness, &options);
}

static const char *bundle(struct harness *harness, unsigned count,
                          unsigned version)
{
    return harness_fixture(harness,
                           harness_text(harness, "many-%u-%u", count, version));
}

/* How many modules answer with this version; all are loaded. */
static void check_version(struct harness *harness, struct beam_node *node,
                          unsigned count, unsigned version)
{
    beam_node_check(
        node,
        harness_text(harness,
                     "lists:usort([{M:version(), M:pair()} || I <- "
                     "lists:seq(1, %u), M <- [list_to_atom(lists:flatten("
                     "io_lib:format(\"many_~3..0b\", [I])))], "
                     "erlang:module_loaded(M) orelse error(M)])",
                     count),
        harness_text(harness, "[{%u,{%u,%u}}]", version, version, version),
        __FILE__, __LINE__);
}

/* --- under requests --- */

#define WORKERS  4
#define SWITCHES 4

/*
 * Every request was answered, by both versions. One that had begun in the old
 * many_001 at the instant of a switch may rightly end in the new many_002: at
 * most one of each worker at each switch. Where modules change one after the
 * other there are thousands.
 */
static void check_load(struct beam_load_result result)
{
    unsigned long whole[3] = {0}, mixed = 0, count;
    unsigned first, second;
    if (result.undef || result.fail || result.killed)
        harness_fail("%llu undef, %llu failed, %llu killed: %s",
                     (unsigned long long)result.undef,
                     (unsigned long long)result.fail,
                     (unsigned long long)result.killed, result.errors);
    assert_string_equal(result.errors, "[]");
    for (const char *at = result.results; (at = strstr(at, "{{")); at++) {
        assert_int_equal(sscanf(at, "{{%u,%u},%lu}", &first, &second, &count),
                         3);
        assert_in_range(first, 1, 2);
        assert_in_range(second, 1, 2);
        if (first == second)
            whole[first] = count;
        else
            mixed += count;
    }
    assert_true(whole[1] > 1000 && whole[2] > 1000);
    if (mixed > WORKERS * SWITCHES)
        harness_fail("a torn reload: %s", result.results);
}

static void under_load(struct harness *harness, unsigned count,
                       bool interactive)
{
    struct beam_node *node = start(harness, count, interactive);
    if (interactive)
        assert_eval(node, "erlang:module_loaded(many_001)", "false");
    else
        check_version(harness, node, count, 1);
    struct beam_load *load =
        beam_load_start(node, WORKERS, 0, "many_001", "pair", "[]");
    beam_load_wait(load, 1000);
    for (unsigned i = 0; i < SWITCHES; i++) {
        unsigned version = i % 2 ? 1 : 2;
        struct harness_run run = harness_nzd(
            harness, node, "apply", bundle(harness, count, version), NULL);
        assert_status(run, 0);
        assert_contains(run.out,
                        harness_text(harness, "committed %u: many %u.0.0 runs",
                                     i + 1, version));
        check_version(harness, node, count, version);
        json_t *txn = answer_txn(harness, node, i + 1);
        assert_int_equal(answer_number(txn, "changed"), count);
        assert_int_equal(answer_number(txn, "added"), 0);
        assert_int_equal(answer_number(txn, "removed"), 0);
        beam_load_wait(load, 1000);
    }
    check_load(beam_load_stop(load));
    answer_settled(harness, node);
}

static void one_module(void **state)
{
    under_load(*state, 1, false);
}

static void ten_modules(void **state)
{
    under_load(*state, 10, false);
}

static void ten_interactive(void **state)
{
    under_load(*state, 10, true);
}

static void three_hundred(void **state)
{
    under_load(*state, 300, false);
}

/* --- memory --- */

/* The most that a process of this pid ever had resident, by the kernel's own
 * count, which begins again at exec and so does not know the test's. */
static long peak_of(pid_t pid)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld kB", &kb) == 1)
            break;
    fclose(file);
    return kb;
}

/* 6.8 MB of modules on each side pass through less than 16 MB. */
static void memory_is_bounded(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, 300, false);
    /* It waits in its last hook, when all the work is done. */
    const char *config = harness_path(harness, "nzd.conf");
    const char *waits = harness_path(harness, "waits");
    const char *go = harness_path(harness, "go");
    harness_write_file(
        config,
        harness_text(harness,
                     "hook \"wait\" {\n phase = post\n command = {\"/bin/sh\", "
                     "\"-c\", \"touch %s; while [ ! -e %s ]; do sleep 0.02; "
                     "done\"}\n timeout = 60s\n}\n",
                     waits, go));
    struct harness_job *job = harness_begin(
        harness,
        harness_argv(harness, node, "apply", bundle(harness, 300, 2),
                     "--config", config, NULL),
        NULL);
    for (int i = 0; i < 3000 && access(waits, F_OK) != 0; i++)
        process_sleep_ms(10);
    long peak = peak_of(harness_job_pid(job));
    harness_write_file(go, "");
    struct harness_run run = harness_end(harness, job, HARNESS_LIMIT_MS);
    assert_status(run, 0);
    check_version(harness, node, 300, 2);
    print_message("peak of nzd: %ld KB\n", peak);
    assert_in_range(peak, 1000, SANITIZED ? 1000000 : 16 * 1024);
}

/* --- time --- */

/* The node stands still for a fraction of what an apply takes. */
static void the_pause_is_short(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, 10, false);
    struct harness_run run = harness_nzd(
        harness, node, "apply", bundle(harness, 10, 2), "--json", NULL);
    assert_status(run, 0);
    json_t *outcome = answer_event(harness, run.out, "outcome");
    int64_t pause = answer_number(outcome, "pause_us");
    assert_in_range(pause, 1, 100000);
    assert_true(pause < answer_number(outcome, "took_us"));
}

#define real(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(one_module),    real(ten_modules),       real(ten_interactive),
        real(three_hundred), real(memory_is_bounded), real(the_pause_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
