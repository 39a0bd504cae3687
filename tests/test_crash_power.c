/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The power is cut: all that nzd wrote while it worked on a real node is
 * recorded, and the journal is made again as it may be found after a cut at
 * each write and each sync (replay.h). Every such state must open, be whole,
 * and hold what it held at the last thing nzd knew to be done before the cut
 * or at the first one behind it, nothing else.
 */
#include "film.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define APPLY(version)                                                         \
    {                                                                          \
        "apply", version, NULL                                                 \
    }
#define ROLLBACK                                                               \
    {                                                                          \
        "rollback", "--to", "0", NULL                                          \
    }

/* Each state takes three children, which a sanitizer makes slow. */
#if defined(__SANITIZE_ADDRESS__)
#define SAMPLE 8
#else
#define SAMPLE 24
#endif

/* Of a sample, and in full. */
static const struct film_sweep thorough = {.cuts = SAMPLE, .random = 40};
static const struct film_sweep coarse = {.cuts = SAMPLE / 2, .random = 8};
/* States of some MB. */
static const struct film_sweep large = {
    .cuts = SAMPLE / 2, .most = 48, .random = 8};

static void apply_and_sweep(struct film *film, const char *row,
                            const char *version, int status)
{
    const char *const words[] = APPLY(version);
    film_begin(film, row);
    film_run(film, words, status, NULL);
    film_sweep(film, &thorough);
}

static void roll_back_and_sweep(struct film *film, const char *row)
{
    const char *const words[] = ROLLBACK;
    film_begin(film, row);
    film_run(film, words, 0, NULL);
    film_sweep(film, &thorough);
}

/* One that is confirmed, and one that is ended. */
static void try_and_sweep(struct film *film)
{
    const char *const words[] = {"apply", "0.2.0", "--confirm", "1h", NULL};
    const char *const confirm[] = {"confirm", NULL};
    const char *const back[] = ROLLBACK;
    const char *const end[] = {"rollback", NULL};
    film_begin(film, "power cut in apply on trial");
    film_run(film, words, 0, NULL);
    film_sweep(film, &thorough);
    film_begin(film, "power cut in confirm");
    film_run(film, confirm, 0, NULL);
    film_sweep(film, &thorough);
    film_run(film, back, 0, NULL);
    film_run(film, words, 0, NULL);
    film_begin(film, "power cut in rollback of a trial");
    film_run(film, end, 0, NULL);
    film_sweep(film, &thorough);
}

/* Few are kept: each commit drops a transaction and collects its blobs. */
static void drop_and_sweep(struct film *film)
{
    struct harness *harness = film->sweep->harness;
    const char *config = harness_read_file(harness, film->sweep->config);
    film_configure(film, harness_text(harness, "keep = 1\n%s", config));
    for (unsigned i = 0; i < (film->sweep->full ? 2 : 1); i++) {
        apply_and_sweep(film, "power cut in apply, old ones go", "0.2.0", 0);
        roll_back_and_sweep(film, "power cut in rollback, old ones go");
    }
}

/* Killed once it has armed and before it has the agent keep the new code, which
 * would run nzd by itself, unrecorded. */
static void kill_and_sweep(struct film *film, unsigned point)
{
    const char *const words[] = APPLY("0.2.0");
    const char *const recover[] = {"recover", "--wait", "20s", NULL};
    const char *environment[] = {
        harness_text(film->sweep->harness, "NZD_POINT_AT=%u", point), NULL};
    film_begin(film, "power cut in recovery");
    film_run(film, words, 128 + SIGKILL, environment);
    film_run(film, recover, 0, NULL);
    film_sweep(film, &thorough);
}

static void gc_and_sweep(struct film *film)
{
    const char *const words[] = {"journal", "gc", NULL};
    film_begin(film, "power cut in journal gc");
    film_run(film, words, 0, NULL);
    film_sweep(film, &thorough);
}

/* Into a place where no journal is. */
static void import_and_sweep(struct film *from)
{
    struct harness *harness = from->sweep->harness;
    const char *file = harness_path(harness, "export.jsonl");
    const char *const out[] = {"journal", "export", file, NULL};
    const char *const in[] = {"journal", "import", file, NULL};
    struct film *film = film_open(from->sweep, from->node);
    film_run(from, out, 0, NULL);
    film_begin(film, "power cut in journal import");
    film_run(film, in, 0, NULL);
    film_sweep(film, &thorough);
    film_close(film);
}

static void power_cut_in_commands(void **state)
{
    struct film *film = film_open(*state, ((struct sweep *)*state)->node);
    apply_and_sweep(film, "power cut in first apply", "0.2.0", 0);
    apply_and_sweep(film, "power cut in failing apply", "0.3.0", 6);
    roll_back_and_sweep(film, "power cut in rollback");
    apply_and_sweep(film, "power cut in second apply", "0.2.0", 0);
    unsigned armed = film_commit(film, 2);
    roll_back_and_sweep(film, "power cut in rollback");
    for (unsigned i = 0; i < (film->sweep->full ? 3 : 1); i++)
        kill_and_sweep(film, armed + i);
    try_and_sweep(film);
    drop_and_sweep(film);
    if (film_can(film, "gc"))
        gc_and_sweep(film);
    import_and_sweep(film);
    film_go_on(film, "power cut, then nzd on a new node",
               film->sweep->full ? 12 : 2);
    film_close(film);
}

static void power_cut_while_the_journal_grows(void **state)
{
    struct sweep *sweep = *state;
    struct beam_node_options options = {
        .release = harness_fixture(sweep->harness, "many-300-1"),
        .name = "many",
    };
    struct film *film =
        film_open(sweep, beam_node_start(sweep->harness, &options));
    const char *const words[] = {
        "apply", harness_fixture(sweep->harness, "many-300-2"), NULL};
    film_configure(film, "");
    film_begin(film, "power cut in apply, the map grows");
    film_run(film, words, 0, NULL);
    assert_true(film_journal_bytes(film) > 1u << 20);
    film_sweep(film, &large);
    film_close(film);
}

static const char *const first[] = {"apply", "0.2.0", "--adopt", NULL};
static const char *const back[] = ROLLBACK;

/* Acts until a new journal has its name. */
static unsigned count_creation(struct sweep *sweep)
{
    struct film *film = film_open(sweep, sweep->node);
    film_begin(film, "power cut after a killed creation");
    film_run(film, first, 0, NULL);
    unsigned count = film_acts_to_rename(film);
    film_run(film, back, 0, NULL);
    film_close(film);
    return count;
}

static void kill_creation(struct sweep *sweep, unsigned at)
{
    const char *environment[] = {
        harness_text(sweep->harness, "NZD_RECORD_KILL_AT=%u", at), NULL};
    struct film *film = film_open(sweep, sweep->node);
    film_begin(film, "power cut after a killed creation");
    film_run(film, first, 128 + SIGKILL, environment);
    film_run(film, first, 0, NULL);
    film_sweep(film, &coarse);
    film_run(film, back, 0, NULL);
    film_close(film);
}

/* nzd is killed between two steps of making a journal, the last time when it
 * has its name. The next goes on with what no sync may have reached. */
static void power_cut_after_a_killed_creation(void **state)
{
    struct sweep *sweep = *state;
    unsigned count = count_creation(sweep);
    unsigned at = sweep->full ? 1 : 1 + sweep_choose(sweep, count - 1);
    for (; at < count; at += sweep->full ? 1 : count)
        kill_creation(sweep, at);
    kill_creation(sweep, count);
}

/* That the proof can fail. */
static void power_cut_without_syncs_is_found(void **state)
{
    const char *environment[] = {"NZD_RECORD_NOSYNC=1", NULL};
    struct film *film = film_open(*state, ((struct sweep *)*state)->node);
    film_begin(film, "power cut, NOSYNC, which must be found");
    film_run(film, first, 0, environment);
    film_run(film, back, 0, environment);
    unsigned found = film_sweep_broken(film, &thorough);
    printf("NOSYNC: found in %u of %u states\n", found,
           film->sweep->tally->runs);
    assert_true(found > 0);
    film_close(film);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(power_cut_in_commands, sweep_setup,
                                        sweep_teardown),
        cmocka_unit_test_setup_teardown(power_cut_while_the_journal_grows,
                                        sweep_setup, sweep_teardown),
        cmocka_unit_test_setup_teardown(power_cut_after_a_killed_creation,
                                        sweep_setup, sweep_teardown),
        cmocka_unit_test_setup_teardown(power_cut_without_syncs_is_found,
                                        sweep_setup, sweep_teardown),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
