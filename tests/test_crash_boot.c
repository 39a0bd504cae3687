/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd boot, nzd health and the keeper are killed at each of their points; the
 * next nzd boot starts the VM, which runs exactly what the journal says.
 */
#include "boot_stub.h"
#include "sweep.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Of a sample, for each process of each subject. */
#define SAMPLE 1u
/* What a boot may take: the child's limit, and a little. */
#define LIMIT_MS 14000
/* An apply and a rollback follow each so many-th kill. */
#define WHOLE_EACH 4u

struct proof {
    struct sweep *sweep;
    struct boot_stub *stub;
    const char *kept;       /* the journal as the subject begins */
    const char *generation; /* the same with 0.2.0 in force */
};

/* --- the scene ----------------------------------------------------------- */

static const char *version_path(struct sweep *sweep)
{
    return harness_fixture(sweep->harness, "counter-0.1.0");
}

/* The node is started by nzd boot from now on. */
static int setup(void **state)
{
    static const struct beam_node_options options = {0};
    struct proof *proof;
    struct sweep *sweep = sweep_open(&options);
    struct harness *harness = sweep->harness;
    const char *const *nzd = harness_argv(harness, NULL, NULL);
    proof = harness_alloc(harness, sizeof *proof);
    proof->sweep = sweep;
    proof->stub = boot_stub_make(harness, version_path(sweep));
    proof->kept = harness_path(harness, "kept");
    proof->generation = harness_path(harness, "generation");
    const char *const prefix[] = {nzd[0],      "boot",
                                  "--journal", proof->stub->journal,
                                  "--config",  proof->stub->config,
                                  "--",        NULL};
    static const char *const none[] = {NULL};
    const struct beam_node_options booted = {
        .release = version_path(sweep),
        .name = "counter",
        .prefix = harness_concat(harness, prefix, none)};
    beam_node_kill(sweep->node);
    sweep->node = beam_node_start(harness, &booted);
    *state = proof;
    return 0;
}

static int teardown(void **state)
{
    struct proof *proof = *state;
    if (proof)
        harness_close(proof->sweep->harness);
    return 0;
}

static void keep(struct proof *proof, const char *place)
{
    struct harness *harness = proof->sweep->harness;
    harness_remove(harness, place);
    harness_copy(harness, proof->stub->journal, place);
}

static void begin_from(struct proof *proof, const char *place)
{
    struct sweep *sweep = proof->sweep;
    if (beam_node_alive(sweep->node))
        beam_node_kill(sweep->node);
    harness_remove(sweep->harness, proof->stub->journal);
    harness_copy(sweep->harness, place, proof->stub->journal);
}

/* As the subject begins: no VM runs. */
static void begin_again(struct proof *proof)
{
    begin_from(proof, proof->kept);
}

static void start_vm(struct proof *proof)
{
    if (beam_node_alive(proof->sweep->node))
        beam_node_kill(proof->sweep->node);
    beam_node_start_again(proof->sweep->node);
}

static void health(struct proof *proof, const char *word)
{
    struct harness_run run =
        harness_nzd(proof->sweep->harness, proof->sweep->node, "health", word,
                    "--config", proof->stub->config, NULL);
    assert_status(run, 0);
}

/* Generation 1 is 0.2.0; made once. */
static void have_generation(struct proof *proof)
{
    struct harness *harness = proof->sweep->harness;
    if (proof->stub->whole) {
        begin_from(proof, proof->generation);
        return;
    }
    harness_remove(harness, proof->stub->journal);
    start_vm(proof);
    sweep_bring_to(proof->sweep, "0.2.0");
    beam_node_kill(proof->sweep->node);
    keep(proof, proof->generation);
    struct boot_stub_run run = boot_stub_start(
        proof->stub,
        boot_stub_argv(proof->stub, harness_argv(harness, NULL, NULL)[0]), NULL,
        LIMIT_MS);
    boot_stub_learn(proof->stub, &run,
                    harness_fixture(harness, "counter-0.2.0"));
    begin_from(proof, proof->generation);
}

/* --- subjects ------------------------------------------------------------ */

static void begin_generation(struct proof *proof)
{
    have_generation(proof);
    start_vm(proof);
    keep(proof, proof->kept);
}

static void begin_first(struct proof *proof)
{
    have_generation(proof);
    unlink(
        harness_text(proof->sweep->harness, "%s/boot", proof->stub->journal));
    keep(proof, proof->kept);
}

/* An apply was killed once the node had been told to switch; so was the VM. */
static void begin_armed(struct proof *proof)
{
    struct sweep *sweep = proof->sweep;
    unsigned commits = 0, at = 0;
    harness_remove(sweep->harness, proof->stub->journal);
    start_vm(proof);
    unsigned count = sweep_count(sweep, &sweep_apply);
    for (at = count; at && commits < 2; at--)
        commits += strcmp(sweep_point(sweep, at),
                          "after a commit of the journal") == 0;
    sweep_bring_to(sweep, "0.1.0");
    struct harness_run killed = sweep_run(sweep, &sweep_apply, at + 3, NULL);
    assert_status(killed, 128 + SIGKILL);
    beam_node_kill(sweep->node);
    keep(proof, proof->kept);
}

/* An apply was killed once it had had the VM restarted; the VM has not come
 * up yet. */
static void begin_restarting(struct proof *proof)
{
    struct sweep *sweep = proof->sweep;
    struct harness *harness = sweep->harness;
    const char *began = harness_path(harness, "began");
    const char *conf = harness_path(harness, "restart.conf");
    harness_remove(harness, proof->stub->journal);
    harness_remove(harness, began);
    harness_write_file(
        conf, harness_text(harness,
                           "restart {\n command = {\"sh\", \"-c\", \"echo > "
                           "%s; sleep 60\"}\n}\n",
                           began));
    start_vm(proof);
    struct harness_job *job = harness_begin(
        harness,
        harness_argv(harness, sweep->node, "apply", "--min", "restart-vm",
                     "--max", "restart-vm", "--config", conf,
                     harness_fixture(harness, "counter-0.2.0"), NULL),
        NULL);
    double until = process_now_ms() + LIMIT_MS;
    while (access(began, F_OK) != 0 && process_now_ms() < until)
        process_sleep_ms(10);
    kill(harness_job_pid(job), SIGKILL);
    harness_end(harness, job, LIMIT_MS);
    beam_node_kill(sweep->node);
    keep(proof, proof->kept);
    /* Another journal: other paths in the overlay. */
    struct boot_stub_run run = boot_stub_start(
        proof->stub,
        boot_stub_argv(proof->stub, harness_argv(harness, NULL, NULL)[0]), NULL,
        LIMIT_MS);
    boot_stub_learn(proof->stub, &run,
                    harness_fixture(harness, "counter-0.2.0"));
}

static void begin_bad(struct proof *proof)
{
    have_generation(proof);
    start_vm(proof);
    health(proof, "bad");
    keep(proof, proof->kept);
}

struct subject {
    const char *row;
    void (*begin)(struct proof *proof);
    const char *after; /* the version that boots then; NULL: either, as the
                          next nzd says */
};

static const struct subject subjects[] = {
    {"nzd boot killed, a generation", begin_generation, "0.2.0"},
    {"nzd boot killed, the first of it", begin_first, "0.2.0"},
    {"nzd boot killed while it settles", begin_armed, "0.1.0"},
    {"nzd boot killed while it falls back", begin_bad, "0.1.0"},
    {"nzd boot killed, a restart's target", begin_restarting, NULL},
};

/* --- one kill ------------------------------------------------------------ */

static struct boot_stub_run boot(struct proof *proof, const char *role,
                                 unsigned at, const char *log)
{
    struct harness *harness = proof->sweep->harness;
    const char *const environment[] = {
        harness_text(harness, "NZD_POINT_ROLE=%s", role),
        harness_text(harness, "NZD_POINT_AT=%u", at),
        log ? harness_text(harness, "NZD_POINT_LOG=%s", log) : NULL, NULL};
    return boot_stub_start(proof->stub,
                           boot_stub_argv(proof->stub, proof->sweep->nzd),
                           environment, LIMIT_MS);
}

static unsigned count_points(struct proof *proof, const char *role)
{
    struct harness *harness = proof->sweep->harness;
    const char *log = harness_path(harness, "boot.points");
    unsigned count = 0;
    begin_again(proof);
    harness_remove(harness, log);
    struct boot_stub_run run = boot(proof, role, 0, log);
    boot_stub_check(proof->stub, &run, LIMIT_MS, "an uninterrupted boot");
    for (const char *text = harness_read_file(harness, log); *text; text++)
        count += *text == '\n';
    if (!count)
        harness_fail("the %s of nzd boot passes no point", role);
    return count;
}

/* The VM runs what the journal says, and that is what it must say. */
static void verify(struct proof *proof, const char *version, const char *after)
{
    struct sweep *sweep = proof->sweep;
    start_vm(proof);
    if (!version) {
        struct harness_run run = sweep_run(sweep, &sweep_recover, 0, NULL);
        assert_status(run, 0);
        version = sweep_in_force(sweep);
    }
    if (!sweep_runs_exactly(sweep, version))
        harness_fail("after %s, the VM does not run %s\n%s", after, version,
                     beam_node_log(sweep->node));
    if (strcmp(sweep_in_force(sweep), version) != 0)
        harness_fail("after %s, %s is in force", after, sweep_in_force(sweep));
    if (sweep->tally->runs % WHOLE_EACH)
        sweep_check(sweep, "%s", after);
    else
        sweep_verify(sweep, "%s", after);
}

/* Killed alone, the child does not keep the VM from starting. */
static void kill_at(struct proof *proof, const struct subject *subject,
                    const char *role, unsigned at)
{
    struct sweep *sweep = proof->sweep;
    const char *after = harness_text(sweep->harness, "point %u of the %s", at,
                                     role[0] ? role : "parent");
    begin_again(proof);
    struct boot_stub_run run = boot(proof, role, at, NULL);
    if (role[0]) {
        boot_stub_check(proof->stub, &run, LIMIT_MS, after);
        if (!run.as_given || !strstr(run.run.err, "the base boots: "))
            harness_fail("after %s, the base does not boot\n%s%s", after,
                         run.run.out, run.run.err);
    } else {
        assert_status(run.run, 128 + SIGKILL);
        assert_int_equal(run.times, 0);
    }
    sweep->tally->points++;
    verify(proof, subject->after, after);
}

static void kill_process(struct proof *proof, const struct subject *subject,
                         const char *role)
{
    struct sweep *sweep = proof->sweep;
    unsigned count = count_points(proof, role);
    for (unsigned i = 0; i < (sweep->full || count < SAMPLE ? count : SAMPLE);
         i++)
        kill_at(proof, subject, role,
                sweep->full ? i + 1 : 1 + sweep_choose(sweep, count));
}

static void boot_is_killed(struct proof *proof, const struct subject *subject)
{
    sweep_begin(proof->sweep, subject->row);
    subject->begin(proof);
    kill_process(proof, subject, "child");
    kill_process(proof, subject, "");
    sweep_end(proof->sweep);
}

static void boot_of_a_generation(void **state)
{
    boot_is_killed(*state, &subjects[0]);
}

static void first_boot(void **state)
{
    boot_is_killed(*state, &subjects[1]);
}

static void boot_that_settles(void **state)
{
    boot_is_killed(*state, &subjects[2]);
}

static void boot_that_falls_back(void **state)
{
    boot_is_killed(*state, &subjects[3]);
}

static void boot_of_a_target(void **state)
{
    struct proof *proof = *state;
    const char *whole = proof->stub->whole;
    boot_is_killed(proof, &subjects[4]);
    proof->stub->whole = whole;
}

/* --- nzd health ---------------------------------------------------------- */

/* Old or new: either the word was heard, or it was not. */
static void kill_health(struct proof *proof, const char *const *words,
                        unsigned at)
{
    struct sweep *sweep = proof->sweep;
    const struct operation operation = {
        "health", NULL, {"health", words[0], words[1]}, NULL, 0};
    bool bad = strcmp(words[0], "bad") == 0;
    begin_again(proof);
    start_vm(proof);
    struct harness_run run = sweep_run(sweep, &operation, at, NULL);
    assert_status(run, 128 + SIGKILL);
    start_vm(proof);
    const char *version = sweep_in_force(sweep);
    if (!sweep_runs_exactly(sweep, version))
        harness_fail("after health %s killed at %u, %s does not run", words[0],
                     at, version);
    if (!bad && !words[1] && strcmp(version, "0.2.0") != 0)
        harness_fail("after health ok killed at %u, %s boots", at, version);
    sweep_check(sweep, "health %s killed at point %u", words[0], at);
}

static void kill_healths(struct proof *proof, const char *const *words)
{
    struct sweep *sweep = proof->sweep;
    const struct operation operation = {
        "health", NULL, {"health", words[0], words[1]}, NULL, 0};
    unsigned count, next = 0, at;
    begin_again(proof);
    start_vm(proof);
    count = sweep_count_here(sweep, &operation);
    while ((at = sweep_next(sweep, count, 1, &next)))
        kill_health(proof, words, at);
}

static void health_is_killed(void **state)
{
    static const char *const ok[] = {"ok", NULL}, *const bad[] = {"bad", NULL};
    static const char *const lift[] = {"lift", "1"};
    struct proof *proof = *state;
    sweep_begin(proof->sweep, "nzd health killed");
    begin_generation(proof);
    kill_healths(proof, ok);
    kill_healths(proof, bad);
    begin_bad(proof);
    start_vm(proof);
    keep(proof, proof->kept);
    kill_healths(proof, lift);
    sweep_end(proof->sweep);
}

/* --- the keeper ---------------------------------------------------------- */

/* The count before and after it, and its end. */
#define KEEPER_POINTS 3u

/* What it was to say is not said, or said. */
static void keeper_is_killed(void **state)
{
    struct proof *proof = *state;
    struct sweep *sweep = proof->sweep;
    struct harness *harness = sweep->harness;
    sweep_begin(sweep, "the keeper killed");
    begin_generation(proof);
    for (unsigned at = 1; at <= KEEPER_POINTS; at++) {
        begin_again(proof);
        harness_write_file(proof->stub->config,
                           "boot {\n tries = 100\n healthy = 50ms\n}\n");
        const char *const environment[] = {
            "NZD_POINT_ROLE=keeper", "STUB_STAYS=0.3",
            harness_text(harness, "NZD_POINT_AT=%u", at), NULL};
        struct boot_stub_run run = boot_stub_start(
            proof->stub, boot_stub_argv(proof->stub, sweep->nzd), environment,
            LIMIT_MS);
        boot_stub_check(proof->stub, &run, LIMIT_MS, "a keeper killed");
        harness_write_file(proof->stub->config,
                           "boot {\n tries = 100\n healthy = 0\n}\n");
        sweep->tally->points++;
        verify(proof, "0.2.0",
               harness_text(harness, "a keeper killed at %u", at));
    }
    sweep_end(sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boot_of_a_generation),
        cmocka_unit_test(first_boot),
        cmocka_unit_test(boot_that_settles),
        cmocka_unit_test(boot_that_falls_back),
        cmocka_unit_test(boot_of_a_target),
        cmocka_unit_test(health_is_killed),
        cmocka_unit_test(keeper_is_killed),
    };
    return tally_report(cmocka_run_group_tests(tests, setup, teardown));
}
