/* SPDX-License-Identifier: Apache-2.0 */
#include "restarting_internal.h"

#include "../journal/attempts.h"
#include "../journal/point.h"
#include "health_vm.h"
#include "interrupt.h"
#include "node_act.h"
#include "overlay.h"
#include "program.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OUTPUT_MAX 4000u /* bytes of the command's that are kept */

/* --- in place ------------------------------------------------------------ */

/* The generation that is to be booted; 0: the base. */
static int generation_of(struct nzd_going *g, bool forward, uint64_t *out,
                         struct nzd_err *err)
{
    struct nzd_txn before;
    const struct nzd_txn *txn = g->s->txn;
    *out = txn->new_set.count ? txn->id : 0;
    if (forward)
        return 0;
    int code = nzd_journal_in_force(g->s->journal, &txn->base, &before, err);
    *out = 0;
    if (code == NZD_ENOTFOUND) {
        nzd_err_clear(err);
        return 0;
    }
    if (!code && before.new_set.count)
        *out = before.id;
    if (!code)
        nzd_txn_clear(&before);
    return code;
}

static void base_boot(const struct nzd_going *g, char out[NZD_OVERLAY_PATH])
{
    size_t size = strlen(g->q.base.boot_file);
    out[0] = '\0';
    if (size > 5 && size < NZD_OVERLAY_PATH)
        snprintf(out, NZD_OVERLAY_PATH, "%.*s", (int)(size - 5),
                 g->q.base.boot_file);
}

/* It is counted before: a VM that comes back through nzd boot is not the
 * first one to try it. */
static int count_attempt(struct nzd_going *g, struct nzd_err *err)
{
    const char *directory = nzd_journal_directory(g->s->journal);
    struct nzd_attempts attempts = {.generation = 0};
    struct nzd_err ignored = NZD_ERR_INIT;
    nzd_attempts_read(directory, &attempts, &ignored);
    uint64_t healthy = nzd_health_vm_last(g->s->journal, &attempts);
    if (!nzd_digest_equal(&attempts.base, &g->s->txn->base))
        healthy = 0;
    attempts = (struct nzd_attempts){.base = g->s->txn->base,
                                     .generation = g->s->txn->id,
                                     .last_healthy = healthy,
                                     .tries = 1};
    return nzd_attempts_write(directory, &attempts, err);
}

static int lay_out(struct nzd_going *g, uint64_t generation,
                   char boot[NZD_OVERLAY_PATH], struct nzd_err *err)
{
    struct nzd_overlay overlay = {.folder_count = 0};
    const struct nzd_overlay_base base = {.identity = &g->s->txn->base,
                                          .script = g->q.old.boot_script,
                                          .boot_file = g->q.base.boot_file};
    int code =
        nzd_overlay_make(g->s->journal, &base, generation, &overlay, err);
    if (!code && !overlay.has_boot)
        code = nzd_err_set(err, NZD_EREFUSED,
                           "no boot script can be made for generation %" PRIu64,
                           generation);
    if (!code)
        code = nzd_overlay_set_current(&overlay, err);
    if (!code)
        snprintf(boot, NZD_OVERLAY_PATH, "%.500scurrent/start", overlay.root);
    nzd_overlay_clear(&overlay);
    return code;
}

int nzd_restarting_way_back(struct nzd_going *g, char boot[NZD_OVERLAY_PATH],
                            struct nzd_err *err)
{
    uint64_t generation = 0;
    int code = nzd_restarting_know_base(g, err);
    if (!code)
        code = generation_of(g, false, &generation, err);
    if (code)
        return code;
    base_boot(g, boot);
    if (generation)
        return lay_out(g, generation, boot, err);
    return boot[0] ? 0
                   : nzd_err_set(err, NZD_EREFUSED,
                                 "the boot script of the base is not known");
}

/* It was not restarted: what init:restart/0 boots is what was in force. */
static void lay_back(struct nzd_going *g)
{
    char boot[NZD_OVERLAY_PATH];
    uint64_t generation = 0;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (!generation_of(g, false, &generation, &ignored) && generation)
        lay_out(g, generation, boot, &ignored);
}

static int restart_in_place(struct nzd_going *g, bool forward,
                            struct nzd_err *err)
{
    char boot[NZD_OVERLAY_PATH];
    uint64_t generation = 0;
    int code = nzd_restarting_know_base(g, err);
    if (!code)
        code = generation_of(g, forward, &generation, err);
    if (!code && forward)
        code = count_attempt(g, err);
    nzd_point("before the overlay of a restart");
    base_boot(g, boot);
    if (!code && generation)
        code = lay_out(g, generation, boot, err);
    nzd_point("before the VM is restarted in place");
    if (!code)
        code = nzd_restarting_speak(g, err);
    if (!code)
        code = nzd_node_restart(g->q.node, boot, err);
    /* Whoever is about to end may not have answered. */
    if (code == NZD_ELOST || code == NZD_ETIMEOUT) {
        nzd_err_clear(err);
        return 0;
    }
    if (code && forward)
        lay_back(g);
    return code;
}

/* --- by a command -------------------------------------------------------- */

static void describe_end(const struct nzd_program_result *result,
                         const char *program, struct nzd_err *err)
{
    static const char *const how[] = {
        [NZD_PROGRAM_EXITED] = "exited with",
        [NZD_PROGRAM_SIGNALLED] = "died of signal",
        [NZD_PROGRAM_TIMED_OUT] = "did not end in time",
        [NZD_PROGRAM_NOT_STARTED] = "cannot be started, error",
        [NZD_PROGRAM_INTERRUPTED] = "was ended by a signal to nzd",
    };
    nzd_err_set(err, NZD_EREFUSED, "the restart command %s %s %d", program,
                how[result->end], result->status);
}

/* A signal to nzd meanwhile is no answer: a device that is told to reboot
 * ends everybody. */
static int run_command(struct nzd_going *g, struct nzd_err *err)
{
    const struct nzd_config *config = &g->s->context->config;
    char txn[40], node[600];
    const char *environment[] = {txn, node, NULL};
    struct nzd_program_result result = {.status = 0};
    const struct nzd_program program = {.argv = config->restart_command,
                                        .environment = environment,
                                        .timeout_us =
                                            config->restart_timeout_us,
                                        .output_max = OUTPUT_MAX};
    snprintf(txn, sizeof txn, "NZD_TXN=%" PRIu64, g->s->txn->id);
    snprintf(node, sizeof node, "NZD_NODE=%s", g->s->target->node);
    int code = nzd_program_run(&program, NULL, &result, err);
    bool begun =
        !code && (result.end == NZD_PROGRAM_INTERRUPTED ||
                  (result.end == NZD_PROGRAM_EXITED && result.status == 0));
    nzd_timeline_add(g->s->timeline, NZD_EVENT_NOTE, "restart", result.took_us,
                     "%s", config->restart_command[0]);
    nzd_timeline_attach(g->s->timeline, nzd_buf_view(&result.output),
                        OUTPUT_MAX);
    if (!code && !begun)
        describe_end(&result, config->restart_command[0], err);
    nzd_buf_clear(&result.output);
    return code || begun ? code : err->code;
}

int nzd_restarting_act(struct nzd_going *g, bool forward, struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    bool command = g->way == NZD_RESTART_COMMAND;
    if (command && !s->context->config.restart_words)
        return nzd_err_set(err, NZD_EREFUSED,
                           "no restart command is configured any more");
    if (!command && !g->q.node)
        return nzd_err_set(err, NZD_EREFUSED, "nobody can be asked");
    nzd_output_step(&s->context->output, "restart", 0, NULL, "%s: %s",
                    command ? s->context->config.restart_command[0]
                            : "init:restart/0",
                    forward ? "the new generation" : "the generation before");
    g->down_us = nzd_clock_us();
    nzd_point("before a restart");
    int code =
        command ? run_command(g, err) : restart_in_place(g, forward, err);
    nzd_point("behind a restart");
    return code;
}
