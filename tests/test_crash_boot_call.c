/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each system call of nzd boot fails at its N-th time, for all N: the command
 * is started all the same, within the limit, with a whole overlay or as it was
 * given.
 */
#include "boot_proof.h"
#include "inject.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE   12u
#define LIMIT_MS 20000 /* strace slows it down */

static const struct fault faults[] = {
    {"pwrite64", "EIO", false, false, 1},
    {"pwrite64", "ENOSPC", true, false, 1},
    {"fdatasync", "EIO", false, false, 1},
    {"fallocate", "ENOSPC", true, false, 1},
    {"ftruncate", "EIO", true, false, 1},
    {"mkdir", "ENOSPC", false, false, 1},
    {"mkdir", "EROFS", true, false, 1},
    {"rename", "EIO", false, false, 1},
    {"renameat2", "EINVAL", true, false, 1},
    {"renameat2", "EIO", false, false, 1},
    {"symlinkat", "ENOSPC", false, false, 1},
    {"symlink", "ENOSPC", false, false, 1},
    {"unlink", "EIO", false, false, 1},
    {"flock", "EINTR", false, false, 1},
    {"flock", "ENOLCK", true, false, 1},
    {"fcntl", "ENOLCK", true, false, 1},
    {"write", "EIO", false, false, 1},
    {"write", "ENOSPC", true, false, 1},
    {"write", "EINTR", false, false, 1},
    {"write", "EAGAIN", false, false, 1},
    {"read", "EIO", false, false, 1},
    {"read", "EINTR", false, false, 3},
    {"pread64", "EIO", false, false, 1},
    {"openat", "EIO", false, false, 1},
    {"openat", "EMFILE", true, false, 2},
    {"openat", "ENOSPC", false, false, 2},
    {"getdents64", "EIO", false, false, 1},
    {"readlink", "EIO", false, false, 2},
    {"newfstatat", "EIO", false, false, 2},
    {"mmap", "ENOMEM", false, false, 1},
    {"mmap", "ENOMEM", true, false, 2},
    {"pipe2", "EMFILE", false, false, 1},
    {"clone", "EAGAIN", false, false, 1},
    {"clone", "EAGAIN", true, false, 1},
    {"clone", "ENOMEM", false, false, 1},
    {"wait4", "EINTR", false, false, 1},
    {"wait4", "ECHILD", true, false, 1},
    {"poll", "EINTR", false, false, 1},
    {"poll", "ENOMEM", true, false, 1},
    {"setpgid", "EPERM", false, false, 1},
    {"prctl", "EINVAL", false, false, 1},
    {"rt_sigaction", "EINVAL", false, false, 2},
    {"socket", "EMFILE", false, false, 1},
};
#define FAULTS (sizeof faults / sizeof faults[0])

/* --- how it begins ------------------------------------------------------- */

/* An apply over it was killed between armed and committed, and the VM too. */
static void begin_armed(struct boot_proof *proof)
{
    struct sweep *sweep = proof->sweep;
    boot_proof_begin_fresh(proof);
    sweep_bring_to(sweep, "0.2.0");
    unsigned at = boot_proof_midway(proof, &sweep_failing);
    struct harness_run killed = sweep_run(sweep, &sweep_failing, at, NULL);
    assert_status(killed, 128 + SIGKILL);
    boot_proof_keep(proof);
    boot_proof_learn(proof);
}

/* --- one fault ----------------------------------------------------------- */

/* How often the command was executed, and the last time with what. strace
 * cuts words to 32 bytes. */
static unsigned executed(struct boot_proof *proof, const char *log,
                         bool *overlay, bool *as_given)
{
    const char *program = harness_text(proof->sweep->harness, "execve(\"%s\", ",
                                       proof->stub->command[0]);
    const char *line = log;
    unsigned times = 0;
    for (; (line = strstr(line, program)); line++) {
        size_t size = strcspn(line, "\n");
        const char *one =
            harness_text(proof->sweep->harness, "%.*s", (int)size, line);
        if (strstr(one, " = -1 "))
            continue;
        times++;
        *overlay = strstr(one, "/nzd/overlay/") != NULL;
        *as_given = !*overlay && strstr(one, "\"..., \"-noinput\"");
    }
    return times;
}

static void judge(struct boot_proof *proof, const struct harness_run *run,
                  const char *after)
{
    const char *log = inject_log(proof->sweep->harness);
    bool overlay = false, as_given = false;
    unsigned times = executed(proof, log, &overlay, &as_given);
    const char *wrong = NULL;
    if (run->timed_out)
        wrong = "it took too long";
    else if (times != 1 || overlay == as_given)
        wrong = "the command was not started once, in one of two ways";
    else if (overlay && !boot_stub_is_whole(proof->stub, proof->root))
        wrong = "the overlay is not whole";
    if (wrong)
        harness_fail("after %s: %s\n%s%s\n%s", after, wrong, run->out, run->err,
                     log);
}

static bool is_in_state(struct harness *harness, pid_t pid, const char *name,
                        const char *value)
{
    char text[2048] = "";
    FILE *file = fopen(harness_text(harness, "/proc/%d/status", (int)pid), "r");
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    const char *at = strstr(text, name);
    return at && strncmp(at + strlen(name), value, strlen(value)) == 0;
}

static void wait_state(struct harness *harness, pid_t pid, const char *name,
                       const char *value, bool wanted)
{
    double until = process_now_ms() + LIMIT_MS;
    while (is_in_state(harness, pid, name, value) != wanted) {
        if (process_now_ms() > until)
            harness_fail("%d: %s%s", (int)pid, name, value);
        process_sleep_ms(1);
    }
}

/* nzd stands at its first point while strace attaches: the calls of the
 * loader, before main(), are nobody's to survive. */
static struct harness_job *begin_at_main(struct boot_proof *proof)
{
    struct harness *harness = proof->sweep->harness;
    static const char *const environment[] = {"NZD_POINT_AT=1",
                                              "NZD_POINT_DO=stop", NULL};
    struct harness_job *job = harness_begin(
        harness, boot_stub_argv(proof->stub, proof->sweep->nzd), environment);
    wait_state(harness, harness_job_pid(job), "State:\t", "T", true);
    return job;
}

static struct harness_run run_with(struct boot_proof *proof,
                                   const struct fault *fault, unsigned at)
{
    struct harness *harness = proof->sweep->harness;
    struct harness_job *job = begin_at_main(proof);
    pid_t pid = harness_job_pid(job);
    const char *log = harness_path(harness, "strace");
    harness_remove(harness, log);
    const char *const argv[] = {
        "strace",
        "-f",
        "-o",
        log,
        "-p",
        harness_text(harness, "%d", (int)pid),
        "-e",
        harness_text(harness, "trace=%s,execve", fault->call),
        "-e",
        harness_text(harness, "inject=%s:error=%s:when=%u%s", fault->call,
                     fault->error, at, fault->lasting ? "+" : ""),
        NULL};
    struct harness_job *tracer = harness_begin(harness, argv, NULL);
    wait_state(harness, pid, "TracerPid:\t", "0\n", false);
    kill(pid, SIGCONT);
    struct harness_run run = harness_end(harness, job, LIMIT_MS);
    harness_end(harness, tracer, LIMIT_MS);
    return run;
}

/* False where nzd came to its end without the N-th call. */
static bool fails_at(struct boot_proof *proof, const struct fault *fault,
                     unsigned at)
{
    struct sweep *sweep = proof->sweep;
    boot_proof_begin_again(proof);
    struct harness_run run = run_with(proof, fault, at);
    if (!strstr(inject_log(sweep->harness), "(INJECTED)"))
        return false;
    sweep->tally->points++;
    sweep->tally->runs++;
    judge(proof, &run,
          harness_text(sweep->harness, "%s %s at %u%s", fault->call,
                       fault->error, at, fault->lasting ? " and on" : ""));
    return true;
}

/* The next boot is as if nothing had been. */
static void boots_next(struct boot_proof *proof, bool generation)
{
    struct boot_stub_run run =
        boot_stub_start(proof->stub, boot_proof_argv(proof), NULL, LIMIT_MS);
    boot_stub_check(proof->stub, &run, LIMIT_MS, "a call that failed");
    if (generation && !run.overlay)
        harness_fail("the generation does not boot:\n%s", run.run.err);
}

/* --- all of them --------------------------------------------------------- */

static void fail_everywhere(struct boot_proof *proof)
{
    for (size_t i = 0; i < FAULTS; i++) {
        unsigned at = 1;
        while (fails_at(proof, &faults[i], at)) {
            boots_next(proof, true);
            at += faults[i].stride;
        }
        printf("%s %s%s: %u calls\n", faults[i].call, faults[i].error,
               faults[i].lasting ? " and on" : "", at - 1);
    }
}

static void fail_somewhere(struct boot_proof *proof)
{
    struct sweep *sweep = proof->sweep;
    for (unsigned hits = 0, tries = 0; hits < SAMPLE; tries++) {
        unsigned i = sweep_choose(sweep, (unsigned)FAULTS);
        if (tries == SAMPLE * 20)
            harness_fail("of %u calls only %u came to pass", tries, hits);
        if (!fails_at(proof, &faults[i], 1 + sweep_choose(sweep, 12)))
            continue;
        boots_next(proof, true);
        hits++;
    }
}

static void calls_fail(struct boot_proof *proof, const char *row)
{
    if (!inject_is_possible(proof->sweep->harness)) {
        print_message("skipped: strace may not trace processes here\n");
        skip();
    }
    sweep_begin(proof->sweep, row);
    if (proof->sweep->full)
        fail_everywhere(proof);
    else
        fail_somewhere(proof);
    sweep_end(proof->sweep);
}

static void in_boot_of_a_generation(void **state)
{
    calls_fail(*state, "system call fails in nzd boot");
}

static void in_boot_that_settles(void **state)
{
    begin_armed(*state);
    calls_fail(*state, "system call fails while boot settles");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_boot_of_a_generation),
        cmocka_unit_test(in_boot_that_settles),
    };
    return tally_report(
        cmocka_run_group_tests(tests, boot_proof_setup, boot_proof_teardown));
}
