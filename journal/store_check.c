/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "guard.h"
#include "store_internal.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The walk over everything, in a child. LMDB believes its file: what it would
 * crash or loop on is met here first. Sorted keys, counted entries and free
 * pages that are named once bound the walk and find cross-linked pages.
 */

#define MAX_TABLES  16
#define TABLE_NAME  63
#define SLACK_PAGES 65536u
#define CPU_SECONDS 5u
#define CPU_BYTES   (4u << 20) /* each so many get another second */

struct walk {
    const char *directory;
    bool read_only;
    MDB_txn *txn;
    uint64_t pages; /* that the file has had */
    uint64_t most; /* bytes of the file, and slack: the last may be unwritten */
    uint64_t used; /* by the tables */
    uint8_t *seen; /* a bit for each free page */
    char names[MAX_TABLES][TABLE_NAME + 1];
    size_t name_count;
};

static int broken(const struct walk *walk, const char *what,
                  struct nzd_err *err)
{
    nzd_err_set(err, NZD_EJOURNAL, "journal %s is damaged: %s", walk->directory,
                what);
    nzd_err_next(err, "keep a copy and move the directory away: the next "
                      "apply begins a new journal");
    return NZD_EJOURNAL;
}

static void touch(const MDB_val *value)
{
    const volatile uint8_t *bytes = value->mv_data;

    for (size_t i = 0; i < value->mv_size; i++)
        (void)bytes[i];
}

/* A list of free pages: its length, then page numbers from high to low. */
static int walk_free(struct walk *walk, const MDB_val *value,
                     struct nzd_err *err)
{
    const uint8_t *at = value->mv_data;
    size_t count = value->mv_size / sizeof(count);
    size_t last = SIZE_MAX;
    size_t page;

    if (count == 0 || value->mv_size % sizeof(count) != 0)
        return broken(walk, "a list of free pages has no length", err);
    memcpy(&page, at, sizeof(page));
    if (page >= count)
        return broken(walk, "a list of free pages is too short", err);
    count = page;
    for (size_t i = 1; i <= count; i++) {
        memcpy(&page, at + i * sizeof(page), sizeof(page));
        if (page < 2 || page >= walk->pages || page >= last)
            return broken(walk, "a free page has no place", err);
        if (walk->seen[page / 8] & 1u << page % 8)
            return broken(walk, "a page is free twice", err);
        walk->seen[page / 8] |= (uint8_t)(1u << page % 8);
        last = page;
    }
    walk->used += count;
    return NZD_OK;
}

static int keep_name(struct walk *walk, const MDB_val *key, struct nzd_err *err)
{
    if (key->mv_size > TABLE_NAME || walk->name_count == MAX_TABLES)
        return broken(walk, "a table has no name", err);
    memcpy(walk->names[walk->name_count], key->mv_data, key->mv_size);
    walk->name_count++;
    return NZD_OK;
}

typedef int each_entry(struct walk *walk, const MDB_val *key,
                       const MDB_val *value, struct nzd_err *err);

static int each_free(struct walk *walk, const MDB_val *key,
                     const MDB_val *value, struct nzd_err *err)
{
    if (key->mv_size != sizeof(size_t))
        return broken(walk, "a list of free pages has no number", err);
    return walk_free(walk, value, err);
}

static int each_name(struct walk *walk, const MDB_val *key,
                     const MDB_val *value, struct nzd_err *err)
{
    touch(value);
    return keep_name(walk, key, err);
}

static int each_value(struct walk *walk, const MDB_val *key,
                      const MDB_val *value, struct nzd_err *err)
{
    (void)walk;
    (void)err;
    touch(key);
    touch(value);
    return NZD_OK;
}

static int fail(const struct walk *walk, int rc, const char *doing,
                struct nzd_err *err)
{
    return nzd_store_fail(walk->directory, 0, rc, doing, err);
}

/* Numbers of this machine in the table of free pages, bytes elsewhere. */
static int compare(const MDB_val *a, const MDB_val *b, bool numbers)
{
    size_t size = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    size_t one;
    size_t other;
    int order;

    if (numbers && size == sizeof(one)) {
        memcpy(&one, a->mv_data, size);
        memcpy(&other, b->mv_data, size);
        return (one > other) - (one < other);
    }
    order = memcmp(a->mv_data, b->mv_data, size);
    return order ? order
                 : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

/* Keeps a copy of the key; false unless it is behind the one before it. */
static bool in_order(const MDB_val *key, MDB_val *before, bool numbers)
{
    if (key->mv_size == 0 || key->mv_size > NZD_STORE_KEY_MAX)
        return false;
    if (before->mv_size > 0 && compare(before, key, numbers) >= 0)
        return false;
    memcpy(before->mv_data, key->mv_data, key->mv_size);
    before->mv_size = key->mv_size;
    return true;
}

static int walk_entries(struct walk *walk, MDB_dbi table, MDB_cursor *cursor,
                        size_t entries, each_entry *each, struct nzd_err *err)
{
    uint8_t kept[NZD_STORE_KEY_MAX + 1];
    MDB_val before = {0, kept};
    MDB_val key;
    MDB_val value;
    size_t count = 0;
    int rc;

    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (!in_order(&key, &before, table == 0))
            return broken(walk, "its keys are out of order", err);
        if (++count > entries)
            return broken(walk, "a table has more entries than it says", err);
        rc = each(walk, &key, &value, err);
        if (rc)
            return rc;
    }
    if (rc != MDB_NOTFOUND)
        return fail(walk, rc, "walk", err);
    if (count != entries)
        return broken(walk, "a table has fewer entries than it says", err);
    return NZD_OK;
}

static int walk_table(struct walk *walk, MDB_dbi table, each_entry *each,
                      struct nzd_err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_stat stat;
    int rc = mdb_stat(walk->txn, table, &stat);

    if (rc == 0)
        rc = mdb_cursor_open(walk->txn, table, &cursor);
    if (rc)
        return fail(walk, rc, "walk", err);
    walk->used +=
        stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    rc = walk_entries(walk, table, cursor, stat.ms_entries, each, err);
    mdb_cursor_close(cursor);
    return rc;
}

static int walk_named(struct walk *walk, const char *name, struct nzd_err *err)
{
    MDB_dbi table;
    unsigned flags = 0;
    int rc = mdb_dbi_open(walk->txn, name, 0, &table);

    if (rc == 0)
        rc = mdb_dbi_flags(walk->txn, table, &flags);
    if (rc)
        return fail(walk, rc, "open a table", err);
    if (flags != 0)
        return broken(walk, "a table is of another kind", err);
    return walk_table(walk, table, each_value, err);
}

static int walk_all(struct walk *walk, struct nzd_err *err)
{
    MDB_dbi names;
    int rc = mdb_dbi_open(walk->txn, NULL, 0, &names);

    if (rc)
        return fail(walk, rc, "open", err);
    if (walk->pages > walk->most)
        return broken(walk, "it says it has more pages than its file", err);
    walk->seen = calloc(1, (size_t)(walk->pages / 8) + 1);
    if (!walk->seen)
        return nzd_err_memory(err);
    rc = walk_table(walk, 0, each_free, err);
    if (rc == NZD_OK)
        rc = walk_table(walk, names, each_name, err);
    for (size_t i = 0; i < walk->name_count && rc == NZD_OK; i++)
        rc = walk_named(walk, walk->names[i], err);
    if (rc == NZD_OK && walk->used + 2 > walk->pages)
        rc = broken(walk, "it has more pages in use than pages", err);
    free(walk->seen);
    return rc;
}

static void crash(MDB_env *env, const char *message)
{
    (void)env;
    (void)message;
    abort();
}

static int check(void *context, struct nzd_err *err)
{
    struct walk *walk = context;
    MDB_env *env = NULL;
    MDB_envinfo info;
    int rc = nzd_store_env(
        walk->directory, walk->directory,
        walk->read_only ? nzd_store_read_flags(walk->directory) : MDB_RDONLY, 0,
        &env, err);

    if (rc)
        return rc;
    (void)mdb_env_set_assert(env, crash);
    rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &walk->txn);
    if (rc == 0)
        rc = mdb_env_info(env, &info);
    if (rc)
        return fail(walk, rc, "begin", err);
    walk->pages = (uint64_t)info.me_last_pgno + 1;
    rc = walk_all(walk, err);
    mdb_txn_abort(walk->txn);
    mdb_env_close(env);
    return rc;
}

int nzd_store_check(const char *directory, bool read_only, int lock,
                    struct nzd_err *err)
{
    struct walk walk = {.directory = directory, .read_only = read_only};
    struct nzd_guard guard = {.cpu_seconds = CPU_SECONDS, .lock = lock};
    struct nzd_buf path = {0};
    struct nzd_buf what = {0};
    struct stat file;
    int rc;

    nzd_buf_printf(&path, "%s/data.mdb", directory);
    nzd_buf_printf(&what, "journal %s", directory);
    if (stat(nzd_buf_string(&path), &file) == 0) {
        guard.cpu_seconds += (unsigned)(file.st_size / CPU_BYTES);
        walk.most = (uint64_t)file.st_size / 512 + SLACK_PAGES;
    }
    guard.what = nzd_buf_string(&what);
    rc = nzd_guard_run(&guard, check, &walk, err);
    nzd_buf_clear(&path);
    nzd_buf_clear(&what);
    return rc;
}
