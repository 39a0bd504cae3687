/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_NETWORK_H
#define NZD_TESTS_NETWORK_H

/*
 * Another host, as far as the network tells: a network namespace with an epmd,
 * joined to the test's by a veth pair that can be cut. The test program moves
 * into a namespace of its own first, so the network of the machine is never
 * touched, and all of it goes with the processes in it, however they end.
 */

#include "harness.h"

/* Moves the test program; before any harness is opened. False with `why` where
 * that is not allowed (it takes root) or iproute2 is not there. */
bool network_enter(const char **why);

struct network;

/* One at a time. */
struct network *network_open(struct harness *harness);
/* Where nodes of the other host listen: "10.213.0.2". */
#define NETWORK_ADDRESS "10.213.0.2"
/* What stands before a command that is to run there. */
const char *const *network_prefix(const struct network *network);

enum network_cut {
    NETWORK_BOTH, /* nothing arrives at either end */
    NETWORK_TO,   /* what is sent to the other host is lost */
    NETWORK_FROM  /* what comes from it is lost */
};

/* From now on packets are lost in silence, until it is healed. */
void network_cut(struct network *network, enum network_cut how);
void network_heal(struct network *network);
/* Resets every connection between the two hosts; new ones can be made. False
 * where the kernel cannot (CONFIG_INET_DIAG_DESTROY). */
bool network_reset(struct network *network);

#endif
