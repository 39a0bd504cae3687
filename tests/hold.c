/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct operation quick_apply = {
    "apply", "0.1.0", {"apply", "--timeout", "2s"}, "0.2.0", 0};
const struct operation quick_rollback = {
    "rollback", "0.2.0", {"rollback", "--to=0", "--timeout", "2s"}, NULL, 0};
const struct operation quick_failing = {
    "failing apply", "0.2.0", {"apply", "--timeout", "2s"}, "0.3.0", 6};

const struct operation quick_trial = {
    "apply on trial",
    "0.1.0",
    {"apply", "--confirm=1h", "--timeout", "2s"},
    "0.2.0",
    0};
const struct operation quick_confirm = {
    "confirm", "0.1.0", {"confirm", "--timeout", "2s"}, NULL, 0};

#define HELD_LIMIT_MS 20000

struct harness_job *hold_begin(struct sweep *sweep,
                               const struct operation *operation, unsigned at,
                               bool *held)
{
    struct harness *harness = sweep->harness;
    const char *const environment[] = {
        harness_text(harness, "NZD_POINT_AT=%u", at), "NZD_POINT_DO=stop",
        NULL};
    struct harness_job *job =
        harness_begin(harness, sweep_argv(sweep, operation), environment);
    double until = process_now_ms() + HELD_LIMIT_MS;
    while (!(*held = process_is_stopped(harness_job_pid(job))) &&
           process_alive(harness_job_pid(job))) {
        if (process_now_ms() > until)
            harness_fail("%s does not come to point %u: %s", operation->name,
                         at, harness_job_err(harness, job));
        process_sleep_ms(1);
    }
    return job;
}

struct harness_job *hold_at(struct sweep *sweep,
                            const struct operation *operation, unsigned at)
{
    bool held;
    struct harness_job *job = hold_begin(sweep, operation, at, &held);
    if (!held)
        harness_fail("%s does not come to point %u: %s", operation->name, at,
                     harness_job_err(sweep->harness, job));
    return job;
}

void hold_continue(struct harness_job *job)
{
    kill(harness_job_pid(job), SIGCONT);
}

struct harness_run hold_release(struct sweep *sweep, struct harness_job *job)
{
    hold_continue(job);
    return harness_end(sweep->harness, job, HARNESS_LIMIT_MS);
}

unsigned claim_last(struct sweep *sweep)
{
    struct harness_run shown = harness_nzd(sweep->harness, sweep->node,
                                           "journal", "show", "--json", NULL);
    assert_status(shown, 0);
    const char *txn = strstr(shown.out, "\"txn\":");
    return txn ? (unsigned)strtoul(txn + strlen("\"txn\":"), NULL, 10) : 0;
}

unsigned claim_before(struct sweep *sweep, const struct operation *operation)
{
    return claim_last(sweep) - sweep_is_of_trial(operation);
}

const char *claim_state(struct sweep *sweep, unsigned id)
{
    static const char mark[] = "\"state\":\"";
    struct harness_run shown =
        harness_nzd(sweep->harness, sweep->node, "journal", "show",
                    harness_text(sweep->harness, "%u", id), "--json", NULL);
    if (shown.status == 2)
        return "none";
    assert_status(shown, 0);
    const char *state = strstr(shown.out, mark);
    if (!state)
        harness_fail("transaction %u has no state: %s", id, shown.out);
    state += strlen(mark);
    return harness_text(sweep->harness, "%.*s", (int)strcspn(state, "\""),
                        state);
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

static bool is_true(const struct operation *operation, int status,
                    const char *state)
{
    bool tries = strcmp(state, "trial") == 0;
    switch (status) {
    case 0:
        return strcmp(state, "committed") == 0 ||
               (tries && !sweep_is_of_trial(operation));
    case 4:
    case 5:
        return is_one_of(state, "none", "aborted") ||
               (tries && sweep_is_of_trial(operation));
    case 6:
        return strcmp(state, "rolled_back") == 0;
    case 10:
        return is_one_of(state, "armed", "undoing") || tries;
    default:
        return false;
    }
}

static bool says_why(const struct harness_run *run)
{
    switch (run->status) {
    case 0:
        return strstr(run->out, "committed ") || strstr(run->out, "on trial ");
    case 6:
        return strstr(run->out, "rolled back ") && strstr(run->out, "  why ");
    case 10:
        return strstr(run->err, "nzd: ") && strstr(run->err, "next ");
    default:
        return strstr(run->err, "nzd: ") && strstr(run->err, "untouched ");
    }
}

void claim_check(struct sweep *sweep, const struct operation *operation,
                 unsigned last, struct harness_run run, int limit_ms,
                 const char *after)
{
    const char *state = claim_state(sweep, last + 1);
    if (is_true(operation, run.status, state) && says_why(&run) &&
        run.ms <= limit_ms)
        return;
    harness_fail("after %s: exit status %d, %.0f ms, the journal says %s\n%s%s",
                 after, run.status, run.ms, state, run.out, run.err);
}
