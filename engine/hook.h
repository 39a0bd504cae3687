/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_HOOK_H
#define NZD_ENGINE_HOOK_H

/*
 * Validation hooks: Erlang calls in the node and programs on this host. Each
 * becomes one event with its bounded output.
 */

#include "config.h"
#include "node.h"
#include "timeline.h"

struct nzd_hook_run {
    const struct nzd_config *config;
    struct nzd_output *output;
    struct nzd_timeline *timeline;
    struct nzd_node *node; /* NULL: calls are skipped with a note */
    const char *bundle;    /* NZD_BUNDLE */
    uint64_t txn;          /* NZD_TXN */
    const char *outcome;   /* NZD_OUTCOME of outcome hooks, or NULL */
};

/*
 * Runs the hooks of a phase in order and stops at the first that fails
 * (outcome hooks cannot fail, all run). Returns 0, NZD_EROLLEDBACK with "hook
 * NAME returned ..." for one that failed, NZD_ELOST when the link broke.
 */
int nzd_hooks_run(const struct nzd_hook_run *run, enum nzd_hook_phase phase,
                  struct nzd_err *err);

/*
 * Those that the record keeps of its bundle, for an nzd that was not given it;
 * none are added where the configuration has a bundle's. NZD_EBUNDLE: they do
 * not fit to the configuration that is there now.
 */
int nzd_hooks_recall(struct nzd_config *config, const struct nzd_txn *txn,
                     struct nzd_err *err);

#endif
