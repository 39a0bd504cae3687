/* SPDX-License-Identifier: Apache-2.0 */
#include "hook.h"

#include "interrupt.h"
#include "node_act.h"
#include "program.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes of a hook's output kept in the journal. */
#define OUTPUT_MAX 4000u

/* What became of one hook. */
struct verdict {
    bool passed;
    char text[640];
    uint64_t took_us;
    struct nzd_buf output;
};

static int run_call(const struct nzd_hook_run *run, const struct nzd_hook *hook,
                    struct verdict *out, struct nzd_err *err)
{
    struct nzd_call_result result = {0};
    uint64_t begin = nzd_clock_us();
    int code =
        nzd_node_call(run->node, hook->module, hook->function, hook->args,
                      hook->arg_count, hook->timeout_us, &result, err);
    out->took_us = nzd_clock_us() - begin;
    out->output = result.output;
    if (code)
        return code;
    out->passed = result.passed;
    if (result.timed_out)
        snprintf(out->text, sizeof out->text,
                 "gave no answer within %" PRIu64 " ms",
                 hook->timeout_us / 1000);
    else
        snprintf(out->text, sizeof out->text, "returned %s", result.value);
    return 0;
}

static void describe_end(const struct nzd_program_result *result,
                         const struct nzd_hook *hook, struct verdict *out)
{
    char *text = out->text;
    size_t size = sizeof out->text;
    switch (result->end) {
    case NZD_PROGRAM_EXITED:
        out->passed = result->status == 0;
        snprintf(text, size, "%s exited with %d", hook->args[0],
                 result->status);
        break;
    case NZD_PROGRAM_SIGNALLED:
        snprintf(text, size, "%s died of signal %d", hook->args[0],
                 result->status);
        break;
    case NZD_PROGRAM_TIMED_OUT:
        snprintf(text, size, "%s did not end within %" PRIu64 " ms",
                 hook->args[0], hook->timeout_us / 1000);
        break;
    case NZD_PROGRAM_NOT_STARTED:
        snprintf(text, size, "%s cannot be started: %s", hook->args[0],
                 strerror(result->status));
        break;
    case NZD_PROGRAM_INTERRUPTED:
        snprintf(text, size, "%s was ended by a signal to nzd", hook->args[0]);
        break;
    }
}

static int run_command(const struct nzd_hook_run *run,
                       const struct nzd_hook *hook, struct verdict *out,
                       struct nzd_err *err)
{
    char txn[40], node[600], phase[40], bundle[1100], outcome[64];
    const char *environment[] = {txn, node, phase, bundle, outcome, NULL};
    struct nzd_program_result result = {0};
    struct nzd_program program = {
        .argv = hook->args,
        .environment = environment,
        .timeout_us = hook->timeout_us,
        .output_max = OUTPUT_MAX,
    };
    snprintf(txn, sizeof txn, "NZD_TXN=%" PRIu64, run->txn);
    snprintf(node, sizeof node, "NZD_NODE=%s",
             run->node ? nzd_node_name(run->node) : "");
    snprintf(phase, sizeof phase, "NZD_PHASE=%s",
             nzd_hook_phase_name(hook->phase));
    snprintf(bundle, sizeof bundle, "NZD_BUNDLE=%s",
             run->bundle ? run->bundle : "");
    snprintf(outcome, sizeof outcome, "NZD_OUTCOME=%s",
             run->outcome ? run->outcome : "");
    int code = nzd_program_run(
        &program, run->node ? nzd_node_link(run->node) : NULL, &result, err);
    out->took_us = result.took_us;
    out->output = result.output;
    if (!code)
        describe_end(&result, hook, out);
    return code;
}

static void record(const struct nzd_hook_run *run, const struct nzd_hook *hook,
                   struct verdict *verdict)
{
    char label[32];
    snprintf(label, sizeof label, "hook %s", nzd_hook_phase_name(hook->phase));
    const char *format = verdict->passed ? "%s ok" : "%s FAILED: %s";
    char text[800];
    snprintf(text, sizeof text, format, hook->name, verdict->text);
    nzd_timeline_add(run->timeline, NZD_EVENT_HOOK, label, verdict->took_us,
                     "%s", text);
    nzd_timeline_attach(run->timeline, nzd_buf_view(&verdict->output),
                        OUTPUT_MAX);
    nzd_output_step(run->output, label, verdict->took_us, NULL, "%s", text);
}

static int run_one(const struct nzd_hook_run *run, const struct nzd_hook *hook,
                   struct nzd_err *err)
{
    struct verdict verdict = {0};
    int code = 0;
    if (hook->module && !run->node)
        snprintf(verdict.text, sizeof verdict.text, "the node is gone");
    else
        code = hook->module ? run_call(run, hook, &verdict, err)
                            : run_command(run, hook, &verdict, err);
    if (!code) {
        record(run, hook, &verdict);
        if (!verdict.passed)
            code = nzd_err_set(err, NZD_EROLLEDBACK, "hook %s %s", hook->name,
                               verdict.text);
    }
    nzd_buf_clear(&verdict.output);
    return code;
}

int nzd_hooks_run(const struct nzd_hook_run *run, enum nzd_hook_phase phase,
                  struct nzd_err *err)
{
    for (unsigned i = 0; i < run->config->hook_count; i++) {
        const struct nzd_hook *hook = &run->config->hooks[i];
        if (hook->phase != phase)
            continue;
        struct nzd_err ignored = NZD_ERR_INIT;
        bool outcome = phase == NZD_HOOK_OUTCOME;
        int code = run_one(run, hook, outcome ? &ignored : err);
        if (code && !outcome)
            return code;
    }
    return 0;
}

int nzd_hooks_recall(struct nzd_config *config, const struct nzd_txn *txn,
                     struct nzd_err *err)
{
    if (!txn->hooks || !txn->hooks[0])
        return 0;
    for (unsigned i = 0; i < config->hook_count; i++)
        if (config->hooks[i].from_bundle)
            return 0;
    return nzd_config_add_bundle_hooks(config, nzd_view_text(txn->hooks), err);
}
