/* SPDX-License-Identifier: Apache-2.0 */
#include "before_start.h"
#include "run.h"
#include "settle.h"

#include <inttypes.h>

/* Settles the journal first; then the agent, where the node answers. */
static int recover(struct nzd_context *context, struct nzd_question *q,
                   struct nzd_journal **journal, struct nzd_err *err)
{
    struct nzd_journal_options options;
    int code = nzd_question_target(context, &q->target, err);
    if (!code)
        code = nzd_run_open_journal(context, &q->target, NZD_JOURNAL_WRITE,
                                    &options, journal, err);
    if (code == NZD_ENOTFOUND) {
        nzd_err_clear(err);
        return 0;
    }
    if (!code)
        code = nzd_settle_open(context, *journal, &q->target, err);
    if (code)
        return code;
    struct nzd_err away = NZD_ERR_INIT;
    if (nzd_question_connect(context, q, &away))
        return 0; /* nothing is open, so there is nothing to tell it */
    return nzd_settle_agent(context, *journal, q, err);
}

static int recover_with_node(struct nzd_context *context, struct nzd_err *err)
{
    struct nzd_question q = {0};
    struct nzd_journal *journal = NULL;
    int code = recover(context, &q, &journal, err);
    nzd_question_clear(&q);
    nzd_journal_close(journal);
    return code;
}

int nzd_cmd_recover(struct nzd_context *context)
{
    struct nzd_err err = NZD_ERR_INIT;
    /* What is settled stays so, whether or not it could be said. */
    context->changed = true;
    int code = context->options.before_start ? nzd_before_start(context, &err)
                                             : recover_with_node(context, &err);
    if (code)
        nzd_output_error(&context->output, &err);
    else if (context->output.json)
        nzd_output_json(
            &context->output,
            json_pack("{s:s, s:s}", "event", "outcome", "state", "settled"));
    else
        nzd_output_line(&context->output, "settled: nothing is open");
    return nzd_err_exit(code);
}
