/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_LACK_H
#define NZD_ENGINE_FILE_LACK_H

/*
 * What of the generation in force besides code a VM lacks that has booted
 * something else: modules can be proved, of configuration, boot script and
 * files of priv it is known by how the VM came to be.
 *
 * A specification says nothing beside its modules. A boot script counts where
 * it means something else than the one that was booted: behind a way to another
 * release and back it may say the same in other words.
 */

#include "question.h"

/* The name of one ("sys.config", "boot script", "priv/APP/PATH") into `out`, ""
 * where none is lacking. */
int nzd_file_lack(const struct nzd_question *q, struct nzd_journal *journal,
                  const struct nzd_txn *in_force, char *out, size_t size,
                  struct nzd_err *err);

#endif
