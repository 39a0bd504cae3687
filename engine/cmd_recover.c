/* SPDX-License-Identifier: Apache-2.0 */
#include "attend.h"
#include "before_start.h"
#include "run.h"
#include "settle.h"
#include "settle_agent.h"
#include "trial.h"

#include <inttypes.h>

/* Settles the journal first; then the agent, where the node answers. */
static int recover(struct nzd_context *context, struct nzd_question *q,
                   struct nzd_journal **journal, struct nzd_trial_word *word,
                   struct nzd_err *err)
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
        code = nzd_settle_open(context, *journal, &q->target, word, err);
    if (code || word->state == NZD_STATE_TRIAL)
        return code;
    struct nzd_err away = NZD_ERR_INIT;
    if (nzd_question_connect(context, q, &away))
        return 0; /* nothing is open, so there is nothing to tell it */
    return nzd_settle_agent(context, *journal, q, err);
}

static int recover_with_node(struct nzd_context *context,
                             struct nzd_trial_word *word, struct nzd_err *err)
{
    struct nzd_question q = {0};
    struct nzd_journal *journal = NULL;
    int code = recover(context, &q, &journal, word, err);
    nzd_question_clear(&q);
    nzd_journal_close(journal);
    return code;
}

static int attend(struct nzd_context *context, struct nzd_trial_word *word,
                  struct nzd_err *err)
{
    bool other = false;
    int code = nzd_attend(context, &other, err);
    return code || !other ? code : recover_with_node(context, word, err);
}

static void show_trial(struct nzd_output *output,
                       const struct nzd_trial_word *word)
{
    char until[96];
    nzd_trial_until(word->left_us, until);
    nzd_output_line(output,
                    "left: transaction %" PRIu64 " is on trial %s; nzd confirm "
                    "keeps it, nzd rollback ends it",
                    word->id, until);
}

static void show(struct nzd_output *output, const struct nzd_trial_word *word)
{
    bool on_trial = word->state == NZD_STATE_TRIAL;
    if (!output->json && on_trial)
        show_trial(output, word);
    else if (!output->json)
        nzd_output_line(output, "settled: nothing is open");
    else if (on_trial)
        nzd_output_json(output,
                        json_pack("{s:s, s:s, s:o}", "event", "outcome",
                                  "state", "trial", "trial",
                                  nzd_trial_json(word->id, word->left_us)));
    else
        nzd_output_json(output, json_pack("{s:s, s:s}", "event", "outcome",
                                          "state", "settled"));
}

int nzd_cmd_recover(struct nzd_context *context)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_trial_word word = {.wish = NZD_TRIAL_LEAVE};
    int code;
    /* What is settled stays so, whether or not it could be said. */
    context->changed = true;
    if (context->options.before_start)
        code = nzd_before_start(context, &err);
    else if (context->options.attend)
        code = attend(context, &word, &err);
    else
        code = recover_with_node(context, &word, &err);
    if (code)
        nzd_output_error(&context->output, &err);
    else
        show(&context->output, &word);
    return nzd_err_exit(code);
}
