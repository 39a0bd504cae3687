/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_NODE_ACT_H
#define NZD_ENGINE_NODE_ACT_H

/*
 * The words of a transaction around the switch (node_switch.h): it is opened
 * and taken over, it is tried out, confirmed and ended, and what the node
 * boots, shows and calls for it is set. Knows what the agent answers to each,
 * and which answer stands for another journal, another transaction or a
 * deadline that has passed.
 *
 * Errors are those of node.h; what is handed over is the caller's, and is not
 * kept.
 */

#include "node.h"
#include "overlay.h"
#include "recall.h"

/* Watches the node for nzd_node_readings(), anew where it is watched already;
 * until the transaction is over. */
int nzd_node_watch(struct nzd_node *node, struct nzd_err *err);

/* Opens transaction `fence.txn` in the agent; the VM's token comes back.
 * NZD_EBUSY: the node belongs to another journal, or another transaction is
 * open there. */
struct nzd_node_begin {
    const uint8_t *uuid; /* 16 bytes, of the journal */
    bool adopt;
    const char *const *kill;
    unsigned kill_count;
    const struct nzd_recall *recall; /* for when this nzd is lost */
};
int nzd_node_begin(struct nzd_node *node, const struct nzd_node_begin *begin,
                   uint8_t token[16], struct nzd_err *err);
/* Takes over with the session's fence (a higher epoch). `phase` of 16.
 * NZD_EBUSY: the node belongs to another journal. */
int nzd_node_takeover(struct nzd_node *node, const uint8_t uuid[16],
                      char *phase, struct nzd_err *err);

/* What a transaction may kill, as its record has it: words "kill=WHAT"
 * separated by spaces, other words are passed over. */
int nzd_node_allow_kill(struct nzd_node *node, const char *words,
                        struct nzd_err *err);

/* Sets the code path at one instant: the base's, with these folders in place
 * of theirs; and, where `boot` is not "", the boot script (without ".boot")
 * that init:restart/0 takes. */
int nzd_node_put_paths(struct nzd_node *node, const struct nzd_overlay *overlay,
                       const char *boot, struct nzd_err *err);
/* Tells an agent whose transaction is open which folders the switch is to put
 * there, the boot script aside. */
int nzd_node_lay(struct nzd_node *node, const struct nzd_overlay *overlay,
                 struct nzd_err *err);

/* What application:get_key/2 and which_applications/0 tell of these
 * applications, where they are loaded: what their specifications say, but for
 * the environment. Appends to `left` the names of those that were left as they
 * are, because this OTP keeps it in a form that is not known. */
int nzd_node_put_apps(struct nzd_node *node,
                      const struct nzd_term *const *specs, uint32_t count,
                      struct nzd_buf *left, struct nzd_err *err);

/* Has init:restart/0 boot `boot` (without ".boot"), and calls it. The link is
 * lost behind it; NZD_ELOST and NZD_ETIMEOUT do not tell whether it was done.
 */
int nzd_node_restart(struct nzd_node *node, const char *boot,
                     struct nzd_err *err);

/* The new code stays for so long, link or not; then the agent undoes it by
 * itself. Until `begun` it has nzd called when this link is lost. Behind a
 * takeover it begins again; a trial that runs is left as it is. */
int nzd_node_try_out(struct nzd_node *node, uint64_t us, struct nzd_err *err);
/* The same of code that was booted, behind a new session: from here on
 * init:restart/0 boots `boot` (without ".boot"), the code before. At the
 * deadline the agent has nzd called; `alone`: where nobody comes, it restarts
 * the VM. */
int nzd_node_try_boot(struct nzd_node *node, uint64_t us, const char *boot,
                      bool alone, struct nzd_err *err);

/* Takes the deadline away for good: from here on the agent waits to be told
 * that it is committed. NZD_EROLLEDBACK: the deadline was first. Once it is 0
 * it can be repeated. */
int nzd_node_confirm(struct nzd_node *node, struct nzd_err *err);

/* It is committed. `left` (appended to) has what the node has still to do by
 * itself, and is not changed where it is all done. */
int nzd_node_done(struct nzd_node *node, struct nzd_buf *left,
                  struct nzd_err *err);

/* A plain act: keep, begun, forget, resume_undo, resume_keep. */
int nzd_node_act(struct nzd_node *node, const char *act, struct nzd_err *err);

struct nzd_call_result {
    bool passed;
    bool timed_out;
    char value[512];
    struct nzd_buf output; /* the caller clears */
};
/* An Erlang-call hook; `args` are terms in text. */
int nzd_node_call(struct nzd_node *node, const char *module,
                  const char *function, const char *const *args, unsigned count,
                  uint64_t timeout_us, struct nzd_call_result *out,
                  struct nzd_err *err);

#endif
