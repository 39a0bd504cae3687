/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_COMMAND_H
#define NZD_ENGINE_COMMAND_H

/*
 * The table of commands, their options, and what every command is given. One
 * file each: cmd_<name>.c. A command returns an exit status (0 to 10); it
 * prints its own errors through nzd_output_error().
 */

#include "config.h"
#include "discover.h"
#include "output.h"

#define NZD_KILL_MAX 64

/* All options of all commands; main.c accepts for each command only those
 * its row in the table names. */
struct nzd_options {
    const char *journal;     /* --journal DIR */
    const char *config;      /* --config FILE */
    const char *node;        /* --node NAME[@HOST] */
    const char *cookie_file; /* --cookie-file FILE */
    uint16_t port;           /* --port N */
    bool json, quiet, verbose;
    enum nzd_color_mode color;
    bool dry_run;      /* --dry-run */
    bool accept_gap;   /* --accept-gap */
    bool adopt;        /* --adopt */
    bool retry;        /* --retry */
    bool rehearse;     /* --rehearse */
    bool check;        /* status --check */
    bool before_start; /* recover --before-start */
    bool attend;       /* recover --attend */
    bool has_max, has_min, has_drain, has_to, has_confirm, has_soak;
    enum nzd_level max, min; /* --max LEVEL, --min LEVEL */
    uint64_t drain_us;       /* --drain 5s */
    uint64_t wait_us;        /* --wait 60s */
    uint64_t timeout_us;     /* --timeout 30s: each answer of the node; 0 */
    uint64_t to;             /* rollback --to N */
    uint64_t soak_us;        /* --soak 30s; 0: none */
    uint64_t confirm_us;     /* --confirm 10m; 0: on no trial */
    const char *kill[NZD_KILL_MAX]; /* --kill WHAT, repeated */
    unsigned kill_count;
    const char *args[8]; /* what is left, in order */
    unsigned arg_count;
};

struct nzd_bundle_child;

struct nzd_context {
    struct nzd_options options;
    struct nzd_config config;
    struct nzd_output output;
    struct nzd_bundle_child *bundle; /* who will read args[0]; NULL: none yet */
    struct nzd_err config_error;     /* for check, which goes on without */
    bool changed; /* the status says what was done, printed or not */
};

/* Everything main() does; the exit status. */
int nzd_command_run(int argc, char **argv);

int nzd_cmd_apply(struct nzd_context *context);
int nzd_cmd_plan(struct nzd_context *context);
int nzd_cmd_rollback(struct nzd_context *context);
int nzd_cmd_confirm(struct nzd_context *context);
int nzd_cmd_status(struct nzd_context *context);
int nzd_cmd_recover(struct nzd_context *context);
int nzd_cmd_check(struct nzd_context *context);
int nzd_cmd_boot(struct nzd_context *context);    /* without a command */
int nzd_cmd_health(struct nzd_context *context);  /* args[0]: ok, bad, lift */
int nzd_cmd_journal(struct nzd_context *context); /* args[0]: show, verify */

/* The journal directory of a node: --journal, the configured one, else
 * /data/nzd/journal where /data is a mount point, /var/lib/nzd/journal, or for
 * a node of another host a folder of the user's state directory named by the
 * node; in the arena of the configuration. */
const char *nzd_journal_path(struct nzd_context *context,
                             const struct nzd_target *target);
/* The same of the node that was named, if one was, without a look for it. */
const char *nzd_journal_path_named(struct nzd_context *context);

#endif
