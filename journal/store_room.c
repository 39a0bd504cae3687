/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "point.h"
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int failed(struct nzd_store *store, int rc, const char *doing,
                  struct nzd_err *err)
{
    return nzd_store_fail(store->directory, store->max_bytes, rc, doing, err);
}

uint64_t nzd_store_map(struct nzd_store *store)
{
    MDB_envinfo info;

    return mdb_env_info(store->env, &info) == 0 ? info.me_mapsize : 0;
}

int nzd_store_set_map(struct nzd_store *store, uint64_t size)
{
    if (size > SIZE_MAX)
        return ENOMEM;
    return mdb_env_set_mapsize(store->env, (size_t)size);
}

struct pages {
    uint64_t size;  /* bytes of one */
    uint64_t count; /* that the file has had, free ones included */
    uint64_t free;
};

static int free_pages(MDB_txn *txn, uint64_t *out)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val data;
    uint64_t count = 0;
    int rc = mdb_cursor_open(txn, 0, &cursor);

    if (rc)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
        size_t pages = 0;

        if (data.mv_size >= sizeof(pages))
            memcpy(&pages, data.mv_data, sizeof(pages));
        count += pages;
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND)
        return rc;
    *out = count;
    return 0;
}

static int count_pages(struct nzd_store *store, struct pages *out)
{
    MDB_envinfo info;
    MDB_stat stat;
    MDB_txn *txn = NULL;
    int rc = nzd_store_begin(store, MDB_RDONLY, &txn);

    if (rc)
        return rc;
    rc = mdb_env_info(store->env, &info);
    if (rc == 0)
        rc = mdb_env_stat(store->env, &stat);
    if (rc == 0)
        rc = free_pages(txn, &out->free);
    mdb_txn_abort(txn);
    if (rc)
        return rc;
    out->size = stat.ms_psize;
    out->count = (uint64_t)info.me_last_pgno + 1;
    return 0;
}

int nzd_store_room(struct nzd_store *store, struct nzd_store_room *out,
                   struct nzd_err *err)
{
    struct statvfs disk;
    struct stat file;
    struct pages pages;
    int fd = -1;
    int rc = count_pages(store, &pages);

    if (rc == 0)
        rc = mdb_env_get_fd(store->env, &fd);
    if (rc)
        return failed(store, rc, "count pages", err);
    if (fstat(fd, &file) != 0 || fstatvfs(fd, &disk) != 0)
        return failed(store, errno, "look at the file", err);
    out->used_bytes = (pages.count - pages.free) * pages.size;
    out->file_bytes = (uint64_t)file.st_size;
    out->max_bytes = store->max_bytes;
    out->disk_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    return NZD_OK;
}

/* Where fallocate(2) is not to be had the file is made longer by zeros. */
int nzd_store_lengthen(int fd, uint64_t size)
{
    static const uint8_t zeros[4096];
    struct stat file;
    int rc;

    do
        rc = fallocate(fd, 0, 0, (off_t)size);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    if (fstat(fd, &file) != 0)
        return errno;
    for (uint64_t at = (uint64_t)file.st_size; at < size;) {
        size_t part = sizeof(zeros) - (size_t)(at % sizeof(zeros));
        ssize_t done = pwrite(fd, zeros, part, (off_t)at);

        if (done < 0 && errno != EINTR)
            return errno;
        if (done > 0)
            at += (uint64_t)done;
    }
    return 0;
}

int nzd_store_reserve(struct nzd_store *store, uint64_t bytes,
                      struct nzd_err *err)
{
    uint64_t limit = store->max_bytes + NZD_STORE_HEADROOM;
    struct pages pages;
    uint64_t target;
    int fd = -1;
    int rc = count_pages(store, &pages);

    if (rc == 0)
        rc = mdb_env_get_fd(store->env, &fd);
    if (rc)
        return failed(store, rc, "count pages", err);
    target = (pages.count - pages.free) * pages.size;
    if (bytes > store->max_bytes || target > store->max_bytes - bytes)
        return failed(store, MDB_MAP_FULL, "reserve", err);
    /* Free pages lie scattered: what is taken lies behind the last one. */
    target = pages.count * pages.size + bytes;
    target = (target + pages.size - 1) / pages.size * pages.size;
    if (target > limit)
        target = limit;
    if (nzd_store_map(store) < target)
        rc = nzd_store_set_map(store, target);
    if (rc == 0)
        rc = nzd_store_lengthen(fd, target);
    nzd_point("room taken for what follows");
    return rc ? failed(store, rc, "reserve room", err) : NZD_OK;
}
