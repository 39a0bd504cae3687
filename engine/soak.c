/* SPDX-License-Identifier: Apache-2.0 */
#include "soak.h"

#include "../journal/point.h"
#include "interrupt.h"
#include "node_act.h"
#include "transaction.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES      15u /* that a median is of, at most */
#define PARTS        20u /* samples in one watch, where the bounds allow */
#define GAP_LEAST_US 100000u
#define GAP_MOST_US  2000000u

struct watch {
    struct nzd_transaction *t;
    const struct nzd_reading *before; /* NULL: that is what is watched */
    uint64_t us;
    uint64_t begun_us;
    uint64_t hooks_us; /* when they run again */
    struct nzd_reading samples[SAMPLES];
    unsigned count; /* of all that were taken */
};

uint64_t nzd_soak_wanted(const struct nzd_context *context,
                         enum nzd_txn_kind kind)
{
    if (context->options.has_soak)
        return context->options.soak_us;
    /* Whoever rolls back by hand means it. */
    return kind == NZD_TXN_APPLY ? context->config.soak_us : 0;
}

/* --- judging ------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static uint64_t median_of(const struct nzd_reading *samples, unsigned count,
                          size_t offset)
{
    uint64_t values[SAMPLES] = {0};
    if (count > SAMPLES)
        count = SAMPLES;
    for (unsigned i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&samples[i] + offset,
               sizeof values[i]);
    qsort(values, count, sizeof values[0], compare);
    return values[count / 2];
}

void nzd_soak_median(const struct nzd_reading *samples, unsigned count,
                     struct nzd_reading *out)
{
    struct nzd_reading median = samples[count - 1];
#define MEDIAN(field)                                                          \
    median.field =                                                             \
        median_of(samples, count, offsetof(struct nzd_reading, field))
    MEDIAN(processes);
    MEDIAN(memory);
    MEDIAN(queue);
    MEDIAN(run_queue);
    MEDIAN(latency_us);
#undef MEDIAN
    *out = median;
}

/* What the rate before makes in the time of `now`, rounded up. */
static uint64_t expected(uint64_t count, const struct nzd_reading *before,
                         const struct nzd_reading *now)
{
    if (!count || !before->us)
        return count;
    return (uint64_t)((double)count * (double)now->us / (double)before->us) + 1;
}

/* Three standard deviations of a count by chance are left to it. */
static bool is_beyond(uint64_t count, uint64_t allowed, uint64_t limit)
{
    if (count <= allowed || count - allowed <= limit)
        return false;
    uint64_t over = count - allowed - limit;
    return over > UINT32_MAX || over * over > 9 * allowed;
}

static bool too_many(const char *what, uint64_t count, uint64_t count_before,
                     uint64_t limit, const struct nzd_reading *before,
                     const struct nzd_reading *now, char *why, size_t size)
{
    char took[32], took_before[32];
    if (!is_beyond(count, expected(count_before, before, now), limit))
        return false;
    nzd_format_duration(took, now->us);
    nzd_format_duration(took_before, before->us);
    snprintf(why, size, "%s: %" PRIu64 " in %s, %" PRIu64 " in %s before%s%s",
             what, count, took, count_before, took_before,
             now->said[0] ? ": " : "", now->said);
    return true;
}

static bool grew(const char *what, uint64_t value, uint64_t value_before,
                 uint64_t most, char *why, size_t size)
{
    if (value <= value_before || value - value_before <= most)
        return false;
    snprintf(why, size, "%s %" PRIu64 ", %" PRIu64 " before", what, value,
             value_before);
    return true;
}

static bool memory_grew(const struct nzd_soak_limits *limits,
                        const struct nzd_reading *before,
                        const struct nzd_reading *now, char *why, size_t size)
{
    char is[32], was[32];
    if (now->memory <= before->memory ||
        now->memory - before->memory <=
            before->memory / 100 * limits->memory_percent)
        return false;
    nzd_format_bytes(is, now->memory);
    nzd_format_bytes(was, before->memory);
    snprintf(why, size, "the node takes %s, %s before", is, was);
    return true;
}

static bool is_slower(const struct nzd_soak_limits *limits,
                      const struct nzd_reading *before,
                      const struct nzd_reading *now, char *why, size_t size)
{
    char is[32], was[32];
    if (now->latency_us <= before->latency_us ||
        now->latency_us - before->latency_us <= limits->latency_us)
        return false;
    nzd_format_duration(is, now->latency_us);
    nzd_format_duration(was, before->latency_us);
    snprintf(why, size, "a process waits %s to run, %s before", is, was);
    return true;
}

static bool has_grown(const struct nzd_soak_limits *limits,
                      const struct nzd_reading *before,
                      const struct nzd_reading *now, char *why, size_t size)
{
    char queue[96];
    snprintf(queue, sizeof queue, "the longest queue, of %s, is",
             now->queue_of[0] ? now->queue_of : "a process");
    return grew(queue, now->queue, before->queue, limits->queue, why, size) ||
           grew("the processes are", now->processes, before->processes,
                before->processes / 100 * limits->processes_percent, why,
                size) ||
           grew("the run queue is", now->run_queue, before->run_queue,
                limits->run_queue, why, size) ||
           memory_grew(limits, before, now, why, size) ||
           is_slower(limits, before, now, why, size);
}

bool nzd_soak_judge(const struct nzd_soak_limits *limits,
                    const struct nzd_reading *before,
                    const struct nzd_reading *now, bool ended, char *why,
                    size_t size)
{
    return !too_many("processes crashed", now->crashes, before->crashes,
                     limits->crashes, before, now, why, size) &&
           !too_many("children of supervisors ended", now->restarts,
                     before->restarts, limits->restarts, before, now, why,
                     size) &&
           !(ended && has_grown(limits, before, now, why, size));
}

void nzd_soak_describe(const struct nzd_reading *reading, char *out,
                       size_t size)
{
    char took[32], memory[32], latency[32];
    nzd_format_duration(took, reading->us);
    nzd_format_bytes(memory, reading->memory);
    nzd_format_duration(latency, reading->latency_us);
    snprintf(out, size,
             "%" PRIu64 " crashed, %" PRIu64 " children ended in %s; %" PRIu64
             " processes, %s, longest queue %" PRIu64 ", run queue %" PRIu64
             ", latency %s",
             reading->crashes, reading->restarts, took, reading->processes,
             memory, reading->queue, reading->run_queue, latency);
}

/* --- watching ------------------------------------------------------------ */

static int interrupted(const struct watch *watch, struct nzd_err *err)
{
    if (!nzd_interrupt_pending())
        return 0;
    return nzd_err_set(err, watch->before ? NZD_EROLLEDBACK : NZD_EREFUSED,
                       "interrupted by a signal");
}

static int take_sample(struct watch *watch, struct nzd_err *err)
{
    if (watch->count >= SAMPLES)
        memmove(watch->samples, watch->samples + 1,
                (SAMPLES - 1) * sizeof watch->samples[0]);
    unsigned at = watch->count < SAMPLES ? watch->count : SAMPLES - 1;
    int code = nzd_node_readings(watch->t->q->node, &watch->samples[at], err);
    if (!code)
        watch->count++;
    return code;
}

static unsigned samples_of(const struct watch *watch)
{
    return watch->count < SAMPLES ? watch->count : SAMPLES;
}

static int judge(const struct watch *watch, bool ended, struct nzd_err *err)
{
    struct nzd_reading now;
    char why[NZD_ERR_MESSAGE - 32];
    nzd_soak_median(watch->samples, samples_of(watch), &now);
    if (nzd_soak_judge(&watch->t->context->config.soak, watch->before, &now,
                       ended, why, sizeof why))
        return 0;
    return nzd_err_set(err, NZD_EROLLEDBACK, "in the soak: %s", why);
}

static int run_hooks_again(struct watch *watch, bool ended, struct nzd_err *err)
{
    if (!ended && nzd_clock_us() < watch->hooks_us)
        return 0;
    int code = nzd_transaction_validate(watch->t, err);
    watch->hooks_us = nzd_clock_us() + watch->t->context->config.soak_hooks_us;
    return code;
}

static int rest(struct watch *watch, uint64_t left, struct nzd_err *err)
{
    uint64_t gap = watch->us / PARTS;
    if (gap < GAP_LEAST_US)
        gap = GAP_LEAST_US;
    if (gap > GAP_MOST_US)
        gap = GAP_MOST_US;
    int got = nzd_link_tend(nzd_node_link(watch->t->q->node), -1,
                            gap < left ? gap : left, err);
    return got < 0 ? got : interrupted(watch, err);
}

static int look_once(struct watch *watch, bool ended, struct nzd_err *err)
{
    int code = take_sample(watch, err);
    if (!code && watch->before)
        code = judge(watch, ended, err);
    if (!code && watch->before)
        code = run_hooks_again(watch, ended, err);
    return code;
}

/* The last sample is taken at its end. */
static int watch_for(struct watch *watch, struct nzd_err *err)
{
    uint64_t passed = 0;
    int code = 0;
    watch->begun_us = nzd_clock_us();
    watch->hooks_us = watch->begun_us + watch->t->context->config.soak_hooks_us;
    while (!code) {
        passed = nzd_clock_us() - watch->begun_us;
        bool ended = passed >= watch->us;
        nzd_output_bar(&watch->t->context->output,
                       watch->before ? "soak" : "watch",
                       ended ? watch->us : passed, watch->us);
        code = look_once(watch, ended, err);
        if (ended)
            break;
        if (!code)
            code = rest(watch, watch->us - passed, err);
    }
    return code;
}

static void note(struct watch *watch, const char *label)
{
    struct nzd_reading reading;
    char text[NZD_ERR_MESSAGE], memory[32];
    uint64_t took = nzd_clock_us() - watch->begun_us;
    if (!watch->count)
        return;
    nzd_soak_median(watch->samples, samples_of(watch), &reading);
    nzd_soak_describe(&reading, text, sizeof text);
    nzd_timeline_add(&watch->t->timeline, NZD_EVENT_CHECK, label, took, "%s",
                     text);
    nzd_format_bytes(memory, reading.memory);
    nzd_output_step(&watch->t->context->output, label, took, NULL,
                    "%" PRIu64 " crashed, %" PRIu64 " ended; %" PRIu64
                    " processes, %s, queue %" PRIu64,
                    reading.crashes, reading.restarts, reading.processes,
                    memory, reading.queue);
}

int nzd_soak_before(struct nzd_transaction *t, struct nzd_err *err)
{
    struct watch watch = {.t = t, .us = t->context->config.soak_before_us};
    if (!t->soak.us)
        return 0;
    if (watch.us > t->soak.us)
        watch.us = t->soak.us;
    int code = nzd_node_watch(t->q->node, err);
    if (!code)
        code = watch_for(&watch, err);
    if (code)
        return code;
    note(&watch, "before");
    nzd_soak_median(watch.samples, samples_of(&watch), &t->soak.before);
    if (!t->soak.before.reports)
        nzd_output_warn(&t->context->output,
                        "%s logs no errors (the level of its logger): crashes "
                        "are not seen in the soak",
                        nzd_node_name(t->q->node));
    /* From here on: what crashes at the switch or under a hook counts. */
    return nzd_node_watch(t->q->node, err);
}

int nzd_soak_run(struct nzd_transaction *t, struct nzd_err *err)
{
    struct watch watch = {.t = t, .us = t->soak.us, .before = &t->soak.before};
    if (!t->soak.us)
        return 0;
    nzd_point("before the soak");
    int code = watch_for(&watch, err);
    note(&watch, "soak");
    if (!code)
        code = nzd_node_act(t->q->node, "unwatch", err);
    nzd_point("after the soak");
    return code;
}
