/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_NODE_INTERNAL_H
#define NZD_ENGINE_NODE_INTERNAL_H

/* What the rooms node*.c share; no other room includes it. */

#include "node_switch.h"

#include <inttypes.h>

struct nzd_node {
    struct nzd_link *link;
    uint64_t timeout_us;
    struct nzd_fence fence;
    uint64_t last; /* number of the last request */
    bool ended;    /* the agent of this session; the next one has its own */
    /* Requests put_old and put_new have sent and collect() waits for. */
    uint64_t first_pending;
    uint32_t pending;
    struct nzd_buf request;
    struct nzd_buf envelope;
    struct nzd_buf message; /* the last answer; `arena` borrows from it */
    struct nzd_arena arena;
};

/* The session's own buffer for the next request, empty. */
struct nzd_buf *nzd_node_begin_request(struct nzd_node *node);
void nzd_node_put_atoms(struct nzd_buf *out, const char *const *names,
                        uint32_t count);
void nzd_node_put_texts(struct nzd_buf *out, const char *const *names,
                        uint32_t count);
/* 16 bytes of a binary. */
bool nzd_node_digest(const struct nzd_term *term, struct nzd_digest *out);
/* The digest of attributes that came as a binary in external format. */
int nzd_node_attributes(const struct nzd_term *term, struct nzd_digest *out,
                        struct nzd_err *err);
/* Names of the steps whose change is a bit of `changes`. */
#define NZD_STEPS_OLD ((1u << NZD_STEP_CHANGED) | (1u << NZD_STEP_REMOVED))
void nzd_node_put_steps(struct nzd_buf *out, const struct nzd_plan *plan,
                        unsigned changes);
/* [{Module, Md5, Lambdas}] of one side of the steps. */
void nzd_node_put_lambdas(struct nzd_buf *out, const struct nzd_plan *plan,
                          bool new_side);
/* [{Module, it has a code_change}] of the steps that processes may migrate
 * over; which of them do is up to the agent. */
void nzd_node_put_migrating(struct nzd_buf *out, const struct nzd_plan *plan);
int nzd_node_put_way(struct nzd_node *node, const struct nzd_plan *plan,
                     const struct nzd_node_way *way, struct nzd_err *err);
/* Says who failed, of a row {migrate, Pid, Name, Module, Reason}; in `arena`,
 * NULL without memory. */
const char *nzd_node_failed_change(struct nzd_arena *arena,
                                   const struct nzd_term *row);
/* The same of {child, Pid, Name, Child, Reason}, of a supervisor. */
const char *nzd_node_failed_child(struct nzd_arena *arena,
                                  const struct nzd_term *row);
/* {Module, Function, Count} tuples of an answer. */
int nzd_node_read_holders(const struct nzd_term *list,
                          enum nzd_occupant_kind kind, struct nzd_arena *arena,
                          struct nzd_occupant_list *out, struct nzd_err *err);
/* Asks with the session's request buffer. */
static inline int nzd_node_asked(struct nzd_node *node,
                                 const struct nzd_term **answer,
                                 struct nzd_err *err)
{
    return nzd_node_ask(node, &node->request, 0, answer, err);
}
/* The same of `what`, whose only answer is ok. */
int nzd_node_asked_ok(struct nzd_node *node, const char *what,
                      struct nzd_err *err);
/* The reason in {error, Reason}; NULL of any other answer. */
const struct nzd_term *nzd_node_reason(const struct nzd_term *answer);
/* Appends the binaries of a list, each behind `what` (or ""), with commas. */
void nzd_node_join_names(struct nzd_buf *out, const char *what,
                         const struct nzd_term *names);

#endif
