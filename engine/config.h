/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CONFIG_H
#define NZD_ENGINE_CONFIG_H

/*
 * Configuration: /etc/nzd.conf (libconfuse) and nzd/hooks.conf of a bundle.
 * Unknown keys, wrong units and duplicate hooks are errors (exit 2). `${...}`
 * is never expanded, in neither file: it is plain text.
 */

#include "../journal/record.h"

enum nzd_hook_phase { NZD_HOOK_PRE, NZD_HOOK_POST, NZD_HOOK_OUTCOME };
const char *nzd_hook_phase_name(enum nzd_hook_phase phase);

#define NZD_HOOK_ARGS 32 /* arguments of a call, words of a command */

struct nzd_hook {
    const char *name;
    enum nzd_hook_phase phase;
    const char *module; /* of a call, as the atom ("Elixir.Counter.Check"),
                           NULL for a command */
    const char *function;
    /* call: each one Erlang term in text, checked; command: argv. */
    const char *args[NZD_HOOK_ARGS + 1];
    unsigned arg_count;
    uint64_t timeout_us;
    bool from_bundle;
};

/* What `confirm` of `trial` and --confirm may be at most: 30 days. */
#define NZD_TRIAL_MOST_US (30 * 86400 * 1000000ull)

/* How much worse a node may do in a soak than before it. */
struct nzd_soak_limits {
    uint64_t crashes;  /* reports beyond the rate before */
    uint64_t restarts; /* the same */
    uint64_t queue;    /* messages that the longest queue may grow by */
    uint64_t run_queue;
    uint64_t latency_us;
    uint64_t memory_percent;
    uint64_t processes_percent;
};
#define NZD_SOAK_MOST_US (86400 * 1000000ull)

struct nzd_config {
    struct nzd_arena arena;
    const char *node;          /* NULL: discover */
    const char *cookie_file;   /* NULL: the release's own */
    const char *journal;       /* NULL: the default */
    const char *journal_group; /* may read it; NULL: nobody else */
    enum nzd_level max;        /* migrate */
    uint64_t drain_us;         /* 5 s */
    uint32_t keep;             /* 20 */
    uint64_t journal_max;      /* 64 MiB, bytes */
    struct nzd_hook *hooks;    /* in the order of the file */
    unsigned hook_count;
    uint32_t boot_tries;      /* 3 */
    uint64_t boot_timeout_us; /* 10 s */
    uint64_t boot_healthy_us; /* 30 s; 0: only by `nzd health ok` */
    /* What starts the VM anew, NULL behind the last word; empty: none. */
    const char *restart_command[NZD_HOOK_ARGS + 1];
    unsigned restart_words;
    uint64_t restart_timeout_us; /* 2 min: until the VM is up again */
    uint64_t trial_confirm_us;   /* of each apply; 0: it commits at once */
    uint64_t soak_us;            /* of each apply; 0: none */
    uint64_t soak_before_us;     /* 5 s: the node is watched before */
    uint64_t soak_hooks_us;      /* 10 s: post hooks run again so often */
    struct nzd_soak_limits soak;
    bool trial_hung_restart;      /* a VM that hangs is ended ... */
    uint64_t trial_hung_after_us; /* 30 s; ... so long past the deadline */
};

/* Defaults; then `path` when it is there. `path` NULL: /etc/nzd.conf, whose
 * absence is fine; a named file must be there. NZD_EUSAGE "file:line: ...". */
int nzd_config_load(const char *path, struct nzd_config *out,
                    struct nzd_err *err);
void nzd_config_clear(struct nzd_config *config);

/* Hooks of a bundle: the same `hook` sections, but only Erlang calls, at
 * most 16, each timeout at most 60 s. Appended after the configured ones,
 * a name that is taken is NZD_EBUNDLE. Untrusted text. */
int nzd_config_add_bundle_hooks(struct nzd_config *config, struct nzd_view text,
                                struct nzd_err *err);

#endif
