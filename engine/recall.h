/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_RECALL_H
#define NZD_ENGINE_RECALL_H

/*
 * Command lines of `nzd recover`, with this nzd's own program, journal,
 * configuration and node, so that a transaction is settled without anybody
 * coming by. The agent runs one when it was told to keep the new code and then
 * lost its nzd; the keeper of a trial is another, and has a third.
 */

#include "command.h"

#define NZD_RECALL_WORDS 20

struct nzd_recall {
    /* Borrowed from the arena of the configuration. */
    const char *words[NZD_RECALL_WORDS]; /* the program's absolute path first */
    unsigned count;                      /* 0: it is not offered */
    const char *environment[8];          /* name, value, name, value, ... */
    unsigned environment_count;
};

/* For the agent. `target` is a VM of this host whose pid is known and that sees
 * the same files as we do, or nothing is offered; `journal` is the journal's
 * folder. Cannot fail: what cannot be found out is not offered. */
void nzd_recall_make(struct nzd_context *context,
                     const struct nzd_target *target, const char *journal,
                     struct nzd_recall *out);
/* For processes of this host, whatever node it is: the same, or with --attend.
 */
void nzd_recall_here(struct nzd_context *context,
                     const struct nzd_target *target, const char *journal,
                     bool attend, struct nzd_recall *out);

#endif
