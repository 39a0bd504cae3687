/* SPDX-License-Identifier: Apache-2.0 */
#include "restarting_internal.h"

#include "interrupt.h"
#include "node_act.h"
#include "recall.h"

#include <string.h>
#include <time.h>

#define LOOK_US 200000u /* between looks for a VM that is not there */

static void let_go(struct nzd_going *g)
{
    nzd_node_close(g->q.node);
    g->q.node = NULL;
}

/* Its process is another one than before, and it may be at another port. */
static void find_target(struct nzd_going *g)
{
    const struct nzd_options *options = &g->s->context->options;
    const struct nzd_config *config = &g->s->context->config;
    struct nzd_err ignored = NZD_ERR_INIT;
    char warning[256] = "";
    const struct nzd_target_options wanted = {
        .node = g->s->target->node,
        .cookie_file =
            options->cookie_file ? options->cookie_file : config->cookie_file,
        .port = options->port,
    };
    if (!nzd_target_find(&wanted, &g->q.target, warning, sizeof warning,
                         &ignored))
        return;
    g->q.target = *g->s->target;
    g->q.target.pid = 0;
}

static bool is_alive(const struct nzd_going *g)
{
    return g->q.node && !nzd_link_is_dead(nzd_node_link(g->q.node));
}

static bool is_same(const struct nzd_going *g)
{
    return g->q.hello.has_token &&
           memcmp(g->q.hello.token, g->s->txn->vm.token, 16) == 0;
}

static int ask(struct nzd_going *g, struct nzd_err *err)
{
    if (is_alive(g))
        return nzd_node_hello(g->q.node, &g->q.hello, err);
    let_go(g);
    find_target(g);
    return nzd_question_connect(g->s->context, &g->q, err);
}

static void wait_a_moment(struct nzd_going *g)
{
    const struct timespec moment = {.tv_nsec = LOOK_US * 1000L};
    if (is_alive(g))
        nzd_link_wait(nzd_node_link(g->q.node), -1, LOOK_US, NULL);
    else
        nanosleep(&moment, NULL); /* a signal may end it early */
}

static enum nzd_found look(struct nzd_going *g, struct nzd_err *err)
{
    if (ask(g, err)) {
        let_go(g);
        return NZD_FOUND_NONE;
    }
    if (!g->q.hello.starting && !g->q.hello.stopping)
        return is_same(g) ? NZD_FOUND_SAME : NZD_FOUND_OTHER;
    nzd_err_set(err, NZD_ENODE, "%s is still %s", nzd_node_name(g->q.node),
                g->q.hello.starting ? "starting" : "stopping");
    return NZD_FOUND_NONE;
}

/* What was on trial ends with its VM: nobody else is waited for. */
static bool is_over(const struct nzd_going *g)
{
    return g->s->txn->state == NZD_STATE_TRIAL &&
           nzd_settle_is_gone(&g->s->txn->vm);
}

enum nzd_found nzd_restarting_find(struct nzd_going *g, bool other,
                                   uint64_t limit_us, struct nzd_err *err)
{
    uint64_t deadline = nzd_clock_deadline(limit_us);
    for (bool told = false;; told = true) {
        struct nzd_err why = NZD_ERR_INIT;
        enum nzd_found found = look(g, &why);
        if (found == NZD_FOUND_NONE && !told)
            nzd_output_step(&g->s->context->output, "waiting", 0, NULL,
                            g->s->txn->state == NZD_STATE_TRIAL
                                ? "for %s to answer"
                                : "for %s to boot",
                            g->s->target->node);
        if (found == NZD_FOUND_OTHER || (found == NZD_FOUND_SAME && !other))
            return found;
        if (nzd_interrupt_pending())
            return NZD_FOUND_SIGNAL;
        if (nzd_clock_left(deadline) == 0 || is_over(g)) {
            if (!why.code)
                nzd_err_set(&why, NZD_ENODE, "the VM runs on");
            *err = why;
            return found;
        }
        wait_a_moment(g);
    }
}

/* --- who speaks ---------------------------------------------------------- */

/* A session that was given may speak already. */
static bool speaks(const struct nzd_going *g)
{
    return nzd_node_fence(g->q.node)->epoch != 0;
}

/* An agent that holds the trial keeps it. */
static bool holds_trial(const struct nzd_going *g)
{
    const struct nzd_hello *hello = &g->q.hello;
    return hello->txn == g->s->txn->id &&
           (!strcmp(hello->phase, "trial") || !strcmp(hello->phase, "keeping"));
}

static int take_over(struct nzd_going *g, struct nzd_err *err)
{
    char phase[16];
    g->s->agent_epoch = g->q.hello.epoch;
    memcpy(g->s->txn->vm.token, g->q.hello.token, 16);
    return nzd_settle_take_over(g->s, g->q.node, phase, err);
}

int nzd_restarting_speak(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_txn *txn = g->s->txn;
    struct nzd_recall recall;
    const struct nzd_node_begin begin = {
        .uuid = nzd_journal_uuid(g->s->journal), .recall = &recall};
    if (speaks(g))
        return 0;
    if (holds_trial(g))
        return take_over(g, err);
    nzd_recall_make(g->s->context, &g->q.target,
                    nzd_journal_directory(g->s->journal), &recall);
    if (g->q.hello.epoch > txn->epoch)
        txn->epoch = g->q.hello.epoch;
    txn->epoch++;
    struct nzd_fence fence = {.txn = txn->id, .epoch = txn->epoch};
    nzd_node_set_fence(g->q.node, &fence);
    int code = nzd_node_begin(g->q.node, &begin, fence.token, err);
    if (code)
        return code;
    nzd_node_set_fence(g->q.node, &fence);
    memcpy(g->q.hello.token, fence.token, 16);
    g->q.hello.has_token = true;
    return 0;
}

void nzd_restarting_take_vm(struct nzd_going *g)
{
    struct nzd_vm *vm = &g->s->txn->vm;
    struct nzd_err ignored = NZD_ERR_INIT;
    int64_t pid = (int64_t)g->q.hello.os_pid;
    memset(vm, 0, sizeof *vm);
    if (g->q.hello.has_token)
        memcpy(vm->token, g->q.hello.token, 16);
    if (!g->q.target.local || g->q.target.pid != pid)
        return;
    if (!nzd_host_process_start(pid, &vm->start_time, &ignored) &&
        !nzd_host_boot_id(vm->boot_id, &ignored))
        vm->pid = (uint64_t)pid;
    else
        vm->boot_id[0] = '\0';
}

static int note_process(void *context, const struct nzd_module_row *row)
{
    bool *needs = context;
    *needs = *needs || !strcmp(row->module, NZD_FILE_VM_ARGS) ||
             !strcmp(row->module, NZD_FILE_ERTS);
    return 0;
}

bool nzd_restarting_in_its_process(const struct nzd_going *g)
{
    const struct nzd_vm *vm = &g->s->txn->vm;
    struct nzd_err ignored = NZD_ERR_INIT;
    uint64_t start = 0;
    bool needs = false;
    if (!vm->boot_id[0] || vm->pid != g->q.hello.os_pid ||
        nzd_host_process_start((int64_t)vm->pid, &start, &ignored) ||
        start != vm->start_time)
        return false;
    return nzd_journal_each_file(g->s->journal, g->s->txn->id, note_process,
                                 &needs, &ignored) < 0 ||
           needs;
}

int nzd_restarting_know_base(struct nzd_going *g, struct nzd_err *err)
{
    if (g->q.base.name[0])
        return 0;
    return nzd_node_base(g->q.node, &g->q.hello, &g->q.old, &g->q.base, err);
}
