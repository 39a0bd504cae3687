/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LINK_INTERNAL_H
#define NZD_ENGINE_LINK_INTERNAL_H

/*
 * What a backend of the link is. It gives a connection to a node and messages
 * over it; link.c has the agent put into the node by calls over the backend.
 */

#include "link.h"

#include <errno.h>

#define NZD_LINK_TIMEOUT 5000000 /* us, where the caller gave none */

struct nzd_link;

struct nzd_link_backend {
    const char *name;
    /* Connects; sets link->state and link->node. Fails as nzd_link_open(). */
    int (*open)(const struct nzd_link_options *options, uint64_t deadline,
                struct nzd_link *link, struct nzd_err *err);
    void (*close)(struct nzd_link *link);
    /* One term (131 first) to the pid `to` (a term without 131), or, without
     * one, to the process registered as `name`. */
    int (*send)(struct nzd_link *link, struct nzd_view to, const char *name,
                struct nzd_view term, uint64_t deadline, struct nzd_err *err);
    int (*receive)(struct nzd_link *link, uint64_t deadline,
                   struct nzd_buf *out, struct nzd_err *err);
    /* As nzd_link_wait(), or without `messages` as nzd_link_tend(). */
    int (*wait)(struct nzd_link *link, int fd, bool messages, uint64_t deadline,
                struct nzd_err *err);
    void (*put_self)(const struct nzd_link *link, struct nzd_buf *out);
    bool (*is_dead)(const struct nzd_link *link);
};

struct nzd_link {
    const struct nzd_link_backend *backend;
    void *state;
    char node[512];
    struct nzd_buf agent; /* its pid, a term without 131 */
};

extern const struct nzd_link_backend nzd_link_dist;

/* Puts the agent's module into the node unless it is there, starts the agent
 * and learns its pid. `timeout_us` for each call. */
int nzd_link_push(struct nzd_link *link, const struct nzd_link_options *options,
                  uint64_t timeout_us, struct nzd_err *err);

/* What the error is called where a node that is there says nothing. */
static inline int nzd_link_silent(struct nzd_err *err)
{
    if (err)
        err->sys = ETIMEDOUT;
    return NZD_ENODE;
}

#endif
