/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_JOURNAL_H
#define NZD_JOURNAL_JOURNAL_H

/*
 * The journal of one node: transactions, their modules and events, the blobs
 * and what is in force over each base. It stands on store.h (the only room
 * that sees lmdb.h) and knows the meaning of the sub-databases:
 *
 *   meta    format, uuid, counters, the event chain's anchor and head
 *   txn     id (u64 big-endian)                 struct nzd_txn
 *   event   id, sequence (u64, u32 big-endian)  struct nzd_event; the sequence
 *                                               runs over the whole journal
 *   module  id, module name                     struct nzd_module_row
 *   blob    XXH3-128 of the content             version, encoding, content
 *   live    base identity, module name          struct nzd_live_row
 *   boot    sequence                            boots, for a later chapter
 *
 * Durable is what nzd_journal_move() and nzd_journal_put_blobs() have
 * returned 0 for: LMDB's default syncing, one write transaction each. A
 * failed one is indeterminate: the handle is then `broken`, every further
 * write fails, and the caller closes, opens again and reads what is there.
 *
 * Reading functions copy out and end their LMDB reader before they return or
 * call back. Callbacks return 0 to go on, anything else to stop with it.
 */

#include "record.h"

#include <sys/types.h>

struct nzd_journal;

enum nzd_journal_mode {
    NZD_JOURNAL_READ,  /* no lock, no write; NZD_ENOTFOUND where none is */
    NZD_JOURNAL_WRITE, /* takes the lock; NZD_ENOTFOUND where none is */
    NZD_JOURNAL_CREATE /* takes the lock; makes directory and store */
};

struct nzd_journal_options {
    uint64_t max_bytes;  /* of the store's map; 0: 64 MiB */
    uint32_t keep;       /* settled transactions kept, at most; 0: 20 */
    uint64_t wait_us;    /* for the lock; 0: not at all */
    const char *purpose; /* written into the lock file for who waits */
    bool no_tidy;        /* whoever opens collects by itself */
    /* Tests only: 0 for the default syncing. */
    unsigned no_sync;
};

/*
 * Opens the journal in `directory` (made 0700 with its parents and synced in
 * CREATE mode). Before the first access a child process walks the whole
 * store, so that damage which kills or hangs a reader is a clear error.
 * Fails: NZD_ENOTFOUND (no journal there), NZD_EBUSY (who holds the lock),
 * NZD_EJOURNAL (unreadable, damaged, newer format, read-only, full). A
 * directory that holds files but no readable store is never taken as empty.
 * A process has one handle on a journal at a time (LMDB's rule).
 */
int nzd_journal_open(const char *directory, enum nzd_journal_mode mode,
                     const struct nzd_journal_options *options,
                     struct nzd_journal **out, struct nzd_err *err);
void nzd_journal_close(struct nzd_journal *journal); /* NULL is fine */
/*
 * NZD_EJOURNAL: others than root and this user may write what lies there, or as
 * root a folder on the way to it, so it is not `done`, as "written". Every
 * writer is judged so when it opens.
 */
int nzd_journal_judge(const char *directory, const char *done,
                      struct nzd_err *err);

const uint8_t *nzd_journal_uuid(const struct nzd_journal *journal); /* 16 */
const char *nzd_journal_directory(const struct nzd_journal *journal);

struct nzd_journal_stat {
    uint64_t transactions; /* records held */
    uint64_t first;        /* lowest id held, 0 if none */
    uint64_t last;         /* highest id given, 0 if none */
    uint64_t used_bytes;   /* pages in use */
    uint64_t file_bytes;
    uint64_t max_bytes;
    uint64_t free_bytes; /* to max_bytes, or less where the disk has less */
};
int nzd_journal_stat(struct nzd_journal *journal, struct nzd_journal_stat *out,
                     struct nzd_err *err);

/* --- blobs ----------------------------------------------------------- */

/*
 * Stores each view under its digest, compressed where that is smaller, in
 * one durable write transaction; `digests` gets one each. A blob that is
 * there already is compared byte by byte and not written again. `written`
 * (may be NULL) grows by the bytes that were. Durable: all or none.
 */
int nzd_journal_put_blobs(struct nzd_journal *journal,
                          const struct nzd_view *blobs, size_t count,
                          struct nzd_digest *digests, uint64_t *written,
                          struct nzd_err *err);
/* Appends the content to `out` and checks its digest. NZD_ENOTFOUND. */
int nzd_journal_get_blob(struct nzd_journal *journal,
                         const struct nzd_digest *digest, struct nzd_buf *out,
                         struct nzd_err *err);

/* Besides those in force: what was tried last, and what one went back from. */
#define NZD_JOURNAL_KEEP_LEAST 2u

/* What a collection lets go, and what it leaves for which reason. */
struct nzd_collection {
    uint64_t first;    /* transactions first .. first + dropped - 1 go */
    uint64_t dropped;  /* how many */
    uint64_t held;     /* transactions that stay; of these */
    uint64_t in_force; /* over a base, or what quarantine falls back from */
    uint64_t open;
    uint64_t kept; /* because they are the newest `keep`; the others are newer
                      than one that stays, or in its chain of events */
    uint64_t loose_blobs; /* that go */
    uint64_t loose_bytes; /* as stored */
    uint64_t held_blobs;
    uint64_t held_bytes;
    uint64_t live_blobs; /* of those held: in force, or what the base holds
                            instead; the others are what a transaction needs
                            to be undone or gone back to */
};

/*
 * Drops transactions past `keep` and collects blobs, now and durably; a commit
 * does the same. Blobs that were put for a transaction that is not armed yet
 * have no root: not to be called in between. Opening to write does it where
 * half of max_bytes is in use and some of it is loose, because what interrupted
 * snapshots leave must not fill the journal for good; where that is not enough,
 * with a smaller `keep`, down to NZD_JOURNAL_KEEP_LEAST: large changes must not
 * either. Not where `no_tidy` is set. With `out` (may be NULL) damage that it
 * meets is NZD_EJOURNAL and nothing is written.
 */
int nzd_journal_collect(struct nzd_journal *journal, struct nzd_collection *out,
                        struct nzd_err *err);
/* What it would do now; writes nothing, in any mode. */
int nzd_journal_collect_look(struct nzd_journal *journal,
                             struct nzd_collection *out, struct nzd_err *err);

/* --- durable moves --------------------------------------------------- */

/*
 * Everything one durable move writes. `txn` says the new state; its id is 0
 * on the first move (armed or aborted) and is then given. `events` are
 * appended to the transaction's timeline and to the event chain. `modules`
 * belongs to the first move; of one to armed all blobs must be there. One
 * transaction is open at a time. On a move to `committed` the live rows of the
 * transaction's base are made from its module rows (an added or changed
 * module gets its new blob, a removed one a zero blob; a module that is again
 * what the base holds loses its row; what a new live row says of the base is
 * the old side of the module row that made it),
 * old transactions beyond `keep` are dropped from the oldest on, never past
 * the one in force, and blobs no root needs are collected, all inside.
 * `reserve_bytes`, on a move to armed, is room that must be left for the
 * commit, an undo and a reboot record: without it the move fails with
 * NZD_EJOURNAL and nothing is written.
 */
struct nzd_move {
    struct nzd_txn *txn;
    const struct nzd_module_row *modules;
    size_t module_count;
    const struct nzd_event *events;
    size_t event_count;
    uint64_t reserve_bytes;
};

/*
 * The only way a record changes. Refuses an illegal move (NZD_EINTERNAL,
 * nothing written): the state on disk, not the one in memory, is what it
 * starts from. Fills txn->id, rows, old_set, new_set (on the first move and
 * on committed) and txn->events.
 * Durable: all of it when it returns 0. After NZD_EJOURNAL see above.
 */
int nzd_journal_move(struct nzd_journal *journal, const struct nzd_move *move,
                     struct nzd_err *err);
bool nzd_journal_is_broken(const struct nzd_journal *journal);

/* --- reading --------------------------------------------------------- */

/* NZD_ENOTFOUND. The caller clears `out`. */
int nzd_journal_txn(struct nzd_journal *journal, uint64_t id,
                    struct nzd_txn *out, struct nzd_err *err);
/* The open transaction (nzd_state_is_open), or NZD_ENOTFOUND. */
int nzd_journal_open_txn(struct nzd_journal *journal, struct nzd_txn *out,
                         struct nzd_err *err);
/* The last committed transaction over `base`, or NZD_ENOTFOUND. */
int nzd_journal_in_force(struct nzd_journal *journal,
                         const struct nzd_digest *base, struct nzd_txn *out,
                         struct nzd_err *err);
/* From the newest down. The callback does not keep or clear the record. */
int nzd_journal_each_txn(struct nzd_journal *journal,
                         int (*each)(void *context, const struct nzd_txn *txn),
                         void *context, struct nzd_err *err);
int nzd_journal_each_event(struct nzd_journal *journal, uint64_t id,
                           int (*each)(void *context,
                                       const struct nzd_event *event),
                           void *context, struct nzd_err *err);
/*
 * By name; modules and files apart, in two functions. Fails NZD_EJOURNAL when
 * count or digest do not match the transaction's `rows`: lost rows are never
 * silently few.
 */
int nzd_journal_each_module(struct nzd_journal *journal, uint64_t id,
                            int (*each)(void *context,
                                        const struct nzd_module_row *row),
                            void *context, struct nzd_err *err);
int nzd_journal_each_file(struct nzd_journal *journal, uint64_t id,
                          int (*each)(void *context,
                                      const struct nzd_module_row *row),
                          void *context, struct nzd_err *err);
/* The same of what is in force; checked against new_set of the last
 * transaction that was committed over the base. Quarantine leaves the rows as
 * they are. */
int nzd_journal_each_live(struct nzd_journal *journal,
                          const struct nzd_digest *base,
                          int (*each)(void *context,
                                      const struct nzd_live_row *row),
                          void *context, struct nzd_err *err);
int nzd_journal_each_live_file(struct nzd_journal *journal,
                               const struct nzd_digest *base,
                               int (*each)(void *context,
                                           const struct nzd_live_row *row),
                               void *context, struct nzd_err *err);
/* The same of what the commit of transaction `id` would put in force, which is
 * open; checked against its new_set. NZD_EINTERNAL where it is not open. */
int nzd_journal_each_target(struct nzd_journal *journal, uint64_t id,
                            int (*each)(void *context,
                                        const struct nzd_live_row *row),
                            void *context, struct nzd_err *err);
int nzd_journal_each_target_file(struct nzd_journal *journal, uint64_t id,
                                 int (*each)(void *context,
                                             const struct nzd_live_row *row),
                                 void *context, struct nzd_err *err);

/* Proves chain, sets, records and blobs. 0, or NZD_EJOURNAL that names the
 * first thing that does not hold. */
int nzd_journal_verify(struct nzd_journal *journal, struct nzd_err *err);

/* A counter kept in meta, incremented durably by nothing but moves: the
 * highest epoch any record holds. */
int nzd_journal_epoch(struct nzd_journal *journal, uint64_t *out,
                      struct nzd_err *err);

#endif
