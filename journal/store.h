/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_STORE_H
#define NZD_JOURNAL_STORE_H

/*
 * A thin room over LMDB: tables of bytes, read and write transactions, a map
 * that grows up to a bound, and LMDB's errors in words. It knows no record.
 * Of the house only journal/store*.c see lmdb.h.
 *
 * On disk: DIRECTORY/data.mdb and lock.mdb, as LMDB makes them. A new store is
 * made as data.mdb.new and renamed once it holds its first transaction, so a
 * data.mdb without content is damage, never a beginning.
 */

#include "bytes.h"

enum nzd_store_table {
    NZD_STORE_META,
    NZD_STORE_TXN,
    NZD_STORE_EVENT,
    NZD_STORE_MODULE,
    NZD_STORE_BLOB,
    NZD_STORE_LIVE,
    NZD_STORE_BOOT
};
#define NZD_STORE_TABLES   7
#define NZD_STORE_KEY_MAX  511        /* bytes, LMDB's bound */
#define NZD_STORE_HEADROOM (1u << 20) /* bytes past max_bytes, see write() */

struct nzd_store;
struct nzd_store_txn;

struct nzd_store_options {
    uint64_t max_bytes; /* of the map, which starts small and grows */
    bool read_only;
    const char *copy; /* read-only: what is read instead; see store_copy.h */
    bool no_sync;     /* tests only */
};

/* Of one transaction. NZD_OK lets a write commit, anything else aborts it. A
 * body may run more than once: it begins anew when the map had to grow. */
typedef int nzd_store_body(struct nzd_store_txn *txn, void *context,
                           struct nzd_err *err);

/* NZD_OK, NZD_ENOTFOUND (no store, and nothing else there that is not ours),
 * or NZD_EJOURNAL (other files, an empty or unreadable one). */
int nzd_store_find(const char *directory, struct nzd_err *err);
/* Makes the directory (0700) with its parents, each synced. */
int nzd_store_make_directory(const char *directory, struct nzd_err *err);
/* Its names are durable when it returns 0. */
int nzd_store_sync_directory(const char *directory, struct nzd_err *err);
/* Makes a store whose first transaction is `body`. Durable, whole or not. */
int nzd_store_create(const char *directory,
                     const struct nzd_store_options *options,
                     nzd_store_body *body, void *context, struct nzd_err *err);
/* Walks all keys and values in a child process; `lock` is closed there. */
int nzd_store_check(const char *directory,
                    const struct nzd_store_options *options, int lock,
                    struct nzd_err *err);
int nzd_store_open(const char *directory,
                   const struct nzd_store_options *options,
                   struct nzd_store **out, struct nzd_err *err);
void nzd_store_close(struct nzd_store *store); /* NULL is fine */

int nzd_store_read(struct nzd_store *store, nzd_store_body *body, void *context,
                   struct nzd_err *err);
/*
 * Durable when it returns NZD_OK. A commit that failed is indeterminate: the
 * store is then broken and refuses every further write. `headroom` lets the
 * map pass max_bytes by NZD_STORE_HEADROOM, for what must not fail any more.
 */
int nzd_store_write(struct nzd_store *store, bool headroom,
                    nzd_store_body *body, void *context, struct nzd_err *err);
bool nzd_store_is_broken(const struct nzd_store *store);

/* The value is borrowed until the transaction writes or ends. A key that is
 * not there is NZD_ENOTFOUND and sets no error. */
int nzd_store_get(struct nzd_store_txn *txn, enum nzd_store_table table,
                  struct nzd_view key, struct nzd_view *value,
                  struct nzd_err *err);
int nzd_store_put(struct nzd_store_txn *txn, enum nzd_store_table table,
                  struct nzd_view key, struct nzd_view value,
                  struct nzd_err *err);
int nzd_store_delete(struct nzd_store_txn *txn, enum nzd_store_table table,
                     struct nzd_view key, struct nzd_err *err);
int nzd_store_count(struct nzd_store_txn *txn, enum nzd_store_table table,
                    uint64_t *out, struct nzd_err *err);

/* Keys that begin with a prefix, in the order of their bytes. Nothing is
 * written while a cursor is open. end() frees; zeros are fine. */
struct nzd_store_cursor {
    struct nzd_store_txn *txn;
    void *cursor;
    uint8_t prefix[32];
    size_t prefix_size;
    bool started;
};
int nzd_store_seek(struct nzd_store_txn *txn, enum nzd_store_table table,
                   struct nzd_view prefix, struct nzd_store_cursor *out,
                   struct nzd_err *err);
/* NZD_ENOTFOUND, without an error, behind the last. With `value` NULL the
 * pages of large values are not touched. */
int nzd_store_next(struct nzd_store_cursor *cursor, struct nzd_view *key,
                   struct nzd_view *value, struct nzd_err *err);
/* Before the first next(): what comes is what lies behind `key`, which must be
 * there. NZD_ENOTFOUND, without an error, where it is not. */
int nzd_store_resume(struct nzd_store_cursor *cursor, struct nzd_view key,
                     struct nzd_err *err);
void nzd_store_end(struct nzd_store_cursor *cursor);

/* The number of the last write that the transaction sees: two readers with
 * the same one see the same. */
uint64_t nzd_store_version(const struct nzd_store_txn *txn);

struct nzd_store_room {
    uint64_t used_bytes; /* pages in use */
    uint64_t file_bytes;
    uint64_t max_bytes;
    uint64_t disk_bytes; /* free on the file system */
};
int nzd_store_room(struct nzd_store *store, struct nzd_store_room *out,
                   struct nzd_err *err);
/*
 * Takes room on disk for `bytes` of pages to come: the map and the file are
 * made that much longer than what is in use, so that neither the bound nor a
 * disk that fills up in between can fail the writes they are for. NZD_EJOURNAL
 * where there is none.
 */
int nzd_store_reserve(struct nzd_store *store, uint64_t bytes,
                      struct nzd_err *err);

#endif
