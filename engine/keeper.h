/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_KEEPER_H
#define NZD_ENGINE_KEEPER_H

/*
 * The keeper: a small process outside the VM that outlives the command. It
 * waits whether the VM that nzd boot starts stays up, and then writes down
 * that the generation is healthy.
 */

#include <stdint.h>

struct nzd_keeper {
    const char *journal; /* the journal's folder */
    uint64_t generation; /* that is booted */
    uint64_t healthy_us; /* how long the VM must stay up */
};

/*
 * Leaves one behind that watches this process, which is to become the VM.
 * Never fails: without one the generation is not found healthy by itself.
 */
void nzd_keeper_leave(const struct nzd_keeper *keeper);

#endif
