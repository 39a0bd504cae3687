/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/attempts.h"
#include "overlay.h"
#include "run.h"

#include <inttypes.h>
#include <string.h>

struct health {
    struct nzd_context *context;
    struct nzd_journal *journal;
    uint64_t generation;
};

static int open_journal(struct health *h, enum nzd_journal_mode mode,
                        struct nzd_err *err)
{
    const struct nzd_target local = {.local = true};
    struct nzd_journal_options options;
    int code = nzd_run_open_journal(h->context, &local, mode, &options,
                                    &h->journal, err);
    if (code == NZD_ENOTFOUND)
        err->code = code = NZD_EREFUSED;
    return code;
}

/* --- ok, bad ------------------------------------------------------------- */

static int find_booted(struct health *h, struct nzd_err *err)
{
    char root[NZD_OVERLAY_PATH];
    int code = open_journal(h, NZD_JOURNAL_READ, err);
    if (!code)
        code = nzd_overlay_root(h->journal, root, err);
    if (code)
        return code;
    h->generation = nzd_overlay_booted(root);
    if (h->generation)
        return 0;
    nzd_err_set(err, NZD_EREFUSED,
                "the base runs, or the VM was not started by nzd boot: there "
                "is no generation to speak of");
    return NZD_EREFUSED;
}

static int speak(struct health *h, bool good, struct nzd_err *err)
{
    struct nzd_attempts attempts;
    const char *directory;
    int code = find_booted(h, err);
    if (code)
        return code;
    directory = nzd_journal_directory(h->journal);
    code = nzd_attempts_read(directory, &attempts, err);
    if (!code && attempts.generation != h->generation)
        return nzd_err_set(err, NZD_EREFUSED,
                           "generation %" PRIu64 " was booted, but boots of "
                           "%" PRIu64 " are counted",
                           h->generation, attempts.generation);
    attempts.tries = good ? 0 : UINT32_MAX;
    attempts.healthy = good;
    if (good)
        attempts.last_healthy = h->generation;
    else if (attempts.last_healthy == h->generation)
        attempts.last_healthy = 0;
    return code ? code : nzd_attempts_write(directory, &attempts, err);
}

/* --- lift ---------------------------------------------------------------- */

static int lift(struct health *h, struct nzd_err *err)
{
    const struct nzd_options *options = &h->context->options;
    struct nzd_txn txn;
    if (options->arg_count < 2 ||
        !nzd_parse_count(options->args[1], &h->generation))
        return nzd_err_set(err, NZD_EUSAGE, "nzd health lift N: which one?");
    int code = open_journal(h, NZD_JOURNAL_WRITE, err);
    if (!code)
        code = nzd_journal_txn(h->journal, h->generation, &txn, err);
    if (code == NZD_ENOTFOUND)
        err->code = code = NZD_EUSAGE;
    if (code)
        return code;
    struct nzd_move move = {.txn = &txn};
    if (txn.state != NZD_STATE_QUARANTINED)
        code = nzd_err_set(err, NZD_EREFUSED,
                           "generation %" PRIu64 " is %s, not quarantined",
                           txn.id, nzd_state_name(txn.state));
    txn.state = NZD_STATE_COMMITTED;
    if (!code)
        code = nzd_journal_move(h->journal, &move, err);
    nzd_txn_clear(&txn);
    return code;
}

/* --- the command --------------------------------------------------------- */

static int carry_out(struct health *h, const char *what, struct nzd_err *err)
{
    if (strcmp(what, "lift") == 0)
        return lift(h, err);
    if (h->context->options.arg_count > 1)
        return nzd_err_set(err, NZD_EUSAGE, "nzd health %s: '%s' is too much",
                           what, h->context->options.args[1]);
    if (strcmp(what, "ok") == 0 || strcmp(what, "bad") == 0)
        return speak(h, what[0] == 'o', err);
    return nzd_err_set(err, NZD_EUSAGE, "unknown command 'health %s'", what);
}

static void answer(const struct health *h, const char *what)
{
    struct nzd_output *output = &h->context->output;
    const char *state = strcmp(what, "ok") == 0    ? "healthy"
                        : strcmp(what, "bad") == 0 ? "bad"
                                                   : "lifted";
    if (output->json)
        nzd_output_json(output,
                        json_pack("{s:I, s:s}", "generation",
                                  (json_int_t)h->generation, "health", state));
    else
        nzd_output_line(
            output, "generation %" PRIu64 ": %s%s", h->generation, state,
            strcmp(what, "bad") == 0 ? "; the next boot takes the one before"
                                     : "");
}

int nzd_cmd_health(struct nzd_context *context)
{
    struct health h = {.context = context};
    struct nzd_err err = NZD_ERR_INIT;
    const char *what = context->options.args[0];
    int code = carry_out(&h, what, &err);
    nzd_journal_close(h.journal);
    if (code)
        nzd_output_error(&context->output, &err);
    else
        answer(&h, what);
    return nzd_err_exit(code);
}
