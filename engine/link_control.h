/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LINK_CONTROL_H
#define NZD_ENGINE_LINK_CONTROL_H

/*
 * The control term of a distribution message (erts "Distribution Protocol",
 * "Protocol between Connected Nodes"), read with bounds from a node we do not
 * trust. A message is 112, 131, control tuple, and for some a 131 and the
 * payload.
 */

#include "../journal/bytes.h"

enum nzd_control_op {
    NZD_CONTROL_SEND = 2,
    NZD_CONTROL_REG_SEND = 6,
    NZD_CONTROL_SEND_TT = 12,
    NZD_CONTROL_SEND_SENDER = 22,
    NZD_CONTROL_SEND_SENDER_TT = 23,
    NZD_CONTROL_UNLINK_ID = 35,
    NZD_CONTROL_UNLINK_ID_ACK = 36
};

#define NZD_CONTROL_PASS_THROUGH 112
#define NZD_CONTROL_ARGUMENTS    8

struct nzd_control {
    uint32_t op;
    uint32_t count; /* elements behind the op */
    struct nzd_view arguments[NZD_CONTROL_ARGUMENTS]; /* terms without 131 */
    struct nzd_view payload; /* all behind the control term */
};

/* False when it is not one. Views borrow from `message`. */
bool nzd_control_read(struct nzd_view message, struct nzd_control *out);

/* True when the payload was sent to a pid of ours. */
bool nzd_control_is_send(const struct nzd_control *control);

/* Appends the whole message, its length first, that acknowledges an
 * UNLINK_ID. */
void nzd_control_acknowledge(const struct nzd_control *unlink,
                             struct nzd_buf *out);

#endif
