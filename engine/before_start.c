/* SPDX-License-Identifier: Apache-2.0 */
#include "before_start.h"

#include "interrupt.h"
#include "run.h"
#include "settle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_WAIT_US 2000000u   /* where --wait does not say */
#define LIMIT_MAX_US 120000000u /* as nzd boot */

/* --- the child ----------------------------------------------------------- */

/* NZD_ENOTFOUND: nothing is open, or it goes forward through the start that
 * comes now. */
static int find_open(struct nzd_journal *journal, struct nzd_err *err)
{
    struct nzd_txn txn;
    int code = nzd_journal_open_txn(journal, &txn, err);
    if (code)
        return code;
    if (txn.state == NZD_STATE_RESTARTING)
        code = NZD_ENOTFOUND;
    nzd_txn_clear(&txn);
    return code;
}

/* Looked at before the lock is taken: mostly there is nothing to write. */
static int settle(struct nzd_context *context, struct nzd_journal **journal,
                  struct nzd_err *err)
{
    const struct nzd_target here = {.local = true};
    struct nzd_journal_options options;
    int code = nzd_run_open_journal(context, &here, NZD_JOURNAL_READ, &options,
                                    journal, err);
    if (!code)
        code = find_open(*journal, err);
    if (code)
        return code;
    nzd_journal_close(*journal);
    *journal = NULL;
    if (!context->options.wait_us)
        context->options.wait_us = LOCK_WAIT_US;
    code = nzd_run_open_journal(context, &here, NZD_JOURNAL_WRITE, &options,
                                journal, err);
    return code ? code : nzd_settle_gone(context, *journal, err);
}

static void be_child(struct nzd_context *context, int pipe)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_journal *journal = NULL;
    setpgid(0, 0);
    int code = settle(context, &journal, &err);
    if (code == NZD_ENOTFOUND)
        nzd_err_clear(&err);
    if (err.code == NZD_EUNSETTLED)
        nzd_err_next(&err, "nzd recover, once the node answers");
    nzd_journal_close(journal);
    nzd_output_flush(&context->output);
    _exit(nzd_write_all(pipe, &err, sizeof err) ? 1 : 0);
}

/* --- the parent ---------------------------------------------------------- */

static bool is_readable(int pipe, uint64_t deadline)
{
    for (;;) {
        struct pollfd wait = {.fd = pipe, .events = POLLIN};
        int ready = poll(&wait, 1, (int)(nzd_clock_left(deadline) / 1000));
        if (ready >= 0 || errno != EINTR)
            return ready > 0;
        if (nzd_interrupt_pending())
            return false;
    }
}

/* False when the child has not said it in time. */
static bool listen_to(int pipe, uint64_t deadline, struct nzd_err *err)
{
    uint8_t *at = (uint8_t *)err;
    for (size_t left = sizeof *err; left;) {
        ssize_t got = is_readable(pipe, deadline) ? read(pipe, at, left) : 0;
        if (got <= 0)
            return false;
        at += got;
        left -= (size_t)got;
    }
    return true;
}

int nzd_before_start(struct nzd_context *context, struct nzd_err *err)
{
    struct nzd_err said = NZD_ERR_INIT;
    uint64_t limit = context->config.boot_timeout_us;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return nzd_err_system(err, NZD_EINTERNAL, errno, "a pipe");
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_child(context, ends[1]);
    }
    close(ends[1]);
    limit = limit < LIMIT_MAX_US ? limit : LIMIT_MAX_US;
    bool told =
        child > 0 && listen_to(ends[0], nzd_clock_deadline(limit), &said);
    close(ends[0]);
    if (child > 0 && !told) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (!told)
        return nzd_err_set(err, NZD_EUNSETTLED,
                           "the journal took too long, or nzd was ended: "
                           "whether a transaction is open cannot be told");
    *err = said;
    return err->code;
}
