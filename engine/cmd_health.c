/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/attempts.h"
#include "health_vm.h"
#include "run.h"
#include "units.h"

#include <inttypes.h>
#include <string.h>

struct health {
    struct nzd_context *context;
    struct nzd_journal *journal;
    uint64_t generation;
    struct nzd_health_vm vm;
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

/* Of another one that is counted: what has booted in place was not. */
static int find_count(struct health *h, struct nzd_attempts *out,
                      struct nzd_err *err)
{
    const struct nzd_health_vm *vm = &h->vm;
    int code = nzd_attempts_read(nzd_journal_directory(h->journal), out, err);
    if (code || (out->generation == vm->generation &&
                 nzd_digest_equal(&out->base, &vm->base)))
        return code;
    if (!vm->in_force)
        return nzd_err_set(err, NZD_EREFUSED,
                           "generation %" PRIu64 " was booted, but boots of "
                           "%" PRIu64 " are counted",
                           vm->generation, out->generation);
    bool same = nzd_digest_equal(&out->base, &vm->base);
    *out = (struct nzd_attempts){
        .base = vm->base,
        .generation = vm->generation,
        .last_healthy = same ? nzd_health_vm_last(h->journal, out) : 0};
    return 0;
}

/* What is not committed yet stays spent, so that it is not booted once more,
 * and nothing falls back to it. */
static int speak(struct health *h, bool good, struct nzd_err *err)
{
    struct nzd_attempts attempts;
    int code = open_journal(h, NZD_JOURNAL_READ, err);
    if (!code)
        code = nzd_health_vm_find(h->context, h->journal, &h->vm, err);
    h->generation = h->vm.generation;
    if (!code)
        code = find_count(h, &attempts, err);
    if (code)
        return code;
    if (!good)
        attempts.tries = UINT32_MAX;
    else if (!h->vm.open)
        attempts.tries = 0;
    attempts.healthy = good;
    if (good && !h->vm.open)
        attempts.last_healthy = h->generation;
    else if (!good && attempts.last_healthy == h->generation)
        attempts.last_healthy = 0;
    return nzd_attempts_write(nzd_journal_directory(h->journal), &attempts,
                              err);
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
    bool bad = strcmp(what, "bad") == 0;
    const char *state = bad                       ? "bad"
                        : strcmp(what, "ok") == 0 ? "healthy"
                                                  : "lifted";
    const char *then = h->vm.open ? "; it is not committed yet"
                       : bad      ? "; the next boot takes the one before"
                                  : "";
    if (output->json)
        nzd_output_json(output,
                        json_pack("{s:I, s:s}", "generation",
                                  (json_int_t)h->generation, "health", state));
    else
        nzd_output_line(output, "generation %" PRIu64 ": %s%s", h->generation,
                        state, then);
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
