/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct nzd_spool {
    int fd;
    bool on_disk;
    uint64_t size;
    uint64_t memory_limit;
    char *directory;
    nzd_spool_put *put; /* elsewhere; NULL: in `fd` */
    void *context;
};

/* An unlinked file; file systems without O_TMPFILE give one by name first. */
static int open_unlinked(const char *directory)
{
    char *path = NULL;
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    if (asprintf(&path, "%s/nzd-spool-XXXXXX", directory) < 0)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

static int copy(int from, int to, uint64_t size)
{
    enum { BLOCK = 1 << 16 };
    uint8_t *block = malloc(BLOCK);
    int result = block ? 0 : -1;

    for (uint64_t at = 0; result == 0 && at < size;) {
        size_t want = size - at < BLOCK ? (size_t)(size - at) : (size_t)BLOCK;

        result = nzd_pread_all(from, block, want, at);
        if (result == 0)
            result = nzd_write_all(to, block, want);
        at += want;
    }
    free(block);
    return result;
}

/* A full or failing disk is for the operator to mend; nothing was touched
 * yet. */
static int refuse_disk(const struct nzd_spool *spool, int sys,
                       struct nzd_err *err)
{
    bool full = sys == ENOSPC || sys == EDQUOT;

    return nzd_err_system(err, NZD_EREFUSED, sys, "%s the new modules in %s",
                          full ? "no room to keep" : "cannot keep",
                          spool->directory);
}

static int move_to_disk(struct nzd_spool *spool, struct nzd_err *err)
{
    int fd = open_unlinked(spool->directory);

    if (fd < 0 || (spool->fd >= 0 && copy(spool->fd, fd, spool->size) < 0)) {
        int sys = errno;

        if (fd >= 0)
            close(fd);
        return refuse_disk(spool, sys, err);
    }
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = fd;
    spool->on_disk = true;
    return 0;
}

int nzd_spool_open(const char *directory, uint64_t memory_limit,
                   struct nzd_spool **out, struct nzd_err *err)
{
    struct nzd_spool *spool = calloc(1, sizeof(*spool));
    int code = 0;

    if (!spool)
        return nzd_err_memory(err);
    spool->memory_limit = memory_limit;
    spool->fd = memfd_create("nzd-spool", MFD_CLOEXEC);
    spool->directory = strdup(directory);
    if (!spool->directory)
        code = nzd_err_memory(err);
    else if (spool->fd < 0)
        code = move_to_disk(spool, err);
    if (code < 0)
        nzd_spool_close(spool);
    else
        *out = spool;
    return code;
}

int nzd_spool_open_elsewhere(nzd_spool_put *put, void *context,
                             struct nzd_spool **out, struct nzd_err *err)
{
    struct nzd_spool *spool = calloc(1, sizeof(*spool));

    if (!spool)
        return nzd_err_memory(err);
    spool->fd = -1;
    spool->put = put;
    spool->context = context;
    *out = spool;
    return 0;
}

void nzd_spool_close(struct nzd_spool *spool)
{
    if (!spool)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    free(spool->directory);
    free(spool);
}

static int append(struct nzd_spool *spool, struct nzd_view view,
                  struct nzd_err *err)
{
    int code = 0;

    if (spool->put)
        return spool->put(spool->context, view, err);
    if (!spool->on_disk && (spool->size > spool->memory_limit ||
                            view.size > spool->memory_limit - spool->size))
        code = move_to_disk(spool, err);
    if (code < 0)
        return code;
    /* A failed append may have written a part: the next one begins where the
     * last good one ended. */
    if (lseek(spool->fd, (off_t)spool->size, SEEK_SET) < 0 ||
        nzd_write_all(spool->fd, view.data, view.size) < 0)
        return refuse_disk(spool, errno, err);
    return 0;
}

int nzd_spool_append(struct nzd_spool *spool, struct nzd_view view,
                     uint64_t *offset, struct nzd_err *err)
{
    int code = append(spool, view, err);

    if (code < 0)
        return code;
    *offset = spool->size;
    spool->size += view.size;
    return 0;
}

int nzd_spool_read(struct nzd_spool *spool, uint64_t offset, uint64_t size,
                   const struct nzd_digest *content, struct nzd_buf *out,
                   struct nzd_err *err)
{
    struct nzd_digest digest;
    uint8_t *bytes;

    nzd_buf_reset(out);
    if (spool->put || offset > spool->size || size > spool->size - offset)
        return nzd_err_set(
            err, NZD_EINTERNAL, "spool: %llu bytes at %llu are not in it",
            (unsigned long long)size, (unsigned long long)offset);
    if (size > SIZE_MAX || !(bytes = nzd_buf_reserve(out, (size_t)size)))
        return size > 0 ? nzd_err_memory(err) : 0;
    if (nzd_pread_all(spool->fd, bytes, (size_t)size, offset) < 0)
        return nzd_err_system(err, NZD_EREFUSED, errno,
                              "read the new modules kept in %s",
                              spool->directory);
    out->size = (size_t)size;
    digest = nzd_digest_of(nzd_view_of(bytes, (size_t)size));
    if (content && !nzd_digest_equal(&digest, content))
        return nzd_err_set(err, NZD_EINTERNAL,
                           "spool: its bytes are not what was put in");
    return 0;
}

uint64_t nzd_spool_size(const struct nzd_spool *spool)
{
    return spool->size;
}
