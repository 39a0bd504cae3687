/* SPDX-License-Identifier: Apache-2.0 */
#include "attempts.h"

#include "bytes.h"
#include "point.h"
#include "store.h"
#include "value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION       1
#define HEALTHY_TRIES 4u
#define FILE_SIZE     ((off_t)2 * NZD_ATTEMPTS_SLOT)

static const char what[] = "the count of boots";

struct slot {
    uint64_t sequence; /* 0: it does not hold */
    struct nzd_attempts attempts;
};

/* --- a slot -------------------------------------------------------------- */

static int encode(const struct slot *slot, struct nzd_buf *out,
                  struct nzd_err *err)
{
    const struct nzd_attempts *attempts = &slot->attempts;
    size_t begin = nzd_value_begin(out, VERSION);

    nzd_buf_u64(out, slot->sequence);
    nzd_buf_bytes(out, attempts->base.bytes, NZD_DIGEST_SIZE);
    nzd_buf_u64(out, attempts->generation);
    nzd_buf_u64(out, attempts->last_healthy);
    nzd_buf_u32(out, attempts->tries);
    nzd_buf_u8(out, attempts->healthy);
    return nzd_value_end(out, begin, err);
}

/* Bytes of an encoded slot. */
#define VALUE_SIZE (NZD_VALUE_OVERHEAD + 8 + NZD_DIGEST_SIZE + 8 + 8 + 4 + 1)

static void decode(const uint8_t *bytes, struct slot *out)
{
    struct nzd_attempts *attempts = &out->attempts;
    struct nzd_reader reader;
    struct nzd_view base;

    memset(out, 0, sizeof(*out));
    if (nzd_value_open(nzd_view_of(bytes, VALUE_SIZE), VERSION, what, &reader,
                       NULL))
        return;
    out->sequence = nzd_read_u64(&reader);
    base = nzd_read_bytes(&reader, NZD_DIGEST_SIZE);
    attempts->generation = nzd_read_u64(&reader);
    attempts->last_healthy = nzd_read_u64(&reader);
    attempts->tries = nzd_read_u32(&reader);
    attempts->healthy = nzd_read_u8(&reader) != 0;
    if (!nzd_reader_done(&reader) || base.size != NZD_DIGEST_SIZE)
        memset(out, 0, sizeof(*out));
    else
        memcpy(attempts->base.bytes, base.data, NZD_DIGEST_SIZE);
}

/* --- the file ------------------------------------------------------------ */

static int failed(const char *directory, const char *doing, struct nzd_err *err)
{
    return nzd_err_system(err, NZD_EJOURNAL, errno, "%s %s/boot", doing,
                          directory);
}

static int open_file(const char *directory, int flags)
{
    char path[4096];
    int size = snprintf(path, sizeof(path), "%s/boot", directory);

    if (size < 0 || (size_t)size >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

static int read_slots(int fd, struct slot slots[2])
{
    uint8_t bytes[VALUE_SIZE];

    for (int i = 0; i < 2; i++) {
        ssize_t size =
            pread(fd, bytes, sizeof(bytes), (off_t)i * NZD_ATTEMPTS_SLOT);

        if (size < 0)
            return -1;
        memset(&slots[i], 0, sizeof(slots[i]));
        if (size == (ssize_t)sizeof(bytes))
            decode(bytes, &slots[i]);
    }
    return 0;
}

/* The slot that counts. Sequences go round, past 0, as a damaged one may be
 * the last of them. */
static int newest(const struct slot slots[2])
{
    uint64_t ahead = slots[1].sequence - slots[0].sequence;

    if (slots[0].sequence == 0 || slots[1].sequence == 0)
        return slots[1].sequence != 0;
    return ahead != 0 && ahead <= INT64_MAX;
}

static uint64_t after(uint64_t sequence)
{
    return sequence == UINT64_MAX ? 1 : sequence + 1;
}

uint32_t nzd_attempts_limit(bool healthy, uint32_t tries)
{
    return healthy ? tries * HEALTHY_TRIES : tries;
}

int nzd_attempts_read(const char *directory, struct nzd_attempts *out,
                      struct nzd_err *err)
{
    struct slot slots[2];
    int fd = open_file(directory, O_RDONLY);
    int rc = NZD_OK;

    memset(out, 0, sizeof(*out));
    if (fd < 0 && errno == ENOENT)
        return NZD_OK;
    if (fd < 0)
        return failed(directory, "open", err);
    if (read_slots(fd, slots) != 0)
        rc = failed(directory, "read", err);
    else
        *out = slots[newest(slots)].attempts;
    close(fd);
    return rc;
}

static bool has_room(int fd)
{
    struct stat file;

    return fstat(fd, &file) == 0 && file.st_size >= FILE_SIZE;
}

/* All of its room is taken when it is made. */
static int make_room(int fd)
{
    static const uint8_t zeros[NZD_ATTEMPTS_SLOT];
    struct stat file;

    if (fstat(fd, &file) != 0)
        return -1;
    for (off_t at = 0; file.st_size < FILE_SIZE && at < FILE_SIZE;
         at += NZD_ATTEMPTS_SLOT)
        if (at >= file.st_size &&
            pwrite(fd, zeros, sizeof(zeros), at) != (ssize_t)sizeof(zeros))
            return -1;
    return 0;
}

static int write_slot(int fd, const struct nzd_attempts *attempts,
                      struct nzd_err *err)
{
    struct slot slots[2];
    struct slot next = {.attempts = *attempts};
    struct nzd_buf bytes = {0};
    int rc = make_room(fd) || read_slots(fd, slots) ? -1 : 0;
    int at = rc ? 0 : !newest(slots);

    if (rc == 0) {
        next.sequence = after(slots[!at].sequence);
        rc = encode(&next, &bytes, err);
    }
    nzd_point("before the count of boots");
    if (rc == 0 &&
        (pwrite(fd, bytes.data, bytes.size, (off_t)at * NZD_ATTEMPTS_SLOT) !=
             (ssize_t)bytes.size ||
         fdatasync(fd) != 0))
        rc = -1;
    nzd_point("after the count of boots");
    nzd_buf_clear(&bytes);
    return rc;
}

/* To write; `made`: it was not there. */
static int open_made(const char *directory, bool *made)
{
    int fd = open_file(directory, O_RDWR);

    *made = fd < 0 && errno == ENOENT;
    return *made ? open_file(directory, O_RDWR | O_CREAT) : fd;
}

int nzd_attempts_reserve(const char *directory, struct nzd_err *err)
{
    bool made;
    int fd = open_made(directory, &made);
    int rc = NZD_OK;

    if (fd < 0)
        return failed(directory, "open", err);
    if (made || !has_room(fd)) {
        if (make_room(fd) != 0 || fsync(fd) != 0)
            rc = failed(directory, "take the room of", err);
        else
            rc = nzd_store_sync_directory(directory, err);
    }
    close(fd);
    return rc;
}

int nzd_attempts_write(const char *directory,
                       const struct nzd_attempts *attempts, struct nzd_err *err)
{
    bool made;
    int fd = open_made(directory, &made);
    int rc;

    if (fd < 0)
        return failed(directory, "open", err);
    rc = write_slot(fd, attempts, err) ? failed(directory, "write", err)
                                       : NZD_OK;
    close(fd);
    if (rc == NZD_OK && made)
        rc = nzd_store_sync_directory(directory, err);
    return rc;
}
