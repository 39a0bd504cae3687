/* SPDX-License-Identifier: Apache-2.0 */
#include "sweep.h"

#include "process.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Less would be no transaction at all. */
#define POINTS_MIN 10u
/* How long what nzd started, or what it left to the agent, may take to end. */
#define AFTER_MS 20000

#define BASE "0.1.0"

const struct operation sweep_apply = {"apply", BASE, {"apply"}, "0.2.0", 0};
const struct operation sweep_rollback = {
    "rollback", "0.2.0", {"rollback", "--to", "0"}, NULL, 0};
const struct operation sweep_failing = {
    "failing apply", "0.2.0", {"apply"}, "0.3.0", 6};
const struct operation sweep_recover = {
    "recover", NULL, {"recover", "--wait", "20s"}, NULL, 0};
const struct operation sweep_trial = {
    "apply on trial", BASE, {"apply", "--confirm", "1h"}, "0.2.0", 0};
const struct operation sweep_confirm = {"confirm", BASE, {"confirm"}, NULL, 0};
const struct operation sweep_ended = {
    "rollback of a trial", BASE, {"rollback"}, NULL, 0};

/* --- setting up ---------------------------------------------------------- */

static const char *points_nzd(struct harness *harness)
{
    const char *given = getenv("NZD_POINTS");
    char absolute[4096];
    if (!realpath(given ? given : "build/points/nzd", absolute))
        harness_fail("build/points/nzd is not built: make points");
    return harness_text(harness, "%s", absolute);
}

static void seed(struct sweep *sweep)
{
    const char *how = getenv("NZD_CRASH");
    const char *given = getenv("NZD_CRASH_SEED");
    sweep->full = how && strcmp(how, "full") == 0;
    sweep->random = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("NZD_CRASH_SEED=%" PRIu64 "%s\n", sweep->random,
           sweep->full ? ", full" : "");
    sweep->random = sweep->random * 2 + 1;
}

struct sweep *sweep_open_bare(void)
{
    struct harness *harness = harness_open();
    struct sweep *sweep = harness_alloc(harness, sizeof *sweep);
    sweep->harness = harness;
    sweep->nzd = points_nzd(harness);
    seed(sweep);
    sweep->config = harness_path(harness, "nzd.conf");
    harness_write_file(sweep->config, "hook \"selftest\" {\n"
                                      "  phase = post\n"
                                      "  call = \"counter_check:run\"\n"
                                      "  args = {\"quick\", \"[]\"}\n"
                                      "}\n");
    return sweep;
}

struct sweep *sweep_open(const struct beam_node_options *options)
{
    struct sweep *sweep = sweep_open_bare();
    struct beam_node_options own = *options;
    own.release = harness_fixture(sweep->harness, "counter-" BASE);
    own.name = "counter";
    sweep->node = beam_node_start(sweep->harness, &own);
    return sweep;
}

int sweep_setup(void **state)
{
    const struct beam_node_options options = {0};
    *state = sweep_open(&options);
    return 0;
}

int sweep_teardown(void **state)
{
    struct sweep *sweep = *state;
    harness_close(sweep->harness);
    return 0;
}

void sweep_begin(struct sweep *sweep, const char *row)
{
    sweep->tally = tally_begin(row);
}

void sweep_end(struct sweep *sweep)
{
    tally_end(sweep->tally);
}

/* xorshift64*, good enough to choose points. */
unsigned sweep_choose(struct sweep *sweep, unsigned below)
{
    sweep->random ^= sweep->random >> 12;
    sweep->random ^= sweep->random << 25;
    sweep->random ^= sweep->random >> 27;
    return (unsigned)((sweep->random * 2685821657736338717u) >> 33) % below;
}

bool sweep_takes(struct sweep *sweep, unsigned row, unsigned count)
{
    if (row == 0)
        sweep->drawn = sweep_choose(sweep, count);
    return sweep->full || sweep->drawn == row;
}

/* --- one run of nzd ------------------------------------------------------ */

static const char *bundle_of(struct sweep *sweep, const char *version)
{
    return harness_fixture(
        sweep->harness,
        harness_text(sweep->harness, "counter-%s.tar.gz", version));
}

const char *const *sweep_argv(struct sweep *sweep,
                              const struct operation *operation)
{
    struct harness *harness = sweep->harness;
    const char **words = harness_alloc(harness, 14 * sizeof *words);
    const char *const *tail = harness_argv(harness, sweep->node, NULL);
    size_t count = 0;
    words[count++] = sweep->nzd;
    for (size_t i = 0; i < 8 && operation->words[i]; i++)
        words[count++] = operation->words[i];
    if (operation->bundle) {
        words[count++] = bundle_of(sweep, operation->bundle);
        words[count++] = "--retry";
    }
    words[count++] = "--config";
    words[count] = sweep->config;
    return harness_concat(harness, words, tail + 1);
}

static const char *log_of_points(struct sweep *sweep)
{
    return harness_path(sweep->harness, "points");
}

static struct harness_run run(struct sweep *sweep,
                              const struct operation *operation, unsigned at,
                              const char *what, const char *log)
{
    struct harness *harness = sweep->harness;
    const char *environment[] = {
        harness_text(harness, "NZD_POINT_AT=%u", at),
        harness_text(harness, "NZD_POINT_DO=%s", what ? what : "kill"),
        log ? harness_text(harness, "NZD_POINT_LOG=%s", log) : NULL, NULL};
    return harness_run(harness, sweep_argv(sweep, operation), environment);
}

struct harness_run sweep_run(struct sweep *sweep,
                             const struct operation *operation, unsigned at,
                             const char *what)
{
    return run(sweep, operation, at, what, NULL);
}

/* --- points -------------------------------------------------------------- */

unsigned sweep_count_here(struct sweep *sweep,
                          const struct operation *operation)
{
    const char *log = log_of_points(sweep);
    unsigned count = 0;
    harness_remove(sweep->harness, log);
    struct harness_run whole = run(sweep, operation, 0, NULL, log);
    assert_status(whole, operation->status);
    for (const char *text = harness_read_file(sweep->harness, log); *text;
         text++)
        count += *text == '\n';
    return count;
}

unsigned sweep_count(struct sweep *sweep, const struct operation *operation)
{
    sweep_prepare(sweep, operation);
    unsigned count = sweep_count_here(sweep, operation);
    if (count < POINTS_MIN)
        harness_fail("%s passed only %u points", operation->name, count);
    sweep->points = harness_read_file(sweep->harness, log_of_points(sweep));
    return count;
}

const char *sweep_point(struct sweep *sweep, unsigned at)
{
    const char *text = harness_read_file(sweep->harness, log_of_points(sweep));
    const char *head = harness_text(sweep->harness, "%u ", at);
    while (text && strncmp(text, head, strlen(head)) != 0) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    if (!text)
        return "?";
    text += strlen(head);
    return harness_text(sweep->harness, "%.*s", (int)strcspn(text, "\n"), text);
}

unsigned sweep_next(struct sweep *sweep, unsigned count, unsigned sample,
                    unsigned *state)
{
    unsigned all = sweep->full || sample >= count;
    if (!count)
        harness_fail("%s has no points", sweep->tally->name);
    if (*state >= (all ? count : sample))
        return 0;
    ++*state;
    sweep->tally->points++;
    return all ? *state : 1 + sweep_choose(sweep, count);
}

/* --- what must hold ------------------------------------------------------ */

static void must(struct sweep *sweep, const char *after, int status,
                 struct harness_run done)
{
    if (done.status != status)
        printf("after %s, at %s:\n%s", after, sweep->tally->name,
               beam_node_log(sweep->node));
    assert_status(done, status);
}

/* What its modules differ in from that version's files. */
static const char *differing(struct sweep *sweep, const char *version)
{
    struct harness *harness = sweep->harness;
    const char *beam = getenv("NZD_TEST_BEAM");
    return beam_node_eval(
        sweep->node,
        "begin erlang:module_loaded(nzd_test_exact) orelse "
        "nzd_test_ctl:load(\"%s/nzd_test_exact\"), "
        "nzd_test_exact:differs(\"%s\", [\"%s\", \"%s\", \"%s\"]) end",
        beam ? beam : "build/tests/beam",
        harness_fixture(harness, harness_text(harness, "counter-%s", version)),
        harness_fixture(harness, "counter-0.1.0"),
        harness_fixture(harness, "counter-0.2.0"),
        harness_fixture(harness, "counter-0.3.0"));
}

/* The same once nothing is on its way any more: "[]" is nothing. */
static const char *differences(struct sweep *sweep, const char *version)
{
    double until = process_now_ms() + AFTER_MS;
    const char *found;
    /* What was removed goes within moments. */
    for (;;) {
        found = differing(sweep, version);
        if (strcmp(found, "[]") == 0 || process_now_ms() >= until)
            break;
        process_sleep_ms(10);
    }
    return found;
}

bool sweep_runs_exactly(struct sweep *sweep, const char *version)
{
    return strcmp(differences(sweep, version), "[]") == 0;
}

bool sweep_tries(struct sweep *sweep, const char *version)
{
    return strcmp(differing(sweep, version), "[{counter_legacy,loaded}]") == 0;
}

static void expect_exactly(struct sweep *sweep, const char *version,
                           const char *after)
{
    const char *found = differences(sweep, version);
    if (strcmp(found, "[]") != 0)
        harness_fail("after %s, the node does not run exactly %s: %s", after,
                     version, found);
    found = beam_node_eval(sweep->node, "application:get_key(counter, vsn)");
    if (strcmp(found, harness_text(sweep->harness, "{ok,\"%s\"}", version)) !=
        0)
        harness_fail("after %s, which runs %s, the node tells of counter %s",
                     after, version, found);
}

static void expect_no_nzd(struct sweep *sweep, const char *after)
{
    const char *mark = harness_text(sweep->harness, "NZD_TEST_DIR=%s",
                                    harness_dir(sweep->harness));
    double until = process_now_ms() + AFTER_MS;
    while (process_count_marked(mark, sweep->nzd)) {
        if (process_now_ms() > until)
            harness_fail("after %s, a process of nzd is left", after);
        process_sleep_ms(5);
    }
}

const char *sweep_in_force(struct sweep *sweep)
{
    struct harness_run shown =
        harness_nzd(sweep->harness, sweep->node, "journal", "show", NULL);
    assert_status(shown, 0);
    const char *mark = strstr(shown.out, "\n*");
    const char *arrow = mark ? strstr(mark, "-> ") : NULL;
    if (!arrow)
        return BASE;
    return harness_text(sweep->harness, "%.5s", arrow + 3);
}

static void expect_quiet(struct sweep *sweep, const char *after)
{
    expect_no_nzd(sweep, after);
    beam_node_wait_unsuspended(sweep->node);
    beam_node_wait_for(sweep->node,
                       "[M || {M, _} <- code:all_loaded(), "
                       "erlang:check_old_code(M)]",
                       "[]", AFTER_MS);
    must(sweep, after, 0,
         harness_nzd(sweep->harness, sweep->node, "journal", "verify", NULL));
}

/* Of a process that ends the memory goes first, the lock behind it: nobody is
 * there any more, and the journal is held for a moment. */
static void expect_next_works(struct sweep *sweep, const char *after,
                              const char *version)
{
    const char *other = strcmp(version, "0.2.0") == 0 ? BASE : "0.2.0";
    must(sweep, after, 0,
         harness_nzd(sweep->harness, sweep->node, "apply",
                     bundle_of(sweep, other), "--retry", "--wait", "20s",
                     NULL));
    expect_exactly(sweep, other, after);
    must(sweep, after, 0,
         harness_nzd(sweep->harness, sweep->node, "rollback", "--wait", "20s",
                     NULL));
    expect_exactly(sweep, version, after);
}

/* By either of its ends, which must be the one that was asked for. */
static void end_trial(struct sweep *sweep, const char *after)
{
    struct harness_run open =
        harness_nzd(sweep->harness, sweep->node, "confirm", "--dry-run", NULL);
    if (open.status != 0)
        return;
    bool confirms = sweep_choose(sweep, 2);
    const char *before = sweep_in_force(sweep);
    must(sweep, after, 0,
         harness_nzd(sweep->harness, sweep->node,
                     confirms ? "confirm" : "rollback", "--wait", "20s", NULL));
    if (strcmp(sweep_in_force(sweep), before) == 0 ? confirms : !confirms)
        harness_fail("after %s, a trial that was %s has %s in force", after,
                     confirms ? "confirmed" : "ended", sweep_in_force(sweep));
}

static void settle(struct sweep *sweep, const char *after)
{
    sweep->tally->runs++;
    must(sweep, after, 0, sweep_run(sweep, &sweep_recover, 0, NULL));
    end_trial(sweep, after);
    expect_no_nzd(sweep, after);
}

/* The version that the node runs and the journal names. */
static const char *check(struct sweep *sweep, const char *after)
{
    settle(sweep, after);
    const char *version = sweep_in_force(sweep);
    expect_exactly(sweep, version, after);
    expect_quiet(sweep, after);
    must(sweep, after, 0,
         harness_nzd(sweep->harness, sweep->node, "status", "--check", NULL));
    return version;
}

void sweep_check(struct sweep *sweep, const char *format, ...)
{
    char after[256];
    va_list list;
    va_start(list, format);
    vsnprintf(after, sizeof after, format, list);
    va_end(list);
    check(sweep, after);
}

void sweep_verify(struct sweep *sweep, const char *format, ...)
{
    char after[256];
    va_list list;
    va_start(list, format);
    vsnprintf(after, sizeof after, format, list);
    va_end(list);
    expect_next_works(sweep, after, check(sweep, after));
}

unsigned sweep_generation(struct sweep *sweep)
{
    struct harness_run shown =
        harness_nzd(sweep->harness, sweep->node, "journal", "show", NULL);
    assert_status(shown, 0);
    const char *mark = strstr(shown.out, "\n*");
    return mark ? (unsigned)strtoul(mark + 2, NULL, 10) : 0;
}

void sweep_verify_restarted(struct sweep *sweep, const char *format, ...)
{
    char after[256];
    va_list list;
    va_start(list, format);
    vsnprintf(after, sizeof after, format, list);
    va_end(list);
    settle(sweep, after);
    const char *version = sweep_in_force(sweep);
    unsigned generation = sweep_generation(sweep);
    expect_exactly(sweep, BASE, after);
    expect_quiet(sweep, after);
    if (generation && strcmp(version, BASE) != 0) {
        must(sweep, after, 10,
             harness_nzd(sweep->harness, sweep->node, "status", "--check",
                         NULL));
        must(sweep, after, 0,
             harness_nzd(sweep->harness, sweep->node, "rollback", "--to",
                         harness_text(sweep->harness, "%u", generation), NULL));
        expect_exactly(sweep, version, after);
    }
    must(sweep, after, 0,
         harness_nzd(sweep->harness, sweep->node, "status", "--check", NULL));
    expect_next_works(sweep, after, version);
}

/* The agent may have called a recovery that is still at work. */
static struct harness_run apply(struct sweep *sweep, const char *version)
{
    return harness_nzd(sweep->harness, sweep->node, "apply",
                       bundle_of(sweep, version), "--retry", "--wait", "20s",
                       NULL);
}

void sweep_bring_to(struct sweep *sweep, const char *version)
{
    struct harness_run there = apply(sweep, version);
    if (there.status == 5 && strstr(there.err, " is on trial ")) {
        struct harness_run ended = harness_nzd(
            sweep->harness, sweep->node, "rollback", "--wait", "20s", NULL);
        assert_status(ended, 0);
        there = apply(sweep, version);
    }
    assert_status(there, 0);
    expect_exactly(sweep, version, "an apply");
}

bool sweep_is_of_trial(const struct operation *operation)
{
    return strcmp(operation->words[0], "confirm") == 0 ||
           (strcmp(operation->words[0], "rollback") == 0 &&
            !operation->words[1]);
}

void sweep_prepare(struct sweep *sweep, const struct operation *operation)
{
    sweep_bring_to(sweep, operation->before);
    if (!sweep_is_of_trial(operation))
        return;
    /* A recovery of before may still be at its end. */
    static const struct operation begin = {
        "apply on trial",
        BASE,
        {"apply", "--confirm", "1h", "--wait", "20s"},
        "0.2.0",
        0};
    struct harness_run begun = sweep_run(sweep, &begin, 0, NULL);
    assert_status(begun, 0);
}
