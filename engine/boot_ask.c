/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_ask.h"

#include "../journal/point.h"
#include "bounded_child.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

/* --- the child ----------------------------------------------------------- */

struct question {
    int argc;
    char **argv;
    char **command;
};

static int decide(const struct question *q, struct nzd_bounded_line *line,
                  struct nzd_boot_answer *answer, struct nzd_err *err)
{
    struct nzd_command_line words;
    struct nzd_context context = {0};
    int code = nzd_options_parse(q->argc, q->argv, &words, err);
    context.options = words.options;
    nzd_output_init(&context.output, false, words.options.quiet,
                    words.options.verbose, words.options.color);
    if (!code)
        code = nzd_config_load(context.options.config, &context.config, err);
    if (code)
        return code;
    nzd_bounded_limit(line, context.config.boot_timeout_us);
    answer->healthy_us = context.config.boot_healthy_us;
    return nzd_boot_decide(&context, q->command, &answer->launch, &answer->boot,
                           err);
}

static void find_out(void *context, struct nzd_bounded_line *line, void *out)
{
    struct nzd_boot_answer *answer = out;
    struct nzd_err err = NZD_ERR_INIT;
    answer->code = decide(context, line, answer, &err);
    snprintf(answer->why, sizeof answer->why, "%s",
             err.message[0] ? err.message : "it is not known why");
    nzd_point("before the answer to who boots");
}

/* --- what it says -------------------------------------------------------- */

/* What was written by a process that damage may have driven mad. */
static void end_texts(struct nzd_boot_answer *answer)
{
    struct nzd_boot *boot = &answer->boot;
    struct nzd_launch *launch = &answer->launch;
    answer->why[sizeof answer->why - 1] = '\0';
    boot->boot[sizeof boot->boot - 1] = '\0';
    boot->config[sizeof boot->config - 1] = '\0';
    boot->vm_args[sizeof boot->vm_args - 1] = '\0';
    boot->erts[sizeof boot->erts - 1] = '\0';
    boot->root[sizeof boot->root - 1] = '\0';
    boot->journal[sizeof boot->journal - 1] = '\0';
    launch->boot[sizeof launch->boot - 1] = '\0';
    launch->root[sizeof launch->root - 1] = '\0';
    launch->program[sizeof launch->program - 1] = '\0';
    launch->emulator[sizeof launch->emulator - 1] = '\0';
    launch->erts[sizeof launch->erts - 1] = '\0';
}

/* The parent will go by it. */
static bool is_sane(const struct nzd_boot_answer *answer)
{
    const struct nzd_boot *boot = &answer->boot;
    const struct nzd_launch *launch = &answer->launch;
    if (answer->code || !boot->overlay)
        return true;
    return boot->boot[0] == '/' && launch->boot[0] == '/' &&
           (unsigned)launch->kind < NZD_LAUNCH_KINDS &&
           (!boot->config[0] || strchr(boot->config, '.')) &&
           (!boot->erts[0] || boot->erts[0] == '/');
}

static void say_why(const struct nzd_bounded_end *end, char *why, size_t size)
{
    if (end->how == NZD_BOUNDED_NOT_MADE)
        snprintf(why, size, "no process to find out what is in force: %s",
                 strerror(end->number));
    else if (end->how != NZD_BOUNDED_DIED)
        snprintf(why, size, "what is in force was not found out in time");
    else if (end->number)
        snprintf(why, size, "finding out what is in force ended in signal %d",
                 end->number);
    else
        snprintf(why, size, "nobody said what is in force");
}

void nzd_boot_ask(int argc, char **argv, char **command,
                  struct nzd_boot_answer *out)
{
    struct question question = {argc, argv, command};
    struct nzd_bounded_end end =
        nzd_bounded_ask(find_out, &question, out, sizeof *out);
    end_texts(out);
    if (end.how == NZD_BOUNDED_ANSWERED && is_sane(out))
        return;
    if (end.how == NZD_BOUNDED_ANSWERED)
        end.how = NZD_BOUNDED_DIED;
    memset(out, 0, sizeof *out);
    out->code = NZD_EINTERNAL;
    say_why(&end, out->why, sizeof out->why);
}
