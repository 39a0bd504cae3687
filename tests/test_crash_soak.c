/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A thousand operations to and fro in one journal, under load, many of them
 * killed: nothing may grow, in the node, in its journal or in nzd, and no
 * request may fail.
 */
#include "hold.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FULL        1000u
#define SAMPLE      28u
#define POINTS      58u /* of the longest operation, about */
#define HELD_AT     40u /* armed, and most of the work done */
#define CHECK_EVERY 50u
#define WORKERS     10u /* of each load */
#define PAUSE_MS    2u
#define JOURNAL_MAX (4u << 20)

/* --- what is done ----------------------------------------------------------
 */

static const struct operation operations[] = {
    {"apply 0.1.0", NULL, {"apply", "--wait=20s"}, "0.1.0", 0},
    {"apply 0.2.0", NULL, {"apply", "--wait=20s"}, "0.2.0", 0},
    {"apply 0.3.0", NULL, {"apply", "--wait=20s"}, "0.3.0", 6},
    {"rollback", NULL, {"rollback", "--wait=20s"}, NULL, 0},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

struct soak {
    struct sweep *sweep;
    struct beam_load *http, *srv;
    unsigned killed;
};

static int setup(void **state)
{
    const struct beam_node_options options = {0};
    struct sweep *sweep = sweep_open(&options);
    struct soak *soak = harness_alloc(sweep->harness, sizeof *soak);
    soak->sweep = sweep;
    harness_write_file(
        sweep->config,
        harness_text(sweep->harness, "%skeep = 5\njournal_max = %uM\n",
                     harness_read_file(sweep->harness, sweep->config),
                     JOURNAL_MAX >> 20));
    *state = soak;
    return 0;
}

static int teardown(void **state)
{
    struct soak *soak = *state;
    return sweep_teardown((void **)&soak->sweep);
}

/* The host of an nzd that was lost in the middle is looked up by a program
 * that the VM starts once, and keeps. */
static void start_resolver(struct soak *soak)
{
    beam_node_eval(soak->sweep->node,
                   "inet_gethost_native:gethostbyname(\"localhost\")");
}

static void start_load(struct soak *soak)
{
    struct beam_node *node = soak->sweep->node;
    soak->http =
        beam_load_start(node, WORKERS, PAUSE_MS, "counter_http", "get", "[7]");
    soak->srv =
        beam_load_start(node, WORKERS, PAUSE_MS, "counter_srv", "call", "[]");
}

static uint64_t stop_load(struct beam_load *load)
{
    struct beam_load_result result = beam_load_stop(load);
    if (result.undef || result.fail || result.killed)
        harness_fail("%" PRIu64 " requests met undef, %" PRIu64
                     " failed, %" PRIu64 " workers ended: %s",
                     result.undef, result.fail, result.killed, result.errors);
    return result.ok;
}

static void expect_end(struct soak *soak, const struct operation *operation,
                       const struct harness_run *run)
{
    harness_check_status(run, operation->status, __FILE__, __LINE__);
    if (run->status == 0 && operation->bundle)
        beam_node_check(
            soak->sweep->node, "counter_text:version()",
            harness_text(soak->sweep->harness, "\"%s\"", operation->bundle),
            __FILE__, __LINE__);
}

/* By the nzd under test, which tells of leaks where it is built for that; the
 * one that has points is killed. */
static struct harness_run run_whole(struct sweep *sweep,
                                    const struct operation *operation)
{
    struct harness *harness = sweep->harness;
    const char *const *nzd = harness_argv(harness, NULL, NULL);
    const char *const *argv = sweep_argv(sweep, operation);
    return harness_run(harness, harness_concat(harness, nzd, argv + 1), NULL);
}

/* A third of all are killed; the next one, or a recover, settles it. */
static void operate(struct soak *soak, unsigned number)
{
    struct sweep *sweep = soak->sweep;
    const struct operation *operation =
        &operations[sweep_choose(sweep, OPERATIONS)];
    unsigned at = number % 3 ? 0 : 1 + sweep_choose(sweep, POINTS);
    if (sweep_choose(sweep, 20) == 0)
        beam_node_eval(sweep->node, "case whereis(nzd) of undefined -> none; "
                                    "P -> exit(P, kill) end");
    struct harness_run run = at ? sweep_run(sweep, operation, at, NULL)
                                : run_whole(sweep, operation);
    if (at && run.status == 137 && !run.timed_out)
        soak->killed++;
    else
        expect_end(soak, operation, &run);
    if (sweep_choose(sweep, 10) == 0) {
        run = sweep_run(sweep, &sweep_recover, 0, NULL);
        assert_status(run, 0);
    }
}

/* --- what is measured ------------------------------------------------------
 */

enum measure {
    ATOMS,
    PROCESSES,
    PORTS,
    TABLES,
    TERMS,
    MODULES,
    NAMES,
    CODE_KB,
    BINARY_KB,
    ETS_KB,
    MEMORY_KB,
    RSS_KB,
    DESCRIPTORS,
    NZD_KB,
    JOURNAL_KB,
    MEASURES
};

/* How much more than at the first quarter may be there at the end. The journal
 * first fills up to what it keeps: that is over by the half of a full run. */
static const struct {
    const char *name;
    unsigned more; /* and `percent` of what was there */
    unsigned percent;
} measures[MEASURES] = {
    [ATOMS] = {"atoms", 10, 0},
    [PROCESSES] = {"processes", 3, 0},
    [PORTS] = {"ports", 0, 0},
    [TABLES] = {"ETS tables", 0, 0},
    [TERMS] = {"persistent terms", 0, 0},
    [MODULES] = {"loaded modules", 0, 0},
    [NAMES] = {"registered names", 0, 0},
    [CODE_KB] = {"code, KiB", 16, 0},
    [BINARY_KB] = {"binaries, KiB", 1024, 0},
    [ETS_KB] = {"ETS, KiB", 32, 0},
    [MEMORY_KB] = {"memory of the VM, KiB", 512, 4},
    [RSS_KB] = {"RSS of the VM, KiB", 6144, 10},
    [DESCRIPTORS] = {"descriptors of the VM", 0, 0},
    [NZD_KB] = {"peak RSS of nzd, KiB", 512, 4},
    [JOURNAL_KB] = {"data.mdb, KiB", 64, 4},
};

struct sample {
    unsigned long of[MEASURES];
};

static unsigned long count_descriptors(struct soak *soak)
{
    struct sweep *sweep = soak->sweep;
    unsigned long count = 0;
    DIR *dir = opendir(harness_text(sweep->harness, "/proc/%d/fd",
                                    (int)beam_node_pid(sweep->node)));
    if (!dir)
        harness_fail("no /proc/PID/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static unsigned long status_kb(struct soak *soak, pid_t pid, const char *field)
{
    struct harness *harness = soak->sweep->harness;
    char text[8192] = "";
    FILE *file = fopen(harness_text(harness, "/proc/%d/status", (int)pid), "r");
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    const char *line = strstr(text, field);
    if (!line)
        harness_fail("no %s of process %d", field, (int)pid);
    return strtoul(line + strlen(field), NULL, 10);
}

/* Held late in an operation, nzd has had its largest size. The peak that
 * wait4(2) gives counts what the test program was when it forked. */
static unsigned long measure_nzd(struct soak *soak)
{
    struct sweep *sweep = soak->sweep;
    for (unsigned i = 0; i < 2; i++) {
        struct harness_run run = sweep_run(sweep, &operations[0], 0, NULL);
        assert_status(run, 0);
    }
    struct harness_job *job = hold_at(sweep, &operations[1], HELD_AT);
    unsigned long kb = status_kb(soak, harness_job_pid(job), "VmHWM:");
    struct harness_run run = hold_release(sweep, job);
    assert_status(run, 0);
    return kb;
}

static void measure_vm(struct soak *soak, unsigned long *of)
{
    struct sweep *sweep = soak->sweep;
    const char *text = beam_node_eval(
        sweep->node,
        "begin [erlang:garbage_collect(P) || P <- erlang:processes()], "
        "M = fun(K) -> erlang:memory(K) div 1024 end, "
        "{erlang:system_info(atom_count), erlang:system_info(process_count), "
        "erlang:system_info(port_count), length(ets:all()), "
        "maps:get(count, persistent_term:info()), length(code:all_loaded()), "
        "length(registered()), M(code), M(binary), M(ets), M(total)} end");
    for (unsigned i = ATOMS; i <= MEMORY_KB; i++)
        of[i] = strtoul(text + 1, (char **)&text, 10);
    of[RSS_KB] = status_kb(soak, beam_node_pid(sweep->node), "VmRSS:");
    of[DESCRIPTORS] = count_descriptors(soak);
}

static struct sample measure(struct soak *soak, const char *when)
{
    struct sweep *sweep = soak->sweep;
    struct sample sample;
    struct stat file;
    sample.of[NZD_KB] = measure_nzd(soak);
    sweep_check(sweep, "%s", when);
    beam_node_wait_for(sweep->node, "nodes(hidden)", "[]", 5000);
    measure_vm(soak, sample.of);
    if (stat(harness_text(sweep->harness, "%s/data.mdb",
                          harness_journal(sweep->harness)),
             &file) != 0)
        harness_fail("no data.mdb");
    sample.of[JOURNAL_KB] = (unsigned long)file.st_size / 1024;
    assert_in_range(file.st_size, 1, JOURNAL_MAX);
    return sample;
}

enum { START, QUARTER, HALF, END, SAMPLES };

static void report(const struct sample samples[SAMPLES])
{
    printf("%-24s %10s %10s %10s %10s\n", "", "start", "quarter", "half",
           "end");
    for (unsigned i = 0; i < MEASURES; i++)
        printf("%-24s %10lu %10lu %10lu %10lu\n", measures[i].name,
               samples[START].of[i], samples[QUARTER].of[i],
               samples[HALF].of[i], samples[END].of[i]);
}

static void expect_no_growth(const struct sample samples[SAMPLES], bool full)
{
    for (unsigned i = 0; i < MEASURES; i++) {
        if (i == JOURNAL_KB && !full)
            continue;
        unsigned long before = samples[i == JOURNAL_KB ? HALF : QUARTER].of[i];
        unsigned long most =
            before + measures[i].more + before * measures[i].percent / 100;
        if (samples[END].of[i] > most)
            harness_fail("%s: %lu, and %lu at the end", measures[i].name,
                         before, samples[END].of[i]);
    }
}

static void operate_many(struct soak *soak, unsigned from, unsigned to)
{
    struct sweep *sweep = soak->sweep;
    for (unsigned i = from; i < to; i++) {
        operate(soak, i);
        sweep->tally->points++;
        sweep->tally->runs++;
        if (i % CHECK_EVERY == CHECK_EVERY - 1) {
            sweep_check(sweep, "operation %u", i + 1);
            sweep->tally->runs--;
        }
    }
}

static void nothing_grows(void **state)
{
    struct soak *soak = *state;
    struct sweep *sweep = soak->sweep;
    unsigned all = sweep->full ? FULL : SAMPLE;
    struct sample samples[SAMPLES];
    sweep_begin(sweep, "to and fro under load, killed now and then");
    start_resolver(soak);
    start_load(soak);
    samples[START] = measure(soak, "the start");
    operate_many(soak, 0, all / 4);
    samples[QUARTER] = measure(soak, "a quarter");
    operate_many(soak, all / 4, all / 2);
    samples[HALF] = measure(soak, "the half");
    operate_many(soak, all / 2, all);
    samples[END] = measure(soak, "the end");
    report(samples);
    printf("%u operations, %u killed\n", all, soak->killed);
    uint64_t http = stop_load(soak->http), srv = stop_load(soak->srv);
    printf("%" PRIu64 " and %" PRIu64 " requests, none failed\n", http, srv);
    assert_true(http > 10 * all && srv > 10 * all);
    assert_true(soak->killed > all / 8);
    expect_no_growth(samples, sweep->full);
    sweep_end(sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_grows, setup, teardown),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
