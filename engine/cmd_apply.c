/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle_child.h"
#include "run.h"

static int plan_bundle(struct nzd_context *context, struct nzd_question *q,
                       struct nzd_journal *journal, struct nzd_transaction *t,
                       struct nzd_err *err)
{
    int code = nzd_question_bundle(context, q, journal, t->source, err);
    if (!code && q->new.hooks.size)
        code = nzd_config_add_bundle_hooks(&context->config, q->new.hooks, err);
    return code;
}

int nzd_cmd_apply(struct nzd_context *context)
{
    struct nzd_run run = {
        .kind = NZD_TXN_APPLY,
        .source = context->options.args[0],
        .plan = plan_bundle,
    };
    context->bundle = nzd_bundle_child_start(run.source);
    int status = nzd_run_command(context, &run);
    nzd_bundle_child_close(context->bundle);
    context->bundle = NULL;
    return status;
}
