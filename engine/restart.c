/* SPDX-License-Identifier: Apache-2.0 */
#include "restart.h"

#include "../journal/attempts.h"
#include "overlay.h"

#include <inttypes.h>
#include <string.h>

static bool is_spent(const struct nzd_restart *restart)
{
    return restart->tries >= restart->tries_max;
}

static void read_health(const struct nzd_question *q,
                        struct nzd_journal *journal, uint64_t generation,
                        uint32_t boot_tries, struct nzd_restart *out)
{
    struct nzd_attempts attempts = {.generation = 0};
    struct nzd_err ignored = NZD_ERR_INIT;
    if (journal)
        nzd_attempts_read(nzd_journal_directory(journal), &attempts, &ignored);
    out->counted = attempts.generation == generation && generation &&
                   nzd_digest_equal(&attempts.base, &q->base.identity);
    out->healthy = out->counted && attempts.healthy;
    /* Boots of another are counted meanwhile, as of what is on trial. */
    if (!out->counted && generation && attempts.last_healthy == generation &&
        nzd_digest_equal(&attempts.base, &q->base.identity))
        out->healthy = true;
    out->tries = out->counted ? attempts.tries : 0;
    out->tries_max = nzd_attempts_limit(out->healthy, boot_tries);
}

void nzd_restart_read(const struct nzd_question *q, struct nzd_journal *journal,
                      const struct nzd_txn *in_force, uint32_t boot_tries,
                      struct nzd_restart *out)
{
    memset(out, 0, sizeof *out);
    out->generation = in_force->new_set.count ? in_force->id : 0;
    out->by_nzd_boot = q->hello.by_nzd_boot && q->target.local;
    out->booted = q->hello.nzd_booted;
    out->in_place = q->hello.overlay && q->target.local;
    read_health(q, journal, in_force->id, boot_tries, out);
}

void nzd_restart_describe(const struct nzd_restart *restart,
                          struct nzd_buf *out)
{
    uint64_t generation = restart->generation;
    if (generation && restart->by_nzd_boot && is_spent(restart))
        nzd_buf_printf(out,
                       "a restart falls back from generation %" PRIu64
                       " to the one before",
                       generation);
    else if (generation && restart->by_nzd_boot)
        nzd_buf_printf(out, "a restart boots generation %" PRIu64, generation);
    else if (generation && restart->in_place)
        nzd_buf_printf(out,
                       "init:restart/0 boots generation %" PRIu64
                       ", a new start of the VM the base",
                       generation);
    else
        nzd_buf_text(out, "a restart boots it");
}

void nzd_restart_describe_health(const struct nzd_restart *restart,
                                 struct nzd_buf *out)
{
    if (!restart->generation) {
        nzd_buf_text(out, "nzd boot is set up; the base's code is in force");
        return;
    }
    if (restart->tries == UINT32_MAX) {
        nzd_buf_text(out, "bad, as nzd health was told");
        return;
    }
    nzd_buf_printf(out, "%s, %" PRIu32 " of %" PRIu32 " tries used",
                   restart->healthy   ? "healthy"
                   : restart->counted ? "not found healthy yet"
                                      : "not booted yet",
                   restart->tries, restart->tries_max);
}

json_t *nzd_restart_json(const struct nzd_restart *restart)
{
    uint64_t generation = restart->generation;
    bool boots = restart->by_nzd_boot && !is_spent(restart);
    bool in_place = restart->in_place;
    return json_pack(
        "{s:b, s:I, s:I, s:I, s:b, s:b, s:I, s:I}", "nzd_boot",
        restart->by_nzd_boot, "booted", (json_int_t)restart->booted, "restart",
        (json_int_t)(boots ? generation : 0), "init_restart",
        (json_int_t)(in_place ? generation : 0), "counted", restart->counted,
        "healthy", restart->healthy, "tries", (json_int_t)restart->tries,
        "tries_max", (json_int_t)restart->tries_max);
}

bool nzd_restart_in_place(const struct nzd_question *q)
{
    return q->target.local && q->old.boot_script &&
           q->base.boot_file[0] == '/' && nzd_overlay_place();
}

enum nzd_restart_way nzd_restart_way(const struct nzd_context *context,
                                     const struct nzd_question *q)
{
    enum nzd_need need = nzd_plan_need(&q->plan);
    if (!q->target.local || need == NZD_NEED_BASE)
        return NZD_RESTART_NONE;
    if (context->config.restart_words && q->hello.by_nzd_boot)
        return NZD_RESTART_COMMAND;
    return need <= NZD_NEED_RESTART && nzd_restart_in_place(q)
               ? NZD_RESTART_IN_PLACE
               : NZD_RESTART_NONE;
}
