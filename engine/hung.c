/* SPDX-License-Identifier: Apache-2.0 */
#include "hung.h"

#include "../journal/point.h"
#include "host.h"
#include "interrupt.h"
#include "node.h"
#include "restarting.h"
#include "run.h"
#include "timeline.h"
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANSWER_US 5000000u
#define LOCK_US   2000000u

/* It takes the connection and says nothing; one that refuses us answers. */
static bool is_silent(const struct nzd_context *context,
                      const struct nzd_target *target)
{
    struct nzd_node *node = NULL;
    struct nzd_node_clock clock;
    struct nzd_err err = NZD_ERR_INIT;
    uint64_t limit = context->options.timeout_us;
    int code = nzd_node_open(target, limit ? limit : ANSWER_US, &node, &err);
    if (!code)
        code = nzd_node_clock(node, &clock, &err);
    nzd_node_close(node);
    return code == NZD_ETIMEOUT || (code && err.sys == ETIMEDOUT);
}

/* It runs, on this host, and is the very process that was armed in. */
static bool is_there(const struct nzd_vm *vm)
{
    char boot[NZD_BOOT_ID];
    uint64_t start = 0;
    struct nzd_err ignored = NZD_ERR_INIT;
    return vm->pid && !nzd_host_boot_id(boot, &ignored) &&
           strcmp(boot, vm->boot_id) == 0 &&
           !nzd_host_process_start((int64_t)vm->pid, &start, &ignored) &&
           start == vm->start_time;
}

/* Held by a descriptor, where the kernel has them, no other process gets its
 * number meanwhile. */
static bool kill_vm(const struct nzd_vm *vm)
{
    int fd = -1;
#ifdef SYS_pidfd_open
    fd = (int)syscall(SYS_pidfd_open, (pid_t)vm->pid, 0);
#endif
    bool killed = is_there(vm);
#ifdef SYS_pidfd_send_signal
    if (killed && fd >= 0)
        killed = syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
#endif
    if (killed && fd < 0)
        killed = kill((pid_t)vm->pid, SIGKILL) == 0;
    if (fd >= 0)
        close(fd);
    return killed;
}

/* Written before it is done: whoever finds it cannot know whether it was. */
static int write_down(struct nzd_context *context,
                      const struct nzd_target *target, uint64_t id,
                      const char *why, struct nzd_err *err)
{
    struct nzd_journal_options options;
    struct nzd_journal *journal = NULL;
    struct nzd_timeline timeline;
    struct nzd_txn txn = {.id = 0};
    uint64_t wait = context->options.wait_us;
    nzd_timeline_open(&timeline);
    context->options.wait_us = LOCK_US;
    int code = nzd_run_open_journal(context, target, NZD_JOURNAL_WRITE,
                                    &options, &journal, err);
    context->options.wait_us = wait;
    if (!code)
        code = nzd_journal_open_txn(journal, &txn, err);
    if (!code && txn.id != id)
        code = nzd_err_set(err, NZD_EBUSY, "another transaction is open");
    if (!code) {
        nzd_timeline_add(&timeline, NZD_EVENT_KILL, "end", 0, "%s", why);
        bool booted = nzd_restarting_is(&txn);
        nzd_timeline_add(&timeline, NZD_EVENT_MOVE,
                         booted ? "REBOOT PENDING" : "UNDOING", 0, "%s", "");
        txn.state = booted ? NZD_STATE_REBOOT_PENDING : NZD_STATE_UNDOING;
        free(txn.why);
        txn.why = strdup(why);
        struct nzd_move move = {.txn = &txn,
                                .events = timeline.items,
                                .event_count = timeline.count};
        code = nzd_journal_move(journal, &move, err);
    }
    if (!code)
        nzd_log_move(&txn);
    nzd_txn_clear(&txn);
    nzd_timeline_clear(&timeline);
    nzd_journal_close(journal);
    return code;
}

static bool end(struct nzd_hung *hung, struct nzd_context *context,
                const struct nzd_target *target, const struct nzd_txn *txn)
{
    char why[128], silent[32];
    struct nzd_err err = NZD_ERR_INIT;
    nzd_format_duration(silent, nzd_clock_us() - hung->silent_us);
    snprintf(why, sizeof why,
             "the VM, pid %" PRIu64 ", said nothing for %s and was to be ended",
             txn->vm.pid, silent);
    if (write_down(context, target, txn->id, why, &err))
        return false;
    nzd_point("before a hung VM is ended");
    hung->silent_us = 0;
    bool ended = kill_vm(&txn->vm);
    nzd_point("after a hung VM is ended");
    return ended;
}

bool nzd_hung_end(struct nzd_hung *hung, struct nzd_context *context,
                  const struct nzd_target *target, const struct nzd_txn *txn)
{
    const struct nzd_config *config = &context->config;
    uint64_t generation = 0, asked = nzd_clock_us();
    if (!config->trial_hung_restart || nzd_trial_left(txn) != 0 ||
        !is_there(&txn->vm) ||
        !nzd_host_nzd_boot((int64_t)txn->vm.pid, &generation) ||
        !is_silent(context, target)) {
        hung->silent_us = 0;
        return false;
    }
    if (!hung->silent_us)
        hung->silent_us = asked;
    if (nzd_clock_us() - hung->silent_us < config->trial_hung_after_us)
        return false;
    return end(hung, context, target, txn);
}
