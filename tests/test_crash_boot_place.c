/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd boot in places that have no room, no processes, no files, nobody who
 * reads what it says, or somebody who holds the journal: the command is
 * started all the same, and gets what it would have had without nzd.
 */
#include "boot_proof.h"
#include "hold.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 14000

enum outcome { BASE, GENERATION, EITHER };

/* Shell scripts around nzd boot: "$@" is the command; $J the journal, $C the
 * configuration, $K a folder that lives on. */
struct place {
    const char *name;
    const char *script;
    enum outcome outcome;
    bool mounts; /* in a mount namespace of its own */
    bool fewer;  /* so many as a number that a script takes, $N, says: any */
};

#define COPY  "s=$?; cp -a /run/nzd $K; exit $s"
#define SMALL "mount -t tmpfs -o size=$((N * 4))k tmpfs /run/nzd; \"$@\"; " COPY
/* The journal on a disk of its own; what is left of it is filled. */
#define DISK                                                                   \
    "mkdir $K/j; cp -a $J/. $K/j; mount -t tmpfs -o size=8m tmpfs $J; "        \
    "cp -a $K/j/. $J; "

static const struct place places[] = {
    {"no room in RAM", SMALL, EITHER, true, true},
    {"RAM that cannot be written",
     "mount -t tmpfs -o ro tmpfs /run/nzd; \"$@\"", BASE, true, false},
    {"a full disk", DISK "cat /dev/zero >$J/z 2>&-; exec \"$@\"", GENERATION,
     true, false},
    {"a disk that cannot be written",
     DISK "mount -o remount,ro $J; exec \"$@\"", BASE, true, false},
#ifndef __SANITIZE_ADDRESS__
    {"little memory", "ulimit -v $((N * 2000)); exec \"$@\"", EITHER, false,
     true},
    {"no /proc", "mount -t tmpfs tmpfs /proc; exec \"$@\"", GENERATION, true,
     false},
#endif
    {"no file may grow", "trap '' XFSZ; ulimit -f $N; exec \"$@\"", EITHER,
     false, true},
    {"no standard streams but one", "exec \"$@\" <&- 2>&-", GENERATION, false,
     false},
    {"nobody who reads stderr",
     "echo rubbish >>$C; exec 3>&1; { sleep 0.1; exec \"$@\" 2>&1 >&3; } | :; "
     "wait",
     BASE, false, false},
    {"nobody who reads stderr in time",
     "echo rubbish >>$C; mkfifo $K/f; exec 4<>$K/f; "
     "timeout 0.2 cat /dev/zero >&4; exec \"$@\" 2>&4",
     BASE, false, false},
    {"children that nobody waits for", "trap '' CHLD; exec \"$@\"", GENERATION,
     false, false},
    {"signals that are ignored", "trap '' INT TERM HUP PIPE; exec \"$@\"",
     GENERATION, false, false},
    {"pid 1", "exec unshare --fork --pid --mount-proc \"$@\"", GENERATION, true,
     false},
    {"no environment", "exec env -i PATH=\"$PATH\" \"$@\"", GENERATION, false,
     false},
    {"a folder that is gone", "cd $(mktemp -d); rmdir $PWD; exec \"$@\"",
     GENERATION, false, false},
};

/* --- one place ----------------------------------------------------------- */

static const char *const *around(struct boot_proof *proof,
                                 const struct place *place, unsigned number)
{
    struct harness *harness = proof->sweep->harness;
    const char *const own[] = {"unshare", "-m", NULL};
    static const char *const none[] = {NULL};
    const char *const shell[] = {
        "sh", "-c",
        harness_text(harness, "J=%s; C=%s; K=%s; N=%u\n%s",
                     proof->stub->journal, proof->stub->config,
                     harness_path(harness, "keep"), number, place->script),
        "sh", NULL};
    return harness_concat(
        harness, place->mounts ? own : none,
        harness_concat(harness, shell, boot_proof_argv(proof)));
}

static void begin(struct boot_proof *proof)
{
    struct harness *harness = proof->sweep->harness;
    const char *keep = harness_path(harness, "keep");
    const char *const make[] = {"mkdir", keep, NULL};
    harness_remove(harness, keep);
    struct harness_run run = harness_run(harness, make, NULL);
    assert_status(run, 0);
    harness_write_file(proof->stub->config,
                       "boot {\n tries = 100\n healthy = 0\n}\n");
    boot_proof_begin_again(proof);
}

/* What lay in a file system that is gone was copied. */
static void find_copy(struct boot_proof *proof, struct boot_stub_run *run)
{
    struct harness *harness = proof->sweep->harness;
    const char *below = "/run/nzd/";
    if (!run->overlay || strncmp(run->root, below, strlen(below)) != 0)
        return;
    const char *copy =
        harness_text(harness, "%s/nzd/%s", harness_path(harness, "keep"),
                     run->root + strlen(below));
    if (access(copy, F_OK) == 0)
        run->root = copy;
}

static bool boots_at(struct boot_proof *proof, const struct place *place,
                     unsigned number)
{
    struct harness *harness = proof->sweep->harness;
    const char *name = harness_text(harness, "%s (%u)", place->name, number);
    begin(proof);
    struct boot_stub_run run = boot_stub_start(
        proof->stub, around(proof, place, number), NULL, LIMIT_MS);
    find_copy(proof, &run);
    proof->sweep->tally->points++;
    proof->sweep->tally->runs++;
    /* So little that no program starts, nzd or not. */
    if (place->fewer && !run.times && run.run.status == 127)
        return false;
    boot_stub_check(proof->stub, &run, LIMIT_MS, name);
    if (place->outcome != EITHER &&
        run.overlay != (place->outcome == GENERATION))
        harness_fail("%s: the wrong one boots\n%s%s", name, run.run.out,
                     run.run.err);
    return run.overlay;
}

static void strange_places(void **state)
{
    struct boot_proof *proof = *state;
    struct sweep *sweep = proof->sweep;
    sweep_begin(sweep, "nzd boot in strange places");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const struct place *place = &places[i];
        if (!place->fewer) {
            boots_at(proof, place, 0);
            continue;
        }
        bool least = false, most = false;
        for (unsigned n = 1; n <= 64; n += sweep->full ? 1 : 9)
            most = boots_at(proof, place, n), least = least || !most;
        if (!most || !least)
            harness_fail("%s: it is all the same", place->name);
    }
    sweep_end(sweep);
}

/* --- what the command gets ----------------------------------------------- */

/* Of the process: signals, descriptors, environment. */
static const char *traits(struct boot_proof *proof, const char *const *argv)
{
    static const char *const environment[] = {"STUB_TELLS=1", NULL};
    struct harness_run run =
        harness_run(proof->sweep->harness, argv, environment);
    assert_status(run, 0);
    const char *at = strstr(run.out, "traits\n");
    assert_non_null(at);
    return at;
}

static void nothing_leaks(void **state)
{
    static const char *const confs[] = {
        "boot {\n tries = 100\n healthy = 0\n}\n",
        "boot {\n tries = 100\n healthy = 1s\n}\n", "rubbish {"};
    struct boot_proof *proof = *state;
    sweep_begin(proof->sweep, "what nzd boot leaves the command");
    const char *alone = traits(proof, proof->stub->command);
    assert_contains(alone, "SigIgn");
    for (size_t i = 0; i < sizeof confs / sizeof confs[0]; i++) {
        begin(proof);
        harness_write_file(proof->stub->config, confs[i]);
        assert_string_equal(traits(proof, boot_proof_argv(proof)), alone);
        proof->sweep->tally->points++;
        proof->sweep->tally->runs++;
    }
    begin(proof);
    sweep_end(proof->sweep);
}

/* --- who holds the journal ----------------------------------------------- */

static bool is_gone(struct sweep *sweep, struct harness_job *job)
{
    (void)sweep;
    double until = process_now_ms() + 2000;
    while (process_alive(harness_job_pid(job)) && process_now_ms() < until)
        process_sleep_ms(5);
    return !process_alive(harness_job_pid(job));
}

/* An apply stands still while it undoes, and its VM is gone: it is ended. */
static void a_holder_that_stands_still(void **state)
{
    struct boot_proof *proof = *state;
    struct sweep *sweep = proof->sweep;
    sweep_begin(sweep, "nzd boot, its journal held");
    boot_proof_begin_fresh(proof);
    sweep_bring_to(sweep, "0.2.0");
    unsigned at = boot_proof_midway(proof, &sweep_failing);
    struct harness_job *job = hold_at(sweep, &sweep_failing, at);
    unsigned id = claim_last(sweep);
    assert_string_equal(claim_state(sweep, id), "undoing");
    /* The VM still runs: nobody is ended, and the old code is in force. */
    struct boot_stub_run run =
        boot_stub_start(proof->stub, boot_proof_argv(proof), NULL, LIMIT_MS);
    assert_true(run.overlay);
    assert_string_equal(run.generation, "1");
    assert_true(process_alive(harness_job_pid(job)));
    beam_node_kill(sweep->node);
    run = boot_stub_start(proof->stub, boot_proof_argv(proof), NULL, LIMIT_MS);
    assert_contains(run.run.err, "held the journal and was ended");
    assert_true(run.overlay);
    assert_string_equal(run.generation, "1");
    assert_true(is_gone(sweep, job));
    harness_end(sweep->harness, job, 2000);
    assert_string_equal(claim_state(sweep, id), "rolled_back");
    sweep->tally->points += 2;
    sweep->tally->runs += 2;
    sweep_end(sweep);
}

/* Its child waits for the lock; killed, it is not outlived. */
static void the_child_ends_with_us(struct boot_proof *proof)
{
    struct harness *harness = proof->sweep->harness;
    const char *const *argv = boot_proof_argv(proof);
    const char *mark =
        harness_text(harness, "NZD_TEST_DIR=%s", harness_dir(harness));
    struct harness_job *job = harness_begin(harness, argv, NULL);
    process_sleep_ms(500);
    assert_int_equal(process_count_marked(mark, argv[0]), 2);
    kill(harness_job_pid(job), SIGKILL);
    process_sleep_ms(500);
    assert_int_equal(process_count_marked(mark, argv[0]), 0);
    harness_end(harness, job, LIMIT_MS);
}

/* Another program than nzd holds it: it is waited for, and left alone. */
static void a_holder_that_is_no_nzd(void **state)
{
    struct boot_proof *proof = *state;
    struct sweep *sweep = proof->sweep;
    struct harness *harness = sweep->harness;
    sweep_begin(sweep, "nzd boot, its journal held by others");
    boot_proof_begin_fresh(proof);
    sweep_bring_to(sweep, "0.2.0");
    unsigned at = boot_proof_midway(proof, &sweep_failing);
    struct harness_run killed = sweep_run(sweep, &sweep_failing, at, NULL);
    assert_status(killed, 128 + SIGKILL);
    unsigned id = claim_last(sweep);
    beam_node_kill(sweep->node);
    const char *lock = harness_text(harness, "%s/lock", proof->stub->journal);
    const char *const argv[] = {"flock", lock, "sleep", "60", NULL};
    struct harness_job *job = harness_begin(harness, argv, NULL);
    process_sleep_ms(200);
    struct boot_stub_run run =
        boot_stub_start(proof->stub, boot_proof_argv(proof), NULL, LIMIT_MS);
    assert_true(run.overlay);
    assert_string_equal(run.generation, "1");
    assert_contains(run.run.err, "not settled");
    assert_true(process_alive(harness_job_pid(job)));
    assert_string_equal(claim_state(sweep, id), "undoing");
    the_child_ends_with_us(proof);
    process_kill(harness_job_pid(job));
    sweep->tally->points++;
    sweep->tally->runs++;
    sweep_end(sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strange_places),
        cmocka_unit_test(nothing_leaks),
        cmocka_unit_test(a_holder_that_stands_still),
        cmocka_unit_test(a_holder_that_is_no_nzd),
    };
    return tally_report(
        cmocka_run_group_tests(tests, boot_proof_setup, boot_proof_teardown));
}
