/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OPTIONS_H
#define NZD_ENGINE_OPTIONS_H

/*
 * The command line: every option there is, how its value is read, its line
 * of help. Which command takes which stands in the table of command.c.
 */

#include "command.h"

/* In the order of the help. */
enum nzd_option {
    NZD_OPTION_DRY_RUN,
    NZD_OPTION_MAX,
    NZD_OPTION_MIN,
    NZD_OPTION_DRAIN,
    NZD_OPTION_KILL,
    NZD_OPTION_ACCEPT_GAP,
    NZD_OPTION_ADOPT,
    NZD_OPTION_RETRY,
    NZD_OPTION_REHEARSE,
    NZD_OPTION_TO,
    NZD_OPTION_SOAK,
    NZD_OPTION_CONFIRM,
    NZD_OPTION_CHECK,
    NZD_OPTION_BEFORE_START,
    NZD_OPTION_ATTEND,
    NZD_OPTION_WAIT,
    NZD_OPTION_TIMEOUT,
    NZD_OPTION_NODE,
    NZD_OPTION_COOKIE_FILE,
    NZD_OPTION_PORT,
    NZD_OPTION_JOURNAL,
    NZD_OPTION_CONFIG,
    NZD_OPTION_JSON,
    NZD_OPTION_COLOR,
    NZD_OPTION_QUIET,
    NZD_OPTION_VERBOSE,
    NZD_OPTION_HELP,
    NZD_OPTION_VERSION,
    NZD_OPTION_COUNT
};

#define NZD_OPTION_BIT(option) (1u << (option))

struct nzd_command_line {
    struct nzd_options options; /* of `args` the command is taken off */
    const char *command;        /* NULL: none was given */
    uint32_t seen;              /* NZD_OPTION_BIT of each that was given */
};

/*
 * Reads the options of all commands, in any order with the arguments up to a
 * "--"; argv is permuted, texts stay in it. NZD_EUSAGE; what was read before
 * the failure is in `out`, so that --json counts for the message too.
 */
int nzd_options_parse(int argc, char **argv, struct nzd_command_line *out,
                      struct nzd_err *err);

const char *nzd_option_name(enum nzd_option option); /* "cookie-file" */
/* Appends a line of help for each option of `mask`. */
void nzd_options_help(uint32_t mask, struct nzd_buf *out);

/* The one of `words` that `word` was likely meant to be, or NULL. */
const char *nzd_nearest(const char *word, const char *const *words,
                        size_t count);

#endif
