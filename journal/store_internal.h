/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_STORE_INTERNAL_H
#define NZD_JOURNAL_STORE_INTERNAL_H

/* What the files of the store share. MDB_env stays behind its struct name. */

#include "store.h"

struct MDB_env;

struct nzd_store {
    char *directory;
    struct MDB_env *env;
    unsigned tables[NZD_STORE_TABLES]; /* MDB_dbi */
    bool present[NZD_STORE_TABLES];
    uint64_t max_bytes;
    bool broken;
};

/* Sets what LMDB's `rc` means for the journal in `directory`; `doing` names
 * the act ("commit"). Returns NZD_EJOURNAL or NZD_EINTERNAL (memory). */
int nzd_store_fail(const char *directory, uint64_t max_bytes, int rc,
                   const char *doing, struct nzd_err *err);

/* An environment on `path`. Without `map` the one in the file is taken. */
int nzd_store_env(const char *directory, const char *path, unsigned flags,
                  uint64_t map, struct MDB_env **out, struct nzd_err *err);
/* The flags to read with: a lock file that cannot be written is not used. */
unsigned nzd_store_read_flags(const char *directory, const char *copy);

/* mdb_txn_begin() into an MDB_txn pointer, with the map as others made it. */
int nzd_store_begin(struct nzd_store *store, unsigned flags, void *out);
uint64_t nzd_store_map(struct nzd_store *store);
/* An LMDB error, or 0; only while no transaction is open. */
int nzd_store_set_map(struct nzd_store *store, uint64_t size);

/* Gives a file blocks up to `size`, holes included; 0 or errno. LMDB never
 * reads behind the pages it knows of. */
int nzd_store_lengthen(int fd, uint64_t size);

#endif
