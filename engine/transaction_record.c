/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_internal.h"

#include "interrupt.h"
#include "live_config.h"
#include "migrate.h"
#include "restarting.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

/* Words that recovery needs: how it is restarted, what may be killed. */
static char *option_words(const struct nzd_transaction *t)
{
    const struct nzd_options *options = &t->context->options;
    struct nzd_buf words = {0};
    const char *states = nzd_migrate_word(
        !t->way && nzd_migrate_is_down(&t->q->plan, &t->txn, t->journal));
    nzd_buf_text(&words, nzd_restarting_word(t->way));
    nzd_live_config_put_words(&t->q->plan, &words);
    if (states)
        nzd_buf_printf(&words, "%s%s", words.size ? " " : "", states);
    for (unsigned i = 0; i < options->kill_count; i++)
        nzd_buf_printf(&words, "%skill=%s", words.size ? " " : "",
                       options->kill[i]);
    char *text = copy(nzd_buf_string(&words));
    nzd_buf_clear(&words);
    return text;
}

static char *operator_name(void)
{
    struct nzd_buf text = {0};
    const char *user = getenv("SUDO_USER");
    if (!user)
        user = getenv("USER");
    if (!user)
        user = getenv("LOGNAME");
    nzd_buf_printf(&text, "%s%s", user ? user : "root",
                   getenv("SSH_CONNECTION") ? " from ssh" : "");
    char *name = copy(nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return name;
}

/* What another nzd may have to run: behind a restart, or a trial. */
static int keep_hooks(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_view hooks = t->q->new.hooks;
    if (!hooks.size || (!t->way && !t->trial_us))
        return 0;
    t->txn.hooks = strndup((const char *)hooks.data, hooks.size);
    return t->txn.hooks ? 0 : nzd_err_memory(err);
}

/* Which process the VM is, where that can be told from here. */
static void describe_vm(struct nzd_transaction *t)
{
    struct nzd_vm *vm = &t->txn.vm;
    const struct nzd_target *target = &t->q->target;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (!target->local || target->pid <= 0 ||
        (uint64_t)target->pid != t->q->hello.os_pid)
        return;
    if (nzd_host_process_start(target->pid, &vm->start_time, &ignored) ||
        nzd_host_boot_id(vm->boot_id, &ignored))
        vm->boot_id[0] = '\0';
    else
        vm->pid = (uint64_t)target->pid;
}

int nzd_transaction_describe(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_txn *txn = &t->txn, in_force;
    const struct nzd_question *q = t->q;
    txn->kind = t->kind;
    txn->verdict = q->plan.verdict;
    txn->max = t->context->options.has_max ? t->context->options.max
                                           : t->context->config.max;
    txn->base = q->base.identity;
    txn->bundle = q->bundle;
    txn->bundle_bytes = q->bundle_bytes;
    txn->changed = q->plan.changed;
    txn->added = q->plan.added;
    txn->removed = q->plan.removed;
    txn->opened_us = nzd_wall_us();
    txn->to_generation = t->to_generation;
    txn->release = copy(q->plan.release);
    txn->from_version = copy(q->plan.from_version);
    txn->to_version = copy(q->plan.to_version);
    txn->base_version = copy(q->base.version);
    txn->base_path = copy(q->base.path);
    txn->node = copy(nzd_node_name(q->node));
    txn->source = copy(t->source);
    txn->operator_name = operator_name();
    describe_vm(t);
    if (keep_hooks(t, err))
        return err->code;
    int code = nzd_journal_in_force(t->journal, &txn->base, &in_force, NULL);
    if (code == 0) {
        txn->from_generation =
            nzd_question_runs(q, t->journal, &in_force) ? in_force.id : 0;
        nzd_txn_clear(&in_force);
    }
    if (code && code != NZD_ENOTFOUND)
        return nzd_journal_in_force(t->journal, &txn->base, &in_force, err);
    txn->options = option_words(t);
    /* A word that is cut could name somebody else. */
    if (txn->options && strlen(txn->options) > NZD_RECORD_TEXT_MAX)
        return nzd_err_set(err, NZD_EUSAGE,
                           "all --kill together take more than %d bytes",
                           NZD_RECORD_TEXT_MAX);
    return 0;
}
