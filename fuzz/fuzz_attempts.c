/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The file beside the journal that counts boots. The first byte says which of
 * its slots get a checksum that holds. Besides memory errors: what is
 * counted on from there is what is read next.
 */

#include "../journal/attempts.h"
#include "../journal/value.h"
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fuzz_require(fd >= 0 && nzd_write_all(fd, data, size) == 0);
    close(fd);
}

/* A value's length is not said: as long as one that was written. */
static void seal(uint8_t *slot, size_t size, size_t length)
{
    struct nzd_buf checksum = {0};

    if (size < length || length < 8)
        return;
    nzd_buf_u64(&checksum, nzd_checksum_of(nzd_view_of(slot, length - 8)));
    fuzz_require(!checksum.failed);
    memcpy(slot + length - 8, checksum.data, 8);
    nzd_buf_clear(&checksum);
}

static void check_again(const char *directory, const struct nzd_attempts *read)
{
    struct nzd_attempts next = *read;
    struct nzd_attempts again;

    next.tries++;
    fuzz_require(nzd_attempts_write(directory, &next, NULL) == 0);
    fuzz_require(nzd_attempts_read(directory, &again, NULL) == 0);
    fuzz_require(nzd_digest_equal(&again.base, &read->base) &&
                 again.generation == read->generation &&
                 again.last_healthy == read->last_healthy &&
                 again.tries == next.tries && again.healthy == read->healthy);
    (void)nzd_attempts_limit(read->healthy, read->tries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *directory = fuzz_folder();
    struct nzd_attempts attempts;
    char path[64];
    uint8_t *copy;
    int rc;

    if (size < 2)
        return 0;
    size -= 2;
    copy = malloc(size + 1);
    fuzz_require(copy != NULL);
    memcpy(copy, data + 2, size);
    if (data[0] & 1)
        seal(copy, size, data[1]);
    if (data[0] & 2 && size > NZD_ATTEMPTS_SLOT)
        seal(copy + NZD_ATTEMPTS_SLOT, size - NZD_ATTEMPTS_SLOT, data[1]);
    (void)snprintf(path, sizeof(path), "%s/boot", directory);
    put_file(path, copy, size);
    free(copy);
    rc = nzd_attempts_read(directory, &attempts, NULL);
    fuzz_require(rc == 0 || rc == NZD_EJOURNAL);
    if (rc == 0)
        check_again(directory, &attempts);
    (void)unlink(path);
    return 0;
}
