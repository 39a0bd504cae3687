/* SPDX-License-Identifier: Apache-2.0 */
#include "store_copy.h"

#include "store_internal.h"
#include "store_pages.h"
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEADS_BYTES (2u * 65536u) /* two pages of the largest size */
#define MOST_BYTES  (1ll << 30)
#define TRIES       50
#define PAUSE_NS    2000000L

struct copying {
    const char *directory;
    int from;
    int to;
    off_t size;           /* of the file */
    uint8_t *heads;       /* HEADS_BYTES */
    uint8_t *heads_again; /* another time */
    size_t begin;         /* bytes of `heads` */
    struct nzd_err *err;
};

/* What passes when it is tried again. */
#define AGAIN 1

bool nzd_store_copy_due(const char *directory)
{
    char path[4096];
    struct stat status;

    if (stat(directory, &status) != 0)
        return false;
    if (geteuid() == 0 && status.st_uid != 0)
        return true;
    if (nzd_way_counts() &&
        nzd_way_look(directory, path, sizeof(path)) != NZD_WAY_OURS)
        return true;
    (void)snprintf(path, sizeof(path), "%s/lock.mdb", directory);
    return access(path, R_OK | W_OK) != 0 && errno == EACCES;
}

static int fail(const struct copying *c, int sys, const char *doing)
{
    return nzd_store_fail(c->directory, 0, sys, doing, c->err);
}

/* --- headers ------------------------------------------------------------- */

static int read_begin(const struct copying *c, uint8_t *to, size_t *size)
{
    ssize_t got;

    do
        got = pread(c->from, to, HEADS_BYTES, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail(c, errno, "read data.mdb");
    *size = (size_t)got;
    return 0;
}

static bool read_the_same(const struct copying *c, size_t first, size_t second)
{
    return first == second && memcmp(c->heads, c->heads_again, first) == 0;
}

/* The headers, which another process may be writing: read twice. What is no
 * state may be two halves of states that followed one another. */
static int read_heads(struct copying *c, struct nzd_store_heads *out)
{
    struct nzd_err why = NZD_ERR_INIT;
    size_t first = 0;
    size_t second = 0;
    int rc = read_begin(c, c->heads, &first);

    if (rc == 0)
        rc = read_begin(c, c->heads_again, &second);
    if (rc)
        return rc;
    rc = nzd_store_heads(nzd_view_of(c->heads, first), out, &why);
    c->begin = 2 * out->page_size;
    if (rc ? !read_the_same(c, first, second)
           : second < c->begin ||
                 memcmp(c->heads, c->heads_again, c->begin) != 0)
        return AGAIN;
    if (rc == 0)
        return 0;
    nzd_err_damage(c->err, "journal %s is damaged: %s", c->directory,
                   why.message);
    return NZD_EJOURNAL;
}

/* --- copying ------------------------------------------------------------- */

static int copy_pages(const struct copying *c, off_t end)
{
    off_t at = (off_t)c->begin;

    if (ftruncate(c->to, 0) != 0 || ftruncate(c->to, c->size) != 0 ||
        pwrite(c->to, c->heads, c->begin, 0) != (ssize_t)c->begin ||
        lseek(c->to, at, SEEK_SET) < 0)
        return fail(c, errno, "copy it into memory");
    while (at < end) {
        ssize_t put = sendfile(c->to, c->from, &at, (size_t)(end - at));

        if (put == 0)
            break; /* pages that were never written */
        if (put < 0 && errno != EINTR)
            return fail(c, errno, "copy it into memory");
    }
    return 0;
}

static int copy_once(struct copying *c)
{
    struct nzd_store_heads before;
    struct nzd_store_heads after;
    struct stat status;
    int rc = read_heads(c, &before);
    uint64_t end;

    if (rc)
        return rc;
    if (fstat(c->from, &status) != 0)
        return fail(c, errno, "look at data.mdb");
    c->size = status.st_size;
    if (c->size > MOST_BYTES)
        return nzd_err_set(c->err, NZD_EJOURNAL,
                           "journal %s is too large to be copied into memory: "
                           "its owner can read it",
                           c->directory);
    end = before.pages * before.page_size;
    rc = copy_pages(c, end < (uint64_t)c->size ? (off_t)end : c->size);
    if (rc == 0)
        rc = read_heads(c, &after);
    return rc == 0 && after.txn > before.txn + 1 ? AGAIN : rc;
}

static int copy(struct copying *c)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    int rc = copy_once(c);

    for (int i = 1; rc == AGAIN && i < TRIES; i++) {
        (void)nanosleep(&pause, NULL);
        rc = copy_once(c);
    }
    if (rc != AGAIN)
        return rc;
    nzd_err_set(c->err, NZD_EJOURNAL,
                "journal %s was not read: it is being written all the while",
                c->directory);
    nzd_err_next(c->err, "try again; its owner need not wait");
    return NZD_EJOURNAL;
}

static int open_both(struct copying *c)
{
    char path[4096];
    struct stat status;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", c->directory);
    c->from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (c->from < 0 || fstat(c->from, &status) != 0)
        return fail(c, errno, "open data.mdb");
    if (!S_ISREG(status.st_mode))
        return nzd_err_set(c->err, NZD_EJOURNAL, "%s is no file", path);
    c->to = memfd_create("nzd-journal", MFD_CLOEXEC);
    return c->to < 0 ? fail(c, errno, "copy it into memory") : 0;
}

int nzd_store_copy_make(const char *directory, struct nzd_store_copy *out,
                        struct nzd_err *err)
{
    struct copying c = {
        .directory = directory, .from = -1, .to = -1, .err = err};
    int rc = NZD_EINTERNAL;

    c.heads = malloc(HEADS_BYTES);
    c.heads_again = malloc(HEADS_BYTES);
    if (!c.heads || !c.heads_again)
        (void)nzd_err_memory(err);
    else
        rc = open_both(&c);
    if (rc == 0)
        rc = copy(&c);
    free(c.heads);
    free(c.heads_again);
    if (c.from >= 0)
        close(c.from);
    if (rc) {
        if (c.to >= 0)
            close(c.to);
        return rc;
    }
    out->fd = c.to;
    (void)snprintf(out->path, sizeof(out->path), "/proc/self/fd/%d", c.to);
    return 0;
}

void nzd_store_copy_close(struct nzd_store_copy *copy)
{
    if (copy->fd >= 0)
        close(copy->fd);
    copy->fd = -1;
}
