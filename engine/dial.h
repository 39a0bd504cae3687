/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_DIAL_H
#define NZD_ENGINE_DIAL_H

/*
 * From a host and a name to a connected socket: addresses of a host, what
 * epmd says of a name, a TCP connection; IPv4. Every wait ends at the deadline
 * (CLOCK_BOOTTIME, see interrupt.h) or when a signal is pending
 * (NZD_EREFUSED).
 */

#include "../journal/bytes.h"

#include <netinet/in.h>

#define NZD_DIAL_ADDRESSES 8

struct nzd_dial_host {
    struct in_addr addresses[NZD_DIAL_ADDRESSES];
    size_t count;
};

/* Adds what `host` resolves to; the lookup runs in a child, so that a name
 * server that does not answer costs no more than the time limit. NZD_ENODE:
 * it has no address, or none came in time. */
int nzd_dial_resolve(const char *host, uint64_t deadline,
                     struct nzd_dial_host *out, struct nzd_err *err);

/* A connected socket, non-blocking, close-on-exec, without Nagle's delay.
 * NZD_ENODE: nothing listens there, or no answer in time. */
int nzd_dial_connect(struct in_addr address, uint16_t port, uint64_t deadline,
                     int *out, struct nzd_err *err);

/* The port of the node called `name` (without its host) at the epmd of that
 * host: ERL_EPMD_PORT, or 4369. NZD_ENODE: no epmd, or the name is unknown
 * (err->sys is 0 then). */
int nzd_dial_epmd(struct in_addr address, const char *name, uint64_t deadline,
                  uint16_t *out, struct nzd_err *err);

/* Waits for poll(2) `events`; 0, ETIMEDOUT, ECANCELED (a signal is pending) or
 * another errno. */
int nzd_dial_wait(int fd, short events, uint64_t deadline);

#endif
