/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "guard.h"
#include "store_internal.h"
#include "store_pages.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

/*
 * The first look at a store, in a child: LMDB opens it there, and while one of
 * its readers keeps the pages from being used again all of them are walked.
 */

#define CPU_SECONDS 5u
#define CPU_BYTES   (4u << 20) /* each so many get another second */
#define TRIES       8          /* while another process goes on writing */

struct look {
    const char *directory;
    const struct nzd_store_options *options;
};

static int fail(const struct look *look, int rc, const char *doing,
                struct nzd_err *err)
{
    return nzd_store_fail(look->directory, 0, rc, doing, err);
}

static int walk(const struct look *look, MDB_env *env, MDB_txn *txn,
                struct nzd_err *err)
{
    struct stat file;
    void *data;
    int fd = -1;
    int rc = mdb_env_get_fd(env, &fd);

    if (rc)
        return fail(look, rc, "look at the file", err);
    if (fstat(fd, &file) != 0)
        return fail(look, errno, "look at the file", err);
    data = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return fail(look, errno, "map the file", err);
    rc = nzd_store_pages(nzd_view_of(data, (size_t)file.st_size),
                         mdb_txn_id(txn), err);
    munmap(data, (size_t)file.st_size);
    if (rc == NZD_EJOURNAL) {
        nzd_err_prefix(err, "journal %s is damaged", look->directory);
        nzd_err_next(err, "keep a copy and move the directory away: the next "
                          "apply begins a new journal");
    }
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
    const struct look *look = context;
    const char *copy = look->options->copy;
    /* Nobody writes while the parent holds the journal's lock. */
    unsigned flags = MDB_RDONLY | MDB_NOLOCK;
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    int tries = TRIES;
    int rc;

    if (look->options->read_only)
        flags = nzd_store_read_flags(look->directory, copy);
    rc = nzd_store_env(look->directory, copy ? copy : look->directory, flags, 0,
                       &env, err);
    if (rc)
        return rc;
    (void)mdb_env_set_assert(env, crash);
    do {
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
        if (rc == MDB_MAP_RESIZED && mdb_env_set_mapsize(env, 0) == 0)
            rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
        if (rc) {
            rc = fail(look, rc, "begin", err);
            break;
        }
        rc = walk(look, env, txn, err);
        mdb_txn_abort(txn);
    } while (rc == NZD_ENOTFOUND && --tries > 0);
    mdb_env_close(env);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

int nzd_store_check(const char *directory,
                    const struct nzd_store_options *options, int lock,
                    struct nzd_err *err)
{
    struct look look = {directory, options};
    struct nzd_guard guard = {.cpu_seconds = CPU_SECONDS, .lock = lock};
    struct nzd_buf path = {0};
    struct nzd_buf what = {0};
    struct stat file;
    int rc;

    nzd_buf_printf(&path, "%s/data.mdb", directory);
    nzd_buf_printf(&what, "journal %s", directory);
    if (stat(nzd_buf_string(&path), &file) == 0)
        guard.cpu_seconds += (unsigned)(file.st_size / CPU_BYTES);
    guard.what = nzd_buf_string(&what);
    rc = nzd_guard_run(&guard, check, &look, err);
    nzd_buf_clear(&path);
    nzd_buf_clear(&what);
    return rc;
}
