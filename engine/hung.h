/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_HUNG_H
#define NZD_ENGINE_HUNG_H

/*
 * A VM that hangs past the deadline of a trial: it cannot undo, and nobody can
 * ask it. By default it is asked again, and nothing else. Where the
 * configuration says `trial { hung = restart }` that very process is ended, so
 * that what supervises it starts the old generation; only one of this host that
 * `nzd boot` has started, that takes connections and has said nothing since
 * `hung_after`, counted from the deadline.
 */

#include "command.h"

struct nzd_hung {
    uint64_t silent_us; /* since when (CLOCK_BOOTTIME); 0: it answers */
};

/* Asks once. True: it was ended, and the transaction is `undoing` with that in
 * its timeline, written before. */
bool nzd_hung_end(struct nzd_hung *hung, struct nzd_context *context,
                  const struct nzd_target *target, const struct nzd_txn *txn);

#endif
