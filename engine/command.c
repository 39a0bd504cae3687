/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "boot.h"
#include "interrupt.h"
#include "owner.h"
#include "version.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- the table ------------------------------------------------------- */

#define BIT        NZD_OPTION_BIT
#define LEFT_WIDTH 26 /* columns of a command in the help of all */

#define EVERYWHERE                                                             \
    (BIT(NZD_OPTION_NODE) | BIT(NZD_OPTION_COOKIE_FILE) |                      \
     BIT(NZD_OPTION_JOURNAL) | BIT(NZD_OPTION_CONFIG) | BIT(NZD_OPTION_JSON) | \
     BIT(NZD_OPTION_COLOR) | BIT(NZD_OPTION_QUIET) | BIT(NZD_OPTION_VERBOSE) | \
     BIT(NZD_OPTION_HELP))
#define ON_A_NODE (BIT(NZD_OPTION_PORT) | BIT(NZD_OPTION_TIMEOUT))
#define PLANNING                                                               \
    (BIT(NZD_OPTION_MAX) | BIT(NZD_OPTION_KILL) | BIT(NZD_OPTION_DRAIN) |      \
     BIT(NZD_OPTION_ACCEPT_GAP))
#define CHANGING                                                               \
    (PLANNING | BIT(NZD_OPTION_DRY_RUN) | BIT(NZD_OPTION_MIN) |                \
     BIT(NZD_OPTION_ADOPT) | BIT(NZD_OPTION_RETRY) | BIT(NZD_OPTION_WAIT))

struct command {
    const char *name;
    const char *usage; /* behind the name */
    const char *summary;
    const char *more; /* of the command's own help, or "" */
    uint32_t allowed;
    unsigned args_min;
    unsigned args_max;
    int (*run)(struct nzd_context *context);
};

static const struct command commands[] = {
    {"apply", "BUNDLE", "plan, reload, validate, commit",
     "BUNDLE is a release's directory, a build's lib directory, or a release\n"
     "tarball. On any failure the old code is put back: exit 6.\n"
     "With --confirm 10m it is on trial: the old code comes back in 10 "
     "minutes, "
     "or\n"
     "when the VM restarts, unless `nzd confirm` was said before.\n"
     "With --soak 30s the node is watched so long before it is kept, and the "
     "old\n"
     "code comes back where it does worse than before.\n"
     "With --rehearse each code_change is called beforehand, on copies of "
     "what\n"
     "processes hold now: exit 5 where one fails, and nothing was touched.\n",
     EVERYWHERE | ON_A_NODE | CHANGING | BIT(NZD_OPTION_CONFIRM) |
         BIT(NZD_OPTION_SOAK) | BIT(NZD_OPTION_REHEARSE),
     1, 1, nzd_cmd_apply},
    {"plan", "BUNDLE | OLD NEW", "what would happen and why; touches nothing",
     "With one bundle against what the node runs, with two without a node.\n"
     "Exit 5 when the verdict is above a --max that is given.\n"
     "With --rehearse each code_change is called on copies of what processes\n"
     "hold now, in code that is loaded for that under other names: exit 5 "
     "where\n"
     "one fails.\n",
     EVERYWHERE | ON_A_NODE | PLANNING | BIT(NZD_OPTION_REHEARSE), 1, 2,
     nzd_cmd_plan},
    {"rollback", "[--to N]", "undo the last commit, or go to generation N",
     "While a transaction is on trial: ends the trial, the old code comes "
     "back.\n"
     "With --rehearse each code_change back is called beforehand, as apply "
     "does it.\n",
     EVERYWHERE | ON_A_NODE | CHANGING | BIT(NZD_OPTION_TO) |
         BIT(NZD_OPTION_CONFIRM) | BIT(NZD_OPTION_SOAK) |
         BIT(NZD_OPTION_REHEARSE),
     0, 0, nzd_cmd_rollback},
    {"confirm", "", "end a trial for good: commit it",
     "What `apply --confirm TIME` put into the node stays. Exit 5 where "
     "nothing "
     "is\n"
     "on trial, 6 where it came too late: the old code runs.\n",
     EVERYWHERE | ON_A_NODE | BIT(NZD_OPTION_DRY_RUN) | BIT(NZD_OPTION_WAIT), 0,
     0, nzd_cmd_confirm},
    {"status", "[--check]", "what runs, proved module by module", "",
     EVERYWHERE | ON_A_NODE | BIT(NZD_OPTION_CHECK), 0, 0, nzd_cmd_status},
    {"recover", "[--before-start]", "settle what an interrupted nzd left open",
     "Puts the old code back where a transaction was not committed. apply and\n"
     "rollback do the same before anything else. What is on trial is left "
     "until\n"
     "its deadline; with --attend nzd stays until then, or until the trial "
     "has\n"
     "ended, and tries as often as it takes. `apply --confirm` leaves one "
     "behind.\n\n"
     "--before-start is for erlinit's --pre-run-exec or systemd's "
     "ExecStartPre:\n"
     "it settles what is left of a VM that is proven gone, asks no node and\n"
     "ends within the `timeout` of `boot`; exit 10 where it cannot be told. "
     "It\n"
     "cannot have the VM boot a generation: `nzd boot -- COMMAND` does, and\n"
     "settles, too.\n",
     EVERYWHERE | ON_A_NODE | BIT(NZD_OPTION_WAIT) |
         BIT(NZD_OPTION_BEFORE_START) | BIT(NZD_OPTION_ATTEND),
     0, 0, nzd_cmd_recover},
    {"boot", "-- COMMAND...", "start a VM with what is in force",
     "Settles what was left open, lays the generation in force out in RAM and\n"
     "has COMMAND boot it: erl or erlexec with -boot, or the start script of "
     "a\n"
     "mix or rebar3 release. Where anything fails, COMMAND starts as it is.\n"
     "Options of nzd stand before the --.\n",
     EVERYWHERE, 0, 0, nzd_cmd_boot},
    {"check", "", "is this host set up?",
     "One line for each of configuration, cookie, journal, node, start and\n"
     "health: ok, warn or fail, and what to do. Exit 0 where nothing fails,\n"
     "else that of what is to be mended first: 2 the configuration or cookie,\n"
     "8 the journal, 4 the node, 9 it belongs to another journal, 10 a\n"
     "transaction is not settled.\n",
     EVERYWHERE | ON_A_NODE, 0, 0, nzd_cmd_check},
    {"health", "ok | bad | lift N", "what this boot booted is good, or not",
     "`ok` and `bad` speak of the generation that the VM says it has booted, "
     "be it\n"
     "by nzd boot or by init:restart/0 since; after `bad` the next boot takes "
     "the\n"
     "one before. `lift N` ends a quarantine: N may be put in force again by\n"
     "`nzd rollback --to N`.\n",
     EVERYWHERE | ON_A_NODE | BIT(NZD_OPTION_WAIT), 1, 2, nzd_cmd_health},
    {"journal", "show [N]|verify|export [FILE]|import FILE|gc",
     "what was done; prove it, carry it over, tidy it",
     "`show` lists the transactions, `show N` tells one of them in full,\n"
     "`verify` checks every record and every stored module.\n"
     "`export` writes all of it as lines of JSON, code included, to FILE or\n"
     "stdout: as secret as the journal. `import` makes the same journal of it\n"
     "(FILE or -, for stdin) where none is, on a machine of any word size.\n"
     "`gc` drops what `keep` does not ask for and code that no transaction\n"
     "needs; a commit does the same. With --dry-run it says what would go.\n"
     "--dry-run and --wait are of gc alone.\n",
     EVERYWHERE | BIT(NZD_OPTION_DRY_RUN) | BIT(NZD_OPTION_WAIT), 1, 2,
     nzd_cmd_journal},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* --- help ------------------------------------------------------------ */

static void help_of_all(struct nzd_buf *out)
{
    nzd_buf_text(out, "usage: nzd COMMAND [OPTION...]\n\n"
                      "Reloads code in a running BEAM node as a transaction: "
                      "on any failure the old\ncode is back.\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        char left[80];

        snprintf(left, sizeof(left), "%s %s", commands[i].name,
                 commands[i].usage);
        if (strlen(left) > LEFT_WIDTH)
            nzd_buf_printf(out, "  %s\n  %*s %s\n", left, LEFT_WIDTH, "",
                           commands[i].summary);
        else
            nzd_buf_printf(out, "  %-*s %s\n", LEFT_WIDTH, left,
                           commands[i].summary);
    }
    nzd_buf_text(out, "\nOf every command (`nzd COMMAND --help` has more):\n");
    nzd_options_help(EVERYWHERE, out);
    nzd_buf_text(out,
                 "\nexit  0 done             1 internal error  2 usage\n"
                 "      3 bad bundle       4 no node         5 refused, "
                 "nothing touched\n"
                 "      6 rolled back      7 reboot pending  8 journal\n"
                 "      9 journal is held  10 not settled, or --check found "
                 "something\n");
}

static void help_of(const struct command *command, struct nzd_buf *out)
{
    uint32_t own = command->allowed & ~EVERYWHERE;

    nzd_buf_printf(out, "usage: nzd %s%s%s [OPTION...]\n\n%s\n", command->name,
                   command->usage[0] ? " " : "", command->usage,
                   command->summary);
    if (command->more[0])
        nzd_buf_printf(out, "\n%s", command->more);
    if (own) {
        nzd_buf_text(out, "\n");
        nzd_options_help(own, out);
    }
    nzd_buf_text(out, "\n");
    nzd_options_help(EVERYWHERE, out);
}

/* The exit status of an answer that is only text. */
static int print(struct nzd_buf *text)
{
    bool well = !text->failed &&
                fwrite(text->data, 1, text->size, stdout) == text->size &&
                fflush(stdout) == 0;

    nzd_buf_clear(text);
    return well ? 0 : nzd_err_exit(NZD_EINTERNAL);
}

static int print_help(const struct command *command)
{
    struct nzd_buf text = {0};

    if (command)
        help_of(command, &text);
    else
        help_of_all(&text);
    return print(&text);
}

static int print_version(bool json)
{
    struct nzd_buf text = {0};

    nzd_version_tell(json, &text);
    return print(&text);
}

/* --- checks ---------------------------------------------------------- */

static int unknown_command(const char *name, struct nzd_err *err)
{
    const char *names[COMMANDS];
    const char *near;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    near = nzd_nearest(name, names, COMMANDS);
    nzd_err_set(err, NZD_EUSAGE, "unknown command '%s'", name);
    if (near)
        nzd_err_next(err, "did you mean '%s'?", near);
    else
        nzd_err_next(err, "nzd --help lists the commands");
    return NZD_EUSAGE;
}

static int check_line(const struct command *command,
                      const struct nzd_command_line *line, struct nzd_err *err)
{
    const struct nzd_options *options = &line->options;
    uint32_t wrong = line->seen & ~command->allowed;

    for (unsigned i = 0; i < NZD_OPTION_COUNT; i++) {
        if (wrong & NZD_OPTION_BIT(i))
            nzd_err_set(err, NZD_EUSAGE, "nzd %s takes no --%s", command->name,
                        nzd_option_name((enum nzd_option)i));
    }
    if (options->arg_count < command->args_min)
        nzd_err_set(err, NZD_EUSAGE, "nzd %s needs %s", command->name,
                    command->usage);
    if (options->arg_count > command->args_max)
        nzd_err_set(err, NZD_EUSAGE, "nzd %s: '%s' is too much", command->name,
                    options->args[command->args_max]);
    if (options->has_min && options->has_max && options->min > options->max)
        nzd_err_set(err, NZD_EUSAGE, "--min %s is above --max %s",
                    nzd_level_name(options->min), nzd_level_name(options->max));
    if (err->code != NZD_OK)
        nzd_err_next(err, "nzd %s --help", command->name);
    return err->code;
}

/* `nzd help COMMAND` is `nzd COMMAND --help`. */
static void rewrite_help(struct nzd_command_line *line)
{
    if (line->command && strcmp(line->command, "help") == 0) {
        line->seen |= NZD_OPTION_BIT(NZD_OPTION_HELP);
        line->command = line->options.arg_count ? line->options.args[0] : NULL;
        line->options.arg_count = 0;
    }
}

/* --- running --------------------------------------------------------- */

/* A file opened later must never be taken for a standard stream; what is
 * written to one that was closed fails. */
static void hold_standard_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* A start is not for whoever may write a journal to have root's rights by; two
 * bundles have none. */
static bool works_as_owner(const struct command *command,
                           const struct nzd_context *context)
{
    return command->run != nzd_cmd_boot && !context->options.before_start &&
           !(command->run == nzd_cmd_plan && context->options.arg_count == 2);
}

static int run(const struct command *command, struct nzd_context *context,
               struct nzd_err *err)
{
    int status = 0;

    /* A step before a start waits for no file: see before_start.h. */
    if (!context->options.before_start)
        status =
            nzd_config_load(context->options.config, &context->config, err);
    if (status < 0 && command->run == nzd_cmd_check) {
        context->config_error = *err;
        nzd_err_clear(err);
        status = nzd_config_load("/dev/null", &context->config, err);
    }
    if (status < 0)
        return status;
    nzd_interrupt_install();
    if (works_as_owner(command, context))
        status = nzd_owner_become(context, err);
    if (status == 0)
        status = command->run(context);
    nzd_config_clear(&context->config);
    return status;
}

static int finish(struct nzd_context *context, int status)
{
    if (nzd_output_flush(&context->output))
        return status;
    fputs("nzd: not all of the answer could be written\n", stderr);
    return status || context->changed ? status : nzd_err_exit(NZD_EINTERNAL);
}

/* What is only text: 0 or 1. -1: there is a command to run. */
static int run_help(const struct nzd_command_line *line,
                    const struct command *command)
{
    if (!command && (line->seen & BIT(NZD_OPTION_VERSION)))
        return print_version(line->options.json);
    if (!command || (line->seen & BIT(NZD_OPTION_HELP)))
        return print_help(command);
    return -1;
}

static int run_line(const struct nzd_command_line *line,
                    struct nzd_context *context, struct nzd_err *err)
{
    const struct command *command = line->command ? find(line->command) : NULL;
    int status;

    if (line->command && !command)
        return unknown_command(line->command, err);
    status = run_help(line, command);
    if (status >= 0 || !command)
        return status;
    if (check_line(command, line, err) < 0)
        return err->code;
    return run(command, context, err);
}

/* Where a command to start follows: nothing of it is ours to read. */
static int find_dashes(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "boot") != 0)
        return 0;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return i;
    }
    return 0;
}

int nzd_command_run(int argc, char **argv)
{
    struct nzd_command_line line;
    struct nzd_context context = {0};
    struct nzd_err err = NZD_ERR_INIT;
    int dashes = find_dashes(argc, argv);
    int status;

    hold_standard_streams();
    if (dashes)
        return nzd_boot_line(argc, argv, dashes);
    status = nzd_options_parse(argc, argv, &line, &err);
    rewrite_help(&line);
    context.options = line.options;
    nzd_output_init(&context.output, line.options.json, line.options.quiet,
                    line.options.verbose, line.options.color);
    if (status == 0)
        status = run_line(&line, &context, &err);
    if (status < 0) {
        nzd_output_error(&context.output, &err);
        status = nzd_err_exit(status);
    }
    return finish(&context, status);
}
