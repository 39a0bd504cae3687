/* SPDX-License-Identifier: Apache-2.0 */
#include "settle_agent.h"

#include "code_path.h"
#include "node_act.h"
#include "node_rows.h"
#include "node_switch.h"
#include "restarting.h"

#include <stdlib.h>
#include <string.h>

int nzd_settle_done(struct nzd_context *context, struct nzd_node *node,
                    struct nzd_err *err)
{
    struct nzd_buf left = {0};
    int code = nzd_node_done(node, &left, err);
    if (!code && left.size)
        nzd_output_warn(&context->output, "%s", nzd_buf_string(&left));
    nzd_buf_clear(&left);
    return code;
}

static int tell_committed(struct nzd_context *context,
                          struct nzd_journal *journal, struct nzd_question *q,
                          const struct nzd_txn *txn, bool forgot,
                          struct nzd_err *err)
{
    /* The VM has booted it: no code was replaced in it. Since a trial began
     * init:restart/0 boots what was before. */
    if (nzd_restarting_is(txn)) {
        if (txn->trial.us)
            nzd_code_path_put(context, journal, q, txn);
        return forgot ? nzd_node_act(q->node, "forget", err)
                      : nzd_settle_done(context, q->node, err);
    }
    int code = forgot ? nzd_rows_resend(q->node, journal, txn->id, err) : 0;
    if (!code && forgot)
        code = nzd_node_act(q->node, "resume_keep", err);
    if (!code)
        nzd_code_path_put(context, journal, q, txn);
    return code ? code : nzd_settle_done(context, q->node, err);
}

static int tell_agent(struct nzd_context *context, struct nzd_journal *journal,
                      struct nzd_question *q, const struct nzd_txn *txn,
                      uint64_t epoch, struct nzd_err *err)
{
    char phase[16];
    struct nzd_arena arena = {0};
    struct nzd_occupant_list blockers = {0};
    uint64_t took = 0;
    uint32_t left = 0;
    struct nzd_fence fence = {.txn = txn->id, .epoch = epoch};
    memcpy(fence.token, q->hello.token, 16);
    nzd_node_set_fence(q->node, &fence);
    int code =
        nzd_node_takeover(q->node, nzd_journal_uuid(journal), phase, err);
    if (code)
        return code;
    if (txn->state == NZD_STATE_COMMITTED)
        return tell_committed(context, journal, q, txn, !strcmp(phase, "idle"),
                              err);
    /* Another boot has undone it. */
    if (nzd_restarting_is(txn))
        return 0;
    code = nzd_node_act(q->node, "resume_undo", err);
    if (!code)
        code = nzd_node_undo(q->node, &took, &left, &arena, &blockers, err);
    free(blockers.items);
    nzd_arena_clear(&arena);
    return code;
}

static int note_newest(void *context, const struct nzd_txn *txn)
{
    uint64_t *committed = context;
    if (txn->state == NZD_STATE_ABORTED)
        return 0;
    *committed = txn->state == NZD_STATE_COMMITTED ? txn->id : 0;
    return 1;
}

/* Of which transaction the agent has to be told something; 0: none. */
static int find_untold(struct nzd_journal *journal,
                       const struct nzd_hello *hello, uint64_t *id,
                       struct nzd_err *err)
{
    *id = 0;
    if (!hello->has_owner ||
        memcmp(hello->owner, nzd_journal_uuid(journal), 16) != 0)
        return 0;
    if (!strcmp(hello->phase, "keeping") || !strcmp(hello->phase, "expired"))
        *id = hello->txn;
    else if (!strcmp(hello->phase, "idle") && hello->txn == 0)
        return nzd_journal_each_txn(journal, note_newest, id, err);
    return 0;
}

int nzd_settle_agent(struct nzd_context *context, struct nzd_journal *journal,
                     struct nzd_question *q, struct nzd_err *err)
{
    const struct nzd_hello *hello = &q->hello;
    struct nzd_txn txn;
    uint64_t epoch = 0, id = 0;
    int found = find_untold(journal, hello, &id, err);
    if (found < 0)
        return found;
    if (!id || nzd_journal_txn(journal, id, &txn, NULL))
        return 0;
    int code = nzd_journal_epoch(journal, &epoch, err);
    if (hello->epoch > epoch)
        epoch = hello->epoch;
    bool ours = hello->has_token && !memcmp(hello->token, txn.vm.token, 16) &&
                !nzd_state_is_open(txn.state);
    if (!code && ours)
        code = tell_agent(context, journal, q, &txn, epoch + 1, err);
    if (!code && ours)
        q->hello.epoch = epoch + 1;
    nzd_txn_clear(&txn);
    return code;
}
