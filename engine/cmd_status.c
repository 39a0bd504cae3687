/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"
#include "file_lack.h"
#include "interrupt.h"
#include "proof.h"
#include "restart.h"
#include "restarting.h"
#include "run.h"
#include "trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DRIFT_SHOWN 10u

/* Everything status knows. */
struct status {
    struct nzd_context *context;
    struct nzd_question q;
    struct nzd_journal *journal; /* NULL: none */
    struct nzd_journal_stat stat;
    struct nzd_proof proof;
    struct nzd_txn in_force; /* id 0: the base */
    struct nzd_txn last;     /* id 0: none */
    struct nzd_txn open;     /* id 0: none */
    struct nzd_restart restart;
    char without[80]; /* a file in force that the VM was not started with */
    bool on_trial;    /* `open` is, and its code runs */
    bool booted;      /* `open` is or was, and its VM runs on */
    uint64_t left_us; /* then */
};

static int keep_last(void *context, const struct nzd_txn *txn)
{
    struct status *status = context;
    /* Only what is printed is kept. */
    status->last.id = txn->id;
    status->last.kind = txn->kind;
    status->last.state = txn->state;
    status->last.ended_us = txn->ended_us;
    status->last.why = txn->why ? strdup(txn->why) : NULL;
    return 1;
}

static int read_journal(struct status *status, struct nzd_err *err)
{
    struct nzd_journal *journal = status->journal;
    int code = nzd_journal_stat(journal, &status->stat, err);
    if (!code) {
        code = nzd_journal_in_force(journal, &status->q.base.identity,
                                    &status->in_force, err);
        if (code == NZD_ENOTFOUND) {
            nzd_err_clear(err);
            memset(&status->in_force, 0, sizeof status->in_force);
            code = 0;
        }
    }
    if (!code) {
        code = nzd_journal_open_txn(journal, &status->open, err);
        if (code == NZD_ENOTFOUND) {
            nzd_err_clear(err);
            memset(&status->open, 0, sizeof status->open);
            code = 0;
        }
    }
    if (!code) {
        code = nzd_journal_each_txn(journal, keep_last, status, err);
        if (code == 1)
            code = 0;
    }
    return code;
}

/* Its VM runs on: what was booted there is there until another boot. */
static bool is_booted(const struct status *status)
{
    const struct nzd_hello *hello = &status->q.hello;
    return status->open.state == NZD_STATE_TRIAL &&
           nzd_restarting_is(&status->open) && hello->has_token &&
           memcmp(hello->token, status->open.vm.token, 16) == 0;
}

/* By the agent, which may have ended it, and by the journal's deadline. */
static void read_trial(struct status *status)
{
    const struct nzd_hello *hello = &status->q.hello;
    bool held = hello->txn == status->open.id && hello->left_us;
    uint64_t left = nzd_trial_left(&status->open);
    status->booted = is_booted(status);
    status->on_trial =
        status->open.state == NZD_STATE_TRIAL && left &&
        (held || (status->booted && strcmp(hello->phase, "expired") != 0));
    status->left_us = held && hello->left_us < left ? hello->left_us : left;
}

static int gather(struct status *status, struct nzd_err *err)
{
    struct nzd_context *context = status->context;
    struct nzd_question *q = &status->q;
    struct nzd_journal_options options;
    int code = nzd_question_target(context, &q->target, err);
    if (!code) {
        code = nzd_run_open_journal(context, &q->target, NZD_JOURNAL_READ,
                                    &options, &status->journal, err);
        if (code == NZD_ENOTFOUND) {
            nzd_err_clear(err);
            code = 0;
        }
    }
    if (!code)
        code = nzd_question_connect(context, q, err);
    if (!code)
        code = nzd_question_node(context, q, err);
    if (!code && status->journal)
        code = read_journal(status, err);
    if (!code)
        read_trial(status);
    if (!code)
        code = nzd_proof_make(
            q, status->journal,
            status->on_trial || status->booted ? status->open.id : 0,
            &status->proof, err);
    if (!code && status->journal && !status->open.id)
        code = nzd_file_lack(q, status->journal, &status->in_force,
                             status->without, sizeof status->without, err);
    nzd_restart_read(q, status->journal, &status->in_force,
                     context->config.boot_tries, &status->restart);
    if (code == NZD_ELOST || code == NZD_ETIMEOUT)
        err->code = code = NZD_ENODE;
    return code;
}

/* Modules that differ; one that was removed and waits to go does not. */
static uint32_t differing(const struct nzd_proof *proof)
{
    return proof->drift_count - proof->removed_count;
}

static bool found_something(const struct status *status)
{
    return differing(&status->proof) || status->open.id || status->without[0];
}

/* --- text
 * -------------------------------------------------------------------------- */

static void show_drift(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    const struct nzd_proof *proof = &status->proof;
    for (uint32_t i = 0; i < proof->drift_count; i++) {
        const struct nzd_drift *drift = &proof->drift[i];
        char runs[NZD_DIGEST_HEX], expected[NZD_DIGEST_HEX];
        struct nzd_buf name = {0};
        if (i == DRIFT_SHOWN && !output->verbose) {
            nzd_output_line(output,
                            "  ... and %" PRIu32 " more (--verbose lists them)",
                            proof->drift_count - i);
            break;
        }
        nzd_digest_hex(runs, &drift->runs);
        nzd_digest_hex(expected, &drift->expected);
        nzd_output_name(output, drift->module, 16, &name);
        const char *module = nzd_buf_string(&name);
        if (nzd_digest_is_zero(&drift->runs))
            nzd_output_line(output, "  %s is not loaded, %s %.8s", module,
                            drift->from_journal ? "journal" : "file", expected);
        else if (nzd_digest_is_zero(&drift->expected))
            nzd_output_line(output,
                            "  %s was removed; it goes when nothing that "
                            "is loaded names it",
                            module);
        else
            nzd_output_line(output, "  %s runs %.8s, %s %.8s", module, runs,
                            drift->from_journal ? "journal" : "its file",
                            expected);
        nzd_buf_clear(&name);
    }
}

/* The VM was restarted and runs the base: nothing in force is loaded. */
static bool runs_only_base(const struct status *status)
{
    return status->in_force.id && status->proof.in_force &&
           !status->q.hello.has_token && !status->q.hello.overlay;
}

/* True when the code that is on trial runs, all of it. */
static bool show_trial_running(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    const struct nzd_proof *proof = &status->proof;
    bool tried = status->on_trial || status->booted;
    if (!tried || differing(proof))
        return false;
    nzd_output_line(output,
                    "running    %s%s %s%s, %s   proved: %" PRIu32 " of %" PRIu32
                    " module md5s",
                    nzd_color(output, 'y'), status->open.release,
                    status->open.to_version, nzd_color(output, '0'),
                    status->on_trial ? "on trial" : "not confirmed", proof->ok,
                    proof->total - proof->removed_count);
    show_drift(status);
    return true;
}

static void show_running(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    const struct nzd_question *q = &status->q;
    const struct nzd_proof *proof = &status->proof;
    uint64_t generation = status->in_force.id;
    if (show_trial_running(status))
        return;
    const char *name = generation ? status->in_force.release : q->base.name;
    const char *version =
        generation ? status->in_force.to_version : q->base.version;
    if (!differing(proof)) {
        nzd_output_line(output,
                        "running    %s%s %s%s, generation %" PRIu64
                        "   proved: %" PRIu32 " of %" PRIu32 " module md5s",
                        nzd_color(output, 'g'), name, version,
                        nzd_color(output, '0'), generation, proof->ok,
                        proof->total - proof->removed_count);
        show_drift(status);
        return;
    }
    char what[48] = "what is on trial";
    if (!status->on_trial && !status->booted)
        snprintf(what, sizeof what, "generation %" PRIu64, generation);
    nzd_output_line(
        output,
        "running    %sNOT %s%s: %" PRIu32 " of %" PRIu32 " modules differ%s",
        nzd_color(output, 'r'), what, nzd_color(output, '0'),
        proof->drift_count, proof->total, proof->drift_count == 1 ? "s" : "");
    show_drift(status);
    if (runs_only_base(status))
        nzd_output_line(output,
                        "  %-15s the VM was restarted since, and "
                        "booted the base",
                        "why");
    if (generation && !status->open.id)
        nzd_output_line(output,
                        "  %-15s nzd rollback --to %" PRIu64
                        " puts generation %" PRIu64 " back",
                        "next", generation, generation);
}

static void show_without(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    nzd_output_line(output,
                    "settings   %sNOT those of generation %" PRIu64
                    "%s: the VM was started without its %s",
                    nzd_color(output, 'r'), status->in_force.id,
                    nzd_color(output, '0'), status->without);
    nzd_output_line(output,
                    "  %-15s nzd rollback --to %" PRIu64
                    " puts generation %" PRIu64 " back",
                    "next", status->in_force.id, status->in_force.id);
}

static void show_trial(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    char until[96];
    nzd_trial_until(status->left_us, until);
    nzd_output_line(output, "trial      %s%" PRIu64 "%s %s",
                    nzd_color(output, 'y'), status->open.id,
                    nzd_color(output, '0'), until);
    nzd_output_line(
        output, "  %-15s nzd confirm keeps it, nzd rollback ends it", "next");
}

static void show_open(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    if (status->on_trial)
        show_trial(status);
    else if (status->booted)
        nzd_output_line(output,
                        "trial      %s%" PRIu64 " is over%s: it was not "
                        "confirmed; nzd recover has the generation before "
                        "booted",
                        nzd_color(output, 'y'), status->open.id,
                        nzd_color(output, '0'));
    else if (status->open.state == NZD_STATE_TRIAL)
        nzd_output_line(output,
                        "trial      %s%" PRIu64 " is over%s: it was not "
                        "confirmed; nzd recover writes that down",
                        nzd_color(output, 'y'), status->open.id,
                        nzd_color(output, '0'));
    else if (status->open.id)
        nzd_output_line(output,
                        "open       %s%" PRIu64 " is %s%s: nzd is at work, "
                        "or was cut short; see nzd recover",
                        nzd_color(output, 'y'), status->open.id,
                        nzd_state_name(status->open.state),
                        nzd_color(output, '0'));
}

static void show_last(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    char ago[40];
    show_open(status);
    if (!status->last.id || !status->last.ended_us)
        return;
    uint64_t now = nzd_wall_us();
    nzd_format_duration(
        ago, now > status->last.ended_us ? now - status->last.ended_us : 0);
    const char *why = status->last.why ? status->last.why : "";
    nzd_output_line(output, "last       %" PRIu64 " %s %s ago%s%s",
                    status->last.id, nzd_describe_state(status->last.state),
                    ago, why[0] ? ": " : "", why);
}

static void show_journal(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    char used[32], most[32];
    if (!status->journal) {
        nzd_output_line(output, "journal    none: nothing was ever applied");
        return;
    }
    nzd_format_bytes(used, status->stat.used_bytes);
    nzd_format_bytes(most, status->stat.max_bytes);
    nzd_output_line(
        output, "journal    %s, %" PRIu64 " transaction%s, %s of %s",
        nzd_journal_directory(status->journal), status->stat.transactions,
        status->stat.transactions == 1 ? "" : "s", used, most);
}

static void show_base(struct status *status)
{
    const struct nzd_question *q = &status->q;
    struct nzd_buf restart = {0};
    nzd_restart_describe(&status->restart, &restart);
    nzd_output_line(&status->context->output, "base       %s %s%s%s; %s",
                    q->base.name, q->base.version,
                    q->base.path[0] ? " in " : "", q->base.path,
                    nzd_buf_string(&restart));
    nzd_buf_clear(&restart);
}

static void show_boot(struct status *status)
{
    struct nzd_buf health = {0};
    if (!status->restart.by_nzd_boot)
        return;
    nzd_restart_describe_health(&status->restart, &health);
    nzd_output_line(&status->context->output, "boot       %s",
                    nzd_buf_string(&health));
    nzd_buf_clear(&health);
}

static void show(struct status *status)
{
    struct nzd_output *output = &status->context->output;
    const struct nzd_question *q = &status->q;
    char up[32];
    nzd_format_duration(up, q->hello.uptime_us);
    nzd_output_line(output, "node       %s, up %s, OTP %s, %s",
                    nzd_node_name(q->node), up, q->hello.otp,
                    q->hello.embedded ? "embedded" : "interactive");
    show_running(status);
    if (status->without[0])
        show_without(status);
    show_base(status);
    show_last(status);
    if (q->hello.old_code)
        nzd_output_line(output,
                        "old code   of %" PRIu64 " module%s is not purged "
                        "yet; the next apply waits for who is in it",
                        q->hello.old_code, q->hello.old_code == 1 ? "" : "s");
    else
        nzd_output_line(output, "old code   none: the next apply finds the "
                                "room free");
    show_boot(status);
    show_journal(status);
}

/* --- JSON
 * ----------------------------------------------------------------------------
 */

static json_t *digest_json(const struct nzd_digest *digest)
{
    char hex[NZD_DIGEST_HEX];
    if (nzd_digest_is_zero(digest))
        return json_null();
    nzd_digest_hex(hex, digest);
    return json_string(hex);
}

static json_t *drift_json(const struct nzd_proof *proof)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < proof->drift_count; i++) {
        const struct nzd_drift *drift = &proof->drift[i];
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:s}", "module", drift->module,
                            "runs", digest_json(&drift->runs), "expected",
                            digest_json(&drift->expected), "expected_by",
                            drift->from_journal ? "journal" : "file"));
    }
    return list;
}

static json_t *status_json(const struct status *status)
{
    const struct nzd_question *q = &status->q;
    json_t *journal = json_null();
    if (status->journal)
        journal =
            json_pack("{s:s, s:I, s:I, s:I}", "path",
                      nzd_journal_directory(status->journal), "transactions",
                      (json_int_t)status->stat.transactions, "used_bytes",
                      (json_int_t)status->stat.used_bytes, "max_bytes",
                      (json_int_t)status->stat.max_bytes);
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:{s:s, s:s, s:s, s:o}, s:{s:i, s:i}, s:o,"
        " s:s*, s:I, s:o, s:o, s:o, s:o}",
        "node", nzd_node_name(q->node), "otp", q->hello.otp, "mode",
        q->hello.embedded ? "embedded" : "interactive", "uptime_us",
        (json_int_t)q->hello.uptime_us, "generation",
        (json_int_t)status->in_force.id, "base", "name", q->base.name,
        "version", q->base.version, "path", q->base.path, "identity",
        digest_json(&q->base.identity), "proved", "ok", (int)status->proof.ok,
        "total", (int)status->proof.total, "drift", drift_json(&status->proof),
        "without", status->without[0] ? status->without : NULL, "old_code",
        (json_int_t)q->hello.old_code, "open",
        status->open.id
            ? json_pack("{s:I, s:s}", "txn", (json_int_t)status->open.id,
                        "state", nzd_state_name(status->open.state))
            : json_null(),
        "trial",
        status->on_trial ? nzd_trial_json(status->open.id, status->left_us)
                         : json_null(),
        "boot", nzd_restart_json(&status->restart), "journal", journal);
}

int nzd_cmd_status(struct nzd_context *context)
{
    struct status status = {.context = context};
    struct nzd_err err = NZD_ERR_INIT;
    int code = gather(&status, &err);
    int result = nzd_err_exit(code);
    if (code)
        nzd_output_error(&context->output, &err);
    else if (context->output.json)
        nzd_output_json(&context->output, status_json(&status));
    else
        show(&status);
    if (!code && context->options.check && found_something(&status))
        result = nzd_err_exit(NZD_EUNSETTLED);
    nzd_proof_clear(&status.proof);
    nzd_txn_clear(&status.in_force);
    nzd_txn_clear(&status.last);
    nzd_txn_clear(&status.open);
    nzd_question_clear(&status.q);
    nzd_journal_close(status.journal);
    return result;
}
