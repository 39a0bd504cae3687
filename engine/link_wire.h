/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LINK_WIRE_H
#define NZD_ENGINE_LINK_WIRE_H

/*
 * A connected distribution socket: whole messages in and out, each behind its
 * length of four bytes, ticks (length 0) answered. No call waits longer than
 * it is told to, and one that ends early loses no byte: a message half read is
 * kept, one half written ends the wire. While writing is blocked the other
 * direction is read, so that two full pipes cannot wait for each other.
 */

#include "../journal/bytes.h"

struct nzd_wire_message;

struct nzd_wire {
    int fd;              /* non-blocking; owned by the caller */
    struct nzd_view own; /* our pid: what goes to another is dropped; empty:
                            all is ours; owned by the caller */
    bool dead;
    char why[96]; /* it is dead */
    uint8_t length[4];
    size_t length_got;
    uint32_t need;          /* bytes of the message that comes in */
    struct nzd_buf in;      /* what is there of it */
    struct nzd_buf reply;   /* ticks and acknowledgements to write */
    size_t replied;         /* bytes of them written */
    struct nzd_view out[2]; /* the message that goes out, what is left */
    bool out_begun;
    struct nzd_wire_message *first; /* messages that came, oldest first */
    struct nzd_wire_message *last;
    size_t queued; /* their bytes */
};

void nzd_wire_init(struct nzd_wire *wire, int fd);
void nzd_wire_clear(struct nzd_wire *wire);

/* Writes one message: `control` without the 112, and the payload. NZD_ELOST:
 * not written in time, or the peer is gone; the wire is dead then. */
int nzd_wire_send(struct nzd_wire *wire, struct nzd_view control,
                  struct nzd_view payload, uint64_t deadline,
                  struct nzd_err *err);

/* What nzd_link_wait() and nzd_link_tend() promise; `messages`: a message
 * ends the wait. Returns bits of link.h. */
int nzd_wire_wait(struct nzd_wire *wire, int fd, bool messages,
                  uint64_t deadline, struct nzd_err *err);

/* The oldest message's payload into `out` (what it held is freed), as
 * nzd_link_receive() promises. */
int nzd_wire_receive(struct nzd_wire *wire, uint64_t deadline,
                     struct nzd_buf *out, struct nzd_err *err);

#endif
