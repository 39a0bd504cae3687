/* SPDX-License-Identifier: Apache-2.0 */
#include "health_vm.h"

#include "overlay.h"
#include "question.h"
#include "restarting.h"

#include <inttypes.h>
#include <string.h>

/* --- what the journal knows of it ---------------------------------------- */

/* Its state; NONE: it is not held. */
static enum nzd_state state_of(struct nzd_journal *journal, uint64_t generation)
{
    struct nzd_txn txn;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (nzd_journal_txn(journal, generation, &txn, &ignored))
        return NZD_STATE_NONE;
    enum nzd_state state = txn.state;
    nzd_txn_clear(&txn);
    return state;
}

uint64_t nzd_health_vm_last(struct nzd_journal *journal,
                            const struct nzd_attempts *attempts)
{
    if (!attempts->healthy)
        return attempts->last_healthy;
    enum nzd_state state = state_of(journal, attempts->generation);
    /* One that is no longer held was committed once. */
    bool counts = state == NZD_STATE_NONE || state == NZD_STATE_COMMITTED ||
                  state == NZD_STATE_QUARANTINED;
    return counts ? attempts->generation : attempts->last_healthy;
}

static uint64_t in_force(struct nzd_journal *journal,
                         const struct nzd_digest *base)
{
    struct nzd_txn txn;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (nzd_journal_in_force(journal, base, &txn, &ignored))
        return 0;
    uint64_t id = txn.id;
    nzd_txn_clear(&txn);
    return id;
}

static void look_up(struct nzd_journal *journal, struct nzd_health_vm *out)
{
    out->open = nzd_state_is_open(state_of(journal, out->generation));
    out->in_force = in_force(journal, &out->base) == out->generation;
}

static int nothing_to_speak_of(struct nzd_err *err)
{
    return nzd_err_set(err, NZD_EREFUSED,
                       "the base runs, or the VM was not started by nzd boot: "
                       "there is no generation to speak of");
}

/* --- the VM says it ------------------------------------------------------ */

static int is_another(const struct nzd_question *q, struct nzd_journal *journal,
                      struct nzd_err *err)
{
    struct nzd_digest owner;
    if (!q->target.local)
        return nzd_err_set(err, NZD_EREFUSED,
                           "%s is on another host: nzd health is of the VM of "
                           "this one",
                           q->target.node);
    if (!q->hello.has_owner ||
        !memcmp(q->hello.owner, nzd_journal_uuid(journal), NZD_DIGEST_SIZE))
        return 0;
    memcpy(owner.bytes, q->hello.owner, sizeof owner.bytes);
    return nzd_node_foreign(q->node, &owner, err);
}

/* `asked`: it answers, and what it says counts, whatever that is. */
static int ask(struct nzd_context *context, struct nzd_journal *journal,
               struct nzd_health_vm *out, bool *asked, struct nzd_err *err)
{
    struct nzd_question q = {0};
    int code = nzd_question_target(context, &q.target, err);
    if (!code)
        code = nzd_question_connect(context, &q, err);
    *asked = !code;
    if (!code)
        code = is_another(&q, journal, err);
    if (!code && !q.hello.nzd_booted)
        code = nothing_to_speak_of(err);
    nzd_inventory_init(&q.old);
    if (!code)
        code = nzd_node_base(q.node, &q.hello, &q.old, &q.base, err);
    out->generation = q.hello.nzd_booted;
    out->base = q.base.identity;
    nzd_question_clear(&q);
    return code;
}

/* --- it cannot be asked -------------------------------------------------- */

/* What init:restart/0 boots is what is in force, or what an open transaction
 * has had booted. */
static bool is_certain(struct nzd_journal *journal,
                       const struct nzd_health_vm *vm)
{
    struct nzd_txn open;
    struct nzd_err ignored = NZD_ERR_INIT;
    int code = nzd_journal_open_txn(journal, &open, &ignored);
    if (code == NZD_ENOTFOUND)
        return vm->in_force;
    if (code)
        return false;
    bool certain = open.state == NZD_STATE_RESTARTING
                       ? open.id == vm->generation
                       : vm->in_force && !nzd_restarting_is(&open);
    nzd_txn_clear(&open);
    return certain;
}

static int take_note(struct nzd_journal *journal, const struct nzd_err *why,
                     struct nzd_health_vm *out, struct nzd_err *err)
{
    char root[NZD_OVERLAY_PATH];
    struct nzd_attempts attempts = {.generation = 0};
    int code = nzd_overlay_root(journal, root, err);
    if (!code)
        code =
            nzd_attempts_read(nzd_journal_directory(journal), &attempts, err);
    if (code)
        return code;
    out->generation = nzd_overlay_booted(root);
    out->base = attempts.base;
    if (!out->generation)
        return nothing_to_speak_of(err);
    look_up(journal, out);
    if (is_certain(journal, out))
        return 0;
    nzd_err_set(err, NZD_EREFUSED,
                "nzd boot started the VM with generation %" PRIu64 "; whether "
                "it has booted another one since, it cannot be asked (%.300s)",
                out->generation, why->message);
    nzd_err_next(err, "say which node it is: --node NAME, and its cookie: "
                      "--cookie-file FILE");
    return NZD_EREFUSED;
}

int nzd_health_vm_find(struct nzd_context *context, struct nzd_journal *journal,
                       struct nzd_health_vm *out, struct nzd_err *err)
{
    struct nzd_err away = NZD_ERR_INIT;
    bool asked = false;
    memset(out, 0, sizeof *out);
    int code = ask(context, journal, out, &asked, &away);
    if (!asked)
        return take_note(journal, &away, out, err);
    if (code)
        *err = away;
    else
        look_up(journal, out);
    return code;
}
