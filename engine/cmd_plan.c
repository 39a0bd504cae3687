/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle_child.h"
#include "check.h"
#include "migrate.h"
#include "plan_view.h"
#include "rehearse.h"
#include "run.h"
#include "settle.h"

#include <inttypes.h>
#include <string.h>

/* What plan prints, and 5 where the verdict is over --max. */
static int answer(struct nzd_context *context, const struct nzd_plan_view *view)
{
    struct nzd_output *output = &context->output;
    struct nzd_err err = NZD_ERR_INIT;
    if (output->json)
        nzd_output_json(output, nzd_plan_json(view));
    else
        nzd_plan_show(output, view);
    if (context->options.has_max && view->plan->verdict > view->max)
        nzd_err_set(&err, NZD_EREFUSED, "verdict %s is over --max %s",
                    nzd_level_name(view->plan->verdict),
                    nzd_level_name(view->max));
    else if (!view->question ||
             !nzd_rehearsal_refuse(&view->question->rehearsal, &err))
        return 0;
    if (!output->json)
        nzd_output_error(output, &err);
    return nzd_err_exit(err.code);
}

static int fail(struct nzd_context *context, struct nzd_err *err)
{
    nzd_err_untouched(err, "nothing was touched");
    nzd_output_error(&context->output, err);
    return nzd_err_exit(err->code);
}

/* What apply would refuse is not to be called hot. */
static int read_hooks(struct nzd_context *context,
                      const struct nzd_inventory *bundle, struct nzd_err *err)
{
    return bundle->hooks.size ? nzd_config_add_bundle_hooks(&context->config,
                                                            bundle->hooks, err)
                              : 0;
}

/* --- two releases, no node
 * ---------------------------------------------------- */

static int read_release(const char *path, struct nzd_inventory *out,
                        struct nzd_err *err)
{
    const struct nzd_release_options options = {0};
    struct nzd_bundle_child *child = nzd_bundle_child_start(path);
    int code = child ? nzd_bundle_child_read(child, &options, NULL, out, err)
                     : nzd_err_memory(err);
    nzd_bundle_child_close(child);
    return code;
}

static int plan_offline(struct nzd_context *context)
{
    struct nzd_inventory old, new;
    struct nzd_plan plan = {0};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_plan_view view = {
        .plan = &plan,
        .max = nzd_check_max(context),
        .options = &context->options,
    };
    nzd_inventory_init(&old);
    nzd_inventory_init(&new);
    int code = 0;
    if (context->options.rehearse)
        code = nzd_err_set(&err, NZD_EUSAGE,
                           "--rehearse needs a node: two releases hold no "
                           "states");
    if (!code)
        code = read_release(context->options.args[0], &old, &err);
    if (!code)
        code = read_release(context->options.args[1], &new, &err);
    if (!code)
        code = read_hooks(context, &new, &err);
    if (!code)
        code = nzd_plan_diff(&old, &new, &plan, &err);
    if (!code)
        code = nzd_plan_judge(&plan, &err);
    int status = code ? fail(context, &err) : answer(context, &view);
    nzd_plan_clear(&plan);
    nzd_inventory_clear(&old);
    nzd_inventory_clear(&new);
    return status;
}

/* --- a bundle against a node
 * ---------------------------------------------------- */

static bool is_down(const struct nzd_question *q, struct nzd_journal *journal)
{
    const struct nzd_txn apply = {.kind = NZD_TXN_APPLY};
    return nzd_migrate_is_down(&q->plan, &apply, journal);
}

static int ask(struct nzd_context *context, struct nzd_question *q,
               struct nzd_journal **journal, struct nzd_err *err)
{
    struct nzd_journal_options options;
    int code = nzd_question_target(context, &q->target, err);
    if (!code) {
        code = nzd_run_open_journal(context, &q->target, NZD_JOURNAL_READ,
                                    &options, journal, err);
        if (code == NZD_ENOTFOUND) {
            nzd_err_clear(err);
            code = 0;
        }
    }
    if (!code)
        code = nzd_settle_none_open(*journal, err);
    if (!code)
        code = nzd_question_connect(context, q, err);
    if (!code)
        code = nzd_question_node(context, q, err);
    if (!code)
        code = nzd_question_bundle(context, q, *journal,
                                   context->options.args[0], err);
    if (!code)
        code = read_hooks(context, &q->new, err);
    if (!code && q->plan.step_count)
        code = nzd_question_occupants(q, err);
    if (!code && context->options.rehearse)
        code = nzd_rehearse(context, q, is_down(q, *journal), NULL, err);
    if (code == NZD_EREFUSED && q->rehearsal.done) {
        nzd_err_clear(err);
        code = 0;
    }
    if (code == NZD_ELOST || code == NZD_ETIMEOUT)
        err->code = code = NZD_ENODE;
    return code;
}

static int plan_node(struct nzd_context *context)
{
    struct nzd_question q = {0};
    struct nzd_journal *journal = NULL;
    struct nzd_journal_stat stat;
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_plan_view view = {
        .plan = &q.plan,
        .question = &q,
        .max = nzd_check_max(context),
        .options = &context->options,
    };
    int code = ask(context, &q, &journal, &err);
    if (!code && journal && !nzd_journal_stat(journal, &stat, NULL))
        view.journal = &stat;
    int status = code ? fail(context, &err) : answer(context, &view);
    nzd_question_clear(&q);
    nzd_journal_close(journal);
    return status;
}

int nzd_cmd_plan(struct nzd_context *context)
{
    if (context->options.arg_count == 2)
        return plan_offline(context);
    context->bundle = nzd_bundle_child_start(context->options.args[0]);
    int status = plan_node(context);
    nzd_bundle_child_close(context->bundle);
    context->bundle = NULL;
    return status;
}
