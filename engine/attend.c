/* SPDX-License-Identifier: Apache-2.0 */
#include "attend.h"

#include "../journal/point.h"
#include "hung.h"
#include "interrupt.h"
#include "keeper.h"
#include "program.h"
#include "recall.h"
#include "run.h"
#include "trial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TRY_LIMIT_US   180000000u /* of one `nzd recover` */
#define FIRST_PAUSE_US 1000000u   /* between two that did not settle it */
#define LAST_PAUSE_US  30000000u
#define SLICE_US       10000000u /* of a sleep without a timer */
#define ANSWER_US      5000000u  /* an agent that was killed gives none */

struct attending {
    struct nzd_context *context;
    struct nzd_target target;
    struct nzd_recall recover;
    struct nzd_txn txn; /* as it was when the journal was last looked at */
    bool other;         /* what is open was never on trial */
    struct nzd_hung hung;
    int timer;   /* on CLOCK_BOOTTIME, or -1 */
    int changes; /* inotify of the journal's folder, or -1 */
    uint64_t pause_us;
};

/* --- leaving one behind -------------------------------------------------- */

void nzd_attend_leave(struct nzd_context *context,
                      const struct nzd_target *target, const char *journal)
{
    struct nzd_recall recall;
    const char *argv[NZD_RECALL_WORDS + 1] = {NULL};
    nzd_recall_here(context, target, journal, true, &recall);
    for (unsigned i = 0; i < recall.count; i++)
        argv[i] = recall.words[i];
    int sys = recall.count ? nzd_keeper_start(argv) : ENOENT;
    if (sys)
        nzd_output_warn(&context->output,
                        "no keeper stays with the trial (%s): at the deadline "
                        "the node sees to its end, if it does not hang",
                        strerror(sys));
}

/* --- what the journal says ----------------------------------------------- */

enum sight { OPEN, OVER, NOT_TO_BE_READ };

/* NZD_ENOTFOUND: nothing is open, or there is no journal any more. */
static int read_open(struct attending *a, struct nzd_txn *out)
{
    struct nzd_journal_options options;
    struct nzd_journal *journal = NULL;
    struct nzd_err ignored = NZD_ERR_INIT;
    int code = nzd_run_open_journal(a->context, &a->target, NZD_JOURNAL_READ,
                                    &options, &journal, &ignored);
    if (!code)
        code = nzd_journal_open_txn(journal, out, &ignored);
    nzd_journal_close(journal);
    return code;
}

static enum sight look(struct attending *a)
{
    struct nzd_txn found;
    int code = read_open(a, &found);
    if (code)
        return code == NZD_ENOTFOUND ? OVER : NOT_TO_BE_READ;
    /* The first that it sees is the one it came for. */
    bool ours = (!a->txn.id || a->txn.id == found.id) && found.trial.us > 0;
    if (!ours) {
        a->other = !a->txn.id;
        nzd_txn_clear(&found);
        return OVER;
    }
    nzd_txn_clear(&a->txn);
    a->txn = found;
    return OPEN;
}

/* Until something is to be done. The clock of another host is asked for where
 * that host is; without an answer `nzd recover` finds out. */
static uint64_t left(struct attending *a)
{
    struct nzd_node *node = NULL;
    struct nzd_node_clock clock = {.left_us = 0};
    struct nzd_err ignored = NZD_ERR_INIT;
    uint64_t limit = a->context->options.timeout_us;
    uint64_t us = a->txn.state == NZD_STATE_TRIAL ? nzd_trial_left(&a->txn) : 0;
    if (us != NZD_TRIAL_UNKNOWN)
        return us;
    if (!nzd_node_open(&a->target, limit ? limit : ANSWER_US, &node, &ignored))
        nzd_node_clock(node, &clock, &ignored);
    nzd_node_close(node);
    return clock.left_us;
}

/* --- sleeping ------------------------------------------------------------ */

/* Whoever writes into the journal opens and closes its lock. */
static bool has_changed(int changes)
{
    _Alignas(struct inotify_event) char bytes[4096];
    bool changed = false;
    ssize_t size;
    while ((size = read(changes, bytes, sizeof bytes)) > 0) {
        for (char *at = bytes; at < bytes + size;) {
            const struct inotify_event *event = (void *)at;
            changed =
                changed || event->len == 0 || strcmp(event->name, "lock") == 0;
            at += sizeof *event + event->len;
        }
    }
    return changed;
}

static void set_timer(int timer, uint64_t deadline)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(deadline / 1000000u),
                     .tv_nsec = (long)(deadline % 1000000u) * 1000}};
    if (timer >= 0)
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Until then, or until a writer has been at the journal. */
static void sleep_for(struct attending *a, uint64_t us)
{
    uint64_t deadline = nzd_clock_deadline(us), rest;
    set_timer(a->timer, deadline);
    while ((rest = nzd_clock_left(deadline)) && !nzd_interrupt_pending()) {
        struct pollfd wait[] = {{.fd = a->timer, .events = POLLIN},
                                {.fd = a->changes, .events = POLLIN}};
        uint64_t slice = a->timer >= 0 || rest < SLICE_US ? rest : SLICE_US;
        nzd_interrupt_poll(wait, 2, slice);
        if (a->changes >= 0 && wait[1].revents && has_changed(a->changes))
            return;
    }
}

static void watch_journal(struct attending *a)
{
    const char *directory = nzd_journal_path(a->context, &a->target);
    a->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    a->changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (a->changes >= 0 && directory)
        inotify_add_watch(a->changes, directory,
                          IN_CLOSE_WRITE | IN_DELETE | IN_DELETE_SELF |
                              IN_MOVE_SELF | IN_ONLYDIR);
}

/* Longer each time. */
static void pause_a_while(struct attending *a)
{
    sleep_for(a, a->pause_us);
    a->pause_us =
        a->pause_us < LAST_PAUSE_US / 2 ? 2 * a->pause_us : LAST_PAUSE_US;
}

/* --- at the deadline ----------------------------------------------------- */

/* Another process: what a damaged journal or a bug of ours does to it is
 * not done to us. How it ended the journal tells. A keeper that it leaves is
 * ended with it (program.h): we are one. */
static void recover(struct attending *a)
{
    struct nzd_program_result result = {.end = NZD_PROGRAM_NOT_STARTED};
    const char *argv[NZD_RECALL_WORDS + 1] = {NULL};
    const struct nzd_program program = {
        .argv = argv, .timeout_us = TRY_LIMIT_US, .output_max = 4096};
    struct nzd_err ignored = NZD_ERR_INIT;
    for (unsigned i = 0; i < a->recover.count; i++)
        argv[i] = a->recover.words[i];
    argv[0] = "/proc/self/exe";
    nzd_point("before the keeper recovers");
    nzd_program_run(&program, NULL, &result, &ignored);
    nzd_point("after the keeper recovered");
    nzd_buf_clear(&result.output);
}

static void try_to_end(struct attending *a)
{
    recover(a);
    if (a->changes >= 0)
        has_changed(a->changes); /* that was us */
    if (look(a) != OPEN)
        return;
    if (!nzd_hung_end(&a->hung, a->context, &a->target, &a->txn))
        pause_a_while(a);
}

static void attend(struct attending *a)
{
    enum sight sight;
    while ((sight = look(a)) != OVER && !nzd_interrupt_pending()) {
        uint64_t us = sight == OPEN ? left(a) : 0;
        if (us)
            sleep_for(a, us);
        else if (sight == OPEN && !has_changed(a->changes))
            try_to_end(a); /* and not what ended while the node was asked */
        else
            pause_a_while(a);
    }
}

int nzd_attend(struct nzd_context *context, bool *other, struct nzd_err *err)
{
    struct attending a = {.context = context, .pause_us = FIRST_PAUSE_US};
    *other = false;
    nzd_point_role("keeper");
    int code = nzd_question_target(context, &a.target, err);
    /* A VM that is gone has no cookie to be found; what it left is. */
    if (code && !a.target.node[0])
        return code;
    nzd_err_clear(err);
    nzd_recall_here(context, &a.target, nzd_journal_path(context, &a.target),
                    false, &a.recover);
    if (!a.recover.count)
        return nzd_err_set(err, NZD_EUSAGE,
                           "no journal is there to be attended");
    watch_journal(&a);
    nzd_point("before the keeper waits");
    attend(&a);
    nzd_point("after the keeper waited");
    close(a.timer);
    close(a.changes);
    nzd_txn_clear(&a.txn);
    *other = a.other;
    return 0;
}
