/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each system call that matters fails at its N-th time, for all N until nzd
 * comes to its end without the N-th: input and output errors, a full disk, a
 * lost link, no memory, calls that a signal interrupts; once, and for good.
 * After each the exit status must have told the truth, before anything else
 * settles what was left.
 */
#include "answer.h"
#include "inject.h"
#include "sweep.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Of a sample, for each operation. */
#define SAMPLE 3u
/* nzd goes on asking a node that does not answer for 10 s, at most twice. */
#define LIMIT_MS 40000
/* In full, the next apply and rollback are tried after each so many-th run
 * that left the node alone. */
#define WHOLE_EACH 16u

/*
 * The journal's files first: each call on them is taken. A stride above 1 is
 * for calls of which nearly all only read what can be read again: the loader,
 * /proc, the locale, the bundle, pieces of one answer of the node. brk is not
 * among them: it returns no error but the old end.
 */
static const struct fault faults[] = {
    {"pwrite64", "EIO", false, false, 1},
    {"pwrite64", "ENOSPC", false, false, 1},
    {"pwrite64", "EINTR", false, false, 1},
    {"pwrite64", "EIO", true, false, 1},
    {"pwrite64", "ENOSPC", true, false, 1},
    {"writev", "EIO", false, false, 1},
    {"writev", "ENOSPC", true, false, 1},
    {"fdatasync", "EIO", false, false, 1},
    {"fdatasync", "EIO", true, false, 1},
    {"fdatasync", "ENOSPC", true, false, 1},
    {"fsync", "EIO", false, false, 1},
    {"fallocate", "EIO", false, false, 1},
    {"fallocate", "ENOSPC", true, false, 1},
    {"fallocate", "EINTR", false, false, 1},
    {"fallocate", "EOPNOTSUPP", true, false, 1},
    {"ftruncate", "EIO", true, false, 1},
    {"mkdir", "ENOSPC", false, false, 1},
    {"rename", "EIO", false, false, 1},
    {"rename", "ENOSPC", false, false, 1},
    {"unlink", "EIO", false, false, 1},
    {"flock", "EINTR", false, false, 1},
    {"flock", "ENOLCK", false, false, 1},
    {"fcntl", "ENOLCK", false, false, 1},
    {"openat", "EIO", false, true, 1},
    {"openat", "EIO", true, true, 1},
    {"openat", "EMFILE", true, true, 1},
    {"pread64", "EIO", false, true, 1},
    {"pread64", "EIO", true, true, 1},
    {"newfstatat", "EIO", false, true, 1},
    {"mmap", "ENOMEM", false, true, 1},
    {"getdents64", "EIO", false, false, 1},
    {"fstatfs", "EIO", true, false, 1},
    {"lseek", "EIO", false, false, 3},
    {"write", "EIO", false, false, 1},
    {"write", "EINTR", false, false, 3},
    {"write", "ENOSPC", true, false, 1},
    {"socket", "EMFILE", false, false, 1},
    {"connect", "ECONNREFUSED", false, false, 1},
    {"connect", "EINTR", false, false, 1},
    {"sendto", "ECONNRESET", false, false, 1},
    {"sendmsg", "ECONNRESET", false, false, 1},
    {"sendmsg", "EPIPE", true, false, 3},
    {"sendmsg", "EINTR", false, false, 3},
    {"recvfrom", "ECONNRESET", false, false, 4},
    {"recvfrom", "EINTR", false, false, 7},
    {"ppoll", "EINTR", false, false, 4},
    {"ppoll", "ENOMEM", false, false, 4},
    {"clone", "EAGAIN", false, false, 1},
    {"pipe2", "EMFILE", false, false, 1},
    {"wait4", "EINTR", false, false, 1},
    {"memfd_create", "EMFILE", false, false, 1},
    {"mmap", "ENOMEM", false, false, 3},
    {"openat", "EIO", false, false, 11},
    {"openat", "EMFILE", true, false, 17},
    {"read", "EIO", false, false, 13},
    {"read", "EINTR", false, false, 23},
    {"newfstatat", "EIO", false, false, 5},
};
#define FAULTS (sizeof faults / sizeof faults[0])

/* An operation, and how the scene for it is set. */
struct subject {
    const char *row;
    const struct operation *operation;
    void (*prepare)(struct sweep *sweep, const struct operation *operation);
    const char *after; /* the version that a success has in force */
};

/* --- how it begins ------------------------------------------------------- */

static void bring(struct sweep *sweep, const struct operation *operation)
{
    sweep_bring_to(sweep, operation->before);
}

/* A node that never met nzd, and no journal. */
static void bring_fresh(struct sweep *sweep, const struct operation *operation)
{
    sweep_bring_to(sweep, operation->before);
    beam_node_eval(sweep->node,
                   "begin catch exit(whereis(nzd), kill), "
                   "[persistent_term:erase(K) || {{nzd, _} = K, _} <- "
                   "persistent_term:get()], "
                   "[begin code:delete(M), code:purge(M) end || {M, _} <- "
                   "code:all_loaded(), "
                   "lists:prefix(\"nzd_agent_\", atom_to_list(M))], ok end");
    harness_remove(sweep->harness, harness_journal(sweep->harness));
}

/* An apply that was killed once the node had been told to switch. */
static void bring_armed(struct sweep *sweep, const struct operation *operation)
{
    static unsigned at;
    (void)operation;
    if (!at) {
        unsigned count = sweep_count(sweep, &sweep_apply), commits = 0;
        for (at = count; at && commits < 2; at--)
            commits += strcmp(sweep_point(sweep, at),
                              "after a commit of the journal") == 0;
        at += 3;
    }
    sweep_bring_to(sweep, "0.1.0");
    struct harness_run killed = sweep_run(sweep, &sweep_apply, at, NULL);
    assert_status(killed, 128 + SIGKILL);
}

/* A keeper would stay as long as the trial, and strace with it: whoever attends
 * it is ended as soon as it is there. Ends with us. */
static pid_t end_keepers(struct sweep *sweep)
{
    const char *journal = harness_journal(sweep->harness);
    pid_t us = getpid(), child = fork();
    while (child == 0 && getppid() == us) {
        pid_t keeper = process_with_words("--attend", journal);
        if (keeper)
            kill(keeper, SIGKILL);
        process_sleep_ms(20);
    }
    if (child == 0)
        _exit(0);
    return child;
}

static const struct operation recover = {
    "recover", "0.1.0", {"recover", "--wait", "20s"}, NULL, 0};

static const struct subject subjects[] = {
    {"system call fails in apply", &sweep_apply, bring, "0.2.0"},
    {"system call fails in rollback", &sweep_rollback, bring, "0.1.0"},
    {"system call fails in failing apply", &sweep_failing, bring, NULL},
    {"system call fails in recover", &recover, bring_armed, "0.1.0"},
    {"system call fails in the first apply", &sweep_apply, bring_fresh,
     "0.2.0"},
    {"system call fails in apply on trial", &sweep_trial, bring, "0.2.0"},
    {"system call fails in confirm", &sweep_confirm, sweep_prepare, "0.2.0"},
};

/* --- what was said ------------------------------------------------------- */

#define MESSAGES_MAX 400
static char *messages[MESSAGES_MAX];

/* What is told apart: the exit status and the message, without numbers. */
static void reduce(const struct harness_run *run, char *text, size_t room)
{
    size_t size = (size_t)snprintf(text, room, "%d ", run->status);
    for (const char *line = run->err; *line; line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        bool told = *line == ' ' || strncmp(line, "nzd:", 4) == 0;
        for (size_t i = 0; told && i < length && size < room - 1; i++)
            if (line[i] < '0' || line[i] > '9')
                text[size++] = line[i];
        line += length;
    }
    text[size] = '\0';
}

/* One of each is shown, for a reader. */
static void keep_message(const struct harness_run *run,
                         const struct fault *fault, unsigned at)
{
    char text[1024];
    unsigned i = 0;
    reduce(run, text, sizeof text);
    while (i < MESSAGES_MAX && messages[i] && strcmp(messages[i], text) != 0)
        i++;
    if (i == MESSAGES_MAX || messages[i])
        return;
    messages[i] = strdup(text);
    printf("%s %s%s at %u: exit %d\n%s%s", fault->call, fault->error,
           fault->lasting ? " from there on" : "", at, run->status, run->out,
           run->err);
}

static void forget_messages(void)
{
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        free(messages[i]);
        messages[i] = NULL;
    }
}

/* --- the truth of an exit status ----------------------------------------- */

struct story {
    struct sweep *sweep;
    const struct subject *subject;
    const struct fault *fault;
    unsigned at;
    uint64_t last;      /* transaction before */
    const char *before; /* version that is in force */
    const char *tried;  /* the one that is on trial there; NULL: none is */
    struct harness_run run;
};

static void fail_story(const struct story *story, const char *what)
{
    harness_fail("%s, %s %s at %u%s: exit %d, but %s\n%s%s%s",
                 story->subject->operation->name, story->fault->call,
                 story->fault->error, story->at,
                 story->fault->lasting ? " and on" : "", story->run.status,
                 what, story->run.out, story->run.err,
                 inject_log(story->sweep->harness));
}

static json_t *newest(struct sweep *sweep)
{
    return json_array_get(answer_txns(sweep->harness, sweep->node), 0);
}

static uint64_t number_of(json_t *txn)
{
    return txn ? (uint64_t)answer_number(txn, "txn") : 0;
}

static bool says_untouched(const struct harness_run *run)
{
    return strstr(run->err, "nothing was touched") ||
           strstr(run->err, "no code was loaded");
}

static void must_run(const struct story *story, const char *version)
{
    if (!sweep_runs_exactly(story->sweep, version))
        fail_story(story, harness_text(story->sweep->harness,
                                       "the node does not run %s", version));
}

static void must_try(const struct story *story, const char *version)
{
    if (!sweep_tries(story->sweep, version))
        fail_story(story, harness_text(story->sweep->harness,
                                       "the node does not try %s", version));
}

static void must_be_untouched(const struct story *story)
{
    json_t *txn = newest(story->sweep);
    if (number_of(txn) > story->last &&
        strcmp(answer_text(txn, "state"), "aborted") != 0)
        fail_story(story, "a transaction is there");
    if (story->tried)
        must_try(story, story->tried);
    else
        must_run(story, story->before);
}

static void must_have_ended(const struct story *story, const char *state,
                            const char *version)
{
    json_t *txn = newest(story->sweep);
    if (!txn || strcmp(answer_text(txn, "state"), state) != 0)
        fail_story(story, "the journal says another thing");
    bool tries = strcmp(state, "trial") == 0;
    if (strcmp(sweep_in_force(story->sweep), tries ? story->before : version) !=
        0)
        fail_story(story, "another version is in force");
    if (tries)
        must_try(story, version);
    else
        must_run(story, version);
}

/* A call that failed is neither our bug, but for memory, nor damage, nor
 * another's refusal. */
static void must_not_mislead(const struct story *story)
{
    const struct harness_run *run = &story->run;
    if (run->status == 1 && !strstr(run->err, "out of memory"))
        fail_story(story, "an error of the system is no internal one");
    if (strstr(run->err, "/journal is damaged"))
        fail_story(story, "it speaks of damage");
    /* A node that refuses it ends the connection too, but reads first. */
    if (strncmp(story->fault->call, "send", 4) == 0 &&
        strstr(run->err, "refuses our cookie"))
        fail_story(story, "nobody refused the cookie");
    if (run->status && !run->err[0] && !run->out[0] &&
        strcmp(story->fault->call, "write") != 0)
        fail_story(story, "nothing was said");
}

static void judge(const struct story *story)
{
    bool recovers = story->subject->operation == &recover;
    int status = story->run.status;
    if (story->run.timed_out)
        fail_story(story, "it hung");
    if (status > 10)
        fail_story(story, "that is none of nzd's");
    must_not_mislead(story);
    if (status == 0 && recovers)
        must_have_ended(story, "rolled_back", "0.1.0");
    else if (status == 0 && !story->subject->after)
        fail_story(story, "it cannot have succeeded");
    else if (status == 0 && story->subject->operation == &sweep_trial)
        must_have_ended(story, "trial", story->subject->after);
    else if (status == 0)
        must_have_ended(story, "committed", story->subject->after);
    else if (status == 6)
        must_have_ended(story, "rolled_back", story->before);
    else if (!recovers &&
             ((status >= 2 && status <= 5) || says_untouched(&story->run)))
        must_be_untouched(story);
}

/* --- one fault ----------------------------------------------------------- */

/* Whether what failed left all as it was: the cheaper check will do. */
static void settle(struct story *story)
{
    struct sweep *sweep = story->sweep;
    const char *after = harness_text(
        sweep->harness, "%s %s at call %u%s of %s (exit %d: %.200s)",
        story->fault->call, story->fault->error, story->at,
        story->fault->lasting ? " and on" : "", story->subject->operation->name,
        story->run.status, story->run.err);
    bool alone = story->run.status == 0 || says_untouched(&story->run);
    if (alone && sweep->full && sweep->tally->runs % WHOLE_EACH)
        sweep_check(sweep, "%s", after);
    else
        sweep_verify(sweep, "%s", after);
}

/* False where the run came to its end without the N-th call. */
static bool fails_at(struct sweep *sweep, const struct subject *subject,
                     const struct fault *fault, unsigned at)
{
    struct story story = {.sweep = sweep,
                          .subject = subject,
                          .fault = fault,
                          .at = at,
                          .before = subject->operation->before,
                          .tried = sweep_is_of_trial(subject->operation)
                                       ? sweep_trial.bundle
                                       : NULL};
    bool hit = false;
    subject->prepare(sweep, subject->operation);
    story.last = number_of(newest(sweep));
    story.run =
        inject_run(sweep->harness, sweep_argv(sweep, subject->operation), fault,
                   at, LIMIT_MS, &hit);
    if (!hit) {
        assert_status(story.run, subject->operation->status);
        return false;
    }
    sweep->tally->points++;
    keep_message(&story.run, fault, at);
    judge(&story);
    settle(&story);
    return true;
}

/* Calls of the loader and of libc, before main(): as many as `nzd --version`
 * makes. What it writes is its own, and the journal's files are none of
 * theirs. */
static void count_before_main(struct sweep *sweep, unsigned *counts)
{
    const char *const argv[] = {sweep->nzd, "--version", NULL};
    struct harness_run run =
        inject_count(sweep->harness, argv, faults, FAULTS, counts);
    assert_status(run, 0);
    for (size_t i = 0; i < FAULTS; i++)
        if (faults[i].journal || strcmp(faults[i].call, "write") == 0)
            counts[i] = 0;
}

/* --- in full, and a sample ----------------------------------------------- */

static void fail_everywhere(struct sweep *sweep, const struct subject *subject)
{
    unsigned before[FAULTS];
    count_before_main(sweep, before);
    for (size_t i = 0; i < FAULTS; i++) {
        const struct fault *fault = &faults[i];
        unsigned at = before[i] + 1;
        double began = process_now_ms();
        while (fails_at(sweep, subject, fault, at))
            at += fault->stride;
        printf("%s: %s %s%s%s: calls %u to %u, each %u., %.1f s\n",
               subject->operation->name, fault->call, fault->error,
               fault->lasting ? " and on" : "",
               fault->journal ? " (journal)" : "", before[i] + 1, at - 1,
               fault->stride, (process_now_ms() - began) / 1000);
    }
}

/* Of the journal's files at least so many calls are made each time. */
#define JOURNAL_CALLS 3u

static void fail_somewhere(struct sweep *sweep, const struct subject *subject)
{
    unsigned before[FAULTS], counts[FAULTS];
    count_before_main(sweep, before);
    subject->prepare(sweep, subject->operation);
    struct harness_run whole =
        inject_count(sweep->harness, sweep_argv(sweep, subject->operation),
                     faults, FAULTS, counts);
    assert_status(whole, subject->operation->status);
    for (unsigned hits = 0, tries = 0; hits < SAMPLE; tries++) {
        unsigned i = sweep_choose(sweep, (unsigned)FAULTS);
        unsigned count = faults[i].journal ? JOURNAL_CALLS : counts[i];
        if (tries == SAMPLE * 50)
            harness_fail("of %u calls only %u came to pass", tries, hits);
        if (count > before[i])
            hits += fails_at(sweep, subject, &faults[i],
                             before[i] + 1 +
                                 sweep_choose(sweep, count - before[i]));
    }
}

static void calls_fail(struct sweep *sweep, const struct subject *subject)
{
    if (!inject_is_possible(sweep->harness)) {
        print_message("skipped: strace may not trace processes here\n");
        skip();
    }
    sweep_begin(sweep, subject->row);
    if (sweep->full)
        fail_everywhere(sweep, subject);
    else
        fail_somewhere(sweep, subject);
    sweep_end(sweep);
    forget_messages();
}

static void calls_fail_in_apply(void **state)
{
    calls_fail(*state, &subjects[0]);
}

static void calls_fail_in_rollback(void **state)
{
    calls_fail(*state, &subjects[1]);
}

static void calls_fail_in_failing_apply(void **state)
{
    calls_fail(*state, &subjects[2]);
}

static void calls_fail_in_recover(void **state)
{
    calls_fail(*state, &subjects[3]);
}

static void calls_fail_in_first_apply(void **state)
{
    calls_fail(*state, &subjects[4]);
}

static void calls_fail_in_trial(void **state)
{
    if (sweep_takes(*state, 0, 2)) {
        pid_t watcher = end_keepers(*state);
        calls_fail(*state, &subjects[5]);
        kill(watcher, SIGKILL);
        waitpid(watcher, NULL, 0);
    }
    if (sweep_takes(*state, 1, 2))
        calls_fail(*state, &subjects[6]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_fail_in_apply),
        cmocka_unit_test(calls_fail_in_rollback),
        cmocka_unit_test(calls_fail_in_failing_apply),
        cmocka_unit_test(calls_fail_in_recover),
        cmocka_unit_test(calls_fail_in_first_apply),
        cmocka_unit_test(calls_fail_in_trial),
    };
    return tally_report(
        cmocka_run_group_tests(tests, sweep_setup, sweep_teardown));
}
