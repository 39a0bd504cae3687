/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LINK_H
#define NZD_ENGINE_LINK_H

/*
 * The link to a node: messages to and from the agent in it. No other room
 * knows which backend carries them. Today: distribution (a hidden C node of
 * erl_interface).
 *
 * Opening a link puts those modules of the agent into the node that are not
 * there, at one instant, and starts its process; from then on both sides
 * exchange terms in the external format. Every wait answers the node's ticks,
 * so an open link is never dropped for being idle while one of these functions
 * runs: a caller that waits for something else waits in nzd_link_wait().
 */

#include "../journal/bytes.h"

struct nzd_link;

struct nzd_link_module {
    const char *name;
    struct nzd_view beam;
};

struct nzd_link_options {
    const char *node;        /* "counter@web1" */
    const char *cookie;      /* never printed */
    const char *cookie_from; /* where it came from, for messages; or NULL */
    uint16_t port;           /* of the node; 0: ask epmd */
    uint64_t timeout_us; /* for connecting and each bootstrap reply; 0: 5 s */
    const struct nzd_link_module *agent; /* see agent.h; the first one has
                                            start/1 */
    unsigned agent_count;
};

/*
 * Connects, pushes the agent, starts it. Fails NZD_ENODE, with the three
 * causes that erl_interface cannot tell apart told apart where possible: no
 * epmd, epmd does not know the name, connection refused, no answer in time
 * (node stopped?), handshake refused (wrong cookie, or the name is not
 * allowed). Where it is there and says nothing, err->sys is ETIMEDOUT.
 * Nothing of the node is touched but the agent's own modules.
 * NZD_EUSAGE: `node` is not NAME@HOST. NZD_EBUSY: an agent of another nzd
 * version holds an open transaction there. NZD_EREFUSED: a signal is pending.
 * What the agent sends before its start/1 has returned is dropped.
 */
int nzd_link_open(const struct nzd_link_options *options, struct nzd_link **out,
                  struct nzd_err *err);
/* Sends nothing; the agent sees the node go down. NULL is fine. */
void nzd_link_close(struct nzd_link *link);

/* The full name of the node as it calls itself. */
const char *nzd_link_node(const struct nzd_link *link);

/*
 * Writes our own pid as a term (without the 131) for the agent to answer to.
 */
void nzd_link_put_self(const struct nzd_link *link, struct nzd_buf *out);

/*
 * Sends one term (131 first) to the agent. Fails NZD_ELOST when the link is
 * gone or `timeout_us` passed before it was written: the link is then dead.
 */
int nzd_link_send(struct nzd_link *link, struct nzd_view term,
                  uint64_t timeout_us, struct nzd_err *err);

/*
 * The next term sent to us into `out` (reset first, 131 included). Messages
 * over `NZD_LINK_MESSAGE_MAX` bytes break the link. NZD_ETIMEOUT: none came,
 * the link is alive as far as we know. NZD_ELOST: it is gone.
 */
#define NZD_LINK_MESSAGE_MAX (256u << 20)
int nzd_link_receive(struct nzd_link *link, uint64_t timeout_us,
                     struct nzd_buf *out, struct nzd_err *err);

/*
 * Waits until `fd` (may be -1) is readable, a message is there, or the time
 * is over, answering ticks. Returns bits NZD_LINK_FD, NZD_LINK_MESSAGE, 0 at
 * the time limit, or NZD_ELOST. A signal that arrived ends the wait early
 * with 0.
 */
#define NZD_LINK_FD      1
#define NZD_LINK_MESSAGE 2
int nzd_link_wait(struct nzd_link *link, int fd, uint64_t timeout_us,
                  struct nzd_err *err);

/*
 * Waits for `fd` alone (may be -1) and answers ticks meanwhile; messages are
 * kept for later. Returns NZD_LINK_FD, 0 at the time limit or when a signal
 * is pending, or NZD_ELOST.
 */
int nzd_link_tend(struct nzd_link *link, int fd, uint64_t timeout_us,
                  struct nzd_err *err);

/* True once the link is known to be gone. */
bool nzd_link_is_dead(const struct nzd_link *link);

#endif
