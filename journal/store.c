/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"
#include "point.h"

#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_MAP (1u << 20) /* bytes */
#define LOCK_SIZE 8192       /* what LMDB makes it for 126 readers */

static const char *const table_names[NZD_STORE_TABLES] = {
    "meta", "txn", "event", "module", "blob", "live", "boot",
};

struct nzd_store_txn {
    struct nzd_store *store;
    MDB_txn *txn;
    bool full; /* the map was too small for what the body wrote */
};

static int fail(struct nzd_store *store, int rc, const char *doing,
                struct nzd_err *err)
{
    return nzd_store_fail(store->directory, store->max_bytes, rc, doing, err);
}

/* --- open, create, close --- */

/* A table that is missing is told when it is used: a newer format, which is
 * read first, may have others. */
static int open_tables(struct nzd_store *store, bool create,
                       struct nzd_err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(store->env, NULL, create ? 0 : MDB_RDONLY, &txn);

    if (rc)
        return fail(store, rc, "begin", err);
    for (int i = 0; i < NZD_STORE_TABLES && rc == 0; i++) {
        unsigned flags = 0;

        rc = mdb_dbi_open(txn, table_names[i], create ? MDB_CREATE : 0,
                          &store->tables[i]);
        if (rc == 0)
            rc = mdb_dbi_flags(txn, store->tables[i], &flags);
        if (rc == 0 && flags != 0)
            rc = MDB_INCOMPATIBLE;
        store->present[i] = rc == 0;
        if (rc == MDB_NOTFOUND)
            rc = 0;
    }
    if (rc) {
        mdb_txn_abort(txn);
        return fail(store, rc, "open a table", err);
    }
    rc = mdb_txn_commit(txn);
    return rc ? fail(store, rc, "open the tables", err) : NZD_OK;
}

static int open_store(const char *directory, const char *path, unsigned flags,
                      bool create, const struct nzd_store_options *options,
                      struct nzd_store **out, struct nzd_err *err)
{
    struct nzd_store *store = calloc(1, sizeof(*store));
    uint64_t map = options->read_only ? 0 : FIRST_MAP;
    int rc = NZD_EINTERNAL;
    int dead;

    if (store)
        store->directory = strdup(directory);
    if (!store || !store->directory) {
        nzd_err_memory(err);
        goto out;
    }
    store->max_bytes = options->max_bytes;
    if (map > store->max_bytes)
        map = store->max_bytes;
    if (options->no_sync)
        flags |= MDB_NOSYNC;
    rc = nzd_store_env(directory, path, flags, map, &store->env, err);
    if (rc)
        goto out;
    (void)mdb_reader_check(store->env, &dead);
    rc = open_tables(store, create, err);
    if (rc)
        goto out;
    *out = store;
    store = NULL;
out:
    nzd_store_close(store);
    return rc;
}

/*
 * LMDB maps its lock file and writes into it: a disk without room for that
 * would be SIGBUS, so the file gets its blocks before.
 */
static int make_lock(const char *directory, struct nzd_err *err)
{
    struct nzd_buf path = {0};
    int rc = NZD_OK;
    int sys = 0;
    int fd;

    nzd_buf_printf(&path, "%s/lock.mdb", directory);
    fd = open(nzd_buf_string(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        sys = errno;
    else
        sys = nzd_store_lengthen(fd, LOCK_SIZE);
    if (fd >= 0)
        close(fd);
    if (path.failed)
        rc = nzd_err_memory(err);
    else if (sys)
        rc = nzd_store_fail(directory, 0, sys, "make lock.mdb", err);
    nzd_buf_clear(&path);
    return rc;
}

int nzd_store_open(const char *directory,
                   const struct nzd_store_options *options,
                   struct nzd_store **out, struct nzd_err *err)
{
    unsigned flags = 0;
    int rc = NZD_OK;

    if (options->read_only)
        flags = nzd_store_read_flags(directory, options->copy);
    else
        rc = make_lock(directory, err);
    /* Whoever made the store may have been killed before it synced its name. */
    if (rc == NZD_OK && !options->read_only)
        rc = nzd_store_sync_directory(directory, err);
    if (rc)
        return rc;
    return open_store(directory, options->copy ? options->copy : directory,
                      flags, false, options, out, err);
}

void nzd_store_close(struct nzd_store *store)
{
    if (!store)
        return;
    if (store->env)
        mdb_env_close(store->env);
    free(store->directory);
    free(store);
}

static int rename_new(const char *directory, const char *from,
                      struct nzd_err *err)
{
    struct nzd_buf to = {0};
    int rc = NZD_OK;

    nzd_buf_printf(&to, "%s/data.mdb", directory);
    (void)nzd_buf_string(&to);
    if (to.failed)
        rc = nzd_err_memory(err);
    else if (rename(from, (char *)to.data) != 0)
        rc = nzd_err_system(err, NZD_EJOURNAL, errno, "rename %s", from);
    else
        rc = nzd_store_sync_directory(directory, err);
    nzd_buf_clear(&to);
    return rc;
}

/* Whoever creates holds the journal's own lock and needs none of LMDB's. */
int nzd_store_create(const char *directory,
                     const struct nzd_store_options *options,
                     nzd_store_body *body, void *context, struct nzd_err *err)
{
    struct nzd_store *store = NULL;
    struct nzd_buf path = {0};
    const char *name;
    int rc;

    nzd_buf_printf(&path, "%s/data.mdb.new", directory);
    name = nzd_buf_string(&path);
    if (path.failed) {
        nzd_buf_clear(&path);
        return nzd_err_memory(err);
    }
    (void)unlink(name);
    rc = open_store(directory, name, MDB_NOSUBDIR | MDB_NOLOCK, true, options,
                    &store, err);
    if (rc == NZD_OK)
        rc = nzd_store_write(store, false, body, context, err);
    if (rc == NZD_OK && mdb_env_sync(store->env, 1) != 0)
        rc = fail(store, errno, "sync", err);
    nzd_store_close(store);
    nzd_point("a new store beside its name");
    if (rc == NZD_OK)
        rc = rename_new(directory, name, err);
    nzd_point("a new store under its name");
    nzd_buf_clear(&path);
    return rc;
}

/* --- transactions --- */

int nzd_store_begin(struct nzd_store *store, unsigned flags, void *out)
{
    MDB_txn **txn = out;
    int rc = mdb_txn_begin(store->env, NULL, flags, txn);

    /* Another process let the map grow: take its size. */
    if (rc == MDB_MAP_RESIZED) {
        rc = mdb_env_set_mapsize(store->env, 0);
        if (rc == 0)
            rc = mdb_txn_begin(store->env, NULL, flags, txn);
    }
    return rc;
}

int nzd_store_read(struct nzd_store *store, nzd_store_body *body, void *context,
                   struct nzd_err *err)
{
    struct nzd_store_txn txn = {.store = store};
    int rc = nzd_store_begin(store, MDB_RDONLY, &txn.txn);

    if (rc)
        return fail(store, rc, "begin to read", err);
    rc = body(&txn, context, err);
    mdb_txn_abort(txn.txn);
    return rc;
}

static int grow(struct nzd_store *store, uint64_t limit, struct nzd_err *err)
{
    uint64_t size = nzd_store_map(store);
    int rc = MDB_MAP_FULL;

    if (size < limit)
        rc = nzd_store_set_map(store, size > limit / 2 ? limit : size * 2);
    return rc ? fail(store, rc, "grow", err) : NZD_OK;
}

/* One try. `full` says that a larger map is needed; nothing is written then. */
static int write_once(struct nzd_store *store, nzd_store_body *body,
                      void *context, bool *full, struct nzd_err *err)
{
    struct nzd_store_txn txn = {.store = store};
    int rc = nzd_store_begin(store, 0, &txn.txn);

    *full = false;
    if (rc)
        return fail(store, rc, "begin to write", err);
    rc = body(&txn, context, err);
    *full = txn.full;
    if (rc || txn.full) {
        mdb_txn_abort(txn.txn);
        return rc ? rc : nzd_err_set(err, NZD_EJOURNAL, "the map is full");
    }
    nzd_point("before a commit of the journal");
    rc = mdb_txn_commit(txn.txn);
    nzd_point("after a commit of the journal");
    /* LMDB finds that out while it still collects what to write. */
    *full = rc == MDB_MAP_FULL;
    if (rc == 0)
        return NZD_OK;
    store->broken = rc != MDB_MAP_FULL;
    return fail(store, rc, "commit", err);
}

int nzd_store_write(struct nzd_store *store, bool headroom,
                    nzd_store_body *body, void *context, struct nzd_err *err)
{
    uint64_t limit = store->max_bytes + (headroom ? NZD_STORE_HEADROOM : 0);
    struct nzd_err failure;
    bool full = false;
    int rc;

    if (store->broken) {
        nzd_err_set(err, NZD_EJOURNAL,
                    "journal %s: a write before this one failed",
                    store->directory);
        return NZD_EJOURNAL;
    }
    if (nzd_store_map(store) > limit) {
        rc = nzd_store_set_map(store, limit);
        if (rc)
            return fail(store, rc, "bound the map", err);
    }
    do {
        nzd_err_clear(&failure);
        rc = write_once(store, body, context, &full, &failure);
    } while (rc && full && grow(store, limit, err) == NZD_OK);
    if (rc && !full && err && err->code == NZD_OK)
        *err = failure;
    return rc;
}

bool nzd_store_is_broken(const struct nzd_store *store)
{
    return store->broken;
}

/* --- keys and values --- */

static int failed(struct nzd_store_txn *txn, int rc, const char *doing,
                  struct nzd_err *err)
{
    if (rc == MDB_MAP_FULL)
        txn->full = true;
    return fail(txn->store, rc, doing, err);
}

static int need(struct nzd_store_txn *txn, enum nzd_store_table table,
                struct nzd_err *err)
{
    if (txn->store->present[table])
        return NZD_OK;
    return nzd_err_damage(err, "journal %s is damaged: its table %s is missing",
                          txn->store->directory, table_names[table]);
}

static MDB_val val_of(struct nzd_view view)
{
    return (MDB_val){view.size, (void *)(uintptr_t)view.data};
}

int nzd_store_get(struct nzd_store_txn *txn, enum nzd_store_table table,
                  struct nzd_view key, struct nzd_view *value,
                  struct nzd_err *err)
{
    MDB_val at = val_of(key);
    MDB_val found;
    int rc = need(txn, table, err);

    if (rc)
        return rc;
    rc = mdb_get(txn->txn, txn->store->tables[table], &at, &found);
    if (rc == MDB_NOTFOUND)
        return NZD_ENOTFOUND;
    if (rc)
        return failed(txn, rc, "read", err);
    *value = nzd_view_of(found.mv_data, found.mv_size);
    return NZD_OK;
}

int nzd_store_put(struct nzd_store_txn *txn, enum nzd_store_table table,
                  struct nzd_view key, struct nzd_view value,
                  struct nzd_err *err)
{
    MDB_val at = val_of(key);
    MDB_val data = val_of(value);
    int rc = need(txn, table, err);

    if (rc)
        return rc;
    rc = mdb_put(txn->txn, txn->store->tables[table], &at, &data, 0);
    return rc ? failed(txn, rc, "write", err) : NZD_OK;
}

int nzd_store_delete(struct nzd_store_txn *txn, enum nzd_store_table table,
                     struct nzd_view key, struct nzd_err *err)
{
    MDB_val at = val_of(key);
    int rc = need(txn, table, err);

    if (rc)
        return rc;
    rc = mdb_del(txn->txn, txn->store->tables[table], &at, NULL);
    if (rc == MDB_NOTFOUND)
        return NZD_ENOTFOUND;
    return rc ? failed(txn, rc, "delete", err) : NZD_OK;
}

int nzd_store_count(struct nzd_store_txn *txn, enum nzd_store_table table,
                    uint64_t *out, struct nzd_err *err)
{
    MDB_stat stat;
    int rc = need(txn, table, err);

    if (rc)
        return rc;
    rc = mdb_stat(txn->txn, txn->store->tables[table], &stat);
    if (rc)
        return failed(txn, rc, "count", err);
    *out = stat.ms_entries;
    return NZD_OK;
}

int nzd_store_seek(struct nzd_store_txn *txn, enum nzd_store_table table,
                   struct nzd_view prefix, struct nzd_store_cursor *out,
                   struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {.txn = txn, .prefix_size = prefix.size};
    MDB_cursor *opened = NULL;
    int rc = need(txn, table, err);

    if (rc)
        return rc;
    if (prefix.size > sizeof(cursor.prefix))
        return nzd_err_set(err, NZD_EINTERNAL, "a prefix of %zu bytes",
                           prefix.size);
    if (prefix.size > 0)
        memcpy(cursor.prefix, prefix.data, prefix.size);
    rc = mdb_cursor_open(txn->txn, txn->store->tables[table], &opened);
    if (rc)
        return failed(txn, rc, "open a cursor", err);
    cursor.cursor = opened;
    *out = cursor;
    return NZD_OK;
}

int nzd_store_next(struct nzd_store_cursor *cursor, struct nzd_view *key,
                   struct nzd_view *value, struct nzd_err *err)
{
    MDB_val at = {cursor->prefix_size, cursor->prefix};
    MDB_val data;
    MDB_cursor_op op = MDB_NEXT;
    int rc;

    if (!cursor->started)
        op = cursor->prefix_size ? MDB_SET_RANGE : MDB_FIRST;
    cursor->started = true;
    rc = mdb_cursor_get(cursor->cursor, &at, value ? &data : NULL, op);
    if (rc == MDB_NOTFOUND)
        return NZD_ENOTFOUND;
    if (rc)
        return failed(cursor->txn, rc, "read on", err);
    if (at.mv_size < cursor->prefix_size ||
        memcmp(at.mv_data, cursor->prefix, cursor->prefix_size) != 0)
        return NZD_ENOTFOUND;
    *key = nzd_view_of(at.mv_data, at.mv_size);
    if (value)
        *value = nzd_view_of(data.mv_data, data.mv_size);
    return NZD_OK;
}

int nzd_store_resume(struct nzd_store_cursor *cursor, struct nzd_view key,
                     struct nzd_err *err)
{
    MDB_val at = val_of(key);
    int rc = mdb_cursor_get(cursor->cursor, &at, NULL, MDB_SET);

    if (rc == MDB_NOTFOUND)
        return NZD_ENOTFOUND;
    if (rc)
        return failed(cursor->txn, rc, "find a place", err);
    cursor->started = true;
    return NZD_OK;
}

uint64_t nzd_store_version(const struct nzd_store_txn *txn)
{
    return mdb_txn_id(txn->txn);
}

void nzd_store_end(struct nzd_store_cursor *cursor)
{
    if (cursor->cursor)
        mdb_cursor_close(cursor->cursor);
    cursor->cursor = NULL;
}
